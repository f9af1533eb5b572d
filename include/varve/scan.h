/* SPDX-License-Identifier: Apache-2.0 */
/* varve/scan.h - all blobs of a catalog through the pipeline, on a team of threads.
 *
 * Layers are taken largest stored size first, ties by name, and reported in that order, through a
 * bounded window; then images in the catalog's order. Neither results nor order depend on the
 * number of threads or the CPU. One bad blob never stops a scan. What was known before (recall)
 * is reported in its place, but not read.
 */
#ifndef VARVE_SCAN_H
#define VARVE_SCAN_H

#include "varve/base.h"
#include "varve/catalog.h"
#include "varve/job.h"

#ifdef __cplusplus
extern "C" {
#endif

struct varve_scan_options {
    unsigned threads;     /* 0 = varve_thread_default(); fewer where varve_thread_team() says so */
    enum varve_tier tier; /* 0 = AUTO */
    enum varve_sha256_engine engine;
    enum varve_rung deepest_rung;   /* BLOB scrubs without decoding; CONTENT is the whole ladder */
    uint64_t memory_bytes;          /* budget; 0 = 1 GiB */
    uint64_t max_decoded_bytes;     /* 0 = 2^40 */
    size_t chunk_bytes;             /* decoded bytes a step; 0 = 131072 */
    bool entries;                   /* give each layer's entries to the report */
    uint64_t read_bytes_per_second; /* all threads together; 0 = no limit */
    const uint64_t *turns; /* by blob: those with a lesser number go first; NULL: all are equal.
                              Must live until varve_scan_open returns */
    enum varve_inflate_engine inflate_engine;
};

/* Threads a scan uses by itself: CPU affinity or cgroup quota (v1 and v2, the process's own group
 * and all above it, rounded up), whichever is smaller; >= 1. */
VARVE_API unsigned varve_thread_default(void);

/* How many threads a team may have: an OpenMP library that is refused one (RLIMIT_NPROC, pids.max,
 * address space) ends the whole program. Gives as many as can be begun, the calling one among them,
 * and no more than `wanted`, nor than have `descriptors_each` file descriptors to open (0: they
 * need none); >= 1. All teams of this library are asked for so. Between this call and the team
 * others may take what was there; threads had once the OpenMP library keeps for the calling thread.
 */
VARVE_API unsigned varve_thread_team(unsigned wanted, unsigned descriptors_each);

/* How far a scan is. Called from one of its threads, some times a second. */
struct varve_progress {
    uint64_t bytes_done, bytes_total; /* stored bytes; totals as far as sizes are known */
    uint64_t layers_done, layers_total;
};

/* One layer of an image after the scan: its claim, and how the claim fared. */
struct varve_image_layer {
    size_t claim;
    enum varve_status status; /* of the layer against this claim */
    struct varve_checks checks;
};

/* What the scan reports to. Calls come one at a time, from any of its threads, but for recall and
 * done, which come several at a time. NULL members are skipped. */
struct varve_report {
    /* Before a blob is opened: its result, where that is known. True with everything of *layer set
     * but name, source and status (content_fault and checks.name say what it is), and its findings
     * added to `findings`; the claims are held against it as if it had been read. */
    bool (*recall)(void *cookie, struct varve_layer *layer, struct varve_findings *findings,
                   size_t blob);
    /* A layer's result, all claims held against it, as soon as it is there, in no order; it comes
     * again in its order to `layer`. Of twins the first. `job` as for `layer`. */
    void (*done)(void *cookie, const struct varve_layer *layer, size_t blob,
                 const struct varve_job *job);
    /* In a layer's place: the blob was there when the catalog was filled and is not now, and
     * nothing in its source refers to it any more. */
    void (*gone)(void *cookie, size_t blob);
    /* A layer's result; `job` gives its entries (varve_job_each_entry) where options.entries asked
     * for them, else NULL. `blob` is its number in the catalog. Valid during the call. */
    void (*layer)(void *cookie, const struct varve_layer *layer, size_t blob,
                  const struct varve_job *job);
    /* An image, after all layers, its `rungs` set. status: the worst of its documents and layers.
     */
    void (*image)(void *cookie, const struct varve_image *image, enum varve_status status,
                  const struct varve_image_layer *layers);
    void (*progress)(void *cookie, const struct varve_progress *progress);
};

/* More SHA-256 kernel rows than there are. */
#define VARVE_SCAN_HASH_ROWS 16

/* Figures of a scan. */
struct varve_scan_summary {
    uint64_t images[6]; /* by enum varve_status; attestations and artifacts apart */
    uint64_t attestations, artifacts;
    uint64_t beside[6];        /* both of them, by status */
    uint64_t layers[6];        /* distinct blobs, by status; twins each by themselves */
    uint64_t twins;            /* of these, names of a file that was read under another one */
    uint64_t unreferenced;     /* of these, blobs that nothing in their source refers to */
    uint64_t cached;           /* of these, recalled ones */
    uint64_t gone;             /* blobs, not counted among layers */
    uint64_t images_gone;      /* images of such, not reported and not counted among images */
    uint64_t layer_references; /* layers of all images */
    uint64_t errors;           /* of the catalog; notes apart */
    uint64_t mismatches;       /* layers with any check that failed, whatever their status */
    uint64_t bytes_stored, bytes_decoded, entries;
    uint64_t bytes_read; /* as bytes_stored, without what was recalled */
    bool interrupted;
    bool partial; /* stopped before all layers were begun */
    double seconds;
    unsigned threads;
    uint64_t memory_peak_bytes; /* of the budget */
    /* What lay in temporary files (catalog.h); and errno of why no more of it did, or 0: the rest
     * was in memory then. */
    uint64_t temporary_bytes;
    int temporary_error;
    /* CPU seconds of all threads by station; what is left of threads * seconds was idle. read: the
     * taking of layers too. store: recall and done. report: the rest of what is told. */
    struct varve_timings timings;
    double hash_seconds, store_seconds, report_seconds;
    /* Blocks by kernel row, best first; see varve_sha256_use_at. */
    struct varve_sha256_use hash_rows[VARVE_SCAN_HASH_ROWS];
    size_t hash_row_count;
};

struct varve_scan;

/* VARVE_OK; VARVE_UNSUPPORTED (tier or engine); VARVE_ERROR (no memory). The catalog must outlive
 * the scan and is not changed. `options` NULL: all defaults, whole ladder. */
VARVE_API enum varve_status varve_scan_open(struct varve_scan **scan,
                                            const struct varve_catalog *catalog,
                                            const struct varve_scan_options *options);
VARVE_API void varve_scan_close(struct varve_scan *scan);

/* Runs the scan to its end, or until cancelled; once per scan. VARVE_OK, or VARVE_ERROR (no memory,
 * no threads): then what was reported so far still stands. */
VARVE_API enum varve_status varve_scan_run(struct varve_scan *scan,
                                           struct varve_scan_summary *summary,
                                           const struct varve_report *report, void *cookie);

/* Ends a running scan when the layers in flight are done: no more are begun. From any thread or
 * signal handler. */
VARVE_API void varve_scan_stop(struct varve_scan *scan);

/* Ends a running scan soon: layers in flight are dropped, those done are reported. From any thread
 * or signal handler. */
VARVE_API void varve_scan_cancel(struct varve_scan *scan);

#ifdef __cplusplus
}
#endif
#endif
