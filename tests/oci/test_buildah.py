# SPDX-License-Identifier: Apache-2.0
"""Images made by buildah: from scratch, a tag on top of the other."""

import judge
import makers
import harness


class Buildah(judge.ScanCase):
    def test_layers_upon_layers(self):
        trees = [judge.real_tree(self.work / f"tree{i}", *packages, most_bytes=3 << 20)
                 for i, packages in enumerate(makers.PACKAGES[:2])]
        work = self.work / "stores"
        work.mkdir()
        layout = makers.buildah_layout(self.work / "layout", work, trees)
        seen = self.judge(layout)
        self.assertEqual(sorted(len(line["layers"]) for line in seen["image"]), [1, 2])
        self.judge_threads(layout)


if __name__ == "__main__":
    harness.need_tools("buildah")
    harness.main()
