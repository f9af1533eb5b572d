/* SPDX-License-Identifier: Apache-2.0 */
/* src/catalog.c - the tables behind varve/catalog.h. */
#include "catalog.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codes.h"
#include "file.h"
#include "name_map.h"

struct source {
    char *name;
    int root;
    uint32_t first_blob;
    struct varve_name_map blobs; /* names; number + first_blob = the blob's number */
};

struct blob {
    uint32_t source;
    uint32_t first_claim; /* VARVE_NAME_NONE: none */
    uint64_t size;
};

struct claim {
    uint64_t size;
    uint32_t blob;
    uint32_t media_type;
    uint8_t diffid[VARVE_SHA256_BYTES];
    uint32_t has_diffid;
    uint32_t next; /* not part of what is compared */
};
#define CLAIM_KEY_BYTES offsetof(struct claim, next)

struct varve_catalog {
    struct source *sources;
    size_t source_count, source_room;
    struct blob *blobs;
    size_t blob_count, blob_room;
    struct claim *claims;
    size_t claim_count, claim_room;
    uint32_t *claim_slots; /* number + 1, 0 = free */
    size_t claim_slots_room;
    uint64_t claim_key[2];
    struct varve_image *images;
    size_t image_count, image_room;
    struct varve_catalog_error *errors;
    size_t error_count, error_room;
    uint32_t **claim_arrays;
    size_t array_count, array_room;
    struct varve_name_map strings; /* media types, platforms, tags, digests of documents */
};

/* Room for one element more behind `count` of them. */
static bool reserve(void **array, size_t *room, size_t count, size_t element_bytes) {
    if (count < *room) {
        return true;
    }
    size_t wanted = *room ? 2 * *room : 16;
    void *grown = realloc(*array, wanted * element_bytes);
    if (!grown) {
        return false;
    }
    *array = grown;
    *room = wanted;
    return true;
}
#define RESERVE(array, room, count) reserve((void **)&(array), &(room), count, sizeof *(array))

enum varve_status varve_catalog_open(struct varve_catalog **catalog) {
    *catalog = calloc(1, sizeof **catalog);
    if (!*catalog) {
        return VARVE_ERROR;
    }
    if (getrandom((*catalog)->claim_key, sizeof(*catalog)->claim_key, GRND_NONBLOCK) < 0) {
        (*catalog)->claim_key[0] = (uint64_t)(uintptr_t)*catalog;
    }
    return VARVE_OK;
}

void varve_catalog_close(struct varve_catalog *catalog) {
    if (!catalog) {
        return;
    }
    for (size_t i = 0; i < catalog->source_count; i++) {
        struct source *source = &catalog->sources[i];
        if (source->root != AT_FDCWD) {
            close(source->root);
        }
        varve_name_map_free(&source->blobs);
        free(source->name);
    }
    for (size_t i = 0; i < catalog->error_count; i++) {
        free((char *)catalog->errors[i].name);
    }
    for (size_t i = 0; i < catalog->array_count; i++) {
        free(catalog->claim_arrays[i]);
    }
    varve_name_map_free(&catalog->strings);
    free(catalog->sources);
    free(catalog->blobs);
    free(catalog->claims);
    free(catalog->claim_slots);
    free(catalog->images);
    free(catalog->errors);
    free(catalog->claim_arrays);
    free(catalog);
}

uint32_t varve_catalog_begin_source(struct varve_catalog *catalog, const char *name, int root) {
    char *copy = strdup(name);
    if (!copy || !RESERVE(catalog->sources, catalog->source_room, catalog->source_count)) {
        free(copy);
        if (root != AT_FDCWD) {
            close(root);
        }
        return VARVE_NAME_NONE;
    }
    catalog->sources[catalog->source_count] =
        (struct source){.name = copy, .root = root, .first_blob = (uint32_t)catalog->blob_count};
    return (uint32_t)catalog->source_count++;
}

/* Where a blob lies beneath its source: "sha256:<hex>" in blobs/sha256/<hex>; a loose file by its
 * name. */
static const char *blob_path(char text[VARVE_DIGEST_TEXT_BYTES + 8], const struct source *source,
                             const char *name) {
    if (source->root == AT_FDCWD) {
        return name;
    }
    snprintf(text, VARVE_DIGEST_TEXT_BYTES + 8, "blobs/%s", name);
    text[sizeof "blobs/sha256" - 1] = '/';
    return text;
}

uint32_t varve_catalog_add_blob(struct varve_catalog *catalog, const char *name) {
    assert(catalog->source_count > 0);
    uint32_t source_number = (uint32_t)catalog->source_count - 1;
    struct source *source = &catalog->sources[source_number];
    bool added = false;
    if (!RESERVE(catalog->blobs, catalog->blob_room, catalog->blob_count)) {
        return VARVE_NAME_NONE;
    }
    uint32_t number = varve_name_map_add(&source->blobs, &added, name);
    if (number == VARVE_NAME_NONE) {
        return VARVE_NAME_NONE;
    }
    if (added) {
        char text[VARVE_DIGEST_TEXT_BYTES + 8];
        struct stat status;
        int flags = source->root == AT_FDCWD ? 0 : AT_SYMLINK_NOFOLLOW;
        bool known = fstatat(source->root, blob_path(text, source, name), &status, flags) == 0;
        catalog->blobs[catalog->blob_count++] = (struct blob){
            .source = source_number,
            .first_claim = VARVE_NAME_NONE,
            .size = known && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0,
        };
    }
    return source->first_blob + number;
}

static uint32_t *claim_slot(const struct varve_catalog *catalog, const struct claim *claim) {
    size_t mask = catalog->claim_slots_room - 1;
    uint64_t hash = varve_siphash(catalog->claim_key, claim, CLAIM_KEY_BYTES);
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &catalog->claim_slots[i];
        if (!*slot || memcmp(&catalog->claims[*slot - 1], claim, CLAIM_KEY_BYTES) == 0) {
            return slot;
        }
    }
}

static bool grow_claim_slots(struct varve_catalog *catalog) {
    if (2 * (catalog->claim_count + 1) <= catalog->claim_slots_room) {
        return true;
    }
    size_t room = catalog->claim_slots_room ? 2 * catalog->claim_slots_room : 256;
    uint32_t *slots = calloc(room, sizeof *slots);
    if (!slots) {
        return false;
    }
    free(catalog->claim_slots);
    catalog->claim_slots = slots;
    catalog->claim_slots_room = room;
    for (uint32_t i = 0; i < catalog->claim_count; i++) {
        *claim_slot(catalog, &catalog->claims[i]) = i + 1;
    }
    return true;
}

uint32_t varve_catalog_add_claim(struct varve_catalog *catalog, uint32_t blob, uint64_t size,
                                 const char *media_type, const uint8_t *diffid) {
    struct claim claim;
    memset(&claim, 0, sizeof claim);
    claim.size = size;
    claim.blob = blob;
    claim.media_type = varve_name_map_add(&catalog->strings, NULL, media_type);
    if (diffid) {
        claim.has_diffid = 1;
        memcpy(claim.diffid, diffid, sizeof claim.diffid);
    }
    if (claim.media_type == VARVE_NAME_NONE || !grow_claim_slots(catalog) ||
        !RESERVE(catalog->claims, catalog->claim_room, catalog->claim_count)) {
        return VARVE_NAME_NONE;
    }
    uint32_t *slot = claim_slot(catalog, &claim);
    if (!*slot) {
        claim.next = catalog->blobs[blob].first_claim;
        catalog->blobs[blob].first_claim = (uint32_t)catalog->claim_count;
        catalog->claims[catalog->claim_count++] = claim;
        *slot = (uint32_t)catalog->claim_count;
    }
    return *slot - 1;
}

bool varve_catalog_keep_claims(struct varve_catalog *catalog, uint32_t *claims) {
    if (!RESERVE(catalog->claim_arrays, catalog->array_room, catalog->array_count)) {
        free(claims);
        return false;
    }
    catalog->claim_arrays[catalog->array_count++] = claims;
    return true;
}

/* The catalog's own copy of a string; NULL stays NULL. */
static bool keep(struct varve_catalog *catalog, const char **text) {
    if (!*text) {
        return true;
    }
    uint32_t number = varve_name_map_add(&catalog->strings, NULL, *text);
    *text = number == VARVE_NAME_NONE ? NULL : catalog->strings.names[number];
    return *text != NULL;
}

bool varve_catalog_add_image(struct varve_catalog *catalog, const struct varve_image *image) {
    struct varve_image copy = *image;
    copy.source = catalog->sources[catalog->source_count - 1].name;
    if (!RESERVE(catalog->images, catalog->image_room, catalog->image_count) ||
        !keep(catalog, &copy.ref) || !keep(catalog, &copy.digest) ||
        !keep(catalog, &copy.platform) || !keep(catalog, &copy.fault_digest)) {
        return false;
    }
    catalog->images[catalog->image_count++] = copy;
    return true;
}

bool varve_catalog_add_error(struct varve_catalog *catalog, const char *source, const char *detail,
                             struct varve_fault fault) {
    char *name = NULL;
    if (!RESERVE(catalog->errors, catalog->error_room, catalog->error_count) ||
        asprintf(&name, "%s%s%s", source, detail ? " " : "", detail ? detail : "") < 0) {
        return false;
    }
    catalog->errors[catalog->error_count++] = (struct varve_catalog_error){name, fault};
    return true;
}

enum varve_status varve_catalog_add_file(struct varve_catalog *catalog, const char *path) {
    bool loose =
        catalog->source_count > 0 && catalog->sources[catalog->source_count - 1].root == AT_FDCWD;
    if (!loose && varve_catalog_begin_source(catalog, "file", AT_FDCWD) == VARVE_NAME_NONE) {
        return VARVE_ERROR;
    }
    return varve_catalog_add_blob(catalog, path) == VARVE_NAME_NONE ? VARVE_ERROR : VARVE_OK;
}

/* DIR[:TAG], where DIR itself may hold colons: the longest path that is there is the directory. */
static enum varve_status add_oci(struct varve_catalog *catalog, const char *place) {
    struct stat status;
    const char *colon = strrchr(place, ':');
    if (!colon || stat(place, &status) == 0) {
        return varve_source_oci_add(catalog, place, NULL);
    }
    char *directory = strndup(place, (size_t)(colon - place));
    if (!directory) {
        return VARVE_ERROR;
    }
    enum varve_status result = varve_source_oci_add(catalog, directory, colon + 1);
    free(directory);
    return result;
}

enum varve_status varve_catalog_add(struct varve_catalog *catalog, const char *source) {
    struct stat status;
    if (strncmp(source, "oci:", 4) == 0) {
        return add_oci(catalog, source + 4);
    }
    struct varve_fault fault = varve_fault_of(VARVE_CODE_SOURCE_UNKNOWN, VARVE_NO_OFFSET);
    if (stat(source, &status) != 0) {
        int error = errno;
        fault = varve_fault_of(error == ENOENT ? VARVE_CODE_IO_MISSING : VARVE_CODE_IO_OPEN,
                               VARVE_NO_OFFSET);
        fault.os_errno = error;
    } else if (S_ISDIR(status.st_mode) && varve_source_oci_looks_like(source)) {
        return varve_source_oci_add(catalog, source, NULL);
    } else if (S_ISREG(status.st_mode)) {
        return varve_catalog_add_file(catalog, source);
    }
    varve_catalog_add_error(catalog, source, NULL, fault);
    return VARVE_ERROR;
}

int varve_catalog_open_blob(const struct varve_catalog *catalog, struct varve_fault *fault,
                            size_t blob) {
    const struct source *source = &catalog->sources[catalog->blobs[blob].source];
    const char *name = source->blobs.names[blob - source->first_blob];
    if (source->root == AT_FDCWD && strcmp(name, "-") == 0) {
        int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            *fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
            fault->os_errno = errno;
        }
        return fd;
    }
    char text[VARVE_DIGEST_TEXT_BYTES + 8];
    return varve_file_open(fault, NULL, source->root, blob_path(text, source, name));
}

size_t varve_catalog_blob_count(const struct varve_catalog *catalog) {
    return catalog->blob_count;
}

struct varve_blob varve_catalog_blob(const struct varve_catalog *catalog, size_t blob) {
    assert(blob < catalog->blob_count);
    const struct source *source = &catalog->sources[catalog->blobs[blob].source];
    return (struct varve_blob){source->blobs.names[blob - source->first_blob], source->name,
                               catalog->blobs[blob].size};
}

size_t varve_catalog_claim_count(const struct varve_catalog *catalog) {
    return catalog->claim_count;
}

struct varve_claim varve_catalog_claim(const struct varve_catalog *catalog, size_t claim) {
    assert(claim < catalog->claim_count);
    const struct claim *from = &catalog->claims[claim];
    struct varve_claim out = {.blob = from->blob,
                              .size = from->size,
                              .media_type = catalog->strings.names[from->media_type],
                              .has_diffid = from->has_diffid};
    memcpy(out.diffid, from->diffid, sizeof out.diffid);
    return out;
}

static size_t index_or_none(uint32_t number) {
    return number == VARVE_NAME_NONE ? SIZE_MAX : number;
}

size_t varve_catalog_first_claim(const struct varve_catalog *catalog, size_t blob) {
    return index_or_none(catalog->blobs[blob].first_claim);
}

size_t varve_catalog_next_claim(const struct varve_catalog *catalog, size_t claim) {
    return index_or_none(catalog->claims[claim].next);
}

size_t varve_catalog_image_count(const struct varve_catalog *catalog) {
    return catalog->image_count;
}

struct varve_image varve_catalog_image(const struct varve_catalog *catalog, size_t image) {
    assert(image < catalog->image_count);
    return catalog->images[image];
}

size_t varve_catalog_error_count(const struct varve_catalog *catalog) {
    return catalog->error_count;
}

struct varve_catalog_error varve_catalog_error(const struct varve_catalog *catalog, size_t error) {
    assert(error < catalog->error_count);
    return catalog->errors[error];
}
