/* SPDX-License-Identifier: Apache-2.0 */
/* src/image_ladder.c - the ladder of a whole image. */
#include "image_ladder.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "canonical_json.h"
#include "digest_name.h"

/* Collects small pieces: a digest call each would cost more than the hashing. */
struct hasher {
    EVP_MD_CTX *context;
    uint8_t pieces[4096];
    size_t bytes;
};

static bool hash_pieces(struct hasher *hasher) {
    bool good = EVP_DigestUpdate(hasher->context, hasher->pieces, hasher->bytes) == 1;
    hasher->bytes = 0;
    return good;
}

static bool put(void *cookie, const void *data, size_t bytes) {
    struct hasher *hasher = cookie;
    if (bytes > sizeof hasher->pieces - hasher->bytes && !hash_pieces(hasher)) {
        return false;
    }
    if (bytes > sizeof hasher->pieces) {
        return EVP_DigestUpdate(hasher->context, data, bytes) == 1;
    }
    memcpy(hasher->pieces + hasher->bytes, data, bytes);
    hasher->bytes += bytes;
    return true;
}

static bool digest_json(uint8_t digest[VARVE_SHA256_BYTES], struct hasher *hasher,
                        const json_t *value) {
    hasher->bytes = 0;
    return EVP_DigestInit_ex(hasher->context, EVP_sha256(), NULL) == 1 &&
           varve_canonical_json(value, put, hasher) && hash_pieces(hasher) &&
           EVP_DigestFinal_ex(hasher->context, digest, NULL) == 1;
}

bool varve_config_digest(struct varve_config_digests *digests, struct json_t *config) {
    struct hasher hasher;
    size_t i = 0;
    json_t *event = NULL;
    hasher.context = EVP_MD_CTX_new();
    /* The layers' rungs stand for these; with them no two images could meet below diffid. */
    json_object_del(json_object_get(config, "rootfs"), "diff_ids");
    bool good = hasher.context && digest_json(digests->whole, &hasher, config);
    json_object_del(config, "created");
    json_array_foreach(json_object_get(config, "history"), i, event) {
        json_object_del(event, "created");
    }
    good = good && digest_json(digests->timeless, &hasher, config);
    EVP_MD_CTX_free(hasher.context);
    return good;
}

void varve_image_rung_text(char text[VARVE_RUNG_TEXT_BYTES], enum varve_rung rung,
                           const uint8_t digest[VARVE_SHA256_BYTES]) {
    int n = snprintf(text, VARVE_RUNG_TEXT_BYTES, "varve1.image.%s:sha256:", varve_rung_name(rung));
    varve_hex(text + n, digest, VARVE_SHA256_BYTES);
}

EVP_MD_CTX *varve_image_hasher(void) {
    EVP_MD_CTX *hasher = EVP_MD_CTX_new();
    if (hasher && EVP_DigestInit_ex(hasher, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(hasher);
        hasher = NULL;
    }
    return hasher;
}

bool varve_image_rung(uint8_t digest[VARVE_SHA256_BYTES], EVP_MD_CTX *hasher, enum varve_rung rung,
                      const struct varve_config_digests *config, const uint8_t *layers,
                      size_t layer_count) {
    char prefix[64];
    uint8_t count[8];
    int n = snprintf(prefix, sizeof prefix, "varve1.image.%s", varve_rung_name(rung));
    for (int i = 0; i < 8; i++) {
        count[i] = (uint8_t)((uint64_t)layer_count >> 8 * i);
    }
    const uint8_t *own = rung >= VARVE_RUNG_TIMES ? config->timeless : config->whole;
    return EVP_DigestInit_ex(hasher, NULL, NULL) == 1 && /* of the same kind again */
           EVP_DigestUpdate(hasher, prefix, (size_t)n + 1) == 1 &&
           EVP_DigestUpdate(hasher, own, VARVE_SHA256_BYTES) == 1 &&
           EVP_DigestUpdate(hasher, count, sizeof count) == 1 &&
           EVP_DigestUpdate(hasher, layers, layer_count * VARVE_SHA256_BYTES) == 1 &&
           EVP_DigestFinal_ex(hasher, digest, NULL) == 1;
}
