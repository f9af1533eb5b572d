/* SPDX-License-Identifier: Apache-2.0 */
/* src/pipe.c - a ring of portions between two threads. */
#include "pipe.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* Portions under way: they even out what decoding and digesting take for different content. A
 * filling thread that found no place waits until half of them are free: to sleep and be woken for
 * each costs more than some portions do. */
#define PORTIONS 8

/* Reads that are kept: those of the portions under way, the two before them, which a portion of a
 * plain blob may point into (src/intake.h), and what is read ahead. */
#define READS 16
#define AHEAD 4

/* A stretch of stored bytes. */
struct stretch {
    uint8_t *room;
    size_t bytes;
    bool ended;
    int error; /* errno, or 0 */
};

struct varve_pipe {
    struct varve_intake *intake;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    size_t filled, released;
    bool closing, left;
    struct varve_timings timings; /* of the filling thread */
    uint8_t *rooms;
    struct varve_portion portions[PORTIONS];
    size_t stretch_of[PORTIONS]; /* how many had been taken when the portion was made */

    /* Stretches in order: those before `kept` may be read over, `taken` are the decoder's, `read`
     * are there. One thread at a time reads. */
    struct stretch stretches[READS];
    size_t kept, taken, read;
    bool reading, exhausted;
};

/* Whether a stretch can be read now; under the mutex. */
static bool may_read(const struct varve_pipe *pipe) {
    return !pipe->reading && !pipe->exhausted && pipe->read - pipe->kept < READS;
}

/* Reads the next stretch. The mutex is held before and after, not meanwhile. */
static void read_stretch(struct varve_pipe *pipe) {
    struct varve_reader *reader = &pipe->intake->reader;
    struct stretch *stretch = &pipe->stretches[pipe->read % READS];
    pipe->reading = true;
    pthread_mutex_unlock(&pipe->mutex);
    int64_t n = varve_reader_fill(reader, stretch->room, pipe->intake->stored_room_bytes);
    stretch->error = n >= 0 ? 0 : errno ? errno : EIO;
    stretch->bytes = n >= 0 ? (size_t)n : 0;
    stretch->ended = n < 0 || reader->ended;
    pthread_mutex_lock(&pipe->mutex);
    pipe->exhausted = stretch->ended;
    pipe->reading = false;
    pipe->read++;
    pthread_cond_broadcast(&pipe->moved);
}

/* The filling thread wants stored bytes: those that the other one read ahead, or it reads itself.
 */
static int64_t fetch(void *cookie, const uint8_t **data, bool *ended) {
    struct varve_pipe *pipe = cookie;
    pthread_mutex_lock(&pipe->mutex);
    while (pipe->read == pipe->taken) {
        if (may_read(pipe)) {
            read_stretch(pipe);
        } else {
            assert(pipe->reading); /* there is always room for one: see READS */
            pthread_cond_wait(&pipe->moved, &pipe->mutex);
        }
    }
    const struct stretch *stretch = &pipe->stretches[pipe->taken++ % READS];
    pthread_mutex_unlock(&pipe->mutex);
    *data = stretch->room;
    *ended = stretch->ended;
    errno = stretch->error;
    return stretch->error ? -1 : (int64_t)stretch->bytes;
}

struct varve_pipe *varve_pipe_open(struct varve_intake *intake) {
    size_t decoded = intake->decoded_room_bytes;
    struct varve_pipe *pipe = calloc(1, sizeof *pipe);
    uint8_t *rooms = pipe ? malloc(PORTIONS * decoded + READS * intake->stored_room_bytes) : NULL;
    if (!rooms) {
        free(pipe);
        return NULL;
    }
    pthread_mutex_init(&pipe->mutex, NULL);
    pthread_cond_init(&pipe->moved, NULL);
    pipe->intake = intake;
    pipe->rooms = rooms;
    pipe->exhausted = intake->ended;
    for (size_t i = 0; i < PORTIONS; i++) {
        pipe->portions[i].decoded_room = rooms + i * decoded;
    }
    for (size_t i = 0; i < READS; i++) {
        pipe->stretches[i].room = rooms + PORTIONS * decoded + i * intake->stored_room_bytes;
    }
    intake->fetch = fetch;
    intake->cookie = pipe;
    return pipe;
}

/* Waits for a free place in the ring. False: the pipe is being closed. */
static bool await_place(struct varve_pipe *pipe) {
    pthread_mutex_lock(&pipe->mutex);
    bool full = pipe->filled - pipe->released == PORTIONS;
    while (full && pipe->filled - pipe->released > PORTIONS / 2 && !pipe->closing) {
        pthread_cond_wait(&pipe->moved, &pipe->mutex);
    }
    bool go_on = !pipe->closing;
    pthread_mutex_unlock(&pipe->mutex);
    return go_on;
}

/* Decoded bytes that lie in the decoder's window are gone with its next turn, if it cannot keep
 * them longer: they get a place in the portion. Those of plain blobs lie where they were read. */
static void keep_made(struct varve_portion *portion, const struct varve_decode_turn *turn) {
    bool plain = turn->made == turn->in;
    if (turn->made_bytes && !plain && turn->made != portion->decoded_room) {
        memcpy(portion->decoded_room, turn->made, turn->made_bytes);
        portion->made = portion->decoded_room;
    }
}

void varve_pipe_fill(struct varve_pipe *pipe) {
    struct varve_intake *intake = pipe->intake;
    bool final = false;
    while (!final && await_place(pipe)) {
        struct varve_portion *portion = &pipe->portions[pipe->filled % PORTIONS];
        struct varve_decode_turn turn;
        double begun = varve_cpu_seconds();
        bool due = varve_intake_prepare(intake, portion, &turn);
        double read = varve_cpu_seconds();
        pipe->timings.read += read - begun;
        if (due) {
            varve_decode(&intake->decoder, &turn, 1);
            varve_intake_complete(intake, portion, &turn);
            keep_made(portion, &turn);
            pipe->timings.decode += varve_cpu_seconds() - read;
        }
        final = portion->final;
        pthread_mutex_lock(&pipe->mutex);
        pipe->stretch_of[pipe->filled % PORTIONS] = pipe->taken;
        pipe->filled++;
        pthread_cond_broadcast(&pipe->moved);
        pthread_mutex_unlock(&pipe->mutex);
    }
    pthread_mutex_lock(&pipe->mutex);
    pipe->left = true;
    pthread_cond_broadcast(&pipe->moved);
    pthread_mutex_unlock(&pipe->mutex);
}

struct varve_portion *varve_pipe_next(struct varve_pipe *pipe, bool wait) {
    pthread_mutex_lock(&pipe->mutex);
    while (wait && pipe->filled == pipe->released) {
        if (may_read(pipe) && pipe->read - pipe->taken < AHEAD) {
            read_stretch(pipe);
        } else {
            pthread_cond_wait(&pipe->moved, &pipe->mutex);
        }
    }
    bool there = pipe->filled > pipe->released;
    pthread_mutex_unlock(&pipe->mutex);
    return there ? &pipe->portions[pipe->released % PORTIONS] : NULL;
}

void varve_pipe_release(struct varve_pipe *pipe) {
    pthread_mutex_lock(&pipe->mutex);
    size_t taken = pipe->stretch_of[pipe->released % PORTIONS];
    pipe->kept = taken > 3 ? taken - 3 : 0; /* its own and the two before it */
    pipe->released++;
    if (pipe->filled - pipe->released == PORTIONS / 2) {
        pthread_cond_broadcast(&pipe->moved);
    }
    pthread_mutex_unlock(&pipe->mutex);
}

void varve_pipe_close(struct varve_pipe *pipe, struct varve_timings *timings) {
    pthread_mutex_lock(&pipe->mutex);
    pipe->closing = true;
    pthread_cond_broadcast(&pipe->moved);
    while (!pipe->left) {
        pthread_cond_wait(&pipe->moved, &pipe->mutex);
    }
    pthread_mutex_unlock(&pipe->mutex);
    pipe->intake->fetch = NULL;
    if (timings) {
        timings->read += pipe->timings.read;
        timings->decode += pipe->timings.decode;
    }
    pthread_cond_destroy(&pipe->moved);
    pthread_mutex_destroy(&pipe->mutex);
    free(pipe->rooms);
    free(pipe);
}
