/* SPDX-License-Identifier: Apache-2.0 */
/* tests/src/test_json_plain.c - what the quick reader takes is what jansson takes, and the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_plain.h"

static const char manifest[] =
    "{\"schemaVersion\": 2,\n\t\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\r\n"
    "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"size\":7023,"
    "\"digest\":\"sha256:b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7\"},"
    "\"layers\" : [ {\"size\":0,\"urls\":[],\"platform\":{}} , {\"size\":999999999999999999} ],"
    "\"annotations\":{\"\":\"\",\"a\":\"0123456\",\"b\":\"01234567\",\"c\":\"012345678 \x7f\","
    "\"d\":true,\"e\":false,\"f\":null,\"g\":[[1],[[2]],[true,null,\"x\"]]}}\n";

/* Reads a copy that has no byte too many. */
static json_t *read_plain(const char *text, size_t bytes) {
    char *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, text, bytes);
    json_t *root = varve_json_plain(copy, bytes);
    free(copy);
    return root;
}

/* Whether it is plain; if so, jansson must say the same. */
static bool is_same(const char *text, size_t bytes) {
    json_t *plain = read_plain(text, bytes);
    if (!plain) {
        return false;
    }
    json_t *judge = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    char *found = json_dumps(plain, JSON_COMPACT);
    char *wanted = judge ? json_dumps(judge, JSON_COMPACT) : NULL;
    bool same = found && wanted && strcmp(found, wanted) == 0 && json_equal(plain, judge);
    if (!same) {
        print_error("plain %s, jansson %s\n", found ? found : "?", wanted ? wanted : "refuses");
    }
    free(found);
    free(wanted);
    json_decref(plain);
    json_decref(judge);
    assert_true(same);
    return true;
}

static void plain_documents(void **state) {
    static const char *const texts[] = {manifest,
                                        "{}",
                                        "[]",
                                        " \t\r\n{ \t\r\n} \t\r\n",
                                        "[0]",
                                        "[0,10,100000000000000000]",
                                        "{\"k\":{\"k\":{\"k\":[{\"k\":1},{\"k\":2}]}}}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_true(is_same(texts[i], strlen(texts[i])));
    }
}

/* All but the last two are well-formed, too. */
static void others(void **state) {
    static const struct {
        const char *text;
        size_t bytes;
        bool good;
    } cases[] = {
#define CASE(text, good) {text, sizeof(text) - 1, good}
        CASE("{\"a\":\"\\n\"}", true),
        CASE("{\"\\u0061\":1}", true),
        CASE("[\"\xc3\xa9\"]", true),
        CASE("[-1]", true),
        CASE("[1.5]", true),
        CASE("[1e3]", true),
        CASE("[0E0]", true),
        CASE("[1000000000000000000]", true),
        CASE("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", true), /* 17 deep; 16 are plain */
        CASE("", false),
        CASE(" ", false),
        CASE("{", false),
        CASE("[", false),
        CASE("[1", false),
        CASE("[,]", false),
        CASE("[1,]", false),
        CASE("[1 2]", false),
        CASE("[1}", false),
        CASE("{]", false),
        CASE("{,}", false),
        CASE("{\"a\"}", false),
        CASE("{\"a\":}", false),
        CASE("{\"a\":1,}", false),
        CASE("{\"a\":1 \"b\":2}", false),
        CASE("{\"a\":1]", false),
        CASE("{\"a\" 1}", false),
        CASE("{1:1}", false),
        CASE("{\"a\":1,\"a\":1}", false),
        CASE("{\"a\":1,\"b\":2,\"a\":{}}", false),
        CASE("[01]", false),
        CASE("[00]", false),
        CASE("[+1]", false),
        CASE("[1.]", false),
        CASE("[tru]", false),
        CASE("[truer]", false),
        CASE("[nul", false),
        CASE("[True]", false),
        CASE("['a']", false),
        CASE("[\"a]", false),
        CASE("[\"a\tb\"]", false),
        CASE("[\"a\0b\"]", false),
        CASE("[\"0123456\0\"]", false),
        CASE("[\xff]", false),
        CASE("[\"\xff\"]", false),
        CASE("[]]", false),
        CASE("[]{}", false),
        CASE("[]\0", false),
        CASE("[\0]", false),
        CASE("[]\v", false),
        CASE("[]//", false),
        CASE("\xef\xbb\xbf[]", false),
        CASE("1", false),
        CASE("\"a\"", false),
        CASE("null", false),
#undef CASE
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *judge = json_loadb(cases[i].text, cases[i].bytes, JSON_REJECT_DUPLICATES, NULL);
        json_t *plain = read_plain(cases[i].text, cases[i].bytes);
        if (plain || (judge != NULL) != cases[i].good) {
            fail_msg("%s", cases[i].text);
        }
        json_decref(judge);
    }
    assert_true(is_same("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", 32));
}

/* Cut anywhere it is none, and each byte made each other one it is what jansson says, if anything.
 */
static void broken_documents(void **state) {
    char text[sizeof manifest];
    size_t bytes = strlen(manifest);
    size_t plain = 0;
    (void)state;
    for (size_t n = 0; n < bytes - 1; n++) { /* its last byte is a line feed */
        assert_null(read_plain(manifest, n));
    }
    memcpy(text, manifest, sizeof text);
    for (size_t i = 0; i < bytes; i++) {
        for (int byte = 0; byte < 256; byte++) {
            text[i] = (char)byte;
            plain += is_same(text, bytes);
        }
        text[i] = manifest[i];
    }
    /* Most of a document is strings, which may hold most of ASCII. */
    assert_true(plain > bytes * 256 / 8 && plain < bytes * 128);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_documents),
        cmocka_unit_test(others),
        cmocka_unit_test(broken_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
