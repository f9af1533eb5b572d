# SPDX-License-Identifier: Apache-2.0
"""Every call fails in turn in commands that write files and folders, and in `varve bench`: what is written
is whole or not there, nothing is left beside it, and no layer is blamed for a fault of the machine."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import inject
import mirrors

import harness
import oci
import stores

ONCE, TWICE, ON = 1, 2, 0
READING = [("memory", "ENOMEM", ONCE), ("memory", "ENOMEM", ON), ("open", "EMFILE", ONCE),
           ("open", "EMFILE", ON), ("open", "EIO", ONCE), ("read", "EIO", ONCE), ("read", "EIO", ON),
           ("stat", "EIO", ONCE), ("thread", "EIO", ONCE)]
# EEXIST: each name that is tried is taken.
WRITING = [("settle", "EEXIST", ON), ("write", "ENOSPC", ONCE), ("write", "ENOSPC", ON), ("write", "EIO", ONCE),
           ("settle", "ENOSPC", ONCE), ("settle", "EIO", ON)]
TRANSPARENT = [("read", "EINTR", TWICE), ("read", "short", ONCE), ("read", "short", ON),
               ("write", "EINTR", TWICE), ("write", "short", ONCE), ("write", "short", ON),
               ("nameless", "EOPNOTSUPP", ON), ("nameless", "EOPNOTSUPP", ONCE)]
ENDS = (0, 2, 3)


def files_of(path):
    """What lies there: a file's bytes, or a folder's files by path; None where nothing does."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes()
                for file in sorted(path.rglob("*")) if file.is_file()}
    return path.read_bytes() if path.exists() else None


class WritingCase(harness.Case):
    """Commands that are given names in a folder of their own to write."""

    def fails(self, argv, names, kinds, most, depends=(), same=False, empty=(), heals=False):
        """`depends`: pairs of names of which the first is there wherever the second is. `same`: the faults
        must not be seen. `empty`: names of folders that are there before. `heals`: whatever a failure left, the
        next run takes it away and writes what there is to be written."""
        campaign = inject.Campaign(self)
        home = campaign.folder()
        plain = [str(word).replace("{folder}", str(home)) for word in argv]
        for name in empty:
            (home / name).mkdir()
        first = inject.start(plain, inject.NONE, self.work / "page")
        self.assertEqual(first.code, 0, first)
        whole = {name: files_of(home / name) for name in names}
        self.assertNotIn(None, whole.values())
        said = first.out.replace(str(home).encode(), b"@")

        def prepare(folder):
            for path in folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            for name in empty:
                (folder / name).mkdir()

        def check(run, folder):
            there = {path.name for path in folder.iterdir()} - {"page"}
            if not there.issuperset(empty):
                raise inject.Broken(f"{run}an empty folder was taken away")
            half = []
            for name in empty:
                # What could not be taken back either is no whole layout.
                begun = (run.code and run.fault.count == ON and files_of(folder / name) != whole[name]
                         and not (folder / name / "index.json").exists())
                if begun or not list((folder / name).iterdir()):
                    there.remove(name)
                half += list((folder / name).iterdir()) if begun else []
            left = there - set(names)
            # Where memory and descriptors are refused to the end, a folder cannot be walked any more.
            told = run.fault.count == ON and all(name.encode() in run.err for name in left)
            if left and not told:
                raise inject.Broken(f"{run}left behind: {left}")
            there -= left
            for name in there:
                if files_of(folder / name) != whole[name]:
                    raise inject.Broken(f"{run}wrote something else as {name}")
            for earlier, later in depends:
                if later in there and earlier not in there:
                    raise inject.Broken(f"{run}{later} is there and {earlier} is not")
            if run.code not in ((0,) if same else ENDS):
                raise inject.Broken(f"{run}that is no exit code for it")
            if run.code == 0 and there != set(names):
                raise inject.Broken(f"{run}says that it wrote, and did not")
            if run.code == 0 and run.out.replace(str(folder).encode(), b"@") != said:
                raise inject.Broken(f"{run}said\n{run.out[:400]}\ninstead of\n{first.out[:400]}")
            if run.code != 0 and b"varve: " not in run.err:
                raise inject.Broken(f"{run}no word of why")
            if heals and (left or half):
                heal(run, folder)

        def heal(run, folder):
            words = [str(word).replace("{folder}", str(folder)) for word in argv]
            again = subprocess.run([inject.FAULTY, *words], capture_output=True, check=False, timeout=inject.SECONDS)
            if again.returncode or any(files_of(folder / name) != whole[name] for name in names):
                raise inject.Broken(f"{run}the next run does not mend it: {again.stderr}")
            if {path.name for path in folder.iterdir()} - {"page"} != set(names):
                raise inject.Broken(f"{run}the next run leaves something: {list(folder.iterdir())}")

        campaign.in_turn(argv, first, [kind for kind in kinds if first.calls[kind[0]]], most,
                         check, prepare=prepare)
        campaign.end()


class Written(WritingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.layers = cls.work / "layers"
        cls.layers.mkdir()
        files = {"etc/a": b"a\n" * 300, "etc/deep/er/b": b"b\n" * 900, "srv/noise": mirrors.noise(70000),
                 "top": b"x"}
        cls.tar = stores.tar_of(files)
        for name, data in (("plain.tar", cls.tar), ("packed.gz", stores.packed(cls.tar)),
                           ("packed.zst", mirrors.zstd(cls.tar))):
            (cls.layers / name).write_bytes(data)
        harness.run(harness.VARVE, "split", cls.layers / "plain.tar", "-o", cls.work / "data",
                    "--files", cls.work / "files")
        made = oci.Layout(cls.work / "layout")
        good = list(mirrors.layers(made))[:3]
        made.tag("one:1", made.image(good[:2], created="2024-05-05T01:02:03Z"))
        made.tag("many:1", made.index([made.image(good[1:], docker=True)]))
        # What is copied as it is: a layer named by a sha512, and an artifact that refers to an image.
        odd = made.put(stores.packed(stores.TOP), stores.GZIP, algorithm="sha512")
        made.tag("odd:1", made.image([(odd, stores.sha256(stores.TOP))]))
        made.top.append(made.put_json({
            "schemaVersion": 2, "mediaType": oci.MANIFEST, "artifactType": "application/vnd.example",
            "config": made.put(b"{}", "application/vnd.oci.empty.v1+json"),
            "layers": [made.put(b"a signature", "application/vnd.example.data")],
            "subject": {key: made.top[0][key] for key in ("mediaType", "digest", "size")}},
            oci.MANIFEST))
        made.tag("last:1", made.top[0])
        cls.layout = f"oci:{made.folder}"

    def split(self, layer, kinds, most, **more):
        argv = ["split", "--json", layer, "-o", "{folder}/data", "--files", "{folder}/files"]
        self.fails(argv, ("files", "data"), kinds, most, [("files", "data")], **more)

    def join(self, kinds, most, *options, **more):
        argv = ["join", "--json", self.work / "data", self.work / "files", "-o", "{folder}/out", *options]
        self.fails(argv, ("out",), kinds, most, **more)

    def layouts(self, kinds, most, *options, **more):
        argv = ["normalize", "--json", self.layout, "-o", "oci:{folder}/out", *options]
        self.fails(argv, ("out",), kinds, most, heals=True, **more)

    def test_split(self):
        for name in ("packed.gz", "plain.tar"):
            with self.subTest(name):
                self.split(self.layers / name, READING + WRITING, 12)
        self.split(mirrors.GOLDEN / "tree-pax.tar", [("memory", "ENOMEM", ONCE)], 7)

    def test_split_without_files(self):
        self.fails(["split", self.layers / "packed.zst", "-o", "{folder}/data"], ("data",),
                   READING + WRITING, 8)

    def test_join(self):
        for options in ([], ["--compress=gzip"], ["--compress=zstd:3"]):
            with self.subTest(options):
                self.join(READING + WRITING, 8, *options)

    def test_layouts(self):
        for options in (["--threads=1"], ["--threads=2", "--compress=gzip", "--mtime=5"]):
            with self.subTest(options):
                self.layouts(READING + WRITING, 10, *options)

    def killed(self, out, call):
        """Writes the layout into a folder, killed before the call of that number that makes, names or syncs
        something. False: it was done before."""
        environment = {**os.environ, "VARVE_FAULT": f"settle {call} 1 kill"}
        done = subprocess.run([inject.FAULTY, "normalize", self.layout, "--threads=1", "-o", f"oci:{out}"],
                              env=environment, capture_output=True, check=False, timeout=inject.SECONDS)
        self.assertIn(done.returncode, (0, -signal.SIGKILL), done.stderr)
        return done.returncode != 0

    def test_killed_within_a_folder(self):
        """Whatever a killed run left in a folder that was there before, the next one takes away, be it killed
        as well; what is whole it leaves alone."""
        argv = ["normalize", self.layout, "--threads=1"]
        out, parts = self.work / "mine", {"blobs", "oci-layout", "index.json"}
        out.mkdir()
        first = inject.start([*argv, "-o", f"oci:{out}"], inject.NONE, self.work / "page")
        whole, total, states = files_of(out), first.calls["settle"], set()
        last = total - 16  # from there on what was written is synced and moved to its place
        for call in [*range(1, last, 1 if inject.LONG else 7), *range(last, total + 1)]:
            shutil.rmtree(out)
            out.mkdir()
            self.assertTrue(self.killed(out, call))
            there = set(os.listdir(out)) & parts
            states.add(frozenset(there))
            if "index.json" not in there:
                again = self.killed(out, 1 + call * 7 % total)
                if not again or "index.json" in os.listdir(out):
                    there = parts
                else:
                    harness.run(harness.VARVE, *argv, "-o", f"oci:{out}")
            if "index.json" in there:
                # All of it was there when it was killed, and perhaps a folder that has done its duty.
                rest = set(os.listdir(out)) - parts
                self.assertEqual([os.listdir(out / name) for name in rest if name.endswith(".tmp")],
                                 [[]] * len(rest))
                harness.run(harness.VARVE, *argv, "-o", f"oci:{out}", expect=2)
            else:
                self.assertEqual(set(os.listdir(out)), parts)
            self.assertEqual(files_of(out), whole, (call, there))
        print(f"{total} calls; what was there when it was killed: {sorted(map(sorted, states))}")
        self.assertEqual(states, {frozenset(), frozenset({"blobs"}), frozenset({"blobs", "oci-layout"}),
                                  frozenset(parts)})

    def test_killed_beside_a_free_name(self):
        """So it is with what a killed run left beside a folder that was not there."""
        argv = ["normalize", self.layout, "--threads=1"]
        home = self.work / "beside"
        out = home / "out"
        home.mkdir()
        first = inject.start([*argv, "-o", f"oci:{out}"], inject.NONE, self.work / "page")
        whole, total, left = files_of(out), first.calls["settle"], set()
        last = total - 8
        for call in [*range(1, last, 1 if inject.LONG else 7), *range(last, total + 1)]:
            shutil.rmtree(home)
            home.mkdir()
            self.assertTrue(self.killed(out, call))
            left.add((out.exists(), len(os.listdir(home))))
            if not out.exists() and self.killed(out, 1 + call * 7 % total):
                self.assertLessEqual(len(os.listdir(home)), 1) # what the first left is gone
            if not out.exists():
                harness.run(harness.VARVE, *argv, "-o", f"oci:{out}")
            self.assertEqual((os.listdir(home), files_of(out)), (["out"], whole), call)
        self.assertEqual(left, {(False, 0), (False, 1), (True, 1)})

    def test_nothing_else_is_replaced(self):
        """The file that is read, a link and a pipe stay what they are, whatever cannot be asked of them."""
        home = self.work / "replaced"
        layer, other = home / "layer.tar", home / "other.tar"
        link, pipe = home / "link.tar", home / "pipe"
        home.mkdir()
        link.symlink_to(other)
        os.mkfifo(pipe)
        keeper = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        layer.write_bytes(stores.BASE) # a pipe holds all of it
        harness.run(harness.VARVE, "split", layer, "-o", home / "data", "--files", home / "files")
        told = 0
        for words, kept in ((["split", layer, "-o", layer], layer), (["join", layer, home / "files", "-o", layer], layer),
                            (["normalize", "-o", link, layer], link), (["normalize", "-o", pipe, layer], pipe)):
            for kind in ("stat", "memory"):
                for call in range(1, 40):
                    layer.write_bytes((home / "data").read_bytes() if words[0] == "join" else stores.BASE)
                    other.write_bytes(b"other")
                    before = layer.read_bytes()
                    run = inject.start(words, inject.Fault(kind, call, "EIO" if kind == "stat" else "ENOMEM"),
                                       self.work / "page")
                    self.assertEqual(layer.read_bytes(), before, run)
                    self.assertTrue(link.is_symlink() and pipe.is_fifo(), run)
                    self.assertTrue(run.code or kept != layer, run)
                    told += b"cannot be told" in run.err
                    try:
                        while os.read(keeper, 1 << 16):
                            pass
                    except BlockingIOError:
                        pass
        os.close(keeper)
        self.assertGreater(told, 2)

    def test_half_written(self):
        """What was moved to its place and cannot be taken back stays, is no layout, and the next run mends it."""
        out = self.work / "half"
        argv = ["normalize", self.layout, "--threads=1", "-o", f"oci:{out}"]
        out.mkdir()
        total = inject.start(argv, inject.NONE, self.work / "page").calls["settle"]
        whole, halves = files_of(out), 0
        for call in range(total - 8, total):
            shutil.rmtree(out)
            out.mkdir()
            run = inject.start(argv, inject.Fault("settle", call, "EIO", ON), self.work / "page")
            self.assertEqual(run.code, 2, run)
            half = b"stays half written" in run.err
            halves += half
            if files_of(out) != whole: # else it is there, though it may not be so after a crash
                self.assertEqual(half, any(not path.name.startswith(".") for path in out.iterdir()), run)
                self.assertFalse((out / "index.json").exists())
                harness.run(harness.VARVE, *argv)
            self.assertEqual(files_of(out), whole, run)
        self.assertGreater(halves, 1)

    def test_what_is_not_dead(self):
        """What another one is writing beside a free name stays, and so does what is not known to be ours."""
        home = self.work / "alive"
        temporary = home / ".out.0123456789abcdef.tmp"
        argv = [harness.VARVE, "normalize", self.layout, "-o", f"oci:{home}/out"]
        for name in (".out.0123456789abcdef.tmp/mine", ".out.0123456789abcdef.tmp/blobs/x|.out.0123456789abcdef.tmp/mine/",
                     ".out.0123456789abcdef.tmp", ".out.0123456789abcdeg.tmp/", ".other.0123456789abcdef.tmp/",
                     "out.0123456789abcdef.tmp/", ".out.0123456789abcdef.tmp.1/", ".out.x.0123456789abcdef.tmp/"):
            with self.subTest(name):
                shutil.rmtree(home, ignore_errors=True)
                home.mkdir()
                for part in name.split("|"):
                    path = home / part
                    (path if part.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
                    if not part.endswith("/"):
                        path.write_text("mine")
                before = sorted(home.rglob("*"))
                harness.run(*argv)
                shutil.rmtree(home / "out")
                self.assertEqual(sorted(home.rglob("*")), before)
        shutil.rmtree(home)
        (temporary / "blobs/sha256").mkdir(parents=True)
        (temporary / ".blob.0123456789abcdef.tmp").write_text("half a blob")
        with subprocess.Popen(["flock", temporary, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            holder.stdin.write(b"held\n")
            holder.stdin.flush()
            holder.stdout.readline()
            harness.run(*argv)
            self.assertTrue(temporary.is_dir())
            holder.stdin.close()
        shutil.rmtree(home / "out")
        done = subprocess.run(argv, capture_output=True, check=True)
        self.assertIn(b"what a run that was cut short had left is taken away", done.stderr)
        self.assertEqual(os.listdir(home), ["out"])

    def test_two_at_once(self):
        """One that is halfway holds what it writes: another run to the same place lets it be."""
        home = self.work / "two"
        home.mkdir()
        argv = ["normalize", self.layout, "--threads=1", "-o", f"oci:{home}/out"]
        total = inject.start(argv, inject.NONE, self.work / "page").calls["settle"]
        whole = files_of(home / "out")
        shutil.rmtree(home / "out")
        environment = {**os.environ, "VARVE_FAULT": f"settle {total // 2} 1 stop"}
        with subprocess.Popen([inject.FAULTY, *argv], env=environment, stderr=subprocess.PIPE) as halfway:
            os.waitid(os.P_PID, halfway.pid, os.WSTOPPED)
            [held] = os.listdir(home)
            harness.run(harness.VARVE, *argv)
            self.assertEqual(set(os.listdir(home)), {held, "out"})
            halfway.send_signal(signal.SIGCONT)
            said = halfway.communicate()[1]
        self.assertEqual(halfway.returncode, 2)
        self.assertIn(b"cannot write", said)
        self.assertEqual((os.listdir(home), files_of(home / "out")), (["out"], whole))

    def test_what_no_killed_run_left(self):
        """Anything else in the folder stays as it is, and so does all of it while another program writes."""
        argv = [harness.VARVE, "normalize", self.layout, "-o", f"oci:{self.work}/other"]
        out = self.work / "other"
        temporary = ".other.0123456789abcdef.tmp"
        for names in ((temporary, "mine"), (temporary, "blobs/"), (temporary + "/index.json", "blobs/x", "index.json"),
                      (temporary + "x",), (".other.0123456789abcdeg.tmp/",), ("0123456789abcdef.tmp/",),
                      (temporary,), (temporary + "/index.json", "blobs/", "oci-layout", temporary + "/blobs/")):
            with self.subTest(names):
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                for name in names:
                    path = out / name
                    (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
                    if not name.endswith("/"):
                        path.write_text("mine")
                before = sorted(str(path) for path in out.rglob("*"))
                harness.run(*argv, expect=2)
                self.assertEqual(sorted(str(path) for path in out.rglob("*")), before)
        shutil.rmtree(out)
        (out / temporary / "deep").mkdir(parents=True)
        with subprocess.Popen(["flock", out, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            holder.stdin.write(b"held\n")
            holder.stdin.flush()
            holder.stdout.readline()
            done = subprocess.run(argv, capture_output=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"another program is writing to it", done.stderr)
            self.assertTrue((out / temporary / "deep").is_dir())
            holder.stdin.close()
        harness.run(*argv)
        self.assertEqual(set(os.listdir(out)), {"blobs", "oci-layout", "index.json"})

    def test_into_empty_folders(self):
        kinds = READING + WRITING
        self.fails(["split", "--json", self.layers / "packed.gz", "-o", "{folder}/data", "--files",
                    "{folder}/files"], ("files", "data"), kinds, 7, [("files", "data")], empty=["files"])
        self.fails(["normalize", "--json", "--threads=1", self.layout, "-o", "oci:{folder}/out"], ("out",),
                   kinds, 7, empty=["out"], heals=True)

    def test_transparent(self):
        """Interrupted or short, a call is made again."""
        self.split(self.layers / "packed.gz", TRANSPARENT, 6, same=True)
        self.join(TRANSPARENT, 6, same=True)
        self.layouts(TRANSPARENT, 6, "--threads=1", same=True)


class Bench(harness.Case):
    """`varve bench`: every answer that it prints is verified, and what it could not measure is said."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = oci.Layout(cls.work / "layout")
        tars = [(mirrors.GOLDEN / f"{name}.tar").read_bytes() for name in ("tree", "bytes")]
        made.tag("one:1", made.image([
            (made.put(stores.packed(tars[0]), stores.GZIP), stores.sha256(tars[0])),
            (made.put(mirrors.zstd(tars[1]), oci.LAYER + "+zstd"), stores.sha256(tars[1]))]))
        cls.layout = f"oci:{made.folder}"

    @staticmethod
    def results(run):
        """The variants that were measured, and the sample."""
        lines = [json.loads(line) for line in run.out.splitlines()]
        if not lines or lines[0]["type"] != "bench" or lines[-1]["type"] != "summary":
            raise inject.Broken(f"{run}its first and its last line are not there")
        results = [line for line in lines if line["type"] == "result"]
        if not all(line["verified"] for line in results):
            raise inject.Broken(f"{run}says that an answer was wrong")
        sample = {key: value for key, value in lines[0]["sample"].items() if not key.startswith("source_")}
        return {(line["group"], line["variant"], line["form"], line["bytes"]) for line in results}, sample

    def fails(self, only, kinds, most):
        campaign = inject.Campaign(self)
        argv = ["bench", "--json", "--rounds=1", "--threads=2", f"--only={only}", self.layout]
        first = inject.start(argv, inject.NONE, self.work / "page")
        self.assertEqual(first.code, 0, first)
        measured, sample = self.results(first)
        self.assertGreater(len(measured), 2)

        def check(run, folder):
            if run.code not in (0, 2):
                raise inject.Broken(f"{run}no exit code of the manual's")
            if b'"wrong"' in run.out or b" wrong " in run.err.replace(b"gave a wrong answer", b""):
                raise inject.Broken(f"{run}calls an answer wrong that was none")
            if run.code == 2:
                if b"varve: " not in run.err:
                    raise inject.Broken(f"{run}no word of why")
                return
            found, drawn = self.results(run)
            whole = drawn == sample
            absent = b'"type":"absent"' in run.out.replace(b" ", b"")
            if whole and found != measured and not (absent and found < measured):
                raise inject.Broken(f"{run}without {sorted(measured - found)[:3]}")
            told = drawn["unusable"] > sample["unusable"] or b"varve: " in run.err
            if not whole and not told:
                raise inject.Broken(f"{run}another sample, and no word of it: {drawn} for {sample}")

        campaign.in_turn(argv, first, kinds, most, check)
        campaign.end()

    def test_hash(self):
        self.fails("hash", [kind for kind in READING if kind[0] != "thread"], 7)

    def test_compression(self):
        self.fails("compression", [("memory", "ENOMEM", ONCE)], 10)

    def test_forms(self):
        """Tables, a comparison and a picture: whole, or said not to be."""
        measure = ["bench", "--rounds=1", "--threads=1", "--only=compression", self.layout]
        earlier = self.work / "earlier.json"
        earlier.write_bytes(harness.run(harness.VARVE, *measure, "--json"))
        kinds = [("memory", "ENOMEM", ONCE), ("memory", "ENOMEM", ON), ("open", "EMFILE", ONCE),
                 ("read", "EIO", ONCE), ("write", "ENOSPC", ONCE), ("settle", "ENOSPC", ONCE)]

        def said(run):
            """Lines, without warnings of what the machine did meanwhile."""
            return sum(not line.startswith(b"warning: ") for line in run.out.splitlines())

        for option in ("--csv", f"--compare={earlier}", "--plot={folder}/plot.svg"):
            campaign = inject.Campaign(self)
            argv = [*measure, option]
            first = inject.start([word.replace("{folder}", str(campaign.folder())) for word in argv],
                                 inject.NONE, self.work / "page")
            self.assertEqual(first.code, 0, first)

            def prepare(folder):
                (folder / "plot.svg").unlink(missing_ok=True)

            def check(run, folder):
                if run.code not in (0, 2) or (run.code == 2 and b"varve: " not in run.err):
                    raise inject.Broken(f"{run}no exit code of the manual's, or no word of why")
                if run.code == 0 and "plot" in str(run.argv) and not (
                        folder / "plot.svg").read_bytes().endswith(b"</svg>\n"):
                    raise inject.Broken(f"{run}the picture is not whole")
                if run.code == 0 and said(run) < said(first) - 1 and b"varve: " not in run.err:
                    raise inject.Broken(f"{run}said less:\n{run.out}")

            campaign.in_turn(argv, first, kinds, 7, check, prepare=prepare)
            campaign.end()

    def test_nothing_to_draw(self):
        """Memory that is back when the picture's turn comes, while nothing was measured."""
        picture = self.work / "nothing.svg"
        argv = ["bench", "--rounds=1", "--threads=1", "--only=compression", f"--plot={picture}", self.layout]
        page = self.work / "page"
        calls = inject.start(argv, inject.NONE, page).calls["memory"]
        # The first call from which on there is none, and the sample has been read all the same.
        for at in range(1, calls, calls // 40):
            run = inject.start(argv, inject.Fault("memory", at, "ENOMEM", ON), page)
            if run.err.endswith(b"varve: out of memory\n"):
                break
        picture.unlink(missing_ok=True)
        run = inject.start(argv, inject.Fault("memory", at, "ENOMEM", run.fired - 1), page)
        self.assertEqual(run.code, 2, run)
        self.assertIn(b"nothing to plot", run.err)
        self.assertFalse(picture.exists())

    def test_nightly(self):
        self.fails("nightly", [("memory", "ENOMEM", ONCE), ("open", "EMFILE", ONCE),
                               ("write", "ENOSPC", ONCE), ("read", "EIO", ONCE)], 7)


if __name__ == "__main__":
    harness.need_tools("zstd", "tar-split")
    harness.main()
