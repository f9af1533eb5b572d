# SPDX-License-Identifier: Apache-2.0
"""docs/limits.md says what src/limits.h holds: every constant, its value, a code that varve has, and a
test that is there."""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness
import limits

UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "EiB": 1 << 60}


def rows(heading):
    """The table beneath a heading, a list of cells a row, without its head."""
    text = (harness.SOURCE / "docs" / "limits.md").read_text().split(f"## {heading}\n")[1]
    lines = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


class Table(harness.Case):
    def check(self, codes, tests):
        """Codes that there are, tests that there are and that are run."""
        known = set(re.findall(r'"([a-z0-9.-]+)"', (harness.SOURCE / "src/findings.def").read_text()))
        for code in re.findall("`([^`]+)`", codes):
            self.assertIn(code, known)
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
        for name, _, value, _, codes, tests in rows("What is fixed"):
            number, _, unit = value.partition(" ")
            self.assertNotIn(name, found)
            found[name.strip("`")] = int(number) * UNITS[unit]
            self.check(codes, tests)
        self.assertEqual(found, values)

    def test_options(self):
        told = harness.run(harness.VARVE, "scan", "--help").decode()
        found = rows("What the command line sets")
        self.assertGreater(len(found), 1)
        for _, value, option, _, codes, tests in found:
            line, = (line for line in told.splitlines() if f"{option.strip('`')}=" in line)
            self.assertRegex(line, rf"\(default {value.replace(' ', '')}[;)]")
            self.check(codes, tests)


if __name__ == "__main__":
    harness.main()
