/* SPDX-License-Identifier: Apache-2.0 */
/* src/encoder_blocks.h - where a compressor cut the beginning of a deflate stream (RFC 1951) into
 * blocks. Nothing is decoded to bytes: symbols are counted. */
#ifndef VARVE_ENCODER_BLOCKS_H
#define VARVE_ENCODER_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "inflate.h"

/* What a kernel would have counted of a sound stream's first `count` bytes: for streams that igzip
 * decoded. Linear in `count`. */
void varve_encoder_blocks_read(struct varve_inflate_log *log, const uint8_t *data, size_t count);

#endif
