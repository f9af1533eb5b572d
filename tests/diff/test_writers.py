#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One tree, many writers: whatever two of them made, a comparison tells all that differs, on the
rungs on which it is seen."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "writers"))
import differ
import trees


class Writers(trees.Case):
    def check(self, name):
        packed = self.pack_all(name)
        self.assertGreater(len(packed), 3)
        wrong, count, met = [], 0, set()
        for i, left in enumerate(packed):
            for right in list(packed)[:i]:
                said = differ.Layers(packed[left], packed[right])
                wrong += ["%s against %s: %s" % (left, right, fault) for fault in said.faults()]
                # The trees are the same files: nothing comes or goes that a writer did not leave
                # out.
                met.add(said.meet)
                count += 1
        print("%s: %d pairs, which meet on %s" % (name, count, sorted(map(str, met))))
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    trees.main()
