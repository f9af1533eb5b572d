/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/file_tree.c - a folder of files that appears whole or not at all. */
#include "file_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "output.h"
#include "output_name.h"

static void refuse(const char *path) {
    complain("cannot write %s: %s", path, strerror(errno));
}

/* Whether the name is free, or an empty folder's: with errno where it is not. */
static bool is_free(const struct file_tree *tree) {
    struct stat status;
    struct stat parent;
    if (strcmp(tree->name, ".") == 0 || strcmp(tree->name, "..") == 0) {
        errno = EBUSY; /* as rename(2) would say, but only at the end */
        return false;
    }
    if (fstatat(tree->parent, tree->name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT;
    }
    if (!S_ISDIR(status.st_mode)) {
        errno = EEXIST;
        return false;
    }
    if (fstat(tree->parent, &parent) != 0 || parent.st_dev != status.st_dev) {
        errno = EBUSY; /* something is mounted there */
        return false;
    }
    /* rename(2) would refuse to replace one that is not empty, but only at the end. */
    int fd = openat(tree->parent, tree->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    size_t count = 0;
    if (!folder) {
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    errno = 0;
    while (count < 3 && readdir(folder)) {
        count++; /* "." and ".." are two */
    }
    int error = count < 3 ? errno : ENOTEMPTY;
    closedir(folder);
    errno = error;
    return error == 0;
}

/* What an empty folder that will be replaced lets whom do, the new one does: somebody may have made
 * it so that nobody else can look into it. False with errno. */
static bool take_mode(const struct file_tree *tree) {
    struct stat status;
    if (fstatat(tree->parent, tree->name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT;
    }
    bool owned = fchown(tree->fd, status.st_uid, status.st_gid) == 0 || errno == EPERM;
    return owned && fchmod(tree->fd, status.st_mode & 07777) == 0;
}

bool file_tree_open(struct file_tree *tree, const char *path) {
    *tree = (struct file_tree){.parent = -1, .fd = -1, .last = -1, .file = -1};
    tree->path = strdup(path);
    size_t count = strlen(path);
    while (count > 1 && path[count - 1] == '/') {
        count--;
    }
    char *whole = strndup(path, count);
    char *slash = whole ? strrchr(whole, '/') : NULL;
    tree->name = whole ? strdup(slash ? slash + 1 : whole) : NULL;
    if (slash) {
        slash[1] = 0;
    }
    bool good = tree->path && tree->name && *tree->name;
    errno = tree->name && !*tree->name ? EISDIR : ENOMEM;
    if (good) {
        tree->parent = open(slash ? whole : ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        good = tree->parent >= 0 && is_free(tree);
    }
    free(whole);
    for (int i = 0; good && tree->fd < 0 && i < 100; i++) {
        char *name = temporary_name(tree->name);
        if (name && mkdirat(tree->parent, name, 0777) == 0) {
            tree->temporary = name;
            tree->fd = openat(tree->parent, name, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
            good = tree->fd >= 0 && take_mode(tree);
        } else {
            good = name && errno == EEXIST;
            free(name);
        }
    }
    if (!good || tree->fd < 0) {
        refuse(path);
        file_tree_drop(tree);
        return false;
    }
    return true;
}

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool file_tree_has_place(const struct file_tree *tree, int folder, const char *name) {
    struct stat given;
    struct stat other;
    if (fstat(folder, &given) != 0) {
        return false;
    }
    bool named = strcmp(tree->name, name) == 0 && fstat(tree->parent, &other) == 0 &&
                 is_same(&given, &other);
    return named || (fstatat(tree->parent, tree->name, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
                     is_same(&given, &other));
}

bool file_tree_has_no_room(int error) {
    return error == EEXIST || error == ENOTDIR || error == EISDIR || error == ELOOP ||
           error == ENAMETOOLONG || error == EINVAL || error == EILSEQ;
}

/* One folder further down, made if it is not there. The one above is let go, but for the root. */
static int step_down(const struct file_tree *tree, int above, const char *name) {
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(above, name, flags);
    if (fd < 0 && errno == ENOENT && (mkdirat(above, name, 0777) == 0 || errno == EEXIST)) {
        fd = openat(above, name, flags);
    }
    int error = errno;
    if (above != tree->fd) {
        close(above);
    }
    errno = error;
    return fd;
}

static void forget_last(struct file_tree *tree) {
    if (tree->last >= 0 && tree->last != tree->fd) {
        close(tree->last);
    }
    free(tree->last_path);
    tree->last = -1;
    tree->last_path = NULL;
}

/* The folder of a path, `bytes` long; most files lie in the folder of the one before. */
static bool enter(struct file_tree *tree, const char *path, size_t bytes) {
    if (tree->last >= 0 && strlen(tree->last_path) == bytes &&
        memcmp(tree->last_path, path, bytes) == 0) {
        return true;
    }
    forget_last(tree);
    tree->last_path = strndup(path, bytes);
    int fd = tree->last_path ? tree->fd : -1;
    for (size_t at = 0; fd >= 0 && at < bytes;) {
        char name[256];
        size_t count = strcspn(path + at, "/");
        if (count >= sizeof name) {
            if (fd != tree->fd) {
                close(fd);
            }
            errno = ENAMETOOLONG;
            fd = -1;
            break;
        }
        memcpy(name, path + at, count);
        name[count] = 0;
        fd = step_down(tree, fd, name);
        at += count + 1;
    }
    tree->last = fd;
    if (fd < 0) {
        int error = errno;
        forget_last(tree);
        errno = error;
    }
    return fd >= 0;
}

bool file_tree_file(struct file_tree *tree, const char *path) {
    const char *slash = strrchr(path, '/');
    if (!enter(tree, path, slash ? (size_t)(slash - path) : 0)) {
        return false;
    }
    tree->file = openat(tree->last, slash ? slash + 1 : path,
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    return tree->file >= 0;
}

bool file_tree_write(struct file_tree *tree, const void *data, size_t bytes) {
    return write_whole(tree->file, data, bytes);
}

bool file_tree_file_end(struct file_tree *tree) {
    int fd = tree->file;
    tree->file = -1;
    return close(fd) == 0;
}

bool file_tree_commit(struct file_tree *tree) {
    bool good = syncfs(tree->fd) == 0 &&
                renameat(tree->parent, tree->temporary, tree->parent, tree->name) == 0;
    if (good) {
        free(tree->temporary);
        tree->temporary = NULL;
        good = fsync(tree->parent) == 0;
    }
    if (!good) {
        refuse(tree->path);
    }
    file_tree_drop(tree);
    return good;
}

/* fts(3) goes from folder to folder, so that no path is too long for it. */
static void take_away(const struct file_tree *tree) {
    if (unlinkat(tree->parent, tree->temporary, AT_REMOVEDIR) == 0) {
        return; /* empty: that takes neither memory nor a descriptor */
    }
    int here = open(".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    char *paths[] = {tree->temporary, NULL};
    FTS *walk = here >= 0 && fchdir(tree->parent) == 0
                    ? fts_open(paths, FTS_PHYSICAL | FTS_XDEV, NULL)
                    : NULL;
    for (FTSENT *entry; walk && (entry = fts_read(walk));) {
        if (entry->fts_info != FTS_D) {
            unlinkat(AT_FDCWD, entry->fts_accpath, entry->fts_info == FTS_DP ? AT_REMOVEDIR : 0);
        }
    }
    if (walk) {
        fts_close(walk);
    }
    if (faccessat(tree->parent, tree->temporary, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        complain("%s could not be taken away: it stays as %s", tree->path, tree->temporary);
    }
    if (here >= 0) {
        (void)!fchdir(here);
        close(here);
    }
}

void file_tree_drop(struct file_tree *tree) {
    if (tree->file >= 0) {
        close(tree->file);
    }
    forget_last(tree);
    if (tree->fd >= 0) {
        close(tree->fd);
    }
    if (tree->temporary) {
        take_away(tree); /* when all else is closed: it wants descriptors */
    }
    if (tree->parent >= 0) {
        close(tree->parent);
    }
    free(tree->path);
    free(tree->name);
    free(tree->temporary);
    *tree = (struct file_tree){.parent = -1, .fd = -1, .last = -1, .file = -1};
}
