# SPDX-License-Identifier: Apache-2.0
"""Signals that meet `varve split`, `join` and `normalize`: each ends soon, with the exit code of the
signal, and of what it had begun to write nothing is left.

Limits on time are generous: what they tell apart is ending soon from waiting for ever."""

import io
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tarfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent)]
import harness
import make_layout

PATIENCE = 60
BYTES = 3_000_000


def archive(*sizes):
    noise = random.Random(len(sizes))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for i, size in enumerate(sizes):
            info = tarfile.TarInfo(f"folder/file{i}")
            info.size = size
            tar.addfile(info, io.BytesIO(noise.randbytes(size)))
    return out.getvalue()


class Interrupt(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.layer = cls.work / "layer.tar"
        cls.layer.write_bytes(archive(10, BYTES, 10))
        cls.noise = cls.work / "noise"  # no archive: split keeps all of it as bytes
        cls.noise.write_bytes(random.Random(7).randbytes(BYTES))
        cls.data, cls.files = cls.work / "data.gz", cls.work / "files"
        harness.run(harness.VARVE, "split", cls.layer, "-o", cls.data, "--files", cls.files)
        make_layout.main(cls.work / "layout")

    def setUp(self):
        self.place = self.work / self.id().rpartition(".")[2]
        self.place.mkdir()

    def commands(self, layer, data, out, files):
        """Each command, of what it reads and writes."""
        return {"split": ["split", layer, "-o", out, "--files", files],
                "split alone": ["split", layer, "-o", out],
                "join": ["join", data, self.files, "-o", out],
                "normalize": ["normalize", layer, "-o", out]}.items()

    def start(self, argv, ignored=(), most=None, **options):
        """`most`: no file may have more bytes."""
        def prepare():
            if most:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

        process = subprocess.Popen([harness.VARVE, *map(str, argv)], stderr=subprocess.PIPE,
                                   preexec_fn=prepare, **options)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for stream in process.stdin, process.stdout, process.stderr:
            if stream:
                self.addCleanup(stream.close)
        return process

    def wait_until_it_waits(self, process):
        """Until it was asleep for a while: it has nothing to do."""
        asleep = 0
        deadline = time.monotonic() + PATIENCE
        while asleep < 10 and process.poll() is None and time.monotonic() < deadline:
            with open(f"/proc/{process.pid}/stat", "rb") as stat:
                state = stat.read().rpartition(b") ")[2][:1]
            asleep = asleep + 1 if state == b"S" else 0
            time.sleep(0.02)
        self.assertIsNone(process.poll())

    def ends(self, process, code, said=b""):
        self.assertTrue(harness.wait_awake(process, PATIENCE), "it goes on")
        self.assertEqual((process.returncode, process.stderr.read()), (code, said))
        self.assertEqual(os.listdir(self.place), [])

    def test_waiting_for_standard_input(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            for name, argv in self.commands("-", "-", self.place / "out", self.place / "files"):
                with self.subTest(f"{name} {number.name}"):
                    process = self.start(argv, stdin=subprocess.PIPE)
                    begun = self.data if name == "join" else self.layer
                    process.stdin.write(begun.read_bytes()[:700])
                    process.stdin.flush()
                    self.wait_until_it_waits(process)
                    process.send_signal(number)
                    self.ends(process, 128 + number)

    def long_ones(self, out, files, piped):
        """The commands, each with more to write than a pipe or a small file holds."""
        for name, argv in self.commands(self.layer, self.data, out, files):
            if name == "split alone" or (name == "split" and piped):
                argv[1] = self.noise
            yield name, argv

    def test_waiting_for_a_reader(self):
        """Who writes into a pipe that nobody empties ends all the same."""
        for name, argv in self.long_ones("-", self.place / "files", piped=True):
            with self.subTest(name):
                process = self.start(argv, stdout=subprocess.PIPE)
                self.wait_until_it_waits(process)
                process.send_signal(signal.SIGTERM)
                self.ends(process, 128 + signal.SIGTERM)

    def test_no_reader(self):
        for name, argv in self.long_ones("-", self.place / "files", piped=True):
            with self.subTest(name):
                reader, writer = os.pipe()
                process = self.start(argv, stdout=writer)
                os.close(reader)
                os.close(writer)
                self.ends(process, 128 + signal.SIGPIPE)

    def test_too_large_a_file(self):
        layout = ["normalize", f"oci:{self.work / 'layout'}", "-o", f"oci:{self.place / 'out'}"]
        for name, argv in [*self.long_ones(self.place / "out", self.place / "files", piped=False),
                           ("layout", layout)]:
            with self.subTest(name):
                most = 2500 if name == "layout" else 100_000
                process = self.start(argv, stdout=subprocess.DEVNULL, most=most)
                self.assertTrue(harness.wait_awake(process, PATIENCE))
                self.assertEqual(process.returncode, 2)
                self.assertIn(b"File too large", process.stderr.read())
                self.assertEqual(os.listdir(self.place), [])

    def test_layout(self):
        """Interrupted at any moment a layout is there whole, or nothing of it."""
        for i, number in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 4):
            process = self.start(["normalize", f"oci:{self.work / 'layout'}", "-o",
                                  f"oci:{self.place / 'out'}"], stdout=subprocess.DEVNULL)
            time.sleep(0.002 * i)
            process.send_signal(number)
            self.assertTrue(harness.wait_awake(process, PATIENCE))
            self.assertIn(process.returncode, (0, 128 + number, -number))
            self.assertEqual(os.listdir(self.place), [] if process.returncode else ["out"])
            if not process.returncode:
                harness.run("rm", "-r", self.place / "out")

    def test_ignored(self):
        """nohup(1): what is ignored stays so."""
        for name, argv in self.commands("-", "-", self.place / "out", self.place / "files"):
            with self.subTest(name):
                process = self.start(argv, ignored=(signal.SIGHUP, signal.SIGINT),
                                     stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
                whole = (self.data if name == "join" else self.layer).read_bytes()
                process.stdin.write(whole[:700])
                process.stdin.flush()
                self.wait_until_it_waits(process)
                process.send_signal(signal.SIGHUP)
                process.send_signal(signal.SIGINT)
                process.stdin.write(whole[700:])
                process.stdin.close()
                self.assertTrue(harness.wait_awake(process, PATIENCE))
                self.assertEqual((process.returncode, process.stderr.read()), (0, b""))
                self.assertIn("out", os.listdir(self.place))
                harness.run("rm", "-r", *self.place.iterdir())


if __name__ == "__main__":
    harness.main()
