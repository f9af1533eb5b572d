/* SPDX-License-Identifier: Apache-2.0 */
/* varve/cpu.h - instruction-set tiers and the kernels they allow.
 *
 * A tier is an upper bound on what may be used, not a promise that each family has a kernel of it.
 * It is chosen when a context opens and never changes; contexts of different tiers live side by
 * side. What a CPU may run is read from CPUID and XGETBV (Intel SDM vol. 1, 13 and 14).
 * All functions here are pure and may be called from any thread.
 */
#ifndef VARVE_CPU_H
#define VARVE_CPU_H

#include "varve/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum varve_tier {
    VARVE_TIER_AUTO,   /* the best this CPU has */
    VARVE_TIER_SCALAR, /* portable C only */
    VARVE_TIER_SHANI,  /* + SSE4.1 and the SHA extensions */
    VARVE_TIER_AVX2,   /* + AVX2 and BMI2 (and SHA-NI where the CPU has it) */
    VARVE_TIER_AVX512, /* + AVX-512 F, BW, VL, DQ, VBMI */
    VARVE_TIER_COUNT
};

/* "auto", "scalar", "shani", "avx2", "avx512". Static storage. */
VARVE_API const char *varve_tier_name(enum varve_tier tier);

/* Finds a tier by that name. False, *tier untouched, where there is none. */
VARVE_API bool varve_tier_by_name(enum varve_tier *tier, const char *name);

/* The highest tier this CPU and operating system can run. Never AUTO. */
VARVE_API enum varve_tier varve_tier_best(void);

/* True where `tier` can run here; AUTO and SCALAR always can. */
VARVE_API bool varve_tier_may_run(enum varve_tier tier);

/* One row of the kernel registry, for listing (`varve --cpu=list`). */
struct varve_kernel_info {
    const char *family; /* "sha256", "header", ... */
    const char *name;   /* "avx512_x16", ... */
    unsigned lanes;     /* independent streams or blocks a call works on */
    bool may_run;       /* on this CPU */
};

/* How many rows over all families, and the row at `index` (< count); families together, best first.
 */
VARVE_API size_t varve_kernel_count(void);
VARVE_API struct varve_kernel_info varve_kernel_at(size_t index);

#ifdef __cplusplus
}
#endif
#endif
