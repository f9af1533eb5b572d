/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/output.c - files that appear whole or not at all. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli.h"

#define TRIES 100

/* ".<name>.<random>.tmp". NULL: no memory. */
static char *temporary_name(const char *name) {
    unsigned long long number = 0;
    char *text = NULL;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number ||
        asprintf(&text, ".%.200s.%016llx.tmp", name, number) < 0) {
        return NULL;
    }
    return text;
}

/* Where there are no nameless files. */
static int open_named(struct output *output) {
    for (int i = 0; i < TRIES; i++) {
        free(output->temporary);
        output->temporary = temporary_name(output->name);
        int fd = output->temporary ? openat(output->folder, output->temporary,
                                            O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666)
                                   : -1;
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

bool output_open(struct output *output, const char *path) {
    *output = (struct output){.fd = -1, .folder = -1};
    if (strcmp(path, "-") == 0) {
        output->fd = STDOUT_FILENO;
        output->standard = true;
        return true;
    }
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    output->name = strdup(slash ? slash + 1 : path);
    if (folder && output->name && *output->name) {
        output->folder = open(folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        if (output->folder >= 0) {
            output->fd = openat(output->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
            if (output->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
                output->fd = open_named(output);
            }
        }
    } else {
        errno = EISDIR;
    }
    free(folder);
    if (output->fd < 0) {
        complain("cannot write %s: %s", path, strerror(errno));
        output_drop(output);
        return false;
    }
    return true;
}

int output_spool(const struct output *output) {
    int fd = -1;
    if (!output->standard) {
        fd = openat(output->folder, ".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    }
    if (fd < 0) {
        FILE *file = tmpfile();
        fd = file ? fcntl(fileno(file), F_DUPFD_CLOEXEC, 3) : -1;
        if (file) {
            fclose(file);
        }
    }
    if (fd < 0) {
        complain("cannot make a temporary file: %s", strerror(errno));
    }
    return fd;
}

bool output_write(struct output *output, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes > 0) {
        ssize_t put = write(output->fd, at, bytes);
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

/* Gives a nameless file a temporary name, for rename() to replace what bears the right one. */
static bool name_it(struct output *output) {
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", output->fd);
    for (int i = 0; i < TRIES && !output->temporary; i++) {
        char *name = temporary_name(output->name);
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

bool output_commit(struct output *output) {
    bool good = true;
    if (!output->standard) {
        good = fsync(output->fd) == 0 && name_it(output) &&
               renameat(output->folder, output->temporary, output->folder, output->name) == 0;
        if (good) {
            free(output->temporary);
            output->temporary = NULL;
            good = fsync(output->folder) == 0;
        }
    }
    if (!good) {
        complain("cannot write %s: %s", output->name ? output->name : "standard output",
                 strerror(errno));
    }
    output_drop(output);
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
