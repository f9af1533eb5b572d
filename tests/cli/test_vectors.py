# SPDX-License-Identifier: Apache-2.0
"""Archives of other projects' test suites through the whole program: blob and diffid are right for each, and
where all readers agree on what an archive holds, so does varve. (tests/src/test_tar_vectors.c decides
the others, case by case.)"""

import json
import os
import pathlib
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402

VECTORS = harness.SOURCE / ".." / "shared" / "vectors"


def entry_path(entry):
    """What the oracle calls it, as the ladder cleans it: `./`, `/` in front and behind, `//` go."""
    parts = bytes.fromhex(entry["n"]).split(b"/")
    return b"/".join(part for part in parts if part not in (b"", b"."))


class Vectors(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        judged = map(json.loads, (VECTORS / "ORACLE.jsonl").read_text().splitlines())
        # Several suites hold the same files; one of each, for some take seconds.
        cls.oracle = list({each["blob"]: each for each in judged}.values())
        names = [str(VECTORS / judged["file"]) for judged in cls.oracle]
        out = harness.run(harness.VARVE, "digest", "--json", "--entries", *names, expect=1,
                          timeout=300)
        cls.layers, cls.entries = {}, {}
        for line in out.splitlines():
            found = json.loads(line)
            if found["type"] == "layer":
                cls.layers[found["name"]] = found
            elif found["type"] == "entry":
                cls.entries.setdefault(found["layer"], []).append(found)

    def layer(self, judged):
        return self.layers[str(VECTORS / judged["file"])]

    def test_blob_is_right_for_each(self):
        for judged in self.oracle:
            with self.subTest(judged["file"]):
                self.assertEqual(self.layer(judged)["rungs"]["blob"], judged["blob"])
                self.assertEqual(self.layer(judged)["bytes_stored"], judged["size"])

    def test_diffid_is_right_where_it_is_given(self):
        wrong, absent = [], []
        for judged in self.oracle:
            diffid = self.layer(judged)["rungs"].get("diffid")
            if diffid is None:
                absent.append(judged["file"])
            elif judged.get("diff_id") and diffid != judged["diff_id"]:
                wrong.append(judged["file"])
        self.assertEqual(wrong, [])
        for name in absent:
            status = self.layers[str(VECTORS / name)]["status"]
            self.assertIn(status, ("malformed", "unsupported", "limit"), name)

    def test_entries_where_all_readers_agree(self):
        for judged in self.oracle:
            if judged["agree"] != "ALL":
                continue
            with self.subTest(judged["file"]):
                layer = self.layer(judged)
                if sum(entry["s"] for entry in judged["go"]["entries"]) > 16 << 30:
                    # Holes beyond what a layer may have; readers that do not hash them do not mind.
                    self.assertEqual(layer["error"]["code"], "sparse.logical")
                    self.assertIn("archive", layer["rungs"])
                    continue
                self.assertIn(layer["status"], ("ok", "mismatch"))
                found = [(entry["path"].encode() if "path_b64" not in entry else None,
                          entry["size"], entry.get("sha256"))
                         for entry in self.entries.get(layer["name"], [])]
                expected = [(entry_path(entry), entry["s"], entry.get("h"))
                            for entry in judged["go"]["entries"]]
                self.assertEqual(layer["entries"], len(expected))
                for (path, size, digest), (name, length, content) in zip(found, expected):
                    if path is not None:
                        self.assertEqual(path, name)
                    if content:
                        self.assertEqual((size, digest), (length, content))

    def test_none_is_ok_where_all_readers_refuse(self):
        for judged in self.oracle:
            if judged["agree"] == "ERR-ALL":
                with self.subTest(judged["file"]):
                    layer = self.layer(judged)
                    refused = layer["status"] in ("malformed", "unsupported", "limit")
                    self.assertTrue(refused or layer["format"] in ("other", "empty"), layer)


if __name__ == "__main__":
    if not (VECTORS / "ORACLE.jsonl").exists():
        harness.skip(f"no vectors at {pathlib.Path('..', 'shared', 'vectors')}")
    harness.main()
