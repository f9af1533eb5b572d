#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One tree, many writers: the same files packed by every tar at hand, and on which rung any two of
the archives meet. The tables are expected/<tree>.txt. Then all are normalised: at a rung's strength those
that meet on it become the same bytes, and no others; and what comes out is the tree, as GNU tar, bsdtar,
Python and Go read it.

    test_writers.py             compares all writers that are there
    test_writers.py --of TOOL   compares those of one program with GNU tar's; skipped where it is missing
    test_writers.py --update    writes the tables anew (all writers must be there)

The first leaves out, aloud, the rows and columns of programs that are not installed; the second is a
test of its own for each, so that what is missing shows as skipped and nothing else does.
"""

import glob
import grp
import hashlib
import itertools
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "ladder"))
import compare
import ladder

EXPECTED = HERE / "expected"
EPOCH = 1700000000
MINE = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": os.environ.get("HOME", "/"), "USER": os.environ.get("USER", "root"),
        "GOFLAGS": "-mod=mod", "GO111MODULE": "off",
        # Where Debian keeps node's packages: its own node looks there, others do not.
        "NODE_PATH": "/usr/share/nodejs"}
absent = set()


# --- the trees ------------------------------------------------------------------------------------


def write(root, path, data=b"", mode=0o644):
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    target.chmod(mode)


def stamp(root, seconds, nanoseconds=0):
    """The same times everywhere, innermost first, so that directories keep theirs."""
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, ns=((seconds * 10**9 + nanoseconds),) * 2, follow_symlinks=False)
        if not path.is_symlink() and path.is_dir():
            path.chmod(0o755)


def plain(root):
    """What every format can hold."""
    write(root, "etc/conf", b"key=value\n")
    write(root, "etc/empty")
    write(root, "usr/bin/tool", b"#!/bin/sh\n" * 100, 0o755)
    write(root, "usr/bin/suid", b"\x7fELF", 0o4755)
    write(root, "usr/share/data", bytes(range(256)) * 9)
    os.symlink("../bin/tool", root / "usr/share/link")
    os.link(root / "usr/share/data", root / "usr/share/data-again")
    os.link(root / "usr/share/data", root / "usr/share/data-once-more")
    stamp(root, EPOCH)


def hard(root):
    """Long names and targets, a hole, a time before 1970, names beyond ASCII, a fifo (which node-tar
    leaves out)."""
    deep = "deep/" + "directory-of-some-length/" * 8 + "file-with-a-name-" + "x" * 60
    write(root, deep, b"deep")
    write(root, "n" * 120, b"long name")
    write(root, "\u00e4\u00f6\u00fc/\u65e5\u672c", b"beyond ASCII")
    os.symlink("t/" * 70 + "arget", root / "symlink")
    os.mkfifo(root / "fifo")
    (root / "fifo").chmod(0o644)
    with open(root / "sparse", "wb") as file:
        file.write(b"begin")
        file.seek(1 << 20)
        file.write(b"end")
        file.truncate((1 << 20) + 70000)
    (root / "sparse").chmod(0o644)
    stamp(root, EPOCH)
    os.utime(root / "fifo", (-86400, -86400))


def fractional(root):
    """Times with halves of seconds."""
    write(root, "a", b"1")
    write(root, "d/b", b"2")
    stamp(root, EPOCH, 500000000)


def attributed(root):
    """Extended attributes."""
    write(root, "a", b"1")
    write(root, "d/b", b"2")
    stamp(root, EPOCH)
    os.setxattr(root / "a", "user.note", b"text")
    os.setxattr(root / "d" / "b", "user.binary", b"\x00\xff\n=")


def listing(root):
    """Paths in order, directories before what they hold."""
    paths = sorted(root.rglob("*"), key=lambda path: path.relative_to(root).parts)
    return [str(path.relative_to(root)) for path in paths]


# --- the writers ----------------------------------------------------------------------------------


def run(root, argv, listed="", output=None):
    done = subprocess.run([str(word) for word in argv], cwd=root, input=listed.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=MINE, check=False)
    if done.returncode:
        raise AssertionError("%s ended with %d: %s" % (argv, done.returncode,
                                                       done.stderr.decode(errors="replace")))
    return output.read_bytes() if output else done.stdout


def with_list(*argv):
    """A writer that takes the paths on stdin and writes to stdout."""
    def pack(root, paths, work):
        return run(root, argv, "".join(path + "\n" for path in paths))
    pack.tool = argv[0]
    return pack


def gnu(*options):
    return with_list("tar", "--create", "--file=-", "--no-recursion", "--verbatim-files-from",
                     "--files-from=-", *options)


def bsd(*options):
    return with_list("bsdtar", "-c", "-f", "-", "-n", "-T", "-", *options)


def busybox(root, paths, work):
    return run(root, ["busybox", "tar", "-c", "-f", "-", "--no-recursion", *paths])


busybox.tool = "busybox"


def go(form):
    def pack(root, paths, work):
        program = work / "pack"
        if not program.exists():
            run(work, ["go", "build", "-o", program, HERE / "pack.go"])
        return run(root, [program, form], "".join(path + "\n" for path in paths))
    pack.tool = "go"
    return pack


def node_tar():
    """node-tar as a package of its own, or the one that npm carries."""
    places = ["/usr/share/nodejs/tar", "/usr/lib/node_modules/npm/node_modules/tar",
              "/usr/local/lib/node_modules/npm/node_modules/tar",
              *glob.glob("/usr/share/nodejs/npm/node_modules/tar")]
    return next((place for place in places if os.path.isdir(place)), None)


def node(root, paths, work):
    return run(root, ["node", HERE / "pack.mjs", node_tar()],
               "".join(path + "\n" for path in paths))


node.tool = "node"


def python(form, change=None, **options):
    """Python's tarfile; `change` may alter each entry."""
    def pack(root, paths, work):
        target = work / "python.tar"
        here = os.getcwd()
        os.chdir(root)
        try:
            with tarfile.open(target, "w", format=form, **options) as out:
                for path in paths:
                    info = out.gettarinfo(path)
                    if form == tarfile.PAX_FORMAT and info.mtime == int(info.mtime):
                        info.mtime = int(info.mtime)
                    if change:
                        change(info)
                    if info.isreg():
                        with open(path, "rb") as file:
                            out.addfile(info, file)
                    else:
                        out.addfile(info)
        finally:
            os.chdir(here)
        return target.read_bytes()
    pack.tool = "python3"
    return pack


def pax(form):
    return with_list("pax", "-w", "-d", "-x", form)


def cpio(form):
    return with_list("cpio", "--quiet", "-o", "-H", form)


def chained(info):
    """Each link to the one before it, as buildah 1.41 wrote them."""
    if info.name == "usr/share/data-once-more":
        info.linkname = "usr/share/data-again"


def reverse(pack):
    """The same writer, given the paths in another order: files backwards, links behind them."""
    def backwards(root, paths, work):
        return pack(root, list(reversed(paths)), work)
    backwards.tool = pack.tool
    return backwards


NO_TIMES = "--pax-option=delete=atime,delete=ctime"
PLAIN = {
    "gnu-ustar": gnu("--format=ustar"),
    "gnu-v7": gnu("--format=v7"),
    "gnu-oldgnu": gnu("--format=oldgnu"),
    "gnu-gnu": gnu("--format=gnu"),
    "gnu-posix": gnu("--format=posix", NO_TIMES),
    "gnu-posix-times": gnu("--format=posix"),
    "bsdtar-ustar": bsd("--format=ustar"),
    "bsdtar-pax": bsd("--format=pax"),
    "bsdtar-paxr": bsd("--format=paxr"),
    "bsdtar-gnutar": bsd("--format=gnutar"),
    "bsdtar-v7": bsd("--format=v7"),
    "python-ustar": python(tarfile.USTAR_FORMAT),
    "python-gnu": python(tarfile.GNU_FORMAT),
    "python-pax": python(tarfile.PAX_FORMAT),
    "busybox": busybox,
    "go-ustar": go("ustar"),
    "go-pax": go("pax"),
    "go-gnu": go("gnu"),
    "go-default": go("default"),
    "node-tar": node,
    "pax-ustar": pax("ustar"),
    "pax-tar": pax("tar"),
    "cpio-ustar": cpio("ustar"),
    "cpio-tar": cpio("tar"),
    # The same writer told otherwise.
    "gnu-order": reverse(gnu("--format=gnu")),
    "python-chain": python(tarfile.USTAR_FORMAT, chained),
    "gnu-dot": gnu("--format=gnu", "--transform=s,^,./,S"),
    "gnu-names": gnu("--format=gnu", "--owner=builder:%d" % os.getuid(),
                     "--group=builder:%d" % os.getgid()),
    "gnu-numeric": gnu("--format=gnu", "--numeric-owner"),
    "gnu-mtime": gnu("--format=gnu", "--mtime=@1"),
    "gnu-mode": gnu("--format=gnu", "--mode=go-r"),
    "gnu-owner": gnu("--format=gnu", "--owner=root:3000000", "--group=root:3000000"),
    "gnu-owner-posix": gnu("--format=posix", NO_TIMES, "--owner=root:3000000",
                           "--group=root:3000000"),
}
HARD = {
    "gnu-gnu": gnu("--format=gnu"),
    "gnu-oldgnu": gnu("--format=oldgnu"),
    "gnu-posix": gnu("--format=posix", NO_TIMES),
    "gnu-gnu-sparse": gnu("--format=gnu", "--sparse"),
    "gnu-posix-sparse-0.0": gnu("--format=posix", NO_TIMES, "--sparse", "--sparse-version=0.0"),
    "gnu-posix-sparse-0.1": gnu("--format=posix", NO_TIMES, "--sparse", "--sparse-version=0.1"),
    "gnu-posix-sparse-1.0": gnu("--format=posix", NO_TIMES, "--sparse", "--sparse-version=1.0"),
    "bsdtar-paxr": bsd("--format=paxr", "--no-read-sparse"),
    "bsdtar-paxr-sparse": bsd("--format=paxr"),
    "bsdtar-gnutar": bsd("--format=gnutar"),
    "python-gnu": python(tarfile.GNU_FORMAT),
    "python-pax": python(tarfile.PAX_FORMAT),
    "go-pax": go("pax"),
    "go-gnu": go("gnu"),
    "node-tar": node,
}
FRACTIONAL = {
    "gnu-gnu": gnu("--format=gnu"),
    "gnu-posix": gnu("--format=posix", NO_TIMES),
    "bsdtar-ustar": bsd("--format=ustar"),
    "bsdtar-pax": bsd("--format=pax"),
    "bsdtar-paxr": bsd("--format=paxr"),
    "python-gnu": python(tarfile.GNU_FORMAT),
    "python-pax": python(tarfile.PAX_FORMAT),
    "go-default": go("default"),
    "go-gnu": go("gnu"),
    "go-pax": go("pax"),
    "node-tar": node,
}
ATTRIBUTED = {
    "gnu-posix": gnu("--format=posix", NO_TIMES, "--xattrs", "--xattrs-include=*"),
    "gnu-posix-none": gnu("--format=posix", NO_TIMES),
    "bsdtar-paxr": bsd("--format=paxr", "--xattrs"),
    "bsdtar-schily": bsd("--format=paxr", "--xattrs", "--options=xattrheader=SCHILY"),
    "bsdtar-libarchive": bsd("--format=paxr", "--xattrs", "--options=xattrheader=LIBARCHIVE"),
    "bsdtar-none": bsd("--format=paxr", "--no-xattrs"),
}

TREES = {"plain": (plain, PLAIN), "hard": (hard, HARD), "fractional": (fractional, FRACTIONAL),
         "attributed": (attributed, ATTRIBUTED)}

# The letter of each rung in a table; it is the first on which the two meet.
LETTERS = {"blob": "B", "diffid": "D", "archive": "A", "encoding": "e", "order": "o", "names": "n",
           "times": "t", "content": "c", "none": "."}


STRENGTHS = ["encoding", "order", "names", "times"]

# What varve calls each program's archives, if it does not say "unknown".
GUESSES = {"tar": "gnu-tar", "bsdtar": "bsdtar", "python3": "python-tarfile", "busybox": "busybox",
           "go": "go", "node": "node-tar"}


def installed(tool):
    return bool(shutil.which(tool) and (tool != "node" or node_tar()))


def here(pack):
    if not installed(pack.tool):
        absent.add(pack.tool)
    return installed(pack.tool)


def table(names, met):
    """Lower triangle, one line a writer, one letter a pair."""
    lines = ["# SPDX-License-Identifier: Apache-2.0",
             "# The first rung on which two writers' archives of the same tree meet:",
             "# " + " ".join("%s=%s" % (letter, rung) for rung, letter in LETTERS.items()),
             "# Columns are in the order of the rows."]
    for i, name in enumerate(names):
        letters = "".join(LETTERS[met[name, other]] for other in names[:i])
        lines.append(("%-22s %s" % (name, letters)).rstrip())
    return "\n".join(lines) + "\n"


def read_table(text):
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    names = [row[0] for row in rows]
    rungs = {letter: rung for rung, letter in LETTERS.items()}
    return {(row[0], names[i]): rungs[letter]
            for row in rows for i, letter in enumerate(row[1] if len(row) > 1 else "")}


# --- readers of what is normalised: SHA-256 by path, None where there is no content -----------------


def read_python(target):
    found = {}
    with tarfile.open(target, errorlevel=2) as archive:
        for member in archive:
            name = member.name
            while member.islnk():
                member = archive.getmember(member.linkname)
            file = archive.extractfile(member) if member.isreg() else None
            found[name] = hashlib.sha256(file.read()).hexdigest() if file else None
    return found


def read_extracted(folder, command, target):
    folder.mkdir()
    try:
        done = subprocess.run([*command, str(target), "-C", str(folder)], capture_output=True,
                              env=MINE, check=False)
        unknown = b"Ignoring unknown extended header keyword"
        complaints = [line for line in done.stderr.splitlines() if unknown not in line]
        if done.returncode or complaints:
            raise AssertionError("%s: %s" % (command[0], done.stderr.decode(errors="replace")))
        return {path: hashlib.sha256((folder / path).read_bytes()).hexdigest()
                if (folder / path).is_file() and not (folder / path).is_symlink() else None
                for path in listing(folder)}
    finally:
        shutil.rmtree(folder)


def read_go(work, target):
    program = work / "read"
    if not program.exists():
        run(work, ["go", "build", "-o", program, HERE / "read.go"])
    entries = [json.loads(line) for line in run(work, [program, target]).splitlines()]
    contents = {entry["name"].rstrip("/"): entry["sha256"] or None for entry in entries}
    for entry in entries:
        if entry["type"] == "1":
            contents[entry["name"]] = contents[entry["link"]]
    return contents


class Writers(harness.Case):
    update = False
    only = None  # the program whose writers are looked at, beside GNU tar's

    def pack_all(self, name):
        """Packs a tree with all writers that are there; returns the archives' paths by name."""
        fill, writers = TREES[name]
        root = self.work / name
        root.mkdir()
        fill(root)
        paths = listing(root)
        packed = {}
        for writer, pack in writers.items():
            if self.only in (None, pack.tool) or pack.tool == "tar":
                if not here(pack):
                    continue
                target = self.work / ("%s-%s.tar" % (name, writer))
                target.write_bytes(pack(root, paths, self.work))
                packed[writer] = str(target)
        return packed

    def check(self, name):
        if self.only and all(pack.tool != self.only for pack in TREES[name][1].values()):
            return
        packed = self.pack_all(name)
        layers = dict(zip(packed, compare.varve(list(packed.values()))))
        self.assertEqual({writer: layer["status"] for writer, layer in layers.items()
                          if layer["status"] != "ok"}, {})
        for writer, layer in layers.items():
            guess, tool = layer["writer"], TREES[name][1][writer].tool
            if guess != "unknown":
                self.assertIn(GUESSES.get(tool), guess.replace("or ", "").split(", "), writer)
            with open(packed[writer], "rb") as file:
                self.assertEqual(compare.differences(layer, ladder.ladder(file.read())), [], writer)
        names = list(layers)
        met = {(a, b): compare.meet(layers[a]["rungs"], layers[b]["rungs"])
               for i, a in enumerate(names) for b in names[:i]}
        target = EXPECTED / (name + ".txt")
        if self.update:
            self.assertEqual(absent, set(), "tables are written with all writers")
            target.write_text(table(names, met))
        expected = read_table(target.read_text())
        self.assertGreater(len(met), 0)
        if not self.only and not absent:
            self.assertEqual(met.keys(), expected.keys())
        wrong = {pair: (rung, expected.get(pair)) for pair, rung in met.items()
                 if expected.get(pair) != rung}
        self.assertEqual(wrong, {}, "(found, expected)")

        if not self.only:
            self.check_normalized(name, packed, layers)

    def check_normalized(self, name, packed, layers):
        env = {word: value for word, value in os.environ.items() if word != "SOURCE_DATE_EPOCH"}
        same = other = 0
        for strength in STRENGTHS:
            written = {}
            for writer, path in packed.items():
                out = self.work / ("%s-%s-%s.normal" % (name, writer, strength))
                harness.run(harness.VARVE, "normalize", path, "-o", out, "--rung=" + strength, env=env)
                written[writer] = out.read_bytes()
            for left, right in itertools.combinations(written, 2):
                codes = {finding["code"] for writer in (left, right)
                         for finding in layers[writer]["findings"]}
                # Links that disagree with their file get its attributes from `order` on.
                if "hardlink.meta" in codes and strength != "encoding":
                    continue
                meet = layers[left]["rungs"][strength] == layers[right]["rungs"][strength]
                self.assertEqual(written[left] == written[right], meet, (left, right, strength))
                same += meet
                other += not meet
            for data in set(written.values()):
                self.judge(name, data)
        print("%s: normalised, %d pairs equal, %d not" % (name, same, other))
        self.assertGreater(same, 0)

    def judge(self, name, data):
        """Whether others read a normalised archive as the tree it was made of."""
        target = self.work / "judged.tar"
        target.write_bytes(data)
        root = self.work / name
        files = {path: hashlib.sha256((root / path).read_bytes()).hexdigest()
                 for path in listing(root)
                 if (root / path).is_file() and not (root / path).is_symlink()}
        found = {"python3": read_python(target)}
        for tool, command in (("tar", ["tar", "--warning=no-timestamp", "-xf"]), ("bsdtar", ["bsdtar", "-xf"])):
            if installed(tool):
                found[tool] = read_extracted(self.work / "unpacked", command, target)
        if installed("go"):
            found["go"] = read_go(self.work, target)
        # Whoever packs can leave something out (node-tar does); nobody adds.
        paths = set(found["python3"])
        self.assertLessEqual(len(set(listing(root)) - paths), 1)
        for reader, entries in found.items():
            self.assertEqual(set(entries), paths, reader)
            self.assertEqual({path: entries[path] for path in files if path in paths},
                             {path: digest for path, digest in files.items() if path in paths}, reader)

    def test_plain(self):
        # Some writers give the owner's name, some none: without one the table would be another.
        try:
            MINE["USER"] = pwd.getpwuid(os.getuid()).pw_name
            grp.getgrgid(os.getgid())
        except KeyError:
            self.skipTest("who runs this has no name")
        self.check("plain")

    def test_hard(self):
        self.check("hard")

    def test_fractional(self):
        self.check("fractional")

    def test_attributed(self):
        probe = self.work / "probe"
        probe.write_bytes(b"")
        try:
            os.setxattr(probe, "user.probe", b"1")
        except OSError:
            self.skipTest("no extended attributes here")
        self.check("attributed")


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        Writers.update = True
        EXPECTED.mkdir(exist_ok=True)
    elif sys.argv[1:2] == ["--of"]:
        Writers.only = sys.argv[2]
        if not installed(Writers.only):
            harness.skip("not installed: " + Writers.only)
        # A program whose name is not in the tables would test nothing.
        assert any(pack.tool == Writers.only for pack in PLAIN.values()), Writers.only
    harness.need_tools("tar")
    del sys.argv[1:]
    harness.main()
    if absent:
        print("SKIPPED the rows of writers that are not installed:", ", ".join(sorted(absent)))
