/* SPDX-License-Identifier: Apache-2.0 */
/* src/split.c - an archive parted into what its files hold and the rest.
 *
 * The parser gives data spans that point into the chunk it was fed: whatever of a chunk is no
 * content of a file that was taken is kept as bytes, understood or not. So what the parser does not
 * follow is kept too, and no archive is refused. */
#include "varve/split.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base64.h"
#include "codes.h"
#include "crc64.h"
#include "intake.h"
#include "limits.h"
#include "name_map.h"
#include "path.h"

enum {
    ROOM_BYTES = 131072,
    RAW_BYTES = 196608, /* at most in a line; a multiple of 3 */
    LINES_BYTES = 65536 /* gathered before they are handed on */
};

/* Paths that were given, by a keyed hash. Two that meet by chance only leave a content among the
 * lines that could have been a file. */
struct seen {
    uint64_t *slots; /* 0: free */
    size_t count, room;
    uint64_t key[2];
};

struct text {
    char *bytes;
    size_t count, room;
};

struct splitter {
    struct varve_split_result *result;
    const struct varve_split_options *options;
    const struct varve_split_lanes *lanes;
    void *cookie;
    struct varve_sha256 *sha256;
    struct varve_sha256_stream diffid;
    struct varve_decoder *decoder;
    struct varve_tar *tar;
    struct varve_intake intake;
    struct varve_portion portion;
    struct varve_crc64 crc64;
    struct seen seen;
    struct text lines;
    uint64_t position; /* of the next line */

    const uint8_t *chunk; /* that the parser has */
    size_t chunk_bytes;
    uint64_t chunk_offset; /* decoded */
    uint64_t told;         /* decoded offset up to which all bytes stand in a lane */
    bool parsed;           /* the parser has nothing more to say */
    bool cancelled;

    uint8_t *raw; /* bytes of a line to come */
    size_t raw_bytes;

    char *path,
        *clean; /* of the entry: as the archive has it, and cleaned; with NULs behind them */
    size_t path_bytes, path_room;
    bool in_file; /* its content is taken */
    uint64_t file_crc, file_bytes;
};

/* Keeps the first fault. */
static bool fail(struct splitter *s, struct varve_fault fault) {
    /* Trouble with writing weighs more than what is odd about the layer. */
    if (!s->result->fault.code ||
        (fault.status == VARVE_ERROR && s->result->fault.status != VARVE_ERROR)) {
        s->result->fault = fault;
    }
    return false;
}

static bool fail_code(struct splitter *s, enum varve_code code, int os_errno) {
    struct varve_fault fault = varve_fault_of(code, VARVE_NO_OFFSET);
    fault.os_errno = os_errno;
    return fail(s, fault);
}

/* ---- Lines ---- */

/* Room for so many more bytes; NULL: no memory. */
static char *more(struct text *text, size_t bytes) {
    if (text->count + bytes > text->room) {
        size_t room = 2 * (text->count + bytes);
        char *grown = realloc(text->bytes, room);
        if (!grown) {
            return NULL;
        }
        text->bytes = grown;
        text->room = room;
    }
    return text->bytes + text->count;
}

static bool put(struct text *text, const void *data, size_t bytes) {
    char *to = more(text, bytes);
    if (to) {
        memcpy(to, data, bytes);
        text->count += bytes;
    }
    return to != NULL;
}

static bool put_text(struct text *text, const char *more_text) {
    return put(text, more_text, strlen(more_text));
}

static bool put_base64(struct text *text, const void *data, size_t bytes) {
    char *to = more(text, VARVE_BASE64_BYTES(bytes));
    if (to) {
        varve_base64_encode(to, data, bytes);
        text->count += VARVE_BASE64_BYTES(bytes);
    }
    return to != NULL;
}

static bool put_number(struct text *text, const char *key, uint64_t number) {
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    return put_text(text, key) && put_text(text, digits);
}

/* A string of RFC 8259; it is UTF-8. */
static bool put_string(struct text *text, const char *string, size_t bytes) {
    bool good = put_text(text, "\"");
    for (size_t i = 0; good && i < bytes; i++) {
        uint8_t c = (uint8_t)string[i];
        char escape[8];
        if (c < 0x20) {
            snprintf(escape, sizeof escape, "\\u%04x", c);
            good = put_text(text, escape);
        } else {
            good = (c != '"' && c != '\\') || put_text(text, "\\");
            good = good && put(text, &c, 1);
        }
    }
    return good && put_text(text, "\"");
}

static bool hand_on(struct splitter *s) {
    bool good = s->lines.count == 0 || s->lanes->header(s->cookie, s->lines.bytes, s->lines.count);
    s->lines.count = 0;
    return good || fail_code(s, VARVE_CODE_IO_WRITE, errno);
}

static bool end_line(struct splitter *s, bool good) {
    good = good && put_number(&s->lines, ",\"position\":", s->position++) &&
           put_text(&s->lines, "}\n");
    if (!good) {
        return fail_code(s, VARVE_CODE_NO_MEMORY, 0);
    }
    return s->lines.count < LINES_BYTES || hand_on(s);
}

static bool write_raw(struct splitter *s) {
    if (s->raw_bytes == 0) {
        return true;
    }
    bool good = put_text(&s->lines, "{\"type\":2,\"payload\":\"") &&
                put_base64(&s->lines, s->raw, s->raw_bytes) && put_text(&s->lines, "\"");
    s->raw_bytes = 0;
    return end_line(s, good);
}

/* `crc` big-endian, or NULL: the entry has no content. */
static bool write_file(struct splitter *s, uint64_t bytes, const uint8_t crc[8]) {
    struct varve_bytes path = {(const uint8_t *)s->path, s->path_bytes};
    bool utf8 = varve_path_is_utf8(path);
    struct text *lines = &s->lines;
    bool good = put_text(lines, utf8 ? "{\"type\":1,\"name\":" : "{\"type\":1,\"name_raw\":\"");
    if (utf8) {
        good = good && put_string(lines, s->path, s->path_bytes);
    } else {
        good = good && put_base64(lines, s->path, s->path_bytes) && put_text(lines, "\"");
    }
    if (bytes > 0) {
        good = good && put_number(lines, ",\"size\":", bytes);
    }
    if (crc) {
        good = good && put_text(lines, ",\"payload\":\"") && put_base64(lines, crc, 8) &&
               put_text(lines, "\"");
    } else {
        good = good && put_text(lines, ",\"payload\":null");
    }
    return end_line(s, good);
}

/* ---- Lanes ---- */

/* All of the chunk before a decoded offset that no lane has yet is kept as bytes. */
static bool keep_until(struct splitter *s, uint64_t offset) {
    uint64_t end = s->chunk_offset + s->chunk_bytes;
    if (offset > end) {
        offset = end;
    }
    while (s->told < offset) {
        size_t room = RAW_BYTES - s->raw_bytes;
        size_t count = offset - s->told < room ? (size_t)(offset - s->told) : room;
        memcpy(s->raw + s->raw_bytes, s->chunk + (s->told - s->chunk_offset), count);
        s->raw_bytes += count;
        s->told += count;
        if (s->raw_bytes == RAW_BYTES && !write_raw(s)) {
            return false;
        }
    }
    return true;
}

static bool grow_seen(struct seen *seen) {
    size_t room = seen->room ? 2 * seen->room : 1024;
    uint64_t *slots = calloc(room, sizeof *slots);
    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < seen->room; i++) {
        size_t at = seen->slots[i] & (room - 1);
        while (seen->slots[i] && slots[at]) {
            at = (at + 1) & (room - 1);
        }
        if (seen->slots[i]) {
            slots[at] = seen->slots[i];
        }
    }
    free(seen->slots);
    seen->slots = slots;
    seen->room = room;
    return true;
}

/* *fresh: the path was not there; beyond the limit none is fresh. False: no memory. */
static bool add_seen(struct seen *seen, bool *fresh, const char *path, size_t bytes) {
    uint64_t hash = varve_siphash(seen->key, path, bytes);
    hash += hash == 0;
    *fresh = false;
    if (2 * seen->count >= seen->room && seen->count < VARVE_LIMIT_ENTRIES && !grow_seen(seen)) {
        return false;
    }
    size_t at = hash & (seen->room - 1);
    while (seen->slots[at] && seen->slots[at] != hash) {
        at = (at + 1) & (seen->room - 1);
    }
    if (!seen->slots[at] && seen->count < VARVE_LIMIT_ENTRIES) {
        seen->slots[at] = hash;
        seen->count++;
        *fresh = true;
    }
    return true;
}

static bool grow(char **text, size_t room) {
    char *grown = realloc(*text, room);
    if (grown) {
        *text = grown;
    }
    return grown != NULL;
}

/* Keeps the path and its cleaned form. *good: it can be a file's beneath a folder: no ".." leads
 * out, it is not too deep, and Linux has room for it (NAME_MAX, PATH_MAX). False: no memory. */
static bool take_path(struct splitter *s, bool *good, struct varve_bytes path) {
    if (path.count + 1 > s->path_room) {
        size_t room = 2 * path.count + 256;
        if (!grow(&s->path, room) || !grow(&s->clean, room)) {
            return false;
        }
        s->path_room = room;
    }
    memcpy(s->path, path.bytes, path.count);
    s->path[path.count] = 0;
    s->path_bytes = path.count;
    size_t bytes = varve_path_clean((uint8_t *)s->clean, path);
    s->clean[bytes] = 0;
    *good = bytes < 4096;
    size_t depth = 0;
    for (const char *at = s->clean; *good && *at; at += strspn(at, "/")) {
        size_t count = strcspn(at, "/");
        *good = ++depth <= VARVE_LIMIT_SPLIT_DEPTH && count < 256 &&
                (count != 2 || memcmp(at, "..", 2) != 0);
        at += count;
    }
    return true;
}

static bool begin_file(struct splitter *s, const struct varve_tar_entry *entry) {
    enum varve_split_answer answer =
        s->lanes->file ? s->lanes->file(s->cookie, s->clean, entry->size) : VARVE_SPLIT_TAKEN;
    if (answer == VARVE_SPLIT_STOP) {
        return fail_code(s, VARVE_CODE_IO_WRITE, errno);
    }
    if (answer == VARVE_SPLIT_LEFT) {
        s->result->left_count++;
        return true;
    }
    s->in_file = true;
    s->file_crc = s->file_bytes = 0;
    return keep_until(s, entry->data_offset) && write_raw(s);
}

static bool take_entry(struct splitter *s, const struct varve_tar_entry *entry) {
    bool has_content = entry->size > 0;
    bool good = false;
    bool fresh = false;
    s->result->entry_count++;
    if (!take_path(s, &good, entry->path) ||
        (good && !add_seen(&s->seen, &fresh, s->clean, strlen(s->clean)))) {
        return fail_code(s, VARVE_CODE_NO_MEMORY, 0);
    }
    if (!good || !fresh || (has_content && (entry->typeflag != '0' || entry->sparse))) {
        s->result->left_count += has_content;
        return true;
    }
    if (has_content) {
        return !*s->clean ? (s->result->left_count++, true) : begin_file(s, entry);
    }
    return keep_until(s, entry->data_offset) && write_raw(s) && write_file(s, 0, NULL);
}

static bool take_data(struct splitter *s, const struct varve_tar_item *item) {
    if (!s->in_file) {
        return true;
    }
    assert(s->told == item->data_offset);
    s->told += item->data.count;
    s->file_bytes += item->data.count;
    s->file_crc = varve_crc64_update(&s->crc64, s->file_crc, item->data.bytes, item->data.count);
    return !s->lanes->file || s->lanes->content(s->cookie, item->data.bytes, item->data.count) ||
           fail_code(s, VARVE_CODE_IO_WRITE, errno);
}

/* Where the archive breaks off, the file is as long as what there is of it. */
static bool end_file(struct splitter *s) {
    uint8_t crc[8];
    if (!s->in_file) {
        return true;
    }
    s->in_file = false;
    varve_crc64_bytes(crc, s->file_crc);
    s->result->file_count++;
    s->result->file_bytes += s->file_bytes;
    if (s->lanes->file && !s->lanes->file_end(s->cookie)) {
        return fail_code(s, VARVE_CODE_IO_WRITE, errno);
    }
    return write_file(s, s->file_bytes, crc);
}

/* What the parser cannot follow is a fault of the layer, and stays as bytes. */
static bool stop_parsing(struct splitter *s, bool *broken) {
    struct varve_fault fault = varve_tar_fault(s->tar);
    s->parsed = true;
    if (strcmp(fault.code, varve_code_at(VARVE_CODE_TAR_NOT_TAR)->code) == 0) {
        s->result->is_tar = false;
    } else {
        *broken = fault.status != VARVE_ERROR;
        fail(s, fault);
        if (!*broken) {
            return false;
        }
    }
    return end_file(s);
}

/* One event; *more: another may follow. */
static bool take(struct splitter *s, bool *more_events, bool *broken) {
    struct varve_tar_item item;
    enum varve_tar_event event = varve_tar_next(s->tar, &item);
    *more_events = event != VARVE_TAR_INPUT && event != VARVE_TAR_END && event != VARVE_TAR_FAULT;
    switch (event) {
    case VARVE_TAR_ENTRY:
        return take_entry(s, item.entry);
    case VARVE_TAR_DATA:
        return take_data(s, &item);
    case VARVE_TAR_ENTRY_END:
        return end_file(s);
    case VARVE_TAR_FAULT:
        return stop_parsing(s, broken);
    default:
        s->parsed |= event == VARVE_TAR_END;
        return true;
    }
}

/* The next decoded bytes. */
static bool part(struct splitter *s, bool *broken, const uint8_t *data, size_t bytes, bool last) {
    bool more_events = !s->parsed;
    s->chunk = data;
    s->chunk_bytes = bytes;
    s->chunk_offset = s->result->decoded_bytes;
    s->result->decoded_bytes += bytes;
    if (more_events) {
        varve_tar_feed(s->tar, data, bytes, last);
    }
    while (more_events) {
        if (!take(s, &more_events, broken)) {
            return false;
        }
    }
    return keep_until(s, UINT64_MAX);
}

static void keep_digest(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(cookie, digest, VARVE_SHA256_BYTES);
}

/* Whether the caller wants no more. Then no fault is told. */
static bool is_cancelled(struct splitter *s) {
    s->cancelled = s->options->cancelled && s->options->cancelled();
    if (s->cancelled) {
        s->result->fault = (struct varve_fault){.code = NULL};
    }
    return s->cancelled;
}

static bool read_layer(struct splitter *s, int fd, uint64_t offset, uint64_t bytes) {
    bool broken = false;
    varve_sha256_init(&s->diffid);
    if (!varve_intake_begin(&s->intake, fd, offset, bytes, NULL)) {
        return fail_code(s, VARVE_CODE_IO_READ, errno);
    }
    do {
        struct varve_decode_turn turn;
        if (is_cancelled(s)) {
            return false;
        }
        if (varve_intake_prepare(&s->intake, &s->portion, &turn)) {
            varve_decode(&s->decoder, &turn, 1);
            varve_intake_complete(&s->intake, &s->portion, &turn);
        }
        if (s->portion.read_error) {
            return fail_code(s, VARVE_CODE_IO_READ, s->portion.read_error);
        }
        if (!s->portion.turned) {
            continue;
        }
        enum varve_decode_state state = s->portion.state;
        if (state == VARVE_DECODE_FAULT || state == VARVE_DECODE_WAIT) {
            s->result->fault = varve_decoder_fault(s->decoder); /* worse than the parser's */
            return false;
        }
        varve_sha256_update(s->sha256, &s->diffid, s->portion.made, s->portion.made_bytes);
        bool good =
            part(s, &broken, s->portion.made, s->portion.made_bytes, state == VARVE_DECODE_END);
        varve_sha256_flush(s->sha256);
        if (!good) {
            return false;
        }
    } while (!s->portion.final);
    varve_sha256_final(s->sha256, &s->diffid, keep_digest, s->result->diffid);
    varve_sha256_flush(s->sha256);
    s->result->complete = write_raw(s) && hand_on(s);
    return s->result->complete && !broken;
}

/* ---- All of it ---- */

static bool open_stations(struct splitter *s) {
    const struct varve_split_options *options = s->options;
    struct varve_sha256_options sha256 = {.tier = options->tier};
    struct varve_decode_options decode = {.budget = options->budget,
                                          .max_decoded_bytes = options->max_decoded_bytes,
                                          .tier = options->tier};
    struct varve_tar_options tar = {.budget = options->budget, .tier = options->tier};
    s->portion.stored_room = malloc(ROOM_BYTES);
    s->portion.decoded_room = malloc(ROOM_BYTES);
    s->raw = malloc(RAW_BYTES);
    s->intake.stored_room_bytes = s->intake.decoded_room_bytes = ROOM_BYTES;
    bool good = s->portion.stored_room && s->portion.decoded_room && s->raw &&
                getrandom(s->seen.key, sizeof s->seen.key, 0) == (ssize_t)sizeof s->seen.key &&
                varve_sha256_open(&s->sha256, &sha256) == VARVE_OK &&
                varve_decoder_open(&s->decoder, &decode) == VARVE_OK &&
                varve_tar_open(&s->tar, &tar) == VARVE_OK;
    if (!good) {
        return fail_code(s, VARVE_CODE_NO_MEMORY, 0);
    }
    varve_crc64_init(&s->crc64);
    s->intake.decoder = s->decoder;
    varve_decoder_reset(s->decoder, NULL);
    varve_tar_reset(s->tar, NULL);
    return true;
}

static void close_stations(struct splitter *s) {
    varve_tar_close(s->tar);
    varve_decoder_close(s->decoder);
    varve_sha256_close(s->sha256);
    free(s->portion.stored_room);
    free(s->portion.decoded_room);
    free(s->raw);
    free(s->seen.slots);
    free(s->lines.bytes);
    free(s->path);
    free(s->clean);
}

enum varve_status varve_split(struct varve_split_result *result, int fd, uint64_t offset,
                              uint64_t bytes, const struct varve_split_options *options,
                              const struct varve_split_lanes *lanes, void *cookie) {
    struct splitter s = {.result = result, .options = options, .lanes = lanes, .cookie = cookie};
    *result = (struct varve_split_result){.is_tar = true};
    bool good = open_stations(&s) && read_layer(&s, fd, offset, bytes);
    close_stations(&s);
    return good ? VARVE_OK : s.cancelled ? VARVE_ERROR : result->fault.status;
}
