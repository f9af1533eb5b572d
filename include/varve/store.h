/* SPDX-License-Identifier: Apache-2.0 */
/* varve/store.h - results kept in an SQLite database, so that a later scan need not find them
 * again.
 *
 * What is known of a blob's bytes is kept under the SHA-256 that was computed of them, never under
 * the name that somebody gave them; names, and how they fared, are kept apart (docs/store.md has
 * the schema). A scan that was killed at any moment leaves a database that the next one goes on
 * from.
 *
 *     varve_store_open(&store, &fault, "mirror.db", NULL);
 *     varve_store_begin(store, &fault, catalog, &scan);
 *     options.turns = varve_store_turns(store);
 *     ... a scan whose report hands recall, done, gone and image on to the store ...
 *     varve_store_finish(store, &fault, &summary, exit_code);
 *     varve_store_close(store);
 *
 * One scan at a time may write to a database, kept so by a lock that the kernel lets go when its
 * holder dies. Readers are not held up, and hold nobody up.
 */
#ifndef VARVE_STORE_H
#define VARVE_STORE_H

#include "varve/base.h"
#include "varve/scan.h"

#ifdef __cplusplus
extern "C" {
#endif

enum varve_store_status {
    VARVE_STORE_OK,
    VARVE_STORE_UNUSABLE, /* not a store's file, damaged, a newer version's, read-only, disk full */
    VARVE_STORE_LOCKED,   /* another process writes to it */
    VARVE_STORE_NO_MEMORY
};

/* Why a call failed, for people. */
struct varve_store_fault {
    enum varve_store_status status;
    char message[512]; /* one line */
};

struct varve_store_options {
    bool read_only;               /* it must exist; nothing is written, not even a lock (a question
                                     about scans opens the file once more: a process that has it open
                                     in other ways closes this store after them) */
    unsigned wait_ms;             /* how long to wait for another program's transaction; 0: 5000 */
    void (*failed)(void *cookie); /* called once, from any thread, when writing has failed; what is
                                     given after that is dropped */
    void *cookie;
};

struct varve_store;

/* Opens a database, or makes one where there is no file or an empty one. *store = NULL unless
 * VARVE_STORE_OK. `options` NULL: to write. */
VARVE_API enum varve_store_status varve_store_open(struct varve_store **store,
                                                   struct varve_store_fault *fault,
                                                   const char *path,
                                                   const struct varve_store_options *options);
/* A scan that was begun and not finished ends as if its process had been killed. */
VARVE_API void varve_store_close(struct varve_store *store);

/* The scan that is about to run. */
struct varve_store_scan {
    const struct varve_scan_options *options; /* as given to varve_scan_open */
    const char *const *sources;               /* the operands, for the record */
    size_t source_count;
    bool rescan; /* nothing is recalled */
    int64_t
        reverify_before; /* what was last read before this moment (Unix seconds) is not recalled */
};

/* Begins a scan over a filled catalog, which must outlive finish or close. Blobs that the catalog's
 * sources hold no more are marked as gone. Not for a read-only store. */
VARVE_API enum varve_store_status varve_store_begin(struct varve_store *store,
                                                    struct varve_store_fault *fault,
                                                    const struct varve_catalog *catalog,
                                                    const struct varve_store_scan *scan);

/* For varve_scan_options.turns: what is to be read again comes after all else, what was not for the
 * longest time first. The store's, valid until finish. */
VARVE_API const uint64_t *varve_store_turns(const struct varve_store *store);

/* To be called from the scan's report, with its arguments: see struct varve_report. From any of the
 * scan's threads; they return soon (unless the disk is slower than the scan: then done waits). */
VARVE_API bool varve_store_recall(struct varve_store *store, struct varve_layer *layer,
                                  struct varve_findings *findings, size_t blob);
VARVE_API void varve_store_done(struct varve_store *store, const struct varve_layer *layer,
                                size_t blob, const struct varve_job *job);
VARVE_API void varve_store_gone(struct varve_store *store, size_t blob);
VARVE_API void varve_store_image(struct varve_store *store, const struct varve_image *image,
                                 enum varve_status status, const struct varve_image_layer *layers);

/* The entries of a blob that was recalled, as varve_job_each_entry gives them. */
VARVE_API void varve_store_each_entry(struct varve_store *store, size_t blob,
                                      void (*each)(void *cookie,
                                                   const struct varve_ladder_entry *entry),
                                      void *cookie);

/* Ends the scan: everything is written when it returns. Where writing failed on the way, says why.
 */
VARVE_API enum varve_store_status varve_store_finish(struct varve_store *store,
                                                     struct varve_store_fault *fault,
                                                     const struct varve_scan_summary *summary,
                                                     int exit_code);

/* Questions that are prepared: the views of docs/store.md. */
struct varve_query_info {
    const char *name;
    const char *text; /* what it answers, in a few words */
    bool takes_rung;
};
VARVE_API size_t varve_query_count(void);
VARVE_API struct varve_query_info varve_query_at(size_t index);

struct varve_query;

/* An answer to the question of that name. `rung` (only where it takes one) narrows it down; NULL:
 * all. `limit` 0: no limit. VARVE_STORE_UNUSABLE also for a name that does not exist. */
VARVE_API enum varve_store_status varve_query_open(struct varve_query **query,
                                                   struct varve_store_fault *fault,
                                                   struct varve_store *store, const char *name,
                                                   const char *rung, uint64_t limit);
VARVE_API void varve_query_close(struct varve_query *query);

VARVE_API size_t varve_query_column_count(const struct varve_query *query);
VARVE_API const char *varve_query_column(const struct varve_query *query, size_t column);

/* The next row. VARVE_STORE_OK with *row false: there are no more. */
VARVE_API enum varve_store_status varve_query_next(struct varve_query *query, bool *row,
                                                   struct varve_store_fault *fault);

/* A value of the row at hand, valid until the next call. */
enum varve_value_kind { VARVE_VALUE_NONE, VARVE_VALUE_INTEGER, VARVE_VALUE_REAL, VARVE_VALUE_TEXT };
struct varve_value {
    enum varve_value_kind kind;
    int64_t integer;
    double real;
    const char *bytes; /* TEXT: not NUL-terminated, and UTF-8 only as far as its origin was */
    size_t count;
};
VARVE_API struct varve_value varve_query_value(const struct varve_query *query, size_t column);

/* What two mirrors, each as a scan left it in a database, have in common. Images are paired by
 * reference and platform; those that are left, by the reference without its host and
 * without "library/"; those without a reference by their manifests' digest. */
enum varve_pair_verdict {
    VARVE_PAIR_IDENTICAL, /* the same manifest */
    VARVE_PAIR_MANIFEST,  /* the same layers and config; only what the manifest says beside them */
    VARVE_PAIR_CONFIG,    /* the same layers; the config differs */
    VARVE_PAIR_COMPRESSION,
    VARVE_PAIR_ARCHIVE,  /* how archives end */
    VARVE_PAIR_ENCODING, /* how headers are written */
    VARVE_PAIR_FACETS,   /* the same content: `facets` says what differs, or none of them, only what
                            rung `order` ignores */
    VARVE_PAIR_CONTENT,
    VARVE_PAIR_UNJUDGED, /* layers that could not be read or parsed, and are not the same bytes; or
                            the same layers, and a config that could not be read */
    VARVE_PAIR_ONLY_A,   /* no such image on the other side */
    VARVE_PAIR_ONLY_B,
    VARVE_PAIR_VERDICTS
};
VARVE_API const char *varve_pair_verdict_name(enum varve_pair_verdict verdict);

struct varve_image_pair {
    const char *platform;  /* "" where there is none */
    const char *ref[2];    /* on each side; NULL: no such image there; "": it has none */
    const char *digest[2]; /* of the manifests: "sha256:..."; NULL: no such image there */
    const char *status[2];
    enum varve_pair_verdict verdict;
    bool has_rung;
    enum varve_rung rung; /* the first on which all layers meet, where has_rung */
    uint32_t facets;     /* FACETS: all that are unequal in some layer, bits 1u << enum varve_facet;
                            a directory that one side alone gives makes nearly all of them so */
    bool entries_differ; /* FACETS: some layer has another number of entries: what one side alone
                            gives, or gives again, are directories */
    bool config_known; /* whether the config differs is: all layers meet on `rung`, and both images
                          have that rung (docs/image-ladder.md) */
    bool config_differs; /* where config_known */
    bool newly_broken;   /* A's status is ok, B's is not, and not only for what could not be read */
};

enum varve_blob_change { VARVE_BLOB_NEW, VARVE_BLOB_GONE, VARVE_BLOB_BROKEN, VARVE_BLOB_MENDED };
VARVE_API const char *varve_blob_change_name(enum varve_blob_change change);

/* Calls `pair` for every image, by reference and platform, then `blob` for every blob that only one
 * side has, or that is well on one side and known to be bad on the other: one that could not be
 * read is neither. Strings are valid during the call. Both stores stay as they are; they may be of
 * the same or of different files. */
VARVE_API enum varve_store_status varve_store_compare(
    struct varve_store *a, struct varve_store *b, struct varve_store_fault *fault,
    void (*pair)(void *cookie, const struct varve_image_pair *pair),
    void (*blob)(void *cookie, enum varve_blob_change change, const char *name, uint64_t bytes),
    void *cookie);

/* What a database does not know of its sources, because the last scan of each could not read it or
 * did not come to its end: what a comparison does not find in it may be there, and well. */
struct varve_store_gaps {
    uint64_t errors; /* sources, or parts of them, that could not be read: the question "errors" */
    uint64_t images; /* of which a document could not be read */
    uint64_t layers; /* that could not be read, the machine having failed; missing ones are known to
                        be missing */
    const char *state; /* NULL: all those scans finished; else of the last that did not: "running",
                          "killed", "interrupted", "partial", "failed", "unknown"; "none": there was
                          no scan; static */
};
VARVE_API enum varve_store_status varve_store_gaps(struct varve_store *store,
                                                   struct varve_store_gaps *gaps,
                                                   struct varve_store_fault *fault);

#ifdef __cplusplus
}
#endif
#endif
