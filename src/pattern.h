/* SPDX-License-Identifier: Apache-2.0 */
/* src/pattern.h - where a store keeps the blob of a digest, as text:
 *
 *     %a  the algorithm, "sha256"        %2  the first two hex digits
 *     %h  all hex digits                 %r  the hex digits behind the first two
 *
 * "blobs/%a/%h" is an OCI image layout, "%2/%r" is Pulp. */
#ifndef VARVE_PATTERN_H
#define VARVE_PATTERN_H

#include "varve/base.h"

/* Longest path that a pattern may give, NUL included (Linux's PATH_MAX). */
#define VARVE_PATTERN_PATH_BYTES 4096

/* The path of the digest `name` ("sha256:<hex>"): prefix and expanded pattern. False where it does
 * not fit. */
bool varve_pattern_path(char path[VARVE_PATTERN_PATH_BYTES], const char *prefix,
                        const char *pattern, const char *name);

/* What is met while listing. Names of another form are passed over; they are none of the store's.
 */
struct varve_pattern_visitor {
    /* A digest that a path of the pattern's form names; false ends the listing. What stands behind
     * the last name with fields in it ("data") was not looked for. */
    bool (*digest)(void *cookie, const char *name);
    /* Whether `digest` is to be told of a name: asked of many in no order, before what is left of
     * them is sorted. NULL: it always is. */
    bool (*wanted)(void *cookie, const char *name);
    /* A digest in a folder that is not named by its first digits. */
    void (*misplaced)(void *cookie, const char *path);
    /* A folder whose name is of the form and that cannot be read, or of which something cannot:
     * its path would be too long. */
    void (*unreadable)(void *cookie, const char *path, const struct varve_fault *fault);
};

/* Calls the visitor for all that lies beneath `root` and `prefix`, sorted; members other than
 * `digest` may be NULL. False where memory was refused. */
bool varve_pattern_each(int root, const char *prefix, const char *pattern,
                        const struct varve_pattern_visitor *visitor, void *cookie);

#endif
