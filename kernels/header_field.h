/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/header_field.h - one numeric field of a tar header, read and written byte by byte. Every
 * row's fall-back for what its vectors do not cover. */
#ifndef VARVE_HEADER_FIELD_H
#define VARVE_HEADER_FIELD_H

#include "kernels.h"

static const uint16_t varve_header_at[VARVE_HEADER_FIELD_COUNT] = {100, 108, 116, 124,
                                                                   136, 329, 337, 148};
static const uint8_t varve_header_bytes[VARVE_HEADER_FIELD_COUNT] = {8, 8, 8, 12, 12, 8, 8, 8};
__attribute__((unused)) static const uint16_t varve_header_gnu_at[VARVE_HEADER_GNU_COUNT] = {
    345, 357, 369, 483};

/* GNU's binary form: two's complement, big-endian, the top bit a mark, the next one the sign. */
static int64_t varve_header_base256(uint8_t *style, const uint8_t *field, size_t bytes) {
    uint8_t flip = field[0] & 0x40 ? 0xff : 0;
    uint64_t value = (field[0] ^ flip) & 0x7f;
    for (size_t i = 1; i < bytes; i++) {
        if (value >> 55) {
            *style = VARVE_TAR_STYLE_BAD;
            return 0;
        }
        value = value << 8 | (uint8_t)(field[i] ^ flip);
    }
    *style = VARVE_TAR_STYLE_BASE256;
    return flip ? ~(int64_t)value : (int64_t)value;
}

/* What stands behind the digits, from `field` on. */
static uint8_t varve_header_end_style(const uint8_t *field, size_t bytes) {
    if (bytes == 0) {
        return VARVE_TAR_STYLE_FULL;
    }
    if (bytes == 1) {
        return field[0] ? VARVE_TAR_STYLE_DIGITS_SPACE : VARVE_TAR_STYLE_DIGITS_NUL;
    }
    if (bytes == 2 && field[0] != field[1]) {
        return field[0] ? VARVE_TAR_STYLE_SPACE_NUL : VARVE_TAR_STYLE_NUL_SPACE;
    }
    return VARVE_TAR_STYLE_SHORT;
}

/* Reads one field: spaces and NULs at both ends are trimmed, then octal digits up to a NUL. */
static int64_t varve_header_field(uint8_t *style, const uint8_t *field, size_t bytes) {
    if (field[0] & 0x80) {
        return varve_header_base256(style, field, bytes);
    }
    size_t begin = 0;
    uint8_t blanks = 0; /* OR of what is trimmed in front */
    int odd = 0;
    while (begin < bytes && (field[begin] == 0 || field[begin] == ' ')) {
        blanks |= field[begin];
        odd |= field[begin] == 0;
        begin++;
    }
    if (begin == bytes) {
        *style = blanks ? VARVE_TAR_STYLE_SPACES : VARVE_TAR_STYLE_NUL;
        return 0;
    }
    size_t end = bytes;
    while (field[end - 1] == 0 || field[end - 1] == ' ') {
        end--;
    }
    int64_t value = 0;
    size_t at = begin;
    for (; at < end && field[at] != 0; at++) {
        uint8_t digit = (uint8_t)(field[at] - '0');
        if (digit > 7) {
            *style = VARVE_TAR_STYLE_BAD;
            return 0;
        }
        value = value * 8 + digit;
    }
    if (odd || at < end) {
        *style = VARVE_TAR_STYLE_ODD;
    } else if (begin) {
        *style = VARVE_TAR_STYLE_SPACE_PADDED;
    } else {
        *style = varve_header_end_style(field + end, bytes - end);
    }
    return value;
}

static inline uint8_t *varve_header_write_field(uint8_t *field, int64_t value, unsigned bytes) {
    if (value < 0 || (uint64_t)value >> (3 * (bytes - 1))) {
        for (unsigned i = bytes; i-- > 0;) {
            field[i] = (uint8_t)value;
            value >>= 8;
        }
        field[0] |= 0x80;
    } else {
        field[bytes - 1] = 0;
        for (unsigned i = bytes - 1; i-- > 0;) {
            field[i] = (uint8_t)('0' + (value & 7));
            value >>= 3;
        }
    }
    return field + bytes;
}

static inline void varve_header_write_one(uint8_t *record,
                                          const struct varve_header_values *values) {
    record = varve_header_write_field(record, values->mode, 8);
    record = varve_header_write_field(record, values->uid, 8);
    record = varve_header_write_field(record, values->gid, 8);
    record = varve_header_write_field(record, values->size, 12);
    record = varve_header_write_field(record, values->mtime, 12);
    record = varve_header_write_field(record, values->devmajor, 8);
    varve_header_write_field(record, values->devminor, 8);
}

#endif
