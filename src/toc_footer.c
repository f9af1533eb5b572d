/* SPDX-License-Identifier: Apache-2.0 */
/* src/toc_footer.c - the footers by which eStargz and zstd:chunked layers are known. */
#include <string.h>

#include "toc_internal.h"

/* Sixteen hexadecimal digits, then "STARGZ". */
static bool read_stargz(uint64_t *offset, const uint8_t *text) {
    uint64_t value = 0;
    for (size_t i = 0; i < 16; i++) {
        uint8_t c = text[i];
        unsigned digit = c >= '0' && c <= '9'   ? c - 0x30u
                         : c >= 'a' && c <= 'f' ? c - 0x61u + 10u
                         : c >= 'A' && c <= 'F' ? c - 0x41u + 10u
                                                : 16u;
        if (digit > 15) {
            return false;
        }
        value = value << 4 | digit;
    }
    *offset = value;
    return memcmp(text + 16, "STARGZ", 6) == 0;
}

bool varve_toc_read_extra(struct varve_toc_footer *footer, const uint8_t *extra, size_t bytes) {
    *footer = (struct varve_toc_footer){.kind = VARVE_TOC_NONE};
    if (bytes == 26 && memcmp(extra, "SG\x16\0", 4) == 0 &&
        read_stargz(&footer->offset, extra + 4)) {
        footer->kind = VARVE_TOC_ESTARGZ;
    } else if (bytes == 22 && read_stargz(&footer->offset, extra)) {
        footer->kind = VARVE_TOC_STARGZ;
    } else if (bytes == 21 && memcmp(extra, "SG\x11\0STARGZEXTERNALTOC", 21) == 0) {
        footer->kind = VARVE_TOC_ESTARGZ_EXTERNAL;
    }
    return footer->kind != VARVE_TOC_NONE;
}

static uint64_t le64(const uint8_t *bytes) {
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

bool varve_toc_read_chunked(struct varve_toc_footer *footer, const uint8_t *content, size_t bytes) {
    /* The first form had no place for the tar-split table, and its magic a small n: skopeo, buildah
     * and podman until 2023, stargz-snapshotter. */
    bool first = bytes == 40 && memcmp(content + 32, "GnUlInUx", 8) == 0;
    bool second = bytes == VARVE_TOC_CHUNKED_BYTES && memcmp(content + 56, "GNUlInUx", 8) == 0;
    if (!first && !second) {
        return false;
    }
    *footer = (struct varve_toc_footer){
        .kind = VARVE_TOC_ZSTD_CHUNKED,
        .offset = le64(content),
        .bytes = le64(content + 8),
        .raw_bytes = le64(content + 16),
        .type = le64(content + 24),
    };
    return true;
}
