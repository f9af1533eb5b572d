/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench.c - repetitions, medians, the table and the JSON; see bench.h. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

void bench_add(struct bench_case *c, const char *name, void (*run)(void *), void *cookie) {
    if (c->contender_count == BENCH_MAX_CONTENDERS) {
        abort();
    }
    c->contenders[c->contender_count++] = (struct bench_contender){name, run, cookie, NULL};
}

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Google Benchmark calls a case several times until it knows how many repetitions fill the time;
 * the last call counts. Each begins with a run that is not timed. */
void bench_begin(struct bench_case *c) {
    c->repetitions = 0;
    for (size_t i = 0; i < c->contender_count; i++) {
        c->contenders[i].run(c->contenders[i].cookie);
    }
}

static void make_room(struct bench_case *c) {
    if (c->repetitions < c->room) {
        return;
    }
    c->room = c->room ? 2 * c->room : 64;
    for (size_t i = 0; i < c->contender_count; i++) {
        double *grown = realloc(c->contenders[i].seconds, c->room * sizeof *grown);
        if (!grown) {
            abort();
        }
        c->contenders[i].seconds = grown;
    }
}

double bench_repetition(struct bench_case *c) {
    make_room(c);
    double sum = 0;
    for (size_t i = 0; i < c->contender_count; i++) {
        struct bench_contender *who = &c->contenders[(i + c->repetitions) % c->contender_count];
        double start = cpu_seconds();
        who->run(who->cookie);
        who->seconds[c->repetitions] = cpu_seconds() - start;
        sum += who->seconds[c->repetitions];
    }
    c->repetitions++;
    return sum;
}

void bench_end(struct bench_case *c) {
    if (c->verify && !c->verify(c->cookie)) {
        c->wrong = true;
    }
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of over[i] / under[i], of over[i] alone where `under` is NULL. */
static double median(const double *over, const double *under, size_t count) {
    double *values = malloc((count ? count : 1) * sizeof *values);
    if (!values || count == 0) {
        free(values);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = under ? over[i] / under[i] : over[i];
    }
    qsort(values, count, sizeof *values, compare);
    double middle = count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
    free(values);
    return middle;
}

double bench_gigabytes_per_second(const struct bench_case *c, size_t contender) {
    return (double)c->bytes / median(c->contenders[contender].seconds, NULL, c->repetitions) * 1e-9;
}

double bench_ratio(const struct bench_case *c, size_t contender) {
    return median(c->contenders[contender].seconds, c->contenders[0].seconds, c->repetitions);
}

static bool same_contenders(const struct bench_case *a, const struct bench_case *b) {
    bool same = a->contender_count == b->contender_count;
    for (size_t i = 0; same && i < a->contender_count; i++) {
        same = strcmp(a->contenders[i].name, b->contenders[i].name) == 0;
    }
    return same;
}

static void print_head(const struct bench_case *c) {
    printf("\n%-24s %12s", "GB/s (varve's ratio)", c->contenders[0].name);
    for (size_t i = 1; i < c->contender_count; i++) {
        printf("  %14s", c->contenders[i].name);
    }
    printf("\n");
}

static void print_line(const struct bench_case *c) {
    printf("%-24s %12.3f", c->name, bench_gigabytes_per_second(c, 0));
    for (size_t i = 1; i < c->contender_count; i++) {
        printf("  %6.3f (%5.2fx)", bench_gigabytes_per_second(c, i), bench_ratio(c, i));
    }
    if (c->remark) {
        char text[160] = "";
        c->remark(c->cookie, text, sizeof text);
        printf("  %s", text);
    }
    printf("%s\n", c->wrong ? "  WRONG ANSWER" : "");
}

static void print_table(const struct bench_case *cases, size_t case_count) {
    const struct bench_case *last = NULL;
    for (size_t i = 0; i < case_count; i++) {
        if (cases[i].repetitions > 0) {
            if (!last || !same_contenders(last, &cases[i])) {
                print_head(&cases[i]);
            }
            print_line(&cases[i]);
            last = &cases[i];
        }
    }
}

/* ---- JSON. No name or version has a character that would have to be escaped. ---- */

static struct { const char *name, *version; } libraries[8];
static size_t library_count;

void bench_library(const char *name, const char *version) {
    if (library_count == sizeof libraries / sizeof libraries[0]) {
        abort();
    }
    libraries[library_count].name = name;
    libraries[library_count++].version = version;
}

static void write_case(FILE *out, const struct bench_case *c) {
    fprintf(out,
            "\n{\"name\":\"%s\",\"bytes\":%llu,\"repetitions\":%zu,\"verified\":%s,"
            "\"contenders\":[",
            c->name, (unsigned long long)c->bytes, c->repetitions, c->wrong ? "false" : "true");
    for (size_t i = 0; i < c->contender_count && !c->wrong; i++) {
        const struct bench_contender *who = &c->contenders[i];
        fprintf(out, "%s{\"name\":\"%s\",\"seconds\":%.9g,\"ratio\":%.6g}", i ? "," : "", who->name,
                median(who->seconds, NULL, c->repetitions), bench_ratio(c, i));
    }
    fputs("]}", out);
}

static bool write_json(const char *path, const struct bench_case *cases, size_t case_count) {
    FILE *out = fopen(path, "we");
    if (!out) {
        perror(path);
        return false;
    }
    fprintf(out, "{\"v\":1,\"compiler\":\"%s\",\"libraries\":{", COMPILER);
    for (size_t i = 0; i < library_count; i++) {
        fprintf(out, "%s\"%s\":\"%s\"", i ? "," : "", libraries[i].name, libraries[i].version);
    }
    fputs("},\"cases\":[", out);
    const char *comma = "";
    for (size_t i = 0; i < case_count; i++) {
        if (cases[i].repetitions > 0) {
            fputs(comma, out);
            write_case(out, &cases[i]);
            comma = ",";
        }
    }
    fputs("\n]}\n", out);
    bool good = !ferror(out);
    good = fclose(out) == 0 && good;
    if (!good) {
        perror(path);
    }
    return good;
}

/* The value of --json=FILE, which is taken out of the arguments; NULL where there is none. */
static const char *take_json(int *argc, char **argv) {
    static const char option[] = "--json=";
    const char *path = NULL;
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strncmp(argv[i], option, sizeof option - 1) == 0) {
            path = argv[i] + sizeof option - 1;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return path;
}

int bench_main(int argc, char **argv, struct bench_case *cases, size_t case_count) {
    const char *path = take_json(&argc, argv);
    int status = bench_google(argc, argv, cases, case_count);
    if (status == 0 && path) {
        status = write_json(path, cases, case_count) ? 0 : 2;
    } else if (status == 0) {
        print_table(cases, case_count);
    }
    for (size_t i = 0; i < case_count; i++) {
        if (cases[i].wrong) {
            fprintf(stderr, "%s: WRONG ANSWER\n", cases[i].name);
            status = status ? status : 1;
        }
        for (size_t k = 0; k < cases[i].contender_count; k++) {
            free(cases[i].contenders[k].seconds);
        }
    }
    return status;
}
