/* SPDX-License-Identifier: Apache-2.0 */
/* src/documents.c - the OCI documents of a place. */
#include "documents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "image_ladder.h"
#include "limits.h"
#include "oci_json.h"
#include "spill.h"

/* A reference from an index to a document. */
struct link {
    uint32_t node;
    uint32_t platform; /* in the loader's strings, or VARVE_NAME_NONE */
    uint32_t ref;
    bool attestation;
    uint8_t type;  /* enum varve_document_type: by the descriptor */
    uint64_t size; /* as claimed, or VARVE_NO_SIZE */
};

/* What reading a document gave, its config with it: a pure function of its digest and the place, so
 * that many can be read side by side; what comes of them is taken in order. */
struct reading {
    bool there;
    struct varve_fault fault; /* of the file */
    uint8_t *data;            /* where the catalog keeps documents; else NULL */
    size_t data_bytes;
    bool parsed; /* there is a document; else document_fault */
    struct varve_document document;
    struct varve_fault document_fault;
    bool config_there, config_parsed;
    const struct kept_config *config_kept; /* whose the config is, of another reading; or NULL */
    struct varve_fault config_fault, config_parse_fault;
    uint8_t *config_data;
    size_t config_data_bytes;
    struct varve_config config;
};

/* What reading a large config gave: thousands of manifests may name the same. */
struct kept_config {
    bool judged; /* it was asked for as a config; else config, parsed and parse_fault say nothing */
    bool parsed;
    struct varve_fault fault, parse_fault;
    struct varve_config config;
    size_t bytes;
    struct varve_bytes json; /* the catalog's, where it keeps documents */
};

/* Configs of so many bytes are kept: ordinary ones have some 10 KiB, and few are shared. */
#define KEPT_BYTES ((size_t)64 << 10)

enum node_kind { NODE_UNREAD, NODE_BAD, NODE_MANIFEST, NODE_INDEX };

/* Of documents' nodes and names, before they lie in a temporary file (spill.h); freed with the
 * source. */
#define MEMORY_BYTES ((size_t)8 << 20)
#define RELAX_EVERY 64u

/* A document: number = its digest's in `names`. */
struct node {
    enum node_kind kind;
    bool attestation, artifact;
    bool has_parent;          /* an index refers to it */
    bool type_told, nul_told; /* there is a note on that */
    uint8_t type;             /* enum varve_document_type: by its own mediaType */
    uint32_t file;            /* what it was read from where no digest led to it; in `strings` */
    struct varve_fault fault;
    uint32_t fault_digest; /* number of the document at fault */
    uint64_t size;
    struct link *links; /* index */
    size_t link_count;
    const uint32_t *claims; /* manifest; the catalog's */
    size_t claim_count;
    const struct varve_config_digests *config;     /* the catalog's */
    struct varve_bytes manifest_json, config_json; /* the catalog's, where it keeps them */
    uint32_t platform;                             /* of the config */
    uint32_t visited;                              /* walk that came by last; from 1 */
    uint32_t turn;            /* place + 1 among those that are expected; 0: it is not */
    struct reading *reading;  /* read ahead, not taken yet */
    struct kept_config *kept; /* of what was read as a config; or NULL */
};

/* A place in a walk: a node as one tag's tree reaches it. */
struct step {
    uint32_t node;
    uint32_t platform;
    bool attestation;
    bool size_holds;
    bool kind_holds; /* it is a document of the kind that its descriptor says */
};

struct varve_documents {
    struct varve_place *place;
    const char *repository;
    struct varve_name_map names; /* digests as text */
    struct varve_name_map strings;
    struct varve_name_map unreadable; /* folders and blobs of which that was told */
    struct varve_spill *spill;        /* where the first two and the nodes lie */
    struct varve_table nodes;
    unsigned reads;     /* of nodes, since memory was looked at */
    struct step *steps; /* what a walk still has to visit */
    size_t step_count, step_room;
    uint32_t *expected; /* nodes that will be read, in about that order */
    size_t expected_count, expected_room;
    uint32_t walk_count;
    size_t visit_count; /* of all walks */
    bool keeps_any;     /* some node has a kept config */
    bool found_any;     /* a manifest or an index */
};

static struct node *node_at(const struct varve_documents *documents, uint32_t number) {
    return varve_table_at(&documents->nodes, number);
}

static uint32_t intern(struct varve_documents *documents, const char *text) {
    if (!text || !*text) {
        return VARVE_NAME_NONE;
    }
    uint32_t number = varve_name_map_add(&documents->strings, NULL, text);
    documents->place->no_memory |= number == VARVE_NAME_NONE;
    return number;
}

static const char *interned(const struct varve_documents *documents, uint32_t number) {
    return number == VARVE_NAME_NONE ? NULL : documents->strings.names[number];
}

/* The node of a document, made where it was not known. */
static uint32_t node_named(struct varve_documents *documents, const char *name) {
    bool added = false;
    uint32_t number = varve_table_reserve(&documents->nodes)
                          ? varve_name_map_add(&documents->names, &added, name)
                          : VARVE_NAME_NONE;
    if (number == VARVE_NAME_NONE) {
        documents->place->no_memory = true;
    } else if (added) {
        struct node *node = varve_table_add(&documents->nodes);
        *node = (struct node){
            .fault_digest = number, .platform = VARVE_NAME_NONE, .file = VARVE_NAME_NONE};
    }
    return number;
}

static uint32_t node_of(struct varve_documents *documents, const struct varve_digest_name *digest) {
    char text[VARVE_DIGEST_TEXT_BYTES];
    varve_digest_name_text(text, digest);
    return node_named(documents, text);
}

/* Keeps a node's first fault, with the document it was found in. */
static void blame(struct node *node, uint32_t document, struct varve_fault fault) {
    if (fault.code && !node->fault.code) {
        node->fault = fault;
        node->fault_digest = document;
    }
}

/* A document as people know it: its file, else its digest. */
static const char *label_of(const struct varve_documents *documents, uint32_t number) {
    const char *file = interned(documents, node_at(documents, number)->file);
    return file ? file : documents->names.names[number];
}

/* Tells once of a document that a string in it holds a NUL, or that its media types differ. */
static void note_nul(struct varve_documents *documents, uint32_t number) {
    struct node *node = node_at(documents, number);
    if (!node->nul_told) {
        node->nul_told = true;
        varve_place_note(documents->place, label_of(documents, number), VARVE_CODE_OCI_NUL);
    }
}

static void note_type(struct varve_documents *documents, uint32_t number) {
    struct node *node = node_at(documents, number);
    if (!node->type_told) {
        node->type_told = true;
        varve_place_note(documents->place, label_of(documents, number), VARVE_CODE_OCI_MEDIA_TYPE);
    }
}

/* --- reading: any thread --- */

/* A document's bytes are kept no longer than they are wanted. */
static void drop_bytes(const struct varve_documents *documents, uint8_t **data) {
    if (!varve_catalog_keeps_documents(documents->place->catalog)) {
        free(*data);
        *data = NULL;
    }
}

/* What an earlier reading of a config gave, as a reading. */
static bool read_kept(const struct varve_documents *documents, struct reading *reading,
                      bool is_config) {
    char name[VARVE_DIGEST_TEXT_BYTES];
    if (!documents->keeps_any) {
        return false;
    }
    varve_digest_name_text(name, &reading->document.config.digest);
    uint32_t number = varve_name_map_find(&documents->names, name);
    const struct kept_config *kept =
        number == VARVE_NAME_NONE ? NULL : node_at(documents, number)->kept;
    if (!kept || (is_config && !kept->judged)) {
        return false;
    }
    reading->config_there = true;
    reading->config_kept = kept;
    reading->config_fault = kept->fault;
    reading->config_data_bytes = kept->bytes;
    if (is_config) {
        reading->config_parsed = kept->parsed;
        reading->config_parse_fault = kept->parse_fault;
        reading->config = kept->config;
    }
    return true;
}

static void read_config(const struct varve_documents *documents, struct reading *reading) {
    const struct varve_descriptor *descriptor = &reading->document.config;
    bool is_config = varve_media_type_is_config(descriptor->media_type);
    if (read_kept(documents, reading, is_config)) {
        return;
    }
    reading->config_there = varve_place_read_digest(documents->place, &reading->config_data,
                                                    &reading->config_data_bytes,
                                                    &reading->config_fault, &descriptor->digest);
    if (reading->config_there && is_config) {
        reading->config_parsed =
            varve_config_parse(&reading->config, &reading->config_parse_fault, reading->config_data,
                               reading->config_data_bytes);
    }
    drop_bytes(documents, &reading->config_data);
}

/* Makes of `data`, which it takes over, what can be made of it. */
static void parse(const struct varve_documents *documents, struct reading *reading, uint8_t *data,
                  size_t data_bytes) {
    reading->data = data;
    reading->data_bytes = data_bytes;
    reading->parsed =
        varve_document_parse(&reading->document, &reading->document_fault, data, data_bytes);
    drop_bytes(documents, &reading->data);
    if (reading->parsed && reading->document.kind == VARVE_DOCUMENT_MANIFEST &&
        !reading->document.config.fault.code) {
        read_config(documents, reading);
    }
}

/* The document that a digest names. */
static void read_digest(const struct varve_documents *documents, struct reading *reading,
                        const char *name) {
    struct varve_digest_name digest;
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    memset(reading, 0, sizeof *reading);
    if (varve_digest_name_parse(&digest, name, strlen(name)) &&
        varve_place_read_digest(documents->place, &data, &data_bytes, &reading->fault, &digest)) {
        reading->there = true;
        parse(documents, reading, data, data_bytes);
    }
}

static void free_reading(struct reading *reading) {
    if (reading->parsed) {
        varve_document_free(&reading->document);
    }
    if (reading->config_parsed && !reading->config_kept) {
        varve_config_free(&reading->config);
    }
    free(reading->data);
    free(reading->config_data);
}

/* So many documents are read ahead at most, and no more of them once they have so many bytes:
 * documents may be large where somebody means ill. */
#define AHEAD_COUNT 256u
#define AHEAD_SHARE 4 /* a thread's, at a time */
#define AHEAD_BYTES (UINT64_C(8) << 20)

/* Whether a document that is expected has to be read still. */
static bool is_unread(const struct varve_documents *documents, size_t place) {
    const struct node *node = node_at(documents, documents->expected[place]);
    return node->kind == NODE_UNREAD && !node->reading;
}

/* Reads a document that is expected and unread, and its neighbours side by side with it: those
 * behind it, or where the next was read already those before it, for the children of an index are
 * taken from its end. Few are read by this thread alone: a team costs more than they do where other
 * programs want the CPUs, and a chain of indexes would call one for every link. */
static void read_ahead(struct varve_documents *documents, size_t place) {
    size_t begin = place;
    size_t end = place + 1;
    while (end < documents->expected_count && end - begin < AHEAD_COUNT &&
           is_unread(documents, end)) {
        end++;
    }
    while (end == place + 1 && begin > 0 && end - begin < AHEAD_COUNT &&
           is_unread(documents, begin - 1)) {
        begin--;
    }
    int count = (int)(end - begin);
    uint64_t bytes = 0;
#pragma omp parallel for schedule(dynamic, AHEAD_SHARE) if (count > AHEAD_SHARE)                   \
    num_threads(varve_catalog_threads(documents->place->catalog))
    for (int i = 0; i < count; i++) {
        /* The one that is asked for comes first, whatever the others are. */
        size_t at = begin == place ? place + (size_t)i : place - (size_t)i;
        uint32_t number = documents->expected[at];
        struct node *node = node_at(documents, number);
        uint64_t taken = 0;
#pragma omp atomic read
        taken = bytes;
        struct reading *reading = NULL;
        if (taken < AHEAD_BYTES && !varve_catalog_is_cancelled(documents->place->catalog)) {
            reading = malloc(sizeof *reading);
        }
        if (reading) {
            read_digest(documents, reading, documents->names.names[number]);
#pragma omp atomic
            bytes += reading->data_bytes + (reading->config_kept ? 0 : reading->config_data_bytes);
            node->reading = reading;
        }
    }
}

/* --- taking: in order --- */

/* Says that a document will be read, if it was not yet. */
static void expect(struct varve_documents *documents, uint32_t number) {
    if (node_at(documents, number)->kind != NODE_UNREAD || node_at(documents, number)->turn) {
        return;
    }
    if (documents->expected_count == documents->expected_room) {
        size_t room = documents->expected_room ? 2 * documents->expected_room : 64;
        uint32_t *expected = realloc(documents->expected, room * sizeof *expected);
        if (!expected) {
            return; /* it is read when it is its turn */
        }
        documents->expected = expected;
        documents->expected_room = room;
    }
    documents->expected[documents->expected_count++] = number;
    node_at(documents, number)->turn = (uint32_t)documents->expected_count;
}

/* Keeps what reading a config gave, where that is worth it. Without memory it is read again. */
static void keep_config(struct varve_documents *documents, uint32_t document,
                        const struct reading *reading, struct varve_bytes json) {
    if (!reading->config_there || reading->config_kept || reading->config_data_bytes < KEPT_BYTES) {
        return;
    }
    const struct varve_config *config = &reading->config;
    size_t diffids_bytes = config->diffid_count * sizeof *config->diffids;
    struct kept_config *kept = varve_spill_allocate(documents->spill, sizeof *kept);
    struct varve_digest_name *diffids = varve_spill_allocate(documents->spill, diffids_bytes + 1);
    if (!kept || !diffids) {
        return;
    }
    if (diffids_bytes) {
        memcpy(diffids, config->diffids, diffids_bytes);
    }
    *kept = (struct kept_config){
        .judged = varve_media_type_is_config(reading->document.config.media_type),
        .parsed = reading->config_parsed,
        .fault = reading->config_fault,
        .parse_fault = reading->config_parse_fault,
        .config = *config,
        .bytes = reading->config_data_bytes,
        .json = json,
    };
    kept->config.diffids = diffids;
    node_at(documents, document)->kept = kept;
    documents->keeps_any = true;
}

/* The config's faults and platform become the node's. */
static void take_config(struct varve_documents *documents, uint32_t number,
                        const struct reading *reading) {
    const struct varve_descriptor *descriptor = &reading->document.config;
    uint32_t document = node_of(documents, &descriptor->digest);
    if (document == VARVE_NAME_NONE) {
        return;
    }
    struct node *node = node_at(documents, number);
    blame(node, document, reading->config_fault);
    if (reading->config_there) {
        if (reading->config_kept) {
            node->config_json = reading->config_kept->json;
        } else if (reading->config_data) {
            node->config_json = varve_place_keep_document(documents->place, reading->config_data,
                                                          reading->config_data_bytes);
        }
        keep_config(documents, document, reading, node->config_json);
        if (reading->config_parsed && reading->config.holds_nul) {
            note_nul(documents, document);
        }
        if (reading->config_data_bytes != descriptor->size) {
            blame(node, document,
                  varve_fault_of(VARVE_CODE_CLAIM_SIZE, reading->config_data_bytes));
        }
        /* An artifact's config, which is not an image's, has nothing to give and no fault. */
        if (!reading->config_parsed && varve_media_type_is_config(descriptor->media_type)) {
            blame(node, document, reading->config_parse_fault);
        }
    }
    node->platform = intern(documents, reading->config.platform);
}

/* One layer as a claim upon its blob. VARVE_NAME_NONE: no memory. */
static uint32_t add_layer(struct varve_documents *documents, const struct varve_descriptor *layer,
                          const struct varve_digest_name *diffid) {
    char name[VARVE_DIGEST_TEXT_BYTES];
    varve_digest_name_text(name, &layer->digest);
    bool known = diffid && diffid->algorithm == VARVE_ALGORITHM_SHA256;
    uint32_t blob = varve_place_add_blob(documents->place, name, false);
    uint32_t claim = blob == VARVE_NAME_NONE
                         ? VARVE_NAME_NONE
                         : varve_catalog_add_claim(documents->place->catalog, blob, layer->size,
                                                   layer->media_type, known ? diffid->bytes : NULL);
    documents->place->no_memory |= claim == VARVE_NAME_NONE;
    return claim;
}

static void take_manifest(struct varve_documents *documents, uint32_t number,
                          const struct reading *reading) {
    const struct varve_document *document = &reading->document;
    const struct varve_config *config = &reading->config;
    bool has_config = reading->config_parsed;
    blame(node_at(documents, number), number, document->config.fault);
    if (!document->config.fault.code) {
        take_config(documents, number, reading);
    }
    struct node *node = node_at(documents, number);
    node->kind = NODE_MANIFEST;
    node->attestation = document->attestation;
    node->artifact = document->artifact;
    if (has_config) {
        node->config = varve_place_keep_config(documents->place, &config->digests);
        if (config->diffid_count != document->child_count) {
            blame(node, node->fault_digest,
                  varve_fault_of(VARVE_CODE_OCI_DIFFID_COUNT, VARVE_NO_OFFSET));
        }
    }
    uint32_t *claims = varve_catalog_new_claims(documents->place->catalog, document->child_count);
    size_t count = 0;
    for (size_t i = 0; claims && i < document->child_count; i++) {
        const struct varve_descriptor *layer = &document->children[i];
        bool has_diffid = has_config && i < config->diffid_count;
        blame(node, number, layer->fault);
        if (!layer->fault.code) {
            uint32_t claim = add_layer(documents, layer, has_diffid ? &config->diffids[i] : NULL);
            claims[count] = claim;
            count += claim != VARVE_NAME_NONE;
        }
    }
    documents->place->no_memory |= !claims;
    node->claims = claims;
    node->claim_count = count;
}

/* The links of an index: manifests and indexes. Other media types are none of ours and no error:
 * what they name is hashed like a layer. A child whose descriptor is bad is reported; the others
 * stand. */
static void take_index(struct varve_documents *documents, uint32_t number,
                       const struct varve_document *document) {
    struct link *links = calloc(document->child_count + 1, sizeof *links);
    size_t count = 0;
    documents->place->no_memory |= !links;
    for (size_t i = 0; links && i < document->child_count; i++) {
        const struct varve_descriptor *child = &document->children[i];
        if (child->fault.code) {
            varve_place_complain(documents->place, label_of(documents, number), child->fault);
        } else if (varve_media_type_is_document(child->media_type)) {
            uint32_t node = node_of(documents, &child->digest);
            if (node == VARVE_NAME_NONE) {
                break;
            }
            node_at(documents, node)->has_parent = true;
            expect(documents, node);
            links[count++] = (struct link){node,
                                           intern(documents, child->platform),
                                           intern(documents, child->ref),
                                           child->attestation,
                                           (uint8_t)varve_media_type_document(child->media_type),
                                           child->size};
        } else {
            add_layer(documents, child, NULL);
        }
    }
    struct node *node = node_at(documents, number);
    node->kind = NODE_INDEX;
    node->links = links;
    node->link_count = count;
}

/* Makes a node of what reading its document gave. */
static void take(struct varve_documents *documents, uint32_t number,
                 const struct reading *reading) {
    struct node *node = node_at(documents, number);
    node->size = reading->data_bytes;
    if (!reading->parsed) {
        blame(node, number, reading->document_fault);
        return;
    }
    documents->found_any = true;
    node->type = (uint8_t)reading->document.type;
    if (reading->document.type == VARVE_DOCUMENT_TYPE_OTHER) {
        note_type(documents, number);
    }
    if (reading->document.holds_nul) {
        note_nul(documents, number);
    }
    if (reading->document.kind == VARVE_DOCUMENT_INDEX) {
        take_index(documents, number, &reading->document);
        return;
    }
    if (reading->data) {
        node->manifest_json =
            varve_place_keep_document(documents->place, reading->data, reading->data_bytes);
    }
    take_manifest(documents, number, reading);
}

/* Makes a node of a document's bytes, which are taken over. */
static void take_bytes(struct varve_documents *documents, uint32_t number, uint8_t *data,
                       size_t data_bytes) {
    struct reading reading = {0};
    parse(documents, &reading, data, data_bytes);
    take(documents, number, &reading);
    free_reading(&reading);
}

/* Reads the document behind a node, if that was not done yet, and where it is one of many that are
 * expected those after it too. */
static void read_node(struct varve_documents *documents, uint32_t number) {
    struct node *node = node_at(documents, number);
    struct reading here;
    if (node->kind != NODE_UNREAD) {
        return;
    }
    if (++documents->reads % RELAX_EVERY == 0) {
        varve_spill_relax(documents->spill);
    }
    if (node->turn && !node->reading) {
        read_ahead(documents, node->turn - 1);
    }
    struct reading *ahead = node->reading;
    node->reading = NULL;
    if (!ahead) {
        read_digest(documents, &here, documents->names.names[number]);
    }
    struct reading *reading = ahead ? ahead : &here;
    node->kind = NODE_BAD;
    blame(node, number, reading->fault);
    if (reading->there) {
        take(documents, number, reading);
    }
    free_reading(reading);
    free(ahead);
}

/* Whether a link's descriptor and the document behind it, where there is one, are of one kind. That
 * the two name it by different media types of the kind is told. */
static bool link_holds(struct varve_documents *documents, const struct link *link) {
    const struct node *node = node_at(documents, link->node);
    bool index = node->kind == NODE_INDEX;
    if ((!index && node->kind != NODE_MANIFEST) || link->type == VARVE_DOCUMENT_TYPE_NONE) {
        return true;
    }
    if (varve_document_type_is_index(link->type) != index) {
        return false;
    }
    if (node->type != VARVE_DOCUMENT_TYPE_NONE && node->type != link->type) {
        note_type(documents, link->node);
    }
    return true;
}

/* Puts links on the list, the first on top. */
static void push_links(struct varve_documents *documents, const struct link *links, size_t count,
                       const struct step *from) {
    if (documents->step_count + count > documents->step_room) {
        size_t room = 2 * (documents->step_count + count);
        struct step *steps = realloc(documents->steps, room * sizeof *steps);
        if (!steps) {
            documents->place->no_memory = true;
            return;
        }
        documents->steps = steps;
        documents->step_room = room;
    }
    for (size_t i = count; i-- > 0;) {
        const struct link *link = &links[i];
        if (varve_place_is_over(documents->place)) {
            return;
        }
        read_node(documents, link->node);
        documents->steps[documents->step_count++] = (struct step){
            .node = link->node,
            .platform = link->platform != VARVE_NAME_NONE ? link->platform : from->platform,
            .attestation = link->attestation,
            .size_holds =
                link->size == VARVE_NO_SIZE || node_at(documents, link->node)->size == link->size,
            .kind_holds = link_holds(documents, link),
        };
    }
}

/* What is wrong with a document as a descriptor leads to it. */
static struct varve_fault step_fault(const struct step *step, const struct node *node) {
    return step->kind_holds ? varve_fault_of(VARVE_CODE_CLAIM_SIZE, node->size)
                            : varve_fault_of(VARVE_CODE_OCI_AMBIGUOUS, VARVE_NO_OFFSET);
}

static void add_image(struct varve_documents *documents, const struct step *step, const char *ref) {
    const struct node *node = node_at(documents, step->node);
    uint32_t platform = node->platform != VARVE_NAME_NONE ? node->platform : step->platform;
    bool attestation = step->attestation || node->attestation;
    struct varve_image image = {
        .ref = ref,
        .digest = documents->names.names[step->node],
        .platform = interned(documents, platform),
        .attestation = attestation,
        .artifact = node->artifact && !attestation,
        .fault = node->fault,
        .fault_digest = node->fault.code ? documents->names.names[node->fault_digest] : NULL,
        .claims = node->claims,
        .layer_count = node->claim_count,
        .config = node->config,
        .manifest_json = node->manifest_json,
        .config_json = node->config_json,
    };
    if (!image.fault.code && (!step->size_holds || !step->kind_holds)) {
        image.fault = step_fault(step, node);
        image.fault_digest = image.digest;
    }
    documents->place->no_memory |= !varve_catalog_add_image(documents->place->catalog, &image);
}

/* Everything beneath one link. */
static void walk_link(struct varve_documents *documents, const struct link *top, const char *ref) {
    struct step nowhere = {.platform = VARVE_NAME_NONE};
    uint32_t walk = ++documents->walk_count;
    documents->step_count = 0;
    push_links(documents, top, 1, &nowhere);
    while (documents->step_count > 0 && !documents->place->no_memory) {
        struct step step = documents->steps[--documents->step_count];
        struct node *node = node_at(documents, step.node);
        if (node->visited == walk) {
            continue;
        }
        bool first_visit = node->visited == 0;
        node->visited = walk;
        documents->visit_count += 1 + node->claim_count / VARVE_LAYERS_A_STEP;
        if (documents->visit_count > VARVE_LIMIT_SOURCE_STEPS) {
            varve_place_complain(documents->place, NULL,
                                 varve_fault_of(VARVE_CODE_SOURCE_IMAGES, VARVE_NO_OFFSET));
            return;
        }
        if (node->kind != NODE_INDEX) {
            add_image(documents, &step, ref);
            continue;
        }
        if (first_visit && (node->fault.code || !step.size_holds || !step.kind_holds)) {
            varve_place_complain(documents->place, label_of(documents, step.node),
                                 node->fault.code ? node->fault : step_fault(&step, node));
        }
        push_links(documents, node->links, node->link_count, &step);
    }
}

/* Walks with the full reference: repository, tag, or both. */
static void walk_as(struct varve_documents *documents, const struct link *top, const char *tag) {
    const char *repository = documents->repository;
    if (!repository || !tag) {
        walk_link(documents, top, tag ? tag : repository);
        return;
    }
    char *ref = NULL;
    if (asprintf(&ref, "%s:%s", repository, tag) < 0) {
        documents->place->no_memory = true;
        return;
    }
    walk_link(documents, top, ref);
    free(ref);
}

struct varve_documents *varve_documents_open(struct varve_place *place, const char *repository) {
    struct varve_documents *documents = calloc(1, sizeof *documents);
    if (!documents) {
        place->no_memory = true;
        return NULL;
    }
    documents->place = place;
    documents->repository = repository;
    documents->spill = varve_spill_open(MEMORY_BYTES, varve_catalog_temporary(place->catalog));
    if (!documents->spill) {
        free(documents);
        place->no_memory = true;
        return NULL;
    }
    documents->names.spill = documents->strings.spill = documents->spill;
    documents->nodes =
        (struct varve_table){.spill = documents->spill, .element_bytes = sizeof(struct node)};
    return documents;
}

void varve_documents_close(struct varve_documents *documents) {
    if (!documents) {
        return;
    }
    for (size_t i = 0; i < documents->nodes.count; i++) {
        struct node *node = varve_table_at(&documents->nodes, i);
        free(node->links);
        if (node->reading) {
            free_reading(node->reading);
            free(node->reading);
        }
        if (i % RELAX_EVERY == 0) {
            varve_spill_relax(documents->spill);
        }
    }
    varve_table_free(&documents->nodes);
    free(documents->expected);
    free(documents->steps);
    varve_name_map_free(&documents->names);
    varve_name_map_free(&documents->strings);
    varve_name_map_free(&documents->unreadable);
    varve_spill_close(documents->spill);
    free(documents);
}

uint32_t varve_documents_file(struct varve_documents *documents, const char *path) {
    struct varve_digest_name digest;
    struct varve_fault fault;
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    if (!varve_place_read(documents->place, &data, &data_bytes, &fault, path)) {
        varve_place_complain(documents->place, path, fault);
        return VARVE_NAME_NONE;
    }
    uint32_t number = VARVE_NAME_NONE;
    if (varve_digest_name_of(&digest, data, data_bytes)) {
        number = node_of(documents, &digest);
    } else {
        documents->place->no_memory = true;
    }
    if (number != VARVE_NAME_NONE && node_at(documents, number)->kind == NODE_UNREAD) {
        node_at(documents, number)->kind = NODE_BAD;
        node_at(documents, number)->file = intern(documents, path);
        take_bytes(documents, number, data, data_bytes);
        data = NULL;
    }
    free(data);
    if (number != VARVE_NAME_NONE && node_at(documents, number)->kind == NODE_BAD) {
        varve_place_complain(documents->place, path, node_at(documents, number)->fault);
        return VARVE_NAME_NONE;
    }
    return number;
}

bool varve_documents_is_index(const struct varve_documents *documents, uint32_t number) {
    return node_at(documents, number)->kind == NODE_INDEX;
}

void varve_documents_walk_entries(struct varve_documents *documents, uint32_t number,
                                  const char *tag) {
    bool found = false;
    const struct link *links = node_at(documents, number)->links;
    size_t count = node_at(documents, number)->link_count;
    for (size_t i = 0; i < count && !varve_place_is_over(documents->place); i++) {
        const char *ref = interned(documents, links[i].ref);
        if (tag && (!ref || strcmp(ref, tag) != 0)) {
            continue;
        }
        found = true;
        walk_as(documents, &links[i], ref);
    }
    if (tag && !found) {
        varve_place_complain(documents->place, tag,
                             varve_fault_of(VARVE_CODE_SOURCE_TAG, VARVE_NO_OFFSET));
    }
}

void varve_documents_walk(struct varve_documents *documents, uint32_t number, const char *ref) {
    const struct link top = {number, VARVE_NAME_NONE,          VARVE_NAME_NONE,
                             false,  VARVE_DOCUMENT_TYPE_NONE, VARVE_NO_SIZE};
    walk_as(documents, &top, ref);
}

void varve_documents_walk_digest(struct varve_documents *documents,
                                 const struct varve_digest_name *digest, const char *ref) {
    uint32_t number = node_of(documents, digest);
    if (number != VARVE_NAME_NONE) {
        varve_documents_walk(documents, number, ref);
    }
}

void varve_documents_expect(struct varve_documents *documents,
                            const struct varve_digest_name *digest) {
    uint32_t number = node_of(documents, digest);
    if (number != VARVE_NAME_NONE) {
        expect(documents, number);
    }
}

bool varve_documents_leads_on(struct varve_documents *documents,
                              const struct varve_digest_name *digest) {
    uint32_t number = node_of(documents, digest);
    if (number != VARVE_NAME_NONE) {
        read_node(documents, number);
    }
    return number != VARVE_NAME_NONE && node_at(documents, number)->kind == NODE_INDEX;
}

uint32_t varve_documents_walk_count(const struct varve_documents *documents) {
    return documents->walk_count;
}

bool varve_documents_reached(const struct varve_documents *documents, const char *digest,
                             uint32_t since) {
    uint32_t number = varve_name_map_find(&documents->names, digest);
    return number != VARVE_NAME_NONE && node_at(documents, number)->visited > since;
}

/* Whether bytes are an index or a manifest, or claim to be in a way that readers disagree on. */
static bool is_document(const struct varve_documents *documents, const uint8_t *data,
                        size_t data_bytes) {
    struct varve_document document;
    struct varve_fault fault;
    if (varve_document_parse(&document, &fault, data, data_bytes)) {
        varve_document_free(&document);
        return true;
    }
    documents->place->no_memory |= varve_file_is_unread(&fault);
    return strcmp(fault.code, varve_code_at(VARVE_CODE_OCI_AMBIGUOUS)->code) == 0 ||
           strcmp(fault.code, varve_code_at(VARVE_CODE_OCI_SCHEMA1)->code) == 0;
}

/* Tells once of what could not be looked at, though the place is gone through twice. */
static void tell_unreadable(struct varve_documents *documents, const char *path,
                            const struct varve_fault *fault) {
    bool added = false;
    if (varve_name_map_add(&documents->unreadable, &added, path) == VARVE_NAME_NONE) {
        documents->place->no_memory = true;
    } else if (added) {
        varve_place_complain(documents->place, path, *fault);
    }
}

static void sniff_unreadable(void *cookie, const char *path, const struct varve_fault *fault) {
    tell_unreadable(cookie, path, fault);
}

/* Looks at one blob of a store without tags. */
static bool sniff(void *cookie, const char *name) {
    struct varve_documents *documents = cookie;
    struct varve_digest_name digest;
    struct varve_fault fault;
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    if (varve_place_is_over(documents->place)) {
        return false;
    }
    bool may = varve_place_peek(documents->place, &fault, name) == '{' &&
               varve_digest_name_parse(&digest, name, strlen(name));
    if (!may || !varve_place_read_digest(documents->place, &data, &data_bytes, &fault, &digest)) {
        if (fault.code && varve_file_is_unread(&fault)) {
            tell_unreadable(documents, name, &fault);
        }
        return !documents->place->no_memory;
    }
    if (is_document(documents, data, data_bytes)) {
        uint32_t number = node_named(documents, name);
        if (number != VARVE_NAME_NONE && node_at(documents, number)->kind == NODE_UNREAD) {
            node_at(documents, number)->kind = NODE_BAD;
            blame(node_at(documents, number), number, fault);
            take_bytes(documents, number, data, data_bytes);
            data = NULL;
        }
    }
    free(data);
    return !documents->place->no_memory;
}

void varve_documents_sniff(struct varve_documents *documents) {
    const struct varve_pattern_visitor visitor = {.digest = sniff, .unreadable = sniff_unreadable};
    varve_place_each(documents->place, &visitor, documents);
    size_t count = documents->names.count;
    for (uint32_t i = 0; i < count && !documents->place->no_memory; i++) {
        const struct node *node = node_at(documents, i);
        if (!node->has_parent && node->kind != NODE_UNREAD) {
            varve_documents_walk(documents, i, NULL);
        }
    }
}

struct rest {
    struct varve_documents *documents;
    const struct varve_pattern_visitor *visitor; /* may be NULL */
};

/* What no document led to. */
static bool is_rest(void *cookie, const char *name) {
    const struct rest *rest = cookie;
    struct varve_documents *documents = rest->documents;
    if (++documents->reads % RELAX_EVERY == 0) {
        varve_spill_relax(documents->spill);
        varve_catalog_relax(documents->place->catalog);
    }
    return !varve_place_is_over(documents->place) &&
           !varve_catalog_has_blob(documents->place->catalog, name) &&
           varve_name_map_find(&documents->names, name) == VARVE_NAME_NONE;
}

static bool add_rest(void *cookie, const char *name) {
    struct rest *rest = cookie;
    struct varve_place *place = rest->documents->place;
    if (is_rest(rest, name) &&
        (!rest->visitor || !rest->visitor->digest || rest->visitor->digest(place, name))) {
        varve_place_add_blob(place, name, rest->documents->found_any);
    }
    return !place->no_memory;
}

static void rest_misplaced(void *cookie, const char *path) {
    struct rest *rest = cookie;
    if (rest->visitor && rest->visitor->misplaced) {
        rest->visitor->misplaced(rest->documents->place, path);
    }
}

static void rest_unreadable(void *cookie, const char *path, const struct varve_fault *fault) {
    const struct rest *rest = cookie;
    tell_unreadable(rest->documents, path, fault);
}

void varve_documents_add_rest(struct varve_documents *documents,
                              const struct varve_pattern_visitor *visitor) {
    const struct varve_pattern_visitor all = {add_rest, is_rest, rest_misplaced, rest_unreadable};
    struct rest rest = {documents, visitor};
    varve_place_each(documents->place, &all, &rest);
}
