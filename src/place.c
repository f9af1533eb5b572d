/* SPDX-License-Identifier: Apache-2.0 */
/* src/place.c - a store as sources read it. */
#include "place.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "limits.h"

bool varve_place_is_over(struct varve_place *place) {
    place->no_memory |= varve_catalog_is_cancelled(place->catalog);
    return place->no_memory;
}

bool varve_place_begin(struct varve_place *place, uint32_t root) {
    const struct varve_location location = {root, place->prefix,
                                            place->archive ? NULL : place->pattern};
    bool begun =
        root != VARVE_NAME_NONE &&
        varve_catalog_begin_source(place->catalog, place->name, &location) != VARVE_NAME_NONE;
    place->no_memory |= !begun;
    return begun;
}

/* Opens a file beneath the place: the descriptor is the caller's to close where the place is a
 * folder. -1 with *fault. */
static int open_file(const struct varve_place *place, uint64_t *offset, uint64_t *bytes,
                     struct varve_fault *fault, const char *path) {
    struct varve_archive_file file;
    bool no_memory = false;
    *offset = 0;
    if (!place->archive) {
        return varve_file_open(fault, bytes, place->fd, path);
    }
    if (!varve_archive_find(place->archive, &file, &no_memory, path)) {
        *fault = varve_fault_of(no_memory ? VARVE_CODE_NO_MEMORY : VARVE_CODE_IO_MISSING,
                                VARVE_NO_OFFSET);
        return -1;
    }
    *offset = file.offset;
    *bytes = file.bytes;
    return place->fd;
}

static void close_file(const struct varve_place *place, int fd) {
    if (!place->archive) {
        close(fd);
    }
}

static bool read_path(const struct varve_place *place, uint8_t **data, size_t *data_bytes,
                      struct varve_fault *fault, const char *path) {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    *data = NULL;
    *data_bytes = 0;
    int fd = open_file(place, &offset, &bytes, fault, path);
    if (fd < 0) {
        return false;
    }
    int64_t got = -1;
    if (bytes > VARVE_LIMIT_DOCUMENT_BYTES) {
        *fault = varve_fault_of(VARVE_CODE_OCI_DOCUMENT_SIZE, 0);
    } else if (!(*data = malloc((size_t)bytes + 1))) {
        *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
    } else if ((got = varve_file_fill(fd, true, *data, (size_t)bytes, offset)) < 0) {
        *fault = varve_fault_of(VARVE_CODE_IO_READ, VARVE_NO_OFFSET);
        fault->os_errno = errno;
    }
    close_file(place, fd);
    if (got < 0) {
        free(*data);
        *data = NULL;
        return false;
    }
    (*data)[got] = 0;
    *data_bytes = (size_t)got;
    return true;
}

static void refuse_length(struct varve_fault *fault) {
    *fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
    fault->os_errno = ENAMETOOLONG;
}

bool varve_place_read(const struct varve_place *place, uint8_t **data, size_t *data_bytes,
                      struct varve_fault *fault, const char *path) {
    char full[VARVE_PATTERN_PATH_BYTES];
    memset(fault, 0, sizeof *fault);
    if (snprintf(full, sizeof full, "%s%s", place->prefix, path) >= (int)sizeof full) {
        *data = NULL;
        refuse_length(fault);
        return false;
    }
    return read_path(place, data, data_bytes, fault, full);
}

bool varve_place_read_digest(const struct varve_place *place, uint8_t **data, size_t *data_bytes,
                             struct varve_fault *fault, const struct varve_digest_name *digest) {
    char name[VARVE_DIGEST_TEXT_BYTES];
    char path[VARVE_PATTERN_PATH_BYTES];
    const char *const patterns[] = {place->pattern, place->document_pattern};
    bool there = false;
    memset(fault, 0, sizeof *fault);
    varve_digest_name_text(name, digest);
    for (size_t i = 0; i < 2 && patterns[i] && !there; i++) {
        struct varve_fault later = {.code = NULL};
        if (!varve_pattern_path(path, place->prefix, patterns[i], name)) {
            *data = NULL;
            refuse_length(fault);
            return false;
        }
        there = read_path(place, data, data_bytes, i ? &later : fault, path);
        if (!there && later.code && varve_file_is_unread(&later)) {
            *fault = later; /* it may be there */
        }
    }
    if (!there) {
        return false;
    }
    memset(fault, 0, sizeof *fault);
    bool no_memory = false;
    if (!varve_digest_name_holds(&no_memory, digest, *data, *data_bytes)) {
        *fault = varve_fault_of(no_memory ? VARVE_CODE_NO_MEMORY : VARVE_CODE_CLAIM_NAME,
                                VARVE_NO_OFFSET);
    }
    return true;
}

int varve_place_peek(const struct varve_place *place, struct varve_fault *fault, const char *name) {
    char path[VARVE_PATTERN_PATH_BYTES];
    struct varve_fault refused;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    uint8_t start[16];
    memset(fault, 0, sizeof *fault);
    if (!varve_pattern_path(path, place->prefix, place->pattern, name)) {
        return 0;
    }
    int fd = open_file(place, &offset, &bytes, &refused, path);
    if (fd < 0) {
        if (varve_file_is_unread(&refused)) {
            *fault = refused;
        }
        return 0;
    }
    int found = 0;
    if (bytes <= VARVE_LIMIT_DOCUMENT_BYTES) {
        int64_t got = varve_file_fill(fd, true, start, bytes < 16 ? (size_t)bytes : 16, offset);
        if (got < 0) {
            *fault = varve_fault_of(VARVE_CODE_IO_READ, VARVE_NO_OFFSET);
            fault->os_errno = errno;
        }
        for (int64_t i = 0; i < got && !found; i++) {
            found = isspace(start[i]) ? 0 : start[i];
        }
    }
    close_file(place, fd);
    return found;
}

uint32_t varve_place_add_blob(struct varve_place *place, const char *name, bool unreferenced) {
    struct varve_new_blob blob = {.name = name, .unreferenced = unreferenced};
    char path[VARVE_PATTERN_PATH_BYTES];
    struct varve_archive_file file;
    if (place->archive) {
        bool there = varve_pattern_path(path, place->prefix, place->pattern, name) &&
                     varve_archive_find(place->archive, &file, &place->no_memory, path);
        blob.unreadable = !there;
        blob.code = VARVE_CODE_IO_MISSING;
        if (there) {
            blob.offset = file.offset;
            blob.bytes = file.bytes;
        }
    }
    uint32_t number = varve_catalog_add_blob(place->catalog, &blob);
    place->no_memory |= number == VARVE_NAME_NONE;
    return number;
}

struct varve_bytes varve_place_keep_document(struct varve_place *place, const uint8_t *data,
                                             size_t bytes) {
    struct varve_bytes kept;
    place->no_memory |= !varve_catalog_keep_document(place->catalog, &kept, data, bytes);
    return kept;
}

const struct varve_config_digests *
varve_place_keep_config(struct varve_place *place, const struct varve_config_digests *digests) {
    const struct varve_config_digests *copy = varve_catalog_keep_config(place->catalog, digests);
    place->no_memory |= !copy;
    return copy;
}

/* The digests that an archive holds: its paths of the form blobs/<algorithm>/<hex>. */
static void each_in_archive(const struct varve_place *place,
                            const struct varve_pattern_visitor *visitor, void *cookie) {
    static const char folder[] = "blobs/";
    for (size_t i = 0; i < varve_archive_count(place->archive); i++) {
        const char *path = varve_archive_path(place->archive, i);
        struct varve_digest_name digest;
        char name[VARVE_DIGEST_TEXT_BYTES];
        const char *slash = strncmp(path, folder, sizeof folder - 1) == 0
                                ? strchr(path + sizeof folder - 1, '/')
                                : NULL;
        size_t path_bytes = strlen(path);
        if (!slash || path_bytes >= sizeof name + sizeof folder - 1) {
            continue;
        }
        memcpy(name, path + sizeof folder - 1, path_bytes + 1 - (sizeof folder - 1));
        name[slash - path - (ptrdiff_t)(sizeof folder - 1)] = ':';
        if (varve_digest_name_parse(&digest, name, strlen(name)) &&
            !visitor->digest(cookie, name)) {
            return;
        }
    }
}

void varve_place_each(struct varve_place *place, const struct varve_pattern_visitor *visitor,
                      void *cookie) {
    if (place->archive) {
        each_in_archive(place, visitor, cookie);
    } else if (!varve_pattern_each(place->fd, place->prefix, place->pattern, visitor, cookie)) {
        place->no_memory = true;
    }
}

void varve_place_complain(struct varve_place *place, const char *detail, struct varve_fault fault) {
    if (!varve_catalog_add_error(place->catalog, place->name, detail, fault)) {
        place->no_memory = true;
    }
}

void varve_place_note(struct varve_place *place, const char *detail, enum varve_code code) {
    if (!varve_catalog_add_note(place->catalog, place->name, detail, code)) {
        place->no_memory = true;
    }
}

enum varve_status varve_place_end(struct varve_place *place, enum varve_status status) {
    if (place->no_memory) {
        if (place->name) {
            varve_place_complain(place, NULL,
                                 varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET));
        }
        status = VARVE_ERROR;
    }
    free(place->name);
    place->name = NULL;
    return status;
}
