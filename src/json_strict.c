/* SPDX-License-Identifier: Apache-2.0 */
/* src/json_strict.c - what readers of JSON take differently although it is well formed. */
#include "json_strict.h"

#include <string.h>

/* Takes one character off a key in UTF-8: folded where it is, or folds to, an ASCII letter; else
 * its first byte, for no other character of a known name is beyond ASCII. */
static uint8_t take_folded(const uint8_t **key) {
    const uint8_t *at = *key;
    if (at[0] == 0xc5 && at[1] == 0xbf) { /* U+017F */
        *key += 2;
        return 's';
    }
    if (at[0] == 0xe2 && at[1] == 0x84 && at[2] == 0xaa) { /* U+212A */
        *key += 3;
        return 'k';
    }
    *key += 1;
    return at[0] >= 'A' && at[0] <= 'Z' ? (uint8_t)(at[0] - 'A' + 'a') : at[0];
}

bool varve_json_folds(const char *key, const char *name) {
    const uint8_t *left = (const uint8_t *)key;
    const uint8_t *right = (const uint8_t *)name;
    while (*left && *right) {
        if (take_folded(&left) != take_folded(&right)) {
            return false;
        }
    }
    return !*left && !*right;
}

bool varve_json_has_variant(const json_t *object, const char *const *names, size_t name_count) {
    /* jansson has no way to iterate over what is const, and changes nothing while it does. */
    union {
        const json_t *given;
        json_t *taken;
    } members = {.given = object};
    for (void *i = json_object_iter(members.taken); i;
         i = json_object_iter_next(members.taken, i)) {
        const char *key = json_object_iter_key(i);
        for (size_t n = 0; n < name_count; n++) {
            /* Most pairs differ in the first letter, whatever its case. */
            if (((uint8_t)*key & 0x80) == 0 && ((*key ^ *names[n]) & ~0x20) != 0) {
                continue;
            }
            if (strcmp(key, names[n]) == 0) {
                break; /* names do not fold to one another */
            }
            if (varve_json_folds(key, names[n])) {
                return true;
            }
        }
    }
    return false;
}

bool varve_json_holds_nul(const uint8_t *text, size_t bytes) {
    const uint8_t *end = text + bytes;
    const uint8_t *at = bytes ? memchr(text, '\\', bytes) : NULL;
    while (at) {
        if (end - at >= 6 && memcmp(at + 1, "u0000", 5) == 0) {
            return true;
        }
        at += 2; /* the escaped character may be a backslash itself */
        at = at < end ? memchr(at, '\\', (size_t)(end - at)) : NULL;
    }
    return false;
}
