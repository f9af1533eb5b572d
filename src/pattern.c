/* SPDX-License-Identifier: Apache-2.0 */
/* src/pattern.c - where a store keeps the blob of a digest. */
#include "pattern.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "codes.h"
#include "digest_name.h"
#include "folder.h"

#define HEX_BYTES 129 /* of the longest digest, NUL included */

/* Puts text behind what is there. False where it does not fit. */
static bool append(char path[VARVE_PATTERN_PATH_BYTES], size_t *at, const char *text,
                   size_t count) {
    if (count >= VARVE_PATTERN_PATH_BYTES - *at) {
        return false;
    }
    memcpy(path + *at, text, count);
    *at += count;
    path[*at] = 0;
    return true;
}

bool varve_pattern_path(char path[VARVE_PATTERN_PATH_BYTES], const char *prefix,
                        const char *pattern, const char *name) {
    const char *hex = strchr(name, ':');
    size_t at = 0;
    if (!hex || !append(path, &at, prefix, strlen(prefix))) {
        return false;
    }
    size_t algorithm_bytes = (size_t)(hex++ - name);
    for (const char *p = pattern; *p; p++) {
        const char *text = p;
        size_t count = 1;
        if (*p == '%' && p[1]) {
            switch (*++p) {
            case 'a':
                text = name, count = algorithm_bytes;
                break;
            case '2':
                text = hex, count = 2;
                break;
            case 'r':
                text = hex + 2, count = strlen(hex + 2);
                break;
            case 'h':
                text = hex, count = strlen(hex);
                break;
            default:
                text = p;
            }
        }
        if (!append(path, &at, text, count)) {
            return false;
        }
    }
    return true;
}

/* What the fields of a path say. */
struct fields {
    char algorithm[8];
    char two[3];
    char rest[HEX_BYTES];
    char all[HEX_BYTES];
};

/* Takes a run of `most` hex digits at most into `field`. */
static const char *take(char *field, size_t most, const char *name) {
    size_t count = 0;
    while (count < most && ((name[count] >= '0' && name[count] <= '9') ||
                            (name[count] >= 'a' && name[count] <= 'f'))) {
        count++;
    }
    memcpy(field, name, count);
    field[count] = 0;
    return name + count;
}

/* Whether a file's name is of the form of one component of a pattern; reads its fields. */
static bool matches(struct fields *fields, const char *name, const char *pattern,
                    size_t pattern_bytes) {
    for (const char *p = pattern; p < pattern + pattern_bytes; p++) {
        if (*p != '%') {
            if (*name++ != *p) {
                return false;
            }
            continue;
        }
        switch (*++p) {
        case 'a':
            if (strncmp(name, "sha256", 6) != 0 && strncmp(name, "sha512", 6) != 0) {
                return false;
            }
            memcpy(fields->algorithm, name, 6);
            fields->algorithm[6] = 0;
            name += 6;
            break;
        case '2':
            name = take(fields->two, 2, name);
            break;
        case 'r':
            name = take(fields->rest, HEX_BYTES - 1, name);
            break;
        default:
            name = take(fields->all, HEX_BYTES - 1, name);
        }
    }
    return *name == 0;
}

struct listing {
    int root;
    const struct varve_pattern_visitor *visitor;
    void *cookie;
    bool no_memory;
};

#define NAME_BYTES (VARVE_DIGEST_TEXT_BYTES + HEX_BYTES)

/* The digest that the fields of a whole path name. False where they name none. */
static bool name_of(char name[NAME_BYTES], const struct fields *fields) {
    struct varve_digest_name digest;
    const char *lead = *fields->all ? "" : fields->two;
    const char *digits = *fields->all ? fields->all : fields->rest;
    size_t count = strlen(lead) + strlen(digits);
    const char *algorithm = *fields->algorithm ? fields->algorithm
                            : count == 128     ? "sha512"
                                               : "sha256";
    strcpy(stpcpy(stpcpy(stpcpy(name, algorithm), ":"), lead), digits);
    return varve_digest_name_parse(&digest, name, strlen(name));
}

static bool is_misplaced(const struct fields *fields) {
    return *fields->all && *fields->two && strncmp(fields->all, fields->two, 2) != 0;
}

/* A whole path of the pattern's form: is it a digest's, and is it where it belongs? */
static bool report(struct listing *listing, const char *path, const struct fields *fields) {
    char name[NAME_BYTES];
    if (!name_of(name, fields)) {
        return true;
    }
    if (is_misplaced(fields)) {
        if (listing->visitor->misplaced) {
            listing->visitor->misplaced(listing->cookie, path);
        }
        return true;
    }
    return listing->visitor->digest(listing->cookie, name);
}

/* One component of the pattern, and what is known of the path before it. */
struct component {
    const struct listing *listing;
    const struct fields *fields;
    const char *pattern;
    size_t pattern_bytes;
    bool last; /* that has fields in it */
};

/* Which names of a folder are gone into: most of a large one's may be known. */
static bool keeps(void *cookie, const char *file) {
    const struct component *component = cookie;
    const struct varve_pattern_visitor *visitor = component->listing->visitor;
    struct fields fields = *component->fields;
    char name[NAME_BYTES];
    if (!matches(&fields, file, component->pattern, component->pattern_bytes)) {
        return false;
    }
    return !component->last || !visitor->wanted || is_misplaced(&fields) ||
           (name_of(name, &fields) && visitor->wanted(component->listing->cookie, name));
}

/* One component more: a folder may hold a hundred thousand. False where the path gets too long. */
static bool join(char inner[VARVE_PATTERN_PATH_BYTES], const char *path, const char *name,
                 size_t count) {
    size_t at = 0;
    return append(inner, &at, path, strlen(path)) && append(inner, &at, "/", *path != 0) &&
           append(inner, &at, name, count);
}

/* Something in a folder has a path that is too long to be opened. */
static void tell_of_length(const struct listing *listing, const char *path) {
    struct varve_fault fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
    fault.os_errno = ENAMETOOLONG;
    if (listing->visitor->unreadable) {
        listing->visitor->unreadable(listing->cookie, path, &fault);
    }
}

/* Everything beneath a folder that fits the rest of the pattern. Recursion is as deep as the
 * pattern has components; what lies on disk cannot make it deeper. False ends the listing. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static bool descend(struct listing *listing, const char *path, const char *pattern,
                    const struct fields *fields) {
    char inner[VARVE_PATTERN_PATH_BYTES];
    size_t count = strcspn(pattern, "/");
    const char *rest = pattern[count] ? pattern + count + 1 : pattern + count;
    if (!strchr(pattern, '%')) {
        return report(listing, path, fields);
    }
    if (!memchr(pattern, '%', count)) {
        if (join(inner, path, pattern, count)) {
            return descend(listing, inner, rest, fields);
        }
        tell_of_length(listing, path);
        return true;
    }
    struct varve_folder folder;
    struct varve_fault fault;
    struct component component = {listing, fields, pattern, count, !strchr(rest, '%')};
    if (!varve_folder_read_some(&folder, &fault, listing->root, path, keeps, &component)) {
        bool absent = strcmp(fault.code, varve_code_at(VARVE_CODE_IO_MISSING)->code) == 0;
        listing->no_memory |= strcmp(fault.code, varve_code_at(VARVE_CODE_NO_MEMORY)->code) == 0;
        if (!absent && listing->visitor->unreadable) {
            listing->visitor->unreadable(listing->cookie, path, &fault);
        }
        return !listing->no_memory;
    }
    bool more = true;
    bool too_long = false;
    for (size_t i = 0; i < folder.count && more; i++) {
        struct fields found = *fields;
        if (!matches(&found, folder.names[i], pattern, count)) {
            continue;
        }
        if (join(inner, path, folder.names[i], strlen(folder.names[i]))) {
            more = descend(listing, inner, rest, &found);
        } else {
            too_long = true;
        }
    }
    if (too_long) {
        tell_of_length(listing, path);
    }
    varve_folder_free(&folder);
    return more;
}

bool varve_pattern_each(int root, const char *prefix, const char *pattern,
                        const struct varve_pattern_visitor *visitor, void *cookie) {
    struct listing listing = {root, visitor, cookie, false};
    struct fields fields = {0};
    char path[VARVE_PATTERN_PATH_BYTES];
    size_t count = strlen(prefix);
    if (count > 0 && prefix[count - 1] == '/') {
        count--;
    }
    snprintf(path, sizeof path, "%.*s", (int)count, prefix);
    descend(&listing, path, pattern, &fields);
    return !listing.no_memory;
}
