/* SPDX-License-Identifier: Apache-2.0 */
/* src/image_ladder.h - the ladder of a whole image (docs/image-ladder.md). */
#ifndef VARVE_IMAGE_LADDER_H
#define VARVE_IMAGE_LADDER_H

#include "varve/catalog.h"
#include "varve/ladder.h"

struct json_t;

/* Digests a config that was read as JSON, and takes from it what the digests leave out. False: no
 * memory. */
bool varve_config_digest(struct varve_config_digests *digests, struct json_t *config);

/* What rungs are hashed with, one after the other: to make it takes longer than most rungs. NULL:
 * no memory. Freed with EVP_MD_CTX_free. */
struct evp_md_ctx_st *varve_image_hasher(void);

/* One rung of an image: `layers` are the same rung of its layers, one after the other. False: no
 * memory. */
bool varve_image_rung(uint8_t digest[VARVE_SHA256_BYTES], struct evp_md_ctx_st *hasher,
                      enum varve_rung rung, const struct varve_config_digests *config,
                      const uint8_t *layers, size_t layer_count);

#endif
