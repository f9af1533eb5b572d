/* SPDX-License-Identifier: Apache-2.0 */
/* src/encoder.c - which compressor made a blob: "unknown" rather than wrong. */
#include "encoder.h"

#include <stdio.h>
#include <string.h>

/* Go's zero time in seconds since 1970, cut to 32 bits: what pgzip writes where others write 0. */
#define MTIME_PGZIP 0x886e0900u

/* pigz compresses pieces of this many bytes and ends about half of them with an empty stored block
 * (the others happen to end on a byte boundary or are padded another way). */
#define PIGZ_PIECE_BYTES 131072.0
#define PIGZ_PIECES_LEAST 6.0
#define PIGZ_SHARE_LEAST 0.2
#define PIGZ_SHARE_MOST 0.9

/* The four bytes LEN and NLEN of an empty stored block. */
static const uint8_t marker[4] = {0, 0, 0xff, 0xff};

void varve_encoder_reset(struct varve_encoder *encoder) {
    encoder->gzip = encoder->zstd = encoder->stored_end = encoder->footer = false;
    encoder->markers = encoder->scanned_bytes = 0;
    encoder->tail_bytes = 0;
    encoder->evidence[0] = 0;
}

void varve_encoder_header(struct varve_encoder *encoder, const uint8_t header[10]) {
    encoder->gzip = true;
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
    if (encoder->os == 3 && encoder->scanned_bytes < VARVE_ENCODER_SCAN_BYTES) {
        uint64_t left = VARVE_ENCODER_SCAN_BYTES - encoder->scanned_bytes;
        size_t n = bytes < left ? bytes : (size_t)left;
        uint8_t seam[6];
        size_t before = encoder->tail_bytes < 3 ? encoder->tail_bytes : 3;
        size_t after = n < 3 ? n : 3;
        memcpy(seam, encoder->tail + encoder->tail_bytes - before, before);
        memcpy(seam + before, data, after);
        encoder->markers += count_markers(seam, before + after) + count_markers(data, n);
        encoder->scanned_bytes += n;
    }
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

void varve_encoder_end(struct varve_encoder *encoder, size_t behind, bool footer) {
    size_t have = encoder->tail_bytes;
    if (!footer) {
        encoder->stored_end =
            have >= behind + sizeof marker &&
            memcmp(encoder->tail + have - behind - sizeof marker, marker, sizeof marker) == 0;
    }
    encoder->tail_bytes = 0;
}

/* True where the flush markers lie as close as pigz sets them. */
static bool looks_like_pigz(const struct varve_encoder *encoder, uint64_t stored_bytes,
                            uint64_t decoded_bytes) {
    double share = (double)encoder->scanned_bytes / (double)stored_bytes;
    double pieces = (double)decoded_bytes * share / PIGZ_PIECE_BYTES;
    double markers = (double)encoder->markers;
    return pieces >= PIGZ_PIECES_LEAST && markers >= pieces * PIGZ_SHARE_LEAST &&
           markers <= pieces * PIGZ_SHARE_MOST;
}

static const char *guess_gzip(struct varve_encoder *encoder, uint64_t stored_bytes,
                              uint64_t decoded_bytes) {
    snprintf(encoder->evidence, sizeof encoder->evidence,
             "FLG %u, MTIME %s, XFL %u, OS %u; %llu flush markers in %llu bytes%s%s",
             encoder->flags,
             encoder->mtime == 0             ? "0"
             : encoder->mtime == MTIME_PGZIP ? "of Go's zero time"
                                             : "set",
             encoder->xfl, encoder->os, (unsigned long long)encoder->markers,
             (unsigned long long)encoder->scanned_bytes,
             encoder->stored_end ? "; ends with an empty stored block" : "",
             encoder->footer ? "; eStargz footer" : "");
    if (encoder->footer) {
        return "estargz";
    }
    if (encoder->os == 255 && encoder->mtime == MTIME_PGZIP) {
        return "pgzip";
    }
    bool plain = encoder->flags == 0 && encoder->mtime == 0;
    if (encoder->os == 255 && plain && encoder->stored_end) {
        return "go";
    }
    if (encoder->os == 255 && encoder->mtime && encoder->xfl == 2 && !encoder->stored_end) {
        return "python";
    }
    if (encoder->os == 0 && plain && encoder->xfl == 0) {
        return "java";
    }
    if (encoder->os == 3 && (encoder->xfl == 0 || encoder->xfl == 2 || encoder->xfl == 4)) {
        return looks_like_pigz(encoder, stored_bytes, decoded_bytes) ? "pigz" : "unix-gzip";
    }
    return "unknown";
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
             "window %s, %scontent size, %schecksum; first block %s, %u bytes", window,
             sized ? "" : "no ", check ? "" : "no ", types[encoder->block_type & 3],
             encoder->block_bytes);
    if (!single && !(encoder->window & 7) && window_log >= 19 && window_log <= 21) {
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
