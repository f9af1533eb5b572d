# SPDX-License-Identifier: Apache-2.0
"""Images made by umoci: three tags that share layers."""

import judge
import makers
import harness


class Umoci(judge.ScanCase):
    def test_tags_share_layers(self):
        trees = [judge.real_tree(self.work / f"tree{i}", *packages)
                 for i, packages in enumerate(makers.PACKAGES)]
        layout = makers.umoci_layout(self.work / "layout", trees)
        seen = self.judge(layout)
        self.assertEqual([line["format"] for line in seen["layer"]], ["gzip"] * 3)
        self.assertEqual(sorted(len(line["layers"]) for line in seen["image"]), [1, 2, 3])
        self.judge_threads(layout)


if __name__ == "__main__":
    harness.need_tools("umoci", "gzip")
    harness.main()
