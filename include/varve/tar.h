/* SPDX-License-Identifier: Apache-2.0 */
/* varve/tar.h - a pull parser that splits a tar stream into a header lane and a data lane.
 *
 * Reads v7, ustar and pax (POSIX.1-2017 pax, "ustar Interchange Format" and "pax Interchange
 * Format"), GNU tar's and star's extensions and Solaris X headers. Where known parsers disagree it
 * does as docs/ladder.md says and leaves a finding. Fed any chunk size it gives the same events,
 * but for how data and trailer spans are cut.
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
    uint8_t typeflag;     /* meaning: '0'..'6' or another letter; NUL and '7' are '0', NUL with a
                             trailing slash is '5', sparse 'S' is '0' */
    uint8_t raw_typeflag; /* as in the header */
    uint64_t mode;        /* as written, type bits included */
    int64_t uid;
    int64_t gid;
    uint64_t size;         /* of the expanded content; 0 where the type carries none */
    uint64_t stored_bytes; /* of the data that follow in the archive */
    int64_t devmajor;
    int64_t devminor;
    struct varve_tar_time mtime, atime, ctime, creation;
    const struct varve_tar_pair *xattrs; /* names in SCHILY.xattr's spelling without that prefix;
                                            as decoded, last of equal names only, not sorted */
    size_t xattr_count;
    const struct varve_tar_pair *records; /* other pax records of unknown meaning, not sorted */
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
    VARVE_TAR_GLOBAL,    /* item.global: a pax global header, its records not applied */
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

/* After FAULT. Status MALFORMED or LIMIT (or ERROR: no memory), offset_decoded set.
 * Code "tar.not-tar": the first block is no header and no end of archive: content that is no tar.
 */
VARVE_API struct varve_fault varve_tar_fault(const struct varve_tar *tar);

/* Decoded offset just behind the last content byte of the last entry read so far (its header where
 * it has none; 0 before the first): where rung `archive` would end if no entry followed. `*settled`
 * is true while another entry's header has begun, so that this value cannot be the final one. */
VARVE_API uint64_t varve_tar_archive_end(const struct varve_tar *tar, bool *settled);

#ifdef __cplusplus
}
#endif
#endif
