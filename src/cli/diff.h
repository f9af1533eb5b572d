/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/diff.h - the parts of `varve diff`. */
#ifndef VARVE_CLI_DIFF_H
#define VARVE_CLI_DIFF_H

#include "cli.h"
#include "varve/diff.h"
#include "varve/image_diff.h"

/* Differences of each kind that are shown to people where no limit is given. */
#define DIFF_SHOWN 20

/* How differences are shown: as text or as JSON. */
struct diff_view {
    const struct settings *settings;
    struct varve_diff *diff;
    enum varve_diff_relation relation; /* on the rung asked for */
    const char *indent;                /* of text: where a layer of an image is told */
    bool color;
    uint64_t limit;       /* of differences of a kind */
    uint64_t field_limit; /* of one difference's fields: an entry can have thousands of records */
    int pair;             /* of JSON: which pair of layers of two images, or -1 */
};

/* What a verdict begins with where there are such entries. */
#define DIFF_SECURITY_FIRST "setuid bits or capabilities differ; "

/* "same content; differs by: header encoding", for the rungs and facets of two layers. */
#define VERDICT_BYTES 512
void diff_verdict_text(char text[VERDICT_BYTES], const struct varve_diff_verdict *verdict);

/* The unequal facets where nothing is known of why they are: entries could not be compared. */
uint32_t diff_facets_unexplained(const struct varve_diff_verdict *verdict);

/* What the verdict on two images rests on beside their digests. */
struct diff_survey {
    struct varve_diff_verdict all; /* of the pairs of layers together: what makes facets unequal,
                                      and what rung `order` ignores where the images meet on it; but
                                      security_count is of layers of one side alone, too,
                                      order_significant of pairs where one side's order means
                                      something and the other's does not, and but_toc of the
                                      pairs' meeting, where that is known of all */
    uint32_t unexplained;          /* facets that are so in any pair */
    struct diff_survey_pair *pairs;
    uint64_t unknown_count; /* of pairs, and layers of one side alone: see below */
};
struct diff_survey_pair {
    uint64_t security_count;
    bool unknown; /* not all entries could be looked at for what matters to security */
};

/* Whether entries of one side of a comparison are not known: those of a layer that was not read to
 * its end, or of an archive when the two could not be `compared`. */
bool diff_entries_unknown(uint32_t rungs_present, enum varve_status status, bool compared);

/* "different: 2 layers changed (mode, entries added), config". */
void diff_image_verdict_text(char text[VERDICT_BYTES],
                             const struct varve_image_diff_verdict *verdict,
                             const struct diff_survey *survey);

/* Tells all of it. False: memory ran out. */
bool diff_show_text(struct diff_view *view);
bool diff_show_json(struct diff_view *view);

/* Tells of the differences of one kind alone. */
bool diff_show_kind_text(struct diff_view *view, enum varve_diff_kind kind);
bool diff_show_kind_json(struct diff_view *view, enum varve_diff_kind kind);

/* One of the two things compared: a blob or an image of a catalog. */
struct diff_operand {
    const char *text;
    struct varve_catalog *catalog;
    bool image;
    size_t number; /* of the blob or the image */
    int fd;        /* of the blob, or -1 */
};

/* Opens blob `number` of the operand's catalog as one side. False: said why. */
bool diff_open_side(struct varve_diff_side *side, struct diff_operand *operand, size_t number);

/* Compares two layers and tells all of it. False: memory ran out, and that was said. */
bool diff_show_layers(struct diff_view *view, const struct varve_diff_side *left,
                      const struct varve_diff_side *right);

/* The same, and tells of entries with setuid bits or capabilities alone. */
bool diff_show_security(struct diff_view *view, const struct varve_diff_side *left,
                        const struct varve_diff_side *right);

/* Compares two images and tells all of it. Returns the exit code. */
int diff_show_images(struct diff_view *view, struct diff_operand operands[2]);
int diff_exit_code(enum varve_diff_relation relation);

/* The options of a comparison. */
struct varve_diff_options diff_options(const struct settings *settings);

/* A pair of layers of two images; one of one side alone is held against nothing. False: said why.
 * Both are to be closed in any case. */
bool diff_open_pair(struct varve_diff_side sides[2], struct diff_operand operands[2],
                    const struct varve_image_diff_pair *pair);
/* Whether the images' layers were read when they were held against each other: then not to be able
 * to read them again is a failure of this run. */
bool diff_pair_was_read(const struct varve_image_diff_pair *pair);
void diff_close_pair(struct diff_operand operands[2]);

/* Looks through the layers of which digests do not tell why they differ, before anything is told.
 * What cannot be read again is complained of. The pairs are the caller's to free in any case.
 * False, after a message: no memory. */
bool diff_survey_pairs(struct diff_survey *survey, const struct diff_view *view,
                       const struct varve_image_diff *diff, struct diff_operand operands[2]);

/* "unknown", "equal", "unequal". */
const char *diff_relation_word(enum varve_diff_relation relation);

/* Names of facets as a JSON array. */
struct json;
void diff_json_facets(struct json *json, const char *key, uint32_t facets);

/* The unequal facets, those that can be a way in before all others: "mode, times". */
void diff_add_facets(char text[VERDICT_BYTES], uint32_t unequal);

/* Bytes of strangers, escaped and cut, to stdout; and text in a colour, where there is any. */
void diff_put_bytes(const void *bytes, size_t count);
enum { PLAIN, BOLD, RED, GREEN, YELLOW };
void diff_paint(const struct diff_view *view, int color);

/* security.capability as text (capabilities(7)): "cap_net_raw+ep". False: not of a known form. */
bool capability_text(char *text, size_t text_bytes, const void *value, size_t bytes);

#endif
