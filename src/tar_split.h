/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_split.h - a layer's archive put together again from its unpacked files and what tar-split
 * (github.com/vbatts/tar-split, format of its package tar/storage) kept of the rest.
 *
 * Lines of JSON, gzipped: {"type":2,"payload":<base64>}, bytes of the archive as they were, and
 * {"type":1,"name":<path>,"size":<n>}, the content of a file (name_raw: the path in base64). */
#ifndef VARVE_TAR_SPLIT_H
#define VARVE_TAR_SPLIT_H

#include "varve/base.h"

/* Begins to put an archive together, on a thread of its own. `split` and `folder` are paths beneath
 * `root`, no link of which is followed, nor any in the folder. Returns a descriptor that gives the
 * archive's bytes and then ends; where something is missing or not of the size it had, reading ends
 * with ECONNRESET instead. The caller's to close, at any time. -1 with *fault: it cannot begin. */
int varve_tar_split_open(struct varve_fault *fault, int root, const char *split,
                         const char *folder);

#endif
