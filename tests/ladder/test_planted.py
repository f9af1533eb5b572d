# SPDX-License-Identifier: Apache-2.0
"""A small mirror with planted truth, scanned whole; and the check itself, which must see answers that are
not so."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

import mutations

PLANTED = harness.SOURCE / "corpora" / "planted.py"


class Planted(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.work / "planted"
        harness.run(sys.executable, PLANTED, cls.folder, "--families", 4)
        cls.answers = cls.folder / "answers.json"
        cls.truth = cls.answers.read_text()

    def check(self, *options, expect=0):
        return harness.run(sys.executable, PLANTED, "--check", harness.VARVE, self.folder, *options,
                           expect=expect).decode()

    def test_every_pair_is_right(self):
        for options in ["--threads=1"], ["--threads=2", "--cpu=scalar"]:
            said = self.check(*options)
            self.assertRegex(said, r"^\d{3} layers .* images, \d{6} pairs: none wrong")
            for rung in "diffid archive encoding order names times content none".split():
                self.assertRegex(said, rf"\b{rung} [1-9]")

    def test_every_deviation_is_planted(self):
        """Each one that the mutations know, which is one for every finding about how a layer is compressed
        and written; but for the one that leaves nothing of the tree, not even what tells families apart, and
        for one that gives another finding of an archive that is planted under the other's name."""
        planted = {answer["variant"] for answer in json.loads(self.truth)["layers"].values()}
        known = {change.__name__ for change, _, _ in mutations.MUTATIONS} - {"no_entries", "short_long_names"}
        self.assertGreater(len(known), 100)
        self.assertEqual(known - planted, set())

    def lie(self, change):
        """What the check says when the answers are changed."""
        book = json.loads(self.truth)
        change(book)
        self.answers.write_text(json.dumps(book))
        try:
            return self.check(expect=1)
        finally:
            self.answers.write_text(self.truth)

    def test_lies_are_seen(self):
        def one(book, **wanted):
            return next(answer for answer in book["layers"].values()
                        if all(answer[key] == value for key, value in wanted.items()))
        lies = {
            "a rung too high": lambda book: one(book, variant="owner_names").update(rung="order"),
            "a rung too low": lambda book: one(book, rung="times").update(rung="content"),
            "a stranger": lambda book: one(book, rung="none").update(rung="content"),
            "another family": lambda book: one(book, family=1, variant="tree").update(family=2),
            "a finding more": lambda book: one(book, finding="mode.ifmt").update(due=1000),
            "a layer more": lambda book: book["layers"].update({"sha256:0": one(book, family=0)}),
        }
        for name, change in lies.items():
            with self.subTest(name):
                self.assertNotIn("none wrong", self.lie(change))
        image = next(ref for ref in json.loads(self.truth)["images"] if "/created:" in ref)
        self.assertIn(image, self.lie(lambda book: book["images"][image].update(rung="names")))


if __name__ == "__main__":
    harness.need_tools("zstd")
    harness.main()
