/* SPDX-License-Identifier: Apache-2.0 */
/* src/crc64.c - CRC-64, eight bytes a step: "slicing" as Kounavis and Berry describe it (2008). */
#include "crc64.h"

void varve_crc64_init(struct varve_crc64 *crc64) {
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? UINT64_C(0xd800000000000000) : 0);
        }
        crc64->table[0][byte] = crc;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t crc = crc64->table[0][byte];
        for (int zeros = 1; zeros < 8; zeros++) {
            crc = crc >> 8 ^ crc64->table[0][crc & 0xff];
            crc64->table[zeros][byte] = crc;
        }
    }
}

static uint64_t load(const uint8_t *data) {
    uint64_t word = 0;
    for (int i = 7; i >= 0; i--) {
        word = word << 8 | data[i];
    }
    return word;
}

uint64_t varve_crc64_update(const struct varve_crc64 *crc64, uint64_t crc, const void *data,
                            size_t bytes) {
    const uint8_t *at = data;
    crc = ~crc;
    for (; bytes >= 8; at += 8, bytes -= 8) {
        uint64_t word = crc ^ load(at);
        crc = 0;
        for (int i = 0; i < 8; i++) {
            crc ^= crc64->table[7 - i][word >> (8 * i) & 0xff];
        }
    }
    for (; bytes > 0; at++, bytes--) {
        crc = crc >> 8 ^ crc64->table[0][(crc ^ *at) & 0xff];
    }
    return ~crc;
}

void varve_crc64_bytes(uint8_t bytes[8], uint64_t crc) {
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(crc >> (56 - 8 * i));
    }
}
