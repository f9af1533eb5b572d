# SPDX-License-Identifier: Apache-2.0
"""`varve bench` on a small layout: every answer verified, figures that are known held against it, its
output read back. No time is asserted."""

import collections
import csv
import io
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tarfile
import time
import xml.etree.ElementTree
import zlib

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import oci

SVG = "{http://www.w3.org/2000/svg}"


def make_tar(number, seed=0):
    noise = random.Random(seed)
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for i in range(20):
            data = (f"{number} {i} " * (i * 40 + 1)).encode() + noise.randbytes(i)
            if number == 4:  # what no compressor makes smaller, and some make larger
                data = noise.randbytes(10000)
            info = tarfile.TarInfo(f"dir/file{i}.{'txt' if i % 2 else 'bin'}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return memory.getvalue()


# After a signal, of all threads: what a machine that is busy elsewhere does not change. A layer of the test's
# takes the slowest compressor a hundredth of a second; all that are left to measure would take minutes.
CPU_SECONDS = 1.0
PATIENCE = 120


def cpu_seconds(process):
    """What a process has used so far (proc(5))."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gzip_bytes(data):
    encoder = zlib.compressobj(6, zlib.DEFLATED, 31)
    return encoder.compress(data) + encoder.flush()


class Bench(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.layout = oci.Layout(cls.work / "layout")
        cls.tars = [make_tar(i) for i in range(5)]
        layers = []
        for tar in cls.tars:
            layers.append((cls.layout.put(gzip_bytes(tar), oci.LAYER + "+gzip"), oci.digest_of(tar)))
        no_tar = b"no tar at all\n"
        layers.append((cls.layout.put(no_tar, "application/x-other"), oci.digest_of(no_tar)))
        cls.layout.tag("one", cls.layout.image(layers))

    def bench(self, *options, expect=0, **more):
        return harness.run(harness.VARVE, "bench", "--rounds=2", "--threads=2", *options,
                           self.layout.folder, expect=expect, **more).decode()

    def lines(self, *options):
        return [json.loads(line) for line in self.bench("--json", *options).splitlines()]

    def test_results(self):
        lines = self.lines()
        self.assertEqual([lines[0]["type"], lines[-1]["type"]], ["bench", "summary"])
        sample = lines[0]["sample"]
        decoded = sum(map(len, self.tars))
        self.assertEqual((sample["layers"], sample["source_layers"], sample["unusable"]), (5, 6, 1))
        self.assertEqual(sample["bytes_decoded"], decoded)
        # Each library is there with its version, or said to be absent.
        absent = {line["variant"] for line in lines if line["type"] == "absent"}
        for library in "zlib", "libdeflate", "xxHash", "libblake3":
            self.assertEqual(library in lines[0]["versions"], library not in absent)
        stored = sum(len(gzip_bytes(tar)) for tar in self.tars)
        self.assertEqual(sample["bytes_stored"], stored)
        results = [line for line in lines if line["type"] == "result"]
        groups = collections.Counter((line["group"], line["form"]) for line in results)
        self.assertGreaterEqual(groups["compress", "archives"], 14)
        for group in "compress", "decompress":
            self.assertEqual(groups[group, "lanes"], groups["compress", "archives"])
        self.assertEqual(groups["hash", "files"], groups["hash", "archives"])
        self.assertGreaterEqual(groups["nightly", "scan"], 5)
        for line in results:
            with self.subTest(line["group"] + " " + line["variant"] + " " + line["form"]):
                self.assertTrue(line["verified"])
                self.assertEqual([len(line[width]["samples_ns"]) for width in ("one", "all")], [2, 2])
                self.assertEqual((line["one"]["threads"], line["all"]["threads"]), (1, 2))
                self.assertGreater(line["one"]["bytes_per_second"], 0)
                # The lanes together are the archive; files are a part of it.
                if line["form"] == "files":
                    self.assertLess(line["bytes"], decoded)
                else:
                    self.assertEqual(line["bytes"], decoded)
        by = {(line["group"], line["variant"], line["form"]): line for line in results}
        self.assertEqual(by["compress", "zlib -6", "archives"]["bytes_compressed"], stored)
        self.assertEqual(by["nightly", "as stored", "scan"]["bytes_compressed"], stored)
        self.assertEqual(by["nightly", "not compressed", "scan"]["bytes_compressed"], decoded)
        # Each kernel row that runs here is measured, and is what ran.
        rows = {line.split()[1]: line for line in harness.run(harness.VARVE, "--cpu=list").decode().splitlines()
                if line.startswith("sha256 ")}
        self.assertIn("scalar", rows)
        for row, line in rows.items():
            if "runs here" in line:
                kernels = by["hash", f"varve SHA-256 {row}", "files"]["kernels"]
                self.assertTrue(kernels.startswith(row + " ") or f", {row} " in kernels, kernels)
            else:
                self.assertIn(row, absent)

    def test_the_seed_decides(self):
        size = len(self.tars[0]) + 1000
        drawn = [self.lines("--only=hash", f"--sample={size}", f"--seed={seed}")[0]["sample"]
                 for seed in (1, 1, 2, 3, 4, 5, 6, 7)]
        self.assertEqual(drawn[0], drawn[1])
        self.assertTrue(all(sample["layers"] == 1 and sample["too_large"] >= 3 for sample in drawn))
        self.assertGreater(len({sample["bytes_stored"] for sample in drawn}), 1)

    def test_csv(self):
        text = self.bench("--csv", "--only=compression")
        rows = list(csv.DictReader(io.StringIO(text)))
        notes = {(row["group"], row["variant"]): row["form"] for row in rows if not row["seconds"]}
        summary = self.lines("--only=compression", "--rounds=1")
        self.assertEqual(notes["run", "cpu"], summary[0]["cpu"])
        self.assertEqual(notes["run", "zstd"], summary[0]["versions"]["zstd"])
        self.assertGreaterEqual(float(notes["run", "other_cpus"]), 0)
        self.assertEqual({variant for group, variant in notes if group == "absent"},
                         {line["variant"] for line in summary if line["type"] == "absent"})
        rows = [row for row in rows if row["seconds"]]
        by = collections.Counter((row["group"], row["variant"], row["form"], row["threads"])
                                 for row in rows)
        self.assertEqual(set(by.values()), {2})
        self.assertTrue(all(float(row["seconds"]) > 0 for row in rows))

    def test_plot(self):
        plot = self.work / "plot.svg"
        text = self.bench("--only=compression", f"--plot={plot}")
        root = xml.etree.ElementTree.parse(plot).getroot()
        titles = [title.text for title in root.iter(SVG + "title")]
        variants = text.count("±") // 2
        self.assertEqual(len(titles), variants)
        self.assertTrue(any("zstd -19 --long, lanes apart: ratio " in title for title in titles))
        self.assertIn("prefers-color-scheme:dark", root.find(SVG + "style").text)
        fronts = [path for path in root.iter(SVG + "path") if path.get("class") == "front"]
        self.assertEqual(len(fronts), 2)
        # Said before anything is measured, and nothing is left there.
        for options in (("--only=hash", f"--plot={self.work / 'none.svg'}"),
                        ("--only=compression", f"--plot={self.work / 'no' / 'none.svg'}")):
            self.assertEqual(self.bench(*options, expect=2), "")
        self.assertFalse((self.work / "none.svg").exists())

    def test_compare(self):
        lines = self.lines("--only=hash", "--rounds=5")
        old = self.work / "old.json"
        for line in lines:
            if line["type"] == "result" and "SHA2-512/256" in line["variant"]:
                line["one"]["samples_ns"] = [100 * ns for ns in line["one"]["samples_ns"]]
            if line["type"] == "result" and "SHA3-256" in line["variant"]:
                line["one"]["samples_ns"] = [1 for _ in line["one"]["samples_ns"]]
            if line["type"] == "result" and "BLAKE2B" in line["variant"]:
                line["variant"] = "nobody's"
        old.write_text("".join(json.dumps(line) + "\n" for line in lines))
        said = self.bench("--only=hash", "--rounds=5", f"--compare={old}")
        self.assertRegex(said, r"OpenSSL SHA2-512/256 +archives .*% +faster, p = 0.00")
        self.assertRegex(said, r"OpenSSL SHA3-256 +files .*% +SLOWER, p = 0.00")
        self.assertRegex(said, r"\d+ of \d+ variants changed beyond the noise")
        self.assertIn("2 results of the earlier run have no counterpart here", said)
        # Said before anything is measured.
        self.assertEqual(self.bench("--only=hash", f"--compare={self.work / 'missing'}", expect=2), "")
        # So is a file of something else, and a folder.
        foreign = self.work / "foreign.json"
        foreign.write_text('{"v":1,"type":"scan"}\n{"v":1,"type":"summary"}\n')
        for path in foreign, self.work:
            self.assertEqual(self.bench("--only=hash", f"--compare={path}", expect=2), "")
        # Two rounds against two can show nothing, and that is said.
        old.write_text("".join(json.dumps(line) + "\n" for line in lines[:-1]) + '{"v":1,"ty')
        said = self.bench("--only=hash", "--rounds=2", f"--compare={old}")
        self.assertIn("breaks off before its end", said)
        self.assertRegex(said, r"\d+ have too few rounds")

    def interrupted(self, number, after, *options):
        """Sends a signal once it has measured for so many CPU seconds; (exit code, stdout, stderr), and what it
        used after the signal."""
        out, error = self.work / "interrupted.out", self.work / "interrupted.err"
        with open(out, "wb") as to, open(error, "wb") as complaints, subprocess.Popen(
                [harness.VARVE, "bench", "--rounds=100", "--threads=2", "--progress=plain", *options,
                 self.large()], stdout=to, stderr=complaints) as process:
            begun, begins = time.monotonic(), None
            while process.poll() is None:
                # From the first task on: signals are waited for then.
                watched = int(re.search(r"SigCgt:\s*([0-9a-f]+)", pathlib.Path(
                    f"/proc/{process.pid}/status").read_text()).group(1), 16)
                begins = begins or (cpu_seconds(process) if watched >> (number - 1) & 1 else None)
                if begins is not None and cpu_seconds(process) - begins >= after:
                    break
                self.assertLess(time.monotonic() - begun, PATIENCE)
                time.sleep(0.01)
            before = cpu_seconds(process)
            process.send_signal(number)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            used = cpu_seconds(process) - before
            code = process.wait()
        return code, out.read_bytes().decode(), error.read_bytes().decode(), used

    def large(self):
        """Layers that take minutes to measure, each of them moments."""
        folder = self.work / "large"
        if not folder.exists():
            layout = oci.Layout(folder)
            tars = [make_tar(number) for number in [0, 1, 2, 3] * 30]
            layout.tag("one", layout.image([(layout.put(tar, oci.LAYER), oci.digest_of(tar)) for tar in tars]))
        return folder

    def test_signals(self):
        """They end it soon, wherever it is; what was measured by then is told whole, and so is it that it was
        interrupted. A picture of an earlier run stays."""
        plot = self.work / "before.svg"
        plot.write_text("from before")
        picture = f"--plot={plot}"
        for number, after, form in ((signal.SIGINT, 0, "--json"), (signal.SIGTERM, 0.2, "--csv"),
                                    (signal.SIGINT, 0.4, picture), (signal.SIGTERM, 0.8, "--json"),
                                    (signal.SIGINT, 1.2, "--csv"), (signal.SIGTERM, 1.6, picture)):
            with self.subTest(form, number=number, after=after):
                code, out, error, used = self.interrupted(number, after, form, "--only=compression")
                print(f"{form[:8]} after {after} s: ended after {used:.2f} s of CPU time")
                self.assertEqual(code, 128 + number, error)
                self.assertLess(used, CPU_SECONDS)
                self.assertNotIn("failed", error)
                if form == "--json":
                    lines = [json.loads(line) for line in out.splitlines()]
                    self.assertEqual((lines[0]["type"], lines[-1]["type"]), ("bench", "summary"))
                    self.assertTrue(lines[-1]["interrupted"])
                    # What was not measured claims nothing.
                    for line in lines:
                        if line["type"] == "result" and not line["verified"]:
                            self.assertNotIn("one", line)
                elif form == "--csv":
                    rows = list(csv.reader(io.StringIO(out)))
                    self.assertEqual({len(row) for row in rows}, {len(rows[0])})
                else:
                    self.assertIn("warning: interrupted", out)
                    self.assertIn("is left as it was", error)
                    self.assertEqual(plot.read_text(), "from before")
        self.assertEqual([path.name for path in self.work.iterdir() if path.name.startswith(".")], [])

    def test_other_programs_are_seen(self):
        """A program beside it that never rests is told of in figures and in words."""
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as beside:
            try:
                summary = self.lines("--only=hash")[-1]
                said = self.bench("--only=hash")
            finally:
                beside.kill()
        self.assertGreater(summary["other_cpus"], 0.1)
        self.assertRegex(said, r"warning: other programs kept \d+\.\d processors busy")

    def test_a_wrong_answer_is_seen(self):
        """A library that decompresses wrongly, put before the right one."""
        source = self.work / "wrong.c"
        source.write_text("""
            #include <stddef.h>
            size_t ZSTD_decompress(void *to, size_t room, const void *from, size_t bytes) {
                (void)room, (void)from, (void)bytes;
                *(char *)to = 1;
                return 4096;
            }""")
        library = self.work / "wrong.so"
        harness.run(harness.CC, "-shared", "-fPIC", "-o", library, source)
        said = self.bench("--only=compression", expect=2,
                          env=self.preload(library))
        for line in said.splitlines():
            if line.startswith(("zstd", "zlib")):
                self.assertEqual("WRONG ANSWER" in line or "FAILED" in line, line.startswith("zstd"), line)
        # What could not be verified is wrong; then there is nothing to decompress.
        self.assertRegex(said, r"zstd -3 +WRONG ANSWER")
        self.assertRegex(said, r"zstd -3 +FAILED")

    def preload(self, library):
        """LD_PRELOAD knows no quoting: a path with a space needs a link without."""
        link = pathlib.Path("/tmp") / f"varve-wrong-{os.getpid()}.so"
        link.symlink_to(library)
        self.addCleanup(link.unlink)
        return {**os.environ, "LD_PRELOAD": str(link)}

    def test_few_are_drawn_of_many(self):
        """Of layers that do not fit a hundred are looked at, not all there are."""
        layout = oci.Layout(self.work / "many")
        tars = [make_tar(0, seed) for seed in range(150)]  # of one size
        layers = [(layout.put(tar, oci.LAYER), oci.digest_of(tar)) for tar in tars]
        layout.tag("one", layout.image(layers))
        out = harness.run(harness.VARVE, "bench", "--json", "--rounds=1", "--only=hash",
                          f"--sample={len(tars[0]) + 1000}", layout.folder).decode()
        sample = json.loads(out.splitlines()[0])["sample"]
        self.assertEqual((sample["layers"], sample["too_large"], sample["source_layers"]), (1, 100, 150))

    def test_plot_of_zeros(self):
        """A ratio of thousands has no more lines across than any other."""
        layer, plot = self.work / "zeros.tar", self.work / "zeros.svg"
        layer.write_bytes(bytes(1 << 20))
        harness.run(harness.VARVE, "bench", "--rounds=1", "--threads=1", "--only=compression",
                    f"--plot={plot}", layer)
        grid = [path for path in xml.etree.ElementTree.parse(plot).getroot().iter(SVG + "path")
                if path.get("class") == "grid"]
        self.assertLess(len(grid), 100)

    def test_nothing_to_measure(self):
        self.bench("--sample=1000", expect=2)
        self.bench("--json", "--csv", expect=2)


if __name__ == "__main__":
    harness.main()
