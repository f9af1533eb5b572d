/* SPDX-License-Identifier: Apache-2.0 */
/* src/oci_json.c - OCI and Docker documents, read strictly. */
#include "oci_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "image_ladder.h"
#include "json_load.h"
#include "json_strict.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static bool is_one_of(const char *text, const char *const *names, size_t name_count) {
    for (size_t i = 0; i < name_count; i++) {
        if (strcmp(text, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum varve_document_type varve_media_type_document(const char *media_type) {
    static const struct {
        const char *name;
        enum varve_document_type type;
    } types[] = {
        {"application/vnd.oci.image.index.v1+json", VARVE_DOCUMENT_TYPE_OCI_INDEX},
        {"application/vnd.docker.distribution.manifest.list.v2+json",
         VARVE_DOCUMENT_TYPE_DOCKER_LIST},
        {"application/vnd.oci.image.manifest.v1+json", VARVE_DOCUMENT_TYPE_OCI_MANIFEST},
        {"application/vnd.docker.distribution.manifest.v2+json",
         VARVE_DOCUMENT_TYPE_DOCKER_MANIFEST},
    };
    for (size_t i = 0; media_type && i < COUNT_OF(types); i++) {
        if (strcmp(media_type, types[i].name) == 0) {
            return types[i].type;
        }
    }
    return media_type ? VARVE_DOCUMENT_TYPE_OTHER : VARVE_DOCUMENT_TYPE_NONE;
}

bool varve_document_type_is_index(enum varve_document_type type) {
    return type == VARVE_DOCUMENT_TYPE_OCI_INDEX || type == VARVE_DOCUMENT_TYPE_DOCKER_LIST;
}

bool varve_document_type_is_manifest(enum varve_document_type type) {
    return type == VARVE_DOCUMENT_TYPE_OCI_MANIFEST || type == VARVE_DOCUMENT_TYPE_DOCKER_MANIFEST;
}

bool varve_media_type_is_index(const char *media_type) {
    return varve_document_type_is_index(varve_media_type_document(media_type));
}

bool varve_media_type_is_manifest(const char *media_type) {
    return varve_document_type_is_manifest(varve_media_type_document(media_type));
}

bool varve_media_type_is_document(const char *media_type) {
    return varve_media_type_is_index(media_type) || varve_media_type_is_manifest(media_type);
}

bool varve_media_type_is_config(const char *media_type) {
    static const char *const names[] = {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    };
    return is_one_of(media_type, names, COUNT_OF(names));
}

static bool refuse(struct varve_fault *fault, enum varve_code code) {
    *fault = varve_fault_of(code, VARVE_NO_OFFSET);
    return false;
}

json_t *varve_json_load(struct varve_fault *fault, const uint8_t *data, size_t data_bytes) {
    json_error_t error;
    bool no_memory = false;
    json_t *root = varve_json_parse(data, data_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                                    &error, &no_memory);
    if (no_memory) {
        refuse(fault, VARVE_CODE_NO_MEMORY);
    } else if (!root) {
        uint64_t offset = error.position < 0 ? VARVE_NO_OFFSET : (uint64_t)error.position;
        *fault = varve_fault_of(VARVE_CODE_OCI_JSON, offset);
    }
    return root;
}

const char *varve_json_string(const json_t *value) {
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

/* image-spec image-index.md, "platform object"; a config has the same members. */
static bool is_platform_ambiguous(const json_t *object) {
    static const char *const keys[] = {"os",         "architecture", "variant",
                                       "os.version", "os.features",  "features"};
    return varve_json_has_variant(object, keys, COUNT_OF(keys));
}

/* image-spec descriptor.md. Annotations are a map, whose keys no reader folds. */
static bool is_descriptor_ambiguous(const json_t *object) {
    static const char *const keys[] = {"mediaType",   "digest",   "size", "urls",
                                       "annotations", "platform", "data", "artifactType"};
    return varve_json_has_variant(object, keys, COUNT_OF(keys)) ||
           is_platform_ambiguous(json_object_get(object, "platform"));
}

/* "os/architecture[/variant]"; left empty where it is not told or too long to be one. */
static void read_platform(char *text, size_t text_bytes, const json_t *object) {
    const char *os = varve_json_string(json_object_get(object, "os"));
    const char *architecture = varve_json_string(json_object_get(object, "architecture"));
    const char *variant = varve_json_string(json_object_get(object, "variant"));
    text[0] = 0;
    if (os && architecture && *os) {
        int n = snprintf(text, text_bytes, "%s/%s%s%s", os, architecture,
                         variant && *variant ? "/" : "", variant ? variant : "");
        if (n < 0 || (size_t)n >= text_bytes) {
            text[0] = 0;
        }
    }
}

/* Whether a digest is of the spec's general form but of an algorithm that varve does not compute.
 */
static bool is_foreign_digest(const char *text) {
    size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+._-");
    return name > 0 && text[name] == ':' && strncmp(text, "sha256:", 7) != 0 &&
           strncmp(text, "sha512:", 7) != 0 && text[name + 1] != 0 &&
           strspn(text + name + 1,
                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=_-") ==
               strlen(text + name + 1);
}

static void read_descriptor(struct varve_descriptor *out, json_t *object) {
    memset(out, 0, sizeof *out);
    const char *digest = varve_json_string(json_object_get(object, "digest"));
    json_t *size = json_object_get(object, "size");
    out->media_type = varve_json_string(json_object_get(object, "mediaType"));
    if (is_descriptor_ambiguous(object)) {
        refuse(&out->fault, VARVE_CODE_OCI_AMBIGUOUS);
        return;
    }
    if (digest && is_foreign_digest(digest)) {
        refuse(&out->fault, VARVE_CODE_OCI_ALGORITHM);
        return;
    }
    if (!out->media_type || !digest || !json_is_integer(size) || json_integer_value(size) < 0 ||
        !varve_digest_name_parse(&out->digest, digest, strlen(digest))) {
        refuse(&out->fault, VARVE_CODE_OCI_DESCRIPTOR);
        return;
    }
    out->size = (uint64_t)json_integer_value(size);
    json_t *annotations = json_object_get(object, "annotations");
    out->ref = varve_json_string(json_object_get(annotations, "org.opencontainers.image.ref.name"));
    const char *type = varve_json_string(json_object_get(annotations, "vnd.docker.reference.type"));
    out->attestation = type && strcmp(type, "attestation-manifest") == 0;
    read_platform(out->platform, sizeof out->platform, json_object_get(object, "platform"));
}

/* What the document is by its shape, held against what it says it is. */
static bool classify(struct varve_document *document, struct varve_fault *fault) {
    static const char *const keys[] = {"mediaType", "manifests", "layers", "config", "fsLayers"};
    json_t *root = document->root;
    if (!json_is_object(root)) {
        return refuse(fault, VARVE_CODE_OCI_SHAPE);
    }
    json_t *type_value = json_object_get(root, "mediaType");
    const char *type = varve_json_string(type_value);
    bool index = json_object_get(root, "manifests") != NULL;
    bool manifest = json_object_get(root, "layers") || json_object_get(root, "config");
    if (varve_json_has_variant(root, keys, COUNT_OF(keys)) || (index && manifest)) {
        return refuse(fault, VARVE_CODE_OCI_AMBIGUOUS);
    }
    if (!index && !manifest && json_object_get(root, "fsLayers")) {
        return refuse(fault, VARVE_CODE_OCI_SCHEMA1);
    }
    if ((!index && !manifest) || (type_value && !type) ||
        (type && index && varve_media_type_is_manifest(type)) ||
        (type && manifest && varve_media_type_is_index(type))) {
        return refuse(fault, VARVE_CODE_OCI_SHAPE);
    }
    document->kind = index ? VARVE_DOCUMENT_INDEX : VARVE_DOCUMENT_MANIFEST;
    document->type = varve_media_type_document(type);
    return true;
}

/* Whether readers take what a document says beside its list for different things. Asked of what has
 * such a list: other JSON may have any keys. */
static bool is_rest_ambiguous(const json_t *root) {
    static const char *const keys[] = {"schemaVersion", "artifactType", "subject", "annotations"};
    return varve_json_has_variant(root, keys, COUNT_OF(keys)) ||
           is_descriptor_ambiguous(json_object_get(root, "subject"));
}

/* What a manifest is where it is no image's (image-spec manifest.md, "Guidelines for Artifact
 * Usage"; BuildKit, "Attestation Storage"). */
static void read_purpose(struct varve_document *document) {
    static const char attestation[] = "application/vnd.docker.attestation.manifest.v1+json";
    const char *type = varve_json_string(json_object_get(document->root, "artifactType"));
    const char *config = document->config.media_type;
    document->attestation = type && strcmp(type, attestation) == 0;
    document->artifact = (type && *type) ||
                         json_is_object(json_object_get(document->root, "subject")) ||
                         (config && !varve_media_type_is_config(config));
}

bool varve_document_parse(struct varve_document *document, struct varve_fault *fault,
                          const uint8_t *data, size_t data_bytes) {
    memset(document, 0, sizeof *document);
    document->root = varve_json_load(fault, data, data_bytes);
    if (!document->root) {
        return false;
    }
    bool good = classify(document, fault);
    if (good) {
        bool index = document->kind == VARVE_DOCUMENT_INDEX;
        json_t *children = json_object_get(document->root, index ? "manifests" : "layers");
        document->child_count = json_array_size(children);
        document->children = calloc(document->child_count + 1, sizeof *document->children);
        /* null is how Go writes a list that has nothing in it yet. */
        if (!json_is_array(children) && !json_is_null(children)) {
            good = refuse(fault, VARVE_CODE_OCI_SHAPE);
        } else if (is_rest_ambiguous(document->root)) {
            good = refuse(fault, VARVE_CODE_OCI_AMBIGUOUS);
        } else if (!document->children) {
            good = refuse(fault, VARVE_CODE_NO_MEMORY);
        } else {
            for (size_t i = 0; i < document->child_count; i++) {
                read_descriptor(&document->children[i], json_array_get(children, i));
            }
            read_descriptor(&document->config, json_object_get(document->root, "config"));
            read_purpose(document);
            document->holds_nul = varve_json_holds_nul(data, data_bytes);
        }
    }
    if (!good) {
        varve_document_free(document);
    }
    return good;
}

void varve_document_free(struct varve_document *document) {
    free(document->children);
    json_decref(document->root);
    memset(document, 0, sizeof *document);
}

/* image-spec config.md. What is beneath "config" is what the image runs with, of which varve reads
 * nothing by name. */
static bool is_config_ambiguous(const json_t *root) {
    static const char *const keys[] = {"created", "author", "config", "rootfs", "history"};
    static const char *const rootfs_keys[] = {"type", "diff_ids"};
    return varve_json_has_variant(root, keys, COUNT_OF(keys)) || is_platform_ambiguous(root) ||
           varve_json_has_variant(json_object_get(root, "rootfs"), rootfs_keys,
                                  COUNT_OF(rootfs_keys));
}

bool varve_config_parse(struct varve_config *config, struct varve_fault *fault, const uint8_t *data,
                        size_t data_bytes) {
    memset(config, 0, sizeof *config);
    json_t *root = varve_json_load(fault, data, data_bytes);
    if (!root) {
        return false;
    }
    json_t *rootfs = json_object_get(root, "rootfs");
    json_t *diffids = json_object_get(rootfs, "diff_ids");
    bool good = true;
    if (is_config_ambiguous(root)) {
        good = refuse(fault, VARVE_CODE_OCI_AMBIGUOUS);
    } else if (!json_is_array(diffids)) {
        good = refuse(fault, VARVE_CODE_OCI_CONFIG);
    } else {
        config->diffid_count = json_array_size(diffids);
        config->diffids = calloc(config->diffid_count + 1, sizeof *config->diffids);
        good = config->diffids || refuse(fault, VARVE_CODE_NO_MEMORY);
    }
    for (size_t i = 0; good && i < config->diffid_count; i++) {
        const char *text = varve_json_string(json_array_get(diffids, i));
        good = (text && varve_digest_name_parse(&config->diffids[i], text, strlen(text))) ||
               refuse(fault, VARVE_CODE_OCI_CONFIG);
    }
    read_platform(config->platform, sizeof config->platform, root);
    config->holds_nul = varve_json_holds_nul(data, data_bytes);
    good = good &&
           (varve_config_digest(&config->digests, root) || refuse(fault, VARVE_CODE_NO_MEMORY));
    json_decref(root);
    if (!good) {
        varve_config_free(config);
    }
    return good;
}

void varve_config_free(struct varve_config *config) {
    free(config->diffids);
    memset(config, 0, sizeof *config);
}
