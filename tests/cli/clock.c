/* SPDX-License-Identifier: Apache-2.0 */
/* tests/cli/clock.c - preloaded: the monotonic clock runs a hundred times as fast. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TIMES 100
#define BILLION 1000000000LL

int clock_gettime(clockid_t id, struct timespec *t) {
    long result = syscall(SYS_clock_gettime, id, t);
    static long long began;
    if (result == 0 && id == CLOCK_MONOTONIC) {
        long long now = t->tv_sec * BILLION + t->tv_nsec;
        began = began ? began : now;
        now = began + (now - began) * TIMES;
        t->tv_sec = now / BILLION;
        t->tv_nsec = now % BILLION;
    }
    return (int)result;
}
