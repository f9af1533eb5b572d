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
 * one that reaches too far are left to rare(), which does the item again from its beginning.
 *
 * Stage by stage over all lanes, not lane by lane, so that the looks of four lanes wait together.
 */

#if !defined(SENTINEL)
/* At most 54 bits are used: then the sentinel is still above bit 8. */
#define SENTINEL (UINT64_C(1) << 63)
#define LEAST (UINT64_C(1) << 6)
/* Literals, matches and short matches in one word, see VARVE_INFLATE_LOG_IN_BYTES. */
#define TALLY_MATCH (UINT64_C(1) << 21)
#define TALLY_SHORT (UINT64_C(1) << 42)
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
    uint64_t pos##l = s##l->pos;                                                                   \
    uint8_t *out##l = s##l->out;                                                                   \
    uint64_t w##l, sum##l = 0, tally##l = 0;                                                       \
    uint32_t e##l;
#define ROOM(l) items = lane_items(s##l, pos##l, out##l, items);
#define REFILL(l) w##l = load64(address(pos##l)) >> (pos##l & 7) | SENTINEL;
#define LOOK_UP(l, k)                                                                              \
    e##l = s##l->litlen[w##l & ROOT_MASK];                                                         \
    w##l >>= e##l & 63;                                                                            \
    out##l[k] = (uint8_t)(e##l >> 8);                                                              \
    sum##l = (k ? sum##l : 0) + e##l;
#define FIRST(l) LOOK_UP(l, 0)
#define SECOND(l) LOOK_UP(l, 1)
#define THIRD(l) LOOK_UP(l, 2)
#define DISTANCE(l)                                                                                \
    uint32_t d##l;                                                                                 \
    {                                                                                              \
        w##l >>= e##l >> 24 & 63;                                                                  \
        uint32_t i = (uint32_t)w##l & DIST_MASK;                                                   \
        i = (int32_t)e##l < 0 ? NULL_DIST : i;                                                     \
        uint32_t d = s##l->dist[i];                                                                \
        d##l = (d >> 16) + (uint32_t)(bits_below(w##l, d) >> (d >> 8 & 63));                       \
        w##l >>= d & 63;                                                                           \
    }
#define COMMIT(l)                                                                                  \
    {                                                                                              \
        uint64_t literals = sum##l >> 31;                                                          \
        uint8_t *to = out##l + literals;                                                           \
        uint32_t length = e##l >> 16 & 0xff;                                                       \
        const uint8_t *from = to - d##l;                                                           \
        if (unlikely(w##l < LEAST) || unlikely(d##l < length) ||                                   \
            unlikely(from < s##l->earliest)) {                                                     \
            struct place place = rare(s##l, (struct place){pos##l, out##l});                       \
            pos##l = place.pos;                                                                    \
            out##l = place.out;                                                                    \
            stopped |= s##l->special;                                                              \
        } else {                                                                                   \
            copy32(to, from);                                                                      \
            out##l = to + length;                                                                  \
            if (counting) {                                                                        \
                tally##l += literals + (uint64_t)(~e##l >> 31) * TALLY_MATCH +                     \
                            (length == 3) * TALLY_SHORT;                                           \
            }                                                                                      \
            pos##l += (uint64_t)__builtin_clzll(w##l);                                             \
        }                                                                                          \
    }
#define STORE(l)                                                                                   \
    s##l->pos = pos##l;                                                                            \
    s##l->out = out##l;                                                                            \
    if (counting) {                                                                                \
        log_counts(s##l, tally##l &(TALLY_MATCH - 1),                                              \
                   (tally##l & (TALLY_SHORT - 1)) / TALLY_MATCH, tally##l / TALLY_SHORT);          \
    }

INLINE void PASTE(lanes_x, LANES)(struct varve_inflate_stream *const *streams, bool counting) {
    EACH(DECLARE)
    bool stopped = false;
    for (;;) {
        size_t items = ITEMS_MOST;
        EACH(ROOM)
        if (!items) {
            break;
        }
        do {
            EACH(REFILL)
            EACH(FIRST)
            EACH(SECOND)
            EACH(THIRD)
            EACH(DISTANCE)
            EACH(COMMIT)
        } while (--items && !stopped);
        if (stopped) {
            break;
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
#undef STORE
#undef LANES
