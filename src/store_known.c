/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_known.c - what the database knows of a catalog's blobs when a scan begins.
 *
 * A blob need not be read where its file has the path, size, modification time and inode that it
 * had when it was read last, and what was computed then was computed by this version of the ladder
 * on these libraries. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest_name.h"
#include "store_internal.h"

/* One a second for half a year. */
#define MOST_SCANS (INT64_C(1) << 24)

static const char *status_word(int i) {
    return varve_status_name((enum varve_status)i);
}
static const char *check_word(int i) {
    return varve_check_name((enum varve_check)i);
}

struct varve_verdict varve_store_verdict(const struct varve_layer *layer, bool referenced) {
    return (struct varve_verdict){
        .status = (uint8_t)layer->status,
        .check_name = (uint8_t)layer->checks.name,
        .check_size = (uint8_t)layer->checks.size,
        .check_diffid = (uint8_t)layer->checks.diffid,
        .check_media_type = (uint8_t)layer->checks.media_type,
        .referenced = referenced,
        .code = (int16_t)(layer->status == VARVE_OK ? -1 : varve_store_code(layer->fault.code)),
        .os_errno = layer->status == VARVE_OK ? 0 : layer->fault.os_errno,
        .offset_stored = layer->status == VARVE_OK ? VARVE_NO_OFFSET : layer->fault.offset_stored,
        .offset_decoded = layer->status == VARVE_OK ? VARVE_NO_OFFSET : layer->fault.offset_decoded,
    };
}

bool varve_bind_location(const struct varve_store *store, sqlite3_stmt *statement, size_t number) {
    struct varve_blob blob = varve_catalog_blob(store->catalog, number);
    size_t source = varve_catalog_source_of(store->catalog, number);
    sqlite3_bind_int64(statement, 1, store->sources[source].row);
    if (varve_catalog_operand(store->catalog, number)) {
        return varve_bind_name(statement, 2, blob.name);
    }
    char *path = varve_store_path(blob.name);
    bool good = path && varve_bind_name(statement, 2, path);
    free(path);
    return good;
}

/* Sources without a fault; loose files are never all that there are. */
static bool is_whole(const struct varve_catalog *catalog, size_t source) {
    const char *name = varve_catalog_source_name(catalog, source);
    size_t count = strlen(name);
    if (strcmp(name, "file") == 0 || varve_catalog_is_cancelled(catalog) ||
        varve_catalog_lost_errors(catalog) || varve_catalog_source_is_unread(catalog, source)) {
        return false;
    }
    for (size_t i = 0; i < varve_catalog_error_count(catalog); i++) {
        struct varve_catalog_error error = varve_catalog_error(catalog, i);
        if (error.fault.status != VARVE_OK && strncmp(error.name, name, count) == 0) {
            return false;
        }
    }
    return true;
}

static bool load_sources(struct varve_store *store, struct varve_store_fault *fault) {
    struct varve_connection *main = &store->main;
    size_t count = varve_catalog_source_count(store->catalog);
    store->sources = calloc(count + 1, sizeof *store->sources);
    bool good = store->sources || varve_store_no_memory(fault);
    for (size_t i = 0; i < count && good; i++) {
        const char *given = varve_catalog_source_name(store->catalog, i);
        char *name = strcmp(given, "file") == 0 ? strdup(given) : varve_store_source_name(given);
        sqlite3_stmt *add = varve_sql(main, VARVE_SQL_SOURCE_ADD);
        sqlite3_stmt *find = varve_sql(main, VARVE_SQL_SOURCE_FIND);
        varve_bind_text(add, 1, name);
        sqlite3_bind_int64(add, 2, store->scan);
        varve_bind_text(find, 1, name);
        good = (name || varve_store_no_memory(fault)) && varve_sql_run(main, fault, add);
        store->sources[i].row =
            good && varve_sql_row(main, fault, &good, find) ? sqlite3_column_int64(find, 0) : 0;
        store->sources[i].whole = is_whole(store->catalog, i);
        sqlite3_reset(find);
        free(name);
    }
    return good;
}

/* Which earlier scans' results are as good as this one's. */
static bool load_scans(struct varve_store *store, struct varve_store_fault *fault) {
    struct varve_connection *main = &store->main;
    struct {
        int64_t producer, memory, max_decoded;
    } own = {0};
    /* A new row's number is one more than the greatest. */
    if (store->scan < 1 || store->scan > MOST_SCANS) {
        return varve_store_damaged(fault, "a scan's row has no number that scans have");
    }
    store->scan_count = (size_t)store->scan + 1;
    store->scans = calloc(store->scan_count, 1);
    if (!store->scans) {
        return varve_store_no_memory(fault);
    }
    /* The last row is this scan's own: once to read it, once to compare. */
    bool good = true;
    for (int pass = 0; pass < 2 && good; pass++) {
        sqlite3_stmt *scans = varve_sql(main, VARVE_SQL_SCANS);
        while (varve_sql_row(main, fault, &good, scans)) {
            int64_t id = sqlite3_column_int64(scans, 0);
            int64_t producer = sqlite3_column_int64(scans, 1);
            int64_t memory = sqlite3_column_int64(scans, 2);
            int64_t most = sqlite3_column_int64(scans, 3);
            if (pass == 0) {
                own.producer = producer;
                own.memory = memory;
                own.max_decoded = most;
            } else if (id >= 0 && (size_t)id < store->scan_count) {
                bool limits = memory == own.memory && most == own.max_decoded;
                store->scans[id] =
                    (uint8_t)((producer == own.producer ? VARVE_SCAN_SAME_PRODUCER : 0) |
                              (limits ? VARVE_SCAN_SAME_LIMITS : 0));
            }
        }
    }
    return good;
}

/* Columns of VARVE_SQL_KNOWN_OF and VARVE_SQL_KNOWN_AT behind those of a location: its name, and
 * what the layer's row says, NULL where there is none. */
enum { NAME = 18, SCAN, DEPTH, STATUS, ENTRIES_KEPT };

/* Whether what is known of a blob's bytes is as much as this scan wants, and as good. */
static bool is_enough(const struct varve_store *store, sqlite3_stmt *row) {
    if (store->depth == VARVE_DEPTH_BLOB) {
        return true;
    }
    if (sqlite3_column_type(row, SCAN) == SQLITE_NULL) {
        return false;
    }
    int64_t scan = sqlite3_column_int64(row, SCAN);
    unsigned bits = scan >= 0 && (size_t)scan < store->scan_count ? store->scans[scan] : 0;
    const char *depth = (const char *)sqlite3_column_text(row, DEPTH);
    bool deep = depth && strcmp(depth, "content") == 0;
    int status = varve_column_word(row, STATUS, status_word, 6, VARVE_ERROR);
    return (bits & VARVE_SCAN_SAME_PRODUCER) && depth &&
           deep == (store->depth == VARVE_DEPTH_CONTENT) && status != VARVE_ERROR &&
           (status != VARVE_LIMIT || (bits & VARVE_SCAN_SAME_LIMITS)) &&
           (!store->entries || sqlite3_column_int(row, ENTRIES_KEPT));
}

/* Whether a file is the one that a location's row tells of. */
static bool is_same_file(sqlite3_stmt *row, const struct varve_stamp *stamp) {
    return sqlite3_column_type(row, 13) != SQLITE_NULL &&
           (uint64_t)sqlite3_column_int64(row, 12) == stamp->size &&
           sqlite3_column_int64(row, 13) == stamp->mtime_ns &&
           (uint64_t)sqlite3_column_int64(row, 14) == stamp->inode &&
           (uint64_t)sqlite3_column_int64(row, 15) == stamp->offset;
}

static void read_location(const struct varve_store *store, struct varve_known *known,
                          sqlite3_stmt *row) {
    known->location = sqlite3_column_int64(row, 0);
    known->blob = sqlite3_column_int64(row, 1);
    known->verified_at = sqlite3_column_int64(row, 16);
    known->verdict = (struct varve_verdict){
        .status = (uint8_t)varve_column_word(row, 2, status_word, 6, VARVE_ERROR),
        .code = (int16_t)varve_column_code(store, row, 3),
        .offset_stored = varve_column_offset(row, 4),
        .offset_decoded = varve_column_offset(row, 5),
        .os_errno = sqlite3_column_int(row, 6),
        .check_name = (uint8_t)varve_column_word(row, 7, check_word, 3, VARVE_CHECK_NONE),
        .check_size = (uint8_t)varve_column_word(row, 8, check_word, 3, VARVE_CHECK_NONE),
        .check_diffid = (uint8_t)varve_column_word(row, 9, check_word, 3, VARVE_CHECK_NONE),
        .check_media_type = (uint8_t)varve_column_word(row, 10, check_word, 3, VARVE_CHECK_NONE),
        .referenced = sqlite3_column_int(row, 11) != 0,
        .gone = sqlite3_column_type(row, 17) != SQLITE_NULL,
    };
}

/* What a row tells of a blob of the catalog. */
static void take_known(struct varve_store *store, size_t number, sqlite3_stmt *row) {
    struct varve_known *known = &store->known[number];
    struct varve_stamp stamp;
    read_location(store, known, row);
    bool enough = known->blob && !store->how.rescan &&
                  varve_catalog_stamp(store->catalog, &stamp, number) &&
                  is_same_file(row, &stamp) && is_enough(store, row);
    known->usable = enough && known->verified_at >= store->how.reverify_before;
    if (enough && !known->usable) {
        store->turns[number] = known->verified_at > 0 ? (uint64_t)known->verified_at : 1;
    }
}

/* Goes through all that is known of a source: cheaper than seeking its blobs one by one. `missing`:
 * rows of a source that was read whole, without a blob, and not marked as gone. */
static bool load_source(struct varve_store *store, struct varve_store_fault *fault,
                        struct varve_rows *missing, size_t source) {
    bool good = true;
    sqlite3_stmt *rows = varve_sql(&store->main, VARVE_SQL_KNOWN_OF);
    sqlite3_bind_int64(rows, 1, store->sources[source].row);
    while (varve_sql_row(&store->main, fault, &good, rows)) {
        char digest[VARVE_DIGEST_TEXT_BYTES];
        const char *name = varve_column_name(digest, rows, NAME);
        size_t number = name ? varve_catalog_find_in(store->catalog, source, name) : SIZE_MAX;
        if (number != SIZE_MAX) {
            take_known(store, number, rows);
        } else if (store->sources[source].whole && sqlite3_column_type(rows, 17) == SQLITE_NULL &&
                   !varve_rows_add(missing, sqlite3_column_int64(rows, 0))) {
            sqlite3_reset(rows);
            return varve_store_no_memory(fault);
        }
    }
    return good;
}

/* Seeks a loose file: the database may know many more than there are in the catalog. */
static bool load_loose(struct varve_store *store, struct varve_store_fault *fault, size_t number) {
    bool good = true;
    sqlite3_stmt *find = varve_sql(&store->main, VARVE_SQL_KNOWN_AT);
    if (!varve_bind_location(store, find, number)) {
        return varve_store_no_memory(fault);
    }
    if (varve_sql_row(&store->main, fault, &good, find)) {
        take_known(store, number, find);
        /* A column that there was no memory for is told of here. */
        if (sqlite3_reset(find) != SQLITE_OK) {
            return varve_store_blame(fault, store->main.db, "the database");
        }
    }
    return good;
}

/* Those of `missing` that another source of the same name has. False: no memory. */
static bool find_elsewhere(const struct varve_store *store, const struct varve_rows *missing,
                           struct varve_rows *elsewhere) {
    size_t count = varve_catalog_blob_count(store->catalog);
    bool good = true;
    for (size_t i = 0; i < count && missing->count && good; i++) {
        int64_t row = store->known[i].location;
        good = !varve_rows_have(missing, row) || varve_rows_add(elsewhere, row);
    }
    varve_rows_sort(elsewhere);
    return good;
}

/* Marks what is missing and not known by another source of the same name. */
static bool mark_gone(struct varve_store *store, struct varve_store_fault *fault,
                      struct varve_rows *missing) {
    struct varve_rows elsewhere = {0};
    varve_rows_sort(missing);
    bool good = find_elsewhere(store, missing, &elsewhere) || varve_store_no_memory(fault);
    for (size_t i = 0; i < missing->count && good; i++) {
        if (varve_rows_have(&elsewhere, missing->rows[i])) {
            continue;
        }
        sqlite3_stmt *gone = varve_sql(&store->main, VARVE_SQL_LOCATION_GONE);
        sqlite3_bind_int64(gone, 1, missing->rows[i]);
        sqlite3_bind_int64(gone, 2, store->scan);
        good = varve_sql_run(&store->main, fault, gone);
    }
    varve_rows_free(&elsewhere);
    return good;
}

bool varve_store_load(struct varve_store *store, struct varve_store_fault *fault) {
    size_t count = varve_catalog_blob_count(store->catalog);
    struct varve_rows missing = {0};
    store->known = calloc(count + 1, sizeof *store->known);
    store->turns = calloc(count + 1, sizeof *store->turns);
    if (!store->known || !store->turns) {
        return varve_store_no_memory(fault);
    }
    bool good = load_sources(store, fault) && load_scans(store, fault);
    for (size_t i = 0; i < varve_catalog_source_count(store->catalog) && good; i++) {
        bool loose = strcmp(varve_catalog_source_name(store->catalog, i), "file") == 0;
        good = loose || load_source(store, fault, &missing, i);
    }
    for (size_t i = 0; i < count && good; i++) {
        good = varve_catalog_operand(store->catalog, i) || load_loose(store, fault, i);
    }
    good = good && mark_gone(store, fault, &missing);
    varve_rows_free(&missing);
    return good;
}
