/* SPDX-License-Identifier: Apache-2.0 */
/* src/sha256_isal_crypto.c - the second engine: isa-l_crypto's multi-buffer manager, where built
 * in.
 */
#include "sha256_internal.h"

#if !defined(VARVE_HAVE_ISAL_CRYPTO)

bool varve_sha256_isal_built(void) {
    return false;
}

bool varve_sha256_isal_open(struct varve_sha256 *ctx) {
    (void)ctx;
    return false;
}

void varve_sha256_isal_close(struct isal_engine *isal) {
    (void)isal;
}

void varve_sha256_isal_run(struct varve_sha256 *ctx) {
    (void)ctx;
}

#endif
