/* SPDX-License-Identifier: Apache-2.0 */
/* src/rung.c - names of rungs and facets, and digests as the output contract writes them. */
#include <assert.h>
#include <string.h>

#include "digest_name.h"
#include "varve/ladder.h"

static const char *const rung_names[VARVE_RUNG_COUNT] = {"blob",  "diffid", "archive", "encoding",
                                                         "order", "names",  "times",   "content"};
static const char *const facet_names[VARVE_FACET_COUNT] = {"content", "mode",   "owner", "names",
                                                           "times",   "xattrs", "other"};

const char *varve_rung_name(enum varve_rung rung) {
    assert(rung < VARVE_RUNG_COUNT);
    return rung_names[rung];
}

bool varve_rung_by_name(enum varve_rung *rung, const char *name) {
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        if (strcmp(rung_names[i], name) == 0) {
            *rung = (enum varve_rung)i;
            return true;
        }
    }
    return false;
}

const char *varve_facet_name(enum varve_facet facet) {
    assert(facet < VARVE_FACET_COUNT);
    return facet_names[facet];
}

/* "varve<version>.<scope><name>:sha256:<hex>", or without the first part. Fifteen of these are
 * written for every layer: not by printf. */
static void put_text(char text[VARVE_RUNG_TEXT_BYTES], const char *scope, const char *name,
                     const uint8_t digest[VARVE_SHA256_BYTES]) {
    char *at = text;
    if (name) {
        assert(varve_ladder_version() < 10);
        at = stpcpy(at, "varve");
        *at++ = (char)('0' + varve_ladder_version());
        at = stpcpy(stpcpy(stpcpy(stpcpy(at, "."), scope), name), ":");
    }
    at = stpcpy(at, "sha256:");
    assert(at - text + 2 * (ptrdiff_t)VARVE_SHA256_BYTES < VARVE_RUNG_TEXT_BYTES);
    varve_hex(at, digest, VARVE_SHA256_BYTES);
}

void varve_rung_text(char text[VARVE_RUNG_TEXT_BYTES], enum varve_rung rung,
                     const uint8_t digest[VARVE_SHA256_BYTES]) {
    put_text(text, "", rung <= VARVE_RUNG_DIFFID ? NULL : varve_rung_name(rung), digest);
}

void varve_facet_text(char text[VARVE_RUNG_TEXT_BYTES], enum varve_facet facet,
                      const uint8_t digest[VARVE_SHA256_BYTES]) {
    put_text(text, "facet.", varve_facet_name(facet), digest);
}
