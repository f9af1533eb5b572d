/* SPDX-License-Identifier: Apache-2.0 */
/* src/source_oci.c - OCI image layouts (image-spec image-layout.md), in folders and in archives. */
#include <stdlib.h>
#include <string.h>

#include "documents.h"
#include "folder.h"
#include "json_load.h"
#include "json_strict.h"
#include "source.h"

#define PATTERN "blobs/%a/%h"

/* image-spec image-layout.md, "oci-layout file". */
uint8_t *varve_source_layout_file(struct varve_place *place, size_t *bytes) {
    static const char *const keys[] = {"imageLayoutVersion"};
    enum varve_code code = VARVE_CODE_OCI_LAYOUT;
    uint8_t *data = NULL;
    struct varve_fault fault;
    bool no_memory = false;
    bool good = varve_place_read(place, &data, bytes, &fault, "oci-layout");
    bool missing = !good && strcmp(fault.code, varve_code_at(VARVE_CODE_IO_MISSING)->code) == 0;
    if (good) {
        json_t *root = varve_json_parse(data, *bytes, JSON_REJECT_DUPLICATES, NULL, &no_memory);
        good = json_is_string(json_object_get(root, keys[0]));
        if (varve_json_has_variant(root, keys, 1)) {
            code = VARVE_CODE_OCI_AMBIGUOUS;
            good = false;
        }
        json_decref(root);
        missing = !good;
    }
    if (missing) {
        fault = varve_fault_of(no_memory ? VARVE_CODE_NO_MEMORY : code, VARVE_NO_OFFSET);
    }
    if (!good) {
        varve_place_complain(place, "oci-layout", fault);
        free(data);
        return NULL;
    }
    return data;
}

enum varve_status varve_source_read_oci(struct varve_place *place, const char *repository,
                                        const char *tag) {
    struct varve_documents *documents = varve_documents_open(place, repository);
    if (!documents) {
        return VARVE_ERROR;
    }
    size_t layout_bytes = 0;
    free(varve_source_layout_file(place, &layout_bytes));
    uint32_t index = varve_documents_file(documents, "index.json");
    bool good = index != VARVE_NAME_NONE;
    if (good && !varve_documents_is_index(documents, index)) {
        varve_place_complain(place, "index.json",
                             varve_fault_of(VARVE_CODE_OCI_SHAPE, VARVE_NO_OFFSET));
        good = false;
    }
    if (good) {
        varve_documents_walk_entries(documents, index, tag);
    }
    if (!tag) {
        varve_documents_add_rest(documents, NULL);
    }
    varve_documents_close(documents);
    return good ? VARVE_OK : VARVE_ERROR;
}

enum varve_status varve_source_oci(struct varve_catalog *catalog, const char *operand) {
    struct varve_place place = {.prefix = "", .pattern = PATTERN};
    enum varve_status status = VARVE_ERROR;
    const char *tag = NULL;
    uint32_t root = VARVE_NAME_NONE;
    char *path = varve_source_split(&tag, operand);
    if (path && varve_source_open_folder(&place, &root, catalog, "oci", path) &&
        varve_place_begin(&place, root)) {
        status = varve_source_read_oci(&place, NULL, tag);
    }
    free(path);
    return varve_place_end(&place, status);
}

enum varve_status varve_source_oci_archive(struct varve_catalog *catalog, const char *operand) {
    struct varve_place place = {.prefix = "", .pattern = PATTERN};
    struct varve_archive *archive = NULL;
    enum varve_status status = VARVE_ERROR;
    const char *tag = NULL;
    uint32_t root = VARVE_NAME_NONE;
    char *path = varve_source_split(&tag, operand);
    if (path && varve_source_open_archive(&place, &archive, &root, catalog, "oci-archive", path)) {
        status = varve_source_read_oci(&place, NULL, tag);
    }
    free(path);
    varve_archive_close(archive);
    return varve_place_end(&place, status);
}

bool varve_source_is_oci(struct varve_fault *fault, int fd) {
    return varve_folder_holds(fault, fd, "index.json") ||
           (!fault->code && varve_folder_holds(fault, fd, "oci-layout"));
}

bool varve_source_is_oci_archive(struct varve_fault *fault, int fd) {
    static const char *const names[] = {"index.json", "oci-layout"};
    return varve_archive_has(fault, fd, names, 2);
}
