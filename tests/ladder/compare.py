#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/ladder/compare.py - the two implementations of the ladder against each other.

    compare.py golden     corpora/golden: both against the sidecars and MEETS.tsv
    compare.py vectors    archives of public parsers' test suites, where they are at hand
    compare.py random     seeded random archives (VARVE_SEED, VARVE_ROUNDS)
    compare.py damaged    the golden layers and some of these, bent (VARVE_SEED, VARVE_ROUNDS)

`VARVE` names the program. Exit code 77: skipped, and why is said.
"""

import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import harness
import ladder
import random_tar

ROOT = str(harness.SOURCE)
# The findings that the ladder itself reports, and both implementations count.
FAMILIES = ("order.", "hardlink.", "duplicate.", "whiteout.", "path.beneath-file")
# Reported by varve alone.
OWN = ("whiteout.overlay",)


def varve(paths):
    """What varve says of each file: a list of layer objects, in the order of the paths."""
    command = [harness.VARVE, "digest", "--json", "--rungs=content", *paths]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode not in (0, 1, 3):
        sys.exit("varve failed (%d): %s" % (run.returncode, run.stderr))
    layers = {}
    for line in run.stdout.splitlines():
        item = json.loads(line)
        if item["type"] == "layer":
            layers[item["name"]] = item
    return [layers[path] for path in paths]


def findings(layer):
    return {item["code"]: item["count"] for item in layer["findings"]
            if item["code"].startswith(FAMILIES) and item["code"] not in OWN}


def differences(mine, theirs):
    """What varve's layer and ladder.py's dict do not agree on."""
    result = []
    if mine["status"] in ("limit", "unsupported") and mine["status"] != theirs["status"]:
        # A limit of varve's that is none of the ladder's: what stands must be right all the same.
        theirs = dict(theirs, status=mine["status"], facets={}, rungs={
            name: value for name, value in theirs["rungs"].items() if name in mine["rungs"]})
    for key in ("rungs", "facets"):
        for name in sorted(set(mine.get(key, {})) | set(theirs[key])):
            pair = mine.get(key, {}).get(name), theirs[key].get(name)
            if pair[0] != pair[1]:
                result.append("%s %s: varve %s, ladder.py %s" % (key, name, *pair))
    if theirs["status"] == "ok":
        if mine.get("entries") != theirs["entries"]:
            result.append("entries: varve %s, ladder.py %s" % (mine.get("entries"),
                                                               theirs["entries"]))
        if findings(mine) != theirs["findings"]:
            result.append("findings: varve %s, ladder.py %s" % (findings(mine),
                                                                theirs["findings"]))
    return result


def not_implied(layers):
    """Pairs of layers that are equal on a rung and not on the next one, where both have it: each rung
    must be a function of the one before."""
    bad = 0
    for upper, lower in zip(ORDER, ORDER[1:]):
        below = {}
        for layer in layers:
            pair = layer["rungs"].get(upper), layer["rungs"].get(lower)
            if None not in pair and below.setdefault(*pair) != pair[1]:
                bad += 1
                print("%s: equal to another on %s, not on %s" % (layer["name"], upper, lower))
    return bad


def compare(paths):
    """Returns how many files the two disagree about; says which."""
    layers = varve(paths)
    bad = not_implied(layers)
    for path, mine in zip(paths, layers):
        with open(path, "rb") as file:
            theirs = ladder.ladder(file.read())
        wrong = differences(mine, theirs)
        if wrong:
            bad += 1
            print("%s:\n  %s" % (path, "\n  ".join(wrong)))
    return bad


def golden():
    folder = os.path.join(ROOT, "corpora", "golden")
    names = sorted(name[:-5] for name in os.listdir(folder) if name.endswith(".json"))
    assert len(names) > 30, "the golden layers are missing"
    paths = [os.path.join(folder, name) for name in names]
    bad = compare(paths)
    rungs = {}
    for name, path, mine in zip(names, paths, varve(paths)):
        with open(path + ".json") as file:
            expected = json.load(file)
        rungs[name] = mine["rungs"]
        found = {"rungs": mine["rungs"], "facets": mine.get("facets", {}),
                 "entries": mine.get("entries", 0), "findings": findings(mine)}
        for key in found:
            if found[key] != expected[key]:
                bad += 1
                print("%s: %s: expected %s, found %s" % (name, key, expected[key], found[key]))
    with open(os.path.join(folder, "MEETS.tsv")) as file:
        pairs = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    assert len(pairs) > 30, "MEETS.tsv is cut short"
    for left, right, rung in pairs:
        met = meet(rungs[left], rungs[right])
        if met != rung:
            bad += 1
            print("%s and %s meet at %s, not at %s" % (left, right, met, rung))
    return bad


ORDER = ["blob", "diffid", "archive", "encoding", "order", "names", "times", "content"]


def meet(left, right):
    """The first rung on which two layers meet, or `none`. Below it all must be equal."""
    equal = [left.get(rung) == right.get(rung) is not None and left.get(rung) is not None
             for rung in ORDER]
    first = equal.index(True) if True in equal else len(ORDER)
    assert all(equal[first:]), "equal on %s, unequal below" % ORDER[first]
    return ORDER[first] if first < len(ORDER) else "none"


def vectors():
    folder = os.path.join(ROOT, "..", "shared", "vectors")
    if not os.path.isdir(folder):
        harness.skip("no vectors at %s" % folder)
    paths = []
    for where, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(where, name)
            # A bomb that the other implementation would take minutes for, and bytes behind a zstd
            # frame, for which the program that decodes for it refuses the whole.
            if os.path.getsize(path) > 4 << 20 or name.startswith(("x12", "y07", "y08")):
                continue
            if ".tar" in name or "/blobs/" in where + "/":
                paths.append(path)
    print("%d archives" % len(paths))
    assert len(paths) > 300
    return compare(paths)


def made(make, rounds):
    """Compares what `make` makes of as many seeds as there are rounds."""
    seed = int(os.environ.get("VARVE_SEED", "1"))
    rounds = int(os.environ.get("VARVE_ROUNDS", str(rounds)))
    print("VARVE_SEED=%d VARVE_ROUNDS=%d" % (seed, rounds))
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i in range(rounds):
            path = os.path.join(folder, "%d.tar" % i)
            with open(path, "wb") as file:
                file.write(make(seed * 1000003 + i))
            paths.append(path)
        return compare(paths)


def random():
    return made(random_tar.archive, 400)


def damaged():
    import damage  # needs this module itself
    sound = [random_tar.archive(i) for i in range(100)]
    folder = os.path.join(ROOT, "corpora", "golden")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".tar"):
            with open(os.path.join(folder, name), "rb") as file:
                sound.append(file.read())
    return made(lambda seed: damage.damaged(sound[seed % len(sound)], seed), 2000)


if __name__ == "__main__":
    count = {"golden": golden, "vectors": vectors, "random": random,
             "damaged": damaged}[sys.argv[1]]()
    sys.exit("%d disagreements" % count if count else 0)
