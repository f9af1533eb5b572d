# SPDX-License-Identifier: Apache-2.0
"""`varve normalize` in a chroot without /proc, where files that have no name cannot be given one."""

import os
import pathlib
import shutil
import subprocess
import sys

sys.path[:0] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent)]
import harness
import make_layout

GOLDEN = harness.SOURCE / "corpora" / "golden"
CLEAN = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}


class WithoutProc(harness.Case):
    def test_same_files(self):
        enter = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
                 "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "-"]
        if not shutil.which("unshare") or subprocess.run([*enter, "true"], check=False,
                                                         capture_output=True).returncode:
            self.skipTest("unshare(1) cannot give a place without /proc here")
        layout = self.work / "layout"
        make_layout.main(layout)
        places = [self.work / "without", self.work / "with"]
        for place, prefix in zip(places, (enter, [])):
            place.mkdir()
            for source, target in ((f"oci:{layout}", f"oci:{place}/out"),
                                   (GOLDEN / "tree.tar", place / "layer.tar")):
                harness.run(*prefix, harness.VARVE, "normalize", source, "-o", target, env=CLEAN)
            # A failure leaves nothing, with a temporary name or without.
            harness.run(*prefix, harness.VARVE, "normalize", layout / "index.json", "-o",
                        place / "never", env=CLEAN, expect=1)
            self.assertEqual(sorted(path.name for path in place.iterdir()), ["layer.tar", "out"])
        harness.run("diff", "-r", *places)


if __name__ == "__main__":
    harness.main()
