/* SPDX-License-Identifier: Apache-2.0 */
/* src/image_diff.c - two images: their layers, digested and aligned, and their documents. */
#include "varve/image_diff.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codes.h"
#include "diff_begin.h"
#include "image_ladder.h"
#include "json_diff.h"
#include "layer.h"
#include "name_map.h"

/* Cells of the table that aligns layers. Images have some hundred layers; two with thousands are
 * paired one after the other. */
#define ALIGNED_CELLS ((size_t)4 << 20)

struct side {
    const struct varve_catalog *catalog;
    struct varve_image image;
    struct varve_image_diff_layer *layers;
    struct varve_rungs rungs; /* of the image */
};

struct pair {
    size_t layer[2];
};

struct varve_image_diff {
    struct varve_budget *budget;
    struct varve_sha256 *sha256;
    struct varve_job *job;
    struct side sides[2];
    struct pair *pairs;
    size_t pair_count;
    struct json_differences documents[2];
    struct varve_image_diff_verdict verdict;
};

static void clear(struct varve_image_diff *diff) {
    for (unsigned i = 0; i < 2; i++) {
        free(diff->sides[i].layers);
        diff->sides[i] = (struct side){.catalog = NULL};
        varve_json_diff_free(&diff->documents[i]);
    }
    free(diff->pairs);
    diff->pairs = NULL;
    diff->pair_count = 0;
}

void varve_image_diff_close(struct varve_image_diff *diff) {
    if (diff) {
        clear(diff);
        varve_job_close(diff->job);
        varve_sha256_close(diff->sha256);
        varve_budget_close(diff->budget);
        free(diff);
    }
}

enum varve_status varve_image_diff_open(struct varve_image_diff **out,
                                        const struct varve_diff_options *options) {
    struct varve_job_options job;
    struct varve_image_diff *diff = calloc(1, sizeof *diff);
    *out = NULL;
    if (!diff) {
        return VARVE_ERROR;
    }
    enum varve_status status = varve_diff_begin(&diff->sha256, &diff->budget, &job, 1, options);
    if (status == VARVE_OK) {
        status = varve_job_open(&diff->job, diff->sha256, &job);
    }
    if (status != VARVE_OK) {
        varve_image_diff_close(diff);
        return status;
    }
    *out = diff;
    return VARVE_OK;
}

/* --- layers --- */

/* What a blob is by itself. False: it cannot be opened, and the layer says why. */
static bool digest_layer(struct varve_image_diff *diff, struct varve_layer *found,
                         const struct side *side, struct varve_image_diff_layer *layer) {
    uint64_t offset = 0, bytes = 0;
    struct varve_blob blob = varve_catalog_blob(side->catalog, layer->blob);
    int fd = varve_catalog_open_blob(side->catalog, &offset, &bytes, &layer->fault, layer->blob);
    if (fd < 0) {
        layer->status = layer->fault.status;
        return false;
    }
    varve_job_begin(diff->job, fd, offset, bytes, blob.name, blob.source);
    while (!varve_job_done(diff->job)) {
        varve_jobs_advance(&diff->job, 1);
        if (varve_job_starved(diff->job)) {
            varve_job_restart_alone(diff->job);
        }
    }
    *found = *varve_job_layer(diff->job);
    close(fd);
    return true;
}

/* What it is as a layer of an image that claims something of it. */
static void hold_layer(struct varve_image_diff_layer *layer, struct varve_layer found,
                       const struct varve_claim *claim) {
    varve_layer_hold(&found, claim->size, claim->media_type,
                     claim->has_diffid ? claim->diffid : NULL);
    layer->status = found.status;
    layer->fault = found.fault;
    layer->checks = found.checks;
    if (found.complete) {
        layer->rungs = found.rungs;
        layer->facets = found.facets;
    }
}

/* Layers met before, by the digests that they are named by and that were seen to hold. */
struct known_layer {
    bool there;
    struct varve_layer found; /* apart from all claims; its findings are gone with the next one */
    bool order_significant;
};
struct known {
    struct varve_name_map names;
    struct known_layer *layers; /* by number */
    size_t room;
};

static bool order_means_something(const struct varve_findings *findings) {
    const struct varve_code_info *code = varve_code_at(VARVE_CODE_ORDER_SIGNIFICANT);
    for (size_t i = 0; i < varve_findings_count(findings); i++) {
        if (varve_findings_at(findings, i).info == code) {
            return true;
        }
    }
    return false;
}

/* Where the layer that was found under a name is kept. NULL: no memory. */
static struct known_layer *known_place(struct known *known, const char *name) {
    bool added = false;
    uint32_t number = varve_name_map_add(&known->names, &added, name);
    if (number == VARVE_NAME_NONE) {
        return NULL;
    }
    if (number >= known->room) {
        size_t room = 2 * (size_t)number + 64;
        struct known_layer *layers = realloc(known->layers, room * sizeof *layers);
        if (!layers) {
            return NULL;
        }
        memset(layers + known->room, 0, (room - known->room) * sizeof *layers);
        known->layers = layers;
        known->room = room;
    }
    return &known->layers[number];
}

static bool read_layers(struct varve_image_diff *diff, struct known *known, unsigned number) {
    struct side *side = &diff->sides[number];
    side->layers = calloc(side->image.layer_count + 1, sizeof *side->layers);
    for (size_t i = 0; side->layers && i < side->image.layer_count; i++) {
        struct varve_claim claim = varve_catalog_claim(side->catalog, side->image.claims[i]);
        struct varve_image_diff_layer *layer = &side->layers[i];
        const char *name = varve_catalog_blob(side->catalog, claim.blob).name;
        struct known_layer *place = known_place(known, name);
        if (!place) {
            return false;
        }
        layer->blob = claim.blob;
        layer->name = name;
        if (!place->there || place->found.status != VARVE_OK || strncmp(name, "sha", 3) != 0) {
            place->there = digest_layer(diff, &place->found, side, layer);
            place->order_significant = place->there && order_means_something(place->found.findings);
        }
        if (place->there) {
            hold_layer(layer, place->found, &claim);
            layer->order_significant = place->order_significant;
        }
        if (layer->fault.code == varve_code_at(VARVE_CODE_NO_MEMORY)->code) {
            return false;
        }
    }
    return side->layers != NULL;
}

/* The image's own ladder (docs/image-ladder.md), of what was found. */
static bool find_rungs(struct side *side) {
    size_t count = side->image.layer_count;
    uint8_t *digests = calloc(count + 1, VARVE_SHA256_BYTES);
    EVP_MD_CTX *hasher = varve_image_hasher();
    bool good = digests && hasher;
    for (int rung = 0; good && side->image.config && rung < VARVE_RUNG_COUNT; rung++) {
        bool all = true;
        for (size_t i = 0; i < count; i++) {
            all &= side->layers[i].rungs.present >> rung & 1;
            memcpy(digests + i * VARVE_SHA256_BYTES, side->layers[i].rungs.digest[rung],
                   VARVE_SHA256_BYTES);
        }
        if (all) {
            good = varve_image_rung(side->rungs.digest[rung], hasher, (enum varve_rung)rung,
                                    side->image.config, digests, count);
            side->rungs.present |= 1u << rung;
        }
    }
    EVP_MD_CTX_free(hasher);
    free(digests);
    return good;
}

static enum varve_rung meet_of(const struct varve_rungs *left, const struct varve_rungs *right) {
    for (int rung = 0; rung < VARVE_RUNG_COUNT; rung++) {
        if (varve_diff_relation(left, right, (enum varve_rung)rung) == VARVE_DIFF_EQUAL) {
            return (enum varve_rung)rung;
        }
    }
    return VARVE_RUNG_COUNT;
}

static enum varve_rung layers_meet(const struct varve_image_diff *diff, size_t left, size_t right) {
    const struct varve_image_diff_layer *a = &diff->sides[0].layers[left];
    const struct varve_image_diff_layer *b = &diff->sides[1].layers[right];
    return meet_of(&a->rungs, &b->rungs);
}

/* --- alignment --- */

static void add_pair(struct varve_image_diff *diff, size_t left, size_t right) {
    diff->pairs[diff->pair_count++] = (struct pair){{left, right}};
}

/* What stands between two pairs: one after the other, then the rest of the longer side. */
static void add_gap(struct varve_image_diff *diff, size_t left, size_t left_end, size_t right,
                    size_t right_end) {
    while (left < left_end && right < right_end) {
        add_pair(diff, left++, right++);
    }
    while (left < left_end) {
        add_pair(diff, left++, SIZE_MAX);
    }
    while (right < right_end) {
        add_pair(diff, SIZE_MAX, right++);
    }
}

/* Whether a side's manifest could be read, so that what stands against nothing is not in it. */
static bool has_known_layers(const struct side *side) {
    return side->image.layer_count > 0 || !side->image.fault.code;
}

/* The sequence of pairs with the most in common: the earlier two layers meet, the more they count,
 * and a pair that meets nowhere counts nothing. */
static bool align(struct varve_image_diff *diff) {
    size_t n = diff->sides[0].image.layer_count, m = diff->sides[1].image.layer_count;
    if (!has_known_layers(&diff->sides[0]) || !has_known_layers(&diff->sides[1])) {
        return true;
    }
    diff->pairs = calloc(n + m + 1, sizeof *diff->pairs);
    if (!diff->pairs) {
        return false;
    }
    if (n == 0 || m == 0 || n > ALIGNED_CELLS / (m + 1) - 1) {
        add_gap(diff, 0, n, 0, m);
        return true;
    }
    size_t width = m + 1;
    uint32_t *best = calloc((n + 1) * width, sizeof *best);
    if (!best) {
        return false;
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t j = m; j-- > 0;) {
            enum varve_rung meet = layers_meet(diff, i, j);
            uint32_t worth = meet == VARVE_RUNG_COUNT ? 0 : 4u + VARVE_RUNG_COUNT - meet;
            uint32_t taken = worth ? worth + best[(i + 1) * width + j + 1] : 0;
            uint32_t down = best[(i + 1) * width + j], right = best[i * width + j + 1];
            uint32_t skipped = down > right ? down : right;
            best[i * width + j] = taken >= skipped ? taken : skipped;
        }
    }
    size_t gap[2] = {0, 0};
    for (size_t i = 0, j = 0; i < n && j < m;) {
        uint32_t here = best[i * width + j];
        enum varve_rung meet = layers_meet(diff, i, j);
        uint32_t worth = meet == VARVE_RUNG_COUNT ? 0 : 4u + VARVE_RUNG_COUNT - meet;
        if (worth && here == worth + best[(i + 1) * width + j + 1]) {
            add_gap(diff, gap[0], i, gap[1], j);
            add_pair(diff, i, j);
            gap[0] = ++i;
            gap[1] = ++j;
        } else if (here == best[(i + 1) * width + j]) {
            i++;
        } else {
            j++;
        }
    }
    add_gap(diff, gap[0], n, gap[1], m);
    free(best);
    return true;
}

/* --- verdict --- */

static bool same_digest(const uint8_t *a, const uint8_t *b) {
    return memcmp(a, b, VARVE_SHA256_BYTES) == 0;
}

static void judge(struct varve_image_diff *diff) {
    struct varve_image_diff_verdict *verdict = &diff->verdict;
    const struct varve_config_digests *configs[2] = {diff->sides[0].image.config,
                                                     diff->sides[1].image.config};
    *verdict = (struct varve_image_diff_verdict){.meet = VARVE_RUNG_COUNT, .complete = true};
    for (unsigned i = 0; i < 2; i++) {
        verdict->document[i] = diff->documents[i].relation;
        verdict->spelling[i] = diff->documents[i].spelling;
    }
    if (configs[0] && configs[1]) {
        verdict->config_meets = same_digest(configs[0]->whole, configs[1]->whole);
        verdict->config_timeless = same_digest(configs[0]->timeless, configs[1]->timeless);
    }
    for (int rung = VARVE_RUNG_COUNT; rung-- > 0;) {
        enum varve_diff_relation relation = varve_image_diff_relation(diff, (enum varve_rung)rung);
        verdict->complete &= relation != VARVE_DIFF_UNKNOWN;
        if (relation == VARVE_DIFF_EQUAL) {
            verdict->meet = (enum varve_rung)rung;
        }
    }
    for (size_t i = 0; i < diff->pair_count; i++) {
        struct varve_image_diff_pair pair = varve_image_diff_pair(diff, i);
        for (unsigned s = 0; s < 2; s++) {
            verdict->alone[s] += !pair.found[1 - s];
        }
        if (pair.found[0] && pair.found[1]) {
            enum varve_diff_relation relation =
                varve_diff_relation(&pair.found[0]->rungs, &pair.found[1]->rungs, VARVE_RUNG_BLOB);
            verdict->pairs_equal += relation == VARVE_DIFF_EQUAL;
            verdict->pairs_unequal += relation == VARVE_DIFF_UNEQUAL;
            verdict->pairs_unknown += relation == VARVE_DIFF_UNKNOWN;
        }
    }
}

enum varve_diff_relation varve_image_diff_relation(const struct varve_image_diff *diff,
                                                   enum varve_rung rung) {
    const struct side *sides = diff->sides;
    enum varve_document_relation manifest = diff->documents[0].relation;
    bool named_alike = sides[0].image.digest && sides[1].image.digest &&
                       strcmp(sides[0].image.digest, sides[1].image.digest) == 0;
    enum varve_diff_relation relation = varve_diff_relation(&sides[0].rungs, &sides[1].rungs, rung);
    if (manifest == VARVE_DOCUMENT_IDENTICAL && relation == VARVE_DIFF_UNKNOWN) {
        return VARVE_DIFF_EQUAL;
    }
    if (rung == VARVE_RUNG_BLOB && relation == VARVE_DIFF_EQUAL &&
        manifest != VARVE_DOCUMENT_IDENTICAL &&
        !(manifest == VARVE_DOCUMENT_UNKNOWN && named_alike)) {
        return VARVE_DIFF_UNEQUAL;
    }
    return relation;
}

enum varve_status varve_image_diff_images(struct varve_image_diff *diff,
                                          const struct varve_image_side *left,
                                          const struct varve_image_side *right) {
    const struct varve_image_side *given[2] = {left, right};
    clear(diff);
    struct known known = {.layers = NULL};
    bool good = true;
    for (unsigned i = 0; i < 2; i++) {
        diff->sides[i].catalog = given[i]->catalog;
        diff->sides[i].image = varve_catalog_image(given[i]->catalog, given[i]->image);
    }
    for (unsigned i = 0; good && i < 2; i++) {
        good = read_layers(diff, &known, i) && find_rungs(&diff->sides[i]);
    }
    varve_name_map_free(&known.names);
    free(known.layers);
    const struct varve_image *a = &diff->sides[0].image;
    const struct varve_image *b = &diff->sides[1].image;
    good = good && align(diff) &&
           varve_json_diff_documents(&diff->documents[VARVE_DOCUMENT_MANIFEST_JSON],
                                     a->manifest_json, b->manifest_json) &&
           varve_json_diff_documents(&diff->documents[VARVE_DOCUMENT_CONFIG_JSON], a->config_json,
                                     b->config_json);
    if (!good) {
        clear(diff);
        return VARVE_ERROR;
    }
    judge(diff);
    return VARVE_OK;
}

struct varve_image_diff_verdict varve_image_diff_verdict(const struct varve_image_diff *diff) {
    return diff->verdict;
}

size_t varve_image_diff_pair_count(const struct varve_image_diff *diff) {
    return diff->pair_count;
}

struct varve_image_diff_pair varve_image_diff_pair(const struct varve_image_diff *diff,
                                                   size_t index) {
    assert(index < diff->pair_count);
    const struct pair *from = &diff->pairs[index];
    struct varve_image_diff_pair pair = {.meet = VARVE_RUNG_COUNT};
    for (unsigned i = 0; i < 2; i++) {
        pair.layer[i] = from->layer[i];
        if (from->layer[i] != SIZE_MAX) {
            pair.found[i] = &diff->sides[i].layers[from->layer[i]];
        }
    }
    if (pair.found[0] && pair.found[1]) {
        pair.meet = meet_of(&pair.found[0]->rungs, &pair.found[1]->rungs);
    }
    return pair;
}

/* --- documents --- */

const char *varve_document_matter_name(enum varve_document_matter matter) {
    static const char *const names[] = {"value",       "created", "history",
                                        "annotations", "follows", "claim"};
    assert((size_t)matter < sizeof names / sizeof names[0]);
    return names[matter];
}

static bool begins(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *text, const char *end) {
    size_t count = strlen(text);
    return count >= strlen(end) && strcmp(text + count - strlen(end), end) == 0;
}

static enum varve_document_matter matter_of(enum varve_document_name document,
                                            const char *pointer) {
    if (document == VARVE_DOCUMENT_MANIFEST_JSON) {
        bool descriptor = begins(pointer, "/layers/") || begins(pointer, "/config/");
        if (begins(pointer, "/annotations") || (descriptor && strstr(pointer, "/annotations"))) {
            return VARVE_MATTER_ANNOTATIONS;
        }
        return descriptor && (ends(pointer, "/digest") || ends(pointer, "/size"))
                   ? VARVE_MATTER_FOLLOWS
                   : VARVE_MATTER_VALUE;
    }
    if (strcmp(pointer, "/created") == 0 ||
        (begins(pointer, "/history/") && ends(pointer, "/created"))) {
        return VARVE_MATTER_CREATED;
    }
    return begins(pointer, "/history")           ? VARVE_MATTER_HISTORY
           : begins(pointer, "/rootfs/diff_ids") ? VARVE_MATTER_FOLLOWS
           : begins(pointer, "/config/Labels")   ? VARVE_MATTER_ANNOTATIONS
                                                 : VARVE_MATTER_VALUE;
}

/* Whether a digest or size that a side claims holds: of a layer ("/layers/1/size",
 * "/rootfs/diff_ids/1"), or of the config. */
static enum varve_check holds(const struct side *side, const char *pointer) {
    static const char *const lists[] = {"/layers/", "/rootfs/diff_ids/"};
    if (begins(pointer, "/config/")) {
        bool known = side->image.config && !side->image.fault.code;
        return known ? VARVE_CHECK_OK : VARVE_CHECK_NONE;
    }
    const char *list = lists[begins(pointer, lists[1])];
    uint64_t number = strtoull(pointer + strlen(list), NULL, 10);
    if (!begins(pointer, list) || number >= side->image.layer_count) {
        return VARVE_CHECK_NONE;
    }
    const struct varve_checks *checks = &side->layers[number].checks;
    return list == lists[1]           ? checks->diffid
           : ends(pointer, "/digest") ? checks->name
                                      : checks->size;
}

/* What is claimed of layers and config follows from them only where it holds. */
static void hold_claims(struct varve_document_difference *difference, const struct side sides[2]) {
    for (unsigned i = 0; i < 2; i++) {
        if (difference->has[i]) {
            difference->holds[i] = holds(&sides[i], difference->pointer);
            if (difference->holds[i] != VARVE_CHECK_OK) {
                difference->matter = VARVE_MATTER_CLAIM;
            }
        }
    }
}

void varve_image_diff_each(const struct varve_image_diff *diff,
                           void (*each)(void *cookie,
                                        const struct varve_document_difference *difference),
                           void *cookie) {
    for (int document = 0; document < 2; document++) {
        const struct json_differences *differences = &diff->documents[document];
        for (size_t i = 0; i < differences->count; i++) {
            const struct json_difference *from = &differences->list[i];
            struct varve_document_difference difference = {
                .document = (enum varve_document_name)document,
                .matter = matter_of((enum varve_document_name)document, from->pointer),
                .pointer = from->pointer};
            for (unsigned s = 0; s < 2; s++) {
                difference.has[s] = from->value[s] != NULL;
                if (from->value[s]) {
                    difference.value[s] = (struct varve_bytes){(const uint8_t *)from->value[s],
                                                               strlen(from->value[s])};
                }
            }
            if (difference.matter == VARVE_MATTER_FOLLOWS) {
                hold_claims(&difference, diff->sides);
            }
            each(cookie, &difference);
        }
    }
}
