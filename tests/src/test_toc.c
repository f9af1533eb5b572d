/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of contents against the tar: the hostile archives by name, an eStargz and a zstd:chunked
 * layer composed here, and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "decode_run.h"
#include "varve/toc.h"

#define HOSTILE VARVE_SOURCE_DIR "/../shared/vectors/hostile-synthetic/"

/* A layer read as a scan would read it, chunk after chunk; entries are kept for the comparison. */
struct reading {
    struct varve_toc *toc;
    struct varve_findings *findings;
    struct varve_decode_info info;
    enum varve_toc_kind kind;
    bool compared;
    char text[2048];
};

struct kept {
    struct varve_ladder_entry entry;
    uint8_t *content;
    size_t content_bytes;
};

struct keeper {
    struct kept entries[64];
    size_t count;
    struct varve_sha256 *sha256;
};

static struct varve_bytes copy(struct varve_bytes from) {
    uint8_t *to = malloc(from.count + 1);
    memcpy(to, from.count ? from.bytes : (const uint8_t *)"", from.count);
    return (struct varve_bytes){to, from.count};
}

static void keep(struct keeper *keeper, enum varve_tar_event event,
                 const struct varve_tar_item *item) {
    if (event == VARVE_TAR_ENTRY) {
        assert_true(keeper->count < 64);
        const struct varve_tar_entry *from = item->entry;
        keeper->entries[keeper->count++] =
            (struct kept){.entry = {.path = copy(from->path),
                                    .link = copy(from->link),
                                    .typeflag = from->typeflag,
                                    .mode = (uint32_t)from->mode & 07777,
                                    .uid = from->uid,
                                    .gid = from->gid,
                                    .size = from->size}};
        return;
    }
    struct kept *last = keeper->count ? &keeper->entries[keeper->count - 1] : NULL;
    if (event == VARVE_TAR_DATA) {
        last->content = realloc(last->content, last->content_bytes + item->data.count);
        memcpy(last->content + last->content_bytes, item->data.bytes, item->data.count);
        last->content_bytes += item->data.count;
    } else if (event == VARVE_TAR_ENTRY_END && last->entry.typeflag == '0') {
        varve_sha256_once(keeper->sha256, last->entry.sha256, last->content, last->content_bytes);
        last->entry.has_sha256 = true;
    }
}

static void check(struct reading *reading, struct keeper *keeper) {
    reading->compared = varve_toc_begin_check(reading->toc, &reading->info);
    for (size_t i = 0; i < keeper->count; i++) {
        if (reading->compared) {
            varve_toc_check_entry(reading->toc, &keeper->entries[i].entry);
        }
        union {
            const uint8_t *kept;
            uint8_t *owned;
        } path = {.kept = keeper->entries[i].entry.path.bytes},
          link = {.kept = keeper->entries[i].entry.link.bytes};
        free(path.owned);
        free(link.owned);
        free(keeper->entries[i].content);
    }
    if (reading->compared) {
        varve_toc_end_check(reading->toc);
    }
    reading->kind = varve_toc_kind(reading->toc);
}

static void read_layer(struct reading *reading, struct varve_budget *budget, const uint8_t *blob,
                       size_t bytes, size_t step) {
    static uint8_t out[1 << 15];
    struct keeper keeper = {0};
    struct varve_decoder *decoder;
    struct varve_tar *tar;
    assert_int_equal(varve_decoder_open(&decoder, NULL), VARVE_OK);
    assert_int_equal(varve_tar_open(&tar, NULL), VARVE_OK);
    assert_int_equal(varve_toc_open(&reading->toc, budget), VARVE_OK);
    assert_int_equal(varve_findings_open(&reading->findings), VARVE_OK);
    assert_int_equal(varve_sha256_open(&keeper.sha256, NULL), VARVE_OK);
    varve_tar_reset(tar, NULL);
    varve_toc_reset(reading->toc, reading->findings);
    varve_decoder_reset(decoder, NULL); /* its own findings are not the table's */
    varve_decoder_watch(decoder, reading->toc);
    struct varve_decode_turn turn = {0};
    for (size_t at = 0; turn.state < VARVE_DECODE_WAIT; at += turn.used_bytes) {
        size_t n = bytes - at < step ? bytes - at : step;
        turn = (struct varve_decode_turn){.in = blob + at,
                                          .in_bytes = n,
                                          .in_last = at + n == bytes,
                                          .out = out,
                                          .out_bytes = sizeof out};
        varve_decode(&decoder, &turn, 1);
        struct varve_tar_item item;
        enum varve_tar_event event;
        varve_tar_feed(tar, turn.made, turn.made_bytes, turn.state == VARVE_DECODE_END);
        while ((event = varve_tar_next(tar, &item)) != VARVE_TAR_INPUT && event != VARVE_TAR_END) {
            assert_int_not_equal(event, VARVE_TAR_FAULT);
            varve_toc_take(reading->toc, event, &item);
            keep(&keeper, event, &item);
        }
    }
    assert_int_equal(turn.state, VARVE_DECODE_END);
    reading->info = varve_decoder_info(decoder);
    check(reading, &keeper);
    struct decode_run said;
    decode_run_findings(&said, reading->findings);
    memcpy(reading->text, said.findings, sizeof reading->text);
    varve_sha256_close(keeper.sha256);
    varve_tar_close(tar);
    varve_decoder_close(decoder);
    varve_findings_close(reading->findings);
    varve_toc_close(reading->toc);
}

static const struct expectation {
    const char *file;
    enum varve_toc_kind kind;
    bool compared;
    const char *findings; /* all that the table's check says */
} expectations[] = {
    {"k01-estargz-ok.tar.gz", VARVE_TOC_ESTARGZ, true, ""},
    {"k02-estargz-toc-size-lie.tar.gz", VARVE_TOC_ESTARGZ, true, "toc.size x1"},
    {"k03-estargz-toc-digest-lie.tar.gz", VARVE_TOC_ESTARGZ, true, "toc.digest x1"},
    {"k04-estargz-toc-hides-file.tar.gz", VARVE_TOC_ESTARGZ, true, "toc.missing x1"},
    {"k05-estargz-toc-extra-file.tar.gz", VARVE_TOC_ESTARGZ, true, "toc.extra x1"},
    {"k06-estargz-toc-offset-oob.tar.gz", VARVE_TOC_ESTARGZ, true, "toc.invalid x1"},
    {"k07-estargz-toc-offset-neg.tar.gz", VARVE_TOC_ESTARGZ, true, "toc.invalid x1"},
    {"k08-estargz-footer-off-oob.tar.gz", VARVE_TOC_ESTARGZ, false, "toc.invalid x1"},
    {"k09-estargz-footer-off-self.tar.gz", VARVE_TOC_ESTARGZ, false, "toc.invalid x1"},
    {"k10-estargz-toc-not-json.tar.gz", VARVE_TOC_ESTARGZ, false, "toc.invalid x1"},
    {"k11-estargz-toc-deep.tar.gz", VARVE_TOC_ESTARGZ, false, "toc.invalid x1"},
    {"k12-estargz-version2.tar.gz", VARVE_TOC_ESTARGZ, false, "toc.version x1"},
    {"k13-estargz-external-toc.tar.gz", VARVE_TOC_ESTARGZ_EXTERNAL, false, "toc.external x1"},
    {"k14-estargz-junk-after-footer.tar.gz", VARVE_TOC_NONE, false, ""},
    {"k20-zchunked-ok.tar.zst", VARVE_TOC_ZSTD_CHUNKED, true, ""},
    {"k21-zchunked-no-eoa.tar.zst", VARVE_TOC_ZSTD_CHUNKED, true, ""},
    {"k22-zchunked-toc-lie.tar.zst", VARVE_TOC_ZSTD_CHUNKED, true, "toc.size x1"},
    {"k23-zchunked-foot-off-oob.tar.zst", VARVE_TOC_ZSTD_CHUNKED, false, "toc.invalid x1"},
    {"k24-zchunked-foot-len-151MiB.tar.zst", VARVE_TOC_ZSTD_CHUNKED, false, "toc.invalid x1"},
    {"k25-zchunked-foot-magic-bad.tar.zst", VARVE_TOC_NONE, false, ""},
    {"k26-zchunked-foot-u64max.tar.zst", VARVE_TOC_ZSTD_CHUNKED, false, "toc.invalid x1"},
};

static void hostile_tables(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
        const struct expectation *e = &expectations[i];
        char path[512];
        snprintf(path, sizeof path, HOSTILE "%s", e->file);
        size_t bytes = 0;
        uint8_t *blob = decode_run_load(path, &bytes);
        if (!blob) {
            print_message("skipped: %s is not there\n", path);
            skip();
        }
        for (size_t step = 1; step <= 4096; step *= 64) {
            struct reading reading = {0};
            read_layer(&reading, NULL, blob, bytes, step);
            bool said = e->findings[0]
                            ? strncmp(reading.text, e->findings, strlen(e->findings)) == 0 &&
                                  strchr(reading.text, ';')[1] == 0
                            : reading.text[0] == 0;
            if (reading.kind != e->kind || reading.compared != e->compared || !said) {
                fail_msg("%s: kind %s, compared %d, %s", e->file, varve_toc_kind_name(reading.kind),
                         reading.compared, reading.text);
            }
        }
        free(blob);
    }
}

/* --- an eStargz layer composed here, to the public format --- */

struct member {
    uint8_t *bytes;
    size_t count;
};

static void add_member(struct member *blob, const void *content, size_t bytes, const char *extra,
                       size_t extra_bytes) {
    gz_header header = {.os = 255};
    union {
        const void *given;
        void *taken;
    } in = {.given = content}, field = {.given = extra};
    header.extra = extra ? field.taken : Z_NULL;
    header.extra_len = (uInt)extra_bytes;
    blob->bytes = realloc(blob->bytes, blob->count + bytes + 4096);
    z_stream z = {.next_in = in.taken, .avail_in = (uInt)bytes};
    assert_int_equal(deflateInit2(&z, extra ? 0 : 9, Z_DEFLATED, 31, 9, 0), Z_OK);
    assert_int_equal(deflateSetHeader(&z, &header), Z_OK);
    z.next_out = blob->bytes + blob->count;
    z.avail_out = (uInt)(bytes + 4096);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    blob->count += z.total_out;
    deflateEnd(&z);
}

static void sign(uint8_t *header) {
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++) {
        sum += header[i];
    }
    snprintf((char *)header + 148, 8, "%06o", sum);
}

/* One ustar entry with its padding; content is `bytes` times 'x', or the text given. */
static size_t tar_entry(uint8_t *to, const char *name, char type, const char *link, unsigned mode,
                        const char *content, size_t bytes) {
    memset(to, 0, 512);
    snprintf((char *)to, 100, "%s", name);
    snprintf((char *)to + 100, 8, "%07o", mode);
    snprintf((char *)to + 108, 8, "%07o", 0u);
    snprintf((char *)to + 116, 8, "%07o", 0u);
    snprintf((char *)to + 124, 12, "%011o", (unsigned)bytes);
    snprintf((char *)to + 136, 12, "%011o", 0u);
    to[156] = (uint8_t)type;
    snprintf((char *)to + 157, 100, "%s", link);
    memcpy(to + 257, "ustar\00000", 8);
    sign(to);
    memcpy(to + 512, content, bytes);
    size_t padded = (bytes + 511) / 512 * 512;
    memset(to + 512 + bytes, 0, padded - bytes);
    return 512 + padded;
}

/* Makes of an entry a sparse one of GNU's old form: a hole of a block, then the content. */
static void make_sparse(uint8_t *header, size_t bytes) {
    header[156] = 'S';
    memcpy(header + 257, "ustar  ", 8);
    snprintf((char *)header + 386, 12, "%011o", 512u);
    snprintf((char *)header + 398, 12, "%011o", (unsigned)bytes);
    snprintf((char *)header + 483, 12, "%011o", (unsigned)bytes + 512);
    sign(header);
}

static struct member estargz(const char *json, bool sparse) {
    static uint8_t tar[1 << 20];
    struct member blob = {0};
    add_member(&blob, tar, tar_entry(tar, "./", '5', "", 0755, "", 0), NULL, 0);
    add_member(&blob, tar, tar_entry(tar, "usr/", '5', "", 0755, "", 0), NULL, 0);
    add_member(&blob, tar, tar_entry(tar, "./usr/x", '0', "", 04755, "hello", 5), NULL, 0);
    add_member(&blob, tar, tar_entry(tar, "usr/y", '1', "./usr/x", 04755, "", 0), NULL, 0);
    add_member(&blob, tar, tar_entry(tar, "usr/z", '2', "../x", 0777, "", 0), NULL, 0);
    size_t toc = blob.count;
    size_t n = tar_entry(tar, "stargz.index.json", '0', "", 0444, json, strlen(json));
    if (sparse) {
        make_sparse(tar, strlen(json));
    }
    memset(tar + n, 0, 1024);
    add_member(&blob, tar, n + 1024, NULL, 0);
    char extra[27] = "SG\x16";
    snprintf(extra + 4, 23, "%016zxSTARGZ", toc);
    add_member(&blob, "", 0, extra, 26);
    return blob;
}

/* A table that is well, without its first bracket. */
#define TABLE_BODY                                                                                 \
    "\"entries\":[{\"name\":\"usr/\",\"type\":\"dir\",\"mode\":493}," X "," Y "," Z                \
    "],\"version\":1}"
#define SHA256_HELLO "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define TABLE(x, y, z, more)                                                                       \
    "{\"entries\":[{\"name\":\"usr/\",\"type\":\"dir\",\"mode\":493}," x "," y "," z more          \
    "],\"version\":1}"
#define X                                                                                          \
    "{\"name\":\"usr/x\",\"type\":\"reg\",\"size\":5,\"mode\":2541,\"digest\":\"" SHA256_HELLO "\"}"
#define Y "{\"name\":\"usr/y\",\"type\":\"hardlink\",\"linkName\":\"usr/x\"}"
#define Z "{\"name\":\"usr/z\",\"type\":\"symlink\",\"linkName\":\"../x\",\"mode\":511}"

static void composed_tables(void **state) {
    static const struct {
        const char *json;
        const char *findings;
    } cases[] = {
        {TABLE(X, Y, Z, ""), ""},
        {TABLE(X, Y, Z, ",{\"name\":\"usr/x\",\"type\":\"chunk\",\"offset\":9}"), ""},
        {TABLE(X, Y, Z, ",{\"name\":\"usr/x\",\"type\":\"chunk\",\"offset\":-9}"),
         "toc.invalid x1"},
        {TABLE("{\"name\":\"usr/x\",\"type\":\"reg\",\"size\":5,\"mode\":493}", Y, Z, ""),
         "toc.mode x1"},
        {TABLE("{\"name\":\"usr/x\",\"type\":\"reg\",\"size\":5,\"mode\":2541,\"uid\":1000}", Y, Z,
               ""),
         "toc.owner x1"},
        {TABLE(X, "{\"name\":\"usr/y\",\"type\":\"hardlink\",\"linkName\":\"usr/z\"}", Z, ""),
         "toc.link x1"},
        {TABLE(X, Y, "{\"name\":\"usr/z\",\"type\":\"symlink\",\"linkName\":\"./../x\"}", ""),
         "toc.link x1"},
        {TABLE(X, Y, "{\"name\":\"usr/z\",\"type\":\"fifo\"}", ""), "toc.type x1"},
        {TABLE(X, X, Z, ""), "toc.extra x1 @-1;toc.missing x1 @-1;"},
        {TABLE(X, Y, Z, "," X "," X), "toc.extra x2"},
        {TABLE(X, Y, Z, ",{\"name\":\"a\",\"name\":\"b\",\"type\":\"reg\"}"), "toc.invalid x1"},
        {TABLE(X, Y, Z, ",{\"name\":\"a\",\"type\":\"sparse\"}"), "toc.invalid x1"},
        {TABLE(X, Y, Z, ",{\"name\":\"a\",\"type\":\"reg\",\"size\":1.5}"), "toc.invalid x1"},
        {TABLE(X, Y, Z, ",[]"), "toc.invalid x1"},
        {TABLE(X, Y, Z, "") "x", "toc.invalid x1"},
        {TABLE(X, Y, Z, ","), "toc.invalid x1"},
        {"{\"entries\":[]}", "toc.invalid x1"},
        {"{\"version\":1,\"entries\":[],\"entries\":[]}", "toc.invalid x1"},
        {"{\"version\":1,\"entries\":[\"", "toc.invalid x1"},
        {"{\"version\":3,\"entries\":[[", "toc.invalid x1"},
        {"{\"version\":3,\"entries\":[]}", "toc.version x1"},
        {"{\"version\":1,\"entries\":null}", "toc.missing x4"},
        {"{\"version\":1,\"version\":1,\"entries\":[]}", "toc.invalid x1"},
        {"{\"version\":100000000000000000001,\"entries\":[]}", "toc.invalid x1"},
        {"{\"version\":\"1\",\"entries\":[]}", "toc.invalid x1"},
        {"{\"version\":,\"entries\":[]}", "toc.invalid x1"},
        {"{\"version\":],\"entries\":[]}", "toc.invalid x1"},
        {"{\"version\" 1}", "toc.invalid x1"},
        {"{\"version\":1,\"entries\":[,]}", "toc.invalid x1"},
        {"{\"version\":1,\"entries\":7}", "toc.invalid x1"},
        {TABLE(X, Y, Z, ",{\"name\":\"a\",\"type\":\"symlink\",\"linkName\":5}"), "toc.invalid x1"},
        {TABLE(X, Y, Z, ",{\"name\":\"a\",\"type\":\"reg\",\"digest\":5}"), "toc.invalid x1"},
        /* A member that a reader which folds case takes for a known one, anywhere. */
        {"{\"Entries\":[]," TABLE_BODY, "toc.invalid x1"},
        {"{\"entrie\\u017f\":[]," TABLE_BODY, "toc.invalid x1"},
        {"{\"entrie\xc5\xbf\":[]," TABLE_BODY, "toc.invalid x1"},
        {"{\"Version\":2," TABLE_BODY, "toc.invalid x1"},
        {"{\"tar\\u017fplitDigest\":\"\"," TABLE_BODY, "toc.invalid x1"},
        {"{\"more\":[],\"More\":1,\"tarSplitDigest\":\"\"," TABLE_BODY, ""},
        {TABLE(X, Y, Z, ",{\"name\":\"a\",\"Name\":\"b\",\"type\":\"reg\"}"), "toc.invalid x1"},
        {TABLE("{\"name\":\"usr/x\",\"type\":\"reg\",\"size\":5,\"Size\":99999,\"mode\":2541}", Y,
               Z, ""),
         "toc.invalid x1"},
        {TABLE("{\"name\":\"usr/x\",\"type\":\"reg\",\"size\":5,\"\\u017fize\":9,\"mode\":2541}", Y,
               Z, ""),
         "toc.invalid x1"},
        {TABLE(X, Y, Z, ",{\"name\":\"usr/x\",\"type\":\"chunk\",\"chun\\u212aSize\":9}"),
         "toc.invalid x1"},
        {TABLE(X, Y, Z, ",{\"name\":\"usr/x\",\"type\":\"chunk\",\"chunkdigest\":\"\"}"),
         "toc.invalid x1"},
        {TABLE(X, Y, Z,
               ",{\"name\":\"usr/x\",\"type\":\"chunk\",\"xattrs\":{\"Name\":\"\",\"name\":\"\"},"
               "\"NumLink\":1,\"other\":1,\"Other\":2}"),
         ""},
        /* Known members may be written with escapes. */
        {"{\"entr\\u0069es\":[]," TABLE_BODY, "toc.invalid x1"},
        {"{\"\\u0065\\u006e\\u0074\\u0072\\u0069\\u0065\\u0073\":[],\"version\":1}",
         "toc.missing x4"},
        {"{\"ver\\u0073ion\":3,\"entries\":[]}", "toc.version x1"},
        {"{\"a key that is longer than any of those that a table of contents may have, however "
         "they are written, is none of them\":1," TABLE_BODY,
         ""},
        {"{7:1," TABLE_BODY, "toc.invalid x1"},
        {"{\"\\ud800\":1," TABLE_BODY, "toc.invalid x1"},
        {"[]", "toc.invalid x1"},
        {"", "toc.invalid x1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct member blob = estargz(cases[i].json, false);
        struct reading reading = {0};
        read_layer(&reading, NULL, blob.bytes, blob.count, 4096);
        assert_int_equal(reading.kind, VARVE_TOC_ESTARGZ);
        if (cases[i].findings[0]
                ? strncmp(reading.text, cases[i].findings, strlen(cases[i].findings)) != 0
                : reading.text[0]) {
            fail_msg("%s: %s", cases[i].json, reading.text);
        }
        free(blob.bytes);
    }
}

static void a_table_with_a_hole_is_none(void **state) {
    struct member blob = estargz(TABLE(X, Y, Z, ""), true);
    struct reading reading = {0};
    (void)state;
    read_layer(&reading, NULL, blob.bytes, blob.count, 4096);
    assert_int_equal(reading.kind, VARVE_TOC_ESTARGZ);
    assert_false(reading.compared);
    assert_int_equal(strncmp(reading.text, "toc.invalid x1", 14), 0);
    free(blob.bytes);
}

/* --- a zstd:chunked layer composed here: the tar's frame, the table's and the footer's --- */

static void put_le(uint8_t *to, uint64_t number, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(number >> 8 * i);
    }
}

/* A skippable frame's header (RFC 8878, 3.1.2). Where its content goes. */
static uint8_t *add_skippable(struct member *blob, size_t bytes) {
    uint8_t *to = blob->bytes + blob->count;
    put_le(to, 0x184d2a50, 4);
    put_le(to + 4, bytes, 4);
    blob->count += 8 + bytes;
    return to + 8;
}

static struct member chunked(const char *json, uint64_t type, size_t footer_bytes) {
    static uint8_t tar[4096];
    static uint8_t table[4096];
    struct member blob = {malloc(1 << 16), 0};
    size_t n = tar_entry(tar, "usr/", '5', "", 0755, "", 0);
    n += tar_entry(tar + n, "usr/x", '0', "", 04755, "hello", 5);
    n += tar_entry(tar + n, "usr/y", '1', "usr/x", 04755, "", 0);
    n += tar_entry(tar + n, "usr/z", '2', "../x", 0777, "", 0);
    memset(tar + n, 0, 1024);
    assert_non_null(blob.bytes);
    blob.count = ZSTD_compress(blob.bytes, 1 << 15, tar, n + 1024, 3);
    size_t table_bytes = ZSTD_compress(table, sizeof table, json, strlen(json), 3);
    assert_false(ZSTD_isError(blob.count) || ZSTD_isError(table_bytes));
    size_t place = blob.count + 8;
    memcpy(add_skippable(&blob, table_bytes), table, table_bytes);
    uint8_t *footer = add_skippable(&blob, footer_bytes);
    memset(footer, 0, footer_bytes);
    put_le(footer, place, 8);
    put_le(footer + 8, table_bytes, 8);
    put_le(footer + 16, strlen(json), 8);
    put_le(footer + 24, type, 8);
    memcpy(footer + footer_bytes - 8, footer_bytes == 40 ? "GnUlInUx" : "GNUlInUx", 8);
    return blob;
}

static void composed_chunked(void **state) {
    static const struct {
        uint64_t type;
        size_t footer_bytes;
        bool compared;
        const char *findings;
    } cases[] = {{1, 64, true, ""},
                 {1, 40, true, ""},
                 {2, 64, false, "toc.version x1"},
                 {0, 40, false, "toc.version x1"},
                 {UINT64_MAX, 64, false, "toc.version x1"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct member blob = chunked(TABLE(X, Y, Z, ""), cases[i].type, cases[i].footer_bytes);
        for (size_t step = 1; step <= 4096; step *= 64) {
            struct reading reading = {0};
            read_layer(&reading, NULL, blob.bytes, blob.count, step);
            assert_int_equal(reading.kind, VARVE_TOC_ZSTD_CHUNKED);
            assert_int_equal(reading.compared, cases[i].compared);
            assert_int_equal(strncmp(reading.text, cases[i].findings, strlen(cases[i].findings)),
                             0);
            assert_int_equal(reading.text[0] == 0, cases[i].findings[0] == 0);
        }
        free(blob.bytes);
    }
}

/* What does not fit the budget is a finding, and everything taken is given back. */
static void under_a_budget(struct member blob) {
    for (uint64_t limit = 1; limit < 1 << 16; limit *= 2) {
        struct varve_budget *budget;
        struct reading reading = {0};
        assert_int_equal(varve_budget_open(&budget, limit), VARVE_OK);
        read_layer(&reading, budget, blob.bytes, blob.count, 4096);
        assert_int_equal(varve_budget_taken(budget), 0);
        assert_true(reading.compared || strstr(reading.text, "toc.unread x1"));
        assert_true(limit < 1 << 15 || reading.compared);
        varve_budget_close(budget);
    }
    free(blob.bytes);
}

static void tables_under_a_budget(void **state) {
    (void)state;
    under_a_budget(estargz(TABLE(X, Y, Z, ""), false));
    under_a_budget(chunked(TABLE(X, Y, Z, ""), 1, 64));
}

/* A table that fits, of which it cannot be said whether it is true: paths do not fit beside it. */
static void a_check_under_a_budget(void **state) {
    struct member blob = estargz("{\"version\":1,\"entries\":null}", false);
    size_t unread = 0;
    (void)state;
    for (uint64_t limit = 1; limit < 1 << 14; limit += 31) {
        struct varve_budget *budget;
        struct reading reading = {0};
        assert_int_equal(varve_budget_open(&budget, limit), VARVE_OK);
        read_layer(&reading, budget, blob.bytes, blob.count, 4096);
        assert_int_equal(varve_budget_taken(budget), 0);
        bool whole = strncmp(reading.text, "toc.missing x4", 14) == 0;
        assert_true(whole ? reading.compared : strstr(reading.text, "toc.unread x1") != NULL);
        unread += reading.compared && !whole;
        varve_budget_close(budget);
    }
    assert_true(unread > 0);
    free(blob.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_with_a_hole_is_none),
        cmocka_unit_test(a_check_under_a_budget),
        cmocka_unit_test(hostile_tables),
        cmocka_unit_test(composed_tables),
        cmocka_unit_test(composed_chunked),
        cmocka_unit_test(tables_under_a_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
