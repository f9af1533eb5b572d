# SPDX-License-Identifier: Apache-2.0
"""`varve normalize oci:DIR -o oci:OUT`: every document follows its layers, nothing else changes, what is
wrong is never made to look sound, and OUT appears whole or not at all.

What comes out is judged by a second implementation of the rules, written here from varve/rewrite.h: it
knows from `varve normalize` of single layers what each layer becomes, and derives all else."""

import base64
import gzip
import hashlib
import io
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness

import oci

REFERENCE = "vnd.docker.reference.digest"
CREATED = "org.opencontainers.image.created"
TOC = "containerd.io/snapshot/stargz/toc.digest"
CLEAN = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
IN_TOTO = "application/vnd.in-toto+json"


def archive(*names, form=tarfile.GNU_FORMAT, mtime=1_700_000_000, size=100):
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=form) as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.uname = size, mtime, "builder"
            tar.addfile(entry, io.BytesIO(random.Random(name).randbytes(size)))
    return memory.getvalue()


def write(layout):
    (layout.folder / "index.json").write_text(json.dumps(
        {"schemaVersion": 2, "x-unknown": {"b": [1.5, None], "a": 2**60 + 1},
         "manifests": layout.top}, indent=3))


def rich_layout(folder):
    """A layout with about everything: nested indexes, two platforms, Docker's types, attestations, a
    referrer of a referrer, tags of the referrers schema, keys that nobody knows, a layer that is in an
    image and in an artifact, layers that become the same, a layer of an unknown type, sha512."""
    layout = oci.Layout(folder)
    base, one, two = archive("base"), archive("b", "a"), archive("two", mtime=1_800_000_000)

    def layer(data, media_type=oci.LAYER, **fields):
        stored = gzip.compress(data, 9, mtime=77) if media_type.endswith("gzip") else data
        return layout.put(stored, media_type, **fields), oci.digest_of(data)

    def image(layers, architecture, docker=False, **extra):
        config = {"os": "linux", "architecture": architecture, "created": "2024-05-05T01:02:03.5+02:00",
                  "author": "a\u00e4 \"quoted\"", "zeta": 2**60 + 1,
                  "config": {"Labels": {CREATED: "2025-01-01T00:00:00Z", "other": "2025"}},
                  "history": [{"created": "2001-01-01T00:00:00Z", "created_by": "x"},
                              {"created": "2030-12-31T23:59:60Z", "empty_layer": True}, {}],
                  "rootfs": {"type": "layers", "diff_ids": [diffid for _, diffid in layers]}}
        kind = oci.DOCKER_CONFIG if docker else oci.CONFIG
        manifest = {"layers": [descriptor for descriptor, _ in layers], "schemaVersion": 2,
                    "mediaType": oci.DOCKER_MANIFEST if docker else oci.MANIFEST,
                    "config": {**layout.put_json(config, kind), "data": "b2xk"}, **extra}
        return layout.put_json(manifest, manifest["mediaType"])

    gz = layer(base, oci.LAYER + "+gzip",
               annotations={TOC: "sha256:" + "0" * 64, "kept": "yes",
                            "containerd.io/uncompressed": oci.digest_of(base)})
    plain = layer(base, urls=["https://example.test/old"])
    odd = layout.put(b"not a tar", "application/vnd.example.data"), oci.digest_of(b"not a tar")
    amd = image([gz, layer(one), odd], "amd64", annotations={CREATED: "2025-05-05T05:05:05Z"})
    arm = image([plain, layer(one, oci.LAYER + "; v=1")], "arm64")
    statement = layout.put(b'{"predicate":1}', IN_TOTO)
    attestation = layout.put_json(
        {"schemaVersion": 2, "mediaType": oci.MANIFEST, "layers": [statement],
         "config": layout.put_json({"architecture": "unknown", "os": "unknown", "rootfs": {
             "type": "layers", "diff_ids": [statement["digest"]]}}, oci.CONFIG)}, oci.MANIFEST)
    index = layout.index([
        {**amd, "platform": {"os": "linux", "architecture": "amd64", "features": ["x"]}},
        {**arm, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        {**attestation, "platform": {"os": "unknown", "architecture": "unknown"},
         "annotations": {"vnd.docker.reference.type": "attestation-manifest",
                         REFERENCE: amd["digest"]}}])
    layout.tag("multi", layout.index([index]))
    layout.tag("docker", image([layer(two, oci.DOCKER_LAYER)], "amd64", docker=True))
    layout.tag("again", {**amd, "data": base64.b64encode(b"old").decode()})
    layout.tag("scratch", image([], "amd64", annotations={REFERENCE: amd["digest"]}))
    long = layout.put(base, oci.LAYER, algorithm="sha512"), oci.digest_of(base)
    layout.tag("long", image([long], "amd64"))
    empty = layout.put(b"{}", "application/vnd.oci.empty.v1+json")
    artifact = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "artifactType": "application/x",
                "config": empty, "layers": [gz[0]]}
    sbom = layout.put_json({**artifact, "annotations": {REFERENCE: arm["digest"]}, "subject": {
        **amd, "annotations": {REFERENCE: amd["digest"]}}}, oci.MANIFEST)
    signature = layout.put_json({**artifact, "subject": sbom, "layers": [empty]}, oci.MANIFEST)
    stray = layout.put_json({**artifact, "subject": {
        "mediaType": oci.MANIFEST, "digest": "sha256:" + "5" * 64, "size": 5}}, oci.MANIFEST)
    layout.top += [signature, sbom, stray]
    layout.tag(index["digest"].replace(":", "-") + ".sig", layout.put_json(artifact, oci.MANIFEST))
    layout.top.append(layout.put(b"<svg/>", "image/svg+xml"))
    layout.put(b"nothing refers to it", "text/plain")
    layout.top[0]["annotations"][CREATED] = "2025-06-06T06:06:06Z"
    layout.top[0]["annotations"]["free"] = "text"
    write(layout)
    return layout


class Judge:
    """The rules once more. `layers` tells what becomes of a layer's blob: (digest, size, diffid)."""

    def __init__(self, folder, layers, clamp=None, same=False, suffix=""):
        self.folder, self.layers, self.suffix = pathlib.Path(folder), layers, suffix
        self.clamp, self.same = clamp, same
        self.files = {}
        self.moved = {}

    def read(self, digest):
        return (self.folder / "blobs" / digest.replace(":", "/")).read_bytes()

    def put(self, old, data):
        new = oci.digest_of(data) if data != self.read(old) else old
        self.files["blobs/" + new.replace(":", "/")] = data
        self.moved[old] = new, len(data)
        return new, len(data)

    @staticmethod
    def text(document):
        # RFC 8785: keys sorted (ASCII here), no space, no needless escapes.
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def stamp(self, holder, key):
        if key not in holder or self.clamp is None:
            return
        later = {"2024-05-05T01:02:03.5+02:00": 1714863723, "2001-01-01T00:00:00Z": 978307200,
                 "2025-01-01T00:00:00Z": 1735689600}.get(holder[key], 2**40)
        if self.same or later >= self.clamp:
            holder[key] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clamp))

    def there(self, digest):
        return (self.folder / "blobs" / digest.replace(":", "/")).exists()

    def refer(self, holder):
        """The annotation that leads to another document."""
        about = holder.get("annotations", {}).get(REFERENCE)
        if about and self.there(about):
            holder["annotations"][REFERENCE] = self.document(about)[0]

    def annotate(self, holder):
        if "annotations" in holder:
            self.stamp(holder["annotations"], CREATED)
        self.refer(holder)

    def point(self, descriptor, digest, size):
        if descriptor["digest"] != digest:
            descriptor.pop("data", None)
            descriptor.pop("urls", None)
            descriptor["digest"], descriptor["size"] = digest, size

    def layer(self, descriptor, diffids, position):
        kind, _, rest = descriptor["mediaType"].partition(";")
        if "layer.v1.tar" not in kind and "diff.tar" not in kind:
            self.copy(descriptor["digest"])
            return
        digest, size, diffid = self.layers[descriptor["digest"]]
        kind = kind.replace("+gzip", "").replace(".gzip", "")
        dot = "." if "docker" in kind else "+"
        descriptor["mediaType"] = kind + (dot + self.suffix if self.suffix else "") + (
            ";" + rest if rest else "")
        diffids[position] = diffid
        notes = descriptor.get("annotations", {})
        if digest != descriptor["digest"]:
            notes.pop(TOC, None)
            if "containerd.io/uncompressed" in notes:
                notes["containerd.io/uncompressed"] = diffid
        self.point(descriptor, digest, size)

    def copy(self, digest):
        self.files["blobs/" + digest.replace(":", "/")] = self.read(digest)

    def document(self, digest, attestation=False):
        if digest in self.moved:
            return self.moved[digest]
        document = json.loads(self.read(digest))
        if "subject" in document:
            subject = document["subject"]
            if self.there(subject["digest"]):
                self.point(subject, *self.document(subject["digest"]))
            self.refer(subject)
        if "manifests" in document:
            self.index(document)
            return self.put(digest, self.text(document))
        is_image = not attestation and document["config"]["mediaType"] in (oci.CONFIG, oci.DOCKER_CONFIG)
        if not is_image:
            for descriptor in [document["config"], *document["layers"]]:
                self.copy(descriptor["digest"])
            self.refer(document)
            same = document == json.loads(self.read(digest))
            return self.put(digest, self.read(digest) if same else self.text(document))
        config = json.loads(self.read(document["config"]["digest"]))
        for position, descriptor in enumerate(document["layers"]):
            self.layer(descriptor, config["rootfs"]["diff_ids"], position)
            self.annotate(descriptor)
        for holder in [config, *config["history"]]:
            self.stamp(holder, "created")
        self.stamp(config["config"]["Labels"], CREATED)
        self.point(document["config"], *self.put(document["config"]["digest"], self.text(config)))
        self.annotate(document)
        return self.put(digest, self.text(document))

    def index(self, document):
        children = document["manifests"]
        for child in children:
            if child["mediaType"].endswith("+json"):
                attests = "vnd.docker.reference.type" in child.get("annotations", {})
                self.document(child["digest"], attests)
            else:
                self.copy(child["digest"])
        for child in children:
            self.point(child, *self.moved.get(child["digest"], (child["digest"], 0)))
            self.annotate(child)
        self.annotate(document)

    def layout(self):
        index = json.loads((self.folder / "index.json").read_bytes())
        self.index(index)
        for child in index["manifests"]:
            name = child.get("annotations", {}).get(oci.REF_NAME, "")
            digest = name[:71].replace("-", ":", 1)
            if digest in self.moved:
                child["annotations"][oci.REF_NAME] = (
                    self.moved[digest][0].replace(":", "-") + name[71:])
        self.files["index.json"] = self.text(index)
        self.files["oci-layout"] = (self.folder / "oci-layout").read_bytes()
        return self.files


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


class Layouts(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.counter = itertools.count()
        cls.rich = rich_layout(cls.work / "rich")

    def place(self):
        folder = self.work / f"place{next(self.counter)}"
        folder.mkdir()
        return folder

    def normalize(self, layout, *options, expect=0, env=None):
        """The new layout's folder, in a folder of its own; nothing else is ever left there."""
        folder = self.place()
        done = subprocess.run([harness.VARVE, "normalize", f"oci:{layout}", "-o",
                               f"oci:{folder}/out", *options], check=False, env=env or CLEAN,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, expect, done.stderr.decode())
        self.assertEqual([path.name for path in folder.iterdir()], ["out"] if expect == 0 else [])
        self.said, self.complained = done.stdout.decode(), done.stderr.decode()
        return folder / "out"

    def become(self, layout, *options):
        """What `varve normalize` makes of each blob that is a tar."""
        layers = {}
        for path in (layout.folder / "blobs").glob("*/*"):
            out = self.work / "single"
            done = subprocess.run([harness.VARVE, "normalize", path, "-o", out, "--json", *options],
                                  check=False, capture_output=True, env=CLEAN)
            if done.returncode == 0:
                line = json.loads(done.stdout)
                layers[f"{path.parent.name}:{path.name}"] = (line["blob"], out.stat().st_size,
                                                             line["diffid"])
                layers.setdefault("data", {})[line["blob"]] = out.read_bytes()
        return layers

    def check(self, layout, *options, **rules):
        out = self.normalize(layout.folder, *options)
        layers = self.become(layout, *options)
        judge = Judge(layout.folder, layers, **rules)
        expected = judge.layout()
        found = files_of(out)
        for name, data in found.items():
            if name.startswith("blobs/"):
                algorithm, digest = name.split("/")[1:]
                self.assertEqual(hashlib.new(algorithm, data).hexdigest(), digest)
        written = {f"blobs/{digest.replace(':', '/')}": data
                   for digest, data in layers["data"].items()}
        for name in found.keys() - expected.keys():
            self.assertEqual(found.pop(name), written[name], name)
        self.assertEqual(found, expected)
        # Every layer that a manifest names is there, and the scan has nothing to say.
        harness.run(harness.VARVE, "scan", f"oci:{out}")
        return out, judge

    def test_rules(self):
        """Against the second implementation, file by file."""
        for options, rules in (
                ([], {}),
                (["--compress=gzip:1"], {"suffix": "gzip"}),
                (["--compress=zstd:3", "--rung=names"], {"suffix": "zstd"}),
                (["--mtime=1735689600", "--rung=order", "--uid=5"], {"clamp": 1735689600}),
                (["--rung=times"], {"clamp": 0, "same": True}),
                (["--rung=times", "--mtime=-86400"], {"clamp": -86400, "same": True})):
            with self.subTest(options):
                out, _ = self.check(self.rich, *options, **rules)
                # Once more, nothing changes; nor with another number of threads.
                again = self.normalize(out, *options)
                self.assertEqual(files_of(again), files_of(out))
                self.assertIn(" 0 of them changed", self.said)
                for threads in "1", "7":
                    other = self.normalize(self.rich.folder, *options, "--threads", threads)
                    self.assertEqual(files_of(other), files_of(out))

    def test_mapping(self):
        out, judge = self.check(self.rich, "--json", "--compress=gzip", suffix="gzip")
        lines = [json.loads(line) for line in self.said.splitlines()]
        self.assertEqual(lines[-1]["type"], "normalize-summary")
        rows = [line for line in lines if line["type"] == "rewritten"]
        self.assertEqual(len(rows), len(lines) - 1)
        documents = {row["before"]: row["after"] for row in rows
                     if row["kind"] in ("manifest", "index", "config")}
        self.assertEqual(documents, {old: new for old, (new, _) in judge.moved.items()})
        for row in rows:
            self.assertEqual(row["changed"], row["before"] != row["after"])
            for when, folder in (("before", self.rich.folder), ("after", out)):
                path = folder / "blobs" / row[when].replace(":", "/")
                self.assertEqual(path.stat().st_size, row[f"bytes_{when}"], row)
            if row["kind"] == "layer":
                self.assertEqual(judge.layers[row["before"]],
                                 (row["after"], row["bytes_after"], row["diffid_after"]))
        kinds = [row["kind"] for row in rows]
        self.assertEqual({kind: kinds.count(kind) for kind in kinds},
                         {"layer": 5, "blob": 6, "config": 5, "manifest": 10, "index": 2})
        summary = lines[-1]
        self.assertEqual((summary["images"], summary["attestations"], summary["artifacts"]), (5, 1, 4))
        self.assertEqual((summary["layers"], summary["layers_changed"]), (5, 5))
        self.normalize(self.rich.folder)
        self.assertIn("copied: what they say or sign is about the old digests", self.said)
        self.assertEqual(self.said.count(" -> "), 5 + 5 + 7 + 2)

    def test_environment(self):
        """SOURCE_DATE_EPOCH is the clamp, as for layers."""
        by_option = self.normalize(self.rich.folder, "--mtime=1600000000")
        by_environment = self.normalize(self.rich.folder,
                                        env={**CLEAN, "SOURCE_DATE_EPOCH": "1600000000"})
        self.assertEqual(files_of(by_option), files_of(by_environment))
        # What a config cannot hold is refused before anything is written.
        self.normalize(self.rich.folder, f"--mtime={1 << 60}", expect=2)

    def test_same_content_same_image(self):
        """The same images, recompressed and with documents spelled otherwise, become the same."""
        layout = oci.Layout(self.work / "left")
        other = oci.Layout(self.work / "right")
        for side, form, kind in ((layout, tarfile.GNU_FORMAT, oci.LAYER),
                                 (other, tarfile.PAX_FORMAT, oci.LAYER + "+gzip")):
            data = archive("x", "y", form=form)
            stored = gzip.compress(data) if kind.endswith("gzip") else data
            config = {"architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
                      "rootfs": {"type": "layers", "diff_ids": [oci.digest_of(data)]}}
            if side is other:
                config = dict(reversed(config.items()))
            config = side.put(json.dumps(config, indent=side is other).encode(), oci.CONFIG)
            side.tag("a", side.put_json({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config,
                                         "layers": [side.put(stored, kind)]}, oci.MANIFEST))
        outs = [self.normalize(side.folder, "--compress=zstd") for side in (layout, other)]
        self.assertNotEqual(files_of(layout.folder), files_of(other.folder))
        self.assertEqual(*map(files_of, outs))

    def test_vectors(self):
        """The same image as three programs wrote it becomes the same, byte for byte."""
        folder = harness.SOURCE.parent / "shared" / "vectors" / "oci-local"
        if not folder.is_dir():
            self.skipTest("no folder of other programs' images beside this tree")
        layouts = sorted(path for path in folder.iterdir() if path.is_dir())
        self.assertEqual(len(layouts), 3)
        outs = [self.normalize(path, "--compress=gzip") for path in layouts]
        found = [files_of(out) for out in outs]
        for one in found:
            self.assertEqual({name for name in one if name.startswith("blobs/")},
                             {name for name in found[0] if name.startswith("blobs/")})
        for out in outs:
            harness.run(harness.VARVE, "scan", f"oci:{out}")

    def test_tag(self):
        """One tag, what it leads to, and what refers to that, directly or not."""
        out = self.normalize(f"{self.rich.folder}:multi")
        index = json.loads((out / "index.json").read_bytes())
        whole = json.loads((self.normalize(self.rich.folder) / "index.json").read_bytes())
        names = [entry.get("annotations", {}).get(oci.REF_NAME, entry["digest"])
                 for entry in index["manifests"]]
        # multi; the signature of the SBOM of one of its images, that SBOM, the index's signature.
        kept = [whole["manifests"][i] for i in (0, 5, 6, 8)]
        self.assertEqual(index["manifests"], kept)
        self.assertEqual(names[0], "multi")
        self.assertTrue(names[3].startswith("sha256-") and names[3].endswith(".sig"))
        harness.run(harness.VARVE, "scan", f"oci:{out}")
        alone = self.normalize(f"{self.rich.folder}:docker")
        self.assertEqual(len(json.loads((alone / "index.json").read_bytes())["manifests"]), 1)
        self.assertEqual(len(list((alone / "blobs" / "sha256").iterdir())), 3)
        self.normalize(f"{self.rich.folder}:nothing", expect=3)
        self.assertIn("source.tag", self.complained)

    def plant(self, change, tags=("a", "b")):
        """A small layout that `change` spoils before it is tagged: it is given the layout and the
        parts of the second image. Both have the first layer."""
        layout = oci.Layout(self.place() / "layout")
        shared, own = archive("shared"), archive("own")
        parts = {"shared": (layout.put(shared, oci.LAYER), oci.digest_of(shared)),
                 "own": (layout.put(own, oci.LAYER), oci.digest_of(own))}
        layout.tag(tags[0], layout.image([parts["shared"]]))
        change(layout, parts)
        layout.tag(tags[1], layout.image([parts["shared"], parts["own"]], created=parts.get("created")))
        return layout

    def test_faults(self):
        """Each is an error that names the image, with the exit code of the manual; nothing is left."""
        def flip(layout, parts):
            path = layout.path(parts["own"][0]["digest"])
            data = bytearray(path.read_bytes())
            data[520] ^= 1
            path.write_bytes(data)

        def other_diffid(layout, parts):
            parts["own"] = parts["own"][0], oci.digest_of(b"else")

        def put(data, kind=oci.LAYER):
            def change(layout, parts):
                parts["own"] = layout.put(data, kind), oci.digest_of(data)
            return change

        def wrong_size(layout, parts):
            parts["own"][0]["size"] += 1

        def missing(layout, parts):
            layout.path(parts["own"][0]["digest"]).unlink()

        def link(layout, parts):
            path = layout.path(parts["own"][0]["digest"])
            path.rename(path.with_suffix(".moved"))
            path.symlink_to(path.with_suffix(".moved"))

        def cut(layout, parts):
            data = gzip.compress(archive("own"))[:-9]
            parts["own"] = layout.put(data, oci.LAYER + "+gzip"), oci.digest_of(archive("own"))

        def odd_digest(layout, parts):
            parts["own"] = {**parts["own"][0], "digest": "sha256:../../../x"}, parts["own"][1]

        def data(layout, parts):
            parts["own"] = (layout.put(b"other data", "application/vnd.example.data"),
                            oci.digest_of(b"other data"))

        def flipped_data(layout, parts):
            data(layout, parts)
            layout.path(parts["own"][0]["digest"]).write_bytes(b"Other data")

        def longer_data(layout, parts):
            data(layout, parts)
            parts["own"][0]["size"] += 1

        def no_time(layout, parts):
            parts["created"] = "yesterday"

        bomb = b"BZh91AY&SY" + bytes(40)
        clean = ["--mtime=5"]
        for change, code, words, *options in (
                (flip, 1, "claim.name"), (other_diffid, 1, "claim.diffid"),
                (put(b"no tar at all"), 1, "tar.not-tar"), (wrong_size, 1, "claim.size"),
                (put(archive("own")[:600]), 1, "tar.truncated"), (cut, 1, "gzip"),
                (missing, 3, "io.missing"), (link, 3, "io.not-regular"),
                (put(bomb), 3, "decode"), (odd_digest, 1, "oci.descriptor"),
                (flipped_data, 1, "claim.name"), (longer_data, 1, "claim.size"),
                (no_time, 1, "oci.created", *clean)):
            with self.subTest(f"{change.__name__} {words}"):
                layout = self.plant(change)
                before = files_of(layout.folder)
                self.normalize(layout.folder, *options, expect=code)
                self.assertIn(words, self.complained)
                self.assertRegex(self.complained, r"\bb \(sha256:|\(b\): ")
                self.assertNotRegex(self.complained, r"\ba \(sha256:|\(a\): ")
                self.assertEqual(files_of(layout.folder), before)
                self.normalize(layout.folder, "--json", *options, expect=code)
                for line in self.said.splitlines():
                    self.assertEqual(json.loads(line)["type"], "error")
        self.normalize(self.plant(no_time).folder)  # nobody asked for times

    def test_fault_names_all_images(self):
        def spoil(layout, parts):
            layout.path(parts["shared"][0]["digest"]).write_bytes(b"spoilt")
        layout = self.plant(spoil)
        self.normalize(layout.folder, expect=1)
        self.assertIn("a (sha256:", self.complained)
        self.assertIn("b (sha256:", self.complained)
        self.assertEqual(self.complained.count("\n"), 1)

    def test_document_faults(self):
        def change(name, alter):
            layout = self.plant(lambda *_: None)
            path = layout.folder / name if name else layout.path(layout.top[1]["digest"])
            alter(path)
            return layout.folder

        def cut(path):
            path.write_bytes(path.read_bytes()[:-1])

        self.normalize(change("index.json", cut), expect=1)
        self.assertIn("index.json: oci.json", self.complained)
        self.normalize(change(None, cut), expect=1)
        self.assertIn("(b): claim.name", self.complained)
        self.normalize(change(None, pathlib.Path.unlink), expect=3)
        self.assertIn("(b): io.missing", self.complained)
        self.normalize(change("oci-layout", pathlib.Path.unlink), expect=1)
        self.assertIn("oci.layout", self.complained)
        self.normalize(self.work / "not there", expect=3)
        layout = self.plant(lambda *_: None)
        (layout.folder / "index.json").write_bytes(
            layout.path(layout.top[1]["digest"]).read_bytes())
        self.normalize(layout.folder, expect=1)
        self.assertIn("index.json: oci.shape", self.complained)
        # Numbers that RFC 8785 spells in four times the bytes.
        layout = self.plant(lambda *_: None)
        index = layout.folder / "index.json"
        text = index.read_text().rstrip()
        self.assertTrue(text.endswith("}"))
        index.write_text(text[:-1] + ',"x":[' + ",".join(["1e20"] * 800000) + "]}")
        self.normalize(layout.folder, expect=3)
        self.assertIn("index.json: oci.document-size", self.complained)

        def tag(change):
            """A third image whose manifest is changed before it is tagged."""
            layout = self.plant(lambda *_: None)
            manifest = json.loads(layout.path(layout.top[1]["digest"]).read_bytes())
            change(manifest)
            layout.tag("c", layout.put_json(manifest, oci.MANIFEST))
            self.normalize(layout.folder, expect=1)
            self.assertNotIn("(a)", self.complained)

        # The same layer, config and diff_ids, otherwise told of than by the second image.
        tag(lambda manifest: manifest["layers"][1].update(size=1))
        self.assertIn("(c): claim.size", self.complained)
        tag(lambda manifest: manifest["config"].update(size=1))
        self.assertIn("(c): claim.size", self.complained)
        tag(lambda manifest: manifest["layers"].pop())
        self.assertIn("(c): oci.diffid-count", self.complained)
        layout = self.plant(lambda *_: None)
        layout.tag("odd", {"mediaType": oci.MANIFEST, "digest": "sha256:zz", "size": 5})
        self.normalize(layout.folder, expect=1)
        self.assertIn("index.json: oci.descriptor", self.complained)
        layout = self.plant(lambda *_: None)
        manifest = layout.path(layout.top[1]["digest"]).read_bytes()
        layout.tag("twice", layout.put(manifest[:-1] + b',"layers":[]}', oci.MANIFEST))
        self.normalize(layout.folder, expect=1)
        self.assertIn("(twice): oci.json", self.complained)
        # There is no media type for what would come out.
        foreign = oci.DOCKER + "image.rootfs.foreign.diff.tar"
        layout = self.plant(lambda _, parts: parts["own"][0].update(mediaType=foreign))
        self.normalize(layout.folder, "--compress=gzip")
        self.normalize(layout.folder, "--compress=zstd", expect=3)
        self.assertIn("oci.stored", self.complained)

    def test_deep_and_wide(self):
        """A chain of a thousand indexes; and one image under five thousand tags."""
        layout = oci.Layout(self.place() / "layout")
        data = archive("x")
        image = layout.image([(layout.put(data, oci.LAYER), oci.digest_of(data))])
        deep = image
        for _ in range(1000):
            deep = layout.index([deep])
        layout.tag("deep", deep)
        layout.tags([(f"tag{i}", image) for i in range(5000)])
        out = self.normalize(layout.folder)
        self.assertIn("1 images, 1 of them changed; 1 layers", self.said)
        harness.run(harness.VARVE, "scan", f"oci:{out}")

    def test_referrers_beyond_the_tag(self):
        """Twelve thousand entries of one large document, of which nobody asked for any."""
        layout = oci.Layout(self.place() / "layout")
        data = archive("x")
        image = layout.image([(layout.put(data, oci.LAYER), oci.digest_of(data))])
        stray = layout.put_json({"schemaVersion": 2, "config": image, "layers": [], "x": "x" * 4_000_000,
                                 "subject": {**image, "digest": "sha256:" + "7" * 64}}, oci.MANIFEST)
        layout.tags([("wanted", image), *((f"{i}", stray) for i in range(12000))])
        self.normalize(f"{layout.folder}:wanted")
        self.assertIn("1 images, 1 of them changed; 1 layers", self.said)

    def test_output(self):
        """What is there is left alone; an empty folder may be there; words that mean something else."""
        folder = self.place()
        layout = self.plant(lambda *_: None).folder

        def run(output, expect, source=f"oci:{layout}"):
            return harness.run(harness.VARVE, "normalize", source, "-o", output, expect=expect,
                               env=CLEAN)
        (folder / "full").mkdir()
        (folder / "full" / "file").write_text("mine")
        (folder / "file").write_text("mine")
        (folder / "link").symlink_to("nowhere")
        for name in "full", "file", "link", "no/where", "full/..", "full/.", "x:tag", "x:tag/", "x:tag//":
            run(f"oci:{folder}/{name}", 2)
        for name in "oci:", "oci:/", "oci:///":
            run(name, 2)
        run(f"{folder}/plain", 2)
        run(f"oci:{folder}/out", 2, source=str(layout))
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["file", "full", "link"])
        (folder / "empty").mkdir()
        run(f"oci:{folder}/empty///", 0)
        harness.run(harness.VARVE, "scan", f"oci:{folder}/empty")
        run(f"oci:{folder}/empty", 2)
        os.chdir(folder)
        run("oci:here", 0)
        self.assertEqual(files_of(folder / "here"), files_of(folder / "empty"))
        run("oci:.", 2)
        # Files are as readable as any program's are.
        for path in (folder / "here").rglob("*"):
            mask = os.umask(0)
            os.umask(mask)
            self.assertEqual(path.stat().st_mode & 0o777, (0o777 if path.is_dir() else 0o666) & ~mask)

    def test_a_folder_that_is_there(self):
        """It stays what it was, but for what is in it."""
        folder = self.place()
        layout = self.plant(lambda *_: None).folder
        (folder / "mine").mkdir()
        (folder / "mine").chmod(0o2700)
        if os.getuid() == 0:
            os.chown(folder / "mine", 1234, 4321)
        before = (folder / "mine").stat()
        harness.run(harness.VARVE, "normalize", f"oci:{layout}", "-o", f"oci:{folder}/mine", env=CLEAN)
        after = (folder / "mine").stat()
        self.assertEqual((after.st_ino, after.st_mode, after.st_uid, after.st_gid),
                         (before.st_ino, before.st_mode, before.st_uid, before.st_gid))
        self.assertEqual(sorted(path.name for path in (folder / "mine").iterdir()),
                         ["blobs", "index.json", "oci-layout"])
        self.assertEqual(files_of(folder / "mine"), files_of(self.normalize(layout)))
        (folder / "here").mkdir()
        harness.run(harness.VARVE, "normalize", f"oci:{layout}", "-o", "oci:.", env=CLEAN,
                    cwd=folder / "here")
        self.assertEqual(files_of(folder / "here"), files_of(folder / "mine"))
        # Where it cannot be done it is empty again.
        (folder / "mine2").mkdir()
        layout = self.large()
        done = subprocess.run(["bash", "-c", 'trap "" XFSZ; ulimit -f 100; exec "$@"', "-", harness.VARVE,
                               "normalize", f"oci:{layout}", "-o", f"oci:{folder}/mine2"], check=False,
                              env=CLEAN, capture_output=True)
        self.assertEqual(done.returncode, 2, done.stderr.decode())
        self.assertEqual(list((folder / "mine2").iterdir()), [])

    def test_a_file_system_of_its_own(self):
        """Nothing can be renamed to the root of one, nor out of the folder beside it."""
        folder = self.place()
        layout = self.plant(lambda *_: None).folder
        (folder / "mount").mkdir()
        mounted = subprocess.run(["unshare", "--mount", "--", "bash", "-c", 'mount -t tmpfs none "$1"', "-",
                                  folder / "mount"], check=False, capture_output=True)
        if mounted.returncode:
            self.skipTest(f"nothing can be mounted here: {mounted.stderr.decode()}")
        harness.run("unshare", "--mount", "--", "bash", "-c",
                    'mount -t tmpfs none "$1"; "$2" normalize "oci:$3" -o "oci:$1" && cp -r "$1" "$4"', "-",
                    folder / "mount", harness.VARVE, layout, folder / "copy", env=CLEAN)
        self.assertEqual(files_of(folder / "copy"), files_of(self.normalize(layout)))
        self.assertEqual(list((folder / "mount").iterdir()), [])

    def test_links_that_disagree(self):
        """Of each layer it is said how many hard links lost what they said against their file."""
        layout = oci.Layout(self.place() / "layout")
        layers = [(harness.SOURCE / "corpora" / "golden" / name).read_bytes()
                  for name in ("link-mode.tar", "link-star.tar", "link-xattr.tar")]
        layout.tag("one", layout.image([(layout.put(data, oci.LAYER), oci.digest_of(data)) for data in layers]))
        for strength, links in ("encoding", 0), ("order", 2):
            done = subprocess.run([harness.VARVE, "normalize", "--json", f"--rung={strength}",
                                   f"oci:{layout.folder}", "-o", f"oci:{self.place()}/out"], check=True,
                                  capture_output=True, env=CLEAN)
            self.assertEqual(json.loads(done.stdout.splitlines()[-1])["links_overruled"], links)
            said = done.stderr.decode().splitlines()
            self.assertEqual(len(said), links)
            for line, data in zip(said, layers[::2]):
                self.assertIn(f"{oci.digest_of(data)}: 1 hard links disagree with their file", line)
            self.assertEqual([line.endswith("change") for line in said], [True, False][:links])

    def test_an_empty_layout(self):
        """Its folder of blobs is there, as the specification wants it."""
        layout = oci.Layout(self.place() / "layout")
        layout.tags([])
        out = self.normalize(layout.folder)
        self.assertEqual(sorted(str(path.relative_to(out)) for path in out.rglob("*")),
                         ["blobs", "blobs/sha256", "index.json", "oci-layout"])
        harness.run(harness.VARVE, "scan", f"oci:{out}")

    def test_memory(self):
        """A layer that fits alone is written, however many want memory beside it; one that does not is
        a limit, however few do."""
        layout = oci.Layout(self.place() / "layout")
        layers = []
        for i in range(4):
            memory = io.BytesIO()
            with tarfile.open(fileobj=memory, mode="w") as tar:
                for j in range(6000):
                    tar.addfile(tarfile.TarInfo(f"{i}/{j}"))
            layers.append((layout.put(memory.getvalue(), oci.LAYER), oci.digest_of(memory.getvalue())))
        layout.tag("many", layout.image(layers))
        whole = files_of(self.normalize(layout.folder))
        for threads in "1", "8":
            tight = self.normalize(layout.folder, "--memory=4MiB", "--threads", threads)
            self.assertEqual(files_of(tight), whole)
            self.normalize(layout.folder, "--memory=1MiB", "--threads", threads, expect=3)
            self.assertEqual(self.complained.count("memory.budget"), 4)

    def large(self):
        layout = oci.Layout(self.place() / "layout")
        layers = []
        for i in range(4):
            data = archive(f"file{i}", size=3_000_000)
            layers.append((layout.put(data, oci.LAYER), oci.digest_of(data)))
        layout.tag("large", layout.image(layers))
        return layout.folder

    def test_signals(self):
        """TERM and INT leave nothing, KILL at least nothing under the name."""
        layout = self.large()
        whole = files_of(self.normalize(layout, "--compress=gzip:9"))
        ended = {number: 0 for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)}
        for i in range(24):
            number = list(ended)[i % 3]
            folder = self.place()
            process = subprocess.Popen(
                [harness.VARVE, "normalize", f"oci:{layout}", "--compress=gzip:9", "--threads=2", "-o",
                 f"oci:{folder}/out"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=CLEAN)
            time.sleep(0.03 * (i // 3))
            process.send_signal(number)
            complained = process.communicate()[1]
            out = folder / "out"
            if out.exists():
                self.assertEqual(files_of(out), whole)
                continue
            if number == signal.SIGKILL:
                self.assertEqual(process.returncode, -number)
                ended[number] += 1
            elif process.returncode > 0:  # else it had not yet asked to be told
                self.assertEqual((process.returncode, complained), (128 + number, b""))
                self.assertEqual(list(folder.iterdir()), [])
                ended[number] += 1
        self.assertTrue(all(ended.values()), ended)

    def test_full_disk(self):
        """No room, wherever it ends: an error, and nothing left."""
        layout = self.large()
        refused = 0
        for blocks in 4, 100, 4000, 7000, 20000:
            folder = self.place()
            # In units of 1024 bytes: the largest file that may be written.
            done = subprocess.run(["bash", "-c", f'trap "" XFSZ; ulimit -f {blocks}; exec "$@"', "-",
                                   harness.VARVE, "normalize", f"oci:{layout}", "-o",
                                   f"oci:{folder}/out"], check=False, env=CLEAN, capture_output=True)
            if done.returncode == 0:
                self.assertEqual([path.name for path in folder.iterdir()], ["out"])
                continue
            self.assertEqual(done.returncode, 2, done.stderr.decode())
            self.assertIn(b"io.write", done.stderr)
            self.assertEqual(list(folder.iterdir()), [])
            refused += 1
        self.assertGreater(refused, 1)


if __name__ == "__main__":
    harness.main()
