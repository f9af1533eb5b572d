/* SPDX-License-Identifier: Apache-2.0 */
/* src/oci_json.h - OCI and Docker documents: index, manifest, config (image-spec 1.1; Docker schema
 * 2).
 *
 * Read strictly: duplicate keys, keys that differ from a known one only in case (as Go folds it,
 * json_strict.h), documents of two shapes and digests not of their form are refused, because
 * readers that take them differently have been holes (CVE-2021-41190, CVE-2024-3727). */
#ifndef VARVE_OCI_JSON_H
#define VARVE_OCI_JSON_H

#include "digest_name.h"
#include "varve/catalog.h"

struct json_t;

/* A descriptor. Strings are the document's, valid until it is freed. */
struct varve_descriptor {
    struct varve_fault fault; /* code NULL: a good one; else nothing below is to be used */
    const char *media_type;
    struct varve_digest_name digest;
    uint64_t size;
    const char *ref; /* annotation org.opencontainers.image.ref.name, or NULL */
    bool attestation;
    char platform[96]; /* "os/architecture[/variant]", or empty */
};

enum varve_document_kind { VARVE_DOCUMENT_INDEX, VARVE_DOCUMENT_MANIFEST };

/* What a media type says of a document. */
enum varve_document_type {
    VARVE_DOCUMENT_TYPE_NONE,  /* there is no media type */
    VARVE_DOCUMENT_TYPE_OTHER, /* it is no document's */
    VARVE_DOCUMENT_TYPE_OCI_INDEX,
    VARVE_DOCUMENT_TYPE_DOCKER_LIST,
    VARVE_DOCUMENT_TYPE_OCI_MANIFEST,
    VARVE_DOCUMENT_TYPE_DOCKER_MANIFEST
};

struct varve_document {
    struct json_t *root;
    enum varve_document_kind kind;
    enum varve_document_type
        type;         /* its own mediaType: none, or one that is not the other kind's */
    bool holds_nul;   /* some string does */
    bool attestation; /* MANIFEST: BuildKit's, by its artifactType */
    bool artifact;    /* MANIFEST: has a subject, an artifactType, or a config not an image's */
    struct varve_descriptor config;    /* MANIFEST */
    struct varve_descriptor *children; /* INDEX: manifests; MANIFEST: layers */
    size_t child_count;
};

/* Reads an index or a manifest. False with *fault (its stored offset counts within the document);
 * nothing to free then. */
bool varve_document_parse(struct varve_document *document, struct varve_fault *fault,
                          const uint8_t *data, size_t data_bytes);
void varve_document_free(struct varve_document *document);

struct varve_config {
    char platform[96];
    struct varve_config_digests digests;
    struct varve_digest_name *diffids; /* sha512 ones are kept, but nothing is held against them */
    size_t diffid_count;
    bool holds_nul; /* some string does */
};

/* Reads an image config. As above. */
bool varve_config_parse(struct varve_config *config, struct varve_fault *fault, const uint8_t *data,
                        size_t data_bytes);
void varve_config_free(struct varve_config *config);

/* Any JSON, duplicate keys refused; the caller's to free (json_decref). NULL with *fault. */
struct json_t *varve_json_load(struct varve_fault *fault, const uint8_t *data, size_t data_bytes);

/* A JSON string without a NUL inside, or NULL. */
const char *varve_json_string(const struct json_t *value);

/* What documents a media type (NULL: none) names. One with parameters is another. */
enum varve_document_type varve_media_type_document(const char *media_type);
bool varve_document_type_is_index(enum varve_document_type type);
bool varve_document_type_is_manifest(enum varve_document_type type);
bool varve_media_type_is_index(const char *media_type);
bool varve_media_type_is_manifest(const char *media_type);
bool varve_media_type_is_document(const char *media_type); /* either */
bool varve_media_type_is_config(const char *media_type);

#endif
