/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/prom.c - a scan's figures in Prometheus' text format (version 0.0.4), for the node
 * exporter's textfile collector. The file is written beside its place and renamed, as the collector
 * asks for. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static void put_head(FILE *out, const char *name, const char *text) {
    fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, text, name);
}

static void put_number(FILE *out, const char *name, const char *text, uint64_t number) {
    put_head(out, name, text);
    fprintf(out, "%s %" PRIu64 "\n", name, number);
}

static void put_counts(FILE *out, const char *name, const char *text, const uint64_t counts[6]) {
    put_head(out, name, text);
    for (int i = 0; i < 6; i++) {
        fprintf(out, "%s{status=\"%s\"} %" PRIu64 "\n", name,
                varve_status_name((enum varve_status)i), counts[i]);
    }
}

static void put_figures(FILE *out, const struct varve_scan_summary *summary, int exit_code) {
    put_counts(out, "varve_scan_layers", "Distinct blobs by status.", summary->layers);
    put_counts(out, "varve_scan_images", "Images by status.", summary->images);
    put_number(out, "varve_scan_mismatches", "Layers of which a claim does not hold.",
               summary->mismatches);
    put_number(out, "varve_scan_errors", "Sources or parts of them that could not be read.",
               summary->errors);
    put_number(out, "varve_scan_cached_layers", "Layers known from an earlier scan.",
               summary->cached);
    put_number(out, "varve_scan_gone_blobs", "Blobs that vanished while the scan ran.",
               summary->gone);
    put_number(out, "varve_scan_unreferenced_blobs", "Blobs that nothing refers to.",
               summary->unreferenced);
    put_number(out, "varve_scan_stored_bytes", "Bytes of all layers as they are stored.",
               summary->bytes_stored);
    put_number(out, "varve_scan_read_bytes", "Of these, bytes that this scan read.",
               summary->bytes_read);
    put_number(out, "varve_scan_decoded_bytes", "Bytes of all layers decompressed.",
               summary->bytes_decoded);
    put_head(out, "varve_scan_duration_seconds", "How long the scan took.");
    fprintf(out, "varve_scan_duration_seconds %.3f\n", summary->seconds);
    put_number(out, "varve_scan_complete", "1 where nothing was left for want of time.",
               !summary->interrupted && !summary->partial);
    put_number(out, "varve_scan_exit_code", "The exit code.", (uint64_t)exit_code);
    put_number(out, "varve_scan_end_timestamp_seconds", "When the scan ended.",
               (uint64_t)time(NULL));
}

bool write_prom(const char *path, const struct varve_scan_summary *summary, int exit_code) {
    char *beside = NULL;
    bool good = asprintf(&beside, "%s.%ld.tmp", path, (long)getpid()) >= 0;
    FILE *out = good ? fopen(beside, "wxe") : NULL;
    if (out) {
        put_figures(out, summary, exit_code);
        good = fflush(out) == 0 && !ferror(out) && fsync(fileno(out)) == 0;
        good = fclose(out) == 0 && good;
        good = good && rename(beside, path) == 0;
    } else {
        good = false;
    }
    if (!good) {
        complain("cannot write to %s: %s", path, strerror(errno));
    }
    if (!good && out) {
        unlink(beside);
    }
    free(beside);
    return good;
}
