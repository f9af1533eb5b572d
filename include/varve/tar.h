/* SPDX-License-Identifier: Apache-2.0 */
/* varve/tar.h - a pull parser that splits a tar stream into a header lane and a data lane.
 *
 * Reads v7, ustar and pax (POSIX.1-2017 pax, "ustar Interchange Format" and "pax Interchange
 * Format"), GNU tar's and star's extensions and Solaris X headers. Where known parsers disagree it
 * does as docs/tar.md says and leaves a finding. Fed any chunk size it gives the same events, but
 * for how data and trailer spans are cut.
 *
 * Findings are reported with the entry they belong to, before its ENTRY event; those that only its
 * padding or the archive's end can show come later.
 *
 *     varve_tar_feed(tar, chunk, bytes, last);
 *     while ((event = varve_tar_next(tar, &item)) > VARVE_TAR_INPUT) ...
 *
 * File data are never copied: DATA spans point into the chunk. Header blocks are.
 */
#ifndef VARVE_TAR_H
#define VARVE_TAR_H

#include "varve/base.h"
#include "varve/budget.h"
#include "varve/cpu.h"
#include "varve/findings.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VARVE_TAR_BLOCK_BYTES 512

/* Bytes owned by the parser. Not NUL-terminated; `bytes` NULL only where `count` is 0. */
struct varve_bytes {
    const uint8_t *bytes;
    size_t count;
};

struct varve_tar_time {
    int64_t seconds;
    uint32_t nanoseconds; /* 0 .. 999,999,999, towards the future also for negative seconds */
    bool present; /* mtime always is; atime, ctime, creation only where the archive has them */
};

struct varve_tar_pair {
    struct varve_bytes key;
    struct varve_bytes value;
};

/* A run of stored data in a sparse file. Between and after the runs are holes. */
struct varve_tar_segment {
    uint64_t offset; /* in the expanded file */
    uint64_t bytes;
};

/* An entry, with everything that its extension headers said. Valid until the next varve_tar_next.
 */
struct varve_tar_entry {
    struct varve_bytes path; /* as the archive has it, not cleaned */
    struct varve_bytes link; /* link target as the archive has it, whatever the type */
    struct varve_bytes uname;
    struct varve_bytes gname;
    uint8_t typeflag;     /* meaning: '0'..'6', or GNU's 'D', 'V', 'M', which carry data like files;
                             '7', sparse 'S' and unknown letters are '0'; NUL is '0', or '5' where
                             the path ends in a slash */
    uint8_t raw_typeflag; /* as in the header */
    uint64_t mode;        /* as written, type bits included */
    int64_t uid;
    int64_t gid;
    uint64_t size;         /* of the expanded content; 0 where the type carries none */
    uint64_t stored_bytes; /* of the data that follow in the archive */
    int64_t devmajor;
    int64_t devminor;
    struct varve_tar_time mtime, atime, ctime, creation;
    /* Names in SCHILY.xattr's spelling without that prefix, values decoded; "SCHILY.acl.*" and
     * "SCHILY.fflags" are here under their full names. No name twice, not sorted; empty values only
     * where LIBARCHIVE's spelling has nothing but padding. */
    const struct varve_tar_pair *xattrs;
    size_t xattr_count;
    /* Other pax records of unknown meaning: no key twice, no empty value, not sorted. */
    const struct varve_tar_pair *records;
    size_t record_count;
    const struct varve_tar_segment
        *segments; /* sparse only; in order, checked, sum = stored_bytes */
    size_t segment_count;
    bool sparse;
    const uint8_t *header;  /* the entry's own 512-byte block (the header lane) */
    uint64_t header_offset; /* decoded offset of that block */
    uint64_t first_offset;  /* decoded offset of the first block that belongs to the entry */
    uint64_t data_offset;   /* decoded offset of its first stored data byte */
};

enum varve_tar_event {
    VARVE_TAR_INPUT,     /* feed the next chunk */
    VARVE_TAR_ENTRY,     /* item.entry */
    VARVE_TAR_DATA,      /* item.data: the next bytes of the entry's content */
    VARVE_TAR_HOLE,      /* item.hole_bytes: the next bytes of the content are that many zeros */
    VARVE_TAR_ENTRY_END, /* the entry's content is complete (comes for every entry) */
    VARVE_TAR_GLOBAL,    /* item.global: a pax global header, its records not applied; no key twice
                            (the last counts), empty values kept */
    VARVE_TAR_TRAILER, /* item.data: bytes behind the end of the archive, from the first that is not
                          NUL */
    VARVE_TAR_END,     /* the stream is over and was a tar; item.end */
    VARVE_TAR_FAULT    /* see varve_tar_fault; no more events */
};

struct varve_tar_item {
    const struct varve_tar_entry *entry; /* ENTRY; still valid during this entry's other events */
    struct varve_bytes data;
    uint64_t data_offset; /* decoded offset of `data` */
    uint64_t hole_bytes;
    const struct varve_tar_pair *global;
    size_t global_count;
};

struct varve_tar_options {
    struct varve_budget
        *budget; /* what the parser's growing buffers are taken from; NULL: unlimited */
    enum varve_tier tier;
};

struct varve_tar;

/* VARVE_OK; VARVE_UNSUPPORTED (this CPU has not the tier); VARVE_ERROR (no memory). */
VARVE_API enum varve_status varve_tar_open(struct varve_tar **tar,
                                           const struct varve_tar_options *options);
VARVE_API void varve_tar_close(struct varve_tar *tar);

/* Begins a new stream; keeps the memory. `findings` may be NULL. */
VARVE_API void varve_tar_reset(struct varve_tar *tar, struct varve_findings *findings);

/* Hands over the next chunk; it must stay as it is until INPUT comes. `last`: the stream ends with
 * it (an empty last chunk is fine). Only after reset or INPUT. */
VARVE_API void varve_tar_feed(struct varve_tar *tar, const void *data, size_t bytes, bool last);

/* The next event. After END or FAULT the same again for ever. */
VARVE_API enum varve_tar_event varve_tar_next(struct varve_tar *tar, struct varve_tar_item *item);

/* After FAULT. Status MALFORMED, LIMIT or UNSUPPORTED (or ERROR: no memory), offset_decoded set.
 * Code "tar.not-tar": the first block has no right checksum and is no end of archive: content that
 * is no tar, unless its media type claims so. */
VARVE_API struct varve_fault varve_tar_fault(const struct varve_tar *tar);

/* Decoded offset just behind the last content byte of the last entry or global header begun so far
 * (its header where it has no content; 0 before the first): where rung `archive` would end if no
 * other followed. It may lie ahead of what was fed. `*settled` is true while another header has
 * begun, so that this value cannot be the final one. */
VARVE_API uint64_t varve_tar_archive_end(const struct varve_tar *tar, bool *settled);

/* What the archive's writer left as marks, counted over the headers read so far. */
enum varve_tar_dialect {
    VARVE_TAR_V7,            /* no magic */
    VARVE_TAR_USTAR,         /* magic "ustar" NUL, version "00" */
    VARVE_TAR_USTAR_VERSION, /* magic "ustar" NUL, another version */
    VARVE_TAR_GNU,           /* magic "ustar  " NUL */
    VARVE_TAR_STAR,          /* ustar and star's suffix "tar" NUL */
    VARVE_TAR_DIALECT_COUNT
};

/* How a numeric field is written. Digits are octal; "d7 n" means seven digits, then a NUL. */
enum varve_tar_style {
    VARVE_TAR_STYLE_NUL,          /* NULs only */
    VARVE_TAR_STYLE_DIGITS_NUL,   /* zero-padded, one NUL: d7 n, d11 n */
    VARVE_TAR_STYLE_DIGITS_SPACE, /* zero-padded, one space: d7 s, d11 s */
    VARVE_TAR_STYLE_SPACE_NUL,    /* zero-padded, space and NUL: d6 s n */
    VARVE_TAR_STYLE_NUL_SPACE,    /* zero-padded, NUL and space: d6 n s */
    VARVE_TAR_STYLE_FULL,         /* digits to the end: d8, d12 */
    VARVE_TAR_STYLE_SPACE_PADDED, /* leading spaces */
    VARVE_TAR_STYLE_SHORT,        /* digits, then several NULs or spaces */
    VARVE_TAR_STYLE_BASE256,      /* GNU's binary form */
    VARVE_TAR_STYLE_SPACES,       /* spaces (and NULs) only */
    VARVE_TAR_STYLE_ODD,          /* digits, a NUL, and other bytes behind it */
    VARVE_TAR_STYLE_BAD,          /* no number, or one beyond 63 bits */
    VARVE_TAR_STYLE_COUNT
};

enum varve_tar_group {
    VARVE_TAR_GROUP_MODE,
    VARVE_TAR_GROUP_OWNER, /* uid and gid */
    VARVE_TAR_GROUP_SIZE,
    VARVE_TAR_GROUP_MTIME,
    VARVE_TAR_GROUP_DEVICE, /* devmajor and devminor, of ustar, GNU and star headers */
    VARVE_TAR_GROUP_CHECKSUM,
    VARVE_TAR_GROUP_COUNT
};

/* How pax headers (and Solaris') are named. */
enum varve_tar_pax_name {
    VARVE_TAR_PAX_NAME_PID,   /* <dir>/PaxHeaders.<number above 0>/<name>, older GNU tar */
    VARVE_TAR_PAX_NAME_ZERO,  /* <dir>/PaxHeaders.0/<name>, Go */
    VARVE_TAR_PAX_NAME_PLAIN, /* <dir>/PaxHeaders/<name>, newer GNU tar */
    VARVE_TAR_PAX_NAME_BSD,   /* <dir>/PaxHeader/<name>, libarchive, node-tar */
    VARVE_TAR_PAX_NAME_AT,    /* ././@PaxHeader, Python */
    VARVE_TAR_PAX_NAME_OTHER,
    VARVE_TAR_PAX_NAME_COUNT
};

struct varve_tar_traits {
    uint64_t headers;        /* header blocks of entries and extension headers */
    uint64_t entries;        /* of these, of entries */
    uint64_t pax_headers;    /* of these, typeflag x or X */
    uint64_t global_headers; /* of these, typeflag g */
    uint64_t long_headers;   /* of these, typeflag L or K */
    uint64_t dialect[VARVE_TAR_DIALECT_COUNT];
    uint64_t style[VARVE_TAR_GROUP_COUNT][VARVE_TAR_STYLE_COUNT];
    uint64_t pax_name[VARVE_TAR_PAX_NAME_COUNT];
    uint64_t global_head;      /* global headers named .../GlobalHead.<pid>.<n> */
    uint64_t long_named;       /* L and K headers with a uname */
    uint64_t long_wheel;       /* L and K headers whose gname is "wheel" */
    uint64_t extension_mode_0; /* extension headers whose mode is 0 */
    uint64_t pax_unsorted;     /* pax headers whose keys are not in byte order */
    uint64_t pax_mtime_first;  /* pax headers with several records, the first of them mtime */
    uint64_t pax_schily_xattr; /* pax headers with SCHILY.xattr records */
    uint64_t pax_libarchive;   /* pax headers with LIBARCHIVE records */
    uint64_t pax_nanoseconds;  /* pax times with nine digits behind the point */
    uint64_t entry_mode_type;  /* entries whose mode carries type bits */
    uint64_t entry_names;      /* entries with a uname or gname */
    uint64_t plain;            /* entries that are no devices, with a magic; of these with device */
    uint64_t plain_device_nul; /* numbers left as NULs, and with device numbers of seven digits */
    uint64_t plain_device_digits;
    uint64_t entry_prefix;  /* entries with a prefix */
    uint64_t entry_symlink; /* symlinks, and of these with mode 0777 */
    uint64_t entry_symlink_0777;
    uint64_t entry_dot; /* entries whose path begins with "./" */
    uint64_t directory; /* directories, and of these with a trailing slash */
    uint64_t directory_slash;
    uint64_t eoa_blocks;  /* zero blocks at the end: 0, 1 or 2 */
    uint64_t eoa_padding; /* bytes behind these, NUL or not, up to the end of the stream */
    uint64_t total_bytes; /* of the stream, after END */
};

/* Owned by the parser, valid until reset; final after END. */
VARVE_API const struct varve_tar_traits *varve_tar_traits(const struct varve_tar *tar);

/* A guess at the program that wrote the archive, or "unknown"; *evidence (may not be NULL) says in
 * a few words what it rests on. Static storage. After END. */
VARVE_API const char *varve_tar_writer(const struct varve_tar *tar, const char **evidence);

#ifdef __cplusplus
}
#endif
#endif
