/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz.h - what fuzz targets share. */
#ifndef VARVE_FUZZ_H
#define VARVE_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The target: never returns anything but 0; what must not be ends in abort(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* An assertion that release builds keep. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Puts the checksums of all blocks right that bear a ustar magic: what is changed in a header then
 * reaches what lies behind that check. */
static inline void fuzz_mend_checksums(uint8_t *data, size_t bytes) {
    for (size_t at = 0; at + 512 <= bytes; at += 512) {
        uint8_t *block = data + at;
        if (memcmp(block + 257, "ustar", 5) != 0) {
            continue;
        }
        unsigned sum = 0;
        memset(block + 148, ' ', 8);
        for (size_t i = 0; i < 512; i++) {
            sum += block[i];
        }
        char text[8];
        snprintf(text, sizeof text, "%06o", sum);
        memcpy(block + 148, text, 7);
    }
}

#endif
