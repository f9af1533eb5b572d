/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256: known answers, every short length, streams fed in pieces, forks; libcrypto is the judge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "varve/sha256.h"

/* A prime period betrays blocks taken twice or from the wrong place. */
static void fill(uint8_t *to, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(i % 251);
    }
}

static void keep(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(cookie, digest, VARVE_SHA256_BYTES);
}

static struct varve_sha256 *opened(void) {
    struct varve_sha256 *ctx = NULL;
    assert_int_equal(varve_sha256_open(&ctx, NULL), VARVE_OK);
    return ctx;
}

static void known_answers(void **state) {
    (void)state;
    /* FIPS 180-2, B.1 and B.2, and the empty message. */
    static const struct {
        const char *text;
        uint8_t start[4];
    } known[] = {
        {"abc", {0xba, 0x78, 0x16, 0xbf}},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", {0x24, 0x8d, 0x6a, 0x61}},
        {"", {0xe3, 0xb0, 0xc4, 0x42}},
    };
    struct varve_sha256 *ctx = opened();
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t digest[VARVE_SHA256_BYTES];
        varve_sha256_once(ctx, digest, known[i].text, strlen(known[i].text));
        assert_memory_equal(digest, known[i].start, 4);
    }
    varve_sha256_close(ctx);
}

static void every_length(void **state) {
    (void)state;
    enum { COUNT = 4201 };
    static uint8_t data[COUNT], digests[COUNT][VARVE_SHA256_BYTES];
    static struct varve_sha256_stream streams[COUNT];
    fill(data, sizeof data);
    struct varve_sha256 *ctx = opened();
    for (size_t n = 0; n < COUNT; n++) {
        varve_sha256_message(ctx, &streams[n], data, n, keep, digests[n]);
    }
    varve_sha256_flush(ctx);
    for (size_t n = 0; n < COUNT; n++) {
        uint8_t expected[VARVE_SHA256_BYTES];
        SHA256(data, n, expected);
        assert_memory_equal(digests[n], expected, sizeof expected);
        assert_false(varve_sha256_busy(&streams[n]));
    }
    varve_sha256_close(ctx);
}

static void pieces_and_forks(void **state) {
    (void)state;
    static uint8_t data[1000];
    fill(data, sizeof data);
    struct varve_sha256 *ctx = opened();
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        uint8_t whole[VARVE_SHA256_BYTES], prefix[VARVE_SHA256_BYTES], expected[VARVE_SHA256_BYTES];
        struct varve_sha256_stream stream, forked;
        varve_sha256_init(&stream);
        varve_sha256_update(ctx, &stream, data, cut / 2);
        varve_sha256_update(ctx, &stream, data + cut / 2, cut - cut / 2);
        varve_sha256_fork(ctx, &forked, &stream);
        varve_sha256_update(ctx, &stream, data + cut, sizeof data - cut);
        varve_sha256_final(ctx, &stream, keep, whole);
        varve_sha256_final(ctx, &forked, keep, prefix);
        varve_sha256_flush(ctx);
        SHA256(data, cut, expected);
        assert_memory_equal(prefix, expected, sizeof expected);
        SHA256(data, sizeof data, expected);
        assert_memory_equal(whole, expected, sizeof expected);
    }
    varve_sha256_close(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(every_length),
        cmocka_unit_test(pieces_and_forks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
