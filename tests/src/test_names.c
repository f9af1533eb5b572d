/* SPDX-License-Identifier: Apache-2.0 */
/* Digests as text, media types, findings, folders, the name map and its hash: what they take, what
 * they refuse, and in which order it comes back. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "codes.h"
#include "digest_name.h"
#include "folder.h"
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
    bool no_memory = false;
    assert_true(varve_digest_name_holds(&no_memory, &name, "", 0));
    assert_false(varve_digest_name_holds(&no_memory, &name, "x", 1));
    assert_false(no_memory);
}

/* Every byte in either place is a digit or makes the name none. */
static void each_character_is_weighed(void **state) {
    (void)state;
    static const char digits[] = "0123456789abcdef";
    char text[72] = "sha256:" EMPTY_SHA256;
    struct varve_digest_name name;
    for (int at = 7; at < 71; at++) {
        char kept = text[at];
        for (int c = 0; c < 256; c++) {
            const char *digit = c ? strchr(digits, c) : NULL;
            text[at] = (char)c;
            assert_int_equal(varve_digest_name_parse(&name, text, 71), digit != NULL);
            if (digit) {
                int value = (int)(digit - digits);
                int byte = name.bytes[(at - 7) / 2];
                assert_int_equal(at % 2 ? byte >> 4 : byte & 15, value);
            }
        }
        text[at] = kept;
    }
}

static void bytes_are_written_as_hex(void **state) {
    (void)state;
    uint8_t bytes[256];
    char text[2 * sizeof bytes + 2];
    char expected[2 * sizeof bytes + 1];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)(i * 37 + 11); /* each value once */
        snprintf(expected + 2 * (size_t)i, 3, "%02x", bytes[i]);
    }
    for (size_t count = 0; count <= sizeof bytes; count += count < 9 ? 1 : 13) {
        memset(text, 'x', sizeof text);
        varve_hex(text, bytes, count);
        assert_memory_equal(text, expected, 2 * count);
        assert_int_equal(text[2 * count], 0);
        assert_int_equal(text[2 * count + 1], 'x');
    }
    varve_hex(text, bytes, sizeof bytes);
    assert_string_equal(text, expected);
}

/* In whatever order they are found, they are told in the table's, each with its own figures. */
static void findings_stand_by_code(void **state) {
    (void)state;
    struct varve_findings *findings = NULL;
    assert_int_equal(varve_findings_open(&findings), VARVE_OK);
    size_t codes[VARVE_CODE_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < VARVE_CODE_COUNT; i++) {
        size_t code = (i * 61 + 17) % VARVE_CODE_COUNT; /* 61 is a prime beyond its divisors */
        if (varve_code_at(code)->finding) {
            codes[count++] = code;
        }
    }
    assert_true(VARVE_CODE_COUNT % 61 != 0 && count > 20);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++) {
            char entry[24];
            int bytes = snprintf(entry, sizeof entry, "%d/%zu", round, codes[i]);
            varve_findings_add(findings, (enum varve_code)codes[i], codes[i] + 1, 1000 + codes[i],
                               entry, (size_t)bytes);
        }
    }
    assert_int_equal(varve_findings_count(findings), count);
    size_t before = 0;
    for (size_t i = 0; i < count; i++) {
        struct varve_finding finding = varve_findings_at(findings, i);
        size_t code = (size_t)(finding.info - varve_code_at(0));
        char entry[24];
        snprintf(entry, sizeof entry, "0/%zu", code);
        assert_true(i == 0 || code > before);
        assert_int_equal(finding.count, 3 * (code + 1));
        assert_int_equal(finding.offset, 1000 + code);
        assert_int_equal(finding.entry_bytes, strlen(entry));
        assert_memory_equal(finding.entry, entry, strlen(entry));
        before = code;
    }
    assert_true(varve_findings_contradict(findings, NULL));
    varve_findings_reset(findings);
    assert_int_equal(varve_findings_count(findings), 0);
    assert_false(varve_findings_contradict(findings, NULL));
    varve_findings_close(findings);
}

/* Names that agree in their first eight bytes, or end within them. */
static void folders_are_listed_in_order(void **state) {
    (void)state;
    char path[] = "/tmp/varve-names-XXXXXX";
    static const char *const names[] = {"a",         "a-",        "aaaaaaaa", "aaaaaaaa0",
                                        "aaaaaaaaB", "aaaaaaaab", "b",        "\xc3\xa4"};
    struct varve_folder folder;
    struct varve_fault fault;
    assert_non_null(mkdtemp(path));
    int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0);
    const size_t count = sizeof names / sizeof names[0];
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(mkdirat(root, names[(i * 3) % count], 0700), 0);
    }
    assert_true(varve_folder_read(&folder, &fault, root, ""));
    assert_int_equal(folder.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(folder.names[i], names[i]);
        assert_int_equal(unlinkat(root, names[i], AT_REMOVEDIR), 0);
    }
    varve_folder_free(&folder);
    close(root);
    assert_int_equal(rmdir(path), 0);
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
        cmocka_unit_test(each_character_is_weighed),
        cmocka_unit_test(bytes_are_written_as_hex),
        cmocka_unit_test(findings_stand_by_code),
        cmocka_unit_test(folders_are_listed_in_order),
        cmocka_unit_test(media_types_say_what_they_claim),
        cmocka_unit_test(siphash_agrees_with_its_authors),
        cmocka_unit_test(names_are_numbered_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
