/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/report_json.c - the output contract: NDJSON, one object a line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "json.h"
#include "varve/findings.h"

static void put_fault(struct json *json, const struct varve_fault *fault, const char *document) {
    json_open(json, "error", '{');
    json_text(json, "code", fault->code);
    json_text(json, "message", fault->message);
    if (document) {
        json_text(json, "document", document);
    }
    if (fault->os_errno) {
        json_text(json, "os_error", strerror(fault->os_errno));
    }
    if (fault->offset_stored != VARVE_NO_OFFSET) {
        json_unsigned(json, "offset_stored", fault->offset_stored);
    }
    if (fault->offset_decoded != VARVE_NO_OFFSET) {
        json_unsigned(json, "offset_decoded", fault->offset_decoded);
    }
    json_close(json, '}');
}

static void put_checks(struct json *json, const struct varve_checks *checks) {
    json_open(json, "checks", '{');
    json_plain(json, "name", varve_check_name(checks->name));
    json_plain(json, "size", varve_check_name(checks->size));
    json_plain(json, "diffid", varve_check_name(checks->diffid));
    json_plain(json, "media_type", varve_check_name(checks->media_type));
    json_close(json, '}');
}

static void put_rungs(struct json *json, const struct varve_rungs *rungs,
                      void (*write)(char text[VARVE_RUNG_TEXT_BYTES], enum varve_rung rung,
                                    const uint8_t digest[VARVE_SHA256_BYTES])) {
    json_open(json, "rungs", '{');
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        if (rungs->present & 1u << i) {
            enum varve_rung rung = (enum varve_rung)i;
            char *text = json_plain_begin(json, varve_rung_name(rung), VARVE_RUNG_TEXT_BYTES);
            write(text, rung, rungs->digest[i]);
            json_plain_end(json, text);
        }
    }
    json_close(json, '}');
}

static void put_digests(struct json *json, const struct varve_layer *layer) {
    put_rungs(json, &layer->rungs, varve_rung_text);
    if (!layer->facets.present) {
        return;
    }
    json_open(json, "facets", '{');
    for (int i = 0; i < VARVE_FACET_COUNT; i++) {
        if (layer->facets.present & 1u << i) {
            enum varve_facet facet = (enum varve_facet)i;
            char *text = json_plain_begin(json, varve_facet_name(facet), VARVE_RUNG_TEXT_BYTES);
            varve_facet_text(text, facet, layer->facets.digest[i]);
            json_plain_end(json, text);
        }
    }
    json_close(json, '}');
}

static void put_findings(struct json *json, const struct varve_findings *findings) {
    json_open(json, "findings", '[');
    for (size_t i = 0; i < varve_findings_count(findings); i++) {
        struct varve_finding finding = varve_findings_at(findings, i);
        json_open(json, NULL, '{');
        json_plain(json, "code", finding.info->code);
        json_unsigned(json, "count", finding.count);
        if (finding.entry) {
            json_bytes(json, "entry", finding.entry, finding.entry_bytes);
        }
        if (finding.offset != VARVE_NO_OFFSET) {
            json_unsigned(json, "offset", finding.offset);
        }
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* Seconds as a decimal number: what struct varve_tar_time holds as whole seconds and nanoseconds
 * towards the future, -5 and 0.5, is -4.500000000. */
static void put_time(struct json *json, const char *key, const struct varve_tar_time *time) {
    char text[40];
    bool mirrored = time->seconds < 0 && time->nanoseconds > 0;
    uint64_t magnitude = time->seconds < 0 ? 0 - (uint64_t)time->seconds : (uint64_t)time->seconds;
    snprintf(text, sizeof text, "%s%" PRIu64 ".%09u", time->seconds < 0 ? "-" : "",
             mirrored ? magnitude - 1 : magnitude,
             mirrored ? 1000000000u - time->nanoseconds : time->nanoseconds);
    json_text(json, key, text);
}

struct entry_lines {
    const char *layer;
};

static void put_entry(void *cookie, const struct varve_ladder_entry *entry) {
    const struct entry_lines *lines = cookie;
    struct json json;
    json_record_begin(&json, stdout, "entry");
    json_text(&json, "layer", lines->layer);
    json_bytes(&json, "path", entry->path.bytes, entry->path.count);
    json_bytes(&json, "typeflag", &entry->typeflag, 1);
    json_unsigned(&json, "size", entry->size);
    json_unsigned(&json, "mode", entry->mode);
    json_signed(&json, "uid", entry->uid);
    json_signed(&json, "gid", entry->gid);
    put_time(&json, "mtime", &entry->mtime);
    if (entry->link.count) {
        json_bytes(&json, "link", entry->link.bytes, entry->link.count);
    }
    if (entry->has_sha256) {
        json_hex(&json, "sha256", entry->sha256, VARVE_SHA256_BYTES);
    }
    json_record_end(&json);
}

/* What the catalog alone knows of a blob. */
static void put_blob(struct json *json, const struct varve_catalog *catalog, size_t number) {
    struct varve_blob blob = varve_catalog_blob(catalog, number);
    if (!blob.referenced) {
        json_bool(json, "referenced", false);
    }
    if (blob.twin_of != number) {
        struct varve_blob first = varve_catalog_blob(catalog, blob.twin_of);
        json_open(json, "same_file_as", '{');
        json_text(json, "name", first.name);
        json_text(json, "source", first.source);
        json_close(json, '}');
    }
}

/* `varve verify-store`: the first of an unpacked layer's files that is at fault, and how many are,
 * as far as they could be looked at. */
static void put_files(struct json *json, const struct varve_catalog *catalog, size_t blob) {
    struct varve_join_result result;
    varve_catalog_check_files(catalog, &result, blob);
    json_unsigned(json, "bad_files", result.bad_count);
    json_bool(json, "files_complete", result.complete);
    if (result.entry) {
        json_open(json, "first_bad_file", '{');
        json_bytes(json, "path", result.entry, strlen(result.entry));
        json_text(json, "code", result.fault.code);
        json_text(json, "message", result.fault.message);
        json_close(json, '}');
    }
    free(result.entry);
}

void json_layer(FILE *out, const struct reporter *reporter, const struct varve_layer *layer,
                size_t blob) {
    struct json json;
    json_record_begin(&json, out, "layer");
    json_text(&json, "name", layer->name);
    json_text(&json, "source", layer->source);
    put_blob(&json, reporter->catalog, blob);
    json_bool(&json, "cached", layer->cached);
    if (layer->complete) {
        json_unsigned(&json, "bytes_stored", layer->bytes_stored);
        if (layer->decoded) {
            json_unsigned(&json, "bytes_decoded", layer->bytes_decoded);
            json_plain(&json, "compression", varve_compression_name(layer->compression));
        }
        if (layer->has_format) {
            json_plain(&json, "format", varve_format_name(layer->format));
        }
    }
    json_plain(&json, "status", varve_status_name(layer->status));
    if (layer->complete) {
        put_digests(&json, layer);
        if (layer->has_entries) {
            json_unsigned(&json, "entries", layer->entry_count);
        }
        put_findings(&json, layer->findings);
        put_checks(&json, &layer->checks);
        if (layer->toc) {
            json_text(&json, "toc", layer->toc);
        }
        if (layer->encoder) {
            json_text(&json, "encoder", layer->encoder);
            if (layer->encoder_evidence[0]) {
                json_text(&json, "encoder_evidence", layer->encoder_evidence);
            }
        }
        if (layer->writer) {
            json_text(&json, "writer", layer->writer);
            json_text(&json, "writer_evidence", layer->writer_evidence);
        }
    }
    if (layer->status != VARVE_OK) {
        put_fault(&json, &layer->fault, NULL);
    }
    if (reporter->store_check && has_failed(layer)) {
        put_files(&json, reporter->catalog, blob);
    }
    json_record_end(&json);
}

static void on_layer(void *cookie, const struct varve_layer *layer, size_t blob,
                     const struct varve_job *job) {
    const struct reporter *reporter = cookie;
    json_layer(stdout, reporter, layer, blob);
    if (job) {
        struct entry_lines lines = {layer->name};
        report_entries(reporter, layer, blob, job, put_entry, &lines);
    }
}

void json_image(FILE *out, const struct reporter *reporter, const struct varve_image *image,
                enum varve_status status, const struct varve_image_layer *layers) {
    struct json json;
    json_record_begin(&json, out, "image");
    json_text(&json, "source", image->source);
    if (image->ref) {
        json_text(&json, "ref", image->ref);
    }
    json_text(&json, "digest", image->digest);
    if (image->platform) {
        json_text(&json, "platform", image->platform);
    }
    if (image->attestation) {
        json_bool(&json, "attestation", true);
    }
    if (image->artifact) {
        json_bool(&json, "artifact", true);
    }
    json_plain(&json, "status", varve_status_name(status));
    json_open(&json, "layers", '[');
    for (size_t i = 0; i < image->layer_count; i++) {
        struct varve_claim claim = varve_catalog_claim(reporter->catalog, layers[i].claim);
        json_open(&json, NULL, '{');
        json_text(&json, "digest", varve_catalog_blob(reporter->catalog, claim.blob).name);
        if (claim.size != VARVE_NO_SIZE) {
            json_unsigned(&json, "size", claim.size);
        }
        if (claim.media_type) {
            json_text(&json, "media_type", claim.media_type);
        }
        if (claim.has_diffid) {
            char *text = json_plain_begin(&json, "diffid", VARVE_RUNG_TEXT_BYTES);
            varve_rung_text(text, VARVE_RUNG_DIFFID, claim.diffid);
            json_plain_end(&json, text);
        }
        json_plain(&json, "status", varve_status_name(layers[i].status));
        put_checks(&json, &layers[i].checks);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    if (image->rungs->present) {
        put_rungs(&json, image->rungs, varve_image_rung_text);
    }
    if (image->fault.code) {
        put_fault(&json, &image->fault, image->fault_digest);
    }
    json_record_end(&json);
}

static void on_image(void *cookie, const struct varve_image *image, enum varve_status status,
                     const struct varve_image_layer *layers) {
    json_image(stdout, cookie, image, status, layers);
}

static void on_gone(void *cookie, size_t number) {
    const struct reporter *reporter = cookie;
    struct varve_blob blob = varve_catalog_blob(reporter->catalog, number);
    struct json json;
    json_record_begin(&json, stdout, "gone");
    json_text(&json, "name", blob.name);
    json_text(&json, "source", blob.source);
    json_record_end(&json);
}

const struct varve_report json_report = {.gone = on_gone, .layer = on_layer, .image = on_image};

void json_error(FILE *out, const struct varve_catalog_error *error) {
    struct json json;
    bool note = error->fault.status == VARVE_OK;
    json_record_begin(&json, out, note ? "note" : "error");
    json_text(&json, "name", error->name);
    if (note) {
        json_unsigned(&json, "count", error->count);
    }
    json_text(&json, "code", error->fault.code);
    json_text(&json, "message", error->fault.message);
    if (error->fault.os_errno) {
        json_text(&json, "os_error", strerror(error->fault.os_errno));
    }
    if (error->fault.offset_stored != VARVE_NO_OFFSET) {
        json_unsigned(&json, "offset_stored", error->fault.offset_stored);
    }
    json_record_end(&json);
}

void json_begin(struct reporter *reporter) {
    const struct settings *settings = reporter->settings;
    struct json json;
    json_record_begin(&json, stdout, "scan");
    json_open(&json, "sources", '[');
    for (int i = 0; i < settings->operand_count; i++) {
        json_text(&json, NULL, settings->operands[i]);
    }
    json_close(&json, ']');
    json_open(&json, "rungs", '[');
    for (int i = 0; i <= (int)settings->scan.deepest_rung; i++) {
        json_text(&json, NULL, varve_rung_name((enum varve_rung)i));
    }
    json_close(&json, ']');
    json_open(&json, "options", '{');
    json_bool(&json, "entries", settings->entries);
    if (settings->files_from) {
        json_text(&json, "files0_from", settings->files_from);
    }
    if (settings->scan.memory_bytes) {
        json_unsigned(&json, "memory", settings->scan.memory_bytes);
    }
    if (settings->scan.max_decoded_bytes) {
        json_unsigned(&json, "max_decoded", settings->scan.max_decoded_bytes);
    }
    json_close(&json, '}');
    json_record_end(&json);
    for (size_t i = 0; i < varve_catalog_error_count(reporter->catalog); i++) {
        struct varve_catalog_error error = varve_catalog_error(reporter->catalog, i);
        json_error(stdout, &error);
    }
}

static void put_counts(struct json *json, const char *key, const uint64_t counts[6]) {
    json_open(json, key, '{');
    for (int i = 0; i < 6; i++) {
        json_unsigned(json, varve_status_name((enum varve_status)i), counts[i]);
    }
    json_close(json, '}');
}

static void put_timings(struct json *json, const struct varve_scan_summary *summary) {
    struct station stations[STATION_COUNT];
    list_stations(stations, summary);
    json_open(json, "cpu_seconds", '{');
    for (size_t i = 0; i < STATION_COUNT; i++) {
        json_real(json, stations[i].name, stations[i].seconds);
    }
    json_close(json, '}');
    json_open(json, "hash_blocks", '{');
    for (size_t i = 0; i < summary->hash_row_count; i++) {
        json_unsigned(json, summary->hash_rows[i].name, summary->hash_rows[i].blocks);
    }
    json_close(json, '}');
    json_open(json, "lane_occupancy", '{');
    for (size_t i = 0; i < summary->hash_row_count; i++) {
        const struct varve_sha256_use *use = &summary->hash_rows[i];
        if (use->blocks) {
            json_real(json, use->name,
                      (double)use->blocks / (double)(use->blocks + use->empty_lane_blocks));
        }
    }
    json_close(json, '}');
}

void json_end(struct reporter *reporter, const struct varve_scan_summary *summary, int exit_code) {
    const struct settings *settings = reporter->settings;
    enum varve_tier tier = settings->scan.tier ? settings->scan.tier : varve_tier_best();
    struct json json;
    json_record_begin(&json, stdout, "summary");
    put_counts(&json, "images", summary->images);
    json_unsigned(&json, "attestations", summary->attestations);
    json_unsigned(&json, "artifacts", summary->artifacts);
    json_unsigned(&json, "layer_references", summary->layer_references);
    put_counts(&json, "layers", summary->layers);
    json_unsigned(&json, "same_files", summary->twins);
    json_unsigned(&json, "unreferenced", summary->unreferenced);
    json_unsigned(&json, "cached", summary->cached);
    json_unsigned(&json, "gone", summary->gone);
    json_unsigned(&json, "images_gone", summary->images_gone);
    json_unsigned(&json, "mismatches", summary->mismatches);
    json_unsigned(&json, "errors", summary->errors);
    json_unsigned(&json, "bytes_stored", summary->bytes_stored);
    json_unsigned(&json, "bytes_read", summary->bytes_read);
    json_unsigned(&json, "bytes_decoded", summary->bytes_decoded);
    json_unsigned(&json, "entries", summary->entries);
    json_bool(&json, "interrupted", summary->interrupted);
    json_bool(&json, "partial", summary->partial);
    json_unsigned(&json, "exit_code", (uint64_t)exit_code);
    json_open(&json, "versions", '{');
    json_text(&json, "varve", varve_version());
    json_unsigned(&json, "ladder", varve_ladder_version());
    for (size_t i = 0; i < varve_library_count(); i++) {
        struct varve_library library = varve_library_at(i);
        json_text(&json, library.name, library.version ? library.version : "unknown");
    }
    json_text(&json, "cpu_tier", varve_tier_name(tier));
    json_text(&json, "sha256_engine", varve_sha256_engine_name(settings->scan.engine));
    json_text(&json, "inflate_engine", varve_inflate_engine_name(settings->scan.inflate_engine));
    json_close(&json, '}');
    json_open(&json, "run", '{');
    json_real(&json, "seconds", summary->seconds);
    json_unsigned(&json, "threads", summary->threads);
    json_unsigned(&json, "memory_peak", summary->memory_peak_bytes);
    json_unsigned(&json, "temporary_bytes", summary->temporary_bytes);
    put_timings(&json, summary);
    json_close(&json, '}');
    json_record_end(&json);
}
