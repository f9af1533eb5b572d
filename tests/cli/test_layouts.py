# SPDX-License-Identifier: Apache-2.0
"""Layouts that lie, loop, or lead astray: each is told by its code, nothing else suffers, nothing hangs."""

import base64
import gzip
import io
import json
import os
import sys
import tarfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402
import oci  # noqa: E402

GZIP = oci.LAYER + "+gzip"


def tar_of(name, content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


GOOD_TAR = tar_of("good", b"good\n")
OTHER_TAR = tar_of("other", b"other\n" * 1000)


class Layouts(harness.Case):
    def setUp(self):
        self.folder = self.work / self.id().rpartition(".")[2]
        self.layout = oci.Layout(self.folder)

    def layer(self, tar, **options):
        return self.layout.put(gzip.compress(tar, mtime=0), GZIP, **options), oci.digest_of(tar)

    def tag_image(self, *layers, name="tag"):
        self.layout.tag(name, self.layout.image(list(layers)))

    def scan(self, expect):
        lines = harness.run(harness.VARVE, "scan", "--json", f"oci:{self.folder}", expect=expect,
                            timeout=60).decode().splitlines()
        objects = [json.loads(line) for line in lines]
        self.assertEqual(objects[0]["type"], "scan")
        self.assertEqual(objects[-1]["type"], "summary")
        self.assertEqual(objects[-1]["exit_code"], expect)
        by_type = {"layer": {}, "image": [], "error": [], "note": []}
        for found in objects[1:-1]:
            if found["type"] == "layer":
                by_type["layer"][found["name"]] = found
            else:
                by_type[found["type"]].append(found)
        return by_type

    def one_bad_one_good(self, spoil, expect, code, status):
        """Two layers; `spoil` does something to the first one's file. The second stays well."""
        bad, good = self.layer(OTHER_TAR), self.layer(GOOD_TAR)
        self.tag_image(bad, good)
        spoil(self.layout.path(bad[0]["digest"]))
        found = self.scan(expect)
        layer = found["layer"][bad[0]["digest"]]
        self.assertEqual((layer["status"], layer["error"]["code"]), (status, code))
        self.assertEqual(found["layer"][good[0]["digest"]]["status"], "ok")
        self.assertEqual(found["layer"][good[0]["digest"]]["rungs"]["diffid"], good[1])
        self.assertEqual(found["image"][0]["status"], status)
        return layer

    def test_blob_under_a_wrong_name(self):
        layer = self.one_bad_one_good(
            lambda path: path.write_bytes(gzip.compress(GOOD_TAR + b"\0" * 512, mtime=0)), 1,
            "claim.name", "mismatch")
        self.assertEqual(layer["checks"]["name"], "mismatch")
        self.assertEqual(layer["checks"]["size"], "mismatch")
        self.assertEqual(layer["checks"]["diffid"], "mismatch")

    def test_missing_blob(self):
        layer = self.one_bad_one_good(os.unlink, 3, "io.missing", "error")
        self.assertNotIn("rungs", layer)

    def test_empty_blob_in_place_of_a_layer(self):
        layer = self.one_bad_one_good(lambda path: path.write_bytes(b""), 1, "claim.name",
                                      "mismatch")
        self.assertEqual(layer["format"], "empty")
        self.assertIn("layer.empty", [finding["code"] for finding in layer["findings"]])

    def test_pipe_never_blocks(self):
        def spoil(path):
            os.unlink(path)
            os.mkfifo(path)
        self.one_bad_one_good(spoil, 3, "io.not-regular", "error")

    def test_directory_in_place_of_a_blob(self):
        def spoil(path):
            os.unlink(path)
            os.mkdir(path)
        self.one_bad_one_good(spoil, 3, "io.not-regular", "error")

    def test_link_is_not_followed(self):
        def spoil(path):
            os.rename(path, self.work / "outside")
            os.symlink(self.work / "outside", path)
        self.one_bad_one_good(spoil, 3, "io.not-regular", "error")

    def test_link_in_the_middle_is_not_followed(self):
        self.tag_image(self.layer(GOOD_TAR))
        os.rename(self.folder / "blobs" / "sha256", self.work / "elsewhere")
        os.symlink(self.work / "elsewhere", self.folder / "blobs" / "sha256")
        found = self.scan(3)
        self.assertEqual(found["image"][0]["error"]["code"], "io.not-regular")

    def test_truncated_layer(self):
        layer = self.one_bad_one_good(lambda path: os.truncate(path, 40), 1, "gzip.truncated",
                                      "malformed")
        self.assertEqual(layer["checks"]["name"], "mismatch")
        self.assertEqual(list(layer["rungs"]), ["blob"])

    def test_claims_of_two_images_are_held_apart(self):
        layer, diffid = self.layer(GOOD_TAR)
        self.tag_image((layer, diffid), name="right")
        self.tag_image((layer, oci.digest_of(b"something else")), name="wrong")
        found = self.scan(1)
        self.assertEqual({image["ref"]: image["status"] for image in found["image"]},
                         {"right": "ok", "wrong": "mismatch"})
        self.assertEqual(found["layer"][layer["digest"]]["checks"]["diffid"], "mismatch")

    def test_document_of_two_shapes(self):
        self.layout.tag("both", self.layout.put_json(
            {"schemaVersion": 2, "manifests": [], "layers": []}, oci.MANIFEST))
        found = self.scan(1)
        self.assertEqual(found["image"][0]["error"]["code"], "oci.ambiguous")

    def test_keys_that_a_reader_folds(self):
        """A second list of layers under a key that Go's encoding/json takes for `layers`."""
        image = self.layout.image([self.layer(GOOD_TAR)])
        data = self.layout.path(image["digest"]).read_bytes()
        for number, key in enumerate((r"layer\u017f", "layer\u017f", "LAYERS")):
            other = data[:-1] + f',"{key}":[]}}'.encode()
            self.layout.tag(str(number), self.layout.put(other, oci.MANIFEST))
        found = self.scan(1)
        self.assertEqual([image["error"]["code"] for image in found["image"]], ["oci.ambiguous"] * 3)

    def test_descriptor_with_keys_that_a_reader_folds(self):
        image = self.layout.image([self.layer(GOOD_TAR)])
        self.layout.tag("good", image)
        for key in ("Annotations", "Platform", "Data", "URLs"):
            self.layout.tag("bad", {**image, key: {oci.REF_NAME: "evil"}})
        found = self.scan(1)
        self.assertEqual([line["code"] for line in found["error"]], ["oci.ambiguous"] * 4)
        self.assertEqual([line["ref"] for line in found["image"]], ["good"])

    def test_document_of_another_kind_than_its_descriptor_says(self):
        image = self.layout.image([self.layer(GOOD_TAR)])
        bare = self.layout.image([self.layer(OTHER_TAR)], media_type=False)
        index = self.layout.index([image])
        self.layout.tag("good", image)
        self.layout.tag("image", {**image, "mediaType": oci.INDEX})
        self.layout.tag("bare", {**bare, "mediaType": oci.DOCKER_LIST})
        self.layout.tag("index", {**index, "mediaType": oci.MANIFEST})
        self.layout.tag("nested", self.layout.index([{**index, "mediaType": oci.DOCKER_MANIFEST}]))
        found = self.scan(1)
        self.assertEqual({(line["ref"], line.get("error", {}).get("code"))
                          for line in found["image"]},
                         {("good", None), ("image", "oci.ambiguous"), ("bare", "oci.ambiguous"),
                          ("index", None), ("nested", None)})
        for line in found["image"]:
            if "error" in line:
                self.assertEqual((line["status"], line["error"]["document"]),
                                 ("malformed", line["digest"]))
        self.assertEqual([(line["name"].rpartition(" ")[2], line["code"]) for line in found["error"]],
                         [(index["digest"], "oci.ambiguous")])
        self.assertEqual(found["note"], [])

    def test_media_types_that_differ_within_a_kind(self):
        """They are noted, once for each document, and change nothing."""
        layer = self.layer(GOOD_TAR)
        docker = self.layout.image([layer], docker=True)
        for name, descriptor in (
                ("docker", docker), ("oci", self.layout.image([layer])),
                ("bare", {**self.layout.image([layer], media_type=False, architecture="arm"),
                          "mediaType": oci.DOCKER_MANIFEST}),
                ("list", {**self.layout.index([docker]), "mediaType": oci.DOCKER_LIST}),
                ("again", {**docker, "mediaType": oci.MANIFEST}),
                ("and again", {**docker, "mediaType": oci.MANIFEST}),
                ("html", self.layout.put_json({"mediaType": "text/html", "schemaVersion": 2,
                                               "manifests": [docker]}, oci.INDEX))):
            self.layout.tag(name, descriptor)
        found = self.scan(0)
        self.assertEqual({line["status"] for line in found["image"]}, {"ok"})
        self.assertEqual([(line["code"], line["count"]) for line in found["note"]],
                         [("oci.media-type", 3)])

    def test_nul_in_a_tag_and_in_a_config(self):
        """A tag that holds a NUL is none; documents that hold one are noted, once each."""
        layer = self.layer(GOOD_TAR)
        config = self.layout.put_json({"author": "a\0b", "rootfs": {
            "type": "layers", "diff_ids": [layer[1]]}}, oci.CONFIG)
        for number in (1, 2):
            self.layout.tag(f"a\0{number}", self.layout.put_json(
                {"schemaVersion": 2, "config": config, "layers": [layer[0]], "n": number},
                oci.MANIFEST))
        found = self.scan(0)
        self.assertEqual([line.get("ref") for line in found["image"]], [None, None])
        note, = found["note"]
        self.assertEqual((note["code"], note["count"]), ("oci.nul", 2))
        self.assertIn("index.json", note["name"])

    def test_digest_that_is_a_path(self):
        layer, diffid = self.layer(GOOD_TAR)
        self.tag_image(({**layer, "digest": "sha256:../../../../etc/passwd"}, diffid))
        found = self.scan(1)
        self.assertEqual(found["image"][0]["error"]["code"], "oci.descriptor")
        self.assertEqual(found["image"][0]["layers"], [])
        self.assertEqual([(name, line["referenced"]) for name, line in found["layer"].items()],
                         [(layer["digest"], False)])

    def test_wrong_number_of_diffids(self):
        layer = self.layer(GOOD_TAR)
        descriptor = self.layout.image([layer])
        self.layout.tag("tag", descriptor)

        def change(config):
            config["rootfs"]["diff_ids"].append(layer[1])
        manifest = json.loads(self.layout.path(descriptor["digest"]).read_bytes())
        oci.repoint(self.folder, manifest["config"]["digest"], change)
        found = self.scan(1)
        self.assertEqual(found["image"][0]["status"], "mismatch")
        self.assertEqual(found["image"][0]["error"]["code"], "oci.diffid-count")

    def test_index_that_holds_itself(self):
        digest = "sha256:" + "1" * 64
        link = {"mediaType": oci.INDEX, "digest": digest, "size": 0}
        text = json.dumps({"schemaVersion": 2, "manifests": [link, link]}).encode()
        self.layout.put(b"", GZIP)
        self.layout.path(digest).write_bytes(text)
        self.layout.tag("loop", {**link, "size": len(text)})
        found = self.scan(1)
        self.assertEqual(found["error"][0]["code"], "claim.name")
        self.assertEqual(found["image"], [])

    def test_indexes_nested_deeply(self):
        descriptor = self.layout.image([self.layer(GOOD_TAR)])
        for _ in range(1500):
            descriptor = self.layout.index([descriptor])
        self.layout.tag("deep", descriptor)
        found = self.scan(0)
        self.assertEqual(len(found["image"]), 1)

    def test_indexes_that_double(self):
        """Thirty levels, each naming the next one twice: 2^30 paths, thirty documents."""
        descriptor = self.layout.image([self.layer(GOOD_TAR)])
        for _ in range(30):
            descriptor = self.layout.index([descriptor, descriptor])
        self.layout.tag("wide", descriptor)
        self.assertEqual(len(self.scan(0)["image"]), 1)

    def test_no_oci_layout_file(self):
        self.tag_image(self.layer(GOOD_TAR))
        os.unlink(self.folder / "oci-layout")
        found = self.scan(1)
        self.assertEqual(found["error"][0]["code"], "oci.layout")
        self.assertEqual(found["image"][0]["status"], "ok")

    def test_oci_layout_file_of_two_readings(self):
        self.tag_image(self.layer(GOOD_TAR))
        (self.folder / "oci-layout").write_text(
            '{"imageLayoutVersion":"1.0.0","imageLayoutVer\u017fion":"2"}')
        found = self.scan(1)
        self.assertEqual([line["code"] for line in found["error"]], ["oci.ambiguous"])
        self.assertEqual(found["image"][0]["status"], "ok")

    def test_document_beyond_four_mebibytes(self):
        self.layout.tag("big", self.layout.put(b" " * (4 << 20) + b"{}", oci.MANIFEST))
        found = self.scan(3)
        self.assertEqual(found["image"][0]["error"]["code"], "oci.document-size")

    def test_documents_that_are_no_files(self):
        """A pipe, a link to the very document, a folder in place of each: none is waited for or followed, and
        the image beside it is judged."""
        def pipe(path, data):
            os.mkfifo(path)

        def link(path, data):
            (self.work / "the document").write_bytes(data)
            os.symlink(self.work / "the document", path)

        def folder(path, data):
            os.mkdir(path)
            (path / "index.json").write_bytes(data)

        for document in "manifest", "config", "index.json", "oci-layout":
            for spoil in pipe, link, folder:
                with self.subTest(f"{document}: {spoil.__name__}"):
                    self.folder = self.work / f"{document} {spoil.__name__}"
                    self.layout = oci.Layout(self.folder)
                    layer = self.layer(GOOD_TAR)
                    bad = self.layout.image([layer], architecture="arm64")
                    self.layout.tag("bad", bad)
                    self.tag_image(layer, name="good")
                    path = self.folder / document
                    if not path.exists():
                        manifest = self.layout.path(bad["digest"])
                        config = json.loads(manifest.read_bytes())["config"]["digest"]
                        path = manifest if document == "manifest" else self.layout.path(config)
                    data = path.read_bytes()
                    path.unlink()
                    spoil(path, data)
                    self.check_no_file(self.scan(3), document, layer)

    def check_no_file(self, found, document, layer):
        """An image's own document harms that image; what tells of all is an error line."""
        self.assertEqual(found["layer"][layer[0]["digest"]]["rungs"]["diffid"], layer[1])
        images = {image["ref"]: (image["status"], image.get("error", {}).get("code"))
                  for image in found["image"]}
        bad = ("error", "io.not-regular") if document in ("manifest", "config") else ("ok", None)
        self.assertEqual(images, {} if document == "index.json" else {"bad": bad, "good": ("ok", None)})
        self.assertEqual([error["code"] for error in found["error"]],
                         ["io.not-regular"] if document in ("index.json", "oci-layout") else [])

    def test_what_is_half_written_is_ignored(self):
        """What tools leave in a layout that they write into: none is taken for a blob, or told of."""
        layer = self.layer(GOOD_TAR)
        self.tag_image(layer)
        blobs = self.folder / "blobs"
        for path in (self.folder / "ingest" / "1f" / "data", self.folder / "ingest" / ("b" * 64),
                     blobs / "ingest" / ("b" * 64), blobs / "sha256" / ".tmp-123",
                     blobs / "sha256" / ("a" * 64 + ".partial")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(OTHER_TAR[:700])
        found = self.scan(0)
        self.assertEqual(list(found["layer"]), [layer[0]["digest"]])
        self.assertEqual([image["status"] for image in found["image"]], ["ok"])
        self.assertEqual(found["error"], [])

    def test_thousands_of_layers_in_one_image(self):
        layer = self.layer(GOOD_TAR)
        self.tag_image(*[layer] * 10000)
        found = self.scan(0)
        self.assertEqual(len(found["layer"]), 1)
        self.assertEqual(len(found["image"][0]["layers"]), 10000)

    def test_configs_that_many_images_share(self):
        """Four MiB each, so that no more than some are read ahead: the first images read them anew,
        the last have what was kept of that. What is said is the same: of a good one; of one with
        too many diffIDs; of one that is no JSON; of one that does not bear its digest; of one that
        an artifact has first."""
        layer = self.layer(GOOD_TAR)
        text = json.dumps({"architecture": "arm64", "os": "linux",
                           "rootfs": {"type": "layers", "diff_ids": [layer[1]]}}).encode()
        cases = {"good": (text, "ok", None),
                 "count": (text.replace(b"]", b', "' + layer[1].encode() + b'"]'), "mismatch",
                           "oci.diffid-count"),
                 "json": (text + b"}", "malformed", "oci.json"),
                 "name": (text.replace(b"linux", b"other"), "mismatch", "claim.name")}
        for name, (data, _, _) in cases.items():
            config = self.layout.put(data.ljust((4 << 20) - 100), oci.CONFIG)
            if name == "name":
                self.layout.path(config["digest"]).write_bytes(text.ljust((4 << 20) - 100))
            for i in range(8):
                odd = {"mediaType": "text/plain"} if i in (0, 6) else {}
                self.layout.tag(f"{name}{i}", self.layout.put_json(
                    {"schemaVersion": 2, "mediaType": oci.MANIFEST, "annotations": {"i": str(i)},
                     "config": {**config, **odd}, "layers": [layer[0]]}, oci.MANIFEST))
        images = {image["ref"]: image for image in self.scan(1)["image"]}
        manifests = []
        for name, (_, status, code) in cases.items():
            for i in range(8):
                image = images.pop(f"{name}{i}")
                judged = i not in (0, 6)
                expect = (status, code) if judged or name == "name" else ("ok", None)
                self.assertEqual((image["status"], image.get("error", {}).get("code")), expect, i)
                told = judged and name != "json"
                self.assertEqual(image.get("platform"), "linux/arm64" if told else None, name)
                self.assertEqual(image["layers"][0].get("diffid"), layer[1] if told else None, name)
                if name == "good":
                    manifests.append(image["digest"])
        self.assertEqual(images, {})
        for right in manifests[2], manifests[5]:
            found, *_ = harness.run(harness.VARVE, "diff", "--json", "--rung=diffid",
                                    f"--source=oci:{self.folder}", manifests[1], right,
                                    expect=0).splitlines()
            self.assertEqual(json.loads(found)["config"]["relation"], "identical")

    def test_file_that_grows_while_it_is_read(self):
        path = self.work / "growing"
        with open(path, "wb") as out:
            out.truncate(400 << 20)
        stop = threading.Event()

        def grow():
            with open(path, "ab") as out:
                while not stop.is_set():
                    out.write(b"x")
                    out.flush()
                    time.sleep(0.001)
        thread = threading.Thread(target=grow)
        thread.start()
        try:
            lines = harness.run(harness.VARVE, "digest", "--json", "--rungs=blob", path, expect=3)
        finally:
            stop.set()
            thread.join()
        layer = json.loads(lines.splitlines()[1])
        self.assertEqual((layer["status"], layer["error"]["code"]), ("error", "io.changed"))
        self.assertNotIn("rungs", layer)

    def test_file_name_that_is_not_utf8(self):
        name = os.fsencode(self.work) + b"/caf\xe9.tar"
        with open(name, "wb") as out:
            out.write(GOOD_TAR)
        out = harness.run(harness.VARVE, "digest", "--json", os.fsdecode(name))
        layer = json.loads(out.splitlines()[1].decode("utf-8", "strict"))
        self.assertTrue(layer["name"].endswith("caf\ufffd.tar"))
        self.assertEqual(base64.b64decode(layer["name_b64"]), name)


if __name__ == "__main__":
    harness.main()
