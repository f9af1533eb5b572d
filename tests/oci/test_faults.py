# SPDX-License-Identifier: Apache-2.0
"""A mirror made by skopeo with one fault in it: varve names that fault, digests all else, exits 1."""

import shutil

import judge
import makers
import harness

import oci

TAGS = ("t0", "t1", "t2")


class Faults(judge.ScanCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        trees = [judge.real_tree(cls.work / f"tree{i}", *packages)
                 for i, packages in enumerate(makers.PACKAGES)]
        umoci = makers.umoci_layout(cls.work / "umoci", trees)
        cls.good = makers.skopeo_layout(cls.work / "good", umoci, TAGS,
                                        "--dest-compress-format", "zstd")
        cls.images = {tag: (digest, manifest, config)
                      for tag, _, digest, manifest, config in judge.walk(cls.good)}

    def copy(self, name):
        return shutil.copytree(self.good, self.work / name)

    def faulty(self, layout):
        """Scans; gives the layers and images that are not ok. All layers that decode are judged."""
        seen = self.scan(layout, expect=1)
        names = {layer["digest"] for image in judge.walk(layout) for layer in image[3]["layers"]}
        self.assertEqual({line["name"] for line in seen["layer"]}, names)
        self.assertEqual(len(seen["layer"]), len(names))
        judged = [line for line in seen["layer"] if line["checks"]["name"] == "ok"]
        for line in judged:
            # A claim that does not hold changes no digest.
            self.judge_layer(line, judge.blob_of(layout, line["name"]))
        self.assertEqual(len(names), len(TAGS))
        self.assertGreaterEqual(len(judged), len(TAGS) - 1)
        self.judge_threads(layout, expect=1)
        return ([line for line in seen["layer"] if line["status"] != "ok"],
                sorted((line for line in seen["image"] if line["status"] != "ok"),
                       key=lambda line: line["ref"]))

    def said(self, layout, *words):
        """What a person is told names the fault as well."""
        text = harness.run(harness.VARVE, "scan", f"oci:{layout}", expect=1).decode()
        for word in words:
            self.assertIn(word, text)

    def flip(self, offset_of):
        """Flips one bit of the second layer of three; t0 does not have it."""
        layout = self.copy(f"flipped {self.id()}")
        digest = self.images["t1"][1]["layers"][1]["digest"]
        path = judge.blob_of(layout, digest)
        data = bytearray(path.read_bytes())
        data[offset_of(data)] ^= 0x10
        path.chmod(0o600)
        path.write_bytes(data)
        layers, images = self.faulty(layout)
        self.assertEqual([line["name"] for line in layers], [digest])
        line = layers[0]
        self.assertIn(line["status"], ("mismatch", "malformed"))
        self.assertEqual(line["checks"]["name"], "mismatch")
        self.assertEqual(line["checks"]["size"], "ok")
        self.assertEqual(line["rungs"]["blob"], judge.sha256sum(path))
        self.assertEqual([image["ref"] for image in images], ["t1", "t2"])
        for image in images:
            self.assertEqual([layer["digest"] for layer in image["layers"]
                              if layer["checks"]["name"] != "ok"], [digest])
        self.said(layout, digest)
        return line

    def test_flipped_byte(self):
        self.flip(lambda data: len(data) // 2)

    def test_flipped_byte_of_a_checksum(self):
        # The decoder's own check fails, after all data.
        line = self.flip(lambda data: len(data) - 1)
        self.assertEqual(line["status"], "malformed")
        self.assertNotIn("diffid", line["rungs"])
        self.assertTrue(line["error"]["code"])

    def test_wrong_diffid(self):
        layout = self.copy("diffid")
        digest, manifest, config = self.images["t1"]
        wrong = oci.digest_of(b"something else")

        def change(document):
            document["rootfs"]["diff_ids"][1] = wrong
        oci.repoint(layout, manifest["config"]["digest"], change, name="t1")
        layers, images = self.faulty(layout)
        # The blob itself is shared with t2, whose config is right; what is wrong is t1.
        layer = manifest["layers"][1]["digest"]
        self.assertEqual([line["name"] for line in layers], [layer])
        self.assertEqual((layers[0]["status"], layers[0]["checks"]["diffid"]),
                         ("mismatch", "mismatch"))
        self.assertEqual(layers[0]["rungs"]["diffid"], config["rootfs"]["diff_ids"][1])
        self.assertEqual([(line["ref"], line["status"]) for line in images], [("t1", "mismatch")])
        self.assertNotEqual(images[0]["digest"], digest)
        self.assertEqual([line["checks"]["diffid"] for line in images[0]["layers"]],
                         ["ok", "mismatch"])
        self.assertEqual(images[0]["layers"][1]["diffid"], wrong)
        self.said(layout, layer)

    def test_wrong_size(self):
        layout = self.copy("size")
        digest, manifest, _ = self.images["t2"]
        layer = manifest["layers"][2]

        def change(document):
            document["layers"][2]["size"] += 1
        oci.repoint(layout, digest, change, name="t2")
        layers, images = self.faulty(layout)
        self.assertEqual([line["name"] for line in layers], [layer["digest"]])
        self.assertEqual((layers[0]["status"], layers[0]["checks"]["size"]),
                         ("mismatch", "mismatch"))
        self.assertEqual(layers[0]["checks"]["name"], "ok")
        self.assertEqual([(line["ref"], line["status"]) for line in images], [("t2", "mismatch")])
        self.assertEqual([line["checks"]["size"] for line in images[0]["layers"]],
                         ["ok", "ok", "mismatch"])
        self.assertEqual(images[0]["layers"][2]["size"], layer["size"] + 1)
        self.said(layout, layer["digest"])

    def test_all_at_once(self):
        layout = self.copy("all")
        _, manifest, _ = self.images["t0"]
        path = judge.blob_of(layout, manifest["layers"][0]["digest"])
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)
        oci.repoint(layout, self.images["t1"][1]["config"]["digest"],
                    lambda document: document["rootfs"]["diff_ids"].__setitem__(
                        1, oci.digest_of(b"else")), name="t1")
        oci.repoint(layout, self.images["t2"][0],
                    lambda document: document["layers"][2].__setitem__("size", 7), name="t2")
        layers, _ = self.faulty(layout)
        wrong = {line["name"]: {name for name, check in line["checks"].items()
                                if check == "mismatch"} for line in layers}
        names = [layer["digest"] for layer in self.images["t2"][1]["layers"]]
        self.assertEqual(set(wrong), set(names))
        self.assertIn("name", wrong[names[0]])
        self.assertEqual((wrong[names[1]], wrong[names[2]]), ({"diffid"}, {"size"}))


if __name__ == "__main__":
    harness.need_tools("skopeo", "umoci", "zstd", "gzip")
    harness.main()
