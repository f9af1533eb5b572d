/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/file_tree.h - a folder of files that appears whole or not at all.
 *
 * It is filled under a temporary name beside its own, synced, and renamed at the end. Nothing in it
 * is a link, and no path leads out of it. */
#ifndef VARVE_CLI_FILE_TREE_H
#define VARVE_CLI_FILE_TREE_H

#include <stdbool.h>
#include <stddef.h>

struct file_tree {
    int parent;      /* the folder it will stand in */
    char *path;      /* as it was asked for */
    char *name;      /* in the parent */
    char *temporary; /* name in the meantime, or NULL */
    int fd;
    int last;        /* the folder that a file was last made in, or -1 */
    char *last_path; /* its path */
    int file;        /* that is being written, or -1 */
};

/* Begins a folder; one that is there already must be empty. False, after a message. */
bool file_tree_open(struct file_tree *tree, const char *path);

/* Whether a file of that name in that directory would be in the folder's way: it bears its name, or
 * is in a folder that it will replace. */
bool file_tree_has_place(const struct file_tree *tree, int folder, const char *name);

/* Begins a file with a cleaned path, and makes the folders it lies in. False with errno:
 * file_tree_has_no_room() tells whether it is only that the path is another's. */
bool file_tree_file(struct file_tree *tree, const char *path);
bool file_tree_has_no_room(int error);

/* Its next bytes, and its end. False with errno. */
bool file_tree_write(struct file_tree *tree, const void *data, size_t bytes);
bool file_tree_file_end(struct file_tree *tree);

/* Syncs all and gives the folder its name. False, after a message; then nothing is left of it. */
bool file_tree_commit(struct file_tree *tree);

/* Takes away one that was not committed. Harmless afterwards. */
void file_tree_drop(struct file_tree *tree);

#endif
