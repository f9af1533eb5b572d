/* SPDX-License-Identifier: Apache-2.0 */
/* src/rewrite.c - a layout's documents: what hangs on what, and what is wrong. */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "limits.h"
#include "oci_json.h"
#include "rewrite_internal.h"
#include "source.h"

#define PATTERN "blobs/%a/%h"

bool varve_rewrite_room(struct varve_rewrite *rewrite, void *items, size_t *room, size_t count,
                        size_t item_bytes) {
    if (count < *room) {
        return true;
    }
    size_t more = *room ? 2 * *room : 64;
    while (more <= count) {
        more *= 2;
    }
    void *old = NULL;
    memcpy(&old, items, sizeof old);
    void *grown = realloc(old, more * item_bytes);
    if (!grown) {
        rewrite->place.no_memory = true;
        return false;
    }
    memcpy(items, &grown, sizeof grown);
    *room = more;
    return true;
}

bool varve_rewrite_complain(struct varve_rewrite *rewrite, uint32_t document,
                            struct varve_fault fault) {
    char *text = NULL;
    const char *name = document == VARVE_NAME_NONE ? "index.json" : rewrite->names.names[document];
    uint32_t ref = document == VARVE_NAME_NONE ? VARVE_NAME_NONE : rewrite->documents[document].ref;
    if (ref == VARVE_NAME_NONE) {
        varve_place_complain(&rewrite->place, name, fault);
    } else if (asprintf(&text, "%s (%s)", name, rewrite->refs.names[ref]) < 0) {
        rewrite->place.no_memory = true;
    } else {
        varve_place_complain(&rewrite->place, text, fault);
        free(text);
    }
    return false;
}

bool varve_rewrite_complain_code(struct varve_rewrite *rewrite, uint32_t document,
                                 enum varve_code code) {
    return varve_rewrite_complain(rewrite, document, varve_fault_of(code, VARVE_NO_OFFSET));
}

/* The number of a document, made where it was not known. VARVE_NAME_NONE: no memory. */
static uint32_t document_named(struct varve_rewrite *rewrite, const char *name) {
    bool added = false;
    uint32_t number = varve_name_map_add(&rewrite->names, &added, name);
    if (number == VARVE_NAME_NONE) {
        rewrite->place.no_memory = true;
        return number;
    }
    if (added) {
        if (!varve_rewrite_room(rewrite, &rewrite->documents, &rewrite->document_room, number,
                                sizeof *rewrite->documents)) {
            return VARVE_NAME_NONE;
        }
        rewrite->documents[number] =
            (struct document){.ref = VARVE_NAME_NONE, .size = VARVE_NO_SIZE};
    }
    return number;
}

bool varve_rewrite_find(const struct varve_rewrite *rewrite, uint32_t *number, const char *digest) {
    *number = digest ? varve_name_map_find(&rewrite->names, digest) : VARVE_NAME_NONE;
    return *number != VARVE_NAME_NONE;
}

bool varve_rewrite_referrers_tag(char digest[VARVE_REFERRERS_DIGEST_BYTES], const char *tag) {
    struct varve_digest_name name;
    static const char *const words[] = {"", ".sig", ".att", ".sbom"};
    if (!tag || strncmp(tag, "sha256-", 7) != 0 || strlen(tag) < 71) {
        return false;
    }
    snprintf(digest, VARVE_REFERRERS_DIGEST_BYTES, "sha256:%.64s", tag + 7);
    bool known = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        known |= strcmp(tag + 71, words[i]) == 0;
    }
    return known && varve_digest_name_parse(&name, digest, strlen(digest));
}

/* ---- What a document names ---- */

static bool add_use(struct varve_rewrite *rewrite, uint32_t blob, uint32_t document) {
    struct blob *of = &rewrite->blobs[blob];
    if (of->last_use != VARVE_NAME_NONE && rewrite->uses[of->last_use].document == document) {
        return true;
    }
    uint32_t number = (uint32_t)rewrite->use_count;
    if (!varve_rewrite_room(rewrite, &rewrite->uses, &rewrite->use_room, number,
                            sizeof *rewrite->uses)) {
        return false;
    }
    rewrite->uses[rewrite->use_count++] = (struct use){document, VARVE_NAME_NONE};
    if (of->last_use == VARVE_NAME_NONE) {
        of->first_use = number;
    } else {
        rewrite->uses[of->last_use].next = number;
    }
    of->last_use = number;
    return true;
}

/* A blob that a document (VARVE_NAME_NONE: index.json) names. */
static bool add_blob(struct varve_rewrite *rewrite, uint32_t document,
                     const struct varve_descriptor *descriptor, bool layer) {
    char name[VARVE_DIGEST_TEXT_BYTES];
    bool added = false;
    varve_digest_name_text(name, &descriptor->digest);
    uint32_t number = varve_name_map_add(&rewrite->blob_names, &added, name);
    if (number == VARVE_NAME_NONE) {
        rewrite->place.no_memory = true;
        return false;
    }
    if (added) {
        if (!varve_rewrite_room(rewrite, &rewrite->blobs, &rewrite->blob_room, number,
                                sizeof *rewrite->blobs)) {
            return false;
        }
        rewrite->blobs[number] =
            (struct blob){.number = varve_place_add_blob(&rewrite->place, name, false),
                          .first_use = VARVE_NAME_NONE,
                          .last_use = VARVE_NAME_NONE,
                          .size = descriptor->size};
    }
    struct blob *blob = &rewrite->blobs[number];
    blob->layer |= layer;
    blob->copied |= !layer;
    if (blob->size != descriptor->size) {
        return varve_rewrite_complain_code(rewrite, document, VARVE_CODE_CLAIM_SIZE);
    }
    return document == VARVE_NAME_NONE || add_use(rewrite, number, document);
}

/* Notes that a document hangs on another one. */
static bool hang(struct varve_rewrite *rewrite, uint32_t document, uint32_t on) {
    struct document *it = &rewrite->documents[document];
    /* Powers of two are full. */
    if ((it->hangs_on_count & (it->hangs_on_count - 1)) == 0) {
        size_t room = it->hangs_on_count ? 2 * it->hangs_on_count : 1;
        uint32_t *grown = realloc(it->hangs_on, room * sizeof *grown);
        if (!grown) {
            rewrite->place.no_memory = true;
            return false;
        }
        it->hangs_on = grown;
    }
    it->hangs_on[it->hangs_on_count++] = on;
    return true;
}

/* A size that a descriptor claims of a document, against what is known so far. */
static bool expect_size(struct varve_rewrite *rewrite, uint32_t number, uint64_t size) {
    struct document *document = &rewrite->documents[number];
    if (document->size == VARVE_NO_SIZE) {
        document->size = size;
    }
    return document->size == size ||
           varve_rewrite_complain_code(rewrite, number, VARVE_CODE_CLAIM_SIZE);
}

/* Whether a document, where it was read, is of the kind that descriptors say. */
static bool expect_kind(struct varve_rewrite *rewrite, uint32_t number, bool as_index,
                        bool as_manifest) {
    enum document_kind kind = rewrite->documents[number].kind;
    bool index = kind == DOCUMENT_INDEX;
    bool manifest = kind == DOCUMENT_IMAGE || kind == DOCUMENT_COPIED;
    return !((index && as_manifest) || (manifest && as_index)) ||
           varve_rewrite_complain_code(rewrite, number, VARVE_CODE_OCI_AMBIGUOUS);
}

/* Something that may not be there, or may be no document, and is none of the layout's business
 * then: a subject, or what an attestation is about. VARVE_NAME_NONE: it is not there. */
static uint32_t document_if_there(struct varve_rewrite *rewrite, const char *digest) {
    uint32_t number = VARVE_NAME_NONE;
    struct varve_digest_name name;
    struct varve_fault fault;
    if (!digest || !varve_digest_name_parse(&name, digest, strlen(digest)) ||
        varve_rewrite_find(rewrite, &number, digest)) {
        return number;
    }
    int first = varve_place_peek(&rewrite->place, &fault, digest);
    if (fault.code) {
        varve_place_complain(&rewrite->place, digest, fault);
    }
    return first == '{' ? document_named(rewrite, digest) : VARVE_NAME_NONE;
}

static const char *digest_of(const json_t *descriptor) {
    return varve_json_string(json_object_get(descriptor, "digest"));
}

/* What the annotations of a document or a descriptor refer to. */
static const char *reference_of(const json_t *holder) {
    return varve_json_string(
        json_object_get(json_object_get(holder, "annotations"), "vnd.docker.reference.digest"));
}

/* The document that is a document's subject. */
static uint32_t subject_if_there(struct varve_rewrite *rewrite, const json_t *root) {
    const json_t *subject = json_object_get(root, "subject");
    const json_t *size = json_object_get(subject, "size");
    uint32_t on = document_if_there(rewrite, digest_of(subject));
    if (on != VARVE_NAME_NONE && json_is_integer(size) &&
        rewrite->documents[on].kind != DOCUMENT_NONE) {
        expect_size(rewrite, on, (uint64_t)json_integer_value(size));
    }
    return on;
}

/* Something that is there is to be written before a document. */
static void hang_if_there(struct varve_rewrite *rewrite, uint32_t number, uint32_t on) {
    if (on != VARVE_NAME_NONE) {
        hang(rewrite, number, on);
    }
}

static void refer(struct varve_rewrite *rewrite, uint32_t number, const json_t *holder) {
    hang_if_there(rewrite, number, document_if_there(rewrite, reference_of(holder)));
}

/* The subject of a document, and what either refers to. */
static void refer_to_subject(struct varve_rewrite *rewrite, uint32_t number, const json_t *root) {
    hang_if_there(rewrite, number, subject_if_there(rewrite, root));
    refer(rewrite, number, json_object_get(root, "subject"));
    refer(rewrite, number, root);
}

/* A tag as messages and the mapping show it: the same one may lead to many documents, so that a
 * long one is cut. */
static uint32_t shown_ref(struct varve_rewrite *rewrite, const char *ref) {
    char cut[VARVE_REF_SHOWN_BYTES];
    varve_catalog_cut_ref(cut, ref);
    uint32_t number = varve_name_map_add(&rewrite->refs, NULL, cut);
    rewrite->place.no_memory |= number == VARVE_NAME_NONE;
    return number;
}

/* A child of an index: the document, or VARVE_NAME_NONE where it is a blob or no memory is left. */
static uint32_t take_child(struct varve_rewrite *rewrite, uint32_t number,
                           const struct varve_descriptor *child) {
    char name[VARVE_DIGEST_TEXT_BYTES];
    if (child->fault.code) {
        varve_rewrite_complain(rewrite, number, child->fault);
        return VARVE_NAME_NONE;
    }
    if (!varve_media_type_is_document(child->media_type)) {
        add_blob(rewrite, number, child, false);
        return VARVE_NAME_NONE;
    }
    varve_digest_name_text(name, &child->digest);
    uint32_t on = document_named(rewrite, name);
    if (on == VARVE_NAME_NONE) {
        return on;
    }
    struct document *document = &rewrite->documents[on];
    if (document->kind == DOCUMENT_NONE) {
        document->kind = DOCUMENT_UNREAD; /* once more, to complain */
        document->visited = false;
    }
    document->needed = true;
    document->attestation |= child->attestation;
    if (document->ref == VARVE_NAME_NONE) {
        document->ref =
            number == VARVE_NAME_NONE ? VARVE_NAME_NONE : rewrite->documents[number].ref;
        if (child->ref && number == VARVE_NAME_NONE) {
            document->ref = shown_ref(rewrite, child->ref);
        }
    }
    bool index = varve_media_type_is_index(child->media_type);
    document->as_index |= index;
    document->as_manifest |= !index;
    expect_size(rewrite, on, child->size);
    expect_kind(rewrite, on, index, !index);
    return on;
}

static void take_index(struct varve_rewrite *rewrite, uint32_t number,
                       const struct varve_document *document) {
    rewrite->documents[number].kind = DOCUMENT_INDEX;
    refer_to_subject(rewrite, number, document->root);
    json_t *children = json_object_get(document->root, "manifests");
    for (size_t i = 0; i < document->child_count && !rewrite->place.no_memory; i++) {
        uint32_t on = take_child(rewrite, number, &document->children[i]);
        hang_if_there(rewrite, number, on);
        refer(rewrite, number, json_array_get(children, i));
    }
}

static struct config_read read_config(const struct varve_rewrite *rewrite,
                                      const struct varve_digest_name *digest) {
    struct config_read read = {.fault.code = NULL};
    struct varve_config config;
    size_t bytes = 0;
    uint8_t *data = NULL;
    if (varve_place_read_digest(&rewrite->place, &data, &bytes, &read.fault, digest) &&
        !read.fault.code && varve_config_parse(&config, &read.fault, data, bytes)) {
        read.diffids = config.diffids;
        read.diffid_count = config.diffid_count;
        config.diffids = NULL;
        varve_config_free(&config);
    }
    read.bytes = bytes;
    free(data);
    return read;
}

const struct config_read *varve_rewrite_read_config(struct varve_rewrite *rewrite,
                                                    const struct varve_digest_name *digest) {
    char name[VARVE_DIGEST_TEXT_BYTES];
    bool added = false;
    varve_digest_name_text(name, digest);
    uint32_t number = varve_name_map_add(&rewrite->read_names, &added, name);
    if (number == VARVE_NAME_NONE ||
        !varve_rewrite_room(rewrite, &rewrite->reads, &rewrite->read_room, number,
                            sizeof *rewrite->reads)) {
        rewrite->place.no_memory = true;
        return NULL;
    }
    if (added) {
        rewrite->reads[number] = read_config(rewrite, digest);
    }
    return &rewrite->reads[number];
}

/* An image's config: as many diff_ids as layers, each of its form. */
static void check_config(struct varve_rewrite *rewrite, uint32_t number,
                         const struct varve_document *document) {
    const struct config_read *config = varve_rewrite_read_config(rewrite, &document->config.digest);
    if (!config) {
        return;
    }
    if (config->fault.code) {
        varve_rewrite_complain(rewrite, number, config->fault);
    } else if (config->bytes != document->config.size) {
        varve_rewrite_complain_code(rewrite, number, VARVE_CODE_CLAIM_SIZE);
    } else if (config->diffid_count != document->child_count) {
        varve_rewrite_complain_code(rewrite, number, VARVE_CODE_OCI_DIFFID_COUNT);
    }
}

static bool is_image(const struct varve_document *document) {
    bool layer = document->child_count == 0;
    for (size_t i = 0; i < document->child_count; i++) {
        layer |= !document->children[i].fault.code &&
                 varve_media_type_of(document->children[i].media_type).known;
    }
    return layer && varve_media_type_is_config(document->config.media_type);
}

static void take_manifest(struct varve_rewrite *rewrite, uint32_t number,
                          const struct varve_document *document) {
    struct document *it = &rewrite->documents[number];
    it->kind = DOCUMENT_COPIED;
    it->attestation |= document->attestation;
    if (document->config.fault.code) {
        varve_rewrite_complain(rewrite, number, document->config.fault);
        return;
    }
    bool image = !it->attestation && is_image(document);
    if (image) {
        it->kind = DOCUMENT_IMAGE;
        check_config(rewrite, number, document);
    } else {
        add_blob(rewrite, number, &document->config, false);
    }
    refer_to_subject(rewrite, number, document->root);
    const json_t *layers = json_object_get(document->root, "layers");
    if (image) {
        refer(rewrite, number, json_object_get(document->root, "config"));
    }
    for (size_t i = 0; i < document->child_count && !rewrite->place.no_memory; i++) {
        const struct varve_descriptor *child = &document->children[i];
        if (image) {
            refer(rewrite, number, json_array_get(layers, i));
        }
        bool layer = image && !child->fault.code && varve_media_type_of(child->media_type).known;
        if (child->fault.code) {
            varve_rewrite_complain(rewrite, number, child->fault);
        } else if (layer &&
                   !varve_media_type_stored(child->media_type, rewrite->options.compression)) {
            varve_rewrite_complain_code(rewrite, number, VARVE_CODE_OCI_STORED);
        } else {
            add_blob(rewrite, number, child, layer);
        }
    }
}

uint8_t *varve_rewrite_reread(struct varve_rewrite *rewrite, size_t *bytes, const char *name,
                              uint32_t document) {
    struct varve_digest_name digest;
    struct varve_fault fault;
    uint8_t *data = NULL;
    if (!varve_digest_name_parse(&digest, name, strlen(name))) {
        assert(false);
        return NULL;
    }
    varve_place_read_digest(&rewrite->place, &data, bytes, &fault, &digest);
    if (fault.code) {
        varve_rewrite_complain(rewrite, document, fault);
        free(data);
        return NULL;
    }
    return data;
}

/* Whether bytes that are no sound document do not look like one either: other JSON, or a manifest
 * of schema 1. What readers would take for different things is none that may be passed over. */
static bool is_no_document(const struct varve_fault *fault) {
    static const enum varve_code codes[] = {VARVE_CODE_OCI_JSON, VARVE_CODE_OCI_SHAPE,
                                            VARVE_CODE_OCI_SCHEMA1};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (fault->code == varve_code_at(codes[i])->code) {
            return true;
        }
    }
    return false;
}

/* Reads a document, if that was not done yet. */
static void read_document(struct varve_rewrite *rewrite, uint32_t number) {
    struct varve_document parsed;
    struct varve_fault fault;
    size_t bytes = 0;
    if (rewrite->documents[number].kind != DOCUMENT_UNREAD) {
        return;
    }
    rewrite->documents[number].kind = DOCUMENT_BAD;
    uint8_t *data = varve_rewrite_reread(rewrite, &bytes, rewrite->names.names[number], number);
    if (!data) {
        return;
    }
    if (!varve_document_parse(&parsed, &fault, data, bytes)) {
        if (!rewrite->documents[number].needed && is_no_document(&fault)) {
            rewrite->documents[number].kind = DOCUMENT_NONE;
        } else {
            varve_rewrite_complain(rewrite, number, fault);
        }
        free(data);
        return;
    }
    if (expect_size(rewrite, number, bytes)) {
        if (parsed.kind == VARVE_DOCUMENT_INDEX) {
            take_index(rewrite, number, &parsed);
        } else {
            take_manifest(rewrite, number, &parsed);
        }
        expect_kind(rewrite, number, rewrite->documents[number].as_index,
                    rewrite->documents[number].as_manifest);
    }
    varve_document_free(&parsed);
    free(data);
}

/* ---- What hangs on what ---- */

/* A document whose children are being visited. */
struct step {
    uint32_t document;
    size_t next;
};

/* Puts a document and all that it hangs on into `order` (VARVE_NAME_NONE: nothing). A list of its
 * own instead of calls: nesting of any depth costs no stack. */
static void visit(struct varve_rewrite *rewrite, uint32_t top) {
    struct step *steps = NULL;
    size_t count = 0;
    size_t room = 0;
    uint32_t next = top;
    while (!rewrite->place.no_memory) {
        if (next != VARVE_NAME_NONE && !rewrite->documents[next].visited) {
            read_document(rewrite, next);
            rewrite->documents[next].visited = true;
            if (!varve_rewrite_room(rewrite, &steps, &room, count, sizeof *steps)) {
                break;
            }
            steps[count++] = (struct step){next, 0};
        }
        if (count == 0) {
            break;
        }
        struct step *step = &steps[count - 1];
        const struct document *document = &rewrite->documents[step->document];
        next = VARVE_NAME_NONE;
        if (step->next < document->hangs_on_count) {
            next = document->hangs_on[step->next++];
        } else if (document->kind == DOCUMENT_NONE) {
            count--;
        } else if (varve_rewrite_room(rewrite, &rewrite->order, &rewrite->order_room,
                                      rewrite->order_count, sizeof *rewrite->order)) {
            rewrite->order[rewrite->order_count++] = step->document;
            count--;
        }
    }
    free(steps);
}

/* An entry of index.json that nobody asked for, and that is kept if what it refers to is. */
struct waiting {
    size_t top;
    uint32_t next;
};

struct followers {
    struct varve_name_map about; /* digests that entries refer to */
    uint32_t *first;             /* by these: in `waiting` */
    struct varve_name_map read;  /* digests of entries whose documents were read */
    uint32_t *subjects;          /* by these: in `about`; VARVE_NAME_NONE: none */
    struct waiting *waiting;
    size_t first_room, subject_room, count, room;
};

/* The number of a digest that something refers to. VARVE_NAME_NONE: no digest, or no memory. */
static uint32_t about_of(struct varve_rewrite *rewrite, struct followers *followers,
                         const char *digest) {
    struct varve_digest_name name;
    bool added = false;
    if (!digest || !varve_digest_name_parse(&name, digest, strlen(digest))) {
        return VARVE_NAME_NONE;
    }
    uint32_t number = varve_name_map_add(&followers->about, &added, digest);
    if (number == VARVE_NAME_NONE ||
        !varve_rewrite_room(rewrite, &followers->first, &followers->first_room, number,
                            sizeof *followers->first)) {
        rewrite->place.no_memory = true;
        return VARVE_NAME_NONE;
    }
    if (added) {
        followers->first[number] = VARVE_NAME_NONE;
    }
    return number;
}

/* The subject of the document that a digest names, or nothing where there is no such document. One
 * that could not be read may belong to what is kept, so that this is told of. */
static uint32_t read_subject(struct varve_rewrite *rewrite, struct followers *followers,
                             const char *name, const struct varve_digest_name *digest) {
    struct varve_fault fault;
    size_t bytes = 0;
    uint8_t *data = NULL;
    uint32_t subject = VARVE_NAME_NONE;
    if (varve_place_peek(&rewrite->place, &fault, name) == '{' &&
        varve_place_read_digest(&rewrite->place, &data, &bytes, &fault, digest)) {
        memset(&fault, 0, sizeof fault);
        json_t *root = varve_json_load(&fault, data, bytes);
        subject = about_of(rewrite, followers, digest_of(json_object_get(root, "subject")));
        json_decref(root);
    }
    free(data);
    if (fault.code && varve_file_is_unread(&fault)) {
        varve_place_complain(&rewrite->place, name, fault);
    }
    return subject;
}

/* The subject of an entry's document, in `about`; many entries may name one document, and each is
 * read once. */
static uint32_t subject_of(struct varve_rewrite *rewrite, struct followers *followers,
                           const struct varve_digest_name *entry) {
    char name[VARVE_DIGEST_TEXT_BYTES];
    bool added = false;
    varve_digest_name_text(name, entry);
    uint32_t number = varve_name_map_add(&followers->read, &added, name);
    if (number == VARVE_NAME_NONE ||
        !varve_rewrite_room(rewrite, &followers->subjects, &followers->subject_room, number,
                            sizeof *followers->subjects)) {
        rewrite->place.no_memory = true;
        return VARVE_NAME_NONE;
    }
    if (added) {
        followers->subjects[number] = read_subject(rewrite, followers, name, entry);
    }
    return followers->subjects[number];
}

static void wait_for(struct varve_rewrite *rewrite, struct followers *followers, size_t top,
                     uint32_t about) {
    if (about != VARVE_NAME_NONE &&
        varve_rewrite_room(rewrite, &followers->waiting, &followers->room, followers->count,
                           sizeof *followers->waiting)) {
        followers->waiting[followers->count] = (struct waiting){top, followers->first[about]};
        followers->first[about] = (uint32_t)followers->count++;
    }
}

/* Keeps an entry, and all it hangs on. */
static void keep(struct varve_rewrite *rewrite, size_t top, const struct varve_document *index) {
    if (rewrite->tops[top].kept) {
        return;
    }
    rewrite->tops[top].kept = true;
    uint32_t number = take_child(rewrite, VARVE_NAME_NONE, &index->children[top]);
    const json_t *entry = json_array_get(json_object_get(index->root, "manifests"), top);
    rewrite->tops[top].document = number;
    visit(rewrite, number);
    visit(rewrite, document_if_there(rewrite, reference_of(entry)));
}

/* The entries that refer to what is kept, and those that refer to these, and so on: by a tag, by
 * their document's subject, or by an annotation. */
static void follow(struct varve_rewrite *rewrite, const struct varve_document *index) {
    const json_t *entries = json_object_get(index->root, "manifests");
    struct followers followers = {.count = 0};
    char tagged[VARVE_REFERRERS_DIGEST_BYTES];
    for (size_t i = 0; i < index->child_count && !rewrite->place.no_memory; i++) {
        const struct varve_descriptor *entry = &index->children[i];
        if (rewrite->tops[i].kept || entry->fault.code) {
            continue;
        }
        const char *reference = reference_of(json_array_get(entries, i));
        bool has_tag = varve_rewrite_referrers_tag(tagged, entry->ref);
        wait_for(rewrite, &followers, i, about_of(rewrite, &followers, has_tag ? tagged : NULL));
        wait_for(rewrite, &followers, i, about_of(rewrite, &followers, reference));
        if (varve_media_type_is_document(entry->media_type)) {
            wait_for(rewrite, &followers, i, subject_of(rewrite, &followers, &entry->digest));
        }
    }
    for (size_t i = 0; i < rewrite->order_count && !rewrite->place.no_memory; i++) {
        uint32_t about =
            varve_name_map_find(&followers.about, rewrite->names.names[rewrite->order[i]]);
        uint32_t at =
            followers.first && about != VARVE_NAME_NONE ? followers.first[about] : VARVE_NAME_NONE;
        for (; at != VARVE_NAME_NONE; at = followers.waiting[at].next) {
            keep(rewrite, followers.waiting[at].top, index);
        }
    }
    varve_name_map_free(&followers.about);
    varve_name_map_free(&followers.read);
    free(followers.first);
    free(followers.subjects);
    free(followers.waiting);
}

static void walk(struct varve_rewrite *rewrite, const struct varve_document *index,
                 const char *tag) {
    bool found = false;
    rewrite->top_count = index->child_count;
    rewrite->tops = calloc(index->child_count + 1, sizeof *rewrite->tops);
    rewrite->place.no_memory |= !rewrite->tops;
    for (size_t i = 0; i < index->child_count && !rewrite->place.no_memory; i++) {
        const struct varve_descriptor *entry = &index->children[i];
        if (!tag || (!entry->fault.code && entry->ref && strcmp(entry->ref, tag) == 0)) {
            found = true;
            keep(rewrite, i, index);
        }
    }
    visit(rewrite, subject_if_there(rewrite, index->root));
    visit(rewrite, document_if_there(rewrite, reference_of(index->root)));
    visit(rewrite,
          document_if_there(rewrite, reference_of(json_object_get(index->root, "subject"))));
    if (tag && !found) {
        varve_place_complain(&rewrite->place, tag,
                             varve_fault_of(VARVE_CODE_SOURCE_TAG, VARVE_NO_OFFSET));
    } else if (tag && !rewrite->place.no_memory) {
        follow(rewrite, index);
    }
}

static void read_layout(struct varve_rewrite *rewrite, const char *tag) {
    struct varve_document index;
    struct varve_fault fault;
    rewrite->layout = varve_source_layout_file(&rewrite->place, &rewrite->layout_bytes);
    if (!varve_place_read(&rewrite->place, &rewrite->index, &rewrite->index_bytes, &fault,
                          "index.json") ||
        !varve_document_parse(&index, &fault, rewrite->index, rewrite->index_bytes)) {
        varve_rewrite_complain(rewrite, VARVE_NAME_NONE, fault);
        return;
    }
    if (index.kind != VARVE_DOCUMENT_INDEX) {
        varve_rewrite_complain_code(rewrite, VARVE_NAME_NONE, VARVE_CODE_OCI_SHAPE);
    } else {
        walk(rewrite, &index, tag);
    }
    varve_document_free(&index);
}

/* ---- The object ---- */

enum varve_status varve_rewrite_open(struct varve_rewrite **out,
                                     const struct varve_rewrite_options *options,
                                     const char *layout) {
    const char *tag = NULL;
    uint32_t root = VARVE_NAME_NONE;
    struct varve_rewrite *rewrite = calloc(1, sizeof *rewrite);
    *out = NULL;
    if (!rewrite || varve_catalog_open(&rewrite->catalog) != VARVE_OK) {
        free(rewrite);
        return VARVE_ERROR;
    }
    rewrite->options = *options;
    rewrite->place = (struct varve_place){.prefix = "", .pattern = PATTERN};
    rewrite->path = varve_source_split(&tag, layout);
    if (!rewrite->path) {
        varve_rewrite_close(rewrite);
        return VARVE_ERROR;
    }
    if (varve_source_open_folder(&rewrite->place, &root, rewrite->catalog, "oci", rewrite->path) &&
        varve_place_begin(&rewrite->place, root)) {
        read_layout(rewrite, tag);
    }
    if (rewrite->place.no_memory) {
        varve_rewrite_close(rewrite);
        return VARVE_ERROR;
    }
    *out = rewrite;
    return VARVE_OK;
}

void varve_rewrite_close(struct varve_rewrite *rewrite) {
    if (!rewrite) {
        return;
    }
    for (size_t i = 0; i < rewrite->names.count && i < rewrite->document_room; i++) {
        free(rewrite->documents[i].hangs_on);
    }
    varve_name_map_free(&rewrite->names);
    varve_name_map_free(&rewrite->refs);
    varve_name_map_free(&rewrite->blob_names);
    varve_name_map_free(&rewrite->config_names);
    varve_name_map_free(&rewrite->config_pairs);
    for (size_t i = 0; i < rewrite->read_names.count && i < rewrite->read_room; i++) {
        free(rewrite->reads[i].diffids);
    }
    varve_name_map_free(&rewrite->read_names);
    varve_name_map_free(&rewrite->made_names);
    free(rewrite->reads);
    free(rewrite->mades);
    free(rewrite->documents);
    free(rewrite->blobs);
    free(rewrite->uses);
    free(rewrite->tops);
    free(rewrite->order);
    free(rewrite->configs);
    free(rewrite->mappings);
    free(rewrite->index);
    free(rewrite->layout);
    free(rewrite->path);
    free(rewrite->place.name);
    varve_catalog_close(rewrite->catalog);
    free(rewrite);
}

size_t varve_rewrite_error_count(const struct varve_rewrite *rewrite) {
    return varve_catalog_error_count(rewrite->catalog);
}

struct varve_catalog_error varve_rewrite_error(const struct varve_rewrite *rewrite, size_t error) {
    return varve_catalog_error(rewrite->catalog, error);
}

size_t varve_rewrite_blob_count(const struct varve_rewrite *rewrite) {
    return rewrite->blob_names.count;
}

struct varve_rewrite_blob varve_rewrite_blob(const struct varve_rewrite *rewrite, size_t blob) {
    const struct blob *it = &rewrite->blobs[blob];
    return (struct varve_rewrite_blob){rewrite->blob_names.names[blob], it->size, it->layer,
                                       it->copied};
}

static size_t use_number(uint32_t use) {
    return use == VARVE_NAME_NONE ? SIZE_MAX : use;
}

size_t varve_rewrite_first_use(const struct varve_rewrite *rewrite, size_t blob) {
    return use_number(rewrite->blobs[blob].first_use);
}

size_t varve_rewrite_next_use(const struct varve_rewrite *rewrite, size_t use) {
    return use_number(rewrite->uses[use].next);
}

struct varve_rewrite_use varve_rewrite_use(const struct varve_rewrite *rewrite, size_t use) {
    uint32_t number = rewrite->uses[use].document;
    uint32_t ref = rewrite->documents[number].ref;
    return (struct varve_rewrite_use){rewrite->names.names[number],
                                      ref == VARVE_NAME_NONE ? NULL : rewrite->refs.names[ref]};
}

int varve_rewrite_open_blob(const struct varve_rewrite *rewrite, uint64_t *offset, uint64_t *bytes,
                            struct varve_fault *fault, size_t blob) {
    return varve_catalog_open_blob(rewrite->catalog, offset, bytes, fault,
                                   rewrite->blobs[blob].number);
}

const char *varve_rewrite_kind_name(enum varve_rewrite_kind kind) {
    static const char *const names[] = {"layer", "blob", "config", "manifest", "index"};
    return names[kind];
}
