/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/split.c - `varve split` and `varve join`: a layer's archive apart, and together again. */
#include "varve/split.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "file_tree.h"
#include "interrupt.h"
#include "json.h"
#include "output.h"

/* Compressed bytes on their way to the file. */
static bool write_output(void *cookie, const void *data, size_t bytes) {
    return output_write(cookie, data, bytes);
}

static void put_digest(char text[72], const uint8_t digest[VARVE_SHA256_BYTES]) {
    char whole[VARVE_RUNG_TEXT_BYTES];
    varve_rung_text(whole, VARVE_RUNG_DIFFID, digest);
    snprintf(text, 72, "%.71s", whole);
}

/* ---- Apart ---- */

struct splitting {
    struct output output;
    struct encoder *encoder;
    struct file_tree tree;
    bool has_tree;
};

static bool take_header(void *cookie, const void *data, size_t bytes) {
    struct splitting *splitting = cookie;
    return encoder_put(splitting->encoder, data, bytes, false);
}

static enum varve_split_answer take_file(void *cookie, const char *path, uint64_t size_bytes) {
    struct splitting *splitting = cookie;
    (void)size_bytes;
    if (!splitting->has_tree || file_tree_file(&splitting->tree, path)) {
        return VARVE_SPLIT_TAKEN;
    }
    return file_tree_has_no_room(errno) ? VARVE_SPLIT_LEFT : VARVE_SPLIT_STOP;
}

static bool take_content(void *cookie, const void *data, size_t bytes) {
    struct splitting *splitting = cookie;
    return !splitting->has_tree || file_tree_write(&splitting->tree, data, bytes);
}

static bool end_file(void *cookie) {
    struct splitting *splitting = cookie;
    return !splitting->has_tree || file_tree_file_end(&splitting->tree);
}

static void report_split(const struct settings *settings, const struct varve_split_result *result,
                         enum varve_status status) {
    char diffid[72];
    put_digest(diffid, result->diffid);
    if (settings->json) {
        struct json json;
        json_record_begin(&json, stdout, "split");
        json_text(&json, "name", settings->operands[0]);
        json_text(&json, "status", varve_status_name(status));
        json_text(&json, "diffid", diffid);
        json_unsigned(&json, "bytes_decoded", result->decoded_bytes);
        json_bool(&json, "tar", result->is_tar);
        json_unsigned(&json, "entries", result->entry_count);
        json_unsigned(&json, "files", result->file_count);
        json_unsigned(&json, "file_bytes", result->file_bytes);
        json_unsigned(&json, "contents_kept", result->left_count);
        json_record_end(&json);
        return;
    }
    printf("%s: %" PRIu64 " entries; %" PRIu64 " files, %" PRIu64 " bytes%s%s\n", settings->output,
           result->entry_count, result->file_count, result->file_bytes,
           settings->files ? ", in " : " (not written)", settings->files ? settings->files : "");
    printf("  diffid    %s\n", diffid);
    if (!result->is_tar) {
        puts("  no archive: all of it is kept as bytes");
    }
    if (result->left_count) {
        printf("  %" PRIu64
               " contents are kept as bytes: sparse files, paths given twice, too deep "
               "or of no file beneath a folder\n",
               result->left_count);
    }
}

/* Both parts get their names, the files first: who sees the data sees the files too. What can fail
 * of the data is done before. */
static bool commit_split(struct splitting *splitting) {
    if (splitting->has_tree) {
        if (!output_prepare(&splitting->output)) {
            return false;
        }
        splitting->has_tree = false;
        if (!file_tree_commit(&splitting->tree)) {
            output_drop(&splitting->output);
            return false;
        }
    }
    return output_commit(&splitting->output);
}

static int split(const struct settings *settings, struct splitting *splitting, int fd) {
    static const struct encoding gzip = {ENCODE_GZIP, 6};
    static const struct varve_split_lanes lanes = {take_header, take_file, take_content, end_file};
    const struct varve_split_options options = {.tier = settings->scan.tier,
                                                .max_decoded_bytes =
                                                    settings->scan.max_decoded_bytes,
                                                .cancelled = interrupted};
    struct varve_split_result result;
    splitting->encoder = encoder_open(&gzip, write_output, &splitting->output);
    if (!splitting->encoder) {
        complain("out of memory");
        return EXIT_FATAL;
    }
    enum varve_status status = varve_split(&result, fd, 0, UINT64_MAX, &options, &lanes, splitting);
    bool whole = !result.complete || encoder_put(splitting->encoder, NULL, 0, true);
    if (interrupted()) {
        return 128 + interrupt_signal();
    }
    if (!whole) {
        complain("cannot write %s: %s", settings->output, strerror(errno));
        return EXIT_FATAL;
    }
    int code = fault_exit(&result.fault, status);
    if (status != VARVE_OK) {
        fault_say(settings->operands[0], &result.fault, NULL);
        if (result.complete) {
            complain("%s: what follows there is kept as bytes", settings->operands[0]);
        }
    }
    if (!result.complete) {
        return code;
    }
    if (!commit_split(splitting)) {
        return EXIT_FATAL;
    }
    if (strcmp(settings->output, "-") != 0) {
        report_split(settings, &result, status);
    }
    return code;
}

/* The data would take the place of the layer it is to be made of, or of the folder of files. */
static bool parts_clash(const struct settings *settings, const struct splitting *splitting,
                        int fd) {
    const struct output *output = &splitting->output;
    if (!output_spares(output, fd, "the layer itself")) {
        return true;
    }
    if (splitting->has_tree && output->folder >= 0 &&
        file_tree_has_place(&splitting->tree, output->folder, output->name)) {
        complain("cannot write %s: it is in the way of the folder %s", settings->output,
                 settings->files);
        return true;
    }
    return false;
}

int run_split(const struct settings *settings) {
    struct splitting splitting = {.output = {.fd = -1, .folder = -1}};
    int code = EXIT_FATAL;
    if (!settings->output) {
        complain("-o FILE is missing; try 'varve split --help'");
        return EXIT_FATAL;
    }
    int fd = open_layer(settings->operands[0]);
    if (fd < 0) {
        return EXIT_FATAL;
    }
    interrupt_watch();
    if (output_open(&splitting.output, settings->output)) {
        splitting.has_tree = settings->files && file_tree_open(&splitting.tree, settings->files);
        if ((!settings->files || splitting.has_tree) && !parts_clash(settings, &splitting, fd)) {
            code = split(settings, &splitting, fd);
        }
        output_drop(&splitting.output); /* first: to take a tree away wants descriptors */
        if (splitting.has_tree) {
            file_tree_drop(&splitting.tree);
        }
    }
    encoder_close(splitting.encoder);
    close_input(fd);
    return code;
}

/* ---- Together ---- */

struct joining {
    struct output output;
    struct encoder *encoder;
    struct varve_sha256 *sha256;
    struct varve_sha256_stream stream;
    uint8_t diffid[VARVE_SHA256_BYTES];
};

static bool take_archive(void *cookie, const void *data, size_t bytes) {
    struct joining *joining = cookie;
    varve_sha256_update(joining->sha256, &joining->stream, data, bytes);
    varve_sha256_flush(joining->sha256);
    return encoder_put(joining->encoder, data, bytes, false);
}

static void keep_digest(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(cookie, digest, VARVE_SHA256_BYTES);
}

static void report_join(const struct settings *settings, const struct varve_join_result *result,
                        const uint8_t diffid[VARVE_SHA256_BYTES]) {
    char text[72];
    put_digest(text, diffid);
    if (settings->json) {
        struct json json;
        json_record_begin(&json, stdout, "joined");
        json_text(&json, "name", settings->output);
        json_text(&json, "diffid", text);
        json_unsigned(&json, "bytes_decoded", result->bytes);
        json_unsigned(&json, "files", result->file_count);
        json_unsigned(&json, "file_bytes", result->file_bytes);
        json_record_end(&json);
        return;
    }
    printf("%s: %" PRIu64 " bytes as a tar; %" PRIu64 " files, %" PRIu64 " bytes\n",
           settings->output, result->bytes, result->file_count, result->file_bytes);
    printf("  diffid    %s\n", text);
}

static int join(const struct settings *settings, struct joining *joining, int fd, int folder) {
    const struct varve_join_options options = {.max_bytes = settings->scan.max_decoded_bytes,
                                               .cancelled = interrupted};
    const struct varve_sha256_options hashing = {.tier = settings->scan.tier};
    struct varve_join_result result;
    joining->encoder = encoder_open(&settings->encoding, write_output, &joining->output);
    if (!joining->encoder || varve_sha256_open(&joining->sha256, &hashing) != VARVE_OK) {
        complain("out of memory, or this CPU has not the tier asked for");
        return EXIT_FATAL;
    }
    varve_sha256_init(&joining->stream);
    enum varve_status status = varve_join(&result, fd, folder, &options, take_archive, joining);
    varve_sha256_final(joining->sha256, &joining->stream, keep_digest, joining->diffid);
    varve_sha256_flush(joining->sha256);
    bool whole = status != VARVE_OK || encoder_put(joining->encoder, NULL, 0, true);
    if (status != VARVE_OK && !interrupted()) {
        fault_say(settings->operands[0], &result.fault, result.entry);
    }
    free(result.entry);
    if (interrupted()) {
        return 128 + interrupt_signal();
    }
    if (status != VARVE_OK) {
        return fault_exit(&result.fault, status);
    }
    if (!whole) {
        complain("cannot write %s: %s", settings->output, strerror(errno));
        return EXIT_FATAL;
    }
    if (!output_commit(&joining->output)) {
        return EXIT_FATAL;
    }
    if (strcmp(settings->output, "-") != 0) {
        report_join(settings, &result, joining->diffid);
    }
    return EXIT_WELL;
}

int run_join(const struct settings *settings) {
    struct joining joining = {.output = {.fd = -1, .folder = -1}};
    int code = EXIT_FATAL;
    if (!settings->output) {
        complain("-o FILE is missing; try 'varve join --help'");
        return EXIT_FATAL;
    }
    int fd = open_input(settings->operands[0]);
    int folder = open(settings->operands[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        complain("cannot read %s: %s", settings->operands[1], strerror(errno));
    }
    interrupt_watch();
    if (fd >= 0 && folder >= 0 && output_open(&joining.output, settings->output)) {
        if (output_spares(&joining.output, fd, "the tar data itself")) {
            code = join(settings, &joining, fd, folder);
        }
        output_drop(&joining.output);
    }
    encoder_close(joining.encoder);
    varve_sha256_close(joining.sha256);
    if (folder >= 0) {
        close(folder);
    }
    close_input(fd);
    return code;
}
