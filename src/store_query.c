/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_query.c - questions and their answers, row by row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

struct varve_query {
    sqlite3 *db;
    sqlite3_stmt *statement;
};

static enum varve_store_status refuse(struct varve_store_fault *fault, const char *format,
                                      const char *name) {
    fault->status = VARVE_STORE_UNUSABLE;
    snprintf(fault->message, sizeof fault->message, format, name);
    return fault->status;
}

/* What a question about scans must know of the one that was the last to begin. */
static bool bind_ended(struct varve_query *query, struct varve_store_fault *fault,
                       struct varve_store *store) {
    int64_t row = 0;
    const char *state = NULL;
    if (sqlite3_bind_parameter_count(query->statement) <= 2) {
        return true;
    }
    if (!varve_store_ended(store, fault, &row, &state)) {
        return false;
    }
    sqlite3_bind_int64(query->statement, 3, row);
    varve_bind_text(query->statement, 4, state);
    return true;
}

enum varve_store_status varve_query_open(struct varve_query **out, struct varve_store_fault *fault,
                                         struct varve_store *store, const char *name,
                                         const char *rung, uint64_t limit) {
    bool takes_rung = false;
    const char *question = varve_store_question(name, &takes_rung);
    *out = NULL;
    *fault = (struct varve_store_fault){0};
    if (!question) {
        return refuse(fault, "there is no question named '%s'", name);
    }
    if (rung && !takes_rung) {
        return refuse(fault, "'%s' takes no rung", name);
    }
    struct varve_query *query = calloc(1, sizeof *query);
    char *sql = sqlite3_mprintf("%s LIMIT ?2", question);
    if (!query || !sql) {
        free(query);
        sqlite3_free(sql);
        varve_store_no_memory(fault);
        return fault->status;
    }
    query->db = store->main.db;
    if (sqlite3_prepare_v2(query->db, sql, -1, &query->statement, NULL) != SQLITE_OK) {
        varve_store_blame(fault, query->db, "the question cannot be asked");
    } else if (bind_ended(query, fault, store)) {
        varve_bind_text(query->statement, 1, rung);
        sqlite3_bind_int64(query->statement, 2, limit && limit <= INT64_MAX ? (int64_t)limit : -1);
        *out = query;
    }
    sqlite3_free(sql);
    if (!*out) {
        varve_query_close(query);
    }
    return fault->status;
}

void varve_query_close(struct varve_query *query) {
    if (query) {
        sqlite3_finalize(query->statement);
        free(query);
    }
}

size_t varve_query_column_count(const struct varve_query *query) {
    return (size_t)sqlite3_column_count(query->statement);
}

const char *varve_query_column(const struct varve_query *query, size_t column) {
    return sqlite3_column_name(query->statement, (int)column);
}

enum varve_store_status varve_query_next(struct varve_query *query, bool *row,
                                         struct varve_store_fault *fault) {
    int code = sqlite3_step(query->statement);
    *fault = (struct varve_store_fault){0};
    *row = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        varve_store_blame(fault, query->db, "the question cannot be answered");
    }
    return fault->status;
}

struct varve_value varve_query_value(const struct varve_query *query, size_t column) {
    sqlite3_stmt *row = query->statement;
    int at = (int)column;
    switch (sqlite3_column_type(row, at)) {
    case SQLITE_NULL:
        return (struct varve_value){.kind = VARVE_VALUE_NONE};
    case SQLITE_INTEGER:
        return (struct varve_value){.kind = VARVE_VALUE_INTEGER,
                                    .integer = sqlite3_column_int64(row, at)};
    case SQLITE_FLOAT:
        return (struct varve_value){.kind = VARVE_VALUE_REAL,
                                    .real = sqlite3_column_double(row, at)};
    default: {
        const char *bytes = (const char *)sqlite3_column_blob(row, at);
        return (struct varve_value){.kind = VARVE_VALUE_TEXT,
                                    .bytes = bytes ? bytes : "",
                                    .count = bytes ? (size_t)sqlite3_column_bytes(row, at) : 0};
    }
    }
}

/* A state of a scan that did not finish, as one of the words that there are. */
static const char *unfinished(const char *text) {
    static const char *const words[] = {"none",        "running", "killed",
                                        "interrupted", "partial", "failed"};
    for (size_t i = 0; text && i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], text) == 0) {
            return words[i];
        }
    }
    return "unknown";
}

enum varve_store_status varve_store_gaps(struct varve_store *store, struct varve_store_gaps *gaps,
                                         struct varve_store_fault *fault) {
    /* clang-format off */
    static const char sql[] =
        "SELECT (SELECT count(*) FROM error WHERE status = 'error'),"
        " (SELECT count(*) FROM image WHERE gone IS NULL AND status = 'error' AND code IS NOT NULL),"
        " (SELECT count(*) FROM location"
        "   WHERE gone IS NULL AND " VARVE_SQL_IS_UNREAD("location.code") "),"
        " (SELECT CASE WHEN count(*) = 0 THEN 'none' END FROM scan),"
        " (SELECT CASE WHEN state = 'running' AND id <= ?1 THEN ?2 ELSE state END FROM scan"
        "   WHERE state <> 'finished'"
        "   AND (id = (SELECT max(id) FROM scan) OR id IN (SELECT scan FROM source))"
        "   ORDER BY id DESC LIMIT 1)";
    /* clang-format on */
    sqlite3 *db = store->main.db;
    sqlite3_stmt *row = NULL;
    int64_t ended = 0;
    const char *state = NULL;
    *gaps = (struct varve_store_gaps){0};
    *fault = (struct varve_store_fault){0};
    if (!varve_store_ended(store, fault, &ended, &state)) {
        return fault->status;
    }
    bool good = sqlite3_prepare_v2(db, sql, -1, &row, NULL) == SQLITE_OK &&
                sqlite3_bind_int64(row, 1, ended) == SQLITE_OK &&
                sqlite3_bind_text(row, 2, state, -1, SQLITE_STATIC) == SQLITE_OK &&
                sqlite3_step(row) == SQLITE_ROW;
    if (good) {
        gaps->errors = (uint64_t)sqlite3_column_int64(row, 0);
        gaps->images = (uint64_t)sqlite3_column_int64(row, 1);
        gaps->layers = (uint64_t)sqlite3_column_int64(row, 2);
        for (int i = 3; i < 5 && !gaps->state; i++) {
            gaps->state = sqlite3_column_type(row, i) == SQLITE_NULL
                              ? NULL
                              : unfinished((const char *)sqlite3_column_text(row, i));
        }
    } else {
        varve_store_blame(fault, db, "the database cannot be read");
    }
    sqlite3_finalize(row);
    return fault->status;
}
