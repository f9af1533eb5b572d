/* SPDX-License-Identifier: Apache-2.0 */
/* src/source_docker_archive.c - what docker save writes (Docker image specification v1.2, "Combined
 * Image JSON + Filesystem Changeset Format"), and skopeo as docker-archive:.
 *
 * manifest.json lists images: a config, tags, and layers by their paths. In the old form these are
 * <id>/layer.tar, often links to one another; in the new one blobs/sha256/<hex> of an OCI layout.
 * No manifest is stored, so an image is named by its config's digest. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_load.h"
#include "json_strict.h"
#include "oci_json.h"
#include "source.h"

struct reader {
    struct varve_place place;
    const struct varve_archive *archive;
    struct varve_bytes config_json; /* of the image at hand, where the catalog keeps it */
};

static void complain(struct reader *reader, const char *path, enum varve_code code) {
    varve_place_complain(&reader->place, path, varve_fault_of(code, VARVE_NO_OFFSET));
}

/* The digest that a path claims: blobs/sha256/<hex>. False: none. <hex>.json, a config's name, and
 * <hex>.tar, which is a diffid's, count where `suffix` says so. */
static bool digest_in_path(struct varve_digest_name *digest, const char *path, const char *suffix) {
    char name[VARVE_DIGEST_TEXT_BYTES];
    static const char folder[] = "blobs/sha256/";
    size_t count = strlen(path);
    if (strncmp(path, folder, sizeof folder - 1) == 0) {
        path += sizeof folder - 1;
        count -= sizeof folder - 1;
    } else if (suffix && count > strlen(suffix) &&
               strcmp(path + count - strlen(suffix), suffix) == 0) {
        count -= strlen(suffix);
    } else {
        return false;
    }
    int n = snprintf(name, sizeof name, "sha256:%.*s", (int)count, path);
    return n < (int)sizeof name && varve_digest_name_parse(digest, name, (size_t)n);
}

/* Reads an image's config and holds it against its name. The image's digest is what its bytes are
 * named by, or claim to be. */
static bool read_config(struct reader *reader, struct varve_config *config,
                        struct varve_digest_name *digest, struct varve_fault *fault,
                        const char *path) {
    struct varve_digest_name claimed;
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    reader->config_json = (struct varve_bytes){NULL, 0};
    memset(config, 0, sizeof *config);
    memset(digest, 0, sizeof *digest);
    if (!varve_place_read(&reader->place, &data, &data_bytes, fault, path)) {
        digest_in_path(digest, path, ".json");
        return false;
    }
    reader->config_json = varve_place_keep_document(&reader->place, data, data_bytes);
    bool good = varve_digest_name_of(digest, data, data_bytes);
    if (digest_in_path(&claimed, path, ".json") &&
        (claimed.count != digest->count ||
         memcmp(claimed.bytes, digest->bytes, claimed.count) != 0)) {
        *fault = varve_fault_of(VARVE_CODE_CLAIM_NAME, VARVE_NO_OFFSET);
        *digest = claimed;
    }
    struct varve_fault later;
    bool parsed = varve_config_parse(config, fault->code ? &later : fault, data, data_bytes);
    free(data);
    reader->place.no_memory |= !good;
    return good && parsed;
}

/* The blob of a layer: once, whatever links lead to it. VARVE_NAME_NONE: no memory. */
static uint32_t add_blob(struct reader *reader, const char *path, bool unreferenced) {
    struct varve_archive_file file;
    struct varve_digest_name digest;
    char name[VARVE_DIGEST_TEXT_BYTES];
    struct varve_new_blob blob = {.name = path, .unreferenced = unreferenced};
    if (varve_archive_find(reader->archive, &file, &reader->place.no_memory, path)) {
        blob.name = file.path;
        blob.offset = file.offset;
        blob.bytes = file.bytes;
    } else {
        blob.unreadable = true;
        blob.code = VARVE_CODE_IO_MISSING;
    }
    if (digest_in_path(&digest, blob.name, NULL)) {
        varve_digest_name_text(name, &digest);
        blob.name = name;
    }
    uint32_t number = varve_catalog_add_blob(reader->place.catalog, &blob);
    reader->place.no_memory |= number == VARVE_NAME_NONE;
    return number;
}

/* The layers of an image as claims: nothing but their diffids is claimed. */
static uint32_t *read_layers(struct reader *reader, size_t *count, struct varve_fault *fault,
                             json_t *layers, const struct varve_config *config) {
    uint32_t *claims = varve_catalog_new_claims(reader->place.catalog, json_array_size(layers));
    *count = 0;
    for (size_t i = 0; claims && i < json_array_size(layers); i++) {
        const char *path = varve_json_string(json_array_get(layers, i));
        if (!path) {
            if (!fault->code) {
                *fault = varve_fault_of(VARVE_CODE_DOCKER_MANIFEST, VARVE_NO_OFFSET);
            }
            continue;
        }
        bool known =
            i < config->diffid_count && config->diffids[i].algorithm == VARVE_ALGORITHM_SHA256;
        uint32_t blob = add_blob(reader, path, false);
        uint32_t claim =
            blob == VARVE_NAME_NONE
                ? VARVE_NAME_NONE
                : varve_catalog_add_claim(reader->place.catalog, blob, VARVE_NO_SIZE, NULL,
                                          known ? config->diffids[i].bytes : NULL);
        claims[*count] = claim;
        *count += claim != VARVE_NAME_NONE;
        reader->place.no_memory |= claim == VARVE_NAME_NONE;
    }
    reader->place.no_memory |= !claims;
    return claims;
}

static void add_images(struct reader *reader, struct varve_image *image, json_t *tags) {
    size_t count = json_array_size(tags);
    for (size_t i = 0; i < (count ? count : 1); i++) {
        image->ref = count ? varve_json_string(json_array_get(tags, i)) : NULL;
        reader->place.no_memory |= !varve_catalog_add_image(reader->place.catalog, image);
    }
}

static void read_image(struct reader *reader, json_t *entry) {
    static const char *const keys[] = {"Config", "RepoTags", "Layers", "Parent", "LayerSources"};
    struct varve_config config;
    struct varve_digest_name digest;
    struct varve_fault fault = {0};
    char name[VARVE_DIGEST_TEXT_BYTES] = "";
    const char *path = varve_json_string(json_object_get(entry, "Config"));
    json_t *layers = json_object_get(entry, "Layers");
    bool ambiguous = varve_json_has_variant(entry, keys, sizeof keys / sizeof keys[0]);
    if (ambiguous || !path || !json_is_array(layers)) {
        complain(reader, "manifest.json",
                 ambiguous ? VARVE_CODE_OCI_AMBIGUOUS : VARVE_CODE_DOCKER_MANIFEST);
        return;
    }
    bool parsed = read_config(reader, &config, &digest, &fault, path);
    struct varve_image image = {.digest = path, .fault_digest = path};
    image.config_json = reader->config_json;
    if (digest.count) {
        varve_digest_name_text(name, &digest);
        image.digest = name;
    }
    if (parsed && config.diffid_count != json_array_size(layers) && !fault.code) {
        fault = varve_fault_of(VARVE_CODE_OCI_DIFFID_COUNT, VARVE_NO_OFFSET);
    }
    image.claims = read_layers(reader, &image.layer_count, &fault, layers, &config);
    image.platform = *config.platform ? config.platform : NULL;
    image.fault = fault;
    if (parsed && config.holds_nul) {
        varve_place_note(&reader->place, path, VARVE_CODE_OCI_NUL);
    }
    if (parsed) {
        image.config = varve_place_keep_config(&reader->place, &config.digests);
    }
    if (!reader->place.no_memory) {
        add_images(reader, &image, json_object_get(entry, "RepoTags"));
    }
    varve_config_free(&config);
}

static bool ends_with(const char *text, const char *end) {
    size_t count = strlen(text);
    return count >= strlen(end) && strcmp(text + count - strlen(end), end) == 0;
}

/* Layers that no image lists: what bears a layer's name. */
static void add_rest(struct reader *reader) {
    for (size_t i = 0; i < varve_archive_count(reader->archive); i++) {
        const char *path = varve_archive_path(reader->archive, i);
        struct varve_archive_file file;
        if (ends_with(path, ".tar") &&
            varve_archive_find(reader->archive, &file, &reader->place.no_memory, path) &&
            !varve_catalog_has_blob(reader->place.catalog, file.path)) {
            add_blob(reader, file.path, true);
        }
    }
}

static bool read_manifest(struct reader *reader) {
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    struct varve_fault fault;
    if (!varve_place_read(&reader->place, &data, &data_bytes, &fault, "manifest.json")) {
        varve_place_complain(&reader->place, "manifest.json", fault);
        return false;
    }
    bool no_memory = false;
    json_t *root = varve_json_parse(data, data_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL,
                                    &no_memory);
    bool nul = root && varve_json_holds_nul(data, data_bytes);
    free(data);
    if (nul) {
        varve_place_note(&reader->place, "manifest.json", VARVE_CODE_OCI_NUL);
    }
    bool good = json_is_array(root);
    if (!good) {
        complain(reader, "manifest.json",
                 root        ? VARVE_CODE_DOCKER_MANIFEST
                 : no_memory ? VARVE_CODE_NO_MEMORY
                             : VARVE_CODE_OCI_JSON);
    }
    for (size_t i = 0; i < json_array_size(root) && !reader->place.no_memory; i++) {
        read_image(reader, json_array_get(root, i));
    }
    json_decref(root);
    return good;
}

enum varve_status varve_source_docker_archive(struct varve_catalog *catalog, const char *operand) {
    struct reader reader = {.place = {.prefix = "", .pattern = "blobs/%a/%h"}};
    struct varve_archive *archive = NULL;
    enum varve_status status = VARVE_ERROR;
    uint32_t root = VARVE_NAME_NONE;
    if (varve_source_open_archive(&reader.place, &archive, &root, catalog, "docker-archive",
                                  operand)) {
        reader.archive = archive;
        status = read_manifest(&reader) ? VARVE_OK : VARVE_ERROR;
        add_rest(&reader);
    }
    varve_archive_close(archive);
    return varve_place_end(&reader.place, status);
}

bool varve_source_is_docker_archive(struct varve_fault *fault, int fd) {
    static const char *const names[] = {"manifest.json"};
    return varve_archive_has(fault, fd, names, 1);
}
