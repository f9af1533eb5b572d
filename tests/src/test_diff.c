/* SPDX-License-Identifier: Apache-2.0 */
/* tests/src/test_diff.c - comparing layers: every pair of the golden layers, of the vectors where
 * they are at hand, and some made here.
 *
 * What must hold of any pair: the verdict says what the rungs say; the first rung on which two meet
 * is the one behind the deepest difference, so that a comparison is empty exactly where the blobs
 * are equal; left against right tells what right against left does. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tar_build.h"
#include "varve/diff.h"

#define GOLDEN VARVE_SOURCE_DIR "/corpora/golden"
#define FILES_MOST 400

struct files {
    char *names[FILES_MOST];
    size_t count;
};

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has_suffix(const char *name, const char *suffix) {
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* Files of a folder that have a sidecar (`sidecars`), or all but lists and scripts. */
static void list_files(struct files *files, const char *folder, bool sidecars) {
    DIR *dir = opendir(folder);
    if (!dir) {
        return;
    }
    for (struct dirent *item; (item = readdir(dir));) {
        char *path = NULL;
        bool wanted =
            item->d_type == DT_REG &&
            (sidecars ? has_suffix(item->d_name, ".json")
                      : !has_suffix(item->d_name, ".tsv") && !has_suffix(item->d_name, ".txt") &&
                            strncmp(item->d_name, "x12", 3) != 0); /* 16 GiB of NULs */
        if (wanted && files->count < FILES_MOST) {
            assert_true(asprintf(&path, "%s/%s", folder, item->d_name) > 0);
            path[strlen(path) - (sidecars ? strlen(".json") : 0)] = 0;
            files->names[files->count++] = path;
        }
    }
    closedir(dir);
    qsort(files->names, files->count, sizeof files->names[0], compare_names);
}

static void free_files(struct files *files) {
    while (files->count) {
        free(files->names[--files->count]);
    }
}

/* --- what must hold --- */

struct told {
    uint64_t kinds[VARVE_DIFF_KIND_COUNT];
    int deepest; /* rung; -1: none */
    uint64_t unexplained;
    uint64_t bad;
};

static void take(void *cookie, const struct varve_difference *difference) {
    struct told *told = cookie;
    told->kinds[difference->kind]++;
    bool counts = difference->rung != VARVE_RUNG_COUNT && difference->kind != VARVE_DIFF_SECURITY;
    if (counts && (int)difference->rung > told->deepest) {
        told->deepest = (int)difference->rung;
    }
    for (size_t i = 0; i < difference->field_count; i++) {
        const struct varve_diff_field *field = &difference->fields[i];
        bool same =
            field->has[0] && field->has[1] && field->value[0].count == field->value[1].count &&
            (!field->value[0].count ||
             memcmp(field->value[0].bytes, field->value[1].bytes, field->value[0].count) == 0);
        told->bad += !field->has[0] && !field->has[1];
        told->bad += same && strcmp(field->name, "stored bytes") != 0;
        told->unexplained += field->part && strcmp(field->name, "other bytes") == 0;
    }
    if (difference->kind == VARVE_DIFF_CHANGED || difference->kind == VARVE_DIFF_LINK ||
        difference->kind == VARVE_DIFF_HEADER) {
        told->bad += !difference->entry[0] || !difference->entry[1] || !difference->field_count;
    }
}

static bool equal_on(const struct varve_layer *a, const struct varve_layer *b, int rung) {
    return a->rungs.present & b->rungs.present & 1u << rung &&
           memcmp(a->rungs.digest[rung], b->rungs.digest[rung], VARVE_SHA256_BYTES) == 0;
}

static int open_file(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail_msg("cannot open %s", path);
    }
    return fd;
}

/* Compares two descriptors; whether both are whole tars. */
static bool compare(struct varve_diff *diff, struct told *told, int left, int right,
                    const char *names[2]) {
    const struct varve_diff_side sides[2] = {{left, 0, UINT64_MAX, names[0], "test"},
                                             {right, 0, UINT64_MAX, names[1], "test"}};
    *told = (struct told){.deepest = -1};
    assert_int_equal(varve_diff_layers(diff, &sides[0], &sides[1]), VARVE_OK);
    assert_int_equal(varve_diff_each(diff, VARVE_DIFF_ALL, take, told), VARVE_OK);
    const struct varve_layer *a = varve_diff_layer(diff, 0);
    const struct varve_layer *b = varve_diff_layer(diff, 1);
    struct varve_diff_verdict verdict = varve_diff_verdict(diff);
    int meet = 0;
    while (meet < VARVE_RUNG_COUNT && !equal_on(a, b, meet)) {
        meet++;
    }
    if (verdict.meet != (enum varve_rung)meet || told->bad) {
        fail_msg("%s against %s: verdict %d, rungs say %d; %d bad fields", names[0], names[1],
                 (int)verdict.meet, meet, (int)told->bad);
    }
    const uint32_t all = (1u << VARVE_RUNG_COUNT) - 1;
    return a->rungs.present == all && b->rungs.present == all;
}

/* Whether the verdict has a reason for every facet that is unequal, and where there is none for
 * that two layers differ on rung `encoding`. */
static bool gives_reasons(const struct varve_diff_verdict *verdict) {
    uint32_t changed = verdict->facets_changed, moved = verdict->facets_moved;
    bool lone = verdict->removed_count || verdict->added_count;
    bool order = verdict->moved_count || verdict->linked_count || verdict->repeated_count ||
                 verdict->globals_moved_count;
    uint32_t known = lone ? verdict->facets_unequal : changed | moved;
    return !((changed | moved) & ~verdict->facets_unequal) && known == verdict->facets_unequal &&
           (verdict->meet != VARVE_RUNG_ORDER || order);
}

static void check_whole(const struct varve_diff *diff, const struct told *told,
                        const char *names[2]) {
    struct varve_diff_verdict verdict = varve_diff_verdict(diff);
    if (!verdict.complete || !verdict.entries_compared || !verdict.headers_compared) {
        fail_msg("%s against %s: not everything was compared", names[0], names[1]);
    }
    if (told->deepest + 1 != (int)verdict.meet) {
        fail_msg("%s against %s: they meet on %d, and the deepest difference is seen on %d",
                 names[0], names[1], (int)verdict.meet, told->deepest);
    }
    if (!gives_reasons(&verdict)) {
        fail_msg(
            "%s against %s: no reason for a facet of %x, changed %x, moved %x; or for the order",
            names[0], names[1], verdict.facets_unequal, verdict.facets_changed,
            verdict.facets_moved);
    }
    if (told->unexplained) {
        fail_msg("%s against %s: a header differs, and not in a field", names[0], names[1]);
    }
}

static struct varve_diff *open_diff(size_t chunk_bytes) {
    const struct varve_diff_options options = {.chunk_bytes = chunk_bytes};
    struct varve_diff *diff = NULL;
    assert_int_equal(varve_diff_open(&diff, &options), VARVE_OK);
    return diff;
}

static void test_golden_pairs(void **state) {
    (void)state;
    struct files files = {.count = 0};
    list_files(&files, GOLDEN, true);
    assert_true(files.count > 60);
    /* Small steps too: blocks that are cut by them must be put together again. */
    struct varve_diff *diffs[2] = {open_diff(0), open_diff(700)};
    size_t pairs = 0;
    for (size_t i = 0; i < files.count; i++) {
        for (size_t j = i; j < files.count; j++) {
            struct told told[3];
            const char *names[2] = {files.names[i], files.names[j]};
            const char *turned[2] = {files.names[j], files.names[i]};
            int left = open_file(names[0]), right = open_file(names[1]);
            assert_true(compare(diffs[0], &told[0], left, right, names));
            check_whole(diffs[0], &told[0], names);
            lseek(left, 0, SEEK_SET);
            lseek(right, 0, SEEK_SET);
            assert_true(compare(diffs[1], &told[1], right, left, turned));
            check_whole(diffs[1], &told[1], turned);
            for (int kind = 0; kind < VARVE_DIFF_KIND_COUNT; kind++) {
                int mirror = kind == VARVE_DIFF_REMOVED ? VARVE_DIFF_ADDED
                             : kind == VARVE_DIFF_ADDED ? VARVE_DIFF_REMOVED
                                                        : kind;
                /* Of several shortest ways to account for an order one is told. */
                if (told[0].kinds[kind] != told[1].kinds[mirror]) {
                    fail_msg("%s against %s: %d of kind %s, %d turned round", names[0], names[1],
                             (int)told[0].kinds[kind],
                             varve_diff_kind_name((enum varve_diff_kind)kind),
                             (int)told[1].kinds[mirror]);
                }
            }
            close(left);
            close(right);
            pairs++;
        }
    }
    print_message("%zu pairs\n", pairs);
    varve_diff_close(diffs[0]);
    varve_diff_close(diffs[1]);
    free_files(&files);
}

/* Every hostile archive against those that follow it in the list, and against itself. */
static void test_hostile_pairs(void **state) {
    (void)state;
    enum { NEIGHBOURS = 6 };
    struct files files = {.count = 0};
    list_files(&files, VARVE_SOURCE_DIR "/../shared/vectors/hostile-synthetic", false);
    list_files(&files, VARVE_SOURCE_DIR "/../shared/vectors/go1.19.8", false);
    if (!files.count) {
        print_message("SKIPPED: no vectors at hand\n");
        skip();
    }
    const struct varve_diff_options options = {.max_decoded_bytes = 4 << 20,
                                               .memory_bytes = 256 << 20};
    struct varve_diff *diff = NULL;
    assert_int_equal(varve_diff_open(&diff, &options), VARVE_OK);
    size_t pairs = 0, whole = 0;
    for (size_t i = 0; i < files.count; i++) {
        for (size_t j = i; j < files.count && j < i + NEIGHBOURS; j++) {
            struct told told;
            const char *names[2] = {files.names[i], files.names[j]};
            int left = open_file(names[0]), right = open_file(names[1]);
            if (compare(diff, &told, left, right, names)) {
                check_whole(diff, &told, names);
                whole++;
            }
            close(left);
            close(right);
            pairs++;
        }
    }
    print_message("%zu pairs, %zu of them whole\n", pairs, whole);
    assert_true(pairs > 500 && whole > 100);
    varve_diff_close(diff);
    free_files(&files);
}

/* --- made here --- */

static int memory_file(const struct built *bytes) {
    int fd = memfd_create("diff", MFD_CLOEXEC);
    assert_true(fd >= 0 && write(fd, bytes->bytes, bytes->count) == (ssize_t)bytes->count);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* CRC-32 of RFC 1952, bit by bit. */
static uint32_t crc32_of(const uint8_t *bytes, size_t count) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
        }
    }
    return ~crc;
}

static void build_le32(struct built *to, uint32_t value) {
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                              (uint8_t)(value >> 24)};
    build_raw(to, bytes, sizeof bytes);
}

/* A gzip member of one stored block (RFC 1951, 3.2.4). */
static void build_member(struct built *to, const struct built *content) {
    const uint8_t head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1};
    uint32_t count = (uint32_t)content->count;
    assert_true(count < 65536);
    build_raw(to, head, sizeof head);
    build_le32(to, count | (~count & 0xffff) << 16);
    build_raw(to, content->bytes, content->count);
    build_le32(to, crc32_of(content->bytes, content->count));
    build_le32(to, count);
}

/* A blob that is cut behind its archive, but before its end, must leave nothing behind that
 * disturbs the layers after it: a comparison's jobs and lanes serve many. */
static void test_after_a_fault(void **state) {
    (void)state;
    struct built tar = {NULL, 0, 0}, whole = {NULL, 0, 0}, cut = {NULL, 0, 0};
    build_header(&tar, '0', "file", 5);
    build_raw(&tar, "hello", 5);
    build_padding(&tar);
    build_zeros(&tar, 1024);
    build_member(&whole, &tar);
    build_member(&cut, &tar);
    build_raw(&cut, "\x1f\x8b\x08", 3);
    const char *names[2] = {"left", "right"};
    struct varve_diff *diff = open_diff(0);
    struct varve_rungs rungs = {.present = 0};
    for (int round = 0; round < 4; round++) {
        struct told told;
        int left = memory_file(round % 2 ? &cut : &whole);
        int right = memory_file(round % 2 ? &cut : &whole);
        assert_true(compare(diff, &told, left, right, names) == (round % 2 == 0));
        assert_int_equal(varve_diff_verdict(diff).meet, VARVE_RUNG_BLOB);
        assert_int_equal(varve_diff_layer(diff, 0)->status, round % 2 ? VARVE_MALFORMED : VARVE_OK);
        if (round == 0) {
            rungs = varve_diff_layer(diff, 0)->rungs;
        } else if (round == 2) {
            assert_memory_equal(&rungs, &varve_diff_layer(diff, 1)->rungs, sizeof rungs);
        }
        close(left);
        close(right);
    }
    varve_diff_close(diff);
    free(tar.bytes);
    free(whole.bytes);
    free(cut.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_pairs),
        cmocka_unit_test(test_hostile_pairs),
        cmocka_unit_test(test_after_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
