/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/sha256_avx512_x8.c - SHA-256 compression, eight streams in 256-bit vectors with AVX-512's
 * instructions. */
#define SHA256_KERNEL varve_sha256_avx512_x8
#define VECTOR_AVX512VL
#include "sha256_lanes.h"
