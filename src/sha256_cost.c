/* SPDX-License-Identifier: Apache-2.0 */
/* src/sha256_cost.c - what each SHA-256 kernel costs on this CPU, measured.
 *
 * Which kernel pays for how many streams differs from one make of CPU to the next: on Sapphire
 * Rapids sixteen vector lanes do 1.9 times the blocks of two SHA-NI streams in the same time, on
 * Zen 4 not 1.1 times. A table by CPU model would be wrong for every model that nobody measured;
 * this takes half a millisecond, once. The least of several short measurements hardly depends on
 * what else the machine does, and where two rows are so close that chance decides between them, it
 * does not matter which is taken. Digests do not depend on it.
 */
#include <pthread.h>
#include <string.h>

#include "clock.h"
#include "sha256_internal.h"

/* The difference between a long and a short call is free of what calling and looking at the clock
 * take. Eight repetitions, all rows in turn: the first lets wide vectors power up. */
enum { SHORT_CALL = 8, LONG_CALL = 40, REPETITIONS = 8 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct varve_sha256_costs measured;

static double seconds_of(const struct varve_sha256_row *row, size_t blocks) {
    static const uint8_t data[(LONG_CALL + 1) * VARVE_SHA256_BLOCK_BYTES];
    _Alignas(64) uint32_t state[8 * VARVE_SHA256_MAX_LANES] = {0};
    const uint8_t *pointers[VARVE_SHA256_MAX_LANES];
    for (size_t lane = 0; lane < VARVE_SHA256_MAX_LANES; lane++) {
        pointers[lane] = data + (37 * lane + 1) % VARVE_SHA256_BLOCK_BYTES; /* as files lie */
    }
    double begun = varve_wall_seconds();
    row->compress(state, pointers, blocks);
    return varve_wall_seconds() - begun;
}

static uint32_t picoseconds_per_block(const double least[2]) {
    double block = (least[1] - least[0]) / (LONG_CALL - SHORT_CALL) * 1e12;
    return block < 1 ? 1 : block < 1e9 ? (uint32_t)block : 1000000000;
}

static void measure(void) {
    double least[SHA256_MAX_ROWS][2] = {{0}};
    uint32_t bits = varve_cpu_bits();
    for (int repetition = 0; repetition < REPETITIONS; repetition++) {
        for (size_t i = 0; i < varve_sha256_row_count; i++) {
            const struct varve_sha256_row *row = &varve_sha256_rows[i];
            for (int call = 0; call < 2 && (row->needs & bits) == row->needs; call++) {
                double took = seconds_of(row, call == 0 ? SHORT_CALL : LONG_CALL);
                bool less = repetition == 0 || took < least[i][call];
                least[i][call] = less ? took : least[i][call];
                measured.block[i] = call == 1 ? picoseconds_per_block(least[i]) : 0;
            }
        }
    }
}

const struct varve_sha256_costs *varve_sha256_costs(void) {
    pthread_once(&once, measure);
    return &measured;
}
