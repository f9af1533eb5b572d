/* SPDX-License-Identifier: Apache-2.0 */
/* src/source_registry.c - the storage tree of a registry: CNCF distribution's file system driver,
 * on which Harbor stands too (distribution, registry/storage/paths.go).
 *
 *     blobs/sha256/<2 hex>/<hex>/data                             every blob, manifests too
 *     repositories/<name>/_manifests/tags/<tag>/current/link      "sha256:<hex>" of a manifest
 *     repositories/<name>/_manifests/revisions/sha256/<hex>/link  every manifest, tagged or not
 *     repositories/<name>/_layers/sha256/<hex>/link               what the repository may serve
 *     repositories/<name>/_uploads/<uuid>/                        uploads under way, or left behind
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "file.h"
#include "folder.h"
#include "registry_links.h"
#include "source.h"

#define PATTERN "blobs/%a/%2/%h/data"
/* Repositories that are read at once: enough for all threads, few enough not to be felt in memory.
 */
#define BATCH 64u

/* A folder that was looked at: a repository, or one that could not be listed. */
struct visit {
    char *name;
    struct varve_fault fault; /* code NULL: a repository */
};

struct registry {
    struct varve_place place;
    struct varve_documents *documents;
    char **names; /* paths beneath repositories/ still to be looked at */
    size_t count, room;
    struct visit visits[BATCH];
    size_t visit_count;
};

/* A path as the tree has it: "repositories/" and the pieces. NULL: no memory. */
static char *join(struct registry *registry, const char *a, const char *b, const char *c,
                  const char *d) {
    char *path = NULL;
    if (asprintf(&path, "%s%s%s%s", a, b, c, d) < 0) {
        registry->place.no_memory = true;
        return NULL;
    }
    return path;
}

static void complain(struct registry *registry, const char *path, enum varve_code code) {
    varve_place_complain(&registry->place, path, varve_fault_of(code, VARVE_NO_OFFSET));
}

/* The path of a link file. */
static char *link_path(struct registry *registry, const struct varve_registry_folder *folder,
                       size_t at, enum varve_registry_kind kind) {
    return join(registry, folder->path, "/", folder->names.names[at], varve_registry_tail(kind));
}

static void complain_link(struct registry *registry, const struct varve_registry_folder *folder,
                          size_t at, enum varve_registry_kind kind) {
    char *path = link_path(registry, folder, at, kind);
    const struct varve_registry_link *link = &folder->links[at];
    if (path && link->state == VARVE_REGISTRY_UNREAD) {
        varve_place_complain(&registry->place, path, link->fault);
    } else if (path) {
        complain(registry, path, VARVE_CODE_REGISTRY_LINK);
    }
    free(path);
}

/* Says why a folder could not be listed, where it could not. */
static void complain_folder(struct registry *registry, const struct varve_registry_folder *folder) {
    if (folder->fault.code) {
        varve_place_complain(&registry->place, folder->path, folder->fault);
    }
}

/* <repository>/_manifests/tags */
static void take_tags(struct registry *registry, const char *repository,
                      const struct varve_registry_folder *tags) {
    complain_folder(registry, tags);
    for (size_t i = 0; i < tags->names.count && !registry->place.no_memory; i++) {
        const struct varve_registry_link *link = &tags->links[i];
        if (link->state != VARVE_REGISTRY_GOOD) {
            /* A tag that is taken back goes with its folder, so that none is without a link. */
            complain_link(registry, tags, i, VARVE_REGISTRY_TAGS);
            continue;
        }
        char *ref = join(registry, repository, ":", tags->names.names[i], "");
        if (ref) {
            varve_documents_walk_digest(registry->documents, &link->digest, ref);
        }
        free(ref);
    }
}

/* Whether a link says what its path says. */
static bool is_own(const struct varve_registry_link *link, const char *name,
                   enum varve_algorithm algorithm) {
    char text[VARVE_DIGEST_TEXT_BYTES];
    if (link->digest.algorithm != algorithm) {
        return false;
    }
    varve_hex(text, link->digest.bytes, link->digest.count);
    return strcmp(text, name) == 0;
}

/* Goes through the links of a kind: *count of them, moved to the front, are good. One that says
 * something else than its path is reported; one that was taken away, as deletion does, is passed
 * over. */
static void take_links(struct registry *registry, size_t *count,
                       const struct varve_registry_folder *folder, enum varve_registry_kind kind) {
    bool sha512 = kind == VARVE_REGISTRY_REVISIONS_SHA512 || kind == VARVE_REGISTRY_LAYERS_SHA512;
    complain_folder(registry, folder);
    *count = 0;
    for (size_t i = 0; i < folder->names.count && !registry->place.no_memory; i++) {
        struct varve_registry_link *link = &folder->links[i];
        if (link->state == VARVE_REGISTRY_GOOD &&
            is_own(link, folder->names.names[i],
                   sha512 ? VARVE_ALGORITHM_SHA512 : VARVE_ALGORITHM_SHA256)) {
            folder->links[(*count)++] = *link;
        } else if (link->state != VARVE_REGISTRY_ABSENT) {
            complain_link(registry, folder, i, kind);
        }
    }
}

/* Manifests that no tag of their repository led to: "name@sha256:<hex>". Indexes first: what they
 * lead to is then theirs. `folders`: those of both algorithms. */
static void take_revisions(struct registry *registry, const char *repository,
                           const struct varve_registry_folder folders[2], uint32_t since) {
    size_t counts[2] = {0, 0};
    for (int a = 0; a < 2; a++) {
        take_links(registry, &counts[a], &folders[a],
                   (enum varve_registry_kind)(VARVE_REGISTRY_REVISIONS + a));
    }
    for (int pass = 0; pass < 4; pass++) {
        for (size_t i = 0; i < counts[pass % 2] && !registry->place.no_memory; i++) {
            const struct varve_digest_name *digest = &folders[pass % 2].links[i].digest;
            char name[VARVE_DIGEST_TEXT_BYTES];
            varve_digest_name_text(name, digest);
            if (varve_documents_reached(registry->documents, name, since) ||
                (pass < 2 && !varve_documents_leads_on(registry->documents, digest))) {
                continue;
            }
            char *ref = join(registry, repository, "@", name, "");
            if (ref) {
                varve_documents_walk_digest(registry->documents, digest, ref);
            }
            free(ref);
        }
    }
}

/* Which documents a repository's links lead to. */
static void expect_documents(struct registry *registry,
                             const struct varve_registry_repository *repository) {
    for (int kind = VARVE_REGISTRY_TAGS; kind <= VARVE_REGISTRY_REVISIONS_SHA512; kind++) {
        const struct varve_registry_folder *folder = &repository->folders[kind];
        for (size_t i = 0; i < folder->names.count; i++) {
            if (folder->links[i].state == VARVE_REGISTRY_GOOD) {
                varve_documents_expect(registry->documents, &folder->links[i].digest);
            }
        }
    }
}

static void take_repository(struct registry *registry, const char *name,
                            const struct varve_registry_repository *repository) {
    const struct varve_registry_folder *folders = repository->folders;
    const struct varve_registry_folder *uploads = &folders[VARVE_REGISTRY_UPLOADS];
    uint32_t since = varve_documents_walk_count(registry->documents);
    size_t count = 0;
    take_tags(registry, name, &folders[VARVE_REGISTRY_TAGS]);
    take_revisions(registry, name, &folders[VARVE_REGISTRY_REVISIONS], since);
    /* That a layer's link is whole is all it tells: whether its blob has to be there, manifests do.
     */
    take_links(registry, &count, &folders[VARVE_REGISTRY_LAYERS], VARVE_REGISTRY_LAYERS);
    take_links(registry, &count, &folders[VARVE_REGISTRY_LAYERS_SHA512],
               VARVE_REGISTRY_LAYERS_SHA512);
    complain_folder(registry, uploads);
    for (size_t i = 0; i < uploads->names.count; i++) {
        varve_place_note(&registry->place, uploads->path, VARVE_CODE_REGISTRY_UPLOAD);
    }
}

/* Reads the repositories among the folders that were visited, then takes them in order. */
static void take_batch(struct registry *registry) {
    struct varve_registry_repository repositories[BATCH];
    char *names[BATCH] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < registry->visit_count; i++) {
        if (!registry->visits[i].fault.code) {
            names[count++] = registry->visits[i].name;
        }
    }
    registry->place.no_memory |= !varve_registry_read(repositories, names, count, &registry->place);
    for (size_t i = 0; i < count && !registry->place.no_memory; i++) {
        expect_documents(registry, &repositories[i]);
    }
    size_t at = 0;
    for (size_t i = 0; i < registry->visit_count && !registry->place.no_memory; i++) {
        const struct visit *visit = &registry->visits[i];
        if (visit->fault.code) {
            varve_place_complain(&registry->place, visit->name, visit->fault);
        } else {
            take_repository(registry, visit->name, &repositories[at++]);
        }
    }
    varve_registry_free(repositories, count);
    for (size_t i = 0; i < registry->visit_count; i++) {
        free(registry->visits[i].name);
    }
    registry->visit_count = 0;
}

static void push(struct registry *registry, const char *repository, const char *name) {
    if (registry->count == registry->room) {
        size_t room = registry->room ? 2 * registry->room : 64;
        char **names = realloc(registry->names, room * sizeof *names);
        if (!names) {
            registry->place.no_memory = true;
            return;
        }
        registry->names = names;
        registry->room = room;
    }
    char *path = join(registry, repository, *repository ? "/" : "", name, "");
    if (path) {
        registry->names[registry->count++] = path;
    }
}

/* Puts a folder on the batch; takes over its name (NULL: no memory). */
static void keep_visit(struct registry *registry, char *name, struct varve_fault fault) {
    if (!name) {
        registry->place.no_memory = true;
        return;
    }
    registry->visits[registry->visit_count++] = (struct visit){name, fault};
    if (registry->visit_count == BATCH) {
        take_batch(registry);
    }
}

/* Looks at one folder beneath repositories/: it may be a repository and hold others. */
static void visit(struct registry *registry, const char *repository) {
    static const struct varve_fault none;
    struct varve_folder folder = {NULL, 0, NULL};
    struct varve_fault fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
    char full[VARVE_PATTERN_PATH_BYTES];
    char *path = join(registry, "repositories", *repository ? "/" : "", repository, "");
    fault.os_errno = ENAMETOOLONG;
    if (!path) {
        return;
    }
    int n = snprintf(full, sizeof full, "%s%s", registry->place.prefix, path);
    if (n >= (int)sizeof full || !varve_folder_read(&folder, &fault, registry->place.fd, full)) {
        if (strcmp(fault.code, varve_code_at(VARVE_CODE_IO_MISSING)->code) != 0) {
            keep_visit(registry, path, fault);
        } else {
            free(path);
        }
        return;
    }
    free(path);
    bool is_repository = false;
    for (size_t i = folder.count; i-- > 0;) {
        if (folder.names[i][0] != '_') {
            push(registry, repository, folder.names[i]);
        } else {
            is_repository = true;
        }
    }
    varve_folder_free(&folder);
    if (is_repository && *repository) {
        keep_visit(registry, strdup(repository), none);
    }
}

/* A blob that nothing refers to. Its folder may be empty: deletion can leave it so. */
static bool has_data(void *cookie, const char *name) {
    struct varve_place *place = cookie;
    char path[VARVE_PATTERN_PATH_BYTES];
    if (varve_pattern_path(path, place->prefix, place->pattern, name) &&
        !varve_folder_has(place->fd, path)) {
        varve_place_note(place, path, VARVE_CODE_REGISTRY_NO_DATA);
        return false;
    }
    return true;
}

static void misplaced(void *cookie, const char *path) {
    varve_place_complain(cookie, path,
                         varve_fault_of(VARVE_CODE_REGISTRY_MISPLACED, VARVE_NO_OFFSET));
}

/* Where in a folder the tree begins. NULL: nowhere, or, with a fault->code, that could not be told.
 */
static const char *find_tree(struct varve_fault *fault, int fd) {
    static const char *const prefixes[] = {"docker/registry/v2/", "registry/v2/", "v2/", ""};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        static const char *const folders[] = {"repositories", "blobs"};
        bool found = true;
        for (size_t j = 0; j < 2 && found; j++) {
            char path[64];
            snprintf(path, sizeof path, "%s%s", prefixes[i], folders[j]);
            found = varve_folder_holds(fault, fd, path);
        }
        if (found || fault->code) {
            return found ? prefixes[i] : NULL;
        }
    }
    return NULL;
}

bool varve_source_is_registry(struct varve_fault *fault, int fd) {
    return find_tree(fault, fd) != NULL;
}

static void read_tree(struct registry *registry) {
    const struct varve_pattern_visitor visitor = {.digest = has_data, .misplaced = misplaced};
    push(registry, "", "");
    while (registry->count > 0) {
        char *name = registry->names[--registry->count];
        if (!varve_place_is_over(&registry->place)) {
            visit(registry, name);
        }
        free(name);
    }
    free(registry->names);
    take_batch(registry);
    varve_documents_add_rest(registry->documents, &visitor);
}

enum varve_status varve_source_registry(struct varve_catalog *catalog, const char *operand) {
    struct registry registry = {.place = {.prefix = "", .pattern = PATTERN}};
    struct varve_place *place = &registry.place;
    enum varve_status status = VARVE_ERROR;
    uint32_t root = VARVE_NAME_NONE;
    if (!varve_source_open_folder(place, &root, catalog, "registry-fs", operand)) {
        return varve_place_end(place, status);
    }
    struct varve_fault unread = {.code = NULL};
    place->prefix = find_tree(&unread, place->fd);
    if (!place->prefix) {
        varve_source_complain_unknown(place, &unread);
    } else if (varve_place_begin(place, root) &&
               (registry.documents = varve_documents_open(place, NULL))) {
        read_tree(&registry);
        status = VARVE_OK;
    }
    varve_documents_close(registry.documents);
    return varve_place_end(place, status);
}
