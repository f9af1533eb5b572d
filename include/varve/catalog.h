/* SPDX-License-Identifier: Apache-2.0 */
/* varve/catalog.h - what the sources hold: distinct blobs, what is claimed of them, and images.
 *
 * A catalog is filled from sources (an OCI image layout, loose files), then read by varve/scan.h.
 * Every distinct blob of a source stands in it once, however many images share it. Formats: OCI
 * image-spec 1.1 (image-layout, index, manifest, config, descriptor), Docker image manifest version
 * 2, schema 2.
 *
 * Filling is for one thread; a filled catalog may be read by many. Strings are the catalog's, valid
 * until it is closed.
 */
#ifndef VARVE_CATALOG_H
#define VARVE_CATALOG_H

#include <stdio.h>

#include "varve/base.h"
#include "varve/decode.h"
#include "varve/sha256.h"

#ifdef __cplusplus
extern "C" {
#endif

struct varve_catalog;

/* VARVE_OK, or VARVE_ERROR (no memory; *catalog = NULL). */
VARVE_API enum varve_status varve_catalog_open(struct varve_catalog **catalog);
VARVE_API void varve_catalog_close(struct varve_catalog *catalog);

/* Adds a source: "oci:DIR", "oci:DIR:TAG", or a path, whose kind is found out by looking.
 * What is wrong inside a source is kept with its images, or as an error of the catalog (below), and
 * filling goes on. Returns VARVE_OK, or VARVE_ERROR where the whole source could not be read: an
 * error of the catalog then says why. */
VARVE_API enum varve_status varve_catalog_add(struct varve_catalog *catalog, const char *source);

/* Adds one layer file of which nothing is claimed. "-" is standard input. Always VARVE_OK but for
 * VARVE_ERROR (no memory): the file is opened when it is scanned. */
VARVE_API enum varve_status varve_catalog_add_file(struct varve_catalog *catalog, const char *path);

/* One distinct blob that some manifest calls a layer, or a loose file. */
struct varve_blob {
    const char *name;   /* "sha256:<hex>", "sha512:<hex>", or the path given */
    const char *source; /* "oci:DIR", or "file" */
    uint64_t size;      /* as found by looking (fstat), 0 where it could not be */
};
VARVE_API size_t varve_catalog_blob_count(const struct varve_catalog *catalog);
VARVE_API struct varve_blob varve_catalog_blob(const struct varve_catalog *catalog, size_t blob);

/* What a descriptor and a config claim of a blob. Equal claims of many images are one claim. */
struct varve_claim {
    size_t blob;
    uint64_t size;
    const char *media_type;
    bool has_diffid;
    uint8_t diffid[VARVE_SHA256_BYTES];
};
VARVE_API size_t varve_catalog_claim_count(const struct varve_catalog *catalog);
VARVE_API struct varve_claim varve_catalog_claim(const struct varve_catalog *catalog, size_t claim);

/* The claims about one blob: the first, and the one after `claim`; SIZE_MAX where there is none. */
VARVE_API size_t varve_catalog_first_claim(const struct varve_catalog *catalog, size_t blob);
VARVE_API size_t varve_catalog_next_claim(const struct varve_catalog *catalog, size_t claim);

/* One image: a manifest as a tag or index reaches it. */
struct varve_image {
    const char *source;
    const char *ref;      /* tag, or NULL */
    const char *digest;   /* of the manifest */
    const char *platform; /* "linux/amd64", "linux/arm64/v8", or NULL */
    bool attestation;     /* a BuildKit attestation manifest: not an image */
    struct varve_fault
        fault; /* of its documents; code NULL: none. Layers' faults stand with the layers */
    const char *fault_digest; /* the document at fault, or NULL */
    const uint32_t *claims;   /* its layers in order, as claims */
    size_t layer_count;
};
VARVE_API size_t varve_catalog_image_count(const struct varve_catalog *catalog);
VARVE_API struct varve_image varve_catalog_image(const struct varve_catalog *catalog, size_t image);

/* A source, or a document in it that belongs to no image, that could not be read or used. */
struct varve_catalog_error {
    const char *name; /* the source, or source and document */
    struct varve_fault fault;
};
VARVE_API size_t varve_catalog_error_count(const struct varve_catalog *catalog);
VARVE_API struct varve_catalog_error varve_catalog_error(const struct varve_catalog *catalog,
                                                         size_t error);

/* Opens a blob for reading: a regular file beneath its source, no link followed, O_NONBLOCK.
 * Returns the descriptor, the caller's to close, or -1 with *fault set. Any thread. */
VARVE_API int varve_catalog_open_blob(const struct varve_catalog *catalog,
                                      struct varve_fault *fault, size_t blob);

/* What a media type says of a blob that bears it. */
struct varve_media_type {
    bool known;                         /* one of the layer types of OCI or Docker */
    bool tar;                           /* it says: a tar layer */
    enum varve_compression compression; /* where `known` */
};
VARVE_API struct varve_media_type varve_media_type_of(const char *media_type);

#ifdef __cplusplus
}
#endif
#endif
