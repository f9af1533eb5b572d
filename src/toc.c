/* SPDX-License-Identifier: Apache-2.0 */
/* src/toc.c - keeps a layer's table of contents while it streams by, and compares it afterwards. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "limits.h"
#include "toc_internal.h"

/* Memory beyond this is given back between layers. */
#define KEEP_BYTES ((size_t)1 << 20)

/* The one kind of skippable frame that zstd:chunked uses. */
#define FRAME_MAGIC 0x184d2a50u

static const char index_name[] = "stargz.index.json";

const char *varve_toc_kind_name(enum varve_toc_kind kind) {
    static const char *const names[] = {"none", "estargz", "stargz", "estargz-external",
                                        "zstd:chunked"};
    assert((size_t)kind < sizeof names / sizeof names[0]);
    return names[kind];
}

bool varve_toc_append(struct varve_toc *toc, struct varve_toc_bytes *bytes, const void *data,
                      size_t more) {
    if (more > bytes->room - bytes->count) {
        size_t room = bytes->room + bytes->room / 2;
        room = room < bytes->count + more ? bytes->count + more : room;
        room = room < 4096 ? 4096 : room;
        if (!varve_budget_take(toc->budget, room - bytes->room)) {
            toc->refused = true;
            return false;
        }
        uint8_t *moved = realloc(bytes->data, room);
        if (!moved) {
            varve_budget_give(toc->budget, room - bytes->room);
            toc->refused = true;
            toc->no_memory = true;
            return false;
        }
        bytes->data = moved;
        bytes->room = room;
    }
    if (data && more) {
        memcpy(bytes->data + bytes->count, data, more);
    }
    bytes->count += more;
    return true;
}

void varve_toc_drop(struct varve_toc *toc, struct varve_toc_bytes *bytes) {
    free(bytes->data);
    varve_budget_give(toc->budget, bytes->room);
    *bytes = (struct varve_toc_bytes){0};
}

enum varve_status varve_toc_open(struct varve_toc **toc, struct varve_budget *budget) {
    *toc = calloc(1, sizeof **toc);
    if (!*toc) {
        return VARVE_ERROR;
    }
    (*toc)->budget = budget;
    varve_toc_reset(*toc, NULL);
    return VARVE_OK;
}

static void each_buffer(struct varve_toc *toc, size_t most) {
    struct varve_toc_bytes *const buffers[] = {&toc->json,
                                               &toc->path,
                                               &toc->table.names,
                                               &toc->table.entries,
                                               &toc->frames[0].content,
                                               &toc->frames[1].content,
                                               &toc->frames[2].content};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        buffers[i]->count = 0;
        if (buffers[i]->room > most) {
            varve_toc_drop(toc, buffers[i]);
        }
    }
}

void varve_toc_close(struct varve_toc *toc) {
    if (toc) {
        each_buffer(toc, 0);
        free(toc);
    }
}

void varve_toc_reset(struct varve_toc *toc, struct varve_findings *findings) {
    each_buffer(toc, KEEP_BYTES);
    toc->findings = findings;
    toc->kind = VARVE_TOC_NONE;
    toc->refused = toc->no_memory = toc->capturing = toc->captured = false;
    toc->footer = (struct varve_toc_footer){.kind = VARVE_TOC_NONE};
    toc->table.count = 0;
    for (size_t i = 0; i < VARVE_TOC_MEMBERS; i++) {
        toc->members[i].stored = toc->members[i].decoded = VARVE_NO_OFFSET;
    }
    for (size_t i = 0; i < VARVE_TOC_FRAMES; i++) {
        toc->frames[i].offset_stored = VARVE_NO_OFFSET;
        toc->frames[i].kept = false;
    }
}

enum varve_toc_kind varve_toc_kind(const struct varve_toc *toc) {
    return toc->kind;
}

/* --- while the layer streams by --- */

void varve_toc_see_member(struct varve_toc *toc, uint64_t offset_stored, uint64_t offset_decoded) {
    if (toc) {
        memmove(toc->members + 1, toc->members, sizeof toc->members - sizeof toc->members[0]);
        toc->members[0].stored = offset_stored;
        toc->members[0].decoded = offset_decoded;
    }
}

void varve_toc_see_footer(struct varve_toc *toc, const struct varve_toc_footer *footer) {
    if (toc) {
        toc->footer = *footer;
    }
}

void varve_toc_see_skippable(struct varve_toc *toc, uint32_t magic, uint64_t offset_stored,
                             uint64_t bytes) {
    if (!toc || magic != FRAME_MAGIC) {
        return;
    }
    struct varve_toc_frame oldest = toc->frames[VARVE_TOC_FRAMES - 1];
    memmove(toc->frames + 1, toc->frames, sizeof toc->frames - sizeof toc->frames[0]);
    oldest.content.count = 0;
    oldest.offset_stored = offset_stored;
    oldest.bytes = bytes;
    oldest.kept = bytes <= VARVE_LIMIT_TOC_BYTES;
    toc->frames[0] = oldest;
}

void varve_toc_see_skipped(struct varve_toc *toc, const uint8_t *data, size_t bytes,
                           uint32_t magic) {
    struct varve_toc_frame *frame = toc ? &toc->frames[0] : NULL;
    if (frame && magic == FRAME_MAGIC && frame->kept &&
        frame->content.count + bytes <= frame->bytes) {
        frame->kept = varve_toc_append(toc, &frame->content, data, bytes);
    }
}

void varve_toc_take(struct varve_toc *toc, enum varve_tar_event event,
                    const struct varve_tar_item *item) {
    if (event == VARVE_TAR_ENTRY) {
        const struct varve_tar_entry *entry = item->entry;
        toc->capturing = false;
        /* Its name, perhaps behind "./" or "/". */
        size_t n = sizeof index_name - 1;
        size_t bytes = entry->path.count;
        if (bytes < n || bytes > n + 2 || entry->typeflag != '0' ||
            memcmp(entry->path.bytes + bytes - n, index_name, n) != 0 ||
            (bytes > n && entry->path.bytes[bytes - n - 1] != '/') ||
            (bytes == n + 2 && entry->path.bytes[0] != '.')) {
            return;
        }
        toc->capturing = toc->captured = true;
        toc->entry_offset = entry->first_offset;
        toc->json.count = 0;
    } else if (toc->capturing && event == VARVE_TAR_DATA) {
        if (toc->json.count + item->data.count > VARVE_LIMIT_TOC_BYTES ||
            !varve_toc_append(toc, &toc->json, item->data.bytes, item->data.count)) {
            toc->refused = true;
            toc->capturing = false;
        }
    } else if (toc->capturing && event == VARVE_TAR_HOLE) {
        toc->capturing = toc->captured = false;
    }
}

/* --- afterwards --- */

static bool invalid(struct varve_toc *toc, uint64_t offset) {
    varve_findings_add(toc->findings, VARVE_CODE_TOC_INVALID, 1, offset, NULL, 0);
    return false;
}

static bool read_table(struct varve_toc *toc, const struct varve_toc_bytes *json,
                       uint64_t stored_bytes) {
    enum varve_status status = varve_toc_table_read(toc, &toc->table, json->data, json->count,
                                                    stored_bytes, toc->findings);
    if (status != VARVE_OK) {
        varve_findings_add(toc->findings,
                           status == VARVE_UNSUPPORTED ? VARVE_CODE_TOC_VERSION
                           : status == VARVE_LIMIT     ? VARVE_CODE_TOC_UNREAD
                                                       : VARVE_CODE_TOC_INVALID,
                           1, toc->footer.offset, NULL, 0);
    }
    return status == VARVE_OK;
}

/* A gzip layer: the footer is the last member, the table the entry in the member before it. */
static bool begin_estargz(struct varve_toc *toc, const struct varve_decode_info *info) {
    static const uint64_t footer_bytes[] = {
        [VARVE_TOC_ESTARGZ] = 51, [VARVE_TOC_STARGZ] = 47, [VARVE_TOC_ESTARGZ_EXTERNAL] = 46};
    const struct varve_toc_footer *footer = &toc->footer;
    if (footer->kind == VARVE_TOC_NONE || footer->footer_offset != toc->members[0].stored ||
        info->stored_bytes - footer->footer_offset != footer_bytes[footer->kind] ||
        info->decoded_bytes != toc->members[0].decoded) {
        return false;
    }
    toc->kind = footer->kind;
    if (toc->kind == VARVE_TOC_ESTARGZ_EXTERNAL) {
        varve_findings_add(toc->findings, VARVE_CODE_TOC_EXTERNAL, 1, footer->footer_offset, NULL,
                           0);
        return false;
    }
    if (toc->refused) {
        varve_findings_add(toc->findings, VARVE_CODE_TOC_UNREAD, 1, footer->offset, NULL, 0);
        return false;
    }
    if (!toc->captured || footer->offset != toc->members[1].stored ||
        toc->entry_offset != toc->members[1].decoded) {
        return invalid(toc, footer->footer_offset);
    }
    return read_table(toc, &toc->json, footer->offset);
}

/* Decodes a frame of the table into `json`, which must become `raw_bytes` long. */
static bool expand(struct varve_toc *toc, const struct varve_toc_bytes *content,
                   uint64_t raw_bytes) {
    uint8_t piece[1 << 14];
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    ZSTD_inBuffer in = {.src = content->data, .size = content->count};
    size_t left = 1;
    toc->json.count = 0;
    for (bool full = true; ctx && (in.pos < in.size || full);) {
        ZSTD_outBuffer out = {.dst = piece, .size = sizeof piece};
        left = ZSTD_decompressStream(ctx, &out, &in);
        toc->no_memory |= ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation;
        full = out.pos == out.size;
        if (ZSTD_isError(left) || toc->json.count + out.pos > raw_bytes ||
            !varve_toc_append(toc, &toc->json, piece, out.pos)) {
            left = 1;
            break;
        }
    }
    ZSTD_freeDCtx(ctx);
    toc->no_memory |= !ctx;
    return left == 0 && toc->json.count == raw_bytes;
}

/* A zstd layer: the footer is the last skippable frame and tells where another one's content is. */
static bool begin_chunked(struct varve_toc *toc, const struct varve_decode_info *info) {
    const struct varve_toc_frame *last = &toc->frames[0];
    struct varve_toc_footer *footer = &toc->footer;
    uint64_t place = last->offset_stored;
    if (place == VARVE_NO_OFFSET || place + last->bytes != info->stored_bytes ||
        last->bytes > VARVE_TOC_CHUNKED_BYTES) {
        return false;
    }
    if (!last->kept) { /* it may have been a footer */
        varve_findings_add(toc->findings, VARVE_CODE_TOC_UNREAD, 1, place, NULL, 0);
        return false;
    }
    if (!varve_toc_read_chunked(footer, last->content.data, last->content.count)) {
        return false;
    }
    toc->kind = VARVE_TOC_ZSTD_CHUNKED;
    if (footer->bytes > VARVE_LIMIT_TOC_BYTES || footer->raw_bytes > VARVE_LIMIT_TOC_BYTES) {
        return invalid(toc, place);
    }
    if (footer->type != 1) {
        varve_findings_add(toc->findings, VARVE_CODE_TOC_VERSION, 1, place, NULL, 0);
        return false;
    }
    for (size_t i = 1; i < VARVE_TOC_FRAMES; i++) {
        const struct varve_toc_frame *frame = &toc->frames[i];
        if (frame->offset_stored != VARVE_NO_OFFSET && frame->offset_stored == footer->offset &&
            frame->bytes == footer->bytes) {
            bool read = frame->kept && expand(toc, &frame->content, footer->raw_bytes);
            if (toc->refused) {
                varve_findings_add(toc->findings, VARVE_CODE_TOC_UNREAD, 1, place, NULL, 0);
                return false;
            }
            return read ? read_table(toc, &toc->json, footer->offset) : invalid(toc, place);
        }
    }
    return invalid(toc, place);
}

bool varve_toc_begin_check(struct varve_toc *toc, const struct varve_decode_info *info) {
    if (info->trailing_offset != VARVE_NO_OFFSET) {
        return false; /* a footer is the end of a blob */
    }
    bool begun = info->compression == VARVE_COMPRESSION_GZIP   ? begin_estargz(toc, info)
                 : info->compression == VARVE_COMPRESSION_ZSTD ? begin_chunked(toc, info)
                                                               : false;
    if (toc->no_memory) {
        varve_findings_lose(toc->findings);
    }
    return begun && !toc->no_memory;
}

static int compare_names(const struct varve_toc *toc, const struct varve_toc_entry *entry,
                         const uint8_t *path, size_t bytes) {
    size_t n = entry->name_bytes < bytes ? entry->name_bytes : bytes;
    int order = memcmp(toc->table.names.data + entry->name, path, n);
    return order ? order : (entry->name_bytes > bytes) - (entry->name_bytes < bytes);
}

/* The next entry of that name that was not met, or NULL. The first of a name counts in `met_count`
 * how many of them were, so that a path given a million times costs no search. */
static struct varve_toc_entry *find(struct varve_toc *toc, const uint8_t *path, size_t bytes) {
    struct varve_toc_entry *entries = (struct varve_toc_entry *)(void *)toc->table.entries.data;
    size_t low = 0;
    for (size_t high = toc->table.count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (compare_names(toc, &entries[middle], path, bytes) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == toc->table.count || compare_names(toc, &entries[low], path, bytes) != 0) {
        return NULL;
    }
    size_t next = low + entries[low].met_count;
    if (next >= toc->table.count || compare_names(toc, &entries[next], path, bytes) != 0) {
        return NULL;
    }
    entries[low].met_count++;
    entries[next].met = true;
    return &entries[next];
}

/* Targets of hardlinks are paths of the archive and compared as such, those of symlinks as written.
 * `link` is changed in place. */
static bool same_link(const struct varve_toc *toc, const struct varve_toc_entry *listed,
                      uint8_t *link, size_t bytes) {
    if (listed->typeflag == '1') {
        varve_toc_clean(link, &bytes);
    }
    return listed->link_bytes == bytes &&
           (!bytes || memcmp(toc->table.names.data + listed->link, link, bytes) == 0);
}

void varve_toc_check_entry(void *cookie, const struct varve_ladder_entry *entry) {
    struct varve_toc *toc = cookie;
    const struct varve_toc_entry *listed = NULL;
    toc->path.count = 0;
    if (!varve_toc_append(toc, &toc->path, entry->path.bytes, entry->path.count) ||
        !varve_toc_append(toc, &toc->path, entry->link.bytes, entry->link.count)) {
        return; /* refused: varve_toc_end_check says so */
    }
    uint8_t *path = toc->path.data;
    size_t bytes = entry->path.count;
    varve_toc_clean(path, &bytes);
    if (!bytes || (toc->kind != VARVE_TOC_ZSTD_CHUNKED && bytes == sizeof index_name - 1 &&
                   memcmp(path, index_name, bytes) == 0)) {
        return; /* the root, and the table itself */
    }
    enum varve_code code = VARVE_CODE_COUNT;
    listed = find(toc, path, bytes);
    if (!listed) {
        code = VARVE_CODE_TOC_MISSING;
    } else if (listed->typeflag != entry->typeflag) {
        code = VARVE_CODE_TOC_TYPE;
    } else if (entry->typeflag == '0' && (uint64_t)listed->size != entry->size) {
        code = VARVE_CODE_TOC_SIZE;
    } else if (listed->has_sha256 && entry->has_sha256 &&
               memcmp(listed->sha256, entry->sha256, VARVE_SHA256_BYTES) != 0) {
        code = VARVE_CODE_TOC_DIGEST;
    } else if ((entry->typeflag == '1' || entry->typeflag == '2') &&
               !same_link(toc, listed, path + entry->path.count, entry->link.count)) {
        code = VARVE_CODE_TOC_LINK;
    } else if (entry->typeflag != '1' && entry->typeflag != '2' &&
               (uint64_t)(listed->mode & 07777) != (entry->mode & 07777)) {
        code = VARVE_CODE_TOC_MODE; /* a link's own mode means nothing */
    } else if (entry->typeflag != '1' && (listed->uid != entry->uid || listed->gid != entry->gid)) {
        code = VARVE_CODE_TOC_OWNER;
    }
    if (code != VARVE_CODE_COUNT) {
        varve_findings_add(toc->findings, code, 1, VARVE_NO_OFFSET, path, bytes);
    }
}

void varve_toc_end_check(struct varve_toc *toc) {
    if (toc->no_memory) {
        varve_findings_lose(toc->findings);
        return;
    }
    if (toc->refused) {
        varve_findings_add(toc->findings, VARVE_CODE_TOC_UNREAD, 1, VARVE_NO_OFFSET, NULL, 0);
        return;
    }
    const struct varve_toc_entry *entries =
        (const struct varve_toc_entry *)(const void *)toc->table.entries.data;
    for (size_t i = 0; i < toc->table.count; i++) {
        if (!entries[i].met) {
            varve_findings_add(toc->findings, VARVE_CODE_TOC_EXTRA, 1, VARVE_NO_OFFSET,
                               toc->table.names.data + entries[i].name, entries[i].name_bytes);
        }
    }
}
