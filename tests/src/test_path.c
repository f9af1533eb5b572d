/* SPDX-License-Identifier: Apache-2.0 */
/* Paths: cleaning, the order by components against one that splits them, whiteout names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "path.h"

static struct varve_bytes text(const char *t) {
    return (struct varve_bytes){(const uint8_t *)t, strlen(t)};
}

static void cleans(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"a", "a"},
        {"./a", "a"},
        {"/a", "a"},
        {"//a///b//", "a/b"},
        {"a/./b/.", "a/b"},
        {"", ""},
        {".", ""},
        {"./", ""},
        {"/", ""},
        {"///.//./", ""},
        {"..", ".."},
        {"a/../b", "a/../b"},
        {"./../a", "../a"},
        {".a", ".a"},
        {"a.", "a."},
        {"...", "..."},
        {"a/.b/..c", "a/.b/..c"},
        {" /", " "},
        {"a b//\xff", "a b/\xff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[64];
        size_t count = varve_path_clean((uint8_t *)out, text(cases[i][0]));
        out[count] = 0;
        assert_string_equal(out, cases[i][1]);
        /* In place, and again: nothing changes any more. */
        char again[64];
        strcpy(again, cases[i][0]);
        count = varve_path_clean((uint8_t *)again, text(again));
        again[count] = 0;
        assert_string_equal(again, cases[i][1]);
        assert_int_equal(varve_path_clean((uint8_t *)again, text(again)), count);
    }
}

/* The specification's words: split at slashes, leave out empty components and ".". */
static size_t clean_by_splitting(char *out, const char *path) {
    size_t length = 0;
    while (*path) {
        size_t count = strcspn(path, "/");
        if (count && !(count == 1 && *path == '.')) {
            length += (size_t)sprintf(out + length, "%s%.*s", length ? "/" : "", (int)count, path);
        }
        path += count + (path[count] == '/');
    }
    out[length] = 0;
    return length;
}

/* Paths longer than a vector, with something to clean anywhere or nowhere; in memory that ends with
 * them, so that sanitizers see a byte too far. */
static void cleans_long_paths(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (int round = 0; round < 60000; round++) {
        char path[96], due[96];
        size_t count = (size_t)round % 80;
        for (size_t i = 0; i < count; i++) {
            seed = seed * 1664525 + 1013904223;
            unsigned often = 2 + (unsigned)round / 80 % 30; /* plain bytes for one that matters */
            path[i] = "/.ab"[(seed >> 16) % often < 3 ? (seed >> 24) % 3 : 3];
        }
        path[count] = 0;
        size_t length = clean_by_splitting(due, path);
        uint8_t *exact = malloc(count ? count : 1);
        memcpy(exact, path, count);
        uint8_t out[96];
        assert_int_equal(varve_path_clean(out, (struct varve_bytes){exact, count}), length);
        assert_memory_equal(out, due, length);
        assert_int_equal(varve_path_clean(exact, (struct varve_bytes){exact, count}), length);
        assert_memory_equal(exact, due, length);
        free(exact);
    }
}

/* The order as the specification words it: component by component. */
static int by_components(const char *a, const char *b) {
    for (;;) {
        if (!*a || !*b) {
            return (*a != 0) - (*b != 0);
        }
        size_t left = strcspn(a, "/"), right = strcspn(b, "/");
        int order = memcmp(a, b, left < right ? left : right);
        if (order || left != right) {
            return order ? order : left < right ? -1 : 1;
        }
        a += left + (a[left] == '/');
        b += right + (b[right] == '/');
    }
}

static void compares(void **state) {
    (void)state;
    /* Every cleaned path of up to six of these bytes; they lie on both sides of the slash. */
    static const char bytes[] = "/!0\xff";
    static char paths[5000][7];
    size_t count = 0;
    for (unsigned code = 0; code < 5 * 5 * 5 * 5 * 5 * 5; code++) {
        char path[7] = {0};
        size_t length = 0;
        unsigned rest = code;
        while (rest % 5 && length < 6) {
            path[length++] = bytes[rest % 5 - 1];
            rest /= 5;
        }
        char clean[7] = {0};
        varve_path_clean((uint8_t *)clean, text(path));
        if (rest == 0 && strcmp(clean, path) == 0) {
            assert_true(count < 5000);
            strcpy(paths[count++], path);
        }
    }
    assert_true(count > 1500);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j += 1 + (i + j) % 7) {
            int due = by_components(paths[i], paths[j]);
            int is = varve_path_compare(text(paths[i]), text(paths[j]));
            if ((due > 0) != (is > 0) || (due < 0) != (is < 0)) {
                fail_msg("%s against %s: %d, not %d", paths[i], paths[j], is, due);
            }
            size_t length = strlen(paths[j]);
            bool beneath = strlen(paths[i]) > length && strncmp(paths[i], paths[j], length) == 0 &&
                           (length == 0 || paths[i][length] == '/');
            assert_int_equal(varve_path_is_beneath(text(paths[i]), text(paths[j])), beneath);
        }
    }
}

static void compares_long_paths(void **state) {
    (void)state;
    /* A difference at every place within and behind the words that are compared at once. */
    for (size_t length = 1; length < 40; length++) {
        for (size_t at = 0; at < length; at++) {
            char a[41] = {0}, b[41] = {0};
            memset(a, 'x', length);
            memset(b, 'x', length);
            a[at] = '/';
            b[at] = '!';
            assert_true(varve_path_compare(text(a), text(b)) < 0);
            assert_true(varve_path_compare(text(b), text(a)) > 0);
            a[at] = 0;
            assert_true(varve_path_compare(text(a), text(b)) < 0);
            assert_int_equal(varve_path_compare(text(b), text(b)), 0);
        }
    }
}

static void knows_whiteouts(void **state) {
    (void)state;
    static const struct {
        const char *path;
        enum varve_whiteout kind;
        const char *removed;
    } cases[] = {
        {"", VARVE_WHITEOUT_NONE, NULL},
        {"a", VARVE_WHITEOUT_NONE, NULL},
        {".wh", VARVE_WHITEOUT_NONE, NULL},
        {"x.wh.a", VARVE_WHITEOUT_NONE, NULL},
        {".wh.d/a", VARVE_WHITEOUT_NONE, NULL},
        {".wh.a", VARVE_WHITEOUT_EXPLICIT, "a"},
        {"d/e/.wh.a.wh.", VARVE_WHITEOUT_EXPLICIT, "d/e/a.wh."},
        {"d/.wh..a", VARVE_WHITEOUT_EXPLICIT, "d/.a"},
        {"d/.wh....", VARVE_WHITEOUT_EXPLICIT, "d/..."},
        {"d/.wh..wh", VARVE_WHITEOUT_EXPLICIT, "d/.wh"},
        {"d/.wh..wh..opq", VARVE_WHITEOUT_OPAQUE, NULL},
        {"d/.wh..wh..opqx", VARVE_WHITEOUT_AUFS, NULL},
        {".wh..wh.aufs", VARVE_WHITEOUT_AUFS, NULL},
        {".wh..wh.", VARVE_WHITEOUT_AUFS, NULL},
        {"d/.wh.", VARVE_WHITEOUT_INVALID, NULL},
        {".wh..", VARVE_WHITEOUT_INVALID, NULL},
        {"d/.wh...", VARVE_WHITEOUT_INVALID, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(varve_path_whiteout(text(cases[i].path)), cases[i].kind);
        if (cases[i].removed) {
            char out[32] = {0};
            size_t count = varve_path_removed((uint8_t *)out, text(cases[i].path));
            assert_string_equal(out, cases[i].removed);
            assert_int_equal(count, strlen(cases[i].removed));
        }
    }
}

static void knows_utf8(void **state) {
    (void)state;
    static const char *const good[] = {"",
                                       "a~",
                                       "\xc2\x80",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "x\xf4\x8f\xbf\xbfx"};
    static const char *const bad[] = {"\x80",          "\xc1\xbf",         "\xc2",
                                      "\xc2x",         "\xe0\x9f\x80",     "\xe1\x80(",
                                      "\xed\xa0\x80",  "\xf0\x8f\x80\x80", "\xf1\x80\x80(",
                                      "\xf1\x80(\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(varve_path_is_utf8(text(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(varve_path_is_utf8(text(bad[i])));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleans),          cmocka_unit_test(cleans_long_paths),
        cmocka_unit_test(compares),        cmocka_unit_test(compares_long_paths),
        cmocka_unit_test(knows_whiteouts), cmocka_unit_test(knows_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
