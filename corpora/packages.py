# SPDX-License-Identifier: Apache-2.0
"""A large mirror with real content: one layer per installed Debian package.

    packages.py FOLDER [--layers N] [--bytes N] [--seed N]

makes FOLDER/gzip and FOLDER/zstd, two OCI image layouts of the same layers (gzip -6 and zstd -3), and
prints what they hold. The packages are drawn by a seeded shuffle until there are at least so many layers
and decoded bytes; on the same machine the same seed gives the same mirror, byte for byte.
"""

import argparse
import io
import multiprocessing
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import zlib

import oci

# Beyond this a package is passed over: the mirror shall have many layers, not one.
MOST_LAYER_BYTES = 200 << 20
LAYERS_PER_IMAGE = 8


def package_files(package):
    out = subprocess.run(["dpkg-query", "-L", package], check=True, stdout=subprocess.PIPE).stdout
    return sorted(set(os.fsdecode(out).splitlines()) - {"/."})


def add_package(tar, package, prefix=""):
    """Its files as they are installed. False: they have too many bytes, or too many yet to come."""
    begun = tar.offset
    for path in package_files(package):
        try:
            info = tar.gettarinfo(path, prefix + path)
            if info is None:
                continue
            if tar.offset - begun + info.size > MOST_LAYER_BYTES:
                return False
            if not info.isreg():
                tar.addfile(info)
                continue
            with open(path, "rb") as content:
                tar.addfile(info, content)
        except OSError:
            continue  # diverted, removed, or not for us to read
    return True


def package_tar(package):
    """Its files, in GNU tar's format; empty where it has too many bytes."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.GNU_FORMAT) as tar:
        if not add_package(tar, package):
            return b""
    return memory.getvalue()


def gzip_bytes(data):
    """What `gzip -6 -n` makes: zlib's stream between a bare header and its trailer (RFC 1952)."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15, 8)
    body = deflate.compress(data) + deflate.flush()
    return (b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + body + zlib.crc32(data).to_bytes(4, "little")
            + (len(data) & 0xffffffff).to_bytes(4, "little"))


def make_layer(package):
    tar = package_tar(package)
    if not tar:
        return package, None
    zstd = subprocess.run(["zstd", "-q", "-3", "-c"], input=tar, check=True,
                          stdout=subprocess.PIPE).stdout
    return package, (len(tar), oci.digest_of(tar), gzip_bytes(tar), zstd)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=300)
    parser.add_argument("--bytes", type=int, default=1 << 30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    names = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\n"], check=True,
                           stdout=subprocess.PIPE, text=True).stdout.split()
    names = sorted(set(names))
    random.Random(options.seed).shuffle(names)
    layouts = {kind: oci.Layout(options.folder / kind) for kind in ("gzip", "zstd")}
    layers = {kind: [] for kind in layouts}
    decoded = 0
    with multiprocessing.Pool() as pool:
        for _, made in pool.imap(make_layer, names):
            if made is None:
                continue
            size, diffid, gzip, zstd = made
            decoded += size
            for kind, data in (("gzip", gzip), ("zstd", zstd)):
                layers[kind].append((layouts[kind].put(data, f"{oci.LAYER}+{kind}"), diffid))
            if len(layers["gzip"]) >= options.layers and decoded >= options.bytes:
                pool.terminate()
                break
    if len(layers["gzip"]) < options.layers or decoded < options.bytes:
        print("note: this machine has not packages enough for what was asked", file=sys.stderr)
    for kind, layout in layouts.items():
        for first in range(0, len(layers[kind]), LAYERS_PER_IMAGE):
            layout.tag(f"image{first // LAYERS_PER_IMAGE}",
                       layout.image(layers[kind][first:first + LAYERS_PER_IMAGE]))
    stored = {kind: sum(layer["size"] for layer, _ in layers[kind]) for kind in layers}
    print(f"{len(layers['gzip'])} layers, {decoded} bytes decoded, "
          f"{stored['gzip']} as gzip, {stored['zstd']} as zstd")


if __name__ == "__main__":
    main()
