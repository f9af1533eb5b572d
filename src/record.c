/* SPDX-License-Identifier: Apache-2.0 */
/* src/record.c - canonical records, written and read. */
#include "record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "path.h"

enum { TYPE_BITS = 0170000, SYMLINK_MODE = 0777, PERMISSION_BITS = 07777 };

bool varve_record_has_content(uint8_t type) {
    return type < '1' || type > '6';
}

/* The type bits of the mode that say what the typeflag says; for a hard link all do. */
static int64_t own_type_bits(uint8_t type, int64_t bits) {
    switch (type) {
    case '1':
        return bits;
    case '2':
        return 0120000;
    case '3':
        return 0020000;
    case '4':
        return 0060000;
    case '5':
    case 'D':
        return 0040000;
    case '6':
        return 0010000;
    default:
        return 0100000;
    }
}

static int64_t canonical_mode(const struct varve_tar_entry *entry) {
    int64_t mode = (int64_t)entry->mode;
    int64_t bits = mode & TYPE_BITS;
    if (bits == own_type_bits(entry->typeflag, bits)) {
        mode -= bits;
    }
    if (entry->typeflag == '2') {
        mode = (mode & ~(int64_t)PERMISSION_BITS) | SYMLINK_MODE;
    }
    return mode;
}

void varve_record_values(struct varve_header_values *values, const struct varve_tar_entry *entry) {
    bool device = entry->typeflag == '3' || entry->typeflag == '4';
    *values = (struct varve_header_values){
        .mode = canonical_mode(entry),
        .uid = entry->uid,
        .gid = entry->gid,
        .size = varve_record_has_content(entry->typeflag) ? (int64_t)entry->size : 0,
        .mtime = entry->mtime.seconds,
        .devmajor = device ? entry->devmajor : 0,
        .devminor = device ? entry->devminor : 0,
    };
}

static size_t pairs_bound(const struct varve_tar_pair *pairs, size_t count) {
    size_t bytes = 4;
    for (size_t i = 0; i < count; i++) {
        bytes += 8 + pairs[i].key.count + pairs[i].value.count;
    }
    return bytes;
}

size_t varve_record_bound(const struct varve_tar_entry *entry) {
    enum { STRINGS = 4, TIMES = 3 * 16, NANOSECONDS = 4 };
    return VARVE_RECORD_PATH + STRINGS * 4 + entry->path.count + entry->link.count +
           entry->uname.count + entry->gname.count + NANOSECONDS + TIMES +
           pairs_bound(entry->xattrs, entry->xattr_count) +
           pairs_bound(entry->records, entry->record_count) + 4 + VARVE_SHA256_BYTES;
}

size_t varve_record_global_bound(const struct varve_tar_pair *pairs, size_t count) {
    return 8 + pairs_bound(pairs, count);
}

static uint8_t *put_string(uint8_t *to, struct varve_bytes text) {
    assert(text.count <= UINT32_MAX); /* the parser's limits are far below */
    varve_store_u32(to, (uint32_t)text.count);
    if (text.count) {
        memcpy(to + 4, text.bytes, text.count);
    }
    return to + 4 + text.count;
}

static uint8_t *put_path(uint8_t *to, struct varve_bytes path) {
    size_t length = varve_path_clean(to + 4, path);
    varve_store_u32(to, (uint32_t)length);
    return to + 4 + length;
}

static uint8_t *put_time(uint8_t *to, const struct varve_tar_time *time) {
    if (!time->present) {
        varve_store_u32(to, 0);
        return to + 4;
    }
    uint64_t seconds = (uint64_t)time->seconds;
    varve_store_u32(to, 12);
    varve_store_u32(to + 4, (uint32_t)seconds);
    varve_store_u32(to + 8, (uint32_t)(seconds >> 32));
    varve_store_u32(to + 12, time->nanoseconds);
    return to + 16;
}

static uint8_t *put_pairs(uint8_t *to, const struct varve_tar_pair *pairs, size_t count) {
    assert(varve_record_is_sorted(pairs, count));
    varve_store_u32(to, (uint32_t)count);
    to += 4;
    for (size_t i = 0; i < count; i++) {
        to = put_string(to, pairs[i].key);
        to = put_string(to, pairs[i].value);
    }
    return to;
}

size_t varve_record_write(uint8_t *to, const struct varve_tar_entry *entry) {
    static const struct varve_bytes none = {NULL, 0};
    uint8_t *at = to + VARVE_RECORD_TYPE;
    *at++ = entry->typeflag;
    at = put_path(at, entry->path);
    at = entry->typeflag == '1' ? put_path(at, entry->link)
                                : put_string(at, entry->typeflag == '2' ? entry->link : none);
    at = put_string(at, entry->uname);
    at = put_string(at, entry->gname);
    varve_store_u32(at, entry->mtime.nanoseconds);
    at = put_time(at + 4, &entry->atime);
    at = put_time(at, &entry->ctime);
    at = put_time(at, &entry->creation);
    at = put_pairs(at, entry->xattrs, entry->xattr_count);
    at = put_pairs(at, entry->records, entry->record_count);
    uint32_t digest = varve_record_has_content(entry->typeflag) ? VARVE_SHA256_BYTES : 0;
    varve_store_u32(at, digest);
    return (size_t)(at + 4 + digest - to);
}

size_t varve_record_write_global(uint8_t *to, const struct varve_tar_pair *pairs, size_t count) {
    memcpy(to, "global\0", 8);
    return (size_t)(put_pairs(to + 8, pairs, count) - to);
}

void varve_record_write_trailer(uint8_t to[VARVE_TRAILER_RECORD_BYTES], uint64_t bytes,
                                const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(to, "trailer", 8);
    varve_store_u32(to + 8, (uint32_t)bytes);
    varve_store_u32(to + 12, (uint32_t)(bytes >> 32));
    memcpy(to + 16, digest, VARVE_SHA256_BYTES);
}

static struct varve_bytes get_string(const uint8_t **at) {
    struct varve_bytes text = {*at + 4, varve_load_u32(*at)};
    *at += 4 + text.count;
    return text;
}

static struct varve_bytes get_pairs(const uint8_t **at) {
    const uint8_t *begin = *at;
    uint32_t count = varve_load_u32(begin);
    *at += 4;
    for (uint32_t i = 0; i < count; i++) {
        varve_record_next_pair(at);
    }
    return (struct varve_bytes){begin, (size_t)(*at - begin)};
}

void varve_record_read(struct varve_record *record, const uint8_t *bytes) {
    const uint8_t *at = bytes + VARVE_RECORD_PATH;
    record->bytes = bytes;
    record->type = bytes[VARVE_RECORD_TYPE];
    record->path = get_string(&at);
    record->link = get_string(&at);
    record->uname = get_string(&at);
    record->gname = get_string(&at);
    record->nanoseconds = at;
    at += 4;
    record->atime = get_string(&at);
    record->ctime = get_string(&at);
    record->creation = get_string(&at);
    record->xattrs = get_pairs(&at);
    record->records = get_pairs(&at);
    record->digest = get_string(&at);
    record->count = (size_t)(at - bytes);
}

int64_t varve_record_number(const uint8_t *field, size_t bytes) {
    if (field[0] & 0x80) {
        /* The bit below the mark is the sign; the mark itself falls off the top. */
        uint64_t value = field[0] & 0x40 ? UINT64_MAX : 0;
        value = value << 7 | (field[0] & 0x7f);
        for (size_t i = 1; i < bytes; i++) {
            value = value << 8 | field[i];
        }
        return (int64_t)value;
    }
    int64_t value = 0;
    for (size_t i = 0; i + 1 < bytes; i++) {
        value = value * 8 + (field[i] - '0');
    }
    return value;
}

static int compare_keys(const void *left, const void *right) {
    const struct varve_bytes *a = &((const struct varve_tar_pair *)left)->key;
    const struct varve_bytes *b = &((const struct varve_tar_pair *)right)->key;
    size_t shorter = a->count < b->count ? a->count : b->count;
    int order = shorter ? memcmp(a->bytes, b->bytes, shorter) : 0;
    return order ? order : (a->count > b->count) - (a->count < b->count);
}

bool varve_record_is_sorted(const struct varve_tar_pair *pairs, size_t count) {
    for (size_t i = 1; i < count; i++) {
        if (compare_keys(&pairs[i - 1], &pairs[i]) >= 0) {
            return false;
        }
    }
    return true;
}

void varve_record_sort(struct varve_tar_pair *pairs, size_t count) {
    qsort(pairs, count, sizeof *pairs, compare_keys);
}

struct varve_tar_pair varve_record_next_pair(const uint8_t **rest) {
    struct varve_tar_pair pair;
    pair.key = get_string(rest);
    pair.value = get_string(rest);
    return pair;
}

struct varve_bytes varve_record_xattr(const struct varve_record *record, const char *name) {
    const uint8_t *rest = record->xattrs.bytes + 4;
    size_t count = strlen(name);
    for (uint32_t left = varve_load_u32(record->xattrs.bytes); left; left--) {
        struct varve_tar_pair pair = varve_record_next_pair(&rest);
        if (pair.key.count == count && memcmp(pair.key.bytes, name, count) == 0) {
            return pair.value;
        }
    }
    return (struct varve_bytes){NULL, 0};
}
