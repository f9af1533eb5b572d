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
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        errno = EINVAL;
        fd = -1;
    }
    if (fd < 0) {
        complain("cannot read %s: %s", path,
                 errno == EINVAL ? "not a regular file" : strerror(errno));
    }
    return fd;
}
