/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/diff.h - the parts of `varve diff`. */
#ifndef VARVE_CLI_DIFF_H
#define VARVE_CLI_DIFF_H

#include "cli.h"
#include "varve/diff.h"

/* Differences of each kind that are shown to people where no limit is given. */
#define DIFF_SHOWN 20

/* How differences are shown: as text or as JSON. */
struct diff_view {
    const struct settings *settings;
    struct varve_diff *diff;
    enum varve_diff_relation relation; /* on the rung asked for */
    const char *indent;                /* of text: where a layer of an image is told */
    bool color;
    uint64_t limit;
    int pair; /* of JSON: which pair of layers of two images, or -1 */
};

/* "same content; differs by: header encoding", for the rungs and facets of two layers. */
#define VERDICT_BYTES 512
void diff_verdict_text(char text[VERDICT_BYTES], const struct varve_diff_verdict *verdict);

/* Tells all of it. False: memory ran out. */
bool diff_show_text(struct diff_view *view);
bool diff_show_json(struct diff_view *view);

/* security.capability as text (capabilities(7)): "cap_net_raw+ep". False: not of a known form. */
bool capability_text(char *text, size_t text_bytes, const void *value, size_t bytes);

#endif
