/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode_zstd.c - zstd (RFC 8878): frames, skippable frames, what follows.
 *
 * Frame and block headers are walked here; libzstd gets one block at a time. So a fault's place and
 * the bytes before it are known whatever the chunks: fed freely, libzstd decodes whole frames at
 * once where it can, and keeps to itself what it had decoded before an error.
 *
 * libzstd never sees a frame's content size: the header is given to it rewritten without one, and
 * the size is checked here. It is a claim, nothing is allocated from it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "decode_internal.h"
#include "limits.h"
#include "toc_internal.h"

enum state {
    MAGIC, /* where a frame may begin: 0 to 3 bytes of its magic seen */
    SKIP_SIZE,
    SKIP,
    FRAME_HEADER,
    WINDOW, /* the header is known; room for the window is wanted */
    BLOCK_HEADER,
    BLOCK,
    FLUSH, /* the block was given whole; output may be pending */
    CHECKSUM,
    TRAILING
};

#define MAGIC_FRAME 0xfd2fb528u
#define MAGIC_SKIP 0x184d2a50u /* and the 15 that follow */
#define NO_SIZE UINT64_MAX

/* What a decoder may hold between layers without asking the budget: the stream's fixed buffers and
 * windows up to 8 MiB, which every reader is to support (RFC 8878, 3.1.1.1.2). */
#define FREE_WINDOW_BYTES ((uint64_t)8 << 20)

struct varve_zstd {
    ZSTD_DCtx *ctx;
    enum state state;
    uint8_t field[18];
    size_t field_bytes;
    uint32_t magic;
    uint64_t frame_offset; /* stored */
    uint64_t left;         /* of the skippable frame or block */
    bool last_block;
    bool full; /* libzstd filled all the room it had: it may have more */
    bool with_checksum;
    uint64_t content_bytes; /* the frame's claim, or NO_SIZE */
    uint64_t frame_decoded; /* made of this frame */
    uint64_t window_bytes;
    uint64_t block_offset;
    uint64_t taken;         /* from the budget */
    uint64_t told_bytes;    /* of the last skippable frame */
    uint8_t told[4];        /* its content, where that is four bytes */
    uint64_t announced_end; /* stored: where it says that the frame behind it ends, or 0 */
    uint8_t header[6];
};

bool varve_zstd_begin(struct varve_decoder *decoder) {
    struct varve_zstd *zstd = decoder->zstd;
    if (!zstd) {
        zstd = decoder->zstd = calloc(1, sizeof *zstd);
        if (!zstd) {
            return false;
        }
    }
    if (zstd->taken) { /* a wide window is not kept for the next layer */
        ZSTD_freeDCtx(zstd->ctx);
        zstd->ctx = NULL;
        varve_budget_give(decoder->budget, zstd->taken);
        zstd->taken = 0;
    }
    zstd->state = MAGIC;
    zstd->field_bytes = 0;
    zstd->announced_end = 0;
    return true;
}

void varve_zstd_close(struct varve_decoder *decoder) {
    if (decoder->zstd) {
        ZSTD_freeDCtx(decoder->zstd->ctx);
        varve_budget_give(decoder->budget, decoder->zstd->taken);
        free(decoder->zstd);
    }
}

static void begin_state(struct varve_zstd *zstd, enum state state) {
    zstd->state = state;
    zstd->field_bytes = 0;
}

static bool collect(struct varve_decoder *decoder, struct varve_cursor *cursor, size_t want) {
    struct varve_zstd *zstd = decoder->zstd;
    size_t n = want - zstd->field_bytes;
    n = n < cursor->in_bytes ? n : cursor->in_bytes;
    memcpy(zstd->field + zstd->field_bytes, cursor->in, n);
    zstd->field_bytes += n;
    varve_cursor_use(decoder, cursor, n);
    return zstd->field_bytes == want;
}

static uint64_t little_endian(const uint8_t *bytes, size_t count) {
    uint64_t value = 0;
    for (size_t i = count; i-- > 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/* True while `count` bytes can still become the magic number of a frame of any kind. */
static bool may_be_magic(const uint8_t *bytes, size_t count) {
    static const uint8_t tails[2][3] = {{0xb5, 0x2f, 0xfd}, {0x2a, 0x4d, 0x18}};
    bool skip = count == 0 || (bytes[0] & 0xf0) == 0x50;
    bool frame = count == 0 || bytes[0] == 0x1e || (bytes[0] >= 0x22 && bytes[0] <= 0x28);
    return (frame && (count < 2 || memcmp(bytes + 1, tails[0], count - 1) == 0)) ||
           (skip && (count < 2 || memcmp(bytes + 1, tails[1], count - 1) == 0));
}

static enum varve_step magic(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_zstd *zstd = decoder->zstd;
    const struct varve_decode_info *info = &decoder->info;
    bool first = info->member_count + info->skippable_count == 0;
    while (zstd->field_bytes < 4 && cursor->in_bytes) {
        zstd->field[zstd->field_bytes] = *cursor->in;
        if (!may_be_magic(zstd->field, zstd->field_bytes + 1)) {
            struct varve_cursor held = {.in = zstd->field, .in_bytes = zstd->field_bytes};
            decoder->info.stored_bytes -= zstd->field_bytes;
            zstd->state = TRAILING;
            return varve_decode_trailing(decoder, &held);
        }
        zstd->field_bytes++;
        varve_cursor_use(decoder, cursor, 1);
    }
    if (zstd->field_bytes == 4) {
        uint32_t value = (uint32_t)little_endian(zstd->field, 4);
        zstd->frame_offset = info->stored_bytes - 4;
        if (value != MAGIC_FRAME && (value & 0xfffffff0u) != MAGIC_SKIP) {
            return varve_decode_fail(decoder, VARVE_CODE_ZSTD_LEGACY, zstd->frame_offset);
        }
        zstd->magic = value;
        begin_state(zstd, value == MAGIC_FRAME ? FRAME_HEADER : SKIP_SIZE);
        return VARVE_STEP_INPUT;
    }
    if (!cursor->last) {
        return VARVE_STEP_INPUT;
    }
    if (first || zstd->field_bytes) {
        return varve_decode_fail(decoder, VARVE_CODE_ZSTD_TRUNCATED, info->stored_bytes);
    }
    return VARVE_STEP_END;
}

static void note(struct varve_decoder *decoder, enum varve_code code, uint64_t offset) {
    varve_findings_add(decoder->findings, code, 1, offset, NULL, 0);
}

static void skip(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_zstd *zstd = decoder->zstd;
    if (zstd->state == SKIP_SIZE) {
        if (!collect(decoder, cursor, 4)) {
            return;
        }
        zstd->left = zstd->told_bytes = little_endian(zstd->field, 4);
        zstd->state = SKIP;
        decoder->info.skippable_count++;
        note(decoder, VARVE_CODE_ZSTD_SKIPPABLE, zstd->frame_offset);
        varve_toc_see_skippable(decoder->toc, zstd->magic, decoder->info.stored_bytes, zstd->left);
    }
    size_t n = cursor->in_bytes < zstd->left ? cursor->in_bytes : (size_t)zstd->left;
    varve_toc_see_skipped(decoder->toc, cursor->in, n, zstd->magic);
    if (zstd->told_bytes == sizeof zstd->told) {
        memcpy(zstd->told + sizeof zstd->told - zstd->left, cursor->in, n);
    }
    varve_cursor_use(decoder, cursor, n);
    zstd->left -= n;
    if (!zstd->left) {
        if (zstd->told_bytes == sizeof zstd->told) {
            zstd->announced_end =
                decoder->info.stored_bytes + little_endian(zstd->told, sizeof zstd->told);
        }
        begin_state(zstd, MAGIC);
    }
}

/* The smallest window descriptor byte (RFC 8878, 3.1.1.1.2) that holds `bytes`. */
static uint8_t window_descriptor(uint64_t bytes) {
    unsigned exponent = 0;
    while (exponent < 31 && (UINT64_C(1024) << exponent) / 8 * 15 < bytes) {
        exponent++;
    }
    uint64_t base = UINT64_C(1024) << exponent;
    uint64_t mantissa = bytes > base ? (bytes - base + base / 8 - 1) / (base / 8) : 0;
    return (uint8_t)(exponent << 3 | mantissa);
}

/* What a frame's header tells of who made it. */
static void note_header(struct varve_decoder *decoder) {
    const struct varve_zstd *zstd = decoder->zstd;
    if (decoder->info.member_count > 1) {
        note(decoder, VARVE_CODE_ZSTD_FRAME, zstd->frame_offset);
    }
    if (zstd->content_bytes == NO_SIZE) {
        note(decoder, VARVE_CODE_ZSTD_NO_SIZE, zstd->frame_offset + 4);
    }
    if (!zstd->with_checksum) {
        note(decoder, VARVE_CODE_ZSTD_NO_CHECKSUM, zstd->frame_offset + 4);
    }
}

/* Reads the frame header (RFC 8878, 3.1.1.1) once it is whole. */
static enum varve_step frame_header(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    static const uint8_t id_sizes[] = {0, 1, 2, 4};
    static const uint8_t content_sizes[] = {0, 2, 4, 8};
    struct varve_zstd *zstd = decoder->zstd;
    if (!zstd->field_bytes && !collect(decoder, cursor, 1)) {
        return VARVE_STEP_INPUT;
    }
    uint8_t descriptor = zstd->field[0];
    if (descriptor & 0x08) {
        return varve_decode_fail(decoder, VARVE_CODE_ZSTD_HEADER, zstd->frame_offset + 4);
    }
    bool single = descriptor & 0x20;
    size_t id_bytes = id_sizes[descriptor & 3];
    size_t content_bytes = content_sizes[descriptor >> 6];
    if (single && !content_bytes) {
        content_bytes = 1;
    }
    if (!collect(decoder, cursor, (single ? 1u : 2u) + id_bytes + content_bytes)) {
        return VARVE_STEP_INPUT;
    }
    const uint8_t *field = zstd->field + (single ? 1 : 2);
    if (little_endian(field, id_bytes)) {
        return varve_decode_fail(decoder, VARVE_CODE_ZSTD_DICTIONARY,
                                 zstd->frame_offset + (single ? 5 : 6));
    }
    zstd->content_bytes = NO_SIZE;
    if (content_bytes) {
        zstd->content_bytes =
            little_endian(field + id_bytes, content_bytes) + (content_bytes == 2 ? 256 : 0);
    }
    uint8_t window = zstd->field[1];
    if (single) {
        zstd->window_bytes = zstd->content_bytes;
        window = window_descriptor(zstd->content_bytes);
    } else {
        uint64_t base = UINT64_C(1024) << (window >> 3);
        zstd->window_bytes = base + base / 8 * (window & 7);
    }
    zstd->with_checksum = descriptor & 0x04;
    const uint8_t header[6] = {0x28, 0xb5, 0x2f, 0xfd, descriptor & 0x04, window};
    memcpy(zstd->header, header, sizeof header);
    if (zstd->window_bytes > decoder->info.window_bytes) {
        decoder->info.window_bytes = zstd->window_bytes;
    }
    if (!decoder->encoder.zstd) {
        decoder->encoder.descriptor = descriptor;
        decoder->encoder.window = zstd->field[1];
    }
    decoder->info.member_count++;
    note_header(decoder);
    begin_state(zstd, WINDOW);
    return VARVE_STEP_INPUT;
}

/* Sees that there is room for the window, then begins the frame in libzstd. */
static enum varve_step window(struct varve_decoder *decoder) {
    struct varve_zstd *zstd = decoder->zstd;
    uint64_t bytes = zstd->window_bytes;
    if (bytes > UINT64_C(1) << VARVE_WINDOW_LOG_MAX) {
        return varve_decode_fail(decoder, VARVE_CODE_ZSTD_WINDOW, zstd->frame_offset);
    }
    if (bytes > VARVE_LIMIT_WINDOW_BYTES && !decoder->budget) {
        return varve_decode_fail(decoder, VARVE_CODE_ZSTD_WINDOW_LIMIT, zstd->frame_offset);
    }
    /* libzstd rounds nothing up but our header does, by an eighth at most, and adds two blocks. */
    uint64_t want = bytes <= FREE_WINDOW_BYTES ? 0 : bytes + bytes / 8 + (1 << 19);
    if (want > zstd->taken && decoder->budget) {
        ZSTD_freeDCtx(zstd->ctx);
        zstd->ctx = NULL;
        varve_budget_give(decoder->budget, zstd->taken);
        zstd->taken = 0;
        if (!varve_budget_take(decoder->budget, want)) {
            uint64_t stored_bytes = decoder->info.stored_bytes;
            varve_decode_fail(decoder, VARVE_CODE_ZSTD_WINDOW_LIMIT, zstd->frame_offset);
            if (want > varve_budget_limit(decoder->budget)) {
                return VARVE_STEP_FAULT;
            }
            decoder->info.stored_bytes = stored_bytes;
            return VARVE_STEP_WAIT;
        }
        zstd->taken = want;
        decoder->fault.code = NULL; /* of an earlier wait */
    }
    if (!zstd->ctx) {
        zstd->ctx = ZSTD_createDCtx();
        if (!zstd->ctx) {
            return varve_decode_fail(decoder, VARVE_CODE_NO_MEMORY, zstd->frame_offset);
        }
        ZSTD_DCtx_setParameter(zstd->ctx, ZSTD_d_windowLogMax, VARVE_WINDOW_LOG_MAX);
    }
    ZSTD_DCtx_reset(zstd->ctx, ZSTD_reset_session_only);
    ZSTD_inBuffer in = {.src = zstd->header, .size = sizeof zstd->header};
    ZSTD_outBuffer out = {.dst = zstd->field, .size = 0};
    size_t result = ZSTD_decompressStream(zstd->ctx, &out, &in);
    if (ZSTD_isError(result)) {
        return varve_decode_fail(decoder,
                                 ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation
                                     ? VARVE_CODE_NO_MEMORY
                                     : VARVE_CODE_ZSTD_HEADER,
                                 zstd->frame_offset);
    }
    zstd->frame_decoded = 0;
    begin_state(zstd, BLOCK_HEADER);
    return VARVE_STEP_INPUT;
}

/* Gives libzstd `*bytes` at `data`, takes what it makes. False on an error of libzstd's. Sets
 * *bytes to what it used. */
static bool give(struct varve_decoder *decoder, struct varve_cursor *cursor, const uint8_t *data,
                 size_t *bytes) {
    struct varve_zstd *zstd = decoder->zstd;
    ZSTD_inBuffer in = {.src = data, .size = *bytes};
    ZSTD_outBuffer out = {.dst = cursor->out, .size = cursor->out_bytes};
    size_t result = ZSTD_decompressStream(zstd->ctx, &out, &in);
    *bytes = in.pos;
    zstd->full = out.pos == out.size;
    zstd->frame_decoded += out.pos;
    varve_cursor_made(decoder, cursor, out.pos);
    if (ZSTD_isError(result)) {
        bool memory = ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation;
        bool checksum = zstd->state == CHECKSUM;
        varve_decode_fail(decoder,
                          memory     ? VARVE_CODE_NO_MEMORY
                          : checksum ? VARVE_CODE_ZSTD_CHECKSUM
                                     : VARVE_CODE_ZSTD_BLOCK,
                          zstd->block_offset);
        return false;
    }
    return true;
}

static enum varve_step end_frame(struct varve_decoder *decoder) {
    struct varve_zstd *zstd = decoder->zstd;
    if (zstd->content_bytes != NO_SIZE && zstd->content_bytes != zstd->frame_decoded) {
        return varve_decode_fail(decoder, VARVE_CODE_ZSTD_CONTENT_SIZE, zstd->frame_offset);
    }
    if (decoder->info.member_count == 1 && zstd->announced_end == decoder->info.stored_bytes) {
        decoder->encoder.announced = true;
    }
    begin_state(zstd, MAGIC);
    return VARVE_STEP_INPUT;
}

static enum varve_step block_header(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_zstd *zstd = decoder->zstd;
    if (!collect(decoder, cursor, 3)) {
        return VARVE_STEP_INPUT;
    }
    uint32_t header = (uint32_t)little_endian(zstd->field, 3);
    unsigned type = header >> 1 & 3;
    zstd->block_offset = decoder->info.stored_bytes - 3;
    zstd->last_block = header & 1;
    zstd->left = type == 1 ? 1 : header >> 3; /* of an RLE block, one byte is stored */
    if (!decoder->encoder.zstd) {
        decoder->encoder.zstd = true;
        decoder->encoder.block_type = (uint8_t)type;
        decoder->encoder.block_bytes = header >> 3;
    }
    if (type == 3) {
        return varve_decode_fail(decoder, VARVE_CODE_ZSTD_BLOCK, zstd->block_offset);
    }
    size_t bytes = 3;
    if (!give(decoder, cursor, zstd->field, &bytes)) {
        return VARVE_STEP_FAULT;
    }
    assert(bytes == 3);
    zstd->state = zstd->left ? BLOCK : FLUSH;
    return VARVE_STEP_INPUT;
}

/* The block's content goes to libzstd, then its output is taken until no more comes. */
static enum varve_step block(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_zstd *zstd = decoder->zstd;
    if (zstd->state == BLOCK) {
        size_t bytes = cursor->in_bytes < zstd->left ? cursor->in_bytes : (size_t)zstd->left;
        if (!bytes && !zstd->full) {
            return VARVE_STEP_INPUT;
        }
        if (!give(decoder, cursor, cursor->in, &bytes)) {
            return VARVE_STEP_FAULT;
        }
        varve_cursor_use(decoder, cursor, bytes);
        zstd->left -= bytes;
        if (zstd->left) {
            return cursor->out_bytes ? VARVE_STEP_INPUT : VARVE_STEP_OUTPUT;
        }
        zstd->state = FLUSH;
    } else {
        size_t none = 0;
        if (!give(decoder, cursor, zstd->field, &none)) {
            return VARVE_STEP_FAULT;
        }
    }
    if (!cursor->out_bytes) {
        return VARVE_STEP_OUTPUT;
    }
    if (!zstd->last_block) {
        begin_state(zstd, BLOCK_HEADER);
        return VARVE_STEP_INPUT;
    }
    if (zstd->with_checksum) {
        begin_state(zstd, CHECKSUM);
        zstd->block_offset = decoder->info.stored_bytes;
        return VARVE_STEP_INPUT;
    }
    return end_frame(decoder);
}

static enum varve_step checksum(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_zstd *zstd = decoder->zstd;
    if (!collect(decoder, cursor, 4)) {
        return VARVE_STEP_INPUT;
    }
    size_t bytes = 4;
    if (!give(decoder, cursor, zstd->field, &bytes)) {
        return VARVE_STEP_FAULT;
    }
    return end_frame(decoder);
}

enum varve_step varve_zstd_step(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_zstd *zstd = decoder->zstd;
    enum varve_step step = VARVE_STEP_INPUT;
    bool stuck = false;
    while (step == VARVE_STEP_INPUT && !stuck) {
        const enum state before = zstd->state;
        switch (zstd->state) {
        case MAGIC:
            step = magic(decoder, cursor);
            break;
        case SKIP_SIZE:
        case SKIP:
            skip(decoder, cursor);
            break;
        case FRAME_HEADER:
            step = frame_header(decoder, cursor);
            break;
        case WINDOW:
            step = window(decoder);
            break;
        case BLOCK_HEADER:
            step = block_header(decoder, cursor);
            break;
        case BLOCK:
        case FLUSH:
            step = block(decoder, cursor);
            break;
        case CHECKSUM:
            step = checksum(decoder, cursor);
            break;
        case TRAILING:
            return varve_decode_trailing(decoder, cursor);
        }
        stuck = zstd->state == before;
    }
    if (step == VARVE_STEP_INPUT && cursor->last && cursor->in_bytes == 0) {
        return varve_decode_fail(decoder, VARVE_CODE_ZSTD_TRUNCATED, decoder->info.stored_bytes);
    }
    return step;
}
