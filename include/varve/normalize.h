/* SPDX-License-Identifier: Apache-2.0 */
/* varve/normalize.h - a layer written anew as a canonical tar.
 *
 * The tar that comes out is one that means what the layer meant down to a rung, written in the one
 * way that src/tar_write.h describes: POSIX ustar headers, pax headers where needed (POSIX.1-2001),
 * two zero blocks at the end. Layers that meet on that rung give the same bytes; what was written
 * so is not changed by being written so again.
 *
 *   - ENCODING: the same entries in the same order; rung `encoding` stays what it was.
 *   - ORDER: sorted by path, hard links elected anew, repeated directories left out
 * (docs/ladder.md, section 5; archive order where order means something). Rung `order` stays, but
 * where links disagreed with their file (finding hardlink.meta): they get its attributes, and how
 * many did is told. (A group is one inode, and its first path may be such a link: what two of its
 * entries say of it cannot both be kept.)
 *   - NAMES: besides, without user and group names. Rung `names` stays.
 *   - TIMES: besides, all mtimes are the clamp's (or 0), and no other times. Rung `times` stays.
 *
 * From NAMES on what was dropped can be all that told two entries of one path apart; then order
 * means nothing any more, and the rungs do not stay.
 *
 * Contents pass through a spool file, so that memory is bounded by the entries. Not for several
 * threads at once on one call; any number of calls side by side. */
#ifndef VARVE_NORMALIZE_H
#define VARVE_NORMALIZE_H

#include "varve/budget.h"
#include "varve/ladder.h"

#ifdef __cplusplus
extern "C" {
#endif

struct varve_normalize_options {
    enum varve_rung strength; /* ENCODING, ORDER, NAMES or TIMES */
    bool has_clamp;           /* no time is later than this; at TIMES every mtime is this */
    int64_t clamp_seconds;
    bool has_uid, has_gid; /* every entry gets this owner */
    int64_t uid, gid;
    struct varve_budget *budget; /* what entries are taken from; NULL: unlimited */
    enum varve_tier tier;
    uint64_t max_decoded_bytes; /* 0 = 2^40 */
    bool (*cancelled)(void);    /* asked every 128 KiB; true: stop. NULL: nobody is asked */
};

/* Takes the next bytes of the tar. False: stop (the call then ends with io.write). */
typedef bool varve_sink_fn(void *cookie, const void *data, size_t bytes);

struct varve_normalized {
    struct varve_fault fault;               /* why the status is not OK */
    uint64_t entry_count;                   /* written */
    uint64_t stored_bytes;                  /* read */
    uint64_t decoded_bytes;                 /* of these */
    uint64_t tar_bytes;                     /* written */
    uint8_t blob[VARVE_SHA256_BYTES];       /* of what was read, as it is stored */
    uint8_t diffid[VARVE_SHA256_BYTES];     /* and decoded */
    uint8_t tar_digest[VARVE_SHA256_BYTES]; /* of what was written */
    bool order_significant;                 /* not sorted, for order means something */
    uint64_t overruled_count;               /* hard links that disagreed with their file, and were
                                               written with its attributes */
    uint64_t overruled_offset;         /* decoded, of the first one's header, where there are any */
    uint64_t overruled_security_count; /* of them, those whose setuid, setgid or sticky bits or
                                          whose security.capability that changed */
};

/* Reads the layer behind `fd` (`bytes` bytes from `offset` on; 0, UINT64_MAX: all there is; gzip,
 * zstd or plain) and gives its canonical tar to `sink`, once the layer was read to its end without
 * a fault. `spool_fd` is an empty file that is open for reading and writing, the caller's; its
 * content is nothing to keep. VARVE_OK; else the layer's status, or VARVE_ERROR (out of memory;
 * reading, spooling or writing failed; the file changed meanwhile; or cancelled, and then
 * fault.code is NULL): what the sink got is worthless then. `strength` must be one of the four, and
 * `tier` one that can run here; a layer that is no tar is VARVE_MALFORMED. */
VARVE_API enum varve_status varve_normalize(struct varve_normalized *result, int fd,
                                            uint64_t offset, uint64_t bytes, int spool_fd,
                                            const struct varve_normalize_options *options,
                                            varve_sink_fn *sink, void *cookie);

#ifdef __cplusplus
}
#endif
#endif
