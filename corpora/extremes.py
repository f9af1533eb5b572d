# SPDX-License-Identifier: Apache-2.0
"""The two ends of what a mirror can hold: very many small layers, or a single large one.

    extremes.py small FOLDER [--layers N] [--seed N]
    extremes.py large FOLDER [--bytes N] [--seed N]

small makes FOLDER an OCI image layout of layers of a few KiB each, as `COPY settings.conf /etc/` makes
them: one to four entries, text cut from this machine's own documents, gzip -6. large makes FOLDER/gzip and
FOLDER/zstd, layouts of one and the same layer, which holds the files of installed packages, over again
where they do not suffice. On the same machine the same seed gives the same mirror, byte for byte.
"""

import argparse
import io
import json
import multiprocessing
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile

import oci
import packages

LAYERS_PER_IMAGE = 20
TEXT_BYTES = 4 << 20
PLACES = ["etc/app", "usr/share/doc/app", "opt/app/lib", "var/lib/app"]


def documents():
    """Some MiB of real text: the copyright files and change logs of this machine."""
    text = bytearray()
    for path in sorted(pathlib.Path("/usr/share/doc").glob("*/copyright")):
        text += path.read_bytes()
        if len(text) >= TEXT_BYTES:
            break
    return bytes(text)


def small_tar(number, seed, text):
    rng = random.Random(f"{seed}/{number}")
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.GNU_FORMAT, bufsize=512) as tar:
        place = rng.choice(PLACES)
        for entry in range(rng.randrange(1, 5)):
            info = tarfile.TarInfo(f"{place}/{number}-{entry}.conf")
            info.size = rng.randrange(20, 3000)
            info.mtime = 1_700_000_000 + rng.randrange(10_000_000)
            start = rng.randrange(len(text) - info.size)
            tar.addfile(info, io.BytesIO(text[start:start + info.size]))
        end = tar.offset + 2 * tarfile.BLOCKSIZE  # as Go ends an archive: not filled up to 10 KiB
    return memory.getvalue()[:end]


def make_small(job):
    number, seed, text, folder = job
    tar = small_tar(number, seed, text)
    stored = packages.gzip_bytes(tar)
    digest = oci.digest_of(stored)
    (folder / digest.partition(":")[2]).write_bytes(stored)
    return ({"mediaType": f"{oci.LAYER}+gzip", "digest": digest, "size": len(stored)},
            oci.digest_of(tar), len(tar))


def small(options):
    layout = oci.Layout(options.folder)
    blobs = options.folder / "blobs" / "sha256"
    blobs.mkdir()
    text = documents()
    jobs = ((number, options.seed, text, blobs) for number in range(options.layers))
    layers, decoded = [], 0
    with multiprocessing.Pool() as pool:
        for descriptor, diffid, size in pool.imap(make_small, jobs, chunksize=16):
            layers.append((descriptor, diffid))
            decoded += size
    images = [layout.image(layers[first:first + LAYERS_PER_IMAGE])
              for first in range(0, len(layers), LAYERS_PER_IMAGE)]
    layout.top = [{**image, "annotations": {oci.REF_NAME: f"image{number}"}}
                  for number, image in enumerate(images[1:], 1)]
    layout.tag("image0", images[0])
    stored = sum(layer["size"] for layer, _ in layers)
    print(f"{len(layers)} layers, {decoded} bytes decoded, {stored} as gzip")


def write_large(out, wanted, seed):
    """A tar of at least `wanted` bytes; nothing is kept of it here."""
    names = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\n"], check=True,
                           stdout=subprocess.PIPE, text=True).stdout.split()
    names = sorted(set(names))
    random.Random(seed).shuffle(names)
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        copy = 0
        while tar.offset < wanted:
            before = tar.offset
            for name in names:
                packages.add_package(tar, name, f"copy{copy}" if copy else "")
                if tar.offset >= wanted:
                    break
            if tar.offset == before:
                sys.exit("no package of this machine has a file that can be read")
            copy += 1


def large(options):
    """The tar goes through both compressors at once, so that it never lies anywhere."""
    part = options.folder / "part"
    part.mkdir(parents=True)
    commands = {"gzip": ["gzip", "-6", "-n"], "zstd": ["zstd", "-q", "-3"]}
    branches = " ".join(f">({' '.join(words)} > '{part}/{kind}')"
                        for kind, words in commands.items())
    script = f"tee {branches} | sha256sum"
    with subprocess.Popen(["bash", "-c", f"set -e; {script}; wait"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        write_large(process.stdin, options.bytes, options.seed)
        process.stdin.close()
        diffid = "sha256:" + process.stdout.read().split()[0].decode()
    if process.returncode:
        sys.exit("the compressors failed")
    for kind in commands:
        layout = oci.Layout(options.folder / kind)
        digest = subprocess.run(["sha256sum", part / kind], check=True,
                                stdout=subprocess.PIPE).stdout.split()[0].decode()
        path = layout.path(f"sha256:{digest}")
        path.parent.mkdir()
        shutil.move(part / kind, path)
        layer = {"mediaType": f"{oci.LAYER}+{kind}", "digest": f"sha256:{digest}",
                 "size": path.stat().st_size}
        layout.tag("large", layout.image([(layer, diffid)]))
        print(f"{kind}: {json.dumps(layer)}")
    part.rmdir()


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    for command, option, default in ((small, "--layers", 100_000), (large, "--bytes", 2 << 30)):
        sub = commands.add_parser(command.__name__)
        sub.add_argument("folder", type=pathlib.Path)
        sub.add_argument(option, type=int, default=default)
        sub.add_argument("--seed", type=int, default=1)
        sub.set_defaults(command=command)
    options = parser.parse_args()
    options.command(options)


if __name__ == "__main__":
    main()
