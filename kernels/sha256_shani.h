/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/sha256_shani.h - template of the SHA-NI kernels: SHA256_LANES streams interleaved.
 *
 * Define SHA256_KERNEL (the function's name) and SHA256_LANES, then include. One stream leaves the
 * unit idle most of the time, as every SHA256RNDS2 waits for the one before it; a second stream
 * fills the gaps, and a third no longer fits sixteen registers.
 *
 * The instructions keep the state as two vectors, ABEF and CDGH (Intel SDM vol. 2B, SHA256RNDS2).
 */
#include <immintrin.h>

#include "kernels.h"
#include "sha256_constants.h"

#define EACH_LANE for (int l = 0; l < SHA256_LANES; l++)

/* Words first..first+3 of the state, lane by lane. */
static inline void load_words(__m128i words[SHA256_LANES], const uint32_t *state, int first) {
    const __m128i *from = (const __m128i *)(state + first * SHA256_LANES);
#if SHA256_LANES == 1
    words[0] = _mm_loadu_si128(from);
#else
    __m128 low = _mm_castsi128_ps(_mm_load_si128(from));
    __m128 high = _mm_castsi128_ps(_mm_load_si128(from + 1));
    words[0] = _mm_castps_si128(_mm_shuffle_ps(low, high, 0x88));
    words[1] = _mm_castps_si128(_mm_shuffle_ps(low, high, 0xdd));
#endif
}

static inline void store_words(uint32_t *state, int first, const __m128i words[SHA256_LANES]) {
    __m128i *to = (__m128i *)(state + first * SHA256_LANES);
#if SHA256_LANES == 1
    _mm_storeu_si128(to, words[0]);
#else
    _mm_store_si128(to, _mm_unpacklo_epi32(words[0], words[1]));
    _mm_store_si128(to + 1, _mm_unpackhi_epi32(words[0], words[1]));
#endif
}

/* Four words of a block. */
static inline __m128i load_swapped(const uint8_t *from) {
    const __m128i byte_swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)from), byte_swap);
}

/* Words 4g..4g+3 of the message schedule, over words 4(g-4)..4(g-4)+3 in w[g % 4]. */
static inline __attribute__((always_inline)) __m128i next_words(const __m128i w[4], int g) {
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[g % 4], w[(g + 1) % 4]),
                                _mm_alignr_epi8(w[(g + 3) % 4], w[(g + 2) % 4], 4));
    return _mm_sha256msg2_epu32(sum, w[(g + 3) % 4]);
}

void SHA256_KERNEL(uint32_t *state, const uint8_t *const *blocks, size_t block_count) {
    __m128i abef[SHA256_LANES], cdgh[SHA256_LANES];
    const uint8_t *data[SHA256_LANES];
    __m128i abcd[SHA256_LANES], efgh[SHA256_LANES];
    load_words(abcd, state, 0);
    load_words(efgh, state, 4);
    EACH_LANE {
        __m128i cdab = _mm_shuffle_epi32(abcd[l], 0xb1), hgfe = _mm_shuffle_epi32(efgh[l], 0x1b);
        abef[l] = _mm_alignr_epi8(cdab, hgfe, 8);
        cdgh[l] = _mm_blend_epi16(hgfe, cdab, 0xf0);
        data[l] = blocks[l];
    }
    do {
        __m128i w[SHA256_LANES][4], abef_in[SHA256_LANES], cdgh_in[SHA256_LANES];
        EACH_LANE {
            abef_in[l] = abef[l];
            cdgh_in[l] = cdgh[l];
        }
        EACH_LANE {
            w[l][0] = load_swapped(data[l]);
        }
#pragma GCC unroll 16
        for (int g = 0; g < 16; g++) {
            const __m128i k = _mm_load_si128((const __m128i *)&sha256_k[4 * g]);
            __m128i wk[SHA256_LANES];
            EACH_LANE {
                wk[l] = _mm_add_epi32(w[l][g % 4], k);
                cdgh[l] = _mm_sha256rnds2_epu32(cdgh[l], abef[l], wk[l]);
                abef[l] = _mm_sha256rnds2_epu32(abef[l], cdgh[l], _mm_shuffle_epi32(wk[l], 0x0e));
            }
            /* A step ahead of the rounds that need them. */
            EACH_LANE {
                if (g < 15) {
                    w[l][(g + 1) % 4] =
                        g < 3 ? load_swapped(data[l] + 16 * (g + 1)) : next_words(w[l], g + 1);
                }
            }
        }
        EACH_LANE {
            abef[l] = _mm_add_epi32(abef[l], abef_in[l]);
            cdgh[l] = _mm_add_epi32(cdgh[l], cdgh_in[l]);
            data[l] += 64;
        }
    } while (--block_count > 0);
    EACH_LANE {
        __m128i feba = _mm_shuffle_epi32(abef[l], 0x1b), dchg = _mm_shuffle_epi32(cdgh[l], 0xb1);
        abcd[l] = _mm_blend_epi16(feba, dchg, 0xf0);
        efgh[l] = _mm_alignr_epi8(dchg, feba, 8);
    }
    store_words(state, 0, abcd);
    store_words(state, 4, efgh);
}
