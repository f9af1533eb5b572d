/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/encode.c - compressing what is written, by zlib, igzip or libzstd. */
#include "encode.h"

#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#ifdef VARVE_HAVE_ZLIB
#include <zlib.h>
#endif

#define ROOM_BYTES ((size_t)128 << 10)
/* Of a chunk: both libraries count what is left in 32 bits. */
#define MOST_BYTES ((size_t)1 << 30)

struct encoder {
    struct encoding encoding;
    encoder_sink *sink;
    void *cookie;
    uint8_t *room;
    ZSTD_CCtx *zstd;
    struct isal_zstream *igzip;
    uint8_t *levels; /* igzip's */
#ifdef VARVE_HAVE_ZLIB
    z_stream zlib;
    bool zlib_open;
#endif
};

bool encoding_read(struct encoding *encoding, const char *text) {
    static const struct {
        const char *name;
        struct encoding encoding;
        int least, most;
    } table[] = {
        {"none", {ENCODE_NONE, 0}, 0, -1},
#ifdef VARVE_HAVE_ZLIB
        {"gzip", {ENCODE_GZIP, 6}, 0, 9},
#endif
        {"igzip", {ENCODE_IGZIP, 1}, 0, 3},
        {"zstd", {ENCODE_ZSTD, 3}, 1, 19},
    };
    size_t bytes = strcspn(text, ":");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strlen(table[i].name) != bytes || strncmp(text, table[i].name, bytes) != 0) {
            continue;
        }
        *encoding = table[i].encoding;
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

static bool open_igzip(struct encoder *encoder) {
    static const uint32_t sizes[] = {ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT,
                                     ISAL_DEF_LVL2_DEFAULT, ISAL_DEF_LVL3_DEFAULT};
    uint32_t bytes = sizes[encoder->encoding.level];
    encoder->igzip = malloc(sizeof *encoder->igzip);
    encoder->levels = malloc(bytes + 1);
    if (!encoder->igzip || !encoder->levels) {
        return false;
    }
    isal_deflate_init(encoder->igzip);
    encoder->igzip->gzip_flag = IGZIP_GZIP;
    encoder->igzip->level = (uint32_t)encoder->encoding.level;
    encoder->igzip->level_buf = encoder->levels;
    encoder->igzip->level_buf_size = bytes;
    return true;
}

static bool open_zstd(struct encoder *encoder) {
    encoder->zstd = ZSTD_createCCtx();
    if (!encoder->zstd) {
        return false;
    }
    ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel, encoder->encoding.level);
    ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_checksumFlag, 1);
    return true;
}

struct encoder *encoder_open(const struct encoding *encoding, encoder_sink *sink, void *cookie) {
    struct encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) {
        return NULL;
    }
    encoder->encoding = *encoding;
    encoder->sink = sink;
    encoder->cookie = cookie;
    encoder->room = malloc(ROOM_BYTES);
    bool good = encoder->room != NULL;
    if (encoding->how == ENCODE_IGZIP) {
        good = good && open_igzip(encoder);
    } else if (encoding->how == ENCODE_ZSTD) {
        good = good && open_zstd(encoder);
    }
#ifdef VARVE_HAVE_ZLIB
    if (encoding->how == ENCODE_GZIP) {
        /* 15 bits of window; 16 more ask for gzip's framing (zlib.h). */
        good = good && deflateInit2(&encoder->zlib, encoding->level, Z_DEFLATED, 15 + 16, 8,
                                    Z_DEFAULT_STRATEGY) == Z_OK;
        encoder->zlib_open = good;
        /* "Unknown" system (RFC 1952): zlib would name the one it was built for. */
        static gz_header header = {.os = 255};
        good = good && deflateSetHeader(&encoder->zlib, &header) == Z_OK;
    }
#endif
    if (!good) {
        encoder_close(encoder);
        return NULL;
    }
    return encoder;
}

static bool put_igzip(struct encoder *encoder, const uint8_t *data, size_t bytes, bool last) {
    struct isal_zstream *stream = encoder->igzip;
    stream->next_in = (uint8_t *)(uintptr_t)data;
    stream->avail_in = (uint32_t)bytes;
    stream->end_of_stream = last;
    do {
        stream->next_out = encoder->room;
        stream->avail_out = ROOM_BYTES;
        if (isal_deflate(stream) != COMP_OK ||
            !encoder->sink(encoder->cookie, encoder->room, ROOM_BYTES - stream->avail_out)) {
            return false;
        }
    } while (stream->avail_out == 0 || (last && stream->internal_state.state != ZSTATE_END));
    return true;
}

static bool put_zstd(struct encoder *encoder, const void *data, size_t bytes, bool last) {
    ZSTD_inBuffer in = {data, bytes, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {encoder->room, ROOM_BYTES, 0};
        left = ZSTD_compressStream2(encoder->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left) || !encoder->sink(encoder->cookie, encoder->room, out.pos)) {
            return false;
        }
    } while (in.pos < in.size || (last && left > 0));
    return true;
}

#ifdef VARVE_HAVE_ZLIB
static bool put_zlib(struct encoder *encoder, const void *data, size_t bytes, bool last) {
    z_stream *stream = &encoder->zlib;
    int state;
    stream->next_in = (Bytef *)(uintptr_t)data;
    stream->avail_in = (uInt)bytes;
    do {
        stream->next_out = encoder->room;
        stream->avail_out = ROOM_BYTES;
        state = deflate(stream, last ? Z_FINISH : Z_NO_FLUSH);
        if (state == Z_STREAM_ERROR ||
            !encoder->sink(encoder->cookie, encoder->room, ROOM_BYTES - stream->avail_out)) {
            return false;
        }
    } while (stream->avail_out == 0 || (last && state != Z_STREAM_END));
    return true;
}
#endif

static bool put_some(struct encoder *encoder, const void *data, size_t bytes, bool last) {
    switch (encoder->encoding.how) {
    case ENCODE_IGZIP:
        return put_igzip(encoder, data, bytes, last);
    case ENCODE_ZSTD:
        return put_zstd(encoder, data, bytes, last);
#ifdef VARVE_HAVE_ZLIB
    case ENCODE_GZIP:
        return put_zlib(encoder, data, bytes, last);
#endif
    default:
        return encoder->sink(encoder->cookie, data, bytes);
    }
}

bool encoder_put(struct encoder *encoder, const void *data, size_t bytes, bool last) {
    const uint8_t *at = data;
    while (bytes > MOST_BYTES) {
        if (!put_some(encoder, at, MOST_BYTES, false)) {
            return false;
        }
        at += MOST_BYTES;
        bytes -= MOST_BYTES;
    }
    return put_some(encoder, at, bytes, last);
}

void encoder_close(struct encoder *encoder) {
    if (!encoder) {
        return;
    }
    ZSTD_freeCCtx(encoder->zstd);
    free(encoder->igzip);
    free(encoder->levels);
#ifdef VARVE_HAVE_ZLIB
    if (encoder->zlib_open) {
        deflateEnd(&encoder->zlib);
    }
#endif
    free(encoder->room);
    free(encoder);
}
