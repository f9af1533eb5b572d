/* SPDX-License-Identifier: Apache-2.0 */
/* src/pipe.h - portions of one layer from the thread that decodes to the one that digests.
 *
 * A ring of portions with rooms of their own. One thread fills it, one empties it; the one that
 * empties opens and closes it. Decoding takes longer than digesting as a rule, so that the emptying
 * thread, where it would have to wait, reads ahead for the other one. */
#ifndef VARVE_PIPE_H
#define VARVE_PIPE_H

#include "intake.h"
#include "varve/job.h"

struct varve_pipe;

/* For `intake`, which from now on is the filling thread's until close. NULL: no memory. */
struct varve_pipe *varve_pipe_open(struct varve_intake *intake);

/* The filling thread: brings portions until the final one, or until the pipe is closed. */
void varve_pipe_fill(struct varve_pipe *pipe);

/* The emptying thread: the next portion, or NULL where there is none yet. With `wait` it waits for
 * one, and reads meanwhile. It stays valid until the release. */
struct varve_portion *varve_pipe_next(struct varve_pipe *pipe, bool wait);
void varve_pipe_release(struct varve_pipe *pipe);

/* Waits until the filling thread has left, then frees. The intake is the caller's again; what the
 * filling thread spent is added to `timings` (may be NULL). */
void varve_pipe_close(struct varve_pipe *pipe, struct varve_timings *timings);

#endif
