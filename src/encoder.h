/* SPDX-License-Identifier: Apache-2.0 */
/* src/encoder.h - which compressor made a blob: marks are taken while it is decoded, a guess is
 * made at its end. docs/decode.md has the evidence for each. */
#ifndef VARVE_ENCODER_H
#define VARVE_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stored bytes of a blob in which flush markers are counted: enough to tell, too few to cost. */
#define VARVE_ENCODER_SCAN_BYTES ((uint64_t)1 << 19)

#define VARVE_ENCODER_TAIL                                                                         \
    13 /* the end of the deflate data that matters, and eight bytes behind                         \
        */

struct varve_encoder {
    /* gzip: the first member's header */
    bool gzip;
    uint8_t flags, xfl, os;
    uint32_t mtime;
    /* gzip: empty stored blocks on byte boundaries, and where counting stopped */
    uint64_t markers;
    uint64_t scanned_bytes;
    uint8_t tail[VARVE_ENCODER_TAIL]; /* the last compressed bytes seen */
    size_t tail_bytes;
    bool stored_end; /* the last member, footers left out, ends with an empty stored block */
    bool footer;     /* the last member is the footer of an eStargz */
    /* zstd: the first frame */
    bool zstd;
    uint8_t descriptor, window;
    uint8_t block_type;
    uint32_t block_bytes;
    char evidence[160];
};

void varve_encoder_reset(struct varve_encoder *encoder);

/* The first member's ten header bytes. */
void varve_encoder_header(struct varve_encoder *encoder, const uint8_t header[10]);

/* The next compressed bytes of a member. */
void varve_encoder_see(struct varve_encoder *encoder, const uint8_t *data, size_t bytes);

/* A member's deflate data ended `behind` bytes before the last byte seen. `footer`: the member was
 * the footer of an eStargz. */
void varve_encoder_end(struct varve_encoder *encoder, size_t behind, bool footer);

/* The guess: a name or "unknown", static; `encoder->evidence` says what it rests on. */
const char *varve_encoder_guess(struct varve_encoder *encoder, uint64_t stored_bytes,
                                uint64_t decoded_bytes);

#endif
