/* SPDX-License-Identifier: Apache-2.0 */
/* src/canonical_json.h - JSON in the one form of RFC 8785 (JSON Canonicalization Scheme). */
#ifndef VARVE_CANONICAL_JSON_H
#define VARVE_CANONICAL_JSON_H

#include "varve/base.h"

struct json_t;

/* Writes a value as canonical bytes, a piece at a time. False: no memory, or `put` said so. */
bool varve_canonical_json(const struct json_t *value,
                          bool (*put)(void *cookie, const void *data, size_t bytes), void *cookie);

/* The same for writing documents: integers beyond 2^53, which the RFC rounds, are written as they
 * are. */
bool varve_canonical_json_exact(const struct json_t *value,
                                bool (*put)(void *cookie, const void *data, size_t bytes),
                                void *cookie);

/* A number as ECMAScript writes it (RFC 8785, 3.2.2.3); room for 32 bytes is enough. Finite. */
void varve_canonical_number(char text[32], double value);

#endif
