/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/storm.c - the fuzz target inflate without a fuzzer: as many small streams as wanted,
 * made at random and damaged at random, each judged beside others as the target does.
 *
 *   storm_inflate STREAMS [SEED]
 *
 * Without sanitizers some hundred times as fast as the fuzzer. STREAMS counts every stream of every
 * batch. Prints the seed before and the count behind; a difference aborts. */
#include <inttypes.h>

#include "../kernels/inflate_run.h"
#include "fuzz.h"

extern uint64_t inflate_judged;

enum { ROOM = 700, SOURCES = 512 };

/* Codes as deflate fixes them (RFC 1951, 3.2.6), in a stream of a few symbols. */
static size_t fixed_stream(uint8_t *to, struct inflate_random *random) {
    struct inflate_writer writer = {to, ROOM, 0};
    uint64_t symbols = inflate_random_below(random, 40);
    inflate_put(&writer, inflate_random_below(random, 4) ? 3 : 2, 3);
    for (uint64_t i = 0; i < symbols; i++) {
        inflate_put(&writer, (uint32_t)inflate_random_next(random),
                    7 + (unsigned)inflate_random_below(random, 3));
    }
    inflate_put(&writer, 0, 7);
    return (writer.bits + 7) / 8;
}

static size_t source_stream(uint8_t *to, struct inflate_random *random) {
    size_t bytes = inflate_random_below(random, 3) ? inflate_random_stream(to, ROOM, random)
                                                   : fixed_stream(to, random);
    return bytes < ROOM ? bytes : ROOM;
}

/* A piece of a source, now and then with bits flipped or bytes changed. */
static size_t damaged(uint8_t *to, const uint8_t *from, size_t bytes,
                      struct inflate_random *random) {
    memcpy(to, from, bytes);
    size_t keep = inflate_random_below(random, 2) ? bytes : inflate_random_below(random, bytes + 1);
    for (uint64_t n = inflate_random_below(random, 4); n > 0 && keep > 0; n--) {
        /* Mostly where the header and its codes are. */
        size_t within = inflate_random_below(random, 2) && keep > 80 ? 80 : keep;
        size_t at = inflate_random_below(random, within);
        to[at] ^= inflate_random_below(random, 3) ? (uint8_t)(1u << inflate_random_below(random, 8))
                                                  : (uint8_t)inflate_random_next(random);
    }
    return keep;
}

int main(int argc, char **argv) {
    static uint8_t sources[SOURCES][ROOM];
    static size_t sizes[SOURCES];
    static uint8_t input[8 + ROOM];
    MUST(argc == 2 || argc == 3);
    uint64_t wanted = strtoull(argv[1], NULL, 10);
    struct inflate_random random = {argc == 3 ? strtoull(argv[2], NULL, 10) : 1};
    MUST(wanted > 0);
    printf("seed %" PRIu64 "\n", random.state);
    fflush(stdout);
    for (size_t i = 0; i < SOURCES; i++) {
        sizes[i] = source_stream(sources[i], &random);
    }
    while (inflate_judged < wanted) {
        size_t i = inflate_random_below(&random, SOURCES);
        if (inflate_random_below(&random, 64) == 0) {
            sizes[i] = source_stream(sources[i], &random);
        }
        uint64_t dice = inflate_random_next(&random);
        memcpy(input, &dice, sizeof dice);
        size_t bytes = damaged(input + 8, sources[i], sizes[i], &random);
        LLVMFuzzerTestOneInput(input, 8 + bytes);
    }
    printf("%" PRIu64 " streams, no difference\n", inflate_judged);
    return 0;
}
