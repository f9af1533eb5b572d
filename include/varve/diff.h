/* SPDX-License-Identifier: Apache-2.0 */
/* varve/diff.h - two layers: on which rung they meet, and why not on the one before.
 *
 *     varve_diff_open(&diff, NULL);
 *     varve_diff_layers(diff, &left, &right);          // reads both, side by side
 *     verdict = varve_diff_verdict(diff);
 *     varve_diff_each(diff, VARVE_DIFF_ALL, show, cookie);
 *     varve_diff_close(diff);
 *
 * Both layers stream through the pipeline at once (varve/job.h). Of each, the ladder's records are
 * kept and, packed to about a hundred bytes an entry, the blocks of its headers; never content. So
 * memory grows with entries alone, and pipes can be compared. All of it is taken from a budget.
 *
 * Every difference says on which rung it is seen last: `encoding` for a moved entry, `archive` for
 * a header that means the same, `blob` for a gzip time stamp. The first rung on which two layers
 * meet is the one behind the deepest of these (docs/diff.md).
 *
 * A diff belongs to one thread at a time; what it gives is valid until the next comparison or
 * close.
 */
#ifndef VARVE_DIFF_H
#define VARVE_DIFF_H

#include "varve/base.h"
#include "varve/catalog.h"
#include "varve/findings.h"
#include "varve/job.h"
#include "varve/ladder.h"

#ifdef __cplusplus
extern "C" {
#endif

struct varve_diff;

struct varve_diff_options {
    enum varve_tier tier; /* 0 = AUTO */
    enum varve_sha256_engine engine;
    uint64_t memory_bytes;      /* budget, half of it for each side; 0 = 2 GiB */
    uint64_t max_decoded_bytes; /* of each; 0 = 2^40 */
    size_t chunk_bytes;         /* decoded bytes a step; 0 = 131072 */
};

/* VARVE_OK; VARVE_UNSUPPORTED (tier or engine); VARVE_ERROR (no memory). `options` NULL: defaults.
 */
VARVE_API enum varve_status varve_diff_open(struct varve_diff **diff,
                                            const struct varve_diff_options *options);
VARVE_API void varve_diff_close(struct varve_diff *diff);

/* One side: the blob in a descriptor, as varve_job_begin takes it (0 and UINT64_MAX: all of it).
 * The descriptor stays the caller's and must live until the next comparison or close. */
struct varve_diff_side {
    int fd;
    uint64_t offset, bytes;
    const char *name; /* kept by pointer; a digest is checked */
    const char *source;
};

/* Reads both. VARVE_OK, or VARVE_ERROR (no memory: nothing stands). What is wrong with a layer
 * stands in its result and does not stop the other. */
VARVE_API enum varve_status varve_diff_layers(struct varve_diff *diff,
                                              const struct varve_diff_side *left,
                                              const struct varve_diff_side *right);

/* The result of one side: 0 left, 1 right. */
VARVE_API const struct varve_layer *varve_diff_layer(const struct varve_diff *diff, unsigned side);

enum varve_diff_relation {
    VARVE_DIFF_UNKNOWN, /* a side has not got the rung, and no other rung decides */
    VARVE_DIFF_EQUAL,
    VARVE_DIFF_UNEQUAL
};

struct varve_diff_verdict {
    enum varve_rung meet;      /* the first rung on which both are known to be equal, or
                                  VARVE_RUNG_COUNT: none */
    bool complete;             /* every rung is known to be equal or not */
    uint32_t rungs_unequal;    /* bits of rungs that both have and that differ */
    uint32_t facets_unequal;   /* bits of facets that both have and that differ */
    uint32_t facets_changed;   /* those of them in which entries of both sides differ, or global
                                  headers, or trailers: an entry of one side alone, or the order
                                  where it means something, makes nearly all of them unequal */
    bool order_significant[2]; /* finding order.significant: this side's rungs from `order` on are
                                  computed in archive order */
    uint64_t removed_count, added_count; /* differences of these kinds that rung `order` sees */
    uint64_t repeated_count;             /* and those that it does not: repeated directories */
    uint64_t linked_count;               /* differences of kind LINK */
    uint64_t moved_count;                /* of kind MOVED */
    uint32_t facets_moved;               /* unequal facets in which these are seen */
    uint64_t globals_moved_count;        /* of kind GLOBAL, of one that stands elsewhere */
    uint64_t security_count;             /* of kind SECURITY */
    enum varve_rung but_toc; /* where eStargz's own files are the last difference: the rung on
                                which all else meets; VARVE_RUNG_COUNT: not so */
    bool entries_compared;   /* false: a side's entries are not known, or there was no memory */
    bool headers_compared;   /* false: there was no memory for header blocks */
};
VARVE_API struct varve_diff_verdict varve_diff_verdict(const struct varve_diff *diff);

/* Whether two layers are the same on a rung, by the rungs of both; equal on one rung is equal on
 * all below, unequal on all above. */
VARVE_API enum varve_diff_relation varve_diff_relation(const struct varve_rungs *left,
                                                       const struct varve_rungs *right,
                                                       enum varve_rung rung);

enum varve_diff_kind {
    VARVE_DIFF_SECURITY, /* an entry whose setuid, setgid or sticky bit or whose capabilities
                            differ, or that has some and is on one side alone; it is told again
                            as what else it is */
    VARVE_DIFF_FINDING,  /* a finding of one side, or counted otherwise on the other */
    VARVE_DIFF_REMOVED,  /* an entry of the left side alone */
    VARVE_DIFF_ADDED,    /* an entry of the right side alone */
    VARVE_DIFF_CHANGED,  /* an entry of both, with other meaning */
    VARVE_DIFF_LINK,     /* an entry of both that is the same once hard links are resolved: another
                            name of its group is the file, or leads to it another way */
    VARVE_DIFF_MOVED,    /* an entry that stands elsewhere among those of both: the fewest that
                            account for the order */
    VARVE_DIFF_GLOBAL,   /* a pax global header */
    VARVE_DIFF_HEADER,   /* an entry of both whose header is written otherwise */
    VARVE_DIFF_PADDING,  /* bytes that fill the last block of an entry's data */
    VARVE_DIFF_TRAILER,  /* what follows the end of the archive */
    VARVE_DIFF_END,      /* how the archive ends */
    VARVE_DIFF_COMPRESSION, /* how it is compressed */
    VARVE_DIFF_KIND_COUNT
};
#define VARVE_DIFF_ALL ((1u << VARVE_DIFF_KIND_COUNT) - 1)

/* "security", "finding", .... Static storage. */
VARVE_API const char *varve_diff_kind_name(enum varve_diff_kind kind);

/* What an entry is beside its type. */
enum {
    VARVE_DIFF_DUPLICATE = 1, /* its layer has the path more than once */
    VARVE_DIFF_HARDLINK = 2,
    VARVE_DIFF_WHITEOUT = 4, /* explicit, or AUFS's own */
    VARVE_DIFF_OPAQUE = 8,   /* an opaque whiteout */
    VARVE_DIFF_TOC = 16      /* a file that eStargz adds: its table or a landmark */
};

struct varve_diff_entry {
    struct varve_bytes path; /* as on rung `encoding` */
    struct varve_bytes link;
    uint8_t typeflag;
    uint64_t size;
    uint64_t number; /* among its layer's entries, from 0 */
    uint64_t offset; /* decoded, of its header */
    unsigned marks;
};

/* One field with both values. Of CHANGED, LINK and the like, values are text for people: "0755",
 * "1700000000.000000000", a digest in hex; names and links as their bytes. Of HEADER they are the
 * field's raw bytes, NULs included. */
struct varve_diff_field {
    const char *part;       /* of HEADER: which block: "header", "pax", "pax record", "long name",
                               "long link", "solaris", "global", "sparse map"; else NULL */
    const char *name;       /* "mode", "chksum", "content", ...; static storage */
    struct varve_bytes key; /* which xattr or record; or nothing */
    bool has[2];            /* false: that side has no such thing */
    struct varve_bytes value[2];
    uint64_t offset[2]; /* of HEADER, PADDING and END: decoded, of COMPRESSION stored offset of the
                           first byte that differs; or VARVE_NO_OFFSET */
};

struct varve_difference {
    enum varve_diff_kind kind;
    enum varve_rung rung; /* the last rung that sees it; VARVE_RUNG_COUNT: none (findings, but
                             order.significant where it makes facets unequal) */
    uint32_t facets; /* bits of the facets in which it is seen: of entries, and of that finding */
    const struct varve_diff_entry *entry[2]; /* NULL: not about one, or not on that side */
    const struct varve_diff_entry *file[2];  /* of a hard link that is itself the same on both
                                                sides: its files, which differ; else NULL */
    const struct varve_diff_field *fields;
    size_t field_count;
    const struct varve_code_info *finding; /* FINDING */
    uint64_t count[2];                     /* FINDING */
};

/* Calls `each` for every difference of the given kinds (bits 1u << kind): kinds in their order,
 * entries by path. A security difference's rung is that of the difference it is part of. May be
 * called many times. VARVE_OK, or VARVE_ERROR (no memory: some were left out). */
VARVE_API enum varve_status varve_diff_each(struct varve_diff *diff, uint32_t kinds,
                                            void (*each)(void *cookie,
                                                         const struct varve_difference *difference),
                                            void *cookie);

#ifdef __cplusplus
}
#endif
#endif
