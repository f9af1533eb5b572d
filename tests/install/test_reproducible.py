# SPDX-License-Identifier: Apache-2.0
"""The build is deterministic: two builds of the same sources in different folders, at different
times, give the same bytes of the program and of both libraries."""

import hashlib
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness
from harness import run

MADE = ("src/cli/varve", "libvarve.a", "libvarve.so")
SOURCES = ("CMakeLists.txt", "cmake", "include", "src", "kernels", "docs")


class Reproducible(harness.Case):
    def build(self, folder, build):
        """Copies the sources to `folder`, builds them in `build`, gives the results' digests."""
        folder.mkdir(parents=True)
        for name in SOURCES:
            source = harness.SOURCE / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        run("cmake", "-G", "Ninja", "-S", folder, "-B", build,
            f"-DCMAKE_C_COMPILER={harness.CC}", "-DCMAKE_BUILD_TYPE=Release", "-DVARVE_TESTS=OFF")
        run("cmake", "--build", build)
        return {name: hashlib.sha256((build / name).read_bytes()).hexdigest() for name in MADE}

    def test_two_folders_give_the_same_bytes(self):
        here = self.work / "a"
        there = self.work / "another, deeper" / "folder"
        self.assertEqual(self.build(here, here / "build"), self.build(there, there / "out" / "b"))


if __name__ == "__main__":
    harness.need_tools("cmake", "ninja")
    harness.main()
