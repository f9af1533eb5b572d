# SPDX-License-Identifier: Apache-2.0
"""The whole scan against the floor, as whole processes, interleaved in one run.

    pipeline.py VARVE FLOOR CORPUS [--rounds N] [--json FILE]

CORPUS is what corpora/packages.py makes. Every round runs every command once, one after the other; figures
are CPU seconds (user + system, children included) and wall seconds, and ratios are formed within a round,
so that a machine that slows down slows both sides. Medians are shown, with the least and greatest. Every
answer is verified: decoded bytes against the floor's count, diffids against `zcat | sha256sum`.
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


def blobs_of(layout):
    """Paths of the layer blobs of a layout, largest first."""
    blobs = layout / "blobs"

    def load(descriptor):
        return json.loads((blobs / descriptor["digest"].replace(":", "/")).read_bytes())
    index = json.loads((layout / "index.json").read_bytes())
    digests = {layer["digest"] for manifest in index["manifests"]
               for layer in load(manifest)["layers"]}
    paths = [blobs / digest.replace(":", "/") for digest in digests]
    return sorted(paths, key=lambda path: (-path.stat().st_size, path.name))


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
    return cpu, wall, texts


class Bench:
    def __init__(self, options, kind):
        self.options = options
        self.kind = kind
        self.layout = options.corpus / kind
        self.paths = blobs_of(self.layout)
        self.samples = {}
        self.diffids = {}
        with tempfile.NamedTemporaryFile("w", delete=False) as out:
            out.write("".join(f"{path}\0" for path in self.paths))
            self.list = out.name

    def commands(self):
        varve, floor = self.options.varve, self.options.floor
        scan = [varve, "scan", "--json", "--progress=none"]
        halves = [self.paths[0::2], self.paths[1::2]]
        yield "ladder, 1 thread", [[*scan, "--threads=1", self.layout]]
        yield "floor, 1 process", [[floor, *self.paths]]
        yield "blob+diffid, 1 thread", [[*scan, "--threads=1", "--rungs=diffid", self.layout]]
        yield "ladder, 2 threads", [[*scan, "--threads=2", self.layout]]
        yield "floor, 2 processes", [[floor, *half] for half in halves]
        filters = {"gzip": ["zcat", "pigz -dc", "igzip -dc"], "zstd": ["zstd -dcq"]}[self.kind]
        for decoder in filters:
            if shutil.which(decoder.split()[0]):
                yield f"{decoder} | sha256sum, 2 at once", [
                    ["xargs", "-0", "-a", self.list, "-P2", "-I{}", "sh", "-c",
                     f'echo "$({decoder} < "$1" | sha256sum)" "$1"', "sh", "{}"]]
            else:
                print(f"SKIPPED: {decoder}: not installed", file=sys.stderr)

    def verify(self, name, texts):
        if name.startswith("floor"):
            self.expect("bytes", sum(int(text) for text in texts))
            return
        if "sha256sum" in name:
            for line in texts[0].decode().splitlines():
                digest, _, path = line.split(maxsplit=2)
                self.expect(os.path.basename(path), digest)
            return
        lines = [json.loads(line) for line in texts[0].splitlines()]
        self.expect("bytes", lines[-1]["bytes_decoded"])
        for line in lines:
            if line["type"] == "layer":
                self.expect(line["name"].partition(":")[2],
                            line["rungs"]["diffid"].partition(":")[2])

    def expect(self, what, value):
        if self.diffids.setdefault(what, value) != value:
            sys.exit(f"{what}: {value}, not {self.diffids[what]}: the answers differ")

    def run(self):
        for number in range(self.options.rounds + 1):
            for name, commands in self.commands():
                if number == 0 and "sha256sum" in name:
                    continue  # the first round only warms the page cache
                cpu, wall, texts = measure(*commands)
                self.verify(name, texts)
                if number:
                    self.samples.setdefault(name, []).append((cpu, wall))
        os.unlink(self.list)

    def ratio(self, over, under, column):
        ratios = [a[column] / b[column] for a, b in zip(self.samples[over], self.samples[under])]
        return statistics.median(ratios), min(ratios), max(ratios)

    def show(self):
        decoded = self.diffids["bytes"]
        print(f"\n{self.kind}: {len(self.paths)} layers, {decoded / 1e6:.0f} MB decoded, "
              f"{self.options.rounds} rounds")
        print(f"{'':34} {'CPU s':>8} {'wall s':>8} {'CPU / floor':>22}")
        for name, samples in self.samples.items():
            cpu = statistics.median(sample[0] for sample in samples)
            wall = statistics.median(sample[1] for sample in samples)
            middle, least, most = self.ratio(name, "floor, 1 process", 0)
            print(f"{name:34} {cpu:8.2f} {wall:8.2f}    {middle:6.3f} ({least:.3f}-{most:.3f})")
        scale, _, _ = self.ratio("ladder, 1 thread", "ladder, 2 threads", 1)
        floor, _, _ = self.ratio("floor, 1 process", "floor, 2 processes", 1)
        print(f"speed of 2 threads over 1: {scale:.3f}; of two floor processes over one: {floor:.3f}; "
              f"share {scale / floor:.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("varve", type=pathlib.Path)
    parser.add_argument("floor", type=pathlib.Path)
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", choices=["gzip", "zstd"], action="append")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    raw = {}
    for kind in options.kind or ["gzip", "zstd"]:
        bench = Bench(options, kind)
        bench.run()
        bench.show()
        raw[kind] = bench.samples
    if options.json:
        options.json.write_text(json.dumps(raw, indent=1))


if __name__ == "__main__":
    main()
