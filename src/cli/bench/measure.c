/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/measure.c - rounds over all tasks, and what the machine did meanwhile. */
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* A task is measured at least so often; a slow one not oftener, once it took its share of time. */
#define LEAST_ROUNDS 3
#define DEFAULT_ROUNDS 7
#define DEFAULT_SECONDS 4.0

static volatile sig_atomic_t caught;

/* The second one ends varve at once: a task that runs may take minutes yet. */
static void on_signal(int number) {
    if (caught) {
        _exit(128 + number);
    }
    caught = number;
}

bool bench_stopping(void) {
    return caught != 0;
}

/* What is ignored already stays so: of nohup(1), of a shell's background job. */
static void watch(int number) {
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        sigaction(number, &action, NULL);
    }
}

static double seconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* A chain of dependent multiplications: takes as long as the clock is slow, and touches no memory.
 */
static double clock_probe(void) {
    double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    volatile uint64_t sink = 0;
    uint64_t x = 1;
    for (int i = 0; i < 4000000; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
    }
    sink = x;
    (void)sink;
    return seconds_of(CLOCK_THREAD_CPUTIME_ID) - start;
}

/* CPU seconds of the whole machine since it started (proc(5)), and this process's. */
struct machine_time {
    double total;  /* of all processors, idle or not */
    double busy;   /* of all programs here */
    double stolen; /* what the hypervisor gave to other guests */
    double own;
    double wall;
};

/* All zero where /proc tells nothing. */
static struct machine_time machine_time_read(void) {
    enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, FIELDS };
    struct machine_time now = {0};
    unsigned long long ticks[FIELDS];
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    FILE *file = fopen("/proc/stat", "re");
    if (file && fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &ticks[USER],
                       &ticks[NICE], &ticks[SYSTEM], &ticks[IDLE], &ticks[IOWAIT], &ticks[IRQ],
                       &ticks[SOFTIRQ], &ticks[STEAL]) == FIELDS) {
        for (size_t i = 0; i < FIELDS; i++) {
            now.total += (double)ticks[i] * tick;
        }
        now.stolen = (double)ticks[STEAL] * tick;
        now.busy = now.total - now.stolen - (double)(ticks[IDLE] + ticks[IOWAIT]) * tick;
        now.own = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        now.wall = seconds_of(CLOCK_MONOTONIC);
    }
    if (file) {
        fclose(file);
    }
    return now;
}

/* What was taken between the two: by other guests of the host, and by other programs here. */
static void judge_machine(struct bench *bench, const struct machine_time *from,
                          const struct machine_time *to) {
    double total = to->total - from->total;
    double wall = to->wall - from->wall;
    double others = (to->busy - from->busy) - (to->own - from->own);
    bench->stolen = total > 0 ? (to->stolen - from->stolen) / total : 0;
    bench->other_cpus = wall > 0 && others > 0 ? others / wall : 0;
}

void bench_machine_read(struct bench_machine *machine) {
    struct utsname name;
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(machine->cpu, sizeof machine->cpu, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            snprintf(machine->cpu, sizeof machine->cpu, "%.*s", (int)strcspn(colon + 2, "\n"),
                     colon + 2);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    if (uname(&name) == 0) {
        snprintf(machine->kernel, sizeof machine->kernel, "%.16s %.60s", name.sysname,
                 name.release);
    }
}

struct bench_task *bench_add(struct bench *bench, const char *group, enum bench_form_kind form) {
    if (bench->task_count == bench->task_room) {
        size_t room = bench->task_room ? 2 * bench->task_room : 64;
        struct bench_task *grown = realloc(bench->tasks, room * sizeof *grown);
        if (!grown) {
            return NULL;
        }
        bench->tasks = grown;
        bench->task_room = room;
    }
    struct bench_task *task = &bench->tasks[bench->task_count++];
    *task = (struct bench_task){.group = group,
                                .form = bench->sample.forms[form].name,
                                .bytes = bench->sample.forms[form].bytes,
                                .over = &bench->sample.forms[form],
                                .sample = &bench->sample};
    return task;
}

void bench_note_absent(struct bench *bench, const char *library, const char *reason) {
    if (bench->absent_count < sizeof bench->absent / sizeof *bench->absent) {
        bench->absent[bench->absent_count++] = (struct bench_absent){library, reason};
    }
}

void bench_note_version(struct bench *bench, const char *library, const char *version) {
    if (bench->version_count < sizeof bench->versions / sizeof *bench->versions) {
        struct bench_version *to = &bench->versions[bench->version_count++];
        to->library = library;
        snprintf(to->version, sizeof to->version, "%s", version);
    }
}

static bool run_all(struct bench_task *task) {
    unsigned threads = task->sample->threads;
    bool good = true;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(&& : good)
    for (unsigned i = 0; i < threads; i++) {
        good = task->operations->run(task, &task->over->shares[i]) && good;
    }
    return good;
}

static enum bench_fault fault_of(struct bench_task *task, bool ran) {
    if (!ran) {
        return BENCH_FAILED;
    }
    task->fault = BENCH_WELL;
    bool right = task->operations->verify(task);
    return right ? BENCH_WELL : task->fault == BENCH_FAILED ? BENCH_FAILED : BENCH_WRONG;
}

/* One sample of each width, each verified. `round` SIZE_MAX: to warm up, by one thread, not kept.
 * Nor is what a signal came into. */
static void run_task(struct bench_task *task, size_t round) {
    double begun = seconds_of(CLOCK_MONOTONIC);
    double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    bool ran = task->operations->run(task, &task->over->whole);
    double one = seconds_of(CLOCK_THREAD_CPUTIME_ID) - start;
    double all = one;
    if (caught) {
        return;
    }
    task->fault = fault_of(task, ran);
    if (task->sample->threads > 1 && task->fault == BENCH_WELL && round != SIZE_MAX) {
        start = seconds_of(CLOCK_MONOTONIC);
        ran = run_all(task);
        all = seconds_of(CLOCK_MONOTONIC) - start;
        if (caught) {
            return;
        }
        task->fault = fault_of(task, ran);
    }
    task->spent += seconds_of(CLOCK_MONOTONIC) - begun;
    if (round < BENCH_MOST_ROUNDS) {
        task->seconds[BENCH_ONE][round] = one;
        task->seconds[BENCH_ALL][round] = all;
        task->rounds = round + 1;
    }
}

static void say_progress(const struct bench *bench, const char *what, size_t done) {
    enum progress_mode mode = bench->settings->progress;
    if (mode == PROGRESS_PLAIN || mode == PROGRESS_TTY ||
        (mode == PROGRESS_AUTO && isatty(STDERR_FILENO))) {
        fprintf(stderr, "varve: bench: %s, %zu of %zu tasks\n", what, done, bench->task_count);
    }
}

bool bench_measure(struct bench *bench) {
    unsigned most = bench->settings->bench_rounds ? bench->settings->bench_rounds : DEFAULT_ROUNDS;
    size_t least = most < LEAST_ROUNDS ? most : LEAST_ROUNDS;
    double quickest = clock_probe();
    double slowest = quickest;
    bool good = true;
    watch(SIGINT);
    watch(SIGTERM);
    struct machine_time before = machine_time_read();
    for (size_t i = 0; i < bench->task_count && !caught; i++) {
        run_task(&bench->tasks[i], SIZE_MAX);
        good &= bench->tasks[i].fault == BENCH_WELL;
    }
    say_progress(bench, "warmed up", bench->task_count);
    for (size_t round = 0; round < most && !caught; round++) {
        size_t done = 0;
        /* Each round begins elsewhere, so that no task always follows the same one. */
        for (size_t i = 0; i < bench->task_count && !caught; i++) {
            struct bench_task *task = &bench->tasks[(i + round * 7) % bench->task_count];
            bool enough = round >= least && task->spent > DEFAULT_SECONDS;
            if (task->fault == BENCH_WELL && !enough && task->rounds == round) {
                run_task(task, round);
                good &= task->fault == BENCH_WELL;
                done++;
            }
        }
        double probe = clock_probe();
        quickest = probe < quickest ? probe : quickest;
        slowest = probe > slowest ? probe : slowest;
        say_progress(bench, "measured", done);
        if (done == 0) {
            break;
        }
    }
    struct machine_time after = machine_time_read();
    judge_machine(bench, &before, &after);
    bench->clock_spread = slowest / quickest - 1;
    bench->stopped = caught;
    return good;
}
