/* SPDX-License-Identifier: Apache-2.0 */
/* src/source_dir.c - folders as skopeo writes them (dir:), one image each; and trees of folders:
 * what skopeo sync writes, and zot's storage, where each repository is an OCI layout.
 *
 * manifest.json is an image's manifest or an index; blobs are files named by their bare digests;
 * the manifests of an index are <hex>.manifest.json. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "documents.h"
#include "file.h"
#include "folder.h"
#include "source.h"

#define PATTERN "%h"
#define DOCUMENT_PATTERN "%h.manifest.json"

enum varve_status varve_source_read_dir(struct varve_place *place, const char *repository) {
    struct varve_documents *documents = varve_documents_open(place, repository);
    if (!documents) {
        return VARVE_ERROR;
    }
    uint32_t number = varve_documents_file(documents, "manifest.json");
    if (number != VARVE_NAME_NONE) {
        varve_documents_walk(documents, number, NULL);
    }
    varve_documents_add_rest(documents, NULL);
    varve_documents_close(documents);
    return number != VARVE_NAME_NONE ? VARVE_OK : VARVE_ERROR;
}

bool varve_source_is_dir(struct varve_fault *fault, int fd) {
    static const char marks[] = "Directory Transport Version:";
    struct varve_fault refused;
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    if (!varve_folder_holds(fault, fd, "manifest.json")) {
        return false;
    }
    if (!varve_file_read(&data, &data_bytes, &refused, fd, "version", 4096)) {
        if (varve_file_is_unread(&refused)) {
            *fault = refused;
        }
        return false;
    }
    bool found = strncmp((const char *)data, marks, sizeof marks - 1) == 0;
    free(data);
    return found;
}

/* Folders still to be looked at. */
struct tree {
    struct varve_place *place; /* of the tree itself, for errors; NULL: only to find out whether
                                  there is any layout */
    const char *path;
    int fd;
    uint32_t root;
    char **folders; /* paths beneath the root, "" for itself */
    size_t count, room;
    bool no_memory;
    bool found;
    struct varve_fault fault; /* the first that says nothing of what is there, where `place` is
                                 NULL */
};

static void push(struct tree *tree, const char *folder, const char *name) {
    char *path = NULL;
    if (tree->count == tree->room) {
        size_t room = tree->room ? 2 * tree->room : 64;
        char **folders = realloc(tree->folders, room * sizeof *folders);
        if (!folders) {
            tree->no_memory = true;
            return;
        }
        tree->folders = folders;
        tree->room = room;
    }
    if (asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", name) < 0) {
        tree->no_memory = true;
        return;
    }
    tree->folders[tree->count++] = path;
}

/* Reads the layout in a folder of the tree as a source of its own. */
static void read_layout(struct tree *tree, const char *folder, bool oci) {
    struct varve_place place = {.catalog = tree->place->catalog,
                                .fd = tree->fd,
                                .pattern = oci ? "blobs/%a/%h" : PATTERN,
                                .document_pattern = oci ? NULL : DOCUMENT_PATTERN};
    char *prefix = NULL;
    enum varve_status status = VARVE_ERROR;
    const char *slash = *folder ? "/" : "";
    if (asprintf(&place.name, "%s:%s%s%s", oci ? "oci" : "dir", tree->path, slash, folder) < 0) {
        place.name = NULL;
    }
    if (asprintf(&prefix, "%s%s", folder, slash) < 0) {
        prefix = NULL;
    }
    place.no_memory = !place.name || !prefix;
    place.prefix = prefix ? prefix : "";
    tree->no_memory |= !place.name; /* without a name it cannot be told of this one */
    if (!place.no_memory && varve_place_begin(&place, tree->root)) {
        const char *repository = *folder ? folder : NULL;
        status = oci ? varve_source_read_oci(&place, repository, NULL)
                     : varve_source_read_dir(&place, repository);
    }
    varve_place_end(&place, status);
    free(prefix);
}

static void complain(struct tree *tree, const char *folder, const struct varve_fault *fault) {
    if (tree->place) {
        varve_place_complain(tree->place, folder, *fault);
    } else if (!tree->fault.code && varve_file_is_unread(fault) && fault->os_errno != EACCES) {
        tree->fault = *fault; /* what nobody lets us see (lost+found) is no part of a tree */
    }
}

/* Looks at one name of the tree: a layout, a folder of more, or nothing of interest. */
static void visit(struct tree *tree, const char *folder) {
    struct varve_fault fault;
    struct varve_folder inner;
    struct stat status;
    const char *path = *folder ? folder : ".";
    if (fstatat(tree->fd, path, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) {
            fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
            fault.os_errno = errno;
            complain(tree, folder, &fault);
        }
        return;
    }
    if (S_ISLNK(status.st_mode) && tree->place) {
        varve_place_note(tree->place, folder, VARVE_CODE_SOURCE_LINK);
    }
    if (!S_ISDIR(status.st_mode)) {
        return;
    }
    int fd = varve_directory_open(&fault, tree->fd, path);
    if (fd < 0) {
        complain(tree, folder, &fault);
        return;
    }
    struct varve_fault unknown = {.code = NULL};
    bool dir = varve_source_is_dir(&unknown, fd);
    bool oci = !dir && !unknown.code && varve_source_is_oci(&unknown, fd);
    if (unknown.code) {
        complain(tree, folder, &unknown);
    }
    bool whole = varve_folder_read(&inner, &fault, fd, "");
    close(fd);
    if (dir || oci) {
        tree->found = true;
        if (tree->place) {
            read_layout(tree, folder, oci);
        }
    }
    if (!whole) {
        complain(tree, folder, &fault);
        return;
    }
    /* The last first: the list is worked off from its end. Names that begin with a point are the
     * store's own business (.uploads, .sync); blobs/ holds no repositories. */
    for (size_t i = inner.count; i-- > 0;) {
        const char *name = inner.names[i];
        if (*name != '.' && !dir && !(oci && strcmp(name, "blobs") == 0)) {
            push(tree, folder, name);
        }
    }
    varve_folder_free(&inner);
}

static void walk_tree(struct tree *tree) {
    enum { PROBED = 1000 }; /* a tree of layouts shows one soon */
    push(tree, "", "");
    for (size_t seen = 0; tree->count > 0; seen++) {
        char *folder = tree->folders[--tree->count];
        tree->no_memory |= tree->place && varve_place_is_over(tree->place);
        if (!tree->no_memory && (tree->place || (!tree->found && seen < PROBED))) {
            visit(tree, folder);
        }
        free(folder);
    }
    free(tree->folders);
}

static enum varve_status add_tree(struct varve_catalog *catalog, const char *kind,
                                  const char *path) {
    struct varve_place place = {.prefix = "", .pattern = PATTERN};
    struct tree tree = {.place = &place, .path = path};
    if (varve_source_open_folder(&place, &tree.root, catalog, kind, path)) {
        tree.fd = place.fd;
        walk_tree(&tree);
        place.no_memory |= tree.no_memory;
        if (!tree.found) {
            varve_place_complain(&place, NULL,
                                 varve_fault_of(VARVE_CODE_SOURCE_UNKNOWN, VARVE_NO_OFFSET));
        }
    }
    return varve_place_end(&place, tree.found ? VARVE_OK : VARVE_ERROR);
}

enum varve_status varve_source_tree(struct varve_catalog *catalog, const char *operand) {
    return add_tree(catalog, "zot", operand);
}

enum varve_status varve_source_dir(struct varve_catalog *catalog, const char *operand) {
    return add_tree(catalog, "dir", operand);
}

bool varve_source_is_tree(struct varve_fault *fault, int fd) {
    struct tree tree = {.fd = fd};
    walk_tree(&tree);
    if (!tree.found && tree.no_memory) {
        *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
    } else if (!tree.found) {
        *fault = tree.fault;
    }
    return tree.found;
}
