/* SPDX-License-Identifier: Apache-2.0 */
/* varve/split.h - a layer's archive parted into what its files hold and all the rest, and put
 * together again bit for bit.
 *
 * The rest is kept in the format of tar-split (github.com/vbatts/tar-split, package tar/storage),
 * which the stores of podman and docker keep beside each unpacked layer, as a rule gzipped. It is
 * lines of JSON, `position` counting them from 0:
 *
 *     {"type":2,"payload":BASE64,"position":N}
 *         bytes of the archive, as they stand in it: headers, padding, its end
 *     {"type":1,"name":PATH,"size":BYTES,"payload":BASE64,"position":N}
 *         the content of a file; name_raw, in base64, where the path is not UTF-8. The payload is
 *         the content's CRC-64 (ISO 3309, as Go's hash/crc64 computes it), big-endian
 *
 * Lines of type 1 stand also for entries without content, without a size; they give no bytes.
 *
 * Any number of calls may run side by side. */
#ifndef VARVE_SPLIT_H
#define VARVE_SPLIT_H

#include "varve/budget.h"
#include "varve/cpu.h"
#include "varve/sha256.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Apart ---- */

struct varve_split_options {
    struct varve_budget *budget; /* what the parser's buffers and zstd windows are taken from; NULL:
                                    unlimited, windows up to 2^27 */
    enum varve_tier tier;
    uint64_t max_decoded_bytes; /* 0 = 2^40 */
    bool (*cancelled)(void);    /* asked every 128 KiB, and ten times a second where nothing comes
                                   of a pipe; true: stop. NULL: nobody is asked */
};

/* What becomes of a file's content. */
enum varve_split_answer {
    VARVE_SPLIT_TAKEN, /* `content` takes it */
    VARVE_SPLIT_LEFT,  /* it stays among the lines, as bytes */
    VARVE_SPLIT_STOP   /* give up (the call ends with io.write and errno) */
};

/* Where the parts go. A member that returns false ends the call with io.write and errno. */
struct varve_split_lanes {
    /* The next bytes of the lines, not compressed. */
    bool (*header)(void *cookie, const void *data, size_t bytes);
    /* A file with content begins: its path beneath the folder, cleaned (no empty component, no "."
     * or ".."; never one that was given before). `size_bytes` is what its header claims. NULL: all
     * is taken, and goes nowhere. */
    enum varve_split_answer (*file)(void *cookie, const char *path, uint64_t size_bytes);
    /* Its next bytes, and its end; after TAKEN only. May be NULL where `file` is. */
    bool (*content)(void *cookie, const void *data, size_t bytes);
    bool (*file_end)(void *cookie);
};

struct varve_split_result {
    struct varve_fault fault;           /* why the status is not OK */
    bool complete;                      /* the lines give every byte back, whatever the status */
    bool is_tar;                        /* false: content that is no archive, kept as bytes */
    uint8_t diffid[VARVE_SHA256_BYTES]; /* of the archive's bytes; where complete */
    uint64_t decoded_bytes;             /* of the archive */
    uint64_t entry_count;
    uint64_t file_count, file_bytes; /* contents that were taken */
    uint64_t left_count; /* contents among the lines: of paths that are given twice, lead
                            upwards, are too deep (src/limits.h) or have no room in a folder,
                            of sparse files, and what was answered LEFT */
};

/* Reads the layer behind `fd` (`bytes` bytes from `offset` on; 0, UINT64_MAX: all there is; gzip,
 * zstd or plain) and parts it. VARVE_OK, also for what is no archive at all. Where the archive is
 * at fault (MALFORMED, LIMIT), what was read of it before is parted and the rest kept as bytes:
 * `complete` is set. Else what the lanes got is worthless: the layer cannot be decoded, or
 * VARVE_ERROR (no memory; reading or a lane failed; or cancelled, and then fault.code is NULL). */
VARVE_API enum varve_status varve_split(struct varve_split_result *result, int fd, uint64_t offset,
                                        uint64_t bytes, const struct varve_split_options *options,
                                        const struct varve_split_lanes *lanes, void *cookie);

/* ---- Together ---- */

struct varve_join_options {
    uint64_t max_bytes; /* of the archive; 0 = 2^40 */
    bool unchecked;     /* contents are not held against their CRC-64: the caller has a digest */
    bool (*cancelled)(void); /* as for varve_split */
};

struct varve_join_result {
    /* The first fault. Codes: split.line, split.position, split.path (MALFORMED), split.line-limit
     * (LIMIT), split.missing, split.size, split.content (MISMATCH): offset_decoded is where in the
     * archive the line at fault belongs. Also the decoder's codes, of the tar-split data; io.open,
     * io.read, io.write, memory.exhausted, decode.limit (more than max_bytes). */
    struct varve_fault fault;
    char *entry;    /* the file at fault as the line names it, or NULL; free() it */
    uint64_t bytes; /* of the archive; without what bad files should have given */
    uint64_t file_count, file_bytes;
    uint64_t bad_count; /* files with split.missing, split.size or split.content */
    bool complete;      /* all lines were looked at: bad_count is all there are */
};

/* Puts the archive together whose tar-split data is what `fd` gives from its beginning (gzip, zstd
 * or plain), its files beneath the open directory `folder`: no link is followed there, no name
 * leads out of it. Nothing is believed of a size before the bytes are there. `sink` NULL: nothing
 * goes anywhere and all files are looked at, though some are at fault; else the call ends with the
 * first fault. The status is the fault's, or VARVE_OK; where cancelled VARVE_ERROR, and fault.code
 * is NULL. */
VARVE_API enum varve_status varve_join(struct varve_join_result *result, int fd, int folder,
                                       const struct varve_join_options *options,
                                       bool (*sink)(void *cookie, const void *data, size_t bytes),
                                       void *cookie);

#ifdef __cplusplus
}
#endif
#endif
