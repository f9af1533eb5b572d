# SPDX-License-Identifier: Apache-2.0
"""A layer's result is its own: many layers in one run, whole and damaged in every way, each get exactly what
each gets alone, and the right blob digest."""

import gzip
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402

GOLDEN = harness.SOURCE / "corpora" / "golden"


def zstd(data):
    return subprocess.run(["zstd", "-cq"], input=data, stdout=subprocess.PIPE, check=True).stdout


def spoilt(blob, dice):
    """Cut, with a wrong byte, with bytes behind it; a gzip member's last eight are its checks."""
    yield blob
    yield blob[:-1]
    yield blob[:dice.randrange(len(blob))]
    for at in (len(blob) - 8, len(blob) - 1, dice.randrange(len(blob))):
        yield blob[:at] + bytes([blob[at] ^ 0x40]) + blob[at + 1:]
    yield blob + b"junk"


class Neighbours(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        dice = random.Random(11)
        tars = [(GOLDEN / name).read_bytes() for name in
                ("tree.tar", "tree-no-end.tar", "tree-trailer.tar", "empty.tar", "hello.tar")]
        tars += [b"", b"no tar", b"\0" * 300000, tars[0][:-1024] + b"\0" * 200000]
        packers = [lambda data: data, lambda data: gzip.compress(data, mtime=0)]
        packers += [zstd] if shutil.which("zstd") else []
        cls.blobs = [blob for data in tars for pack in packers if pack(data)
                     for blob in spoilt(pack(data), dice)]
        cls.paths = []
        for number, blob in enumerate(cls.blobs):
            path = cls.work / f"{number}"
            path.write_bytes(blob)
            cls.paths.append(str(path))
        cls.alone = {path: layer for path in cls.paths for layer in cls.layers([path])}

    @classmethod
    def layers(cls, paths, *options):
        done = subprocess.run([harness.VARVE, "digest", "--json", *options, *paths],
                              stdout=subprocess.PIPE, check=False)
        assert done.returncode in (0, 1, 3), done.returncode
        objects = map(json.loads, done.stdout.splitlines())
        return [each for each in objects if each["type"] == "layer"]

    def test_blob_is_right_alone(self):
        self.assertGreater(len(self.paths), 100)
        for path, blob in zip(self.paths, self.blobs):
            self.assertEqual(self.alone[path]["rungs"]["blob"],
                             "sha256:" + hashlib.sha256(blob).hexdigest())

    def test_the_same_among_others(self):
        dice = random.Random(12)
        for options in (["--threads=1"], ["--threads=1", "--cpu=scalar"], ["--threads=3"],
                        ["--threads=1", "--memory=24MiB"]):
            for _ in range(3):
                paths = dice.sample(self.paths, len(self.paths))
                with self.subTest(options=options):
                    for layer in self.layers(paths, *options):
                        self.assertEqual(layer, self.alone[layer["name"]])


if __name__ == "__main__":
    harness.main()
