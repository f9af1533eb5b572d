# SPDX-License-Identifier: Apache-2.0
"""Every call fails in turn: no crash, no leak, no hang; nothing is reported that a faultless run does not
report; what could not be done is said, by line and exit code; and no database suffers."""

import dataclasses
import gzip
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import inject
import mirrors

import db
import harness
import oci

ONCE, TWICE, ON = 1, 2, 0
MEMORY = [("memory", "ENOMEM", ONCE), ("memory", "ENOMEM", ON)]
FILES = [("open", "EMFILE", ONCE), ("open", "EMFILE", ON), ("open", "EIO", ONCE),
         ("read", "EIO", ONCE), ("read", "EIO", ON), ("stat", "EIO", ONCE),
         ("settle", "EIO", ONCE)]
# What nobody should notice.
TRANSPARENT = [("open", "EINTR", ONCE), ("read", "EINTR", TWICE), ("read", "short", ONCE),
               ("write", "EINTR", TWICE), ("write", "short", ONCE)]


def living(path):
    """A database's content without what is gone: a manifest that could not be read once was a blob like
    any other then, and its image had no platform."""
    content = db.content(path)
    content["location"] = [row for row in content["location"] if row.endswith(", 1, 0)")]
    content["image"] = [row for row in content["image"] if row.endswith(", 1)")]
    digests = {re.search("'([0-9A-F]{64})'", row)[1] for row in content["location"]}
    for table in ("blob", "layer", "rung", "facet", "finding", "entry"):
        content[table] = [row for row in content[table] if row[2:66] in digests]
    return content


def stampless(content):
    """Without what a file is known again by: of one whose stamp cannot be had, or is of this moment by
    the clock, none is kept."""
    stamp = re.compile(r"(, [^ ]+){4}(, 1, 0\))$")
    return {**content, "location": sorted(stamp.sub(r"\2", row) for row in content["location"])}


class InjectCase(db.DatabaseCase):
    def base(self, argv):
        run = inject.start(argv, inject.NONE, self.work / "page")
        return inject.results(inject.lines_of(run)), run

    def fail_in_turn(self, argv, kinds, most, check=inject.check_scan, **more):
        campaign = inject.Campaign(self)
        base, first = self.base(argv)
        self.assertGreater(len(base), 0)
        campaign.in_turn(argv, first, kinds, most,
                         lambda run, folder: check(run, base, first.code), **more)
        campaign.end()


class Scan(InjectCase):
    """`varve scan` and `varve digest`, without a database."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.operands = mirrors.all_sources(cls.work)
        cls.layout = ["scan", "--json", "--threads=1", cls.operands["layout"]]

    def test_layout(self):
        self.fail_in_turn(self.layout, MEMORY + FILES, 30)

    def test_threads(self):
        argv = ["scan", "--json", "--threads=3", "--entries", self.operands["layout"]]
        self.fail_in_turn(argv, MEMORY + FILES + [("thread", "EIO", ONCE)], 8)

    def test_other_sources(self):
        for name, operand in self.operands.items():
            if name != "layout":
                with self.subTest(name):
                    self.fail_in_turn(["scan", "--json", "--threads=1", operand], MEMORY + FILES,
                                      10)

    def test_lent_reading(self):
        """A layer so long that a second thread reads it for the first."""
        path = self.work / "long.tar.gz"
        path.write_bytes(gzip.compress(mirrors.stores.tar_of({"noise": mirrors.noise(3 << 20)}), 1, mtime=0))
        self.fail_in_turn(["digest", "--json", "--threads=2", path], MEMORY, 8)

    def test_twins(self):
        """Files that two sources share. Where one of the two could not be looked at, both are read."""
        told = re.compile(rb',"same_file_as":{[^}]*}')

        def check(run, base, code):
            alone = {key: {name: value for name, value in line.items() if name != "same_file_as"}
                     for key, line in base.items()}
            inject.check_scan(dataclasses.replace(run, out=told.sub(b"", run.out)), alone, code)

        twin = self.work / "twin"
        shutil.copytree(self.work / "layout", twin, copy_function=os.link)
        self.fail_in_turn(["scan", "--json", "--threads=1", "--rungs=blob", self.operands["layout"],
                           f"oci:{twin}"], MEMORY + FILES, 8, check)

    def test_igzip(self):
        self.fail_in_turn([*self.layout, "--inflate-engine=igzip"], MEMORY, 10)

    def test_detected_sources(self):
        operands = [operand.partition(":")[2] for operand in self.operands.values()]
        self.fail_in_turn(["scan", "--json", "--threads=1", "--rungs=blob", *operands],
                          MEMORY + FILES, 8)

    def test_odd_sources(self):
        """Where a failing look could lead to other things than there are. What is told may find no memory
        either: two calls one after the other."""
        for name, operand in mirrors.odd_sources(self.work / "odd").items():
            with self.subTest(name):
                self.fail_in_turn(["scan", "--json", "--threads=1", "--rungs=blob", operand],
                                  MEMORY + FILES + [("memory", "ENOMEM", TWICE), ("open", "EMFILE", TWICE)], 20,
                                  anew=True)

    def test_verify_store(self):
        """Stores that keep layers unpacked, whole ones and one of which a file is another."""
        damaged = self.work / "damaged"
        mirrors.storage(damaged)
        path = next(path for path in sorted((damaged / "vfs" / "dir").rglob("*"))
                    if path.is_file() and path.stat().st_size)
        data = path.read_bytes()
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        stores = [self.operands["docker"], self.operands["storage"], f"containers-storage:{damaged}"]
        self.fail_in_turn(["verify-store", "--json", "--threads=1", *stores], MEMORY + FILES, 16)

    def test_digest(self):
        blobs = sorted((self.work / "layout" / "blobs" / "sha256").iterdir())
        self.fail_in_turn(["digest", "--json", "--threads=1", *blobs], MEMORY + FILES, 10)

    def test_lists(self):
        """What is written beside: a list of what failed, and figures for Prometheus. Where the exit code
        does not say that they are not whole, they are."""
        names = self.work / "names"
        blobs = sorted((self.work / "layout" / "blobs" / "sha256").iterdir())
        names.write_bytes(b"".join(bytes(path) + b"\0" for path in blobs[::4]))
        argv = ["digest", "--json", "--threads=1", "--files0-from", names]
        with self.subTest("names"):
            self.fail_in_turn(argv, MEMORY + FILES, 8)
        argv = ["scan", "--json", "--threads=1", "--timings", "--progress=json", self.operands["layout"],
                "--errors-to", "{folder}/errors", "--prom", "{folder}/prom"]
        campaign = inject.Campaign(self)
        plain = [str(word).replace("{folder}", str(campaign.folder())) for word in argv]
        base, first = self.base(plain)

        def prepare(folder):
            for name in ("errors", "prom"):
                (folder / name).unlink(missing_ok=True)

        def check(run, folder):
            inject.check_scan(run, base, first.code)
            if {path.name for path in folder.iterdir()} - {"errors", "prom", "page"}:
                raise inject.Broken(f"{run}something is left behind")
            if run.code in (0, 1, 3):
                listed = (folder / "errors").read_bytes().splitlines()
                bad = [line for line in inject.lines_of(run) if line["type"] in ("layer", "image", "error")
                       and line.get("status", "error") != "ok" and not line.get("attestation")]
                if len(listed) < sum(line["type"] == "layer" for line in bad):
                    raise inject.Broken(f"{run}lists {len(listed)} of {len(bad)}")
                figures = (folder / "prom").read_bytes().splitlines()
                if not figures[-1].startswith(b"varve_scan_duration_seconds"):
                    raise inject.Broken(f"{run}the figures are not whole")

        campaign.in_turn(argv, first, MEMORY + FILES + [("write", "ENOSPC", ONCE), ("settle", "EIO", ON)], 8,
                         check, prepare=prepare)
        campaign.end()

    def test_transparent(self):
        """What is interrupted or short is done again, and the clock's leaps are not followed."""
        self.fail_in_turn(self.layout, TRANSPARENT[:3], 20, inject.check_same)
        campaign = inject.Campaign(self)
        for operand in self.operands.values():
            argv = ["scan", "--json", "--threads=2", operand]
            base, first = self.base(argv)
            faults = [inject.Fault("read", 1, "short", ON, seed) for seed in range(3)]
            faults += [inject.Fault("clock", 1, "jump", ON, seed) for seed in range(3)]
            campaign.each(argv, faults, lambda run, folder: inject.check_same(run, base, first.code))
        campaign.end()


class Changing(InjectCase):
    """Files that shrink, grow, vanish or are replaced just before they are read."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.source = cls.work / "source"
        cls.source.mkdir()
        mirrors.layout(cls.source / "layout")

    def test_gone_with_a_manifest_that_cannot_be_read(self):
        """Layers that vanish while they are waited for are gone where nothing refers to them any more, which is
        not known as long as a manifest cannot be read."""
        made = mirrors.two(self.work / "two")
        argv = [inject.FAULTY, "scan", "--json", "--threads=1", f"oci:{made.folder}:x"]
        # Whoever is root reads everything else.
        least = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        first = inject.start(argv[1:], inject.NONE, self.work / "page")
        layer, = (line for line in inject.lines_of(first) if line["type"] == "layer")
        image, = (line for line in inject.lines_of(first) if line["type"] == "image")
        path, manifest = made.path(layer["name"]), made.path(image["digest"])
        data, seen = path.read_bytes(), set()
        for call in range(1, first.calls["open"] + 1):
            environment = {**os.environ, "VARVE_FAULT": f"open {call} 1 stop"}
            with subprocess.Popen([*least, *argv], env=environment, stdout=subprocess.PIPE) as halfway:
                os.waitid(os.P_PID, halfway.pid, os.WSTOPPED)
                path.unlink()
                manifest.chmod(0)
                halfway.send_signal(signal.SIGCONT)
                lines = [json.loads(line) for line in halfway.communicate()[0].splitlines()]
            path.write_bytes(data)
            manifest.chmod(0o644)
            self.assertEqual((halfway.returncode, lines[-1]["gone"], lines[-1]["images_gone"]), (3, 0, 0), lines)
            seen.update(line["error"]["code"] for line in lines if line["type"] == "layer")
        self.assertEqual(seen, {"io.missing"})

    def test_change(self):
        campaign = inject.Campaign(self)
        argv = ["scan", "--json", "--threads=1", f"oci:{campaign.folder()}/layout"]
        shutil.copytree(self.source / "layout", campaign.folder() / "layout")
        base, first = self.base(argv)
        base = {key: {**line, "source": ""} for key, line in base.items()}
        kinds = [("read", effect, ONCE) for effect in ("shrink", "grow", "vanish", "replace")]

        def prepare(folder):
            shutil.rmtree(folder / "layout", ignore_errors=True)
            shutil.copytree(self.source / "layout", folder / "layout")

        campaign.in_turn(["scan", "--json", "--threads=1", "oci:{folder}/layout"], first,
                         kinds, 12, lambda run, folder: self.check(run, base), prepare=prepare,
                         under="{folder}/layout/blobs")
        campaign.end()

    def check(self, run, base):
        """What a blob's row says holds of the bytes of one moment: it is the whole old blob's; or its
        name does not hold any more; or it could not be read. Nothing else has suffered."""
        lines = inject.lines_of(run)
        if not lines or lines[-1]["type"] != "summary":
            raise inject.Broken(f"{run}no summary")
        found = {line["name"]: line for line in lines if line["type"] == "layer"}
        changed = 0
        for key, expected in base.items():
            if key[0] != "layer":
                continue
            line = found.get(key[1])
            if not line:
                raise inject.Broken(f"{run}lost: {key}")
            same = {**inject.timeless(line), "source": ""} == expected
            if same or inject.unclaimed({**line, "source": ""}) == inject.unclaimed(expected):
                continue
            changed += 1
            if line["status"] == "error" and line["error"]["code"] in (
                    "io.changed", "io.read", "io.missing"):
                continue
            if line["checks"]["name"] != "mismatch":
                raise inject.Broken(f"{run}{inject.others(line, expected)}")
        if changed > 1:
            raise inject.Broken(f"{run}{changed} layers are others")


class Database(InjectCase):
    """`varve scan --db`: whatever fails, the database is whole, and a later scan makes of it what an
    undisturbed one would have made; at once where the failure was not told of."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.operand = mirrors.small(cls.work / "layout")
        cls.whole = cls.work / "whole.db"
        harness.run(harness.VARVE, "scan", "--db", cls.whole, "--entries", cls.operand)

    def fail_with(self, kinds, most, known=None, operands=None, whole=None):
        """`known`: a database that is there before; `whole`: what an undisturbed scan makes of it."""
        campaign = inject.Campaign(self)
        operands, whole = operands or [self.operand], whole or self.whole
        argv = ["scan", "--json", "--threads=2", "--entries", "--db", "{folder}/a.db", *operands]
        first_argv = [str(word).replace("{folder}", str(self.work)) for word in argv]
        for path in self.work.glob("a.db*"):
            path.unlink()
        if known:
            shutil.copy(known, self.work / "a.db")
        base, first = self.base(first_argv)

        def prepare(folder):
            for path in folder.glob("a.db*"):
                path.unlink(missing_ok=True)
            if known:
                shutil.copy(known, folder / "a.db")

        def check(run, folder):
            inject.check_scan(run, base, first.code)
            path = folder / "a.db"
            made = path.exists() and path.stat().st_size > 0
            if made and not db.is_whole(path):
                raise inject.Broken(f"{run}the database is damaged")
            if b"damaged" in run.err:
                raise inject.Broken(f"{run}the database is not to blame")
            if run.code == first.code and inject.results(inject.lines_of(run)) == base:
                check_rows(run, stampless(living(path)), stampless(living(whole)))
            argv = ["scan", "--json", "--entries", "--db", path, *operands]
            again = inject.start(argv, inject.NONE, folder / "page")
            inject.check_same(again, base, first.code)
            check_rows(run, living(path), living(whole))

        def check_rows(run, one, other):
            for table in one:
                # References and rungs of what is gone tell not that it is.
                history = table in ("reference", "image_rung") and set(other[table]) < set(one[table])
                if one[table] != other[table] and not history:
                    raise inject.Broken(
                        f"{run}another {table}: {sorted(set(one[table]) ^ set(other[table]))[:2]}")

        campaign.in_turn(argv, first, kinds, most, check, prepare=prepare)
        campaign.end()

    def test_memory(self):
        self.fail_with(MEMORY + [("rows", "ENOMEM", ONCE), ("rows", "ENOMEM", ON), ("step", "EIO", ONCE)], 12)

    def test_memory_of_a_known_mirror(self):
        self.fail_with(MEMORY + [("rows", "ENOMEM", ONCE), ("database", "EIO", ONCE), ("step", "EIO", ONCE)], 10,
                       known=self.whole)

    def test_memory_of_a_changed_mirror(self):
        """Of two images one has gone; a layer is read anew, and is the same; loose files, of which one is
        nowhere, are looked up one by one."""
        made = oci.Layout(self.work / "changed")
        layers = list(mirrors.layers(made))
        made.tag("stays:1", made.image(layers[:2]))
        kept = (made.folder / "index.json").read_bytes()
        made.tag("goes:1", made.image(layers[2:3]))
        db.age(made.folder)
        touched = made.path(layers[1][0]["digest"])
        operands = [f"oci:{made.folder}", mirrors.GOLDEN / "tree.tar", self.work / "nowhere"]
        before, whole = self.work / "before.db", self.work / "after.db"
        scan = [harness.VARVE, "scan", "--entries", "--db"]
        harness.run(*scan, before, *operands, expect=3)
        (made.folder / "index.json").write_bytes(kept)
        os.utime(touched, (1.5e9, 1.5e9))
        shutil.copy(before, whole)
        harness.run(*scan, whole, *operands, expect=3)
        self.fail_with([("memory", "ENOMEM", ONCE), ("rows", "ENOMEM", ONCE), ("step", "EIO", ONCE)], 10,
                       known=before, operands=operands, whole=whole)

    def test_nothing_is_gone_that_was_not_read(self):
        """Of a source of which some part could not be read, though all of it is there."""
        for operand in (f"oci:{mirrors.two(self.work / 'two').folder}", mirrors.docker(self.work / "docker")):
            path, page = self.work / "gone.db", self.work / "page"
            argv = ["scan", "--json", "--threads=1", "--rungs=blob", "--db", path, operand]
            inject.start(argv, inject.NONE, page)
            kept = path.read_bytes()
            first = inject.start(argv, inject.NONE, page)
            for kind in ("open", "read"):
                for call in range(1, first.calls[kind] + 1):
                    path.write_bytes(kept)
                    run = inject.start(argv, inject.Fault(kind, call, "EIO"), page)
                    for table in ("location", "image"):
                        self.assertEqual(db.query(path, f"SELECT * FROM {table} WHERE gone IS NOT NULL"), [], run)
            for left in self.work.glob("gone.db*"):
                left.unlink()

    def test_what_an_archive_was(self):
        """One whose times could not be asked for is read again, whatever the database knows."""
        archive, page = self.work / "known.tar", self.work / "page"
        operand = mirrors.docker_archive(archive)
        data = archive.read_bytes()
        changed = data.replace(b"base\nbase\n", b"base\nbose\n", 1)
        self.assertNotEqual(changed, data)
        path = self.work / "archive.db"
        argv = ["scan", "--json", "--threads=1", "--rungs=diffid", "--db", path, operand]
        first = inject.start(argv, inject.NONE, page)
        for call in range(1, first.calls["stat"] + 1):
            for left in self.work.glob("archive.db*"):
                left.unlink()
            for content, second in ((data, 1e9), (changed, 1.1e9)):
                archive.write_bytes(content)
                os.utime(archive, (second, second))
                run = inject.start(argv, inject.Fault("stat", call, "EIO"), page)
                wrong = [line for line in inject.lines_of(run) if line["type"] == "layer" and line["cached"]]
                self.assertEqual(wrong, [], run)

    def test_files(self):
        self.fail_with([("database", "EIO", ONCE), ("database", "EIO", ON),
                        ("database", "ENOSPC", ONCE), ("database", "ENOSPC", ON),
                        ("database", "short", ONCE), ("read", "EIO", ONCE), ("stat", "EIO", ONCE),
                        ("open", "EMFILE", ON), ("thread", "EIO", ONCE)], 8)

    def test_journals(self):
        """A database beside which lies what a killed writer left: it is put in its place, or nothing is said."""
        faults = [("database", "EIO"), ("rows", "ENOMEM"), ("step", "EIO"), ("stat", "EIO")]
        for mode in ("delete", "wal"):
            left = self.work / f"{mode}.db"
            db.leave_journal(left, self.whole, mode)
            argv = ["query", "--json", "--db", "{folder}/j.db", "failures"]

            def prepare(folder, left=left):
                for path in folder.glob("j.db*"):
                    path.unlink()
                for path in self.work.glob(f"{left.name}*"):
                    shutil.copy(path, folder / path.name.replace(left.name, "j.db"))

            prepare(self.work)
            first = inject.start([word.replace("{folder}", str(self.work)) for word in argv], inject.NONE,
                                 self.work / "page")
            self.assertEqual((first.code, len(first.out.splitlines())), (0, 21 if mode == "wal" else 0), first)

            def check(run, folder, first=first):
                if run.code == 0 and run.out != first.out:
                    raise inject.Broken(f"{run}said {len(run.out.splitlines())} lines, not "
                                        f"{len(first.out.splitlines())}")
                if run.code not in (0, 2, 10) or (run.code and b"varve: " not in run.err):
                    raise inject.Broken(f"{run}no exit code of the manual's, or no word of why")

            campaign = inject.Campaign(self)
            campaign.in_turn(argv, first, [(*fault, ONCE) for fault in faults], 60, check, prepare=prepare)
            campaign.end()

    def test_journals_on_a_read_only_file_system(self):
        """Whether there is a journal cannot be looked up: then there may be one."""
        folder = self.work / "read-only"
        folder.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True,
                          check=False).returncode:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(folder)], check=True)
        for mode in ("delete", "wal"):
            db.leave_journal(folder / f"{mode}.db", self.whole, mode)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        campaign = inject.Campaign(self)

        def check(run, _):
            if run.code != 10 or run.out or b"varve: " not in run.err:
                raise inject.Broken(f"{run}said\n{run.out[:300]}")

        for mode in ("delete", "wal"):
            argv = ["query", "--json", "--db", folder / f"{mode}.db", "failures"]
            first = inject.start(argv, inject.NONE, self.work / "page")
            check(first, None)
            self.assertGreater(first.calls["stat"], 0)
            campaign.each(argv, [inject.Fault("stat", at, "EIO") for at in range(1, first.calls["stat"] + 1)],
                          check)
        campaign.end()

    def test_what_begins_a_scan(self):
        """Memory for the operands' names and the libraries' versions, and which file system there is: where they
        fail, the scan is not recorded as another one, and the database is for any file system."""
        operands = [mirrors.GOLDEN / "tree.tar", self.work / "nowhere"]
        before = self.work / "before-names.db"
        argv = ["scan", "--threads=1", "--db", "{folder}/n.db", *map(str, operands)]
        harness.run(harness.VARVE, *(word.replace("{folder}/n.db", str(before)) for word in argv), expect=3)
        scans = "SELECT sources, versions FROM scan JOIN producer ON producer.id = producer ORDER BY scan.id"
        (recorded,) = db.query(before, scans)

        def prepare(folder):
            for path in folder.glob("n.db*"):
                path.unlink()
            shutil.copy(before, folder / "n.db")

        prepare(self.work)
        first = inject.start([word.replace("{folder}", str(self.work)) for word in argv], inject.NONE,
                             self.work / "page")
        modes = []

        def check(run, folder):
            if not set(db.query(folder / "n.db", scans)) <= {recorded}:
                raise inject.Broken(f"{run}recorded {db.query(folder / 'n.db', scans)}, not {recorded}")
            modes.extend(db.query(folder / "n.db", "PRAGMA journal_mode"))

        campaign = inject.Campaign(self)
        campaign.in_turn(argv, first, [("memory", "ENOMEM", ONCE)], 600, check, prepare=prepare)
        self.assertEqual(set(modes), {("wal",)})
        modes.clear()
        campaign.in_turn(argv, first, [("stat", "EIO", ONCE)], 100, check, prepare=prepare)
        campaign.end()
        self.assertEqual(set(modes), {("wal",), ("delete",)})

    def test_clock(self):
        self.fail_with([("clock", "jump", ONCE), ("clock", "jump", ON)], 7)


class Commands(InjectCase):
    """The other commands: each either says what it says without a fault, or that it failed."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.operand = mirrors.layout(cls.work / "layout")
        cls.path = cls.work / "whole.db"
        harness.run(harness.VARVE, "scan", "--db", cls.path, "--entries", cls.operand, expect=1)
        blobs = cls.work / "layout" / "blobs" / "sha256"
        cls.blobs = {size: path for size, path in
                     sorted((path.stat().st_size, path) for path in blobs.iterdir())}

    def fail_in_turn(self, argv, kinds, most, check=None, **more):
        campaign = inject.Campaign(self)
        plain = [str(word).replace("{folder}", str(campaign.folder())) for word in argv]
        first = inject.start(plain, inject.NONE, self.work / "page")
        self.assertIn(first.code, (0, 1), first)
        self.assertGreater(len(first.out), 0)

        def compare(run, folder):
            out = run.out.replace(str(folder).encode(), str(campaign.folder()).encode())
            if run.code in (0, 1) and not inject.said_less(run, out, first):
                raise inject.Broken(f"{run}ended as if all were well; said\n{out[:300]}\n"
                                    f"instead of\n{first.out[:300]}")
            if run.code not in (0, 1, 2, 3, 10, 11):
                raise inject.Broken(f"{run}no exit code of the manual's")
            if run.code > 1 and b"varve: " not in run.err and b"error" not in run.out:
                raise inject.Broken(f"{run}no word of why")

        home = campaign.folder()
        campaign.in_turn(argv, first, kinds, most, check or compare, **more)
        self.assertTrue(home.exists())
        campaign.end()

    def test_diff_of_layers(self):
        golden = mirrors.GOLDEN
        for left, right in (("tree.tar", "tree-reversed.tar"), ("tree.tar.gz", "tree-pax.tar"),
                            ("tree.tar", "xattr-both.tar")):
            for option in ("--json", "--rung=content"):
                with self.subTest(f"{left} {right} {option}"):
                    self.fail_in_turn(["diff", option, golden / left, golden / right],
                                      MEMORY + FILES, 8)
        paths = []
        for number in range(2):
            paths.append(self.work / f"records-{number}.tar")
            paths[-1].write_bytes(mirrors.records(reverse=number))
        self.fail_in_turn(["diff", "--json", *paths], MEMORY, 8)

    def told_in_turn(self, argv, kinds, most):
        """A difference, and how many of them matter to security, is told as it is without a fault, or not at
        all; and where anything is not told, a word of why is, on stderr or in the lines."""
        first = inject.start(argv, inject.NONE, self.work / "page")
        known = inject.lines_of(first)
        bare = lambda line: {key: value for key, value in line.items() if key != "matter" and "_holds" not in key}
        values = [bare(line) for line in known]
        words = (b'"error":{', b'"security_unknown":0', b'"headers_compared":false',
                 b'"entries_compared":false', b"could not be read")

        def check(run, folder):
            lines = inject.lines_of(run)
            for line in lines:
                compressed = line.get("kind") == "compression" and b"could not be read" in run.out
                if line["type"] == "difference" and line not in known and not compressed:
                    raise inject.Broken(f"{run}a difference that there is not: {line}")
                if line["type"] == "layer-pair" and "security" in line and line["security"] not in [
                        other["security"] for other in known
                        if other["type"] == "layer-pair" and other["pair"] == line["pair"]]:
                    raise inject.Broken(f"{run}what is not known is told: {line}")
                if line["type"] == "document-difference" and line not in known and (
                        "none" not in (line.get("left_holds"), line.get("right_holds"))
                        or bare(line) not in values):
                    raise inject.Broken(f"{run}a value that there is not: {line}")
            if (run.code, run.out) != (first.code, first.out) and b"varve: " not in run.err and not any(
                    run.out.count(word) != first.out.count(word) for word in words):
                raise inject.Broken(f"{run}no word of why; said\n{run.out[:900]}")

        self.fail_in_turn(argv, kinds, most, check)

    def test_diff_tells_what_is_known(self):
        """Every call of a comparison of two layers, and every one of two images' that looks at files."""
        for name, pair in mirrors.odd_pairs().items():
            paths = [self.work / f"{name}-{number}" for number in range(2)]
            for path, data in zip(paths, pair):
                path.write_bytes(data)
            with self.subTest(name):
                self.told_in_turn(["diff", "--json", *paths], MEMORY[:1] + FILES[2:6], 300)
        images = mirrors.odd_images(self.work / "odd")
        for one, other in (("left", "right"), ("right", "left")):
            with self.subTest(one):
                argv = ["diff", "--json", f"{images}:{one}", f"{images}:{other}"]
                self.told_in_turn(argv, [kind for kind in FILES[2:6] if kind[2] == ONCE], 150)
                self.told_in_turn(argv, MEMORY[:1], 60)

    def test_diff_of_images(self):
        self.fail_in_turn(["diff", "--json", f"{self.operand}:good-0", f"{self.operand}:bad-0"],
                          MEMORY + FILES, 12)
        # Layers of one side alone; a config that is large.
        crowded = mirrors.crowded(self.work / "crowded")
        for left in (f"{self.operand}:good-20", f"{crowded}:large"):
            self.fail_in_turn(["diff", "--json", left, f"{self.operand}:good-0"], MEMORY, 8)

    def test_diff_of_images_of_which_one_has_more(self):
        grown = mirrors.grown(self.work / "grown")
        for one, other in (("less", "more"), ("more", "less")):
            self.fail_in_turn(["diff", "--json", f"{grown}:{one}", f"{grown}:{other}"], MEMORY + FILES, 8)
            self.in_words(["diff", f"{grown}:{one}", f"{grown}:{other}"])

    def test_diff_of_what_is_not_known(self):
        """Two images could be meant: where one cannot be read, it is not the other one that is compared."""
        source = f"oci:{mirrors.two(self.work / 'two').folder}"
        argv = ["diff", "--json", source, f"{source}:x"]
        first = inject.start(argv, inject.NONE, self.work / "page")
        for words in (argv, [*argv, "--platform=linux/amd64"]):
            first = inject.start(words, inject.NONE, self.work / "page")
            for kind, step in (("open", 1), ("read", 1), ("stat", 1), ("memory", 1 if inject.LONG else 5)):
                for call in range(1, first.calls[kind] + 1, step):
                    run = inject.start(words, inject.Fault(kind, call, "EIO"), self.work / "page")
                    self.assertTrue(run.code == 2 or run.out == first.out, run)
                    self.assertTrue(run.code != 2 or b"varve: " in run.err, run)

    def test_query(self):
        for question in ("classes", "waste", "failures", "images"):
            with self.subTest(question):
                self.fail_in_turn(["query", "--json", "--db", self.path, question],
                                  MEMORY + FILES + [("rows", "ENOMEM", ONCE),
                                                    ("database", "EIO", ONCE)], 8)

    def test_status(self):
        self.fail_in_turn(["status", "--json", "--db", self.path],
                          MEMORY + [("rows", "ENOMEM", ONCE), ("database", "EIO", ONCE)], 8)

    def test_compare(self):
        """Of databases, and of a source that is scanned for it, which leaves nothing behind."""
        other = self.work / "other.db"
        shutil.copy(self.path, other)
        db.execute(other, "DELETE FROM reference WHERE image IN (SELECT max(id) FROM image)")
        kinds = MEMORY + FILES + [("rows", "ENOMEM", ONCE), ("database", "EIO", ONCE)]
        self.fail_in_turn(["compare", "--json", self.path, other], kinds, 8)
        # Images that are others, so that their layers are held against each other.
        made, pair = self.work / "normalized", []
        harness.run(harness.VARVE, "normalize", "-o", f"oci:{made}", f"{self.operand}:good-0")
        for number, operand in enumerate((f"{self.operand}:good-0", f"oci:{made}")):
            pair.append(self.work / f"pair-{number}.db")
            harness.run(harness.VARVE, "scan", "--db", pair[-1], operand)
        self.fail_in_turn(["compare", "--json", *pair], kinds, 8)
        place = self.work / "tmp"
        place.mkdir()
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(place)
        try:
            self.fail_in_turn(["compare", "--json", "--threads=1", self.operand, other], kinds, 8)
        finally:
            del os.environ["TMPDIR"]
            if before:
                os.environ["TMPDIR"] = before
        self.assertEqual(list(place.iterdir()), [])

    def test_compare_of_what_was_not_read(self):
        """What a scan could not read is told of when its database is compared, and nothing is called different,
        broken or mended for it."""
        for side in "ab":
            made = oci.Layout(self.work / f"side-{side}")
            layers = list(mirrors.layers(made))[:2]
            image = made.image(layers)
            manifest = json.loads(made.path(image["digest"]).read_bytes())
            manifest["annotations"] = {"side": side}
            made.tag("x:1", made.put_json(manifest, oci.MANIFEST))
            db.age(made.folder)
            harness.run(harness.VARVE, "scan", "--db", self.work / f"side-{side}.db", f"oci:{made.folder}")
        known = self.work / "side-a.db"

        def compare(one, other):
            argv = [harness.VARVE, "compare", "--json", one, other]
            done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
            return done, [json.loads(line) for line in done.stdout.splitlines()]

        truth = [compare(*pair) for pair in ((known, self.work / "side-b.db"), (self.work / "side-b.db", known))]
        self.assertEqual([lines[0]["verdict"] for _, lines in truth], ["manifest", "manifest"])
        verdicts = set()

        def check(run, folder):
            made = folder / "f.db"
            if run.code == 10 and not (made.exists() and made.stat().st_size):
                return # no database was begun
            for pair, (best, _) in zip(((known, made), (made, known)), truth):
                done, lines = compare(*pair)
                words = b"not all of it could be read" if run.code == 3 else b"varve: "
                told = words in done.stderr
                if (run.code in (0, 3) and done.returncode not in (1, 3)) or told != (run.code != 0) or (
                        not told and done.stdout != best.stdout):
                    raise inject.Broken(f"{run}compare ended with {done.returncode}:\n"
                                        f"{done.stdout[:600]}\n{done.stderr}")
                verdicts.update(line["verdict"] for line in lines if line["type"] == "pair")
                if any(line.get("newly_broken") or line.get("config_differs") or line.get("verdict") == "config"
                       or line.get("change") in ("broken", "mended") for line in lines):
                    raise inject.Broken(f"{run}compare made something up:\n{done.stdout[:600]}")

        def prepare(folder):
            for path in folder.glob("f.db*"):
                path.unlink()

        argv = ["scan", "--threads=1", "--db", "{folder}/f.db", f"oci:{self.work}/side-b"]
        campaign = inject.Campaign(self)
        first = inject.start([word.replace("{folder}", str(campaign.folder())) for word in argv], inject.NONE,
                             self.work / "page")
        campaign.in_turn(argv, first, [("read", "EIO", ONCE), ("open", "EIO", ONCE)], 80, check, prepare=prepare)
        campaign.end()
        self.assertEqual(verdicts, {"manifest", "unjudged", "only in A", "only in B"})

    def in_words(self, argv, kinds=(), most=7):
        """What people read: as without a fault, or with a word of what could not be done."""
        def timeless(out):
            return re.sub(rb"[0-9.]+ (s|MB/s|GB/s)\b", b"", out)

        first = inject.start(argv, inject.NONE, self.work / "page")

        def check(run, folder):
            if run.code not in (0, 1, 2, 3, 10, 11):
                raise inject.Broken(f"{run}no exit code of the manual's")
            words = b"varve: " in run.err or re.search(
                rb"error|memory|could not|cannot|left out|not compared|not listed", run.out)
            if (run.code not in (0, 1) or timeless(run.out) != timeless(first.out)) and not words:
                raise inject.Broken(f"{run}no word of why; said\n{run.out[:600]}\ninstead of\n"
                                    f"{first.out[:600]}")

        with self.subTest(" ".join(map(str, argv[:3]))):
            self.fail_in_turn(argv, MEMORY + FILES + list(kinds), most, check)

    def test_in_words(self):
        golden = mirrors.GOLDEN
        rows = [("rows", "ENOMEM", ONCE), ("database", "EIO", ONCE)]
        digests = [f"sha256:{path.name}" for path in list(self.blobs.values())[-2:]]
        self.in_words(["scan", "--threads=1", self.operand])
        self.in_words(["digest", "--entries", "--threads=1", golden / "tree.tar"])
        for left, right in (("tree.tar", "tree-reversed.tar"), ("tree.tar.gz", "tree-pax.tar"),
                            ("tree.tar", "xattr-both.tar")):
            self.in_words(["diff", golden / left, golden / right])
        self.in_words(["diff", f"{self.operand}:good-0", f"{self.operand}:bad-0"])
        self.in_words(["diff", f"{self.operand}:good-0", f"{self.operand}:good-8"])
        self.in_words(["diff", "--source", self.operand, *digests])
        other = self.work / "later.db"
        shutil.copy(self.path, other)
        db.execute(other, "DELETE FROM reference WHERE image IN (SELECT max(id) FROM image)")
        self.in_words(["compare", self.path, other], rows)
        self.in_words(["compare", "--threads=1", self.operand, other], rows)
        self.in_words(["status", "--db", self.path], rows)
        for question in harness.run(harness.VARVE, "query").decode().split("\n"):
            if question:
                self.in_words(["query", "--db", self.path, question.split()[0]], rows)
        self.in_words(["query", "--csv", "--db", self.path, "layers"], rows)

    def test_to_standard_output(self):
        """All of it, or an exit code that says that it is not."""
        layer = mirrors.GOLDEN / "tree.tar.gz"
        for argv in (["normalize", "-o", "-", layer], ["split", "-o", "-", layer]):
            self.fail_in_turn(argv, MEMORY + FILES + [("write", "ENOSPC", ONCE)], 7)

    def normalize(self, blob, kinds, most, *options):
        made = self.work / "expected.tar"
        harness.run(harness.VARVE, "normalize", "-o", made, *options, blob)
        expected = made.read_bytes()

        def check(run, folder):
            files = {path.name for path in folder.iterdir()} - {"page"}
            if files - {"out.tar"}:
                raise inject.Broken(f"{run}left behind: {files}")
            if files and (folder / "out.tar").read_bytes() != expected:
                raise inject.Broken(f"{run}wrote something else")
            if (run.code == 0) > bool(files):
                raise inject.Broken(f"{run}says that it wrote, and did not")
            if run.code not in (0, 1, 2, 3) or (run.code and b"varve: " not in run.err):
                raise inject.Broken(f"{run}no exit code of the manual's, or no word of why")
            if run.code == 1:
                raise inject.Broken(f"{run}the layer is not to blame")
            (folder / "out.tar").unlink(missing_ok=True)

        self.fail_in_turn(["normalize", "-o", "{folder}/out.tar", *options, blob], kinds, most,
                          check)

    def test_normalize(self):
        kinds = MEMORY + FILES + [("write", "ENOSPC", ONCE), ("write", "EIO", ON),
                                  ("settle", "ENOSPC", ONCE)]
        large = max(self.blobs.values(), key=lambda path: path.stat().st_size)
        for option in ("--compress=none", "--compress=gzip", "--compress=zstd:3"):
            with self.subTest(option):
                self.normalize(mirrors.GOLDEN / "tree.tar.gz", kinds, 10, option)
        for option in ("--rung=encoding", "--rung=order"):
            with self.subTest(option):
                self.normalize(mirrors.GOLDEN / "tree-global.tar", MEMORY, 10, option)
        self.normalize(large, kinds, 8, "--compress=zstd:3")
        unsorted = self.work / "unsorted.tar"
        unsorted.write_bytes(mirrors.unsorted())
        self.normalize(unsorted, MEMORY, 8, "--rung=encoding")
        self.normalize(mirrors.GOLDEN / "link-mode.tar", MEMORY, 8, "--rung=order")

    def test_normalize_of_a_layout(self):
        """The whole layout as it is without a fault, or nothing of it, and never a layer to blame."""
        def files_of(folder):
            return {str(path.relative_to(folder)): path.read_bytes()
                    for path in folder.rglob("*") if path.is_file()}

        def normalize(layout, kinds, most):
            made = self.work / "made"
            harness.run(harness.VARVE, "normalize", "-o", f"oci:{made}", layout)
            expected = files_of(made)
            shutil.rmtree(made)

            def check(run, folder):
                names = {path.name for path in folder.iterdir()} - {"page"}
                if names - {"out"}:
                    raise inject.Broken(f"{run}left behind: {names}")
                if names and files_of(folder / "out") != expected:
                    raise inject.Broken(f"{run}wrote something else")
                if (run.code == 0) > bool(names):
                    raise inject.Broken(f"{run}says that it wrote, and did not")
                if run.code not in (0, 2, 3) or (run.code and b"varve: " not in run.err):
                    raise inject.Broken(f"{run}no exit code of the manual's, or no word of why")
                shutil.rmtree(folder / "out", ignore_errors=True)

            self.fail_in_turn(["normalize", "--threads=1", "-o", "oci:{folder}/out", layout], kinds, most,
                              check)

        # Where nothing can be opened or listed any more, nothing can be taken away.
        files = [kind for kind in FILES if kind[0] not in ("open", "read") or kind[2] == ONCE]
        normalize(f"{self.operand}:good-0", MEMORY + files + [
            ("write", "ENOSPC", ONCE), ("write", "EIO", ON), ("settle", "ENOSPC", ONCE)], 16)
        referred = mirrors.referred(self.work / "referred")
        for operand in (referred, f"{referred}:app"):
            normalize(operand, MEMORY + files, 8)

    def test_normalize_of_a_bad_layout(self):
        """A layer to blame, and nothing written, whatever else fails."""
        def check(run, folder):
            if {path.name for path in folder.iterdir()} - {"page"}:
                raise inject.Broken(f"{run}wrote something")
            if run.code not in (1, 2, 3) or b"varve: " not in run.err:
                raise inject.Broken(f"{run}no exit code of the manual's, or no word of why")

        argv = ["normalize", "--threads=1", "-o", "oci:{folder}/out", f"{self.operand}:bad-0"]
        campaign = inject.Campaign(self)
        first = inject.start([word.replace("{folder}", str(campaign.folder())) for word in argv],
                             inject.NONE, self.work / "page")
        self.assertEqual(first.code, 1, first)
        campaign.in_turn(argv, first, MEMORY, 8, check)
        campaign.end()


if __name__ == "__main__":
    harness.need_tools("zstd", "tar-split")
    harness.main()
