/* SPDX-License-Identifier: Apache-2.0 */
/* src/store.c - opening a database, locking it, a scan's beginning and end. */
#include "varve/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "path.h"
#include "store_internal.h"

/* The lock's byte: behind any that SQLite locks (its own lie at 2^30) and any that a file has.
 * Locks of open file descriptions are used because those of processes would be lost whenever SQLite
 * closes a descriptor of the file. A scan that runs also holds the byte as far behind as its row's
 * number says: so it can be told from one whose row says the same because it was killed. */
#define LOCK_OFFSET (INT64_C(1) << 62)

/* SQLite makes a log's shared memory by writing a byte in every 4096 of its file. Where blocks are
 * smaller than that there are holes between them, and on a full disk it is a signal (SIGBUS), not
 * an error, that says so. */
#define SHM_STEP_BYTES 4096

bool varve_store_is_network(uint64_t f_type) {
    static const uint32_t types[] = {
        0x6969,     /* NFS */
        0x517b,     /* SMB */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB2 */
        0x01021997, /* 9P */
        0x65735546, /* FUSE: sshfs, GlusterFS, s3fs; a local one loses little */
        0x00c36400, /* Ceph */
        0x0bd00bd0, /* Lustre */
        0x01161970, /* GFS2 */
        0x7461636f, /* OCFS2 */
        0x47504653, /* GPFS */
        0x5346414f, /* AFS */
        0x6b414653, /* kAFS */
        0x73757245, /* Coda */
        0x564c,     /* NCP */
        0x19830326, /* BeeGFS */
        0x786f4256, /* VirtualBox's shared folders */
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if ((uint32_t)f_type == types[i]) {
            return true;
        }
    }
    return false;
}

static bool say(struct varve_store_fault *fault, enum varve_store_status status, const char *what,
                const char *why) {
    fault->status = status;
    snprintf(fault->message, sizeof fault->message, "%s%s%s", what, why ? ": " : "",
             why ? why : "");
    return false;
}

static struct flock lock_of(int64_t row) {
    return (struct flock){
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_OFFSET + row, .l_len = 1};
}

/* The file's lock, for as long as the descriptor is open. */
static bool take_lock(struct varve_store *store, struct varve_store_fault *fault) {
    store->fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (store->fd < 0) {
        return say(fault, VARVE_STORE_UNUSABLE, "the database cannot be opened for writing",
                   strerror(errno));
    }
    struct stat status;
    if (fstat(store->fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return say(fault, VARVE_STORE_UNUSABLE, "the database is no regular file", NULL);
    }
    struct flock lock = lock_of(0);
    if (fcntl(store->fd, F_OFD_SETLK, &lock) == 0) {
        return true;
    }
    if (errno == EAGAIN || errno == EACCES) {
        return say(fault, VARVE_STORE_LOCKED, "another scan is writing to the database", NULL);
    }
    return say(fault, VARVE_STORE_UNUSABLE, "the database cannot be locked", strerror(errno));
}

/* One number that a PRAGMA or SELECT gives. */
static bool read_number(sqlite3 *db, struct varve_store_fault *fault, int64_t *number,
                        const char *sql) {
    sqlite3_stmt *statement = NULL;
    bool good = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
                sqlite3_step(statement) == SQLITE_ROW;
    if (good) {
        *number = sqlite3_column_int64(statement, 0);
    } else {
        varve_store_blame(fault, db, "the database cannot be read");
    }
    sqlite3_finalize(statement);
    return good;
}

static bool make_views(sqlite3 *db, struct varve_store_fault *fault) {
    bool good = true;
    for (size_t i = 0; i < varve_store_view_count && good; i++) {
        char *sql = sqlite3_mprintf("DROP VIEW IF EXISTS %s; CREATE VIEW %s AS %s",
                                    varve_store_views[i].name, varve_store_views[i].name,
                                    varve_store_views[i].sql);
        good = sql ? varve_store_execute(db, fault, sql, "a view cannot be made")
                   : varve_store_no_memory(fault);
        sqlite3_free(sql);
    }
    return good;
}

static bool make_tables(sqlite3 *db, struct varve_store_fault *fault) {
    char numbers[128];
    snprintf(numbers, sizeof numbers, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             VARVE_STORE_APPLICATION_ID, VARVE_STORE_VERSION);
    const char *doing = "the database cannot be made";
    bool good = varve_store_execute(db, fault, "BEGIN IMMEDIATE", doing) &&
                varve_store_execute(db, fault, varve_store_tables, doing) &&
                make_views(db, fault) && varve_store_execute(db, fault, numbers, doing) &&
                varve_store_execute(db, fault, "COMMIT", doing);
    if (!good) {
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return good;
}

/* Whose file it is, and whether it can be used; an empty one is made a store. */
static bool check_file(struct varve_store *store, struct varve_store_fault *fault) {
    sqlite3 *db = store->main.db;
    int64_t application = 0;
    int64_t version = 0;
    int64_t objects = 0;
    if (!read_number(db, fault, &application, "PRAGMA application_id") ||
        !read_number(db, fault, &version, "PRAGMA user_version") ||
        !read_number(db, fault, &objects, "SELECT count(*) FROM sqlite_schema")) {
        return false;
    }
    if (application == 0 && version == 0 && objects == 0 && !store->options.read_only) {
        return make_tables(db, fault);
    }
    if (application != VARVE_STORE_APPLICATION_ID) {
        return say(fault, VARVE_STORE_UNUSABLE, "the file is no database of varve's", NULL);
    }
    if (version > VARVE_STORE_VERSION) {
        snprintf(
            fault->message, sizeof fault->message,
            "the database was written by a newer varve: its version is %lld, this one knows %d",
            (long long)version, VARVE_STORE_VERSION);
        fault->status = VARVE_STORE_UNUSABLE;
        return false;
    }
    return true;
}

/* A write-ahead log, where the file system can have one: readers go on while a scan writes, and a
 * commit is no wait for the disk. */
static bool set_journal(struct varve_store *store, struct varve_store_fault *fault) {
    const char *doing = "the database cannot be written to";
    sqlite3_stmt *statement = NULL;
    if (!store->network) {
        /* It tells which kind it is now, which may be another than the one asked for. */
        bool good = sqlite3_prepare_v2(store->main.db, "PRAGMA journal_mode = WAL", -1, &statement,
                                       NULL) == SQLITE_OK &&
                    sqlite3_step(statement) == SQLITE_ROW;
        const char *kind = good ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        store->network = !kind || strcmp(kind, "wal") != 0;
        good = kind || varve_store_blame(fault, store->main.db, doing);
        sqlite3_finalize(statement);
        if (!good) {
            return false;
        }
    }
    const char *sql = store->network ? "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL"
                                     : "PRAGMA synchronous = NORMAL";
    return varve_store_execute(store->main.db, fault, sql, doing) &&
           /* Pages that are changed again and again: what a million layers' indexes have of them
            * would be some 100 MB, and the kernel keeps them too. */
           varve_store_execute(store->main.db, fault, "PRAGMA cache_size = -16384", "cache") &&
           /* Of 4 KiB each: sixty-four MB of log between waits for the disk. */
           varve_store_execute(store->main.db, fault, "PRAGMA wal_autocheckpoint = 16384", "log");
}

/* Whether there is no journal of that name; false with the reason for what that means. */
static bool is_absent(const char *journal, struct varve_store_fault *fault) {
    if (access(journal, F_OK) == 0) {
        return say(fault, VARVE_STORE_UNUSABLE,
                   "the database cannot be read: what its journal holds can only be put in its "
                   "place by who may write to the file and its folder",
                   NULL);
    }
    return errno == ENOENT ||
           say(fault, VARVE_STORE_UNUSABLE,
               "the database cannot be read, nor whether there is a journal of it",
               strerror(errno));
}

/* Opens for reading a file that SQLite could not read: on a read-only file system there cannot be
 * the shared memory of a write-ahead log. Where there is neither a log nor a journal that is to be
 * rolled back, the file alone is all there is; else it holds what is half written, or lacks what is
 * committed, and the failure stands. */
static bool open_alone(struct varve_store *store, struct varve_store_fault *fault,
                       unsigned wait_ms) {
    sqlite3 *db = store->main.db;
    int why = sqlite3_errcode(db) & 0xff;
    if (fault->status != VARVE_STORE_UNUSABLE ||
        (why != SQLITE_CANTOPEN && why != SQLITE_READONLY)) {
        return false;
    }
    /* As SQLite names them: beside the file that a symbolic link leads to. */
    const char *file = sqlite3_db_filename(db, "main");
    if (!is_absent(sqlite3_filename_wal(file), fault) ||
        !is_absent(sqlite3_filename_journal(file), fault) || strpbrk(file, "?#%")) {
        return false;
    }
    char *uri = sqlite3_mprintf("file:%s?immutable=1", file);
    if (!uri) {
        return varve_store_no_memory(fault);
    }
    varve_connection_close(&store->main);
    *fault = (struct varve_store_fault){0};
    bool good = varve_connection_open(&store->main, fault, uri,
                                      SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, wait_ms) &&
                check_file(store, fault);
    sqlite3_free(uri);
    return good;
}

static bool open_file(struct varve_store *store, struct varve_store_fault *fault) {
    unsigned wait_ms = store->options.wait_ms ? store->options.wait_ms : VARVE_STORE_WAIT_MS;
    struct statfs file_system;
    if (!store->options.read_only) {
        if (!take_lock(store, fault)) {
            return false;
        }
        /* Of one that cannot be told, the worse is assumed. */
        store->network = fstatfs(store->fd, &file_system) != 0 ||
                         varve_store_is_network((uint64_t)file_system.f_type) ||
                         file_system.f_bsize < SHM_STEP_BYTES;
        return varve_connection_open(&store->main, fault, store->path, SQLITE_OPEN_READWRITE,
                                     wait_ms) &&
               check_file(store, fault) && set_journal(store, fault);
    }
    /* What a killed writer left half done can only be rolled back by who may write. SQLite opens
     * the file for reading where it is write-protected. */
    return varve_connection_open(&store->main, fault, store->path, SQLITE_OPEN_READWRITE,
                                 wait_ms) &&
           (check_file(store, fault) || open_alone(store, fault, wait_ms)) &&
           /* Room to sort digests in. */
           varve_store_execute(store->main.db, fault,
                               "PRAGMA query_only = ON; PRAGMA cache_size = -65536", "reading");
}

enum varve_store_status varve_store_open(struct varve_store **out, struct varve_store_fault *fault,
                                         const char *path,
                                         const struct varve_store_options *options) {
    struct varve_store *store = calloc(1, sizeof *store);
    *out = NULL;
    *fault = (struct varve_store_fault){0};
    if (!store || !(store->path = strdup(path))) {
        free(store);
        varve_store_no_memory(fault);
        return fault->status;
    }
    store->fd = -1;
    store->options = options ? *options : (struct varve_store_options){0};
    pthread_mutex_init(&store->reader_mutex, NULL);
    pthread_cond_init(&store->reader_idle, NULL);
    if (!open_file(store, fault)) {
        varve_store_close(store);
        return fault->status;
    }
    *out = store;
    return VARVE_STORE_OK;
}

/* Whether the scan of that row runs. The descriptor stays open as long as SQLite's: closing one of
 * a file takes all locks from it that the process has, SQLite's among them. */
static enum varve_check is_running(struct varve_store *store, int64_t row) {
    struct statfs file_system;
    struct flock lock = lock_of(row);
    if (store->scan) {
        return row == store->scan ? VARVE_CHECK_OK : VARVE_CHECK_MISMATCH;
    }
    if (store->fd < 0) {
        store->fd = open(store->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    if (store->fd < 0 || fcntl(store->fd, F_OFD_GETLK, &lock) != 0) {
        return VARVE_CHECK_NONE;
    }
    if (lock.l_type != F_UNLCK) {
        return VARVE_CHECK_OK;
    }
    /* Where locks are another host's, they need not be seen from here. */
    bool network = fstatfs(store->fd, &file_system) != 0 ||
                   varve_store_is_network((uint64_t)file_system.f_type);
    return network ? VARVE_CHECK_NONE : VARVE_CHECK_MISMATCH;
}

bool varve_store_ended(struct varve_store *store, struct varve_store_fault *fault, int64_t *row,
                       const char **state) {
    *row = 0;
    *state = "killed";
    /* Its row first, then its lock: whoever lets a lock go has written before how he ended. */
    if (!read_number(store->main.db, fault, row,
                     "SELECT coalesce(max(id), 0) FROM scan WHERE state = 'running'")) {
        return false;
    }
    if (*row > 0 && *row < LOCK_OFFSET) {
        enum varve_check running = is_running(store, *row);
        *state = running == VARVE_CHECK_NONE ? "unknown" : "killed";
        *row -= running == VARVE_CHECK_OK;
    }
    return true;
}

/* What a scan had. */
static void end_session(struct varve_store *store) {
    if (store->writing) {
        varve_queue_close(&store->queue);
        pthread_join(store->writer, NULL);
        store->writing = false;
    }
    if (store->catalog) {
        varve_queue_destroy(&store->queue);
    }
    varve_store_close_readers(store);
    free(store->code_of_row);
    free(store->scans);
    free(store->known);
    free(store->turns);
    free(store->sources);
    varve_rows_free(&store->seen_images);
    store->code_of_row = NULL;
    store->scans = NULL;
    store->known = NULL;
    store->turns = NULL;
    store->sources = NULL;
    store->catalog = NULL;
    store->scan = 0;
}

void varve_store_close(struct varve_store *store) {
    if (!store) {
        return;
    }
    end_session(store);
    varve_connection_close(&store->main);
    if (store->fd >= 0) {
        close(store->fd);
    }
    pthread_cond_destroy(&store->reader_idle);
    pthread_mutex_destroy(&store->reader_mutex);
    free(store->path);
    free(store);
}

/* A value as text: in room of its own, for jansson's does not look whether there was any for a key.
 * NULL: no memory. malloc'ed. */
static char *text_of(const json_t *value, size_t flags) {
    size_t count = json_dumpb(value, NULL, 0, flags);
    char *text = count ? malloc(count + 1) : NULL;
    if (text && json_dumpb(value, text, count, flags) != count) {
        free(text);
        return NULL;
    }
    if (text) {
        text[count] = 0;
    }
    return text;
}

/* What verdicts depend on: results of another make of varve are not reused. OpenSSL only hashes.
 * NULL: no memory. */
static char *producer_text(void) {
    json_t *versions = json_object();
    bool good = json_object_set_new(versions, "varve", json_string(varve_version())) == 0 &&
                json_object_set_new(versions, "ladder", json_integer(varve_ladder_version())) == 0;
    for (size_t i = 0; i < varve_library_count() && good; i++) {
        struct varve_library library = varve_library_at(i);
        const char *version = library.version ? library.version : "unknown";
        bool matters = strcmp(library.name, "openssl") != 0 && strcmp(library.name, "sqlite") != 0;
        good = !matters || json_object_set_new(versions, library.name, json_string(version)) == 0;
    }
    char *text = good ? text_of(versions, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(versions);
    return text;
}

/* An operand, or "?" where it is no UTF-8, which JSON cannot hold. NULL: no memory. */
static json_t *source_text(const char *source) {
    char *name = varve_store_source_name(source);
    bool is_text = name && varve_path_is_utf8((struct varve_bytes){.bytes = (const uint8_t *)name,
                                                                   .count = strlen(name)});
    json_t *text = !name ? NULL : json_string(is_text ? name : "?");
    free(name);
    return text;
}

/* The operands as JSON. NULL: no memory. */
static char *sources_text(const struct varve_store_scan *scan) {
    json_t *list = json_array();
    bool good = list != NULL;
    for (size_t i = 0; i < scan->source_count && good; i++) {
        good = json_array_append_new(list, source_text(scan->sources[i])) == 0;
    }
    char *text = good ? text_of(list, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(list);
    return text;
}

static bool add_scan(struct varve_store *store, struct varve_store_fault *fault) {
    struct varve_connection *main = &store->main;
    const struct varve_scan_options *options = store->how.options;
    char *producer = producer_text();
    char *sources = sources_text(&store->how);
    int64_t row = 0;
    bool good = producer && sources;
    if (!good) {
        varve_store_no_memory(fault);
    }
    if (good) {
        sqlite3_stmt *add = varve_sql(main, VARVE_SQL_PRODUCER_ADD);
        varve_bind_text(add, 1, producer);
        good = varve_sql_run(main, fault, add);
    }
    if (good) {
        sqlite3_stmt *find = varve_sql(main, VARVE_SQL_PRODUCER_FIND);
        varve_bind_text(find, 1, producer);
        row = varve_sql_row(main, fault, &good, find) ? sqlite3_column_int64(find, 0) : 0;
        sqlite3_reset(find);
    }
    good = good && varve_sql_run(main, fault, varve_sql(main, VARVE_SQL_SCAN_KILLED));
    if (good) {
        sqlite3_stmt *add = varve_sql(main, VARVE_SQL_SCAN_ADD);
        sqlite3_bind_int64(add, 1, (int64_t)time(NULL));
        sqlite3_bind_int64(add, 2, row);
        varve_bind_text(add, 3, sources);
        varve_bind_text(add, 4, varve_rung_name(options->deepest_rung));
        sqlite3_bind_int64(add, 5, (int64_t)options->memory_bytes);
        sqlite3_bind_int64(add, 6, (int64_t)options->max_decoded_bytes);
        good = varve_sql_run(main, fault, add);
        store->scan = sqlite3_last_insert_rowid(main->db);
        struct flock lock = lock_of(store->scan);
        if (good && fcntl(store->fd, F_OFD_SETLK, &lock) != 0) {
            good =
                say(fault, VARVE_STORE_UNUSABLE, "the database cannot be locked", strerror(errno));
        }
    }
    if (good) {
        sqlite3_stmt *forget = varve_sql(main, VARVE_SQL_ERRORS_FORGET);
        sqlite3_bind_int64(forget, 1, store->scan);
        varve_bind_text(forget, 2, sources);
        good = varve_sql_run(main, fault, forget);
    }
    free(producer);
    free(sources);
    return good;
}

/* Digests in an index are in no order: of every layer that is written, seven go to pages all over
 * it. The questions that want them in order sort them. Older databases have had such indexes. */
static bool drop_indexes(struct varve_store *store, struct varve_store_fault *fault) {
    return varve_store_execute(store->main.db, fault,
                               "DROP INDEX IF EXISTS rung_digest;"
                               "DROP INDEX IF EXISTS image_rung_digest",
                               "an index cannot be dropped");
}

/* Views that are missing or another version's are made anew: seldom, for it makes every reader read
 * the schema again. */
static bool renew_views(struct varve_store *store, struct varve_store_fault *fault) {
    sqlite3_stmt *find = NULL;
    bool same = sqlite3_prepare_v2(store->main.db,
                                   "SELECT 1 FROM sqlite_schema WHERE type = 'view' AND name = ?1"
                                   " AND sql = ?2",
                                   -1, &find, NULL) == SQLITE_OK;
    for (size_t i = 0; i < varve_store_view_count && same; i++) {
        char *sql = sqlite3_mprintf("CREATE VIEW %s AS %s", varve_store_views[i].name,
                                    varve_store_views[i].sql);
        varve_bind_text(find, 1, varve_store_views[i].name);
        varve_bind_text(find, 2, sql);
        same = sqlite3_step(find) == SQLITE_ROW;
        sqlite3_reset(find);
        sqlite3_free(sql);
    }
    sqlite3_finalize(find);
    return same || make_views(store->main.db, fault);
}

/* Of all versions that ever wrote; this one has VARVE_CODE_COUNT. */
#define MOST_CODES 65535

static bool add_codes(struct varve_store *store, struct varve_store_fault *fault) {
    struct varve_connection *main = &store->main;
    bool good = true;
    int64_t most = 0;
    for (size_t i = 0; i < varve_code_count(); i++) {
        sqlite3_stmt *add = varve_sql(main, VARVE_SQL_CODE_ADD);
        varve_bind_text(add, 1, varve_code_at(i)->code);
        varve_bind_text(add, 2, varve_code_at(i)->text);
        if (!varve_sql_run(main, fault, add)) {
            return false;
        }
    }
    sqlite3_stmt *codes = varve_sql(main, VARVE_SQL_CODES);
    while (varve_sql_row(main, fault, &good, codes)) {
        const char *text = (const char *)sqlite3_column_text(codes, 1);
        int64_t id = sqlite3_column_int64(codes, 0);
        if (!text || id < 1 || id > MOST_CODES) {
            varve_store_lacks(fault, main->db, "a code");
            sqlite3_reset(codes);
            return false;
        }
        int code = varve_store_code(text);
        most = id > most ? id : most;
        if (code >= 0) {
            store->code_rows[code] = id;
        }
    }
    if (!good) {
        return false;
    }
    store->code_of_row_count = (size_t)most + 1;
    store->code_of_row = malloc(store->code_of_row_count * sizeof *store->code_of_row);
    if (!store->code_of_row) {
        return varve_store_no_memory(fault);
    }
    memset(store->code_of_row, 0xff, store->code_of_row_count * sizeof *store->code_of_row);
    for (size_t i = 0; i < VARVE_CODE_COUNT; i++) {
        if (!store->code_rows[i]) {
            return varve_store_damaged(fault, "a code that was written cannot be read");
        }
        store->code_of_row[store->code_rows[i]] = (int16_t)i;
    }
    return true;
}

static bool add_errors(struct varve_store *store, struct varve_store_fault *fault) {
    struct varve_connection *main = &store->main;
    for (size_t i = 0; i < varve_catalog_error_count(store->catalog); i++) {
        struct varve_catalog_error error = varve_catalog_error(store->catalog, i);
        bool note = error.fault.status == VARVE_OK;
        sqlite3_stmt *add = varve_sql(main, VARVE_SQL_ERROR_ADD);
        sqlite3_bind_int64(add, 1, store->scan);
        sqlite3_bind_int64(add, 2, (int64_t)i);
        varve_bind_text(add, 3, error.name);
        varve_bind_text(add, 4, note ? "note" : varve_status_name(error.fault.status));
        varve_bind_code(store, add, 5, varve_store_code(error.fault.code));
        if (error.fault.os_errno) {
            sqlite3_bind_int(add, 6, error.fault.os_errno);
        }
        varve_bind_offset(add, 7, error.fault.offset_stored);
        sqlite3_bind_int64(add, 8, (int64_t)error.count);
        if (!varve_sql_run(main, fault, add)) {
            return false;
        }
    }
    return true;
}

enum varve_store_status varve_store_begin(struct varve_store *store,
                                          struct varve_store_fault *fault,
                                          const struct varve_catalog *catalog,
                                          const struct varve_store_scan *scan) {
    struct varve_connection *main = &store->main;
    assert(!store->options.read_only && !store->catalog);
    *fault = (struct varve_store_fault){0};
    store->how = *scan;
    store->depth = scan->options->deepest_rung >= VARVE_RUNG_ARCHIVE  ? VARVE_DEPTH_CONTENT
                   : scan->options->deepest_rung == VARVE_RUNG_DIFFID ? VARVE_DEPTH_DIFFID
                                                                      : VARVE_DEPTH_BLOB;
    store->entries = scan->options->entries && store->depth == VARVE_DEPTH_CONTENT;
    store->catalog = catalog;
    varve_queue_init(&store->queue);
    if (varve_connection_prepare(main, fault) &&
        varve_sql_run(main, fault, varve_sql(main, VARVE_SQL_BEGIN))) {
        bool good = drop_indexes(store, fault) && renew_views(store, fault) &&
                    add_codes(store, fault) && add_scan(store, fault) && add_errors(store, fault) &&
                    varve_store_load(store, fault) &&
                    varve_sql_run(main, fault, varve_sql(main, VARVE_SQL_COMMIT));
        if (!good) {
            sqlite3_exec(main->db, "ROLLBACK", NULL, NULL, NULL);
        } else if (varve_store_open_readers(store, fault)) {
            store->writing = pthread_create(&store->writer, NULL, varve_store_write, store) == 0;
            if (!store->writing) {
                say(fault, VARVE_STORE_NO_MEMORY, "no thread could be started", NULL);
            }
        }
    }
    if (!store->writing) {
        end_session(store);
    }
    return fault->status;
}

const uint64_t *varve_store_turns(const struct varve_store *store) {
    return store->turns;
}

/* How a scan ended. */
static const char *state_of(const struct varve_scan_summary *summary) {
    return summary->interrupted ? "interrupted" : summary->partial ? "partial" : "finished";
}

static uint64_t failed_of(const uint64_t counts[6], uint64_t *all) {
    uint64_t failed = 0;
    *all = counts[VARVE_OK];
    for (int i = 0; i < 6; i++) {
        failed += i == VARVE_OK ? 0 : counts[i];
    }
    *all += failed;
    return failed;
}

/* Images that this scan would have come upon if they were still there. */
static bool mark_images(struct varve_store *store, struct varve_store_fault *fault) {
    struct varve_connection *main = &store->main;
    bool good = true;
    varve_rows_sort(&store->seen_images);
    for (size_t i = 0; i < varve_catalog_source_count(store->catalog) && good; i++) {
        if (!store->sources[i].whole) {
            continue;
        }
        sqlite3_stmt *images = varve_sql(main, VARVE_SQL_IMAGES_OF);
        sqlite3_bind_int64(images, 1, store->sources[i].row);
        while (good && varve_sql_row(main, fault, &good, images)) {
            int64_t id = sqlite3_column_int64(images, 0);
            if (varve_rows_have(&store->seen_images, id)) {
                continue;
            }
            sqlite3_stmt *gone = varve_sql(main, VARVE_SQL_IMAGE_GONE);
            sqlite3_bind_int64(gone, 1, id);
            sqlite3_bind_int64(gone, 2, store->scan);
            good = varve_sql_run(main, fault, gone);
        }
        sqlite3_reset(images);
    }
    return good;
}

static bool end_scan(struct varve_store *store, struct varve_store_fault *fault,
                     const struct varve_scan_summary *summary, int exit_code) {
    struct varve_connection *main = &store->main;
    uint64_t images = 0;
    uint64_t layers = 0;
    uint64_t images_failed = failed_of(summary->images, &images);
    uint64_t layers_failed = failed_of(summary->layers, &layers);
    const uint64_t numbers[] = {
        images,
        images_failed,
        layers,
        layers_failed,
        summary->cached,
        summary->gone,
        summary->errors,
        summary->bytes_stored,
        summary->bytes_read,
        summary->bytes_decoded,
    };
    bool whole = !summary->interrupted && !summary->partial;
    if (!varve_sql_run(main, fault, varve_sql(main, VARVE_SQL_BEGIN)) ||
        (whole && !mark_images(store, fault))) {
        return false;
    }
    sqlite3_stmt *end = varve_sql(main, VARVE_SQL_SCAN_END);
    sqlite3_bind_int64(end, 1, store->scan);
    sqlite3_bind_int64(end, 2, (int64_t)time(NULL));
    varve_bind_text(end, 3, state_of(summary));
    sqlite3_bind_int(end, 4, exit_code);
    sqlite3_bind_double(end, 5, summary->seconds);
    for (int i = 0; i < (int)(sizeof numbers / sizeof numbers[0]); i++) {
        sqlite3_bind_int64(end, 6 + i, (int64_t)numbers[i]);
    }
    return varve_sql_run(main, fault, end) &&
           varve_sql_run(main, fault, varve_sql(main, VARVE_SQL_COMMIT));
}

enum varve_store_status varve_store_finish(struct varve_store *store,
                                           struct varve_store_fault *fault,
                                           const struct varve_scan_summary *summary,
                                           int exit_code) {
    *fault = (struct varve_store_fault){0};
    varve_queue_close(&store->queue);
    pthread_join(store->writer, NULL);
    store->writing = false;
    if (store->failed) {
        *fault = store->fault;
        /* Perhaps this much still fits. */
        sqlite3_exec(store->main.db, "UPDATE scan SET state = 'failed' WHERE state = 'running'",
                     NULL, NULL, NULL);
    } else if (!end_scan(store, fault, summary, exit_code)) {
        sqlite3_exec(store->main.db, "ROLLBACK", NULL, NULL, NULL);
    }
    end_session(store);
    return fault->status;
}
