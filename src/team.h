/* SPDX-License-Identifier: Apache-2.0 */
/* src/team.h - what the limits on this process leave for a team of threads. */
#ifndef VARVE_TEAM_H
#define VARVE_TEAM_H

#include <stddef.h>

/* Descriptors that can be opened still (RLIMIT_NOFILE), some left for all else; `enough` at most.
 */
size_t varve_free_descriptors(size_t enough);

#endif
