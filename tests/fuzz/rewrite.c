/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/rewrite.c - the documents of a layout, written anew: from any bytes.
 *
 * Input is a byte that says what is asked for, and up to MOST_BLOBS blobs, each ended by a byte
 * 0xff (tests/src/rewrite_run.h): so a fuzzer can make layouts whose names hold. Of what is written
 * every file bears its digest, and written anew it is the same once more. */
#include <string.h>

#include "../src/rewrite_run.h"

static void judge_mapping(const struct varve_rewrite *rewrite, const struct layout *out) {
    size_t count = varve_rewrite_mapping_count(rewrite);
    for (size_t i = 0; i < count; i++) {
        struct varve_rewrite_mapping mapping = varve_rewrite_mapping(rewrite, i);
        char path[160];
        struct stat status;
        snprintf(path, sizeof path, "blobs/%s", mapping.after);
        *strchr(path, ':') = '/';
        if (strncmp(mapping.after, "sha256:", 7) == 0) {
            MUST(fstatat(out->folder, path, &status, 0) == 0);
            MUST((uint64_t)status.st_size == mapping.bytes_after);
        }
        MUST(strcmp(mapping.before, mapping.after) != 0 ||
             mapping.bytes_before == mapping.bytes_after);
        MUST(*varve_rewrite_kind_name(mapping.kind));
    }
}

/* A layout written anew into `out`. False: it cannot be. */
static bool write_anew(struct layout *out, const char *from,
                       const struct varve_rewrite_options *options) {
    struct varve_rewrite *rewrite = NULL;
    MUST(varve_rewrite_open(&rewrite, options, from) == VARVE_OK);
    bool good = varve_rewrite_error_count(rewrite) == 0;
    for (size_t i = 0; i < varve_rewrite_error_count(rewrite); i++) {
        struct varve_catalog_error error = varve_rewrite_error(rewrite, i);
        MUST(error.name && error.fault.code && error.fault.message);
    }
    good = good && do_blobs(rewrite, out);
    if (good) {
        size_t errors = varve_rewrite_error_count(rewrite);
        enum varve_status status = varve_rewrite_documents(rewrite, put, out);
        MUST((status == VARVE_OK) == (varve_rewrite_error_count(rewrite) == errors));
        good = status == VARVE_OK;
    }
    if (good) {
        judge_mapping(rewrite, out);
    }
    varve_rewrite_close(rewrite);
    return good;
}

static void judge_same(const struct layout *a, const struct layout *b) {
    MUST(a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        struct bytes x = read_file(a->folder, a->files[i]);
        struct bytes y = read_file(b->folder, a->files[i]);
        MUST(x.at && y.at && x.count == y.count && memcmp(x.at, y.at, x.count) == 0);
        free(x.at);
        free(y.at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const enum varve_compression compressions[] = {
        VARVE_COMPRESSION_NONE, VARVE_COMPRESSION_GZIP, VARVE_COMPRESSION_ZSTD,
        VARVE_COMPRESSION_NONE};
    struct input input = {.count = 0};
    struct layout in, out, again;
    char from[80];
    if (bytes == 0) {
        return 0;
    }
    const struct varve_rewrite_options options = {.compression = compressions[data[0] & 3],
                                                  .has_clamp = data[0] & 4,
                                                  .same_times = data[0] & 8,
                                                  .clamp_seconds = 1700000000};
    const char *tag = data[0] & 16 ? ":t" : "";
    for (size_t i = 1; i < bytes && input.count < MOST_BLOBS;) {
        i += read_blob(&input, data + i, bytes - i);
    }
    if (input.count > 0) {
        make_layout(&in);
        make_layout(&out);
        write_input(&in, &input);
        snprintf(from, sizeof from, "%s%s", in.path, tag);
        if (write_anew(&out, from, &options)) {
            make_layout(&again);
            snprintf(from, sizeof from, "%s%s", out.path, tag);
            MUST(write_anew(&again, from, &options));
            judge_same(&out, &again);
            remove_layout(&again);
        }
        remove_layout(&out);
        remove_layout(&in);
    }
    free_input(&input);
    return 0;
}
