/* SPDX-License-Identifier: Apache-2.0 */
/* src/archive.h - an archive that holds a store: where in it each file lies.
 *
 * The archive is read once, headers only: what lies between them is stepped over. Blobs are later
 * read as byte ranges of it; nothing is ever unpacked. */
#ifndef VARVE_ARCHIVE_H
#define VARVE_ARCHIVE_H

#include "varve/base.h"

struct varve_archive;

struct varve_archive_file {
    const char *path; /* clean: no leading "/", no "." component; the archive's */
    uint64_t offset;
    uint64_t bytes;
};

/* Reads the headers of the archive behind `fd`, a regular file. VARVE_OK, or another status with
 * *fault: archive.compressed, archive.entries, one of tar's, io.read, memory.exhausted; *archive is
 * then NULL, or holds what came before the fault. Of two entries with one path the last counts;
 * *repeats (may be NULL) becomes the first such path, or NULL. */
enum varve_status varve_archive_open(struct varve_archive **archive, struct varve_fault *fault,
                                     const char **repeats, int fd);
void varve_archive_close(struct varve_archive *archive);

/* The regular file that a path leads to, through links that stay inside the archive. False: there
 * is none, or it is a sparse one, or, *no_memory becoming true, the path is longer than
 * VARVE_PATTERN_PATH_BYTES and there is no memory for it. */
bool varve_archive_find(const struct varve_archive *archive, struct varve_archive_file *file,
                        bool *no_memory, const char *path);

/* Distinct paths, and the one at `index` (< count), in order of first appearance. */
size_t varve_archive_count(const struct varve_archive *archive);
const char *varve_archive_path(const struct varve_archive *archive, size_t index);

/* Whether a regular file is an archive with files of all these names (clean ones). An archive whose
 * first path is none that writers of image archives begin with is not read any further, so that a
 * loose layer is not read twice. False, too, with a fault->code where there is no memory for it or
 * it cannot be read. */
bool varve_archive_has(struct varve_fault *fault, int fd, const char *const *names, size_t count);

#endif
