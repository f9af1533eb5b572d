/* SPDX-License-Identifier: Apache-2.0 */
/* src/codes.h - the codes of findings.def as an enum, and how stations report them. */
#ifndef VARVE_CODES_H
#define VARVE_CODES_H

#include "varve/findings.h"

enum varve_code {
#define FINDING(id, code, where, text) VARVE_CODE_##id,
#define CONTRADICTION(id, code, where, text) VARVE_CODE_##id,
#define FAULT(id, code, status, where, text) VARVE_CODE_##id,
#include "findings.def"
#undef FINDING
#undef CONTRADICTION
#undef FAULT
    VARVE_CODE_COUNT
};

/* A fault of that code; message, status from the table; the offset goes where the code's `where`
 * says, the other one is VARVE_NO_OFFSET. */
struct varve_fault varve_fault_of(enum varve_code code, uint64_t offset);

/* Counts `count` occurrences of a finding. The first call for a code keeps the offset and the
 * entry's path (`entry` may be NULL). A NULL `findings` is ignored. If memory is refused, for the
 * path alone too, the layer cannot be judged: varve_findings_lost. */
void varve_findings_add(struct varve_findings *findings, enum varve_code code, uint64_t count,
                        uint64_t offset, const void *entry, size_t entry_bytes);

/* Adds what another part of the same layer's way found. */
void varve_findings_merge(struct varve_findings *findings, const struct varve_findings *more);

/* Where memory was refused for finding out whether there is something to be found. */
void varve_findings_lose(struct varve_findings *findings);

/* True when a finding was lost for want of memory: the layer cannot be judged then. */
bool varve_findings_lost(const struct varve_findings *findings);

/* True when a finding was counted whose status is VARVE_MISMATCH; *fault (may be NULL) becomes the
 * first such finding's. */
bool varve_findings_contradict(const struct varve_findings *findings, struct varve_fault *fault);

#endif
