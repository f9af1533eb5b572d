/* SPDX-License-Identifier: Apache-2.0 */
/* src/cpu.c - what this CPU can run, read by our own few lines (STYLE: builtins err in some
 * compilers). */
#include "varve/cpu.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t enabled_states(void) {
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has_all(uint32_t flags, uint32_t wanted) {
    return (flags & wanted) == wanted;
}

static uint32_t read_bits(void) {
    uint32_t eax = 0, ebx1 = 0, ecx1 = 0, edx = 0, ebx7 = 0, ecx7 = 0, ecx_ext = 0, unused = 0;
    if (!__get_cpuid(1, &eax, &ebx1, &ecx1, &edx) ||
        !__get_cpuid_count(7, 0, &eax, &ebx7, &ecx7, &edx)) {
        return 0;
    }
    __get_cpuid(0x80000001, &eax, &unused, &ecx_ext, &edx);

    uint32_t bits = 0;
    if (has_all(ecx1, bit_SSSE3 | bit_SSE4_1) && has_all(ebx7, bit_SHA)) {
        bits |= VARVE_CPU_SHANI;
    }
    /* Intel SDM vol. 1, 14.3: XCR0 bits 1, 2 for ymm; also 5, 6, 7 for zmm and masks. */
    uint64_t states = has_all(ecx1, bit_OSXSAVE) ? enabled_states() : 0;
    if ((states & 0x06) == 0x06 && has_all(ecx1, bit_AVX | bit_MOVBE) &&
        has_all(ebx7, bit_AVX2 | bit_BMI | bit_BMI2) && has_all(ecx_ext, bit_LZCNT)) {
        bits |= VARVE_CPU_AVX2;
    }
    if ((states & 0xe6) == 0xe6 && (bits & VARVE_CPU_AVX2) &&
        has_all(ebx7, bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ) &&
        has_all(ecx7, bit_AVX512VBMI)) {
        bits |= VARVE_CPU_AVX512;
    }
    return bits;
}
#else
static uint32_t read_bits(void) {
    return 0;
}
#endif

/* Beneath a hypervisor CPUID takes tens of microseconds, and every decoder and parser asks. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t known_bits;

static void read_once(void) {
    known_bits = read_bits();
}

uint32_t varve_cpu_bits(void) {
    pthread_once(&once, read_once);
    return known_bits;
}

/* What each tier may use, and what it cannot do without: AVX2 machines older than SHA-NI exist. */
static const struct {
    const char *name;
    uint32_t allowed;
    uint32_t needed;
} tiers[VARVE_TIER_COUNT] = {
    [VARVE_TIER_AUTO] = {"auto", UINT32_MAX, 0},
    [VARVE_TIER_SCALAR] = {"scalar", 0, 0},
    [VARVE_TIER_SHANI] = {"shani", VARVE_CPU_SHANI, VARVE_CPU_SHANI},
    [VARVE_TIER_AVX2] = {"avx2", VARVE_CPU_SHANI | VARVE_CPU_AVX2, VARVE_CPU_AVX2},
    [VARVE_TIER_AVX512] = {"avx512", VARVE_CPU_SHANI | VARVE_CPU_AVX2 | VARVE_CPU_AVX512,
                           VARVE_CPU_AVX512},
};

uint32_t varve_cpu_bits_of(enum varve_tier tier) {
    return varve_cpu_bits() & tiers[tier].allowed;
}

const char *varve_tier_name(enum varve_tier tier) {
    assert(tier < VARVE_TIER_COUNT);
    return tiers[tier].name;
}

bool varve_tier_by_name(enum varve_tier *tier, const char *name) {
    for (int i = 0; i < VARVE_TIER_COUNT; i++) {
        if (strcmp(tiers[i].name, name) == 0) {
            *tier = (enum varve_tier)i;
            return true;
        }
    }
    return false;
}

bool varve_tier_may_run(enum varve_tier tier) {
    return (varve_cpu_bits() & tiers[tier].needed) == tiers[tier].needed;
}

enum varve_tier varve_tier_best(void) {
    enum varve_tier best = VARVE_TIER_AVX512;
    while (!varve_tier_may_run(best)) {
        best--;
    }
    return best;
}

const struct varve_header_row *varve_header_row_of(enum varve_tier tier) {
    uint32_t bits = varve_cpu_bits_of(tier);
    size_t index = 0;
    while ((bits & varve_header_rows[index].needs) != varve_header_rows[index].needs) {
        index++; /* the last row needs nothing */
    }
    return &varve_header_rows[index];
}

const struct varve_inflate_row *varve_inflate_row_of(enum varve_tier tier) {
    uint32_t bits = varve_cpu_bits_of(tier);
    size_t index = 0;
    while ((bits & varve_inflate_rows[index].needs) != varve_inflate_rows[index].needs) {
        index++; /* the last row needs nothing */
    }
    return &varve_inflate_rows[index];
}

size_t varve_kernel_count(void) {
    return varve_sha256_row_count + varve_header_row_count + varve_inflate_row_count;
}

struct varve_kernel_info varve_kernel_at(size_t index) {
    assert(index < varve_kernel_count());
    uint32_t bits = varve_cpu_bits();
    if (index >= varve_sha256_row_count + varve_header_row_count) {
        const struct varve_inflate_row *inflate =
            &varve_inflate_rows[index - varve_sha256_row_count - varve_header_row_count];
        return (struct varve_kernel_info){"inflate", inflate->name, inflate->lanes,
                                          (bits & inflate->needs) == inflate->needs};
    }
    if (index >= varve_sha256_row_count) {
        const struct varve_header_row *header = &varve_header_rows[index - varve_sha256_row_count];
        return (struct varve_kernel_info){"header", header->name, 1,
                                          (bits & header->needs) == header->needs};
    }
    const struct varve_sha256_row *row = &varve_sha256_rows[index];
    return (struct varve_kernel_info){"sha256", row->name, row->lanes,
                                      (bits & row->needs) == row->needs};
}
