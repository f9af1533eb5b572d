/* SPDX-License-Identifier: Apache-2.0 */
/* src/sha256.c - SHA-256 streams, their queue, and the API over the engines. */
#include "varve/sha256.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "sha256_internal.h"

/* An engine that always waited for flush would find the first pieces gone from the cache; one that
 * ran at every chance could not put the longest first. It runs when what was given would fill half
 * of the smallest second-level cache that comes with AVX-512 (1 MiB), or when this many streams
 * wait: enough for sixteen lanes to find others of their length. */
#define RUN_AT_BYTES ((uint64_t)512 << 10)
#define RUN_AT_STREAMS 256

#define PREFETCH_BYTES 256

static const uint32_t initial_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* ---- Streams ---- */

/* The padding of FIPS 180-4, 5.1.1 behind the bytes in the tail, all behind them being zero. */
static void put_padding(struct varve_sha256_stream *stream) {
    bool one_block = stream->tail_bytes < VARVE_SHA256_BLOCK_BYTES - 8;
    stream->pad_blocks = one_block ? 1 : 2;
    stream->tail[stream->tail_bytes] = 0x80;
    uint64_t bits = __builtin_bswap64(stream->total_bytes * 8);
    memcpy(stream->tail + (size_t)stream->pad_blocks * VARVE_SHA256_BLOCK_BYTES - 8, &bits, 8);
    stream->phase = STREAM_PADDED;
}

static void pad(struct varve_sha256_stream *stream) {
    memset(stream->tail + stream->tail_bytes, 0, sizeof stream->tail - stream->tail_bytes);
    put_padding(stream);
}

/* The last piece of a stream that has no block begun: its end goes into the tail and is padded now,
 * long before the kernel reads it. Stores that were still on their way then would hold it up.
 * (Copying messages of up to 119 bytes here whole, to save their first run, was a loss of a
 * quarter: their first block then waits for the stores.) */
static void pad_early(struct varve_sha256_stream *stream) {
    size_t rest = stream->bytes % VARVE_SHA256_BLOCK_BYTES;
    stream->bytes -= rest;
    stream->tail_bytes = (uint8_t)rest;
    memset(stream->tail, 0, VARVE_SHA256_BLOCK_BYTES);
    if (rest > 0) {
        memset(stream->tail + VARVE_SHA256_BLOCK_BYTES, 0, VARVE_SHA256_BLOCK_BYTES);
        memcpy(stream->tail, stream->data + stream->bytes, rest);
    }
    put_padding(stream);
}

/* Moves bytes of the piece into the tail until it is a block. False where the piece ends first. */
static bool fill_tail(struct varve_sha256_stream *stream) {
    size_t room = VARVE_SHA256_BLOCK_BYTES - (size_t)stream->tail_bytes;
    size_t taken = stream->bytes < room ? stream->bytes : room;
    if (taken > 0) {
        memcpy(stream->tail + stream->tail_bytes, stream->data, taken);
        stream->data += taken;
        stream->bytes -= taken;
    }
    stream->tail_bytes = (uint8_t)((stream->tail_bytes + taken) % VARVE_SHA256_BLOCK_BYTES);
    return taken == room;
}

bool varve_sha256_next_run_of_piece(struct varve_sha256_stream *stream) {
    bool tail_begun = stream->phase != STREAM_PADDED && stream->tail_bytes > 0;
    if (!tail_begun && stream->bytes >= VARVE_SHA256_BLOCK_BYTES) {
        size_t blocks = stream->bytes / VARVE_SHA256_BLOCK_BYTES;
        stream->run = stream->data;
        stream->run_blocks = blocks < RUN_MAX_BLOCKS ? blocks : RUN_MAX_BLOCKS;
        stream->data += stream->run_blocks * VARVE_SHA256_BLOCK_BYTES;
        stream->bytes -= stream->run_blocks * VARVE_SHA256_BLOCK_BYTES;
        return true;
    }
    stream->run = stream->tail;
    stream->run_blocks = 0;
    if (fill_tail(stream)) {
        stream->run_blocks = 1;
    } else if (stream->phase == STREAM_ENDING) {
        pad(stream);
        stream->run_blocks = stream->pad_blocks;
        stream->pad_blocks = 0;
    }
    return stream->run_blocks > 0;
}

/* ---- The queue ---- */

static unsigned list_of(const struct varve_sha256_stream *stream) {
    size_t blocks = stream->run_blocks + stream->bytes / VARVE_SHA256_BLOCK_BYTES +
                    (stream->phase == STREAM_PADDED ? stream->pad_blocks : 1);
    if (blocks <= QUEUE_EXACT) {
        return blocks > 0 ? (unsigned)blocks - 1 : 0;
    }
    unsigned log = 63 - (unsigned)__builtin_clzll(blocks);
    unsigned list = QUEUE_EXACT + 2 * (log - 5) + (unsigned)(blocks >> (log - 1) & 1);
    return list < QUEUE_LONGEST ? list : QUEUE_LONGEST;
}

static void push_into(struct varve_sha256 *ctx, struct varve_sha256_stream *stream, unsigned list) {
    struct varve_sha256_stream *next = ctx->queue[list];
    stream->place = (uint8_t)list;
    stream->prior = NULL;
    stream->next = next;
    if (next) {
        next->prior = stream;
    }
    ctx->queue[list] = stream;
    ctx->nonempty |= UINT64_C(1) << list;
    ctx->queued++;
}

void varve_sha256_push(struct varve_sha256 *ctx, struct varve_sha256_stream *stream) {
    push_into(ctx, stream, list_of(stream));
}

/* Puts the lone stream, if there is one, into its list. */
static void push_lone(struct varve_sha256 *ctx) {
    struct varve_sha256_stream *lone = ctx->lone;
    if (lone) {
        varve_sha256_take_out(ctx, lone);
        varve_sha256_push(ctx, lone);
    }
}

/* ---- The API ---- */

/* NULL: there is none of that name that these CPU bits can run. */
static const struct varve_sha256_row *row_of(const char *name, uint32_t cpu_bits) {
    for (size_t i = 0; i < varve_sha256_row_count; i++) {
        const struct varve_sha256_row *row = &varve_sha256_rows[i];
        if (strcmp(row->name, name) == 0 && (row->needs & cpu_bits) == row->needs) {
            return row;
        }
    }
    return NULL;
}

enum varve_status varve_sha256_open(struct varve_sha256 **ctx,
                                    const struct varve_sha256_options *options) {
    struct varve_sha256_options wanted = options ? *options : (struct varve_sha256_options){0};
    *ctx = NULL;
    if (!varve_tier_may_run(wanted.tier) || !varve_sha256_engine_built(wanted.engine)) {
        return VARVE_UNSUPPORTED;
    }
    uint32_t bits = varve_cpu_bits_of(wanted.tier);
    const struct varve_sha256_row *only = wanted.kernel ? row_of(wanted.kernel, bits) : NULL;
    if (wanted.kernel && !only) {
        return VARVE_UNSUPPORTED;
    }
    struct varve_sha256 *opened = aligned_alloc(_Alignof(struct varve_sha256), sizeof *opened);
    if (!opened) {
        return VARVE_ERROR;
    }
    memset(opened, 0, sizeof *opened);
    opened->engine = wanted.engine;
    opened->timed = wanted.timed;
    opened->wide = (varve_cpu_bits() & VARVE_CPU_AVX2) != 0;
    varve_sha256_lanes_open(opened, bits, varve_sha256_costs());
    if (only) {
        varve_sha256_lanes_only(opened, only, varve_sha256_costs());
    }
    if (wanted.engine == VARVE_SHA256_ISAL_CRYPTO && !varve_sha256_isal_open(opened)) {
        free(opened);
        opened = NULL;
    }
    *ctx = opened;
    return opened ? VARVE_OK : VARVE_ERROR;
}

void varve_sha256_close(struct varve_sha256 *ctx) {
    if (ctx) {
        varve_sha256_isal_close(ctx->isal);
        free(ctx);
    }
}

bool varve_sha256_engine_built(enum varve_sha256_engine engine) {
    return engine == VARVE_SHA256_OWN || varve_sha256_isal_built();
}

const char *varve_sha256_engine_name(enum varve_sha256_engine engine) {
    return engine == VARVE_SHA256_OWN ? "varve" : "isal-crypto";
}

/* SHA-NI code crawls where a library's assembly left upper halves dirty, in a caller's decoder or,
 * behind the second engine, in our own. */
static void clean_registers(const struct varve_sha256 *ctx) {
#if defined(__x86_64__)
    if (ctx->wide) {
        varve_upper_halves_clean();
    }
#else
    (void)ctx;
#endif
}

static void run(struct varve_sha256 *ctx, const struct varve_sha256_stream *until, size_t alive) {
    assert(!ctx->running); /* done() must not settle */
    double begun = ctx->timed ? varve_cpu_seconds() : 0;
    clean_registers(ctx);
    ctx->running = true;
    ctx->given_bytes = 0;
    if (ctx->engine == VARVE_SHA256_OWN) {
        varve_sha256_lanes_run(ctx, until, alive);
    } else {
        push_lone(ctx);
        varve_sha256_isal_run(ctx);
        clean_registers(ctx);
    }
    ctx->running = false;
    if (ctx->timed) {
        ctx->seconds += varve_cpu_seconds() - begun;
    }
}

/* Asks for the first blocks of a piece, as sixteen lanes would wait for them together; further on
 * the kernels and the CPU itself look ahead. */
static void prefetch_start(const struct varve_sha256_stream *stream) {
    size_t bytes = stream->bytes < PREFETCH_BYTES ? stream->bytes : PREFETCH_BYTES;
    for (size_t at = 0; at < bytes; at += VARVE_SHA256_BLOCK_BYTES) {
        __builtin_prefetch(stream->data + at, 0, 2);
    }
}

static void enqueue(struct varve_sha256 *ctx, struct varve_sha256_stream *stream) {
    prefetch_start(stream);
    if (ctx->queued == 0 && !ctx->running) {
        stream->place = QUEUE_LONE;
        ctx->lone = stream;
        ctx->queued = 1;
    } else {
        push_lone(ctx);
        varve_sha256_push(ctx, stream);
    }
    ctx->given_bytes += stream->bytes;
    if ((ctx->given_bytes >= RUN_AT_BYTES || ctx->queued >= RUN_AT_STREAMS) &&
        ctx->queued >= ctx->full && !ctx->running) {
        run(ctx, NULL, ctx->full);
    }
}

/* An exported function is not inlined into its neighbours; this is. */
static void begin(struct varve_sha256_stream *stream, const uint8_t *data, size_t bytes) {
    memcpy(stream->state, initial_state, sizeof stream->state);
    stream->total_bytes = bytes;
    stream->run_blocks = 0;
    stream->data = data;
    stream->bytes = bytes;
    stream->tail_bytes = 0;
    stream->phase = STREAM_OPEN;
}

void varve_sha256_init(struct varve_sha256_stream *stream) {
    begin(stream, NULL, 0);
}

void varve_sha256_update(struct varve_sha256 *ctx, struct varve_sha256_stream *stream,
                         const void *data, size_t bytes) {
    assert(stream->phase <= STREAM_QUEUED);
    if (bytes == 0) {
        return;
    }
    varve_sha256_settle(ctx, stream);
    stream->total_bytes += bytes;
    stream->data = data;
    stream->bytes = bytes;
    if (stream->tail_bytes + bytes < VARVE_SHA256_BLOCK_BYTES) {
        fill_tail(stream);
    } else {
        stream->phase = STREAM_QUEUED;
        enqueue(ctx, stream);
    }
}

void varve_sha256_final(struct varve_sha256 *ctx, struct varve_sha256_stream *stream,
                        varve_sha256_done_fn *done, void *cookie) {
    assert(stream->phase <= STREAM_QUEUED);
    stream->done = done;
    stream->cookie = cookie;
    if (stream->phase == STREAM_QUEUED) {
        stream->phase = STREAM_ENDING;
        return;
    }
    pad(stream);
    enqueue(ctx, stream);
}

void varve_sha256_message(struct varve_sha256 *ctx, struct varve_sha256_stream *stream,
                          const void *data, size_t bytes, varve_sha256_done_fn *done,
                          void *cookie) {
    begin(stream, data, bytes);
    stream->done = done;
    stream->cookie = cookie;
    pad_early(stream);
    enqueue(ctx, stream);
}

void varve_sha256_fork(struct varve_sha256 *ctx, struct varve_sha256_stream *to,
                       struct varve_sha256_stream *from) {
    assert(from->phase <= STREAM_QUEUED);
    varve_sha256_settle(ctx, from);
    *to = *from;
}

void varve_sha256_settle(struct varve_sha256 *ctx, struct varve_sha256_stream *stream) {
    if (varve_sha256_busy(stream)) {
        assert(!ctx->running);
        if (stream != ctx->lone) {
            varve_sha256_take_out(ctx, stream);
            push_into(ctx, stream, QUEUE_URGENT);
        }
        run(ctx, stream, 1);
    }
}

void varve_sha256_flush(struct varve_sha256 *ctx) {
    run(ctx, NULL, 1);
}

bool varve_sha256_busy(const struct varve_sha256_stream *stream) {
    return stream->phase != STREAM_OPEN && stream->phase != STREAM_ENDED;
}

void varve_sha256_once(struct varve_sha256 *ctx, uint8_t digest[VARVE_SHA256_BYTES],
                       const void *data, size_t bytes) {
    struct varve_sha256_stream stream;
    clean_registers(ctx);
    begin(&stream, data, bytes);
    pad_early(&stream);
    varve_sha256_store(digest, varve_sha256_alone(ctx, &stream), 1);
}

bool varve_sha256_use_at(const struct varve_sha256 *ctx, struct varve_sha256_use *use,
                         size_t index) {
    if (index >= varve_sha256_row_count) {
        return false;
    }
    *use = (struct varve_sha256_use){varve_sha256_rows[index].name, ctx->blocks[index],
                                     ctx->empty_lane_blocks[index]};
    return true;
}

double varve_sha256_seconds(const struct varve_sha256 *ctx) {
    return ctx->seconds;
}
