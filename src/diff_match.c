/* SPDX-License-Identifier: Apache-2.0 */
/* src/varve_diff_match.c - which entries of two layers belong together, which of these moved, and
 * down to which rung a difference between two is seen. */
#include <stdlib.h>
#include <string.h>

#include "diff_internal.h"
#include "path.h"

/* --- pairs --- */

static struct varve_bytes path_of(const struct diff_side *side, size_t position) {
    return varve_ladder_path(side->ladder, side->sorted[position]);
}

/* The first of a path with the first, the second with the second. */
static void pair_entries(struct diff_side *left, struct diff_side *right) {
    for (size_t i = 0, j = 0; i < left->count && j < right->count;) {
        int order = varve_path_compare(path_of(left, i), path_of(right, j));
        if (order != 0) {
            i += order < 0;
            j += order > 0;
            continue;
        }
        /* Of one path: as many as both have. */
        struct varve_bytes path = path_of(left, i);
        while (i < left->count && j < right->count &&
               varve_path_compare(path_of(left, i), path) == 0 &&
               varve_path_compare(path_of(right, j), path) == 0) {
            left->partner[left->sorted[i]] = right->sorted[j];
            right->partner[right->sorted[j]] = left->sorted[i];
            i++;
            j++;
        }
        while (i < left->count && varve_path_compare(path_of(left, i), path) == 0) {
            i++;
        }
        while (j < right->count && varve_path_compare(path_of(right, j), path) == 0) {
            j++;
        }
    }
}

static void mark_moved(struct diff_side *side, uint32_t index) {
    side->moved[index / 8] |= (uint8_t)(1u << index % 8);
}

/* Whether the pairs stand in the same order on both sides. */
static bool in_order(const struct diff_side *left) {
    uint32_t last = 0;
    for (size_t i = 0; i < left->count; i++) {
        if (left->partner[i] != LADDER_NONE) {
            if (left->partner[i] < last) {
                return false;
            }
            last = left->partner[i];
        }
    }
    return true;
}

/* A longest rising run of partners stays; the others moved. Patience sorting: tails[k] is the entry
 * that ends the best run of k + 1 so far. */
static void find_moved(struct diff_side *left, struct diff_side *right, uint32_t *tails,
                       uint32_t *before) {
    size_t length = 0;
    for (uint32_t i = 0; i < left->count; i++) {
        uint32_t partner = left->partner[i];
        if (partner == LADDER_NONE) {
            continue;
        }
        size_t low = 0, high = length;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (left->partner[tails[middle]] < partner) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        before[i] = low ? tails[low - 1] : LADDER_NONE;
        tails[low] = i;
        length += low == length;
    }
    uint32_t stays = length ? tails[length - 1] : LADDER_NONE;
    for (uint32_t i = (uint32_t)left->count; i-- > 0;) {
        if (i == stays) {
            stays = before[i];
        } else if (left->partner[i] != LADDER_NONE) {
            mark_moved(left, i);
            mark_moved(right, left->partner[i]);
        }
    }
}

static bool allocate(struct diff_side *side) {
    size_t words = side->count * sizeof(uint32_t);
    if (!side->count) {
        return true;
    }
    side->partner = varve_diff_store_take(&side->store, NULL, 0, words);
    side->moved = varve_diff_store_take(&side->store, NULL, 0, side->count / 8 + 1);
    if (!side->partner || !side->moved) {
        return false;
    }
    memset(side->partner, 0xff, words);
    memset(side->moved, 0, side->count / 8 + 1);
    return true;
}

bool varve_diff_match(struct varve_diff *diff) {
    struct diff_side *left = &diff->sides[0];
    struct diff_side *right = &diff->sides[1];
    if (!allocate(left) || !allocate(right)) {
        return false;
    }
    pair_entries(left, right);
    if (in_order(left)) {
        return true;
    }
    size_t bytes = left->count * sizeof(uint32_t);
    uint32_t *tails = varve_diff_store_take(&left->store, NULL, 0, bytes);
    uint32_t *before = tails ? varve_diff_store_take(&left->store, NULL, 0, bytes) : NULL;
    if (before) {
        find_moved(left, right, tails, before);
        varve_diff_store_give(&left->store, before, bytes);
    }
    if (tails) {
        varve_diff_store_give(&left->store, tails, bytes);
    }
    return before != NULL;
}

/* --- depth --- */

/* The parts of one entry, facet by facet. */
struct diff_parts {
    struct ladder_sink sink;
    uint8_t *bytes[VARVE_FACET_COUNT];
    size_t count[VARVE_FACET_COUNT], room[VARVE_FACET_COUNT];
    bool no_memory;
};

static void put_part(struct ladder_sink *sink, enum varve_facet facet, const void *bytes,
                     size_t count) {
    struct diff_parts *parts = (struct diff_parts *)(void *)sink;
    if (parts->count[facet] + count > parts->room[facet]) {
        size_t room = 2 * (parts->count[facet] + count) + 256;
        uint8_t *larger = realloc(parts->bytes[facet], room);
        if (!larger) {
            parts->no_memory = true;
            return;
        }
        parts->bytes[facet] = larger;
        parts->room[facet] = room;
    }
    if (count) {
        memcpy(parts->bytes[facet] + parts->count[facet], bytes, count);
        parts->count[facet] += count;
    }
}

static bool collapsed(const struct diff_side *side, uint32_t index) {
    return !side->order.significant && side->order.flags[index] & LADDER_SAME &&
           varve_ladder_type(side->ladder, index) == '5';
}

static void read_parts(struct diff_parts *parts, struct diff_side *side, uint32_t index) {
    memset(parts->count, 0, sizeof parts->count);
    parts->no_memory = false;
    parts->sink.put = put_part;
    if (index != LADDER_NONE && !collapsed(side, index)) {
        parts->no_memory |= !varve_ladder_parts(side->ladder, &side->order, &parts->sink, index);
    }
}

bool varve_diff_parts_open(struct varve_diff *diff) {
    diff->parts = calloc(2, sizeof *diff->parts);
    return diff->parts != NULL;
}

void varve_diff_parts_close(struct varve_diff *diff) {
    for (unsigned i = 0; diff->parts && i < 2; i++) {
        for (int facet = 0; facet < VARVE_FACET_COUNT; facet++) {
            free(diff->parts[i].bytes[facet]);
        }
    }
    free(diff->parts);
}

/* The last rung that sees these facets differ; ENCODING where there are none. */
static enum varve_rung rung_of_facets(uint32_t facets) {
    if (facets & 1u << VARVE_FACET_CONTENT) {
        return VARVE_RUNG_CONTENT;
    }
    if (facets & ~(1u << VARVE_FACET_TIMES | 1u << VARVE_FACET_NAMES)) {
        return VARVE_RUNG_TIMES;
    }
    if (facets & 1u << VARVE_FACET_TIMES) {
        return VARVE_RUNG_NAMES;
    }
    return facets ? VARVE_RUNG_ORDER : VARVE_RUNG_ENCODING;
}

/* The facets that records with these meanings apart differ in, where nothing better is known. */
static uint32_t facets_of_meaning(unsigned meaning) {
    static const struct {
        unsigned meaning;
        enum varve_facet facet;
    } table[] = {
        {DIFF_MEANS_TYPE | DIFF_MEANS_LINK | DIFF_MEANS_DEVICE | DIFF_MEANS_SIZE |
             DIFF_MEANS_CONTENT,
         VARVE_FACET_CONTENT},
        {DIFF_MEANS_MODE, VARVE_FACET_MODE},
        {DIFF_MEANS_UID | DIFF_MEANS_GID, VARVE_FACET_OWNER},
        {DIFF_MEANS_UNAME | DIFF_MEANS_GNAME, VARVE_FACET_NAMES},
        {DIFF_MEANS_MTIME | DIFF_MEANS_ATIME | DIFF_MEANS_CTIME | DIFF_MEANS_CREATION,
         VARVE_FACET_TIMES},
        {DIFF_MEANS_XATTRS, VARVE_FACET_XATTRS},
        {DIFF_MEANS_RECORDS, VARVE_FACET_OTHER},
    };
    uint32_t facets = 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        facets |= table[i].meaning & meaning ? 1u << table[i].facet : 0;
    }
    return facets;
}

static bool records_equal(const struct varve_diff *diff, uint32_t left, uint32_t right) {
    struct varve_record records[2];
    varve_record_read(&records[0], diff->sides[0].ladder->entries[left].record);
    varve_record_read(&records[1], diff->sides[1].ladder->entries[right].record);
    return records[0].count == records[1].count &&
           memcmp(records[0].bytes, records[1].bytes, records[0].count) == 0;
}

static enum varve_rung depth_by_meaning(struct varve_diff *diff, uint32_t left, uint32_t right) {
    struct varve_record records[2];
    varve_record_read(&records[0], diff->sides[0].ladder->entries[left].record);
    varve_record_read(&records[1], diff->sides[1].ladder->entries[right].record);
    unsigned meaning = varve_diff_records(diff, &records[0], &records[1], false);
    return meaning ? rung_of_facets(facets_of_meaning(meaning)) : VARVE_RUNG_ARCHIVE;
}

bool varve_diff_facets(struct varve_diff *diff, uint32_t *facets, uint32_t left, uint32_t right) {
    struct diff_parts *parts = diff->parts;
    uint32_t differing = 0;
    *facets = 0;
    if (!diff->sides[0].whole || !diff->sides[1].whole || !diff->verdict.facets_unequal) {
        return true;
    }
    read_parts(&parts[0], &diff->sides[0], left);
    read_parts(&parts[1], &diff->sides[1], right);
    for (int i = 0; i < VARVE_FACET_COUNT; i++) {
        bool same = parts[0].count[i] == parts[1].count[i] &&
                    (!parts[0].count[i] ||
                     memcmp(parts[0].bytes[i], parts[1].bytes[i], parts[0].count[i]) == 0);
        differing |= same ? 0 : 1u << i;
    }
    *facets = differing & diff->verdict.facets_unequal;
    bool known = !parts[0].no_memory && !parts[1].no_memory;
    diff->no_memory |= !known;
    return known;
}

enum varve_rung varve_diff_depth(struct varve_diff *diff, uint32_t left, uint32_t right,
                                 uint32_t facets) {
    bool both = left != LADDER_NONE && right != LADDER_NONE;
    if (!diff->sides[0].whole || !diff->sides[1].whole) {
        return both ? depth_by_meaning(diff, left, right) : VARVE_RUNG_CONTENT;
    }
    if (!facets && both && records_equal(diff, left, right)) {
        return VARVE_RUNG_ARCHIVE;
    }
    return rung_of_facets(facets);
}

/* --- order --- */

/* Which facets each entry has a part in, as bits; NULL: no memory. What an entry's parts had no
 * memory for is not told here but by diff->no_memory, after which nothing stands. */
static uint8_t *read_presence(struct varve_diff *diff, unsigned number) {
    struct diff_side *side = &diff->sides[number];
    uint8_t *presence = varve_diff_store_take(&side->store, NULL, 0, side->count + 1);
    for (uint32_t i = 0; presence && i < side->count; i++) {
        read_parts(&diff->parts[number], side, i);
        diff->no_memory |= diff->parts[number].no_memory;
        presence[i] = 0;
        for (int facet = 0; facet < VARVE_FACET_COUNT; facet++) {
            presence[i] |= (uint8_t)(diff->parts[number].count[facet] ? 1u << facet : 0);
        }
    }
    return presence;
}

/* The next entry from *at on, in the order of facets, that has a part in this one and a partner
 * that has. */
static uint32_t next_common(const struct diff_side *side, size_t *at, const uint8_t *presence,
                            const uint8_t *others, unsigned facet) {
    while (*at < side->order.count) {
        uint32_t index = side->order.sorted[(*at)++];
        uint32_t partner = side->partner[index];
        if (partner != LADDER_NONE && presence[index] & others[partner] & 1u << facet) {
            return index;
        }
    }
    return LADDER_NONE;
}

static bool facet_moved(const struct varve_diff *diff, uint8_t *const presence[2], unsigned facet) {
    const struct diff_side *left = &diff->sides[0];
    const struct diff_side *right = &diff->sides[1];
    size_t i = 0, j = 0;
    for (;;) {
        uint32_t a = next_common(left, &i, presence[0], presence[1], facet);
        uint32_t b = next_common(right, &j, presence[1], presence[0], facet);
        if (a == LADDER_NONE || b == LADDER_NONE) {
            return false;
        }
        if (left->partner[a] != b) {
            return true;
        }
    }
}

/* Where a layer's order means something, facets are written in it, and an entry that moved is seen
 * below `encoding`. */
bool varve_diff_find_order(struct varve_diff *diff) {
    struct diff_side *sides = diff->sides;
    if (!sides[0].whole || !sides[1].whole ||
        (!sides[0].order.significant && !sides[1].order.significant)) {
        return true;
    }
    uint8_t *presence[2] = {read_presence(diff, 0), read_presence(diff, 1)};
    bool known = presence[0] && presence[1];
    for (unsigned facet = 0; known && facet < VARVE_FACET_COUNT; facet++) {
        if (diff->verdict.facets_unequal >> facet & 1 && facet_moved(diff, presence, facet)) {
            diff->verdict.facets_moved |= 1u << facet;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        if (presence[i]) {
            varve_diff_store_give(&sides[i].store, presence[i], sides[i].count + 1);
        }
    }
    return known;
}

enum varve_rung varve_diff_order_depth(const struct varve_diff *diff) {
    return rung_of_facets(diff->verdict.facets_moved);
}
