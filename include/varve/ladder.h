/* SPDX-License-Identifier: Apache-2.0 */
/* varve/ladder.h - rungs and facets: what two layers have in common (docs/ladder.md, version 1).
 *
 * Rungs 0 and 1 are digests of byte streams and are computed by whoever holds the bytes
 * (varve/job.h). This part computes rung 2's trailer and rungs 3 to 7 and the facets from the
 * parser's events.
 */
#ifndef VARVE_LADDER_H
#define VARVE_LADDER_H

#include "varve/base.h"
#include "varve/budget.h"
#include "varve/findings.h"
#include "varve/sha256.h"
#include "varve/tar.h"

#ifdef __cplusplus
extern "C" {
#endif

enum varve_rung {
    VARVE_RUNG_BLOB,
    VARVE_RUNG_DIFFID,
    VARVE_RUNG_ARCHIVE,
    VARVE_RUNG_ENCODING,
    VARVE_RUNG_ORDER,
    VARVE_RUNG_NAMES,
    VARVE_RUNG_TIMES,
    VARVE_RUNG_CONTENT,
    VARVE_RUNG_COUNT
};

enum varve_facet {
    VARVE_FACET_CONTENT,
    VARVE_FACET_MODE,
    VARVE_FACET_OWNER,
    VARVE_FACET_NAMES,
    VARVE_FACET_TIMES,
    VARVE_FACET_XATTRS,
    VARVE_FACET_OTHER,
    VARVE_FACET_COUNT
};

/* "blob", ...; "content", .... Static storage. varve_rung_by_name: false where there is none. */
VARVE_API const char *varve_rung_name(enum varve_rung rung);
VARVE_API bool varve_rung_by_name(enum varve_rung *rung, const char *name);
VARVE_API const char *varve_facet_name(enum varve_facet facet);

/* Digests; one that could not be computed has its bit of `present` clear and its bytes zero. */
struct varve_rungs {
    uint32_t present; /* bit 1u << enum varve_rung */
    uint8_t digest[VARVE_RUNG_COUNT][VARVE_SHA256_BYTES];
};
struct varve_facets {
    uint32_t present; /* bit 1u << enum varve_facet */
    uint8_t digest[VARVE_FACET_COUNT][VARVE_SHA256_BYTES];
};
/* Those that both have and in which they differ, as bits like those of `present`. */
VARVE_API uint32_t varve_facets_unequal(const struct varve_facets *left,
                                        const struct varve_facets *right);

/* Longest text a rung or facet can take, NUL included:
 * "varve1.encoding:sha256:<hex>"; rungs blob and diffid are plain "sha256:<hex>". */
#define VARVE_RUNG_TEXT_BYTES 104
VARVE_API void varve_rung_text(char text[VARVE_RUNG_TEXT_BYTES], enum varve_rung rung,
                               const uint8_t digest[VARVE_SHA256_BYTES]);
VARVE_API void varve_facet_text(char text[VARVE_RUNG_TEXT_BYTES], enum varve_facet facet,
                                const uint8_t digest[VARVE_SHA256_BYTES]);

struct varve_ladder_options {
    struct varve_budget *budget; /* what entries are taken from; NULL: unlimited */
    enum varve_tier tier;
};

struct varve_ladder;

/* VARVE_OK; VARVE_UNSUPPORTED (tier); VARVE_ERROR (no memory). `sha256` is used by every call and
 * must outlive the ladder; one context may serve many ladders of its thread. */
VARVE_API enum varve_status varve_ladder_open(struct varve_ladder **ladder,
                                              struct varve_sha256 *sha256,
                                              const struct varve_ladder_options *options);
VARVE_API void varve_ladder_close(struct varve_ladder *ladder);

/* Begins a new layer; keeps some memory. `findings` may be NULL. Flushes the SHA-256 context where
 * something of the last layer is still under way (as close does): its spans must be there yet. */
VARVE_API void varve_ladder_reset(struct varve_ladder *ladder, struct varve_findings *findings);

/* Takes one event of the parser (ENTRY, DATA, HOLE, ENTRY_END, GLOBAL, TRAILER; others are
 * ignored). Spans given with DATA and TRAILER must stay until the SHA-256 context is flushed, which
 * may happen within. VARVE_OK; VARVE_LIMIT (budget, holes beyond 16 GiB: see varve_ladder_fault);
 * VARVE_ERROR. After a fault, rungs from ENCODING on are lost; go on giving events all the same,
 * for rung ARCHIVE wants the trailer. */
VARVE_API enum varve_status varve_ladder_take(struct varve_ladder *ladder,
                                              enum varve_tar_event event,
                                              const struct varve_tar_item *item);

/* Why the last call did not return VARVE_OK. */
VARVE_API struct varve_fault varve_ladder_fault(const struct varve_ladder *ladder);

/* After the parser's END: queues what rungs ENCODING to CONTENT, the facets and rung ARCHIVE are
 * digests of. `archive`, a fork of the diffid stream at varve_tar_archive_end, becomes rung ARCHIVE
 * by adding the trailer record; NULL: rung left out. Everything given before must be flushed. In
 * two halves, so that many layers that end together share one flush: between begin and end the
 * caller flushes the SHA-256 context. */
VARVE_API void varve_ladder_begin_finish(struct varve_ladder *ladder,
                                         struct varve_sha256_stream *archive);

/* After that flush: sets the rungs' and facets' bits and digests, leaves the others. VARVE_OK;
 * VARVE_LIMIT or VARVE_ERROR (see varve_ladder_fault): ARCHIVE alone was set. */
VARVE_API enum varve_status varve_ladder_end_finish(struct varve_ladder *ladder,
                                                    struct varve_rungs *rungs,
                                                    struct varve_facets *facets);

/* Both, with the flushes before and between. */
VARVE_API enum varve_status varve_ladder_finish(struct varve_ladder *ladder,
                                                struct varve_rungs *rungs,
                                                struct varve_facets *facets,
                                                struct varve_sha256_stream *archive);

/* Entries read so far, the one at hand included. */
VARVE_API uint64_t varve_ladder_entry_count(const struct varve_ladder *ladder);

/* One entry as the ladder keeps it: path and link as on rung `encoding`. */
struct varve_ladder_entry {
    struct varve_bytes path, link, uname, gname;
    uint8_t typeflag;
    uint64_t mode; /* without the type bits that repeat the typeflag; two's complement */
    int64_t uid, gid;
    uint64_t size;
    struct varve_tar_time mtime;
    bool has_sha256; /* types that carry data */
    uint8_t sha256[VARVE_SHA256_BYTES];
};

/* Calls `each` for every complete entry in archive order, after finish, or, after a fault of the
 * parser, once the SHA-256 context is flushed. Pointers are valid during the call. */
VARVE_API void varve_ladder_each(struct varve_ladder *ladder,
                                 void (*each)(void *cookie, const struct varve_ladder_entry *entry),
                                 void *cookie);

#ifdef __cplusplus
}
#endif
#endif
