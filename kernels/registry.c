/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/registry.c - the tables of kernels/kernels.h; the only place where a variant exists. */
#include "kernels.h"

varve_sha256_compress_fn varve_sha256_hybrid_x16;
varve_sha256_compress_fn varve_sha256_avx512_x16;
varve_sha256_compress_fn varve_sha256_avx512_x8;
varve_sha256_compress_fn varve_sha256_avx2_x8;
varve_sha256_compress_fn varve_sha256_shani_x2;
varve_sha256_compress_fn varve_sha256_shani_x1;
varve_sha256_compress_fn varve_sha256_scalar;

const struct varve_sha256_row varve_sha256_rows[] = {
#if defined(__x86_64__)
    {"hybrid_x16", VARVE_CPU_AVX512 | VARVE_CPU_SHANI, 16, varve_sha256_hybrid_x16},
    {"avx512_x16", VARVE_CPU_AVX512, 16, varve_sha256_avx512_x16},
    {"avx512_x8", VARVE_CPU_AVX512, 8, varve_sha256_avx512_x8},
    {"avx2_x8", VARVE_CPU_AVX2, 8, varve_sha256_avx2_x8},
    {"shani_x2", VARVE_CPU_SHANI, 2, varve_sha256_shani_x2},
    {"shani_x1", VARVE_CPU_SHANI, 1, varve_sha256_shani_x1},
#endif
    {"scalar", 0, 1, varve_sha256_scalar},
};
const size_t varve_sha256_row_count = sizeof varve_sha256_rows / sizeof varve_sha256_rows[0];

#define HEADER_KERNELS(set)                                                                        \
    varve_header_read_fn varve_header_read_##set;                                                  \
    varve_header_read_gnu_fn varve_header_read_gnu_##set;                                          \
    varve_header_write_fn varve_header_write_##set;                                                \
    varve_header_zeros_fn varve_header_zeros_##set;
#define HEADER_ROW(set, needs)                                                                     \
    {                                                                                              \
#set, needs, varve_header_read_##set, varve_header_read_gnu_##set,                         \
            varve_header_write_##set, varve_header_zeros_##set                                     \
    }

HEADER_KERNELS(scalar)
HEADER_KERNELS(avx2)
HEADER_KERNELS(avx512)

const struct varve_header_row varve_header_rows[] = {
#if defined(__x86_64__)
    HEADER_ROW(avx512, VARVE_CPU_AVX512),
    HEADER_ROW(avx2, VARVE_CPU_AVX2),
#endif
    HEADER_ROW(scalar, 0),
};
const size_t varve_header_row_count = sizeof varve_header_rows / sizeof varve_header_rows[0];

varve_inflate_run_fn varve_inflate_avx2_x4;
varve_inflate_run_fn varve_inflate_avx2_x1;
varve_inflate_run_fn varve_inflate_portable_x1;
varve_inflate_run_fn varve_inflate_scalar;

const struct varve_inflate_row varve_inflate_rows[] = {
#if defined(__x86_64__)
    {"avx2_x4", VARVE_CPU_AVX2, 4, varve_inflate_avx2_x4},
    {"avx2_x1", VARVE_CPU_AVX2, 1, varve_inflate_avx2_x1},
#endif
    {"portable_x1", 0, 1, varve_inflate_portable_x1},
    {"scalar", 0, 1, varve_inflate_scalar},
};
const size_t varve_inflate_row_count = sizeof varve_inflate_rows / sizeof varve_inflate_rows[0];
