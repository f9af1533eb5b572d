/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_internal.h - what the parts of the store share.
 *
 *   store.c          opening, locking, the scan's beginning and end
 *   store_schema.c   tables, views, prepared questions
 *   store_known.c    what is known at a scan's beginning
 *   store_rows.c     sets of row numbers
 *   store_recall.c   recalling it, by a connection for each of the scan's threads
 *   store_queue.c    results on their way from the scan's threads to the writer
 *   store_write.c    the writer: one thread, one connection, batched transactions
 *   store_query.c    questions and their answers
 *   store_compare.c  two databases side by side
 *   store_pair.c     which of their images belong together
 */
#ifndef VARVE_STORE_INTERNAL_H
#define VARVE_STORE_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <time.h>

#include "catalog.h"
#include "codes.h"
#include "varve/store.h"

/* "varv", as file(1) may one day know it. */
#define VARVE_STORE_APPLICATION_ID 0x76617276
#define VARVE_STORE_VERSION 1
/* How long to wait for another program's transaction. */
#define VARVE_STORE_WAIT_MS 5000

extern const char varve_store_tables[];
struct varve_store_view {
    const char *name, *sql;
};
extern const struct varve_store_view varve_store_views[];
extern const size_t varve_store_view_count;

/* The last scan whose row says that it runs and that does not (0: none; earlier ones whose rows say
 * so do not either), and what to say instead: "killed", or "unknown" where locks cannot be relied
 * on.
 */
bool varve_store_ended(struct varve_store *store, struct varve_store_fault *fault, int64_t *row,
                       const char **state);

/* The SQL of a prepared question, or NULL. ?1 is the rung's name, ?2 the limit, and where there are
 * more, ?3 and ?4 are what varve_store_ended gives. */
const char *varve_store_question(const char *name, bool *takes_rung);

/* Whether a code (of a row, in SQL; NULL: no) says that this machine failed, so that nothing is
 * known of what it was to read. */
#define VARVE_SQL_IS_UNREAD(column)                                                                \
    "coalesce(" column " IN (SELECT code.id FROM code WHERE code.code IN "                         \
    "('io.open', 'io.read', 'io.changed', 'memory.exhausted')), 0)"

/* How far down the ladder a result goes, as far as it makes a difference to what is known. */
enum varve_store_depth {
    VARVE_DEPTH_BLOB,   /* not decoded: there is no row in `layer` */
    VARVE_DEPTH_DIFFID, /* decoded, not parsed */
    VARVE_DEPTH_CONTENT
};

/* A location's verdict, as its row has it: what an update is needed for is seen by comparing. */
struct varve_verdict {
    uint8_t status; /* enum varve_status */
    uint8_t check_name, check_size, check_diffid, check_media_type;
    bool referenced;
    bool gone;
    int16_t code; /* enum varve_code; -1: none */
    int os_errno;
    uint64_t offset_stored, offset_decoded; /* VARVE_NO_OFFSET: none */
};

/* What the database knew of a blob of the catalog when the scan began. */
struct varve_known {
    int64_t location; /* row; 0: none */
    int64_t blob;     /* row; 0: its bytes are not known */
    int64_t verified_at;
    struct varve_verdict verdict;
    bool usable; /* it need not be read */
};

/* One thing for the writer. */
struct varve_item {
    struct varve_item *next;
    enum { VARVE_ITEM_LAYER, VARVE_ITEM_IMAGE, VARVE_ITEM_GONE } kind;
    size_t bytes; /* of memory, for the queue's bound */
    size_t blob;
    struct varve_layer layer; /* names are the catalog's, other text is static, findings NULL */
    int64_t verified_at;
    struct varve_item_finding {
        int code; /* enum varve_code */
        uint64_t count, offset;
        char *entry;
        size_t entry_bytes;
    } * findings;
    size_t finding_count;
    uint8_t *entries; /* packed: see store_queue.c; NULL: not asked for */
    size_t entries_bytes, entry_count;
    struct varve_image image; /* claims and strings are the catalog's */
    enum varve_status status;
    struct varve_rungs rungs;
    struct varve_image_layer *layers;
};

/* What waits here is lost when the process is killed. Where the writer is the slower one, a longer
 * queue would only be a longer wait. */
#define VARVE_QUEUE_ITEMS 32u

struct varve_queue {
    pthread_mutex_t mutex;
    pthread_cond_t filled, drained;
    struct varve_item *first, **last;
    size_t bytes, count;
    bool closed; /* nothing more will come */
    bool failed; /* nothing more is wanted */
};

void varve_queue_init(struct varve_queue *queue);
void varve_queue_destroy(struct varve_queue *queue);
/* Waits where too much is on its way. Takes the item over. */
void varve_queue_put(struct varve_queue *queue, struct varve_item *item);
/* All that is there. Waits until there is something: until `deadline` (CLOCK_MONOTONIC), or for as
 * long as it takes where that is NULL. NULL: nothing came in time, or *over: nothing will. */
struct varve_item *varve_queue_take(struct varve_queue *queue, bool *over,
                                    const struct timespec *deadline);
void varve_queue_close(struct varve_queue *queue);
void varve_queue_fail(struct varve_queue *queue);

/* Copies of what the scan's threads give. NULL: no memory. */
struct varve_item *varve_item_of_layer(const struct varve_layer *layer, size_t blob,
                                       const struct varve_job *job);
struct varve_item *varve_item_of_image(const struct varve_image *image, enum varve_status status,
                                       const struct varve_image_layer *layers);
struct varve_item *varve_item_of_gone(size_t blob);
void varve_item_free(struct varve_item *item);
void varve_items_free(struct varve_item *items); /* and all that come after it */

/* Goes through an item's entries: *at begins as 0; false at the end. Pointers are into the item. */
bool varve_item_next_entry(const struct varve_item *item, size_t *at,
                           struct varve_ladder_entry *entry);

/* Prepared statements, by number; the SQL stands beside the names in store_statements.def. */
enum varve_statement {
#define STATEMENT(id, sql) VARVE_SQL_##id,
#include "store_statements.def"
#undef STATEMENT
    VARVE_SQL_COUNT
};

/* A connection with its statements, for one thread at a time. */
struct varve_connection {
    sqlite3 *db;
    sqlite3_stmt *statements[VARVE_SQL_COUNT];
};

/* A set of row numbers: added in any order, sorted once, then asked. All zero: empty. */
struct varve_rows {
    int64_t *rows;
    size_t count, room;
};
bool varve_rows_add(struct varve_rows *rows, int64_t row); /* false: no memory */
void varve_rows_sort(struct varve_rows *rows);
bool varve_rows_have(const struct varve_rows *rows, int64_t row);
void varve_rows_free(struct varve_rows *rows);

/* A connection that recalls, for one thread at a time. */
struct varve_reader {
    struct varve_connection connection; /* db NULL: not opened yet */
    unsigned recalled;                  /* since its transaction began; 0: it has none */
    bool busy;
    bool let_go; /* its transaction is to end when it is idle again */
};

struct varve_store {
    char *path;
    int fd;       /* holds the locks; read-only it asks for them, -1: not opened */
    bool network; /* there is no write-ahead log: the file system is no place for one */
    struct varve_store_options options;
    struct varve_connection main; /* begin, finish, queries; in between the writer's */
    pthread_mutex_t reader_mutex; /* guards which readers are busy */
    pthread_cond_t reader_idle;
    struct varve_reader *readers; /* one for each of the scan's threads */
    size_t reader_count;
    _Atomic bool reader_failed; /* nothing more is recalled: every question might wait as long */

    /* While a scan runs. */
    const struct varve_catalog *catalog;
    int64_t scan; /* row; 0: none runs */
    struct varve_store_scan how;
    enum varve_store_depth depth;
    bool entries;
    int64_t code_rows[VARVE_CODE_COUNT];
    int16_t *code_of_row; /* by row: enum varve_code, or -1 */
    size_t code_of_row_count;
    uint8_t *scans; /* by row: bits of how its results compare with this scan's */
    size_t scan_count;
    struct varve_known *known; /* by blob of the catalog */
    uint64_t *turns;           /* by blob */
    struct varve_known_source {
        int64_t row;
        bool whole; /* all of it was read: what is not in the catalog is not there any more */
    } * sources;    /* by source of the catalog */
    struct varve_rows seen_images;
    struct varve_queue queue;
    pthread_t writer;
    bool writing;                   /* the thread was started */
    struct varve_store_fault fault; /* why writing failed; the writer's until it has ended */
    _Atomic bool failed;
};

#define VARVE_SCAN_SAME_PRODUCER 1u
#define VARVE_SCAN_SAME_LIMITS 2u

/* Every function below that returns bool: false after setting *fault. */

/* Prepares all statements. */
bool varve_connection_prepare(struct varve_connection *connection, struct varve_store_fault *fault);
bool varve_connection_open(struct varve_connection *connection, struct varve_store_fault *fault,
                           const char *path, int flags, unsigned wait_ms);
void varve_connection_close(struct varve_connection *connection);

/* Says what SQLite says. Always false. */
bool varve_store_blame(struct varve_store_fault *fault, sqlite3 *db, const char *doing);
bool varve_store_no_memory(struct varve_store_fault *fault);
bool varve_store_damaged(struct varve_store_fault *fault, const char *what);
/* A value that must be there is not, or is none that can be: for want of memory, or the file is
 * damaged. */
bool varve_store_lacks(struct varve_store_fault *fault, sqlite3 *db, const char *what);
bool varve_store_execute(sqlite3 *db, struct varve_store_fault *fault, const char *sql,
                         const char *doing);

/* Begins binding anew: the statement, reset, nothing bound. */
sqlite3_stmt *varve_sql(struct varve_connection *connection, enum varve_statement which);
/* Runs one that gives no rows. */
bool varve_sql_run(struct varve_connection *connection, struct varve_store_fault *fault,
                   sqlite3_stmt *statement);
/* The next row. False: there is none any more, or, *good becoming false, it could not be read. The
 * statement is reset then. */
bool varve_sql_row(struct varve_connection *connection, struct varve_store_fault *fault, bool *good,
                   sqlite3_stmt *statement);

/* Values that may be absent. */
void varve_bind_offset(sqlite3_stmt *statement, int at, uint64_t offset);
void varve_bind_code(const struct varve_store *store, sqlite3_stmt *statement, int at, int code);
void varve_bind_text(sqlite3_stmt *statement, int at, const char *text);
/* Text where it is UTF-8, else bytes. */
void varve_bind_bytes(sqlite3_stmt *statement, int at, const void *bytes, size_t count);
/* A digest as its bytes, a path as text. */
bool varve_bind_name(sqlite3_stmt *statement, int at, const char *name);
uint64_t varve_column_offset(sqlite3_stmt *statement, int at);

/* A name as it was bound: the digest's text, or the column's, valid until the next step. NULL:
 * neither. */
const char *varve_column_name(char digest[VARVE_DIGEST_TEXT_BYTES], sqlite3_stmt *row, int at);
/* A word of a column; what is unknown there gives `otherwise`. */
int varve_column_word(sqlite3_stmt *row, int at, const char *(*name)(int), int count,
                      int otherwise);
/* enum varve_code of a column; -1: none. */
int varve_column_code(const struct varve_store *store, sqlite3_stmt *row, int at);

/* enum varve_code of a code's text; -1: none. */
int varve_store_code(const char *code);
/* enum varve_status, enum varve_check and others of their texts. */
int varve_store_word(const char *text, const char *(*name)(int), int count);

/* A source's name with its place made absolute, as rows have it. NULL: no memory. malloc'ed. */
char *varve_store_source_name(const char *source);
char *varve_store_path(const char *path); /* the same for a loose file */

/* Binds what a location is found by, at 1 and 2. */
bool varve_bind_location(const struct varve_store *store, sqlite3_stmt *statement, size_t blob);

/* store_known.c: fills known, turns, marks what is gone. */
bool varve_store_load(struct varve_store *store, struct varve_store_fault *fault);
struct varve_verdict varve_store_verdict(const struct varve_layer *layer, bool referenced);

/* store_recall.c: opens the first reader; others are opened when they are needed. */
bool varve_store_open_readers(struct varve_store *store, struct varve_store_fault *fault);
void varve_store_close_readers(struct varve_store *store);
/* Lets the readers' transactions go, so that a checkpoint can go past them. */
void varve_store_end_reading(struct varve_store *store);

/* An image of one side of a comparison. */
struct varve_side_image {
    int64_t id;                                   /* row */
    const char *ref, *platform, *status, *digest; /* in one piece of memory, which is ref's */
    size_t partner;                               /* place on the other side; SIZE_MAX: none */
    bool unread; /* its status is not ok for nothing but what could not be read */
};
struct varve_side_images {
    struct varve_side_image *images; /* in the order in which they are told of */
    size_t count, room;
};
/* Texts in the order of the members; they are copied. False: no memory. */
bool varve_side_images_add(struct varve_side_images *images, int64_t id,
                           const char *const texts[4]);
void varve_side_images_free(struct varve_side_images *images);
/* Finds the partners, of several that could be the first ones. False: no memory. */
bool varve_store_pair(struct varve_side_images sides[2]);

/* store_write.c */
void *varve_store_write(void *store); /* the writer's thread */

/* The store cannot go on, for the reason of whoever is first to say so. Any thread. */
void varve_store_fail(struct varve_store *store, const struct varve_store_fault *fault);

/* Whether journals of the write-ahead kind do not work on a file system of that type (statfs(2)):
 * they need memory shared between all that open the file. */
bool varve_store_is_network(uint64_t f_type);

#endif
