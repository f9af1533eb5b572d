/* SPDX-License-Identifier: Apache-2.0 */
/* src/decode_gzip.c - gzip (RFC 1952): headers, members one after the other, checks, what follows.
 *
 * The wrapper is read here and not by igzip, so that every field is seen, every offset is known and
 * a member costs little: layers of 20,000 members are ordinary.
 */
#include <isa-l.h>
#include <stdlib.h>
#include <string.h>

#include "decode_inflate.h"
#include "toc_internal.h"

enum state {
    BETWEEN, /* where a member may begin: 0 to 1 bytes of its magic seen */
    FIXED,   /* the ten bytes that every header has */
    EXTRA_LENGTH,
    EXTRA,
    NAME,
    COMMENT,
    HEADER_CRC,
    BODY,
    TRAILER,
    TRAILING
};

enum { OS_UNIX = 3, OS_UNKNOWN = 255 }; /* of the header's operating systems */
enum flag { FTEXT = 1, FHCRC = 2, FEXTRA = 4, FNAME = 8, FCOMMENT = 16, FRESERVED = 0xe0 };

struct varve_gzip {
    struct varve_inflate inflate;
    struct varve_inflate_stream *lane; /* what the kernel has to run, between two steps, or NULL */
    enum state state;
    uint8_t field[10]; /* the fixed header, or another field of a few bytes, as far as it came */
    size_t field_bytes;
    uint8_t flags; /* of this member; each optional field clears its own when done */
    bool with_crc;
    uint32_t header_crc;
    uint32_t extra_left;
    uint32_t extra_bytes;
    uint8_t extra[VARVE_TOC_EXTRA_BYTES]; /* its beginning */
    bool footer;                          /* the member is the footer of a table of contents */
    uint64_t member_offset;
    uint64_t member_decoded; /* info.decoded_bytes where the member began */
    uint32_t crc;
    /* Of the first member, for the guess at its encoder: its blocks, and with igzip its beginning.
     */
    struct varve_inflate_log log;
    uint8_t *head;
};

bool varve_gzip_begin(struct varve_decoder *decoder) {
    if (!decoder->gzip) {
        struct varve_gzip *gzip = malloc(sizeof *gzip);
        bool igzip = decoder->inflate_row == NULL;
        if (!gzip || !varve_inflate_open(&gzip->inflate, igzip)) {
            free(gzip);
            return false;
        }
        gzip->head = igzip ? malloc(VARVE_ENCODER_HEAD_BYTES) : NULL;
        if (igzip && !gzip->head) {
            varve_gzip_close(gzip);
            return false;
        }
        decoder->gzip = gzip;
    }
    decoder->gzip->lane = NULL;
    varve_inflate_reset(&decoder->gzip->inflate);
    decoder->gzip->state = BETWEEN;
    decoder->gzip->field_bytes = 0;
    return true;
}

void varve_gzip_close(struct varve_gzip *gzip) {
    if (gzip) {
        varve_inflate_close(&gzip->inflate);
        free(gzip->head);
        free(gzip);
    }
}

void varve_gzip_turn(struct varve_gzip *gzip, struct varve_cursor *cursor) {
    varve_inflate_turn(&gzip->inflate, cursor);
}

struct varve_inflate_stream *varve_gzip_lane(const struct varve_gzip *gzip) {
    return gzip->lane;
}

/* The 32 bits of Go's zero time: pgzip's way to say that there is no time. */
#define MTIME_NONE 0x886e0900u

static uint32_t le32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* Collects a field of `want` bytes. True once it is whole. */
static bool collect(struct varve_decoder *decoder, struct varve_cursor *cursor, size_t want) {
    struct varve_gzip *gzip = decoder->gzip;
    size_t n = want - gzip->field_bytes;
    n = n < cursor->in_bytes ? n : cursor->in_bytes;
    memcpy(gzip->field + gzip->field_bytes, cursor->in, n);
    gzip->field_bytes += n;
    varve_cursor_use(decoder, cursor, n);
    return gzip->field_bytes == want;
}

static void begin_field(struct varve_gzip *gzip, enum state state) {
    gzip->state = state;
    gzip->field_bytes = 0;
}

static void header_crc(struct varve_gzip *gzip, const uint8_t *bytes, size_t count) {
    if (gzip->with_crc) {
        gzip->header_crc = crc32_gzip_refl(gzip->header_crc, bytes, count);
    }
}

/* The header is complete up to here: on to the next optional field, in RFC 1952's order, or to the
 * body. */
static void next_field(struct varve_decoder *decoder) {
    struct varve_gzip *gzip = decoder->gzip;
    static const struct {
        uint8_t flag;
        enum state state;
    } order[] = {{FEXTRA, EXTRA_LENGTH}, {FNAME, NAME}, {FCOMMENT, COMMENT}, {FHCRC, HEADER_CRC}};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (gzip->flags & order[i].flag) {
            gzip->flags &= (uint8_t)~order[i].flag;
            begin_field(gzip, order[i].state);
            return;
        }
    }
    varve_inflate_begin(&gzip->inflate, decoder->info.member_count == 1 ? &gzip->log : NULL);
    gzip->crc = 0;
    gzip->state = BODY;
}

static void note(struct varve_decoder *decoder, enum varve_code code, uint64_t offset) {
    varve_findings_add(decoder->findings, code, 1, offset, NULL, 0);
}

/* Where a member may begin. */
static enum varve_step between(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_gzip *gzip = decoder->gzip;
    bool first = decoder->info.member_count == 0;
    while (gzip->field_bytes < 2 && cursor->in_bytes) {
        static const uint8_t magic[2] = {0x1f, 0x8b};
        if (*cursor->in != magic[gzip->field_bytes]) {
            /* A first magic byte that was held back belongs to what follows the last member. */
            struct varve_cursor held = {.in = gzip->field, .in_bytes = gzip->field_bytes};
            decoder->info.stored_bytes -= gzip->field_bytes;
            gzip->state = TRAILING;
            return varve_decode_trailing(decoder, &held);
        }
        collect(decoder, cursor, gzip->field_bytes + 1);
    }
    if (gzip->field_bytes == 2) {
        gzip->state = FIXED;
        gzip->member_offset = decoder->info.stored_bytes - 2;
        return VARVE_STEP_INPUT;
    }
    if (!cursor->last) {
        return VARVE_STEP_INPUT;
    }
    if (first || gzip->field_bytes) {
        return varve_decode_fail(decoder, VARVE_CODE_GZIP_TRUNCATED, decoder->info.stored_bytes);
    }
    return VARVE_STEP_END;
}

/* What a member's fixed header tells of who made it, and when. */
static void note_header(struct varve_decoder *decoder) {
    const struct varve_gzip *gzip = decoder->gzip;
    uint64_t offset = gzip->member_offset;
    uint32_t mtime = le32(gzip->field + 4);
    uint8_t os = gzip->field[9];
    if (decoder->info.member_count > 1) {
        note(decoder, VARVE_CODE_GZIP_MEMBER, offset);
    }
    if (mtime && mtime != MTIME_NONE) {
        note(decoder, VARVE_CODE_GZIP_MTIME, offset + 4);
    }
    if (gzip->field[8]) {
        note(decoder, VARVE_CODE_GZIP_XFL, offset + 8);
    }
    if (os != OS_UNIX && os != OS_UNKNOWN) {
        note(decoder, VARVE_CODE_GZIP_OS, offset + 9);
    }
    const struct {
        uint8_t flag;
        enum varve_code code;
    } codes[] = {{FTEXT, VARVE_CODE_GZIP_TEXT},
                 {FHCRC, VARVE_CODE_GZIP_HEADER_CRC},
                 {FNAME, VARVE_CODE_GZIP_NAME},
                 {FCOMMENT, VARVE_CODE_GZIP_COMMENT}};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (gzip->flags & codes[i].flag) {
            note(decoder, codes[i].code, offset + 3);
        }
    }
}

static enum varve_step fixed(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_gzip *gzip = decoder->gzip;
    uint64_t offset = gzip->member_offset;
    bool whole = collect(decoder, cursor, 10);
    if (gzip->field_bytes > 2 && gzip->field[2] != 8) {
        return varve_decode_fail(decoder, VARVE_CODE_GZIP_METHOD, offset + 2);
    }
    if (gzip->field_bytes > 3 && gzip->field[3] & FRESERVED) {
        return varve_decode_fail(decoder, VARVE_CODE_GZIP_FLAGS, offset + 3);
    }
    if (!whole) {
        return VARVE_STEP_INPUT;
    }
    gzip->flags = gzip->field[3];
    gzip->with_crc = gzip->flags & FHCRC;
    gzip->footer = false;
    gzip->header_crc = 0;
    varve_toc_see_member(decoder->toc, offset, decoder->info.decoded_bytes);
    gzip->member_decoded = decoder->info.decoded_bytes;
    decoder->info.member_count++;
    header_crc(gzip, gzip->field, 10);
    if (decoder->info.member_count == 1) {
        varve_encoder_header(&decoder->encoder, gzip->field, &gzip->log, gzip->head);
    }
    decoder->encoder.footer = false;
    note_header(decoder);
    next_field(decoder);
    return VARVE_STEP_INPUT;
}

static void extra(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_gzip *gzip = decoder->gzip;
    if (gzip->state == EXTRA_LENGTH) {
        if (!collect(decoder, cursor, 2)) {
            return;
        }
        header_crc(gzip, gzip->field, 2);
        gzip->extra_left = (uint32_t)(gzip->field[0] | gzip->field[1] << 8);
        gzip->extra_bytes = gzip->extra_left;
        gzip->state = EXTRA;
    }
    size_t n = cursor->in_bytes < gzip->extra_left ? cursor->in_bytes : gzip->extra_left;
    uint32_t at = gzip->extra_bytes - gzip->extra_left;
    if (at < sizeof gzip->extra) {
        size_t room = sizeof gzip->extra - at;
        memcpy(gzip->extra + at, cursor->in, n < room ? n : room);
    }
    header_crc(gzip, cursor->in, n);
    varve_cursor_use(decoder, cursor, n);
    gzip->extra_left -= (uint32_t)n;
    if (gzip->extra_left) {
        return;
    }
    struct varve_toc_footer footer;
    gzip->footer = varve_toc_read_extra(&footer, gzip->extra, gzip->extra_bytes);
    decoder->encoder.footer = gzip->footer;
    if (gzip->footer) {
        footer.footer_offset = gzip->member_offset;
        varve_toc_see_footer(decoder->toc, &footer);
    } else {
        note(decoder, VARVE_CODE_GZIP_EXTRA, gzip->member_offset + 3);
    }
    next_field(decoder);
}

/* A name or comment: text up to a NUL, of any length; nothing of it is kept but a beginning. */
static void text(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_gzip *gzip = decoder->gzip;
    const uint8_t *end = memchr(cursor->in, 0, cursor->in_bytes);
    size_t n = end ? (size_t)(end - cursor->in) + 1 : cursor->in_bytes;
    header_crc(gzip, cursor->in, n);
    varve_cursor_use(decoder, cursor, n);
    if (end) {
        next_field(decoder);
    }
}

static enum varve_step check_header(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_gzip *gzip = decoder->gzip;
    if (collect(decoder, cursor, 2)) {
        if ((gzip->header_crc & 0xffff) != (uint32_t)(gzip->field[0] | gzip->field[1] << 8)) {
            return varve_decode_fail(decoder, VARVE_CODE_GZIP_FHCRC,
                                     decoder->info.stored_bytes - 2);
        }
        next_field(decoder);
    }
    return VARVE_STEP_INPUT;
}

static enum varve_step body(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_gzip *gzip = decoder->gzip;
    const uint8_t *out = cursor->out;
    const uint8_t *in = cursor->in;
    if (!gzip->lane) {
        gzip->lane = varve_inflate_prepare(&gzip->inflate, cursor);
        if (gzip->lane) {
            return VARVE_STEP_LANE;
        }
    }
    gzip->lane = NULL;
    enum varve_inflate_result result = varve_inflate_finish(&gzip->inflate, decoder, cursor);
    gzip->crc = crc32_gzip_refl(gzip->crc, out, (uint64_t)(cursor->out - out));
    varve_encoder_see(&decoder->encoder, in, (size_t)(cursor->in - in));
    switch (result) {
    case VARVE_INFLATE_INPUT:
        return VARVE_STEP_INPUT;
    case VARVE_INFLATE_OUTPUT:
        return VARVE_STEP_OUTPUT;
    case VARVE_INFLATE_DONE:
        begin_field(gzip, TRAILER);
        varve_encoder_end(&decoder->encoder, gzip->inflate.rest_bytes, gzip->footer);
        memcpy(gzip->field, gzip->inflate.rest, gzip->inflate.rest_bytes);
        gzip->field_bytes = gzip->inflate.rest_bytes;
        return VARVE_STEP_INPUT;
    case VARVE_INFLATE_TRUNCATED:
        return varve_decode_fail(decoder, VARVE_CODE_GZIP_TRUNCATED, decoder->info.stored_bytes);
    case VARVE_INFLATE_FAULT:
        return varve_decode_fail(decoder, VARVE_CODE_GZIP_DEFLATE, gzip->inflate.fault_offset);
    case VARVE_INFLATE_NO_MEMORY:
        break;
    }
    return varve_decode_fail(decoder, VARVE_CODE_NO_MEMORY, decoder->info.stored_bytes);
}

static enum varve_step trailer(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_gzip *gzip = decoder->gzip;
    if (!collect(decoder, cursor, 8)) {
        return VARVE_STEP_INPUT;
    }
    uint64_t offset = decoder->info.stored_bytes - 8;
    uint64_t made = decoder->info.decoded_bytes - gzip->member_decoded;
    if (le32(gzip->field) != gzip->crc) {
        return varve_decode_fail(decoder, VARVE_CODE_GZIP_CRC, offset);
    }
    if (le32(gzip->field + 4) != (uint32_t)made) {
        return varve_decode_fail(decoder, VARVE_CODE_GZIP_ISIZE, offset + 4);
    }
    if (!made && !gzip->footer) {
        note(decoder, VARVE_CODE_GZIP_EMPTY_MEMBER, gzip->member_offset);
    }
    begin_field(gzip, BETWEEN);
    return VARVE_STEP_INPUT;
}

enum varve_step varve_gzip_step(struct varve_decoder *decoder, struct varve_cursor *cursor) {
    struct varve_gzip *gzip = decoder->gzip;
    enum varve_step step = VARVE_STEP_INPUT;
    bool stuck = false;
    while (step == VARVE_STEP_INPUT && !stuck) {
        const enum state before = gzip->state;
        switch (gzip->state) {
        case BETWEEN:
            step = between(decoder, cursor);
            break;
        case FIXED:
            step = fixed(decoder, cursor);
            break;
        case EXTRA_LENGTH:
        case EXTRA:
            extra(decoder, cursor);
            break;
        case NAME:
        case COMMENT:
            text(decoder, cursor);
            break;
        case HEADER_CRC:
            step = check_header(decoder, cursor);
            break;
        case BODY:
            step = body(decoder, cursor);
            break;
        case TRAILER:
            step = trailer(decoder, cursor);
            break;
        case TRAILING:
            return varve_decode_trailing(decoder, cursor);
        }
        /* A state that did not change has used up the input. */
        stuck = gzip->state == before;
    }
    if (step == VARVE_STEP_INPUT && cursor->last && cursor->in_bytes == 0) {
        return varve_decode_fail(decoder, VARVE_CODE_GZIP_TRUNCATED, decoder->info.stored_bytes);
    }
    return step;
}
