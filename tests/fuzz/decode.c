/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/decode.c - a blob through the decoder, in one piece and cut small: the same bytes, the
 * same end, the same fault at the same place. zlib and libzstd are asked, too.
 *
 * The first two input bytes say how the blob is cut; with the highest bit of the first, the checks
 * of a gzip member are made right before, so that the fuzzer gets behind them. */
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "fuzz.h"
#include "varve/decode.h"

#define MOST_DECODED (1u << 20)
/* Below the fuzzer's own limit of 64 MiB an allocation. */
#define BUDGET_BYTES (32u << 20)

struct outcome {
    enum varve_decode_state state;
    struct varve_fault fault;
    struct varve_decode_info info;
    uint64_t made_bytes;
    uint64_t findings; /* a sum over codes, counts and offsets */
    char evidence[VARVE_ENCODER_EVIDENCE_BYTES];
    uint8_t *made;
};

static void add(struct outcome *outcome, const uint8_t *made, size_t made_bytes) {
    MUST(outcome->made_bytes + made_bytes <= MOST_DECODED);
    if (made_bytes) {
        memcpy(outcome->made + outcome->made_bytes, made, made_bytes);
        outcome->made_bytes += made_bytes;
    }
}

static void decode(struct outcome *outcome, const uint8_t *data, size_t bytes, size_t in_most,
                   size_t out_bytes) {
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
    outcome->made_bytes = outcome->findings = 0;
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
        add(outcome, turn.made, turn.made_bytes);
        used += turn.used_bytes;
        outcome->state = turn.state;
        if (turn.state == VARVE_DECODE_END || turn.state == VARVE_DECODE_FAULT) {
            break;
        }
        MUST(turn.state != VARVE_DECODE_WAIT);
        MUST(turn.state == VARVE_DECODE_OUTPUT || !turn.in_last);
        MUST(turn.state != VARVE_DECODE_INPUT || turn.used_bytes == in_bytes);
    }
    outcome->fault = varve_decoder_fault(decoder);
    outcome->info = varve_decoder_info(decoder);
    snprintf(outcome->evidence, sizeof outcome->evidence, "%s", outcome->info.encoder_evidence);
    MUST((outcome->state == VARVE_DECODE_FAULT) == (outcome->fault.code != NULL));
    MUST(outcome->state == VARVE_DECODE_FAULT || used == bytes);
    MUST(outcome->info.decoded_bytes == outcome->made_bytes);
    for (size_t i = 0; i < varve_findings_count(findings); i++) {
        struct varve_finding f = varve_findings_at(findings, i);
        outcome->findings += (uintptr_t)f.info * 31 + f.count * 17 + f.offset;
    }
    varve_decoder_close(decoder);
    MUST(varve_budget_taken(budget) == 0);
    varve_budget_close(budget);
    varve_findings_close(findings);
    free(out);
}

/* What zlib makes of a chain of gzip members. `mend`: wrong checks are made right in `blob`. */
struct judgement {
    size_t made_bytes;
    bool sound;
    bool incomplete; /* a code with gaps: zlib refuses what igzip uses */
};

static struct judgement judge(uint8_t *blob, size_t bytes, uint8_t *made, bool mend) {
    struct judgement judgement = {0};
    size_t at = 0;
    do {
        z_stream z = {.next_in = blob + at, .avail_in = (uInt)(bytes - at)};
        MUST(inflateInit2(&z, 31) == Z_OK);
        z.next_out = made + judgement.made_bytes;
        z.avail_out = (uInt)(MOST_DECODED - judgement.made_bytes);
        int result = inflate(&z, Z_FINISH);
        uint64_t start = judgement.made_bytes;
        judgement.made_bytes += z.total_out;
        bool check = z.msg && (strstr(z.msg, "data check") || strstr(z.msg, "length check"));
        judgement.incomplete |=
            z.msg && (strstr(z.msg, "lengths set") || strstr(z.msg, "distances set") ||
                      strstr(z.msg, "end-of-block"));
        size_t end = at + z.total_in;
        inflateEnd(&z);
        if (check && mend) {
            bool length = strstr(z.msg, "length") != NULL;
            uint32_t right = length ? (uint32_t)(judgement.made_bytes - start)
                                    : (uint32_t)crc32(0, made + start, (uInt)z.total_out);
            for (size_t i = 0; i < 4; i++, right >>= 8) {
                blob[end - 4 + i] = (uint8_t)right;
            }
            judgement.made_bytes = start;
            continue;
        }
        if (result != Z_STREAM_END) {
            return judgement;
        }
        at = end;
    } while (at < bytes && blob[at] == 0x1f);
    judgement.sound = true;
    return judgement;
}

/* Windows up to this are judged by libzstd, too: beyond it allocates what a header claims, which
 * the fuzzer takes for a fault. So it does with the windows of frames before version 0.8. */
#define JUDGED_WINDOW_BYTES (UINT64_C(1) << 24)

/* libzstd over the whole blob. Its one-call function is laxer than its streams: it takes RLE blocks
 * beyond the largest size. */
static size_t stream_zstd(const uint8_t *blob, size_t bytes, uint8_t *made) {
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    ZSTD_inBuffer in = {.src = blob, .size = bytes};
    ZSTD_outBuffer out = {.dst = made, .size = MOST_DECODED};
    size_t result = 0;
    do {
        result = ZSTD_decompressStream(ctx, &out, &in);
    } while (!ZSTD_isError(result) && in.pos < in.size && out.pos < out.size);
    ZSTD_freeDCtx(ctx);
    return ZSTD_isError(result) ? result : result ? (size_t)-1 : out.pos;
}

static void judge_zstd(const struct outcome *whole, const uint8_t *blob, size_t bytes,
                       uint8_t *made) {
    bool legacy =
        whole->state == VARVE_DECODE_FAULT && strcmp(whole->fault.code, "zstd.legacy") == 0;
    if (legacy || whole->info.window_bytes > JUDGED_WINDOW_BYTES) {
        return;
    }
    size_t result = stream_zstd(blob, bytes, made);
    if (!ZSTD_isError(result) && whole->state == VARVE_DECODE_END) {
        MUST(result == whole->made_bytes && memcmp(made, whole->made, result) == 0);
    }
    if (whole->state == VARVE_DECODE_END && whole->info.trailing_offset == VARVE_NO_OFFSET) {
        MUST(!ZSTD_isError(result));
    }
    if (whole->state == VARVE_DECODE_FAULT && whole->fault.status == VARVE_MALFORMED) {
        MUST(ZSTD_isError(result));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static uint8_t buffers[3][MOST_DECODED];
    if (bytes < 2) {
        return 0;
    }
    struct outcome whole = {.made = buffers[0]};
    struct outcome cut = {.made = buffers[1]};
    struct judgement zlib = {0};
    uint8_t *blob = malloc(bytes - 1);
    MUST(blob != NULL);
    memcpy(blob, data + 2, bytes - 2);
    bytes -= 2;
    bool gzip = bytes > 1 && blob[0] == 0x1f && blob[1] == 0x8b;
    if (gzip) {
        zlib = judge(blob, bytes, buffers[2], data[0] & 0x80);
    }
    decode(&whole, blob, bytes, SIZE_MAX, 1u << 16);
    decode(&cut, blob, bytes, 1u + data[0] % 64u, 1u + data[1] * 16u);
    if (!zlib.incomplete) {
        MUST(whole.state == cut.state);
        MUST(whole.fault.code == cut.fault.code);
        MUST(whole.fault.offset_stored == cut.fault.offset_stored);
        MUST(whole.fault.offset_decoded == cut.fault.offset_decoded);
        MUST(whole.findings == cut.findings);
        MUST(whole.info.member_count == cut.info.member_count);
        MUST(whole.info.trailing_offset == cut.info.trailing_offset);
        MUST(strcmp(whole.info.encoder, cut.info.encoder) == 0);
        MUST(strcmp(whole.evidence, cut.evidence) == 0);
        MUST(whole.made_bytes == cut.made_bytes &&
             memcmp(whole.made, cut.made, whole.made_bytes) == 0);
    }
    if (gzip && zlib.sound) {
        MUST(whole.state == VARVE_DECODE_END || whole.fault.status != VARVE_MALFORMED ||
             whole.info.member_count > 0);
        MUST(whole.made_bytes >= zlib.made_bytes || whole.fault.status == VARVE_LIMIT);
        MUST(memcmp(whole.made, buffers[2], zlib.made_bytes) == 0);
    }
    if (gzip && whole.state == VARVE_DECODE_END && !zlib.incomplete) {
        MUST(zlib.made_bytes == whole.made_bytes);
        MUST(memcmp(whole.made, buffers[2], zlib.made_bytes) == 0);
    }
    if (whole.info.compression == VARVE_COMPRESSION_ZSTD) {
        judge_zstd(&whole, blob, bytes, buffers[2]);
    }
    free(blob);
    return 0;
}
