/* SPDX-License-Identifier: Apache-2.0 */
/* src/catalog.h - how sources fill a catalog. */
#ifndef VARVE_CATALOG_PRIVATE_H
#define VARVE_CATALOG_PRIVATE_H

#include <sys/stat.h>

#include "codes.h"
#include "digest_name.h"
#include "limits.h"
#include "varve/catalog.h"

/* All of these return VARVE_NAME_NONE or false where memory was refused. */

/* Where the blobs of a source lie. */
struct varve_location {
    uint32_t root;       /* of varve_catalog_add_root; VARVE_ROOT_NONE: names are paths */
    const char *prefix;  /* folder beneath the root that the patterns count from: "", or "name/" */
    const char *pattern; /* see pattern.h; NULL: the root is an archive, blobs are ranges of it */
};

#define VARVE_ROOT_NONE UINT32_MAX

/* Takes over a descriptor, of a folder or an archive, that sources may share. */
uint32_t varve_catalog_add_root(struct varve_catalog *catalog, int fd);

/* Sources begun from now on are of that operand of varve_catalog_add; NULL: loose files. False: no
 * memory. */
bool varve_catalog_begin_operand(struct varve_catalog *catalog, const char *operand);

/* Begins a source of that name; blobs, images and errors added from now on are its own. Strings are
 * copied. */
uint32_t varve_catalog_begin_source(struct varve_catalog *catalog, const char *name,
                                    const struct varve_location *location);

/* A blob of the source begun last. */
struct varve_new_blob {
    const char *name;  /* "sha256:<hex>", or a path */
    bool unreferenced; /* nothing in the source refers to it */
    bool unreadable;   /* opening it gives the fault `code` */
    enum varve_code code;
    uint64_t offset;    /* in an archive: where it lies; else ignored */
    uint64_t bytes;     /* in an archive, or of one that is put together again: how long it is */
    const char *split;  /* it is put together again: its tar-split data, and the folder of its */
    const char *folder; /* files, beneath the root (tar_split.h); NULL: it lies somewhere */
};

/* Its number; the same name again is the same number, and once referenced stays so. */
uint32_t varve_catalog_add_blob(struct varve_catalog *catalog, const struct varve_new_blob *blob);

/* Whether the source begun last has a blob of that name. */
bool varve_catalog_has_blob(const struct varve_catalog *catalog, const char *name);

/* What is claimed of a blob; the same claim again is the same number. `media_type` and `diffid` may
 * be NULL, `size` VARVE_NO_SIZE: not claimed. */
uint32_t varve_catalog_add_claim(struct varve_catalog *catalog, uint32_t blob, uint64_t size,
                                 const char *media_type, const uint8_t *diffid);

/* A claim, and the one after it about the same blob, or SIZE_MAX: varve_catalog_claim and
 * varve_catalog_next_claim in one. */
struct varve_claim varve_catalog_read_claim(const struct varve_catalog *catalog, size_t *next,
                                            size_t claim);

/* What varve_catalog_add was given for the source that a blob is of; NULL: a loose file. */
const char *varve_catalog_operand(const struct varve_catalog *catalog, size_t blob);

/* The catalog's sources, in order; two may have one name. */
size_t varve_catalog_source_count(const struct varve_catalog *catalog);
const char *varve_catalog_source_name(const struct varve_catalog *catalog, size_t source);
size_t varve_catalog_source_of(const struct varve_catalog *catalog, size_t blob);

/* An open blob: where it lies in the descriptor, as varve_catalog_open_blob tells it, and what
 * fstat said of the file, where that is one of its own. */
struct varve_opened {
    int fd;
    uint64_t offset, bytes;
    bool has_seen;
    struct stat seen;
};

/* varve_catalog_open_blob, of a blob whose name is at hand. False with *fault. */
bool varve_catalog_open_seen(const struct varve_catalog *catalog, struct varve_opened *opened,
                             struct varve_fault *fault, size_t blob, const char *name);

/* A blob's name, copied into `text` where it lies in a file and is a digest; else the catalog's
 * own.
 */
const char *varve_catalog_name(const struct varve_catalog *catalog,
                               char text[VARVE_DIGEST_TEXT_BYTES], size_t blob);

/* Has what is known of a blob, and then, in a second call, what that leads to, fetched into the
 * cache: the blobs of a large catalog are read in an order that is not the one they lie in. */
void varve_catalog_fetch(const struct varve_catalog *catalog, size_t blob);
void varve_catalog_fetch_on(const struct varve_catalog *catalog, size_t blob);

/* Whether any of its blobs is put together again. */
bool varve_catalog_replays(const struct varve_catalog *catalog);

/* When it was opened: no stamp was taken before. Nanoseconds of Unix time. */
int64_t varve_catalog_opened_ns(const struct varve_catalog *catalog);

/* The blob of that name in a source of that name; SIZE_MAX: there is none. */
size_t varve_catalog_find(const struct varve_catalog *catalog, const char *source,
                          const char *name);

/* The blob of that name in one of the catalog's sources; SIZE_MAX: there is none. */
size_t varve_catalog_find_in(const struct varve_catalog *catalog, size_t source, const char *name);

/* What tells a file from a later one of the same name, as it was when the catalog was filled. */
struct varve_stamp {
    uint64_t size;   /* of the blob */
    uint64_t inode;  /* of the file, or the archive that it lies in */
    uint64_t offset; /* in an archive */
    int64_t mtime_ns;
};

/* Whether a document of an image of this source could not be read. */
bool varve_catalog_source_is_unread(const struct varve_catalog *catalog, size_t source);

/* False: nothing was to be seen of it (missing, standard input, unpacked). */
bool varve_catalog_stamp(const struct varve_catalog *catalog, struct varve_stamp *stamp,
                         size_t blob);

/* A tag or reference as it is told: one beyond VARVE_LIMIT_TAG_SHOWN_BYTES is cut, though not
 * within a character (RFC 3629), and ends in dots. */
#define VARVE_REF_SHOWN_BYTES (VARVE_LIMIT_TAG_SHOWN_BYTES + sizeof "...")
void varve_catalog_cut_ref(char shown[VARVE_REF_SHOWN_BYTES], const char *ref);

/* An image of the source begun last. Strings are copied; `claims` and `config` are by pointer:
 * new_claims, keep_config. */
bool varve_catalog_add_image(struct varve_catalog *catalog, const struct varve_image *image);

/* An array for claims that is the catalog's, zeroed, so that many images can share it; and a copy
 * of a config's digests. NULL: no memory. */
uint32_t *varve_catalog_new_claims(struct varve_catalog *catalog, size_t count);
const struct varve_config_digests *
varve_catalog_keep_config(struct varve_catalog *catalog, const struct varve_config_digests *config);

/* Makes a copy of a document the catalog's, where it keeps them (varve_catalog_keep_documents);
 * else *kept is nothing. False: no memory. */
bool varve_catalog_keep_document(struct varve_catalog *catalog, struct varve_bytes *kept,
                                 const uint8_t *data, size_t bytes);

/* Whether it keeps them. */
bool varve_catalog_keeps_documents(const struct varve_catalog *catalog);

/* How many threads its sources are read with, >= 1. */
unsigned varve_catalog_threads(const struct varve_catalog *catalog);

/* Looks at the files of all blobs that were added and not looked at yet (the loose ones were), side
 * by side: what varve_catalog_add ends with. False: no memory. */
bool varve_catalog_look(struct varve_catalog *catalog);

/* Hands memory back, where the catalog is so large that part of it lies in a file (spill.h): now
 * and then, for who goes through all of it. Any thread. */
void varve_catalog_relax(const struct varve_catalog *catalog);

/* Whether varve_catalog_cancel was called: whoever walks through a source asks now and then. From
 * then on nothing can be added, as if memory were refused, and no error is. */
bool varve_catalog_is_cancelled(const struct varve_catalog *catalog);

/* Where temporary files go; NULL: varve's choice. */
const char *varve_catalog_temporary(const struct varve_catalog *catalog);

/* An error; `detail` (may be NULL) is put behind the source's name. */
bool varve_catalog_add_error(struct varve_catalog *catalog, const char *source, const char *detail,
                             struct varve_fault fault);

/* A note about the source begun last: something odd that is no fault. Notes of one code are one,
 * counted, with the first detail. */
bool varve_catalog_add_note(struct varve_catalog *catalog, const char *source, const char *detail,
                            enum varve_code code);

#endif
