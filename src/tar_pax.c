/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_pax.c - pax extension headers (POSIX.1-2017 pax, "pax Extended Header"): their records,
 * the keys that are known, and extended attributes in their three spellings. */
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "tar_internal.h"

enum pax_kind {
    PAX_DROPPED,  /* read into a field, or of no meaning for the content */
    PAX_RECORD,   /* kept as it is */
    PAX_ATTRIBUTE /* key and value are an extended attribute's */
};
/* Of an attribute in several spellings the highest counts, for Go knows no other. */
enum { RANK_LIBARCHIVE, RANK_SELINUX, RANK_SCHILY };

static bool starts_with(struct varve_bytes text, const char *prefix) {
    size_t length = strlen(prefix);
    return text.count >= length && memcmp(text.bytes, prefix, length) == 0;
}

static bool is(struct varve_bytes text, const char *other) {
    return text.count == strlen(other) && starts_with(text, other);
}

static struct varve_bytes behind(struct varve_bytes text, const char *prefix) {
    size_t length = strlen(prefix);
    return (struct varve_bytes){text.bytes + length, text.count - length};
}

bool varve_tar_decimal(int64_t *value, struct varve_bytes text, bool minus) {
    size_t i = 0;
    bool negative = minus && text.count && text.bytes[0] == '-';
    i += negative;
    if (i == text.count) {
        return false;
    }
    uint64_t sum = 0;
    for (; i < text.count; i++) {
        uint8_t digit = (uint8_t)(text.bytes[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(sum, (uint64_t)10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)digit, &sum)) {
            return false;
        }
    }
    if (sum > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *value = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

/* [-]seconds[.fraction]: digits beyond the ninth are cut off, as Go does. */
static bool read_time(struct varve_tar *tar, struct varve_tar_time *time, struct varve_bytes text) {
    const uint8_t *point = text.count ? memchr(text.bytes, '.', text.count) : NULL;
    struct varve_bytes whole = {text.bytes, point ? (size_t)(point - text.bytes) : text.count};
    int64_t seconds;
    if (!varve_tar_decimal(&seconds, whole, true)) {
        return false;
    }
    uint32_t nanoseconds = 0;
    size_t digits = point ? text.count - whole.count - 1 : 0;
    for (size_t i = 0; i < digits; i++) {
        uint8_t digit = (uint8_t)(point[1 + i] - '0');
        if (digit > 9) {
            return false;
        }
        if (i < 9) {
            nanoseconds = nanoseconds * 10 + digit;
        }
    }
    for (size_t i = digits; i < 9; i++) {
        nanoseconds *= 10;
    }
    if (text.bytes[0] == '-' && nanoseconds) {
        if (seconds == INT64_MIN) {
            return false;
        }
        seconds--;
        nanoseconds = 1000000000 - nanoseconds;
    }
    tar->traits.pax_nanoseconds += digits == 9;
    *time = (struct varve_tar_time){seconds, nanoseconds, true};
    return true;
}

/* Splits one record off the front of `rest`. False where it is none; *leading_zero where its length
 * is written with one. */
static bool split_record(struct varve_tar_pair *pair, struct varve_bytes *rest,
                         bool *leading_zero) {
    const uint8_t *p = rest->bytes;
    size_t length = 0;
    size_t i = 0;
    for (; i < rest->count && p[i] >= '0' && p[i] <= '9'; i++) {
        length = length * 10 + (size_t)(p[i] - '0');
        if (length > rest->count) {
            return false;
        }
    }
    *leading_zero = p[0] == '0';
    if (i == 0 || i == rest->count || p[i] != ' ' || length < i + 4 || p[length - 1] != '\n') {
        return false; /* at least "=" between a key byte and the newline */
    }
    const uint8_t *key = p + i + 1;
    const uint8_t *end = p + length - 1;
    const uint8_t *equals = memchr(key, '=', (size_t)(end - key));
    if (!equals || equals == key) {
        return false;
    }
    pair->key = (struct varve_bytes){key, (size_t)(equals - key)};
    pair->value = (struct varve_bytes){equals + 1, (size_t)(end - equals - 1)};
    *rest = (struct varve_bytes){p + length, rest->count - length};
    return true;
}

static bool has_nul(struct varve_bytes text) {
    return text.count && memchr(text.bytes, 0, text.count);
}

static int compare_bytes(struct varve_bytes a, struct varve_bytes b) {
    size_t shorter = a.count < b.count ? a.count : b.count;
    int order = shorter ? memcmp(a.bytes, b.bytes, shorter) : 0;
    return order ? order : (a.count > b.count) - (a.count < b.count);
}

/* By kind and key; of equal ones the one that counts comes last. */
static int compare_records(const void *left, const void *right) {
    const struct pax_record *a = left;
    const struct pax_record *b = right;
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    int order = compare_bytes(a->key, b->key);
    if (order) {
        return order;
    }
    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    return a->at < b->at ? -1 : a->at > b->at;
}

/* Keys of POSIX whose meaning some readers take from global headers too. */
static bool is_override(struct varve_bytes key) {
    static const char *const keys[] = {"path",  "linkpath", "size",  "uid",   "gid",
                                       "uname", "gname",    "mtime", "atime", "ctime"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (is(key, keys[i])) {
            return true;
        }
    }
    return starts_with(key, "GNU.sparse.") || starts_with(key, "SCHILY.");
}

/* Format 0.0 gives its map as pairs of records, which must alternate: made into 0.1's text. */
static bool is_sparse_pair(struct varve_bytes key) {
    return is(key, "GNU.sparse.offset") || is(key, "GNU.sparse.numbytes");
}

static bool take_sparse_pair(struct varve_tar *tar, const struct varve_tar_pair *pair, uint64_t at,
                             uint64_t position) {
    bool offset = is(pair->key, "GNU.sparse.offset");
    struct varve_bytes value = pair->value;
    if (offset != (position % 2 == 0) || value.count == 0 ||
        memchr(value.bytes, ',', value.count)) {
        return varve_tar_fail(tar, VARVE_CODE_SPARSE_MAP, at);
    }
    static const uint8_t comma = ',';
    return (position == 0 || varve_tar_append(tar, &tar->sparse_text, &comma, 1)) &&
           varve_tar_append(tar, &tar->sparse_text, value.bytes, value.count);
}

static bool add_record(struct varve_tar *tar, size_t *count, const struct varve_tar_pair *pair,
                       uint64_t at, uint64_t body_offset) {
    if (*count == VARVE_LIMIT_PAX_RECORDS) {
        return varve_tar_fail(tar, VARVE_CODE_PAX_SIZE_LIMIT, at);
    }
    void *grown = tar->scratch;
    if (!varve_tar_grow(tar, &grown, &tar->scratch_capacity, *count < 16 ? 16 : *count + 1,
                        sizeof *tar->scratch)) {
        return false;
    }
    tar->scratch = grown;
    tar->scratch[(*count)++] =
        (struct pax_record){pair->key, pair->value, (uint32_t)(at - body_offset), 0, 0};
    return true;
}

/* A path or name must not hold a NUL, nor a key: readers would cut it at different places. */
static bool nul_is_fatal(const struct varve_tar_pair *pair) {
    struct varve_bytes key = pair->key;
    return has_nul(key) ||
           ((is(key, "path") || is(key, "linkpath") || is(key, "uname") || is(key, "gname")) &&
            has_nul(pair->value));
}

/* Reads all records of a body into tar->scratch. False after a fault. */
static bool read_records(struct varve_tar *tar, size_t *count, const struct buffer *body,
                         uint64_t body_offset) {
    struct varve_bytes rest = {body->bytes, body->count};
    struct varve_tar_pair previous = {{NULL, 0}, {NULL, 0}};
    struct varve_tar_pair pair = previous;
    bool sorted = true;
    bool global = tar->extension_type == 'g';
    uint64_t sparse_pairs = 0;
    uint64_t at = body_offset;
    for (*count = 0; rest.count; previous = pair) {
        at = body_offset + (body->count - rest.count);
        bool leading_zero;
        if (!split_record(&pair, &rest, &leading_zero)) {
            return varve_tar_fail(tar, VARVE_CODE_PAX_RECORD, at);
        }
        if (nul_is_fatal(&pair)) {
            return varve_tar_fail(tar, VARVE_CODE_PAX_NUL, at);
        }
        if (leading_zero) {
            varve_tar_note(tar, VARVE_CODE_PAX_LEADING_ZEROS, at);
        }
        sorted = sorted && (!previous.key.count || compare_bytes(previous.key, pair.key) <= 0);
        tar->traits.pax_mtime_first += !previous.key.count && rest.count && is(pair.key, "mtime");
        if (!global && is_sparse_pair(pair.key)) {
            if (!take_sparse_pair(tar, &pair, at, sparse_pairs++)) {
                return false;
            }
        } else if (!add_record(tar, count, &pair, at, body_offset)) {
            return false;
        }
    }
    if (!sorted) {
        tar->traits.pax_unsorted++;
        varve_tar_note(tar, VARVE_CODE_PAX_ORDER, body_offset);
    }
    if (sparse_pairs) {
        static const char key[] = "GNU.sparse.map";
        pair = (struct varve_tar_pair){{(const uint8_t *)key, sizeof key - 1},
                                       {tar->sparse_text.bytes, tar->sparse_text.count}};
        if (!add_record(tar, count, &pair, at, body_offset)) {
            return false;
        }
        tar->scratch[*count - 1].rank = 1; /* before a record of that key, wherever it stands */
    }
    return true;
}

/* Sorts the records and keeps the last of each run of equal kind and key. */
static void keep_last(struct varve_tar *tar, size_t *count, uint64_t offset, bool attributes) {
    struct pax_record *records = tar->scratch;
    if (*count == 0) {
        return;
    }
    size_t sorted = 1;
    while (sorted < *count && compare_records(&records[sorted - 1], &records[sorted]) < 0) {
        sorted++;
    }
    if (sorted < *count) {
        qsort(records, *count, sizeof *records, compare_records);
    }
    size_t kept = 0;
    for (size_t i = 1; i < *count; i++) {
        struct pax_record *last = &records[kept];
        if (last->kind != records[i].kind || !bytes_equal(last->key, records[i].key)) {
            kept++;
        } else if (!attributes) {
            varve_tar_note(tar, VARVE_CODE_PAX_DUPLICATE_KEY, offset);
        } else if (last->kind == PAX_ATTRIBUTE && last->rank != records[i].rank) {
            varve_tar_note(tar,
                           bytes_equal(last->value, records[i].value) ? VARVE_CODE_XATTR_TWICE
                                                                      : VARVE_CODE_XATTR_CONFLICT,
                           offset);
        }
        records[kept] = records[i];
    }
    *count = kept + 1;
}

static int hex_digit(uint8_t byte) {
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

/* Every % of a LIBARCHIVE.xattr name begins a %XX, and none of them is a NUL. */
static bool check_name(struct varve_bytes name) {
    for (size_t i = 0; i < name.count; i++) {
        if (name.bytes[i] != '%') {
            continue;
        }
        if (i + 2 >= name.count) {
            return false;
        }
        int high = hex_digit(name.bytes[i + 1]);
        int low = hex_digit(name.bytes[i + 2]);
        if (high < 0 || low < 0 || high + low == 0) {
            return false;
        }
    }
    return name.count > 0;
}

/* In place, in the body that we own. */
static void decode_name(struct varve_bytes *name) {
    uint8_t *out = (uint8_t *)name->bytes;
    size_t length = 0;
    for (size_t i = 0; i < name->count; i++) {
        uint8_t byte = name->bytes[i];
        if (byte == '%') {
            byte = (uint8_t)(hex_digit(name->bytes[i + 1]) << 4 | hex_digit(name->bytes[i + 2]));
            i += 2;
        }
        out[length++] = byte;
    }
    name->count = length;
}

/* RFC 4648 base64 of a LIBARCHIVE.xattr value, with or without its padding; in place. False: it is
 * none, and is as it was. */
static bool decode_value(struct varve_bytes *value) {
    size_t count = value->count;
    while (count && value->bytes[count - 1] == '=') {
        count--;
    }
    if (!varve_base64_decode_digits((uint8_t *)value->bytes, &count)) {
        return false;
    }
    value->count = count;
    return true;
}

/* A LIBARCHIVE.xattr record becomes an attribute; one that cannot be decoded stays a record. */
static void take_libarchive(struct varve_tar *tar, struct pax_record *record, uint64_t at) {
    struct varve_bytes name = behind(record->key, "LIBARCHIVE.xattr.");
    struct varve_bytes value = record->value;
    if (!check_name(name) || !decode_value(&value)) {
        varve_tar_note(tar, VARVE_CODE_XATTR_UNREADABLE, at);
        record->kind = PAX_RECORD;
        return;
    }
    decode_name(&name);
    varve_tar_note(tar, VARVE_CODE_XATTR_LIBARCHIVE, at);
    record->key = name;
    record->value = value;
    record->rank = RANK_LIBARCHIVE;
}

/* True where the record is an extended attribute; its key becomes the attribute's name. */
static bool take_attribute(struct varve_tar *tar, struct pax_record *record, uint64_t at) {
    struct varve_bytes key = record->key;
    record->kind = PAX_ATTRIBUTE;
    record->rank = RANK_SCHILY;
    if (starts_with(key, "SCHILY.xattr.") && key.count > strlen("SCHILY.xattr.")) {
        record->key = behind(key, "SCHILY.xattr.");
    } else if (starts_with(key, "LIBARCHIVE.xattr.")) {
        take_libarchive(tar, record, at);
    } else if (is(key, "RHT.security.selinux")) {
        record->key = behind(key, "RHT.");
        record->rank = RANK_SELINUX;
    } else if (starts_with(key, "SCHILY.acl.")) {
        varve_tar_note(tar, VARVE_CODE_XATTR_ACL, at);
    } else if (is(key, "SCHILY.fflags")) {
        varve_tar_note(tar, VARVE_CODE_XATTR_FFLAGS, at);
    } else {
        return false;
    }
    return true;
}

static void note_attribute(struct varve_tar *tar, struct varve_bytes name, uint64_t at) {
    if (is(name, "security.selinux")) {
        varve_tar_note(tar, VARVE_CODE_XATTR_SELINUX, at);
    } else if (is(name, "security.capability")) {
        varve_tar_note(tar, VARVE_CODE_XATTR_CAPABILITY, at);
    } else if (is(name, "security.ima") || is(name, "security.evm")) {
        varve_tar_note(tar, VARVE_CODE_XATTR_IMA, at);
    } else if (starts_with(name, "system.posix_acl_")) {
        varve_tar_note(tar, VARVE_CODE_XATTR_ACL, at);
    }
}

/* GNU.sparse.*: kept for tar_sparse.c, and as a record until that has used them. */
static void take_sparse(struct varve_tar *tar, const struct pax_record *record) {
    struct pax_values *pax = &tar->pax;
    struct varve_bytes name = behind(record->key, "GNU.sparse.");
    struct varve_bytes *field = is(name, "major")       ? &pax->sparse_major
                                : is(name, "minor")     ? &pax->sparse_minor
                                : is(name, "name")      ? &pax->sparse_name
                                : is(name, "size")      ? &pax->sparse_size
                                : is(name, "realsize")  ? &pax->sparse_realsize
                                : is(name, "map")       ? &pax->sparse_map
                                : is(name, "numblocks") ? &pax->sparse_blocks
                                                        : NULL;
    pax->sparse_any = true;
    if (field) {
        *field = record->value;
    }
}

/* 8-byte fields of the canonical record hold this much (kernels/kernels.h). */
static bool id_fits(int64_t id) {
    return id >= -((int64_t)1 << 62) && id < (int64_t)1 << 62;
}

static bool take_number(struct varve_tar *tar, int64_t *field, bool *has,
                        const struct pax_record *record, uint64_t at, bool minus) {
    *has = varve_tar_decimal(field, record->value, minus) && (!minus || id_fits(*field));
    return *has || varve_tar_fail(tar, VARVE_CODE_PAX_NUMBER, at);
}

/* SCHILY.dev*, .realsize: numbers that readers may ignore, so that a bad one is no fault. */
static void take_optional(int64_t *field, bool *has, struct pax_record *record) {
    *has = varve_tar_decimal(field, record->value, false) && id_fits(*field);
    record->kind = *has ? PAX_DROPPED : PAX_RECORD;
}

static bool take_time(struct varve_tar *tar, struct varve_tar_time *time,
                      const struct pax_record *record, uint64_t at) {
    return read_time(tar, time, record->value) || varve_tar_fail(tar, VARVE_CODE_PAX_TIME, at);
}

/* The keys of POSIX that fill a field. *known says whether it was one. */
static bool take_posix(struct varve_tar *tar, bool *known, const struct pax_record *record,
                       uint64_t at) {
    struct pax_values *pax = &tar->pax;
    struct varve_bytes key = record->key;
    *known = true;
    if (is(key, "path")) {
        pax->path = record->value;
    } else if (is(key, "linkpath")) {
        pax->link = record->value;
    } else if (is(key, "uname")) {
        pax->uname = record->value;
    } else if (is(key, "gname")) {
        pax->gname = record->value;
    } else if (is(key, "uid")) {
        return take_number(tar, &pax->uid, &pax->has_uid, record, at, true);
    } else if (is(key, "gid")) {
        return take_number(tar, &pax->gid, &pax->has_gid, record, at, true);
    } else if (is(key, "size")) {
        int64_t size = 0;
        bool taken = take_number(tar, &size, &pax->has_size, record, at, false);
        pax->size = (uint64_t)size;
        return taken;
    } else if (is(key, "mtime")) {
        return take_time(tar, &pax->mtime, record, at);
    } else if (is(key, "atime")) {
        varve_tar_note(tar, VARVE_CODE_PAX_ATIME, at);
        return take_time(tar, &pax->atime, record, at);
    } else if (is(key, "ctime")) {
        varve_tar_note(tar, VARVE_CODE_PAX_CTIME, at);
        return take_time(tar, &pax->ctime, record, at);
    } else {
        *known = false;
    }
    return true;
}

/* The keys of other writers. Sets record->kind. */
static void take_other(struct varve_tar *tar, struct pax_record *record, uint64_t at) {
    struct pax_values *pax = &tar->pax;
    struct varve_bytes key = record->key;
    record->kind = PAX_DROPPED;
    if (is(key, "comment")) {
        varve_tar_note(tar, VARVE_CODE_PAX_COMMENT, at);
    } else if (is(key, "hdrcharset")) {
        varve_tar_note(tar, VARVE_CODE_PAX_CHARSET, at);
    } else if (is(key, "SCHILY.dev") || is(key, "SCHILY.ino") || is(key, "SCHILY.nlink")) {
        varve_tar_note(tar, VARVE_CODE_PAX_SCHILY_STAT, at);
    } else if (is(key, "SCHILY.devmajor")) {
        take_optional(&pax->devmajor, &pax->has_devmajor, record);
    } else if (is(key, "SCHILY.devminor")) {
        take_optional(&pax->devminor, &pax->has_devminor, record);
    } else if (is(key, "SCHILY.realsize")) {
        int64_t size = 0;
        take_optional(&size, &pax->has_realsize, record);
        pax->realsize = (uint64_t)size;
    } else if (is(key, "LIBARCHIVE.creationtime") &&
               read_time(tar, &pax->creation, record->value)) {
        varve_tar_note(tar, VARVE_CODE_PAX_CREATIONTIME, at);
    } else if (starts_with(key, "GNU.sparse.")) {
        take_sparse(tar, record);
        record->kind = PAX_RECORD;
    } else {
        if (is(key, "SUN.holesdata")) {
            varve_tar_note(tar, VARVE_CODE_SPARSE_SUN, at);
            varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, at);
        }
        record->kind = PAX_RECORD;
    }
}

/* One record, the last of its key. False after a fault. */
static bool take(struct varve_tar *tar, struct pax_record *record, uint64_t at) {
    record->kind = PAX_DROPPED;
    bool attribute = starts_with(record->key, "SCHILY.xattr.") ||
                     starts_with(record->key, "LIBARCHIVE.xattr.") ||
                     starts_with(record->key, "RHT.security.");
    if (record->value.count == 0) {
        varve_tar_note(tar, attribute ? VARVE_CODE_XATTR_EMPTY : VARVE_CODE_PAX_EMPTY_VALUE, at);
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, at);
        return true;
    }
    bool known;
    if (!take_posix(tar, &known, record, at)) {
        return false;
    }
    if (!known && !take_attribute(tar, record, at)) {
        take_other(tar, record, at);
    }
    return true;
}

/* Copies what is left into pairs: attributes, then records. False after a fault. */
static bool store_pairs(struct varve_tar *tar, size_t count, uint64_t body_offset) {
    void *grown = tar->pairs;
    if (!varve_tar_grow(tar, &grown, &tar->pair_capacity, count < 16 ? 16 : count,
                        sizeof *tar->pairs)) {
        return false;
    }
    tar->pairs = grown;
    tar->xattr_count = tar->record_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (tar->scratch[i].kind == PAX_ATTRIBUTE) {
            tar->pairs[tar->xattr_count++] =
                (struct varve_tar_pair){tar->scratch[i].key, tar->scratch[i].value};
            note_attribute(tar, tar->scratch[i].key, body_offset + tar->scratch[i].at);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (tar->scratch[i].kind == PAX_RECORD) {
            if (!starts_with(tar->scratch[i].key, "GNU.sparse.")) {
                varve_tar_note(tar, VARVE_CODE_PAX_UNKNOWN, body_offset + tar->scratch[i].at);
            }
            tar->pairs[tar->xattr_count + tar->record_count++] =
                (struct varve_tar_pair){tar->scratch[i].key, tar->scratch[i].value};
        }
    }
    return true;
}

bool varve_tar_pax(struct varve_tar *tar, struct buffer *body, uint64_t body_offset) {
    size_t count;
    memset(&tar->pax, 0, sizeof tar->pax);
    tar->pax.present = true;
    tar->pax.offset = tar->block_offset;
    tar->sparse_text.count = 0;
    tar->xattr_count = tar->record_count = 0;
    if (body->count == 0) {
        varve_tar_note(tar, VARVE_CODE_PAX_EMPTY, tar->block_offset);
    }
    if (!read_records(tar, &count, body, body_offset)) {
        return false;
    }
    keep_last(tar, &count, body_offset, false);
    bool libarchive = false;
    bool schily = false;
    for (size_t i = 0; i < count; i++) {
        struct pax_record *record = &tar->scratch[i];
        libarchive = libarchive || starts_with(record->key, "LIBARCHIVE.");
        schily = schily || starts_with(record->key, "SCHILY.xattr.");
        if (!take(tar, record, body_offset + record->at)) {
            return false;
        }
    }
    tar->traits.pax_libarchive += libarchive;
    tar->traits.pax_schily_xattr += schily;
    keep_last(tar, &count, body_offset, true);
    return store_pairs(tar, count, body_offset);
}

bool varve_tar_pax_global(struct varve_tar *tar, uint64_t body_offset) {
    size_t count;
    if (tar->global_body.count == 0) {
        varve_tar_note(tar, VARVE_CODE_PAX_EMPTY, tar->block_offset);
    }
    if (!read_records(tar, &count, &tar->global_body, body_offset)) {
        return false;
    }
    keep_last(tar, &count, body_offset, false);
    void *grown = tar->globals;
    if (!varve_tar_grow(tar, &grown, &tar->global_capacity, count < 16 ? 16 : count,
                        sizeof *tar->globals)) {
        return false;
    }
    tar->globals = grown;
    bool overrides = false;
    for (size_t i = 0; i < count; i++) {
        tar->globals[i] = (struct varve_tar_pair){tar->scratch[i].key, tar->scratch[i].value};
        overrides = overrides || is_override(tar->scratch[i].key);
    }
    tar->global_count = count;
    if (overrides) {
        varve_tar_note(tar, VARVE_CODE_PAX_GLOBAL_OVERRIDE, tar->block_offset);
        varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->block_offset);
    }
    return true;
}
