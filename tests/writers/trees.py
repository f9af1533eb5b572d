# SPDX-License-Identifier: Apache-2.0
"""One tree, many writers: the trees, the writers, and a test case that packs the ones with the others. What
is to hold of the archives is its subclass's: check(name)."""

import glob
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness

HERE = pathlib.Path(__file__).parent
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


def installed(tool):
    return bool(shutil.which(tool) and (tool != "node" or node_tar()))


def here(pack):
    if not installed(pack.tool):
        absent.add(pack.tool)
    return installed(pack.tool)


class Case(harness.Case):
    """One test for each tree; self.check(name) is given its name."""

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

    def test_plain(self):
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


def main():
    """harness.main(), and aloud what was not there."""
    harness.main()
    if absent:
        print("SKIPPED the rows of writers that are not installed:", ", ".join(sorted(absent)))
