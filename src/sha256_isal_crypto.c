/* SPDX-License-Identifier: Apache-2.0 */
/* src/sha256_isal_crypto.c - the second engine: isa-l_crypto's multi-buffer manager, where built
 * in.
 *
 * Streams, padding and queue stay varve's. The manager is given runs of whole blocks, each as an
 * update of a context of its own whose midstate is put in before and taken out after; so it needs
 * no memory per stream, and a stream may be forked as ever.
 */
#include "sha256_internal.h"

#if defined(VARVE_HAVE_ISAL_CRYPTO)

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l_crypto/sha256_mb.h>

/* The manager holds up to sixteen; submitting another gives one back. */
#define SLOTS (ISAL_SHA256_MAX_LANES + 1)

/* Lengths are 32 bits of bytes there. */
#define SUBMIT_MAX_BLOCKS ((size_t)1 << 24)

struct isal_engine {
    ISAL_SHA256_HASH_CTX_MGR manager;
    ISAL_SHA256_HASH_CTX slots[SLOTS];
    ISAL_SHA256_HASH_CTX *idle[SLOTS];
    size_t idle_count;
};

bool varve_sha256_isal_built(void) {
    return true;
}

bool varve_sha256_isal_open(struct varve_sha256 *ctx) {
    size_t bytes = (sizeof(struct isal_engine) + 63) / 64 * 64;
    struct isal_engine *isal = aligned_alloc(64, bytes);
    if (!isal) {
        return false;
    }
    memset(isal, 0, bytes);
    if (isal_sha256_ctx_mgr_init(&isal->manager) != 0) {
        free(isal);
        return false;
    }
    while (isal->idle_count < SLOTS) {
        isal->idle[isal->idle_count] = &isal->slots[isal->idle_count];
        isal->idle_count++;
    }
    ctx->isal = isal;
    return true;
}

void varve_sha256_isal_close(struct isal_engine *isal) {
    free(isal);
}

/* Hands the stream's run to the manager. Returns the context that came back, or NULL. */
static ISAL_SHA256_HASH_CTX *submit(struct isal_engine *isal, struct varve_sha256_stream *stream,
                                    ISAL_SHA256_HASH_CTX *slot) {
    size_t blocks = stream->run_blocks < SUBMIT_MAX_BLOCKS ? stream->run_blocks : SUBMIT_MAX_BLOCKS;
    const uint8_t *data = stream->run;
    stream->run += blocks * VARVE_SHA256_BLOCK_BYTES;
    stream->run_blocks -= blocks;
    memcpy(slot->job.result_digest, stream->state, sizeof stream->state);
    slot->status = ISAL_HASH_CTX_STS_IDLE;
    slot->total_length = 0;
    slot->partial_block_buffer_length = 0;
    slot->user_data = stream;
    ISAL_SHA256_HASH_CTX *back = NULL;
    int fault =
        isal_sha256_ctx_mgr_submit(&isal->manager, slot, &back, data,
                                   (uint32_t)(blocks * VARVE_SHA256_BLOCK_BYTES), ISAL_HASH_UPDATE);
    assert(fault == 0);
    (void)fault;
    return back;
}

/* A run has been compressed: goes on with the stream, until the manager keeps what it is given. */
static void go_on(struct isal_engine *isal, ISAL_SHA256_HASH_CTX *back) {
    while (back) {
        struct varve_sha256_stream *stream = back->user_data;
        memcpy(stream->state, back->job.result_digest, sizeof stream->state);
        if (stream->run_blocks > 0 || varve_sha256_next_run(stream)) {
            back = submit(isal, stream, back);
        } else {
            isal->idle[isal->idle_count++] = back;
            varve_sha256_ended(stream, stream->state, 1);
            back = NULL;
        }
    }
}

void varve_sha256_isal_run(struct varve_sha256 *ctx) {
    struct isal_engine *isal = ctx->isal;
    while (ctx->queued > 0 || isal->idle_count < SLOTS) {
        ISAL_SHA256_HASH_CTX *back = NULL;
        if (ctx->queued > 0) {
            struct varve_sha256_stream *stream = varve_sha256_pop(ctx);
            if (stream->run_blocks == 0 && !varve_sha256_next_run(stream)) {
                varve_sha256_ended(stream, stream->state, 1);
                continue;
            }
            back = submit(isal, stream, isal->idle[--isal->idle_count]);
        } else {
            int fault = isal_sha256_ctx_mgr_flush(&isal->manager, &back);
            assert(fault == 0 && back);
            (void)fault;
        }
        go_on(isal, back);
    }
}

#else

bool varve_sha256_isal_built(void) {
    return false;
}

bool varve_sha256_isal_open(struct varve_sha256 *ctx) {
    (void)ctx;
    return false;
}

void varve_sha256_isal_close(struct isal_engine *isal) {
    (void)isal;
}

void varve_sha256_isal_run(struct varve_sha256 *ctx) {
    (void)ctx;
}

#endif
