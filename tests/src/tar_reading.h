/* SPDX-License-Identifier: Apache-2.0 */
/* tests/src/tar_reading.h - reads a whole tar through the parser and keeps what it said, so that
 * two readings can be compared. */
#ifndef TESTS_TAR_READING_H
#define TESTS_TAR_READING_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "varve/findings.h"
#include "varve/tar.h"

struct seen_entry {
    char *path, *link; /* NUL-terminated copies */
    size_t path_bytes, link_bytes;
    uint8_t typeflag, raw_typeflag;
    uint64_t mode, size;
    int64_t uid, gid, mtime;
    uint32_t nanoseconds;
    size_t xattrs, records;
    bool complete;
    char sha256[65]; /* of the expanded content; "" where it is too large to expand */
};

struct reading {
    struct seen_entry *entries;
    size_t entry_count;
    char *log; /* everything, one line per event, spans joined */
    size_t log_bytes;
    enum varve_tar_event end; /* END or FAULT */
    struct varve_fault fault;
    char *findings; /* "code xCOUNT @OFFSET entry\n" each */
    uint64_t archive_end;
    uint64_t events;
    const char *writer;
    struct varve_tar_traits traits;
};

/* How to cut: piece sizes are asked for one by one; 0 means "all that is left". */
typedef size_t cut_fn(void *cookie, size_t left);

static inline size_t cut_none(void *cookie, size_t left) {
    (void)cookie;
    return left;
}
static inline size_t cut_ones(void *cookie, size_t left) {
    (void)cookie;
    (void)left;
    return 1;
}
static inline size_t cut_random(void *cookie, size_t left) {
    uint64_t *state = cookie;
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    size_t bytes = (size_t)(*state >> 33) % (*state >> 60 < 8 ? 40 : 1500);
    return bytes > left ? left : bytes;
}

struct reading_hash {
    EVP_MD_CTX *context;
    uint64_t expanded;
    bool open;
};

/* Holes beyond this are not expanded. */
#define READING_EXPANDED_MAX ((uint64_t)64 << 20)

static inline void reading_zeros(struct reading_hash *hash, uint64_t bytes) {
    static const uint8_t zeros[4096];
    hash->expanded += bytes;
    while (bytes && hash->expanded <= READING_EXPANDED_MAX) {
        size_t piece = bytes < sizeof zeros ? (size_t)bytes : sizeof zeros;
        EVP_DigestUpdate(hash->context, zeros, piece);
        bytes -= piece;
    }
}

static inline void reading_hex(char text[65], EVP_MD_CTX *context) {
    uint8_t digest[32];
    EVP_DigestFinal_ex(context, digest, NULL);
    for (int i = 0; i < 32; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
}

static inline void log_bytes(FILE *log, const char *name, struct varve_bytes text) {
    fprintf(log, " %s=", name);
    for (size_t i = 0; i < text.count; i++) {
        uint8_t byte = text.bytes[i];
        if (byte > ' ' && byte < 0x7f && byte != '%') {
            fputc(byte, log);
        } else {
            fprintf(log, "%%%02x", byte);
        }
    }
}

static inline void log_pairs(FILE *log, const char *name, const struct varve_tar_pair *pairs,
                             size_t count) {
    for (size_t i = 0; i < count; i++) {
        log_bytes(log, name, pairs[i].key);
        log_bytes(log, "", pairs[i].value);
    }
}

static inline void log_time(FILE *log, const char *name, struct varve_tar_time time) {
    if (time.present) {
        fprintf(log, " %s=%lld.%09u", name, (long long)time.seconds, time.nanoseconds);
    }
}

static inline void log_entry(FILE *log, const struct varve_tar_entry *e) {
    fprintf(log, "entry %c/%02x mode=%llo uid=%lld gid=%lld size=%llu stored=%llu dev=%lld,%lld",
            e->typeflag, e->raw_typeflag, (unsigned long long)e->mode, (long long)e->uid,
            (long long)e->gid, (unsigned long long)e->size, (unsigned long long)e->stored_bytes,
            (long long)e->devmajor, (long long)e->devminor);
    log_bytes(log, "path", e->path);
    log_bytes(log, "link", e->link);
    log_bytes(log, "uname", e->uname);
    log_bytes(log, "gname", e->gname);
    log_time(log, "mtime", e->mtime);
    log_time(log, "atime", e->atime);
    log_time(log, "ctime", e->ctime);
    log_time(log, "creation", e->creation);
    log_pairs(log, "xattr", e->xattrs, e->xattr_count);
    log_pairs(log, "record", e->records, e->record_count);
    if (e->sparse) {
        fprintf(log, " sparse");
        for (size_t i = 0; i < e->segment_count; i++) {
            fprintf(log, " %llu+%llu", (unsigned long long)e->segments[i].offset,
                    (unsigned long long)e->segments[i].bytes);
        }
    }
    fprintf(log, " at %llu %llu %llu\n", (unsigned long long)e->first_offset,
            (unsigned long long)e->header_offset, (unsigned long long)e->data_offset);
}

static inline void keep_entry(struct reading *reading, const struct varve_tar_entry *e) {
    size_t room = reading->entry_count + 1;
    if ((room & (room - 1)) == 0) { /* grows at powers of two */
        reading->entries = realloc(reading->entries, 2 * room * sizeof *reading->entries);
    }
    struct seen_entry *seen = &reading->entries[reading->entry_count++];
    *seen = (struct seen_entry){
        .path = strndup(e->path.count ? (const char *)e->path.bytes : "", e->path.count),
        .path_bytes = e->path.count,
        .link = strndup(e->link.count ? (const char *)e->link.bytes : "", e->link.count),
        .link_bytes = e->link.count,
        .typeflag = e->typeflag,
        .raw_typeflag = e->raw_typeflag,
        .mode = e->mode,
        .size = e->size,
        .uid = e->uid,
        .gid = e->gid,
        .mtime = e->mtime.seconds,
        .nanoseconds = e->mtime.nanoseconds,
        .xattrs = e->xattr_count,
        .records = e->record_count,
    };
}

/* One event into the log. */
static inline void take_event(struct reading *reading, FILE *log, struct reading_hash *hash,
                              enum varve_tar_event event, const struct varve_tar_item *item) {
    struct seen_entry *seen =
        reading->entry_count ? &reading->entries[reading->entry_count - 1] : NULL;
    reading->events++;
    switch (event) {
    case VARVE_TAR_ENTRY:
        log_entry(log, item->entry);
        keep_entry(reading, item->entry);
        EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL);
        hash->expanded = 0;
        break;
    case VARVE_TAR_DATA:
        assert(item->data.count > 0);
        EVP_DigestUpdate(hash->context, item->data.bytes, item->data.count);
        hash->expanded += item->data.count;
        break;
    case VARVE_TAR_HOLE:
        assert(item->hole_bytes > 0);
        reading_zeros(hash, item->hole_bytes);
        break;
    case VARVE_TAR_ENTRY_END:
        assert(seen && hash->expanded == seen->size);
        seen->complete = true;
        if (hash->expanded <= READING_EXPANDED_MAX) {
            reading_hex(seen->sha256, hash->context);
        }
        fprintf(log, "end %llu %s\n", (unsigned long long)hash->expanded, seen->sha256);
        break;
    case VARVE_TAR_GLOBAL:
        fprintf(log, "global");
        log_pairs(log, "record", item->global, item->global_count);
        fprintf(log, "\n");
        break;
    case VARVE_TAR_TRAILER:
        if (!hash->open) {
            hash->open = true;
            fprintf(log, "trailer @%llu", (unsigned long long)item->data_offset);
            EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL);
        }
        EVP_DigestUpdate(hash->context, item->data.bytes, item->data.count);
        break;
    default:
        break;
    }
}

static inline void keep_findings(struct reading *reading, const struct varve_findings *findings) {
    size_t bytes;
    FILE *text = open_memstream(&reading->findings, &bytes);
    for (size_t i = 0; i < varve_findings_count(findings); i++) {
        struct varve_finding f = varve_findings_at(findings, i);
        fprintf(text, "%s x%llu @%llu", f.info->code, (unsigned long long)f.count,
                (unsigned long long)f.offset);
        if (f.entry) {
            log_bytes(text, "entry", (struct varve_bytes){(const uint8_t *)f.entry, f.entry_bytes});
        }
        fprintf(text, "\n");
    }
    fclose(text);
}

/* Reads `bytes` of `data` in pieces. Each piece lies in memory of its own size, so that a sanitizer
 * sees a read beyond it. The caller frees with reading_free. */
static inline struct reading read_tar(struct varve_tar *tar, const uint8_t *data, size_t bytes,
                                      cut_fn *cut, void *cookie) {
    struct reading reading = {0};
    struct varve_findings *findings = NULL;
    varve_findings_open(&findings);
    FILE *log = open_memstream(&reading.log, &reading.log_bytes);
    struct reading_hash hash = {EVP_MD_CTX_new(), 0, false};
    varve_tar_reset(tar, findings);
    size_t at = 0;
    uint8_t *piece = NULL;
    struct varve_tar_item item;
    for (;;) {
        enum varve_tar_event event = varve_tar_next(tar, &item);
        take_event(&reading, log, &hash, event, &item);
        if (event == VARVE_TAR_END || event == VARVE_TAR_FAULT) {
            reading.end = event;
            break;
        }
        if (event == VARVE_TAR_INPUT) {
            size_t count = cut(cookie, bytes - at);
            count = count > bytes - at ? bytes - at : count;
            free(piece);
            piece = malloc(count ? count : 1);
            memcpy(piece, data + at, count);
            at += count;
            varve_tar_feed(tar, piece, count, at == bytes);
        }
    }
    if (hash.open) {
        char hex[65];
        reading_hex(hex, hash.context);
        fprintf(log, " %s\n", hex);
    }
    reading.fault = varve_tar_fault(tar);
    bool settled;
    reading.archive_end = varve_tar_archive_end(tar, &settled);
    reading.traits = *varve_tar_traits(tar);
    const char *evidence;
    reading.writer = varve_tar_writer(tar, &evidence);
    if (reading.end == VARVE_TAR_FAULT) {
        fprintf(log, "fault %s @%llu\n", reading.fault.code,
                (unsigned long long)reading.fault.offset_decoded);
    } else {
        fprintf(log, "archive end %llu\n", (unsigned long long)reading.archive_end);
    }
    fclose(log);
    keep_findings(&reading, findings);
    free(piece);
    EVP_MD_CTX_free(hash.context);
    varve_findings_close(findings);
    return reading;
}

static inline void reading_free(struct reading *reading) {
    for (size_t i = 0; i < reading->entry_count; i++) {
        free(reading->entries[i].path);
        free(reading->entries[i].link);
    }
    free(reading->entries);
    free(reading->log);
    free(reading->findings);
}

/* Whether a finding of that code is there. */
static inline bool has_finding(const struct reading *reading, const char *code) {
    size_t length = strlen(code);
    for (const char *line = reading->findings; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, code, length) == 0 && line[length] == ' ') {
            return true;
        }
    }
    return false;
}

/* Reads a file whole. NULL where it is not there. */
static inline uint8_t *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        return NULL;
    }
    uint8_t *data = NULL;
    size_t room = 0;
    *bytes = 0;
    for (size_t got = 1; got;) {
        if (*bytes == room) {
            room = room ? 2 * room : 65536;
            data = realloc(data, room);
        }
        got = fread(data + *bytes, 1, room - *bytes, file);
        *bytes += got;
    }
    fclose(file);
    return data;
}

#endif
