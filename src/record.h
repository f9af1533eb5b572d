/* SPDX-License-Identifier: Apache-2.0 */
/* src/record.h - canonical records (docs/ladder.md, section 4): written from the parser's entries,
 * and taken apart again. */
#ifndef VARVE_RECORD_H
#define VARVE_RECORD_H

#include "kernels.h"
#include "varve/sha256.h"
#include "varve/tar.h"

/* Where the numbers of the fixed part stand; the type comes behind it, then the path. */
enum {
    VARVE_RECORD_MODE = 0,
    VARVE_RECORD_UID = 8,
    VARVE_RECORD_GID = 16,
    VARVE_RECORD_SIZE = 24,
    VARVE_RECORD_MTIME = 36,
    VARVE_RECORD_DEVMAJOR = 48,
    VARVE_RECORD_DEVMINOR = 56,
    VARVE_RECORD_TYPE = VARVE_HEADER_FIXED_BYTES,
    VARVE_RECORD_PATH = VARVE_RECORD_TYPE + 1
};

/* The trailer record's length. */
enum { VARVE_TRAILER_RECORD_BYTES = 8 + 8 + VARVE_SHA256_BYTES };

/* A record taken apart. All point into it. */
struct varve_record {
    const uint8_t *bytes; /* the record; its fixed part comes first */
    size_t count;
    uint8_t type;
    struct varve_bytes path, link, uname, gname;
    const uint8_t *nanoseconds;                /* 4 bytes */
    struct varve_bytes atime, ctime, creation; /* 12 bytes, or none */
    struct varve_bytes xattrs, records;        /* whole lists, their counts first */
    struct varve_bytes digest;                 /* 32 bytes, or none */
};

/* True for types that carry data (and a digest). */
bool varve_record_has_content(uint8_t type);

/* The numbers of an entry's fixed part, by rules C1 to C3. */
void varve_record_values(struct varve_header_values *values, const struct varve_tar_entry *entry);

/* No record of the entry (of a global header with these records) takes more bytes. */
size_t varve_record_bound(const struct varve_tar_entry *entry);
size_t varve_record_global_bound(const struct varve_tar_pair *pairs, size_t count);

/* Writes the record of an entry whose xattrs and records are sorted by key, but for the fixed part
 * and the digest, which are left to be filled in. Returns its length; the digest, where the type
 * has one, is its last 32 bytes. */
size_t varve_record_write(uint8_t *to, const struct varve_tar_entry *entry);

/* Writes the record of a global header, pairs sorted by key. Returns its length. */
size_t varve_record_write_global(uint8_t *to, const struct varve_tar_pair *pairs, size_t count);

/* Writes the trailer record. */
void varve_record_write_trailer(uint8_t to[VARVE_TRAILER_RECORD_BYTES], uint64_t bytes,
                                const uint8_t digest[VARVE_SHA256_BYTES]);

/* Takes a record of an entry apart. */
void varve_record_read(struct varve_record *record, const uint8_t *bytes);

/* Reads a number of the fixed part back. */
int64_t varve_record_number(const uint8_t *field, size_t bytes);

/* Sorts pairs by key as the format wants. Returns true where they were sorted already. */
bool varve_record_is_sorted(const struct varve_tar_pair *pairs, size_t count);
void varve_record_sort(struct varve_tar_pair *pairs, size_t count);

/* Reads the next pair of a list at *rest (behind its count). */
struct varve_tar_pair varve_record_next_pair(const uint8_t **rest);

/* The value of the xattr of that name; nothing where there is none. */
struct varve_bytes varve_record_xattr(const struct varve_record *record, const char *name);

/* u32 and string of the format. */
static inline uint32_t varve_load_u32(const uint8_t *from) {
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

static inline void varve_store_u32(uint8_t *to, uint32_t value) {
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)(value >> 16);
    to[3] = (uint8_t)(value >> 24);
}

/* The path alone: most of what sorting needs. */
static inline struct varve_bytes varve_record_path(const uint8_t *bytes) {
    return (struct varve_bytes){bytes + VARVE_RECORD_PATH + 4,
                                varve_load_u32(bytes + VARVE_RECORD_PATH)};
}

#endif
