/* SPDX-License-Identifier: Apache-2.0 */
/* tests/cli/calls.c - preloaded: writes down how files are read, to the descriptor CALLS; and after
 * CUT_AFTER reads truncates the file CUT to a byte. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void note(const char *format, ...) {
    char line[128];
    const char *fd = getenv("CALLS");
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (!fd || write(atoi(fd), line, (size_t)n) != n) {
        abort();
    }
}

ssize_t pread64(int fd, void *data, size_t bytes, off64_t offset) {
    static int reads;
    const char *cut = getenv("CUT");
    note("pread %zu %lld\n", bytes, (long long)offset);
    if (cut && ++reads == atoi(getenv("CUT_AFTER")) && truncate(cut, 1) != 0) {
        abort();
    }
    return syscall(SYS_pread64, fd, data, bytes, offset);
}

int fstat64(int fd, struct stat64 *status) {
    note("fstat\n");
    return (int)syscall(SYS_newfstatat, fd, "", status, AT_EMPTY_PATH);
}

off64_t lseek64(int fd, off64_t offset, int whence) {
    note("lseek\n");
    return syscall(SYS_lseek, fd, offset, whence);
}

/* Only with a number or nothing, as the program uses it. */
int fcntl64(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    note("fcntl\n");
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

int posix_fadvise64(int fd, off64_t offset, off64_t bytes, int advice) {
    note("fadvise %s %lld %lld\n",
         advice == POSIX_FADV_SEQUENTIAL ? "sequential"
         : advice == POSIX_FADV_WILLNEED ? "willneed"
                                         : "?",
         (long long)offset, (long long)bytes);
    return (int)-syscall(SYS_fadvise64, fd, offset, bytes, advice);
}
