# SPDX-License-Identifier: Apache-2.0
"""`varve normalize`: what it writes means what it read, is the same for all that meets on the rung, is not
changed by being written again, and is read by others without a complaint."""

import gzip
import io
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "ladder")]
import harness
import mutations

GOLDEN = harness.SOURCE / "corpora" / "golden"
STRENGTHS = ["encoding", "order", "names", "times"]


def digest(paths):
    """What varve says of each file, by path."""
    done = subprocess.run([harness.VARVE, "digest", "--json", *map(str, paths)], check=False,
                          stdout=subprocess.PIPE)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line for line in lines if line["type"] == "layer"}


def codes(layer):
    return {finding["code"]: finding["count"] for finding in layer["findings"]}


class Normalize(harness.Case):
    def normalize(self, layer, *options, expect=0, **more):
        out = self.work / f"out{next(self.counter)}.tar"
        more.setdefault("env", {name: value for name, value in os.environ.items()
                                if name != "SOURCE_DATE_EPOCH"})
        harness.run(harness.VARVE, "normalize", layer, "-o", out, *options, expect=expect, **more)
        self.assertEqual(out.exists(), expect == 0)
        return out

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.counter = itertools.count()

    def check_set(self, layers, strengths=STRENGTHS):
        """These strengths over all of these; returns the outputs by layer and strength."""
        outputs = {}
        before = digest(layers)
        for layer in layers:
            status = before[str(layer)]["status"]
            is_tar = "content" in before[str(layer)]["rungs"]
            self.assertTrue(status == "ok" or not is_tar, layer)
            for strength in strengths:
                expect = 0 if is_tar else {"malformed": 1, "ok": 1}.get(status, 3)
                out = self.normalize(layer, f"--rung={strength}", expect=expect)
                if is_tar:
                    outputs[layer, strength] = out
        after = digest(list(outputs.values()))
        again = {}
        for (layer, strength), out in outputs.items():
            with self.subTest(f"{layer} {strength}"):
                old, new = before[str(layer)], after[str(out)]
                self.assertEqual(new["status"], "ok", new.get("error"))
                # Dropping names or times can make order mean nothing any more.
                forgot = strength in ("names", "times") and (
                    "order.significant" in codes(old)) != ("order.significant" in codes(new))
                disagreed = strength != "encoding" and "hardlink.meta" in codes(old)
                if not forgot and not disagreed:
                    self.assertEqual(old["rungs"][strength], new["rungs"][strength])
                if disagreed:
                    self.assertEqual(old["rungs"]["content"], new["rungs"]["content"])
                again[layer, strength] = self.normalize(out, f"--rung={strength}")
                self.assertEqual(again[layer, strength].read_bytes(), out.read_bytes())
                again[layer, strength].unlink()
                self.assertNotIn("eoa.padding", codes(new))
                self.assertNotIn("eoa.missing", codes(new))
                self.assertNotIn("mode.ifmt", codes(new))
        return outputs

    def test_golden(self):
        """And those that meet on a rung give the same bytes when written at its strength."""
        layers = sorted(path for path in GOLDEN.iterdir()
                        if path.suffix in (".tar", ".gz") and path.name != "MEETS.tsv")
        outputs = self.check_set(layers)
        pairs = 0
        before = digest(layers)
        for line in (GOLDEN / "MEETS.tsv").read_text().splitlines():
            if line.startswith("#"):
                continue
            left, right, _ = line.split("\t")[:3]
            for strength in STRENGTHS:
                both = [outputs.get((GOLDEN / name, strength)) for name in (left, right)]
                rungs = [before[str(GOLDEN / name)]["rungs"] for name in (left, right)]
                if None in both or rungs[0][strength] != rungs[1][strength]:
                    continue
                if any("hardlink.meta" in codes(before[str(GOLDEN / name)])
                       for name in (left, right)) and strength != "encoding":
                    continue
                pairs += 1
                with self.subTest(f"{left} {right} {strength}"):
                    self.assertEqual(both[0].read_bytes(), both[1].read_bytes())
        self.assertGreater(pairs, 100)

    def test_random_trees(self):
        """Every known mutation of a tree that keeps a rung gives the same bytes at its strength."""
        seed = int(os.environ.get("VARVE_SEED", "1"))
        print(f"VARVE_SEED={seed}", file=sys.stderr)
        items = mutations.tree(random.Random(seed))
        base = self.work / "base.tar"
        base.write_bytes(mutations.archive(items))
        whole = {strength: self.normalize(base, f"--rung={strength}").read_bytes()
                 for strength in STRENGTHS}
        ladder = ["diffid", "archive", "encoding", "order", "names", "times", "content", "none"]
        compared = 0
        for change, rung, finding in mutations.MUTATIONS:
            items = mutations.tree(random.Random(seed))
            result = change(items, random.Random(f"{seed} {change.__name__}"))
            layer = self.work / "changed.tar"
            layer.write_bytes(result[0] if isinstance(result, tuple) else mutations.archive(items))
            for strength in STRENGTHS:
                out = self.normalize(layer, f"--rung={strength}").read_bytes()
                same = ladder.index(rung) <= ladder.index(strength)
                if finding == "hardlink.meta" and strength != "encoding":
                    continue  # a link's own mode is given up
                if rung == "none" and strength in ("names", "times"):
                    continue  # an entry given twice may become one
                with self.subTest(f"{change.__name__} {strength}"):
                    self.assertEqual(out == whole[strength], same)
                    compared += 1
        self.assertGreater(compared, 200)

    def test_hostile(self):
        folder = harness.SOURCE.parent / "shared" / "vectors"
        if not folder.is_dir():
            self.skipTest("no folder of other parsers' archives beside this tree")
        layers = [path for path in sorted(folder.rglob("*"))
                  if path.is_file() and path.stat().st_size < 1 << 20
                  and path.suffix not in (".json", ".md", ".txt", ".tsv", ".jsonl")]
        before = digest(layers)
        usable = [path for path in layers if str(path) in before]
        self.assertGreater(len(usable), 100)
        self.check_set([path for path in usable
                        if before[str(path)]["status"] != "limit"
                        and before[str(path)].get("bytes_decoded", 0) < 8 << 20
                        and (before[str(path)]["status"] in ("ok", "malformed", "unsupported"))
                        and not (before[str(path)]["status"] != "ok"
                                 and "content" in before[str(path)]["rungs"])], ["encoding"])

    def test_odd_records(self):
        """What has only one spelling that says it, and what has none."""
        def entry(typeflag, size=0, magic=tarfile.POSIX_MAGIC, sparse=b""):
            block = bytearray(tarfile.TarInfo("file").tobuf(tarfile.USTAR_FORMAT)[:512])
            block[124:136], block[156:157], block[257:265] = b"%011o\0" % size, typeflag, magic
            if sparse:
                block[386:386 + len(sparse)] = sparse
                block[483:495] = b"%011o\0" % size
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
            return bytes(block) + (b"x" * size).ljust(-(-size // 512) * 512, b"\0")

        def sealed(pairs, *blocks):
            return mutations.pax_header(pairs) + b"".join(blocks) + bytes(1024)
        # An xattr whose value is empty; one whose name has a "=" in it besides.
        for name in b"user.empty", b"user.%3D", b"SCHILY.acl.odd":
            layer = self.work / "empty value.tar"
            layer.write_bytes(sealed([(b"LIBARCHIVE.xattr." + name, b"==")], entry(b"0")))
            self.check_set([layer])
        self.assertEqual(codes(digest([layer])[str(layer)]).get("xattr.libarchive"), 1)
        # Records of a sparse file that are none before GNU's own kind would be some before a file.
        runs = b"%011o\0%011o\0" % (0, 5)
        layer = self.work / "sparse twice.tar"
        for pairs in ([(b"GNU.sparse.map", b"0,5"), (b"GNU.sparse.numblocks", b"1")],
                      [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")]):
            layer.write_bytes(sealed(pairs, entry(b"S", 5, b"ustar  \0", runs)))
            self.assertEqual(digest([layer])[str(layer)]["status"], "ok")
            self.normalize(layer, expect=3)
        layer.write_bytes(sealed([(b"VENDOR.note", b"1")], entry(b"S", 5, b"ustar  \0", runs)))
        self.check_set([layer])

    def test_links_that_disagree(self):
        """A hard link's own setuid bit or capability never goes without a word."""
        def run(layer, *options):
            done = subprocess.run([harness.VARVE, "normalize", "--json", *options, "-o", self.work / "said.tar",
                                   GOLDEN / layer], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            said = json.loads(done.stdout)
            return said["links_overruled"], said["links_overruled_security"], done.stderr.decode()

        offset = digest([GOLDEN / "link-mode.tar"])[str(GOLDEN / "link-mode.tar")]["findings"]
        offset = next(finding["offset"] for finding in offset if finding["code"] == "hardlink.meta")
        for strength in ("order", "names", "times"):
            links, security, text = run("link-mode.tar", "--rung=" + strength)
            self.assertEqual((links, security), (1, 1))
            self.assertIn("link-mode.tar: 1 hard links disagree with their file", text)
            self.assertIn(f"decoded byte {offset}); of 1 of them setuid", text)
        self.assertEqual(run("link-xattr.tar", "--rung=order")[0], 1)
        for layer, options in (("link-mode.tar", []), ("link-star.tar", ["--rung=order"]),
                               ("link-silent.tar", ["--rung=order"])):
            self.assertEqual(run(layer, *options), (0, 0, ""))
        # An owner that all get is none that they disagree about.
        self.assertEqual(run("link-mode.tar", "--rung=order", "--uid=0", "--gid=0")[:2], (1, 1))

    def test_special_outputs(self):
        """A pipe is written to and stays what it is; of a link, what it leads to is replaced."""
        folder = self.work / "special"
        folder.mkdir()
        os.mkfifo(folder / "fifo")
        (folder / "real").write_bytes(b"before")
        (folder / "link").symlink_to("real")
        tree = GOLDEN / "tree.tar"
        whole = self.normalize(tree).read_bytes()
        with subprocess.Popen(["cat", folder / "fifo"], stdout=subprocess.PIPE) as reader:
            harness.run(harness.VARVE, "normalize", tree, "-o", folder / "fifo")
            self.assertEqual(reader.communicate()[0], whole)
        harness.run(harness.VARVE, "normalize", tree, "-o", folder / "link")
        self.assertTrue((folder / "link").is_symlink())
        self.assertEqual((folder / "real").read_bytes(), whole)
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["fifo", "link", "real"])

    def test_the_file_that_is_named(self):
        """A link that is named is meant; what is no file is said to be none."""
        link = self.work / "link.tar"
        link.symlink_to(GOLDEN / "hello.tar")
        self.assertEqual(self.normalize(link).read_bytes(), self.normalize(GOLDEN / "hello.tar").read_bytes())
        pipe = self.work / "pipe"
        os.mkfifo(pipe)
        for path in self.work, pipe:
            done = subprocess.run([harness.VARVE, "normalize", path, "-o", self.work / "none"], check=False,
                                  stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b": not a regular file", done.stderr)

    def test_operands(self):
        """What is not taken is said, with what is; a layer may be given as blob:FILE, here and to split."""
        layer = GOLDEN / "tree.tar"

        def run(*argv):
            done = subprocess.run([harness.VARVE, *map(str, argv)], check=False, capture_output=True,
                                  cwd=self.work)
            return done.returncode, done.stderr.decode()

        taken = "a layer file is taken, or an OCI image layout (oci:DIR[:TAG]), and no "
        written = "a file is written, or an OCI image layout (oci:OUT), and no "
        for source, output, words in (
                (f"oci-archive:{layer}", "oci:o", taken + "oci-archive:"),
                (f"oci-archive:{layer}", "o", taken + "oci-archive:"),
                ("docker-archive:x", "docker-archive:y", taken + "docker-archive:"),
                ("oci:x", "oci-archive:o", written + "oci-archive:"),
                (layer, "dir:o", written + "dir:"), (layer, "blob:o", written + "blob:"),
                (GOLDEN, "oci:o", f"{GOLDEN} is a folder: of a layout write oci:{GOLDEN}"),
                (layer, "oci:o", "a layout becomes a layout"), ("oci:x", "o", "a layout becomes a layout")):
            with self.subTest(f"{source} {output}"):
                code, said = run("normalize", source, "-o", output)
                self.assertEqual(code, 2)
                self.assertIn(words, said)
                self.assertEqual(said.count("\n"), 1)
        for source in f"oci-archive:{layer}", "oci:x":
            code, said = run("split", source, "-o", "o")
            self.assertEqual(code, 2)
            self.assertIn("a layer file is wanted", said)
        self.assertFalse((self.work / "o").exists())
        # A name that looks like a source and is a file.
        odd = self.work / "oci-archive:odd"
        odd.write_bytes(layer.read_bytes())
        outputs = set()
        for number, source in enumerate((layer, f"blob:{layer}", "./oci-archive:odd", f"blob:{odd}")):
            for command in ("normalize",), ("split", "--files", self.work / f"files{number}"):
                out = self.work / f"operand{number}-{command[0]}"
                self.assertEqual(run(*command, source, "-o", out), (0, ""))
                outputs.add((command[0], out.read_bytes()))
        self.assertEqual(len(outputs), 2)

    def test_owners_that_there_can_be(self):
        out = self.normalize(GOLDEN / "hello.tar", "--uid=4294967294", "--gid=4294967294")
        with tarfile.open(out) as tar:
            self.assertEqual({(entry.uid, entry.gid) for entry in tar}, {(4294967294, 4294967294)})
        for option in "--uid=4294967295", "--gid=4294967295", "--uid=-1":
            self.normalize(GOLDEN / "hello.tar", option, expect=2)

    def test_options(self):
        tree = GOLDEN / "tree-nanoseconds.tar"
        out = self.normalize(tree, "--mtime=1600000000", "--uid=7", "--gid=8")
        with tarfile.open(out) as tar:
            for member in tar:
                self.assertEqual((member.mtime, member.uid, member.gid), (1600000000, 7, 8))
        # The environment's clamp is the same, and the option comes before it.
        env = {**os.environ, "SOURCE_DATE_EPOCH": "1600000000"}
        same = self.normalize(tree, "--uid=7", "--gid=8", env=env)
        self.assertEqual(same.read_bytes(), out.read_bytes())
        later = self.normalize(tree, "--mtime=1900000000", env=env)
        with tarfile.open(later) as tar:
            self.assertEqual({member.mtime for member in tar}, {1700000000.5})
        timeless = self.normalize(tree, "--rung=times")
        with tarfile.open(timeless) as tar:
            self.assertEqual({(member.mtime, member.uname) for member in tar}, {(0, "")})
        for bad in (["--rung=content"], ["--rung=blob"], ["--compress=lzma"], ["--uid=-1"],
                    ["--compress=zstd:99"], ["--mtime=now"]):
            self.normalize(tree, *bad, expect=2)
        self.normalize(tree, expect=2, env={**os.environ, "SOURCE_DATE_EPOCH": "today"})

    def test_compression(self):
        plain = self.normalize(GOLDEN / "tree.tar").read_bytes()
        for how in "gzip", "gzip:1", "gzip:9", "gzip:0", "igzip", "igzip:0", "igzip:3":
            out = self.normalize(GOLDEN / "tree-gnu.tar", f"--compress={how}").read_bytes()
            self.assertEqual(gzip.decompress(out), plain, how)
            self.assertEqual(out[3:9:1][:1] + out[4:8], b"\0" * 5, how)  # no flags, no time
        if shutil.which("zstd"):
            for how in "zstd", "zstd:19":
                out = self.normalize(GOLDEN / "tree-gnu.tar", f"--compress={how}")
                self.assertEqual(harness.run("zstd", "-dcq", out), plain)
        # The report's digests are those of the bytes.
        out = self.work / "reported.tar.gz"
        said = json.loads(harness.run(harness.VARVE, "normalize", GOLDEN / "tree.tar.gz", "--json",
                                      "--compress=gzip", "-o", out))
        layer = digest([out])[str(out)]
        self.assertEqual((said["blob"], said["diffid"]),
                         (layer["rungs"]["blob"], layer["rungs"]["diffid"]))
        self.assertEqual(said["diffid_read"],
                         digest([GOLDEN / "tree.tar"])[str(GOLDEN / "tree.tar")]["rungs"]["diffid"])
        self.assertEqual(said["entries"], layer["entries"])

    def test_compressed_bytes_depend_on_the_tar_alone(self):
        """A sparse file's content comes in other pieces than that of one written out."""
        if not shutil.which("tar"):
            self.skipTest("not installed: tar")
        noise = random.Random(3).randbytes(70_000)
        with open(self.work / "with holes", "wb") as file:
            for place in range(0, 4_000_000, 333_333):
                file.seek(place)
                file.write(noise[:place % 69_001] + b"text " * 2000)
            file.truncate(4_500_000)
        layers = []
        for name, option in (("with-holes.tar", "--sparse"), ("without.tar", "--format=gnu")):
            layers.append(self.work / name)
            harness.run("tar", option, "-C", self.work, "-cf", layers[-1], "with holes")
        self.assertLess(layers[0].stat().st_size, layers[1].stat().st_size)
        for how in ("igzip:0", "igzip", "igzip:2", "igzip:3", "gzip:0", "gzip:1", "gzip", "zstd", "zstd:19"):
            one, other = (self.normalize(layer, f"--compress={how}").read_bytes() for layer in layers)
            self.assertTrue(one == other, how)

    def test_standard_streams(self):
        with open(GOLDEN / "tree.tar.gz", "rb") as layer:
            out = harness.run(harness.VARVE, "normalize", "-", "-o", "-", stdin=layer)
        self.assertEqual(out, self.normalize(GOLDEN / "tree.tar").read_bytes())

    def test_large_content_and_holes(self):
        """Contents beyond all buffers, and a hole that is larger than memory should be."""
        memory = io.BytesIO()
        data = random.Random(1).randbytes(3_000_001)
        with tarfile.open(fileobj=memory, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for i in range(3):
                info = tarfile.TarInfo(f"file{2 - i}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        layer = self.work / "large.tar"
        layer.write_bytes(memory.getvalue())
        out = self.normalize(layer, "--rung=order")
        with tarfile.open(out) as tar:
            self.assertEqual([member.name for member in tar], ["file0", "file1", "file2"])
            self.assertEqual(tar.extractfile("file1").read(), data)
        if shutil.which("tar"):
            tree = self.work / "sparse"
            tree.mkdir()
            with open(tree / "hole", "wb") as hole:
                hole.truncate(50_000_000)
                hole.seek(20_000_000)
                hole.write(b"island")
            sparse = self.work / "sparse.tar"
            harness.run("tar", "-C", tree, "-Scf", sparse, "hole")
            self.assertLess(sparse.stat().st_size, 100_000)
            out = self.normalize(sparse)
            with tarfile.open(out) as tar:
                content = tar.extractfile("hole").read()
            self.assertEqual(content, (tree / "hole").read_bytes())

    def test_others_read_it(self):
        """GNU tar, bsdtar and Python list it, without a word of complaint, with the same names."""
        layers = [path for path in sorted(GOLDEN.glob("*.tar")) if not path.name.startswith(
            # Python reads no global header behind all entries; the others are odd by their meaning.
            ("odd-types", "bytes", "empty-no-bytes", "whiteout-odd", "tree-root", "tree-global-behind"))]
        readers = {"tar": ["tar", "-tf"], "bsdtar": ["bsdtar", "-tf"]}
        for layer in layers:
            out = self.normalize(layer)
            with tarfile.open(out) as tar:
                names = [member.name for member in tar]
            for program, command in readers.items():
                if not shutil.which(program):
                    continue
                done = subprocess.run([*command, str(out)], check=False, capture_output=True,
                                      env={**os.environ, "LC_ALL": "C.UTF-8"})
                with self.subTest(f"{layer.name} {program}"):
                    unknown = b"Ignoring unknown extended header keyword"
                    complaints = [line for line in done.stderr.splitlines() if unknown not in line]
                    self.assertEqual((done.returncode, complaints), (0, []))
                    listed = [line.rstrip("/") for line in done.stdout.decode().splitlines()]
                    self.assertEqual(len(listed), len(names))

    def test_failures_leave_nothing(self):
        folder = self.work / "place"
        folder.mkdir()
        broken = self.work / "broken.tar"
        broken.write_bytes((GOLDEN / "tree.tar").read_bytes()[:2000])
        kept = folder / "kept.tar"
        kept.write_bytes(b"from before")
        harness.run(harness.VARVE, "normalize", broken, "-o", kept, expect=1)
        self.assertEqual([path.name for path in folder.iterdir()], ["kept.tar"])
        self.assertEqual(kept.read_bytes(), b"from before")
        harness.run(harness.VARVE, "normalize", GOLDEN / "tree.tar", "-o", kept)
        self.assertNotEqual(kept.read_bytes(), b"from before")
        harness.run(harness.VARVE, "normalize", GOLDEN / "tree.tar", "-o", folder / "no" / "where",
                    expect=2)
        harness.run(harness.VARVE, "normalize", GOLDEN, "-o", folder / "x", expect=2)
        harness.run(harness.VARVE, "normalize", GOLDEN / "tree.tar", expect=2)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([harness.VARVE, "normalize", str(GOLDEN / "tree.tar"), "-o", "-"],
                                  check=False, stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 2)
        self.assertEqual([path.name for path in folder.iterdir()], ["kept.tar"])

    def test_entries_beyond_the_memory_budget(self):
        """A limit, whether it is the reading of entries or their copies that want more."""
        layer, made = self.work / "many.tar", self.work / "few.tar"
        with tarfile.open(layer, "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(5000):
                tar.addfile(tarfile.TarInfo(f"d/{number}"))
        said = set()
        for kibibytes in range(64, 1200, 64):
            done = subprocess.run([harness.VARVE, "normalize", f"--memory={kibibytes}KiB", "-o", made, layer],
                                  check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn(b"memory.budget", done.stderr)
            self.assertFalse(made.exists())
            said.add(b"at decoded byte" in done.stderr)
        self.assertEqual(said, {True, False})
        harness.run(harness.VARVE, "normalize", "--memory=4MiB", "-o", made, layer)

    def test_killed(self):
        """At any moment: the file is there whole, or not at all, and nothing is beside it."""
        layer = self.work / "slow.tar"
        with tarfile.open(layer, "w") as tar:
            for i in range(4):
                info = tarfile.TarInfo(f"file{i}")
                info.size = 4_000_000
                tar.addfile(info, io.BytesIO(random.Random(i).randbytes(info.size)))
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.work))
        out = folder / "out.tar.gz"
        command = [harness.VARVE, "normalize", str(layer), "--compress=gzip", "-o", str(out)]
        whole = self.normalize(layer, "--compress=gzip").read_bytes()
        killed = 0
        for i in range(12):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            time.sleep(0.03 * i)
            process.send_signal(signal.SIGKILL)
            killed += process.wait() < 0
            left = [path.name for path in folder.iterdir()]
            self.assertIn(left, ([], ["out.tar.gz"]))
            if left:
                self.assertEqual(out.read_bytes(), whole)
                out.unlink()
        self.assertGreater(killed, 0)


if __name__ == "__main__":
    harness.main()
