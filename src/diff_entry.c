/* SPDX-License-Identifier: Apache-2.0 */
/* src/diff_entry.c - what differs between the records of two entries, as text for people. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff_internal.h"
#include "digest_name.h"

enum { DANGEROUS_BITS = 07000 };
static const char capability_name[] = "security.capability";

static int64_t number(const struct varve_record *record, size_t at, size_t bytes) {
    return varve_record_number(record->bytes + at, bytes);
}

/* Both values of a field that differs. */
static void put_both(struct varve_diff *diff, const char *name, struct varve_bytes left,
                     struct varve_bytes right) {
    struct varve_diff_field *field = varve_diff_add_field(diff, NULL, name);
    varve_diff_set(field, 0, left);
    varve_diff_set(field, 1, right);
}

/* A text that may be missing: empty is none. */
static void put_texts(struct varve_diff *diff, const char *name, struct varve_bytes left,
                      struct varve_bytes right) {
    struct varve_diff_field *field = varve_diff_add_field(diff, NULL, name);
    if (left.count) {
        varve_diff_set(field, 0, left);
    }
    if (right.count) {
        varve_diff_set(field, 1, right);
    }
}

static struct varve_bytes type_text(uint8_t type) {
    switch (type) {
    case '0':
        return diff_of("file");
    case '1':
        return diff_of("hard link");
    case '2':
        return diff_of("symbolic link");
    case '3':
        return diff_of("character device");
    case '4':
        return diff_of("block device");
    case '5':
        return diff_of("directory");
    case '6':
        return diff_of("fifo");
    case 'D':
        return diff_of("GNU directory listing");
    case 'V':
        return diff_of("GNU volume label");
    default:
        return diff_of("GNU continuation");
    }
}

static struct varve_bytes mode_text(struct varve_diff *diff, int64_t mode) {
    if (mode < 0) {
        return varve_diff_text(diff, "-%" PRIo64, (uint64_t)0 - (uint64_t)mode);
    }
    return varve_diff_text(diff, "0%03" PRIo64, (uint64_t)mode);
}

/* Seconds as a decimal number; nanoseconds count towards the future, also before 1970. */
static struct varve_bytes seconds_text(struct varve_diff *diff, int64_t seconds,
                                       uint32_t nanoseconds) {
    bool mirrored = seconds < 0 && nanoseconds > 0;
    uint64_t magnitude = seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds;
    return varve_diff_text(diff, "%s%" PRIu64 ".%09u", seconds < 0 ? "-" : "",
                           mirrored ? magnitude - 1 : magnitude,
                           mirrored ? 1000000000u - nanoseconds : nanoseconds);
}

static void put_times(struct varve_diff *diff, const char *name, struct varve_bytes left,
                      struct varve_bytes right) {
    struct varve_diff_field *field = varve_diff_add_field(diff, NULL, name);
    const struct varve_bytes both[2] = {left, right};
    for (unsigned i = 0; i < 2; i++) {
        if (both[i].count) {
            uint64_t low = varve_load_u32(both[i].bytes);
            uint64_t high = varve_load_u32(both[i].bytes + 4);
            varve_diff_set(
                field, i,
                seconds_text(diff, (int64_t)(high << 32 | low), varve_load_u32(both[i].bytes + 8)));
        }
    }
}

static void put_mtimes(struct varve_diff *diff, const struct varve_record *left,
                       const struct varve_record *right) {
    put_both(
        diff, "mtime",
        seconds_text(diff, number(left, VARVE_RECORD_MTIME, 12), varve_load_u32(left->nanoseconds)),
        seconds_text(diff, number(right, VARVE_RECORD_MTIME, 12),
                     varve_load_u32(right->nanoseconds)));
}

static void put_digests(struct varve_diff *diff, struct varve_bytes left,
                        struct varve_bytes right) {
    struct varve_diff_field *field = varve_diff_add_field(diff, NULL, "content");
    const struct varve_bytes both[2] = {left, right};
    for (unsigned i = 0; i < 2; i++) {
        char hex[2 * VARVE_SHA256_BYTES + 1];
        if (both[i].count) {
            varve_hex(hex, both[i].bytes, VARVE_SHA256_BYTES);
            varve_diff_set(field, i, varve_diff_copy(diff, hex, sizeof hex - 1));
        }
    }
}

static struct varve_bytes device_text(struct varve_diff *diff, const struct varve_record *record) {
    return varve_diff_text(diff, "%" PRId64 ":%" PRId64, number(record, VARVE_RECORD_DEVMAJOR, 8),
                           number(record, VARVE_RECORD_DEVMINOR, 8));
}

static int compare_keys(struct varve_bytes a, struct varve_bytes b) {
    size_t shorter = a.count < b.count ? a.count : b.count;
    int order = shorter ? memcmp(a.bytes, b.bytes, shorter) : 0;
    return order ? order : (a.count > b.count) - (a.count < b.count);
}

/* A sorted list of a record, pair by pair. */
struct walker {
    const uint8_t *at;
    uint32_t left;
    struct varve_tar_pair pair;
    bool have;
};

static void next(struct walker *walker) {
    walker->have = walker->left > 0;
    if (walker->have) {
        walker->left--;
        walker->pair = varve_record_next_pair(&walker->at);
    }
}

static struct walker walk(struct varve_bytes list) {
    struct walker walker = {NULL, 0, {{NULL, 0}, {NULL, 0}}, false};
    if (list.bytes) {
        walker.at = list.bytes + 4;
        walker.left = varve_load_u32(list.bytes);
    }
    next(&walker);
    return walker;
}

bool varve_diff_pairs(struct varve_diff *diff, const char *name, struct varve_bytes left,
                      struct varve_bytes right, bool fields) {
    struct walker sides[2] = {walk(left), walk(right)};
    bool any = false;
    while (sides[0].have || sides[1].have) {
        int order = !sides[0].have   ? 1
                    : !sides[1].have ? -1
                                     : compare_keys(sides[0].pair.key, sides[1].pair.key);
        bool in[2] = {order <= 0, order >= 0};
        bool same = order == 0 && diff_same(sides[0].pair.value, sides[1].pair.value);
        any |= !same;
        struct varve_diff_field *field =
            !same && fields ? varve_diff_add_field(diff, NULL, name) : NULL;
        for (unsigned i = 0; i < 2; i++) {
            if (in[i] && field) {
                field->key = sides[i].pair.key;
                varve_diff_set(field, i, sides[i].pair.value);
            }
            if (in[i]) {
                next(&sides[i]);
            }
        }
    }
    return any;
}

/* Numbers of the fixed part; the text is made where it is wanted. */
static unsigned fixed_parts(struct varve_diff *diff, const struct varve_record *left,
                            const struct varve_record *right, bool fields) {
    static const struct {
        const char *name;
        size_t at, bytes;
        unsigned meaning;
    } parts[] = {
        {"size", VARVE_RECORD_SIZE, 12, DIFF_MEANS_SIZE},
        {"mode", VARVE_RECORD_MODE, 8, DIFF_MEANS_MODE},
        {"uid", VARVE_RECORD_UID, 8, DIFF_MEANS_UID},
        {"gid", VARVE_RECORD_GID, 8, DIFF_MEANS_GID},
    };
    unsigned meaning = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int64_t values[2] = {number(left, parts[i].at, parts[i].bytes),
                             number(right, parts[i].at, parts[i].bytes)};
        if (values[0] == values[1]) {
            continue;
        }
        meaning |= parts[i].meaning;
        if (fields && parts[i].meaning == DIFF_MEANS_MODE) {
            put_both(diff, "mode", mode_text(diff, values[0]), mode_text(diff, values[1]));
        } else if (fields) {
            put_both(diff, parts[i].name, varve_diff_text(diff, "%" PRId64, values[0]),
                     varve_diff_text(diff, "%" PRId64, values[1]));
        }
    }
    return meaning;
}

/* Names, links and times. */
static unsigned text_parts(struct varve_diff *diff, const struct varve_record *left,
                           const struct varve_record *right, bool fields) {
    const struct {
        const char *name;
        struct varve_bytes values[2];
        unsigned meaning;
        void (*put)(struct varve_diff *diff, const char *name, struct varve_bytes left,
                    struct varve_bytes right);
    } parts[] = {
        {"link", {left->link, right->link}, DIFF_MEANS_LINK, put_texts},
        {"uname", {left->uname, right->uname}, DIFF_MEANS_UNAME, put_texts},
        {"gname", {left->gname, right->gname}, DIFF_MEANS_GNAME, put_texts},
        {"atime", {left->atime, right->atime}, DIFF_MEANS_ATIME, put_times},
        {"ctime", {left->ctime, right->ctime}, DIFF_MEANS_CTIME, put_times},
        {"creationtime", {left->creation, right->creation}, DIFF_MEANS_CREATION, put_times},
    };
    unsigned meaning = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!diff_same(parts[i].values[0], parts[i].values[1])) {
            meaning |= parts[i].meaning;
            if (fields) {
                parts[i].put(diff, parts[i].name, parts[i].values[0], parts[i].values[1]);
            }
        }
    }
    return meaning;
}

static bool fixed_differs(const struct varve_record *left, const struct varve_record *right,
                          size_t at, size_t bytes) {
    return memcmp(left->bytes + at, right->bytes + at, bytes) != 0;
}

unsigned varve_diff_records(struct varve_diff *diff, const struct varve_record *left,
                            const struct varve_record *right, bool fields) {
    unsigned meaning = 0;
    if (left->type != right->type) {
        meaning |= DIFF_MEANS_TYPE;
        if (fields) {
            put_both(diff, "type", type_text(left->type), type_text(right->type));
        }
    }
    if (!diff_same(left->digest, right->digest)) {
        meaning |= DIFF_MEANS_CONTENT;
        if (fields) {
            put_digests(diff, left->digest, right->digest);
        }
    }
    if (fixed_differs(left, right, VARVE_RECORD_DEVMAJOR, 16)) {
        meaning |= DIFF_MEANS_DEVICE;
        if (fields) {
            put_both(diff, "device", device_text(diff, left), device_text(diff, right));
        }
    }
    meaning |= fixed_parts(diff, left, right, fields);
    if (fixed_differs(left, right, VARVE_RECORD_MTIME, 12) ||
        memcmp(left->nanoseconds, right->nanoseconds, 4) != 0) {
        meaning |= DIFF_MEANS_MTIME;
        if (fields) {
            put_mtimes(diff, left, right);
        }
    }
    meaning |= text_parts(diff, left, right, fields);
    if (varve_diff_pairs(diff, "xattr", left->xattrs, right->xattrs, fields)) {
        meaning |= DIFF_MEANS_XATTRS;
    }
    if (varve_diff_pairs(diff, "record", left->records, right->records, fields)) {
        meaning |= DIFF_MEANS_RECORDS;
    }
    return meaning;
}

bool varve_diff_security(struct varve_diff *diff, const struct varve_record *left,
                         const struct varve_record *right) {
    const struct varve_record *sides[2] = {left, right};
    int64_t modes[2] = {0, 0};
    struct varve_bytes capabilities[2] = {{NULL, 0}, {NULL, 0}};
    for (unsigned i = 0; i < 2; i++) {
        if (sides[i]) {
            modes[i] = number(sides[i], VARVE_RECORD_MODE, 8);
            capabilities[i] = varve_record_xattr(sides[i], capability_name);
        }
    }
    /* The sticky bit of directories is everyday's; that a directory comes or goes with it is not
     * what one must know first. */
    int64_t bits = left && right ? DANGEROUS_BITS : 06000;
    bool mode = (modes[0] ^ modes[1]) & bits;
    bool capability = !diff_same(capabilities[0], capabilities[1]);
    if (mode) {
        struct varve_diff_field *field = varve_diff_add_field(diff, NULL, "mode");
        for (unsigned i = 0; i < 2; i++) {
            if (sides[i]) {
                varve_diff_set(field, i, mode_text(diff, modes[i]));
            }
        }
    }
    if (capability) {
        struct varve_diff_field *field = varve_diff_add_field(diff, NULL, "xattr");
        for (unsigned i = 0; i < 2; i++) {
            if (capabilities[i].count) {
                varve_diff_set(field, i, capabilities[i]);
            }
        }
        if (field) {
            field->key = diff_of(capability_name);
        }
    }
    return mode || capability;
}
