/* SPDX-License-Identifier: Apache-2.0 */
/* src/job.c - one layer's way through the pipeline.
 *
 * A step: the intake brings a portion (src/intake.h), its decoded bytes go to the parser and the
 * ladder, all digests are queued; then one flush for all jobs of the thread, after which every room
 * may be filled again. */
#include "varve/job.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codes.h"
#include "digest_name.h"
#include "intake.h"
#include "layer.h"
#include "pipe.h"
#include "varve/catalog.h"
#include "varve/tar.h"
#include "varve/toc.h"

/* Decoded bytes a step. igzip copies its 32 KiB of history at every step, so that small steps cost:
 * 128 KiB scanned 6 % faster than 64 KiB, 256 KiB no faster. Half of it is read at a time. */
#define DEFAULT_CHUNK_BYTES 131072u

/* Jobs advanced together; more than sixteen are cut into batches. */
#define BATCH 16

enum phase {
    DONE,
    RUNNING, /* portions are coming */
    CLOSING, /* every byte was seen; the last digests of bytes are under way */
    JUDGING, /* those of the ladder are */
    STARVED  /* wants more of the memory budget than its neighbours leave */
};

struct varve_job {
    struct varve_job_options options;
    struct varve_sha256 *sha256;
    struct varve_decoder *decoder;
    struct varve_tar *tar;
    struct varve_ladder *ladder;
    struct varve_toc *toc;
    struct varve_findings *findings;
    struct varve_findings *decode_findings; /* the decoder's, which may run on another thread */
    EVP_MD_CTX *sha512;                     /* for blobs named by sha512; made when first needed */

    struct varve_intake intake;
    struct varve_portion portion; /* of this thread's own steps */
    struct varve_pipe *pipe;      /* or another thread brings them */
    int fd;
    uint64_t digested_bytes; /* stored ones */
    uint64_t window_bytes;   /* the widest since the decoder was opened */

    enum phase phase;
    const _Atomic bool *cancelled; /* varve_job_heed */
    bool alone;     /* nobody else holds anything of the budget: no more waiting for it */
    bool released;  /* the entries are gone */
    bool finishing; /* the ladder is to be finished when its digests are there */
    bool parsing;   /* the parser still takes part */
    bool decoded_whole, tar_whole;
    bool archive_forked;
    bool fork_due; /* after the next flush; what follows the archive in its portion waits too */
    const uint8_t *behind_archive;
    size_t behind_bytes;
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

static enum varve_status open_decoder(struct varve_job *job) {
    struct varve_decode_options options = {job->options.budget, job->options.max_decoded_bytes,
                                           job->options.tier, job->options.inflate_engine};
    enum varve_status status = varve_decoder_open(&job->decoder, &options);
    job->intake.decoder = job->decoder;
    job->window_bytes = 0;
    return status;
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
    job->intake.decoded_room_bytes = job->options.chunk_bytes;
    job->intake.stored_room_bytes = (job->options.chunk_bytes + 1) / 2;
    job->portion.stored_room = malloc(job->intake.stored_room_bytes);
    job->portion.decoded_room = malloc(job->intake.decoded_room_bytes);
    struct varve_budget *budget = job->options.budget;
    struct varve_tar_options tar = {budget, job->options.tier};
    struct varve_ladder_options ladder = {budget, job->options.tier};
    if (job->portion.stored_room && job->portion.decoded_room &&
        varve_findings_open(&job->findings) == VARVE_OK) {
        status = varve_findings_open(&job->decode_findings);
    }
    if (status == VARVE_OK && job->options.deepest_rung >= VARVE_RUNG_DIFFID) {
        status = open_decoder(job);
    }
    if (status == VARVE_OK && job->options.deepest_rung >= VARVE_RUNG_ARCHIVE) {
        status = varve_tar_open(&job->tar, &tar);
        if (status == VARVE_OK) {
            status = varve_ladder_open(&job->ladder, sha256, &ladder);
        }
        if (status == VARVE_OK) {
            status = varve_toc_open(&job->toc, budget);
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
    if (job->pipe) {
        varve_pipe_close(job->pipe, job->options.timings);
    }
    varve_toc_close(job->toc);
    varve_ladder_close(job->ladder);
    varve_tar_close(job->tar);
    varve_decoder_close(job->decoder);
    varve_findings_close(job->findings);
    varve_findings_close(job->decode_findings);
    EVP_MD_CTX_free(job->sha512);
    free(job->portion.stored_room);
    free(job->portion.decoded_room);
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
                                      .content_fault = *fault,
                                      .own_status = fault->status,
                                      .status = fault->status,
                                      .fault = *fault};
    job->digested_bytes = 0;
    job->phase = DONE;
}

void varve_job_vanish(struct varve_job *job) {
    job->layer.gone = true;
}

/* What is wrong with the bytes is known: the name's fault is shown before one of the same weight.
 */
static void weigh_name(struct varve_layer *layer) {
    struct varve_fault fault = layer->content_fault;
    layer->status = layer->checks.name == VARVE_CHECK_MISMATCH ? VARVE_MISMATCH : VARVE_OK;
    layer->fault = (struct varve_fault){0};
    if (layer->status != VARVE_OK) {
        layer->fault = varve_fault_of(VARVE_CODE_CLAIM_NAME, VARVE_NO_OFFSET);
    }
    blame(layer, fault);
    layer->own_status = layer->status;
}

struct varve_findings *varve_job_findings(struct varve_job *job) {
    assert(job->phase == DONE);
    varve_findings_reset(job->findings);
    return job->findings;
}

void varve_job_recall(struct varve_job *job, const struct varve_layer *known, const char *name,
                      const char *source) {
    assert(job->phase == DONE);
    job->layer = *known;
    job->layer.name = name;
    job->layer.source = source;
    job->layer.cached = job->layer.complete = true;
    job->layer.findings = job->findings;
    job->digested_bytes = 0;
    job->released = true;
    weigh_name(&job->layer);
}

/* Nothing of a layer stands that could not be read. */
static void give_up(struct varve_job *job, enum varve_code code, int os_errno) {
    struct varve_fault fault = varve_fault_of(code, job->digested_bytes);
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

/* The stations to their beginning: what they took for a layer goes back to the budget. */
static void reset_stations(struct varve_job *job) {
    if (job->decoder) {
        varve_decoder_reset(job->decoder, job->decode_findings);
    }
    if (job->tar) {
        varve_tar_reset(job->tar, job->findings);
        varve_ladder_reset(job->ladder, job->findings);
        varve_toc_reset(job->toc, job->findings);
        varve_decoder_watch(job->decoder, job->toc);
    }
}

void varve_job_begin_seen(struct varve_job *job, int fd, uint64_t offset, uint64_t bytes,
                          const struct stat *seen, const char *name, const char *source) {
    assert(job->phase == DONE || job->phase == STARVED);
    varve_findings_reset(job->findings);
    varve_findings_reset(job->decode_findings);
    reset_stations(job);
    job->layer = (struct varve_layer){.name = name, .source = source, .findings = job->findings};
    job->fd = fd;
    job->digested_bytes = 0;
    job->released = job->finishing = job->fork_due = job->archive_forked = job->decoded_whole =
        job->tar_whole = false;
    job->parsing = job->tar != NULL;
    job->named = varve_digest_name_parse(&job->claimed, name, strlen(name));
    job->wants_sha512 = job->named && job->claimed.algorithm == VARVE_ALGORITHM_SHA512;
    job->phase = RUNNING;
    /* A stream begun anew while it is queued would tear the queue, and with it its neighbours. */
    assert(!varve_sha256_busy(&job->blob_stream) && !varve_sha256_busy(&job->diffid_stream) &&
           !varve_sha256_busy(&job->archive_stream));
    varve_sha256_init(&job->blob_stream);
    varve_sha256_init(&job->diffid_stream);
    if (!varve_intake_begin(&job->intake, fd, offset, bytes, seen)) {
        give_up(job, VARVE_CODE_IO_READ, errno);
    } else if (job->wants_sha512 && ((!job->sha512 && !(job->sha512 = EVP_MD_CTX_new())) ||
                                     EVP_DigestInit_ex(job->sha512, EVP_sha512(), NULL) != 1)) {
        give_up(job, VARVE_CODE_NO_MEMORY, 0);
    }
    /* What cannot be read a second time cannot step back for its neighbours. */
    job->alone = !job->intake.reader.seekable;
    job->intake.gives_up = false;
}

void varve_job_begin(struct varve_job *job, int fd, uint64_t offset, uint64_t bytes,
                     const char *name, const char *source) {
    varve_job_begin_seen(job, fd, offset, bytes, NULL, name, source);
}

void varve_job_heed(struct varve_job *job, const _Atomic bool *cancelled) {
    job->cancelled = cancelled;
    if (job->ladder) {
        varve_ladder_heed(job->ladder, cancelled);
    }
}

bool varve_job_starved(const struct varve_job *job) {
    return job->phase == STARVED;
}

void varve_job_restart_alone(struct varve_job *job) {
    assert(job->phase == STARVED);
    const struct varve_reader *reader = &job->intake.reader;
    varve_job_begin(job, job->fd, reader->begin, reader->whole_bytes, job->layer.name,
                    job->layer.source);
    job->alone = job->intake.gives_up = true;
}

void varve_job_release(struct varve_job *job) {
    assert(job->phase == DONE);
    reset_stations(job);
    job->released = true;
}

void varve_job_starve(struct varve_job *job) {
    reset_stations(job);
    job->phase = STARVED;
}

/* Feeds decoded bytes to the parser, and its events to the ladder. */
static void parse(struct varve_job *job, const uint8_t *data, size_t bytes, bool last) {
    const struct varve_job_watch *watch = job->options.watch;
    struct varve_tar_item item;
    if (watch && watch->decoded) {
        watch->decoded(watch->cookie, data, bytes);
    }
    varve_tar_feed(job->tar, data, bytes, last);
    for (enum varve_tar_event event = VARVE_TAR_ENTRY; job->parsing && event != VARVE_TAR_INPUT;) {
        event = varve_tar_next(job->tar, &item);
        switch (event) {
        case VARVE_TAR_INPUT:
            break;
        case VARVE_TAR_END:
            job->tar_whole = true;
            job->parsing = false;
            break;
        case VARVE_TAR_FAULT:
            job->parsing = false;
            break;
        default:
            /* Also after a fault of the ladder: rung archive wants the trailer. */
            varve_ladder_take(job->ladder, event, &item);
            varve_toc_take(job->toc, event, &item);
        }
        if (watch && watch->event) {
            watch->event(watch->cookie, event, &item);
        }
    }
}

/* Queues the digest of decoded bytes that begin at `offset`. Where the archive may end inside them,
 * its own digest is forked off there: at most one split a portion. A fork waits for what is queued
 * before it and would have it done all alone, so it is put off until after the flush; only a pipe's
 * portion is gone by then. */
static void digest_decoded(struct varve_job *job, const struct varve_portion *portion,
                           uint64_t offset) {
    const uint8_t *data = portion->made;
    size_t bytes = portion->made_bytes;
    bool settled = false;
    uint64_t end = job->parsing || job->tar_whole ? varve_tar_archive_end(job->tar, &settled)
                                                  : VARVE_NO_OFFSET;
    if (!settled && end >= offset && end <= offset + bytes) {
        size_t before = (size_t)(end - offset);
        varve_sha256_update(job->sha256, &job->diffid_stream, data, before);
        data += before;
        bytes -= before;
        job->archive_forked = true;
        if (!job->pipe) {
            job->fork_due = true;
            job->behind_archive = data;
            job->behind_bytes = bytes;
            return;
        }
        varve_sha256_fork(job->sha256, &job->archive_stream, &job->diffid_stream);
    }
    varve_sha256_update(job->sha256, &job->diffid_stream, data, bytes);
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
    if (job->decoded_whole && !job->fork_due) {
        finish_stream(job, &job->diffid_stream, VARVE_RUNG_DIFFID);
    }
    job->phase = CLOSING;
}

/* What a decoder's turn brought. */
static void take_decoded(struct varve_job *job, const struct varve_portion *portion) {
    bool ended = portion->state == VARVE_DECODE_END;
    bool parsed = job->parsing;
    if (parsed && (portion->made_bytes > 0 || ended)) {
        parse(job, portion->made, portion->made_bytes, ended);
    }
    if (portion->made_bytes > 0 || (ended && parsed)) {
        digest_decoded(job, portion, job->layer.bytes_decoded);
        job->layer.bytes_decoded += portion->made_bytes;
    }
    job->decoded_whole |= ended;
    if (portion->state == VARVE_DECODE_WAIT && !job->alone) {
        job->phase = STARVED;
    }
}

/* A portion's way: digests, parser, ladder. */
static void take_portion(struct varve_job *job, const struct varve_portion *portion) {
    if (portion->read_error) {
        give_up(job, VARVE_CODE_IO_READ, portion->read_error);
        return;
    }
    if (portion->stored_bytes > 0) {
        const struct varve_job_watch *watch = job->options.watch;
        if (watch && watch->stored) {
            watch->stored(watch->cookie, portion->stored, portion->stored_bytes);
        }
        varve_sha256_update(job->sha256, &job->blob_stream, portion->stored, portion->stored_bytes);
        job->digested_bytes += portion->stored_bytes;
        if (job->wants_sha512 &&
            EVP_DigestUpdate(job->sha512, portion->stored, portion->stored_bytes) != 1) {
            give_up(job, VARVE_CODE_NO_MEMORY, 0);
            return;
        }
    }
    if (portion->turned) {
        take_decoded(job, portion);
    }
    if (portion->final && job->phase == RUNNING) {
        begin_closing(job);
    }
}

/* The table of contents that a layer may carry, against what the tar holds. */
static void judge_toc(struct varve_job *job) {
    struct varve_decode_info info = varve_decoder_info(job->decoder);
    if (varve_toc_begin_check(job->toc, &info)) {
        varve_ladder_each(job->ladder, varve_toc_check_entry, job->toc);
        varve_toc_end_check(job->toc);
    }
    if (varve_toc_kind(job->toc) != VARVE_TOC_NONE) {
        job->layer.toc = varve_toc_kind_name(varve_toc_kind(job->toc));
    }
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
    layer->has_entries = !varve_ladder_fault(job->ladder).code; /* it has seen all that there are */
    layer->entry_count = varve_ladder_entry_count(job->ladder);
    layer->writer = varve_tar_writer(job->tar, &layer->writer_evidence);
    if (!job->tar_whole) {
        blame(layer, fault);
        return;
    }
    job->finishing = true;
    varve_ladder_begin_finish(job->ladder, job->archive_forked ? &job->archive_stream : NULL);
}

/* After the flush that judge_tar asked for. */
static void finish_ladder(struct varve_job *job) {
    struct varve_layer *layer = &job->layer;
    if (varve_ladder_end_finish(job->ladder, &layer->rungs, &layer->facets) != VARVE_OK) {
        blame(layer, varve_ladder_fault(job->ladder));
    } else {
        judge_toc(job);
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
    size_t count = strnlen(info.encoder_evidence, sizeof layer->encoder_evidence - 1);
    memcpy(layer->encoder_evidence, info.encoder_evidence, count);
    layer->encoder_evidence[count] = 0;
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
        if (EVP_DigestFinal_ex(job->sha512, sha512, NULL) != 1) {
            varve_findings_lose(job->findings);
            return;
        }
        found = sha512;
    }
    bool holds = memcmp(found, job->claimed.bytes, job->claimed.count) == 0;
    layer->checks.name = holds ? VARVE_CHECK_OK : VARVE_CHECK_MISMATCH;
}

/* The fork that was put off; nothing is pending on the stream. */
static void fork_archive(struct varve_job *job) {
    job->fork_due = false;
    varve_sha256_fork(job->sha256, &job->archive_stream, &job->diffid_stream);
    varve_sha256_update(job->sha256, &job->diffid_stream, job->behind_archive, job->behind_bytes);
}

/* The digests of bytes are there, or as far as a fork that is due. What is done here may queue
 * more. */
static void close_job(struct varve_job *job) {
    struct varve_layer *layer = &job->layer;
    if (!varve_reader_unchanged(&job->intake.reader)) {
        give_up(job, VARVE_CODE_IO_CHANGED, 0);
        return;
    }
    varve_findings_merge(job->findings, job->decode_findings);
    layer->complete = true;
    layer->bytes_stored = job->digested_bytes;
    job->phase = JUDGING;
    if (job->fork_due && job->decoded_whole) {
        /* Where decoding failed nobody wants either digest, nor would wait for what they queue. */
        fork_archive(job);
        finish_stream(job, &job->diffid_stream, VARVE_RUNG_DIFFID);
    }
    if (job->decoder) {
        judge_decoding(job);
    }
    judge_name(job);
}

/* Whether some station could not have the memory it wanted, whatever else is wrong with the layer.
 */
static bool wanted_memory(const struct varve_job *job) {
    const char *code = varve_code_at(VARVE_CODE_MEMORY_BUDGET)->code;
    return (job->decoder && varve_decoder_fault(job->decoder).code == code) ||
           (job->tar && varve_tar_fault(job->tar).code == code) ||
           (job->ladder && varve_ladder_fault(job->ladder).code == code);
}

/* All digests are there: puts the result together. */
static void judge_job(struct varve_job *job) {
    struct varve_layer *layer = &job->layer;
    struct varve_fault contradiction;
    if (job->finishing && job->cancelled &&
        atomic_load_explicit(job->cancelled, memory_order_relaxed)) {
        return; /* the ladder may have been left in its middle */
    }
    if (job->finishing) {
        finish_ladder(job);
    }
    if (varve_findings_contradict(job->findings, &contradiction)) {
        blame(layer, contradiction);
    }
    if (!job->alone && wanted_memory(job)) {
        varve_job_starve(job);
        return;
    }
    if (layer->status == VARVE_ERROR || varve_findings_lost(job->findings)) {
        give_up(job, VARVE_CODE_NO_MEMORY, 0);
    } else {
        layer->content_fault = layer->fault;
        weigh_name(layer);
    }
    job->phase = DONE;
}

/* The portion that this step brings: from another thread's pipe, or by a step of this thread's own,
 * for which a decoder's turn may be due first. NULL: none yet. */
static struct varve_portion *begin_step(struct varve_job *job, struct varve_decode_turn *turn,
                                        bool *due, bool wait) {
    *due = false;
    if (job->phase == JUDGING) {
        return NULL;
    }
    if (job->pipe) {
        return varve_pipe_next(job->pipe, wait);
    }
    *due = varve_intake_prepare(&job->intake, &job->portion, turn);
    return &job->portion;
}

/* The decoder's window is known after its first turn, before any other thread decodes. */
static void note_window(struct varve_job *job) {
    uint64_t bytes = job->decoder ? varve_decoder_info(job->decoder).window_bytes : 0;
    job->window_bytes = bytes > job->window_bytes ? bytes : job->window_bytes;
}

/* After the flush nothing refers to the portion any more. */
static void end_step(struct varve_job *job) {
    if (job->pipe) {
        varve_pipe_release(job->pipe);
        if (job->phase != RUNNING) {
            varve_pipe_close(job->pipe, job->options.timings);
            job->pipe = NULL;
        }
    }
    if (!job->pipe) {
        note_window(job);
    }
    if (job->phase == CLOSING) {
        close_job(job);
    } else if (job->phase == STARVED) {
        varve_job_starve(job);
    } else if (job->phase == RUNNING && job->fork_due) {
        /* What is behind is padding as a rule, and its room is about to be filled again. */
        fork_archive(job);
        varve_sha256_settle(job->sha256, &job->diffid_stream);
    }
    /* A layer without a ladder to finish has nothing to wait for. */
    if (job->phase == JUDGING && !job->finishing) {
        judge_job(job);
    }
}

static void advance_batch(struct varve_job *const *jobs, size_t count, bool wait) {
    struct varve_decoder *decoders[BATCH] = {NULL};
    struct varve_decode_turn turns[BATCH];
    struct varve_portion *portions[BATCH];
    size_t turn_of[BATCH];
    size_t turn_count = 0;
    struct varve_sha256 *sha256 = jobs[0]->sha256;
    double at[5] = {varve_cpu_seconds()};
    double hashed[3] = {varve_sha256_seconds(sha256)};
    for (size_t i = 0; i < count; i++) {
        bool due = false;
        assert(jobs[i]->sha256 == sha256);
        portions[i] = begin_step(jobs[i], &turns[turn_count], &due, wait);
        turn_of[i] = due ? turn_count : SIZE_MAX;
        if (due) {
            decoders[turn_count++] = jobs[i]->decoder;
        }
    }
    at[1] = varve_cpu_seconds();
    if (turn_count > 0) {
        varve_decode(decoders, turns, turn_count);
    }
    at[2] = varve_cpu_seconds();
    for (size_t i = 0; i < count; i++) {
        if (turn_of[i] != SIZE_MAX) {
            varve_intake_complete(&jobs[i]->intake, portions[i], &turns[turn_of[i]]);
        }
        if (portions[i]) {
            take_portion(jobs[i], portions[i]);
        }
    }
    varve_sha256_flush(sha256);
    at[3] = varve_cpu_seconds();
    hashed[1] = varve_sha256_seconds(sha256);
    for (size_t i = 0; i < count; i++) {
        if (portions[i]) {
            end_step(jobs[i]);
        } else if (jobs[i]->phase == JUDGING) {
            judge_job(jobs[i]);
        }
    }
    at[4] = varve_cpu_seconds();
    hashed[2] = varve_sha256_seconds(sha256);
    struct varve_timings *timings = jobs[0]->options.timings;
    if (timings) {
        timings->read += at[1] - at[0];
        timings->decode += at[2] - at[1];
        timings->lanes += at[3] - at[2] - (hashed[1] - hashed[0]);
        timings->normalise += at[4] - at[3] - (hashed[2] - hashed[1]);
    }
}

void varve_jobs_advance(struct varve_job *const *jobs, size_t count) {
    struct varve_job *running[BATCH];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->phase == RUNNING || jobs[i]->phase == JUDGING) {
            running[n++] = jobs[i];
        }
        if (n == BATCH || (n > 0 && i + 1 == count)) {
            advance_batch(running, n, count == 1);
            n = 0;
        }
    }
}

uint64_t varve_job_window_bytes(const struct varve_job *job) {
    return job->window_bytes;
}

void varve_job_trim(struct varve_job *job) {
    assert(job->phase == DONE);
    if (job->window_bytes > 0) {
        struct varve_decoder *old = job->decoder;
        if (open_decoder(job) != VARVE_OK) {
            job->decoder = job->intake.decoder = old;
            return;
        }
        varve_decoder_close(old);
    }
}

struct varve_pipe *varve_job_lend_intake(struct varve_job *job) {
    bool lends = job->phase == RUNNING && !job->pipe;
    if (lends) {
        job->pipe = varve_pipe_open(&job->intake);
    }
    return lends ? job->pipe : NULL;
}

uint64_t varve_job_bytes_left(const struct varve_job *job) {
    uint64_t size = varve_reader_bytes(&job->intake.reader);
    bool known = job->phase == RUNNING && !job->pipe;
    return known && size > job->digested_bytes ? size - job->digested_bytes : 0;
}

bool varve_job_done(const struct varve_job *job) {
    return job->phase == DONE;
}

uint64_t varve_job_bytes(const struct varve_job *job) {
    return job->digested_bytes;
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
    if (size != VARVE_NO_SIZE) {
        merge_check(&layer->checks.size, layer->bytes_stored == size);
        if (layer->bytes_stored != size) {
            blame(layer, varve_fault_of(VARVE_CODE_CLAIM_SIZE, layer->bytes_stored));
        }
    }
    struct varve_media_type type = varve_media_type_of(media_type);
    if (type.known && layer->has_format && layer->format != VARVE_FORMAT_EMPTY) {
        merge_check(&layer->checks.media_type, layer->compression == type.compression);
    }
    /* What is within bzip2 or xz, nobody has looked at. */
    bool read =
        layer->compression != VARVE_COMPRESSION_BZIP2 && layer->compression != VARVE_COMPRESSION_XZ;
    if (type.tar && read && layer->has_format && layer->format == VARVE_FORMAT_OTHER) {
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

struct varve_ladder *varve_job_ladder(const struct varve_job *job) {
    return job->ladder;
}

const struct varve_tar *varve_job_tar(const struct varve_job *job) {
    return job->tar;
}

const struct varve_decoder *varve_job_decoder(const struct varve_job *job) {
    return job->decoder;
}

const struct varve_layer *varve_job_layer(const struct varve_job *job) {
    return &job->layer;
}

void varve_job_each_entry(const struct varve_job *job,
                          void (*each)(void *cookie, const struct varve_ladder_entry *entry),
                          void *cookie) {
    if (job->ladder && job->layer.complete && job->layer.has_entries && !job->released) {
        varve_ladder_each(job->ladder, each, cookie);
    }
}
