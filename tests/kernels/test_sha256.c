/* SPDX-License-Identifier: Apache-2.0 */
/* The SHA-256 kernels: every row against the scalar twin, and the checker against wrong kernels.
 *
 * Same random input to both; every alignment of the data, every block count up to two more than
 * twice the lanes; pages that fault on both sides of each lane's data; poison around the state.
 * VARVE_TEST_SEED=N repeats a run. Rows that this CPU cannot run are named and skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/sha.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "kernels.h"

enum {
    LANES = VARVE_SHA256_MAX_LANES,
    BLOCK = 64,
    PAGE = 4096,
    MOST_BLOCKS = 2 * LANES + 2,
    STATE_WORDS = 8 * LANES,
    MARGIN = 64 /* words of poison on each side of the state */
};

static uint64_t random_state;

static uint64_t random64(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* One page of data per lane between two that must not be touched. */
static uint8_t *pages[LANES];

static int set_up(void **state) {
    (void)state;
    const char *given = getenv("VARVE_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 1 | 1;
    random_state = seed;
    print_message("VARVE_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (int l = 0; l < LANES; l++) {
        uint8_t *at = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED || mprotect(at + PAGE, PAGE, PROT_READ | PROT_WRITE) != 0) {
            return -1;
        }
        pages[l] = at + PAGE;
        for (int i = 0; i < PAGE; i++) {
            pages[l][i] = (uint8_t)random64();
        }
    }
    return 0;
}

struct padded_state {
    _Alignas(64) uint32_t before[MARGIN], words[STATE_WORDS], after[MARGIN];
};

static const struct varve_sha256_row *scalar_row(void) {
    return &varve_sha256_rows[varve_sha256_row_count - 1];
}

/* True where the kernel does to `count` blocks of every lane what the scalar one does, and nothing
 * else. */
static bool agrees(const struct varve_sha256_row *row, const uint8_t *const *data, size_t count) {
    struct padded_state given, got, expected;
    for (size_t i = 0; i < sizeof given / 4; i++) {
        ((uint32_t *)&given)[i] = (uint32_t)random64();
    }
    got = given;
    expected = given;
    row->compress(got.words, data, count);
    for (uint32_t l = 0; l < row->lanes; l++) {
        uint32_t alone[8];
        for (uint32_t w = 0; w < 8; w++) {
            alone[w] = given.words[w * row->lanes + l];
        }
        scalar_row()->compress(alone, &data[l], count);
        for (uint32_t w = 0; w < 8; w++) {
            expected.words[w * row->lanes + l] = alone[w];
        }
    }
    return memcmp(&got, &expected, sizeof got) == 0;
}

/* Everything a kernel must get right. Returns NULL, or what it got wrong. */
static const char *fault_of(const struct varve_sha256_row *row) {
    const uint8_t *data[LANES];
    for (size_t count = 1; count <= 2 * row->lanes + 1; count++) {
        for (int l = 0; l < LANES; l++) {
            data[l] = pages[l];
        }
        if (!agrees(row, data, count)) {
            return "data against the page before";
        }
        for (int l = 0; l < LANES; l++) {
            data[l] = pages[l] + PAGE - count * BLOCK;
        }
        if (!agrees(row, data, count)) {
            return "data against the page behind";
        }
    }
    for (size_t alignment = 0; alignment < 64; alignment++) {
        for (size_t count = 1; count <= 3; count++) {
            for (size_t l = 0; l < LANES; l++) {
                data[l] = pages[l] + random64() % 16 * BLOCK + (alignment + l * 37) % 64;
            }
            if (!agrees(row, data, count)) {
                return "alignment";
            }
        }
    }
    for (int i = 0; i < 200; i++) {
        size_t count = 1 + random64() % MOST_BLOCKS;
        for (int l = 0; l < LANES; l++) {
            /* Lanes may share their data: an idle one looks at another's. */
            data[l] = pages[random64() % LANES] + random64() % (PAGE - count * BLOCK + 1);
        }
        if (!agrees(row, data, count)) {
            return "random pointers";
        }
    }
    return NULL;
}

static bool may_run(const struct varve_sha256_row *row) {
    return (row->needs & varve_cpu_bits()) == row->needs;
}

static void every_row_agrees_with_scalar(void **state) {
    (void)state;
    for (size_t i = 0; i < varve_sha256_row_count; i++) {
        const struct varve_sha256_row *row = &varve_sha256_rows[i];
        if (!may_run(row)) {
            print_message("SKIPPED: this CPU cannot run %s\n", row->name);
            continue;
        }
        const char *fault = fault_of(row);
        print_message("%s: %s\n", row->name, fault ? fault : "agrees");
        assert_null(fault);
    }
}

static void scalar_agrees_with_libcrypto(void **state) {
    (void)state;
    for (size_t blocks = 0; blocks < 60; blocks++) {
        uint32_t words[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
        uint8_t padding[BLOCK] = {0x80}, digest[32], expected[32];
        const uint8_t *data = pages[0], *end = padding;
        padding[BLOCK - 1] = (uint8_t)(blocks * 512);
        padding[BLOCK - 2] = (uint8_t)(blocks * 512 >> 8);
        if (blocks > 0) {
            scalar_row()->compress(words, &data, blocks);
        }
        scalar_row()->compress(words, &end, 1);
        for (int w = 0; w < 8; w++) {
            uint32_t word = __builtin_bswap32(words[w]);
            memcpy(digest + 4 * w, &word, 4);
        }
        SHA256(pages[0], blocks * BLOCK, expected);
        assert_memory_equal(digest, expected, 32);
    }
}

/* ---- Kernels that are wrong ---- */

static const struct varve_sha256_row *good; /* what they are made of */

static void last_lane_ignored(uint32_t *words, const uint8_t *const *blocks, size_t count) {
    uint32_t kept[8];
    for (uint32_t w = 0; w < 8; w++) {
        kept[w] = words[w * good->lanes + good->lanes - 1];
    }
    good->compress(words, blocks, count);
    for (uint32_t w = 0; w < 8; w++) {
        words[w * good->lanes + good->lanes - 1] = kept[w];
    }
}

static void state_reset(uint32_t *words, const uint8_t *const *blocks, size_t count) {
    memset(words, 0, 32 * (size_t)good->lanes);
    good->compress(words, blocks, count);
}

static void lanes_swapped(uint32_t *words, const uint8_t *const *blocks, size_t count) {
    const uint8_t *swapped[LANES];
    memcpy(swapped, blocks, good->lanes * sizeof *swapped);
    swapped[0] = blocks[good->lanes - 1];
    swapped[good->lanes - 1] = blocks[0];
    good->compress(words, swapped, count);
}

static void last_block_forgotten(uint32_t *words, const uint8_t *const *blocks, size_t count) {
    good->compress(words, blocks, count > 2 * good->lanes ? count - 1 : count);
}

static void first_block_again(uint32_t *words, const uint8_t *const *blocks, size_t count) {
    for (size_t i = 0; i < count; i++) {
        good->compress(words, blocks, 1);
    }
}

static void alignment_rounded(uint32_t *words, const uint8_t *const *blocks, size_t count) {
    const uint8_t *rounded[LANES];
    for (uint32_t l = 0; l < good->lanes; l++) {
        rounded[l] = blocks[l] - (uintptr_t)blocks[l] % 4;
    }
    good->compress(words, rounded, count);
}

static void writes_beyond_state(uint32_t *words, const uint8_t *const *blocks, size_t count) {
    good->compress(words, blocks, count);
    words[8 * good->lanes] = 0;
}

static void wrong_kernels_are_rejected(void **state) {
    (void)state;
    static const struct {
        const char *name;
        varve_sha256_compress_fn *compress;
        bool needs_lanes; /* is right where there is one lane only */
    } mutants[] = {
        {"last lane ignored", last_lane_ignored, false},
        {"state reset", state_reset, false},
        {"lanes swapped", lanes_swapped, true},
        {"last block forgotten", last_block_forgotten, false},
        {"first block again", first_block_again, false},
        {"alignment rounded", alignment_rounded, false},
        {"writes beyond the state", writes_beyond_state, false},
    };
    for (size_t i = 0; i < varve_sha256_row_count; i++) {
        good = &varve_sha256_rows[i];
        for (size_t m = 0; may_run(good) && m < sizeof mutants / sizeof mutants[0]; m++) {
            struct varve_sha256_row mutant = *good;
            mutant.compress = mutants[m].compress;
            if (!(mutants[m].needs_lanes && good->lanes == 1) && !fault_of(&mutant)) {
                fail_msg("%s of %s was not noticed", mutants[m].name, good->name);
            }
        }
    }
}

#if defined(__x86_64__)
/* XGETBV with ECX = 1 tells which state is in use (Intel SDM vol. 1, 13.6): bit 2 the upper halves
 * of ymm0-15, bit 6 those of zmm0-15. */
static bool upper_halves_dirty(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return (low & 0x44) != 0;
}

static bool can_tell(void) {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    return (varve_cpu_bits() & VARVE_CPU_AVX2) && __get_cpuid_count(0xd, 1, &a, &b, &c, &d) &&
           (a & 4);
}

static void no_upper_half_stays_dirty(void **state) {
    (void)state;
    if (!can_tell()) {
        print_message("SKIPPED: this CPU does not tell which registers are in use\n");
        skip();
    }
    __asm__ volatile("vpcmpeqd %%ymm7, %%ymm7, %%ymm7" ::: "xmm7");
    bool seen = upper_halves_dirty();
    __asm__ volatile("vzeroupper");
    if (!seen || upper_halves_dirty()) {
        print_message("SKIPPED: registers in use are not told truly here\n");
        skip();
    }
    for (size_t i = 0; i < varve_sha256_row_count; i++) {
        const struct varve_sha256_row *row = &varve_sha256_rows[i];
        if (may_run(row)) {
            struct padded_state words = {0};
            const uint8_t *data[LANES];
            memcpy(data, pages, sizeof data);
            row->compress(words.words, data, 2);
            assert_false(upper_halves_dirty());
        }
    }
}
#endif

static void rows_are_sound(void **state) {
    (void)state;
    for (size_t i = 0; i < varve_sha256_row_count; i++) {
        assert_in_range(varve_sha256_rows[i].lanes, 1, VARVE_SHA256_MAX_LANES);
    }
    assert_int_equal(scalar_row()->needs, 0);
    assert_int_equal(scalar_row()->lanes, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(scalar_agrees_with_libcrypto),
        cmocka_unit_test(every_row_agrees_with_scalar),
        cmocka_unit_test(wrong_kernels_are_rejected),
#if defined(__x86_64__)
        cmocka_unit_test(no_upper_half_stays_dirty),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
