/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/kernels.c - every row of the kernel registry that this CPU runs against the last one,
 * the scalar: the same numbers out of the same blocks, the same records, the same count of zeros,
 * the same SHA-256 states. The input is blocks, at an alignment that its first byte says. */
#include <string.h>

#include "fuzz.h"
#include "kernels.h"

#define BLOCK 512u
#define BLOCKS_MOST 40u
#define STATE_WORDS (8 * VARVE_SHA256_MAX_LANES)

static void judge_headers(const struct varve_header_row *row, const struct varve_header_row *scalar,
                          const uint8_t *blocks, size_t count) {
    static struct varve_header_numbers numbers[2][BLOCKS_MOST];
    static struct varve_header_gnu_numbers gnu[2][BLOCKS_MOST];
    static struct varve_header_values values[BLOCKS_MOST];
    static uint8_t records[2][BLOCKS_MOST * VARVE_HEADER_FIXED_BYTES];
    memset(numbers, 0x5a, sizeof numbers);
    memset(gnu, 0x5a, sizeof gnu);
    memset(records, 0x5a, sizeof records);
    row->read(numbers[0], blocks, count);
    scalar->read(numbers[1], blocks, count);
    row->read_gnu(gnu[0], blocks, count);
    scalar->read_gnu(gnu[1], blocks, count);
    for (size_t i = 0; i < count; i++) {
        const struct varve_header_numbers *a = &numbers[0][i], *b = &numbers[1][i];
        MUST(memcmp(a->value, b->value, sizeof a->value) == 0);
        MUST(memcmp(a->nonzero, b->nonzero, sizeof a->nonzero) == 0);
        MUST(memcmp(a->style, b->style, sizeof a->style) == 0);
        MUST(a->sum == b->sum && a->signed_sum == b->signed_sum);
        MUST(memcmp(gnu[0][i].value, gnu[1][i].value, sizeof gnu[0][i].value) == 0);
        MUST(memcmp(gnu[0][i].style, gnu[1][i].style, sizeof gnu[0][i].style) == 0);
        /* Values of all kinds: the block's own bytes, short fields cut to what is allowed. */
        memcpy(&values[i], blocks + i * BLOCK, sizeof values[i]);
        int64_t *const narrow[] = {&values[i].mode, &values[i].uid, &values[i].gid,
                                   &values[i].devmajor, &values[i].devminor};
        for (size_t k = 0; k < 5; k++) {
            *narrow[k] /= 2;
        }
    }
    row->write(records[0], values, count);
    scalar->write(records[1], values, count);
    MUST(memcmp(records[0], records[1], sizeof records[0]) == 0);
    for (size_t from = 0; from < count * BLOCK; from += 97) {
        size_t left = count * BLOCK - from;
        MUST(row->zeros(blocks + from, left) == scalar->zeros(blocks + from, left));
    }
}

static void judge_sha256(const struct varve_sha256_row *row, const struct varve_sha256_row *scalar,
                         const uint8_t *data, size_t bytes) {
    static _Alignas(64) uint32_t state[STATE_WORDS];
    static _Alignas(64) uint32_t one[VARVE_SHA256_MAX_LANES][8];
    const uint8_t *lanes[VARVE_SHA256_MAX_LANES];
    size_t block_count = bytes / 64 > 4 ? 1 + data[0] % 4u : 1;
    size_t places = bytes - block_count * 64 + 1;
    memset(state, 0x5a, sizeof state);
    for (size_t l = 0; l < row->lanes; l++) {
        lanes[l] = data + (l * 31) % places;
        for (size_t w = 0; w < 8; w++) {
            memcpy(&one[l][w], data + (l + 4 * w) % (bytes - 3), 4);
            state[w * row->lanes + l] = one[l][w];
        }
    }
    row->compress(state, lanes, block_count);
    for (size_t l = 0; l < row->lanes; l++) {
        scalar->compress(one[l], &lanes[l], block_count);
        for (size_t w = 0; w < 8; w++) {
            MUST(state[w * row->lanes + l] == one[l][w]);
        }
    }
    for (size_t w = 8 * row->lanes; w < STATE_WORDS; w++) {
        MUST(state[w] == 0x5a5a5a5a);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 66) {
        return 0;
    }
    /* The last byte of the blocks is the last of the allocation: a sanitizer sees what reads on. */
    size_t shift = data[0] % 64;
    size_t content = bytes - 1 < BLOCKS_MOST * BLOCK ? bytes - 1 : BLOCKS_MOST * BLOCK;
    size_t count = (content + BLOCK - 1) / BLOCK;
    uint8_t *room = calloc(1, shift + count * BLOCK);
    MUST(room != NULL);
    memcpy(room + shift, data + 1, content);
    uint32_t bits = varve_cpu_bits();
    for (size_t i = 0; i + 1 < varve_header_row_count; i++) {
        if (!(varve_header_rows[i].needs & ~bits)) {
            judge_headers(&varve_header_rows[i], &varve_header_rows[varve_header_row_count - 1],
                          room + shift, count);
        }
    }
    for (size_t i = 0; i + 1 < varve_sha256_row_count; i++) {
        if (!(varve_sha256_rows[i].needs & ~bits)) {
            judge_sha256(&varve_sha256_rows[i], &varve_sha256_rows[varve_sha256_row_count - 1],
                         room + shift, count * BLOCK);
        }
    }
    free(room);
    return 0;
}
