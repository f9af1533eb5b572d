# SPDX-License-Identifier: Apache-2.0
"""Memory stays bounded: 64 MiB and 32 MiB a thread on an ordinary mirror, whatever its largest layer; and
however many layers it has; where --memory and the system allow less, layers end as limit and the scan goes on."""

import gzip
import io
import json
import os
import random
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402
import oci  # noqa: E402

MIB = 1 << 20


def tar_of(content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo("file")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def half_random(rng, count):
    """Bytes that compress to a half."""
    return b"".join(rng.randbytes(2048) + bytes(2048) for _ in range(count // 4096))


def zstd(data, window_log):
    return subprocess.run(["zstd", "-q", "-1", f"--zstd=wlog={window_log}", "-c"], input=data,
                          check=True, stdout=subprocess.PIPE).stdout


# Runs a program and tells of its exit code and its peak. What begins it must be small: what the process had in
# memory before it became the program counts as well.
MEASURE = """
import os, resource, sys
told, limit, *argv = sys.argv[1:]
pid = os.fork()
if pid == 0:
    if int(limit):
        resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))
    os.execv(argv[0], argv)
_, status, usage = os.wait4(pid, 0)
with open(told, "w", encoding="ascii") as out:
    out.write(f"{os.waitstatus_to_exitcode(status)} {usage.ru_maxrss}")
"""


class Memory(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rng = random.Random(11)
        layout = oci.Layout(cls.work / "mirror")
        cls.layers = []
        for number in range(20):
            tar = tar_of(half_random(rng, 10 * MIB))
            # 8 MiB windows are what common writers use.
            kind, stored = (("gzip", gzip.compress(tar, 1, mtime=0)) if number % 5 == 0
                            else ("zstd", zstd(tar, 23)))
            cls.layers.append((layout.put(stored, f"{oci.LAYER}+{kind}"), oci.digest_of(tar)))
        large = tar_of(half_random(rng, MIB) * 200)  # longer than the bound
        cls.layers.append((layout.put(gzip.compress(large, 1, mtime=0), oci.LAYER + "+gzip"),
                           oci.digest_of(large)))
        layout.tag("all", layout.image(cls.layers))
        cls.wide = cls.work / "wide.tar.zst"
        cls.wide.write_bytes(zstd(tar_of(half_random(rng, 130 * MIB)), 27))

    def run_scan(self, argv, expect=0, address_space=None, **options):
        """Its output in lines, and the KiB it had in memory at most."""
        told = self.work / "told"
        with subprocess.Popen([sys.executable, "-c", MEASURE, told, str(address_space or 0), harness.VARVE,
                               *map(str, argv)], cwd=self.work, stdout=subprocess.PIPE, **options) as process:
            out = process.stdout.read()
            process.wait()
        code, kib = map(int, told.read_text().split())
        self.assertEqual(code, expect)
        return out.splitlines(), kib

    def scan(self, *argv, expect=0, address_space=None):
        """Its layers' lines, and the KiB."""
        lines, kib = self.run_scan(argv, expect, address_space)
        lines = [json.loads(line) for line in lines]
        self.assertEqual(lines[-1]["type"], "summary")
        return [line for line in lines if line["type"] == "layer"], kib

    def check(self, layers):
        found = {layer["name"]: layer["rungs"]["diffid"] for layer in layers}
        self.assertEqual(found, {layer["digest"]: diffid for layer, diffid in self.layers})

    def test_resident_memory(self):
        for threads in (1, 4):
            layers, kib = self.scan("scan", "--json", f"--threads={threads}", "mirror")
            self.check(layers)
            print(f"{threads} threads: {kib} KiB")
            self.assertLess(kib, (64 + 32 * threads) * 1024, threads)

    def test_many_layers(self):
        """What is kept of each layer does not stay in memory. Those that are missing cost a test nothing
        and a scan as much memory as others: names, claims, results, places in images."""
        count, per_image = 250_000, 50
        layout = oci.Layout(self.work / "vast")
        real = self.layers[:2]
        for layer, _ in real:
            layout.path(layer["digest"]).parent.mkdir(exist_ok=True)
            os.link(self.work / "mirror" / layout.path(layer["digest"]).relative_to(layout.folder),
                    layout.path(layer["digest"]))
        images = []
        for number in range(count // per_image):
            missing = [({"mediaType": oci.LAYER + "+gzip", "digest": f"sha256:{number * per_image + i:064x}",
                         "size": 1000}, f"sha256:{i:064x}") for i in range(per_image)]
            images.append(layout.image(real + missing))
        for number in range(0, len(images), 1000):
            layout.tag(f"part{number}", layout.index(images[number:number + 1000]))
        argv = ["scan", "--json", "--threads=1", "vast"]
        lines, kib = self.run_scan(argv, expect=3)
        summary = json.loads(lines[-1])
        in_files = summary["run"]["temporary_bytes"]
        print(f"{count} layers: {kib} KiB, and {in_files >> 10} KiB in temporary files")
        self.assertLess(kib, (64 + 32) * 1024)
        self.assertGreater(in_files, 64 * MIB)
        self.assertEqual(summary["layers"], {**summary["layers"], "error": count, "ok": len(real)})
        self.assertEqual(summary["images"]["error"], len(images))
        told = [line for line in lines if line.startswith(b'{"v":1,"type":"image"')]
        self.assertEqual(len(told), len(images))
        for line in told[::100]:
            self.assertEqual([layer["status"] for layer in json.loads(line)["layers"]],
                             ["ok"] * len(real) + ["error"] * per_image)
        # Where there is no room for them memory is taken, which is said, and nothing else changes.
        with open(self.work / "complaints", "w+b") as complaints:
            again, kib = self.run_scan(argv, expect=3, stderr=complaints,
                                       env={**os.environ, "TMPDIR": str(self.work / "nowhere")})
            complaints.seek(0)
            self.assertRegex(complaints.read().decode(), r"no room for temporary data in .*nowhere: No such")
        self.assertGreater(kib, (64 + 32) * 1024)
        self.assertEqual(json.loads(again[-1])["run"]["temporary_bytes"], 0)
        self.assertEqual(again[:-1], lines[:-1])

    def test_address_space(self):
        """What the budget and the program itself want is all that is asked of the system."""
        layers, _ = self.scan("scan", "--json", "--threads=2", "--memory=64MiB", "mirror",
                              address_space=320 * MIB)
        self.check(layers)

    def test_a_window_beyond_the_budget(self):
        layout = self.work / "mirror"
        layers, kib = self.scan("scan", "--json", "--threads=2", "--memory=100MiB",
                                layout, f"blob:{self.wide}", expect=3)
        self.assertEqual([layer["error"]["code"] for layer in layers if layer["status"] == "limit"],
                         ["zstd.window-limit"])
        self.check([layer for layer in layers if layer["status"] != "limit"])
        self.assertLess(kib, 128 * 1024)
        # Within the budget it is read, and takes what it takes: nothing is kept of it afterwards.
        layers, kib = self.scan("scan", "--json", "--threads=2", "--memory=200MiB", layout,
                                f"blob:{self.wide}")
        self.assertEqual({layer["status"] for layer in layers}, {"ok"})
        self.assertGreater(kib, 128 * 1024)
        self.assertLess(kib, (64 + 2 * 32 + 150) * 1024)


if __name__ == "__main__":
    harness.need_tools("zstd")
    harness.main()
