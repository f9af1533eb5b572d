/* SPDX-License-Identifier: Apache-2.0 */
/* tests/src/tar_build.h - puts small archives together, header by header. */
#ifndef TESTS_TAR_BUILD_H
#define TESTS_TAR_BUILD_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct built {
    uint8_t *bytes;
    size_t count;
    size_t room;
};

static inline void build_raw(struct built *tar, const void *bytes, size_t count) {
    if (tar->count + count > tar->room) {
        tar->room = 2 * (tar->count + count);
        tar->bytes = realloc(tar->bytes, tar->room);
    }
    if (count) {
        memcpy(tar->bytes + tar->count, bytes, count);
    }
    tar->count += count;
}

static inline void build_zeros(struct built *tar, size_t count) {
    static const uint8_t zeros[512];
    for (; count; count -= count < 512 ? count : 512) {
        build_raw(tar, zeros, count < 512 ? count : 512);
    }
}

static inline void build_padding(struct built *tar) {
    build_zeros(tar, (0 - tar->count) & 511);
}

/* Puts the checksum of the header at `at` right. */
static inline void build_checksum(struct built *tar, size_t at) {
    uint8_t *block = tar->bytes + at;
    memset(block + 148, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++) {
        sum += block[i];
    }
    snprintf((char *)block + 148, 8, "%06o", sum);
    block[155] = ' ';
}

/* A ustar header as GNU tar writes it; its offset. Change fields, then build_checksum. */
static inline size_t build_header(struct built *tar, char type, const char *name, uint64_t size) {
    size_t at = tar->count;
    build_zeros(tar, 512);
    char *block = (char *)tar->bytes + at;
    memcpy(block, name, strlen(name) < 100 ? strlen(name) : 100);
    memcpy(block + 100, "0000644\0000000000\0000000000", 24);
    snprintf(block + 124, 12, "%011llo", (unsigned long long)size & 077777777777);
    memcpy(block + 136, "14524770400", 12);
    block[156] = type;
    memcpy(block + 257, "ustar\00000root", 12);
    memcpy(block + 297, "root", 4);
    memcpy(block + 329, "0000000\0000000000", 16);
    build_checksum(tar, at);
    return at;
}

/* Writes a text into a field of the header at `at`. */
static inline void build_field(struct built *tar, size_t at, size_t offset, const char *text,
                               size_t bytes) {
    memcpy(tar->bytes + at + offset, text, bytes);
    build_checksum(tar, at);
}

static inline void build_gnu(struct built *tar, size_t at) {
    memset(tar->bytes + at + 329, 0, 16);
    build_field(tar, at, 257, "ustar  ", 8);
}

static inline size_t build_body(struct built *tar, char type, const char *name, const void *body,
                                size_t bytes) {
    size_t at = build_header(tar, type, name, bytes);
    build_raw(tar, body, bytes);
    build_padding(tar);
    return at;
}

static inline size_t build_file(struct built *tar, const char *name, const char *content) {
    return build_body(tar, '0', name, content, strlen(content));
}

/* Appends a record to `body`. */
static inline void pax_record(struct built *body, const char *key, const void *value,
                              size_t bytes) {
    size_t length = strlen(key) + bytes + 3;
    size_t digits = 1;
    for (size_t power = 10; length + digits >= power; power *= 10) {
        digits++;
    }
    char front[32];
    snprintf(front, sizeof front, "%zu ", length + digits);
    build_raw(body, front, strlen(front));
    build_raw(body, key, strlen(key));
    build_raw(body, "=", 1);
    build_raw(body, value, bytes);
    build_raw(body, "\n", 1);
}

/* A pax header: key, value, key, value, ..., NULL. */
static inline size_t build_pax(struct built *tar, int type, ...) {
    struct built body = {0};
    va_list list;
    va_start(list, type);
    for (const char *key; (key = va_arg(list, const char *));) {
        const char *value = va_arg(list, const char *);
        pax_record(&body, key, value, strlen(value));
    }
    va_end(list);
    size_t at = build_body(tar, (char)type, "x/PaxHeaders.0/f", body.bytes, body.count);
    free(body.bytes);
    return at;
}

static inline void build_end(struct built *tar) {
    build_zeros(tar, 1024);
}

#endif
