# SPDX-License-Identifier: Apache-2.0
"""Writes OCI image layouts (image-spec 1.1, image-layout.md), well formed or with one chosen fault."""

import hashlib
import json
import pathlib

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
MANIFEST = OCI + "manifest.v1+json"
INDEX = OCI + "index.v1+json"
CONFIG = OCI + "config.v1+json"
LAYER = OCI + "layer.v1.tar"
DOCKER_MANIFEST = DOCKER + "distribution.manifest.v2+json"
DOCKER_LIST = DOCKER + "distribution.manifest.list.v2+json"
DOCKER_CONFIG = DOCKER + "container.image.v1+json"
DOCKER_LAYER = DOCKER + "image.rootfs.diff.tar.gzip"
REF_NAME = "org.opencontainers.image.ref.name"


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Layout:
    """An image layout in a folder. `put` and what stands on it give descriptors (dicts), which may be
    changed before they are put into something else: that is how faults are planted."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.top = []
        (self.folder / "blobs").mkdir(parents=True)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def path(self, digest):
        algorithm, _, text = digest.partition(":")
        return self.folder / "blobs" / algorithm / text

    def put(self, data, media_type, algorithm="sha256", **fields):
        """Stores a blob; its descriptor."""
        digest = digest_of(data, algorithm)
        path = self.path(digest)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **fields}

    def put_json(self, document, media_type, **fields):
        return self.put(json.dumps(document, separators=(",", ":")).encode(), media_type, **fields)

    def image(self, layers, docker=False, media_type=True, architecture="amd64", created=None,
              **fields):
        """A config and a manifest; the manifest's descriptor. `layers` is a list of pairs: a blob's
        descriptor, and the diff_id that the config shall claim."""
        config = {**({"created": created} if created else {}),
                  "architecture": architecture, "os": "linux", "config": {},
                  "rootfs": {"type": "layers", "diff_ids": [diffid for _, diffid in layers]}}
        manifest = {"schemaVersion": 2}
        kind = DOCKER_MANIFEST if docker else MANIFEST
        if media_type:
            manifest["mediaType"] = kind
        manifest["config"] = self.put_json(config, DOCKER_CONFIG if docker else CONFIG)
        manifest["layers"] = [layer for layer, _ in layers]
        return self.put_json(manifest, kind, **fields)

    def index(self, manifests, docker=False):
        """An index of manifests and indexes; its descriptor."""
        kind = DOCKER_LIST if docker else INDEX
        return self.put_json({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}, kind)

    def tag(self, name, descriptor):
        """Puts an image or index into index.json, under a name."""
        self.tags([(name, descriptor)])

    def tags(self, pairs):
        """Many at once: index.json is written once."""
        self.top += [{**descriptor, "annotations": {REF_NAME: name}} for name, descriptor in pairs]
        (self.folder / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": self.top}, indent=1))


def repoint(folder, old, change, name=None):
    """Changes a JSON blob of a layout and everything that refers to it, up to index.json, so that all
    names and sizes hold again. `old` is the blob's digest; `change` alters the document in place.
    With `name`, only that tag of index.json follows, and other tags keep what they had."""
    folder = pathlib.Path(folder)

    def blob(digest):
        return folder / "blobs" / digest.replace(":", "/")

    def rewrite(digest, alter):
        document = json.loads(blob(digest).read_bytes())
        alter(document)
        data = json.dumps(document, separators=(",", ":")).encode()
        new = digest_of(data)
        blob(new).write_bytes(data)
        return new, len(data)

    def descriptors(document):
        yield from document.get("manifests", [])
        if "config" in document:
            yield document["config"]

    def follow(document):
        """Re-points whatever leads to `old`; whether anything did."""
        found = False
        for descriptor in descriptors(document):
            digest = descriptor["digest"]
            if digest == old:
                descriptor["digest"], descriptor["size"] = rewrite(old, change)
                found = True
            elif "config" not in document and follow(json.loads(blob(digest).read_bytes())):
                descriptor["digest"], descriptor["size"] = rewrite(digest, follow)
                found = True
        return found

    path = folder / "index.json"
    index = json.loads(path.read_bytes())
    tops = [top for top in index["manifests"]
            if name is None or top.get("annotations", {}).get(REF_NAME) == name]
    if not follow({"manifests": tops}):
        raise ValueError(f"nothing refers to {old}")
    path.write_text(json.dumps(index))
