/* SPDX-License-Identifier: Apache-2.0 */
/* The tar parser: the same events however the stream is cut and whatever the tier, cut short at
 * every byte, limits, memory, linear work, and what each way of writing a header is read as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tar_build.h"
#include "tar_internal.h"
#include "tar_reading.h"
#include "varve/budget.h"

static struct varve_tar *tar;

/* Something of everything. */
static struct built rich_archive(void) {
    struct built b = {0};
    build_pax(&b, 'g', "comment", "0123456789abcdef", NULL);
    build_body(&b, '5', "dir/", "", 0);
    build_file(&b, "dir/empty", "");
    build_file(&b, "dir/file", "hello\n");
    build_pax(&b, 'x', "path", "dir/p\303\244x", "mtime", "1700000000.25", "atime", "-1.75",
              "SCHILY.xattr.user.a", "one", "LIBARCHIVE.xattr.user.b%20c", "dHdv",
              "LIBARCHIVE.creationtime", "5", "VENDOR.thing", "kept", NULL);
    memcpy(b.bytes + b.count - 100, "not zero", 8); /* padding of the pax header */
    build_file(&b, "short", "pax file");
    b.bytes[b.count - 9] = 1; /* and of the file */
    size_t at = build_body(&b, 'L', "././@LongLink", "dir/a-long-name-in-gnu-form\0", 28);
    build_gnu(&b, at);
    at = build_header(&b, '2', "dir/a-long", 0);
    build_field(&b, at, 157, "target", 6);
    at = build_header(&b, 'S', "dir/sparse", 520);
    build_gnu(&b, at);
    build_field(&b, at, 386,
                "00000001000\000"
                "00000001000\000"
                "00000003000\000"
                "00000000010",
                48);
    build_field(&b, at, 483, "00000010000", 12);
    for (int i = 0; i < 512 / 8 * 8; i += 8) {
        build_raw(&b, "sparse! ", 8);
    }
    build_raw(&b, "12345678", 8);
    build_padding(&b);
    build_pax(&b, 'x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name",
              "dir/sparse1", "GNU.sparse.realsize", "5000", NULL);
    at = build_header(&b, '0', "dir/GNUSparseFile.0/sparse1", 512 + 6);
    build_raw(&b, "2\n100\n3\n4000\n3\n", 15);
    build_padding(&b);
    build_raw(&b, "abcdef", 6);
    build_padding(&b);
    build_end(&b);
    build_zeros(&b, 100);
    build_raw(&b, "trailer", 7);
    build_zeros(&b, 600);
    return b;
}

static struct reading read_whole(const struct built *b) {
    struct reading whole = read_tar(tar, b->bytes, b->count, cut_none, NULL);
    if (whole.end != VARVE_TAR_END) {
        fail_msg("%s", whole.log);
    }
    return whole;
}

static void compare(const struct reading *a, const struct reading *b) {
    assert_string_equal(a->log, b->log);
    assert_string_equal(a->findings, b->findings);
    assert_memory_equal(&a->traits, &b->traits, sizeof a->traits);
}

static void cuts_change_nothing(void **state) {
    (void)state;
    struct built b = rich_archive();
    struct reading whole = read_whole(&b);
    assert_int_equal(whole.entry_count, 7);
    struct reading ones = read_tar(tar, b.bytes, b.count, cut_ones, NULL);
    compare(&whole, &ones);
    reading_free(&ones);
    for (uint64_t seed = 1; seed < 200; seed++) {
        uint64_t random = seed;
        struct reading pieces = read_tar(tar, b.bytes, b.count, cut_random, &random);
        compare(&whole, &pieces);
        reading_free(&pieces);
    }
    reading_free(&whole);
    free(b.bytes);
}

static void tiers_change_nothing(void **state) {
    (void)state;
    struct built b = rich_archive();
    struct reading whole = read_whole(&b);
    for (int tier = VARVE_TIER_SCALAR; tier < VARVE_TIER_COUNT; tier++) {
        struct varve_tar *other;
        struct varve_tar_options options = {NULL, (enum varve_tier)tier};
        if (varve_tar_open(&other, &options) == VARVE_UNSUPPORTED) {
            print_message("skipped: tier %s\n", varve_tier_name((enum varve_tier)tier));
            continue;
        }
        struct reading reading = read_tar(other, b.bytes, b.count, cut_none, NULL);
        compare(&whole, &reading);
        reading_free(&reading);
        varve_tar_close(other);
    }
    reading_free(&whole);
    free(b.bytes);
}

/* The log of what was read before the fault must be the beginning of the whole log, but for lines
 * that were being written. */
static void cut_short_at_every_byte(void **state) {
    (void)state;
    struct built b = rich_archive();
    struct reading whole = read_whole(&b);
    size_t ends = 0;
    for (size_t length = 0; length < b.count; length++) {
        struct reading part = read_tar(tar, b.bytes, length, cut_none, NULL);
        char *last = strstr(part.log, part.end == VARVE_TAR_FAULT ? "fault " : "archive end ");
        assert_non_null(last);
        char *trailer = strstr(part.log, "trailer ");
        *(trailer ? trailer : last) = 0;
        assert_memory_equal(whole.log, part.log, strlen(part.log));
        if (part.end == VARVE_TAR_FAULT) {
            assert_int_equal(part.fault.status, VARVE_MALFORMED);
            assert_true(part.fault.offset_decoded <= length);
            assert_string_not_equal(part.fault.code, "tar.checksum");
        } else {
            /* Between entries, in the last padding, or behind the end. */
            ends++;
            bool marked = has_finding(&part, "eoa.missing") || has_finding(&part, "eoa.single") ||
                          has_finding(&part, "tar.empty") || part.traits.eoa_blocks == 2;
            assert_true(marked);
            for (size_t i = 0; i < part.entry_count; i++) {
                assert_true(part.entries[i].complete);
            }
        }
        reading_free(&part);
    }
    assert_true(ends > 1000 && ends < b.count / 2);
    reading_free(&whole);
    free(b.bytes);
}

/* What a caller does with varve_tar_archive_end: fork its digest there. The last fork must be at
 * the final value, however the stream is cut. */
static void archive_end_can_be_forked_at(void **state) {
    (void)state;
    struct built b = rich_archive();
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint64_t random = seed;
        uint64_t forked = UINT64_MAX;
        size_t at = 0;
        bool settled;
        struct varve_tar_item item;
        varve_tar_reset(tar, NULL);
        while (at < b.count) {
            size_t bytes = seed ? cut_random(&random, b.count - at) : 1;
            varve_tar_feed(tar, b.bytes + at, bytes, at + bytes == b.count);
            enum varve_tar_event event;
            do {
                event = varve_tar_next(tar, &item);
            } while (event != VARVE_TAR_INPUT && event != VARVE_TAR_END &&
                     event != VARVE_TAR_FAULT);
            assert_int_not_equal(event, VARVE_TAR_FAULT);
            uint64_t end = varve_tar_archive_end(tar, &settled);
            if (!settled && end >= at && end <= at + bytes) {
                forked = end;
            }
            at += bytes;
        }
        assert_int_equal(forked, varve_tar_archive_end(tar, &settled));
        assert_false(settled);
    }
    free(b.bytes);
}

/* --- limits and memory --- */

static struct reading read_built(struct built *b) {
    struct reading reading = read_tar(tar, b->bytes, b->count, cut_none, NULL);
    free(b->bytes);
    *b = (struct built){0};
    return reading;
}

static void expect_fault(struct built *b, const char *code, enum varve_status status,
                         uint64_t offset) {
    struct reading reading = read_built(b);
    assert_int_equal(reading.end, VARVE_TAR_FAULT);
    assert_string_equal(reading.fault.code, code);
    assert_int_equal(reading.fault.status, status);
    assert_int_equal(reading.fault.offset_decoded, offset);
    reading_free(&reading);
}

static void expect_log(struct built *b, const char *part, const char *finding) {
    struct reading reading = read_built(b);
    if (!strstr(reading.log, part) || (finding && !has_finding(&reading, finding))) {
        fail_msg("no %s or %s in\n%s%s", part, finding, reading.log, reading.findings);
    }
    reading_free(&reading);
}

static void limits_hold(void **state) {
    (void)state;
    struct built b = {0};
    uint8_t *body = malloc(VARVE_LIMIT_EXTENSION_BYTES + 1);
    memset(body, 'a', VARVE_LIMIT_EXTENSION_BYTES + 1);
    for (int more = 0; more < 2; more++) {
        build_body(&b, 'L', "././@LongLink", body, VARVE_LIMIT_EXTENSION_BYTES + (size_t)more);
        build_file(&b, "f", "");
        build_end(&b);
        if (more) {
            expect_fault(&b, "gnu.long-limit", VARVE_LIMIT, 0);
        } else {
            struct reading reading = read_built(&b);
            assert_int_equal(reading.entries[0].path_bytes, VARVE_LIMIT_EXTENSION_BYTES);
            reading_free(&reading);
        }
    }
    free(body);

    for (size_t extensions = VARVE_LIMIT_EXTENSIONS; extensions < VARVE_LIMIT_EXTENSIONS + 2;
         extensions++) {
        for (size_t i = 0; i < extensions; i++) {
            build_pax(&b, 'x', "path", "p", NULL);
        }
        build_file(&b, "f", "");
        build_end(&b);
        if (extensions > VARVE_LIMIT_EXTENSIONS) {
            expect_fault(&b, "tar.extensions", VARVE_LIMIT, 1024 * VARVE_LIMIT_EXTENSIONS);
        } else {
            expect_log(&b, "path=p ", "ext.many");
        }
    }

    for (size_t records = VARVE_LIMIT_PAX_RECORDS; records < VARVE_LIMIT_PAX_RECORDS + 2;
         records++) {
        struct built text = {0};
        for (size_t i = 0; i < records; i++) {
            char key[20];
            snprintf(key, sizeof key, "%zx", i);
            pax_record(&text, key, "v", 1);
        }
        build_body(&b, 'x', "x", text.bytes, text.count);
        free(text.bytes);
        build_file(&b, "f", "");
        build_end(&b);
        struct reading reading = read_built(&b);
        assert_true(records > VARVE_LIMIT_PAX_RECORDS
                        ? reading.end == VARVE_TAR_FAULT && !strcmp(reading.fault.code, "pax.limit")
                        : reading.entries[0].records == records);
        reading_free(&reading);
    }
}

/* A pax 1.0 sparse file of `runs` runs of one byte each. */
static void build_sparse(struct built *b, size_t runs) {
    struct built map = {0};
    char line[64];
    snprintf(line, sizeof line, "%zu\n", runs);
    build_raw(&map, line, strlen(line));
    for (size_t i = 0; i < runs; i++) {
        snprintf(line, sizeof line, "%zu\n1\n", 10 * i);
        build_raw(&map, line, strlen(line));
    }
    build_padding(&map);
    snprintf(line, sizeof line, "%zu", 10 * runs);
    build_pax(b, 'x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", line,
              NULL);
    build_header(b, '0', "sparse", map.count + runs);
    build_raw(b, map.bytes, map.count);
    for (size_t i = 0; i < runs; i++) {
        build_raw(b, "x", 1);
    }
    build_padding(b);
    build_end(b);
    free(map.bytes);
}

static void sparse_maps_are_bounded(void **state) {
    (void)state;
    struct built b = {0};
    build_sparse(&b, 100000); /* about 0.9 MiB of map */
    struct reading reading = read_built(&b);
    assert_int_equal(reading.end, VARVE_TAR_END);
    assert_int_equal(reading.events, 2 * 100000 + 3 + 1); /* INPUT, ENTRY, runs, END, END */
    reading_free(&reading);
    build_sparse(&b, 140000);
    reading = read_built(&b);
    assert_string_equal(reading.fault.code, "sparse.map-limit");
    reading_free(&reading);
}

static void memory_is_taken_from_the_budget(void **state) {
    (void)state;
    struct varve_budget *budget;
    assert_int_equal(varve_budget_open(&budget, 1 << 20), VARVE_OK);
    struct varve_tar *small;
    struct varve_tar_options options = {budget, VARVE_TIER_AUTO};
    assert_int_equal(varve_tar_open(&small, &options), VARVE_OK);
    struct built b = {0};
    uint8_t *body = calloc(1, VARVE_LIMIT_EXTENSION_BYTES);
    memset(body, 'b', VARVE_LIMIT_EXTENSION_BYTES);
    build_body(&b, 'L', "././@LongLink", body, VARVE_LIMIT_EXTENSION_BYTES);
    build_file(&b, "f", "");
    build_end(&b);
    free(body);
    struct reading reading = read_tar(small, b.bytes, b.count, cut_none, NULL);
    assert_string_equal(reading.fault.code, "memory.budget");
    assert_int_equal(reading.fault.status, VARVE_LIMIT);
    reading_free(&reading);
    /* A claim takes nothing. */
    uint64_t before = varve_budget_taken(budget);
    build_header(&b, 'L', "././@LongLink", 077777777777);
    reading = read_tar(small, b.bytes + b.count - 512, 512, cut_none, NULL);
    assert_string_equal(reading.fault.code, "tar.truncated-extension");
    assert_int_equal(varve_budget_taken(budget), before);
    reading_free(&reading);
    varve_tar_close(small);
    assert_int_equal(varve_budget_taken(budget), 0);
    assert_true(varve_budget_peak(budget) > 0);
    varve_budget_close(budget);
    free(b.bytes);
}

/* Wherever memory ends, that is what is said; else all is as without a bound. A map that is given
 * in pairs stands before any other record. */
static void any_budget_is_kept_to(void **state) {
    (void)state;
    size_t refused = 0;
    size_t done = 0;
    struct built b = {0};
    build_pax(&b, 'x', "GNU.sparse.offset", "0", "GNU.sparse.numbytes", "2", "GNU.sparse.offset",
              "1000", "GNU.sparse.numbytes", "3", NULL);
    build_file(&b, "sparse", "hello");
    build_pax(&b, 'x', "path", "some/path", "SCHILY.xattr.user.b", "b", "VENDOR.a", "a", NULL);
    build_file(&b, "f", "content");
    build_end(&b);
    struct reading due = read_tar(tar, b.bytes, b.count, cut_none, NULL);
    for (uint64_t bytes = 1; bytes < 100000; bytes += 97) {
        struct varve_budget *budget;
        struct varve_tar *bounded;
        assert_int_equal(varve_budget_open(&budget, bytes), VARVE_OK);
        struct varve_tar_options options = {budget, VARVE_TIER_AUTO};
        if (varve_tar_open(&bounded, &options) == VARVE_OK) {
            struct reading reading = read_tar(bounded, b.bytes, b.count, cut_none, NULL);
            if (reading.end == VARVE_TAR_FAULT && reading.fault.status == VARVE_LIMIT) {
                assert_string_equal(reading.fault.code, "memory.budget");
                refused++;
            } else {
                assert_string_equal(reading.log, due.log);
                done++;
            }
            reading_free(&reading);
            varve_tar_close(bounded);
        }
        assert_int_equal(varve_budget_taken(budget), 0);
        varve_budget_close(budget);
    }
    assert_true(refused > 5 && done > 5);
    reading_free(&due);
    free(b.bytes);
}

/* Ten times the input: no more than eleven times the events, and no more memory per entry. Work
 * that is neither would show as a test that never ends. */
static void work_is_linear(void **state) {
    (void)state;
    uint64_t events[2];
    uint64_t peak[2];
    for (int round = 0; round < 2; round++) {
        struct varve_budget *budget;
        assert_int_equal(varve_budget_open(&budget, 1 << 26), VARVE_OK);
        struct varve_tar *counted;
        struct varve_tar_options options = {budget, VARVE_TIER_AUTO};
        assert_int_equal(varve_tar_open(&counted, &options), VARVE_OK);
        struct built b = {0};
        size_t count = round ? 20000 : 2000;
        for (size_t i = 0; i < count; i++) {
            build_pax(&b, 'x', "path", "some/path", "VENDOR.a", "b", NULL);
            build_file(&b, "f", "content");
        }
        build_end(&b);
        struct reading reading = read_tar(counted, b.bytes, b.count, cut_none, NULL);
        assert_int_equal(reading.entry_count, count);
        events[round] = reading.events;
        peak[round] = varve_budget_peak(budget);
        reading_free(&reading);
        free(b.bytes);
        varve_tar_close(counted);
        varve_budget_close(budget);
    }
    assert_true(events[1] <= 11 * events[0]);
    assert_int_equal(peak[0], peak[1]);
}

/* --- what each way of writing is read as --- */

static void modes_and_types(void **state) {
    (void)state;
    struct built b = {0};
    size_t at = build_file(&b, "hello", "x");
    build_field(&b, at, 100, "0100775", 8);
    build_end(&b);
    struct reading reading = read_built(&b);
    assert_true(has_finding(&reading, "mode.ifmt"));
    assert_string_equal(reading.findings, "mode.ifmt x1 @100 entry=hello\n");
    reading_free(&reading);

    at = build_file(&b, "hello", "x");
    build_field(&b, at, 100, "0040775", 8);
    build_end(&b);
    expect_log(&b, "mode=40775 ", "mode.type-conflict");
    at = build_header(&b, 0, "dir/", 0);
    build_end(&b);
    expect_log(&b, "entry 5/00", "type.nul-directory");
    at = build_header(&b, 0, "file", 0);
    build_end(&b);
    expect_log(&b, "entry 0/00", "type.nul");
    build_pax(&b, 'x', "path", "dir/", NULL);
    build_header(&b, 0, "file", 0);
    build_end(&b);
    expect_log(&b, "entry 5/00", "type.nul-directory");
    at = build_header(&b, '3', "null", 0);
    build_field(&b, at, 329, "0000001\0000000003", 16);
    build_end(&b);
    expect_log(&b, "dev=1,3 ", NULL);
    build_pax(&b, 'x', "SCHILY.devmajor", "4000000", NULL);
    build_header(&b, '4', "disk", 0);
    build_end(&b);
    expect_log(&b, "dev=4000000,0 ", NULL);
    build_pax(&b, 'X', "path", "solaris", NULL);
    build_file(&b, "f", "x");
    build_end(&b);
    expect_log(&b, "path=solaris ", "ext.solaris");
}

static void numbers(void **state) {
    (void)state;
    struct built b = {0};
    size_t at = build_file(&b, "f", "");
    build_field(&b, at, 108, "\x80\0\0\0\x01\0\0\0", 8);
    build_field(&b, at, 116, "\xff\xff\xff\xff\xff\xff\xff\xfe", 8);
    build_end(&b);
    expect_log(&b, "uid=16777216 gid=-2 ", "number.base256");
    build_pax(&b, 'x', "uid", "-1", "gid", "4611686018427387903", NULL);
    build_file(&b, "f", "");
    build_end(&b);
    expect_log(&b, "uid=-1 gid=4611686018427387903 ", "owner.negative");
    build_pax(&b, 'x', "gid", "4611686018427387904", NULL);
    build_file(&b, "f", "");
    expect_fault(&b, "pax.number", VARVE_MALFORMED, 512);
    build_pax(&b, 'x', "size", "1152921504606846976", NULL);
    build_file(&b, "f", "");
    expect_fault(&b, "tar.size", VARVE_MALFORMED, 1024 + 124);
    at = build_header(&b, '5', "d/", 0);
    build_field(&b, at, 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
    expect_fault(&b, "tar.size", VARVE_MALFORMED, 124);
    at = build_file(&b, "f", "");
    build_field(&b, at, 337, "garbage!", 8);
    expect_fault(&b, "tar.number", VARVE_MALFORMED, 337);
    at = build_file(&b, "v7", "");
    build_field(&b, at, 337, "garbage!", 8);
    build_field(&b, at, 257, "\0\0\0\0\0\0\0\0", 8);
    build_end(&b);
    expect_log(&b, "path=v7 ", "header.unused-bytes");
}

static void times(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *read; /* NULL: malformed */
    } cases[] = {
        {"0", "mtime=0.000000000"},
        {"1700000000.5", "mtime=1700000000.500000000"},
        {"1.1234567899", "mtime=1.123456789"},
        {"1.", "mtime=1.000000000"},
        {"-1", "mtime=-1.000000000"},
        {"-0.25", "mtime=-1.750000000"},
        {"-1.000000001", "mtime=-2.999999999"},
        {"9223372036854775807", "mtime=9223372036854775807.000000000"},
        {"-9223372036854775808", "mtime=-9223372036854775808.000000000"},
        {"9223372036854775808", NULL},
        {"-9223372036854775808.1", NULL},
        {"", "mtime=1700000000.000000000"}, /* deleted: the header's */
        {".5", NULL},
        {"-", NULL},
        {"+1", NULL},
        {" 1", NULL},
        {"1.2.3", NULL},
        {"1e9", NULL},
        {"0x10", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct built b = {0};
        build_pax(&b, 'x', "mtime", cases[i].text, NULL);
        build_file(&b, "f", "");
        build_end(&b);
        if (cases[i].read) {
            expect_log(&b, cases[i].read, NULL);
        } else {
            expect_fault(&b, "pax.time", VARVE_MALFORMED, 512);
        }
    }
}

static void attributes(void **state) {
    (void)state;
    struct built b = {0};
    build_pax(&b, 'x', "LIBARCHIVE.xattr.user.a", "bmV3", "SCHILY.xattr.user.a", "new",
              "RHT.security.selinux", "label", NULL);
    build_file(&b, "f", "");
    build_end(&b);
    expect_log(&b, " xattr=security.selinux =label xattr=user.a =new at", "xattr.twice");
    build_pax(&b, 'x', "SCHILY.xattr.user.a", "go", "LIBARCHIVE.xattr.user.a", "bmV3", NULL);
    build_file(&b, "f", "");
    build_end(&b);
    expect_log(&b, " xattr=user.a =go at", "xattr.conflict");
    build_pax(&b, 'x', "LIBARCHIVE.xattr.user.%zz", "bmV3", "LIBARCHIVE.xattr.b", "*", NULL);
    build_file(&b, "f", "");
    build_end(&b);
    expect_log(&b, " record=LIBARCHIVE.xattr.b =* record=LIBARCHIVE.xattr.user.%25zz =bmV3 at",
               "xattr.unreadable");
    build_pax(&b, 'x', "SCHILY.xattr.user.a", "", "SCHILY.xattr.", "x", NULL);
    build_file(&b, "f", "");
    build_end(&b);
    expect_log(&b, " record=SCHILY.xattr. =x at", "xattr.empty");
    build_pax(&b, 'x', "SCHILY.acl.access", "user::rwx", "SCHILY.fflags", "nodump", "comment", "c",
              "hdrcharset", "BINARY", "SCHILY.ino", "5", NULL);
    build_file(&b, "f", "");
    build_end(&b);
    expect_log(&b, " xattr=SCHILY.acl.access =user::rwx xattr=SCHILY.fflags =nodump at",
               "pax.schily-stat");
}

static void extensions(void **state) {
    (void)state;
    struct built b = {0};
    build_pax(&b, 'x', "path", "p", "uid", "7", NULL);
    build_pax(&b, 'x', "gid", "8", NULL); /* the first is forgotten whole */
    build_file(&b, "name", "");
    build_end(&b);
    expect_log(&b, "uid=0 gid=8 size=0 stored=0 dev=0,0 path=name ", "ext.redundant");
    build_pax(&b, 'x', "path", "p", NULL);
    build_pax(&b, 'g', "comment", "c", NULL);
    build_file(&b, "name", "");
    expect_fault(&b, "tar.dangling", VARVE_MALFORMED, 0);
    build_pax(&b, 'g', "a", "1", "a", "2", "b", "", NULL);
    build_file(&b, "name", "");
    build_end(&b);
    expect_log(&b, "global record=a =2 record=b =\n", "pax.duplicate-key");
    build_pax(&b, 'x', "path", "p", NULL);
    build_file(&b, "name", "");
    build_file(&b, "next", ""); /* it applies to one entry only */
    build_end(&b);
    expect_log(&b, "path=next ", "pax.header");
    build_pax(&b, 'x', "GNU.sparse.name", "renamed", "GNU.sparse.major", "1", "GNU.sparse.minor",
              "1", NULL);
    build_file(&b, "kept", "");
    build_end(&b);
    expect_log(&b, "path=kept ", "sparse.orphan");
}

/* Findings that no other test here or in test_tar_vectors.c has. */
static void rare_findings(void **state) {
    (void)state;
    struct built b = {0};
    size_t at = build_header(&b, '1', "link", 0);
    build_field(&b, at, 157, "/abs//./target", 14);
    at = build_header(&b, '2', "dir/symlink", 0);
    build_field(&b, at, 100, "0000644", 8);
    at = build_file(&b, "file", "x");
    build_field(&b, at, 157, "no link", 7);
    build_field(&b, at, 100, "4000644", 8);
    build_field(&b, at, 90, "tail", 4);
    build_pax(&b, 'x', "LIBARCHIVE.creationtime", "77.5", "VENDOR.x", "y", "SUN.holesdata", " 0 10",
              "mtime", "8589934592", "SCHILY.acl.default", "a", "SCHILY.fflags", "b",
              "SCHILY.xattr.security.capability", "c", "SCHILY.xattr.security.ima", "d",
              "LIBARCHIVE.creationtime.", "z", NULL);
    build_file(&b, "file2", "");
    build_end(&b);
    struct reading reading = read_built(&b);
    static const char *const codes[] = {
        "link.absolute",     "link.double-slash", "link.dot",         "link.empty",
        "link.symlink-mode", "link.unused",       "mode.extra-bits",  "name.after-nul",
        "pax.creationtime",  "pax.unknown",       "sparse.sun",       "time.large",
        "xattr.acl",         "xattr.fflags",      "xattr.capability", "xattr.ima"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (!has_finding(&reading, codes[i])) {
            fail_msg("no %s in\n%s%s", codes[i], reading.findings, reading.log);
        }
    }
    assert_non_null(strstr(reading.log, " creation=77.500000000 "));
    reading_free(&reading);

    build_header(&b, 'S', "star", 0);
    expect_fault(&b, "sparse.not-gnu", VARVE_UNSUPPORTED, 156);
}

/* Where GNU tar, libarchive or Python lists other entries or another content: headers of odd
 * fields, and beside each the nearest that all read alike. */
struct odd_field {
    size_t at;
    const char *text;
    size_t bytes;
};
enum { GNU = 1, V7 = 2 };
#define OCTAL(digits) digits, 12
static const struct {
    char type;
    int dialect;
    uint64_t size;
    struct odd_field fields[5];
    size_t offset; /* of the finding within the header; 0: none */
} odd_headers[] = {
    /* libarchive follows sparse fields of every type, but not of every dialect. */
    {'0', GNU, 0, {{386, OCTAL("00000000000")}, {398, OCTAL("00000000000")}, {482, "\1", 1}}, 386},
    {'5', GNU, 0, {{386, OCTAL("00000000000")}, {398, OCTAL("00000000000")}, {482, "\1", 1}}, 386},
    {'0', GNU, 0, {{482, "\1", 1}}, 0},
    {'0', GNU, 0, {{398, OCTAL("00000001000")}}, 0},
    {'0', 0, 0, {{386, OCTAL("00000000000")}, {398, OCTAL("00000000000")}}, 0},
    {'0', GNU, 6, {{483, OCTAL("00000001000")}}, 483},
    {'0', GNU, 6, {{483, OCTAL("00000000003")}}, 483},
    {'0', GNU, 6, {{483, OCTAL("00000000006")}}, 0},
    {'0', GNU, 6, {{483, OCTAL("what is it?")}}, 483},
    {'5', GNU, 0, {{483, OCTAL("00000000006")}}, 483},
    {'5', GNU, 0, {{483, OCTAL("00000000000")}}, 0},
    /* What stands in the place of the prefix. */
    {'0', GNU, 0, {{345, OCTAL("00000000001")}}, 345},
    {'0', GNU, 0, {{357, OCTAL("00000000001")}}, 0},
    {'S', GNU, 0, {{345, OCTAL("00000000001")}}, 0},
    {'S', GNU, 0, {{345, "text", 4}}, 345},
    {'0', GNU, 0, {{345, "\303\251", 2}}, 345},
    {'0', V7, 0, {{345, "text", 4}}, 345},
    /* Numbers. */
    {'0', 0, 0, {{108, "\x81\0\0\0\0\0\0\1", 8}}, 108},
    {'0', 0, 0, {{108, "\xc0\0\0\0\0\0\0\0", 8}}, 108},
    {'0', 0, 0, {{108, "\x80\0\0\0\0\0\0\1", 8}}, 0},
    {'0', 0, 0, {{108, "\xff\xff\xff\xff\xff\xff\xff\xfe", 8}}, 0},
    {'0', 0, 3, {{124, "\0 0000000003", 12}}, 124},
    {'0', 0, 3, {{124, "  \000000000003", 12}}, 124},
    {'0', 0, 3, {{124, "3\0\000000000003", 12}}, 0},
    {'0', 0, 0, {{124, "\0 0000000000", 12}}, 0},
    {'0', 0, 0, {{108, "\0000003", 5}}, 0},
    {'0', V7, 0, {{329, "junk", 4}}, 329},
    {'0', V7, 0, {{337, "\xc0", 1}}, 337},
    {'0', V7, 0, {{329, "0000000\0000000000", 16}}, 0},
    /* Types. */
    {'V', GNU, 0, {{0, "", 0}}, 156},
    {'A', 0, 0, {{0, "", 0}}, 156},
    {'M', GNU, 0, {{0, "", 0}}, 0},
    {'D', GNU, 0, {{0, "", 0}}, 0},
    {'N', GNU, 0, {{0, "", 0}}, 0},
    /* Maps of GNU's old format. */
    {'S',
     GNU,
     3,
     {{386, OCTAL("00000000000")}, {398, OCTAL("00000000003")}, {483, OCTAL("00000000003")}},
     0},
    {'S',
     GNU,
     3,
     {{386, OCTAL("00000000000")}, {398, OCTAL("00000000003")}, {483, OCTAL("\0000000000003")}},
     483},
    {'S',
     GNU,
     3,
     {{386, OCTAL("00000000000")},
      {398, OCTAL("00000000003")},
      {434, OCTAL("00000000003")},
      {483, OCTAL("00000000003")}},
     410},
    {'S', GNU, 0, {{386, OCTAL("00000000000")}, {483, OCTAL("00000000003")}}, 398},
};

static void others_read_otherwise(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof odd_headers / sizeof odd_headers[0]; i++) {
        struct built b = {0};
        size_t at = build_header(&b, odd_headers[i].type, "name", odd_headers[i].size);
        if (odd_headers[i].dialect == GNU) {
            build_gnu(&b, at);
        } else if (odd_headers[i].dialect == V7) {
            memset(b.bytes + at + 257, 0, 243);
        }
        for (const struct odd_field *field = odd_headers[i].fields;
             field->at || field == odd_headers[i].fields; field++) {
            build_field(&b, at, field->at, field->text, field->bytes);
        }
        build_zeros(&b, odd_headers[i].size);
        build_padding(&b);
        build_end(&b);
        struct reading reading = read_built(&b);
        assert_int_equal(reading.end, VARVE_TAR_END);
        char due[64];
        snprintf(due, sizeof due, "parser.differential x1 @%zu ", odd_headers[i].offset);
        if (odd_headers[i].offset ? !strstr(reading.findings, due)
                                  : has_finding(&reading, "parser.differential")) {
            fail_msg("header %zu: %zu\n%s", i, odd_headers[i].offset, reading.findings);
        }
        reading_free(&reading);
    }
}

/* The same of long names: those before a file, a link, and a file whose header has a prefix of its
 * own. */
static void long_names_are_read_otherwise(void **state) {
    (void)state;
    static const struct {
        char type;          /* of the long name */
        const char *bodies; /* one after the other, each ended by a | */
        char padding;       /* its first byte */
        bool differs[2];    /* before a file, before a symbolic link */
    } names[] = {
        {'L', "one*|", 0, {false, false}},
        {'L', "one*|", 'Z', {false, false}},
        {'L', "one*more|", 'Z', {false, false}},
        {'L', "one|", 0, {false, false}},
        {'L', "one|", 'Z', {true, true}},
        {'L', "one*|two*|", 0, {true, true}},
        {'L', "|", 0, {true, true}},
        {'L', "*|", 0, {true, true}},
        {'K', "one*|", 'Z', {false, false}},
        {'K', "one|", 'Z', {true, true}},
        {'K', "one*|two*|", 0, {true, true}},
        {'K', "|", 0, {false, true}},
    };
    for (size_t i = 0; i < 2 * sizeof names / sizeof names[0]; i++) {
        bool link = i % 2 == 1;
        struct built b = {0};
        for (const char *body = names[i / 2].bodies; *body;) {
            char text[16];
            size_t length = strcspn(body, "|");
            for (size_t at = 0; at < length; at++) {
                text[at] = body[at] == '*' ? '\0' : body[at];
            }
            build_gnu(&b, build_header(&b, names[i / 2].type, "long", length));
            build_raw(&b, text, length);
            size_t padding = b.count;
            build_padding(&b);
            if (b.count > padding) {
                b.bytes[padding] = (uint8_t)names[i / 2].padding;
            }
            body += length + 1;
        }
        size_t at = build_header(&b, link ? '2' : '0', "name", 0);
        build_field(&b, at, 157, "target", link ? 6 : 0);
        build_end(&b);
        struct reading reading = read_built(&b);
        assert_int_equal(reading.end, VARVE_TAR_END);
        if (has_finding(&reading, "parser.differential") != names[i / 2].differs[link]) {
            fail_msg("names %zu\n%s%s", i, reading.log, reading.findings);
        }
        reading_free(&reading);
    }
    /* What stands behind the records of a pax header, or of a global one: at once, or behind a NUL.
     */
    for (int i = 0; i < 4; i++) {
        struct built b = {0};
        static const char record[] = "11 key=val\n";
        build_body(&b, i < 2 ? 'x' : 'g', "pax", record, sizeof record - 1);
        b.bytes[BLOCK + sizeof record - 1 + (size_t)(i & 1)] = '7';
        build_file(&b, "name", "");
        build_end(&b);
        struct reading reading = read_built(&b);
        assert_int_equal(reading.end, VARVE_TAR_END);
        assert_true(has_finding(&reading, "padding.nonzero"));
        assert_int_equal(has_finding(&reading, "parser.differential"), !(i & 1));
        reading_free(&reading);
    }
    /* The slash of type NUL is in the header's name alone, in the path alone, in both. */
    static const char *const slashes[][2] = {
        {"name/", "path"}, {"name", "path/"}, {"name/", "path/"}};
    for (int i = 0; i < 3; i++) {
        struct built b = {0};
        build_gnu(&b, build_body(&b, 'L', "long", slashes[i][1], strlen(slashes[i][1]) + 1));
        build_header(&b, '\0', slashes[i][0], 0);
        build_end(&b);
        struct reading reading = read_built(&b);
        assert_int_equal(has_finding(&reading, "parser.differential"), i < 2);
        reading_free(&reading);
    }
    /* A name of its own leaves nothing of the prefix that Python would join. */
    struct built b = {0};
    build_gnu(&b, build_body(&b, 'L', "long", "one", 4));
    size_t at = build_header(&b, '0', "name", 0);
    build_gnu(&b, at);
    build_field(&b, at, 345, "00000000001", 12);
    build_end(&b);
    struct reading reading = read_built(&b);
    assert_true(has_finding(&reading, "gnu.times"));
    assert_false(has_finding(&reading, "parser.differential"));
    reading_free(&reading);
}

/* Maps of sparse files that cannot be true. */
static void sparse_maps_that_lie(void **state) {
    (void)state;
    static const struct {
        const char *blocks, *map, *size;
    } maps[] = {
        {"x", "0,1", "9"}, {"2", "0,1", "9"},  {"1", "0,1,2", "9"},   {"1", "x,1", "9"},
        {"1", "0,x", "9"}, {"1", "0,10", "9"}, {"2", "5,1,2,1", "9"}, {"2", "0,3,2,1", "9"},
    };
    struct built b = {0};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        build_pax(&b, 'x', "GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.size",
                  maps[i].size, "GNU.sparse.numblocks", maps[i].blocks, "GNU.sparse.map",
                  maps[i].map, NULL);
        build_header(&b, '0', "sparse", 1);
        expect_fault(&b, "sparse.map", VARVE_MALFORMED, 1024);
    }
    /* The same in the text of format 1.0. */
    static const char *const texts[] = {"x\n", "1\n0\nx\n", "1\n0\n10\n", "2\n5\n1\n2\n1\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        build_pax(&b, 'x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize",
                  "9", NULL);
        build_header(&b, '0', "sparse", 513);
        build_raw(&b, texts[i], strlen(texts[i]));
        build_padding(&b);
        expect_fault(&b, "sparse.map", VARVE_MALFORMED, 1024);
    }
    struct built body = {0};
    pax_record(&body, "GNU.sparse.major", "1", 1);
    pax_record(&body, "GNU.sparse.minor", "0", 1);
    pax_record(&body, "GNU.sparse.name", "a\0b", 3);
    build_body(&b, 'x', "pax", body.bytes, body.count);
    free(body.bytes);
    build_header(&b, '0', "sparse", 513);
    expect_fault(&b, "pax.nul", VARVE_MALFORMED, 0);
    /* GNU's old format, whose continued headers never end. */
    size_t at = build_header(&b, 'S', "sparse", 0);
    build_gnu(&b, at);
    build_field(&b, at, 482, "\1", 1);
    build_field(&b, at, 483, "00000010000", 12);
    uint8_t more[512] = {[504] = 1};
    for (int i = 0; i <= 1 << 11; i++) {
        build_raw(&b, more, sizeof more);
    }
    expect_fault(&b, "sparse.map-limit", VARVE_LIMIT, 512 + (512 << 11));
}

/* What cannot be opened says why. */
static void opening(void **state) {
    (void)state;
    struct varve_budget *budget = NULL;
    struct varve_tar *none = NULL;
    assert_int_equal(varve_budget_open(&budget, 1), VARVE_OK);
    assert_int_equal(varve_tar_open(&none, &(struct varve_tar_options){.budget = budget}),
                     VARVE_ERROR);
    assert_null(none);
    varve_budget_close(budget);
}

/* Each odd thing at each place of paths of each length is seen, and nothing where there is none. */
static void odd_paths(void **state) {
    (void)state;
    static const struct {
        const char *text, *code;
    } odd[] = {{"\x1f", "path.control"},
               {"\x7f", "path.control"},
               {"\\", "path.backslash"},
               {"\xff", "path.non-utf8"},
               {"\xc3", "path.non-utf8"},
               {"/./", "path.dot"},
               {"//", "path.double-slash"},
               {"/../", "path.dotdot"},
               {"b", NULL},
               {"/.b", NULL},
               {"b./", NULL},
               {"\xc3\xa4", NULL}};
    static const char *const codes[] = {"path.control", "path.backslash",    "path.non-utf8",
                                        "path.dot",     "path.double-slash", "path.dotdot"};
    struct built b = {0};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        for (size_t length = 6; length < 70; length++) {
            for (size_t at = 1; at + strlen(odd[i].text) < length; at++) {
                char path[71] = {0};
                memset(path, 'a', length);
                memcpy(path + at, odd[i].text, strlen(odd[i].text));
                b.count = 0;
                build_header(&b, '0', path, 0);
                build_end(&b);
                struct reading reading = read_tar(tar, b.bytes, b.count, cut_none, NULL);
                for (size_t c = 0; c < sizeof codes / sizeof codes[0]; c++) {
                    bool due = odd[i].code && strcmp(codes[c], odd[i].code) == 0;
                    if (has_finding(&reading, codes[c]) != due) {
                        fail_msg("%s: %s", path, reading.findings);
                    }
                }
                reading_free(&reading);
            }
        }
    }
    free(b.bytes);
}

/* A pax size may be where octal has no room, and may not where it has. */
static void sizes_that_disagree(void **state) {
    (void)state;
    static const struct {
        const char *pax;
        uint64_t header;
        bool conflict;
    } cases[] = {{"8589934592", 0, false}, {"8589934592", 077777777777, false},
                 {"8589934592", 5, true},  {"0", 5, true},
                 {"5", 5, false},          {"8589934591", 0, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct built b = {0};
        build_pax(&b, 'x', "size", cases[i].pax, NULL);
        build_header(&b, '0', "f", cases[i].header);
        struct reading reading = read_built(&b);
        assert_int_equal(has_finding(&reading, "size.conflict"), cases[i].conflict);
        assert_int_equal(has_finding(&reading, "parser.differential"), cases[i].conflict);
        assert_int_equal(reading.entries[0].size, strtoull(cases[i].pax, NULL, 10));
        reading_free(&reading);
    }
}

static void entries_are_limited(void **state) {
    (void)state;
    struct built b = {0};
    build_file(&b, "last", "");
    build_file(&b, "one too many", "");
    varve_tar_reset(tar, NULL);
    tar->entries = VARVE_LIMIT_ENTRIES - 1;
    varve_tar_feed(tar, b.bytes, b.count, true);
    struct varve_tar_item item;
    assert_int_equal(varve_tar_next(tar, &item), VARVE_TAR_ENTRY);
    assert_int_equal(varve_tar_next(tar, &item), VARVE_TAR_ENTRY_END);
    assert_int_equal(varve_tar_next(tar, &item), VARVE_TAR_FAULT);
    assert_string_equal(varve_tar_fault(tar).code, "tar.entries");
    assert_int_equal(varve_tar_fault(tar).status, VARVE_LIMIT);
    free(b.bytes);
}

/* Only the block right behind such an entry is blamed on its size. */
static void wrong_checksums_are_told_apart(void **state) {
    (void)state;
    struct built b = {0};
    build_header(&b, '5', "dir/", 600);
    build_zeros(&b, 511);
    build_raw(&b, "x", 1);
    expect_fault(&b, "tar.data-where-none", VARVE_MALFORMED, 512);
    build_header(&b, '5', "dir/", 600);
    build_pax(&b, 'x', "path", "p", NULL);
    build_zeros(&b, 511);
    build_raw(&b, "x", 1);
    expect_fault(&b, "tar.checksum", VARVE_MALFORMED, 1536);
    build_zeros(&b, 511);
    build_raw(&b, "x", 1);
    expect_fault(&b, "tar.not-tar", VARVE_MALFORMED, 0);
    build_raw(&b, "too short", 9);
    expect_fault(&b, "tar.not-tar", VARVE_MALFORMED, 0);
}

/* A size far ahead needs no memory and gives no end before its time. */
static void sizes_are_believed_not_allocated(void **state) {
    (void)state;
    struct built b = {0};
    build_header(&b, '0', "huge", 077777777777);
    build_raw(&b, "only this", 9);
    struct reading reading = read_built(&b);
    assert_string_equal(reading.fault.code, "tar.truncated-data");
    assert_int_equal(reading.fault.offset_decoded, 521);
    assert_int_equal(reading.archive_end, 512 + 077777777777);
    assert_false(reading.entries[0].complete);
    reading_free(&reading);
}

static int open_parser(void **state) {
    (void)state;
    return varve_tar_open(&tar, NULL) == VARVE_OK ? 0 : -1;
}

static int close_parser(void **state) {
    (void)state;
    varve_tar_close(tar);
    varve_tar_close(NULL);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(tiers_change_nothing),
        cmocka_unit_test(cut_short_at_every_byte),
        cmocka_unit_test(archive_end_can_be_forked_at),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(sparse_maps_are_bounded),
        cmocka_unit_test(sparse_maps_that_lie),
        cmocka_unit_test(opening),
        cmocka_unit_test(memory_is_taken_from_the_budget),
        cmocka_unit_test(any_budget_is_kept_to),
        cmocka_unit_test(work_is_linear),
        cmocka_unit_test(modes_and_types),
        cmocka_unit_test(numbers),
        cmocka_unit_test(times),
        cmocka_unit_test(attributes),
        cmocka_unit_test(extensions),
        cmocka_unit_test(rare_findings),
        cmocka_unit_test(others_read_otherwise),
        cmocka_unit_test(long_names_are_read_otherwise),
        cmocka_unit_test(odd_paths),
        cmocka_unit_test(sizes_that_disagree),
        cmocka_unit_test(entries_are_limited),
        cmocka_unit_test(wrong_checksums_are_told_apart),
        cmocka_unit_test(sizes_are_believed_not_allocated),
    };
    return cmocka_run_group_tests(tests, open_parser, close_parser);
}
