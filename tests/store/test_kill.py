# SPDX-License-Identifier: Apache-2.0
"""Killed at any moment: the database is whole, the next scan goes on from it, and in the end it is the
one of a scan that nobody killed."""

import json
import os
import random
import signal
import subprocess
import time

import db
import harness

KILLS = 1000 if os.environ.get("VARVE_TEST_LONG") else 60
LAYERS = 240
# Layers in flight: sixteen on each of two threads; on their way to the database: what the queue
# holds, and the transaction that is being written.
IN_FLIGHT = 32 + 32 + 128


class Kill(db.DatabaseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.work / "mirror"
        db.mirror(cls.folder, LAYERS)
        cls.command = [harness.VARVE, "scan", "--json", "--threads=2", "--entries",
                       f"oci:{cls.folder}", "--db"]
        cls.whole = cls.work / "whole.db"
        begun = time.monotonic()
        harness.run(*cls.command, cls.whole)
        cls.seconds = time.monotonic() - begun

    def kill_one(self, path, rng):
        """Starts a scan and kills it. True: it was over before. How many layers it told of."""
        lines = self.work / "lines"
        with open(lines, "wb") as out:
            scan = subprocess.Popen(["stdbuf", "-oL", *map(str, self.command), str(path)],
                                    stdout=out, stderr=subprocess.PIPE)
            try:
                scan.wait(timeout=rng.uniform(0, self.seconds))
            except subprocess.TimeoutExpired:
                scan.send_signal(signal.SIGKILL)
            error = scan.communicate()[1]
        self.assertIn(scan.returncode, (0, -signal.SIGKILL), error)
        # The last line may be cut.
        told = [json.loads(line) for line in lines.read_bytes().split(b"\n")[:-1]]
        return scan.returncode == 0, [line for line in told if line["type"] == "layer"]

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
                over, told = self.kill_one(path, rng)
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
                self.assertLessEqual(len(told) - recalled, after - before + IN_FLIGHT)
            self.same_content(path, self.whole)
            states = [state for (state,) in db.query(path, "SELECT state FROM scan")]
            self.assertEqual(states[-1], "finished")
            # It may also have been killed when all was written and it was about to end.
            self.assertLessEqual(set(states), {"killed", "finished"})
            path.unlink()
        print(f"{kills} kills in {rounds} rounds, {halfway} of them halfway")
        self.assertGreater(halfway, KILLS // 10)

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
