# SPDX-License-Identifier: Apache-2.0
"""The program, word by word: arguments and stdin in; exact stdout, stderr and exit code out.

    run_table.py TABLE...            compares
    run_table.py --update TABLE...   writes what the program says now into the tables; read the diff

A table is text. Cases are parted by blank lines; a line is a key, a colon, and a value:

    case: what it shows                 first line of each case
    sh: printf abc > file               prepares the case's empty folder, by sh; any number; $TABLES
                                        is the tables' own folder
    run: digest file                    the program's arguments, read by sh; once
    in: text                            a line of stdin; any number
    exit: 0                             what is expected: exit code,
    out: a line of stdout               lines of stdout and
    err: a line of stderr               of stderr, in order
    out-: a line                        the last line, where no newline ends it (err- likewise)

Lines that begin with # are comments. What differs from run to run or from machine to machine is
replaced on the way by a word in <>: see UNSTEADY.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness

UNSTEADY = [
    # The run's own figures, in JSON and for people.
    (r'"run":\{.*\}(?=\}$)', '"run":{<run>}'),
    (r"\b[0-9]+\.[0-9]+ (s|MB/s|GB/s)\b", r"<n> \1"),
    # What varve stands on, and the machine.
    (r'("(?:isal|zstd|jansson|openssl|cpu_tier|sha256_engine|inflate_engine)":)"[^"]*"', r'\1"<version>"'),
    (r"^(isal|zstd|jansson|openssl|cpu tier|sha256 engines) .*", r"\1 <version>"),
]
GIVEN = ("case", "sh", "run", "in")
EXPECTED = ("exit", "out", "out-", "err", "err-")


def read_table(path):
    """A table's cases: lists of (key, value); comments have the key #."""
    cases, case = [], []
    for number, line in enumerate(path.read_text().split("\n") + [""], 1):
        key, colon, value = line.partition(":")
        if not line.strip():
            if case:
                cases.append(case)
            case = []
        elif line.startswith("#"):
            case.append(("#", line))
        elif not colon or key not in GIVEN + EXPECTED or (value and value[0] != " "):
            raise SystemExit(f"{path}:{number}: not a line of a table: {line}")
        else:
            case.append((key, value[1:]))
    return cases


def write_table(path, cases):
    path.write_text("\n".join(
        "".join((value if key == "#" else f"{key}: {value}".rstrip(" ") if not value
                 else f"{key}: {value}") + "\n" for key, value in case) for case in cases))


def values(case, key):
    return [value for name, value in case if name == key]


def lines_of(key, data, folder):
    """Output as lines of a table."""
    text = data.decode(errors="backslashreplace").replace(folder, "<folder>")
    for pattern, word in UNSTEADY:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    if not text:
        return []
    lines = text.split("\n")
    whole = lines.pop() == "" if text.endswith("\n") else False
    found = [(key, line) for line in lines]
    if not whole:
        found[-1] = (key + "-", found[-1][1])
    return found


def perform(case):
    """Runs a case; what came out, as lines of a table."""
    with tempfile.TemporaryDirectory(prefix="varve table ") as folder:
        environment = dict(os.environ, VARVE=harness.VARVE, TZ="UTC", LC_ALL="C.UTF-8", COLUMNS="80",
                           TABLES=str(pathlib.Path(__file__).parent))
        for line in values(case, "sh"):
            subprocess.run(["sh", "-euc", line], cwd=folder, env=environment, check=True)
        done = subprocess.run(["sh", "-c", 'exec "$VARVE" ' + values(case, "run")[0]], cwd=folder,
                              env=environment, check=False,
                              input="".join(line + "\n" for line in values(case, "in")).encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        return [("exit", str(done.returncode))] + lines_of("out", done.stdout, folder) + lines_of(
            "err", done.stderr, folder)


def main(arguments):
    update = arguments[:1] == ["--update"]
    tables = [pathlib.Path(name) for name in arguments[update:]]
    count = failures = 0
    for table in tables:
        cases = read_table(table)
        for case in cases:
            if not values(case, "case"):
                continue
            if len(values(case, "run")) != 1:
                raise SystemExit(f"{table}: a case needs one run: {values(case, 'case')}")
            count += 1
            said = perform(case)
            wanted = [pair for pair in case if pair[0] in EXPECTED]
            if said == wanted:
                continue
            failures += 1
            print(f"{table.name}: {values(case, 'case')[0]}\n  varve {values(case, 'run')[0]}")
            for pair in wanted:
                if pair not in said:
                    print(f"  - {pair[0]}: {pair[1]}")
            for pair in said:
                if pair not in wanted:
                    print(f"  + {pair[0]}: {pair[1]}")
            if sorted(said) == sorted(wanted):
                print("  the same lines in another order")
            case[:] = [pair for pair in case if pair[0] not in EXPECTED] + said
        if update:
            write_table(table, cases)
    print(f"{count} cases, {failures} " + ("written anew" if update else "failed"))
    return 1 if not count or (failures and not update) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
