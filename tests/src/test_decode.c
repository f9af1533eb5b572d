/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder against what is recommended for the hostile archives, whatever the chunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "decode_run.h"
#include "varve/sha256.h"

#define HOSTILE VARVE_SOURCE_DIR "/../shared/vectors/hostile-synthetic/"

/* What each archive must give. `code` NULL: decoded to the end. `finding`: one that must be there.
 */
static const struct expectation {
    const char *file;
    const char *code;
    uint64_t made_bytes;
    const char *finding;
} expectations[] = {
    {"z01-gz-2members.tar.gz", NULL, 3072, ""},
    {"z02-gz-empty-member-mid.tar.gz", NULL, 3072, "gzip.empty-member x2 @72;"},
    {"z03-gz-zero-tail.tar.gz", NULL, 3072, "decode.trailing-zeros x512 @99;"},
    {"z04-gz-junk-tail.tar.gz", NULL, 3072, "decode.trailing-garbage x8 @99;"},
    {"z05-gz-bad-crc.tar.gz", "gzip.crc", 3072, ""},
    {"z06-gz-bad-isize.tar.gz", "gzip.isize", 3072, ""},
    {"z07-gz-trunc-trailer.tar.gz", "gzip.truncated", 3072, ""},
    {"z08-gz-trunc-body.tar.gz", "gzip.truncated", 261, ""},
    {"z09-gz-hdr-only.tar.gz", "gzip.truncated", 0, ""},
    {"z10-gz-junk-between.tar.gz", NULL, 700, "decode.hidden-member x1 @74;"},
    {"z11-gz-reserved-flag.tar.gz", "gzip.flags", 0, ""},
    {"z12-gz-method.tar.gz", "gzip.method", 0, ""},
    {"z13-gz-fextra.tar.gz", NULL, 3072, ""},
    {"z14-gz-fhcrc-bad.tar.gz", "gzip.fhcrc", 0, ""},
    {"z15-gz-fhcrc-ok.tar.gz", NULL, 3072, "gzip.header-crc x1 @3;"},
    {"z16-gz-fname-unterminated.gz", "gzip.truncated", 0, ""},
    {"z17-gz-in-gz.tar.gz", NULL, 99, ""},
    {"z18-gz-empty-payload.gz", NULL, 0, ""},
    {"z19-gz-bomb-64MiB.gz", NULL, 67108864, "decode.ratio x1 @0;"},
    {"z20-gz-stored.tar.gz", NULL, 3072, ""},
    {"z21-zlib-wrapped.tar.gz", NULL, 93, ""},
    {"z22-plain-as-gz.tar.gz", NULL, 3072, ""},
    {"y01-zst-2frames.tar.zst", NULL, 2560, ""},
    {"y02-zst-skip-lead.tar.zst", NULL, 2560, ""},
    {"y03-zst-skip-mid-tail.tar.zst", NULL, 2560, ""},
    {"y04-zst-skip-trunc.tar.zst", "zstd.truncated", 2560, ""},
    {"y05-zst-skip-4GiB.tar.zst", "zstd.truncated", 0, ""},
    {"y06-zst-only-skip.zst", NULL, 0, ""},
    {"y07-zst-junk-tail.tar.zst", NULL, 2560, "decode.trailing-garbage x8 @104;"},
    {"y08-zst-zero-tail.tar.zst", NULL, 2560, "decode.trailing-zeros x64 @104;"},
    {"y09-zst-trunc.tar.zst", "zstd.truncated", 0, ""},
    {"y10-zst-cksum-bad.tar.zst", "zstd.checksum", 2560, ""},
    {"y11-zst-nocheck.tar.zst", NULL, 2560, ""},
    {"y12-zst-no-fcs.tar.zst", NULL, 2560, ""},
    {"y13-zst-window27.tar.zst", NULL, 2560, ""},
    {"y14-zst-window30.tar.zst", "zstd.window-limit", 0, ""},
    {"y15-zst-window41.tar.zst", "zstd.window", 0, ""},
    {"y16-zst-fcs-too-big.tar.zst", "zstd.content-size", 2560, ""},
    {"y17-zst-fcs-too-small.tar.zst", "zstd.content-size", 2560, ""},
    {"y18-zst-fcs-exbibyte.tar.zst", "zstd.content-size", 2560, ""},
    {"y19-zst-reserved-block.zst", "zstd.block", 0, ""},
    {"y20-zst-reserved-bit.zst", "zstd.header", 0, ""},
    {"y21-zst-dict-needed.zst", "zstd.dictionary", 0, ""},
    {"y22-zst-rle-bomb-1GiB.zst", NULL, 1073741824, "decode.ratio x1 @0;"},
    {"y23-zst-block-too-big.zst", "zstd.block", 0, ""},
    {"y24-zst-legacy-v07.zst", "zstd.legacy", 0, ""},
    {"y25-zst-empty-frames-10000.tar.zst", NULL, 2560, ""},
    {"y26-zst-in-gzip-mt.tar.gz", NULL, 2560, ""},
};

/* Bombs are only counted: their bytes are not kept. */
static void decode_and_drop(struct varve_decoder *decoder, const uint8_t *blob, size_t blob_bytes,
                            struct decode_run *run) {
    static uint8_t out[1 << 16];
    struct varve_findings *findings;
    assert_int_equal(varve_findings_open(&findings), VARVE_OK);
    varve_decoder_reset(decoder, findings);
    struct varve_decode_turn turn = {0};
    for (size_t at = 0; turn.state < VARVE_DECODE_WAIT; at += turn.used_bytes) {
        turn = (struct varve_decode_turn){.in = blob + at,
                                          .in_bytes = blob_bytes - at,
                                          .in_last = true,
                                          .out = out,
                                          .out_bytes = sizeof out};
        varve_decode(&decoder, &turn, 1);
    }
    run->state = turn.state;
    run->fault = varve_decoder_fault(decoder);
    run->info = varve_decoder_info(decoder);
    decode_run_findings(run, findings);
    varve_findings_close(findings);
}

static void hostile_archives(void **state) {
    struct varve_decoder *decoder = *state;
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
        const struct expectation *e = &expectations[i];
        char path[512];
        snprintf(path, sizeof path, HOSTILE "%s", e->file);
        size_t bytes = 0;
        uint8_t *blob = decode_run_load(path, &bytes);
        if (!blob) {
            print_message("skipped: %s is not there\n", path);
            skip();
        }
        struct decode_run run = {0};
        decode_and_drop(decoder, blob, bytes, &run);
        if ((run.fault.code == NULL) != (e->code == NULL) ||
            (e->code && strcmp(e->code, run.fault.code) != 0) ||
            run.info.decoded_bytes != e->made_bytes || !strstr(run.findings, e->finding)) {
            fail_msg("%s: %s, %llu bytes, %s", e->file, run.fault.code ? run.fault.code : "ok",
                     (unsigned long long)run.info.decoded_bytes, run.findings);
        }
        free(blob);
    }
}

/* Every way to cut a blob gives the same. */
static void chunks_do_not_matter(void **state) {
    static const size_t steps[][2] = {{1, 0}, {1, 1}, {0, 1}, {3, 7}, {511, 64}, {4096, 65536}};
    struct varve_decoder *decoder = *state;
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
        const struct expectation *e = &expectations[i];
        char path[512];
        snprintf(path, sizeof path, HOSTILE "%s", e->file);
        size_t bytes = 0;
        uint8_t *blob = decode_run_load(path, &bytes);
        if (!blob) {
            print_message("skipped: %s is not there\n", path);
            skip();
        }
        struct decode_run whole = {0};
        if (e->made_bytes < 1 << 20) {
            whole = decode_run(decoder, blob, bytes, 0, 0);
        }
        for (size_t k = 0; k < sizeof steps / sizeof steps[0] && e->made_bytes < 1 << 20; k++) {
            struct decode_run cut = decode_run(decoder, blob, bytes, steps[k][0], steps[k][1]);
            const char *difference = decode_run_differ(&whole, &cut);
            if (difference) {
                fail_msg("%s: %s, in %zu out %zu", e->file, difference, steps[k][0], steps[k][1]);
            }
            decode_run_free(&cut);
        }
        decode_run_free(&whole);
        free(blob);
    }
}

/* Every archive of the vectors has the diffID that independent readers gave it. */
static void oracle(void **state) {
    struct varve_decoder *decoder = *state;
    FILE *lines = fopen(VARVE_SOURCE_DIR "/../shared/vectors/ORACLE.jsonl", "rb");
    struct varve_sha256 *sha256;
    size_t judged = 0;
    if (!lines) {
        print_message("skipped: ORACLE.jsonl is not there\n");
        skip();
    }
    assert_int_equal(varve_sha256_open(&sha256, NULL), VARVE_OK);
    for (json_t *line; (line = json_loadf(lines, JSON_DISABLE_EOF_CHECK, NULL));
         json_decref(line)) {
        const char *file = json_string_value(json_object_get(line, "file"));
        const char *diff_id = json_string_value(json_object_get(line, "diff_id"));
        bool bzip2 = !strcmp(json_string_value(json_object_get(line, "comp")), "bzip2");
        char path[512];
        snprintf(path, sizeof path, VARVE_SOURCE_DIR "/../shared/vectors/%s", file);
        size_t bytes = 0;
        uint8_t *blob = decode_run_load(path, &bytes);
        assert_non_null(blob);
        struct decode_run run = decode_run(decoder, blob, bytes, 65536, 65536);
        if (bzip2) {
            assert_string_equal(run.fault.code, "decode.bzip2");
        } else {
            uint8_t digest[VARVE_SHA256_BYTES];
            char text[72] = "sha256:";
            varve_sha256_once(sha256, digest, run.made, run.made_bytes);
            for (size_t i = 0; i < sizeof digest; i++) {
                snprintf(text + 7 + 2 * i, 3, "%02x", digest[i]);
            }
            assert_int_equal(run.state, VARVE_DECODE_END);
            assert_string_equal(text, diff_id);
        }
        decode_run_free(&run);
        free(blob);
        judged++;
    }
    assert_true(judged > 100);
    print_message("%zu archives\n", judged);
    varve_sha256_close(sha256);
    fclose(lines);
}

/* Exactly so many bytes are allowed, and not one more. */
static void most_decoded_bytes(void **state) {
    static const char *const files[] = {"z01-gz-2members.tar.gz", "z20-gz-stored.tar.gz",
                                        "y12-zst-no-fcs.tar.zst", "z22-plain-as-gz.tar.gz"};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[512];
        snprintf(path, sizeof path, HOSTILE "%s", files[i]);
        size_t bytes = 0;
        uint8_t *blob = decode_run_load(path, &bytes);
        if (!blob) {
            print_message("skipped: %s is not there\n", path);
            skip();
        }
        uint64_t most = strchr(files[i], 'z') == files[i] ? 3072 : 2560;
        for (uint64_t less = 0; less < 600; less += 13) {
            struct varve_decode_options options = {.max_decoded_bytes = most - less};
            struct varve_decoder *decoder;
            assert_int_equal(varve_decoder_open(&decoder, &options), VARVE_OK);
            for (size_t out = 1; out < 5000; out *= 70) {
                struct decode_run run = decode_run(decoder, blob, bytes, 11, out);
                assert_int_equal(run.made_bytes, most - less);
                if (less) {
                    assert_string_equal(run.fault.code, "decode.limit");
                    assert_int_equal(run.fault.status, VARVE_LIMIT);
                    assert_int_equal(run.fault.offset_decoded, most - less);
                } else {
                    assert_int_equal(run.state, VARVE_DECODE_END);
                }
                decode_run_free(&run);
            }
            varve_decoder_close(decoder);
        }
        free(blob);
    }
}

/* A window of 1 GiB: refused where the budget is smaller, waits where others hold it, else decoded.
 */
static void wide_window(void **state) {
    (void)state;
    size_t bytes = 0;
    uint8_t *blob = decode_run_load(HOSTILE "y14-zst-window30.tar.zst", &bytes);
    if (!blob) {
        print_message("skipped: the archive is not there\n");
        skip();
    }
    struct varve_budget *budget;
    struct varve_decoder *decoder;
    static uint8_t out[65536];
    assert_int_equal(varve_budget_open(&budget, (uint64_t)1 << 31), VARVE_OK);
    struct varve_decode_options options = {.budget = budget};
    assert_int_equal(varve_decoder_open(&decoder, &options), VARVE_OK);
    varve_decoder_reset(decoder, NULL);
    assert_true(varve_budget_take(budget, (uint64_t)1 << 30));
    struct varve_decode_turn turn = {
        .in = blob, .in_bytes = bytes, .in_last = true, .out = out, .out_bytes = sizeof out};
    for (int i = 0; i < 3; i++) {
        varve_decode(&decoder, &turn, 1);
        assert_int_equal(turn.state, VARVE_DECODE_WAIT);
        assert_int_equal(turn.made_bytes, 0);
        assert_string_equal(varve_decoder_fault(decoder).code, "zstd.window-limit");
        turn.in += turn.used_bytes;
        turn.in_bytes -= turn.used_bytes;
    }
    varve_budget_give(budget, (uint64_t)1 << 30);
    varve_decode(&decoder, &turn, 1);
    assert_int_equal(turn.state, VARVE_DECODE_END);
    assert_int_equal(turn.made_bytes, 2560);
    assert_null(varve_decoder_fault(decoder).code);
    assert_int_equal(varve_decoder_info(decoder).stored_bytes, bytes);
    assert_true(varve_budget_taken(budget) > (uint64_t)1 << 30);
    varve_decoder_close(decoder);
    assert_int_equal(varve_budget_taken(budget), 0);
    varve_budget_close(budget);

    assert_int_equal(varve_budget_open(&budget, (uint64_t)1 << 30), VARVE_OK);
    options.budget = budget;
    assert_int_equal(varve_decoder_open(&decoder, &options), VARVE_OK);
    struct decode_run run = decode_run(decoder, blob, bytes, 0, 0);
    assert_int_equal(run.fault.status, VARVE_LIMIT);
    assert_string_equal(run.fault.code, "zstd.window-limit");
    decode_run_free(&run);
    varve_decoder_close(decoder);
    varve_budget_close(budget);
    free(blob);
}

/* Layers of one batch do not see each other: damaged ones beside sound ones. */
static void neighbours(void **state) {
    enum { COUNT = 24 };
    struct varve_decoder *alone = *state;
    struct varve_decoder *decoders[COUNT];
    struct varve_decode_turn turns[COUNT];
    struct decode_run together[COUNT] = {{0}};
    uint8_t *blobs[COUNT];
    size_t bytes[COUNT];
    static uint8_t out[COUNT][700];
    for (size_t i = 0; i < COUNT; i++) {
        char path[512];
        snprintf(path, sizeof path, HOSTILE "%s", expectations[i < 18 ? i : i + 4].file);
        blobs[i] = decode_run_load(path, &bytes[i]);
        if (!blobs[i]) {
            print_message("skipped: %s is not there\n", path);
            skip();
        }
        assert_int_equal(varve_decoder_open(&decoders[i], NULL), VARVE_OK);
        turns[i] = (struct varve_decode_turn){.in = blobs[i],
                                              .in_bytes = bytes[i],
                                              .in_last = true,
                                              .out = out[i],
                                              .out_bytes = sizeof out[i]};
    }
    for (size_t round = 0; round < 400; round++) {
        varve_decode(decoders, turns, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            decode_run_append(&together[i], turns[i].made, turns[i].made_bytes);
            turns[i].in += turns[i].used_bytes;
            turns[i].in_bytes -= turns[i].used_bytes;
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        struct decode_run run = decode_run(alone, blobs[i], bytes[i], 0, 0);
        assert_int_equal(turns[i].state, run.state);
        assert_ptr_equal(varve_decoder_fault(decoders[i]).code, run.fault.code);
        assert_int_equal(together[i].made_bytes, run.made_bytes);
        assert_true(!run.made_bytes || !memcmp(together[i].made, run.made, run.made_bytes));
        decode_run_free(&run);
        decode_run_free(&together[i]);
        varve_decoder_close(decoders[i]);
        free(blobs[i]);
    }
}

static int open_decoder(void **state) {
    struct varve_decoder *decoder;
    enum varve_status status = varve_decoder_open(&decoder, NULL);
    *state = decoder;
    return status == VARVE_OK ? 0 : -1;
}

static int close_decoder(void **state) {
    varve_decoder_close(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_archives), cmocka_unit_test(chunks_do_not_matter),
        cmocka_unit_test(oracle),           cmocka_unit_test(most_decoded_bytes),
        cmocka_unit_test(wide_window),      cmocka_unit_test(neighbours),
    };
    return cmocka_run_group_tests(tests, open_decoder, close_decoder);
}
