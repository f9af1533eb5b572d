#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Comparing images: documents value by value and apart from their spelling, layers aligned."""

import gzip
import io
import itertools
import json
import pathlib
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import differ
import harness
import oci


def archive(entries, mtime=1_700_000_000, mode=0o644):
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(content), mtime, mode
            tar.addfile(entry, io.BytesIO(content))
    return memory.getvalue()


def entries(*given):
    """An archive of paths, each a directory ("x/"), a hard link ("x=>y"), or a file that holds what stands
    behind "=". What begins with "@" gives mode, "~" the time of what follows; "*" is a global header."""
    memory = io.BytesIO()
    mode, mtime = 0o755, 1_700_000_000
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for word in given:
            if word[0] == "@":
                mode = int(word[1:], 8)
            elif word[0] == "~":
                mtime = int(word[1:])
            elif word[0] == "*":
                tar.fileobj.write(tarfile.TarInfo.create_pax_global_header({"note": word}))
                tar.offset = tar.fileobj.tell()
            else:
                name, _, content = word.partition("=")
                entry = tarfile.TarInfo(name.rstrip("/"))
                entry.mode, entry.mtime = mode, mtime
                if name.endswith("/"):
                    entry.type = tarfile.DIRTYPE
                elif content.startswith(">"):
                    entry.type, entry.linkname = tarfile.LNKTYPE, content[1:]
                else:
                    entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content.encode()))
    return memory.getvalue()


# Two layers, what makes them differ, and whether they are of the same content.
REASONS = [
    (["d/", "d/x=1"], ["d/x=1"], "entries removed", True),
    (["d/x=1"], ["d/", "d/x=1"], "entries added", True),
    (["d/", "d/x=1"], ["d/", "@600", "d/x=1"], "mode", True),
    (["d/", "d/x=1", "e/y=1"], ["d/", "~5", "d/x=1", "e/", "e/y=1"], "entries added, times", True),
    (["a=1", "b=2"], ["b=2", "a=1"], "order of entries", True),
    (["a=1", "b=>a"], ["b=1", "a=>b"], "order of entries, how hard links are given", True),
    (["d/", "d/x=1"], ["d/", "d/x=1", "d/"], "repeated directories", True),
    (["*1", "a=1", "*2"], ["*1", "*2", "a=1"], "where global headers stand", True),
    (["a=1", "b=2"], ["a=1", "b=3"], "content", False),
    (["a=1", "b=2"], ["a=1"], "entries removed", False),
    (["a=1", "b=2", "~6", "c=1"], ["b=2", "c=1", "d=1"], "entries removed, entries added, times", False),
    (["a=1", "b=>a"], ["b=>a", "a=1"], "order of entries; order means something on the right alone", False),
    (["b=>a", "a=1"], ["a=1", "b=>a"], "order of entries; order means something on the left alone", False),
]

BASE = archive([("etc/os", b"debian\n")])
APP = archive([("app/run", b"#!/bin/sh\n"), ("app/data", b"1234")])
APP_LATER = archive([("app/run", b"#!/bin/sh\n"), ("app/data", b"1234")], 1_800_000_000)
APP_SUID = archive([("app/run", b"#!/bin/sh\n"), ("app/data", b"1234")], mode=0o4755)
EXTRA = archive([("extra/file", b"extra")])
# Version 2, effective: cap_net_raw, permitted (capabilities(7), linux/capability.h).
CAPABILITY = "\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
FIRST = "setuid bits or capabilities differ; "
CREATED = "2023-11-14T22:13:20Z"


class Images(harness.Case):
    count = 0

    def layout(self):
        Images.count += 1
        return oci.Layout(self.work / ("layout%d" % Images.count))

    def image(self, layout, tag, layers, created=CREATED, annotations=None, compress=False,
              write=None, label=None, architecture="amd64", kind=oci.LAYER):
        """An image of these archives under a tag. `write` writes the config's JSON."""
        stored = []
        for data in layers:
            blob = gzip.compress(data, mtime=0) if compress else data
            stored.append(layout.put(blob, kind + ("+gzip" if compress else "")))
        config = {"created": created, "architecture": architecture, "os": "linux",
                  "config": {"Cmd": ["/app/run"], "Labels": {"label": label or "none"}},
                  "rootfs": {"type": "layers", "diff_ids": [oci.digest_of(data)
                                                            for data in layers]},
                  "history": [{"created": created, "created_by": "layer %d" % i}
                              for i in range(len(layers))]}
        data = (write or json.dumps)(config)
        manifest = {"schemaVersion": 2, "mediaType": oci.MANIFEST,
                    "config": layout.put(data.encode(), oci.CONFIG), "layers": stored}
        if annotations:
            manifest["annotations"] = annotations
        descriptor = layout.put_json(manifest, oci.MANIFEST)
        layout.tag(tag, descriptor)
        return "oci:%s:%s" % (layout.folder, tag), descriptor["digest"]

    def compare(self, left, right, *options, expect=(0, 1)):
        said = differ.lines(*options, left, right, expect=expect)
        self.assertEqual((said[0]["type"], said[-1]["type"]),
                         ("image-diff", "image-diff-summary"))
        values = [line for line in said if line["type"] == "document-difference"]
        pairs = [line for line in said if line["type"] == "layer-pair"]
        self.assertEqual(said[-1]["pairs"], len(pairs))
        return said, values, pairs

    @staticmethod
    def numbers(pairs):
        return [(pair.get("left", {}).get("number"), pair.get("right", {}).get("number"),
                 pair.get("meet")) for pair in pairs]

    def test_identical(self):
        layout = self.layout()
        left, _ = self.image(layout, "a", [BASE, APP])
        right, _ = self.image(layout, "b", [BASE, APP])
        said, values, pairs = self.compare(left, right, expect=(0,))
        self.assertEqual(said[0]["verdict"], "identical")
        self.assertEqual((said[0]["meet"], values), ("blob", []))
        self.assertEqual(self.numbers(pairs), [(0, 0, "blob"), (1, 1, "blob")])

    def test_times(self):
        layout = self.layout()
        left, _ = self.image(layout, "a", [BASE, APP])
        right, _ = self.image(layout, "b", [BASE, APP_LATER], "2024-01-01T00:00:00Z")
        said, values, pairs = self.compare(left, right, expect=(1,))
        self.assertEqual(said[0]["verdict"],
                         "same content; differs by: times, config (times of creation)")
        self.assertEqual(said[0]["meet"], "times")
        self.assertEqual([(value["pointer"], value["matter"]) for value in values
                          if value["document"] == "config"],
                         [("/created", "created"), ("/rootfs/diff_ids/1", "follows"),
                          ("/history/0/created", "created"), ("/history/1/created", "created")])
        self.assertEqual({value["matter"] for value in values
                          if value["document"] == "manifest"}, {"follows"})
        self.assertEqual(self.numbers(pairs), [(0, 0, "blob"), (1, 1, "times")])
        # The layers' own differences follow their pair.
        changed = [line for line in said if line["type"] == "difference"]
        self.assertEqual({line["pair"] for line in changed}, {1})
        self.assertEqual([line["path"] for line in changed if line["kind"] == "changed"],
                         ["app/data", "app/run"])
        # Asked for the rung on which they meet, they are the same.
        self.compare(left, right, "--rung=times", expect=(0,))
        self.compare(left, right, "--rung=names", expect=(1,))

    def test_spelling(self):
        layout = self.layout()
        left, _ = self.image(layout, "plain", [BASE])
        forms = {
            "space": lambda config: json.dumps(config, indent=3),
            "order": lambda config: json.dumps(dict(reversed(config.items()))),
            "escapes": lambda config: json.dumps(config).replace("debian", "debian").replace(
                '"linux"', '"l\\u0069nux"'),
        }
        for name, write in forms.items():
            right, _ = self.image(layout, name, [BASE], write=write)
            said, values, _ = self.compare(left, right, expect=(1,))
            self.assertEqual(said[0]["config"], {"relation": "respelled", "spelling": [name]})
            self.assertEqual([value for value in values if value["document"] == "config"], [])
            self.assertEqual((said[0]["meet"], said[0]["verdict"]),
                             ("diffid", "same config and archives; differs by: manifest"))

    def test_annotations_and_values(self):
        layout = self.layout()
        left, _ = self.image(layout, "a", [BASE], annotations={"org.a/b": "1", "same": "x"})
        right, _ = self.image(layout, "b", [BASE], annotations={"same": "x", "c~d": "2"},
                              label="other")
        said, values, _ = self.compare(left, right, expect=(1,))
        found = {value["pointer"]: (value["matter"], value.get("left"), value.get("right"))
                 for value in values if value["matter"] != "follows"}
        self.assertEqual(found, {
            "/annotations/org.a~1b": ("annotations", '"1"', None),
            "/annotations/c~0d": ("annotations", None, '"2"'),
            "/config/Labels/label": ("annotations", '"none"', '"other"')})
        self.assertNotIn("meet", said[0])
        self.assertEqual(said[0]["verdict"], "different: config")

    def test_alignment(self):
        layout = self.layout()
        left, _ = self.image(layout, "a", [BASE, APP])
        more, _ = self.image(layout, "b", [BASE, EXTRA, APP_LATER])
        said, _, pairs = self.compare(left, more, expect=(1,))
        self.assertEqual(self.numbers(pairs),
                         [(0, 0, "blob"), (None, 1, None), (1, 2, "times")])
        self.assertEqual(said[0]["layers"],
                         {"equal": 1, "unequal": 1, "unknown": 0, "left_alone": 0, "right_alone": 1})
        self.assertEqual(said[0]["verdict"], "different: 1 layer changed (times), 1 layer added, config")
        _, _, pairs = self.compare(more, left, expect=(1,))
        self.assertEqual(self.numbers(pairs),
                         [(0, 0, "blob"), (1, None, None), (2, 1, "times")])
        # Layers that meet nowhere are paired where they stand.
        other, _ = self.image(layout, "c", [EXTRA, APP])
        _, _, pairs = self.compare(left, other, expect=(1,))
        self.assertEqual(self.numbers(pairs), [(0, 0, None), (1, 1, "blob")])

    def test_compression_and_modes(self):
        layout = self.layout()
        left, _ = self.image(layout, "a", [BASE, APP])
        right, _ = self.image(layout, "b", [BASE, APP], compress=True)
        said, _, pairs = self.compare(left, right, "--rung=diffid", expect=(0,))
        self.assertEqual(said[0]["verdict"], "same config and archives; differs by: compression")
        self.assertEqual({pair["meet"] for pair in pairs}, {"diffid"})
        right, _ = self.image(layout, "c", [BASE, APP_SUID])
        said, _, _ = self.compare(left, right)
        self.assertEqual(said[0]["verdict"], FIRST + "same content; differs by: mode")
        self.assertEqual(said[0]["security"], 2)
        self.assertEqual([line["path"] for line in said if line.get("kind") == "security"],
                         ["app/data", "app/run"])

    def test_reasons(self):
        """The verdict names what makes layers differ, as that on two layers does, and not every facet."""
        layout = self.layout()
        for number, (one, two, reasons, same) in enumerate(REASONS):
            with self.subTest(one=one, two=two):
                left, _ = self.image(layout, "left%d" % number, [BASE, entries(*one)])
                right, _ = self.image(layout, "right%d" % number, [BASE, entries(*two)])
                said, _, pairs = self.compare(left, right, expect=(1,))
                [layers] = [line for line in said if line["type"] == "diff" and line["pair"] == 1]
                verdict = ("same" if same else "different") + " content; differs by: " + reasons
                self.assertEqual(layers["verdict"], verdict)
                self.assertEqual(said[0]["verdict"], verdict if same else "different: 1 layer changed (%s)" % reasons)
                self.assertEqual(said[0].get("meet"), pairs[1].get("meet"))
                for name in "facets_unequal", "facets_changed":
                    self.assertEqual(said[0][name], layers[name], name)
                counts = [summary["counts"] for summary in said if summary["type"] == "diff-summary"][-1]
                if "repeated" not in reasons:
                    self.assertEqual([said[0]["entries_removed"], said[0]["entries_added"]],
                                     [counts["removed"], counts["added"]])

    def test_reasons_of_many(self):
        """Of several pairs together, with layers of one side alone, and the config."""
        layout = self.layout()
        mine = [entries("d/", "d/x=1"), BASE, entries("a=1", "@600", "b=2")]
        other = [entries("d/x=1"), BASE, entries("a=1", "b=2")]
        left, _ = self.image(layout, "a", mine)
        right, _ = self.image(layout, "b", other, "2024-01-01T00:00:00Z")
        said, _, _ = self.compare(left, right, expect=(1,))
        self.assertEqual(said[0]["verdict"],
                         "same content; differs by: mode, entries removed, config (times of creation)")
        self.assertEqual((said[0]["entries_removed"], said[0]["entries_added"], said[0]["facets_changed"]),
                         (1, 0, ["mode"]))
        right, _ = self.image(layout, "c", [*other, EXTRA], label="other")
        said, _, _ = self.compare(left, right, expect=(1,))
        self.assertEqual(said[0]["verdict"],
                         "different: 2 layers changed (mode, entries removed), 1 layer added, config")
        # A layer that cannot be judged: what is known of the others is no verdict on the image.
        layout.path(oci.digest_of(other[0])).write_bytes(other[0][:300])
        said, _, _ = self.compare(left, right, expect=(1, 2))
        self.assertEqual(said[0]["verdict"], "not known to be the same: 2 layers changed, 1 layer added, config")

    def test_reasons_within_little_memory(self):
        """Layers that have no room to be compared differ in the facets that digests tell, and why is not told."""
        layout = self.layout()
        names = ["d/%05d" % i for i in range(20000)]
        left, _ = self.image(layout, "a", [entries("d/", *names)])
        right, _ = self.image(layout, "b", [entries(*names)])
        verdicts = {True: "same content; differs by: entries removed",
                    False: "same content; differs by: mode, owner, times"}
        seen = set()
        for memory in 6, 64:
            said, _, pairs = self.compare(left, right, "--memory=%dMiB" % memory, "--limit=1", expect=(1, 2))
            [layers] = [line for line in said if line["type"] == "diff"]
            if pairs[0].get("meet"):
                self.assertEqual(said[0]["verdict"], verdicts[layers["entries_compared"]], memory)
                self.assertEqual(said[0]["facets_unequal"], ["mode", "owner", "times"])
                self.assertEqual(said[0]["facets_changed"], [])
                seen.add(layers["entries_compared"])
        self.assertEqual(seen, {True, False})

    def test_estargz(self):
        """An image and what its conversion to eStargz makes of it."""
        layout = self.layout()
        toc = "stargz.index.json={}"
        left, _ = self.image(layout, "a", [entries("a=1", "b=2"), entries("c=3")])
        right, _ = self.image(layout, "b", [entries("a=1", "b=2", toc), entries("c=3", toc)])
        said, _, _ = self.compare(left, right, expect=(1,))
        but = "; but for the files that eStargz adds, all layers are the same from rung %s on"
        self.assertEqual(said[0]["verdict"],
                         "different: 2 layers changed (entries added)" + but % "archive")
        right, _ = self.image(layout, "c", [entries("a=1", "b=2", toc), entries("~5", "c=3")])
        said, _, _ = self.compare(left, right, expect=(1,))
        self.assertEqual(said[0]["verdict"],
                         "different: 2 layers changed (entries added, times)" + but % "times")
        for tag, second in ("d", [entries("c=4")]), ("e", []):
            right, _ = self.image(layout, tag, [entries("a=1", "b=2", toc), *second])
            said, _, _ = self.compare(left, right, expect=(1,))
            self.assertNotIn("eStargz", said[0]["verdict"])

    def test_security_of_a_layer_alone(self):
        """A whole layer of one side is looked through, and nothing else is told of it."""
        layout = self.layout()
        capable = io.BytesIO()
        with tarfile.open(fileobj=capable, mode="w", format=tarfile.PAX_FORMAT) as tar:
            entry = tarfile.TarInfo("bin/ping")
            entry.pax_headers = {"SCHILY.xattr.security.capability": CAPABILITY}
            tar.addfile(entry)
        few, _ = self.image(layout, "few", [BASE])
        numbers = itertools.count()
        for layer, paths in ((APP_SUID, ["app/data", "app/run"]), (capable.getvalue(), ["bin/ping"]),
                             (APP, [])):
            for compress in False, True:
                many, _ = self.image(layout, "many%d" % next(numbers), [BASE, layer],
                                     compress=compress)
                for left, right, side in ((few, many, "right"), (many, few, "left")):
                    said, _, pairs = self.compare(left, right, expect=(1,))
                    self.assertEqual(said[0]["verdict"].startswith(FIRST), bool(paths))
                    self.assertEqual(said[0]["security_unknown"], 0)
                    self.assertEqual((said[0]["security"], [pair["security"] for pair in pairs]),
                                     (len(paths), [0, len(paths)]))
                    found = [line for line in said if line["type"] == "difference"
                             and line["pair"] == 1]
                    self.assertEqual([(line["kind"], line["path"]) for line in found],
                                     [("security", path) for path in paths])
                    self.assertTrue(all((side in line) and len({"left", "right"} & set(line)) == 1
                                        for line in found))
                    text = harness.run(harness.VARVE, "diff", left, right, expect=1).decode()
                    self.assertEqual(text.startswith(FIRST), bool(paths))
                    for path in paths:
                        self.assertIn("! %s  on the %s alone\n" % (path, side), text)

    def test_security_that_is_not_known(self):
        """Of a layer whose entries cannot be had; one that is no archive, and is said to be none, has none."""
        layout = self.layout()
        few, _ = self.image(layout, "few", [BASE])
        path = layout.path(oci.digest_of(APP_SUID))
        text = b"no archive" * 99
        for layer, kind, cut, unknown, code in (
                (APP_SUID, oci.LAYER, None, 0, 1), (APP_SUID, oci.LAYER, 514, 1, 1), (APP_SUID, oci.LAYER, 0, 1, 2),
                (text, oci.LAYER, None, 1, 1), (text, "application/vnd.example.text", None, 0, 1)):
            many, _ = self.image(layout, "many", [BASE, layer], kind=kind)
            if cut == 0:
                path.unlink()
            elif cut:
                path.write_bytes(layer[:cut])
            for left, right in ((few, many), (many, few)):
                said, _, _ = self.compare(left, right, expect=(code,))
                self.assertEqual(said[0]["security_unknown"], unknown)
                told = harness.run(harness.VARVE, "diff", left, right, expect=code)
                self.assertEqual(b"nothing is known of setuid bits" in told, bool(unknown))
            layout.top.pop()

    def test_digests(self):
        layout = self.layout()
        left, one = self.image(layout, "a", [BASE, APP])
        _, two = self.image(layout, "b", [BASE, APP_LATER])
        source = "oci:%s" % layout.folder
        said, _, _ = self.compare(one, two, "--source=" + source)
        self.assertEqual(said[0]["meet"], "times")
        self.assertEqual((said[0]["left"]["digest"], said[0]["right"]["digest"]), (one, two))
        # Beginnings of digests, a source of its own for each, and layers by their digests.
        said, _, _ = self.compare(source + "@" + one[:19], source + "@" + two)
        self.assertEqual(said[0]["right"]["digest"], two)
        layers = differ.Layers("--source=" + source, oci.digest_of(APP), oci.digest_of(APP_LATER))
        self.assertEqual(layers.meet, "times")
        self.assertEqual(list(layers.faults()), [])
        harness.run(harness.VARVE, "diff", "--source=" + source, "sha256:", two, expect=2)
        harness.run(harness.VARVE, "diff", "--source=" + source, one, oci.digest_of(APP),
                    expect=2)
        # Two images without a tag: which one?
        harness.run(harness.VARVE, "diff", source, left, expect=2)

    def test_platforms(self):
        layout = self.layout()
        descriptors = []
        for architecture in ("amd64", "arm64"):
            _, digest = self.image(layout, architecture, [BASE], architecture=architecture)
            size = layout.path(digest).stat().st_size
            descriptors.append({"mediaType": oci.MANIFEST, "digest": digest, "size": size,
                                "platform": {"os": "linux", "architecture": architecture}})
        layout.tag("multi", layout.index(descriptors))
        multi = "oci:%s:multi" % layout.folder
        harness.run(harness.VARVE, "diff", multi, multi, expect=2)
        said, _, _ = self.compare(multi, multi, "--platform=linux/arm64", expect=(0,))
        self.assertEqual(said[0]["left"]["platform"], "linux/arm64")

    def test_damage(self):
        layout = self.layout()
        left, _ = self.image(layout, "a", [BASE, APP])
        right, _ = self.image(layout, "b", [BASE, EXTRA])
        path = layout.path(oci.digest_of(EXTRA))
        path.write_bytes(EXTRA[:514])
        said, _, pairs = self.compare(left, right, "--rung=content", expect=(2,))
        self.assertEqual(said[0]["relation"], "unknown")
        self.assertEqual([pair["right"]["status"] for pair in pairs], ["ok", "malformed"])
        path.unlink()
        said, _, pairs = self.compare(left, right, expect=(2,))
        self.assertEqual([pair["right"]["status"] for pair in pairs], ["ok", "error"])

    def test_claims(self):
        """The same layers, of which one image claims what does not hold: each is held against its own."""
        layout = self.layout()
        left, _ = self.image(layout, "a", [BASE, APP])
        right, _ = self.image(layout, "b", [BASE, APP],
                              write=lambda config: json.dumps(config).replace(
                                  oci.digest_of(APP), oci.digest_of(EXTRA)))
        for first, second in (left, right), (right, left):
            said, values, pairs = self.compare(first, second, "--rung=diffid")
            at = "right" if second == right else "left"
            # What is false does not follow from anything; what is true still does.
            claims = {value["pointer"]: value for value in values}
            self.assertEqual({pointer: value["matter"] for pointer, value in claims.items()},
                             {"/config/digest": "follows", "/rootfs/diff_ids/1": "claim"})
            self.assertEqual([claims["/rootfs/diff_ids/1"][side + "_holds"] for side in ("left", "right")],
                             ["ok", "mismatch"] if at == "right" else ["mismatch", "ok"])
            self.assertEqual(self.numbers(pairs), [(0, 0, "blob"), (1, 1, "blob")])
            self.assertEqual([pair[side]["status"] for pair in pairs for side in ("left", "right")],
                             ["ok", "ok"] + (["ok", "mismatch"] if at == "right" else ["mismatch", "ok"]))
        told = harness.run(harness.VARVE, "diff", left, right, expect=1).decode()
        self.assertIn("mismatch: the decoded bytes' digest is not the diffID that the config claims", told)
        self.assertIn("  [claim: right does not hold]\n", told)
        # What cannot be looked at is not said to follow either.
        layout.path(oci.digest_of(APP)).unlink()
        other, _ = self.image(self.layout(), "a", [BASE, APP_LATER])
        _, values, _ = self.compare(left, other, expect=(2,))
        holds = {value["pointer"]: (value["matter"], value.get("left_holds"), value.get("right_holds"))
                 for value in values}
        self.assertEqual(holds["/layers/1/digest"], ("claim", "none", "ok"))
        self.assertEqual(holds["/rootfs/diff_ids/1"], ("claim", "none", "ok"))
        self.assertEqual(holds["/config/digest"], ("follows", None, None))

    def test_people(self):
        layout = self.layout()
        left, _ = self.image(layout, "a", [BASE, APP])
        right, _ = self.image(layout, "b", [BASE, EXTRA, APP_LATER], "2024-01-01T00:00:00Z",
                              write=lambda config: json.dumps(config, indent=1))
        text = harness.run(harness.VARVE, "diff", "--limit=1", left, right, expect=1).decode()
        for line in ("different: 1 layer changed (times), 1 layer added, config",
                     "manifest: different",
                     "  /config/digest: ",
                     "config: different",
                     '  /created: "2023-11-14T22:13:20Z" / "2024-01-01T00:00:00Z"  [created]',
                     "  and 5 more",
                     "  1 = 1  " + oci.digest_of(BASE)[:19],
                     "  - added 2  " + oci.digest_of(EXTRA)[:19],
                     "  2 ~ 3  " + oci.digest_of(APP)[:19] + " / " +
                     oci.digest_of(APP_LATER)[:19],
                     "      same content; differs by: times"):
            self.assertIn("\n" + line, "\n" + text)


if __name__ == "__main__":
    harness.main()
