/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_internal.h - what the files of the tar parser share. */
#ifndef VARVE_TAR_INTERNAL_H
#define VARVE_TAR_INTERNAL_H

#include "codes.h"
#include "kernels.h"
#include "limits.h"
#include "varve/tar.h"

enum { BLOCK = VARVE_TAR_BLOCK_BYTES };

/* POSIX.1-2017 pax, "ustar Interchange Format"; GNU and star where marked. */
enum header_field_offset {
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_CHECKSUM = 148,
    AT_TYPEFLAG = 156,
    AT_LINK = 157,
    AT_MAGIC = 257,
    AT_VERSION = 263,
    AT_UNAME = 265,
    AT_GNAME = 297,
    AT_DEVMAJOR = 329,
    AT_DEVMINOR = 337,
    AT_PREFIX = 345,
    AT_GNU_ATIME = 345,
    AT_GNU_CTIME = 357,
    AT_GNU_SPARSE = 386,
    AT_GNU_EXTENDED = 482,
    AT_GNU_REALSIZE = 483,
    AT_GNU_END = 495,
    AT_STAR_ATIME = 476,
    AT_STAR_CTIME = 488,
    AT_PREFIX_END = 500,
    AT_STAR_SUFFIX = 508
};
enum { NAME_BYTES = 100, LINK_BYTES = 100, OWNER_NAME_BYTES = 32, STAR_PREFIX_BYTES = 131 };

/* Bytes that grow as input arrives, never because a header claims them; taken from the budget. */
struct buffer {
    uint8_t *bytes;
    size_t count;
    size_t capacity;
};

/* Findings wait for the entry they belong to. */
struct note {
    enum varve_code code;
    uint64_t count;
    uint64_t offset;
};
enum { NOTES_MAX = 160 };

/* What the pending x header says. Texts and numbers not given are empty, times not present. */
struct pax_values {
    bool present; /* an x header is pending */
    struct varve_bytes path, link, uname, gname;
    bool has_size, has_uid, has_gid, has_devmajor, has_devminor, has_realsize;
    uint64_t size, realsize;
    int64_t uid, gid, devmajor, devminor;
    struct varve_tar_time mtime, atime, ctime, creation;
    struct varve_bytes sparse_major, sparse_minor, sparse_name, sparse_size, sparse_realsize;
    struct varve_bytes sparse_map, sparse_blocks;
    bool sparse_any; /* any GNU.sparse record */
    uint64_t offset; /* of the header block that brought them */
};

/* One key of a pax header: where the value counts and what it will become. */
struct pax_record {
    struct varve_bytes key;
    struct varve_bytes value;
    uint32_t at;  /* where in the body the record begins */
    uint8_t rank; /* of equal xattr names the highest rank counts, then the last */
    uint8_t kind; /* enum pax_kind */
};

enum varve_tar_state {
    STATE_BLOCK,     /* collecting a header block */
    STATE_SECOND,    /* a zero block was read, collecting the next */
    STATE_EXTENSION, /* collecting the body of an extension header */
    STATE_SKIP,      /* padding of that body */
    STATE_CONTINUED, /* collecting continuation blocks of an old GNU sparse map */
    STATE_MAP,       /* collecting the map of a pax 1.0 sparse file, in its data */
    STATE_GLOBAL,    /* a global header is ready */
    STATE_ENTRY,     /* an entry is ready */
    STATE_CONTENT,   /* its data and holes */
    STATE_PADDING,   /* padding behind its data */
    STATE_ZEROS,     /* behind the end of the archive, nothing but NULs so far */
    STATE_TRAILER,   /* behind it, from the first other byte on */
    STATE_END,
    STATE_FAULT
};

struct varve_tar {
    const struct varve_header_row *kernel;
    struct varve_budget *budget;

    /* Memory that one layer leaves to the next. */
    struct buffer long_name, long_link, pax_body, global_body;
    struct buffer sparse_text;  /* the map of format 0.0 made 0.1's, or 1.0's from the data */
    struct pax_record *scratch; /* the records of the pax header being read */
    size_t scratch_capacity;
    struct varve_tar_pair *pairs; /* xattrs, then records, of the pending x header */
    size_t pair_capacity;
    struct varve_tar_pair *globals;
    size_t global_capacity;
    struct varve_tar_segment *segments;
    size_t segment_capacity;

    /* From here on a reset makes all zero. */
    struct varve_findings *findings;

    /* Input: what is left of the chunk, and its decoded offset. */
    const uint8_t *in;
    size_t in_bytes;
    uint64_t offset;
    bool last;

    enum varve_tar_state state;
    struct varve_fault fault;
    struct varve_tar_item item;

    /* The block being collected. */
    size_t block_filled;
    uint64_t block_offset;
    bool any_header;        /* a header with a right checksum was seen */
    bool after_unused_size; /* the last entry claimed a size that its type does not carry */
    struct varve_header_numbers numbers;
    enum varve_tar_dialect dialect;

    /* Extension headers pending for the next entry. */
    uint64_t first_offset; /* of the first pending header */
    unsigned extensions;
    uint8_t extension_type;
    uint64_t extension_left;
    uint64_t extension_padding;
    bool has_long_name, has_long_link;
    bool reads_on; /* readers take padding that does not begin with a NUL for more of what was read
                    */
    struct varve_bytes gnu_path, gnu_link;
    struct pax_values pax;
    size_t xattr_count, record_count; /* in `pairs` */
    size_t global_count;              /* in `globals` */

    /* The entry. */
    struct varve_tar_entry entry;
    uint64_t entries;
    uint64_t content_position; /* in the expanded content */
    uint64_t stored_left;
    size_t segment_next;
    uint64_t padding_left;
    bool padding_noted;
    uint64_t map_newlines; /* sparse 1.0: line ends in sparse_text so far */
    uint64_t map_wanted;
    uint64_t sparse_continued; /* bytes of continuation blocks */
    uint64_t archive_end;

    /* Behind the end. */
    uint64_t zeros_begin;
    bool trailer_checked;

    size_t note_count;
    struct varve_tar_traits traits;

    /* From here on a reset leaves what is there, which is half of it all: nothing of it is read
     * that was not written for the same layer. */
    uint8_t block[BLOCK];  /* the block being collected */
    uint8_t header[BLOCK]; /* of the entry: its header block */
    uint8_t path[512];     /* prefix, slash, name */
    struct note notes[NOTES_MAX];
};

/* Counts a finding at `offset` for the entry being read. */
void varve_tar_note(struct varve_tar *tar, enum varve_code code, uint64_t offset);

/* Ends the stream with a fault; always false. */
bool varve_tar_fail(struct varve_tar *tar, enum varve_code code, uint64_t offset);

/* Makes room for `capacity` items of `item_bytes` at *items (of which *have are there): at least
 * doubles. False after a fault (memory.budget or memory.exhausted). */
bool varve_tar_grow(struct varve_tar *tar, void **items, size_t *have, size_t capacity,
                    size_t item_bytes);

/* Appends to a buffer. False after a fault. */
bool varve_tar_append(struct varve_tar *tar, struct buffer *buffer, const void *bytes,
                      size_t count);

/* tar_header.c: the block just collected is a header; reads it and goes on to the next state. False
 * after a fault. */
bool varve_tar_header(struct varve_tar *tar);

/* tar_header.c: everything that belongs to the entry has been read: fills tar->entry. */
bool varve_tar_entry_ready(struct varve_tar *tar);

/* tar_header.c: whether the block has a right checksum. */
bool varve_tar_checksum_holds(const struct varve_header_numbers *numbers);

/* tar_pax.c: the body of a pax header, complete in `body`. False after a fault. */
bool varve_tar_pax(struct varve_tar *tar, struct buffer *body, uint64_t body_offset);
bool varve_tar_pax_global(struct varve_tar *tar, uint64_t body_offset);

/* tar_pax.c: a plain decimal number, digits only (`minus`: one minus sign allowed). */
bool varve_tar_decimal(int64_t *value, struct varve_bytes text, bool minus);

/* tar_sparse.c: old GNU map in the header; continuation blocks follow where *more. */
bool varve_tar_sparse_header(struct varve_tar *tar, bool *more);
bool varve_tar_sparse_block(struct varve_tar *tar, bool *more);
/* tar_sparse.c: what a pax header says of sparseness: 0.0 and 0.1 are read, 1.0 wants its map. */
bool varve_tar_sparse_pax(struct varve_tar *tar, bool *map_follows);
bool varve_tar_sparse_map(struct varve_tar *tar, bool *complete);
/* tar_sparse.c: the map against entry.size and entry.stored_bytes. */
bool varve_tar_sparse_check(struct varve_tar *tar);

/* tar_path.c: findings about the entry's path and link. */
void varve_tar_check_names(struct varve_tar *tar);

static inline bool bytes_equal(struct varve_bytes a, struct varve_bytes b) {
    return a.count == b.count && (!a.count || __builtin_memcmp(a.bytes, b.bytes, a.count) == 0);
}

#endif
