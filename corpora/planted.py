# SPDX-License-Identifier: Apache-2.0
"""A mirror with planted truth: many families of layers, each a random tree and variants of it that differ
by exactly one rung, with a file of answers against which a whole scan is held.

    planted.py FOLDER [--families N] [--seed N]   makes FOLDER/mirror and FOLDER/answers.json
    planted.py --check VARVE FOLDER [OPTION...]   scans it (with these options of varve scan): every pair of
                                                  layers, and of images, on the right rung, every planted
                                                  finding counted; ends with 0 when nothing is wrong

A variant is one mutation of tests/ladder/mutations.py, which says on which rung it meets the tree (and has one
for every finding about how layers are compressed and written), or one
more encoding of the tree (they meet at `diffid`), or of another variant (those two meet at `diffid`, and
whatever else the variant meets, both do). So the truth about all pairs is a partition for each rung: a
variant that meets its tree on the rung or above is in the tree's class, any other is alone with its second
encoding, and no two families ever meet. The same seed gives the same mirror, but for what the installed
zstd makes of it.
"""

import argparse
import collections
import gzip
import json
import multiprocessing
import pathlib
import random
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "ladder"))
import mutations
import oci

RUNGS = ["blob", "diffid", "archive", "encoding", "order", "names", "times", "content"]
# Below all rungs: a variant that meets its tree nowhere.
NONE = "none"


def members(data):
    """Three gzip members, the second one empty."""
    half = len(data) // 2
    return b"".join(gzip.compress(part, 6, mtime=0) for part in (data[:half], b"", data[half:]))


def named(data):
    """A gzip header with a time and a file name."""
    plain = gzip.compress(data, 6, mtime=1700000000)
    return plain[:3] + b"\x08" + plain[4:10] + b"layer.tar\0" + plain[10:]


def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


# Names, media type, encoder. The first is the tree's own.
ENCODINGS = [
    ("gzip-6", oci.LAYER + "+gzip", lambda data: gzip.compress(data, 6, mtime=0)),
    ("gzip-1", oci.LAYER + "+gzip", lambda data: gzip.compress(data, 1, mtime=0)),
    ("gzip-named", oci.LAYER + "+gzip", named),
    ("gzip-members", oci.LAYER + "+gzip", members),
    ("zstd", oci.LAYER + "+zstd", zstd),
    ("zstd-check", oci.LAYER + "+zstd", lambda data: zstd(data, "--check", "-9")),
    ("plain", oci.LAYER, lambda data: data),
]


def make_family(task):
    """One family: a list of (answer, media type, blob, diffid). The tree comes first."""
    seed, number = task

    def fresh_tree():
        items = mutations.tree(random.Random(f"{seed} {number}"))
        items.append(mutations.Item(b"family", b"0", b"%d\n" % number))
        return items

    made = []
    seen = set()

    def add(variant, rung, data, encodings, finding=None, due=0):
        for name, media_type, encode in encodings:
            blob = encode(data)
            assert blob not in seen
            seen.add(blob)
            made.append(({"family": number, "variant": variant, "rung": rung, "encoding": name,
                          "finding": finding, "due": due}, media_type, blob, oci.digest_of(data)))

    base = mutations.archive(fresh_tree())
    add("tree", "diffid", base, ENCODINGS)
    archives = {base}
    for change, rung, finding in mutations.MUTATIONS:
        items = fresh_tree()
        dice = random.Random(f"{seed} {number} {change.__name__}")
        result = change(items, dice)
        if rung == "diffid":  # the tree's archive, compressed in an odd way
            blob, due = result
            kind = "gzip" if blob[:2] == b"\x1f\x8b" else "zstd"
            add(change.__name__, rung, base, [(kind, f"{oci.LAYER}+{kind}", lambda _: blob)], finding, due)
            continue
        data, due = result if isinstance(result, tuple) else (mutations.archive(items), result)
        if data in archives or b"family" not in data:
            continue  # nothing in this tree that it could change, or nothing left of the tree
        archives.add(data)
        add(change.__name__, rung, data, dice.sample(ENCODINGS, dice.choice([1, 1, 1, 2])), finding,
            due)
    return made


def make(folder, families, seed):
    layout = oci.Layout(folder / "mirror")
    layers = {}
    images = {}
    tags = []

    def image(answer, created, *stack):
        ref = f"family{answer['family']}/{answer['variant'].replace('_', '-')}:{answer['encoding']}"
        tags.append((ref, layout.image(list(stack), created=created)))
        images[ref] = answer

    with multiprocessing.Pool() as pool:
        for made in pool.imap(make_family, ((seed, i) for i in range(families))):
            stored = []
            for answer, media_type, blob, diffid in made:
                descriptor = layout.put(blob, media_type)
                layers[descriptor["digest"]] = answer
                stored.append((answer, (descriptor, diffid)))
            # One image a variant, on top of the family's tree, which all of them share; and one that
            # was made at another time.
            tree, bottom = stored[0]
            for answer, layer in stored:
                image(answer, None, bottom, layer)
            image({**tree, "variant": "created", "rung": "times"}, "2026-01-01T00:00:00Z", bottom,
                  bottom)
    layout.tags(tags)
    (folder / "answers.json").write_text(json.dumps({"layers": layers, "images": images}, indent=1))
    print(f"{families} families, {len(layers)} layers, {len(images)} images, seed {seed}")


def expected_class(answer, rung):
    """What a layer is equal to on a rung: its whole family, or only what holds the same archive."""
    if rung == "blob":
        return answer["family"], answer["variant"], answer["encoding"]
    if answer["rung"] != NONE and RUNGS.index(rung) >= RUNGS.index(answer["rung"]):
        return answer["family"], "tree"
    return answer["family"], answer["variant"]


def compare_partitions(found, answers, what):
    """Holds the classes of equal digests against those that are due: a list of complaints."""
    wrong = []
    for rung in RUNGS:
        class_of, digest_of = {}, {}
        for name, answer in answers.items():
            rungs = found[name].get("rungs", {})
            if rung not in rungs:
                wrong.append(f"{what} {name}: no rung {rung}")
                continue
            due = expected_class(answer, rung)
            other = class_of.setdefault(rungs[rung], due)
            if other != due:
                wrong.append(f"{what} {name}, {due}: equal to {other} on rung {rung}")
            if digest_of.setdefault(due, rungs[rung]) != rungs[rung]:
                wrong.append(f"{what} {name}: not equal to the rest of {due} on rung {rung}")
    return wrong


def compare_findings(found, answers):
    """Each planted finding, as often as it was planted, beyond what the tree itself has."""
    def count(name, code):
        return sum(one["count"] for one in found[name]["findings"] if one["code"] == code)
    trees = {answer["family"]: name for name, answer in answers.items()
             if answer["variant"] == "tree" and answer["encoding"] == ENCODINGS[0][0]}
    for name, answer in answers.items():
        code = answer["finding"]
        if code:
            more = count(name, code) - count(trees[answer["family"]], code)
            if more != answer["due"]:
                yield f"layer {name}: {answer['variant']}: {code} x{more}, due x{answer['due']}"


def check(varve, folder, options):
    answers = json.loads((folder / "answers.json").read_text())
    done = subprocess.run([varve, "scan", "--json", *options, f"oci:{folder / 'mirror'}"],
                          check=False, stdout=subprocess.PIPE)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    layers = {line["name"]: line for line in lines if line["type"] == "layer"}
    images = {line["ref"]: line for line in lines if line["type"] == "image"}
    wrong = []
    if done.returncode:
        wrong.append(f"varve ended with {done.returncode}")
    for what, found, due in (("layers", layers, answers["layers"]),
                             ("images", images, answers["images"])):
        if set(found) != set(due):
            wrong.append(f"{what}: {len(set(due) - set(found))} missing, "
                         f"{len(set(found) - set(due))} too many")
    wrong += [f"layer {name}: {line['status']}" for name, line in layers.items()
              if line["status"] != "ok"]
    if not wrong:
        wrong += compare_partitions(layers, answers["layers"], "layer")
        wrong += compare_partitions(images, answers["images"], "image")
        wrong += compare_findings(layers, answers["layers"])
    for line in wrong[:20]:
        print(line)
    if len(wrong) > 20:
        print(f"... and {len(wrong) - 20} more")
    by_rung = collections.Counter(answer["rung"] for answer in answers["layers"].values())
    pairs = sum(count * (count - 1) // 2 for count in (len(layers), len(images)))
    print(f"{len(layers)} layers ({', '.join(f'{rung} {by_rung[rung]}' for rung in [*RUNGS, NONE] if by_rung[rung])}), "
          f"{len(images)} images, {pairs} pairs: {len(wrong) or 'none'} wrong")
    return 1 if wrong else 0


def main():
    if len(sys.argv) > 3 and sys.argv[1] == "--check":
        sys.exit(check(sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[4:]))
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--families", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    make(options.folder, options.families, options.seed)


if __name__ == "__main__":
    main()
