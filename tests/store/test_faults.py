# SPDX-License-Identifier: Apache-2.0
"""Where the database cannot be used: said clearly, by exit codes of its own, and nothing is lost."""

import fcntl
import json
import os
import pathlib
import random
import shutil
import sqlite3
import struct
import subprocess
import time

import db
import harness

UNUSABLE, LOCKED = 10, 11
F_OFD_SETLK = 37


def mounted(folder, *arguments):
    """Mounts something on a folder, where that is allowed here."""
    folder.mkdir()
    done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, check=False)
    return done.returncode == 0


class Faults(db.DatabaseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.work / "mirror"
        db.mirror(cls.folder, 150)
        cls.source = f"oci:{cls.folder}"
        cls.whole = cls.work / "whole.db"
        harness.run(harness.VARVE, "scan", "--db", cls.whole, "--entries", cls.source)

    def fails(self, path, code, words, *options):
        done = subprocess.run([harness.VARVE, "scan", "--db", str(path), *options, self.source],
                              capture_output=True, check=False, timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr.decode(), words)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        return done

    def mount(self, name, *arguments):
        folder = self.work / name
        if not mounted(folder, *arguments):
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(folder)], check=True)
        return folder

    def test_disk_full(self):
        size = self.whole.stat().st_size
        for share in (0.02, 0.5, 0.7, 0.9):
            folder = self.mount(f"full-{share}", "-t", "tmpfs", "-o",
                                f"size={int(size * share) // 4096 * 4096 or 4096}", "tmpfs")
            path = folder / "a.db"
            self.fails(path, UNUSABLE, "full|disk I/O", "--entries")
            # Room is made, and the next scan goes on.
            subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
            before = 0
            if db.query(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'location'")[0][0]:
                self.assertTrue(db.is_whole(path))
                before = db.query(path, "SELECT count(*) FROM location")[0][0]
            found = self.scan(self.source, db=path, options=["--entries"])
            self.assertEqual(self.cached(found), before)
            self.same_content(path, self.whole)
            # A first transaction fits, whatever was in it; the whole does not.
            if share == 0.9:
                self.assertGreater(before, 0)

    def test_read_only(self):
        folder = self.mount("read-only", "-t", "tmpfs", "tmpfs")
        shutil.copy(self.whole, folder / "a.db")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        self.fails(folder / "a.db", UNUSABLE, "opened for writing: Read-only file system")
        self.fails(folder / "new.db", UNUSABLE, "opened for writing: Read-only file system")
        out = harness.run(harness.VARVE, "query", "--db", folder / "a.db", "--csv", "waste")
        self.assertEqual(out, harness.run(harness.VARVE, "query", "--db", self.whole, "--csv",
                                          "waste"))

    def test_read_only_beside_a_journal(self):
        """What is uncommitted in the file, or committed in a log, is never left out of an answer: where
        nobody may put it in its place, that is said, whatever name the file is opened by."""
        folder = self.mount("journals", "-t", "tmpfs", "tmpfs")
        for mode in ("delete", "wal"):
            db.leave_journal(folder / f"{mode}.db", self.whole, mode)
            (self.work / f"to-{mode}.db").symlink_to(folder / f"{mode}.db")
        odd = folder / "it's"
        odd.mkdir()
        shutil.copy(self.whole, odd / "a.db")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        query = [harness.VARVE, "query", "--csv", "--db"]
        for mode in ("delete", "wal"):
            for path in (folder / f"{mode}.db", self.work / f"to-{mode}.db"):
                done = subprocess.run([*query, path, "failures"], capture_output=True, check=False)
                self.assertEqual((done.returncode, done.stdout), (UNUSABLE, b""), done.stderr)
                self.assertIn(b"what its journal holds", done.stderr)
        # Where there is none, the file is all there is.
        expected = harness.run(*query, self.whole, "waste")
        for path in (odd / "a.db", f"/{odd}/a.db"):
            self.assertEqual(harness.run(*query, path, "waste"), expected)
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        self.assertEqual(harness.run(*query, folder / "delete.db", "waste"), expected)
        self.assertEqual(len(harness.run(*query, folder / "wal.db", "failures").splitlines()), 151)

    def test_no_permission(self):
        if os.geteuid() == 0:
            run_as = shutil.which("setpriv")
            if not run_as:
                self.skipTest("setpriv is not installed, and root may write anywhere")
        folder = self.work / "closed"
        folder.mkdir()
        path = folder / "a.db"
        shutil.copy(self.whole, path)
        path.chmod(0o444)
        folder.chmod(0o555)
        command = [harness.VARVE, "scan", "--db", str(path), self.source]
        if os.geteuid() == 0:
            shutil.copy(harness.VARVE, self.work / "varve")
            for place in (self.work, self.work.parent):
                if place != pathlib.Path("/tmp"):
                    place.chmod(0o755)
            command = [run_as, "--reuid=65534", "--regid=65534", "--clear-groups",
                       str(self.work / "varve"), *command[1:]]
        done = subprocess.run(command, capture_output=True, check=False)
        self.assertEqual(done.returncode, UNUSABLE, done.stderr)
        self.assertIn(b"opened for writing: Permission denied", done.stderr)

    def test_locked_by_a_scan(self):
        path = self.work / "scan.db"
        self.scan(self.source, db=path)
        with open(path, "r+b") as file:
            fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 1 << 62, 1, 0))
            begun = time.monotonic()
            self.fails(path, LOCKED, "another scan is writing")
            self.assertLess(time.monotonic() - begun, 4)
            # Who only reads is not held up.
            harness.run(harness.VARVE, "status", "--db", path)
        self.scan(self.source, db=path)

    def test_two_scans(self):
        """The lock is really held while a scan runs, and dies with it."""
        path = self.work / "two.db"
        fifo = self.work / "fifo"
        os.mkfifo(fifo)
        with subprocess.Popen([harness.VARVE, "scan", "--db", str(path), "blob:-"],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as first:
            while not path.exists() or not db.query(
                    path, "SELECT count(*) FROM sqlite_schema WHERE name = 'scan'")[0][0] \
                    or not db.query(path, "SELECT count(*) FROM scan")[0][0]:
                time.sleep(0.02)
            self.fails(path, LOCKED, "another scan is writing")
            self.assertEqual(self.states(path), ["running"])
            # A copy is a database of which nobody writes anything.
            shutil.copy(path, self.work / "copy.db")
            shutil.copy(str(path) + "-wal", self.work / "copy.db-wal")
            self.assertEqual(self.states(self.work / "copy.db"), ["killed"])
            first.kill()
            first.wait()
            # The table says what it said; who asks is told what is so, and nothing is written.
            self.assertEqual(db.query(path, "SELECT state FROM scan"), [("running",)])
            self.assertEqual(self.states(path), ["killed"])
            self.assertEqual(db.query(path, "SELECT state FROM scan"), [("running",)])
        # A scan that has the database and has not begun yet makes no earlier one run.
        with open(path, "r+b") as file:
            fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 1 << 62, 1, 0))
            self.assertEqual(self.states(path), ["killed"])
        self.scan(self.source, db=path)
        self.assertEqual(db.query(path, "SELECT state FROM scan ORDER BY id"),
                         [("killed",), ("finished",)])
        self.assertEqual(self.states(path), ["finished", "killed"])

    def states(self, path):
        """What `varve status` says of the scans, the last one first; and so do the other ways to ask."""
        json_lines = [json.loads(line) for line in harness.run(
            harness.VARVE, "status", "--json", "--db", path).splitlines()]
        states = [line["state"] for line in json_lines]
        table = harness.run(harness.VARVE, "query", "--db", path, "scans").decode().splitlines()
        column = table[0].split().index("state") + 1  # of began, which is two words
        self.assertEqual([line.split()[column] for line in table[1:]], states)
        return states

    def test_locked_by_a_transaction(self):
        path = self.work / "transaction.db"
        self.scan(self.source, db=path)
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        self.fails(path, LOCKED, "locked")
        self.assertGreater(time.monotonic() - begun, 4)
        other.rollback()
        # One that ends in time is waited for.
        other.execute("BEGIN IMMEDIATE")
        with subprocess.Popen([harness.VARVE, "scan", "--db", str(path), self.source],
                              stdout=subprocess.DEVNULL) as scan:
            time.sleep(1)
            self.assertIsNone(scan.poll())
            other.rollback()
            self.assertEqual(scan.wait(30), 0)
        other.close()

    def test_locked_on_the_way(self):
        """A lock that comes while the scan runs ends it, and what was committed stands."""
        path = self.work / "way.db"
        with subprocess.Popen([harness.VARVE, "scan", "--db", str(path), "blob:-", self.source],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as scan:
            while not path.exists() or not db.query(
                    path, "SELECT count(*) FROM sqlite_schema WHERE name = 'location'")[0][0] \
                    or not db.query(path, "SELECT count(*) FROM location")[0][0]:
                time.sleep(0.02)
            other = sqlite3.connect(path, timeout=10)
            other.execute("BEGIN IMMEDIATE")
            # Standard input is one more layer, whose result has to be written down.
            error = scan.communicate(b"no layer", timeout=60)[1]
            self.assertEqual(scan.returncode, LOCKED, error)
            self.assertIn(b"locked", error)
        other.rollback()
        other.close()
        self.assertTrue(db.is_whole(path))
        self.scan(self.source, db=path)

    def test_older(self):
        """A database with the indexes that earlier builds made loses them, and nothing else."""
        path = self.work / "older.db"
        shutil.copy(self.whole, path)
        for table in ("rung", "image_rung"):
            db.execute(path, f"CREATE INDEX {table}_digest ON {table}(rung, digest)")
        classes = [harness.VARVE, "query", "--db", path, "classes"]
        before = harness.run(*classes)
        self.assertEqual(self.cached(self.scan(self.source, db=path)), 150)
        self.assertEqual(db.query(path, "SELECT name FROM sqlite_schema WHERE name LIKE '%_digest'"),
                         [])
        self.assertEqual(harness.run(*classes), before)
        self.same_content(path, self.whole)

    def test_newer(self):
        path = self.work / "newer.db"
        shutil.copy(self.whole, path)
        db.execute(path, "PRAGMA user_version = 2")
        before = path.read_bytes()
        self.fails(path, UNUSABLE, "newer varve: its version is 2, this one knows 1")
        harness.run(harness.VARVE, "status", "--db", path, expect=UNUSABLE)
        self.assertEqual(path.read_bytes(), before)

    def test_not_ours(self):
        path = self.work / "other.db"
        db.execute(path, "CREATE TABLE mine(x)")
        before = path.read_bytes()
        self.fails(path, UNUSABLE, "no database of varve's")
        self.assertEqual(path.read_bytes(), before)
        text = self.work / "text.db"
        text.write_text("no database at all\n" * 100)
        self.fails(text, UNUSABLE, "not a database")
        self.assertEqual(text.read_text(), "no database at all\n" * 100)
        self.fails(self.work, UNUSABLE, "Is a directory")
        pipe = self.work / "pipe.db"
        os.mkfifo(pipe)
        for path in (pipe, "/dev/zero"):
            self.fails(path, UNUSABLE, "no regular file")
        harness.run(harness.VARVE, "query", "--db", self.work / "nowhere.db", "waste",
                    expect=UNUSABLE)
        self.assertFalse((self.work / "nowhere.db").exists())

    def test_damaged(self):
        """Whatever is in the file, there is no crash, and a code that tells."""
        whole = self.whole.read_bytes()
        for at in range(1, 40):
            path = self.work / "damaged.db"
            for suffix in ("", "-wal", "-shm"):
                pathlib.Path(f"{path}{suffix}").unlink(missing_ok=True)
            data = bytearray(whole)
            begin = len(data) * at // 40
            data[begin:begin + 600] = random.Random(at).randbytes(600)
            path.write_bytes(data)
            for command in (["scan", "--db", path, self.source],
                            ["query", "--db", path, "classes"]):
                done = subprocess.run([harness.VARVE, *map(str, command)], capture_output=True,
                                      check=False, timeout=60)
                self.assertIn(done.returncode, (0, 1, 3, UNUSABLE), done.stderr)

    def test_journal(self):
        """A write-ahead log on a local disk, none on a file system like FUSE's."""
        self.assertEqual(db.query(self.whole, "PRAGMA journal_mode"), [("wal",)])
        if not shutil.which("fuse-overlayfs") or not os.path.exists("/dev/fuse"):
            self.skipTest("no FUSE here")
        place = self.work / "fuse"
        for name in ("lower", "upper", "scratch", "merged"):
            (place / name).mkdir(parents=True)
        done = subprocess.run(["fuse-overlayfs", "-o", f"lowerdir={place}/lower,upperdir="
                               f"{place}/upper,workdir={place}/scratch", str(place / "merged")],
                              capture_output=True, check=False)
        if done.returncode:
            self.skipTest("FUSE does not mount here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(place / "merged")], check=True)
        path = place / "merged" / "a.db"
        self.scan(self.source, db=path, options=["--entries"])
        self.assertEqual(db.query(path, "PRAGMA journal_mode"), [("delete",)])
        self.assertEqual(self.cached(self.scan(self.source, db=path)), 150)
        self.same_content(path, self.whole)


if __name__ == "__main__":
    harness.main()
