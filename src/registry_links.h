/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry_links.h - what the folders of a registry's repositories hold, read side by side.
 *
 * A registry keeps a small file for every tag, manifest and layer of every repository: reading them
 * is most of what walking it costs. Nothing is judged here; whoever asked takes what was found in
 * order, so that it does not depend on the number of threads. */
#ifndef VARVE_REGISTRY_LINKS_H
#define VARVE_REGISTRY_LINKS_H

#include "digest_name.h"
#include "folder.h"
#include "place.h"

enum varve_registry_kind {
    VARVE_REGISTRY_TAGS,
    VARVE_REGISTRY_REVISIONS, /* of manifests named by sha256; those by sha512 are next */
    VARVE_REGISTRY_REVISIONS_SHA512,
    VARVE_REGISTRY_LAYERS,
    VARVE_REGISTRY_LAYERS_SHA512,
    VARVE_REGISTRY_UPLOADS, /* without links: only its names are read */
    VARVE_REGISTRY_KINDS
};

/* A link file. */
struct varve_registry_link {
    enum varve_registry_link_state {
        VARVE_REGISTRY_GOOD,
        VARVE_REGISTRY_ABSENT,
        VARVE_REGISTRY_UNREAD, /* for a reason of the system's: nothing is known of it */
        VARVE_REGISTRY_BAD     /* it is no file, or holds no digest */
    } state;
    struct varve_fault fault;        /* UNREAD: the reason */
    struct varve_digest_name digest; /* GOOD: what it says */
};

/* A folder of folders with link files. */
struct varve_registry_folder {
    char *path;                        /* from the tree's root on: "repositories/..." */
    struct varve_folder names;         /* in order; none where it is not there */
    struct varve_fault fault;          /* code NULL, or why it could not be listed */
    struct varve_registry_link *links; /* by name */
};

/* A repository, one folder of each kind. */
struct varve_registry_repository {
    struct varve_registry_folder folders[VARVE_REGISTRY_KINDS];
};

/* What stands between a name and its link file: "/link". */
const char *varve_registry_tail(enum varve_registry_kind kind);

/* Reads `count` repositories of a place, each given by its name. False: no memory; what is there is
 * to be freed all the same. */
bool varve_registry_read(struct varve_registry_repository *repositories, char *const *names,
                         size_t count, const struct varve_place *place);
void varve_registry_free(struct varve_registry_repository *repositories, size_t count);

#endif
