#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One tree, many writers: the same files packed by every tar at hand, and on which rung any two of
the archives meet. The tables are expected/<tree>.txt. Then all are normalised: at a rung's strength those
that meet on it become the same bytes, and no others; and what comes out is the tree, as GNU tar, bsdtar,
Python and Go read it.

    test_writers.py             compares all writers that are there
    test_writers.py --of TOOL   compares those of one program with GNU tar's; skipped where it is missing
    test_writers.py --update    writes the tables anew (all writers must be there)

The first leaves out, aloud, the rows and columns of programs that are not installed; the second is a
test of its own for each, so that what is missing shows as skipped and nothing else does.
"""

import grp
import hashlib
import itertools
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "ladder"))
import compare
import ladder
import trees

EXPECTED = HERE / "expected"

# The letter of each rung in a table; it is the first on which the two meet.
LETTERS = {"blob": "B", "diffid": "D", "archive": "A", "encoding": "e", "order": "o", "names": "n",
           "times": "t", "content": "c", "none": "."}

STRENGTHS = ["encoding", "order", "names", "times"]

# What varve calls each program's archives, if it does not say "unknown".
GUESSES = {"tar": "gnu-tar", "bsdtar": "bsdtar", "python3": "python-tarfile", "busybox": "busybox",
           "go": "go", "node": "node-tar"}


def table(names, met):
    """Lower triangle, one line a writer, one letter a pair."""
    lines = ["# SPDX-License-Identifier: Apache-2.0",
             "# The first rung on which two writers' archives of the same tree meet:",
             "# " + " ".join("%s=%s" % (letter, rung) for rung, letter in LETTERS.items()),
             "# Columns are in the order of the rows."]
    for i, name in enumerate(names):
        letters = "".join(LETTERS[met[name, other]] for other in names[:i])
        lines.append(("%-22s %s" % (name, letters)).rstrip())
    return "\n".join(lines) + "\n"


def read_table(text):
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    names = [row[0] for row in rows]
    rungs = {letter: rung for rung, letter in LETTERS.items()}
    return {(row[0], names[i]): rungs[letter]
            for row in rows for i, letter in enumerate(row[1] if len(row) > 1 else "")}


# --- readers of what is normalised: SHA-256 by path, None where there is no content -----------------


def read_python(target):
    found = {}
    with tarfile.open(target, errorlevel=2) as archive:
        for member in archive:
            name = member.name
            while member.islnk():
                member = archive.getmember(member.linkname)
            file = archive.extractfile(member) if member.isreg() else None
            found[name] = hashlib.sha256(file.read()).hexdigest() if file else None
    return found


def read_extracted(folder, command, target):
    folder.mkdir()
    try:
        done = subprocess.run([*command, str(target), "-C", str(folder)], capture_output=True,
                              env=trees.MINE, check=False)
        unknown = b"Ignoring unknown extended header keyword"
        complaints = [line for line in done.stderr.splitlines() if unknown not in line]
        if done.returncode or complaints:
            raise AssertionError("%s: %s" % (command[0], done.stderr.decode(errors="replace")))
        return {path: hashlib.sha256((folder / path).read_bytes()).hexdigest()
                if (folder / path).is_file() and not (folder / path).is_symlink() else None
                for path in trees.listing(folder)}
    finally:
        shutil.rmtree(folder)


def read_go(work, target):
    program = work / "read"
    if not program.exists():
        trees.run(work, ["go", "build", "-o", program, HERE / "read.go"])
    entries = [json.loads(line) for line in trees.run(work, [program, target]).splitlines()]
    contents = {entry["name"].rstrip("/"): entry["sha256"] or None for entry in entries}
    for entry in entries:
        if entry["type"] == "1":
            contents[entry["name"]] = contents[entry["link"]]
    return contents


class Writers(trees.Case):
    update = False

    def check(self, name):
        if self.only and all(pack.tool != self.only for pack in trees.TREES[name][1].values()):
            return
        packed = self.pack_all(name)
        layers = dict(zip(packed, compare.varve(list(packed.values()))))
        self.assertEqual({writer: layer["status"] for writer, layer in layers.items()
                          if layer["status"] != "ok"}, {})
        for writer, layer in layers.items():
            guess, tool = layer["writer"], trees.TREES[name][1][writer].tool
            if guess != "unknown":
                self.assertIn(GUESSES.get(tool), guess.replace("or ", "").split(", "), writer)
            with open(packed[writer], "rb") as file:
                self.assertEqual(compare.differences(layer, ladder.ladder(file.read())), [], writer)
        names = list(layers)
        met = {(a, b): compare.meet(layers[a]["rungs"], layers[b]["rungs"])
               for i, a in enumerate(names) for b in names[:i]}
        target = EXPECTED / (name + ".txt")
        if self.update:
            self.assertEqual(trees.absent, set(), "tables are written with all writers")
            target.write_text(table(names, met))
        expected = read_table(target.read_text())
        self.assertGreater(len(met), 0)
        if not self.only and not trees.absent:
            self.assertEqual(met.keys(), expected.keys())
        wrong = {pair: (rung, expected.get(pair)) for pair, rung in met.items()
                 if expected.get(pair) != rung}
        self.assertEqual(wrong, {}, "(found, expected)")

        if not self.only:
            self.check_normalized(name, packed, layers)

    def check_normalized(self, name, packed, layers):
        env = {word: value for word, value in os.environ.items() if word != "SOURCE_DATE_EPOCH"}
        same = other = 0
        for strength in STRENGTHS:
            written = {}
            for writer, path in packed.items():
                out = self.work / ("%s-%s-%s.normal" % (name, writer, strength))
                harness.run(harness.VARVE, "normalize", path, "-o", out, "--rung=" + strength, env=env)
                written[writer] = out.read_bytes()
            for left, right in itertools.combinations(written, 2):
                codes = {finding["code"] for writer in (left, right)
                         for finding in layers[writer]["findings"]}
                # Links that disagree with their file get its attributes from `order` on.
                if "hardlink.meta" in codes and strength != "encoding":
                    continue
                meet = layers[left]["rungs"][strength] == layers[right]["rungs"][strength]
                self.assertEqual(written[left] == written[right], meet, (left, right, strength))
                same += meet
                other += not meet
            for data in set(written.values()):
                self.judge(name, data)
        print("%s: normalised, %d pairs equal, %d not" % (name, same, other))
        self.assertGreater(same, 0)

    def judge(self, name, data):
        """Whether others read a normalised archive as the tree it was made of."""
        target = self.work / "judged.tar"
        target.write_bytes(data)
        root = self.work / name
        files = {path: hashlib.sha256((root / path).read_bytes()).hexdigest()
                 for path in trees.listing(root)
                 if (root / path).is_file() and not (root / path).is_symlink()}
        found = {"python3": read_python(target)}
        for tool, command in (("tar", ["tar", "--warning=no-timestamp", "-xf"]), ("bsdtar", ["bsdtar", "-xf"])):
            if trees.installed(tool):
                found[tool] = read_extracted(self.work / "unpacked", command, target)
        if trees.installed("go"):
            found["go"] = read_go(self.work, target)
        # Whoever packs can leave something out (node-tar does); nobody adds.
        paths = set(found["python3"])
        self.assertLessEqual(len(set(trees.listing(root)) - paths), 1)
        for reader, entries in found.items():
            self.assertEqual(set(entries), paths, reader)
            self.assertEqual({path: entries[path] for path in files if path in paths},
                             {path: digest for path, digest in files.items() if path in paths}, reader)

    def test_plain(self):
        # Some writers give the owner's name, some none: without one the table would be another.
        try:
            trees.MINE["USER"] = pwd.getpwuid(os.getuid()).pw_name
            grp.getgrgid(os.getgid())
        except KeyError:
            self.skipTest("who runs this has no name")
        super().test_plain()


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        Writers.update = True
        EXPECTED.mkdir(exist_ok=True)
    elif sys.argv[1:2] == ["--of"]:
        Writers.only = sys.argv[2]
        if not trees.installed(Writers.only):
            harness.skip("not installed: " + Writers.only)
        # A program whose name is not in the tables would test nothing.
        assert any(pack.tool == Writers.only for pack in trees.PLAIN.values()), Writers.only
    harness.need_tools("tar")
    del sys.argv[1:]
    trees.main()
