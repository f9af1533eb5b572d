# SPDX-License-Identifier: Apache-2.0
"""Images made by buildah: from scratch, and a tag on top of the other."""

import judge
import makers
import harness


class Buildah(judge.ScanCase):
    def layout(self, *packages):
        """A layout of one tag per list of packages."""
        name = self.id()
        trees = [judge.real_tree(self.work / f"{name} tree{i}", *names, most_bytes=3 << 20)
                 for i, names in enumerate(packages)]
        work = self.work / f"{name} stores"
        work.mkdir()
        try:
            return makers.buildah_layout(self.work / name, work, trees)
        except makers.CannotWork as error:
            self.skipTest(str(error))

    def test_one_layer(self):
        seen = self.judge(self.layout(makers.PACKAGES[0]))
        self.assertEqual([len(line["layers"]) for line in seen["image"]], [1])

    def test_layers_upon_layers(self):
        layout = self.layout(*makers.PACKAGES[:2])
        seen = self.judge(layout)
        self.assertEqual(sorted(len(line["layers"]) for line in seen["image"]), [1, 2])
        self.judge_threads(layout)


if __name__ == "__main__":
    harness.need_tools("buildah")
    harness.main()
