/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_sparse.c - sparse files: GNU's old format (typeflag S) and its pax formats 0.0, 0.1 and
 * 1.0 ("Storing Sparse Files" in the GNU tar manual). */
#include <string.h>

#include "tar_internal.h"

enum { ELEMENT_BYTES = 24, IN_HEADER = 4, IN_BLOCK = 21, EXTENDED_AT = 504 };

static bool bad_map(struct varve_tar *tar) {
    return varve_tar_fail(tar, VARVE_CODE_SPARSE_MAP, tar->entry.header_offset);
}

/* Adds a run; those without bytes are left out. Order and range are checked here. */
static bool add_segment(struct varve_tar *tar, int64_t offset, int64_t bytes) {
    struct varve_tar_entry *entry = &tar->entry;
    if (offset < 0 || bytes < 0 || (uint64_t)offset + (uint64_t)bytes > entry->size ||
        (uint64_t)offset < tar->content_position) {
        return bad_map(tar);
    }
    tar->content_position = (uint64_t)offset + (uint64_t)bytes;
    if (bytes == 0) {
        return true;
    }
    void *grown = tar->segments;
    if (!varve_tar_grow(tar, &grown, &tar->segment_capacity,
                        entry->segment_count < 16 ? 16 : entry->segment_count + 1,
                        sizeof *tar->segments)) {
        return false;
    }
    tar->segments = grown;
    tar->segments[entry->segment_count++] =
        (struct varve_tar_segment){(uint64_t)offset, (uint64_t)bytes};
    return true;
}

/* Something in the block being read of which other readers make another map. */
static void note_map(struct varve_tar *tar, const uint8_t *at) {
    varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL,
                   tar->block_offset + (size_t)(at - tar->block));
}

/* Elements of the old format, until one begins with a NUL. The kernel reads 12-byte fields where
 * GNU's atime and ctime lie, so each element is put there. */
static bool read_elements(struct varve_tar *tar, const uint8_t *elements, size_t count, bool more) {
    uint8_t block[BLOCK] = {0};
    for (size_t i = 0; i < count; i++) {
        const uint8_t *element = elements + i * ELEMENT_BYTES;
        if (element[0] == 0) {
            /* For GNU tar and libarchive the whole map ends here; Python reads all elements. */
            size_t rest = (count - i) * ELEMENT_BYTES;
            if (more || tar->kernel->zeros(element, rest) < rest) {
                note_map(tar, element);
            }
            break;
        }
        if (element[12] == 0) { /* where the map ends for GNU tar */
            note_map(tar, element + 12);
        }
        memcpy(block + AT_GNU_ATIME, element, ELEMENT_BYTES);
        struct varve_header_gnu_numbers numbers;
        tar->kernel->read_gnu(&numbers, block, 1);
        if (numbers.style[0] == VARVE_TAR_STYLE_BAD || numbers.style[1] == VARVE_TAR_STYLE_BAD) {
            return bad_map(tar);
        }
        if (!add_segment(tar, numbers.value[0], numbers.value[1])) {
            return false;
        }
    }
    return true;
}

static void begin_map(struct varve_tar *tar, uint64_t size) {
    struct varve_tar_entry *entry = &tar->entry;
    entry->sparse = true;
    entry->size = size;
    entry->segment_count = 0;
    tar->content_position = 0;
    tar->sparse_continued = 0;
}

bool varve_tar_sparse_header(struct varve_tar *tar, bool *more) {
    struct varve_header_gnu_numbers numbers;
    tar->kernel->read_gnu(&numbers, tar->block, 1);
    varve_tar_note(tar, VARVE_CODE_SPARSE_GNU, tar->block_offset + AT_TYPEFLAG);
    if (numbers.style[VARVE_HEADER_REALSIZE] == VARVE_TAR_STYLE_BAD ||
        numbers.value[VARVE_HEADER_REALSIZE] < 0) {
        return bad_map(tar);
    }
    begin_map(tar, (uint64_t)numbers.value[VARVE_HEADER_REALSIZE]);
    if (tar->block[AT_GNU_REALSIZE] == 0 && tar->entry.size) { /* 0 for who stops at the NUL */
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->block_offset + AT_GNU_REALSIZE);
    }
    *more = tar->block[AT_GNU_EXTENDED] != 0;
    return read_elements(tar, tar->block + AT_GNU_SPARSE, IN_HEADER, *more);
}

bool varve_tar_sparse_block(struct varve_tar *tar, bool *more) {
    tar->sparse_continued += BLOCK;
    if (tar->sparse_continued > VARVE_LIMIT_SPARSE_MAP_BYTES) {
        return varve_tar_fail(tar, VARVE_CODE_SPARSE_MAP_LIMIT, tar->block_offset);
    }
    *more = tar->block[EXTENDED_AT] != 0;
    return read_elements(tar, tar->block, IN_BLOCK, *more);
}

bool varve_tar_sparse_check(struct varve_tar *tar) {
    struct varve_tar_entry *entry = &tar->entry;
    uint64_t stored = 0; /* cannot overflow: runs lie one behind the other below entry->size */
    for (size_t i = 0; i < entry->segment_count; i++) {
        stored += tar->segments[i].bytes;
    }
    entry->segments = tar->segments;
    return stored == entry->stored_bytes || bad_map(tar);
}

/* Takes the number up to `end` (or the end of the text) off the front. */
static bool take_number(struct varve_bytes *text, int64_t *value, uint8_t end) {
    const uint8_t *found = text->count ? memchr(text->bytes, end, text->count) : NULL;
    size_t length = found ? (size_t)(found - text->bytes) : text->count;
    bool good = varve_tar_decimal(value, (struct varve_bytes){text->bytes, length}, false);
    size_t taken = length + (found ? 1 : 0);
    text->bytes += taken;
    text->count -= taken;
    return good;
}

/* Formats 0.0 and 0.1: numblocks, and as many pairs of numbers between commas. */
static bool read_map_record(struct varve_tar *tar) {
    int64_t blocks;
    struct varve_bytes map = tar->pax.sparse_map;
    if (!varve_tar_decimal(&blocks, tar->pax.sparse_blocks, false)) {
        return bad_map(tar);
    }
    uint64_t commas = 0;
    for (size_t i = 0; i < map.count; i++) {
        commas += map.bytes[i] == ',';
    }
    uint64_t numbers = map.count ? commas + 1 : 0;
    if (numbers % 2 || numbers / 2 != (uint64_t)blocks) {
        return bad_map(tar);
    }
    for (int64_t i = 0; i < blocks; i++) {
        int64_t offset, bytes;
        if (!take_number(&map, &offset, ',') || !take_number(&map, &bytes, ',')) {
            return bad_map(tar);
        }
        if (!add_segment(tar, offset, bytes)) {
            return false;
        }
    }
    return true;
}

static bool is(struct varve_bytes text, const char *other) {
    return text.count == strlen(other) && memcmp(text.bytes, other, text.count) == 0;
}

/* GNU.sparse records have been used: they are no records of unknown meaning any more. */
static void drop_sparse_records(struct varve_tar *tar) {
    struct varve_tar_pair *records = tar->pairs + tar->xattr_count;
    size_t kept = 0;
    for (size_t i = 0; i < tar->record_count; i++) {
        if (records[i].key.count < 11 || memcmp(records[i].key.bytes, "GNU.sparse.", 11) != 0) {
            records[kept++] = records[i];
        }
    }
    tar->record_count = tar->entry.record_count = kept;
}

bool varve_tar_sparse_pax(struct varve_tar *tar, bool *map_follows) {
    struct varve_tar_entry *entry = &tar->entry;
    const struct pax_values *pax = &tar->pax;
    struct varve_bytes major = pax->sparse_major, minor = pax->sparse_minor;
    bool format_1 = is(major, "1") && is(minor, "0");
    bool format_0 = is(major, "0") && (is(minor, "0") || is(minor, "1"));
    /* 0.0 and 0.1 did not say which they are at first. */
    format_0 = format_0 || (!major.count && !minor.count && pax->sparse_map.count);
    *map_follows = false;
    if (!format_0 && !format_1) {
        varve_tar_note(tar, VARVE_CODE_SPARSE_ORPHAN, pax->offset);
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, pax->offset);
        return true;
    }
    if (entry->typeflag >= '1' && entry->typeflag <= '6') {
        return varve_tar_fail(tar, VARVE_CODE_SPARSE_TYPE, entry->header_offset);
    }
    varve_tar_note(tar, VARVE_CODE_SPARSE_PAX, pax->offset);
    if (pax->sparse_name.count) {
        if (memchr(pax->sparse_name.bytes, 0, pax->sparse_name.count)) {
            return varve_tar_fail(tar, VARVE_CODE_PAX_NUL, pax->offset);
        }
        entry->path = pax->sparse_name;
    }
    struct varve_bytes text = pax->sparse_size.count ? pax->sparse_size : pax->sparse_realsize;
    int64_t size = (int64_t)entry->size;
    if (text.count && !varve_tar_decimal(&size, text, false)) {
        return varve_tar_fail(tar, VARVE_CODE_PAX_NUMBER, pax->offset);
    }
    begin_map(tar, (uint64_t)size);
    drop_sparse_records(tar);
    if (!format_1) {
        return read_map_record(tar);
    }
    tar->sparse_text.count = 0;
    tar->map_newlines = 0;
    tar->map_wanted = 1;
    *map_follows = true;
    return entry->stored_bytes >= BLOCK || bad_map(tar);
}

/* Format 1.0: decimal numbers, each ended by a newline, in whole blocks at the front of the data:
 * how many runs, then offset and length of each. */
static bool read_map_text(struct varve_tar *tar) {
    struct varve_bytes text = {tar->sparse_text.bytes, tar->sparse_text.count};
    int64_t runs;
    take_number(&text, &runs, '\n');
    for (int64_t i = 0; i < runs; i++) {
        int64_t offset, bytes;
        if (!take_number(&text, &offset, '\n') || !take_number(&text, &bytes, '\n')) {
            return bad_map(tar);
        }
        if (!add_segment(tar, offset, bytes)) {
            return false;
        }
    }
    return true;
}

bool varve_tar_sparse_map(struct varve_tar *tar, bool *complete) {
    struct varve_tar_entry *entry = &tar->entry;
    *complete = false;
    entry->stored_bytes -= BLOCK;
    if (tar->sparse_text.count + BLOCK > VARVE_LIMIT_SPARSE_MAP_BYTES) {
        return varve_tar_fail(tar, VARVE_CODE_SPARSE_MAP_LIMIT, tar->block_offset);
    }
    if (!varve_tar_append(tar, &tar->sparse_text, tar->block, BLOCK)) {
        return false;
    }
    for (size_t i = 0; i < BLOCK; i++) {
        tar->map_newlines += tar->block[i] == '\n';
    }
    if (tar->map_wanted == 1 && tar->map_newlines) {
        struct varve_bytes text = {tar->sparse_text.bytes, tar->sparse_text.count};
        int64_t runs;
        if (!take_number(&text, &runs, '\n') || runs > (INT64_MAX - 1) / 2) {
            return bad_map(tar);
        }
        tar->map_wanted = 1 + 2 * (uint64_t)runs;
    }
    if (tar->map_newlines >= tar->map_wanted) {
        *complete = true;
        return read_map_text(tar);
    }
    /* Each number takes two bytes at least: a count that cannot come true is not waited for. */
    uint64_t missing = tar->map_wanted - tar->map_newlines;
    return (entry->stored_bytes >= BLOCK && missing <= entry->stored_bytes / 2) || bad_map(tar);
}
