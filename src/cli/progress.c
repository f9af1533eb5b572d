/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/progress.c - how far a scan is, on stderr. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "json.h"

#define PLAIN_SECONDS 30.0
#define TTY_SECONDS 0.2
#define JSON_SECONDS 1.0

static volatile sig_atomic_t asked;

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

static double interval(void) {
    return shown.mode == PROGRESS_PLAIN  ? PLAIN_SECONDS
           : shown.mode == PROGRESS_JSON ? JSON_SECONDS
                                         : TTY_SECONDS;
}

void progress_ask(void) {
    asked = 1;
}

void progress_begin(enum progress_mode mode) {
    if (mode == PROGRESS_AUTO) {
        mode = isatty(STDERR_FILENO) ? PROGRESS_TTY : PROGRESS_NONE;
    }
    shown.mode = mode;
    shown.began = now();
    shown.due = shown.began + interval();
    shown.on_line = false;
}

static void show_json(const struct varve_progress *progress, double seconds) {
    struct json json = {.out = stderr};
    json_open(&json, NULL, '{');
    json_unsigned(&json, "v", 1);
    json_text(&json, "type", "progress");
    json_unsigned(&json, "bytes_done", progress->bytes_done);
    json_unsigned(&json, "bytes_total", progress->bytes_total);
    json_unsigned(&json, "layers_done", progress->layers_done);
    json_unsigned(&json, "layers_total", progress->layers_total);
    json_real(&json, "seconds", seconds);
    json_close(&json, '}');
    json_line_end(&json);
}

void progress_show(const struct varve_progress *progress) {
    double t = now();
    bool wanted = asked;
    if (!wanted && (shown.mode == PROGRESS_NONE || t < shown.due)) {
        return;
    }
    asked = 0;
    if (!wanted) {
        shown.due = t + interval();
    }
    if (shown.mode == PROGRESS_JSON) {
        show_json(progress, t - shown.began);
        return;
    }
    bool tty = shown.mode == PROGRESS_TTY && !wanted;
    if (wanted) {
        progress_end();
    }
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
    fprintf(stderr, "%s%s%.1f of %s MB, %llu of %llu layers, %.1f MB/s, %s s left%s",
            tty ? "" : log_prefix(LOG_PRIORITY_INFO),
            tty ? "\r" : "varve: ", (double)progress->bytes_done / 1e6, total,
            (unsigned long long)progress->layers_done, (unsigned long long)progress->layers_total,
            rate / 1e6, left, tty ? "\033[K" : "\n");
    shown.on_line = tty;
}

void progress_end(void) {
    if (shown.on_line) {
        fputs("\r\033[K", stderr);
    }
    shown.on_line = false;
}

void list_stations(struct station stations[STATION_COUNT],
                   const struct varve_scan_summary *summary) {
    const struct varve_timings *timings = &summary->timings;
    const struct station listed[STATION_COUNT] = {
        {"read", timings->read},
        {"decode", timings->decode},
        {"lanes", timings->lanes},
        {"normalise", timings->normalise},
        {"hash", summary->hash_seconds},
        {"store", summary->store_seconds},
        {"report", summary->report_seconds},
        {"idle", summary->seconds * summary->threads},
    };
    memcpy(stations, listed, sizeof listed);
    double *idle = &stations[STATION_COUNT - 1].seconds;
    for (size_t i = 0; i + 1 < STATION_COUNT; i++) {
        *idle -= stations[i].seconds;
    }
    *idle = *idle > 0 ? *idle : 0;
}

void print_timings(const struct varve_scan_summary *summary) {
    struct station stations[STATION_COUNT];
    double all = 0;
    list_stations(stations, summary);
    for (size_t i = 0; i < STATION_COUNT; i++) {
        all += stations[i].seconds;
    }
    fprintf(stderr, "CPU seconds by station, of %.3f seconds of %u threads:\n", all,
            summary->threads);
    for (size_t i = 0; i < STATION_COUNT; i++) {
        fprintf(stderr, "  %-10s %8.3f  %5.1f %%\n", stations[i].name, stations[i].seconds,
                all > 0 ? 100 * stations[i].seconds / all : 0);
    }
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
