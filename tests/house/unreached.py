#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/house/unreached.py LCOV - which error returns of src/ no test reached: lines that were compiled, never
ran, and tell of a failure. `./dev coverage` makes the list that it reads (lcov's format) and prints what it
says; the exit code is 1 where a line is neither reached nor excused.

What no test can reach on the machines that we have stands in excused.tsv: file, function, the line's text
("*": all of the function), why. A row that no line answers to is an error, too."""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
# A status or code of a fault, an end with nothing in hand, a message, a jump to the end.
FAILURE = re.compile(
    r"VARVE_(ERROR|LIMIT|UNSUPPORTED|MALFORMED|MISMATCH|STORE_(?!OK)\w+|CODE_\w+)\b"
    r"|\breturn (false|NULL|-1|EXIT_FATAL|VARVE_NAME_NONE|1)\b|\bgoto\b|\bcomplain\(|\bfail\w*\("
    r"|= (false|ENOMEM|EIO);|NO_MEMORY\b|no_memory = true")


def counts(path):
    """By file: how often each compiled line ran."""
    found, lines = {}, None
    for row in path.read_text().splitlines():
        kind, _, rest = row.partition(":")
        if kind == "SF":
            name = re.search(r"(?:^|/)(src/[a-z0-9_/]*\.c)$", rest)
            ours = name and "tests/" not in rest
            lines = found.setdefault(name[1] if ours else "", {})
        elif kind == "DA":
            number, count = rest.split(",")[:2]
            lines[int(number)] = max(lines.get(int(number), 0), int(count))
    return found


def functions(text):
    """For each line the function that it stands in: definitions begin in the first column."""
    name, found = "", []
    for line in text:
        begins = re.match(r"[a-z].*?\b(\w+)\(", line)
        name = begins[1] if begins else name
        found.append(name)
    return found


def excuses():
    """By file, function and text: why. No line may be excused twice."""
    rows = {}
    for row in (HERE / "excused.tsv").read_text().splitlines():
        if row and not row.startswith("#"):
            name, function, line, why = row.split("\t")
            assert why.strip() and (name, function, line) not in rows, row
            rows[name, function, line] = why
    return rows


def failures(name, lines):
    """The lines of a file that tell of a failure: number, function, text, how often it ran."""
    text = (SOURCE / name).read_text().splitlines()
    inside = functions(text)
    for number, count in sorted(lines.items()):
        line = text[number - 1].strip()
        if FAILURE.search(line) and not line.startswith(("case ", "default:")):
            yield number, inside[number - 1], line, count


def main():
    unreached = excused = total = 0
    rows = excuses()
    used = set()
    for name, lines in sorted(counts(pathlib.Path(sys.argv[1])).items()):
        for number, function, line, count in failures(name, lines) if name else ():
            total += 1
            keys = [key for key in ((name, function, line), (name, function, "*")) if key in rows]
            used.update(keys)
            if count == 0 and keys:
                excused += 1
            elif count == 0:
                unreached += 1
                print(f"{name}:{number}: {line}")
    for row in sorted(set(rows) - used):
        print("excused.tsv: no such line of an error:", *row)
    print(f"of {total} lines that tell of a failure {unreached} were never reached, and {excused} are excused")
    return 1 if unreached or set(rows) - used else 0


if __name__ == "__main__":
    sys.exit(main())
