/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/normalize.h - what `varve normalize` of a layer and of a layout share. */
#ifndef VARVE_CLI_NORMALIZE_H
#define VARVE_CLI_NORMALIZE_H

#include "cli.h"
#include "encode.h"
#include "output.h"
#include "varve/normalize.h"

/* A blob that was written. */
struct rewritten {
    struct varve_normalized tar;
    uint64_t bytes; /* of the blob */
    uint8_t digest[VARVE_SHA256_BYTES];
};

/* The options of the command line in the library's form; the environment's SOURCE_DATE_EPOCH where
 * no --mtime is given. False, after a message. */
bool normalize_options(struct varve_normalize_options *options, const struct settings *settings);

/* Writes the layer behind `fd` anew into `output`, which is left open. VARVE_OK, or the status of
 * what went wrong, after a message about `name`. */
enum varve_status normalize_blob(struct rewritten *rewritten, struct output *output, int fd,
                                 uint64_t offset, uint64_t bytes, const char *name,
                                 const struct varve_normalize_options *options,
                                 const struct encoding *encoding);

/* The exit code of a status. */
int normalize_exit(enum varve_status status);

#endif
