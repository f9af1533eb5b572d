/* SPDX-License-Identifier: Apache-2.0 */
/* src/diff_fields.c - the fields of the difference at hand, and the memory of their values. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff_internal.h"

enum { ARENA_CHUNK_BYTES = 65536 };

void varve_diff_arena_reset(struct diff_arena *arena) {
    while (arena->chunk_count > 1 ||
           (arena->chunk_count == 1 && arena->chunks[0].capacity > ARENA_CHUNK_BYTES)) {
        free(arena->chunks[--arena->chunk_count].bytes);
    }
    if (arena->chunk_count) {
        arena->chunks[0].used = 0;
    }
}

void varve_diff_arena_free(struct diff_arena *arena) {
    for (size_t i = 0; i < arena->chunk_count; i++) {
        free(arena->chunks[i].bytes);
    }
    free(arena->chunks);
    *arena = (struct diff_arena){NULL, 0, 0};
}

static uint8_t *new_chunk(struct diff_arena *arena, size_t bytes) {
    if (arena->chunk_count == arena->chunk_room) {
        size_t room = arena->chunk_room ? 2 * arena->chunk_room : 8;
        struct diff_chunk *chunks = realloc(arena->chunks, room * sizeof *chunks);
        if (!chunks) {
            return NULL;
        }
        arena->chunks = chunks;
        arena->chunk_room = room;
    }
    size_t capacity = bytes > ARENA_CHUNK_BYTES ? bytes : ARENA_CHUNK_BYTES;
    uint8_t *memory = malloc(capacity);
    if (memory) {
        arena->chunks[arena->chunk_count++] = (struct diff_chunk){memory, bytes, capacity};
    }
    return memory;
}

uint8_t *varve_diff_allocate(struct varve_diff *diff, size_t bytes) {
    struct diff_arena *arena = &diff->arena;
    if (arena->chunk_count) {
        struct diff_chunk *last = &arena->chunks[arena->chunk_count - 1];
        if (bytes <= last->capacity - last->used) {
            last->used += bytes;
            return last->bytes + last->used - bytes;
        }
    }
    uint8_t *memory = new_chunk(arena, bytes);
    if (!memory) {
        diff->no_memory = diff->fields_lost = true;
    }
    return memory;
}

struct varve_bytes varve_diff_copy(struct varve_diff *diff, const void *bytes, size_t count) {
    uint8_t *copy = varve_diff_allocate(diff, count ? count : 1);
    if (!copy) {
        return (struct varve_bytes){NULL, 0};
    }
    if (count) {
        memcpy(copy, bytes, count);
    }
    return (struct varve_bytes){copy, count};
}

struct varve_bytes varve_diff_text(struct varve_diff *diff, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t count = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    return varve_diff_copy(diff, text, count);
}

void varve_diff_begin_fields(struct varve_diff *diff) {
    varve_diff_arena_reset(&diff->arena);
    diff->field_count = 0;
    diff->fields_lost = false;
}

struct varve_diff_field *varve_diff_add_field(struct varve_diff *diff, const char *part,
                                              const char *name) {
    if (diff->field_count == diff->field_room) {
        size_t room = diff->field_room ? 2 * diff->field_room : 32;
        struct varve_diff_field *fields = realloc(diff->fields, room * sizeof *fields);
        if (!fields) {
            diff->no_memory = diff->fields_lost = true;
            return NULL;
        }
        diff->fields = fields;
        diff->field_room = room;
    }
    struct varve_diff_field *field = &diff->fields[diff->field_count++];
    *field = (struct varve_diff_field){
        .part = part, .name = name, .offset = {VARVE_NO_OFFSET, VARVE_NO_OFFSET}};
    return field;
}

void varve_diff_set(struct varve_diff_field *field, unsigned side, struct varve_bytes value) {
    if (field) {
        field->has[side] = true;
        field->value[side] = value;
    }
}

void varve_diff_number(struct varve_diff *diff, const char *name, uint64_t left, uint64_t right) {
    if (left != right) {
        struct varve_diff_field *field = varve_diff_add_field(diff, NULL, name);
        varve_diff_set(field, 0, varve_diff_text(diff, "%" PRIu64, left));
        varve_diff_set(field, 1, varve_diff_text(diff, "%" PRIu64, right));
    }
}
