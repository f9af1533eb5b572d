/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/inflate_scalar.c - the reference: careful steps and nothing else. */
#include "inflate_text.h"

varve_inflate_run_fn varve_inflate_scalar;

void varve_inflate_scalar(struct varve_inflate_stream *const *streams, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct varve_inflate_stream *s = streams[i];
        enum step why = STEP_ON;
        enter(s);
        while (why == STEP_ON) {
            why = step(s);
        }
        settle(s, why);
    }
}
