/* SPDX-License-Identifier: Apache-2.0 */
/* src/writer.c - who wrote an archive, from the marks that each writer leaves. */
#include "varve/tar.h"

const char *varve_tar_writer(const struct varve_tar *tar, const char **evidence) {
    (void)tar;
    *evidence = "";
    return "unknown";
}
