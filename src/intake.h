/* SPDX-License-Identifier: Apache-2.0 */
/* src/intake.h - the first half of a job: reading stored bytes and decoding them.
 *
 * It brings a layer in portions; the second half (digests, parser, ladder) consumes them. Both
 * halves run on one thread, or, when threads are idle, the first one on a thread of its own behind
 * a pipe. The two share nothing but portions; the decoder has findings of its own for that reason.
 */
#ifndef VARVE_INTAKE_H
#define VARVE_INTAKE_H

#include "reader.h"
#include "varve/decode.h"

/* What one step brought. The rooms are the portion's owner's; all else may point into them or into
 * what was fetched: of a plain blob also into what the one or two portions before it brought. */
struct varve_portion {
    uint8_t *stored_room, *decoded_room; /* the former not where bytes are fetched */
    const uint8_t *stored;               /* newly read */
    size_t stored_bytes;
    const uint8_t *made; /* newly decoded */
    size_t made_bytes;
    bool turned; /* the decoder took part: `state` is its */
    enum varve_decode_state state;
    int read_error; /* errno, or 0 */
    bool final;     /* nothing follows: the file is read to its end (or could not be) */
};

struct varve_intake {
    struct varve_reader reader;
    struct varve_decoder *decoder; /* NULL: stored bytes are read and nothing more */
    size_t stored_room_bytes, decoded_room_bytes;
    const uint8_t *stored; /* read, not yet decoded */
    size_t stored_bytes;
    bool ended; /* nothing more is to be read */
    bool decoding;
    /* Where stored bytes come from, where somebody else reads them (src/pipe.c); else NULL. As
     * varve_reader_fill, but that it says where they lie, and whether they are the last. */
    int64_t (*fetch)(void *cookie, const uint8_t **data, bool *ended);
    void *cookie;
    bool
        gives_up; /* nobody else will give memory back: a decoder that waits for it waits in vain */
};

/* Begins a layer: `bytes` bytes of what `fd` holds, from `offset` on (see varve_reader_begin). The
 * decoder was reset by the caller. False with errno set. */
bool varve_intake_begin(struct varve_intake *intake, int fd, uint64_t offset, uint64_t bytes,
                        const struct stat *seen);

/* One step in two halves, between which varve_decode advances many layers at once: prepares `turn`
 * and returns true, or returns false where no decoding is due and the portion stands as it is. */
bool varve_intake_prepare(struct varve_intake *intake, struct varve_portion *portion,
                          struct varve_decode_turn *turn);
void varve_intake_complete(struct varve_intake *intake, struct varve_portion *portion,
                           const struct varve_decode_turn *turn);

#endif
