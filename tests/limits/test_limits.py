# SPDX-License-Identifier: Apache-2.0
"""Limits, at the last value within and at the first beyond; docs/limits.md names these tests. Each
value is read from src/limits.h."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import sqlite3
import struct
import sys
import tarfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness
import limits

import oci

LIMITS = limits.read(harness.SOURCE / "src" / "limits.h")


def header(name, size, kind=b"0"):
    """A ustar header; the size in base-256 where octal cannot hold it."""
    number = b"%011o\0" % size if size < 8**11 else struct.pack(">B3xQ", 0x80, size)
    block = bytearray(struct.pack("100s8s8s8s12s12s8s1s100s6s2s247x", name, b"0000644\0",
                                  b"0000000\0", b"0000000\0", number, b"00000000000\0", b" " * 8,
                                  kind, b"", b"ustar\0", b"00"))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def extension(kind, body):
    return header(b"x", len(body), kind) + padded(body)


def record(key, value):
    """A pax record: POSIX, pax Extended Header."""
    rest = b" %s=%s\n" % (key, value)
    count = next(n for n in range(len(rest) + 1, len(rest) + 20) if n == len(rest) + len(str(n)))
    return b"%d%s" % (count, rest)


def record_of(count):
    """One that is so long."""
    text = b"%d comment=" % count
    return text + b"v" * (count - len(text) - 1) + b"\n"


def gnu_sparse(blocks):
    """A file of holes alone, of GNU's old format, whose map goes on in so many blocks."""
    element = b"%011o\0" + b"00000000000\0"
    block = bytearray(header(b"sparse", 0, b"S"))
    block[257:265] = b"ustar  \0"
    block[386:482] = b"".join(element % i for i in range(4))
    block[482] = blocks > 0
    block[483:495] = b"%011o\0" % (4 + 21 * blocks)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    following = [b"".join(element % (4 + 21 * i + j) for j in range(21)) + bytes([i + 1 < blocks]) + bytes(7)
                 for i in range(blocks)]
    return bytes(block) + b"".join(following)


def pax_sparse(count):
    """The same of pax's format 1.0, with a map of so many bytes."""
    runs = (count - 8) // 10
    text = b"%d\n" % runs + b"".join(b"%d\n0\n" % (1000000 + i) for i in range(runs))
    assert count - 512 < len(text) <= count
    size = 1000000 + runs
    return extension(b"x", record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0") +
                     record(b"GNU.sparse.realsize", b"%d" % size)) + \
        header(b"sparse", count) + text.ljust(count, b"\0")


def frame(log, eighths=0):
    """A zstd frame of no content; its header alone says how wide its window is: RFC 8878, 3.1.1.1.2."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([(log - 10) << 3 | eighths]) + b"\x01\0\0"


END = bytes(1024)
CONFIG = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}


class Limits(harness.Case):
    def layer(self, data, *options):
        """The exit code and the line of a layer given as bytes."""
        path = self.work / "layer"
        path.write_bytes(data)
        done = harness.subprocess.run([harness.VARVE, "digest", "--json", *options, path],
                                      stdout=harness.subprocess.PIPE, check=False)
        return done.returncode, json.loads(done.stdout.splitlines()[1])

    def codes(self, data):
        return {finding["code"] for finding in self.layer(data)[1]["findings"]}

    def scan(self, source, expect):
        lines = harness.run(harness.VARVE, "scan", "--json", source, expect=expect)
        return [json.loads(line) for line in lines.splitlines()]

    def layout_of(self, name, kind, change):
        """Two images, with `change` made to the text of one document: the first one's manifest, its config,
        an index that leads to it, index.json, oci-layout."""
        def put(what, document, media_type):
            text = json.dumps(document).encode()
            return layout.put(change(text) if what == kind else text, media_type)

        layout = oci.Layout(self.work / name)
        config = put("config", CONFIG, oci.CONFIG)
        link = put("manifest", {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config,
                                "layers": []}, oci.MANIFEST)
        if kind == "index":
            link = put("index", {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [link]},
                       oci.INDEX)
        layout.tag("first", link)
        layout.tag("second", layout.image([], architecture="arm64"))
        if kind in ("index.json", "oci-layout"):
            path = layout.folder / kind
            path.write_bytes(change(path.read_bytes()))
        return f"oci:{layout.folder}"

    def check_document(self, kind, lines, status, code):
        """What is said where a document is beyond a limit (`code` None: where none is): an image ends so,
        or there is an error line; the image beside it is judged."""
        images = {line["ref"]: (line["status"], line.get("error", {}).get("code"))
                  for line in lines if line["type"] == "image"}
        of_image = kind in ("manifest", "config", "index")
        first = (status, code) if code and of_image else ("ok", None)
        self.assertEqual(images, {} if code and kind == "index.json"
                         else {"first": first, "second": ("ok", None)})
        self.assertEqual([line["code"] for line in lines if line["type"] == "error"],
                         [code] if code and not of_image else [])

    def test_documents(self):
        for kind in "manifest", "config", "index", "index.json", "oci-layout":
            for more in 0, 1:
                with self.subTest(f"{kind} +{more}"):
                    size = LIMITS["VARVE_LIMIT_DOCUMENT_BYTES"] + more
                    source = self.layout_of(f"large {kind} {more}", kind, lambda text: text.ljust(size))
                    self.check_document(kind, self.scan(source, 3 if more else 0), "limit",
                                        "oci.document-size" if more else None)

    def test_documents_written(self):
        """An index that RFC 8785 spells longer than it was: a number of four bytes becomes one of 21."""
        def normalize(pad, expect):
            source = self.layout_of(f"written {pad}", "index.json", lambda text: text[:-1] +
                                    b',"x":[%s],"y":"%s"}' % (b",".join([b"1e20"] * 1000), b"y" * pad))
            out = self.work / f"written anew {pad}"
            complaints = self.work / "complaints"
            with open(complaints, "wb") as file:
                harness.run(harness.VARVE, "normalize", source, "-o", f"oci:{out}", expect=expect, stderr=file)
            if expect:
                self.assertIn(b"index.json: oci.document-size", complaints.read_bytes())
                self.assertFalse(out.exists())
                return None
            return (out / "index.json").stat().st_size

        most = LIMITS["VARVE_LIMIT_DOCUMENT_BYTES"]
        pad = most - normalize(0, 0)
        self.assertEqual(normalize(pad, 0), most)
        normalize(pad + 1, 3)

    def test_nesting(self):
        """jansson reads 2,048 arrays and objects within each other, the document itself one of them."""
        for kind in "manifest", "config", "index", "index.json":
            for depth in 2048, 2049:
                with self.subTest(f"{kind} {depth}"):
                    inner = b"[" * (depth - 1) + b"]" * (depth - 1)
                    source = self.layout_of(f"deep {kind} {depth}", kind,
                                            lambda text: text[:-1] + b',"x":' + inner + b"}")
                    self.check_document(kind, self.scan(source, 0 if depth == 2048 else 1), "malformed",
                                        None if depth == 2048 else "oci.json")

    def test_probed_folders(self):
        """Where no kind is given a thousand names are looked at, the source itself one of them."""
        top = self.work / "probed"
        layout = oci.Layout(top / "layout")
        layout.tag("x", layout.image([]))
        for i in range(998):
            os.mkdir(top / f"a{i:03}")
        for more in 0, 1:
            if more:
                os.mkdir(top / "b")
            lines = self.scan(top, 3 if more else 0)
            self.assertEqual([(line["type"], line.get("code")) for line in lines[1:-1]],
                             [("error", "source.unknown") if more else ("image", None)])
        for kind in "dir", "zot":
            self.assertEqual([line["status"] for line in self.scan(f"{kind}:{top}", 0)
                              if line["type"] == "image"], ["ok"])

    @contextlib.contextmanager
    def beneath(self, names):
        """Makes folders within each other, and is in the last of them meanwhile."""
        before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.chdir(self.work)
            for name in names:
                os.mkdir(name)
                os.chdir(name)
            yield
        finally:
            os.fchdir(before)
            os.close(before)

    def test_store_paths(self):
        """Paths beneath a source: 4,095 bytes, PATH_MAX without its NUL."""
        blob = len("/blobs/sha256/") + 64
        for most in 4095, 4096:
            left = most - blob
            names = ["d" * 99] * (left // 100 - 1)
            names.append("e" * (left - 100 * len(names)))
            top = f"paths {most}"
            with self.beneath([top, *names]):
                layout = oci.Layout(".")
                layout.tag("x", layout.image([]))
            lines = self.scan(f"zot:{self.work / top}", 0 if most == 4095 else 3)
            image, = (line for line in lines if line["type"] == "image")
            self.assertEqual((image["status"], image.get("error", {}).get("code")),
                             ("ok", None) if most == 4095 else ("error", "io.open"))

    def test_steps(self):
        """Tags that all lead into the same chain of indexes: each is a walk of its own. At its end is
        an image whose layers count as ten documents more."""
        tags = 2000
        depth = LIMITS["VARVE_LIMIT_SOURCE_STEPS"] // tags
        self.assertEqual(depth * tags, LIMITS["VARVE_LIMIT_SOURCE_STEPS"])
        layout = oci.Layout(self.work / "steps")
        empty = bytes(1024)
        layer = (layout.put(empty, oci.LAYER), oci.digest_of(empty))
        link = layout.image([layer] * (11 * LIMITS["VARVE_LAYERS_A_STEP"] - 1))
        for _ in range(depth - 11):
            link = layout.index([link])
        for more, expect in ((0, 0), (1, 3)):
            tops = [{**link, "annotations": {oci.REF_NAME: f"t{i}"}} for i in range(tags + more)]
            (layout.folder / "index.json").write_text(
                json.dumps({"schemaVersion": 2, "manifests": tops}))
            lines = self.scan(f"oci:{layout.folder}", expect)
            self.assertEqual([line["code"] for line in lines if line["type"] == "error"],
                             ["source.images"] * more)
            self.assertEqual(sum(line["type"] == "image" for line in lines), tags)

    def test_references(self):
        """A long reference stands beside every image that it leads to: so it is cut, between two
        characters, and what is asked for by its tag is found all the same."""
        most = LIMITS["VARVE_LIMIT_TAG_SHOWN_BYTES"]
        layout = oci.Layout(self.work / "references")
        link = layout.image([])
        whole = "r" * most
        long = {"r" * (most - 1) + "\u00e9" + "s" * 90000: "r" * (most - 1) + "...",
                "q" * most + "s": "q" * most + "...", whole: whole}
        for ref in long:
            layout.tag(ref, link)
        lines = self.scan(f"oci:{layout.folder}", 0)
        self.assertEqual([line["ref"] for line in lines if line["type"] == "image"],
                         list(long.values()))
        one, = (line for line in self.scan(f"oci:{layout.folder}:{'q' * most}s", 0)
                if line["type"] == "image")
        self.assertEqual(one["ref"], "q" * most + "...")
        database = self.work / "references.db"
        harness.run(harness.VARVE, "scan", f"--db={database}", f"oci:{layout.folder}")
        with contextlib.closing(sqlite3.connect(database)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            texts = {value for name, in tables for row in connection.execute(f'SELECT * FROM "{name}"')
                     for value in row if isinstance(value, str) and value[:9] in ("r" * 9, "q" * 9)}
        self.assertEqual(texts, set(long.values()))

    def test_links_in_archives(self):
        """A layer behind links, in an archive that holds a layout."""
        tar = header(b"file", 0) + END
        layout = oci.Layout(self.work / "hops")
        link = layout.put(tar, oci.LAYER)
        layout.tag("x", layout.image([(link, oci.digest_of(tar))]))
        blob = layout.path(link["digest"]).relative_to(layout.folder)
        most = LIMITS["VARVE_LIMIT_LINK_HOPS"]
        for hops in most, most + 1:
            path = self.work / f"hops{hops}.tar"
            with tarfile.open(path, "w") as archive:
                for found in sorted(layout.folder.rglob("*")):
                    name = found.relative_to(layout.folder)
                    if name != blob and found.is_file():
                        archive.add(found, name)
                info = tarfile.TarInfo("link0")
                info.size = len(tar)
                archive.addfile(info, io.BytesIO(tar))
                for i in range(1, hops + 1):
                    info = tarfile.TarInfo(str(blob) if i == hops else f"link{i}")
                    info.type = tarfile.SYMTYPE
                    info.linkname = f"../../link{i - 1}" if i == hops else f"link{i - 1}"
                    archive.addfile(info)
            lines = self.scan(f"oci-archive:{path}", 0 if hops == most else 3)
            layer, = (line for line in lines if line["type"] == "layer")
            self.assertEqual((layer["status"], layer.get("error", {}).get("code")),
                             ("ok", None) if hops == most else ("error", "io.missing"))

    def join(self, line, expect):
        """Of tar-split data of one line, what comes of it or the code of the fault."""
        data, files, out = self.work / "data.gz", self.work / "files", self.work / "joined"
        files.mkdir(exist_ok=True)
        data.write_bytes(gzip.compress(line + b"\n", 1))
        complaints = self.work / "complaints"
        with open(complaints, "wb") as file:
            harness.run(harness.VARVE, "join", data, files, "-o", out, expect=expect, stderr=file)
        return out.read_bytes() if expect == 0 else complaints.read_bytes()

    def test_tar_split_lines(self):
        head = b'{"type":2,"position":0,"payload":"'
        most = LIMITS["VARVE_LIMIT_TAR_SPLIT_LINE_BYTES"]
        for more in 0, 1:
            payload = b"A" * ((most - len(head) - 2) // 4 * 4)
            line = (head + payload + b'"').ljust(most + more - 1) + b"}"
            self.assertEqual(len(line), most + more)
            said = self.join(line, 3 if more else 0)
            if more:
                self.assertIn(b": split.line-limit: ", said)
            else:
                self.assertEqual(said, bytes(len(payload) // 4 * 3))

    def test_tar_split_values(self):
        """The line's own object, its three members before the list, the list, and what is in that."""
        most = LIMITS["VARVE_LIMIT_TAR_SPLIT_VALUES"]
        for more in 0, 1:
            values = most + more - 1 - 3 - 1 - 1
            line = json.dumps({"type": 2, "position": 0, "payload": "AAAA", "x": [0] * (values + 1)}).encode()
            said = self.join(line, 3 if more else 0)
            if more:
                self.assertIn(b": split.line-limit: ", said)
            else:
                self.assertEqual(said, bytes(3))

    def test_split_names(self):
        """What Linux takes as a name (255 bytes) and as a path (4,095) becomes a file; what is longer stays
        in the tar data."""
        path = "/".join(["p" * 255] * 16)
        self.assertEqual(len(path), 4095)
        for names, files in ((["n" * 255, path], 2), (["n" * 256], 0), ([path[:-1] + "/q"], 0)):
            layer, out = self.work / "split.tar", self.work / "split files"
            with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as archive:
                for name in names:
                    info = tarfile.TarInfo(name)
                    info.size = 5
                    archive.addfile(info, io.BytesIO(b"hello"))
            said = json.loads(harness.run(harness.VARVE, "split", "--json", layer, "-o",
                                          self.work / "split.gz", f"--files={out}"))
            self.assertEqual((said["files"], said["contents_kept"]), (files, len(names) - files))
            joined = self.work / "split joined"
            harness.run(harness.VARVE, "join", self.work / "split.gz", out, "-o", joined)
            self.assertEqual(joined.read_bytes(), layer.read_bytes())
            harness.run("rm", "-r", out)

    def test_store_lists(self):
        config = json.dumps({"os": "linux", "architecture": "amd64",
                             "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        digest = hashlib.sha256(config).hexdigest()
        store = self.work / "docker" / "image" / "overlay2"
        (store / "imagedb" / "content" / "sha256").mkdir(parents=True)
        (store / "layerdb" / "sha256").mkdir(parents=True)
        (store / "imagedb" / "content" / "sha256" / digest).write_bytes(config)
        names = json.dumps({"Repositories": {"app": {"app:1": f"sha256:{digest}"}}}).encode()
        for more, expect in ((0, 0), (1, 3)):
            size = LIMITS["VARVE_LIMIT_STORE_LIST_BYTES"] + more
            (store / "repositories.json").write_bytes(names.ljust(size))
            lines = self.scan(f"docker:{self.work}/docker", expect)
            self.assertEqual([line.get("ref") for line in lines if line["type"] == "image"],
                             [None if more else "app:1"])
            self.assertEqual([line["code"] for line in lines if line["type"] == "error"],
                             ["oci.document-size"] * more)

    def test_decoded_bytes(self):
        data = header(b"zeros", 3 << 20) + bytes((3 << 20) + 1024)
        for least, expect in ((len(data), 0), (len(data) - 1, 3)):
            code, line = self.layer(zlib.compress(data, wbits=31), f"--max-decoded={least}")
            self.assertEqual((code, line["status"]), (expect, "limit" if expect else "ok"))
            if expect:
                self.assertEqual(line["error"]["code"], "decode.limit")
                self.assertEqual(list(line["rungs"]), ["blob"])

    def test_ratio(self):
        """Zeros, and an extra field of the gzip header that makes the blob as long as is wanted."""
        ratio = LIMITS["VARVE_RATIO_NOTABLE"]
        data = bytes(2000 * ratio)
        encoder = zlib.compressobj(9, wbits=-15)
        body = encoder.compress(data) + encoder.flush()
        for stored in (2000, 1999):
            extra = stored - len(body) - 20
            self.assertGreater(extra, 4)
            blob = (b"\x1f\x8b\x08\x04" + bytes(6) + struct.pack("<H2sH", extra, b"XX", extra - 4)
                    + bytes(extra - 4) + body + struct.pack("<II", zlib.crc32(data), len(data)))
            self.assertEqual(len(blob), stored)
            self.assertEqual("decode.ratio" in self.codes(blob), stored == 1999)

    def test_windows(self):
        most = LIMITS["VARVE_WINDOW_LOG_MAX"]
        for blob, memory, due in ((frame(most), "3GiB", ("ok", None)),
                                  (frame(most), "2GiB", ("limit", "zstd.window-limit")),
                                  (frame(most, 1), "8GiB", ("unsupported", "zstd.window")),
                                  (frame(most + 1), "8GiB", ("unsupported", "zstd.window"))):
            code, line = self.layer(blob, f"--memory={memory}")
            self.assertEqual((line["status"], line.get("error", {}).get("code")), due)
            self.assertEqual(code, 0 if due[0] == "ok" else 3)

    def test_memory_without_options(self):
        """A GiB of memory has room for a window of 512 MiB and not for one of a GiB; each side of a
        comparison has a GiB of its two."""
        self.assertEqual(self.layer(frame(29))[1]["status"], "ok")
        code, line = self.layer(frame(30))
        self.assertEqual((code, line["status"], line["error"]["code"]),
                         (3, "limit", "zstd.window-limit"))
        for log, options, expect in ((29, [], 0), (30, [], 2), (30, ["--memory=4GiB"], 0)):
            left, right = self.work / "left", self.work / "right"
            left.write_bytes(frame(log))
            right.write_bytes(frame(log) + bytes(1))
            out = harness.run(harness.VARVE, "diff", "--rung=diffid", *options, left, right, expect=expect,
                              stderr=harness.subprocess.STDOUT)
            self.assertEqual(b"zstd.window-limit" in out, expect == 2, out)

    def test_memory_of_entries(self):
        """What many entries take is the budget's, too."""
        data = b"".join(header(b"%d" % i * 20, 0) for i in range(20000)) + END
        for memory, due in (("64MiB", ("ok", None)), ("2MiB", ("limit", "memory.budget"))):
            code, line = self.layer(data, f"--memory={memory}")
            self.assertEqual((line["status"], line.get("error", {}).get("code")), due)
            self.assertEqual(code, 0 if due[0] == "ok" else 3)
            self.assertIn("archive", line["rungs"])

    def check_tar(self, data, code):
        """Within a limit (`code` None), or beyond it: blob and diffid stand."""
        found, line = self.layer(data)
        self.assertEqual((found, line["status"], line.get("error", {}).get("code")),
                         (3, "limit", code) if code else (0, "ok", None))
        self.assertEqual(list(line["rungs"])[:2], ["blob", "diffid"])
        self.assertEqual(len(line["rungs"]), 2 if code else 8)

    def test_extension_bytes(self):
        most = LIMITS["VARVE_LIMIT_EXTENSION_BYTES"]
        for kind, entry, code in ((b"x", b"0", "pax.limit"), (b"X", b"0", "pax.limit"),
                                  (b"g", b"0", "pax.limit"), (b"L", b"0", "gnu.long-limit"),
                                  (b"K", b"2", "gnu.long-limit")):
            for more in 0, 1:
                with self.subTest(f"{kind} +{more}"):
                    count = most + more
                    body = record_of(count) if kind in b"xXg" else b"a" * (count - 1) + b"\0"
                    self.assertEqual(len(body), count)
                    self.check_tar(extension(kind, body) + header(b"f", 0, entry) + END,
                                   code if more else None)

    def test_sparse_maps(self):
        most = LIMITS["VARVE_LIMIT_SPARSE_MAP_BYTES"]
        for more in 0, 1:
            self.check_tar(gnu_sparse(most // 512 + more) + END, "sparse.map-limit" if more else None)
            self.check_tar(pax_sparse(most + 512 * more) + END, "sparse.map-limit" if more else None)

    def test_many_extensions(self):
        most = LIMITS["VARVE_LIMIT_EXTENSIONS_NOTED"]
        name = b"name".ljust(512, b"\0")
        for count in (most, most + 1):
            data = (header(b"././@LongLink", 5, b"L") + name) * count + header(b"x", 0)
            self.assertEqual("ext.many" in self.codes(data + bytes(1024)), count > most)

    def test_entry_sizes(self):
        """In the header, and in pax."""
        for size, code in ((LIMITS["VARVE_LIMIT_ENTRY_BYTES"] - 1, "tar.truncated-data"),
                           (LIMITS["VARVE_LIMIT_ENTRY_BYTES"], "tar.size")):
            for data in (header(b"huge", size),
                         extension(b"x", record(b"size", b"%d" % size)) + header(b"huge", 0)):
                found, line = self.layer(data + bytes(4096))
                self.assertEqual((found, line["status"], line["error"]["code"]), (1, "malformed", code))
                self.assertEqual(list(line["rungs"]), ["blob", "diffid"])


if __name__ == "__main__":
    harness.main()
