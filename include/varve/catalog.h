/* SPDX-License-Identifier: Apache-2.0 */
/* varve/catalog.h - what the sources hold: distinct blobs, what is claimed of them, and images.
 *
 * A catalog is filled from sources (an OCI image layout, a registry's storage tree, an archive,
 * loose files: docs/sources.md), then read by varve/scan.h. Every distinct blob of a source stands
 * in it once, however many images share it. Formats: OCI image-spec 1.1 (image-layout, index,
 * manifest, config, descriptor), Docker image manifest version 2, schema 2, and the stores' own.
 *
 * One thread at a time fills a catalog (with others of its own: varve_catalog_set_threads); a
 * filled one may be read by many. Strings are the catalog's, valid until it is closed.
 */
#ifndef VARVE_CATALOG_H
#define VARVE_CATALOG_H

#include <stdio.h>

#include "varve/base.h"
#include "varve/decode.h"
#include "varve/ladder.h"
#include "varve/sha256.h"
#include "varve/split.h"
#include "varve/tar.h"

#ifdef __cplusplus
extern "C" {
#endif

struct varve_catalog;

/* VARVE_OK, or VARVE_ERROR (no memory; *catalog = NULL). */
VARVE_API enum varve_status varve_catalog_open(struct varve_catalog **catalog);
VARVE_API void varve_catalog_close(struct varve_catalog *catalog);

/* Sources that are added from now on are read with so many threads; 0, as at first:
 * varve_thread_default() (scan.h). What is found does not depend on it. */
VARVE_API void varve_catalog_set_threads(struct varve_catalog *catalog, unsigned threads);

/* From now on files of unpacked layers are held against the CRC-64 that the store has kept of each
 * (varve/split.h), which the stores' own programs do too: they give no layer with a file, or a CRC,
 * that is another. Such a layer cannot be read then, and varve_scan_run says split.content of it,
 * not what its bytes digest to. */
VARVE_API void varve_catalog_check_contents(struct varve_catalog *catalog);

/* From now on the manifests and configs of images are kept as they were read: for comparing images,
 * for a whole registry would keep a great deal. */
VARVE_API void varve_catalog_keep_documents(struct varve_catalog *catalog);

/* Where temporary files go, before anything is added. What a catalog and a scan keep of a very
 * large mirror lies in one that has no name and goes with its process: from some 100,000 layers on,
 * 300 to 700 bytes for each. Without it /var/tmp, or else /tmp. Where there is no room memory is
 * taken instead, and more than the scan's bound. False: no memory. */
VARVE_API bool varve_catalog_set_temporary(struct varve_catalog *catalog, const char *folder);

/* Bytes of the catalog's that lie in a temporary file; *error is errno of why no more of them do,
 * or 0. */
VARVE_API uint64_t varve_catalog_spilled(const struct varve_catalog *catalog, int *error);

/* Adds a source: KIND:PLACE, where KIND is one of varve_source_kind_at(), or a path, whose kind is
 * found out by looking. What is wrong inside a source is kept with its images, or as an error of
 * the catalog (below), and filling goes on. Returns VARVE_OK, or VARVE_ERROR where the whole source
 * could not be read: an error of the catalog then says why. */
VARVE_API enum varve_status varve_catalog_add(struct varve_catalog *catalog, const char *source);

/* The kinds of sources: how many, and the one at `index` (< count), in the order in which they are
 * tried on a path. Static storage. */
struct varve_source_kind_info {
    const char *prefix;  /* "oci" */
    const char *operand; /* "DIR[:TAG]" */
    const char *text;    /* what it is, in a few words */
};
VARVE_API size_t varve_source_kind_count(void);
VARVE_API struct varve_source_kind_info varve_source_kind_at(size_t index);

/* Ends the adding of a source soon, from any thread or signal handler: what was found stands, and
 * nothing is added any more. The catalog's scan counts as interrupted, whatever it does. */
VARVE_API void varve_catalog_cancel(struct varve_catalog *catalog);

/* Adds one layer file of which nothing is claimed. "-" is standard input. Always VARVE_OK but for
 * VARVE_ERROR (no memory): the file is opened when it is scanned. */
VARVE_API enum varve_status varve_catalog_add_file(struct varve_catalog *catalog, const char *path);

/* One distinct blob: what some manifest calls a layer, what nothing refers to, or a loose file. */
struct varve_blob {
    const char *name;   /* "sha256:<hex>", "sha512:<hex>", or the path given */
    const char *source; /* "oci:DIR", ... or "file" */
    uint64_t size;      /* as found by looking, 0 where it could not be */
    bool referenced;    /* false: the source knows images, and nothing in it refers to this blob */
    size_t twin_of;     /* the first blob that is the same file (hard links, or one source inside
                           another); its own number where it is the first. Only that one is read */
};
VARVE_API size_t varve_catalog_blob_count(const struct varve_catalog *catalog);
VARVE_API struct varve_blob varve_catalog_blob(const struct varve_catalog *catalog, size_t blob);

/* The twin after `blob`, of those that are one file; SIZE_MAX where there is none. Begin with the
 * first. Twins have equal digests as names, or paths. */
VARVE_API size_t varve_catalog_next_twin(const struct varve_catalog *catalog, size_t blob);

/* A size that nobody claims. */
#define VARVE_NO_SIZE UINT64_MAX

/* What a descriptor and a config claim of a blob. Equal claims of many images are one claim. */
struct varve_claim {
    size_t blob;
    uint64_t size;          /* VARVE_NO_SIZE: none */
    const char *media_type; /* NULL: none */
    bool has_diffid;
    uint8_t diffid[VARVE_SHA256_BYTES];
};
VARVE_API size_t varve_catalog_claim_count(const struct varve_catalog *catalog);
VARVE_API struct varve_claim varve_catalog_claim(const struct varve_catalog *catalog, size_t claim);

/* The claims about one blob: the first, and the one after `claim`; SIZE_MAX where there is none. */
VARVE_API size_t varve_catalog_first_claim(const struct varve_catalog *catalog, size_t blob);
VARVE_API size_t varve_catalog_next_claim(const struct varve_catalog *catalog, size_t claim);

/* SHA-256 of an image config's canonical JSON (docs/image-ladder.md). */
struct varve_config_digests {
    uint8_t whole[VARVE_SHA256_BYTES];
    uint8_t timeless[VARVE_SHA256_BYTES];
};

/* One image: a manifest as a tag or index reaches it. */
struct varve_image {
    const char *source;
    const char *ref;      /* tag, or repository:tag, or NULL; beyond 1 KiB cut, with "..." */
    const char *digest;   /* of the manifest; of the config where the store has no manifest */
    const char *platform; /* "linux/amd64", "linux/arm64/v8", or NULL */
    bool attestation;     /* a BuildKit attestation manifest: not an image */
    bool artifact;        /* has a subject, an artifactType or another config: not an image */
    struct varve_fault
        fault; /* of its documents; code NULL: none. Layers' faults stand with the layers */
    const char *fault_digest; /* the document at fault, or NULL */
    const uint32_t *claims;   /* its layers in order, as claims */
    size_t layer_count;
    const struct varve_config_digests *config; /* NULL: it has none that could be read */
    struct varve_bytes manifest_json; /* where documents are kept and there is one; else NULL, 0 */
    struct varve_bytes config_json;
    const struct varve_rungs *rungs; /* in what a scan reports; NULL in a catalog */
};
/* "varve1.image.<rung>:sha256:<hex>"; docs/image-ladder.md. */
VARVE_API void varve_image_rung_text(char text[VARVE_RUNG_TEXT_BYTES], enum varve_rung rung,
                                     const uint8_t digest[VARVE_SHA256_BYTES]);
VARVE_API size_t varve_catalog_image_count(const struct varve_catalog *catalog);
VARVE_API struct varve_image varve_catalog_image(const struct varve_catalog *catalog, size_t image);

/* A source, or something in it that belongs to no image, that could not be read or used. With a
 * status of VARVE_OK it is a note: odd, and no fault. */
struct varve_catalog_error {
    const char *name; /* the source, or source and document */
    struct varve_fault fault;
    uint64_t count; /* of notes: how often; `name` is the first. Else 1 */
};
VARVE_API size_t varve_catalog_error_count(const struct varve_catalog *catalog);

/* Whether the list of errors lacks some for want of memory. */
VARVE_API bool varve_catalog_lost_errors(const struct varve_catalog *catalog);

/* Whether something could not be read for a reason of the system's (io.open, io.read,
 * memory.exhausted): what is not in the catalog may be there all the same. */
VARVE_API bool varve_catalog_is_unread(const struct varve_catalog *catalog);
VARVE_API struct varve_catalog_error varve_catalog_error(const struct varve_catalog *catalog,
                                                         size_t error);

/* Opens a blob for reading: a regular file beneath its source, no link followed, O_NONBLOCK.
 * Returns the descriptor, the caller's to close, and where in it the blob lies: from *offset on
 * *bytes of it, UINT64_MAX: to the end of the file. Or -1 with *fault set. Any thread. */
VARVE_API int varve_catalog_open_blob(const struct varve_catalog *catalog, uint64_t *offset,
                                      uint64_t *bytes, struct varve_fault *fault, size_t blob);

/* Looks at an unpacked layer's files, each against the size and CRC-64 that its store kept of it (a
 * store of podman's or docker's; varve/split.h): which are at fault, where its archive cannot be
 * put together again or is another one. Reads them all and goes on behind those at fault. VARVE_OK,
 * or the status of result->fault; VARVE_UNSUPPORTED for a blob that is not put together
 * (source.unpacked, also where it cannot be). The caller frees result->entry. Any thread. */
VARVE_API enum varve_status varve_catalog_check_files(const struct varve_catalog *catalog,
                                                      struct varve_join_result *result,
                                                      size_t blob);

/* What a media type says of a blob that bears it. */
struct varve_media_type {
    bool known;                         /* one of the layer types of OCI or Docker */
    bool tar;                           /* it says: a tar layer */
    enum varve_compression compression; /* where `known` */
};
VARVE_API struct varve_media_type varve_media_type_of(const char *media_type);

/* The layer type of the same kind (OCI's or Docker's, distributable or not) for a layer that is
 * stored in that way. Static storage. NULL where `media_type` is no layer type, or its kind has no
 * such (Docker's foreign layers have none for zstd). */
VARVE_API const char *varve_media_type_stored(const char *media_type,
                                              enum varve_compression compression);

#ifdef __cplusplus
}
#endif
#endif
