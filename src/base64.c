/* SPDX-License-Identifier: Apache-2.0 */
/* src/base64.c - bytes as text. */
#include "base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void varve_base64_encode(char *text, const void *data, size_t bytes) {
    const uint8_t *at = data;
    for (; bytes >= 3; at += 3, bytes -= 3) {
        uint32_t word = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
        for (int shift = 18; shift >= 0; shift -= 6) {
            *text++ = digits[word >> shift & 63];
        }
    }
    if (bytes > 0) {
        uint32_t word = (uint32_t)at[0] << 16 | (bytes > 1 ? (uint32_t)at[1] << 8 : 0);
        text[0] = digits[word >> 18];
        text[1] = digits[word >> 12 & 63];
        text[2] = '=';
        text[3] = '=';
        if (bytes > 1) {
            text[2] = digits[word >> 6 & 63];
        }
    }
}

/* 0 .. 63, or -1. */
static int value_of(uint8_t c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

bool varve_base64_decode_digits(uint8_t *data, size_t *bytes) {
    size_t made = 0;
    uint32_t bits = 0;
    if (*bytes % 4 == 1) {
        return false;
    }
    for (size_t i = 0; i < *bytes; i++) {
        if (value_of(data[i]) < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < *bytes; i++) {
        bits = bits << 6 | (uint32_t)value_of(data[i]);
        if (i % 4) {
            data[made++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    *bytes = made;
    return true;
}

bool varve_base64_decode(uint8_t *data, size_t *bytes) {
    size_t count = *bytes;
    if (count % 4) {
        return false;
    }
    while (count > 0 && data[count - 1] == '=' && *bytes - count < 2) {
        count--;
    }
    if (!varve_base64_decode_digits(data, &count)) {
        return false;
    }
    *bytes = count;
    return true;
}
