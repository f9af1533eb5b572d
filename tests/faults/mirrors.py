# SPDX-License-Identifier: Apache-2.0
"""What the program is run on while its calls fail: small sources of every kind, with layers of every
encoding, well formed and not, so that as many paths as can be are gone."""

import base64
import gzip
import io
import json
import pathlib
import shutil
import struct
import sys
import tarfile
import types
import zlib

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "store")]
import db
import harness
import oci
import stores
sys.path.insert(0, str(HERE.parent / "sources")) # there is a test_written of oci's, too
import test_hostile
import test_written

GOLDEN = harness.SOURCE / "corpora" / "golden"
NAMES = ["tree", "tree-pax", "tree-reversed", "tree-trailer", "tree-global", "tree-twice", "bytes",
         "long-pax", "longlink-gnu", "link-chain", "sparse-pax-1.0", "sparse-gnu-continued",
         "xattr-both", "whiteout-own"]


def zstd(data, *options):
    return harness.run("zstd", "--quiet", "--stdout", *options, input=data)


def noise(count):
    """Bytes that do not compress, the same ones each time."""
    state, out = 1, bytearray()
    while len(out) < count:
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        out += struct.pack("<I", state >> 32)
    return bytes(out[:count])


def table(files):
    return json.dumps({"version": 1, "entries": [
        {"name": name, "type": "reg", "size": len(content), "digest": stores.sha256(content),
         "mode": 0o644} for name, content in files.items()]}).encode()


def estargz(files):
    """eStargz: a member for each file, the table as the last one, a footer with where it begins."""
    whole = stores.tar_of({**files, "stargz.index.json": table(files)})
    at = whole.rindex(b"stargz.index.json\0")
    head, tail = gzip.compress(whole[:at], mtime=0), gzip.compress(whole[at:], mtime=0)
    extra = b"SG" + struct.pack("<H", 22) + b"%016xSTARGZ" % len(head)
    footer = (b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H", len(extra)) + extra
              + b"\x01\0\0\xff\xff" + bytes(8))
    return head + tail + footer, whole


def chunked(files):
    """zstd:chunked: the tar, then the table and the footer in skippable frames."""
    whole = stores.tar_of(files)
    head, packed = zstd(whole), zstd(table(files))
    skippable = lambda data: struct.pack("<II", 0x184D2A50, len(data)) + data
    footer = struct.pack("<8Q", len(head) + 8, len(packed), len(table(files)), 1, 0, 0, 0, 0)
    return head + skippable(packed) + skippable(footer[:-8] + b"GNUlInUx"), whole


def layers(layout):
    """Descriptor and diff_id of one layer after the other."""
    for number, name in enumerate(NAMES):
        tar = (GOLDEN / f"{name}.tar").read_bytes()
        packed, kind = ((stores.packed(tar), "+gzip"), (zstd(tar), "+zstd"), (tar, ""))[number % 3]
        yield layout.put(packed, oci.LAYER + kind), stores.sha256(tar)
    large = stores.tar_of({"srv/noise": noise(1 << 18), "srv/text": b"text " * 60000})
    yield layout.put(gzip.compress(large, 1, mtime=0), stores.GZIP), stores.sha256(large)
    yield layout.put(zstd(large, "-19"), oci.LAYER + "+zstd"), stores.sha256(large)
    files = {"etc/a": b"a\n" * 300, "etc/b": b"b\n" * 900}
    for packed, tar in (estargz(files), chunked(files)):
        kind = "+gzip" if packed[:2] == b"\x1f\x8b" else "+zstd"
        yield layout.put(packed, oci.LAYER + kind), stores.sha256(tar)
    yield (layout.put(stores.packed(stores.TOP), stores.GZIP, algorithm="sha512"),
           stores.sha256(stores.TOP))
    yield layout.put(zstd(unsorted()), oci.LAYER + "+zstd"), stores.sha256(unsorted())
    many = stores.tar_of({f"many/file-{number}": b"x" * number for number in range(200)})
    yield layout.put(stores.packed(many), stores.GZIP), stores.sha256(many)


def unsorted():
    """Extended attributes and records of no known meaning, in no order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo(".")
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
        member = tarfile.TarInfo("top")
        member.pax_headers = {"SCHILY.xattr.user.b": "2", "SCHILY.xattr.user.a": "1", "Z.z": "4", "A.a": "3"}
        tar.addfile(member)
        # Longer than what the facets are gathered in, each a little more than the one before: the times
        # of a folder, its mode (what it holds has a longer path, and tells that it is there), names.
        for name, uname in (("a" * 8140, "root"), ("b" * 8300, "root"), ("c", "n" * 9000)):
            member = tarfile.TarInfo(name)
            member.type, member.uname, member.mtime = tarfile.DIRTYPE, uname, 1.5
            tar.addfile(member)
            tar.addfile(tarfile.TarInfo(f"{name}/d"))
        member = tarfile.TarInfo("deep/" + "n" * 9000)
        member.uname, member.mtime = "somebody", 1.5
        member.pax_headers = {"SCHILY.xattr.user.a": "1" * 9000}
        tar.addfile(member)
    return out.getvalue()


def records(reverse):
    """An entry with many records, in one order or the other."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("many")
        names = sorted((f"VENDOR.{number:04}" for number in range(3000)), reverse=reverse)
        member.pax_headers = {name: "value" for name in names}
        tar.addfile(member)
    return out.getvalue()


def crowded(folder):
    """One layer that is claimed in many ways, by manifests of which one has two sizes; a config that is
    large; layers that take some room to be told apart."""
    made = oci.Layout(folder)
    tar = unsorted()
    layer = made.put(stores.packed(tar), stores.GZIP)
    images = []
    for number in range(40):
        claimed = {**layer, "mediaType": f"application/x-{number:0200d}"} if number else layer
        images.append(made.image([(claimed, stores.sha256(tar))], architecture=f"a{number}",
                                 created="2024-05-05T01:02:03Z"))
    made.tag("many", made.index(images))
    made.tag("other-size", {**images[0], "size": images[0]["size"] + 1})
    config = made.put_json({"os": "linux", "architecture": "amd64", "config": {"Labels": {
        f"label.{number}": "of some length " * 60 for number in range(400)}},
        "rootfs": {"type": "layers", "diff_ids": [stores.sha256(tar)]}}, oci.CONFIG)
    made.tag("large", made.put_json({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config,
                                     "layers": [layer]}, oci.MANIFEST))
    made.tag("claimed", made.image([({**layer, "mediaType": f"application/x-{number}"}, stores.sha256(tar))
                                    for number in range(200)]))
    db.age(folder)
    return f"oci:{folder}"


def grown(folder):
    """An image with and without a layer that has what matters to security."""
    made = oci.Layout(folder)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("bin/su")
        member.mode, member.pax_headers = 0o4755, {"SCHILY.xattr.security.capability": "1"}
        tar.addfile(member)
    tars = [stores.BASE, stores.TOP, out.getvalue()]
    layers = [(made.put(stores.packed(tar), stores.GZIP), stores.sha256(tar)) for tar in tars]
    made.tag("less", made.image(layers[:1]))
    made.tag("more", made.image(layers))
    db.age(folder)
    return f"oci:{folder}"


def pax_tar(entries, pax=None):
    """Of names, what is theirs, and contents; with a global header."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=pax or {}) as tar:
        for name, given, content in entries:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in given.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def odd_pairs():
    """Pairs of layers of which a comparison has much to hold against each other: the same global header and
    the same padding that is not NULs, with a header that is no small one; entries that moved where their
    order means something; hard links that are given otherwise; risks, in gzip, with a trailer."""
    pax, link = {"VENDOR.x": "1"}, lambda name: {"type": tarfile.LNKTYPE, "linkname": name}
    large = {"pax_headers": {"SCHILY.xattr.user.x": "".join(chr(33 + i * i % 90) for i in range(3000))}}
    padded = []
    for mtime in (5, 6):
        data = bytearray(pax_tar([("a", {}, b"1"), ("b", large, b"2"), ("c", {"mtime": mtime}, b"")], pax))
        data[data.index(b"1" + bytes(511), 1024) + 5] = 65
        padded.append(bytes(data))
    moved = [pax_tar([*first, ("y", {}, b"y"), ("z", {}, b"z"), ("a", {}, b"1"), ("a", {}, b"2"), *last])
             for first, last in (([("x", {}, b"x")], []), ([], [("x", {}, b"x")]))]
    linked = [pax_tar([(one, {}, b"1"), (other, link(one), b""), ("third", link(one), b"")], pax)
              for one, other in (("f", "g"), ("g", "f"))]
    return {"padded": padded, "moved": moved, "linked": linked, "risks": [
        gzip.compress(tar + tail, mtime=mtime) for mtime, (tar, tail) in enumerate(zip(risks(), (b"one", b"two")))]}


def risks():
    capability = {"pax_headers": {"SCHILY.xattr.security.capability": "x" * 20}}
    return [pax_tar([("su", {"mode": 0o755}, b"s"), ("c", {}, b"c"), ("old", {}, b"o")], {"VENDOR.x": "1"}),
            pax_tar([("su", {"mode": 0o4755}, b"s"), ("c", capability, b"d"), ("new", {}, b"n")], {"VENDOR.x": "1"})]


def odd_images(folder):
    """Two images with such layers: one that both have, risks, times, and what the right one has alone."""
    made = oci.Layout(folder)
    alone = pax_tar([("alone", {"mode": 0o4755}, b"s"), ("q", {}, b"q")])
    times = [pax_tar([("z", {"mtime": mtime}, b"s"), ("z2", {}, b"q")]) for mtime in (8, 9)]
    for name, tars in (("left", [risks()[0], times[0]]), ("right", [risks()[1], times[1], alone])):
        made.tag(name, made.image([(made.put(stores.packed(tar), stores.GZIP), stores.sha256(tar))
                                   for tar in (stores.BASE, *tars)]))
    db.age(folder)
    return f"oci:{folder}"


def bad_layers(layout):
    """Cut, flipped, no tar, nothing at all, another's diff_id, away."""
    packed = stores.packed(stores.OTHER)
    flipped = bytearray(zstd(stores.OTHER, "--check"))
    flipped[-1] ^= 1
    bent = bytearray(packed)
    bent[12:40] = b"\xff" * 28
    for data, kind in ((packed[:-9], "+gzip"), (bytes(flipped), "+zstd"), (bytes(bent), "+gzip"), (b"no tar" * 200, ""),
                       (b"", ""), (stores.OTHER[:-2000], "")):
        yield layout.put(data, oci.LAYER + kind), stores.sha256(stores.OTHER)
    away = layout.put(stores.packed(stores.OTHER + bytes(1024)), stores.GZIP)
    layout.path(away["digest"]).unlink()
    yield away, stores.sha256(stores.OTHER)


def layout(folder):
    made = oci.Layout(folder)
    good = list(layers(made))
    for number in range(0, len(good), 4):
        made.tag(f"good-{number}", made.image(good[number:number + 4]))
    for number, layer in enumerate(bad_layers(made)):
        made.tag(f"bad-{number}", made.image([good[0], layer]))
    made.tag("many:1", made.index([made.image(good[:2]), made.image(good[1:3], docker=True)]))
    broken = made.put(b'{"schemaVersion":2,"layers":[],"layers":[]}', oci.MANIFEST)
    made.tag("twice:1", broken)
    db.age(folder)
    return f"oci:{folder}"


def small(folder):
    """All of it well formed, and few layers."""
    made = oci.Layout(folder)
    good = list(layers(made))[::5]
    made.tag("one:1", made.image(good))
    db.age(folder)
    return f"oci:{folder}"


def referred(folder):
    """An image, and what is said about it: artifacts that are copied, and say then what became of it."""
    made = oci.Layout(folder)
    tar = (GOLDEN / "tree-reversed.tar").read_bytes()
    image = made.image([(made.put(stores.packed(tar), stores.GZIP), stores.sha256(tar))])
    made.tag("app", image)
    empty = made.put(b"{}", "application/vnd.oci.empty.v1+json")
    for number in range(2):
        made.tag(f"about-{number}", made.put_json(
            {"schemaVersion": 2, "mediaType": oci.MANIFEST, "artifactType": f"application/x-{number}",
             "config": empty, "layers": [empty], "subject": image}, oci.MANIFEST))
    return f"oci:{folder}"


def registry(folder):
    made = test_hostile.Registry(folder)
    made.image("app", "1", stores.BASE, stores.TOP)
    made.image("team/app", None, stores.BASE)
    made.put(stores.packed(stores.OTHER))
    db.age(folder)
    return f"registry-fs:{folder}"


def docker_archive(path):
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {
        "type": "layers", "diff_ids": [stores.sha256(stores.BASE), stores.sha256(stores.TOP)]}})
    manifest = [{"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["c.tar", "b.tar"]}]
    members = {"config.json": config.encode(), "a.tar": stores.BASE,
               "b.tar": stores.packed(stores.TOP), "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        def add(name, data):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, data in members.items():
            add(name, data)
        link = tarfile.TarInfo("c.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "a.tar"
        tar.addfile(link)
        add("config.json", config.encode()) # once more
    return f"docker-archive:{path}"


def zot(folder):
    """Layouts in a tree of folders, which are repositories."""
    folder.mkdir()
    for name in ("app", "team"):
        stores.small_layout(folder / name)
    return f"zot:{folder}"


def folders(folder):
    """A tree of what skopeo writes."""
    folder.mkdir()
    for name in ("a", "b"):
        directory(folder / name)
    return f"dir:{folder}"


def indexed(folder):
    """One such of two images; the index names manifests that lie beside the blobs."""
    directory(folder)
    data = (folder / "manifest.json").read_bytes()
    digest = stores.sha256(data)
    (folder / f"{digest[7:]}.manifest.json").write_bytes(data)
    (folder / "manifest.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [
        {"mediaType": oci.DOCKER_MANIFEST, "digest": digest, "size": len(data),
         "platform": {"os": "linux", "architecture": "amd64"}}]}))
    return f"dir:{folder}"


def piles(folder):
    """Blobs that lie by more than one pattern."""
    operand = pile(folder)
    for data in (b"quay", b"another"):
        digest = stores.sha256(data)[7:]
        (folder / "sha256" / digest[:2]).mkdir()
        (folder / "sha256" / digest[:2] / digest).write_bytes(data)
    (folder / stores.sha256(b"flat")[7:]).write_bytes(b"flat")
    return operand


def drivers(folder):
    """Docker's folder with two drivers, of which the first counts."""
    operand = docker(folder)
    other = folder / "image" / "vfs"
    shutil.copytree(folder / "image" / "overlay2", other)
    names = other / "repositories.json"
    names.write_text(names.read_text().replace("app", "other"))
    return operand


def nested(folder):
    """containers-storage with two drivers, and an OCI layout among a layer's files."""
    storage(folder)
    for name in ("zfs-layers", "zfs-images"):
        (folder / name).mkdir()
    (folder / "zfs-images" / "images.json").write_text("[]")
    stores.small_layout(next((folder / "vfs" / "dir").iterdir()) / "layout")
    return str(folder)


def content(folder):
    """containerd's content folder."""
    pile(folder / "blobs")
    (folder / "ingest").mkdir()
    return str(folder)


def long_paths(path):
    """An archive of docker's with paths that are longer than any file system takes."""
    long = "/".join(["l" * 200] * 22)
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {
        "type": "layers", "diff_ids": [stores.sha256(stores.BASE)]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": ["a:1"], "Layers": [f"{long}/layer.tar"]}]).encode()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in (("manifest.json", manifest), ("config.json", config),
                           (f"{long}/layer.tar", stores.BASE), (f"{long}/rest.tar", stores.TOP)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return f"docker-archive:{path}"


def odd_sources(folder):
    """Where a look that fails could lead to something else than what is there."""
    folder.mkdir()
    return {"folders": folders(folder / "folders"), "indexed": indexed(folder / "indexed"),
            "piles": piles(folder / "piles"), "drivers": drivers(folder / "drivers"),
            "nested": nested(folder / "nested"), "nested-storage": f"containers-storage:{folder}/nested",
            "content": content(folder / "content"), "long": long_paths(folder / "long.tar"),
            "docker-archive": docker_archive(folder / "docker.tar"), "folder": f"{folder}/folders"}


def oci_archive(path, folder):
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, ".")
    return f"oci-archive:{path}"


def docker(folder):
    """Layers as folders, put together by what tar-split keeps of them."""
    _, _, chains = test_written.Unpacked.docker(types.SimpleNamespace(), folder)
    for number, (chain, tar) in enumerate(zip(chains, (stores.BASE, stores.TOP))):
        (chain / "cache-id").write_text(f"{number:064x}")
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            archive.extractall(folder / "overlay2" / f"{number:064x}" / "diff")
        (chain / "tar-split.json.gz").write_bytes(test_written.tar_split(folder.parent, tar))
    return f"docker:{folder}"


def storage(folder):
    """containers-storage with the vfs driver: one image of two layers."""
    tars = [stores.BASE, stores.TOP]
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {
        "type": "layers", "diff_ids": [stores.sha256(tar) for tar in tars]}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.CONFIG, "digest": stores.sha256(config), "size": len(config)},
        "layers": [{"mediaType": oci.LAYER, "digest": stores.sha256(tar), "size": len(tar)}
                   for tar in tars]}).encode()
    identity, digest = stores.sha256(config)[7:], stores.sha256(manifest)
    (folder / "vfs-images" / identity).mkdir(parents=True)
    (folder / "vfs-layers").mkdir()
    (folder / "vfs-images" / identity / "manifest").write_bytes(manifest)
    # Names that base64 stands for are what has more than letters and digits in it.
    name = "=" + base64.b64encode(f"sha256:{identity}".encode()).decode()
    (folder / "vfs-images" / identity / name).write_bytes(config)
    rows = []
    for number, tar in enumerate(tars):
        row = {"id": f"{number:064x}", "diff-digest": stores.sha256(tar), "diff-size": len(tar),
               "compressed-diff-digest": stores.sha256(tar), "compressed-size": len(tar)}
        if number:
            row["parent"] = f"{number - 1:064x}"
        rows.append(row)
        files = folder / "vfs" / "dir" / row["id"]
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            archive.extractall(files)
        (folder / "vfs-layers" / f"{row['id']}.tar-split.gz").write_bytes(
            test_written.tar_split(folder.parent, tar))
    (folder / "vfs-layers" / "layers.json").write_text(json.dumps(rows))
    (folder / "vfs-images" / "images.json").write_text(json.dumps([{
        "id": identity, "digest": digest, "names": ["localhost/app:1"], "layer": rows[-1]["id"],
        "big-data-names": ["manifest", f"sha256:{identity}"],
        "big-data-sizes": {"manifest": len(manifest), f"sha256:{identity}": len(config)},
        "big-data-digests": {"manifest": digest, f"sha256:{identity}": f"sha256:{identity}"}}]))
    return f"containers-storage:{folder}"


def directory(folder):
    """skopeo's dir: transport."""
    folder.mkdir()
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [stores.sha256(stores.TOP)]}})
    layer = stores.packed(stores.TOP)
    manifest = {"schemaVersion": 2, "mediaType": oci.DOCKER_MANIFEST,
                "config": {"mediaType": oci.DOCKER_CONFIG, "size": len(config),
                           "digest": stores.sha256(config.encode())},
                "layers": [{"mediaType": oci.DOCKER_LAYER, "size": len(layer),
                            "digest": stores.sha256(layer)}]}
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / stores.sha256(config.encode())[7:]).write_text(config)
    (folder / stores.sha256(layer)[7:]).write_bytes(layer)
    return f"dir:{folder}"


def two(folder):
    """Two images, each with a layer of its own, beneath one tag and each under one of its own."""
    made = oci.Layout(folder)
    images = [made.image([(made.put(stores.packed(tar), stores.GZIP), stores.sha256(tar))], architecture=name)
              for name, tar in (("amd64", stores.BASE), ("arm64", stores.TOP))]
    made.tag("both", made.index(images))
    for name, image in zip(("x", "y"), images):
        made.tag(name, image)
    db.age(folder)
    return made


def pile(folder):
    """Blobs, of which one is an image."""
    made = folder / "sha256"
    made.mkdir(parents=True)
    config = json.dumps({"os": "linux", "architecture": "amd64",
                         "rootfs": {"type": "layers", "diff_ids": [stores.sha256(stores.TOP)]}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.CONFIG, "digest": stores.sha256(config), "size": len(config)},
        "layers": [{"mediaType": oci.LAYER, "digest": stores.sha256(stores.TOP), "size": len(stores.TOP)}]}).encode()
    for data in (stores.BASE, stores.TOP, config, manifest):
        (made / stores.sha256(data)[7:]).write_bytes(data)
    (made / stores.sha256(b"x")[7:]).write_bytes(zlib.compress(b"x"))
    return f"cas:{folder}"


def all_sources(folder):
    """A name and an operand for each kind of source."""
    return {
        "layout": layout(folder / "layout"),
        "registry": registry(folder / "registry"),
        "docker-archive": docker_archive(folder / "docker.tar"),
        "oci-archive": oci_archive(folder / "oci.tar", stores.small_layout(folder / "x").folder),
        "docker": docker(folder / "docker"),
        "storage": storage(folder / "storage"),
        "dir": directory(folder / "dir"),
        "pile": pile(folder / "pile"),
        "crowded": crowded(folder / "crowded"),
        "zot": zot(folder / "zot"),
    }
