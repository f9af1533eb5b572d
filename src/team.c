/* SPDX-License-Identifier: Apache-2.0 */
/* src/team.c - how many threads an OpenMP team can really have.
 *
 * libgomp ends the whole program when it is refused a thread, libomp aborts it; neither can be told
 * not to. So threads are begun here first, all at once and for a moment, and no more are asked for
 * than there were. What an OpenMP library began it keeps for the calling thread's next team, so
 * that nothing is tried that was had before. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "team.h"
#include "varve/scan.h"

/* Where threads are refused, so many are left for others: a database's writer, archives that are
 * put together again. */
#define LEFT_OVER 2

/* Descriptors that are left for everything but teams. */
#define LEFT_DESCRIPTORS 24

/* How long an ended thread may take to be forgotten: it counts until then. */
#define MOMENT_NS 100000
#define MOMENTS 10000

/* The size of the calling thread's last team, whose threads its OpenMP library still has. */
static _Thread_local unsigned last_team;

struct trial {
    pthread_mutex_t gate;
    pthread_t thread;
    pid_t id;
};

static void *wait_at_gate(void *cookie) {
    struct trial *trial = cookie;
    pthread_mutex_lock(&trial->gate);
    trial->id = gettid();
    pthread_mutex_unlock(&trial->gate);
    return NULL;
}

/* Joined threads count against limits until the kernel has forgotten them. */
static void wait_until_forgotten(pid_t id) {
    const struct timespec moment = {.tv_nsec = MOMENT_NS};
    for (int i = 0; i < MOMENTS && tgkill(getpid(), id, 0) == 0; i++) {
        nanosleep(&moment, NULL);
    }
}

/* How many threads beside those that are there can be had at once. */
static unsigned try_threads(unsigned count) {
    struct trial *trials = calloc(count, sizeof *trials);
    unsigned begun = 0;
    while (trials && begun < count) {
        struct trial *trial = &trials[begun];
        pthread_mutex_init(&trial->gate, NULL);
        pthread_mutex_lock(&trial->gate);
        if (pthread_create(&trial->thread, NULL, wait_at_gate, trial) != 0) {
            pthread_mutex_unlock(&trial->gate);
            pthread_mutex_destroy(&trial->gate);
            break;
        }
        begun++;
    }
    for (unsigned i = 0; i < begun; i++) {
        pthread_mutex_unlock(&trials[i].gate);
        pthread_join(trials[i].thread, NULL);
    }
    for (unsigned i = 0; i < begun; i++) {
        wait_until_forgotten(trials[i].id);
        pthread_mutex_destroy(&trials[i].gate);
    }
    free(trials);
    return begun;
}

size_t varve_free_descriptors(size_t enough) {
    struct rlimit limit = {.rlim_cur = 0};
    size_t count = 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return enough;
    }
    for (rlim_t fd = 0; fd < limit.rlim_cur && count < enough + LEFT_DESCRIPTORS; fd++) {
        count += fcntl((int)fd, F_GETFD) < 0 && errno == EBADF;
    }
    return count > LEFT_DESCRIPTORS ? count - LEFT_DESCRIPTORS : 0;
}

unsigned varve_thread_team(unsigned wanted, unsigned descriptors_each) {
    if (descriptors_each) {
        size_t room = varve_free_descriptors((size_t)wanted * descriptors_each) / descriptors_each;
        wanted = room < wanted ? (unsigned)room : wanted;
    }
    if (wanted <= 1) {
        return 1;
    }
    unsigned have = last_team ? last_team : 1;
    unsigned got = wanted;
    if (wanted > have) {
        unsigned begun = try_threads(wanted - have);
        unsigned spare = begun > LEFT_OVER ? begun - LEFT_OVER : 0;
        got = begun < wanted - have ? have + spare : wanted;
    }
    if (got > have) {
        /* The library begins them now, while there is room, and keeps them. */
        unsigned there = 0;
#pragma omp parallel num_threads(got) reduction(+ : there)
        there += 1;
        got = there;
    }
    last_team = got;
    return got;
}
