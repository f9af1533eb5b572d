#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The developers' suite: runs the programs of bench/ several times over, and keeps or compares the figures.

    suite.py --save | --compare | --against BUILD | --json FILE  [OPTION...] BUILD CORPUS [PROGRAM...]

PROGRAM is sha256, headers, decode, inflate or pipeline (all of them); BUILD a build folder with benchmarks,
CORPUS what corpora/packages.py and extremes.py made (only inflate and pipeline need it). Every run starts every
program once, one after the other, so that whatever the machine does in between meets all; a sample is what one
run of a program gave, a median already where it repeats its work. Repetitions inside a process share the luck of
its memory layout, so they are no samples of their own.

--save       writes them to bench/baselines/<CPU>.json; programs that were not run keep what stands there
--compare    compares with that file (bench/compare.py says how) and ends with 1 where something is slower
--against    measures another build in turns with this one, and compares: the way to judge a change
--json FILE  only writes them

--runs N (7), --min-time S (0.05: Google Benchmark's, for each case), --part PART (of pipeline, repeatable).
A wrong answer of any program ends it with 1, and nothing is written."""

import argparse
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import compare

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = ["sha256", "headers", "decode", "inflate", "pipeline"]
PARTS = ["gzip", "zstd", "small"]
# Contenders that no change of ours moves.
OTHERS = {"openssl", "isa-l_crypto", "ipsec-mb", "igzip", "zlib", "libdeflate", "zstd", "libarchive"}


def cpu_facts():
    """The CPU's name as the kernel tells it, with the numbers that tell what a hypervisor's name hides."""
    facts = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines():
        key, _, value = line.partition(":")
        facts[key.strip()] = value.strip()
    return {"cpu": f"{facts.get('model name', 'unknown')} (family {facts.get('cpu family', '?')}, "
                   f"model {facts.get('model', '?')})",
            "processors": os.cpu_count()}


def baseline_path(facts):
    """For instance amd-epyc-family-25-model-17.json."""
    return HERE / "baselines" / (re.sub(r"[^a-z0-9]+", "-", facts["cpu"].lower()).strip("-") + ".json")


def figure(unit, better, ours, value):
    return {"unit": unit, "better": better, "ours": ours, "samples": [float(f"{value:.5g}")]}


def run_cases(program, build, corpus, options, work):
    """One run of a program on Google Benchmark's harness: (facts, figures)."""
    out = work / "figures.json"
    command = [build / "bench" / f"varve_bench_{program}"]
    if program == "inflate" and corpus:
        command.append(f"--layers={corpus / 'gzip'}")
    command += [f"--json={out}", f"--benchmark_min_time={options.min_time}"]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{program} ended with {done.returncode}: {done.stderr.strip()}")
    made = json.loads(out.read_text())
    figures = {}
    for case in made["cases"]:
        ours, *rest = case["contenders"]
        for one in case["contenders"]:
            figures[f"{case['name']} {one['name']}"] = figure(
                "GB/s", "more", one["name"] not in OTHERS, case["bytes"] / one["seconds"] * 1e-9)
        for one in rest:
            if one["name"] in OTHERS:
                figures[f"{case['name']} {ours['name']} / {one['name']}"] = figure(
                    "ratio of speeds", "more", True, one["ratio"])
    return {"compiler": made["compiler"], "libraries": made["libraries"],
            "bytes": sum(case["bytes"] for case in made["cases"])}, figures


def run_pipeline(build, corpus, options, work):
    """One round of the whole scans: (facts, figures). CPU seconds, also divided by the floor's."""
    out = work / "pipeline.json"
    command = [sys.executable, HERE / "pipeline.py", build / "src" / "cli" / "varve",
               build / "bench" / "varve_floor", corpus, "--rounds=1", f"--json={out}"]
    command += [f"--part={part}" for part in options.part or PARTS]
    if build in options.warm:
        command.append("--warm")
    options.warm.add(build)
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"pipeline ended with {done.returncode}: {done.stderr.strip()}")
    figures, decoded = {}, {}
    for part, made in json.loads(out.read_text()).items():
        decoded[part] = made["bytes"]
        floor = made["samples"]["floor, 1 process"][0][0]
        for name, [(cpu, _)] in made["samples"].items():
            ours = not name.startswith("floor") and "sha256sum" not in name
            figures[f"{part}: {name}"] = figure("CPU s", "less", ours, cpu)
            if ours and floor > 0:  # a short process may have no tick of the clock
                figures[f"{part}: {name} / floor"] = figure("ratio of CPU s", "less", True, cpu / floor)
        for station, seconds in made["stations"].get("ladder, 1 thread", [{}])[0].items():
            if floor > 0:
                figures[f"{part}: ladder, 1 thread, {station} / floor"] = figure(
                    "ratio of CPU s", "less", True, seconds / floor)
    versions = subprocess.run([build / "src" / "cli" / "varve", "--version", "-v"], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.splitlines()
    libraries = dict(line.rsplit(" ", 1) for line in versions if not line.startswith("sha256 "))
    return {"libraries": libraries, "bytes": decoded}, figures


def measure(builds, options):
    """All figures of each build: {build: {program: {facts..., "figures": {...}}}}."""
    results = {build: {} for build in builds}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.runs):
            for program in options.programs:
                # Each build goes first as often as the other.
                for build in builds if number % 2 == 0 else builds[::-1]:
                    run = run_pipeline if program == "pipeline" else \
                        lambda *rest, program=program: run_cases(program, *rest)
                    facts, figures = run(build, options.corpus, options, pathlib.Path(folder))
                    part = results[build].setdefault(program, {
                        "date": datetime.date.today().isoformat(), "kernel": os.uname().release, **facts,
                        "figures": {}})
                    for name, one in figures.items():
                        known = part["figures"].setdefault(name, {**one, "samples": []})
                        known["samples"] += one["samples"]
            print(f"run {number + 1} of {options.runs}", file=sys.stderr)
    for programs in results.values():
        for part in programs.values():
            part["runs"] = options.runs
            for one in part["figures"].values():
                one["median"] = float(f"{statistics.median(one['samples']):.5g}")
    return results


def write(path, run):
    """JSON, one line a figure, so that a change of the file can be read."""
    head = {key: value for key, value in run.items() if key != "programs"}
    lines = [json.dumps(head)[:-1] + ', "programs": {']
    for program in (name for name in PROGRAMS if name in run["programs"]):
        part = run["programs"][program]
        facts = {key: value for key, value in part.items() if key != "figures"}
        lines.append(f' {json.dumps(program)}: {json.dumps(facts)[:-1]}, "figures": {{')
        lines += [f"  {json.dumps(name)}: {json.dumps(one)}," for name, one in part["figures"].items()]
        lines[-1] = lines[-1].rstrip(",")
        lines.append(" }},")
    lines[-1] = " }}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n}}\n")


def keep(programs, known):
    """What was not run stays; of pipeline, its other parts."""
    if "pipeline" in programs and "pipeline" in known:
        new, old = programs["pipeline"], known["pipeline"]
        new["figures"].update((name, one) for name, one in old["figures"].items()
                              if name.split(":")[0] not in new["bytes"])
        new["bytes"] = {**old["bytes"], **new["bytes"]}
    for name, part in known.items():
        programs.setdefault(name, part)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--save", action="store_true")
    what.add_argument("--compare", action="store_true")
    what.add_argument("--against", type=pathlib.Path)
    what.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--min-time", type=float, default=0.05)
    parser.add_argument("--part", action="append")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM")
    options = parser.parse_args()
    options.programs = options.programs or PROGRAMS
    options.warm = set()
    if set(options.programs) - set(PROGRAMS):
        sys.exit(f"programs are {', '.join(PROGRAMS)}")
    run = {"v": 1, **cpu_facts()}
    path = baseline_path(run)
    try:
        known = compare.load(path) if path.exists() else None
    except compare.Foreign as error:
        print(f"suite.py: {error}", file=sys.stderr)
        sys.exit(2)
    if options.compare and not known:
        sys.exit(f"{path} is not there: no baseline of this CPU was saved")
    builds = [options.build] + ([options.against] if options.against else [])
    results = measure(builds, options)
    run["programs"] = results[options.build]
    if options.against:
        verdicts = compare.compare({**run, "programs": results[options.against]}, run)
    elif options.compare:
        verdicts = compare.compare(known, run)
    else:
        if options.save and known:
            keep(run["programs"], known["programs"])
        write(options.json or path, run)
        print(f"{options.json or path}: {sum(len(part['figures']) for part in run['programs'].values())} figures")
        return
    sys.exit(1 if "slower" in verdicts.values() else 0)


if __name__ == "__main__":
    main()
