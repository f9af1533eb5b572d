# SPDX-License-Identifier: Apache-2.0
"""CASES.tsv names every hostile case that varve was built against, what the program says of its
archives, and the tests that go further: none is missing, and all that it says is so."""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zlib

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import harness
import oci

VECTORS = harness.SOURCE / ".." / "shared" / "vectors" / "hostile-synthetic"
CASES = 54
RUNGS = ["blob", "diffid", "archive", "encoding", "order", "names", "times", "content"]
# As CASES.tsv has it: status, code of the fault, entries, findings that must be there, some with the
# offset of the first.
VERDICT = re.compile(r"(\w+)(?::([\w.-]+))?(?:@(\d+))?((?:\+[\w.-]+(?:#\d+)?)*)")
TABLE = "stargz.index.json"
ZSTD = re.compile(rb"(?:\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)")  # a frame, or a skippable one
PIECE_BYTES = 1 << 20


def plain(path):
    """Decoded bytes in pieces; what it returns is where they ended in the file."""
    data = path.read_bytes()
    yield data
    return len(data)


def gunzip(path):
    """All members in a row."""
    rest = path.read_bytes()
    whole = len(rest)
    while rest[:2] == b"\x1f\x8b":
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            yield member.decompress(rest, PIECE_BYTES)
            rest = member.unconsumed_tail
        rest = member.unused_data
    return whole - len(rest)


def unzstd(path):
    """By zstd's own program, which does not say where it ended."""
    with open(path, "rb") as file, subprocess.Popen(["zstd", "-dcq", "--long=31"], stdin=file,
                                                    stdout=subprocess.PIPE,
                                                    stderr=subprocess.DEVNULL) as process:
        while piece := process.stdout.read(PIECE_BYTES):
            yield piece


DECODERS = {"gzip": gunzip, "zstd": unzstd, "plain": plain}


def decoded(kind, path):
    """Length and SHA-256 of what a file decodes to, and where its compressed stream ends, if known."""
    decoder, count, digest = DECODERS[kind](path), 0, hashlib.sha256()
    while True:
        try:
            piece = next(decoder)
        except StopIteration as stop:
            return count, "sha256:" + digest.hexdigest(), stop.value
        count += len(piece)
        digest.update(piece)


def cases():
    """Number, what it is, its archives with what is expected, its tests."""
    lines = (HERE / "CASES.tsv").read_text().splitlines()[1:]
    for number, what, archives, tests in (line.split("\t") for line in lines):
        yield int(number), what, dict(word.split("=") for word in archives.split()), tests.split()


class Cases(harness.Case):
    def test_each_has_its_tests(self):
        found = list(cases())
        self.assertEqual([number for number, *_ in found], list(range(1, CASES + 1)))
        for number, what, _, tests in found:
            with self.subTest(f"{number} {what}"):
                self.assertTrue(tests)
                for test in tests:
                    path, _, name = test.partition(":")
                    text = (harness.SOURCE / path).read_text()
                    pattern = r"def %s\(self" if path.endswith(".py") else r"cmocka_unit_test\w*\(%s[,)]"
                    self.assertTrue(re.search(pattern % re.escape(name), text), test)

    said = None

    def digest(self):
        """What the program says of all archives of the table: layer lines and entries by name."""
        if Cases.said:
            return Cases.said
        if not VECTORS.is_dir():
            self.skipTest("no hostile archives here")
        names = {name: str(*VECTORS.glob(f"{name}-*")) for _, _, archives, _ in cases()
                 for name in archives}
        self.assertGreater(len(names), 110)
        done = subprocess.run([harness.VARVE, "digest", "--json", "--entries", *names.values()],
                              check=False, capture_output=True)
        self.assertEqual((done.returncode, done.stderr), (1, b""))
        layers, entries = {}, {}
        for line in map(json.loads, done.stdout.splitlines()):
            if line["type"] == "layer":
                layers[line["name"]] = line
            elif line["type"] == "entry":
                entries.setdefault(line.pop("layer"), []).append(line)
        self.assertEqual(set(layers), set(names.values()))
        Cases.said = ({name: layers[path] for name, path in names.items()},
                      {name: entries.get(path, []) for name, path in names.items()})
        return Cases.said

    def test_archives(self):
        """The blob's digest is right whatever the archive is; status, code, entries and findings are the
        table's; of rungs there are those that stand beside the fault, and no others."""
        layers, _ = self.digest()
        for _, _, archives, _ in cases():
            for name, verdict in archives.items():
                with self.subTest(name):
                    self.judge(layers[name], *VERDICT.fullmatch(verdict).groups())

    def judge(self, line, status, code, entries, findings):
        self.assertEqual((line["status"], line.get("error", {}).get("code")), (status, code))
        if entries:
            self.assertEqual(line.get("entries", 0), int(entries))
        found = {finding["code"]: finding.get("offset") for finding in line["findings"]}
        for code_due, _, offset in (word.partition("#") for word in findings.split("+")[1:]):
            self.assertIn(code_due, found)
            if offset:
                self.assertEqual(found[code_due], int(offset))
        data = pathlib.Path(line["name"]).read_bytes()
        self.assertEqual(line["rungs"]["blob"], "sha256:" + hashlib.sha256(data).hexdigest())
        kind = (code or "").partition(".")[0]
        if kind in ("gzip", "zstd", "decode"):
            stand = RUNGS[:1]
        elif code == "sparse.logical":
            stand = RUNGS[:3]
        elif status in ("malformed", "limit") or line["format"] == "other":
            stand = RUNGS[:2]
        else:
            stand = RUNGS
        self.assertEqual(list(line["rungs"]), stand)

    def test_entries_before_a_fault_are_kept(self):
        """What stands before what is wrong is listed, with its content."""
        _, entries = self.digest()
        for name in ("d10", "d11", "g05", "c03"):
            found = [(entry["path"], entry["size"], entry["sha256"]) for entry in entries[name]]
            self.assertEqual(found, [("a.txt", 6, hashlib.sha256(b"AAAA_a").hexdigest())], name)
        for name in ("d12", "c02"):
            self.assertEqual(entries[name], [])

    def test_diffids(self):
        """Where there is a diffid it is of all decoded bytes, as zlib and zstd's own program decode them,
        those behind the archive's end, too; what follows the compressed stream is found where that ends."""
        layers, _ = self.digest()
        zstd = shutil.which("zstd")
        compared = {kind: 0 for kind in ("gzip", "zstd", "plain")}
        for name, line in layers.items():
            if "diffid" not in line["rungs"]:
                continue
            path = pathlib.Path(line["name"])
            data = path.read_bytes()
            kind = "gzip" if data[:2] == b"\x1f\x8b" else "zstd" if ZSTD.match(data) else "plain"
            if kind == "zstd" and not zstd:
                continue
            with self.subTest(name):
                count, digest, end = decoded(kind, path)
                self.assertEqual((line["bytes_decoded"], line["rungs"]["diffid"]), (count, digest))
                offsets = [found["offset"] for found in line["findings"]
                           if found["code"].startswith("decode.trailing-")]
                if kind == "gzip":
                    self.assertEqual(offsets, [end] if end < len(data) else [])
            compared[kind] += 1
        self.assertGreater(compared["plain"], 50)
        self.assertGreater(compared["gzip"], 15)
        if not zstd:
            self.skipTest("not installed: zstd; gzip and plain archives were compared")
        self.assertGreater(compared["zstd"], 4)

    def test_tables_do_not_change_entries(self):
        """Whatever a table of contents says, the tar's entries are those of the sound layer."""
        _, entries = self.digest()
        for sound, liars in (("k01", [f"k{n:02}" for n in range(2, 13)]), ("k20", ["k22", "k23", "k24", "k26"])):
            there = [entry for entry in self.entries_of(sound) if entry["path"] != TABLE]
            self.assertGreater(len(there), 1)
            for name in liars:
                found = [entry for entry in entries[name] if entry["path"] != TABLE]
                self.assertEqual(found, there, name)

    def entries_of(self, name):
        out = harness.run(harness.VARVE, "digest", "--json", "--entries", *VECTORS.glob(f"{name}-*"))
        return [{key: value for key, value in line.items() if key != "layer"}
                for line in map(json.loads, out.splitlines()) if line["type"] == "entry"]

    def test_names_are_not_lost(self):
        """Names that are no UTF-8, or hold control characters, come back byte for byte."""
        _, entries = self.digest()
        for name, expected in (("t14", b"caf\xe9"), ("t06", b"\n"), ("t07", b"\\"), ("p18", b"\xff")):
            raw = b" ".join(base64.b64decode(entry["path_b64"]) if "path_b64" in entry
                            else entry["path"].encode() for entry in entries[name])
            self.assertIn(expected, raw, name)

    def test_labels(self):
        """As layers of an image that calls them what they are not."""
        if not VECTORS.is_dir():
            self.skipTest("no hostile archives here")
        gzip, zstd = oci.LAYER + "+gzip", oci.LAYER + "+zstd"
        for name, label, status, code, finding in (
                ("z17", gzip, "malformed", "claim.tar", None),
                ("c02", oci.LAYER, "malformed", "claim.tar", None),
                ("z22", gzip, "ok", None, "claim.media-type"),
                ("y26", gzip, "ok", None, "claim.media-type"),
                ("z01", zstd, "ok", None, "claim.media-type"),
                ("z01", gzip, "ok", None, None), ("e06", oci.LAYER, "ok", None, "layer.empty")):
            data = next(VECTORS.glob(f"{name}-*")).read_bytes()
            out = harness.run(harness.VARVE, "digest", "--json", *VECTORS.glob(f"{name}-*"))
            diffid = json.loads(out.splitlines()[1])["rungs"]["diffid"]
            layout = oci.Layout(self.work / f"label {name} {label[-4:]}")
            layout.tag("x", layout.image([(layout.put(data, label), diffid)]))
            done = subprocess.run([harness.VARVE, "scan", "--json", f"oci:{layout.folder}"], check=False,
                                  capture_output=True)
            line, = [line for line in map(json.loads, done.stdout.splitlines())
                     if line["type"] == "layer"]
            with self.subTest(f"{name} {label}"):
                self.assertEqual((line["status"], line.get("error", {}).get("code")), (status, code))
                claims = {found["code"] for found in line["findings"]} & {"claim.media-type", "layer.empty"}
                self.assertEqual(claims, {finding} - {None})
                self.assertEqual(done.returncode, 1 if code else 0)

    def scan(self, name, text):
        """An image whose manifest is this text."""
        layout = oci.Layout(self.work / name)
        layout.tag("x", layout.put(text, oci.MANIFEST))
        done = subprocess.run([harness.VARVE, "scan", "--json", f"oci:{layout.folder}"],
                              check=False, capture_output=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        image, = [line for line in lines if line["type"] == "image"]
        return done.returncode, image

    def test_long_numbers(self):
        """A million digits where a size should be."""
        text = (b'{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:%s","size":%s},'
                b'"layers":[]}' % (b"0" * 64, b"9" * 1000000))
        code, image = self.scan("long", text)
        self.assertEqual((code, image["status"], image["error"]["code"]),
                         (1, "malformed", "oci.json"))

    def test_odd_strings(self):
        """Half a surrogate pair is no JSON; a NUL in an annotation does no harm and is noted, and what
        is said of them can be read again."""
        for number, (note, expected, notes) in enumerate(((br"\ud800", "malformed", []),
                                                          (br"a\\u0000b", "ok", []),
                                                          (br"a\u0000b", "ok", ["oci.nul"]))):
            folder = oci.Layout(self.work / f"odd{number}")
            config = folder.put(b'{"rootfs":{"type":"layers","diff_ids":[]}}', oci.CONFIG)
            text = json.dumps({"schemaVersion": 2, "config": config, "layers": [],
                               "annotations": {"note": "@"}}).encode().replace(b"@", note)
            folder.tag("x", folder.put(text, oci.MANIFEST))
            done = subprocess.run([harness.VARVE, "scan", "--json", f"oci:{folder.folder}"],
                                  check=False, capture_output=True)
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            image, = [line for line in lines if line["type"] == "image"]
            self.assertEqual(image["status"], expected, note)
            self.assertEqual([line["code"] for line in lines if line["type"] == "note"], notes)


class Memory(harness.Case):
    def test_memory_is_flat(self):
        """What claims gigabytes, and what decodes to them, takes no more memory than a small archive. (A
        window that is really that wide is taken from the budget, which is small here.)"""
        if not VECTORS.is_dir():
            self.skipTest("no hostile archives here")
        plain = self.resident("d01")
        for name in ("p12", "g04", "p16", "x06", "x07", "x12", "z16", "z19", "y05", "y14", "y15", "y16",
                     "y18", "y22", "y25", "k11", "k24", "k26", "e12"):
            with self.subTest(name):
                self.assertLess(self.resident(name), plain + (12 << 10))

    def resident(self, name):
        """KiB at most."""
        path, = VECTORS.glob(f"{name}-*")
        with subprocess.Popen([harness.VARVE, "digest", "--json", "--threads=1", "--memory=64MiB", path],
                              stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.assertIn(process.returncode, (0, 1, 3))
        return usage.ru_maxrss


if __name__ == "__main__":
    harness.main()
