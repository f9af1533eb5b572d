/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_split.h - an unpacked layer's archive as something to read from: put together again, by
 * varve_join (varve/split.h), on a thread. */
#ifndef VARVE_TAR_SPLIT_H
#define VARVE_TAR_SPLIT_H

#include "varve/base.h"

/* Begins to put an archive together, on a thread of its own. `split` and `folder` are paths beneath
 * `root`, no link of which is followed, nor any in the folder. Returns a descriptor that gives the
 * archive's bytes and then ends; where something is missing or not of the size it had, or, where
 * contents are `checked`, not of the CRC-64, reading ends with ECONNRESET instead. The caller's to
 * close, at any time. -1 with *fault: it cannot begin. */
int varve_tar_split_open(struct varve_fault *fault, int root, const char *split, const char *folder,
                         bool checked);

#endif
