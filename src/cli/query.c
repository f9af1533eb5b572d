/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/query.c - `varve query` and `varve status`: what a database answers, as a table, JSON
 * lines or CSV (RFC 4180). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "json.h"
#include "safe.h"
#include "varve/store.h"

int store_exit_code(const struct varve_store_fault *fault) {
    complain("%s", fault->message);
    return fault->status == VARVE_STORE_LOCKED      ? EXIT_LOCKED
           : fault->status == VARVE_STORE_NO_MEMORY ? EXIT_FATAL
                                                    : EXIT_DATABASE;
}

static void put_json(const struct varve_query *query) {
    struct json json = {.out = stdout};
    json_open(&json, NULL, '{');
    for (size_t i = 0; i < varve_query_column_count(query); i++) {
        const char *key = varve_query_column(query, i);
        struct varve_value value = varve_query_value(query, i);
        if (value.kind == VARVE_VALUE_INTEGER) {
            json_signed(&json, key, value.integer);
        } else if (value.kind == VARVE_VALUE_REAL) {
            json_real(&json, key, value.real);
        } else if (value.kind == VARVE_VALUE_TEXT) {
            json_bytes(&json, key, value.bytes, value.count);
        }
    }
    json_close(&json, '}');
    json_line_end(&json);
}

/* A field is quoted where it must be, and where a spreadsheet would take it for a formula. */
static void put_csv_field(const char *bytes, size_t count) {
    bool plain = count > 0 && !strchr("=+-@", bytes[0]);
    for (size_t i = 0; i < count && plain; i++) {
        plain = bytes[i] && !strchr(",\"\r\n", bytes[i]);
    }
    if (plain || !count) {
        fwrite(bytes, 1, count, stdout);
        return;
    }
    putchar('"');
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '"') {
            putchar('"');
        }
        putchar(bytes[i]);
    }
    putchar('"');
}

/* The value as bytes; numbers in `text`. */
static struct varve_value as_text(struct varve_value value, char text[32]) {
    if (value.kind == VARVE_VALUE_INTEGER || value.kind == VARVE_VALUE_REAL) {
        value.count = (size_t)(value.kind == VARVE_VALUE_INTEGER
                                   ? snprintf(text, 32, "%" PRId64, value.integer)
                                   : snprintf(text, 32, "%.3f", value.real));
        value.bytes = text;
    }
    return value;
}

static void put_csv(const struct varve_query *query) {
    for (size_t i = 0; i < varve_query_column_count(query); i++) {
        char text[32];
        struct varve_value value = as_text(varve_query_value(query, i), text);
        if (i) {
            putchar(',');
        }
        if (value.kind == VARVE_VALUE_TEXT) {
            put_csv_field(value.bytes, value.count);
        } else {
            fwrite(value.bytes ? value.bytes : "", 1, value.count, stdout);
        }
    }
    fputs("\r\n", stdout);
}

/* --- the table: rows are kept until the widths of columns are known --- */

struct cell {
    char *text;
    bool number;
};

struct table {
    struct cell *cells;
    size_t count, room, columns;
};

static bool add_cell(struct table *table, const char *bytes, size_t count, bool number) {
    if (table->count == table->room) {
        size_t room = table->room ? 2 * table->room : 256;
        struct cell *cells = realloc(table->cells, room * sizeof *cells);
        if (!cells) {
            return false;
        }
        table->cells = cells;
        table->room = room;
    }
    char *text = safe_copy(bytes, count);
    table->cells[table->count++] = (struct cell){text, number};
    return text != NULL;
}

/* Code points: enough to keep columns straight for most names. */
static int width_of(const char *text) {
    int width = 0;
    for (; *text; text++) {
        width += (*text & 0xc0) != 0x80;
    }
    return width;
}

/* False: no memory. */
static bool print_table(const struct table *table) {
    size_t rows = table->columns ? table->count / table->columns : 0;
    int *widths = calloc(table->columns + 1, sizeof *widths);
    if (!widths) {
        return false;
    }
    for (size_t i = 0; rows && i < table->count; i++) {
        int width = width_of(table->cells[i].text);
        int *most = &widths[i % table->columns];
        *most = width > *most ? width : *most;
    }
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < table->columns; i++) {
            const struct cell *cell = &table->cells[row * table->columns + i];
            /* Whole rows are there. NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage) */
            int pad = widths[i] - width_of(cell->text);
            bool last = i + 1 == table->columns;
            if (cell->number) {
                printf("%*s%s", pad, "", cell->text);
            } else {
                printf("%s%*s", cell->text, last ? 0 : pad, "");
            }
            fputs(last ? "\n" : "  ", stdout);
        }
    }
    free(widths);
    return true;
}

static void free_table(struct table *table) {
    for (size_t i = 0; i < table->count; i++) {
        free(table->cells[i].text);
    }
    free(table->cells);
}

static bool add_row(struct table *table, const struct varve_query *query) {
    bool good = true;
    for (size_t i = 0; i < table->columns && good; i++) {
        char text[32];
        struct varve_value value = as_text(varve_query_value(query, i), text);
        bool number = value.kind == VARVE_VALUE_INTEGER || value.kind == VARVE_VALUE_REAL;
        good = value.kind == VARVE_VALUE_NONE ? add_cell(table, "-", 1, false)
                                              : add_cell(table, value.bytes, value.count, number);
    }
    return good;
}

/* False: no memory. */
static bool put_header(struct table *table, const struct varve_query *query,
                       const struct settings *settings) {
    bool good = true;
    for (size_t i = 0; good && i < varve_query_column_count(query) && !settings->json; i++) {
        const char *name = varve_query_column(query, i);
        if (!settings->csv) {
            good = add_cell(table, name, strlen(name), false);
        } else {
            printf("%s%s", i ? "," : "", name);
        }
    }
    if (settings->csv) {
        fputs("\r\n", stdout);
    }
    return good;
}

static int answer(const struct settings *settings, struct varve_query *query) {
    struct varve_store_fault fault = {0};
    struct table table = {.columns = varve_query_column_count(query)};
    bool row = true;
    bool good = put_header(&table, query, settings);
    while (good && varve_query_next(query, &row, &fault) == VARVE_STORE_OK && row) {
        if (settings->json) {
            put_json(query);
        } else if (settings->csv) {
            put_csv(query);
        } else {
            good = add_row(&table, query);
        }
    }
    if (!settings->json && !settings->csv && good) {
        good = print_table(&table);
    }
    free_table(&table);
    if (!good) {
        complain("out of memory");
        return EXIT_FATAL;
    }
    return fault.status == VARVE_STORE_OK ? EXIT_WELL : store_exit_code(&fault);
}

static int ask(const struct settings *settings, const char *name, const char *rung,
               uint64_t limit) {
    static const struct varve_store_options read_only = {.read_only = true};
    struct varve_store_fault fault;
    struct varve_store *store = NULL;
    struct varve_query *query = NULL;
    int code = EXIT_WELL;
    if (varve_store_open(&store, &fault, settings->db, &read_only) != VARVE_STORE_OK ||
        varve_query_open(&query, &fault, store, name, rung, limit) != VARVE_STORE_OK) {
        code = store_exit_code(&fault);
    } else {
        code = answer(settings, query);
    }
    varve_query_close(query);
    varve_store_close(store);
    return code;
}

static void list_questions(void) {
    for (size_t i = 0; i < varve_query_count(); i++) {
        struct varve_query_info info = varve_query_at(i);
        printf("  %-12s %s%s\n", info.name, info.text, info.takes_rung ? " (--rung)" : "");
    }
}

int run_query(const struct settings *settings) {
    const char *name = settings->operand_count ? settings->operands[0] : NULL;
    bool takes_rung = false;
    bool found = false;
    enum varve_rung rung;
    for (size_t i = 0; name && i < varve_query_count(); i++) {
        struct varve_query_info info = varve_query_at(i);
        if (strcmp(info.name, name) == 0) {
            found = true;
            takes_rung = info.takes_rung;
        }
    }
    if (!name) {
        list_questions();
        return EXIT_WELL;
    }
    if (!found) {
        complain("no question '%s'; 'varve query' lists them", name);
        return EXIT_FATAL;
    }
    if (settings->rung && (!takes_rung || !varve_rung_by_name(&rung, settings->rung))) {
        complain(takes_rung ? "no rung '%s'" : "this question takes no rung", settings->rung);
        return EXIT_FATAL;
    }
    if (!settings->db) {
        complain("--db is missing; try 'varve query --help'");
        return EXIT_FATAL;
    }
    return ask(settings, name, settings->rung, settings->limit);
}

int run_status(const struct settings *settings) {
    if (!settings->db) {
        complain("--db is missing; try 'varve status --help'");
        return EXIT_FATAL;
    }
    return ask(settings, "scans", NULL, settings->limit ? settings->limit : 10);
}
