/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/safe.c - bytes from strangers, for people's eyes. */
#include "safe.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A character of two to four bytes in its one right form; 0: it is none. */
static size_t read_utf8(uint32_t *character, const uint8_t *bytes, size_t count) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
    if (bytes[0] < 0xc0 || bytes[0] >= 0xf8 || count < length) {
        return 0;
    }
    *character = bytes[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
        *character = *character << 6 | (bytes[i] & 0x3f);
    }
    bool surrogate = *character >= 0xd800 && *character < 0xe000;
    return *character < least[length] || *character > 0x10ffff || surrogate ? 0 : length;
}

static bool steers(uint32_t character) {
    return character < 0xa0 || character == 0x61c || character == 0x200e || character == 0x200f ||
           (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

size_t safe_length(const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    uint32_t character = 0;
    if (*at < 0x80) {
        return *at >= 0x20 && *at != 0x7f;
    }
    size_t length = read_utf8(&character, at, count);
    return length && !steers(character) ? length : 0;
}

void safe_write(FILE *out, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    while (count > 0) {
        size_t length = safe_length(at, count);
        if (length) {
            fwrite(at, 1, length, out);
        } else {
            fprintf(out, "\\x%02x", *at);
            length = 1;
        }
        at += length;
        count -= length;
    }
}

char *safe_copy(const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    char *copy = malloc(4 * count + 1);
    char *to = copy;
    while (copy && count > 0) {
        size_t length = safe_length(at, count);
        if (length) {
            memcpy(to, at, length);
            to += length;
        } else {
            to += sprintf(to, "\\x%02x", *at);
            length = 1;
        }
        at += length;
        count -= length;
    }
    if (copy) {
        *to = 0;
    }
    return copy;
}

void put_safe(const void *bytes, size_t count) {
    safe_write(stdout, bytes, count);
}

void put_safe_text(const char *text) {
    put_safe(text, strlen(text));
}
