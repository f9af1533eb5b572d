#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Comparing layers as compressors and eStargz make them; pipes, terminals."""

import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import pty
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import differ
import harness

GOLDEN = harness.SOURCE / "corpora" / "golden"
TREE = (GOLDEN / "tree.tar").read_bytes()


class Layers(harness.Case):
    def file(self, name, data):
        path = self.work / name
        path.write_bytes(data)
        return path

    def test_encoders(self):
        """Whatever compresses an archive, it is the same one, and what differs is told."""
        plain = self.file("plain", TREE)
        made = {"plain": plain, "gzip-stored": self.file("stored.gz", gzip.compress(
            TREE, 0, mtime=0)), "members": self.file("members.gz", gzip.compress(
                TREE[:1000], mtime=0) + gzip.compress(TREE[1000:], mtime=0))}
        for name, argv in {"gzip-1": ["gzip", "-n1"], "gzip-9": ["gzip", "-n9"],
                           "gzip-name": ["gzip", "-c", str(plain)], "pigz": ["pigz", "-n"],
                           "zstd-1": ["zstd", "-1"], "zstd-check": ["zstd", "--no-check"],
                           "zstd-19": ["zstd", "-19"], "igzip": ["igzip", "-c", "-n"]}.items():
            if not shutil.which(argv[0]):
                print("not installed:", argv[0])
                continue
            made[name] = self.file(name, harness.run(*argv, input=TREE))
        self.assertGreater(len(made), 3)
        names = {}
        for left in made:
            for right in made:
                said = differ.Layers(made[left], made[right])
                self.assertEqual(list(said.faults()), [], (left, right))
                self.assertIn(said.meet, ("blob", "diffid"))
                for line in said.of("compression"):
                    names.setdefault((left, right), set()).update(
                        field["name"] for field in line["fields"])
        self.assertIn("gzip members", names["gzip-stored", "members"])
        if "gzip-name" in made:
            self.assertLessEqual({"gzip FLG", "gzip MTIME", "gzip FNAME"},
                                 names["gzip-9", "gzip-name"])
        if "zstd-check" in made:
            self.assertIn("zstd content checksum", names["zstd-1", "zstd-check"])

    def estargz(self, entries, landmark=".no.prefetch.landmark"):
        """A layer in the shape of eStargz: a member for each file, its own two files, and the footer
        (docs/decode.md). Returns the tar and the blob."""
        toc = {"version": 1, "entries": []}
        members, tars = [], []

        def add(name, content):
            memory = io.BytesIO()
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_700_000_000
            memory.write(info.tobuf(tarfile.USTAR_FORMAT))
            memory.write(content + bytes(-len(content) % 512))
            return memory.getvalue()

        offset = 0
        listed = [(landmark, b"\x0f"), *entries]
        for name, content in listed:
            piece = add(name, content)
            member = gzip.compress(piece, mtime=0)
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            toc["entries"].append({"name": name, "type": "reg", "size": len(content),
                                   "modtime": "2023-11-14T22:13:20Z", "mode": 0o644, "uid": 0,
                                   "gid": 0, "offset": offset, "digest": digest,
                                   "chunkDigest": digest})
            members.append(member)
            tars.append(piece)
            offset += len(member)
        piece = add("stargz.index.json", json.dumps(toc).encode()) + bytes(1024)
        members.append(gzip.compress(piece, mtime=0))
        tars.append(piece)
        extra = b"SG\x16\x00" + b"%016x" % offset + b"STARGZ"
        footer = (b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + len(extra).to_bytes(2, "little") +
                  extra + b"\x01\x00\x00\xff\xff" + bytes(8))
        return b"".join(tars), b"".join(members) + footer

    def commented(self, name, pax, comments=True):
        """Three hundred files with headers that take much room, and records that take little."""
        path = self.work / name
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers=pax) as tar:
            for number in range(300):
                info = tarfile.TarInfo(f"file{number}")
                if comments:
                    info.pax_headers = {"comment": "".join(chr(33 + (number + i * i) % 90) for i in range(3000))}
                info.size = 1
                tar.addfile(info, io.BytesIO(b"x"))
        data = bytearray(path.read_bytes())
        first = data.index(b"x" + bytes(511))
        data[first + 9] = 65
        path.write_bytes(data)
        return path

    def test_headers_that_find_no_room(self):
        """What nothing is known of on one side is not told of the other alone, and what is known is."""
        pax = {"VENDOR.x": "1", "comment": "c"}
        left = self.commented("left.tar", pax)
        for value, globals_told in (("1", []), ("2", [[{"name": "record", "key": "VENDOR.x", "left": "1", "right": "2"}]])):
            right = self.commented("right.tar", {**pax, "VENDOR.x": value}, comments=False)
            for one, other in ((left, right), (right, left)):
                said = differ.Layers("--memory=1MiB", one, other)
                self.assertEqual((said.verdict["entries_compared"], said.verdict["headers_compared"]), (True, False))
                self.assertEqual((said.of("padding"), said.of("header")), ([], []))
                told = [[{**field, "left": field["right"], "right": field["left"]} if one == right else field
                         for field in line["fields"]] for line in said.of("global")]
                self.assertEqual(told, globals_told)
                self.assertEqual(said.verdict["facets_changed"], ["other"] if globals_told else [])
                self.assertEqual(said.verdict["verdict"], "same content; differs by: " +
                                 ("other" if globals_told else "header encoding"))
            # With room for them, all of it is told.
            said = differ.Layers(left, right)
            self.assertEqual((len(said.of("header")), len(said.of("global"))), (300, len(globals_told)))
            self.assertEqual((said.of("padding"), list(said.faults())), ([], []))

    def test_findings_of_half_a_layer(self):
        """Of a layer that was looked at in part, or could not be taken apart, nothing is counted."""
        left = self.commented("left.tar", {"VENDOR.x": "1"}, comments=False)
        [full] = [line for line in differ.Layers(left, self.file("tree", TREE)).of("finding")
                  if line["code"] == "padding.nonzero"]
        self.assertEqual((full["count_left"], full["count_right"]), (1, 0))
        right = self.file("right.gz", gzip.compress(left.read_bytes() + bytes(512), mtime=0))
        for limit in ("1KiB", "20KiB"):
            said = differ.Layers("--max-decoded=" + limit, left, right)
            self.assertEqual([said.verdict[side]["status"] for side in ("left", "right")], ["limit", "limit"])
            self.assertEqual((said.of("finding"), said.of("global"), said.of("padding")), ([], [], []))
            self.assertNotIn("security", said.verdict)
        members = self.file("members.gz", b"".join(gzip.compress(left.read_bytes()[i:i + 1000], mtime=0)
                                                   for i in range(0, 60000, 1000)))
        said = differ.Layers("--max-decoded=20KiB", members, right)
        self.assertNotIn("gzip members", [field["name"] for line in said.of("compression") for field in line["fields"]])
        # Of one that ends too early what is there is counted.
        said = differ.Layers(left, self.file("cut.tar", left.read_bytes()[:5400]))
        self.assertIn("error", said.verdict["right"])
        self.assertNotEqual(said.of("removed"), [])

    def test_estargz(self):
        entries = [("bin/a", b"first"), ("bin/b", b"second" * 300)]
        memory = io.BytesIO()
        with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in entries:
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(content), 1_700_000_000
                tar.addfile(info, io.BytesIO(content))
        plain = self.file("plain.tar", memory.getvalue())
        lazy = self.file("lazy.gz", self.estargz(entries)[1])
        said = differ.Layers(plain, lazy)
        self.assertEqual(said.verdict["right"].get("toc"), "estargz")
        self.assertEqual([(line["path"], line["right"]["marks"]) for line in said.of("added")],
                         [(".no.prefetch.landmark", ["estargz"]),
                          ("stargz.index.json", ["estargz"])])
        self.assertEqual((said.of("removed"), said.of("changed")), ([], []))
        self.assertNotIn("meet", said.verdict)
        self.assertEqual(said.verdict["meet_but_toc"], "archive")
        self.assertEqual(list(said.faults()), [])
        text = harness.run(harness.VARVE, "diff", plain, lazy, expect=1).decode()
        self.assertIn("but for the files that eStargz adds, the same from rung archive on", text)
        self.assertIn("stargz.index.json  file, ", text)
        self.assertIn("[added by eStargz]", text)

    def test_order_of_one_side_alone(self):
        """A name alone differs, and for that one side is computed in archive order: the finding is what is seen
        on all rungs."""
        def layer(name, entries):
            memory = io.BytesIO()
            with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for path, uname in entries:
                    info = tarfile.TarInfo(path)
                    info.uname, info.size = uname, 1
                    tar.addfile(info, io.BytesIO(b"x"))
            return self.file(name, memory.getvalue())
        left = layer("significant", [("b", "r"), ("a", "r"), ("a", "q")])
        right = layer("sorted", [("b", "r"), ("a", "r"), ("a", "r")])
        for first, second, side in (left, right, "left"), (right, left, "right"):
            said = differ.Layers(first, second)
            self.assertEqual(list(said.faults()), [])
            self.assertEqual(said.verdict["verdict"], "different content; differs by: names, order of entries; "
                             f"order means something on the {side} alone")
            self.assertEqual((said.verdict["facets_changed"], said.verdict["order_significant"]),
                             (["names"], [side]))
            self.assertEqual([line["rung"] for line in said.all], ["content", "order"])

    def test_other_compression_beneath(self):
        """A difference in the archive is told whatever the two are compressed by."""
        other = bytearray(TREE)
        other[1030] ^= 1
        left = self.file("left.gz", gzip.compress(TREE))
        right = self.file("right.tar", bytes(other))
        said = differ.Layers(left, right)
        self.assertEqual(list(said.faults()), [])
        self.assertEqual([line["path"] for line in said.of("changed")], ["etc/conf"])

    def test_pipe(self):
        left = self.file("left.tar", TREE)
        done = subprocess.run([harness.VARVE, "diff", "-", left], input=gzip.compress(TREE),
                              stdout=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.startswith(b"same archive; differs by: compression\n"))

    def test_values_are_whole(self):
        """Bytes that are no text come back from JSON."""
        said = differ.Layers(GOLDEN / "xattr-schily.tar", GOLDEN / "xattr-none.tar")
        fields = {field["key"]: field for line in said.of("changed") for field in line["fields"]}
        value = fields["user.note"]["left"].encode()
        self.assertEqual(value, b"two\nlines\0")
        capability = fields["security.capability"]
        raw = base64.b64decode(capability["left_b64"]) if "left_b64" in capability else \
            capability["left"].encode()
        self.assertEqual(len(raw), 20)
        self.assertEqual(capability["left_text"], "cap_dac_override+ep")

    def on_terminal(self, **environment):
        """What a terminal gets."""
        left, right = self.file("t1", TREE), self.file("t2", (GOLDEN / "tree-mtime.tar").read_bytes())
        try:
            master, slave = pty.openpty()
        except OSError as error:
            self.skipTest(f"no terminal to be had: {error}")
        child = subprocess.Popen([harness.VARVE, "diff", left, right], stdout=slave,
                                 env={**os.environ, "NO_COLOR": "", **environment})
        os.close(slave)
        said = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            said += piece
        os.close(master)
        self.assertEqual(child.wait(), 1)
        return said

    def test_terminal(self):
        self.assertIn(b"\x1b[1m", self.on_terminal())
        self.assertNotIn(b"\x1b", self.on_terminal(NO_COLOR="1"))
        self.assertNotIn(b"\x1b", harness.run(harness.VARVE, "diff", self.work / "t1",
                                              self.work / "t2", expect=1))


if __name__ == "__main__":
    harness.main()
