/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/safe.h - bytes from strangers, for people's eyes.
 *
 * Names, tags and paths come from whoever made the images. What could steer a terminal or turn a
 * line around is written as \xHH, byte by byte: control characters (C0 and DEL; C1, U+0080 to
 * U+009F, which are escape sequences of one character), the controls of the bidirectional algorithm
 * (UAX #9: U+061C, U+200E and U+200F, U+202A to U+202E, U+2066 to U+2069), the separators U+2028
 * and U+2029, and bytes that are not UTF-8 (RFC 3629). All else passes as it is; a backslash, too:
 * this is to be read, not to be read back (--json is). */
#ifndef VARVE_CLI_SAFE_H
#define VARVE_CLI_SAFE_H

#include <stddef.h>
#include <stdio.h>

/* How many of the `count` > 0 bytes make one character that may be shown; 0: the first byte is to
 * be escaped. */
size_t safe_length(const void *bytes, size_t count);

void safe_write(FILE *out, const void *bytes, size_t count);

/* The same as text, the caller's to free. NULL: no memory. */
char *safe_copy(const void *bytes, size_t count);

/* To standard output. */
void put_safe(const void *bytes, size_t count);
void put_safe_text(const char *text);

#endif
