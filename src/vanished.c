/* SPDX-License-Identifier: Apache-2.0 */
/* src/vanished.c - reading a source anew, to see whether anything still refers to a blob.
 *
 * References go before the blobs do: whoever deletes an image takes its manifest first. So what a
 * walk that began after the blob was missed does not find referred to, is gone. A walk takes as
 * long as filling the catalog did, and thousands of blobs can go at once: a walk's answer "gone"
 * holds for ever, and only where it says "still referred to" is the source read again, at most a
 * tenth of the time. */
#include "vanished.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "clock.h"

struct walk {
    const char *operand;
    struct varve_catalog *catalog; /* what was there at the last walk */
    double due;                    /* when the source may be read again */
    struct walk *next;
};

struct varve_vanished {
    const struct varve_catalog *catalog;
    pthread_mutex_t mutex;
    struct walk *walks; /* one for each operand that was asked about */
};

struct varve_vanished *varve_vanished_open(const struct varve_catalog *catalog) {
    struct varve_vanished *vanished = calloc(1, sizeof *vanished);
    if (vanished) {
        vanished->catalog = catalog;
        pthread_mutex_init(&vanished->mutex, NULL);
    }
    return vanished;
}

void varve_vanished_close(struct varve_vanished *vanished) {
    if (!vanished) {
        return;
    }
    while (vanished->walks) {
        struct walk *walk = vanished->walks;
        vanished->walks = walk->next;
        varve_catalog_close(walk->catalog);
        free(walk);
    }
    pthread_mutex_destroy(&vanished->mutex);
    free(vanished);
}

static struct walk *walk_of(struct varve_vanished *vanished, const char *operand) {
    struct walk *walk = vanished->walks;
    while (walk && strcmp(walk->operand, operand) != 0) {
        walk = walk->next;
    }
    if (!walk && (walk = calloc(1, sizeof *walk))) {
        walk->operand = operand;
        walk->next = vanished->walks;
        vanished->walks = walk;
    }
    return walk;
}

/* False: the source cannot be read, or not now. */
static bool walk_again(struct walk *walk) {
    double begun = varve_wall_seconds();
    struct varve_catalog *fresh = NULL;
    if (begun < walk->due || varve_catalog_open(&fresh) != VARVE_OK) {
        return false;
    }
    bool good =
        varve_catalog_add(fresh, walk->operand) == VARVE_OK && !varve_catalog_is_unread(fresh);
    double ended = varve_wall_seconds();
    walk->due = ended + 9 * (ended - begun);
    if (!good) {
        varve_catalog_close(fresh);
        return false;
    }
    varve_catalog_close(walk->catalog);
    walk->catalog = fresh;
    return true;
}

/* What is there and unreferenced may have come back: it is not called gone. */
static bool knows(const struct walk *walk, const struct varve_blob *blob) {
    return varve_catalog_find(walk->catalog, blob->source, blob->name) != SIZE_MAX;
}

bool varve_vanished_is_gone(struct varve_vanished *vanished, size_t number) {
    const char *operand = varve_catalog_operand(vanished->catalog, number);
    struct varve_blob blob = varve_catalog_blob(vanished->catalog, number);
    struct varve_stamp stamp;
    if (!operand || !varve_catalog_stamp(vanished->catalog, &stamp, number)) {
        return false;
    }
    pthread_mutex_lock(&vanished->mutex);
    struct walk *walk = walk_of(vanished, operand);
    bool gone = walk && walk->catalog && !knows(walk, &blob);
    if (walk && !gone && walk_again(walk)) {
        gone = !knows(walk, &blob);
    }
    pthread_mutex_unlock(&vanished->mutex);
    return gone;
}
