/* SPDX-License-Identifier: Apache-2.0 */
/* src/json_load.h - JSON that was made by strangers, told apart from JSON that there was no memory
 * for. jansson (2.14) says "invalid token" for both, or drops what it had no memory for and gives
 * the rest, or reads beyond its buffer. */
#ifndef VARVE_JSON_LOAD_H
#define VARVE_JSON_LOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* json_loadb(). NULL with *no_memory true: the document was not judged; NULL with false: it is
 * none. `error` may be NULL. Any thread.
 *
 * The first call puts a layer of its own around jansson's allocation functions, which are the whole
 * process's: whatever was set there before goes on allocating. Set others before, or never. */
json_t *varve_json_parse(const void *data, size_t bytes, size_t flags, json_error_t *error,
                         bool *no_memory);

#endif
