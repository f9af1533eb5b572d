/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/normalize.c - `varve normalize`: a layer written anew. */
#include "normalize.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"

static bool read_epoch(int64_t *seconds, const char *text) {
    char *end = NULL;
    errno = 0;
    *seconds = strtoll(text, &end, 10);
    return end != text && !*end && !errno;
}

bool normalize_options(struct varve_normalize_options *options, const struct settings *settings) {
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    *options =
        (struct varve_normalize_options){.strength = settings->strength,
                                         .has_clamp = settings->has_mtime,
                                         .clamp_seconds = settings->mtime,
                                         .has_uid = settings->has_uid,
                                         .has_gid = settings->has_gid,
                                         .uid = settings->uid,
                                         .gid = settings->gid,
                                         .tier = settings->scan.tier,
                                         .max_decoded_bytes = settings->scan.max_decoded_bytes};
    if (!settings->has_mtime && epoch && *epoch) {
        options->has_clamp = read_epoch(&options->clamp_seconds, epoch);
        if (!options->has_clamp) {
            complain("SOURCE_DATE_EPOCH is no number of seconds: %s", epoch);
            return false;
        }
    }
    if (settings->strength < VARVE_RUNG_ENCODING || settings->strength > VARVE_RUNG_TIMES) {
        complain("--rung is encoding, order, names or times");
        return false;
    }
    return true;
}

/* Compressed bytes on their way to the file. */
struct writing {
    struct output *output;
    struct encoder *encoder;
    struct varve_sha256 *sha256;
    struct varve_sha256_stream stream;
    uint64_t bytes;
};

static bool write_blob(void *cookie, const void *data, size_t bytes) {
    struct writing *writing = cookie;
    varve_sha256_update(writing->sha256, &writing->stream, data, bytes);
    varve_sha256_flush(writing->sha256);
    writing->bytes += bytes;
    return output_write(writing->output, data, bytes);
}

static bool write_tar(void *cookie, const void *data, size_t bytes) {
    struct writing *writing = cookie;
    return encoder_put(writing->encoder, data, bytes, false);
}

static void keep_digest(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(cookie, digest, VARVE_SHA256_BYTES);
}

static void say_fault(const char *name, const struct varve_fault *fault) {
    char place[96] = "";
    if (fault->offset_decoded != VARVE_NO_OFFSET) {
        snprintf(place, sizeof place, ", at decoded byte %" PRIu64, fault->offset_decoded);
    } else if (fault->offset_stored != VARVE_NO_OFFSET) {
        snprintf(place, sizeof place, ", at stored byte %" PRIu64, fault->offset_stored);
    }
    complain("%s: %s: %s%s%s%s", name, fault->code, fault->message, fault->os_errno ? ": " : "",
             fault->os_errno ? strerror(fault->os_errno) : "", place);
}

enum varve_status normalize_blob(struct rewritten *rewritten, struct output *output, int fd,
                                 uint64_t offset, uint64_t bytes, const char *name,
                                 const struct varve_normalize_options *options,
                                 const struct encoding *encoding) {
    struct writing writing = {.output = output};
    struct varve_fault memory = {.code = "memory.exhausted",
                                 .message = "the operating system refused memory",
                                 .status = VARVE_ERROR,
                                 .offset_stored = VARVE_NO_OFFSET,
                                 .offset_decoded = VARVE_NO_OFFSET};
    struct varve_fault fault = memory;
    int spool = output_spool(output);
    enum varve_status status = VARVE_ERROR;
    if (spool < 0) {
        return status;
    }
    writing.encoder = encoder_open(encoding, write_blob, &writing);
    if (writing.encoder && varve_sha256_open(&writing.sha256, NULL) == VARVE_OK) {
        varve_sha256_init(&writing.stream);
        status = varve_normalize(&rewritten->tar, fd, offset, bytes, spool, options, write_tar,
                                 &writing);
        fault = rewritten->tar.fault;
        if (status == VARVE_OK && !encoder_put(writing.encoder, NULL, 0, true)) {
            fault = (struct varve_fault){.code = "io.write",
                                         .message = "it could not be written",
                                         .status = VARVE_ERROR,
                                         .os_errno = errno,
                                         .offset_stored = VARVE_NO_OFFSET,
                                         .offset_decoded = VARVE_NO_OFFSET};
            status = VARVE_ERROR;
        }
        varve_sha256_final(writing.sha256, &writing.stream, keep_digest, rewritten->digest);
        varve_sha256_flush(writing.sha256);
        rewritten->bytes = writing.bytes;
    }
    if (status != VARVE_OK) {
        say_fault(name, &fault);
    }
    encoder_close(writing.encoder);
    varve_sha256_close(writing.sha256);
    close(spool);
    return status;
}

int normalize_exit(enum varve_status status) {
    return status == VARVE_OK                                      ? EXIT_WELL
           : status == VARVE_MALFORMED || status == VARVE_MISMATCH ? EXIT_FOUND
           : status == VARVE_LIMIT || status == VARVE_UNSUPPORTED  ? EXIT_UNJUDGED
                                                                   : EXIT_FATAL;
}

static void put_digest(char text[72], const uint8_t digest[VARVE_SHA256_BYTES]) {
    char whole[VARVE_RUNG_TEXT_BYTES];
    varve_rung_text(whole, VARVE_RUNG_BLOB, digest);
    snprintf(text, 72, "%.71s", whole);
}

/* What was done, on stdout, unless the layer itself goes there. */
static void report(const struct settings *settings, const struct rewritten *rewritten) {
    char blob[72];
    char before[72];
    char after[72];
    put_digest(blob, rewritten->digest);
    put_digest(before, rewritten->tar.diffid);
    put_digest(after, rewritten->tar.tar_digest);
    if (settings->json) {
        struct json json = {.out = stdout};
        json_open(&json, NULL, '{');
        json_unsigned(&json, "v", 1);
        json_text(&json, "type", "normalized");
        json_text(&json, "name", settings->operands[0]);
        json_text(&json, "diffid_read", before);
        json_text(&json, "blob", blob);
        json_text(&json, "diffid", after);
        json_unsigned(&json, "bytes_stored", rewritten->bytes);
        json_unsigned(&json, "bytes_decoded", rewritten->tar.tar_bytes);
        json_unsigned(&json, "entries", rewritten->tar.entry_count);
        json_bool(&json, "order_significant", rewritten->tar.order_significant);
        json_close(&json, '}');
        json_line_end(&json);
        return;
    }
    printf("%s: %" PRIu64 " entries, %" PRIu64 " bytes as a tar, %" PRIu64 " stored\n",
           settings->output, rewritten->tar.entry_count, rewritten->tar.tar_bytes,
           rewritten->bytes);
    printf("  blob      %s\n  diffid    %s\n  it was    %s\n", blob, after, before);
    if (rewritten->tar.order_significant) {
        puts("  not sorted: the order of its entries means something (finding order.significant)");
    }
}

/* "-" is standard input. Never blocks on what is no file. */
static int open_layer(const char *path) {
    struct stat status;
    if (strcmp(path, "-") == 0) {
        return STDIN_FILENO;
    }
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        errno = EINVAL;
        fd = -1;
    }
    if (fd < 0) {
        complain("cannot read %s: %s", path,
                 errno == EINVAL ? "not a regular file" : strerror(errno));
    }
    return fd;
}

int run_normalize(const struct settings *settings) {
    struct varve_normalize_options options;
    struct output output;
    struct rewritten rewritten = {.bytes = 0};
    if (!settings->output) {
        complain("-o FILE is missing; try 'varve normalize --help'");
        return EXIT_FATAL;
    }
    if (!normalize_options(&options, settings)) {
        return EXIT_FATAL;
    }
    int fd = open_layer(settings->operands[0]);
    if (fd < 0) {
        return EXIT_FATAL;
    }
    int code = EXIT_FATAL;
    if (output_open(&output, settings->output)) {
        enum varve_status status =
            normalize_blob(&rewritten, &output, fd, 0, UINT64_MAX, settings->operands[0], &options,
                           &settings->encoding);
        code = normalize_exit(status);
        if (status != VARVE_OK) {
            output_drop(&output);
        } else if (!output_commit(&output)) {
            code = EXIT_FATAL;
        } else if (strcmp(settings->output, "-") != 0) {
            report(settings, &rewritten);
        }
    }
    if (fd != STDIN_FILENO) {
        close(fd);
    }
    return code;
}
