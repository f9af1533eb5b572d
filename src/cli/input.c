/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/input.c - the one file that a command reads, and what operands name. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "varve/catalog.h"

int open_input(const char *path) {
    struct stat status;
    if (strcmp(path, "-") == 0) {
        return STDIN_FILENO;
    }
    /* A link that the user names is meant, as it is by digest and diff (docs/sources.md). */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        errno = EINVAL;
        fd = -1;
    }
    if (fd < 0) {
        complain("cannot read %s: %s", path,
                 errno == EINVAL ? "not a regular file (a directory, pipe or device)"
                                 : strerror(errno));
    }
    return fd;
}

const char *source_kind_of(const char *operand) {
    const char *colon = strchr(operand, ':');
    for (size_t i = 0; colon && i < varve_source_kind_count(); i++) {
        const char *prefix = varve_source_kind_at(i).prefix;
        size_t count = strlen(prefix);
        if (count == (size_t)(colon - operand) && strncmp(operand, prefix, count) == 0) {
            return prefix;
        }
    }
    return NULL;
}

int open_layer(const char *operand) {
    const char *kind = source_kind_of(operand);
    if (kind && strcmp(kind, "blob") == 0) {
        return open_input(operand + strlen("blob:"));
    }
    if (kind) {
        complain(
            "cannot read %s: it names a source (%s:), and a layer file is wanted; one of that very "
            "name is ./%s",
            operand, kind, operand);
        return -1;
    }
    return open_input(operand);
}

void close_input(int fd) {
    if (fd > STDIN_FILENO) {
        close(fd);
    }
}
