/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/bench.c - the command: sample, tasks, rounds, and what was asked to come of it. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

/* Which groups of tasks --only names. */
static bool wanted(const struct settings *settings, const char *group) {
    return !settings->bench_only || strcmp(settings->bench_only, group) == 0;
}

static bool add_tasks(struct bench *bench) {
    const struct settings *settings = bench->settings;
    return (!wanted(settings, "compression") || bench_add_compression(bench)) &&
           (!wanted(settings, "hash") || bench_add_hashes(bench)) &&
           (!wanted(settings, "nightly") || bench_add_nightly(bench));
}

static void close_bench(struct bench *bench) {
    for (size_t i = 0; i < bench->task_count; i++) {
        struct bench_task *task = &bench->tasks[i];
        if (task->state) {
            task->operations->close(task);
        }
    }
    free(bench->tasks);
    bench_sample_close(&bench->sample);
}

/* What was measured goes to stdout in one form. */
static bool report(const struct bench *bench, FILE *old) {
    const struct settings *settings = bench->settings;
    bool good = true;
    if (settings->json) {
        bench_report_json(bench, stdout);
    } else if (settings->csv) {
        bench_report_csv(bench);
    } else {
        bench_report_text(bench);
        good = !old || bench_compare(bench, old, settings->bench_compare);
    }
    return (!settings->bench_plot || bench_plot(bench, settings->bench_plot)) && good;
}

static int measure_and_report(struct bench *bench, FILE *old) {
    if (!bench_sample_open(&bench->sample, bench->settings)) {
        return EXIT_FATAL;
    }
    int code = EXIT_FATAL;
    if (!add_tasks(bench)) {
        complain("cannot begin: memory is short, or what was said above");
    } else {
        bool right = bench_measure(bench);
        if (!right) {
            complain("some variant failed or gave a wrong answer, and has no figures: do not trust "
                     "this machine, or this build");
        }
        code = report(bench, old) && right ? EXIT_WELL : EXIT_FATAL;
        code = code == EXIT_WELL && bench->stopped ? 130 : code;
    }
    close_bench(bench);
    return code;
}

int run_bench(const struct settings *settings) {
    struct bench bench = {.settings = settings};
    FILE *old = NULL;
    if (settings->json + settings->csv + (settings->bench_compare != NULL) > 1) {
        complain("one of --json, --csv and --compare, please");
        return EXIT_FATAL;
    }
    if (settings->bench_compare) {
        old = bench_compare_open(settings->bench_compare);
        if (!old) {
            return EXIT_FATAL;
        }
    }
    bench_machine_read(&bench.machine);
    int code = measure_and_report(&bench, old);
    if (old) {
        fclose(old);
    }
    return code;
}
