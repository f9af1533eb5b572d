# SPDX-License-Identifier: Apache-2.0
"""Images copied by skopeo: recompressed to zstd and gzip, decompressed, as Docker schema 2."""

import json

import judge
import makers
import harness

import oci

TAGS = ("t0", "t1", "t2")


class Skopeo(judge.ScanCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        trees = [judge.real_tree(cls.work / f"tree{i}", *packages)
                 for i, packages in enumerate(makers.PACKAGES)]
        cls.umoci = makers.umoci_layout(cls.work / "umoci", trees)

    def diffids(self, seen):
        return sorted(line["rungs"]["diffid"] for line in seen["layer"])

    def test_zstd_and_back(self):
        zstd = makers.skopeo_layout(self.work / "zstd", self.umoci, TAGS,
                                    "--dest-compress-format", "zstd")
        seen = self.judge(zstd)
        self.assertEqual([line["format"] for line in seen["layer"]], ["zstd"] * 3)
        self.judge_threads(zstd)
        gzip = makers.skopeo_layout(self.work / "gzip", zstd, TAGS,
                                    "--dest-compress-format", "gzip")
        again = self.judge(gzip)
        self.assertEqual([line["format"] for line in again["layer"]], ["gzip"] * 3)
        # Compression alone differs: the diffids are those of the images we came from.
        self.assertEqual(self.diffids(seen), self.diffids(again))
        self.assertEqual(self.diffids(seen), self.diffids(self.scan(self.umoci)))

    def test_plain_layers(self):
        copies = []
        for tag in TAGS:
            copies.append((tag, self.work / f"plain {tag}"))
            makers.skopeo_copy(f"oci:{self.umoci}:{tag}", f"dir:{copies[-1][1]}",
                               "--dest-decompress")
        seen = self.judge(makers.layout_of_dir(self.work / "plain", copies))
        self.assertEqual([line["format"] for line in seen["layer"]], ["tar"] * 3)
        for line in seen["layer"]:
            self.assertEqual(line["rungs"]["blob"], line["rungs"]["diffid"])

    def test_docker_schema_2(self):
        copies = []
        for tag in TAGS:
            copies.append((tag, self.work / f"docker {tag}"))
            makers.skopeo_copy(f"oci:{self.umoci}:{tag}", f"dir:{copies[-1][1]}",
                               "--format", "v2s2")
            manifest = json.loads((copies[-1][1] / "manifest.json").read_bytes())
            self.assertEqual(manifest["mediaType"], oci.DOCKER_MANIFEST)
        self.judge(makers.layout_of_dir(self.work / "docker", copies))


if __name__ == "__main__":
    harness.need_tools("skopeo", "umoci", "gzip", "zstd")
    harness.main()
