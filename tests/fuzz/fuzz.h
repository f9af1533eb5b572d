/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz.h - what fuzz targets share. */
#ifndef VARVE_FUZZ_H
#define VARVE_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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

#endif
