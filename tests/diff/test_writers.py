#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One tree, many writers: whatever two of them made, a comparison tells all that differs, on the
rungs on which it is seen."""

import importlib.util
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import differ
import harness

spec = importlib.util.spec_from_file_location(
    "writers", pathlib.Path(__file__).parent.parent / "writers" / "test_writers.py")
writers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writers)


class Writers(harness.Case):
    def check(self, name):
        fill, packers = writers.TREES[name]
        root = self.work / name
        root.mkdir()
        fill(root)
        paths = writers.listing(root)
        packed = {}
        for writer, pack in packers.items():
            if writers.installed(pack.tool):
                packed[writer] = self.work / ("%s-%s.tar" % (name, writer))
                packed[writer].write_bytes(pack(root, paths, self.work))
            else:
                print("not installed:", pack.tool)
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

    def test_plain(self):
        self.check("plain")

    def test_hard(self):
        self.check("hard")

    def test_fractional(self):
        self.check("fractional")

    def test_attributed(self):
        probe = self.work / "probe"
        probe.write_bytes(b"")
        try:
            os.setxattr(probe, "user.probe", b"1")
        except OSError:
            self.skipTest("no extended attributes here")
        self.check("attributed")


if __name__ == "__main__":
    harness.main()
