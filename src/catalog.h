/* SPDX-License-Identifier: Apache-2.0 */
/* src/catalog.h - how sources fill a catalog. */
#ifndef VARVE_CATALOG_PRIVATE_H
#define VARVE_CATALOG_PRIVATE_H

#include "digest_name.h"
#include "varve/catalog.h"

/* All of these return VARVE_NAME_NONE or false where memory was refused. */

/* Begins a source of that name; blobs added from now on are its own. Takes over `root`, a directory
 * descriptor beneath which its blobs lie, or AT_FDCWD for loose files. */
uint32_t varve_catalog_begin_source(struct varve_catalog *catalog, const char *name, int root);

/* A layer blob of the source begun last. */
uint32_t varve_catalog_add_blob(struct varve_catalog *catalog, const char *name);

/* What is claimed of a blob; the same claim again is the same number. `diffid` may be NULL. */
uint32_t varve_catalog_add_claim(struct varve_catalog *catalog, uint32_t blob, uint64_t size,
                                 const char *media_type, const uint8_t *diffid);

/* An image of the source begun last. Strings are copied; `claims` is taken over by keep_claims. */
bool varve_catalog_add_image(struct varve_catalog *catalog, const struct varve_image *image);

/* Makes a malloc'ed array of claims the catalog's, so that many images can share it. On false it is
 * freed. */
bool varve_catalog_keep_claims(struct varve_catalog *catalog, uint32_t *claims);

/* An error; `detail` (may be NULL) is put behind the source's name. */
bool varve_catalog_add_error(struct varve_catalog *catalog, const char *source, const char *detail,
                             struct varve_fault fault);

/* Fills the catalog from an OCI image layout at `directory`; `tag` NULL: all of it. */
enum varve_status varve_source_oci_add(struct varve_catalog *catalog, const char *directory,
                                       const char *tag);

/* Whether a directory looks like an OCI image layout. */
bool varve_source_oci_looks_like(const char *directory);

#endif
