/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode_inflate.h - one raw deflate stream (RFC 1951) on igzip, with exact ends and faults.
 *
 * igzip decodes ahead into a buffer of its own and, where it meets a fault at full speed, neither
 * says exactly where nor takes back what it had begun to write. So a call that ends in a fault is
 * done a second time, slowly, one byte of input after the other, and what that says is passed on:
 * the place and the bytes before it are then the same however the stream was cut.
 */
#ifndef VARVE_DECODE_INFLATE_H
#define VARVE_DECODE_INFLATE_H

#include <isa-l.h>

#include "decode_internal.h"

enum varve_inflate_result {
    VARVE_INFLATE_INPUT,     /* all input used, nothing pending */
    VARVE_INFLATE_OUTPUT,    /* output room used up */
    VARVE_INFLATE_DONE,      /* the stream is over; `rest` holds what was read beyond it */
    VARVE_INFLATE_TRUNCATED, /* the blob ends inside the stream */
    VARVE_INFLATE_FAULT,     /* at `fault_offset` */
    VARVE_INFLATE_NO_MEMORY
};

struct varve_inflate {
    struct inflate_state state;
    enum varve_inflate_result ending; /* what comes when all pending output is out, or INPUT */
    uint64_t fault_offset;            /* stored */
    uint8_t rest[8];                  /* with DONE: loaded by igzip, but behind the end */
    size_t rest_bytes;
};

void varve_inflate_init(struct varve_inflate *inflate);

/* Begins a new stream; the tables need no clearing. */
void varve_inflate_begin(struct varve_inflate *inflate);

/* Decodes as far as the cursor allows and moves it. */
enum varve_inflate_result varve_inflate_step(struct varve_inflate *inflate,
                                             struct varve_decoder *decoder,
                                             struct varve_cursor *cursor);

#endif
