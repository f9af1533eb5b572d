/* SPDX-License-Identifier: Apache-2.0 */
/* src/budget.c - a lock-free counter with a limit and a high-water mark. */
#include "varve/budget.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

struct varve_budget {
    uint64_t limit;
    _Atomic uint64_t taken;
    _Atomic uint64_t peak;
};

enum varve_status varve_budget_open(struct varve_budget **budget, uint64_t limit_bytes) {
    assert(limit_bytes > 0);
    *budget = calloc(1, sizeof **budget);
    if (!*budget) {
        return VARVE_ERROR;
    }
    (*budget)->limit = limit_bytes;
    return VARVE_OK;
}

void varve_budget_close(struct varve_budget *budget) {
    free(budget);
}

bool varve_budget_take(struct varve_budget *budget, uint64_t bytes) {
    if (!budget) {
        return true;
    }
    uint64_t taken = atomic_load_explicit(&budget->taken, memory_order_relaxed);
    do {
        if (bytes > budget->limit - taken) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&budget->taken, &taken, taken + bytes));
    uint64_t peak = atomic_load_explicit(&budget->peak, memory_order_relaxed);
    while (peak < taken + bytes &&
           !atomic_compare_exchange_weak(&budget->peak, &peak, taken + bytes)) {
    }
    return true;
}

void varve_budget_give(struct varve_budget *budget, uint64_t bytes) {
    if (budget) {
        uint64_t before = atomic_fetch_sub(&budget->taken, bytes);
        assert(before >= bytes);
        (void)before;
    }
}

uint64_t varve_budget_limit(const struct varve_budget *budget) {
    return budget ? budget->limit : 0;
}

uint64_t varve_budget_taken(const struct varve_budget *budget) {
    return budget ? atomic_load(&budget->taken) : 0;
}

uint64_t varve_budget_peak(const struct varve_budget *budget) {
    return budget ? atomic_load(&budget->peak) : 0;
}
