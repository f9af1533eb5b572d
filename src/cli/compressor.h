/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/compressor.h - one stream of one thread through zlib, igzip or libzstd, set up in one way
 * for all that varve compresses: so the same bytes come out whatever else the machine does. A gzip
 * header says nothing of time, name or system (RFC 1952); a zstd frame has its checksum (RFC 8878).
 */
#ifndef VARVE_CLI_COMPRESSOR_H
#define VARVE_CLI_COMPRESSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum compressor_kind {
    COMPRESSOR_IGZIP, /* levels 0 to 3 */
    COMPRESSOR_ZLIB,  /* 0 to 9, in gzip's framing */
    COMPRESSOR_ZSTD,  /* negative ones too, to 19 */
};

/* Whether the library is built in. */
bool compressor_built(enum compressor_kind kind);

struct compressor;

/* `far`: matches from up to 128 MiB back, as `zstd --long` looks for; of zstd only. NULL: no
 * memory, or not built in. */
struct compressor *compressor_open(enum compressor_kind kind, int level, bool far);
void compressor_close(struct compressor *compressor);

/* Begins another stream; what was begun before is dropped. One that was just opened has begun.
 * False: the library failed. */
bool compressor_begin(struct compressor *compressor);

/* What a turn gets and what came of it. */
struct compressor_turn {
    const uint8_t *in;
    size_t in_bytes;
    uint8_t *out;
    size_t out_bytes;
    size_t used_bytes, made_bytes;
    bool again; /* there is more to come: give the rest of the input, and room */
};

/* Compresses as much as there is room for. `last`: the stream ends with this input, which must be
 * given in every turn until `again` is false. False: the library failed. */
bool compressor_turn(struct compressor *compressor, struct compressor_turn *turn, bool last);

#endif
