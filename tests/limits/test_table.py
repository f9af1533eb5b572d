# SPDX-License-Identifier: Apache-2.0
"""docs/limits.md says what src/limits.h holds: every constant, its value, a code that varve has and the
status that this code gives, and tests that are there. So do the help of every command, the manual page
and the texts of the codes, where they name a value."""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness
import limits

UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "EiB": 1 << 60}
STATUSES = {"limit", "malformed", "mismatch", "unsupported", "error"}
OPTIONS, FIXED, ELSEWHERE = ("What the command line sets", "What is fixed", "What is fixed elsewhere")


def rows(heading):
    """The table beneath a heading, a list of cells a row, without its head."""
    text = (harness.SOURCE / "docs" / "limits.md").read_text().split(f"## {heading}\n")[1]
    lines = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def findings():
    """Status (None: a finding) and text by code."""
    text = (harness.SOURCE / "src" / "findings.def").read_text()
    found = {}
    for kind, code, rest, said in re.findall(r'^(\w+)\(\w+, "([a-z0-9.-]+)", ([\w, ]+), "(.*)"\)$', text,
                                             re.MULTILINE):
        found[code] = rest.partition(",")[0].lower() if kind == "FAULT" else None, said
    return found


def number_of(value):
    number, _, unit = value.partition(" ")
    return int(number) * UNITS[unit]


class Table(harness.Case):
    known = findings()

    def check(self, beyond, codes, tests):
        """Codes that there are, with the status that is told; tests that there are and that are run."""
        statuses = set()
        for code in re.findall("`([^`]+)`", codes):
            self.assertIn(code, self.known)
            status, _ = self.known[code]
            statuses.add(status)
            if status is None:
                self.assertRegex(beyond, "finding|judged", code)
            elif status != "error":
                self.assertRegex(beyond, rf"`{status}`|error line|\(see above\)", code)
        self.assertLessEqual(set(re.findall("`([^`]+)`", beyond)) & STATUSES, statuses)
        named = re.findall("`([^`:]+):([^`]+)`", tests)
        self.assertNotEqual(named, [], tests)
        for path, name in named:
            pattern = r"def %s\(self" if path.endswith(".py") else r"cmocka_unit_test\w*\(%s[,)]"
            self.assertTrue(re.search(pattern % name, (harness.SOURCE / path).read_text()),
                            f"{path} has no {name}")

    def test_every_constant_has_its_row(self):
        values = limits.read(harness.SOURCE / "src" / "limits.h")
        self.assertGreater(len(values), 15)
        found = {}
        for name, _, value, beyond, codes, tests in rows(FIXED):
            self.assertNotIn(name.strip("`"), found)
            found[name.strip("`")] = number_of(value)
            self.check(beyond, codes, tests)
        self.assertEqual(found, values)

    def test_what_stands_elsewhere(self):
        found = rows(ELSEWHERE)
        self.assertGreater(len(found), 4)
        jansson = harness.run("pkg-config", "--variable=includedir", "jansson").decode().strip()
        for _, value, where, beyond, codes, tests in found:
            *path, name = re.findall("`([^`]+)`", where)
            path = (harness.SOURCE / path[0]) if path else pathlib.Path(jansson) / "jansson_config.h"
            there = re.findall(rf"{re.escape(name)}[ =]+(\d+)\b", path.read_text())
            self.assertIn(value, there, where)
            self.check(beyond, codes, tests)

    def defaults(self):
        """By option; the second one is diff's."""
        found = {}
        for _, value, option, *_ in rows(OPTIONS):
            found.setdefault(option.strip("`"), []).append(value)
        self.assertGreater(len(found), 1)
        return found

    def test_options(self):
        for _, _, _, beyond, codes, tests in rows(OPTIONS):
            self.check(beyond, codes, tests)
        told = harness.run(harness.VARVE, "--help").decode().split("Commands:\n")[1].split("\n\n")[0]
        commands = [line.split()[0] for line in told.splitlines()]
        self.assertGreater(len(commands), 10)
        for option, values in self.defaults().items():
            having = 0
            for command in commands:
                told = harness.run(harness.VARVE, command, "--help").decode().splitlines()
                for line in (line for line in told if f"{option}=" in line):
                    due = "; of diff ".join(value.replace(" ", "") for value in values)
                    self.assertTrue(line.endswith(f"(default {due})"), f"{command}: {line}")
                    having += 1
            self.assertGreater(having, 4, option)

    def test_manual(self):
        manual = (harness.SOURCE / "docs" / "varve.1.scd").read_text()
        for option, values in self.defaults().items():
            told = re.findall(rf"^\*{option}\*=.*\n((?:\t.*\n)+)", manual, re.MULTILINE)
            self.assertNotEqual(told, [], option)
            for text in told:
                self.assertEqual(re.findall(r"(\d+ [KMGT]iB) by default", text), values)
        depth, = re.findall(r"of more than (\d+) names", manual)
        self.assertEqual(int(depth),
                         limits.read(harness.SOURCE / "src" / "limits.h")["VARVE_LIMIT_SPLIT_DEPTH"])

    def test_texts_of_codes(self):
        """Values that the text of a code names are those of the rows that name the code."""
        values = {}
        for _, _, value, _, codes, _ in rows(FIXED):
            for code in re.findall("`([^`]+)`", codes):
                values.setdefault(code, set()).add(value)
        named = 0
        for code, (_, text) in self.known.items():
            for value in re.findall(r"\b(\d+ [KMGTE]iB|\d+(?= values\b))", text):
                self.assertIn(value, values.get(code, ()), code)
                named += 1
        self.assertGreater(named, 4)


if __name__ == "__main__":
    harness.main()
