/* SPDX-License-Identifier: Apache-2.0 */
/* src/diff_begin.c - what comparisons of layers and of images begin with. */
#include "diff_begin.h"

/* Records of two layers with a million entries, their headers and the lists that match them take
 * about a gigabyte. */
#define DEFAULT_MEMORY_BYTES (UINT64_C(2) << 30)

enum varve_status varve_diff_begin(struct varve_sha256 **sha256, struct varve_budget **budgets,
                                   struct varve_job_options *jobs, size_t count,
                                   const struct varve_diff_options *options) {
    const struct varve_diff_options all =
        options ? *options : (struct varve_diff_options){.tier = VARVE_TIER_AUTO};
    const struct varve_sha256_options hashing = {.tier = all.tier, .engine = all.engine};
    uint64_t memory = (all.memory_bytes ? all.memory_bytes : DEFAULT_MEMORY_BYTES) / count;
    *sha256 = NULL;
    for (size_t i = 0; i < count; i++) {
        budgets[i] = NULL;
    }
    enum varve_status status = varve_sha256_open(sha256, &hashing);
    for (size_t i = 0; i < count && status == VARVE_OK; i++) {
        status = varve_budget_open(&budgets[i], memory ? memory : 1);
        jobs[i] = (struct varve_job_options){.budget = budgets[i],
                                             .tier = all.tier,
                                             .deepest_rung = VARVE_RUNG_CONTENT,
                                             .max_decoded_bytes = all.max_decoded_bytes,
                                             .chunk_bytes = all.chunk_bytes};
    }
    return status;
}
