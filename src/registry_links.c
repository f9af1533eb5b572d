/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry_links.c - listing repositories' folders, then reading the links in all of them. */
#include "registry_links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

/* A link file holds a digest and no more. */
#define LINK_BYTES VARVE_DIGEST_TEXT_BYTES
/* Links that a thread takes at once: their folder is opened for them, so that each is found from
 * there. */
#define PIECE_LINKS 64u

static const char *const folder_paths[VARVE_REGISTRY_KINDS] = {
    [VARVE_REGISTRY_TAGS] = "/_manifests/tags",
    [VARVE_REGISTRY_REVISIONS] = "/_manifests/revisions/sha256",
    [VARVE_REGISTRY_REVISIONS_SHA512] = "/_manifests/revisions/sha512",
    [VARVE_REGISTRY_LAYERS] = "/_layers/sha256",
    [VARVE_REGISTRY_LAYERS_SHA512] = "/_layers/sha512",
    [VARVE_REGISTRY_UPLOADS] = "/_uploads",
};

const char *varve_registry_tail(enum varve_registry_kind kind) {
    return kind == VARVE_REGISTRY_TAGS ? "/current/link" : "/link";
}

static bool is_code(const struct varve_fault *fault, enum varve_code code) {
    return fault->code && strcmp(fault->code, varve_code_at(code)->code) == 0;
}

/* A path counted from the descriptor. False, with *fault, where it is longer than any path can be.
 */
static bool full_path(char full[VARVE_PATTERN_PATH_BYTES], struct varve_fault *fault,
                      const struct varve_place *place, const char *path) {
    int n = snprintf(full, VARVE_PATTERN_PATH_BYTES, "%s%s", place->prefix, path);
    *fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
    fault->os_errno = ENAMETOOLONG;
    return n < VARVE_PATTERN_PATH_BYTES;
}

/* Lists a folder; one that is not there is empty. False: no memory. */
static bool list(struct varve_registry_folder *folder, const struct varve_place *place,
                 const char *repository, enum varve_registry_kind kind) {
    char full[VARVE_PATTERN_PATH_BYTES];
    struct varve_fault fault;
    if (asprintf(&folder->path, "repositories/%s%s", repository, folder_paths[kind]) < 0) {
        folder->path = NULL;
        return false;
    }
    if (!full_path(full, &fault, place, folder->path) ||
        !varve_folder_read(&folder->names, &fault, place->fd, full)) {
        if (!is_code(&fault, VARVE_CODE_IO_MISSING)) {
            folder->fault = fault;
        }
        return true;
    }
    if (kind != VARVE_REGISTRY_UPLOADS) {
        folder->links = calloc(folder->names.count + 1, sizeof *folder->links);
        return folder->links != NULL;
    }
    return true;
}

static void blame(struct varve_registry_link *link, const struct varve_fault *fault) {
    link->fault = *fault;
    link->state = is_code(fault, VARVE_CODE_IO_MISSING) ? VARVE_REGISTRY_ABSENT
                  : varve_file_is_unread(fault)         ? VARVE_REGISTRY_UNREAD
                                                        : VARVE_REGISTRY_BAD;
}

static void read_link(struct varve_registry_link *link, int folder, const char *name,
                      const char *tail) {
    char path[512]; /* a name is 255 bytes at most (NAME_MAX) */
    char text[LINK_BYTES];
    uint64_t bytes = 0;
    struct varve_fault fault;
    link->state = VARVE_REGISTRY_BAD;
    if (snprintf(path, sizeof path, "%s%s", name, tail) >= (int)sizeof path) {
        return;
    }
    int fd = varve_file_open(&fault, &bytes, folder, path);
    if (fd < 0) {
        blame(link, &fault);
        return;
    }
    bool fits = bytes <= sizeof text;
    int64_t got = fits ? varve_file_fill(fd, true, (uint8_t *)text, bytes, 0) : 0;
    if (got < 0) {
        fault = varve_fault_of(VARVE_CODE_IO_READ, VARVE_NO_OFFSET);
        fault.os_errno = errno;
        blame(link, &fault);
    }
    close(fd);
    if (fits && got >= 0 && varve_digest_name_parse(&link->digest, text, (size_t)got)) {
        link->state = VARVE_REGISTRY_GOOD;
    }
}

/* Some links of a folder. */
struct piece {
    struct varve_registry_folder *folder;
    const char *tail;
    size_t from, to;
};

static void read_piece(const struct piece *piece, const struct varve_place *place) {
    char full[VARVE_PATTERN_PATH_BYTES];
    struct varve_registry_folder *folder = piece->folder;
    struct varve_fault fault;
    int fd = full_path(full, &fault, place, folder->path)
                 ? varve_directory_open(&fault, place->fd, full)
                 : -1;
    for (size_t i = piece->from; i < piece->to; i++) {
        if (fd < 0) {
            blame(&folder->links[i], &fault);
        } else {
            read_link(&folder->links[i], fd, folder->names.names[i], piece->tail);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* All pieces of all folders. NULL: no memory. */
static struct piece *cut(size_t *piece_count, struct varve_registry_repository *repositories,
                         size_t count) {
    struct piece *pieces = NULL;
    for (int pass = 0; pass < 2; pass++) {
        *piece_count = 0;
        for (size_t i = 0; i < count * VARVE_REGISTRY_KINDS; i++) {
            enum varve_registry_kind kind = (enum varve_registry_kind)(i % VARVE_REGISTRY_KINDS);
            struct varve_registry_folder *folder =
                &repositories[i / VARVE_REGISTRY_KINDS].folders[kind];
            for (size_t at = 0; folder->links && at < folder->names.count; at += PIECE_LINKS) {
                size_t left = folder->names.count - at;
                if (pieces) {
                    pieces[*piece_count] =
                        (struct piece){folder, varve_registry_tail(kind), at,
                                       at + (left < PIECE_LINKS ? left : PIECE_LINKS)};
                }
                ++*piece_count;
            }
        }
        if (!pieces && !(pieces = calloc(*piece_count + 1, sizeof *pieces))) {
            return NULL;
        }
    }
    return pieces;
}

bool varve_registry_read(struct varve_registry_repository *repositories, char *const *names,
                         size_t count, const struct varve_place *place) {
    /* For num_threads. NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores) */
    unsigned threads = varve_catalog_threads(place->catalog);
    bool good = true;
    memset(repositories, 0, count * sizeof *repositories);
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads) reduction(&& : good)
    for (size_t i = 0; i < count * VARVE_REGISTRY_KINDS; i++) {
        size_t at = i / VARVE_REGISTRY_KINDS;
        enum varve_registry_kind kind = (enum varve_registry_kind)(i % VARVE_REGISTRY_KINDS);
        good = list(&repositories[at].folders[kind], place, names[at], kind) && good;
    }
    size_t piece_count = 0;
    struct piece *pieces = good ? cut(&piece_count, repositories, count) : NULL;
    if (!pieces) {
        return false;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (size_t i = 0; i < piece_count; i++) {
        if (varve_catalog_is_cancelled(place->catalog)) {
            continue;
        }
        read_piece(&pieces[i], place);
    }
    free(pieces);
    return true;
}

void varve_registry_free(struct varve_registry_repository *repositories, size_t count) {
    for (size_t i = 0; i < count * VARVE_REGISTRY_KINDS; i++) {
        struct varve_registry_folder *folder =
            &repositories[i / VARVE_REGISTRY_KINDS].folders[i % VARVE_REGISTRY_KINDS];
        free(folder->path);
        free(folder->links);
        varve_folder_free(&folder->names);
    }
}
