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
    /* How much there will be on standard input, nobody knows. */
    char total[32] = "?";
    char left[32] = "?";
    bool known = progress->bytes_total > 0 && progress->bytes_total >= progress->bytes_done;
    if (known) {
        snprintf(total, sizeof total, "%.1f", (double)progress->bytes_total / 1e6);
    }
    if (known && rate > 0) {
        snprintf(left, sizeof left, "%.0f",
                 (double)(progress->bytes_total - progress->bytes_done) / rate);
    }
    shown.due = t + (tty ? TTY_SECONDS : PLAIN_SECONDS);
    fprintf(stderr, "%s%.1f of %s MB, %llu of %llu layers, %.1f MB/s, %s s left%s",
            tty ? "\r" : "varve: ", (double)progress->bytes_done / 1e6, total,
            (unsigned long long)progress->layers_done, (unsigned long long)progress->layers_total,
            rate / 1e6, left, tty ? "\033[K" : "\n");
    shown.on_line = tty;
}

void progress_end(void) {
    if (shown.on_line) {
        fputs("\r\033[K", stderr);
    }
}

void print_timings(const struct varve_scan_summary *summary) {
    const struct {
        const char *station;
        double seconds;
    } stations[] = {
        {"read", summary->timings.read},     {"decode", summary->timings.decode},
        {"lanes", summary->timings.lanes},   {"hash", summary->hash_seconds},
        {"report", summary->report_seconds},
    };
    double busy = 0;
    for (size_t i = 0; i < sizeof stations / sizeof stations[0]; i++) {
        busy += stations[i].seconds;
    }
    fprintf(stderr, "CPU seconds by station, all threads:\n");
    for (size_t i = 0; i < sizeof stations / sizeof stations[0]; i++) {
        fprintf(stderr, "  %-8s %8.3f  %5.1f %%\n", stations[i].station, stations[i].seconds,
                busy > 0 ? 100 * stations[i].seconds / busy : 0);
    }
    double all = summary->seconds * summary->threads;
    fprintf(stderr, "  %-8s %8.3f  of %.3f thread seconds\n", "idle", all > busy ? all - busy : 0,
            all);
    fprintf(stderr, "SHA-256 blocks by kernel, and how full their lanes were:\n");
    for (size_t i = 0; i < summary->hash_row_count; i++) {
        const struct varve_sha256_use *use = &summary->hash_rows[i];
        double slots = (double)(use->blocks + use->empty_lane_blocks);
        if (use->blocks) {
            fprintf(stderr, "  %-14s %12llu  %5.1f %%\n", use->name,
                    (unsigned long long)use->blocks, 100 * (double)use->blocks / slots);
        }
    }
}
