# SPDX-License-Identifier: Apache-2.0
"""The tree itself: every source file names its licence, shell scripts are clean."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness

LINE = b"SPDX-License-Identifier: Apache-2.0"
# Data, whose bytes are what is tested, or formats without comments.
NO_LINE = {"LICENSE", ".gitignore"}
NO_LINE_SUFFIXES = {".json", ".ndjson", ".jsonl", ".tsv", ".tar", ".gz", ".zst", ".bin", ".hex",
                    ".out", ".expected"}
NO_LINE_FOLDERS = {"corpora/golden", "corpora/rejects", "corpora/seeds"}


def tree_files():
    """All files of the tree, without asking git: the tree may come from a tarball."""
    for folder, folders, files in os.walk(harness.SOURCE):
        here = pathlib.Path(folder).relative_to(harness.SOURCE)
        folders[:] = sorted(
            name for name in folders
            if name not in {".git", "__pycache__"} and not (str(here) == "." and
                                                           name.startswith("build")))
        yield from (here / name for name in sorted(files) if name != ".git")


class House(harness.Case):
    def test_every_source_names_its_licence(self):
        seen = 0
        bare = []
        for path in tree_files():
            if (path.name in NO_LINE or path.suffix in NO_LINE_SUFFIXES
                    or any(str(path).startswith(folder + "/") for folder in NO_LINE_FOLDERS)):
                continue
            seen += 1
            with open(harness.SOURCE / path, "rb") as file:
                if not any(LINE in file.readline(200) for _ in range(2)):
                    bare.append(str(path))
        self.assertGreater(seen, 30)
        self.assertEqual(bare, [])

    def test_shell_scripts_are_clean(self):
        if not shutil.which("shellcheck"):
            self.skipTest("shellcheck is not installed")
        scripts = []
        for path in tree_files():
            with open(harness.SOURCE / path, "rb") as file:
                if path.suffix == ".sh" or file.readline(20).startswith(b"#!/bin/sh"):
                    scripts.append(str(path))
        self.assertIn("dev", scripts)
        done = subprocess.run(["shellcheck", "-s", "sh", *scripts], cwd=harness.SOURCE, check=False,
                              stdout=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_readers_of_code_find_nothing(self):
        """And they do see what is wrong. clang-tidy's checks that follow paths are `./dev lint`'s."""
        sick = self.work / "sick"
        for folder in ("include", "src", "kernels", "bench"):
            (sick / folder).mkdir(parents=True)
        for name in ("dev", ".clang-tidy"):
            shutil.copy2(harness.SOURCE / name, sick / name)
        (sick / "src" / "x.c").write_text(
            "#define TWICE(k) (2 * k)\nint f(void);\n"
            "int f(void) { int a[2]; a[0] = 0; return a[TWICE(1)]; }\n")
        (sick / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.21)\nproject(sick C)\nadd_library(x src/x.c)\n")
        (sick / "CMakePresets.json").write_text(json.dumps({"version": 3, "configurePresets": [{
            "name": "lint", "generator": "Ninja", "binaryDir": "${sourceDir}/build/lint",
            "cacheVariables": {"CMAKE_EXPORT_COMPILE_COMMANDS": "ON"}}]}))
        for reader, chore, said in (("clang-tidy-14", "tidy", "bugprone-macro-parentheses"),
                                    ("cppcheck", "cppcheck", "arrayIndexOutOfBounds")):
            with self.subTest(reader):
                if not shutil.which(reader):
                    self.skipTest(f"{reader} is not installed")
                harness.run(harness.SOURCE / "dev", chore)
                done = subprocess.run([sick / "dev", chore], check=False, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(said, done.stdout)

    def test_c_files_are_formatted(self):
        # Another version formats otherwise; the check itself is the developer's own.
        if not shutil.which("clang-format-14"):
            self.skipTest("clang-format-14 is not installed")
        harness.run(harness.SOURCE / "dev", "format", "--check")
        # And the check does see what is wrong.
        (self.work / "src").mkdir()
        for name in ("dev", ".clang-format"):
            shutil.copy2(harness.SOURCE / name, self.work / name)
        for text, expected in (("int x;\n", 0), ("int   x ;\n", 1)):
            (self.work / "src" / "x.c").write_text(text)
            harness.run(self.work / "dev", "format", "--check", expect=expected)

    def test_unreached_lines_are_found(self):
        """What is not reached is named, but for what is excused; and an excuse for nothing is told."""
        tree = self.work / "covered"
        (tree / "src").mkdir(parents=True)
        here = tree / "tests" / "house"
        here.mkdir(parents=True)
        shutil.copy2(harness.SOURCE / "tests" / "house" / "unreached.py", here)
        (tree / "src" / "x.c").write_text(
            "int one(void) {\n    return -1;\n}\n\nint two(void) {\n    return -1;\n}\n")
        lcov = tree / "lcov.info"
        for reached, rows, expected, named in (
                ({2, 6}, "", 0, []), ({2}, "", 1, ["src/x.c:6: return -1;"]),
                ({2}, "src/x.c\ttwo\treturn -1;\twhy\n", 0, []),
                ({2}, "src/x.c\ttwo\t*\twhy\n", 0, []),
                ({6}, "src/x.c\ttwo\treturn -1;\twhy\n", 1, ["src/x.c:2: return -1;"]),
                ({2, 6}, "src/x.c\tthree\t*\twhy\n", 1,
                 ["excused.tsv: no such line of an error: src/x.c three *"])):
            (here / "excused.tsv").write_text(rows)
            lcov.write_text(f"SF:{tree}/src/x.c\n" + "".join(
                f"DA:{number},{int(number in reached)}\n" for number in (1, 2, 5, 6)))
            said = harness.run("python3", here / "unreached.py", lcov, expect=expected)
            self.assertEqual(said.decode().splitlines()[:-1], named)

    def test_reports_that_nobody_went_through_are_found(self):
        """And a row that no report answers to is told."""
        tree = self.work / "analyzed"
        (tree / "src").mkdir(parents=True)
        here = tree / "tests" / "house"
        here.mkdir(parents=True)
        for name in ("analyzed.py", "unreached.py"):
            shutil.copy2(harness.SOURCE / "tests" / "house" / name, here)
        (tree / "src" / "x.c").write_text("int one(void) {\n    return *p;\n}\n")
        said = (f"{tree}/src/x.c: In function ‘one’:\n{tree}/src/x.c:2:12: warning: leak of ‘p’ [CWE-401] "
                "[-Wanalyzer-malloc-leak]\n    2 |     return *p;\nIn function ‘two’:\n"
                "cc1: warning: leak of ‘q’ [CWE-401] [-Wanalyzer-malloc-leak]\n")
        one, two = "src/x.c\tone\tmalloc-leak\treturn *p;\twhy\n", "cc1\ttwo\tmalloc-leak\t-\twhy\n"
        for log, text, expected, named in (
                (said, one + two, 0, []), ("", "", 0, []),
                (said, two, 1, ["src/x.c:2: leak of ‘p’ [CWE-401] [malloc-leak]"]),
                (said, one, 1, ["in two: leak of ‘q’ [CWE-401] [malloc-leak]"]),
                (said, one + two.replace("two", "six"), 1, ["in two: leak of ‘q’ [CWE-401] [malloc-leak]",
                                                            "analyzed.tsv: no such report: cc1 six malloc-leak -"]),
                ("elsewhere/x.c:2:12: warning: leak [-Wanalyzer-malloc-leak]\n", "", 1,
                 ["cannot be read: elsewhere/x.c:2:12: warning: leak [-Wanalyzer-malloc-leak] []"])):
            (here / "analyzed.tsv").write_text(text)
            out = harness.run("python3", here / "analyzed.py", input=log.encode(), expect=expected)
            self.assertEqual(out.decode().splitlines()[:-1], named)

    def test_rows_are_for_lines_that_are(self):
        """Whether gcc still says so is `./dev analyze`'s to tell."""
        for row in (harness.SOURCE / "tests/house/analyzed.tsv").read_text().splitlines():
            if not row.startswith(("#", "cc1")):
                name, _, _, line, why = row.split("\t")
                self.assertIn(line, [text.strip() for text in (harness.SOURCE / name).read_text().splitlines()], row)
                self.assertGreater(len(why), 7, row)

    def test_excuses_are_for_lines_that_are(self):
        """Whether a line is reached is `./dev coverage`'s to tell."""
        lines = {}
        for row in (harness.SOURCE / "tests/house/excused.tsv").read_text().splitlines():
            if not row.startswith("#"):
                name, _, line, why = row.split("\t")
                if name not in lines:
                    lines[name] = {text.strip() for text in
                                   (harness.SOURCE / name).read_text().splitlines()}
                self.assertTrue(line == "*" or line in lines[name], row)
                self.assertGreater(len(why), 10, row)


if __name__ == "__main__":
    harness.main()
