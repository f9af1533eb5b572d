/* SPDX-License-Identifier: Apache-2.0 */
/* src/source_docker.c - the docker daemon's data folder (moby, layer/filestore.go, image/fs.go).
 *
 *     image/<driver>/repositories.json                names to image ids
 *     image/<driver>/imagedb/content/sha256/<id>      an image's config
 *     image/<driver>/layerdb/sha256/<chain id>/diff   a layer's diffid; beside it parent, size,
 *                                                     cache-id, tar-split.json.gz
 *
 * Layers lie unpacked in folders, so that their bytes are not there to be read. What is checked is
 * what is written of them: configs against their ids, chain ids (image-spec config.md, "Layer
 * ChainID") against diffids and parents, and that each image's chain is there. */
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "folder.h"
#include "json_strict.h"
#include "oci_json.h"
#include "source.h"

struct docker {
    struct varve_place place;
    char *prefix;                 /* "image/<driver>/" */
    struct varve_name_map chains; /* chain ids in layerdb, as text */
    struct varve_name_map named;  /* ids of images that have a tag */
    bool unread;                  /* not all of layerdb could be read: nothing is amiss for that */
};

static void complain(struct docker *docker, const char *path, enum varve_code code) {
    varve_place_complain(&docker->place, path, varve_fault_of(code, VARVE_NO_OFFSET));
}

/* The chain id of a layer on its parent's chain (NULL: it is the lowest). */
static bool chain_id(char text[VARVE_DIGEST_TEXT_BYTES], const char *parent,
                     const struct varve_digest_name *diffid) {
    char joined[2 * VARVE_DIGEST_TEXT_BYTES];
    char own[VARVE_DIGEST_TEXT_BYTES];
    struct varve_digest_name chain = *diffid;
    varve_digest_name_text(own, diffid);
    if (parent) {
        int n = snprintf(joined, sizeof joined, "%s %s", parent, own);
        if (!varve_digest_name_of(&chain, joined, (size_t)n)) {
            return false;
        }
    }
    varve_digest_name_text(text, &chain);
    return true;
}

/* A file that holds a digest. False: it does not, or is not there (*fault is io.missing), or could
 * not be read. */
static bool read_digest(struct docker *docker, struct varve_digest_name *digest,
                        struct varve_fault *fault, const char *path) {
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    bool there = varve_place_read(&docker->place, &data, &data_bytes, fault, path);
    bool good = there && varve_digest_name_parse(digest, (const char *)data, data_bytes);
    if (there && !good) {
        *fault = varve_fault_of(VARVE_CODE_REGISTRY_LINK, VARVE_NO_OFFSET);
    }
    free(data);
    return good;
}

static bool is_missing(const struct varve_fault *fault) {
    return strcmp(fault->code, varve_code_at(VARVE_CODE_IO_MISSING)->code) == 0;
}

/* One layer of layerdb: is it under the chain id that its diffid and its parent give? */
static void read_layer(struct docker *docker, const char *hex) {
    struct varve_digest_name diffid;
    struct varve_digest_name parent;
    char folder[160];
    char path[200];
    char name[VARVE_DIGEST_TEXT_BYTES];
    char parent_name[VARVE_DIGEST_TEXT_BYTES] = "";
    char found[VARVE_DIGEST_TEXT_BYTES];
    struct varve_fault fault;
    struct varve_fault no_parent;
    snprintf(folder, sizeof folder, "layerdb/sha256/%.64s", hex);
    snprintf(name, sizeof name, "sha256:%.64s", hex);
    snprintf(path, sizeof path, "%s/diff", folder);
    bool good = read_digest(docker, &diffid, &fault, path);
    snprintf(path, sizeof path, "%s/parent", folder);
    bool has_parent = read_digest(docker, &parent, &no_parent, path);
    if (!good || (!has_parent && !is_missing(&no_parent))) {
        fault = good ? no_parent : fault;
        docker->unread |= varve_file_is_unread(&fault);
        if (!varve_file_is_unread(&fault)) {
            fault = varve_fault_of(VARVE_CODE_REGISTRY_LINK, VARVE_NO_OFFSET);
        }
        varve_place_complain(&docker->place, folder, fault);
        return;
    }
    if (has_parent) {
        varve_digest_name_text(parent_name, &parent);
    }
    if (!chain_id(found, has_parent ? parent_name : NULL, &diffid)) {
        docker->place.no_memory = true;
        return;
    }
    if (strcmp(found, name) != 0) {
        complain(docker, folder, VARVE_CODE_SOURCE_CHAIN);
        return;
    }
    char full[VARVE_PATTERN_PATH_BYTES];
    snprintf(full, sizeof full, "%s%s/tar-split.json.gz", docker->prefix, folder);
    varve_source_look_for_split(&docker->place, folder, full);
    docker->place.no_memory |= varve_name_map_add(&docker->chains, NULL, name) == VARVE_NAME_NONE;
}

/* Lists "<prefix><path>" and keeps only names that are sha256 digests in hex. */
static void each_digest(struct docker *docker, const char *path,
                        void (*each)(struct docker *docker, const char *hex)) {
    struct varve_folder folder;
    struct varve_fault fault;
    char full[VARVE_PATTERN_PATH_BYTES];
    snprintf(full, sizeof full, "%s%s", docker->prefix, path);
    if (!varve_folder_read(&folder, &fault, docker->place.fd, full)) {
        docker->unread |= varve_file_is_unread(&fault);
        varve_place_complain(&docker->place, path, fault);
        return;
    }
    for (size_t i = 0; i < folder.count && !docker->place.no_memory; i++) {
        const char *name = folder.names[i];
        if (strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64) {
            each(docker, name);
        }
    }
    varve_folder_free(&folder);
}

static void blame(struct varve_image *image, const char *document, enum varve_code code) {
    if (!image->fault.code) {
        image->fault = varve_fault_of(code, VARVE_NO_OFFSET);
        image->fault_digest = document;
    }
}

/* A layer as a blob: its files lie under another id than its chain's. */
static uint32_t add_layer(struct docker *docker, const struct varve_digest_name *diffid,
                          const char *chain) {
    char path[VARVE_PATTERN_PATH_BYTES];
    char split[VARVE_PATTERN_PATH_BYTES];
    char files[VARVE_PATTERN_PATH_BYTES] = "";
    struct varve_fault fault;
    uint8_t *id = NULL;
    size_t id_bytes = 0;
    const char *hex = chain + sizeof "sha256";
    size_t driver = strlen(docker->prefix) - sizeof "image/";
    bool vfs = strncmp(docker->prefix + sizeof "image", "vfs/", 4) == 0;
    snprintf(path, sizeof path, "layerdb/sha256/%.64s/cache-id", hex);
    snprintf(split, sizeof split, "%slayerdb/sha256/%.64s/tar-split.json.gz", docker->prefix, hex);
    bool there = varve_place_read(&docker->place, &id, &id_bytes, &fault, path);
    if (there && id_bytes > 0 &&
        strspn((char *)id, "0123456789abcdefghijklmnopqrstuvwxyz") == id_bytes) {
        snprintf(files, sizeof files, "%.*s/%s%.200s%s", (int)driver,
                 docker->prefix + sizeof "image", vfs ? "dir/" : "", (char *)id,
                 vfs ? "" : "/diff");
    }
    free(id);
    return varve_source_add_unpacked(&docker->place, diffid, false, *files ? split : NULL, files, 0,
                                     !there && varve_file_is_unread(&fault));
}

/* The layers that a config lists, each held against layerdb. */
static void take_layers(struct docker *docker, struct varve_image *image,
                        const struct varve_config *config) {
    char chain[VARVE_DIGEST_TEXT_BYTES] = "";
    uint32_t *claims = varve_catalog_new_claims(docker->place.catalog, config->diffid_count);
    for (size_t i = 0; claims && i < config->diffid_count; i++) {
        const struct varve_digest_name *diffid = &config->diffids[i];
        if (!chain_id(chain, i ? chain : NULL, diffid)) {
            docker->place.no_memory = true; /* under the chain before it lies another layer */
            break;
        }
        if (varve_name_map_find(&docker->chains, chain) == VARVE_NAME_NONE) {
            blame(image, image->digest,
                  docker->unread ? VARVE_CODE_IO_READ : VARVE_CODE_SOURCE_LAYERS);
        }
        uint32_t blob = add_layer(docker, diffid, chain);
        uint32_t claim =
            blob == VARVE_NAME_NONE
                ? VARVE_NAME_NONE
                : varve_catalog_add_claim(
                      docker->place.catalog, blob, VARVE_NO_SIZE, NULL,
                      diffid->algorithm == VARVE_ALGORITHM_SHA256 ? diffid->bytes : NULL);
        claims[image->layer_count] = claim;
        image->layer_count += claim != VARVE_NAME_NONE;
        docker->place.no_memory |= claim == VARVE_NAME_NONE;
    }
    image->claims = claims;
    docker->place.no_memory |= !claims;
}

/* One image, under a name that repositories.json gives it, or under none. */
static void read_image(struct docker *docker, const char *digest_text, const char *ref) {
    struct varve_digest_name digest;
    struct varve_config config = {0};
    struct varve_fault fault;
    uint8_t *data = NULL;
    size_t data_bytes = 0;
    char path[200];
    struct varve_image image = {.ref = ref, .digest = digest_text};
    if (!varve_digest_name_parse(&digest, digest_text, strlen(digest_text)) ||
        digest.algorithm != VARVE_ALGORITHM_SHA256) {
        complain(docker, "repositories.json", VARVE_CODE_OCI_SHAPE);
        return;
    }
    snprintf(path, sizeof path, "imagedb/content/sha256/%s", digest_text + sizeof "sha256");
    if (varve_place_read(&docker->place, &data, &data_bytes, &fault, path)) {
        image.config_json = varve_place_keep_document(&docker->place, data, data_bytes);
        bool no_memory = false;
        if (!varve_digest_name_holds(&no_memory, &digest, data, data_bytes)) {
            blame(&image, image.digest, no_memory ? VARVE_CODE_NO_MEMORY : VARVE_CODE_CLAIM_NAME);
        }
        if (varve_config_parse(&config, &fault, data, data_bytes)) {
            image.platform = *config.platform ? config.platform : NULL;
            image.config = varve_place_keep_config(&docker->place, &config.digests);
            if (config.holds_nul) {
                varve_place_note(&docker->place, path, VARVE_CODE_OCI_NUL);
            }
            take_layers(docker, &image, &config);
            fault.code = NULL;
        }
        free(data);
    }
    if (fault.code && !image.fault.code) {
        image.fault = fault;
        image.fault_digest = image.digest;
    }
    if (!docker->place.no_memory) {
        docker->place.no_memory |= !varve_catalog_add_image(docker->place.catalog, &image);
    }
    varve_config_free(&config);
}

/* Images by their tags. */
static void read_names(struct docker *docker) {
    const char *name = NULL;
    const char *ref = NULL;
    json_t *refs = NULL;
    json_t *id = NULL;
    bool unread = false;
    static const char *const keys[] = {"Repositories"};
    json_t *list = varve_source_read_list(&docker->place, &unread, "repositories.json");
    if (varve_json_has_variant(list, keys, 1)) {
        complain(docker, "repositories.json", VARVE_CODE_OCI_AMBIGUOUS);
    }
    json_object_foreach(json_object_get(list, "Repositories"), name, refs) {
        json_object_foreach(refs, ref, id) {
            const char *text = varve_json_string(id);
            if (text && !strchr(ref, '@') && !docker->place.no_memory) {
                read_image(docker, text, ref);
                docker->place.no_memory |=
                    varve_name_map_add(&docker->named, NULL, text) == VARVE_NAME_NONE;
            }
        }
    }
    json_decref(list);
}

/* An image of imagedb, if no tag led to it. */
static void read_nameless(struct docker *docker, const char *hex) {
    char id[VARVE_DIGEST_TEXT_BYTES];
    snprintf(id, sizeof id, "sha256:%.64s", hex);
    if (varve_name_map_find(&docker->named, id) == VARVE_NAME_NONE) {
        read_image(docker, id, NULL);
    }
}

/* "image/<driver>/" of the first driver that has a layerdb; NULL: there is none, or, with a
 * fault->code, that could not be told. */
static char *find_driver(struct varve_fault *fault, int fd) {
    struct varve_folder folder;
    char *prefix = NULL;
    bool read = varve_folder_read(&folder, fault, fd, "image");
    if (read || !varve_file_is_unread(fault)) {
        memset(fault, 0, sizeof *fault);
    }
    if (!read) {
        return NULL;
    }
    for (size_t i = 0; i < folder.count && !prefix && !fault->code; i++) {
        char path[300];
        snprintf(path, sizeof path, "image/%.255s/layerdb", folder.names[i]);
        if (varve_folder_holds(fault, fd, path) &&
            asprintf(&prefix, "image/%s/", folder.names[i]) < 0) {
            *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
            prefix = NULL;
        }
    }
    varve_folder_free(&folder);
    return prefix;
}

bool varve_source_is_docker(struct varve_fault *fault, int fd) {
    char *prefix = find_driver(fault, fd);
    free(prefix);
    return prefix != NULL;
}

enum varve_status varve_source_docker(struct varve_catalog *catalog, const char *operand) {
    struct docker docker = {.place = {.prefix = "", .pattern = "%h"}};
    struct varve_place *place = &docker.place;
    enum varve_status status = VARVE_ERROR;
    uint32_t root = VARVE_NAME_NONE;
    if (varve_source_open_folder(place, &root, catalog, "docker", operand)) {
        struct varve_fault fault;
        docker.prefix = find_driver(&fault, place->fd);
        if (!docker.prefix) {
            varve_source_complain_unknown(place, &fault);
        } else {
            place->prefix = docker.prefix;
            if (varve_place_begin(place, root)) {
                each_digest(&docker, "layerdb/sha256", read_layer);
                read_names(&docker);
                each_digest(&docker, "imagedb/content/sha256", read_nameless);
                status = VARVE_OK;
            }
        }
    }
    status = varve_place_end(place, status);
    varve_name_map_free(&docker.chains);
    varve_name_map_free(&docker.named);
    free(docker.prefix);
    return status;
}
