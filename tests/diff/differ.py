# SPDX-License-Identifier: Apache-2.0
"""What the tests of `varve diff` share."""

import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness

RUNGS = ["blob", "diffid", "archive", "encoding", "order", "names", "times", "content"]


def lines(*arguments, expect=(0, 1)):
    """The lines of `varve diff --json`."""
    done = subprocess.run([harness.VARVE, "diff", "--json", *map(str, arguments)], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode not in expect:
        raise AssertionError("%s ended with %d: %s" % (arguments, done.returncode,
                                                       done.stderr.decode(errors="replace")))
    return [json.loads(line) for line in done.stdout.splitlines()]


class Layers:
    """What a comparison of two layers said."""

    def __init__(self, *arguments, expect=(0, 1)):
        said = lines(*arguments, expect=expect)
        assert said[0]["type"] == "diff" and said[-1]["type"] == "diff-summary"
        self.verdict = said[0]
        self.all = said[1:-1]
        self.summary = said[-1]
        self.meet = said[0].get("meet")

    def of(self, kind):
        return [line for line in self.all if line["kind"] == kind]

    def faults(self):
        """What must not be: see docs/diff.md. The first rung on which two layers meet is the one
        behind the deepest difference; counts are those of what was told; every difference tells
        something; no header differs in other bytes than its fields'."""
        seen = [RUNGS.index(line["rung"]) for line in self.all
                if "rung" in line and line["kind"] != "security"]
        deepest = max(seen, default=-1)
        meet = RUNGS.index(self.meet) if self.meet else len(RUNGS)
        if deepest + 1 != meet:
            yield "they meet on %s, the deepest difference is seen on %s" % (
                self.meet, RUNGS[deepest] if seen else None)
        counts = {}
        for line in self.all:
            counts[line["kind"]] = counts.get(line["kind"], 0) + 1
            for field in line.get("fields", []):
                if ("left" in field) == ("right" in field) and \
                        field.get("left") == field.get("right"):
                    yield "a field that does not differ: %s" % field
                if field.get("part") and field["name"] == "other bytes":
                    yield "bytes of a header beside its fields: %s" % line
        told = {kind: count for kind, count in self.summary["counts"].items() if count}
        if counts != told:
            yield "counts %s, told %s" % (told, counts)
