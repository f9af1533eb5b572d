/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode_igzip.h - one raw deflate stream (RFC 1951) on igzip, with exact ends and faults.
 *
 * igzip decodes ahead into a buffer of its own and, where it meets a fault at full speed, neither
 * says exactly where nor takes back what it had begun to write. So a call that ends in a fault is
 * done a second time, slowly, one byte of input after the other, and what that says is passed on:
 * the place and the bytes before it are then the same however the stream was cut.
 */
#ifndef VARVE_DECODE_IGZIP_H
#define VARVE_DECODE_IGZIP_H

#include <isa-l.h>

#include "decode_inflate.h"

struct varve_igzip {
    struct inflate_state state;
    enum varve_inflate_result ending; /* what comes when all pending output is out, or INPUT */
    uint64_t fault_offset;            /* stored */
    uint8_t rest[8];                  /* with DONE: loaded by igzip, but behind the end */
    size_t rest_bytes;
};

void varve_igzip_init(struct varve_igzip *igzip);

/* Begins a new stream; the tables need no clearing. */
void varve_igzip_begin(struct varve_igzip *igzip);

/* Decodes as far as the cursor allows and moves it. */
enum varve_inflate_result varve_igzip_step(struct varve_igzip *igzip, struct varve_decoder *decoder,
                                           struct varve_cursor *cursor);

#endif
