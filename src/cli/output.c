/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/output.c - files that appear whole or not at all. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "interrupt.h"
#include "output_name.h"

#define TRIES 100

/* Where there are no nameless files. */
static int open_named(char **temporary, int folder, const char *name, int mode) {
    for (int i = 0; i < TRIES; i++) {
        free(*temporary);
        *temporary = temporary_name(name);
        int fd = *temporary ? openat(folder, *temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                                     (mode_t)mode)
                            : -1;
        if (fd >= 0) {
            return fd;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    free(*temporary);
    *temporary = NULL;
    return -1;
}

/* A nameless file is named by its path in /proc (open(2)); a chroot may have none. */
static bool can_name(int fd) {
    char self[64];
    struct stat status;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return stat(self, &status) == 0;
}

/* The file itself, in output->folder. */
static bool open_file(struct output *output) {
    int fd = openat(output->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    bool without =
        fd >= 0 ? !can_name(fd) : errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT;
    if (without) {
        if (fd >= 0) {
            close(fd);
        }
        fd = open_named(&output->temporary, output->folder, output->name ? output->name : "blob",
                        0666);
    }
    output->fd = fd;
    return fd >= 0;
}

/* What is there already and no file to be replaced. */
static bool open_direct(struct output *output, const char *path) {
    output->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    output->direct = output->fd >= 0;
    return output->direct;
}

static bool open_path(struct output *output, const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    output->name = strdup(slash ? slash + 1 : path);
    if (folder && output->name) {
        errno = EISDIR;
        if (*output->name) {
            output->folder = open(folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        }
    }
    free(folder);
    return output->folder >= 0 && open_file(output);
}

bool output_open(struct output *output, const char *path) {
    struct stat status;
    *output = (struct output){.fd = -1, .folder = -1};
    if (strcmp(path, "-") == 0) {
        output->fd = STDOUT_FILENO;
        output->standard = true;
        return true;
    }
    bool there = stat(path, &status) == 0;
    bool good = false;
    if (there && S_ISDIR(status.st_mode)) {
        errno = EISDIR;
    } else if (there && !S_ISREG(status.st_mode)) {
        good = open_direct(output, path);
    } else if (there) {
        char *real = realpath(path, NULL); /* else a link would be replaced */
        good = real && open_path(output, real);
        free(real);
    } else if (errno == ENOENT) {
        good = open_path(output, path);
    }
    if (!good) {
        complain("cannot write %s: %s", path, strerror(errno));
        output_drop(output);
    }
    return good;
}

bool output_open_in(struct output *output, const struct tree *tree) {
    *output = (struct output){.fd = -1, .folder = fcntl(tree->folder, F_DUPFD_CLOEXEC, 3)};
    if (output->folder < 0 || !open_file(output)) {
        int error = errno;
        output_drop(output);
        errno = error;
        return false;
    }
    return true;
}

int output_spool(const struct output *output) {
    char *name = NULL;
    const char *place = getenv("TMPDIR");
    bool beside = output->folder >= 0;
    int flags = O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC;
    place = place && *place ? place : "/tmp";
    int fd = beside ? openat(output->folder, ".", flags, 0600) : open(place, flags, 0600);
    if (fd < 0 && beside) {
        fd = open_named(&name, output->folder, "spool", 0600);
        if (fd >= 0) {
            unlinkat(output->folder, name, 0);
        }
        free(name);
    } else if (fd < 0) {
        FILE *file = tmpfile();
        fd = file ? fcntl(fileno(file), F_DUPFD_CLOEXEC, 3) : -1;
        if (file) {
            fclose(file);
        }
    }
    return fd;
}

bool write_whole(int fd, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes > 0) {
        if (interrupted()) { /* which cuts a write short, or ends it with EINTR */
            errno = EINTR;
            return false;
        }
        ssize_t put = write(fd, at, bytes);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return false;
        }
        at += put;
        bytes -= (size_t)put;
    }
    return true;
}

bool output_write(struct output *output, const void *data, size_t bytes) {
    return write_whole(output->fd, data, bytes);
}

/* Gives a nameless file a temporary name, for rename() to replace what bears the right one. */
static bool name_it(struct output *output) {
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", output->fd);
    for (int i = 0; i < TRIES && !output->temporary; i++) {
        char *name = temporary_name(output->name ? output->name : "blob");
        if (name && linkat(AT_FDCWD, self, output->folder, name, AT_SYMLINK_FOLLOW) == 0) {
            output->temporary = name;
            return true;
        }
        free(name);
        if (errno != EEXIST) {
            return false;
        }
    }
    return output->temporary != NULL;
}

bool output_spares(const struct output *output, int fd, const char *what) {
    struct stat there;
    struct stat other;
    if (output->folder < 0 || !output->name) {
        return true;
    }
    bool known = fstat(fd, &other) == 0;
    bool taken = known && fstatat(output->folder, output->name, &there, AT_SYMLINK_NOFOLLOW) == 0;
    if (!known || (!taken && errno != ENOENT)) {
        complain("cannot write %s: whether it is %s cannot be told: %s", output->name, what,
                 strerror(errno));
        return false;
    }
    bool same = taken && there.st_dev == other.st_dev && there.st_ino == other.st_ino;
    if (same) {
        complain("cannot write %s: it is %s", output->name, what);
    }
    return !same;
}

static bool prepare(struct output *output) {
    return fsync(output->fd) == 0 && name_it(output);
}

bool output_prepare(struct output *output) {
    bool good = output->standard || output->direct || prepare(output);
    if (!good) {
        complain("cannot write %s: %s", output->name, strerror(errno));
    }
    return good;
}

/* Under which path in its folder. */
static bool commit_as(struct output *output, const char *path) {
    bool good =
        prepare(output) && renameat(output->folder, output->temporary, output->folder, path) == 0;
    if (good) {
        free(output->temporary);
        output->temporary = NULL;
    }
    return good;
}

bool output_commit(struct output *output) {
    bool good = true;
    if (!output->standard && !output->direct) {
        good = commit_as(output, output->name) && fsync(output->folder) == 0;
    }
    if (!good) {
        complain("cannot write %s: %s", output->name, strerror(errno));
    }
    output_drop(output);
    return good;
}

bool output_commit_in(struct output *output, const struct tree *tree, const char *path) {
    bool good = make_folders(tree->folder, path) && commit_as(output, path);
    int error = errno;
    output_drop(output);
    errno = error;
    return good;
}

void output_drop(struct output *output) {
    if (output->temporary) {
        unlinkat(output->folder, output->temporary, 0);
    }
    if (output->fd >= 0 && !output->standard) {
        close(output->fd);
    }
    if (output->folder >= 0) {
        close(output->folder);
    }
    free(output->name);
    free(output->temporary);
    *output = (struct output){.fd = -1, .folder = -1};
}
