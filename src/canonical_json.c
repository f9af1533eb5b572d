/* SPDX-License-Identifier: Apache-2.0 */
/* src/canonical_json.c - JSON in the one form of RFC 8785.
 *
 * Nesting costs heap, not stack. Numbers are IEEE 754 doubles, as the RFC demands: integers beyond
 * 2^53 are rounded, unless they shall stay exact. */
#include "canonical_json.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A container that is being written. */
struct frame {
    const json_t *container;
    const char **keys; /* objects: sorted */
    size_t count, at;
};

struct writer {
    bool (*put)(void *cookie, const void *data, size_t bytes);
    void *cookie;
    bool exact;
    struct frame *frames;
    size_t depth, room;
};

void varve_canonical_number(char text[32], double value) {
    char digits[40];
    char *end = text;
    int precision = 0;
    if (value < 0) {
        *end++ = '-';
        value = -value;
    }
    /* The fewest digits that give the number back. */
    do {
        snprintf(digits, sizeof digits, "%.*e", precision++, value);
    } while (strtod(digits, NULL) != value);
    int point = (int)strtol(strchr(digits, 'e') + 1, NULL, 10) + 1;
    int count = 0;
    for (const char *p = digits; *p != 'e'; p++) {
        if (isdigit((unsigned char)*p)) { /* not the decimal point, whatever it is here */
            digits[count++] = *p;
        }
    }
    if (value == 0) {
        snprintf(text, 32, "0");
    } else if (point >= count && point <= 21) {
        sprintf(end, "%.*s%.*s", count, digits, point - count, "000000000000000000000");
    } else if (point > 0 && point <= 21) {
        sprintf(end, "%.*s.%.*s", point, digits, count - point, digits + point);
    } else if (point > -6 && point <= 0) {
        sprintf(end, "0.%.*s%.*s", -point, "00000", count, digits);
    } else {
        sprintf(end, "%.1s%s%.*se%+d", digits, count > 1 ? "." : "", count - 1, digits + 1,
                point - 1);
    }
}

static bool put_text(const struct writer *writer, const char *text) {
    return writer->put(writer->cookie, text, strlen(text));
}

static bool put_string(const struct writer *writer, const char *text, size_t bytes) {
    static const char shorts[] = "btn?fr"; /* from 8 on; 11 has none */
    bool good = put_text(writer, "\"");
    while (good && bytes > 0) {
        size_t plain = 0;
        while (plain < bytes && (uint8_t)text[plain] >= 0x20 && text[plain] != '"' &&
               text[plain] != '\\') {
            plain++;
        }
        good = writer->put(writer->cookie, text, plain);
        text += plain;
        bytes -= plain;
        if (good && bytes > 0) {
            char escape[8];
            unsigned c = (uint8_t)*text++;
            bytes--;
            if (c >= 0x20) {
                snprintf(escape, sizeof escape, "\\%c", c);
            } else if (c >= 8 && c <= 13 && c != 11) {
                snprintf(escape, sizeof escape, "\\%c", shorts[c - 8]);
            } else {
                snprintf(escape, sizeof escape, "\\u%04x", c);
            }
            good = put_text(writer, escape);
        }
    }
    return good && put_text(writer, "\"");
}

/* By UTF-16 code units (RFC 8785, 3.2.3): as UTF-8 bytes, but that characters beyond U+FFFF, whose
 * units are surrogates, come before U+E000. */
static int compare_keys(const void *a, const void *b) {
    const uint8_t *x = *(const uint8_t *const *)a;
    const uint8_t *y = *(const uint8_t *const *)b;
    while (*x && *x == *y) {
        x++;
        y++;
    }
    bool apart = *x >= 0xee && *y >= 0xee && (*x >= 0xf0) != (*y >= 0xf0);
    return apart ? (*x >= 0xf0 ? -1 : 1) : (*x > *y) - (*x < *y);
}

/* Begins an object or array. */
static bool enter(struct writer *writer, const json_t *container) {
    if (writer->depth == writer->room) {
        size_t room = writer->room ? 2 * writer->room : 16;
        struct frame *frames = realloc(writer->frames, room * sizeof *frames);
        if (!frames) {
            return false;
        }
        writer->frames = frames;
        writer->room = room;
    }
    struct frame frame = {.container = container};
    if (json_is_object(container)) {
        frame.count = json_object_size(container);
        frame.keys = calloc(frame.count + 1, sizeof *frame.keys);
        if (!frame.keys) {
            return false;
        }
        size_t i = 0;
        const char *key = NULL;
        json_t *value = NULL;
        json_object_foreach((json_t *)container, key, value) {
            frame.keys[i++] = key;
        }
        qsort(frame.keys, frame.count, sizeof *frame.keys, compare_keys);
    } else {
        frame.count = json_array_size(container);
    }
    writer->frames[writer->depth++] = frame;
    return put_text(writer, frame.keys ? "{" : "[");
}

static bool put_value(struct writer *writer, const json_t *value) {
    char text[32];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return enter(writer, value);
    case JSON_STRING:
        return put_string(writer, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        if (writer->exact) {
            snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
            return put_text(writer, text);
        }
        varve_canonical_number(text, json_number_value(value));
        return put_text(writer, text);
    case JSON_REAL:
        varve_canonical_number(text, json_number_value(value));
        return put_text(writer, text);
    case JSON_TRUE:
        return put_text(writer, "true");
    case JSON_FALSE:
        return put_text(writer, "false");
    default:
        return put_text(writer, "null");
    }
}

/* The next member of the innermost container, or its end. */
static bool step(struct writer *writer) {
    struct frame *frame = &writer->frames[writer->depth - 1];
    if (frame->at == frame->count) {
        bool object = frame->keys != NULL;
        free(frame->keys);
        writer->depth--;
        return put_text(writer, object ? "}" : "]");
    }
    size_t at = frame->at++;
    const json_t *container = frame->container;
    if (at > 0 && !put_text(writer, ",")) {
        return false;
    }
    if (!frame->keys) {
        return put_value(writer, json_array_get(container, at));
    }
    const char *key = frame->keys[at];
    return put_string(writer, key, strlen(key)) && put_text(writer, ":") &&
           put_value(writer, json_object_get(container, key));
}

static bool write_all(struct writer *writer, const json_t *value) {
    bool good = put_value(writer, value);
    while (good && writer->depth > 0) {
        good = step(writer);
    }
    while (writer->depth > 0) {
        free(writer->frames[--writer->depth].keys);
    }
    free(writer->frames);
    return good;
}

bool varve_canonical_json(const struct json_t *value,
                          bool (*put)(void *cookie, const void *data, size_t bytes), void *cookie) {
    struct writer writer = {.put = put, .cookie = cookie};
    return write_all(&writer, value);
}

bool varve_canonical_json_exact(const struct json_t *value,
                                bool (*put)(void *cookie, const void *data, size_t bytes),
                                void *cookie) {
    struct writer writer = {.put = put, .cookie = cookie, .exact = true};
    return write_all(&writer, value);
}
