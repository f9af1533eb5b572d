/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/kernels.h - the registry: every variant of every kernel family, one row each, best first.
 *
 * A kernel is a leaf function: no policy, no allocation, no global state, built with flags of its
 * own (kernels/CMakeLists.txt). The selector, `varve --cpu=list`, tests and benches loop over these
 * tables. Adding a kernel: its file, its row in registry.c, its line in the CMake flag table.
 */
#ifndef VARVE_KERNELS_H
#define VARVE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "varve/cpu.h"

/* What a kernel needs of the CPU. A tier is a set of these (varve_cpu_bits_of). */
enum {
    VARVE_CPU_SHANI = 1u << 0,  /* SSSE3, SSE4.1, SHA */
    VARVE_CPU_AVX2 = 1u << 1,   /* AVX2, BMI1, BMI2, LZCNT, and ymm state enabled */
    VARVE_CPU_AVX512 = 1u << 2, /* AVX-512 F, BW, VL, DQ, VBMI, and zmm state enabled */
};

/* What this CPU and operating system offer, and what `tier` allows of it. */
uint32_t varve_cpu_bits(void);
uint32_t varve_cpu_bits_of(enum varve_tier tier);

/* SHA-256 block compression (FIPS 180-4, 6.2.2), `lanes` streams side by side.
 *   state        [8][lanes], word-major (word w of lane l at state[w * lanes + l]), updated in
 *                place; aligned to 64 bytes, with one lane to 4
 *   blocks       one pointer per lane to `block_count` * 64 bytes, any alignment, none NULL (an
 *                idle lane points at another's data); no byte beyond them is touched
 *   block_count  >= 1
 * Vector kernels leave no dirty upper register halves behind. */
typedef void varve_sha256_compress_fn(uint32_t *state, const uint8_t *const *blocks,
                                      size_t block_count);

/* `cost` is what one block of all lanes takes, idle ones included, in cycles of a Golden Cove core
 * (measured: docs/sha256.md). Only ratios matter: the scheduler takes the row that compresses the
 * most blocks per cycle at the number of lanes alive. */
struct varve_sha256_row {
    const char *name;
    uint32_t needs; /* CPU bits */
    uint32_t lanes;
    uint32_t cost;
    varve_sha256_compress_fn *compress;
};
#define VARVE_SHA256_MAX_LANES 16
extern const struct varve_sha256_row varve_sha256_rows[];
extern const size_t varve_sha256_row_count;

#endif
