# SPDX-License-Identifier: Apache-2.0
"""How files are read: a small one with a handful of system calls, a large one with the kernel told in time
what comes next, and one that is cut off meanwhile without harm. A preloaded library (calls.c) writes down
the calls."""

import collections
import gzip
import io
import json
import os
import pathlib
import random
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402

MIB = 1 << 20
LAYERS = 40


class Reading(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.calls = cls.work / "calls.so"
        harness.run(harness.CC, "-shared", "-fPIC", "-o", cls.calls, pathlib.Path(__file__).parent / "calls.c")

    def digest(self, *argv, expect=0, **environment):
        """The lines of layers, and the calls as lists of words."""
        with open(self.work / "log", "w+b") as log:
            out = harness.run(harness.VARVE, "digest", "--json", *argv, expect=expect, cwd=self.work,
                              pass_fds=[log.fileno()],
                              env={**os.environ, "LD_PRELOAD": "./calls.so", "CALLS": str(log.fileno()),
                                   **environment})
            log.seek(0)
            calls = [line.split() for line in log.read().decode().splitlines()]
        layers = [json.loads(line) for line in out.splitlines()]
        return [line for line in layers if line["type"] == "layer"], calls

    def test_small_layers(self):
        """Each is read at once, and looked at when it is opened and when all of it was read."""
        names = []
        for number in range(LAYERS):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as tar:
                tar.addfile(tarfile.TarInfo(f"file{number}"))
            names.append(f"layer{number}.tar.gz")
            (self.work / names[-1]).write_bytes(gzip.compress(out.getvalue(), mtime=0))
        for threads in (1, 2):
            layers, calls = self.digest(f"--threads={threads}", *names)
            self.assertEqual([layer["status"] for layer in layers], ["ok"] * LAYERS)
            found = collections.Counter(call[0] for call in calls)
            # Which descriptors are free is asked for the run, not for each file.
            _, fewer = self.digest(f"--threads={threads}", *names[:LAYERS // 2])
            self.assertEqual(found.pop("fcntl", 0), sum(call[0] == "fcntl" for call in fewer))
            # And standard output is looked at: whether it is a pipe.
            self.assertEqual(found, {"pread": LAYERS, "fstat": 2 * LAYERS + 1})

    def test_a_large_layer_is_announced(self):
        size = 21 * MIB + 5
        path = self.work / "large"
        with open(path, "wb") as file:
            file.truncate(size)
        for options in (["--rungs=blob"], ["--threads=1"], ["--threads=2"]):
            self.check_announced(path, size, options)

    def check_announced(self, path, size, options):
        layers, calls = self.digest(*options, path)
        self.assertEqual(layers[0]["bytes_stored"], size)
        self.assertEqual([call for call in calls if call[:2] == ["fadvise", "sequential"]],
                         [["fadvise", "sequential", "0", "0"]])
        advised = read = 0
        for call in calls:
            if call[:2] == ["fadvise", "willneed"]:
                self.assertEqual(int(call[2]), advised)
                advised += int(call[3])
                self.assertLessEqual(advised - read, 9 * MIB)
            elif call[0] == "pread":
                self.assertEqual(int(call[2]), read)
                read += int(call[1])
                self.assertLessEqual(min(read + 2 * MIB, size), advised)
        self.assertEqual(read, size)

    def test_a_layer_is_cut_off_while_it_is_read(self):
        path = self.work / "cut"
        noise = random.Random(2).randbytes(4 * MIB)
        for engine in ("varve", "igzip"):
            for threads, after in ((1, 2), (1, 30), (2, 2), (2, 30)):
                path.write_bytes(noise)
                layers, calls = self.digest(f"--inflate-engine={engine}", f"--threads={threads}", path,
                                            expect=3, CUT=str(path), CUT_AFTER=str(after))
                self.assertGreaterEqual(sum(call[0] == "pread" for call in calls), after)
                self.assertEqual(path.stat().st_size, 1)
                self.assertEqual((layers[0]["status"], layers[0]["error"]["code"]), ("error", "io.changed"))
                self.assertNotIn("rungs", layers[0])


if __name__ == "__main__":
    if os.environ.get("VARVE_SANITIZE"):
        harness.skip("the sanitizers want to be loaded first")
    harness.main()
