/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/normalize.h - what `varve normalize` of a layer and of a layout share. */
#ifndef VARVE_CLI_NORMALIZE_H
#define VARVE_CLI_NORMALIZE_H

#include "cli.h"
#include "encode.h"
#include "output.h"
#include "varve/normalize.h"

/* A blob that was written, or why it was not (fault.code NULL then: for a signal). */
struct rewritten {
    enum varve_status status;
    struct varve_fault fault;
    struct varve_normalized tar;
    uint64_t bytes; /* of the blob */
    uint8_t digest[VARVE_SHA256_BYTES];
};

/* The options of the command line in the library's form; the environment's SOURCE_DATE_EPOCH where
 * no --mtime is given. False, after a message. */
bool normalize_options(struct varve_normalize_options *options, const struct settings *settings);

/* Writes the layer behind `fd` anew into `output`, which is left open. Says nothing; any thread. */
enum varve_status normalize_blob(struct rewritten *rewritten, struct output *output, int fd,
                                 uint64_t offset, uint64_t bytes,
                                 const struct varve_normalize_options *options,
                                 const struct encoding *encoding);

/* `varve normalize oci:FROM -o oci:TO`. The exit code. */
int normalize_layout(const struct settings *settings, const struct varve_normalize_options *options,
                     const char *from, const char *to);

/* Says, where it is so, that hard links lost attributes of their own. */
void normalize_warn(const char *name, const struct varve_normalized *tar);

/* The fault of what could not be written. */
struct varve_fault normalize_write_fault(int os_errno);

/* "sha256:<hex>". */
void normalize_digest(char text[72], const uint8_t digest[VARVE_SHA256_BYTES]);

#endif
