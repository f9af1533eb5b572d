/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/input.c - the one file that a command reads. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

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
