/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/diff_verdict.c - what two layers or two images differ by, in a line of words. */
#include <stdio.h>
#include <string.h>

#include "diff.h"

const char *diff_relation_word(enum varve_diff_relation relation) {
    static const char *const words[] = {"unknown", "equal", "unequal"};
    return words[relation];
}

/* What the rung on which two meet had to ignore more than the one before. */
static const char *const ignored[VARVE_RUNG_COUNT] = {
    [VARVE_RUNG_DIFFID] = "compression",
    [VARVE_RUNG_ARCHIVE] = "end of archive",
    [VARVE_RUNG_ENCODING] = "header encoding",
};

static void add(char text[VERDICT_BYTES], const char *separator, const char *word) {
    size_t used = strlen(text);
    snprintf(text + used, VERDICT_BYTES - used, "%s%s", separator, word);
}

/* Adds what is so to a list, which is empty where *separator is. */
static void add_term(char text[VERDICT_BYTES], const char **separator, bool so, const char *term) {
    if (so) {
        add(text, *separator, term);
        *separator = ", ";
    }
}

/* Those that can be a way in, then the others. */
static const enum varve_facet facet_order[] = {
    VARVE_FACET_MODE,  VARVE_FACET_XATTRS, VARVE_FACET_CONTENT, VARVE_FACET_OWNER,
    VARVE_FACET_NAMES, VARVE_FACET_TIMES,  VARVE_FACET_OTHER};
enum { LEADING_FACETS = 2, ALL_FACETS = sizeof facet_order / sizeof facet_order[0] };

static void add_facets(char text[VERDICT_BYTES], const char **separator, uint32_t unequal, int from,
                       int end) {
    for (int i = from; i < end; i++) {
        add_term(text, separator, unequal >> facet_order[i] & 1, varve_facet_name(facet_order[i]));
    }
}

void diff_add_facets(char text[VERDICT_BYTES], uint32_t unequal) {
    const char *separator = "";
    add_facets(text, &separator, unequal, 0, ALL_FACETS);
}

/* What two that meet on `order` differ by. */
static void add_order(char text[VERDICT_BYTES], const struct varve_diff_verdict *verdict) {
    static const char *const terms[] = {"order of entries", "how hard links are given",
                                        "repeated directories", "where global headers stand"};
    const bool so[] = {verdict->moved_count > 0, verdict->linked_count > 0,
                       verdict->repeated_count > 0, verdict->globals_moved_count > 0};
    const char *separator = "";
    for (size_t i = 0; i < sizeof so / sizeof so[0]; i++) {
        add_term(text, &separator, so[i] || !verdict->entries_compared, terms[i]);
    }
}

uint32_t diff_facets_unexplained(const struct varve_diff_verdict *verdict) {
    bool explained = verdict->facets_changed || verdict->removed_count || verdict->added_count ||
                     verdict->facets_moved;
    return explained ? 0 : verdict->facets_unequal;
}

/* What makes facets unequal: values of entries that both have, entries of one side alone, and the
 * order where it means something; and facets of which that is not known; then `more`, where that is
 * no empty word. */
static void add_reasons(char text[VERDICT_BYTES], const struct varve_diff_verdict *verdict,
                        uint32_t unexplained, const char *more) {
    uint32_t facets = verdict->facets_changed | unexplained;
    const char *separator = "";
    add_facets(text, &separator, facets, 0, LEADING_FACETS);
    add_term(text, &separator, verdict->removed_count > 0, "entries removed");
    add_term(text, &separator, verdict->added_count > 0, "entries added");
    add_facets(text, &separator, facets, LEADING_FACETS, ALL_FACETS);
    add_term(text, &separator, verdict->facets_moved != 0, "order of entries");
    add_term(text, &separator, *more, more);
    if (verdict->order_significant[0] != verdict->order_significant[1]) {
        add(text, "; order means something on the ",
            verdict->order_significant[0] ? "left alone" : "right alone");
    }
}

static void add_but_toc(char text[VERDICT_BYTES], enum varve_rung but_toc, const char *what) {
    if (but_toc != VARVE_RUNG_COUNT) {
        add(text, "; but for the files that eStargz adds, ", what);
        add(text, "the same from rung ", varve_rung_name(but_toc));
        add(text, "", " on");
    }
}

void diff_verdict_text(char text[VERDICT_BYTES], const struct varve_diff_verdict *verdict) {
    text[0] = 0;
    if (verdict->security_count) {
        add(text, "", DIFF_SECURITY_FIRST);
    }
    if (verdict->meet == VARVE_RUNG_BLOB) {
        add(text, "", "identical");
    } else if (verdict->meet == VARVE_RUNG_COUNT && !verdict->complete) {
        int deepest = VARVE_RUNG_COUNT - 1;
        while (deepest >= 0 && !(verdict->rungs_unequal >> deepest & 1)) {
            deepest--;
        }
        add(text, "", deepest < 0 ? "not comparable" : "different on rung ");
        add(text, "", deepest < 0 ? "" : varve_rung_name((enum varve_rung)deepest));
        add(text, "", deepest < 0 ? "" : "; not comparable further down");
    } else if (verdict->meet == VARVE_RUNG_COUNT) {
        add(text, "", "different content; differs by: ");
        add_reasons(text, verdict, diff_facets_unexplained(verdict), "");
    } else {
        add(text, "", verdict->meet == VARVE_RUNG_DIFFID ? "same archive" : "same content");
        add(text, "", "; differs by: ");
        if (verdict->meet == VARVE_RUNG_ORDER) {
            add_order(text, verdict);
        } else if (ignored[verdict->meet]) {
            add(text, "", ignored[verdict->meet]);
        } else {
            add_reasons(text, verdict, diff_facets_unexplained(verdict), "");
        }
    }
    add_but_toc(text, verdict->but_toc, "");
}

/* --- images --- */

static void add_count(char text[VERDICT_BYTES], const char **separator, size_t count,
                      const char *what) {
    char term[64];
    snprintf(term, sizeof term, "%zu layer%s %s", count, count == 1 ? "" : "s", what);
    add_term(text, separator, count > 0, term);
}

/* What configs differ in. */
static const char *config_word(const struct varve_image_diff_verdict *verdict) {
    return verdict->config_meets      ? ""
           : verdict->config_timeless ? "config (times of creation)"
                                      : "config";
}

/* Where the layers of one are not known, the manifest is all that can be named. */
static bool has_layers(const struct varve_image_diff_verdict *verdict) {
    return verdict->pairs_equal || verdict->pairs_unequal || verdict->pairs_unknown ||
           verdict->alone[0] || verdict->alone[1];
}

/* Two that meet on no rung, or on none that is known. */
static void add_changes(char text[VERDICT_BYTES], const struct varve_image_diff_verdict *verdict,
                        const struct diff_survey *survey) {
    char reasons[VERDICT_BYTES] = "";
    const char *config = config_word(verdict);
    const char *separator = "";
    add(text, "", verdict->complete ? "different: " : "not known to be the same: ");
    add_count(text, &separator, verdict->pairs_unequal, "changed");
    if (verdict->complete) {
        add_reasons(reasons, &survey->all, survey->unexplained, "");
    }
    if (*reasons) {
        add(text, " (", reasons);
        add(text, "", ")");
    }
    add_count(text, &separator, verdict->pairs_unknown, "not read");
    add_count(text, &separator, verdict->alone[0], "removed");
    add_count(text, &separator, verdict->alone[1], "added");
    add_term(text, &separator, *config, config);
    bool manifest = !*separator || (!verdict->complete && !has_layers(verdict));
    add_term(text, &separator, manifest, "manifest");
    add_but_toc(text, survey->all.but_toc, "all layers are ");
}

void diff_image_verdict_text(char text[VERDICT_BYTES],
                             const struct varve_image_diff_verdict *verdict,
                             const struct diff_survey *survey) {
    text[0] = 0;
    if (survey->all.security_count) {
        add(text, "", DIFF_SECURITY_FIRST);
    }
    if (verdict->meet == VARVE_RUNG_BLOB) {
        add(text, "", "identical");
    } else if (verdict->meet == VARVE_RUNG_DIFFID) {
        add(text, "", "same config and archives; differs by: ");
        add(text, "", verdict->pairs_unequal ? ignored[verdict->meet] : "manifest");
    } else if (verdict->meet < VARVE_RUNG_COUNT) {
        add(text, "", "same content; differs by: ");
        if (verdict->meet == VARVE_RUNG_ORDER) {
            add_order(text, &survey->all);
        } else if (ignored[verdict->meet]) {
            add(text, "", ignored[verdict->meet]);
        } else {
            add_reasons(text, &survey->all, survey->unexplained, config_word(verdict));
        }
    } else {
        add_changes(text, verdict, survey);
    }
}
