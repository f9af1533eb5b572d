# SPDX-License-Identifier: Apache-2.0
"""Damaged layers beside good ones, in one thread's lanes: none may touch another's digests."""

import hashlib
import io
import json
import pathlib
import random
import sys
import tarfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness


def archive(rng):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for i in range(rng.randrange(1, 4)):
            info = tarfile.TarInfo(f"file-{i}")
            info.size = rng.randrange(0, 9000)
            tar.addfile(info, io.BytesIO(rng.randbytes(info.size)))
    return out.getvalue()


def gzipped(data, keep):
    """A gzip stream that breaks off behind `keep` decoded bytes, all of which can be decoded."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(data[:keep]) + packer.flush(
        zlib.Z_FINISH if keep == len(data) else zlib.Z_SYNC_FLUSH)


class Cut(harness.Case):
    def check(self, exit_code, *options):
        out = harness.run(harness.VARVE, "digest", "--json", *options, *self.paths,
                          expect=exit_code)
        layers = [line for line in map(json.loads, out.splitlines()) if line["type"] == "layer"]
        self.assertEqual(len(layers), len(self.paths))
        for line in layers:
            stored = pathlib.Path(line["name"]).read_bytes()
            self.assertEqual(line["rungs"]["blob"], "sha256:" + hashlib.sha256(stored).hexdigest())
            if "diffid" in line["rungs"]:
                decoded = zlib.decompress(stored, 31)
                self.assertEqual(line["rungs"]["diffid"],
                                 "sha256:" + hashlib.sha256(decoded).hexdigest())
        return layers

    def setUp(self):
        rng = random.Random(3)
        folder = self.work / self.id().split(".")[-1]
        folder.mkdir()
        self.paths = []
        self.cut = []  # how many bytes can be decoded of those that break off
        for i in range(60):
            data = archive(rng)
            # Where the archive ends the parser is satisfied already, and the stream breaks behind.
            end = len(data.rstrip(b"\0"))
            keep = len(data) if i % 3 == 0 else rng.randrange(min(end + 600, len(data) - 1),
                                                              len(data))
            self.cut += [keep] if keep < len(data) else []
            path = folder / f"{i}.tar.gz"
            path.write_bytes(gzipped(data, keep))
            self.paths.append(path)

    def test_cut(self):
        for threads in (1, 2):
            for tier in ("auto", "scalar"):
                layers = self.check(1, f"--threads={threads}", f"--cpu={tier}")
                self.assertEqual(sum(line["status"] == "ok" for line in layers), 20)

    def test_limit(self):
        for limit in (4000, 10000, 12000, 20000):
            for threads in (1, 2):
                self.check(1 if min(self.cut) < limit else 3, f"--threads={threads}",
                           f"--max-decoded={limit}")


if __name__ == "__main__":
    harness.main()
