/* SPDX-License-Identifier: Apache-2.0 */
/* src/digest_name.c - OCI digests as text. */
#include "digest_name.h"

#include <openssl/evp.h>
#include <string.h>

static const struct {
    const char *prefix;
    size_t count;
} algorithms[] = {
    [VARVE_ALGORITHM_SHA256] = {"sha256:", 32},
    [VARVE_ALGORITHM_SHA512] = {"sha512:", 64},
};

#define PREFIX_BYTES 7

/* What a lower-case hex digit stands for, with bit 7 set; anything else: 0. */
static const uint8_t hex_values[256] = {
    ['0'] = 0x80, ['1'] = 0x81, ['2'] = 0x82, ['3'] = 0x83, ['4'] = 0x84, ['5'] = 0x85,
    ['6'] = 0x86, ['7'] = 0x87, ['8'] = 0x88, ['9'] = 0x89, ['a'] = 0x8a, ['b'] = 0x8b,
    ['c'] = 0x8c, ['d'] = 0x8d, ['e'] = 0x8e, ['f'] = 0x8f,
};

/* False where something is no digit. */
static bool read_hex(uint8_t *bytes, const char *digits, size_t count) {
    uint8_t all = 0x80;
    for (size_t i = 0; i < count; i++) {
        uint8_t high = hex_values[(uint8_t)digits[2 * i]];
        uint8_t low = hex_values[(uint8_t)digits[2 * i + 1]];
        all &= high & low;
        bytes[i] = (uint8_t)(high << 4 | (low & 15));
    }
    return all;
}

bool varve_digest_name_parse(struct varve_digest_name *name, const char *text, size_t text_bytes) {
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        size_t count = algorithms[i].count;
        if (text_bytes != PREFIX_BYTES + 2 * count ||
            memcmp(text, algorithms[i].prefix, PREFIX_BYTES) != 0) {
            continue;
        }
        name->algorithm = (enum varve_algorithm)i;
        name->count = count;
        return read_hex(name->bytes, text + PREFIX_BYTES, count);
    }
    return false;
}

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Eight digits at once, one in each byte of a word: four bytes are spread, parted into nibbles, and
 * those above 9, which six more carry into bit 4, made letters. */
static uint64_t hex_of(const uint8_t bytes[4]) {
    uint64_t x = (uint64_t)bytes[0] << 8 | (uint64_t)bytes[1] << 24 | (uint64_t)bytes[2] << 40 |
                 (uint64_t)bytes[3] << 56;
    x = (x >> 12 & UINT64_C(0x000f000f000f000f)) | (x & UINT64_C(0x0f000f000f000f00));
    uint64_t letters = ((x + EACH_BYTE(6)) >> 4) & EACH_BYTE(1);
    return x + EACH_BYTE('0') + letters * ('a' - '0' - 10);
}

void varve_hex(char *text, const uint8_t *bytes, size_t count) {
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        uint64_t digits = hex_of(bytes + i);
        for (size_t k = 0; k < 8; k++) {
            text[2 * i + k] = (char)(digits >> 8 * k);
        }
    }
    for (; i < count; i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    text[2 * count] = 0;
}

void varve_digest_name_text(char text[VARVE_DIGEST_TEXT_BYTES],
                            const struct varve_digest_name *name) {
    memcpy(text, algorithms[name->algorithm].prefix, PREFIX_BYTES);
    varve_hex(text + PREFIX_BYTES, name->bytes, name->count);
}

bool varve_digest_name_holds(bool *no_memory, const struct varve_digest_name *name,
                             const void *data, size_t data_bytes) {
    uint8_t found[EVP_MAX_MD_SIZE];
    unsigned count = 0;
    const EVP_MD *md = name->algorithm == VARVE_ALGORITHM_SHA512 ? EVP_sha512() : EVP_sha256();
    if (EVP_Digest(data, data_bytes, found, &count, md, NULL) != 1) {
        *no_memory = true;
        return false;
    }
    return count == name->count && memcmp(found, name->bytes, count) == 0;
}

bool varve_digest_name_of(struct varve_digest_name *name, const void *data, size_t data_bytes) {
    unsigned count = 0;
    name->algorithm = VARVE_ALGORITHM_SHA256;
    name->count = algorithms[VARVE_ALGORITHM_SHA256].count;
    return EVP_Digest(data, data_bytes, name->bytes, &count, EVP_sha256(), NULL) == 1;
}
