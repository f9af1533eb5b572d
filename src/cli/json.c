/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/json.c - writing JSON. */
#include "json.h"

#include <inttypes.h>
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

static void put_string(FILE *out, const uint8_t *p, size_t count) {
    putc('"', out);
    while (count > 0) {
        size_t n = utf8_sequence(p, count);
        if (n == 0) {
            fputs("\\ufffd", out);
            n = 1;
        } else if (*p == '"' || *p == '\\') {
            putc('\\', out);
            putc(*p, out);
        } else if (*p < 0x20 || *p == 0x7f) {
            fprintf(out, "\\u%04x", *p);
        } else {
            fwrite(p, 1, n, out);
        }
        p += n;
        count -= n;
    }
    putc('"', out);
}

static void put_key(struct json *json, const char *key) {
    if (json->comma) {
        putc(',', json->out);
    }
    json->comma = true;
    if (key) {
        fprintf(json->out, "\"%s\":", key);
    }
}

void json_open(struct json *json, const char *key, char bracket) {
    put_key(json, key);
    putc(bracket, json->out);
    json->comma = false;
}

void json_close(struct json *json, char bracket) {
    putc(bracket, json->out);
    json->comma = true;
}

void json_line_end(struct json *json) {
    putc('\n', json->out);
    json->comma = false;
}

void json_bool(struct json *json, const char *key, bool value) {
    put_key(json, key);
    fputs(value ? "true" : "false", json->out);
}

void json_unsigned(struct json *json, const char *key, uint64_t value) {
    put_key(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void json_signed(struct json *json, const char *key, int64_t value) {
    put_key(json, key);
    fprintf(json->out, "%" PRId64, value);
}

void json_real(struct json *json, const char *key, double value) {
    put_key(json, key);
    fprintf(json->out, "%.3f", value);
}

void json_text(struct json *json, const char *key, const char *text) {
    json_bytes(json, key, text, strlen(text));
}

static void put_base64(FILE *out, const uint8_t *p, size_t count) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < count; i += 3) {
        size_t n = count - i < 3 ? count - i : 3;
        uint32_t word = (uint32_t)p[i] << 16;
        word |= n > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        word |= n > 2 ? p[i + 2] : 0;
        for (size_t j = 0; j < 4; j++) {
            putc(j <= n ? digits[word >> (18 - 6 * j) & 63] : '=', out);
        }
    }
}

void json_bytes(struct json *json, const char *key, const void *bytes, size_t count) {
    put_key(json, key);
    put_string(json->out, bytes, count);
    if (key && !utf8_valid(bytes, count)) {
        fprintf(json->out, ",\"%s_b64\":\"", key);
        put_base64(json->out, bytes, count);
        putc('"', json->out);
    }
}
