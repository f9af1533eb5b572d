/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/json.h - writing JSON (RFC 8259), a line at a time, to a stream.
 *
 * Some lines of our own because --entries writes millions of small objects: building a tree for
 * each would cost more than computing it. Reading JSON is jansson's. */
#ifndef VARVE_CLI_JSON_H
#define VARVE_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Begun by json_line_begin, or as {.out = stream}. What is written reaches the stream when the line
 * ends, or earlier where it is long: stdio takes a lock and looks at its buffer for every piece,
 * which for the line of a small layer took longer than to read and judge it. */
struct json {
    FILE *out;
    bool comma;  /* something stands before in this object or array */
    size_t used; /* of the buffer */
    char buffer[4096];
};

void json_line_begin(struct json *json, FILE *out);

/* `key` NULL: an element of an array, or the top. */
void json_open(struct json *json, const char *key, char bracket); /* '{' or '[' */
void json_close(struct json *json, char bracket);                 /* '}' or ']' */
void json_line_end(struct json *json);

/* A line that is one object: {"v":1,"type":... to its end. */
void json_record_begin(struct json *json, FILE *out, const char *type);
void json_record_end(struct json *json);
void json_bool(struct json *json, const char *key, bool value);
void json_unsigned(struct json *json, const char *key, uint64_t value);
void json_signed(struct json *json, const char *key, int64_t value);
void json_real(struct json *json, const char *key, double value); /* three decimals */
void json_text(struct json *json, const char *key, const char *text);

/* A text that stands for itself and is not looked at: printable ASCII without quotes and
 * backslashes, as this program's own words and digests are. Fifteen digests a layer are most of
 * its line. */
void json_plain(struct json *json, const char *key, const char *text);

/* The same, written in place: room for a text of `room` bytes (< 1 KiB), its NUL included. */
char *json_plain_begin(struct json *json, const char *key, size_t room);
void json_plain_end(struct json *json, const char *text); /* as begin returned it */

/* At most 64 bytes, as lower-case hex digits. */
void json_hex(struct json *json, const char *key, const uint8_t *bytes, size_t count);

/* Bytes that claim to be UTF-8. Where they are not, `key` holds them with U+FFFD in place of what
 * is wrong, and `key`_b64 the bytes themselves in base64 (RFC 4648). */
void json_bytes(struct json *json, const char *key, const void *bytes, size_t count);

/* Whether bytes are UTF-8 (RFC 3629). */
bool utf8_valid(const void *bytes, size_t count);

#endif
