/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/output_name.h - what files and folders that appear whole have in common. */
#ifndef VARVE_CLI_OUTPUT_NAME_H
#define VARVE_CLI_OUTPUT_NAME_H

#include <stdbool.h>

/* ".<name>.<random>.tmp", the caller's to free. NULL with errno. */
char *temporary_name(const char *name);

/* Makes the folders on the way to a path beneath `root`, where they are not there. False with
 * errno. */
bool make_folders(int root, const char *path);

#endif
