/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/plot.c - ratio against speed as a picture: one self-contained SVG 1.1 file, legible
 * in light and dark, with the Pareto front drawn: what no other variant beats in both. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../output.h"
#include "bench.h"

#define WIDTH 960.0
#define PANEL_HEIGHT 480.0
#define LEFT 70.0
#define RIGHT 30.0
#define TOP 50.0
#define BOTTOM 60.0
#define MOST_POINTS 128
/* Lines across, one for each ratio written beside. */
#define MOST_LINES 10
/* About what a letter of the labels takes. */
#define LETTER 6.4

struct point {
    const struct bench_task *task;
    double speed, ratio; /* MB/s */
    double x, y;         /* in the picture */
    size_t colour;
    bool front;
};

struct box {
    double x, y, width, height;
};

struct panel {
    struct point points[MOST_POINTS];
    size_t count;
    double low, high;  /* log10 of the speeds shown */
    double base, roof; /* ratios shown */
    double top;        /* where the panel begins */
    struct box taken[2 * MOST_POINTS];
    size_t taken_count;
};

/* Colours that are told apart by most colour-blind people too (Okabe and Ito). */
static const char *const libraries[] = {"igzip", "zlib", "libdeflate", "zstd"};
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7"};
#define LIBRARY_COUNT (sizeof libraries / sizeof *libraries)

static size_t colour_of(const char *variant) {
    for (size_t i = 0; i < LIBRARY_COUNT; i++) {
        if (strncmp(variant, libraries[i], strlen(libraries[i])) == 0) {
            return i;
        }
    }
    return 0;
}

static int by_speed(const void *a, const void *b) {
    double x = ((const struct point *)a)->speed;
    double y = ((const struct point *)b)->speed;
    return (x < y) - (x > y);
}

static void scale(struct panel *panel) {
    panel->low = 9;
    panel->high = 0;
    panel->base = 1e9;
    for (size_t i = 0; i < panel->count; i++) {
        const struct point *point = &panel->points[i];
        panel->low = fmin(panel->low, log10(point->speed));
        panel->high = fmax(panel->high, log10(point->speed));
        panel->base = fmin(panel->base, point->ratio);
        panel->roof = fmax(panel->roof, point->ratio);
    }
    panel->low -= 0.1;
    panel->high += 0.2;
    panel->base = fmax(0, floor(2 * panel->base - 0.5) / 2);
    panel->roof = panel->roof * 1.05;
    for (size_t i = 0; i < panel->count; i++) {
        struct point *point = &panel->points[i];
        double across = (log10(point->speed) - panel->low) / (panel->high - panel->low);
        double up = (point->ratio - panel->base) / (panel->roof - panel->base);
        point->x = LEFT + across * (WIDTH - LEFT - RIGHT);
        point->y = panel->top + PANEL_HEIGHT - BOTTOM - up * (PANEL_HEIGHT - TOP - BOTTOM);
    }
}

static void collect(struct panel *panel, const struct bench *bench, const char *group) {
    for (size_t i = 0; i < bench->task_count && panel->count < MOST_POINTS; i++) {
        const struct bench_task *task = &bench->tasks[i];
        if (strcmp(task->group, group) != 0 || task->fault != BENCH_WELL || !task->rounds ||
            !task->stored) {
            continue;
        }
        panel->points[panel->count++] =
            (struct point){.task = task,
                           .speed = bench_figure_of(task, BENCH_ONE).median * 1e-6,
                           .ratio = (double)task->bytes / (double)task->stored,
                           .colour = colour_of(task->variant)};
    }
    qsort(panel->points, panel->count, sizeof *panel->points, by_speed);
    double best = 0;
    for (size_t i = 0; i < panel->count; i++) {
        panel->points[i].front = panel->points[i].ratio > best;
        best = fmax(best, panel->points[i].ratio);
    }
    scale(panel);
}

static bool has_lanes_apart(const struct point *point) {
    return strcmp(point->task->form, "lanes") == 0;
}

static bool overlaps(const struct panel *panel, const struct box *box) {
    for (size_t i = 0; i < panel->taken_count; i++) {
        const struct box *other = &panel->taken[i];
        if (box->x < other->x + other->width && other->x < box->x + box->width &&
            box->y < other->y + other->height && other->y < box->y + box->height) {
            return true;
        }
    }
    return box->x < LEFT || box->x + box->width > WIDTH;
}

/* Beside its point, where nothing else is; else it is left to the tooltip. */
static void put_label(FILE *out, struct panel *panel, const struct point *point) {
    double width = LETTER * (double)strlen(point->task->variant);
    struct box places[] = {{point->x + 8, point->y - 12, width, 13},
                           {point->x - 8 - width, point->y - 12, width, 13},
                           {point->x + 8, point->y + 2, width, 13},
                           {point->x - 8 - width, point->y + 2, width, 13},
                           {point->x - width / 2, point->y - 22, width, 13},
                           {point->x - width / 2, point->y + 9, width, 13}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!overlaps(panel, &places[i])) {
            panel->taken[panel->taken_count++] = places[i];
            fprintf(out, "<text class=\"label\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", places[i].x,
                    places[i].y + 10, point->task->variant);
            return;
        }
    }
}

static void put_axes(FILE *out, const struct panel *panel, const char *title) {
    static const double steps[] = {1, 2, 5};
    double floor_y = panel->top + PANEL_HEIGHT - BOTTOM;
    fprintf(out, "<text class=\"title\" x=\"%.0f\" y=\"%.0f\">%s</text>\n", LEFT, panel->top + 30,
            title);
    for (int power = -3; power < 6; power++) {
        for (size_t i = 0; i < 3; i++) {
            double speed = steps[i] * pow(10, power);
            double across = (log10(speed) - panel->low) / (panel->high - panel->low);
            double x = LEFT + across * (WIDTH - LEFT - RIGHT);
            if (across >= 0 && across <= 1) {
                fprintf(out,
                        "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>"
                        "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g"
                        "</text>\n",
                        x, panel->top + TOP, floor_y, x, floor_y + 18, speed);
            }
        }
    }
    double step = 0.5; /* then 1, 2, 4, ...: a layer of zeros alone has a ratio of thousands */
    while ((panel->roof - panel->base) / step > MOST_LINES) {
        step *= 2;
    }
    for (int i = 0; panel->base + i * step <= panel->roof; i++) {
        double ratio = panel->base + i * step;
        double up = (ratio - panel->base) / (panel->roof - panel->base);
        double y = floor_y - up * (PANEL_HEIGHT - TOP - BOTTOM);
        fprintf(out,
                "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>"
                "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.1f</text>\n",
                LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, ratio);
    }
    fprintf(out,
            "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">MB/s of decoded bytes, "
            "one core</text>\n<text class=\"tick\" x=\"14\" y=\"%.1f\">ratio</text>\n",
            WIDTH - RIGHT, floor_y + 40, panel->top + TOP - 8);
}

static void put_panel(FILE *out, struct panel *panel, const char *title) {
    put_axes(out, panel, title);
    fputs("<path class=\"front\" d=\"", out);
    char command = 'M';
    for (size_t i = 0; i < panel->count; i++) {
        if (panel->points[i].front) {
            fprintf(out, "%c%.1f %.1f", command, panel->points[i].x, panel->points[i].y);
            command = 'L';
        }
    }
    fputs("\"/>\n", out);
    for (size_t i = 0; i < panel->count; i++) {
        const struct point *point = &panel->points[i];
        bool lanes = has_lanes_apart(point);
        panel->taken[panel->taken_count++] = (struct box){point->x - 5, point->y - 5, 10, 10};
        fprintf(out,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\" stroke=\"%s\" "
                "stroke-width=\"2\"><title>%s, %s: ratio %.3f, %.1f MB/s</title></circle>\n",
                point->x, point->y, lanes ? "none" : colours[point->colour], colours[point->colour],
                point->task->variant, lanes ? "lanes apart" : "whole archives", point->ratio,
                point->speed);
    }
    for (int front = 1; front >= 0; front--) {
        for (size_t i = 0; i < panel->count; i++) {
            if (panel->points[i].front == front && (front || !has_lanes_apart(&panel->points[i]))) {
                put_label(out, panel, &panel->points[i]);
            }
        }
    }
}

static void put_legend(FILE *out, double y) {
    double x = LEFT;
    for (size_t i = 0; i < LIBRARY_COUNT; i++) {
        fprintf(out,
                "<circle cx=\"%.0f\" cy=\"%.0f\" r=\"5\" fill=\"%s\"/>"
                "<text class=\"tick\" x=\"%.0f\" y=\"%.0f\">%s</text>\n",
                x, y, colours[i], x + 10, y + 4, libraries[i]);
        x += 90;
    }
    fprintf(out,
            "<circle class=\"hollow\" cx=\"%.0f\" cy=\"%.0f\" r=\"5\"/><text class=\"tick\" "
            "x=\"%.0f\" y=\"%.0f\">filled: whole archives; hollow: lanes apart, sorted; line: the "
            "Pareto front</text>\n",
            x, y, x + 10, y + 4);
}

static void put_picture(FILE *out, const struct bench *bench, struct panel *panels) {
    double height = 2 * PANEL_HEIGHT + 70;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
            "aria-label=\"Compression ratio against speed\">\n"
            "<style>\n"
            "svg{background:#ffffff;font-family:sans-serif}\n"
            "text{fill:#222222}.title{font-size:16px;font-weight:bold}.tick{font-size:12px}\n"
            ".label{font-size:11px}.grid{stroke:#dddddd;fill:none}\n"
            ".front{stroke:#777777;stroke-dasharray:4 3;fill:none}\n"
            ".hollow{fill:none;stroke:#777777;stroke-width:2}\n"
            "@media (prefers-color-scheme:dark){svg{background:#161616}text{fill:#dddddd}\n"
            ".grid{stroke:#3a3a3a}.front,.hollow{stroke:#aaaaaa}}\n"
            "</style>\n",
            WIDTH, height);
    put_panel(out, &panels[0], "Compressing");
    put_panel(out, &panels[1], "Decompressing");
    put_legend(out, height - 50);
    fprintf(out,
            "<text class=\"tick\" x=\"%.0f\" y=\"%.0f\">varve %s: %zu layers, %.1f MB decoded; ",
            LEFT, height - 20, varve_version(), bench->sample.layer_count,
            (double)bench->sample.forms[BENCH_ARCHIVES].bytes * 1e-6);
    for (const char *p = bench->machine.cpu; *p; p++) {
        fputs(*p == '&' ? "&amp;" : *p == '<' ? "&lt;" : (char[]){*p, 0}, out);
    }
    fputs("</text>\n</svg>\n", out);
}

/* The file is there whole, or as it was. False, after a message. */
static bool write_picture(const struct bench *bench, struct panel *panels, const char *path) {
    struct output output;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out) {
        put_picture(out, bench, panels);
    }
    if (!out || fclose(out) != 0) {
        complain("out of memory");
        free(text);
        return false;
    }
    bool good = output_open(&output, path);
    if (good && !output_write(&output, text, bytes)) {
        complain("cannot write %s: %s", path, strerror(errno));
        output_drop(&output);
        good = false;
    }
    free(text);
    return good && output_commit(&output);
}

bool bench_plot(const struct bench *bench, const char *path) {
    struct panel *panels = calloc(2, sizeof *panels);
    if (!panels) {
        complain("out of memory");
        return false;
    }
    panels[1].top = PANEL_HEIGHT;
    collect(&panels[0], bench, "compress");
    collect(&panels[1], bench, "decompress");
    bool any = panels[0].count > 0 && panels[1].count > 0;
    bool good = any && write_picture(bench, panels, path);
    if (!any) {
        complain("nothing to plot: no compression was measured");
    }
    free(panels);
    return good;
}
