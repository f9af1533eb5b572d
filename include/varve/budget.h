/* SPDX-License-Identifier: Apache-2.0 */
/* varve/budget.h - a memory budget shared by all that work on one scan.
 *
 * A counter, not an allocator: whoever is about to allocate takes bytes first and gives them back
 * after freeing. Taking never blocks; who cannot take waits for its turn elsewhere (the scan) or
 * ends as VARVE_LIMIT. This is the one object that many threads use at once; all calls but open and
 * close are lock-free and may come from any thread.
 */
#ifndef VARVE_BUDGET_H
#define VARVE_BUDGET_H

#include "varve/base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct varve_budget;

/* A budget of `limit_bytes` (> 0). VARVE_OK, or VARVE_ERROR (no memory; *budget = NULL). */
VARVE_API enum varve_status varve_budget_open(struct varve_budget **budget, uint64_t limit_bytes);
VARVE_API void varve_budget_close(struct varve_budget *budget);

/* Takes `bytes`: all or nothing. False where they do not fit now. A NULL budget is unlimited. */
VARVE_API bool varve_budget_take(struct varve_budget *budget, uint64_t bytes);

/* Gives back what was taken. */
VARVE_API void varve_budget_give(struct varve_budget *budget, uint64_t bytes);

/* The limit; what is taken now; the most that was ever taken. 0 for a NULL budget. */
VARVE_API uint64_t varve_budget_limit(const struct varve_budget *budget);
VARVE_API uint64_t varve_budget_taken(const struct varve_budget *budget);
VARVE_API uint64_t varve_budget_peak(const struct varve_budget *budget);

#ifdef __cplusplus
}
#endif
#endif
