/* SPDX-License-Identifier: Apache-2.0 */
/* src/ladder_order.c - entries sorted by path, where order means something, and what hard links
 * belong to (docs/ladder.md, section 5).
 *
 * Everything is looked up in the sorted order; there is no hash table that hostile paths could
 * degrade. Sorting takes n log n comparisons, the walk over ancestors time linear in the paths. */
#include <stdlib.h>
#include <string.h>

#include "ladder_internal.h"
#include "path.h"

/* What is counted on the way. */
enum tally {
    TALLY_SIGNIFICANT,
    TALLY_BENEATH_FILE,
    TALLY_DUPLICATE_PATH,
    TALLY_DUPLICATE_DIRECTORY,
    TALLY_CHAIN,
    TALLY_FORWARD,
    TALLY_OUTSIDE,
    TALLY_DIRECTORY,
    TALLY_INVALID,
    TALLY_AUFS,
    TALLY_CONTENT,
    TALLY_COUNT
};
static const enum varve_code tally_codes[TALLY_COUNT] = {
    [TALLY_SIGNIFICANT] = VARVE_CODE_ORDER_SIGNIFICANT,
    [TALLY_BENEATH_FILE] = VARVE_CODE_PATH_BENEATH_FILE,
    [TALLY_DUPLICATE_PATH] = VARVE_CODE_DUPLICATE_PATH,
    [TALLY_DUPLICATE_DIRECTORY] = VARVE_CODE_DUPLICATE_DIRECTORY,
    [TALLY_CHAIN] = VARVE_CODE_HARDLINK_CHAIN,
    [TALLY_FORWARD] = VARVE_CODE_HARDLINK_FORWARD,
    [TALLY_OUTSIDE] = VARVE_CODE_HARDLINK_OUTSIDE,
    [TALLY_DIRECTORY] = VARVE_CODE_HARDLINK_DIRECTORY,
    [TALLY_INVALID] = VARVE_CODE_WHITEOUT_INVALID,
    [TALLY_AUFS] = VARVE_CODE_WHITEOUT_AUFS,
    [TALLY_CONTENT] = VARVE_CODE_WHITEOUT_CONTENT,
};

struct sorter {
    struct varve_ladder *ladder;
    struct ladder_order *order;
    size_t count; /* entries */
    struct ladder_tally tallies[TALLY_COUNT];
    /* A stack of positions in sorted order, each the first of its path and an ancestor of the next:
     * in the order's spare array. */
    uint32_t *stack;
    size_t depth;
    uint8_t *scratch; /* room for any path */
};

static struct varve_bytes path_at(const struct sorter *sorter, size_t position) {
    return varve_ladder_path(sorter->ladder, sorter->order->sorted[position]);
}

/* What is sorted: the records' places lie beside their numbers, so that comparing two entries asks
 * memory for nothing but their paths. */
struct sort_item {
    const uint8_t *record;
    uint32_t index;
};

/* In a layer of a hundred thousand entries and more, records are in no cache when they are compared
 * or written: they are asked for as many steps ahead as memory takes. */
enum { AHEAD = 8 };

static int compare_items(const struct sort_item *a, const struct sort_item *b) {
    return varve_path_compare(varve_record_path(a->record), varve_record_path(b->record));
}

static inline void ask_ahead(const struct sort_item *from, const struct sort_item *end) {
    if (end - from > AHEAD) {
        varve_ladder_prefetch(from[AHEAD].record);
    }
}

/* Merges the `left_count` items of `left` with the last `count - left_count` of `items` into
 * `items`, stably. */
static void merge(struct sort_item *items, size_t count, const struct sort_item *left,
                  size_t left_count) {
    const struct sort_item *left_end = left + left_count;
    const struct sort_item *right = items + left_count;
    const struct sort_item *end = items + count;
    for (; left < left_end; items++) {
        if (right < end && compare_items(right, left) < 0) {
            *items = *right++;
            ask_ahead(right, end);
        } else {
            *items = *left++;
            ask_ahead(left, left_end);
        }
    }
}

/* Merges two neighbours, each in order; what is in order together already is left alone. */
static void merge_runs(const struct varve_ladder *ladder, struct sort_item *items,
                       size_t left_count, size_t count, struct sort_item *spare) {
    if (count >= LADDER_STEPS && varve_ladder_is_cancelled(ladder)) {
        return;
    }
    if (compare_items(&items[left_count - 1], &items[left_count]) > 0) {
        memcpy(spare, items, left_count * sizeof *items);
        merge(items, count, spare, left_count);
    }
}

/* A merge sort: most writers walk a tree in nearly this order, and then it is n comparisons. Two
 * runs of one length are merged as soon as both are there, so that what is small enough for a cache
 * stays there. `spare` has room for as many items. */
static void sort_items(const struct varve_ladder *ladder, struct sort_item *items, size_t count,
                       struct sort_item *spare) {
    for (size_t done = 2; done <= count; done++) {
        for (size_t width = 1; done % (2 * width) == 0; width *= 2) {
            merge_runs(ladder, items + done - 2 * width, width, 2 * width, spare);
        }
    }
    /* What is left are runs as long as count's bits say, the longest first. */
    for (size_t begin = count & (count - 1); begin > 0; begin &= begin - 1) {
        size_t longer = begin & (0 - begin);
        merge_runs(ladder, items + begin - longer, longer, count - begin + longer, spare);
    }
}

/* False after a fault, or cancelled. */
static bool sort(struct sorter *sorter) {
    struct varve_ladder *ladder = sorter->ladder;
    uint64_t taken = 0;
    struct sort_item *items =
        varve_ladder_allocate(ladder, &taken, 2 * sorter->count, sizeof *items);
    if (items) {
        for (size_t i = 0; i < sorter->count; i++) {
            items[i] = (struct sort_item){ladder->entries[i].record, (uint32_t)i};
        }
        sort_items(ladder, items, sorter->count, items + sorter->count);
        for (size_t i = 0; i < sorter->count; i++) {
            sorter->order->sorted[i] = items[i].index;
        }
    }
    free(items);
    varve_budget_give(ladder->budget, taken);
    return items && !varve_ladder_is_cancelled(ladder);
}

/* The first position whose path is not before (`behind`: is behind) the given one. */
static size_t bound(const struct sorter *sorter, struct varve_bytes path, bool behind) {
    size_t low = 0, high = sorter->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int compared = varve_path_compare(path_at(sorter, middle), path);
        if (compared < 0 || (behind && compared == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void tally(struct sorter *sorter, enum tally what, size_t index) {
    varve_ladder_tally(&sorter->tallies[what], index);
}

static void mark_significant(struct sorter *sorter, size_t index) {
    sorter->order->flags[index] |= LADDER_SIGNIFICANT;
}

static bool is_directory(uint8_t type) {
    return type == '5' || type == 'D';
}

/* Takes the innermost ancestor off the stack. What lies beneath it lies beneath the next one too;
 * all entries of its path know. */
static void pop(struct sorter *sorter) {
    struct ladder_order *order = sorter->order;
    size_t position = sorter->stack[--sorter->depth];
    if (!(order->flags[order->sorted[position]] & LADDER_HOLDER)) {
        return;
    }
    while (++position < sorter->count && order->flags[order->sorted[position]] & LADDER_SAME) {
        order->flags[order->sorted[position]] |= LADDER_HOLDER;
    }
    if (sorter->depth) {
        order->flags[order->sorted[sorter->stack[sorter->depth - 1]]] |= LADDER_HOLDER;
    }
}

static size_t record_bytes(const struct varve_ladder *ladder, size_t index) {
    struct varve_record record;
    varve_record_read(&record, ladder->entries[index].record);
    return record.count;
}

/* Entries of one path, at positions [begin, end): are they the same? */
static void compare_duplicates(struct sorter *sorter, size_t begin, size_t end) {
    if (end - begin == 1) {
        return;
    }
    const struct varve_ladder *ladder = sorter->ladder;
    const uint32_t *sorted = sorter->order->sorted;
    const uint8_t *first = ladder->entries[sorted[begin]].record;
    size_t bytes = record_bytes(ladder, sorted[begin]);
    bool differ = false;
    for (size_t i = begin + 1; i < end; i++) {
        const uint8_t *record = ladder->entries[sorted[i]].record;
        bool same = record_bytes(ladder, sorted[i]) == bytes && memcmp(record, first, bytes) == 0;
        bool directory = same && record[VARVE_RECORD_TYPE] == '5';
        differ = differ || !same;
        if (differ) {
            mark_significant(sorter, sorted[i]);
        }
        tally(sorter, directory ? TALLY_DUPLICATE_DIRECTORY : TALLY_DUPLICATE_PATH, sorted[i]);
        sorter->order->flags[sorted[i]] |= LADDER_SAME;
    }
}

/* Whether the layer has the path that the explicit whiteout removes, or anything beneath it. */
static bool removes_own(struct sorter *sorter, struct varve_bytes path) {
    struct varve_bytes removed = {sorter->scratch, varve_path_removed(sorter->scratch, path)};
    size_t at = bound(sorter, removed, false);
    if (at == sorter->count) {
        return false;
    }
    struct varve_bytes found = path_at(sorter, at);
    return varve_path_compare(found, removed) == 0 || varve_path_is_beneath(found, removed);
}

static void check_whiteout(struct sorter *sorter, enum varve_whiteout kind, size_t index) {
    struct varve_record record;
    varve_record_read(&record, sorter->ladder->entries[index].record);
    if (kind == VARVE_WHITEOUT_INVALID || kind == VARVE_WHITEOUT_AUFS) {
        tally(sorter, kind == VARVE_WHITEOUT_AUFS ? TALLY_AUFS : TALLY_INVALID, index);
        return;
    }
    if (record.type != '0' || varve_record_number(record.bytes + VARVE_RECORD_SIZE, 12) != 0) {
        tally(sorter, TALLY_CONTENT, index);
    }
    if (kind == VARVE_WHITEOUT_EXPLICIT && removes_own(sorter, record.path)) {
        mark_significant(sorter, index);
    }
}

/* Goes through the paths in sorted order, with each one's ancestors on the stack. */
static void walk(struct sorter *sorter) {
    struct ladder_order *order = sorter->order;
    uint8_t *flags = order->flags;
    const uint32_t *sorted = order->sorted;
    size_t end;
    for (size_t begin = 0; begin < sorter->count; begin = end) {
        if (begin % LADDER_STEPS == 0 && varve_ladder_is_cancelled(sorter->ladder)) {
            return;
        }
        struct varve_bytes path = path_at(sorter, begin);
        varve_ladder_look_ahead(sorter->ladder, sorted, begin, sorter->count);
        for (end = begin + 1;
             end < sorter->count && varve_path_compare(path, path_at(sorter, end)) == 0; end++) {
        }
        while (sorter->depth &&
               !varve_path_is_beneath(path, path_at(sorter, sorter->stack[sorter->depth - 1]))) {
            pop(sorter);
        }
        uint8_t *above = sorter->depth ? &flags[sorted[sorter->stack[sorter->depth - 1]]] : NULL;
        bool beneath_file = above && *above & LADDER_BLOCKED;
        enum varve_whiteout whiteout = varve_path_whiteout(path);
        if (above && whiteout == VARVE_WHITEOUT_NONE) {
            *above |= LADDER_HOLDER;
        }
        bool blocked = beneath_file;
        for (size_t i = begin; i < end; i++) {
            size_t index = sorted[i];
            blocked |= !is_directory(varve_ladder_type(sorter->ladder, index));
            if (beneath_file) {
                tally(sorter, TALLY_BENEATH_FILE, index);
                mark_significant(sorter, index);
            }
            if (whiteout != VARVE_WHITEOUT_NONE) {
                check_whiteout(sorter, whiteout, index);
            }
        }
        compare_duplicates(sorter, begin, end);
        flags[sorted[begin]] |= blocked ? LADDER_BLOCKED : 0;
        sorter->stack[sorter->depth++] = (uint32_t)begin;
    }
    while (sorter->depth) {
        pop(sorter);
    }
}

/* The last entry before `index` among positions [low, high) of one path, or LADDER_NONE. */
static uint32_t last_before(const struct ladder_order *order, size_t low, size_t high,
                            size_t index) {
    size_t begin = low;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (order->sorted[middle] < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > begin ? order->sorted[low - 1] : LADDER_NONE;
}

/* Resolves the hard link at `index`; those before it are resolved. */
static void resolve_link(struct sorter *sorter, size_t index) {
    struct ladder_order *order = sorter->order;
    struct varve_record record;
    varve_record_read(&record, sorter->ladder->entries[index].record);
    size_t low = bound(sorter, record.link, false);
    size_t high = bound(sorter, record.link, true);
    uint32_t target = last_before(order, low, high, index);
    bool behind = high > low && order->sorted[high - 1] > index;
    order->root[index] = (uint32_t)index;
    if (behind) {
        mark_significant(sorter, index);
    }
    if (target == LADDER_NONE) {
        /* The entry itself may have the path it links to. */
        tally(sorter, behind ? TALLY_FORWARD : TALLY_OUTSIDE, index);
        return;
    }
    uint8_t type = varve_ladder_type(sorter->ladder, target);
    if (type == '1') {
        tally(sorter, TALLY_CHAIN, index);
        order->root[index] = order->root[target];
    } else if (varve_ladder_is_file(type)) {
        order->root[index] = target;
    } else {
        tally(sorter, TALLY_DIRECTORY, index);
    }
}

/* False after a fault. */
static bool resolve(struct sorter *sorter) {
    struct varve_ladder *ladder = sorter->ladder;
    struct ladder_order *order = sorter->order;
    if (!ladder->links) {
        return true;
    }
    order->root = varve_ladder_allocate(ladder, &order->bytes, sorter->count, 4);
    order->elected = varve_ladder_allocate(ladder, &order->bytes, sorter->count, 4);
    if (!order->root || !order->elected) {
        return false;
    }
    bool cancelled = false;
    for (size_t i = 0; i < sorter->count && !cancelled; i++) {
        cancelled = i % LADDER_STEPS == 0 && varve_ladder_is_cancelled(ladder);
        uint8_t type = varve_ladder_type(ladder, i);
        order->elected[i] = LADDER_NONE;
        order->root[i] = varve_ladder_is_file(type) ? (uint32_t)i : LADDER_NONE;
        if (type == '1') {
            resolve_link(sorter, i);
        }
    }
    return !cancelled;
}

/* Leaves out repeated directories, and elects the file of each group. */
static void collapse(struct sorter *sorter) {
    struct ladder_order *order = sorter->order;
    order->count = 0;
    for (size_t i = 0; i < sorter->count; i++) {
        uint32_t index = order->sorted[i];
        uint8_t type = varve_ladder_type(sorter->ladder, index);
        if (type == '5' && order->flags[index] & LADDER_SAME) {
            continue;
        }
        order->sorted[order->count++] = index;
        uint32_t root = order->root ? order->root[index] : LADDER_NONE;
        if (root != LADDER_NONE && order->elected[root] == LADDER_NONE) {
            order->elected[root] = index;
        }
    }
}

bool varve_ladder_sort(struct varve_ladder *ladder, struct ladder_order *order) {
    struct sorter sorter = {.ladder = ladder, .order = order, .count = ladder->entry_count};
    *order = (struct ladder_order){.significant = false};
    order->sorted = varve_ladder_allocate(ladder, &order->bytes, sorter.count, 4);
    order->spare = varve_ladder_allocate(ladder, &order->bytes, sorter.count, 4);
    order->flags = varve_ladder_allocate(ladder, &order->bytes, sorter.count, 1);
    uint64_t scratch_taken = 0;
    sorter.scratch = varve_ladder_allocate(ladder, &scratch_taken, ladder->longest_path, 1);
    bool done = order->sorted && order->spare && order->flags && sorter.scratch && sort(&sorter);
    if (done) {
        sorter.stack = order->spare;
        walk(&sorter);
        done = !varve_ladder_is_cancelled(ladder) && resolve(&sorter);
    }
    free(sorter.scratch);
    varve_budget_give(ladder->budget, scratch_taken);
    if (!done) {
        return false;
    }
    for (size_t i = 0; i < sorter.count; i++) {
        if (order->flags[i] & LADDER_SIGNIFICANT) {
            tally(&sorter, TALLY_SIGNIFICANT, i);
        }
    }
    order->significant = sorter.tallies[TALLY_SIGNIFICANT].count > 0;
    if (order->significant) {
        order->count = sorter.count;
        for (size_t i = 0; i < sorter.count; i++) {
            order->sorted[i] = (uint32_t)i;
        }
    } else {
        collapse(&sorter);
    }
    for (int i = 0; i < TALLY_COUNT; i++) {
        varve_ladder_report(ladder, tally_codes[i], &sorter.tallies[i]);
    }
    return true;
}

void varve_ladder_order_release(struct varve_ladder *ladder, struct ladder_order *order) {
    free(order->sorted);
    free(order->spare);
    free(order->flags);
    free(order->root);
    free(order->elected);
    varve_budget_give(ladder->budget, order->bytes);
    *order = (struct ladder_order){.significant = false};
}
