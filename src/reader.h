/* SPDX-License-Identifier: Apache-2.0 */
/* src/reader.h - a blob's stored bytes, front to back, with the kernel asked to read ahead.
 *
 * pread, not mmap: a file that is truncated while it is read gives a short read, not a signal. One
 * policy for every kind of storage: the kernel is told that reading is sequential, and a few MiB
 * ahead of the decoder it is asked to have the next ones ready. On a fast disk that costs a system
 * call in a thousand; on a spinning disk or a network file system, where a dozen blobs are read
 * side by side, it makes few long reads out of many short ones. */
#ifndef VARVE_READER_H
#define VARVE_READER_H

#include <sys/stat.h>

#include "varve/base.h"

struct varve_reader {
    int fd;
    bool seekable; /* a regular file at its start */
    bool ended;
    uint64_t begin;       /* where in the file the blob begins */
    uint64_t whole_bytes; /* how long it is; UINT64_MAX: to the end of the file */
    uint64_t read_bytes;
    uint64_t advised_bytes; /* how far the kernel was asked to read ahead */
    struct stat before;
};

/* Begins with the `bytes` bytes from `offset` on of what `fd` holds (0, UINT64_MAX: all of it); an
 * offset only where it is a regular file. `seen`: what fstat said of a regular file that was just
 * opened and stands at its start, which saves two system calls of eight; or NULL. False with errno
 * set. */
bool varve_reader_begin(struct varve_reader *reader, int fd, uint64_t offset, uint64_t bytes,
                        const struct stat *seen);

/* How many bytes there should be; 0 where that is not known. */
uint64_t varve_reader_bytes(const struct varve_reader *reader);

/* Fills `data`; fewer bytes than `room` only at the end, or, from a pipe and the like, where there
 * are no more now: then also none at all, after a tenth of a second. Returns the count, or -1 with
 * errno set. */
int64_t varve_reader_fill(struct varve_reader *reader, uint8_t *data, size_t room);

/* After the end: whether the file is still what it was at the beginning. */
bool varve_reader_unchanged(const struct varve_reader *reader);

#endif
