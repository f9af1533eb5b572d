#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/ladder/readers.py - what three other readers (GNU tar, bsdtar, Python's tarfile) make of bent archives,
against varve: the same paths in the same order, the same bytes of content. Where one reads something else,
DIVERGENCES.tsv must allow it: by a finding or fault of varve's that tells the reader's user so, with the
reason. What is not written there is a failure.

    readers.py            VARVE_SEED, VARVE_ROUNDS as for compare.py; VARVE_KEEP=FOLDER keeps what fails
"""

import collections
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import damage
import harness
import ladder
import random_tar

ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.S)
LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


def unescape(line):
    return ESCAPE.sub(lambda m: bytes([int(m[1], 8) & 255]) if len(m[1]) == 3
                      else LETTERS.get(m[1], m[1]), line)


# What a reader says: ok, its paths (cleaned), and how many bytes all files hold; None: too many.
Reading = collections.namedtuple("Reading", "ok paths bytes")


MOST_BYTES = 1 << 20  # of content: a bent size can claim exabytes of holes


def run(*command):
    """Exit code and output, which is cut off after so many bytes; the code is then None."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env=dict(os.environ, LC_ALL="C", TZ="UTC")) as child:
        output = child.stdout.read(MOST_BYTES + 1)
        if len(output) > MOST_BYTES:
            child.kill()
            return None, output
    return child.returncode, output


def program(lister, dumper):
    code, listing = run(*lister)
    dump_code, content = run(*dumper)
    return Reading(code == 0 and dump_code in (0, None),
                   [ladder.clean(unescape(line)) for line in listing.split(b"\n")[:-1]],
                   None if dump_code is None else len(content))


def gnu(path):
    return program(("tar", "--quoting-style=escape", "-tf", path), ("tar", "-xOf", path))


def bsd(path):
    return program(("bsdtar", "-tf", path), ("bsdtar", "-xOf", path))


def python(path):
    paths, total = [], 0
    try:
        with tarfile.open(path, "r:", errorlevel=2) as archive:
            for member in archive:
                paths.append(ladder.clean(member.name.encode("utf-8", "surrogateescape")))
                # Files, and types that it does not know: extractfile() gives their data; of links their target's.
                if member.isreg() or member.type not in tarfile.SUPPORTED_TYPES:
                    total += member.size
                    if total <= MOST_BYTES:
                        data = archive.extractfile(member).read()
                        if len(data) != member.size:
                            return Reading(False, paths, total)
        return Reading(True, paths, total if total <= MOST_BYTES else None)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, MemoryError, KeyError,
            IndexError):
        return Reading(False, paths, total)


READERS = {"gnu": gnu, "bsd": bsd, "python": python}


def varve(paths):
    """Of each archive: its layer line and its entries."""
    out = subprocess.run([harness.VARVE, "digest", "--json", "--entries", *paths],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if out.returncode not in (0, 1, 3):
        sys.exit(f"varve failed ({out.returncode}): {out.stderr.decode(errors='replace')}")
    layers, entries = {}, collections.defaultdict(list)
    for line in out.stdout.splitlines():
        item = json.loads(line)
        if item["type"] == "layer":
            layers[item["name"]] = item
        elif item["type"] == "entry":
            entries[item["layer"]].append(item)
    return [(layers[path], entries[path]) for path in paths]


def allowed():
    """(reader, what differs, codes that must all be there), as DIVERGENCES.tsv joins them."""
    with open(os.path.join(HERE, "DIVERGENCES.tsv"), newline="") as file:
        rows = csv.reader((line for line in file if not line.startswith("#")), delimiter="\t")
        return [(reader, does, frozenset(codes.split("+"))) for readers, what, codes, _ in rows
                for reader in (READERS if readers == "*" else readers.split(",")) for does in what.split(",")]


def entry_path(entry):
    import base64
    return base64.b64decode(entry["path_b64"]) if "path_b64" in entry else entry["path"].encode()


def judge(layer, entries, reading):
    """What the reader does otherwise: "" or one word."""
    if layer["status"] in ("limit", "unsupported"):
        return ""
    sound = layer["status"] == "ok" and layer["format"] == "tar"
    if not sound:
        return "accepts" if reading.ok and reading.paths else ""
    if not reading.ok:
        return "rejects"
    if reading.paths != [entry_path(entry) for entry in entries]:
        return "paths"
    total = sum(entry["size"] for entry in entries if "sha256" in entry)
    if reading.bytes != (total if total <= MOST_BYTES else None):
        return "content"
    return ""


def codes(layer):
    found = {item["code"] for item in layer["findings"]}
    return found | {layer["error"]["code"]} if "error" in layer else found


# Findings that a divergence is not due to: left out where one is reported.
USUAL = {"header.checksum-style", "header.gnu", "header.mixed", "header.v7", "name.after-nul",
         "number.padding", "number.terminator", "padding.nonzero", "device.unused",
         "device.blank", "pax.header", "pax.order", "pax.repeats", "link.symlink-mode", "mode.extra-bits",
         "mode.ifmt", "path.dot", "path.double-slash", "link.dot", "pax.comment"}


def main():
    for name in ("tar", "bsdtar"):
        if not shutil.which(name):
            harness.skip(f"not installed: {name}")
    seed = int(os.environ.get("VARVE_SEED", "1"))
    rounds = int(os.environ.get("VARVE_ROUNDS", "200"))
    keep = os.environ.get("VARVE_KEEP")
    print(f"VARVE_SEED={seed} VARVE_ROUNDS={rounds}")
    rules = allowed()
    sound = [random_tar.archive(i) for i in range(100)]
    used, failures, compared = collections.Counter(), collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i in range(rounds):
            path = os.path.join(folder, f"{i}.tar")
            with open(path, "wb") as file:
                file.write(damage.damaged(sound[i % len(sound)], seed * 7919 + i))
            paths.append(path)
        for path, (layer, entries) in zip(paths, varve(paths)):
            for name, read in READERS.items():
                compared += 1
                what = judge(layer, entries, read(path))
                if not what:
                    continue
                there = codes(layer)
                rule = next((rule for rule in rules if rule[:2] == (name, what) and rule[2] <= there), None)
                if rule:
                    used[rule] += 1
                    continue
                failures[name, what, layer["status"], " ".join(sorted(there - USUAL))] += 1
                if keep:
                    shutil.copy(path, os.path.join(keep, f"{name}-{what}-{seed}-{os.path.basename(path)}"))
    for (name, what, status, there), count in failures.most_common(40):
        print(f"not allowed: {name} {what} x{count}: varve says {status}: {there}")
    print(f"{compared} readings, {sum(used.values())} allowed divergences by {len(used)} rules, "
          f"{sum(failures.values())} not allowed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
