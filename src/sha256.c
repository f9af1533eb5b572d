/* SPDX-License-Identifier: Apache-2.0 */
/* src/sha256.c - SHA-256 streams, and the scheduler that feeds them to the kernels. */
#include "varve/sha256.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* What a stream is at. */
enum {
    STREAM_OPEN,   /* takes data; nothing pending */
    STREAM_QUEUED, /* a piece is pending */
    STREAM_ENDING, /* finalised: a piece or the padding is pending */
    STREAM_PADDED, /* finalised: the padding stands in the tail */
    STREAM_ENDED   /* its digest has been told */
};

#define MAX_ROWS 16

struct varve_sha256 {
    const struct varve_sha256_row *alone; /* the best row of one lane */
    struct varve_sha256_stream *first, *last;
    bool running;
    uint64_t blocks[MAX_ROWS], empty_lane_blocks[MAX_ROWS];
};

static const uint32_t initial_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static void store_be32(uint8_t *to, uint32_t x) {
    x = __builtin_bswap32(x);
    memcpy(to, &x, 4);
}

enum varve_status varve_sha256_open(struct varve_sha256 **ctx,
                                    const struct varve_sha256_options *options) {
    struct varve_sha256_options wanted = options ? *options : (struct varve_sha256_options){0};
    *ctx = NULL;
    if (!varve_tier_may_run(wanted.tier) || !varve_sha256_engine_built(wanted.engine)) {
        return VARVE_UNSUPPORTED;
    }
    struct varve_sha256 *opened = calloc(1, sizeof *opened);
    if (!opened) {
        return VARVE_ERROR;
    }
    assert(varve_sha256_row_count <= MAX_ROWS);
    uint32_t bits = varve_cpu_bits_of(wanted.tier);
    for (size_t i = varve_sha256_row_count; i-- > 0;) {
        const struct varve_sha256_row *row = &varve_sha256_rows[i];
        if (row->lanes == 1 && (row->needs & bits) == row->needs) {
            opened->alone = row;
        }
    }
    *ctx = opened;
    return VARVE_OK;
}

void varve_sha256_close(struct varve_sha256 *ctx) {
    free(ctx);
}

bool varve_sha256_engine_built(enum varve_sha256_engine engine) {
    return engine == VARVE_SHA256_OWN;
}

const char *varve_sha256_engine_name(enum varve_sha256_engine engine) {
    return engine == VARVE_SHA256_OWN ? "varve" : "isal-crypto";
}

/* The padding of FIPS 180-4, 5.1.1 behind the bytes in the tail. Returns the blocks it makes. */
static size_t pad(struct varve_sha256_stream *stream) {
    size_t blocks = stream->tail_bytes < 56 ? 1 : 2;
    size_t end = blocks * VARVE_SHA256_BLOCK_BYTES;
    stream->tail[stream->tail_bytes] = 0x80;
    memset(stream->tail + stream->tail_bytes + 1, 0, end - 9 - stream->tail_bytes);
    uint64_t bits = __builtin_bswap64(stream->total_bytes * 8);
    memcpy(stream->tail + end - 8, &bits, 8);
    return blocks;
}

/* The stream's next run of whole blocks, at *data; 0 when nothing is pending any more. The run
 * before it must have been compressed. */
static size_t next_run(struct varve_sha256_stream *stream, const uint8_t **data) {
    if (stream->phase == STREAM_PADDED) {
        return 0;
    }
    if (stream->tail_bytes == 0 && stream->bytes >= VARVE_SHA256_BLOCK_BYTES) {
        size_t blocks = stream->bytes / VARVE_SHA256_BLOCK_BYTES;
        *data = stream->data;
        stream->data += blocks * VARVE_SHA256_BLOCK_BYTES;
        stream->bytes %= VARVE_SHA256_BLOCK_BYTES;
        return blocks;
    }
    size_t room = VARVE_SHA256_BLOCK_BYTES - (size_t)stream->tail_bytes;
    size_t taken = stream->bytes < room ? stream->bytes : room;
    if (taken > 0) {
        memcpy(stream->tail + stream->tail_bytes, stream->data, taken);
        stream->data += taken;
        stream->bytes -= taken;
    }
    *data = stream->tail;
    if (taken == room) {
        stream->tail_bytes = 0;
        return 1;
    }
    stream->tail_bytes = (uint8_t)(stream->tail_bytes + taken);
    if (stream->phase != STREAM_ENDING) {
        return 0;
    }
    stream->phase = STREAM_PADDED;
    return pad(stream);
}

static void tell(struct varve_sha256_stream *stream) {
    uint8_t digest[VARVE_SHA256_BYTES];
    for (int w = 0; w < 8; w++) {
        store_be32(digest + 4 * w, stream->state[w]);
    }
    stream->phase = STREAM_ENDED;
    stream->done(stream->cookie, digest);
}

static void run_alone(struct varve_sha256 *ctx, struct varve_sha256_stream *stream) {
    const uint8_t *data = NULL;
    for (size_t blocks; (blocks = next_run(stream, &data)) > 0;) {
        ctx->alone->compress(stream->state, &data, blocks);
        ctx->blocks[ctx->alone - varve_sha256_rows] += blocks;
    }
    if (stream->phase == STREAM_PADDED) {
        tell(stream);
    } else {
        stream->phase = STREAM_OPEN;
    }
}

static void enqueue(struct varve_sha256 *ctx, struct varve_sha256_stream *stream, uint8_t phase) {
    stream->phase = phase;
    stream->next = NULL;
    if (ctx->first) {
        ctx->last->next = stream;
    } else {
        ctx->first = stream;
    }
    ctx->last = stream;
}

/* Runs until the queue is empty or, if given, `until` has nothing pending. */
static void run(struct varve_sha256 *ctx, const struct varve_sha256_stream *until) {
    assert(!ctx->running); /* done() must not settle */
    ctx->running = true;
    while (ctx->first && !(until && !varve_sha256_busy(until))) {
        struct varve_sha256_stream *stream = ctx->first;
        ctx->first = stream->next;
        run_alone(ctx, stream);
    }
    ctx->running = false;
}

void varve_sha256_init(struct varve_sha256_stream *stream) {
    memcpy(stream->state, initial_state, sizeof stream->state);
    stream->total_bytes = 0;
    stream->data = NULL;
    stream->bytes = 0;
    stream->tail_bytes = 0;
    stream->phase = STREAM_OPEN;
}

void varve_sha256_update(struct varve_sha256 *ctx, struct varve_sha256_stream *stream,
                         const void *data, size_t bytes) {
    assert(stream->phase <= STREAM_QUEUED);
    if (bytes == 0) {
        return;
    }
    varve_sha256_settle(ctx, stream);
    stream->total_bytes += bytes;
    if (stream->tail_bytes + bytes < VARVE_SHA256_BLOCK_BYTES) {
        memcpy(stream->tail + stream->tail_bytes, data, bytes);
        stream->tail_bytes = (uint8_t)(stream->tail_bytes + bytes);
        return;
    }
    stream->data = data;
    stream->bytes = bytes;
    enqueue(ctx, stream, STREAM_QUEUED);
}

void varve_sha256_final(struct varve_sha256 *ctx, struct varve_sha256_stream *stream,
                        varve_sha256_done_fn *done, void *cookie) {
    assert(stream->phase <= STREAM_QUEUED);
    stream->done = done;
    stream->cookie = cookie;
    if (stream->phase == STREAM_QUEUED) {
        stream->phase = STREAM_ENDING;
    } else {
        enqueue(ctx, stream, STREAM_ENDING);
    }
}

void varve_sha256_message(struct varve_sha256 *ctx, struct varve_sha256_stream *stream,
                          const void *data, size_t bytes, varve_sha256_done_fn *done,
                          void *cookie) {
    varve_sha256_init(stream);
    stream->total_bytes = bytes;
    stream->data = data;
    stream->bytes = bytes;
    stream->done = done;
    stream->cookie = cookie;
    enqueue(ctx, stream, STREAM_ENDING);
}

void varve_sha256_fork(struct varve_sha256 *ctx, struct varve_sha256_stream *to,
                       struct varve_sha256_stream *from) {
    assert(from->phase <= STREAM_QUEUED);
    varve_sha256_settle(ctx, from);
    *to = *from;
}

void varve_sha256_settle(struct varve_sha256 *ctx, struct varve_sha256_stream *stream) {
    if (varve_sha256_busy(stream)) {
        run(ctx, stream);
    }
}

void varve_sha256_flush(struct varve_sha256 *ctx) {
    run(ctx, NULL);
}

bool varve_sha256_busy(const struct varve_sha256_stream *stream) {
    return stream->phase != STREAM_OPEN && stream->phase != STREAM_ENDED;
}

void varve_sha256_once(struct varve_sha256 *ctx, uint8_t digest[VARVE_SHA256_BYTES],
                       const void *data, size_t bytes) {
    struct varve_sha256_stream stream;
    varve_sha256_init(&stream);
    stream.total_bytes = bytes;
    stream.data = data;
    stream.bytes = bytes;
    stream.phase = STREAM_ENDING;
    const uint8_t *at = NULL;
    for (size_t blocks; (blocks = next_run(&stream, &at)) > 0;) {
        ctx->alone->compress(stream.state, &at, blocks);
        ctx->blocks[ctx->alone - varve_sha256_rows] += blocks;
    }
    for (int w = 0; w < 8; w++) {
        store_be32(digest + 4 * w, stream.state[w]);
    }
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
