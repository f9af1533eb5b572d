/* SPDX-License-Identifier: Apache-2.0 */
/* src/outcomes.c - what images need to know of layers, kept until the images' turn comes. */
#include "outcomes.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "clock.h"
#include "image_ladder.h"
#include "layer.h"
#include "spill.h"

/* What images need to know of a layer after it was reported: as many rungs as are computed. */
struct outcome {
    uint64_t bytes_stored;
    bool gone, complete, has_format;
    uint8_t own_status, format, compression, name_check;
    uint8_t rungs_present;
    uint8_t rungs[][VARVE_SHA256_BYTES];
};

/* Outcomes in memory, before more of them lie in a temporary file (spill.h): of 30,000 layers. */
#define OUTCOMES_BYTES ((size_t)8 << 20)
/* So many layers are kept or looked at between two looks at memory: each touches pages anywhere. */
#define RELAX_EVERY 32u

struct varve_outcomes {
    const struct varve_catalog *catalog;
    size_t rung_count;
    uint32_t *number_of;      /* by blob: number + 1, 0: none; NULL: there are no images */
    struct varve_table table; /* in the order in which layers are reported */
};

struct varve_outcomes *varve_outcomes_open(const struct varve_catalog *catalog, size_t rung_count) {
    struct varve_outcomes *outcomes = calloc(1, sizeof *outcomes);
    if (!outcomes) {
        return NULL;
    }
    outcomes->catalog = catalog;
    outcomes->rung_count = rung_count;
    if (!varve_catalog_image_count(catalog)) {
        return outcomes;
    }
    outcomes->table.element_bytes = sizeof(struct outcome) + rung_count * VARVE_SHA256_BYTES;
    outcomes->table.spill = varve_spill_open(OUTCOMES_BYTES, varve_catalog_temporary(catalog));
    outcomes->number_of =
        calloc(varve_catalog_blob_count(catalog) + 1, sizeof *outcomes->number_of);
    if (!outcomes->table.spill || !outcomes->number_of) {
        varve_outcomes_close(outcomes);
        return NULL;
    }
    return outcomes;
}

void varve_outcomes_close(struct varve_outcomes *outcomes) {
    if (outcomes) {
        varve_table_free(&outcomes->table);
        varve_spill_close(outcomes->table.spill);
        free(outcomes->number_of);
        free(outcomes);
    }
}

uint64_t varve_outcomes_spilled(const struct varve_outcomes *outcomes, int *error) {
    *error = outcomes->table.spill ? varve_spill_error(outcomes->table.spill) : 0;
    return outcomes->table.spill ? varve_spill_file_bytes(outcomes->table.spill) : 0;
}

bool varve_outcomes_keep(struct varve_outcomes *outcomes, const struct varve_layer *layer,
                         size_t blob) {
    if (!outcomes->number_of || varve_catalog_first_claim(outcomes->catalog, blob) == SIZE_MAX) {
        return true;
    }
    struct outcome *outcome = varve_table_add(&outcomes->table);
    if (!outcome) {
        return false;
    }
    outcomes->number_of[blob] = (uint32_t)outcomes->table.count;
    outcome->bytes_stored = layer->bytes_stored;
    outcome->gone = layer->gone;
    outcome->complete = layer->complete;
    outcome->has_format = layer->has_format;
    outcome->rungs_present = (uint8_t)layer->rungs.present;
    outcome->own_status = (uint8_t)layer->own_status;
    outcome->format = (uint8_t)layer->format;
    outcome->compression = (uint8_t)layer->compression;
    outcome->name_check = (uint8_t)layer->checks.name;
    memcpy(outcome->rungs, layer->rungs.digest, outcomes->rung_count * VARVE_SHA256_BYTES);
    if (outcomes->table.count % RELAX_EVERY == 0) {
        varve_spill_relax(outcomes->table.spill);
    }
    return true;
}

/* What is kept of a layer that an image has, into *outcome. False: it was not reported. */
static bool find_outcome(const struct varve_outcomes *outcomes, struct outcome *outcome,
                         size_t blob) {
    uint32_t number = outcomes->number_of ? outcomes->number_of[blob] : 0;
    if (number) {
        varve_table_get(&outcomes->table, outcome, number - 1);
    }
    return number;
}

/* How a layer fared against one claim: the layer's own status without other images' claims. */
static struct varve_image_layer judge_image_layer(const struct outcome *outcome, size_t rung_count,
                                                  const struct varve_claim *claim, size_t number) {
    struct varve_layer layer = {
        .complete = outcome->complete,
        .has_format = outcome->has_format,
        .status = (enum varve_status)outcome->own_status,
        .format = (enum varve_format)outcome->format,
        .compression = (enum varve_compression)outcome->compression,
        .checks.name = (enum varve_check)outcome->name_check,
        .bytes_stored = outcome->bytes_stored,
        .rungs.present = outcome->rungs_present,
    };
    if (rung_count > VARVE_RUNG_DIFFID && outcome->rungs_present & 1u << VARVE_RUNG_DIFFID) {
        memcpy(layer.rungs.digest[VARVE_RUNG_DIFFID], outcome->rungs[VARVE_RUNG_DIFFID],
               VARVE_SHA256_BYTES);
    }
    varve_layer_hold(&layer, claim->size, claim->media_type,
                     claim->has_diffid ? claim->diffid : NULL);
    return (struct varve_image_layer){number, layer.status, layer.checks};
}

/* What an image is put together in: by layer, and by rung and layer. */
struct image_room {
    size_t layer_count;      /* that there is room for */
    struct outcome *outcome; /* of the layer at hand */
    struct varve_rungs image_rungs;
    struct varve_image_layer *layers;
    uint8_t (*rungs)[VARVE_SHA256_BYTES];
    EVP_MD_CTX *hasher;
};

static bool make_room(struct image_room *room, size_t layer_count, size_t rung_count) {
    if (layer_count <= room->layer_count && room->layers) {
        return true;
    }
    free(room->layers);
    free(room->rungs);
    room->layers = calloc(layer_count + 1, sizeof *room->layers);
    room->rungs = calloc(layer_count * rung_count + 1, sizeof *room->rungs);
    room->layer_count = layer_count;
    return room->layers && room->rungs;
}

/* What came of an image's layers. */
struct image_outcome {
    bool whole; /* all were reported */
    bool gone;
    enum varve_status status; /* the worst of them */
    uint32_t rungs_present;   /* with all of them */
};

/* Each of an image's layers against its claim; their rungs go to the room. */
static struct image_outcome judge_layers(const struct varve_outcomes *outcomes,
                                         struct image_room *room, const struct varve_image *image) {
    struct image_outcome found = {.whole = true,
                                  .status = image->fault.code ? image->fault.status : VARVE_OK,
                                  .rungs_present = (1u << outcomes->rung_count) - 1};
    for (size_t i = 0; i < image->layer_count; i++) {
        struct varve_claim claim = varve_catalog_claim(outcomes->catalog, image->claims[i]);
        const struct outcome *outcome = room->outcome;
        if (!find_outcome(outcomes, room->outcome, claim.blob)) {
            found.whole = false;
            break;
        }
        struct varve_image_layer *layer = &room->layers[i];
        *layer = judge_image_layer(outcome, outcomes->rung_count, &claim, image->claims[i]);
        found.gone |= outcome->gone;
        found.rungs_present &= outcome->rungs_present;
        if (varve_status_weight(layer->status) > varve_status_weight(found.status)) {
            found.status = layer->status;
        }
        for (size_t rung = 0; rung < outcomes->rung_count; rung++) {
            memcpy(room->rungs[rung * image->layer_count + i], outcome->rungs[rung],
                   VARVE_SHA256_BYTES);
        }
    }
    return found;
}

/* The rungs that all layers of an image have. False: no memory. */
static bool climb_image(struct varve_rungs *rungs, const struct image_room *room,
                        const struct varve_image *image, uint32_t present) {
    uint32_t common = image->config ? present : 0;
    bool good = true;
    memset(rungs, 0, sizeof *rungs);
    for (size_t rung = 0; good && rung < VARVE_RUNG_COUNT; rung++) {
        if (common & 1u << rung) {
            /* The room's owner frees it. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
            good = varve_image_rung(rungs->digest[rung], room->hasher, (enum varve_rung)rung,
                                    image->config, room->rungs[rung * image->layer_count],
                                    image->layer_count);
        }
    }
    rungs->present = good ? common : 0;
    return good;
}

/* An image whose layers were all reported. False: no memory. */
static bool report_image(const struct varve_outcomes *outcomes, struct varve_scan_summary *summary,
                         const struct varve_report *report, void *cookie, struct image_room *room,
                         struct varve_image *image) {
    if (!make_room(room, image->layer_count, outcomes->rung_count)) {
        return false;
    }
    struct image_outcome found = judge_layers(outcomes, room, image);
    summary->images_gone += found.whole && found.gone;
    if (!found.whole || found.gone) {
        return true;
    }
    summary->layer_references += image->layer_count;
    bool beside = image->attestation || image->artifact;
    summary->attestations += image->attestation;
    summary->artifacts += !image->attestation && image->artifact;
    (beside ? summary->beside : summary->images)[found.status]++;
    bool good = climb_image(&room->image_rungs, room, image, found.rungs_present);
    image->rungs = &room->image_rungs;
    if (report->image) {
        report->image(cookie, image, found.status, room->layers);
    }
    return good;
}

/* A cancelled scan tells of the images that are whole for so long. */
#define CANCELLED_SECONDS 0.5

bool varve_outcomes_report(const struct varve_outcomes *outcomes,
                           struct varve_scan_summary *summary, const struct varve_report *report,
                           void *cookie, const _Atomic bool *cancelled, bool *whole) {
    struct image_room room = {
        .hasher = varve_image_hasher(),
        .outcome = malloc(sizeof(struct outcome) + (size_t)VARVE_RUNG_COUNT * VARVE_SHA256_BYTES)};
    size_t references = 0;
    double cancelled_at = 0;
    bool good = room.hasher && room.outcome;
    for (size_t i = 0; good && i < varve_catalog_image_count(outcomes->catalog); i++) {
        struct varve_image image = varve_catalog_image(outcomes->catalog, i);
        if (atomic_load_explicit(cancelled, memory_order_relaxed)) {
            double now = varve_wall_seconds();
            cancelled_at = cancelled_at > 0 ? cancelled_at : now;
            if (now - cancelled_at > CANCELLED_SECONDS) {
                *whole = false;
                break;
            }
        }
        good = report_image(outcomes, summary, report, cookie, &room, &image);
        references += image.layer_count + 1;
        if (references >= RELAX_EVERY) {
            references = 0;
            varve_catalog_relax(outcomes->catalog);
            varve_spill_relax(outcomes->table.spill);
        }
    }
    EVP_MD_CTX_free(room.hasher);
    free(room.layers);
    free(room.rungs);
    free(room.outcome);
    return good;
}
