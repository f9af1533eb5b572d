/* SPDX-License-Identifier: Apache-2.0 */
/* src/digest_name.h - OCI digests as text (image-spec descriptor.md, "Digests"). */
#ifndef VARVE_DIGEST_NAME_H
#define VARVE_DIGEST_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum varve_algorithm { VARVE_ALGORITHM_SHA256, VARVE_ALGORITHM_SHA512 };

struct varve_digest_name {
    enum varve_algorithm algorithm;
    size_t count; /* 32 or 64 */
    uint8_t bytes[64];
};

/* "sha512:" + 128 hex digits + NUL. */
#define VARVE_DIGEST_TEXT_BYTES 136

/* Reads exactly "sha256:" and 64 or "sha512:" and 128 lower-case hex digits. False for all else, so
 * that no digest that passed can name a path outside its folder. */
bool varve_digest_name_parse(struct varve_digest_name *name, const char *text, size_t text_bytes);

void varve_digest_name_text(char text[VARVE_DIGEST_TEXT_BYTES],
                            const struct varve_digest_name *name);

/* `count` bytes as 2 * count hex digits and a NUL. */
void varve_hex(char *text, const uint8_t *bytes, size_t count);

/* Whether `data` has the digest `name`. By libcrypto; for documents, not for layers. Where there is
 * no memory to tell, it does not hold and *no_memory is set. */
bool varve_digest_name_holds(bool *no_memory, const struct varve_digest_name *name,
                             const void *data, size_t data_bytes);

/* The sha256 digest of `data`. False: no memory. */
bool varve_digest_name_of(struct varve_digest_name *name, const void *data, size_t data_bytes);

#endif
