/* SPDX-License-Identifier: Apache-2.0 */
/* src/toc_internal.h - the parts of varve/toc.h: what the decoder tells, the table's reader, the
 * comparison. */
#ifndef VARVE_TOC_INTERNAL_H
#define VARVE_TOC_INTERNAL_H

#include "codes.h"
#include "varve/toc.h"

/* --- bytes that grow under the budget (toc.c) --- */

struct varve_toc_bytes {
    uint8_t *data;
    size_t count;
    size_t room;
};

/* Makes room for `more` bytes and appends them (`data` NULL: leaves them unset). False where the
 * budget or the system refuses. */
bool varve_toc_append(struct varve_toc *toc, struct varve_toc_bytes *bytes, const void *data,
                      size_t more);
void varve_toc_drop(struct varve_toc *toc, struct varve_toc_bytes *bytes);

/* --- footers (toc_footer.c) --- */

#define VARVE_TOC_EXTRA_BYTES 26   /* eStargz's extra field, subfield header included */
#define VARVE_TOC_CHUNKED_BYTES 64 /* zstd:chunked's footer */

struct varve_toc_footer {
    enum varve_toc_kind kind;
    uint64_t offset; /* stored: where the table begins */
    uint64_t bytes;  /* of the table as stored; 0 where the footer does not tell */
    uint64_t raw_bytes;
    uint64_t type;          /* of the table, zstd:chunked */
    uint64_t footer_offset; /* stored offset of the member or frame that the footer is */
};

/* Reads the extra field of a gzip header. False where it is no footer. */
bool varve_toc_read_extra(struct varve_toc_footer *footer, const uint8_t *extra, size_t bytes);

/* Reads the content of a skippable frame. False where it is no footer. */
bool varve_toc_read_chunked(struct varve_toc_footer *footer, const uint8_t *content, size_t bytes);

/* --- what the decoder tells; `toc` may be NULL --- */

/* A gzip member begins. */
void varve_toc_see_member(struct varve_toc *toc, uint64_t offset_stored, uint64_t offset_decoded);

/* The last member's header holds this footer. */
void varve_toc_see_footer(struct varve_toc *toc, const struct varve_toc_footer *footer);

/* A skippable frame begins whose content is at `offset_stored`, then its content, in pieces. */
void varve_toc_see_skippable(struct varve_toc *toc, uint32_t magic, uint64_t offset_stored,
                             uint64_t bytes);
void varve_toc_see_skipped(struct varve_toc *toc, const uint8_t *data, size_t bytes,
                           uint32_t magic);

/* --- the table (toc_table.c) --- */

struct varve_toc_entry {
    size_t name; /* offset in `names` */
    size_t name_bytes;
    size_t link;
    size_t link_bytes;
    int64_t size, mode, uid, gid;
    uint8_t typeflag;
    bool has_sha256;
    bool met;
    size_t met_count; /* of the first entry of a name: how many of them were met */
    uint8_t sha256[VARVE_SHA256_BYTES];
};

struct varve_toc_table {
    struct varve_toc_bytes names;   /* cleaned paths and links */
    struct varve_toc_bytes entries; /* struct varve_toc_entry, sorted by name once read */
    size_t count;
};

/* Reads the JSON of a table. `stored_bytes`: offsets in it must be below. OK; UNSUPPORTED (another
 * version), MALFORMED (no such table), LIMIT (no memory for it). Entries with senseless numbers are
 * reported and kept. */
enum varve_status varve_toc_table_read(struct varve_toc *toc, struct varve_toc_table *table,
                                       const uint8_t *json, size_t bytes, uint64_t stored_bytes,
                                       struct varve_findings *findings);

/* The object. Skippable frames are kept one behind the other: the table is one of the last three.
 */
struct varve_toc_frame {
    struct varve_toc_bytes content;
    uint64_t offset_stored; /* of the content */
    uint64_t bytes;
    bool kept; /* all of the content is there */
};

#define VARVE_TOC_FRAMES 3
#define VARVE_TOC_MEMBERS 3

struct varve_toc {
    struct varve_budget *budget;
    struct varve_findings *findings;
    enum varve_toc_kind kind;
    bool refused;   /* memory, once: the table cannot be judged */
    bool no_memory; /* by the operating system: nor can the layer */

    struct varve_toc_footer footer; /* of gzip layers: the last one seen */
    struct {
        uint64_t stored, decoded;
    } members[VARVE_TOC_MEMBERS]; /* where the last ones begin; the newest first */
    struct varve_toc_frame frames[VARVE_TOC_FRAMES]; /* the newest first */

    bool capturing; /* the entry stargz.index.json */
    bool captured;
    uint64_t entry_offset; /* decoded: where it begins */
    struct varve_toc_bytes json;
    struct varve_toc_table table;
    struct varve_toc_bytes path; /* of the entry being compared, cleaned */
};

/* Drops empty and "." components and slashes at both ends: `path` becomes `*bytes` long. */
void varve_toc_clean(uint8_t *path, size_t *bytes);

#endif
