/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/output_tree.c - folders that appear whole or not at all. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "output.h"
#include "output_name.h"

#define TRIES 100

char *temporary_name(const char *name) {
    unsigned long long number = 0;
    char *text = NULL;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number ||
        asprintf(&text, ".%.200s.%016llx.tmp", name, number) < 0) {
        return NULL;
    }
    return text;
}

bool make_folders(int root, const char *path) {
    char folder[256];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t count = (size_t)(slash - path);
        if (count >= sizeof folder) {
            errno = ENAMETOOLONG;
            return false;
        }
        memcpy(folder, path, count);
        folder[count] = 0;
        if (mkdirat(root, folder, 0777) != 0 && errno != EEXIST) {
            return false;
        }
    }
    return true;
}

/* The next entry but "." and "..". */
static const struct dirent *next_entry(DIR *folder) {
    const struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(folder);
    } while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry;
}

static DIR *list(int root, const char *name) {
    int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (fd >= 0 && !folder) {
        close(fd);
    }
    return folder;
}

/* What is beneath a folder of ours, which is as deep as blobs/sha256/: every folder is synced, or
 * every thing removed. */
static bool each_beneath(int root, const char *name, bool remove) {
    DIR *folder = list(root, name);
    bool good = folder != NULL;
    const struct dirent *entry = NULL;
    while (good && (entry = next_entry(folder))) {
        struct stat status;
        good = fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0;
        if (good && S_ISDIR(status.st_mode)) {
            good = each_beneath(dirfd(folder), entry->d_name, remove);
        } else if (good && remove) {
            good = unlinkat(dirfd(folder), entry->d_name, 0) == 0;
        }
    }
    if (folder && !remove) {
        good = good && fsync(dirfd(folder)) == 0;
    }
    if (folder) {
        closedir(folder);
    }
    return remove ? unlinkat(root, name, AT_REMOVEDIR) == 0 && good : good;
}

/* Nothing there, or an empty folder. False with errno. */
static bool is_free(int parent, const char *name) {
    struct stat status;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT;
    }
    DIR *folder = S_ISDIR(status.st_mode) ? list(parent, name) : NULL;
    bool empty = folder && !next_entry(folder);
    if (folder) {
        closedir(folder);
    }
    errno = EEXIST;
    return empty;
}

static bool make_temporary(struct tree *tree) {
    for (int i = 0; i < TRIES; i++) {
        free(tree->temporary);
        tree->temporary = temporary_name(tree->name);
        if (tree->temporary && mkdirat(tree->parent, tree->temporary, 0777) == 0) {
            tree->folder = openat(tree->parent, tree->temporary,
                                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            return tree->folder >= 0;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    free(tree->temporary);
    tree->temporary = NULL;
    return false;
}

bool tree_open(struct tree *tree, const char *path) {
    *tree = (struct tree){.parent = -1, .folder = -1};
    char *whole = strdup(path);
    for (size_t count = whole ? strlen(whole) : 0; count > 1 && whole[count - 1] == '/'; count--) {
        whole[count - 1] = 0;
    }
    char *slash = whole ? strrchr(whole, '/') : NULL;
    tree->name = whole ? strdup(slash ? slash + 1 : whole) : NULL;
    if (slash) {
        slash[1] = 0;
    }
    bool good = false;
    if (tree->name &&
        (!*tree->name || strcmp(tree->name, ".") == 0 || strcmp(tree->name, "..") == 0)) {
        errno = EEXIST;
    } else if (tree->name) {
        tree->parent = open(slash ? whole : ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        good = tree->parent >= 0 && is_free(tree->parent, tree->name) && make_temporary(tree);
    }
    if (!good) {
        complain("cannot write %s: %s", path,
                 errno == EEXIST ? "it is there, and is no empty folder" : strerror(errno));
        tree_drop(tree);
    }
    free(whole);
    return good;
}

bool tree_put(const struct tree *tree, const char *path, const void *data, size_t bytes) {
    struct output file;
    if (!output_open_in(&file, tree)) {
        return false;
    }
    if (!output_write(&file, data, bytes)) {
        int error = errno;
        output_drop(&file);
        errno = error;
        return false;
    }
    return output_commit_in(&file, tree, path);
}

bool tree_commit(struct tree *tree) {
    bool good = each_beneath(tree->parent, tree->temporary, false) &&
                renameat(tree->parent, tree->temporary, tree->parent, tree->name) == 0;
    if (good) {
        free(tree->temporary);
        tree->temporary = NULL;
        good = fsync(tree->parent) == 0;
    }
    if (!good) {
        complain("cannot write %s: %s", tree->name, strerror(errno));
    }
    tree_drop(tree);
    return good;
}

void tree_drop(struct tree *tree) {
    if (tree->temporary) {
        each_beneath(tree->parent, tree->temporary, true);
    }
    if (tree->folder >= 0) {
        close(tree->folder);
    }
    if (tree->parent >= 0) {
        close(tree->parent);
    }
    free(tree->name);
    free(tree->temporary);
    *tree = (struct tree){.parent = -1, .folder = -1};
}
