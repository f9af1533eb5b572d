/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/split.c - `varve split` and `varve join`: a layer's archive apart, and together again. */
#include "varve/split.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "file_tree.h"
#include "json.h"
#include "output.h"

static volatile sig_atomic_t caught;

static void on_signal(int number) {
    caught = number;
}

/* From here on a signal lets the work end early, and what was begun is taken away. */
static void watch_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaction(numbers[i], &action, NULL);
    }
}

static int exit_of(enum varve_status status) {
    return caught                                                  ? 128 + caught
           : status == VARVE_OK                                    ? EXIT_WELL
           : status == VARVE_MALFORMED || status == VARVE_MISMATCH ? EXIT_FOUND
           : status == VARVE_LIMIT || status == VARVE_UNSUPPORTED  ? EXIT_UNJUDGED
                                                                   : EXIT_FATAL;
}

static void close_input(int fd) {
    if (fd > STDIN_FILENO) {
        close(fd);
    }
}

/* `entry` may be NULL. */
static void say_fault(const char *name, const struct varve_fault *fault, const char *entry) {
    char place[96] = "";
    if (fault->offset_decoded != VARVE_NO_OFFSET) {
        snprintf(place, sizeof place, ", at decoded byte %" PRIu64, fault->offset_decoded);
    } else if (fault->offset_stored != VARVE_NO_OFFSET) {
        snprintf(place, sizeof place, ", at stored byte %" PRIu64, fault->offset_stored);
    }
    complain("%s: %s: %s%s%s%s%s%s", name, fault->code, fault->message, entry ? ": " : "",
             entry ? entry : "", fault->os_errno ? ": " : "",
             fault->os_errno ? strerror(fault->os_errno) : "", place);
}

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
    return !caught && encoder_put(splitting->encoder, data, bytes, false);
}

static enum varve_split_answer take_file(void *cookie, const char *path, uint64_t size_bytes) {
    struct splitting *splitting = cookie;
    (void)size_bytes;
    if (caught) {
        errno = EINTR;
        return VARVE_SPLIT_STOP;
    }
    if (!splitting->has_tree || file_tree_file(&splitting->tree, path)) {
        return VARVE_SPLIT_TAKEN;
    }
    return file_tree_has_no_room(errno) ? VARVE_SPLIT_LEFT : VARVE_SPLIT_STOP;
}

static bool take_content(void *cookie, const void *data, size_t bytes) {
    struct splitting *splitting = cookie;
    return !caught && (!splitting->has_tree || file_tree_write(&splitting->tree, data, bytes));
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
        struct json json = {.out = stdout};
        json_open(&json, NULL, '{');
        json_unsigned(&json, "v", 1);
        json_text(&json, "type", "split");
        json_text(&json, "name", settings->operands[0]);
        json_text(&json, "status", varve_status_name(status));
        json_text(&json, "diffid", diffid);
        json_unsigned(&json, "bytes_decoded", result->decoded_bytes);
        json_bool(&json, "tar", result->is_tar);
        json_unsigned(&json, "entries", result->entry_count);
        json_unsigned(&json, "files", result->file_count);
        json_unsigned(&json, "file_bytes", result->file_bytes);
        json_unsigned(&json, "contents_kept", result->left_count);
        json_close(&json, '}');
        json_line_end(&json);
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
        printf("  %" PRIu64 " contents are kept as bytes: sparse files, paths given twice or of no "
               "file beneath a folder\n",
               result->left_count);
    }
}

/* Both parts get their names, the files first: who sees the data sees the files too. */
static bool commit_split(struct splitting *splitting) {
    if (splitting->has_tree) {
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
    const struct varve_split_options options = {
        .tier = settings->scan.tier, .max_decoded_bytes = settings->scan.max_decoded_bytes};
    struct varve_split_result result;
    splitting->encoder = encoder_open(&gzip, write_output, &splitting->output);
    if (!splitting->encoder) {
        complain("out of memory");
        return EXIT_FATAL;
    }
    watch_signals();
    enum varve_status status = varve_split(&result, fd, 0, UINT64_MAX, &options, &lanes, splitting);
    if (result.complete && !encoder_put(splitting->encoder, NULL, 0, true)) {
        complain("cannot write %s: %s", settings->output, strerror(errno));
        return EXIT_FATAL;
    }
    if (status != VARVE_OK && !caught) {
        say_fault(settings->operands[0], &result.fault, NULL);
        if (result.complete) {
            complain("%s: what follows there is kept as bytes", settings->operands[0]);
        }
    }
    if (!result.complete || caught) {
        return exit_of(status);
    }
    if (!commit_split(splitting)) {
        return EXIT_FATAL;
    }
    if (strcmp(settings->output, "-") != 0) {
        report_split(settings, &result, status);
    }
    return exit_of(status);
}

int run_split(const struct settings *settings) {
    struct splitting splitting = {.output = {.fd = -1, .folder = -1}};
    int code = EXIT_FATAL;
    if (!settings->output) {
        complain("-o FILE is missing; try 'varve split --help'");
        return EXIT_FATAL;
    }
    int fd = open_input(settings->operands[0]);
    if (fd < 0) {
        return EXIT_FATAL;
    }
    if (output_open(&splitting.output, settings->output)) {
        splitting.has_tree = settings->files && file_tree_open(&splitting.tree, settings->files);
        if (!settings->files || splitting.has_tree) {
            code = split(settings, &splitting, fd);
        }
        if (splitting.has_tree) {
            file_tree_drop(&splitting.tree);
        }
        output_drop(&splitting.output);
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
    if (caught) {
        errno = EINTR;
        return false;
    }
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
        struct json json = {.out = stdout};
        json_open(&json, NULL, '{');
        json_unsigned(&json, "v", 1);
        json_text(&json, "type", "joined");
        json_text(&json, "name", settings->output);
        json_text(&json, "diffid", text);
        json_unsigned(&json, "bytes_decoded", result->bytes);
        json_unsigned(&json, "files", result->file_count);
        json_unsigned(&json, "file_bytes", result->file_bytes);
        json_close(&json, '}');
        json_line_end(&json);
        return;
    }
    printf("%s: %" PRIu64 " bytes as a tar; %" PRIu64 " files, %" PRIu64 " bytes\n",
           settings->output, result->bytes, result->file_count, result->file_bytes);
    printf("  diffid    %s\n", text);
}

static int join(const struct settings *settings, struct joining *joining, int fd, int folder) {
    const struct varve_join_options options = {.max_bytes = settings->scan.max_decoded_bytes};
    const struct varve_sha256_options hashing = {.tier = settings->scan.tier};
    struct varve_join_result result;
    joining->encoder = encoder_open(&settings->encoding, write_output, &joining->output);
    if (!joining->encoder || varve_sha256_open(&joining->sha256, &hashing) != VARVE_OK) {
        complain("out of memory, or this CPU has not the tier asked for");
        return EXIT_FATAL;
    }
    varve_sha256_init(&joining->stream);
    watch_signals();
    enum varve_status status = varve_join(&result, fd, folder, &options, take_archive, joining);
    varve_sha256_final(joining->sha256, &joining->stream, keep_digest, joining->diffid);
    varve_sha256_flush(joining->sha256);
    if (status != VARVE_OK && !caught) {
        say_fault(settings->operands[0], &result.fault, result.entry);
    }
    free(result.entry);
    if (status != VARVE_OK) {
        return exit_of(status);
    }
    if (!encoder_put(joining->encoder, NULL, 0, true)) {
        complain("cannot write %s: %s", settings->output, strerror(errno));
        return EXIT_FATAL;
    }
    if (!output_commit(&joining->output)) {
        return EXIT_FATAL;
    }
    if (strcmp(settings->output, "-") != 0) {
        report_join(settings, &result, joining->diffid);
    }
    return exit_of(status);
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
    if (fd >= 0 && folder >= 0 && output_open(&joining.output, settings->output)) {
        code = join(settings, &joining, fd, folder);
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
