/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/sha256_scalar.c - SHA-256 compression in portable C: the reference for every other row.
 */
#include "kernels.h"
#include "sha256_constants.h"

static uint32_t rotate_right(uint32_t x, unsigned n) {
    return x >> n | x << (32 - n);
}

static uint32_t load_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Round t of FIPS 180-4, 6.2.2: the variables stay where they are and change names, so that a of
 * round t lives in s[-t mod 8]. */
static inline __attribute__((always_inline)) void round_step(uint32_t s[8], int t, uint32_t wk) {
    uint32_t a = s[(64 - t) & 7], b = s[(65 - t) & 7], c = s[(66 - t) & 7];
    uint32_t e = s[(68 - t) & 7], f = s[(69 - t) & 7], g = s[(70 - t) & 7];
    uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    uint32_t t1 = s[(71 - t) & 7] + wk + (g ^ (e & (f ^ g))) + sum1;
    s[(67 - t) & 7] += t1;
    s[(71 - t) & 7] = t1 + sum0 + ((a & b) | (c & (a | b)));
}

/* w[t] becomes word t + 16 of the message schedule. */
static inline __attribute__((always_inline)) void next_word(uint32_t w[16], int t) {
    uint32_t far = w[(t + 1) & 15], near = w[(t + 14) & 15];
    w[t & 15] += (rotate_right(far, 7) ^ rotate_right(far, 18) ^ far >> 3) + w[(t + 9) & 15] +
                 (rotate_right(near, 17) ^ rotate_right(near, 19) ^ near >> 10);
}

static void compress_block(uint32_t *state, const uint8_t *block) {
    uint32_t s[8], w[16];
    for (int i = 0; i < 8; i++) {
        s[i] = state[i];
    }
#pragma GCC unroll 16
    for (int t = 0; t < 16; t++) {
        w[t] = load_be32(block + 4 * (size_t)t);
        round_step(s, t, w[t] + sha256_k[t]);
    }
    for (int k = 16; k < 64; k += 16) {
#pragma GCC unroll 16
        for (int t = 0; t < 16; t++) {
            next_word(w, t);
            round_step(s, t, w[t] + sha256_k[k + t]);
        }
    }
    for (int i = 0; i < 8; i++) {
        state[i] += s[i];
    }
}

void varve_sha256_scalar(uint32_t *state, const uint8_t *const *blocks, size_t block_count) {
    for (size_t i = 0; i < block_count; i++) {
        compress_block(state, blocks[0] + i * 64);
    }
}
