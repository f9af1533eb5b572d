# SPDX-License-Identifier: Apache-2.0
"""varve compare: two mirrors whose differences are known, each side a source or a database."""

import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile

import db
import harness
import oci
import stores


def tree(**changes):
    """One small tree; what changes is the only difference."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        names = ["srv"] * changes.get("directories", 0) + ["srv/a", "srv/b"]
        for name in reversed(names) if changes.get("reverse") else names:
            info = tarfile.TarInfo(name)
            content = changes.get("content", b"the same\n")
            if name == "srv":
                info.type, content = tarfile.DIRTYPE, b""
            info.size = len(content)
            info.mode = changes.get("mode", 0o644)
            info.mtime = changes.get("mtime", 1000)
            info.uname = changes.get("uname", "root")
            info.uid = changes.get("uid", 0)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue() + bytes(changes.get("padding", 0))


def encoded(tar):
    """The same entries; the mode is written with the file type in it (and the checksum follows)."""
    tar = bytearray(tar)
    tar[100:108] = b"0100644\0"
    tar[148:156] = b"%06o\0 " % (sum(tar[:148]) + 8 * 32 + sum(tar[156:512]))
    return bytes(tar)


# Each image by tag: layers of A, layers of B, and the verdict.
IMAGES = {
    "identical": (gzip.compress(tree(), 9, mtime=0), gzip.compress(tree(), 9, mtime=0), "identical"),
    "compression": (gzip.compress(tree(), 9, mtime=0), gzip.compress(tree(), 1, mtime=0),
                    "compression"),
    "archive": (tree(), tree(padding=512), "archive"),
    "encoding": (tree(), encoded(tree()), "encoding"),
    "order": (tree(), tree(reverse=True), ["order"]),
    "mode": (tree(), tree(mode=0o4755), ["mode"]),
    "times": (tree(), tree(mtime=2000), ["times"]),
    "names": (tree(), tree(uname="other"), ["names"]),
    "several": (tree(), tree(mtime=2000, uid=7, mode=0o600), ["mode", "owner", "times"]),
    "content": (tree(), tree(content=b"different"), "content"),
    # An entry of one side alone makes facets unequal, and so is not told from entries that differ.
    "directory": (tree(), tree(directories=1), ["mode", "owner", "names", "times"]),
    "directories": (tree(directories=1), tree(directories=2), ["order"]),
}


class Compare(db.DatabaseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sides = [cls.work / "a", cls.work / "b"]
        cls.paths = [cls.work / "a.db", cls.work / "b.db"]
        for side in range(2):
            layout = oci.Layout(cls.sides[side])
            for tag, blobs in IMAGES.items():
                layout.tag(f"app:{tag}", cls.image(layout, blobs[side]))
            layout.tag(f"only:{'ab'[side]}", cls.image(layout, tree(content=b"%d" % side)))
            layout.tag("manifest:1", cls.image(layout, tree(content=b"m"), annotations={
                "side": str(side)}))
            layout.tag("config:1", cls.image(layout, tree(content=b"c"), config={
                "Cmd": [str(side)]}))
            layout.tag("both:1", cls.image(layout, tree(content=b"x", mtime=side), config={
                "Cmd": [str(side)]}))
            broken = cls.image(layout, tree(content=b"broken"))
            layout.tag("broken:1", broken)
            if side:
                digest = stores.sha256(tree(content=b"broken"))
                layout.path(digest).write_bytes(tree(content=b"brokes"))
            db.age(cls.sides[side])
            harness.run(harness.VARVE, "scan", "--db", cls.paths[side],
                        f"oci:{cls.sides[side]}", expect=1 if side else 0)

    @staticmethod
    def image(layout, blob, annotations=None, config=None):
        packed = blob[:2] == b"\x1f\x8b"
        tar = gzip.decompress(blob) if packed else blob
        config = layout.put_json({
            "architecture": "amd64", "os": "linux", "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [stores.sha256(tar)]}}, oci.CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config,
                    "layers": [layout.put(blob, stores.GZIP if packed else oci.LAYER)]}
        if annotations:
            manifest["annotations"] = annotations
        return layout.put_json(manifest, oci.MANIFEST)

    def compare(self, a, b, expect=1, options=()):
        out = harness.run(harness.VARVE, "compare", "--json", *options, a, b, expect=expect)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(lines[-1]["type"], "comparison")
        self.assertEqual(lines[-1]["exit_code"], expect)
        return lines

    def test_verdicts(self):
        lines = self.compare(*self.paths)
        pairs = {line["ref"]: line for line in lines if line["type"] == "pair"}
        for tag, (_, _, verdict) in IMAGES.items():
            pair = pairs.pop(f"app:{tag}")
            self.assertEqual(pair.get("facets", pair["verdict"]), verdict, tag)
            self.assertEqual(pair["verdict"] == "facets", isinstance(verdict, list), tag)
            self.assertEqual(pair.get("entries_differ"),
                             tag.startswith("director") if isinstance(verdict, list) else None, tag)
            self.assertEqual(pair["platform"], "linux/amd64")
        self.assertEqual({ref: pair["verdict"] for ref, pair in pairs.items()}, {
            "only:a": "only in A", "only:b": "only in B", "manifest:1": "manifest",
            "config:1": "config", "both:1": "facets", "broken:1": "identical"})
        self.assertTrue(pairs["both:1"]["config_differs"])
        self.assertTrue(pairs["broken:1"]["newly_broken"])
        self.assertEqual(sum(pair["newly_broken"] for pair in pairs.values()), 1)
        changes = {}
        for line in lines:
            if line["type"] == "blob":
                changes.setdefault(line["change"], set()).add(line["name"])
        self.assertEqual(changes["broken"], {stores.sha256(tree(content=b"broken"))})
        names = [{path.name for path in (side / "blobs/sha256").iterdir()} for side in self.sides]
        known = [{name[7:] for (name,) in db.query(path, "SELECT name FROM layers")}
                 for path in self.paths]
        self.assertEqual(changes["new"], {"sha256:" + name for name in known[1] - known[0]})
        self.assertEqual(changes["gone"], {"sha256:" + name for name in known[0] - known[1]})
        self.assertLessEqual(known[1], names[1])
        self.assertEqual(lines[-1]["blobs"]["new"], len(changes["new"]))
        self.assertEqual(lines[-1]["images"]["identical"], 2)

    def test_rungs_that_were_not_asked_for(self):
        """What differs, and was not looked into, is not called different in content."""
        paths = []
        for side in range(2):
            layout = oci.Layout(self.work / f"unread-{side}")
            layout.tag("app:1", self.image(layout, tree(content=b"%d" % side)))
            paths.append(self.work / f"unread-{side}.db")
            harness.run(harness.VARVE, "scan", "--rungs=diffid", "--db", paths[-1],
                        f"oci:{layout.folder}")
        pairs = [line for line in self.compare(*paths) if line["type"] == "pair"]
        self.assertEqual([pair["verdict"] for pair in pairs], ["unjudged"])

    def test_sources(self):
        """Sources and databases, in every combination, say the same."""
        sources = [f"oci:{side}" for side in self.sides]
        wanted = self.compare(*self.paths)
        temporary = self.work / "temporary"
        temporary.mkdir()
        for a, b in ((sources[0], self.paths[1]), (self.paths[0], sources[1]), sources):
            out = harness.run(harness.VARVE, "compare", "--json", a, b, expect=1,
                              env={**os.environ, "TMPDIR": str(temporary)})
            self.assertEqual([json.loads(line) for line in out.splitlines()], wanted)
        self.assertEqual(list(temporary.iterdir()), [])

    def test_same(self):
        lines = self.compare(self.paths[0], self.paths[0], expect=0)
        self.assertEqual({line["verdict"] for line in lines if line["type"] == "pair"},
                         {"identical"})
        self.assertEqual([line for line in lines if line["type"] == "blob"], [])
        # B's broken layer is no news from one B to another.
        self.compare(self.paths[1], self.paths[1], expect=0)

    def test_mended(self):
        lines = self.compare(*reversed(self.paths))
        self.assertEqual([line["change"] for line in lines if line.get("change") in
                          ("broken", "mended")], ["mended"])

    def test_config_that_is_not_known(self):
        """Where the same damaged layer stands in both, no rung of the images tells whether the config does."""
        good = tree(content=b"well")
        torn = gzip.compress(tree(content=b"torn"), 9, mtime=0)[:-9]
        paths = []
        for side in range(2):
            layout = oci.Layout(self.work / f"torn-{side}")
            blobs = [gzip.compress(good, 9 - 8 * side, mtime=0), torn]
            config = layout.put_json({
                "architecture": "amd64", "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": [stores.sha256(good), stores.sha256(b"")]}}, oci.CONFIG)
            layout.tag("app:1", layout.put_json({
                "schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config,
                "layers": [layout.put(blob, stores.GZIP) for blob in blobs]}, oci.MANIFEST))
            paths.append(self.work / f"torn-{side}.db")
            self.scan(f"oci:{layout.folder}", db=paths[-1], expect=1)
        pair = self.compare(*paths)[0]
        self.assertEqual((pair["verdict"], pair["rung"]), ("compression", "diffid"))
        self.assertNotIn("config_differs", pair)
        text = harness.run(harness.VARVE, "compare", *paths, expect=1).decode()
        self.assertIn("compression  app:1 (linux/amd64); whether the config differs is not known\n", text)

    def test_scans_that_did_not_finish(self):
        """Said of a database, whichever of its sources' last scans it was; once that is done again, no more."""
        path = self.work / "unfinished.db"
        sources = [f"oci:{side}" for side in self.sides]

        def said(code, words):
            done = subprocess.run([harness.VARVE, "compare", path, path], capture_output=True, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            lines = done.stderr.decode().splitlines()
            self.assertEqual(lines, 2 * [f"varve: {path}: {words}"] if words else [])

        for source in sources:
            self.scan(source, db=path, expect=int(source == sources[1]))
        said(0, None)
        for state, told in (("running", "killed"), ("interrupted", "interrupted"), ("partial", "partial"),
                            ("failed", "failed")):
            db.execute(path, "UPDATE scan SET state = ? WHERE id = 1", state)
            said(3, f"its last scan has not finished: {told}")
        db.execute(path, "UPDATE scan SET state = 'killed' WHERE id = 1")
        self.scan(sources[0], db=path)
        said(0, None)
        # A source that is nowhere has no images, and a place in the list of errors until it is found again.
        self.scan(sources[0], f"oci:{self.work}/elsewhere", db=path, expect=3)
        said(3, "not all of it could be read when it was scanned: 1 errors, 0 images, 0 layers ('varve query' "
                "errors and failures tell which)")
        # Nor was all looked at that belongs to a database into which no scan has written.
        for table in ("reference", "image_rung", "image", "location", "finding", "entry", "facet", "rung", "layer",
                      "error", "source", "scan"):
            db.execute(path, f"DELETE FROM {table}")
        said(3, "no scan has written to it")

    def test_nights(self):
        """The morning after: yesterday's copy of the database beside today's."""
        folder = self.work / "night"
        layout = db.mirror(folder, 9)
        today, yesterday = self.work / "night.db", self.work / "night.old.db"
        self.scan(f"oci:{folder}", db=today)
        shutil.copy(today, yesterday)
        layout.tag("app:9", layout.image([(layout.put(tree(), oci.LAYER), stores.sha256(tree()))]))
        blob = max((folder / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
        blob.write_bytes(blob.read_bytes()[:-3])
        db.age(folder, 60)
        self.scan(f"oci:{folder}", db=today, expect=1)
        lines = self.compare(yesterday, today)
        self.assertEqual(sorted((line["type"], line.get("verdict", line.get("change")))
                                for line in lines[:-1]
                                if line.get("verdict") != "identical" or line["newly_broken"]),
                         [("blob", "broken"), ("blob", "new"), ("pair", "identical"),
                          ("pair", "only in B")])

    def test_names(self):
        """References pair whole; else without the host; images without one by their digest."""
        names = {
            # A's tags by content, then B's, then who is paired with whom.
            "localhost/app:1": "app:1",
            "docker.example/library/base:1": "base:1",
            "library/nginx:1": "nginx:1",
            "docker.example/library/db:1": "mirror.example:5000/db:1",
            "a.example/team/web:1": "b.example/team/web:1",
            "team/same:1": "team/same:1",
            "team/untouched:1": "other/untouched:1",
            "docker.example/owner/tool:1": "owner/tool:1",
        }
        strangers = {"team/untouched:1", "other/untouched:1"}
        sides = [self.work / "names-a", self.work / "names-b"]
        layouts = [oci.Layout(side) for side in sides]
        for number, refs in enumerate(names.items()):
            for side, ref in enumerate(refs):
                # Contents differ, so that no digest can pair them.
                layouts[side].tag(ref, self.image(layouts[side], tree(content=b"%d %d" % (
                    number, side))))
        # One with the same path elsewhere does not come before the one of the whole name.
        layouts[0].tag("quay.example/team/same:1", self.image(layouts[0], tree(content=b"quay")))
        # A nameless one meets a named one, and one that is nowhere else.
        for side in range(2):
            layouts[side].tag("named:1", self.image(layouts[side], tree(content=b"n%d" % side)))
        named = self.image(layouts[0], tree(content=b"named in B"))
        alone = self.image(layouts[0], tree(content=b"nowhere else"))
        layouts[1].tag("b:1", self.image(layouts[1], tree(content=b"named in B")))
        layouts[0].top += [named, alone]
        layouts[0].tags([])
        lines = self.compare(*(f"oci:{side}" for side in sides))
        pairs = [line for line in lines if line["type"] == "pair"]
        found = {(line.get("ref") or line["a"]["digest"], line.get("b", {}).get("ref"),
                  line["verdict"]) for line in pairs}
        expected = {(a, b if a != b else None, "content") for a, b in names.items()
                    if a not in strangers}
        expected |= {("team/untouched:1", None, "only in A"), ("other/untouched:1", None, "only in B"),
                     ("quay.example/team/same:1", None, "only in A"), ("named:1", None, "content"),
                     (alone["digest"], None, "only in A"), ("b:1", None, "identical")}
        self.assertEqual(found, expected)
        self.assertEqual(len(pairs), len(expected))
        text = harness.run(harness.VARVE, "compare", *(f"oci:{side}" for side in sides),
                           expect=1).decode()
        self.assertIn("content      localhost/app:1 and app:1 (linux/amd64)\n", text)
        self.assertIn(f"only in A    {alone['digest']}", text)

    def test_text(self):
        out = harness.run(harness.VARVE, "compare", *self.paths, expect=1).decode()
        for words in ("compression  app:compression (linux/amd64)\n",
                      "facets       app:several (linux/amd64): mode, owner, times\n",
                      "facets       app:order (linux/amd64): order\n",
                      "facets       app:directory (linux/amd64): mode, owner, names, times; "
                      "the number of entries differs\n",
                      "facets       app:directories (linux/amd64): order; the number of entries differs\n",
                      "facets       both:1 (linux/amd64): times; the config differs too\n",
                      "identical    broken:1 (linux/amd64); newly broken (mismatch)\n",
                      "only in A    only:a (linux/amd64)\n", "18 images: 2 identical, "):
            self.assertIn(words, out)
        self.assertNotIn("app:identical", out)

    def test_usage(self):
        harness.run(harness.VARVE, "compare", self.paths[0], expect=2)
        harness.run(harness.VARVE, "compare", self.paths[0], self.work / "nowhere", expect=2)
        other = self.work / "other.db"
        db.execute(other, "CREATE TABLE mine(x)")
        harness.run(harness.VARVE, "compare", self.paths[0], other, expect=10)


if __name__ == "__main__":
    harness.main()
