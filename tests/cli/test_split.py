# SPDX-License-Identifier: Apache-2.0
"""`varve split` and `varve join`: whatever a layer is, the two parts give it back bit for bit; Debian's
tar-split puts together what split parted, and join what tar-split parted; data made to lead astray are
told by a code, and nothing is read that is not beneath the folder."""

import base64
import collections
import contextlib
import gzip
import hashlib
import io
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
from crc64 import crc64

GOLDEN = harness.SOURCE / "corpora" / "golden"
VECTORS = harness.SOURCE.parent / "shared" / "vectors"
LARGEST = 16 << 20  # decoded: bombs are judged by digest alone


def file_line(name, data, position, **more):
    return json.dumps({"type": 1, "name": name, "size": len(data),
                       "payload": base64.b64encode(crc64(data)).decode(), "position": position,
                       **more}).encode() + b"\n"


def raw_line(data, position):
    return json.dumps({"type": 2, "payload": base64.b64encode(data).decode(),
                       "position": position}).encode() + b"\n"


def lines_of(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def files_of(path):
    """What tar-split data say of files: path, size, CRC."""
    return [(line.get("name") or base64.b64decode(line.get("name_raw", "")), line.get("size", 0),
             line["payload"]) for line in lines_of(path) if line["type"] == 1]


def archive(*members, **options):
    """A tar: (path, content) each, or a TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


class Split(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.counter = itertools.count()
        cls.debian = shutil.which("tar-split")

    def setUp(self):
        self.place = self.work / str(next(self.counter))
        self.place.mkdir()

    def run_varve(self, *argv, **options):
        return subprocess.run([harness.VARVE, *map(str, argv)], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def split(self, layer, expect=0, name="s", **options):
        """Data and folder of files, and what was said on stdout."""
        data, files = self.place / f"{name}.json.gz", self.place / f"{name} files"
        done = self.run_varve("split", layer, "-o", data, "--files", files, "--json", **options)
        self.assertIn(done.returncode, (expect if isinstance(expect, tuple) else (expect,)),
                      (layer, done.stderr))
        said = json.loads(done.stdout) if done.stdout else None
        self.assertEqual((data.exists(), files.exists()), (said is not None,) * 2)
        return data, files, said

    def join(self, data, files, expect=0, code=None, options=()):
        """The archive; or None, its code and nothing written."""
        out = self.place / f"joined{next(self.counter)}.tar"
        done = self.run_varve("join", data, files, "-o", out, *options)
        self.assertEqual(done.returncode, expect, done.stderr)
        self.assertEqual(out.exists(), expect == 0)
        if expect:
            if code:
                self.assertIn(f": {code}: ".encode(), done.stderr)
            self.assertEqual([p for p in self.place.iterdir() if p.name.startswith(".")], [])
            return done.stderr
        joined = out.read_bytes()
        out.unlink()
        self.assertIn(hashlib.sha256(joined).hexdigest().encode(),
                      done.stdout if "-" not in options else b"")
        return joined

    def asm(self, data, files):
        """The same by tar-split."""
        out = self.place / "assembled"
        harness.run(self.debian, "asm", "--input", data, "--path", files, "--output", out)
        whole = out.read_bytes()
        out.unlink()
        return whole

    def check(self, layer, layer_said, seen):
        """One layer there and back."""
        data, files, said = self.split(layer, expect=(0, 1, 3), name=f"s{next(self.counter)}")
        rungs = layer_said.get("rungs", {})
        if "diffid" not in rungs:
            self.assertIsNone(said, layer)
            seen["not decoded"] += 1
            return
        self.assertEqual(said["diffid"], rungs["diffid"], layer)
        self.assertEqual(said["bytes_decoded"], layer_said["bytes_decoded"])
        if said["bytes_decoded"] > LARGEST:
            done = self.run_varve("join", data, files, "-o", self.place / "large", "--json")
            self.assertEqual(json.loads(done.stdout)["diffid"], rungs["diffid"], layer)
            (self.place / "large").unlink()
            seen["large"] += 1
            return
        joined = self.join(data, files)
        self.assertEqual("sha256:" + hashlib.sha256(joined).hexdigest(), rungs["diffid"], layer)
        seen["there and back"] += 1
        seen["no archive"] += not said["tar"]
        seen["broken archive"] += said["status"] != "ok"
        seen["files"] += said["files"]
        seen["contents kept"] += said["contents_kept"]
        if self.debian:
            self.assertEqual(self.asm(data, files), joined, layer)
            seen["put together by tar-split"] += 1
            self.check_disasm(joined, data, files, said, seen)
        data.unlink()
        shutil.rmtree(files)

    def check_disasm(self, tar, ours, files, said, seen):
        """What tar-split parts, where it takes the archive as varve does: the same files, and join gives
        what asm gives. (Sparse files it would read expanded.)"""
        if said["status"] != "ok" or said["contents_kept"]:
            return
        theirs = self.place / "theirs.json.gz"
        done = subprocess.run([self.debian, "disasm", "--no-stdout", "--output", theirs, "-"],
                              check=False, input=tar, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            return
        joined = self.join(theirs, files)
        if joined != tar:
            seen["parted by tar-split with a loss"] += 1
            self.assertEqual(joined, self.asm(theirs, files))
        seen["parted by tar-split"] += 1
        nothing = base64.b64encode(bytes(8)).decode()
        self.assertEqual([file for file in files_of(theirs) if file[1] and file[2] != nothing],
                         [file for file in files_of(ours) if file[1]])

    def check_all(self, layers):
        seen = collections.Counter()
        done = self.run_varve("digest", "--json", "--rungs=diffid", *layers)
        said = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())
                if line["type"] == "layer"}
        for layer in layers:
            with self.subTest(layer=layer.name):
                self.check(layer, said[str(layer)], seen)
        print(dict(seen), end=" ")
        if not self.debian:
            self.skipTest("not installed: tar-split")
        return seen

    def test_golden(self):
        seen = self.check_all(sorted(path for path in GOLDEN.iterdir()
                                     if path.suffix in (".tar", ".gz", ".zst")))
        self.assertGreater(min(seen["there and back"], seen["put together by tar-split"]), 50)
        self.assertGreater(min(seen["parted by tar-split"], seen["contents kept"]), 5)

    def test_vectors(self):
        if not VECTORS.exists():
            self.skipTest("no vectors beside the project")
        once = {hashlib.sha256(path.read_bytes()).digest(): path
                for path in sorted(VECTORS.rglob("*")) if path.is_file()}
        seen = self.check_all(list(once.values()))
        self.assertLess(seen["parted by tar-split with a loss"], 3)
        self.assertGreater(min(seen["there and back"], seen["put together by tar-split"]), 150)
        self.assertGreater(min(seen["no archive"], seen["broken archive"], seen["not decoded"]), 5)
        self.assertGreater(seen["parted by tar-split"], 50)

    def test_random(self):
        """Archives cut off, with bytes changed, with things before and behind."""
        random.seed(8)
        members = [(f"d{i % 3}/f{i}", random.randbytes(random.choice((0, 1, 511, 512, 513, 200000))))
                   for i in range(12)]
        whole = archive(*members, ("d0/f0", b"again"), ("../up", b"out"), ("d0/f3/below", b"no room"))
        layer = self.place / "layer"
        for i in range(40):
            tar = bytearray(whole)
            if i % 4 == 1:
                del tar[random.randrange(len(tar)):]
            elif i % 4 == 2:
                tar[random.randrange(len(tar))] ^= 1 << random.randrange(8)
            elif i % 4 == 3:
                tar = random.randbytes(random.randrange(2000)) * (i % 8 == 3) + tar + b"\0" * 700 + b"x"
            layer.write_bytes(gzip.compress(tar, 1) if i % 2 else tar)
            data, files, said = self.split(layer, expect=(0, 1, 3))
            self.assertEqual(self.join(data, files), bytes(tar))
            if i == 0:
                self.assertEqual((said["entries"], said["files"], said["contents_kept"]),
                                 (15, sum(1 for _, content in members if content), 3))
            if self.debian:
                self.assertEqual(self.asm(data, files), bytes(tar))
            shutil.rmtree(files)
            data.unlink()

    def test_names(self):
        """Each kind of path, by both programs."""
        odd = ["plain", "./dotted", "/rooted", "a//b/./c", 'quote"back\\slash', "new\nline\ttab",
               "h\u00e9t\u00e9", "\udcff\udcfe", "x" * 100 + "/" + "y" * 200, "d/" * 60 + "deep"]
        tar = archive(*[(name, name.encode(errors="surrogateescape")) for name in odd])
        layer = self.place / "layer"
        layer.write_bytes(tar)
        data, files, said = self.split(layer)
        self.assertEqual((said["files"], said["contents_kept"]), (len(odd), 0))
        self.assertEqual(self.join(data, files), tar)
        for name in odd:
            with open(os.path.join(os.fsencode(files), os.fsencode(name.lstrip("/"))), "rb") as file:
                self.assertEqual(file.read(), name.encode(errors="surrogateescape"))
        if not self.debian:
            self.skipTest("not installed: tar-split")
        self.assertEqual(self.asm(data, files), tar)

    def test_links_and_twice(self):
        """What has no content stands in the data without a size; of a path given twice the first."""
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.LNKTYPE, "f"
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        layer = self.place / "layer"
        layer.write_bytes(archive(("f", b"one"), link, folder, ("./f", b"two"), ("empty", b"")))
        data, files, said = self.split(layer)
        self.assertEqual([name for name in sorted(os.listdir(files))], ["f"])
        self.assertEqual([(name, size) for name, size, _ in files_of(data)],
                         [("f", 3), ("link", 0), ("folder/", 0), ("empty", 0)])
        self.assertEqual(base64.b64decode(files_of(data)[0][2]), crc64(b"one"))
        self.assertEqual([line["position"] for line in lines_of(data)],
                         list(range(len(lines_of(data)))))
        self.assertEqual(said["contents_kept"], 1)

    def test_pipes(self):
        tar = archive(("f", b"x" * 1000))
        whole = self.run_varve("split", "-", "-o", "-", input=gzip.compress(tar)).stdout
        files = self.place / "files"
        files.mkdir()
        (files / "f").write_bytes(b"x" * 1000)
        done = self.run_varve("join", "-", files, "-o", "-", "--compress=zstd", input=whole)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        again = self.run_varve("join", "-", files, "-o", "-", input=gzip.decompress(whole))
        self.assertEqual(again.stdout, tar)
        (self.place / "z").write_bytes(done.stdout)
        said = json.loads(self.run_varve("digest", "--json", self.place / "z").stdout.splitlines()[1])
        self.assertEqual((said["format"], said["rungs"]["diffid"]),
                         ("zstd", "sha256:" + hashlib.sha256(tar).hexdigest()))
        # The same bytes whatever the layer is stored as, and with files or without.
        layer = self.place / "layer"
        layer.write_bytes(tar)
        self.assertEqual(self.split(layer)[0].read_bytes(), whole)

    def test_trouble(self):
        layer = self.place / "layer.tar"
        layer.write_bytes(archive(("f", b"content")))
        full = self.place / "full"
        full.mkdir()
        (full / "mine").write_bytes(b"kept")
        out = self.place / "out"
        for argv in (("split", layer), ("join", layer, full),
                     ("split", layer, "-o", out, "--files", full),
                     ("split", layer, "-o", out, "--files", layer),
                     ("split", layer, "-o", out, "--files", self.place / "no" / "such"),
                     ("split", full, "-o", out), ("split", self.place / "absent", "-o", out),
                     ("join", layer, self.place / "absent", "-o", out),
                     ("join", self.place / "absent", full, "-o", out)):
            done = self.run_varve(*argv)
            self.assertEqual((done.returncode, done.stdout), (2, b""), argv)
            self.assertIn(b"varve: ", done.stderr)
        self.assertEqual(sorted(os.listdir(self.place)), ["full", "layer.tar"])
        self.assertEqual(os.listdir(full), ["mine"])
        # A layer that cannot be decoded leaves nothing; one that is cut off is kept as far as it goes.
        packed = gzip.compress(layer.read_bytes())
        (self.place / "bad.gz").write_bytes(packed[:-6])
        self.split(self.place / "bad.gz", expect=1)
        self.assertEqual(sorted(os.listdir(self.place)), ["bad.gz", "full", "layer.tar"])
        done = self.run_varve("split", layer, "-o", out, "--max-decoded=1000")
        self.assertEqual(done.returncode, 3)
        (self.place / "cut.tar").write_bytes(layer.read_bytes()[:515])
        data, files, said = self.split(self.place / "cut.tar", expect=1)
        self.assertEqual((said["status"], said["files"], said["file_bytes"]), ("malformed", 1, 3))
        self.assertEqual((files / "f").read_bytes(), b"con")
        self.assertEqual(self.join(data, files), layer.read_bytes()[:515])
        # An empty folder may take the files.
        empty = self.place / "empty"
        empty.mkdir()
        empty.chmod(0o2710)
        done = self.run_varve("split", layer, "-o", out, "--files", str(empty) + "/")
        self.assertEqual((done.returncode, os.listdir(empty)), (0, ["f"]), done.stderr)
        self.assertEqual(empty.stat().st_mode & 0o7777, 0o2710)
        self.assertIn(b"1 files, 7 bytes, in ", done.stdout)

    def test_changed_folder(self):
        layer = self.place / "layer.tar"
        layer.write_bytes(archive(("d/a", b"first"), ("d/b", b"second"), ("d/c\033", b"third")))
        data, files, _ = self.split(layer)
        b = files / "d" / "b"
        for spoil, code in ((lambda: b.write_bytes(b"sekond"), "split.content"),
                            (lambda: b.write_bytes(b"seconds"), "split.size"),
                            (b.unlink, "split.missing"),
                            (b.mkdir, "split.missing"),
                            (lambda: (b.rmdir(), b.symlink_to("a")), "split.missing"),
                            (lambda: (b.unlink(), os.mkfifo(b)), "split.missing")):
            spoil()
            said = self.join(data, files, expect=1, code=code)
            self.assertIn(b": d/b", said)
        b.unlink()
        b.write_bytes(b"second")
        (files / "d").rename(files / "elsewhere")
        (files / "d").symlink_to("elsewhere")
        self.assertIn(b": d/a", self.join(data, files, expect=1, code="split.missing"))
        (files / "d").unlink()
        (files / "elsewhere").rename(files / "d")
        self.assertEqual(self.join(data, files), layer.read_bytes())
        (files / "d" / "c\033").unlink()
        self.assertIn(b"d/c\\x1b", self.join(data, files, expect=1, code="split.missing"))
        if os.geteuid() == 0:
            return  # who may read everything
        b.chmod(0)
        self.join(data, files, expect=3, code="io.open")

    def test_hostile(self):
        files = self.place / "files"
        files.mkdir()
        (files / "f").write_bytes(b"0123456789")
        (self.place / "secret").write_bytes(b"0123456789")
        (files / "out").symlink_to("..")
        ten = b"0123456789"
        good = file_line("f", ten, 0)
        entry = json.loads(good)
        data = self.place / "data"

        def say(**changes):
            return json.dumps({**entry, **changes}).encode() + b"\n"

        for lines, code in (
                (file_line("../secret", ten, 0), "split.path"),
                (file_line("f/../../secret", ten, 0), "split.path"),
                (file_line("/", ten, 0), "split.path"),
                (file_line("out/secret", ten, 0), "split.missing"),
                (file_line(str(self.place / "secret"), ten, 0), "split.missing"),
                (file_line("x" * 300, ten, 0), "split.missing"),
                (file_line("x/" * 3000, ten, 0), "split.missing"),
                (say(size=2 ** 63 - 1), "split.size"), (say(size=9), "split.size"),
                (say(size=2 ** 63), "split.line"), (say(size=-1), "split.line"),
                (say(size=10.0), "split.line"), (say(size="10"), "split.line"),
                (say(payload="AAAAAAAAAAE="), "split.content"), (say(payload=None), "split.line"),
                (say(payload="AAAA"), "split.line"), (say(payload="*"), "split.line"),
                (say(payload="!!!!!!!!"), "split.line"), (say(name_raw="!!!!"), "split.line"),
                # A file's CRC can be that of no bytes, and must then be right as well.
                (say(payload="AAAAAAAAAAA="), "split.content"),
                (say(payload="AAAAAAAAAAA=", name="no"), "split.missing"),
                (say(name=None), "split.line"), (say(name=["f"]), "split.line"),
                (say(name="f", name_raw="AGY="), "split.line"),
                (say(type=3), "split.line"), (say(type="1"), "split.line"), (b"{}\n", "split.line"),
                (b"[]", "split.line"), (b"{", "split.line"), (b"\0\n", "split.line"),
                (b'{"type":2,"payload":"AA=A","position":0}', "split.line"),
                (b'{"type":2,"payload":"A===","position":0}', "split.line"),
                (b'{"type":2,"type":2,"payload":"","position":0}', "split.line"),
                (good + good, "split.position"), (good + file_line("f", ten, 2), "split.position"),
                (file_line("f", ten, 1), "split.position"), (say(position="0"), "split.position"),
                (gzip.compress(good)[:-4], "gzip.truncated"),
                (b'{"type":2,"payload":"' + b"A" * (17 << 20) + b'"}\n', "split.line-limit"),
                (b"[" * 60, "split.line"), (b"[" * (1 << 20), "split.line-limit"),
                (say(name_raw=7), "split.line"), (say(payload=7), "split.line"),
                (say(name=None, name_raw=""), "split.line")):
            data.write_bytes(lines)
            expect = 3 if code == "split.line-limit" else 1
            self.join(data, files, expect=expect, code=code)
        # What is unusual and well: a link whose header claims a size has no content all the same.
        link = bytes(156) + b"2" + bytes(355)
        for lines, tar in ((b"", b""), (good, ten), (good[:-1], ten), (b"\n\n" + good, ten),
                           (say(size=0, payload=None, name="../x"), b""),
                           (good + file_line("/./f//", ten, 1), 2 * ten),
                           (say(name="no", name_raw="Zg=="), ten), (say(name_raw=""), ten),
                           (say(name_raw=None), ten),
                           (raw_line(link, 0) + file_line("no", ten, 1, payload="AAAAAAAAAAA="), link),
                           (b'{"type":2,"payload":null,"position":0}\n', b""),
                           (b'{"type":2,"payload":"AAE=","new":{"a":[1]}}\n', b"\0\1")):
            data.write_bytes(lines)
            self.assertEqual(self.join(data, files), tar, lines)
        data.write_bytes(b"".join(file_line("f", ten, i) for i in range(200)))
        self.join(data, files, expect=3, code="decode.limit", options=["--max-decoded=1000"])

    def test_many_values(self):
        """A line of very many values is refused before anything is made of them."""
        files = self.place / "files"
        files.mkdir()
        (files / "f").write_bytes(b"0123456789")
        data = self.place / "data.gz"
        good = json.loads(file_line("f", b"0123456789", 0))
        # Marks in a text are none, whatever stands before its quotes; some more values are well.
        for text, more in (("[{," * 5000, 0), ("\\", 50), ('"[,', 50), ('\\"' * 100 + "[" * 100, 50)):
            line = {"comment": text, **good, "more": [{}] * (more // 2)}
            data.write_bytes(gzip.compress(json.dumps(line).encode()))
            self.assertEqual(self.join(data, files), b"0123456789")

        def little_memory():
            resource.setrlimit(resource.RLIMIT_DATA, (400 << 20,) * 2)

        sanitized = bool(os.environ.get("VARVE_SANITIZE"))  # sanitizers keep what is freed
        for text in (b"[{},", b"{},[],", b'{"a":{}},', b'"",'):
            line = b'{"x":[' + text * ((15 << 20) // len(text)) + b"0]}\n"
            data.write_bytes(gzip.compress(line, 1))
            done = self.run_varve("join", data, files, "-o", self.place / "out",
                                  preexec_fn=None if sanitized else little_memory)
            self.assertEqual((done.returncode, done.stdout), (3, b""))
            self.assertIn(b": split.line-limit: ", done.stderr)

    def test_deep_paths(self):
        """What lies deeper than any real file stays among the bytes, and makes no folders."""
        layer = self.place / "layer.tar"
        deepest = "a/" * 127 + "f"
        names = [deepest, "b/" * 128 + "f", "./" * 300 + "g", "c/" * 2000 + "f"]
        for kind in tarfile.PAX_FORMAT, tarfile.GNU_FORMAT:
            layer.write_bytes(archive(*[(name, name.encode()) for name in names], format=kind))
            data, files, said = self.split(layer)
            self.assertEqual((said["files"], said["contents_kept"]), (2, 2))
            self.assertEqual(sorted(os.listdir(files)), ["a", "g"])
            self.assertEqual(sum(len(folders) for _, folders, _ in os.walk(files)), 127)
            self.assertEqual(self.join(data, files), layer.read_bytes())
            if self.debian:
                self.assertEqual(self.asm(data, files), layer.read_bytes())
            shutil.rmtree(files)

    def test_clashing_outputs(self):
        """What is written in the way of what is read, or of the other part, is refused before any work."""
        layer = self.place / "layer.tar"
        whole = archive(("f", b"content"))
        layer.write_bytes(whole)
        (self.place / "in").mkdir()
        (self.place / "link").symlink_to("layer.tar")
        os.link(layer, self.place / "twin")
        before = sorted(os.listdir(self.place))
        for out, files in (("in/td", "in"), ("in/td", "./in/"), ("x", "x"), ("./x", "../" + self.place.name + "/x"),
                           ("td", "."), ("td", ".."), ("td", "in/."), ("in/td", "in/.."),
                           ("layer.tar", None), ("link", None), ("twin", None), ("layer.tar", "in"),
                           ("td", "layer.tar"), ("td", "link"), ("in", "x"), ("td", "/")):
            with self.subTest(f"{out} {files}"):
                done = self.run_varve("split", "layer.tar", "-o", out, *(["--files", files] if files else []),
                                      cwd=self.place)
                self.assertEqual((done.returncode, done.stdout), (2, b""))
                self.assertRegex(done.stderr, rb"\Avarve: cannot write [^\n]+\n\Z")
                self.assertEqual(sorted(os.listdir(self.place)), before)
                self.assertEqual((os.listdir(self.place / "in"), layer.read_bytes()), ([], whole))
        with open(layer, "rb") as file:
            done = self.run_varve("split", "-", "-o", layer, stdin=file)
        self.assertEqual((done.returncode, layer.read_bytes()), (2, whole))
        data, files, _ = self.split(layer)
        kept = data.read_bytes()
        self.assertEqual(self.run_varve("join", data, files, "-o", data).returncode, 2)
        self.assertEqual(data.read_bytes(), kept)

    def test_crc_of_nothing(self):
        """A file made so that its CRC is that of no bytes is put back like any other."""
        content = b"hello world" + bytes.fromhex("caeef6de15103bab")
        self.assertEqual(crc64(content), bytes(8))
        layer = self.place / "nothing.tar"
        tar = archive(("z", content), format=tarfile.USTAR_FORMAT)
        layer.write_bytes(tar)
        data, files, _ = self.split(layer)
        self.assertEqual(self.join(data, files), tar)

    def test_signals(self):
        """Interrupted, nothing is left of either part."""
        info = tarfile.TarInfo("large")
        info.size = 1 << 40
        header = info.tobuf()
        small = archive(("small", b"s"))[:1024]
        for number in (signal.SIGINT, signal.SIGTERM):
            place = self.place / str(int(number))
            place.mkdir()
            process = subprocess.Popen([harness.VARVE, "split", "-", "-o", place / "s", "--files",
                                        place / "files"], stdin=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
            process.stdin.write(small + header + b"x" * 100000)
            process.stdin.flush()
            deadline = time.monotonic() + 60
            while not list(place.glob(".files*/large")) and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertNotEqual(list(place.glob(".files*/large")), [])
            process.send_signal(number)
            with contextlib.suppress(BrokenPipeError), process.stdin:
                for _ in range(3000):
                    process.stdin.write(b"x" * 4096)
                    process.stdin.flush()
            self.assertEqual(process.wait(60), 128 + number)
            process.stderr.close()
            self.assertEqual(os.listdir(place), [])


if __name__ == "__main__":
    harness.main()
