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

#include "limits.h"

#undef VARVE_LIMIT_ARCHIVE_ENTRIES
#define VARVE_LIMIT_ARCHIVE_ENTRIES 100
#undef VARVE_LIMIT_TOC_BYTES
#define VARVE_LIMIT_TOC_BYTES 1000
#include "../../src/archive.c"
#include "../../src/toc.c"

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

/* A table in a skippable frame, and one that is an entry: kept up to the limit, no byte beyond. */
static void toc_bytes(void **state) {
    (void)state;
    static const uint8_t content[VARVE_LIMIT_TOC_BYTES + 1];
    for (size_t more = 0; more < 2; more++) {
        struct varve_toc *toc = NULL;
        size_t bytes = VARVE_LIMIT_TOC_BYTES + more;
        assert_int_equal(varve_toc_open(&toc, NULL), VARVE_OK);
        varve_toc_reset(toc, NULL);
        varve_toc_see_skippable(toc, FRAME_MAGIC, 0, bytes);
        varve_toc_see_skipped(toc, content, bytes, FRAME_MAGIC);
        assert_int_equal(toc->frames[0].kept, more == 0);
        assert_int_equal(toc->frames[0].content.count, more == 0 ? bytes : 0);

        struct varve_tar_entry entry = {.path = {(const uint8_t *)index_name, strlen(index_name)},
                                        .typeflag = '0'};
        struct varve_tar_item item = {.entry = &entry};
        varve_toc_take(toc, VARVE_TAR_ENTRY, &item);
        assert_true(toc->capturing);
        item.data = (struct varve_bytes){content, bytes};
        varve_toc_take(toc, VARVE_TAR_DATA, &item);
        assert_int_equal(toc->refused, more > 0);
        assert_int_equal(toc->json.count, more == 0 ? bytes : 0);
        varve_toc_close(toc);
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

/* The header of a zstd frame (RFC 8878, 3.1.1.1) and one empty last block, without a budget. */
static void window_bytes(void **state) {
    (void)state;
    uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0, 0, 1, 0, 0};
    uint8_t out[16];
    for (uint8_t eighths = 0; eighths < 2; eighths++) { /* of the window more */
        struct varve_decoder *decoder = NULL;
        assert_int_equal(VARVE_LIMIT_WINDOW_BYTES, UINT64_C(1) << 27);
        frame[5] = (uint8_t)((27 - 10) << 3 | eighths);
        assert_int_equal(varve_decoder_open(&decoder, NULL), VARVE_OK);
        varve_decoder_reset(decoder, NULL);
        struct varve_decode_turn turn = {.in = frame,
                                         .in_bytes = sizeof frame,
                                         .in_last = true,
                                         .out = out,
                                         .out_bytes = sizeof out};
        for (int i = 0;
             i < 4 && turn.state != VARVE_DECODE_END && !varve_decoder_fault(decoder).code; i++) {
            varve_decode(&decoder, &turn, 1);
            turn.in += turn.used_bytes;
            turn.in_bytes -= turn.used_bytes;
        }
        if (eighths) {
            assert_string_equal(varve_decoder_fault(decoder).code, "zstd.window-limit");
        } else {
            assert_int_equal(turn.state, VARVE_DECODE_END);
            assert_null(varve_decoder_fault(decoder).code);
        }
        varve_decoder_close(decoder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archive_entries), cmocka_unit_test(link_hops),
        cmocka_unit_test(toc_bytes),       cmocka_unit_test(toc_entry_bytes),
        cmocka_unit_test(window_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
