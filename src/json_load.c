/* SPDX-License-Identifier: Apache-2.0 */
/* src/json_load.c - jansson, left at once where memory is refused to it.
 *
 * jansson (2.14) goes on where it was: it leaves out what it had no room for, and where that is the
 * quote at the end of a text, it reads on behind the text's buffer. So a refusal is never given to
 * it while it parses: that is left by longjmp, and what it held then is given back. Which blocks
 * these are, a list of all that it took and gave back tells; nothing is written beside the blocks
 * themselves, for others in the process may hold some that are older than our wrapping. */
#include "json_load.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

enum { FIRST_EVENTS = 256, GIVEN_BACK = 1 };

/* What a thread parses. */
static _Thread_local struct {
    bool running;
    jmp_buf refused;
    uintptr_t *events; /* a block's address when it was taken; with GIVEN_BACK, which no address
                          has, when it was given back */
    size_t count, room;
} parse;

static json_malloc_t allocate_before;
static json_free_t release_before;

static bool note(uintptr_t event) {
    if (parse.count == parse.room) {
        size_t room = parse.room ? 2 * parse.room : FIRST_EVENTS;
        uintptr_t *grown = realloc(parse.events, room * sizeof *grown);
        if (!grown) {
            return false;
        }
        parse.events = grown;
        parse.room = room;
    }
    parse.events[parse.count++] = event;
    return true;
}

static void *allocate(size_t bytes) {
    void *block = allocate_before(bytes);
    if (!parse.running) {
        return block;
    }
    if (!block || !note((uintptr_t)block)) {
        if (block) {
            release_before(block);
        }
        longjmp(parse.refused, 1);
    }
    return block;
}

static void release(void *block) {
    if (parse.running && block && !note((uintptr_t)block | GIVEN_BACK)) {
        longjmp(parse.refused, 1); /* with the block among those that it holds */
    }
    release_before(block);
}

static void wrap(void) {
    json_get_alloc_funcs(&allocate_before, &release_before);
    json_set_alloc_funcs(allocate, release);
}

static int compare_events(const void *a, const void *b) {
    const uintptr_t *x = a;
    const uintptr_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Gives back what was taken once more often than it was given back. */
static void release_held(void) {
    union {
        uintptr_t address;
        void *block;
    } held;
    if (parse.count > 0) {
        qsort(parse.events, parse.count, sizeof *parse.events, compare_events);
    }
    for (size_t i = 0; i < parse.count;) {
        size_t taken = 0;
        size_t given_back = 0;
        held.address = parse.events[i];
        for (; i < parse.count && parse.events[i] == held.address; i++) {
            taken++;
        }
        for (; i < parse.count && parse.events[i] == (held.address | GIVEN_BACK); i++) {
            given_back++;
        }
        if (taken > given_back) {
            release_before(held.block);
        }
    }
}

static void end_parse(void) {
    parse.running = false;
    free(parse.events);
    parse.events = NULL;
    parse.count = parse.room = 0;
}

json_t *varve_json_parse(const void *data, size_t bytes, size_t flags, json_error_t *error,
                         bool *no_memory) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, wrap);
    *no_memory = false;
    if (setjmp(parse.refused) != 0) {
        release_held();
        end_parse();
        *no_memory = true;
        return NULL;
    }
    parse.running = true;
    json_t *root = json_loadb(data, bytes, flags, error);
    end_parse();
    return root;
}
