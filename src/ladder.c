/* SPDX-License-Identifier: Apache-2.0 */
/* src/ladder.c - takes the parser's events: contents to the digest lanes, entries to canonical
 * records, records to rung `encoding`; and puts rungs and facets together at the end. */
#include "varve/ladder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ladder_internal.h"

static const char encoding_prefix[] = "varve1.encoding"; /* with its NUL */
static const uint8_t empty_digest[VARVE_SHA256_BYTES] = {
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};

/* Holes are hashed from this; read-only, so that one serves all. */
enum { ZERO_PAGE_BYTES = 65536 };
static const uint8_t zero_page[ZERO_PAGE_BYTES];

/* Makes every slot free. Where none is in use the list is whole, and for a small layer's sake the
 * 30 KB of them are not touched. */
static void free_slots(struct varve_ladder *ladder) {
    if (ladder->free_slot && ladder->slots_used == 0) {
        return;
    }
    ladder->free_slot = NULL;
    for (size_t i = CONTENT_SLOTS; i-- > 0;) {
        ladder->slots[i].ladder = ladder;
        ladder->slots[i].next = ladder->free_slot;
        ladder->free_slot = &ladder->slots[i];
    }
    ladder->slots_used = 0;
}

/* Makes the ladder as after open; keeps the first chunk and the tables. */
static void clear(struct varve_ladder *ladder, struct varve_findings *findings) {
    while (ladder->chunk_count > 1 ||
           (ladder->chunk_count == 1 && ladder->chunks[0].capacity > RECORD_CHUNK_BYTES)) {
        struct record_chunk *chunk = &ladder->chunks[--ladder->chunk_count];
        free(chunk->bytes);
        varve_budget_give(ladder->budget, chunk->capacity);
    }
    if (ladder->chunk_count) {
        ladder->chunks[0].used = 0;
        ladder->chunks[0].awaited = 0;
    }
    ladder->findings = findings;
    ladder->fault = (struct varve_fault){.code = NULL};
    ladder->entry_count = ladder->complete_count = ladder->global_count = 0;
    ladder->longest_path = 0;
    ladder->links = false;
    ladder->fixed_count = 0;
    ladder->content = NULL;
    ladder->hole_bytes = ladder->trailer_bytes = 0;
    ladder->encoded = 0;
    ladder->trailer = false;
    ladder->finishing = false;
    ladder->rungs.present = ladder->facets.present = 0;
    if (!ladder->free_slot || ladder->slots_used) {
        free_slots(ladder); /* at first, and after a content that was never ended */
    }
    varve_sha256_init(&ladder->encoding);
    ladder->encoding_begun = false;
}

enum varve_status varve_ladder_open(struct varve_ladder **out, struct varve_sha256 *sha256,
                                    const struct varve_ladder_options *options) {
    *out = NULL;
    enum varve_tier tier = options ? options->tier : VARVE_TIER_AUTO;
    struct varve_budget *budget = options ? options->budget : NULL;
    if (!varve_tier_may_run(tier)) {
        return VARVE_UNSUPPORTED;
    }
    if (!varve_budget_take(budget, sizeof **out)) {
        return VARVE_ERROR;
    }
    struct varve_ladder *ladder = calloc(1, sizeof *ladder);
    if (!ladder) {
        varve_budget_give(budget, sizeof *ladder);
        return VARVE_ERROR;
    }
    ladder->budget = budget;
    ladder->sha256 = sha256;
    ladder->kernel = varve_header_row_of(tier);
    clear(ladder, NULL);
    *out = ladder;
    return VARVE_OK;
}

/* Nothing of ours may be under way when memory is reused. */
static void quiesce(struct varve_ladder *ladder) {
    if (ladder->slots_used || ladder->finishing || varve_sha256_busy(&ladder->encoding) ||
        varve_sha256_busy(&ladder->trailer_stream)) {
        varve_sha256_flush(ladder->sha256);
    }
}

static void release(struct varve_ladder *ladder, void *items, size_t count, size_t item_bytes) {
    free(items);
    varve_budget_give(ladder->budget, (uint64_t)count * item_bytes);
}

void varve_ladder_close(struct varve_ladder *ladder) {
    if (!ladder) {
        return;
    }
    quiesce(ladder);
    for (size_t i = 0; i < ladder->chunk_count; i++) {
        release(ladder, ladder->chunks[i].bytes, ladder->chunks[i].capacity, 1);
    }
    release(ladder, ladder->chunks, ladder->chunk_capacity, sizeof *ladder->chunks);
    release(ladder, ladder->entries, ladder->entry_capacity, sizeof *ladder->entries);
    release(ladder, ladder->globals, ladder->global_capacity, sizeof *ladder->globals);
    release(ladder, ladder->pairs, ladder->pair_capacity, sizeof *ladder->pairs);
    varve_budget_give(ladder->budget, sizeof *ladder);
    free(ladder->writer);
    free(ladder);
}

/* A layer's table should not burden the next ones: beyond this many entries it is given back. */
enum { KEPT_ENTRIES = 4096 };

void varve_ladder_reset(struct varve_ladder *ladder, struct varve_findings *findings) {
    quiesce(ladder);
    if (ladder->entry_capacity > KEPT_ENTRIES) {
        release(ladder, ladder->entries, ladder->entry_capacity, sizeof *ladder->entries);
        ladder->entries = NULL;
        ladder->entry_capacity = 0;
    }
    clear(ladder, findings);
}

enum varve_status varve_ladder_fail(struct varve_ladder *ladder, enum varve_code code,
                                    uint64_t offset) {
    ladder->fault = varve_fault_of(code, offset);
    return ladder->fault.status;
}

struct varve_fault varve_ladder_fault(const struct varve_ladder *ladder) {
    return ladder->fault;
}

void *varve_ladder_allocate(struct varve_ladder *ladder, uint64_t *taken, size_t count,
                            size_t item_bytes) {
    uint64_t bytes = (uint64_t)count * item_bytes;
    if (!varve_budget_take(ladder->budget, bytes)) {
        varve_ladder_fail(ladder, VARVE_CODE_MEMORY_BUDGET, VARVE_NO_OFFSET);
        return NULL;
    }
    void *items = calloc(count ? count : 1, item_bytes);
    if (!items) {
        varve_budget_give(ladder->budget, bytes);
        varve_ladder_fail(ladder, VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
        return NULL;
    }
    *taken += bytes;
    return items;
}

/* Room for one item more than `count`: half as much again. False after a fault. */
static bool grow(struct varve_ladder *ladder, void **items, size_t *capacity, size_t wanted,
                 size_t item_bytes, uint64_t offset) {
    if (wanted <= *capacity) {
        return true;
    }
    size_t larger = *capacity + *capacity / 2;
    larger = larger > wanted ? larger : wanted;
    larger = larger > 64 ? larger : 64;
    uint64_t more = (uint64_t)(larger - *capacity) * item_bytes;
    if (!varve_budget_take(ladder->budget, more)) {
        varve_ladder_fail(ladder, VARVE_CODE_MEMORY_BUDGET, offset);
        return false;
    }
    void *grown = realloc(*items, larger * item_bytes);
    if (!grown) {
        varve_budget_give(ladder->budget, more);
        varve_ladder_fail(ladder, VARVE_CODE_NO_MEMORY, offset);
        return false;
    }
    *items = grown;
    *capacity = larger;
    return true;
}

/* Writes the fixed parts that wait. */
static void write_fixed(struct varve_ladder *ladder) {
    uint8_t parts[FIXED_BATCH * VARVE_HEADER_FIXED_BYTES];
    if (ladder->fixed_count == 0) {
        return;
    }
    ladder->kernel->write(parts, ladder->values, ladder->fixed_count);
    for (size_t i = 0; i < ladder->fixed_count; i++) {
        memcpy(ladder->fixed[i], parts + i * VARVE_HEADER_FIXED_BYTES, VARVE_HEADER_FIXED_BYTES);
    }
    ladder->fixed_count = 0;
}

bool varve_ladder_encode_next(struct varve_ladder *ladder) {
    if (!ladder->encoding_begun) {
        varve_sha256_update(ladder->sha256, &ladder->encoding, encoding_prefix,
                            sizeof encoding_prefix);
        ladder->encoding_begun = true;
    }
    if (ladder->encoded == ladder->chunk_count) {
        return false;
    }
    const struct record_chunk *chunk = &ladder->chunks[ladder->encoded++];
    assert(chunk->awaited == 0);
    varve_sha256_update(ladder->sha256, &ladder->encoding, chunk->bytes, chunk->used);
    return true;
}

/* Gives `encoding` a chunk that is full and complete, where it waits for one: its lane then runs
 * beside the contents'. */
static void encode_some(struct varve_ladder *ladder) {
    if (ladder->encoded + 1 < ladder->chunk_count && ladder->chunks[ladder->encoded].awaited == 0 &&
        !varve_sha256_busy(&ladder->encoding)) {
        varve_ladder_encode_next(ladder);
    }
}

/* Room for a record of at most `bytes`, in the last chunk. NULL after a fault. */
static uint8_t *reserve(struct varve_ladder *ladder, size_t bytes, uint64_t offset) {
    if (ladder->chunk_count) {
        struct record_chunk *last = &ladder->chunks[ladder->chunk_count - 1];
        if (bytes <= last->capacity - last->used) {
            return last->bytes + last->used;
        }
    }
    write_fixed(ladder);
    void *grown = ladder->chunks;
    if (!grow(ladder, &grown, &ladder->chunk_capacity, ladder->chunk_count + 1,
              sizeof *ladder->chunks, offset)) {
        return NULL;
    }
    ladder->chunks = grown;
    size_t capacity = bytes > RECORD_CHUNK_BYTES ? bytes : RECORD_CHUNK_BYTES;
    if (!varve_budget_take(ladder->budget, capacity)) {
        varve_ladder_fail(ladder, VARVE_CODE_MEMORY_BUDGET, offset);
        return NULL;
    }
    uint8_t *memory = malloc(capacity);
    if (!memory) {
        varve_budget_give(ladder->budget, capacity);
        varve_ladder_fail(ladder, VARVE_CODE_NO_MEMORY, offset);
        return NULL;
    }
    ladder->chunks[ladder->chunk_count++] = (struct record_chunk){memory, 0, capacity, 0};
    return memory;
}

/* Makes the entry's pairs sorted by key, in a copy where they are not. False after a fault. */
static bool sort_pairs(struct varve_ladder *ladder, struct varve_tar_entry *entry) {
    if (varve_record_is_sorted(entry->xattrs, entry->xattr_count) &&
        varve_record_is_sorted(entry->records, entry->record_count)) {
        return true;
    }
    void *grown = ladder->pairs;
    if (!grow(ladder, &grown, &ladder->pair_capacity, entry->xattr_count + entry->record_count,
              sizeof *ladder->pairs, entry->header_offset)) {
        return false;
    }
    ladder->pairs = grown;
    struct varve_tar_pair *records = ladder->pairs + entry->xattr_count;
    if (entry->xattr_count) {
        memcpy(ladder->pairs, entry->xattrs, entry->xattr_count * sizeof *ladder->pairs);
        varve_record_sort(ladder->pairs, entry->xattr_count);
    }
    if (entry->record_count) {
        memcpy(records, entry->records, entry->record_count * sizeof *records);
        varve_record_sort(records, entry->record_count);
    }
    entry->xattrs = ladder->pairs;
    entry->records = records;
    return true;
}

static bool begins(struct varve_bytes text, const char *prefix) {
    return text.count >= strlen(prefix) && memcmp(text.bytes, prefix, strlen(prefix)) == 0;
}

/* The kernel's own forms of whiteouts, which an image layer should have as names. */
static void note_overlay(struct varve_ladder *ladder, const struct varve_tar_entry *entry) {
    bool mark = entry->typeflag == '3' && entry->devmajor == 0 && entry->devminor == 0;
    for (size_t i = 0; i < entry->xattr_count && !mark; i++) {
        mark = begins(entry->xattrs[i].key, "trusted.overlay.") ||
               begins(entry->xattrs[i].key, "user.overlay.");
    }
    if (mark) {
        varve_findings_add(ladder->findings, VARVE_CODE_WHITEOUT_OVERLAY, 1, entry->header_offset,
                           entry->path.bytes, entry->path.count);
    }
}

static enum varve_status take_entry(struct varve_ladder *ladder,
                                    const struct varve_tar_entry *parsed) {
    struct varve_tar_entry entry = *parsed;
    uint64_t offset = entry.header_offset;
    uint64_t holes = entry.sparse ? entry.size - entry.stored_bytes : 0;
    /* Before any of them is hashed: a limit should cost nothing. */
    if (holes > VARVE_LIMIT_HOLE_BYTES - ladder->hole_bytes) {
        return varve_ladder_fail(ladder, VARVE_CODE_SPARSE_LOGICAL, offset);
    }
    ladder->hole_bytes += holes;
    encode_some(ladder);
    void *grown = ladder->entries;
    if (!grow(ladder, &grown, &ladder->entry_capacity, ladder->entry_count + 1,
              sizeof *ladder->entries, offset)) {
        return ladder->fault.status;
    }
    ladder->entries = grown;
    if (!sort_pairs(ladder, &entry)) {
        return ladder->fault.status;
    }
    uint8_t *record = reserve(ladder, varve_record_bound(&entry), offset);
    if (!record) {
        return ladder->fault.status;
    }
    size_t bytes = varve_record_write(record, &entry);
    struct record_chunk *chunk = &ladder->chunks[ladder->chunk_count - 1];
    chunk->used += bytes;
    if (varve_record_has_content(entry.typeflag)) {
        uint8_t *digest = record + bytes - VARVE_SHA256_BYTES;
        memcpy(digest, empty_digest, VARVE_SHA256_BYTES);
    }
    ladder->entries[ladder->entry_count++] = (struct ladder_entry){record, offset};
    ladder->longest_path =
        entry.path.count > ladder->longest_path ? entry.path.count : ladder->longest_path;
    ladder->links |= entry.typeflag == '1';
    varve_record_values(&ladder->values[ladder->fixed_count], &entry);
    ladder->fixed[ladder->fixed_count++] = record;
    if (ladder->fixed_count == FIXED_BATCH) {
        write_fixed(ladder);
    }
    ladder->content = NULL;
    note_overlay(ladder, &entry);
    return VARVE_OK;
}

static void content_done(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    struct content_slot *slot = cookie;
    struct varve_ladder *ladder = slot->ladder;
    memcpy(slot->digest, digest, VARVE_SHA256_BYTES);
    ladder->chunks[slot->chunk].awaited--;
    slot->next = ladder->free_slot;
    ladder->free_slot = slot;
    ladder->slots_used--;
}

/* The content of the entry at hand begins. */
static void begin_content(struct varve_ladder *ladder) {
    if (!ladder->free_slot) {
        varve_sha256_flush(ladder->sha256);
    }
    struct content_slot *slot = ladder->free_slot;
    struct record_chunk *chunk = &ladder->chunks[ladder->chunk_count - 1];
    assert(slot && varve_record_has_content(varve_ladder_type(ladder, ladder->entry_count - 1)));
    ladder->free_slot = slot->next;
    ladder->slots_used++;
    slot->chunk = ladder->chunk_count - 1;
    /* The record is the last one, and the digest its end. */
    slot->digest = chunk->bytes + chunk->used - VARVE_SHA256_BYTES;
    chunk->awaited++;
    ladder->content = slot;
}

static void take_data(struct varve_ladder *ladder, const struct varve_tar_item *item) {
    bool whole = item->data.count == item->entry->size;
    bool first = !ladder->content;
    if (first) {
        begin_content(ladder);
    }
    struct content_slot *slot = ladder->content;
    if (whole) {
        varve_sha256_message(ladder->sha256, &slot->stream, item->data.bytes, item->data.count,
                             content_done, slot);
        ladder->content_begun = false;
        return;
    }
    if (first) {
        varve_sha256_init(&slot->stream);
        ladder->content_begun = true;
    }
    varve_sha256_update(ladder->sha256, &slot->stream, item->data.bytes, item->data.count);
}

static void take_hole(struct varve_ladder *ladder, const struct varve_tar_item *item) {
    if (!ladder->content) {
        begin_content(ladder);
        varve_sha256_init(&ladder->content->stream);
        ladder->content_begun = true;
    }
    for (uint64_t left = item->hole_bytes; left;) {
        size_t bytes = left < ZERO_PAGE_BYTES ? (size_t)left : ZERO_PAGE_BYTES;
        varve_sha256_update(ladder->sha256, &ladder->content->stream, zero_page, bytes);
        left -= bytes;
    }
}

static void take_end(struct varve_ladder *ladder) {
    if (ladder->content && ladder->content_begun) {
        varve_sha256_final(ladder->sha256, &ladder->content->stream, content_done, ladder->content);
    }
    ladder->content = NULL;
    ladder->content_begun = false;
    ladder->complete_count = ladder->entry_count;
}

/* The keys that a global record drops: docs/ladder.md, R15. */
static bool is_dropped(struct varve_bytes key) {
    static const char *const keys[] = {"comment", "hdrcharset", "SCHILY.dev", "SCHILY.ino",
                                       "SCHILY.nlink"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (key.count == strlen(keys[i]) && memcmp(key.bytes, keys[i], key.count) == 0) {
            return true;
        }
    }
    return false;
}

static enum varve_status take_global(struct varve_ladder *ladder,
                                     const struct varve_tar_item *item) {
    size_t count = 0;
    void *grown = ladder->pairs;
    if (!grow(ladder, &grown, &ladder->pair_capacity, item->global_count, sizeof *ladder->pairs,
              VARVE_NO_OFFSET)) {
        return ladder->fault.status;
    }
    ladder->pairs = grown;
    for (size_t i = 0; i < item->global_count; i++) {
        if (!is_dropped(item->global[i].key)) {
            ladder->pairs[count++] = item->global[i];
        }
    }
    if (count == 0) {
        return VARVE_OK;
    }
    if (!varve_record_is_sorted(ladder->pairs, count)) {
        varve_record_sort(ladder->pairs, count);
    }
    grown = ladder->globals;
    if (!grow(ladder, &grown, &ladder->global_capacity, ladder->global_count + 1,
              sizeof *ladder->globals, VARVE_NO_OFFSET)) {
        return ladder->fault.status;
    }
    ladder->globals = grown;
    size_t bound = varve_record_global_bound(ladder->pairs, count);
    uint8_t *record = reserve(ladder, bound, VARVE_NO_OFFSET);
    if (!record) {
        return ladder->fault.status;
    }
    size_t bytes = varve_record_write_global(record, ladder->pairs, count);
    ladder->chunks[ladder->chunk_count - 1].used += bytes;
    ladder->globals[ladder->global_count++] = (struct global_record){record, bytes};
    return VARVE_OK;
}

static void take_trailer(struct varve_ladder *ladder, const struct varve_tar_item *item) {
    if (!ladder->trailer) {
        ladder->trailer = true;
        varve_sha256_init(&ladder->trailer_stream);
    }
    ladder->trailer_bytes += item->data.count;
    varve_sha256_update(ladder->sha256, &ladder->trailer_stream, item->data.bytes,
                        item->data.count);
}

enum varve_status varve_ladder_take(struct varve_ladder *ladder, enum varve_tar_event event,
                                    const struct varve_tar_item *item) {
    if (event == VARVE_TAR_TRAILER) {
        take_trailer(ladder, item);
        return ladder->fault.status;
    }
    if (ladder->fault.code) {
        return ladder->fault.status;
    }
    switch (event) {
    case VARVE_TAR_ENTRY:
        return take_entry(ladder, item->entry);
    case VARVE_TAR_DATA:
        take_data(ladder, item);
        return VARVE_OK;
    case VARVE_TAR_HOLE:
        take_hole(ladder, item);
        return VARVE_OK;
    case VARVE_TAR_ENTRY_END:
        take_end(ladder);
        return VARVE_OK;
    case VARVE_TAR_GLOBAL:
        return take_global(ladder, item);
    default:
        return VARVE_OK;
    }
}

static void keep_digest(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(cookie, digest, VARVE_SHA256_BYTES);
}

/* Queues rung archive, and makes the trailer record. */
static void begin_archive(struct varve_ladder *ladder, struct varve_sha256_stream *archive) {
    if (ladder->trailer) {
        varve_sha256_final(ladder->sha256, &ladder->trailer_stream, keep_digest,
                           ladder->trailer_digest);
        varve_sha256_flush(ladder->sha256);
        varve_record_write_trailer(ladder->trailer_record, ladder->trailer_bytes,
                                   ladder->trailer_digest);
    }
    if (!archive) {
        return;
    }
    if (ladder->trailer) {
        varve_sha256_update(ladder->sha256, archive, ladder->trailer_record,
                            sizeof ladder->trailer_record);
    }
    varve_sha256_final(ladder->sha256, archive, keep_digest,
                       ladder->rungs.digest[VARVE_RUNG_ARCHIVE]);
    ladder->rungs.present |= 1u << VARVE_RUNG_ARCHIVE;
}

/* Rungs order to content: hashes over facets, in the order of docs/ladder.md. */
static void finish_rungs(struct varve_ladder *ladder) {
    struct varve_rungs *rungs = &ladder->rungs;
    const struct varve_facets *facets = &ladder->facets;
    static const uint32_t names = 1u << VARVE_FACET_NAMES;
    static const uint32_t times = 1u << VARVE_FACET_TIMES;
    static const struct {
        enum varve_rung rung;
        uint32_t without;
    } made[] = {
        {VARVE_RUNG_ORDER, 0},
        {VARVE_RUNG_NAMES, names},
        {VARVE_RUNG_TIMES, names | times},
        {VARVE_RUNG_CONTENT, ~(1u << VARVE_FACET_CONTENT)},
    };
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        uint8_t text[32 + VARVE_FACET_COUNT * VARVE_SHA256_BYTES] = "varve1.";
        size_t bytes = strlen((char *)text);
        const char *name = varve_rung_name(made[i].rung);
        memcpy(text + bytes, name, strlen(name) + 1);
        bytes += strlen(name) + 1;
        for (uint32_t facet = 0; facet < VARVE_FACET_COUNT; facet++) {
            if (!(made[i].without >> facet & 1)) {
                memcpy(text + bytes, facets->digest[facet], VARVE_SHA256_BYTES);
                bytes += VARVE_SHA256_BYTES;
            }
        }
        varve_sha256_once(ladder->sha256, rungs->digest[made[i].rung], text, bytes);
        rungs->present |= 1u << made[i].rung;
    }
}

void varve_ladder_begin_finish(struct varve_ladder *ladder, struct varve_sha256_stream *archive) {
    ladder->finishing = true;
    begin_archive(ladder, archive);
    write_fixed(ladder);
    if (ladder->fault.code) {
        return;
    }
    assert(ladder->complete_count == ladder->entry_count && ladder->slots_used == 0);
    struct ladder_order order = {.significant = false};
    bool done = varve_ladder_sort(ladder, &order) && varve_ladder_facets(ladder, &order);
    varve_ladder_order_release(ladder, &order);
    if (!done) {
        return;
    }
    if (ladder->trailer) {
        varve_sha256_update(ladder->sha256, &ladder->encoding, ladder->trailer_record,
                            sizeof ladder->trailer_record);
    }
    varve_sha256_final(ladder->sha256, &ladder->encoding, keep_digest,
                       ladder->rungs.digest[VARVE_RUNG_ENCODING]);
    ladder->rungs.present |= 1u << VARVE_RUNG_ENCODING;
}

void varve_ladder_heed(struct varve_ladder *ladder, const _Atomic bool *cancelled) {
    ladder->cancelled = cancelled;
}

bool varve_ladder_sort_again(struct varve_ladder *ladder, struct ladder_order *order) {
    struct varve_findings *findings = ladder->findings;
    write_fixed(ladder);
    ladder->findings = NULL;
    ladder->entry_count = ladder->complete_count;
    bool done = varve_ladder_sort(ladder, order);
    ladder->findings = findings;
    return done;
}

enum varve_status varve_ladder_end_finish(struct varve_ladder *ladder, struct varve_rungs *rungs,
                                          struct varve_facets *facets) {
    assert(ladder->finishing);
    ladder->finishing = false;
    if (!ladder->fault.code) {
        finish_rungs(ladder);
    }
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        if (ladder->rungs.present >> i & 1) {
            memcpy(rungs->digest[i], ladder->rungs.digest[i], VARVE_SHA256_BYTES);
        }
    }
    rungs->present |= ladder->rungs.present;
    if (!ladder->fault.code) {
        *facets = ladder->facets;
    }
    return ladder->fault.code ? ladder->fault.status : VARVE_OK;
}

enum varve_status varve_ladder_finish(struct varve_ladder *ladder, struct varve_rungs *rungs,
                                      struct varve_facets *facets,
                                      struct varve_sha256_stream *archive) {
    varve_sha256_flush(ladder->sha256);
    varve_ladder_begin_finish(ladder, archive);
    varve_sha256_flush(ladder->sha256);
    return varve_ladder_end_finish(ladder, rungs, facets);
}

uint64_t varve_ladder_entry_count(const struct varve_ladder *ladder) {
    return ladder->entry_count;
}

void varve_ladder_tally(struct ladder_tally *tally, size_t index) {
    if (tally->count++ == 0 || index < tally->first) {
        tally->first = index;
    }
}

void varve_ladder_report(struct varve_ladder *ladder, enum varve_code code,
                         const struct ladder_tally *tally) {
    if (tally->count) {
        struct varve_bytes path = varve_ladder_path(ladder, tally->first);
        varve_findings_add(ladder->findings, code, tally->count,
                           ladder->entries[tally->first].offset, path.bytes, path.count);
    }
}

void varve_ladder_each(struct varve_ladder *ladder,
                       void (*each)(void *cookie, const struct varve_ladder_entry *entry),
                       void *cookie) {
    write_fixed(ladder);
    for (size_t i = 0; i < ladder->complete_count; i++) {
        struct varve_record record;
        varve_record_read(&record, ladder->entries[i].record);
        const uint8_t *fixed = record.bytes;
        struct varve_ladder_entry entry = {
            .path = record.path,
            .link = record.link,
            .uname = record.uname,
            .gname = record.gname,
            .typeflag = record.type,
            .mode = (uint64_t)varve_record_number(fixed + VARVE_RECORD_MODE, 8),
            .uid = varve_record_number(fixed + VARVE_RECORD_UID, 8),
            .gid = varve_record_number(fixed + VARVE_RECORD_GID, 8),
            .size = (uint64_t)varve_record_number(fixed + VARVE_RECORD_SIZE, 12),
            .mtime = {varve_record_number(fixed + VARVE_RECORD_MTIME, 12),
                      varve_load_u32(record.nanoseconds), true},
            .has_sha256 = record.digest.count != 0,
        };
        if (entry.has_sha256) {
            memcpy(entry.sha256, record.digest.bytes, VARVE_SHA256_BYTES);
        }
        each(cookie, &entry);
    }
}
