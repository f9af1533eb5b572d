/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/encode.h - compressing what is written, piece by piece, in the way that a user names. */
#ifndef VARVE_CLI_ENCODE_H
#define VARVE_CLI_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "varve/decode.h"

struct encoding {
    enum { ENCODE_NONE, ENCODE_GZIP, ENCODE_IGZIP, ENCODE_ZSTD } how;
    int level;
};

/* "none", "gzip[:0-9]" (zlib; 6), "igzip[:0-3]" (1), "zstd[:1-19]" (3). False: none of these, or
 * not built in. */
bool encoding_read(struct encoding *encoding, const char *text);

/* What the blob is then. */
enum varve_compression encoding_compression(const struct encoding *encoding);

struct encoder;
typedef bool encoder_sink(void *cookie, const void *data, size_t bytes);

/* NULL: no memory. */
struct encoder *encoder_open(const struct encoding *encoding, encoder_sink *sink, void *cookie);

/* Compresses more; the sink may be called. `last`: the stream ends with it. What comes out depends
 * on all bytes together, not on the pieces that they come in. False: the sink said so, or the
 * library failed. */
bool encoder_put(struct encoder *encoder, const void *data, size_t bytes, bool last);

void encoder_close(struct encoder *encoder);

#endif
