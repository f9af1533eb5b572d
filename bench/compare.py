#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the figures of two runs of the developers' suite (bench/suite.py) against each other.

    compare.py OLD.json NEW.json

For each figure: how many times as fast the new run is (the ratio of the medians, turned so that above 1 is
faster), the p value of the test of Mann and Whitney, and what follows: "faster" or "slower" where p < 0.01 and
the medians are more than 3 % apart, else "no change beyond the noise". The test is exact and two-sided: of all
ways to divide the samples among the two runs, ties included, p is the share of those that part them as much or
more. It asks for no normal distribution, and an outlier moves it little. Five samples on each side can show
something (p = 0.008), four cannot.

Figures of other programs that ran beside (OpenSSL, zlib, the floor, ...) are not judged: none of our changes
moves them, so what they moved is the machine, and it is told as such. Where they moved, only ratios within a run
(varve / OpenSSL) still say something.

Ends with 1 where something is slower, 2 where nothing could be compared, or a file is none of the suite's."""

import json
import math
import statistics
import sys

CHANCE = 0.01
LEAST_CHANGE = 0.03


def mid_ranks(values):
    """Twice each value's rank among all, so that ties' mean ranks stay whole numbers."""
    place = {}
    for number, value in enumerate(sorted(values), 1):
        first, _ = place.get(value, (number, number))
        place[value] = (first, number)
    return [first + last for first, last in (place[value] for value in values)]


def chance(a, b):
    """The p value: by counting, for each number of ranks and each sum, in how many ways it comes about."""
    ranks = mid_ranks(list(a) + list(b))
    ways = [{} for _ in range(len(a) + 1)]
    ways[0][0] = 1
    for rank in ranks:
        for taken in range(len(a) - 1, -1, -1):
            for total, count in ways[taken].items():
                ways[taken + 1][total + rank] = ways[taken + 1].get(total + rank, 0) + count
    mean = len(a) * (len(ranks) + 1)  # of the doubled sums
    distance = abs(sum(ranks[:len(a)]) - mean)
    as_far = sum(count for total, count in ways[-1].items() if abs(total - mean) >= distance)
    return as_far / sum(ways[-1].values())


def least_chance(a, b):
    """What p would be if the runs did not overlap at all."""
    return chance(range(len(a)), range(len(a), len(a) + len(b)))


def times_as_fast(old, new):
    before, after = statistics.median(old["samples"]), statistics.median(new["samples"])
    over, under = (after, before) if new["better"] == "more" else (before, after)
    if under == 0: # a share of CPU time that a short run rounds to nothing
        return 1.0 if over == 0 else math.inf
    return over / under


def judge(old, new):
    """(times as fast, p, verdict) of a figure."""
    ratio, p = times_as_fast(old, new), chance(old["samples"], new["samples"])
    if least_chance(old["samples"], new["samples"]) >= CHANCE:
        verdict = "too few samples"
    elif p >= CHANCE or abs(ratio - 1) <= LEAST_CHANGE:
        verdict = "no change beyond the noise"
    else:
        verdict = "faster" if ratio > 1 else "slower"
    return ratio, p, verdict


def facts_that_differ(old, new):
    """Lines about what else is not the same in the two runs."""
    for key in ("cpu", "processors"):
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key)} / {new.get(key)}"
    for name in sorted(old["programs"].keys() & new["programs"].keys()):
        before, after = (run["programs"][name] for run in (old, new))
        for key in sorted(before.keys() | after.keys()):
            if key not in ("figures", "date") and before.get(key) != after.get(key):
                yield f"{name}, {key}: {before.get(key)} / {after.get(key)}"


def compare(old, new, say=print):
    """Says all of it; returns the verdicts by figure."""
    for line in facts_that_differ(old, new):
        say(f"not the same: {line}")
    verdicts, others, missing = {}, [], []
    for program, part in new["programs"].items():
        before = old["programs"].get(program, {"figures": {}})["figures"]
        missing += [f"{program} {name}" for name in before.keys() ^ part["figures"].keys()]
        for name, figure in part["figures"].items():
            if name not in before:
                continue
            if figure["ours"]:
                ratio, p, verdict = judge(before[name], figure)
                verdicts[f"{program} {name}"] = verdict
                say(f"{program + ' ' + name:64} {ratio:7.3f}x  p = {p:.4f}  {verdict}")
            else:
                others.append(times_as_fast(before[name], figure))
    if missing:
        say(f"{len(missing)} figures are in one run only: {', '.join(sorted(missing)[:5])}"
            + (", ..." if len(missing) > 5 else ""))
    count = {verdict: list(verdicts.values()).count(verdict)
             for verdict in ("faster", "slower", "no change beyond the noise", "too few samples")}
    say(", ".join(f"{number} {verdict}" for verdict, number in count.items()))
    if others:
        moved = statistics.median(others)
        say(f"the other programs ran {moved:.3f}x as fast (median of {len(others)} figures)"
            + (": the machine was not the same; trust ratios within a run alone"
               if abs(moved - 1) > LEAST_CHANGE else ""))
    return verdicts


class Foreign(Exception):
    """A file that is none of the suite's, or cannot be read: with the reason."""


def fault_of(run):
    """What is missing in what ought to be a run; None: nothing."""
    if not isinstance(run, dict) or not isinstance(run.get("programs"), dict):
        return "it has no programs"
    for program, part in run["programs"].items():
        if not isinstance(part, dict) or not isinstance(part.get("figures"), dict):
            return f"{program} has no figures"
        for name, one in part["figures"].items():
            samples = one.get("samples") if isinstance(one, dict) else None
            if not isinstance(samples, list) or not samples or not all(
                    type(sample) in (int, float) and math.isfinite(sample) for sample in samples):
                return f"{program} {name} has no samples that are numbers"
            if one.get("better") not in ("more", "less") or not isinstance(one.get("ours"), bool):
                return f"{program} {name} does not say what is better, or whose it is"
    return None


def load(path):
    """A run that bench/suite.py kept."""
    try:
        with open(path, encoding="utf-8") as file:
            run = json.load(file)
    except OSError as error:
        raise Foreign(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Foreign(f"{path} is no JSON: {error}") from error
    fault = fault_of(run)
    if fault:
        raise Foreign(f"{path} is no run of the suite: {fault}")
    return run


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        runs = [load(path) for path in sys.argv[1:]]
    except Foreign as error:
        print(f"compare.py: {error}", file=sys.stderr)
        sys.exit(2)
    verdicts = compare(*runs)
    sys.exit(2 if not verdicts else 1 if "slower" in verdicts.values() else 0)


if __name__ == "__main__":
    main()
