/* SPDX-License-Identifier: Apache-2.0 */
/* tests/src/test_spill.c - memory that is not all resident: what is written is read again, wherever
 * it lies; pages of the file go when they are told to; without a file, or without room for it,
 * ordinary memory does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "spill.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

#define ELEMENTS 200000u /* of 256 bytes: 48 MiB */

struct element {
    uint64_t values[32];
};

/* Fills a table and reads it again, in another order; its elements stay where they were. */
static void fill_and_check(struct varve_spill *spill) {
    struct varve_table table = {.spill = spill, .element_bytes = sizeof(struct element)};
    struct element *first = NULL;
    for (uint64_t i = 0; i < ELEMENTS; i++) {
        struct element *element = varve_table_add(&table);
        assert_non_null(element);
        assert_int_equal(element->values[0] | element->values[31], 0);
        element->values[0] = i;
        element->values[31] = ~i;
        first = first ? first : element;
        if (i % 1000 == 0) {
            varve_spill_relax(spill);
        }
    }
    assert_int_equal(table.count, ELEMENTS);
    assert_ptr_equal(first, varve_table_at(&table, 0));
    for (uint64_t i = 0; i < ELEMENTS; i++) {
        uint64_t number = i * 7919 % ELEMENTS;
        const struct element *element = varve_table_at(&table, number);
        if (element->values[0] != number || element->values[31] != ~number) {
            fail_msg("element %llu", (unsigned long long)number);
        }
        if (i % 1000 == 0) {
            varve_spill_relax(spill);
        }
    }
    varve_table_free(&table);
}

/* Pages of files that are resident (proc(5): statm), in bytes. */
static uint64_t resident_files(void) {
    unsigned long pages[3] = {0};
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu %lu", &pages[0], &pages[1], &pages[2]), 3);
    fclose(file);
    return (uint64_t)pages[2] * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void what_is_beyond_memory_lies_in_a_file(void **state) {
    (void)state;
    struct varve_spill *spill = varve_spill_open((size_t)1 << 20, NULL);
    assert_non_null(spill);
    fill_and_check(spill);
    if (varve_spill_error(spill)) {
        print_message("SKIPPED: no temporary file: %s\n", strerror(varve_spill_error(spill)));
    } else {
        assert_in_range(varve_spill_file_bytes(spill), 40u << 20, 60u << 20);
    }
    assert_false(varve_spill_is_in_file(spill, &spill)); /* not even its own */
    varve_spill_close(spill);
}

static void what_is_resident_is_bounded(void **state) {
    (void)state;
    struct varve_spill *spill = varve_spill_open(0, NULL);
    uint64_t before = resident_files();
    uint64_t most = 0;
    uint64_t sum = 0;
    char *blocks[64];
    for (size_t i = 0; i < 64; i++) {
        blocks[i] = varve_spill_allocate(spill, 1 << 20);
        assert_non_null(blocks[i]);
        memset(blocks[i], (int)i, 1 << 20);
        varve_spill_relax(spill);
        uint64_t now = resident_files();
        most = now > most ? now : most;
    }
    if (varve_spill_error(spill)) {
        print_message("SKIPPED: no temporary file: %s\n", strerror(varve_spill_error(spill)));
    } else {
        print_message("resident: %llu KiB more at most\n",
                      (unsigned long long)(most > before ? most - before : 0) / 1024);
        assert_true(most < before + (16u << 20));
    }
    for (size_t i = 0; i < 64; i++) {
        sum += (uint8_t)blocks[i][i * 1000];
    }
    assert_int_equal(sum, 63 * 64 / 2);
    varve_spill_close(spill);
}

static void small_things_take_no_file(void **state) {
    (void)state;
    struct varve_spill *spill = varve_spill_open((size_t)1 << 20, "/nowhere at all");
    char *texts[1000];
    char expected[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(expected, sizeof expected, "text %d", i);
        texts[i] = varve_spill_text(spill, expected, strlen(expected));
        assert_non_null(texts[i]);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(expected, sizeof expected, "text %d", i);
        assert_string_equal(texts[i], expected);
    }
    void *aligned = varve_spill_allocate(spill, 24);
    assert_int_equal((uintptr_t)aligned % 16, 0);
    assert_int_equal(varve_spill_file_bytes(spill), 0);
    assert_int_equal(varve_spill_error(spill), 0);
    varve_spill_close(spill);
    varve_spill_close(NULL);
}

static void without_a_file_there_is_memory(void **state) {
    (void)state;
    struct varve_spill *spill = varve_spill_open((size_t)1 << 20, "/nowhere at all");
    fill_and_check(spill);
    assert_int_equal(varve_spill_error(spill), ENOENT);
    assert_int_equal(varve_spill_file_bytes(spill), 0);
    varve_spill_close(spill);
}

/* A file that may not grow, or not even begin: neither a signal nor a loss. */
static void a_file_that_is_full_is_gone_on_from(void **state) {
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (int i = 0; i < 2; i++) {
        const rlim_t most = i ? (rlim_t)1 << 10 : (rlim_t)5 << 20;
        const struct rlimit small = {most, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        struct varve_spill *spill = varve_spill_open((size_t)1 << 20, NULL);
        fill_and_check(spill);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(varve_spill_error(spill), EFBIG);
        assert_in_range(varve_spill_file_bytes(spill), 0, most);
        varve_spill_close(spill);
    }
}

/* No addresses for a region of the file, while there are some for memory. */
static void a_file_that_cannot_be_mapped_is_done_without(void **state) {
    (void)state;
#ifdef SANITIZED
    print_message("SKIPPED: a sanitizer needs addresses of its own\n");
#else
    unsigned long pages = 0;
    struct rlimit before;
    FILE *statm = fopen("/proc/self/statm", "re");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%lu", &pages), 1);
    fclose(statm);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    const struct rlimit small = {(rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)32 << 20),
                                 before.rlim_max};
    struct varve_spill *spill = varve_spill_open(0, NULL);
    assert_int_equal(setrlimit(RLIMIT_AS, &small), 0);
    void *first = varve_spill_allocate(spill, 100);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_non_null(first);
    assert_int_equal(varve_spill_error(spill), ENOMEM);
    assert_false(varve_spill_is_in_file(spill, first));
    fill_and_check(spill);
    varve_spill_close(spill);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_things_take_no_file),
        cmocka_unit_test(what_is_beyond_memory_lies_in_a_file),
        cmocka_unit_test(what_is_resident_is_bounded),
        cmocka_unit_test(without_a_file_there_is_memory),
        cmocka_unit_test(a_file_that_is_full_is_gone_on_from),
        cmocka_unit_test(a_file_that_cannot_be_mapped_is_done_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
