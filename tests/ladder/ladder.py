#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/ladder/ladder.py - the ladder of docs/ladder.md, a second time.

Written from the specification alone, to be read beside it: rule numbers stand where a rule is
obeyed. Plain and slow, standard library only (and the zstd program); calls nothing of varve.

    ladder.py FILE...        one JSON object per line
    ladder.py --entries FILE...   also each entry's record, in hex
"""

import hashlib
import json
import re
import struct
import subprocess
import sys
import zlib

HOLE_LIMIT = 16 << 30
FACETS = ["content", "mode", "owner", "names", "times", "xattrs", "other"]
CARRIES_NO_DATA = "123456"
LINKABLE = "02346"


class Malformed(Exception):
    status = "malformed"


class NotTar(Malformed):
    pass


class Unsupported(Malformed):
    status = "unsupported"


def H(data):
    return hashlib.sha256(data).digest()


# ---------------------------------------------------------------------------------------------
# Decompression (not part of the ladder; told apart by content).


def decode(blob):
    """Returns (format, decoded bytes or None where the blob cannot be decoded)."""
    if blob[:2] == b"\x1f\x8b":
        return "gzip", decode_gzip(blob)
    if len(blob) >= 4 and (blob[:4] == b"\x28\xb5\x2f\xfd" or
                           (blob[1:4] == b"\x2a\x4d\x18" and blob[0] & 0xF0 == 0x50)):
        run = subprocess.run(["zstd", "-dcq", "--long=27"], input=blob, capture_output=True)
        return "zstd", run.stdout if run.returncode == 0 else None
    return "tar", blob


def decode_gzip(blob):
    out = []
    while True:
        member = zlib.decompressobj(31)
        try:
            data = member.decompress(blob)
        except zlib.error:
            return None if not out else b"".join(out)
        if not member.eof:
            return None
        out.append(data)
        blob = member.unused_data
        if blob[:2] != b"\x1f\x8b":
            return b"".join(out)


# ---------------------------------------------------------------------------------------------
# Section 2: reading the tar.


class Entry:
    def __init__(self):
        self.atime = self.ctime = self.creation = None
        self.uname = self.gname = b""
        self.devmajor = self.devminor = 0
        self.xattrs = {}
        self.records = {}
        self.digest = b""
        self.segments = None


def text(field):
    return field.split(b"\0", 1)[0]  # R5


def number(field):  # R6
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        if value >> (bits - 1):
            value -= 1 << bits
        if not -(1 << 63) <= value < 1 << 63:
            raise Malformed("number")
        return value
    field = field.strip(b" \0").split(b"\0", 1)[0]
    if field == b"":
        return 0
    if not re.fullmatch(b"[0-7]+", field):
        raise Malformed("number")
    return int(field, 8)


def decimal(value, minus=False, low=-(1 << 63), high=(1 << 63) - 1):
    if not re.fullmatch(b"-?[0-9]+" if minus else b"[0-9]+", value):
        raise Malformed("pax number")
    result = int(value)
    if not low <= result <= high:
        raise Malformed("pax number")
    return result


def pax_time(value):  # R10
    match = re.fullmatch(rb"(-?)([0-9]+)(?:\.([0-9]*))?", value)
    if not match:
        raise Malformed("pax time")
    seconds = int(match[2])
    nanoseconds = int(((match[3] or b"") + b"000000000")[:9])
    if match[1]:
        seconds = -seconds
        if nanoseconds:
            seconds -= 1
            nanoseconds = 10**9 - nanoseconds
    if not -(1 << 63) <= seconds < 1 << 63:
        raise Malformed("pax time")
    return seconds, nanoseconds


def pax_records(body):
    """R9: a list of (key, value)."""
    result = []
    at = 0
    while at < len(body):
        match = re.compile(rb"[0-9]+").match(body, at)
        if not match:
            raise Malformed("pax record")
        end = at + int(match[0])
        if end > len(body) or end <= match.end() or body[match.end():match.end() + 1] != b" ":
            raise Malformed("pax record")
        record = body[match.end() + 1:end]
        if not record.endswith(b"\n") or b"=" not in record[:-1]:
            raise Malformed("pax record")
        key, value = record[:-1].split(b"=", 1)
        if key == b"" or b"\0" in key:
            raise Malformed("pax record")
        if key in (b"path", b"linkpath", b"uname", b"gname") and b"\0" in value:
            raise Malformed("pax NUL")
        result.append((key, value))
        at = end
    return result


BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def libarchive_xattr(name, value):
    """R13: (name, value), or None where it is not of that form."""
    if name == b"" or re.search(rb"%(?![0-9A-Fa-f]{2})|%00", name):
        return None
    name = re.sub(rb"%(..)", lambda match: bytes([int(match[1], 16)]), name, flags=re.DOTALL)
    value = value.rstrip(b"=")
    if any(byte not in BASE64 for byte in value) or len(value) % 4 == 1:
        return None
    bits = 0
    for byte in value:
        bits = bits << 6 | BASE64.index(byte)
    count = len(value) * 6 // 8
    return name, (bits >> (len(value) * 6 - count * 8)).to_bytes(count, "big")


class Pax:
    """What an x header says (R9, R10, R13, R14)."""

    def __init__(self, body):
        self.fields = {}
        self.xattrs = {}
        self.records = {}
        self.sparse = {}
        pairs = []
        last = {}
        for key, value in pax_records(body):
            if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):  # R17
                if (key == b"GNU.sparse.offset") != (len(pairs) % 2 == 0) or b"," in value or \
                        value == b"":
                    raise Malformed("sparse pairs")
                pairs.append(value)
            else:
                last.pop(key, None)  # of two spellings of an xattr the last in the header counts
                last[key] = value
        ranks = {}
        for key, value in last.items():
            if value != b"":
                self.take(key, value, ranks)
        if pairs:
            self.sparse[b"map"] = b",".join(pairs)

    def take(self, key, value, ranks):
        id_range = dict(low=-(1 << 62), high=(1 << 62) - 1)
        if key in (b"path", b"linkpath", b"uname", b"gname"):
            self.fields[key] = value
        elif key in (b"uid", b"gid"):
            self.fields[key] = decimal(value, minus=True, **id_range)
        elif key == b"size":
            self.fields[key] = decimal(value)
        elif key in (b"mtime", b"atime", b"ctime"):
            self.fields[key] = pax_time(value)
        elif key in (b"SCHILY.devmajor", b"SCHILY.devminor", b"SCHILY.realsize"):
            try:
                self.fields[key] = decimal(value, **id_range)
            except Malformed:
                self.records[key] = value
        elif key == b"LIBARCHIVE.creationtime":
            try:
                self.fields[key] = pax_time(value)
            except Malformed:
                self.records[key] = value
        elif key in (b"comment", b"hdrcharset", b"SCHILY.dev", b"SCHILY.ino", b"SCHILY.nlink"):
            pass
        elif key.startswith(b"SCHILY.xattr.") and key != b"SCHILY.xattr.":
            self.xattr(key[13:], value, 2, ranks)
        elif key == b"RHT.security.selinux":
            self.xattr(key[4:], value, 1, ranks)
        elif key.startswith(b"SCHILY.acl.") or key == b"SCHILY.fflags":
            self.xattr(key, value, 2, ranks)
        elif key.startswith(b"LIBARCHIVE.xattr."):
            decoded = libarchive_xattr(key[17:], value)
            if decoded and decoded[0] != b"":
                self.xattr(decoded[0], decoded[1], 0, ranks)
            else:
                self.records[key] = value
        elif key.startswith(b"GNU.sparse."):
            self.sparse[key[11:]] = value
        else:
            self.records[key] = value

    def xattr(self, name, value, rank, ranks):
        if rank >= ranks.get(name, -1):
            ranks[name] = rank
            self.xattrs[name] = value


class Tar:
    """Reads D; afterwards items (('entry', Entry) and ('global', dict)), end, trailer."""

    def __init__(self, data):
        self.data = data
        self.at = 0
        self.items = []
        self.end = 0  # E
        self.trailer = None
        self.holes = 0
        self.path = self.link = self.pax = None
        self.pending = False
        while self.header():
            pass
        behind = data[self.at:].lstrip(b"\0")
        if behind:
            self.trailer = behind

    def block(self):
        block = self.data[self.at:self.at + 512]
        if len(block) < 512:
            raise NotTar("no tar") if not self.at else Malformed("truncated header")
        self.at += 512
        return block

    def body(self, size):
        end = self.at + size
        if end + -size % 512 > len(self.data):
            raise Malformed("truncated extension header")
        body = self.data[self.at:end]
        self.at = end + -size % 512
        return body

    def header(self):
        if self.at == len(self.data) or not any(self.data[self.at:self.at + 512]):
            if self.at < len(self.data):
                self.block()
                if self.pending:
                    raise Malformed("dangling extension header")
                if self.at < len(self.data) and any(self.block()):
                    raise Malformed("lone zero block")  # R2
            if self.pending:
                raise Malformed("dangling extension header")  # R7
            return False
        block = self.block()
        total = sum(block) - sum(block[148:156]) + 8 * 32  # R3
        signed = total - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
        try:
            right = not block[148] & 0x80 and number(block[148:156]) in (total, signed)
        except Malformed:
            right = False
        if not right:
            raise (Malformed if self.at > 512 else NotTar)("checksum")
        self.read(block)
        return True

    def read(self, block):
        magic = block[257:265]
        if magic == b"ustar  \0":
            dialect = "gnu"
        elif magic[:6] != b"ustar\0":
            dialect = "v7"
        elif block[508:512] == b"tar\0":
            dialect = "star"
        else:
            dialect = "ustar"
        entry = Entry()
        entry.mode = number(block[100:108])
        entry.uid = number(block[108:116])
        entry.gid = number(block[116:124])
        size = number(block[124:136])
        entry.mtime = number(block[136:148]), 0
        if dialect != "v7":
            entry.devmajor = number(block[329:337])
            entry.devminor = number(block[337:345])
            entry.uname = text(block[265:297])
            entry.gname = text(block[297:329])
        if size < 0:
            raise Malformed("size")
        typeflag = chr(block[156])
        if typeflag in "xXgLK":
            self.extension(typeflag, size)
        else:
            self.entry(entry, block, dialect, typeflag, size)

    def extension(self, typeflag, size):  # R7
        if typeflag == "g":
            if self.pending:
                raise Malformed("dangling extension header")
            begin = self.at
            records = dict(pax_records(self.body(size)))
            self.end = begin + size
            for key in (b"comment", b"hdrcharset", b"SCHILY.dev", b"SCHILY.ino", b"SCHILY.nlink"):
                records.pop(key, None)
            if records:  # R15
                self.items.append(("global", records))
            return
        self.pending = True
        body = self.body(size)
        if typeflag == "L":
            self.path = text(body)
        elif typeflag == "K":
            self.link = text(body)
        else:
            self.pax = Pax(body)

    def prefix(self, entry, block, dialect):  # R5
        if dialect == "ustar":
            return text(block[345:500])
        if dialect == "star":
            for name, at in (("atime", 476), ("ctime", 488)):
                value = number(block[at:at + 12])
                if any(block[at:at + 12]):
                    setattr(entry, name, (value, 0))
            return text(block[345:476])
        if dialect == "gnu":
            try:
                times = {}
                for name, at in (("atime", 345), ("ctime", 357)):
                    if block[at]:
                        times[name] = number(block[at:at + 12]), 0
                entry.__dict__.update(times)
            except Malformed:
                prefix = text(block[345:500])
                if all(byte < 0x80 for byte in prefix):
                    return prefix
        return b""

    def entry(self, entry, block, dialect, typeflag, size):
        prefix = self.prefix(entry, block, dialect)
        entry.path = (prefix + b"/" if prefix else b"") + text(block[0:100])
        entry.link = text(block[157:257])
        pax = self.pax
        if pax:
            entry.xattrs, entry.records = pax.xattrs, pax.records
            names = {b"linkpath": "link", b"SCHILY.devmajor": "devmajor",
                     b"SCHILY.devminor": "devminor", b"LIBARCHIVE.creationtime": "creation"}
            for key, value in pax.fields.items():
                if key == b"size":
                    size = value  # R11
                elif key != b"SCHILY.realsize":
                    setattr(entry, names.get(key, key.decode()), value)
        if self.path:
            entry.path = self.path  # R12
        if self.link:
            entry.link = self.link
        if typeflag == "\0":  # R8
            entry.type = "5" if entry.path.endswith(b"/") else "0"
        elif typeflag in "0123456DVM":
            entry.type = typeflag
        else:
            entry.type = "0"
        if entry.type in CARRIES_NO_DATA:
            size = 0
        if size >= 1 << 60:
            raise Malformed("size")
        stored = size
        if typeflag == "S":
            if dialect != "gnu":
                raise Unsupported("star's sparse layout")
            entry.segments = self.gnu_map(block)
            size = number(block[483:495])
            if pax:
                keep_sparse(entry, pax)
        elif pax:
            size, stored = self.pax_sparse(entry, pax, size)
        if entry.segments is not None:
            check_map(entry, size, stored)
        self.end = self.at + stored
        if self.end > len(self.data):
            raise Malformed("truncated data")
        entry.size = size
        if entry.type not in CARRIES_NO_DATA:
            entry.digest = self.content(entry, size, stored)
        self.at = min(self.end + -stored % 512, len(self.data))  # R4
        self.path = self.link = self.pax = None
        self.pending = False
        self.items.append(("entry", entry))

    def gnu_map(self, block):  # R18
        segments = []
        at, count, flag = 386, 4, 482
        while True:
            for i in range(count):
                offset = block[at + 24 * i:at + 24 * i + 12]
                length = block[at + 24 * i + 12:at + 24 * i + 24]
                if offset[0] == 0:
                    break
                segments.append((number(offset), number(length)))
            if not block[flag]:
                return segments
            block = self.block()
            at, count, flag = 0, 21, 504

    def pax_sparse(self, entry, pax, size):  # R17
        sparse = pax.sparse
        version = sparse.get(b"major", b""), sparse.get(b"minor", b"")
        stored = size
        if version in ((b"0", b"0"), (b"0", b"1")) or \
                (version == (b"", b"") and sparse.get(b"map")):
            numbers = sparse[b"map"].split(b",") if sparse.get(b"map") else []
            if len(numbers) != 2 * decimal(sparse.get(b"numblocks", b"")):
                raise Malformed("sparse map")
        elif version == (b"1", b"0"):
            numbers = []
            begin = self.at
            wanted = 1
            buffer = b""
            while buffer.count(b"\n") < wanted:
                if self.at - begin + 512 > size:
                    raise Malformed("sparse map")
                buffer += self.block()
                if wanted == 1 and b"\n" in buffer:
                    wanted = 1 + 2 * decimal(buffer.split(b"\n", 1)[0])
                    if wanted > len(self.data):
                        raise Malformed("sparse map")
            numbers = buffer.split(b"\n")[1:wanted]
            stored -= self.at - begin
        else:
            keep_sparse(entry, pax)
            return size, size
        numbers = [decimal(value) for value in numbers]
        entry.segments = list(zip(numbers[0::2], numbers[1::2]))
        if sparse.get(b"name"):
            if b"\0" in sparse[b"name"]:
                raise Malformed("pax NUL")
            entry.path = sparse[b"name"]
        real = sparse.get(b"size") or sparse.get(b"realsize")
        return decimal(real) if real else size, stored

    def content(self, entry, size, stored):
        if entry.segments is None:
            return H(self.data[self.at:self.at + stored])
        self.holes += size - stored
        if self.holes > HOLE_LIMIT:
            return bytes(32)  # section 8: there will be no rung that it matters to
        digest = hashlib.sha256()
        at, position = self.at, 0
        for offset, length in entry.segments + [(size, 0)]:
            if length or offset == size:
                self.zeros(digest, offset - position)
                digest.update(self.data[at:at + length])
                at += length
                position = offset + length
        return digest.digest()

    @staticmethod
    def zeros(digest, count):
        page = bytes(1 << 20)
        while count > 0:
            digest.update(page[:min(count, 1 << 20)])
            count -= 1 << 20


def keep_sparse(entry, pax):  # R14: they made no sparse file
    entry.records = dict(entry.records)
    entry.records.update({b"GNU.sparse." + key: value for key, value in pax.sparse.items()})


def check_map(entry, size, stored):  # R16
    if entry.type in CARRIES_NO_DATA or size < 0:
        raise Malformed("sparse map")
    end = total = 0
    for offset, length in entry.segments:
        if offset < end or length < 0 or offset + length > size:
            raise Malformed("sparse map")
        end = offset + length
        total += length
    if total != stored:
        raise Malformed("sparse map")


# ---------------------------------------------------------------------------------------------
# Section 4: records.


def u32(n):
    return struct.pack("<I", n)


def string(b):
    return u32(len(b)) + b


def pairs(d):
    return u32(len(d)) + b"".join(string(k) + string(d[k]) for k in sorted(d))


def time12(t):
    return string(struct.pack("<qI", *t) if t is not None else b"")


def fixed(value, width):
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    field = bytearray(value.to_bytes(width, "big", signed=True))
    field[0] |= 0x80
    return bytes(field)


def clean(path):  # C4
    return b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))


OWN_TYPE = {"0": 0o100000, "V": 0o100000, "M": 0o100000, "2": 0o120000, "3": 0o020000,
            "4": 0o060000, "5": 0o040000, "D": 0o040000, "6": 0o010000}


def canonical(entry):
    """Section 4.1, C1 to C7, in place."""
    kind = entry.mode & 0o170000
    if entry.type == "1" or kind == OWN_TYPE.get(entry.type):
        entry.mode &= ~0o170000
    if entry.type == "2":
        entry.mode |= 0o777
        entry.mode &= ~0o7000
    if entry.type not in "34":
        entry.devmajor = entry.devminor = 0
    entry.path = clean(entry.path)
    if entry.type == "1":
        entry.link = clean(entry.link)
    elif entry.type != "2":
        entry.link = b""


def record(entry):
    return (fixed(entry.mode, 8) + fixed(entry.uid, 8) + fixed(entry.gid, 8) +
            fixed(entry.size, 12) + fixed(entry.mtime[0], 12) +
            fixed(entry.devmajor, 8) + fixed(entry.devminor, 8) + entry.type.encode() +
            string(entry.path) + string(entry.link) + string(entry.uname) + string(entry.gname) +
            u32(entry.mtime[1]) + time12(entry.atime) + time12(entry.ctime) +
            time12(entry.creation) + pairs(entry.xattrs) + pairs(entry.records) +
            string(entry.digest))


def global_record(records):
    return b"global\0\0" + pairs(records)


def trailer_record(trailer):
    return b"trailer\0" + struct.pack("<Q", len(trailer)) + H(trailer)


# ---------------------------------------------------------------------------------------------
# Section 5: sorting, groups, significance.


def components(path):
    return path.split(b"/") if path else []


def ancestors(path):
    """Proper ancestors, the root (the empty path) among them."""
    parts = components(path)
    return [b"/".join(parts[:i]) for i in range(len(parts))]


def whiteout_kind(path):  # S6
    name = components(path)[-1] if path else b""
    if not name.startswith(b".wh."):
        return None
    if name == b".wh..wh..opq":
        return "opaque"
    if name.startswith(b".wh..wh."):
        return "aufs"
    return "invalid" if name in (b".wh.", b".wh..", b".wh...") else "explicit"


class Layer:
    def __init__(self, entries):
        self.entries = entries
        self.by_path = {}
        self.findings = {}
        for index, entry in enumerate(entries):
            entry.index = index
            entry.record = record(entry)
            self.by_path.setdefault(entry.path, []).append(entry)
        self.notes()
        self.significant = [entry for entry in entries if self.is_significant(entry)]
        self.found("order.significant", len(self.significant))
        self.sorted = entries
        for entry in entries:
            entry.file = entry.end = entry.out = None
        if not self.significant:
            self.resolve()
            self.sort()
            self.elect()

    def found(self, code, count=1):
        if count:
            self.findings[code] = self.findings.get(code, 0) + count

    def before(self, entry, path):
        return [other for other in self.by_path.get(path, []) if other.index < entry.index]

    def behind(self, entry, path):
        return [other for other in self.by_path.get(path, []) if other.index > entry.index]

    def is_significant(self, entry):  # S7
        if entry.type == "1" and self.behind(entry, entry.link):
            return True
        if self.beneath_file(entry):
            return True
        if whiteout_kind(entry.path) == "explicit":
            parts = components(entry.path)
            removed = b"/".join(parts[:-1] + [parts[-1][4:]])
            if removed in self.by_path or removed in self.implied:
                return True
        return any(other.record != entry.record for other in self.before(entry, entry.path))

    def beneath_file(self, entry):
        return any(other.type not in "5D" for ancestor in ancestors(entry.path)
                   for other in self.by_path.get(ancestor, []))

    def notes(self):
        """Findings (not part of the specification, but varve's)."""
        self.implied = set()
        for entry in self.entries:
            self.implied.update(ancestors(entry.path))
        for entry in self.entries:
            kind = whiteout_kind(entry.path)
            self.found("whiteout." + (kind or ""), kind in ("invalid", "aufs"))
            self.found("whiteout.content", kind in ("explicit", "opaque") and
                       (entry.type != "0" or entry.size != 0))
            self.found("path.beneath-file", self.beneath_file(entry))
            if self.before(entry, entry.path):
                first = self.by_path[entry.path][0]
                same = entry.type == "5" and entry.record == first.record
                self.found("duplicate.directory" if same else "duplicate.path")
            if entry.type == "1":
                before = self.before(entry, entry.link)
                if before:
                    self.found("hardlink.chain", before[-1].type == "1")
                    self.found("hardlink.directory", before[-1].type not in LINKABLE + "1")
                else:
                    self.found("hardlink.forward" if self.behind(entry, entry.link)
                               else "hardlink.outside")

    def resolve(self):  # S3
        for entry in self.entries:
            if entry.type != "1":
                continue
            before = self.before(entry, entry.link)
            target = before[-1] if before else None
            if target and target.type in LINKABLE:
                entry.file = target
            elif target and target.type == "1":
                entry.file, entry.end = target.file, target.end
            else:
                entry.end = entry.link

    def sort(self):  # S1, S2
        self.sorted = sorted(self.entries, key=lambda entry: components(entry.path))
        kept = []
        seen = set()
        for entry in self.sorted:
            if entry.type == "5":
                if entry.record in seen:
                    continue
                seen.add(entry.record)
            kept.append(entry)
        self.sorted = kept

    def elect(self):  # S4, S5
        groups = {}
        for entry in self.entries:
            if entry.file:
                groups.setdefault(entry.file.index, [entry.file]).append(entry)
        for index, members in groups.items():
            file = self.entries[index]
            members.sort(key=lambda entry: (components(entry.path), entry.index))
            elected = members[0]
            for entry in members:
                if entry is elected:
                    entry.out = (file.type, file.devmajor, file.devminor, file.size, file.link,
                                 file.digest)
                else:
                    entry.out = ("1", 0, 0, 0, elected.path, b"")
        for entry in self.entries:
            if entry.end is not None:
                entry.out = ("1", 0, 0, 0, entry.end, b"")
            if entry.file and any(disagreement(name, entry, entry.file) for name in FACETS):
                self.found("hardlink.meta")


# ---------------------------------------------------------------------------------------------
# Section 6: facets.


def part(name, tag, e, path):
    """A part of an entry or of a disagreeing link; None where it is left out."""
    if name == "mode":
        return tag + fixed(e.mode, 8) + string(path)
    if name == "owner":
        return tag + fixed(e.uid, 8) + fixed(e.gid, 8) + string(path)
    if name == "names":
        return tag + string(path) + string(e.uname) + string(e.gname) \
            if e.uname or e.gname else None
    if name == "times":
        return tag + fixed(e.mtime[0], 12) + u32(e.mtime[1]) + string(path) + \
            time12(e.atime) + time12(e.ctime) + time12(e.creation)
    values = e.xattrs if name == "xattrs" else e.records
    return tag + string(path) + pairs(values) if values else None


def differing(own, file):
    return {key: value for key, value in own.items() if file.get(key) != value}


def disagreement(name, entry, file):
    """S5: what the link says and the file does not, as something part() can write; or None."""
    own = Entry()
    own.mode, own.uid, own.gid, own.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
    if name == "mode":
        return own if entry.mode != file.mode else None
    if name == "owner":
        return own if (entry.uid, entry.gid) != (file.uid, file.gid) else None
    if name == "names":
        own.uname = entry.uname if entry.uname != file.uname else b""
        own.gname = entry.gname if entry.gname != file.gname else b""
        return own if own.uname or own.gname else None
    if name == "times":
        for field in ("atime", "ctime", "creation"):
            value = getattr(entry, field)
            setattr(own, field, value if value != getattr(file, field) else None)
        return own if entry.mtime != file.mtime or own.atime or own.ctime or own.creation else None
    if name == "xattrs":
        own.xattrs = differing(entry.xattrs, file.xattrs)
        return own if own.xattrs else None
    if name == "other":
        own.records = differing(entry.records, file.records)
        return own if own.records else None
    return None


def content_part(layer, entry):
    if entry.type == "5" and (entry.path == b"" or entry.path in layer.holders):
        return b""
    kind, major, minor, size, link, digest = entry.out or \
        (entry.type, entry.devmajor, entry.devminor, entry.size, entry.link, entry.digest)
    return (b"e" + kind.encode() + fixed(major, 8) + fixed(minor, 8) + fixed(size, 12) +
            string(entry.path) + string(link) + string(digest))


def facets(layer, globals_, trailer):
    layer.holders = set()
    for entry in layer.entries:
        if not whiteout_kind(entry.path):
            layer.holders.update(ancestors(entry.path))
    result = {}
    for name in FACETS:
        out = [b"varve1.facet." + name.encode() + b"\0"]
        if name == "other":
            out += [global_record(records) for records in globals_]
        for entry in layer.sorted:
            if name == "content":
                out.append(content_part(layer, entry))
                continue
            file = entry.file or entry
            out.append(part(name, b"e", file, entry.path) or b"")
            if entry.file:
                own = disagreement(name, entry, file)
                out.append((part(name, b"l", own, entry.path) or b"") if own else b"")
        if name == "other" and trailer:
            out.append(trailer)
        result[name] = H(b"".join(out))
    return result


# ---------------------------------------------------------------------------------------------


def ladder(blob, with_records=False):
    """All that the specification says of a blob, as a dict."""
    form, data = decode(blob)
    rungs = {"blob": "sha256:" + H(blob).hex()}
    result = {"format": form, "status": "malformed", "rungs": rungs, "facets": {}, "entries": 0,
              "findings": {}}
    if data is None:
        return result
    rungs["diffid"] = "sha256:" + H(data).hex()
    try:
        tar = Tar(data)
    except Malformed as fault:
        result["status"] = fault.status
        result["not_tar"] = isinstance(fault, NotTar)
        return result
    trailer = trailer_record(tar.trailer) if tar.trailer else b""

    def rung(name, digest):
        rungs[name] = "varve1.%s:sha256:%s" % (name, digest.hex())

    rung("archive", H(data[:tar.end] + trailer))
    entries = [item for kind, item in tar.items if kind == "entry"]
    result["entries"] = len(entries)
    if tar.holes > HOLE_LIMIT:
        result["status"] = "limit"
        return result
    for entry in entries:
        canonical(entry)
    stream = [global_record(item) if kind == "global" else record(item)
              for kind, item in tar.items]
    rung("encoding", H(b"varve1.encoding\0" + b"".join(stream) + trailer))
    layer = Layer(entries)
    digests = facets(layer, [item for kind, item in tar.items if kind == "global"], trailer)
    without = {"order": [], "names": ["names"], "times": ["names", "times"],
               "content": FACETS[1:]}
    for name, dropped in without.items():
        rung(name, H(b"varve1." + name.encode() + b"\0" +
                     b"".join(digests[facet] for facet in FACETS if facet not in dropped)))
    result["facets"] = {name: "varve1.facet.%s:sha256:%s" % (name, digest.hex())
                        for name, digest in digests.items()}
    result["status"] = "ok"
    result["findings"] = dict(sorted(layer.findings.items()))
    if with_records:
        result["records"] = [item.hex() for item in stream]
    return result


def main(arguments):
    with_records = arguments[:1] == ["--entries"]
    for name in arguments[with_records:]:
        with open(name, "rb") as file:
            print(json.dumps({"file": name, **ladder(file.read(), with_records)}))


if __name__ == "__main__":
    main(sys.argv[1:])
