/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/report_text.c - the report for people: failures first, then a short summary.
 *
 * Layers that fail are kept until all images are known, so that each can name the images it is in.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "safe.h"
#include "varve/findings.h"

/* References shown of a failed layer; the rest is counted. */
#define SHOWN_REFERENCES 8

/* An image as people know it: its tag, or else its manifest's digest, and the platform (may be
 * NULL); the catalog's. */
struct reference {
    const char *name, *platform;
};

/* What is told of a layer in the end: some 350 bytes. */
struct failure {
    const char *name, *source; /* the catalog's */
    size_t blob;
    enum varve_status status;
    struct varve_fault fault;
    bool complete, bad_name, has_diffid;
    uint64_t bytes_stored;
    uint8_t blob_digest[VARVE_SHA256_BYTES], diffid[VARVE_SHA256_BYTES];
    struct reference references[SHOWN_REFERENCES];
    size_t reference_count;
};

struct text_state {
    struct failure *failures;
    size_t failure_count, failure_room;
    uint32_t *failure_of; /* by blob: number + 1, 0 = none */
    bool out_of_memory;
};

static void put_fault(const struct varve_fault *fault) {
    printf("%s: %s", fault->code, fault->message);
    if (fault->os_errno) {
        printf(" (%s)", strerror(fault->os_errno));
    }
    if (fault->offset_stored != VARVE_NO_OFFSET) {
        printf(", at stored byte %" PRIu64, fault->offset_stored);
    }
    if (fault->offset_decoded != VARVE_NO_OFFSET) {
        printf(", at decoded byte %" PRIu64, fault->offset_decoded);
    }
    putchar('\n');
}

static void put_rungs(const struct varve_layer *layer) {
    char text[VARVE_RUNG_TEXT_BYTES];
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        if (layer->rungs.present & 1u << i) {
            varve_rung_text(text, (enum varve_rung)i, layer->rungs.digest[i]);
            printf("  %-9s %s\n", varve_rung_name((enum varve_rung)i), text);
        }
    }
}

static void put_findings(const struct varve_findings *findings) {
    for (size_t i = 0; i < varve_findings_count(findings); i++) {
        struct varve_finding finding = varve_findings_at(findings, i);
        printf("  finding   %s x%" PRIu64, finding.info->code, finding.count);
        if (finding.offset != VARVE_NO_OFFSET) {
            printf(" at %s byte %" PRIu64, finding.info->stored ? "stored" : "decoded",
                   finding.offset);
        }
        if (finding.entry) {
            fputs(" (", stdout);
            put_safe(finding.entry, finding.entry_bytes);
            putchar(')');
        }
        putchar('\n');
    }
}

static void put_entry(void *cookie, const struct varve_ladder_entry *entry) {
    (void)cookie;
    printf("  %c %04o %" PRId64 ":%" PRId64 " %12" PRIu64 " ",
           entry->typeflag >= 0x20 && entry->typeflag < 0x7f ? entry->typeflag : '?',
           (unsigned)entry->mode, entry->uid, entry->gid, entry->size);
    for (size_t i = 0; i < VARVE_SHA256_BYTES; i++) {
        if (entry->has_sha256) {
            printf("%02x", entry->sha256[i]);
        } else {
            fputs("--", stdout);
        }
    }
    putchar(' ');
    put_safe(entry->path.bytes, entry->path.count);
    if (entry->link.count) {
        fputs(" -> ", stdout);
        put_safe(entry->link.bytes, entry->link.count);
    }
    putchar('\n');
}

static void show_layer(const struct reporter *reporter, const struct varve_layer *layer,
                       size_t blob, const struct varve_job *job) {
    put_safe_text(layer->name);
    printf(": %s", varve_status_name(layer->status));
    if (layer->has_format) {
        printf(", %s", varve_format_name(layer->format));
    }
    if (layer->complete) {
        printf(", %" PRIu64 " bytes", layer->bytes_stored);
    }
    if (layer->decoded && layer->compression != VARVE_COMPRESSION_NONE) {
        printf(", %" PRIu64 " decoded", layer->bytes_decoded);
    }
    if (layer->has_entries) {
        printf(", %" PRIu64 " entries", layer->entry_count);
    }
    putchar('\n');
    if (layer->status != VARVE_OK) {
        fputs("  ", stdout);
        put_fault(&layer->fault);
    }
    put_rungs(layer);
    put_findings(layer->findings);
    if (layer->toc) {
        printf("  with the table of contents of %s\n", layer->toc);
    }
    if (layer->writer) {
        printf("  written by %s\n", layer->writer);
    }
    if (layer->encoder) {
        const char *evidence = layer->encoder_evidence;
        printf("  compressed by %s%s%s%s\n", layer->encoder, evidence[0] ? " (" : "", evidence,
               evidence[0] ? ")" : "");
    }
    if (job) {
        report_entries(reporter, layer, blob, job, put_entry, NULL);
    }
}

bool has_failed(const struct varve_layer *layer) {
    return layer->status != VARVE_OK || layer->checks.name == VARVE_CHECK_MISMATCH ||
           layer->checks.size == VARVE_CHECK_MISMATCH ||
           layer->checks.diffid == VARVE_CHECK_MISMATCH;
}

static struct failure failure_of(const struct varve_layer *layer,
                                 const struct varve_catalog *catalog, size_t blob) {
    struct varve_blob named = varve_catalog_blob(catalog, blob);
    struct failure failure = {
        .name = named.name,
        .source = named.source,
        .blob = blob,
        .status = layer->status,
        .fault = layer->fault,
        .complete = layer->complete,
        .bad_name = layer->checks.name == VARVE_CHECK_MISMATCH,
        .has_diffid = layer->rungs.present & 1u << VARVE_RUNG_DIFFID,
        .bytes_stored = layer->bytes_stored,
    };
    memcpy(failure.blob_digest, layer->rungs.digest[VARVE_RUNG_BLOB], VARVE_SHA256_BYTES);
    memcpy(failure.diffid, layer->rungs.digest[VARVE_RUNG_DIFFID], VARVE_SHA256_BYTES);
    return failure;
}

static void on_layer(void *cookie, const struct varve_layer *layer, size_t blob,
                     const struct varve_job *job) {
    const struct reporter *reporter = cookie;
    struct text_state *state = reporter->state;
    if (reporter->digest || job) {
        show_layer(reporter, layer, blob, job);
    }
    if (reporter->store_check && !has_failed(layer)) {
        printf("%-11s layer ", varve_status_name(layer->status));
        put_safe_text(layer->name);
        printf(", %" PRIu64 " bytes\n", layer->bytes_stored);
    }
    if (reporter->digest || !has_failed(layer)) {
        return;
    }
    if (state->failure_count == state->failure_room) {
        size_t room = state->failure_room ? 2 * state->failure_room : 16;
        struct failure *failures = realloc(state->failures, room * sizeof *failures);
        if (!failures) {
            state->out_of_memory = true;
            return;
        }
        state->failures = failures;
        state->failure_room = room;
    }
    state->failures[state->failure_count++] = failure_of(layer, reporter->catalog, blob);
    state->failure_of[blob] = (uint32_t)state->failure_count;
}

static struct reference reference_of(const struct varve_image *image) {
    return (struct reference){image->ref ? image->ref : image->digest, image->platform};
}

/* "app:1.0 (linux/amd64)" */
static void put_reference(const struct reference *reference) {
    put_safe_text(reference->name);
    if (reference->platform) {
        fputs(" (", stdout);
        put_safe_text(reference->platform);
        putchar(')');
    }
}

static void on_image(void *cookie, const struct varve_image *image, enum varve_status status,
                     const struct varve_image_layer *layers) {
    const struct reporter *reporter = cookie;
    struct text_state *state = reporter->state;
    (void)status;
    for (size_t i = 0; i < image->layer_count; i++) {
        size_t blob = varve_catalog_claim(reporter->catalog, layers[i].claim).blob;
        uint32_t number = state->failure_of[blob];
        if (!number) {
            continue;
        }
        struct failure *failure = &state->failures[number - 1];
        if (failure->reference_count < SHOWN_REFERENCES) {
            failure->references[failure->reference_count] = reference_of(image);
        }
        failure->reference_count++;
    }
    if (image->fault.code) {
        struct reference reference = reference_of(image);
        printf("%-11s image ", varve_status_name(image->fault.status));
        put_safe_text(image->source);
        putchar(' ');
        put_reference(&reference);
        fputs("\n            ", stdout);
        put_fault(&image->fault);
        printf("            in document %s\n", image->fault_digest);
    }
}

const struct varve_report text_report = {.layer = on_layer, .image = on_image};

bool text_begin(struct reporter *reporter) {
    struct text_state *state = calloc(1, sizeof *state);
    size_t blobs = varve_catalog_blob_count(reporter->catalog);
    if (state) {
        state->failure_of = calloc(blobs + 1, sizeof *state->failure_of);
    }
    if (!state || !state->failure_of) {
        free(state);
        return false;
    }
    reporter->state = state;
    for (size_t i = 0; i < varve_catalog_error_count(reporter->catalog); i++) {
        struct varve_catalog_error error = varve_catalog_error(reporter->catalog, i);
        bool note = error.fault.status == VARVE_OK;
        printf("%-11s ", note ? "note" : varve_status_name(error.fault.status));
        put_safe_text(error.name);
        if (error.count > 1) {
            printf(" and %" PRIu64 " more like it", error.count - 1);
        }
        fputs("\n            ", stdout);
        put_fault(&error.fault);
    }
    return true;
}

/* What was claimed against what was found. */
static void put_contradictions(const struct varve_catalog *catalog, const struct failure *failure) {
    char text[VARVE_RUNG_TEXT_BYTES];
    if (failure->bad_name) {
        varve_rung_text(text, VARVE_RUNG_BLOB, failure->blob_digest);
        printf("            its bytes digest to %s\n", text);
    }
    size_t claim = varve_catalog_first_claim(catalog, failure->blob);
    for (; claim != SIZE_MAX; claim = varve_catalog_next_claim(catalog, claim)) {
        struct varve_claim claimed = varve_catalog_claim(catalog, claim);
        if (failure->complete && claimed.size != VARVE_NO_SIZE &&
            claimed.size != failure->bytes_stored) {
            printf("            claimed size %" PRIu64 ", found %" PRIu64 "\n", claimed.size,
                   failure->bytes_stored);
        }
        if (claimed.has_diffid && failure->has_diffid &&
            memcmp(claimed.diffid, failure->diffid, VARVE_SHA256_BYTES) != 0) {
            varve_rung_text(text, VARVE_RUNG_DIFFID, claimed.diffid);
            printf("            claimed diffid %s\n", text);
            varve_rung_text(text, VARVE_RUNG_DIFFID, failure->diffid);
            printf("            found diffid   %s\n", text);
        }
    }
}

/* Which of its files are at fault. */
static void put_files(const struct varve_catalog *catalog, size_t blob) {
    struct varve_join_result result;
    enum varve_status status = varve_catalog_check_files(catalog, &result, blob);
    if (result.entry) {
        fputs("            file ", stdout);
        put_safe_text(result.entry);
        printf(": %s: %s\n", result.fault.code, result.fault.message);
        if (result.bad_count > 1) {
            printf("            and %" PRIu64 " more files\n", result.bad_count - 1);
        }
        if (!result.complete) {
            puts("            behind it not all files could be looked at");
        }
    } else if (status == VARVE_OK) {
        puts("            all files are as the store says: its own record of the archive is at "
             "fault");
    } else if (status == VARVE_MALFORMED) {
        puts(
            "            it is the store's own record of the archive (tar-split) that is at fault");
    }
    free(result.entry);
}

static void put_failure(const struct reporter *reporter, const struct failure *failure) {
    printf("%-11s layer ", varve_status_name(failure->status));
    put_safe_text(failure->source);
    putchar(' ');
    put_safe_text(failure->name);
    putchar('\n');
    if (failure->status != VARVE_OK) {
        fputs("            ", stdout);
        put_fault(&failure->fault);
    }
    put_contradictions(reporter->catalog, failure);
    if (reporter->store_check) {
        put_files(reporter->catalog, failure->blob);
    }
    for (size_t i = 0; i < failure->reference_count && i < SHOWN_REFERENCES; i++) {
        fputs("            in ", stdout);
        put_reference(&failure->references[i]);
        putchar('\n');
    }
    if (failure->reference_count > SHOWN_REFERENCES) {
        printf("            and %zu more images\n", failure->reference_count - SHOWN_REFERENCES);
    }
}

static uint64_t sum(const uint64_t counts[6]) {
    uint64_t total = 0;
    for (int i = 0; i < 6; i++) {
        total += counts[i];
    }
    return total;
}

static void put_counts(const char *what, const uint64_t counts[6]) {
    printf("%" PRIu64 " %s", sum(counts), what);
    const char *separator = " (";
    for (int i = 0; i < 6; i++) {
        if (counts[i]) {
            printf("%s%" PRIu64 " %s", separator, counts[i],
                   varve_status_name((enum varve_status)i));
            separator = ", ";
        }
    }
    fputs(sum(counts) ? ")" : "", stdout);
}

/* What is only worth a word where there is any. */
static void put_some(uint64_t count, const char *what) {
    if (count) {
        printf(", %" PRIu64 " %s", count, what);
    }
}

void text_end(struct reporter *reporter, const struct varve_scan_summary *summary) {
    struct text_state *state = reporter->state;
    for (size_t i = 0; i < state->failure_count; i++) {
        put_failure(reporter, &state->failures[i]);
    }
    if (state->out_of_memory) {
        complain("out of memory: some failures are not listed above, but counted below");
    }
    if (!reporter->digest) {
        double seconds = summary->seconds > 0 ? summary->seconds : 1e-9;
        if (state->failure_count || summary->errors) {
            putchar('\n');
        }
        put_counts("images", summary->images);
        printf(", %" PRIu64 " layers of them in ", summary->layer_references);
        put_counts("distinct blobs", summary->layers);
        put_some(summary->unreferenced, "unreferenced");
        put_some(summary->twins, "the same files as others");
        put_some(summary->cached, "known before");
        put_some(summary->gone, "gone meanwhile");
        put_some(summary->attestations, "attestations");
        put_some(summary->artifacts, "artifacts");
        printf("\n%.1f MB read, %.1f MB decoded%s, %" PRIu64 " entries; %" PRIu64 " mismatches",
               (double)summary->bytes_read / 1e6, (double)summary->bytes_decoded / 1e6,
               summary->cached ? " now or before" : "", summary->entries, summary->mismatches);
        printf("\n%.2f s on %u threads", summary->seconds, summary->threads);
        if (!summary->cached) {
            /* What was known before was decoded on another day. */
            printf(", %.2f GB/s decoded", (double)summary->bytes_decoded / 1e9 / seconds);
        }
        printf("%s\n", summary->interrupted ? "; interrupted, not complete"
                       : summary->partial   ? "; out of time, not complete"
                                            : "");
    }
    free(state->failures);
    free(state->failure_of);
    free(state);
}
