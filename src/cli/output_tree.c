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

/* A folder that is listed: without memory, so that what is begun can be taken away when there is
 * none. */
struct listing {
    int fd;
    ssize_t count, next; /* of the bytes in `room` */
    union {
        struct dirent64 entry;
        char bytes[4096];
    } room;
};

/* The next entry but "." and ".."; NULL with errno, which is 0 at the end. */
static const struct dirent64 *next_entry(struct listing *listing) {
    for (;;) {
        if (listing->next == listing->count) {
            errno = 0;
            listing->count = getdents64(listing->fd, listing->room.bytes, sizeof listing->room);
            listing->next = 0;
            if (listing->count <= 0) {
                listing->count = 0;
                return NULL;
            }
        }
        const char *at = listing->room.bytes + listing->next;
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)at;
        listing->next += entry->d_reclen;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            return entry;
        }
    }
}

static bool list(struct listing *listing, int root, const char *name) {
    listing->fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    listing->count = listing->next = 0;
    return listing->fd >= 0;
}

/* What is beneath a folder of ours, which is as deep as blobs/sha256/: every folder is synced, or
 * every thing removed. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static bool each_beneath(int root, const char *name, bool remove) {
    struct listing listing;
    const struct dirent64 *entry = NULL;
    bool good = list(&listing, root, name);
    while (good && (entry = next_entry(&listing))) {
        struct stat status;
        good = fstatat(listing.fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0;
        if (good && S_ISDIR(status.st_mode)) {
            good = each_beneath(listing.fd, entry->d_name, remove);
        } else if (good && remove) {
            good = unlinkat(listing.fd, entry->d_name, 0) == 0;
        }
    }
    if (listing.fd >= 0) {
        good = good && (remove || fsync(listing.fd) == 0);
        close(listing.fd);
    }
    return remove ? unlinkat(root, name, AT_REMOVEDIR) == 0 && good : good;
}

/* The folder that is there, and empty. -1 with errno: ENOENT where nothing is. */
static int open_empty(int parent, const char *name) {
    struct listing listing;
    if (!list(&listing, parent, name)) {
        /* O_NOFOLLOW: a link, wherever it leads. */
        errno = errno == ENOTDIR || errno == ELOOP ? EEXIST : errno;
        return -1;
    }
    int error = next_entry(&listing) ? EEXIST : errno;
    if (error) {
        close(listing.fd);
        errno = error;
        return -1;
    }
    return listing.fd;
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

/* What is there already stays, with its owner, its mode and whatever else it has; it may be the
 * root of a file system, which nothing can be renamed to. Changes `path`. */
static bool open_parent(struct tree *tree, char *path) {
    char *slash = strrchr(path, '/');
    tree->name = strdup(slash ? slash + 1 : path);
    tree->parent = open_empty(AT_FDCWD, path);
    tree->inside = tree->parent >= 0;
    if (!tree->inside && errno == ENOENT) {
        if (slash) {
            slash[1] = 0;
        }
        tree->parent = open(slash ? path : ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    }
    return tree->parent >= 0 && tree->name;
}

bool tree_open(struct tree *tree, const char *path) {
    *tree = (struct tree){.parent = -1, .folder = -1};
    char *whole = strdup(path);
    for (size_t count = whole ? strlen(whole) : 0; count > 1 && whole[count - 1] == '/'; count--) {
        whole[count - 1] = 0;
    }
    bool good = whole && open_parent(tree, whole) && make_temporary(tree);
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

/* Moves a thing, over nothing. */
static bool move(int from, int to, const char *name) {
    return renameat2(from, name, to, name, RENAME_NOREPLACE) == 0 ||
           ((errno == EINVAL || errno == ENOSYS) && renameat(from, name, to, name) == 0);
}

/* Out of the temporary folder, one after the other, the last when all others are there for good. */
static bool move_out(const struct tree *tree, const char *const *names, size_t name_count) {
    size_t moved = 0;
    while (moved < name_count && (moved + 1 < name_count || fsync(tree->parent) == 0) &&
           move(tree->folder, tree->parent, names[moved])) {
        moved++;
    }
    if (moved == name_count) {
        return true;
    }
    int error = errno;
    while (moved-- > 0) {
        move(tree->parent, tree->folder, names[moved]);
    }
    errno = error;
    return false;
}

bool tree_commit(struct tree *tree, const char *const *names, size_t name_count) {
    bool good = each_beneath(tree->parent, tree->temporary, false);
    if (tree->inside) {
        good = good && move_out(tree, names, name_count);
        if (good) {
            unlinkat(tree->parent, tree->temporary, AT_REMOVEDIR);
        }
    } else {
        good = good && renameat(tree->parent, tree->temporary, tree->parent, tree->name) == 0;
    }
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
    if (tree->folder >= 0) {
        close(tree->folder); /* first: the way down wants descriptors */
    }
    if (tree->temporary && !each_beneath(tree->parent, tree->temporary, true) &&
        faccessat(tree->parent, tree->temporary, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        complain("%s could not be taken away: it stays as %s", tree->name, tree->temporary);
    }
    if (tree->parent >= 0) {
        close(tree->parent);
    }
    free(tree->name);
    free(tree->temporary);
    *tree = (struct tree){.parent = -1, .folder = -1};
}
