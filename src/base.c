/* SPDX-License-Identifier: Apache-2.0 */
/* src/base.c - names and versions. */
#include "varve/base.h"

#include <assert.h>
#include <isa-l.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <zstd.h>

const char *varve_status_name(enum varve_status status) {
    static const char *const names[] = {"ok",    "mismatch",    "malformed",
                                        "limit", "unsupported", "error"};
    assert((size_t)status < sizeof names / sizeof names[0]);
    return names[status];
}

const char *varve_version(void) {
    return VARVE_VERSION;
}

unsigned varve_ladder_version(void) {
    return 1;
}

#define TEXT_OF(x) #x
#define DOTTED(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)

/* libisal tells its version only in its headers, the others at run time. */
static const char *isal_version(void) {
    return DOTTED(ISAL_MAJOR_VERSION, ISAL_MINOR_VERSION, ISAL_PATCH_VERSION);
}

static const char *openssl_version(void) {
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

static const struct {
    const char *name;
    const char *(*version)(void);
} libraries[] = {
    {"isal", isal_version},       {"zstd", ZSTD_versionString},   {"jansson", jansson_version_str},
    {"openssl", openssl_version}, {"sqlite", sqlite3_libversion},
};

size_t varve_library_count(void) {
    return sizeof libraries / sizeof libraries[0];
}

struct varve_library varve_library_at(size_t index) {
    assert(index < varve_library_count());
    return (struct varve_library){libraries[index].name, libraries[index].version()};
}
