/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/upper_halves.c - VZEROUPPER, for those who must not use it themselves. */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

void varve_upper_halves_clean(void) {
    _mm256_zeroupper();
}
#endif
