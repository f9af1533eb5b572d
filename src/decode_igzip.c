/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode_igzip.c - one raw deflate stream (RFC 1951) on igzip, with exact ends and faults. */
#include "decode_igzip.h"

#include <stdlib.h>
#include <string.h>

/* igzip counts bytes in 32 bits. */
#define PIECE_MAX ((size_t)1 << 30)

/* The longest Huffman code, RFC 1951. */
#define CODE_BITS_MAX 15u

/* What one byte of input and seven bits left before it can make: fifteen matches of 258. */
#define SLOW_OUT_BYTES 4096

/* igzip's state in three parts: what changes with every symbol (twice), the tables of the current
 * block, and its output buffer. */
#define STATE_TABLES offsetof(struct inflate_state, lit_huff_code)
#define STATE_REST offsetof(struct inflate_state, block_state)
#define STATE_BUFFER offsetof(struct inflate_state, tmp_out_buffer)

/* All of the state that a second run needs; the bytes made so far do not matter to it, only how
 * many they are. */
struct snapshot {
    _Alignas(16) uint8_t state[STATE_BUFFER];
    bool with_tables;
};

void varve_igzip_init(struct varve_igzip *igzip) {
    isal_inflate_init(&igzip->state);
    igzip->ending = VARVE_INFLATE_INPUT;
}

void varve_igzip_begin(struct varve_igzip *igzip) {
    isal_inflate_reset(&igzip->state);
    igzip->ending = VARVE_INFLATE_INPUT;
}

/* Keeps the state as it is before a call. The tables are only needed where the call begins inside a
 * block with codes, and even then not if it is the last block: no other can overwrite them. */
static void keep(struct snapshot *snapshot, const struct inflate_state *state) {
    const uint8_t *from = (const uint8_t *)state;
    snapshot->with_tables = state->block_state == ISAL_BLOCK_CODED && !state->bfinal;
    memcpy(snapshot->state, from, STATE_TABLES);
    if (snapshot->with_tables) {
        memcpy(snapshot->state + STATE_TABLES, from + STATE_TABLES, STATE_REST - STATE_TABLES);
    }
    memcpy(snapshot->state + STATE_REST, from + STATE_REST, STATE_BUFFER - STATE_REST);
}

static void restore(struct inflate_state *state, const struct snapshot *snapshot,
                    const struct inflate_state *now) {
    uint8_t *to = (uint8_t *)state;
    memcpy(to, snapshot->state, STATE_BUFFER);
    if (!snapshot->with_tables) {
        memcpy(to + STATE_TABLES, (const uint8_t *)now + STATE_TABLES, STATE_REST - STATE_TABLES);
    }
    int32_t history = state->tmp_out_valid;
    history = history < ISAL_DEF_HIST_SIZE ? history : ISAL_DEF_HIST_SIZE;
    state->tmp_out_valid = state->tmp_out_processed = history;
}

static int run(struct inflate_state *state, const uint8_t *in, size_t in_bytes, uint8_t *out,
               size_t out_bytes) {
    union {
        const uint8_t *given;
        uint8_t *taken; /* igzip only reads through it */
    } input = {.given = in};
    state->next_in = input.taken;
    state->avail_in = (uint32_t)in_bytes;
    state->next_out = out;
    state->avail_out = (uint32_t)out_bytes;
    return isal_inflate(state);
}

/* Takes whole bytes back out of the bit buffer: they are put behind one another in `bytes`. */
static size_t unload(struct inflate_state *state, uint8_t bytes[8]) {
    int32_t odd = state->read_in_length % 8;
    size_t count = (size_t)(state->read_in_length / 8);
    uint64_t bits = state->read_in >> odd;
    for (size_t i = 0; i < count; i++, bits >>= 8) {
        bytes[i] = (uint8_t)bits;
    }
    state->read_in &= (UINT64_C(1) << odd) - 1;
    state->read_in_length = odd;
    return count;
}

/* Does a call again, one byte after the other, and says how many bytes come before the fault and at
 * which byte it lies. False where the fault does not come again: it was due to a code that igzip
 * could not see whole, and only an incomplete code (which other readers refuse) can do that. */
static bool locate(struct inflate_state *slow, uint64_t *made_bytes, uint64_t *offset,
                   const uint8_t *in, size_t in_bytes) {
    uint8_t out[SLOW_OUT_BYTES];
    uint8_t loaded[8];
    size_t loaded_bytes = slow->block_state == ISAL_BLOCK_HDR ? 0 : unload(slow, loaded);
    uint64_t fed = *offset - loaded_bytes;
    *made_bytes = 0;
    for (size_t i = 0; i <= loaded_bytes + in_bytes; i++) {
        /* The first time without a byte: the bits that are left may be enough. */
        uint8_t byte = i == 0 ? 0 : i <= loaded_bytes ? loaded[i - 1] : in[i - loaded_bytes - 1];
        int result = run(slow, &byte, i > 0, out, sizeof out);
        *made_bytes += (uint64_t)(slow->next_out - out);
        fed += i > 0;
        if (result < 0) {
            uint64_t bits = fed * 8 - (uint64_t)(int64_t)slow->read_in_length;
            *offset = bits / 8 < fed ? bits / 8 : fed - 1;
            return true;
        }
    }
    return false;
}

/* After a fault: sets what is still to be given out, and where the fault is. `before` bytes were
 * pending before the call, `start` is the stored offset of its input. */
static void settle(struct varve_igzip *igzip, const struct snapshot *snapshot,
                   struct varve_cursor *cursor, uint64_t start, int32_t before) {
    struct inflate_state *state = &igzip->state;
    struct inflate_state *slow = calloc(1, sizeof *slow);
    size_t given = (size_t)(state->next_out - cursor->out);
    if (!slow) {
        state->tmp_out_processed = state->tmp_out_valid;
        igzip->ending = VARVE_INFLATE_NO_MEMORY;
        return;
    }
    restore(slow, snapshot, state);
    uint64_t made = 0;
    uint64_t offset = start;
    if (locate(slow, &made, &offset, cursor->in, cursor->in_bytes)) {
        made += (uint64_t)before;
        uint64_t left = made > given ? made - given : 0;
        state->tmp_out_valid = state->tmp_out_processed + (int32_t)left;
        if (given > made) {
            state->next_out = cursor->out + made;
        }
        igzip->fault_offset = offset;
    } else {
        igzip->fault_offset = start + (uint64_t)(state->next_in - cursor->in);
    }
    igzip->ending = VARVE_INFLATE_FAULT;
    free(slow);
}

/* Decodes one literal from the lowest `bits` of `value` alone. True where they suffice: whatever
 * follows them, the same literal comes first. (There is no history: a match cannot come.) */
static bool literal(struct inflate_state *state, uint8_t *byte, uint64_t value, unsigned bits) {
    uint8_t out[2][8];
    for (unsigned fill = 0; fill < 2; fill++) {
        state->block_state = ISAL_BLOCK_CODED;
        state->tmp_out_valid = state->tmp_out_processed = 0;
        state->read_in = (value & ((UINT64_C(1) << bits) - 1)) |
                         (fill ? (UINT64_C(1) << 56) - (UINT64_C(1) << bits) : 0);
        state->read_in_length = 56;
        run(state, out[fill], 0, out[fill], sizeof out[fill]);
        if (state->next_out == out[fill]) {
            return false;
        }
    }
    *byte = out[0][0];
    return out[0][0] == out[1][0];
}

/* The blob ends inside the stream. igzip looks up to three literals up at once and keeps them all
 * back if the last is not whole, and whether it does depends on how much input it saw ahead: here
 * the whole ones are made. */
static void finish_tail(struct varve_igzip *igzip) {
    struct inflate_state *state = &igzip->state;
    uint8_t tail[3] = {0};
    int32_t count = 0;
    igzip->ending = VARVE_INFLATE_TRUNCATED;
    if (state->block_state == ISAL_BLOCK_CODED && state->read_in_length > 0) {
        uint64_t value = state->read_in;
        unsigned left = (unsigned)state->read_in_length;
        for (unsigned bits = 1; bits <= left && bits <= CODE_BITS_MAX && count < 3; bits++) {
            if (literal(state, &tail[count], value, bits)) {
                count++;
                value >>= bits;
                left -= bits;
                bits = 0;
            }
        }
    }
    memcpy(state->tmp_out_buffer, tail, (size_t)count);
    state->tmp_out_processed = 0;
    state->tmp_out_valid = count;
}

/* The stream is over, soundly or not: gives out what is pending, then says so. */
static enum varve_inflate_result drain(struct varve_igzip *igzip, struct varve_decoder *decoder,
                                       struct varve_cursor *cursor) {
    struct inflate_state *state = &igzip->state;
    size_t pending = (size_t)(state->tmp_out_valid - state->tmp_out_processed);
    size_t n = pending < cursor->out_bytes ? pending : cursor->out_bytes;
    memcpy(cursor->out, state->tmp_out_buffer + state->tmp_out_processed, n);
    state->tmp_out_processed += (int32_t)n;
    varve_cursor_made(decoder, cursor, n);
    return n < pending ? VARVE_INFLATE_OUTPUT : igzip->ending;
}

enum varve_inflate_result varve_igzip_step(struct varve_igzip *igzip, struct varve_decoder *decoder,
                                           struct varve_cursor *cursor) {
    struct inflate_state *state = &igzip->state;
    if (igzip->ending != VARVE_INFLATE_INPUT) {
        return drain(igzip, decoder, cursor);
    }
    struct snapshot snapshot;
    keep(&snapshot, state);
    int32_t before = state->tmp_out_valid - state->tmp_out_processed;
    size_t in_bytes = cursor->in_bytes < PIECE_MAX ? cursor->in_bytes : PIECE_MAX;
    size_t out_bytes = cursor->out_bytes < PIECE_MAX ? cursor->out_bytes : PIECE_MAX;
    int result = run(state, cursor->in, in_bytes, cursor->out, out_bytes);
    if (result < 0) {
        settle(igzip, &snapshot, cursor, decoder->info.stored_bytes, before);
    }
    varve_cursor_use(decoder, cursor, (size_t)(state->next_in - cursor->in));
    varve_cursor_made(decoder, cursor, (size_t)(state->next_out - cursor->out));
    if (result < 0) {
        return drain(igzip, decoder, cursor);
    }
    if (state->block_state == ISAL_BLOCK_FINISH) {
        igzip->rest_bytes = unload(state, igzip->rest);
        return VARVE_INFLATE_DONE;
    }
    if (!cursor->out_bytes) {
        return VARVE_INFLATE_OUTPUT;
    }
    if (cursor->last && !cursor->in_bytes) {
        finish_tail(igzip);
        return drain(igzip, decoder, cursor);
    }
    return VARVE_INFLATE_INPUT;
}
