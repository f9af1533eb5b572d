/* SPDX-License-Identifier: Apache-2.0 */
/* src/pipe.c - a ring of portions between two threads. */
#include "pipe.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* A portion of a plain blob may point into the room of the one or two before it, so that a room
 * must not be filled again until some portions after its own are released: a ring twice as long as
 * what may be under way. Four under way even out what decoding and digesting take for different
 * content. */
#define PORTIONS 8
#define UNDER_WAY 4

struct varve_pipe {
    struct varve_intake *intake;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    size_t filled, released;
    bool closing, left;
    struct varve_timings timings; /* of the filling thread */
    uint8_t *rooms;
    struct varve_portion portions[PORTIONS];
};

struct varve_pipe *varve_pipe_open(struct varve_intake *intake) {
    size_t each = intake->stored_room_bytes + intake->decoded_room_bytes;
    struct varve_pipe *pipe = calloc(1, sizeof *pipe);
    uint8_t *rooms = pipe ? malloc(PORTIONS * each) : NULL;
    if (!rooms) {
        free(pipe);
        return NULL;
    }
    pthread_mutex_init(&pipe->mutex, NULL);
    pthread_cond_init(&pipe->moved, NULL);
    pipe->intake = intake;
    pipe->rooms = rooms;
    for (size_t i = 0; i < PORTIONS; i++) {
        pipe->portions[i].stored_room = rooms + i * each;
        pipe->portions[i].decoded_room = rooms + i * each + intake->stored_room_bytes;
    }
    return pipe;
}

/* Waits for a free place in the ring. False: the pipe is being closed. */
static bool await_place(struct varve_pipe *pipe) {
    pthread_mutex_lock(&pipe->mutex);
    while (pipe->filled - pipe->released >= UNDER_WAY && !pipe->closing) {
        pthread_cond_wait(&pipe->moved, &pipe->mutex);
    }
    bool go_on = !pipe->closing;
    pthread_mutex_unlock(&pipe->mutex);
    return go_on;
}

/* Decoded bytes that lie in the decoder's window are gone with its next turn: they get a place in
 * the portion. Those of plain blobs lie in rooms of the ring. */
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
        pthread_cond_wait(&pipe->moved, &pipe->mutex);
    }
    bool there = pipe->filled > pipe->released;
    pthread_mutex_unlock(&pipe->mutex);
    return there ? &pipe->portions[pipe->released % PORTIONS] : NULL;
}

void varve_pipe_release(struct varve_pipe *pipe) {
    pthread_mutex_lock(&pipe->mutex);
    pipe->released++;
    pthread_cond_broadcast(&pipe->moved);
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
    if (timings) {
        timings->read += pipe->timings.read;
        timings->decode += pipe->timings.decode;
    }
    pthread_cond_destroy(&pipe->moved);
    pthread_mutex_destroy(&pipe->mutex);
    free(pipe->rooms);
    free(pipe);
}
