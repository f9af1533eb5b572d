/* SPDX-License-Identifier: Apache-2.0 */
/* src/file.h - opening files of a source without being led astray. */
#ifndef VARVE_FILE_H
#define VARVE_FILE_H

#include <sys/stat.h>

#include "varve/base.h"

/* Whether a fault is one that says nothing of a file: it could not be opened or read for a reason
 * of the system's (io.open, io.read, memory.exhausted). */
bool varve_file_is_unread(const struct varve_fault *fault);

/* Opens `path`, relative to the directory `root` (or to the working directory: AT_FDCWD), for
 * reading. Beneath a `root` no component may be a symbolic link or "..". Never blocks; only regular
 * files. Returns the descriptor and *size_bytes (may be NULL), or -1 with *fault: io.missing,
 * io.not-regular, io.open. */
int varve_file_open(struct varve_fault *fault, uint64_t *size_bytes, int root, const char *path);

/* The same, with all that fstat says of the open file. */
int varve_file_open_seen(struct varve_fault *fault, struct stat *seen, int root, const char *path);

/* The same for a directory. */
int varve_directory_open(struct varve_fault *fault, int root, const char *path);

/* A whole small file as malloc'ed bytes (one NUL behind them, not counted). False with *fault: as
 * above, io.read, oci.document-size beyond `limit_bytes`, memory.exhausted. */
bool varve_file_read(uint8_t **data, size_t *data_bytes, struct varve_fault *fault, int root,
                     const char *path, size_t limit_bytes);

/* read(2) at an offset (pread; plain read where `seekable` is false) until `bytes` are there or the
 * file ends; EINTR is transparent. Returns the count, or -1 with errno. */
int64_t varve_file_fill(int fd, bool seekable, uint8_t *data, size_t bytes, uint64_t offset);

#endif
