# SPDX-License-Identifier: Apache-2.0
"""Same results, same order, same bytes for any number of threads, chunk size and CPU tier."""

import gzip
import io
import json
import os
import random
import re
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402
import oci  # noqa: E402

TIERS = ["scalar", "shani", "avx2", "avx512"]


def random_tar(rng):
    """A tar of a few files, some of them long, with holes in the compressibility."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=rng.choice(
            [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])) as tar:
        for number in range(rng.randrange(1, 40)):
            info = tarfile.TarInfo(f"dir{rng.randrange(5)}/file{number}" + "x" * rng.choice([0, 80]))
            info.size = rng.choice([0, 1, 511, 512, 513, 3000, 70000, 300000])
            info.mtime = rng.randrange(2**31)
            data = rng.randbytes(min(info.size, 2000)) * (info.size // 2000 + 1)
            tar.addfile(info, io.BytesIO(data[:info.size]))
    return out.getvalue()


class Determinism(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rng = random.Random(7)
        cls.layout = oci.Layout(cls.work / "mirror")
        for image in range(6):
            layers = []
            for _ in range(9):
                tar = random_tar(rng)
                if rng.random() < 0.2:
                    stored, kind = tar, oci.LAYER
                elif rng.random() < 0.2:
                    stored = subprocess.run(["zstd", "-c"], input=tar, check=True,
                                            capture_output=True).stdout
                    kind = oci.LAYER + "+zstd"
                else:
                    stored, kind = gzip.compress(tar, rng.randrange(1, 10), mtime=0), oci.LAYER + "+gzip"
                layers.append((cls.layout.put(stored, kind), oci.digest_of(tar)))
            if image == 5:
                layers += cls.large_layers(rng)
            cls.layout.tag(f"tag{image}", cls.layout.image(layers))
            if image == 3:
                os.truncate(cls.layout.path(layers[0][0]["digest"]), 1000)
                os.unlink(cls.layout.path(layers[1][0]["digest"]))

    @classmethod
    def large_layers(cls, rng):
        """Layers long enough that an idle thread takes over the decoding of one."""
        noise = rng.randbytes(9 << 20)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for number, size in enumerate((5 << 20, 7, 3 << 20)):
                info = tarfile.TarInfo(f"noise{number}")
                info.size = size
                tar.addfile(info, io.BytesIO(noise[number << 20:]))
        tar = out.getvalue()
        members = b"".join(gzip.compress(tar[at:at + (1 << 20) + 1], 1, mtime=0)
                           for at in range(0, len(tar), (1 << 20) + 1))
        frames = subprocess.run(["zstd", "-q", "-1", "-c"], input=tar, check=True,
                                capture_output=True).stdout
        return [(cls.layout.put(members, oci.LAYER + "+gzip"), oci.digest_of(tar)),
                (cls.layout.put(frames, oci.LAYER + "+zstd"), oci.digest_of(tar)),
                (cls.layout.put(tar, oci.LAYER), oci.digest_of(tar))]

    def scan(self, *options):
        out = harness.run(harness.VARVE, "scan", "--json", *options, self.work / "mirror", expect=1)
        lines = out.splitlines(keepends=True)
        summary = json.loads(lines[-1])
        run = summary.pop("run")
        tier = summary["versions"].pop("cpu_tier")
        summary["versions"].pop("sha256_engine")
        self.assertIn(summary["versions"].pop("inflate_engine"), ("varve", "igzip"))
        self.assertGreater(run["threads"], 0)
        first = json.loads(lines[0])
        first["options"].pop("memory", None)
        return json.dumps(first).encode() + b"".join(lines[1:-1]) + json.dumps(summary).encode(), tier

    def test_threads_chunks_and_tiers(self):
        expected, best = self.scan("--threads=1")
        self.assertEqual(expected.count(b'"type":"layer"'), 57)
        for threads in (2, 3, 8, 64):
            self.assertEqual(self.scan(f"--threads={threads}")[0], expected, threads)
        for chunk in (100, 512, 4096, 65537, 1 << 20):
            self.assertEqual(self.scan(f"--chunk={chunk}")[0], expected, chunk)
        for tier in TIERS[:TIERS.index(best) + 1]:
            for engine in ("igzip", "varve"):
                options = f"--cpu={tier}", f"--inflate-engine={engine}"
                self.assertEqual(self.scan(*options)[0], expected, options)
        for tier in TIERS[TIERS.index(best) + 1:]:
            print("SKIPPED: this CPU has not tier", tier)

    def test_engines(self):
        expected, _ = self.scan("--threads=2")
        listed = harness.run(harness.VARVE, "--version", "-v").decode()
        for engine in ("varve", "isal-crypto"):
            if re.search(rf"\b{engine}\b", listed.partition("engine")[2]):
                self.assertEqual(self.scan(f"--sha256-engine={engine}")[0], expected, engine)
            else:
                print("SKIPPED: not built in:", engine)

    def test_memory_and_mixtures(self):
        expected, best = self.scan("--threads=1")
        rng = random.Random(3)
        for memory in ("24MiB", "48MiB", "4GiB"):
            for threads in (1, 4):
                options = [f"--memory={memory}", f"--threads={threads}"]
                self.assertEqual(self.scan(*options)[0], expected, options)
        for _ in range(12):
            options = [f"--threads={rng.randrange(1, 20)}", f"--chunk={rng.randrange(200, 300_000)}",
                       f"--cpu={rng.choice(TIERS[:TIERS.index(best) + 1])}",
                       f"--memory={rng.choice([24, 64, 1024])}MiB"]
            self.assertEqual(self.scan(*options)[0], expected, options)

    def test_entries_too(self):
        expected, _ = self.scan("--threads=1", "--entries")
        for threads in (2, 8):
            self.assertEqual(self.scan(f"--threads={threads}", "--entries")[0], expected, threads)


if __name__ == "__main__":
    harness.need_tools("zstd")
    harness.main()
