# SPDX-License-Identifier: Apache-2.0
"""tests/ladder/random_tar.py - archives made to disagree about: few paths, so that duplicates, links,
chains, whiteouts and ancestors meet, and every way of writing a header.

    random_tar.py SEED > x.tar
"""

import random
import sys

NAMES = [b"a", b"b", b"a.txt", b"a-", b"d", b"d!", b"e", b".wh.a", b".wh.b", b".wh..wh..opq",
         b".wh..wh.plnk", b".wh.", b".wh...", b"\xff\xfe", b"n" * 60, b"..", b"d\x01"]


def checksum(block, signed=False):
    block = block[:148] + b" " * 8 + block[156:]
    return sum(block) - (256 * sum(byte > 127 for byte in block) if signed else 0)


def base256(value, width):
    field = bytearray(value.to_bytes(width, "big", signed=True))
    field[0] |= 0x80
    return bytes(field)


class Writer:
    """Makes headers; every way of writing a field is the dice's choice."""

    def __init__(self, dice):
        self.dice = dice
        self.out = bytearray()

    def number(self, value, width):
        if not 0 <= value < 8 ** (width - 1):
            return base256(value, width)
        digits = b"%o" % value
        ways = [b"%0*o\0" % (width - 1, value), digits.rjust(width - 1) + b"\0",
                digits.rjust(width - 1, b"0") + b" ", digits + b"\0" * (width - len(digits))]
        if len(digits) < width - 1:
            ways += [b"%0*o \0" % (width - 2, value), base256(value, width),
                     (digits + b" ").ljust(width, b"\0")]
        if value == 0:
            ways += [b"\0" * width, b" " * width]
        return self.dice.choice(ways) if self.dice.random() < 0.3 else ways[0]

    def text(self, value, width):
        field = value + b"\0" * (width - len(value))
        if len(value) < width - 2 and self.dice.random() < 0.05:
            field = value + b"\0" + b"!" * (width - len(value) - 1)
        return field[:width]

    def header(self, name, typeflag, size=0, mode=0o644, uid=0, gid=0, mtime=0, link=b"",
               uname=b"", gname=b"", major=0, minor=0, magic=b"ustar\x0000", prefix=b"",
               atime=None):
        block = self.text(name, 100) + self.number(mode, 8) + self.number(uid, 8)
        block += self.number(gid, 8) + self.number(size, 12) + self.number(mtime, 12)
        block += b" " * 8 + typeflag + self.text(link, 100) + magic
        if magic[:5] == b"ustar":
            block += self.text(uname, 32) + self.text(gname, 32)
            block += self.number(major, 8) + self.number(minor, 8)
        block = block.ljust(345, b"\0")
        if magic == b"ustar  \0":
            block += self.number(atime, 12) if atime is not None else b""
        else:
            block += self.text(prefix, 155)
        block = block.ljust(512, b"\0")
        if magic[:6] == b"ustar\0" and self.dice.random() < 0.02:
            block = block[:508] + b"tar\0"  # star: what lies at 476 must be times then
            block = block[:476] + b"\0" * 24 + block[500:]
        total = checksum(block, signed=self.dice.random() < 0.1)
        if total < 0:
            total = checksum(block)
        field = self.dice.choice([b"%06o\0 ", b"%07o\0", b"%6o\0 ", b"%06o \0"]) \
            if self.dice.random() < 0.2 else b"%06o\0 "
        self.out += block[:148] + (field % total) + block[156:]

    def data(self, data):
        padding = b"\0" if self.dice.random() < 0.9 else b"?"
        self.out += data + padding * (-len(data) % 512)

    def pax(self, records, typeflag=b"x"):
        body = b""
        for key, value in records:
            record = b" " + key + b"=" + value + b"\n"
            length = len(record) + 1
            while len(b"%d" % length) + len(record) != length:
                length += 1
            body += b"%d" % length + record
        self.header(b"PaxHeaders/x", typeflag, size=len(body))
        self.data(body)

    def long(self, typeflag, value):
        self.header(b"././@LongLink", typeflag, size=len(value) + 1, magic=b"ustar  \0")
        self.data(value + b"\0")


class Archive:
    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.writer = Writer(self.dice)
        self.written = []  # (path, arguments of entry) so far
        self.names = self.dice.sample(NAMES, self.dice.randint(2, 6))

    def path(self):
        depth = self.dice.choice([1, 1, 2, 2, 3])
        return b"/".join(self.dice.choice(self.names) for _ in range(depth))

    def spelled(self, path):
        """The same path, written otherwise."""
        if self.dice.random() < 0.7:
            return path
        return self.dice.choice([b"./" + path, b"/" + path, path.replace(b"/", b"//"),
                                 b".//./" + path, path + b"/.", path.replace(b"/", b"/./")])

    def xattrs(self):
        records = []
        for name in (b"user.a", b"user.b", b"security.capability"):
            value = self.dice.choice([b"1", b"2", b"a\0b\n", b""])
            way = self.dice.random()
            if way < 0.5:
                records.append((b"SCHILY.xattr." + name, value))
            if way > 0.35:
                import base64
                code = base64.b64encode(value)
                if self.dice.random() < 0.5:
                    code = code.rstrip(b"=")
                key = name.replace(b".", b"%2E") if self.dice.random() < 0.5 else name
                records.append((b"LIBARCHIVE.xattr." + key, code))
        records += self.dice.sample([(b"RHT.security.selinux", b"x_t"),
                                     (b"SCHILY.acl.access", b"user::rwx"),
                                     (b"SCHILY.fflags", b"nodump"),
                                     (b"LIBARCHIVE.xattr.user.%zz", b"!"),
                                     (b"LIBARCHIVE.xattr.user.c", b"Y"),
                                     (b"SCHILY.xattr.", b"1")], self.dice.randint(0, 3))
        return records

    def records(self, entry):
        """pax records for an entry; what they carry may be taken out of the header."""
        dice = self.dice
        records = []
        if dice.random() < 0.3:
            records.append((b"mtime", b"%d.%s" % (entry["mtime"], dice.choice(
                [b"5", b"123456789", b"1234567891", b"0", b""]))))
        if dice.random() < 0.1:
            records.append((b"mtime", b"-%d.25" % dice.randint(0, 9)))
        if dice.random() < 0.2:
            records.append((b"atime", b"%d" % dice.randint(0, 5)))
            records.append((b"ctime", b"-1.5"))
        if dice.random() < 0.1:
            records.append((b"LIBARCHIVE.creationtime", dice.choice([b"77.25", b"never"])))
        for key in ("uid", "gid"):
            if dice.random() < 0.2:
                records.append((key.encode(), b"%d" % entry[key]))
                entry[key] = dice.choice([0, entry[key]])
        for key in ("uname", "gname"):
            if dice.random() < 0.2:
                records.append((key.encode(), dice.choice([b"root", b"", b"wheel"])))
        if dice.random() < 0.3:
            records += self.xattrs()
        if dice.random() < 0.3:
            records += dice.sample([(b"comment", b"hi"), (b"hdrcharset", b"BINARY"),
                                    (b"SCHILY.dev", b"1"), (b"SCHILY.ino", b"2"),
                                    (b"SCHILY.nlink", b"3"), (b"SCHILY.realsize", b"x"),
                                    (b"VENDOR.k", b"v"), (b"VENDOR.k", b"w"), (b"A=", b"b"),
                                    (b"SCHILY.devmajor", b"5"), (b"GNU.sparse.name", b"nope"),
                                    (b"SUN.holesdata", b" 0 ")], dice.randint(1, 4))
        if dice.random() < 0.3:
            dice.shuffle(records)
        return records

    def entry(self, path, kind, entry):
        dice, writer = self.dice, self.writer
        data = entry.pop("data")
        link = entry["link"]
        records = self.records(entry)
        name = self.spelled(path) + (b"/" if kind == b"5" and dice.random() < 0.8 else b"")
        way = dice.random()
        magic = dice.choice([b"ustar\x0000"] * 4 + [b"ustar  \0"] * 2 + [b"\0" * 8])
        entry["magic"] = magic
        sparse = self.sparse(data, records) if kind == b"0" and dice.random() < 0.1 else None
        if way < 0.15 or len(name) > 100:
            if dice.random() < 0.5:
                records.append((b"path", name))
            else:
                writer.long(b"L", name)
            name = name[:dice.randint(0, 100)] if dice.random() < 0.5 else b"x"
        elif way < 0.3 and b"/" in name.rstrip(b"/")[1:] and magic == b"ustar\x0000":
            prefix, name = name.rstrip(b"/").rsplit(b"/", 1)
            name += b"/" if kind == b"5" else b""
            if prefix and name:
                entry["prefix"] = prefix
        if kind in b"12" and dice.random() < 0.15 or len(link) > 100:
            if dice.random() < 0.5:
                records.append((b"linkpath", link))
            else:
                writer.long(b"K", link)
            entry["link"] = b""
        if sparse is not None:
            data = sparse
        size = len(data)
        if size and dice.random() < 0.05:
            records.append((b"size", b"%d" % size))
            size = dice.choice([0, size, 0o77777777777])
        if records:
            writer.pax(records, dice.choice([b"x"] * 9 + [b"X"]))
        if kind == b"5" and name.endswith(b"/") and dice.random() < 0.1 or \
                kind == b"0" and dice.random() < 0.1 and not name.endswith(b"/"):
            kind = dice.choice([b"\0", b"7", b"Z"] if kind == b"0" else [b"\0"])
        if magic == b"ustar  \0" and dice.random() < 0.2:
            entry["atime"] = dice.randint(0, 100)
        writer.header(name, kind, size=size, **entry)
        writer.data(data)

    def sparse(self, data, records):
        """The same content in pax format 1.0 or 0.1: zeros around it become holes."""
        dice = self.dice
        real = len(data)
        body = data.strip(b"\0")
        offset = len(data) - len(data.lstrip(b"\0")) if body else 0
        runs = [(offset, len(body))] if dice.random() < 0.5 else \
            [(offset, len(body)), (real, 0)]
        if dice.random() < 0.5:
            records += [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
                        (b"GNU.sparse.realsize", b"%d" % real)]
            text = b"%d\n" % len(runs) + b"".join(b"%d\n%d\n" % run for run in runs)
            return text.ljust(-(-len(text) // 512) * 512, b"\0") + body
        records += [(b"GNU.sparse.size", b"%d" % real),
                    (b"GNU.sparse.numblocks", b"%d" % len(runs)),
                    (b"GNU.sparse.map", b",".join(b"%d,%d" % run for run in runs))]
        return body

    def one(self):
        dice = self.dice
        if self.written and dice.random() < 0.15:  # a duplicate, alike or not
            path, kind, entry = dice.choice(self.written)
            entry = dict(entry)
            if dice.random() < 0.3:
                entry["mode"] ^= 1
        else:
            path = self.path()
            kind = dice.choice([b"0"] * 5 + [b"5"] * 5 + [b"1"] * 4 + [b"2"] * 2 +
                               [b"3", b"4", b"6", b"D"])
            type_bits = {b"0": 0o100000, b"5": 0o040000, b"2": 0o120000}.get(kind, 0o020000)
            entry = {"mode": dice.choice([0o644, 0o755, 0o4755]) |
                     dice.choice([0, 0, 0, type_bits, 0o060000, 0o400000]),
                     "uid": dice.choice([0, 0, 1000, 3000000, -2]), "gid": dice.choice([0, 7]),
                     "mtime": dice.choice([0, 1, 1, 1700000000, 1 << 34, -5]), "link": b"",
                     "uname": dice.choice([b"", b"root"]), "gname": dice.choice([b"", b"root"]),
                     "major": dice.choice([0, 0, 8]), "minor": dice.choice([0, 3000000]),
                     "data": b""}
            if kind in b"0D":
                entry["data"] = dice.choice([b"", b"x", b"\0" * 600 + b"data" + b"\0" * 900,
                                             b"y" * 512, b"z" * 1500])
            if kind in b"12" or dice.random() < 0.05:
                known = [other[0] for other in self.written]
                entry["link"] = dice.choice(known) if known and dice.random() < 0.8 \
                    else self.path()
                entry["link"] = self.spelled(entry["link"])
        self.written.append((path, kind, dict(entry)))
        self.entry(path, kind, entry)

    def make(self):
        dice = self.dice
        calm = dice.random() < 0.4  # often enough nothing that makes order significant
        count = dice.randint(0, 12)
        if calm:
            self.calm(count)
        else:
            for _ in range(count):
                if dice.random() < 0.05:
                    self.writer.pax([(b"comment", b"1234")] + dice.sample(
                        [(b"path", b"g"), (b"mtime", b"1"), (b"K", b""), (b"B", b"2")],
                        dice.randint(0, 3)), b"g")
                self.one()
        end = dice.random()
        out = self.writer.out
        out += b"\0" * (0 if end < 0.1 else 512 if end < 0.2 else 1024 if end < 0.6 else 10240)
        if end > 0.9:
            out += b"trailer" + b"\0" * dice.randint(0, 600)
        return bytes(out)

    def calm(self, count):
        """A tree without duplicates; links to files before them, chained at times; any order."""
        dice = self.dice
        dirs = [b""]
        files = []
        entries = []
        for i in range(count):
            kind = dice.choice([b"0", b"0", b"5", b"1", b"1", b"2"])
            parent = dice.choice(dirs)
            name = (b"%c" % dice.choice(b"!-.0az")) + b"%d" % i
            if dice.random() < 0.1:
                name, kind = b".wh." + name, b"0"
            path = parent + b"/" + name if parent else name
            entry = {"mode": 0o644, "uid": 0, "gid": 0, "mtime": 5, "link": b"", "uname": b"root",
                     "gname": b"root", "major": 0, "minor": 0, "data": b""}
            if kind == b"1":
                if not files:
                    kind = b"0"
                elif dice.random() < 0.9:
                    target, like = dice.choice(files)
                    entry = dict(like, link=self.spelled(target), data=b"")
                    if dice.random() < 0.3:
                        entry["mode"] = 0o600
                else:
                    entry["link"] = b"outside/file"
            if kind == b"0":
                entry["data"] = b"%d" % i * dice.randint(0, 300)
            if kind == b"2":
                entry["link"] = b"a/../b/"
            if kind == b"5":
                dirs.append(path)
            elif not name.startswith(b".wh."):
                files.append((path, dict(entry)))
            if kind == b"5" and dice.random() < 0.3:
                continue
            entries.append((path, kind, entry))
        ordered = [item for item in entries if item[1] != b"1"]
        dice.shuffle(ordered)
        for path, kind, entry in ordered + [item for item in entries if item[1] == b"1"]:
            self.entry(path, kind, dict(entry))


def archive(seed):
    return Archive(seed).make()


if __name__ == "__main__":
    sys.stdout.buffer.write(archive(int(sys.argv[1])))
