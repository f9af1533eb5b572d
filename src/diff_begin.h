/* SPDX-License-Identifier: Apache-2.0 */
/* src/diff_begin.h - what comparisons of layers and of images begin with. */
#ifndef VARVE_DIFF_BEGIN_H
#define VARVE_DIFF_BEGIN_H

#include "varve/diff.h"

/* Opens the digests, and `count` budgets that share the memory asked for, and says how to open the
 * jobs that have these, one each. `options` NULL: defaults. VARVE_OK; else the status, and what was
 * opened is the caller's to close all the same (NULL where it was not). */
enum varve_status varve_diff_begin(struct varve_sha256 **sha256, struct varve_budget **budgets,
                                   struct varve_job_options *jobs, size_t count,
                                   const struct varve_diff_options *options);

#endif
