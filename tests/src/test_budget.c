/* SPDX-License-Identifier: Apache-2.0 */
/* The budget: all or nothing, exact at its edge, whole after many threads have used it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "varve/budget.h"

static void takes_all_or_nothing(void **state) {
    (void)state;
    struct varve_budget *budget = NULL;
    assert_int_equal(varve_budget_open(&budget, 100), VARVE_OK);
    assert_true(varve_budget_take(budget, 60));
    assert_false(varve_budget_take(budget, 41));
    assert_false(varve_budget_take(budget, UINT64_MAX));
    assert_true(varve_budget_take(budget, 40));
    assert_false(varve_budget_take(budget, 1));
    assert_true(varve_budget_take(budget, 0));
    varve_budget_give(budget, 100);
    assert_int_equal(varve_budget_taken(budget), 0);
    assert_int_equal(varve_budget_peak(budget), 100);
    varve_budget_close(budget);
}

static void null_is_unlimited(void **state) {
    (void)state;
    assert_true(varve_budget_take(NULL, UINT64_MAX));
    varve_budget_give(NULL, UINT64_MAX);
    varve_budget_close(NULL);
}

static void threads_never_overdraw(void **state) {
    (void)state;
    struct varve_budget *budget = NULL;
    assert_int_equal(varve_budget_open(&budget, 10), VARVE_OK);
    uint64_t overdrawn = 0;
#pragma omp parallel num_threads(4) reduction(+ : overdrawn)
    for (int i = 0; i < 20000; i++) {
        if (varve_budget_take(budget, 3)) {
            overdrawn += varve_budget_taken(budget) > 10;
            varve_budget_give(budget, 3);
        }
    }
    assert_int_equal(overdrawn, 0);
    assert_int_equal(varve_budget_taken(budget), 0);
    assert_true(varve_budget_peak(budget) <= 9);
    varve_budget_close(budget);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_all_or_nothing),
        cmocka_unit_test(null_is_unlimited),
        cmocka_unit_test(threads_never_overdraw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
