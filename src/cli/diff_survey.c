/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/diff_survey.c - the layers of two images looked through, for what makes them differ: the
 * verdict names it, before anything is told of any pair. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "diff.h"

bool diff_open_pair(struct varve_diff_side sides[2], struct diff_operand operands[2],
                    const struct varve_image_diff_pair *pair) {
    bool good = true;
    for (unsigned i = 0; i < 2; i++) {
        operands[i].fd = -1;
        if (good && pair->found[i]) {
            good = diff_open_side(&sides[i], &operands[i], pair->found[i]->blob);
        } else if (good) {
            operands[i].fd = memfd_create("nothing", MFD_CLOEXEC);
            sides[i] = (struct varve_diff_side){
                .fd = operands[i].fd, .bytes = UINT64_MAX, .name = "", .source = ""};
            good = sides[i].fd >= 0;
            if (!good) {
                complain("no empty file to compare %s with: %s", pair->found[1 - i]->name,
                         strerror(errno));
            }
        }
    }
    return good;
}

void diff_close_pair(struct diff_operand operands[2]) {
    for (unsigned i = 0; i < 2; i++) {
        if (operands[i].fd >= 0) {
            close(operands[i].fd);
        }
        operands[i].fd = -1;
    }
}

/* Whether digests tell all that the verdict asks for. A mode stands for every entry, by its path:
 * where that facet is equal, no entry is on one side alone (but for repeated directories), and what
 * is unequal differs in entries of both, unless facets are written in the archive's order; and the
 * facets that setuid bits and capabilities belong to are the same. */
static bool is_told_by_digests(uint32_t *facets, const struct varve_image_diff_pair *pair,
                               enum varve_rung images_meet) {
    static const uint32_t telling = 1u << VARVE_FACET_MODE | 1u << VARVE_FACET_XATTRS;
    *facets = 0;
    if (pair->meet == VARVE_RUNG_BLOB) {
        return true;
    }
    if (!pair->found[0] || !pair->found[1] ||
        (pair->meet == VARVE_RUNG_ORDER && images_meet == VARVE_RUNG_ORDER)) {
        return false;
    }
    const struct varve_facets *left = &pair->found[0]->facets;
    const struct varve_facets *right = &pair->found[1]->facets;
    bool all = (left->present & right->present) == (1u << VARVE_FACET_COUNT) - 1;
    *facets = varve_facets_unequal(left, right);
    bool in_order = pair->found[0]->order_significant || pair->found[1]->order_significant;
    return all && (!*facets || (!(*facets & telling) && !in_order));
}

static void add_pair(struct diff_survey *survey, const struct varve_diff_verdict *pair) {
    struct varve_diff_verdict *all = &survey->all;
    survey->unexplained |= diff_facets_unexplained(pair);
    all->facets_unequal |= pair->facets_unequal;
    all->facets_changed |= pair->facets_changed;
    all->facets_moved |= pair->facets_moved;
    all->removed_count += pair->removed_count;
    all->added_count += pair->added_count;
    all->repeated_count += pair->repeated_count;
    all->linked_count += pair->linked_count;
    all->moved_count += pair->moved_count;
    all->globals_moved_count += pair->globals_moved_count;
    all->entries_compared &= pair->entries_compared;
    for (unsigned i = 0; i < 2; i++) {
        all->order_significant[i] |= pair->order_significant[i] && !pair->order_significant[1 - i];
    }
}

bool diff_pair_was_read(const struct varve_image_diff_pair *pair) {
    bool read = true;
    for (unsigned i = 0; i < 2; i++) {
        read &= !pair->found[i] || pair->found[i]->status != VARVE_ERROR;
    }
    return read;
}

bool diff_entries_unknown(uint32_t rungs_present, enum varve_status status, bool compared) {
    bool whole = rungs_present >> VARVE_RUNG_CONTENT & 1;
    return whole ? !compared : status != VARVE_OK;
}

/* Whether entries of a pair are not known. */
static bool is_unknown(const struct varve_image_diff_pair *pair, bool compared) {
    bool unknown = false;
    for (unsigned i = 0; i < 2 && pair->meet != VARVE_RUNG_BLOB; i++) {
        const struct varve_image_diff_layer *layer = pair->found[i];
        unknown |= layer && diff_entries_unknown(layer->rungs.present, layer->status, compared);
    }
    return unknown;
}

/* Of a layer that could be read before, and cannot now. */
static void complain_of_unread(const struct diff_view *view) {
    for (unsigned i = 0; i < 2; i++) {
        const struct varve_layer *layer = varve_diff_layer(view->diff, i);
        if (layer->status == VARVE_ERROR) {
            complain("%s: %s%s%s", layer->name, layer->fault.message,
                     layer->fault.os_errno ? ": " : "",
                     layer->fault.os_errno ? strerror(layer->fault.os_errno) : "");
        }
    }
}

/* One pair, as it stands in `verdict` where it is compared. False: no memory. */
static bool survey_pair(struct varve_diff_verdict *verdict, const struct diff_view *view,
                        struct diff_operand operands[2], const struct varve_image_diff_pair *pair,
                        enum varve_rung images_meet) {
    struct varve_diff_side sides[2];
    uint32_t facets = 0;
    bool good = true;
    bool told = is_told_by_digests(&facets, pair, images_meet);
    *verdict = (struct varve_diff_verdict){.but_toc = VARVE_RUNG_COUNT, .entries_compared = told};
    if (told) {
        verdict->facets_changed = facets;
    } else if (diff_pair_was_read(pair)) { /* else that is told later */
        if (diff_open_pair(sides, operands, pair)) {
            good = varve_diff_layers(view->diff, &sides[0], &sides[1]) == VARVE_OK;
            if (good) {
                *verdict = varve_diff_verdict(view->diff);
                complain_of_unread(view);
            }
        }
        diff_close_pair(operands);
    }
    /* Two side by side have half the memory each: a layer may have been judged only before. */
    verdict->facets_unequal |= facets;
    return good;
}

bool diff_survey_pairs(struct diff_survey *survey, const struct diff_view *view,
                       const struct varve_image_diff *diff, struct diff_operand operands[2]) {
    size_t count = varve_image_diff_pair_count(diff);
    enum varve_rung images_meet = varve_image_diff_verdict(diff).meet;
    enum varve_rung meet = VARVE_RUNG_BLOB; /* of all pairs, but for what eStargz adds */
    bool toc = false;
    *survey = (struct diff_survey){.all = {.entries_compared = true},
                                   .pairs = calloc(count + 1, sizeof *survey->pairs)};
    bool good = survey->pairs != NULL;
    for (size_t i = 0; good && i < count; i++) {
        struct varve_image_diff_pair pair = varve_image_diff_pair(diff, i);
        struct varve_diff_verdict verdict;
        good = survey_pair(&verdict, view, operands, &pair, images_meet);
        survey->pairs[i] =
            (struct diff_survey_pair){.security_count = verdict.security_count,
                                      .unknown = is_unknown(&pair, verdict.entries_compared)};
        survey->all.security_count += verdict.security_count;
        survey->unknown_count += survey->pairs[i].unknown;
        if (pair.found[0] && pair.found[1]) {
            add_pair(survey, &verdict);
        }
        bool but_toc = verdict.but_toc != VARVE_RUNG_COUNT && pair.meet == VARVE_RUNG_COUNT;
        enum varve_rung met = but_toc ? verdict.but_toc : pair.meet;
        toc |= but_toc;
        meet = met > meet ? met : meet;
    }
    survey->all.but_toc = toc ? meet : VARVE_RUNG_COUNT;
    if (!good) {
        complain("out of memory");
    }
    return good;
}
