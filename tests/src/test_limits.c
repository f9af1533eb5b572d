/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that no small input reaches: the sources that hold them, compiled here once more with
 * smaller ones. docs/limits.md names these tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ladder_run.h"
#include "limits.h"

#undef VARVE_LIMIT_ARCHIVE_ENTRIES
#define VARVE_LIMIT_ARCHIVE_ENTRIES 100
#undef VARVE_LIMIT_TOC_BYTES
#define VARVE_LIMIT_TOC_BYTES 1000
#undef VARVE_LIMIT_HOLE_BYTES
#define VARVE_LIMIT_HOLE_BYTES 1000
#include "../../src/archive.c"
#include "../../src/toc.c"
#define take_entry ladder_take_entry /* archive.c has one, too */
#include "../../src/ladder.c"
#undef take_entry

static void put_entry(FILE *file, const char *path, char type, const char *link) {
    char header[512] = "";
    snprintf(header, 100, "%s", path);
    memcpy(header + 100, "0000644\0000000000\0000000000", 24);
    memcpy(header + 124, "00000000000", 12);
    memcpy(header + 136, "00000000000", 12);
    memset(header + 148, ' ', 8);
    header[156] = type;
    snprintf(header + 157, 100, "%s", link);
    memcpy(header + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof header; i++) {
        sum += (uint8_t)header[i];
    }
    snprintf(header + 148, 8, "%06o", sum);
    assert_int_equal(fwrite(header, sizeof header, 1, file), 1);
}

static enum varve_status index_archive(struct varve_archive **archive, struct varve_fault *fault,
                                       FILE *file) {
    static const char end[1024];
    assert_int_equal(fwrite(end, sizeof end, 1, file), 1);
    rewind(file);
    enum varve_status status = varve_archive_open(archive, fault, NULL, fileno(file));
    fclose(file);
    return status;
}

static void archive_entries(void **state) {
    (void)state;
    for (size_t count = VARVE_LIMIT_ARCHIVE_ENTRIES; count < VARVE_LIMIT_ARCHIVE_ENTRIES + 2;
         count++) {
        struct varve_archive *archive = NULL;
        struct varve_fault fault;
        FILE *file = tmpfile();
        assert_non_null(file);
        for (size_t i = 0; i < count; i++) {
            char path[32];
            snprintf(path, sizeof path, "file%zu", i);
            put_entry(file, path, '0', "");
        }
        enum varve_status status = index_archive(&archive, &fault, file);
        if (count > VARVE_LIMIT_ARCHIVE_ENTRIES) {
            assert_int_equal(status, VARVE_LIMIT);
            assert_string_equal(fault.code, "archive.entries");
        } else {
            assert_int_equal(status, VARVE_OK);
            assert_int_equal(varve_archive_count(archive), count);
        }
        varve_archive_close(archive);
    }
}

static void link_hops(void **state) {
    (void)state;
    struct varve_archive *archive = NULL;
    struct varve_archive_file found;
    struct varve_fault fault;
    FILE *file = tmpfile();
    assert_non_null(file);
    put_entry(file, "link0", '0', "");
    for (int i = 1; i <= VARVE_LIMIT_LINK_HOPS + 1; i++) {
        char path[32];
        char target[32];
        snprintf(path, sizeof path, "link%d", i);
        snprintf(target, sizeof target, "link%d", i - 1);
        put_entry(file, path, '2', target);
    }
    assert_int_equal(index_archive(&archive, &fault, file), VARVE_OK);
    char last[32];
    bool no_memory = false;
    snprintf(last, sizeof last, "link%d", VARVE_LIMIT_LINK_HOPS);
    assert_true(varve_archive_find(archive, &found, &no_memory, last));
    assert_string_equal(found.path, "link0");
    snprintf(last, sizeof last, "link%d", VARVE_LIMIT_LINK_HOPS + 1);
    assert_false(varve_archive_find(archive, &found, &no_memory, last));
    varve_archive_close(archive);
}

/* The code of the only finding, NULL where there is none. */
static const char *only_finding(const struct varve_findings *findings) {
    assert_true(varve_findings_count(findings) <= 1);
    return varve_findings_count(findings) ? varve_findings_at(findings, 0).info->code : NULL;
}

static const char empty_table[] = "{\"version\":1,\"entries\":[]}";

/* A table that is an entry (eStargz): kept up to the limit, no byte beyond. */
static void toc_bytes(void **state) {
    (void)state;
    static uint8_t content[VARVE_LIMIT_TOC_BYTES + 1];
    struct varve_findings *findings = NULL;
    assert_int_equal(varve_findings_open(&findings), VARVE_OK);
    memset(content, ' ', sizeof content);
    memcpy(content, empty_table, sizeof empty_table - 1);
    for (size_t more = 0; more < 2; more++) {
        struct varve_toc *toc = NULL;
        size_t bytes = VARVE_LIMIT_TOC_BYTES + more;
        assert_int_equal(varve_toc_open(&toc, NULL), VARVE_OK);
        varve_findings_reset(findings);
        varve_toc_reset(toc, findings);
        struct varve_toc_footer footer = {
            .kind = VARVE_TOC_ESTARGZ, .offset = 100, .footer_offset = 200};
        struct varve_decode_info info = {.compression = VARVE_COMPRESSION_GZIP,
                                         .stored_bytes = 200 + 51, /* the footer's member */
                                         .decoded_bytes = 5000,
                                         .trailing_offset = VARVE_NO_OFFSET};
        varve_toc_see_member(toc, footer.offset, 0);
        varve_toc_see_member(toc, footer.footer_offset, info.decoded_bytes);
        varve_toc_see_footer(toc, &footer);
        struct varve_tar_entry entry = {.path = {(const uint8_t *)index_name, strlen(index_name)},
                                        .typeflag = '0'};
        struct varve_tar_item item = {.entry = &entry};
        varve_toc_take(toc, VARVE_TAR_ENTRY, &item);
        assert_true(toc->capturing);
        item.data = (struct varve_bytes){content, bytes};
        varve_toc_take(toc, VARVE_TAR_DATA, &item);
        assert_int_equal(toc->json.count, more == 0 ? bytes : 0);
        assert_int_equal(varve_toc_begin_check(toc, &info), more == 0);
        if (more) {
            assert_string_equal(only_finding(findings), "toc.unread");
        } else {
            assert_null(only_finding(findings));
        }
        varve_toc_close(toc);
    }
    varve_findings_close(findings);
}

/* A zstd frame (RFC 8878, 3.1.1) of the empty table and spaces behind it, `raw_bytes` together:
 * these either as they are or, where that is small, as one byte and how often it comes. Its length.
 */
static size_t table_frame(uint8_t *frame, size_t raw_bytes, bool small) {
    size_t n = sizeof empty_table - 1;
    size_t spaces = raw_bytes - n;
    const uint32_t blocks[] = {(uint32_t)n << 3, (uint32_t)spaces << 3 | (small ? 1 << 1 : 0) | 1};
    uint8_t *at = frame;
    memcpy(at, "\x28\xb5\x2f\xfd\0\x58", 6);
    at += 6;
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < 3; j++) {
            *at++ = (uint8_t)(blocks[i] >> 8 * j);
        }
        size_t stored = i == 0 ? n : small ? 1 : spaces;
        memset(at, ' ', stored);
        memcpy(at, empty_table, i == 0 ? n : 0);
        at += stored;
    }
    return (size_t)(at - frame);
}

static void put_le64(uint8_t *bytes, uint64_t value) {
    for (size_t i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
}

/* What is said of a table of zstd:chunked, a frame that becomes `raw_bytes`. */
static const char *chunked_verdict(const uint8_t *frame, size_t bytes, size_t raw_bytes) {
    struct varve_toc *toc = NULL;
    struct varve_findings *findings = NULL;
    uint8_t footer[VARVE_TOC_CHUNKED_BYTES] = {0};
    assert_int_equal(varve_findings_open(&findings), VARVE_OK);
    assert_int_equal(varve_toc_open(&toc, NULL), VARVE_OK);
    varve_toc_reset(toc, findings);
    put_le64(footer, 8); /* where the frame's content is */
    put_le64(footer + 8, bytes);
    put_le64(footer + 16, raw_bytes);
    put_le64(footer + 24, 1);
    memcpy(footer + 56, "GNUlInUx", 8);
    varve_toc_see_skippable(toc, FRAME_MAGIC, 8, bytes);
    varve_toc_see_skipped(toc, frame, bytes, FRAME_MAGIC);
    assert_int_equal(toc->frames[0].kept, bytes <= VARVE_LIMIT_TOC_BYTES);
    assert_int_equal(toc->frames[0].content.count, toc->frames[0].kept ? bytes : 0);
    varve_toc_see_skippable(toc, FRAME_MAGIC, 16 + bytes, sizeof footer);
    varve_toc_see_skipped(toc, footer, sizeof footer, FRAME_MAGIC);
    struct varve_decode_info info = {.compression = VARVE_COMPRESSION_ZSTD,
                                     .stored_bytes = 16 + bytes + sizeof footer,
                                     .trailing_offset = VARVE_NO_OFFSET};
    bool begun = varve_toc_begin_check(toc, &info);
    const char *said = only_finding(findings); /* a constant */
    assert_int_equal(begun, said == NULL);
    varve_toc_close(toc);
    varve_findings_close(findings);
    return said;
}

/* A table that is a frame (zstd:chunked), as stored and as JSON. */
static void toc_frame_bytes(void **state) {
    (void)state;
    uint8_t frame[VARVE_LIMIT_TOC_BYTES + 100];
    size_t around = table_frame(frame, 500, false) - 500;
    for (size_t more = 0; more < 2; more++) {
        size_t raw_bytes = VARVE_LIMIT_TOC_BYTES + more - around;
        size_t bytes = table_frame(frame, raw_bytes, false);
        assert_int_equal(bytes, VARVE_LIMIT_TOC_BYTES + more);
        const char *stored = chunked_verdict(frame, bytes, raw_bytes);
        raw_bytes = VARVE_LIMIT_TOC_BYTES + more;
        bytes = table_frame(frame, raw_bytes, true);
        assert_true(bytes < 100);
        const char *raw = chunked_verdict(frame, bytes, raw_bytes);
        if (more) {
            assert_string_equal(stored, "toc.invalid");
            assert_string_equal(raw, "toc.invalid");
        } else {
            assert_null(stored);
            assert_null(raw);
        }
    }
}

/* Two sparse files of holes alone, in a layer: the holes of both count. */
static void hole_bytes(void **state) {
    (void)state;
    static struct climb out;
    for (unsigned more = 0; more < 2; more++) {
        struct made made = {NULL, 0, 0};
        struct climber climber;
        const unsigned sizes[] = {600, 400 + more};
        for (size_t i = 0; i < 2; i++) {
            char text[100];
            snprintf(text, sizeof text,
                     "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n27 GNU.sparse.realsize=%u\n",
                     sizes[i]);
            made_entry(&made, "pax", 'x', "", strlen(text), 0);
            memcpy(made.bytes + made.count - 512, text, strlen(text));
            made_entry(&made, i ? "second" : "first", '0', "", 512, 0);
            memcpy(made.bytes + made.count - 512, "0\n", 2);
        }
        made_end(&made);
        assert_int_equal(climber_open(&climber, VARVE_TIER_AUTO, NULL), VARVE_OK);
        climb(&climber, &out, made.bytes, made.count, 512);
        assert_int_equal(out.last, VARVE_TAR_END);
        assert_int_equal(out.status, more ? VARVE_LIMIT : VARVE_OK);
        assert_int_equal(out.rungs.present & 1 << VARVE_RUNG_CONTENT,
                         more ? 0 : 1 << VARVE_RUNG_CONTENT);
        assert_int_equal(out.rungs.present & 1 << VARVE_RUNG_ARCHIVE, 1 << VARVE_RUNG_ARCHIVE);
        if (more) {
            assert_string_equal(out.fault.code, "sparse.logical");
        }
        climber_close(&climber);
        free(made.bytes);
    }
}

/* One entry of a table as long as it may be, and a byte longer. */
static void toc_entry_bytes(void **state) {
    (void)state;
    static const char begin[] = "{\"version\":1,\"entries\":[";
    static const char name[] = "{\"type\":\"dir\",\"name\":\"a/\"";
    for (size_t more = 0; more < 2; more++) {
        struct varve_toc *toc = NULL;
        struct varve_findings *findings = NULL;
        size_t bytes = VARVE_LIMIT_TOC_ENTRY_BYTES + more;
        char *json = malloc(sizeof begin + bytes + 2);
        assert_non_null(json);
        memcpy(json, begin, sizeof begin - 1);
        char *entry = json + sizeof begin - 1;
        memcpy(entry, name, sizeof name - 1);
        memset(entry + sizeof name - 1, ' ', bytes - sizeof name);
        memcpy(entry + bytes - 1, "}]}", 3);
        assert_int_equal(varve_toc_open(&toc, NULL), VARVE_OK);
        assert_int_equal(varve_findings_open(&findings), VARVE_OK);
        varve_toc_reset(toc, findings);
        enum varve_status status =
            varve_toc_table_read(toc, &toc->table, (const uint8_t *)json,
                                 sizeof begin - 1 + bytes + 2, UINT64_MAX, findings);
        assert_int_equal(status, more ? VARVE_MALFORMED : VARVE_OK);
        assert_int_equal(toc->table.count, more == 0);
        varve_toc_close(toc);
        varve_findings_close(findings);
        free(json);
    }
}

/* Decodes the header of a zstd frame (RFC 8878, 3.1.1.1) and one empty last block. The fault's
 * code; NULL: it was decoded. */
static const char *window_verdict(struct varve_budget *budget, int log, uint8_t eighths) {
    uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0, (uint8_t)((log - 10) << 3 | eighths), 1, 0, 0};
    uint8_t out[16];
    struct varve_decoder *decoder = NULL;
    struct varve_decode_options options = {.budget = budget};
    if (varve_decoder_open(&decoder, &options) != VARVE_OK) {
        return "cannot be opened";
    }
    varve_decoder_reset(decoder, NULL);
    struct varve_decode_turn turn = {.in = frame,
                                     .in_bytes = sizeof frame,
                                     .in_last = true,
                                     .out = out,
                                     .out_bytes = sizeof out};
    for (int i = 0; i < 4 && turn.state != VARVE_DECODE_END && !varve_decoder_fault(decoder).code;
         i++) {
        varve_decode(&decoder, &turn, 1);
        turn.in += turn.used_bytes;
        turn.in_bytes -= turn.used_bytes;
    }
    const char *code = varve_decoder_fault(decoder).code;
    assert_int_equal(turn.state == VARVE_DECODE_END, code == NULL);
    varve_decoder_close(decoder);
    return code;
}

static void window_bytes(void **state) {
    (void)state;
    assert_int_equal(VARVE_LIMIT_WINDOW_BYTES, UINT64_C(1) << 27);
    assert_null(window_verdict(NULL, 27, 0));
    assert_string_equal(window_verdict(NULL, 27, 1), "zstd.window-limit");
}

/* With a budget that decides, by the byte: what a decoder with a window took at most is enough. */
static void window_in_budget(void **state) {
    (void)state;
    struct varve_budget *budget = NULL;
    assert_int_equal(varve_budget_open(&budget, UINT64_C(1) << 30), VARVE_OK);
    assert_null(window_verdict(budget, 28, 0));
    uint64_t enough = varve_budget_peak(budget);
    assert_true(enough > UINT64_C(1) << 28);
    varve_budget_close(budget);
    for (uint64_t less = 0; less < 2; less++) {
        assert_int_equal(varve_budget_open(&budget, enough - less), VARVE_OK);
        const char *code = window_verdict(budget, 28, 0);
        if (less) {
            assert_string_equal(code, "zstd.window-limit");
        } else {
            assert_null(code);
        }
        varve_budget_close(budget);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archive_entries), cmocka_unit_test(link_hops),
        cmocka_unit_test(toc_bytes),       cmocka_unit_test(toc_frame_bytes),
        cmocka_unit_test(toc_entry_bytes), cmocka_unit_test(hole_bytes),
        cmocka_unit_test(window_bytes),    cmocka_unit_test(window_in_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
