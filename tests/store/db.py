# SPDX-License-Identifier: Apache-2.0
"""What the tests of the store share: mirrors whose files' times can be trusted, scans with a database,
and a database's content as something that two can be compared by."""

import contextlib
import json
import os
import pathlib
import random
import sqlite3
import sys
import time

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "sources"), str(HERE.parent / "oci")]
import harness

import oci
import stores

HOUR = 3600


def age(folder, seconds=HOUR):
    """Sets all files' times back: what was written just now is read twice."""
    then = time.time() - seconds
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (then, then))


def mirror(folder, layers, seed=1, most_bytes=60000):
    """An OCI layout of images of three layers each, of random text."""
    rng = random.Random(seed)
    layout = oci.Layout(folder)
    made = []
    for i in range(layers):
        words = " ".join(rng.choice(("tar", "layer", "digest", "rung", str(rng.random())))
                         for _ in range(rng.randrange(10, most_bytes // 12)))
        tar = stores.tar_of({f"srv/{i}": words.encode(), f"etc/{i % 7}": b"same\n"})
        made.append((layout.put(stores.packed(tar), stores.GZIP), stores.sha256(tar)))
    for i in range(0, layers, 3):
        layout.tag(f"app:{i // 3}", layout.image(made[i:i + 3]))
    age(folder)
    return layout


def query(path, sql, *values):
    """Writable, as a database whose writer was killed may have to be rolled back first."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as connection:
        found = connection.execute(sql, values).fetchall()
        connection.commit()
        return found


def execute(path, sql, *values):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(sql, values)
    connection.close()


def leave_journal(path, whole, mode):
    """Makes of `path` a copy of a database as it is while another program writes: every blob has become bad.
    `delete`: half of that is in the file, and a journal beside it says what was there; `wal`: it is
    committed, and stands in the log alone."""
    work = pathlib.Path(f"{path}.made")
    for suffix in ("", "-wal", "-journal"):
        pathlib.Path(f"{path}{suffix}").unlink(missing_ok=True)
    work.write_bytes(pathlib.Path(whole).read_bytes())
    connection = sqlite3.connect(work, isolation_level=None)
    assert connection.execute(f"PRAGMA journal_mode = {mode}").fetchall() == [(mode,)]
    for sql in ("PRAGMA cache_size = 1", "PRAGMA cache_spill = 1", "PRAGMA wal_autocheckpoint = 0",
                "BEGIN IMMEDIATE", "UPDATE location SET status = 'no'", "UPDATE rung SET digest = zeroblob(32)"):
        connection.execute(sql)
    journal = "-wal" if mode == "wal" else "-journal"
    if mode == "wal":
        connection.execute("COMMIT")
    for suffix in ("", journal):
        pathlib.Path(f"{path}{suffix}").write_bytes(pathlib.Path(f"{work}{suffix}").read_bytes())
    if mode != "wal":
        connection.execute("ROLLBACK")
    connection.close()
    for suffix in ("", "-wal", "-shm"):
        pathlib.Path(f"{work}{suffix}").unlink(missing_ok=True)
    immutable = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    seen = immutable.execute("SELECT DISTINCT status FROM location").fetchall()
    immutable.close()
    assert seen == ([("ok",)] if mode == "wal" else [("no",)]), seen


def is_whole(path):
    """What SQLite itself says of the file; and no row refers to one that is not there."""
    return (query(path, "PRAGMA integrity_check") == [("ok",)]
            and query(path, "PRAGMA foreign_key_check") == [])


# Everything but row numbers, scans, and when something was read.
CONTENT = {
    "blob": "SELECT hex(sha256), bytes FROM blob",
    "layer": """SELECT hex(blob.sha256), depth, layer.status, code.code, offset_stored,
        offset_decoded, bytes_decoded, compression, format, entries, entries_kept, toc, encoder,
        encoder_evidence,        writer, writer_evidence FROM layer JOIN blob ON blob.id = layer.blob
        LEFT JOIN code ON code.id = layer.code""",
    "rung": "SELECT hex(blob.sha256), rung, hex(digest) FROM rung JOIN blob ON blob.id = blob",
    "facet": "SELECT hex(blob.sha256), facet, hex(digest) FROM facet JOIN blob ON blob.id = blob",
    "finding": """SELECT hex(blob.sha256), code.code, count, offset, entry FROM finding
        JOIN blob ON blob.id = blob JOIN code ON code.id = finding.code""",
    "entry": """SELECT hex(blob.sha256), position, path, typeflag, size, mode, uid, gid, mtime,
        mtime_ns, link, uname, gname, hex(entry.sha256) FROM entry JOIN blob ON blob.id = blob""",
    "location": """SELECT source.name, location.name, hex(blob.sha256), status, code.code,
        offset_stored, offset_decoded, os_errno, check_name, check_size, check_diffid,
        check_media_type, referenced, size, mtime_ns, inode, offset, gone IS NULL,
        verified_at IS NULL FROM location JOIN source ON source.id = location.source
        LEFT JOIN blob ON blob.id = location.blob LEFT JOIN code ON code.id = location.code""",
    "image": """SELECT source.name, ref, hex(digest), platform, kind, status, code.code, document,
        fingerprint, gone IS NULL FROM image JOIN source ON source.id = image.source
        LEFT JOIN code ON code.id = image.code""",
    "image_rung": """SELECT source, ref, hex(image.digest), platform, rung, hex(image_rung.digest)
        FROM image_rung JOIN image ON image.id = image""",
    "reference": """SELECT image.source, ref, hex(digest), platform, position, location.name,
        reference.size, media_type, hex(diffid), reference.status, reference.check_size,
        reference.check_diffid, reference.check_media_type FROM reference
        JOIN image ON image.id = image JOIN location ON location.id = location""",
    "error": """SELECT position, name, status, code.code, os_errno, offset_stored, count FROM error
        JOIN code ON code.id = error.code WHERE scan = (SELECT max(id) FROM scan)""",
}


def content(path):
    return {table: sorted(map(repr, query(path, sql))) for table, sql in CONTENT.items()}


class DatabaseCase(harness.Case):
    def setUp(self):
        self.db = self.work / (self.id().split(".")[-1] + ".db")

    def scan(self, *sources, options=(), expect=0, db=None):
        """The lines by type."""
        out = harness.run(harness.VARVE, "scan", "--json", "--db", db or self.db, *options,
                          *sources, expect=expect, timeout=120)
        found = {}
        for line in map(json.loads, out.splitlines()):
            found.setdefault(line["type"], []).append(line)
        return found

    def cached(self, found):
        self.assertEqual(found["summary"][0]["cached"],
                         sum(line["cached"] for line in found["layer"]))
        return found["summary"][0]["cached"]

    def results(self, found):
        """All that does not tell of the run itself."""
        return [{key: value for key, value in line.items() if key != "cached"}
                for kind in ("layer", "entry", "image", "error", "note")
                for line in found.get(kind, [])]

    def same_content(self, one, other):
        one, other = content(one), content(other)
        for table in CONTENT:
            self.assertEqual(one[table], other[table], table)
