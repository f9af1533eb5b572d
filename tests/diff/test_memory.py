#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The memory of a comparison: so much an entry, however they differ, and nothing for content. With
VARVE_TEST_LONG a million entries on each side, else a hundred thousand."""

import os
import pathlib
import subprocess
import sys
import unittest
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness

ENTRIES = 1_000_000 if os.environ.get("VARVE_TEST_LONG") else 100_000
BASE = 64 << 20  # the program, its rooms and tables
EACH = 600  # bytes an entry of each side
SANITIZED = "sanitize" in os.environ.get("VARVE_BUILD_DIR", "") or \
    any(word in os.environ.get("VARVE_BUILD_DIR", "") for word in ("asan", "tsan"))


def gzip(path, pieces):
    encoder = zlib.compressobj(1, zlib.DEFLATED, 31)
    with open(path, "wb") as file:
        for piece in pieces:
            file.write(encoder.compress(piece))
        file.write(encoder.flush())


def many(count, mtime, backwards=False):
    """Headers of empty files, many at a time."""
    tail = (b"0000644\0" + b"0000000\0" * 2 + b"0" * 11 + b"\0" + b"%011o\0" % mtime + b" " * 8 +
            b"0" + bytes(100) + b"ustar\x0000" + b"root".ljust(32, b"\0") * 2 + b"0000000\0" * 2 +
            bytes(167))
    total = sum(tail)
    batch = []
    for i in range(count - 1, -1, -1) if backwards else range(count):
        name = b"usr/share/dir%03d/file-with-a-name-%07d" % (i // 1000, i)
        batch.append(name.ljust(100, b"\0") + tail[:48] + b"%06o\0 " % (total + sum(name)) +
                     tail[56:])
        if len(batch) == 1000:
            yield b"".join(batch)
            batch = []
    yield b"".join(batch) + bytes(1024)


def large(byte):
    """One file of 256 MiB."""
    head = (b"large".ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % (1 << 28) +
            b"0" * 11 + b"\0" + b" " * 8 + b"0" + bytes(100) + b"ustar\x0000" + bytes(247))
    yield head[:148] + b"%06o\0 " % sum(head) + head[156:]
    piece = byte * (1 << 20)
    for _ in range(1 << 8):
        yield piece
    yield bytes(1024)


class Memory(harness.Case):
    def peak(self, *arguments, expect=1):
        """Bytes that the program had at most."""
        child = subprocess.Popen([harness.VARVE, "diff", *map(str, arguments)],
                                 stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(child.returncode, expect)
        return usage.ru_maxrss << 10

    @unittest.skipIf(SANITIZED, "a sanitizer's memory is its own")
    def test_entries(self):
        left, later, back = (self.work / name for name in ("left.gz", "later.gz", "back.gz"))
        gzip(left, many(ENTRIES, 1_700_000_000))
        gzip(later, many(ENTRIES, 1_700_000_001))
        gzip(back, many(ENTRIES, 1_700_000_000, True))
        for right in (later, back):
            peak = self.peak(left, right)
            print("%d entries: %.1f MB, %d bytes an entry of each side" %
                  (ENTRIES, peak / 1e6, peak / 2 / ENTRIES))
            self.assertLess(peak, BASE + 2 * ENTRIES * EACH)
        # What does not fit is said, and nothing is guessed.
        self.peak("--memory=16M", "--rung=encoding", left, later, expect=2)

    @unittest.skipIf(SANITIZED, "a sanitizer's memory is its own")
    def test_content(self):
        left, right = self.work / "a.gz", self.work / "b.gz"
        gzip(left, large(b"a"))
        gzip(right, large(b"b"))
        peak = self.peak(left, right)
        print("two files of 256 MiB: %.1f MB" % (peak / 1e6))
        self.assertLess(peak, BASE)


if __name__ == "__main__":
    harness.main()
