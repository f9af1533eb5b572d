/* SPDX-License-Identifier: Apache-2.0 */
/* varve/rewrite.h - an OCI image layout written anew after its layers were.
 *
 * Layers are the caller's to write (varve/normalize.h, and a compressor); what this header does is
 * all that follows from new layers: configs, manifests, indexes, index.json. It reads documents
 * strictly, and writes them as bytes for paths, wherever the caller keeps these.
 *
 *     varve_rewrite_open(&rewrite, &options, "DIR[:TAG]");
 *     if (varve_rewrite_error_count(rewrite) > 0) ...           // it cannot be done: why
 *     for each blob < varve_rewrite_blob_count(rewrite):        // in any order, on any thread
 *         if (blob.layer)                                       // write it anew
 *             fd = varve_rewrite_open_blob(rewrite, &offset, &bytes, &fault, i);
 *             varve_normalize(...);
 *             varve_rewrite_set_layer(rewrite, &fault, i, &layer);
 *         if (blob.copied)                                      // and, or, as it is
 *             varve_rewrite_copy(rewrite, &fault, i, sink, cookie);
 *     varve_rewrite_documents(rewrite, put, cookie);
 *     ... varve_rewrite_mapping(rewrite, i)                     // what became of what
 *
 * What is written (image-spec 1.1: image-layout, index, manifest, config, descriptor, annotations):
 *   - Of an image (a manifest with an image config and, unless it has no layers, at least one layer
 *     of OCI's or Docker's layer types): its layers of these types are written anew, their media
 *     types say how they are stored, and rootfs.diff_ids follows. Other layers are copied.
 *   - Annotations of layers that tell where things lie in the old bytes (eStargz, zstd:chunked) go
 *     where the layer's bytes changed, containerd.io/uncompressed follows.
 *   - Indexes and index.json follow, nested ones too, and so do `subject`, the annotation
 *     vnd.docker.reference.digest of documents and of the descriptors in them, and tags of the
 *     referrers tag schema ("sha256-<hex>", with or without ".sig", ".att", ".sbom"). Where that
 *     would give one tag to two (of images that become one), the first has it and the others keep
 *     theirs. A subject or reference to what is not there, or is no document, stays.
 *   - Times, where a clamp is given: `created` of configs and of their histories' events, and
 *     org.opencontainers.image.created wherever it annotates or labels what is written anew.
 *   - All other values stay, keys that the specification does not know included. Where a descriptor
 *     changed, its `data` and `urls`, which are the old bytes, go.
 *   - Documents are written as canonical JSON (RFC 8785; integers beyond 2^53 exactly): two that
 *     say the same become the same.
 *   - Everything else is copied byte for byte: attestation manifests, artifacts (but for subjects
 *     and references) and what hangs on them. What they say or sign is about the old digests, and
 *     no longer holds.
 * Blobs that nothing refers to are left out. With a tag, index.json keeps the entries of that tag
 * and those that refer to what hangs on them: by a subject, a reference or their own tag.
 *
 * What does not bear the digest or size that is claimed of it, and what is malformed, is an error:
 * it is never made to look sound. */
#ifndef VARVE_REWRITE_H
#define VARVE_REWRITE_H

#include "varve/base.h"
#include "varve/catalog.h"
#include "varve/normalize.h"

#ifdef __cplusplus
extern "C" {
#endif

struct varve_rewrite_options {
    enum varve_compression compression; /* of the new layers: NONE, GZIP or ZSTD */
    bool has_clamp;                     /* no time is later than this */
    bool same_times;                    /* all times that are there are the clamp's (or 0) */
    int64_t clamp_seconds;              /* from MIN to MAX, where either is set */
};

/* What RFC 3339 can say: the first second of year 0, the last one of year 9999. */
#define VARVE_REWRITE_TIME_MIN (-INT64_C(62167219200))
#define VARVE_REWRITE_TIME_MAX INT64_C(253402300799)

struct varve_rewrite;

/* Reads the documents of a layout. VARVE_OK, also where some are at fault (see below), or
 * VARVE_ERROR (no memory; *rewrite = NULL). */
VARVE_API enum varve_status varve_rewrite_open(struct varve_rewrite **rewrite,
                                               const struct varve_rewrite_options *options,
                                               const char *layout);
VARVE_API void varve_rewrite_close(struct varve_rewrite *rewrite);

/* Why the layout cannot be written anew: all that is wrong with its documents. Strings are the
 * object's. */
VARVE_API size_t varve_rewrite_error_count(const struct varve_rewrite *rewrite);
VARVE_API struct varve_catalog_error varve_rewrite_error(const struct varve_rewrite *rewrite,
                                                         size_t error);

/* A distinct blob that images hold, in the order in which documents name them. */
struct varve_rewrite_blob {
    const char *name; /* "sha256:<hex>" */
    uint64_t size;    /* as claimed */
    bool layer;       /* to be written anew */
    bool copied;      /* needed as it is; may be both */
};
VARVE_API size_t varve_rewrite_blob_count(const struct varve_rewrite *rewrite);
VARVE_API struct varve_rewrite_blob varve_rewrite_blob(const struct varve_rewrite *rewrite,
                                                       size_t blob);

/* The manifests that name a blob: the first, and the next one; SIZE_MAX: none. */
VARVE_API size_t varve_rewrite_first_use(const struct varve_rewrite *rewrite, size_t blob);
VARVE_API size_t varve_rewrite_next_use(const struct varve_rewrite *rewrite, size_t use);
struct varve_rewrite_use {
    const char *manifest; /* its digest */
    const char *ref;      /* the tag that leads to it first (a very long one is cut), or NULL */
};
VARVE_API struct varve_rewrite_use varve_rewrite_use(const struct varve_rewrite *rewrite,
                                                     size_t use);

/* As varve_catalog_open_blob. Any thread. */
VARVE_API int varve_rewrite_open_blob(const struct varve_rewrite *rewrite, uint64_t *offset,
                                      uint64_t *bytes, struct varve_fault *fault, size_t blob);

/* Gives a blob's bytes to `sink`, and holds them against its name and size. VARVE_OK, or a status
 * with *fault. Any thread. */
VARVE_API enum varve_status varve_rewrite_copy(const struct varve_rewrite *rewrite,
                                               struct varve_fault *fault, size_t blob,
                                               varve_sink_fn *sink, void *cookie);

/* A layer as it was written. */
struct varve_rewrite_layer {
    const struct varve_normalized *tar;
    uint64_t bytes; /* stored */
    uint8_t digest[VARVE_SHA256_BYTES];
};

/* Tells what became of a layer, and holds what was read against its name and size. VARVE_OK, or
 * VARVE_MISMATCH (VARVE_ERROR: it could not be read once more) with *fault. One call for each, any
 * thread. */
VARVE_API enum varve_status varve_rewrite_set_layer(struct varve_rewrite *rewrite,
                                                    struct varve_fault *fault, size_t blob,
                                                    const struct varve_rewrite_layer *layer);

/* Takes a file of the new layout: "blobs/sha256/<hex>", "index.json", "oci-layout". The same path
 * may come more than once, with the same bytes. False: stop (io.write with errno). */
typedef bool varve_rewrite_put_fn(void *cookie, const char *path, const void *data, size_t bytes);

/* Writes all documents, after every layer was told: those that others refer to first, index.json
 * and oci-layout last. VARVE_OK, or a status: the errors (above) then say why. */
VARVE_API enum varve_status varve_rewrite_documents(struct varve_rewrite *rewrite,
                                                    varve_rewrite_put_fn *put, void *cookie);

enum varve_rewrite_kind {
    VARVE_REWRITE_LAYER,
    VARVE_REWRITE_BLOB, /* copied */
    VARVE_REWRITE_CONFIG,
    VARVE_REWRITE_MANIFEST,
    VARVE_REWRITE_INDEX
};
/* "layer", "blob", "config", "manifest", "index". Static storage. */
VARVE_API const char *varve_rewrite_kind_name(enum varve_rewrite_kind kind);

/* After varve_rewrite_documents: what became of what, in a fixed order: blobs, then documents as
 * they were written. What did not change has equal names. Strings are the object's. */
struct varve_rewrite_mapping {
    enum varve_rewrite_kind kind;
    const char *before, *after; /* "sha256:<hex>" */
    uint64_t bytes_before, bytes_after;
    const char *ref;  /* of manifests and indexes: the tag that leads to it first, or NULL */
    bool attestation; /* a manifest of BuildKit's attestations */
    bool artifact;    /* another manifest that is no image's: what it says may not hold */
    bool has_diffids; /* of layers: */
    char diffid_before[72], diffid_after[72];
};
VARVE_API size_t varve_rewrite_mapping_count(const struct varve_rewrite *rewrite);
VARVE_API struct varve_rewrite_mapping varve_rewrite_mapping(const struct varve_rewrite *rewrite,
                                                             size_t index);

#ifdef __cplusplus
}
#endif
#endif
