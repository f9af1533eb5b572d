/* SPDX-License-Identifier: Apache-2.0 */
/* tests/deflate.h - streams that zlib makes, for tests that read them. */
#ifndef VARVE_TESTS_DEFLATE_H
#define VARVE_TESTS_DEFLATE_H

#include <stdlib.h>
#include <zlib.h>

/* `window_bits` as for deflateInit2: -15 raw, 31 gzip. How long the stream is; what does not fit
 * ends the test. */
static inline size_t test_deflate(uint8_t *to, size_t room, const uint8_t *content, size_t bytes,
                                  int level, int strategy, int window_bits) {
    z_stream z = {0};
    union {
        const uint8_t *given;
        uint8_t *taken; /* zlib's own, which it does not write to */
    } in = {.given = content};
    if (deflateInit2(&z, level, Z_DEFLATED, window_bits, 9, strategy) != Z_OK) {
        abort();
    }
    z.next_in = in.taken;
    z.avail_in = (uInt)bytes;
    z.next_out = to;
    z.avail_out = (uInt)room;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) {
        abort();
    }
    size_t made = z.total_out;
    deflateEnd(&z);
    return made;
}

#endif
