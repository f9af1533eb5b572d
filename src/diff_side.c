/* SPDX-License-Identifier: Apache-2.0 */
/* src/diff_side.c - one side of a comparison: a job, and what is kept of the decoded stream beside
 * the ladder's records: header blocks, odd padding, global headers.
 *
 * Whatever the parser does not give as data or trailer is raw: it is collected until an entry is
 * complete, then packed. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diff_internal.h"
#include "path.h"

/* Makes room for one item more; false where memory is refused. */
static bool grow(struct diff_side *side, void **items, size_t *room, size_t count,
                 size_t item_bytes) {
    if (count < *room) {
        return true;
    }
    size_t larger = *room ? *room + *room / 2 : 64;
    void *grown =
        varve_diff_store_take(&side->store, *items, *room * item_bytes, larger * item_bytes);
    if (!grown) {
        return false;
    }
    *items = grown;
    *room = larger;
    return true;
}

#define GROW(side, items, room, count)                                                             \
    grow(side, (void **)&(items), &(room), count, sizeof *(items))

static void drop(struct diff_side *side, void *items, size_t *count, size_t *room,
                 size_t item_bytes) {
    varve_diff_store_give(&side->store, items, *room * item_bytes);
    *count = *room = 0;
}

/* Gives back all that is kept of headers. */
static void drop_headers(struct diff_side *side) {
    drop(side, side->headers, &side->header_count, &side->header_room, sizeof *side->headers);
    drop(side, side->globals, &side->global_count, &side->global_room, sizeof *side->globals);
    drop(side, side->paddings, &side->padding_count, &side->padding_room, sizeof *side->paddings);
    drop(side, side->scratch, &side->scratch_bytes, &side->scratch_room, 1);
    side->headers = NULL;
    side->globals = NULL;
    side->paddings = NULL;
    side->scratch = NULL;
    varve_diff_store_clear(&side->store);
}

/* There is no memory for headers: entries are compared all the same. */
static void refuse(struct diff_side *side) {
    drop_headers(side);
    side->store.refused = true;
}

static void collect(struct diff_side *side, const uint8_t *bytes, size_t count) {
    size_t room = DIFF_SCRATCH_MOST - side->scratch_bytes;
    size_t kept = count < room ? count : room;
    side->scratch_lost += count - kept;
    if (side->scratch_bytes + kept > side->scratch_room) {
        size_t larger = 2 * (side->scratch_bytes + kept);
        uint8_t *grown =
            varve_diff_store_take(&side->store, side->scratch, side->scratch_room, larger);
        if (!grown) {
            refuse(side);
            return;
        }
        side->scratch = grown;
        side->scratch_room = larger;
    }
    memcpy(side->scratch + side->scratch_bytes, bytes, kept);
    side->scratch_bytes += kept;
}

static void end_padding(struct diff_side *side) {
    struct diff_padding *padding = &side->padding;
    bool odd = false;
    for (size_t i = 0; i < padding->count; i++) {
        odd |= padding->bytes[i] != 0;
    }
    if (odd) {
        if (GROW(side, side->paddings, side->padding_room, side->padding_count)) {
            side->paddings[side->padding_count++] = *padding;
        } else {
            refuse(side);
        }
    }
    padding->count = 0;
}

/* Takes the decoded bytes up to `offset` that were neither data nor trailer. */
static void take_raw(struct diff_side *side, uint64_t offset) {
    uint64_t end = side->fed_bytes;
    if (side->store.refused || offset > end || offset <= side->cursor) {
        return;
    }
    const uint8_t *bytes = side->chunk + (side->cursor - side->chunk_offset);
    size_t count = (size_t)(offset - side->cursor);
    size_t padding = count < side->padding_left ? count : (size_t)side->padding_left;
    if (padding) {
        if (!side->padding.count) {
            side->padding.offset = side->cursor;
        }
        memcpy(side->padding.bytes + side->padding.count, bytes, padding);
        side->padding.count = (uint16_t)(side->padding.count + padding);
        side->padding_left -= padding;
        if (!side->padding_left) {
            end_padding(side);
        }
    }
    side->cursor = offset;
    if (count > padding && !side->store.refused) {
        if (!side->scratch_bytes) {
            side->scratch_offset = offset - (count - padding);
        }
        collect(side, bytes + padding, count - padding);
    }
}

/* The scratch holds global headers up to `end`: makes items of them. What is left moves down. */
static void take_globals(struct diff_side *side, uint64_t end) {
    size_t at = 0;
    for (; side->globals_seen; side->globals_seen--) {
        struct diff_global *global = &side->globals[side->global_count - side->globals_seen];
        struct varve_header_numbers numbers;
        if (side->scratch_bytes - at < VARVE_TAR_BLOCK_BYTES) {
            continue;
        }
        varve_header_row_of(VARVE_TIER_SCALAR)->read(&numbers, side->scratch + at, 1);
        uint64_t body = (uint64_t)numbers.value[VARVE_HEADER_SIZE];
        uint64_t all = VARVE_TAR_BLOCK_BYTES + ((body + 511) & ~(uint64_t)511);
        size_t left = side->scratch_bytes - at;
        size_t bytes = all < left ? (size_t)all : left;
        global->raw.offset = side->scratch_offset + at;
        if (!varve_diff_raw_keep(&side->store, &global->raw, side->scratch + at, bytes)) {
            refuse(side);
            return;
        }
        at += bytes;
    }
    /* The parser knows better where the entry begins. */
    if (end > side->scratch_offset && end - side->scratch_offset <= side->scratch_bytes) {
        at = (size_t)(end - side->scratch_offset);
    }
    if (at) {
        memmove(side->scratch, side->scratch + at, side->scratch_bytes - at);
    }
    side->scratch_bytes -= at;
    side->scratch_offset += at;
}

static void take_header(struct diff_side *side, const struct varve_tar_entry *entry) {
    take_raw(side, entry->data_offset);
    if (side->store.refused) {
        return;
    }
    take_globals(side, entry->first_offset);
    if (side->store.refused) {
        return;
    }
    if (!GROW(side, side->headers, side->header_room, side->header_count)) {
        refuse(side);
        return;
    }
    struct diff_raw_item *item = &side->headers[side->header_count];
    *item =
        (struct diff_raw_item){.offset = side->scratch_offset, .lost_bytes = side->scratch_lost};
    assert(side->scratch_bytes >= VARVE_TAR_BLOCK_BYTES); /* the entry's own block */
    if (!varve_diff_raw_keep(&side->store, item, side->scratch, side->scratch_bytes)) {
        refuse(side);
        return;
    }
    side->header_count++;
    side->scratch_bytes = 0;
    side->scratch_lost = 0;
}

static void take_global(struct diff_side *side) {
    if (side->store.refused) {
        return;
    }
    if (!GROW(side, side->globals, side->global_room, side->global_count)) {
        refuse(side);
        return;
    }
    bool has_record = side->ladder->global_count > side->global_records;
    side->globals[side->global_count++] = (struct diff_global){
        .before = varve_ladder_entry_count(side->ladder),
        .record = has_record ? side->global_records : SIZE_MAX,
    };
    side->global_records = side->ladder->global_count;
    side->globals_seen++;
}

static void on_stored(void *cookie, const uint8_t *data, size_t bytes) {
    struct diff_side *side = cookie;
    size_t room = DIFF_HEAD_BYTES - side->head_bytes;
    size_t kept = bytes < room ? bytes : room;
    memcpy(side->head + side->head_bytes, data, kept);
    side->head_bytes += kept;
}

static void on_decoded(void *cookie, const uint8_t *data, size_t bytes) {
    struct diff_side *side = cookie;
    side->chunk = data;
    side->chunk_offset = side->fed_bytes;
    side->fed_bytes += bytes;
}

static void on_event(void *cookie, enum varve_tar_event event, const struct varve_tar_item *item) {
    struct diff_side *side = cookie;
    switch (event) {
    case VARVE_TAR_ENTRY:
        take_header(side, item->entry);
        break;
    case VARVE_TAR_DATA:
        take_raw(side, item->data_offset);
        side->cursor = item->data_offset + item->data.count;
        break;
    case VARVE_TAR_ENTRY_END:
        side->padding_left = (0 - item->entry->stored_bytes) & (VARVE_TAR_BLOCK_BYTES - 1);
        side->padding.entry = (uint32_t)varve_ladder_entry_count(side->ladder) - 1;
        break;
    case VARVE_TAR_TRAILER:
        if (!side->trailer_bytes) {
            side->trailer_offset = item->data_offset;
        }
        take_raw(side, item->data_offset);
        side->cursor = item->data_offset + item->data.count;
        side->trailer_bytes += item->data.count;
        break;
    case VARVE_TAR_GLOBAL:
        take_global(side);
        break;
    case VARVE_TAR_HOLE:
        break;
    case VARVE_TAR_END:
    case VARVE_TAR_FAULT:
        take_raw(side, side->fed_bytes);
        if (!side->store.refused) {
            end_padding(side);
            take_globals(side, 0);
        }
        break;
    default:
        take_raw(side, side->fed_bytes);
    }
}

enum varve_status varve_diff_side_open(struct diff_side *side, struct varve_sha256 *sha256,
                                       const struct varve_job_options *options) {
    struct varve_job_options watched = *options;
    side->watch = (struct varve_job_watch){on_stored, on_decoded, on_event, side};
    side->store.budget = options->budget;
    watched.watch = &side->watch;
    return varve_job_open(&side->job, sha256, &watched);
}

static void release_index(struct diff_side *side) {
    varve_diff_store_give(&side->store, side->sorted, side->sorted ? side->count * 4 : 0);
    varve_diff_store_give(&side->store, side->partner, side->partner ? side->count * 4 : 0);
    varve_diff_store_give(&side->store, side->moved, side->moved ? side->count / 8 + 1 : 0);
    side->sorted = side->partner = NULL;
    side->moved = NULL;
    if (side->ladder) {
        varve_ladder_order_release(side->ladder, &side->order);
    }
    side->count = 0;
    side->entries_known = side->whole = false;
}

void varve_diff_side_reset(struct diff_side *side) {
    release_index(side);
    drop_headers(side);
    side->store.refused = side->store.no_memory = false;
    side->head_bytes = 0;
    side->chunk_offset = side->fed_bytes = side->cursor = side->padding_left = 0;
    side->padding.count = 0;
    side->scratch_lost = side->scratch_offset = 0;
    side->globals_seen = side->global_records = 0;
    side->trailer_bytes = side->trailer_offset = 0;
}

void varve_diff_side_close(struct diff_side *side) {
    if (side->job) {
        varve_diff_side_reset(side);
        varve_job_close(side->job);
        side->job = NULL;
    }
}

void varve_diff_side_begin(struct diff_side *side) {
    varve_diff_side_reset(side);
    side->ladder = varve_job_ladder(side->job);
    side->seekable = lseek(side->given.fd, 0, SEEK_CUR) >= 0;
    varve_job_begin(side->job, side->given.fd, side->given.offset, side->given.bytes,
                    side->given.name, side->given.source);
}

/* Ties by place, so that the order is the same whatever sorts. */
static int compare_paths(const void *left, const void *right, void *cookie) {
    const struct varve_ladder *ladder = cookie;
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    int order = varve_path_compare(varve_ladder_path(ladder, a), varve_ladder_path(ladder, b));
    return order ? order : (a > b) - (a < b);
}

void varve_diff_side_finish(struct diff_side *side) {
    const struct varve_layer *layer = varve_job_layer(side->job);
    struct varve_ladder *ladder = side->ladder;
    if (!layer->complete || !layer->has_entries || varve_ladder_fault(ladder).code) {
        return;
    }
    side->whole = layer->rungs.present >> VARVE_RUNG_CONTENT & 1;
    /* Of a layer with a fault, what was complete. */
    bool sorted = varve_ladder_sort_again(ladder, &side->order);
    side->count = ladder->complete_count;
    size_t bytes = (side->count ? side->count : 1) * sizeof *side->sorted;
    side->sorted = sorted ? varve_diff_store_take(&side->store, NULL, 0, bytes) : NULL;
    if (!side->sorted) {
        release_index(side);
        return;
    }
    if (!side->count) {
        /* Given back by count: an empty list is none. */
        varve_diff_store_give(&side->store, side->sorted, bytes);
        side->sorted = NULL;
    }
    for (size_t i = 0; side->sorted && i < side->count; i++) {
        side->sorted[i] = (uint32_t)i;
    }
    if (side->sorted) {
        qsort_r(side->sorted, side->count, sizeof *side->sorted, compare_paths, ladder);
    }
    side->entries_known = true;
}
