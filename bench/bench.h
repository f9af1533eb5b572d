/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench.h - the harness of the benchmarks: what a C file gives to be measured.
 *
 * A case is one piece of work and the contenders that can do it, the first of them varve's. Google
 * Benchmark decides how often a case is repeated; each repetition runs every contender once, in
 * rotating order, so that whatever else the machine does meets all of them. Times are CPU times of
 * the thread. The table shows medians, and of the ratios between contenders the median over the
 * repetitions (not the ratio of medians).
 *
 * A benchmark is one C file with a main that fills an array of cases and calls bench_main. Google
 * Benchmark's options apply: --benchmark_filter=REGEX, --benchmark_min_time=SECONDS (of all
 * contenders together, per case), --benchmark_out=FILE.json. With --json=FILE the figures go there
 * as JSON, which bench/suite.py reads, and there is no table:
 *
 *   {"v":1,"compiler":"...","libraries":{NAME:VERSION,...},"cases":[{"name":"...","bytes":N,
 *    "repetitions":N,"verified":true,"contenders":[{"name":"...","seconds":S,"ratio":R},...]},...]}
 *
 * `seconds` is the median of the repetitions; `ratio` that of the contender's time divided by
 * varve's. A case whose answer was wrong has "verified":false and no contenders.
 */
#ifndef VARVE_BENCH_H
#define VARVE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_MAX_CONTENDERS 8

/* The number that a macro stands for, as text: for versions that a header gives as numbers. */
#define BENCH_TEXT(macro) BENCH_TEXT_OF(macro)
#define BENCH_TEXT_OF(number) #number

struct bench_contender {
    const char *name;
    void (*run)(void *cookie);
    void *cookie;
    double *seconds; /* private: one per repetition */
};

struct bench_case {
    char name[64];
    uint64_t bytes; /* that one run of a contender gets through */
    struct bench_contender contenders[BENCH_MAX_CONTENDERS];
    size_t contender_count;
    bool (*verify)(void *cookie); /* after the runs: did all give the right answer? */
    void (*remark)(void *cookie, char *to, size_t bytes); /* NULL, or text behind the line */
    void *cookie;
    size_t repetitions, room; /* private */
    bool wrong;               /* private */
};

/* Adds a contender to a case. */
void bench_add(struct bench_case *c, const char *name, void (*run)(void *), void *cookie);

/* Notes a library that a contender stands on; both texts must last. */
void bench_library(const char *name, const char *version);

/* Runs the cases that the options name and prints the table. The exit code: 0; 1 where an answer
 * was wrong; 2 where the options are not understood or FILE cannot be written. */
int bench_main(int argc, char **argv, struct bench_case *cases, size_t case_count);

/* ---- Between bench.c and the shim over Google Benchmark, google.cc ---- */

int bench_google(int argc, char **argv, struct bench_case *cases, size_t case_count);
void bench_begin(struct bench_case *c);
double bench_repetition(struct bench_case *c); /* the seconds it took */
void bench_end(struct bench_case *c);
double bench_gigabytes_per_second(const struct bench_case *c, size_t contender);
double bench_ratio(const struct bench_case *c, size_t contender); /* speed of [0] over it */

#ifdef __cplusplus
}
#endif
#endif
