# SPDX-License-Identifier: Apache-2.0
"""CASES.tsv names every hostile case that varve was built against, what the program says of its
archives, and the tests that go further: none is missing, and all that it says is so."""

import hashlib
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import harness
import oci

VECTORS = harness.SOURCE / ".." / "shared" / "vectors" / "hostile-synthetic"
CASES = 54


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

    def test_archives(self):
        """The blob's digest is right whatever the archive is; status and code are the table's."""
        if not VECTORS.is_dir():
            self.skipTest("no hostile archives here")
        expected = {}
        for _, _, archives, _ in cases():
            for name, verdict in archives.items():
                path, = VECTORS.glob(f"{name}-*")
                expected[str(path)] = verdict
        self.assertGreater(len(expected), 110)
        done = subprocess.run([harness.VARVE, "digest", "--json", *expected], check=False,
                              capture_output=True)
        self.assertEqual((done.returncode, done.stderr), (1, b""))
        for line in map(json.loads, done.stdout.splitlines()):
            if line["type"] != "layer":
                continue
            verdict = expected.pop(line["name"])
            code = line.get("error", {}).get("code")
            with self.subTest(pathlib.Path(line["name"]).name):
                self.assertEqual(line["status"] + (f":{code}" if code else ""), verdict)
                data = pathlib.Path(line["name"]).read_bytes()
                self.assertEqual(line["rungs"]["blob"],
                                 "sha256:" + hashlib.sha256(data).hexdigest())
        self.assertEqual(expected, {})

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
        """Half a surrogate pair is no JSON; a NUL in an annotation does no harm, and what is said of
        them can be read again."""
        for number, (note, expected) in enumerate(((br"\ud800", "malformed"),
                                                   (br"a\u0000b", "ok"))):
            folder = oci.Layout(self.work / f"odd{number}")
            config = folder.put(b'{"rootfs":{"type":"layers","diff_ids":[]}}', oci.CONFIG)
            text = json.dumps({"schemaVersion": 2, "config": config, "layers": [],
                               "annotations": {"note": "@"}}).encode().replace(b"@", note)
            folder.tag("x", folder.put(text, oci.MANIFEST))
            done = subprocess.run([harness.VARVE, "scan", "--json", f"oci:{folder.folder}"],
                                  check=False, capture_output=True)
            image, = [line for line in map(json.loads, done.stdout.splitlines())
                      if line["type"] == "image"]
            self.assertEqual(image["status"], expected, note)


if __name__ == "__main__":
    harness.main()
