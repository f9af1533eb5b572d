/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/inflate_avx2_x4.c - four streams side by side, fewer where there are fewer. */
#define LANES_MOST 4
#include "inflate_template.h"

varve_inflate_run_fn varve_inflate_avx2_x4;

void varve_inflate_avx2_x4(struct varve_inflate_stream *const *streams, size_t count) {
    run_lanes(streams, count);
}
