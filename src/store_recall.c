/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_recall.c - recalling what is known of a blob. Each of a scan's threads reads by a
 * connection of its own, so that none waits for another. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "name_map.h"
#include "store_internal.h"

static const char *status_word(int i) {
    return varve_status_name((enum varve_status)i);
}
static const char *compression_word(int i) {
    return varve_compression_name((enum varve_compression)i);
}
static const char *format_word(int i) {
    return varve_format_name((enum varve_format)i);
}

static bool read_digests(sqlite3_stmt *rows, struct varve_connection *connection,
                         struct varve_store_fault *fault, uint32_t *present,
                         uint8_t (*digests)[VARVE_SHA256_BYTES], int count) {
    bool good = true;
    while (varve_sql_row(connection, fault, &good, rows)) {
        int which = sqlite3_column_int(rows, 0);
        const void *digest = sqlite3_column_blob(rows, 1);
        if (which >= 0 && which < count && digest &&
            sqlite3_column_bytes(rows, 1) == VARVE_SHA256_BYTES) {
            *present |= 1u << which;
            memcpy(digests[which], digest, VARVE_SHA256_BYTES);
        }
    }
    return good;
}

static bool recall_blob(struct varve_connection *connection, struct varve_store_fault *fault,
                        struct varve_layer *layer, int64_t blob) {
    bool good = true;
    sqlite3_stmt *get = varve_sql(connection, VARVE_SQL_BLOB_GET);
    sqlite3_bind_int64(get, 1, blob);
    if (!varve_sql_row(connection, fault, &good, get) ||
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
    const char *word = number == VARVE_NAME_NONE ? NULL : words.names[number];
    pthread_mutex_unlock(&mutex);
    return word;
}

/* Whether a word that is there could not be kept. */
static bool refused_word(sqlite3_stmt *row, int at, const char *word) {
    return !word && sqlite3_column_type(row, at) != SQLITE_NULL;
}

static bool recall_layer(const struct varve_store *store, struct varve_connection *connection,
                         struct varve_store_fault *fault, struct varve_layer *layer, int64_t blob) {
    bool good = true;
    sqlite3_stmt *get = varve_sql(connection, VARVE_SQL_LAYER_GET);
    sqlite3_bind_int64(get, 1, blob);
    if (!varve_sql_row(connection, fault, &good, get)) {
        return false;
    }
    int status = varve_column_word(get, 0, status_word, 6, VARVE_ERROR);
    int code = varve_column_code(store, get, 1);
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
    layer->compression = (enum varve_compression)varve_column_word(
        get, 5, compression_word, VARVE_COMPRESSION_XZ + 1, VARVE_COMPRESSION_NONE);
    layer->has_format = sqlite3_column_type(get, 6) != SQLITE_NULL;
    layer->format = (enum varve_format)varve_column_word(get, 6, format_word,
                                                         VARVE_FORMAT_OTHER + 1, VARVE_FORMAT_GZIP);
    layer->has_entries = sqlite3_column_type(get, 7) != SQLITE_NULL;
    layer->entry_count = (uint64_t)sqlite3_column_int64(get, 7);
    layer->toc = constant((const char *)sqlite3_column_text(get, 8));
    layer->encoder = constant((const char *)sqlite3_column_text(get, 9));
    layer->writer = constant((const char *)sqlite3_column_text(get, 10));
    layer->writer_evidence = constant((const char *)sqlite3_column_text(get, 11));
    const char *evidence = (const char *)sqlite3_column_text(get, 12);
    snprintf(layer->encoder_evidence, sizeof layer->encoder_evidence, "%s",
             evidence ? evidence : "");
    bool half = !layer->writer != !layer->writer_evidence; /* a guess has both; damage has not */
    bool words = half || refused_word(get, 8, layer->toc) || refused_word(get, 9, layer->encoder) ||
                 refused_word(get, 10, layer->writer) ||
                 refused_word(get, 11, layer->writer_evidence);
    /* A column that there was no memory for is told of here. */
    bool read = sqlite3_reset(get) == SQLITE_OK;
    return read && !words && (code >= 0 || status == VARVE_OK);
}

static bool recall_findings(const struct varve_store *store, struct varve_connection *connection,
                            struct varve_store_fault *fault, struct varve_findings *findings,
                            int64_t blob) {
    bool good = true;
    sqlite3_stmt *rows = varve_sql(connection, VARVE_SQL_FINDINGS);
    sqlite3_bind_int64(rows, 1, blob);
    while (varve_sql_row(connection, fault, &good, rows)) {
        int code = varve_column_code(store, rows, 0);
        bool entry = sqlite3_column_type(rows, 3) != SQLITE_NULL;
        const void *bytes = entry ? sqlite3_column_blob(rows, 3) : NULL;
        if (code >= 0 && varve_code_at((size_t)code)->finding) {
            varve_findings_add(findings, (enum varve_code)code,
                               (uint64_t)sqlite3_column_int64(rows, 1),
                               varve_column_offset(rows, 2), entry && !bytes ? "" : bytes,
                               (size_t)sqlite3_column_bytes(rows, 3));
        }
    }
    return good && !varve_findings_lost(findings);
}

/* --- readers --- */

/* Many blobs are recalled in one transaction: to lock and unlock the file for each statement would
 * cost more than what it finds. */
#define RECALLS_A_TRANSACTION 256

static void end_reading(struct varve_reader *reader) {
    if (reader->recalled > 0) {
        struct varve_store_fault fault;
        varve_sql_run(&reader->connection, &fault,
                      varve_sql(&reader->connection, VARVE_SQL_COMMIT));
        reader->recalled = 0;
    }
}

static bool open_reader(struct varve_store *store, struct varve_reader *reader,
                        struct varve_store_fault *fault) {
    return varve_connection_open(&reader->connection, fault, store->path, SQLITE_OPEN_READONLY,
                                 VARVE_STORE_WAIT_MS) &&
           varve_connection_prepare(&reader->connection, fault);
}

bool varve_store_open_readers(struct varve_store *store, struct varve_store_fault *fault) {
    unsigned threads = store->how.options->threads;
    store->reader_count = threads ? threads : varve_thread_default();
    store->readers = calloc(store->reader_count, sizeof *store->readers);
    return store->readers ? open_reader(store, &store->readers[0], fault)
                          : varve_store_no_memory(fault);
}

void varve_store_close_readers(struct varve_store *store) {
    for (size_t i = 0; store->readers && i < store->reader_count; i++) {
        varve_connection_close(&store->readers[i].connection);
    }
    free(store->readers);
    store->readers = NULL;
    store->reader_count = 0;
}

/* A connection for the calling thread alone: one that was opened before where it is idle, for there
 * are as many as the scan has threads, and not all may be needed. */
static struct varve_reader *take_reader(struct varve_store *store,
                                        struct varve_store_fault *fault) {
    struct varve_reader *reader = NULL;
    pthread_mutex_lock(&store->reader_mutex);
    while (!reader) {
        for (size_t i = 0; i < store->reader_count && !reader; i++) {
            reader = store->readers[i].busy ? NULL : &store->readers[i];
        }
        if (!reader) {
            pthread_cond_wait(&store->reader_idle, &store->reader_mutex);
        }
    }
    reader->busy = true;
    pthread_mutex_unlock(&store->reader_mutex);
    if (!reader->connection.db && !open_reader(store, reader, fault)) {
        varve_connection_close(&reader->connection);
    }
    return reader;
}

static void give_reader(struct varve_store *store, struct varve_reader *reader) {
    pthread_mutex_lock(&store->reader_mutex);
    /* Without a write-ahead log, who reads holds up who writes. */
    if (store->network || reader->let_go || reader->recalled >= RECALLS_A_TRANSACTION) {
        end_reading(reader);
        reader->let_go = false;
    }
    reader->busy = false;
    pthread_cond_signal(&store->reader_idle);
    pthread_mutex_unlock(&store->reader_mutex);
}

void varve_store_end_reading(struct varve_store *store) {
    pthread_mutex_lock(&store->reader_mutex);
    for (size_t i = 0; i < store->reader_count; i++) {
        struct varve_reader *reader = &store->readers[i];
        if (reader->busy) {
            reader->let_go = true;
        } else {
            end_reading(reader);
        }
    }
    pthread_mutex_unlock(&store->reader_mutex);
}

/* --- recalling --- */

static bool recall_all(const struct varve_store *store, struct varve_connection *connection,
                       struct varve_store_fault *fault, struct varve_layer *layer,
                       struct varve_findings *findings, int64_t blob) {
    bool good = recall_blob(connection, fault, layer, blob);
    if (good && store->depth != VARVE_DEPTH_BLOB) {
        sqlite3_stmt *rungs = varve_sql(connection, VARVE_SQL_RUNGS);
        sqlite3_stmt *facets = varve_sql(connection, VARVE_SQL_FACETS);
        sqlite3_bind_int64(rungs, 1, blob);
        sqlite3_bind_int64(facets, 1, blob);
        good = recall_layer(store, connection, fault, layer, blob) &&
               read_digests(rungs, connection, fault, &layer->rungs.present, layer->rungs.digest,
                            VARVE_RUNG_COUNT) &&
               read_digests(facets, connection, fault, &layer->facets.present, layer->facets.digest,
                            VARVE_FACET_COUNT) &&
               recall_findings(store, connection, fault, findings, blob);
    }
    return good;
}

bool varve_store_recall(struct varve_store *store, struct varve_layer *layer,
                        struct varve_findings *findings, size_t number) {
    const struct varve_known *known = &store->known[number];
    struct varve_store_fault fault = {0};
    if (!known->usable || store->reader_failed) {
        return false;
    }
    struct varve_reader *reader = take_reader(store, &fault);
    bool good = fault.status == VARVE_STORE_OK;
    if (good && reader->recalled++ == 0) {
        good = varve_sql_run(&reader->connection, &fault,
                             varve_sql(&reader->connection, VARVE_SQL_BEGIN_READING));
    }
    layer->checks.name = (enum varve_check)known->verdict.check_name;
    good = good && recall_all(store, &reader->connection, &fault, layer, findings, known->blob) &&
           fault.status == VARVE_STORE_OK;
    if (fault.status != VARVE_STORE_OK) {
        store->reader_failed = true;
    }
    give_reader(store, reader);
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
    bool good = true;
    struct varve_reader *reader = take_reader(store, &fault);
    if (fault.status != VARVE_STORE_OK) {
        give_reader(store, reader);
        varve_store_fail(store, &fault);
        return;
    }
    sqlite3_stmt *rows = varve_sql(&reader->connection, VARVE_SQL_ENTRIES);
    sqlite3_bind_int64(rows, 1, store->known[number].blob);
    while (varve_sql_row(&reader->connection, &fault, &good, rows)) {
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
    give_reader(store, reader);
    if (!good) {
        /* What was given is not all: the scan ends with the store's fault. */
        varve_store_fail(store, &fault);
    }
}
