/* SPDX-License-Identifier: Apache-2.0 */
/* src/toc_table.c - reads a table of contents: {"version":1,"entries":[{...},...]}.
 *
 * The document may be 150 MiB and hostile. It is cut into the elements of `entries` here, without
 * recursion, and each element is read by jansson alone: memory is that of one element, and depth is
 * jansson's limit (2048) inside one.
 */
#include <stdlib.h>
#include <string.h>

#include "digest_name.h"
#include "json_load.h"
#include "json_strict.h"
#include "limits.h"
#include "toc_internal.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* What a table may hold by the two formats (stargz-snapshotter docs/estargz.md; the zstd:chunked
 * code of containers/storage, pkg/chunked/internal). Both are read by Go's encoding/json, which
 * folds the case of keys. */
enum { TOP_VERSION, TOP_ENTRIES };
static const char *const top_keys[] = {
    [TOP_VERSION] = "version", [TOP_ENTRIES] = "entries", "tarSplitDigest"};
static const char *const entry_keys[] = {
    "name",        "type",      "size",        "linkName",  "mode",        "uid",
    "gid",         "digest",    "offset",      "endOffset", "chunkOffset", "chunkSize",
    "chunkDigest", "chunkType", "innerOffset", "modtime",   "accesstime",  "changetime",
    "userName",    "groupName", "devMajor",    "devMinor",  "NumLink",     "xattrs"};

/* No known key is longer, though each of its characters be written as an escape of six. */
#define TOP_KEY_BYTES (2 + 6 * sizeof "tarSplitDigest")

struct text {
    const uint8_t *at;
    const uint8_t *end;
};

static void skip_space(struct text *text) {
    while (text->at < text->end &&
           (*text->at == ' ' || *text->at == '\n' || *text->at == '\r' || *text->at == '\t')) {
        text->at++;
    }
}

/* Steps over `c` and the space around it. */
static bool take(struct text *text, uint8_t c) {
    skip_space(text);
    if (text->at == text->end || *text->at != c) {
        return false;
    }
    text->at++;
    skip_space(text);
    return true;
}

static bool skip_string(struct text *text) {
    for (text->at++; text->at < text->end; text->at++) {
        if (*text->at == '\\') {
            text->at++;
        } else if (*text->at == '"') {
            text->at++;
            return true;
        }
    }
    text->at = text->end;
    return false;
}

/* Steps over one value and gives its extent. Brackets are only counted: whether the value is well
 * formed is seen by whoever reads it. */
static bool take_value(struct text *text, struct text *value) {
    uint64_t depth = 0;
    skip_space(text);
    value->at = text->at;
    do {
        if (text->at == text->end) {
            return false;
        }
        switch (*text->at) {
        case '"':
            if (!skip_string(text)) {
                return false;
            }
            break;
        case '{':
        case '[':
            depth++;
            text->at++;
            break;
        case '}':
        case ']':
            if (!depth) {
                return false;
            }
            depth--;
            text->at++;
            break;
        case ',':
            if (!depth) {
                return false;
            }
            text->at++;
            break;
        default:
            text->at++;
            /* A number or word ends where something else begins. */
            if (!depth) {
                while (text->at < text->end && !strchr(",]} \t\r\n", *text->at)) {
                    text->at++;
                }
            }
        }
    } while (depth);
    value->end = text->at;
    return true;
}

static json_t *load(struct varve_toc *toc, const struct text *value) {
    bool no_memory = false;
    json_t *root = varve_json_parse(value->at, (size_t)(value->end - value->at),
                                    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL, &no_memory);
    toc->no_memory |= no_memory;
    return root;
}

void varve_toc_clean(uint8_t *path, size_t *bytes) {
    size_t to = 0;
    for (size_t from = 0; from < *bytes;) {
        const uint8_t *slash = memchr(path + from, '/', *bytes - from);
        size_t n = slash ? (size_t)(slash - path) - from : *bytes - from;
        if (n && !(n == 1 && path[from] == '.')) {
            if (to) {
                path[to++] = '/';
            }
            memmove(path + to, path + from, n);
            to += n;
        }
        from += n + 1;
    }
    *bytes = to;
}

/* Appends a string field's bytes to the names. */
static bool keep_text(struct varve_toc *toc, struct varve_toc_table *table, const json_t *object,
                      const char *key, bool clean, size_t *at, size_t *bytes) {
    const json_t *field = json_object_get(object, key);
    *at = table->names.count;
    *bytes = field ? json_string_length(field) : 0;
    if (field && !json_is_string(field)) {
        return false;
    }
    if (!varve_toc_append(toc, &table->names, *bytes ? json_string_value(field) : NULL, *bytes)) {
        return false;
    }
    if (clean && *bytes) { /* of no bytes there may be no buffer yet */
        varve_toc_clean(table->names.data + *at, bytes);
        table->names.count = *at + *bytes;
    }
    return true;
}

/* An integer field, 0 where absent. False where it is another type. */
static bool number(int64_t *value, const json_t *object, const char *key) {
    const json_t *field = json_object_get(object, key);
    *value = json_integer_value(field);
    return !field || json_is_integer(field);
}

static bool digest(struct varve_toc_entry *entry, const json_t *object) {
    const json_t *field = json_object_get(object, "digest");
    struct varve_digest_name name;
    if (!field || (json_is_string(field) && json_string_length(field) == 0)) {
        return true;
    }
    if (!json_is_string(field) ||
        !varve_digest_name_parse(&name, json_string_value(field), json_string_length(field))) {
        return false;
    }
    if (name.algorithm == VARVE_ALGORITHM_SHA256) {
        memcpy(entry->sha256, name.bytes, sizeof entry->sha256);
        entry->has_sha256 = true;
    }
    return true;
}

static bool type(uint8_t *typeflag, const json_t *object) {
    static const struct {
        const char *name;
        uint8_t typeflag;
    } types[] = {{"reg", '0'},   {"hardlink", '1'}, {"symlink", '2'}, {"char", '3'},
                 {"block", '4'}, {"dir", '5'},      {"fifo", '6'},    {"chunk", 'c'}};
    const char *text = json_string_value(json_object_get(object, "type"));
    for (size_t i = 0; text && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(text, types[i].name) == 0) {
            *typeflag = types[i].typeflag;
            return true;
        }
    }
    return false;
}

/* Where the entry's bytes are said to lie: inside the blob. */
static bool place(const json_t *object, uint64_t stored_bytes) {
    static const char *const keys[] = {"offset", "endOffset", "chunkOffset", "chunkSize",
                                       "innerOffset"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        int64_t value;
        if (!number(&value, object, keys[i]) || value < 0 ||
            (i < 2 && (uint64_t)value > stored_bytes)) {
            return false;
        }
    }
    return true;
}

/* One element. False where it is no entry at all, or memory was refused. */
static bool read_entry(struct varve_toc *toc, struct varve_toc_table *table, const json_t *object,
                       uint64_t stored_bytes, struct varve_findings *findings) {
    struct varve_toc_entry entry = {0};
    if (varve_json_has_variant(object, entry_keys, COUNT_OF(entry_keys)) ||
        !json_is_object(object) || !json_is_string(json_object_get(object, "name")) ||
        !type(&entry.typeflag, object)) {
        return false;
    }
    if (entry.typeflag == 'c') {
        if (!place(object, stored_bytes)) {
            varve_findings_add(findings, VARVE_CODE_TOC_INVALID, 1, VARVE_NO_OFFSET, NULL, 0);
        }
        return true;
    }
    bool link = entry.typeflag == '1' || entry.typeflag == '2';
    if (!keep_text(toc, table, object, "name", true, &entry.name, &entry.name_bytes) ||
        (link && !keep_text(toc, table, object, "linkName", entry.typeflag == '1', &entry.link,
                            &entry.link_bytes)) ||
        !number(&entry.size, object, "size") || !number(&entry.mode, object, "mode") ||
        !number(&entry.uid, object, "uid") || !number(&entry.gid, object, "gid") ||
        !digest(&entry, object)) {
        return false;
    }
    if (!entry.name_bytes) {
        return true; /* the root */
    }
    if (entry.size < 0 || !place(object, stored_bytes)) {
        varve_findings_add(findings, VARVE_CODE_TOC_INVALID, 1, VARVE_NO_OFFSET,
                           table->names.data + entry.name, entry.name_bytes);
    }
    if (!varve_toc_append(toc, &table->entries, &entry, sizeof entry)) {
        return false;
    }
    table->count++;
    return true;
}

static enum varve_status read_entries(struct varve_toc *toc, struct varve_toc_table *table,
                                      struct text *array, uint64_t stored_bytes,
                                      struct varve_findings *findings) {
    if (!take(array, '[')) {
        return VARVE_MALFORMED;
    }
    if (take(array, ']')) {
        return VARVE_OK;
    }
    do {
        struct text element;
        if (!take_value(array, &element) ||
            (size_t)(element.end - element.at) > VARVE_LIMIT_TOC_ENTRY_BYTES) {
            return VARVE_MALFORMED;
        }
        json_t *object = load(toc, &element);
        bool read = read_entry(toc, table, object, stored_bytes, findings);
        json_decref(object);
        if (!read) {
            return VARVE_MALFORMED;
        }
    } while (take(array, ','));
    return take(array, ']') ? VARVE_OK : VARVE_MALFORMED;
}

/* By name; entries of one name in the order of the table, by which offsets of names grow. */
static int by_name(const void *a, const void *b, void *cookie) {
    const struct varve_toc_entry *x = a;
    const struct varve_toc_entry *y = b;
    const uint8_t *names = cookie;
    size_t n = x->name_bytes < y->name_bytes ? x->name_bytes : y->name_bytes;
    int order = n ? memcmp(names + x->name, names + y->name, n) : 0;
    if (!order) {
        order = (x->name_bytes > y->name_bytes) - (x->name_bytes < y->name_bytes);
    }
    return order ? order : (x->name > y->name) - (x->name < y->name);
}

/* Which of top_keys a key is; COUNT_OF(top_keys) for one that is none of them. False where it is no
 * key at all, or one that a reader which folds case would take for one of them. */
static bool read_key(struct varve_toc *toc, size_t *place, const struct text *key) {
    *place = COUNT_OF(top_keys);
    if (key->at == key->end || *key->at != '"') {
        return false;
    }
    if ((size_t)(key->end - key->at) > TOP_KEY_BYTES) {
        return true;
    }
    json_t *text = load(toc, key);
    const char *name = json_string_value(text);
    bool folds = false;
    for (size_t i = 0; name && i < COUNT_OF(top_keys); i++) {
        if (strcmp(name, top_keys[i]) == 0) {
            *place = i;
        } else {
            folds |= varve_json_folds(name, top_keys[i]);
        }
    }
    json_decref(text);
    return name && !folds;
}

enum varve_status varve_toc_table_read(struct varve_toc *toc, struct varve_toc_table *table,
                                       const uint8_t *json, size_t bytes, uint64_t stored_bytes,
                                       struct varve_findings *findings) {
    static const uint8_t nothing[1];
    struct text text = {bytes ? json : nothing, bytes ? json + bytes : nothing};
    struct text entries = {NULL, NULL};
    int64_t version = -1;
    table->count = table->names.count = table->entries.count = 0;
    if (!take(&text, '{')) {
        return VARVE_MALFORMED;
    }
    do {
        struct text key;
        struct text value;
        size_t place;
        if (!take_value(&text, &key) || !read_key(toc, &place, &key) || !take(&text, ':') ||
            !take_value(&text, &value)) {
            return VARVE_MALFORMED;
        }
        if (place == TOP_ENTRIES) {
            if (entries.at) {
                return VARVE_MALFORMED;
            }
            entries = value;
        } else if (place == TOP_VERSION) {
            if (version >= 0 || value.end - value.at > 20) {
                return VARVE_MALFORMED;
            }
            json_t *read = load(toc, &value);
            version = json_is_integer(read) ? json_integer_value(read) : -1;
            json_decref(read);
            if (version < 0) {
                return VARVE_MALFORMED;
            }
        }
    } while (take(&text, ','));
    if (!take(&text, '}') || text.at != text.end) {
        return VARVE_MALFORMED;
    }
    if (version != 1) {
        return version < 0 ? VARVE_MALFORMED : VARVE_UNSUPPORTED;
    }
    enum varve_status status = VARVE_OK;
    if (entries.at && *entries.at != 'n') { /* null: Go's spelling of an empty list */
        status = read_entries(toc, table, &entries, stored_bytes, findings);
    }
    if (toc->refused) {
        return VARVE_LIMIT;
    }
    if (status == VARVE_OK && table->count) {
        qsort_r(table->entries.data, table->count, sizeof(struct varve_toc_entry), by_name,
                table->names.data);
    }
    return status;
}
