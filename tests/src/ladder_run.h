/* SPDX-License-Identifier: Apache-2.0 */
/* What the ladder's tests share: tars made by hand, and one way from bytes to rungs. */
#ifndef LADDER_RUN_H
#define LADDER_RUN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "varve/ladder.h"

/* What came of a stream. */
struct climb {
    enum varve_tar_event last; /* END or FAULT */
    enum varve_status status;  /* of varve_ladder_finish */
    struct varve_fault fault;  /* the ladder's */
    struct varve_rungs rungs;  /* without blob and diffid */
    struct varve_facets facets;
    uint64_t entries;
    char found[8192];   /* findings, one a line: code count offset entry */
    char listed[16384]; /* entries, one a line */
};

static inline void list_entry(void *cookie, const struct varve_ladder_entry *entry) {
    struct climb *climb = cookie;
    size_t used = strlen(climb->listed);
    snprintf(climb->listed + used, sizeof climb->listed - used,
             "%c %.*s link=%.*s %.*s:%.*s mode=%llo ids=%lld:%lld size=%llu mtime=%lld.%09u "
             "%s%02x%02x\n",
             entry->typeflag, (int)entry->path.count, (const char *)entry->path.bytes,
             (int)entry->link.count, (const char *)entry->link.bytes, (int)entry->uname.count,
             (const char *)entry->uname.bytes, (int)entry->gname.count,
             (const char *)entry->gname.bytes, (unsigned long long)entry->mode,
             (long long)entry->uid, (long long)entry->gid, (unsigned long long)entry->size,
             (long long)entry->mtime.seconds, entry->mtime.nanoseconds,
             entry->has_sha256 ? "sha256=" : "", entry->sha256[0], entry->sha256[1]);
}

static inline void list_findings(struct climb *climb, const struct varve_findings *findings) {
    for (size_t i = 0; i < varve_findings_count(findings); i++) {
        struct varve_finding finding = varve_findings_at(findings, i);
        size_t used = strlen(climb->found);
        snprintf(climb->found + used, sizeof climb->found - used, "%s %llu %lld %.*s\n",
                 finding.info->code, (unsigned long long)finding.count, (long long)finding.offset,
                 (int)finding.entry_bytes, finding.entry ? finding.entry : "");
    }
}

/* Parser, ladder and what they need, for one stream after the other. */
struct climber {
    struct varve_budget *budget;
    struct varve_sha256 *sha256;
    struct varve_tar *tar;
    struct varve_ladder *ladder;
    struct varve_findings *findings;
};

static inline enum varve_status climber_open(struct climber *climber, enum varve_tier tier,
                                             struct varve_budget *budget) {
    struct varve_sha256_options sha256 = {.tier = tier};
    struct varve_tar_options tar = {NULL, tier};
    struct varve_ladder_options ladder = {budget, tier};
    memset(climber, 0, sizeof *climber);
    climber->budget = budget;
    enum varve_status status = varve_sha256_open(&climber->sha256, &sha256);
    if (status == VARVE_OK) {
        status = varve_tar_open(&climber->tar, &tar);
    }
    if (status == VARVE_OK) {
        status = varve_findings_open(&climber->findings);
    }
    return status == VARVE_OK ? varve_ladder_open(&climber->ladder, climber->sha256, &ladder)
                              : status;
}

static inline void climber_close(struct climber *climber) {
    varve_ladder_close(climber->ladder);
    varve_tar_close(climber->tar);
    varve_findings_close(climber->findings);
    varve_sha256_close(climber->sha256);
}

/* Feeds `bytes` in pieces of `step`, each from memory of its own that is poisoned after the flush.
 */
static inline void climb(struct climber *climber, struct climb *out, const uint8_t *data,
                         size_t bytes, size_t step) {
    struct varve_sha256_stream diffid, archive;
    bool forked = false;
    uint8_t *piece = malloc(step + 1);
    memset(out, 0, sizeof *out);
    varve_findings_reset(climber->findings);
    varve_tar_reset(climber->tar, climber->findings);
    varve_ladder_reset(climber->ladder, climber->findings);
    varve_sha256_init(&diffid);
    enum varve_tar_event event = VARVE_TAR_INPUT;
    for (size_t at = 0; event == VARVE_TAR_INPUT; at += step) {
        size_t count = at < bytes ? (bytes - at < step ? bytes - at : step) : 0;
        struct varve_tar_item item;
        if (count) {
            memcpy(piece, data + at, count);
        }
        varve_tar_feed(climber->tar, piece, count, at + step >= bytes);
        while ((event = varve_tar_next(climber->tar, &item)) != VARVE_TAR_INPUT &&
               event != VARVE_TAR_END && event != VARVE_TAR_FAULT) {
            varve_ladder_take(climber->ladder, event, &item);
        }
        bool settled;
        uint64_t end = varve_tar_archive_end(climber->tar, &settled);
        size_t before = 0;
        if (!settled && end >= at && end <= at + count) {
            before = (size_t)(end - at);
            varve_sha256_update(climber->sha256, &diffid, piece, before);
            varve_sha256_fork(climber->sha256, &archive, &diffid);
            forked = true;
        }
        varve_sha256_update(climber->sha256, &diffid, piece + before, count - before);
        varve_sha256_flush(climber->sha256);
        memset(piece, 0xa5, step);
    }
    free(piece);
    out->last = event;
    out->status = VARVE_MALFORMED;
    if (event == VARVE_TAR_END) {
        out->status = varve_ladder_finish(climber->ladder, &out->rungs, &out->facets,
                                          forked ? &archive : NULL);
        out->fault = varve_ladder_fault(climber->ladder);
    }
    out->entries = varve_ladder_entry_count(climber->ladder);
    list_findings(out, climber->findings);
    varve_ladder_each(climber->ladder, list_entry, out);
}

/* A tar under construction. */
struct made {
    uint8_t *bytes;
    size_t count, capacity;
};

static inline uint8_t *made_room(struct made *made, size_t count) {
    if (made->count + count > made->capacity) {
        made->capacity = 2 * (made->count + count);
        made->bytes = realloc(made->bytes, made->capacity);
    }
    made->count += count;
    return made->bytes + made->count - count;
}

static inline void made_add(struct made *made, const void *bytes, size_t count) {
    memcpy(made_room(made, count), bytes, count);
}

/* An entry with `size` bytes of `fill`, in ustar; NUL padding is added. */
static inline void made_entry(struct made *made, const char *path, char typeflag, const char *link,
                              size_t size, uint8_t fill) {
    static const uint8_t zeros[512];
    char block[512] = {0};
    unsigned sum = 0;
    memcpy(block, path, strnlen(path, 100));
    memcpy(block + 100,
           "0000644\0"
           "0000000\0"
           "0000000",
           24);
    snprintf(block + 124, 12, "%011o", (unsigned)size);
    memcpy(block + 136, "14524770400\0        ", 20);
    block[156] = typeflag;
    memcpy(block + 157, link, strnlen(link, 100));
    memcpy(block + 257,
           "ustar\0"
           "00root",
           12);
    memcpy(block + 297, "root", 4);
    for (size_t i = 0; i < sizeof block; i++) {
        sum += (uint8_t)block[i];
    }
    snprintf(block + 148, 7, "%06o", sum & 0777777);
    made_add(made, block, sizeof block);
    memset(made_room(made, size), fill, size);
    made_add(made, zeros, (512 - size % 512) % 512);
}

static inline void made_end(struct made *made) {
    static const uint8_t zeros[1024];
    made_add(made, zeros, sizeof zeros);
}

/* The file's bytes, NULL where it cannot be read. The caller frees them. */
static inline uint8_t *slurp(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    *bytes = 0;
    if (!file) {
        return NULL;
    }
    uint8_t *data = NULL;
    size_t got;
    do {
        data = realloc(data, *bytes + 65536);
        got = fread(data + *bytes, 1, 65536, file);
        *bytes += got;
    } while (got);
    fclose(file);
    return data;
}

#endif
