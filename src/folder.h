/* SPDX-License-Identifier: Apache-2.0 */
/* src/folder.h - listing folders of a source, always in the same order. */
#ifndef VARVE_FOLDER_H
#define VARVE_FOLDER_H

#include "varve/base.h"

struct varve_spill;

struct varve_folder {
    char **names; /* sorted as bytes; without "." and ".." */
    size_t count;
    struct varve_spill *text; /* where they lie */
};

/* Reads a folder beneath `root`, no link followed; "" is `root` itself. False with *fault:
 * io.missing, io.not-regular, io.open, io.read, memory.exhausted; nothing to free then. */
bool varve_folder_read(struct varve_folder *folder, struct varve_fault *fault, int root,
                       const char *path);

/* The same with those names only that `keep` says yes to, which it is asked of in no order. */
bool varve_folder_read_some(struct varve_folder *folder, struct varve_fault *fault, int root,
                            const char *path, bool (*keep)(void *cookie, const char *name),
                            void *cookie);
void varve_folder_free(struct varve_folder *folder);

/* Whether something of that name is there beneath `root`; a link counts as what it is. fault->code
 * is NULL, or io.open where that cannot be told, and the answer false. */
bool varve_folder_holds(struct varve_fault *fault, int root, const char *path);

/* The same, true where it cannot be told: whoever reads it will see why. */
bool varve_folder_has(int root, const char *path);

#endif
