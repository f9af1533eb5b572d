/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/bench.c - the command: sample, tasks, rounds, and what was asked to come of it. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
static bool report(const struct bench *bench, const struct bench_old *old) {
    const struct settings *settings = bench->settings;
    if (settings->json) {
        bench_report_json(bench, stdout);
    } else if (settings->csv) {
        bench_report_csv(bench);
    } else {
        bench_report_text(bench);
        if (old) {
            bench_compare(bench, old);
        }
    }
    if (settings->bench_plot && bench->stopped) {
        complain("interrupted: %s is left as it was", settings->bench_plot);
        return true;
    }
    return !settings->bench_plot || bench_plot(bench, settings->bench_plot);
}

static void complain_of_faults(const struct bench *bench) {
    bool wrong = false;
    for (size_t i = 0; i < bench->task_count; i++) {
        wrong |= bench->tasks[i].fault == BENCH_WRONG;
    }
    if (wrong) {
        complain("some variant gave a wrong answer, and has no figures: do not trust this machine, "
                 "or this build");
    } else {
        complain("some variant failed, and has no figures: memory is short (a smaller --sample "
                 "takes less), or its library failed");
    }
}

static int measure_and_report(struct bench *bench, const struct bench_old *old) {
    if (!bench_sample_open(&bench->sample, bench->settings)) {
        return EXIT_FATAL;
    }
    int code = EXIT_FATAL;
    if (!add_tasks(bench)) {
        complain("cannot begin: memory is short, or what was said above");
    } else {
        bool right = bench_measure(bench);
        if (!right) {
            complain_of_faults(bench);
        }
        code = report(bench, old) && right ? EXIT_WELL : EXIT_FATAL;
        code = code == EXIT_WELL && bench->stopped ? 128 + bench->stopped : code;
    }
    close_bench(bench);
    return code;
}

/* Whether a picture can be written when the time has come: it is opened, and
 * left as it was. False, after a message. */
static bool can_plot(const struct settings *settings) {
    const char *path = settings->bench_plot;
    if (!path) {
        return true;
    }
    if (!wanted(settings, "compression")) {
        complain("--plot draws compression, which --only=%s leaves out", settings->bench_only);
        return false;
    }
    bool created = access(path, F_OK) != 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (fd < 0) {
        complain("cannot write %s: %s", path, strerror(errno));
        return false;
    }
    close(fd);
    if (created) {
        unlink(path);
    }
    return true;
}

int run_bench(const struct settings *settings) {
    struct bench bench = {.settings = settings};
    struct bench_old *old = NULL;
    if (settings->json + settings->csv + (settings->bench_compare != NULL) > 1) {
        complain("one of --json, --csv and --compare, please");
        return EXIT_FATAL;
    }
    if (!can_plot(settings)) {
        return EXIT_FATAL;
    }
    if (settings->bench_compare) {
        old = bench_old_open(settings->bench_compare);
        if (!old) {
            return EXIT_FATAL;
        }
    }
    bench_machine_read(&bench.machine);
    int code = measure_and_report(&bench, old);
    bench_old_close(old);
    return code;
}
