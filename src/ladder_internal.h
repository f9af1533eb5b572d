/* SPDX-License-Identifier: Apache-2.0 */
/* src/ladder_internal.h - what the files of the ladder share.
 *
 * The entries of a layer are kept as their canonical records, one behind the other in archive
 * order, in chunks of memory: the very bytes that rung `encoding` hashes. Digests of contents
 * arrive later, in any order, and are written into their records; a chunk is hashed when all of its
 * are there. Sorting, hard links and facets work on the records at the end. */
#ifndef VARVE_LADDER_INTERNAL_H
#define VARVE_LADDER_INTERNAL_H

#include <stdatomic.h>

#include "codes.h"
#include "limits.h"
#include "record.h"
#include "varve/ladder.h"

/* Memory for records. A record never straddles two chunks; one longer than a chunk has its own. */
struct record_chunk {
    uint8_t *bytes;
    size_t used, capacity;
    uint64_t awaited; /* digests that have not arrived */
};

struct ladder_entry {
    const uint8_t *record;
    uint64_t offset; /* decoded offset of its header */
};

/* A content being hashed. */
struct content_slot {
    struct varve_sha256_stream stream;
    struct varve_ladder *ladder;
    struct content_slot *next; /* of the free ones */
    uint8_t *digest;           /* where it belongs */
    size_t chunk;              /* the chunk that awaits it */
};
/* As many small files as end in one step of a job and some more; beyond that the digests are
 * flushed. */
enum { CONTENT_SLOTS = 96 };

/* Fixed parts are written by the kernels, so many at a time. */
enum { FIXED_BATCH = 32 };

enum { RECORD_CHUNK_BYTES = 65536 };

/* A global header's record, for the facet `other`. */
struct global_record {
    const uint8_t *bytes;
    size_t count;
};

struct varve_ladder {
    struct varve_sha256 *sha256;
    struct varve_budget *budget;
    struct varve_findings *findings;
    const struct varve_header_row *kernel;
    struct varve_fault fault;

    struct record_chunk *chunks;
    size_t chunk_count, chunk_capacity;
    struct ladder_entry *entries;
    size_t entry_count, entry_capacity;
    size_t complete_count; /* entries whose content was seen to its end */
    size_t longest_path;
    bool links; /* there are hard links */
    struct global_record *globals;
    size_t global_count, global_capacity;
    struct varve_tar_pair *pairs; /* for sorting what came unsorted */
    size_t pair_capacity;

    struct varve_header_values values[FIXED_BATCH];
    uint8_t *fixed[FIXED_BATCH]; /* where they belong */
    size_t fixed_count;

    struct content_slot slots[CONTENT_SLOTS];
    struct content_slot *free_slot;
    size_t slots_used;            /* slots not free */
    struct content_slot *content; /* of the entry at hand, while its content comes */
    bool content_begun;
    uint64_t hole_bytes;

    struct varve_sha256_stream encoding;
    bool encoding_begun;
    size_t encoded; /* chunks given to it */
    bool trailer;
    uint64_t trailer_bytes;
    struct varve_sha256_stream trailer_stream;
    uint8_t trailer_digest[VARVE_SHA256_BYTES];
    uint8_t trailer_record[VARVE_TRAILER_RECORD_BYTES];

    const _Atomic bool *cancelled; /* varve_ladder_heed; may be NULL */
    bool finishing; /* between begin_finish and end_finish: digests below are under way */
    struct facet_writer *writer; /* made when first needed */
    struct varve_rungs rungs;
    struct varve_facets facets;
};

/* What sorting and hard links make of the entries. Indices count entries in archive order. */
struct ladder_order {
    bool significant; /* archive order, and no hard link is touched */
    size_t count;     /* of `sorted` */
    uint32_t *sorted;
    uint32_t *spare; /* as long as `sorted` */
    uint8_t *flags;  /* LADDER_* per entry */
    /* Where there are hard links, else NULL. root: the file that an entry belongs to (itself for a
     * file), the unresolved link at the end of its chain, or LADDER_NONE. elected: of a file, the
     * entry that is the file after sorting. */
    uint32_t *root;
    uint32_t *elected;
    uint64_t bytes; /* taken from the budget */
};
#define LADDER_NONE UINT32_MAX
enum {
    LADDER_HOLDER = 1,      /* another entry, no whiteout, lies beneath its path */
    LADDER_BLOCKED = 2,     /* it or something above it is no directory */
    LADDER_SAME = 4,        /* has the path of the one before it in sorted order */
    LADDER_SIGNIFICANT = 8, /* by docs/ladder.md, S7 */
};

/* Counts of one finding, with the entry that comes first in the archive. */
struct ladder_tally {
    uint64_t count;
    size_t first;
};
void varve_ladder_tally(struct ladder_tally *tally, size_t index);
void varve_ladder_report(struct varve_ladder *ladder, enum varve_code code,
                         const struct ladder_tally *tally);

/* Ends the layer with a fault; returns its status. */
enum varve_status varve_ladder_fail(struct varve_ladder *ladder, enum varve_code code,
                                    uint64_t offset);

/* Zeroed memory from the budget. NULL after a fault. */
void *varve_ladder_allocate(struct varve_ladder *ladder, uint64_t *taken, size_t count,
                            size_t item_bytes);

/* ladder_order.c: sorts, finds significance, resolves hard links. False after a fault, or
 * cancelled; the order must be released in either case. */
bool varve_ladder_sort(struct varve_ladder *ladder, struct ladder_order *order);
void varve_ladder_order_release(struct varve_ladder *ladder, struct ladder_order *order);

/* ladder_facets.c: queues the facets' digests, which come to `facets` of the ladder with the next
 * flush, and what was left of rung encoding beside them. False after a fault, or
 * cancelled. */
bool varve_ladder_facets(struct varve_ladder *ladder, const struct ladder_order *order);

/* ladder_facets.c: the parts of one entry, facet by facet in pieces, as the facets hash them. Only
 * after the ladder was finished without a fault, with an order of varve_ladder_sort_again. False:
 * no memory for what is longer than the buffers; the ladder is as it was. */
struct ladder_sink {
    void (*put)(struct ladder_sink *sink, enum varve_facet facet, const void *bytes, size_t count);
};
bool varve_ladder_parts(struct varve_ladder *ladder, const struct ladder_order *order,
                        struct ladder_sink *sink, size_t index);

/* ladder.c: the order once more, of a ladder that is finished, or of what was complete when the
 * parser met a fault; reports nothing. False after a fault. */
bool varve_ladder_sort_again(struct varve_ladder *ladder, struct ladder_order *order);

/* ladder.c: gives the next chunk to `encoding`; false where all were given. */
bool varve_ladder_encode_next(struct varve_ladder *ladder);

/* Whether to leave off in the middle: nobody will ask for the result. */
static inline bool varve_ladder_is_cancelled(const struct varve_ladder *ladder) {
    return ladder->cancelled && atomic_load_explicit(ladder->cancelled, memory_order_relaxed);
}

/* Steps between two looks at that: some milliseconds. */
enum { LADDER_STEPS = 8192 };

static inline uint8_t varve_ladder_type(const struct varve_ladder *ladder, size_t index) {
    return ladder->entries[index].record[VARVE_RECORD_TYPE];
}

static inline struct varve_bytes varve_ladder_path(const struct varve_ladder *ladder,
                                                   size_t index) {
    return varve_record_path(ladder->entries[index].record);
}

/* Asks the memory for a record's beginning: its numbers, path and some more. There may be no record
 * (NULL): nothing is read then, but an address behind it is no pointer in C. */
static inline void varve_ladder_prefetch(const uint8_t *record) {
    uintptr_t address = (uintptr_t)record;
    for (size_t offset = 0; offset < 256; offset += 64) {
        __builtin_prefetch((const void *)(address + offset));
    }
}

/* The same for what comes some steps behind position `at` of a sorted list. */
static inline void varve_ladder_look_ahead(const struct varve_ladder *ladder,
                                           const uint32_t *sorted, size_t at, size_t count) {
    const size_t steps = 8;
    if (at + 2 * steps < count) {
        __builtin_prefetch(&ladder->entries[sorted[at + 2 * steps]]);
        varve_ladder_prefetch(ladder->entries[sorted[at + steps]].record);
    }
}

/* Files: what hard links can be made to, and belong to. */
static inline bool varve_ladder_is_file(uint8_t type) {
    return type == '0' || (type >= '2' && type <= '4') || type == '6';
}

#endif
