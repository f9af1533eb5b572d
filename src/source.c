/* SPDX-License-Identifier: Apache-2.0 */
/* src/source.c - the kinds of sources, and which one a path is. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "folder.h"
#include "json_load.h"
#include "limits.h"

static enum varve_status add_blob_file(struct varve_catalog *catalog, const char *operand) {
    return varve_catalog_add_file(catalog, operand);
}

/* The only place where a kind is listed. A path is of the first kind that it looks like; a regular
 * file that looks like none is a loose blob. */
static const struct kind {
    struct varve_source_kind_info info;
    bool (*is_folder)(struct varve_fault *fault, int fd); /* NULL: no folder is known as one */
    bool (*is_file)(struct varve_fault *fault, int fd);   /* NULL: no file is */
    enum varve_status (*add)(struct varve_catalog *catalog, const char *operand);
} kinds[] = {
    {{"oci", "DIR[:TAG]", "an OCI image layout"}, varve_source_is_oci, NULL, varve_source_oci},
    {{"oci-archive", "FILE[:TAG]", "an OCI image layout in a tar file"},
     NULL,
     varve_source_is_oci_archive,
     varve_source_oci_archive},
    {{"docker-archive", "FILE", "what docker save writes"},
     NULL,
     varve_source_is_docker_archive,
     varve_source_docker_archive},
    {{"dir", "DIR", "one image as skopeo writes it into a folder, or a tree of such"},
     varve_source_is_dir,
     NULL,
     varve_source_dir},
    {{"registry-fs", "DIR", "the storage tree of a registry (CNCF distribution, Harbor)"},
     varve_source_is_registry,
     NULL,
     varve_source_registry},
    {{"containerd", "DIR", "containerd's content store"},
     varve_source_is_containerd,
     NULL,
     varve_source_containerd},
    {{"containers-storage", "DIR",
      "the store of podman, buildah and CRI-O (what is written of layers)"},
     varve_source_is_storage,
     NULL,
     varve_source_storage},
    {{"docker", "DIR", "the docker daemon's data folder (what is written of layers)"},
     varve_source_is_docker,
     NULL,
     varve_source_docker},
    {{"zot", "DIR", "a tree of OCI image layouts, one for each repository"},
     varve_source_is_tree,
     NULL,
     varve_source_tree},
    {{"cas", "DIR[:PATTERN]", "a folder of blobs named by their digests (Quay, Pulp, flat)"},
     varve_source_is_cas,
     NULL,
     varve_source_cas},
    {{"blob", "FILE", "one layer file"}, NULL, NULL, add_blob_file},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

size_t varve_source_kind_count(void) {
    return KIND_COUNT;
}

struct varve_source_kind_info varve_source_kind_at(size_t index) {
    return kinds[index].info;
}

/* What opens as folder or regular file, and nothing else: a pipe must not hold us up. */
static int open_any(struct varve_fault *fault, bool *is_file, const char *path) {
    struct stat status;
    if (stat(path, &status) != 0) {
        int error = errno;
        *fault = varve_fault_of(error == ENOENT ? VARVE_CODE_IO_MISSING : VARVE_CODE_IO_OPEN,
                                VARVE_NO_OFFSET);
        fault->os_errno = error;
        return -1;
    }
    *is_file = !S_ISDIR(status.st_mode);
    return *is_file ? varve_file_open(fault, NULL, AT_FDCWD, path)
                    : varve_directory_open(fault, AT_FDCWD, path);
}

/* The first kind that something open looks like; NULL: a file is of none, with a fault->code where
 * that could not be found out; a folder must be of some. */
static const struct kind *kind_of(struct varve_fault *fault, int fd, bool is_file) {
    memset(fault, 0, sizeof *fault);
    for (size_t i = 0; i < KIND_COUNT && !fault->code; i++) {
        const struct kind *kind = &kinds[i];
        if (is_file ? kind->is_file && kind->is_file(fault, fd)
                    : kind->is_folder && kind->is_folder(fault, fd)) {
            return kind;
        }
    }
    if (!is_file && !fault->code) {
        *fault = varve_fault_of(VARVE_CODE_SOURCE_UNKNOWN, VARVE_NO_OFFSET);
    }
    return NULL;
}

/* Fills the catalog from a source of the kind that is named, or found by looking. */
static enum varve_status add_kind(struct varve_catalog *catalog, const char *source) {
    struct varve_fault fault;
    bool is_file = false;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        size_t count = strlen(kinds[i].info.prefix);
        if (strncmp(source, kinds[i].info.prefix, count) == 0 && source[count] == ':') {
            return kinds[i].add(catalog, source + count + 1);
        }
    }
    int fd = open_any(&fault, &is_file, source);
    if (fd >= 0) {
        const struct kind *kind = kind_of(&fault, fd, is_file);
        close(fd);
        if (kind) {
            return kind->add(catalog, source);
        }
        if (is_file && !fault.code) {
            return varve_catalog_add_file(catalog, source);
        }
    }
    varve_catalog_add_error(catalog, source, NULL, fault);
    return VARVE_ERROR;
}

enum varve_status varve_catalog_add(struct varve_catalog *catalog, const char *source) {
    enum varve_status status = VARVE_ERROR;
    bool good = varve_catalog_begin_operand(catalog, source);
    if (good) {
        status = add_kind(catalog, source);
        good = varve_catalog_look(catalog);
    }
    if (!good) {
        varve_catalog_add_error(catalog, source, NULL,
                                varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET));
        status = VARVE_ERROR;
    }
    return status;
}

char *varve_source_split(const char **tag, const char *operand) {
    char *path = strdup(operand);
    char *colon = path && !varve_folder_has(AT_FDCWD, path) ? strrchr(path, ':') : NULL;
    *tag = NULL;
    if (!colon) {
        return path;
    }
    /* Tags have colons too; where nothing is there, the last one is as good as any. */
    size_t count = (size_t)(colon - path);
    for (char *at = colon; at; at = strrchr(path, ':')) {
        *at = 0;
        if (varve_folder_has(AT_FDCWD, path)) {
            count = (size_t)(at - path);
            break;
        }
    }
    free(path);
    *tag = operand + count + 1;
    return strndup(operand, count);
}

/* The source's name, and the descriptor as one of the catalog's roots. */
static bool begin_place(struct varve_place *place, uint32_t *root, struct varve_catalog *catalog,
                        const char *kind, const char *path, int fd,
                        const struct varve_fault *fault) {
    place->catalog = catalog;
    place->fd = fd;
    if (asprintf(&place->name, "%s:%s", kind, path) < 0) {
        place->name = NULL;
        place->no_memory = true;
        varve_catalog_add_error(catalog, path, NULL,
                                varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    if (fd < 0) {
        varve_place_complain(place, NULL, *fault);
        return false;
    }
    *root = varve_catalog_add_root(catalog, fd);
    place->no_memory |= *root == VARVE_NAME_NONE;
    return !place->no_memory;
}

bool varve_source_open_folder(struct varve_place *place, uint32_t *root,
                              struct varve_catalog *catalog, const char *kind, const char *path) {
    struct varve_fault fault;
    int fd = varve_directory_open(&fault, AT_FDCWD, path);
    return begin_place(place, root, catalog, kind, path, fd, &fault);
}

bool varve_source_open_archive(struct varve_place *place, struct varve_archive **archive,
                               uint32_t *root, struct varve_catalog *catalog, const char *kind,
                               const char *path) {
    struct varve_fault fault;
    const char *repeats = NULL;
    *archive = NULL;
    int fd = varve_file_open(&fault, NULL, AT_FDCWD, path);
    if (!begin_place(place, root, catalog, kind, path, fd, &fault)) {
        return false;
    }
    if (varve_archive_open(archive, &fault, &repeats, fd) != VARVE_OK) {
        varve_place_complain(place, NULL, fault);
    }
    if (!*archive) {
        return false;
    }
    place->archive = *archive;
    if (!varve_place_begin(place, *root)) {
        return false;
    }
    if (repeats) {
        varve_place_note(place, repeats, VARVE_CODE_ARCHIVE_REPEATS);
    }
    return true;
}

void varve_source_complain_unknown(struct varve_place *place, const struct varve_fault *unread) {
    varve_place_complain(place, NULL,
                         unread->code ? *unread
                                      : varve_fault_of(VARVE_CODE_SOURCE_UNKNOWN, VARVE_NO_OFFSET));
}

void varve_source_look_for_split(struct varve_place *place, const char *layer, const char *path) {
    struct varve_fault fault;
    if (varve_folder_holds(&fault, place->fd, path)) {
        return;
    }
    if (fault.code) {
        varve_place_complain(place, layer, fault);
    } else {
        varve_place_note(place, layer, VARVE_CODE_SOURCE_NO_TAR_SPLIT);
    }
}

struct json_t *varve_source_read_list(struct varve_place *place, bool *unread, const char *path) {
    char full[VARVE_PATTERN_PATH_BYTES];
    struct varve_fault fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    json_t *list = NULL;
    fault.os_errno = ENAMETOOLONG;
    int n = snprintf(full, sizeof full, "%s%s", place->prefix, path);
    if (n < (int)sizeof full && varve_file_read(&data, &data_bytes, &fault, place->fd, full,
                                                VARVE_LIMIT_STORE_LIST_BYTES)) {
        bool no_memory = false;
        list = varve_json_parse(data, data_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL,
                                &no_memory);
        fault =
            varve_fault_of(no_memory ? VARVE_CODE_NO_MEMORY : VARVE_CODE_OCI_JSON, VARVE_NO_OFFSET);
        free(data);
    }
    if (!list) {
        varve_place_complain(place, path, fault);
    }
    *unread = !list && varve_file_is_unread(&fault);
    return list;
}

uint32_t varve_source_add_unpacked(struct varve_place *place,
                                   const struct varve_digest_name *diffid, bool unreferenced,
                                   const char *split, const char *folder, uint64_t bytes,
                                   bool unread) {
    char name[VARVE_DIGEST_TEXT_BYTES];
    bool told = split && folder && varve_folder_has(place->fd, split);
    bool whole = told && varve_folder_has(place->fd, folder);
    varve_digest_name_text(name, diffid);
    const struct varve_new_blob blob = {.name = name,
                                        .unreferenced = unreferenced,
                                        .unreadable = !whole,
                                        .code = unread ? VARVE_CODE_IO_READ
                                                : told ? VARVE_CODE_IO_MISSING
                                                       : VARVE_CODE_SOURCE_UNPACKED,
                                        .bytes = bytes == VARVE_NO_SIZE ? 0 : bytes,
                                        .split = whole ? split : NULL,
                                        .folder = folder};
    uint32_t number = varve_catalog_add_blob(place->catalog, &blob);
    place->no_memory |= number == VARVE_NAME_NONE;
    return number;
}
