/* SPDX-License-Identifier: Apache-2.0 */
/* src/job.c - one layer's way through the pipeline.
 *
 * A step: read a chunk where the last one is used up, decode, hand the decoded bytes to the parser
 * and the ladder, queue all digests; then one flush for all jobs of the thread, after which every
 * buffer may be filled again. */
#include "varve/job.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codes.h"
#include "digest_name.h"
#include "file.h"
#include "layer.h"
#include "varve/catalog.h"
#include "varve/tar.h"

#define DEFAULT_CHUNK_BYTES 65536u

enum phase {
    DONE,
    RUNNING, /* reading, and decoding as far as it goes */
    CLOSING  /* every byte was seen; the last digests are under way */
};

struct varve_job {
    struct varve_job_options options;
    struct varve_sha256 *sha256;
    struct varve_decoder *decoder;
    struct varve_tar *tar;
    struct varve_ladder *ladder;
    struct varve_findings *findings;
    EVP_MD_CTX *sha512; /* for blobs named by sha512; made when first needed */

    uint8_t *stored;  /* chunk_bytes: what was read */
    uint8_t *decoded; /* chunk_bytes: what the decoder made */
    size_t stored_at, stored_end;
    bool last; /* the file ended with what is in `stored` */

    int fd;
    bool seekable;
    struct stat before;
    uint64_t read_bytes;

    enum phase phase;
    bool decoding, parsing; /* which stations still take part */
    bool decoded_whole, tar_whole, ladder_whole;
    bool archive_forked;
    bool named, wants_sha512;
    struct varve_digest_name claimed;
    struct varve_sha256_stream blob_stream, diffid_stream, archive_stream;
    struct varve_layer layer;
};

const char *varve_format_name(enum varve_format format) {
    static const char *const names[] = {"gzip", "zstd", "tar", "empty", "other"};
    return names[format];
}

const char *varve_check_name(enum varve_check check) {
    static const char *const names[] = {"none", "ok", "mismatch"};
    return names[check];
}

enum varve_status varve_job_open(struct varve_job **out, struct varve_sha256 *sha256,
                                 const struct varve_job_options *options) {
    struct varve_job *job = calloc(1, sizeof *job);
    enum varve_status status = VARVE_ERROR;
    *out = NULL;
    if (!job) {
        return status;
    }
    job->options =
        options ? *options : (struct varve_job_options){.deepest_rung = VARVE_RUNG_CONTENT};
    if (!job->options.chunk_bytes) {
        job->options.chunk_bytes = DEFAULT_CHUNK_BYTES;
    }
    job->sha256 = sha256;
    job->stored = malloc(job->options.chunk_bytes);
    job->decoded = malloc(job->options.chunk_bytes);
    struct varve_budget *budget = job->options.budget;
    struct varve_decode_options decode = {budget, job->options.max_decoded_bytes};
    struct varve_tar_options tar = {budget, job->options.tier};
    struct varve_ladder_options ladder = {budget, job->options.tier};
    if (job->stored && job->decoded) {
        status = varve_findings_open(&job->findings);
    }
    if (status == VARVE_OK && job->options.deepest_rung >= VARVE_RUNG_DIFFID) {
        status = varve_decoder_open(&job->decoder, &decode);
    }
    if (status == VARVE_OK && job->options.deepest_rung >= VARVE_RUNG_ARCHIVE) {
        status = varve_tar_open(&job->tar, &tar);
        if (status == VARVE_OK) {
            status = varve_ladder_open(&job->ladder, sha256, &ladder);
        }
    }
    if (status != VARVE_OK) {
        varve_job_close(job);
        return status;
    }
    *out = job;
    return VARVE_OK;
}

void varve_job_close(struct varve_job *job) {
    if (!job) {
        return;
    }
    varve_ladder_close(job->ladder);
    varve_tar_close(job->tar);
    varve_decoder_close(job->decoder);
    varve_findings_close(job->findings);
    EVP_MD_CTX_free(job->sha512);
    free(job->stored);
    free(job->decoded);
    free(job);
}

/* Which of two statuses a layer shows: what could not be read was not judged at all; damage comes
 * before contradiction, contradiction before what was left unjudged. */
int varve_status_weight(enum varve_status status) {
    static const int weights[] = {
        [VARVE_OK] = 0,       [VARVE_UNSUPPORTED] = 1, [VARVE_LIMIT] = 2,
        [VARVE_MISMATCH] = 3, [VARVE_MALFORMED] = 4,   [VARVE_ERROR] = 5,
    };
    return weights[status];
}

static void blame(struct varve_layer *layer, struct varve_fault fault) {
    if (varve_status_weight(fault.status) > varve_status_weight(layer->status)) {
        layer->status = fault.status;
        layer->fault = fault;
    }
}

void varve_job_refuse(struct varve_job *job, const struct varve_fault *fault, const char *name,
                      const char *source) {
    varve_findings_reset(job->findings);
    job->layer = (struct varve_layer){.name = name,
                                      .source = source,
                                      .findings = job->findings,
                                      .own_status = fault->status,
                                      .status = fault->status,
                                      .fault = *fault};
    job->read_bytes = 0;
    job->phase = DONE;
}

/* Nothing of a layer stands that could not be read. */
static void give_up(struct varve_job *job, enum varve_code code, int os_errno) {
    struct varve_fault fault = varve_fault_of(code, job->read_bytes);
    fault.os_errno = os_errno;
    varve_job_refuse(job, &fault, job->layer.name, job->layer.source);
}

bool varve_job_take_layer(struct varve_job *job, struct varve_layer *layer,
                          struct varve_findings **findings) {
    struct varve_findings *fresh = NULL;
    assert(job->phase == DONE);
    if (varve_findings_open(&fresh) != VARVE_OK) {
        return false;
    }
    *layer = job->layer;
    *findings = job->findings;
    job->findings = fresh;
    return true;
}

void varve_job_begin(struct varve_job *job, int fd, const char *name, const char *source) {
    assert(job->phase == DONE);
    varve_findings_reset(job->findings);
    job->layer = (struct varve_layer){.name = name, .source = source, .findings = job->findings};
    job->fd = fd;
    job->stored_at = job->stored_end = 0;
    job->read_bytes = 0;
    job->last = job->archive_forked = false;
    job->decoded_whole = job->tar_whole = job->ladder_whole = false;
    job->decoding = job->decoder != NULL;
    job->parsing = job->tar != NULL;
    job->named = varve_digest_name_parse(&job->claimed, name, strlen(name));
    job->wants_sha512 = job->named && job->claimed.algorithm == VARVE_ALGORITHM_SHA512;
    job->phase = RUNNING;
    if (fstat(fd, &job->before) != 0) {
        give_up(job, VARVE_CODE_IO_READ, errno);
        return;
    }
    job->seekable = S_ISREG(job->before.st_mode) && lseek(fd, 0, SEEK_CUR) == 0;
    if (job->wants_sha512 && ((!job->sha512 && !(job->sha512 = EVP_MD_CTX_new())) ||
                              EVP_DigestInit_ex(job->sha512, EVP_sha512(), NULL) != 1)) {
        give_up(job, VARVE_CODE_NO_MEMORY, 0);
        return;
    }
    varve_sha256_init(&job->blob_stream);
    varve_sha256_init(&job->diffid_stream);
    if (job->decoder) {
        varve_decoder_reset(job->decoder, job->findings);
    }
    if (job->tar) {
        varve_tar_reset(job->tar, job->findings);
        varve_ladder_reset(job->ladder, job->findings);
    }
}

/* Reads the next chunk when the last one is used up, and queues its digest. */
static void refill(struct varve_job *job) {
    if (job->stored_at < job->stored_end || job->last) {
        return;
    }
    int64_t n = varve_file_fill(job->fd, job->seekable, job->stored, job->options.chunk_bytes,
                                job->read_bytes);
    if (n < 0) {
        give_up(job, VARVE_CODE_IO_READ, errno);
        return;
    }
    job->stored_at = 0;
    job->stored_end = (size_t)n;
    job->last = job->stored_end < job->options.chunk_bytes;
    job->read_bytes += job->stored_end;
    varve_sha256_update(job->sha256, &job->blob_stream, job->stored, job->stored_end);
    if (job->wants_sha512 && EVP_DigestUpdate(job->sha512, job->stored, job->stored_end) != 1) {
        give_up(job, VARVE_CODE_NO_MEMORY, 0);
    }
}

/* Feeds decoded bytes to the parser, and its events to the ladder. */
static void parse(struct varve_job *job, const uint8_t *data, size_t bytes, bool last) {
    struct varve_tar_item item;
    varve_tar_feed(job->tar, data, bytes, last);
    for (;;) {
        enum varve_tar_event event = varve_tar_next(job->tar, &item);
        switch (event) {
        case VARVE_TAR_INPUT:
            return;
        case VARVE_TAR_END:
            job->tar_whole = true;
            job->parsing = false;
            return;
        case VARVE_TAR_FAULT:
            job->parsing = false;
            return;
        default:
            /* Also after a fault of the ladder: rung archive wants the trailer. */
            varve_ladder_take(job->ladder, event, &item);
        }
    }
}

/* Queues the digest of decoded bytes that begin at `offset`. Where the archive may end inside them,
 * its own digest is forked off there: at most one split a chunk. */
static void digest_decoded(struct varve_job *job, const uint8_t *data, size_t bytes,
                           uint64_t offset) {
    size_t before = 0;
    if (job->parsing || job->tar_whole) {
        bool settled = false;
        uint64_t end = varve_tar_archive_end(job->tar, &settled);
        if (!settled && end >= offset && end <= offset + bytes) {
            before = (size_t)(end - offset);
            varve_sha256_update(job->sha256, &job->diffid_stream, data, before);
            varve_sha256_fork(job->sha256, &job->archive_stream, &job->diffid_stream);
            job->archive_forked = true;
        }
    }
    varve_sha256_update(job->sha256, &job->diffid_stream, data + before, bytes - before);
}

/* What a decoder's turn brought. */
static void take_turn(struct varve_job *job, const struct varve_decode_turn *turn) {
    bool ended = turn->state == VARVE_DECODE_END;
    bool parsed = job->parsing;
    job->stored_at += turn->used_bytes;
    if (parsed && (turn->made_bytes > 0 || ended)) {
        parse(job, turn->made, turn->made_bytes, ended);
    }
    if (turn->made_bytes > 0 || (ended && parsed)) {
        digest_decoded(job, turn->made, turn->made_bytes, job->layer.bytes_decoded);
        job->layer.bytes_decoded += turn->made_bytes;
    }
    if (ended || turn->state == VARVE_DECODE_FAULT) {
        job->decoding = false;
        job->decoded_whole = ended;
    }
}

static void keep_digest(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(cookie, digest, VARVE_SHA256_BYTES);
}

static void finish_stream(struct varve_job *job, struct varve_sha256_stream *stream,
                          enum varve_rung rung) {
    job->layer.rungs.present |= 1u << rung;
    varve_sha256_final(job->sha256, stream, keep_digest, job->layer.rungs.digest[rung]);
}

/* Every stored byte was read and judged: queues the last digests. */
static void begin_closing(struct varve_job *job) {
    finish_stream(job, &job->blob_stream, VARVE_RUNG_BLOB);
    if (job->decoded_whole) {
        finish_stream(job, &job->diffid_stream, VARVE_RUNG_DIFFID);
    }
    job->phase = CLOSING;
}

/* True where the file is no longer what it was when it was opened. */
static bool has_changed(const struct varve_job *job) {
    struct stat now;
    if (!job->seekable) {
        return false;
    }
    return fstat(job->fd, &now) != 0 || (uint64_t)now.st_size != job->read_bytes ||
           now.st_mtim.tv_sec != job->before.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != job->before.st_mtim.tv_nsec;
}

/* Tar status, entries and the rungs above diffid. */
static void judge_tar(struct varve_job *job) {
    struct varve_layer *layer = &job->layer;
    struct varve_fault fault = varve_tar_fault(job->tar);
    bool is_tar =
        job->tar_whole || strcmp(fault.code, varve_code_at(VARVE_CODE_TAR_NOT_TAR)->code) != 0;
    if (!is_tar) {
        layer->format = VARVE_FORMAT_OTHER;
        return;
    }
    layer->has_entries = true;
    layer->entry_count = varve_ladder_entry_count(job->ladder);
    if (!job->tar_whole) {
        blame(layer, fault);
        return;
    }
    struct varve_sha256_stream *archive = job->archive_forked ? &job->archive_stream : NULL;
    if (varve_ladder_finish(job->ladder, &layer->rungs, &layer->facets, archive) != VARVE_OK) {
        blame(layer, varve_ladder_fault(job->ladder));
    }
}

static void judge_decoding(struct varve_job *job) {
    static const enum varve_format formats[] = {
        [VARVE_COMPRESSION_NONE] = VARVE_FORMAT_TAR,
        [VARVE_COMPRESSION_GZIP] = VARVE_FORMAT_GZIP,
        [VARVE_COMPRESSION_ZSTD] = VARVE_FORMAT_ZSTD,
        [VARVE_COMPRESSION_BZIP2] = VARVE_FORMAT_OTHER,
        [VARVE_COMPRESSION_XZ] = VARVE_FORMAT_OTHER,
    };
    struct varve_layer *layer = &job->layer;
    struct varve_decode_info info = varve_decoder_info(job->decoder);
    layer->decoded = true;
    layer->compression = info.compression;
    layer->encoder = info.encoder;
    layer->format = layer->bytes_stored ? formats[info.compression] : VARVE_FORMAT_EMPTY;
    /* Without the parser a plain blob may be anything. */
    layer->has_format = job->tar || layer->format != VARVE_FORMAT_TAR;
    if (!layer->bytes_stored) {
        varve_findings_add(job->findings, VARVE_CODE_EMPTY_BLOB, 1, 0, NULL, 0);
    }
    if (!job->decoded_whole) {
        blame(layer, varve_decoder_fault(job->decoder));
    } else if (job->tar) {
        judge_tar(job);
    }
}

static void judge_name(struct varve_job *job) {
    struct varve_layer *layer = &job->layer;
    uint8_t sha512[EVP_MAX_MD_SIZE];
    const uint8_t *found = layer->rungs.digest[VARVE_RUNG_BLOB];
    if (!job->named) {
        return;
    }
    if (job->wants_sha512) {
        EVP_DigestFinal_ex(job->sha512, sha512, NULL);
        found = sha512;
    }
    bool holds = memcmp(found, job->claimed.bytes, job->claimed.count) == 0;
    layer->checks.name = holds ? VARVE_CHECK_OK : VARVE_CHECK_MISMATCH;
    if (!holds) {
        blame(layer, varve_fault_of(VARVE_CODE_CLAIM_NAME, VARVE_NO_OFFSET));
    }
}

/* The last digests are there: puts the result together. */
static void close_job(struct varve_job *job) {
    struct varve_layer *layer = &job->layer;
    struct varve_fault contradiction;
    if (has_changed(job)) {
        give_up(job, VARVE_CODE_IO_CHANGED, 0);
        return;
    }
    layer->complete = true;
    layer->bytes_stored = job->read_bytes;
    if (job->decoder) {
        judge_decoding(job);
    }
    judge_name(job);
    if (varve_findings_contradict(job->findings, &contradiction)) {
        blame(layer, contradiction);
    }
    if (layer->status == VARVE_ERROR || varve_findings_lost(job->findings)) {
        give_up(job, VARVE_CODE_NO_MEMORY, 0);
    }
    layer->own_status = layer->status;
    job->phase = DONE;
}

void varve_jobs_advance(struct varve_job *const *jobs, size_t count) {
    enum { BATCH = 16 };
    struct varve_decoder *decoders[BATCH];
    struct varve_decode_turn turns[BATCH];
    struct varve_job *turning[BATCH];
    struct varve_sha256 *sha256 = NULL;

    for (size_t i = 0; i < count;) {
        size_t n = 0;
        for (; i < count && n < BATCH; i++) {
            struct varve_job *job = jobs[i];
            if (job->phase != RUNNING) {
                continue;
            }
            sha256 = job->sha256;
            refill(job);
            if (job->phase == RUNNING && job->decoding) {
                turns[n] = (struct varve_decode_turn){
                    .in = job->stored + job->stored_at,
                    .in_bytes = job->stored_end - job->stored_at,
                    .in_last = job->last,
                    .out = job->decoded,
                    .out_bytes = job->options.chunk_bytes,
                };
                decoders[n] = job->decoder;
                turning[n++] = job;
            }
        }
        varve_decode(decoders, turns, n);
        for (size_t j = 0; j < n; j++) {
            take_turn(turning[j], &turns[j]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct varve_job *job = jobs[i];
        if (job->phase == RUNNING && !job->decoding) {
            job->stored_at = job->stored_end;
            if (job->last) {
                begin_closing(job);
            }
        }
    }
    if (sha256) {
        varve_sha256_flush(sha256);
    }
    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->phase == CLOSING) {
            close_job(jobs[i]);
        }
    }
}

bool varve_job_done(const struct varve_job *job) {
    return job->phase == DONE;
}

uint64_t varve_job_bytes(const struct varve_job *job) {
    return job->read_bytes;
}

static void merge_check(enum varve_check *check, bool holds) {
    if (!holds) {
        *check = VARVE_CHECK_MISMATCH;
    } else if (*check == VARVE_CHECK_NONE) {
        *check = VARVE_CHECK_OK;
    }
}

void varve_layer_hold(struct varve_layer *layer, uint64_t size, const char *media_type,
                      const uint8_t *diffid) {
    if (!layer->complete) {
        return;
    }
    merge_check(&layer->checks.size, layer->bytes_stored == size);
    if (layer->bytes_stored != size) {
        blame(layer, varve_fault_of(VARVE_CODE_CLAIM_SIZE, layer->bytes_stored));
    }
    struct varve_media_type type = varve_media_type_of(media_type);
    if (type.known && layer->has_format && layer->format != VARVE_FORMAT_EMPTY) {
        merge_check(&layer->checks.media_type, layer->compression == type.compression);
    }
    if (type.tar && layer->has_format && layer->format == VARVE_FORMAT_OTHER) {
        blame(layer, varve_fault_of(VARVE_CODE_CLAIM_TAR, 0));
    }
    if (diffid && layer->rungs.present & 1u << VARVE_RUNG_DIFFID) {
        const uint8_t *found = layer->rungs.digest[VARVE_RUNG_DIFFID];
        bool holds = memcmp(found, diffid, VARVE_SHA256_BYTES) == 0;
        merge_check(&layer->checks.diffid, holds);
        if (!holds) {
            blame(layer, varve_fault_of(VARVE_CODE_CLAIM_DIFFID, layer->bytes_decoded));
        }
    }
}

void varve_job_check(struct varve_job *job, uint64_t size, const char *media_type,
                     const uint8_t *diffid) {
    assert(job->phase == DONE);
    enum varve_check before = job->layer.checks.media_type;
    varve_layer_hold(&job->layer, size, media_type, diffid);
    if (before != VARVE_CHECK_MISMATCH && job->layer.checks.media_type == VARVE_CHECK_MISMATCH) {
        varve_findings_add(job->findings, VARVE_CODE_CLAIM_MEDIA_TYPE, 1, 0, NULL, 0);
    }
}

const struct varve_layer *varve_job_layer(const struct varve_job *job) {
    return &job->layer;
}

void varve_job_each_entry(const struct varve_job *job,
                          void (*each)(void *cookie, const struct varve_ladder_entry *entry),
                          void *cookie) {
    if (job->ladder && job->layer.complete && job->layer.has_entries) {
        varve_ladder_each(job->ladder, each, cookie);
    }
}
