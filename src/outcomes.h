/* SPDX-License-Identifier: Apache-2.0 */
/* src/outcomes.h - what became of layers, as far as images need it, and the images.
 *
 * A layer is reported in job order and belongs to any number of images. What these need of it (its
 * own status, its sizes, its rungs) is kept in a spill (spill.h) until all layers were reported;
 * then each image is judged by its layers, and its own ladder is computed of theirs. */
#ifndef VARVE_OUTCOMES_H
#define VARVE_OUTCOMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "varve/scan.h"

struct varve_outcomes;

/* `rung_count`: of rungs that are computed. The catalog must live as long. NULL: no memory. */
struct varve_outcomes *varve_outcomes_open(const struct varve_catalog *catalog, size_t rung_count);
void varve_outcomes_close(struct varve_outcomes *outcomes);

/* Keeps what images need of the layer of this blob, if any image claims it; once for each. One
 * thread at a time. False: no memory. */
bool varve_outcomes_keep(struct varve_outcomes *outcomes, const struct varve_layer *layer,
                         size_t blob);

/* Reports all images whose layers were all kept, and counts them in the summary. Once `cancelled`
 * is set it goes on for half a second at most; *whole turns false where images were left out for
 * that. False: no memory. */
bool varve_outcomes_report(const struct varve_outcomes *outcomes,
                           struct varve_scan_summary *summary, const struct varve_report *report,
                           void *cookie, const _Atomic bool *cancelled, bool *whole);

/* Bytes that lie in a temporary file; *error: errno of why no more do, or 0. */
uint64_t varve_outcomes_spilled(const struct varve_outcomes *outcomes, int *error);

#endif
