/* SPDX-License-Identifier: Apache-2.0 */
/* src/bytes16.h - sixteen bytes side by side, in the compilers' own vector type: what every
 * baseline has a register for. Comparisons give 0xff where they hold. */
#ifndef VARVE_BYTES16_H
#define VARVE_BYTES16_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { BYTES16 = 16 };
typedef uint8_t bytes16 __attribute__((vector_size(BYTES16)));

static inline bytes16 bytes16_load(const uint8_t *from) {
    bytes16 bytes;
    memcpy(&bytes, from, sizeof bytes);
    return bytes;
}

static inline void bytes16_store(uint8_t *to, bytes16 bytes) {
    memcpy(to, &bytes, sizeof bytes);
}

/* Moves bytes down (`to` <= `from`, they may overlap), thousands as a rule. glibc's memmove() takes
 * `rep movsb` for as many, which on Zen 4 is several times as slow where the two are not aligned
 * alike. */
static inline void bytes16_move_down(uint8_t *to, const uint8_t *from, size_t count) {
    size_t at = 0;
    const size_t step = (size_t)2 * BYTES16;
    for (; count - at >= step; at += step) {
        bytes16 first = bytes16_load(from + at), second = bytes16_load(from + at + BYTES16);
        bytes16_store(to + at, first);
        bytes16_store(to + at + BYTES16, second);
        __asm__ volatile("" ::: "memory"); /* or it is made a call of memmove() */
    }
    memmove(to + at, from + at, count - at);
}

/* Whether any bit is set. */
static inline bool bytes16_any(bytes16 bytes) {
    uint64_t halves[2];
    memcpy(halves, &bytes, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

/* Where a component begins with a dot, or is empty: the bytes at `at` behind a slash, each being a
 * slash or a dot. at[-1] is read too. */
static inline bytes16 bytes16_component_begins(const uint8_t *at) {
    bytes16 here = bytes16_load(at);
    return (bytes16)(bytes16_load(at - 1) == '/') & (bytes16)((here == '/') | (here == '.'));
}

#endif
