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

#include "fault.h"
#include "interrupt.h"
#include "json.h"
#include "varve/budget.h"

#define DEFAULT_MEMORY_BYTES ((uint64_t)1 << 30)

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
                                         .cancelled = interrupted,
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
    bool may_run = varve_tier_may_run(options->tier);
    if (!may_run) {
        complain("this CPU has not the tier asked for; see 'varve --cpu=list'");
    }
    return may_run;
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

static struct varve_fault fault_of(const char *code, const char *message, int os_errno) {
    return (struct varve_fault){.code = code,
                                .message = message,
                                .status = VARVE_ERROR,
                                .os_errno = os_errno,
                                .offset_stored = VARVE_NO_OFFSET,
                                .offset_decoded = VARVE_NO_OFFSET};
}

struct varve_fault normalize_write_fault(int os_errno) {
    return fault_of("io.write", "what was to be written could not be", os_errno);
}

/* With everything open. */
static void normalize_into(struct rewritten *rewritten, struct writing *writing, int fd,
                           uint64_t offset, uint64_t bytes, int spool,
                           const struct varve_normalize_options *options) {
    varve_sha256_init(&writing->stream);
    enum varve_status status =
        varve_normalize(&rewritten->tar, fd, offset, bytes, spool, options, write_tar, writing);
    rewritten->fault = rewritten->tar.fault;
    if (status == VARVE_OK && !encoder_put(writing->encoder, NULL, 0, true)) {
        rewritten->fault = normalize_write_fault(errno);
        status = VARVE_ERROR;
    }
    varve_sha256_final(writing->sha256, &writing->stream, keep_digest, rewritten->digest);
    varve_sha256_flush(writing->sha256);
    rewritten->bytes = writing->bytes;
    rewritten->status = status;
}

enum varve_status normalize_blob(struct rewritten *rewritten, struct output *output, int fd,
                                 uint64_t offset, uint64_t bytes,
                                 const struct varve_normalize_options *options,
                                 const struct encoding *encoding) {
    struct writing writing = {.output = output};
    *rewritten = (struct rewritten){
        .status = VARVE_ERROR,
        .fault = fault_of("memory.exhausted", "the operating system refused memory", 0)};
    int spool = output_spool(output);
    if (spool < 0) {
        rewritten->fault = normalize_write_fault(errno);
        return VARVE_ERROR;
    }
    writing.encoder = encoder_open(encoding, write_blob, &writing);
    if (writing.encoder && varve_sha256_open(&writing.sha256, NULL) == VARVE_OK) {
        normalize_into(rewritten, &writing, fd, offset, bytes, spool, options);
    }
    encoder_close(writing.encoder);
    varve_sha256_close(writing.sha256);
    close(spool);
    return rewritten->status;
}

/* ---- One layer ---- */

void normalize_digest(char text[72], const uint8_t digest[VARVE_SHA256_BYTES]) {
    char whole[VARVE_RUNG_TEXT_BYTES];
    varve_rung_text(whole, VARVE_RUNG_BLOB, digest);
    snprintf(text, 72, "%.71s", whole);
}

void normalize_warn(const char *name, const struct varve_normalized *tar) {
    char security[128] = "";
    if (tar->overruled_security_count) {
        snprintf(security, sizeof security,
                 "; of %" PRIu64 " of them setuid, setgid or sticky bits, or capabilities, change",
                 tar->overruled_security_count);
    }
    if (tar->overruled_count) {
        complain("%s: %" PRIu64 " hard links disagree with their file, and get its mode, owner and "
                 "the rest (finding hardlink.meta; the first one's header is at decoded byte "
                 "%" PRIu64 ")%s",
                 name, tar->overruled_count, tar->overruled_offset, security);
    }
}

/* What was done, on stdout, unless the layer itself goes there. */
static void report(const struct settings *settings, const struct rewritten *rewritten) {
    char blob[72];
    char before[72];
    char after[72];
    normalize_digest(blob, rewritten->digest);
    normalize_digest(before, rewritten->tar.diffid);
    normalize_digest(after, rewritten->tar.tar_digest);
    if (settings->json) {
        struct json json;
        json_record_begin(&json, stdout, "normalized");
        json_text(&json, "name", settings->operands[0]);
        json_text(&json, "diffid_read", before);
        json_text(&json, "blob", blob);
        json_text(&json, "diffid", after);
        json_unsigned(&json, "bytes_stored", rewritten->bytes);
        json_unsigned(&json, "bytes_decoded", rewritten->tar.tar_bytes);
        json_unsigned(&json, "entries", rewritten->tar.entry_count);
        json_bool(&json, "order_significant", rewritten->tar.order_significant);
        json_unsigned(&json, "links_overruled", rewritten->tar.overruled_count);
        json_unsigned(&json, "links_overruled_security", rewritten->tar.overruled_security_count);
        json_record_end(&json);
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

static int normalize_layer(const struct settings *settings,
                           const struct varve_normalize_options *options) {
    struct output output;
    struct rewritten rewritten;
    const char *name = settings->operands[0];
    int fd = open_layer(name);
    if (fd < 0) {
        return EXIT_FATAL;
    }
    int code = EXIT_FATAL;
    if (output_open(&output, settings->output)) {
        enum varve_status status =
            normalize_blob(&rewritten, &output, fd, 0, UINT64_MAX, options, &settings->encoding);
        code = fault_exit(&rewritten.fault, status);
        if (status != VARVE_OK) {
            if (rewritten.fault.code && !interrupted()) {
                fault_say(name, &rewritten.fault, NULL);
            }
            output_drop(&output);
        } else if (!output_commit(&output)) {
            code = EXIT_FATAL;
        } else {
            normalize_warn(name, &rewritten.tar);
            if (strcmp(settings->output, "-") != 0) {
                report(settings, &rewritten);
            }
        }
    }
    close_input(fd);
    return code;
}

static bool is_kind(const char *kind, const char *name) {
    return kind && strcmp(kind, name) == 0;
}

/* Whether a layer becomes a layer, or (*layout) a layout a layout. False, after a message. */
static bool check_operands(const struct settings *settings, bool *layout) {
    const char *from = settings->operands[0];
    const char *to = settings->output;
    const char *from_kind = source_kind_of(from);
    const char *to_kind = source_kind_of(to);
    struct stat status;
    *layout = is_kind(from_kind, "oci");
    if (from_kind && !*layout && !is_kind(from_kind, "blob")) {
        complain("%s: a layer file is taken, or an OCI image layout (oci:DIR[:TAG]), and no %s:",
                 from, from_kind);
        return false;
    }
    if (to_kind && !is_kind(to_kind, "oci")) {
        complain("-o %s: a file is written, or an OCI image layout (oci:OUT), and no %s:", to,
                 to_kind);
        return false;
    }
    if (!from_kind && is_kind(to_kind, "oci") && stat(from, &status) == 0 &&
        S_ISDIR(status.st_mode)) {
        complain("%s is a folder: of a layout write oci:%s", from, from);
        return false;
    }
    if (*layout != is_kind(to_kind, "oci")) {
        complain("a layout becomes a layout, a layer a layer: %s is %s, %s is not", from,
                 *layout ? "oci:..." : "a layer", to);
        return false;
    }
    return true;
}

int run_normalize(const struct settings *settings) {
    static const size_t count = sizeof "oci:" - 1;
    struct varve_normalize_options options;
    bool layout = false;
    if (!settings->output) {
        complain("-o is missing; try 'varve normalize --help'");
        return EXIT_FATAL;
    }
    if (!normalize_options(&options, settings)) {
        return EXIT_FATAL;
    }
    if (!check_operands(settings, &layout)) {
        return EXIT_FATAL;
    }
    uint64_t memory = settings->scan.memory_bytes;
    if (varve_budget_open(&options.budget, memory ? memory : DEFAULT_MEMORY_BYTES) != VARVE_OK) {
        complain("out of memory");
        return EXIT_FATAL;
    }
    interrupt_watch();
    int code = layout ? normalize_layout(settings, &options, settings->operands[0] + count,
                                         settings->output + count)
                      : normalize_layer(settings, &options);
    varve_budget_close(options.budget);
    return code;
}
