/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/diff_json.c - two layers' differences as NDJSON: one line of type diff, one for each
 * difference, one of type diff-summary (docs/diff.md). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "diff.h"
#include "json.h"

static void begin_line(struct json *json, const struct diff_view *view, const char *type) {
    json_record_begin(json, stdout, type);
    if (view->pair >= 0) {
        json_unsigned(json, "pair", (uint64_t)view->pair);
    }
}

static void put_layer(struct json *json, const char *key, const struct varve_layer *layer) {
    char text[VARVE_RUNG_TEXT_BYTES];
    json_open(json, key, '{');
    json_text(json, "name", layer->name);
    json_text(json, "source", layer->source);
    json_text(json, "status", varve_status_name(layer->status));
    if (layer->status != VARVE_OK) {
        json_open(json, "error", '{');
        json_text(json, "code", layer->fault.code);
        json_text(json, "message", layer->fault.message);
        if (layer->fault.os_errno) {
            json_text(json, "os_error", strerror(layer->fault.os_errno));
        }
        json_close(json, '}');
    }
    if (layer->complete) {
        json_unsigned(json, "bytes_stored", layer->bytes_stored);
    }
    if (layer->complete && layer->decoded) {
        json_unsigned(json, "bytes_decoded", layer->bytes_decoded);
        json_text(json, "compression", varve_compression_name(layer->compression));
    }
    if (layer->has_format) {
        json_text(json, "format", varve_format_name(layer->format));
    }
    if (layer->has_entries) {
        json_unsigned(json, "entries", layer->entry_count);
    }
    if (layer->toc) {
        json_text(json, "toc", layer->toc);
    }
    if (layer->writer) {
        json_text(json, "writer", layer->writer);
    }
    if (layer->encoder) {
        json_text(json, "encoder", layer->encoder);
    }
    json_open(json, "rungs", '{');
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        if (layer->rungs.present >> i & 1) {
            varve_rung_text(text, (enum varve_rung)i, layer->rungs.digest[i]);
            json_text(json, varve_rung_name((enum varve_rung)i), text);
        }
    }
    json_close(json, '}');
    json_close(json, '}');
}

void diff_json_facets(struct json *json, const char *key, uint32_t facets) {
    json_open(json, key, '[');
    for (int i = 0; i < VARVE_FACET_COUNT; i++) {
        if (facets >> i & 1) {
            json_text(json, NULL, varve_facet_name((enum varve_facet)i));
        }
    }
    json_close(json, ']');
}

static void put_verdict(const struct diff_view *view) {
    const struct varve_diff_verdict verdict = varve_diff_verdict(view->diff);
    const struct varve_layer *layers[2] = {varve_diff_layer(view->diff, 0),
                                           varve_diff_layer(view->diff, 1)};
    char text[VERDICT_BYTES];
    struct json json;
    diff_verdict_text(text, &verdict);
    begin_line(&json, view, "diff");
    json_text(&json, "verdict", text);
    json_text(&json, "rung", varve_rung_name(view->settings->diff_rung));
    json_text(&json, "relation", diff_relation_word(view->relation));
    if (verdict.meet != VARVE_RUNG_COUNT) {
        json_text(&json, "meet", varve_rung_name(verdict.meet));
    }
    bool unknown = false;
    for (unsigned i = 0; i < 2 && verdict.meet != VARVE_RUNG_BLOB; i++) {
        unknown |= diff_entries_unknown(layers[i]->rungs.present, layers[i]->status,
                                        verdict.entries_compared);
    }
    if (verdict.security_count || !unknown) {
        json_unsigned(&json, "security", verdict.security_count);
    }
    json_open(&json, "rungs", '{');
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        enum varve_diff_relation relation =
            varve_diff_relation(&layers[0]->rungs, &layers[1]->rungs, (enum varve_rung)i);
        json_text(&json, varve_rung_name((enum varve_rung)i), diff_relation_word(relation));
    }
    json_close(&json, '}');
    diff_json_facets(&json, "facets_unequal", verdict.facets_unequal);
    diff_json_facets(&json, "facets_changed", verdict.facets_changed);
    json_open(&json, "order_significant", '[');
    for (unsigned i = 0; i < 2; i++) {
        if (verdict.order_significant[i]) {
            json_text(&json, NULL, i ? "right" : "left");
        }
    }
    json_close(&json, ']');
    if (verdict.but_toc != VARVE_RUNG_COUNT) {
        json_text(&json, "meet_but_toc", varve_rung_name(verdict.but_toc));
    }
    json_bool(&json, "entries_compared", verdict.entries_compared);
    json_bool(&json, "headers_compared", verdict.headers_compared);
    put_layer(&json, "left", layers[0]);
    put_layer(&json, "right", layers[1]);
    json_record_end(&json);
}

static void put_entry(struct json *json, const char *key, const struct varve_diff_entry *entry) {
    static const struct {
        unsigned mark;
        const char *word;
    } words[] = {{VARVE_DIFF_DUPLICATE, "duplicate"},
                 {VARVE_DIFF_HARDLINK, "hardlink"},
                 {VARVE_DIFF_WHITEOUT, "whiteout"},
                 {VARVE_DIFF_OPAQUE, "opaque"},
                 {VARVE_DIFF_TOC, "estargz"}};
    json_open(json, key, '{');
    json_unsigned(json, "number", entry->number);
    json_unsigned(json, "offset", entry->offset);
    json_bytes(json, "typeflag", &entry->typeflag, 1);
    json_unsigned(json, "size", entry->size);
    if (entry->link.count) {
        json_bytes(json, "link", entry->link.bytes, entry->link.count);
    }
    if (entry->marks) {
        json_open(json, "marks", '[');
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            if (entry->marks & words[i].mark) {
                json_text(json, NULL, words[i].word);
            }
        }
        json_close(json, ']');
    }
    json_close(json, '}');
}

static void put_field(struct json *json, const struct varve_diff_field *field) {
    static const char *const keys[] = {"left", "right"};
    static const char *const offsets[] = {"offset_left", "offset_right"};
    static const char *const texts[] = {"left_text", "right_text"};
    json_open(json, NULL, '{');
    if (field->part) {
        json_text(json, "part", field->part);
    }
    json_text(json, "name", field->name);
    if (field->key.count) {
        json_bytes(json, "key", field->key.bytes, field->key.count);
    }
    bool capability = field->key.count == strlen("security.capability") &&
                      memcmp(field->key.bytes, "security.capability", field->key.count) == 0;
    for (unsigned i = 0; i < 2; i++) {
        char text[1024];
        if (field->has[i]) {
            json_bytes(json, keys[i], field->value[i].bytes, field->value[i].count);
        }
        if (field->has[i] && capability &&
            capability_text(text, sizeof text, field->value[i].bytes, field->value[i].count)) {
            json_text(json, texts[i], text);
        }
        if (field->offset[i] != VARVE_NO_OFFSET) {
            json_unsigned(json, offsets[i], field->offset[i]);
        }
    }
    json_close(json, '}');
}

struct shower {
    const struct diff_view *view;
    uint64_t all[VARVE_DIFF_KIND_COUNT], shown[VARVE_DIFF_KIND_COUNT];
};

static void show(void *cookie, const struct varve_difference *difference) {
    struct shower *shower = cookie;
    struct json json;
    if (shower->all[difference->kind]++ >= shower->view->limit) {
        return;
    }
    shower->shown[difference->kind]++;
    begin_line(&json, shower->view, "difference");
    json_text(&json, "kind", varve_diff_kind_name(difference->kind));
    if (difference->rung != VARVE_RUNG_COUNT) {
        json_text(&json, "rung", varve_rung_name(difference->rung));
    }
    const struct varve_diff_entry *entry =
        difference->entry[0] ? difference->entry[0] : difference->entry[1];
    if (entry) {
        json_bytes(&json, "path", entry->path.bytes, entry->path.count);
    }
    if (difference->finding) {
        json_text(&json, "code", difference->finding->code);
        json_unsigned(&json, "count_left", difference->count[0]);
        json_unsigned(&json, "count_right", difference->count[1]);
    }
    if (difference->entry[0]) {
        put_entry(&json, "left", difference->entry[0]);
    }
    if (difference->entry[1]) {
        put_entry(&json, "right", difference->entry[1]);
    }
    if (difference->file[0]) {
        json_bytes(&json, "file", difference->file[0]->path.bytes, difference->file[0]->path.count);
    }
    if (difference->field_count) {
        json_open(&json, "fields", '[');
        size_t count = difference->field_count;
        size_t most = (size_t)shower->view->field_limit;
        size_t shown = count < most ? count : most;
        for (size_t i = 0; i < shown; i++) {
            put_field(&json, &difference->fields[i]);
        }
        json_close(&json, ']');
        if (shown < count) {
            json_unsigned(&json, "fields_left_out", count - shown);
        }
    }
    json_record_end(&json);
}

bool diff_show_kind_json(struct diff_view *view, enum varve_diff_kind kind) {
    struct shower shower = {.view = view};
    return varve_diff_each(view->diff, 1u << kind, show, &shower) == VARVE_OK;
}

bool diff_show_json(struct diff_view *view) {
    struct shower shower = {.view = view};
    struct json json;
    put_verdict(view);
    bool good = varve_diff_each(view->diff, VARVE_DIFF_ALL, show, &shower) == VARVE_OK;
    begin_line(&json, view, "diff-summary");
    json_open(&json, "counts", '{');
    for (int i = 0; i < VARVE_DIFF_KIND_COUNT; i++) {
        json_unsigned(&json, varve_diff_kind_name((enum varve_diff_kind)i), shower.all[i]);
    }
    json_close(&json, '}');
    json_open(&json, "left_out", '{');
    for (int i = 0; i < VARVE_DIFF_KIND_COUNT; i++) {
        if (shower.all[i] > shower.shown[i]) {
            json_unsigned(&json, varve_diff_kind_name((enum varve_diff_kind)i),
                          shower.all[i] - shower.shown[i]);
        }
    }
    json_close(&json, '}');
    json_record_end(&json);
    return good;
}
