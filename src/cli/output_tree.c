/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/output_tree.c - folders that appear whole or not at all. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "output.h"
#include "output_name.h"

#define TRIES 100

/* Of a name that are part of a temporary one, which no file system finds too long then. */
#define TEMPORARY_NAME_BYTES 200

char *temporary_name(const char *name) {
    unsigned long long number = 0;
    char *text = NULL;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number ||
        asprintf(&text, ".%.*s.%016llx.tmp", TEMPORARY_NAME_BYTES, name, number) < 0) {
        return NULL;
    }
    return text;
}

bool make_folders(int root, const char *path) {
    char folder[256];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t count = (size_t)(slash - path);
        assert(count < sizeof folder);
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
        good = good && errno == 0 && (remove || fsync(listing.fd) == 0);
        int error = errno;
        close(listing.fd);
        errno = error;
    }
    return remove ? unlinkat(root, name, AT_REMOVEDIR) == 0 && good : good;
}

/* Moves a thing, over nothing. */
static bool move(int from, int to, const char *name) {
    return renameat2(from, name, to, name, RENAME_NOREPLACE) == 0 ||
           ((errno == EINVAL || errno == ENOSYS) && renameat(from, name, to, name) == 0);
}

/* --- what is there already --- */

static bool has(int folder, const char *name) {
    return faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Whether a name is one that temporary_name gives; `of`: to what bears this name, or NULL. */
static bool is_temporary(const char *name, const char *of) {
    enum { DIGITS = 16, END = sizeof ".0123456789abcdef.tmp" - 1 };
    size_t count = strlen(name);
    if (count < 1 + END || *name != '.' || name[count - END] != '.' ||
        strcmp(name + count - strlen(".tmp"), ".tmp") != 0 ||
        strspn(name + count - END + 1, "0123456789abcdef") != DIGITS) {
        return false;
    }
    size_t length = of ? strnlen(of, TEMPORARY_NAME_BYTES) : 0;
    return !of || (length == count - 1 - END && memcmp(name + 1, of, length) == 0);
}

/* Whether an entry of the folder bears such a name, and is a folder of ours. */
static bool is_leftover(int folder, const char *name) {
    struct stat status;
    return is_temporary(name, NULL) && fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

static bool is_part(const struct tree *tree, const char *name) {
    size_t i = 0;
    while (i < tree->part_count && strcmp(tree->parts[i], name) != 0) {
        i++;
    }
    return i < tree->part_count;
}

/* Puts parts that a killed program had moved out of its temporary folder back into it: it is the
 * one that has the last part still, and the others where they are not outside. False: it is not so.
 */
static bool move_back(const struct tree *tree, const char *name) {
    int folder = openat(tree->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool so = folder >= 0 && tree->part_count && has(folder, tree->parts[tree->part_count - 1]);
    for (size_t i = 0; so && i < tree->part_count; i++) {
        so = has(folder, tree->parts[i]) != has(tree->parent, tree->parts[i]);
    }
    for (size_t i = tree->part_count; so && i-- > 0;) {
        so = has(folder, tree->parts[i]) || move(tree->parent, folder, tree->parts[i]);
    }
    if (folder >= 0) {
        close(folder);
    }
    return so;
}

/* Empties the folder of what killed programs left. False with errno, EEXIST where something else is
 * there: then all of it stays. */
static bool take_leftovers(const struct tree *tree) {
    struct listing listing;
    const struct dirent64 *entry = NULL;
    bool parts = false, left = false;
    int error = list(&listing, tree->parent, ".") ? 0 : errno;
    while (!error && (entry = next_entry(&listing))) {
        bool part = is_part(tree, entry->d_name);
        bool leftover = !part && is_leftover(listing.fd, entry->d_name);
        parts |= part;
        left |= leftover;
        error = part || leftover ? 0 : EEXIST;
    }
    error = error || entry ? error : errno;
    if (!error && left) {
        lseek(listing.fd, 0, SEEK_SET);
        listing.count = listing.next = 0;
        while (parts && (entry = next_entry(&listing))) {
            parts = !is_leftover(listing.fd, entry->d_name) || !move_back(tree, entry->d_name);
        }
        error = parts ? errno : 0;
        lseek(listing.fd, 0, SEEK_SET);
        listing.count = listing.next = 0;
        while (!parts && !error && (entry = next_entry(&listing))) {
            error = each_beneath(tree->parent, entry->d_name, true) ? 0 : errno;
        }
        error = parts || error ? error : errno;
    }
    if (listing.fd >= 0) {
        close(listing.fd);
    }
    if (!error && !parts && left && tree->name) {
        complain("%s: what a run that was cut short had left there is taken away", tree->name);
    }
    errno = error ? error : EEXIST;
    return !error && !parts;
}

/* Takes away what a killed program left of a folder that was to get its name at the end. It is
 * known by its name and its owner, by holding nothing but parts and temporary files, and by a lock
 * that a program which is alive would hold. Where nothing can be locked, it stays. */
static void take_dead(const struct tree *tree, const char *name) {
    struct listing listing;
    const struct dirent64 *entry = NULL;
    if (!list(&listing, tree->parent, name)) {
        return;
    }
    bool dead = flock(listing.fd, LOCK_EX | LOCK_NB) == 0;
    while (dead && (entry = next_entry(&listing))) {
        dead = is_part(tree, entry->d_name) || is_temporary(entry->d_name, NULL);
    }
    if (dead && errno == 0 && each_beneath(tree->parent, name, true)) {
        complain("%s: what a run that was cut short had left is taken away", name);
    }
    close(listing.fd);
}

static void take_dead_ones(const struct tree *tree) {
    struct listing listing;
    const struct dirent64 *entry = NULL;
    bool listed = tree->name && list(&listing, tree->parent, ".");
    while (listed && (entry = next_entry(&listing))) {
        if (is_temporary(entry->d_name, tree->name) && is_leftover(listing.fd, entry->d_name)) {
            take_dead(tree, entry->d_name);
        }
    }
    if (listed) {
        close(listing.fd);
    }
}

/* The folder that is there, and empty, or will be. False with errno: ENOENT where nothing is,
 * EWOULDBLOCK where another program writes to it. */
static bool open_empty(struct tree *tree, const char *path) {
    struct listing listing;
    if (!list(&listing, AT_FDCWD, path)) {
        /* O_NOFOLLOW: a link, wherever it leads. */
        errno = errno == ENOTDIR || errno == ELOOP ? EEXIST : errno;
        return false;
    }
    tree->parent = listing.fd;
    bool locked = flock(listing.fd, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno == EWOULDBLOCK) {
        return false;
    }
    const struct dirent64 *entry = next_entry(&listing);
    /* Where nothing can be locked, what another one is writing could be taken for what one left. */
    if (entry && !locked) {
        errno = EEXIST;
    }
    return entry ? locked && take_leftovers(tree) : errno == 0;
}

/* Locks the temporary folder, so that nobody takes it for a dead one's; it is let go with the last
 * descriptor of it. False: somebody was faster and does. */
static bool hold_temporary(const struct tree *tree) {
    bool held = flock(tree->folder, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    return held && (has(tree->parent, tree->temporary) || errno != ENOENT);
}

static bool make_temporary(struct tree *tree) {
    for (int i = 0; i < TRIES; i++) {
        free(tree->temporary);
        tree->temporary = temporary_name(tree->name);
        bool made = tree->temporary && mkdirat(tree->parent, tree->temporary, 0777) == 0;
        if (made) {
            tree->folder = openat(tree->parent, tree->temporary,
                                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (made && tree->folder < 0 && errno != ENOENT) {
            return false;
        }
        if (made && tree->folder >= 0) {
            if (hold_temporary(tree)) {
                return true;
            }
            close(tree->folder);
            tree->folder = -1;
        } else if (!made && errno != EEXIST) {
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
    tree->inside = open_empty(tree, path);
    if (!tree->inside && errno == ENOENT && tree->parent < 0) {
        if (slash) {
            slash[1] = 0;
        }
        tree->parent = open(slash ? path : ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        if (tree->parent >= 0) {
            take_dead_ones(tree);
        }
        return tree->parent >= 0 && tree->name;
    }
    return tree->inside && tree->name;
}

static const char *why_not(int error) {
    return error == EEXIST        ? "it is there, and is no empty folder"
           : error == EWOULDBLOCK ? "another program is writing to it"
                                  : strerror(error);
}

bool tree_open(struct tree *tree, const char *path, const char *const *parts, size_t part_count) {
    *tree = (struct tree){.parent = -1, .folder = -1, .parts = parts, .part_count = part_count};
    char *whole = strdup(path);
    for (size_t count = whole ? strlen(whole) : 0; count > 1 && whole[count - 1] == '/'; count--) {
        whole[count - 1] = 0;
    }
    bool good = whole && open_parent(tree, whole) && make_temporary(tree);
    if (!good) {
        complain("cannot write %s: %s", path, why_not(errno));
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

/* Out of the temporary folder, one after the other, the last when all others are there for good.
 * What cannot be moved back either stays where it is, and the temporary folder with it: by that the
 * next one who writes here knows what to do. */
static bool move_out(struct tree *tree) {
    size_t moved = 0, count = tree->part_count;
    while (moved < count && (moved + 1 < count || fsync(tree->parent) == 0) &&
           move(tree->folder, tree->parent, tree->parts[moved])) {
        moved++;
    }
    if (moved == count) {
        return true;
    }
    int error = errno;
    bool back = true;
    while (moved-- > 0) {
        back &= move(tree->parent, tree->folder, tree->parts[moved]);
    }
    if (!back) {
        complain("%s stays half written, and is no layout: the next run into it begins anew",
                 tree->name);
        free(tree->temporary);
        tree->temporary = NULL;
    }
    errno = error;
    return false;
}

bool tree_commit(struct tree *tree) {
    bool good = each_beneath(tree->parent, tree->temporary, false);
    if (tree->inside) {
        good = good && move_out(tree);
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
