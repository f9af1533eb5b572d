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

static int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
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
        const char *digits = text + PREFIX_BYTES;
        for (size_t j = 0; j < count; j++) {
            int high = hex_value(digits[2 * j]);
            int low = hex_value(digits[2 * j + 1]);
            if (high < 0 || low < 0) {
                return false;
            }
            name->bytes[j] = (uint8_t)(high << 4 | low);
        }
        return true;
    }
    return false;
}

void varve_hex(char *text, const uint8_t *bytes, size_t count) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * count] = 0;
}

void varve_digest_name_text(char text[VARVE_DIGEST_TEXT_BYTES],
                            const struct varve_digest_name *name) {
    memcpy(text, algorithms[name->algorithm].prefix, PREFIX_BYTES);
    varve_hex(text + PREFIX_BYTES, name->bytes, name->count);
}

bool varve_digest_name_holds(const struct varve_digest_name *name, const void *data,
                             size_t data_bytes) {
    uint8_t found[EVP_MAX_MD_SIZE];
    unsigned count = 0;
    const EVP_MD *md = name->algorithm == VARVE_ALGORITHM_SHA512 ? EVP_sha512() : EVP_sha256();
    return EVP_Digest(data, data_bytes, found, &count, md, NULL) == 1 && count == name->count &&
           memcmp(found, name->bytes, count) == 0;
}

bool varve_digest_name_of(struct varve_digest_name *name, const void *data, size_t data_bytes) {
    unsigned count = 0;
    name->algorithm = VARVE_ALGORITHM_SHA256;
    name->count = algorithms[VARVE_ALGORITHM_SHA256].count;
    return EVP_Digest(data, data_bytes, name->bytes, &count, EVP_sha256(), NULL) == 1;
}
