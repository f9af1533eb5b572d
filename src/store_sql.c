/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_sql.c - connections, statements, values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "digest_name.h"
#include "store_internal.h"

static const char *const statements[VARVE_SQL_COUNT] = {
#define STATEMENT(id, sql) sql,
#include "store_statements.def"
#undef STATEMENT
};

bool varve_store_no_memory(struct varve_store_fault *fault) {
    *fault = (struct varve_store_fault){VARVE_STORE_NO_MEMORY, "out of memory"};
    return false;
}

bool varve_store_blame(struct varve_store_fault *fault, sqlite3 *db, const char *doing) {
    int code = db ? sqlite3_errcode(db) : SQLITE_NOMEM;
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        fault->status = VARVE_STORE_LOCKED;
        break;
    case SQLITE_NOMEM:
        fault->status = VARVE_STORE_NO_MEMORY;
        break;
    default:
        fault->status = VARVE_STORE_UNUSABLE;
    }
    snprintf(fault->message, sizeof fault->message, "%s: %s", doing,
             db ? sqlite3_errmsg(db) : "out of memory");
    return false;
}

bool varve_store_damaged(struct varve_store_fault *fault, const char *what) {
    fault->status = VARVE_STORE_UNUSABLE;
    snprintf(fault->message, sizeof fault->message, "the database is damaged: %s", what);
    return false;
}

bool varve_store_lacks(struct varve_store_fault *fault, sqlite3 *db, const char *what) {
    char text[64];
    if (sqlite3_errcode(db) == SQLITE_NOMEM) {
        return varve_store_no_memory(fault);
    }
    snprintf(text, sizeof text, "%s is not as it should be", what);
    return varve_store_damaged(fault, text);
}

bool varve_store_execute(sqlite3 *db, struct varve_store_fault *fault, const char *sql,
                         const char *doing) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ||
           varve_store_blame(fault, db, doing);
}

bool varve_connection_open(struct varve_connection *connection, struct varve_store_fault *fault,
                           const char *path, int flags, unsigned wait_ms) {
    /* A relative path that looks like an option of SQLite's (":memory:") is a file here. */
    char *name = flags & SQLITE_OPEN_URI || *path == '/' ? sqlite3_mprintf("%s", path)
                                                         : sqlite3_mprintf("./%s", path);
    int code = name ? sqlite3_open_v2(name, &connection->db, flags | SQLITE_OPEN_NOMUTEX, NULL)
                    : SQLITE_NOMEM;
    sqlite3_free(name);
    if (code != SQLITE_OK) {
        return varve_store_blame(fault, connection->db, "the database cannot be opened");
    }
    sqlite3_extended_result_codes(connection->db, 1);
    sqlite3_busy_timeout(connection->db, (int)wait_ms);
    /* The file may be anyone's: nothing in its schema runs but what tables and views need, and
     * cells are looked at before they are believed (sqlite.org/security.html). */
    sqlite3_db_config(connection->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(connection->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(connection->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return varve_store_execute(connection->db, fault, "PRAGMA cell_size_check = ON", "checking");
}

bool varve_connection_prepare(struct varve_connection *connection,
                              struct varve_store_fault *fault) {
    for (size_t i = 0; i < VARVE_SQL_COUNT; i++) {
        if (!connection->statements[i] &&
            sqlite3_prepare_v3(connection->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &connection->statements[i], NULL) != SQLITE_OK) {
            return varve_store_blame(fault, connection->db, "the database is not as it should be");
        }
    }
    return true;
}

void varve_connection_close(struct varve_connection *connection) {
    for (size_t i = 0; i < VARVE_SQL_COUNT; i++) {
        sqlite3_finalize(connection->statements[i]);
        connection->statements[i] = NULL;
    }
    sqlite3_close(connection->db);
    connection->db = NULL;
}

sqlite3_stmt *varve_sql(struct varve_connection *connection, enum varve_statement which) {
    sqlite3_stmt *statement = connection->statements[which];
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return statement;
}

bool varve_sql_row(struct varve_connection *connection, struct varve_store_fault *fault, bool *good,
                   sqlite3_stmt *statement) {
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        return true;
    }
    if (code != SQLITE_DONE) {
        *good = varve_store_blame(fault, connection->db, "the database");
    }
    sqlite3_reset(statement);
    return false;
}

bool varve_sql_run(struct varve_connection *connection, struct varve_store_fault *fault,
                   sqlite3_stmt *statement) {
    bool good = true;
    varve_sql_row(connection, fault, &good, statement);
    return good;
}

void varve_bind_offset(sqlite3_stmt *statement, int at, uint64_t offset) {
    if (offset != VARVE_NO_OFFSET) {
        sqlite3_bind_int64(statement, at, (int64_t)offset);
    }
}

uint64_t varve_column_offset(sqlite3_stmt *statement, int at) {
    return sqlite3_column_type(statement, at) == SQLITE_NULL
               ? VARVE_NO_OFFSET
               : (uint64_t)sqlite3_column_int64(statement, at);
}

void varve_bind_code(const struct varve_store *store, sqlite3_stmt *statement, int at, int code) {
    if (code >= 0) {
        sqlite3_bind_int64(statement, at, store->code_rows[code]);
    }
}

void varve_bind_text(sqlite3_stmt *statement, int at, const char *text) {
    if (text) {
        sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
    }
}

/* RFC 3629, and no NUL: what a TEXT can hold without being cut. */
static bool is_text(const uint8_t *p, size_t count) {
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < count;) {
        uint8_t lead = p[i++];
        size_t more = lead < 0x80 ? 0 : lead < 0xc0 ? 9 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        if (lead == 0 || lead > 0xf4 || more > count - i) {
            return false;
        }
        uint32_t point = more ? lead & (0x3fu >> more) : lead;
        for (size_t j = 0; j < more; j++, i++) {
            if ((p[i] & 0xc0) != 0x80) {
                return false;
            }
            point = point << 6 | (p[i] & 0x3fu);
        }
        if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
            return false;
        }
    }
    return true;
}

void varve_bind_bytes(sqlite3_stmt *statement, int at, const void *bytes, size_t count) {
    if (!count) {
        sqlite3_bind_text(statement, at, "", 0, SQLITE_STATIC);
    } else if (is_text(bytes, count)) {
        sqlite3_bind_text64(statement, at, bytes, count, SQLITE_STATIC, SQLITE_UTF8);
    } else {
        sqlite3_bind_blob64(statement, at, bytes, count, SQLITE_STATIC);
    }
}

bool varve_bind_name(sqlite3_stmt *statement, int at, const char *name) {
    struct varve_digest_name digest;
    if (varve_digest_name_parse(&digest, name, strlen(name))) {
        return sqlite3_bind_blob64(statement, at, digest.bytes, digest.count, SQLITE_TRANSIENT) ==
               SQLITE_OK;
    }
    /* Whatever it is: bytes would be taken for a digest. */
    return sqlite3_bind_text(statement, at, name, -1, SQLITE_TRANSIENT) == SQLITE_OK;
}

const char *varve_column_name(char digest[VARVE_DIGEST_TEXT_BYTES], sqlite3_stmt *row, int at) {
    if (sqlite3_column_type(row, at) != SQLITE_BLOB) {
        return (const char *)sqlite3_column_text(row, at);
    }
    struct varve_digest_name name = {.algorithm = VARVE_ALGORITHM_SHA256};
    const void *bytes = sqlite3_column_blob(row, at);
    name.count = (size_t)sqlite3_column_bytes(row, at);
    if (name.count == 64) {
        name.algorithm = VARVE_ALGORITHM_SHA512;
    } else if (name.count != 32) {
        return NULL;
    }
    memcpy(name.bytes, bytes, name.count);
    varve_digest_name_text(digest, &name);
    return digest;
}

int varve_column_word(sqlite3_stmt *row, int at, const char *(*name)(int), int count,
                      int otherwise) {
    int found = varve_store_word((const char *)sqlite3_column_text(row, at), name, count);
    return found < 0 ? otherwise : found;
}

int varve_column_code(const struct varve_store *store, sqlite3_stmt *row, int at) {
    int64_t code = sqlite3_column_int64(row, at);
    bool there = sqlite3_column_type(row, at) != SQLITE_NULL && code >= 0 &&
                 (size_t)code < store->code_of_row_count;
    return there ? store->code_of_row[code] : -1;
}

int varve_store_code(const char *code) {
    for (int i = 0; code && i < VARVE_CODE_COUNT; i++) {
        const char *known = varve_code_at((size_t)i)->code;
        if (known == code || strcmp(known, code) == 0) {
            return i;
        }
    }
    return -1;
}

int varve_store_word(const char *text, const char *(*name)(int), int count) {
    for (int i = 0; text && i < count; i++) {
        if (strcmp(name(i), text) == 0) {
            return i;
        }
    }
    return -1;
}

/* `text` with what begins at `place` in it made absolute. */
static char *make_absolute(const char *text, const char *place) {
    char *whole = NULL;
    if (*place == '/') {
        return strdup(text);
    }
    char *here = get_current_dir_name();
    if (!here || asprintf(&whole, "%.*s%s%s%s", (int)(place - text), text, here, *place ? "/" : "",
                          place) < 0) {
        whole = NULL;
    }
    free(here);
    return whole;
}

char *varve_store_source_name(const char *source) {
    const char *colon = strchr(source, ':');
    const char *slash = strchr(source, '/');
    return make_absolute(source, colon && (!slash || colon < slash) ? colon + 1 : source);
}

char *varve_store_path(const char *path) {
    return make_absolute(path, path);
}
