/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/inflate_solo.h - the loop over one stream: branches where lanes select, as there is no
 * neighbour whose work a wrong guess would throw away, and the next symbol is looked up before the
 * match before it is copied. solo() is the text, loop_solo() does it, count_solo() counts, too.
 */
#ifndef VARVE_KERNELS_INFLATE_SOLO_H
#define VARVE_KERNELS_INFLATE_SOLO_H

struct bits {
    uint64_t word;
    uint32_t count; /* its lowest six bits */
    const uint8_t *in;
};

INLINE void bits_refill(struct bits *b) {
    b->word |= load64(b->in) << (b->count & 63);
    b->in += (~b->count & 63) >> 3;
    b->count |= 56;
}
INLINE void bits_drop(struct bits *b, uint32_t bits) {
    b->word >>= bits & 63;
    b->count -= bits;
}
INLINE void bits_begin(struct bits *b, uint64_t pos) {
    b->in = address(pos) + 7;
    b->word = load64(b->in - 7) & ((UINT64_C(1) << 56) - 1);
    b->count = 56;
    bits_drop(b, (uint32_t)pos & 7);
    bits_refill(b);
}
INLINE uint64_t bits_pos(const struct bits *b) {
    return (uint64_t)(uintptr_t)b->in * 8 - (b->count & 63);
}

/* After a refill 56 bits are there: two literals and a match take at most 22 + 11 + 21 of them. */
INLINE void solo(struct varve_inflate_stream *s, bool counting) {
    uint8_t *out = s->out;
    uint32_t literals = 0, matches = 0, short_matches = 0;
    struct bits b;
    bits_begin(&b, s->pos);
    uint32_t e = s->litlen[b.word & ROOT_MASK];
    for (;;) {
        size_t items = lane_items(s, bits_pos(&b), out, ITEMS_MOST);
        if (!items) {
            break;
        }
        do {
            if (e & LITERAL_FLAG) {
                *out++ = (uint8_t)(e >> 8);
                literals += counting;
                bits_drop(&b, e);
                e = s->litlen[b.word & ROOT_MASK];
                if (e & LITERAL_FLAG) {
                    *out++ = (uint8_t)(e >> 8);
                    bits_drop(&b, e);
                    literals += counting;
                    e = s->litlen[b.word & ROOT_MASK];
                    if (e & LITERAL_FLAG) {
                        *out++ = (uint8_t)(e >> 8);
                        literals += counting;
                        bits_drop(&b, e);
                        e = s->litlen[b.word & ROOT_MASK];
                        bits_refill(&b);
                        continue;
                    }
                }
            }
            uint64_t before = bits_pos(&b);
            if (unlikely(!is_match(e))) {
                goto rarely;
            }
            unsigned bits;
            unsigned length = match_length(e, b.word, &bits);
            bits_drop(&b, bits);
            if (unlikely(e >= LONG_MATCH)) {
                bits_refill(&b);
            }
            uint32_t d = s->dist[b.word & DIST_MASK];
            if (unlikely((d & 63) == 63)) {
                goto rarely;
            }
            size_t dist = (d >> 16) + (bits_below(b.word, d) >> (d >> 8 & 63));
            if (unlikely(dist > (size_t)(out - s->earliest))) {
                goto rarely;
            }
            bits_drop(&b, d);
            bits_refill(&b);
            e = s->litlen[b.word & ROOT_MASK];
            uint8_t *to = out;
            const uint8_t *from = out - dist;
            out += length;
            matches += counting;
            short_matches += counting && length == 3;
            if (likely(length <= COPY_BYTES && dist >= length)) {
                copy32(to, from);
            } else {
                copy_any(to, dist, length);
            }
            continue;
        rarely:;
            struct place place = rare(s, (struct place){before, out});
            out = place.out;
            bits_begin(&b, place.pos);
            e = s->litlen[b.word & ROOT_MASK];
            if (s->special) {
                goto over;
            }
        } while (--items);
    }
over:
    s->pos = bits_pos(&b);
    s->out = out;
    if (counting) {
        log_counts(s, literals, matches, short_matches);
    }
}

static __attribute__((noinline)) void loop_solo(struct varve_inflate_stream *s) {
    solo(s, false);
}

static __attribute__((noinline)) void count_solo(struct varve_inflate_stream *s) {
    solo(s, true);
}

#endif
