/* SPDX-License-Identifier: Apache-2.0 */
/* src/ladder_facets.c - the facets (docs/ladder.md, section 6): seven streams written and hashed
 * side by side, and what is left of rung `encoding` beside them. */
#include <stdlib.h>
#include <string.h>

#include "ladder_internal.h"
#include "path.h"

/* What one facet has to be hashed next. A round hashes all seven. */
enum { FACET_BUFFER_BYTES = 8192 };
struct facet_stream {
    struct varve_sha256_stream stream;
    size_t used;
    uint8_t buffer[FACET_BUFFER_BYTES];
};

struct facet_writer {
    struct varve_ladder *ladder;
    const struct ladder_order *order;
    struct ladder_tally meta; /* links that disagree with their files */
    uint8_t *spare;           /* for a part longer than a buffer */
    uint64_t spare_bytes;
    struct ladder_sink *sink; /* who gets the parts in place of the digests, or NULL */
    struct facet_stream streams[VARVE_FACET_COUNT];
};

/* An entry: its own record, and that of the file whose attributes it has. */
struct attributed {
    size_t index;
    struct varve_record own, target;
    const struct varve_record *file; /* one of these two */
    bool link;                       /* the second */
};

static void hash_round(struct facet_writer *writer) {
    struct varve_sha256 *sha256 = writer->ladder->sha256;
    for (int i = 0; i < VARVE_FACET_COUNT; i++) {
        struct facet_stream *stream = &writer->streams[i];
        varve_sha256_update(sha256, &stream->stream, stream->buffer, stream->used);
    }
    varve_ladder_encode_next(writer->ladder);
    varve_sha256_flush(sha256);
    for (int i = 0; i < VARVE_FACET_COUNT; i++) {
        writer->streams[i].used = 0;
    }
}

static void release_spare(struct facet_writer *writer) {
    free(writer->spare);
    varve_budget_give(writer->ladder->budget, writer->spare_bytes);
    writer->spare = NULL;
    writer->spare_bytes = 0;
}

static void put(struct facet_writer *writer, enum varve_facet facet, const void *bytes,
                size_t count) {
    struct facet_stream *stream = &writer->streams[facet];
    const uint8_t *from = bytes;
    if (writer->sink) {
        writer->sink->put(writer->sink, facet, bytes, count);
        return;
    }
    while (count > FACET_BUFFER_BYTES - stream->used) {
        size_t room = FACET_BUFFER_BYTES - stream->used;
        memcpy(stream->buffer + stream->used, from, room);
        stream->used += room;
        from += room;
        count -= room;
        hash_round(writer);
    }
    if (count) {
        memcpy(stream->buffer + stream->used, from, count);
        stream->used += count;
    }
}

/* Room for a part of at most `bytes`: in the facet's buffer, or, where it is larger than that, in
 * the writer's spare memory. NULL after a fault. */
static uint8_t *begin_part(struct facet_writer *writer, enum varve_facet facet, size_t bytes) {
    struct facet_stream *stream = &writer->streams[facet];
    if (bytes <= FACET_BUFFER_BYTES - stream->used) {
        return stream->buffer + stream->used;
    }
    if (bytes <= FACET_BUFFER_BYTES) {
        hash_round(writer);
        return stream->buffer;
    }
    if (bytes > writer->spare_bytes) {
        release_spare(writer);
        writer->spare = varve_ladder_allocate(writer->ladder, &writer->spare_bytes, bytes, 1);
    }
    return writer->spare;
}

/* The part that was begun ends at `end`. */
static void end_part(struct facet_writer *writer, enum varve_facet facet, const uint8_t *end) {
    struct facet_stream *stream = &writer->streams[facet];
    const uint8_t *begin = stream->buffer + stream->used;
    if (writer->spare && end > writer->spare && end <= writer->spare + writer->spare_bytes) {
        put(writer, facet, writer->spare, (size_t)(end - writer->spare));
    } else if (writer->sink) {
        put(writer, facet, begin, (size_t)(end - begin));
    } else {
        stream->used += (size_t)(end - begin);
    }
}

static uint8_t *add(uint8_t *to, const void *bytes, size_t count) {
    if (count) {
        memcpy(to, bytes, count);
    }
    return to + count;
}

static uint8_t *add_string(uint8_t *to, struct varve_bytes text) {
    varve_store_u32(to, (uint32_t)text.count);
    return add(to + 4, text.bytes, text.count);
}

static const struct varve_bytes nothing = {NULL, 0};

static bool equal(struct varve_bytes a, struct varve_bytes b) {
    return a.count == b.count && (a.count == 0 || memcmp(a.bytes, b.bytes, a.count) == 0);
}

/* What a link says and its file does not; nothing where it agrees. */
static struct varve_bytes unless_equal(struct varve_bytes own, struct varve_bytes file) {
    return equal(own, file) ? nothing : own;
}

/* Facets mode and owner: numbers of the record, then the path. */
static bool put_numbers(struct facet_writer *writer, enum varve_facet facet, uint8_t tag,
                        const uint8_t *numbers, size_t bytes, struct varve_bytes path) {
    uint8_t *to = begin_part(writer, facet, 1 + bytes + 4 + path.count);
    if (!to) {
        return false;
    }
    *to++ = tag;
    to = add(to, numbers, bytes);
    end_part(writer, facet, add_string(to, path));
    return true;
}

/* Returns whether the link disagrees. */
static inline bool put_fixed(struct facet_writer *writer, enum varve_facet facet,
                             const struct attributed *entry, size_t at, size_t bytes) {
    const uint8_t *own = entry->own.bytes + at;
    const uint8_t *file = entry->file->bytes + at;
    put_numbers(writer, facet, 'e', file, bytes, entry->own.path);
    return entry->link && memcmp(own, file, bytes) != 0 &&
           put_numbers(writer, facet, 'l', own, bytes, entry->own.path);
}

static bool put_names_part(struct facet_writer *writer, uint8_t tag, struct varve_bytes path,
                           struct varve_bytes uname, struct varve_bytes gname) {
    if (!uname.count && !gname.count) {
        return false;
    }
    uint8_t *to = begin_part(writer, VARVE_FACET_NAMES,
                             1 + 4 + path.count + 4 + uname.count + 4 + gname.count);
    if (!to) {
        return false;
    }
    *to++ = tag;
    to = add_string(to, path);
    to = add_string(to, uname);
    end_part(writer, VARVE_FACET_NAMES, add_string(to, gname));
    return true;
}

static bool put_names(struct facet_writer *writer, const struct attributed *entry) {
    const struct varve_record *own = &entry->own;
    const struct varve_record *file = entry->file;
    put_names_part(writer, 'e', own->path, file->uname, file->gname);
    return entry->link &&
           put_names_part(writer, 'l', own->path, unless_equal(own->uname, file->uname),
                          unless_equal(own->gname, file->gname));
}

static bool put_times_part(struct facet_writer *writer, uint8_t tag, struct varve_bytes path,
                           const struct varve_record *record) {
    enum { MTIME = 12 + 4, TIMES = 3 * (4 + 12) };
    uint8_t *to = begin_part(writer, VARVE_FACET_TIMES, 1 + MTIME + 4 + path.count + TIMES);
    if (!to) {
        return false;
    }
    *to++ = tag;
    to = add(to, record->bytes + VARVE_RECORD_MTIME, 12);
    to = add(to, record->nanoseconds, 4);
    to = add_string(to, path);
    to = add_string(to, record->atime);
    to = add_string(to, record->ctime);
    end_part(writer, VARVE_FACET_TIMES, add_string(to, record->creation));
    return true;
}

static bool put_times(struct facet_writer *writer, const struct attributed *entry) {
    put_times_part(writer, 'e', entry->own.path, entry->file);
    if (!entry->link) {
        return false;
    }
    struct varve_record own = entry->own;
    const struct varve_record *file = entry->file;
    own.atime = unless_equal(own.atime, file->atime);
    own.ctime = unless_equal(own.ctime, file->ctime);
    own.creation = unless_equal(own.creation, file->creation);
    bool mtime =
        memcmp(own.bytes + VARVE_RECORD_MTIME, file->bytes + VARVE_RECORD_MTIME, 12) != 0 ||
        memcmp(own.nanoseconds, file->nanoseconds, 4) != 0;
    return (mtime || own.atime.count || own.ctime.count || own.creation.count) &&
           put_times_part(writer, 'l', own.path, &own);
}

static int compare_keys(struct varve_bytes a, struct varve_bytes b) {
    size_t shorter = a.count < b.count ? a.count : b.count;
    int order = shorter ? memcmp(a.bytes, b.bytes, shorter) : 0;
    return order ? order : (a.count > b.count) - (a.count < b.count);
}

/* The pairs of `own` that `file` has not, or has with another value, written to *to where that is
 * not NULL. Returns how many. Both lists are sorted. */
static uint32_t add_differing(uint8_t **to, struct varve_bytes own, struct varve_bytes file) {
    const uint8_t *at = own.bytes + 4;
    const uint8_t *other = file.bytes + 4;
    uint32_t own_left = varve_load_u32(own.bytes);
    uint32_t file_left = varve_load_u32(file.bytes);
    struct varve_tar_pair pair = {nothing, nothing};
    bool have = false;
    uint32_t differing = 0;
    for (; own_left; own_left--) {
        struct varve_tar_pair mine = varve_record_next_pair(&at);
        while ((have || file_left) && (!have || compare_keys(pair.key, mine.key) < 0)) {
            have = file_left > 0;
            if (have) {
                pair = varve_record_next_pair(&other);
                file_left--;
            }
        }
        if (!have || !equal(pair.key, mine.key) || !equal(pair.value, mine.value)) {
            differing++;
            if (to) {
                *to = add_string(add_string(*to, mine.key), mine.value);
            }
        }
    }
    return differing;
}

/* Facets xattrs and other. */
static bool put_list(struct facet_writer *writer, enum varve_facet facet,
                     const struct attributed *entry) {
    bool xattrs = facet == VARVE_FACET_XATTRS;
    struct varve_bytes own = xattrs ? entry->own.xattrs : entry->own.records;
    struct varve_bytes file = xattrs ? entry->file->xattrs : entry->file->records;
    size_t head = 1 + 4 + entry->own.path.count;
    if (varve_load_u32(file.bytes)) {
        uint8_t *to = begin_part(writer, facet, head + file.count);
        if (!to) {
            return false;
        }
        *to++ = 'e';
        end_part(writer, facet, add(add_string(to, entry->own.path), file.bytes, file.count));
    }
    uint32_t differing = entry->link ? add_differing(NULL, own, file) : 0;
    uint8_t *to = differing ? begin_part(writer, facet, head + own.count) : NULL;
    if (!to) {
        return false;
    }
    *to++ = 'l';
    to = add_string(to, entry->own.path);
    varve_store_u32(to, differing);
    to += 4;
    add_differing(&to, own, file);
    end_part(writer, facet, to);
    return true;
}

/* Facet content: what the entry is once the file of its group is elected. */
static void put_content(struct facet_writer *writer, const struct attributed *entry) {
    static const enum varve_facet facet = VARVE_FACET_CONTENT;
    static const uint8_t zeros[28] = "0000000\0"
                                     "0000000\0"
                                     "00000000000";
    const struct varve_ladder *ladder = writer->ladder;
    const struct ladder_order *order = writer->order;
    const struct varve_record *own = &entry->own;
    if (own->type == '5' && (own->path.count == 0 || order->flags[entry->index] & LADDER_HOLDER)) {
        return;
    }
    const struct varve_record *is = own; /* whose type, device, size and content it has */
    struct varve_bytes link = own->link;
    bool linked = false; /* a link to another entry of its group */
    uint32_t root = order->root && !order->significant ? order->root[entry->index] : LADDER_NONE;
    if (root != LADDER_NONE && varve_ladder_type(ladder, root) == '1') {
        struct varve_record last;
        varve_record_read(&last, ladder->entries[root].record);
        link = last.link;
    } else if (root != LADDER_NONE) {
        linked = order->elected[root] != entry->index;
        is = entry->file;
        link = linked ? varve_ladder_path(ladder, order->elected[root]) : is->link;
    }
    struct varve_bytes digest = linked ? nothing : is->digest;
    uint8_t *to = begin_part(
        writer, facet, 2 + sizeof zeros + 4 + own->path.count + 4 + link.count + 4 + digest.count);
    if (!to) {
        return;
    }
    *to++ = 'e';
    *to++ = linked ? '1' : is->type;
    if (linked) {
        to = add(to, zeros, sizeof zeros);
    } else {
        to = add(to, is->bytes + VARVE_RECORD_DEVMAJOR, 16);
        to = add(to, is->bytes + VARVE_RECORD_SIZE, 12);
    }
    to = add_string(to, own->path);
    to = add_string(to, link);
    end_part(writer, facet, add_string(to, digest));
}

static void put_entry(struct facet_writer *writer, size_t index) {
    const struct varve_ladder *ladder = writer->ladder;
    const struct ladder_order *order = writer->order;
    struct attributed entry;
    entry.index = index;
    entry.link = false;
    varve_record_read(&entry.own, ladder->entries[index].record);
    entry.file = &entry.own;
    if (order->root && !order->significant && entry.own.type == '1') {
        uint32_t root = order->root[index];
        if (varve_ladder_type(ladder, root) != '1') {
            varve_record_read(&entry.target, ladder->entries[root].record);
            entry.file = &entry.target;
            entry.link = true;
        }
    }
    put_content(writer, &entry);
    bool disagrees = put_fixed(writer, VARVE_FACET_MODE, &entry, VARVE_RECORD_MODE, 8);
    disagrees |= put_fixed(writer, VARVE_FACET_OWNER, &entry, VARVE_RECORD_UID, 16);
    disagrees |= put_names(writer, &entry);
    disagrees |= put_times(writer, &entry);
    disagrees |= put_list(writer, VARVE_FACET_XATTRS, &entry);
    disagrees |= put_list(writer, VARVE_FACET_OTHER, &entry);
    if (disagrees) {
        varve_ladder_tally(&writer->meta, index);
    }
}

static void keep_digest(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(cookie, digest, VARVE_SHA256_BYTES);
}

static void write_facets(struct facet_writer *writer) {
    struct varve_ladder *ladder = writer->ladder;
    struct varve_facets *facets = &ladder->facets;
    for (int i = 0; i < VARVE_FACET_COUNT; i++) {
        static const char prefix[] = "varve1.facet.";
        const char *name = varve_facet_name((enum varve_facet)i);
        varve_sha256_init(&writer->streams[i].stream);
        writer->streams[i].used = 0;
        put(writer, (enum varve_facet)i, prefix, strlen(prefix));
        put(writer, (enum varve_facet)i, name, strlen(name) + 1);
    }
    for (size_t i = 0; i < ladder->global_count; i++) {
        put(writer, VARVE_FACET_OTHER, ladder->globals[i].bytes, ladder->globals[i].count);
    }
    for (size_t i = 0; i < writer->order->count; i++) {
        if (i % LADDER_STEPS == 0 && varve_ladder_is_cancelled(ladder)) {
            return;
        }
        varve_ladder_look_ahead(ladder, writer->order->sorted, i, writer->order->count);
        put_entry(writer, writer->order->sorted[i]);
    }
    if (ladder->trailer) {
        put(writer, VARVE_FACET_OTHER, ladder->trailer_record, VARVE_TRAILER_RECORD_BYTES);
    }
    for (int i = 0; i < VARVE_FACET_COUNT; i++) {
        struct facet_stream *stream = &writer->streams[i];
        varve_sha256_update(ladder->sha256, &stream->stream, stream->buffer, stream->used);
        varve_sha256_final(ladder->sha256, &stream->stream, keep_digest, facets->digest[i]);
        facets->present |= 1u << i;
    }
    while (varve_ladder_encode_next(ladder)) {
    }
    varve_ladder_report(ladder, VARVE_CODE_HARDLINK_META, &writer->meta);
}

bool varve_ladder_facets(struct varve_ladder *ladder, const struct ladder_order *order) {
    /* Fixed memory of a ladder, not a layer's: not of the budget. */
    if (!ladder->writer && !(ladder->writer = malloc(sizeof *ladder->writer))) {
        varve_ladder_fail(ladder, VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
        return false;
    }
    struct facet_writer *writer = ladder->writer;
    writer->ladder = ladder;
    writer->order = order;
    writer->meta = (struct ladder_tally){0};
    writer->spare = NULL;
    writer->spare_bytes = 0;
    writer->sink = NULL;
    write_facets(writer);
    release_spare(writer);
    writer->order = NULL;
    return !ladder->fault.code && !varve_ladder_is_cancelled(ladder);
}

bool varve_ladder_parts(struct varve_ladder *ladder, const struct ladder_order *order,
                        struct ladder_sink *sink, size_t index) {
    struct facet_writer *writer = ladder->writer;
    struct varve_fault before = ladder->fault;
    ladder->fault.code = NULL;
    writer->ladder = ladder;
    writer->order = order;
    writer->sink = sink;
    for (int i = 0; i < VARVE_FACET_COUNT; i++) {
        writer->streams[i].used = 0;
    }
    put_entry(writer, index);
    release_spare(writer);
    writer->sink = NULL;
    writer->order = NULL;
    bool good = !ladder->fault.code;
    ladder->fault = before;
    return good;
}
