/* SPDX-License-Identifier: Apache-2.0 */
/* src/diff_internal.h - what the files of the comparison share. */
#ifndef VARVE_DIFF_INTERNAL_H
#define VARVE_DIFF_INTERNAL_H

#include "ladder_internal.h"
#include "layer.h"
#include "varve/diff.h"

/* --- diff_raw.c: header blocks, kept packed ---
 *
 * Runs of NULs are most of a header: what lies between two runs of data is kept as pairs (how many
 * NULs, how many other bytes, these). Packing is a function of the bytes, so that packed bytes are
 * equal where the bytes are. */

struct diff_raw_item {
    const uint8_t *packed;
    uint64_t offset;       /* decoded, of its first byte */
    uint32_t packed_bytes; /* of what was kept */
    uint32_t bytes;        /* as they were, kept ones */
    uint64_t lost_bytes;   /* beyond what is kept of one item */
};

struct diff_chunk {
    uint8_t *bytes;
    size_t used, capacity;
};

/* Items of one side, in memory of the budget. */
struct diff_store {
    struct varve_budget *budget;
    struct diff_chunk *chunks;
    size_t chunk_count, chunk_room;
    uint64_t taken;
    bool refused;   /* memory, once: everything was dropped, nothing more is kept */
    bool no_memory; /* the operating system was it, not the budget: nothing is to be said */
};
void varve_diff_store_clear(struct diff_store *store);

/* Memory from the budget, counted in the store and freed with varve_diff_store_give. NULL: refused.
 */
void *varve_diff_store_take(struct diff_store *store, void *old, size_t old_bytes, size_t bytes);
void varve_diff_store_give(struct diff_store *store, void *items, size_t bytes);

/* Packs and keeps; false where memory was refused. */
bool varve_diff_raw_keep(struct diff_store *store, struct diff_raw_item *item, const uint8_t *bytes,
                         size_t count);

/* Unpacks to `to`, which has room for item->bytes. */
void varve_diff_raw_unpack(uint8_t *to, const struct diff_raw_item *item);

bool varve_diff_raw_equal(const struct diff_raw_item *a, const struct diff_raw_item *b);

/* --- diff_side.c: one side on its way, and what is kept of it --- */

/* Bytes of headers kept of one entry, and of what stands before it: beyond these they are counted
 * only. Real ones have some thousand; an extension header has a mebibyte at most. */
enum { DIFF_SCRATCH_MOST = 4 << 20 };

struct diff_global {
    struct diff_raw_item raw;
    uint64_t before; /* entries before it */
    size_t record;   /* among the ladder's global records, or SIZE_MAX: it has none */
};

/* Padding that is not NULs: behind the data of an entry. */
struct diff_padding {
    uint32_t entry;
    uint16_t count;
    uint64_t offset;
    uint8_t bytes[VARVE_TAR_BLOCK_BYTES];
};

/* The first bytes of a blob, for its gzip or zstd header. */
enum { DIFF_HEAD_BYTES = 4096 };

struct diff_side {
    struct varve_job *job;
    struct varve_job_watch watch;
    struct diff_store store;
    struct varve_diff_side given;
    bool seekable;

    uint8_t head[DIFF_HEAD_BYTES];
    size_t head_bytes;

    /* While it streams. */
    const uint8_t *chunk;
    uint64_t chunk_offset, fed_bytes;
    uint64_t cursor; /* decoded bytes seen as data or kept as raw */
    uint64_t padding_left;
    struct diff_padding padding;
    uint8_t *scratch; /* raw bytes since the last entry */
    size_t scratch_bytes, scratch_room;
    uint64_t scratch_offset, scratch_lost;
    size_t globals_seen;   /* whose blocks are in the scratch still */
    size_t global_records; /* of the ladder, so far */

    /* What is kept. */
    struct diff_raw_item *headers; /* by entry */
    size_t header_count, header_room;
    struct diff_global *globals;
    size_t global_count, global_room;
    struct diff_padding *paddings;
    size_t padding_count, padding_room;
    uint64_t trailer_bytes, trailer_offset;

    /* Once it is read. */
    struct varve_ladder *ladder;
    size_t count;              /* entries that can be compared */
    bool entries_known;        /* all of them, or those before a fault of the tar */
    bool whole;                /* and there was no fault: parts of facets can be had */
    struct ladder_order order; /* where `whole` */
    uint32_t *sorted;          /* by path, then by place */
    uint32_t *partner;         /* by entry: on the other side, or LADDER_NONE */
    uint8_t *moved;            /* by entry: a bit each */
};

/* VARVE_OK or as varve_job_open. */
enum varve_status varve_diff_side_open(struct diff_side *side, struct varve_sha256 *sha256,
                                       const struct varve_job_options *options);
void varve_diff_side_close(struct diff_side *side);

/* Forgets the layer. */
void varve_diff_side_reset(struct diff_side *side);

/* Begins the layer `side->given`, also anew. */
void varve_diff_side_begin(struct diff_side *side);

/* After the job is done: sorts the entries. */
void varve_diff_side_finish(struct diff_side *side);

/* --- the object --- */

struct diff_arena {
    struct diff_chunk *chunks;
    size_t chunk_count, chunk_room;
};

struct varve_diff {
    struct varve_budget *budgets[2];
    struct varve_sha256 *sha256;
    struct diff_side sides[2];
    bool compared;
    bool counting; /* entries that differ are counted, and nobody looks at their fields */
    struct varve_diff_verdict verdict;
    bool no_memory;

    /* Of the difference at hand. */
    bool fields_lost; /* for want of memory: it is not told */
    struct diff_arena arena;
    struct varve_diff_field *fields;
    size_t field_count, field_room;
    struct varve_diff_entry entries[4];
    uint8_t *unpacked[2];
    size_t unpacked_room[2];
    struct diff_parts *parts; /* two, one for each side */
};

/* --- fields of the difference at hand (diff_fields.c) --- */

void varve_diff_arena_reset(struct diff_arena *arena);
void varve_diff_arena_free(struct diff_arena *arena);

/* Memory that lives as long as the difference. NULL: diff->no_memory is set, and fields_lost. */
uint8_t *varve_diff_allocate(struct varve_diff *diff, size_t bytes);

/* Copies of bytes or formatted text. */
struct varve_bytes varve_diff_copy(struct varve_diff *diff, const void *bytes, size_t count);
struct varve_bytes varve_diff_text(struct varve_diff *diff, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Begins a difference: no fields, an empty arena. */
void varve_diff_begin_fields(struct varve_diff *diff);

/* Adds a field; `both` has offsets unknown and nothing on either side yet. NULL: no memory, as
 * above. */
struct varve_diff_field *varve_diff_add_field(struct varve_diff *diff, const char *part,
                                              const char *name);

/* Sets one side of a field (which may be NULL). */
void varve_diff_set(struct varve_diff_field *field, unsigned side, struct varve_bytes value);

/* Adds a field of numbers where they differ. */
void varve_diff_number(struct varve_diff *diff, const char *name, uint64_t left, uint64_t right);

static inline struct varve_bytes diff_of(const char *text) {
    return (struct varve_bytes){(const uint8_t *)text, __builtin_strlen(text)};
}

static inline bool diff_same(struct varve_bytes a, struct varve_bytes b) {
    return a.count == b.count && (!a.count || __builtin_memcmp(a.bytes, b.bytes, a.count) == 0);
}

/* --- diff_entry.c: records --- */

enum diff_meaning {
    DIFF_MEANS_TYPE = 1 << 0,
    DIFF_MEANS_LINK = 1 << 1,
    DIFF_MEANS_DEVICE = 1 << 2,
    DIFF_MEANS_SIZE = 1 << 3,
    DIFF_MEANS_CONTENT = 1 << 4,
    DIFF_MEANS_MODE = 1 << 5,
    DIFF_MEANS_UID = 1 << 6,
    DIFF_MEANS_GID = 1 << 7,
    DIFF_MEANS_UNAME = 1 << 8,
    DIFF_MEANS_GNAME = 1 << 9,
    DIFF_MEANS_MTIME = 1 << 10,
    DIFF_MEANS_ATIME = 1 << 11,
    DIFF_MEANS_CTIME = 1 << 12,
    DIFF_MEANS_CREATION = 1 << 13,
    DIFF_MEANS_XATTRS = 1 << 14,
    DIFF_MEANS_RECORDS = 1 << 15,
};

/* Which aspects of two records differ (enum diff_meaning); adds a field for each where `fields`. */
unsigned varve_diff_records(struct varve_diff *diff, const struct varve_record *left,
                            const struct varve_record *right, bool fields);

/* Adds a field for each pair that differs of two lists as records hold them, or of one (the other's
 * bytes NULL). True where there is any. */
bool varve_diff_pairs(struct varve_diff *diff, const char *name, struct varve_bytes left,
                      struct varve_bytes right, bool fields);

/* Adds the fields that make an entry a risk and differ: mode, capabilities. A NULL side is not
 * there. True where there is any. */
bool varve_diff_security(struct varve_diff *diff, const struct varve_record *left,
                         const struct varve_record *right);

/* --- diff_header.c: header blocks --- */

/* Adds fields for what differs in two items; what `meaning` says to differ is left out. */
void varve_diff_headers(struct varve_diff *diff, const struct diff_raw_item *left,
                        const struct diff_raw_item *right, unsigned meaning);

/* --- varve_diff_match.c: which entries belong together --- */

/* Pairs entries, finds those that moved. False: no memory. */
bool varve_diff_match(struct varve_diff *diff);

/* The unequal facets in which two entries (an index may be LADDER_NONE) have other parts; none
 * where a side was not read whole. False: no memory, and nothing is known. */
bool varve_diff_facets(struct varve_diff *diff, uint32_t *facets, uint32_t left, uint32_t right);

/* The last rung that sees a difference between the two, which is seen in these facets, headers not
 * looked at; VARVE_RUNG_ARCHIVE where the records are equal. */
enum varve_rung varve_diff_depth(struct varve_diff *diff, uint32_t left, uint32_t right,
                                 uint32_t facets);

/* What varve_diff_depth works in. False: no memory. */
bool varve_diff_parts_open(struct varve_diff *diff);
void varve_diff_parts_close(struct varve_diff *diff);

/* After matching: where order means something, which facets it makes differ. False: there was no
 * memory to find out. */
bool varve_diff_find_order(struct varve_diff *diff);

/* The last rung that sees the order of entries differ. */
enum varve_rung varve_diff_order_depth(const struct varve_diff *diff);

/* diff.c: what is told of an entry. */
void varve_diff_fill_entry(const struct varve_diff *diff, struct varve_diff_entry *to,
                           unsigned side, uint32_t index);

/* --- diff_stream.c: around the entries --- */

typedef void diff_each_fn(void *cookie, const struct varve_difference *difference);

void varve_diff_each_finding(struct varve_diff *diff, diff_each_fn *each, void *cookie);
void varve_diff_each_global(struct varve_diff *diff, diff_each_fn *each, void *cookie);
void varve_diff_each_padding(struct varve_diff *diff, diff_each_fn *each, void *cookie);
void varve_diff_trailer(struct varve_diff *diff, diff_each_fn *each, void *cookie);
void varve_diff_end(struct varve_diff *diff, diff_each_fn *each, void *cookie);
void varve_diff_compression(struct varve_diff *diff, diff_each_fn *each, void *cookie);

/* Whether the two are known to be equal on a rung. */
bool varve_diff_rung_equals(const struct varve_diff *diff, enum varve_rung rung);

#endif
