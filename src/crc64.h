/* SPDX-License-Identifier: Apache-2.0 */
/* src/crc64.h - CRC-64 with ISO 3309's polynomial, x^64 + x^4 + x^3 + x + 1, bits reflected, all
 * ones before and inverted after: what tar-split keeps of a file's content. */
#ifndef VARVE_CRC64_H
#define VARVE_CRC64_H

#include <stddef.h>
#include <stdint.h>

/* table[k][b]: byte b, then k zero bytes. */
struct varve_crc64 {
    uint64_t table[8][256];
};

void varve_crc64_init(struct varve_crc64 *crc64);

/* The CRC of more bytes; begin with 0. */
uint64_t varve_crc64_update(const struct varve_crc64 *crc64, uint64_t crc, const void *data,
                            size_t bytes);

/* As it is written down: the highest byte first. */
void varve_crc64_bytes(uint8_t bytes[8], uint64_t crc);

#endif
