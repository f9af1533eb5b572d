/* SPDX-License-Identifier: Apache-2.0 */
/* src/intake.c - reading stored bytes and decoding them. */
#include "intake.h"

#include <errno.h>

bool varve_intake_begin(struct varve_intake *intake, int fd, uint64_t offset, uint64_t bytes,
                        const struct stat *seen) {
    intake->stored_bytes = 0;
    intake->ended = false;
    intake->decoding = intake->decoder != NULL;
    return varve_reader_begin(&intake->reader, fd, offset, bytes, seen);
}

/* After the decoder is done the rest of the blob is only read, for rung `blob`. */
static void skip_rest(struct varve_intake *intake, struct varve_portion *portion) {
    intake->stored_bytes = 0;
    portion->final = intake->ended;
}

static int64_t read_more(struct varve_intake *intake, struct varve_portion *portion) {
    if (intake->fetch) {
        return intake->fetch(intake->cookie, &portion->stored, &intake->ended);
    }
    portion->stored = portion->stored_room;
    int64_t n = varve_reader_fill(&intake->reader, portion->stored_room, intake->stored_room_bytes);
    intake->ended = intake->reader.ended;
    return n;
}

bool varve_intake_prepare(struct varve_intake *intake, struct varve_portion *portion,
                          struct varve_decode_turn *turn) {
    portion->stored_bytes = portion->made_bytes = 0;
    portion->turned = portion->final = false;
    portion->read_error = 0;
    if (!intake->stored_bytes && !intake->ended) {
        int64_t n = read_more(intake, portion);
        if (n < 0) {
            portion->read_error = errno ? errno : EIO;
            portion->final = true;
            return false;
        }
        intake->stored = portion->stored;
        portion->stored_bytes = intake->stored_bytes = (size_t)n;
    }
    if (!intake->decoding) {
        skip_rest(intake, portion);
        return false;
    }
    *turn = (struct varve_decode_turn){
        .in = intake->stored,
        .in_bytes = intake->stored_bytes,
        .in_last = intake->ended,
        .out = portion->decoded_room,
        .out_bytes = intake->decoded_room_bytes,
    };
    return true;
}

void varve_intake_complete(struct varve_intake *intake, struct varve_portion *portion,
                           const struct varve_decode_turn *turn) {
    intake->stored += turn->used_bytes;
    intake->stored_bytes -= turn->used_bytes;
    portion->turned = true;
    portion->state = turn->state;
    portion->made = turn->made;
    portion->made_bytes = turn->made_bytes;
    if (turn->state == VARVE_DECODE_WAIT && intake->gives_up) {
        portion->state = VARVE_DECODE_FAULT; /* the decoder's fault says what it waits for */
    }
    if (portion->state == VARVE_DECODE_END || portion->state == VARVE_DECODE_FAULT) {
        intake->decoding = false;
        skip_rest(intake, portion);
    }
}
