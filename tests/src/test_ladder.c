/* SPDX-License-Identifier: Apache-2.0 */
/* The ladder on the parser's events: the hello-world pair; any cut of the input, any tier; limits;
 * what is listed; memory. That its digests are those of the specification is shown by
 * tests/ladder/, against a second implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <openssl/evp.h>

#include "ladder_run.h"
#include "record.h"

#define GOLDEN VARVE_SOURCE_DIR "/corpora/golden/"
#define VECTORS VARVE_SOURCE_DIR "/../shared/vectors/"

static void climb_golden(struct climb *out, const char *name, size_t step) {
    struct climber climber;
    size_t bytes;
    char path[4096];
    snprintf(path, sizeof path, GOLDEN "%s", name);
    uint8_t *data = slurp(path, &bytes);
    assert_non_null(data);
    assert_int_equal(climber_open(&climber, VARVE_TIER_AUTO, NULL), VARVE_OK);
    climb(&climber, out, data, bytes, step);
    climber_close(&climber);
    free(data);
}

/* The report that varve comes from: two archives of 14,848 bytes that differ in the S_IFREG bit of
 * a mode and in the checksum that follows from it. */
static void hello_world(void **state) {
    (void)state;
    size_t bytes, other_bytes;
    uint8_t *with = slurp(GOLDEN "hello-ifmt.tar", &bytes);
    uint8_t *without = slurp(GOLDEN "hello.tar", &other_bytes);
    assert_non_null(with);
    assert_non_null(without);
    assert_int_equal(bytes, 14848);
    assert_int_equal(other_bytes, 14848);
    for (size_t i = 0; i < bytes; i++) {
        /* Counted from 1, as cmp does: bytes 102 and 154. */
        if (i + 1 == 102) {
            assert_int_equal(with[i], '1');
            assert_int_equal(without[i], '0');
        } else if (i + 1 == 154) {
            assert_int_equal(with[i], '4');
            assert_int_equal(without[i], '3');
        } else {
            assert_int_equal(with[i], without[i]);
        }
    }
    assert_memory_equal(with + 100, "0100775", 8);
    assert_memory_equal(without + 100, "0000775", 8);
    assert_memory_equal(with + 148, "010274\0 ", 8);
    assert_memory_equal(without + 148, "010273\0 ", 8);
    free(with);
    free(without);

    static struct climb old, new;
    climb_golden(&old, "hello-ifmt.tar", 65536);
    climb_golden(&new, "hello.tar", 65536);
    assert_int_equal(old.status, VARVE_OK);
    assert_int_equal(new.status, VARVE_OK);
    for (int rung = VARVE_RUNG_ARCHIVE; rung < VARVE_RUNG_COUNT; rung++) {
        int differ = memcmp(old.rungs.digest[rung], new.rungs.digest[rung], VARVE_SHA256_BYTES);
        assert_true(old.rungs.present >> rung & 1 && new.rungs.present >> rung & 1);
        assert_int_equal(differ == 0, rung >= VARVE_RUNG_ENCODING);
    }
    assert_memory_equal(&old.facets, &new.facets, sizeof old.facets);
    assert_string_equal(old.found, "mode.ifmt 1 100 hello\n");
    assert_string_equal(new.found, "");
}

static bool same(const struct climb *a, const struct climb *b) {
    return a->last == b->last && a->status == b->status && a->entries == b->entries &&
           memcmp(&a->rungs, &b->rungs, sizeof a->rungs) == 0 &&
           memcmp(&a->facets, &b->facets, sizeof a->facets) == 0 &&
           strcmp(a->found, b->found) == 0 && strcmp(a->listed, b->listed) == 0;
}

/* Calls `use` for every tar of a folder. Returns how many; 0 where there is no such folder. */
static size_t each_tar(const char *name,
                       void (*use)(const uint8_t *data, size_t bytes, const char *name)) {
    DIR *folder = opendir(name);
    size_t count = 0;
    if (!folder) {
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name);
        /* Gigabytes of holes take their time however they are cut. */
        bool slow = strstr(entry->d_name, "x12-") || strstr(entry->d_name, "gnu-incremental");
        if (length < 4 || strcmp(entry->d_name + length - 4, ".tar") != 0 || slow) {
            continue;
        }
        char path[4096];
        size_t bytes;
        snprintf(path, sizeof path, "%s%s", name, entry->d_name);
        uint8_t *data = slurp(path, &bytes);
        use(data, bytes, entry->d_name);
        free(data);
        count++;
    }
    closedir(folder);
    return count;
}

static void any_cut_of(const uint8_t *data, size_t bytes, const char *name) {
    static const size_t steps[] = {1, 7, 512, 4096};
    static struct climb whole, pieces;
    struct climber climber;
    assert_int_equal(climber_open(&climber, VARVE_TIER_AUTO, NULL), VARVE_OK);
    climb(&climber, &whole, data, bytes, 1 << 20);
    for (size_t i = bytes > 200000; i < sizeof steps / sizeof steps[0]; i++) {
        climb(&climber, &pieces, data, bytes, steps[i]);
        if (!same(&whole, &pieces)) {
            fail_msg("%s in pieces of %zu differs:\n%s%s\n%s%s", name, steps[i], whole.found,
                     whole.listed, pieces.found, pieces.listed);
        }
    }
    climber_close(&climber);
}

static void any_cut(void **state) {
    (void)state;
    assert_true(each_tar(GOLDEN, any_cut_of) > 80);
}

static void any_cut_of_vectors(void **state) {
    (void)state;
    size_t count = each_tar(VECTORS "hostile-synthetic/", any_cut_of) +
                   each_tar(VECTORS "go1.19.8/", any_cut_of) +
                   each_tar(VECTORS "cpython/", any_cut_of);
    if (!count) {
        print_message("skipped: no archives of public parsers at " VECTORS "\n");
        skip();
    }
    assert_true(count > 130);
}

static void any_tier_of(const uint8_t *data, size_t bytes, const char *name) {
    static struct climb first, other;
    for (int tier = VARVE_TIER_AUTO; tier < VARVE_TIER_COUNT; tier++) {
        struct climber climber;
        if (!varve_tier_may_run((enum varve_tier)tier)) {
            continue;
        }
        assert_int_equal(climber_open(&climber, (enum varve_tier)tier, NULL), VARVE_OK);
        climb(&climber, tier == VARVE_TIER_AUTO ? &first : &other, data, bytes, 65536);
        climber_close(&climber);
        if (tier != VARVE_TIER_AUTO && !same(&first, &other)) {
            fail_msg("%s differs on tier %s", name, varve_tier_name((enum varve_tier)tier));
        }
    }
}

static void any_tier(void **state) {
    (void)state;
    assert_true(each_tar(GOLDEN, any_tier_of) > 80);
}

/* More entries than a chunk of records, a batch of fixed parts and the slots of contents hold; one
 * long record between. The parser's path limit is not met. */
static struct made many_entries(size_t count) {
    struct made made = {NULL, 0, 0};
    for (size_t i = 0; i < count; i++) {
        char path[100];
        snprintf(path, sizeof path, "d%zu/%090zu", i % 10, i * 7919 % count);
        made_entry(&made, path, '0', "", i % 5 ? i % 700 : 0, (uint8_t)i);
    }
    made_end(&made);
    return made;
}

static void many(void **state) {
    (void)state;
    static struct climb whole, pieces;
    struct climber climber;
    struct made made = many_entries(3000);
    assert_int_equal(climber_open(&climber, VARVE_TIER_AUTO, NULL), VARVE_OK);
    climb(&climber, &whole, made.bytes, made.count, made.count);
    assert_int_equal(whole.status, VARVE_OK);
    assert_int_equal(whole.entries, 3000);
    assert_int_equal(whole.facets.present, (1 << VARVE_FACET_COUNT) - 1);
    for (size_t step = 100; step < 200000; step *= 13) {
        climb(&climber, &pieces, made.bytes, made.count, step);
        assert_true(same(&whole, &pieces));
    }
    climber_close(&climber);
    free(made.bytes);
}

/* Whatever the number of entries and their order, they are sorted alike. */
static void sorts_any_number(void **state) {
    (void)state;
    static struct climb sorted, shuffled;
    struct climber climber;
    assert_int_equal(climber_open(&climber, VARVE_TIER_AUTO, NULL), VARVE_OK);
    for (size_t count = 1; count < 140; count++) {
        /* A prime beyond every count, so that its multiples go through all numbers below. */
        for (size_t step = 1; step < 4; step++) {
            struct made made[2] = {{NULL, 0, 0}, {NULL, 0, 0}};
            for (size_t i = 0; i < count; i++) {
                char path[32];
                snprintf(path, sizeof path, "%03zu", i);
                made_entry(&made[0], path, '0', "", i, (uint8_t)i);
            }
            for (size_t i = 1; i < 149; i++) {
                size_t entry = i * step * 41 % 149 - 1;
                if (entry < count) {
                    char path[32];
                    snprintf(path, sizeof path, "%03zu", entry);
                    made_entry(&made[1], path, '0', "", entry, (uint8_t)entry);
                }
            }
            made_end(&made[0]);
            made_end(&made[1]);
            climb(&climber, &sorted, made[0].bytes, made[0].count, 65536);
            climb(&climber, &shuffled, made[1].bytes, made[1].count, 65536);
            assert_int_equal(sorted.entries, count);
            assert_int_equal(shuffled.entries, count);
            assert_memory_equal(&sorted.facets, &shuffled.facets, sizeof sorted.facets);
            assert_memory_equal(sorted.rungs.digest[VARVE_RUNG_ORDER],
                                shuffled.rungs.digest[VARVE_RUNG_ORDER], VARVE_SHA256_BYTES);
            free(made[0].bytes);
            free(made[1].bytes);
        }
    }
    climber_close(&climber);
}

/* Abandoned in the middle of contents, the next layer is not touched by it. */
static void abandoned(void **state) {
    (void)state;
    static struct climb before, cut, after;
    struct climber climber;
    struct made made = many_entries(300);
    assert_int_equal(climber_open(&climber, VARVE_TIER_AUTO, NULL), VARVE_OK);
    climb(&climber, &before, made.bytes, made.count, 4096);
    for (size_t bytes = 1000; bytes < made.count; bytes += 7777) {
        climb(&climber, &cut, made.bytes, bytes, 4096);
        climb(&climber, &after, made.bytes, made.count, 4096);
        assert_true(same(&before, &after));
        assert_memory_equal(cut.listed, before.listed, strlen(cut.listed));
    }
    climber_close(&climber);
    free(made.bytes);
}

/* Of a damaged layer the entries before the damage are listed, and only whole ones. */
static void lists_whole_entries(void **state) {
    (void)state;
    static struct climb out;
    struct climber climber;
    struct made made = {NULL, 0, 0};
    made_entry(&made, "./a//b", '0', "", 3, 'x');
    made_entry(&made, "s", '2', "a//b/", 0, 0);
    made_entry(&made, "h", '1', "/a/./b", 0, 0);
    made_entry(&made, "cut", '0', "", 600, 'y');
    assert_int_equal(climber_open(&climber, VARVE_TIER_AUTO, NULL), VARVE_OK);
    climb(&climber, &out, made.bytes, made.count - 1000, 65536);
    assert_int_equal(out.last, VARVE_TAR_FAULT);
    assert_string_equal(
        out.listed,
        "0 a/b link= root:root mode=644 ids=0:0 size=3 mtime=1700000000.000000000 sha256=cd2e\n"
        "2 s link=a//b/ root:root mode=777 ids=0:0 size=0 mtime=1700000000.000000000 0000\n"
        "1 h link=a/b root:root mode=644 ids=0:0 size=0 mtime=1700000000.000000000 0000\n");
    assert_int_equal(out.entries, 4);
    climber_close(&climber);
    free(made.bytes);
}

/* Names and one pax record, as a header with a body. */
static void made_pax(struct made *made, const char *records) {
    made_entry(made, "x", 'x', "", strlen(records), 0);
    memcpy(made->bytes + made->count - 512, records, strlen(records));
}

static void sha256(uint8_t digest[VARVE_SHA256_BYTES], const void *bytes, size_t count) {
    assert_int_equal(EVP_Digest(bytes, count, digest, NULL, EVP_sha256(), NULL), 1);
}

/* Holes one byte beyond the limit: no rung from encoding on, and `archive` all the same, trailer
 * included.
 */
static void holes_have_a_limit(void **state) {
    (void)state;
    static struct climb out;
    struct climber climber;
    struct made made = {NULL, 0, 0};
    made_pax(&made, "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
                    "35 GNU.sparse.realsize=17179869185\n");
    made_entry(&made, "f", '0', "", 512, 0);
    memcpy(made.bytes + made.count - 512, "0\n", 2);
    size_t end = made.count;
    made_entry(&made, "g", '0', "", 5, 'g');
    end = made.count - 512 + 5;
    made_end(&made);
    made_add(&made, "junk", 4);
    assert_int_equal(climber_open(&climber, VARVE_TIER_AUTO, NULL), VARVE_OK);
    for (size_t step = 100; step < 20000; step *= 10) {
        climb(&climber, &out, made.bytes, made.count, step);
        assert_int_equal(out.last, VARVE_TAR_END);
        assert_int_equal(out.status, VARVE_LIMIT);
        assert_string_equal(out.fault.code, "sparse.logical");
        assert_int_equal(out.fault.offset_decoded, 1024);
        assert_int_equal(out.rungs.present, 1 << VARVE_RUNG_ARCHIVE);
        assert_int_equal(out.facets.present, 0);
        assert_string_equal(out.listed, "");
        uint8_t trailer[VARVE_TRAILER_RECORD_BYTES] = "trailer\0\4";
        sha256(trailer + 16, "junk", 4);
        uint8_t *all = malloc(end + sizeof trailer);
        memcpy(all, made.bytes, end);
        memcpy(all + end, trailer, sizeof trailer);
        uint8_t digest[VARVE_SHA256_BYTES];
        sha256(digest, all, end + sizeof trailer);
        assert_memory_equal(out.rungs.digest[VARVE_RUNG_ARCHIVE], digest, sizeof digest);
        free(all);
    }
    climber_close(&climber);
    free(made.bytes);
}

/* Whatever the budget, a layer is right or a limit, and all is given back. */
static void budgets(void **state) {
    (void)state;
    static struct climb due, out;
    struct climber climber;
    struct made made = many_entries(1500);
    made.count -= 1024;
    made_entry(&made, "d0/link", '1', "d1/none", 0, 0);
    made_end(&made);
    assert_int_equal(climber_open(&climber, VARVE_TIER_AUTO, NULL), VARVE_OK);
    climb(&climber, &due, made.bytes, made.count, 65536);
    climber_close(&climber);
    assert_int_equal(due.status, VARVE_OK);
    size_t refused = 0, done = 0;
    for (uint64_t bytes = 10000; bytes < 1000000; bytes += 3333) {
        struct varve_budget *budget;
        assert_int_equal(varve_budget_open(&budget, bytes), VARVE_OK);
        if (climber_open(&climber, VARVE_TIER_AUTO, budget) == VARVE_OK) {
            climb(&climber, &out, made.bytes, made.count, 65536);
            if (out.status == VARVE_OK) {
                assert_true(same(&due, &out));
                done++;
            } else {
                assert_int_equal(out.status, VARVE_LIMIT);
                assert_string_equal(out.fault.code, "memory.budget");
                assert_int_equal(out.rungs.present, 1 << VARVE_RUNG_ARCHIVE);
                assert_memory_equal(out.rungs.digest[VARVE_RUNG_ARCHIVE],
                                    due.rungs.digest[VARVE_RUNG_ARCHIVE], VARVE_SHA256_BYTES);
                refused++;
            }
        }
        climber_close(&climber);
        assert_int_equal(varve_budget_taken(budget), 0);
        varve_budget_close(budget);
    }
    assert_true(refused > 20 && done > 20);
    free(made.bytes);
}

/* Pairs come sorted or not. */
static void sorts_pairs(void **state) {
    (void)state;
    struct varve_tar_pair sorted[3], shuffled[3];
    static const char *const keys[3] = {"a", "a-", "b"};
    for (size_t i = 0; i < 3; i++) {
        sorted[i].key = (struct varve_bytes){(const uint8_t *)keys[i], strlen(keys[i])};
        sorted[i].value = (struct varve_bytes){(const uint8_t *)"12" + i % 2, 1};
        shuffled[(i + 1) % 3] = sorted[i];
    }
    struct climber climber;
    struct varve_rungs rungs[2];
    struct varve_facets facets;
    assert_int_equal(climber_open(&climber, VARVE_TIER_AUTO, NULL), VARVE_OK);
    for (int i = 0; i < 2; i++) {
        const struct varve_tar_pair *pairs = i ? shuffled : sorted;
        struct varve_tar_entry entry = {.typeflag = '5',
                                        .mtime = {1, 2, true},
                                        .xattrs = pairs,
                                        .xattr_count = 3,
                                        .records = pairs,
                                        .record_count = 3};
        struct varve_tar_item item = {.entry = &entry, .global = pairs, .global_count = 3};
        memset(&rungs[i], 0, sizeof rungs[i]);
        varve_ladder_reset(climber.ladder, NULL);
        assert_int_equal(varve_ladder_take(climber.ladder, VARVE_TAR_GLOBAL, &item), VARVE_OK);
        assert_int_equal(varve_ladder_take(climber.ladder, VARVE_TAR_ENTRY, &item), VARVE_OK);
        assert_int_equal(varve_ladder_take(climber.ladder, VARVE_TAR_ENTRY_END, &item), VARVE_OK);
        assert_int_equal(varve_ladder_finish(climber.ladder, &rungs[i], &facets, NULL), VARVE_OK);
        assert_int_equal(rungs[i].present, 0xf8); /* encoding to content */
    }
    assert_memory_equal(&rungs[0], &rungs[1], sizeof rungs[0]);
    climber_close(&climber);
}

/* Whatever the budget does not hold, room to sort in included, ends an entry. */
static void sorts_pairs_under_a_budget(void **state) {
    static const struct varve_tar_pair pairs[2] = {{{(const uint8_t *)"b", 1}, {NULL, 0}},
                                                   {{(const uint8_t *)"a", 1}, {NULL, 0}}};
    size_t refused = 0, done = 0;
    (void)state;
    for (uint64_t bytes = 1; bytes < 200000; bytes += 499) {
        struct varve_budget *budget;
        struct climber climber;
        struct varve_tar_entry entry = {.typeflag = '5', .xattrs = pairs, .xattr_count = 2};
        struct varve_tar_item item = {.entry = &entry};
        assert_int_equal(varve_budget_open(&budget, bytes), VARVE_OK);
        if (climber_open(&climber, VARVE_TIER_AUTO, budget) == VARVE_OK) {
            enum varve_status status = varve_ladder_take(climber.ladder, VARVE_TAR_ENTRY, &item);
            refused += status == VARVE_LIMIT;
            done += status == VARVE_OK;
        }
        climber_close(&climber);
        assert_int_equal(varve_budget_taken(budget), 0);
        varve_budget_close(budget);
    }
    assert_true(refused > 20 && done > 20);
}

static void numbers_come_back(void **state) {
    (void)state;
    static const int64_t eight[] = {0,
                                    1,
                                    07777777,
                                    010000000,
                                    -1,
                                    -100000,
                                    4000000,
                                    1L << 40,
                                    ((int64_t)1 << 62) - 1,
                                    -((int64_t)1 << 62)};
    static const int64_t twelve[] = {0, 077777777777, 0100000000000, -1, INT64_MAX, INT64_MIN};
    const struct varve_header_row *row = varve_header_row_of(VARVE_TIER_SCALAR);
    uint8_t fixed[VARVE_HEADER_FIXED_BYTES];
    for (size_t i = 0; i < sizeof eight / sizeof eight[0]; i++) {
        struct varve_header_values values = {.devminor = eight[i]};
        row->write(fixed, &values, 1);
        assert_true(varve_record_number(fixed + VARVE_RECORD_DEVMINOR, 8) == eight[i]);
    }
    for (size_t i = 0; i < sizeof twelve / sizeof twelve[0]; i++) {
        struct varve_header_values values = {.mtime = twelve[i]};
        row->write(fixed, &values, 1);
        assert_true(varve_record_number(fixed + VARVE_RECORD_MTIME, 12) == twelve[i]);
    }
}

static void facets_differ_where_both_have_them(void **state) {
    (void)state;
    struct varve_facets left = {.present = (1 << VARVE_FACET_COUNT) - 1};
    struct varve_facets right = left;
    assert_int_equal(varve_facets_unequal(&left, &right), 0);
    for (unsigned i = 0; i < VARVE_FACET_COUNT; i++) {
        right.digest[i][VARVE_SHA256_BYTES - 1] ^= 1;
        assert_int_equal(varve_facets_unequal(&left, &right), (2 << i) - 1);
    }
    right.present &= ~(1u << VARVE_FACET_MODE);
    left.present &= ~(1u << VARVE_FACET_TIMES);
    assert_int_equal(varve_facets_unequal(&left, &right), left.present & right.present);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_world),
        cmocka_unit_test(any_cut),
        cmocka_unit_test(any_cut_of_vectors),
        cmocka_unit_test(any_tier),
        cmocka_unit_test(many),
        cmocka_unit_test(sorts_any_number),
        cmocka_unit_test(sorts_pairs_under_a_budget),
        cmocka_unit_test(abandoned),
        cmocka_unit_test(lists_whole_entries),
        cmocka_unit_test(holes_have_a_limit),
        cmocka_unit_test(budgets),
        cmocka_unit_test(sorts_pairs),
        cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(facets_differ_where_both_have_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
