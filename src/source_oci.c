/* SPDX-License-Identifier: Apache-2.0 */
/* src/source_oci.c - an OCI image layout (image-spec image-layout.md) as a source.
 *
 * Documents are read once each, however often they are referred to, into nodes; then every tag's
 * tree is walked. Both loops use explicit lists, so that nesting of any depth costs no stack, and a
 * walk visits a node once, so that documents which do not bear their own digest cannot lead in
 * circles. */
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalog.h"
#include "codes.h"
#include "file.h"
#include "limits.h"
#include "name_map.h"
#include "oci_json.h"

/* A reference from an index to a document. */
struct link {
    uint32_t node;
    uint32_t platform; /* in the loader's strings, or VARVE_NAME_NONE */
    uint32_t ref;
    bool attestation;
    uint64_t size; /* as claimed */
};

/* A document: number = its digest's in the loader's `documents`, where index.json is number 0. */
struct node {
    bool read;
    bool index;
    struct varve_fault fault;
    uint32_t fault_digest; /* number of the document at fault */
    uint64_t size;
    struct link *links; /* index */
    size_t link_count;
    const uint32_t *claims; /* manifest; the catalog's */
    size_t claim_count;
    uint32_t platform; /* of the config */
    uint32_t visited;  /* walk that came by last */
};

struct loader {
    struct varve_catalog *catalog;
    const char *name; /* "oci:DIR" */
    int root;
    struct varve_name_map documents; /* digests as text */
    struct varve_name_map strings;
    struct node *nodes;
    size_t node_room;
    size_t step_count; /* of all walks */
    bool no_memory;
};

static void complain(struct loader *loader, const char *detail, struct varve_fault fault) {
    if (!varve_catalog_add_error(loader->catalog, loader->name, detail, fault)) {
        loader->no_memory = true;
    }
}

static uint32_t intern(struct loader *loader, const char *text) {
    if (!text || !*text) {
        return VARVE_NAME_NONE;
    }
    uint32_t number = varve_name_map_add(&loader->strings, NULL, text);
    loader->no_memory |= number == VARVE_NAME_NONE;
    return number;
}

static const char *interned(const struct loader *loader, uint32_t number) {
    return number == VARVE_NAME_NONE ? NULL : loader->strings.names[number];
}

/* The node of a document, made where it was not known. */
static uint32_t node_named(struct loader *loader, const char *name) {
    bool added = false;
    uint32_t number = varve_name_map_add(&loader->documents, &added, name);
    if (added && number >= loader->node_room) {
        size_t room = loader->node_room ? 2 * loader->node_room : 64;
        struct node *nodes = realloc(loader->nodes, room * sizeof *nodes);
        if (!nodes) {
            loader->no_memory = true;
            return VARVE_NAME_NONE;
        }
        loader->nodes = nodes;
        loader->node_room = room;
    }
    if (number == VARVE_NAME_NONE) {
        loader->no_memory = true;
    } else if (added) {
        loader->nodes[number] = (struct node){.fault_digest = number, .platform = VARVE_NAME_NONE};
    }
    return number;
}

static uint32_t node_of(struct loader *loader, const struct varve_digest_name *digest) {
    char text[VARVE_DIGEST_TEXT_BYTES];
    varve_digest_name_text(text, digest);
    return node_named(loader, text);
}

/* Reads blobs/<algorithm>/<hex> and holds its digest against its name. Bytes are given even where
 * the digest does not hold: what they lead to can still be looked at. */
static bool read_blob(struct loader *loader, uint8_t **data, size_t *data_bytes,
                      struct varve_fault *fault, const struct varve_digest_name *digest) {
    char path[VARVE_DIGEST_TEXT_BYTES + 8] = "blobs/";
    varve_digest_name_text(path + 6, digest);
    path[sizeof "blobs/sha256" - 1] = '/';
    memset(fault, 0, sizeof *fault);
    if (!varve_file_read(data, data_bytes, fault, loader->root, path, VARVE_LIMIT_DOCUMENT_BYTES)) {
        return false;
    }
    if (!varve_digest_name_holds(digest, *data, *data_bytes)) {
        *fault = varve_fault_of(VARVE_CODE_CLAIM_NAME, VARVE_NO_OFFSET);
    }
    return true;
}

/* Keeps a node's first fault, with the document it was found in. */
static void blame(struct node *node, uint32_t document, struct varve_fault fault) {
    if (fault.code && !node->fault.code) {
        node->fault = fault;
        node->fault_digest = document;
    }
}

/* The config's diffids; an empty config where it has none to give (with the reason in the node's
 * fault, unless the image is an artifact whose config is not an image's). */
static bool read_config(struct loader *loader, uint32_t number, struct varve_config *config,
                        const struct varve_descriptor *descriptor) {
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    struct varve_fault fault;
    memset(config, 0, sizeof *config);
    uint32_t document = node_of(loader, &descriptor->digest);
    if (document == VARVE_NAME_NONE) {
        return false;
    }
    bool parsed = false;
    bool there = read_blob(loader, &data, &data_bytes, &fault, &descriptor->digest);
    struct node *node = &loader->nodes[number];
    blame(node, document, fault);
    if (there) {
        if (data_bytes != descriptor->size) {
            blame(node, document, varve_fault_of(VARVE_CODE_CLAIM_SIZE, data_bytes));
        }
        if (varve_media_type_is_config(descriptor->media_type)) {
            parsed = varve_config_parse(config, &fault, data, data_bytes);
            if (!parsed) {
                blame(node, document, fault);
            }
        }
        free(data);
    }
    node->platform = intern(loader, config->platform);
    return parsed;
}

static void read_manifest(struct loader *loader, uint32_t number,
                          const struct varve_document *document) {
    struct varve_config config = {0};
    bool has_config = false;
    blame(&loader->nodes[number], number, document->config.fault);
    if (!document->config.fault.code) {
        has_config = read_config(loader, number, &config, &document->config);
    }
    struct node *node = &loader->nodes[number];
    if (has_config && config.diffid_count != document->child_count) {
        blame(node, node->fault_digest,
              varve_fault_of(VARVE_CODE_OCI_DIFFID_COUNT, VARVE_NO_OFFSET));
    }
    uint32_t *claims = calloc(document->child_count + 1, sizeof *claims);
    size_t count = 0;
    for (size_t i = 0; claims && i < document->child_count; i++) {
        const struct varve_descriptor *layer = &document->children[i];
        blame(node, number, layer->fault);
        if (layer->fault.code) {
            continue;
        }
        char name[VARVE_DIGEST_TEXT_BYTES];
        varve_digest_name_text(name, &layer->digest);
        const struct varve_digest_name *diffid =
            has_config && i < config.diffid_count ? &config.diffids[i] : NULL;
        bool known = diffid && diffid->algorithm == VARVE_ALGORITHM_SHA256;
        uint32_t blob = varve_catalog_add_blob(loader->catalog, name);
        uint32_t claim =
            blob == VARVE_NAME_NONE
                ? VARVE_NAME_NONE
                : varve_catalog_add_claim(loader->catalog, blob, layer->size, layer->media_type,
                                          known ? diffid->bytes : NULL);
        loader->no_memory |= claim == VARVE_NAME_NONE;
        if (claim != VARVE_NAME_NONE) {
            claims[count++] = claim;
        }
    }
    varve_config_free(&config);
    if (!claims || !varve_catalog_keep_claims(loader->catalog, claims)) {
        loader->no_memory = true;
        return;
    }
    node->claims = claims;
    node->claim_count = count;
}

/* The links of an index: manifests and indexes. Other media types are none of ours and no error. A
 * child whose descriptor is bad is reported; the others stand. */
static void read_index(struct loader *loader, uint32_t number,
                       const struct varve_document *document) {
    struct link *links = calloc(document->child_count + 1, sizeof *links);
    size_t count = 0;
    loader->no_memory |= !links;
    for (size_t i = 0; links && i < document->child_count; i++) {
        const struct varve_descriptor *child = &document->children[i];
        if (child->fault.code) {
            complain(loader, loader->documents.names[number], child->fault);
        } else if (varve_media_type_is_index(child->media_type) ||
                   varve_media_type_is_manifest(child->media_type)) {
            uint32_t node = node_of(loader, &child->digest);
            if (node == VARVE_NAME_NONE) {
                break;
            }
            links[count++] =
                (struct link){node, intern(loader, child->platform), intern(loader, child->ref),
                              child->attestation, child->size};
        }
    }
    struct node *node = &loader->nodes[number];
    node->index = true;
    node->links = links;
    node->link_count = count;
}

/* Reads the document behind a node, if that was not done yet. */
static void read_node(struct loader *loader, uint32_t number) {
    struct varve_document document;
    struct varve_digest_name digest;
    struct varve_fault fault = {0};
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    const char *name = loader->documents.names[number];
    bool there = false;
    if (loader->nodes[number].read) {
        return;
    }
    loader->nodes[number].read = true;
    if (number == 0) {
        there = varve_file_read(&data, &data_bytes, &fault, loader->root, name,
                                VARVE_LIMIT_DOCUMENT_BYTES);
    } else if (varve_digest_name_parse(&digest, name, strlen(name))) {
        there = read_blob(loader, &data, &data_bytes, &fault, &digest);
    }
    blame(&loader->nodes[number], number, fault);
    if (!there) {
        return;
    }
    loader->nodes[number].size = data_bytes;
    if (!varve_document_parse(&document, &fault, data, data_bytes)) {
        blame(&loader->nodes[number], number, fault);
    } else {
        if (document.kind == VARVE_DOCUMENT_INDEX) {
            read_index(loader, number, &document);
        } else {
            read_manifest(loader, number, &document);
        }
        varve_document_free(&document);
    }
    free(data);
}

/* A place in a walk: a node as one tag's tree reaches it. */
struct step {
    uint32_t node;
    uint32_t platform;
    bool attestation;
    bool size_holds;
};

struct steps {
    struct step *steps;
    size_t count, room;
};

/* Puts an index's children on the list, the first on top. */
static void push_links(struct loader *loader, struct steps *list, const struct node *node,
                       const struct step *from) {
    if (list->count + node->link_count > list->room) {
        size_t room = 2 * (list->count + node->link_count);
        struct step *steps = realloc(list->steps, room * sizeof *steps);
        if (!steps) {
            loader->no_memory = true;
            return;
        }
        list->steps = steps;
        list->room = room;
    }
    for (size_t i = node->link_count; i-- > 0;) {
        const struct link *link = &node->links[i];
        read_node(loader, link->node);
        list->steps[list->count++] = (struct step){
            .node = link->node,
            .platform = link->platform != VARVE_NAME_NONE ? link->platform : from->platform,
            .attestation = link->attestation,
            .size_holds = loader->nodes[link->node].size == link->size,
        };
    }
}

static void add_image(struct loader *loader, const struct step *step, uint32_t ref) {
    const struct node *node = &loader->nodes[step->node];
    uint32_t platform = node->platform != VARVE_NAME_NONE ? node->platform : step->platform;
    struct varve_image image = {
        .ref = interned(loader, ref),
        .digest = loader->documents.names[step->node],
        .platform = interned(loader, platform),
        .attestation = step->attestation,
        .fault = node->fault,
        .fault_digest = node->fault.code ? loader->documents.names[node->fault_digest] : NULL,
        .claims = node->claims,
        .layer_count = node->claim_count,
    };
    if (!image.fault.code && !step->size_holds) {
        image.fault = varve_fault_of(VARVE_CODE_CLAIM_SIZE, node->size);
        image.fault_digest = image.digest;
    }
    loader->no_memory |= !varve_catalog_add_image(loader->catalog, &image);
}

/* Everything beneath one entry of index.json. `walk` (from 1) marks what was visited. */
static void walk_tree(struct loader *loader, struct steps *list, const struct link *top,
                      uint32_t walk) {
    struct node trunk = {.links = (struct link *)top, .link_count = 1};
    struct step nowhere = {.platform = VARVE_NAME_NONE};
    list->count = 0;
    push_links(loader, list, &trunk, &nowhere);
    while (list->count > 0 && !loader->no_memory) {
        struct step step = list->steps[--list->count];
        struct node *node = &loader->nodes[step.node];
        if (node->visited == walk) {
            continue;
        }
        bool first_visit = node->visited == 0;
        node->visited = walk;
        if (++loader->step_count > VARVE_LIMIT_SOURCE_STEPS) {
            complain(loader, NULL, varve_fault_of(VARVE_CODE_SOURCE_IMAGES, VARVE_NO_OFFSET));
            return;
        }
        if (node->index) {
            /* Copied: reading children may move the nodes. */
            struct node index = *node;
            if (first_visit && (node->fault.code || !step.size_holds)) {
                complain(loader, loader->documents.names[step.node],
                         node->fault.code ? node->fault
                                          : varve_fault_of(VARVE_CODE_CLAIM_SIZE, node->size));
            }
            push_links(loader, list, &index, &step);
        } else {
            add_image(loader, &step, top->ref);
        }
    }
}

/* image-spec image-layout.md, "oci-layout file". */
static void check_layout_file(struct loader *loader) {
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    struct varve_fault fault;
    bool good = varve_file_read(&data, &data_bytes, &fault, loader->root, "oci-layout",
                                VARVE_LIMIT_DOCUMENT_BYTES);
    if (good) {
        json_t *root = json_loadb((const char *)data, data_bytes, JSON_REJECT_DUPLICATES, NULL);
        good = json_is_string(json_object_get(root, "imageLayoutVersion"));
        json_decref(root);
        free(data);
    }
    if (!good) {
        complain(loader, "oci-layout", varve_fault_of(VARVE_CODE_OCI_LAYOUT, VARVE_NO_OFFSET));
    }
}

static void walk_all(struct loader *loader, const char *tag) {
    struct steps list = {0};
    bool found = false;
    /* Copied: reading may move the nodes; the links stay where they are. */
    struct node root = loader->nodes[0];
    for (size_t i = 0; i < root.link_count && !loader->no_memory; i++) {
        const char *ref = interned(loader, root.links[i].ref);
        if (tag && (!ref || strcmp(ref, tag) != 0)) {
            continue;
        }
        found = true;
        walk_tree(loader, &list, &root.links[i], (uint32_t)i + 1);
    }
    free(list.steps);
    if (tag && !found) {
        complain(loader, tag, varve_fault_of(VARVE_CODE_SOURCE_TAG, VARVE_NO_OFFSET));
    }
}

static void close_loader(struct loader *loader) {
    for (size_t i = 0; i < loader->documents.count && i < loader->node_room; i++) {
        free(loader->nodes[i].links);
    }
    free(loader->nodes);
    varve_name_map_free(&loader->documents);
    varve_name_map_free(&loader->strings);
}

enum varve_status varve_source_oci_add(struct varve_catalog *catalog, const char *directory,
                                       const char *tag) {
    struct varve_fault fault;
    char *name = NULL;
    if (asprintf(&name, "oci:%s", directory) < 0) {
        return VARVE_ERROR;
    }
    struct loader loader = {.catalog = catalog, .name = name};
    enum varve_status result = VARVE_ERROR;
    loader.root = varve_directory_open(&fault, AT_FDCWD, directory);
    if (loader.root < 0) {
        complain(&loader, NULL, fault);
    } else if (varve_catalog_begin_source(catalog, name, loader.root) != VARVE_NAME_NONE &&
               node_named(&loader, "index.json") != VARVE_NAME_NONE) {
        check_layout_file(&loader);
        read_node(&loader, 0);
        if (loader.nodes[0].fault.code) {
            complain(&loader, "index.json", loader.nodes[0].fault);
        } else if (!loader.nodes[0].index) {
            complain(&loader, "index.json", varve_fault_of(VARVE_CODE_OCI_SHAPE, VARVE_NO_OFFSET));
        } else {
            walk_all(&loader, tag);
            result = VARVE_OK;
        }
    }
    if (loader.no_memory) {
        complain(&loader, NULL, varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET));
        result = VARVE_ERROR;
    }
    close_loader(&loader);
    free(name);
    return result;
}

bool varve_source_oci_looks_like(const char *directory) {
    struct varve_fault fault;
    int root = varve_directory_open(&fault, AT_FDCWD, directory);
    if (root < 0) {
        return false;
    }
    bool found =
        faccessat(root, "index.json", F_OK, 0) == 0 || faccessat(root, "oci-layout", F_OK, 0) == 0;
    close(root);
    return found;
}
