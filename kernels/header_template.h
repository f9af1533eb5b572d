/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/header_template.h - tar header blocks, 64 bytes at a time. The including file gives the
 * vocabulary for its instruction set:
 *
 *     group                       64 bytes
 *     group_load(bytes)           loads them, any alignment
 *     group_store(bytes, g)       stores them
 *     group_nonzero(g)            a bit per byte that is not NUL
 *     group_high(g)               a bit per byte of 128 and more
 *     group_equal(g, byte)        a bit per byte that equals `byte`
 *     group_digits(g)             a bit per octal digit
 *     group_sum(g)                the sum of the bytes
 *     group_quads(quads, g, m)    each four bytes of g whose bits in m are set as four octal
 * digits: 16 numbers; a byte whose bit is not set counts as digit 0 group_of_quads(quads)       the
 * reverse: 16 numbers below 4096 as 64 ASCII digits group_keep(g, m)            g, with bytes whose
 * bits in m are not set made NUL NAME(function)              the function's name with the set's
 * suffix
 */
#ifndef VARVE_HEADER_TEMPLATE_H
#define VARVE_HEADER_TEMPLATE_H

#include <string.h>

#include "header_field.h"

varve_header_read_fn NAME(varve_header_read);
varve_header_read_gnu_fn NAME(varve_header_read_gnu);
varve_header_write_fn NAME(varve_header_write);
varve_header_zeros_fn NAME(varve_header_zeros);

/* The seven numeric fields but the checksum side by side, as in a canonical record. */
static const uint8_t field_at[7] = {0, 8, 16, 24, 36, 48, 56};

/* The usual way to write them all: digits to the last byte but one, then a NUL. */
#define EIGHT UINT64_C(0x7f)
#define TWELVE UINT64_C(0x7ff)
#define USUAL                                                                                      \
    (EIGHT | EIGHT << 8 | EIGHT << 16 | TWELVE << 24 | TWELVE << 36 | EIGHT << 48 | EIGHT << 56)
/* The same with device numbers left as NULs. */
#define USUAL_NO_DEVICE (USUAL & ((UINT64_C(1) << 48) - 1))

/* What is known of 64 bytes that hold fields: bits and numbers per four bytes. */
struct looked_at {
    uint64_t digits, nonzero, spaces;
    uint32_t quads[16];
};

static inline struct looked_at look_at(group g) {
    struct looked_at look;
    look.digits = group_digits(g);
    look.nonzero = group_nonzero(g);
    look.spaces = group_equal(g, ' ');
    group_quads(look.quads, g, look.digits);
    return look;
}

/* The digits of the field at `at` (a multiple of four), as if all its bytes were digits. */
static inline uint64_t all_digits(const struct looked_at *look, unsigned at, unsigned bytes) {
    const uint32_t *quads = look->quads + at / 4;
    uint64_t value = (uint64_t)quads[0] << 12 | quads[1];
    return bytes == 12 ? value << 12 | quads[2] : value;
}

/* What stands behind the digits of a field, in its last `rest` (0 to 2) bytes; BAD where that is
 * neither NUL nor space. `nonzero` and `spaces` begin at the first of these bytes. */
static inline uint8_t style_of_end(unsigned rest, uint64_t nonzero, uint64_t spaces) {
    uint64_t mask = (UINT64_C(1) << rest) - 1;
    if ((nonzero & mask) != (spaces & mask)) {
        return VARVE_TAR_STYLE_BAD;
    }
    static const uint8_t styles[3][4] = {
        {VARVE_TAR_STYLE_FULL},
        {VARVE_TAR_STYLE_DIGITS_NUL, VARVE_TAR_STYLE_DIGITS_SPACE},
        {VARVE_TAR_STYLE_SHORT, VARVE_TAR_STYLE_SPACE_NUL, VARVE_TAR_STYLE_NUL_SPACE,
         VARVE_TAR_STYLE_SHORT},
    };
    return styles[rest][spaces & mask];
}

/* One field in any style: by its bits where digits come first, else byte by byte. */
static inline int64_t read_field(uint8_t *style, const struct looked_at *look, unsigned at,
                                 unsigned bytes, const uint8_t *field) {
    uint64_t mask = (UINT64_C(1) << bytes) - 1;
    uint64_t digits = look->digits >> at & mask;
    uint64_t nonzero = look->nonzero >> at & mask;
    if (nonzero == 0) {
        *style = VARVE_TAR_STYLE_NUL;
        return 0;
    }
    unsigned count = (unsigned)__builtin_popcountll(digits);
    if (count + 2 >= bytes && (digits & (digits + 1)) == 0) {
        *style =
            style_of_end(bytes - count, nonzero >> count, (look->spaces >> at & mask) >> count);
        if (*style != VARVE_TAR_STYLE_BAD) {
            return (int64_t)(all_digits(look, at, bytes) >> 3 * (bytes - count));
        }
    }
    return varve_header_field(style, field, bytes);
}

/* Six digits, NUL, space: how nearly everybody writes the checksum. */
static inline int64_t read_checksum(uint8_t *style, const uint8_t *field) {
    uint64_t word;
    memcpy(&word, field, 8);
    if ((word & UINT64_C(0xfffff8f8f8f8f8f8)) != UINT64_C(0x2000303030303030)) {
        return varve_header_field(style, field, 8);
    }
    *style = VARVE_TAR_STYLE_NUL_SPACE;
    uint64_t digits = word & UINT64_C(0x070707070707);
    uint64_t pairs = digits * 8 + (digits >> 8); /* in bytes 0, 2 and 4 */
    return (int64_t)((pairs & 0x3f) << 12 | (pairs >> 16 & 0x3f) << 6 | (pairs >> 32 & 0x3f));
}

static inline void read_numbers(struct varve_header_numbers *numbers, const uint8_t *block) {
    uint8_t fields[64];
    memcpy(fields, block + 100, 48);
    memcpy(fields + 48, block + 329, 16);
    struct looked_at look = look_at(group_load(fields));
    bool usual =
        look.digits == look.nonzero && (look.digits == USUAL || look.digits == USUAL_NO_DEVICE);
    if (usual) {
        uint8_t device = look.digits == USUAL ? VARVE_TAR_STYLE_DIGITS_NUL : VARVE_TAR_STYLE_NUL;
        for (int i = 0; i < 7; i++) {
            numbers->value[i] =
                (int64_t)(all_digits(&look, field_at[i], varve_header_bytes[i]) >> 3);
            numbers->style[i] = i < 5 ? (uint8_t)VARVE_TAR_STYLE_DIGITS_NUL : device;
        }
    } else {
        for (int i = 0; i < 7; i++) {
            numbers->value[i] = read_field(&numbers->style[i], &look, field_at[i],
                                           varve_header_bytes[i], fields + field_at[i]);
        }
    }
    numbers->value[VARVE_HEADER_CHECKSUM] =
        read_checksum(&numbers->style[VARVE_HEADER_CHECKSUM], block + 148);
}

static inline void read_block(struct varve_header_numbers *numbers, const uint8_t *block) {
    /* Bytes 148 to 155, the checksum itself, count as spaces. */
    const uint64_t checksum_mask = UINT64_C(0xff) << (148 - 128);
    uint64_t any_high = 0;
    uint64_t high[8];
    uint32_t sum = 8 * ' ';
    for (int i = 0; i < 8; i++) {
        group g = group_load(block + 64 * i);
        numbers->nonzero[i] = group_nonzero(g);
        high[i] = group_high(g);
        if (i == 2) {
            g = group_keep(g, ~checksum_mask);
            high[i] &= ~checksum_mask;
        }
        sum += group_sum(g);
        any_high |= high[i];
    }
    int32_t signed_sum = (int32_t)sum;
    if (any_high) {
        for (int i = 0; i < 8; i++) {
            signed_sum -= 256 * __builtin_popcountll(high[i]);
        }
    }
    numbers->sum = sum;
    numbers->signed_sum = signed_sum;
    read_numbers(numbers, block);
}

void NAME(varve_header_read)(struct varve_header_numbers *numbers, const uint8_t *blocks,
                             size_t count) {
    for (size_t i = 0; i < count; i++) {
        read_block(&numbers[i], blocks + 512 * i);
    }
}

void NAME(varve_header_read_gnu)(struct varve_header_gnu_numbers *numbers, const uint8_t *blocks,
                                 size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint8_t fields[64] = {0};
        memcpy(fields, blocks + 512 * i + varve_header_gnu_at[0], 36);
        memcpy(fields + 36, blocks + 512 * i + varve_header_gnu_at[3], 12);
        struct looked_at look = look_at(group_load(fields));
        for (unsigned f = 0; f < VARVE_HEADER_GNU_COUNT; f++) {
            numbers[i].value[f] =
                read_field(&numbers[i].style[f], &look, 12 * f, 12, fields + 12 * f);
        }
    }
}

/* A field's digits and a place for its terminator, as numbers of four digits each. */
static inline void put_quads(uint32_t *quads, int64_t value, unsigned bytes) {
    uint64_t digits = (uint64_t)value << 3;
    if (bytes == 12) {
        *quads++ = (uint32_t)(digits >> 24) & 0xfff;
    }
    quads[0] = (uint32_t)(digits >> 12) & 0xfff;
    quads[1] = (uint32_t)digits & 0xfff;
}

void NAME(varve_header_write)(uint8_t *records, const struct varve_header_values *values,
                              size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct varve_header_values *v = &values[i];
        uint8_t *record = records + VARVE_HEADER_FIXED_BYTES * i;
        uint64_t eight = (uint64_t)(v->mode | v->uid | v->gid | v->devmajor | v->devminor);
        uint64_t twelve = (uint64_t)(v->size | v->mtime);
        if (eight >> 21 || twelve >> 33) {
            varve_header_write_one(record, v);
            continue;
        }
        uint32_t quads[16];
        put_quads(quads, v->mode, 8);
        put_quads(quads + 2, v->uid, 8);
        put_quads(quads + 4, v->gid, 8);
        put_quads(quads + 6, v->size, 12);
        put_quads(quads + 9, v->mtime, 12);
        put_quads(quads + 12, v->devmajor, 8);
        put_quads(quads + 14, v->devminor, 8);
        group_store(record, group_keep(group_of_quads(quads), USUAL));
    }
}

size_t NAME(varve_header_zeros)(const uint8_t *bytes, size_t count) {
    size_t i = 0;
    for (; i + 64 <= count; i += 64) {
        uint64_t nonzero = group_nonzero(group_load(bytes + i));
        if (nonzero) {
            return i + (size_t)__builtin_ctzll(nonzero);
        }
    }
    while (i < count && bytes[i] == 0) {
        i++;
    }
    return i;
}

#endif
