/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/prom.c - a scan's figures in Prometheus' text format (version 0.0.4), for the node
 * exporter's textfile collector. The file appears whole, as the collector asks for. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "json.h"
#include "output.h"

static void put_head(FILE *out, const char *name, const char *text) {
    fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, text, name);
}

static void put_number(FILE *out, const char *sources, const char *name, const char *text,
                       uint64_t number) {
    put_head(out, name, text);
    fprintf(out, "%s{sources=\"%s\"} %" PRIu64 "\n", name, sources, number);
}

static void put_counts(FILE *out, const char *sources, const char *name, const char *text,
                       const uint64_t counts[6]) {
    put_head(out, name, text);
    for (int i = 0; i < 6; i++) {
        fprintf(out, "%s{sources=\"%s\",status=\"%s\"} %" PRIu64 "\n", name, sources,
                varve_status_name((enum varve_status)i), counts[i]);
    }
}

static void put_figures(FILE *out, const char *sources, const struct varve_scan_summary *summary,
                        int exit_code) {
    put_counts(out, sources, "varve_scan_layers", "Distinct blobs by status.", summary->layers);
    put_counts(out, sources, "varve_scan_images", "Images by status.", summary->images);
    const struct {
        const char *name, *text;
        uint64_t number;
    } numbers[] = {
        {"varve_scan_mismatches", "Layers of which a claim does not hold.", summary->mismatches},
        {"varve_scan_errors", "Sources or parts of them that could not be read.", summary->errors},
        {"varve_scan_cached_layers", "Layers known from an earlier scan.", summary->cached},
        {"varve_scan_gone_blobs", "Blobs that vanished while the scan ran.", summary->gone},
        {"varve_scan_unreferenced_blobs", "Blobs that nothing refers to.", summary->unreferenced},
        {"varve_scan_stored_bytes", "Bytes of all layers as they are stored.",
         summary->bytes_stored},
        {"varve_scan_read_bytes", "Of these, bytes that this scan read.", summary->bytes_read},
        {"varve_scan_decoded_bytes", "Bytes of all layers decompressed.", summary->bytes_decoded},
        {"varve_scan_complete", "1 where nothing was left for want of time.",
         !summary->interrupted && !summary->partial},
        {"varve_scan_exit_code", "The exit code.", (uint64_t)exit_code},
        {"varve_scan_end_timestamp_seconds", "When the scan ended.", (uint64_t)time(NULL)},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        put_number(out, sources, numbers[i].name, numbers[i].text, numbers[i].number);
    }
    put_head(out, "varve_scan_duration_seconds", "How long the scan took.");
    fprintf(out, "varve_scan_duration_seconds{sources=\"%s\"} %.3f\n", sources, summary->seconds);
}

/* As a label's value: quotes, backslashes and line feeds are escaped; it must be UTF-8. */
static void put_label(FILE *out, const char *text) {
    bool valid = utf8_valid(text, strlen(text));
    for (; *text; text++) {
        bool odd = !valid && (*text & 0x80);
        if (*text == '\n') {
            fputs("\\n", out);
        } else if (*text == '"' || *text == '\\') {
            fprintf(out, "\\%c", *text);
        } else {
            fputc(odd ? '?' : *text, out);
        }
    }
}

/* The operands, as a label tells scans apart whose files lie in one folder: figures of the same
 * name and labels would make the collector refuse all. NULL: no memory. malloc'ed. */
static char *sources_label(const struct settings *settings) {
    char *label = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&label, &bytes);
    if (!out) {
        return NULL;
    }
    for (int i = 0; i < settings->operand_count; i++) {
        fputs(i ? " " : "", out);
        put_label(out, settings->operands[i]);
    }
    if (settings->files_from) {
        fputs(settings->operand_count ? " " : "", out);
        put_label(out, settings->files_from);
    }
    if (fclose(out) != 0) {
        free(label);
        return NULL;
    }
    return label;
}

/* All figures. NULL: no memory. malloc'ed. */
static char *write_figures(const struct settings *settings, size_t *bytes,
                           const struct varve_scan_summary *summary, int exit_code) {
    char *text = NULL;
    char *sources = sources_label(settings);
    FILE *out = sources ? open_memstream(&text, bytes) : NULL;
    if (out) {
        put_figures(out, sources, summary, exit_code);
        if (fclose(out) != 0) {
            free(text);
            text = NULL;
        }
    }
    free(sources);
    return text;
}

bool write_prom(const struct settings *settings, const struct varve_scan_summary *summary,
                int exit_code) {
    size_t bytes = 0;
    struct output output;
    char *text = write_figures(settings, &bytes, summary, exit_code);
    bool good = false;
    if (!text) {
        complain("cannot write to %s: out of memory", settings->prom);
    } else if (output_open(&output, settings->prom)) {
        good = output_write(&output, text, bytes);
        if (!good) {
            complain("cannot write to %s: %s", settings->prom, strerror(errno));
            output_drop(&output);
        }
        good = good && output_commit(&output);
    }
    free(text);
    return good;
}
