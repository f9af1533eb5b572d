/* SPDX-License-Identifier: Apache-2.0 */
/* src/layer.h - holding claims against a layer's result. */
#ifndef VARVE_LAYER_H
#define VARVE_LAYER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "varve/job.h"

struct varve_pipe;

/* varve_job_begin, with what fstat said of a regular file that was just opened (NULL: to be asked).
 */
void varve_job_begin_seen(struct varve_job *job, int fd, uint64_t offset, uint64_t bytes,
                          const struct stat *seen, const char *name, const char *source);

/* What varve_job_check does, on a result that stands by itself: merges the claim's checks into the
 * layer's and turns its status where a claim does not hold. Only `complete`, `bytes_stored`,
 * `bytes_decoded`, `format`, `compression`, rung diffid and the status are looked at. */
void varve_layer_hold(struct varve_layer *layer, uint64_t size, const char *media_type,
                      const uint8_t *diffid);

/* Makes `job` a finished one whose blob could not be opened. */
void varve_job_refuse(struct varve_job *job, const struct varve_fault *fault, const char *name,
                      const char *source);

/* Says of a job that was just refused that its blob is `gone` (varve/job.h). */
void varve_job_vanish(struct varve_job *job);

/* Makes `job` a finished one whose result was known: `known` without its name, source and status.
 * Findings were added to varve_job_findings. */
void varve_job_recall(struct varve_job *job, const struct varve_layer *known, const char *name,
                      const char *source);

/* Those of a job that is done, to be filled before varve_job_recall. They are empty. */
struct varve_findings *varve_job_findings(struct varve_job *job);

/* A job that cannot have the memory it wants beside its neighbours steps back: it is starved, holds
 * nothing, and must be begun anew when no other job holds any of the budget. What it comes to then
 * depends on the budget alone. */
bool varve_job_starved(const struct varve_job *job);
void varve_job_starve(struct varve_job *job);
void varve_job_restart_alone(struct varve_job *job);

/* A flag that ends long work on a layer in its middle (NULL: none, as at first): once it is set the
 * job is of no use, never done, and to be closed. */
void varve_job_heed(struct varve_job *job, const _Atomic bool *cancelled);

/* Gives back what a finished job holds of the budget; its entries are gone with it. */
void varve_job_release(struct varve_job *job);

/* What the decoder's window takes, or took for an earlier layer and was kept for later ones. trim
 * gives that back between layers. */
uint64_t varve_job_window_bytes(const struct varve_job *job);
void varve_job_trim(struct varve_job *job);

/* Hands the reading and decoding of a running job to another thread, which must then call
 * varve_pipe_fill. NULL: not now. The job's own thread goes on advancing it. */
struct varve_pipe *varve_job_lend_intake(struct varve_job *job);

/* Stored bytes that a running job, not lent yet, still has to read; 0 where that is not known. */
uint64_t varve_job_bytes_left(const struct varve_job *job);

/* Moves a finished job's result out, its findings with it, so that the job can begin another layer.
 * False, nothing moved, where memory was refused. */
bool varve_job_take_layer(struct varve_job *job, struct varve_layer *layer,
                          struct varve_findings **findings);

/* The same of a ladder: what it finishes then is left in its middle. */
void varve_ladder_heed(struct varve_ladder *ladder, const _Atomic bool *cancelled);

/* The stations of a job, what they hold of a finished layer included; NULL where its options need
 * none. */
struct varve_ladder *varve_job_ladder(const struct varve_job *job);
const struct varve_tar *varve_job_tar(const struct varve_job *job);
const struct varve_decoder *varve_job_decoder(const struct varve_job *job);

/* Which of two statuses is shown where both hold: the greater weight. */
int varve_status_weight(enum varve_status status);

#endif
