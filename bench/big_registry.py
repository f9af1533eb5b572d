#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a registry's storage tree of many small layers: `big_registry.py FOLDER LAYERS [PER_IMAGE]`.

For measuring what a scan costs beside reading and decoding. Layers hold one file each, all
different; every image has PER_IMAGE (10) of them, every repository ten tags. Files are an hour old, so that their times can be trusted."""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import time


def main(folder, layers, per_image=10):
    root = os.path.join(folder, "docker/registry/v2")
    old = time.time() - 3600

    def write(path, data):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        os.utime(path, (old, old))

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        write(f"{root}/blobs/sha256/{digest[:2]}/{digest}/data", data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    def layer(number):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            content = b"%d\n" % number
            info = tarfile.TarInfo("srv/file-%d" % number)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        data = out.getvalue()
        packed = put(gzip.compress(data, 1, mtime=0))
        packed["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
        return packed, "sha256:" + hashlib.sha256(data).hexdigest()

    for number in range(layers // per_image):
        mine = [layer(number * per_image + i) for i in range(per_image)]
        config = put(json.dumps({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diffid for _, diffid in mine]}}).encode())
        config["mediaType"] = "application/vnd.oci.image.config.v1+json"
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": [packed for packed, _ in mine]}).encode()
        digest = put(manifest)["digest"]
        repository = f"{root}/repositories/team/app-{number // 10}"
        for path in (f"_manifests/tags/{number % 10}/current/link",
                     f"_manifests/revisions/sha256/{digest[7:]}/link"):
            write(f"{repository}/{path}", digest.encode())
        for name in [config["digest"]] + [packed["digest"] for packed, _ in mine]:
            write(f"{repository}/_layers/sha256/{name[7:]}/link", name.encode())


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
