# SPDX-License-Identifier: Apache-2.0
"""Images made by the programs that people make images with."""

import json
import os
import pathlib
import shutil

import harness
from harness import run

import oci

PACKAGES = (("bash", "tar"), ("coreutils",), ("base-files", "login", "dash"))


def umoci_layout(folder, trees):
    """One tag per tree, t0, t1, ...: each has its parent's layers and one more."""
    harness.need_tools("umoci")
    run("umoci", "init", "--layout", folder)
    run("umoci", "new", "--image", f"{folder}:start")
    parent = "start"
    rootless = ["--rootless"] if os.getuid() else []
    for number, tree in enumerate(trees):
        run("umoci", "insert", *rootless, "--image", f"{folder}:{parent}", "--tag", f"t{number}",
            tree, f"/opt/t{number}")
        parent = f"t{number}"
    run("umoci", "rm", "--image", f"{folder}:start")
    run("umoci", "gc", "--layout", folder)
    return folder


def skopeo_copy(source, target, *options):
    harness.need_tools("skopeo")
    run("skopeo", "--insecure-policy", "copy", "--quiet", *options, source, target)


def skopeo_layout(folder, source, tags, *options):
    """Copies tags of a layout into another, recompressed as the options say."""
    for tag in tags:
        skopeo_copy(f"oci:{source}:{tag}", f"oci:{folder}:{tag}", *options)
    return folder


def layout_of_dir(folder, copies):
    """A layout of what skopeo wrote as dir:, whose manifests stay as skopeo wrote them; `copies` is a
    list of (tag, folder)."""
    layout = oci.Layout(folder)
    (folder / "blobs" / "sha256").mkdir()
    for tag, copy in copies:
        for path in copy.iterdir():
            if len(path.name) == 64:
                shutil.copy(path, folder / "blobs" / "sha256" / path.name)
        manifest = (copy / "manifest.json").read_bytes()
        kind = json.loads(manifest).get("mediaType", oci.MANIFEST)
        layout.tag(tag, layout.put(manifest, kind))
    return folder


class CannotWork(Exception):
    """A program that is installed, and that this environment does not let work."""


def buildah_layout(folder, work, trees):
    """One tag per tree, t0, t1, ...; tags have the layers of those before. Uncompressed layers, as
    buildah writes them into a layout unless told otherwise. More trees than one need a place where
    buildah may unpack layers: not so in a chroot that is no mount point."""
    harness.need_tools("buildah")
    policy = pathlib.Path(work) / "policy.json"
    policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    environment = dict(os.environ, BUILDAH_ISOLATION="chroot")
    stores = ["--storage-driver", "vfs", "--root", f"{work}/root", "--runroot", f"{work}/run"]

    def buildah(*words):
        return run("buildah", *stores, *words, env=environment).decode().strip()

    def possible(*words):
        try:
            return buildah(*words)
        except AssertionError as error:
            raise CannotWork(f"buildah cannot work here: {error}") from error

    container = possible("from", "scratch")
    for number, tree in enumerate(trees):
        buildah("copy", "--quiet", container, tree, f"/opt/t{number}")
        commit = ["commit", "--quiet", "--signature-policy", policy, container]
        buildah(*commit, f"oci:{folder}:t{number}")
        if number + 1 < len(trees):
            image = possible(*commit, f"t{number}")
            container = buildah("from", "--signature-policy", policy, image)
    return folder
