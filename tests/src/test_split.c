/* SPDX-License-Identifier: Apache-2.0 */
/* tests/src/test_split.c - CRC-64 and base64 by their standards' examples; an archive apart and
 * together whatever chunks it comes in; what a lane refuses. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base64.h"
#include "crc64.h"
#include "varve/split.h"

/* The check value of CRC-64/GO-ISO in the catalogue of parametrised CRC algorithms; and the bits
 * one by one, at every length and cut. */
static void crc64_is_isos(void **state) {
    static struct varve_crc64 crc64;
    uint8_t data[100];
    uint8_t bytes[8];
    (void)state;
    varve_crc64_init(&crc64);
    assert_true(varve_crc64_update(&crc64, 0, "123456789", 9) == UINT64_C(0xb90956c775a41001));
    varve_crc64_bytes(bytes, UINT64_C(0xb90956c775a41001));
    assert_memory_equal(bytes, "\xb9\x09\x56\xc7\x75\xa4\x10\x01", 8);
    assert_true(varve_crc64_update(&crc64, 0, "", 0) == 0);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t count = 0; count <= sizeof data; count++) {
        uint64_t slow = UINT64_MAX;
        for (size_t i = 0; i < count; i++) {
            slow ^= data[i];
            for (int bit = 0; bit < 8; bit++) {
                slow = slow >> 1 ^ (slow & 1 ? UINT64_C(0xd800000000000000) : 0);
            }
        }
        size_t cut = count / 3;
        uint64_t fast = varve_crc64_update(&crc64, 0, data, cut);
        fast = varve_crc64_update(&crc64, fast, data + cut, count - cut);
        assert_true(fast == ~slow);
    }
}

/* RFC 4648, section 10, and what is none. */
static void base64_is_the_rfcs(void **state) {
    static const char *const examples[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    static const char *const bad[] = {
        "Z", "Zg", "Zg=", "=Zg=", "Z===", "====", "Zm=v", "Zm9*", "Zg==Zg==", "Zm9v\n"};
    char text[32];
    size_t count = 0;
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        size_t bytes = strlen(examples[i][0]);
        varve_base64_encode(text, examples[i][0], bytes);
        count = strlen(examples[i][1]);
        assert_int_equal(VARVE_BASE64_BYTES(bytes), count);
        assert_memory_equal(text, examples[i][1], count);
        assert_true(varve_base64_decode((uint8_t *)text, &count));
        assert_int_equal(count, bytes);
        assert_memory_equal(text, examples[i][0], bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        count = strlen(bad[i]);
        memcpy(text, bad[i], count);
        assert_false(varve_base64_decode((uint8_t *)text, &count));
    }
}

/* A header block of an entry. */
static void header(uint8_t block[512], const char *path, char type, unsigned size) {
    unsigned sum = 0;
    memset(block, 0, 512);
    snprintf((char *)block, 100, "%s", path);
    memcpy(block + 100, "0000644", 8);
    memcpy(block + 108, "0000000", 8);
    memcpy(block + 116, "0000000", 8);
    snprintf((char *)block + 124, 12, "%011o", size);
    memcpy(block + 136, "00000000000", 12);
    memset(block + 148, ' ', 8);
    block[156] = (uint8_t)type;
    memcpy(block + 257,
           "ustar\0"
           "00",
           8);
    for (int i = 0; i < 512; i++) {
        sum += block[i];
    }
    snprintf((char *)block + 148, 8, "%06o", sum);
}

enum { ARCHIVE_BYTES = 512 + 512 + 1024 + 512 + 512 + 1024 };

/* A folder, two files, the second of a path given before, the archive's end. */
static void make_archive(uint8_t archive[ARCHIVE_BYTES]) {
    memset(archive, 0, ARCHIVE_BYTES);
    header(archive, "d/", '5', 0);
    header(archive + 512, "d/f", '0', 600);
    memset(archive + 1024, 'a', 600);
    header(archive + 2048, "./d//f", '0', 3);
    memcpy(archive + 2560, "two", 3);
}

/* What the lanes were given. */
struct taken {
    char lines[16384];
    size_t line_bytes;
    char path[64];
    uint8_t content[2 * ARCHIVE_BYTES];
    size_t content_bytes, begun, ended;
    int stop_at; /* calls that go well; < 0: all */
    bool leaves;
};

static bool goes_on(struct taken *taken) {
    return taken->stop_at < 0 || taken->stop_at-- > 0;
}

static bool take_header(void *cookie, const void *data, size_t bytes) {
    struct taken *taken = cookie;
    if (taken->line_bytes + bytes < sizeof taken->lines) {
        memcpy(taken->lines + taken->line_bytes, data, bytes);
        taken->line_bytes += bytes;
    }
    return goes_on(taken);
}

static enum varve_split_answer take_file(void *cookie, const char *path, uint64_t size_bytes) {
    struct taken *taken = cookie;
    taken->begun++;
    snprintf(taken->path, sizeof taken->path, "%s:%u", path, (unsigned)size_bytes);
    if (taken->leaves) {
        return VARVE_SPLIT_LEFT;
    }
    return goes_on(taken) ? VARVE_SPLIT_TAKEN : VARVE_SPLIT_STOP;
}

static bool take_content(void *cookie, const void *data, size_t bytes) {
    struct taken *taken = cookie;
    if (taken->content_bytes + bytes <= sizeof taken->content) {
        memcpy(taken->content + taken->content_bytes, data, bytes);
        taken->content_bytes += bytes;
    }
    return goes_on(taken);
}

static bool end_file(void *cookie) {
    struct taken *taken = cookie;
    taken->ended++;
    return goes_on(taken);
}

static const struct varve_split_lanes all_lanes = {take_header, take_file, take_content, end_file};

static int memory_file(const void *data, size_t bytes) {
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(write(fd, data, bytes) == (ssize_t)bytes);
    assert_true(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static enum varve_status split_it(struct varve_split_result *result, struct taken *taken,
                                  const struct varve_split_lanes *lanes, size_t bytes) {
    static const struct varve_split_options options = {.max_decoded_bytes = 0};
    uint8_t archive[ARCHIVE_BYTES];
    make_archive(archive);
    int fd = memory_file(archive, bytes);
    enum varve_status status = varve_split(result, fd, 0, UINT64_MAX, &options, lanes, taken);
    close(fd);
    return status;
}

static bool gather(void *cookie, const void *data, size_t bytes) {
    struct taken *taken = cookie;
    if (taken->content_bytes + bytes <= sizeof taken->content) {
        memcpy(taken->content + taken->content_bytes, data, bytes);
    }
    taken->content_bytes += bytes;
    return true;
}

/* Lines that hold all give the first `bytes` bytes of the archive; there is no folder. */
static void gives_back(const struct taken *parted, size_t bytes) {
    static const struct varve_join_options options = {.max_bytes = 0};
    static struct taken joined;
    struct varve_join_result result;
    uint8_t archive[ARCHIVE_BYTES];
    int fd = memory_file(parted->lines, parted->line_bytes);
    joined.content_bytes = 0;
    make_archive(archive);
    assert_int_equal(varve_join(&result, fd, -1, &options, gather, &joined), VARVE_OK);
    assert_int_equal(joined.content_bytes, bytes);
    assert_int_equal(result.bytes, bytes);
    assert_memory_equal(joined.content, archive, bytes);
    close(fd);
}

static void parts_go_to_their_lanes(void **state) {
    static struct taken taken;
    struct varve_split_result result;
    (void)state;
    taken = (struct taken){.stop_at = -1};
    assert_int_equal(split_it(&result, &taken, &all_lanes, ARCHIVE_BYTES), VARVE_OK);
    assert_true(result.complete && result.is_tar);
    assert_int_equal(result.decoded_bytes, ARCHIVE_BYTES);
    assert_int_equal(result.entry_count, 3);
    assert_int_equal(result.file_count, 1);
    assert_int_equal(result.file_bytes, 600);
    assert_int_equal(result.left_count, 1); /* the path was given before */
    assert_string_equal(taken.path, "d/f:600");
    assert_int_equal(taken.begun, 1);
    assert_int_equal(taken.ended, 1);
    assert_int_equal(taken.content_bytes, 600);
    for (size_t i = 0; i < 600; i++) {
        assert_int_equal(taken.content[i], 'a');
    }
    taken.lines[taken.line_bytes] = 0;
    assert_non_null(
        strstr(taken.lines, "{\"type\":1,\"name\":\"d/\",\"payload\":null,\"position\":1}\n"));
    assert_non_null(
        strstr(taken.lines, "{\"type\":1,\"name\":\"d/f\",\"size\":600,\"payload\":\""));
    /* The same lines where nobody wants the contents. */
    static struct taken lines;
    static const struct varve_split_lanes header_alone = {.header = take_header};
    lines = (struct taken){.stop_at = -1};
    assert_int_equal(split_it(&result, &lines, &header_alone, ARCHIVE_BYTES), VARVE_OK);
    assert_int_equal(lines.line_bytes, taken.line_bytes);
    assert_memory_equal(lines.lines, taken.lines, taken.line_bytes);
}

/* Whatever is answered and wherever the archive is cut off, nothing is lost. */
static void all_can_be_left(void **state) {
    static struct taken taken;
    struct varve_split_result result;
    (void)state;
    for (size_t bytes = 0; bytes <= ARCHIVE_BYTES; bytes++) {
        taken = (struct taken){.stop_at = -1, .leaves = true};
        enum varve_status status = split_it(&result, &taken, &all_lanes, bytes);
        assert_true(result.complete);
        assert_true(status == VARVE_OK || status == VARVE_MALFORMED);
        assert_int_equal(result.file_count, 0);
        gives_back(&taken, bytes);
    }
    assert_int_equal(result.left_count, 2);
}

/* A lane that refuses ends the call, at whichever of its calls. */
static void lanes_may_refuse(void **state) {
    static struct taken taken;
    struct varve_split_result result;
    (void)state;
    for (int calls = 0;; calls++) {
        taken = (struct taken){.stop_at = calls};
        enum varve_status status = split_it(&result, &taken, &all_lanes, ARCHIVE_BYTES);
        if (status == VARVE_OK) {
            assert_int_equal(calls, 4); /* the file, its content, its end, the lines */
            break;
        }
        assert_int_equal(status, VARVE_ERROR);
        assert_string_equal(result.fault.code, "io.write");
        assert_false(result.complete);
    }
}

static int asked, stop_at_question;

static bool is_over(void) {
    return asked++ == stop_at_question;
}

/* Whenever it is, it is no fault of the data. */
static void joining_may_be_cancelled(void **state) {
    static const struct varve_join_options options = {.cancelled = is_over};
    static struct taken parted;
    static struct taken joined;
    struct varve_split_result result;
    (void)state;
    parted = (struct taken){.stop_at = -1, .leaves = true};
    assert_int_equal(split_it(&result, &parted, &all_lanes, ARCHIVE_BYTES), VARVE_OK);
    enum varve_status status = VARVE_ERROR;
    for (stop_at_question = 0; status != VARVE_OK; stop_at_question++) {
        struct varve_join_result together;
        int fd = memory_file(parted.lines, parted.line_bytes);
        asked = 0;
        joined.content_bytes = 0;
        status = varve_join(&together, fd, -1, &options, gather, &joined);
        assert_null(together.fault.code);
        assert_true(status == VARVE_OK || status == VARVE_ERROR);
        assert_int_equal(joined.content_bytes, together.bytes);
        close(fd);
    }
    assert_true(stop_at_question > 2);
    assert_int_equal(joined.content_bytes, ARCHIVE_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joining_may_be_cancelled), cmocka_unit_test(crc64_is_isos),
        cmocka_unit_test(base64_is_the_rfcs),       cmocka_unit_test(parts_go_to_their_lanes),
        cmocka_unit_test(all_can_be_left),          cmocka_unit_test(lanes_may_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
