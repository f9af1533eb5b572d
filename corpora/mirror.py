# SPDX-License-Identifier: Apache-2.0
"""The demonstration: a mirror of images made of this machine's own files by real writers, with three
faults planted, and what varve finds in it in words.

    mirror.py FOLDER                  makes FOLDER/mirror, an OCI image layout
    mirror.py --explain VARVE FOLDER  scans it; ends with 0 when what was planted is what was found
"""

import collections
import glob
import gzip
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

import oci

GZIP = oci.LAYER + "+gzip"
ZSTD = oci.LAYER + "+zstd"
# What the trees are made of, and how much of it at most.
TREES = {
    "settings": (["/etc"], 4 << 20),
    "headers": (["/usr/include"], 12 << 20),
    "python": (sorted(glob.glob("/usr/lib/python3*")), 12 << 20),
    "documents": (["/usr/share/doc"], 12 << 20),
}
EPOCH = 1_700_000_000


def copy_tree(target, sources, most_bytes):
    """Copies files, links and folders that anyone may read, up to so many bytes. Owners become the
    caller's; times lose their fractions, which only some writers keep."""
    left = most_bytes
    for source in sources:
        for folder, folders, files in os.walk(source):
            folders.sort()
            here = target / folder.lstrip("/")
            here.mkdir(parents=True, exist_ok=True)
            for name in sorted(files):
                path = pathlib.Path(folder, name)
                status = path.lstat()
                if path.is_symlink():
                    (here / name).symlink_to(path.readlink())
                elif path.is_file() and status.st_mode & 0o004 and status.st_size <= left:
                    left -= status.st_size
                    shutil.copy2(path, here / name)
    for path in [target, *target.rglob("*")]:
        seconds = EPOCH if path.is_dir() else int(path.lstat().st_mtime)
        os.utime(path, (seconds, seconds), follow_symlinks=False)
    return target


def output(*words, **options):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, **options).stdout


def gnu_tar(tree, *options):
    return output("tar", "-C", tree, "--sort=name", "-cf", "-", *(options or ["--format=gnu"]), ".")


def bsdtar(tree):
    # A list in GNU tar's order: the folders themselves are read in any order.
    names = [str(path) for path in sorted(path.relative_to(tree) for path in tree.rglob("*"))]
    return output("bsdtar", "-C", tree, "--format=pax", "--no-recursion", "--null", "-T", "-",
                  "-cf", "-", input="".join(f"./{name}\0" for name in ["", *names]).encode())


def python_tar(tree):
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(tree, arcname=".")
    return memory.getvalue()


def busybox_tar(tree):
    return output("busybox", "tar", "-C", tree, "-cf", "-", ".")


def hello(mode_field):
    """An archive of one small program, as in the report that started all this: with the file type
    in the mode field, and without."""
    header = tarfile.TarInfo("hello")
    header.size, header.mode, header.mtime = 13256, 0o775, EPOCH
    block = bytearray(header.tobuf(tarfile.USTAR_FORMAT)[:512])
    block[100:108] = mode_field
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(i % 251 for i in range(13256)).ljust(13312, b"\0") + bytes(1024)


class Mirror:
    """The layout, and the book of what each blob in it is."""

    def __init__(self, folder):
        self.layout = oci.Layout(folder / "mirror")
        self.made = {}

    def layer(self, what, tar, encoder="gzip"):
        """Stores an archive, encoded; its descriptor and diffid."""
        kind, encode = {
            "gzip": (GZIP, lambda: output("gzip", "-n", input=tar)),
            "gzip -9": (GZIP, lambda: output("gzip", "-n", "-9", input=tar)),
            "pigz": (GZIP, lambda: output("pigz", "-n", "-p", "2", input=tar)),
            "Python's gzip": (GZIP, lambda: gzip.compress(tar, 6, mtime=0)),
            "zstd": (ZSTD, lambda: output("zstd", "-q", "-c", input=tar)),
            "nothing": (oci.LAYER, lambda: tar),
        }[encoder]
        descriptor = self.layout.put(encode(), kind)
        self.made[descriptor["digest"]] = what + (", " + encoder if encoder != "nothing" else
                                                  ", not compressed")
        return descriptor, oci.digest_of(tar)


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    trees = {name: copy_tree(folder / "trees" / name, *plan) for name, plan in TREES.items()}
    mirror = Mirror(folder)
    layer, layout = mirror.layer, mirror.layout
    archives = {name: gnu_tar(tree) for name, tree in trees.items()}
    settings = layer("settings by GNU tar", archives["settings"])
    headers = layer("headers by GNU tar", archives["headers"])
    python = layer("python by GNU tar", archives["python"])
    documents = layer("documents by GNU tar", archives["documents"], "zstd")

    # Images that share layers.
    layout.tag("base:1", layout.image([settings]))
    layout.tag("build:1", layout.image([settings, headers]))
    layout.tag("python:1", layout.index([
        layout.image([settings, python]),
        layout.image([settings, python, documents], architecture="arm64")]))

    # The same trees once more, by others.
    layout.tag("base:2", layout.image([
        layer("settings by GNU tar", archives["settings"], "gzip -9")]))
    layout.tag("base:3", layout.image([
        layer("settings by GNU tar, pax headers", gnu_tar(trees["settings"], "--format=pax"),
              "pigz")]))
    layout.tag("base:4", layout.image([
        layer("settings by GNU tar, owned by 1000", gnu_tar(
            trees["settings"], "--format=gnu", "--owner=:1000", "--group=:1000"))]))
    layout.tag("base:5", layout.image([
        layer("settings by GNU tar, owned by nobody but in name", gnu_tar(
            trees["settings"], "--format=gnu", "--owner=nobody:0", "--group=nobody:0"))]))
    layout.tag("build:2", layout.image([
        settings, layer("headers by bsdtar", bsdtar(trees["headers"]), "zstd")]))
    layout.tag("build:3", layout.image([
        settings, layer("headers by Python", python_tar(trees["headers"]), "Python's gzip")]))
    layout.tag("build:4", layout.image([
        settings, layer("headers by busybox", busybox_tar(trees["headers"]), "nothing")]))
    layout.tag("build:5", layout.image([
        settings, layer("headers by GNU tar, times set to one",
                        gnu_tar(trees["headers"], "--format=gnu", f"--mtime=@{EPOCH}"))]))
    layout.tag("hello:1", layout.image([
        layer("hello with its file type in the mode", hello(b"0100775\0"))]))
    layout.tag("hello:2", layout.image([layer("hello", hello(b"0000775\0"))]))

    # Three faults, each in a layer that no other image has.
    flipped = layer("settings and one byte flipped", gnu_tar(trees["settings"], "--format=ustar"))
    path = layout.path(flipped[0]["digest"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x20
    path.write_bytes(data)
    layout.tag("flipped:1", layout.image([flipped]))
    misnamed = layer("documents and a wrong diff_id", archives["documents"], "pigz")
    layout.tag("diffid:1", layout.image([(misnamed[0], oci.digest_of(b"another layer"))]))
    missized = layer("python and a wrong size", archives["python"], "zstd")
    missized[0]["size"] += 1
    layout.tag("size:1", layout.image([missized]))
    (folder / "made.json").write_text(json.dumps({
        "made": mirror.made,
        "planted": {flipped[0]["digest"]: "name", misnamed[0]["digest"]: "diffid",
                    missized[0]["digest"]: "size"}}, indent=1))
    shutil.rmtree(folder / "trees")
    blobs = list((folder / "mirror" / "blobs" / "sha256").iterdir())
    print(f"{len(layout.top)} tags, {len(mirror.made)} distinct layers, "
          f"{sum(path.stat().st_size for path in blobs) / 1e6:.1f} MB in {folder / 'mirror'}")


IGNORING = {
    "diffid": "the same archive; compression alone differs",
    "archive": "the same but for how the archive ends",
    "encoding": "the same entries in the same order; how their headers are written differs",
    "order": "the same entries; their order differs",
    "names": "the same but for user and group names",
    "times": "the same but for times, those of access and change among them",
    "content": "the same content",
}


def meetings(layers):
    """Groups of layers that meet, each at the first rung on which they do."""
    for rung, words in IGNORING.items():
        groups = collections.defaultdict(list)
        for line in layers:
            if rung in line["rungs"]:
                groups[line["rungs"][rung]].append(line)
        for group in groups.values():
            if len(group) > 1:
                facets = [line.get("facets", {}) for line in group]
                differ = [name for name in facets[0]
                          if len({one.get(name) for one in facets}) > 1]
                if rung == "content" and differ:
                    words = "the same content; these differ: " + ", ".join(differ)
                yield rung, words, group
        # One of each group goes on, to meet others further down.
        taken = {line["name"] for group in groups.values() for line in group[1:]}
        layers = [line for line in layers if line["name"] not in taken]


def explain(varve, folder):
    source = f"oci:{folder / 'mirror'}"
    book = json.loads((folder / "made.json").read_text())
    made, planted = book["made"], book["planted"]
    print(f"$ varve scan {source}", flush=True)
    seen_by_people = subprocess.run([varve, "scan", source], check=False).returncode
    done = subprocess.run([varve, "scan", "--json", source], check=False, stdout=subprocess.PIPE)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    layers = [line for line in lines if line["type"] == "layer"]

    print("\nWhat meets, and on which rung:")
    for rung, words, group in meetings(layers):
        print(f"  {rung}: {words}")
        for line in group:
            print(f"    {line['name'][:19]}  {made.get(line['name'], '?')}")

    found = {line["name"]: {name for name, check in line["checks"].items() if check == "mismatch"}
             for line in layers if line["status"] != "ok"}
    print("\nWhat is wrong:")
    for name, checks in found.items():
        print(f"  {name[:19]}  {made.get(name, '?')}: {', '.join(sorted(checks)) or '?'}")
    good = (seen_by_people == done.returncode == 1 and set(made) == {line["name"] for line in layers}
            and set(found) == set(planted)
            and all(planted[name] in checks for name, checks in found.items()))
    print("\nThe three planted faults, and nothing else: " + ("found." if good else "NOT FOUND."))
    return 0 if good else 1


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--explain":
        sys.exit(explain(sys.argv[2], pathlib.Path(sys.argv[3])))
    elif len(sys.argv) == 2:
        make(pathlib.Path(sys.argv[1]))
    else:
        sys.exit(__doc__)
