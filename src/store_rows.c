/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_rows.c - sets of row numbers. They are kept as a list, never as places in an array that
 * goes up to the greatest: a damaged database has rows of any number. */
#include <stdlib.h>

#include "store_internal.h"

bool varve_rows_add(struct varve_rows *rows, int64_t row) {
    if (rows->count == rows->room) {
        size_t room = rows->room ? 2 * rows->room : 256;
        int64_t *grown = realloc(rows->rows, room * sizeof *grown);
        if (!grown) {
            return false;
        }
        rows->rows = grown;
        rows->room = room;
    }
    rows->rows[rows->count++] = row;
    return true;
}

static int compare_rows(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void varve_rows_sort(struct varve_rows *rows) {
    if (rows->count > 1) {
        qsort(rows->rows, rows->count, sizeof *rows->rows, compare_rows);
    }
}

bool varve_rows_have(const struct varve_rows *rows, int64_t row) {
    return rows->count && bsearch(&row, rows->rows, rows->count, sizeof row, compare_rows);
}

void varve_rows_free(struct varve_rows *rows) {
    free(rows->rows);
    *rows = (struct varve_rows){0};
}
