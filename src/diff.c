/* SPDX-License-Identifier: Apache-2.0 */
/* src/diff.c - two layers side by side: reads both, finds the verdict, tells the differences. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "diff_begin.h"
#include "diff_internal.h"
#include "path.h"

const char *varve_diff_kind_name(enum varve_diff_kind kind) {
    static const char *const names[] = {"security", "finding", "removed",    "added",  "changed",
                                        "link",     "moved",   "global",     "header", "padding",
                                        "trailer",  "end",     "compression"};
    assert((size_t)kind < sizeof names / sizeof names[0]);
    return names[kind];
}

enum varve_status varve_diff_open(struct varve_diff **out,
                                  const struct varve_diff_options *options) {
    struct varve_job_options jobs[2];
    struct varve_diff *diff = calloc(1, sizeof *diff);
    *out = NULL;
    if (!diff) {
        return VARVE_ERROR;
    }
    enum varve_status status = varve_diff_begin(&diff->sha256, diff->budgets, jobs, 2, options);
    if (status == VARVE_OK && !varve_diff_parts_open(diff)) {
        status = VARVE_ERROR;
    }
    for (unsigned i = 0; i < 2 && status == VARVE_OK; i++) {
        status = varve_diff_side_open(&diff->sides[i], diff->sha256, &jobs[i]);
    }
    if (status != VARVE_OK) {
        varve_diff_close(diff);
        return status;
    }
    *out = diff;
    return VARVE_OK;
}

void varve_diff_close(struct varve_diff *diff) {
    if (!diff) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        varve_diff_side_close(&diff->sides[i]);
        varve_budget_close(diff->budgets[i]);
        free(diff->unpacked[i]);
    }
    varve_diff_arena_free(&diff->arena);
    free(diff->fields);
    varve_diff_parts_close(diff);
    varve_sha256_close(diff->sha256);
    free(diff);
}

const struct varve_layer *varve_diff_layer(const struct varve_diff *diff, unsigned side) {
    return varve_job_layer(diff->sides[side].job);
}

/* Both sides a step at a time. Each has a budget of its own, so that what becomes of a layer does
 * not depend on the other; one that wants more than that is read once more, to end as a limit. */
static void read_sides(struct varve_diff *diff) {
    struct varve_job *jobs[2] = {diff->sides[0].job, diff->sides[1].job};
    varve_diff_side_begin(&diff->sides[0]);
    varve_diff_side_begin(&diff->sides[1]);
    while (!varve_job_done(jobs[0]) || !varve_job_done(jobs[1])) {
        varve_jobs_advance(jobs, 2);
        for (unsigned i = 0; i < 2; i++) {
            if (varve_job_starved(jobs[i])) {
                varve_diff_side_reset(&diff->sides[i]);
                varve_job_restart_alone(jobs[i]);
            }
        }
    }
}

enum varve_diff_relation varve_diff_relation(const struct varve_rungs *left,
                                             const struct varve_rungs *right,
                                             enum varve_rung rung) {
    uint32_t both = left->present & right->present;
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        bool have = both >> i & 1;
        bool same = have && memcmp(left->digest[i], right->digest[i], VARVE_SHA256_BYTES) == 0;
        if (i <= (int)rung && same) {
            return VARVE_DIFF_EQUAL;
        }
        if (i >= (int)rung && have && !same) {
            return VARVE_DIFF_UNEQUAL;
        }
    }
    return VARVE_DIFF_UNKNOWN;
}

static void judge_rungs(struct varve_diff *diff) {
    struct varve_diff_verdict *verdict = &diff->verdict;
    const struct varve_layer *layers[2] = {varve_diff_layer(diff, 0), varve_diff_layer(diff, 1)};
    uint32_t rungs = layers[0]->rungs.present & layers[1]->rungs.present;
    *verdict = (struct varve_diff_verdict){
        .meet = VARVE_RUNG_COUNT,
        .complete = true,
        .facets_unequal = varve_facets_unequal(&layers[0]->facets, &layers[1]->facets),
        .but_toc = VARVE_RUNG_COUNT};
    for (int i = VARVE_RUNG_COUNT; i-- > 0;) {
        enum varve_diff_relation relation =
            varve_diff_relation(&layers[0]->rungs, &layers[1]->rungs, (enum varve_rung)i);
        verdict->complete &= relation != VARVE_DIFF_UNKNOWN;
        if (relation == VARVE_DIFF_EQUAL) {
            verdict->meet = (enum varve_rung)i;
        }
        bool same =
            memcmp(layers[0]->rungs.digest[i], layers[1]->rungs.digest[i], VARVE_SHA256_BYTES) == 0;
        verdict->rungs_unequal |= rungs >> i & 1 && !same ? 1u << i : 0;
    }
}

struct varve_diff_verdict varve_diff_verdict(const struct varve_diff *diff) {
    assert(diff->compared);
    return diff->verdict;
}

/* What the differences say that the digests do not. */
struct survey {
    struct varve_diff_verdict *verdict;
    bool toc;               /* eStargz's own files come or go */
    enum varve_rung others; /* the deepest of all other differences; COUNT: none */
};

static bool is_toc(const struct varve_difference *difference) {
    for (unsigned i = 0; i < 2; i++) {
        const struct varve_diff_entry *entry = difference->entry[i];
        if (entry && entry->marks & VARVE_DIFF_TOC) {
            return true;
        }
    }
    return false;
}

/* An entry that comes or goes, or is left out from rung `order` on. */
static void count_lone(struct varve_diff_verdict *verdict,
                       const struct varve_difference *difference) {
    if (difference->rung <= VARVE_RUNG_ENCODING) {
        verdict->repeated_count++;
    } else if (difference->kind == VARVE_DIFF_REMOVED) {
        verdict->removed_count++;
    } else {
        verdict->added_count++;
    }
}

static void count_some(void *cookie, const struct varve_difference *difference) {
    struct varve_diff_verdict *verdict = ((struct survey *)cookie)->verdict;
    switch (difference->kind) {
    case VARVE_DIFF_SECURITY:
        verdict->security_count++;
        break;
    case VARVE_DIFF_REMOVED:
    case VARVE_DIFF_ADDED:
        count_lone(verdict, difference);
        break;
    case VARVE_DIFF_CHANGED:
        verdict->facets_changed |= difference->facets;
        break;
    case VARVE_DIFF_LINK:
        verdict->linked_count++;
        break;
    case VARVE_DIFF_MOVED:
        verdict->moved_count++;
        break;
    default: /* global headers, the trailer */
        verdict->globals_moved_count += difference->rung == VARVE_RUNG_ENCODING;
        if (difference->rung > VARVE_RUNG_ENCODING) {
            verdict->facets_changed |= verdict->facets_unequal & 1u << VARVE_FACET_OTHER;
        }
    }
}

static void seek_toc(void *cookie, const struct varve_difference *difference) {
    struct survey *survey = cookie;
    survey->toc |= is_toc(difference);
}

static void seek_others(void *cookie, const struct varve_difference *difference) {
    struct survey *survey = cookie;
    if (!is_toc(difference) &&
        (survey->others == VARVE_RUNG_COUNT || difference->rung > survey->others)) {
        survey->others = difference->rung;
    }
}

static void judge_entries(struct varve_diff *diff) {
    static const uint32_t counted = 1u << VARVE_DIFF_SECURITY | 1u << VARVE_DIFF_REMOVED |
                                    1u << VARVE_DIFF_ADDED | 1u << VARVE_DIFF_CHANGED |
                                    1u << VARVE_DIFF_LINK | 1u << VARVE_DIFF_MOVED |
                                    1u << VARVE_DIFF_GLOBAL | 1u << VARVE_DIFF_TRAILER;
    struct survey survey = {.verdict = &diff->verdict, .others = VARVE_RUNG_COUNT};
    diff->counting = true;
    varve_diff_each(diff, counted, count_some, &survey);
    diff->counting = false;
    for (unsigned i = 0; i < 2; i++) {
        diff->verdict.order_significant[i] =
            diff->sides[i].whole && diff->sides[i].order.significant;
    }
    if (diff->verdict.meet <= VARVE_RUNG_ENCODING || !diff->verdict.complete) {
        return;
    }
    varve_diff_each(diff, 1u << VARVE_DIFF_REMOVED | 1u << VARVE_DIFF_ADDED, seek_toc, &survey);
    if (survey.toc) {
        varve_diff_each(diff,
                        VARVE_DIFF_ALL & ~(1u << VARVE_DIFF_FINDING | 1u << VARVE_DIFF_SECURITY),
                        seek_others, &survey);
        if (diff->verdict.facets_moved &&
            (survey.others == VARVE_RUNG_COUNT || survey.others < varve_diff_order_depth(diff))) {
            survey.others = varve_diff_order_depth(diff);
        }
        enum varve_rung meet = survey.others == VARVE_RUNG_COUNT
                                   ? VARVE_RUNG_BLOB
                                   : (enum varve_rung)(survey.others + 1);
        diff->verdict.but_toc = meet < diff->verdict.meet ? meet : VARVE_RUNG_COUNT;
    }
}

static bool ran_out(struct varve_fault fault) {
    return fault.code == varve_code_at(VARVE_CODE_NO_MEMORY)->code;
}

enum varve_status varve_diff_layers(struct varve_diff *diff, const struct varve_diff_side *left,
                                    const struct varve_diff_side *right) {
    struct diff_side *sides = diff->sides;
    sides[0].given = *left;
    sides[1].given = *right;
    diff->no_memory = diff->compared = false;
    read_sides(diff);
    for (unsigned i = 0; i < 2; i++) {
        if (ran_out(varve_diff_layer(diff, i)->fault)) {
            return VARVE_ERROR;
        }
        varve_diff_side_finish(&sides[i]);
        /* A fault of decoding hides others: it is what the layer is blamed for. */
        if (ran_out(varve_tar_fault(varve_job_tar(sides[i].job))) ||
            ran_out(varve_ladder_fault(sides[i].ladder))) {
            return VARVE_ERROR;
        }
    }
    judge_rungs(diff);
    bool known = sides[0].entries_known && sides[1].entries_known;
    diff->verdict.entries_compared = known && varve_diff_match(diff) && varve_diff_find_order(diff);
    diff->verdict.headers_compared = !sides[0].store.refused && !sides[1].store.refused;
    diff->compared = true;
    if (diff->verdict.entries_compared) {
        judge_entries(diff);
    }
    diff->no_memory |= sides[0].store.no_memory || sides[1].store.no_memory;
    return diff->no_memory ? VARVE_ERROR : VARVE_OK;
}

/* --- telling --- */

static bool is_path(struct varve_bytes path, const char *text) {
    return diff_same(path, diff_of(text));
}

/* The files that eStargz adds to a layer: its table of contents, and one of the landmarks that say
 * how far a lazy reader should read ahead. */
static bool is_toc_path(struct varve_bytes path) {
    return is_path(path, "stargz.index.json") || is_path(path, ".prefetch.landmark") ||
           is_path(path, ".no.prefetch.landmark");
}

void varve_diff_fill_entry(const struct varve_diff *diff, struct varve_diff_entry *to,
                           unsigned number, uint32_t index) {
    const struct diff_side *side = &diff->sides[number];
    struct varve_record record;
    varve_record_read(&record, side->ladder->entries[index].record);
    *to = (struct varve_diff_entry){
        .path = record.path,
        .link = record.link,
        .typeflag = record.type,
        .size = (uint64_t)varve_record_number(record.bytes + VARVE_RECORD_SIZE, 12),
        .number = index,
        .offset = side->ladder->entries[index].offset,
    };
    enum varve_whiteout whiteout = varve_path_whiteout(record.path);
    bool opaque = whiteout == VARVE_WHITEOUT_OPAQUE;
    bool explicit = whiteout == VARVE_WHITEOUT_EXPLICIT || whiteout == VARVE_WHITEOUT_AUFS;
    to->marks |= record.type == '1' ? VARVE_DIFF_HARDLINK : 0;
    to->marks |= opaque ? VARVE_DIFF_OPAQUE : explicit ? VARVE_DIFF_WHITEOUT : 0;
    to->marks |= is_toc_path(record.path) ? VARVE_DIFF_TOC : 0;
}

/* One walk over the entries of both sides, by path. */
struct pair_walk {
    struct varve_diff *diff;
    enum varve_diff_kind kind;
    diff_each_fn *each;
    void *cookie;
    uint32_t index[2]; /* LADDER_NONE: not on that side */
    bool duplicate[2];
    uint32_t facets; /* in which the difference is seen */
};

static struct varve_record record_at(const struct pair_walk *walk, unsigned side, uint32_t index) {
    struct varve_record record;
    varve_record_read(&record, walk->diff->sides[side].ladder->entries[index].record);
    return record;
}

static void tell(struct pair_walk *walk, enum varve_rung rung, const uint32_t *files) {
    struct varve_diff *diff = walk->diff;
    if (rung == VARVE_RUNG_COUNT || diff->fields_lost) {
        return; /* left out: that is said in the end */
    }
    struct varve_difference difference = {.kind = walk->kind,
                                          .rung = rung,
                                          .facets = walk->facets,
                                          .fields = diff->fields,
                                          .field_count = diff->field_count};
    for (unsigned i = 0; i < 2; i++) {
        if (walk->index[i] != LADDER_NONE) {
            varve_diff_fill_entry(diff, &diff->entries[i], i, walk->index[i]);
            diff->entries[i].marks |= walk->duplicate[i] ? VARVE_DIFF_DUPLICATE : 0;
            difference.entry[i] = &diff->entries[i];
        }
        if (files) {
            varve_diff_fill_entry(diff, &diff->entries[2 + i], i, files[i]);
            difference.file[i] = &diff->entries[2 + i];
        }
    }
    walk->each(walk->cookie, &difference);
}

/* The last rung that sees the difference; VARVE_RUNG_COUNT where there is no memory to tell. */
static enum varve_rung find_depth(struct pair_walk *walk) {
    return varve_diff_facets(walk->diff, &walk->facets, walk->index[0], walk->index[1])
               ? varve_diff_depth(walk->diff, walk->index[0], walk->index[1], walk->facets)
               : VARVE_RUNG_COUNT;
}

static void tell_lone(struct pair_walk *walk) {
    varve_diff_begin_fields(walk->diff);
    tell(walk, find_depth(walk), NULL);
}

/* The file that a hard link belongs to, where that is not significant and there is one. */
static uint32_t file_of(const struct diff_side *side, uint32_t index) {
    const struct ladder_order *order = &side->order;
    if (!side->whole || order->significant || !order->root) {
        return LADDER_NONE;
    }
    uint32_t root = order->root[index];
    return root != LADDER_NONE && varve_ladder_type(side->ladder, root) != '1' ? root : LADDER_NONE;
}

/* A hard link whose own records are equal has other attributes where its file has. */
static void tell_changed_file(struct pair_walk *walk) {
    struct varve_diff *diff = walk->diff;
    uint32_t files[2] = {file_of(&diff->sides[0], walk->index[0]),
                         file_of(&diff->sides[1], walk->index[1])};
    if (files[0] == LADDER_NONE || files[1] == LADDER_NONE) {
        return;
    }
    struct varve_record records[2] = {record_at(walk, 0, files[0]), record_at(walk, 1, files[1])};
    varve_diff_begin_fields(diff);
    enum varve_rung rung = find_depth(walk);
    if (rung > VARVE_RUNG_ARCHIVE &&
        varve_diff_records(diff, &records[0], &records[1], !diff->counting)) {
        tell(walk, rung, files);
    }
}

/* CHANGED and LINK: what hard links say is one thing, how they say it another. */
static void tell_changed(struct pair_walk *walk) {
    struct varve_diff *diff = walk->diff;
    struct varve_record records[2] = {record_at(walk, 0, walk->index[0]),
                                      record_at(walk, 1, walk->index[1])};
    bool same = records[0].count == records[1].count &&
                memcmp(records[0].bytes, records[1].bytes, records[0].count) == 0;
    if (!same) {
        enum varve_rung rung = find_depth(walk);
        bool linked = records[0].type == '1' || records[1].type == '1';
        if ((linked && rung == VARVE_RUNG_ENCODING) == (walk->kind == VARVE_DIFF_LINK)) {
            varve_diff_begin_fields(diff);
            varve_diff_records(diff, &records[0], &records[1], !diff->counting);
            tell(walk, rung, NULL);
        }
    } else if (records[0].type == '1' && walk->kind == VARVE_DIFF_CHANGED) {
        tell_changed_file(walk);
    }
}

static void tell_headers(struct pair_walk *walk) {
    struct varve_diff *diff = walk->diff;
    const struct diff_side *sides = diff->sides;
    if (walk->index[0] >= sides[0].header_count || walk->index[1] >= sides[1].header_count) {
        return;
    }
    const struct diff_raw_item *items[2] = {&sides[0].headers[walk->index[0]],
                                            &sides[1].headers[walk->index[1]]};
    if (varve_diff_raw_equal(items[0], items[1])) {
        return;
    }
    struct varve_record records[2] = {record_at(walk, 0, walk->index[0]),
                                      record_at(walk, 1, walk->index[1])};
    varve_diff_begin_fields(diff);
    varve_diff_headers(diff, items[0], items[1],
                       varve_diff_records(diff, &records[0], &records[1], false));
    if (diff->field_count) {
        tell(walk, VARVE_RUNG_ARCHIVE, NULL);
    }
}

static void tell_security(struct pair_walk *walk) {
    struct varve_diff *diff = walk->diff;
    struct varve_record records[2];
    const struct varve_record *sides[2] = {NULL, NULL};
    for (unsigned i = 0; i < 2; i++) {
        if (walk->index[i] != LADDER_NONE) {
            records[i] = record_at(walk, i, walk->index[i]);
            sides[i] = &records[i];
        }
    }
    varve_diff_begin_fields(diff);
    if (varve_diff_security(diff, sides[0], sides[1])) {
        tell(walk, find_depth(walk), NULL);
    }
}

static bool has_moved(const struct diff_side *side, uint32_t index) {
    return side->moved[index / 8] >> index % 8 & 1;
}

/* One entry, or a pair. */
static void visit(struct pair_walk *walk) {
    bool both = walk->index[0] != LADDER_NONE && walk->index[1] != LADDER_NONE;
    walk->facets = 0;
    switch (walk->kind) {
    case VARVE_DIFF_SECURITY:
        tell_security(walk);
        break;
    case VARVE_DIFF_REMOVED:
    case VARVE_DIFF_ADDED:
        if (walk->index[walk->kind == VARVE_DIFF_ADDED ? 0 : 1] == LADDER_NONE) {
            tell_lone(walk);
        }
        break;
    case VARVE_DIFF_CHANGED:
    case VARVE_DIFF_LINK:
        if (both) {
            tell_changed(walk);
        }
        break;
    case VARVE_DIFF_MOVED:
        if (both && has_moved(&walk->diff->sides[0], walk->index[0])) {
            varve_diff_begin_fields(walk->diff);
            walk->facets = walk->diff->verdict.facets_moved;
            tell(walk, varve_diff_order_depth(walk->diff), NULL);
        }
        break;
    default:
        if (both) {
            tell_headers(walk);
        }
    }
}

static struct varve_bytes sorted_path(const struct diff_side *side, size_t position) {
    return varve_ladder_path(side->ladder, side->sorted[position]);
}

static bool is_duplicate(const struct diff_side *side, size_t position) {
    struct varve_bytes path = sorted_path(side, position);
    return (position > 0 && diff_same(path, sorted_path(side, position - 1))) ||
           (position + 1 < side->count && diff_same(path, sorted_path(side, position + 1)));
}

static void each_entry(struct varve_diff *diff, enum varve_diff_kind kind, diff_each_fn *each,
                       void *cookie) {
    const struct diff_side *sides = diff->sides;
    struct pair_walk walk = {.diff = diff, .kind = kind, .each = each, .cookie = cookie};
    size_t at[2] = {0, 0};
    while (at[0] < sides[0].count || at[1] < sides[1].count) {
        bool in[2] = {at[0] < sides[0].count, at[1] < sides[1].count};
        if (in[0] && in[1]) {
            int order =
                varve_path_compare(sorted_path(&sides[0], at[0]), sorted_path(&sides[1], at[1]));
            uint32_t left = sides[0].partner[sides[0].sorted[at[0]]];
            uint32_t right = sides[1].partner[sides[1].sorted[at[1]]];
            in[0] = order < 0 || (order == 0 && (left == LADDER_NONE || right != LADDER_NONE));
            in[1] = order > 0 || (order == 0 && left != LADDER_NONE);
        }
        for (unsigned i = 0; i < 2; i++) {
            walk.index[i] = in[i] ? sides[i].sorted[at[i]] : LADDER_NONE;
            walk.duplicate[i] = in[i] && is_duplicate(&sides[i], at[i]);
            at[i] += in[i];
        }
        visit(&walk);
    }
}

enum varve_status varve_diff_each(struct varve_diff *diff, uint32_t kinds, diff_each_fn *each,
                                  void *cookie) {
    static void (*const around[VARVE_DIFF_KIND_COUNT])(struct varve_diff *, diff_each_fn *,
                                                       void *) = {
        [VARVE_DIFF_FINDING] = varve_diff_each_finding,
        [VARVE_DIFF_GLOBAL] = varve_diff_each_global,
        [VARVE_DIFF_PADDING] = varve_diff_each_padding,
        [VARVE_DIFF_TRAILER] = varve_diff_trailer,
        [VARVE_DIFF_END] = varve_diff_end,
        [VARVE_DIFF_COMPRESSION] = varve_diff_compression,
    };
    assert(diff->compared);
    for (int kind = 0; kind < VARVE_DIFF_KIND_COUNT; kind++) {
        if (!(kinds >> kind & 1)) {
            continue;
        }
        bool entries = !around[kind] || kind == VARVE_DIFF_PADDING;
        if (entries && !diff->verdict.entries_compared) {
            continue;
        }
        if (around[kind]) {
            around[kind](diff, each, cookie);
        } else if (diff->verdict.meet > VARVE_RUNG_DIFFID) {
            /* Where the archives are equal byte for byte, so is every entry. */
            each_entry(diff, (enum varve_diff_kind)kind, each, cookie);
        }
    }
    return diff->no_memory ? VARVE_ERROR : VARVE_OK;
}
