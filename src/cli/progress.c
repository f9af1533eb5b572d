/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/progress.c - how far a scan is, on stderr. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define PLAIN_SECONDS 30.0
#define TTY_SECONDS 0.2

static struct {
    enum progress_mode mode;
    double began, due;
    bool on_line;
} shown;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_begin(enum progress_mode mode) {
    if (mode == PROGRESS_AUTO) {
        mode = isatty(STDERR_FILENO) ? PROGRESS_TTY : PROGRESS_NONE;
    }
    shown.mode = mode;
    shown.began = now();
    shown.due = shown.began + (mode == PROGRESS_PLAIN ? PLAIN_SECONDS : TTY_SECONDS);
    shown.on_line = false;
}

void progress_show(const struct varve_progress *progress) {
    double t = now();
    if (shown.mode == PROGRESS_NONE || t < shown.due) {
        return;
    }
    bool tty = shown.mode == PROGRESS_TTY;
    double rate = (double)progress->bytes_done / (t - shown.began);
    double left = rate > 0 && progress->bytes_total > progress->bytes_done
                      ? (double)(progress->bytes_total - progress->bytes_done) / rate
                      : 0;
    shown.due = t + (tty ? TTY_SECONDS : PLAIN_SECONDS);
    fprintf(stderr, "%s%.1f of %.1f MB, %llu of %llu layers, %.1f MB/s, %.0f s left%s",
            tty ? "\r" : "varve: ", (double)progress->bytes_done / 1e6,
            (double)progress->bytes_total / 1e6, (unsigned long long)progress->layers_done,
            (unsigned long long)progress->layers_total, rate / 1e6, left, tty ? "\033[K" : "\n");
    shown.on_line = tty;
}

void progress_end(void) {
    if (shown.on_line) {
        fputs("\r\033[K", stderr);
    }
}
