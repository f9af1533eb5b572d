# SPDX-License-Identifier: Apache-2.0
"""Runs of the program in which chosen calls fail (inject.c), and what each must have kept to."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import random
import signal
import struct
import subprocess
import tempfile
import threading
import time

import harness

FAULTY = os.environ.get("VARVE_FAULTY", harness.BUILD / "tests" / "faults" / "varve_faulty")
CLASSES = ("memory", "rows", "open", "read", "stat", "write", "settle", "database", "thread",
           "clock", "lock", "nameless", "step")
HEAD = f"<{len(CLASSES) + 2}Q"
SANITIZED = bool(os.environ.get("VARVE_SANITIZE"))
LONG = bool(os.environ.get("VARVE_TEST_LONG"))
WORKERS = int(os.environ.get("VARVE_FAULT_WORKERS", 2))
# A run takes some 20 ms.
SECONDS = 60
SANITIZER_EXIT = 99
FATAL, UNJUDGED, FOUND = 2, 3, 1
DATABASE = (10, 11)
ERRNO = {"ENOMEM": 12, "EIO": 5, "EINTR": 4, "ENOSPC": 28, "EMFILE": 24,
         "EEXIST": 17, "EOPNOTSUPP": 95}


@dataclasses.dataclass(frozen=True)
class Fault:
    kind: str
    first: object # the number of a call, or "@" and the name of a place
    effect: str
    count: int = 1
    seed: int = 1

    def text(self):
        return (f"{self.kind} {self.first} {self.count} {ERRNO.get(self.effect, self.effect)} "
                f"{self.seed}")


NONE = Fault("memory", 0, "ENOMEM")


@dataclasses.dataclass
class Run:
    argv: list
    fault: Fault
    code: int
    out: bytes
    err: bytes
    calls: dict
    fired: int
    # class and name of each place that calls came from
    places: list = dataclasses.field(default_factory=list)

    def __str__(self):
        return (f"\nVARVE_FAULT='{self.fault.text()}' {FAULTY} {' '.join(map(str, self.argv))}\n"
                f"ended with {self.code}, {self.fired} faults\n"
                f"{self.err.decode(errors='replace')}")


class Broken(AssertionError):
    """A run that did not keep to what must hold."""


def start(argv, fault, page, under=None, **options):
    """One run; broken where it hangs, is killed, or a sanitizer speaks."""
    environment = {**os.environ, "VARVE_FAULT": fault.text(), "VARVE_FAULT_PAGE": str(page)}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        environment[name] = (f"exitcode={SANITIZER_EXIT}:allocator_may_return_null=1:"
                             + environment.get(name, ""))
    if under:
        environment["VARVE_FAULT_UNDER"] = str(under)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen([str(FAULTY), *map(str, argv)], env=environment, stdout=out,
                              stderr=err, **options) as process:
            ended = harness.wait_awake(process, SECONDS)
            if not ended:
                process.kill()
        out.seek(0)
        err.seek(0)
        noted = page.read_bytes()
        *numbers, fired, count = struct.unpack_from(HEAD, noted)
        places = [(CLASSES[kind], name) for name, kind in
                  struct.iter_unpack("<2Q", noted[struct.calcsize(HEAD):][:16 * count])]
        run = Run(list(argv), fault, process.returncode, out.read(), err.read(),
                  dict(zip(CLASSES, numbers)), fired, places)
    if not ended:
        raise Broken(f"{run}hung")
    if run.code < 0:
        raise Broken(f"{run}killed by {signal.Signals(-run.code).name}")
    if run.code == SANITIZER_EXIT or b"Sanitizer" in run.err or b"runtime error" in run.err:
        raise Broken(f"{run}a sanitizer's finding")
    return run


def drawn(total, most, rng):
    """Which of so many calls are to fail: all, or so many of them, the first and last few always."""
    if total <= most:
        return list(range(1, total + 1))
    some = set(rng.sample(range(1, total + 1), most - 6))
    return sorted(some | {1, 2, 3, total - 2, total - 1, total})


# From where in the program a call has been made to fail already, in which way.
TRIED = set()


def new_places(first, kind, effect, test):
    """The places that calls of a faultless run came from, where none has failed yet, or not in this test. So it
    is with statements, which are few, and whose worth is what the database holds."""
    tried = {(kind, effect, name, test) for where, name in first.places if where == kind} - TRIED
    TRIED.update(tried)
    return sorted(f"@{name:x}" for _, _, name, _ in tried)


class Campaign:
    """Many runs of one command. `check(run, number)` says what must hold after each; it has a folder
    of its own for each worker, `self.folder(worker)`."""

    def __init__(self, case, seed=20240229):
        self.case = case
        self.begun = time.monotonic()
        self.rng = random.Random(seed)
        self.seed = seed
        self.runs = self.fired = 0
        self.broken = []
        self.lock = threading.Lock()
        self.local = threading.local()

    def folder(self):
        """The calling worker's own."""
        if not hasattr(self.local, "folder"):
            self.local.folder = pathlib.Path(tempfile.mkdtemp(dir=self.case.work))
        return self.local.folder

    def one(self, argv, fault, check, prepare, under):
        """`argv` may name {folder}."""
        folder = self.folder()
        words = [str(word).replace("{folder}", str(folder)) for word in argv]
        place = str(under).replace("{folder}", str(folder)) if under else None
        try:
            prepare(folder)
            run = start(words, fault, folder / "page", place)
            check(run, folder)
        except Broken as error:
            with self.lock:
                self.broken.append(str(error))
            return None
        with self.lock:
            self.runs += 1
            self.fired += run.fired
        return run

    def each(self, argv, faults, check, prepare=lambda folder: None, under=None):
        """A run for each of these faults. None of a single call may have come too late."""
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(lambda fault: self.one(argv, fault, check, prepare, under), faults))

    def in_turn(self, argv, first, kinds, most, check, anew=False, **more):
        """`kinds`: (class, effect, count) of which each is tried at each call of its class that the
        faultless run `first` made, or at `most` of them; those for one call also at the first one from
        every place in the program; `anew`: that none has failed at in this test."""
        if LONG:
            most *= 20
        elif SANITIZED:
            most = max(most // 4, 7)
        faults = []
        for kind, effect, count in kinds:
            some = drawn(first.calls[kind], most, self.rng)
            if count == 1 and (LONG or not SANITIZED):
                some += new_places(first, kind, effect, self.case.id() if anew or kind == "step" else None)
            faults += [Fault(kind, at, effect, count, self.seed) for at in some]
        return self.each(argv, faults, check, **more)

    def end(self):
        """Says what was done; fails where something broke."""
        print(f"{self.case.id().split('.')[-1]}: {self.runs} runs, {self.fired} faults, seed "
              f"{self.seed}, {time.monotonic() - self.begun:.1f} s")
        shown = "\n".join(self.broken[:8])
        if os.environ.get("VARVE_FAULT_LOG"):
            with open(os.environ["VARVE_FAULT_LOG"], "a", encoding="utf-8") as log:
                log.writelines(json.dumps([self.case.id(), text]) + "\n" for text in self.broken)
        self.case.assertEqual(len(self.broken), 0, f"{len(self.broken)} broken:\n{shown}")
        self.case.assertGreater(self.fired, 0)


# --- what must hold of lines ---

def lines_of(run):
    """The whole lines of --json. What is not whole is told of by exit code 2."""
    found = []
    for line in run.out.splitlines(keepends=True):
        try:
            found.append(json.loads(line))
        except ValueError:
            if run.code != FATAL and run.code not in DATABASE:
                raise Broken(f"{run}no line of JSON: {line[:200]!r}") from None
    return found


def key_of(line):
    kind = line["type"]
    if kind == "layer":
        return kind, line["name"], line["source"]
    if kind == "image":
        return kind, line["source"], line.get("ref"), line["digest"], line.get("platform")
    if kind in ("error", "note"):
        return kind, line["name"], line["code"]
    if kind == "entry":
        return kind, json.dumps(line, sort_keys=True)
    return kind, json.dumps(line, sort_keys=True)


def timeless(line):
    """A line without what tells of the run."""
    return {key: value for key, value in line.items() if key not in ("run", "cached")}


def results(lines):
    """By key: what was found out. A key that comes twice is told apart by its turn."""
    found = {}
    for line in lines:
        if line["type"] in ("layer", "image", "error", "note", "entry"):
            key = key_of(line)
            turn = 0
            while (*key, turn) in found:
                turn += 1
            found[(*key, turn)] = timeless(line)
    return found


def could_not(line):
    """Whether a line says that something could not be judged for the fault's sake."""
    code = line.get("code") or line.get("error", {}).get("code", "")
    return code.startswith(("io.", "memory.", "source.unknown"))


def subset(part, whole):
    return all(whole.get(key) == value for key, value in part.items())


def others(line, expected):
    """What is not the same in two lines, in short."""
    return "; ".join(f"{key}: {str(line.get(key))[:160]} for {str(expected.get(key))[:160]}"
                     for key in {**line, **expected} if line.get(key) != expected.get(key))


def unclaimed(line):
    """A layer without what images' claims and other sources have brought, which depends on which of them were
    read."""
    kept = {key: value for key, value in timeless(line).items()
            if key not in ("referenced", "same_file_as")}
    kept["checks"] = line.get("checks", {}).get("name")
    kept["findings"] = [finding for finding in line.get("findings", [])
                        if not finding["code"].startswith("claim.")]
    if line.get("error", {}).get("code") in ("claim.size", "claim.diffid", "claim.tar"):
        kept["status"] = "ok"
        del kept["error"]
    return kept


def files_unread(line, expected):
    """Of verify-store: a layer of which a file is bad could not be put together again, or its files could
    not be looked at for that: it is bad all the same."""
    if not expected.get("bad_files") or line["status"] != "mismatch":
        return False
    found = {key: value for key, value in expected.items()
             if key not in ("bad_files", "first_bad_file", "files_complete")}
    return line.get("error", {}).get("code") == "split.content" or (
        line.get("files_complete") is False and subset(found, line))


def uncounted(line, expected):
    """A layer that is malformed all the same, of which the entries could not be kept to be counted."""
    return line["status"] == "malformed" and "entries" not in line and timeless(line) == {
        key: value for key, value in expected.items() if key != "entries"}


def check_layer(run, line, base, partial):
    """Of a layer that is not as a faultless run has it. `partial`: not all images were read, and it says
    so: then their documents are blobs that nothing refers to."""
    expected = base.get((*key_of(line), 0))
    if not expected:
        if could_not(line):
            return # a source that could not be told from a loose file
        if not partial or line.get("format", "other") != "other" or line["checks"]["name"] != "ok":
            raise Broken(f"{run}a layer that there is not: {line}")
    elif line["status"] == "error" and could_not(line):
        if not subset(line.get("rungs", {}), expected.get("rungs", {})):
            raise Broken(f"{run}rungs that are others: {others(line, expected)}")
    elif files_unread(line, expected) or uncounted(line, expected):
        return
    elif not partial or unclaimed(line) != unclaimed(expected):
        raise Broken(f"{run}{line['name'][-20:]}: {others(line, expected)}")


def check_image(run, line, base, partial):
    """Of an image that is not as a faultless run has it."""
    expected = base.get((*key_of(line), 0))
    if not expected:
        if not partial:
            raise Broken(f"{run}an image that there is not: {line}")
    elif line["status"] not in ("error", expected["status"]) or (
            run.code != FATAL and line["status"] == expected["status"]
            and line.get("rungs") != expected.get("rungs") and expected["status"] != "mismatch"):
        raise Broken(f"{run}{line.get('ref')}: {others(line, expected)}")
    elif not subset(line.get("rungs", {}), expected.get("rungs", {})):
        raise Broken(f"{run}rungs that are others: {others(line, expected)}")


def check_line(run, line, base, partial):
    """A line that is not what a faultless run says: it claims nothing else."""
    kind = line["type"]
    if kind in ("error", "note"):
        if not could_not(line):
            raise Broken(f"{run}an error of another kind: {line}")
    elif kind == "layer":
        check_layer(run, line, base, partial)
    elif kind == "image":
        check_image(run, line, base, partial)
    else:
        raise Broken(f"{run}a line that there is not: {line}")


def check_scan(run, base, base_code):
    """What must hold of `scan --json` and `digest --json`, whatever failed."""
    lines = lines_of(run)
    if run.code == FATAL or run.code in DATABASE:
        if b"varve: " not in run.err:
            raise Broken(f"{run}no word of why")
    found = results(lines)
    partial = any(could_not(line) for key, line in found.items()
                  if key[0] in ("error", "note", "image") and base.get(key) != line)
    for key, line in found.items():
        if base.get(key) != line:
            check_line(run, line, base, partial)
    if run.code in (FATAL, *DATABASE):
        return
    if run.code not in (0, FOUND, UNJUDGED, base_code):
        raise Broken(f"{run}no exit code of the manual's")
    summary = lines[-1] if lines else {}
    if summary.get("type") != "summary" or summary["exit_code"] != run.code:
        raise Broken(f"{run}no summary at the end, or of another exit code: {summary}")
    for kind in ("layer", "image"):
        counted = {}
        for line in lines:
            if line["type"] == kind and not line.get("attestation") and not line.get("artifact"):
                counted[line["status"]] = counted.get(line["status"], 0) + 1
        told = {status: n for status, n in summary[kind + "s"].items() if n}
        if counted != told:
            raise Broken(f"{run}the summary counts {kind}s as {told}, there are {counted}")
    statuses = {line["status"] for line in lines if line["type"] in ("layer", "image")}
    statuses |= {line.get("status", "error") for line in lines if line["type"] == "error"}
    bad = statuses & {"mismatch", "malformed"}
    unjudged = statuses & {"error", "limit", "unsupported"}
    expected = FOUND if bad else UNJUDGED if unjudged else 0
    if run.code not in (expected, base_code) or (unjudged and run.code == 0):
        raise Broken(f"{run}expected exit code {expected}")
    missing = [key for key in base if key not in found and key[0] in ("layer", "image", "entry", "note")]
    if missing and not any(could_not(line) for line in found.values()):
        raise Broken(f"{run}lost without a word: {missing[:3]}")
    more = [key for key in found if key not in base and key[0] in ("layer", "image", "entry")]
    if more and not partial:
        raise Broken(f"{run}found what there is not: {more[:3]}")


def check_same(run, base, base_code):
    """Nothing of the fault may be seen."""
    if run.code != base_code:
        raise Broken(f"{run}expected exit code {base_code}")
    found = results(lines_of(run))
    if found != base:
        other = [(found.get(key), base.get(key)) for key in {**found, **base}
                 if found.get(key) != base.get(key)]
        raise Broken(f"{run}{len(other)} lines are others: {other[0]}")


def said_less(run, out, first):
    """Whether a run that ended well said what it should, or said that it says less."""
    if (run.code, out) == (first.code, first.out):
        return True
    if run.argv[0] == "compare":
        error = b'"status":"error"'
        return (run.code == 1 and b"varve: " in run.err) or out.count(error) > first.out.count(error)
    less = (b'"headers_compared":false', b'"entries_compared":false', b"not compared",
            b"are left out")
    same = out.split(b'"facets_unequal"')[0].splitlines()[:1] == first.out.split(
        b'"facets_unequal"')[0].splitlines()[:1]
    more = [b'"error":{', *(b'"security_unknown":%d' % number for number in range(1, 4))]
    return run.argv[0] == "diff" and run.code == first.code and (
        b"varve: " in run.err or (same and any(words in out for words in less))
        or any(out.count(words) > first.out.count(words) for words in more))
