# SPDX-License-Identifier: Apache-2.0
"""What a layer costs grows as its entries do and no faster: ten times the entries, whiteouts, hard links,
duplicates, records or members are at most eleven times the instructions (callgrind counts them, so that a
busy machine changes nothing), and a million entries fit into 400 MiB of memory."""

import gzip
import json
import os
import random
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402

sys.path.insert(0, str(harness.SOURCE / "tests" / "ladder"))
import mutations  # noqa: E402

LONG = os.environ.get("VARVE_TEST_LONG") == "1"
SMALL, TIMES = 250, 10
# Records may be kept apart by what they say of memory: the program itself, and what it has in flight.
BASE_BYTES = 24 << 20


def header(name, kind=b"0", link=b"", before=b""):
    """One entry without content, as fast as Python makes them."""
    block = b"%s0000644\0000000000\0000000000\00000000000000\00014524577400\0        %s%sustar\00000" % (
        name.ljust(100, b"\0"), kind, link.ljust(100, b"\0"))
    block += b"root".ljust(32, b"\0") * 2 + b"0000000\0" * 2
    return before + (block[:148] + b"%06o\0 " % sum(block) + block[156:]).ljust(512, b"\0")


def shuffled(count):
    """The numbers below count in an order without a pattern that sorting could profit from."""
    numbers = list(range(count))
    random.Random(count).shuffle(numbers)
    return numbers


# What there is n of, and the archive's or blob's pieces.
SHAPES = {
    "files in any order": lambda n: [header(b"usr/lib/%d/f-%d" % (i % 97, i)) for i in shuffled(n)],
    "whiteouts": lambda n: [header(b"d/%d/.wh.f%d" % (i % 97, i)) for i in range(n)],
    "whiteouts of own files": lambda n: [
        header(b".wh.x%d" % (i // 2) if i % 2 else b"x%d" % (i // 2)) for i in range(n)],
    "links to one file": lambda n: [header(b"l0")] + [header(b"l%d" % i, b"1", b"l0")
                                                      for i in range(1, n)],
    "a chain of links": lambda n: [header(b"l0")] + [header(b"l%d" % i, b"1", b"l%d" % (i - 1))
                                                     for i in range(1, n)],
    "links before their files": lambda n: [header(b"l%d" % i, b"1", b"l%d" % (i + 1))
                                           for i in range(n)],
    "one file again and again": lambda n: [header(b"same")] * n,
    "one directory again and again": lambda n: [header(b"same/", b"5")] * n,
    "ever deeper": lambda n: [header(b"d/" * (i % 45) + b"%d" % i) for i in range(n)],
    "files beneath files": lambda n: [header(b"a%d/b" % (i - 1) if i % 2 else b"a%d" % i)
                                      for i in range(n)],
    "long names": lambda n: [header(b"x", before=mutations.extension(
        b"x", b"L", b"n" * 200 + b"%d\0" % i)) for i in range(n)],
    "pax records of one entry": lambda n: [header(b"x", before=mutations.pax_header(
        [(b"K.%05d" % i, b"1") for i in shuffled(n)]))],
    "xattrs of one entry": lambda n: [header(b"x", before=mutations.pax_header(
        [(b"SCHILY.xattr.user.%05d" % i, b"1") for i in shuffled(n)]))],
    "global headers": lambda n: [mutations.pax_header([(b"K", b"%d" % i)], b"g") for i in range(n)],
    "runs of a sparse file": lambda n: [header(b"x", before=mutations.pax_header(
        [(b"GNU.sparse.map", b",".join(b"%05d,0" % i for i in range(n))), (b"GNU.sparse.numblocks",
                                                                        b"%d" % n),
         (b"GNU.sparse.size", b"%d" % n)]))],
    "gzip members": lambda n: [gzip.compress(b"\0" * 512, mtime=0)] * n,
    "empty zstd frames": lambda n: [b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"] * n,
}


def archive(shape, count):
    data = b"".join(SHAPES[shape](count))
    return data if "members" in shape or "frames" in shape else data + bytes(1024)


class Work(harness.Case):
    def instructions(self, data):
        """Without vectors: what lanes cost that happen to be empty is not the layer's."""
        path = self.work / "layer"
        path.write_bytes(data)
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", harness.VARVE,
                   "digest", "--json", "--threads=1", "--cpu=scalar", path]
        with tempfile.TemporaryFile() as log:
            layer = harness.run(*command, stderr=log).splitlines()[1]
            self.assertEqual(json.loads(layer)["status"], "ok")
            log.seek(0)
            return int(re.search(rb"Collected : (\d+)", log.read())[1])

    def test_ten_times_as_many(self):
        if not shutil.which("valgrind"):
            self.skipTest("not installed: valgrind")
        nothing = self.instructions(b"")
        for shape in SHAPES:
            with self.subTest(shape):
                few = self.instructions(archive(shape, SMALL)) - nothing
                many = self.instructions(archive(shape, TIMES * SMALL)) - nothing
                print("%-30s %6.1f k instructions each; %.2f times" %
                      (shape, few / SMALL / 1000, many / few))
                self.assertGreater(few, 0)
                self.assertLessEqual(many, 11 * few)


class Memory(harness.Case):
    def check(self, entries, most):
        path = self.work / "many.tar"
        with open(path, "wb") as file:
            for begin in range(0, entries, 10000):
                file.write(b"".join(header(b"usr/share/package-%d/module/file-%d.txt" % (i % 997, i))
                                    for i in range(begin, begin + 10000)))
            file.write(bytes(1024))
        with tempfile.TemporaryFile() as out:
            child = os.posix_spawn(harness.VARVE, [harness.VARVE, "digest", "--json", path], os.environ,
                                   file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)])
            _, status, usage = os.wait4(child, 0)
            out.seek(0)
            layer = json.loads(out.read().splitlines()[1])
        self.assertEqual(status, 0)
        self.assertEqual((layer["status"], layer["entries"]), ("ok", entries))
        self.assertIn("content", layer["rungs"])
        resident = usage.ru_maxrss << 10
        print("%d entries: %.1f MiB resident" % (entries, resident / (1 << 20)))
        self.assertLess(resident, most)
        path.unlink()

    def test_a_hundred_thousand_entries(self):
        self.check(100000, (400 << 20) // 10 + BASE_BYTES)

    def test_a_million_entries(self):
        self.check(1000000, 400 << 20)


class Holes(harness.Case):
    def test_as_many_as_are_hashed(self):
        """16 GiB of zeros; one byte more is a limit (tests/src/test_ladder.c)."""
        path = self.work / "holes.tar"
        path.write_bytes(mutations.pax_header(
            [(b"GNU.sparse.map", b"0,0"), (b"GNU.sparse.numblocks", b"1"),
             (b"GNU.sparse.size", b"%d" % (16 << 30))]) + header(b"x") + bytes(1024))
        layer = json.loads(harness.run(harness.VARVE, "digest", "--json", path).splitlines()[1])
        self.assertEqual(layer["status"], "ok")
        self.assertIn("content", layer["rungs"])


if __name__ == "__main__":
    if not LONG:
        # No skips: a hundred thousand entries, and the limit's other side, stand for them.
        del Memory.test_a_million_entries
        del Holes
    harness.main()
