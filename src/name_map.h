/* SPDX-License-Identifier: Apache-2.0 */
/* src/name_map.h - strings to small numbers: interns each distinct string once.
 *
 * The hash is keyed with random bytes, so that names chosen by strangers cannot make it quadratic;
 * the numbers are given in order of first appearance and depend on nothing else. */
#ifndef VARVE_NAME_MAP_H
#define VARVE_NAME_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct varve_spill;

/* In ordinary memory some 19 bytes a name: where it lies, and its place in the table. */
struct varve_name_map {
    char **names;    /* NUL-terminated, by number */
    uint32_t *slots; /* number + 1, 0 = free */
    uint8_t *tags;   /* by slot, of the name's hash: names that differ are seldom looked at */
    size_t count;
    size_t names_room;
    size_t slots_room; /* a power of two */
    uint64_t key[2];
    struct varve_spill *spill; /* where the names lie; NULL: the map makes one of its own */
    bool owns_spill;
};

#define VARVE_NAME_NONE UINT32_MAX

/* An all-zero map, but for `spill`, is empty and valid; free leaves an all-zero one. */
void varve_name_map_free(struct varve_name_map *map);

/* The number of a name, given anew if it was not there; *added (may be NULL) says so.
 * VARVE_NAME_NONE where memory was refused. */
uint32_t varve_name_map_add(struct varve_name_map *map, bool *added, const char *name);

/* Its number, or VARVE_NAME_NONE. */
uint32_t varve_name_map_find(const struct varve_name_map *map, const char *name);

/* SipHash-2-4 of some bytes (Aumasson and Bernstein, 2012). */
uint64_t varve_siphash(const uint64_t key[2], const void *data, size_t data_bytes);

#endif
