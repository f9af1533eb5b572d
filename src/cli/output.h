/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/output.h - files that appear whole or not at all.
 *
 * A file is written without a name (open(2), O_TMPFILE), synced, and given its name at the end: a
 * program that is killed leaves nothing behind. Where the file system has no nameless files a
 * temporary name is used, which the first failure or signal that the program handles takes away. */
#ifndef VARVE_CLI_OUTPUT_H
#define VARVE_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct output {
    int fd;
    int folder;      /* the directory it will stand in, or AT_FDCWD's place */
    char *name;      /* in that directory */
    char *temporary; /* name in the meantime, or NULL */
    bool standard;   /* "-": standard output */
};

/* Begins a file. False, after a message. */
bool output_open(struct output *output, const char *path);

/* A nameless file for what passes through, in the same directory; in the system's for temporary
 * files where the output is standard output. -1, after a message. */
int output_spool(const struct output *output);

/* All bytes, or false with errno. */
bool output_write(struct output *output, const void *data, size_t bytes);

/* Syncs it and gives it its name, over a file that bears it already. False, after a message; then
 * nothing is left of it. */
bool output_commit(struct output *output);

/* Lets go of a file that was not committed. Harmless afterwards. */
void output_drop(struct output *output);

#endif
