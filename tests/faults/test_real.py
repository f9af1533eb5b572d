# SPDX-License-Identifier: Apache-2.0
"""Faults by real means: file systems that are full at every point, limits of the system (memory, descriptors,
file size, processes), and files that another process shrinks, lengthens, removes and replaces while they are
read. What needs a right that is not given here is skipped aloud."""

import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import inject
import mirrors

import db
import harness
import stores
from test_writing import files_of

PAGE = 4096
MIB = 1 << 20
MANUAL = (0, 1, 2, 3, 10, 11)
SANITIZED = bool(os.environ.get("VARVE_SANITIZE"))


def run(argv, limits=None, user=None, stdout=None, program=harness.VARVE):
    """A run under limits {resource: value}, as something that inject.py can judge. A signal breaks it."""
    def limit():
        for kind, value in (limits or {}).items():
            resource.setrlimit(kind, (value, value))
    done = subprocess.run([str(program), *map(str, argv)], check=False, preexec_fn=limit, timeout=300,
                          stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE,
                          **({"user": user, "group": user, "extra_groups": []} if user else {}))
    found = inject.Run([*argv, limits], inject.NONE, done.returncode, done.stdout or b"", done.stderr, {}, 0)
    if found.code < 0:
        raise inject.Broken(f"{found}killed by signal {-found.code}")
    if b"Sanitizer" in found.err or b"libgomp: " in found.err:
        raise inject.Broken(f"{found}ended by a library")
    return found


class RealCase(db.DatabaseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.operand = mirrors.small(cls.work / "layout")
        files = {"etc/a": b"a\n" * 300, "etc/deep/er/b": b"b\n" * 900, "srv/noise": mirrors.noise(50000)}
        cls.layer = cls.work / "layer.tar"
        cls.layer.write_bytes(stores.tar_of(files))
        harness.run(harness.VARVE, "split", cls.layer, "-o", cls.work / "data", "--files",
                    cls.work / "files")
        cls.plain = run(["scan", "--json", cls.operand])
        cls.base = inject.results(inject.lines_of(cls.plain))


class Disk:
    """A small file system on which a ballast leaves as much room as is wanted."""

    def __init__(self, folder):
        self.folder = folder
        self.ballast = folder / "ballast"

    def leave(self, pages):
        """Empties it, then fills all but so many pages."""
        for path in self.folder.iterdir():
            if path.name == "lost+found":
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        os.sync()
        room = os.statvfs(self.folder)
        ballast = room.f_bavail * room.f_bsize - pages * PAGE
        fd = os.open(self.ballast, os.O_WRONLY | os.O_CREAT)
        try:
            while ballast > 0:
                try:
                    return os.posix_fallocate(fd, 0, ballast)
                except OSError: # where its blocks stand takes blocks as well
                    ballast -= PAGE
        finally:
            os.close(fd)
        return None

    def relieve(self):
        self.ballast.unlink()

    def names(self):
        return {path.name for path in self.folder.iterdir()} - {"ballast", "lost+found"}


@contextlib.contextmanager
def mounted(folder, kind):
    """A file system of a kind; None where nothing can be mounted."""
    folder.mkdir()
    image = folder.with_suffix(".image")
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={4 * MIB}", "tmpfs", str(folder)]
    else:
        block = "1024" if kind == "ext4-1k" else "4096"
        with open(image, "wb") as file:
            file.truncate(8 * MIB)
        if not shutil.which("mkfs.ext4") or subprocess.run(
                ["mkfs.ext4", "-q", "-F", "-m", "0", "-b", block, str(image)], check=False,
                capture_output=True).returncode:
            yield None
            return
        command = ["mount", "-o", "loop", str(image), str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class Full(RealCase):
    """No room, at every point of what is written."""

    def every_point(self, disk, argv, check, most=900):
        """Room for no page, one, two ... until all is well; further up in greater steps. `check(run)` says
        whether it was. How often it was not."""
        refused, pages, well = 0, 0, 0
        while well < 2 and pages < most:
            disk.leave(pages)
            done = run([str(word).replace("{disk}", str(disk.folder)) for word in argv])
            if done.code not in MANUAL or (done.code == 2 and b"varve: " not in done.err):
                raise inject.Broken(f"{done}no exit code of the manual's, or no word of why")
            good = check(done)
            well = well + 1 if good else 0
            refused += not good
            pages += 1 + pages // (3 if SANITIZED else 6)
        self.assertEqual(well, 2, f"never enough room: {argv}")
        return refused

    def writes(self, disk, argv, names):
        """Of a command that writes these names: whole or not at all."""
        disk.leave(900)
        done = run([str(word).replace("{disk}", str(disk.folder)) for word in argv])
        self.assertEqual(done.code, 0, done)
        whole = {name: files_of(disk.folder / name) for name in names}

        def check(done):
            there = disk.names()
            if there - set(names):
                raise inject.Broken(f"{done}left behind: {there - set(names)}")
            for name in there:
                if files_of(disk.folder / name) != whole[name]:
                    raise inject.Broken(f"{done}{name} is not whole")
            if done.code not in (0, 2) or (done.code == 0) != (there == set(names)):
                raise inject.Broken(f"{done}wrote {there}")
            return done.code == 0

        self.assertGreater(self.every_point(disk, argv, check), 0)

    def commands(self, disk):
        for options in (["--compress=none"], ["--compress=zstd:3"], ["--compress=gzip"]):
            self.writes(disk, ["normalize", self.layer, *options, "-o", "{disk}/out"], ["out"])
        self.writes(disk, ["split", self.layer, "-o", "{disk}/data", "--files", "{disk}/files"],
                    ["data", "files"])
        self.writes(disk, ["join", self.work / "data", self.work / "files", "-o", "{disk}/out"], ["out"])
        self.writes(disk, ["normalize", self.operand, "-o", "oci:{disk}/out"], ["out"])

    def lists(self, disk):
        """--errors-to and --prom: the scan's lines are what they are, and that a list is not whole is said."""
        layout = self.work / "bad"
        if not layout.exists():
            mirrors.layout(layout)
        argv = ["scan", "--json", f"oci:{layout}", "--errors-to", self.work / "errors"]
        plain = run(argv)
        base = inject.results(inject.lines_of(plain))
        expected = (self.work / "errors").read_bytes()
        self.assertGreater(len(expected), PAGE)

        def check_errors(done):
            if inject.results(inject.lines_of(done)) != base:
                raise inject.Broken(f"{done}other lines")
            path = disk.folder / "errors"
            found = path.read_bytes() if path.exists() else b""
            if done.code not in (2, plain.code) or (done.code != 2) != (found == expected):
                raise inject.Broken(f"{done}wrote {len(found)} bytes of {len(expected)}")
            return done.code != 2

        argv[-1] = "{disk}/errors"
        self.assertGreater(self.every_point(disk, argv, check_errors), 0)

        def check_prom(done):
            if inject.results(inject.lines_of(done)) != self.base:
                raise inject.Broken(f"{done}other lines")
            there = disk.names()
            whole = there == {"prom"} and (disk.folder / "prom").read_bytes().rstrip().rpartition(
                b"\n")[2].startswith(b"varve_scan_duration_seconds")
            if done.code not in (0, 2) or (done.code == 0) != whole or (not whole and there):
                raise inject.Broken(f"{done}wrote {there}")
            return whole

        self.assertGreater(self.every_point(
            disk, ["scan", "--json", self.operand, "--prom", "{disk}/prom"], check_prom), 0)

    def standard_output(self, disk):
        """A scan that cannot write down what it says ends with 2."""
        argv = ["scan", "--json", "--entries", self.operand]
        expected = len(self.stripped(run(argv).out))
        refused = 0
        for pages in range(0, 40, 3):
            disk.leave(pages)
            with open(disk.folder / "out", "wb") as out:
                done = run(argv, stdout=out)
            found = self.stripped((disk.folder / "out").read_bytes())
            if done.code not in (0, 2) or (done.code == 0) != (len(found) == expected):
                raise inject.Broken(f"{done}wrote {len(found)} lines of {expected}")
            refused += done.code == 2
        self.assertGreater(refused, 0)

    @staticmethod
    def stripped(out):
        """The whole lines."""
        return [line for line in out.splitlines(keepends=True) if line.endswith(b"\n")]

    def database(self, disk):
        """The database holds what was committed, and the next scan goes on to what it would have been."""
        whole = self.work / "whole.db"
        if not whole.exists():
            harness.run(harness.VARVE, "scan", "--db", whole, "--entries", self.operand)
        argv = ["scan", "--json", "--entries", self.operand, "--db", "{disk}/a.db"]

        def check(done):
            if done.code not in (0, 10):
                raise inject.Broken(f"{done}no exit code for a full disk")
            disk.relieve()
            path = disk.folder / "a.db"
            if path.exists() and path.stat().st_size and not db.is_whole(path):
                raise inject.Broken(f"{done}the database is damaged")
            again = run([str(word).replace("{disk}", str(disk.folder)) for word in argv])
            inject.check_same(again, self.base_of_entries, 0)
            self.same_content(path, whole)
            return done.code == 0

        self.base_of_entries = inject.results(inject.lines_of(
            run(["scan", "--json", "--entries", self.operand])))
        self.assertGreater(self.every_point(disk, argv, check), 3)

    def on(self, kind, what):
        with mounted(self.work / f"{kind} {what.__name__}".replace(" ", "-"), kind) as disk:
            if not disk:
                self.skipTest(f"no {kind} can be mounted here")
            what(disk)

    def test_dev_full(self):
        with open("/dev/full", "wb") as full:
            for argv in (["scan", self.operand], ["scan", "--json", self.operand], ["digest", self.layer],
                         ["diff", "--json", self.layer, mirrors.GOLDEN / "tree.tar"], ["findings"],
                         ["split", self.layer, "-o", "-"], ["normalize", self.layer, "-o", "-"]):
                done = run(argv, stdout=full)
                self.assertEqual(done.code, 2, done)
                self.assertIn(b"No space left", done.err, done)


# Which parts fill which file systems: shared memory on one of small blocks is full of holes.
FILLED = {"commands": ("tmpfs", "ext4"), "lists": ("tmpfs",), "standard_output": ("tmpfs",),
          "database": ("tmpfs", "ext4", "ext4-1k")}
for part, kinds in FILLED.items():
    for kind in kinds:
        setattr(Full, f"test_{part}_{kind.replace('-', '_')}",
                lambda self, part=part, kind=kind: self.on(kind, getattr(self, part)))


class LimitsCase(RealCase):
    """What the system does not give is said; nobody is blamed, and no run ends by a signal."""

    COMMANDS = ("scan --threads=1", "scan --threads=3", "diff", "normalize", "split", "join", "query")

    def argv(self, command):
        path = self.work / "whole.db"
        if not path.exists():
            harness.run(harness.VARVE, "scan", "--db", path, "--entries", self.operand)
        place = self.work / "made"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        place.chmod(0o777)
        return {
            "scan --threads=1": ["scan", "--json", "--threads=1", self.operand],
            "scan --threads=3": ["scan", "--json", "--threads=3", self.operand],
            "diff": ["diff", "--json", mirrors.GOLDEN / "tree.tar", mirrors.GOLDEN / "tree-reversed.tar"],
            "normalize": ["normalize", "--threads=2", self.operand, "-o", f"oci:{place}/out"],
            "split": ["split", self.layer, "-o", place / "data", "--files", place / "files"],
            "join": ["join", self.work / "data", self.work / "files", "-o", place / "out"],
            "query": ["query", "--json", "--db", path, "layers"],
        }[command]

    def check(self, done, command, expected):
        """True: it did all that it does without limits."""
        if b"error while loading shared libraries" in done.err or done.code in (126, 127):
            return False
        if done.code not in MANUAL:
            raise inject.Broken(f"{done}no exit code of the manual's")
        if command.startswith("scan"):
            inject.check_scan(done, self.base, self.plain.code)
        elif done.code == expected.code:
            if command in ("diff", "query") and done.out != expected.out and not inject.said_less(
                    done, done.out, expected):
                raise inject.Broken(f"{done}said\n{done.out[:300]}")
        elif b"varve: " not in done.err or done.code == 1:
            raise inject.Broken(f"{done}no word of why, or a blame")
        left = [path.name for path in (self.work / "made").iterdir() if path.name.startswith(".")]
        if left:
            raise inject.Broken(f"{done}left behind: {left}")
        return done.code == expected.code and b"varve: " not in done.err

    def within(self, kind, values, commands=COMMANDS, refuse=True, **more):
        """Each command under each of these limits. Some must refuse, if `refuse`, and the last one none."""
        for command in commands:
            with self.subTest(command):
                expected = run(self.argv(command), **more)
                well = [self.check(run(self.argv(command), {kind: value}, **more), command, expected)
                        for value in values]
                self.assertTrue(well[-1], "all that there is was not enough")
                self.assertEqual(all(well), not refuse)


class AddressSpace(LimitsCase):
    def test_memory(self):
        values = [int(6 * MIB * 1.17**step) for step in range(32)] + [4 << 30]
        self.within(resource.RLIMIT_AS, values)


class Limits(LimitsCase):
    def test_descriptors(self):
        self.within(resource.RLIMIT_NOFILE, [*range(3, 24), 32, 48, 256])

    def test_file_size(self):
        """As ulimit -f sets it, with SIGXFSZ as it is: it is an error like any other."""
        values = [0, 1, 100, 1000, PAGE, 3 * PAGE, 10 * PAGE, 20 * PAGE, 100 * PAGE, 64 * MIB]
        self.within(resource.RLIMIT_FSIZE, values, ("normalize", "split", "join"))
        for value in values:
            for path in self.work.glob("size.db*"):
                path.unlink()
            done = run(["scan", "--json", "--db", self.work / "size.db", self.operand],
                       {resource.RLIMIT_FSIZE: value})
            self.assertIn(done.code, (0, 10) if value else (10,), done)
            inject.check_scan(done, self.base, 0)

    def test_processes(self):
        """A user who may have no more threads than so many."""
        if os.geteuid() != 0:
            self.skipTest("only root can become a user who has no processes yet")
        user = 61234
        program = self.work / "varve"
        shutil.copy(harness.VARVE, program)
        for place in (self.work, self.work.parent):
            if place != pathlib.Path("/tmp"):
                place.chmod(0o755)
        for path in self.work.rglob("*"):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        more = {"user": user, "program": program}
        self.within(resource.RLIMIT_NPROC, [1, 2, 3, 4, 5, 8, 40], ("scan --threads=3", "normalize"),
                    refuse=False, **more)
        for most in (1, 2, 3, 8):
            done = run(self.argv("scan --threads=3"), {resource.RLIMIT_NPROC: most}, **more)
            threads = inject.lines_of(done)[-1]["run"]["threads"]
            self.assertLessEqual(threads, most)
            self.assertTrue(most < 8 or threads == 3)


class Altered(RealCase):
    """Another process changes the files, whenever it comes to."""

    SECONDS = 40 if inject.LONG else 5

    def change(self, path, whole, rng):
        """Something that befalls a file; it is what it was afterwards, sooner or later."""
        what = rng.choice(("shrink", "grow", "vanish", "replace", "rewrite", "restore", "restore"))
        if what == "shrink" and path.exists():
            os.truncate(path, rng.randrange(len(whole)))
        elif what == "grow" and path.exists():
            with open(path, "ab") as file:
                file.write(rng.randbytes(rng.randrange(1, 70000)))
        elif what == "vanish":
            path.unlink(missing_ok=True)
        elif what == "rewrite" and path.exists():
            with open(path, "r+b") as file:
                file.seek(rng.randrange(len(whole)))
                file.write(b"another")
        else:
            beside = path.parents[3] / "beside"
            beside.write_bytes(whole if what == "restore" else rng.randbytes(len(whole)))
            beside.rename(path)

    def test_change(self):
        rng = random.Random(5)
        folder = self.work / "changing"
        shutil.copytree(self.work / "layout", folder)
        index = json.loads((folder / "index.json").read_bytes())
        manifest = json.loads((folder / "blobs" / "sha256" / index["manifests"][0]["digest"][7:]
                               ).read_bytes())
        layers = {layer["digest"]: (folder / "blobs").joinpath(*layer["digest"].split(":"))
                  for layer in manifest["layers"]}
        whole = {name: path.read_bytes() for name, path in layers.items()}
        changed = sorted(name for name in layers if rng.random() < 0.6) or sorted(layers)[:1]
        base = {key: {**line, "source": ""} for key, line in inject.results(inject.lines_of(
            run(["scan", "--json", f"oci:{folder}"]))).items()}
        over = threading.Event()

        def befall():
            while not over.is_set():
                name = rng.choice(changed)
                self.change(layers[name], whole[name], rng)
                over.wait(rng.random() / 300)

        hand = threading.Thread(target=befall)
        hand.start()
        seen = {}
        try:
            begun = time.monotonic()
            while time.monotonic() - begun < self.SECONDS:
                self.judge(run(["scan", "--json", f"--threads={rng.randrange(1, 4)}", f"oci:{folder}"]),
                           base, layers, changed, seen)
        finally:
            over.set()
            hand.join()
        print(f"what was said of files that were changing: {seen}")
        self.assertGreater(seen.get("ok", 0), 0)
        self.assertGreater(sum(seen.values()) - seen.get("ok", 0), 0)
        for name in changed:
            (self.work / "beside").write_bytes(whole[name])
            (self.work / "beside").rename(layers[name])
        again = run(["scan", "--json", f"oci:{folder}"])
        self.assertEqual({key: {**line, "source": ""} for key, line in inject.results(
            inject.lines_of(again)).items()}, base)

    def judge(self, done, base, layers, changed, seen):
        """A row holds of the bytes of one moment, or says that there were none."""
        lines = inject.lines_of(done)
        if not lines or lines[-1]["type"] != "summary" or done.code not in (0, 1, 3):
            raise inject.Broken(f"{done}no summary, or another exit code")
        found = {line["name"]: {**inject.timeless(line), "source": ""} for line in lines
                 if line["type"] == "layer"}
        expected = {key[1]: line for key, line in base.items() if key[0] == "layer"}
        for name in layers:
            if name not in found:
                raise inject.Broken(f"{done}lost: {name}")
            line = found[name]
            code = line.get("error", {}).get("code", "")
            if line == expected[name]:
                verdict = "ok"
            elif name not in changed:
                raise inject.Broken(f"{done}{inject.others(line, expected[name])}")
            elif line["status"] == "error" and code in ("io.changed", "io.read", "io.missing"):
                verdict = code
            elif line["checks"]["name"] == "mismatch" and line["rungs"]["blob"] != name:
                verdict = "mismatch"
            else:
                raise inject.Broken(f"{done}{inject.others(line, expected[name])}")
            seen[verdict] = seen.get(verdict, 0) + 1


if __name__ == "__main__":
    harness.need_tools("zstd", "tar-split")
    harness.main()
