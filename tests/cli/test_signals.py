# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM end a scan soon, and what was done by then is told; a second one ends it at once. And
the figures of a run, which stand in every summary.

Limits on time are generous, as the machine may be busy: what they tell apart is ending soon from reading on
for minutes."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402
import oci  # noqa: E402

MIB = 1 << 20
PATIENCE = 20
STATIONS = ["read", "decode", "lanes", "normalise", "hash", "store", "report", "idle"]


def small_layer(number):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(f"etc/app/{number}.conf")
        info.size = 1000
        tar.addfile(info, io.BytesIO(b"%1000d" % number))
    return gzip.compress(out.getvalue(), 1, mtime=0), oci.digest_of(out.getvalue())


class Signals(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        layout = oci.Layout(cls.work / "many")
        layers = []
        for number in range(3000):
            stored, diffid = small_layer(number)
            layers.append((layout.put(stored, oci.LAYER + "+gzip"), diffid))
        layout.tag("all", layout.image(layers))
        # One layer that would take minutes: a tebibyte of zeros, as a tar and, 128 GiB of them, as gzip.
        header = tarfile.TarInfo("zeros")
        header.size = 1 << 40
        header = header.tobuf(tarfile.GNU_FORMAT)
        with open(cls.work / "large.tar", "wb") as file:
            file.write(header)
            file.truncate(len(header) + (1 << 40))
        member = gzip.compress(bytes(32 * MIB), 1, mtime=0)
        with open(cls.work / "large.tar.gz", "wb") as file:
            file.write(gzip.compress(header, mtime=0))
            for _ in range(4096):
                file.write(member)

    def start(self, *argv, **options):
        process = subprocess.Popen([harness.VARVE, *map(str, argv)], cwd=self.work,
                                   stdout=subprocess.PIPE, **options)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def interrupt(self, process, number):
        """Sends a signal; the lines until the end, and the seconds until then."""
        begun = time.monotonic()
        process.send_signal(number)
        out = process.stdout.read()
        code = process.wait(PATIENCE)
        took = time.monotonic() - begun
        self.assertEqual(code, 128 + number)
        self.assertLess(took, PATIENCE)
        print(f"ended after {took:.3f} s")
        return out

    def summary_of(self, out, number):
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(lines[-1]["type"], "summary")
        self.assertTrue(lines[-1]["interrupted"])
        self.assertEqual(lines[-1]["exit_code"], 128 + number)
        layers = [line for line in lines if line["type"] == "layer"]
        self.assertEqual(len(layers), sum(lines[-1]["layers"].values()))
        return layers

    def test_one_large_layer(self):
        cases = [(name, threads, number) for name in ("large.tar", "large.tar.gz")
                 for threads, number in ((1, signal.SIGINT), (2, signal.SIGTERM))]
        for name, threads, number in cases:
            process = self.start("digest", "--json", f"--threads={threads}", name)
            self.assertIn(b'"type":"scan"', process.stdout.readline())
            time.sleep(0.5)
            self.assertIsNone(process.poll())
            out = self.interrupt(process, number)
            self.assertEqual(self.summary_of(out, number), [])

    def test_many_small_layers(self):
        for threads in (1, 2):
            process = self.start("scan", "--json", f"--threads={threads}", "many")
            before = b"".join(process.stdout.readline() for _ in range(20))
            time.sleep(0.3)  # nobody reads: it waits for room in the pipe
            self.assertIsNone(process.poll())
            out = before + self.interrupt(process, signal.SIGINT)
            layers = self.summary_of(out, signal.SIGINT)
            self.assertGreaterEqual(len(layers), 19)
            self.assertLess(len(layers), 3000)
            for layer in layers:
                self.assertEqual(layer["status"], "ok")
                self.assertIn("content", layer["rungs"])

    def test_waiting_for_standard_input(self):
        process = self.start("digest", "--json", "-", stdin=subprocess.PIPE)
        self.addCleanup(process.stdin.close)
        process.stdin.write(small_layer(1)[0][:50])
        process.stdin.flush()
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        self.assertEqual(self.summary_of(self.interrupt(process, signal.SIGTERM), signal.SIGTERM), [])

    def test_standard_input_in_pieces(self):
        """A writer slower than our patience changes nothing."""
        stored, diffid = small_layer(7)
        process = self.start("digest", "--json", "-", stdin=subprocess.PIPE)
        for piece in (stored[:5], stored[5:100], stored[100:]):
            time.sleep(0.25)
            process.stdin.write(piece)
            process.stdin.flush()
        process.stdin.close()
        lines = [json.loads(line) for line in process.stdout.read().splitlines()]
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertEqual([line["rungs"]["diffid"] for line in lines if line["type"] == "layer"], [diffid])

    def test_a_second_signal_ends_at_once(self):
        """Even while it waits for somebody to read what it wrote."""
        process = self.start("scan", "--json", "--threads=2", "many")
        process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 130)

    def test_figures_of_a_run(self):
        for options in ([], ["--threads=2"], ["--rungs=blob"]):
            out = harness.run(harness.VARVE, "scan", "--json", *options, self.work / "many")
            run = json.loads(out.splitlines()[-1])["run"]
            seconds = run["cpu_seconds"]
            self.assertEqual(list(seconds), STATIONS)
            self.assertGreaterEqual(min(seconds.values()), 0)
            self.assertGreater(seconds["hash"] + seconds["read"], 0)
            self.assertGreater(sum(run["hash_blocks"].values()), 3000)
            self.assertEqual(set(run["lane_occupancy"]),
                             {row for row, blocks in run["hash_blocks"].items() if blocks})
            for occupancy in run["lane_occupancy"].values():
                self.assertTrue(0 < occupancy <= 1, occupancy)
        with_timings = subprocess.run([harness.VARVE, "scan", "--timings", self.work / "many"], check=True,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True).stderr
        for station in STATIONS:
            self.assertRegex(with_timings, rf"(?m)^  {station} +\d+\.\d{{3}} +\d+\.\d %$")


if __name__ == "__main__":
    harness.main()
