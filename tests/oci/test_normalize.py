# SPDX-License-Identifier: Apache-2.0
"""`varve normalize` of whole layouts made of real files by umoci and skopeo: what comes out is judged by
sha256sum, gzip and zstd, copied by skopeo, unpacked by umoci, and the same however the image was stored."""

import json
import os
import shutil
import stat

import judge
import makers
import harness
from harness import run

import oci

TAGS = ("t0", "t1", "t2")
CLEAN = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}


def tree(root):
    """All that a tree says, by path."""
    found, inodes = {}, {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(root))
        told = [stat.S_IFMT(status.st_mode)]
        if stat.S_ISLNK(status.st_mode):
            told.append(os.readlink(path))
        else:
            told += [oct(status.st_mode), status.st_uid, status.st_gid]
        if stat.S_ISREG(status.st_mode):
            told += [path.read_bytes(), int(status.st_mtime),
                     inodes.setdefault(status.st_ino, name)]
        found[name] = told
    return found


class Normalize(judge.ScanCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        trees = [judge.real_tree(cls.work / f"tree{i}", *packages, most_bytes=4 << 20)
                 for i, packages in enumerate(makers.PACKAGES)]
        os.link(next(path for path in trees[0].rglob("*") if path.is_file() and not path.is_symlink()),
                trees[0] / "another name")
        cls.umoci = makers.umoci_layout(cls.work / "umoci", trees)

    def normalize(self, layout, name, *options):
        out = self.work / name
        run(harness.VARVE, "normalize", f"oci:{layout}", "-o", f"oci:{out}", *options, env=CLEAN)
        return out

    def copy(self, out, name, *options):
        """What skopeo makes of each tag; its digests are the layout's own."""
        for tag in TAGS:
            target = self.work / f"{name} {tag}"
            makers.skopeo_copy(f"oci:{out}:{tag}", f"dir:{target}", *options)
            manifest = json.loads((target / "manifest.json").read_bytes())
            for layer in manifest["layers"]:
                self.assertEqual(judge.sha256sum(target / layer["digest"][7:]), layer["digest"])
            index = json.loads((out / "index.json").read_bytes())
            names = {entry["annotations"][oci.REF_NAME]: entry["digest"]
                     for entry in index["manifests"]}
            self.assertEqual(judge.sha256sum(target / "manifest.json"), names[tag])

    def unpack(self, layout, name, tag):
        bundle = self.work / name
        rootless = ["--rootless"] if os.getuid() else []
        run("umoci", "unpack", *rootless, "--image", f"{layout}:{tag}", bundle)
        found = tree(bundle / "rootfs")
        shutil.rmtree(bundle)
        return found

    def test_umoci(self):
        plain = self.normalize(self.umoci, "plain")
        small = self.normalize(self.umoci, "small", "--compress=gzip:6")
        sorted_out = self.normalize(self.umoci, "sorted", "--compress=zstd", "--rung=order")
        for out, kind in ((plain, "tar"), (small, "gzip"), (sorted_out, "zstd")):
            seen = self.judge(out)
            self.assertEqual([line["format"] for line in seen["layer"]], [kind] * 3)
            self.assertEqual(seen["rest"], [])
            self.copy(out, out.name)
            # Only here: that the layers mean what they did.
            before = {line["rungs"]["order"] for line in self.scan(self.umoci)["layer"]}
            self.assertEqual({line["rungs"]["order"] for line in seen["layer"]}, before)
        for tag in TAGS:
            before = self.unpack(self.umoci, "bundle", tag)
            self.assertGreater(len(before), 20)
            self.assertEqual(self.unpack(small, "bundle", tag), before)
        again = self.normalize(small, "again", "--compress=gzip:6")
        run("diff", "-r", small, again)

    def test_stored_otherwise(self):
        """skopeo's zstd and gzip, and Docker's manifests: the same layers come out, and of the same
        kind of manifest the same image."""
        small = self.normalize(self.umoci, "small2", "--compress=gzip:6")
        zstd = makers.skopeo_layout(self.work / "zstd", self.umoci, TAGS,
                                    "--dest-compress-format", "zstd")
        out = self.normalize(zstd, "from zstd", "--compress=gzip:6")
        run("diff", "-r", small / "blobs", out / "blobs")
        copies = []
        for tag in TAGS:
            copies.append((tag, self.work / f"docker {tag}"))
            makers.skopeo_copy(f"oci:{self.umoci}:{tag}", f"dir:{copies[-1][1]}", "--format", "v2s2")
        docker = makers.layout_of_dir(self.work / "docker", copies)
        out = self.normalize(docker, "from docker", "--compress=gzip:6")
        seen = self.judge(out)
        self.assertEqual({line["name"] for line in seen["layer"]},
                         {line["name"] for line in self.scan(small)["layer"]})
        for line in seen["image"]:
            self.assertEqual({layer["media_type"] for layer in line["layers"]}, {oci.DOCKER_LAYER})
        # skopeo knows no Docker manifests in layouts; it does in folders of its own.
        index = json.loads((out / "index.json").read_bytes())
        for number, entry in enumerate(index["manifests"]):
            folder, target = self.work / f"as dir {number}", self.work / f"copied {number}"
            shutil.copytree(out / "blobs" / "sha256", folder)
            shutil.copy(judge.blob_of(out, entry["digest"]), folder / "manifest.json")
            (folder / "version").write_text("Directory Transport Version: 1.1\n")
            makers.skopeo_copy(f"dir:{folder}", f"dir:{target}")
            self.assertEqual(judge.sha256sum(target / "manifest.json"), entry["digest"])


if __name__ == "__main__":
    harness.need_tools("skopeo", "umoci", "gzip", "zstd")
    harness.main()
