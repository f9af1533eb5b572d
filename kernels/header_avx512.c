/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/header_avx512.c - tar header blocks with AVX-512: 64 bytes are one register. */
#include <immintrin.h>
#include <stdint.h>

#define NAME(function) function##_avx512

typedef __m512i group;

static inline group group_load(const uint8_t *bytes) {
    return _mm512_loadu_si512(bytes);
}
static inline void group_store(uint8_t *bytes, group g) {
    _mm512_storeu_si512(bytes, g);
}
static inline uint64_t group_nonzero(group g) {
    return _mm512_test_epi8_mask(g, g);
}
static inline uint64_t group_high(group g) {
    return _mm512_movepi8_mask(g);
}
static inline uint64_t group_equal(group g, char byte) {
    return _mm512_cmpeq_epi8_mask(g, _mm512_set1_epi8(byte));
}
static inline uint64_t group_digits(group g) {
    return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(g, _mm512_set1_epi8('0')), _mm512_set1_epi8(8));
}
static inline uint32_t group_sum(group g) {
    return (uint32_t)_mm512_reduce_add_epi64(_mm512_sad_epu8(g, _mm512_setzero_si512()));
}
static inline void group_quads(uint32_t quads[16], group g, uint64_t mask) {
    /* A digit's value is its low three bits. */
    group digits = _mm512_maskz_mov_epi8(mask, _mm512_and_si512(g, _mm512_set1_epi8(7)));
    group pairs = _mm512_maddubs_epi16(digits, _mm512_set1_epi16(1 << 8 | 8));
    _mm512_storeu_si512(quads, _mm512_madd_epi16(pairs, _mm512_set1_epi32(1 << 16 | 64)));
}
static inline group group_of_quads(const uint32_t quads[16]) {
    group q = _mm512_loadu_si512(quads);
    group digits = _mm512_or_si512(
        _mm512_or_si512(_mm512_srli_epi32(q, 9),
                        _mm512_and_si512(_mm512_slli_epi32(q, 2), _mm512_set1_epi32(0x700))),
        _mm512_or_si512(_mm512_and_si512(_mm512_slli_epi32(q, 13), _mm512_set1_epi32(0x70000)),
                        _mm512_and_si512(_mm512_slli_epi32(q, 24), _mm512_set1_epi32(0x7000000))));
    return _mm512_or_si512(digits, _mm512_set1_epi8('0'));
}
static inline group group_keep(group g, uint64_t mask) {
    return _mm512_maskz_mov_epi8(mask, g);
}

#include "header_template.h"
