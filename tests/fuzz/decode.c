/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/decode.c - a blob through the decoder, in one piece and cut small: the same bytes, the
 * same end, the same fault. The first two input bytes say how it is cut.
 *
 * Where a fault lies is not compared: how far ahead igzip reads before it meets one depends on how
 * much it was given. */
#include <string.h>

#include "fuzz.h"
#include "varve/decode.h"

#define MOST_DECODED (1u << 22)
/* Below the fuzzer's own limit of 64 MiB an allocation. */
#define BUDGET_BYTES (32u << 20)

struct outcome {
    enum varve_decode_state state;
    struct varve_fault fault;
    uint64_t made_bytes;
    uint64_t hash; /* FNV-1a of the decoded bytes */
};

static void add(struct outcome *outcome, const uint8_t *made, size_t made_bytes) {
    outcome->made_bytes += made_bytes;
    for (size_t i = 0; i < made_bytes; i++) {
        outcome->hash = (outcome->hash ^ made[i]) * UINT64_C(0x100000001b3);
    }
}

static struct outcome decode(const uint8_t *data, size_t bytes, size_t in_most, size_t out_bytes) {
    struct outcome outcome = {.hash = UINT64_C(0xcbf29ce484222325)};
    struct varve_budget *budget = NULL;
    struct varve_findings *findings = NULL;
    struct varve_decoder *decoder = NULL;
    uint8_t *out = malloc(out_bytes);
    MUST(out && varve_findings_open(&findings) == VARVE_OK);
    MUST(varve_budget_open(&budget, BUDGET_BYTES) == VARVE_OK);
    const struct varve_decode_options options = {.budget = budget,
                                                 .max_decoded_bytes = MOST_DECODED};
    MUST(varve_decoder_open(&decoder, &options) == VARVE_OK);
    varve_decoder_reset(decoder, findings);
    size_t used = 0;
    for (;;) {
        size_t in_bytes = bytes - used < in_most ? bytes - used : in_most;
        struct varve_decode_turn turn = {.in = data + used,
                                         .in_bytes = in_bytes,
                                         .in_last = used + in_bytes == bytes,
                                         .out = out,
                                         .out_bytes = out_bytes};
        struct varve_decoder *const decoders[] = {decoder};
        varve_decode(decoders, &turn, 1);
        MUST(turn.used_bytes <= in_bytes && turn.made_bytes <= in_bytes + out_bytes);
        add(&outcome, turn.made, turn.made_bytes);
        used += turn.used_bytes;
        outcome.state = turn.state;
        if (turn.state == VARVE_DECODE_END || turn.state == VARVE_DECODE_FAULT) {
            break;
        }
        MUST(turn.state != VARVE_DECODE_WAIT);
        MUST(turn.state == VARVE_DECODE_OUTPUT || !turn.in_last);
        MUST(turn.used_bytes || turn.made_bytes);
    }
    outcome.fault = varve_decoder_fault(decoder);
    MUST((outcome.state == VARVE_DECODE_FAULT) == (outcome.fault.code != NULL));
    MUST(outcome.state == VARVE_DECODE_FAULT || used == bytes);
    MUST(outcome.made_bytes <= MOST_DECODED + out_bytes);
    varve_decoder_close(decoder);
    MUST(varve_budget_taken(budget) == 0);
    varve_budget_close(budget);
    varve_findings_close(findings);
    free(out);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 2) {
        return 0;
    }
    struct outcome whole = decode(data + 2, bytes - 2, SIZE_MAX, 1u << 16);
    struct outcome cut = decode(data + 2, bytes - 2, 1u + data[0] % 64u, 1u + data[1] * 16u);
    MUST(whole.state == cut.state);
    MUST(whole.fault.code == cut.fault.code);
    if (whole.state == VARVE_DECODE_END) {
        MUST(whole.made_bytes == cut.made_bytes && whole.hash == cut.hash);
    }
    return 0;
}
