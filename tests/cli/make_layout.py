# SPDX-License-Identifier: Apache-2.0
"""make_layout.py FOLDER [FAULT]: a small layout whose bytes are the same everywhere, for the tables.

Two images, one:1 and two:1, that share a layer. FAULT plants one fault in two:1: flip, diffid, size,
missing, label, twice (a key given twice in its manifest), count (a diff_id too many)."""

import io
import pathlib
import sys
import tarfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent / "corpora"))
import oci


def archive(*names):
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = 6 * len(name), 1_700_000_000
            tar.addfile(entry, io.BytesIO((name + "\n").encode() * 6))
    return memory.getvalue()


def stored_gzip(data):
    """Gzip without compression: the same bytes whatever zlib is installed."""
    encoder = zlib.compressobj(0, zlib.DEFLATED, 31)
    return encoder.compress(data) + encoder.flush()


def main(folder, fault=None):
    layout = oci.Layout(folder)
    shared, other = archive("shared/file"), archive("other/file", "other/more")
    one = layout.put(shared, oci.LAYER), oci.digest_of(shared)
    two = layout.put(stored_gzip(other), oci.LAYER + "+gzip"), oci.digest_of(other)
    layout.tag("one:1", layout.image([one]))
    path = layout.path(two[0]["digest"])
    if fault == "flip":
        data = bytearray(path.read_bytes())
        data[700] ^= 1
        path.write_bytes(data)
    elif fault == "missing":
        path.unlink()
    elif fault == "size":
        two[0]["size"] += 1
    elif fault == "label":
        two[0]["mediaType"] = oci.LAYER + "+zstd"
    elif fault == "diffid":
        two = two[0], oci.digest_of(b"another")
    image = layout.image([one, two])
    if fault == "twice":
        data = layout.path(image["digest"]).read_bytes()
        image = layout.put(data[:-1] + b',"layers":[]}', oci.MANIFEST)
    elif fault == "count":
        config = {"architecture": "amd64", "os": "linux",
                  "rootfs": {"type": "layers", "diff_ids": [one[1], two[1], two[1]]}}
        image = layout.put_json(
            {"schemaVersion": 2, "config": layout.put_json(config, oci.CONFIG),
             "layers": [one[0], two[0]]}, oci.MANIFEST)
    layout.tag("two:1", image)


if __name__ == "__main__":
    main(*sys.argv[1:])
