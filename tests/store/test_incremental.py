# SPDX-License-Identifier: Apache-2.0
"""What is known is not read again, and is read again when it has to be."""

import gzip
import json
import os
import pathlib
import shutil
import tarfile
import time

import db
import harness
import oci
import stores


def flip(path, at=-20):
    """Changes one bit and keeps size and times: what a disk does."""
    path = pathlib.Path(path)
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


class Incremental(db.DatabaseCase):
    def setUp(self):
        super().setUp()
        self.folder = self.work / self.id().split(".")[-1]
        self.layout = db.mirror(self.folder, 12)
        self.source = f"oci:{self.folder}"
        self.some = sorted((self.folder / "blobs/sha256").iterdir(),
                           key=lambda path: path.stat().st_size)[-1]

    def test_second_scan(self):
        first = self.scan(self.source)
        self.assertEqual(self.cached(first), 0)
        before = db.content(self.db)
        second = self.scan(self.source)
        self.assertEqual(self.cached(second), 12)
        self.assertEqual(second["summary"][0]["bytes_read"], 0)
        self.assertEqual(self.results(first), self.results(second))
        self.assertEqual(before, db.content(self.db))
        self.assertTrue(db.is_whole(self.db))
        self.assertEqual(db.query(self.db, "SELECT state, exit_code, layers_cached FROM scan"),
                         [("finished", 0, 0), ("finished", 0, 12)])

    def test_many_threads(self):
        """Threads that recall, each by a connection of its own, beside others that read and a writer:
        nothing depends on how many there are."""
        folder = self.work / "many"
        db.mirror(folder, 102, seed=2, most_bytes=3000)
        source = f"oci:{folder}"
        layers = [path for path in sorted((folder / "blobs/sha256").iterdir())
                  if path.read_bytes()[:2] == b"\x1f\x8b"]
        self.assertEqual(len(layers), 102)
        whole = self.scan(source)
        for threads in (1, 2, 7):
            then = time.time() - 100 - threads
            for path in layers[::3]:
                os.utime(path, (then, then))
            found = self.scan(source, options=[f"--threads={threads}"])
            self.assertEqual(self.cached(found), 68)
            self.assertEqual(self.results(found), self.results(whole))
            self.assertTrue(db.is_whole(self.db))
        found = self.scan(source, options=["--threads=7", "--entries"])
        again = self.scan(source, options=["--threads=7", "--entries"])
        self.assertEqual((self.cached(found), self.cached(again)), (0, 102))
        self.assertEqual(self.results(found), self.results(again))

    def test_without_database(self):
        self.assertEqual(self.results(self.scan(self.source)), self.results(
            {"layer": [json.loads(line) for line in harness.run(
                harness.VARVE, "scan", "--json", self.source).splitlines()
                if b'"type":"layer"' in line],
             "image": [json.loads(line) for line in harness.run(
                 harness.VARVE, "scan", "--json", self.source).splitlines()
                 if b'"type":"image"' in line]}))

    def test_changed_file(self):
        self.scan(self.source)
        flip(self.some)
        os.utime(self.some, (time.time() - 60,) * 2)
        found = self.scan(self.source, expect=1)
        self.assertEqual(self.cached(found), 11)
        bad = [line for line in found["layer"] if line["status"] != "ok"]
        self.assertEqual([line["checks"]["name"] for line in bad], ["mismatch"])
        # The failure is known now, and is still one.
        again = self.scan(self.source, expect=1)
        self.assertEqual(self.cached(again), 12)
        self.assertEqual(self.results(found), self.results(again))
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM failures"), [(1,)])

    def test_bit_rot(self):
        self.scan(self.source)
        flip(self.some)
        self.assertEqual(self.cached(self.scan(self.source)), 12)
        found = self.scan(self.source, options=["--rescan"], expect=1)
        self.assertEqual(self.cached(found), 0)

    def test_reverify(self):
        self.scan(self.source)
        flip(self.some)
        self.assertEqual(self.cached(self.scan(
            self.source, options=["--reverify-older-than", "30d"])), 12)
        db.execute(self.db, "UPDATE location SET verified_at = verified_at - 31 * 86400 "
                   "WHERE hex(name) = upper(?)", self.some.name)
        found = self.scan(self.source, options=["--reverify-older-than", "30d"], expect=1)
        self.assertEqual(self.cached(found), 11)
        self.assertEqual(found["layer"][-1]["name"], "sha256:" + self.some.name)
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM location WHERE verified_at < "
                                  "unixepoch() - 86400"), [(0,)])

    def test_reverify_oldest_first(self):
        self.scan(self.source)
        names = [line["name"] for line in self.scan(self.source)["layer"]]
        for number, name in enumerate(names):
            db.execute(self.db, "UPDATE location SET verified_at = ? WHERE hex(name) = upper(?)",
                       1000 + number * 7 % 12, name[7:])
        found = self.scan(self.source, options=["--reverify-older-than", "1d"])
        self.assertEqual(self.cached(found), 0)
        self.assertEqual([names.index(line["name"]) * 7 % 12 for line in found["layer"]],
                         list(range(12)))

    def test_new_claim(self):
        """A blob that is not read is still held against what a new image says of it."""
        self.scan(self.source)
        layers = json.loads((self.folder / "blobs/sha256" / self.layout.top[0]["digest"][7:])
                            .read_text())["layers"]
        wrong = self.layout.image([({**layers[0], "size": layers[0]["size"] + 1},
                                    stores.sha256(b""))])
        self.layout.tag("wrong:1", wrong)
        found = self.scan(self.source, expect=1)
        self.assertEqual(self.cached(found), 12)
        bad = [line for line in found["layer"] if line["status"] == "mismatch"]
        self.assertEqual(len(bad), 1)
        self.assertEqual(bad[0]["checks"], {"name": "ok", "size": "mismatch",
                                            "diffid": "mismatch", "media_type": "ok"})
        fresh = self.work / "new_claim-fresh.db"
        self.assertEqual(self.results(self.scan(self.source, db=fresh, expect=1)),
                         self.results(found))
        self.same_content(self.db, fresh)
        # The claim is taken back.
        self.layout.top.pop()
        (self.folder / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": self.layout.top}))
        (self.folder / "blobs/sha256" / wrong["digest"][7:]).unlink()
        self.scan(self.source)
        self.assertEqual(db.query(self.db, "SELECT * FROM failures"), [])

    def test_text(self):
        """No rate is told of what was decoded on another day."""
        texts = [harness.run(harness.VARVE, "scan", "--db", self.db, self.source).decode()
                 for _ in range(2)]
        self.assertRegex(texts[0], r" MB decoded, .*\n.* s on \d+ threads, [\d.]+ GB/s decoded\n$")
        self.assertRegex(texts[1], r", 12 known before\n0.0 MB read, [\d.]+ MB decoded now or before, "
                         r".*\n[\d.]+ s on \d+ threads\n$")

    def test_gone_and_back(self):
        self.scan(self.source)
        top = self.layout.top[0]
        manifest = json.loads((self.folder / "blobs/sha256" / top["digest"][7:]).read_text())
        layers = [layer["digest"] for layer in manifest["layers"]]
        shelf = self.work / "shelf"
        shelf.mkdir()
        for digest in [*layers, manifest["config"]["digest"]]:
            shutil.move(self.folder / "blobs/sha256" / digest[7:], shelf)
        (self.folder / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": self.layout.top[1:]}))
        shutil.move(self.folder / "blobs/sha256" / top["digest"][7:], shelf)
        self.scan(self.source)
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM location WHERE gone = 2"), [(3,)])
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM image WHERE gone = 2"), [(1,)])
        self.assertEqual(sorted(name for (name,) in db.query(self.db, "SELECT name FROM gone")),
                         sorted(layers))
        for path in shelf.iterdir():
            shutil.move(path, self.folder / "blobs/sha256")
        (self.folder / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": self.layout.top}))
        self.assertEqual(self.cached(self.scan(self.source)), 12)
        self.assertEqual(db.query(self.db, "SELECT * FROM gone"), [])
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM image WHERE gone IS NULL"),
                         [(4,)])

    def test_unreadable_source_is_not_gone(self):
        self.scan(self.source)
        index = self.folder / "index.json"
        text = index.read_text()
        index.write_text("{")
        self.scan(self.source, expect=1)
        self.assertEqual(db.query(self.db, "SELECT * FROM gone"), [])
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM image WHERE gone IS NULL"),
                         [(4,)])
        index.write_text(text)
        self.assertEqual(self.cached(self.scan(self.source)), 12)

    def test_missing_blob(self):
        self.scan(self.source)
        self.some.rename(self.work / "moved")
        found = self.scan(self.source, expect=3)
        self.assertEqual([line["error"]["code"] for line in found["layer"]
                          if line["status"] == "error"], ["io.missing"])
        self.assertEqual(self.cached(found), 11)
        ((code, images),) = db.query(self.db, "SELECT code, images FROM failures")
        self.assertEqual(code, "io.missing")
        self.assertRegex(images, r"^app:\d+$")

    def test_other_versions(self):
        self.scan(self.source)
        before = db.content(self.db)
        db.execute(self.db, "UPDATE producer SET versions = 'of another age'")
        self.assertEqual(self.cached(self.scan(self.source)), 0)
        self.assertEqual(self.cached(self.scan(self.source)), 12)
        self.assertEqual(before, db.content(self.db))

    def test_limits(self):
        few = ["--max-decoded", "40000"]
        found = self.scan(self.source, options=few, expect=3)
        limited = sum(line["status"] == "limit" for line in found["layer"])
        self.assertIn(limited, range(1, 12))
        again = self.scan(self.source, options=few, expect=3)
        self.assertEqual(self.cached(again), 12)
        self.assertEqual(self.results(found), self.results(again))
        self.assertEqual(self.cached(self.scan(self.source)), 12 - limited)
        fresh = self.work / "limits-fresh.db"
        self.scan(self.source, db=fresh)
        self.same_content(self.db, fresh)

    def test_entries(self):
        self.scan(self.source)
        found = self.scan(self.source, options=["--entries"])
        self.assertEqual(self.cached(found), 0)
        self.assertEqual(len(found["entry"]), 24)
        again = self.scan(self.source, options=["--entries"])
        self.assertEqual(self.cached(again), 12)
        self.assertEqual(self.results(found), self.results(again))
        # Entries that are kept stay, also where they are not asked for.
        self.assertEqual(self.cached(self.scan(self.source)), 12)
        self.scan(self.source, options=["--rescan"])
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM entry"), [(24,)])
        ((files, distinct, size, saved),) = db.query(self.db, "SELECT * FROM file_waste")
        self.assertEqual((files, distinct), (24, 13))
        self.assertEqual(saved, 11 * 5)
        self.assertEqual(size, db.query(self.db, "SELECT sum(size) FROM entry")[0][0])

    def test_odd_entries(self):
        """Names that are not UTF-8, times before 1970, links: as they were read."""
        folder = self.work / "odd"
        folder.mkdir()
        with tarfile.open(folder / "odd.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            info = tarfile.TarInfo("a\udcff\udcfe")
            info.pax_headers = {"mtime": "-4.5"}
            tar.addfile(info)
            info = tarfile.TarInfo("l")
            info.type, info.linkname, info.uname = tarfile.SYMTYPE, "a\udcff", "üser"
            tar.addfile(info)
        db.age(folder)
        options = ["--entries"]
        found = self.scan(f"blob:{folder}/odd.tar", options=options)
        again = self.scan(f"blob:{folder}/odd.tar", options=options)
        self.assertEqual(self.cached(again), 1)
        self.assertEqual(self.results(found), self.results(again))
        self.assertEqual(len(again["entry"]), 2)

    def test_scrub(self):
        """Reading the stored bytes alone needs less than is known, and keeps what is known."""
        self.scan(self.source)
        before = db.content(self.db)
        self.assertEqual(self.cached(self.scan(self.source, options=["--rungs=blob"])), 12)
        found = self.scan(self.source, options=["--rungs=blob", "--rescan"])
        self.assertEqual(self.cached(found), 0)
        after = db.content(self.db)
        for table in ("blob", "layer", "rung", "facet", "finding", "location"):
            self.assertEqual(before[table], after[table], table)
        self.assertEqual(self.cached(self.scan(self.source)), 12)

    def test_deeper(self):
        self.scan(self.source, options=["--rungs=blob"])
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM layer"), [(0,)])
        self.assertEqual(self.cached(self.scan(self.source, options=["--rungs=diffid"])), 0)
        self.assertEqual(self.cached(self.scan(self.source, options=["--rungs=diffid"])), 12)
        found = self.scan(self.source)
        self.assertEqual(self.cached(found), 0)
        again = self.scan(self.source)
        self.assertEqual(self.cached(again), 12)
        self.assertEqual(self.results(found), self.results(again))

    def test_just_written(self):
        """A time of modification that may not change at the next write is not trusted."""
        os.utime(self.some)
        self.scan(self.source)
        found = self.scan(self.source)
        fresh = db.query(self.db, "SELECT count(*) FROM location WHERE mtime_ns IS NULL")[0][0]
        if fresh:
            self.assertEqual(self.cached(found), 11)
        os.utime(self.some, (time.time() + HOUR_AHEAD,) * 2)
        self.scan(self.source)
        self.assertEqual(self.cached(self.scan(self.source)), 11)

    def test_hard_links(self):
        other = self.work / "linked"
        shutil.copytree(self.folder, other, copy_function=os.link)
        sources = [self.source, f"oci:{other}"]
        found = self.scan(*sources)
        self.assertEqual(found["summary"][0]["same_files"], 12)
        again = self.scan(*sources)
        self.assertEqual(self.cached(again), 24)
        self.assertEqual(self.results(found), self.results(again))
        self.assertEqual(db.query(self.db, "SELECT count(*), count(DISTINCT blob) FROM location"),
                         [(24, 12)])
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM waste WHERE rung = 'blob'"),
                         [(0,)])

    def test_copies(self):
        other = self.work / "copied"
        shutil.copytree(self.folder, other)
        db.age(other)
        self.scan(self.source, f"oci:{other}")
        ((layers, wasted),) = db.query(
            self.db, "SELECT layers, wasted FROM waste WHERE rung = 'blob'")
        self.assertEqual(layers, 24)
        self.assertEqual(wasted, db.query(self.db, "SELECT sum(bytes) FROM blob")[0][0])

    def test_two_sources_in_turn(self):
        other = self.work / "another"
        db.mirror(other, 6, seed=2)
        self.scan(self.source)
        self.scan(f"oci:{other}")
        self.assertEqual(db.query(self.db, "SELECT * FROM gone"), [])
        self.assertEqual(self.cached(self.scan(self.source, f"oci:{other}")), 18)

    def test_relative_path(self):
        """A source is where it lies, however it was called."""
        self.scan(self.source)
        out = harness.run(harness.VARVE, "scan", "--json", "--db", self.db,
                          f"oci:{self.folder.name}", cwd=self.folder.parent)
        self.assertEqual(json.loads(out.splitlines()[-1])["cached"], 12)
        self.assertEqual(db.query(self.db, "SELECT count(*) FROM source"), [(1,)])

    def test_archive(self):
        """Blobs inside an archive: known while the archive is the same."""
        archive = self.work / "a.tar"
        with tarfile.open(archive, "w") as tar:
            for path in sorted(self.folder.rglob("*")):
                tar.add(path, path.relative_to(self.folder), recursive=False)
        os.utime(archive, (time.time() - 60,) * 2)
        found = self.scan(f"oci-archive:{archive}")
        again = self.scan(f"oci-archive:{archive}")
        self.assertEqual((self.cached(found), self.cached(again)), (0, 12))
        self.assertEqual(self.results(found), self.results(again))
        os.utime(archive, (time.time() - 30,) * 2)
        self.assertEqual(self.cached(self.scan(f"oci-archive:{archive}")), 0)

    def test_loose_files(self):
        files = [str(self.some), str(self.folder / "oci-layout")]
        found = self.scan(*files)
        again = self.scan(*files)
        self.assertEqual((self.cached(found), self.cached(again)), (0, 2))
        self.assertEqual(self.results(found), self.results(again))
        # Another list of files says nothing of those that are not on it.
        self.scan(files[0])
        self.assertEqual(db.query(self.db, "SELECT * FROM gone"), [])

    def test_standard_input(self):
        for _ in range(2):
            with open(self.some, "rb") as file:
                out = harness.run(harness.VARVE, "scan", "--json", "--db", self.db, "blob:-",
                                  stdin=file)
            self.assertIn(b'"cached":false', out)

    def test_sha512(self):
        folder = self.work / "sha512"
        layout = oci.Layout(folder)
        layout.tag("a:1", layout.image([
            (layout.put(stores.packed(stores.BASE), stores.GZIP, algorithm="sha512"),
             stores.sha256(stores.BASE))]))
        db.age(folder)
        found = self.scan(f"oci:{folder}")
        again = self.scan(f"oci:{folder}")
        self.assertEqual((self.cached(found), self.cached(again)), (0, 1))
        self.assertEqual(again["layer"][0]["checks"]["name"], "ok")
        self.assertEqual(self.results(found), self.results(again))

    def test_damaged_of_every_kind(self):
        """Faults of bytes, of names, and of claims come out of the database as they went in."""
        folder = self.work / "damaged"
        layout = oci.Layout(folder)
        good = stores.packed(stores.BASE)
        blobs = {
            "cut": good[:-9], "text": b"no layer at all\n" * 9, "empty": b"",
            "flipped": good[:-8] + bytes([good[-8] ^ 1]) + good[-7:], "xz": b"\xfd7zXZ\0" + good,
            "plain": stores.BASE, "behind": good + b"garbage",
            "torn": gzip.compress(stores.BASE[:700], mtime=0),
        }
        for name, data in blobs.items():
            layout.tag(name, layout.image([(layout.put(data, stores.GZIP),
                                            stores.sha256(stores.BASE))]))
        named = layout.put(stores.packed(stores.TOP), stores.GZIP)
        layout.path(named["digest"]).write_bytes(stores.packed(stores.OTHER)[:-9])
        layout.tag("named", layout.image([(named, stores.sha256(stores.TOP))]))
        db.age(folder)
        found = self.scan(f"oci:{folder}", expect=1)
        again = self.scan(f"oci:{folder}", expect=1)
        self.assertEqual(self.cached(again), len(blobs) + 1)
        self.assertEqual(self.results(found), self.results(again))
        self.assertGreater(len({line["status"] for line in found["layer"]}), 2)
        self.assertGreater(len({line["error"]["code"] for line in found["layer"]
                                if "error" in line}), 4)


HOUR_AHEAD = 3600

if __name__ == "__main__":
    harness.main()
