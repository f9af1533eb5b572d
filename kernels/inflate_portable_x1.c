/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/inflate_portable_x1.c - one stream after the other, where there is no AVX2. */
#define LANES_MOST 1
#include "inflate_template.h"

varve_inflate_run_fn varve_inflate_portable_x1;

void varve_inflate_portable_x1(struct varve_inflate_stream *const *streams, size_t count) {
    run_lanes(streams, count);
}
