/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode_inflate.h - one raw deflate stream (RFC 1951) on igzip, with exact ends and faults. */
#ifndef VARVE_DECODE_INFLATE_H
#define VARVE_DECODE_INFLATE_H

#include <isa-l.h>

#include "decode_internal.h"

struct varve_inflate {
    struct inflate_state state;
};

enum varve_inflate_result {
    VARVE_INFLATE_INPUT,  /* all input used, nothing pending */
    VARVE_INFLATE_OUTPUT, /* output room used up */
    VARVE_INFLATE_DONE,   /* the stream is over; `rest` holds what was read beyond it */
    VARVE_INFLATE_FAULT
};

/* Bytes that igzip had loaded and that lie behind the end of the stream. */
struct varve_inflate_rest {
    uint8_t bytes[8];
    size_t count;
};

void varve_inflate_init(struct varve_inflate *inflate);

/* Begins a new stream; the tables need no clearing. */
void varve_inflate_begin(struct varve_inflate *inflate);

/* Decodes as far as the cursor allows and moves it. `rest` is set with DONE. */
enum varve_inflate_result varve_inflate_step(struct varve_inflate *inflate,
                                             struct varve_inflate_rest *rest,
                                             struct varve_decoder *decoder,
                                             struct varve_cursor *cursor);

#endif
