#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/ladder/mutations.py - a random tree is changed in one known way and must then meet the
original on exactly the rung that the change belongs to, below it everywhere, and leave the finding
that the change is due, as often as it was made. Every finding about how a layer is compressed and
written is provoked by at least one change.

`VARVE` names the program; VARVE_SEED and VARVE_ROUNDS may be set.
"""

import base64
import copy
import json
import os
import pathlib
import random
import re
import struct
import sys
import tempfile
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ladder
from compare import ROOT, meet, varve

USTAR, GNU, V7 = b"ustar\x0000", b"ustar  \0", b"\0" * 8


class Item:
    """An entry's meaning, and how it is to be written."""

    def __init__(self, path, kind, data=b"", link=b""):
        self.path, self.kind, self.data, self.link = path, kind, data, link
        self.mode = {b"5": 0o755, b"2": 0o777}.get(kind, 0o644)
        self.uid = self.gid = 0
        self.mtime = 1600000000
        self.uname = self.gname = b"root"
        self.major = self.minor = 0
        # How it is written.
        self.typeflag = kind
        self.magic = USTAR
        self.prefix = b""
        self.name = path + (b"/" if kind == b"5" else b"")
        self.linkname = link
        self.size = len(data) if kind == b"0" else 0
        self.stored = data
        self.pax = []
        self.before = b""  # headers of other kinds
        self.number = lambda value, width: b"%0*o\0" % (width - 1, value)
        self.device = self.number
        self.checksum = b"%06o\0 "
        self.sum = sum
        self.padding = b"\0"
        self.tail = b""

    def write(self):
        block = self.name.ljust(100, b"\0") + self.number(self.mode, 8)
        block += self.number(self.uid, 8) + self.number(self.gid, 8)
        block += self.number(self.size, 12) + self.number(self.mtime, 12) + b" " * 8
        block += self.typeflag + self.linkname.ljust(100, b"\0") + self.magic
        if self.magic != V7:
            block += self.uname.ljust(32, b"\0") + self.gname.ljust(32, b"\0")
            block += self.device(self.major, 8) + self.device(self.minor, 8)
            block += self.prefix
        block = (block.ljust(345, b"\0") + self.tail).ljust(512, b"\0")
        block = block[:148] + self.checksum % self.sum(block) + block[156:]
        out = self.before + (pax_header(self.pax) if self.pax else b"") + block + self.stored
        return out + self.padding * (-len(self.stored) % 512)


def record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def extension(name, typeflag, body, magic=USTAR):
    item = Item(name, b"0", body)
    item.typeflag, item.magic = typeflag, magic
    item.uname = item.gname = b""
    return item.write()


def pax_header(pairs, typeflag=b"x"):
    return extension(b"PaxHeaders.0/x", typeflag, b"".join(record(*pair) for pair in pairs))


def archive(items, end=b"\0" * 1024):
    return b"".join(item.write() for item in items) + end


def tree(dice):
    """A tree with every kind of entry; directories first, links behind their targets."""
    items = []
    for i in range(dice.randint(1, 3)):
        top = b"d%d" % i
        items.append(Item(top, b"5"))
        items.append(Item(top + b"/sub", b"5"))
        for j in range(dice.randint(2, 4)):
            parent = dice.choice([top, top + b"/sub"])
            data = b"\0" * dice.randint(0, 700) + b"%d" % (100 * i + j) + \
                b"\0" * dice.randint(0, 700)
            items.append(Item(parent + b"/f%d" % j + dice.choice([b"", b".txt", b"-x"]), b"0",
                              data))
        items.append(Item(top + b"/link", b"2", link=b"../x/./y"))
        items.append(Item(top + b"/null", b"3"))
        items[-1].major, items[-1].minor = 1, 3
        items.append(Item(top + b"/pipe", b"6"))
        items.append(Item(top + b"/.wh.gone", b"0"))
        items.append(Item(top + b"/.wh..wh..opq", b"0"))
        items.append(Item(top + b"/hard-a", b"0", b"hard%d" % i))
        items.append(Item(top + b"/hard-b", b"1", link=top + b"/hard-a"))
        items.append(Item(top + b"/hard-c", b"1", link=top + b"/hard-a"))
    items.append(Item(b"last", b"0", b"data"))
    for item in items:
        if dice.random() < 0.3 and item.kind != b"1":
            item.pax = [(b"SCHILY.xattr.user.k", b"v\0\n"), (b"SCHILY.xattr.user.l", b"w")]
    return items


MUTATIONS = []


def mutation(rung, finding=None):
    """Registers a change: it gets (items, dice) and returns how many findings are due, or the whole
    archive's bytes with that number."""
    def register(change):
        MUTATIONS.append((change, rung, finding))
        return change
    return register


def each(items, kinds, change):
    chosen = [item for item in items if item.kind in kinds]
    for item in chosen:
        change(item)
    return len(chosen)


def some(dice, items, kinds=(b"0", b"5", b"2", b"3", b"6")):
    return dice.choice([item for item in items if item.kind in kinds])


# --- diffid ---


def gzip(data, flags=0, mtime=0, xfl=0, os_byte=255, fields=b""):
    """One member (RFC 1952)."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    header = struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, flags, mtime, xfl, os_byte) + fields
    trailer = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return header + deflate.compress(data) + deflate.flush() + trailer


def header_crc(fields):
    header = struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, 2, 0, 0, 255) + fields
    return struct.pack("<H", zlib.crc32(header) & 0xFFFF)


for code, options in {
        "gzip.mtime": {"mtime": 1700000000},
        "gzip.name": {"flags": 8, "fields": b"layer.tar\0"},
        "gzip.comment": {"flags": 16, "fields": b"made by hand\0"},
        "gzip.extra": {"flags": 4, "fields": b"\6\0ab\2\0xy"},
        "gzip.text": {"flags": 1},
        "gzip.header-crc": {"flags": 2, "fields": header_crc(b"")},
        "gzip.xfl": {"xfl": 2},
        "gzip.os": {"os_byte": 11}}.items():
    def compressed(items, dice, options=options):
        return gzip(archive(items), **options), 1
    compressed.__name__ = code
    mutation("diffid", code)(compressed)


@mutation("diffid", "gzip.member")
def gzip_members(items, dice):
    data = archive(items)
    return gzip(data[:700]) + gzip(data[700:1000]) + gzip(data[1000:]), 2


@mutation("diffid", "gzip.empty-member")
def gzip_empty_members(items, dice):
    return gzip(b"") + gzip(archive(items)) + gzip(b""), 2


@mutation("diffid", "decode.trailing-zeros")
def gzip_padded(items, dice):
    return gzip(archive(items)) + b"\0" * 77, 77


@mutation("diffid", "decode.trailing-garbage")
def gzip_junk(items, dice):
    return gzip(archive(items)) + b"junk", 4


@mutation("diffid", "decode.hidden-member")
def gzip_hidden(items, dice):
    return gzip(archive(items)) + b"junk" + gzip(b"hidden"), 1


def frame(data, sized=False):
    """A zstd frame (RFC 8878) of raw blocks, without checksum."""
    out = b"\x28\xb5\x2f\xfd"
    out += b"\xa0" + struct.pack("<I", len(data)) if sized else b"\0\x40"
    pieces = [data[i:i + 65536] for i in range(0, len(data), 65536)] or [b""]
    for i, piece in enumerate(pieces):
        out += (len(piece) << 3 | (i + 1 == len(pieces))).to_bytes(3, "little") + piece
    return out


@mutation("diffid", "zstd.no-checksum")
def zstd_unchecked(items, dice):
    return frame(archive(items), sized=True), 1


@mutation("diffid", "zstd.no-size")
def zstd_unsized(items, dice):
    return frame(archive(items)), 1


@mutation("diffid", "zstd.frame")
def zstd_frames(items, dice):
    data = archive(items)
    return frame(data[:600]) + frame(b"") + frame(data[600:]), 2


@mutation("diffid", "zstd.skippable")
def zstd_skippable(items, dice):
    return b"\x51\x2a\x4d\x18\5\0\0\0bytes" + frame(archive(items)), 1


# --- archive ---


@mutation("archive", "eoa.missing")
def no_end(items, dice):
    return archive(items, b""), 1


@mutation("archive", "eoa.single")
def one_block(items, dice):
    return archive(items, b"\0" * 512), 1


@mutation("archive", "padding.truncated")
def cut_padding(items, dice):
    return archive(items, b"")[:-500], 1


@mutation("archive", "eoa.padding")
def padded_end(items, dice):
    extra = dice.randint(1, 9000)
    return archive(items, b"\0" * (1024 + extra)), extra


# --- encoding ---


@mutation("encoding", "padding.nonzero")
def nonzero_padding(items, dice):
    # Not the last entry's, which rung archive ignores already.
    return each([item for item in items[:-1] if len(item.stored) % 512], (b"0",),
                lambda item: setattr(item, "padding", b"!"))


@mutation("encoding", "mode.ifmt")
def type_bits(items, dice):
    bits = {b"0": 0o100000, b"1": 0o100000, b"2": 0o120000, b"3": 0o020000, b"5": 0o040000,
            b"6": 0o010000}

    def change(item):
        item.mode |= bits[item.kind]
    return each(items, bits, change)


@mutation("encoding", "number.terminator")
def spaced_numbers(items, dice):
    def change(item):
        item.number = lambda value, width: b"%0*o " % (width - 1, value)
        item.device = item.number
    return each(items, (b"0", b"1", b"5"), change)


@mutation("encoding", "number.base256")
def base256(items, dice):
    item = some(dice, items)
    item.number = lambda value, width: bytes([0x80]) + value.to_bytes(width - 1, "big")
    return 1


@mutation("encoding", "device.blank")
def blank_devices(items, dice):
    return each(items, (b"0", b"5", b"1", b"2"),
                lambda item: setattr(item, "device", lambda value, width: b"\0" * width))


@mutation("encoding", "header.checksum-style")
def checksums(items, dice):
    return each(items, (b"0", b"5"), lambda item: setattr(item, "checksum", b"%07o\0"))


@mutation("encoding", "header.gnu")
def gnu_magic(items, dice):
    return each(items, (b"0", b"1", b"2", b"3", b"5", b"6"),
                lambda item: setattr(item, "magic", GNU))


@mutation("encoding", "type.nul")
def nul_types(items, dice):
    return each(items, (b"0",), lambda item: setattr(item, "typeflag", b"\0"))


@mutation("encoding", "type.nul-directory")
def nul_directories(items, dice):
    return each(items, (b"5",), lambda item: setattr(item, "typeflag", b"\0"))


@mutation("encoding", "type.contiguous")
def contiguous(items, dice):
    some(dice, items, (b"0",)).typeflag = b"7"
    return 1


@mutation("encoding", "name.prefix")
def prefixes(items, dice):
    count = 0
    for item in items:
        if b"/" in item.path:
            item.prefix, item.name = item.path.rsplit(b"/", 1)
            item.name += b"/" if item.kind == b"5" else b""
            count += 1
    return count


@mutation("encoding", "name.after-nul")
def garbage_behind_name(items, dice):
    item = some(dice, items, (b"0",))
    item.name = item.name + b"\0junk"
    return 1


@mutation("encoding", "path.dot")
def dots(items, dice):
    def change(item):
        item.name = b"./" + item.name
    return each(items, (b"0", b"1", b"2", b"3", b"5", b"6"), change)


@mutation("encoding", "path.absolute")
def absolute(items, dice):
    def change(item):
        item.name = b"/" + item.name
    return each(items, (b"0", b"5"), change)


@mutation("encoding", "path.double-slash")
def slashes(items, dice):
    def change(item):
        item.name = item.name.replace(b"/", b"//", 1)
    return each([item for item in items if b"/" in item.name[:-1]], (b"0", b"1", b"2", b"3", b"6"),
                change)


@mutation("encoding", "path.directory-bare")
def bare_directories(items, dice):
    return each(items, (b"5",), lambda item: setattr(item, "name", item.path))


@mutation("encoding", "link.dot")
def link_dots(items, dice):
    return each(items, (b"1",), lambda item: setattr(item, "linkname", b"./" + item.link))


@mutation("encoding", "link.unused")
def unused_links(items, dice):
    return each(items, (b"0", b"3", b"5"), lambda item: setattr(item, "linkname", b"x"))


@mutation("encoding", "link.symlink-mode")
def symlink_modes(items, dice):
    return each(items, (b"2",), lambda item: setattr(item, "mode", 0o4644))


@mutation("encoding", "device.unused")
def unused_devices(items, dice):
    return each(items, (b"0", b"6"), lambda item: setattr(item, "major", 9))


@mutation("encoding", "size.unused")
def unused_sizes(items, dice):
    return each(items, (b"1", b"2", b"3", b"6"), lambda item: setattr(item, "size", 700))


@mutation("encoding", "pax.repeats")
def repeats(items, dice):
    count = 0
    for item in items:
        if not item.pax:
            item.pax = [(b"gid", b"0"), (b"path", item.name)]
            count += 2
    return count


@mutation("encoding", "pax.order")
def pax_order(items, dice):
    chosen = [item for item in items if item.pax]
    for item in chosen:
        item.pax.reverse()
    return len(chosen)


@mutation("encoding", "pax.duplicate-key")
def duplicate_keys(items, dice):
    item = some(dice, items)
    item.pax = [(b"uname", b"nobody"), (b"uname", item.uname)] + item.pax
    return 1


@mutation("encoding", "pax.empty-value")
def empty_values(items, dice):
    item = some(dice, items)
    item.pax = [(b"uname", b"")] + item.pax
    return 1


@mutation("encoding", "pax.comment")
def comments(items, dice):
    some(dice, items).pax += [(b"comment", b"made by hand")]
    return 1


@mutation("encoding", "pax.schily-stat")
def schily_stat(items, dice):
    some(dice, items).pax += [(b"SCHILY.dev", b"1"), (b"SCHILY.ino", b"2"), (b"SCHILY.nlink", b"3")]
    return 3


@mutation("encoding", "pax.global")
def global_comment(items, dice):
    some(dice, items).before = pax_header([(b"comment", b"0123456789abcdef")], b"g")
    return 1


@mutation("encoding", "xattr.libarchive")
def libarchive(items, dice):
    count = 0
    for item in items:
        for i, (key, value) in enumerate(item.pax):
            if key.startswith(b"SCHILY.xattr."):
                item.pax[i] = (b"LIBARCHIVE.xattr." + key[13:].replace(b".", b"%2e"),
                               base64.b64encode(value))
                count += 1
    return count


@mutation("encoding", "gnu.long-name")
def long_names(items, dice):
    def change(item):
        item.before = extension(b"././@LongLink", b"L", item.name + b"\0", GNU)
        item.name = b"short"
    return each([item for item in items if not item.pax], (b"0", b"1", b"5"), change)


@mutation("encoding", "gnu.long-link")
def long_links(items, dice):
    def change(item):
        item.before = extension(b"././@LongLink", b"K", item.link + b"\0", GNU)
        item.linkname = b""
    return each(items, (b"1", b"2"), change)


@mutation("encoding", "sparse.pax")
def sparse(items, dice):
    def change(item):
        body = item.data.strip(b"\0")
        begin = item.data.index(body)
        item.pax = [(b"GNU.sparse.major", b"0"), (b"GNU.sparse.minor", b"1"),
                    (b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.size", b"%d" % len(item.data)),
                    (b"GNU.sparse.map", b"%d,%d" % (begin, len(body)))] + item.pax
        item.stored, item.size = body, len(body)
    return each([item for item in items if item.data], (b"0",), change)


@mutation("encoding", "header.checksum-signed")
def signed_sums(items, dice):
    item = some(dice, items, (b"0",))
    item.name += b"\0\xff\xfe"
    item.sum = lambda block: sum(byte - 256 * (byte > 127) for byte in block)
    return 1


@mutation("encoding", "header.star")
def star_headers(items, dice):
    def change(item):
        item.tail = b"\0" * 163 + b"tar\0"
    return each(items, (b"0", b"5"), change)


@mutation("encoding", "header.version")
def odd_versions(items, dice):
    return each(items, (b"0", b"1"), lambda item: setattr(item, "magic", b"ustar\0 \0"))


@mutation("encoding", "header.mixed")
def mixed_headers(items, dice):
    dice.choice(items[1:]).magic = GNU
    return 1


@mutation("encoding", "header.unused-bytes")
def unused_bytes(items, dice):
    return each(items, (b"0", b"2"), lambda item: setattr(item, "tail", b"\0" * 160 + b"x"))


@mutation("encoding", "number.padding")
def padded_numbers(items, dice):
    def change(item):
        item.number = lambda value, width: b"%*o\0" % (width - 1, value)
    return each(items, (b"0", b"1", b"5"), change)


@mutation("encoding", "number.blank")
def blank_numbers(items, dice):
    def change(item):
        item.number = lambda value, width: b"%0*o\0" % (width - 1, value) if value \
            else b"\0" * width
    return each(items, (b"0", b"1", b"5"), change)


@mutation("encoding", "number.odd")
def odd_numbers(items, dice):
    def change(item):
        item.number = lambda value, width: b"%0*o\0!" % (width - 2, value) if width == 8 \
            else b"%0*o\0" % (width - 1, value)
    return each(items, (b"0",), change)


@mutation("encoding", "type.unknown")
def unknown_types(items, dice):
    some(dice, items, (b"0",)).typeflag = b"Z"
    return 1


@mutation("encoding", "size.conflict")
def size_conflict(items, dice):
    item = dice.choice([item for item in items if item.data])
    item.pax = [(b"size", b"%d" % item.size)] + item.pax
    item.size = 1
    return 1


@mutation("encoding", "name.gnu-prefix")
def gnu_prefixes(items, dice):
    item = dice.choice([item for item in items if item.kind == b"0" and b"/" in item.path])
    item.magic = GNU
    item.prefix, item.name = item.path.rsplit(b"/", 1)
    return 1


@mutation("encoding", "path.file-slash")
def file_slashes(items, dice):
    return each(items, (b"0", b"6"), lambda item: setattr(item, "name", item.path + b"/"))


@mutation("encoding", "link.absolute")
def absolute_links(items, dice):
    return each(items, (b"1",), lambda item: setattr(item, "linkname", b"/" + item.link))


@mutation("encoding", "link.double-slash")
def link_slashes(items, dice):
    def change(item):
        item.linkname = item.link.replace(b"/", b"//")
    return each(items, (b"1",), change)


@mutation("encoding", "link.data")
def link_sizes(items, dice):
    return each(items, (b"1",), lambda item: setattr(item, "size", 5))


@mutation("encoding", "ext.mixed")
def mixed_extensions(items, dice):
    item = some(dice, items, (b"0",))
    item.before = extension(b"././@LongLink", b"L", item.name + b"\0", GNU)
    item.pax = [(b"path", b"another")] + item.pax
    return 1


@mutation("encoding", "ext.redundant")
def redundant_extensions(items, dice):
    item = some(dice, items)
    item.pax = item.pax or [(b"comment", b"1")]
    item.before = pax_header([(b"uname", b"nobody"), (b"SCHILY.xattr.user.x", b"1")])
    return 1


@mutation("encoding", "ext.many")
def many_extensions(items, dice):
    item = some(dice, items)
    item.pax = item.pax or [(b"comment", b"1")]
    item.before = pax_header([(b"comment", b"2")]) * 16
    return 1


@mutation("encoding", "ext.old-header")
def old_extensions(items, dice):
    some(dice, [item for item in items if not item.pax]).before = extension(
        b"PaxHeaders.0/x", b"x", record(b"gid", b"0"), V7)
    return 1


@mutation("encoding", "ext.solaris")
def solaris(items, dice):
    some(dice, [item for item in items if not item.pax]).before = extension(
        b"x", b"X", record(b"gid", b"0"))
    return 1


@mutation("encoding", "pax.header")
def pax_headers(items, dice):
    chosen = [item for item in items if not item.pax]
    for item in chosen:
        item.pax = [(b"comment", b"1")]
    return len(chosen)


@mutation("encoding", "pax.pid")
def pax_pids(items, dice):
    some(dice, [item for item in items if not item.pax]).before = extension(
        b"d/PaxHeaders.4711/x", b"x", record(b"gid", b"0"))
    return 1


@mutation("encoding", "pax.pid")
def global_pids(items, dice):
    some(dice, items).before = extension(
        b"/tmp/GlobalHead.4711.1", b"g", record(b"comment", b"x"))
    return 1


@mutation("encoding", "pax.empty")
def empty_headers(items, dice):
    some(dice, [item for item in items if not item.pax]).before = pax_header([])
    return 1


@mutation("encoding", "pax.leading-zeros")
def leading_zeros(items, dice):
    some(dice, [item for item in items if not item.pax]).before = extension(
        b"PaxHeaders.0/x", b"x", b"0009 gid=0\n".replace(b"0009", b"0011"))
    return 1


@mutation("encoding", "pax.hdrcharset")
def charsets(items, dice):
    some(dice, items).pax += [(b"hdrcharset", b"BINARY")]
    return 1


@mutation("encoding", "gnu.long-short")
def short_long_names(items, dice):
    return long_names(items, dice)


@mutation("encoding", "gnu.long-empty")
def empty_long_names(items, dice):
    some(dice, items).before = extension(b"././@LongLink", b"L", b"\0", GNU)
    return 1


@mutation("encoding", "gnu.long-nul")
def long_names_without_nul(items, dice):
    item = some(dice, [item for item in items if not item.pax])
    item.before = extension(b"././@LongLink", b"L", item.name, GNU)
    return 1


@mutation("encoding", "xattr.twice")
def attributes_twice(items, dice):
    return both_spellings(items, lambda value: value)


@mutation("encoding", "xattr.conflict")
def attributes_conflict(items, dice):
    return both_spellings(items, lambda value: value + b"!")


def both_spellings(items, other):
    count = 0
    for item in items:
        for key, value in list(item.pax):
            if key.startswith(b"SCHILY.xattr."):
                item.pax.append((b"LIBARCHIVE" + key[6:], base64.b64encode(other(value))))
                count += 1
    return count


@mutation("encoding", "xattr.empty")
def empty_attributes(items, dice):
    some(dice, items).pax += [(b"SCHILY.xattr.user.empty", b"")]
    return 1


@mutation("encoding", "sparse.gnu")
def gnu_sparse(items, dice):
    def change(item):
        body = item.data.strip(b"\0")
        item.magic, item.typeflag = GNU, b"S"
        item.tail = b"\0" * 41 + b"%011o\0%011o\0" % (item.data.index(body), len(body))
        item.tail = item.tail.ljust(138, b"\0") + b"%011o\0" % len(item.data)
        item.stored, item.size = body, len(body)
    return each([item for item in items if item.data and not item.pax], (b"0",), change)


# --- order ---


@mutation("order")
def shuffled(items, dice):
    links = [item for item in items if item.kind == b"1"]
    others = [item for item in items if item.kind != b"1"]
    before = [item.path for item in items]
    dice.shuffle(others)
    items[:] = others + links
    if [item.path for item in items] == before:
        items[0], items[1] = items[1], items[0]
    return 0


@mutation("order", "hardlink.chain")
def chains(items, dice):
    def change(item):
        item.linkname = item.link.replace(b"hard-a", b"hard-b")
    return each([item for item in items if item.path.endswith(b"hard-c")], (b"1",), change)


@mutation("order")
def other_file(items, dice):
    for i in range(len(items) - 2):
        file, link, other = items[i:i + 3]
        if file.kind == b"0" and link.kind == b"1":
            file.path, other.path = other.path, file.path
            file.name, other.name = file.path, other.path
            link.linkname = other.linkname = file.path
    return 0


@mutation("order", "duplicate.directory")
def directory_twice(items, dice):
    item = some(dice, items, (b"5",))
    items.insert(dice.randint(items.index(item) + 1, len(items)), copy.deepcopy(item))
    return 1


# --- names, times ---


@mutation("names")
def owner_names(items, dice):
    for item in items:
        item.uname = b"builder"
    return 0


@mutation("names", "header.v7")
def v7(items, dice):
    for item in items:
        # v7 knows no devices; theirs stay as they are.
        item.magic = V7 if item.kind != b"3" else USTAR
    return sum(item.kind != b"3" for item in items)


@mutation("times")
def other_mtime(items, dice):
    for item in items:
        item.mtime += 1
    return 0


@mutation("times")
def nanoseconds(items, dice):
    for item in items:
        item.pax = [(b"mtime", b"%d.000000001" % item.mtime)] + item.pax
    return 0


@mutation("times", "pax.atime")
def atimes(items, dice):
    for item in items:
        item.pax = [(b"atime", b"7"), (b"ctime", b"8")] + item.pax
    return len(items)


@mutation("times", "pax.ctime")
def ctimes(items, dice):
    some(dice, items, (b"0", b"5")).pax += [(b"ctime", b"8.5")]
    return 1


@mutation("times", "gnu.times")
def gnu_times(items, dice):
    def change(item):
        item.magic, item.tail = GNU, b"%011o\0%011o\0" % (7, 8)
    return 2 * each(items, (b"0", b"5"), change)


@mutation("times", "time.negative")
def early(items, dice):
    some(dice, items, (b"0",)).pax += [(b"mtime", b"-1.5")]
    return 1


@mutation("times", "time.large")
def late(items, dice):
    some(dice, items, (b"0",)).pax += [(b"mtime", b"%d" % (1 << 33))]
    return 1


@mutation("times", "pax.creationtime")
def creation_times(items, dice):
    some(dice, items, (b"0", b"5")).pax += [(b"LIBARCHIVE.creationtime", b"1")]
    return 1


# --- content ---


@mutation("content")
def setuid(items, dice):
    some(dice, items, (b"0",)).mode |= 0o4000
    return 0


@mutation("content", "mode.type-conflict")
def type_conflict(items, dice):
    some(dice, items, (b"0",)).mode |= 0o120000
    return 1


@mutation("content", "hardlink.meta")
def link_mode(items, dice):
    some(dice, items, (b"1",)).mode = 0o4755
    return 1


@mutation("content")
def owner(items, dice):
    some(dice, items).gid = 7
    return 0


@mutation("content")
def xattr(items, dice):
    some(dice, items).pax += [(b"SCHILY.xattr.user.new", b"1")]
    return 0


for code, key, value in (
        ("xattr.selinux", b"SCHILY.xattr.security.selinux", b"system_u:object_r:etc_t:s0\0"),
        ("xattr.selinux", b"RHT.security.selinux", b"system_u:object_r:etc_t:s0"),
        ("xattr.capability", b"SCHILY.xattr.security.capability", b"\1\0\0\2"),
        ("xattr.ima", b"SCHILY.xattr.security.ima", b"\3\4"),
        ("xattr.acl", b"SCHILY.acl.access", b"user::rw-"),
        ("xattr.acl", b"SCHILY.xattr.system.posix_acl_access", b"\2\0"),
        ("xattr.fflags", b"SCHILY.fflags", b"nodump"),
        ("xattr.unreadable", b"LIBARCHIVE.xattr.user.x", b"no base64!"),
        ("sparse.orphan", b"GNU.sparse.name", b"elsewhere"),
        ("sparse.sun", b"SUN.holesdata", b" 0 5"),
        ("whiteout.overlay", b"SCHILY.xattr.trusted.overlay.opaque", b"y")):
    def added(items, dice, pair=(key, value)):
        some(dice, items, (b"0", b"5")).pax += [pair]
        return 1
    added.__name__ = (code.encode() + b"-" + key).decode()
    mutation("content", code)(added)


@mutation("content", "mode.extra-bits")
def extra_bits(items, dice):
    some(dice, items, (b"0",)).mode |= 0o1000000
    return 1


@mutation("content", "owner.negative")
def negative_owner(items, dice):
    some(dice, items, (b"0",)).pax += [(b"uid", b"-2")]
    return 1


@mutation("content", "eoa.tar")
def concatenated(items, dice):
    return archive(items) + archive([Item(b"hidden", b"0")]), 1


@mutation("content", "pax.unknown")
def unknown_record(items, dice):
    some(dice, items).pax += [(b"VENDOR.x", b"1")]
    return 1


@mutation("content", "pax.global-override")
def global_mtime(items, dice):
    items[0].before = pax_header([(b"mtime", b"0")], b"g")
    return 1


@mutation("content", "eoa.data")
def trailer(items, dice):
    return archive(items, b"\0" * 1024 + b"trailer"), 7


@mutation("content")
def root(items, dice):
    items.insert(0, Item(b"", b"5"))
    items[0].name = b"./"
    return 0


@mutation("content")
def implied(items, dice):
    items[:] = [item for item in items
                if item.kind != b"5" or b"/" in item.path]
    return 0


# --- none ---


@mutation("none")
def one_byte(items, dice):
    item = some([dice][0], [item for item in items if item.data])
    at = dice.randrange(len(item.data))
    item.stored = item.data[:at] + bytes([item.data[at] ^ 1]) + item.data[at + 1:]
    return 0


@mutation("none")
def symlink_target(items, dice):
    some(dice, items, (b"2",)).linkname = b"../x/y"
    return 0


@mutation("none")
def device_number(items, dice):
    some(dice, items, (b"3",)).minor = 5
    return 0


@mutation("none")
def whiteout_kind(items, dice):
    for item in items:
        if item.path.endswith(b".wh.gone"):
            item.name = item.path[:-4] + b"none"
    return 0


for code, path, kind, data, link in (
        ("type.dumpdir", b"dump", b"D", b"Yfile\0\0", b""),
        ("type.volume", b"label", b"V", b"", b""),
        ("type.multivolume", b"rest", b"M", b"rest", b""),
        ("path.dotdot", b"d0/../x", b"0", b"", b""),
        ("path.empty", b"", b"0", b"", b""),
        ("path.control", b"bell\7", b"0", b"", b""),
        ("path.backslash", b"d0\\x", b"0", b"", b""),
        ("path.non-utf8", b"caf\xe9", b"0", b"", b""),
        ("path.non-utf8", b"link", b"2", b"", b"caf\xe9"),
        ("link.empty", b"link", b"2", b"", b""),
        ("link.dotdot", b"link", b"1", b"", b"../x"),
        ("hardlink.outside", b"link", b"1", b"", b"elsewhere"),
        ("hardlink.directory", b"link", b"1", b"", b"d0"),
        ("whiteout.invalid", b"d0/.wh.", b"0", b"", b""),
        ("whiteout.invalid", b".wh...", b"0", b"", b""),
        ("whiteout.aufs", b".wh..wh.plnk", b"0", b"", b""),
        ("whiteout.content", b".wh.x", b"0", b"content", b""),
        ("whiteout.content", b".wh.x", b"5", b"", b""),
        ("whiteout.overlay", b"gone", b"3", b"", b"")):
    def one_more(items, dice, item=(path, kind, data, link)):
        items.append(Item(*item))
        items[-1].size = len(item[2])
        return 1
    one_more.__name__ = code + "-" + path.hex() + kind.decode()
    mutation("none", code)(one_more)


@mutation("none", "tar.no-entries")
def no_entries(items, dice):
    items.clear()
    return 1


@mutation("none", "order.significant")
def whiteout_own(items, dice):
    items.append(Item(b"d0/gone", b"0"))
    return 1


@mutation("none", "duplicate.path")
def file_twice(items, dice):
    items.append(copy.deepcopy(some(dice, items, (b"2", b"6"))))
    return 1


@mutation("none", "hardlink.forward")
def link_first(items, dice):
    items.insert(0, items.pop(next(i for i, item in enumerate(items) if item.kind == b"1")))
    return 1


@mutation("none", "path.beneath-file")
def beneath_symlink(items, dice):
    items.append(Item(b"d0/link/file", b"0", b"x"))
    return 1


# --------------------------------------------------------------------------------------------------


def count_of(layer, code):
    return sum(item["count"] for item in layer["findings"] if item["code"] == code)


# What no tree can show: a remark beside other findings, a layer of no bytes, a compressor's bomb.
ELSEWHERE = {"parser.differential", "tar.empty", "decode.ratio"}


def unprovoked():
    """Codes about compression and tar that no change is due."""
    text = pathlib.Path(ROOT, "src", "findings.def").read_text()
    ours = [part for part in text.split("\n/* ") if re.match(
        "Decoding|gzip|zstd|How headers|Names, paths|Extension headers|Between|What entries", part)]
    assert len(ours) == 8, "findings.def has other headings"
    codes = set(re.findall(r'^FINDING\(\w+, "([^"]+)"', "\n".join(ours), re.MULTILINE))
    assert len(codes) > 100
    return sorted(codes - ELSEWHERE - {finding for _, _, finding in MUTATIONS})


def main():
    if unprovoked():
        sys.exit("no change provokes " + ", ".join(unprovoked()))
    seed = int(os.environ.get("VARVE_SEED", "1"))
    rounds = int(os.environ.get("VARVE_ROUNDS", "6"))
    print("VARVE_SEED=%d VARVE_ROUNDS=%d, %d mutations" % (seed, rounds, len(MUTATIONS)))
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(rounds):
            for change, rung, finding in [(None, None, None)] + MUTATIONS:
                items = tree(random.Random(seed * 1000 + i))
                dice = random.Random("%d %d %s" % (seed, i, change and change.__name__))
                result = change(items, dice) if change else 0
                data, due = result if isinstance(result, tuple) else (archive(items), result)
                path = os.path.join(folder, "%d-%s" % (i, change.__name__ if change else "base"))
                with open(path, "wb") as file:
                    file.write(data)
                cases.append((path, rung, finding, due, ladder.ladder(data)["rungs"]))
        layers = varve([case[0] for case in cases])
    bad = 0
    for (path, rung, finding, due, rungs), layer in zip(cases, layers):
        name = os.path.basename(path)
        if rung is None:
            base, base_rungs = layer, rungs
            continue
        problems = []
        if layer["status"] != "ok":
            problems.append("status %s: %s" % (layer["status"], json.dumps(layer.get("error"))))
        else:
            for who, met in (("varve", meet(base["rungs"], layer["rungs"])),
                             ("ladder.py", meet(base_rungs, rungs))):
                if met != rung:
                    problems.append("%s: meets at %s, due at %s" % (who, met, rung))
            if finding:
                found = count_of(layer, finding) - count_of(base, finding)
                if found != due or due == 0:
                    problems.append("finding %s: %d, due %d" % (finding, found, due))
        if problems:
            bad += 1
            print("%s: %s" % (name, "; ".join(problems)))
    sys.exit("%d of %d cases are wrong" % (bad, len(cases)) if bad else 0)


if __name__ == "__main__":
    main()
