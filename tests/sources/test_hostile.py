# SPDX-License-Identifier: Apache-2.0
"""Stores that lie or lead astray: each fault is told by its code, nothing else suffers, nothing outside
the store is read, nothing hangs."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import tarfile

import stores
import harness

import oci


class Registry:
    """A registry's storage tree, made after distribution's paths.go."""

    def __init__(self, folder):
        self.top = pathlib.Path(folder) / "docker" / "registry" / "v2"
        (self.top / "blobs").mkdir(parents=True)
        (self.top / "repositories").mkdir()

    def data(self, digest):
        algorithm, _, text = digest.partition(":")
        return self.top / "blobs" / algorithm / text[:2] / text / "data"

    def put(self, data):
        path = self.data(stores.sha256(data))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return stores.sha256(data)

    def link(self, path, text):
        path = self.top / "repositories" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def revision(self, name, digest):
        return self.link(f"{name}/_manifests/revisions/{digest.replace(':', '/')}/link", digest)

    def tag(self, name, tag, digest):
        return self.link(f"{name}/_manifests/tags/{tag}/current/link", digest)

    def image(self, name, tag, *tars):
        """An image under a tag (None: under none); its manifest's and its layers' digests."""
        config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {
            "type": "layers", "diff_ids": [stores.sha256(tar) for tar in tars]}}).encode()
        layers = [stores.packed(tar) for tar in tars]
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": oci.MANIFEST,
            "config": {"mediaType": oci.CONFIG, "digest": self.put(config), "size": len(config)},
            "layers": [{"mediaType": stores.GZIP, "digest": self.put(layer), "size": len(layer)}
                       for layer in layers]}).encode()
        digest = self.put(manifest)
        self.revision(name, digest)
        for layer in map(stores.sha256, layers):
            self.link(f"{name}/_layers/{layer.replace(':', '/')}/link", layer)
        if tag:
            self.tag(name, tag, digest)
        return digest, [stores.sha256(layer) for layer in layers]


class HostileRegistry(stores.StoreCase):
    def setUp(self):
        self.folder = self.work / self.id().rpartition(".")[2]
        self.registry = Registry(self.folder)
        self.digest, self.layers = self.registry.image("app", "1", stores.BASE, stores.TOP)

    def good(self, found):
        """The image that nothing was done to is whole."""
        line, = [line for line in found["image"] if line.get("ref") == "app:1"]
        self.assertEqual((line["status"], line["digest"]), ("ok", self.digest))

    def names(self, found, kind="error"):
        return [line["name"].rpartition("v2/")[2].rpartition(" ")[2] for line in found[kind]]

    def test_whole(self):
        found = self.scan(self.folder)
        self.all_well(found)
        self.good(found)
        self.assertEqual(found["note"], [])

    def test_links_that_are_none(self):
        texts = {"empty": "", "short": self.digest[:40], "upper": self.digest.upper(),
                 "line": self.digest + "\n", "long": self.digest + "0" * 4000,
                 "path": "sha256:" + "../" * 21 + "a"}
        for tag, text in texts.items():
            self.registry.tag("app", tag, text)
        found = self.scan(self.folder, expect=1)
        self.good(found)
        self.assertEqual(self.codes(found), ["registry.link"] * len(texts))
        self.assertEqual(len(found["image"]), 1)

    def test_links_that_are_pipes_links_and_folders(self):
        outside = self.work / "outside link"
        outside.write_text(self.digest)
        for tag, make in (("pipe", os.mkfifo), ("folder", os.mkdir),
                          ("link", lambda path: os.symlink(outside, path))):
            path = self.registry.tag("app", tag, self.digest)
            path.unlink()
            make(path)
        found = self.scan(self.folder, expect=1)
        self.good(found)
        self.assertEqual(self.codes(found), ["registry.link"] * 3)

    def test_links_that_say_something_else(self):
        other, _ = self.registry.image("app", None, stores.OTHER)
        path = f"app/_manifests/revisions/{other.replace(':', '/')}/link"
        self.registry.link(path, self.digest)
        layer = self.layers[0]
        self.registry.link(f"app/_layers/{layer.replace(':', '/')}/link", self.layers[1])
        found = self.scan(self.folder, expect=1)
        self.good(found)
        self.assertEqual(self.codes(found), ["registry.link"] * 2)
        # The manifest that is nobody's any more is left, as a blob without reference.
        self.assertIn(other, [line["name"] for line in found["rest"]])

    def test_link_of_another_algorithm(self):
        """A link beneath sha256/ whose digest is a sha512 is none of its own."""
        other, _ = self.registry.image("app", None, stores.OTHER)
        self.registry.link(f"app/_manifests/revisions/{other.replace(':', '/')}/link",
                           "sha512:" + "0" * 128)
        found = self.scan(self.folder, expect=1)
        self.good(found)
        self.assertEqual(self.codes(found), ["registry.link"])

    def test_revision_taken_away(self):
        other, _ = self.registry.image("app", None, stores.OTHER)
        before = self.scan(self.folder)
        self.assertIn(f"app@{other}", [line["ref"] for line in before["image"]])
        self.registry.revision("app", other).unlink()
        found = self.scan(self.folder)
        self.all_well(found)
        self.assertEqual([line["ref"] for line in found["image"]], ["app:1"])

    def test_blob_without_data(self):
        other, layers = self.registry.image("app", "2", stores.OTHER)
        self.registry.data(layers[0]).unlink()
        found = self.scan(self.folder, expect=3)
        self.good(found)
        layer, = [line for line in found["layer"] if line["name"] == layers[0]]
        self.assertEqual((layer["status"], layer["error"]["code"]), ("error", "io.missing"))
        self.assertEqual({line["ref"]: line["status"] for line in found["image"]},
                         {"app:1": "ok", "app:2": "error"})
        self.registry.data(other).unlink()
        found = self.scan(self.folder, expect=3)
        self.good(found)
        image, = [line for line in found["image"] if line["ref"] == "app:2"]
        self.assertEqual(image["error"]["code"], "io.missing")
        # Nothing refers to the layer now: its empty folder is worth a note.
        self.assertEqual(self.codes(found, "note"), ["registry.no-data"])

    def test_blob_in_the_wrong_folder(self):
        _, layers = self.registry.image("app", "2", stores.OTHER)
        home = self.registry.data(layers[0]).parent
        away = home.parent.parent / ("00" if home.name[:2] != "00" else "01")
        away.mkdir()
        shutil.move(home, away / home.name)
        found = self.scan(self.folder, expect=1)
        self.good(found)
        self.assertEqual(self.codes(found), ["registry.misplaced"])
        layer, = [line for line in found["layer"] if line["name"] == layers[0]]
        self.assertEqual(layer["error"]["code"], "io.missing")

    def test_blob_that_is_another(self):
        _, layers = self.registry.image("app", "2", stores.OTHER)
        self.registry.data(layers[0]).write_bytes(stores.packed(stores.TOP))
        found = self.scan(self.folder, expect=1)
        self.good(found)
        layer, = [line for line in found["layer"] if line["name"] == layers[0]]
        self.assertEqual((layer["status"], layer["error"]["code"]), ("mismatch", "claim.name"))

    def test_manifest_that_is_another(self):
        other, _ = self.registry.image("app", "2", stores.OTHER)
        path = self.registry.data(other)
        path.write_bytes(path.read_bytes() + b" ")
        found = self.scan(self.folder, expect=1)
        self.good(found)
        image, = [line for line in found["image"] if line["ref"] == "app:2"]
        self.assertEqual((image["status"], image["error"]["code"]), ("mismatch", "claim.name"))

    def test_uploads_left_behind(self):
        for number in range(3):
            upload = self.registry.top / "repositories" / "app" / "_uploads" / f"id{number}"
            upload.mkdir(parents=True)
            (upload / "data").write_bytes(b"half a layer")
        found = self.scan(self.folder)
        self.good(found)
        note, = found["note"]
        self.assertEqual((note["code"], note["count"]), ("registry.upload", 3))

    def test_links_out_of_the_tree(self):
        elsewhere = self.work / "another registry"
        other = Registry(elsewhere)
        digest, layers = other.image("secret", "1", stores.OTHER)
        os.symlink(other.top / "repositories" / "secret",
                   self.registry.top / "repositories" / "secret")
        found = self.scan(self.folder, expect=3)
        self.good(found)
        self.assertEqual(self.codes(found), ["io.not-regular"])
        self.assertEqual(len(found["image"]), 1)
        # And a blob's folder that leads to the other tree's.
        (self.registry.top / "repositories" / "secret").unlink()
        self.registry.tag("app", "2", digest)
        for name in [digest, *layers]:
            home = self.registry.data(name).parent
            home.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(other.data(name).parent, home)
        found = self.scan(self.folder, expect=3)
        self.good(found)
        image, = [line for line in found["image"] if line["ref"] == "app:2"]
        self.assertEqual((image["error"]["code"], image["layers"]), ("io.not-regular", []))

    def test_blob_that_is_a_pipe(self):
        _, layers = self.registry.image("app", "2", stores.OTHER)
        self.registry.data(layers[0]).unlink()
        os.mkfifo(self.registry.data(layers[0]))
        found = self.scan(self.folder, expect=3)
        self.good(found)
        layer, = [line for line in found["layer"] if line["name"] == layers[0]]
        self.assertEqual(layer["error"]["code"], "io.not-regular")

    def test_blob_that_nothing_refers_to(self):
        left = self.registry.put(stores.packed(stores.OTHER))
        bad = self.registry.put(b"to be spoilt")
        self.registry.data(bad).write_bytes(b"spoilt")
        found = self.scan(self.folder, expect=1)
        self.good(found)
        self.assertEqual({line["name"]: line["status"] for line in found["rest"]},
                         {left: "ok", bad: "mismatch"})

    def test_repository_in_a_repository(self):
        self.registry.image("app/inner/deep", "1", stores.OTHER)
        found = self.scan(self.folder)
        self.all_well(found)
        self.assertEqual([line["ref"] for line in found["image"]],
                         ["app:1", "app/inner/deep:1"])

    def test_folders_nested_beyond_any_path(self):
        path = self.registry.top / "repositories"
        there = os.open(path, os.O_PATH)
        for _ in range(60):
            os.mkdir("a" * 200, dir_fd=there)
            inner = os.open("a" * 200, os.O_PATH, dir_fd=there)
            os.close(there)
            there = inner
        os.close(there)
        try:
            found = self.scan(self.folder, expect=3)
            self.good(found)
            self.assertEqual(set(self.codes(found)), {"io.open"})
        finally:
            # Python's own cleaning cannot go so deep.
            harness.run("rm", "-rf", path / ("a" * 200))

    def test_many_repositories(self):
        """More repositories than are read at once, a folder with more links than a thread takes at
        once, faults in between: images and errors come in the tree's order with any number of
        threads, and are the same."""
        names = [f"team-{i % 5}/app{i}" for i in range(140)] + ["team-0/app0/inner", "team.0/app"]
        errors = {}
        for i, name in enumerate(names):
            digest, _ = self.registry.image(name, "1", stores.BASE, stores.OTHER)
            if i % 9 == 0:
                self.registry.tag(name, "bad", "sha256:none")
                errors[name] = [f"repositories/{name}/_manifests/tags/bad/current/link"]
            if i % 13 == 0:
                uploads = self.registry.top / "repositories" / name / "_uploads"
                uploads.write_text("a file where a folder should be")
                errors.setdefault(name, []).append(f"repositories/{name}/_uploads")
            if i % 17 == 0:
                # Beneath the repository: it comes behind all of its own.
                (self.registry.top / "repositories" / name / "zzz").write_text("no folder")
                errors.setdefault(name + "/zzz", []).append(f"repositories/{name}/zzz")
            if i == 77:
                for number in range(300):
                    self.registry.tag(name, f"t{number:03}", digest if number % 50 else "none")
        errors.setdefault(names[77], [])[:0] = [
            f"repositories/{names[77]}/_manifests/tags/t{number:03}/current/link"
            for number in range(0, 300, 50)]

        def in_order(paths):
            return sorted(paths, key=lambda path: path.split("/"))

        outputs = []
        for threads in (1, 2, 5):
            found = self.scan(self.folder, expect=1, options=[f"--threads={threads}"])
            self.good(found)
            tags = [line["ref"] for line in found["image"]]
            expected = []
            for name in in_order(["app", *names]):
                expected.append(f"{name}:1")
                if name == names[77]:
                    expected += [f"{name}:t{number:03}" for number in range(300) if number % 50]
            self.assertEqual(tags, expected)
            told = [line["name"].rpartition(" ")[2] for line in found["error"]]
            self.assertEqual(told, [path for name in in_order(errors) for path in errors[name]])
            outputs.append([{**line, "run": None} for line in self.lines(
                self.folder, expect=1, options=[f"--threads={threads}"])
                if line["type"] not in ("scan", "summary")])
        self.assertEqual(outputs[0], outputs[1])
        self.assertEqual(outputs[0], outputs[2])

    def test_index_without_tag_owns_its_manifests(self):
        manifests = []
        for tar in (stores.OTHER, stores.TOP):
            digest, _ = self.registry.image("app", None, tar)
            manifests.append({"mediaType": oci.MANIFEST, "digest": digest,
                              "size": self.registry.data(digest).stat().st_size})
        index = self.registry.put(json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())
        self.registry.revision("app", index)
        found = self.scan(self.folder)
        self.all_well(found)
        self.assertEqual(sorted(line["ref"] for line in found["image"]),
                         ["app:1", f"app@{index}", f"app@{index}"])


class HostileArchive(stores.StoreCase):
    """Archives with images in them."""

    def archive(self, name, members):
        """`members`: (name, bytes), or (name, target) of a link with its type."""
        path = self.work / f"{self.id().rpartition('.')[2]}-{name}.tar"
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            for member, content, *kind in members:
                info = tarfile.TarInfo(member)
                if kind:
                    info.type, info.linkname = kind[0], content
                    tar.addfile(info)
                else:
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        return path

    def docker(self, layers, tars, **fields):
        config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {
            "type": "layers", "diff_ids": [stores.sha256(tar) for tar in tars]}}).encode()
        name = stores.sha256(config)[7:] + ".json"
        manifest = [{"Config": name, "RepoTags": ["app:1"], "Layers": layers, **fields}]
        return [(name, config), ("manifest.json", json.dumps(manifest).encode())]

    def test_links_between_layers(self):
        path = self.archive("good", [
            ("one/layer.tar", stores.BASE),
            ("two/layer.tar", "../one/layer.tar", tarfile.SYMTYPE),
            ("three/layer.tar", "two/layer.tar", tarfile.LNKTYPE),
            ("left/layer.tar", stores.OTHER),
            *self.docker(["one/layer.tar", "two/layer.tar", "./three//layer.tar"],
                         [stores.BASE] * 3)])
        found = self.scan(f"docker-archive:{path}")
        self.all_well(found)
        self.assertEqual([line["name"] for line in found["layer"]], ["one/layer.tar"])
        self.assertEqual([line["name"] for line in found["rest"]], ["left/layer.tar"])
        self.assertEqual(found["layer"][0]["rungs"]["blob"], stores.sha256(stores.BASE))
        self.assertEqual([layer["checks"]["diffid"] for layer in found["image"][0]["layers"]],
                         ["ok"] * 3)

    def test_links_that_lead_nowhere(self):
        (self.work / "outside.tar").write_bytes(stores.BASE)
        layers = ["out/layer.tar", "self/layer.tar", "a/layer.tar", "gone/layer.tar",
                  "abs/layer.tar"]
        path = self.archive("bad", [
            ("out/layer.tar", "../../outside.tar", tarfile.SYMTYPE),
            ("self/layer.tar", "layer.tar", tarfile.SYMTYPE),
            ("a/layer.tar", "../b/layer.tar", tarfile.SYMTYPE),
            ("b/layer.tar", "../a/layer.tar", tarfile.SYMTYPE),
            ("abs/layer.tar", str(self.work / "outside.tar"), tarfile.SYMTYPE),
            *self.docker(layers, [stores.BASE] * len(layers))])
        found = self.scan(f"docker-archive:{path}", expect=3)
        self.assertEqual({line["name"]: line["error"]["code"] for line in found["layer"]},
                         dict.fromkeys(layers, "io.missing"))

    def test_wrong_diffid_and_count(self):
        path = self.archive("diffid", [
            ("layer.tar", stores.BASE), *self.docker(["layer.tar"], [stores.TOP])])
        found = self.scan(f"docker-archive:{path}", expect=1)
        self.assertEqual(found["image"][0]["layers"][0]["checks"]["diffid"], "mismatch")
        path = self.archive("count", [
            ("layer.tar", stores.BASE), *self.docker(["layer.tar"], [stores.BASE, stores.TOP])])
        found = self.scan(f"docker-archive:{path}", expect=1)
        self.assertEqual(found["image"][0]["error"]["code"], "oci.diffid-count")

    def test_config_that_is_another(self):
        (name, config), manifest = self.docker(["layer.tar"], [stores.BASE])
        path = self.archive("config", [("layer.tar", stores.BASE), (name, config + b" "), manifest])
        found = self.scan(f"docker-archive:{path}", expect=1)
        self.assertEqual(found["image"][0]["error"]["code"], "claim.name")
        self.assertEqual(found["image"][0]["digest"], "sha256:" + name[:64])

    def test_manifests_that_are_none(self):
        for number, (text, code) in enumerate((("{}", "docker.manifest"), ("[1]", "docker.manifest"),
                                               ("[", "oci.json"), ('[{"Config":"x"}]',
                                                                   "docker.manifest"))):
            path = self.archive(str(number), [("manifest.json", text.encode())])
            found = self.scan(f"docker-archive:{path}", expect=1)
            self.assertEqual(self.codes(found), [code])

    def test_keys_that_a_reader_folds(self):
        (name, config), (_, manifest) = self.docker(["layer.tar"], [stores.BASE])
        for number, key in enumerate(("layers", r"Layer\u017f", "RepoTag\u017f", "config")):
            text = manifest[:-2] + f',"{key}":[]}}]'.encode()
            path = self.archive(f"keys{number}", [("layer.tar", stores.BASE), (name, config),
                                                  ("manifest.json", text)])
            found = self.scan(f"docker-archive:{path}", expect=1)
            self.assertEqual((self.codes(found), found["image"]), (["oci.ambiguous"], []), key)

    def test_nul_in_a_tag(self):
        members = self.docker(["layer.tar"], [stores.BASE])
        text = members[-1][1].replace(b'"RepoTags": [', br'"RepoTags": ["a\u0000:b",', 1)
        found = self.scan(f"""docker-archive:{self.archive('nul', [
            ("layer.tar", stores.BASE), members[0], ("manifest.json", text)])}""")
        self.all_well(found)
        self.assertEqual(self.codes(found, "note"), ["oci.nul"])

    def test_nul_in_a_config(self):
        (name, config), *_, (_, manifest) = self.docker(["layer.tar"], [stores.BASE])
        config = config.replace(b"{", br'{"config":{"Labels":{"label":"a\u0000"}},', 1)
        other = stores.sha256(config)[7:] + ".json"
        found = self.scan(f"""docker-archive:{self.archive('nul-config', [
            ("layer.tar", stores.BASE), (other, config),
            ("manifest.json", manifest.replace(name.encode(), other.encode()))])}""")
        self.all_well(found)
        self.assertEqual(self.codes(found, "note"), ["oci.nul"])

    def test_layers_that_are_no_paths(self):
        members = self.docker([5], [stores.BASE])
        found = self.scan(f"docker-archive:{self.archive('0', members)}", expect=1)
        image, = found["image"]
        self.assertEqual(image["error"]["code"], "docker.manifest")

    def test_path_given_twice(self):
        path = self.archive("twice", [
            ("layer.tar", stores.TOP), ("layer.tar", stores.BASE),
            *self.docker(["layer.tar"], [stores.BASE])])
        found = self.scan(f"docker-archive:{path}")
        self.all_well(found)
        self.assertEqual(self.codes(found, "note"), ["archive.repeats"])

    def test_compressed_archive(self):
        path = self.archive("plain", [("layer.tar", stores.BASE),
                                      *self.docker(["layer.tar"], [stores.BASE])])
        squeezed = path.with_suffix(".tar.gz")
        squeezed.write_bytes(stores.packed(path.read_bytes()))
        found = self.scan(f"docker-archive:{squeezed}", expect=3)
        self.assertEqual(self.codes(found), ["archive.compressed"])

    def test_archive_without_a_manifest(self):
        layout = stores.small_layout(self.work / "lacking")
        layout.path(layout.top[0]["digest"]).unlink()
        archive = self.work / "lacking.tar"
        with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(layout.folder, ".")
        found = self.scan(f"oci-archive:{archive}", expect=3)
        self.assertEqual([(line["ref"], line["status"]) for line in found["image"]],
                         [("1", "error"), ("2", "ok")])
        self.assertEqual(found["image"][0]["error"]["code"], "io.missing")

    def test_archive_cut_off(self):
        layout = stores.small_layout(self.work / "layout to cut")
        folder = layout.folder
        path = self.work / "cut.tar"
        names = ["oci-layout", "index.json", *sorted(
            str(blob.relative_to(folder)) for blob in (folder / "blobs" / "sha256").iterdir())]
        with tarfile.open(path, "w") as tar:
            for name in names:
                tar.add(folder / name, name)
        with tarfile.open(path) as tar:
            last = tar.getmember(names[-1])
        whole = self.scan(f"oci-archive:{path}")
        self.all_well(whole)
        os.truncate(path, last.offset_data + last.size // 2)
        found = self.scan(f"oci-archive:{path}", expect=1)
        self.assertEqual(self.codes(found)[-1], "tar.truncated-data")
        told = json.dumps(found["image"] + found["layer"])
        self.assertIn("io.missing", told)
        for line in found["layer"]:
            if line["status"] == "ok":
                self.assertEqual(line["rungs"]["blob"], line["name"])

    def test_entry_of_a_claimed_exbibyte(self):
        info = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
        info.size = 1 << 59
        path = self.work / "huge.tar"
        path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
        found = self.scan(f"oci-archive:{path}", expect=1)
        self.assertIn("tar.truncated-data", self.codes(found))

    def test_layer_in_the_new_form(self):
        """What docker save writes since it keeps images as OCI layouts."""
        layout = stores.small_layout(self.work / "new form")
        manifest = json.loads(layout.path(layout.top[1]["digest"]).read_bytes())
        listed = [{"Config": "blobs/sha256/" + manifest["config"]["digest"][7:],
                   "RepoTags": ["app:2", "app:latest"],
                   "Layers": ["blobs/sha256/" + layer["digest"][7:]
                              for layer in manifest["layers"]]}]
        (layout.folder / "manifest.json").write_text(json.dumps(listed))
        path = self.work / "new.tar"
        with tarfile.open(path, "w") as tar:
            for name in sorted(os.listdir(layout.folder)):
                tar.add(layout.folder / name, name)
        found = self.scan(f"docker-archive:{path}")
        self.all_well(found)
        self.assertEqual([line["ref"] for line in found["image"]], ["app:2", "app:latest"])
        self.assertEqual({line["checks"]["name"] for line in found["layer"]}, {"ok"})
        self.assertEqual([line["source"].partition(":")[0] for line in self.scan(path)["image"]],
                         ["oci-archive"] * 2)


class HostilePlaces(stores.StoreCase):
    """Sources that are not what they are called."""

    def test_nothing_there(self):
        gone = self.work / "gone"
        for prefix in ("", "oci:", "oci-archive:", "docker-archive:", "dir:", "registry-fs:", "zot:",
                       "containerd:", "cas:"):
            found = self.scan(f"{prefix}{gone}", expect=3)
            self.assertEqual(self.codes(found), ["io.missing"], prefix)

    def test_empty_folder(self):
        empty = self.work / "empty"
        empty.mkdir()
        for prefix in ("", "dir:", "registry-fs:", "zot:", "containerd:", "cas:"):
            found = self.scan(f"{prefix}{empty}", expect=3)
            self.assertEqual(self.codes(found), ["source.unknown"], prefix)

    def test_pipe(self):
        pipe = self.work / "pipe"
        os.mkfifo(pipe)
        for prefix in ("", "oci-archive:", "docker-archive:"):
            found = self.scan(f"{prefix}{pipe}", expect=3)
            self.assertEqual(self.codes(found), ["io.not-regular"], prefix)

    def test_tree_with_links_and_dirt(self):
        root = self.work / "tree"
        root.mkdir()
        stores.small_layout(root / "app")
        os.symlink(root / "app", root / "linked")
        os.symlink(root, root / "app" / "round")
        os.mkfifo(root / "pipe")
        (root / "cache.db").write_bytes(b"a database")
        (root / ".uploads").mkdir()
        found = self.scan(f"zot:{root}")
        self.all_well(found)
        self.assertEqual([line["ref"] for line in found["image"]], ["app:1", "app:2"])
        self.assertIn("source.link", self.codes(found, "note"))

    def test_index_that_is_a_manifest(self):
        layout = stores.small_layout(self.work / "no index")
        manifest = layout.path(layout.top[0]["digest"]).read_bytes()
        (layout.folder / "index.json").write_bytes(manifest)
        found = self.scan(f"oci:{layout.folder}", expect=1)
        self.assertEqual(self.codes(found), ["oci.shape"])
        self.assertEqual(found["image"], [])

    def test_paths_at_the_end_of_all_paths(self):
        """Layouts whose folders have paths of nearly 4096 bytes: all can be opened; of the first no file
        can, of the next two the index and no blob, of the last all but the blob of the longest name."""
        root = self.work / "long tree"
        root.mkdir()
        layout = stores.small_layout(root / "app")
        odd = layout.put(stores.packed(stores.OTHER), stores.GZIP, algorithm="sha512")
        layout.tag("3", layout.image([(odd, stores.sha256(stores.OTHER))]))
        layout = layout.folder
        for length in (4090, 4080, 4030, 4000):
            deepest = os.open(root, os.O_PATH)
            for count in [255] * 15 + [length - 15 * 256]:
                name = "a" * count
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=deepest)
                inner = os.open(name, os.O_PATH, dir_fd=deepest)
                os.close(deepest)
                deepest = inner
            for folder in ("blobs", "blobs/sha256", "blobs/sha512"):
                os.mkdir(folder, dir_fd=deepest)
            for path in layout.rglob("*"):
                if path.is_file():
                    with open(os.open(path.relative_to(layout), os.O_CREAT | os.O_WRONLY,
                                      dir_fd=deepest), "wb") as file:
                        file.write(path.read_bytes())
            os.close(deepest)
        try:
            found = self.scan(f"zot:{root}", expect=3)
            self.assertEqual(sorted((len(line["ref"]) > 9, line["status"]) for line in found["image"]),
                             [(False, "ok")] * 3 + [(True, "error")] * 7 + [(True, "ok")] * 2)
            told = [line["name"] for line in found["error"] if line["code"] == "io.open"
                    and line["os_error"] == "File name too long"]
            ends = ["a" * (length - 15 * 256) + path for length, path in (
                (4030, "/blobs/sha256"), (4030, "/blobs/sha512"), (4080, "/blobs/sha256"),
                (4080, "/blobs/sha512"), (4090, " oci-layout"),
                (4090, " index.json"), (4090, ""), (4090, "/oci-layout"), (4090, "/index.json"))]
            self.assertEqual([sum(name.endswith("/" + end) for name in told) for end in ends], [1] * 9)
            self.assertEqual(len(told), 9)
            odd, = [line for line in found["layer"] if line["status"] == "error"]
            self.assertEqual((odd["name"][:6], odd["error"]["code"]), ("sha512", "io.open"))
        finally:
            harness.run("rm", "-rf", root / ("a" * 255))

    def test_hard_links_where_one_path_is_a_link(self):
        """A file seen through a link that leads out is not what opening without links gives."""
        root = self.work / "linked tree"
        root.mkdir()
        layout = stores.small_layout(root / "b")
        other = stores.copy(layout.folder, root / "a")
        shutil.rmtree(other / "blobs" / "sha256")
        os.symlink(layout.folder / "blobs" / "sha256", other / "blobs" / "sha256")
        found = self.scan(f"zot:{root}", expect=3)
        states = {(line["ref"], line["status"]) for line in found["image"]}
        self.assertEqual(states, {("a:1", "error"), ("a:2", "error"), ("b:1", "ok"), ("b:2", "ok")})
        self.assertEqual(found["summary"]["same_files"], 0)


if __name__ == "__main__":
    harness.main()
