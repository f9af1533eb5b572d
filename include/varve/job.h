/* SPDX-License-Identifier: Apache-2.0 */
/* varve/job.h - one layer's way through the pipeline: read, decode, split, digest, judge.
 *
 * Jobs of one thread share a SHA-256 context and advance together, a chunk each a step, so that the
 * digests of many layers fill the lanes:
 *
 *     varve_job_begin(job[i], fd[i], 0, UINT64_MAX, name[i], source[i]);
 *     do varve_jobs_advance(jobs, count); while (some job is not done);
 *
 * Three results are kept apart: the blob's digest (always to the physical end of the file), the
 * decoding, and the tar. What fails in a later one never stops an earlier one.
 */
#ifndef VARVE_JOB_H
#define VARVE_JOB_H

#include "varve/base.h"
#include "varve/budget.h"
#include "varve/decode.h"
#include "varve/findings.h"
#include "varve/ladder.h"
#include "varve/sha256.h"
#include "varve/tar.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a layer is. A compressed tar bears its compression's name; content that is no tar is OTHER.
 */
enum varve_format {
    VARVE_FORMAT_GZIP,
    VARVE_FORMAT_ZSTD,
    VARVE_FORMAT_TAR,
    VARVE_FORMAT_EMPTY,
    VARVE_FORMAT_OTHER
};
VARVE_API const char *varve_format_name(enum varve_format format);

enum varve_check { VARVE_CHECK_NONE, VARVE_CHECK_OK, VARVE_CHECK_MISMATCH };
VARVE_API const char *varve_check_name(enum varve_check check);

/* What was claimed of a layer against what was found. NONE: nothing was claimed, or not computed.
 */
struct varve_checks {
    enum varve_check name;
    enum varve_check size;
    enum varve_check diffid;
    enum varve_check media_type;
};

/* The result of one layer. Rungs, facets, counts that were not computed are absent (bits clear,
 * `has_*` false), never guessed. */
struct varve_layer {
    const char *name; /* the claimed name, or the path given */
    const char *source;
    bool cached;   /* not read: the result was known (varve_report.recall) */
    bool gone;     /* not there any more, and nothing refers to it any more: no result at all */
    bool complete; /* false after VARVE_ERROR: nothing below but `fault` stands */
    uint64_t bytes_stored;
    bool decoded; /* decoding was asked for: bytes_decoded and compression stand */
    uint64_t bytes_decoded;
    bool has_format;
    enum varve_format format;
    enum varve_compression compression;
    struct varve_fault content_fault; /* of the bytes, whatever they are called; code NULL: none */
    enum varve_status own_status;     /* before any claim but the name was held against it */
    enum varve_status status;
    struct varve_fault fault; /* why status is not OK */
    struct varve_rungs rungs;
    struct varve_facets facets;
    bool has_entries;
    uint64_t entry_count;
    struct varve_checks checks;
    const struct varve_findings *findings;
    const char *toc;     /* kind of its table of contents, or NULL */
    const char *encoder; /* guesses: see varve_decoder_info and varve_tar_writer; NULL: not made */
    char encoder_evidence[VARVE_ENCODER_EVIDENCE_BYTES]; /* "": there is none */
    const char *writer;
    const char *writer_evidence;
};

/* CPU seconds of jobs by station; who opens jobs owns it and may let many jobs of a thread share
 * one. Digests' time is the SHA-256 context's (varve_sha256_seconds) and not in here. */
struct varve_timings {
    double read;      /* reading stored bytes */
    double decode;    /* decompressing */
    double lanes;     /* parsing, header kernels, records; queueing what is to be digested */
    double normalise; /* the ends of layers: sorting, facets, rungs, judging */
};

/* Sees a layer pass by, on the thread that advances its job. NULL members are skipped; what is
 * pointed to is valid during the call. Nothing that is seen may be changed. */
struct varve_job_watch {
    /* Stored bytes as they are read, all of the blob's in the end. */
    void (*stored)(void *cookie, const uint8_t *data, size_t bytes);
    /* Decoded bytes as the parser gets them, then each event of theirs, INPUT included, after the
     * ladder took it. Nothing more comes after END or FAULT. */
    void (*decoded)(void *cookie, const uint8_t *data, size_t bytes);
    void (*event)(void *cookie, enum varve_tar_event event, const struct varve_tar_item *item);
    void *cookie;
};

struct varve_job_options {
    struct varve_budget *budget;
    enum varve_tier tier;
    enum varve_rung deepest_rung;        /* how far down to go; BLOB: no decoding */
    uint64_t max_decoded_bytes;          /* 0 = 2^40 */
    size_t chunk_bytes;                  /* decoded bytes a step; 0 = 131072; half of it is read */
    struct varve_timings *timings;       /* added to; NULL: not measured */
    const struct varve_job_watch *watch; /* must outlive the job; NULL: nobody watches */
    enum varve_inflate_engine inflate_engine;
};

struct varve_job;

/* VARVE_OK; VARVE_UNSUPPORTED (tier); VARVE_ERROR (no memory). `sha256` must outlive the job and
 * serve the same thread. `options` NULL: AUTO tier, all rungs. */
VARVE_API enum varve_status varve_job_open(struct varve_job **job, struct varve_sha256 *sha256,
                                           const struct varve_job_options *options);
VARVE_API void varve_job_close(struct varve_job *job);

/* Begins the layer behind `fd`, which stays the caller's and must live until the job is done: the
 * `bytes` bytes from `offset` on, of a regular file; 0 and UINT64_MAX: all there is. `name` and
 * `source` are kept by pointer. A `name` of the form "sha256:<hex>" or "sha512:<hex>" is checked.
 */
VARVE_API void varve_job_begin(struct varve_job *job, int fd, uint64_t offset, uint64_t bytes,
                               const char *name, const char *source);

/* Advances jobs that are not done by one step each; then flushes their SHA-256 context, which must
 * be the same for all. */
VARVE_API void varve_jobs_advance(struct varve_job *const *jobs, size_t count);

/* True when there is nothing more to do. A job that never began is done. */
VARVE_API bool varve_job_done(const struct varve_job *job);

/* Stored bytes read so far. */
VARVE_API uint64_t varve_job_bytes(const struct varve_job *job);

/* Holds a claim against a finished job: may turn checks and status to mismatch or malformed. Call
 * it once per claim. `size` VARVE_NO_SIZE (varve/catalog.h), `media_type` or `diffid` NULL: not
 * claimed. */
VARVE_API void varve_job_check(struct varve_job *job, uint64_t size, const char *media_type,
                               const uint8_t *diffid);

/* The result; valid until the next begin or close. */
VARVE_API const struct varve_layer *varve_job_layer(const struct varve_job *job);

/* The entries of a finished job, in archive order (see varve_ladder_each). */
VARVE_API void varve_job_each_entry(const struct varve_job *job,
                                    void (*each)(void *cookie,
                                                 const struct varve_ladder_entry *entry),
                                    void *cookie);

#ifdef __cplusplus
}
#endif
#endif
