/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/fault.h - what commands that write files say of a fault, and how they end with it. */
#ifndef VARVE_CLI_FAULT_H
#define VARVE_CLI_FAULT_H

#include "cli.h"

/* A message about a fault of `name`; `entry`, the file at fault, may be NULL. */
void fault_say(const char *name, const struct varve_fault *fault, const char *entry);

/* The exit code of a status, which is the fault's or OK; of the signal where one asked for an end
 * before it was reached. */
int fault_exit(const struct varve_fault *fault, enum varve_status status);

#endif
