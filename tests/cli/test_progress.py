# SPDX-License-Identifier: Apache-2.0
"""Progress on stderr: written over on a terminal, a line every 30 seconds as plain, silence else. A
clock that runs a hundred times as fast (clock.c, preloaded) spares the waiting."""

import os
import pathlib
import pty
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import harness

LINE = (r"[0-9]+\.[0-9] of ([0-9]+\.[0-9]|\?) MB, [0-9]+ of [0-9]+ layers, [0-9]+\.[0-9] MB/s, "
        r"([0-9]+|\?) s left")
BLOCK = bytes(range(256)) * 256


class Progress(harness.Case):
    def terminal(self):
        """Both sides of one."""
        try:
            return pty.openpty()
        except OSError as error:  # a chroot without /dev/pts
            return self.skipTest(f"no terminal to be had: {error}")

    def digest(self, *options, seconds=1.5, terminal=False, environment=None):
        """Digests what trickles in for so long; returns what came on stderr."""
        side = other = None
        if terminal:
            side, other = self.terminal()
        child = subprocess.Popen([harness.VARVE, "digest", *options, "-"], stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL, stderr=other or subprocess.PIPE,
                                 env=environment, cwd=self.work)
        said = []

        def listen():
            try:
                while chunk := os.read(side if terminal else child.stderr.fileno(), 65536):
                    said.append(chunk)
            except OSError: # the terminal's other side is closed
                pass
        listener = threading.Thread(target=listen)
        listener.start()
        if terminal:
            os.close(other)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            child.stdin.write(BLOCK)
            child.stdin.flush()
            time.sleep(0.01)
        child.stdin.close()
        self.assertEqual(child.wait(timeout=60), 0)
        listener.join()
        if terminal:
            os.close(side)
        else:
            child.stderr.close()
        return b"".join(said).decode()

    def test_silence(self):
        self.assertEqual(self.digest("--progress=none", terminal=True), "")
        self.assertEqual(self.digest(), "") # auto, and no terminal
        self.assertEqual(self.digest("--progress=plain"), "") # not yet 30 seconds

    def test_terminal(self):
        for options in ((), ("--json",), ("--progress=tty",)):
            said = self.digest(*options, terminal=True)
            *lines, last = said.split("\r")[1:]
            self.assertGreater(len(lines), 1, said)
            for line in lines:
                self.assertRegex(line, "^" + LINE + "\x1b\\[K$")
            # Nothing is left behind.
            self.assertEqual(last, "\x1b[K")
            # It moves.
            self.assertGreater(len(set(lines)), 1)
            # How much there will be on standard input, nobody knows.
            self.assertIn(" of ? MB", said)
            self.assertIn("? s left", said)

    def test_plain(self):
        if os.environ.get("VARVE_SANITIZE"):
            self.skipTest("a sanitizer's run-time library would have to be preloaded, too")
        clock = self.work / "clock.so"
        harness.run(harness.CC, "-shared", "-fPIC", "-o", clock,
                    pathlib.Path(__file__).parent / "clock.c")
        begin = time.monotonic()
        said = self.digest("--progress=plain", seconds=2,
                           environment=dict(os.environ, LD_PRELOAD="./clock.so"))
        lines = said.splitlines()
        # A second is a hundred: six lines, but for a machine that is busy with other things.
        self.assertGreater(len(lines), 1, said)
        self.assertLessEqual(len(lines), (time.monotonic() - begin) * 100 / 30, said)
        for line in lines:
            self.assertRegex(line, "^varve: " + LINE + "$")
        done = [float(re.search(r"[0-9.]+", line).group()) for line in lines]
        self.assertEqual(done, sorted(set(done)))

    def test_what_is_known_is_told(self):
        """A file's size is known, and so is when it will be done."""
        with open(self.work / "file", "wb") as file:
            file.truncate(3 << 30)
        side, other = self.terminal()
        with subprocess.Popen([harness.VARVE, "digest", "--rungs=blob", "--cpu=scalar", self.work / "file"],
                              stdout=subprocess.DEVNULL, stderr=other) as child:
            os.close(other)
            said = b""
            while said.count(b"left") < 3:
                said += os.read(side, 65536)
            child.terminate()
        os.close(side)
        self.assertIn(b" of 3221.2 MB, 0 of 1 layers", said)
        self.assertRegex(said.decode(), r"MB/s, [0-9]+ s left")


if __name__ == "__main__":
    harness.main()
