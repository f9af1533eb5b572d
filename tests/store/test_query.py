# SPDX-License-Identifier: Apache-2.0
"""The prepared questions, as table, JSON and CSV; and that the schema is the one that is documented."""

import csv
import gzip
import io
import json
import re
import sqlite3
import sys
import tarfile

import db
import harness
import oci
import stores

import zlib


def packed(tar, level):
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    return packer.compress(tar) + packer.flush()


def plain(text):
    """A cell as a number read from JSON is written: without zeros at its end."""
    whole, point, part = text.partition(".")
    return str(float(text)) if point and (whole + part).isdigit() else text


class Query(db.DatabaseCase):
    """A mirror of which the answers are known: one tree in four encodings, a copy, a damaged blob."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.work / "mirror"
        layout = oci.Layout(cls.folder)
        tar = stores.BASE
        cls.blobs = {
            "one": packed(tar, 1), "nine": packed(tar, 9),          # compression
            "padded": packed(tar + bytes(10240), 6),                # archive
            "moded": packed(tar.replace(b"0000644\0", b"0100644\0", 1), 6),
        }
        moded = bytearray(tar.replace(b"0000644\0", b"0100644\0", 1))
        moded[148:156] = b"%06o\0 " % (sum(moded[:148]) + 8 * 32 + sum(moded[156:512]))
        cls.blobs["moded"] = packed(bytes(moded), 6)                # encoding
        for name, data in cls.blobs.items():
            layout.tag(f"app:{name}", layout.image([(layout.put(data, stores.GZIP),
                                                     stores.sha256(gzip.decompress(data)))]))
        cut = stores.packed(stores.OTHER)[:-9]
        layout.tag("bad:1", layout.image([(layout.put(cut, stores.GZIP),
                                           stores.sha256(stores.OTHER))]))
        db.age(cls.folder)
        cls.path = cls.work / "a.db"
        harness.run(harness.VARVE, "scan", "--db", cls.path, f"oci:{cls.folder}", expect=1)

    def ask(self, *question):
        out = harness.run(harness.VARVE, "query", "--db", self.path, "--json", *question)
        return [json.loads(line) for line in out.splitlines()]

    def digests(self, *names):
        return {stores.sha256(self.blobs[name]) for name in names}

    def test_classes(self):
        found = {row["rung"]: row for row in self.ask("classes")}
        self.assertEqual(set(found), {"diffid", "archive", "encoding"})
        self.assertEqual(set(found["diffid"]["blobs"].split()), self.digests("one", "nine"))
        self.assertEqual(set(found["archive"]["blobs"].split()),
                         self.digests("one", "nine", "padded"))
        self.assertEqual(set(found["encoding"]["blobs"].split()), self.digests(*self.blobs))
        self.assertEqual((found["encoding"]["layers"], found["encoding"]["variants"]), (4, 2))
        sizes = [len(data) for data in self.blobs.values()]
        self.assertEqual(found["encoding"]["wasted"], sum(sizes) - min(sizes))
        self.assertEqual(self.ask("classes", "--rung", "encoding"), [found["encoding"]])
        self.assertEqual(self.ask("classes", "--rung", "content"), [])
        layer, = [row for row in map(json.loads, harness.run(
            harness.VARVE, "digest", "--json",
            self.folder / "blobs/sha256" / stores.sha256(self.blobs["one"])[7:]).splitlines())
            if row["type"] == "layer"]
        self.assertEqual(found["encoding"]["digest"], layer["rungs"]["encoding"])
        self.assertEqual(found["diffid"]["digest"], layer["rungs"]["diffid"])

    def test_waste(self):
        found = {row["rung"]: row for row in self.ask("waste")}
        self.assertEqual(list(found), ["diffid", "archive", "encoding", "order", "names", "times",
                                       "content"])
        self.assertEqual(found["content"]["layers"], 4)
        self.assertEqual([row["rung"] for row in self.ask("waste", "--rung", "order")], ["order"])

    def test_failures(self):
        row, = self.ask("failures")
        self.assertEqual((row["status"], row["code"], row["images"]),
                         ("malformed", "gzip.truncated", "bad:1"))

    def test_findings(self):
        found = {row["code"]: row for row in self.ask("findings")}
        self.assertEqual((found["mode.ifmt"]["layers"], found["mode.ifmt"]["count"]), (1, 1))
        self.assertEqual(found["eoa.padding"]["layers"], 4)

    def test_writers(self):
        self.assertEqual(sum(row["layers"] for row in self.ask("writers")), 5)
        self.assertEqual(sum(row["layers"] for row in self.ask("compressors")), 5)

    def test_images(self):
        found = {row["ref"]: row for row in self.ask("images")}
        self.assertEqual(len(found), 5)
        self.assertEqual(found["bad:1"]["status"], "malformed")
        self.assertEqual(found["app:one"]["bytes"], len(self.blobs["one"]))

    def test_twins(self):
        found = {row["rung"]: set(row["images"].split(",")) for row in self.ask("twins")}
        self.assertEqual(found, {
            "diffid": {"app:one", "app:nine"}, "archive": {"app:one", "app:nine", "app:padded"},
            "encoding": {"app:one", "app:nine", "app:padded", "app:moded"}})

    def test_status(self):
        out = harness.run(harness.VARVE, "status", "--db", self.path, "--json")
        row = json.loads(out)
        self.assertEqual((row["state"], row["exit_code"], row["layers"], row["layers_failed"]),
                         ("finished", 1, 5, 1))

    def test_every_question_in_every_form(self):
        names = [line.split()[0].decode() for line in
                 harness.run(harness.VARVE, "query").splitlines()]
        self.assertGreater(len(names), 10)
        for name in names:
            rows = self.ask(name)
            text = harness.run(harness.VARVE, "query", "--db", self.path, "--csv", name).decode()
            self.assertTrue(text.endswith("\r\n"))
            table = list(csv.DictReader(io.StringIO(text, newline="")))
            self.assertEqual(
                [{key: str(value) for key, value in row.items()} for row in rows],
                [{key: plain(value) for key, value in row.items() if value != ""}
                 for row in table], name)
            lines = harness.run(harness.VARVE, "query", "--db", self.path, name).splitlines()
            self.assertEqual(len(lines), len(rows) + 1, name)
            one = harness.run(harness.VARVE, "query", "--db", self.path, "--limit=1", name)
            self.assertEqual(len(one.splitlines()), min(len(rows), 1) + 1)

    def test_usage(self):
        for arguments in (["nothing"], ["waste", "--rung", "nothing"], ["images", "--rung", "blob"],
                          ["waste", "images"]):
            harness.run(harness.VARVE, "query", "--db", self.path, *arguments, expect=2)
        harness.run(harness.VARVE, "query", "waste", expect=2)
        harness.run(harness.VARVE, "status", expect=2)
        harness.run(harness.VARVE, "scan", "--rescan", f"oci:{self.folder}", expect=2)
        harness.run(harness.VARVE, "scan", "--db", self.work / "no.db", "--reverify-older-than",
                    "soon", f"oci:{self.folder}", expect=2)

    def test_hostile_names(self):
        """Control characters reach no terminal; CSV fields are no formulas."""
        folder = self.work / "hostile"
        folder.mkdir()
        name = folder / "=1+1,\"\x1b[31m\n.tar"
        name.write_bytes(stores.BASE)
        path = self.work / "hostile.db"
        harness.run(harness.VARVE, "scan", "--db", path, name)
        table = harness.run(harness.VARVE, "query", "--db", path, "layers")
        self.assertNotIn(b"\x1b", table)
        self.assertEqual(len(table.splitlines()), 2)
        text = harness.run(harness.VARVE, "query", "--db", path, "--csv", "layers").decode()
        row, = csv.DictReader(io.StringIO(text, newline=""))
        self.assertEqual(row["name"], str(name))

    def test_names_that_are_no_text(self):
        """UTF-8 (RFC 3629) is kept as text, anything else as bytes: what is cut short, overlong, a
        surrogate, beyond the last code point."""
        text = [b"plain", "\u00e9\u20ac\U0001f4a9".encode(), b"\xf4\x8f\xbf\xbf"]
        other = [b"\xff", b"a\x80", b"\xc3(", b"\xe2\x82", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80",
                 b"\xf4\x90\x80\x80", b"\xf0\x9f\x92("]
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8",
                          errors="surrogateescape") as tar:
            for name in text + other:
                tar.addfile(tarfile.TarInfo(name.decode("utf-8", "surrogateescape")))
        layout, path = oci.Layout(self.work / "names"), self.work / "names.db"
        layout.tag("names", layout.image([(layout.put(out.getvalue(), oci.LAYER),
                                           stores.sha256(out.getvalue()))]))
        harness.run(harness.VARVE, "scan", "--entries", "--db", path, f"oci:{layout.folder}")
        kept = [name for (name,) in db.query(path, "SELECT path FROM entry")]
        self.assertEqual(sorted(name for name in kept if isinstance(name, bytes)), sorted(other))
        self.assertEqual(sorted(name.encode() for name in kept if isinstance(name, str)), sorted(text))

    def test_documented(self):
        """Every table, column, view and question stands in docs/store.md."""
        text = (harness.SOURCE / "docs" / "store.md").read_text()
        words = set(re.findall(r"`([^`]*)`", text))
        words |= {word for phrase in words for word in phrase.split()}
        for kind, name in db.query(self.path, "SELECT type, name FROM sqlite_schema "
                                   "WHERE type IN ('table', 'view')"):
            self.assertIn(name, words)
            if kind == "table":
                for _, column, *_ in db.query(self.path, f"PRAGMA table_info({name})"):
                    if column != "id":
                        self.assertIn(column, words, name)
        for line in harness.run(harness.VARVE, "query").splitlines():
            self.assertTrue(line.split()[0].decode() in words or "the same" in text)
        strict = db.query(self.path, "SELECT name FROM pragma_table_list WHERE type = 'table' "
                          "AND strict = 0 AND name NOT LIKE 'sqlite%'")
        self.assertEqual(strict, [])
        self.assertEqual(db.query(self.path, "PRAGMA application_id"), [(0x76617276,)])
        self.assertEqual(db.query(self.path, "PRAGMA user_version"), [(1,)])


if __name__ == "__main__":
    harness.main()
