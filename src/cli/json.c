/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/json.c - writing JSON. */
#include "json.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the well-formed UTF-8 sequence at p (RFC 3629, 4), or 0. */
static size_t utf8_sequence(const uint8_t *p, size_t left) {
    if (p[0] < 0x80) {
        return 1;
    }
    size_t count = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
                   : p[0] >= 0xe0 && p[0] <= 0xef ? 3
                   : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                  : 0;
    if (count == 0 || count > left) {
        return 0;
    }
    for (size_t i = 1; i < count; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
    bool beyond = p[0] == 0xf4 && p[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : count;
}

bool utf8_valid(const void *bytes, size_t count) {
    const uint8_t *p = bytes;
    while (count > 0) {
        size_t n = utf8_sequence(p, count);
        if (n == 0) {
            return false;
        }
        p += n;
        count -= n;
    }
    return true;
}

static void flush(struct json *json) {
    fwrite(json->buffer, 1, json->used, json->out);
    json->used = 0;
}

static void put(struct json *json, const void *bytes, size_t count) {
    if (count > sizeof json->buffer - json->used) {
        flush(json);
    }
    if (count > sizeof json->buffer) {
        fwrite(bytes, 1, count, json->out);
        return;
    }
    memcpy(json->buffer + json->used, bytes, count);
    json->used += count;
}

static void put_char(struct json *json, char c) {
    if (json->used == sizeof json->buffer) {
        flush(json);
    }
    json->buffer[json->used++] = c;
}

/* Whether a byte stands for itself in a string. */
static bool is_plain(uint8_t byte) {
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Whether eight bytes all are plain: bit 7 of a byte's sum is set for 0x7f and above, of its
 * difference for what is less; a byte that equals one searched for is 0 after the XOR. False
 * alarms, by borrows from a byte that is not plain, do no harm. */
static bool all_plain(const uint8_t *p) {
    uint64_t word = 0;
    memcpy(&word, p, sizeof word);
    uint64_t quote = word ^ EACH_BYTE('"');
    uint64_t escape = word ^ EACH_BYTE('\\');
    uint64_t odd = word | (word + EACH_BYTE(1)) | (word - EACH_BYTE(0x20)) |
                   (quote - EACH_BYTE(1)) | (escape - EACH_BYTE(1));
    return (odd & EACH_BYTE(0x80)) == 0;
}

/* Strings that are tried as a whole first. */
#define SHORT_BYTES 1024

/* Puts a short string of plain bytes, as nearly all are, looking at each while it is copied. False,
 * nothing put, where it is not one. */
static bool put_plain(struct json *json, const uint8_t *p, size_t count) {
    if (count > SHORT_BYTES) {
        return false;
    }
    if (count + 2 > sizeof json->buffer - json->used) {
        flush(json);
    }
    char *to = json->buffer + json->used + 1;
    size_t i = 0;
    for (; count - i >= 8; i += 8) {
        if (!all_plain(p + i)) {
            return false;
        }
        memcpy(to + i, p + i, 8);
    }
    for (; i < count; i++) {
        if (!is_plain(p[i])) {
            return false;
        }
        to[i] = (char)p[i];
    }
    to[-1] = to[count] = '"';
    json->used += count + 2;
    return true;
}

/* Returns whether it was all UTF-8. */
static bool put_string(struct json *json, const uint8_t *p, size_t count) {
    bool valid = true;
    if (put_plain(json, p, count)) {
        return true;
    }
    put_char(json, '"');
    while (count > 0) {
        size_t n = 0;
        while (count - n >= 8 && all_plain(p + n)) {
            n += 8;
        }
        while (n < count && is_plain(p[n])) {
            n++;
        }
        if (n > 0) { /* NOLINT(bugprone-branch-clone): the order of the questions matters */
            put(json, p, n);
        } else if (*p == '"' || *p == '\\') {
            put(json, (const char[]){'\\', (char)*p}, 2);
            n = 1;
        } else if (*p < 0x20 || *p == 0x7f) {
            char text[8];
            int written = snprintf(text, sizeof text, "\\u%04x", *p);
            put(json, text, (size_t)written);
            n = 1;
        } else if ((n = utf8_sequence(p, count)) > 0) {
            put(json, p, n);
        } else {
            put(json, "\\ufffd", 6);
            valid = false;
            n = 1;
        }
        p += n;
        count -= n;
    }
    put_char(json, '"');
    return valid;
}

/* Keys are this program's own: a few plain letters. */
static void put_key(struct json *json, const char *key) {
    size_t count = key ? strlen(key) : 0;
    if (count + 4 > sizeof json->buffer - json->used) {
        flush(json);
    }
    char *to = json->buffer + json->used;
    if (json->comma) {
        *to++ = ',';
    }
    json->comma = true;
    if (key) {
        *to++ = '"';
        to = mempcpy(to, key, count);
        *to++ = '"';
        *to++ = ':';
    }
    json->used = (size_t)(to - json->buffer);
}

void json_line_begin(struct json *json, FILE *out) {
    json->out = out;
    json->comma = false;
    json->used = 0;
}

void json_open(struct json *json, const char *key, char bracket) {
    put_key(json, key);
    put_char(json, bracket);
    json->comma = false;
}

void json_close(struct json *json, char bracket) {
    put_char(json, bracket);
    json->comma = true;
}

void json_line_end(struct json *json) {
    put_char(json, '\n');
    json->comma = false;
    flush(json);
}

void json_bool(struct json *json, const char *key, bool value) {
    put_key(json, key);
    put(json, value ? "true" : "false", value ? 4 : 5);
}

static void put_digits(struct json *json, uint64_t value) {
    char digits[20];
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(json, digits + first, sizeof digits - first);
}

void json_unsigned(struct json *json, const char *key, uint64_t value) {
    put_key(json, key);
    put_digits(json, value);
}

void json_signed(struct json *json, const char *key, int64_t value) {
    put_key(json, key);
    if (value < 0) {
        put_char(json, '-');
    }
    put_digits(json, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json_real(struct json *json, const char *key, double value) {
    char text[64];
    put_key(json, key);
    int n = snprintf(text, sizeof text, "%.3f", value);
    put(json, text, (size_t)n);
}

void json_text(struct json *json, const char *key, const char *text) {
    json_bytes(json, key, text, strlen(text));
}

char *json_plain_begin(struct json *json, const char *key, size_t room) {
    put_key(json, key);
    if (room + 2 > sizeof json->buffer - json->used) {
        flush(json);
    }
    assert(room + 2 <= sizeof json->buffer);
    json->buffer[json->used++] = '"';
    return json->buffer + json->used;
}

void json_plain_end(struct json *json, const char *text) {
    size_t count = strlen(text);
    json->used += count;
    json->buffer[json->used++] = '"';
}

void json_plain(struct json *json, const char *key, const char *text) {
    size_t bytes = strlen(text) + 1;
    memcpy(json_plain_begin(json, key, bytes), text, bytes);
    json->used += bytes;
    json->buffer[json->used - 1] = '"';
}

void json_hex(struct json *json, const char *key, const uint8_t *bytes, size_t count) {
    char text[128];
    assert(2 * count <= sizeof text);
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    json_bytes(json, key, text, 2 * count);
}

static void put_base64(struct json *json, const uint8_t *p, size_t count) {
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    for (size_t i = 0; i < count; i += 3) {
        size_t n = count - i < 3 ? count - i : 3;
        uint32_t word = (uint32_t)p[i] << 16;
        word |= n > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        word |= n > 2 ? p[i + 2] : 0;
        for (size_t j = 0; j < 4; j++) {
            put_char(json, digits[j <= n ? word >> (18 - 6 * j) & 63 : 64]);
        }
    }
}

void json_bytes(struct json *json, const char *key, const void *bytes, size_t count) {
    put_key(json, key);
    bool valid = put_string(json, bytes, count);
    if (key && !valid) {
        put(json, ",\"", 2);
        put(json, key, strlen(key));
        put(json, "_b64\":\"", 7);
        put_base64(json, bytes, count);
        put_char(json, '"');
    }
}

void json_record_begin(struct json *json, FILE *out, const char *type) {
    json_line_begin(json, out);
    json_open(json, NULL, '{');
    json_unsigned(json, "v", 1);
    json_plain(json, "type", type);
}

void json_record_end(struct json *json) {
    json_close(json, '}');
    json_line_end(json);
}
