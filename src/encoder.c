/* SPDX-License-Identifier: Apache-2.0 */
/* src/encoder.c - which compressor made a blob: "unknown" rather than wrong. */
#include "encoder.h"

#include <stdio.h>
#include <string.h>

#include "encoder_blocks.h"

/* Go's zero time in seconds since 1970, cut to 32 bits: what pgzip writes where others write 0. */
#define MTIME_PGZIP 0x886e0900u

/* pigz compresses pieces of this many bytes and ends about half of them with an empty stored block
 * (the others happen to end on a byte boundary or are padded another way). */
#define PIGZ_PIECE_BYTES ((uint64_t)131072)
#define PIGZ_PIECES_LEAST 6.0
#define PIGZ_SHARE_LEAST 0.2
#define PIGZ_SHARE_MOST 0.9

/* pgzip's pieces, and the smallest that somebody asks it for (umoci); each but the last ends with
 * an empty stored block. */
#define PGZIP_PIECE_BYTES 1048576.0
#define PGZIP_PIECE_BYTES_LEAST 262144.0

/* Where compressors end a block, in symbols. */
#define ZLIB_SYMBOLS 16383u   /* zlib with its usual memLevel, 8 */
#define GO_SYMBOLS 16384u     /* Go's compress/flate */
#define GZIP_SYMBOLS 32767u   /* GNU gzip; zlib with memLevel 9 */
#define GZIP_LOOKS_EACH 4096u /* GNU gzip considers an early end every so many */

/* Where they end it in decoded bytes: what a stored block can hold. */
#define KLAUSPOST_BYTES 65535u

/* miniz keeps a block's symbols in a buffer of this size: a byte a literal, three a match, a bit
 * each; it ends the block when fewer than a few bytes are left. */
#define MINIZ_BUFFER 65536u
#define MINIZ_SLACK 24u

/* libdeflate makes no shorter blocks. */
#define LIBDEFLATE_BYTES_LEAST 5000u

/* igzip never copies three bytes; so many copies without one of three are no chance. */
#define IGZIP_MATCHES_LEAST 64u

/* The four bytes LEN and NLEN of an empty stored block. */
static const uint8_t marker[4] = {0, 0, 0xff, 0xff};

void varve_encoder_reset(struct varve_encoder *encoder) {
    encoder->gzip = encoder->zstd = encoder->stored_end = encoder->footer = false;
    encoder->announced = false;
    encoder->markers = encoder->seen_bytes = encoder->members = 0;
    encoder->tail_bytes = encoder->head_bytes = 0;
    encoder->log = NULL;
    encoder->head = NULL;
    encoder->evidence[0] = 0;
}

void varve_encoder_header(struct varve_encoder *encoder, const uint8_t header[10],
                          struct varve_inflate_log *log, uint8_t *head) {
    memset(log, 0, sizeof *log);
    encoder->gzip = true;
    encoder->log = log;
    encoder->head = head;
    encoder->flags = header[3];
    encoder->mtime = (uint32_t)header[4] | (uint32_t)header[5] << 8 | (uint32_t)header[6] << 16 |
                     (uint32_t)header[7] << 24;
    encoder->xfl = header[8];
    encoder->os = header[9];
}

static uint64_t count_markers(const uint8_t *data, size_t bytes) {
    uint64_t count = 0;
    const uint8_t *end = data + bytes;
    if (bytes < sizeof marker) {
        return 0;
    }
    for (const uint8_t *at = data + 2; at < end - 1;) {
        at = memchr(at, 0xff, (size_t)(end - 1 - at));
        if (!at) {
            break;
        }
        count += memcmp(at - 2, marker, sizeof marker) == 0;
        at++;
    }
    return count;
}

void varve_encoder_see(struct varve_encoder *encoder, const uint8_t *data, size_t bytes) {
    if (encoder->head && encoder->members == 0 && encoder->head_bytes < VARVE_ENCODER_HEAD_BYTES) {
        size_t room = VARVE_ENCODER_HEAD_BYTES - encoder->head_bytes;
        size_t n = bytes < room ? bytes : room;
        memcpy(encoder->head + encoder->head_bytes, data, n);
        encoder->head_bytes += n;
    }
    if (encoder->seen_bytes < VARVE_ENCODER_SCAN_BYTES) {
        uint64_t left = VARVE_ENCODER_SCAN_BYTES - encoder->seen_bytes;
        size_t n = bytes < left ? bytes : (size_t)left;
        uint8_t seam[6];
        size_t before = encoder->tail_bytes < 3 ? encoder->tail_bytes : 3;
        size_t after = n < 3 ? n : 3;
        memcpy(seam, encoder->tail + encoder->tail_bytes - before, before);
        memcpy(seam + before, data, after);
        encoder->markers += count_markers(seam, before + after) + count_markers(data, n);
    }
    encoder->seen_bytes += bytes;
    if (bytes >= sizeof encoder->tail) {
        memcpy(encoder->tail, data + bytes - sizeof encoder->tail, sizeof encoder->tail);
        encoder->tail_bytes = sizeof encoder->tail;
        return;
    }
    size_t keep = sizeof encoder->tail - bytes;
    keep = keep < encoder->tail_bytes ? keep : encoder->tail_bytes;
    memmove(encoder->tail, encoder->tail + encoder->tail_bytes - keep, keep);
    memcpy(encoder->tail + keep, data, bytes);
    encoder->tail_bytes = keep + bytes;
}

static uint64_t scanned_bytes(const struct varve_encoder *encoder) {
    return encoder->seen_bytes < VARVE_ENCODER_SCAN_BYTES ? encoder->seen_bytes
                                                          : VARVE_ENCODER_SCAN_BYTES;
}

void varve_encoder_end(struct varve_encoder *encoder, size_t behind, bool footer) {
    size_t have = encoder->tail_bytes;
    uint64_t scanned = scanned_bytes(encoder);
    uint64_t first = encoder->seen_bytes - have; /* the tail's place */
    encoder->seen_bytes -= behind;
    if (scanned > encoder->seen_bytes) {
        /* Bytes behind the end were scanned, how many depends on how the blob was cut: markers that
         * end there are none. */
        uint64_t from = encoder->seen_bytes > first + 3 ? encoder->seen_bytes - 3 : first;
        encoder->markers -= count_markers(encoder->tail + (from - first), (size_t)(scanned - from));
    }
    if (!footer) {
        encoder->stored_end =
            have >= behind + sizeof marker &&
            memcmp(encoder->tail + have - behind - sizeof marker, marker, sizeof marker) == 0;
    }
    encoder->tail_bytes = 0;
    encoder->members += !footer;
}

/* What the ends of the blocks seen have in common. */
enum shape {
    SHAPE_UNSEEN, /* no block that the compressor ended of its own accord */
    SHAPE_OTHER,
    SHAPE_ZLIB,
    SHAPE_GO,
    SHAPE_GZIP,
    SHAPE_LARGE,  /* GNU gzip, or zlib with memLevel 9 */
    SHAPE_PIECES, /* of 128 KiB */
    SHAPE_KLAUSPOST,
    SHAPE_MINIZ
};

static uint32_t symbols(const struct varve_inflate_block *block) {
    return block->literals + block->matches;
}

static bool is_miniz(const struct varve_inflate_block *block) {
    uint64_t buffer = block->literals + 3 * (uint64_t)block->matches + symbols(block) / 8;
    return buffer + MINIZ_SLACK >= MINIZ_BUFFER && buffer <= MINIZ_BUFFER;
}

/* A block longer than zlib's and gzip's, and no match of three bytes in it. libdeflate and zopfli
 * can make such blocks, too: they write other headers. */
static bool is_igzip(const struct varve_inflate_block *block) {
    return block->type == 2 && symbols(block) > GZIP_SYMBOLS &&
           block->matches >= IGZIP_MATCHES_LEAST && block->short_matches == 0;
}

/* How many blocks there are of each kind. */
struct tally {
    size_t seen;    /* ended of their own accord */
    size_t flushed; /* ended by an empty block behind */
    size_t zlib, go, gzip_early, gzip_full, piece, klauspost, miniz, igzip, brief;
};

static struct tally count_blocks(const struct varve_inflate_log *blocks) {
    struct tally tally = {.igzip = is_igzip(&blocks->cut)};
    uint64_t decoded = 0;
    for (size_t i = 0; i < blocks->count; i++) {
        const struct varve_inflate_block *block = &blocks->each[i];
        const struct varve_inflate_block *next =
            i + 1 < blocks->count ? &blocks->each[i + 1] : &blocks->cut;
        decoded += block->decoded_bytes;
        tally.igzip += is_igzip(block);
        if (block->final || block->type == 0 || !block->decoded_bytes) {
            continue;
        }
        if (decoded % PIGZ_PIECE_BYTES == 0) {
            tally.piece++; /* pigz does not always put an empty block there */
        } else if (!next->decoded_bytes) {
            tally.flushed += i + 1 < blocks->count; /* else nothing is known of the next */
        } else {
            uint32_t n = symbols(block);
            tally.seen++;
            tally.zlib += n == ZLIB_SYMBOLS;
            tally.go += n == GO_SYMBOLS;
            tally.gzip_early += n % GZIP_LOOKS_EACH == 0 && n < GZIP_SYMBOLS;
            tally.gzip_full += n == GZIP_SYMBOLS;
            tally.klauspost += decoded % KLAUSPOST_BYTES == 0;
            tally.miniz += is_miniz(block);
            tally.brief += block->decoded_bytes < LIBDEFLATE_BYTES_LEAST;
        }
    }
    return tally;
}

static enum shape shape_of(const struct tally *tally) {
    size_t seen = tally->seen;
    if (tally->piece && tally->zlib == seen) {
        return SHAPE_PIECES;
    }
    if (!seen) {
        return SHAPE_UNSEEN;
    }
    return tally->zlib == seen                                                 ? SHAPE_ZLIB
           : tally->go == seen                                                 ? SHAPE_GO
           : tally->gzip_full == seen                                          ? SHAPE_LARGE
           : tally->gzip_early && tally->gzip_early + tally->gzip_full == seen ? SHAPE_GZIP
           : tally->klauspost == seen                                          ? SHAPE_KLAUSPOST
           : tally->miniz == seen                                              ? SHAPE_MINIZ
                                                                               : SHAPE_OTHER;
}

/* Pieces of a size that lie in the bytes in which flush markers were counted. */
static double pieces(const struct varve_encoder *encoder, uint64_t stored_bytes,
                     uint64_t decoded_bytes, double piece_bytes) {
    double share = stored_bytes ? (double)scanned_bytes(encoder) / (double)stored_bytes : 0;
    return (double)decoded_bytes * share / piece_bytes;
}

/* True where the flush markers lie as close as pigz sets them. */
static bool looks_like_pigz(const struct varve_encoder *encoder, uint64_t stored_bytes,
                            uint64_t decoded_bytes) {
    double count = pieces(encoder, stored_bytes, decoded_bytes, (double)PIGZ_PIECE_BYTES);
    double markers = (double)encoder->markers;
    return count >= PIGZ_PIECES_LEAST && markers >= count * PIGZ_SHARE_LEAST &&
           markers <= count * PIGZ_SHARE_MOST;
}

/* klauspost's encoder alone, or as pgzip uses it: that ends each piece with a flush. The last
 * marker of a whole stream is its end. */
static const char *guess_klauspost(const struct varve_encoder *encoder, uint64_t stored_bytes,
                                   uint64_t decoded_bytes) {
    bool ended = encoder->seen_bytes <= VARVE_ENCODER_SCAN_BYTES && encoder->stored_end;
    double markers = (double)(encoder->markers - (ended && encoder->markers));
    double least = pieces(encoder, stored_bytes, decoded_bytes, PGZIP_PIECE_BYTES) / 2;
    double most = pieces(encoder, stored_bytes, decoded_bytes, PGZIP_PIECE_BYTES_LEAST) * 1.5;
    return markers >= 1 && markers >= least && markers <= most ? "pgzip" : "klauspost";
}

static const char *guess_unix(const struct varve_encoder *encoder, const struct tally *tally,
                              enum shape shape, uint64_t stored_bytes, uint64_t decoded_bytes) {
    bool plain = encoder->flags == 0 && encoder->mtime == 0;
    if (tally->igzip && encoder->xfl == 0 && (shape == SHAPE_OTHER || shape == SHAPE_UNSEEN)) {
        return "igzip";
    }
    switch (shape) {
    case SHAPE_PIECES:
        return "pigz";
    case SHAPE_ZLIB:
        return looks_like_pigz(encoder, stored_bytes, decoded_bytes) ? "pigz" : "zlib";
    case SHAPE_GZIP:
        return "gzip";
    case SHAPE_LARGE: /* programs that use zlib do not write names */
        return encoder->flags == 8 ? "gzip" : "unix-gzip";
    case SHAPE_OTHER:
        return plain && encoder->xfl == 2 && tally->seen > 1 && !tally->flushed
                   ? tally->piece ? "pigz" : "zopfli"
                   : "unix-gzip";
    case SHAPE_UNSEEN:
        return looks_like_pigz(encoder, stored_bytes, decoded_bytes) ? "pigz" : "unix-gzip";
    default:
        return "unknown";
    }
}

/* OS 255: Go, Rust, Java, Python, libdeflate. */
static const char *guess_unsaid(const struct varve_encoder *encoder, const struct tally *tally,
                                enum shape shape, uint64_t stored_bytes, uint64_t decoded_bytes) {
    bool plain = encoder->flags == 0 && encoder->mtime == 0;
    if (encoder->mtime == MTIME_PGZIP ||
        (plain && encoder->stored_end && shape == SHAPE_KLAUSPOST)) {
        return guess_klauspost(encoder, stored_bytes, decoded_bytes);
    }
    if (encoder->stored_end) {
        return plain && (shape == SHAPE_GO || shape == SHAPE_UNSEEN) ? "go" : "unknown";
    }
    if (encoder->mtime) {
        return shape == SHAPE_ZLIB || (shape == SHAPE_UNSEEN && encoder->xfl == 2) ? "python"
                                                                                   : "unknown";
    }
    if (!plain) {
        return "unknown";
    }
    return shape == SHAPE_MINIZ  ? "miniz"
           : shape == SHAPE_ZLIB ? "zlib"
           : shape == SHAPE_OTHER && tally->seen > 1 && !tally->brief && !tally->flushed
               ? "libdeflate"
               : "unknown";
}

/* What a guess rests on, in words. Not by printf, which would be a fiftieth of a small layer. */
struct words {
    char *at;
    const char *end; /* of the room, without the NUL's place */
};

static void put_text(struct words *words, const char *text) {
    size_t count = strlen(text);
    size_t room = (size_t)(words->end - words->at);
    count = count < room ? count : room;
    memcpy(words->at, text, count);
    words->at += count;
    *words->at = 0;
}

static void put_number(struct words *words, uint64_t value) {
    char digits[24];
    size_t first = sizeof digits - 1;
    digits[first] = 0;
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put_text(words, digits + first);
}

/* The first blocks. */
static void put_blocks(struct words *words, const struct varve_inflate_log *blocks) {
    for (size_t i = 0; i < blocks->count && i < 4; i++) {
        put_text(words, i ? ", " : "; symbols by block ");
        if (blocks->each[i].type) {
            put_number(words, symbols(&blocks->each[i]));
        } else {
            put_text(words, "stored");
        }
    }
}

static void put_evidence(struct varve_encoder *encoder, const struct tally *tally) {
    struct words words = {encoder->evidence, encoder->evidence + sizeof encoder->evidence - 1};
    put_text(&words, "FLG ");
    put_number(&words, encoder->flags);
    put_text(&words, encoder->mtime == 0             ? ", MTIME 0"
                     : encoder->mtime == MTIME_PGZIP ? ", MTIME of Go's zero time"
                                                     : ", MTIME set");
    put_text(&words, ", XFL ");
    put_number(&words, encoder->xfl);
    put_text(&words, ", OS ");
    put_number(&words, encoder->os);
    put_blocks(&words, encoder->log);
    put_text(&words, tally->piece ? "; ends at 128 KiB" : "");
    put_text(&words, encoder->stored_end ? "; ends with an empty stored block" : "");
    put_text(&words, encoder->footer ? "; eStargz footer" : "");
    put_text(&words, "; ");
    put_number(&words, encoder->markers);
    put_text(&words, " flush markers in ");
    put_number(&words, scanned_bytes(encoder));
    put_text(&words, " bytes");
}

static const char *guess_gzip(struct varve_encoder *encoder, uint64_t stored_bytes,
                              uint64_t decoded_bytes) {
    if (encoder->head) {
        varve_encoder_blocks_read(encoder->log, encoder->head, encoder->head_bytes);
    }
    struct tally tally = count_blocks(encoder->log);
    put_evidence(encoder, &tally);
    if (encoder->footer) {
        return "estargz";
    }
    enum shape shape = shape_of(&tally);
    bool level = encoder->xfl == 0 || encoder->xfl == 2 || encoder->xfl == 4;
    if (encoder->os == 255) {
        return guess_unsaid(encoder, &tally, shape, stored_bytes, decoded_bytes);
    }
    if (encoder->os == 0 && encoder->flags == 0 && encoder->mtime == 0 && encoder->xfl == 0) {
        return shape == SHAPE_ZLIB || shape == SHAPE_UNSEEN ? "java" : "unknown";
    }
    return encoder->os == 3 && level
               ? guess_unix(encoder, &tally, shape, stored_bytes, decoded_bytes)
               : "unknown";
}

static const char *guess_zstd(struct varve_encoder *encoder) {
    bool single = encoder->descriptor & 0x20;
    bool sized = single || encoder->descriptor >> 6;
    bool check = encoder->descriptor & 0x04;
    unsigned window_log = single ? 0 : 10u + (encoder->window >> 3);
    static const char *const types[] = {"raw", "RLE", "compressed", "reserved"};
    char window[16] = "none";
    if (!single) {
        snprintf(window, sizeof window, "2^%u%s", window_log, encoder->window & 7 ? "+" : "");
    }
    snprintf(encoder->evidence, sizeof encoder->evidence,
             "window %s, %scontent size, %schecksum; first block %s, %u bytes%s", window,
             sized ? "" : "no ", check ? "" : "no ", types[encoder->block_type & 3],
             encoder->block_bytes,
             encoder->announced ? "; a skippable frame before tells the frame's size" : "");
    if (encoder->announced) {
        return "pzstd";
    }
    /* Levels 1 to 8, and 22 or --long: the Go encoder has windows from 2^22 to 2^25. */
    bool go_has = window_log >= 22 && window_log <= 25;
    if (!single && !(encoder->window & 7) && window_log >= 19 && !go_has) {
        return "libzstd";
    }
    if (!sized && check && encoder->window == 0x68 && encoder->block_type == 0 &&
        encoder->block_bytes == 8) {
        return "containers-image";
    }
    return "unknown";
}

const char *varve_encoder_guess(struct varve_encoder *encoder, uint64_t stored_bytes,
                                uint64_t decoded_bytes) {
    return encoder->gzip   ? guess_gzip(encoder, stored_bytes, decoded_bytes)
           : encoder->zstd ? guess_zstd(encoder)
                           : "unknown";
}
