/* SPDX-License-Identifier: Apache-2.0 */
/* src/source_pile.c - stores that keep blobs by their digests and nothing beside them that tells
 * what they are: containerd's content store, whose names lie in a database, and any other folder of
 * that sort. Indexes and manifests are found by looking at what may be one. */
#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "file.h"
#include "folder.h"
#include "source.h"

/* Where the blobs may lie, most particular first. */
static const char *const cas_patterns[] = {
    "%a/%2/%h",             /* Quay: sha256/ab/abcd... */
    "%2/%r",                /* Pulp, in media/artifact: ab/cd... */
    "blobs/%a/%h",          /* a layout that lost its index */
    "%a/%h",       "%2/%h", /* whoever else */
    "%h",
};
#define CAS_PATTERN_COUNT (sizeof cas_patterns / sizeof cas_patterns[0])

static const char *const containerd_patterns[] = {
    "io.containerd.content.v1.content/blobs/%a/%h",
    "blobs/%a/%h",
};

static bool found_one(void *cookie, const char *name) {
    (void)name;
    *(bool *)cookie = true;
    return false;
}

static void found_unread(void *cookie, const char *path, const struct varve_fault *fault) {
    (void)path;
    *(bool *)cookie |= varve_file_is_unread(fault);
}

/* True where that cannot be told: whoever reads it will see why. */
static bool has_any(int fd, const char *pattern) {
    const struct varve_pattern_visitor visitor = {.digest = found_one, .unreadable = found_unread};
    bool found = false;
    return !varve_pattern_each(fd, "", pattern, &visitor, &found) || found;
}

/* Reads all blobs that lie by a pattern as a source. */
static enum varve_status read_pile(struct varve_place *place, uint32_t root) {
    if (!varve_place_begin(place, root)) {
        return VARVE_ERROR;
    }
    struct varve_documents *documents = varve_documents_open(place, NULL);
    if (!documents) {
        return VARVE_ERROR;
    }
    varve_documents_sniff(documents);
    varve_documents_add_rest(documents, NULL);
    varve_documents_close(documents);
    return VARVE_OK;
}

/* Reads the folder by each pattern that fits. */
static enum varve_status add_piles(struct varve_catalog *catalog, const char *kind,
                                   const char *path, const char *const *patterns, size_t count) {
    struct varve_place place = {.prefix = ""};
    enum varve_status status = VARVE_ERROR;
    uint32_t root = VARVE_NAME_NONE;
    bool found = false;
    if (varve_source_open_folder(&place, &root, catalog, kind, path)) {
        for (size_t i = 0; i < count && !place.no_memory; i++) {
            if (has_any(place.fd, patterns[i])) {
                found = true;
                place.pattern = patterns[i];
                status = read_pile(&place, root);
            }
        }
        if (!found) {
            varve_place_complain(&place, NULL,
                                 varve_fault_of(VARVE_CODE_SOURCE_UNKNOWN, VARVE_NO_OFFSET));
        }
    }
    return varve_place_end(&place, status);
}

enum varve_status varve_source_cas(struct varve_catalog *catalog, const char *operand) {
    const char *pattern = NULL;
    char *path = varve_source_split(&pattern, operand);
    if (!path) {
        return VARVE_ERROR;
    }
    enum varve_status status =
        pattern && strstr(pattern, "%")
            ? add_piles(catalog, "cas", path, &pattern, 1)
            : add_piles(catalog, "cas", operand, cas_patterns, CAS_PATTERN_COUNT);
    free(path);
    return status;
}

bool varve_source_is_cas(struct varve_fault *fault, int fd) {
    (void)fault;
    for (size_t i = 0; i < CAS_PATTERN_COUNT; i++) {
        if (has_any(fd, cas_patterns[i])) {
            return true;
        }
    }
    return false;
}

enum varve_status varve_source_containerd(struct varve_catalog *catalog, const char *operand) {
    return add_piles(catalog, "containerd", operand, containerd_patterns, 2);
}

bool varve_source_is_containerd(struct varve_fault *fault, int fd) {
    return varve_folder_holds(fault, fd, "io.containerd.content.v1.content") ||
           (!fault->code && varve_folder_holds(fault, fd, "blobs") &&
            varve_folder_holds(fault, fd, "ingest"));
}
