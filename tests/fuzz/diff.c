/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/diff.c - two layers compared, in large steps and in small ones: the same verdict and
 * the same differences, and what must hold of any two (docs/diff.md, section 1). The first two
 * bytes say where the input is cut in two, the third how small the small steps are. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "varve/diff.h"

#define MOST_DECODED (1u << 20)
#define BUDGET_BYTES (64u << 20)

struct told {
    uint64_t hash, count;
    int deepest;
};

static void mix(uint64_t *hash, const void *bytes, size_t count) {
    const uint8_t *p = bytes;
    for (size_t i = 0; i < count; i++) {
        *hash = (*hash ^ p[i]) * UINT64_C(0x100000001b3);
    }
}

static void take(void *cookie, const struct varve_difference *difference) {
    struct told *told = cookie;
    told->count++;
    mix(&told->hash, &difference->kind, sizeof difference->kind);
    mix(&told->hash, &difference->rung, sizeof difference->rung);
    if (difference->kind != VARVE_DIFF_SECURITY && difference->rung != VARVE_RUNG_COUNT &&
        (int)difference->rung > told->deepest) {
        told->deepest = (int)difference->rung;
    }
    for (size_t i = 0; i < difference->field_count; i++) {
        const struct varve_diff_field *field = &difference->fields[i];
        MUST(field->has[0] || field->has[1]);
        mix(&told->hash, field->name, strlen(field->name));
        for (unsigned side = 0; side < 2; side++) {
            mix(&told->hash, field->value[side].bytes, field->value[side].count);
            mix(&told->hash, &field->offset[side], sizeof field->offset[side]);
        }
    }
}

static int file_of(const uint8_t *data, size_t bytes) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
    return fd;
}

static struct told compare(const int fds[2], enum varve_tier tier, size_t chunk_bytes,
                           bool *whole) {
    const struct varve_diff_options options = {.tier = tier,
                                               .memory_bytes = BUDGET_BYTES,
                                               .max_decoded_bytes = MOST_DECODED,
                                               .chunk_bytes = chunk_bytes};
    const uint32_t all = (1u << VARVE_RUNG_COUNT) - 1;
    struct told told = {.hash = 1, .deepest = -1};
    struct varve_diff *diff = NULL;
    MUST(varve_diff_open(&diff, &options) == VARVE_OK);
    for (unsigned i = 0; i < 2; i++) {
        MUST(lseek(fds[i], 0, SEEK_SET) == 0);
    }
    const struct varve_diff_side sides[2] = {{fds[0], 0, UINT64_MAX, "left", "fuzz"},
                                             {fds[1], 0, UINT64_MAX, "right", "fuzz"}};
    MUST(varve_diff_layers(diff, &sides[0], &sides[1]) == VARVE_OK);
    MUST(varve_diff_each(diff, VARVE_DIFF_ALL, take, &told) == VARVE_OK);
    struct varve_diff_verdict verdict = varve_diff_verdict(diff);
    *whole = varve_diff_layer(diff, 0)->rungs.present == all &&
             varve_diff_layer(diff, 1)->rungs.present == all;
    if (*whole && verdict.entries_compared && verdict.headers_compared) {
        MUST(told.deepest + 1 == (int)verdict.meet);
    }
    mix(&told.hash, &verdict.meet, sizeof verdict.meet);
    mix(&told.hash, &verdict.rungs_unequal, sizeof verdict.rungs_unequal);
    mix(&told.hash, &verdict.facets_unequal, sizeof verdict.facets_unequal);
    varve_diff_close(diff);
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 3) {
        return 0;
    }
    size_t cut = ((size_t)data[0] << 8 | data[1]) * 64;
    size_t step = 1u + data[2] * 7u;
    data += 3;
    bytes -= 3;
    cut = cut < bytes ? cut : bytes;
    const int fds[2] = {file_of(data, cut), file_of(data + cut, bytes - cut)};
    bool whole[2];
    struct told large = compare(fds, VARVE_TIER_AUTO, 0, &whole[0]);
    struct told small = compare(fds, VARVE_TIER_SCALAR, step, &whole[1]);
    MUST(whole[0] == whole[1]);
    /* Where decoding fails, how much came before depends on how it is cut. */
    if (whole[0]) {
        MUST(large.hash == small.hash && large.count == small.count);
    }
    close(fds[0]);
    close(fds[1]);
    return 0;
}
