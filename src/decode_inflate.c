/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode_inflate.c - one raw deflate stream (RFC 1951) on igzip, with exact ends and faults. */
#include "decode_inflate.h"

#include <string.h>

/* igzip counts bytes in 32 bits. */
#define PIECE_MAX ((size_t)1 << 30)

void varve_inflate_init(struct varve_inflate *inflate) {
    isal_inflate_init(&inflate->state);
}

void varve_inflate_begin(struct varve_inflate *inflate) {
    isal_inflate_reset(&inflate->state);
}

static void take_rest(struct inflate_state *state, struct varve_inflate_rest *rest) {
    rest->count = (size_t)(state->read_in_length / 8);
    uint64_t bits = state->read_in >> (state->read_in_length % 8);
    for (size_t i = 0; i < rest->count; i++, bits >>= 8) {
        rest->bytes[i] = (uint8_t)bits;
    }
}

enum varve_inflate_result varve_inflate_step(struct varve_inflate *inflate,
                                             struct varve_inflate_rest *rest,
                                             struct varve_decoder *decoder,
                                             struct varve_cursor *cursor) {
    struct inflate_state *state = &inflate->state;
    size_t in_bytes = cursor->in_bytes < PIECE_MAX ? cursor->in_bytes : PIECE_MAX;
    size_t out_bytes = cursor->out_bytes < PIECE_MAX ? cursor->out_bytes : PIECE_MAX;
    union {
        const uint8_t *given;
        uint8_t *taken; /* igzip only reads through it */
    } in = {.given = cursor->in};
    state->next_in = in.taken;
    state->avail_in = (uint32_t)in_bytes;
    state->next_out = cursor->out;
    state->avail_out = (uint32_t)out_bytes;
    int result = isal_inflate(state);
    varve_cursor_use(decoder, cursor, (size_t)(state->next_in - cursor->in));
    varve_cursor_made(decoder, cursor, (size_t)(state->next_out - cursor->out));
    if (result < 0) {
        return VARVE_INFLATE_FAULT;
    }
    if (state->block_state == ISAL_BLOCK_FINISH) {
        take_rest(state, rest);
        return VARVE_INFLATE_DONE;
    }
    return cursor->out_bytes ? VARVE_INFLATE_INPUT : VARVE_INFLATE_OUTPUT;
}
