/* SPDX-License-Identifier: Apache-2.0 */
/* src/json_diff.c - what differs between two JSON documents: values, by where they stand; and how
 * the same values are written.
 *
 * Nesting is bounded by the parser (jansson: 2048), so that recursion is. */
#include "json_diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canonical_json.h"
#include "json_load.h"

/* Arrays of unequal length are aligned by what begins and ends both alike. That looks at their
 * elements once more at every level, so deep ones are compared place by place. */
enum { ALIGNED_DEPTH = 8 };

struct text {
    char *bytes;
    size_t count, room;
};

static bool append(void *cookie, const void *data, size_t bytes) {
    struct text *text = cookie;
    if (text->count + bytes + 1 > text->room) {
        size_t room = 2 * (text->count + bytes + 1);
        char *larger = realloc(text->bytes, room);
        if (!larger) {
            return false;
        }
        text->bytes = larger;
        text->room = room;
    }
    memcpy(text->bytes + text->count, data, bytes);
    text->count += bytes;
    text->bytes[text->count] = 0;
    return true;
}

static char *canonical(const json_t *value) {
    struct text text = {NULL, 0, 0};
    if (!append(&text, "", 0) || !varve_canonical_json(value, append, &text)) {
        free(text.bytes);
        return NULL;
    }
    return text.bytes;
}

struct comparison {
    struct json_differences *differences;
    struct text pointer;
    unsigned depth;
};

static bool add(struct comparison *comparison, const json_t *left, const json_t *right) {
    struct json_differences *all = comparison->differences;
    if (all->count == all->room) {
        size_t room = all->room ? 2 * all->room : 16;
        struct json_difference *list = realloc(all->list, room * sizeof *list);
        if (!list) {
            return false;
        }
        all->list = list;
        all->room = room;
    }
    struct json_difference *difference = &all->list[all->count++];
    const json_t *sides[2] = {left, right};
    *difference = (struct json_difference){NULL, {NULL, NULL}};
    bool good = append(&comparison->pointer, "", 0) &&
                (difference->pointer = strdup(comparison->pointer.bytes)) != NULL;
    for (unsigned i = 0; good && i < 2; i++) {
        good = !sides[i] || (difference->value[i] = canonical(sides[i])) != NULL;
    }
    return good;
}

/* Goes down to a member; its name as a reference token (RFC 6901, 3). Returns what to cut the
 * pointer to again, or SIZE_MAX: no memory. */
static size_t descend(struct comparison *comparison, const char *token) {
    size_t before = comparison->pointer.count;
    bool good = append(&comparison->pointer, "/", 1);
    for (; good && *token; token++) {
        good = *token == '~'   ? append(&comparison->pointer, "~0", 2)
               : *token == '/' ? append(&comparison->pointer, "~1", 2)
                               : append(&comparison->pointer, token, 1);
    }
    comparison->depth++;
    return good ? before : SIZE_MAX;
}

static void ascend(struct comparison *comparison, size_t count) {
    comparison->pointer.count = count;
    comparison->pointer.bytes[count] = 0;
    comparison->depth--;
}

/* NOLINTBEGIN(misc-no-recursion): as deep as the parser lets documents nest. */
static bool compare(struct comparison *comparison, json_t *left, json_t *right);

static bool compare_member(struct comparison *comparison, const char *token, json_t *left,
                           json_t *right) {
    size_t before = descend(comparison, token);
    if (before == SIZE_MAX) {
        return false;
    }
    bool good = left && right ? compare(comparison, left, right) : add(comparison, left, right);
    ascend(comparison, before);
    return good;
}

static bool compare_objects(struct comparison *comparison, json_t *left, json_t *right) {
    const char *key = NULL;
    json_t *value = NULL;
    bool good = true;
    json_object_foreach(left, key, value) {
        good = good && compare_member(comparison, key, value, json_object_get(right, key));
    }
    json_object_foreach(right, key, value) {
        good = good && (json_object_get(left, key) || compare_member(comparison, key, NULL, value));
    }
    return good;
}

static bool compare_element(struct comparison *comparison, size_t at, json_t *left, json_t *right) {
    char token[24];
    snprintf(token, sizeof token, "%zu", at);
    return compare_member(comparison, token, left, right);
}

static bool compare_arrays(struct comparison *comparison, json_t *left, json_t *right) {
    size_t counts[2] = {json_array_size(left), json_array_size(right)};
    size_t shorter = counts[0] < counts[1] ? counts[0] : counts[1];
    size_t begin = 0, end = 0;
    if (counts[0] != counts[1] && comparison->depth < ALIGNED_DEPTH) {
        while (begin < shorter &&
               json_equal(json_array_get(left, begin), json_array_get(right, begin))) {
            begin++;
        }
        while (end < shorter - begin && json_equal(json_array_get(left, counts[0] - 1 - end),
                                                   json_array_get(right, counts[1] - 1 - end))) {
            end++;
        }
    }
    size_t middle[2] = {counts[0] - begin - end, counts[1] - begin - end};
    size_t longer = middle[0] > middle[1] ? middle[0] : middle[1];
    bool good = true;
    for (size_t i = 0; good && i < longer; i++) {
        json_t *a = i < middle[0] ? json_array_get(left, begin + i) : NULL;
        json_t *b = i < middle[1] ? json_array_get(right, begin + i) : NULL;
        good = compare_element(comparison, begin + i, a, b);
    }
    return good;
}

static bool compare(struct comparison *comparison, json_t *left, json_t *right) {
    if (json_is_object(left) && json_is_object(right)) {
        return compare_objects(comparison, left, right);
    }
    if (json_is_array(left) && json_is_array(right)) {
        return compare_arrays(comparison, left, right);
    }
    bool containers = json_is_object(left) || json_is_array(left) || json_is_object(right) ||
                      json_is_array(right);
    if (containers) {
        return add(comparison, left, right);
    }
    char *texts[2] = {canonical(left), canonical(right)};
    bool good = texts[0] && texts[1];
    if (good && strcmp(texts[0], texts[1]) != 0) {
        good = add(comparison, left, right);
    }
    free(texts[0]);
    free(texts[1]);
    return good;
}

/* NOLINTEND(misc-no-recursion) */

/* The document without white space between tokens. */
static bool squeeze(struct text *text, struct varve_bytes document) {
    bool string = false, good = append(text, "", 0);
    for (size_t i = 0; good && i < document.count; i++) {
        uint8_t byte = document.bytes[i];
        if (string && byte == '\\' && i + 1 < document.count) {
            good = append(text, document.bytes + i++, 2);
            continue;
        }
        string ^= byte == '"';
        if (string || (byte != ' ' && byte != '\n' && byte != '\r' && byte != '\t')) {
            good = append(text, &byte, 1);
        }
    }
    return good;
}

/* A document in its own order, without white space; of keys jansson does not tell that there was no
 * memory for them. */
struct in_order {
    struct text text;
    bool lost;
};

static int put_in_order(const char *bytes, size_t count, void *cookie) {
    struct in_order *in_order = cookie;
    in_order->lost |= !append(&in_order->text, bytes, count);
    return in_order->lost ? -1 : 0;
}

static bool same_bytes(const struct text *a, const struct text *b) {
    return a->count == b->count && memcmp(a->bytes, b->bytes, a->count) == 0;
}

/* How two documents with the same values differ: each of the three is undone in turn. */
static bool compare_spelling(struct json_differences *differences, const struct varve_bytes both[2],
                             json_t *const roots[2]) {
    struct text squeezed[2] = {{NULL, 0, 0}, {NULL, 0, 0}};
    struct in_order ordered[2] = {{{NULL, 0, 0}, false}, {{NULL, 0, 0}, false}};
    bool good = squeeze(&squeezed[0], both[0]) && squeeze(&squeezed[1], both[1]);
    for (unsigned i = 0; good && i < 2; i++) {
        good = json_dump_callback(roots[i], put_in_order, &ordered[i],
                                  JSON_COMPACT | JSON_ENCODE_ANY) == 0 &&
               !ordered[i].lost;
    }
    if (good) {
        bool same_order = same_bytes(&ordered[0].text, &ordered[1].text);
        bool same_tokens = same_bytes(&squeezed[0], &squeezed[1]);
        size_t spaces[2] = {both[0].count - squeezed[0].count, both[1].count - squeezed[1].count};
        differences->spelling |= same_order ? 0 : VARVE_SPELLING_ORDER;
        differences->spelling |= same_order && !same_tokens ? VARVE_SPELLING_ESCAPES : 0;
        differences->spelling |= same_tokens || spaces[0] != spaces[1] ? VARVE_SPELLING_SPACE : 0;
    }
    for (unsigned i = 0; i < 2; i++) {
        free(squeezed[i].bytes);
        free(ordered[i].text.bytes);
    }
    return good;
}

bool varve_json_diff_documents(struct json_differences *differences, struct varve_bytes left,
                               struct varve_bytes right) {
    const struct varve_bytes both[2] = {left, right};
    json_t *roots[2] = {NULL, NULL};
    struct comparison comparison = {.differences = differences};
    *differences = (struct json_differences){.relation = VARVE_DOCUMENT_UNKNOWN};
    if (!left.bytes || !right.bytes) {
        return true;
    }
    if (left.count == right.count && memcmp(left.bytes, right.bytes, left.count) == 0) {
        differences->relation = VARVE_DOCUMENT_IDENTICAL;
        return true;
    }
    bool good = true;
    for (unsigned i = 0; i < 2; i++) {
        bool no_memory = false;
        roots[i] = varve_json_parse(both[i].bytes, both[i].count,
                                    JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL,
                                    &no_memory);
        good = good && !no_memory;
    }
    if (roots[0] && roots[1]) {
        good = compare(&comparison, roots[0], roots[1]);
        differences->relation =
            differences->count ? VARVE_DOCUMENT_DIFFERENT : VARVE_DOCUMENT_RESPELLED;
        if (good && !differences->count) {
            good = compare_spelling(differences, both, roots);
        }
    }
    free(comparison.pointer.bytes);
    json_decref(roots[0]);
    json_decref(roots[1]);
    return good;
}

void varve_json_diff_free(struct json_differences *differences) {
    for (size_t i = 0; i < differences->count; i++) {
        free(differences->list[i].pointer);
        free(differences->list[i].value[0]);
        free(differences->list[i].value[1]);
    }
    free(differences->list);
    *differences = (struct json_differences){.relation = VARVE_DOCUMENT_UNKNOWN};
}
