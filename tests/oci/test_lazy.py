# SPDX-License-Identifier: Apache-2.0
"""Layers for lazy pulling by the programs that make them: eStargz and zstd:chunked by stargz-snapshotter
(ctr-remote, on a containerd of the test's own), zstd:chunked by skopeo. Their tables agree with their tars;
each lie put into one is found by its name. What is missing is skipped aloud."""

import gzip
import io
import json
import os
import shutil
import struct
import subprocess
import tarfile
import time
import unittest

import judge
import makers
import harness

import oci

CONTAINERD = """version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [{disabled}]
[grpc]
address = "{folder}/grpc"
[ttrpc]
address = "{folder}/ttrpc"
"""
DISABLED = ["cri", "snapshotter.v1.btrfs", "snapshotter.v1.zfs", "snapshotter.v1.devmapper",
            "snapshotter.v1.aufs"]


def layers(layout):
    """The layers' blobs of a layout, by what their manifests say."""
    blobs = layout / "blobs" / "sha256"
    for path in sorted(blobs.iterdir()):
        if path.stat().st_size > 1 << 20 or path.read_bytes()[:1] != b"{":
            continue
        for layer in json.loads(path.read_bytes()).get("layers", ()):
            yield blobs / layer["digest"].partition(":")[2]


def digest(path, expect=0):
    for line in harness.run(harness.VARVE, "digest", "--json", path, expect=expect).splitlines():
        found = json.loads(line)
        if found["type"] == "layer":
            return found
    raise AssertionError("no layer line")


def table_findings(found):
    return [f["code"] for f in found["findings"] if f["code"].startswith("toc.")]


def first_file(table):
    return next(e for e in table["entries"] if e["type"] == "reg" and e.get("size"))


def lie_size(table):
    first_file(table)["size"] += 1


def lie_digest(table):
    first_file(table)["digest"] = "sha256:" + "0" * 64


def lie_mode(table):
    entry = first_file(table)
    entry["mode"] = entry.get("mode", 0) ^ 0o4000


def lie_hide(table):
    name = first_file(table)["name"]
    table["entries"] = [e for e in table["entries"] if e["name"] != name]


def lie_invent(table):
    table["entries"].append(dict(first_file(table), name="etc/invented"))


LIES = {"toc.size": lie_size, "toc.digest": lie_digest, "toc.mode": lie_mode,
        "toc.missing": lie_hide, "toc.extra": lie_invent}


def rewrite_estargz(blob, change):
    """Another table in an eStargz blob: it is the tar entry in the member before the footer."""
    footer = blob[-51:]
    offset = int(footer[16:32], 16)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob[offset:-51]))) as old:
        member = old.getmembers()[0]
        table = json.load(old.extractfile(member))
    change(table)
    text = json.dumps(table).encode()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as new:
        member.size = len(text)
        new.addfile(member, io.BytesIO(text))
    return blob[:offset] + gzip.compress(tar.getvalue()) + footer


def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


def frame(content):
    return struct.pack("<II", 0x184d2a50, len(content)) + content


def rewrite_chunked(blob, change):
    """Another table in a zstd:chunked blob: a skippable frame that the footer's frame points to."""
    size = 72 if blob[-72:-64] == struct.pack("<II", 0x184d2a50, 64) else 48
    footer = bytearray(blob[8 - size:])
    offset, stored = struct.unpack_from("<QQ", footer)
    table = json.loads(zstd(blob[offset:offset + stored], "-d"))
    change(table)
    text = json.dumps(table).encode()
    packed = zstd(text)
    struct.pack_into("<QQ", footer, 8, len(packed), len(text))
    return blob[:offset - 8] + frame(packed) + blob[offset + stored:-size] + frame(bytes(footer))


class Lazy(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tree = cls.work / "tree"
        judge.real_tree(tree, *makers.PACKAGES[0], most_bytes=2 << 20)
        plain = harness.run("tar", "-c", "-C", tree, ".")
        layout = oci.Layout(cls.work / "layout")
        layer = layout.put(gzip.compress(plain), oci.LAYER + "+gzip")
        layout.tag("t0", layout.image([(layer, oci.digest_of(plain))]))
        cls.layout = layout.folder

    def judge(self, layout, kind, rewrite):
        paths = list(layers(layout))
        self.assertTrue(paths)
        lied = self.work / "lied"
        for path in paths:
            honest = digest(path)
            self.assertEqual(honest.get("toc"), kind)
            self.assertEqual(table_findings(honest), [])
            self.assertEqual(honest["status"], "ok")
        blob = paths[-1].read_bytes()
        lied.write_bytes(rewrite(blob, lambda table: None))
        self.assertEqual(table_findings(digest(lied)), [])
        for code, change in LIES.items():
            with self.subTest(code):
                lied.write_bytes(rewrite(blob, change))
                found = digest(lied, expect=1)
                self.assertEqual(table_findings(found), [code])
                self.assertEqual(found["status"], "mismatch")
                self.assertEqual(found["error"]["code"], code)
                self.assertIn("content", found["rungs"])

    @unittest.skipUnless(shutil.which("skopeo"), "skopeo is not installed")
    def test_skopeo_chunked(self):
        layout = self.work / "chunked"
        try:
            harness.run("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-compress-format",
                        "zstd:chunked", f"oci:{self.layout}:t0", f"oci:{layout}:t0", timeout=60)
        except subprocess.TimeoutExpired:
            self.skipTest("skopeo hangs while it makes zstd:chunked, as 1.9 does on some layers")
        self.judge(layout, "zstd:chunked", rewrite_chunked)

    @unittest.skipUnless(shutil.which("ctr-remote") and shutil.which("containerd"),
                         "stargz-snapshotter or containerd is not installed")
    def test_stargz_snapshotter(self):
        folder = self.work / "containerd"
        folder.mkdir()
        names = ", ".join(f'"io.containerd.{"grpc.v1." if name == "cri" else ""}{name}"'
                          for name in DISABLED)
        (folder / "config").write_text(CONTAINERD.format(folder=folder, disabled=names))
        with open(folder / "log", "wb") as log:
            daemon = subprocess.Popen(["containerd", "-c", folder / "config"], stdout=log,
                                      stderr=log)
        try:
            self.judge_containerd(folder)
        finally:
            daemon.terminate()
            daemon.wait(30)

    def judge_containerd(self, folder):
        for _ in range(100):
            if os.path.exists(folder / "grpc"):
                break
            time.sleep(0.2)
        else:
            self.skipTest("containerd does not start here: "
                          + (folder / "log").read_text(errors="replace")[-300:])

        def ctr(*words):
            return harness.run("ctr-remote", "--address", folder / "grpc", "images", *words,
                               timeout=120)

        archive = self.work / "image.tar"
        harness.run("tar", "-cf", archive, "-C", self.layout, ".")
        ctr("import", "--no-unpack", "--base-name", "image", archive)
        for option, kind, rewrite in (("--estargz", "estargz", rewrite_estargz),
                                      ("--zstdchunked", "zstd:chunked", rewrite_chunked)):
            with self.subTest(kind):
                ctr("convert", option, "--oci", "--all-platforms", "image:t0", f"image:{kind[:4]}")
                ctr("export", "--all-platforms", archive, f"image:{kind[:4]}")
                layout = self.work / kind[:4]
                layout.mkdir()
                harness.run("tar", "-xf", archive, "-C", layout)
                self.judge(layout, kind, rewrite)


if __name__ == "__main__":
    harness.need_tools("tar", "zstd")
    harness.main()
