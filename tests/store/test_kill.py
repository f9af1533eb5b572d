# SPDX-License-Identifier: Apache-2.0
"""Killed at any moment: the database is whole, the next scan goes on from it, and in the end it is the
one of a scan that nobody killed."""

import contextlib
import json
import os
import pathlib
import pty
import random
import shutil
import signal
import subprocess
import threading
import time
import tty

import db
import harness

KILLS = 1000 if os.environ.get("VARVE_TEST_LONG") else 60
SLOW_KILLS = 100 if os.environ.get("VARVE_TEST_LONG") else 10
LAYERS = 600
THREADS = 2
# What may be lost of what was told (docs/store.md): the layers on their way to the database, which
# wait in the queue or are in the transaction that is being written.
QUEUED, WRITTEN = 32, 64
LOST = QUEUED + WRITTEN


class Terminal:
    """A terminal to write to: what a program writes there is there at once, line by line."""

    def __init__(self):
        ours, self.theirs = pty.openpty()
        tty.setraw(self.theirs)
        self.text = bytearray()
        self.thread = threading.Thread(target=self.read, args=(ours,))
        self.thread.start()

    def read(self, ours):
        with contextlib.suppress(OSError):
            while data := os.read(ours, 65536):
                self.text += data
        os.close(ours)

    def lines(self):
        """What was written by a program that is gone. The last line may be cut."""
        self.thread.join()
        return [json.loads(line) for line in bytes(self.text).split(b"\n")[:-1]]


class Kill(db.DatabaseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.work / "mirror"
        db.mirror(cls.folder, LAYERS, most_bytes=6000)
        cls.arguments = ["scan", "--json", f"--threads={THREADS}", "--entries",
                         f"oci:{cls.folder}", "--db"]
        cls.command = [harness.VARVE, *cls.arguments]
        cls.whole = cls.work / "whole.db"
        begun = time.monotonic()
        harness.run(*cls.command, cls.whole)
        cls.seconds = time.monotonic() - begun

    def kill_one(self, command, seconds, **options):
        """Starts a scan and kills it. True: it was over before. The layers it told of."""
        terminal = Terminal()
        scan = subprocess.Popen([*map(str, command)], stdout=terminal.theirs,
                                stderr=subprocess.PIPE, **options)
        os.close(terminal.theirs)
        try:
            scan.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            scan.send_signal(signal.SIGKILL)
        error = scan.communicate()[1]
        self.assertIn(scan.returncode, (0, -signal.SIGKILL), error)
        return scan.returncode == 0, [line for line in terminal.lines()
                                      if line["type"] == "layer"]

    def known(self, path):
        if not path.exists() or not db.query(
                path, "SELECT count(*) FROM sqlite_schema WHERE name = 'location'")[0][0]:
            return 0
        return db.query(path, "SELECT count(*) FROM location WHERE blob IS NOT NULL")[0][0]

    def test_kills(self):
        rng = random.Random(7)
        kills = rounds = halfway = 0
        while kills < KILLS:
            path = self.work / f"{rounds}.db"
            rounds += 1
            over = False
            while not over:
                before = self.known(path)
                over, told = self.kill_one([*self.command, path], rng.uniform(0, self.seconds))
                kills += not over
                if not path.exists():
                    continue
                self.assertTrue(db.is_whole(path))
                after = self.known(path)
                halfway += 0 < after < LAYERS
                # Nothing is read twice that was written down, and little was lost that was told.
                self.assertGreaterEqual(after, before)
                recalled = sum(line["cached"] for line in told)
                self.assertLessEqual(recalled, before)
                self.assertLessEqual(len(told) - recalled, after - before + LOST)
            self.same_content(path, self.whole)
            states = [state for (state,) in db.query(path, "SELECT state FROM scan")]
            self.assertEqual(states[-1], "finished")
            # It may also have been killed when all was written and it was about to end.
            self.assertLessEqual(set(states), {"killed", "finished"})
            path.unlink()
        print(f"{kills} kills in {rounds} rounds, {halfway} of them halfway")
        self.assertGreater(halfway, KILLS // 10)

    def test_slow_disk(self):
        """Where the writer is far behind, no more is lost, and the scan waits for it."""
        faulty = os.environ.get("VARVE_FAULTY")
        if not faulty:
            self.skipTest("there is no build of the program whose disk can be made slow")
        rng = random.Random(8)
        most = kills = 0
        path = self.work / "slow.db"
        harness.run(harness.VARVE, "scan", "--db", path, f"oci:{self.folder}/nowhere", expect=3)
        slow = {**os.environ, "VARVE_FAULT": "database 1 0 slow"}
        while kills < SLOW_KILLS:
            copy = self.work / "slow-copy.db"
            shutil.copy(path, copy)
            over, told = self.kill_one([faulty, *self.arguments, copy], rng.uniform(0.5, 2),
                                       env=slow)
            self.assertFalse(over)
            kills += 1
            self.assertTrue(db.is_whole(copy))
            lost = len(told) - self.known(copy)
            self.assertLessEqual(lost, LOST)
            most = max(most, lost)
            for leftover in self.work.glob("slow-copy.db*"):
                leftover.unlink()
        print(f"{kills} kills, {most} layers lost at most")
        # Else the writer was never behind, and nothing is shown.
        self.assertGreater(most, QUEUED)

    def test_copy_of_the_file(self):
        """After a kill the log holds what the file does not, until somebody has opened it: then a copy of
        the file alone is whole. So do the units."""
        path = self.work / "copied.db"
        log = pathlib.Path(f"{path}-wal")
        scan = subprocess.Popen([*map(str, self.command), str(path), "--read-limit=100000B"],
                                stdout=subprocess.DEVNULL)
        while self.known(path) < 20:
            self.assertIsNone(scan.poll())
            time.sleep(0.05)
        scan.kill()
        scan.wait()
        self.assertGreater(log.stat().st_size if log.exists() else 0, 0)
        harness.run(harness.VARVE, "status", "--db", path)
        self.assertFalse(log.exists())
        copy = self.work / "copy.db"
        shutil.copy(path, copy)
        self.assertTrue(db.is_whole(copy))
        self.assertEqual(self.known(copy), self.known(path))
        self.assertGreaterEqual(self.known(copy), 20)

    def test_begun(self):
        """A database can be asked from the moment there is one."""
        path = self.work / "begun.db"
        with subprocess.Popen([harness.VARVE, "scan", "--db", path, "--files0-from=-"],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as scan:
            while not path.exists() or not db.query(
                    path, "SELECT count(*) FROM sqlite_schema")[0][0]:
                time.sleep(0.02)
            out = harness.run(harness.VARVE, "status", "--db", path)
            self.assertEqual(len(out.splitlines()), 1)
            scan.kill()

    def test_interrupted(self):
        """Told to stop it stops in good order, says so, and the next scan goes on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            path = self.work / f"signal-{number}.db"
            for attempt in range(40):
                path.unlink(missing_ok=True)
                scan = subprocess.Popen([*map(str, self.command), str(path)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                time.sleep(self.seconds * (0.2 + attempt / 60))
                scan.send_signal(number)
                scan.communicate()
                # Before it watches for signals it dies of them, and is begun anew.
                if scan.returncode == 128 + number:
                    break
            self.assertEqual(scan.returncode, 128 + number)
            self.assertEqual(db.query(path, "SELECT state, exit_code FROM scan"),
                             [("interrupted", 128 + number)])
            harness.run(*self.command, path)
            self.same_content(path, self.whole)


if __name__ == "__main__":
    harness.main()
