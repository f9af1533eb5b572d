/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/compressor.c - zlib, igzip and libzstd behind one face. */
#include "compressor.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#ifdef VARVE_HAVE_ZLIB
#include <zlib.h>
#endif

/* Of a turn: zlib and igzip count in 32 bits. */
#define MOST_BYTES ((size_t)1 << 30)
/* The window of `zstd --long`. */
#define LONG_WINDOW_LOG 27

/* The gzip wrapper (RFC 1952) and a first block, which igzip does not write itself. Where a stream
 * begins without history, its levels 1 and 2 hash the address of the stream in place of the third
 * position (libisal 2.30 to 2.32), and one address in some thousand gives other bytes. So the
 * first byte is stored here, and igzip goes on from there with that byte as its history. */
struct igzip_frame {
    uint8_t bytes[16]; /* those from `at` to `end` are written next */
    size_t at, end;
    uint32_t crc, input_bytes;
    bool begun, ended;
};

struct compressor {
    enum compressor_kind kind;
    int level;
    ZSTD_CCtx *zstd;
    struct isal_zstream *igzip;
    struct igzip_frame frame;
    uint8_t *level_buffer; /* igzip's */
    uint32_t level_buffer_bytes;
#ifdef VARVE_HAVE_ZLIB
    z_stream zlib;
    gz_header header;
    bool zlib_open;
#endif
};

bool compressor_built(enum compressor_kind kind) {
#ifdef VARVE_HAVE_ZLIB
    (void)kind;
    return true;
#else
    return kind != COMPRESSOR_ZLIB;
#endif
}

/* ---- Opening and beginning ---- */

static bool open_igzip(struct compressor *compressor) {
    static const uint32_t bytes[] = {ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT,
                                     ISAL_DEF_LVL2_DEFAULT, ISAL_DEF_LVL3_DEFAULT};
    compressor->level_buffer_bytes = bytes[compressor->level];
    compressor->igzip = malloc(sizeof *compressor->igzip);
    compressor->level_buffer = malloc((size_t)compressor->level_buffer_bytes + 1);
    return compressor->igzip && compressor->level_buffer;
}

static bool open_zstd(struct compressor *compressor, bool far) {
    compressor->zstd = ZSTD_createCCtx();
    if (!compressor->zstd) {
        return false;
    }
    ZSTD_CCtx_setParameter(compressor->zstd, ZSTD_c_compressionLevel, compressor->level);
    ZSTD_CCtx_setParameter(compressor->zstd, ZSTD_c_checksumFlag, 1);
    if (far) {
        ZSTD_CCtx_setParameter(compressor->zstd, ZSTD_c_enableLongDistanceMatching, 1);
        ZSTD_CCtx_setParameter(compressor->zstd, ZSTD_c_windowLog, LONG_WINDOW_LOG);
    }
    return true;
}

#ifdef VARVE_HAVE_ZLIB
static bool open_zlib(struct compressor *compressor) {
    /* 15 bits of window; 16 more ask for gzip's framing (zlib.h). */
    compressor->zlib_open = deflateInit2(&compressor->zlib, compressor->level, Z_DEFLATED, 15 + 16,
                                         8, Z_DEFAULT_STRATEGY) == Z_OK;
    return compressor->zlib_open;
}

static bool begin_zlib(struct compressor *compressor) {
    /* "Unknown" system (RFC 1952): zlib would name the one it was built for. */
    compressor->header = (gz_header){.os = 255};
    return deflateReset(&compressor->zlib) == Z_OK &&
           deflateSetHeader(&compressor->zlib, &compressor->header) == Z_OK;
}
#endif

static void begin_igzip(struct compressor *compressor) {
    struct isal_zstream *stream = compressor->igzip;
    compressor->frame = (struct igzip_frame){.begun = false};
    isal_deflate_init(stream);
    stream->level = (uint32_t)compressor->level;
    stream->level_buf = compressor->level_buffer;
    stream->level_buf_size = compressor->level_buffer_bytes;
}

bool compressor_begin(struct compressor *compressor) {
    switch (compressor->kind) {
    case COMPRESSOR_IGZIP:
        begin_igzip(compressor);
        return true;
#ifdef VARVE_HAVE_ZLIB
    case COMPRESSOR_ZLIB:
        return begin_zlib(compressor);
#endif
    case COMPRESSOR_ZSTD:
        return !ZSTD_isError(ZSTD_CCtx_reset(compressor->zstd, ZSTD_reset_session_only));
    default:
        return false;
    }
}

struct compressor *compressor_open(enum compressor_kind kind, int level, bool far) {
    struct compressor *compressor = calloc(1, sizeof *compressor);
    if (!compressor) {
        return NULL;
    }
    compressor->kind = kind;
    compressor->level = level;
    bool good = compressor_built(kind);
    if (kind == COMPRESSOR_IGZIP) {
        good = open_igzip(compressor);
    } else if (kind == COMPRESSOR_ZSTD) {
        good = open_zstd(compressor, far);
#ifdef VARVE_HAVE_ZLIB
    } else {
        good = open_zlib(compressor);
#endif
    }
    if (!good || !compressor_begin(compressor)) {
        compressor_close(compressor);
        return NULL;
    }
    return compressor;
}

void compressor_close(struct compressor *compressor) {
    if (!compressor) {
        return;
    }
    ZSTD_freeCCtx(compressor->zstd);
    free(compressor->igzip);
    free(compressor->level_buffer);
#ifdef VARVE_HAVE_ZLIB
    if (compressor->zlib_open) {
        deflateEnd(&compressor->zlib);
    }
#endif
    free(compressor);
}

/* ---- Turns ---- */

/* As much of what is written next as there is room for. */
static void put_frame(struct igzip_frame *frame, struct compressor_turn *turn) {
    size_t count = frame->end - frame->at;
    size_t room = turn->out_bytes - turn->made_bytes;
    count = count < room ? count : room;
    memcpy(turn->out + turn->made_bytes, frame->bytes + frame->at, count);
    frame->at += count;
    turn->made_bytes += count;
}

/* Takes the first byte, where there is one. */
static bool begin_frame(struct compressor *compressor, struct compressor_turn *turn) {
    static const uint8_t head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    struct igzip_frame *frame = &compressor->frame;
    memcpy(frame->bytes, head, sizeof head);
    frame->end = sizeof head;
    frame->begun = true;
    if (turn->in_bytes == 0) {
        return true;
    }
    /* Stored and not the last; one byte, and its complement (RFC 1951, 3.2.4). */
    const uint8_t stored[] = {0, 1, 0, 0xfe, 0xff, turn->in[0]};
    memcpy(frame->bytes + frame->end, stored, sizeof stored);
    frame->end += sizeof stored;
    frame->crc = crc32_gzip_refl(0, turn->in, 1);
    frame->input_bytes = 1;
    turn->used_bytes = 1;
    return isal_deflate_set_dict(compressor->igzip, (uint8_t *)(uintptr_t)turn->in, 1) == COMP_OK;
}

static void end_frame(struct igzip_frame *frame) {
    for (unsigned i = 0; i < 4; i++) {
        frame->bytes[i] = (uint8_t)(frame->crc >> 8 * i);
        frame->bytes[4 + i] = (uint8_t)(frame->input_bytes >> 8 * i);
    }
    frame->at = 0;
    frame->end = 8;
    frame->ended = true;
}

static bool turn_igzip(struct compressor *compressor, struct compressor_turn *turn, bool last) {
    struct isal_zstream *stream = compressor->igzip;
    struct igzip_frame *frame = &compressor->frame;
    turn->used_bytes = turn->made_bytes = 0;
    if (!frame->begun && (turn->in_bytes > 0 || last) && !begin_frame(compressor, turn)) {
        return false;
    }
    put_frame(frame, turn);
    if (!frame->ended) {
        const uint8_t *in = turn->in + turn->used_bytes;
        uint32_t in_bytes = (uint32_t)(turn->in_bytes - turn->used_bytes);
        stream->next_in = (uint8_t *)(uintptr_t)in;
        stream->avail_in = in_bytes;
        stream->next_out = turn->out + turn->made_bytes;
        stream->avail_out = (uint32_t)(turn->out_bytes - turn->made_bytes);
        stream->end_of_stream = last;
        if (isal_deflate(stream) != COMP_OK) {
            return false;
        }
        uint32_t used = in_bytes - stream->avail_in;
        frame->crc = crc32_gzip_refl(frame->crc, in, used);
        frame->input_bytes += used;
        turn->used_bytes += used;
        turn->made_bytes = turn->out_bytes - stream->avail_out;
        if (stream->internal_state.state == ZSTATE_END) {
            end_frame(frame);
            put_frame(frame, turn);
        }
    }
    turn->again =
        last ? !frame->ended || frame->at < frame->end : turn->made_bytes == turn->out_bytes;
    return true;
}

#ifdef VARVE_HAVE_ZLIB
static bool turn_zlib(struct compressor *compressor, struct compressor_turn *turn, bool last) {
    z_stream *stream = &compressor->zlib;
    stream->next_in = (Bytef *)(uintptr_t)turn->in;
    stream->avail_in = (uInt)turn->in_bytes;
    stream->next_out = turn->out;
    stream->avail_out = (uInt)turn->out_bytes;
    int state = deflate(stream, last ? Z_FINISH : Z_NO_FLUSH);
    turn->used_bytes = turn->in_bytes - stream->avail_in;
    turn->made_bytes = turn->out_bytes - stream->avail_out;
    turn->again = last ? state != Z_STREAM_END : stream->avail_out == 0;
    return state != Z_STREAM_ERROR;
}
#endif

static bool turn_zstd(struct compressor *compressor, struct compressor_turn *turn, bool last) {
    ZSTD_inBuffer in = {turn->in, turn->in_bytes, 0};
    ZSTD_outBuffer out = {turn->out, turn->out_bytes, 0};
    size_t left =
        ZSTD_compressStream2(compressor->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
    turn->used_bytes = in.pos;
    turn->made_bytes = out.pos;
    turn->again = in.pos < in.size || (last && left > 0);
    return !ZSTD_isError(left);
}

bool compressor_turn(struct compressor *compressor, struct compressor_turn *turn, bool last) {
    struct compressor_turn some = *turn;
    if (compressor->kind != COMPRESSOR_ZSTD) {
        some.in_bytes = turn->in_bytes < MOST_BYTES ? turn->in_bytes : MOST_BYTES;
        some.out_bytes = turn->out_bytes < MOST_BYTES ? turn->out_bytes : MOST_BYTES;
    }
    bool cut = some.in_bytes < turn->in_bytes;
    bool good = false;
    switch (compressor->kind) {
    case COMPRESSOR_IGZIP:
        good = turn_igzip(compressor, &some, last && !cut);
        break;
#ifdef VARVE_HAVE_ZLIB
    case COMPRESSOR_ZLIB:
        good = turn_zlib(compressor, &some, last && !cut);
        break;
#endif
    case COMPRESSOR_ZSTD:
        good = turn_zstd(compressor, &some, last);
        break;
    default:
        break;
    }
    turn->used_bytes = some.used_bytes;
    turn->made_bytes = some.made_bytes;
    turn->again = cut || some.again;
    return good;
}
