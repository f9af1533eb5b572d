# SPDX-License-Identifier: Apache-2.0
"""What hostile input costs grows as it does and no faster: four times the layers of an image or the
members of a stream are at most 4.4 times the instructions (callgrind counts them, so that a busy machine
changes nothing). tests/ladder/test_scale.py does so with what there is within an archive."""

import gzip
import io
import json
import pathlib
import re
import shutil
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness
import oci

TIMES, MOST = 4, 4.4
MEMBER = gzip.compress(b"", mtime=0)


def tar_of(name):
    """One empty file, and the two blocks of the end."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(name))
    return out.getvalue()[:1536]


class Growth(harness.Case):
    def instructions(self, command, operand):
        """Without vectors: what lanes cost that happen to be empty is not the input's."""
        with tempfile.TemporaryFile() as log:
            out = harness.run("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                              harness.VARVE, command, "--json", "--threads=1", "--cpu=scalar", operand,
                              stderr=log)
            log.seek(0)
            return int(re.search(rb"Collected : (\d+)", log.read())[1]), self.lines(out)

    def lines(self, out):
        found = {}
        for line in map(json.loads, out.splitlines()):
            found.setdefault(line["type"], []).append(line)
        return found

    def grows(self, command, small, make, check):
        """What `make` gives for a number costs as much each, whatever the number; `check` holds what is
        said of it."""
        if not shutil.which("valgrind"):
            self.skipTest("not installed: valgrind")
        cost = {}
        for count in (0, small, TIMES * small):
            cost[count], found = self.instructions(command, make(count))
            check(found, count)
        few, many = cost[small] - cost[0], cost[TIMES * small] - cost[0]
        print("%.1f k instructions each; %.2f times" % (few / small / 1000, many / few))
        self.assertGreater(few, 0)
        self.assertLessEqual(many, MOST * few)

    def image(self, count, one):
        """A layout whose image has so many layers: each one's own, or one again and again."""
        layout = oci.Layout(self.work / f"{count} {one}")
        layers = []
        for i in range(1 if one else count):
            tar = tar_of(f"file-{i}")
            layers.append((layout.put(tar, oci.LAYER), oci.digest_of(tar)))
        layout.tag("many", layout.image(layers * (count if one else 1)))
        return f"oci:{layout.folder}"

    def check_image(self, found, count, one):
        self.assertEqual(len(found.get("layer", [])), 1 if one else count)
        image, = found["image"]
        self.assertEqual((image["status"], len(image["layers"])), ("ok", count))

    def test_layers_of_one_image(self):
        self.grows("scan", 250, lambda count: self.image(count, False),
                   lambda found, count: self.check_image(found, count, False))

    def test_one_layer_again_and_again(self):
        self.grows("scan", 500, lambda count: self.image(count, True),
                   lambda found, count: self.check_image(found, count, True))

    def test_ten_thousand_layers(self):
        for one in (False, True):
            found = self.lines(harness.run(harness.VARVE, "scan", "--json", self.image(10000, one)))
            self.check_image(found, 10000, one)

    def members(self, count):
        """So many empty ones, and one more that holds the archive."""
        path = self.work / "blob"
        path.write_bytes(MEMBER * count + gzip.compress(tar_of("file"), mtime=0))
        return path

    def check_members(self, found, count):
        layer, = found["layer"]
        self.assertEqual((layer["status"], layer["entries"]), ("ok", 1))
        counts = {finding["code"]: finding["count"] for finding in layer["findings"]}
        self.assertEqual(counts.get("gzip.empty-member", 0), count)

    def test_members(self):
        self.grows("digest", 500, self.members, self.check_members)

    def test_ten_thousand_empty_members(self):
        for engine in ("varve", "igzip"):
            found = self.lines(harness.run(harness.VARVE, "digest", "--json", f"--inflate-engine={engine}",
                                           self.members(10000)))
            self.check_members(found, 10000)


if __name__ == "__main__":
    harness.main()
