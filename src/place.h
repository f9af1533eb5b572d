/* SPDX-License-Identifier: Apache-2.0 */
/* src/place.h - a store as sources read it: a folder whose files lie by a pattern, or an archive of
 * such a folder. Whatever is read is read beneath it, no link followed out of it. */
#ifndef VARVE_PLACE_H
#define VARVE_PLACE_H

#include "archive.h"
#include "catalog.h"
#include "name_map.h"
#include "pattern.h"

struct varve_place {
    struct varve_catalog *catalog;
    char *name;                          /* of the source; varve_place_end frees it */
    int fd;                              /* the folder, or the archive */
    const struct varve_archive *archive; /* NULL: a folder */
    const char *prefix;                  /* folder that patterns and paths count from: "name/" */
    const char *pattern;                 /* where blobs lie */
    const char *document_pattern;        /* where documents lie that are not there; may be NULL */
    bool no_memory; /* something was left out for want of memory; the source failed */
};

/* Whether to go no further: memory was refused, or the catalog was cancelled. */
bool varve_place_is_over(struct varve_place *place);

/* Begins the place's source in its catalog. `root` is the descriptor's number there. */
bool varve_place_begin(struct varve_place *place, uint32_t root);

/* A small file by its path, as malloc'ed bytes with a NUL behind them. False with *fault. */
bool varve_place_read(const struct varve_place *place, uint8_t **data, size_t *data_bytes,
                      struct varve_fault *fault, const char *path);

/* The document that a digest names, held against it: *fault has the code claim.name, and the bytes
 * are given, where they are another's. False where they could not be read. */
bool varve_place_read_digest(const struct varve_place *place, uint8_t **data, size_t *data_bytes,
                             struct varve_fault *fault, const struct varve_digest_name *digest);

/* The first byte that is not white space of the blob that a digest names, where the blob may be a
 * document by its size; else 0. fault->code is NULL, or says why a blob that may be there could not
 * be looked at. */
int varve_place_peek(const struct varve_place *place, struct varve_fault *fault, const char *name);

/* A blob of the source. VARVE_NAME_NONE: no memory. */
uint32_t varve_place_add_blob(struct varve_place *place, const char *name, bool unreferenced);

/* A copy of a config's digests that lives as long as the catalog. NULL: no memory. */
const struct varve_config_digests *
varve_place_keep_config(struct varve_place *place, const struct varve_config_digests *digests);

/* A copy of a document, where the catalog keeps them; else nothing. */
struct varve_bytes varve_place_keep_document(struct varve_place *place, const uint8_t *data,
                                             size_t bytes);

/* All digests that the place holds. */
void varve_place_each(struct varve_place *place, const struct varve_pattern_visitor *visitor,
                      void *cookie);

/* Reports a fault or a note; `detail` as in varve_catalog_add_error. */
void varve_place_complain(struct varve_place *place, const char *detail, struct varve_fault fault);
void varve_place_note(struct varve_place *place, const char *detail, enum varve_code code);

/* What every kind of source ends with: says where memory ran out, frees the name. */
enum varve_status varve_place_end(struct varve_place *place, enum varve_status status);

#endif
