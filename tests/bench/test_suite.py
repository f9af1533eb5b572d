# SPDX-License-Identifier: Apache-2.0
"""Every program of bench/ in a run of almost no time: it starts, its answers are verified, its figures come out
as bench/suite.py and compare.py read them. No time is asserted. `test_suite.py PROGRAM`."""

import json
import os
import pathlib
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

SUITE = harness.SOURCE / "bench" / "suite.py"
# Some figures that each has to give.
DUE = {
    "sha256": ["64B/lanes:1 varve", "64KiB/lanes:16 varve / openssl", "mix/lanes:64 sha-ni", "round varve"],
    "headers": ["read/gnu scalar", "write scalar", "list/bsdtar varve"],
    "decode": ["layer-gzip/64KiB varve / igzip", "members-gzip/256KiB varve", "layer-zstd/64KiB varve / zstd"],
    "inflate": ["alive-1 varve", "alive-16 lanes / igzip", "alive-4 varve/igzip"],
    "pipeline": ["gzip: ladder, 1 thread / floor", "zstd: ladder, 2 threads", "small: floor, 1 process"],
}
PROGRAM = "sha256"


class Suite(harness.Case):
    def suite(self, *words, expect=0, **more):
        return harness.run(sys.executable, SUITE, *words, "--runs=1", "--min-time=0.0001", harness.BUILD,
                           self.work / "corpus", PROGRAM, expect=expect, **more).decode()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if PROGRAM in ("inflate", "pipeline"):
            cls.make_corpus()

    @classmethod
    def make_corpus(cls):
        """What the programs read that read a corpus; small."""
        for script, *words in (("packages.py", cls.work / "corpus", "--layers=3", "--bytes=1"),
                               ("extremes.py", "small", cls.work / "corpus" / "small", "--layers=20")):
            harness.run(sys.executable, harness.SOURCE / "corpora" / script, *words)

    def test_it_runs(self):
        out = self.work / "out.json"
        self.suite("--json", out)
        part = json.loads(out.read_text())["programs"][PROGRAM]
        self.assertEqual([name for name in DUE[PROGRAM] if name not in part["figures"]], [])
        for name, figure in part["figures"].items():
            with self.subTest(name):
                self.assertEqual(len(figure["samples"]), 1)
                # The kernel counts a short process's CPU time in ticks: it may be none at all.
                self.assertGreaterEqual(figure["samples"][0], 0)
                self.assertEqual(figure["median"], figure["samples"][0])
        if PROGRAM != "pipeline":
            self.assertTrue(all(figure["median"] > 0 for figure in part["figures"].values()))
            self.assertRegex(part["compiler"], r"^(gcc|clang) \d")
        self.assertTrue(part["libraries"] or PROGRAM == "headers")
        # What was written can be compared; one sample is too few, and that is said.
        said = harness.run(sys.executable, SUITE.parent / "compare.py", out, out).decode()
        ours = sum(figure["ours"] for figure in part["figures"].values())
        self.assertIn(f"0 slower, 0 no change beyond the noise, {ours} too few samples", said)

    def test_the_table(self):
        if PROGRAM != "inflate":
            return  # one of them will do; it is the same code
        said = harness.run(harness.BUILD / "bench" / "varve_bench_inflate", "--benchmark_min_time=0.0001",
                           "--benchmark_filter=alive-(2|16)/").decode()
        self.assertEqual(re.findall(r"^alive-\d+", said, re.MULTILINE), ["alive-2", "alive-16"])
        harness.run(harness.BUILD / "bench" / "varve_bench_inflate", "--no-such-option", expect=2)
        harness.run(harness.BUILD / "bench" / "varve_bench_inflate", "--json=/nowhere/x",
                    "--benchmark_min_time=0.0001", "--benchmark_filter=alive-1/", expect=2)

    def test_a_wrong_answer_is_seen(self):
        """A decompressor that says it made what was asked for and made nothing, put before the right one."""
        if PROGRAM != "inflate":
            return
        source = self.work / "wrong.c"
        source.write_text("""
            #include <stddef.h>
            int libdeflate_gzip_decompress(void *d, const void *in, size_t bytes, void *out, size_t room,
                                           size_t *made) {
                (void)d, (void)in, (void)bytes, (void)out;
                if (made) {
                    *made = room;
                }
                return 0;
            }""")
        harness.run(harness.CC, "-shared", "-fPIC", "-o", self.work / "wrong.so", source)
        link = pathlib.Path("/tmp") / f"varve-wrong-{os.getpid()}.so"  # LD_PRELOAD knows no quoting
        link.symlink_to(self.work / "wrong.so")
        self.addCleanup(link.unlink)
        out = self.work / "wrong.json"
        command = [harness.BUILD / "bench" / "varve_bench_inflate", "--benchmark_min_time=0.0001"]
        environment = {**os.environ, "LD_PRELOAD": str(link)}
        harness.run(*command, f"--json={out}", expect=1, env=environment)
        for case in json.loads(out.read_text())["cases"]:
            self.assertEqual((case["verified"], case["contenders"]), (False, []))
        said = harness.run(*command, expect=1, env=environment).decode()
        self.assertEqual(said.count("WRONG ANSWER"), 6)
        # The suite then writes nothing.
        out = self.work / "nothing.json"
        self.suite("--json", out, expect=1, env=environment)
        self.assertFalse(out.exists())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        PROGRAM = sys.argv.pop(1)
    harness.main()
