/* SPDX-License-Identifier: Apache-2.0 */
/* Digests as text, media types, the name map and its hash: what they take and what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "digest_name.h"
#include "name_map.h"
#include "varve/catalog.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static bool parses(const char *text) {
    struct varve_digest_name name;
    return varve_digest_name_parse(&name, text, strlen(text));
}

static void digests_are_taken_strictly(void **state) {
    (void)state;
    char sha512[VARVE_DIGEST_TEXT_BYTES] = "sha512:";
    memset(sha512 + 7, 'a', 128);
    assert_true(parses("sha256:" EMPTY_SHA256));
    assert_true(parses(sha512));
    static const char *const refused[] = {
        "",
        "sha256:",
        EMPTY_SHA256,
        "sha256:" EMPTY_SHA256 "0",
        "sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:../../../../etc/passwd000000000000000000000000000000000000000000",
        "SHA256:" EMPTY_SHA256,
        "sha512:" EMPTY_SHA256,
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
        "blake3:" EMPTY_SHA256,
        "sha256/" EMPTY_SHA256,
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_false(parses(refused[i]));
    }
    struct varve_digest_name name;
    char with_nul[71];
    memcpy(with_nul, "sha256:" EMPTY_SHA256, 71);
    with_nul[40] = 0;
    assert_false(varve_digest_name_parse(&name, with_nul, 71));
}

static void digests_come_back_as_they_went_in(void **state) {
    (void)state;
    struct varve_digest_name name;
    char text[VARVE_DIGEST_TEXT_BYTES];
    assert_true(varve_digest_name_parse(&name, "sha256:" EMPTY_SHA256, 71));
    varve_digest_name_text(text, &name);
    assert_string_equal(text, "sha256:" EMPTY_SHA256);
    assert_true(varve_digest_name_holds(&name, "", 0));
    assert_false(varve_digest_name_holds(&name, "x", 1));
}

static void media_types_say_what_they_claim(void **state) {
    (void)state;
    struct varve_media_type type =
        varve_media_type_of("application/vnd.oci.image.layer.v1.tar+zstd");
    assert_true(type.known && type.tar);
    assert_int_equal(type.compression, VARVE_COMPRESSION_ZSTD);
    type = varve_media_type_of("application/vnd.docker.image.rootfs.diff.tar.gzip; charset=utf-8");
    assert_true(type.known);
    assert_int_equal(type.compression, VARVE_COMPRESSION_GZIP);
    assert_false(varve_media_type_of("application/vnd.oci.image.layer.v1.tarball").known);
    assert_false(varve_media_type_of("application/octet-stream").known);
    assert_false(varve_media_type_of(NULL).known);
}

/* The reference vectors of SipHash-2-4: key 00..0f, messages 00.., published with the function. */
static void siphash_agrees_with_its_authors(void **state) {
    (void)state;
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint8_t message[15];
    for (uint8_t i = 0; i < sizeof message; i++) {
        message[i] = i;
    }
    assert_int_equal(varve_siphash(key, message, 0), 0x726fdb47dd0e0e31u);
    assert_int_equal(varve_siphash(key, message, 15), 0xa129ca6149be45e5u);
}

static void names_are_numbered_in_order(void **state) {
    (void)state;
    struct varve_name_map map = {0};
    char text[24];
    bool added = false;
    assert_int_equal(varve_name_map_find(&map, "x"), VARVE_NAME_NONE);
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "name %u", i);
        assert_int_equal(varve_name_map_add(&map, &added, text), i);
        assert_true(added);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "name %u", i);
        assert_int_equal(varve_name_map_find(&map, text), i);
        assert_int_equal(varve_name_map_add(&map, &added, text), i);
        assert_false(added);
        assert_string_equal(map.names[i], text);
    }
    assert_int_equal(varve_name_map_find(&map, "name 5000"), VARVE_NAME_NONE);
    varve_name_map_free(&map);
    assert_int_equal(map.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_taken_strictly),
        cmocka_unit_test(digests_come_back_as_they_went_in),
        cmocka_unit_test(media_types_say_what_they_claim),
        cmocka_unit_test(siphash_agrees_with_its_authors),
        cmocka_unit_test(names_are_numbered_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
