/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/patience.c - standard output that does not hold up the end of a scan.
 *
 * Who reads a pipe may have stopped reading, so that writing to it waits for ever, and with it all
 * threads of a scan: a signal would be caught and change nothing. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define LOOK_MS 50
#define PATIENCE_SECONDS 0.5

static const volatile sig_atomic_t *signalled;
static double signalled_at; /* as first seen; 0: not yet */
static bool given_up;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* False: nobody reads, and there was a signal. */
static bool await_reader(void) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    int ready = 0;
    while ((ready = poll(&out, 1, LOOK_MS)) == 0 || (ready < 0 && errno == EINTR)) {
        if (!*signalled) {
            continue;
        }
        double time = now();
        signalled_at = signalled_at > 0 ? signalled_at : time;
        if (time - signalled_at > PATIENCE_SECONDS) {
            return false;
        }
    }
    return true; /* or an error, which writing will meet */
}

/* A pipe that can be written to takes so many bytes at once, at least (poll(2), pipe(7)). */
static ssize_t put(void *cookie, const char *bytes, size_t count) {
    (void)cookie;
    size_t done = 0;
    while (done < count && !given_up) {
        size_t piece = count - done < PIPE_BUF ? count - done : PIPE_BUF;
        if (!await_reader()) {
            given_up = true;
            complain("nobody reads standard output: what was to come there is not told");
            break;
        }
        ssize_t n = write(STDOUT_FILENO, bytes + done, piece);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return done ? (ssize_t)done : 0; /* 0: an error (fopencookie(3)) */
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)count;
}

void patient_output(const volatile sig_atomic_t *caught) {
    static const cookie_io_functions_t functions = {.write = put};
    struct stat status;
    if (signalled || fstat(STDOUT_FILENO, &status) != 0 ||
        (!S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode))) {
        return;
    }
    fflush(stdout);
    FILE *stream = fopencookie(NULL, "w", functions);
    if (stream) {
        signalled = caught;
        stdout = stream;
    }
}
