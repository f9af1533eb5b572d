/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/sha256_avx512_x16.c - SHA-256 compression, sixteen streams in 512-bit vectors. */
#define SHA256_KERNEL varve_sha256_avx512_x16
#define VECTOR_AVX512
#include "sha256_lanes.h"
