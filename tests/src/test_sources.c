/* SPDX-License-Identifier: Apache-2.0 */
/* What sources stand on: patterns of paths, archives read for their headers, canonical JSON, and
 * files with several names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "canonical_json.h"
#include "catalog.h"
#include "file.h"
#include "pattern.h"
#include "vanished.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define REST62 "23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A folder of the test's own, removed at its end. */
struct scratch {
    char path[64];
    int fd;
};

static int make_scratch(void **state) {
    struct scratch *scratch = calloc(1, sizeof *scratch);
    assert_non_null(scratch);
    strcpy(scratch->path, "/tmp/varve-sources-XXXXXX");
    assert_non_null(mkdtemp(scratch->path));
    scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(scratch->fd >= 0);
    *state = scratch;
    return 0;
}

static int remove_scratch(void **state) {
    struct scratch *scratch = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch->path);
    assert_int_equal(system(command), 0);
    close(scratch->fd);
    free(scratch);
    return 0;
}

static void make_file(const struct scratch *scratch, const char *path, const char *text) {
    char name[512];
    snprintf(name, sizeof name, "%s", path);
    for (char *slash = name; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdirat(scratch->fd, name, 0700);
        *slash = '/';
    }
    int fd = openat(scratch->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void patterns_give_paths(void **state) {
    (void)state;
    static const struct {
        const char *prefix, *pattern, *path;
    } cases[] = {
        {"", "blobs/%a/%h", "blobs/sha256/" HEX64},
        {"team/app/", "blobs/%a/%h", "team/app/blobs/sha256/" HEX64},
        {"", "blobs/%a/%2/%h/data", "blobs/sha256/01/" HEX64 "/data"},
        {"", "%2/%r", "01/" REST62},
        {"", "%h.manifest.json", HEX64 ".manifest.json"},
        {"", "a%%b%", "a%b%"},
    };
    char path[VARVE_PATTERN_PATH_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(varve_pattern_path(path, cases[i].prefix, cases[i].pattern, "sha256:" HEX64));
        assert_string_equal(path, cases[i].path);
    }
}

static void paths_that_are_too_long_are_refused(void **state) {
    (void)state;
    char path[VARVE_PATTERN_PATH_BYTES];
    char prefix[VARVE_PATTERN_PATH_BYTES + 1];
    const size_t most = sizeof path - 1 - 64; /* beside the digits and a NUL */
    memset(prefix, 'a', sizeof prefix);
    prefix[most] = 0;
    assert_true(varve_pattern_path(path, prefix, "%h", "sha256:" HEX64));
    prefix[most] = 'a';
    prefix[most + 1] = 0;
    assert_false(varve_pattern_path(path, prefix, "%h", "sha256:" HEX64));
    memset(prefix, 'a', sizeof prefix - 1);
    prefix[sizeof prefix - 1] = 0;
    assert_false(varve_pattern_path(path, prefix, "%h", "sha256:" HEX64));
    assert_false(varve_pattern_path(path, "", "%h", "no digest"));
}

struct seen {
    char names[8][160];
    size_t count;
    size_t misplaced, unreadable;
};

static bool see_digest(void *cookie, const char *name) {
    struct seen *seen = cookie;
    assert_true(seen->count < 8);
    snprintf(seen->names[seen->count++], sizeof seen->names[0], "%s", name);
    return true;
}

static void see_misplaced(void *cookie, const char *path) {
    struct seen *seen = cookie;
    (void)path;
    seen->misplaced++;
}

static void see_unreadable(void *cookie, const char *path, const struct varve_fault *fault) {
    struct seen *seen = cookie;
    (void)path;
    assert_string_equal(fault->code, "io.not-regular");
    seen->unreadable++;
}

static void patterns_find_what_they_give(void **state) {
    const struct scratch *scratch = *state;
    const struct varve_pattern_visitor visitor = {see_digest, NULL, see_misplaced, see_unreadable};
    struct seen seen = {.count = 0};
    make_file(scratch, "reg/blobs/sha256/01/" HEX64 "/data", "");
    make_file(scratch, "reg/blobs/sha256/02/" HEX64 "/data", "");     /* misplaced */
    make_file(scratch, "reg/blobs/sha256/01/" HEX64 "0/data", "");    /* too long */
    make_file(scratch, "reg/blobs/sha256/01/0123.tmp", "");           /* none of the store's */
    make_file(scratch, "reg/blobs/sha256/ab", "");                    /* no folder */
    make_file(scratch, "reg/blobs/md5/01/" HEX64 "/data", "");        /* another algorithm */
    make_file(scratch, "reg/blobs/sha256/001/00" REST62 "/data", ""); /* no such folder */
    assert_true(varve_pattern_each(scratch->fd, "reg/", "blobs/%a/%2/%h/data", &visitor, &seen));
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.names[0], "sha256:" HEX64);
    assert_int_equal(seen.misplaced, 1);
    assert_int_equal(seen.unreadable, 1);

    memset(&seen, 0, sizeof seen);
    make_file(scratch, "pulp/ff/" REST62, "");
    make_file(scratch, "pulp/01/" REST62, "");
    assert_true(varve_pattern_each(scratch->fd, "pulp/", "%2/%r", &visitor, &seen));
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.names[0], "sha256:" HEX64); /* sorted */
    assert_string_equal(seen.names[1], "sha256:ff" REST62);

    memset(&seen, 0, sizeof seen);
    make_file(scratch, "flat/" HEX64 HEX64, "");
    assert_true(varve_pattern_each(scratch->fd, "flat/", "%h", &visitor, &seen));
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.names[0], "sha512:" HEX64 HEX64);

    memset(&seen, 0, sizeof seen);
    make_file(scratch, "named/" HEX64 ".manifest.json", "");
    make_file(scratch, "named/" HEX64 ".signature.json", ""); /* of another form */
    assert_true(varve_pattern_each(scratch->fd, "named/", "%h.manifest.json", &visitor, &seen));
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.names[0], "sha256:" HEX64);

    memset(&seen, 0, sizeof seen);
    assert_true(varve_pattern_each(scratch->fd, "nowhere/", "%h", &visitor, &seen));
    assert_int_equal(seen.count + seen.unreadable, 0);
}

/* Archives written here by hand, with all that real ones have. */
struct archive_bytes {
    char *bytes;
    size_t count;
};

static void put_entry(struct archive_bytes *archive, const char *path, char type, const char *link,
                      const char *content) {
    size_t size = content ? strlen(content) : 0;
    size_t padded = (size + 511) / 512 * 512;
    archive->bytes = realloc(archive->bytes, archive->count + 512 + padded);
    assert_non_null(archive->bytes);
    char *header = archive->bytes + archive->count;
    memset(header, 0, 512 + padded);
    snprintf(header, 100, "%s", path);
    memcpy(header + 100, "0000644\0000000000\0000000000", 24);
    snprintf(header + 124, 12, "%011o", (unsigned)size);
    memcpy(header + 136, "00000000000", 12);
    memset(header + 148, ' ', 8);
    header[156] = type;
    if (link) {
        snprintf(header + 157, 100, "%s", link);
    }
    memcpy(header + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) {
        sum += (uint8_t)header[i];
    }
    snprintf(header + 148, 8, "%06o", sum);
    if (size) {
        memcpy(header + 512, content, size);
    }
    archive->count += 512 + padded;
}

/* Writes the archive, reads its headers, and says what became of that. */
static enum varve_status read_archive(struct varve_archive **archive, struct varve_fault *fault,
                                      const struct scratch *scratch, struct archive_bytes *bytes) {
    int fd = openat(scratch->fd, "archive", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes->bytes, bytes->count), bytes->count);
    enum varve_status status = varve_archive_open(archive, fault, NULL, fd);
    close(fd);
    return status;
}

static void archives_are_indexed(void **state) {
    const struct scratch *scratch = *state;
    struct archive_bytes bytes = {NULL, 0};
    struct varve_archive *archive = NULL;
    struct varve_archive_file file;
    struct varve_fault fault;
    put_entry(&bytes, "./", '5', NULL, NULL);
    put_entry(&bytes, "./a/one", '0', NULL, "first");
    put_entry(&bytes, "b/two", '2', "../a/one", NULL);
    put_entry(&bytes, "b/three", '1', "b/two", NULL);
    put_entry(&bytes, "b/loop", '2', "loop", NULL);
    put_entry(&bytes, "b/out", '2', "../../a/one", NULL);
    put_entry(&bytes, "b/absolute", '2', "/a/one", NULL);
    put_entry(&bytes, "../outside", '0', NULL, "x");
    put_entry(&bytes, "a/one", '0', NULL, "second");
    bytes.bytes = realloc(bytes.bytes, bytes.count + 1024);
    assert_non_null(bytes.bytes);
    memset(bytes.bytes + bytes.count, 0, 1024);
    bytes.count += 1024;
    assert_int_equal(read_archive(&archive, &fault, scratch, &bytes), VARVE_OK);
    assert_null(fault.code);
    bool no_memory = false;
    const char *const good[] = {"a/one", "/a//./one", "b/../a/one",
                                "b/two", "b/three",   "b/absolute"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(varve_archive_find(archive, &file, &no_memory, good[i]));
        assert_string_equal(file.path, "a/one");
        assert_int_equal(file.bytes, 6);
        assert_memory_equal(bytes.bytes + file.offset, "second", 6);
    }
    const char *const bad[] = {"b/loop", "b/out", "outside", "a", "", "../a/one", "b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(varve_archive_find(archive, &file, &no_memory, bad[i]));
    }
    varve_archive_close(archive);
    free(bytes.bytes);
}

static void archives_that_end_early_keep_what_came_before(void **state) {
    const struct scratch *scratch = *state;
    struct archive_bytes bytes = {NULL, 0};
    put_entry(&bytes, "one", '0', NULL, "first");
    size_t before = bytes.count;
    put_entry(&bytes, "two", '0', NULL, "second");
    size_t whole = bytes.count;
    for (size_t count = before + 1; count < whole; count++) {
        struct varve_archive *archive = NULL;
        struct varve_archive_file file;
        struct varve_fault fault;
        bytes.count = count;
        enum varve_status status = read_archive(&archive, &fault, scratch, &bytes);
        /* Padding alone may be cut. */
        assert_int_equal(status, count < before + 512 + 6 ? VARVE_MALFORMED : VARVE_OK);
        assert_non_null(archive);
        bool no_memory = false;
        assert_true(varve_archive_find(archive, &file, &no_memory, "one"));
        assert_int_equal(varve_archive_find(archive, &file, &no_memory, "two"), status == VARVE_OK);
        varve_archive_close(archive);
    }
    free(bytes.bytes);
}

struct text {
    char bytes[4096];
    size_t count;
};

static bool put_text(void *cookie, const void *data, size_t bytes) {
    struct text *text = cookie;
    assert_true(text->count + bytes < sizeof text->bytes);
    memcpy(text->bytes + text->count, data, bytes);
    text->count += bytes;
    text->bytes[text->count] = 0;
    return true;
}

/* RFC 8785: the samples of 3.2.2 and 3.2.3, and edges of our own. */
static void json_has_one_form(void **state) {
    (void)state;
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"{}", "{}"},
        {"[ ]", "[]"},
        {"{\"b\":[1,{\"d\":null,\"c\":true}],\"a\":false}",
         "{\"a\":false,\"b\":[1,{\"c\":true,\"d\":null}]}"},
        {"{\"numbers\":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"
         "\"string\":\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\","
         "\"literals\":[null,true,false]}",
         "{\"literals\":[null,true,false],"
         "\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
         "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"},
        {"{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\","
         "\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\"1\":\"One\","
         "\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
         "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
         "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
         "\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\",\"\xe2\x82\xac\":\"Euro Sign\","
         "\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\","
         "\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}"},
        {"{\"a\":\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\u007f\"}",
         "{\"a\":\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\"}"},
        {"{\"ab\":1,\"a\":2,\"\":3}", "{\"\":3,\"a\":2,\"ab\":1}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text text = {.count = 0};
        json_t *root = json_loads(cases[i].from, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        assert_non_null(root);
        assert_true(varve_canonical_json(root, put_text, &text));
        assert_string_equal(text.bytes, cases[i].to);
        json_decref(root);
    }
}

/* RFC 8785, appendix B, and what ECMA-262 says beside it. */
static void numbers_have_one_form(void **state) {
    (void)state;
    static const struct {
        double number;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {5e-324, "5e-324"},
        {-5e-324, "-5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {9007199254740992, "9007199254740992"},
        {295147905179352830000.0, "295147905179352830000"},
        {9.999999999999997e22, "9.999999999999997e+22"},
        {1e23, "1e+23"},
        {1.0000000000000001e23, "1.0000000000000001e+23"},
        {999999999999999700000.0, "999999999999999700000"},
        {999999999999999900000.0, "999999999999999900000"},
        {1e21, "1e+21"},
        {1e20, "100000000000000000000"},
        {9.999999999999997e-7, "9.999999999999997e-7"},
        {0.000001, "0.000001"},
        {333333333.3333332, "333333333.3333332"},
        {-0.0000033333333333333333, "-0.0000033333333333333333"},
        {1424953923781206.2, "1424953923781206.2"},
        {30000000000, "30000000000"},
        {123.456, "123.456"},
        {-7, "-7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        varve_canonical_number(text, cases[i].number);
        assert_string_equal(text, cases[i].text);
    }
}

static void deep_json_costs_no_stack(void **state) {
    (void)state;
    enum { DEPTH = 2000 }; /* jansson reads no deeper than 2048 */
    struct text text = {.count = 0};
    char from[2 * DEPTH + 1];
    memset(from, '[', DEPTH);
    memset(from + DEPTH, ']', DEPTH);
    from[2 * DEPTH] = 0;
    json_t *root = json_loads(from, 0, NULL);
    assert_non_null(root);
    assert_true(varve_canonical_json(root, put_text, &text));
    assert_string_equal(text.bytes, from);
    json_decref(root);
}

static uint32_t add(struct varve_catalog *catalog, const char *name) {
    return varve_catalog_add_blob(catalog, &(struct varve_new_blob){.name = name});
}

/* Hard links of loose files, and of blobs under one digest in two sources, are one file; a digest
 * and a path, or two digests, never are: what a name claims has to be held against the bytes. */
static void hard_links_are_one_file(void **state) {
    const struct scratch *scratch = *state;
    struct varve_catalog *catalog = NULL;
    char one[256];
    char two[256];
    make_file(scratch, "x/" HEX64, "content");
    mkdirat(scratch->fd, "y", 0700);
    assert_int_equal(linkat(scratch->fd, "x/" HEX64, scratch->fd, "y/" HEX64, 0), 0);
    assert_int_equal(linkat(scratch->fd, "x/" HEX64, scratch->fd, "y/ff" REST62, 0), 0);
    snprintf(one, sizeof one, "%s/x/" HEX64, scratch->path);
    snprintf(two, sizeof two, "%s/y/" HEX64, scratch->path);
    assert_int_equal(varve_catalog_open(&catalog), VARVE_OK);
    uint32_t root = varve_catalog_add_root(catalog, fcntl(scratch->fd, F_DUPFD_CLOEXEC, 0));
    const struct varve_location x = {root, "x/", "%h"};
    const struct varve_location y = {root, "y/", "%h"};
    assert_int_equal(varve_catalog_begin_source(catalog, "x", &x), 0);
    assert_int_equal(add(catalog, "sha256:" HEX64), 0);
    assert_int_equal(add(catalog, "sha256:" HEX64), 0);
    assert_int_equal(varve_catalog_begin_source(catalog, "y", &y), 1);
    assert_int_equal(add(catalog, "sha256:" HEX64), 1);
    assert_int_equal(add(catalog, "sha256:ff" REST62), 2);
    assert_int_equal(varve_catalog_add_file(catalog, one), VARVE_OK);
    assert_int_equal(varve_catalog_add_file(catalog, two), VARVE_OK);
    static const size_t first[] = {0, 0, 2, 3, 3};
    static const size_t next[] = {1, SIZE_MAX, SIZE_MAX, 4, SIZE_MAX};
    assert_int_equal(varve_catalog_blob_count(catalog), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(varve_catalog_blob(catalog, i).twin_of, first[i]);
        assert_int_equal(varve_catalog_next_twin(catalog, i), next[i]);
        assert_int_equal(varve_catalog_blob(catalog, i).size, 7);
    }
    varve_catalog_close(catalog);
}

/* How many pieces are taken before one is refused. */
static bool take_some(void *cookie, const void *data, size_t bytes) {
    size_t *left = cookie;
    (void)data;
    (void)bytes;
    return (*left)-- > 0;
}

static void json_that_is_not_taken_ends(void **state) {
    (void)state;
    json_t *root =
        json_loads("{\"b\":[1,2.5,true,false,null,\"a\\u0001\\n\"],\"a\":{\"c\":[]}}", 0, NULL);
    size_t pieces = 0;
    assert_non_null(root);
    for (size_t left = 0; !varve_canonical_json(root, take_some, &left); left = ++pieces) {
        assert_int_equal(left, SIZE_MAX); /* nothing is offered after a refusal */
    }
    assert_true(pieces > 20);
    json_decref(root);
}

/* Nothing is above a folder, and no path has a component without a name. */
static void paths_lead_down(void **state) {
    static const char *const paths[] = {"../one", "..", "a/../one", "a//one", "/one", "", "one/"};
    struct varve_fault fault;
    uint64_t bytes = 0;
    int folder = ((struct scratch *)*state)->fd;
    int fd = openat(folder, "one", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "content", 7), 7);
    close(fd);
    assert_int_equal(mkdirat(folder, "a", 0777), 0);
    fd = varve_file_open(&fault, &bytes, folder, "one");
    assert_true(fd >= 0);
    assert_int_equal(bytes, 7);
    close(fd);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(varve_file_open(&fault, NULL, folder, paths[i]), -1);
        assert_string_equal(fault.code, "io.missing");
    }
}

/* Blobs that go one after the other, and at last the store with the third: that is not known to be
 * meant. A source is not read again at every question, so that it takes a moment to be seen. */
static void what_has_gone_is_asked_of_the_source(void **state) {
    const struct scratch *scratch = *state;
    struct varve_catalog *catalog = NULL;
    char operand[96];
    char path[160];
    for (char digit = '0'; digit < '3'; digit++) {
        snprintf(path, sizeof path, "pile/sha256/%c%s", digit, &HEX64[1]);
        make_file(scratch, path, "content");
    }
    snprintf(operand, sizeof operand, "cas:%s/pile", scratch->path);
    assert_int_equal(varve_catalog_open(&catalog), VARVE_OK);
    assert_int_equal(varve_catalog_add(catalog, operand), VARVE_OK);
    assert_int_equal(varve_catalog_blob_count(catalog), 3);
    struct varve_vanished *vanished = varve_vanished_open(catalog);
    assert_non_null(vanished);
    for (char digit = '0'; digit < '2'; digit++) {
        snprintf(path, sizeof path, "pile/sha256/%c%s", digit, &HEX64[1]);
        assert_int_equal(unlinkat(scratch->fd, path, 0), 0);
        while (!varve_vanished_is_gone(vanished, (size_t)(digit - '0'))) {
            usleep(100);
        }
        assert_false(varve_vanished_is_gone(vanished, 2));
    }
    snprintf(path, sizeof path, "rm -r '%s/pile'", scratch->path);
    assert_int_equal(system(path), 0);
    for (int i = 0; i < 200; i++) {
        assert_false(varve_vanished_is_gone(vanished, 2));
        usleep(1000);
    }
    varve_vanished_close(vanished);
    varve_catalog_close(catalog);
}

/* An interrupt while a store without tags is listed: nothing is made of its blobs. */
static void an_interrupted_listing_ends(void **state) {
    const struct scratch *scratch = *state;
    struct varve_catalog *catalog = NULL;
    char operand[96];
    make_file(scratch, "pile/sha256/" HEX64, "{}");
    snprintf(operand, sizeof operand, "cas:%s/pile", scratch->path);
    assert_int_equal(varve_catalog_open(&catalog), VARVE_OK);
    varve_catalog_cancel(catalog);
    varve_catalog_add(catalog, operand);
    assert_int_equal(varve_catalog_blob_count(catalog), 0);
    assert_int_equal(varve_catalog_image_count(catalog), 0);
    varve_catalog_close(catalog);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_give_paths),
        cmocka_unit_test(paths_that_are_too_long_are_refused),
        cmocka_unit_test_setup_teardown(patterns_find_what_they_give, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(archives_are_indexed, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(archives_that_end_early_keep_what_came_before, make_scratch,
                                        remove_scratch),
        cmocka_unit_test(json_has_one_form),
        cmocka_unit_test(numbers_have_one_form),
        cmocka_unit_test(deep_json_costs_no_stack),
        cmocka_unit_test(json_that_is_not_taken_ends),
        cmocka_unit_test_setup_teardown(paths_lead_down, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(hard_links_are_one_file, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(an_interrupted_listing_ends, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(what_has_gone_is_asked_of_the_source, make_scratch,
                                        remove_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
