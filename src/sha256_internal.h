/* SPDX-License-Identifier: Apache-2.0 */
/* src/sha256_internal.h - what the files of the SHA-256 station share: streams as sequences of runs
 * of whole blocks, the queue of pending streams, and the two engines that empty it.
 *
 * A pending stream is a sequence of runs: the block its earlier tail begins, the whole blocks of
 * the piece where the caller has them, and at the end the padding. An engine takes a stream from
 * the queue, compresses its run, asks for the next one, and ends it when there is none.
 */
#ifndef VARVE_SHA256_INTERNAL_H
#define VARVE_SHA256_INTERNAL_H

#include <string.h>

#include "kernels.h"
#include "varve/sha256.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the lengths and digests here are swapped as little-endian machines need it"
#endif

/* What a stream is at. */
enum {
    STREAM_OPEN,   /* takes data; nothing pending */
    STREAM_QUEUED, /* a piece is pending */
    STREAM_ENDING, /* finalised: a piece is pending, then the padding, not yet made */
    STREAM_PADDED, /* finalised: whole blocks are pending, then the padding in the tail */
    STREAM_ENDED   /* its digest has been told */
};

/* Pending streams by the work they have left: lists of exactly 1..32 blocks, then two for every
 * doubling, and one that goes before all. Taking the longest first leaves the short ones to fill
 * the lanes at the end; lists of one length make lanes end together, in one call of a kernel. */
enum {
    QUEUE_EXACT = 32,
    QUEUE_LISTS = 64,
    QUEUE_URGENT = QUEUE_LISTS - 1,
    QUEUE_LONGEST = QUEUE_LISTS - 2,
    QUEUE_LONE = QUEUE_LISTS /* in no list: putting one there and taking it out costs 12 ns */
};

/* A run is at most this long, so that lanes count in 32 bits. */
#define RUN_MAX_BLOCKS ((size_t)1 << 24)

#define SHA256_MAX_ROWS 16

struct varve_sha256 {
    /* The lanes of `row`; between calls all streams are in the queue. */
    _Alignas(64) uint32_t state[8 * VARVE_SHA256_MAX_LANES]; /* as the row's kernel wants it */
    const uint8_t *data[VARVE_SHA256_MAX_LANES];
    struct varve_sha256_stream *stream[VARVE_SHA256_MAX_LANES]; /* NULL: idle */
    int32_t left[VARVE_SHA256_MAX_LANES];                       /* blocks of the run */
    const struct varve_sha256_row *row;
    uint32_t used; /* lanes not idle */
    int32_t turn;  /* blocks until those in the lanes must let others in */
    bool running;

    /* The row for each number of streams alive; [0] is unused, [1] has one lane, the last is for
     * all above. */
    const struct varve_sha256_row *choice[VARVE_SHA256_MAX_LANES + 1];
    size_t alone;           /* index of choice[1] */
    uint32_t full;          /* streams alive from which on more would not be faster */
    size_t shortest_paired; /* blocks from which on two lanes are better than one after the other */

    struct varve_sha256_stream *lone; /* the one that is pending, while it is the only one */
    struct varve_sha256_stream *queue[QUEUE_LISTS];
    uint64_t nonempty;    /* bit per list */
    size_t queued;        /* streams in all lists, or 1 for the lone one */
    uint64_t given_bytes; /* by the caller since the engine last ran */

    enum varve_sha256_engine engine;
    struct isal_engine *isal;
    uint64_t blocks[SHA256_MAX_ROWS], empty_lane_blocks[SHA256_MAX_ROWS];
    bool timed;
    bool wide; /* the CPU has upper halves of vector registers, which callers may leave dirty */
    double seconds; /* of this thread's CPU time, in the engine */
};

/* Moves the stream on to its next run, which run_blocks then counts; false when nothing is pending
 * any more. The run before it must have been compressed. */
bool varve_sha256_next_run_of_piece(struct varve_sha256_stream *stream);

static inline bool varve_sha256_next_run(struct varve_sha256_stream *stream) {
    if (stream->phase != STREAM_PADDED || stream->bytes > RUN_MAX_BLOCKS * 64) {
        return varve_sha256_next_run_of_piece(stream);
    }
    if (stream->bytes > 0) {
        stream->run = stream->data;
        stream->run_blocks = stream->bytes / VARVE_SHA256_BLOCK_BYTES;
        stream->bytes = 0;
    } else {
        stream->run = stream->tail;
        stream->run_blocks = stream->pad_blocks;
        stream->pad_blocks = 0;
    }
    return stream->run_blocks > 0;
}

/* The digest of a state whose words stand `stride` apart. Four words at a time, as who copies the
 * digest reads more than a word at once and would have to wait for stores of single words. */
static inline void varve_sha256_store(uint8_t digest[VARVE_SHA256_BYTES], const uint32_t *state,
                                      size_t stride) {
    typedef uint32_t words __attribute__((vector_size(16)));
    for (size_t w = 0; w < 8; w += 4) {
        words four = {state[w * stride], state[(w + 1) * stride], state[(w + 2) * stride],
                      state[(w + 3) * stride]};
        four = four << 24 | (four & 0xff00) << 8 | (four >> 8 & 0xff00) | four >> 24;
        memcpy(digest + 4 * w, &four, sizeof four);
    }
}

/* The stream, in no list, has nothing pending any more: frees it, tells its digest if it is final.
 * Its state is given as in a lane. */
static inline void varve_sha256_ended(struct varve_sha256_stream *stream, const uint32_t *state,
                                      size_t stride) {
    if (stream->phase == STREAM_PADDED) {
        uint8_t digest[VARVE_SHA256_BYTES];
        varve_sha256_store(digest, state, stride);
        stream->phase = STREAM_ENDED;
        stream->done(stream->cookie, digest);
        return;
    }
    stream->phase = STREAM_OPEN;
    for (size_t w = 0; w < 8 && state != stream->state; w++) {
        stream->state[w] = state[w * stride];
    }
}

/* The queue. push: into the list of its length; pop: from the urgent or longest list (not when
 * empty). Engines find all streams in lists, but for varve's own when there is but one. */
void varve_sha256_push(struct varve_sha256 *ctx, struct varve_sha256_stream *stream);

static inline void varve_sha256_take_out(struct varve_sha256 *ctx,
                                         struct varve_sha256_stream *stream) {
    ctx->queued--;
    if (stream->place == QUEUE_LONE) {
        ctx->lone = NULL;
        return;
    }
    if (stream->next) {
        stream->next->prior = stream->prior;
    }
    if (stream->prior) {
        stream->prior->next = stream->next;
    } else {
        ctx->queue[stream->place] = stream->next;
        if (!stream->next) {
            ctx->nonempty &= ~(UINT64_C(1) << stream->place);
        }
    }
}

static inline unsigned varve_sha256_top_list(const struct varve_sha256 *ctx) {
    return 63 - (unsigned)__builtin_clzll(ctx->nonempty);
}

static inline struct varve_sha256_stream *varve_sha256_pop(struct varve_sha256 *ctx) {
    struct varve_sha256_stream *stream = ctx->queue[varve_sha256_top_list(ctx)];
    varve_sha256_take_out(ctx, stream);
    return stream;
}

/* What one block of all lanes costs by each row of the registry, in picoseconds on this CPU; 0
 * where it cannot run. Measured once per process, by the first call. */
struct varve_sha256_costs {
    uint32_t block[SHA256_MAX_ROWS];
};
const struct varve_sha256_costs *varve_sha256_costs(void);

/* varve's engine. open: chooses rows by their costs, of those the CPU bits allow. run: while at
 * least `alive` (> 0) streams are pending and, if given, `until` is busy. */
void varve_sha256_lanes_open(struct varve_sha256 *ctx, uint32_t cpu_bits,
                             const struct varve_sha256_costs *costs);

/* Has this row do all from now on; one of several lanes all but a lone stream. */
void varve_sha256_lanes_only(struct varve_sha256 *ctx, const struct varve_sha256_row *row,
                             const struct varve_sha256_costs *costs);
void varve_sha256_lanes_run(struct varve_sha256 *ctx, const struct varve_sha256_stream *until,
                            size_t alive);

/* Compresses all runs of a stream that is in no list, by the best single-lane row. Returns its
 * state. */
const uint32_t *varve_sha256_alone(struct varve_sha256 *ctx, struct varve_sha256_stream *stream);

/* isa-l_crypto's. open: false where memory is short; close accepts NULL; run: all that is pending.
 */
bool varve_sha256_isal_built(void);
bool varve_sha256_isal_open(struct varve_sha256 *ctx);
void varve_sha256_isal_close(struct isal_engine *isal);
void varve_sha256_isal_run(struct varve_sha256 *ctx);

#endif
