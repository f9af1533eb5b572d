/* SPDX-License-Identifier: Apache-2.0 */
/* tests/src/decode_run.h - runs a blob through a decoder, cut in any way, and keeps what came out.
 */
#ifndef VARVE_TESTS_DECODE_RUN_H
#define VARVE_TESTS_DECODE_RUN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "varve/decode.h"

struct decode_run {
    enum varve_decode_state state;
    struct varve_fault fault;
    struct varve_decode_info info;
    char evidence[VARVE_ENCODER_EVIDENCE_BYTES];
    uint8_t *made;
    size_t made_bytes;
    char findings[2048]; /* "code xcount @offset;" ... */
};

static inline void decode_run_append(struct decode_run *run, const uint8_t *bytes, size_t count) {
    if (count) {
        run->made = realloc(run->made, run->made_bytes + count);
        if (!run->made) {
            abort();
        }
        memcpy(run->made + run->made_bytes, bytes, count);
        run->made_bytes += count;
    }
}

static inline void decode_run_findings(struct decode_run *run,
                                       const struct varve_findings *findings) {
    size_t at = 0;
    run->findings[0] = 0;
    for (size_t i = 0; i < varve_findings_count(findings); i++) {
        struct varve_finding f = varve_findings_at(findings, i);
        at += (size_t)snprintf(run->findings + at, sizeof run->findings - at, "%s x%llu @%lld;",
                               f.info->code, (unsigned long long)f.count, (long long)f.offset);
    }
}

/* Input is given `in_step` bytes at a time in memory of exactly that size, output has `out_step`
 * bytes of room; 0: all at once, and 128 KiB. The blob's end is told with the last piece. */
static inline struct decode_run decode_run(struct varve_decoder *decoder, const uint8_t *blob,
                                           size_t blob_bytes, size_t in_step, size_t out_step) {
    struct decode_run run = {.state = VARVE_DECODE_INPUT};
    struct varve_findings *findings;
    if (varve_findings_open(&findings) != VARVE_OK) {
        abort();
    }
    in_step = in_step ? in_step : blob_bytes;
    out_step = out_step ? out_step : (size_t)1 << 17;
    uint8_t *out = malloc(out_step);
    uint8_t *piece = malloc(in_step ? in_step : 1);
    if (!out || !piece) {
        abort();
    }
    varve_decoder_reset(decoder, findings);
    for (size_t at = 0; run.state < VARVE_DECODE_WAIT;) {
        size_t n = blob_bytes - at < in_step ? blob_bytes - at : in_step;
        memcpy(piece, blob + at, n);
        struct varve_decode_turn turn = {.in = piece,
                                         .in_bytes = n,
                                         .in_last = at + n == blob_bytes,
                                         .out = out,
                                         .out_bytes = out_step};
        varve_decode(&decoder, &turn, 1);
        if (turn.used_bytes > n || (turn.state == VARVE_DECODE_INPUT && turn.used_bytes != n)) {
            abort();
        }
        decode_run_append(&run, turn.made, turn.made_bytes);
        at += turn.used_bytes;
        run.state = turn.state;
    }
    run.fault = varve_decoder_fault(decoder);
    run.info = varve_decoder_info(decoder);
    snprintf(run.evidence, sizeof run.evidence, "%s", run.info.encoder_evidence);
    decode_run_findings(&run, findings);
    varve_findings_close(findings);
    free(out);
    free(piece);
    return run;
}

static inline void decode_run_free(struct decode_run *run) {
    free(run->made);
    run->made = NULL;
}

/* NULL where two runs say the same in every respect, else what differs. */
static inline const char *decode_run_differ(const struct decode_run *a,
                                            const struct decode_run *b) {
    if (a->state != b->state) {
        return "state";
    }
    if (a->fault.code != b->fault.code) {
        return "fault code";
    }
    if (a->fault.offset_stored != b->fault.offset_stored) {
        return "stored offset of the fault";
    }
    if (a->fault.offset_decoded != b->fault.offset_decoded) {
        return "decoded offset of the fault";
    }
    if (a->made_bytes != b->made_bytes) {
        return "bytes made";
    }
    if (a->made_bytes && memcmp(a->made, b->made, a->made_bytes) != 0) {
        return "content";
    }
    if (strcmp(a->findings, b->findings) != 0) {
        return "findings";
    }
    if (a->info.compression != b->info.compression ||
        a->info.member_count != b->info.member_count ||
        a->info.skippable_count != b->info.skippable_count ||
        a->info.window_bytes != b->info.window_bytes ||
        a->info.trailing_offset != b->info.trailing_offset ||
        a->info.decoded_bytes != b->info.decoded_bytes) {
        return "info";
    }
    if (strcmp(a->info.encoder, b->info.encoder) != 0) {
        return "encoder";
    }
    if (strcmp(a->evidence, b->evidence) != 0) {
        return "encoder's evidence";
    }
    return NULL;
}

/* A whole file, or NULL. */
static inline uint8_t *decode_run_load(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*bytes + 1);
    if (!data || fread(data, 1, *bytes, file) != *bytes) {
        abort();
    }
    fclose(file);
    return data;
}

#endif
