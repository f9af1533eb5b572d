# SPDX-License-Identifier: Apache-2.0
"""What a timer needs: limits of time and of reading, exit codes to choose, figures, messages."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import db
import harness
import oci
import stores


# Many more than are in flight at once.
LAYERS = 150


class Nightly(db.DatabaseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.work / "mirror"
        layout = db.mirror(cls.folder, LAYERS)
        cls.source = f"oci:{cls.folder}"
        cls.bytes = sum(path.stat().st_size for path in (cls.folder / "blobs/sha256").iterdir()
                        if path.read_bytes()[:2] == b"\x1f\x8b")
        cls.bad = cls.work / "bad"
        layout = oci.Layout(cls.bad)
        cut = stores.packed(stores.BASE)[:-9]
        layout.tag("cut", layout.image([(layout.put(cut, stores.GZIP), stores.sha256(stores.BASE))]))
        cls.partial = cls.work / "partial"
        layout = oci.Layout(cls.partial)
        gone = layout.put(stores.packed(stores.TOP), stores.GZIP)
        layout.path(gone["digest"]).unlink()
        layout.tag("missing", layout.image([(gone, stores.sha256(stores.TOP))]))

    def code(self, *arguments):
        done = subprocess.run([harness.VARVE, "scan", *map(str, arguments)], capture_output=True,
                              check=False, timeout=60)
        return done.returncode

    def test_fail_on(self):
        bad, partial = f"oci:{self.bad}", f"oci:{self.partial}"
        for words, codes in ((None, (0, 1, 3, 1)), ("mismatch,partial", (0, 1, 3, 1)),
                             ("mismatch", (0, 1, 0, 1)), ("partial", (0, 0, 3, 3)),
                             ("never", (0, 0, 0, 0))):
            options = [f"--fail-on={words}"] if words else []
            found = (self.code(*options, self.source), self.code(*options, bad),
                     self.code(*options, partial), self.code(*options, bad, partial))
            self.assertEqual(found, codes, words)
        for words in ("", "mismatch,", "never,mismatch", "all"):
            self.assertEqual(self.code(f"--fail-on={words}", self.source), 2)

    def test_max_duration(self):
        """Stops in time, says so, and the next nights go on until all is done."""
        nights = 0
        known = 0
        whole = False
        while not whole:
            nights += 1
            self.assertLess(nights, 40)
            # Slow enough that not all can be read in a second.
            begun = time.monotonic()
            out = subprocess.run(
                [harness.VARVE, "scan", "--json", "--db", str(self.db), "--threads=1",
                 "--max-duration=1s", f"--read-limit={max(self.bytes // 3, 1)}B", self.source],
                capture_output=True, check=False, timeout=60)
            took = time.monotonic() - begun
            lines = [json.loads(line) for line in out.stdout.splitlines()]
            summary = lines[-1]
            self.assertEqual(out.returncode, 3 if summary["partial"] else 0)
            self.assertFalse(summary["interrupted"])
            self.assertLess(took, 20)
            done = [line for line in lines if line["type"] == "layer"]
            self.assertEqual([line["status"] for line in done], ["ok"] * len(done))
            self.assertEqual(summary["partial"], len(done) < LAYERS)
            # What was known is not forgotten, even by a night that ends before it tells of it.
            (kept,), = db.query(self.db, "SELECT count(*) FROM layer")
            self.assertGreaterEqual(kept, max(known, len(done)))
            known = kept
            whole = len(done) == LAYERS
        states = [state for (state,) in db.query(self.db, "SELECT state FROM scan ORDER BY id")]
        self.assertEqual(states[-1], "finished")
        self.assertGreater(states.count("partial"), 0)
        fresh = self.work / "fresh.db"
        self.scan(self.source, db=fresh)
        self.same_content(self.db, fresh)

    def test_read_limit(self):
        """A limit that makes reading take a second makes it take about that, whatever the machine."""
        begun = time.monotonic()
        harness.run(harness.VARVE, "scan", f"--read-limit={self.bytes}B", "--threads=1",
                    self.source)
        self.assertGreater(time.monotonic() - begun, 0.5)
        self.assertEqual(self.code("--read-limit=0", self.source), 2)
        self.assertEqual(self.code("--read-limit=-1", self.source), 2)

    def test_errors_to(self):
        path = self.work / "errors"
        self.assertEqual(self.code(f"--errors-to={path}", self.source), 0)
        self.assertEqual(path.read_bytes(), b"")
        self.assertEqual(self.code(f"--errors-to={path}", self.source, f"oci:{self.bad}",
                                   f"oci:{self.partial}", f"oci:{self.work}/nowhere"), 1)
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        kinds = [(line["type"], line.get("status"), line.get("ref")) for line in lines]
        for wanted in (("error", None, None), ("layer", "malformed", None),
                       ("layer", "error", None), ("image", "malformed", "cut"),
                       ("image", "error", "missing")):
            self.assertIn(wanted, kinds)
        self.assertEqual(len(kinds), 5)
        # The same lines as on standard output.
        out = harness.run(harness.VARVE, "scan", "--json", f"oci:{self.bad}", expect=1)
        harness.run(harness.VARVE, "scan", f"--errors-to={path}", f"oci:{self.bad}", expect=1)
        for line in path.read_bytes().splitlines():
            self.assertIn(line, out.splitlines())
        self.assertEqual(self.code(f"--errors-to={self.work}/no/where", self.source), 2)

    def test_prom(self):
        path = self.work / "varve.prom"
        path.write_text("old")
        self.assertEqual(self.code(f"--prom={path}", "--db", self.db, self.source,
                                   f"oci:{self.bad}"), 1)
        text = path.read_text()
        figures = {}
        typed = set()
        for line in text.splitlines():
            head = re.fullmatch(r"# (HELP|TYPE) (\w+) (.+)", line)
            if head:
                typed.add(head[2])
                continue
            sample = re.fullmatch(r'(\w+)\{sources="(.*?)"(?:,status="(\w+)")?\} (\d+(\.\d+)?)', line)
            self.assertIsNotNone(sample, line)
            self.assertIn(sample[1], typed)
            self.assertEqual(sample[2], f"{self.source} oci:{self.bad}")
            figures[" ".join(filter(None, (sample[1], sample[3])))] = float(sample[4])
        self.assertEqual(figures["varve_scan_layers ok"], LAYERS)
        self.assertEqual(figures["varve_scan_layers malformed"], 1)
        self.assertEqual(figures["varve_scan_images ok"], LAYERS // 3)
        self.assertEqual(figures["varve_scan_exit_code"], 1)
        self.assertEqual(figures["varve_scan_complete"], 1)
        self.assertEqual(figures["varve_scan_cached_layers"], 0)
        self.assertLess(abs(figures["varve_scan_end_timestamp_seconds"] - time.time()), 60)
        self.assertTrue(text.endswith("\n"))
        self.assertEqual([entry.name for entry in self.work.iterdir()
                          if entry.name.endswith(".tmp")], [])
        if shutil.which("promtool"):
            with open(path, "rb") as file:
                harness.run("promtool", "check", "metrics", stdin=file)
        self.assertEqual(self.code(f"--prom={self.work}/no/where", self.source), 2)
        # What is no file is written to, and stays what it is.
        out = harness.run(harness.VARVE, "scan", "--prom=/dev/stdout", "--json", self.source)
        self.assertIn(b"\nvarve_scan_complete{", out)
        pipe = self.work / "pipe"
        os.mkfifo(pipe)
        with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as cat:
            self.assertEqual(self.code(f"--prom={pipe}", self.source), 0)
            self.assertIn(b"\nvarve_scan_complete{", cat.communicate(timeout=60)[0])
        self.assertTrue(pipe.is_fifo())
        # A link is not replaced, what it leads to is.
        link = self.work / "link.prom"
        link.symlink_to(path)
        self.assertEqual(self.code(f"--prom={link}", self.source), 0)
        self.assertTrue(link.is_symlink())
        self.assertIn("varve_scan_exit_code{", path.read_text())

    def test_prom_label(self):
        """Sources are told apart by a label, in which nothing breaks out of its quotes."""
        name = self.work / 'a "b" \\ c\nd\udcff'
        shutil.copytree(self.bad, name)
        path = self.work / "label.prom"
        self.assertEqual(self.code(f"--prom={path}", f"oci:{name}"), 1)
        lines = [line for line in path.read_bytes().decode().splitlines() if line[0] != "#"]
        self.assertGreater(len(lines), 20)
        for line in lines:
            self.assertIn('/a \\"b\\" \\\\ c\\nd?"', line)

    def slow(self, *options, **more):
        """A scan that takes some seconds."""
        return subprocess.Popen(
            [harness.VARVE, "scan", f"--read-limit={self.bytes // 4}B", "--threads=1", *options,
             self.source],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)

    def test_question(self):
        """SIGUSR1 is answered with a line, whatever progress is shown, and changes nothing."""
        for mode in ("none", "plain"):
            with self.slow(f"--progress={mode}") as scan:
                time.sleep(1)
                scan.send_signal(signal.SIGUSR1)
                time.sleep(0.5)
                scan.send_signal(signal.SIGUSR1)
                error = scan.communicate(timeout=60)[1].decode()
                self.assertEqual(scan.returncode, 0)
            self.assertEqual(len(error.splitlines()), 2, error)
            for line in error.splitlines():
                self.assertRegex(line, r"^varve: [\d.]+ of [\d.]+ MB, \d+ of 150 layers, ")

    def test_gone_meanwhile(self):
        """An image is deleted while the scan runs: its blobs are gone, and that is no error."""
        folder = self.work / "deleted from"
        shutil.copytree(self.folder, folder)
        db.age(folder)
        self.scan(f"oci:{folder}")
        index = json.loads((folder / "index.json").read_bytes())

        def blob(descriptor):
            return folder / "blobs/sha256" / descriptor["digest"][7:]

        def layers(descriptor):
            return json.loads(blob(descriptor).read_bytes())["layers"]

        # The smallest layer comes last.
        top = min(index["manifests"], key=lambda image: min(x["size"] for x in layers(image)))
        mine = layers(top)
        smallest = min(mine, key=lambda layer: layer["size"])["digest"]
        index["manifests"].remove(top)
        with subprocess.Popen([harness.VARVE, "scan", "--json", "--db", self.db, "--rescan",
                               "--threads=1", f"--read-limit={self.bytes // 4}B", f"oci:{folder}"],
                              stdout=subprocess.PIPE) as scan:
            scan.stdout.readline() # it has begun
            time.sleep(0.3)
            self.assertIsNone(scan.poll())
            (folder / "index.json").write_text(json.dumps(index))
            for descriptor in [top, *mine]:
                blob(descriptor).unlink()
            lines = [json.loads(line) for line in scan.communicate(timeout=60)[0].splitlines()]
        self.assertEqual(scan.returncode, 0)
        gone = {line["name"] for line in lines if line["type"] == "gone"}
        self.assertIn(smallest, gone)
        self.assertLessEqual(gone, {layer["digest"] for layer in mine})
        self.assertEqual({line["status"] for line in lines if "status" in line}, {"ok"})
        self.assertEqual((lines[-1]["gone"], lines[-1]["images_gone"]), (len(gone), 1))
        self.assertEqual({name for (name,) in db.query(self.db, "SELECT name FROM gone")}, gone)
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM image WHERE gone = 2"), [(1,)])

    def test_question_while_listing(self):
        """SIGUSR1 is answered, too, while the sources are still listed."""
        for mode, answer in (("plain", b"varve: the sources are being listed\n"),
                             ("json", b'{"v":1,"type":"progress","state":"listing"}\n')):
            with subprocess.Popen([harness.VARVE, "scan", f"--progress={mode}", "--files0-from=-",
                                   self.source], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE) as scan:
                # The list on standard input keeps it from beginning.
                status = pathlib.Path(f"/proc/{scan.pid}/status")
                while not int(re.search(r"SigCgt:\s*(\w+)", status.read_text())[1], 16) \
                        >> (signal.SIGUSR1 - 1) & 1:
                    time.sleep(0.01)
                scan.send_signal(signal.SIGUSR1)
                self.assertEqual(scan.stderr.readline(), answer)
                scan.communicate(b"", timeout=60)
                self.assertEqual(scan.returncode, 0)

    def test_progress_json(self):
        with self.slow("--progress=json") as scan:
            error = scan.communicate(timeout=60)[1]
        lines = [json.loads(line) for line in error.splitlines()]
        self.assertGreater(len(lines), 1)
        for line, after in zip(lines, lines[1:]):
            self.assertEqual((line["v"], line["type"]), (1, "progress"))
            self.assertEqual(line["layers_total"], LAYERS)
            self.assertLessEqual(line["bytes_done"], after["bytes_done"])
            self.assertLess(line["seconds"], after["seconds"])

    def test_journal(self):
        """Where standard error is the journal, lines have priorities; elsewhere they have none."""
        log = self.work / "log"
        for is_journal in (True, False):
            with open(log, "wb") as file:
                status = os.fstat(file.fileno())
                stream = f"{status.st_dev}:{status.st_ino + (not is_journal)}"
                environment = {**os.environ, "JOURNAL_STREAM": stream}
                subprocess.run([harness.VARVE, "scan", "--json", f"oci:{self.bad}"], check=False,
                               stdout=subprocess.DEVNULL, stderr=file, env=environment)
                subprocess.run([harness.VARVE, "scan", "--db", str(self.work), self.source],
                               check=False, stdout=subprocess.DEVNULL, stderr=file,
                               env=environment)
            lines = log.read_text().splitlines()
            if is_journal:
                self.assertRegex(lines[0], r"^<5>varve: scan finished: 1 layers, 1 not ok, "
                                           r"0 known before, [\d.]+ s, exit code 1$")
                self.assertRegex(lines[1], r"^<3>varve: the database cannot be opened ")
                self.assertEqual(len(lines), 2)
            else:
                self.assertEqual(len(lines), 1)
                self.assertRegex(lines[0], r"^varve: the database cannot be opened ")

    def test_units(self):
        """The units are what systemd takes, and every option in them is one that varve takes."""
        folder = harness.SOURCE / "docs" / "systemd"
        service = (folder / "varve-scan@.service").read_text().replace("\\\n", " ")
        command = re.search(r"^ExecStart=(.*)$", service, re.M)[1].split()
        help_text = harness.run(harness.VARVE, "scan", "--help").decode()
        for word in command:
            if word.startswith("--"):
                self.assertIn(word.split("=")[0], help_text)
        state = self.work / "state"
        state.mkdir()
        words = [word.replace("/var/lib/varve", str(state)).replace("%i", "one")
                 for word in command[1:] if word not in ("$OPTIONS", "${SOURCE}")]
        harness.run(harness.VARVE, *words, self.source)
        self.assertEqual({path.name for path in state.iterdir()},
                         {"one.db", "one.errors.json", "one.prom"})
        if not shutil.which("systemd-analyze"):
            self.skipTest("not installed: systemd-analyze")
        place = self.work / "units"
        place.mkdir()
        for path in folder.iterdir():
            # The program may not be installed where the unit says.
            text = path.read_text().replace("/usr/bin/varve", harness.VARVE)
            (place / path.name).write_text(text)
        for name in ("varve-scan@.service", "varve-scan@.timer"):
            done = subprocess.run(["systemd-analyze", "verify", "--man=no",
                                   place / name.replace("@", "@nightly")], check=False,
                                  capture_output=True,
                                  env={**os.environ, "SYSTEMD_UNIT_PATH": f"{place}:"})
            self.assertEqual((done.returncode, done.stderr), (0, b""), done.stderr.decode())


if __name__ == "__main__":
    harness.main()
