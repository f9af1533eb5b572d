/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode_inflate.h - raw deflate streams (RFC 1951), one after the other, for one decoder: by
 * the kernels, which advance the streams of many decoders together, or by igzip.
 *
 * A step has two halves, between which whoever has all decoders in hand runs the kernel over what
 * they prepared. What the kernels make lies in a window of the decoder's own, behind the 32 KiB
 * that matches may reach; igzip writes where the caller wants it.
 */
#ifndef VARVE_DECODE_INFLATE_H
#define VARVE_DECODE_INFLATE_H

#include "decode_internal.h"
#include "inflate.h"

enum varve_inflate_result {
    VARVE_INFLATE_INPUT,     /* all input used, nothing pending */
    VARVE_INFLATE_OUTPUT,    /* output room used up, or more will come by itself */
    VARVE_INFLATE_DONE,      /* the stream is over; `rest` holds what was read beyond it */
    VARVE_INFLATE_TRUNCATED, /* the blob ends inside the stream */
    VARVE_INFLATE_FAULT,     /* at `fault_offset` */
    VARVE_INFLATE_NO_MEMORY
};

struct varve_igzip;
struct varve_window;

struct varve_inflate {
    struct varve_igzip *igzip; /* one of the two */
    struct varve_window *window;
    uint64_t fault_offset; /* stored */
    uint8_t rest[8];
    size_t rest_bytes;
};

/* With the kernels, or with igzip. False: no memory. */
bool varve_inflate_open(struct varve_inflate *inflate, bool igzip);
void varve_inflate_close(struct varve_inflate *inflate);

/* Forgets what is pending: a new blob begins. */
void varve_inflate_reset(struct varve_inflate *inflate);

/* A turn of the decoder begins: says where its bytes will lie and how many there may be. */
void varve_inflate_turn(struct varve_inflate *inflate, struct varve_cursor *cursor);

/* Begins a new stream, behind what was made before. Nothing of the last one is pending. `log` (may
 * be NULL) gets what the kernels count of its first VARVE_ENCODER_HEAD_BYTES; igzip does not. */
void varve_inflate_begin(struct varve_inflate *inflate, struct varve_inflate_log *log);

/* The first half: what a kernel has to run for it now, or NULL. */
struct varve_inflate_stream *varve_inflate_prepare(struct varve_inflate *inflate,
                                                   const struct varve_cursor *cursor);

/* The second half: moves the cursor as far as was decoded. */
enum varve_inflate_result varve_inflate_finish(struct varve_inflate *inflate,
                                               struct varve_decoder *decoder,
                                               struct varve_cursor *cursor);

#endif
