/* SPDX-License-Identifier: Apache-2.0 */
/* varve/findings.h - codes, and what was found in one layer.
 *
 * A finding says where a layer is not canonical or not portable; a fault says why it was not read
 * to its end. Both carry a code, dotted and stable ("mode.ifmt", "gzip.crc"). src/findings.def is
 * the only list of codes; this header gives it to programs as a table.
 */
#ifndef VARVE_FINDINGS_H
#define VARVE_FINDINGS_H

#include "varve/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One code. `finding`: counted beside a result; a fault ends a result with `status`.
 * A finding with status VARVE_MISMATCH makes an otherwise good layer a mismatch.
 * `stored`: the offset reported with it counts bytes of the stored blob, else of the decoded
 * stream. */
struct varve_code_info {
    const char *code;
    const char *text; /* one sentence: what it is, and why one cares */
    enum varve_status status;
    bool finding;
    bool stored;
};

/* All codes, in the order in which findings are reported. Static storage, any thread. */
VARVE_API size_t varve_code_count(void);
VARVE_API const struct varve_code_info *varve_code_at(size_t index);

/* The findings of one layer: a counter per code, with the first entry and first byte offset. */
struct varve_findings;

struct varve_finding {
    const struct varve_code_info *info;
    uint64_t count;     /* >= 1 */
    uint64_t offset;    /* first byte offset, or VARVE_NO_OFFSET */
    const char *entry;  /* path of the first entry as the archive has it, or NULL; raw bytes, not */
    size_t entry_bytes; /* NUL-terminated; owned by the findings, valid until reset or close */
};

/* VARVE_OK, or VARVE_ERROR (no memory; *findings = NULL). */
VARVE_API enum varve_status varve_findings_open(struct varve_findings **findings);
VARVE_API void varve_findings_close(struct varve_findings *findings);

/* Forgets everything; keeps the memory for the next layer. */
VARVE_API void varve_findings_reset(struct varve_findings *findings);

/* How many codes were found, and the one at `index` (< count), in the order of varve_code_at. */
VARVE_API size_t varve_findings_count(const struct varve_findings *findings);
VARVE_API struct varve_finding varve_findings_at(const struct varve_findings *findings,
                                                 size_t index);

#ifdef __cplusplus
}
#endif
#endif
