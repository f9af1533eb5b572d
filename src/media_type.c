/* SPDX-License-Identifier: Apache-2.0 */
/* src/media_type.c - what the media types of OCI and Docker layers claim of a blob. */
#include <string.h>

#include "varve/catalog.h"

/* image-spec layer.md; Docker image manifest v2 schema 2. Non-distributable and foreign layers are
 * layers like any other where the blob is there. One row a kind: by how they are stored. */
enum { STORED_COUNT = VARVE_COMPRESSION_ZSTD + 1 };
static const char *const layer_types[][STORED_COUNT] = {
    {"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip",
     "application/vnd.oci.image.layer.v1.tar+zstd"},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar",
     "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
     "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"},
    {"application/vnd.docker.image.rootfs.diff.tar",
     "application/vnd.docker.image.rootfs.diff.tar.gzip",
     "application/vnd.docker.image.rootfs.diff.tar.zstd"},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar",
     "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", NULL},
};
enum { KIND_COUNT = sizeof layer_types / sizeof layer_types[0] };

/* Its row, and how it is stored. False: no layer type. */
static bool find(size_t *kind, size_t *stored, const char *media_type) {
    const char *name = media_type ? media_type : "";
    size_t count = strcspn(name, "; \t"); /* parameters may follow */
    for (size_t i = 0; i < (size_t)KIND_COUNT * STORED_COUNT; i++) {
        *kind = i / STORED_COUNT;
        *stored = i % STORED_COUNT;
        const char *type = layer_types[*kind][*stored];
        if (type && strlen(type) == count && memcmp(type, name, count) == 0) {
            return true;
        }
    }
    return false;
}

struct varve_media_type varve_media_type_of(const char *media_type) {
    size_t kind = 0;
    size_t stored = 0;
    if (!find(&kind, &stored, media_type)) {
        return (struct varve_media_type){false, false, VARVE_COMPRESSION_NONE};
    }
    return (struct varve_media_type){true, true, (enum varve_compression)stored};
}

const char *varve_media_type_stored(const char *media_type, enum varve_compression compression) {
    size_t kind = 0;
    size_t stored = 0;
    bool known = find(&kind, &stored, media_type) && (int)compression < STORED_COUNT;
    return known ? layer_types[kind][compression] : NULL;
}
