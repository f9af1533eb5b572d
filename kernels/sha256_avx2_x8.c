/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/sha256_avx2_x8.c - SHA-256 compression, eight streams in 256-bit vectors. */
#define SHA256_KERNEL varve_sha256_avx2_x8
#define VECTOR_AVX2
#include "sha256_lanes.h"
