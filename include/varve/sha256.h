/* SPDX-License-Identifier: Apache-2.0 */
/* varve/sha256.h - SHA-256 (FIPS 180-4) of many streams and messages at once.
 *
 * A context is a lane scheduler: streams hand it pieces of data, it runs those of many streams side
 * by side through the widest kernel that pays for the number of streams alive and the work left in
 * them, and tells of finished digests out of order. Use it alone when all you want is the digests
 * of many things:
 *
 *     varve_sha256_open(&ctx, NULL);
 *     for (...) varve_sha256_message(ctx, &stream[i], data[i], bytes[i], done, cookie[i]);
 *     varve_sha256_flush(ctx);                      // every done() has been called by now
 *     varve_sha256_close(ctx);
 *
 * Streams are the caller's memory, so nothing is allocated after opening and any number of them may
 * be in flight. A context and its streams belong to one thread at a time; there are no locks.
 */
#ifndef VARVE_SHA256_H
#define VARVE_SHA256_H

#include "varve/base.h"
#include "varve/cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VARVE_SHA256_BYTES 32
#define VARVE_SHA256_BLOCK_BYTES 64

enum varve_sha256_engine {
    VARVE_SHA256_OWN,        /* varve's kernels */
    VARVE_SHA256_ISAL_CRYPTO /* isa-l_crypto's multi-buffer manager, where built in */
};

struct varve_sha256_options {
    enum varve_tier tier;            /* upper bound on the kernels used; 0 = AUTO */
    enum varve_sha256_engine engine; /* 0 = OWN */
    bool timed; /* count varve_sha256_seconds: two system calls whenever the engine runs */
    /* To measure one kernel: the name of a row of the family "sha256" (varve_kernel_at), taken
     * whatever it costs; by a row of several lanes only where more than one stream is alive. NULL:
     * what costs least. */
    const char *kernel;
};

struct varve_sha256; /* the context */

/* Called once per finished stream, from within update, final, message, settle or flush of the same
 * context; `digest` is valid during the call. It may start new streams and reuse this one, but must
 * not call settle or flush, nor update or fork a stream that is busy. */
typedef void varve_sha256_done_fn(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]);

/* A stream, or a one-shot message. The caller's memory; it must not move while busy. All fields are
 * private: use the functions. */
struct varve_sha256_stream {
    uint32_t state[8];
    uint64_t total_bytes;                     /* given so far, pending ones included */
    const uint8_t *run;                       /* whole blocks, next to be compressed */
    size_t run_blocks;                        /* of them */
    const uint8_t *data;                      /* what follows the run of the pending piece */
    size_t bytes;                             /* of it */
    struct varve_sha256_stream *next, *prior; /* the scheduler's queue */
    varve_sha256_done_fn *done;
    void *cookie;
    uint8_t tail[2 * VARVE_SHA256_BLOCK_BYTES]; /* a block begun, or the padding */
    uint8_t tail_bytes;
    uint8_t pad_blocks; /* of padding in the tail, behind all else */
    uint8_t phase;
    uint8_t place; /* in the queue */
    uint8_t spare[4];
};

/* VARVE_OK; VARVE_UNSUPPORTED (this CPU has not the tier, the engine is not built in, or the tier
 * has no kernel of the name); VARVE_ERROR (no memory). *ctx = NULL unless OK. `options` NULL: all
 * defaults. Any thread. The first context of a process measures for half a millisecond which kernel
 * pays when on this CPU; digests never depend on what it finds. */
VARVE_API enum varve_status varve_sha256_open(struct varve_sha256 **ctx,
                                              const struct varve_sha256_options *options);

/* Frees the context. Streams still busy are abandoned: their done() is never called. */
VARVE_API void varve_sha256_close(struct varve_sha256 *ctx);

/* True where an engine is built in. Any thread. */
VARVE_API bool varve_sha256_engine_built(enum varve_sha256_engine engine);

/* "varve" or "isal-crypto"; static storage. */
VARVE_API const char *varve_sha256_engine_name(enum varve_sha256_engine engine);

/* Begins a stream (or begins it anew). Not on a busy stream. */
VARVE_API void varve_sha256_init(struct varve_sha256_stream *stream);

/* Gives `bytes` at `data` to the stream. The data must stay as they are while the stream is busy:
 * until settle or flush, or the next update or fork of this stream, which first complete what is
 * pending on it. Any length, 0 included; up to 2^61 - 1 bytes in total. Give large pieces: two
 * updates in a row without a flush between them run one after the other. */
VARVE_API void varve_sha256_update(struct varve_sha256 *ctx, struct varve_sha256_stream *stream,
                                   const void *data, size_t bytes);

/* Ends the stream; `done` is called with its digest, now or later, at the latest by flush. A piece
 * still pending stays pending, and its data must stay until then. */
VARVE_API void varve_sha256_final(struct varve_sha256 *ctx, struct varve_sha256_stream *stream,
                                  varve_sha256_done_fn *done, void *cookie);

/* init, update and final in one: a message wholly in memory. `data` must stay until done() is
 * called. The message is not copied (but for its last, unfilled block). */
VARVE_API void varve_sha256_message(struct varve_sha256 *ctx, struct varve_sha256_stream *stream,
                                    const void *data, size_t bytes, varve_sha256_done_fn *done,
                                    void *cookie);

/* Makes `to` (not busy) a stream that has absorbed exactly what `from` was given so far; both go on
 * independently. Completes the pending piece of `from`. Neither may be finalised yet. */
VARVE_API void varve_sha256_fork(struct varve_sha256 *ctx, struct varve_sha256_stream *to,
                                 struct varve_sha256_stream *from);

/* Completes what is pending on one stream; others may advance with it. */
VARVE_API void varve_sha256_settle(struct varve_sha256 *ctx, struct varve_sha256_stream *stream);

/* Completes everything pending: afterwards no data given is referred to any more and every done()
 * of a finalised stream has been called (those that done() itself started included). */
VARVE_API void varve_sha256_flush(struct varve_sha256 *ctx);

/* True while the context holds a reference to data given to this stream. */
VARVE_API bool varve_sha256_busy(const struct varve_sha256_stream *stream);

/* The digest of one message, now: the fastest way for a short one that has none beside it. Touches
 * no other stream of the context. */
VARVE_API void varve_sha256_once(struct varve_sha256 *ctx, uint8_t digest[VARVE_SHA256_BYTES],
                                 const void *data, size_t bytes);

/* Blocks compressed so far by each kernel row (index as in varve_kernel_at over the "sha256"
 * family, *name = its name), and lane slots that ran empty beside them: lanes * calls' blocks -
 * blocks. Returns false past the last row. */
struct varve_sha256_use {
    const char *name;
    uint64_t blocks;
    uint64_t empty_lane_blocks;
};
VARVE_API bool varve_sha256_use_at(const struct varve_sha256 *ctx, struct varve_sha256_use *use,
                                   size_t index);

/* CPU seconds spent in the engine so far, done() calls included; 0 unless the context is timed. */
VARVE_API double varve_sha256_seconds(const struct varve_sha256 *ctx);

#ifdef __cplusplus
}
#endif
#endif
