/* SPDX-License-Identifier: Apache-2.0 */
/* src/json_strict.h - what readers of JSON take differently although it is well formed. */
#ifndef VARVE_JSON_STRICT_H
#define VARVE_JSON_STRICT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a reader that folds case takes `key` for `name` (ASCII): Go's encoding/json, which most
 * of the programs that read images are built on. Where no member bears a field's very name it takes
 * one whose name is the same by Unicode's simple case folding, and of several the last. To an ASCII
 * letter that folds its other case, to s also U+017F (long s), to k also U+212A (Kelvin sign); no
 * other character folds to ASCII. */
bool varve_json_folds(const char *key, const char *name);

/* Whether some key of `object` is none of `names` but folds to one of them. False for what is no
 * object. */
bool varve_json_has_variant(const json_t *object, const char *const *names, size_t name_count);

/* Whether some string or key of a well-formed JSON text holds a NUL, which JSON can only write as
 * an escape. */
bool varve_json_holds_nul(const uint8_t *text, size_t bytes);

#endif
