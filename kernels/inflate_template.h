/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/inflate_template.h - inflate for up to LANES_MOST streams side by side: what the loops
 * share, and who runs in them.
 *
 * Margins. A loop does a number of items before it looks again; an item of a lane
 *   - consumes at most 78 bits (two literals of 15 bits and a match of 48, in rare(); 54 bits
 *     else), less than ITEM_IN bytes, and loads eight bytes at a place it has reached: with ITEM_IN
 *     bytes an item and LOAD_IN more left, no load passes in_end;
 *   - makes at most 260 bytes (two literals and a match of 258) and stores up to 32 bytes from
 * where it then is: what ITEMS_MOST items may write behind out_stop is VARVE_INFLATE_SLACK_BYTES;
 *   - reads matches from `earliest` on, and copies 32 bytes from there: up to 31 bytes beyond
 *     `out`, which the slack holds, too.
 * Nearer to the ends, and where a symbol is none for the loops, the careful steps go on.
 */
#ifndef VARVE_KERNELS_INFLATE_TEMPLATE_H
#define VARVE_KERNELS_INFLATE_TEMPLATE_H

#if defined(__BMI2__)
#include <immintrin.h>
#endif

#include "inflate_text.h"

enum { ITEMS_MOST = 32, ITEM_IN = 16, LOAD_IN = 16 };
_Static_assert(ITEMS_MOST * 260 + 32 <= VARVE_INFLATE_SLACK_BYTES, "the margin of the output");

/* Input that makes it worth while to enter a loop. */
enum { ENTER_IN = LOAD_IN + 6 * ITEM_IN };

/* Output after which a stream may be put off until others are there. */
enum { PUT_OFF_BYTES = 8192 };

INLINE const uint8_t *address(uint64_t pos) {
    return (const uint8_t *)(uintptr_t)(pos >> 3);
}

/* The lowest `bits & 0xff` bits of a word, less than 64. */
INLINE uint64_t bits_below(uint64_t word, uint32_t bits) {
#if defined(__BMI2__)
    return _bzhi_u64(word, bits & 0xff);
#else
    return word & ((UINT64_C(1) << (bits & 63)) - 1);
#endif
}

/* How many items a lane may do, `items` at most. */
INLINE size_t lane_items(const struct varve_inflate_stream *s, uint64_t pos, const uint8_t *out,
                         size_t items) {
    ptrdiff_t left = s->in_end - address(pos);
    size_t most = left < LOAD_IN + ITEM_IN ? 0 : (size_t)(left - LOAD_IN) / ITEM_IN;
    most = out >= s->out_stop ? 0 : most;
    return most < items ? most : items;
}

struct place {
    uint64_t pos;
    uint8_t *out;
};

/* A match whose entry is known, at the bit where its code begins. Where it is a fault, nothing is
 * done and `special` set. */
INLINE struct place rare_match(struct varve_inflate_stream *s, struct place at, uint32_t entry) {
    uint64_t word = load64(address(at.pos)) >> (at.pos & 7);
    unsigned bits;
    unsigned length = match_length(entry, word, &bits);
    word >>= bits;
    entry = look_up(s->dist, DIST_ROOT, word);
    unsigned all = entry & 0xff;
    size_t dist = (entry >> 16) + (bits_below(word, all) >> (entry >> 8 & 15));
    if (unlikely(all == 63 || dist > (size_t)(at.out - s->earliest))) {
        s->special = true;
        return at;
    }
    copy_any(at.out, dist, length);
    log_match(s, length);
    return (struct place){at.pos + bits + all, at.out + length};
}

/* One item with subtables, long matches and all copies. Where a symbol ends the block or is a
 * fault, it comes back before it, and `special` is set. */
static __attribute__((noinline)) struct place rare(struct varve_inflate_stream *s,
                                                   struct place at) {
    for (unsigned n = 0; n < 3; n++) {
        uint64_t word = load64(address(at.pos)) >> (at.pos & 7);
        uint32_t entry = look_up(s->litlen, ROOT, word);
        if (is_match(entry)) {
            return rare_match(s, at, entry);
        }
        if (!(entry & LITERAL_FLAG)) {
            s->special = true;
            return at;
        }
        *at.out++ = (uint8_t)(entry >> 8);
        at.pos += entry & 0xff;
        log_literal(s);
    }
    return at;
}

/* What a loop counts of a lane's block. */
INLINE void log_counts(struct varve_inflate_stream *s, uint64_t literals, uint64_t matches,
                       uint64_t short_matches) {
    if (s->log) {
        s->log->cut.literals += (uint32_t)literals;
        s->log->cut.matches += (uint32_t)matches;
        s->log->cut.short_matches += (uint32_t)short_matches;
    }
}

#include "inflate_solo.h"
#if LANES_MOST >= 2
#define LANES 2
#include "inflate_lanes.h"
#endif
#if LANES_MOST >= 3
#define LANES 3
#include "inflate_lanes.h"
#endif
#if LANES_MOST >= 4
#define LANES 4
#include "inflate_lanes.h"
#endif

static void loop(struct varve_inflate_stream *const *streams, size_t count) {
    bool counting = false;
    for (size_t i = 0; i < count; i++) {
        counting |= streams[i]->log != NULL;
    }
    switch (count) {
#if LANES_MOST >= 4
    case 4:
        counting ? count_x4(streams) : loop_x4(streams);
        break;
#endif
#if LANES_MOST >= 3
    case 3:
        counting ? count_x3(streams) : loop_x3(streams);
        break;
#endif
#if LANES_MOST >= 2
    case 2:
        counting ? count_x2(streams) : loop_x2(streams);
        break;
#endif
    default:
        counting ? count_solo(streams[0]) : loop_solo(streams[0]);
        break;
    }
}

/* From the loop's position back to bits held. */
static void leave(struct varve_inflate_stream *s) {
    s->in = address(s->pos);
    s->count = 0;
    s->bits = 0;
    refill(s);
    consume(s, s->pos & 7);
}

/* Careful steps until the stream may enter a loop (true) or stops (false). */
static bool prepare(struct varve_inflate_stream *s) {
    for (;;) {
        /* What is held of an earlier chunk must be used up first. */
        if (s->phase == CODES && !s->special && s->out < s->out_stop &&
            8 * (s->in - s->begin) >= (ptrdiff_t)s->count &&
            s->in_end - s->in + s->count / 8 >= ENTER_IN) {
            s->pos = (uint64_t)(uintptr_t)s->in * 8 - s->count;
            return true;
        }
        s->special = false;
        enum step why = step(s);
        if (why != STEP_ON) {
            settle(s, why);
            return false;
        }
    }
}

/* After a loop: drops the lanes that stopped, or that wait for others (`put_off`). */
static size_t keep_alive(struct varve_inflate_stream **alive, size_t count, bool put_off) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct varve_inflate_stream *s = alive[i];
        bool on = !s->special && lane_items(s, s->pos, s->out, 1) > 0;
        if (on && put_off && s->out - s->start >= PUT_OFF_BYTES) {
            leave(s);
            settle(s, STEP_OUTPUT);
            continue;
        }
        if (!on) {
            leave(s);
            on = prepare(s);
        }
        if (on) {
            alive[kept++] = s;
        }
    }
    return kept;
}

static void run_lanes(struct varve_inflate_stream *const *streams, size_t count) {
    struct varve_inflate_stream *alive[LANES_MOST];
    const size_t full = count < LANES_MOST ? count : LANES_MOST;
    size_t lanes = 0;
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        enter(streams[i]);
    }
    for (;;) {
        for (; lanes < full && next < count; next++) {
            if (prepare(streams[next])) {
                alive[lanes++] = streams[next];
            }
        }
        if (lanes < full) {
            lanes = keep_alive(alive, lanes, true);
        }
        if (!lanes) {
            return;
        }
        loop(alive, lanes);
        lanes = keep_alive(alive, lanes, false);
    }
}

#endif
