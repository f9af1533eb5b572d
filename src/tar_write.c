/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_write.c - canonical headers (POSIX.1-2001, pax interchange format). */
#include "tar_write.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "path.h"

/* Where ustar's fields are, and how long. */
enum {
    BLOCK = 512,
    NAME_BYTES = 100,
    MODE_AT = 100,
    SIZE_AT = 124,
    MTIME_AT = 136,
    CHECKSUM_AT = 148,
    TYPE_AT = 156,
    LINK_AT = 157,
    MAGIC_AT = 257,
    UNAME_AT = 265,
    GNAME_AT = 297,
    OWNER_BYTES = 32, /* one for the NUL that some readers want */
    DEVMAJOR_AT = 329,
    DEVMINOR_AT = 337,
};

static const char magic_and_version[8] = {'u', 's', 't', 'a', 'r', '\0', '0', '0'};

static bool reserve(struct varve_growing *out, size_t bytes) {
    if (out->bytes && out->capacity - out->count >= bytes) {
        return true;
    }
    size_t capacity =
        2 * out->capacity > out->count + bytes ? 2 * out->capacity : out->count + bytes + 4096;
    assert(capacity > out->count); /* both are of things that are in memory */
    uint8_t *grown = realloc(out->bytes, capacity);
    if (!grown) {
        return false;
    }
    out->bytes = grown;
    out->capacity = capacity;
    return true;
}

static bool put(struct varve_growing *out, const void *bytes, size_t count) {
    if (!reserve(out, count)) {
        return false;
    }
    if (count) {
        memcpy(out->bytes + out->count, bytes, count);
    }
    out->count += count;
    return true;
}

/* ---- pax records ---- */

struct pax_pair {
    const char *prefix; /* of the key */
    struct varve_bytes key, value;
};

/* The records of one header. Few: they are sorted by insertion. */
struct pax {
    struct pax_pair *pairs;
    size_t count, capacity;
    struct varve_growing text; /* what was made for some of the values */
    bool failed;
};

static size_t key_bytes(const struct pax_pair *pair) {
    return strlen(pair->prefix) + pair->key.count;
}

static uint8_t key_at(const struct pax_pair *pair, size_t i) {
    size_t prefix = strlen(pair->prefix);
    return i < prefix ? (uint8_t)pair->prefix[i] : pair->key.bytes[i - prefix];
}

static int compare_keys(const void *a, const void *b) {
    const struct pax_pair *x = a;
    const struct pax_pair *y = b;
    size_t x_bytes = key_bytes(x);
    size_t y_bytes = key_bytes(y);
    for (size_t i = 0; i < x_bytes && i < y_bytes; i++) {
        int difference = key_at(x, i) - key_at(y, i);
        if (difference) {
            return difference;
        }
    }
    return (x_bytes > y_bytes) - (x_bytes < y_bytes);
}

static void add(struct pax *pax, const char *prefix, struct varve_bytes key,
                struct varve_bytes value) {
    if (pax->count == pax->capacity) {
        size_t capacity = pax->capacity ? 2 * pax->capacity : 16;
        struct pax_pair *grown = realloc(pax->pairs, capacity * sizeof *grown);
        if (!grown) {
            pax->failed = true;
            return;
        }
        pax->pairs = grown;
        pax->capacity = capacity;
    }
    pax->pairs[pax->count++] = (struct pax_pair){prefix, key, value};
}

static void add_named(struct pax *pax, const char *key, struct varve_bytes value) {
    add(pax, key, (struct varve_bytes){NULL, 0}, value);
}

/* Digits of a length; a record's length counts its own digits. */
static size_t record_length(size_t rest) {
    size_t length = rest + 1;
    char digits[24];
    for (;;) {
        size_t whole = (size_t)snprintf(digits, sizeof digits, "%zu", length) + rest;
        if (whole == length) {
            return length;
        }
        length = whole;
    }
}

static bool put_record(struct varve_growing *out, const struct pax_pair *pair) {
    size_t rest = 1 + key_bytes(pair) + 1 + pair->value.count + 1;
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%zu ", record_length(rest));
    return put(out, digits, (size_t)count) && put(out, pair->prefix, strlen(pair->prefix)) &&
           put(out, pair->key.bytes, pair->key.count) && put(out, "=", 1) &&
           put(out, pair->value.bytes, pair->value.count) && put(out, "\n", 1);
}

static void finish_checksum(uint8_t block[BLOCK]) {
    unsigned sum = 0;
    char digits[8];
    memset(block + CHECKSUM_AT, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++) {
        sum += block[i];
    }
    /* At most 512 * 255: six octal digits, a NUL, and the space that stands there already. */
    snprintf(digits, sizeof digits, "%06o", sum & 0777777u);
    memcpy(block + CHECKSUM_AT, digits, 7);
}

static void put_octal(uint8_t *field, size_t width, uint64_t value) {
    for (size_t i = width - 1; i-- > 0; value /= 8) {
        field[i] = (uint8_t)('0' + value % 8);
    }
}

/* An extension header with its body and padding. Its own fields say nothing and are always alike.
 */
static bool put_extension(struct varve_growing *out, uint8_t typeflag, struct pax *pax) {
    uint8_t block[BLOCK] = "././@PaxHeader";
    size_t header_at = out->count;
    if (pax->failed || !put(out, block, BLOCK)) {
        return false;
    }
    if (pax->count) {
        qsort(pax->pairs, pax->count, sizeof *pax->pairs, compare_keys);
    }
    size_t begin = out->count;
    for (size_t i = 0; i < pax->count; i++) {
        if (!put_record(out, &pax->pairs[i])) {
            return false;
        }
    }
    size_t bytes = out->count - begin;
    put_octal(block + MODE_AT, 8, 0644);
    put_octal(block + MODE_AT + 8, 8, 0);
    put_octal(block + MODE_AT + 16, 8, 0);
    put_octal(block + SIZE_AT, 12, bytes);
    put_octal(block + MTIME_AT, 12, 0);
    put_octal(block + DEVMAJOR_AT, 8, 0);
    put_octal(block + DEVMINOR_AT, 8, 0);
    block[TYPE_AT] = typeflag;
    memcpy(block + MAGIC_AT, magic_and_version, sizeof magic_and_version);
    finish_checksum(block);
    memcpy(out->bytes + header_at, block, BLOCK);
    static const uint8_t zeros[BLOCK];
    return put(out, zeros, (BLOCK - bytes % BLOCK) % BLOCK);
}

/* ---- What goes into them ---- */

/* "seconds.nanoseconds", the point only where there is a fraction: the decimal number, also before
 * 1970, where record times count nanoseconds towards the future. */
static struct varve_bytes time_text(struct pax *pax, int64_t seconds, uint32_t nanoseconds) {
    char text[48];
    const char *sign = seconds < 0 ? "-" : "";
    uint64_t whole = seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds;
    if (seconds < 0 && nanoseconds) {
        whole -= 1;
        nanoseconds = 1000000000u - nanoseconds;
    }
    int count = nanoseconds
                    ? snprintf(text, sizeof text, "%s%llu.%09u", sign, (unsigned long long)whole,
                               nanoseconds)
                    : snprintf(text, sizeof text, "%s%llu", sign, (unsigned long long)whole);
    size_t at = pax->text.count;
    if (!put(&pax->text, text, (size_t)count)) {
        pax->failed = true;
        return (struct varve_bytes){NULL, 0};
    }
    /* The text may move while it grows: kept as an offset until all are there. */
    return (struct varve_bytes){(const uint8_t *)(uintptr_t)at, (size_t)count};
}

static int64_t load_i64(const uint8_t *from) {
    return (int64_t)((uint64_t)varve_load_u32(from) | (uint64_t)varve_load_u32(from + 4) << 32);
}

/* Times as records hold them: 12 bytes, or none. */
static void add_time(struct pax *pax, const char *key, struct varve_bytes time) {
    if (time.count) {
        add_named(pax, key, time_text(pax, load_i64(time.bytes), varve_load_u32(time.bytes + 8)));
    }
}

/* What SCHILY's spelling cannot hold is written as libarchive writes it: names with a "=", where a
 * key would end; and empty values, which would say nothing (docs/ladder.md, R9), as the padding of
 * no digits. */
static void add_escaped_xattr(struct pax *pax, struct varve_tar_pair xattr) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t key_at_text = pax->text.count;
    bool good = true;
    for (size_t i = 0; i < xattr.key.count; i++) {
        uint8_t c = xattr.key.bytes[i];
        char text[4] = {(char)c, 0, 0, 0};
        bool plain = c > 0x20 && c < 0x7f && c != '=' && c != '%';
        if (!plain) {
            snprintf(text, sizeof text, "%%%02X", c);
        }
        good = good && put(&pax->text, text, plain ? 1 : 3);
    }
    size_t key_count = pax->text.count - key_at_text;
    size_t value_at = pax->text.count;
    for (size_t i = 0; i < xattr.value.count; i += 3) {
        size_t n = xattr.value.count - i < 3 ? xattr.value.count - i : 3;
        uint32_t word = (uint32_t)xattr.value.bytes[i] << 16;
        word |= n > 1 ? (uint32_t)xattr.value.bytes[i + 1] << 8 : 0;
        word |= n > 2 ? xattr.value.bytes[i + 2] : 0;
        for (size_t j = 0; j <= n; j++) {
            good = good && put(&pax->text, &digits[word >> (18 - 6 * j) & 63], 1);
        }
    }
    good = good && (xattr.value.count || put(&pax->text, "=", 1));
    pax->failed |= !good;
    add(pax, "LIBARCHIVE.xattr.",
        (struct varve_bytes){(const uint8_t *)(uintptr_t)key_at_text, key_count},
        (struct varve_bytes){(const uint8_t *)(uintptr_t)value_at, pax->text.count - value_at});
}

static bool begins(struct varve_bytes text, const char *with) {
    size_t count = strlen(with);
    return text.count > count && memcmp(text.bytes, with, count) == 0;
}

static bool is(struct varve_bytes text, const char *what) {
    return text.count == strlen(what) && memcmp(text.bytes, what, text.count) == 0;
}

static void add_xattr(struct pax *pax, struct varve_tar_pair xattr) {
    if (begins(xattr.key, "SCHILY.acl.") || is(xattr.key, "SCHILY.fflags")) {
        add(pax, "", xattr.key, xattr.value);
    } else {
        add(pax, "SCHILY.xattr.", xattr.key, xattr.value);
    }
}

static bool needs_escape(struct varve_tar_pair xattr) {
    return !xattr.value.count || memchr(xattr.key.bytes, '=', xattr.key.count);
}

/* Texts that time_text and add_escaped_xattr made are offsets so far. They are small numbers, and
 * come first: all others are added behind `made`. */
static void settle_texts(struct pax *pax, size_t made) {
    for (size_t i = 0; i < made; i++) {
        struct pax_pair *pair = &pax->pairs[i];
        pair->value.bytes = pax->text.bytes + (uintptr_t)pair->value.bytes;
        if (pair->key.count) {
            pair->key.bytes = pax->text.bytes + (uintptr_t)pair->key.bytes;
        }
    }
}

static void add_lists(struct pax *pax, const struct varve_record *attributes, bool escaped) {
    const uint8_t *rest = attributes->xattrs.bytes + 4;
    uint32_t count = varve_load_u32(attributes->xattrs.bytes);
    for (uint32_t i = 0; i < count; i++) {
        struct varve_tar_pair xattr = varve_record_next_pair(&rest);
        if (needs_escape(xattr) != escaped) {
            continue;
        }
        if (escaped) {
            add_escaped_xattr(pax, xattr);
        } else {
            add_xattr(pax, xattr);
        }
    }
    if (escaped) {
        return;
    }
    rest = attributes->records.bytes + 4;
    count = varve_load_u32(attributes->records.bytes);
    for (uint32_t i = 0; i < count; i++) {
        struct varve_tar_pair record = varve_record_next_pair(&rest);
        add(pax, "", record.key, record.value);
    }
}

/* ---- Entries ---- */

/* A text into its field, or, where that is too short, into a pax record too: the field then holds
 * its begin, for readers that know no pax. */
static void put_text(uint8_t *field, size_t bytes, struct varve_bytes text, struct pax *pax,
                     const char *key, bool *binary) {
    if (text.count) {
        memcpy(field, text.bytes, text.count < bytes ? text.count : bytes);
    }
    if (text.count > bytes) {
        add_named(pax, key, text);
        *binary |= !varve_path_is_utf8(text);
    }
}

/* Directories have a slash behind them, as all writers do; the root is "./". */
static bool path_text(struct varve_growing *text, const struct varve_canonical_entry *entry) {
    bool directory = !entry->hard_link && entry->is->type == '5';
    if (directory && !entry->path.count && !put(text, ".", 1)) {
        return false;
    }
    return put(text, entry->path.bytes, entry->path.count) && (!directory || put(text, "/", 1));
}

static void put_fixed(uint8_t block[BLOCK], const struct varve_canonical_entry *entry) {
    const uint8_t *is = entry->is->bytes;
    const uint8_t *attributes = entry->attributes->bytes;
    memcpy(block + MODE_AT, attributes + VARVE_RECORD_MODE, 24); /* mode, uid, gid */
    memcpy(block + MTIME_AT, attributes + VARVE_RECORD_MTIME, 12);
    if (entry->hard_link) {
        put_octal(block + SIZE_AT, 12, 0);
        put_octal(block + DEVMAJOR_AT, 8, 0);
        put_octal(block + DEVMINOR_AT, 8, 0);
    } else {
        memcpy(block + SIZE_AT, is + VARVE_RECORD_SIZE, 12);
        memcpy(block + DEVMAJOR_AT, is + VARVE_RECORD_DEVMAJOR, 8);
        memcpy(block + DEVMINOR_AT, is + VARVE_RECORD_DEVMINOR, 8);
    }
    block[TYPE_AT] = entry->hard_link ? '1' : entry->is->type;
    memcpy(block + MAGIC_AT, magic_and_version, sizeof magic_and_version);
}

bool varve_tar_write_entry(struct varve_growing *out, const struct varve_canonical_entry *entry) {
    const struct varve_record *attributes = entry->attributes;
    uint8_t block[BLOCK] = {0};
    struct pax pax = {NULL, 0, 0, {NULL, 0, 0}, false};
    struct varve_growing path = {NULL, 0, 0};
    bool binary = false;
    uint32_t nanoseconds = varve_load_u32(attributes->nanoseconds);
    if (nanoseconds) {
        int64_t seconds = varve_record_number(attributes->bytes + VARVE_RECORD_MTIME, 12);
        add_named(&pax, "mtime", time_text(&pax, seconds, nanoseconds));
    }
    add_time(&pax, "atime", attributes->atime);
    add_time(&pax, "ctime", attributes->ctime);
    add_time(&pax, "LIBARCHIVE.creationtime", attributes->creation);
    add_lists(&pax, attributes, true);
    settle_texts(&pax, pax.count);
    add_lists(&pax, attributes, false);
    put_fixed(block, entry);
    bool good = path_text(&path, entry);
    put_text(block, NAME_BYTES, (struct varve_bytes){path.bytes, path.count}, &pax, "path",
             &binary);
    put_text(block + LINK_AT, NAME_BYTES, entry->link, &pax, "linkpath", &binary);
    put_text(block + UNAME_AT, OWNER_BYTES - 1, attributes->uname, &pax, "uname", &binary);
    put_text(block + GNAME_AT, OWNER_BYTES - 1, attributes->gname, &pax, "gname", &binary);
    if (binary) {
        static const uint8_t value[] = "BINARY";
        add_named(&pax, "hdrcharset", (struct varve_bytes){value, sizeof value - 1});
    }
    finish_checksum(block);
    good = good && !pax.failed && (!pax.count || put_extension(out, 'x', &pax)) &&
           put(out, block, BLOCK);
    free(path.bytes);
    free(pax.pairs);
    free(pax.text.bytes);
    return good;
}

bool varve_tar_write_global(struct varve_growing *out, const uint8_t *list) {
    struct pax pax = {NULL, 0, 0, {NULL, 0, 0}, false};
    const uint8_t *rest = list + 4;
    uint32_t count = varve_load_u32(list);
    for (uint32_t i = 0; i < count; i++) {
        struct varve_tar_pair pair = varve_record_next_pair(&rest);
        add(&pax, "", pair.key, pair.value);
    }
    bool good = put_extension(out, 'g', &pax);
    free(pax.pairs);
    free(pax.text.bytes);
    return good;
}
