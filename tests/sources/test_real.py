# SPDX-License-Identifier: Apache-2.0
"""Stores as real programs leave them: a registry's storage tree, skopeo's folders and archives, what
skopeo sync writes. What varve says is held against what the programs themselves say."""

import contextlib
import gzip
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import stores
import harness
from harness import run

import judge
import makers

TAGS = ("t0", "t1", "t2")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def registry(folder):
    """A running registry that stores in a folder; its host:port."""
    folder.mkdir()
    port = free_port()
    config = folder.parent / f"{folder.name}.yml"
    config.write_text(json.dumps({
        "version": "0.1", "log": {"level": "error"}, "http": {"addr": f"127.0.0.1:{port}"},
        "storage": {"filesystem": {"rootdirectory": str(folder)}, "delete": {"enabled": True}}}))
    server = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def inspected(*source):
    """skopeo's own word on an image: its manifest's digest and its layers."""
    raw = run("skopeo", "inspect", "--raw", *source)
    return stores.sha256(raw), tuple(layer["digest"] for layer in json.loads(raw)["layers"])


class Real(stores.StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        trees = [judge.real_tree(cls.work / f"tree{i}", *packages, most_bytes=3 << 20)
                 for i, packages in enumerate(makers.PACKAGES)]
        cls.layout = makers.umoci_layout(cls.work / "layout", trees)
        cls.images = {tag: inspected(f"oci:{cls.layout}:{tag}") for tag in TAGS}

    def blobs(self):
        return {"sha256:" + path.name: path
                for path in (self.layout / "blobs" / "sha256").iterdir()}

    def expected(self, name):
        return sorted((name.format(tag), *self.images[tag]) for tag in TAGS)

    def test_layout_of_umoci(self):
        found = self.scan(self.layout)
        self.all_well(found)
        self.assertEqual(self.refs(found), self.expected("{}"))
        self.blobs_are(found, self.blobs())

    def test_registry(self):
        harness.need_tools("docker-registry")
        folder = self.work / "registry"
        with registry(folder) as host:
            for tag in TAGS:
                run("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false",
                    f"oci:{self.layout}:{tag}", f"docker://{host}/team/app:{tag}")
            run("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false",
                f"oci:{self.layout}:t0", f"docker://{host}/other:latest")
            run("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false",
                f"oci:{self.layout}:t1", f"docker://{host}/other:latest")
            said = {f"{name}:{tag}": inspected("--tls-verify=false", f"docker://{host}/{name}:{tag}")
                    for name, tags in (("team/app", TAGS), ("other", ("latest",))) for tag in tags}
            run("skopeo", "--insecure-policy", "sync", "--src-tls-verify=false", "--scoped",
                "--src", "docker", "--dest", "dir", f"{host}/team/app", self.work / "synced")
        for source in (folder, f"registry-fs:{folder}", folder / "docker" / "registry" / "v2"):
            found = self.scan(source)
            self.all_well(found)
            # other:latest was moved from t0 to t1: the old manifest is there without a tag.
            left = self.images["t0"]
            self.assertEqual(self.refs(found), sorted(
                [(ref, *image) for ref, image in said.items()] + [(f"other@{left[0]}", *left)]))
            self.blobs_are(found, {
                "sha256:" + path.parent.name: path for path in folder.rglob("blobs/*/*/*/data")})
            self.assertEqual(len(found["layer"]), 3)
        self.synced(host)

    def synced(self, host):
        tree = self.work / "synced"
        found = self.scan(f"dir:{tree}")
        self.all_well(found)
        self.assertEqual(self.refs(found), self.expected(f"{host}/team/app:{{}}"))
        # Full copies: every file is read, though many bear one name.
        self.assertEqual(len(found["layer"]), 6)
        self.assertEqual(found["summary"]["same_files"], 0)
        # Hard links in their place: every file is read once, and reported under each name.
        by_name = {}
        for path in sorted(tree.rglob("*")):
            if path.is_file() and len(path.name) == 64:
                first = by_name.setdefault(path.name, path)
                if first != path:
                    path.unlink()
                    os.link(first, path)
        linked = self.scan(tree)
        self.all_well(linked)
        self.assertEqual(self.refs(linked), self.refs(found))
        self.assertEqual(len(linked["layer"]), 6)
        self.assertEqual(linked["summary"]["same_files"], 3)
        self.assertEqual(linked["summary"]["bytes_stored"],
                         sum(by_name[name[7:]].stat().st_size
                             for name in {line["name"] for line in linked["layer"]}))

    def test_folder_of_skopeo(self):
        target = self.work / "dir"
        makers.skopeo_copy(f"oci:{self.layout}:t2", f"dir:{target}")
        for source in (target, f"dir:{target}"):
            found = self.scan(source)
            self.all_well(found)
            self.assertEqual(self.refs(found), [(None, *self.images["t2"])])
            self.blobs_are(found, self.blobs())
            self.assertEqual(found["rest"], [])

    def test_folder_of_an_index(self):
        layout = stores.small_layout(self.work / "for an index")
        arm = layout.image([(layout.put(stores.packed(stores.OTHER), stores.GZIP),
                             stores.sha256(stores.OTHER))], architecture="arm64",
                           platform={"os": "linux", "architecture": "arm64"})
        amd = dict(layout.top[0], platform={"os": "linux", "architecture": "amd64"})
        del amd["annotations"]
        layout.tag("both", layout.index([amd, arm]))
        target = self.work / "dir of index"
        makers.skopeo_copy(f"oci:{layout.folder}:both", f"dir:{target}", "--all")
        self.assertTrue(list(target.glob("*.manifest.json")))
        found = self.scan(target)
        self.all_well(found)
        self.assertEqual({line["platform"] for line in found["image"]},
                         {"linux/amd64", "linux/arm64"})
        self.assertEqual({line["digest"] for line in found["image"]},
                         {amd["digest"], arm["digest"]})

    def test_oci_archive(self):
        target = self.work / "image.tar"
        makers.skopeo_copy(f"oci:{self.layout}:t2", f"oci-archive:{target}:t2")
        for source in (target, f"oci-archive:{target}", f"oci-archive:{target}:t2"):
            found = self.scan(source)
            self.all_well(found)
            self.assertEqual(self.refs(found), [("t2", *self.images["t2"])])
            blobs = self.blobs()
            for line in found["layer"]:
                self.assertEqual(line["rungs"]["blob"], line["name"])
                self.assertEqual(line["bytes_stored"], blobs[line["name"]].stat().st_size)

    def test_docker_archive(self):
        target = self.work / "docker.tar"
        makers.skopeo_copy(f"oci:{self.layout}:t2", f"docker-archive:{target}:app:two")
        listed = json.loads(run("tar", "-xOf", target, "manifest.json"))[0]
        config = run("tar", "-xOf", target, listed["Config"])
        diffids = json.loads(config)["rootfs"]["diff_ids"]
        for source in (target, f"docker-archive:{target}"):
            found = self.scan(source)
            self.all_well(found)
            line, = found["image"]
            # skopeo puts the default registry before it.
            self.assertTrue(line["ref"].endswith("/library/app:two"), line["ref"])
            self.assertEqual(line["digest"], stores.sha256(config))
            self.assertEqual([layer["digest"] for layer in line["layers"]], listed["Layers"])
            self.assertEqual([layer["diffid"] for layer in line["layers"]], diffids)
            self.assertEqual([layer["checks"]["diffid"] for layer in line["layers"]], ["ok"] * 3)
            for layer in found["layer"]:
                member = run("tar", "-xOf", target, layer["name"])
                self.assertEqual(layer["rungs"]["blob"], stores.sha256(member))

    def test_content_store_of_containerd(self):
        """Laid out as containerd's content/local/store.go does; indexes and manifests have no names
        there but in its database."""
        root = self.work / "containerd" / "io.containerd.content.v1.content"
        (root / "ingest" / "1f").mkdir(parents=True)
        (root / "ingest" / "1f" / "data").write_bytes(b"half of something")
        shutil.copytree(self.layout / "blobs", root / "blobs")
        for source in (root.parent, f"containerd:{root}"):
            found = self.scan(source)
            self.all_well(found)
            self.assertEqual({(line["digest"], tuple(layer["digest"] for layer in line["layers"]))
                              for line in found["image"]}, set(self.images.values()))
            self.blobs_are(found, self.blobs())
            self.assertEqual(found["rest"], [])

    def test_content_store_of_a_running_containerd(self):
        """What the daemon itself writes when an image is imported, against its own list."""
        if not shutil.which("containerd") or not shutil.which("ctr"):
            self.skipTest("not installed: containerd")
        place = self.work / "running containerd"
        place.mkdir()
        archive = place / "image.tar"
        makers.skopeo_copy(f"oci:{self.layout}:t2", f"oci-archive:{archive}:t2")
        # A socket's path must be short.
        with tempfile.TemporaryDirectory(prefix="varve-") as short:
            address = f"{short}/sock"
            with open(place / "log", "wb") as log:
                daemon = subprocess.Popen(
                    ["containerd", "--root", place / "root", "--state", f"{short}/state",
                     "--address", address], stdout=log, stderr=log)
            try:
                ctr = ["ctr", "--address", address, "--connect-timeout", "5s"]
                for _ in range(100):
                    if daemon.poll() is not None or subprocess.run(
                            [*ctr, "version"], capture_output=True, check=False).returncode == 0:
                        break
                    time.sleep(0.1)
                if daemon.poll() is not None:
                    self.skipTest("containerd does not run here: "
                                  + (place / "log").read_text()[-300:])
                run(*ctr, "image", "import", "--no-unpack", archive)
                listed = run(*ctr, "content", "ls", "--quiet").decode().split()
            finally:
                daemon.terminate()
                daemon.wait()
        found = self.scan(f"containerd:{place / 'root'}")
        self.all_well(found)
        self.assertEqual([(line["digest"], tuple(layer["digest"] for layer in line["layers"]))
                          for line in found["image"]], [self.images["t2"]])
        self.blobs_are(found, self.blobs())
        self.assertLessEqual({line["name"] for line in found["layer"]}, set(listed))
        self.assertEqual(found["rest"], [])

    def test_storage_of_podman(self):
        """podman's store: archives are put together again, and are what the config says."""
        if not shutil.which("podman"):
            self.skipTest("not installed: podman")
        archive = self.work / "for podman.tar"
        makers.skopeo_copy(f"oci:{self.layout}:t2", f"oci-archive:{archive}:t2")
        podman = ["podman", "--root", self.work / "podman", "--runroot", self.work / "podman-run",
                  "--storage-driver", "vfs"]
        try:
            run(*podman, "load", "--quiet", "--input", archive)
            said, = json.loads(run(*podman, "image", "inspect", "localhost/t2"))
        except AssertionError as error:
            self.skipTest(f"podman does not work here: {error}")
        found = self.scan(self.work / "podman")
        self.all_well(found)
        image, = found["image"]
        self.assertEqual((image["ref"], image["digest"]), (said["RepoTags"][0], said["Digest"]))
        self.assertEqual([layer["digest"] for layer in image["layers"]], said["RootFS"]["Layers"])
        for line in found["layer"]:
            self.assertEqual(line["rungs"]["blob"], line["name"])
        self.verified(self.work / "podman", image)
        # A list of manifests: empty, then with one. It is no image, and nothing is wrong with it.
        for command in ["create", "localhost/list"], ["add", "localhost/list", "containers-storage:localhost/t2"]:
            run(*podman, "manifest", *command)
            run(harness.VARVE, "verify-store", self.work / "podman")
            found = self.scan(self.work / "podman")
            self.all_well(found)
            self.assertEqual([line["ref"] for line in found["image"]], [image["ref"]])
        damaged, = (path for path in self.work.glob("podman/vfs-images/*/manifest")
                    if b'"manifests":[' in path.read_bytes())
        damaged.write_bytes(damaged.read_bytes() + b" ")
        run(harness.VARVE, "verify-store", self.work / "podman", expect=1)

    def test_storage_of_podman_with_a_list_alone(self):
        """As long as there are no layers, there is no list of them either."""
        podman = ["podman", "--root", self.work / "alone", "--runroot", self.work / "alone-run",
                  "--storage-driver", "vfs"]
        try:
            run(*podman, "manifest", "create", "localhost/list")
        except AssertionError as error:
            self.skipTest(f"podman does not work here: {error}")
        self.assertFalse((self.work / "alone/vfs-layers/layers.json").exists())
        run(harness.VARVE, "verify-store", self.work / "alone")

    def verified(self, root, image):
        """varve join and varve verify-store on what podman keeps."""
        run(harness.VARVE, "verify-store", root)
        layers = json.loads((root / "vfs-layers" / "layers.json").read_bytes())
        out = self.work / "joined.tar"
        for layer in layers:
            files = root / "vfs" / "dir" / layer["id"]
            run(harness.VARVE, "join", root / "vfs-layers" / f"{layer['id']}.tar-split.gz", files,
                "-o", out)
            self.assertEqual(stores.sha256(out.read_bytes()), layer["diff-digest"])
        # A byte of some file of the top layer, which is in no other.
        top, = [layer for layer in layers if layer["diff-digest"] == image["layers"][-1]["digest"]]
        with gzip.open(root / "vfs-layers" / f"{top['id']}.tar-split.gz") as lines:
            name = next(line["name"] for line in map(json.loads, lines) if line.get("size"))
        path = root / "vfs" / "dir" / top["id"] / name
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        told = run(harness.VARVE, "verify-store", root, expect=1).decode()
        self.assertRegex(told, f"mismatch +layer .*{top['diff-digest']}\n")
        self.assertIn(f" file {name}: split.content: ", told)
        self.assertIn(f" in {image['ref']} (", told)
        path.write_bytes(whole)
        run(harness.VARVE, "verify-store", root)

    def test_scrubbing_decodes_nothing(self):
        found = self.scan(self.layout, options=["--rungs=blob"])
        self.all_well(found)
        for line in found["layer"]:
            self.assertEqual(list(line["rungs"]), ["blob"])
            self.assertNotIn("bytes_decoded", line)


if __name__ == "__main__":
    harness.need_tools("skopeo", "umoci", "tar")
    harness.main()
