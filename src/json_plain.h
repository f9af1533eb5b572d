/* SPDX-License-Identifier: Apache-2.0 */
/* src/json_plain.h - JSON (RFC 8259) as programs write nearly all of it, read quickly.
 *
 * Plain is a document of objects and arrays not nested deeply, strings of ASCII without a
 * backslash, integers from 0 to 18 digits, true, false and null, in which no key is given twice.
 * What is plain is what json_loadb() would make of it too, value for value and in the same order;
 * of anything else, well-formed or not, nothing is said here, and jansson is to be asked. */
#ifndef VARVE_JSON_PLAIN_H
#define VARVE_JSON_PLAIN_H

#include <jansson.h>
#include <stddef.h>

/* The caller's to free (json_decref). NULL: not plain, or no memory. Any thread. */
json_t *varve_json_plain(const void *data, size_t bytes);

#endif
