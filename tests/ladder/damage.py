# SPDX-License-Identifier: Apache-2.0
"""tests/ladder/damage.py - archives bent so that both implementations must still agree: fields of some
headers get other values, pax and GNU extension headers are put between, the end is cut off; checksums are
made right again. Most of them are malformed, and each reader must say so or read the same.
"""

import random

import mutations

# Offset and length of fields, some overlapping as dialects do.
FIELDS = [(0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (156, 1), (157, 100),
          (257, 6), (263, 2), (265, 32), (297, 32), (329, 8), (337, 8), (345, 12), (357, 12), (345, 131),
          (345, 155), (386, 12), (398, 12), (410, 12), (482, 1), (483, 12), (476, 12), (488, 12),
          (504, 1), (508, 4)]
TYPEFLAGS = b"\x000123456777xgLKXSDVMNZ"
SHAPED = {156: [bytes([byte]) for byte in TYPEFLAGS],
          257: [b"ustar\0", b"ustar ", b"ustarX", b"ustar", b"\0"], 263: [b"00", b" \0", b"\0\0"],
          482: [b"\0", b"\1"], 504: [b"\0", b"\1"], 508: [b"tar\0"]}
NUMBERS = [b"\0", b" ", b"0", b"7", b"8", b"-1", b"17 ", b" 17", b"17\0x", b"\0\0" + b"17", b"1 7",
           b"777777777777", b"\x80\0\0\0\0\0\0\1", b"\xff" * 12, b"\x80" + b"\0" * 10 + b"\5", b"\xc0",
           b"\xff" * 7 + b"\xfe", b"\x80\0\0\0\0\0\0\0\0\0\2\0"]
TEXTS = [b"", b"a", b"a/", b"./a//b/", b"/", b"..", b"\xff/x", b"a\0junk", b".wh.a", b".wh..wh..opq",
         b"d/" * 40]
FAMILIES = {
    b"": [b"path", b"linkpath", b"size", b"uid", b"gid", b"uname", b"gname", b"mtime", b"atime", b"ctime",
          b"comment", b"hdrcharset", b"X", b"SUN.holesdata", b"LIBARCHIVE.creationtime",
          b"LIBARCHIVE.symlinktype"],
    b"SCHILY.": [b"xattr.user.a", b"xattr.", b"xattr.security.selinux", b"acl.access", b"acl.", b"fflags",
                 b"dev", b"realsize", b"devmajor", b"devminor"],
    b"LIBARCHIVE.xattr.": [b"user.a", b"user%2ea", b"user%2Ea", b"", b"%00", b"%2", b"security.selinux"],
    b"RHT.security.": [b"selinux", b"other"],
    b"GNU.sparse.": [b"major", b"minor", b"name", b"size", b"realsize", b"map", b"numblocks", b"offset",
                     b"numbytes", b"offset", b"numbytes", b"other"]}
KEYS = {family: [family + key for key in keys] for family, keys in FAMILIES.items()}
VALUES = [b"", b"0", b"0", b"1", b"1", b"5", b"10", b"512", b"-1", b"+1", b" 1", b"1.", b"1.5", b".5",
          b"-1.5", b"-0.0000000019", b"1.23456789012", b"0,0", b"0,5", b"0,5,10,3", b"9223372036854775807",
          b"9223372036854775808", b"-9223372036854775808.5", b"4611686018427387904",
          b"1152921504606846976", b"a/b", b"x/", b"./x", b"a\0b", b"YWI=", b"YQ", b"Y", b"YWI==",
          b"\xff\xfe", b"a\nb", b"k=v"]


def checksum(block, signed):
    block = block[:148] + b" " * 8 + block[156:]
    return sum(block) - (256 * sum(byte > 127 for byte in block) if signed else 0)


def seal(block, dice):
    """The block with a right checksum, in one way of writing it."""
    total = checksum(block, dice.random() < 0.1) & 0o777777
    style = dice.choice([b"%06o\0 "] * 6 + [b"%07o\0", b"%6o\0 ", b"%06o  ", b"%06o\0\0"])
    return block[:148] + style % total + block[156:]


def headers(data):
    """Where blocks with a right checksum lie."""
    found = []
    for at in range(0, len(data) - 511, 512):
        digits = data[at + 148:at + 154].strip(b" \0")
        if digits.isdigit() and int(digits, 10) and set(digits) <= set(b"01234567") and \
                int(digits, 8) == checksum(data[at:at + 512], False):
            found.append(at)
    return found


def field(dice, at, width):
    if at in SHAPED:
        return dice.choice(SHAPED[at])
    if width > 12:
        return dice.choice(TEXTS).ljust(width, b"\0")[:width]
    if dice.random() < 0.5:
        return b"%0*o\0" % (width - 1, dice.choice([0, 1, 5, 512, 1500, 0o644]))
    value = dice.choice(NUMBERS)[:width]
    return value.ljust(width, b"\0") if dice.random() < 0.5 else value


def extension(dice):
    """An extension header with its body; what it says may be anything."""
    typeflag = dice.choice(b"xxxxxxgXLK")
    if typeflag in b"LK":
        body = dice.choice(TEXTS) + dice.choice([b"", b"\0", b"\0x"])
    else:
        keys = KEYS[dice.choice(list(KEYS))] if dice.random() < 0.4 else sum(KEYS.values(), [])
        body = b"".join(mutations.record(dice.choice(keys), dice.choice(VALUES))
                        for _ in range(dice.choice([0, 1, 1, 2, 3, 5, 8])))
        if body and dice.random() < 0.05:
            at = dice.randrange(len(body))
            body = body[:at] + bytes([dice.randrange(256)]) + body[at + 1:]
    whole = mutations.extension(b"x", bytes([typeflag]), body, dice.choice(
        [mutations.USTAR, mutations.GNU, mutations.V7]))
    return seal(whole[:512], dice) + whole[512:]


def damaged(data, seed):
    dice = random.Random(seed)
    places = headers(data)
    if not places:
        return data
    out = bytearray(data)
    for _ in range(dice.choice([0, 1, 1, 2, 3])):
        at = dice.choice(places)
        for _ in range(dice.choice([1, 1, 2, 3])):
            begin, width = dice.choice(FIELDS)
            value = field(dice, begin, width)
            out[at + begin:at + begin + len(value)] = value
        out[at:at + 512] = seal(bytes(out[at:at + 512]), dice)
    for _ in range(dice.choice([0, 0, 1, 1, 2])):
        at = dice.choice(places)
        out[at:at] = extension(dice)
    if dice.random() < 0.05:
        del out[dice.randrange(len(out) + 1):]
    return bytes(out)
