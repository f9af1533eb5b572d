/* SPDX-License-Identifier: Apache-2.0 */
/* src/documents.h - the OCI documents of a place: from its tags to images, layers and claims.
 *
 * What all kinds of sources that hold such documents share; a kind only says where digests lie (its
 * place) and where the tags are.
 *
 * Documents are read once each, however often they are referred to, into nodes; then every tag's
 * tree is walked. Both loops use explicit lists, so that nesting of any depth costs no stack, and a
 * walk visits a node once, so that documents which do not bear their own digest cannot lead in
 * circles. */
#ifndef VARVE_DOCUMENTS_H
#define VARVE_DOCUMENTS_H

#include "place.h"

struct varve_documents;

/* `place` has begun its source and outlives the documents. `repository` (may be NULL) is put before
 * every reference: "app" and the tag "1.0" make "app:1.0". NULL: no memory, and the place knows. */
struct varve_documents *varve_documents_open(struct varve_place *place, const char *repository);
void varve_documents_close(struct varve_documents *documents);

/* Reads a document that is known by its file ("index.json"), not by a digest. Its number, or
 * VARVE_NAME_NONE where it cannot be read or is none; then the place's errors say why. */
uint32_t varve_documents_file(struct varve_documents *documents, const char *path);

/* Whether a document is an index. */
bool varve_documents_is_index(const struct varve_documents *documents, uint32_t number);

/* Images beneath the entries of an index, each entry with its own ref.name. `tag` NULL: all; else
 * one, and an error where the index has no such. */
void varve_documents_walk_entries(struct varve_documents *documents, uint32_t number,
                                  const char *tag);

/* Images beneath a document, known by its file or by its digest. `ref` is taken as it is (NULL: the
 * repository alone). */
void varve_documents_walk(struct varve_documents *documents, uint32_t number, const char *ref);
void varve_documents_walk_digest(struct varve_documents *documents,
                                 const struct varve_digest_name *digest, const char *ref);

/* Says that a document will be read: many that are expected are read side by side, in about the
 * order in which they were named, when the first of them is asked for. Changes nothing else. */
void varve_documents_expect(struct varve_documents *documents,
                            const struct varve_digest_name *digest);

/* How many walks there were; and whether one behind the first `since` came by a digest. */
uint32_t varve_documents_walk_count(const struct varve_documents *documents);
bool varve_documents_reached(const struct varve_documents *documents, const char *digest,
                             uint32_t since);

/* Reads a document; whether it is an index. */
bool varve_documents_leads_on(struct varve_documents *documents,
                              const struct varve_digest_name *digest);

/* For stores without tags: finds indexes and manifests among all blobs by looking, and walks those
 * that no other refers to. */
void varve_documents_sniff(struct varve_documents *documents);

/* Adds what the place holds beside what was reached, as unreferenced blobs. Where no document was
 * found at all, nothing is known of the blobs, and they are not called so. Of `visitor` (may be
 * NULL; its cookie is the place) `digest` may say no to a blob, and `misplaced` is told. */
void varve_documents_add_rest(struct varve_documents *documents,
                              const struct varve_pattern_visitor *visitor);

#endif
