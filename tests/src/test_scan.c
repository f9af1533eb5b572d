/* SPDX-License-Identifier: Apache-2.0 */
/* What a scan does beside reading: it takes known results, goes by turns, stops early, tells what
 * is gone from what is missing, and does not read faster than it may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#include "codes.h"
#include "digest_name.h"
#include "varve/scan.h"

#define BLOBS 40
#define BLOB_BYTES 3000

/* A folder of blobs named by their digests, of growing sizes: 1 * BLOB_BYTES and so on. */
struct world {
    char folder[64];
    char names[BLOBS][80]; /* hex digits */
    struct varve_catalog *catalog;
    struct varve_scan_options options;
    struct varve_scan_summary summary;
    struct varve_scan *scan;
    uint64_t turns[BLOBS];
    struct {
        char name[80];
        enum varve_status status;
        const char *code;
        bool cached;
        uint64_t findings;
    } told[BLOBS];
    size_t told_count, done_count, gone_count, stop_after;
    bool recall_all;
};

static int open_world(void **state) {
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    strcpy(world->folder, "/tmp/varve-scan-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    char *data = malloc(BLOBS * BLOB_BYTES);
    assert_non_null(data);
    for (size_t i = 0; i < BLOBS; i++) {
        size_t bytes = (i + 1) * BLOB_BYTES;
        uint8_t digest[EVP_MAX_MD_SIZE];
        char path[256];
        memset(data, 'a' + (int)(i % 26), bytes);
        assert_int_equal(EVP_Digest(data, bytes, digest, NULL, EVP_sha256(), NULL), 1);
        varve_hex(world->names[i], digest, VARVE_SHA256_BYTES);
        snprintf(path, sizeof path, "%s/%s", world->folder, world->names[i]);
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        assert_int_equal(fwrite(data, 1, bytes, file), bytes);
        assert_int_equal(fclose(file), 0);
    }
    free(data);
    char source[80];
    snprintf(source, sizeof source, "cas:%s", world->folder);
    assert_int_equal(varve_catalog_open(&world->catalog), VARVE_OK);
    assert_int_equal(varve_catalog_add(world->catalog, source), VARVE_OK);
    assert_int_equal(varve_catalog_blob_count(world->catalog), BLOBS);
    world->options = (struct varve_scan_options){.threads = 2};
    *state = world;
    return 0;
}

static void unlink_blob(const struct world *world, size_t i) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", world->folder, world->names[i]);
    assert_int_equal(unlink(path), 0);
}

static int close_world(void **state) {
    struct world *world = *state;
    char command[128];
    varve_catalog_close(world->catalog);
    snprintf(command, sizeof command, "rm -rf '%s'", world->folder);
    assert_int_equal(system(command), 0);
    free(world);
    return 0;
}

/* "sha256:<hex>": which of the world's blobs. */
static size_t blob_of(const struct world *world, const char *name) {
    size_t i = 0;
    while (i < BLOBS && strcmp(world->names[i], name + 7) != 0) {
        i++;
    }
    return i;
}

static bool recall(void *cookie, struct varve_layer *layer, struct varve_findings *findings,
                   size_t number) {
    struct world *world = cookie;
    struct varve_blob blob = varve_catalog_blob(world->catalog, number);
    if (!world->recall_all) {
        return false;
    }
    layer->bytes_stored = blob.size;
    layer->rungs.present = 1;
    layer->checks.name = VARVE_CHECK_OK;
    if (blob_of(world, blob.name) == 3) {
        layer->checks.name = VARVE_CHECK_MISMATCH;
    }
    if (blob_of(world, blob.name) == 4) {
        layer->content_fault = varve_fault_of(VARVE_CODE_ZSTD_TRUNCATED, 17);
    }
    varve_findings_add(findings, VARVE_CODE_EMPTY_BLOB, 2, 5, "x", 1);
    return true;
}

static void done(void *cookie, const struct varve_layer *layer, size_t blob,
                 const struct varve_job *job) {
    struct world *world = cookie;
    (void)blob;
    (void)layer;
    (void)job;
    __atomic_fetch_add(&world->done_count, 1, __ATOMIC_RELAXED);
}

static void gone(void *cookie, size_t blob) {
    struct world *world = cookie;
    (void)blob;
    world->gone_count++;
}

static void layer(void *cookie, const struct varve_layer *layer, size_t blob,
                  const struct varve_job *job) {
    struct world *world = cookie;
    (void)blob;
    (void)job;
    if (world->told_count < BLOBS) {
        strcpy(world->told[world->told_count].name, layer->name);
        world->told[world->told_count].status = layer->status;
        world->told[world->told_count].code = layer->fault.code;
        world->told[world->told_count].cached = layer->cached;
        world->told[world->told_count].findings = varve_findings_count(layer->findings);
    }
    if (++world->told_count == world->stop_after) {
        varve_scan_stop(world->scan);
    }
}

static void run(struct world *world) {
    static const struct varve_report report = {
        .recall = recall, .done = done, .gone = gone, .layer = layer};
    assert_int_equal(varve_scan_open(&world->scan, world->catalog, &world->options), VARVE_OK);
    assert_int_equal(varve_scan_run(world->scan, &world->summary, &report, world), VARVE_OK);
    varve_scan_close(world->scan);
}

/* Not one blob is there any more, and none has to be. */
static void test_recalled(void **state) {
    struct world *world = *state;
    world->recall_all = true;
    for (size_t i = 0; i < BLOBS; i++) {
        unlink_blob(world, i);
    }
    run(world);
    assert_int_equal(world->told_count, BLOBS);
    assert_int_equal(world->done_count, BLOBS);
    assert_int_equal(world->summary.cached, BLOBS);
    assert_int_equal(world->summary.bytes_read, 0);
    assert_int_equal(world->summary.layers[VARVE_MISMATCH], 1);
    for (size_t i = 0; i < BLOBS; i++) {
        size_t blob = blob_of(world, world->told[i].name);
        assert_int_equal(blob, BLOBS - 1 - i); /* the largest first */
        assert_true(world->told[i].cached);
        assert_int_equal(world->told[i].findings, 1);
        if (blob == 3) {
            assert_string_equal(world->told[i].code, "claim.name");
        } else if (blob == 4) {
            assert_int_equal(world->told[i].status, VARVE_MALFORMED);
            assert_string_equal(world->told[i].code, "zstd.truncated");
        } else {
            assert_int_equal(world->told[i].status, VARVE_OK);
        }
    }
}

static void test_turns(void **state) {
    struct world *world = *state;
    for (size_t i = 0; i < BLOBS; i++) {
        struct varve_blob blob = varve_catalog_blob(world->catalog, i);
        world->turns[i] = blob_of(world, blob.name) % 2;
    }
    world->options.turns = world->turns;
    run(world);
    assert_int_equal(world->told_count, BLOBS);
    assert_int_equal(world->summary.cached, 0);
    for (size_t i = 0; i < BLOBS; i++) {
        size_t blob = blob_of(world, world->told[i].name);
        assert_int_equal(blob, i < BLOBS / 2 ? BLOBS - 2 - 2 * i : 2 * BLOBS - 1 - 2 * i);
        assert_int_equal(world->told[i].status, VARVE_OK);
    }
}

/* What is in flight is still told, and what is told is complete. */
static void test_stopped(void **state) {
    struct world *world = *state;
    world->options.threads = 1;
    world->stop_after = 1;
    run(world);
    assert_true(world->summary.partial);
    assert_false(world->summary.interrupted);
    assert_in_range(world->told_count, 1, BLOBS - 1);
    assert_int_equal(world->told_count, world->done_count);
    assert_int_equal(world->summary.layers[VARVE_OK], world->told_count);
}

static void test_stopped_at_the_end(void **state) {
    struct world *world = *state;
    world->stop_after = BLOBS;
    run(world);
    assert_false(world->summary.partial);
    assert_int_equal(world->told_count, BLOBS);
}

/* Nothing refers to a blob that a folder of digests holds no more. */
static void test_gone(void **state) {
    struct world *world = *state;
    unlink_blob(world, 0);
    unlink_blob(world, 7);
    run(world);
    assert_int_equal(world->gone_count, 2);
    assert_int_equal(world->summary.gone, 2);
    assert_int_equal(world->told_count, BLOBS - 2);
    assert_int_equal(world->summary.layers[VARVE_OK], BLOBS - 2);
    assert_int_equal(world->summary.layers[VARVE_ERROR], 0);
}

/* A name that is still there, a folder in the blob's place, is an error and not gone. */
static void test_not_gone(void **state) {
    struct world *world = *state;
    char path[256];
    unlink_blob(world, 5);
    snprintf(path, sizeof path, "%s/%s", world->folder, world->names[5]);
    assert_int_equal(symlink("/nowhere", path), 0);
    run(world);
    assert_int_equal(world->gone_count, 0);
    assert_int_equal(world->summary.layers[VARVE_ERROR], 1);
}

/* 40 blobs are 2.46 MB: at 10 MB/s a quarter of a second at least. */
static void test_read_limit(void **state) {
    struct world *world = *state;
    world->options.read_bytes_per_second = 10000000;
    run(world);
    assert_int_equal(world->summary.layers[VARVE_OK], BLOBS);
    double fastest = (double)world->summary.bytes_read / 10000000;
    assert_true(world->summary.bytes_read == BLOB_BYTES * BLOBS * (BLOBS + 1) / 2);
    assert_true(world->summary.seconds >= fastest * 0.5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_recalled),           TEST(test_turns), TEST(test_stopped),
        TEST(test_stopped_at_the_end), TEST(test_gone),  TEST(test_not_gone),
        TEST(test_read_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
