/* SPDX-License-Identifier: Apache-2.0 */
/* bench/floor.c - the floor of a scan: a program that only decodes.
 *
 *   varve_floor FILE...
 *   varve_floor --files0-from FILE        the files that FILE lists, parted by NULs
 *
 * Each file in pieces of 256 KiB through igzip (members, CRC-32 and length checked by the library)
 * or ZSTD_decompressStream, told apart by their first bytes; the decoded bytes are counted and
 * forgotten. Prints the count, so that a run can be checked. What a scan costs beyond this is
 * varve's own. */
#include <fcntl.h>
#include <isa-l.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { PIECE = 256 * 1024 };
static uint8_t stored[PIECE];
static uint8_t decoded[PIECE];

static void fail(const char *path, const char *why) {
    fprintf(stderr, "varve_floor: %s: %s\n", path, why);
    exit(2);
}

static size_t fill(int fd, const char *path) {
    ssize_t n = read(fd, stored, sizeof stored);
    if (n < 0) {
        fail(path, "cannot read");
    }
    return (size_t)n;
}

static uint64_t inflate_file(int fd, const char *path, size_t filled) {
    static struct inflate_state state;
    uint64_t total = 0;
    bool in_member = false;
    state.next_in = stored;
    state.avail_in = (uint32_t)filled;
    for (;;) {
        if (!state.avail_in) {
            filled = fill(fd, path);
            if (!filled) {
                break;
            }
            state.next_in = stored;
            state.avail_in = (uint32_t)filled;
        }
        if (!in_member) {
            uint8_t *in = state.next_in;
            uint32_t left = state.avail_in;
            isal_inflate_init(&state);
            state.crc_flag = ISAL_GZIP;
            state.next_in = in;
            state.avail_in = left;
        }
        do {
            state.next_out = decoded;
            state.avail_out = sizeof decoded;
            if (isal_inflate(&state) != ISAL_DECOMP_OK) {
                fail(path, "not deflated as it should be");
            }
            total += sizeof decoded - state.avail_out;
        } while (!state.avail_out && state.block_state != ISAL_BLOCK_FINISH);
        in_member = state.block_state != ISAL_BLOCK_FINISH;
    }
    if (in_member) {
        fail(path, "ends too early");
    }
    return total;
}

static uint64_t unzstd_file(int fd, const char *path, size_t filled, ZSTD_DStream *stream) {
    uint64_t total = 0;
    ZSTD_DCtx_reset(stream, ZSTD_reset_session_only);
    for (; filled; filled = fill(fd, path)) {
        ZSTD_inBuffer in = {stored, filled, 0};
        ZSTD_outBuffer out;
        do {
            out = (ZSTD_outBuffer){decoded, sizeof decoded, 0};
            if (ZSTD_isError(ZSTD_decompressStream(stream, &out, &in))) {
                fail(path, "not zstd as it should be");
            }
            total += out.pos;
        } while (in.pos < in.size || out.pos == out.size);
    }
    return total;
}

static uint64_t decode_file(const char *path, ZSTD_DStream *stream) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail(path, "cannot open");
    }
    size_t filled = fill(fd, path);
    bool gzip = filled > 1 && stored[0] == 0x1f && stored[1] == 0x8b;
    uint64_t total = gzip ? inflate_file(fd, path, filled) : unzstd_file(fd, path, filled, stream);
    close(fd);
    return total;
}

static uint64_t decode_list(const char *list, ZSTD_DStream *stream) {
    FILE *file = fopen(list, "re");
    char *path = NULL;
    size_t room = 0;
    uint64_t total = 0;
    if (!file) {
        fail(list, "cannot open");
    }
    while (getdelim(&path, &room, 0, file) > 0) {
        total += decode_file(path, stream);
    }
    free(path);
    fclose(file);
    return total;
}

int main(int argc, char **argv) {
    ZSTD_DStream *stream = ZSTD_createDStream();
    uint64_t total = 0;
    if (argc == 3 && strcmp(argv[1], "--files0-from") == 0) {
        total = decode_list(argv[2], stream);
    } else {
        for (int i = 1; i < argc; i++) {
            total += decode_file(argv[i], stream);
        }
    }
    printf("%llu\n", (unsigned long long)total);
    ZSTD_freeDStream(stream);
    return 0;
}
