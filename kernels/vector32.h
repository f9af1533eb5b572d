/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/vector32.h - a small vocabulary of vectors of 32-bit words, for templates that one text
 * serves several widths. Define VECTOR_AVX512 (16 words), VECTOR_AVX512VL (8) or VECTOR_AVX2 (8)
 * before including it. Every name says what each 32-bit word undergoes.
 */
#ifndef VARVE_VECTOR32_H
#define VARVE_VECTOR32_H

#include <immintrin.h>
#include <stdint.h>

#define VECTOR_INLINE static inline __attribute__((always_inline))

#if defined(VECTOR_AVX512)

#define VECTOR_LANES 16
typedef __m512i vector;
#define vector_add(a, b) _mm512_add_epi32(a, b)
#define vector_shift_right(a, n) _mm512_srli_epi32(a, n)
#define vector_rotate_right(a, n) _mm512_ror_epi32(a, n)
#define vector_ternary(a, b, c, table) _mm512_ternarylogic_epi32(a, b, c, table)
#define vector_broadcast(word) _mm512_set1_epi32((int)(word))
#define vector_load(from) _mm512_load_si512(from)
#define vector_store(to, a) _mm512_store_si512(to, a)
#define vector_unpack_low32(a, b) _mm512_unpacklo_epi32(a, b)
#define vector_unpack_high32(a, b) _mm512_unpackhi_epi32(a, b)
#define vector_unpack_low64(a, b) _mm512_unpacklo_epi64(a, b)
#define vector_unpack_high64(a, b) _mm512_unpackhi_epi64(a, b)
#define vector_byte_swap(a)                                                                        \
    _mm512_shuffle_epi8(a, _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203))

#elif defined(VECTOR_AVX512VL) || defined(VECTOR_AVX2)

#define VECTOR_LANES 8
typedef __m256i vector;
#define vector_add(a, b) _mm256_add_epi32(a, b)
#define vector_shift_right(a, n) _mm256_srli_epi32(a, n)
#define vector_broadcast(word) _mm256_set1_epi32((int)(word))
#define vector_load(from) _mm256_load_si256((const __m256i *)(from))
#define vector_store(to, a) _mm256_store_si256((__m256i *)(to), a)
#define vector_unpack_low32(a, b) _mm256_unpacklo_epi32(a, b)
#define vector_unpack_high32(a, b) _mm256_unpackhi_epi32(a, b)
#define vector_unpack_low64(a, b) _mm256_unpacklo_epi64(a, b)
#define vector_unpack_high64(a, b) _mm256_unpackhi_epi64(a, b)
#define vector_byte_swap(a)                                                                        \
    _mm256_shuffle_epi8(a, _mm256_set_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203,        \
                                            0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203))
#if defined(VECTOR_AVX512VL)
#define vector_rotate_right(a, n) _mm256_ror_epi32(a, n)
#define vector_ternary(a, b, c, table) _mm256_ternarylogic_epi32(a, b, c, table)
#else
#define vector_rotate_right(a, n)                                                                  \
    _mm256_or_si256(_mm256_srli_epi32(a, n), _mm256_slli_epi32(a, 32 - (n)))
#endif

#else
#error "which vectors?"
#endif

/* The three functions of three words that hashes are made of; the constants are the truth tables
 * of VPTERNLOGD (Intel SDM vol. 2C), index a << 2 | b << 1 | c. */
#if defined(vector_ternary)
VECTOR_INLINE vector vector_xor3(vector a, vector b, vector c) {
    return vector_ternary(a, b, c, 0x96);
}
VECTOR_INLINE vector vector_choose(vector a, vector b, vector c) {
    return vector_ternary(a, b, c, 0xca);
}
VECTOR_INLINE vector vector_majority(vector a, vector b, vector c) {
    return vector_ternary(a, b, c, 0xe8);
}
#else
VECTOR_INLINE vector vector_xor3(vector a, vector b, vector c) {
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}
/* a ? b : c */
VECTOR_INLINE vector vector_choose(vector a, vector b, vector c) {
    return _mm256_xor_si256(c, _mm256_and_si256(a, _mm256_xor_si256(b, c)));
}
VECTOR_INLINE vector vector_majority(vector a, vector b, vector c) {
    return _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)));
}
#endif

/* Sixteen bytes at `offset` of every fourth pointer, side by side. Any alignment. */
VECTOR_INLINE vector vector_of_fourths(const uint8_t *const *from, size_t offset) {
#define quarter(j) _mm_loadu_si128((const __m128i *)(from[4 * (j)] + offset))
#if VECTOR_LANES == 16
    vector a = _mm512_castsi128_si512(quarter(0));
    a = _mm512_inserti32x4(a, quarter(1), 1);
    a = _mm512_inserti32x4(a, quarter(2), 2);
    return _mm512_inserti32x4(a, quarter(3), 3);
#else
    return _mm256_inserti128_si256(_mm256_castsi128_si256(quarter(0)), quarter(1), 1);
#endif
#undef quarter
}

#endif
