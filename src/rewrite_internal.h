/* SPDX-License-Identifier: Apache-2.0 */
/* src/rewrite_internal.h - what the files of rewriting share.
 *
 * Documents are read twice: when the layout is opened, to learn what hangs on what and to find all
 * that is wrong; and when layers are written, to be changed. In between nothing of them is kept but
 * names. Documents hold the digests of what they refer to, so that none can hang on itself; one
 * that does not bear its own digest is an error, and nothing hangs on it. */
#ifndef VARVE_REWRITE_INTERNAL_H
#define VARVE_REWRITE_INTERNAL_H

#include "codes.h"
#include "digest_name.h"
#include "name_map.h"
#include "place.h"
#include "varve/rewrite.h"

struct json_t;

enum document_kind {
    DOCUMENT_UNREAD,
    DOCUMENT_BAD,
    DOCUMENT_NONE, /* no document, and nothing but a subject or a reference leads to it */
    DOCUMENT_IMAGE,
    DOCUMENT_COPIED,
    DOCUMENT_INDEX
};

/* A manifest or an index: number = its digest's in `names`. */
struct document {
    enum document_kind kind;
    bool visited, written;
    bool needed;                /* an index has it; else a subject or a reference leads to it */
    bool attestation;           /* something calls it so */
    bool as_index, as_manifest; /* a descriptor calls it so */
    uint32_t ref;               /* in `refs`; VARVE_NAME_NONE: none */
    uint32_t *hangs_on;         /* documents that must be written before */
    size_t hangs_on_count;
    uint64_t size;     /* as claimed until it is read; VARVE_NO_SIZE: not claimed */
    uint64_t new_size; /* once it is written */
    char new_name[VARVE_DIGEST_TEXT_BYTES];
};

/* A blob: number = its digest's in `blob_names`. */
struct blob {
    uint32_t number; /* in the catalog */
    uint32_t first_use, last_use;
    uint64_t size;
    bool layer, copied;
    /* What became of it as a layer: */
    uint64_t new_size;
    char new_name[72];
    uint8_t diffid[VARVE_SHA256_BYTES], new_diffid[VARVE_SHA256_BYTES];
};

struct use {
    uint32_t document, next;
};

/* An entry of index.json. */
struct top {
    uint32_t document; /* VARVE_NAME_NONE: a blob */
    bool kept;
};

/* A config that was read, once for all manifests that have it. */
struct config_read {
    struct varve_fault fault; /* code NULL: none */
    uint64_t bytes;
    struct varve_digest_name *diffids;
    size_t diffid_count;
};

/* What a config became with certain layers, or why it did not. */
struct config_made {
    struct varve_fault fault;
    uint64_t bytes;
    char name[VARVE_DIGEST_TEXT_BYTES];
};

/* A config that was written: a line of the mapping. */
struct config {
    uint32_t before, after; /* in `config_names` */
    uint64_t bytes_before, bytes_after;
    size_t behind; /* the place in `order` of the document that it belongs to */
};

/* One line of the mapping. */
struct mapping {
    enum varve_rewrite_kind kind;
    uint32_t number; /* of blob, config or document */
};

struct varve_rewrite {
    struct varve_rewrite_options options;
    struct varve_catalog *catalog;
    struct varve_place place;
    char *path;

    struct varve_name_map names, refs, blob_names, config_names, config_pairs;
    struct varve_name_map read_names; /* digests of configs */
    struct varve_name_map made_names; /* "<digest> <digest of what its layers became>" */
    struct document *documents;
    struct blob *blobs;
    struct use *uses;
    struct top *tops;
    uint32_t *order; /* documents, what they hang on first */
    struct config *configs;
    struct config_read *reads; /* by number in `read_names` */
    struct config_made *mades; /* by number in `made_names` */
    struct mapping *mappings;
    size_t document_room, blob_room, use_room, order_room, config_room, read_room, made_room;
    size_t use_count, top_count, order_count, config_count, mapping_count;
    size_t at; /* in `order`: what is being written */

    uint8_t *index, *layout; /* index.json and oci-layout, as they were read */
    size_t index_bytes, layout_bytes;

    varve_rewrite_put_fn *put;
    void *cookie;
};

/* Room for one more in an array. False: no memory, and the place knows. */
bool varve_rewrite_room(struct varve_rewrite *rewrite, void *items, size_t *room, size_t count,
                        size_t item_bytes);

/* An error about a document, with the tag that leads to it. Always false. */
bool varve_rewrite_complain(struct varve_rewrite *rewrite, uint32_t document,
                            struct varve_fault fault);
bool varve_rewrite_complain_code(struct varve_rewrite *rewrite, uint32_t document,
                                 enum varve_code code);

/* A manifest or index once more, by its number. NULL after an error. */
uint8_t *varve_rewrite_reread(struct varve_rewrite *rewrite, size_t *bytes, const char *name,
                              uint32_t document);

/* Whether a document of that digest is among those read, and its number. */
bool varve_rewrite_find(const struct varve_rewrite *rewrite, uint32_t *number, const char *digest);

/* What is known of a config; read where it was not yet. NULL: no memory, and the place knows. Valid
 * until the next call. */
const struct config_read *varve_rewrite_read_config(struct varve_rewrite *rewrite,
                                                    const struct varve_digest_name *digest);

/* The digest that a tag of the referrers tag schema names (distribution-spec, "Referrers Tag
 * Schema"; cosign's tags add a word). False: it is no such tag. */
#define VARVE_REFERRERS_DIGEST_BYTES 72
bool varve_rewrite_referrers_tag(char digest[VARVE_REFERRERS_DIGEST_BYTES], const char *tag);

/* rewrite_json.c: documents changed as layers and options say. False: no memory, or a fault that
 * *fault tells. The image's `config` is the root of its config, its `manifest` the manifest's. */
bool varve_rewrite_change_config(const struct varve_rewrite *rewrite, struct varve_fault *fault,
                                 struct json_t *config, const struct json_t *manifest);
/* Before that: holds the diff_ids of a config against its layers, and digests what these became; a
 * config becomes the same wherever `became` is. */
bool varve_rewrite_check_diffids(const struct varve_rewrite *rewrite, struct varve_fault *fault,
                                 uint8_t became[VARVE_SHA256_BYTES],
                                 const struct config_read *config, const struct json_t *manifest);
bool varve_rewrite_change_image(const struct varve_rewrite *rewrite, struct varve_fault *fault,
                                struct json_t *manifest, const char *config_name,
                                uint64_t config_bytes);
bool varve_rewrite_change_index(const struct varve_rewrite *rewrite, struct varve_fault *fault,
                                struct json_t *index);
/* Of what is copied: its subject and references. *changed says whether there was anything to do. */
bool varve_rewrite_change_copied(const struct varve_rewrite *rewrite, bool *changed,
                                 struct json_t *manifest);
/* Tags of index.json. */
bool varve_rewrite_change_tags(const struct varve_rewrite *rewrite, struct json_t *index);

/* "sha256:" and the digest in hex. */
void varve_rewrite_put_digest(char text[72], const uint8_t digest[VARVE_SHA256_BYTES]);

#endif
