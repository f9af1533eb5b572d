/* SPDX-License-Identifier: Apache-2.0 */
/* src/base64.h - RFC 4648, section 4, with padding. */
#ifndef VARVE_BASE64_H
#define VARVE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many characters so many bytes make. */
#define VARVE_BASE64_BYTES(bytes) (((bytes) + 2) / 3 * 4)

/* Writes VARVE_BASE64_BYTES(bytes) characters, no NUL behind them. */
void varve_base64_encode(char *text, const void *data, size_t bytes);

/* In place; *bytes is the text's length, then the data's. False: it is no base64, and is as it was.
 */
bool varve_base64_decode(uint8_t *data, size_t *bytes);

/* The same of a text whose padding was taken off. */
bool varve_base64_decode_digits(uint8_t *data, size_t *bytes);

#endif
