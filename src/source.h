/* SPDX-License-Identifier: Apache-2.0 */
/* src/source.h - the kinds of sources: one row each in the table of source.c. */
#ifndef VARVE_SOURCE_H
#define VARVE_SOURCE_H

#include "place.h"

/* Each fills the catalog from a place on disk ("DIR", "DIR:TAG", "FILE"); what is wrong stands in
 * the catalog's errors. VARVE_ERROR: the source could not be read at all. */
enum varve_status varve_source_oci(struct varve_catalog *catalog, const char *operand);
enum varve_status varve_source_oci_archive(struct varve_catalog *catalog, const char *operand);
enum varve_status varve_source_docker_archive(struct varve_catalog *catalog, const char *operand);
enum varve_status varve_source_dir(struct varve_catalog *catalog, const char *operand);
enum varve_status varve_source_registry(struct varve_catalog *catalog, const char *operand);
enum varve_status varve_source_tree(struct varve_catalog *catalog, const char *operand);
enum varve_status varve_source_containerd(struct varve_catalog *catalog, const char *operand);
enum varve_status varve_source_cas(struct varve_catalog *catalog, const char *operand);
enum varve_status varve_source_storage(struct varve_catalog *catalog, const char *operand);
enum varve_status varve_source_docker(struct varve_catalog *catalog, const char *operand);

/* Whether an open folder, or an open regular file, looks like a source of the kind. False with a
 * fault->code where that could not be found out; it is NULL before the call. */
bool varve_source_is_oci(struct varve_fault *fault, int fd);
bool varve_source_is_dir(struct varve_fault *fault, int fd);
bool varve_source_is_registry(struct varve_fault *fault, int fd);
bool varve_source_is_tree(struct varve_fault *fault, int fd);
bool varve_source_is_containerd(struct varve_fault *fault, int fd);
bool varve_source_is_cas(struct varve_fault *fault, int fd);
bool varve_source_is_storage(struct varve_fault *fault, int fd);
bool varve_source_is_docker(struct varve_fault *fault, int fd);
bool varve_source_is_oci_archive(struct varve_fault *fault, int fd);
bool varve_source_is_docker_archive(struct varve_fault *fault, int fd);

/* What the kinds share. */

/* Splits "PATH[:TAG]", where the path itself may hold colons: the longest path that is there is the
 * path. *tag is NULL, or points into `operand`. The path is the caller's to free; NULL: no memory.
 */
char *varve_source_split(const char **tag, const char *operand);

/* Opens a folder as the place of a source called "KIND:PATH" and makes it a root of the catalog,
 * *root. `place` has its patterns set. False: it is among the catalog's errors. */
bool varve_source_open_folder(struct varve_place *place, uint32_t *root,
                              struct varve_catalog *catalog, const char *kind, const char *path);

/* The same for an archive. The place's `archive` is the caller's to close. */
bool varve_source_open_archive(struct varve_place *place, struct varve_archive **archive,
                               uint32_t *root, struct varve_catalog *catalog, const char *kind,
                               const char *path);

/* Says why a place is no source of the kind: what could not be looked at, or, where unread->code is
 * NULL, that it is none. */
void varve_source_complain_unknown(struct varve_place *place, const struct varve_fault *unread);

/* Tells where a layer of a store has no tar-split data at `path`, or where that cannot be told. */
void varve_source_look_for_split(struct varve_place *place, const char *layer, const char *path);

/* A store's own list as JSON, up to VARVE_LIMIT_STORE_LIST_BYTES; NULL: it is among the errors,
 * with *unread where nothing can be said of what is in it. */
struct json_t *varve_source_read_list(struct varve_place *place, bool *unread, const char *path);

/* A layer that the store has unpacked: a blob under its diffid. Where its tar-split data and the
 * folder of its files are given (not NULL) and there, its archive is put together again, some
 * `bytes` long; else it cannot be opened: with `unread`, since that could not be found out. Its
 * number, or VARVE_NAME_NONE. */
uint32_t varve_source_add_unpacked(struct varve_place *place,
                                   const struct varve_digest_name *diffid, bool unreferenced,
                                   const char *split, const char *folder, uint64_t bytes,
                                   bool unread);

/* The bytes of an OCI layout's oci-layout file, the caller's to free. NULL: it is missing or wrong,
 * and among the errors. */
uint8_t *varve_source_layout_file(struct varve_place *place, size_t *bytes);

/* Reads one OCI layout or one skopeo folder of a place whose source has begun; `repository` is put
 * before its tags. */
enum varve_status varve_source_read_oci(struct varve_place *place, const char *repository,
                                        const char *tag);
enum varve_status varve_source_read_dir(struct varve_place *place, const char *repository);

#endif
