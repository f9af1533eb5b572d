/* SPDX-License-Identifier: Apache-2.0 */
/* src/rewrite_write.c - blobs copied, layers taken note of, documents written. */
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "canonical_json.h"
#include "file.h"
#include "limits.h"
#include "oci_json.h"
#include "rewrite_internal.h"

enum { ROOM_BYTES = 131072 };

/* ---- Blobs ---- */

static enum varve_status fail(struct varve_fault *fault, enum varve_code code, int os_errno) {
    *fault = varve_fault_of(code, VARVE_NO_OFFSET);
    fault->os_errno = os_errno;
    return fault->status;
}

/* Reads so many bytes of a file (UINT64_MAX: to its end) into a digest and, where there is one, a
 * sink. */
static enum varve_status pass(struct varve_fault *fault, EVP_MD_CTX *digest, uint64_t *passed,
                              int fd, uint64_t offset, uint64_t bytes, varve_sink_fn *sink,
                              void *cookie) {
    uint8_t *room = malloc(ROOM_BYTES);
    enum varve_status status = room ? VARVE_OK : fail(fault, VARVE_CODE_NO_MEMORY, 0);
    while (status == VARVE_OK && *passed < bytes) {
        uint64_t left = bytes - *passed;
        size_t wanted = left < ROOM_BYTES ? (size_t)left : ROOM_BYTES;
        int64_t got = varve_file_fill(fd, true, room, wanted, offset + *passed);
        if (got < 0) {
            status = fail(fault, VARVE_CODE_IO_READ, errno);
        } else if (got == 0) {
            break;
        } else if (EVP_DigestUpdate(digest, room, (size_t)got) != 1) {
            status = fail(fault, VARVE_CODE_NO_MEMORY, 0);
        } else if (sink && !sink(cookie, room, (size_t)got)) {
            status = fail(fault, VARVE_CODE_IO_WRITE, errno);
        }
        *passed += got > 0 ? (uint64_t)got : 0;
    }
    free(room);
    return status;
}

enum varve_status varve_rewrite_copy(const struct varve_rewrite *rewrite, struct varve_fault *fault,
                                     size_t blob, varve_sink_fn *sink, void *cookie) {
    const char *text = rewrite->blob_names.names[blob];
    struct varve_digest_name name;
    uint8_t found[EVP_MAX_MD_SIZE];
    uint64_t offset = 0;
    uint64_t bytes = 0;
    uint64_t passed = 0;
    int fd = varve_rewrite_open_blob(rewrite, &offset, &bytes, fault, blob);
    if (fd < 0 || !varve_digest_name_parse(&name, text, strlen(text))) {
        return fault->status;
    }
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    const EVP_MD *md = name.algorithm == VARVE_ALGORITHM_SHA512 ? EVP_sha512() : EVP_sha256();
    enum varve_status status = fail(fault, VARVE_CODE_NO_MEMORY, 0);
    if (digest && EVP_DigestInit_ex(digest, md, NULL) == 1) {
        status = pass(fault, digest, &passed, fd, offset, bytes, sink, cookie);
    }
    if (status == VARVE_OK && EVP_DigestFinal_ex(digest, found, NULL) != 1) {
        status = fail(fault, VARVE_CODE_NO_MEMORY, 0);
    } else if (status == VARVE_OK && memcmp(found, name.bytes, name.count) != 0) {
        status = fail(fault, VARVE_CODE_CLAIM_NAME, 0);
    } else if (status == VARVE_OK && passed != rewrite->blobs[blob].size) {
        status = fail(fault, VARVE_CODE_CLAIM_SIZE, 0);
    }
    if (status == VARVE_OK) {
        fault->code = NULL;
    }
    EVP_MD_CTX_free(digest);
    close(fd);
    return status;
}

enum varve_status varve_rewrite_set_layer(struct varve_rewrite *rewrite, struct varve_fault *fault,
                                          size_t blob, const struct varve_rewrite_layer *layer) {
    const char *text = rewrite->blob_names.names[blob];
    struct blob *it = &rewrite->blobs[blob];
    struct varve_digest_name name;
    enum varve_status status = VARVE_OK;
    *fault = (struct varve_fault){.code = NULL};
    if (!varve_digest_name_parse(&name, text, strlen(text))) {
        return fail(fault, VARVE_CODE_CLAIM_NAME, 0);
    }
    if (name.algorithm == VARVE_ALGORITHM_SHA512) {
        status = varve_rewrite_copy(rewrite, fault, blob, NULL, NULL);
    } else if (memcmp(name.bytes, layer->tar->blob, VARVE_SHA256_BYTES) != 0) {
        status = fail(fault, VARVE_CODE_CLAIM_NAME, 0);
    } else if (layer->tar->stored_bytes != it->size) {
        status = fail(fault, VARVE_CODE_CLAIM_SIZE, 0);
    }
    it->new_size = layer->bytes;
    varve_rewrite_put_digest(it->new_name, layer->digest);
    memcpy(it->diffid, layer->tar->diffid, VARVE_SHA256_BYTES);
    memcpy(it->new_diffid, layer->tar->tar_digest, VARVE_SHA256_BYTES);
    return status;
}

/* ---- Documents ---- */

/* Bytes of a document as they are written. */
struct text {
    char *bytes;
    size_t count, room;
};

static bool append(void *cookie, const void *data, size_t bytes) {
    struct text *text = cookie;
    if (text->room - text->count < bytes) {
        size_t room =
            2 * text->room > text->count + bytes ? 2 * text->room : text->count + bytes + 1024;
        char *grown = realloc(text->bytes, room);
        if (!grown) {
            return false;
        }
        text->bytes = grown;
        text->room = room;
    }
    if (bytes) {
        memcpy(text->bytes + text->count, data, bytes);
    }
    text->count += bytes;
    return true;
}

static bool write_json(struct text *text, struct varve_fault *fault, const json_t *root) {
    if (!varve_canonical_json_exact(root, append, text)) {
        *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
        return false;
    }
    if (text->count > VARVE_LIMIT_DOCUMENT_BYTES) {
        /* Numbers can be spelled shorter than RFC 8785 does. */
        *fault = varve_fault_of(VARVE_CODE_OCI_DOCUMENT_SIZE, 0);
        return false;
    }
    return true;
}

/* Whether a document became what it was, byte for byte. */
static bool is_as_it_was(const struct text *text, const void *data, size_t bytes) {
    return text->bytes && text->count == bytes && memcmp(text->bytes, data, bytes) == 0;
}

/* Gives a document away under its digest, which it has from before if its bytes are the same. */
static bool put_blob(struct varve_rewrite *rewrite, struct varve_fault *fault,
                     char new_name[VARVE_DIGEST_TEXT_BYTES], const char *old_name,
                     const struct text *text, bool same) {
    struct varve_digest_name name;
    char path[VARVE_DIGEST_TEXT_BYTES + 8];
    if (same) {
        strcpy(new_name, old_name);
    } else if (!varve_digest_name_of(&name, text->bytes, text->count)) {
        *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
        return false;
    } else {
        varve_digest_name_text(new_name, &name);
    }
    snprintf(path, sizeof path, "blobs/%s", new_name);
    *strchr(path, ':') = '/';
    if (!rewrite->put(rewrite->cookie, path, text->bytes, text->count)) {
        fail(fault, VARVE_CODE_IO_WRITE, errno);
        return false;
    }
    return true;
}

/* Remembers a config, for the mapping: once, unless it becomes another for another manifest. */
static bool note_config(struct varve_rewrite *rewrite, const char *before, const char *after,
                        uint64_t bytes_before, uint64_t bytes_after) {
    char pair[2 * VARVE_DIGEST_TEXT_BYTES];
    bool added = false;
    snprintf(pair, sizeof pair, "%s %s", before, after);
    uint32_t old = varve_name_map_add(&rewrite->config_names, NULL, before);
    uint32_t new = varve_name_map_add(&rewrite->config_names, NULL, after);
    if (old == VARVE_NAME_NONE || new == VARVE_NAME_NONE ||
        varve_name_map_add(&rewrite->config_pairs, &added, pair) == VARVE_NAME_NONE ||
        !varve_rewrite_room(rewrite, &rewrite->configs, &rewrite->config_room,
                            rewrite->config_count, sizeof *rewrite->configs)) {
        return false;
    }
    if (added) {
        rewrite->configs[rewrite->config_count++] =
            (struct config){old, new, bytes_before, bytes_after, rewrite->at};
    }
    return true;
}

/* Makes a config what it becomes with a manifest's layers, and gives it away. */
static void make_config(struct varve_rewrite *rewrite, struct config_made *made, const char *name,
                        const struct varve_digest_name *digest, const json_t *manifest) {
    struct text text = {NULL, 0, 0};
    size_t bytes = 0;
    uint8_t *data = NULL;
    json_t *root = NULL;
    if (varve_place_read_digest(&rewrite->place, &data, &bytes, &made->fault, digest) &&
        !made->fault.code) {
        root = varve_json_load(&made->fault, data, bytes);
    }
    bool good = root && varve_rewrite_change_config(rewrite, &made->fault, root, manifest) &&
                write_json(&text, &made->fault, root);
    if (good && put_blob(rewrite, &made->fault, made->name, name, &text,
                         is_as_it_was(&text, data, bytes))) {
        made->bytes = text.count;
        made->fault.code = NULL;
    }
    json_decref(root);
    free(text.bytes);
    free(data);
}

/* What a config became with layers that became `became`: many manifests may share both, and then it
 * is made once. NULL: no memory. */
static const struct config_made *made_of(struct varve_rewrite *rewrite,
                                         const struct varve_digest_name *digest,
                                         const uint8_t became[VARVE_SHA256_BYTES],
                                         const json_t *manifest) {
    char key[VARVE_DIGEST_TEXT_BYTES + 1 + 2 * VARVE_SHA256_BYTES + 1];
    char name[VARVE_DIGEST_TEXT_BYTES];
    char hex[2 * VARVE_SHA256_BYTES + 1];
    bool added = false;
    varve_digest_name_text(name, digest);
    varve_hex(hex, became, VARVE_SHA256_BYTES);
    snprintf(key, sizeof key, "%s %s", name, hex);
    uint32_t number = varve_name_map_add(&rewrite->made_names, &added, key);
    if (number == VARVE_NAME_NONE ||
        !varve_rewrite_room(rewrite, &rewrite->mades, &rewrite->made_room, number,
                            sizeof *rewrite->mades)) {
        return NULL;
    }
    struct config_made *made = &rewrite->mades[number];
    if (added) {
        *made = (struct config_made){.bytes = 0};
        make_config(rewrite, made, name, digest, manifest);
    }
    return made;
}

/* The config of an image, as it is to be: its new digest is `new_name`. */
static bool write_config(struct varve_rewrite *rewrite, struct varve_fault *fault,
                         char new_name[VARVE_DIGEST_TEXT_BYTES], uint64_t *new_bytes,
                         const json_t *manifest) {
    struct varve_digest_name digest;
    uint8_t became[VARVE_SHA256_BYTES];
    const char *name =
        varve_json_string(json_object_get(json_object_get(manifest, "config"), "digest"));
    bool named = name && varve_digest_name_parse(&digest, name, strlen(name));
    const struct config_read *read = named ? varve_rewrite_read_config(rewrite, &digest) : NULL;
    *fault = read ? read->fault
                  : varve_fault_of(named ? VARVE_CODE_NO_MEMORY : VARVE_CODE_OCI_DESCRIPTOR,
                                   VARVE_NO_OFFSET);
    if (!read || fault->code ||
        !varve_rewrite_check_diffids(rewrite, fault, became, read, manifest)) {
        return false;
    }
    uint64_t bytes = read->bytes;
    *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
    const struct config_made *made = made_of(rewrite, &digest, became, manifest);
    if (!made) {
        return false;
    }
    if (made->fault.code) {
        *fault = made->fault;
        return false;
    }
    strcpy(new_name, made->name);
    *new_bytes = made->bytes;
    if (!note_config(rewrite, name, new_name, bytes, made->bytes)) {
        return false;
    }
    fault->code = NULL;
    return true;
}

/* Changes a document; *as_it_was where its bytes are to be kept. */
static bool change(struct varve_rewrite *rewrite, struct varve_fault *fault, bool *as_it_was,
                   json_t *root, uint32_t number) {
    char config_name[VARVE_DIGEST_TEXT_BYTES];
    uint64_t config_bytes = 0;
    bool changed = true;
    bool good = true;
    switch (rewrite->documents[number].kind) {
    case DOCUMENT_IMAGE:
        good = write_config(rewrite, fault, config_name, &config_bytes, root) &&
               varve_rewrite_change_image(rewrite, fault, root, config_name, config_bytes);
        break;
    case DOCUMENT_INDEX:
        good = varve_rewrite_change_index(rewrite, fault, root);
        break;
    default:
        if (!varve_rewrite_change_copied(rewrite, &changed, root)) {
            *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
            good = false;
        }
    }
    *as_it_was = !changed;
    return good;
}

static bool write_document(struct varve_rewrite *rewrite, uint32_t number) {
    struct varve_fault fault = {.code = NULL};
    struct text text = {NULL, 0, 0};
    size_t bytes = 0;
    bool as_it_was = false;
    const char *name = rewrite->names.names[number];
    uint8_t *data = varve_rewrite_reread(rewrite, &bytes, name, number);
    if (!data) {
        return false;
    }
    json_t *root = varve_json_load(&fault, data, bytes);
    bool good = root && change(rewrite, &fault, &as_it_was, root, number);
    if (good && as_it_was) {
        good = append(&text, data, bytes);
    } else if (good) {
        good = write_json(&text, &fault, root);
    }
    struct document *document = &rewrite->documents[number];
    good = good && put_blob(rewrite, &fault, document->new_name, name, &text,
                            is_as_it_was(&text, data, bytes));
    document->size = bytes;
    document->new_size = text.count;
    document->written = good;
    if (fault.code) {
        varve_rewrite_complain(rewrite, number, fault);
    }
    json_decref(root);
    free(text.bytes);
    free(data);
    return good;
}

static bool put_file(struct varve_rewrite *rewrite, struct varve_fault *fault, const char *path,
                     const void *data, size_t bytes) {
    if (!rewrite->put(rewrite->cookie, path, data, bytes)) {
        fail(fault, VARVE_CODE_IO_WRITE, errno);
        return false;
    }
    return true;
}

static bool write_index(struct varve_rewrite *rewrite) {
    struct varve_fault fault = {.code = NULL};
    struct text text = {NULL, 0, 0};
    json_t *root = varve_json_load(&fault, rewrite->index, rewrite->index_bytes);
    json_t *entries = json_object_get(root, "manifests");
    for (size_t i = rewrite->top_count; i-- > 0;) {
        if (!rewrite->tops[i].kept) {
            json_array_remove(entries, i);
        }
    }
    bool good = root && varve_rewrite_change_index(rewrite, &fault, root);
    if (good && !varve_rewrite_change_tags(rewrite, root)) {
        fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
        good = false;
    }
    good = good && write_json(&text, &fault, root) &&
           put_file(rewrite, &fault, "index.json", text.bytes, text.count) &&
           put_file(rewrite, &fault, "oci-layout", rewrite->layout, rewrite->layout_bytes);
    if (fault.code) {
        varve_rewrite_complain(rewrite, VARVE_NAME_NONE, fault);
    }
    json_decref(root);
    free(text.bytes);
    return good;
}

/* ---- What became of what ---- */

static bool list_mappings(struct varve_rewrite *rewrite) {
    size_t most = 2 * rewrite->blob_names.count + rewrite->config_count + rewrite->order_count;
    rewrite->mappings = calloc(most + 1, sizeof *rewrite->mappings);
    if (!rewrite->mappings) {
        return false;
    }
    struct mapping *to = rewrite->mappings;
    for (uint32_t i = 0; i < rewrite->blob_names.count; i++) {
        if (rewrite->blobs[i].layer) {
            *to++ = (struct mapping){VARVE_REWRITE_LAYER, i};
        }
        if (rewrite->blobs[i].copied) {
            *to++ = (struct mapping){VARVE_REWRITE_BLOB, i};
        }
    }
    size_t config = 0;
    for (size_t i = 0; i < rewrite->order_count; i++) {
        uint32_t number = rewrite->order[i];
        for (; config < rewrite->config_count && rewrite->configs[config].behind == i; config++) {
            *to++ = (struct mapping){VARVE_REWRITE_CONFIG, (uint32_t)config};
        }
        bool index = rewrite->documents[number].kind == DOCUMENT_INDEX;
        *to++ = (struct mapping){index ? VARVE_REWRITE_INDEX : VARVE_REWRITE_MANIFEST, number};
    }
    rewrite->mapping_count = (size_t)(to - rewrite->mappings);
    return true;
}

enum varve_status varve_rewrite_documents(struct varve_rewrite *rewrite, varve_rewrite_put_fn *put,
                                          void *cookie) {
    size_t errors = varve_rewrite_error_count(rewrite);
    bool good = true;
    rewrite->put = put;
    rewrite->cookie = cookie;
    for (rewrite->at = 0; rewrite->at < rewrite->order_count; rewrite->at++) {
        good = write_document(rewrite, rewrite->order[rewrite->at]) && good;
    }
    good = good && write_index(rewrite);
    if (good && !list_mappings(rewrite)) {
        good = varve_rewrite_complain_code(rewrite, VARVE_NAME_NONE, VARVE_CODE_NO_MEMORY);
    }
    if (good) {
        return VARVE_OK;
    }
    return varve_rewrite_error_count(rewrite) > errors
               ? varve_rewrite_error(rewrite, errors).fault.status
               : VARVE_ERROR;
}

size_t varve_rewrite_mapping_count(const struct varve_rewrite *rewrite) {
    return rewrite->mapping_count;
}

static void map_blob(struct varve_rewrite_mapping *to, const struct varve_rewrite *rewrite,
                     uint32_t number, bool layer) {
    const struct blob *blob = &rewrite->blobs[number];
    to->before = to->after = rewrite->blob_names.names[number];
    to->bytes_before = to->bytes_after = blob->size;
    if (layer) {
        to->after = blob->new_name;
        to->bytes_after = blob->new_size;
        to->has_diffids = true;
        varve_rewrite_put_digest(to->diffid_before, blob->diffid);
        varve_rewrite_put_digest(to->diffid_after, blob->new_diffid);
    }
}

struct varve_rewrite_mapping varve_rewrite_mapping(const struct varve_rewrite *rewrite,
                                                   size_t index) {
    const struct mapping *mapping = &rewrite->mappings[index];
    struct varve_rewrite_mapping to = {.kind = mapping->kind};
    if (to.kind == VARVE_REWRITE_LAYER || to.kind == VARVE_REWRITE_BLOB) {
        map_blob(&to, rewrite, mapping->number, to.kind == VARVE_REWRITE_LAYER);
    } else if (to.kind == VARVE_REWRITE_CONFIG) {
        const struct config *config = &rewrite->configs[mapping->number];
        to.before = rewrite->config_names.names[config->before];
        to.after = rewrite->config_names.names[config->after];
        to.bytes_before = config->bytes_before;
        to.bytes_after = config->bytes_after;
    } else {
        const struct document *document = &rewrite->documents[mapping->number];
        to.before = rewrite->names.names[mapping->number];
        to.after = document->new_name;
        to.bytes_before = document->size;
        to.bytes_after = document->new_size;
        to.ref = document->ref == VARVE_NAME_NONE ? NULL : rewrite->refs.names[document->ref];
        to.attestation = document->attestation && document->kind == DOCUMENT_COPIED;
        to.artifact = !to.attestation && document->kind == DOCUMENT_COPIED;
    }
    return to;
}
