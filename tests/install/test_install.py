# SPDX-License-Identifier: Apache-2.0
"""An installed varve: what lies where, which symbols it shows, and whether strangers can build on
it with pkg-config and with CMake, shared and static."""

import hashlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness
from harness import run

CONSUMER = pathlib.Path(__file__).parent / "consumer"
VERSION = re.search(r"project\(varve VERSION ([0-9.]+)",
                    (harness.SOURCE / "CMakeLists.txt").read_text()).group(1)


class Install(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prefix = cls.work / "moved prefix"
        run("cmake", "--install", harness.BUILD, "--prefix", cls.work / "prefix")
        # Nothing installed may know where it was installed to.
        (cls.work / "prefix").rename(cls.prefix)
        cls.lib = next(cls.prefix.rglob("libvarve.a")).parent
        cls.environment = dict(os.environ, PKG_CONFIG_PATH=f"{cls.lib / 'pkgconfig'}:{os.environ.get('PKG_CONFIG_PATH', '')}",
                               LD_LIBRARY_PATH=f"{cls.lib}:{os.environ.get('LD_LIBRARY_PATH', '')}")

    def test_what_lies_where(self):
        program = self.prefix / "bin" / "varve"
        self.assertIn(VERSION.encode(), run(program, "--version"))
        major = VERSION.split(".", maxsplit=1)[0]
        self.assertEqual((self.lib / "libvarve.so").resolve().name, f"libvarve.so.{VERSION}")
        self.assertTrue((self.lib / f"libvarve.so.{major}").exists())
        dynamic = run("readelf", "-d", self.lib / "libvarve.so").decode()
        self.assertIn(f"Library soname: [libvarve.so.{major}]", dynamic)
        self.assertNotRegex(dynamic, "RPATH|RUNPATH")
        headers = {path.name for path in (harness.SOURCE / "include/varve").glob("*.h")}
        self.assertEqual({path.name for path in (self.prefix / "include/varve").iterdir()}, headers)
        if shutil.which("scdoc"):
            manual = (self.prefix / "share/man/man1/varve.1").read_text()
            for option in re.findall(r"--[a-z0-9-]+", run(program, "scan", "--help").decode()):
                self.assertIn(option, manual.replace("\\-", "-"))

    def test_only_our_symbols_are_shown(self):
        for library, options in (("libvarve.so", ["-D"]), ("libvarve.a", [])):
            listing = run("nm", "-P", "-g", "--defined-only", *options, self.lib / library)
            names = set(re.findall(r"^(\S+) [A-Za-z] ", listing.decode(), re.MULTILINE))
            self.assertIn("varve_version", names)
            self.assertEqual({name for name in names if not name.startswith("varve_")}, set(),
                             library)

    def test_hidden_functions_stay_hidden(self):
        # One that two files of the library share and no header offers.
        private = "varve_cpu_bits"
        shown = run("nm", "-D", "--defined-only", self.lib / "libvarve.so").decode()
        self.assertNotRegex(shown, rf"\b{private}\b")
        self.assertRegex(run("nm", self.lib / "libvarve.a").decode(), rf"\bT {private}\b")

    def judge(self, program, shared):
        """A consumer was linked as it should be, and runs."""
        self.assertEqual(b"libvarve.so" in run("readelf", "-d", program), shared)
        first, *libraries = run(program, env=self.environment).decode().splitlines()
        self.assertEqual(first, f"varve {VERSION}")
        self.assertIn("zstd", libraries)

    def pkg_config(self, *options):
        return shlex.split(run("pkg-config", *options, "varve", env=self.environment).decode())

    def test_pkg_config_shared(self):
        program = self.work / "shared"
        run(harness.CC, "-std=c17", CONSUMER / "consumer.c", "-o", program,
            *self.pkg_config("--cflags", "--libs"))
        self.judge(program, shared=True)

    def test_digests_of_files(self):
        # The public header alone makes a sha256sum.
        program = self.work / "digests"
        run(harness.CC, "-std=c17", "-Wall", "-Wextra", "-Werror", CONSUMER / "digests.c", "-o", program,
            *self.pkg_config("--cflags", "--libs"))
        names, expected = [], b""
        for i, size in enumerate([0, 1, 55, 56, 64, 4095, 65535, 65536, 65537, 131072, 1000003] * 3):
            name = self.work / f"file {i}"
            name.write_bytes(bytes((j * (i + 1)) % 251 for j in range(size)))
            names.append(name)
            expected += f"{hashlib.sha256(name.read_bytes()).hexdigest()}  {name}\n".encode()
        self.assertEqual(run(program, *names, env=self.environment), expected)
        bad = subprocess.run([program, self.work / "none", names[3]], env=self.environment,
                             capture_output=True, check=False)
        self.assertEqual(bad.returncode, 1)
        self.assertIn(b"none", bad.stderr)
        self.assertEqual(bad.stdout, expected.splitlines(keepends=True)[3])

    def test_pkg_config_static(self):
        program = self.work / "static"
        # Our library alone is static: the others' archives are not always installed.
        flags = [f"-l:lib{flag[2:]}.a" if flag == "-lvarve" else flag
                 for flag in self.pkg_config("--cflags", "--libs", "--static")]
        run(harness.CC, "-std=c17", CONSUMER / "consumer.c", "-o", program, *flags)
        self.judge(program, shared=False)

    def test_find_package(self):
        for kind in ("shared", "static"):
            with self.subTest(kind=kind):
                build = self.work / f"cmake {kind}"
                run("cmake", "-G", "Ninja", "-S", CONSUMER, "-B", build, f"-DCMAKE_C_COMPILER={harness.CC}",
                    f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DKIND={kind}")
                run("cmake", "--build", build)
                self.judge(build / "consumer", shared=kind == "shared")

    def test_headers_stand_alone(self):
        # The C++ compiler that belongs to the C one, else any.
        names = [re.sub(r"g?cc(-\d+)?$", r"g++\1", harness.CC),
                 re.sub(r"clang(-\d+)?$", r"clang++\1", harness.CC), "c++", "clang++"]
        cxx = next((name for name in names if name != harness.CC and shutil.which(name)), None)
        compilers = [(harness.CC, "c", "c17")] + ([(cxx, "c++", "c++17")] if cxx else [])
        for header in sorted((self.prefix / "include/varve").glob("*.h")):
            for compiler, language, standard in compilers:
                with self.subTest(header=header.name, language=language):
                    # Twice, so that a missing include guard shows.
                    text = f"#include <varve/{header.name}>\n" * 2
                    run(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                        "-fsyntax-only", "-I", self.prefix / "include", "-x", language, "-",
                        input=text.encode(), stderr=subprocess.STDOUT)
        if not cxx:
            self.skipTest("no C++ compiler is installed")


if __name__ == "__main__":
    harness.need_tools("cmake", "ninja", "pkg-config", "nm", "readelf")
    harness.main()
