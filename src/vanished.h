/* SPDX-License-Identifier: Apache-2.0 */
/* src/vanished.h - blobs that were there when the catalog was filled and are not when their turn
 * comes: a registry's garbage collection ran meanwhile, or something is broken. */
#ifndef VARVE_VANISHED_H
#define VARVE_VANISHED_H

#include "varve/catalog.h"

struct varve_vanished;

/* NULL: no memory. The catalog must outlive it. */
struct varve_vanished *varve_vanished_open(const struct varve_catalog *catalog);
void varve_vanished_close(struct varve_vanished *vanished);

/* Whether nothing refers any more to a blob that could not be opened because it is missing: its
 * source is read anew, though not at every question. False for loose files, and for what was
 * missing from the beginning. Any thread. */
bool varve_vanished_is_gone(struct varve_vanished *vanished, size_t blob);

#endif
