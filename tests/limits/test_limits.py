# SPDX-License-Identifier: Apache-2.0
"""Limits, at the last value within and at the first beyond; docs/limits.md names these tests. Each
value is read from src/limits.h."""

import hashlib
import json
import pathlib
import struct
import sys
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

    def test_documents(self):
        for more, expect in ((0, 0), (1, 3)):
            layout = oci.Layout(self.work / f"documents{more}")
            image = layout.image([])
            text = layout.path(image["digest"]).read_bytes()
            size = LIMITS["VARVE_LIMIT_DOCUMENT_BYTES"] + more
            layout.tag("large", layout.put(text.ljust(size), oci.MANIFEST))
            found, = (line for line in self.scan(f"oci:{layout.folder}", expect)
                      if line["type"] == "image")
            self.assertEqual(found["status"], "limit" if more else "ok")
            self.assertEqual(found.get("error", {}).get("code"),
                             "oci.document-size" if more else None)

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
        """A frame's header alone says how wide its window is: RFC 8878, 3.1.1.1.2."""
        def frame(log):
            return b"\x28\xb5\x2f\xfd\x00" + bytes([(log - 10) << 3]) + b"\x01\0\0"
        most = LIMITS["VARVE_WINDOW_LOG_MAX"]
        self.assertEqual(self.layer(frame(20))[0], 0)
        code, line = self.layer(frame(most), "--memory=1GiB")
        self.assertEqual((code, line["status"]), (3, "limit"))
        code, line = self.layer(frame(most + 1))
        self.assertEqual((code, line["status"], line["error"]["code"]),
                         (3, "unsupported", "zstd.window"))

    def test_many_extensions(self):
        most = LIMITS["VARVE_LIMIT_EXTENSIONS_NOTED"]
        name = b"name".ljust(512, b"\0")
        for count in (most, most + 1):
            data = (header(b"././@LongLink", 5, b"L") + name) * count + header(b"x", 0)
            self.assertEqual("ext.many" in self.codes(data + bytes(1024)), count > most)

    def test_entry_sizes(self):
        for size, code in ((LIMITS["VARVE_LIMIT_ENTRY_BYTES"] - 1, "tar.truncated-data"),
                           (LIMITS["VARVE_LIMIT_ENTRY_BYTES"], "tar.size")):
            found, line = self.layer(header(b"huge", size) + bytes(4096))
            self.assertEqual((found, line["status"], line["error"]["code"]), (1, "malformed", code))


if __name__ == "__main__":
    harness.main()
