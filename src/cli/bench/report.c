/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/report.c - the table for people, NDJSON, and CSV with every sample. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../json.h"
#include "bench.h"

/* Beyond these the machine was not quiet, and the table says so. */
#define CLOCK_WARNING 0.05
#define STOLEN_WARNING 0.01
/* A system at rest, and its clock ticks counted whole, come to a few hundredths of a processor. */
#define OTHERS_WARNING 0.1

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t count, double quantile) {
    if (count == 0) {
        return 0;
    }
    qsort(values, count, sizeof *values, compare_doubles);
    double place = quantile * (double)(count - 1);
    size_t below = (size_t)place;
    size_t above = below + 1 < count ? below + 1 : below;
    return values[below] + (place - (double)below) * (values[above] - values[below]);
}

struct bench_figure bench_figure_of(const struct bench_task *task, int width) {
    double rates[BENCH_MOST_ROUNDS];
    for (size_t i = 0; i < task->rounds; i++) {
        rates[i] = (double)task->bytes / task->seconds[width][i];
    }
    return (struct bench_figure){bench_quantile(rates, task->rounds, 0.5),
                                 bench_quantile(rates, task->rounds, 0.25),
                                 bench_quantile(rates, task->rounds, 0.75)};
}

static double ratio_of(const struct bench_task *task) {
    return task->stored ? (double)task->bytes / (double)task->stored : 0;
}

/* Half the distance of the quartiles, in parts of a hundred of the median. */
static double spread_of(struct bench_figure figure) {
    return figure.median > 0 ? 50 * (figure.high - figure.low) / figure.median : 0;
}

/* ---- For people ---- */

static void print_head(const struct bench *bench, const struct bench_task *task) {
    static const struct {
        const char *group, *text;
    } texts[] = {{"compress", "Compressing"},
                 {"decompress", "Decompressing"},
                 {"hash", "Digesting"},
                 {"nightly", "A night's scan of the whole ladder"}};
    static const struct {
        const char *form, *text;
    } forms[] = {{"archives", "whole archives"},
                 {"lanes", "lanes apart: headers together, file data together, sorted by type"},
                 {"files", "files, each by itself"},
                 {"scan", "if layers were stored so"}};
    const char *group = task->group;
    const char *form = task->form;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        group = strcmp(task->group, texts[i].group) == 0 ? texts[i].text : group;
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        form = strcmp(task->form, forms[i].form) == 0 ? forms[i].text : form;
    }
    printf("\n%s, %s\n%-34s %7s %17s", group, form, "", "ratio", "MB/s, one core");
    if (bench->sample.threads > 1) {
        printf(" %14s%u", "MB/s, threads: ", bench->sample.threads);
    }
    puts(strcmp(task->group, "nightly") == 0 ? "   whole source: GB stored, CPU s" : "");
}

static void print_rate(struct bench_figure figure) {
    printf(" %9.1f ±%4.1f%%", figure.median * 1e-6, spread_of(figure));
}

/* The sample's figures on the scale of all layers of the sources, by stored bytes. */
static void print_source(const struct bench *bench, const struct bench_task *task) {
    const struct bench_sample *sample = &bench->sample;
    double scale = (double)sample->source_blob_bytes / (double)sample->forms[BENCH_BLOBS].bytes;
    double seconds = (double)task->bytes / bench_figure_of(task, BENCH_ONE).median;
    printf("   %24.3f %7.2f", (double)task->stored * scale * 1e-9, seconds * scale);
}

static void print_task(const struct bench *bench, const struct bench_task *task) {
    printf("%-34s ", task->variant);
    if (task->stored) {
        printf("%7.3f", ratio_of(task));
    } else {
        printf("%7s", "");
    }
    if (task->fault != BENCH_WELL || !task->rounds) {
        static const char *const texts[] = {"not measured", "FAILED", "WRONG ANSWER"};
        printf("  %s\n", texts[task->fault]);
        return;
    }
    print_rate(bench_figure_of(task, BENCH_ONE));
    if (bench->sample.threads > 1) {
        print_rate(bench_figure_of(task, BENCH_ALL));
    }
    if (strcmp(task->group, "nightly") == 0) {
        print_source(bench, task);
    }
    if (task->evidence && *task->evidence) {
        printf("   %s", task->evidence);
    }
    putchar('\n');
}

static void print_machine(const struct bench *bench) {
    const struct bench_sample *sample = &bench->sample;
    printf("%s, %u threads, %s\n", bench->machine.cpu, sample->threads, bench->machine.kernel);
    printf("varve %s, CPU tier %s", varve_version(), varve_tier_name(varve_tier_best()));
    for (size_t i = 0; i < varve_library_count(); i++) {
        struct varve_library library = varve_library_at(i);
        printf(", %s %s", library.name, library.version ? library.version : "unknown");
    }
    for (size_t i = 0; i < bench->version_count; i++) {
        printf(", %s %s", bench->versions[i].library, bench->versions[i].version);
    }
    printf("\nsample: %zu of %" PRIu64 " layers, %.1f MB stored, %.1f MB decoded, %zu files; seed "
           "%" PRIu64 "\n",
           sample->layer_count, sample->source_layers,
           (double)sample->forms[BENCH_BLOBS].bytes * 1e-6,
           (double)sample->forms[BENCH_ARCHIVES].bytes * 1e-6, sample->forms[BENCH_FILES].count,
           bench->settings->bench_seed);
    if (sample->too_large || sample->unusable) {
        printf("passed over: %" PRIu64 " layers larger than what was left of the sample, %" PRIu64
               " damaged or no tar\n",
               sample->too_large, sample->unusable);
    }
}

void bench_report_text(const struct bench *bench) {
    const struct bench_task *last = NULL;
    print_machine(bench);
    for (size_t pass = 0; pass < bench->task_count; pass++) {
        const struct bench_task *head = &bench->tasks[pass];
        bool seen = false;
        for (size_t i = 0; i < pass; i++) {
            seen |= strcmp(bench->tasks[i].group, head->group) == 0 &&
                    strcmp(bench->tasks[i].form, head->form) == 0;
        }
        for (size_t i = pass; !seen && i < bench->task_count; i++) {
            const struct bench_task *task = &bench->tasks[i];
            if (strcmp(task->group, head->group) == 0 && strcmp(task->form, head->form) == 0) {
                if (last != head) {
                    print_head(bench, head);
                    last = head;
                }
                print_task(bench, task);
            }
        }
    }
    putchar('\n');
    for (size_t i = 0; i < bench->absent_count; i++) {
        printf("absent: %s (%s)\n", bench->absent[i].library, bench->absent[i].reason);
    }
    puts("Rates are medians, with half the distance of the quartiles; every result was verified.");
    if (bench->clock_spread > CLOCK_WARNING) {
        printf("warning: the clock was not steady: equal loops took up to %.0f%% longer\n",
               100 * bench->clock_spread);
    }
    if (bench->stolen > STOLEN_WARNING) {
        printf("warning: %.1f%% of the CPU time was given to other guests of this host\n",
               100 * bench->stolen);
    }
    if (bench->other_cpus > OTHERS_WARNING) {
        printf("warning: other programs kept %.1f processors busy meanwhile\n", bench->other_cpus);
    }
    if (bench->stopped) {
        puts("warning: interrupted; what was measured by then stands above");
    }
}

/* ---- For programs ---- */

static void json_machine(struct json *json, const struct bench *bench) {
    const struct bench_sample *sample = &bench->sample;
    json_open(json, NULL, '{');
    json_unsigned(json, "v", 1);
    json_text(json, "type", "bench");
    json_open(json, "sources", '[');
    for (int i = 0; i < bench->settings->operand_count; i++) {
        json_text(json, NULL, bench->settings->operands[i]);
    }
    json_close(json, ']');
    json_text(json, "cpu", bench->machine.cpu);
    json_text(json, "kernel", bench->machine.kernel);
    json_unsigned(json, "threads", sample->threads);
    json_open(json, "versions", '{');
    json_text(json, "varve", varve_version());
    for (size_t i = 0; i < varve_library_count(); i++) {
        struct varve_library library = varve_library_at(i);
        if (library.version) {
            json_text(json, library.name, library.version);
        }
    }
    for (size_t i = 0; i < bench->version_count; i++) {
        json_text(json, bench->versions[i].library, bench->versions[i].version);
    }
    json_text(json, "cpu_tier", varve_tier_name(varve_tier_best()));
    json_close(json, '}');
    json_open(json, "sample", '{');
    json_unsigned(json, "seed", bench->settings->bench_seed);
    json_unsigned(json, "layers", sample->layer_count);
    json_unsigned(json, "source_layers", sample->source_layers);
    json_unsigned(json, "too_large", sample->too_large);
    json_unsigned(json, "unusable", sample->unusable);
    json_unsigned(json, "files", sample->forms[BENCH_FILES].count);
    json_unsigned(json, "bytes_stored", sample->forms[BENCH_BLOBS].bytes);
    json_unsigned(json, "bytes_decoded", sample->forms[BENCH_ARCHIVES].bytes);
    json_unsigned(json, "source_bytes_stored", sample->source_blob_bytes);
    json_close(json, '}');
    json_close(json, '}');
    json_line_end(json);
}

/* Nanoseconds, as integers: exact, and short. */
static void json_samples(struct json *json, const char *key, const double *seconds, size_t count) {
    json_open(json, key, '[');
    for (size_t i = 0; i < count; i++) {
        json_unsigned(json, NULL, (uint64_t)(seconds[i] * 1e9 + 0.5));
    }
    json_close(json, ']');
}

static void json_task(struct json *json, const struct bench *bench, const struct bench_task *task) {
    static const char *const keys[BENCH_WIDTHS] = {"one", "all"};
    json_open(json, NULL, '{');
    json_unsigned(json, "v", 1);
    json_text(json, "type", "result");
    json_text(json, "group", task->group);
    json_text(json, "variant", task->variant);
    json_text(json, "form", task->form);
    json_bool(json, "verified", task->fault == BENCH_WELL && task->rounds > 0);
    json_unsigned(json, "bytes", task->bytes);
    if (task->stored) {
        json_unsigned(json, "bytes_compressed", task->stored);
        json_real(json, "ratio", ratio_of(task));
    }
    for (int width = 0; width < BENCH_WIDTHS && task->fault == BENCH_WELL && task->rounds;
         width++) {
        struct bench_figure figure = bench_figure_of(task, width);
        json_open(json, keys[width], '{');
        json_unsigned(json, "threads", width == BENCH_ONE ? 1 : bench->sample.threads);
        json_text(json, "clock", width == BENCH_ONE ? "cpu" : "wall");
        json_unsigned(json, "bytes_per_second", (uint64_t)figure.median);
        json_unsigned(json, "low_quartile", (uint64_t)figure.low);
        json_unsigned(json, "high_quartile", (uint64_t)figure.high);
        json_samples(json, "samples_ns", task->seconds[width], task->rounds);
        json_close(json, '}');
    }
    if (task->evidence && *task->evidence) {
        json_text(json, "kernels", task->evidence);
    }
    json_close(json, '}');
    json_line_end(json);
}

void bench_report_json(const struct bench *bench, FILE *out) {
    struct json json = {.out = out};
    json_machine(&json, bench);
    for (size_t i = 0; i < bench->task_count; i++) {
        json_task(&json, bench, &bench->tasks[i]);
    }
    for (size_t i = 0; i < bench->absent_count; i++) {
        json_open(&json, NULL, '{');
        json_unsigned(&json, "v", 1);
        json_text(&json, "type", "absent");
        json_text(&json, "variant", bench->absent[i].library);
        json_text(&json, "reason", bench->absent[i].reason);
        json_close(&json, '}');
        json_line_end(&json);
    }
    json_open(&json, NULL, '{');
    json_unsigned(&json, "v", 1);
    json_text(&json, "type", "summary");
    json_real(&json, "clock_spread", bench->clock_spread);
    json_real(&json, "stolen", bench->stolen);
    json_real(&json, "other_cpus", bench->other_cpus);
    json_bool(&json, "interrupted", bench->stopped != 0);
    json_close(&json, '}');
    json_line_end(&json);
}

/* A field of CSV (RFC 4180) and the comma behind it. */
static void csv_text(const char *text) {
    if (!strpbrk(text, ",\"")) {
        printf("%s,", text);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        printf(*text == '"' ? "\"\"" : "%c", *text);
    }
    fputs("\",", stdout);
}

/* A line that is no sample: nothing stands from `threads` on. */
static void csv_note(const char *group, const char *variant, const char *form) {
    csv_text(group);
    csv_text(variant);
    csv_text(form);
    puts(",,,,,");
}

static void csv_note_real(const char *variant, double value) {
    char text[32];
    snprintf(text, sizeof text, "%.3f", value);
    csv_note("run", variant, text);
}

/* What a table says around its figures. */
static void csv_notes(const struct bench *bench) {
    csv_note("run", "cpu", bench->machine.cpu);
    csv_note("run", "cpu_tier", varve_tier_name(varve_tier_best()));
    csv_note("run", "kernel", bench->machine.kernel);
    csv_note("run", "varve", varve_version());
    for (size_t i = 0; i < varve_library_count(); i++) {
        struct varve_library library = varve_library_at(i);
        csv_note("run", library.name, library.version ? library.version : "");
    }
    for (size_t i = 0; i < bench->version_count; i++) {
        csv_note("run", bench->versions[i].library, bench->versions[i].version);
    }
    csv_note_real("clock_spread", bench->clock_spread);
    csv_note_real("stolen", bench->stolen);
    csv_note_real("other_cpus", bench->other_cpus);
    for (size_t i = 0; i < bench->absent_count; i++) {
        csv_note("absent", bench->absent[i].library, bench->absent[i].reason);
    }
}

void bench_report_csv(const struct bench *bench) {
    puts("group,variant,form,threads,clock,round,bytes,bytes_compressed,seconds");
    csv_notes(bench);
    for (size_t i = 0; i < bench->task_count; i++) {
        const struct bench_task *task = &bench->tasks[i];
        if (task->fault != BENCH_WELL) {
            csv_note(task->group, task->variant, task->form);
            continue;
        }
        for (int width = 0; width < BENCH_WIDTHS; width++) {
            for (size_t round = 0; round < task->rounds; round++) {
                csv_text(task->group);
                csv_text(task->variant);
                csv_text(task->form);
                printf("%u,%s,%zu,%" PRIu64 ",%" PRIu64 ",%.9f\n",
                       width == BENCH_ONE ? 1 : bench->sample.threads,
                       width == BENCH_ONE ? "cpu" : "wall", round, task->bytes, task->stored,
                       task->seconds[width][round]);
            }
        }
    }
}
