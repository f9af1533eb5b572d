/* SPDX-License-Identifier: Apache-2.0 */
/* src/json_diff.h - two JSON documents, value by value. */
#ifndef VARVE_JSON_DIFF_H
#define VARVE_JSON_DIFF_H

#include "varve/image_diff.h"

/* A value that differs. All is malloc'ed and the list's. */
struct json_difference {
    char *pointer;  /* RFC 6901 */
    char *value[2]; /* canonical JSON; NULL: that side has none */
};

struct json_differences {
    enum varve_document_relation relation;
    unsigned spelling; /* VARVE_SPELLING_* */
    struct json_difference *list;
    size_t count, room;
};

/* Compares; documents that repeat a key are none. False: no memory. */
bool varve_json_diff_documents(struct json_differences *differences, struct varve_bytes left,
                               struct varve_bytes right);
void varve_json_diff_free(struct json_differences *differences);

#endif
