/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/diff_image.c - two images: the verdict, their documents, their layers pair by pair. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "json.h"
#include "safe.h"

static const char *const document_words[] = {"unknown", "identical", "respelled", "different"};
static const char *const documents[] = {"manifest", "config"};

/* --- text --- */

static void put_image(const struct diff_operand *operand, const char *side) {
    struct varve_image image = varve_catalog_image(operand->catalog, operand->number);
    printf("%s ", side);
    diff_put_bytes(image.source, strlen(image.source));
    putchar(' ');
    diff_put_bytes(image.digest, strlen(image.digest));
    if (image.ref) {
        putchar(' ');
        diff_put_bytes(image.ref, strlen(image.ref));
    }
    if (image.platform) {
        fputs(" (", stdout);
        put_safe_text(image.platform);
        putchar(')');
    }
    printf(", %zu layers\n", image.layer_count);
    if (image.fault.code) {
        printf("      %s: %s\n", image.fault.code, image.fault.message);
    }
}

static void put_spelling(unsigned spelling) {
    static const char *const words[] = {"white space", "order of keys", "escapes or numbers"};
    const char *separator = ": ";
    for (unsigned i = 0; i < 3; i++) {
        if (spelling >> i & 1) {
            printf("%s%s", separator, words[i]);
            separator = ", ";
        }
    }
}

static void put_rungs(const struct varve_image_diff *diff) {
    fputs("rungs", stdout);
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        printf("%s%s %s", i ? ", " : " ", varve_rung_name((enum varve_rung)i),
               diff_relation_word(varve_image_diff_relation(diff, (enum varve_rung)i)));
    }
    putchar('\n');
}

/* "[created]"; of claims which one does not hold. */
static void put_matter(const struct varve_document_difference *difference) {
    static const char *const sides[] = {"left", "right"};
    const char *separator = ": ";
    if (difference->matter == VARVE_MATTER_VALUE) {
        return;
    }
    printf("  [%s", varve_document_matter_name(difference->matter));
    for (unsigned i = 0; i < 2 && difference->matter == VARVE_MATTER_CLAIM; i++) {
        if (difference->has[i] && difference->holds[i] != VARVE_CHECK_OK) {
            bool known = difference->holds[i] == VARVE_CHECK_MISMATCH;
            printf("%s%s %s", separator, sides[i], known ? "does not hold" : "not checked");
            separator = ", ";
        }
    }
    putchar(']');
}

struct document_view {
    const struct diff_view *view;
    enum varve_document_name document;
    uint64_t all, shown;
};

static void show_value(void *cookie, const struct varve_document_difference *difference) {
    struct document_view *document = cookie;
    if (difference->document != document->document || document->all++ >= document->view->limit) {
        return;
    }
    document->shown++;
    fputs("  ", stdout);
    diff_put_bytes(difference->pointer, strlen(difference->pointer));
    fputs(": ", stdout);
    for (unsigned i = 0; i < 2; i++) {
        fputs(i ? " / " : "", stdout);
        if (difference->has[i]) {
            diff_put_bytes(difference->value[i].bytes, difference->value[i].count);
        } else {
            fputs("(none)", stdout);
        }
    }
    put_matter(difference);
    putchar('\n');
}

static void put_documents(const struct diff_view *view, const struct varve_image_diff *diff) {
    static const char *const words[] = {"not compared", "identical", "the same values",
                                        "different"};
    struct varve_image_diff_verdict verdict = varve_image_diff_verdict(diff);
    for (int i = 0; i < 2; i++) {
        struct document_view document = {view, (enum varve_document_name)i, 0, 0};
        putchar('\n');
        diff_paint(view, BOLD);
        fputs(documents[i], stdout);
        diff_paint(view, PLAIN);
        printf(": %s", words[verdict.document[i]]);
        put_spelling(verdict.spelling[i]);
        putchar('\n');
        varve_image_diff_each(diff, show_value, &document);
        if (document.all > document.shown) {
            printf("  and %" PRIu64 " more\n", document.all - document.shown);
        }
    }
}

/* "sha256:0123456789ab" of a digest, or a path. */
static void put_name(const struct varve_image_diff_layer *layer) {
    size_t count = strlen(layer->name);
    bool digest = count > 19 && strncmp(layer->name, "sha", 3) == 0;
    diff_put_bytes(layer->name, digest ? 19 : count);
}

static void put_pair(const struct diff_view *view, const struct varve_image_diff_pair *pair) {
    bool both = pair->found[0] && pair->found[1];
    bool same = both && pair->meet == VARVE_RUNG_BLOB;
    const struct varve_image_diff_layer *left = pair->found[0];
    const struct varve_image_diff_layer *right = pair->found[1];
    diff_paint(view, same ? PLAIN : both ? YELLOW : left ? RED : GREEN);
    if (left) {
        printf("  %zu", pair->layer[0] + 1);
    } else {
        fputs("  -", stdout);
    }
    printf(" %s ", same ? "=" : both ? "~" : left ? "removed" : "added");
    if (right) {
        printf("%zu", pair->layer[1] + 1);
    } else {
        putchar('-');
    }
    diff_paint(view, PLAIN);
    fputs("  ", stdout);
    if (left) {
        put_name(left);
    }
    if (right && !same) {
        fputs(left ? " / " : "", stdout);
        put_name(right);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (pair->found[i] && pair->found[i]->status != VARVE_OK) {
            printf("  %s: %s", varve_status_name(pair->found[i]->status),
                   pair->found[i]->fault.message);
        }
    }
    putchar('\n');
}

/* --- JSON --- */

static void put_image_json(struct json *json, const char *key, const struct diff_operand *operand) {
    struct varve_image image = varve_catalog_image(operand->catalog, operand->number);
    json_open(json, key, '{');
    json_text(json, "source", image.source);
    if (image.ref) {
        json_text(json, "ref", image.ref);
    }
    json_text(json, "digest", image.digest);
    if (image.platform) {
        json_text(json, "platform", image.platform);
    }
    if (image.fault.code) {
        json_open(json, "error", '{');
        json_text(json, "code", image.fault.code);
        json_text(json, "message", image.fault.message);
        json_close(json, '}');
    }
    json_unsigned(json, "layers", image.layer_count);
    json_close(json, '}');
}

static void put_verdict_json(const struct diff_view *view, const struct varve_image_diff *diff,
                             const struct diff_operand operands[2],
                             const struct diff_survey *survey) {
    static const char *const spellings[] = {"space", "order", "escapes"};
    struct varve_image_diff_verdict verdict = varve_image_diff_verdict(diff);
    char text[VERDICT_BYTES];
    struct json json;
    diff_image_verdict_text(text, &verdict, survey);
    json_record_begin(&json, stdout, "image-diff");
    json_text(&json, "verdict", text);
    json_text(&json, "rung", varve_rung_name(view->settings->diff_rung));
    json_text(&json, "relation", diff_relation_word(view->relation));
    if (verdict.meet != VARVE_RUNG_COUNT) {
        json_text(&json, "meet", varve_rung_name(verdict.meet));
    }
    if (verdict.complete || varve_image_diff_pair_count(diff) > 0) {
        json_unsigned(&json, "security", survey->all.security_count);
    }
    json_unsigned(&json, "security_unknown", survey->unknown_count);
    json_open(&json, "rungs", '{');
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        json_text(&json, varve_rung_name((enum varve_rung)i),
                  diff_relation_word(varve_image_diff_relation(diff, (enum varve_rung)i)));
    }
    json_close(&json, '}');
    diff_json_facets(&json, "facets_unequal", survey->all.facets_unequal);
    diff_json_facets(&json, "facets_changed", survey->all.facets_changed);
    json_unsigned(&json, "entries_removed", survey->all.removed_count);
    json_unsigned(&json, "entries_added", survey->all.added_count);
    for (int i = 0; i < 2; i++) {
        json_open(&json, documents[i], '{');
        json_text(&json, "relation", document_words[verdict.document[i]]);
        json_open(&json, "spelling", '[');
        for (unsigned k = 0; k < 3; k++) {
            if (verdict.spelling[i] >> k & 1) {
                json_text(&json, NULL, spellings[k]);
            }
        }
        json_close(&json, ']');
        json_close(&json, '}');
    }
    json_open(&json, "layers", '{');
    json_unsigned(&json, "equal", verdict.pairs_equal);
    json_unsigned(&json, "unequal", verdict.pairs_unequal);
    json_unsigned(&json, "unknown", verdict.pairs_unknown);
    json_unsigned(&json, "left_alone", verdict.alone[0]);
    json_unsigned(&json, "right_alone", verdict.alone[1]);
    json_close(&json, '}');
    put_image_json(&json, "left", &operands[0]);
    put_image_json(&json, "right", &operands[1]);
    json_record_end(&json);
}

static void put_value_json(void *cookie, const struct varve_document_difference *difference) {
    static const char *const keys[] = {"left", "right"};
    static const char *const holds[] = {"left_holds", "right_holds"};
    struct document_view *views = cookie;
    struct document_view *document = &views[difference->document];
    struct json json;
    if (document->all++ >= document->view->limit) {
        return;
    }
    document->shown++;
    json_record_begin(&json, stdout, "document-difference");
    json_text(&json, "document", documents[difference->document]);
    json_text(&json, "pointer", difference->pointer);
    json_text(&json, "matter", varve_document_matter_name(difference->matter));
    for (unsigned i = 0; i < 2; i++) {
        if (difference->has[i]) {
            json_bytes(&json, keys[i], difference->value[i].bytes, difference->value[i].count);
        }
        if (difference->has[i] && difference->matter == VARVE_MATTER_CLAIM) {
            json_text(&json, holds[i], varve_check_name(difference->holds[i]));
        }
    }
    json_record_end(&json);
}

static void put_pair_json(size_t number, const struct varve_image_diff_pair *pair,
                          const struct diff_survey_pair *found) {
    static const char *const keys[] = {"left", "right"};
    struct json json;
    json_record_begin(&json, stdout, "layer-pair");
    json_unsigned(&json, "pair", number);
    for (unsigned i = 0; i < 2; i++) {
        if (pair->found[i]) {
            json_open(&json, keys[i], '{');
            json_unsigned(&json, "number", pair->layer[i]);
            json_text(&json, "name", pair->found[i]->name);
            json_text(&json, "status", varve_status_name(pair->found[i]->status));
            json_close(&json, '}');
        }
    }
    if (pair->meet != VARVE_RUNG_COUNT) {
        json_text(&json, "meet", varve_rung_name(pair->meet));
    }
    if (found->security_count || !found->unknown) {
        json_unsigned(&json, "security", found->security_count);
    }
    json_record_end(&json);
}

static void put_summary_json(const struct document_view views[2],
                             const struct varve_image_diff *diff) {
    struct json json;
    json_record_begin(&json, stdout, "image-diff-summary");
    json_unsigned(&json, "pairs", varve_image_diff_pair_count(diff));
    json_open(&json, "counts", '{');
    json_unsigned(&json, "manifest", views[0].all);
    json_unsigned(&json, "config", views[1].all);
    json_close(&json, '}');
    json_open(&json, "left_out", '{');
    for (int i = 0; i < 2; i++) {
        if (views[i].all > views[i].shown) {
            json_unsigned(&json, documents[i], views[i].all - views[i].shown);
        }
    }
    json_close(&json, '}');
    json_record_end(&json);
}

/* --- both --- */

/* Why two layers of a pair are not the same blob. */
static bool show_pair(struct diff_view *view, struct diff_operand operands[2],
                      const struct varve_image_diff_pair *pair) {
    struct varve_diff_side sides[2];
    bool good = !diff_pair_was_read(pair);
    if (diff_open_pair(sides, operands, pair)) {
        good = pair->found[0] && pair->found[1] ? diff_show_layers(view, &sides[0], &sides[1])
                                                : diff_show_security(view, &sides[0], &sides[1]);
    }
    diff_close_pair(operands);
    return good;
}

static void show_head(const struct diff_view *view, const struct varve_image_diff *diff,
                      const struct diff_operand operands[2], const struct diff_survey *survey) {
    struct varve_image_diff_verdict verdict = varve_image_diff_verdict(diff);
    char text[VERDICT_BYTES];
    diff_image_verdict_text(text, &verdict, survey);
    diff_paint(view, survey->all.security_count ? RED : BOLD);
    puts(text);
    if (survey->unknown_count) {
        printf("nothing is known of setuid bits and capabilities in %" PRIu64
               " of the pairs of layers "
               "below, whose entries could not be compared\n",
               survey->unknown_count);
    }
    diff_paint(view, PLAIN);
    put_image(&operands[0], "left ");
    put_image(&operands[1], "right");
    put_rungs(diff);
    put_documents(view, diff);
    puts("\nlayers");
}

static bool show(struct diff_view *view, const struct varve_image_diff *diff,
                 struct diff_operand operands[2], const struct diff_survey *survey) {
    bool json = view->settings->json;
    struct document_view views[2] = {{view, VARVE_DOCUMENT_MANIFEST_JSON, 0, 0},
                                     {view, VARVE_DOCUMENT_CONFIG_JSON, 0, 0}};
    bool good = true;
    if (json) {
        put_verdict_json(view, diff, operands, survey);
        varve_image_diff_each(diff, put_value_json, views);
    } else {
        show_head(view, diff, operands, survey);
    }
    view->indent = "      ";
    for (size_t i = 0; good && i < varve_image_diff_pair_count(diff); i++) {
        struct varve_image_diff_pair pair = varve_image_diff_pair(diff, i);
        view->pair = (int)i;
        if (json) {
            put_pair_json(i, &pair, &survey->pairs[i]);
        } else {
            put_pair(view, &pair);
        }
        bool both = pair.found[0] && pair.found[1];
        if (both ? pair.meet != VARVE_RUNG_BLOB : survey->pairs[i].security_count > 0) {
            good = show_pair(view, operands, &pair);
        }
    }
    if (json) {
        put_summary_json(views, diff);
    }
    return good;
}

int diff_show_images(struct diff_view *view, struct diff_operand operands[2]) {
    const struct settings *settings = view->settings;
    const struct varve_diff_options options = diff_options(settings);
    const struct varve_image_side sides[2] = {{operands[0].catalog, operands[0].number},
                                              {operands[1].catalog, operands[1].number}};
    struct varve_image_diff *diff = NULL;
    if (varve_image_diff_open(&diff, &options) != VARVE_OK ||
        varve_image_diff_images(diff, &sides[0], &sides[1]) != VARVE_OK) {
        complain("out of memory");
        varve_image_diff_close(diff);
        return EXIT_FATAL;
    }
    enum varve_diff_relation relation = varve_image_diff_relation(diff, settings->diff_rung);
    view->relation = relation;
    struct diff_survey survey;
    bool good =
        diff_survey_pairs(&survey, view, diff, operands) && show(view, diff, operands, &survey);
    free(survey.pairs);
    varve_image_diff_close(diff);
    return good ? diff_exit_code(relation) : EXIT_FATAL;
}
