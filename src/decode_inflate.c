/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode_inflate.c - a decoder's deflate streams: the window that the kernels write to, and the
 * way to igzip where that is the engine. */
#include "decode_inflate.h"

#include <stdlib.h>
#include <string.h>

#include "bytes16.h"
#include "decode_igzip.h"

/* Decoded bytes a turn, at most. With 32 KiB before them and the kernels' slack behind, some twelve
 * of these windows are in the second-level cache's reach; half as many bytes a turn cost 1 % more.
 */
#define TURN_BYTES ((size_t)128 << 10)

#define WINDOW_BYTES (VARVE_INFLATE_WINDOW_BYTES + TURN_BYTES + VARVE_INFLATE_SLACK_BYTES)

struct varve_window {
    struct varve_inflate_stream stream;
    const uint8_t *given; /* made before it: the caller's; from it to stream.out: pending */
    bool ran;             /* between the two halves of a step */
    enum varve_inflate_result ending; /* what comes when all that is pending is given, or INPUT */
    uint8_t bytes[WINDOW_BYTES];
};

bool varve_inflate_open(struct varve_inflate *inflate, bool igzip) {
    *inflate = (struct varve_inflate){.rest_bytes = 0};
    if (igzip) {
        inflate->igzip = malloc(sizeof *inflate->igzip);
        if (inflate->igzip) {
            varve_igzip_init(inflate->igzip);
        }
        return inflate->igzip != NULL;
    }
    inflate->window = malloc(sizeof *inflate->window);
    if (inflate->window) {
        inflate->window->stream.out = inflate->window->bytes;
        varve_inflate_reset(inflate);
    }
    return inflate->window != NULL;
}

void varve_inflate_close(struct varve_inflate *inflate) {
    free(inflate->igzip);
    free(inflate->window);
}

void varve_inflate_reset(struct varve_inflate *inflate) {
    struct varve_window *window = inflate->window;
    if (window) {
        window->given = window->stream.earliest = window->stream.out;
        window->ran = false;
        window->ending = VARVE_INFLATE_INPUT;
    }
}

/* Moves the last 32 KiB of the stream, what is pending among them, to the window's beginning. */
static void slide(struct varve_window *window) {
    struct varve_inflate_stream *stream = &window->stream;
    size_t history = (size_t)(stream->out - stream->earliest);
    history = history < VARVE_INFLATE_WINDOW_BYTES ? history : VARVE_INFLATE_WINDOW_BYTES;
    size_t pending = (size_t)(stream->out - window->given);
    bytes16_move_down(window->bytes, stream->out - history, history);
    stream->earliest = window->bytes;
    stream->out = window->bytes + history;
    window->given = stream->out - pending;
}

void varve_inflate_turn(struct varve_inflate *inflate, struct varve_cursor *cursor) {
    struct varve_window *window = inflate->window;
    if (!window) {
        return;
    }
    if (cursor->out_bytes > TURN_BYTES) {
        cursor->out_bytes = TURN_BYTES;
    }
    const uint8_t *end = window->bytes + WINDOW_BYTES;
    if ((size_t)(end - window->given) < cursor->out_bytes + VARVE_INFLATE_SLACK_BYTES) {
        slide(window);
    }
    cursor->out = window->bytes + (window->given - window->bytes);
}

void varve_inflate_begin(struct varve_inflate *inflate, struct varve_inflate_log *log) {
    if (inflate->igzip) {
        varve_igzip_begin(inflate->igzip);
        return;
    }
    varve_inflate_stream_begin(&inflate->window->stream);
    inflate->window->stream.log = log;
    if (log) {
        log->in_left = VARVE_ENCODER_HEAD_BYTES;
    }
    varve_inflate_reset(inflate);
}

struct varve_inflate_stream *varve_inflate_prepare(struct varve_inflate *inflate,
                                                   const struct varve_cursor *cursor) {
    struct varve_window *window = inflate->window;
    if (!window || window->ending != VARVE_INFLATE_INPUT) {
        return NULL;
    }
    struct varve_inflate_stream *stream = &window->stream;
    uint8_t *limit = cursor->out + cursor->out_bytes;
    if (stream->out >= limit) {
        return NULL;
    }
    stream->in = cursor->in;
    stream->in_end = cursor->in + cursor->in_bytes;
    /* The slack is taken out of the turn where it is a small part of it, so that as a rule all that
     * is made can be given at once. */
    bool roomy = limit - stream->out >= (ptrdiff_t)4 * VARVE_INFLATE_SLACK_BYTES;
    stream->out_stop = roomy ? limit - VARVE_INFLATE_SLACK_BYTES : limit;
    window->ran = true;
    return stream;
}

/* What the kernel said, as far as it is about the end of the stream. */
static void conclude(struct varve_inflate *inflate, struct varve_decoder *decoder,
                     struct varve_cursor *cursor) {
    struct varve_window *window = inflate->window;
    const struct varve_inflate_stream *stream = &window->stream;
    size_t used = (size_t)(stream->in - cursor->in);
    varve_cursor_use(decoder, cursor, used);
    if (stream->stop == VARVE_INFLATE_STOP_END) {
        window->ending = VARVE_INFLATE_DONE;
        inflate->rest_bytes = 0;
    } else if (stream->stop == VARVE_INFLATE_STOP_FAULT) {
        window->ending = VARVE_INFLATE_FAULT;
        inflate->fault_offset = decoder->info.stored_bytes - stream->fault_back;
    } else if (stream->stop == VARVE_INFLATE_STOP_INPUT && cursor->last && !cursor->in_bytes) {
        window->ending = VARVE_INFLATE_TRUNCATED;
    }
}

static enum varve_inflate_result finish_window(struct varve_inflate *inflate,
                                               struct varve_decoder *decoder,
                                               struct varve_cursor *cursor) {
    struct varve_window *window = inflate->window;
    bool hungry = window->ran && window->stream.stop == VARVE_INFLATE_STOP_INPUT;
    if (window->ran) {
        conclude(inflate, decoder, cursor);
        window->ran = false;
    }
    size_t pending = (size_t)(window->stream.out - window->given);
    size_t n = pending < cursor->out_bytes ? pending : cursor->out_bytes;
    varve_cursor_made(decoder, cursor, n);
    window->given += n;
    if (n < pending) {
        return VARVE_INFLATE_OUTPUT;
    }
    if (window->ending != VARVE_INFLATE_INPUT) {
        return window->ending;
    }
    return hungry ? VARVE_INFLATE_INPUT : VARVE_INFLATE_OUTPUT;
}

enum varve_inflate_result varve_inflate_finish(struct varve_inflate *inflate,
                                               struct varve_decoder *decoder,
                                               struct varve_cursor *cursor) {
    struct varve_igzip *igzip = inflate->igzip;
    if (!igzip) {
        return finish_window(inflate, decoder, cursor);
    }
    enum varve_inflate_result result = varve_igzip_step(igzip, decoder, cursor);
    inflate->fault_offset = igzip->fault_offset;
    inflate->rest_bytes = igzip->rest_bytes;
    memcpy(inflate->rest, igzip->rest, sizeof inflate->rest);
    return result;
}
