/* SPDX-License-Identifier: Apache-2.0 */
/* tests/cli/threads.c - preloaded: refuses threads as a full system does. THREADS_ALIVE may be
 * there at a time beside the first one; THREADS_EVER may be begun at all. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_int alive, ever;

struct begin {
    void *(*start)(void *);
    void *cookie;
};

static void *run(void *cookie) {
    struct begin begin = *(struct begin *)cookie;
    free(cookie);
    void *result = begin.start(begin.cookie);
    atomic_fetch_sub(&alive, 1);
    return result;
}

static int limit(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : 1 << 30;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *cookie) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real) {
        real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
            RTLD_NEXT, "pthread_create");
    }
    struct begin *begin = malloc(sizeof *begin);
    if (!begin || atomic_load(&alive) >= limit("THREADS_ALIVE") ||
        atomic_load(&ever) >= limit("THREADS_EVER")) {
        free(begin);
        return EAGAIN;
    }
    *begin = (struct begin){start, cookie};
    atomic_fetch_add(&alive, 1);
    atomic_fetch_add(&ever, 1);
    return real(thread, attributes, run, begin);
}
