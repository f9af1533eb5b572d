#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/house/unreached.py LCOV - which error returns of src/ no test reached: lines that were compiled, never
ran, and tell of a failure. `./dev coverage` makes the list that it reads (lcov's format) and prints what it
says; the exit code is 1 where it says anything."""

import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
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


def main():
    unreached = total = 0
    for name, lines in sorted(counts(pathlib.Path(sys.argv[1])).items()):
        if not name:
            continue
        text = (SOURCE / name).read_text().splitlines()
        for number, count in sorted(lines.items()):
            line = text[number - 1]
            if FAILURE.search(line) and not line.lstrip().startswith(("case ", "default:")):
                total += 1
                if count == 0:
                    unreached += 1
                    print(f"{name}:{number}: {line.strip()}")
    print(f"{unreached} of {total} lines that tell of a failure were never reached")
    return 1 if unreached else 0


if __name__ == "__main__":
    sys.exit(main())
