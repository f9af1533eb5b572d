# SPDX-License-Identifier: Apache-2.0
"""Threads that come too late: moments of delay, drawn at random, around every lock, signal, wait and read and
around every call of SQLite. Whatever order the threads come in, the results are the same. Under
ThreadSanitizer this is where races are looked for."""

import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import inject
import mirrors

import db
import harness

SEEDS = 120 if inject.LONG else 6 if inject.SANITIZED else 12
ON = 0


class Delays(db.DatabaseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.operands = [mirrors.layout(cls.work / "layout"), mirrors.docker(cls.work / "docker"),
                        mirrors.registry(cls.work / "registry")]

    def delayed(self, argv, check=inject.check_same, prepare=lambda folder: None):
        """`check(run, base, code)` after each of so many runs."""
        campaign = inject.Campaign(self)
        plain = [str(word).replace("{folder}", str(campaign.folder())) for word in argv]
        prepare(campaign.folder())
        first = inject.start(plain, inject.NONE, self.work / "page")
        base = inject.results(inject.lines_of(first))
        self.assertGreater(len(base), 0, first)
        self.assertGreater(first.calls["lock"], 10)
        faults = [inject.Fault("lock", 1, "delay", ON, seed) for seed in range(SEEDS)]
        campaign.each(argv, faults, lambda run, folder: check(run, base, first.code), prepare=prepare)
        campaign.end()

    def test_scan(self):
        for threads in (2, 4, 7):
            self.delayed(["scan", "--json", "--entries", f"--threads={threads}", *self.operands])

    def test_little_memory(self):
        """Layers that wait for each other's memory."""
        self.delayed(["scan", "--json", "--threads=4", "--memory=8MiB", *self.operands])

    def test_database(self):
        whole = self.work / "whole.db"
        harness.run(harness.VARVE, "scan", "--db", whole, "--entries", *self.operands, expect=1)
        argv = ["scan", "--json", "--threads=4", "--entries", "--db", "{folder}/a.db", *self.operands]

        def prepare(folder):
            for path in folder.glob("a.db*"):
                path.unlink()

        def check(run, base, code):
            inject.check_same(run, base, code)
            path = run.argv[run.argv.index("--db") + 1]
            if not db.is_whole(path) or db.content(path) != db.content(whole):
                raise inject.Broken(f"{run}another database")

        self.delayed(argv, check, prepare)

    def test_layouts(self):
        """normalize's team."""
        operand = mirrors.small(self.work / "small")
        campaign = inject.Campaign(self)
        faults = [inject.Fault("lock", 1, "delay", ON, seed) for seed in range(SEEDS)]
        said = set()

        def check(run, folder):
            with campaign.lock:
                said.add((run.code, run.out.replace(str(folder).encode(), b"@")))

        def prepare(folder):
            shutil.rmtree(folder / "out", ignore_errors=True)

        campaign.each(["normalize", "--json", "--threads=4", operand, "-o", "oci:{folder}/out"], faults,
                      check, prepare=prepare)
        campaign.end()
        self.assertEqual([code for code, _ in said], [0])


if __name__ == "__main__":
    harness.need_tools("zstd", "tar-split")
    harness.main()
