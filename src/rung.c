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

/* What the text of a digest begins with. Fifteen of them are written for every layer: they are not
 * put together each time. */
#define PREFIX(text)                                                                               \
    { text ":sha256:", sizeof text ":sha256:" - 1 }
static const struct prefix {
    const char *text;
    size_t count;
} rung_prefixes[VARVE_RUNG_COUNT] = {{"sha256:", 7},           {"sha256:", 7},
                                     PREFIX("varve1.archive"), PREFIX("varve1.encoding"),
                                     PREFIX("varve1.order"),   PREFIX("varve1.names"),
                                     PREFIX("varve1.times"),   PREFIX("varve1.content")},
  facet_prefixes[VARVE_FACET_COUNT] = {
      PREFIX("varve1.facet.content"), PREFIX("varve1.facet.mode"),  PREFIX("varve1.facet.owner"),
      PREFIX("varve1.facet.names"),   PREFIX("varve1.facet.times"), PREFIX("varve1.facet.xattrs"),
      PREFIX("varve1.facet.other")};

static void put_text(char text[VARVE_RUNG_TEXT_BYTES], const struct prefix *prefix,
                     const uint8_t digest[VARVE_SHA256_BYTES]) {
    assert(varve_ladder_version() == 1);
    memcpy(text, prefix->text, prefix->count);
    varve_hex(text + prefix->count, digest, VARVE_SHA256_BYTES);
}

void varve_rung_text(char text[VARVE_RUNG_TEXT_BYTES], enum varve_rung rung,
                     const uint8_t digest[VARVE_SHA256_BYTES]) {
    assert(rung < VARVE_RUNG_COUNT);
    put_text(text, &rung_prefixes[rung], digest);
}

void varve_facet_text(char text[VARVE_RUNG_TEXT_BYTES], enum varve_facet facet,
                      const uint8_t digest[VARVE_SHA256_BYTES]) {
    assert(facet < VARVE_FACET_COUNT);
    put_text(text, &facet_prefixes[facet], digest);
}

uint32_t varve_facets_unequal(const struct varve_facets *left, const struct varve_facets *right) {
    uint32_t unequal = 0;
    for (int i = 0; i < VARVE_FACET_COUNT; i++) {
        bool same = memcmp(left->digest[i], right->digest[i], VARVE_SHA256_BYTES) == 0;
        unequal |= same ? 0 : 1u << i;
    }
    return unequal & left->present & right->present;
}
