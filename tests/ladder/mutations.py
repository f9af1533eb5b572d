#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/ladder/mutations.py - a random tree is changed in one known way and must then meet the
original on exactly the rung that the change belongs to, below it everywhere, and leave the finding
that the change is due, as often as it was made.

`VARVE` names the program; VARVE_SEED and VARVE_ROUNDS may be set.
"""

import base64
import copy
import json
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ladder
from compare import meet, varve

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
        block = block[:148] + self.checksum % sum(block) + block[156:]
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


# --- archive ---


@mutation("archive", "eoa.missing")
def no_end(items, dice):
    return archive(items, b""), 1


@mutation("archive", "eoa.single")
def one_block(items, dice):
    return archive(items, b"\0" * 512), 1


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


def main():
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
