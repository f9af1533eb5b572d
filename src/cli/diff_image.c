/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/diff_image.c - two images: the verdict, their documents, their layers pair by pair. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "diff.h"
#include "json.h"
#include "safe.h"

static const char *const relation_words[] = {"unknown", "equal", "unequal"};
static const char *const document_words[] = {"unknown", "identical", "respelled", "different"};
static const char *const documents[] = {"manifest", "config"};

static void add(char text[VERDICT_BYTES], const char *separator, const char *word) {
    size_t used = strlen(text);
    snprintf(text + used, VERDICT_BYTES - used, "%s%s", separator, word);
}

static void add_count(char text[VERDICT_BYTES], size_t count, const char *what) {
    size_t used = strlen(text);
    if (count) {
        snprintf(text + used, VERDICT_BYTES - used, "%s%zu layer%s %s", used ? ", " : "", count,
                 count == 1 ? "" : "s", what);
    }
}

/* Facets in which any pair of layers differs. */
static uint32_t unequal_facets(const struct varve_image_diff *diff) {
    uint32_t unequal = 0;
    for (size_t i = 0; i < varve_image_diff_pair_count(diff); i++) {
        struct varve_image_diff_pair pair = varve_image_diff_pair(diff, i);
        for (int f = 0; pair.found[0] && pair.found[1] && f < VARVE_FACET_COUNT; f++) {
            const struct varve_facets *left = &pair.found[0]->facets;
            const struct varve_facets *right = &pair.found[1]->facets;
            bool both = left->present & right->present & 1u << f;
            bool same = memcmp(left->digest[f], right->digest[f], VARVE_SHA256_BYTES) == 0;
            unequal |= both && !same ? 1u << f : 0;
        }
    }
    return unequal;
}

/* What the configs differ in, with the separator before it. */
static void add_config(char text[VERDICT_BYTES], const struct varve_image_diff_verdict *verdict,
                       const char *separator) {
    if (!verdict->config_meets) {
        add(text, separator, verdict->config_timeless ? "config (times of creation)" : "config");
    }
}

static void verdict_text(char text[VERDICT_BYTES], const struct varve_image_diff *diff,
                         uint64_t security_count) {
    static const char *const ignored[VARVE_RUNG_COUNT] = {[VARVE_RUNG_ARCHIVE] = "end of archive",
                                                          [VARVE_RUNG_ENCODING] = "header encoding",
                                                          [VARVE_RUNG_ORDER] = "order of entries"};
    struct varve_image_diff_verdict verdict = varve_image_diff_verdict(diff);
    text[0] = 0;
    if (security_count) {
        add(text, "", DIFF_SECURITY_FIRST);
    }
    if (verdict.meet == VARVE_RUNG_BLOB) {
        add(text, "", "identical");
    } else if (verdict.meet == VARVE_RUNG_DIFFID) {
        add(text, "", "same config and archives; differs by: ");
        add(text, "", verdict.pairs_unequal ? "compression" : "manifest");
    } else if (verdict.meet < VARVE_RUNG_COUNT) {
        add(text, "", "same content; differs by: ");
        if (ignored[verdict.meet]) {
            add(text, "", ignored[verdict.meet]);
        } else {
            diff_add_facets(text, unequal_facets(diff));
        }
        add_config(text, &verdict, unequal_facets(diff) ? ", " : "");
    } else {
        char what[VERDICT_BYTES] = "";
        add_count(what, verdict.pairs_unequal, "changed");
        add_count(what, verdict.alone[0], "removed");
        add_count(what, verdict.alone[1], "added");
        add_config(what, &verdict, *what ? ", " : "");
        add(text, "", verdict.complete ? "different: " : "not known to be the same: ");
        add(text, "", *what ? what : "manifest");
    }
}

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
               relation_words[varve_image_diff_relation(diff, (enum varve_rung)i)]);
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

static void begin_line(struct json *json, const char *type) {
    *json = (struct json){.out = stdout};
    json_open(json, NULL, '{');
    json_unsigned(json, "v", 1);
    json_text(json, "type", type);
}

static void end_line(struct json *json) {
    json_close(json, '}');
    json_line_end(json);
}

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
                             const struct diff_operand operands[2], uint64_t security_count) {
    static const char *const spellings[] = {"space", "order", "escapes"};
    struct varve_image_diff_verdict verdict = varve_image_diff_verdict(diff);
    char text[VERDICT_BYTES];
    struct json json;
    verdict_text(text, diff, security_count);
    begin_line(&json, "image-diff");
    json_text(&json, "verdict", text);
    json_text(&json, "rung", varve_rung_name(view->settings->diff_rung));
    json_text(&json, "relation", relation_words[view->relation]);
    if (verdict.meet != VARVE_RUNG_COUNT) {
        json_text(&json, "meet", varve_rung_name(verdict.meet));
    }
    json_unsigned(&json, "security", security_count);
    json_open(&json, "rungs", '{');
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        json_text(&json, varve_rung_name((enum varve_rung)i),
                  relation_words[varve_image_diff_relation(diff, (enum varve_rung)i)]);
    }
    json_close(&json, '}');
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
    json_unsigned(&json, "left_alone", verdict.alone[0]);
    json_unsigned(&json, "right_alone", verdict.alone[1]);
    json_close(&json, '}');
    put_image_json(&json, "left", &operands[0]);
    put_image_json(&json, "right", &operands[1]);
    end_line(&json);
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
    begin_line(&json, "document-difference");
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
    end_line(&json);
}

static void put_pair_json(size_t number, const struct varve_image_diff_pair *pair,
                          uint64_t security_count) {
    static const char *const keys[] = {"left", "right"};
    struct json json;
    begin_line(&json, "layer-pair");
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
    json_unsigned(&json, "security", security_count);
    end_line(&json);
}

static void put_summary_json(const struct document_view views[2],
                             const struct varve_image_diff *diff) {
    struct json json;
    begin_line(&json, "image-diff-summary");
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
    end_line(&json);
}

/* --- both --- */

/* Opens a pair's layers; one of one side alone is held against nothing. False: said why. */
static bool open_pair(struct varve_diff_side sides[2], struct diff_operand operands[2],
                      const struct varve_image_diff_pair *pair) {
    bool good = true;
    for (unsigned i = 0; i < 2; i++) {
        operands[i].fd = -1;
        if (good && pair->found[i]) {
            good = diff_open_side(&sides[i], &operands[i], pair->found[i]->blob);
        } else if (good) {
            operands[i].fd = memfd_create("nothing", MFD_CLOEXEC);
            sides[i] = (struct varve_diff_side){
                .fd = operands[i].fd, .bytes = UINT64_MAX, .name = "", .source = ""};
            good = sides[i].fd >= 0;
        }
    }
    return good;
}

static void close_pair(struct diff_operand operands[2]) {
    for (unsigned i = 0; i < 2; i++) {
        if (operands[i].fd >= 0) {
            close(operands[i].fd);
        }
        operands[i].fd = -1;
    }
}

/* Why two layers of a pair are not the same blob. */
static bool show_pair(struct diff_view *view, struct diff_operand operands[2],
                      const struct varve_image_diff_pair *pair) {
    struct varve_diff_side sides[2];
    bool good = true;
    if (open_pair(sides, operands, pair)) {
        good = pair->found[0] && pair->found[1] ? diff_show_layers(view, &sides[0], &sides[1])
                                                : diff_show_security(view, &sides[0], &sides[1]);
    }
    close_pair(operands);
    return good;
}

/* Whether setuid bits and capabilities of a pair are known to be the same: the facets they belong
 * to are. */
static bool is_as_safe(const struct varve_image_diff_pair *pair) {
    static const enum varve_facet facets[] = {VARVE_FACET_MODE, VARVE_FACET_XATTRS};
    bool same = pair->found[0] && pair->found[1];
    for (size_t i = 0; same && i < sizeof facets / sizeof *facets; i++) {
        const struct varve_facets *left = &pair->found[0]->facets;
        const struct varve_facets *right = &pair->found[1]->facets;
        same = left->present & right->present & 1u << facets[i] &&
               memcmp(left->digest[facets[i]], right->digest[facets[i]], VARVE_SHA256_BYTES) == 0;
    }
    return same || pair->meet == VARVE_RUNG_BLOB;
}

/* Looks through the layers whose setuid bits or capabilities may differ, before anything is told:
 * they are named before all else. counts[] by pair. False, after a message: no memory. */
static bool count_security(uint64_t *total, uint64_t *counts, const struct diff_view *view,
                           const struct varve_image_diff *diff, struct diff_operand operands[2]) {
    bool good = true;
    *total = 0;
    for (size_t i = 0; good && i < varve_image_diff_pair_count(diff); i++) {
        struct varve_image_diff_pair pair = varve_image_diff_pair(diff, i);
        struct varve_diff_side sides[2];
        bool unread = false;
        for (unsigned k = 0; k < 2; k++) {
            unread |= pair.found[k] && pair.found[k]->status == VARVE_ERROR; /* is told later */
        }
        if (unread || is_as_safe(&pair)) {
            continue;
        }
        if (open_pair(sides, operands, &pair)) {
            good = varve_diff_layers(view->diff, &sides[0], &sides[1]) == VARVE_OK;
            counts[i] = good ? varve_diff_verdict(view->diff).security_count : 0;
            *total += counts[i];
        }
        close_pair(operands);
    }
    if (!good) {
        complain("out of memory");
    }
    return good;
}

static void show_head(const struct diff_view *view, const struct varve_image_diff *diff,
                      const struct diff_operand operands[2], uint64_t security_count) {
    char text[VERDICT_BYTES];
    verdict_text(text, diff, security_count);
    diff_paint(view, security_count ? RED : BOLD);
    puts(text);
    diff_paint(view, PLAIN);
    put_image(&operands[0], "left ");
    put_image(&operands[1], "right");
    put_rungs(diff);
    put_documents(view, diff);
    puts("\nlayers");
}

static bool show(struct diff_view *view, const struct varve_image_diff *diff,
                 struct diff_operand operands[2], uint64_t security_count,
                 const uint64_t *security_counts) {
    bool json = view->settings->json;
    struct document_view views[2] = {{view, VARVE_DOCUMENT_MANIFEST_JSON, 0, 0},
                                     {view, VARVE_DOCUMENT_CONFIG_JSON, 0, 0}};
    bool good = true;
    if (json) {
        put_verdict_json(view, diff, operands, security_count);
        varve_image_diff_each(diff, put_value_json, views);
    } else {
        show_head(view, diff, operands, security_count);
    }
    view->indent = "      ";
    for (size_t i = 0; good && i < varve_image_diff_pair_count(diff); i++) {
        struct varve_image_diff_pair pair = varve_image_diff_pair(diff, i);
        view->pair = (int)i;
        if (json) {
            put_pair_json(i, &pair, security_counts[i]);
        } else {
            put_pair(view, &pair);
        }
        bool both = pair.found[0] && pair.found[1];
        if (both ? pair.meet != VARVE_RUNG_BLOB : security_counts[i] > 0) {
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
    const struct varve_diff_options options = {
        .tier = settings->scan.tier,
        .engine = settings->scan.engine,
        .memory_bytes = settings->scan.memory_bytes,
        .max_decoded_bytes = settings->scan.max_decoded_bytes,
        .chunk_bytes = settings->scan.chunk_bytes,
    };
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
    uint64_t security_count = 0;
    uint64_t *counts = calloc(varve_image_diff_pair_count(diff) + 1, sizeof *counts);
    bool good = counts && count_security(&security_count, counts, view, diff, operands) &&
                show(view, diff, operands, security_count, counts);
    if (!counts) {
        complain("out of memory");
    }
    free(counts);
    varve_image_diff_close(diff);
    return good ? diff_exit_code(relation) : EXIT_FATAL;
}
