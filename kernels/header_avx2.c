/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/header_avx2.c - tar header blocks with AVX2: 64 bytes are two registers. */
#include <immintrin.h>
#include <stdint.h>

#define NAME(function) function##_avx2

typedef struct {
    __m256i low, high;
} group;

static inline uint64_t bits_of(__m256i low, __m256i high) {
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high)
                                                     << 32;
}

static inline group group_load(const uint8_t *bytes) {
    return (group){_mm256_loadu_si256((const __m256i_u *)bytes),
                   _mm256_loadu_si256((const __m256i_u *)(bytes + 32))};
}
static inline void group_store(uint8_t *bytes, group g) {
    _mm256_storeu_si256((__m256i_u *)bytes, g.low);
    _mm256_storeu_si256((__m256i_u *)(bytes + 32), g.high);
}
static inline uint64_t group_equal(group g, char byte) {
    __m256i all = _mm256_set1_epi8(byte);
    return bits_of(_mm256_cmpeq_epi8(g.low, all), _mm256_cmpeq_epi8(g.high, all));
}
static inline uint64_t group_nonzero(group g) {
    return ~group_equal(g, 0);
}
static inline uint64_t group_high(group g) {
    return bits_of(g.low, g.high);
}
static inline uint64_t group_digits(group g) {
    /* '0' to '7' are the bytes whose upper five bits are 00110. */
    __m256i upper = _mm256_set1_epi8((char)0xf8);
    return group_equal((group){_mm256_and_si256(g.low, upper), _mm256_and_si256(g.high, upper)},
                       '0');
}
static inline uint32_t group_sum(group g) {
    __m256i zero = _mm256_setzero_si256();
    __m256i sums = _mm256_add_epi64(_mm256_sad_epu8(g.low, zero), _mm256_sad_epu8(g.high, zero));
    __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return (uint32_t)_mm_cvtsi128_si64(half) + (uint32_t)_mm_extract_epi64(half, 1);
}
/* All bits of each byte whose bit in `mask` is set. */
static inline __m256i bytes_of(uint32_t mask) {
    const __m256i spread = _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101,
                                              0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int)mask), spread);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
}
static inline group group_keep(group g, uint64_t mask) {
    return (group){_mm256_and_si256(g.low, bytes_of((uint32_t)mask)),
                   _mm256_and_si256(g.high, bytes_of((uint32_t)(mask >> 32)))};
}
static inline __m256i quads_of(__m256i digits) {
    digits = _mm256_and_si256(digits, _mm256_set1_epi8(7));
    __m256i pairs = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(1 << 8 | 8));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi32(1 << 16 | 64));
}
static inline void group_quads(uint32_t quads[16], group g, uint64_t mask) {
    group digits = group_keep(g, mask);
    _mm256_storeu_si256((__m256i_u *)quads, quads_of(digits.low));
    _mm256_storeu_si256((__m256i_u *)(quads + 8), quads_of(digits.high));
}
static inline __m256i digits_of(__m256i q) {
    __m256i digits = _mm256_or_si256(
        _mm256_or_si256(_mm256_srli_epi32(q, 9),
                        _mm256_and_si256(_mm256_slli_epi32(q, 2), _mm256_set1_epi32(0x700))),
        _mm256_or_si256(_mm256_and_si256(_mm256_slli_epi32(q, 13), _mm256_set1_epi32(0x70000)),
                        _mm256_and_si256(_mm256_slli_epi32(q, 24), _mm256_set1_epi32(0x7000000))));
    return _mm256_or_si256(digits, _mm256_set1_epi8('0'));
}
static inline group group_of_quads(const uint32_t quads[16]) {
    return (group){digits_of(_mm256_loadu_si256((const __m256i_u *)quads)),
                   digits_of(_mm256_loadu_si256((const __m256i_u *)(quads + 8)))};
}

#include "header_template.h"
