/* SPDX-License-Identifier: Apache-2.0 */
/* src/join.c - an archive put together again from tar-split's lines and a folder of files. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base64.h"
#include "codes.h"
#include "crc64.h"
#include "file.h"
#include "intake.h"
#include "json_load.h"
#include "limits.h"
#include "oci_json.h"
#include "path.h"
#include "varve/split.h"

enum { ROOM_BYTES = 65536 };

enum { HEADER_BYTES = 512, TYPEFLAG_OFFSET = 156 }; /* POSIX ustar */

struct joiner {
    struct varve_join_result *result;
    uint64_t max_bytes;
    bool checked;
    bool (*cancelled)(void);
    bool stopped; /* by it */
    int folder;
    bool (*sink)(void *cookie, const void *data, size_t bytes);
    void *cookie;
    struct varve_decoder *decoder;
    struct varve_intake intake;
    struct varve_portion portion;
    struct varve_crc64 crc64;
    uint8_t *line; /* that is being gathered */
    size_t line_bytes, line_room;
    int64_t position;             /* of the line */
    uint8_t *room;                /* a file's bytes */
    uint64_t file_offset;         /* where in the archive the file begins */
    uint8_t header[HEADER_BYTES]; /* the last of what lines gave since the last file */
    size_t header_bytes;
};

/* Keeps the first fault. */
static bool fail(struct joiner *j, struct varve_fault fault) {
    if (!j->result->fault.code) {
        j->result->fault = fault;
    }
    return false;
}

static bool fail_code(struct joiner *j, enum varve_code code, int os_errno) {
    struct varve_fault fault = varve_fault_of(code, VARVE_NO_OFFSET);
    fault.os_errno = os_errno;
    fault.offset_stored = VARVE_NO_OFFSET;
    fault.offset_decoded = j->result->bytes;
    return fail(j, fault);
}

/* Of a file; the first keeps its name. True: what is at fault is the folder, and as nothing is
 * written the others are looked at too. */
static bool fail_file(struct joiner *j, const char *name, enum varve_code code, int os_errno) {
    bool bad = varve_code_at(code)->status == VARVE_MISMATCH;
    if (!j->result->fault.code) {
        j->result->entry = strdup(name);
        fail_code(j, code, os_errno);
        j->result->fault.offset_decoded = j->file_offset;
    }
    j->result->bad_count += bad;
    return bad && !j->sink;
}

static bool is_cancelled(struct joiner *j) {
    if (j->cancelled && j->cancelled()) {
        j->stopped = true;
        j->result->fault = (struct varve_fault){.code = NULL};
    }
    return j->stopped;
}

static bool emit(struct joiner *j, const uint8_t *data, size_t bytes) {
    if (is_cancelled(j)) {
        return false;
    }
    if (bytes > j->max_bytes - j->result->bytes) {
        return fail_code(j, VARVE_CODE_DECODE_LIMIT, 0);
    }
    if (bytes > 0 && j->sink && !j->sink(j->cookie, data, bytes)) {
        return fail_code(j, VARVE_CODE_IO_WRITE, errno);
    }
    j->result->bytes += bytes;
    return true;
}

/* ---- Files ---- */

/* A member in base64 as malloc'ed bytes with a NUL behind them. NULL: there is none, or, where
 * *wrong is set from VARVE_CODE_COUNT to another code, it cannot be had. *bytes: 0 where NULL. */
static uint8_t *read_base64(enum varve_code *wrong, size_t *bytes, json_t *object,
                            const char *key) {
    json_t *member = json_object_get(object, key);
    size_t count = json_string_length(member);
    *bytes = 0;
    if (!json_is_string(member)) {
        *wrong = !member || json_is_null(member) ? *wrong : VARVE_CODE_SPLIT_LINE;
        return NULL;
    }
    uint8_t *data = malloc(count + 1);
    if (!data) {
        *wrong = VARVE_CODE_NO_MEMORY;
        return NULL;
    }
    memcpy(data, json_string_value(member), count);
    if (!varve_base64_decode(data, &count)) {
        *wrong = VARVE_CODE_SPLIT_LINE;
        free(data);
        return NULL;
    }
    data[count] = 0;
    *bytes = count;
    return data;
}

/* The path beneath the folder, of the caller's to free. NULL, with what is wrong: it leads upwards
 * or is none, or there is no memory. */
static char *path_of(enum varve_code *wrong, const char *name) {
    struct varve_bytes path = {(const uint8_t *)name, strlen(name)};
    char *clean = malloc(path.count + 1);
    *wrong = VARVE_CODE_NO_MEMORY;
    if (!clean) {
        return NULL;
    }
    clean[varve_path_clean((uint8_t *)clean, path)] = 0;
    bool good = *clean != 0;
    for (const char *at = clean; *at; at += strspn(at, "/")) {
        size_t count = strcspn(at, "/");
        good &= count != 2 || memcmp(at, "..", 2) != 0;
        at += count;
    }
    *wrong = VARVE_CODE_SPLIT_PATH;
    if (!good) {
        free(clean);
        return NULL;
    }
    return clean;
}

/* Not there, or there as something else: that is what the folder has come to, not trouble with
 * reading it. */
static enum varve_code missing_or(const struct varve_fault *fault) {
    if (fault->code == varve_code_at(VARVE_CODE_IO_MISSING)->code ||
        fault->code == varve_code_at(VARVE_CODE_IO_NOT_REGULAR)->code) {
        return VARVE_CODE_SPLIT_MISSING;
    }
    return VARVE_CODE_IO_OPEN;
}

/* What is wrong with the file's content, else VARVE_CODE_COUNT. `crc` as the line has it; NULL: it
 * is not checked. *sent: false where the call must end for another reason. */
static enum varve_code send_content(struct joiner *j, bool *sent, int fd, uint64_t size,
                                    const uint8_t *crc) {
    uint64_t found = 0;
    uint8_t found_bytes[8];
    for (uint64_t at = 0; at < size;) {
        size_t wanted = size - at < ROOM_BYTES ? (size_t)(size - at) : ROOM_BYTES;
        int64_t n = varve_file_fill(fd, true, j->room, wanted, at);
        if (n < (int64_t)wanted) {
            return n < 0 ? VARVE_CODE_IO_READ : VARVE_CODE_SPLIT_SIZE;
        }
        if (crc) {
            found = varve_crc64_update(&j->crc64, found, j->room, wanted);
        }
        *sent = emit(j, j->room, wanted);
        if (!*sent) {
            return VARVE_CODE_COUNT;
        }
        at += wanted;
    }
    varve_crc64_bytes(found_bytes, found);
    return crc && memcmp(crc, found_bytes, sizeof found_bytes) != 0 ? VARVE_CODE_SPLIT_CONTENT
                                                                    : VARVE_CODE_COUNT;
}

static bool send_file(struct joiner *j, const char *name, const char *path, uint64_t size,
                      const uint8_t *crc) {
    struct varve_fault fault;
    uint64_t there = 0;
    bool sent = true;
    int fd = varve_file_open(&fault, &there, j->folder, path);
    if (fd < 0) {
        return fail_file(j, name, missing_or(&fault), fault.os_errno);
    }
    errno = 0;
    enum varve_code code =
        there == size ? send_content(j, &sent, fd, size, crc) : VARVE_CODE_SPLIT_SIZE;
    int error = code == VARVE_CODE_IO_READ ? errno : 0;
    close(fd);
    if (code != VARVE_CODE_COUNT) {
        return fail_file(j, name, code, error);
    }
    j->result->file_count += sent;
    j->result->file_bytes += sent ? size : 0;
    return sent;
}

/* The end of what a line gave may be the header of the file that comes next. */
static void keep_header(struct joiner *j, const uint8_t *data, size_t bytes) {
    size_t n = bytes < HEADER_BYTES ? bytes : HEADER_BYTES;
    size_t keep = HEADER_BYTES - n < j->header_bytes ? HEADER_BYTES - n : j->header_bytes;
    memmove(j->header, j->header + j->header_bytes - keep, keep);
    memcpy(j->header + keep, data + bytes - n, n);
    j->header_bytes = keep + n;
}

/* True where the header before is one that no content follows, whatever size it claims: a link, a
 * device, a folder (POSIX ustar), or one of old that ends in a slash, a pipe. */
static bool has_no_content(const struct joiner *j, const char *name) {
    uint8_t type = j->header_bytes == HEADER_BYTES ? j->header[TYPEFLAG_OFFSET] : '0';
    size_t bytes = name ? strlen(name) : 0;
    return (type >= '1' && type <= '6') || (type == 0 && bytes > 0 && name[bytes - 1] == '/');
}

/* The name of a line's file, malloc'ed: name_raw's, or where there is none or an empty one, as Go
 * would write none, name's. NULL with what is wrong. */
static char *read_name(enum varve_code *wrong, json_t *object) {
    const char *text = varve_json_string(json_object_get(object, "name"));
    size_t bytes = 0;
    char *name = (char *)read_base64(wrong, &bytes, object, "name_raw");
    if (*wrong == VARVE_CODE_COUNT && bytes == 0 && text) {
        free(name);
        name = strdup(text);
        *wrong = name ? VARVE_CODE_COUNT : VARVE_CODE_NO_MEMORY;
    } else if (*wrong == VARVE_CODE_COUNT && (bytes == 0 || strlen(name) != bytes)) {
        *wrong = VARVE_CODE_SPLIT_LINE;
    }
    if (*wrong != VARVE_CODE_COUNT) {
        free(name);
        return NULL;
    }
    return name;
}

/* The bytes of a file that a line names. `crc`: eight bytes, or NULL where the line has none. */
static bool replay_content(struct joiner *j, const char *name, uint64_t size, const uint8_t *crc) {
    enum varve_code wrong;
    char *path = path_of(&wrong, name);
    bool good = path                             ? send_file(j, name, path, size, crc)
                : wrong == VARVE_CODE_SPLIT_PATH ? fail_file(j, name, wrong, 0)
                                                 : fail_code(j, wrong, 0);
    free(path);
    return good;
}

/* tar-split writes lines of a size and of no bytes' CRC for links, pipes and devices whose headers
 * claim a size: they give no bytes. A file's CRC can be zero, too. */
static bool replay_file(struct joiner *j, json_t *object) {
    json_t *size = json_object_get(object, "size");
    int64_t bytes = json_integer_value(size);
    static const uint8_t nothing[8];
    size_t crc_bytes = 0;
    j->file_offset = j->result->bytes;
    if ((size && !json_is_integer(size)) || bytes < 0) {
        return fail_code(j, VARVE_CODE_SPLIT_LINE, 0);
    }
    if (bytes == 0) {
        return true;
    }
    enum varve_code wrong = VARVE_CODE_COUNT;
    char *name = read_name(&wrong, object);
    uint8_t *crc = name ? read_base64(&wrong, &crc_bytes, object, "payload") : NULL;
    if (wrong == VARVE_CODE_COUNT && j->checked && crc_bytes != 8) {
        wrong = VARVE_CODE_SPLIT_LINE;
    }
    bool good = true;
    if (wrong != VARVE_CODE_COUNT) {
        good = fail_code(j, wrong, 0);
    } else if (crc_bytes != 8 || memcmp(crc, nothing, 8) != 0 || !has_no_content(j, name)) {
        good = replay_content(j, name, (uint64_t)bytes, j->checked ? crc : NULL);
    }
    free(crc);
    free(name);
    return good;
}

/* ---- Lines ---- */

static bool replay_bytes(struct joiner *j, json_t *object) {
    size_t bytes = 0;
    json_t *payload = json_object_get(object, "payload");
    if (json_is_null(payload)) {
        return true; /* as Go writes no bytes */
    }
    enum varve_code wrong = VARVE_CODE_SPLIT_LINE;
    uint8_t *data = read_base64(&wrong, &bytes, object, "payload");
    bool good = data ? emit(j, data, bytes) : fail_code(j, wrong, 0);
    if (data) {
        keep_header(j, data, bytes);
    }
    free(data);
    return good;
}

/* Whether a line of JSON holds no more values than it may: what is not text and begins one is
 * counted, before anything is made of it. */
static bool is_small(const uint8_t *line, size_t bytes) {
    size_t values = 1;
    bool text = false;
    for (size_t i = 0; i < bytes; i++) {
        if (!text) {
            text = line[i] == '"';
            values += line[i] == ',' || line[i] == '[' || line[i] == '{';
        } else if (line[i] == '\\') {
            i++;
        } else {
            text = line[i] != '"';
        }
    }
    return values <= VARVE_LIMIT_TAR_SPLIT_VALUES;
}

static bool replay_line(struct joiner *j) {
    bool no_memory = false;
    if (!is_small(j->line, j->line_bytes)) {
        return fail_code(j, VARVE_CODE_SPLIT_LINE_LIMIT, 0);
    }
    json_t *object =
        varve_json_parse(j->line, j->line_bytes, JSON_REJECT_DUPLICATES, NULL, &no_memory);
    json_t *position = json_object_get(object, "position");
    int64_t type = json_integer_value(json_object_get(object, "type"));
    bool good = false;
    if (no_memory) {
        fail_code(j, VARVE_CODE_NO_MEMORY, 0);
    } else if (position &&
               (!json_is_integer(position) || json_integer_value(position) != j->position)) {
        fail_code(j, VARVE_CODE_SPLIT_POSITION, 0);
    } else if (type == 1) {
        good = replay_file(j, object);
        j->header_bytes = 0;
    } else if (type == 2) {
        good = replay_bytes(j, object);
    } else {
        fail_code(j, VARVE_CODE_SPLIT_LINE, 0);
    }
    json_decref(object);
    j->line_bytes = 0;
    j->position++;
    return good;
}

/* Decoded bytes: lines, perhaps cut anywhere. */
static bool take_bytes(struct joiner *j, const uint8_t *data, size_t bytes) {
    while (bytes > 0) {
        const uint8_t *end = memchr(data, '\n', bytes);
        size_t count = end ? (size_t)(end - data) : bytes;
        size_t wanted = j->line_bytes + count;
        if (wanted > VARVE_LIMIT_TAR_SPLIT_LINE_BYTES) {
            return fail_code(j, VARVE_CODE_SPLIT_LINE_LIMIT, 0);
        }
        if (wanted > j->line_room) {
            uint8_t *grown = realloc(j->line, 2 * wanted);
            if (!grown) {
                return fail_code(j, VARVE_CODE_NO_MEMORY, 0);
            }
            j->line = grown;
            j->line_room = 2 * wanted;
        }
        if (count > 0) {
            memcpy(j->line + j->line_bytes, data, count);
            j->line_bytes = wanted;
        }
        if (end && wanted > 0 && !replay_line(j)) {
            return false;
        }
        count += end != NULL;
        data += count;
        bytes -= count;
    }
    return true;
}

static bool replay_all(struct joiner *j, int fd) {
    if (!varve_intake_begin(&j->intake, fd, 0, UINT64_MAX, NULL)) {
        return fail_code(j, VARVE_CODE_IO_READ, errno);
    }
    do {
        struct varve_decode_turn turn;
        if (is_cancelled(j)) {
            return false;
        }
        if (varve_intake_prepare(&j->intake, &j->portion, &turn)) {
            varve_decode(&j->decoder, &turn, 1);
            varve_intake_complete(&j->intake, &j->portion, &turn);
        }
        if (j->portion.read_error) {
            return fail_code(j, VARVE_CODE_IO_READ, j->portion.read_error);
        }
        if (!j->portion.turned) {
            continue;
        }
        if (!take_bytes(j, j->portion.made, j->portion.made_bytes)) {
            return false;
        }
        if (j->portion.state == VARVE_DECODE_FAULT || j->portion.state == VARVE_DECODE_WAIT) {
            return fail(j, varve_decoder_fault(j->decoder));
        }
    } while (!j->portion.final);
    if (j->line_bytes > 0 && !replay_line(j)) {
        return false;
    }
    /* Go's gzip, which the stores read it with, takes nothing behind the last member. */
    return varve_decoder_info(j->decoder).trailing_offset == VARVE_NO_OFFSET ||
           fail_code(j, VARVE_CODE_SPLIT_LINE, 0);
}

enum varve_status varve_join(struct varve_join_result *result, int fd, int folder,
                             const struct varve_join_options *options,
                             bool (*sink)(void *cookie, const void *data, size_t bytes),
                             void *cookie) {
    struct joiner *j = calloc(1, sizeof *j);
    *result = (struct varve_join_result){.entry = NULL};
    if (!j) {
        result->fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
        return VARVE_ERROR;
    }
    j->result = result;
    j->max_bytes = options->max_bytes ? options->max_bytes : VARVE_LIMIT_DECODED_BYTES;
    j->checked = !options->unchecked;
    j->cancelled = options->cancelled;
    j->folder = folder;
    j->sink = sink;
    j->cookie = cookie;
    j->intake.stored_room_bytes = j->intake.decoded_room_bytes = ROOM_BYTES;
    j->portion.stored_room = malloc(ROOM_BYTES);
    j->portion.decoded_room = malloc(ROOM_BYTES);
    j->room = malloc(ROOM_BYTES);
    if (j->portion.stored_room && j->portion.decoded_room && j->room &&
        varve_decoder_open(&j->decoder, NULL) == VARVE_OK) {
        varve_crc64_init(&j->crc64);
        j->intake.decoder = j->decoder;
        varve_decoder_reset(j->decoder, NULL);
        result->complete = replay_all(j, fd);
    } else {
        fail_code(j, VARVE_CODE_NO_MEMORY, 0);
    }
    enum varve_status status = j->stopped           ? VARVE_ERROR
                               : result->fault.code ? result->fault.status
                                                    : VARVE_OK;
    varve_decoder_close(j->decoder);
    free(j->portion.stored_room);
    free(j->portion.decoded_room);
    free(j->room);
    free(j->line);
    free(j);
    return status;
}
