/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/sha256_shani_x2.c - SHA-256 compression by the SHA extensions, two streams interleaved.
 */
#define SHA256_KERNEL varve_sha256_shani_x2
#define SHA256_LANES 2
#include "sha256_shani.h"
