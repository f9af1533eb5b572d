/* SPDX-License-Identifier: Apache-2.0 */
/* src/normalize.c - a layer written anew as a canonical tar.
 *
 * The ladder keeps every entry as its canonical record, and knows how to sort them: that is all a
 * canonical header is made of. So the layer is read once, its entries changed as was asked for and
 * then given to a ladder, its contents to the spool; afterwards records are written back as
 * headers, each followed by its content out of the spool. Holes stay holes there, and are written
 * as zeros. */
#include "varve/normalize.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intake.h"
#include "ladder_internal.h"
#include "tar_write.h"

enum { ROOM_BYTES = 131072 };

/* No station but the ladder takes more to be opened. */
enum { STATION_BYTES = 65536 };

/* One thing of the archive in its order: an entry, or a global header. */
struct item {
    uint64_t spool_offset; /* of an entry's content */
    uint32_t number;       /* of the entry or the global record */
    bool global;
};

struct normalizer {
    const struct varve_normalize_options *options;
    struct varve_normalized *result;
    struct varve_sha256 *sha256;
    struct varve_decoder *decoder;
    struct varve_tar *tar;
    struct varve_ladder *ladder;
    struct varve_findings *findings; /* of the ladder */
    struct varve_intake intake;
    struct varve_portion portion;
    struct varve_sha256_stream blob, diffid;

    struct item *items;
    size_t item_count, item_capacity;
    size_t *item_of;      /* by entry, once all are there */
    uint64_t taken_bytes; /* for both, from the budget */

    int spool_fd;
    bool stopped; /* cancelled */
    uint64_t spool_bytes;
    uint64_t trailer_offset; /* in the spool */
    uint64_t trailer_bytes;

    varve_sink_fn *sink;
    void *cookie;
    struct varve_growing out;
    struct varve_sha256_stream written;
};

/* Keeps the first fault. */
static bool fail(struct normalizer *n, struct varve_fault fault) {
    if (!n->result->fault.code) {
        n->result->fault = fault;
    }
    return false;
}

static bool fail_code(struct normalizer *n, enum varve_code code, int os_errno) {
    struct varve_fault fault = varve_fault_of(code, VARVE_NO_OFFSET);
    fault.os_errno = os_errno;
    return fail(n, fault);
}

/* ---- Reading ---- */

static bool spool(struct normalizer *n, const uint8_t *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t put = pwrite(n->spool_fd, data, bytes, (off_t)n->spool_bytes);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return fail_code(n, VARVE_CODE_IO_WRITE, put < 0 ? errno : EIO);
        }
        data += put;
        bytes -= (size_t)put;
        n->spool_bytes += (uint64_t)put;
    }
    return true;
}

static bool add_item(struct normalizer *n, struct item item) {
    if (n->item_count == n->item_capacity) {
        size_t capacity = n->item_capacity ? 2 * n->item_capacity : 1024;
        /* And the number of each in item_of, later. */
        uint64_t more = (capacity - n->item_capacity) * (sizeof *n->items + sizeof *n->item_of);
        if (!varve_budget_take(n->options->budget, more)) {
            return fail_code(n, VARVE_CODE_MEMORY_BUDGET, 0);
        }
        n->taken_bytes += more;
        struct item *grown = realloc(n->items, capacity * sizeof *grown);
        if (!grown) {
            return fail_code(n, VARVE_CODE_NO_MEMORY, 0);
        }
        n->items = grown;
        n->item_capacity = capacity;
    }
    n->items[n->item_count++] = item;
    return true;
}

static void clamp(struct varve_tar_time *time, int64_t seconds) {
    if (time->seconds >= seconds) {
        time->seconds = seconds;
        time->nanoseconds = 0;
    }
}

/* An entry as it shall be, before the ladder sees it: so records, their order and what is equal
 * follow from what is written, not from what was read. */
static struct varve_tar_entry changed(const struct varve_normalize_options *options,
                                      const struct varve_tar_entry *entry) {
    static const struct varve_tar_time none = {0, 0, false};
    static const struct varve_bytes nothing = {NULL, 0};
    struct varve_tar_entry copy = *entry;
    if (options->strength >= VARVE_RUNG_NAMES) {
        copy.uname = copy.gname = nothing;
    }
    if (options->strength >= VARVE_RUNG_TIMES) {
        copy.mtime = (struct varve_tar_time){options->clamp_seconds, 0, true};
        copy.atime = copy.ctime = copy.creation = none;
    } else if (options->has_clamp) {
        clamp(&copy.mtime, options->clamp_seconds);
        clamp(&copy.atime, options->clamp_seconds);
        clamp(&copy.ctime, options->clamp_seconds);
        clamp(&copy.creation, options->clamp_seconds);
    }
    if (options->has_uid) {
        copy.uid = options->uid;
    }
    if (options->has_gid) {
        copy.gid = options->gid;
    }
    return copy;
}

/* GNU.sparse.* records mean nothing before an entry that is sparse in GNU's other way; before a
 * plain file, as which it would be written, they would. */
static bool is_sparse_twice(const struct varve_tar_entry *entry) {
    static const char prefix[] = "GNU.sparse.";
    bool found = false;
    for (size_t i = 0; i < entry->record_count && entry->raw_typeflag == 'S'; i++) {
        struct varve_bytes key = entry->records[i].key;
        found |=
            key.count >= sizeof prefix - 1 && memcmp(key.bytes, prefix, sizeof prefix - 1) == 0;
    }
    return found;
}

/* One event of the parser, to the ladder and to the spool. */
static bool take(struct normalizer *n, enum varve_tar_event event,
                 const struct varve_tar_item *item) {
    struct varve_tar_entry entry;
    struct varve_tar_item given = *item;
    size_t globals = n->ladder->global_count;
    size_t entries = n->ladder->entry_count;
    if (event == VARVE_TAR_ENTRY) {
        if (is_sparse_twice(item->entry)) {
            return fail(n, varve_fault_of(VARVE_CODE_SPARSE_TWICE, item->entry->header_offset));
        }
        entry = changed(n->options, item->entry);
        given.entry = &entry;
    }
    if (varve_ladder_take(n->ladder, event, &given) != VARVE_OK) {
        return fail(n, varve_ladder_fault(n->ladder));
    }
    switch (event) {
    case VARVE_TAR_ENTRY:
        return add_item(n, (struct item){n->spool_bytes, (uint32_t)entries, false});
    case VARVE_TAR_GLOBAL:
        return n->ladder->global_count == globals ||
               add_item(n, (struct item){0, (uint32_t)globals, true});
    case VARVE_TAR_DATA:
        return spool(n, item->data.bytes, item->data.count);
    case VARVE_TAR_HOLE:
        n->spool_bytes += item->hole_bytes;
        return true;
    case VARVE_TAR_TRAILER:
        if (!n->trailer_bytes) {
            n->trailer_offset = n->spool_bytes;
        }
        n->trailer_bytes += item->data.count;
        return spool(n, item->data.bytes, item->data.count);
    default:
        return true;
    }
}

/* False: a fault. *ended: the tar is read to its end. */
static bool parse(struct normalizer *n, bool *ended, const uint8_t *data, size_t bytes, bool last) {
    struct varve_tar_item item;
    varve_tar_feed(n->tar, data, bytes, last);
    for (;;) {
        enum varve_tar_event event = varve_tar_next(n->tar, &item);
        if (event == VARVE_TAR_INPUT) {
            return true;
        }
        if (event == VARVE_TAR_END) {
            *ended = true;
            return true;
        }
        if (event == VARVE_TAR_FAULT) {
            return fail(n, varve_tar_fault(n->tar));
        }
        if (!take(n, event, &item)) {
            return false;
        }
    }
}

/* One step's bytes to the digests and to the parser. False: a fault. */
static bool take_portion(struct normalizer *n, bool *ended) {
    const struct varve_portion *portion = &n->portion;
    varve_sha256_update(n->sha256, &n->blob, portion->stored, portion->stored_bytes);
    n->result->stored_bytes += portion->stored_bytes;
    if (portion->turned) {
        bool last = portion->state == VARVE_DECODE_END;
        if (portion->state == VARVE_DECODE_FAULT || portion->state == VARVE_DECODE_WAIT) {
            return fail(n, varve_decoder_fault(n->decoder));
        }
        varve_sha256_update(n->sha256, &n->diffid, portion->made, portion->made_bytes);
        n->result->decoded_bytes += portion->made_bytes;
        if (!*ended && !parse(n, ended, portion->made, portion->made_bytes, last)) {
            return false;
        }
    }
    varve_sha256_flush(n->sha256);
    return true;
}

static bool cancelled(struct normalizer *n) {
    n->stopped = n->stopped || (n->options->cancelled && n->options->cancelled());
    return n->stopped;
}

static bool read_layer(struct normalizer *n, int fd, uint64_t offset, uint64_t bytes) {
    bool ended = false;
    varve_sha256_init(&n->blob);
    varve_sha256_init(&n->diffid);
    if (!varve_intake_begin(&n->intake, fd, offset, bytes, NULL)) {
        return fail_code(n, VARVE_CODE_IO_READ, errno);
    }
    do {
        struct varve_decode_turn turn;
        if (varve_intake_prepare(&n->intake, &n->portion, &turn)) {
            varve_decode(&n->decoder, &turn, 1);
            varve_intake_complete(&n->intake, &n->portion, &turn);
        }
        if (n->portion.read_error) {
            return fail_code(n, VARVE_CODE_IO_READ, n->portion.read_error);
        }
        if (!take_portion(n, &ended) || cancelled(n)) {
            return false;
        }
    } while (!n->portion.final);
    return varve_reader_unchanged(&n->intake.reader) || fail_code(n, VARVE_CODE_IO_CHANGED, 0);
}

static void keep_digest(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(cookie, digest, VARVE_SHA256_BYTES);
}

/* Completes the records: their contents' digests have arrived. */
static bool finish_ladder(struct normalizer *n) {
    struct varve_rungs rungs = {0};
    struct varve_facets facets = {0};
    varve_sha256_final(n->sha256, &n->blob, keep_digest, n->result->blob);
    varve_sha256_final(n->sha256, &n->diffid, keep_digest, n->result->diffid);
    if (varve_ladder_finish(n->ladder, &rungs, &facets, NULL) != VARVE_OK) {
        return fail(n, varve_ladder_fault(n->ladder));
    }
    return true;
}

/* ---- Writing ---- */

static bool emit(struct normalizer *n, const void *data, size_t bytes) {
    if (bytes == 0) {
        return true;
    }
    varve_sha256_update(n->sha256, &n->written, data, bytes);
    varve_sha256_flush(n->sha256);
    n->result->tar_bytes += bytes;
    if (cancelled(n)) {
        return false;
    }
    if (!n->sink(n->cookie, data, bytes)) {
        return fail_code(n, VARVE_CODE_IO_WRITE, errno);
    }
    return true;
}

/* What was gathered in `out`. */
static bool flush(struct normalizer *n) {
    bool good = emit(n, n->out.bytes, n->out.count);
    n->out.count = 0;
    return good;
}

/* So much of the spool, from there on: behind its end are holes. */
static bool copy_spool(struct normalizer *n, uint64_t offset, uint64_t bytes) {
    while (bytes > 0) {
        size_t wanted = bytes < ROOM_BYTES ? (size_t)bytes : ROOM_BYTES;
        ssize_t got = pread(n->spool_fd, n->portion.decoded_room, wanted, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_code(n, VARVE_CODE_IO_READ, errno);
        }
        if (got == 0) {
            memset(n->portion.decoded_room, 0, wanted);
            got = (ssize_t)wanted;
        }
        if (!emit(n, n->portion.decoded_room, (size_t)got)) {
            return false;
        }
        offset += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
    return true;
}

static bool write_zeros(struct normalizer *n, size_t bytes) {
    static const uint8_t zeros[1024];
    assert(bytes <= sizeof zeros);
    return emit(n, zeros, bytes);
}

/* The header goes out with the next flush, the content at once behind it. */
static bool write_entry(struct normalizer *n, const struct varve_canonical_entry *entry,
                        size_t content_of) {
    if (!varve_tar_write_entry(&n->out, entry)) {
        return fail_code(n, VARVE_CODE_NO_MEMORY, 0);
    }
    n->result->entry_count++;
    uint64_t size = 0;
    if (!entry->hard_link && varve_record_has_content(entry->is->type)) {
        size = (uint64_t)varve_record_number(entry->is->bytes + VARVE_RECORD_SIZE, 12);
    }
    if (size == 0) {
        return n->out.count < ROOM_BYTES || flush(n);
    }
    const struct item *item = &n->items[n->item_of[content_of]];
    return flush(n) && copy_spool(n, item->spool_offset, size) &&
           write_zeros(n, (size_t)(-size % 512));
}

static bool write_global(struct normalizer *n, size_t number) {
    /* "global\0\0", then the list. */
    if (!varve_tar_write_global(&n->out, n->ladder->globals[number].bytes + 8)) {
        return fail_code(n, VARVE_CODE_NO_MEMORY, 0);
    }
    return n->out.count < ROOM_BYTES || flush(n);
}

/* An entry as it stands. */
static bool write_plain(struct normalizer *n, size_t index) {
    struct varve_record own;
    varve_record_read(&own, n->ladder->entries[index].record);
    struct varve_canonical_entry entry = {own.path, &own, &own, own.link, own.type == '1'};
    return write_entry(n, &entry, index);
}

static bool write_in_archive_order(struct normalizer *n) {
    bool good = true;
    for (size_t i = 0; good && i < n->item_count; i++) {
        const struct item *item = &n->items[i];
        good = item->global ? write_global(n, item->number) : write_plain(n, item->number);
    }
    return good;
}

/* Whether a link's own attributes, which its file's replace, made it a risk or no risk. */
static bool is_security(const struct varve_record *own, const struct varve_record *file) {
    static const char name[] = "security.capability";
    enum { BITS = 07000 };
    int64_t modes = varve_record_number(own->bytes + VARVE_RECORD_MODE, 8) ^
                    varve_record_number(file->bytes + VARVE_RECORD_MODE, 8);
    struct varve_bytes a = varve_record_xattr(own, name), b = varve_record_xattr(file, name);
    /* A link that says nothing of it agrees. */
    return modes & BITS ||
           (a.count && (a.count != b.count || memcmp(a.bytes, b.bytes, a.count) != 0));
}

/* An entry after sorting (docs/ladder.md, S4): the first of a group is the file, the others link to
 * it; all have the file's attributes. */
static bool write_sorted(struct normalizer *n, const struct ladder_order *order, size_t index) {
    struct varve_record own;
    struct varve_record root;
    struct varve_record elected;
    uint32_t of = order->root ? order->root[index] : LADDER_NONE;
    if (of == LADDER_NONE || of == index) {
        if (of == LADDER_NONE || order->elected[of] == index) {
            return write_plain(n, index);
        }
    }
    varve_record_read(&own, n->ladder->entries[index].record);
    varve_record_read(&root, n->ladder->entries[of].record);
    struct varve_canonical_entry entry = {own.path, &root, &root, root.link, false};
    if (root.type == '1') {
        /* Belongs to a link that leads out of the layer, and keeps its own attributes. */
        entry.is = entry.attributes = &own;
        entry.hard_link = true;
        return write_entry(n, &entry, of);
    }
    if (order->elected[of] != index) {
        varve_record_read(&elected, n->ladder->entries[order->elected[of]].record);
        entry.link = elected.path;
        entry.hard_link = true;
    }
    n->result->overruled_security_count += own.type == '1' && is_security(&own, &root);
    return write_entry(n, &entry, of);
}

/* The links that the ladder found to disagree with their files are those that write_sorted gave
 * their files' attributes. */
static void count_overruled(struct normalizer *n) {
    for (size_t i = 0; i < varve_findings_count(n->findings); i++) {
        struct varve_finding finding = varve_findings_at(n->findings, i);
        if (finding.info == varve_code_at(VARVE_CODE_HARDLINK_META)) {
            n->result->overruled_count = finding.count;
            n->result->overruled_offset = finding.offset;
        }
    }
}

/* Global records come first: they are of no entry. */
static bool write_in_order(struct normalizer *n) {
    struct ladder_order order;
    bool good = varve_ladder_sort(n->ladder, &order);
    if (!good) {
        fail(n, varve_ladder_fault(n->ladder));
    } else if (order.significant) {
        n->result->order_significant = true;
        good = write_in_archive_order(n);
    } else {
        for (size_t i = 0; good && i < n->ladder->global_count; i++) {
            good = write_global(n, i);
        }
        for (size_t i = 0; good && i < order.count; i++) {
            good = write_sorted(n, &order, order.sorted[i]);
        }
        count_overruled(n);
        if (good && varve_findings_lost(n->findings)) {
            good =
                fail_code(n, VARVE_CODE_NO_MEMORY, 0); /* they may be among those that are lost */
        }
    }
    varve_ladder_order_release(n->ladder, &order);
    return good;
}

static bool write_tar(struct normalizer *n) {
    n->item_of = calloc(n->ladder->entry_count + 1, sizeof *n->item_of);
    if (!n->item_of) {
        return fail_code(n, VARVE_CODE_NO_MEMORY, 0);
    }
    for (size_t i = 0; i < n->item_count; i++) {
        if (!n->items[i].global) {
            n->item_of[n->items[i].number] = i;
        }
    }
    varve_sha256_init(&n->written);
    bool good =
        n->options->strength == VARVE_RUNG_ENCODING ? write_in_archive_order(n) : write_in_order(n);
    good = good && flush(n) && write_zeros(n, 1024) &&
           copy_spool(n, n->trailer_offset, n->trailer_bytes);
    varve_sha256_final(n->sha256, &n->written, keep_digest, n->result->tar_digest);
    varve_sha256_flush(n->sha256);
    return good;
}

/* ---- All of it ---- */

static bool open_stations(struct normalizer *n) {
    const struct varve_normalize_options *options = n->options;
    struct varve_sha256_options sha256 = {.tier = options->tier};
    struct varve_decode_options decode = {.budget = options->budget,
                                          .max_decoded_bytes = options->max_decoded_bytes};
    struct varve_tar_options tar = {.budget = options->budget, .tier = options->tier};
    struct varve_ladder_options ladder = {.budget = options->budget, .tier = options->tier};
    n->portion.stored_room = malloc(ROOM_BYTES);
    n->portion.decoded_room = malloc(ROOM_BYTES);
    n->intake.stored_room_bytes = n->intake.decoded_room_bytes = ROOM_BYTES;
    bool good = n->portion.stored_room && n->portion.decoded_room &&
                varve_sha256_open(&n->sha256, &sha256) == VARVE_OK &&
                varve_decoder_open(&n->decoder, &decode) == VARVE_OK &&
                varve_tar_open(&n->tar, &tar) == VARVE_OK &&
                varve_findings_open(&n->findings) == VARVE_OK &&
                varve_ladder_open(&n->ladder, n->sha256, &ladder) == VARVE_OK;
    if (!good) {
        /* The stations do not say which of the two refused them. */
        uint64_t least = sizeof *n->ladder + STATION_BYTES;
        bool limited = options->budget && varve_budget_taken(options->budget) + least >
                                              varve_budget_limit(options->budget);
        return fail_code(n, limited ? VARVE_CODE_MEMORY_BUDGET : VARVE_CODE_NO_MEMORY, 0);
    }
    n->intake.decoder = n->decoder;
    n->intake.gives_up = true;
    varve_decoder_reset(n->decoder, NULL);
    varve_tar_reset(n->tar, NULL);
    varve_ladder_reset(n->ladder, n->findings);
    return true;
}

static void close_stations(struct normalizer *n) {
    varve_ladder_close(n->ladder);
    varve_findings_close(n->findings);
    varve_tar_close(n->tar);
    varve_decoder_close(n->decoder);
    varve_sha256_close(n->sha256);
    free(n->portion.stored_room);
    free(n->portion.decoded_room);
    free(n->items);
    free(n->item_of);
    free(n->out.bytes);
    varve_budget_give(n->options->budget, n->taken_bytes);
}

enum varve_status varve_normalize(struct varve_normalized *result, int fd, uint64_t offset,
                                  uint64_t bytes, int spool_fd,
                                  const struct varve_normalize_options *options,
                                  varve_sink_fn *sink, void *cookie) {
    assert(options->strength >= VARVE_RUNG_ENCODING && options->strength <= VARVE_RUNG_TIMES);
    struct normalizer n = {
        .options = options, .result = result, .spool_fd = spool_fd, .sink = sink, .cookie = cookie};
    *result = (struct varve_normalized){.fault = {.code = NULL}};
    bool good = open_stations(&n) && read_layer(&n, fd, offset, bytes) && finish_ladder(&n) &&
                write_tar(&n);
    close_stations(&n);
    return good ? VARVE_OK : n.stopped && !result->fault.code ? VARVE_ERROR : result->fault.status;
}
