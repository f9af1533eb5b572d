# SPDX-License-Identifier: Apache-2.0
"""Stores written here after what their programs' sources say, with what real programs at hand do not
make: zot's and Quay's and Pulp's folders, artifacts and attestations, docker's layerdb, one file under
many names; and the ladder of images, computed a second time."""

import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import stores
from crc64 import crc64
import harness
from harness import run

import oci

RUNGS = ("blob", "diffid", "archive", "encoding", "order", "names", "times", "content")


def put_link(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)


class Folders(stores.StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.layout = stores.small_layout(cls.work / "layout")
        cls.blobs = {"sha256:" + path.name: path
                     for path in (cls.layout.folder / "blobs" / "sha256").iterdir()}

    def test_zot(self):
        """Repositories are layouts; a blob of several is one file with several names."""
        root = self.work / "zot"
        for name in ("app", "team/app", "team/other"):
            target = root / name
            target.mkdir(parents=True)
            for file in ("index.json", "oci-layout"):
                shutil.copy(self.layout.folder / file, target)
            for digest, path in self.blobs.items():
                put_link(path, target / "blobs" / "sha256" / digest[7:])
        (root / "team" / ".uploads").mkdir()
        (root / "cache.db").write_bytes(b"zot's own")
        for source in (root, f"zot:{root}"):
            found = self.scan(source)
            self.all_well(found)
            self.assertEqual(sorted(line["ref"] for line in found["image"]), [
                "app:1", "app:2", "team/app:1", "team/app:2", "team/other:1", "team/other:2"])
            self.assertEqual((len(found["layer"]), found["summary"]["same_files"]), (6, 4))
            firsts = {}
            for line in found["layer"]:
                self.assertEqual(line["rungs"]["blob"], line["name"])
                first = firsts.setdefault(line["name"], line["source"])
                if first != line["source"]:
                    self.assertEqual(line["same_file_as"],
                                     {"name": line["name"], "source": first})
            self.assertEqual(found["summary"]["bytes_stored"],
                             sum(self.blobs[name].stat().st_size for name in firsts))

    def test_zot_with_a_damaged_file_of_many_names(self):
        root = self.work / "zot damaged"
        copies = [stores.copy(self.layout.folder, root / name) for name in ("a", "b")]
        manifest = json.loads(self.layout.path(self.layout.top[0]["digest"]).read_bytes())
        layer = manifest["layers"][0]["digest"][7:]
        one, two = (copy / "blobs" / "sha256" / layer for copy in copies)
        one.write_bytes(b"not this")
        two.unlink()
        os.link(one, two)
        found = self.scan(root, expect=1)
        bad = [line for line in found["layer"] if line["status"] != "ok"]
        self.assertEqual([line["error"]["code"] for line in bad], ["claim.name"] * 2)
        self.assertEqual({line["ref"] for line in found["image"] if line["status"] == "mismatch"},
                         {"a:1", "a:2", "b:1", "b:2"})

    def test_folders_of_blobs(self):
        patterns = {
            "quay": lambda name: pathlib.Path("sha256", name[:2], name),
            "pulp": lambda name: pathlib.Path(name[:2], name[2:]),
            "flat": pathlib.Path,
            "plain": lambda name: pathlib.Path("sha256", name),
            "given": lambda name: pathlib.Path("x", name[:2], f"{name}.blob"),
        }
        for store, place in patterns.items():
            root = self.work / store
            for digest, path in self.blobs.items():
                put_link(path, root / place(digest[7:]))
            (root / "README").write_bytes(b"no digest")
            sources = [f"cas:{root}", root]
            if store == "given":
                sources = [f"cas:{root}:x/%2/%h.blob"]
            for source in sources:
                found = self.scan(source)
                self.all_well(found)
                self.assertEqual({line["digest"] for line in found["image"]},
                                 {top["digest"] for top in self.layout.top}, store)
                self.assertEqual(len(found["layer"]), 2)
                self.assertEqual(found["rest"], [])
                for line in found["layer"]:
                    self.assertEqual(line["rungs"]["blob"], line["name"])

    def test_folder_of_blobs_alone(self):
        """Without a manifest nothing is known of what is referred to."""
        root = self.work / "blobs alone"
        for tar in (stores.BASE, stores.TOP):
            path = root / "sha256" / stores.sha256(tar)[7:9] / stores.sha256(tar)[7:]
            path.parent.mkdir(parents=True)
            path.write_bytes(tar)
        found = self.scan(f"cas:{root}")
        self.all_well(found)
        self.assertEqual((len(found["layer"]), found["rest"], found["image"]), (2, [], []))

    def test_one_source_twice(self):
        """Two ways to the same files: each is read once."""
        found = self.scan(f"oci:{self.layout.folder}", f"cas:{self.layout.folder}")
        self.all_well(found)
        self.assertEqual((len(found["layer"]), found["summary"]["same_files"]), (4, 2))
        self.assertEqual(found["summary"]["images"]["ok"], 4)

    def test_blob_and_lists_of_files(self):
        layer = next(path for path in self.blobs.values()
                     if path.read_bytes()[:2] == b"\x1f\x8b")
        line, = self.scan(f"blob:{layer}")["layer"]
        self.assertEqual((line["name"], line["checks"]["name"]), (str(layer), "none"))
        self.assertEqual(line["rungs"]["blob"], "sha256:" + layer.name)
        odd = self.work / "a name\nwith a line"
        shutil.copy(layer, odd)
        names = [str(layer), str(odd), str(self.work / "gone")]
        for command in ("scan", "digest"):
            out = run(harness.VARVE, command, "--json", "--files0-from=-", expect=3,
                      input="".join(name + "\0" for name in names).encode())
            found = {line["name"]: line for line in map(json.loads, out.splitlines())
                     if line["type"] == "layer"}
            self.assertEqual(set(found), set(names))
            self.assertEqual(found[names[1]]["rungs"], line["rungs"] | found[names[1]]["rungs"])
            self.assertEqual(found[names[2]]["error"]["code"], "io.missing")
        listed = self.work / "list"
        listed.write_bytes(os.fsencode(odd))
        out = run(harness.VARVE, "digest", "--json", f"--files0-from={listed}", layer)
        self.assertEqual(len(out.splitlines()), 4)
        run(harness.VARVE, "digest", f"--files0-from={self.work / 'no list'}", expect=2)


class Purposes(stores.StoreCase):
    """What is an image and what is not."""

    def test_attestations_and_artifacts(self):
        layout = stores.small_layout(self.work / "purposes")
        image = {key: value for key, value in layout.top[1].items() if key != "annotations"}
        empty = layout.put(b"{}", "application/vnd.oci.empty.v1+json")
        statement = layout.put(b'{"_type":"a statement"}', "application/vnd.in-toto+json")
        attested = layout.image([(statement, stores.sha256(b'{"_type":"a statement"}'))])
        layout.tag("attested", layout.index([
            {**image, "platform": {"os": "linux", "architecture": "amd64"}},
            {**attested, "platform": {"os": "unknown", "architecture": "unknown"}, "annotations": {
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": image["digest"]}}]))
        newer = layout.put_json({
            "schemaVersion": 2, "mediaType": oci.MANIFEST, "config": empty, "subject": image,
            "artifactType": "application/vnd.docker.attestation.manifest.v1+json",
            "layers": [statement]}, oci.MANIFEST)
        layout.tag("newer", newer)
        sbom = layout.put_json({
            "schemaVersion": 2, "mediaType": oci.MANIFEST, "config": empty, "subject": image,
            "layers": [statement]}, oci.MANIFEST)
        layout.tag("sha256-" + image["digest"][7:], layout.index([sbom]))
        chart = layout.put(stores.packed(stores.OTHER),
                           "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
        layout.tag("chart", layout.put_json({
            "schemaVersion": 2, "config": layout.put(
                b'{"name":"chart"}', "application/vnd.cncf.helm.config.v1+json"),
            "layers": [chart]}, oci.MANIFEST))
        layout.tag("odd", layout.put(b"anything", "application/x-something"))
        found = self.scan(layout.folder)
        self.all_well(found)
        purpose = {}
        for line in found["image"]:
            what = "attestation" if line.get("attestation") else (
                "artifact" if line.get("artifact") else "image")
            purpose.setdefault((line["ref"], line["digest"]), what)
        self.assertEqual(sorted((ref[:6], what) for (ref, _), what in purpose.items()), [
            ("1", "image"), ("2", "image"), ("attest", "attestation"), ("attest", "image"),
            ("chart", "artifact"), ("newer", "attestation"), ("sha256", "artifact")])
        summary = found["summary"]
        self.assertEqual((summary["images"]["ok"], summary["attestations"], summary["artifacts"]),
                         (3, 2, 2))
        # Whatever an index names is hashed, and nothing here is without reference.
        self.assertIn(stores.sha256(b"anything"), [line["name"] for line in found["layer"]])
        self.assertEqual(found["rest"], [])
        # One that is not there could not be judged either.
        layout.path(attested["digest"]).unlink()
        found = self.scan(layout.folder, expect=3)
        self.assertEqual([(line["digest"], line["status"]) for line in found["image"] if line["status"] != "ok"],
                         [(attested["digest"], "error")])
        self.assertEqual((found["summary"]["images"]["error"], found["summary"]["attestations"]), (0, 2))

    def test_several_tags_of_one_manifest(self):
        layout = stores.small_layout(self.work / "tags")
        for tag in ("latest", "1.0"):
            layout.tag(tag, {key: value for key, value in layout.top[1].items()
                             if key != "annotations"})
        found = self.scan(layout.folder)
        self.all_well(found)
        self.assertEqual(sorted(line["ref"] for line in found["image"]), ["1", "1.0", "2", "latest"])
        self.assertEqual(len(found["layer"]), 2)

    def test_one_tag_alone(self):
        layout = stores.small_layout(self.work / "one tag")
        layout.put(b"left", "x/y")
        found = self.scan(f"oci:{layout.folder}:1")
        self.assertEqual([line["ref"] for line in found["image"]], ["1"])
        self.assertEqual((len(found["layer"]), found["rest"]), (1, []))
        self.assertEqual(self.codes(self.scan(f"oci:{layout.folder}:3", expect=3)), ["source.tag"])


class Unpacked(stores.StoreCase):
    """Stores that keep layers as folders: what is written of them is checked, and that their bytes are
    not there is said."""

    def test_containers_storage(self):
        harness.need_tools("buildah", "skopeo")
        root = self.work / "storage"
        words = ["buildah", "--storage-driver", "vfs", "--root", root, "--runroot",
                 self.work / "run"]
        layout = stores.small_layout(self.work / "to pull")
        try:
            for tag in ("1", "2"):
                run("skopeo", "--insecure-policy", "copy", "--quiet",
                    f"oci:{layout.folder}:{tag}",
                    f"containers-storage:[vfs@{root}+{self.work / 'run'}]localhost/app:{tag}")
        except AssertionError as error:
            self.skipTest(f"containers-storage cannot be written here: {error}")
        said = json.loads(run(*words, "images", "--json", "--no-trunc"))
        for source in (root, f"containers-storage:{root}"):
            found = self.scan(source)
            self.all_well(found)
            self.assertEqual(
                sorted((line.get("ref"), line["digest"]) for line in found["image"]),
                sorted((name, image["digest"]) for image in said
                       for name in image["names"] or [None]))
            self.assertEqual({line["name"] for line in found["layer"]},
                             {stores.sha256(stores.BASE), stores.sha256(stores.TOP)})
            for line in found["layer"]:
                self.assertEqual(line["rungs"]["blob"], line["name"])
                self.assertEqual(line["checks"], {"name": "ok", "size": "ok", "diffid": "ok",
                                                  "media_type": "none"})
        self.spoiled_files(root)
        self.spoiled_storage(root, found)

    def spoiled_files(self, root):
        """Files of a layer that are changed, cut, gone, or led astray."""
        file, = (root / "vfs" / "dir").glob("*/opt/top")
        whole = file.read_bytes()
        file.write_bytes(b"x" + whole[1:])
        bad, = [line for line in self.scan(root, expect=1)["layer"] if line["status"] != "ok"]
        self.assertEqual((bad["name"], bad["error"]["code"]),
                         (stores.sha256(stores.TOP), "claim.name"))
        self.at_fault(root, "split.content", "split.content")
        for spoil, code in ((lambda: file.write_bytes(whole[:-1]), "split.size"),
                            (file.unlink, "split.missing"),
                            (lambda: file.symlink_to("/etc/hostname"), "split.missing")):
            spoil()
            bad, = [line for line in self.scan(root, expect=1)["layer"] if line["status"] != "ok"]
            self.assertEqual((bad["status"], bad["error"]["code"]), ("mismatch", code))
            self.at_fault(root, code, code)
        file.unlink()
        file.write_bytes(whole)
        self.all_well(self.scan(root))

    def at_fault(self, root, layer_code, file_code):
        """`varve verify-store` names the layer, the image and the file."""
        lines = self.lines(root, expect=1, command="verify-store")
        bad, = [line for line in lines if line["type"] == "layer" and line["status"] != "ok"]
        self.assertEqual((bad["error"]["code"], bad["bad_files"], bad["first_bad_file"]["path"],
                          bad["first_bad_file"]["code"]), (layer_code, 1, "opt/top", file_code))
        well, = [line for line in lines if line["type"] == "layer" and line["status"] == "ok"]
        self.assertEqual(set(well["rungs"]), {"blob", "diffid"})
        self.assertNotIn("bad_files", well)
        told = run(harness.VARVE, "verify-store", root, expect=1).decode()
        self.assertRegex(told, f"ok +layer {well['name']}, [0-9]+ bytes\n")
        self.assertRegex(told, f"mismatch +layer .*{bad['name']}\n +{layer_code}: ")
        self.assertIn(f" file opt/top: {file_code}: ", told)
        self.assertRegex(told, r"\n +in localhost/app:2 \(")

    def spoiled_storage(self, root, before):
        """A config that is another, a chain that is cut, tar-split that is gone."""
        images = json.loads((root / "vfs-images" / "images.json").read_bytes())
        two = next(image for image in images if len(image["big-data-names"]) and image["digest"]
                   == max(before["image"], key=lambda line: len(line["layers"]))["digest"])
        for split in (root / "vfs-layers").glob("*.tar-split.gz"):
            split.unlink()
        layers = json.loads((root / "vfs-layers" / "layers.json").read_bytes())
        for layer in layers:
            layer.pop("parent", None)
        (root / "vfs-layers" / "layers.json").write_text(json.dumps(layers))
        found = self.scan(root, expect=1)
        self.assertEqual([(note["code"], note["count"]) for note in found["note"]],
                         [("source.no-tar-split", 2)])
        bad, = [line for line in found["image"] if "error" in line]
        self.assertEqual((bad["digest"], bad["error"]["code"]), (two["digest"], "source.layers"))
        for layer in layers:
            layer["parent"] = layer["id"]
        (root / "vfs-layers" / "layers.json").write_text(json.dumps(layers))
        found = self.scan(root, expect=1)
        self.assertEqual([line["error"]["code"] for line in found["image"]],
                         ["source.layers"] * 2)
        for layer in layers:
            del layer["parent"]
        (root / "vfs-layers" / "layers.json").write_text(json.dumps(layers))
        (root / "vfs-images" / two["id"] / "manifest").write_bytes(b"{}")
        found = self.scan(root, expect=1)
        bad, = [line for line in found["image"] if "error" in line]
        self.assertEqual(bad["error"]["code"], "claim.name")
        (root / "vfs-images" / "images.json").write_bytes(b"[")
        self.assertEqual(self.codes(self.scan(root, expect=1))[-1], "oci.json")

    def test_an_image_without_id(self):
        root = self.work / "nameless"
        (root / "vfs-images").mkdir(parents=True)
        (root / "vfs-layers").mkdir()
        (root / "vfs-layers" / "layers.json").write_text("[]")
        (root / "vfs-images" / "images.json").write_text(json.dumps([
            {"names": ["app:1"], "digest": stores.sha256(b"m")}, {"id": "1" * 64}, 5]))
        found = self.scan(f"containers-storage:{root}", expect=1)
        self.assertEqual(self.codes(found), ["oci.shape"] * 3)
        self.assertEqual(found["image"], [])

    def test_storage_documents_with_oddities(self):
        root = self.work / "odd storage"
        config = b'{"rootfs":{"type":"layers","diff_ids":[]}}'
        config_digest = stores.sha256(config)
        images = []
        for number, fields in enumerate(({}, {"mediaType": "text/html"},
                                         {"annotations": {"a": "b\0"}})):
            manifest = json.dumps({"schemaVersion": 2, "layers": [], "config": {
                "mediaType": oci.CONFIG, "digest": config_digest, "size": len(config)},
                **fields}).encode()
            image = root / "vfs-images" / f"{number:064x}"
            image.mkdir(parents=True)
            (image / "manifest").write_bytes(manifest)
            (image / ("=" + base64.b64encode(config_digest.encode()).decode())).write_bytes(config)
            images.append({"id": image.name, "names": [f"app:{number}"],
                           "digest": stores.sha256(manifest)})
        (root / "vfs-layers").mkdir()
        (root / "vfs-layers" / "layers.json").write_text("[]")
        (root / "vfs-images" / "images.json").write_text(json.dumps(images))
        found = self.scan(f"containers-storage:{root}")
        self.all_well(found)
        self.assertEqual(len(found["image"]), 3)
        self.assertEqual([(line["code"], line["count"], line["name"].rpartition(" ")[2])
                          for line in found["note"]],
                         [("oci.media-type", 1, images[1]["digest"]),
                          ("oci.nul", 1, images[2]["digest"])])

    def docker(self, folder, **fields):
        """A docker data folder with one image of two layers; its ids."""
        image = folder / "image" / "overlay2"
        diffids = [stores.sha256(stores.BASE), stores.sha256(stores.TOP)]
        config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {
            "type": "layers", "diff_ids": diffids}, **fields}).encode()
        identity = stores.sha256(config)
        content = image / "imagedb" / "content" / "sha256"
        content.mkdir(parents=True)
        (content / identity[7:]).write_bytes(config)
        chain = None
        chains = []
        for diffid in diffids:
            parent, chain = chain, diffid if chain is None else stores.sha256(
                f"{chain} {diffid}".encode())
            layer = image / "layerdb" / "sha256" / chain[7:]
            layer.mkdir(parents=True)
            (layer / "diff").write_text(diffid)
            (layer / "size").write_text("5000")
            (layer / "cache-id").write_text("0" * 64)
            (layer / "tar-split.json.gz").write_bytes(stores.packed(b""))
            if parent:
                (layer / "parent").write_text(parent)
            chains.append(layer)
        (image / "repositories.json").write_text(json.dumps({"Repositories": {"app": {
            "app:1": identity, "app@" + stores.sha256(b"m"): identity}}}))
        return identity, diffids, chains

    def test_docker(self):
        folder = self.work / "docker"
        identity, diffids, chains = self.docker(folder)
        for source in (folder, f"docker:{folder}"):
            found = self.scan(source, expect=3)
            self.assertEqual((found["error"], found["note"]), ([], []))
            self.assertEqual(self.refs(found), [("app:1", identity, tuple(diffids))])
            self.assertEqual({line["error"]["code"] for line in found["layer"]},
                             {"io.missing"})
        (chains[1] / "diff").write_text(diffids[0])
        found = self.scan(folder, expect=1)
        self.assertEqual(self.codes(found), ["source.chain"])
        self.assertEqual(found["image"][0]["error"]["code"], "source.layers")
        # No digest in the file of one, and a name that leads to none.
        (chains[1] / "diff").write_text("sha256:")
        names = folder / "image" / "overlay2" / "repositories.json"
        names.write_text(json.dumps({"Repositories": {"app": {"app:1": identity, "app:2": "latest",
                                                              "app:3": "sha512:" + "0" * 128}}}))
        found = self.scan(folder, expect=1)
        self.assertEqual(self.codes(found), ["oci.shape"] * 2 + ["registry.link"])
        self.assertEqual([(line["ref"], line["error"]["code"]) for line in found["image"]],
                         [("app:1", "source.layers")])

    def test_docker_documents_with_oddities(self):
        folder = self.work / "odd docker"
        identity, _, _ = self.docker(folder, author="a\0b")
        found = self.scan(folder, expect=3)
        note, = found["note"]
        self.assertEqual((note["code"], note["count"]), ("oci.nul", 1))
        self.assertIn(identity[7:], note["name"])
        names = folder / "image" / "overlay2" / "repositories.json"
        names.write_text(names.read_text()[:-1] + r', "repo\u017fitories": {}}')
        found = self.scan(folder, expect=1)
        self.assertEqual(self.codes(found), ["oci.ambiguous"])
        self.assertEqual(found["image"][0]["digest"], identity)

    def test_docker_put_together(self):
        """Archives out of unpacked files and tar-split data, made by its own tool where that is there,
        else written down to its format."""
        folder = self.work / "docker with files"
        _, diffids, chains = self.docker(folder)
        for number, (chain, tar) in enumerate(zip(chains, (stores.BASE, stores.TOP))):
            files = folder / "overlay2" / f"{number:064x}" / "diff"
            (chain / "cache-id").write_text(f"{number:064x}")
            with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
                archive.extractall(files)
            (chain / "tar-split.json.gz").write_bytes(tar_split(self.work, tar))
        found = self.scan(folder)
        self.all_well(found)
        self.assertEqual([line["rungs"]["blob"] for line in found["image"][0]["layers"]
                          if "rungs" in line], [])
        self.assertEqual({line["rungs"]["blob"] for line in found["layer"]}, set(diffids))
        run(harness.VARVE, "verify-store", folder)
        self.changed_docker(folder)
        # Names that lead out of the folder, that are not UTF-8, lines that are none.
        secret = self.work / "secret"
        secret.write_bytes(b"x" * 10)
        good = gzip.decompress((chains[0] / "tar-split.json.gz").read_bytes())
        for lines, code in (
                (b'{"type":1,"name":"../../../secret","size":10,"payload":"AAAAAAAAAAE="}\n',
                 "split.path"),
                (json.dumps({"type": 1, "name": str(secret), "size": 10,
                             "payload": "AAAAAAAAAAE="}).encode(), "split.missing"),
                (b'{"type":1,"name_raw":"/w==","size":10,"payload":"AAAAAAAAAAE="}\n',
                 "split.missing"),
                (b"{", "split.line"), (b"[]\n", "split.line"), (b"\n\n{}\n", "split.line"),
                (b'{"type":2,"payload":"*"}\n', "split.line"),
                (b'{"type":1,"size":-1}\n', "split.line"), (good[:-200], "split.line"),
                (good + good, "split.position")):
            (chains[0] / "tar-split.json.gz").write_bytes(gzip.compress(lines, 1))
            bad, = [line for line in self.scan(folder, expect=1)["layer"]
                    if line["status"] != "ok"]
            self.assertEqual(bad["error"]["code"], code)
        (chains[0] / "tar-split.json.gz").write_bytes(gzip.compress(
            b'{"type":2,"payload":"' + b"A" * (17 << 20) + b'"}\n', 1))
        bad, = [line for line in self.scan(folder, expect=3)["layer"] if line["status"] != "ok"]
        self.assertEqual(bad["error"]["code"], "split.line-limit")
        packed = gzip.compress(good)
        (chains[0] / "tar-split.json.gz").write_bytes(packed[:-9])
        bad, = [line for line in self.scan(folder, expect=1)["layer"] if line["status"] != "ok"]
        self.assertEqual(bad["error"]["code"], "gzip.truncated")
        # A name that is not UTF-8 is found by its bytes.
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as archive:
            info = tarfile.TarInfo("./a//\udcff")
            info.size = 3
            archive.addfile(info, io.BytesIO(b"odd"))
        files = folder / "overlay2" / f"{0:064x}" / "diff"
        (files / "a").mkdir()
        with open(os.fsencode(files) + b"/a/\xff", "wb") as file:
            file.write(b"odd")
        (chains[0] / "tar-split.json.gz").write_bytes(written_split(tar.getvalue()))
        bad, = [line for line in self.scan(folder, expect=1)["layer"] if line["status"] != "ok"]
        self.assertEqual((bad["error"]["code"], bad["rungs"]["blob"]),
                         ("claim.name", stores.sha256(tar.getvalue())))


    def changed_docker(self, folder):
        """All files of a layer are looked at, and a layer without files is not judged."""
        files = folder / "overlay2" / f"{1:064x}" / "diff"
        whole = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
        for path, content in whole.items():
            path.write_bytes(bytes(byte ^ 1 for byte in content))
        changed = sum(1 for content in whole.values() if content)
        self.assertEqual({line["error"]["code"] for line in self.scan(folder, expect=1)["layer"]
                          if line["status"] != "ok"}, {"claim.name"})
        told = run(harness.VARVE, "verify-store", f"docker:{folder}", expect=1).decode()
        self.assertIn(": split.content: ", told)
        self.assertEqual(told.count("\n            file "), 1)
        self.assertEqual(f"and {changed - 1} more files" in told, changed > 1)
        self.assertRegex(told, r"\n +in app:1 \(linux/amd64\)")
        for path, content in whole.items():
            path.write_bytes(content)
        files.rename(files.with_name("away"))
        self.assertEqual(self.verdict(folder, 3), ("error", "io.missing", 0, False))
        files.with_name("away").rename(files)
        run(harness.VARVE, "verify-store", folder)
        self.changed_record(folder, files)

    def verdict(self, folder, expect):
        """Of the layer that `varve verify-store` finds at fault."""
        bad, = [line for line in self.lines(folder, expect=expect, command="verify-store")
                if line["type"] == "layer" and line["status"] != "ok"]
        return bad["status"], bad["error"]["code"], bad["bad_files"], bad["files_complete"]

    def changed_record(self, folder, files):
        """tar-split data with another CRC for the files that are there, with something behind it, that
        breaks off, or behind which a file cannot be looked at: docker could not read the layer either."""
        record, = (path for path in folder.rglob("tar-split.json.gz")
                   if (path.parent / "cache-id").read_text() == f"{1:064x}")
        whole = record.read_bytes()
        lines = [json.loads(line) for line in gzip.decompress(whole).splitlines()]
        count = sum(1 for line in lines if line.get("size"))
        for line in lines:
            if line.get("size"):
                line["payload"] = "AAAAAAAAAAE="

        def pack(lines):
            return gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

        record.write_bytes(pack(lines))
        run(harness.VARVE, "scan", folder)
        self.assertEqual(self.verdict(folder, 1), ("mismatch", "split.content", count, True))
        record.write_bytes(pack([*lines, {"type": 4, "position": len(lines)}]))
        self.assertEqual(self.verdict(folder, 1), ("mismatch", "split.content", count, False))
        told = run(harness.VARVE, "verify-store", folder, expect=1).decode()
        self.assertIn("\n            behind it not all files could be looked at\n", told)
        for data, code in ((whole + b"junk", "split.line"), (whole + bytes(512), "split.line"),
                           (whole[:-9], "gzip.truncated")):
            record.write_bytes(data)
            self.assertEqual(self.verdict(folder, 1), ("malformed", code, 0, False))
            told = run(harness.VARVE, "verify-store", folder, expect=1).decode()
            self.assertIn("(tar-split) that is at fault\n", told)
        record.unlink()
        self.assertEqual(self.verdict(folder, 3), ("unsupported", "source.unpacked", 0, False))
        record.write_bytes(whole)
        # What is no part of the archive may be otherwise.
        for path in files.rglob("*"):
            path.chmod(0o700)
        run(harness.VARVE, "verify-store", folder)

    def test_verify_store_of_others(self):
        """A store that keeps blobs as they are is not one to put together."""
        layout = stores.small_layout(self.work / "packed")
        told = subprocess.run([harness.VARVE, "verify-store", layout.folder], check=False,
                              capture_output=True)
        self.assertEqual((told.returncode, told.stdout), (2, b""))
        self.assertIn(b"varve scan", told.stderr)
        run(harness.VARVE, "verify-store", self.work / "absent", expect=3)


def tar_split(work, tar):
    """What the tool tar-split keeps of an archive."""
    if not shutil.which("tar-split"):
        return written_split(tar)
    target = work / "split.json.gz"
    harness.run("tar-split", "disasm", "--no-stdout", "--output", target, "-", input=tar)
    return target.read_bytes()


def written_split(tar):
    """The same, written a second time."""
    lines = []
    last = 0
    with tarfile.open(fileobj=io.BytesIO(tar), errors="surrogateescape") as archive:
        for member in archive:
            lines.append({"type": 2,
                          "payload": base64.b64encode(tar[last:member.offset_data]).decode()})
            name = os.fsencode(member.name)
            try:
                named = {"name": name.decode()}
            except UnicodeDecodeError:
                named = {"name_raw": base64.b64encode(name).decode()}
            lines.append({"type": 1, **named, "size": member.size, "payload": base64.b64encode(
                crc64(tar[member.offset_data:member.offset_data + member.size])).decode()})
            last = member.offset_data + member.size
    lines.append({"type": 2, "payload": base64.b64encode(tar[last:]).decode()})
    return gzip.compress(b"".join(json.dumps({**line, "position": i}).encode() + b"\n"
                                  for i, line in enumerate(lines)))


def canonical(config, timeless):
    """What is hashed of a config. Python's sorted compact JSON is RFC 8785's for what is in these:
    ASCII keys, integers, text without control characters."""
    config = json.loads(json.dumps(config))
    config.get("rootfs", {}).pop("diff_ids", None)
    if timeless:
        config.pop("created", None)
        for event in config.get("history", []):
            event.pop("created", None)
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":"),
                                     ensure_ascii=False).encode()).digest()


def image_rung(name, config, digests):
    """docs/image-ladder.md, written a second time."""
    data = b"varve1.image." + name.encode() + b"\0"
    data += canonical(config, name in ("times", "content"))
    data += len(digests).to_bytes(8, "little")
    for digest in digests:
        data += bytes.fromhex(digest.rpartition(":")[2])
    return f"varve1.image.{name}:sha256:{hashlib.sha256(data).hexdigest()}"


class ImageLadder(stores.StoreCase):
    def layout(self, name):
        return oci.Layout(self.work / name)

    def put_image(self, layout, tag, layers, **config):
        """An image with a config of one's own; the config."""
        config = {"architecture": "amd64", "os": "linux", **config, "rootfs": {
            "type": "layers", "diff_ids": [diffid for _, diffid in layers]}}
        layout.tag(tag, layout.put_json({
            "schemaVersion": 2, "mediaType": oci.MANIFEST,
            "config": layout.put_json(config, oci.CONFIG),
            "layers": [layer for layer, _ in layers]}, oci.MANIFEST))
        return config

    def layer(self, layout, tar, squeeze=True):
        data = stores.packed(tar) if squeeze else tar
        return (layout.put(data, stores.GZIP if squeeze else oci.LAYER), stores.sha256(tar))

    def scan_rungs(self, folder):
        lines = self.lines(folder, options=["--rungs=content"])
        layers = {line["name"]: line for line in lines if line["type"] == "layer"}
        return layers, {line["ref"]: line for line in lines if line["type"] == "image"}

    def test_rungs_are_what_the_document_says(self):
        layout = self.layout("ladder")
        history = [{"created": "2024-01-01T00:00:00Z", "created_by": "COPY \u20ac \u2028 # buildkit"},
                   {"created": "2024-01-01T00:00:01Z", "empty_layer": True}]
        config = {"created": "2024-01-01T00:00:01Z", "history": history,
                  "config": {"Env": ["PATH=/bin"], "Healthcheck": {"Interval": 30000000000}}}
        base, top = self.layer(layout, stores.BASE), self.layer(layout, stores.TOP)
        configs = {"two": self.put_image(layout, "two", [base, top], **config),
                   "turned": self.put_image(layout, "turned", [top, base], **config),
                   "none": self.put_image(layout, "none", [])}
        layers, images = self.scan_rungs(layout.folder)
        seen = set()
        for ref, config in configs.items():
            line = images[ref]
            for name in RUNGS:
                digests = [layers[layer["digest"]]["rungs"][name] for layer in line["layers"]]
                self.assertEqual(line["rungs"][name], image_rung(name, config, digests), ref)
                seen.add(line["rungs"][name])
        self.assertEqual(len(seen), len(configs) * len(RUNGS))

    def test_images_meet_where_they_should(self):
        layout = self.layout("meeting")
        at = "2024-01-01T00:00:00Z"
        later = "2025-01-01T00:00:00Z"
        config = {"created": at, "history": [{"created": at, "created_by": "x"}]}
        self.put_image(layout, "gzip", [self.layer(layout, stores.BASE)], **config)
        self.put_image(layout, "plain", [self.layer(layout, stores.BASE, False)], **config)
        self.put_image(layout, "later", [self.layer(layout, stores.BASE)], created=later,
                       history=[{"created": later, "created_by": "x"}])
        self.put_image(layout, "other", [self.layer(layout, stores.BASE)], created=at,
                       history=[{"created": at, "created_by": "y"}])
        self.put_image(layout, "padded", [self.layer(layout, stores.BASE + bytes(1024))], **config)
        _, images = self.scan_rungs(layout.folder)

        def meeting(a, b):
            equal = [name for name in RUNGS
                     if images[a]["rungs"][name] == images[b]["rungs"][name]]
            self.assertEqual(equal, list(RUNGS[len(RUNGS) - len(equal):]), (a, b))
            return equal[0] if equal else None
        self.assertEqual(meeting("gzip", "plain"), "diffid")
        self.assertEqual(meeting("gzip", "padded"), "archive")
        self.assertEqual(meeting("gzip", "later"), "times")
        self.assertIsNone(meeting("gzip", "other"))

    def test_rungs_are_absent_where_a_layer_has_none(self):
        layout = self.layout("absent")
        bad = layout.put(stores.packed(stores.BASE)[:-9], stores.GZIP)
        self.put_image(layout, "cut", [(bad, stores.sha256(stores.BASE))])
        lines = self.lines(layout.folder, expect=1, options=["--rungs=content"])
        image, = [line for line in lines if line["type"] == "image"]
        self.assertEqual(list(image["rungs"]), ["blob"])


if __name__ == "__main__":
    harness.main()
