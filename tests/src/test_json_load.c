/* SPDX-License-Identifier: Apache-2.0 */
/* tests/src/test_json_load.c - documents to which memory is refused at each of their allocations in
 * turn: none is taken for one that is malformed, nothing is read or written beyond, nothing leaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_load.h"

static long left = -1; /* allocations that succeed; < 0: all */
static bool for_ever;  /* after the one that is refused, all others are */
static long held;

static void *allocate(size_t bytes) {
    if (left == 0) {
        left = for_ever ? 0 : -1;
        return NULL;
    }
    left -= left > 0;
    void *block = malloc(bytes);
    held += block != NULL;
    return block;
}

static void release(void *block) {
    held -= block != NULL;
    free(block);
}

/* How many allocations it takes until the document is there. */
static long refuse_each(const char *text, size_t bytes, bool sound) {
    for (long calls = 0;; calls++) {
        bool no_memory = false;
        long before = held;
        left = calls;
        json_t *root = varve_json_parse(text, bytes, JSON_REJECT_DUPLICATES, NULL, &no_memory);
        bool refused = left == (for_ever ? 0 : -1);
        left = -1;
        if (!no_memory) {
            assert_true((root != NULL) == sound);
            json_decref(root);
            assert_int_equal(held, before);
            return calls;
        }
        assert_true(refused);
        assert_null(root);
        assert_int_equal(held, before);
    }
}

static void each_refusal_is_told(void **state) {
    static char text[4096];
    static const char *const documents[] = {
        "{}", "[[[[1,2.5,-3e7,true,false,null]]]]",
        "{\"a\":{\"b\":{\"c\":[{},{},[]]}},\"d\":\"\\u00e9\\ud83d\\ude00\",\"e\":12345678901234}"};
    (void)state;
    for (int ever = 0; ever < 2; ever++) {
        for_ever = ever;
        for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
            assert_true(refuse_each(documents[i], strlen(documents[i]), true) > 1);
        }
        /* Texts and numbers that end wherever a buffer that doubles may: with room for the quote or
         * not. */
        for (size_t length = 0; length < 300; length++) {
            int n = snprintf(text, sizeof text, "{\"k\":\"%0*d\",\"n\":%.*s}", (int)length + 1, 7,
                             (int)(length % 17) + 1, "123456789012345678");
            assert_true(refuse_each(text, (size_t)n, true) > 3);
        }
        for (size_t i = 0; i < 2; i++) {
            static const char *const broken[] = {"{\"a\":1,\"a\":2}",
                                                 "[\"never ends, so it is none"};
            refuse_each(broken[i], strlen(broken[i]), false);
        }
    }
}

/* A list with more events than the list of them begins with, and a block older than the wrapping.
 */
static void many_blocks(void **state) {
    static char text[20000];
    size_t bytes = 0;
    json_t *older = *state;
    for_ever = false;
    text[bytes++] = '[';
    for (int i = 0; i < 2000; i++) {
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "%s\"%d\"", i ? "," : "", i);
    }
    text[bytes++] = ']';
    for (long calls = 100; calls < 3900; calls += 397) {
        bool no_memory = false;
        long before = held;
        left = calls;
        assert_null(varve_json_parse(text, bytes, 0, NULL, &no_memory));
        assert_true(no_memory);
        assert_int_equal(held, before);
    }
    left = -1;
    assert_int_equal(json_object_set_new(older, "key", json_string("value")), 0);
}

static int begin(void **state) {
    json_set_alloc_funcs(allocate, release);
    *state = json_object();
    return *state ? 0 : -1;
}

static int end(void **state) {
    json_decref(*state);
    return held == 0 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_is_told),
        cmocka_unit_test(many_blocks),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
