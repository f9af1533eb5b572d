/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_known.c - what the database knows of a catalog's blobs, and recalling it.
 *
 * A blob need not be read where its file has the path, size, modification time and inode that it
 * had when it was read last, and what was computed then was computed by this version of the ladder
 * on these libraries. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "name_map.h"
#include "store_internal.h"

static const char *status_word(int i) {
    return varve_status_name((enum varve_status)i);
}
static const char *check_word(int i) {
    return varve_check_name((enum varve_check)i);
}
static const char *compression_word(int i) {
    return varve_compression_name((enum varve_compression)i);
}
static const char *format_word(int i) {
    return varve_format_name((enum varve_format)i);
}

/* A word of a column; what is unknown there gives `otherwise`. */
static int read_word(sqlite3_stmt *statement, int at, const char *(*name)(int), int count,
                     int otherwise) {
    int found = varve_store_word((const char *)sqlite3_column_text(statement, at), name, count);
    return found < 0 ? otherwise : found;
}

static int read_code(const struct varve_store *store, sqlite3_stmt *statement, int at) {
    int64_t row = sqlite3_column_int64(statement, at);
    bool there = sqlite3_column_type(statement, at) != SQLITE_NULL && row >= 0 &&
                 (size_t)row < store->code_of_row_count;
    return there ? store->code_of_row[row] : -1;
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
        varve_bind_name(statement, 2, blob.name);
        return true;
    }
    char *path = varve_store_path(blob.name);
    if (path) {
        varve_bind_name(statement, 2, path);
    }
    free(path);
    return path != NULL;
}

/* Sources without a fault; loose files are never all that there are. */
static bool is_whole(const struct varve_catalog *catalog, const char *name) {
    size_t count = strlen(name);
    if (strcmp(name, "file") == 0) {
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
        bool row = false;
        sqlite3_stmt *add = varve_sql(main, VARVE_SQL_SOURCE_ADD);
        sqlite3_stmt *find = varve_sql(main, VARVE_SQL_SOURCE_FIND);
        varve_bind_text(add, 1, name);
        sqlite3_bind_int64(add, 2, store->scan);
        varve_bind_text(find, 1, name);
        good = (name || varve_store_no_memory(fault)) && varve_sql_run(main, fault, add) &&
               varve_sql_step(main, fault, find, &row);
        store->sources[i].row = good && row ? sqlite3_column_int64(find, 0) : 0;
        store->sources[i].whole = is_whole(store->catalog, given);
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
    store->scan_count = (size_t)store->scan + 1;
    store->scans = calloc(store->scan_count, 1);
    if (!store->scans) {
        return varve_store_no_memory(fault);
    }
    /* The last row is this scan's own: once to read it, once to compare. */
    for (int pass = 0; pass < 2; pass++) {
        sqlite3_stmt *scans = varve_sql(main, VARVE_SQL_SCANS);
        bool row = true;
        while (varve_sql_step(main, fault, scans, &row) && row) {
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
        if (row) {
            return false;
        }
    }
    return true;
}

/* Whether what is known of a blob's bytes is as much as this scan wants, and as good. */
static bool is_enough(struct varve_store *store, struct varve_connection *connection,
                      struct varve_store_fault *fault, int64_t blob, bool *enough) {
    bool row = false;
    *enough = store->depth == VARVE_DEPTH_BLOB;
    if (*enough) {
        return true;
    }
    sqlite3_stmt *state = varve_sql(connection, VARVE_SQL_LAYER_STATE);
    sqlite3_bind_int64(state, 1, blob);
    if (!varve_sql_step(connection, fault, state, &row)) {
        return false;
    }
    if (row) {
        int64_t scan = sqlite3_column_int64(state, 0);
        unsigned bits = scan >= 0 && (size_t)scan < store->scan_count ? store->scans[scan] : 0;
        bool deep = strcmp((const char *)sqlite3_column_text(state, 1), "content") == 0;
        int status = read_word(state, 2, status_word, 6, VARVE_ERROR);
        *enough = (bits & VARVE_SCAN_SAME_PRODUCER) &&
                  deep == (store->depth == VARVE_DEPTH_CONTENT) && status != VARVE_ERROR &&
                  (status != VARVE_LIMIT || (bits & VARVE_SCAN_SAME_LIMITS)) &&
                  (!store->entries || sqlite3_column_int(state, 3));
    }
    sqlite3_reset(state);
    return true;
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
        .status = (uint8_t)read_word(row, 2, status_word, 6, VARVE_ERROR),
        .code = (int16_t)read_code(store, row, 3),
        .offset_stored = varve_column_offset(row, 4),
        .offset_decoded = varve_column_offset(row, 5),
        .os_errno = sqlite3_column_int(row, 6),
        .check_name = (uint8_t)read_word(row, 7, check_word, 3, VARVE_CHECK_NONE),
        .check_size = (uint8_t)read_word(row, 8, check_word, 3, VARVE_CHECK_NONE),
        .check_diffid = (uint8_t)read_word(row, 9, check_word, 3, VARVE_CHECK_NONE),
        .check_media_type = (uint8_t)read_word(row, 10, check_word, 3, VARVE_CHECK_NONE),
        .referenced = sqlite3_column_int(row, 11) != 0,
        .gone = sqlite3_column_type(row, 17) != SQLITE_NULL,
    };
}

static bool load_location(struct varve_store *store, struct varve_store_fault *fault,
                          size_t number) {
    struct varve_known *known = &store->known[number];
    struct varve_stamp stamp;
    bool row = false;
    bool enough = false;
    sqlite3_stmt *find = varve_sql(&store->main, VARVE_SQL_LOCATION_FIND);
    if (!varve_bind_location(store, find, number)) {
        return varve_store_no_memory(fault);
    }
    if (!varve_sql_step(&store->main, fault, find, &row) || !row) {
        return !row && fault->status == VARVE_STORE_OK;
    }
    read_location(store, known, find);
    bool same = known->blob && !store->how.rescan &&
                varve_catalog_stamp(store->catalog, &stamp, number) && is_same_file(find, &stamp);
    sqlite3_reset(find);
    if (same && !is_enough(store, &store->main, fault, known->blob, &enough)) {
        return false;
    }
    known->usable = enough && known->verified_at >= store->how.reverify_before;
    if (enough && !known->usable) {
        store->turns[number] = known->verified_at > 0 ? (uint64_t)known->verified_at : 1;
    }
    return true;
}

/* Rows of sources that were read whole, without a blob in the catalog. `here` has a bit for each
 * row that has one. */
static bool mark_gone(struct varve_store *store, struct varve_store_fault *fault,
                      const uint8_t *here, size_t here_bytes) {
    struct varve_connection *main = &store->main;
    for (size_t i = 0; i < varve_catalog_source_count(store->catalog); i++) {
        bool row = true;
        if (!store->sources[i].whole) {
            continue;
        }
        sqlite3_stmt *locations = varve_sql(main, VARVE_SQL_LOCATIONS_OF);
        sqlite3_bind_int64(locations, 1, store->sources[i].row);
        while (varve_sql_step(main, fault, locations, &row) && row) {
            int64_t id = sqlite3_column_int64(locations, 0);
            if ((size_t)id / 8 < here_bytes && here[id / 8] >> (id % 8) & 1) {
                continue;
            }
            sqlite3_stmt *gone = varve_sql(main, VARVE_SQL_LOCATION_GONE);
            sqlite3_bind_int64(gone, 1, id);
            sqlite3_bind_int64(gone, 2, store->scan);
            if (!varve_sql_run(main, fault, gone)) {
                sqlite3_reset(locations);
                return false;
            }
        }
        if (row) {
            return false;
        }
    }
    return true;
}

bool varve_store_load(struct varve_store *store, struct varve_store_fault *fault) {
    size_t count = varve_catalog_blob_count(store->catalog);
    int64_t most = 0;
    store->known = calloc(count + 1, sizeof *store->known);
    store->turns = calloc(count + 1, sizeof *store->turns);
    if (!store->known || !store->turns) {
        return varve_store_no_memory(fault);
    }
    bool good = load_sources(store, fault) && load_scans(store, fault);
    for (size_t i = 0; i < count && good; i++) {
        good = load_location(store, fault, i);
        most = store->known[i].location > most ? store->known[i].location : most;
    }
    size_t here_bytes = (size_t)most / 8 + 1;
    uint8_t *here = good ? calloc(here_bytes, 1) : NULL;
    if (good && !here) {
        return varve_store_no_memory(fault);
    }
    for (size_t i = 0; i < count && good; i++) {
        int64_t id = store->known[i].location;
        here[id / 8] |= (uint8_t)(1u << id % 8);
    }
    good = good && mark_gone(store, fault, here, here_bytes);
    free(here);
    return good;
}

/* --- recalling --- */

static void read_digests(sqlite3_stmt *rows, struct varve_connection *connection,
                         struct varve_store_fault *fault, uint32_t *present,
                         uint8_t (*digests)[VARVE_SHA256_BYTES], int count) {
    bool row = false;
    while (varve_sql_step(connection, fault, rows, &row) && row) {
        int which = sqlite3_column_int(rows, 0);
        const void *digest = sqlite3_column_blob(rows, 1);
        if (which >= 0 && which < count && digest &&
            sqlite3_column_bytes(rows, 1) == VARVE_SHA256_BYTES) {
            *present |= 1u << which;
            memcpy(digests[which], digest, VARVE_SHA256_BYTES);
        }
    }
}

static bool recall_blob(struct varve_store *store, struct varve_store_fault *fault,
                        struct varve_layer *layer, int64_t blob) {
    bool row = false;
    sqlite3_stmt *get = varve_sql(&store->reader, VARVE_SQL_BLOB_GET);
    sqlite3_bind_int64(get, 1, blob);
    if (!varve_sql_step(&store->reader, fault, get, &row) || !row ||
        sqlite3_column_bytes(get, 0) != VARVE_SHA256_BYTES) {
        sqlite3_reset(get);
        return false;
    }
    layer->rungs.present |= 1u << VARVE_RUNG_BLOB;
    memcpy(layer->rungs.digest[VARVE_RUNG_BLOB], sqlite3_column_blob(get, 0), VARVE_SHA256_BYTES);
    layer->bytes_stored = (uint64_t)sqlite3_column_int64(get, 1);
    sqlite3_reset(get);
    return true;
}

/* Text that a layer's result points to lives in the library: the same words as constants. Those of
 * a database by the same make of varve are among them; but rather than listing them all, each
 * distinct word is kept once for the life of the process. */
static const char *constant(const char *text) {
    static struct varve_name_map words;
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    if (!text) {
        return NULL;
    }
    pthread_mutex_lock(&mutex);
    uint32_t number = varve_name_map_add(&words, NULL, text);
    const char *word = number == VARVE_NAME_NONE ? "unknown" : words.names[number];
    pthread_mutex_unlock(&mutex);
    return word;
}

static bool recall_layer(struct varve_store *store, struct varve_store_fault *fault,
                         struct varve_layer *layer, int64_t blob) {
    bool row = false;
    sqlite3_stmt *get = varve_sql(&store->reader, VARVE_SQL_LAYER_GET);
    sqlite3_bind_int64(get, 1, blob);
    if (!varve_sql_step(&store->reader, fault, get, &row) || !row) {
        sqlite3_reset(get);
        return false;
    }
    int status = read_word(get, 0, status_word, 6, VARVE_ERROR);
    int code = read_code(store, get, 1);
    if (code >= 0) {
        const struct varve_code_info *info = varve_code_at((size_t)code);
        layer->content_fault = (struct varve_fault){
            .code = info->code,
            .message = info->text,
            .status = (enum varve_status)status,
            .offset_stored = varve_column_offset(get, 2),
            .offset_decoded = varve_column_offset(get, 3),
        };
    }
    layer->decoded = true;
    layer->bytes_decoded = (uint64_t)sqlite3_column_int64(get, 4);
    layer->compression = (enum varve_compression)read_word(
        get, 5, compression_word, VARVE_COMPRESSION_XZ + 1, VARVE_COMPRESSION_NONE);
    layer->has_format = sqlite3_column_type(get, 6) != SQLITE_NULL;
    layer->format = (enum varve_format)read_word(get, 6, format_word, VARVE_FORMAT_OTHER + 1,
                                                 VARVE_FORMAT_GZIP);
    layer->has_entries = sqlite3_column_type(get, 7) != SQLITE_NULL;
    layer->entry_count = (uint64_t)sqlite3_column_int64(get, 7);
    layer->toc = constant((const char *)sqlite3_column_text(get, 8));
    layer->encoder = constant((const char *)sqlite3_column_text(get, 9));
    layer->writer = constant((const char *)sqlite3_column_text(get, 10));
    layer->writer_evidence = constant((const char *)sqlite3_column_text(get, 11));
    const char *evidence = (const char *)sqlite3_column_text(get, 12);
    snprintf(layer->encoder_evidence, sizeof layer->encoder_evidence, "%s",
             evidence ? evidence : "");
    sqlite3_reset(get);
    return code >= 0 || status == VARVE_OK;
}

static void recall_findings(struct varve_store *store, struct varve_store_fault *fault,
                            struct varve_findings *findings, int64_t blob) {
    bool row = false;
    sqlite3_stmt *rows = varve_sql(&store->reader, VARVE_SQL_FINDINGS);
    sqlite3_bind_int64(rows, 1, blob);
    while (varve_sql_step(&store->reader, fault, rows, &row) && row) {
        int code = read_code(store, rows, 0);
        bool entry = sqlite3_column_type(rows, 3) != SQLITE_NULL;
        const void *bytes = entry ? sqlite3_column_blob(rows, 3) : NULL;
        if (code >= 0 && varve_code_at((size_t)code)->finding) {
            varve_findings_add(findings, (enum varve_code)code,
                               (uint64_t)sqlite3_column_int64(rows, 1),
                               varve_column_offset(rows, 2), entry && !bytes ? "" : bytes,
                               (size_t)sqlite3_column_bytes(rows, 3));
        }
    }
}

/* Many blobs are recalled in one transaction: to lock and unlock the file for each statement would
 * cost more than what it finds. */
#define RECALLS_A_TRANSACTION 256

static void begin_reading(struct varve_store *store, struct varve_store_fault *fault) {
    if (store->recalled++ == 0) {
        varve_sql_run(&store->reader, fault, varve_sql(&store->reader, VARVE_SQL_BEGIN_READING));
    }
}

static void end_reading(struct varve_store *store) {
    if (store->recalled > 0) {
        struct varve_store_fault fault;
        varve_sql_run(&store->reader, &fault, varve_sql(&store->reader, VARVE_SQL_COMMIT));
        store->recalled = 0;
    }
}

void varve_store_end_reading(struct varve_store *store) {
    pthread_mutex_lock(&store->reader_mutex);
    end_reading(store);
    pthread_mutex_unlock(&store->reader_mutex);
}

bool varve_store_recall(struct varve_store *store, struct varve_layer *layer,
                        struct varve_findings *findings, size_t number) {
    const struct varve_known *known = &store->known[number];
    struct varve_store_fault fault = {0};
    if (!known->usable) {
        return false;
    }
    pthread_mutex_lock(&store->reader_mutex);
    if (store->reader_failed) {
        pthread_mutex_unlock(&store->reader_mutex);
        return false;
    }
    begin_reading(store, &fault);
    bool good = recall_blob(store, &fault, layer, known->blob);
    layer->checks.name = (enum varve_check)known->verdict.check_name;
    if (good && store->depth != VARVE_DEPTH_BLOB) {
        good = recall_layer(store, &fault, layer, known->blob);
        sqlite3_stmt *rungs = varve_sql(&store->reader, VARVE_SQL_RUNGS);
        sqlite3_bind_int64(rungs, 1, known->blob);
        read_digests(rungs, &store->reader, &fault, &layer->rungs.present, layer->rungs.digest,
                     VARVE_RUNG_COUNT);
        sqlite3_stmt *facets = varve_sql(&store->reader, VARVE_SQL_FACETS);
        sqlite3_bind_int64(facets, 1, known->blob);
        read_digests(facets, &store->reader, &fault, &layer->facets.present, layer->facets.digest,
                     VARVE_FACET_COUNT);
        recall_findings(store, &fault, findings, known->blob);
    }
    /* Without a write-ahead log, who reads holds up who writes. */
    if (store->network || store->recalled >= RECALLS_A_TRANSACTION) {
        end_reading(store);
    }
    store->reader_failed = fault.status != VARVE_STORE_OK;
    pthread_mutex_unlock(&store->reader_mutex);
    good = good && fault.status == VARVE_STORE_OK;
    if (!good) {
        /* It is read instead. */
        *layer = (struct varve_layer){0};
    }
    return good;
}

/* A column of text or bytes. */
static struct varve_bytes read_bytes(sqlite3_stmt *row, int at) {
    const uint8_t *bytes = sqlite3_column_blob(row, at);
    return (struct varve_bytes){bytes, bytes ? (size_t)sqlite3_column_bytes(row, at) : 0};
}

void varve_store_each_entry(struct varve_store *store, size_t number,
                            void (*each)(void *cookie, const struct varve_ladder_entry *entry),
                            void *cookie) {
    struct varve_store_fault fault = {0};
    bool row = false;
    pthread_mutex_lock(&store->reader_mutex);
    sqlite3_stmt *rows = varve_sql(&store->reader, VARVE_SQL_ENTRIES);
    sqlite3_bind_int64(rows, 1, store->known[number].blob);
    while (varve_sql_step(&store->reader, &fault, rows, &row) && row) {
        struct varve_ladder_entry entry = {
            .path = read_bytes(rows, 0),
            .typeflag = (uint8_t)sqlite3_column_int(rows, 1),
            .size = (uint64_t)sqlite3_column_int64(rows, 2),
            .mode = (uint64_t)sqlite3_column_int64(rows, 3),
            .uid = sqlite3_column_int64(rows, 4),
            .gid = sqlite3_column_int64(rows, 5),
            .mtime = {sqlite3_column_int64(rows, 6), (uint32_t)sqlite3_column_int64(rows, 7), true},
            .link = read_bytes(rows, 8),
            .uname = read_bytes(rows, 9),
            .gname = read_bytes(rows, 10),
        };
        struct varve_bytes sha256 = read_bytes(rows, 11);
        entry.has_sha256 = sha256.count == VARVE_SHA256_BYTES;
        if (entry.has_sha256) {
            memcpy(entry.sha256, sha256.bytes, VARVE_SHA256_BYTES);
        }
        each(cookie, &entry);
    }
    pthread_mutex_unlock(&store->reader_mutex);
}
