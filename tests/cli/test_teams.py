# SPDX-License-Identifier: Apache-2.0
"""Fewer threads or open files than were asked for: the same results by fewer threads. Threads are refused by
a preloaded library (threads.c) and, where this runs as root, by the kernel (RLIMIT_NPROC of a user that has
no other processes); files by RLIMIT_NOFILE."""

import io
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402

import oci

LAYERS = 70  # more than are looked at by one thread
NOBODY = 61811
CLEAN = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


class Teams(harness.Case):
    varve = harness.VARVE

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work.chmod(0o755)
        harness.run(harness.CC, "-shared", "-fPIC", "-o", cls.work / "threads.so",
                    pathlib.Path(__file__).parent / "threads.c")
        layout = oci.Layout(cls.work / "layout")
        pairs = []
        for number in range(LAYERS):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as tar:
                entry = tarfile.TarInfo(f"file{number}")
                entry.size = 1000 * number
                tar.addfile(entry, io.BytesIO(bytes(entry.size)))
            pairs.append((layout.put(out.getvalue(), oci.LAYER), oci.digest_of(out.getvalue())))
        layout.tags([(f"tag{i}", layout.image(pairs[i:i + 3])) for i in range(LAYERS - 2)])
        cls.scanned, _ = cls.scan(cls)
        cls.written = cls.normalize(cls, "whole")

    def scan(self, *, threads=2, expect=0, **options):
        """All lines but the last, and the last."""
        out = harness.run(self.varve, "scan", "--json", f"--threads={threads}", "oci:layout",
                          expect=expect, cwd=self.work, **options)
        lines = [json.loads(line) for line in out.splitlines()]
        return lines[:-1], lines[-1]

    def normalize(self, name, *, threads=2, **options):
        options.setdefault("env", CLEAN)
        place = self.work / "places"
        place.mkdir(exist_ok=True)
        place.chmod(0o777)
        harness.run(self.varve, "normalize", "oci:layout", f"--threads={threads}", "-o",
                    f"oci:places/{name}", cwd=self.work, **options)
        files = files_of(place / name)
        assert os.listdir(place) == [name], os.listdir(place)
        shutil.rmtree(place / name)
        return files

    def check(self, name, most, **options):
        lines, summary = self.scan(threads=16, **options)
        self.assertEqual(lines, self.scanned)
        self.assertLessEqual(summary["run"]["threads"], most)
        self.assertEqual(self.normalize(name, threads=16, **options), self.written)
        return summary["run"]["threads"]

    def test_threads_are_refused(self):
        found = []
        for alive in 0, 1, 3, 7, 30:
            with self.subTest(alive):
                environment = {**CLEAN, "LD_PRELOAD": "./threads.so", "THREADS_ALIVE": str(alive)}
                found.append(self.check("few", min(alive + 1, 16), env=environment))
        # What was refused leaves two for others.
        self.assertEqual(found, [1, 1, 2, 6, 16])

    def test_a_database_among_few_threads(self):
        environment = {**CLEAN, "LD_PRELOAD": "./threads.so", "THREADS_ALIVE": "4"}
        out = harness.run(self.varve, "scan", "--json", "--threads=16", "--db=db", "oci:layout",
                          cwd=self.work, env=environment)
        self.assertEqual(json.loads(out.splitlines()[-1])["layers"]["ok"], LAYERS)

    def test_refused_in_between(self):
        """What could be had a moment ago, and cannot now, ends the program; not as if something were
        found."""
        environment = {**CLEAN, "LD_PRELOAD": "./threads.so", "THREADS_EVER": "15"}
        done = subprocess.run([self.varve, "scan", "--threads=16", "oci:layout"], cwd=self.work,
                              env=environment, capture_output=True, check=False)
        aborts = "clang" in os.environ.get("VARVE_CC", "") # as libomp does by itself
        self.assertEqual((done.returncode, done.stdout), (-signal.SIGABRT if aborts else 2, b""),
                         done.stderr)
        self.assertNotEqual(done.stderr, b"")

    def test_the_kernel_refuses_threads(self):
        if os.getuid() != 0:
            self.skipTest("only root can become a user without processes")

        def become_nobody(limit):
            def become():
                resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            return become

        varve = self.work / "varve"
        shutil.copy(harness.VARVE, varve)
        try:
            harness.run(varve, "--version", preexec_fn=become_nobody(9))
        except (OSError, AssertionError) as error:
            self.skipTest(f"another user cannot run it here: {error}")
        self.varve = varve
        for limit, threads in ((1, 1), (2, 1), (5, 3), (9, 7)):
            with self.subTest(limit):
                for _ in range(5):
                    lines, summary = self.scan(threads=16, preexec_fn=become_nobody(limit))
                    self.assertEqual((lines, summary["run"]["threads"]), (self.scanned, threads))
        self.check("refused", 3, preexec_fn=become_nobody(5))

    def test_open_files(self):
        def with_limits(soft, hard):
            return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        for hard in 20, 60:
            with self.subTest(hard):
                self.check("files", 16, preexec_fn=with_limits(hard, hard))
        # The soft limit is raised.
        self.assertEqual(self.check("more", 16, preexec_fn=with_limits(20, 4096)), 16)


if __name__ == "__main__":
    harness.main()
