/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/sha256_shani_x1.c - SHA-256 compression by the SHA extensions, one stream. */
#define SHA256_KERNEL varve_sha256_shani_x1
#define SHA256_LANES 1
#include "sha256_shani.h"
