/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/inflate.c - a deflate stream through all inflate kernels, beside others: what zlib
 * says of it, what igzip says, and the same bytes and the same fault at the same place however it
 * is cut, whoever its neighbours are and however often it changes kernels.
 *
 * The first eight input bytes are the seed of all that is random: chunks, rooms, order, neighbours.
 * Those are the input with a bit or byte changed, the input cut short, and sound streams. */
#include <isa-l.h>

#include "../kernels/inflate_run.h"
#include "fuzz.h"

varve_inflate_run_fn varve_inflate_scalar;

enum { MADE_ROOM = 1 << 16, LANES = 7, POOL = 24, POOL_BYTES = 4096, BYTES_MOST = 1 << 16 };

extern uint64_t inflate_judged;
uint64_t inflate_judged; /* streams, in all batches */

static struct inflate_lane lanes[LANES + 1];
static uint8_t made[LANES][MADE_ROOM];
static uint8_t copies[LANES][BYTES_MOST];

static struct {
    uint8_t data[POOL_BYTES];
    size_t bytes;
} pool[POOL];

static void open_all(void) {
    static bool open;
    if (open) {
        return;
    }
    open = true;
    struct inflate_random random = {1};
    for (size_t i = 0; i <= LANES; i++) {
        inflate_lane_open(&lanes[i], MADE_ROOM);
    }
    for (size_t i = 0; i < POOL; i++) {
        pool[i].bytes = inflate_random_stream(pool[i].data, POOL_BYTES, &random);
    }
}

/* The reference alone and whole, held against zlib: its lane, until the next one. */
static const struct inflate_lane *refer(const uint8_t *data, size_t bytes, size_t log_bytes,
                                        const struct inflate_judgement *judge,
                                        const uint8_t *judged, struct inflate_random *random) {
    static const struct inflate_cut whole = {BYTES_MOST, INFLATE_ROOM_MOST, 0, false};
    struct inflate_lane *lane = &lanes[LANES];
    inflate_lane_begin(lane, data, bytes, log_bytes, false);
    MUST(!inflate_batch(&lane, 1, &whole, varve_inflate_scalar, random));
    MUST(!inflate_differ(lane, judge, judged, SIZE_MAX));
    return lane;
}

/* igzip takes incomplete codes that zlib refuses; else they agree. */
static void ask_igzip(const uint8_t *data, size_t bytes, const struct inflate_judgement *judge,
                      const uint8_t *judged) {
    static struct inflate_state state;
    static uint8_t out[MADE_ROOM + 64];
    union {
        const uint8_t *given;
        uint8_t *taken;
    } in = {.given = data};
    isal_inflate_init(&state);
    state.next_in = in.taken;
    state.avail_in = (uint32_t)bytes;
    state.next_out = out;
    state.avail_out = MADE_ROOM;
    int result = isal_inflate(&state);
    bool sound = result == ISAL_DECOMP_OK && state.block_state == ISAL_BLOCK_FINISH;
    if (judge->full) {
        return;
    }
    if (judge->sound) {
        MUST(sound && state.total_out == judge->made_bytes);
        MUST(memcmp(out, judged, judge->made_bytes) == 0);
    } else {
        MUST(!sound || (judge->message && (strstr(judge->message, " set") ||
                                           strstr(judge->message, "end-of-block"))));
    }
}

/* A neighbour. */
static size_t make_mate(uint8_t *to, const uint8_t *data, size_t bytes,
                        struct inflate_random *random) {
    uint64_t kind = inflate_random_below(random, 4);
    if (kind == 0 || !bytes) {
        size_t i = inflate_random_below(random, POOL);
        memcpy(to, pool[i].data, pool[i].bytes);
        return pool[i].bytes;
    }
    memcpy(to, data, bytes);
    if (kind == 1) {
        return inflate_random_below(random, bytes + 1);
    }
    size_t at = inflate_random_below(random, bytes);
    to[at] ^= kind == 2 ? (uint8_t)(1u << inflate_random_below(random, 8))
                        : (uint8_t)inflate_random_next(random);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const size_t chunks[] = {1, 3, 9, 40, 200, BYTES_MOST};
    static const size_t rooms[] = {1, 40, 300, 3000, INFLATE_ROOM_MOST, INFLATE_ROOM_MOST};
    struct inflate_random random = {0};
    struct inflate_judgement judges[LANES];
    struct inflate_lane *batch[LANES];
    size_t faults[LANES];
    static struct varve_inflate_log logs[LANES];
    if (bytes < 8 || bytes > BYTES_MOST) {
        return 0;
    }
    open_all();
    memcpy(&random.state, data, 8);
    data += 8;
    bytes -= 8;
    size_t count = 1 + inflate_random_below(&random, LANES);
    size_t subject = inflate_random_below(&random, count);
    bool counting = inflate_random_below(&random, 2);
    for (size_t i = 0; i < count; i++) {
        size_t n = bytes;
        if (i == subject) {
            memcpy(copies[i], data, bytes);
        } else {
            n = make_mate(copies[i], data, bytes, &random);
        }
        judges[i] = inflate_judge(copies[i], n, made[i], MADE_ROOM);
        size_t log_bytes =
            inflate_random_below(&random, 2) ? SIZE_MAX : inflate_random_below(&random, n + 9);
        const struct inflate_lane *reference =
            refer(copies[i], n, log_bytes, &judges[i], made[i], &random);
        faults[i] = reference->fault_offset;
        logs[i] = reference->log;
        if (i == subject) {
            ask_igzip(copies[i], n, &judges[i], made[i]);
        }
        inflate_lane_begin(&lanes[i], copies[i], n, log_bytes, inflate_random_below(&random, 2));
        batch[i] = &lanes[i];
        if (!counting || inflate_random_below(&random, 4) == 0) {
            lanes[i].stream->log = NULL;
            lanes[i].log = logs[i];
        }
    }
    const struct inflate_cut cut = {chunks[inflate_random_below(&random, 6)],
                                    rooms[inflate_random_below(&random, 6)], inflate_rows_here(),
                                    inflate_random_below(&random, 2)};
    MUST(!inflate_batch(batch, count, &cut, NULL, &random));
    inflate_judged += count;
    for (size_t i = 0; i < count; i++) {
        MUST(!inflate_differ(&lanes[i], &judges[i], made[i], faults[i]));
        MUST(lanes[i].stop == VARVE_INFLATE_STOP_OUTPUT ||
             !inflate_logs_differ(&lanes[i].log, &logs[i]));
    }
    return 0;
}
