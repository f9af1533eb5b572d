/* SPDX-License-Identifier: Apache-2.0 */
/* src/rewrite_json.c - configs, manifests and indexes changed as layers and options say. */
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oci_json.h"
#include "rewrite_internal.h"

static bool refuse(struct varve_fault *fault, enum varve_code code) {
    *fault = varve_fault_of(code, VARVE_NO_OFFSET);
    return false;
}

/* ---- Times ---- */

/* So many decimal digits at *at, which moves behind them. -1: they are not there. */
static int digits(const char **at, int count) {
    int value = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9') {
            return -1;
        }
        value = 10 * value + (**at - '0');
    }
    return value;
}

/* Days from 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the day which
 * some have more is their last one. */
static int64_t days_of(int year, int month, int day) {
    int64_t y = month > 2 ? year : year - 1;
    int64_t m = month > 2 ? month - 3 : month + 9;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t in_era = y - era * 400;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + (153 * m + 2) / 5 + day - 1 -
           719468;
}

/* "Z" or "+hh:mm" behind a time, as seconds. False: neither. */
static bool read_zone(int *seconds, const char *at) {
    if ((*at == 'Z' || *at == 'z') && !at[1]) {
        *seconds = 0;
        return true;
    }
    int sign = *at == '-' ? -1 : 1;
    if (*at != '+' && *at != '-') {
        return false;
    }
    at++;
    int hours = digits(&at, 2);
    bool colon = *at == ':';
    at += colon;
    int minutes = digits(&at, 2);
    *seconds = sign * (3600 * hours + 60 * minutes);
    return colon && !*at && hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

/* RFC 3339, section 5.6; fractions are cut off. */
static bool read_time(int64_t *seconds, const char *text) {
    static const char between[] = "--T::";
    int values[6];
    int zone = 0;
    const char *at = text;
    for (int i = 0; i < 6; i++) {
        values[i] = digits(&at, i == 0 ? 4 : 2);
        if (values[i] < 0 ||
            (i < 5 && *at != between[i] && !(i == 2 && (*at == 't' || *at == ' ')))) {
            return false;
        }
        at += i < 5;
    }
    if (*at == '.') {
        size_t count = strspn(at + 1, "0123456789");
        if (count == 0) {
            return false;
        }
        at += 1 + count;
    }
    *seconds = 86400 * days_of(values[0], values[1], values[2]) + INT64_C(3600) * values[3] +
               INT64_C(60) * values[4] + values[5];
    bool good = values[1] >= 1 && values[1] <= 12 && values[2] >= 1 && values[2] <= 31 &&
                values[3] < 24 && values[4] < 60 && values[5] <= 60 && read_zone(&zone, at);
    *seconds -= zone;
    return good;
}

/* The worse the greater. */
enum time_change { TIME_GOOD, TIME_IS_NONE, TIME_NO_MEMORY };

/* A member that is a time, as the options want it. Those that are no times are left. */
static enum time_change set_time(const struct varve_rewrite *rewrite, json_t *object,
                                 const char *key) {
    const struct varve_rewrite_options *options = &rewrite->options;
    json_t *value = json_object_get(object, key);
    const char *text = varve_json_string(value);
    int64_t seconds = 0;
    if (!value || json_is_null(value) || (!options->has_clamp && !options->same_times)) {
        return TIME_GOOD;
    }
    if (!text || !read_time(&seconds, text)) {
        return TIME_IS_NONE;
    }
    if (!options->same_times && seconds < options->clamp_seconds) {
        return TIME_GOOD;
    }
    char stamp[64] = "";
    struct tm parts;
    time_t clamp = (time_t)options->clamp_seconds;
    if (gmtime_r(&clamp, &parts)) {
        snprintf(stamp, sizeof stamp, "%04d-%02d-%02dT%02d:%02d:%02dZ", parts.tm_year + 1900,
                 parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    }
    return json_object_set_new(object, key, json_string(stamp)) == 0 ? TIME_GOOD : TIME_NO_MEMORY;
}

/* ---- Descriptors ---- */

static bool set_text(json_t *object, const char *key, const char *text) {
    return json_object_set_new(object, key, json_string(text)) == 0;
}

static const char *text_at(const json_t *object, const char *key) {
    return varve_json_string(json_object_get(object, key));
}

/* Points a descriptor to other bytes. What it holds of the old ones goes. */
static bool point(json_t *descriptor, const char *name, uint64_t bytes) {
    json_object_del(descriptor, "data");
    json_object_del(descriptor, "urls");
    return set_text(descriptor, "digest", name) &&
           json_object_set_new(descriptor, "size", json_integer((json_int_t)bytes)) == 0;
}

/* The document that a digest names, where that has become another. NULL: it has not. */
static const struct document *moved(const struct varve_rewrite *rewrite, const char *digest) {
    uint32_t number = VARVE_NAME_NONE;
    if (!varve_rewrite_find(rewrite, &number, digest)) {
        return NULL;
    }
    const struct document *document = &rewrite->documents[number];
    return document->written && strcmp(document->new_name, digest) != 0 ? document : NULL;
}

static bool follow(const struct varve_rewrite *rewrite, bool *changed, json_t *descriptor) {
    const struct document *to = moved(rewrite, text_at(descriptor, "digest"));
    *changed |= to != NULL;
    return !to || point(descriptor, to->new_name, to->new_size);
}

/* What annotations refer to, of a document or of a descriptor in one. */
static bool change_reference(const struct varve_rewrite *rewrite, bool *changed, json_t *object) {
    static const char reference[] = "vnd.docker.reference.digest";
    json_t *annotations = json_object_get(object, "annotations");
    const struct document *to = moved(rewrite, text_at(annotations, reference));
    *changed |= to != NULL;
    return !to || set_text(annotations, reference, to->new_name);
}

/* The subject of any document, and what that and the document itself refer to. */
static bool change_subject(const struct varve_rewrite *rewrite, bool *changed, json_t *root) {
    json_t *subject = json_object_get(root, "subject");
    return follow(rewrite, changed, subject) && change_reference(rewrite, changed, subject) &&
           change_reference(rewrite, changed, root);
}

/* A document, or a descriptor in one, that describes what is written anew. */
static bool change_annotations(const struct varve_rewrite *rewrite, json_t *object) {
    bool changed = false;
    /* A value that is no time is somebody's text. */
    enum time_change changed_time = set_time(rewrite, json_object_get(object, "annotations"),
                                             "org.opencontainers.image.created");
    return changed_time != TIME_NO_MEMORY && change_reference(rewrite, &changed, object);
}

/* ---- Layers ---- */

void varve_rewrite_put_digest(char text[72], const uint8_t digest[VARVE_SHA256_BYTES]) {
    varve_hex(stpcpy(text, "sha256:"), digest, VARVE_SHA256_BYTES);
}

/* The layer behind a descriptor of an image. NULL: it is copied. */
static const struct blob *layer_of(const struct varve_rewrite *rewrite, const json_t *descriptor) {
    const char *type = text_at(descriptor, "mediaType");
    const char *digest = text_at(descriptor, "digest");
    if (!type || !digest || !varve_media_type_of(type).known) {
        return NULL;
    }
    uint32_t number = varve_name_map_find(&rewrite->blob_names, digest);
    const struct blob *blob = number == VARVE_NAME_NONE ? NULL : &rewrite->blobs[number];
    return blob && blob->layer ? blob : NULL;
}

/* What tells where things lie in the stored bytes: of eStargz (stargz-snapshotter, docs/estargz.md)
 * and of zstd:chunked (containers/storage). */
static const char *const places[] = {
    "containerd.io/snapshot/stargz/toc.digest",
    "io.containers.estargz.uncompressed-size",
    "io.github.containers.zstd-chunked.manifest-checksum",
    "io.github.containers.zstd-chunked.manifest-position",
    "io.github.containers.zstd-chunked.tarsplit-checksum",
    "io.github.containers.zstd-chunked.tarsplit-position",
};

static bool change_layer(const struct varve_rewrite *rewrite, json_t *descriptor) {
    const struct blob *blob = layer_of(rewrite, descriptor);
    const char *old_name = text_at(descriptor, "digest");
    char diffid[72];
    if (!blob) {
        return true;
    }
    const char *old_type = text_at(descriptor, "mediaType");
    const char *type = varve_media_type_stored(old_type, rewrite->options.compression);
    /* Its parameters are left alone. */
    json_t *whole = json_sprintf("%s%s", type, old_type + strcspn(old_type, "; \t"));
    if (json_object_set_new(descriptor, "mediaType", whole) != 0) {
        return false;
    }
    varve_rewrite_put_digest(diffid, blob->new_diffid);
    if (strcmp(old_name, blob->new_name) == 0) {
        return true;
    }
    json_t *annotations = json_object_get(descriptor, "annotations");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        json_object_del(annotations, places[i]);
    }
    return (!json_object_get(annotations, "containerd.io/uncompressed") ||
            set_text(annotations, "containerd.io/uncompressed", diffid)) &&
           point(descriptor, blob->new_name, blob->new_size);
}

bool varve_rewrite_check_diffids(const struct varve_rewrite *rewrite, struct varve_fault *fault,
                                 uint8_t became[VARVE_SHA256_BYTES],
                                 const struct config_read *config, const struct json_t *manifest) {
    json_t *item = NULL;
    size_t i = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool good = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;
    enum varve_code code = VARVE_CODE_NO_MEMORY;
    json_array_foreach(json_object_get(manifest, "layers"), i, item) {
        const struct blob *blob = layer_of(rewrite, item);
        uint64_t number = i;
        if (!blob || !good) {
            continue;
        }
        const struct varve_digest_name *claimed =
            i < config->diffid_count ? &config->diffids[i] : NULL;
        if (!claimed || (claimed->algorithm == VARVE_ALGORITHM_SHA256 &&
                         memcmp(claimed->bytes, blob->diffid, VARVE_SHA256_BYTES) != 0)) {
            code = VARVE_CODE_CLAIM_DIFFID;
            good = false;
            continue;
        }
        good = EVP_DigestUpdate(digest, &number, sizeof number) == 1 &&
               EVP_DigestUpdate(digest, blob->new_diffid, VARVE_SHA256_BYTES) == 1;
    }
    good = good && EVP_DigestFinal_ex(digest, became, NULL) == 1;
    EVP_MD_CTX_free(digest);
    return good || refuse(fault, code);
}

bool varve_rewrite_change_config(const struct varve_rewrite *rewrite, struct varve_fault *fault,
                                 struct json_t *config, const struct json_t *manifest) {
    json_t *diffids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    json_t *layers = json_object_get(manifest, "layers");
    json_t *item = NULL;
    size_t i = 0;
    json_array_foreach(layers, i, item) {
        const struct blob *blob = layer_of(rewrite, item);
        char is[72];
        if (!blob) {
            continue;
        }
        varve_rewrite_put_digest(is, blob->new_diffid);
        if (json_array_set_new(diffids, i, json_string(is)) != 0) {
            return refuse(fault, VARVE_CODE_NO_MEMORY);
        }
    }
    enum time_change worst = set_time(rewrite, config, "created");
    json_array_foreach(json_object_get(config, "history"), i, item) {
        enum time_change change = set_time(rewrite, item, "created");
        worst = change > worst ? change : worst;
    }
    enum time_change label =
        set_time(rewrite, json_object_get(json_object_get(config, "config"), "Labels"),
                 "org.opencontainers.image.created");
    worst = label == TIME_NO_MEMORY ? label : worst; /* one that is none is somebody's text */
    return worst == TIME_GOOD ||
           refuse(fault, worst == TIME_NO_MEMORY ? VARVE_CODE_NO_MEMORY : VARVE_CODE_OCI_CREATED);
}

bool varve_rewrite_change_image(const struct varve_rewrite *rewrite, struct varve_fault *fault,
                                struct json_t *manifest, const char *config_name,
                                uint64_t config_bytes) {
    json_t *config = json_object_get(manifest, "config");
    json_t *item = NULL;
    size_t i = 0;
    bool changed = false;
    bool good = change_subject(rewrite, &changed, manifest) &&
                change_annotations(rewrite, manifest) && change_annotations(rewrite, config);
    if (strcmp(text_at(config, "digest"), config_name) != 0) {
        good = good && point(config, config_name, config_bytes);
    }
    json_array_foreach(json_object_get(manifest, "layers"), i, item) {
        good = good && change_layer(rewrite, item) && change_annotations(rewrite, item);
    }
    return good || refuse(fault, VARVE_CODE_NO_MEMORY);
}

bool varve_rewrite_change_index(const struct varve_rewrite *rewrite, struct varve_fault *fault,
                                struct json_t *index) {
    json_t *item = NULL;
    size_t i = 0;
    bool changed = false;
    bool good = change_subject(rewrite, &changed, index) && change_annotations(rewrite, index);
    json_array_foreach(json_object_get(index, "manifests"), i, item) {
        const char *type = text_at(item, "mediaType");
        /* What is called something else is copied, whatever it is to others. */
        if (type && varve_media_type_is_document(type)) {
            good = good && follow(rewrite, &changed, item);
        }
        good = good && change_annotations(rewrite, item);
    }
    return good || refuse(fault, VARVE_CODE_NO_MEMORY);
}

bool varve_rewrite_change_copied(const struct varve_rewrite *rewrite, bool *changed,
                                 struct json_t *manifest) {
    *changed = false;
    return change_subject(rewrite, changed, manifest);
}

/* The tag of an entry of index.json, or NULL. */
static const char *tag_of(const json_t *entry) {
    return text_at(json_object_get(entry, "annotations"), "org.opencontainers.image.ref.name");
}

enum { NEW_TAG_BYTES = VARVE_REFERRERS_DIGEST_BYTES + 8 };

/* What a tag of the referrers tag schema becomes. False: it stays, or is none. */
static bool new_tag(char text[NEW_TAG_BYTES], const struct varve_rewrite *rewrite,
                    const char *tag) {
    char digest[VARVE_REFERRERS_DIGEST_BYTES];
    const struct document *to =
        varve_rewrite_referrers_tag(digest, tag) ? moved(rewrite, digest) : NULL;
    if (!to || strncmp(to->new_name, "sha256:", 7) != 0) {
        return false;
    }
    snprintf(text, NEW_TAG_BYTES, "sha256-%.64s%.8s", to->new_name + 7, tag + 71);
    return true;
}

/* Tags that are taken, and by which old ones: what was one tag stays one. */
struct tags {
    struct varve_name_map taken, old;
    uint32_t *by; /* by number in `taken`: in `old` */
};

/* Whether an entry's tag may become `text`: images that became one are called by one tag, and only
 * the first to come gets it. *no_memory where that could not be found out. */
static bool take_tag(struct tags *tags, bool *no_memory, const char *text, const char *tag) {
    bool added = false;
    uint32_t number = varve_name_map_add(&tags->taken, &added, text);
    uint32_t old = varve_name_map_add(&tags->old, NULL, tag);
    if (number == VARVE_NAME_NONE || old == VARVE_NAME_NONE) {
        *no_memory = true;
        return false;
    }
    if (added) {
        tags->by[number] = old;
    }
    return tags->by[number] == old;
}

bool varve_rewrite_change_tags(const struct varve_rewrite *rewrite, struct json_t *index) {
    json_t *entries = json_object_get(index, "manifests");
    json_t *item = NULL;
    size_t i = 0;
    char text[NEW_TAG_BYTES];
    struct tags tags = {.by = calloc(json_array_size(entries) + 1, sizeof *tags.by)};
    bool no_memory = !tags.by;
    json_array_foreach(entries, i, item) {
        const char *tag = tag_of(item);
        if (tag && !no_memory && !new_tag(text, rewrite, tag)) {
            take_tag(&tags, &no_memory, tag, tag);
        }
    }
    json_array_foreach(entries, i, item) {
        const char *tag = tag_of(item);
        if (tag && !no_memory && new_tag(text, rewrite, tag) &&
            take_tag(&tags, &no_memory, text, tag)) {
            no_memory = !set_text(json_object_get(item, "annotations"),
                                  "org.opencontainers.image.ref.name", text);
        }
    }
    varve_name_map_free(&tags.taken);
    varve_name_map_free(&tags.old);
    free(tags.by);
    return !no_memory;
}
