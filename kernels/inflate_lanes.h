/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/inflate_lanes.h - the loop over LANES streams, stage by stage. Included once per width,
 * with LANES defined; makes loop_xLANES, and count_xLANES, which does the same and counts.
 *
 * A lane's state is two words: the address of its next bit, and where its next byte goes. An item
 * is three looks into the literal/length table and one into the distance table, for every lane and
 * without a branch. A match neither takes bits nor makes a byte in the looks, so that those behind
 * it see it again; an item that ends in a literal takes the null distance. The bits are loaded once
 * an item, under a sentinel: how far it has moved says how many were used, and that it is gone says
 * that something was met that the tables call an exception. That, a match that overlaps itself and
 * one that reaches too far are left to unusual(), which ends the item.
 *
 * Stage by stage over all lanes, not lane by lane, so that the looks of four lanes wait together.
 * Instructions are what the loop is short of: entries lie so that one instruction each takes a
 * shift (the low six bits of a rotated word), extra bits and the length, and constants that a
 * compiler would make anew each time are hidden from it.
 */

#if !defined(SENTINEL)
/* At most 54 bits are used: then the sentinel is still above bit 8. */
#define SENTINEL (UINT64_C(1) << 63)
#define LEAST (UINT64_C(1) << 6)
/* What a round of ITEMS_MOST items counts of a lane, in one word: literals, three an item at most;
 * from the bit of SHORT_FLAG on, short matches; from that of LITERAL_FLAG on, items that end in a
 * literal or counted themselves. All others have a match. */
#define TALLY_FLAGS (SHORT_FLAG | LITERAL_FLAG)
_Static_assert(3 * ITEMS_MOST < SHORT_FLAG && ITEMS_MOST < LITERAL_FLAG / SHORT_FLAG, "room");
/* A value of which the compiler knows nothing, so that it keeps it. */
#define HIDE(x) __asm__("" : "+r"(x))

/* Bits of a word from bit `by` on, as a shift takes them: its lowest six bits. */
INLINE unsigned shift_at(uint64_t entry, unsigned by) {
    uint32_t low = (uint32_t)entry;
    return (low >> by | low << (32 - by)) & 63;
}

/* The end of an item whose looks and literals are done: `sum` is that of the entries that were met,
 * `entry` the last of them, `at` where the item began. */
static __attribute__((noinline)) struct place
unusual(struct varve_inflate_stream *s, struct place at, uint64_t sum, uint32_t entry) {
    unsigned bits = sum & 0xff; /* of the literals: 33 at most, if there was no exception */
    if (bits >= 63 || !is_match(entry)) {
        return rare(s, at);
    }
    /* Three long matches carry into the count of literals, two do not. */
    unsigned literals = sum == 3 * (uint64_t)entry ? 0 : (unsigned)(sum >> 31);
    for (unsigned i = 0; i < literals; i++) {
        log_literal(s);
    }
    return rare_match(s, (struct place){at.pos + bits, at.out + literals}, entry);
}
#endif
#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#if LANES == 2
#define EACH(X) X(0) X(1)
#elif LANES == 3
#define EACH(X) X(0) X(1) X(2)
#elif LANES == 4
#define EACH(X) X(0) X(1) X(2) X(3)
#else
#error "how many lanes?"
#endif

#define DECLARE(l)                                                                                 \
    struct varve_inflate_stream *const s##l = streams[l];                                          \
    const uint8_t *const earliest##l = s##l->earliest;                                             \
    uint64_t pos##l = s##l->pos;                                                                   \
    uint8_t *out##l = s##l->out;                                                                   \
    uint64_t w##l, e##l, d##l, sum##l = 0, tally##l = 0;
#define ROOM(l) items = lane_items(s##l, pos##l, out##l, items);
#define REFILL(l) w##l = load64(address(pos##l)) >> (pos##l & 7) | sentinel;
#define LOOK_UP(l, k)                                                                              \
    e##l = s##l->litlen[w##l & ROOT_MASK];                                                         \
    w##l >>= e##l & 63;                                                                            \
    out##l[k] = (uint8_t)(e##l >> 8);                                                              \
    sum##l = ((k) ? sum##l : 0) + e##l;
#define FIRST(l) LOOK_UP(l, 0)
#define SECOND(l) LOOK_UP(l, 1)
#define THIRD(l) LOOK_UP(l, 2)
#define DISTANCE(l)                                                                                \
    {                                                                                              \
        w##l >>= shift_at(e##l, 24);                                                               \
        uint64_t i = (uint8_t)w##l;                                                                \
        i = (int32_t)e##l < 0 ? null_dist : i;                                                     \
        uint64_t d = s##l->dist[i];                                                                \
        d##l = (d >> 16) + (bits_below(w##l, (uint32_t)d) >> shift_at(d, 8));                      \
        w##l >>= d & 63;                                                                           \
    }
#define COMMIT(l)                                                                                  \
    {                                                                                              \
        uint64_t literals = sum##l >> 31;                                                          \
        uint8_t *to = out##l + literals;                                                           \
        uint64_t length = e##l >> 16 & 63;                                                         \
        /* not as a pointer: an exception may make any number of the distance */                   \
        const uint8_t *from = (const uint8_t *)((uintptr_t)to - d##l);                             \
        if (unlikely(w##l < LEAST) || unlikely(d##l < length) || unlikely(from < earliest##l)) {   \
            struct place place =                                                                   \
                unusual(s##l, (struct place){pos##l, out##l}, sum##l, (uint32_t)e##l);             \
            pos##l = place.pos;                                                                    \
            out##l = place.out;                                                                    \
            stopped |= s##l->special;                                                              \
            tally##l += LITERAL_FLAG;                                                              \
        } else {                                                                                   \
            copy32(to, from);                                                                      \
            out##l = to + length;                                                                  \
            tally##l += literals + (e##l & TALLY_FLAGS);                                           \
            pos##l += (uint64_t)__builtin_clzll(w##l);                                             \
        }                                                                                          \
    }
#define FINISH(l) DISTANCE(l) COMMIT(l)
#define COUNT(l)                                                                                   \
    log_counts(s##l, tally##l &(SHORT_FLAG - 1), done - tally##l / LITERAL_FLAG,                   \
               tally##l / SHORT_FLAG % (LITERAL_FLAG / SHORT_FLAG));                               \
    tally##l = 0;
#define STORE(l)                                                                                   \
    s##l->pos = pos##l;                                                                            \
    s##l->out = out##l;

INLINE void PASTE(lanes_x, LANES)(struct varve_inflate_stream *const *streams, bool counting) {
    uint64_t sentinel = SENTINEL, null_dist = NULL_DIST;
    HIDE(sentinel);
    HIDE(null_dist);
    EACH(DECLARE)
    bool stopped = false;
    while (!stopped) {
        size_t items = ITEMS_MOST;
        EACH(ROOM)
        if (!items) {
            break;
        }
        size_t left = items;
        do {
            EACH(REFILL)
            EACH(FIRST)
            EACH(SECOND)
            EACH(THIRD)
            EACH(FINISH)
        } while (--left && !stopped);
        if (counting) {
            size_t done = items - left;
            EACH(COUNT)
        }
    }
    EACH(STORE)
}

static __attribute__((noinline)) void PASTE(loop_x,
                                            LANES)(struct varve_inflate_stream *const *streams) {
    PASTE(lanes_x, LANES)(streams, false);
}

static __attribute__((noinline)) void PASTE(count_x,
                                            LANES)(struct varve_inflate_stream *const *streams) {
    PASTE(lanes_x, LANES)(streams, true);
}

#undef PASTE2
#undef PASTE
#undef EACH
#undef DECLARE
#undef ROOM
#undef REFILL
#undef LOOK_UP
#undef FIRST
#undef SECOND
#undef THIRD
#undef DISTANCE
#undef COMMIT
#undef COUNT
#undef STORE
#undef LANES
