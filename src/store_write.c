/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_write.c - the writer: what is on its way goes into the database, in one transaction for
 * as much as was waiting.
 *
 * A transaction holds what comes within a moment, and so many layers at most: a scan that is killed
 * has lost the layers in flight, and hardly more. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "name_map.h"
#include "store_internal.h"

/* How soon after a file was written it can be written again without its time of modification
 * telling: a tick of the kernel's clock; two seconds where the file system keeps whole seconds. */
#define TICK_NS INT64_C(20000000)
#define COARSE_TICK_NS INT64_C(2000000000)
#define SECOND_NS INT64_C(1000000000)
/* What is in a transaction is lost when the process is killed, and when the disk gets full; but
 * each one writes a few pages a table, and two of an index for every layer. Images cost no reading.
 */
#define LAYERS_A_TRANSACTION 64u
#define ITEMS_A_TRANSACTION 1024u
/* For so long one waits for more. */
#define TRANSACTION_NS INT64_C(50000000)

/* --- what the scan's threads call --- */

void varve_store_fail(struct varve_store *store, const struct varve_store_fault *fault) {
    if (!atomic_exchange(&store->failed, true)) {
        store->fault = *fault;
        varve_queue_fail(&store->queue);
        if (store->options.failed) {
            store->options.failed(store->options.cookie);
        }
    }
}

static void put(struct varve_store *store, struct varve_item *item) {
    if (item) {
        varve_queue_put(&store->queue, item);
        return;
    }
    struct varve_store_fault fault;
    varve_store_no_memory(&fault);
    varve_store_fail(store, &fault);
}

static bool same_verdict(const struct varve_verdict *a, const struct varve_verdict *b) {
    return a->status == b->status && a->check_name == b->check_name &&
           a->check_size == b->check_size && a->check_diffid == b->check_diffid &&
           a->check_media_type == b->check_media_type && a->referenced == b->referenced &&
           a->gone == b->gone && a->code == b->code && a->os_errno == b->os_errno &&
           a->offset_stored == b->offset_stored && a->offset_decoded == b->offset_decoded;
}

/* Whether a verdict is one that a deeper scan may have had more to say about: it found the same
 * bytes and nothing wrong, but did not look at all that was claimed. Then what is known stays. */
static bool is_shallow(const struct varve_store *store, const struct varve_verdict *verdict,
                       int64_t blob, size_t number) {
    const struct varve_known *known = &store->known[number];
    return store->depth != VARVE_DEPTH_CONTENT && verdict->status == VARVE_OK && known->location &&
           known->blob == blob && verdict->check_name != VARVE_CHECK_MISMATCH &&
           verdict->check_size != VARVE_CHECK_MISMATCH;
}

/* Whether the rows of a recalled blob, under all its names, say what they would be made to say. */
static bool is_unchanged(const struct varve_store *store, const struct varve_layer *layer,
                         size_t blob) {
    for (; blob != SIZE_MAX; blob = varve_catalog_next_twin(store->catalog, blob)) {
        struct varve_verdict verdict =
            varve_store_verdict(layer, varve_catalog_blob(store->catalog, blob).referenced);
        const struct varve_known *known = &store->known[blob];
        bool same = is_shallow(store, &verdict, known->blob, blob)
                        ? !known->verdict.gone && known->verdict.referenced == verdict.referenced
                        : same_verdict(&known->verdict, &verdict);
        if (!known->usable || !same) {
            return false;
        }
    }
    return true;
}

void varve_store_done(struct varve_store *store, const struct varve_layer *layer, size_t blob,
                      const struct varve_job *job) {
    if (layer->cached && is_unchanged(store, layer, blob)) {
        return;
    }
    varve_store_end_reading(store);
    struct varve_item *item = varve_item_of_layer(layer, blob, store->entries ? job : NULL);
    if (item) {
        item->verified_at = layer->cached ? store->known[blob].verified_at : (int64_t)time(NULL);
    }
    put(store, item);
}

void varve_store_gone(struct varve_store *store, size_t blob) {
    put(store, varve_item_of_gone(blob));
}

void varve_store_image(struct varve_store *store, const struct varve_image *image,
                       enum varve_status status, const struct varve_image_layer *layers) {
    put(store, varve_item_of_image(image, status, layers));
}

/* --- the writer --- */

struct writer {
    struct varve_store *store;
    struct varve_connection *connection;
    struct varve_store_fault fault;
    size_t source;        /* of the last image: images of one source come together */
    size_t layers, items; /* in the open transaction; no items: there is none */
    struct timespec due;  /* when it is to be committed, on the monotonic clock */
};

static sqlite3_stmt *sql(struct writer *writer, enum varve_statement which) {
    return varve_sql(writer->connection, which);
}

static bool run(struct writer *writer, sqlite3_stmt *statement) {
    return varve_sql_run(writer->connection, &writer->fault, statement);
}

/* The row that a statement gives, or 0. */
static bool find(struct writer *writer, sqlite3_stmt *statement, int64_t *id) {
    bool good = true;
    bool row = varve_sql_row(writer->connection, &writer->fault, &good, statement);
    *id = row ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return good;
}

/* The row of some bytes. *added: it was not there, nor is anything that belongs to it. */
static bool put_blob(struct writer *writer, const struct varve_layer *layer, int64_t *id,
                     bool *added) {
    const uint8_t *digest = layer->rungs.digest[VARVE_RUNG_BLOB];
    sqlite3_stmt *add = sql(writer, VARVE_SQL_BLOB_ADD);
    sqlite3_bind_blob(add, 1, digest, VARVE_SHA256_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(add, 2, (int64_t)layer->bytes_stored);
    if (!run(writer, add)) {
        return false;
    }
    *added = sqlite3_changes(writer->connection->db) > 0;
    if (*added) {
        *id = sqlite3_last_insert_rowid(writer->connection->db);
        return true;
    }
    sqlite3_stmt *known = sql(writer, VARVE_SQL_BLOB_FIND);
    sqlite3_bind_blob(known, 1, digest, VARVE_SHA256_BYTES, SQLITE_STATIC);
    return find(writer, known, id);
}

/* Whether a row says at least as much as an item would. *entries_kept as it is. */
static bool is_known(struct writer *writer, const struct varve_item *item, int64_t blob,
                     bool *known, bool *entries_kept) {
    struct varve_store *store = writer->store;
    bool good = true;
    sqlite3_stmt *state = sql(writer, VARVE_SQL_LAYER_STATE);
    sqlite3_bind_int64(state, 1, blob);
    *known = *entries_kept = false;
    if (varve_sql_row(writer->connection, &writer->fault, &good, state)) {
        int64_t scan = sqlite3_column_int64(state, 0);
        bool same = scan >= 0 && (size_t)scan < store->scan_count &&
                    (store->scans[scan] & VARVE_SCAN_SAME_PRODUCER);
        const char *depth = (const char *)sqlite3_column_text(state, 1);
        const char *status = (const char *)sqlite3_column_text(state, 2);
        if (!depth || !status) {
            varve_store_lacks(&writer->fault, writer->connection->db, "a layer's row");
            sqlite3_reset(state);
            return false;
        }
        bool deep = strcmp(depth, "content") == 0;
        bool limit = strcmp(status, "limit") == 0;
        *entries_kept = sqlite3_column_int(state, 3) != 0;
        *known = same && !limit && (deep || store->depth != VARVE_DEPTH_CONTENT) &&
                 (!item->entries || *entries_kept);
        sqlite3_reset(state);
    }
    return good;
}

/* Removes what belongs to a row. */
static bool forget(struct writer *writer, enum varve_statement which, int64_t of) {
    sqlite3_stmt *old = sql(writer, which);
    sqlite3_bind_int64(old, 1, of);
    return run(writer, old);
}

static bool put_digests(struct writer *writer, enum varve_statement add, int64_t of,
                        uint32_t present, const uint8_t (*digests)[VARVE_SHA256_BYTES], int from,
                        int count) {
    bool good = true;
    for (int i = from; i < count && good; i++) {
        if (present & 1u << i) {
            sqlite3_stmt *row = sql(writer, add);
            sqlite3_bind_int64(row, 1, of);
            sqlite3_bind_int(row, 2, i);
            sqlite3_bind_blob(row, 3, digests[i], VARVE_SHA256_BYTES, SQLITE_STATIC);
            good = run(writer, row);
        }
    }
    return good;
}

static bool put_findings(struct writer *writer, const struct varve_item *item, int64_t blob) {
    bool good = true;
    for (size_t i = 0; i < item->finding_count && good; i++) {
        const struct varve_item_finding *finding = &item->findings[i];
        sqlite3_stmt *row = sql(writer, VARVE_SQL_FINDING_ADD);
        sqlite3_bind_int64(row, 1, blob);
        varve_bind_code(writer->store, row, 2, finding->code);
        sqlite3_bind_int64(row, 3, (int64_t)finding->count);
        varve_bind_offset(row, 4, finding->offset);
        if (finding->entry) {
            varve_bind_bytes(row, 5, finding->entry, finding->entry_bytes);
        }
        good = run(writer, row);
    }
    return good;
}

static void bind_some(sqlite3_stmt *statement, int at, struct varve_bytes bytes) {
    if (bytes.count) {
        varve_bind_bytes(statement, at, bytes.bytes, bytes.count);
    }
}

static bool put_entries(struct writer *writer, const struct varve_item *item, int64_t blob) {
    struct varve_ladder_entry entry;
    bool good = true;
    int64_t position = 0;
    for (size_t at = 0; good && varve_item_next_entry(item, &at, &entry); position++) {
        sqlite3_stmt *row = sql(writer, VARVE_SQL_ENTRY_ADD);
        sqlite3_bind_int64(row, 1, blob);
        sqlite3_bind_int64(row, 2, position);
        varve_bind_bytes(row, 3, entry.path.bytes, entry.path.count);
        sqlite3_bind_int(row, 4, entry.typeflag);
        sqlite3_bind_int64(row, 5, (int64_t)entry.size);
        sqlite3_bind_int64(row, 6, (int64_t)entry.mode);
        sqlite3_bind_int64(row, 7, entry.uid);
        sqlite3_bind_int64(row, 8, entry.gid);
        sqlite3_bind_int64(row, 9, entry.mtime.seconds);
        sqlite3_bind_int64(row, 10, entry.mtime.nanoseconds);
        bind_some(row, 11, entry.link);
        bind_some(row, 12, entry.uname);
        bind_some(row, 13, entry.gname);
        if (entry.has_sha256) {
            sqlite3_bind_blob(row, 14, entry.sha256, VARVE_SHA256_BYTES, SQLITE_STATIC);
        }
        good = run(writer, row);
    }
    return good;
}

static bool forget_facts(struct writer *writer, const struct varve_item *item, int64_t blob) {
    return forget(writer, VARVE_SQL_RUNGS_FORGET, blob) &&
           forget(writer, VARVE_SQL_FACETS_FORGET, blob) &&
           forget(writer, VARVE_SQL_FINDINGS_FORGET, blob) &&
           (!item->entries || forget(writer, VARVE_SQL_ENTRIES_FORGET, blob));
}

static bool put_layer(struct writer *writer, const struct varve_item *item, int64_t blob,
                      bool entries_kept) {
    const struct varve_store *store = writer->store;
    const struct varve_layer *layer = &item->layer;
    const struct varve_fault *fault = &layer->content_fault;
    bool parsed = store->depth == VARVE_DEPTH_CONTENT;
    sqlite3_stmt *row = sql(writer, VARVE_SQL_LAYER_PUT);
    sqlite3_bind_int64(row, 1, blob);
    sqlite3_bind_int64(row, 2, store->scan);
    varve_bind_text(row, 3, parsed ? "content" : "diffid");
    varve_bind_text(row, 4, varve_status_name(fault->status));
    if (fault->code) {
        varve_bind_code(store, row, 5, varve_store_code(fault->code));
        varve_bind_offset(row, 6, fault->offset_stored);
        varve_bind_offset(row, 7, fault->offset_decoded);
    }
    sqlite3_bind_int64(row, 8, (int64_t)layer->bytes_decoded);
    varve_bind_text(row, 9, varve_compression_name(layer->compression));
    varve_bind_text(row, 10, layer->has_format ? varve_format_name(layer->format) : NULL);
    if (layer->has_entries) {
        sqlite3_bind_int64(row, 11, (int64_t)layer->entry_count);
    }
    sqlite3_bind_int(row, 12, entries_kept || store->entries);
    varve_bind_text(row, 13, layer->toc);
    varve_bind_text(row, 14, layer->encoder);
    varve_bind_text(row, 15, layer->writer);
    varve_bind_text(row, 16, layer->writer_evidence);
    varve_bind_text(row, 17, layer->encoder_evidence[0] ? layer->encoder_evidence : NULL);
    return run(writer, row);
}

/* What is known of a blob's bytes, whatever they are called. `added`: nothing was. */
static bool put_facts(struct writer *writer, const struct varve_item *item, int64_t blob,
                      bool added) {
    const struct varve_layer *layer = &item->layer;
    bool known = false;
    bool entries_kept = false;
    if (!layer->decoded) {
        return true;
    }
    if (!added && (!is_known(writer, item, blob, &known, &entries_kept) || known)) {
        return known;
    }
    return (added || forget_facts(writer, item, blob)) &&
           put_layer(writer, item, blob, entries_kept) &&
           put_digests(writer, VARVE_SQL_RUNG_ADD, blob, layer->rungs.present, layer->rungs.digest,
                       VARVE_RUNG_DIFFID, VARVE_RUNG_COUNT) &&
           put_digests(writer, VARVE_SQL_FACET_ADD, blob, layer->facets.present,
                       layer->facets.digest, 0, VARVE_FACET_COUNT) &&
           put_findings(writer, item, blob) && (!item->entries || put_entries(writer, item, blob));
}

/* The file's marks. One that was written moments before it was read may be written once more within
 * the same tick of the clock: its time is not kept, so that it is read again. */
static void bind_stamp(const struct varve_store *store, sqlite3_stmt *row, size_t blob) {
    struct varve_stamp stamp;
    if (!varve_catalog_stamp(store->catalog, &stamp, blob)) {
        return;
    }
    int64_t tick = stamp.mtime_ns % SECOND_NS == 0 ? COARSE_TICK_NS : TICK_NS;
    sqlite3_bind_int64(row, 14, (int64_t)stamp.size);
    if (stamp.mtime_ns + tick < varve_catalog_opened_ns(store->catalog)) {
        sqlite3_bind_int64(row, 15, stamp.mtime_ns);
    }
    sqlite3_bind_int64(row, 16, (int64_t)stamp.inode);
    sqlite3_bind_int64(row, 17, (int64_t)stamp.offset);
}

static bool put_location(struct writer *writer, const struct varve_item *item, int64_t blob,
                         size_t number) {
    const struct varve_store *store = writer->store;
    const struct varve_layer *layer = &item->layer;
    bool referenced = varve_catalog_blob(store->catalog, number).referenced;
    struct varve_verdict verdict = varve_store_verdict(layer, referenced);
    bool shallow = blob && is_shallow(store, &verdict, blob, number);
    sqlite3_stmt *row = sql(writer, shallow ? VARVE_SQL_LOCATION_VERIFIED : VARVE_SQL_LOCATION_PUT);
    if (!varve_bind_location(store, row, number)) {
        return varve_store_no_memory(&writer->fault);
    }
    if (blob && !shallow) {
        sqlite3_bind_int64(row, 3, blob);
    }
    varve_bind_text(row, 4, varve_status_name((enum varve_status)verdict.status));
    varve_bind_code(store, row, 5, verdict.code);
    varve_bind_offset(row, 6, verdict.offset_stored);
    varve_bind_offset(row, 7, verdict.offset_decoded);
    if (verdict.os_errno) {
        sqlite3_bind_int(row, 8, verdict.os_errno);
    }
    varve_bind_text(row, 9, varve_check_name((enum varve_check)verdict.check_name));
    varve_bind_text(row, 10, varve_check_name((enum varve_check)verdict.check_size));
    varve_bind_text(row, 11, varve_check_name((enum varve_check)verdict.check_diffid));
    varve_bind_text(row, 12, varve_check_name((enum varve_check)verdict.check_media_type));
    sqlite3_bind_int(row, 13, referenced);
    if (blob) {
        bind_stamp(store, row, number);
        sqlite3_bind_int64(row, 18, item->verified_at);
    }
    return run(writer, row);
}

/* The blob's bytes once, then each of the file's names. */
static bool write_layer(struct writer *writer, const struct varve_item *item) {
    const struct varve_store *store = writer->store;
    int64_t blob = 0;
    if (item->layer.cached) {
        blob = store->known[item->blob].blob;
    } else if (item->layer.complete) {
        bool added = false;
        if (!put_blob(writer, &item->layer, &blob, &added) ||
            !put_facts(writer, item, blob, added)) {
            return false;
        }
    }
    for (size_t number = item->blob; number != SIZE_MAX;
         number = varve_catalog_next_twin(store->catalog, number)) {
        if (!put_location(writer, item, blob, number)) {
            return false;
        }
    }
    return true;
}

static bool write_gone(struct writer *writer, const struct varve_item *item) {
    const struct varve_store *store = writer->store;
    int64_t location = store->known[item->blob].location;
    if (!location) {
        return true;
    }
    sqlite3_stmt *row = sql(writer, VARVE_SQL_LOCATION_GONE);
    sqlite3_bind_int64(row, 1, location);
    sqlite3_bind_int64(row, 2, store->scan);
    return run(writer, row);
}

/* --- images --- */

static uint64_t mix(uint64_t seed, const void *data, size_t bytes) {
    const uint64_t key[2] = {seed, 1};
    return varve_siphash(key, data, bytes);
}

static uint64_t mix_text(uint64_t seed, const char *text) {
    return mix(seed, text ? text : "", text ? strlen(text) : 0);
}

/* Of everything that an image's rows say beside what they are found by: rows with the same one need
 * not be written again. */
static uint64_t fingerprint(const struct writer *writer, const struct varve_item *item) {
    const struct varve_catalog *catalog = writer->store->catalog;
    const struct varve_image *image = &item->image;
    uint64_t seed = mix(VARVE_STORE_VERSION, &item->rungs, sizeof item->rungs);
    const uint8_t kind[] = {(uint8_t)item->status, image->attestation, image->artifact};
    seed = mix(seed, kind, sizeof kind);
    seed = mix_text(mix_text(seed, image->fault.code), image->fault_digest);
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct varve_image_layer *layer = &item->layers[i];
        struct varve_claim claim = varve_catalog_claim(catalog, layer->claim);
        seed = mix_text(seed, varve_catalog_blob(catalog, claim.blob).name);
        seed = mix_text(mix(seed, &claim.size, sizeof claim.size), claim.media_type);
        seed = mix(seed, claim.diffid, claim.has_diffid ? sizeof claim.diffid : 0);
        const uint8_t fared[] = {(uint8_t)layer->status, (uint8_t)layer->checks.size,
                                 (uint8_t)layer->checks.diffid, (uint8_t)layer->checks.media_type};
        seed = mix(seed, fared, sizeof fared);
    }
    return seed;
}

static bool put_reference(struct writer *writer, int64_t image, size_t position,
                          const struct varve_image_layer *layer) {
    const struct varve_store *store = writer->store;
    struct varve_claim claim = varve_catalog_claim(store->catalog, layer->claim);
    int64_t location = store->known[claim.blob].location;
    if (!location) {
        sqlite3_stmt *known = sql(writer, VARVE_SQL_LOCATION_ID);
        if (!varve_bind_location(store, known, claim.blob)) {
            return varve_store_no_memory(&writer->fault);
        }
        if (!find(writer, known, &location)) {
            return false;
        }
    }
    sqlite3_stmt *row = sql(writer, VARVE_SQL_REFERENCE_ADD);
    sqlite3_bind_int64(row, 1, image);
    sqlite3_bind_int64(row, 2, (int64_t)position);
    sqlite3_bind_int64(row, 3, location);
    if (claim.size != VARVE_NO_SIZE) {
        sqlite3_bind_int64(row, 4, (int64_t)claim.size);
    }
    varve_bind_text(row, 5, claim.media_type);
    if (claim.has_diffid) {
        sqlite3_bind_blob(row, 6, claim.diffid, VARVE_SHA256_BYTES, SQLITE_STATIC);
    }
    varve_bind_text(row, 7, varve_status_name(layer->status));
    varve_bind_text(row, 8, varve_check_name(layer->checks.size));
    varve_bind_text(row, 9, varve_check_name(layer->checks.diffid));
    varve_bind_text(row, 10, varve_check_name(layer->checks.media_type));
    return run(writer, row);
}

static bool put_references(struct writer *writer, const struct varve_item *item, int64_t image) {
    bool good = true;
    for (size_t i = 0; i < item->image.layer_count && good; i++) {
        good = put_reference(writer, image, i, &item->layers[i]);
    }
    return good;
}

static bool see_image(struct writer *writer, int64_t id) {
    return varve_rows_add(&writer->store->seen_images, id) || varve_store_no_memory(&writer->fault);
}

/* Which of the catalog's sources has that name. */
static int64_t source_row(struct writer *writer, const char *name) {
    const struct varve_catalog *catalog = writer->store->catalog;
    size_t count = varve_catalog_source_count(catalog);
    for (size_t i = 0; i < count; i++) {
        size_t source = (writer->source + i) % count;
        if (strcmp(varve_catalog_source_name(catalog, source), name) == 0) {
            writer->source = source;
            return writer->store->sources[source].row;
        }
    }
    return 0;
}

/* What an image is found by. */
static bool bind_image(sqlite3_stmt *statement, const struct varve_image *image, int64_t source) {
    sqlite3_bind_int64(statement, 1, source);
    varve_bind_text(statement, 2, image->ref ? image->ref : "");
    varve_bind_text(statement, 4, image->platform ? image->platform : "");
    return varve_bind_name(statement, 3, image->digest);
}

static bool write_image(struct writer *writer, const struct varve_item *item) {
    const struct varve_image *image = &item->image;
    int64_t source = source_row(writer, image->source);
    int64_t print = (int64_t)fingerprint(writer, item);
    int64_t id = 0;
    bool good = true;
    sqlite3_stmt *known = sql(writer, VARVE_SQL_IMAGE_FIND);
    if (!bind_image(known, image, source)) {
        return varve_store_no_memory(&writer->fault);
    }
    bool row = varve_sql_row(writer->connection, &writer->fault, &good, known);
    if (!good) {
        return false;
    }
    id = row ? sqlite3_column_int64(known, 0) : 0;
    bool there = row && sqlite3_column_type(known, 2) == SQLITE_NULL;
    bool same = there && sqlite3_column_int64(known, 1) == print;
    sqlite3_reset(known);
    bool shallow = writer->store->depth != VARVE_DEPTH_CONTENT && item->status == VARVE_OK;
    if (same || (shallow && there)) {
        return see_image(writer, id);
    }
    sqlite3_stmt *put = sql(writer, VARVE_SQL_IMAGE_PUT);
    bool bound = bind_image(put, image, source);
    varve_bind_text(put, 5,
                    image->attestation ? "attestation"
                    : image->artifact  ? "artifact"
                                       : "image");
    varve_bind_text(put, 6, varve_status_name(item->status));
    varve_bind_code(writer->store, put, 7, varve_store_code(image->fault.code));
    varve_bind_text(put, 8, image->fault_digest);
    sqlite3_bind_int64(put, 9, print);
    if (!bound) {
        return varve_store_no_memory(&writer->fault);
    }
    if (!run(writer, put)) {
        return false;
    }
    id = row ? id : sqlite3_last_insert_rowid(writer->connection->db);
    return see_image(writer, id) &&
           (!row || (forget(writer, VARVE_SQL_REFERENCES_FORGET, id) &&
                     forget(writer, VARVE_SQL_IMAGE_RUNGS_FORGET, id))) &&
           put_references(writer, item, id) &&
           put_digests(writer, VARVE_SQL_IMAGE_RUNG_ADD, id, item->rungs.present,
                       item->rungs.digest, 0, VARVE_RUNG_COUNT);
}

static bool write_item(struct writer *writer, const struct varve_item *item) {
    switch (item->kind) {
    case VARVE_ITEM_LAYER:
        return write_layer(writer, item);
    case VARVE_ITEM_IMAGE:
        return write_image(writer, item);
    default:
        return write_gone(writer, item);
    }
}

/* --- transactions --- */

static bool commit(struct writer *writer) {
    writer->layers = writer->items = 0;
    return run(writer, sql(writer, VARVE_SQL_COMMIT));
}

/* Whether it is time, or there is no room for what may be waiting by now. */
static bool is_due(const struct writer *writer) {
    struct timespec now;
    if (writer->layers + VARVE_QUEUE_ITEMS > LAYERS_A_TRANSACTION ||
        writer->items + VARVE_QUEUE_ITEMS > ITEMS_A_TRANSACTION) {
        return true;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    const struct timespec *due = &writer->due;
    return now.tv_sec > due->tv_sec || (now.tv_sec == due->tv_sec && now.tv_nsec >= due->tv_nsec);
}

static bool begin(struct writer *writer) {
    clock_gettime(CLOCK_MONOTONIC, &writer->due);
    writer->due.tv_nsec += TRANSACTION_NS;
    if (writer->due.tv_nsec >= SECOND_NS) {
        writer->due.tv_nsec -= SECOND_NS;
        writer->due.tv_sec++;
    }
    return run(writer, sql(writer, VARVE_SQL_BEGIN));
}

/* Writes down what was waiting; the transaction may stay open. */
static bool write_items(struct writer *writer, const struct varve_item *item) {
    bool good = true;
    for (; item && good; item = item->next) {
        good = (writer->items > 0 || begin(writer)) && write_item(writer, item);
        writer->items++;
        writer->layers += item->kind == VARVE_ITEM_LAYER;
    }
    return good;
}

void *varve_store_write(void *cookie) {
    struct writer writer = {.store = cookie};
    struct varve_store *store = cookie;
    bool good = true;
    bool over = false;
    writer.connection = &store->main;
    while (!over) {
        bool open = good && writer.items > 0;
        struct varve_item *items =
            varve_queue_take(&store->queue, &over, open ? &writer.due : NULL);
        if (!good) {
            varve_items_free(items);
            continue;
        }
        good = write_items(&writer, items);
        varve_items_free(items);
        if (good && writer.items > 0 && (over || is_due(&writer))) {
            good = commit(&writer);
        }
        if (!good) {
            sqlite3_exec(store->main.db, "ROLLBACK", NULL, NULL, NULL);
            varve_store_fail(store, &writer.fault);
        }
    }
    return NULL;
}
