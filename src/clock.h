/* SPDX-License-Identifier: Apache-2.0 */
/* src/clock.h - the two clocks that figures come from. */
#ifndef VARVE_CLOCK_H
#define VARVE_CLOCK_H

#include <time.h>

static inline double varve_clock_seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Wall time since some moment. */
static inline double varve_wall_seconds(void) {
    return varve_clock_seconds(CLOCK_MONOTONIC);
}

/* CPU time of the calling thread: a system call of a quarter of a microsecond. */
static inline double varve_cpu_seconds(void) {
    return varve_clock_seconds(CLOCK_THREAD_CPUTIME_ID);
}

#endif
