# SPDX-License-Identifier: Apache-2.0
"""Names come from strangers: whatever an image, a tag, a path or a document is called, nothing that the
program says to people can steer a terminal or turn a line around; and what it says is UTF-8."""

import io
import os
import sys
import tarfile
import unicodedata

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402

import oci

CLEAN = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
# Escape sequences of seven and eight bits, a bell, what turns lines around, line separators.
STEERING = ["\x1b[31m", "\x9b31m", "\x07", "\x7f", "\r", "\u061c", "\u200e", "\u200f", "\u202a", "\u202e",
            "\u2066", "\u2069", "\u2028", "\u0080"]
NAME = "a".join(STEERING)
ESCAPED = ["\\x1b[31m", "\\xc2\\x9b31m", "\\x07", "\\x7f", "\\x0d", "\\xd8\\x9c", "\\xe2\\x80\\x8e",
           "\\xe2\\x80\\x8f", "\\xe2\\x80\\xaa", "\\xe2\\x80\\xae", "\\xe2\\x81\\xa6", "\\xe2\\x81\\xa9",
           "\\xe2\\x80\\xa8", "\\xc2\\x80"]
# What stands for itself: letters of every length, next to what does not.
KEPT = "\u00e9\u00a0\u00a9\u200d\u202f\u2010\u65e5\U0001f600\\"


def archive(name, link, form=tarfile.PAX_FORMAT):
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=form,
                      encoding="utf-8", errors="surrogateescape") as tar:
        for kind in (tarfile.REGTYPE, tarfile.SYMTYPE):
            entry = tarfile.TarInfo(name + kind.decode())
            entry.type, entry.linkname, entry.uname = kind, link if kind == tarfile.SYMTYPE else "", name
            if form == tarfile.PAX_FORMAT:
                entry.pax_headers = {"SCHILY.xattr.user." + name: name}
            tar.addfile(entry)
    return memory.getvalue()


class Safe(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        layout = oci.Layout(cls.work / "layout")
        cls.layers = [archive(NAME + KEPT, NAME), archive(NAME + KEPT + "x", NAME)]
        for number, data in enumerate(cls.layers):
            (cls.work / f"layer{number}").write_bytes(data)
            layer = layout.put(data, oci.LAYER)
            image = layout.image([(layer, oci.digest_of(data))], architecture=NAME,
                                 created=f"{NAME} 200{number}")
            layout.tag(f"{NAME}{number}", {**image, "platform": {"os": NAME, "architecture": "x"}})
        broken = oci.Layout(cls.work / "broken")
        missing = {"mediaType": oci.LAYER, "digest": "sha256:" + "5" * 64, "size": 5}
        broken.tag(NAME, broken.image([(missing, missing["digest"])]))
        broken.tag(NAME + "2", {"mediaType": oci.MANIFEST, "digest": "sha256:" + "6" * 64, "size": 5})
        (cls.work / NAME.replace("\r", "").replace("/", "")).mkdir()
        cls.raw = cls.work / "raw"
        cls.raw.write_bytes(archive("\udcff\udc9b\udce2\udc80", "\udcc3", tarfile.GNU_FORMAT))

    def say(self, *argv, expect=0, shown=True):
        """What a command says to people, of which nothing steers."""
        said = self.work / "said"
        with open(said, "wb") as both:
            harness.run(harness.VARVE, *argv, expect=expect, cwd=self.work, stdout=both, stderr=both,
                        env=CLEAN)
        text = said.read_bytes().decode()  # UTF-8, or this fails
        wrong = sorted({character for character in text if character not in "\n" and
                        (unicodedata.category(character) in ("Cc", "Zl", "Zp") or
                         unicodedata.bidirectional(character) in
                         ("RLE", "LRE", "RLO", "LRO", "PDF", "RLI", "LRI", "FSI", "PDI") or
                         character in "\u061c\u200e\u200f")})
        self.assertEqual(wrong, [], argv)
        if shown:
            self.assertIn("a".join(ESCAPED), text, argv)
        return text

    def test_what_stands_for_itself(self):
        self.assertIn("a".join(ESCAPED) + KEPT, self.say("digest", "--entries", "layer0"))

    def test_scans(self):
        self.say("scan", "oci:broken", expect=3)
        self.say("scan", f"oci:layout:{NAME}", expect=3)
        self.say("digest", "--entries", "layer0", "layer1")
        self.say("digest", NAME, expect=3)

    def test_bytes_that_are_no_text(self):
        text = self.say("digest", "--entries", "raw", shown=False)
        self.assertIn("\\xff\\x9b\\xe2\\x80", text)
        self.assertIn("-> \\xc3", text)

    def test_comparisons(self):
        self.say("diff", "layer0", "layer1", expect=1)
        self.say("diff", "oci:layout:" + NAME + "0", "oci:layout:" + NAME + "1", expect=1)
        self.say("diff", "oci:layout", "oci:layout", expect=2)
        self.say("compare", "oci:layout", "oci:broken", expect=1)

    def test_databases(self):
        self.say("scan", "--db=db", "oci:layout", "oci:broken", expect=3)
        questions = [line.split()[0] for line in harness.run(harness.VARVE, "query").decode().splitlines()
                     if line.startswith("  ")]
        self.assertGreater(len(questions), 10)
        for question in questions:
            self.say("query", "--db=db", question, shown=question in ("images", "failures"))
        self.say("status", "--db=db", shown=False)

    def test_normalize(self):
        self.say("normalize", "oci:layout", "-o", "oci:out")
        self.say("normalize", "oci:broken", "-o", "oci:no", expect=3)
        self.say("normalize", "oci:layout", "-o", "oci:no", "--mtime=5", expect=1)
        self.say("normalize", f"oci:layout:{NAME}", "-o", "oci:no", expect=3)
        self.say("normalize", "layer0", "-o", f"nowhere/{NAME}", expect=2)
        self.say("normalize", NAME, "-o", "no", expect=2)
        self.say("frobnicate" + NAME, expect=2)
        self.say("scan", "--" + NAME, expect=2)


if __name__ == "__main__":
    harness.main()
