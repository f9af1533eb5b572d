#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Comparing archives made at random, and archives with ones made of them by a few changes: what must
hold of any two (docs/diff.md, section 1) does.

VARVE_SEED and VARVE_ROUNDS are printed and can be set."""

import os
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "ladder")]
import differ
import harness
import random_tar

SEED = int(os.environ.get("VARVE_SEED", "1"))
ROUNDS = int(os.environ.get("VARVE_ROUNDS", "300"))

# Offsets within a header where a byte makes a difference.
PLACES = [0, 1, 100, 102, 105, 107, 110, 118, 136, 140, 146, 147, 156, 157, 158, 257, 262, 263, 265,
          297, 298, 330, 345, 346, 400, 500]


def headers(archive):
    """Offsets of blocks that look like headers."""
    return [at for at in range(0, len(archive) - 511, 512)
            if archive[at] and not bytes(archive[at + 148:at + 154]).strip(b"01234567 \0")]


def put_checksum(archive, at):
    archive[at + 148:at + 156] = b" " * 8
    archive[at + 148:at + 156] = b"%06o\0 " % sum(archive[at:at + 512])


def field(dice, archive, at):
    """Another byte in a header, its checksum put right."""
    place = at + dice.choice(PLACES)
    archive[place] = dice.choice([0, 32, 48, 49, 55, 65, 97, archive[place] ^ 1])
    put_checksum(archive, at)


def swap(dice, archive, at):
    """Two headers of no data change places."""
    other = dice.choice(headers(archive))
    if not any(byte & 7 for byte in archive[at + 124:at + 135] + archive[other + 124:other + 135]):
        mine = archive[at:at + 512]
        archive[at:at + 512] = archive[other:other + 512]
        archive[other:other + 512] = mine


def flip(dice, archive, at):
    """One bit, anywhere."""
    archive[dice.randrange(len(archive))] ^= 1 << dice.randrange(8)


def changed(dice, archive):
    archive = bytearray(archive)
    change = dice.choice([field, field, swap, flip])
    for _ in range(dice.randrange(1, 4)):
        found = headers(archive)
        if found:
            change(dice, archive, dice.choice(found))
    return archive


class Random(harness.Case):
    def test_random(self):
        print("VARVE_SEED=%d VARVE_ROUNDS=%d" % (SEED, ROUNDS))
        meets, wrong = {}, []
        for i in range(ROUNDS):
            number = SEED * 1000003 + i
            dice = random.Random(number)
            left = random_tar.archive(number)
            right = changed(dice, left) if dice.random() < 0.8 else random_tar.archive(number + 1)
            paths = self.work / "left", self.work / "right"
            paths[0].write_bytes(left)
            paths[1].write_bytes(right)
            said = differ.Layers(*paths, expect=(0, 1))
            whole = all(len(said.verdict[side]["rungs"]) == 8 for side in ("left", "right"))
            if whole:
                meets[said.meet] = meets.get(said.meet, 0) + 1
                wrong += ["%d: %s" % (number, fault) for fault in said.faults()]
        print("whole pairs by the rung on which they meet:", meets)
        self.assertEqual(wrong, [])
        self.assertGreater(sum(meets.values()), ROUNDS / 2)
        self.assertGreater(len(meets), 3)


if __name__ == "__main__":
    harness.main()
