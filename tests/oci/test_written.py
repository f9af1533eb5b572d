# SPDX-License-Identifier: Apache-2.0
"""Layouts written here after the image-spec, with what the common tools do not make: indexes in
indexes, manifests without mediaType, sha512 names, Docker's lists, layers of every compression; and
documents with faults."""

import gzip
import io
import tarfile

import judge
import harness
from harness import run

import oci

GZIP = oci.LAYER + "+gzip"
ZSTD = oci.LAYER + "+zstd"


class Written(judge.ScanCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tars = []
        for number, packages in enumerate((("bash",), ("tar", "dash"), ("base-files",))):
            tree = judge.real_tree(cls.work / f"tree{number}", *packages, most_bytes=2 << 20)
            memory = io.BytesIO()
            with tarfile.open(fileobj=memory, mode="w", format=tarfile.PAX_FORMAT) as archive:
                archive.add(tree, arcname=".")
            cls.tars.append(memory.getvalue())

    def layout(self):
        self.folder = self.work / self.id()
        return oci.Layout(self.folder)

    def layers(self, layout, **fields):
        """The three archives as gzip, zstd and plain layers, with their diffids."""
        kinds = ((GZIP, lambda data: gzip.compress(data, 6)),
                 (ZSTD, lambda data: run("zstd", "-q", "-c", "-3", input=data)),
                 (oci.LAYER, lambda data: data))
        return [(layout.put(encode(tar), kind, **fields), oci.digest_of(tar))
                for tar, (kind, encode) in zip(self.tars, kinds)]

    def test_every_compression(self):
        layout = self.layout()
        layout.tag("all", layout.image(self.layers(layout)))
        seen = self.judge(self.folder)
        self.assertEqual(sorted(line["format"] for line in seen["layer"]), ["gzip", "tar", "zstd"])
        for line in seen["layer"]:
            self.assertEqual(line["checks"]["media_type"], "ok")
        self.judge_threads(self.folder)

    def test_nested_indexes(self):
        layout = self.layout()
        layers = self.layers(layout)
        images = [layout.image(layers[:count], architecture=architecture)
                  for count, architecture in ((1, "amd64"), (2, "arm64"), (3, "riscv64"))]
        inner = layout.index(images[1:])
        for _ in range(40):
            inner = layout.index([inner])
        layout.tag("deep", layout.index([images[0], inner]))
        seen = self.judge(self.folder)
        self.assertEqual({line["platform"] for line in seen["image"]},
                         {"linux/amd64", "linux/arm64", "linux/riscv64"})
        self.assertEqual({line["ref"] for line in seen["image"]}, {"deep"})

    def test_docker_media_types(self):
        layout = self.layout()
        pair = self.layers(layout)[0]
        pair[0]["mediaType"] = oci.DOCKER_LAYER
        layout.tag("docker", layout.index([layout.image([pair], docker=True)], docker=True))
        self.judge(self.folder)

    def test_manifest_without_media_type(self):
        layout = self.layout()
        layout.tag("bare", layout.image(self.layers(layout), media_type=False))
        self.judge(self.folder)

    def test_sha512_names(self):
        layout = self.layout()
        layers = self.layers(layout, algorithm="sha512")
        layout.tag("long", layout.image(layers, algorithm="sha512"))
        seen = self.judge(self.folder)
        for line in seen["layer"]:
            self.assertRegex(line["name"], "^sha512:[0-9a-f]{128}$")
            self.assertRegex(line["rungs"]["blob"], "^sha256:")

    def test_sha512_name_that_is_wrong(self):
        layout = self.layout()
        layers = self.layers(layout, algorithm="sha512")
        path = layout.path(layers[2][0]["digest"])
        data = bytearray(path.read_bytes())
        data[-600] ^= 1
        path.write_bytes(data)
        layout.tag("long", layout.image(layers))
        seen = self.scan(self.folder, expect=1)
        self.assertEqual({line["name"]: line["checks"]["name"] for line in seen["layer"]},
                         {layers[0][0]["digest"]: "ok", layers[1][0]["digest"]: "ok",
                          layers[2][0]["digest"]: "mismatch"})

    def test_two_ways_to_one_image(self):
        layout = self.layout()
        image = layout.image(self.layers(layout))
        layout.tag("one", image)
        layout.tag("two", layout.index([image]))
        self.judge(self.folder)

    def test_blobs_that_nothing_refers_to(self):
        layout = self.layout()
        layers = self.layers(layout)
        layout.tag("one", layout.image(layers[:1]))
        left = layout.put(b"left behind", GZIP)
        seen = self.judge(self.folder)
        self.assertEqual({line["name"] for line in seen["rest"]},
                         {left["digest"], layers[1][0]["digest"], layers[2][0]["digest"]})

    def test_label_against_compression(self):
        layout = self.layout()
        layers = self.layers(layout)
        layers[1][0]["mediaType"] = GZIP
        layout.tag("label", layout.image(layers))
        seen = self.scan(self.folder)
        self.assertEqual({line["name"]: line["checks"]["media_type"] for line in seen["layer"]},
                         {layers[0][0]["digest"]: "ok", layers[1][0]["digest"]: "mismatch",
                          layers[2][0]["digest"]: "ok"})
        line = next(line for line in seen["layer"] if line["name"] == layers[1][0]["digest"])
        self.assertIn("claim.media-type", [finding["code"] for finding in line["findings"]])

    def test_diffids_too_few(self):
        layout = self.layout()
        layers = self.layers(layout)
        config = layout.put_json({"architecture": "amd64", "os": "linux", "rootfs": {
            "type": "layers", "diff_ids": [diffid for _, diffid in layers[:2]]}}, oci.CONFIG)
        layout.tag("few", layout.put_json(
            {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config,
             "layers": [layer for layer, _ in layers]}, oci.MANIFEST))
        seen = self.scan(self.folder, expect=1)
        self.assertEqual(len(seen["image"]), 1)
        self.assertIn(seen["image"][0]["status"], ("mismatch", "malformed"))
        for line in seen["layer"]:
            self.judge_layer(line, judge.blob_of(self.folder, line["name"]))

    def test_missing_blob(self):
        layout = self.layout()
        layers = self.layers(layout)
        layout.path(layers[0][0]["digest"]).unlink()
        layout.tag("gap", layout.image(layers))
        lines = self.scan_bytes(self.folder, expect=3)
        self.assertIn(b'"io.missing"', lines)
        self.assertIn(layers[1][1].encode(), lines)
        self.assertIn(layers[2][1].encode(), lines)

    def test_manifest_that_is_not_its_name(self):
        layout = self.layout()
        image = layout.image(self.layers(layout)[:1])
        good = layout.image(self.layers(layout)[1:])
        path = layout.path(image["digest"])
        path.write_bytes(path.read_bytes() + b" ")
        layout.tag("bad", image)
        layout.tag("good", good)
        lines = self.scan_bytes(self.folder, expect=1)
        self.assertIn(good["digest"].encode(), lines)

    def test_documents_that_break_their_rules(self):
        layout = self.layout()
        layers = self.layers(layout)
        layout.tag("good", layout.image(layers))
        documents = {
            "twice": b'{"schemaVersion":2,"layers":[],"layers":[],"config":{}}',
            "cut": b'{"schemaVersion":2,',
            "both": b'{"schemaVersion":2,"manifests":[],"layers":[],"config":{"digest":"x"}}',
            "traversal": b'{"schemaVersion":2,"config":{"mediaType":"a/b","digest":'
                         b'"sha256:../../../../etc/passwd","size":1},"layers":[]}',
            "negative": b'{"schemaVersion":2,"config":{"mediaType":"a/b","size":-1,"digest":"'
                        + oci.digest_of(b"").encode() + b'"},"layers":[]}',
            "deep": b"[" * 100000,
        }
        for name, document in documents.items():
            layout.tag(name, layout.put(document, oci.MANIFEST))
        lines = self.scan_bytes(self.folder, expect=1)
        for pair in layers:
            self.assertIn(pair[1].encode(), lines)
        for name in documents:
            self.assertIn(oci.digest_of(documents[name]).encode(), lines, name)


if __name__ == "__main__":
    harness.need_tools("gzip", "zstd")
    harness.main()
