/* SPDX-License-Identifier: Apache-2.0 */
/* src/diff_raw.c - header blocks in a hundred bytes or so: NULs counted, other bytes kept. */
#include <stdlib.h>
#include <string.h>

#include "diff_internal.h"

enum { STORE_CHUNK_BYTES = 65536 };

/* Fewer NULs than this in a row cost less as they are than counted. */
enum { RUN_LEAST = 4 };

void *varve_diff_store_take(struct diff_store *store, void *old, size_t old_bytes, size_t bytes) {
    if (!varve_budget_take(store->budget, bytes - old_bytes)) {
        return NULL;
    }
    void *items = realloc(old, bytes);
    if (!items) {
        store->no_memory = true;
        varve_budget_give(store->budget, bytes - old_bytes);
        return NULL;
    }
    store->taken += bytes - old_bytes;
    return items;
}

void varve_diff_store_give(struct diff_store *store, void *items, size_t bytes) {
    free(items);
    varve_budget_give(store->budget, bytes);
    store->taken -= bytes;
}

void varve_diff_store_clear(struct diff_store *store) {
    for (size_t i = 0; i < store->chunk_count; i++) {
        varve_diff_store_give(store, store->chunks[i].bytes, store->chunks[i].capacity);
    }
    free(store->chunks);
    store->chunks = NULL;
    store->chunk_count = store->chunk_room = 0;
}

/* Room for `bytes` in one piece. */
static uint8_t *reserve(struct diff_store *store, size_t bytes) {
    if (store->chunk_count) {
        struct diff_chunk *last = &store->chunks[store->chunk_count - 1];
        if (bytes <= last->capacity - last->used) {
            return last->bytes + last->used;
        }
    }
    if (store->chunk_count == store->chunk_room) {
        size_t room = store->chunk_room ? 2 * store->chunk_room : 16;
        struct diff_chunk *chunks = realloc(store->chunks, room * sizeof *chunks);
        if (!chunks) {
            store->no_memory = true;
            return NULL;
        }
        store->chunks = chunks;
        store->chunk_room = room;
    }
    size_t capacity = bytes > STORE_CHUNK_BYTES ? bytes : STORE_CHUNK_BYTES;
    uint8_t *memory = varve_diff_store_take(store, NULL, 0, capacity);
    if (memory) {
        store->chunks[store->chunk_count++] = (struct diff_chunk){memory, 0, capacity};
    }
    return memory;
}

/* Numbers of seven bits a byte, the lowest first; the top bit says that another follows. */
static uint8_t *put_number(uint8_t *to, size_t value) {
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

static size_t get_number(const uint8_t **at) {
    size_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (size_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return value;
        }
    }
}

static size_t count_zeros(const uint8_t *bytes, size_t count) {
    size_t n = 0;
    while (n < count && bytes[n] == 0) {
        n++;
    }
    return n;
}

/* Where the next run of NULs that is worth it begins, or `count`. */
static size_t find_run(const uint8_t *bytes, size_t count) {
    for (size_t at = 0; at < count;) {
        const uint8_t *nul = memchr(bytes + at, 0, count - at);
        if (!nul) {
            return count;
        }
        at = (size_t)(nul - bytes);
        size_t zeros = count_zeros(nul, count - at);
        if (zeros >= RUN_LEAST || at + zeros == count) {
            return at;
        }
        at += zeros;
    }
    return count;
}

/* A run costs two numbers of five bytes at most and saves four NULs; the first one may save none.
 */
static size_t packed_bound(size_t count) {
    return 16 + count + count / RUN_LEAST * 10;
}

static size_t pack(uint8_t *to, const uint8_t *bytes, size_t count) {
    uint8_t *at = to;
    while (count) {
        size_t zeros = count_zeros(bytes, count);
        size_t others = find_run(bytes + zeros, count - zeros);
        at = put_number(put_number(at, zeros), others);
        memcpy(at, bytes + zeros, others);
        at += others;
        bytes += zeros + others;
        count -= zeros + others;
    }
    return (size_t)(at - to);
}

bool varve_diff_raw_keep(struct diff_store *store, struct diff_raw_item *item, const uint8_t *bytes,
                         size_t count) {
    /* A header of two blocks packs into a chunk's rest as a rule: measured first in a room of its
     * own, for the bound is far from what it takes. */
    uint8_t small[4096];
    size_t bound = packed_bound(count);
    uint8_t *room = bound <= sizeof small ? small : malloc(bound);
    if (!room) {
        store->no_memory = true;
        return false;
    }
    size_t packed = pack(room, bytes, count);
    uint8_t *to = reserve(store, packed ? packed : 1);
    if (to) {
        memcpy(to, room, packed);
        store->chunks[store->chunk_count - 1].used += packed;
        item->packed = to;
        item->packed_bytes = (uint32_t)packed;
        item->bytes = (uint32_t)count;
    }
    if (room != small) {
        free(room);
    }
    return to != NULL;
}

void varve_diff_raw_unpack(uint8_t *to, const struct diff_raw_item *item) {
    const uint8_t *at = item->packed;
    const uint8_t *end = at + item->packed_bytes;
    while (at < end) {
        size_t zeros = get_number(&at);
        size_t others = get_number(&at);
        memset(to, 0, zeros);
        memcpy(to + zeros, at, others);
        to += zeros + others;
        at += others;
    }
}

bool varve_diff_raw_equal(const struct diff_raw_item *a, const struct diff_raw_item *b) {
    return a->packed_bytes == b->packed_bytes && a->bytes == b->bytes &&
           a->lost_bytes == b->lost_bytes && memcmp(a->packed, b->packed, a->packed_bytes) == 0;
}
