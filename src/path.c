/* SPDX-License-Identifier: Apache-2.0 */
/* src/path.c - cleaning and comparing paths, and what whiteouts are called. */
#include "path.h"

#include <string.h>

#include "bytes16.h"

/* True where there may be something to clean: a slash at either end, or one before a slash or a
 * dot. Sixteen bytes at a time; the last overlap those before them. */
static bool is_spelled(struct varve_bytes path) {
    const uint8_t *p = path.bytes;
    if (path.count <= BYTES16 || p[0] == '/' || p[0] == '.' || p[path.count - 1] == '/') {
        return true;
    }
    size_t last = path.count - BYTES16;
    bytes16 found = bytes16_component_begins(p + last);
    for (size_t at = 1; at < last; at += BYTES16) {
        found |= bytes16_component_begins(p + at);
    }
    return bytes16_any(found);
}

size_t varve_path_clean(uint8_t *to, struct varve_bytes path) {
    size_t length = 0;
    /* What most writers put there, and then nothing else is left to clean. */
    if (path.count > 1 && path.bytes[0] == '.' && path.bytes[1] == '/') {
        path.bytes += 2;
        path.count -= 2;
    }
    path.count -= path.count && path.bytes[path.count - 1] == '/';
    if (!is_spelled(path)) {
        memmove(to, path.bytes, path.count);
        return path.count;
    }
    size_t at = 0;
    while (at < path.count) {
        const uint8_t *begin = path.bytes + at;
        const uint8_t *slash = memchr(begin, '/', path.count - at);
        size_t component = slash ? (size_t)(slash - begin) : path.count - at;
        bool kept = component > 1 || (component == 1 && begin[0] != '.');
        if (kept) {
            if (length) {
                to[length++] = '/';
            }
            memmove(to + length, begin, component);
            length += component;
        }
        at += component + 1;
    }
    return length;
}

/* The first byte in which the two differ, or the shorter length. */
static size_t common_bytes(struct varve_bytes a, struct varve_bytes b) {
    size_t shorter = a.count < b.count ? a.count : b.count;
    size_t i = 0;
    for (; i + 8 <= shorter; i += 8) {
        uint64_t x, y;
        memcpy(&x, a.bytes + i, 8);
        memcpy(&y, b.bytes + i, 8);
        if (x != y) {
            break;
        }
    }
    while (i < shorter && a.bytes[i] == b.bytes[i]) {
        i++;
    }
    return i;
}

/* Where the byte stands in the order: the end of the path, then '/', then all others. */
static int rank_at(struct varve_bytes path, size_t i) {
    return i == path.count ? -1 : path.bytes[i] == '/' ? 0 : 1 + path.bytes[i];
}

int varve_path_compare(struct varve_bytes a, struct varve_bytes b) {
    size_t i = common_bytes(a, b);
    return rank_at(a, i) - rank_at(b, i);
}

bool varve_path_is_beneath(struct varve_bytes path, struct varve_bytes above) {
    return path.count > above.count &&
           (above.count == 0 ||
            (path.bytes[above.count] == '/' && memcmp(path.bytes, above.bytes, above.count) == 0));
}

static struct varve_bytes last_component(struct varve_bytes path) {
    const uint8_t *slash = path.count ? memrchr(path.bytes, '/', path.count) : NULL;
    size_t begin = slash ? (size_t)(slash - path.bytes) + 1 : 0;
    return (struct varve_bytes){path.bytes + begin, path.count - begin};
}

static bool is(struct varve_bytes name, const char *text) {
    return name.count == strlen(text) && memcmp(name.bytes, text, name.count) == 0;
}

static bool begins(struct varve_bytes name, const char *text) {
    return name.count >= strlen(text) && memcmp(name.bytes, text, strlen(text)) == 0;
}

enum varve_whiteout varve_path_whiteout(struct varve_bytes path) {
    if (path.count == 0) {
        return VARVE_WHITEOUT_NONE;
    }
    struct varve_bytes name = last_component(path);
    if (!begins(name, ".wh.")) {
        return VARVE_WHITEOUT_NONE;
    }
    if (begins(name, ".wh..wh.")) {
        return is(name, ".wh..wh..opq") ? VARVE_WHITEOUT_OPAQUE : VARVE_WHITEOUT_AUFS;
    }
    return is(name, ".wh.") || is(name, ".wh..") || is(name, ".wh...") ? VARVE_WHITEOUT_INVALID
                                                                       : VARVE_WHITEOUT_EXPLICIT;
}

size_t varve_path_removed(uint8_t *to, struct varve_bytes path) {
    struct varve_bytes name = last_component(path);
    size_t parent = path.count - name.count;
    if (parent) {
        memcpy(to, path.bytes, parent);
    }
    memcpy(to + parent, name.bytes + 4, name.count - 4);
    return path.count - 4;
}

bool varve_path_is_utf8(struct varve_bytes text) {
    const uint8_t *p = text.bytes;
    const uint8_t *end = p + text.count;
    while (p < end) {
        uint8_t first = *p++;
        if (first < 0x80) {
            continue;
        }
        size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || (size_t)(end - p) < more) {
            return false;
        }
        uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (*p < low || *p > high) {
            return false;
        }
        for (size_t i = 1; i < more; i++) {
            if ((p[i] & 0xc0) != 0x80) {
                return false;
            }
        }
        p += more;
    }
    return true;
}
