# SPDX-License-Identifier: Apache-2.0
"""The whole scan against the floor, as whole processes, interleaved in one run.

    pipeline.py VARVE FLOOR CORPUS [--part PART]... [--rounds N] [--warm] [--json FILE]

CORPUS holds what corpora/packages.py (gzip/, zstd/) and corpora/extremes.py (small/, large/) make; parts are
gzip, zstd, small, large-gzip and large-zstd, each of them some minutes at most. Every round runs every
command once, one after the other; figures are CPU seconds (user + system, children included) and wall
seconds, and ratios are formed within a round, so that a machine that slows down slows both sides. Medians are
shown, with the least and greatest. A first round, not counted, brings the files into the page cache; --warm says
that they are there already. --json keeps every sample, the CPU seconds of a scan's stations too. Every answer is verified: decoded bytes against the floor's count, diffids
against `zcat | sha256sum` and against what the image's config claims.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

FLOOR = "floor, 1 process"


def load(layout, digest):
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())


def layers_of(layout):
    """The layers of a layout, largest first, and the diffid that is claimed of each: (path, diffid)."""
    found = {}
    for manifest in json.loads((layout / "index.json").read_bytes())["manifests"]:
        image = load(layout, manifest["digest"])
        diffids = load(layout, image["config"]["digest"])["rootfs"]["diff_ids"]
        found.update({layer["digest"]: (layer["size"], diffid)
                      for layer, diffid in zip(image["layers"], diffids)})
    ordered = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    return [(layout / "blobs" / digest.replace(":", "/"), diffid)
            for digest, (_, diffid) in ordered]


def blobs_of(layout):
    """Paths of the layer blobs of a layout, largest first."""
    return [path for path, _ in layers_of(layout)]


def measure(*commands):
    """Runs commands side by side: (CPU seconds of all, wall seconds, their outputs)."""
    outputs = [tempfile.TemporaryFile() for _ in commands]
    start = time.monotonic()
    running = [subprocess.Popen([str(word) for word in command], stdout=out)
               for command, out in zip(commands, outputs)]
    cpu = 0.0
    for process in running:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime
        if process.returncode:
            sys.exit(f"{process.args[:4]} ended with {process.returncode}")
    wall = time.monotonic() - start
    texts = []
    for out in outputs:
        out.seek(0)
        texts.append(out.read())
        out.close()
    return cpu, wall, texts


class Bench:
    """One part: its commands, their samples, their answers."""

    folder = None
    filters = []

    def __init__(self, options, work):
        self.options = options
        self.layout = options.corpus / self.folder
        layers = layers_of(self.layout)
        self.paths = [path for path, _ in layers]
        self.samples = {}
        self.runs = {}
        self.stations = {}
        self.answers = {path.name: diffid.partition(":")[2] for path, diffid in layers}
        self.lists = [self.write_list(work / f"list{number}", paths) for number, paths in
                      enumerate([self.paths, self.paths[0::2], self.paths[1::2]])]

    @staticmethod
    def write_list(path, paths):
        path.write_text("".join(f"{path}\0" for path in paths))
        return path

    def scan(self, *options):
        return [[self.options.varve, "scan", "--json", "--progress=none", *options, self.layout]]

    def floor(self, *lists):
        return [[self.options.floor, "--files0-from", path] for path in lists]

    def digests(self, *lists):
        return [[self.options.varve, "digest", "--json", "--progress=none", "--threads=1", f"--files0-from={path}"]
                for path in lists]

    def filter(self, decoder):
        script = f'echo "$({decoder} < "$1" | sha256sum)" "$1"'
        return [["xargs", "-0", "-a", self.lists[0], "-P2", "-I{}", "sh", "-c", script, "sh", "{}"]]

    def commands(self):
        yield "ladder, 1 thread", self.scan("--threads=1")
        yield FLOOR, self.floor(self.lists[0])
        yield "blob+diffid, 1 thread", self.scan("--threads=1", "--rungs=diffid")
        yield "ladder, 2 threads", self.scan("--threads=2")
        yield "floor, 2 processes", self.floor(*self.lists[1:])
        # What two cores give at most, beside each other: two scans that share nothing but the machine.
        yield "ladder, 2 processes", self.digests(*self.lists[1:])
        for decoder in self.filters:
            if shutil.which(decoder.split()[0]):
                yield f"{decoder} | sha256sum, 2 at once", self.filter(decoder)
            else:
                print(f"SKIPPED: {decoder}: not installed", file=sys.stderr)

    def verify(self, name, texts):
        if name.startswith("floor"):
            self.expect("bytes", sum(int(text) for text in texts))
        elif "sha256sum" in name:
            lines = [line.split(maxsplit=2) for line in texts[0].decode().splitlines()]
            self.expect("layers", len(lines))
            for digest, _, path in lines:
                self.expect(os.path.basename(path), digest)
        else:
            lines = [json.loads(line) for text in texts for line in text.splitlines()]
            layers = [line for line in lines if line["type"] == "layer"]
            self.expect("layers", len(layers))
            self.expect("bytes", sum(line["bytes_decoded"] for line in lines if line["type"] == "summary"))
            if len(texts) == 1:
                self.runs[name] = lines[-1]["run"]
            for layer in layers:  # named by digests, or by paths
                self.expect(os.path.basename(layer["name"]).rpartition(":")[2],
                            layer["rungs"]["diffid"].partition(":")[2])

    def expect(self, what, value):
        if self.answers.setdefault(what, value) != value:
            sys.exit(f"{what}: {value}, not {self.answers[what]}: the answers differ")

    def run(self):
        self.answers["layers"] = len(self.paths)
        for number in range(1 if self.options.warm else 0, self.options.rounds + 1):
            for name, commands in self.commands():
                if number == 0 and "sha256sum" in name:
                    continue  # the first round only warms the page cache
                cpu, wall, texts = measure(*commands)
                self.verify(name, texts)
                if number:
                    self.samples.setdefault(name, []).append((cpu, wall))
                if number and name in self.runs:
                    self.stations.setdefault(name, []).append(self.runs[name]["cpu_seconds"])

    def ratio(self, over, under, column):
        ratios = [a[column] / b[column] for a, b in zip(self.samples[over], self.samples[under])]
        return statistics.median(ratios), min(ratios), max(ratios)

    def show_table(self):
        decoded = self.answers["bytes"]
        print(f"\n{self.folder}: {len(self.paths)} layers, {decoded / 1e6:.0f} MB decoded, "
              f"{self.options.rounds} rounds")
        print(f"{'':34} {'CPU s':>8} {'wall s':>8} {'CPU / floor':>22}")
        for name, samples in self.samples.items():
            cpu = statistics.median(sample[0] for sample in samples)
            wall = statistics.median(sample[1] for sample in samples)
            middle, least, most = self.ratio(name, FLOOR, 0)
            print(f"{name:34} {cpu:8.2f} {wall:8.2f}    {middle:6.3f} ({least:.3f}-{most:.3f})")
        for name, run in self.runs.items():
            print(f"{name}: " + ", ".join(f"{station} {seconds:.2f}"
                                          for station, seconds in run["cpu_seconds"].items()))

    def show(self):
        self.show_table()
        scale, _, _ = self.ratio("ladder, 1 thread", "ladder, 2 threads", 1)
        floor, _, _ = self.ratio(FLOOR, "floor, 2 processes", 1)
        print(f"speed of 2 threads over 1: {scale:.3f}; of two floor processes over one: {floor:.3f}; "
              f"share {scale / floor:.3f}")
        alone, least, most = self.ratio("ladder, 1 thread", "ladder, 2 processes", 1)
        print(f"speed of two scans side by side over one: {alone:.3f} ({least:.3f}-{most:.3f}); "
              f"of 2 threads over theirs: {scale / alone:.3f}")


class Gzip(Bench):
    folder = "gzip"
    filters = ["zcat", "pigz -dc", "igzip -dc"]


class Zstd(Bench):
    folder = "zstd"
    filters = ["zstd -dcq"]


class Small(Bench):
    folder = "small"

    def commands(self):
        yield "ladder, 1 thread", self.scan("--threads=1")
        yield FLOOR, self.floor(self.lists[0])
        yield "ladder of loose files, 1 thread", self.digests(self.lists[0])

    def verify(self, name, texts):
        if "loose" in name:  # named by paths: the diffids are the same
            lines = [json.loads(line) for line in texts[0].splitlines()]
            self.expect("bytes", lines[-1]["bytes_decoded"])
            for line in lines:
                if line["type"] == "layer":
                    self.expect(os.path.basename(line["name"]), line["rungs"]["diffid"][7:])
            return
        super().verify(name, texts)

    def show(self):
        self.show_table()
        for name, samples in self.samples.items():
            cpu = statistics.median(sample[0] for sample in samples)
            print(f"{name}: {len(self.paths) / cpu:.0f} layers a second of CPU time")


class Large(Bench):
    def commands(self):
        yield "ladder, 1 thread", self.scan("--threads=1")
        yield FLOOR, self.floor(self.lists[0])
        yield "ladder, 2 threads", self.scan("--threads=2")

    def show(self):
        self.show_table()
        scale, least, most = self.ratio("ladder, 1 thread", "ladder, 2 threads", 1)
        print(f"speed of 2 threads over 1: {scale:.3f} ({least:.3f}-{most:.3f})")


class LargeGzip(Large):
    folder = "large/gzip"


class LargeZstd(Large):
    folder = "large/zstd"


PARTS = {"gzip": Gzip, "zstd": Zstd, "small": Small, "large-gzip": LargeGzip,
         "large-zstd": LargeZstd}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("varve", type=pathlib.Path)
    parser.add_argument("floor", type=pathlib.Path)
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    raw = {}
    for part in options.part or PARTS:
        with tempfile.TemporaryDirectory() as work:
            bench = PARTS[part](options, pathlib.Path(work))
            bench.run()
            bench.show()
            raw[part] = {"layers": len(bench.paths), "bytes": bench.answers["bytes"],
                         "samples": bench.samples, "stations": bench.stations}
    if options.json:
        options.json.write_text(json.dumps(raw, indent=1))


if __name__ == "__main__":
    main()
