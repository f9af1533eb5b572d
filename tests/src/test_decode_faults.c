/* SPDX-License-Identifier: Apache-2.0 */
/* Damage: every truncation and every single flipped bit of small gzip and zstd blobs, with zlib and
 * libzstd as judges, and the same answer however the blob is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zstd.h>

#include "../deflate.h"
#include "decode_run.h"

#define CONTENT_BYTES 1200

static struct varve_decoder *decoder;

/* Text-like, then noise, then a run: literals, matches of all distances, long matches. */
static void fill(uint8_t *content, size_t bytes) {
    static const char *const words[] = {"layer ",  "blob", "usr/lib/", "\n",
                                        "sha256:", "tar",  "0000644"};
    uint32_t random = 12345;
    size_t at = 0;
    while (at < bytes) {
        random = random * 1664525 + 1013904223;
        if (at > bytes / 2 && at < bytes / 2 + 100) {
            content[at++] = (uint8_t)(random >> 24);
        } else if (at > bytes - 200) {
            content[at++] = 'z';
        } else {
            for (const char *w = words[(random >> 20) % 7]; *w && at < bytes; w++) {
                content[at++] = (uint8_t)*w;
            }
        }
    }
}

struct blob {
    const char *name;
    uint8_t *bytes;
    size_t count;
};

static struct blob gzip_blob(const char *name, const uint8_t *content, int level, int strategy,
                             size_t members) {
    struct blob blob = {name, malloc(2 * CONTENT_BYTES + 4096), 0};
    size_t each = CONTENT_BYTES / members;
    for (size_t i = 0; i < members; i++) {
        size_t n = i + 1 == members ? CONTENT_BYTES - each * i : each;
        blob.count += test_deflate(blob.bytes + blob.count, 4096 + CONTENT_BYTES,
                                   content + each * i, n, level, strategy, 31);
    }
    return blob;
}

/* What zlib says of a gzip blob: bytes made before the end or fault, and its message. */
static bool zlib_says(const uint8_t *blob, size_t bytes, uint8_t *out, size_t room, size_t *made,
                      const char **message) {
    size_t at = 0;
    *made = 0;
    *message = NULL;
    do {
        z_stream z = {0};
        inflateInit2(&z, 31);
        union {
            const uint8_t *given;
            uint8_t *taken;
        } in = {.given = blob + at};
        z.next_in = in.taken;
        z.avail_in = (uInt)(bytes - at);
        z.next_out = out + *made;
        z.avail_out = (uInt)(room - *made);
        int result = inflate(&z, Z_FINISH);
        at += z.total_in;
        *made += z.total_out;
        *message = z.msg;
        inflateEnd(&z);
        if (result != Z_STREAM_END) {
            return false;
        }
    } while (at < bytes && blob[at] == 0x1f);
    return true;
}

/* Codes that are not complete: zlib refuses them, igzip uses them as far as they go. What becomes
 * of such a stream is decided later, at the latest by its CRC-32 (docs/decode.md). */
static bool incomplete_code(const char *message) {
    return message && (strstr(message, "lengths set") || strstr(message, "distances set") ||
                       strstr(message, "end-of-block"));
}

static void same_however_cut(const struct decode_run *whole, const char *name, size_t where,
                             const uint8_t *blob, size_t bytes, bool thorough) {
    static const size_t steps[][2] = {{13, 97}, {0, 33}, {1, 0}, {0, 1}, {1, 1}, {64, 3}};
    size_t n = thorough ? sizeof steps / sizeof steps[0] : 2;
    for (size_t i = 0; i < n; i++) {
        struct decode_run cut = decode_run(decoder, blob, bytes, steps[i][0], steps[i][1]);
        const char *difference = decode_run_differ(whole, &cut);
        if (difference) {
            fail_msg(
                "%s at %zu, in %zu out %zu: %s differs: %s %lld/%lld %zu, cut %s %lld/%lld %zu",
                name, where, steps[i][0], steps[i][1], difference,
                whole->fault.code ? whole->fault.code : "ok", (long long)whole->fault.offset_stored,
                (long long)whole->fault.offset_decoded, whole->made_bytes,
                cut.fault.code ? cut.fault.code : "ok", (long long)cut.fault.offset_stored,
                (long long)cut.fault.offset_decoded, cut.made_bytes);
        }
        decode_run_free(&cut);
    }
}

static void cut_and_flip(const struct blob *blob, const uint8_t *content, bool gzip) {
    static uint8_t judge[1 << 18];
    uint8_t *damaged = malloc(blob->count);
    size_t made;
    const char *message;
    for (size_t n = gzip ? 2 : 4; n <= blob->count; n++) {
        struct decode_run run = decode_run(decoder, blob->bytes, n, 0, 0);
        assert_true(run.made_bytes <= CONTENT_BYTES);
        assert_memory_equal(run.made, content, run.made_bytes);
        if (gzip) {
            bool sound = zlib_says(blob->bytes, n, judge, sizeof judge, &made, &message);
            assert_int_equal(run.state, sound ? VARVE_DECODE_END : VARVE_DECODE_FAULT);
            assert_int_equal(run.made_bytes, made);
        }
        if (run.state == VARVE_DECODE_FAULT) {
            assert_string_equal(run.fault.code, gzip ? "gzip.truncated" : "zstd.truncated");
            assert_int_equal(run.fault.offset_stored, n);
            assert_int_equal(run.fault.offset_decoded, run.made_bytes);
        }
        same_however_cut(&run, blob->name, n, blob->bytes, n, n % 32 == 0);
        decode_run_free(&run);
    }
    size_t harmless = 0;
    for (size_t bit = 0; bit < blob->count * 8; bit++) {
        memcpy(damaged, blob->bytes, blob->count);
        damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct decode_run run = decode_run(decoder, damaged, blob->count, 0, 0);
        bool told = run.state == VARVE_DECODE_FAULT ||
                    run.info.compression == VARVE_COMPRESSION_NONE ||
                    run.info.trailing_offset != VARVE_NO_OFFSET;
        bool right = run.made_bytes == CONTENT_BYTES && !memcmp(run.made, content, CONTENT_BYTES);
        /* A frame that became a skippable one is the one kind of damage that no reader can see. */
        bool hidden = !gzip && run.info.skippable_count;
        if (!told && !right && !hidden) {
            fail_msg("%s: bit %zu changes the content unseen", blob->name, bit);
        }
        harmless += right && !told;
        message = NULL;
        if (gzip && run.info.compression == VARVE_COMPRESSION_GZIP && !run.findings[0]) {
            bool sound = zlib_says(damaged, blob->count, judge, sizeof judge, &made, &message);
            if (!incomplete_code(message)) {
                assert_int_equal(run.state == VARVE_DECODE_END, sound);
                if (run.made_bytes != made) {
                    fail_msg("%s: bit %zu: %zu bytes, zlib %zu (%s)", blob->name, bit,
                             run.made_bytes, made, message ? message : "");
                }
            }
        }
        if (!incomplete_code(message)) {
            same_however_cut(&run, blob->name, bit, damaged, blob->count, bit % 64 == 5);
        }
        decode_run_free(&run);
    }
    print_message("%s: %zu bytes, %zu of %zu flips harmless, the others told\n", blob->name,
                  blob->count, harmless, blob->count * 8);
    free(damaged);
}

static void gzip_damage(void **state) {
    (void)state;
    static uint8_t content[CONTENT_BYTES];
    fill(content, sizeof content);
    const struct blob blobs[] = {
        gzip_blob("dynamic codes", content, 9, Z_RLE, 1),
        gzip_blob("fixed codes", content, 6, Z_FIXED, 1),
        gzip_blob("five members", content, 6, Z_DEFAULT_STRATEGY, 5),
    };
    for (size_t i = 0; i < sizeof blobs / sizeof blobs[0]; i++) {
        cut_and_flip(&blobs[i], content, true);
        free(blobs[i].bytes);
    }
}

/* A last block of many literals, long enough that igzip looks several up at once. */
static void gzip_long_tail(void **state) {
    (void)state;
    enum { BYTES = 30000 };
    static uint8_t content[BYTES], member[2 * BYTES], judge[BYTES + 8];
    uint32_t random = 99;
    for (size_t i = 0; i < BYTES; i++) {
        random = random * 1664525 + 1013904223;
        content[i] = (uint8_t)("etaoinshrdlu"[(random >> 24) % 3 * ((random >> 16) % 5)]);
    }
    size_t bytes = test_deflate(member, sizeof member, content, BYTES, 9, Z_HUFFMAN_ONLY, 31);
    assert_true(bytes > 8192);
    for (size_t n = 6000; n < 6200; n++) {
        size_t made;
        const char *message;
        zlib_says(member, n, judge, sizeof judge, &made, &message);
        struct decode_run run = decode_run(decoder, member, n, 0, 0);
        assert_int_equal(run.made_bytes, made);
        assert_memory_equal(run.made, content, made);
        same_however_cut(&run, "long tail", n, member, n, false);
        decode_run_free(&run);
    }
}

static void zstd_damage(void **state) {
    (void)state;
    static uint8_t content[CONTENT_BYTES];
    fill(content, sizeof content);
    struct blob blob = {"zstd, two frames", malloc(2 * CONTENT_BYTES), 0};
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
    blob.count = ZSTD_compress2(ctx, blob.bytes, 2 * CONTENT_BYTES, content, 800);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0);
    blob.count += ZSTD_compress2(ctx, blob.bytes + blob.count, CONTENT_BYTES, content + 800,
                                 CONTENT_BYTES - 800);
    ZSTD_freeCCtx(ctx);
    cut_and_flip(&blob, content, false);
    free(blob.bytes);
}

static int open_decoder(void **state) {
    (void)state;
    return varve_decoder_open(&decoder, NULL) == VARVE_OK ? 0 : -1;
}

static int close_decoder(void **state) {
    (void)state;
    varve_decoder_close(decoder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gzip_damage),
        cmocka_unit_test(gzip_long_tail),
        cmocka_unit_test(zstd_damage),
    };
    return cmocka_run_group_tests(tests, open_decoder, close_decoder);
}
