/* SPDX-License-Identifier: Apache-2.0 */
/* src/json_load.c - jansson, and whether it was refused memory. */
#include "json_load.h"

#include <pthread.h>

static json_malloc_t allocate_before;
static _Thread_local bool refused;

static void *allocate(size_t bytes) {
    void *block = allocate_before(bytes);
    refused |= !block;
    return block;
}

static void wrap(void) {
    json_free_t release = NULL;
    json_get_alloc_funcs(&allocate_before, &release);
    json_set_alloc_funcs(allocate, release);
}

json_t *varve_json_parse(const void *data, size_t bytes, size_t flags, json_error_t *error,
                         bool *no_memory) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, wrap);
    refused = false;
    json_t *root = json_loadb(data, bytes, flags, error);
    *no_memory = refused;
    if (refused) {
        json_decref(root);
        root = NULL;
    }
    return root;
}
