/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/encode.c - what a user names, and the pieces that come of it. */
#include "encode.h"

#include <stdlib.h>
#include <string.h>

#include "compressor.h"

#define ROOM_BYTES ((size_t)128 << 10)

struct encoder {
    struct compressor *compressor; /* NULL: none */
    encoder_sink *sink;
    void *cookie;
    uint8_t *room;
    /* What was put and not compressed yet: what igzip makes of bytes, and zlib at level 0, depends
     * on the pieces that they come in, so that they are given in pieces of one size. */
    uint8_t *piece;
    size_t piece_bytes;
};

bool encoding_read(struct encoding *encoding, const char *text) {
    static const struct {
        const char *name;
        struct encoding encoding;
        int least, most;
    } table[] = {
        {"none", {ENCODE_NONE, 0}, 0, -1},
        {"gzip", {ENCODE_GZIP, 6}, 0, 9},
        {"igzip", {ENCODE_IGZIP, 1}, 0, 3},
        {"zstd", {ENCODE_ZSTD, 3}, 1, 19},
    };
    size_t bytes = strcspn(text, ":");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strlen(table[i].name) != bytes || strncmp(text, table[i].name, bytes) != 0) {
            continue;
        }
        *encoding = table[i].encoding;
        if (encoding->how == ENCODE_GZIP && !compressor_built(COMPRESSOR_ZLIB)) {
            return false;
        }
        if (!text[bytes]) {
            return true;
        }
        char *end = NULL;
        long level = strtol(text + bytes + 1, &end, 10);
        encoding->level = (int)level;
        return end != text + bytes + 1 && !*end && level >= table[i].least &&
               level <= table[i].most;
    }
    return false;
}

enum varve_compression encoding_compression(const struct encoding *encoding) {
    return encoding->how == ENCODE_NONE   ? VARVE_COMPRESSION_NONE
           : encoding->how == ENCODE_ZSTD ? VARVE_COMPRESSION_ZSTD
                                          : VARVE_COMPRESSION_GZIP;
}

struct encoder *encoder_open(const struct encoding *encoding, encoder_sink *sink, void *cookie) {
    struct encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) {
        return NULL;
    }
    encoder->sink = sink;
    encoder->cookie = cookie;
    encoder->room = malloc(ROOM_BYTES);
    encoder->piece = malloc(ROOM_BYTES);
    bool good = encoder->room && encoder->piece;
    if (encoding->how != ENCODE_NONE) {
        enum compressor_kind kind = encoding->how == ENCODE_GZIP    ? COMPRESSOR_ZLIB
                                    : encoding->how == ENCODE_IGZIP ? COMPRESSOR_IGZIP
                                                                    : COMPRESSOR_ZSTD;
        encoder->compressor = compressor_open(kind, encoding->level, false);
        good = good && encoder->compressor;
    }
    if (!good) {
        encoder_close(encoder);
        return NULL;
    }
    return encoder;
}

/* Compresses the piece. */
static bool compress(struct encoder *encoder, bool last) {
    struct compressor_turn turn = {
        .in = encoder->piece, .in_bytes = encoder->piece_bytes, .again = true};
    while (turn.again) {
        turn.out = encoder->room;
        turn.out_bytes = ROOM_BYTES;
        if (!compressor_turn(encoder->compressor, &turn, last) ||
            !encoder->sink(encoder->cookie, encoder->room, turn.made_bytes)) {
            return false;
        }
        turn.in += turn.used_bytes;
        turn.in_bytes -= turn.used_bytes;
    }
    encoder->piece_bytes = 0;
    return true;
}

bool encoder_put(struct encoder *encoder, const void *data, size_t bytes, bool last) {
    const uint8_t *at = data;
    if (!encoder->compressor) {
        return encoder->sink(encoder->cookie, data, bytes);
    }
    while (bytes > 0) {
        size_t room = ROOM_BYTES - encoder->piece_bytes;
        size_t taken = bytes < room ? bytes : room;
        memcpy(encoder->piece + encoder->piece_bytes, at, taken);
        encoder->piece_bytes += taken;
        at += taken;
        bytes -= taken;
        if (encoder->piece_bytes == ROOM_BYTES && !compress(encoder, false)) {
            return false;
        }
    }
    return !last || compress(encoder, true);
}

void encoder_close(struct encoder *encoder) {
    if (!encoder) {
        return;
    }
    compressor_close(encoder->compressor);
    free(encoder->room);
    free(encoder->piece);
    free(encoder);
}
