/* SPDX-License-Identifier: Apache-2.0 */
/* src/encoder_blocks.h - where a compressor cut the beginning of a deflate stream (RFC 1951) into
 * blocks. Nothing is decoded to bytes: symbols are counted. */
#ifndef VARVE_ENCODER_BLOCKS_H
#define VARVE_ENCODER_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Blocks that are looked at: more than this tell no more. */
#define VARVE_ENCODER_BLOCKS 48

struct varve_encoder_block {
    uint8_t type; /* BTYPE: 0 stored, 1 fixed codes, 2 dynamic codes */
    bool final;
    uint32_t literals;
    uint32_t matches;       /* copies from before */
    uint32_t short_matches; /* of length 3 */
    uint64_t decoded_bytes;
};

struct varve_encoder_blocks {
    struct varve_encoder_block each[VARVE_ENCODER_BLOCKS]; /* whole ones */
    size_t count;
    struct varve_encoder_block cut; /* the one in which the bytes ended, as far as it goes */
};

/* Reads blocks until the stream, the bytes or the room in `blocks` end, or what follows is no
 * deflate data. Linear in `count`. */
void varve_encoder_blocks_read(struct varve_encoder_blocks *blocks, const uint8_t *data,
                               size_t count);

#endif
