/* SPDX-License-Identifier: Apache-2.0 */
/* src/diff_header.c - two entries' header blocks, field by field, where they mean the same.
 *
 * An entry has its own header block, before it any number of extension headers, behind it perhaps
 * a sparse map. Blocks of one kind are held against each other, the first against the first. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "diff_internal.h"

enum { BLOCK = VARVE_TAR_BLOCK_BYTES, TAIL_AT = 345 };

/* One header, or the sparse map behind the entry's own. */
struct piece {
    uint8_t kind; /* its typeflag for extension headers, 'h' the entry's own, 'm' a map */
    const uint8_t *block;
    const uint8_t *body;
    size_t body_bytes;
    size_t padding_bytes; /* behind the body */
    uint64_t offset;      /* decoded, of the block (of the body for 'm') */
};

/* Kinds in the order in which they are told. */
static const uint8_t kinds[] = {'g', 'X', 'x', 'L', 'K', 'h', 'm'};

static const char *part_of(uint8_t kind) {
    switch (kind) {
    case 'g':
        return "global";
    case 'X':
        return "solaris";
    case 'x':
        return "pax";
    case 'L':
        return "long name";
    case 'K':
        return "long link";
    case 'm':
        return "sparse map";
    default:
        return "header";
    }
}

static bool is_extension(uint8_t typeflag) {
    return typeflag == 'x' || typeflag == 'X' || typeflag == 'L' || typeflag == 'K' ||
           typeflag == 'g';
}

/* The blocks of one entry, taken apart as they are asked for. */
struct blocks {
    const uint8_t *bytes;
    size_t count;
    uint64_t offset;
    bool own_seen;
    size_t at;
};

static bool next_piece(struct piece *piece, struct blocks *blocks) {
    size_t left = blocks->count - blocks->at;
    if (!left) {
        return false;
    }
    const uint8_t *block = blocks->bytes + blocks->at;
    struct varve_header_numbers numbers;
    *piece = (struct piece){.block = block, .offset = blocks->offset + blocks->at};
    if (blocks->own_seen || left < BLOCK) {
        piece->kind = 'm';
        piece->body = block;
        piece->body_bytes = left;
        blocks->at = blocks->count;
        return true;
    }
    blocks->at += BLOCK;
    left -= BLOCK;
    if (!is_extension(block[156])) {
        piece->kind = 'h';
        blocks->own_seen = true;
        return true;
    }
    varve_header_row_of(VARVE_TIER_SCALAR)->read(&numbers, block, 1);
    uint64_t size = (uint64_t)numbers.value[VARVE_HEADER_SIZE];
    uint64_t padded = size > left ? left : (size + BLOCK - 1) / BLOCK * BLOCK;
    piece->kind = block[156];
    piece->body = block + BLOCK;
    piece->body_bytes = size < left ? (size_t)size : left;
    size_t all = padded < left ? (size_t)padded : left;
    piece->padding_bytes = all - piece->body_bytes;
    blocks->at += all;
    return true;
}

/* The `nth` piece of a kind. */
static bool find_piece(struct piece *piece, const struct blocks *from, uint8_t kind, size_t nth) {
    struct blocks blocks = *from;
    while (next_piece(piece, &blocks)) {
        if (piece->kind == kind && nth-- == 0) {
            return true;
        }
    }
    return false;
}

/* --- fixed fields --- */

struct block_field {
    const char *name;
    uint16_t at, bytes;
    unsigned explained; /* by these meanings */
};

#define ANY (~0u)
static const struct block_field common_fields[] = {
    {"name", 0, 100, 0},
    {"mode", 100, 8, DIFF_MEANS_MODE | DIFF_MEANS_TYPE},
    {"uid", 108, 8, DIFF_MEANS_UID},
    {"gid", 116, 8, DIFF_MEANS_GID},
    {"size", 124, 12, DIFF_MEANS_SIZE | DIFF_MEANS_TYPE},
    {"mtime", 136, 12, DIFF_MEANS_MTIME},
    {"chksum", 148, 8, ANY},
    {"typeflag", 156, 1, DIFF_MEANS_TYPE},
    {"linkname", 157, 100, DIFF_MEANS_LINK | DIFF_MEANS_TYPE},
    {"magic", 257, 6, 0},
    {"version", 263, 2, 0},
    {"uname", 265, 32, DIFF_MEANS_UNAME},
    {"gname", 297, 32, DIFF_MEANS_GNAME},
    {"devmajor", 329, 8, DIFF_MEANS_DEVICE | DIFF_MEANS_TYPE},
    {"devminor", 337, 8, DIFF_MEANS_DEVICE | DIFF_MEANS_TYPE},
};
/* From 345 on each dialect has its own. */
static const struct block_field ustar_fields[] = {{"prefix", 345, 155, 0}, {"unused", 500, 12, 0}};
static const struct block_field gnu_fields[] = {
    {"atime", 345, 12, DIFF_MEANS_ATIME},
    {"ctime", 357, 12, DIFF_MEANS_CTIME},
    {"offset", 369, 12, 0},
    {"longnames", 381, 4, 0},
    {"unused", 385, 1, 0},
    {"sparse", 386, 96, DIFF_MEANS_CONTENT | DIFF_MEANS_SIZE},
    {"isextended", 482, 1, DIFF_MEANS_CONTENT | DIFF_MEANS_SIZE},
    {"realsize", 483, 12, DIFF_MEANS_SIZE},
    {"unused", 495, 17, 0},
};
static const struct block_field star_fields[] = {
    {"prefix", 345, 131, 0},
    {"atime", 476, 12, DIFF_MEANS_ATIME},
    {"ctime", 488, 12, DIFF_MEANS_CTIME},
    {"unused", 500, 8, 0},
    {"suffix", 508, 4, 0},
};
static const struct block_field other_fields[] = {{"tail", 345, 167, 0}};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum dialect { USTAR, GNU, STAR, V7 };

static enum dialect dialect_of(const uint8_t *block) {
    if (memcmp(block + 257, "ustar", 5) != 0) {
        return V7;
    }
    if (memcmp(block + 257, "ustar  ", 8) == 0) {
        return GNU;
    }
    return memcmp(block + 508, "tar", 4) == 0 ? STAR : USTAR;
}

static bool has_tail(const uint8_t *block) {
    for (size_t i = TAIL_AT; i < BLOCK; i++) {
        if (block[i]) {
            return true;
        }
    }
    return false;
}

/* The layout in which both tails can be told: that of both, or of the one that has something. */
static const struct block_field *tail_fields(size_t *count, const uint8_t *left,
                                             const uint8_t *right) {
    enum dialect dialects[2] = {dialect_of(left), dialect_of(right)};
    enum dialect dialect = has_tail(left) ? dialects[0] : dialects[1];
    if (dialect == V7 || (dialects[0] != dialects[1] && has_tail(left) && has_tail(right))) {
        *count = COUNT(other_fields);
        return other_fields;
    }
    *count = dialect == GNU    ? COUNT(gnu_fields)
             : dialect == STAR ? COUNT(star_fields)
                               : COUNT(ustar_fields);
    return dialect == GNU ? gnu_fields : dialect == STAR ? star_fields : ustar_fields;
}

static size_t first_difference(const uint8_t *left, const uint8_t *right, size_t count) {
    size_t i = 0;
    while (i < count && left[i] == right[i]) {
        i++;
    }
    return i;
}

/* Raw bytes of both sides that differ. */
static void put_raw(struct varve_diff *diff, const char *part, const char *name,
                    struct varve_bytes left, struct varve_bytes right, uint64_t left_offset,
                    uint64_t right_offset) {
    size_t shorter = left.count < right.count ? left.count : right.count;
    size_t at = first_difference(left.bytes, right.bytes, shorter);
    struct varve_diff_field *field = varve_diff_add_field(diff, part, name);
    varve_diff_set(field, 0, left);
    varve_diff_set(field, 1, right);
    if (field) {
        field->offset[0] = left_offset + at;
        field->offset[1] = right_offset + at;
    }
}

static void compare_fields(struct varve_diff *diff, const struct piece *left,
                           const struct piece *right, const struct block_field *fields,
                           size_t count, unsigned meaning) {
    for (size_t i = 0; i < count; i++) {
        const struct block_field *field = &fields[i];
        if (field->explained & meaning ||
            memcmp(left->block + field->at, right->block + field->at, field->bytes) == 0) {
            continue;
        }
        put_raw(diff, part_of(left->kind), field->name,
                (struct varve_bytes){left->block + field->at, field->bytes},
                (struct varve_bytes){right->block + field->at, field->bytes},
                left->offset + field->at, right->offset + field->at);
    }
}

static void compare_blocks(struct varve_diff *diff, const struct piece *left,
                           const struct piece *right, unsigned meaning) {
    size_t count = 0;
    const struct block_field *tail = tail_fields(&count, left->block, right->block);
    compare_fields(diff, left, right, common_fields, COUNT(common_fields), meaning);
    compare_fields(diff, left, right, tail, count, meaning);
}

/* --- pax records --- */

static const struct {
    const char *key; /* a prefix where it ends in a point */
    unsigned meaning;
} key_meanings[] = {
    {"path", 0},
    {"linkpath", DIFF_MEANS_LINK | DIFF_MEANS_TYPE},
    {"size", DIFF_MEANS_SIZE},
    {"uid", DIFF_MEANS_UID},
    {"gid", DIFF_MEANS_GID},
    {"uname", DIFF_MEANS_UNAME},
    {"gname", DIFF_MEANS_GNAME},
    {"mtime", DIFF_MEANS_MTIME},
    {"atime", DIFF_MEANS_ATIME},
    {"ctime", DIFF_MEANS_CTIME},
    {"LIBARCHIVE.creationtime", DIFF_MEANS_CREATION},
    {"LIBARCHIVE.xattr.", DIFF_MEANS_XATTRS},
    {"SCHILY.xattr.", DIFF_MEANS_XATTRS},
    {"SCHILY.acl.", DIFF_MEANS_XATTRS},
    {"SCHILY.fflags", DIFF_MEANS_XATTRS},
    {"RHT.security.", DIFF_MEANS_XATTRS},
    {"SCHILY.devmajor", DIFF_MEANS_DEVICE},
    {"SCHILY.devminor", DIFF_MEANS_DEVICE},
    {"GNU.sparse.", DIFF_MEANS_CONTENT | DIFF_MEANS_SIZE},
    {"comment", 0},
    {"hdrcharset", 0},
    {"SCHILY.dev", 0},
    {"SCHILY.ino", 0},
    {"SCHILY.nlink", 0},
    {"SCHILY.realsize", DIFF_MEANS_SIZE},
};

static unsigned explained_by(struct varve_bytes key) {
    for (size_t i = 0; i < COUNT(key_meanings); i++) {
        const char *name = key_meanings[i].key;
        size_t length = strlen(name);
        bool prefix = name[length - 1] == '.';
        if (key.count >= length && (prefix || key.count == length) &&
            memcmp(key.bytes, name, length) == 0) {
            return key_meanings[i].meaning;
        }
    }
    return DIFF_MEANS_RECORDS;
}

struct record {
    struct varve_bytes key, value;
    uint32_t number; /* its place in the header */
    uint64_t offset; /* decoded, of the record */
};

/* The next record of a body that the parser has read without a fault; false at its end, or where
 * it was cut. */
static bool next_record(struct record *record, const struct piece *piece, size_t *at) {
    const uint8_t *begin = piece->body + *at;
    size_t left = piece->body_bytes - *at;
    size_t length = 0, digits = 0;
    while (digits < left && begin[digits] >= '0' && begin[digits] <= '9' && length <= left) {
        length = 10 * length + (begin[digits++] - '0');
    }
    const uint8_t *equals = NULL;
    if (digits < left && length <= left && length > digits + 2) {
        equals = memchr(begin + digits + 1, '=', length - digits - 2);
    }
    if (!equals) {
        return false;
    }
    const uint8_t *key = begin + digits + 1;
    record->key = (struct varve_bytes){key, (size_t)(equals - key)};
    record->value = (struct varve_bytes){equals + 1, length - (size_t)(equals + 1 - begin) - 1};
    record->offset = piece->offset + BLOCK + *at;
    *at += length;
    return true;
}

static int compare_records(const void *left, const void *right) {
    const struct record *a = left;
    const struct record *b = right;
    size_t shorter = a->key.count < b->key.count ? a->key.count : b->key.count;
    int order = memcmp(a->key.bytes, b->key.bytes, shorter);
    order = order ? order : (a->key.count > b->key.count) - (a->key.count < b->key.count);
    return order ? order : (a->number > b->number) - (a->number < b->number);
}

/* The records of a header sorted by key, in memory of the difference. */
static struct record *read_records(struct varve_diff *diff, size_t *count,
                                   const struct piece *piece) {
    struct record record = {{NULL, 0}, {NULL, 0}, 0, 0};
    size_t at = 0;
    *count = 0;
    while (next_record(&record, piece, &at)) {
        ++*count;
    }
    size_t bytes = (*count + 1) * sizeof(struct record) + _Alignof(struct record);
    uint8_t *memory = varve_diff_allocate(diff, bytes);
    if (!memory) {
        *count = 0;
        return NULL;
    }
    uintptr_t skew = (uintptr_t)memory % _Alignof(struct record);
    struct record *records = (void *)(memory + (skew ? _Alignof(struct record) - skew : 0));
    at = 0;
    for (size_t i = 0; i < *count; i++) {
        next_record(&records[i], piece, &at);
        records[i].number = (uint32_t)i;
    }
    qsort(records, *count, sizeof *records, compare_records);
    return records;
}

/* Keys in the order of the header, parted by spaces. */
static struct varve_bytes key_list(struct varve_diff *diff, const struct piece *piece) {
    uint8_t *text = varve_diff_allocate(diff, piece->body_bytes + 1);
    size_t used = 0, at = 0;
    struct record record;
    while (text && next_record(&record, piece, &at)) {
        if (used) {
            text[used++] = ' ';
        }
        memcpy(text + used, record.key.bytes, record.key.count);
        used += record.key.count;
    }
    return (struct varve_bytes){text, used};
}

static int compare_keys(const struct record *a, const struct record *b) {
    struct record x = *a, y = *b;
    x.number = y.number = 0;
    return compare_records(&x, &y);
}

static void put_record(struct varve_diff *diff, const struct record *left,
                       const struct record *right) {
    struct varve_diff_field *field = varve_diff_add_field(diff, "pax record", "record");
    const struct record *sides[2] = {left, right};
    for (unsigned i = 0; i < 2; i++) {
        if (field && sides[i]) {
            field->key = sides[i]->key;
            field->offset[i] = sides[i]->offset;
            varve_diff_set(field, i, sides[i]->value);
        }
    }
}

/* True where what differs of two bodies was told, or is explained by the meaning. */
static bool compare_record_lists(struct varve_diff *diff, const struct piece *left,
                                 const struct piece *right, unsigned meaning) {
    size_t counts[2];
    struct record *lists[2] = {read_records(diff, &counts[0], left),
                               read_records(diff, &counts[1], right)};
    bool told = false;
    for (size_t i = 0, j = 0; i < counts[0] || j < counts[1];) {
        int order = i == counts[0]   ? 1
                    : j == counts[1] ? -1
                                     : compare_keys(&lists[0][i], &lists[1][j]);
        const struct record *a = order <= 0 ? &lists[0][i++] : NULL;
        const struct record *b = order >= 0 ? &lists[1][j++] : NULL;
        if (a && b && diff_same(a->value, b->value)) {
            continue;
        }
        const struct record *either = a ? a : b;
        told = true;
        if (either && !(explained_by(either->key) & meaning)) {
            put_record(diff, a, b);
        }
    }
    return told;
}

static void compare_pax_bodies(struct varve_diff *diff, const struct piece *left,
                               const struct piece *right, unsigned meaning) {
    struct varve_bytes bodies[2] = {{left->body, left->body_bytes},
                                    {right->body, right->body_bytes}};
    if (diff_same(bodies[0], bodies[1]) || compare_record_lists(diff, left, right, meaning)) {
        return;
    }
    struct varve_bytes keys[2] = {key_list(diff, left), key_list(diff, right)};
    if (!diff_same(keys[0], keys[1])) {
        struct varve_diff_field *field = varve_diff_add_field(diff, part_of(left->kind), "order");
        varve_diff_set(field, 0, keys[0]);
        varve_diff_set(field, 1, keys[1]);
        return;
    }
    put_raw(diff, part_of(left->kind), "body", bodies[0], bodies[1], left->offset + BLOCK,
            right->offset + BLOCK);
}

/* --- pieces --- */

static bool is_pax(uint8_t kind) {
    return kind == 'x' || kind == 'X' || kind == 'g';
}

static bool is_zero(struct varve_bytes bytes) {
    size_t i = 0;
    while (i < bytes.count && bytes.bytes[i] == 0) {
        i++;
    }
    return i == bytes.count;
}

/* What fills the last block of a body, where it is not NULs on both sides. */
static void compare_padding(struct varve_diff *diff, const struct piece *left,
                            const struct piece *right) {
    struct varve_bytes fills[2] = {{left->body + left->body_bytes, left->padding_bytes},
                                   {right->body + right->body_bytes, right->padding_bytes}};
    if (!diff_same(fills[0], fills[1]) && !(is_zero(fills[0]) && is_zero(fills[1]))) {
        put_raw(diff, part_of(left->kind), "padding", fills[0], fills[1],
                left->offset + BLOCK + left->body_bytes, right->offset + BLOCK + right->body_bytes);
    }
}

static void compare_pieces(struct varve_diff *diff, const struct piece *left,
                           const struct piece *right, unsigned meaning) {
    if (left->kind == 'm') {
        struct varve_bytes maps[2] = {{left->body, left->body_bytes},
                                      {right->body, right->body_bytes}};
        if (!(meaning & (DIFF_MEANS_CONTENT | DIFF_MEANS_SIZE)) && !diff_same(maps[0], maps[1])) {
            put_raw(diff, part_of('m'), "map", maps[0], maps[1], left->offset, right->offset);
        }
        return;
    }
    if (left->kind == 'h') {
        compare_blocks(diff, left, right, meaning);
        return;
    }
    /* An extension header's own size and sum follow from its body. */
    bool resized = left->body_bytes != right->body_bytes;
    compare_blocks(diff, left, right, resized ? DIFF_MEANS_SIZE : 0);
    compare_padding(diff, left, right);
    struct varve_bytes bodies[2] = {{left->body, left->body_bytes},
                                    {right->body, right->body_bytes}};
    if (is_pax(left->kind)) {
        compare_pax_bodies(diff, left, right, meaning);
    } else if (!diff_same(bodies[0], bodies[1]) &&
               !(left->kind == 'K' && meaning & DIFF_MEANS_LINK)) {
        put_raw(diff, part_of(left->kind), "body", bodies[0], bodies[1], left->offset + BLOCK,
                right->offset + BLOCK);
    }
}

/* Whether the meaning explains that one side alone has an extension header. */
static bool explains(const struct piece *piece, unsigned meaning) {
    struct record record;
    size_t at = 0;
    switch (piece->kind) {
    case 'K':
        return meaning & (DIFF_MEANS_LINK | DIFF_MEANS_TYPE);
    case 'm':
        return meaning & (DIFF_MEANS_CONTENT | DIFF_MEANS_SIZE | DIFF_MEANS_TYPE);
    case 'x':
    case 'X':
        while (next_record(&record, piece, &at)) {
            if (!(explained_by(record.key) & meaning)) {
                return false;
            }
        }
        return meaning != 0;
    default:
        return false;
    }
}

static void put_lone(struct varve_diff *diff, const struct piece *piece, unsigned side,
                     unsigned meaning) {
    if (explains(piece, meaning)) {
        return;
    }
    struct varve_diff_field *field = varve_diff_add_field(diff, part_of(piece->kind), "present");
    struct varve_bytes value = {piece->body, piece->body_bytes};
    if (is_pax(piece->kind)) {
        value = key_list(diff, piece);
    } else if (piece->kind == 'L' || piece->kind == 'K') {
        const uint8_t *nul = value.count ? memchr(value.bytes, 0, value.count) : NULL;
        value.count = nul ? (size_t)(nul - value.bytes) : value.count;
    }
    varve_diff_set(field, side, value);
    if (field) {
        field->offset[side] = piece->offset;
    }
}

static bool unpack(struct varve_diff *diff, struct blocks *blocks, const struct diff_raw_item *item,
                   unsigned side) {
    if (item->bytes > diff->unpacked_room[side]) {
        uint8_t *larger = realloc(diff->unpacked[side], item->bytes);
        if (!larger) {
            diff->no_memory = true;
            return false;
        }
        diff->unpacked[side] = larger;
        diff->unpacked_room[side] = item->bytes;
    }
    if (item->bytes) {
        varve_diff_raw_unpack(diff->unpacked[side], item);
    }
    *blocks = (struct blocks){diff->unpacked[side], item->bytes, item->offset, false, 0};
    return true;
}

/* The kinds of extension headers in their order: "x L". */
static struct varve_bytes kind_list(struct varve_diff *diff, const struct blocks *from) {
    struct blocks blocks = *from;
    struct piece piece;
    uint8_t text[64];
    size_t used = 0;
    while (used + 2 < sizeof text && next_piece(&piece, &blocks) && is_extension(piece.kind)) {
        if (used) {
            text[used++] = ' ';
        }
        text[used++] = piece.kind;
    }
    return varve_diff_copy(diff, text, used);
}

void varve_diff_headers(struct varve_diff *diff, const struct diff_raw_item *left,
                        const struct diff_raw_item *right, unsigned meaning) {
    struct blocks blocks[2];
    bool lone = false;
    if (varve_diff_raw_equal(left, right) || !unpack(diff, &blocks[0], left, 0) ||
        !unpack(diff, &blocks[1], right, 1)) {
        return;
    }
    size_t before = diff->field_count;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        struct piece pieces[2];
        bool found[2] = {true, true};
        /* Of one kind there are one or two; the parser allows a thousand. */
        for (size_t n = 0; found[0] || found[1]; n++) {
            found[0] = found[0] && find_piece(&pieces[0], &blocks[0], kinds[k], n);
            found[1] = found[1] && find_piece(&pieces[1], &blocks[1], kinds[k], n);
            if (found[0] && found[1]) {
                compare_pieces(diff, &pieces[0], &pieces[1], meaning);
            } else if (found[0] || found[1]) {
                lone = true;
                put_lone(diff, found[0] ? &pieces[0] : &pieces[1], found[0] ? 0 : 1, meaning);
            }
        }
    }
    struct varve_bytes lists[2] = {kind_list(diff, &blocks[0]), kind_list(diff, &blocks[1])};
    if (!lone && !diff_same(lists[0], lists[1])) {
        struct varve_diff_field *field = varve_diff_add_field(diff, "header", "order");
        varve_diff_set(field, 0, lists[0]);
        varve_diff_set(field, 1, lists[1]);
    }
    if (diff->field_count == before && !meaning) {
        /* The same fields, and yet other bytes: beyond what is kept, which only hostile headers
         * are. */
        size_t shorter = left->bytes < right->bytes ? left->bytes : right->bytes;
        size_t at = first_difference(blocks[0].bytes, blocks[1].bytes, shorter);
        struct varve_diff_field *field = varve_diff_add_field(diff, "header", "other bytes");
        for (unsigned i = 0; i < 2; i++) {
            size_t left_over = blocks[i].count > at ? blocks[i].count - at : 0;
            size_t count = left_over < BLOCK ? left_over : BLOCK - at % BLOCK;
            varve_diff_set(field, i, (struct varve_bytes){blocks[i].bytes + at, count});
            if (field) {
                field->offset[i] = blocks[i].offset + at;
            }
        }
    }
}
