# SPDX-License-Identifier: Apache-2.0
"""What the Python tests share: paths that ctest gives, running programs, skipping aloud."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77
SOURCE = pathlib.Path(os.environ.get("VARVE_SOURCE_DIR", pathlib.Path(__file__).parent.parent))
BUILD = pathlib.Path(os.environ.get("VARVE_BUILD_DIR", SOURCE / "build" / "release"))
VARVE = os.path.abspath(os.environ.get("VARVE", BUILD / "src" / "cli" / "varve"))
CC = os.environ.get("VARVE_CC", "cc")

sys.path.insert(0, str(SOURCE / "corpora"))


def skip(reason):
    """Ends the whole test as skipped."""
    print("SKIPPED:", reason)
    sys.exit(SKIPPED)


def need_tools(*names):
    """Skips where one of these programs is not installed."""
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        skip("not installed: " + ", ".join(missing))


def run(*argv, expect=0, **options):
    """Runs a program and gives its stdout as bytes; any other exit code than expected fails."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    done = subprocess.run([str(word) for word in argv], check=False, **options)
    if done.returncode != expect:
        raise AssertionError(
            f"{argv} ended with {done.returncode}, expected {expect}\n"
            + (done.stdout or b"").decode(errors="replace")
            + (done.stderr or b"").decode(errors="replace"))
    return done.stdout


def wait_awake(process, seconds):
    """Waits for a process for as long as this one is awake: where the machine stops for a while, or has
    better to do, neither is to blame. False: it still runs."""
    for _ in range(int(seconds * 10)):
        try:
            process.wait(timeout=0.1)
            return True
        except subprocess.TimeoutExpired:
            pass
    return False


class Case(unittest.TestCase):
    """A test case with a folder of its own, self.work; the path has a space in it on purpose."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory(prefix="varve test ")
        cls.addClassCleanup(cls._folder.cleanup)
        cls.work = pathlib.Path(cls._folder.name)


def main():
    """Runs the calling module's cases. A test skipped inside makes the whole a skip, so that it is
    seen; a failure weighs more."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun == 0:
        print("no test ran", file=sys.stderr)
        sys.exit(1)
    if result.skipped:
        skip("; ".join(reason for _, reason in result.skipped))
