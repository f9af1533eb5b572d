# SPDX-License-Identifier: Apache-2.0
"""Scans OCI layouts and judges every digest by other programs: sha256sum, gzip and zstd. The layout is
walked a second time here, in Python, so that nothing is believed because varve said it."""

import json
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness
from harness import run

import oci

MAGIC = {b"\x1f\x8b": ("gzip", ["gzip", "-dc"]), b"\x28\xb5": ("zstd", ["zstd", "-dcq"])}


def real_tree(folder, *packages, most_bytes=8 << 20):
    """Copies the files of installed packages (dpkg's lists; /usr/include where there is no dpkg),
    with modes, times and links, up to so many bytes."""
    paths = []
    if shutil.which("dpkg-query"):
        for package in packages:
            done = subprocess.run(["dpkg-query", "-L", package], stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.DEVNULL, check=False)
            paths += done.stdout.splitlines()
    if not paths:
        paths = [str(path) for path in sorted(pathlib.Path("/usr/include").rglob("*"))]
    left = most_bytes
    for path in map(pathlib.Path, paths):
        target = folder / str(path).lstrip("/")
        # /bin and the like are folders to packages, and links on today's machines.
        if path.is_symlink() and not (path.parent == pathlib.Path("/") and path.is_dir()):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.readlink())
        elif path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path.is_file() and path.stat().st_size <= left:
            left -= path.stat().st_size
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    if left == most_bytes:
        harness.skip("no files of installed packages to make layers of")
    return folder


def sha256sum(path):
    return "sha256:" + run("sha256sum", "--", path).split()[0].decode().lstrip("\\")


def blob_of(layout, digest):
    return layout / "blobs" / digest.replace(":", "/")


def walk(layout):
    """Every image of a layout: (tag, platform, manifest's digest, manifest, config)."""
    def follow(document, tag):
        for descriptor in document["manifests"]:
            name = tag or descriptor.get("annotations", {}).get(oci.REF_NAME)
            inner = json.loads(blob_of(layout, descriptor["digest"]).read_bytes())
            if "manifests" in inner:
                yield from follow(inner, name)
            else:
                config = json.loads(blob_of(layout, inner["config"]["digest"]).read_bytes())
                platform = "/".join([config["os"], config["architecture"]])
                yield name, platform, descriptor["digest"], inner, config
    yield from follow(json.loads((layout / "index.json").read_bytes()), None)


def unreferenced(layout):
    """Names of the blobs that nothing in a layout leads to."""
    def follow(document):
        for descriptor in document["manifests"]:
            yield descriptor["digest"]
            inner = json.loads(blob_of(layout, descriptor["digest"]).read_bytes())
            if "manifests" in inner:
                yield from follow(inner)
            else:
                yield inner["config"]["digest"]
                yield from (layer["digest"] for layer in inner["layers"])
    there = {f"{path.parent.name}:{path.name}" for path in (layout / "blobs").glob("*/*")}
    return there - set(follow(json.loads((layout / "index.json").read_bytes())))


class ScanCase(harness.Case):
    """Scans and judgements."""

    def scan_bytes(self, layout, *options, expect=0):
        return run(harness.VARVE, "scan", "--json", *options, f"oci:{layout}", expect=expect)

    def scan(self, layout, *options, expect=0):
        """The lines of a scan by type; checks what holds for every scan: scan line first, summary
        last, nothing else than JSON, no error lines. Blobs that nothing refers to are "rest"."""
        lines = [json.loads(line) for line in
                 self.scan_bytes(layout, *options, expect=expect).splitlines()]
        self.assertEqual(lines[0]["type"], "scan")
        self.assertEqual(lines[-1]["type"], "summary")
        by_type = {kind: [line for line in lines if line["type"] == kind]
                   for kind in ("scan", "layer", "image", "error", "summary")}
        self.assertEqual(sum(map(len, by_type.values())), len(lines))
        by_type["rest"] = [line for line in by_type["layer"] if not line.get("referenced", True)]
        by_type["layer"] = [line for line in by_type["layer"] if line.get("referenced", True)]
        self.assertEqual({line["v"] for line in lines}, {1})
        for kind in ("scan", "summary"):
            self.assertEqual(len(by_type[kind]), 1)
        self.assertEqual(by_type["error"], [])
        self.assertEqual(sorted(line["name"] for line in by_type["rest"]),
                         sorted(unreferenced(layout)))
        for line in by_type["rest"]:
            self.assertEqual((line["status"], line["rungs"]["blob"]),
                             ("ok", sha256sum(blob_of(layout, line["name"]))))
        return by_type

    def truth(self, path):
        """What other programs say of a blob: (format, sha256, decoded bytes, sha256 of those)."""
        with open(path, "rb") as file:
            kind, command = MAGIC.get(file.read(2), ("tar", ["cat"]))
        harness.need_tools(command[0])
        plain = self.work / "decoded"
        with open(path, "rb") as source, open(plain, "wb") as target:
            run(*command, stdin=source, stdout=target)
        return kind, sha256sum(path), plain.stat().st_size, sha256sum(plain)

    def judge_layer(self, line, path):
        """A layer's line against its blob, read by others. Checks are not judged here."""
        kind, stored, decoded_bytes, decoded = self.truth(path)
        self.assertEqual(
            (line["format"], line["bytes_stored"], line["bytes_decoded"], line["rungs"]["blob"],
             line["rungs"]["diffid"]),
            (kind, path.stat().st_size, decoded_bytes, stored, decoded), line["name"])

    def judge(self, layout):
        """Scans a layout that has no faults: every layer once, every image, every digest right."""
        seen = self.scan(layout)
        images = list(walk(layout))
        blobs = {layer["digest"] for image in images for layer in image[3]["layers"]}
        self.assertEqual(sorted(line["name"] for line in seen["layer"]), sorted(blobs))
        for line in seen["layer"]:
            self.assertEqual(line["status"], "ok", line)
            self.assertEqual({line["checks"][name] for name in ("name", "size", "diffid")}, {"ok"})
            self.judge_layer(line, blob_of(layout, line["name"]))
        known = blobs | {image[2] for image in images} | {
            image[3]["config"]["digest"] for image in images}
        for line in seen["rest"]:
            self.assertEqual(line["checks"]["name"], "ok")
            self.assertEqual(line["rungs"]["blob"], sha256sum(blob_of(layout, line["name"])))
            self.assertNotIn(line["name"], known)
        found = {(line["ref"], line["platform"], line["digest"]) for line in seen["image"]}
        self.assertEqual(found, {image[:3] for image in images})
        self.assertEqual(len(seen["image"]), len(images))
        for line in seen["image"]:
            manifest, config = next(image[3:] for image in images if image[2] == line["digest"])
            self.assertEqual(line["status"], "ok", line)
            self.assertEqual(
                [(layer["digest"], layer["size"], layer["media_type"], layer["diffid"])
                 for layer in line["layers"]],
                [(layer["digest"], layer["size"], layer["mediaType"], diffid)
                 for layer, diffid in zip(manifest["layers"], config["rootfs"]["diff_ids"])])
            for layer in line["layers"]:
                self.assertNotIn("mismatch", layer["checks"].values())
        return seen

    def judge_threads(self, layout, expect=0):
        """One thread and two say the same, byte by byte, but for the run's own figures."""
        one, two = (self.scan_bytes(layout, "--threads", count, expect=expect).splitlines()
                    for count in ("1", "2"))
        self.assertEqual(one[:-1], two[:-1])
        ends = [json.loads(lines[-1]) for lines in (one, two)]
        for end in ends:
            del end["run"]
        self.assertEqual(*ends)
