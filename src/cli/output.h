/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/output.h - files and folders that appear whole or not at all.
 *
 * A file is written without a name (open(2), O_TMPFILE), synced, and given its name at the end: a
 * program that is killed leaves nothing behind. Where the file system has no nameless files, or
 * there is no /proc to name one by, a temporary name is used, which goes with the first failure or
 * signal; one that is killed leaves ".<name>.<number>.tmp". So it is with folders, always; what was
 * left of one, the next one who writes to the same place takes away. */
#ifndef VARVE_CLI_OUTPUT_H
#define VARVE_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct output {
    int fd;
    int folder;      /* the directory it will stand in */
    char *name;      /* in that directory; NULL: not known yet */
    char *temporary; /* name in the meantime, or NULL */
    bool standard;   /* "-": standard output */
    bool direct;     /* a device or pipe: written as it is */
};

/* Begins a file. What is a device or a pipe is written to; where a symbolic link leads to is
 * replaced, not the link. False, after a message. */
bool output_open(struct output *output, const char *path);

/* A nameless file for what passes through, in the same directory; in that for temporary files
 * where the output is no file. -1 with errno. */
int output_spool(const struct output *output);

/* All bytes, or false with errno: EINTR where a signal asked for an end (interrupt.h). */
bool write_whole(int fd, const void *data, size_t bytes);
bool output_write(struct output *output, const void *data, size_t bytes);

/* Whether it leaves the file behind a descriptor alone, which is `what` ("the layer itself").
 * False, after a message: it would take its place, or that cannot be told. */
bool output_spares(const struct output *output, int fd, const char *what);

/* All of output_commit that can fail for want of room. False, after a message. */
bool output_prepare(struct output *output);

/* Syncs it and gives it its name, over a file that bears it already. False, after a message; then
 * nothing is left of it. */
bool output_commit(struct output *output);

/* Lets go of a file that was not committed. Harmless afterwards. */
void output_drop(struct output *output);

/* A folder of files. */
struct tree {
    int parent;  /* of the folder that is written; the folder itself, where it was there before */
    int folder;  /* while it bears its temporary name */
    bool inside; /* it was there before: it stays, and what is in it appears */
    char *name, *temporary;
    const char *const *parts; /* what it will hold, in the order in which it appears */
    size_t part_count;
};

/* Begins a folder; there must be none of that name, or an empty one, or one that holds nothing but
 * what a killed program left that was to write these parts into it. That is taken away, and so is
 * what was left beside a name that is free, which is said. A folder that is there is locked
 * (flock(2)) until the tree is dropped, and so is one with a temporary name, where their file
 * system can: two do not write to one, and none is taken for a dead one's. `parts` is kept. False,
 * after a message. */
bool tree_open(struct tree *tree, const char *path, const char *const *parts, size_t part_count);

/* Begins a file beneath it, whose path output_commit_in tells. False with errno. Any thread. */
bool output_open_in(struct output *output, const struct tree *tree);

/* Syncs it and gives it a path beneath the tree, where one of the same path may stand. False with
 * errno; then nothing is left of it. Any thread. */
bool output_commit_in(struct output *output, const struct tree *tree, const char *path);

/* A whole file. False with errno. */
bool tree_put(const struct tree *tree, const char *path, const void *data, size_t bytes);

/* Syncs the folders and gives the whole its name. Into a folder that was there before its parts are
 * moved instead, in their order, the last one once the others are there for good: it is what makes
 * the folder a whole. False, after a message; then nothing is left, unless what was moved cannot be
 * moved back: that stays for the next one, as after a kill. */
bool tree_commit(struct tree *tree);

/* Takes away what was not committed. Harmless afterwards. */
void tree_drop(struct tree *tree);

#endif
