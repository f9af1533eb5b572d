#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/house/analyzed.py - which reports of gcc's analyzer nobody has gone through yet. `./dev analyze` gives it
what gcc wrote; the exit code is 1 where a report does not stand in analyzed.tsv: file, function, report, the
line's text ("-": gcc names no line), why it stays. A row that no report answers to is an error, too."""

import pathlib
import re
import sys

import unreached

REPORT = re.compile(r"(?:.*/)?(src/[a-z0-9_/]*\.[ch]):([0-9]+):[0-9]+: warning: (.*) \[-Wanalyzer-([a-z-]+)\]$")
NOWHERE = re.compile(r"cc1: warning: (.*) \[-Wanalyzer-([a-z-]+)\]$")
INSIDE = re.compile(r"(?:.*: )?In function [‘'](\w+)[’']:$")


def reports(lines):
    """File, function, report and text of the line of each, and what gcc says."""
    inside = ""
    for line in map(str.rstrip, lines):
        at, nowhere, named = REPORT.match(line), NOWHERE.match(line), INSIDE.match(line)
        inside = named[1] if named else inside
        if at:
            text = (unreached.SOURCE / at[1]).read_text().splitlines()
            number = int(at[2]) - 1
            yield (at[1], unreached.functions(text)[number], at[4], text[number].strip()), f"{at[1]}:{at[2]}: {at[3]}"
        elif nowhere:
            yield ("cc1", inside, nowhere[2], "-"), f"in {inside}: {nowhere[1]}"
        elif "-Wanalyzer-" in line:
            yield (line, "", "", ""), f"cannot be read: {line}"


def rows():
    found = {}
    for row in (pathlib.Path(__file__).resolve().parent / "analyzed.tsv").read_text().splitlines():
        if row and not row.startswith("#"):
            *key, why = row.split("\t")
            assert len(key) == 4 and why.strip() and tuple(key) not in found, row
            found[tuple(key)] = why
    return found


def main():
    found = dict(reports(sys.stdin))
    looked_at = rows()
    for key in sorted(set(found) - set(looked_at)):
        print(f"{found[key]} [{key[2]}]")
    for key in sorted(set(looked_at) - set(found)):
        print("analyzed.tsv: no such report:", *key)
    print(f"of {len(found)} reports {len(set(found) - set(looked_at))} were not gone through")
    return 1 if set(found) != set(looked_at) else 0


if __name__ == "__main__":
    sys.exit(main())
