/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/sha256_lanes.h - template of the vector kernels: one stream per 32-bit lane.
 *
 * Define SHA256_KERNEL (the function's name) and one of vector32.h's widths, then include.
 *
 * A 512-bit kernel is bound by its two vector ports, and all that can leave them counts: turning 16
 * blocks into 16 vectors of words costs 80 shuffles within registers, 5 % of a block's work. Here
 * the loads and stores, which have ports of their own, do half of it: while a block is compressed,
 * the next one of each lane is copied, 16 bytes each round, to where its quarter of a vector
 * belongs (the stage); 48 shuffles remain. The copy runs a block ahead, which also hides the
 * latency of caches behind the first. Two stages, as one is read while the other is filled.
 *
 *     stage[quad q of words][row r][lane group j]  16 bytes: words 4q..4q+3 of lane 4j + r
 */
#include <stddef.h>

#include "kernels.h"
#include "sha256_constants.h"
#include "vector32.h"

#define GROUPS (VECTOR_LANES / 4)

/* Before each block, its successors two blocks beyond the copied one are asked for, of all lanes
 * together: memory answers within the 0.3 us that a block takes, but only if the lanes wait for it
 * side by side, and the copies are too far apart for that. (Asking within the copies gained
 * nothing; not asking lost a tenth where data came from behind the second-level cache.) */
#define PREFETCH_BYTES 128

struct stage {
    _Alignas(64) uint8_t quads[4][4][GROUPS][16];
};

#define ROTATE_XOR(x, r0, r1, r2)                                                                  \
    vector_xor3(vector_rotate_right(x, r0), vector_rotate_right(x, r1), vector_rotate_right(x, r2))
#define SHIFT_XOR(x, r0, r1, s)                                                                    \
    vector_xor3(vector_rotate_right(x, r0), vector_rotate_right(x, r1), vector_shift_right(x, s))

/* Round t (modulo 16) of FIPS 180-4, 6.2.2: the variables stay where they are and change names, so
 * that a of round t lives in s[-t mod 8]. Of T1's terms the late ones, Ch and Sigma1, come last. */
VECTOR_INLINE void round_step(vector s[8], int t, vector word_and_constant) {
    vector a = s[(16 - t) & 7], b = s[(17 - t) & 7], c = s[(18 - t) & 7];
    vector e = s[(20 - t) & 7], f = s[(21 - t) & 7], g = s[(22 - t) & 7];
    vector t1 = vector_add(
        vector_add(vector_add(s[(23 - t) & 7], word_and_constant), vector_choose(e, f, g)),
        ROTATE_XOR(e, 6, 11, 25));
    s[(19 - t) & 7] = vector_add(s[(19 - t) & 7], t1);
    s[(23 - t) & 7] =
        vector_add(t1, vector_add(ROTATE_XOR(a, 2, 13, 22), vector_majority(a, b, c)));
}

/* The word after next sixteen: w[t] becomes word t + 16, from w[t + 1], w[t + 9], w[t + 14]. */
VECTOR_INLINE void next_word(vector w[16], int t) {
    vector far = vector_add(w[t], SHIFT_XOR(w[(t + 1) & 15], 7, 18, 3));
    vector near = vector_add(w[(t + 9) & 15], SHIFT_XOR(w[(t + 14) & 15], 17, 19, 10));
    w[t] = vector_add(far, near);
}

/* Words 4q..4q+3 of all lanes: a 4 x 4 transposition within each 128 bits. */
VECTOR_INLINE void load_quad(vector w[4], const struct stage *from, int q) {
    vector r0 = vector_load(from->quads[q][0]), r1 = vector_load(from->quads[q][1]);
    vector r2 = vector_load(from->quads[q][2]), r3 = vector_load(from->quads[q][3]);
    vector low01 = vector_unpack_low32(r0, r1), high01 = vector_unpack_high32(r0, r1);
    vector low23 = vector_unpack_low32(r2, r3), high23 = vector_unpack_high32(r2, r3);
    w[0] = vector_byte_swap(vector_unpack_low64(low01, low23));
    w[1] = vector_byte_swap(vector_unpack_high64(low01, low23));
    w[2] = vector_byte_swap(vector_unpack_low64(high01, high23));
    w[3] = vector_byte_swap(vector_unpack_high64(high01, high23));
}

/* The share of round t in copying row r of the next block. The empty asm keeps the compiler from
 * gathering the copies into something cleverer. */
VECTOR_INLINE void copy_share(struct stage *to, int r, const uint8_t *const *data, size_t offset,
                              int t) {
    if (t * GROUPS % 4 == 0) {
        int group = t * GROUPS / 16, q = t * GROUPS / 4 % 4;
        __m128i words =
            _mm_loadu_si128((const __m128i *)(data[4 * group + r] + offset + 16 * (size_t)q));
        __asm__("" : "+x"(words));
        _mm_store_si128((__m128i *)to->quads[q][r][group], words);
    }
}

/* The first block goes through registers: a vector loaded from stores of a quarter its width would
 * wait for them all to leave the store buffer. */
VECTOR_INLINE void fill_stage(struct stage *to, const uint8_t *const *data) {
    for (int q = 0; q < 4; q++) {
        for (int r = 0; r < 4; r++) {
            vector_store(to->quads[q][r], vector_of_fourths(data + r, 16 * (size_t)q));
        }
    }
}

void SHA256_KERNEL(uint32_t *state, const uint8_t *const *blocks, size_t block_count) {
    struct stage stages[2];
    struct stage *now = &stages[0], *next = &stages[1];
    vector s[8], w[16];
    fill_stage(now, blocks);
    for (int i = 0; i < 8; i++) {
        s[i] = vector_load(state + i * VECTOR_LANES);
    }
    for (size_t offset = 0; block_count > 0; block_count--) {
        offset += block_count > 1 ? 64 : 0; /* the last block is copied once more, for nothing */
        for (int lane = 0; lane < VECTOR_LANES; lane++) {
            __builtin_prefetch(blocks[lane] + offset + PREFETCH_BYTES);
        }
        vector before[8];
        for (int i = 0; i < 8; i++) {
            before[i] = s[i];
        }
#pragma GCC unroll 16
        for (int t = 0; t < 16; t++) {
            if (t % 4 == 0) {
                load_quad(w + t, now, t / 4);
            }
            round_step(s, t, vector_add(w[t], vector_broadcast(sha256_k[t])));
            copy_share(next, 0, blocks, offset, t);
        }
        for (int r = 1; r < 4; r++) {
#pragma GCC unroll 16
            for (int t = 0; t < 16; t++) {
                next_word(w, t);
                round_step(s, t, vector_add(w[t], vector_broadcast(sha256_k[16 * r + t])));
                copy_share(next, r, blocks, offset, t);
            }
        }
        for (int i = 0; i < 8; i++) {
            s[i] = vector_add(s[i], before[i]);
        }
        struct stage *spare = now;
        now = next;
        next = spare;
    }
    for (int i = 0; i < 8; i++) {
        vector_store(state + i * VECTOR_LANES, s[i]);
    }
    _mm256_zeroupper();
}
