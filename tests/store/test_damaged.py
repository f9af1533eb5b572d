# SPDX-License-Identifier: Apache-2.0
"""A database that somebody else has written to, or a disk has: whatever stands in it, nothing crashes,
nothing takes all memory, and an exit code tells."""

import os
import pathlib
import random
import re
import sqlite3
import subprocess

import db
import harness
import oci
import stores

LONG = bool(os.environ.get("VARVE_TEST_LONG"))
VALUES = (-1, 0, 1 << 40, (1 << 62) + 1, -(1 << 63), (1 << 63) - 1, 0.5, "", "odd\0word\x1b", b"",
          b"\xff" * 32, None)
UNUSABLE = 10


class Damaged(db.DatabaseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.work / "mirror"
        layout = db.mirror(cls.folder, 9, most_bytes=2000)
        cut = stores.packed(stores.BASE)[:-9]
        layout.tag("cut", layout.image([(layout.put(cut, stores.GZIP), stores.sha256(stores.BASE))]))
        db.age(cls.folder)
        cls.source = f"oci:{cls.folder}"
        cls.whole = cls.work / "whole.db"
        scan = [harness.VARVE, "scan", "--db", cls.whole, "--entries", cls.source]
        harness.run(*scan, f"oci:{cls.folder}/nowhere", expect=1)
        harness.run(*scan, f"oci:{cls.folder}/nowhere", expect=1)
        db.execute(cls.whole, "PRAGMA journal_mode = DELETE")
        cls.path = cls.work / "damaged.db"
        cls.questions = [line.split()[0].decode()
                         for line in harness.run(harness.VARVE, "query").splitlines()]

    def fresh(self, data=None):
        for suffix in ("", "-wal", "-shm", "-journal"):
            pathlib.Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self.path.write_bytes(self.whole.read_bytes() if data is None else data)

    def try_all(self, what, rng):
        """Reads before it writes, for a scan may mend what is damaged."""
        path = str(self.path)
        commands = [
            (["status", "--db", path], (0, UNUSABLE)),
            (["query", "--db", path, "--json", rng.choice(self.questions)], (0, UNUSABLE)),
            (["query", "--db", path, rng.choice(self.questions)], (0, UNUSABLE)),
            # Neither ends with 0: the second source is nowhere, which the whole one tells of, too.
            (["compare", path, str(self.whole)], (1, 3, UNUSABLE)),
            (["compare", "--json", str(self.whole), path], (1, 3, UNUSABLE)),
            (["scan", "--json", "--entries", "--db", path, self.source], (0, 1, 3, UNUSABLE)),
            (["scan", "--db", path, self.source], (0, 1, 3, UNUSABLE)),
        ]
        refused = 0
        for words, codes in commands:
            done = subprocess.run([harness.VARVE, *words], capture_output=True, check=False)
            told = f"{what}: varve {' '.join(words)}: {done.returncode}: {done.stderr!r}"
            self.assertNotRegex(done.stderr, rb"Sanitizer|runtime error|[^\n -\xff]", told)
            # A file whose first bytes are damaged is no database to compare: it may be anything.
            header = words[0] == "compare" and self.path.read_bytes()[:16] != b"SQLite format 3\0"
            self.assertIn(done.returncode, (*codes, 2) if header else codes, told)
            if done.returncode == UNUSABLE:
                refused += 1
                # One line, beside what compare tells of each side first.
                lines = [line for line in done.stderr.splitlines()
                         if b": its last scan has not finished: " not in line
                         and b": no scan has written to it" not in line
                         and b": not all of it could be read when it was scanned: " not in line]
                self.assertEqual(len(lines), 1, told)
        return refused

    def columns(self):
        return [(table, column) for (table,) in
                db.query(self.whole, "SELECT name FROM sqlite_schema WHERE type = 'table'")
                for _, column, *_ in db.query(self.whole, f"PRAGMA table_info({table})")]

    def put(self, table, column, value, rng):
        """Writes a value where no program would: past types, constraints and references. False: SQLite
        itself has no way to say that."""
        with sqlite3.connect(self.path) as base:
            schema = base.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()
            base.execute("PRAGMA writable_schema = ON")
            for name, sql in schema:
                loose = re.sub(r"\) STRICT(, WITHOUT ROWID)?$",
                               lambda match: ")" + (match[1] or "")[1:], sql)
                loose = re.sub(r" NOT NULL| CHECK\(([^()]|\([^()]*\))*\)", "", loose)
                base.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (loose, name))
        base.close()
        try:
            with sqlite3.connect(self.path) as base:
                base.execute("PRAGMA ignore_check_constraints = ON")
                keys = [key for _, key, _, _, _, is_key in
                        base.execute(f"PRAGMA table_info({table})") if is_key]
                rows = base.execute(f"SELECT {', '.join(keys)} FROM {table}").fetchall()
                self.assertTrue(rows, table)
                base.execute(f"UPDATE {table} SET {column} = ? WHERE "
                             + " AND ".join(f"{key} = ?" for key in keys),
                             (value, *rng.choice(rows)))
        except (sqlite3.IntegrityError, OverflowError):
            return False
        finally:
            base.close()
        with sqlite3.connect(self.path) as base:
            base.execute("PRAGMA writable_schema = ON")
            for name, sql in schema:
                base.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, name))
        base.close()
        return True

    def test_values(self):
        rng = random.Random(9)
        cases = [(table, column, value) for table, column in self.columns() for value in VALUES]
        tried = refused = 0
        for table, column, value in cases if LONG else rng.sample(cases, 40):
            self.fresh()
            if self.put(table, column, value, rng):
                tried += 1
                refused += self.try_all(f"{table}.{column} = {value!r}", rng)
        print(f"{tried} values in the place of others, {refused} times a database was refused")
        self.assertGreater(tried, 20)

    def test_row_numbers(self):
        """Rows of any number, where varve counts up to the greatest."""
        rng = random.Random(10)
        for table in ("location", "image", "code", "scan", "blob", "source"):
            for value in (-1, -(1 << 62), 1 << 40, (1 << 63) - 1):
                self.fresh()
                self.assertTrue(self.put(table, "id", value, rng))
                self.try_all(f"{table}.id = {value}", rng)

    def test_bytes(self):
        rng = random.Random(11)
        whole = self.whole.read_bytes()
        refused = 0
        rounds = 1000 if LONG else 25
        for number in range(rounds):
            data = bytearray(whole)
            for _ in range(rng.choice((1, 1, 4, 40))):
                page = rng.randrange(len(data) // 4096) * 4096
                at = page + rng.choice((rng.randrange(100), rng.randrange(4096)))
                data[at] = rng.choice((0, 0xff, data[at] ^ 1 << rng.randrange(8)))
            self.fresh(data)
            refused += self.try_all(f"bytes, round {number}", rng)
        print(f"{rounds} files with flipped bytes, {refused} times a database was refused")
        self.assertGreater(refused, 0)

    def test_names_of_no_length(self):
        """A digest of a few bytes names no blob: the one whose row it was is read anew."""
        self.fresh()
        rows = db.query(self.path, "SELECT count(*) FROM location")[0][0]
        db.execute(self.path, "UPDATE location SET name = x'0102' WHERE id = 1")
        harness.run(harness.VARVE, "scan", "--db", self.path, self.source, expect=1)
        self.assertEqual(db.query(self.path, "SELECT count(*) FROM location")[0][0], rows + 1)

    def test_triggers(self):
        """What a stranger's schema wants done is not done."""
        self.fresh()
        db.execute(self.path, "CREATE TRIGGER mine AFTER INSERT ON scan BEGIN DELETE FROM rung; END")
        harness.run(harness.VARVE, "scan", "--db", self.path, self.source, expect=1)
        self.assertGreater(db.query(self.path, "SELECT count(*) FROM rung")[0][0], 0)


if __name__ == "__main__":
    harness.main()
