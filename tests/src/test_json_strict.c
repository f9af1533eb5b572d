/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys a reader that folds case takes for one another, as Go's encoding/json was seen to do;
 * and where a text holds a NUL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "json_strict.h"

static void keys_are_folded(void **state) {
    (void)state;
    static const struct {
        const char *key, *name;
        bool folds;
    } cases[] = {
        {"layers", "layers", true},
        {"LAYERS", "layers", true},
        {"layer\xc5\xbf", "layers", true}, /* U+017F */
        {"manife\xc5\xbft\xc5\xbf", "manifests", true},
        {"\xe2\x84\xaaind", "kind", true}, /* U+212A */
        {"Diff_IDs", "diff_ids", true},
        {"layer", "layers", false},
        {"layerss", "layers", false},
        {"", "layers", false},
        {"layers", "", false},
        {"diff@ids", "diff_ids", false}, /* an @ is no ` in capitals, nor a _ a DEL */
        {"diff\x7f"
         "ids",
         "diff_ids", false},
        {"d\xc4\xb1"
         "gest",
         "digest", false}, /* U+0131, dotless i */
        {"D\xc4\xb0"
         "GEST",
         "digest", false},              /* U+0130 */
        {"layer\xc5", "layers", false}, /* UTF-8 cut off is never in a key; nor read beyond */
        {"layer\xe2\x84", "layers", false},
        {"\xef\xbc\xac"
         "ayers",
         "layers", false}, /* fullwidth L */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (varve_json_folds(cases[i].key, cases[i].name) != cases[i].folds) {
            fail_msg("%s, %s", cases[i].key, cases[i].name);
        }
    }
}

static bool has_variant(const char *text) {
    static const char *const names[] = {"size", "sizes", "digest"};
    json_t *object = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(object);
    bool has = varve_json_has_variant(object, names, 3);
    json_decref(object);
    return has;
}

static void objects_are_asked(void **state) {
    (void)state;
    assert_false(has_variant("{}"));
    assert_false(has_variant("{\"size\":1,\"sizes\":2,\"digest\":3,\"other\":4,\"sized\":5}"));
    assert_true(has_variant("{\"size\":1,\"Size\":1}"));
    assert_true(has_variant("{\"Size\":1}"));
    assert_true(has_variant("{\"a\":1,\"b\":2,\"\\u017fizes\":1}"));
    assert_false(has_variant("[\"Size\"]"));
    assert_false(has_variant("7"));
    assert_false(varve_json_has_variant(NULL, NULL, 0));
}

static void nuls_are_found(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool holds;
    } cases[] = {
        {"", false},
        {"{\"a\":\"b\"}", false},
        {"\"\\u0000\"", true},
        {"\"\\n\\t\\\"\\u0000\"", true},
        {"\"\\\\u0000\"", false},
        {"\"\\\\\\u0000\"", true},
        {"\"\\u00001\"", true},
        {"\"\\u0001\\u1000\"", false},
        {"\"\\u0000", true},
        {"\"\\u000", false}, /* no text that is well formed: it must only not be read beyond */
        {"\"\\", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* In a buffer of its very length, so that a sanitizer sees what is read behind it. */
        size_t bytes = strlen(cases[i].text);
        uint8_t *text = test_malloc(bytes + !bytes);
        memcpy(text, cases[i].text, bytes);
        bool holds = varve_json_holds_nul(text, bytes);
        test_free(text);
        if (holds != cases[i].holds) {
            fail_msg("%s", cases[i].text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_folded),
        cmocka_unit_test(objects_are_asked),
        cmocka_unit_test(nuls_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
