/* SPDX-License-Identifier: Apache-2.0 */
/* src/media_type.c - what the media types of OCI and Docker layers claim of a blob. */
#include <string.h>

#include "varve/catalog.h"

/* image-spec layer.md; Docker image manifest v2 schema 2. Non-distributable and foreign layers are
 * layers like any other where the blob is there. */
static const struct {
    const char *name;
    enum varve_compression compression;
} layer_types[] = {
    {"application/vnd.oci.image.layer.v1.tar", VARVE_COMPRESSION_NONE},
    {"application/vnd.oci.image.layer.v1.tar+gzip", VARVE_COMPRESSION_GZIP},
    {"application/vnd.oci.image.layer.v1.tar+zstd", VARVE_COMPRESSION_ZSTD},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar", VARVE_COMPRESSION_NONE},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", VARVE_COMPRESSION_GZIP},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", VARVE_COMPRESSION_ZSTD},
    {"application/vnd.docker.image.rootfs.diff.tar", VARVE_COMPRESSION_NONE},
    {"application/vnd.docker.image.rootfs.diff.tar.gzip", VARVE_COMPRESSION_GZIP},
    {"application/vnd.docker.image.rootfs.diff.tar.zstd", VARVE_COMPRESSION_ZSTD},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar", VARVE_COMPRESSION_NONE},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", VARVE_COMPRESSION_GZIP},
};

struct varve_media_type varve_media_type_of(const char *media_type) {
    const char *name = media_type ? media_type : "";
    size_t count = strcspn(name, "; \t"); /* parameters may follow */
    for (size_t i = 0; i < sizeof layer_types / sizeof layer_types[0]; i++) {
        if (strlen(layer_types[i].name) == count && memcmp(layer_types[i].name, name, count) == 0) {
            return (struct varve_media_type){true, true, layer_types[i].compression};
        }
    }
    return (struct varve_media_type){false, false, VARVE_COMPRESSION_NONE};
}
