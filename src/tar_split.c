/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_split.c - a layer's archive put together again.
 *
 * The archive goes through a socket: a reader of a pipe could not be told that something is
 * missing, for all that a pipe can say is that it ends. A socket that is closed while a byte sent
 * to it was not read gives its other end ECONNRESET, behind all that was sent before (unix(7)). So
 * the reader's end is sent one byte's worth of credit at the beginning, and whoever writes takes it
 * in only when all went well. */
#include "tar_split.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codes.h"
#include "file.h"
#include "varve/split.h"

struct replay {
    int split, folder, out;
    bool checked;
};

static bool send_all(void *cookie, const void *data, size_t bytes) {
    const struct replay *replay = cookie;
    const uint8_t *at = data;
    while (bytes > 0) {
        ssize_t n = send(replay->out, at, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

static void free_replay(struct replay *replay) {
    close(replay->split);
    close(replay->folder);
    close(replay->out);
    free(replay);
}

static void *run(void *cookie) {
    struct replay *replay = cookie;
    const struct varve_join_options options = {.unchecked = !replay->checked};
    struct varve_join_result result;
    char credit;
    if (varve_join(&result, replay->split, replay->folder, &options, send_all, replay) ==
        VARVE_OK) {
        (void)!recv(replay->out, &credit, 1, MSG_DONTWAIT);
    }
    free(result.entry);
    free_replay(replay);
    return NULL;
}

/* The thread, detached: it ends when the archive does, or when nobody reads any more. */
static bool start(struct replay *replay) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool started = pthread_create(&thread, &attributes, run, replay) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

int varve_tar_split_open(struct varve_fault *fault, int root, const char *split, const char *folder,
                         bool checked) {
    int sockets[2] = {-1, -1};
    struct replay *replay = calloc(1, sizeof *replay);
    *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
    if (!replay) {
        return -1;
    }
    replay->checked = checked;
    replay->split = varve_file_open(fault, NULL, root, split);
    replay->folder = replay->split < 0 ? -1 : varve_directory_open(fault, root, folder);
    bool good = replay->folder >= 0;
    if (good && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
        *fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
        fault->os_errno = errno;
        good = false;
    }
    replay->out = sockets[1];
    if (good) {
        *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
        good = send(sockets[0], "", 1, MSG_NOSIGNAL) == 1 && start(replay);
    }
    if (!good) {
        free_replay(replay);
        if (sockets[0] >= 0) {
            close(sockets[0]);
        }
        return -1;
    }
    return sockets[0];
}
