/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode.c - tells what a blob is by its first bytes and hands it to the engine for it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "decode_internal.h"
#include "kernels.h"
#include "limits.h"

/* Layers advanced together; more are cut into batches. */
#define BATCH 32

const char *varve_compression_name(enum varve_compression compression) {
    static const char *const names[] = {"none", "gzip", "zstd", "bzip2", "xz"};
    assert((size_t)compression < sizeof names / sizeof names[0]);
    return names[compression];
}

const char *varve_inflate_engine_name(enum varve_inflate_engine engine) {
    static const char *const names[] = {"varve", "igzip"};
    assert((size_t)engine < sizeof names / sizeof names[0]);
    return names[engine];
}

enum varve_status varve_decoder_open(struct varve_decoder **decoder,
                                     const struct varve_decode_options *options) {
    enum varve_tier tier = options ? options->tier : VARVE_TIER_AUTO;
    *decoder = NULL;
    if (!varve_tier_may_run(tier)) {
        return VARVE_UNSUPPORTED;
    }
    struct varve_decoder *made = calloc(1, sizeof *made);
    *decoder = made;
    if (!made) {
        return VARVE_ERROR;
    }
    if (!options || options->inflate_engine == VARVE_INFLATE_OWN) {
        made->inflate_row = varve_inflate_row_of(tier);
    }
    made->budget = options ? options->budget : NULL;
    uint64_t most = options ? options->max_decoded_bytes : 0;
    most = most ? most : VARVE_LIMIT_DECODED_BYTES;
    made->max_decoded = most < UINT64_MAX ? most : UINT64_MAX - 1;
    varve_decoder_reset(made, NULL);
    return VARVE_OK;
}

void varve_decoder_close(struct varve_decoder *decoder) {
    if (decoder) {
        varve_zstd_close(decoder);
        varve_gzip_close(decoder->gzip);
        free(decoder);
    }
}

void varve_decoder_reset(struct varve_decoder *decoder, struct varve_findings *findings) {
    decoder->findings = findings;
    decoder->toc = NULL;
    decoder->known = false;
    decoder->sniff_bytes = decoder->sniff_given = 0;
    decoder->ended = VARVE_STEP_INPUT;
    decoder->fault =
        (struct varve_fault){.offset_stored = VARVE_NO_OFFSET, .offset_decoded = VARVE_NO_OFFSET};
    decoder->info = (struct varve_decode_info){
        .trailing_offset = VARVE_NO_OFFSET, .encoder = "unknown", .encoder_evidence = ""};
    varve_encoder_reset(&decoder->encoder);
    decoder->trailing = (struct varve_trailing){.hidden_offset = VARVE_NO_OFFSET};
}

void varve_decoder_watch(struct varve_decoder *decoder, struct varve_toc *toc) {
    decoder->toc = toc;
}

struct varve_fault varve_decoder_fault(const struct varve_decoder *decoder) {
    return decoder->fault;
}

struct varve_decode_info varve_decoder_info(const struct varve_decoder *decoder) {
    return decoder->info;
}

enum varve_step varve_decode_fail(struct varve_decoder *decoder, enum varve_code code,
                                  uint64_t offset_stored) {
    decoder->fault = varve_fault_of(code, offset_stored);
    decoder->fault.offset_stored = offset_stored;
    decoder->fault.offset_decoded = decoder->info.decoded_bytes;
    if (offset_stored != VARVE_NO_OFFSET) {
        decoder->info.stored_bytes = offset_stored;
    }
    return VARVE_STEP_FAULT;
}

/* The beginnings that tell what a blob is. A legacy zstd frame is zstd, too: the engine refuses it.
 */
static const struct signature {
    enum varve_compression compression;
    uint8_t bytes;
    uint8_t value[10];
    uint8_t mask[10];
} signatures[] = {
    {VARVE_COMPRESSION_GZIP, 2, {0x1f, 0x8b}, {0xff, 0xff}},
    {VARVE_COMPRESSION_ZSTD, 4, {0x28, 0xb5, 0x2f, 0xfd}, {0xff, 0xff, 0xff, 0xff}},
    {VARVE_COMPRESSION_ZSTD, 4, {0x50, 0x2a, 0x4d, 0x18}, {0xf0, 0xff, 0xff, 0xff}},
    {VARVE_COMPRESSION_ZSTD, 4, {0x20, 0xb5, 0x2f, 0xfd}, {0xf8, 0xff, 0xff, 0xff}},
    {VARVE_COMPRESSION_ZSTD, 4, {0x1e, 0xb5, 0x2f, 0xfd}, {0xff, 0xff, 0xff, 0xff}},
    {VARVE_COMPRESSION_XZ, 6, {0xfd, '7', 'z', 'X', 'Z', 0}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    {VARVE_COMPRESSION_BZIP2,
     10,
     {'B', 'Z', 'h', '0', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59},
     {0xff, 0xff, 0xff, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    {VARVE_COMPRESSION_BZIP2,
     10,
     {'B', 'Z', 'h', '0', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90},
     {0xff, 0xff, 0xff, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
};

/* True once the held bytes decide; `whole`: no more will come. */
static bool recognise(struct varve_decoder *decoder, bool whole) {
    bool undecided = false;
    for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++) {
        const struct signature *s = &signatures[i];
        size_t n = decoder->sniff_bytes < s->bytes ? decoder->sniff_bytes : s->bytes;
        bool matches = true;
        for (size_t k = 0; k < n && matches; k++) {
            matches = (decoder->sniff[k] & s->mask[k]) == s->value[k];
        }
        if (matches && n == s->bytes) {
            decoder->info.compression = s->compression;
            return true;
        }
        undecided |= matches;
    }
    decoder->info.compression = VARVE_COMPRESSION_NONE;
    return !undecided || whole;
}

/* Begins the engine for what was recognised and gives it the bytes that were held back. */
static enum varve_step begin(struct varve_decoder *decoder, const struct varve_cursor *cursor) {
    bool begun = true;
    switch (decoder->info.compression) {
    case VARVE_COMPRESSION_NONE:
        return VARVE_STEP_INPUT;
    case VARVE_COMPRESSION_BZIP2:
        return varve_decode_fail(decoder, VARVE_CODE_DECODE_BZIP2, 0);
    case VARVE_COMPRESSION_XZ:
        return varve_decode_fail(decoder, VARVE_CODE_DECODE_XZ, 0);
    case VARVE_COMPRESSION_GZIP:
        begun = varve_gzip_begin(decoder);
        break;
    case VARVE_COMPRESSION_ZSTD:
        begun = varve_zstd_begin(decoder);
        break;
    }
    if (!begun) {
        return varve_decode_fail(decoder, VARVE_CODE_NO_MEMORY, 0);
    }
    /* A beginning is never longer than the header it is the beginning of: no output can come. */
    struct varve_cursor held = {.in = decoder->sniff,
                                .in_bytes = decoder->sniff_bytes,
                                .last = cursor->last && cursor->in_bytes == 0};
    decoder->sniff_given = decoder->sniff_bytes;
    enum varve_step step = decoder->info.compression == VARVE_COMPRESSION_GZIP
                               ? varve_gzip_step(decoder, &held)
                               : varve_zstd_step(decoder, &held);
    assert(held.in_bytes == 0 || step == VARVE_STEP_FAULT);
    return step;
}

/* Holds bytes back until they decide. INPUT: decided or not, go on. */
static enum varve_step sniff(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    while (!decoder->known) {
        bool whole = cursor->last && cursor->in_bytes == 0;
        if (decoder->sniff_bytes || whole) {
            decoder->known = recognise(decoder, whole);
        }
        if (decoder->known) {
            return begin(decoder, cursor);
        }
        if (cursor->in_bytes == 0) {
            return VARVE_STEP_INPUT;
        }
        assert(decoder->sniff_bytes < sizeof decoder->sniff);
        decoder->sniff[decoder->sniff_bytes++] = *cursor->in++;
        cursor->in_bytes--;
    }
    return VARVE_STEP_INPUT;
}

/* Plain blobs: the held bytes are copied out, all others are given back where they lie. */
static enum varve_step pass(struct varve_decoder *decoder, struct varve_cursor *cursor,
                            struct varve_decode_turn *turn) {
    size_t held = decoder->sniff_bytes - decoder->sniff_given;
    if (held) {
        size_t n = held < cursor->out_bytes ? held : cursor->out_bytes;
        memcpy(cursor->out, decoder->sniff + decoder->sniff_given, n);
        decoder->sniff_given += n;
        decoder->info.stored_bytes += n;
        varve_cursor_made(decoder, cursor, n);
        return n < held || cursor->in_bytes ? VARVE_STEP_OUTPUT
               : cursor->last               ? VARVE_STEP_END
                                            : VARVE_STEP_INPUT;
    }
    uint64_t room = decoder->max_decoded + 1 - decoder->info.decoded_bytes;
    turn->made = cursor->in;
    turn->made_bytes = cursor->in_bytes < room ? cursor->in_bytes : (size_t)room;
    decoder->info.decoded_bytes += turn->made_bytes;
    varve_cursor_use(decoder, cursor, turn->made_bytes);
    return cursor->last ? VARVE_STEP_END : VARVE_STEP_INPUT;
}

/* True where `bytes` look like the beginning of a gzip member or a zstd frame, written by a real
 * program: no chance finding in noise. */
static bool looks_like_member(const uint8_t bytes[VARVE_TRAILING_WINDOW]) {
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    bool gzip = bytes[0] == 0x1f && bytes[1] == 0x8b && bytes[2] == 8 && bytes[3] < 0x20;
    bool known_level = bytes[8] == 0 || bytes[8] == 2 || bytes[8] == 4;
    bool known_system = bytes[9] <= 13 || bytes[9] == 255;
    return (gzip && known_level && known_system) ||
           (memcmp(bytes, zstd, sizeof zstd) == 0 && !(bytes[4] & 0x08));
}

/* Looks for a member behind trailing garbage: `window` slides over it byte for byte. */
static void seek_hidden(struct varve_trailing *trailing, const uint8_t *bytes, size_t count,
                        uint64_t offset) {
    for (size_t i = 0; i < count && trailing->hidden_offset == VARVE_NO_OFFSET; i++) {
        if (trailing->window_bytes == VARVE_TRAILING_WINDOW) {
            memmove(trailing->window, trailing->window + 1, VARVE_TRAILING_WINDOW - 1);
            trailing->window_bytes--;
        }
        trailing->window[trailing->window_bytes++] = bytes[i];
        if (trailing->window_bytes == VARVE_TRAILING_WINDOW &&
            looks_like_member(trailing->window)) {
            trailing->hidden_offset = offset + i + 1 - VARVE_TRAILING_WINDOW;
        }
    }
}

static bool all_zero(const uint8_t *bytes, size_t count) {
    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

enum varve_step varve_decode_trailing(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_trailing *trailing = &decoder->trailing;
    if (!trailing->bytes && cursor->in_bytes) {
        decoder->info.trailing_offset = decoder->info.stored_bytes;
    }
    trailing->bytes += cursor->in_bytes;
    trailing->garbage |= !all_zero(cursor->in, cursor->in_bytes);
    seek_hidden(trailing, cursor->in, cursor->in_bytes, decoder->info.stored_bytes);
    varve_cursor_use(decoder, cursor, cursor->in_bytes);
    if (!cursor->last) {
        return VARVE_STEP_INPUT;
    }
    varve_findings_add(decoder->findings,
                       trailing->garbage ? VARVE_CODE_DECODE_TRAILING_GARBAGE
                                         : VARVE_CODE_DECODE_TRAILING_ZEROS,
                       trailing->bytes, decoder->info.trailing_offset, NULL, 0);
    if (trailing->hidden_offset != VARVE_NO_OFFSET) {
        varve_findings_add(decoder->findings, VARVE_CODE_DECODE_HIDDEN_MEMBER, 1,
                           trailing->hidden_offset, NULL, 0);
    }
    return VARVE_STEP_END;
}

/* The layer is over: what can only be said of the whole. */
static void conclude(struct varve_decoder *decoder) {
    struct varve_decode_info *info = &decoder->info;
    info->encoder = varve_encoder_guess(&decoder->encoder, info->stored_bytes, info->decoded_bytes);
    info->encoder_evidence = decoder->encoder.evidence;
    if (info->decoded_bytes / VARVE_RATIO_NOTABLE > info->stored_bytes ||
        (info->decoded_bytes / VARVE_RATIO_NOTABLE == info->stored_bytes &&
         info->decoded_bytes % VARVE_RATIO_NOTABLE)) {
        varve_findings_add(decoder->findings, VARVE_CODE_DECODE_RATIO, 1, 0, NULL, 0);
    }
}

/* One byte beyond the limit was let through so that a layer of exactly that size is no fault. */
static enum varve_step keep_limit(struct varve_decoder *decoder, struct varve_decode_turn *turn,
                                  enum varve_step step) {
    if (decoder->info.decoded_bytes <= decoder->max_decoded) {
        return step;
    }
    assert(turn->made_bytes);
    turn->made_bytes--;
    decoder->info.decoded_bytes--;
    return varve_decode_fail(decoder, VARVE_CODE_DECODE_LIMIT, VARVE_NO_OFFSET);
}

/* A decoder's turn under way. */
struct advance {
    struct varve_decoder *decoder;
    struct varve_decode_turn *turn;
    struct varve_cursor cursor;
    uint8_t *out; /* where the bytes of this turn begin */
    enum varve_step step;
};

/* As far as it goes without a kernel. */
static void go_on(struct advance *advance) {
    struct varve_decoder *decoder = advance->decoder;
    switch (decoder->info.compression) {
    case VARVE_COMPRESSION_GZIP:
        advance->step = varve_gzip_step(decoder, &advance->cursor);
        break;
    case VARVE_COMPRESSION_ZSTD:
        advance->step = varve_zstd_step(decoder, &advance->cursor);
        break;
    default:
        advance->step = pass(decoder, &advance->cursor, advance->turn);
        break;
    }
}

static void begin_turn(struct advance *advance) {
    struct varve_decoder *decoder = advance->decoder;
    struct varve_decode_turn *turn = advance->turn;
    assert(turn->out_bytes > 0);
    uint64_t room = decoder->max_decoded + 1 - decoder->info.decoded_bytes;
    static const uint8_t nothing = 0; /* a pointer to no bytes may be NULL; memcpy's must not */
    advance->cursor =
        (struct varve_cursor){.in = turn->in_bytes ? turn->in : &nothing,
                              .in_bytes = turn->in_bytes,
                              .last = turn->in_last,
                              .out = turn->out,
                              .out_bytes = turn->out_bytes < room ? turn->out_bytes : (size_t)room};
    advance->step = decoder->ended;
    advance->out = turn->out;
    turn->made = NULL;
    if (advance->step == VARVE_STEP_INPUT && !decoder->known) {
        advance->step = sniff(decoder, &advance->cursor);
    }
    if (advance->step == VARVE_STEP_INPUT && decoder->known) {
        if (decoder->info.compression == VARVE_COMPRESSION_GZIP) {
            varve_gzip_turn(decoder->gzip, &advance->cursor);
            advance->out = advance->cursor.out;
        }
        go_on(advance);
    }
}

static void end_turn(struct advance *advance) {
    static const enum varve_decode_state states[] = {VARVE_DECODE_INPUT, VARVE_DECODE_OUTPUT,
                                                     VARVE_DECODE_WAIT, VARVE_DECODE_END,
                                                     VARVE_DECODE_FAULT};
    struct varve_decoder *decoder = advance->decoder;
    struct varve_decode_turn *turn = advance->turn;
    if (!turn->made) {
        turn->made = advance->out;
        turn->made_bytes = (size_t)(advance->cursor.out - advance->out);
    }
    turn->used_bytes = turn->in_bytes - advance->cursor.in_bytes;
    enum varve_step step = keep_limit(decoder, turn, advance->step);
    if (step == VARVE_STEP_END && decoder->ended != VARVE_STEP_END) {
        conclude(decoder);
    }
    if (step >= VARVE_STEP_END) {
        decoder->ended = step;
    }
    turn->state = states[step];
}

/* Runs what waits for an inflate kernel, each decoder's own. False: nothing did. */
static bool run_lanes(struct advance *advances, size_t count) {
    const struct varve_inflate_row *row = NULL;
    struct varve_inflate_stream *lanes[BATCH];
    struct advance *whose[BATCH];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct advance *advance = &advances[i];
        if (advance->step != VARVE_STEP_LANE || (row && advance->decoder->inflate_row != row)) {
            continue;
        }
        row = advance->decoder->inflate_row;
        lanes[n] = varve_gzip_lane(advance->decoder->gzip);
        whose[n++] = advance;
    }
    if (n) {
        row->run(lanes, n);
    }
    for (size_t i = 0; i < n; i++) {
        go_on(whose[i]);
    }
    return n > 0;
}

static void advance_batch(struct varve_decoder *const *decoders, struct varve_decode_turn *turns,
                          size_t count) {
    struct advance advances[BATCH];
    for (size_t i = 0; i < count; i++) {
        advances[i] = (struct advance){.decoder = decoders[i], .turn = &turns[i]};
        begin_turn(&advances[i]);
    }
    while (run_lanes(advances, count)) {
        /* Members that ended gave way to their next ones. */
    }
    for (size_t i = 0; i < count; i++) {
        end_turn(&advances[i]);
    }
}

void varve_decode(struct varve_decoder *const *decoders, struct varve_decode_turn *turns,
                  size_t count) {
    for (size_t i = 0; i < count; i += BATCH) {
        advance_batch(decoders + i, turns + i, count - i < BATCH ? count - i : BATCH);
    }
}
