/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/header_scalar.c - tar header blocks in portable C: the reference for every other row. */
#include "header_field.h"

#include <string.h>

varve_header_read_fn varve_header_read_scalar;
varve_header_read_gnu_fn varve_header_read_gnu_scalar;
varve_header_write_fn varve_header_write_scalar;
varve_header_zeros_fn varve_header_zeros_scalar;

static void read_block(struct varve_header_numbers *numbers, const uint8_t *block) {
    uint32_t sum = 8 * ' ';
    uint32_t high = 0;
    for (size_t word = 0; word < 8; word++) {
        uint64_t nonzero = 0;
        for (size_t bit = 0; bit < 64; bit++) {
            uint8_t byte = block[64 * word + bit];
            sum += byte;
            high += byte >> 7;
            nonzero |= (uint64_t)(byte != 0) << bit;
        }
        numbers->nonzero[word] = nonzero;
    }
    for (size_t i = 0; i < 8; i++) {
        sum -= block[148 + i];
        high -= block[148 + i] >> 7;
    }
    numbers->sum = sum;
    /* As a signed number a byte with its high bit set counts 256 less. */
    numbers->signed_sum = (int32_t)sum - 256 * (int32_t)high;
    for (int field = 0; field < VARVE_HEADER_FIELD_COUNT; field++) {
        numbers->value[field] = varve_header_field(
            &numbers->style[field], block + varve_header_at[field], varve_header_bytes[field]);
    }
}

void varve_header_read_scalar(struct varve_header_numbers *numbers, const uint8_t *blocks,
                              size_t count) {
    for (size_t i = 0; i < count; i++) {
        read_block(&numbers[i], blocks + 512 * i);
    }
}

void varve_header_read_gnu_scalar(struct varve_header_gnu_numbers *numbers, const uint8_t *blocks,
                                  size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (int field = 0; field < VARVE_HEADER_GNU_COUNT; field++) {
            numbers[i].value[field] = varve_header_field(
                &numbers[i].style[field], blocks + 512 * i + varve_header_gnu_at[field], 12);
        }
    }
}

void varve_header_write_scalar(uint8_t *records, const struct varve_header_values *values,
                               size_t count) {
    for (size_t i = 0; i < count; i++) {
        varve_header_write_one(records + VARVE_HEADER_FIXED_BYTES * i, &values[i]);
    }
}

size_t varve_header_zeros_scalar(const uint8_t *bytes, size_t count) {
    size_t i = 0;
    while (i + 8 <= count) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        if (word) {
            break;
        }
        i += 8;
    }
    while (i < count && bytes[i] == 0) {
        i++;
    }
    return i;
}
