# SPDX-License-Identifier: Apache-2.0
"""The output contract of version 1, field by field: every type of line, the core's names in their
order, the values that each may have, and which rungs stand after which fault; the exit codes, and
which goes before which. What is added may stand between; what is here may not go away."""

import base64
import bz2
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402
import oci  # noqa: E402

RUNGS = ["blob", "diffid", "archive", "encoding", "order", "names", "times", "content"]
FACETS = {"content", "mode", "owner", "names", "times", "xattrs", "other"}
STATUSES = {"ok", "mismatch", "malformed", "limit", "unsupported", "error"}
FORMATS = {"gzip", "zstd", "tar", "empty", "other"}
CHECKS = ["name", "size", "diffid", "media_type"]
# The names that a line must have, in order; then those that it may have, with their places.
CORE = {
    "scan": ["v", "type", "sources", "rungs", "options"],
    "layer": ["v", "type", "name", "source", "cached", "bytes_stored", "bytes_decoded", "format",
              "status", "rungs", "facets", "entries", "findings", "checks", "error"],
    "entry": ["v", "type", "layer", "path", "path_b64", "typeflag", "size", "mode", "uid", "gid",
              "mtime", "link", "sha256"],
    "image": ["v", "type", "source", "ref", "digest", "platform", "status", "layers", "rungs"],
    "error": ["v", "type", "name", "code", "message"],
    "summary": ["v", "type", "versions", "run"],
}
MUST = {
    "scan": set(CORE["scan"]),
    "layer": {"name", "source", "cached", "status"},
    "entry": {"layer", "path", "typeflag", "size", "mode", "uid", "gid", "mtime"},
    "image": {"source", "digest", "status", "layers"},
    "error": set(CORE["error"]),
    "summary": set(CORE["summary"]),
}
HEX = "[0-9a-f]{64}"
GZIP = oci.LAYER + "+gzip"


def tar_of(*members):
    """An archive of (name, change of its TarInfo, content)."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8",
                      errors="surrogateescape") as archive:
        for name, change, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_700_000_000
            change(info)
            archive.addfile(info, io.BytesIO(content))
    return memory.getvalue()


def plain(info):
    del info


def link_to(target):
    def change(info):
        info.type, info.linkname = tarfile.SYMTYPE, target
    return change


def many():
    """Something of every kind."""
    def negative(info):
        info.mtime = -86400
    return tar_of(("dir/file", plain, b"content"), ("link", link_to("dir/file"), b""),
                  (os.fsdecode(b"caf\xe9"), plain, b"x"), ("old", negative, b""))


class Contract(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.layout = oci.Layout(cls.work / "mirror")
        cls.named = {}
        zstd = oci.LAYER + "+zstd"
        good = many()
        broken = bytearray(tar_of(("a", plain, b"a" * 600), ("b", plain, b"b")))
        broken[1536 + 150] ^= 7  # the second header's checksum
        cls.put("gzip", gzip.compress(good, mtime=0), GZIP, good)
        cls.put("zstd", harness.run("zstd", "-qc", input=good + bytes(512)), zstd, good + bytes(512))
        cls.put("tar", good + bytes(1024), oci.LAYER, good + bytes(1024))
        cls.put("empty", b"", oci.LAYER, b"")
        cls.put("other", b"no tar at all", "application/octet-stream", b"no tar at all")
        cls.put("undecodable", gzip.compress(good + b"u", mtime=0)[:-9], GZIP, good + b"u")
        cls.put("untarrable", gzip.compress(bytes(broken), mtime=0), GZIP, bytes(broken))
        cls.put("diffid", gzip.compress(good + b"d", mtime=0), GZIP, b"another")
        cls.put("bzip2", bz2.compress(good), oci.LAYER, good)
        cls.put("large", gzip.compress(bytes(3 << 20), mtime=0), GZIP, bytes(3 << 20))
        cls.put("missing", b"gone", oci.LAYER, b"gone")
        for name, (descriptor, diffid) in cls.named.items():
            cls.layout.tag(name, cls.layout.image([(descriptor, diffid)]))
        cls.layout.tag("bare", cls.layout.put(b"{}", oci.MANIFEST))
        cls.layout.path(cls.named["missing"][0]["digest"]).unlink()
        out = harness.run(harness.VARVE, "scan", "--json", "--entries", "--max-decoded=2MiB",
                          f"oci:{cls.work}/mirror", "oci:/nowhere", expect=1)
        cls.lines = [json.loads(line, object_pairs_hook=cls.once) for line in
                     out.decode("utf-8", "strict").splitlines()]
        cls.layers = {name: next(line for line in cls.lines if line["type"] == "layer" and
                                 line["name"] == descriptor["digest"])
                      for name, (descriptor, _) in cls.named.items()}

    @staticmethod
    def once(pairs):
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), names
        return dict(pairs)

    @classmethod
    def put(cls, name, data, media_type, decoded):
        cls.named[name] = cls.layout.put(data, media_type), oci.digest_of(decoded)

    def of(self, kind):
        found = [line for line in self.lines if line["type"] == kind]
        self.assertNotEqual(found, [], kind)
        return found

    def test_names_and_their_order(self):
        self.assertEqual(self.lines[0]["type"], "scan")
        self.assertEqual(self.lines[-1]["type"], "summary")
        self.assertEqual({line["type"] for line in self.lines}, set(CORE))
        for line in self.lines:
            kind = line["type"]
            self.assertEqual(line["v"], 1)
            self.assertEqual(MUST[kind] - set(line), set(), kind)
            core = [name for name in line if name in CORE[kind]]
            self.assertEqual(core, [name for name in CORE[kind] if name in line], kind)

    def test_values_of_layers(self):
        seen = {"status": set(), "format": set(), "check": set()}
        for line in self.of("layer"):
            seen["status"].add(line["status"])
            self.assertIs(line["cached"], False)
            self.assertEqual("error" in line, line["status"] != "ok", line)
            if "format" in line:
                seen["format"].add(line["format"])
            if "rungs" not in line:
                self.assertEqual(line["status"], "error")
                continue
            self.assertEqual(list(line["checks"]), CHECKS)
            seen["check"] |= set(line["checks"].values())
            self.assertEqual(list(line["rungs"]), RUNGS[:len(line["rungs"])])
            for rung, text in line["rungs"].items():
                prefix = "" if rung in RUNGS[:2] else f"varve1\\.{rung}:"
                self.assertRegex(text, f"^{prefix}sha256:{HEX}$")
            for facet, text in line.get("facets", {}).items():
                self.assertRegex(text, f"^varve1\\.facet\\.{facet}:sha256:{HEX}$")
            for finding in line["findings"]:
                self.assertEqual(list(finding), [name for name in
                                                 ("code", "count", "entry", "entry_b64", "offset")
                                                 if name in finding])
                self.assertGreater(finding["count"], 0)
        for line in self.of("layer"):
            if "error" in line:
                core = [name for name in line["error"] if name != "os_error"]
                self.assertEqual(core, [name for name in ("code", "message", "offset_stored",
                                                          "offset_decoded")
                                        if name in line["error"]])
                self.assertTrue(line["error"]["message"])
        self.assertEqual(seen["status"], STATUSES)
        self.assertEqual(seen["format"], FORMATS)
        self.assertEqual(seen["check"], {"ok", "mismatch", "none"})

    def test_which_rungs_stand(self):
        for name, status, rungs, facets in (
                ("gzip", "ok", 8, FACETS), ("zstd", "ok", 8, FACETS), ("tar", "ok", 8, FACETS),
                ("other", "ok", 2, set()), ("diffid", "mismatch", 8, FACETS),
                ("undecodable", "malformed", 1, set()), ("untarrable", "malformed", 2, set()),
                ("bzip2", "unsupported", 1, set()), ("large", "limit", 1, set())):
            line = self.layers[name]
            self.assertEqual((name, line["status"], list(line["rungs"]),
                              set(line.get("facets", {}))),
                             (name, status, RUNGS[:rungs], facets))
            self.assertEqual(line["bytes_stored"], self.named[name][0]["size"])
        line = self.layers["missing"]
        self.assertEqual((line["status"], line["error"]["code"]), ("error", "io.missing"))
        self.assertNotIn("rungs", line)
        line = self.layers["gzip"]
        self.assertEqual(line["rungs"]["diffid"], self.named["gzip"][1])
        self.assertEqual((line["bytes_decoded"], line["entries"]), (len(many()), 4))

    def test_entries(self):
        name = self.named["gzip"][0]["digest"]
        entries = [line for line in self.of("entry") if line["layer"] == name]
        self.assertEqual([entry["path"] for entry in entries],
                         ["dir/file", "link", "caf\ufffd", "old"])
        self.assertEqual(base64.b64decode(entries[2]["path_b64"]), b"caf\xe9")
        self.assertEqual([entry for entry in entries if "path_b64" in entry], [entries[2]])
        self.assertEqual([(entry["typeflag"], entry.get("link")) for entry in entries],
                         [("0", None), ("2", "dir/file"), ("0", None), ("0", None)])
        self.assertEqual(entries[0]["sha256"], oci.digest_of(b"content")[7:])
        self.assertNotIn("sha256", entries[1])
        self.assertEqual((entries[0]["size"], entries[0]["mode"]), (7, 0o644))
        self.assertEqual([entry["mtime"] for entry in entries[2:]],
                         ["1700000000.000000000", "-86400.000000000"])
        # A layer's entries come right behind it.
        at = self.lines.index(self.layers["gzip"])
        self.assertEqual(self.lines[at + 1:at + 5], entries)

    def test_images(self):
        images = {line["ref"]: line for line in self.of("image")}
        self.assertEqual(set(images), set(self.named) | {"bare"})
        for name, (descriptor, diffid) in self.named.items():
            image = images[name]
            layer, = image["layers"]
            self.assertEqual([key for key in layer if key != "status"],
                             ["digest", "size", "media_type", "diffid", "checks"])
            self.assertEqual((layer["digest"], layer["size"], layer["media_type"], layer["diffid"]),
                             (descriptor["digest"], descriptor["size"], descriptor["mediaType"],
                              diffid))
            self.assertEqual(list(layer["checks"]), CHECKS)
            self.assertEqual(image["platform"], "linux/amd64")
            self.assertRegex(image["digest"], f"^sha256:{HEX}$")
            # A bad layer is its image's fault.
            self.assertEqual(image["status"], self.layers[name]["status"], name)
        self.assertIn("error", images["bare"])
        for rung, text in images["gzip"]["rungs"].items():
            self.assertRegex(text, f"^varve1\\.image\\.{rung}:sha256:{HEX}$")

    def test_errors_and_summary(self):
        error, = self.of("error")
        self.assertEqual((error["name"], error["code"]), ("oci:/nowhere", "io.missing"))
        summary = self.lines[-1]
        self.assertEqual(summary["errors"], 1)
        self.assertEqual(summary["exit_code"], 1)
        for kind in ("layer", "image"):
            counts = {status: sum(line["status"] == status and line.get("referenced", True)
                                  for line in self.of(kind)) for status in STATUSES}
            self.assertEqual(summary[kind + "s"], counts)
        self.assertEqual({"varve", "ladder", "isal", "zstd", "cpu_tier", "sha256_engine"}
                         - set(summary["versions"]), set())
        self.assertEqual(summary["versions"]["ladder"], 1)
        self.assertGreater(summary["run"]["seconds"], 0)

    def code(self, *names, options=()):
        """The exit code of a digest of some of the layers' files."""
        files = [self.layout.path(self.named[name][0]["digest"]) for name in names]
        done = subprocess.run([harness.VARVE, "digest", "--json", *options, *files], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.stderr, b"")
        summary = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(summary["exit_code"], done.returncode)
        return done.returncode

    def test_exit_codes(self):
        self.assertEqual(self.code("gzip", "zstd", "tar"), 0)
        self.assertEqual(self.code("gzip", "undecodable"), 1)
        for unjudged in ("bzip2", "missing"):
            self.assertEqual(self.code("gzip", unjudged), 3)
            self.assertEqual(self.code(unjudged, "undecodable"), 1)
        self.assertEqual(self.code("large", options=["--max-decoded=2MiB"]), 3)
        self.assertEqual(self.code("large"), 0)

    def test_engine_that_is_not_built_in(self):
        if b"isal-crypto" in harness.run(harness.VARVE, "--cpu=list"):
            self.skipTest("it is built in")
        done = subprocess.run([harness.VARVE, "digest", "--json", "--sha256-engine=isal-crypto", "-"],
                              check=False, stdin=subprocess.DEVNULL, capture_output=True)
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"--cpu=list", done.stderr)

    def interrupted(self, number, *names):
        """Interrupts a digest of standard input, which then goes on a little: a scan ends between
        two steps."""
        files = [self.layout.path(self.named[name][0]["digest"]) for name in names]
        with subprocess.Popen([harness.VARVE, "digest", "--json", *files, "-"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as child:
            child.stdin.write(many()[:700])
            child.stdin.flush()
            time.sleep(1)
            self.assertIsNone(child.poll())
            child.send_signal(number)
            try:
                while child.poll() is None:
                    child.stdin.write(bytes(65536))
            except BrokenPipeError:
                pass
            lines = [json.loads(line) for line in child.stdout.read().splitlines()]
            try:
                child.stdin.close()
            except BrokenPipeError:
                pass
            return child.wait(timeout=60), lines

    def test_interrupted(self):
        for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            code, lines = self.interrupted(number, "undecodable")
            self.assertEqual(code, expected)
            self.assertEqual(lines[-1]["type"], "summary")
            self.assertIs(lines[-1]["interrupted"], True)
            self.assertEqual(lines[-1]["exit_code"], expected)
            # What was not read to its end is not reported as if it were.
            self.assertEqual([line for line in lines if line.get("name") == "-" and
                              line.get("rungs")], [])

    def test_second_signal_ends_at_once(self):
        with subprocess.Popen([harness.VARVE, "digest", "--json", "-"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
            time.sleep(1)
            child.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            child.send_signal(signal.SIGTERM)
            self.assertEqual(child.wait(timeout=60), 143)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([harness.VARVE, "scan", "--json", self.work / "mirror"],
                                  check=False, stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, re.compile(b"cannot write to standard output"))


if __name__ == "__main__":
    harness.need_tools("zstd")
    harness.main()
