/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/compare.c - `varve compare A B`: two mirrors, or one on two days. A side that is a source
 * is scanned into a database of its own, which is removed afterwards. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "json.h"
#include "safe.h"

struct result {
    const struct settings *settings;
    uint64_t verdicts[VARVE_PAIR_VERDICTS];
    uint64_t newly_broken; /* images */
    uint64_t blobs[4];     /* by enum varve_blob_change */
    uint64_t bytes[4];
};

/* A database is known by its first bytes (sqlite.org/fileformat.html). False, after a message: that
 * cannot be told. */
static bool look_at(bool *database, const char *path) {
    char begin[16] = "";
    FILE *file = fopen(path, "re");
    bool told = file || errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
    *database = file && fread(begin, 1, sizeof begin, file) == sizeof begin &&
                memcmp(begin, "SQLite format 3", 16) == 0;
    if (file) {
        told = !ferror(file) || errno == EISDIR;
    }
    if (!told) {
        complain("%s: %s", path, strerror(errno));
    }
    if (file) {
        fclose(file);
    }
    return told;
}

/* A folder for the databases of sources. NULL, after a message: there is none. */
static char *make_folder(void) {
    const char *place = getenv("TMPDIR");
    char *folder = NULL;
    if (asprintf(&folder, "%s/varve-XXXXXX", place && *place ? place : "/var/tmp") < 0) {
        complain("out of memory");
        return NULL;
    }
    if (!mkdtemp(folder)) {
        complain("cannot make a folder in %s: %s", place && *place ? place : "/var/tmp",
                 strerror(errno));
        free(folder);
        return NULL;
    }
    return folder;
}

/* Without memory too: nothing is to be left behind. */
static void remove_folder(char *folder) {
    static const char *const names[] = {"a.db", "b.db"};
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    if (!folder) {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < 4; j++) {
            char path[PATH_MAX];
            snprintf(path, sizeof path, "%s/%s%s", folder, names[i], suffixes[j]);
            unlink(path);
        }
    }
    rmdir(folder);
    free(folder);
}

/* Of a database: what its last scans could not read, as is told of a source that is scanned here.
 */
static enum varve_store_status tell_gaps(struct varve_store *store, const char *operand,
                                         struct varve_store_fault *fault, bool *unread) {
    struct varve_store_gaps gaps;
    enum varve_store_status status = varve_store_gaps(store, &gaps, fault);
    if (status != VARVE_STORE_OK) {
        return status;
    }
    if (gaps.state && strcmp(gaps.state, "none") == 0) {
        complain("%s: no scan has written to it", operand);
    } else if (gaps.state) {
        complain("%s: its last scan has not finished: %s", operand, gaps.state);
    }
    if (gaps.errors || gaps.images || gaps.layers) {
        complain("%s: not all of it could be read when it was scanned: %" PRIu64 " errors, %" PRIu64
                 " images, %" PRIu64 " layers ('varve query' errors and failures tell which)",
                 operand, gaps.errors, gaps.images, gaps.layers);
    }
    *unread |= gaps.state || gaps.errors || gaps.images || gaps.layers;
    return status;
}

/* Opens a side; *code says what became of it. */
static struct varve_store *open_side(const struct settings *settings, const char *operand,
                                     bool database, const char *folder, const char *name, int *code,
                                     bool *unread) {
    const struct varve_store_options read_only = {.read_only = true};
    struct varve_store_fault fault;
    struct varve_store *store = NULL;
    char *path = NULL;
    if (!database) {
        if (asprintf(&path, "%s/%s", folder, name) < 0) {
            complain("out of memory");
            *code = EXIT_FATAL;
            return NULL;
        }
        *code = scan_into(settings, operand, path, unread);
    }
    if (*code == EXIT_WELL &&
        (varve_store_open(&store, &fault, database ? operand : path, &read_only) !=
             VARVE_STORE_OK ||
         (database && tell_gaps(store, operand, &fault, unread) != VARVE_STORE_OK))) {
        *code = store_exit_code(&fault);
    }
    free(path);
    return store;
}

/* A pair's name: A's, where there is an image of A's with a name. */
static const char *reference(const struct varve_image_pair *pair) {
    return pair->ref[0] && *pair->ref[0] ? pair->ref[0] : pair->ref[1] ? pair->ref[1] : "";
}

/* --- as JSON --- */

static void json_pair(const struct varve_image_pair *pair) {
    struct json json;
    json_record_begin(&json, stdout, "pair");
    if (*reference(pair)) {
        json_text(&json, "ref", reference(pair));
    }
    if (*pair->platform) {
        json_text(&json, "platform", pair->platform);
    }
    json_text(&json, "verdict", varve_pair_verdict_name(pair->verdict));
    if (pair->has_rung) {
        json_text(&json, "rung", varve_rung_name(pair->rung));
        if (pair->config_known) {
            json_bool(&json, "config_differs", pair->config_differs);
        }
    }
    if (pair->verdict == VARVE_PAIR_FACETS) {
        json_open(&json, "facets", '[');
        for (int i = 0; i < VARVE_FACET_COUNT; i++) {
            if (pair->facets & 1u << i) {
                json_text(&json, NULL, varve_facet_name((enum varve_facet)i));
            }
        }
        if (!pair->facets) {
            json_text(&json, NULL, "order");
        }
        json_close(&json, ']');
        json_bool(&json, "entries_differ", pair->entries_differ);
    }
    for (int i = 0; i < 2; i++) {
        if (pair->digest[i]) {
            json_open(&json, i ? "b" : "a", '{');
            if (strcmp(pair->ref[i], reference(pair)) != 0) {
                json_text(&json, "ref", pair->ref[i]);
            }
            json_text(&json, "digest", pair->digest[i]);
            json_text(&json, "status", pair->status[i]);
            json_close(&json, '}');
        }
    }
    json_bool(&json, "newly_broken", pair->newly_broken);
    json_record_end(&json);
}

static void json_blob(enum varve_blob_change change, const char *name, uint64_t bytes) {
    struct json json;
    json_record_begin(&json, stdout, "blob");
    json_text(&json, "change", varve_blob_change_name(change));
    json_text(&json, "name", name);
    json_unsigned(&json, "bytes", bytes);
    json_record_end(&json);
}

static void json_result(const struct result *result, int code) {
    struct json json;
    json_record_begin(&json, stdout, "comparison");
    json_open(&json, "images", '{');
    for (int i = 0; i < VARVE_PAIR_VERDICTS; i++) {
        json_unsigned(&json, varve_pair_verdict_name((enum varve_pair_verdict)i),
                      result->verdicts[i]);
    }
    json_close(&json, '}');
    json_unsigned(&json, "images_newly_broken", result->newly_broken);
    json_open(&json, "blobs", '{');
    for (int i = 0; i < 4; i++) {
        json_unsigned(&json, varve_blob_change_name((enum varve_blob_change)i), result->blobs[i]);
    }
    json_close(&json, '}');
    json_unsigned(&json, "exit_code", (uint64_t)code);
    json_record_end(&json);
}

/* --- as text --- */

static void text_pair(const struct varve_image_pair *pair) {
    printf("%-12s ", varve_pair_verdict_name(pair->verdict));
    put_safe_text(*reference(pair) ? reference(pair) : pair->digest[pair->digest[0] ? 0 : 1]);
    if (pair->ref[1] && *pair->ref[1] && strcmp(pair->ref[1], reference(pair)) != 0) {
        fputs(" and ", stdout);
        put_safe_text(pair->ref[1]);
    }
    if (*pair->platform) {
        fputs(" (", stdout);
        put_safe_text(pair->platform);
        putchar(')');
    }
    if (pair->verdict == VARVE_PAIR_FACETS) {
        const char *separator = ": ";
        for (int i = 0; i < VARVE_FACET_COUNT; i++) {
            if (pair->facets & 1u << i) {
                printf("%s%s", separator, varve_facet_name((enum varve_facet)i));
                separator = ", ";
            }
        }
        fputs(pair->facets ? "" : ": order", stdout);
        fputs(pair->entries_differ ? "; the number of entries differs" : "", stdout);
    }
    if (pair->config_differs && pair->verdict != VARVE_PAIR_CONFIG) {
        fputs("; the config differs too", stdout);
    } else if (pair->has_rung && !pair->config_known) {
        fputs("; whether the config differs is not known", stdout);
    }
    if (pair->newly_broken) {
        printf("; newly broken (%s)", pair->status[1]);
    }
    putchar('\n');
}

static void text_result(const struct result *result) {
    uint64_t images = 0;
    for (int i = 0; i < VARVE_PAIR_VERDICTS; i++) {
        images += result->verdicts[i];
    }
    printf("%" PRIu64 " images", images);
    const char *separator = ": ";
    for (int i = 0; i < VARVE_PAIR_VERDICTS; i++) {
        if (result->verdicts[i]) {
            printf("%s%" PRIu64 " %s", separator, result->verdicts[i],
                   varve_pair_verdict_name((enum varve_pair_verdict)i));
            separator = ", ";
        }
    }
    printf("; %" PRIu64 " newly broken\n", result->newly_broken);
    printf("blobs: %" PRIu64 " new (%.1f MB), %" PRIu64 " gone (%.1f MB), %" PRIu64
           " newly broken, %" PRIu64 " mended\n",
           result->blobs[VARVE_BLOB_NEW], (double)result->bytes[VARVE_BLOB_NEW] / 1e6,
           result->blobs[VARVE_BLOB_GONE], (double)result->bytes[VARVE_BLOB_GONE] / 1e6,
           result->blobs[VARVE_BLOB_BROKEN], result->blobs[VARVE_BLOB_MENDED]);
}

static void on_pair(void *cookie, const struct varve_image_pair *pair) {
    struct result *result = cookie;
    result->verdicts[pair->verdict]++;
    result->newly_broken += pair->newly_broken;
    if (result->settings->json) {
        json_pair(pair);
    } else if (pair->verdict != VARVE_PAIR_IDENTICAL || pair->newly_broken ||
               result->settings->verbose) {
        text_pair(pair);
    }
}

static void on_blob(void *cookie, enum varve_blob_change change, const char *name, uint64_t bytes) {
    struct result *result = cookie;
    result->blobs[change]++;
    result->bytes[change] += bytes;
    if (result->settings->json) {
        json_blob(change, name, bytes);
    } else if (change == VARVE_BLOB_BROKEN || change == VARVE_BLOB_MENDED ||
               result->settings->verbose) {
        printf("%-12s blob %s\n", varve_blob_change_name(change), name);
    }
}

/* 1: something differs, is on one side alone, or broke. New blobs alone are no difference. */
static int exit_code_of(const struct result *result) {
    uint64_t images = 0;
    for (int i = 0; i < VARVE_PAIR_VERDICTS; i++) {
        images += i == VARVE_PAIR_IDENTICAL ? 0 : result->verdicts[i];
    }
    return images || result->newly_broken || result->blobs[VARVE_BLOB_BROKEN] ? EXIT_FOUND
                                                                              : EXIT_WELL;
}

int run_compare(const struct settings *settings) {
    static const char *const names[] = {"a.db", "b.db"};
    struct result result = {.settings = settings};
    struct varve_store *sides[2] = {NULL, NULL};
    struct varve_store_fault fault;
    int code = EXIT_WELL;
    bool databases[2] = {false, false};
    bool unread = false;
    if (!look_at(&databases[0], settings->operands[0]) ||
        !look_at(&databases[1], settings->operands[1])) {
        return EXIT_FATAL;
    }
    bool scans = !databases[0] || !databases[1];
    char *folder = scans ? make_folder() : NULL;
    if (scans && !folder) {
        return EXIT_FATAL;
    }
    for (int i = 0; i < 2 && code == EXIT_WELL; i++) {
        sides[i] = open_side(settings, settings->operands[i], databases[i], folder, names[i], &code,
                             &unread);
    }
    if (code == EXIT_WELL) {
        if (varve_store_compare(sides[0], sides[1], &fault, on_pair, on_blob, &result) !=
            VARVE_STORE_OK) {
            code = store_exit_code(&fault);
        } else {
            code = exit_code_of(&result);
            code = code == EXIT_WELL && unread ? EXIT_UNJUDGED : code;
            if (settings->json) {
                json_result(&result, code);
            } else {
                text_result(&result);
            }
        }
    }
    varve_store_close(sides[0]);
    varve_store_close(sides[1]);
    remove_folder(folder);
    return code;
}
