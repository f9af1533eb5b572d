/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_pair.c - which images of two databases belong together.
 *
 * First by the whole reference. Then by its repository and tag without the host before them: a
 * mirror is elsewhere by its nature, and programs put hosts before names that had none
 * (distribution's reference grammar: a first component with a dot or a colon in it, or "localhost")
 * or "library/" where there was no owner. What has no reference is told by its manifest's digest.
 */
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

enum pass { BY_REFERENCE, BY_REPOSITORY, BY_DIGEST_OF_A, BY_DIGEST_OF_B, PASSES };

struct key {
    const char *text, *platform;
    size_t image;
};

static const char *without_host(const char *ref) {
    static const char library[] = "library/";
    size_t first = strcspn(ref, "/");
    bool is_host = ref[first] && (memchr(ref, '.', first) || memchr(ref, ':', first) ||
                                  (first == 9 && memcmp(ref, "localhost", 9) == 0));
    const char *name = is_host ? ref + first + 1 : ref;
    return strncmp(name, library, strlen(library)) == 0 ? name + strlen(library) : name;
}

/* NULL: the image is not paired in this pass. */
static const char *key_of(const struct varve_side_image *image, enum pass pass, int side) {
    bool named = *image->ref != 0;
    if (image->partner != SIZE_MAX) {
        return NULL;
    }
    switch (pass) {
    case BY_REFERENCE:
        return named ? image->ref : NULL;
    case BY_REPOSITORY:
        return named ? without_host(image->ref) : NULL;
    default:
        return named && side == (pass == BY_DIGEST_OF_A ? 0 : 1) ? NULL : image->digest;
    }
}

static int compare_text(const struct key *x, const struct key *y) {
    int texts = strcmp(x->text, y->text);
    return texts ? texts : strcmp(x->platform, y->platform);
}

static int compare_keys(const void *a, const void *b) {
    const struct key *x = a;
    const struct key *y = b;
    int texts = compare_text(x, y);
    return texts ? texts : (x->image > y->image) - (x->image < y->image);
}

static size_t list_keys(struct key *keys, const struct varve_side_images *images, enum pass pass,
                        int side) {
    size_t count = 0;
    for (size_t i = 0; i < images->count; i++) {
        const char *text = key_of(&images->images[i], pass, side);
        if (text) {
            keys[count++] = (struct key){text, images->images[i].platform, i};
        }
    }
    if (count > 1) {
        qsort(keys, count, sizeof *keys, compare_keys);
    }
    return count;
}

bool varve_store_pair(struct varve_side_images sides[2]) {
    struct key *keys[2] = {calloc(sides[0].count + 1, sizeof **keys),
                           calloc(sides[1].count + 1, sizeof **keys)};
    bool good = keys[0] && keys[1];
    for (int pass = 0; pass < PASSES && good; pass++) {
        size_t counts[2], i = 0, j = 0;
        for (int side = 0; side < 2; side++) {
            counts[side] = list_keys(keys[side], &sides[side], (enum pass)pass, side);
        }
        while (i < counts[0] && j < counts[1]) {
            int order = compare_text(&keys[0][i], &keys[1][j]);
            if (order == 0) {
                sides[0].images[keys[0][i].image].partner = keys[1][j].image;
                sides[1].images[keys[1][j].image].partner = keys[0][i].image;
            }
            i += order <= 0;
            j += order >= 0;
        }
    }
    free(keys[0]);
    free(keys[1]);
    return good;
}

bool varve_side_images_add(struct varve_side_images *images, int64_t id,
                           const char *const texts[4]) {
    if (images->count == images->room) {
        size_t room = images->room ? 2 * images->room : 64;
        struct varve_side_image *grown = realloc(images->images, room * sizeof *grown);
        if (!grown) {
            return false;
        }
        images->images = grown;
        images->room = room;
    }
    size_t bytes = 0;
    for (int i = 0; i < 4; i++) {
        bytes += strlen(texts[i]) + 1;
    }
    char *at = malloc(bytes);
    if (!at) {
        return false;
    }
    const char *copies[4];
    for (int i = 0; i < 4; i++) {
        copies[i] = at;
        at = stpcpy(at, texts[i]) + 1;
    }
    images->images[images->count++] =
        (struct varve_side_image){id, copies[0], copies[1], copies[2], copies[3], SIZE_MAX, false};
    return true;
}

void varve_side_images_free(struct varve_side_images *images) {
    for (size_t i = 0; i < images->count; i++) {
        free((char *)images->images[i].ref);
    }
    free(images->images);
    *images = (struct varve_side_images){0};
}
