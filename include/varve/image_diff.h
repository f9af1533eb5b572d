/* SPDX-License-Identifier: Apache-2.0 */
/* varve/image_diff.h - two images: which of their layers belong together and on which rung each
 * pair meets, and what differs in their manifests and configs.
 *
 *     varve_catalog_keep_documents(catalog);          // before varve_catalog_add
 *     varve_image_diff_open(&diff, NULL);
 *     varve_image_diff_images(diff, &left, &right);   // digests the layers of both, once each
 *     verdict = varve_image_diff_verdict(diff);
 *     ... varve_image_diff_pair(diff, i)              // varve/diff.h tells why two layers differ
 *     varve_image_diff_each(diff, show, cookie);      // the documents
 *
 * Documents are compared as the canonical JSON of RFC 8785, so that key order, white space and
 * spelling are told apart from values. An image diff belongs to one thread at a time; what it gives
 * is valid until the next comparison or close.
 */
#ifndef VARVE_IMAGE_DIFF_H
#define VARVE_IMAGE_DIFF_H

#include "varve/base.h"
#include "varve/catalog.h"
#include "varve/diff.h"

#ifdef __cplusplus
extern "C" {
#endif

struct varve_image_diff;

/* As varve_diff_open. */
VARVE_API enum varve_status varve_image_diff_open(struct varve_image_diff **diff,
                                                  const struct varve_diff_options *options);
VARVE_API void varve_image_diff_close(struct varve_image_diff *diff);

/* One side: an image of a catalog, which must live until the next comparison or close. */
struct varve_image_side {
    const struct varve_catalog *catalog;
    size_t image;
};

/* Digests what layers the two have, each distinct one once, and compares. VARVE_OK, or VARVE_ERROR
 * (no memory: nothing stands). A layer that cannot be judged is said to be so. */
VARVE_API enum varve_status varve_image_diff_images(struct varve_image_diff *diff,
                                                    const struct varve_image_side *left,
                                                    const struct varve_image_side *right);

/* How two documents compare. */
enum varve_document_relation {
    VARVE_DOCUMENT_UNKNOWN,   /* one is missing, was not kept, or is no JSON */
    VARVE_DOCUMENT_IDENTICAL, /* byte for byte */
    VARVE_DOCUMENT_RESPELLED, /* the same canonical JSON */
    VARVE_DOCUMENT_DIFFERENT
};

/* In what two documents of the same values differ. */
enum {
    VARVE_SPELLING_SPACE = 1,  /* white space between tokens */
    VARVE_SPELLING_ORDER = 2,  /* order of keys */
    VARVE_SPELLING_ESCAPES = 4 /* escapes in strings, forms of numbers */
};

enum varve_document_name { VARVE_DOCUMENT_MANIFEST_JSON, VARVE_DOCUMENT_CONFIG_JSON };

struct varve_image_diff_verdict {
    enum varve_rung meet; /* the first rung of docs/image-ladder.md on which both are known to meet,
                             but that `blob` asks for equal manifests, byte for byte;
                             VARVE_RUNG_COUNT: none */
    bool complete;        /* every rung is known to be equal or not */
    enum varve_document_relation document[2]; /* by enum varve_document_name */
    unsigned spelling[2];                     /* where RESPELLED or DIFFERENT: VARVE_SPELLING_* */
    bool config_meets;                        /* configs equal but for diff_ids, canonically */
    bool config_timeless;                     /* equal but for these and times of creation */
    size_t pairs_equal;                       /* pairs of layers that are the same blob */
    size_t pairs_unequal;                     /* that are not */
    size_t pairs_unknown;                     /* of which a layer could not be read */
    size_t alone[2];                          /* layers of one side alone; where the layers of one
                                                 image are not known there are neither pairs nor
                                                 these */
};
VARVE_API struct varve_image_diff_verdict
varve_image_diff_verdict(const struct varve_image_diff *diff);

/* Whether the two are the same on a rung, as in the verdict. */
VARVE_API enum varve_diff_relation varve_image_diff_relation(const struct varve_image_diff *diff,
                                                             enum varve_rung rung);

/* A layer as it was found. */
struct varve_image_diff_layer {
    size_t blob; /* in its side's catalog */
    const char *name;
    enum varve_status status;
    struct varve_fault fault;
    struct varve_rungs rungs;
    struct varve_facets facets;
    struct varve_checks checks; /* of what its image claims */
    bool order_significant;     /* finding order.significant: its facets are in archive order */
};

/* Layers that belong together, in the images' order: those that have most in common, then what
 * stands between two such pairs, one after the other. */
struct varve_image_diff_pair {
    size_t layer[2]; /* numbers among the images' layers; SIZE_MAX: a layer of one side alone */
    const struct varve_image_diff_layer *found[2]; /* NULL likewise */
    enum varve_rung meet; /* of a pair; VARVE_RUNG_COUNT: none that is known */
};
VARVE_API size_t varve_image_diff_pair_count(const struct varve_image_diff *diff);
VARVE_API struct varve_image_diff_pair varve_image_diff_pair(const struct varve_image_diff *diff,
                                                             size_t index);

/* What a value is about. */
enum varve_document_matter {
    VARVE_MATTER_VALUE,       /* anything else */
    VARVE_MATTER_CREATED,     /* a time of creation, of the image or of an event of its history */
    VARVE_MATTER_HISTORY,     /* another member of the history */
    VARVE_MATTER_ANNOTATIONS, /* an annotation, or a label */
    VARVE_MATTER_FOLLOWS,     /* digests and sizes that follow from layers and config */
    VARVE_MATTER_CLAIM        /* such, of which one does not hold, or could not be checked */
};
/* "value", "created", "history", "annotations", "follows", "claim". Static storage. */
VARVE_API const char *varve_document_matter_name(enum varve_document_matter matter);

struct varve_document_difference {
    enum varve_document_name document;
    enum varve_document_matter matter;
    const char *pointer;         /* JSON pointer (RFC 6901); of the left document where it has it */
    bool has[2];                 /* false: that side has no such member */
    struct varve_bytes value[2]; /* canonical JSON */
    enum varve_check
        holds[2]; /* of FOLLOWS and CLAIM, where that side has the value: NONE: not known */
};

/* Calls `each` for every value that differs, the manifest's first, each in its document's order. */
VARVE_API void varve_image_diff_each(
    const struct varve_image_diff *diff,
    void (*each)(void *cookie, const struct varve_document_difference *difference), void *cookie);

#ifdef __cplusplus
}
#endif
#endif
