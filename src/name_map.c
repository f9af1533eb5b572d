/* SPDX-License-Identifier: Apache-2.0 */
/* src/name_map.c - strings to small numbers. */
#include "name_map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "spill.h"

static uint64_t rotate_left(uint64_t x, unsigned n) {
    return x << n | x >> (64 - n);
}

static void sip_rounds(uint64_t v[4], int rounds) {
    while (rounds-- > 0) {
        v[0] += v[1], v[1] = rotate_left(v[1], 13) ^ v[0], v[0] = rotate_left(v[0], 32);
        v[2] += v[3], v[3] = rotate_left(v[3], 16) ^ v[2];
        v[0] += v[3], v[3] = rotate_left(v[3], 21) ^ v[0];
        v[2] += v[1], v[1] = rotate_left(v[1], 17) ^ v[2], v[2] = rotate_left(v[2], 32);
    }
}

static void take_word(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
}

/* One load, where the CPU is of that byte order. */
static uint32_t load_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t varve_siphash(const uint64_t key[2], const void *data, size_t data_bytes) {
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    const uint8_t *p = data;
    size_t left = data_bytes;
    for (; left >= 8; left -= 8, p += 8) {
        take_word(v, (uint64_t)load_u32(p) | (uint64_t)load_u32(p + 4) << 32);
    }
    uint64_t word = (uint64_t)data_bytes << 56;
    for (size_t i = 0; i < left; i++) {
        word |= (uint64_t)p[i] << 8 * i;
    }
    take_word(v, word);
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void varve_name_map_free(struct varve_name_map *map) {
    if (map->owns_spill) {
        varve_spill_close(map->spill);
    }
    free(map->names);
    free(map->slots);
    free(map->tags);
    memset(map, 0, sizeof *map);
}

static uint64_t hash_of(const struct varve_name_map *map, const char *name) {
    return varve_siphash(map->key, name, strlen(name));
}

static uint8_t tag_of(uint64_t hash) {
    return (uint8_t)(hash >> 56);
}

/* Longest name that is copied to be compared. */
#define COMPARED_BYTES 256

/* Names are looked up in no order: those that lie in a file are copied, not touched. */
static bool is_named(const struct varve_name_map *map, uint32_t number, const char *name) {
    char copy[COMPARED_BYTES];
    size_t count = strlen(name) + 1;
    const char *known = map->names[number];
    /* What lies behind the last name may end before a copy would. */
    if (count > sizeof copy || !varve_spill_is_in_file(map->spill, known + count - 1)) {
        return strcmp(known, name) == 0;
    }
    varve_spill_copy(map->spill, copy, known, count);
    return memcmp(copy, name, count) == 0;
}

/* The slot that holds the name or, where it is not there, the free one it would take. */
static size_t slot_of(const struct varve_name_map *map, const char *name, uint64_t hash) {
    size_t mask = map->slots_room - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        if (!map->slots[i] ||
            (map->tags[i] == tag_of(hash) && is_named(map, map->slots[i] - 1, name))) {
            return i;
        }
    }
}

/* Puts all names into new slots. False: no memory, nothing changed. */
static bool grow_slots(struct varve_name_map *map, size_t room) {
    uint32_t *slots = calloc(room, sizeof *slots);
    uint8_t *tags = calloc(room, sizeof *tags);
    if (!slots || !tags) {
        free(slots);
        free(tags);
        return false;
    }
    if (!map->slots && getrandom(map->key, sizeof map->key, GRND_NONBLOCK) < 0) {
        map->key[0] = (uint64_t)(uintptr_t)slots; /* early boot: better than a constant */
    }
    free(map->slots);
    free(map->tags);
    map->slots = slots;
    map->tags = tags;
    map->slots_room = room;
    for (uint32_t i = 0; i < map->count; i++) {
        uint64_t hash = hash_of(map, map->names[i]);
        size_t at = hash & (room - 1);
        while (slots[at]) {
            at = (at + 1) & (room - 1);
        }
        slots[at] = i + 1;
        tags[at] = tag_of(hash);
        if (i % 65536 == 0) {
            varve_spill_relax(map->spill);
        }
    }
    return true;
}

/* Room for one name more, with at most two thirds of the slots taken. */
static bool grow(struct varve_name_map *map) {
    if (!map->spill) {
        map->spill = varve_spill_open(SIZE_MAX, NULL);
        map->owns_spill = map->spill != NULL;
        if (!map->spill) {
            return false;
        }
    }
    if (map->count == map->names_room) {
        size_t room = map->names_room ? 2 * map->names_room : 64;
        char **names = realloc(map->names, room * sizeof *names);
        if (!names) {
            return false;
        }
        map->names = names;
        map->names_room = room;
    }
    return 3 * (map->count + 1) <= 2 * map->slots_room ||
           grow_slots(map, map->slots_room ? 2 * map->slots_room : 256);
}

uint32_t varve_name_map_add(struct varve_name_map *map, bool *added, const char *name) {
    if (added) {
        *added = false;
    }
    if (map->count >= VARVE_NAME_NONE - 1 || !grow(map)) {
        return varve_name_map_find(map, name);
    }
    uint64_t hash = hash_of(map, name);
    size_t slot = slot_of(map, name, hash);
    if (map->slots[slot]) {
        return map->slots[slot] - 1;
    }
    char *copy = varve_spill_text(map->spill, name, strlen(name));
    if (!copy) {
        return VARVE_NAME_NONE;
    }
    map->slots[slot] = (uint32_t)map->count + 1;
    map->tags[slot] = tag_of(hash);
    map->names[map->count] = copy;
    if (added) {
        *added = true;
    }
    return (uint32_t)map->count++;
}

uint32_t varve_name_map_find(const struct varve_name_map *map, const char *name) {
    if (!map->slots) {
        return VARVE_NAME_NONE;
    }
    return map->slots[slot_of(map, name, hash_of(map, name))] - 1; /* 0 - 1: VARVE_NAME_NONE */
}
