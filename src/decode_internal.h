/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode_internal.h - what the engines of the decoder share.
 *
 * An engine (gzip, zstd) is a state machine that is fed through a cursor: it takes stored bytes
 * from one side, writes decoded bytes to the other, and can stop anywhere. Whatever it does is a
 * function of the stored bytes alone, never of how they are cut.
 */
#ifndef VARVE_DECODE_INTERNAL_H
#define VARVE_DECODE_INTERNAL_H

#include "codes.h"
#include "encoder.h"
#include "varve/decode.h"

/* One turn's buffers, moved forward by whoever uses them. */
struct varve_cursor {
    const uint8_t *in;
    size_t in_bytes;
    bool last; /* the blob ends with `in` */
    uint8_t *out;
    size_t out_bytes;
};

enum varve_step {
    VARVE_STEP_INPUT,  /* `in` is used up, nothing is pending */
    VARVE_STEP_OUTPUT, /* `out` is full */
    VARVE_STEP_WAIT,   /* the memory budget has no room now */
    VARVE_STEP_END,    /* the blob is over and sound */
    VARVE_STEP_FAULT,  /* decoder->fault says why */
    VARVE_STEP_LANE    /* gzip: a kernel must run first (varve_gzip_lane), then step again */
};

/* Enough of a gzip header to know one by. */
#define VARVE_TRAILING_WINDOW 10

/* What follows the last member: zeros, or anything else, and perhaps a member beyond that. */
struct varve_trailing {
    uint64_t bytes;
    uint64_t hidden_offset; /* stored offset of the first member header in it, or NO_OFFSET */
    bool garbage;
    uint8_t
        window[VARVE_TRAILING_WINDOW]; /* the last bytes, to find a header that is cut by a chunk */
    size_t window_bytes;
};

struct varve_gzip;
struct varve_zstd;
struct varve_inflate_row;
struct varve_inflate_stream;

struct varve_decoder {
    struct varve_budget *budget;
    uint64_t max_decoded;
    struct varve_findings *findings;
    struct varve_toc *toc;                       /* who watches, or NULL */
    const struct varve_inflate_row *inflate_row; /* NULL: igzip */
    struct varve_gzip *gzip;                     /* made when first needed, kept */
    struct varve_zstd *zstd;

    bool known; /* `info.compression` stands */
    uint8_t sniff[16];
    size_t sniff_bytes; /* held back until it is known */
    size_t sniff_given;
    enum varve_step ended; /* END or FAULT once reached, else INPUT */
    struct varve_fault fault;
    struct varve_decode_info info;
    struct varve_trailing trailing;
    struct varve_encoder encoder;
};

/* Sets the fault with both offsets; the decoded one is where decoding stood. */
enum varve_step varve_decode_fail(struct varve_decoder *decoder, enum varve_code code,
                                  uint64_t offset_stored);

/* Takes all input as trailing bytes; at the end of the blob reports what they were. */
enum varve_step varve_decode_trailing(struct varve_decoder *decoder, struct varve_cursor *cursor);

/* Moves the cursor over `bytes` of input. The engines count `info.stored_bytes` by it. */
static inline void varve_cursor_use(struct varve_decoder *decoder, struct varve_cursor *cursor,
                                    size_t bytes) {
    cursor->in += bytes;
    cursor->in_bytes -= bytes;
    decoder->info.stored_bytes += bytes;
}

static inline void varve_cursor_made(struct varve_decoder *decoder, struct varve_cursor *cursor,
                                     size_t bytes) {
    cursor->out += bytes;
    cursor->out_bytes -= bytes;
    decoder->info.decoded_bytes += bytes;
}

/* The engines. *_begin: the next byte given is the first of the blob; false where memory is
 * refused. *_step: as far as the cursor allows. */
bool varve_gzip_begin(struct varve_decoder *decoder);
enum varve_step varve_gzip_step(struct varve_decoder *decoder, struct varve_cursor *cursor);
void varve_gzip_close(struct varve_gzip *gzip);

/* A turn begins: where its bytes will lie, if not where the caller wants them. */
void varve_gzip_turn(struct varve_gzip *gzip, struct varve_cursor *cursor);

/* After VARVE_STEP_LANE: what the decoder's inflate kernel has to run. */
struct varve_inflate_stream *varve_gzip_lane(const struct varve_gzip *gzip);

bool varve_zstd_begin(struct varve_decoder *decoder);
enum varve_step varve_zstd_step(struct varve_decoder *decoder, struct varve_cursor *cursor);
void varve_zstd_close(struct varve_decoder *decoder);

#endif
