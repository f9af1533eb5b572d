/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_write.h - headers of a canonical tar: one way to write down what a record means.
 *
 * POSIX ustar headers, with a pax header before them where ustar has no room for a value. Numbers
 * are written once, in the header, in the form that records hold them in (octal, or base-256 where
 * that is too short): a number that stands in two places is one about which readers can differ.
 * Reading what was written here gives the same record again. */
#ifndef VARVE_TAR_WRITE_H
#define VARVE_TAR_WRITE_H

#include "record.h"

/* An entry as it shall be written. All but the path may come from several records. */
struct varve_canonical_entry {
    struct varve_bytes path;               /* cleaned */
    const struct varve_record *is;         /* type, link target, device numbers, size */
    const struct varve_record *attributes; /* mode, owner, names, times, xattrs, other records */
    struct varve_bytes link;               /* instead of is->link */
    bool hard_link;                        /* it is one to `link`, whatever `is` is */
};

/* Bytes that grow. Zero it to begin; free(bytes) at the end. */
struct varve_growing {
    uint8_t *bytes;
    size_t count, capacity;
};

/* Appends the header blocks of an entry, or of a pax global header with this list of records (its
 * count first; see record.h). False: no memory. */
bool varve_tar_write_entry(struct varve_growing *out, const struct varve_canonical_entry *entry);
bool varve_tar_write_global(struct varve_growing *out, const uint8_t *list);

#endif
