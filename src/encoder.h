/* SPDX-License-Identifier: Apache-2.0 */
/* src/encoder.h - which compressor made a blob: marks are taken while it is decoded, a guess is
 * made at its end. docs/decode.md has the evidence for each. */
#ifndef VARVE_ENCODER_H
#define VARVE_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inflate.h"
#include "varve/decode.h"

/* Stored bytes of a blob in which flush markers are counted: some 6 MiB of a layer, which are six
 * pieces of pgzip and fifty of pigz. */
#define VARVE_ENCODER_SCAN_BYTES ((uint64_t)2 << 20)

/* Stored bytes of the first member whose blocks are looked at when the layer is over: the 32767
 * symbols of the longest block that tells anything by its end take about 40 KiB. The kernels count
 * in passing. What igzip decoded has to be read again, which costs what decoding costs, so that
 * more would be felt there. */
#define VARVE_ENCODER_HEAD_BYTES ((size_t)64 << 10)

/* The end of the deflate data that matters, and eight bytes behind. */
#define VARVE_ENCODER_TAIL 13

struct varve_encoder {
    /* gzip: the first member's header */
    bool gzip;
    uint8_t flags, xfl, os;
    uint32_t mtime;
    uint64_t members; /* ended; footers left out */
    /* gzip: empty stored blocks on byte boundaries in the first bytes of deflate data */
    uint64_t markers;
    uint64_t seen_bytes;
    uint8_t tail[VARVE_ENCODER_TAIL]; /* the last compressed bytes seen */
    size_t tail_bytes;
    bool stored_end; /* the last member, footers left out, ends with an empty stored block */
    bool footer;     /* the last member is the footer of an eStargz */
    struct varve_inflate_log *log; /* the first member's blocks; the engine owns it */
    uint8_t *head; /* NULL: the kernels count; else room for the first member's beginning */
    size_t head_bytes;
    /* zstd: the first frame */
    bool zstd;
    bool announced; /* a skippable frame before it told its size, as pzstd does */
    uint8_t descriptor, window;
    uint8_t block_type;
    uint32_t block_bytes;
    char evidence[VARVE_ENCODER_EVIDENCE_BYTES];
};

void varve_encoder_reset(struct varve_encoder *encoder);

/* The first member's ten header bytes. Its blocks are counted in `log`, made zeros here: by a
 * kernel where `head` is NULL, else from VARVE_ENCODER_HEAD_BYTES kept there. */
void varve_encoder_header(struct varve_encoder *encoder, const uint8_t header[10],
                          struct varve_inflate_log *log, uint8_t *head);

/* The next compressed bytes of a member. */
void varve_encoder_see(struct varve_encoder *encoder, const uint8_t *data, size_t bytes);

/* A member's deflate data ended `behind` bytes before the last byte seen. `footer`: the member was
 * the footer of an eStargz. */
void varve_encoder_end(struct varve_encoder *encoder, size_t behind, bool footer);

/* The guess: a name or "unknown", static; `encoder->evidence` says what it rests on. */
const char *varve_encoder_guess(struct varve_encoder *encoder, uint64_t stored_bytes,
                                uint64_t decoded_bytes);

#endif
