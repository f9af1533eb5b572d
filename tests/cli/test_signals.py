# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM end a scan within a second, whatever it is at: walking through its sources, reading
one huge layer or many tiny ones, sorting a million entries, waiting for the read limit or for somebody to read
its output; and what was done by then is told. A second signal ends it at once. And the figures of a run, which
stand in every summary.

The machine may be busy, or stand still for a while, so that a second on the wall proves nothing: what is
measured is the CPU time that the process takes after the signal. Where it would wait and take none, that it
ends at all is the proof."""

import gzip
import io
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402
import oci  # noqa: E402

MIB = 1 << 20
PATIENCE = 120  # for what without the signal would take for ever
# After the signal, of all threads; what the longest steps took when they were single ones is more.
CPU_SECONDS = 0.3
TICKS = os.sysconf("SC_CLK_TCK")
STATIONS = ["read", "decode", "lanes", "normalise", "hash", "store", "report", "idle"]


def small_layer(number):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(f"etc/app/{number}.conf")
        info.size = 1000
        tar.addfile(info, io.BytesIO(b"%1000d" % number))
    return gzip.compress(out.getvalue(), 1, mtime=0), oci.digest_of(out.getvalue())


def cpu_seconds(process):
    """What a process has used so far (proc(5))."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def shuffled_tar(path, entries):
    """A gzip layer of so many empty files, in no order."""
    template = tarfile.TarInfo("0" * 7).tobuf(tarfile.USTAR_FORMAT)
    rest = template[7:148], template[156:]
    base = sum(template[7:148]) + sum(template[156:]) + 8 * 32
    with gzip.open(path, "wb", 1) as out:
        for first in range(0, entries, 10000):
            names = [b"%07d" % ((number * 7919) % entries) for number in range(first, first + 10000)]
            out.write(b"".join(name + rest[0] + b"%06o\0 " % (base + sum(name)) + rest[1] for name in names))
        out.write(bytes(1024))


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

    def interrupt(self, process, number, read=True, may_be_done=False):
        """Sends a signal; the lines until the end. None: it was done all the same."""
        before = cpu_seconds(process)
        begun = time.monotonic()
        process.send_signal(number)
        out = process.stdout.read() if read else b""
        # Waited for without being reaped, so that what it used can still be asked for.
        for _ in range(PATIENCE * 100):
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.01)
        else:
            self.fail("goes on after a signal")
        used = cpu_seconds(process) - before
        print(f"ended after {time.monotonic() - begun:.3f} s and {used:.2f} s of CPU time")
        self.assertLess(used, CPU_SECONDS)
        code = process.wait()
        if may_be_done and code == 0:
            return None
        self.assertEqual(code, 128 + number)
        return out

    def await_read(self, process, path):
        """Waits until a process has read as many bytes as a file has. False: it ended before."""
        size = path.stat().st_size
        while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            counts = pathlib.Path(f"/proc/{process.pid}/io").read_text()
            if int(counts.partition("rchar:")[2].split()[0]) >= size:
                return True
            time.sleep(0.005)
        return False

    def await_cpu(self, process, seconds):
        """Waits until a process has used so much CPU time. False: it ended before."""
        while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if cpu_seconds(process) >= seconds:
                return True
            time.sleep(0.005)
        return False

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

    def test_walking_through_a_source(self):
        """Two thousand tags that lead to the same two thousand images: nothing is told before all are
        found. Of what was found nothing was read."""
        layout = oci.Layout(self.work / "walk")
        stored, diffid = small_layer(1)
        layer = layout.put(stored, oci.LAYER + "+gzip")
        images = [layout.image([(layer, diffid)], created=f"2024-01-01T00:00:00.{i:06}Z") for i in range(1900)]
        index = layout.index(images)
        layout.tags([(f"tag{number}", index) for number in range(2000)])
        for options in (["--threads=1"], ["--threads=2"], ["--threads=1", "--db", self.work / "walk.db"]):
            process = self.start("scan", "--json", *options, "walk")
            self.assertTrue(self.await_cpu(process, 0.3))
            self.assertEqual(select.select([process.stdout], [], [], 0)[0], [], "the walk is over too soon")
            out = self.interrupt(process, signal.SIGTERM)
            self.assertIn(b'"type":"scan"', out.splitlines()[0])
            self.assertEqual(self.summary_of(out, signal.SIGTERM), [])

    def test_sorting_a_large_layer(self):
        """A layer's end, which takes as long as some million bytes, is no single step: the signals come once all
        of it was read, and each a little later."""
        layer = self.work / "many-entries.tar.gz"
        shuffled_tar(layer, 800_000)
        ended_by_signal = 0
        for threads, later in ((1, 0), (2, 0.1), (1, 0.2), (2, 0.3), (1, 0.45), (2, 0.6)):
            process = self.start("digest", "--json", f"--threads={threads}", layer.name)
            out = None
            if self.await_read(process, layer) and self.await_cpu(process, cpu_seconds(process) + later):
                out = self.interrupt(process, signal.SIGINT, may_be_done=True)
            process.stdout.close()
            if out is not None:
                self.assertEqual(self.summary_of(out, signal.SIGINT), [])
                ended_by_signal += 1
        self.assertGreater(ended_by_signal, 2)

    def test_waiting_for_the_read_limit(self):
        """A tebibyte at a megabyte a second."""
        for threads in (1, 2):
            process = self.start("scan", "--json", f"--threads={threads}", "--read-limit=1", "blob:large.tar",
                                 "many")
            self.assertIn(b'"type":"scan"', process.stdout.readline())
            time.sleep(0.5)
            self.assertIsNone(process.poll())
            out = self.interrupt(process, signal.SIGINT)
            for layer in self.summary_of(out, signal.SIGINT):
                self.assertEqual(layer["status"], "ok")

    def test_nobody_reads(self):
        """A pipe that nobody reads from holds up no end; what was done is in the database."""
        for threads in (1, 2):
            database = self.work / f"unread{threads}.db"
            with open(self.work / "complaints", "w+b") as complaints:
                process = self.start("scan", "--json", f"--threads={threads}", "--db", database, "many",
                                     stderr=complaints)
                process.stdout.readline()
                time.sleep(1)  # until the pipe is full
                self.assertIsNone(process.poll())
                self.interrupt(process, signal.SIGTERM, read=False)
                complaints.seek(0)
                self.assertIn(b"nobody reads standard output", complaints.read())
            out = harness.run(harness.VARVE, "scan", "--json", "--db", database, self.work / "many")
            cached = json.loads(out.splitlines()[-1])["cached"]
            self.assertGreater(cached, 0)

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
        """Even while it waits for somebody to read what it wrote, for which it would wait half a second after
        the first. Where the machine stands still between the two, once more."""
        codes = []
        while 130 not in codes and len(codes) < 5:
            process = self.start("scan", "--json", "--threads=2", "many")
            process.stdout.readline()
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            codes.append(process.wait(PATIENCE))
        self.assertIn(130, codes)

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
