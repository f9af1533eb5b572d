# SPDX-License-Identifier: Apache-2.0
"""What the tests of sources share: scanning any source, and layers and layouts to make stores of."""

import gzip
import hashlib
import io
import json
import pathlib
import shutil
import sys
import tarfile

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "oci")]
import harness

import oci

GZIP = oci.LAYER + "+gzip"


def tar_of(files):
    """A small archive: a dict of names and contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


BASE = tar_of({"etc/base": b"base\n" * 1000})
TOP = tar_of({"opt/top": b"top\n" * 2000})
OTHER = tar_of({"srv/other": b"other\n" * 3000})


def packed(tar):
    return gzip.compress(tar, mtime=0)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def small_layout(folder):
    """Two tags: app:1 of one layer, app:2 of two."""
    layout = oci.Layout(folder)
    base = layout.put(packed(BASE), GZIP), sha256(BASE)
    top = layout.put(packed(TOP), GZIP), sha256(TOP)
    layout.tag("1", layout.image([base]))
    layout.tag("2", layout.image([base, top]))
    return layout


class StoreCase(harness.Case):
    """Scans, and what is asked of them again and again."""

    def lines(self, *sources, expect=0, options=(), command="scan"):
        if command == "scan":
            options = ["--rungs=diffid", *options]
        out = harness.run(harness.VARVE, command, "--json", *options, *sources, expect=expect,
                          timeout=120)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual((lines[0]["type"], lines[-1]["type"]), ("scan", "summary"))
        self.assertEqual(lines[-1]["exit_code"], expect)
        return lines

    def scan(self, *sources, expect=0, options=()):
        """The lines by type; the layers that nothing refers to are "rest"."""
        lines = self.lines(*sources, expect=expect, options=options)
        found = {kind: [line for line in lines if line["type"] == kind]
                 for kind in ("layer", "image", "error", "note", "summary")}
        self.assertEqual(sum(map(len, found.values())), len(lines) - 1)
        found["rest"] = [line for line in found["layer"] if not line.get("referenced", True)]
        found["layer"] = [line for line in found["layer"] if line.get("referenced", True)]
        found["summary"] = found["summary"][0]
        self.assertEqual(found["summary"]["errors"], len(found["error"]))
        return found

    def refs(self, found):
        """Every image: reference, manifest, its layers' digests."""
        return sorted((line.get("ref"), line["digest"],
                       tuple(layer["digest"] for layer in line["layers"]))
                      for line in found["image"])

    def codes(self, found, kind="error"):
        return sorted(line["code"] for line in found[kind])

    def all_well(self, found):
        for line in found["layer"] + found["rest"] + found["image"]:
            self.assertEqual(line["status"], "ok", line)
            self.assertNotIn("mismatch", line.get("checks", {}).values())
        self.assertEqual(found["error"], [])

    def blobs_are(self, found, paths):
        """Every blob named by its digest is the file it should be, by another program's hash."""
        for line in found["layer"] + found["rest"]:
            path = paths[line["name"]]
            with open(path, "rb") as file:
                digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            self.assertEqual(line["rungs"]["blob"], digest)
            self.assertEqual(line["bytes_stored"], pathlib.Path(path).stat().st_size)


def copy(source, target):
    shutil.copytree(source, target, symlinks=True)
    return target
