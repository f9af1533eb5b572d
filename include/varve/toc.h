/* SPDX-License-Identifier: Apache-2.0 */
/* varve/toc.h - tables of contents inside layers, checked against what the tar really holds.
 *
 * eStargz (a gzip layer whose last tar entry is stargz.index.json) and zstd:chunked (a zstd layer
 * with its table in a skippable frame) carry a second description of their content, by which lazy
 * readers mount them. The tar is the truth; a table that contradicts it is a finding that makes the
 * layer a mismatch, one that cannot be used is a finding only.
 *
 *     varve_toc_reset(toc, findings);
 *     varve_decoder_watch(decoder, toc);                        // after varve_decoder_reset
 *     ... varve_toc_take(toc, event, &item);                    // each event of the parser
 *     info = varve_decoder_info(decoder);                       // after the decoder's END
 *     if (varve_toc_begin_check(toc, &info)) {                  // and the parser's
 *         varve_ladder_each(ladder, varve_toc_check_entry, toc);
 *         varve_toc_end_check(toc);
 *     }
 *
 * Of the layer nothing is kept but the table, up to 150 MiB, as far as the budget allows.
 */
#ifndef VARVE_TOC_H
#define VARVE_TOC_H

#include "varve/base.h"
#include "varve/budget.h"
#include "varve/decode.h"
#include "varve/findings.h"
#include "varve/ladder.h"
#include "varve/tar.h"

#ifdef __cplusplus
extern "C" {
#endif

enum varve_toc_kind {
    VARVE_TOC_NONE,
    VARVE_TOC_ESTARGZ,
    VARVE_TOC_STARGZ,           /* CRFS's first form, footer of 47 bytes */
    VARVE_TOC_ESTARGZ_EXTERNAL, /* the table lies in another blob */
    VARVE_TOC_ZSTD_CHUNKED
};

/* "none", "estargz", "stargz", "estargz-external", "zstd:chunked". Static storage. */
VARVE_API const char *varve_toc_kind_name(enum varve_toc_kind kind);

struct varve_toc;

/* VARVE_OK, or VARVE_ERROR (no memory; *toc = NULL). `budget` NULL: unlimited. */
VARVE_API enum varve_status varve_toc_open(struct varve_toc **toc, struct varve_budget *budget);
VARVE_API void varve_toc_close(struct varve_toc *toc);

/* Begins a new layer, gives large memory back. `findings` (may be NULL) must live until the next
 * reset or close. */
VARVE_API void varve_toc_reset(struct varve_toc *toc, struct varve_findings *findings);

/* Takes one event of the parser; keeps the content of stargz.index.json, ignores all else. */
VARVE_API void varve_toc_take(struct varve_toc *toc, enum varve_tar_event event,
                              const struct varve_tar_item *item);

/* Recognises the layer by its footer, reads the table, reports what is wrong with it. True where
 * there is one that can be compared. `info` is that of a decoder that came to its END. */
VARVE_API bool varve_toc_begin_check(struct varve_toc *toc, const struct varve_decode_info *info);

/* Compares one entry of the tar; `toc` is the struct varve_toc. Each call looks for the next entry
 * of the table by that path that was not met yet. */
VARVE_API void varve_toc_check_entry(void *toc, const struct varve_ladder_entry *entry);

/* Reports the entries of the table that the tar does not have. */
VARVE_API void varve_toc_end_check(struct varve_toc *toc);

/* What the layer is, known after varve_toc_begin_check. */
VARVE_API enum varve_toc_kind varve_toc_kind(const struct varve_toc *toc);

#ifdef __cplusplus
}
#endif
#endif
