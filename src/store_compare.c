/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_compare.c - two databases side by side: images paired, blobs new, gone and broken.
 *
 * Blobs of both sides are read in one order and merged, so that neither has to fit into memory; of
 * images names and digests do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

const char *varve_pair_verdict_name(enum varve_pair_verdict verdict) {
    static const char *const names[] = {"identical", "manifest",  "config",   "compression",
                                        "archive",   "encoding",  "facets",   "content",
                                        "unjudged",  "only in A", "only in B"};
    return names[verdict];
}

const char *varve_blob_change_name(enum varve_blob_change change) {
    static const char *const names[] = {"new", "gone", "broken", "mended"};
    return names[change];
}

#define DIGEST_TEXT(column)                                                                        \
    "CASE length(" column ") WHEN 32 THEN 'sha256:' ELSE 'sha512:' END || lower(hex(" column "))"

/* The last column: an image that is not known to be bad, of which something could not be read. */
/* Macros stand within the strings. */
/* clang-format off */
static const char images_sql[] =
    "SELECT image.id, image.ref, image.platform, image.status, " DIGEST_TEXT("image.digest") ","
    "    image.status = 'error'"
    "    AND (image.code IS NULL OR " VARVE_SQL_IS_UNREAD("image.code") ")"
    "    AND NOT EXISTS (SELECT 1 FROM reference JOIN location ON location.id = reference.location"
    "      WHERE reference.image = image.id AND reference.status <> 'ok'"
    "      AND NOT " VARVE_SQL_IS_UNREAD("location.code") ")"
    "  FROM image JOIN source ON source.id = image.source"
    "  WHERE image.gone IS NULL AND image.kind = 'image'"
    "  ORDER BY image.ref, image.platform, source.name, image.digest";

/* A digest as a name, else the digest of the bytes: a loose file's path says nothing. One blob may
 * be at several places: it is well where it is well at all of them. The last column: it could not
 * be read at one of them, so that it is not known to be well. */
static const char blobs_sql[] =
    "SELECT key, " DIGEST_TEXT("key") ", max(broken), max(bytes), max(unread) FROM ("
    "  SELECT CASE typeof(location.name) WHEN 'blob' THEN location.name ELSE blob.sha256 END AS key,"
    "    (location.status <> 'ok' AND NOT " VARVE_SQL_IS_UNREAD("location.code") ")"
    "    OR location.check_name = 'mismatch' OR location.check_size = 'mismatch'"
    "    OR location.check_diffid = 'mismatch' AS broken,"
    "    " VARVE_SQL_IS_UNREAD("location.code") " AS unread, coalesce(blob.bytes, 0) AS bytes"
    "  FROM location LEFT JOIN blob ON blob.id = location.blob WHERE location.gone IS NULL)"
    " WHERE key IS NOT NULL GROUP BY key ORDER BY key";
/* clang-format on */

static const char layers_sql[] =
    "SELECT location.blob, blob.sha256, coalesce(layer.entries, -1) FROM reference "
    "JOIN location ON location.id = reference.location "
    "LEFT JOIN blob ON blob.id = location.blob "
    "LEFT JOIN layer ON layer.blob = location.blob WHERE reference.image = ?1 "
    "ORDER BY reference.position";

enum { IMAGES, BLOBS, LAYERS, RUNGS, FACETS, IMAGE_RUNGS, STATEMENTS };
static const char *const side_sql[STATEMENTS] = {
    images_sql,
    blobs_sql,
    layers_sql,
    "SELECT rung, digest FROM rung WHERE blob = ?1",
    "SELECT facet, digest FROM facet WHERE blob = ?1",
    "SELECT rung, digest FROM image_rung WHERE image = ?1",
};

struct layer_facts {
    int64_t entries; /* -1: not known */
    struct varve_rungs rungs;
    struct varve_facets facets;
};

struct side {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    bool row; /* of BLOBS: there is one at hand */
    struct layer_facts *layers;
    size_t layer_count, layer_room;
};

struct comparison {
    struct side sides[2];
    struct varve_side_images images[2];
    struct varve_store_fault *fault;
};

static bool open_side(struct comparison *comparison, struct side *side, struct varve_store *store) {
    side->db = store->main.db;
    for (int i = 0; i < STATEMENTS; i++) {
        if (sqlite3_prepare_v2(side->db, side_sql[i], -1, &side->statements[i], NULL) !=
            SQLITE_OK) {
            return varve_store_blame(comparison->fault, side->db,
                                     "the database is not as it should be");
        }
    }
    return true;
}

static void close_side(struct side *side) {
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(side->statements[i]);
    }
    free(side->layers);
}

static bool next_blob(struct comparison *comparison, struct side *side) {
    int code = sqlite3_step(side->statements[BLOBS]);
    side->row = code == SQLITE_ROW;
    return side->row || code == SQLITE_DONE ||
           varve_store_blame(comparison->fault, side->db, "the database cannot be read");
}

/* All images of a side. */
static bool read_images(struct comparison *comparison, int which) {
    struct side *side = &comparison->sides[which];
    sqlite3_stmt *rows = side->statements[IMAGES];
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *texts[4];
        for (int i = 0; i < 4; i++) {
            texts[i] = (const char *)sqlite3_column_text(rows, 1 + i);
            if (!texts[i]) {
                return varve_store_lacks(comparison->fault, side->db, "an image's row");
            }
        }
        if (!varve_side_images_add(&comparison->images[which], sqlite3_column_int64(rows, 0),
                                   texts)) {
            return varve_store_no_memory(comparison->fault);
        }
        struct varve_side_images *images = &comparison->images[which];
        images->images[images->count - 1].unread = sqlite3_column_int(rows, 5) != 0;
    }
    return code == SQLITE_DONE ||
           varve_store_blame(comparison->fault, side->db, "the database cannot be read");
}

/* Numbered digests of one owner. */
static bool read_digests(struct comparison *comparison, struct side *side, int which, int64_t of,
                         uint32_t *present, uint8_t (*digests)[VARVE_SHA256_BYTES], int count) {
    sqlite3_stmt *rows = side->statements[which];
    int code;
    sqlite3_reset(rows);
    sqlite3_bind_int64(rows, 1, of);
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        int number = sqlite3_column_int(rows, 0);
        if (number >= 0 && number < count && sqlite3_column_bytes(rows, 1) == VARVE_SHA256_BYTES) {
            *present |= 1u << number;
            memcpy(digests[number], sqlite3_column_blob(rows, 1), VARVE_SHA256_BYTES);
        }
    }
    return code == SQLITE_DONE ||
           varve_store_blame(comparison->fault, side->db, "the database cannot be read");
}

static bool add_layer(struct comparison *comparison, struct side *side) {
    if (side->layer_count == side->layer_room) {
        size_t room = side->layer_room ? 2 * side->layer_room : 16;
        struct layer_facts *layers = realloc(side->layers, room * sizeof *layers);
        if (!layers) {
            return varve_store_no_memory(comparison->fault);
        }
        side->layers = layers;
        side->layer_room = room;
    }
    side->layers[side->layer_count++] = (struct layer_facts){0};
    return true;
}

/* The facts of all layers of an image. */
static bool read_layers(struct comparison *comparison, struct side *side, int64_t image) {
    sqlite3_stmt *rows = side->statements[LAYERS];
    int code;
    side->layer_count = 0;
    sqlite3_reset(rows);
    sqlite3_bind_int64(rows, 1, image);
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        int64_t blob = sqlite3_column_int64(rows, 0);
        if (!add_layer(comparison, side)) {
            return false;
        }
        struct layer_facts *layer = &side->layers[side->layer_count - 1];
        layer->entries = sqlite3_column_int64(rows, 2);
        if (sqlite3_column_bytes(rows, 1) == VARVE_SHA256_BYTES) {
            layer->rungs.present = 1u << VARVE_RUNG_BLOB;
            memcpy(layer->rungs.digest[VARVE_RUNG_BLOB], sqlite3_column_blob(rows, 1),
                   VARVE_SHA256_BYTES);
        }
        if (!read_digests(comparison, side, RUNGS, blob, &layer->rungs.present, layer->rungs.digest,
                          VARVE_RUNG_COUNT) ||
            !read_digests(comparison, side, FACETS, blob, &layer->facets.present,
                          layer->facets.digest, VARVE_FACET_COUNT)) {
            return false;
        }
    }
    return code == SQLITE_DONE ||
           varve_store_blame(comparison->fault, side->db, "the database cannot be read");
}

static bool meet_on(const struct varve_rungs *a, const struct varve_rungs *b, int rung) {
    uint32_t bit = 1u << rung;
    return a->present & b->present & bit &&
           memcmp(a->digest[rung], b->digest[rung], VARVE_SHA256_BYTES) == 0;
}

/* Layers of the same bytes meet on every rung, also where the bytes could not be parsed. */
static bool all_meet(const struct comparison *comparison, int rung) {
    const struct side *a = &comparison->sides[0];
    const struct side *b = &comparison->sides[1];
    for (size_t i = 0; i < a->layer_count; i++) {
        if (!meet_on(&a->layers[i].rungs, &b->layers[i].rungs, VARVE_RUNG_BLOB) &&
            !meet_on(&a->layers[i].rungs, &b->layers[i].rungs, rung)) {
            return false;
        }
    }
    return true;
}

static bool all_judged(const struct side *side) {
    for (size_t i = 0; i < side->layer_count; i++) {
        if (!(side->layers[i].rungs.present & 1u << VARVE_RUNG_CONTENT)) {
            return false;
        }
    }
    return true;
}

static uint32_t unequal_facets(const struct comparison *comparison) {
    const struct side *a = &comparison->sides[0];
    const struct side *b = &comparison->sides[1];
    uint32_t facets = 0;
    for (size_t i = 0; i < a->layer_count; i++) {
        facets |= varve_facets_unequal(&a->layers[i].facets, &b->layers[i].facets);
    }
    return facets;
}

/* Whether some layer has not as many entries as the one it is held against. */
static bool entries_differ(const struct comparison *comparison) {
    const struct side *a = &comparison->sides[0];
    const struct side *b = &comparison->sides[1];
    bool differ = false;
    for (size_t i = 0; i < a->layer_count; i++) {
        int64_t x = a->layers[i].entries;
        int64_t y = b->layers[i].entries;
        differ |= x >= 0 && y >= 0 && x != y;
    }
    return differ;
}

/* Two manifests that differ. */
static bool judge(struct comparison *comparison, struct varve_image_pair *pair,
                  const struct varve_side_image *const images[2]) {
    static const enum varve_pair_verdict verdicts[VARVE_RUNG_COUNT] = {
        VARVE_PAIR_MANIFEST, VARVE_PAIR_COMPRESSION, VARVE_PAIR_ARCHIVE, VARVE_PAIR_ENCODING,
        VARVE_PAIR_FACETS,   VARVE_PAIR_FACETS,      VARVE_PAIR_FACETS,  VARVE_PAIR_FACETS,
    };
    struct varve_rungs rungs[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        struct side *side = &comparison->sides[i];
        int64_t image = images[i]->id;
        if (!read_layers(comparison, side, image) ||
            !read_digests(comparison, side, IMAGE_RUNGS, image, &rungs[i].present, rungs[i].digest,
                          VARVE_RUNG_COUNT)) {
            return false;
        }
    }
    const struct side *a = &comparison->sides[0];
    const struct side *b = &comparison->sides[1];
    int rung = 0;
    if (a->layer_count != b->layer_count) {
        pair->verdict = VARVE_PAIR_CONTENT;
        return true;
    }
    while (rung < VARVE_RUNG_COUNT && !all_meet(comparison, rung)) {
        rung++;
    }
    if (rung == VARVE_RUNG_COUNT) {
        bool judged = all_judged(a) && all_judged(b);
        pair->verdict = judged ? VARVE_PAIR_CONTENT : VARVE_PAIR_UNJUDGED;
        return true;
    }
    pair->has_rung = true;
    pair->rung = (enum varve_rung)rung;
    pair->verdict = verdicts[rung];
    /* An image's rung is of its layers' and its config's digest: where the former meet and that
     * does not, the config differs. It is absent where the config could not be read, and below
     * where the same damaged layer is in both. */
    pair->config_known = rungs[0].present & rungs[1].present & 1u << rung;
    pair->config_differs = pair->config_known && !meet_on(&rungs[0], &rungs[1], rung);
    if (rung == VARVE_RUNG_BLOB && (!pair->config_known || pair->config_differs)) {
        pair->verdict = pair->config_known ? VARVE_PAIR_CONFIG : VARVE_PAIR_UNJUDGED;
    }
    if (pair->verdict == VARVE_PAIR_FACETS) {
        pair->facets = unequal_facets(comparison);
        pair->entries_differ = entries_differ(comparison);
    }
    return true;
}

/* Two images, or one whose other side is NULL. */
static bool compare_two(struct comparison *comparison,
                        const struct varve_side_image *const images[2],
                        void (*each)(void *cookie, const struct varve_image_pair *pair),
                        void *cookie) {
    struct varve_image_pair pair = {.platform = images[images[0] ? 0 : 1]->platform,
                                    .verdict = images[0] ? VARVE_PAIR_ONLY_A : VARVE_PAIR_ONLY_B};
    for (int i = 0; i < 2; i++) {
        pair.ref[i] = images[i] ? images[i]->ref : NULL;
        pair.digest[i] = images[i] ? images[i]->digest : NULL;
        pair.status[i] = images[i] ? images[i]->status : NULL;
    }
    if (images[0] && images[1]) {
        pair.verdict = VARVE_PAIR_IDENTICAL;
        pair.newly_broken = strcmp(pair.status[0], "ok") == 0 &&
                            strcmp(pair.status[1], "ok") != 0 && !images[1]->unread;
        if (strcmp(pair.digest[0], pair.digest[1]) != 0 && !judge(comparison, &pair, images)) {
            return false;
        }
    }
    each(cookie, &pair);
    return true;
}

/* Pairs stand where A's image does. */
static int order_images(const struct varve_side_image *a, const struct varve_side_image *b) {
    int refs = strcmp(a->ref, b->ref);
    return refs ? refs : strcmp(a->platform, b->platform);
}

static bool compare_images(struct comparison *comparison,
                           void (*each)(void *cookie, const struct varve_image_pair *pair),
                           void *cookie) {
    struct varve_side_images *a = &comparison->images[0];
    struct varve_side_images *b = &comparison->images[1];
    size_t i = 0;
    size_t j = 0;
    if (!read_images(comparison, 0) || !read_images(comparison, 1)) {
        return false;
    }
    if (!varve_store_pair(comparison->images)) {
        return varve_store_no_memory(comparison->fault);
    }
    while (i < a->count || j < b->count) {
        bool from_a =
            i < a->count && (j == b->count || order_images(&a->images[i], &b->images[j]) <= 0);
        const struct varve_side_image *image = from_a ? &a->images[i++] : &b->images[j++];
        bool alone = image->partner == SIZE_MAX;
        if (!from_a && !alone) {
            continue; /* told where its partner stands */
        }
        const struct varve_side_image *images[2] = {from_a ? image : NULL,
                                                    !from_a ? image
                                                    : alone ? NULL
                                                            : &b->images[image->partner]};
        if (!compare_two(comparison, images, each, cookie)) {
            return false;
        }
    }
    return true;
}

static int order_blobs(const struct comparison *comparison) {
    const struct side *a = &comparison->sides[0];
    const struct side *b = &comparison->sides[1];
    if (!a->row || !b->row) {
        return a->row ? -1 : 1;
    }
    int x = sqlite3_column_bytes(a->statements[BLOBS], 0);
    int y = sqlite3_column_bytes(b->statements[BLOBS], 0);
    int keys = memcmp(sqlite3_column_blob(a->statements[BLOBS], 0),
                      sqlite3_column_blob(b->statements[BLOBS], 0), (size_t)(x < y ? x : y));
    return keys ? keys : x - y;
}

static bool compare_blobs(struct comparison *comparison,
                          void (*each)(void *cookie, enum varve_blob_change change,
                                       const char *name, uint64_t bytes),
                          void *cookie) {
    struct side *sides = comparison->sides;
    if (!next_blob(comparison, &sides[0]) || !next_blob(comparison, &sides[1])) {
        return false;
    }
    while (sides[0].row || sides[1].row) {
        int order = order_blobs(comparison);
        struct side *from = order < 0 ? &sides[0] : &sides[1];
        bool broken[2];
        bool known = true;
        for (int i = 0; i < 2; i++) {
            broken[i] = sqlite3_column_int(sides[i].statements[BLOBS], 2) != 0;
            known &= broken[i] || !sqlite3_column_int(sides[i].statements[BLOBS], 4);
        }
        if (order || (known && broken[0] != broken[1])) {
            const char *name = (const char *)sqlite3_column_text(from->statements[BLOBS], 1);
            if (!name) {
                return varve_store_lacks(comparison->fault, from->db, "a blob's name");
            }
            enum varve_blob_change change = order > 0   ? VARVE_BLOB_NEW
                                            : order < 0 ? VARVE_BLOB_GONE
                                            : broken[1] ? VARVE_BLOB_BROKEN
                                                        : VARVE_BLOB_MENDED;
            each(cookie, change, name, (uint64_t)sqlite3_column_int64(from->statements[BLOBS], 3));
        }
        if ((order <= 0 && !next_blob(comparison, &sides[0])) ||
            (order >= 0 && !next_blob(comparison, &sides[1]))) {
            return false;
        }
    }
    return true;
}

enum varve_store_status varve_store_compare(
    struct varve_store *a, struct varve_store *b, struct varve_store_fault *fault,
    void (*pair)(void *cookie, const struct varve_image_pair *pair),
    void (*blob)(void *cookie, enum varve_blob_change change, const char *name, uint64_t bytes),
    void *cookie) {
    struct comparison comparison = {.fault = fault};
    *fault = (struct varve_store_fault){0};
    if (open_side(&comparison, &comparison.sides[0], a) &&
        open_side(&comparison, &comparison.sides[1], b) &&
        compare_images(&comparison, pair, cookie)) {
        compare_blobs(&comparison, blob, cookie);
    }
    for (int i = 0; i < 2; i++) {
        close_side(&comparison.sides[i]);
        varve_side_images_free(&comparison.images[i]);
    }
    return fault->status;
}
