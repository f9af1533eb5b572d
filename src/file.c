/* SPDX-License-Identifier: Apache-2.0 */
/* src/file.c - opening files of a source without being led astray. */
#include "file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "codes.h"

static int refuse(struct varve_fault *fault, enum varve_code code, int error) {
    *fault = varve_fault_of(code, VARVE_NO_OFFSET);
    fault->os_errno = error;
    return -1;
}

/* ELOOP: O_NOFOLLOW met a link. ENOTDIR: a component was a link to, or is, something else. ENXIO: a
 * socket, or a pipe nobody writes to. */
static int refuse_open(struct varve_fault *fault, int error) {
    switch (error) {
    case ENOENT:
        return refuse(fault, VARVE_CODE_IO_MISSING, error);
    case ELOOP:
    case ENOTDIR:
    case ENXIO:
    case EISDIR:
        return refuse(fault, VARVE_CODE_IO_NOT_REGULAR, error);
    default:
        return refuse(fault, VARVE_CODE_IO_OPEN, error);
    }
}

static int open_retrying(int root, const char *path, int flags) {
    int fd = -1;
    do {
        fd = openat(root, path, flags | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* Paths of sources are made from names that were read somewhere: no component may be empty, or lead
 * upwards. */
static bool is_downward(const char *path) {
    for (;;) {
        size_t count = strcspn(path, "/");
        if (count == 0 || (count == 2 && memcmp(path, "..", 2) == 0)) {
            return false;
        }
        if (!path[count]) {
            return true;
        }
        path += count + 1;
    }
}

/* Component after component, so that a link in the middle is met by O_NOFOLLOW too. */
static int walk_beneath(int root, const char *path, int last_flags) {
    int directory = root;
    for (;;) {
        const char *slash = strchr(path, '/');
        size_t count = slash ? (size_t)(slash - path) : strlen(path);
        char component[256];
        int fd = -1;
        if (count >= sizeof component) {
            errno = ENOENT;
        } else {
            memcpy(component, path, count);
            component[count] = 0;
            fd = open_retrying(directory, component,
                               (slash ? O_PATH | O_DIRECTORY : last_flags) | O_NOFOLLOW);
        }
        int error = errno;
        if (directory != root) {
            close(directory);
        }
        if (fd < 0 || !slash) {
            errno = error;
            return fd;
        }
        directory = fd;
        path = slash + 1;
    }
}

/* The kernel does the same walk in one call, from Linux 5.6 on (openat2(2)), which for a small
 * layer is a tenth of all its time. Where it cannot, or where a sandbox forbids it, or something
 * was renamed meanwhile, it is walked here. */
static int open_beneath(int root, const char *path, int last_flags) {
    if (!is_downward(path)) {
        errno = ENOENT;
        return -1;
    }
    if (!strchr(path, '/')) {
        return walk_beneath(root, path, last_flags); /* one step, in less time than openat2's */
    }
    struct open_how how = {.flags = (uint32_t)(last_flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0 || errno == ENOENT || errno == ELOOP || errno == ENOTDIR || errno == ENXIO) {
        return (int)fd;
    }
    return walk_beneath(root, path, last_flags);
}

bool varve_file_is_unread(const struct varve_fault *fault) {
    return strcmp(fault->code, varve_code_at(VARVE_CODE_IO_OPEN)->code) == 0 ||
           strcmp(fault->code, varve_code_at(VARVE_CODE_IO_READ)->code) == 0 ||
           strcmp(fault->code, varve_code_at(VARVE_CODE_NO_MEMORY)->code) == 0;
}

int varve_file_open_seen(struct varve_fault *fault, struct stat *seen, int root, const char *path) {
    int flags = O_RDONLY | O_NONBLOCK;
    int fd = root == AT_FDCWD ? open_retrying(root, path, flags) : open_beneath(root, path, flags);
    if (fd < 0) {
        return refuse_open(fault, errno);
    }
    if (fstat(fd, seen) != 0) {
        int error = errno;
        close(fd);
        return refuse(fault, VARVE_CODE_IO_OPEN, error);
    }
    if (!S_ISREG(seen->st_mode)) {
        close(fd);
        return refuse(fault, VARVE_CODE_IO_NOT_REGULAR, 0);
    }
    return fd;
}

int varve_file_open(struct varve_fault *fault, uint64_t *size_bytes, int root, const char *path) {
    struct stat seen;
    int fd = varve_file_open_seen(fault, &seen, root, path);
    if (fd >= 0 && size_bytes) {
        *size_bytes = (uint64_t)seen.st_size;
    }
    return fd;
}

int varve_directory_open(struct varve_fault *fault, int root, const char *path) {
    int flags = O_RDONLY | O_DIRECTORY;
    int fd = root == AT_FDCWD ? open_retrying(root, path, flags) : open_beneath(root, path, flags);
    return fd < 0 ? refuse_open(fault, errno) : fd;
}

int64_t varve_file_fill(int fd, bool seekable, uint8_t *data, size_t bytes, uint64_t offset) {
    size_t filled = 0;
    while (filled < bytes) {
        ssize_t n = seekable ? pread(fd, data + filled, bytes - filled, (off_t)(offset + filled))
                             : read(fd, data + filled, bytes - filled);
        if (n == 0) {
            break;
        }
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -1;
        }
        filled += (size_t)n;
    }
    return (int64_t)filled;
}

bool varve_file_read(uint8_t **data, size_t *data_bytes, struct varve_fault *fault, int root,
                     const char *path, size_t limit_bytes) {
    uint64_t size = 0;
    *data = NULL;
    int fd = varve_file_open(fault, &size, root, path);
    if (fd < 0) {
        return false;
    }
    uint8_t *bytes = NULL;
    int64_t got = -1;
    int error = 0;
    if (size > limit_bytes) {
        refuse(fault, VARVE_CODE_OCI_DOCUMENT_SIZE, 0);
    } else if (!(bytes = malloc((size_t)size + 1))) {
        refuse(fault, VARVE_CODE_NO_MEMORY, ENOMEM);
    } else {
        got = varve_file_fill(fd, true, bytes, (size_t)size, 0);
        error = errno;
        if (got < 0) {
            refuse(fault, VARVE_CODE_IO_READ, error);
        }
    }
    close(fd);
    if (got < 0) {
        free(bytes);
        return false;
    }
    bytes[got] = 0;
    *data = bytes;
    *data_bytes = (size_t)got;
    return true;
}
