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
#include "source.h"

#define PATTERN "blobs/%a/%2/%h/data"
/* A link file holds a digest and no more. */
#define LINK_BYTES VARVE_DIGEST_TEXT_BYTES

struct registry {
    struct varve_place place;
    struct varve_documents *documents;
    char **names; /* paths beneath repositories/ still to be looked at */
    size_t count, room;
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

/* A path counted from the descriptor. False where it is longer than any path can be. */
static bool full_path(char full[VARVE_PATTERN_PATH_BYTES], const struct registry *registry,
                      struct varve_fault *fault, const char *path) {
    int n = snprintf(full, VARVE_PATTERN_PATH_BYTES, "%s%s", registry->place.prefix, path);
    *fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
    fault->os_errno = ENAMETOOLONG;
    return n < VARVE_PATTERN_PATH_BYTES;
}

/* Lists a folder; one that is not there is empty. */
static bool list(struct registry *registry, struct varve_folder *folder, const char *path) {
    struct varve_fault fault;
    char full[VARVE_PATTERN_PATH_BYTES];
    *folder = (struct varve_folder){NULL, 0};
    if (full_path(full, registry, &fault, path) &&
        varve_folder_read(folder, &fault, registry->place.fd, full)) {
        return true;
    }
    if (strcmp(fault.code, varve_code_at(VARVE_CODE_IO_MISSING)->code) != 0) {
        varve_place_complain(&registry->place, path, fault);
    }
    return false;
}

/* Reads a link file. False with the code it is to be blamed with, or VARVE_CODE_COUNT where there
 * is none. */
static bool read_link(struct registry *registry, struct varve_digest_name *digest,
                      enum varve_code *code, const char *path) {
    char full[VARVE_PATTERN_PATH_BYTES];
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    struct varve_fault fault;
    if (!full_path(full, registry, &fault, path) ||
        !varve_file_read(&data, &data_bytes, &fault, registry->place.fd, full, LINK_BYTES)) {
        bool missing = strcmp(fault.code, varve_code_at(VARVE_CODE_IO_MISSING)->code) == 0;
        *code = missing ? VARVE_CODE_COUNT : VARVE_CODE_REGISTRY_LINK;
        return false;
    }
    bool good = varve_digest_name_parse(digest, (const char *)data, data_bytes);
    free(data);
    *code = VARVE_CODE_REGISTRY_LINK;
    return good;
}

/* <repository>/_manifests/tags */
static void read_tags(struct registry *registry, const char *repository) {
    struct varve_folder tags;
    char *folder = join(registry, "repositories/", repository, "/_manifests/tags", "");
    if (!folder || !list(registry, &tags, folder)) {
        free(folder);
        return;
    }
    for (size_t i = 0; i < tags.count && !registry->place.no_memory; i++) {
        struct varve_digest_name digest;
        enum varve_code code = VARVE_CODE_COUNT;
        char *path = join(registry, folder, "/", tags.names[i], "/current/link");
        char *ref = join(registry, repository, ":", tags.names[i], "");
        if (path && ref && read_link(registry, &digest, &code, path)) {
            varve_documents_walk_digest(registry->documents, &digest, ref);
        } else if (path) {
            /* A tag that is taken back goes with its folder, so that none is without a link. */
            complain(registry, path, VARVE_CODE_REGISTRY_LINK);
        }
        free(path);
        free(ref);
    }
    varve_folder_free(&tags);
    free(folder);
}

/* The digests that link files of a repository's folder stand for. */
struct digests {
    struct varve_digest_name *all;
    size_t count, room;
};

static void keep_digest(struct registry *registry, struct digests *digests,
                        const struct varve_digest_name *digest) {
    if (digests->count == digests->room) {
        size_t room = digests->room ? 2 * digests->room : 64;
        struct varve_digest_name *all = realloc(digests->all, room * sizeof *all);
        if (!all) {
            registry->place.no_memory = true;
            return;
        }
        digests->all = all;
        digests->room = room;
    }
    digests->all[digests->count++] = *digest;
}

/* Reads all links of a kind. One that says something else than its path is reported; one that was
 * taken away, as deletion does, is passed over. */
static void read_links(struct registry *registry, struct digests *digests, const char *repository,
                       const char *kind) {
    static const char *const algorithms[] = {"sha256", "sha512"};
    for (size_t a = 0; a < 2; a++) {
        struct varve_folder links;
        char *folder = join(registry, "repositories/", repository, kind, algorithms[a]);
        if (!folder || !list(registry, &links, folder)) {
            free(folder);
            continue;
        }
        for (size_t i = 0; i < links.count && !registry->place.no_memory; i++) {
            struct varve_digest_name digest;
            struct varve_digest_name named;
            enum varve_code code = VARVE_CODE_REGISTRY_LINK;
            char *path = join(registry, folder, "/", links.names[i], "/link");
            char *name = join(registry, algorithms[a], ":", links.names[i], "");
            bool good = path && name && read_link(registry, &digest, &code, path) &&
                        varve_digest_name_parse(&named, name, strlen(name)) &&
                        named.count == digest.count &&
                        memcmp(named.bytes, digest.bytes, named.count) == 0;
            if (good) {
                keep_digest(registry, digests, &digest);
            } else if (path && code != VARVE_CODE_COUNT) {
                complain(registry, path, code);
            }
            free(path);
            free(name);
        }
        varve_folder_free(&links);
        free(folder);
    }
}

/* Manifests that no tag of their repository led to: "name@sha256:<hex>". Indexes first: what they
 * lead to is then theirs. */
static void take_revisions(struct registry *registry, const char *repository, uint32_t since) {
    struct digests digests = {NULL, 0, 0};
    read_links(registry, &digests, repository, "/_manifests/revisions/");
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < digests.count && !registry->place.no_memory; i++) {
            char name[VARVE_DIGEST_TEXT_BYTES];
            varve_digest_name_text(name, &digests.all[i]);
            if (varve_documents_reached(registry->documents, name, since) ||
                (pass == 0 && !varve_documents_leads_on(registry->documents, &digests.all[i]))) {
                continue;
            }
            char *ref = join(registry, repository, "@", name, "");
            if (ref) {
                varve_documents_walk_digest(registry->documents, &digests.all[i], ref);
            }
            free(ref);
        }
    }
    free(digests.all);
}

static void read_repository(struct registry *registry, const char *repository) {
    struct varve_folder uploads;
    struct digests layers = {NULL, 0, 0};
    uint32_t since = varve_documents_walk_count(registry->documents);
    read_tags(registry, repository);
    take_revisions(registry, repository, since);
    /* That a layer's link is whole is all it tells: whether its blob has to be there, manifests do.
     */
    read_links(registry, &layers, repository, "/_layers/");
    free(layers.all);
    char *path = join(registry, "repositories/", repository, "/_uploads", "");
    if (path && list(registry, &uploads, path)) {
        for (size_t i = 0; i < uploads.count; i++) {
            varve_place_note(&registry->place, path, VARVE_CODE_REGISTRY_UPLOAD);
        }
        varve_folder_free(&uploads);
    }
    free(path);
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

/* Looks at one folder beneath repositories/: it may be a repository and hold others. */
static void visit(struct registry *registry, const char *repository) {
    struct varve_folder folder;
    char *path = join(registry, "repositories", *repository ? "/" : "", repository, "");
    if (!path || !list(registry, &folder, path)) {
        free(path);
        return;
    }
    bool is_repository = false;
    for (size_t i = folder.count; i-- > 0;) {
        if (folder.names[i][0] != '_') {
            push(registry, repository, folder.names[i]);
        } else {
            is_repository = true;
        }
    }
    if (is_repository && *repository) {
        read_repository(registry, repository);
    }
    varve_folder_free(&folder);
    free(path);
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

/* Where in a folder the tree begins; NULL: nowhere. */
static const char *find_tree(int fd) {
    static const char *const prefixes[] = {"docker/registry/v2/", "registry/v2/", "v2/", ""};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "%srepositories", prefixes[i]);
        bool repositories = varve_folder_has(fd, path);
        snprintf(path, sizeof path, "%sblobs", prefixes[i]);
        if (repositories && varve_folder_has(fd, path)) {
            return prefixes[i];
        }
    }
    return NULL;
}

bool varve_source_is_registry(int fd) {
    return find_tree(fd) != NULL;
}

static void read_tree(struct registry *registry) {
    const struct varve_pattern_visitor visitor = {.digest = has_data, .misplaced = misplaced};
    push(registry, "", "");
    while (registry->count > 0) {
        char *name = registry->names[--registry->count];
        if (!registry->place.no_memory) {
            visit(registry, name);
        }
        free(name);
    }
    free(registry->names);
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
    place->prefix = find_tree(place->fd);
    if (!place->prefix) {
        varve_place_complain(place, NULL,
                             varve_fault_of(VARVE_CODE_SOURCE_UNKNOWN, VARVE_NO_OFFSET));
    } else if (varve_place_begin(place, root) &&
               (registry.documents = varve_documents_open(place, NULL))) {
        read_tree(&registry);
        status = VARVE_OK;
    }
    varve_documents_close(registry.documents);
    return varve_place_end(place, status);
}
