/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/compare.c - against an earlier run's NDJSON: what changed beyond the noise.
 *
 * The samples of one core are compared by the test of Mann and Whitney (1947), exact, two-sided:
 * how many of all ways to divide the ranks would part the two runs as much as they are. It wants no
 * normal distribution and is not moved by an outlier. Beyond the noise is what has p < 0.01 and
 * medians more than 3 % apart: with some dozens of variants, p < 0.05 would mark a few by chance.
 * What the test cannot see is that all rounds of a process share the luck of its memory layout: on
 * a machine at rest one of some forty variants differs by 5 % for that alone.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define CHANCE 0.01
#define LEAST_CHANGE 0.03
/* A line of an earlier run: a result with its samples. */
#define MOST_LINE_BYTES 65536

/* In how many of the ways to choose `n` of n + m ranks is U at most `u`, as a share of all; ways[i]
 * by the recursion over the greatest rank. U is symmetric about n m / 2. */
static double share_below(size_t n, size_t m, size_t u) {
    size_t most = n * m;
    double *ways = calloc((n + 1) * (most + 1), sizeof *ways);
    double below = 0;
    double all = 0;
    if (!ways) {
        return 1;
    }
    /* ways[k][s]: subsets of k ranks, of those looked at so far, with sum of (rank - place) s. */
    ways[0] = 1;
    for (size_t rank = 1; rank <= n + m; rank++) {
        for (size_t k = rank < n ? rank : n; k >= 1; k--) {
            double *to = ways + k * (most + 1);
            const double *from = ways + (k - 1) * (most + 1);
            size_t gain = rank - k;
            for (size_t s = gain; gain <= m && s <= most; s++) {
                to[s] += from[s - gain];
            }
        }
    }
    for (size_t s = 0; s <= most; s++) {
        all += ways[n * (most + 1) + s];
        below += s <= u ? ways[n * (most + 1) + s] : 0;
    }
    free(ways);
    return below / all;
}

/* The probability of a difference as great or greater, if there is none. */
static double chance_of(const double *a, size_t n, const double *b, size_t m) {
    double u = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < m; j++) {
            u += a[i] > b[j] ? 1 : a[i] == b[j] ? 0.5 : 0;
        }
    }
    double lesser = u < (double)(n * m) - u ? u : (double)(n * m) - u;
    double chance = 2 * share_below(n, m, (size_t)ceil(lesser));
    return chance < 1 ? chance : 1;
}

static size_t read_samples(double samples[BENCH_MOST_ROUNDS], json_t *array) {
    size_t count = 0;
    size_t i;
    json_t *value;
    json_array_foreach(array, i, value) {
        if (count < BENCH_MOST_ROUNDS && json_is_integer(value) && json_integer_value(value) > 0) {
            samples[count++] = (double)json_integer_value(value) * 1e-9;
        }
    }
    return count;
}

static const struct bench_task *find_task(const struct bench *bench, json_t *line) {
    const char *group = NULL;
    const char *variant = NULL;
    const char *form = NULL;
    if (json_unpack(line, "{s:s,s:s,s:s}", "group", &group, "variant", &variant, "form", &form)) {
        return NULL;
    }
    for (size_t i = 0; i < bench->task_count; i++) {
        const struct bench_task *task = &bench->tasks[i];
        if (strcmp(task->group, group) == 0 && strcmp(task->variant, variant) == 0 &&
            strcmp(task->form, form) == 0) {
            return task;
        }
    }
    return NULL;
}

struct tally {
    size_t compared, changed, missing, weak, other_bytes;
    bool other_machine;
};

static void compare_task(struct tally *tally, const struct bench_task *task, json_t *line) {
    double old[BENCH_MOST_ROUNDS];
    double new[BENCH_MOST_ROUNDS];
    double sorted[BENCH_MOST_ROUNDS];
    json_t *one = json_object_get(line, "one");
    size_t n = read_samples(old, json_object_get(one, "samples_ns"));
    size_t m = task->rounds;
    if (json_integer_value(json_object_get(line, "bytes")) != (json_int_t)task->bytes) {
        tally->other_bytes++;
        return;
    }
    if (n == 0 || m == 0) {
        tally->missing++;
        return;
    }
    memcpy(new, task->seconds[BENCH_ONE], m * sizeof *new);
    double chance = chance_of(old, n, new, m);
    memcpy(sorted, old, n * sizeof *old);
    double before = bench_quantile(sorted, n, 0.5);
    double change = before / bench_quantile(new, m, 0.5) - 1;
    tally->compared++;
    tally->weak += 2 * share_below(n, m, 0) >= CHANCE;
    if (chance < CHANCE && fabs(change) > LEAST_CHANGE) {
        tally->changed++;
        printf("  %-10s %-34s %-9s %+6.1f%%  %s, p = %.4f\n", task->group, task->variant,
               task->form, 100 * change, change > 0 ? "faster" : "SLOWER", chance);
    }
}

static void compare_line(struct tally *tally, const struct bench *bench, json_t *line) {
    const char *type = json_string_value(json_object_get(line, "type"));
    if (type && strcmp(type, "bench") == 0) {
        const char *cpu = json_string_value(json_object_get(line, "cpu"));
        tally->other_machine = !cpu || strcmp(cpu, bench->machine.cpu) != 0;
    } else if (type && strcmp(type, "result") == 0) {
        const struct bench_task *task = find_task(bench, line);
        if (task) {
            compare_task(tally, task, line);
        } else {
            tally->missing++;
        }
    }
}

static void print_tally(const struct tally *tally) {
    printf("%zu of %zu variants changed beyond the noise (p < %.2f, more than %.0f%%)%s\n",
           tally->changed, tally->compared, CHANCE, 100 * LEAST_CHANGE,
           tally->changed ? "; run again what matters: rounds share their process's luck" : "");
    if (tally->missing) {
        printf("%zu results of the earlier run have no counterpart here\n", tally->missing);
    }
    if (tally->other_bytes) {
        printf("%zu were of another sample and are not compared\n", tally->other_bytes);
    }
    if (tally->weak) {
        printf("%zu have too few rounds for any difference to show; --rounds=7 will do\n",
               tally->weak);
    }
    if (tally->other_machine) {
        puts("warning: the earlier run was on another CPU");
    }
}

/* ---- The earlier run ---- */

struct bench_old {
    const char *path;
    json_t *lines;
    bool has_results;
    bool whole; /* its last line is there */
};

static void keep_line(struct bench_old *old, json_t *line) {
    const char *type = json_string_value(json_object_get(line, "type"));
    bool result = type && strcmp(type, "result") == 0;
    if (result || (type && strcmp(type, "bench") == 0)) {
        json_array_append(old->lines, line);
    }
    old->has_results |=
        result && json_is_array(json_object_get(json_object_get(line, "one"), "samples_ns"));
    old->whole |= type && strcmp(type, "summary") == 0;
}

/* False: it cannot be read, no memory, or no results. */
static bool read_lines(struct bench_old *old, FILE *file) {
    char *line = malloc(MOST_LINE_BYTES);
    old->lines = json_array();
    errno = line && old->lines ? 0 : ENOMEM;
    while (errno != ENOMEM && fgets(line, MOST_LINE_BYTES, file)) {
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        keep_line(old, object);
        json_decref(object);
    }
    bool read = errno != ENOMEM && !ferror(file);
    if (!read) {
        complain("cannot read %s: %s", old->path, strerror(errno));
    } else if (!old->has_results) {
        complain("%s holds no results of varve bench --json", old->path);
    }
    free(line);
    return read && old->has_results;
}

struct bench_old *bench_old_open(const char *path) {
    struct bench_old *old = calloc(1, sizeof *old);
    FILE *file = old ? fopen(path, "re") : NULL;
    if (!file) {
        complain("cannot read %s: %s", path, strerror(old ? errno : ENOMEM));
        free(old);
        return NULL;
    }
    old->path = path;
    bool good = read_lines(old, file);
    fclose(file);
    if (!good) {
        bench_old_close(old);
        return NULL;
    }
    return old;
}

void bench_old_close(struct bench_old *old) {
    if (old) {
        json_decref(old->lines);
        free(old);
    }
}

void bench_compare(const struct bench *bench, const struct bench_old *old) {
    struct tally tally = {0};
    size_t i;
    json_t *line;
    printf("\nAgainst %s, one core:\n", old->path);
    json_array_foreach(old->lines, i, line) {
        compare_line(&tally, bench, line);
    }
    print_tally(&tally);
    if (!old->whole) {
        printf("warning: %s breaks off before its end\n", old->path);
    }
}
