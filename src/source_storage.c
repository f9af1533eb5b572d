/* SPDX-License-Identifier: Apache-2.0 */
/* src/source_storage.c - containers/storage: the store of podman, buildah, skopeo and CRI-O.
 *
 *     <driver>-images/images.json          images: names, manifest's digest, top layer
 *     <driver>-images/<id>/<key>           their documents, by keys
 *     <driver>-layers/layers.json          layers: parent, diffid, compressed digest and size
 *     <driver>-layers/<id>.tar-split.gz    what of a layer's archive is not file content
 *
 *     overlay/<id>/diff, vfs/dir/<id>      the files of a layer
 *
 * Layers lie unpacked in folders; their archives are put together again with what tar-split kept.
 * What is written of them is checked too: manifests and configs against their digests, the chain of
 * layers against the config. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "folder.h"
#include "oci_json.h"
#include "source.h"

struct layer {
    const char *parent; /* id, or NULL; layers.json's */
    struct varve_digest_name diffid;
    bool has_diffid;
    bool used; /* by an image */
    uint64_t size;
};

struct storage {
    struct varve_place place;
    char *images; /* "vfs-images/" */
    char *folder; /* "vfs-layers/" */
    const char *driver;
    json_t *layer_list;
    bool unread; /* the list could not be read: nothing can be said of layers */
    struct varve_name_map ids;
    struct layer *layers; /* by number of the id */
};

/* Where a document of an image lies: keys of lower-case letters, digits and points by themselves,
 * all others in base64 behind "=". NULL: no memory, or a key longer than any file's name. */
static char *document_path(struct storage *storage, const char *image, const char *key) {
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    char name[512];
    size_t count = strlen(key);
    size_t at = 0;
    char *path = NULL;
    if (strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789.") == count) {
        at = (size_t)snprintf(name, sizeof name, "%.200s", key);
    } else if (count < 300) {
        name[at++] = '=';
        for (size_t i = 0; i < count; i += 3) {
            uint32_t word = 0;
            for (size_t j = 0; j < 3; j++) {
                word = word << 8 | (i + j < count ? (uint8_t)key[i + j] : 0);
            }
            for (size_t j = 0; j < 4; j++) {
                name[at++] = digits[i + j > count ? 64 : word >> (18 - 6 * j) & 63];
            }
        }
    }
    name[at] = 0;
    if (asprintf(&path, "%s%s/%s", storage->images, image, name) < 0) {
        storage->place.no_memory = true;
        return NULL;
    }
    return path;
}

/* Ids become names of folders: hex digits only. */
static const char *read_id(json_t *object, const char *key) {
    const char *id = varve_json_string(json_object_get(object, key));
    return id && *id && strspn(id, "0123456789abcdef") == strlen(id) ? id : NULL;
}

static bool read_digest(struct varve_digest_name *digest, json_t *object, const char *key) {
    const char *text = varve_json_string(json_object_get(object, key));
    return text && varve_digest_name_parse(digest, text, strlen(text));
}

static void read_layers(struct storage *storage) {
    size_t i = 0;
    json_t *entry = NULL;
    storage->layers = calloc(json_array_size(storage->layer_list) + 1, sizeof *storage->layers);
    storage->place.no_memory |= !storage->layers;
    json_array_foreach(storage->layer_list, i, entry) {
        const char *id = read_id(entry, "id");
        json_t *size = json_object_get(entry, "diff-size");
        uint32_t number = id ? varve_name_map_add(&storage->ids, NULL, id) : VARVE_NAME_NONE;
        storage->place.no_memory |= id && number == VARVE_NAME_NONE;
        if (storage->place.no_memory || number == VARVE_NAME_NONE) {
            continue;
        }
        struct layer *layer = &storage->layers[number];
        layer->parent = read_id(entry, "parent");
        layer->has_diffid = read_digest(&layer->diffid, entry, "diff-digest");
        layer->size = json_is_integer(size) && json_integer_value(size) >= 0
                          ? (uint64_t)json_integer_value(size)
                          : VARVE_NO_SIZE;
    }
}

/* A layer as a blob. `id` NULL: the store has it under none. */
static uint32_t add_layer(struct storage *storage, const struct varve_digest_name *diffid,
                          const char *id, uint64_t bytes, bool unreferenced) {
    char split[VARVE_PATTERN_PATH_BYTES];
    char files[VARVE_PATTERN_PATH_BYTES];
    bool vfs = strcmp(storage->driver, "vfs") == 0;
    snprintf(split, sizeof split, "%s%.128s.tar-split.gz", storage->folder, id ? id : "");
    snprintf(files, sizeof files, "%.255s/%s%.128s%s", storage->driver, vfs ? "dir/" : "",
             id ? id : "", vfs ? "" : "/diff");
    return varve_source_add_unpacked(&storage->place, diffid, unreferenced, id ? split : NULL,
                                     files, bytes, storage->unread && !id);
}

/* A document of an image, held against its digest. False with *fault; bytes are given where they
 * are another's. */
static bool read_document(struct storage *storage, uint8_t **data, size_t *data_bytes,
                          struct varve_fault *fault, const char *image, const char *key,
                          const struct varve_digest_name *digest) {
    char *path = document_path(storage, image, key);
    bool good = path && varve_place_read(&storage->place, data, data_bytes, fault, path);
    free(path);
    bool no_memory = false;
    if (good && !varve_digest_name_holds(&no_memory, digest, *data, *data_bytes)) {
        *fault = varve_fault_of(no_memory ? VARVE_CODE_NO_MEMORY : VARVE_CODE_CLAIM_NAME,
                                VARVE_NO_OFFSET);
    }
    return good;
}

static void blame(struct varve_image *image, const char *document, struct varve_fault fault) {
    if (fault.code && !image->fault.code) {
        image->fault = fault;
        image->fault_digest = document;
    }
}

/* The layers of an image from the lowest up, as the store has them. The count, or SIZE_MAX where
 * the chain is broken or longer than `most`. */
static size_t read_chain(const struct storage *storage, uint32_t *chain, size_t most,
                         const char *top) {
    size_t count = 0;
    for (const char *id = top; id; id = storage->layers[chain[count - 1]].parent) {
        uint32_t number = varve_name_map_find(&storage->ids, id);
        if (number == VARVE_NAME_NONE || count == most) {
            return SIZE_MAX;
        }
        chain[count++] = number;
    }
    for (size_t i = 0; i < count / 2; i++) {
        uint32_t other = chain[i];
        chain[i] = chain[count - 1 - i];
        chain[count - 1 - i] = other;
    }
    return count;
}

/* The image's layers as the config lists them, held against what the store keeps. */
static void take_layers(struct storage *storage, struct varve_image *image,
                        const struct varve_config *config, const char *top) {
    uint32_t *chain = calloc(config->diffid_count + 1, sizeof *chain);
    uint32_t *claims = varve_catalog_new_claims(storage->place.catalog, config->diffid_count);
    size_t count = chain && claims ? read_chain(storage, chain, config->diffid_count, top) : 0;
    bool same = count == config->diffid_count;
    for (size_t i = 0; chain && claims && i < config->diffid_count; i++) {
        const struct varve_digest_name *diffid = &config->diffids[i];
        struct layer *layer = i < count && count != SIZE_MAX ? &storage->layers[chain[i]] : NULL;
        if (layer) {
            layer->used = true;
            same &= !layer->has_diffid ||
                    (layer->diffid.count == diffid->count &&
                     memcmp(layer->diffid.bytes, diffid->bytes, diffid->count) == 0);
        }
        uint32_t blob = add_layer(storage, diffid, layer ? storage->ids.names[chain[i]] : NULL,
                                  layer ? layer->size : VARVE_NO_SIZE, false);
        uint32_t claim =
            blob == VARVE_NAME_NONE
                ? VARVE_NAME_NONE
                : varve_catalog_add_claim(
                      storage->place.catalog, blob, layer ? layer->size : VARVE_NO_SIZE, NULL,
                      diffid->algorithm == VARVE_ALGORITHM_SHA256 ? diffid->bytes : NULL);
        claims[image->layer_count] = claim;
        image->layer_count += claim != VARVE_NAME_NONE;
        storage->place.no_memory |= claim == VARVE_NAME_NONE;
    }
    if (!same) {
        blame(image, image->digest,
              varve_fault_of(storage->unread ? VARVE_CODE_IO_READ : VARVE_CODE_SOURCE_LAYERS,
                             VARVE_NO_OFFSET));
    }
    storage->place.no_memory |= !chain || !claims;
    free(chain);
    image->claims = claims;
}

/* The image's config, by its manifest. *index: it is an index, which has none. */
static bool read_config(struct storage *storage, struct varve_config *config, bool *index,
                        struct varve_image *image, char name[VARVE_DIGEST_TEXT_BYTES],
                        const char *id, const struct varve_digest_name *digest) {
    struct varve_document manifest;
    struct varve_fault fault = {0};
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    bool there = read_document(storage, &data, &data_bytes, &fault, id, "manifest", digest);
    blame(image, image->digest, fault);
    if (there) {
        image->manifest_json = varve_place_keep_document(&storage->place, data, data_bytes);
    }
    if (!there || !varve_document_parse(&manifest, &fault, data, data_bytes)) {
        blame(image, image->digest, fault);
        free(data);
        return false;
    }
    free(data);
    *index = manifest.kind == VARVE_DOCUMENT_INDEX;
    if (*index) {
        varve_document_free(&manifest);
        return false;
    }
    if (manifest.type == VARVE_DOCUMENT_TYPE_OTHER) {
        varve_place_note(&storage->place, image->digest, VARVE_CODE_OCI_MEDIA_TYPE);
    }
    bool nul = manifest.holds_nul;
    blame(image, image->digest, manifest.config.fault);
    bool good = !manifest.config.fault.code;
    if (good) {
        varve_digest_name_text(name, &manifest.config.digest);
        memset(&fault, 0, sizeof fault);
        good =
            read_document(storage, &data, &data_bytes, &fault, id, name, &manifest.config.digest);
        blame(image, name, fault);
        if (good) {
            image->config_json = varve_place_keep_document(&storage->place, data, data_bytes);
            good = varve_config_parse(config, &fault, data, data_bytes);
            nul |= good && config->holds_nul;
            fault.code = good ? NULL : fault.code;
            blame(image, name, fault);
            free(data);
        }
    }
    if (nul) {
        varve_place_note(&storage->place, image->digest, VARVE_CODE_OCI_NUL);
    }
    varve_document_free(&manifest);
    return good;
}

/* The digest of an image's manifest as it is now, in the text of its entry. "digest" stays that of
 * the first manifest, where somebody adds to a list of them. */
static const char *read_manifest_digest(struct varve_digest_name *digest, json_t *entry) {
    json_t *digests = json_object_get(entry, "big-data-digests");
    if (read_digest(digest, digests, "manifest")) {
        return json_string_value(json_object_get(digests, "manifest"));
    }
    return read_digest(digest, entry, "digest")
               ? json_string_value(json_object_get(entry, "digest"))
               : NULL;
}

static void read_image(struct storage *storage, json_t *entry) {
    struct varve_config config = {0};
    struct varve_digest_name digest;
    char name[VARVE_DIGEST_TEXT_BYTES] = "";
    const char *id = read_id(entry, "id");
    json_t *names = json_object_get(entry, "names");
    struct varve_image image = {.digest = read_manifest_digest(&digest, entry)};
    bool index = false;
    if (!id || !image.digest) {
        varve_place_complain(&storage->place, "images.json",
                             varve_fault_of(VARVE_CODE_OCI_SHAPE, VARVE_NO_OFFSET));
        return;
    }
    if (read_config(storage, &config, &index, &image, name, id, &digest)) {
        image.platform = *config.platform ? config.platform : NULL;
        image.config = varve_place_keep_config(&storage->place, &config.digests);
        take_layers(storage, &image, &config, read_id(entry, "layer"));
    }
    if (index && !image.fault.code) {
        return; /* the images it names are entries of their own, where they are here */
    }
    size_t count = json_array_size(names);
    for (size_t i = 0; i < (count ? count : 1) && !storage->place.no_memory; i++) {
        image.ref = count ? varve_json_string(json_array_get(names, i)) : NULL;
        storage->place.no_memory |= !varve_catalog_add_image(storage->place.catalog, &image);
    }
    varve_config_free(&config);
}

/* Layers that no image has; and those whose bytes could never be put together again. */
static void look_at_layers(struct storage *storage) {
    for (size_t i = 0; i < storage->ids.count && !storage->place.no_memory; i++) {
        const struct layer *layer = &storage->layers[i];
        char path[VARVE_PATTERN_PATH_BYTES];
        snprintf(path, sizeof path, "%s%s%.128s.tar-split.gz", storage->place.prefix,
                 storage->folder, storage->ids.names[i]);
        if (!layer->has_diffid) {
            continue; /* a container's own layer, which changes as it runs */
        }
        if (!layer->used) {
            add_layer(storage, &layer->diffid, storage->ids.names[i], layer->size, true);
        }
        varve_source_look_for_split(&storage->place, storage->ids.names[i], path);
    }
}

static bool has_list(const struct storage *storage, const char *path) {
    char full[VARVE_PATTERN_PATH_BYTES];
    snprintf(full, sizeof full, "%s%s", storage->place.prefix, path);
    return varve_folder_has(storage->place.fd, full);
}

/* One driver's lists. */
static bool read_driver(struct storage *storage, const char *driver) {
    char *layers = NULL;
    char *images = NULL;
    size_t i = 0;
    json_t *entry = NULL;
    json_t *image_list = NULL;
    storage->driver = driver;
    if (asprintf(&storage->folder, "%s-layers/", driver) < 0) {
        storage->folder = NULL;
    }
    if (asprintf(&storage->images, "%s-images/", driver) < 0) {
        storage->images = NULL;
    }
    if (asprintf(&layers, "%s-layers/layers.json", driver) < 0) {
        layers = NULL;
    }
    if (asprintf(&images, "%s-images/images.json", driver) < 0) {
        images = NULL;
    }
    storage->place.no_memory |= !storage->folder || !storage->images || !layers || !images;
    if (!storage->place.no_memory) {
        /* As long as there were no layers, there is no list of them. */
        storage->layer_list =
            has_list(storage, layers)
                ? varve_source_read_list(&storage->place, &storage->unread, layers)
                : json_array();
        bool unread = false;
        image_list = varve_source_read_list(&storage->place, &unread, images);
        read_layers(storage);
    }
    bool good = storage->layer_list && image_list;
    json_array_foreach(image_list, i, entry) {
        if (!storage->place.no_memory) {
            read_image(storage, entry);
        }
    }
    look_at_layers(storage);
    json_decref(image_list);
    json_decref(storage->layer_list);
    varve_name_map_free(&storage->ids);
    free(storage->layers);
    free(storage->folder);
    free(storage->images);
    free(layers);
    free(images);
    return good;
}

/* The driver of a folder "<driver>-layers" that lies beside a "<driver>-images"; NULL: there is
 * none, or, with a fault->code, that could not be told. The caller's to free. */
static char *find_driver(struct varve_fault *fault, int fd) {
    struct varve_folder folder;
    char *driver = NULL;
    if (!varve_folder_read(&folder, fault, fd, "")) {
        return NULL;
    }
    memset(fault, 0, sizeof *fault);
    for (size_t i = 0; i < folder.count && !driver && !fault->code; i++) {
        char *end = strstr(folder.names[i], "-layers");
        char images[300];
        if (end && !end[sizeof "-layers" - 1]) {
            *end = 0;
            snprintf(images, sizeof images, "%.255s-images", folder.names[i]);
            if (varve_folder_holds(fault, fd, images) && !(driver = strdup(folder.names[i]))) {
                *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
            }
        }
    }
    varve_folder_free(&folder);
    return driver;
}

bool varve_source_is_storage(struct varve_fault *fault, int fd) {
    char *driver = find_driver(fault, fd);
    free(driver);
    return driver != NULL;
}

enum varve_status varve_source_storage(struct varve_catalog *catalog, const char *operand) {
    struct storage storage = {.place = {.prefix = "", .pattern = "%h"}};
    struct varve_place *place = &storage.place;
    enum varve_status status = VARVE_ERROR;
    uint32_t root = VARVE_NAME_NONE;
    if (varve_source_open_folder(place, &root, catalog, "containers-storage", operand)) {
        struct varve_fault fault;
        char *driver = find_driver(&fault, place->fd);
        if (!driver) {
            varve_source_complain_unknown(place, &fault);
        } else if (varve_place_begin(place, root) && read_driver(&storage, driver)) {
            status = VARVE_OK;
        }
        free(driver);
    }
    return varve_place_end(place, status);
}
