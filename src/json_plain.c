/* SPDX-License-Identifier: Apache-2.0 */
/* src/json_plain.c - a reader of plain JSON only, which knows no errors. */
#include "json_plain.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* An index within a list within an index is 3; a config with its history and labels 4. */
#define DEEPEST 16

/* So many digits are no more than 2^63 - 1, whatever they are. */
#define DIGITS 18

struct reader {
    const uint8_t *at, *end;
};

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Whether a byte stands for itself in a string. */
static bool is_plain(uint8_t byte) {
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* Whether eight bytes do: bit 7 of a byte is set where it is no ASCII, of a difference where it is
 * too small, or 0 after the XOR with what is looked for. Borrows from a byte that is not plain can
 * only make others look so too. */
static bool all_plain(const uint8_t *p) {
    uint64_t word = 0;
    memcpy(&word, p, sizeof word);
    uint64_t odd = word | (word - EACH_BYTE(0x20)) | ((word ^ EACH_BYTE('"')) - EACH_BYTE(1)) |
                   ((word ^ EACH_BYTE('\\')) - EACH_BYTE(1));
    return (odd & EACH_BYTE(0x80)) == 0;
}

/* The next byte that is no white space, passed by. 0: none, or a NUL, which nobody expects. */
static uint8_t next_token(struct reader *reader) {
    while (reader->at < reader->end) {
        uint8_t byte = *reader->at++;
        if (byte != ' ' && byte != '\n' && byte != '\r' && byte != '\t') {
            return byte;
        }
    }
    return 0;
}

/* What is between the quote that was passed by and the next one, which is passed by. NULL: not
 * plain. */
static const char *read_text(size_t *count, struct reader *reader) {
    const uint8_t *from = reader->at;
    const uint8_t *p = from;
    while (reader->end - p >= 8 && all_plain(p)) {
        p += 8;
    }
    while (p < reader->end && is_plain(*p)) {
        p++;
    }
    if (p == reader->end || *p != '"') {
        return NULL;
    }
    reader->at = p + 1;
    *count = (size_t)(p - from);
    return (const char *)from;
}

/* Its first digit was passed by. What follows it (a point, an exponent, a digit too many) is looked
 * at by who wants a comma there. */
static json_t *read_integer(struct reader *reader, uint8_t first) {
    json_int_t value = first - '0';
    for (int i = 1; i < DIGITS && value > 0 && reader->at < reader->end; i++) {
        uint8_t byte = *reader->at;
        if (byte < '0' || byte > '9') {
            break;
        }
        value = 10 * value + (byte - '0');
        reader->at++;
    }
    return json_integer(value);
}

/* The rest of a word whose first letter was passed by; `value` is a constant. */
static json_t *read_word(struct reader *reader, const char *rest, json_t *value) {
    size_t count = strlen(rest);
    if ((size_t)(reader->end - reader->at) < count || memcmp(reader->at, rest, count) != 0) {
        return NULL;
    }
    reader->at += count;
    return value;
}

/* NOLINTBEGIN(misc-no-recursion): no deeper than DEEPEST */
static json_t *read_value(struct reader *reader, uint8_t token, int depth);

/* Elements up to the bracket. False: not plain. */
static bool read_array(json_t *array, struct reader *reader, int depth) {
    uint8_t token = next_token(reader);
    if (token == ']') {
        return true;
    }
    while (json_array_append_new(array, read_value(reader, token, depth)) == 0) {
        uint8_t after = next_token(reader);
        if (after != ',') {
            return after == ']';
        }
        token = next_token(reader);
    }
    return false;
}

/* Members up to the brace. False: not plain. */
static bool read_object(json_t *object, struct reader *reader, int depth) {
    uint8_t token = next_token(reader);
    if (token == '}') {
        return true;
    }
    for (size_t members = 1; token == '"'; members++) {
        size_t count = 0;
        const char *key = read_text(&count, reader);
        if (!key || next_token(reader) != ':' ||
            json_object_setn_new_nocheck(object, key, count,
                                         read_value(reader, next_token(reader), depth)) != 0 ||
            json_object_size(object) != members) {
            return false; /* the last: it was there before */
        }
        uint8_t after = next_token(reader);
        if (after != ',') {
            return after == '}';
        }
        token = next_token(reader);
    }
    return false;
}

static json_t *read_container(struct reader *reader, uint8_t token, int depth) {
    json_t *container = token == '{' ? json_object() : json_array();
    if (container &&
        (depth == DEEPEST || !(token == '{' ? read_object(container, reader, depth + 1)
                                            : read_array(container, reader, depth + 1)))) {
        json_decref(container);
        container = NULL;
    }
    return container;
}

/* The value that begins with a token, which was passed by. NULL: not plain. */
static json_t *read_value(struct reader *reader, uint8_t token, int depth) {
    size_t count = 0;
    const char *text = NULL;
    switch (token) {
    case '{':
    case '[':
        return read_container(reader, token, depth);
    case '"':
        text = read_text(&count, reader);
        return text ? json_stringn_nocheck(text, count) : NULL;
    case 't':
        return read_word(reader, "rue", json_true());
    case 'f':
        return read_word(reader, "alse", json_false());
    case 'n':
        return read_word(reader, "ull", json_null());
    default:
        return token >= '0' && token <= '9' ? read_integer(reader, token) : NULL;
    }
}
/* NOLINTEND(misc-no-recursion) */

json_t *varve_json_plain(const void *data, size_t bytes) {
    struct reader reader = {data, (const uint8_t *)data + bytes};
    uint8_t token = next_token(&reader);
    json_t *root = token == '{' || token == '[' ? read_container(&reader, token, 0) : NULL;
    if (root && (next_token(&reader) != 0 || reader.at[-1] == 0)) { /* something follows */
        json_decref(root);
        root = NULL;
    }
    return root;
}
