#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""corpora/make_golden.py - makes corpora/golden: small layers, what is expected of each, and which
meet on which rung. The same bytes on every run.

    make_golden.py            writes the folder and the table in docs/ladder.md
    make_golden.py --check    says whether both are as this script makes them

Expected digests come from tests/ladder/ladder.py, which was written from the specification; on which
rung two layers meet is written down here by hand.
"""

import base64
import gzip
import io
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "ladder"))
import ladder

MTIME = 1700000000
USTAR, GNU, V7 = b"ustar\x0000", b"ustar  \0", b"\0" * 8


def field(value, width):
    return value if isinstance(value, bytes) else b"%0*o\0" % (width - 1, value)


def header(name, typeflag, size=0, mode=0o644, uid=0, gid=0, mtime=MTIME, link=b"", magic=USTAR,
           uname=b"root", gname=b"root", major=0, minor=0, tail=b""):
    block = name.ljust(100, b"\0") + field(mode, 8) + field(uid, 8) + field(gid, 8)
    block += field(size, 12) + field(mtime, 12) + b" " * 8 + typeflag + link.ljust(100, b"\0")
    block += magic
    if magic != V7:
        block += uname.ljust(32, b"\0") + gname.ljust(32, b"\0") + field(major, 8) + \
            field(minor, 8)
    block = (block.ljust(345, b"\0") + tail).ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data):
    return data + b"\0" * (-len(data) % 512)


def file(name, data=b"", **fields):
    typeflag = fields.pop("typeflag", b"0")
    size = fields.pop("size", len(data))
    return header(name, typeflag, size=size, **fields) + padded(data)


def directory(name, **fields):
    return header(name, b"5", **dict({"mode": 0o755}, **fields))


def symlink(name, link, **fields):
    return header(name, b"2", link=link, **dict({"mode": 0o777}, **fields))


def hardlink(name, link, **fields):
    return header(name, b"1", link=link, **fields)


def record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def pax(*records, typeflag=b"x", name=b"PaxHeaders.0/x"):
    body = b"".join(record(key, value) for key, value in records)
    return header(name, typeflag, size=len(body), uname=b"", gname=b"") + padded(body)


def long(typeflag, text):
    return header(b"././@LongLink", typeflag, size=len(text) + 1, magic=GNU, mtime=0,
                  mode=0) + padded(text + b"\0")


END = b"\0" * 1024
golden = {}  # name -> (bytes, purpose)
meets = []  # (left, right, rung)


def layer(name, data, purpose, *pairs, end=END):
    """A golden layer, and with which others it meets where: (other, rung)."""
    golden[name] = (data + end, purpose)
    meets.extend((other, name, rung) for other, rung in pairs)


# --- the pair of the report that varve comes from -------------------------------------------------


def hello(mode):
    text = b"Hello from a layer that was packed twice.\n"
    content = (text * (13256 // len(text) + 1))[:13256]
    # No magic bits but these: the checksums are 010274 and 010273.
    return file(b"hello", content, mode=mode, mtime=1500000002, uname=b"", gname=b"")


layer("hello-ifmt.tar", hello(b"0100775\0"), "mode with S_IFREG, as old writers had it")
layer("hello.tar", hello(b"0000775\0"), "the same without: differs at bytes 102 and 154 only",
      ("hello-ifmt.tar", "encoding"))

# --- one small tree, written in many ways ---------------------------------------------------------


def tree(top=b"", dirs=True, **fields):
    """etc/ with a file and a symbolic link, usr/ and usr/bin/ with a program."""
    parts = [directory(top + b"etc/", **fields),
             file(top + b"etc/conf", b"key=value\n", **fields),
             symlink(top + b"etc/link", b"./conf", **fields),
             directory(top + b"usr/", **fields),
             directory(top + b"usr/bin/", **fields),
             file(top + b"usr/bin/tool", b"#!/bin/sh\n" * 60, mode=0o755, **fields)]
    return parts if dirs else [parts[1], parts[2], parts[5]]


TREE = tree()
layer("tree.tar", b"".join(TREE), "a small tree, ustar, as a plain writer has it")
golden["tree.tar.gz"] = (None, "the same, compressed")
meets.append(("tree.tar", "tree.tar.gz", "diffid"))
layer("tree-no-end.tar", b"".join(TREE), "no end-of-archive blocks", ("tree.tar", "archive"),
      end=b"")
layer("tree-one-zero.tar", b"".join(TREE), "one zero block", ("tree.tar", "archive"),
      end=b"\0" * 512)
layer("tree-blocked.tar", b"".join(TREE), "padded with NULs to a tape block",
      ("tree.tar", "archive"), end=b"\0" * 6656)
layer("tree-padding.tar", b"".join(TREE)[:-424] + b"#" * 424,
      "padding of the last entry that is not zero", ("tree.tar", "archive"))
layer("tree-trailer.tar", b"".join(TREE), "data behind the end of the archive",
      ("tree.tar", "content"), end=END + b"junk")
layer("tree-trailer-later.tar", b"".join(TREE), "the same data behind more NULs",
      ("tree-trailer.tar", "archive"), end=END + b"\0" * 1000 + b"junk")
layer("tree-gnu.tar", b"".join(tree(magic=GNU)), "GNU's magic", ("tree.tar", "encoding"))
layer("tree-v7.tar", b"".join(tree(magic=V7)), "v7 headers: no names", ("tree.tar", "names"))
layer("tree-dot.tar", b"".join(tree(top=b"./")), "./ before every path", ("tree.tar", "encoding"))
layer("tree-slash.tar", b"".join(tree(top=b"//./")), "//./ before every path",
      ("tree.tar", "encoding"))
layer("tree-root.tar", directory(b"./") + b"".join(TREE), "an entry of the root",
      ("tree.tar", "content"))
layer("tree-no-dirs.tar", b"".join(tree(dirs=False)), "no directories but those implied",
      ("tree.tar", "content"))
layer("tree-reversed.tar", b"".join(reversed(TREE)), "entries in reverse", ("tree.tar", "order"))
layer("tree-names.tar", b"".join(tree(uname=b"builder", gname=b"")), "other owner names",
      ("tree.tar", "names"))
layer("tree-mtime.tar", b"".join(tree(mtime=0)), "other times", ("tree.tar", "times"))
layer("tree-names-mtime.tar", b"".join(tree(mtime=0, uname=b"")), "other times, no owner names",
      ("tree.tar", "times"), ("tree-mtime.tar", "names"))
layer("tree-owner.tar", b"".join(tree(uid=1000)), "another owner", ("tree.tar", "content"))
layer("tree-numbers.tar", b"".join(tree(uid=b"      0 ", gid=b"000000 \0", major=b"\0" * 8,
                                        minor=b"\0" * 8)),
      "numbers padded and ended otherwise, device fields blank", ("tree.tar", "encoding"))
layer("tree-pax.tar", b"".join(
    pax((b"path", path), (b"uname", b"root"), (b"mtime", b"1700000000.000")) + entry
    for path, entry in zip([b"etc/", b"etc/conf", b"etc/link", b"usr/", b"usr/bin/",
                            b"usr/bin/tool"], TREE)),
    "pax headers that repeat the headers", ("tree.tar", "encoding"))
layer("tree-nanoseconds.tar", b"".join(pax((b"mtime", b"1700000000.5")) + e for e in TREE),
      "half a second more", ("tree.tar", "times"))
layer("tree-atime.tar", b"".join(pax((b"atime", b"1700000001"), (b"ctime", b"1700000002")) + e
                                 for e in TREE), "access and change times", ("tree.tar", "times"))
layer("tree-creation.tar", b"".join(pax((b"LIBARCHIVE.creationtime", b"5.25")) + e for e in TREE),
      "libarchive's creation times", ("tree.tar", "times"))
layer("tree-comment.tar", pax((b"comment", b"0123abcd"), typeflag=b"g") + b"".join(TREE),
      "a global header with a comment, as git archive writes", ("tree.tar", "encoding"))
layer("tree-global.tar", pax((b"mtime", b"0"), typeflag=b"g") + b"".join(TREE),
      "a global header that some readers apply", ("tree.tar", "content"))
layer("tree-global-behind.tar", b"".join(TREE) + pax((b"mtime", b"0"), typeflag=b"g"),
      "the same behind all entries", ("tree-global.tar", "order"))
layer("tree-record.tar", TREE[0] + pax((b"VENDOR.key", b"v")) + b"".join(TREE[1:]),
      "a pax record of unknown meaning", ("tree.tar", "content"))
layer("tree-star-records.tar", TREE[0] + pax(
    (b"SCHILY.dev", b"1"), (b"SCHILY.ino", b"22"), (b"SCHILY.nlink", b"1"),
    (b"SCHILY.realsize", b"10"), (b"hdrcharset", b"BINARY")) + b"".join(TREE[1:]),
    "star's records of the writer's file system", ("tree.tar", "encoding"))
layer("tree-setuid.tar", b"".join(TREE[:-1]) + file(b"usr/bin/tool", b"#!/bin/sh\n" * 60,
                                                    mode=0o4755),
      "a setuid bit", ("tree.tar", "content"))
layer("tree-symlink.tar", b"".join(TREE[:2] + [symlink(b"etc/link", b"conf")] + TREE[3:]),
      "another spelling of a symbolic link's target, which is content", ("tree.tar", "none"))
layer("tree-symlink-mode.tar", b"".join(
    TREE[:2] + [symlink(b"etc/link", b"./conf", mode=0o644, size=6)] + TREE[3:]),
    "another mode and a size of a symbolic link", ("tree.tar", "encoding"))
layer("tree-type-conflict.tar", b"".join(
    TREE[:1] + [file(b"etc/conf", b"key=value\n", mode=0o120644)] + TREE[2:]),
    "a mode that says symbolic link on a file: kept", ("tree.tar", "content"))
layer("tree-types.tar", b"".join(
    [header(b"etc/", b"\0", mode=0o40755)] + [file(b"etc/conf", b"key=value\n", typeflag=b"7")] +
    TREE[2:5] + [file(b"usr/bin/tool", b"#!/bin/sh\n" * 60, typeflag=b"\0", mode=0o100755,
                      link=b"unused", major=8)]),
    "typeflags NUL and 7, type bits, unused link target and device", ("tree.tar", "encoding"))
layer("tree-twice.tar", b"".join(TREE[:2] + TREE[:1] + TREE[2:]), "a directory given twice, alike",
      ("tree.tar", "order"))
layer("tree-twice-other.tar", b"".join(TREE[:2] + [directory(b"etc/", mode=0o700)] + TREE[2:]),
      "a directory given twice, with another mode: order is significant", ("tree.tar", "content"))
layer("tree-file-twice.tar", b"".join(TREE[:2] + TREE[1:]), "a file given twice, alike: stays",
      ("tree.tar", "none"))
layer("tree-empty-dir.tar", b"".join(TREE) + directory(b"var/"), "an empty directory more",
      ("tree.tar", "none"))

# --- nothing --------------------------------------------------------------------------------------

layer("empty.tar", b"", "no entries: 1024 NULs")
layer("empty-no-bytes.tar", b"", "no bytes at all", ("empty.tar", "archive"), end=b"")

# --- long paths and numbers -----------------------------------------------------------------------

DEEP = b"deep/" * 18 + b"leaf-with-a-name-that-needs-more-room"
layer("long-prefix.tar", file(DEEP[90:], b"x", tail=DEEP[:89]), "a long path in prefix and name")
layer("long-prefix-other.tar", file(DEEP[35:], b"x", tail=DEEP[:34]), "split at another slash",
      ("long-prefix.tar", "encoding"))
layer("long-gnu.tar", long(b"L", DEEP) + file(DEEP[:100], b"x", magic=GNU),
      "the same as GNU's long name", ("long-prefix.tar", "encoding"))
layer("long-pax.tar", pax((b"path", b"./" + DEEP)) + file(DEEP[:100], b"x"), "the same as pax path",
      ("long-prefix.tar", "encoding"))
LINK = b"target/" * 20
layer("longlink-gnu.tar", long(b"K", LINK) + symlink(b"s", LINK[:100], magic=GNU),
      "a long symbolic link's target, GNU")
layer("longlink-pax.tar", pax((b"linkpath", LINK)) + symlink(b"s", b""), "the same, pax",
      ("longlink-gnu.tar", "encoding"))
layer("big-base256.tar", file(b"f", b"", uid=b"\x80\0\0\0\0\x3d\x09\0", gid=0o7777777,
                              mtime=b"\xff" * 11 + b"\xfb"), "uid 4000000, mtime -5: base-256")
layer("big-pax.tar", pax((b"uid", b"4000000"), (b"mtime", b"-5")) + file(b"f", b"", gid=0o7777777),
      "the same by pax", ("big-base256.tar", "encoding"))
layer("negative-half.tar", pax((b"mtime", b"-4.5"), (b"uid", b"4000000")) + file(
    b"f", b"", gid=0o7777777), "half a second later, still before 1970",
    ("big-base256.tar", "times"))

# --- sparse files ---------------------------------------------------------------------------------

RUNS = [(512, b"a" * 512), (3000, b"bc"), (5000, b"")]
WHOLE = b"\0" * 512 + b"a" * 512 + b"\0" * 1976 + b"bc" + b"\0" * 1998
STORED = b"".join(data for _, data in RUNS)
MAP = [number for offset, data in RUNS for number in (offset, len(data))]
layer("sparse-expanded.tar", file(b"sparse", WHOLE), "a file with holes, written out")
layer("sparse-gnu.tar", file(
    b"sparse", STORED, typeflag=b"S", magic=GNU,
    tail=b"\0" * 41 + b"".join(field(n, 12) for n in MAP) + b"\0" * 24 + b"\0" + field(5000, 12)),
    "GNU's old sparse format", ("sparse-expanded.tar", "encoding"))
layer("sparse-gnu-continued.tar", header(
    b"sparse", b"S", size=len(STORED), magic=GNU,
    tail=b"\0" * 41 + b"".join(field(n, 12) for n in MAP[:2]) + b"\0" * 72 + b"\1" +
    field(5000, 12)) + (b"".join(field(n, 12) for n in MAP[2:])).ljust(512, b"\0") +
    padded(STORED), "with a continuation block", ("sparse-expanded.tar", "encoding"))
layer("sparse-pax-0.0.tar", pax(
    (b"GNU.sparse.size", b"5000"), (b"GNU.sparse.numblocks", b"3"), *[
        (b"GNU.sparse.numbytes" if i % 2 else b"GNU.sparse.offset", b"%d" % n)
        for i, n in enumerate(MAP)]) + file(b"sparse", STORED), "pax format 0.0",
    ("sparse-expanded.tar", "encoding"))
layer("sparse-pax-0.1.tar", pax(
    (b"GNU.sparse.size", b"5000"), (b"GNU.sparse.numblocks", b"3"), (b"GNU.sparse.name", b"sparse"),
    (b"GNU.sparse.map", b",".join(b"%d" % n for n in MAP))) +
    file(b"GNUSparseFile.0/sparse", STORED), "pax format 0.1", ("sparse-expanded.tar", "encoding"))
layer("sparse-pax-1.0.tar", pax(
    (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"sparse"),
    (b"GNU.sparse.realsize", b"5000")) +
    file(b"GNUSparseFile.0/sparse",
         (b"3\n" + b"".join(b"%d\n" % n for n in MAP)).ljust(512, b"\0") + STORED),
    "pax format 1.0", ("sparse-expanded.tar", "encoding"))

# --- extended attributes --------------------------------------------------------------------------

CAP = bytes.fromhex("0100000202000000000000000000000000000000")


def with_xattrs(*records):
    return pax(*records) + file(b"bin", b"#!", mode=0o755)


layer("xattr-schily.tar", with_xattrs(
    (b"SCHILY.xattr.security.capability", CAP), (b"SCHILY.xattr.user.note", b"two\nlines\0")),
    "attributes as SCHILY.xattr, raw bytes")
layer("xattr-libarchive.tar", with_xattrs(
    (b"LIBARCHIVE.xattr.user%2Enote", base64.b64encode(b"two\nlines\0").rstrip(b"=")),
    (b"LIBARCHIVE.xattr.security.capability", base64.b64encode(CAP))),
    "the same as LIBARCHIVE.xattr: names escaped, base64", ("xattr-schily.tar", "encoding"))
layer("xattr-both.tar", with_xattrs(
    (b"LIBARCHIVE.xattr.user.note", base64.b64encode(b"other")),
    (b"SCHILY.xattr.user.note", b"two\nlines\0"),
    (b"SCHILY.xattr.security.capability", CAP)),
    "both spellings, and they disagree: SCHILY's counts", ("xattr-schily.tar", "encoding"))
layer("xattr-none.tar", file(b"bin", b"#!", mode=0o755), "no attributes",
      ("xattr-schily.tar", "content"))
layer("xattr-empty.tar", with_xattrs((b"SCHILY.xattr.user.note", b"")), "an empty value says nothing",
      ("xattr-none.tar", "encoding"))
layer("xattr-selinux.tar", with_xattrs((b"SCHILY.xattr.security.selinux", b"u:r:t")),
      "an SELinux label")
layer("xattr-selinux-rht.tar", with_xattrs((b"RHT.security.selinux", b"u:r:t")),
      "the same as GNU tar writes it", ("xattr-selinux.tar", "encoding"))
layer("xattr-acl.tar", with_xattrs((b"SCHILY.acl.access", b"user::rwx"),
                                   (b"SCHILY.fflags", b"nodump")),
      "an ACL and file flags", ("xattr-none.tar", "content"))

# --- hard links -----------------------------------------------------------------------------------

A, B, C = b"dir/a", b"dir/b", b"dir/c"
layer("link-star.tar", file(A, b"text") + hardlink(B, A) + hardlink(C, A), "three names, a star")
layer("link-chain.tar", file(A, b"text") + hardlink(B, A) + hardlink(C, B), "a chain",
      ("link-star.tar", "order"))
layer("link-other-file.tar", file(C, b"text") + hardlink(A, C) + hardlink(B, A),
      "another name is the file", ("link-star.tar", "order"))
layer("link-spelled.tar", file(b"./" + A, b"text") + hardlink(B, b"/dir//a") + hardlink(C, b"./dir/a"),
      "targets spelled otherwise", ("link-star.tar", "encoding"))
layer("link-silent.tar", file(A, b"text") + hardlink(B, A, uname=b"", gname=b"") + hardlink(C, A),
      "a link that says nothing about names", ("link-star.tar", "order"))
layer("link-mode.tar", file(A, b"text") + hardlink(B, A, mode=0o4755) + hardlink(C, A),
      "a link that disagrees about the mode", ("link-star.tar", "content"))
layer("link-ifmt.tar", file(A, b"text") + hardlink(B, A, mode=0o120644) + hardlink(C, A),
      "type bits of a link are dropped, whatever they say", ("link-star.tar", "encoding"))
layer("link-xattr.tar", file(A, b"text") + pax((b"SCHILY.xattr.user.x", b"1")) + hardlink(B, A) +
      hardlink(C, A), "a link with an attribute that the file has not", ("link-star.tar", "content"))
layer("link-copies.tar", file(A, b"text") + file(B, b"text") + file(C, b"text"),
      "no links but copies: other content", ("link-star.tar", "none"))
layer("link-forward.tar", hardlink(B, A) + file(A, b"text") + hardlink(C, A),
      "a link before its target: order is significant", ("link-star.tar", "none"))
layer("link-outside.tar", hardlink(B, b"lower/x") + hardlink(C, b"lower/x"),
      "links to a lower layer, a star")
layer("link-outside-chain.tar", hardlink(B, b"lower/x") + hardlink(C, B), "the same, a chain",
      ("link-outside.tar", "order"))
layer("link-symlink.tar", symlink(C, b"t") + hardlink(A, C, mode=0o777), "a link to a symbolic link")
layer("link-symlink-other.tar", symlink(A, b"t") + hardlink(C, A, mode=0o777), "the other way round",
      ("link-symlink.tar", "order"))
layer("link-directory.tar", directory(b"dir/") + hardlink(b"alias", b"dir"),
      "a link to a directory stays as it is")

# --- sorting, significance, whiteouts -------------------------------------------------------------

layer("sort.tar", file(b"a.txt") + directory(b"a/") + file(b"a/x") + file(b"a-b") + file(b"a/!"),
      "bytes below the slash")
layer("sort-other.tar", directory(b"a/") + file(b"a/!") + file(b"a/x") + file(b"a-b") +
      file(b"a.txt"), "the same by components", ("sort.tar", "order"))
layer("beneath.tar", symlink(b"d", b"/tmp") + file(b"d/f", b"x"),
      "a file beneath a symbolic link: order is significant")
layer("beneath-other.tar", file(b"d/f", b"x") + symlink(b"d", b"/tmp"), "the other order",
      ("beneath.tar", "none"))
layer("duplicate.tar", file(b"f", b"1") + file(b"f", b"2"), "a path twice: order is significant")
layer("duplicate-other.tar", file(b"f", b"2") + file(b"f", b"1"), "the other one last",
      ("duplicate.tar", "none"))
layer("whiteout.tar", file(b"d/.wh.x"), "an explicit whiteout")
layer("whiteout-opaque.tar", file(b"d/.wh..wh..opq"), "an opaque one", ("whiteout.tar", "none"))
layer("whiteout-directory.tar", directory(b"d/") + file(b"d/.wh.x"),
      "a directory that holds nothing but a whiteout stays", ("whiteout.tar", "none"))
layer("whiteout-own.tar", file(b"d/.wh.x") + file(b"d/x/y", b"1"),
      "a whiteout beside what it removes: order is significant")
layer("whiteout-own-other.tar", file(b"d/x/y", b"1") + file(b"d/.wh.x"), "the other order",
      ("whiteout-own.tar", "none"))
layer("whiteout-odd.tar", file(b"d/.wh.") + file(b".wh.") + file(b".wh..") + file(b".wh..wh.plnk") +
      directory(b".wh.q"), "names that whiteouts should not have")
layer("devices.tar", header(b"null", b"3", major=1, minor=3) + header(b"sda", b"4", major=8) +
      header(b"fifo", b"6", major=5, minor=5, size=1024), "devices and a fifo")
layer("devices-schily.tar", pax((b"SCHILY.devmajor", b"1"), (b"SCHILY.devminor", b"3")) +
      header(b"null", b"3") + header(b"sda", b"4", major=8) + header(b"fifo", b"6"),
      "device numbers by pax", ("devices.tar", "encoding"))
layer("bytes.tar", file(b"\xff\xfe\n\x01", b"x") + symlink(b"\xc3\xa4", b"\xe4/"),
      "paths that are not UTF-8, or not printable")
layer("odd-types.tar", file(b"V", b"", typeflag=b"V") + file(b"dump/", b"Yf\0\0", typeflag=b"D") +
      file(b"rest", b"zz", typeflag=b"M") + file(b"what", b"?", typeflag=b"Z"),
      "GNU's D, V and M, and a typeflag of unknown meaning")


# --------------------------------------------------------------------------------------------------


def compressed(data):
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=9) as stream:
        stream.write(data)
    return out.getvalue()


def texts():
    """Every file of corpora/golden: name -> bytes."""
    golden["tree.tar.gz"] = (compressed(golden["tree.tar"][0]), golden["tree.tar.gz"][1])
    out = {}
    for name, (data, purpose) in golden.items():
        result = ladder.ladder(data)
        assert result["status"] == "ok", name
        out[name] = data
        out[name + ".json"] = json.dumps(
            {"purpose": purpose, "bytes": len(data), "entries": result["entries"],
             "rungs": result["rungs"], "facets": result["facets"],
             "findings": result["findings"]}, indent=1).encode() + b"\n"
    out["MEETS.tsv"] = b"# left\tright\tthe first rung on which they meet, or none\n" + b"".join(
        b"%s\t%s\t%s\n" % tuple(text.encode() for text in pair) for pair in meets)
    return out


def vector_table(out):
    lines = ["| file | encoding | order | content |", "|---|---|---|---|"]
    for name in sorted(golden):
        rungs = json.loads(out[name + ".json"])["rungs"]
        lines.append("| `%s` | %s |" % (name, " | ".join(
            "`%s`" % rungs[rung].rsplit(":", 1)[1][:16] for rung in
            ("encoding", "order", "content"))))
    return "\n".join(lines)


def hex_lines(pieces):
    """An annotated dump: (bytes, what they are) each."""
    lines = []
    for data, what in pieces:
        for at in range(0, max(len(data), 1), 16):
            row = data[at:at + 16]
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            lines.append("    %-48s %-17s %s" % (row.hex(" "), shown, what if at == 0 else ""))
    return "\n".join(line.rstrip() for line in lines)


def entries_of(name):
    entries = [item for kind, item in ladder.Tar(golden[name][0]).items if kind == "entry"]
    for entry in entries:
        ladder.canonical(entry)
    return entries


def record_example():
    entry = entries_of("negative-half.tar")[0]
    data = ladder.record(entry)
    cuts = [(8, "mode 0644"), (8, "uid 4000000: too large for seven octal digits"),
            (8, "gid 07777777"), (12, "size 0"), (12, "mtime -5 seconds and half a second more"),
            (8, "devmajor"), (8, "devminor"), (1, "type"), (5, "path"), (4, "link target: none"),
            (8, "uname"), (8, "gname"), (4, "nanoseconds of mtime: 500000000"), (4, "no atime"),
            (4, "no ctime"), (4, "no creation time"), (4, "no xattrs"), (4, "no other records"),
            (36, "SHA-256 of the empty content")]
    pieces, at = [], 0
    for count, what in cuts:
        pieces.append((data[at:at + count], what))
        at += count
    assert at == len(data)
    rung = ladder.H(b"varve1.encoding\0" + data).hex()
    assert ladder.ladder(golden["negative-half.tar"][0])["rungs"]["encoding"].endswith(rung)
    return ("The one record of `corpora/golden/negative-half.tar`, %d bytes:\n\n%s\n\n"
            "It is the archive's only entry, so that rung `encoding` is the SHA-256 of the 16 bytes "
            "`varve1.encoding\\0` and these: `%s`." % (len(data), hex_lines(pieces), rung))


def layer_example():
    name = "link-chain.tar"
    entries = entries_of(name)
    work = ladder.Layer(entries)
    result = ladder.ladder(golden[name][0])
    work.holders = set()
    out = ["`corpora/golden/%s` holds the file `dir/a` (content `text`), the hard link `dir/b` to "
           "`dir/a`, and the hard link `dir/c` to `dir/b`; all are mode 0644, owner 0:0, "
           "`root:root`, mtime 1700000000. Both links belong to `dir/a`, which is first in order "
           "and elected. The facet `content` is the SHA-256 of" % name, ""]
    pieces = [(b"varve1.facet.content\0", "prefix")]
    for entry in work.sorted:
        pieces.append((ladder.content_part(work, entry), "part of " + entry.path.decode()))
    assert ladder.H(b"".join(data for data, _ in pieces)).hex() in result["facets"]["content"]
    out += [hex_lines(pieces), "", "and the facet `owner` of", ""]
    pieces = [(b"varve1.facet.owner\0", "prefix")]
    for entry in work.sorted:
        pieces.append((ladder.part("owner", b"e", entry, entry.path),
                       "part of " + entry.path.decode()))
    assert ladder.H(b"".join(data for data, _ in pieces)).hex() in result["facets"]["owner"]
    out += [hex_lines(pieces), "", "All of it:", ""]
    out += ["    " + text for text in list(result["facets"].values()) +
            list(result["rungs"].values())[2:]]
    return "\n".join(out)


def purposes():
    lines = ["| file | purpose |", "|---|---|"]
    return "\n".join(lines + ["| `%s` | %s |" % (name, golden[name][1]) for name in sorted(golden)])


def between(text, mark, filling):
    """The text with what stands between the two marks replaced."""
    begin, end = "<!-- %s -->\n" % mark, "\n<!-- end of %s -->" % mark
    head, rest = text.split(begin)
    return head + begin + filling + end + rest.split(end)[1]


def main():
    out = {os.path.join("golden", name): data for name, data in texts().items()}
    for path, fillings in (
            (os.path.join("..", "docs", "ladder.md"),
             {"record": record_example(), "layer": layer_example(),
              "vectors": vector_table(texts())}),
            ("README.md", {"golden": purposes()})):
        with open(os.path.join(HERE, path)) as stream:
            text = stream.read()
        for mark, filling in fillings.items():
            text = between(text, mark, filling)
        out[path] = text.encode()
    stale = []
    for path, data in out.items():
        target = os.path.join(HERE, path)
        try:
            with open(target, "rb") as stream:
                same = stream.read() == data
        except FileNotFoundError:
            same = False
        # A compressor of another version may give other bytes; its content is held against the
        # sidecar anyway.
        if same or (path.endswith((".gz", ".gz.json")) and os.path.exists(target)):
            continue
        stale.append(path)
        if sys.argv[1:] != ["--check"]:
            with open(target, "wb") as stream:
                stream.write(data)
    if sys.argv[1:] == ["--check"] and stale:
        sys.exit("not as make_golden.py makes them: " + ", ".join(stale))


if __name__ == "__main__":
    main()
