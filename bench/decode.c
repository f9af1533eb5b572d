/* SPDX-License-Identifier: Apache-2.0 */
/* bench/decode.c - decoding layers: varve beside the bare libraries.
 *
 *   layer-gzip/CHUNK    files of this system as a tar, zlib level 6, one member
 *   members-gzip/CHUNK  20,000 small files, each in a member of its own, as eStargz has them
 *   layer-zstd/CHUNK    the same tar, zstd level 3
 *
 * "igzip" and "zlib" are loops that do nothing but check CRC-32 and length and go on with the next
 * member; "libdeflate" is given whole members in memory and so cannot be used for layers, it shows
 * what streaming costs; "zstd" is a bare ZSTD_decompressStream loop. Input and output go in pieces
 * of CHUNK.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l.h>
#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>

#include "bench.h"
#include "varve/decode.h"

#define LAYER_BYTES ((size_t)48 << 20)
#define MEMBERS 20000
#define MEMBER_BYTES_MOST ((size_t)64 << 10)

struct blob {
    uint8_t *stored;
    size_t stored_bytes;
    const uint8_t *content;
    size_t content_bytes;
};

struct work {
    struct blob blob;
    size_t chunk;
    uint8_t *out; /* chunk bytes, or all where a contender wants it whole */
    bool check;   /* compare what is made, once per case */
    bool wrong;
    uint64_t made;
    struct varve_decoder *decoder;
    struct inflate_state *isal;
    struct libdeflate_decompressor *libdeflate;
    ZSTD_DCtx *zstd;
};

static void *must(void *memory) {
    if (!memory) {
        perror("bench");
        exit(2);
    }
    return memory;
}

static void made(struct work *work, const uint8_t *data, size_t bytes) {
    if (work->check) {
        work->wrong |= work->made + bytes > work->blob.content_bytes ||
                       memcmp(work->blob.content + work->made, data, bytes) != 0;
    }
    work->made += bytes;
}

static size_t piece(const struct work *work, size_t at) {
    size_t left = work->blob.stored_bytes - at;
    return left < work->chunk ? left : work->chunk;
}

static void run_varve(void *cookie) {
    struct work *work = cookie;
    struct varve_decode_turn turn = {.state = VARVE_DECODE_INPUT};
    size_t at = 0;
    size_t n = 0;
    work->made = 0;
    varve_decoder_reset(work->decoder, NULL);
    while (turn.state < VARVE_DECODE_WAIT) {
        if (turn.used_bytes == n) {
            at += n;
            turn.in = work->blob.stored + at;
            n = piece(work, at);
        } else {
            turn.in += turn.used_bytes;
            at += turn.used_bytes;
            n -= turn.used_bytes;
        }
        turn.in_bytes = n;
        turn.in_last = at + n == work->blob.stored_bytes;
        turn.out = work->out;
        turn.out_bytes = work->chunk;
        varve_decode(&work->decoder, &turn, 1);
        made(work, turn.made, turn.made_bytes);
    }
    work->wrong |= turn.state != VARVE_DECODE_END;
}

static void run_igzip(void *cookie) {
    struct work *work = cookie;
    struct inflate_state *state = work->isal;
    size_t at = 0;
    work->made = 0;
    isal_inflate_init(state);
    state->crc_flag = ISAL_GZIP;
    while (!work->wrong) {
        if (!state->avail_in) {
            state->avail_in = (uint32_t)piece(work, at);
            state->next_in = work->blob.stored + at;
            at += state->avail_in;
        }
        state->next_out = work->out;
        state->avail_out = (uint32_t)work->chunk;
        work->wrong |= isal_inflate(state) != ISAL_DECOMP_OK;
        made(work, work->out, work->chunk - state->avail_out);
        if (state->block_state == ISAL_BLOCK_FINISH) {
            if (!state->avail_in && at == work->blob.stored_bytes) {
                return;
            }
            isal_inflate_reset(state);
        }
    }
}

static void run_zlib(void *cookie) {
    struct work *work = cookie;
    z_stream z = {0};
    size_t at = 0;
    work->made = 0;
    inflateInit2(&z, 31);
    while (!work->wrong) {
        if (!z.avail_in) {
            z.avail_in = (uInt)piece(work, at);
            z.next_in = work->blob.stored + at;
            at += z.avail_in;
        }
        z.next_out = work->out;
        z.avail_out = (uInt)work->chunk;
        int result = inflate(&z, Z_NO_FLUSH);
        made(work, work->out, work->chunk - z.avail_out);
        if (result == Z_STREAM_END) {
            if (!z.avail_in && at == work->blob.stored_bytes) {
                break;
            }
            inflateReset(&z);
        } else {
            work->wrong |= result != Z_OK;
        }
    }
    inflateEnd(&z);
}

static void run_libdeflate(void *cookie) {
    struct work *work = cookie;
    work->made = 0;
    for (size_t at = 0; at < work->blob.stored_bytes && !work->wrong;) {
        size_t used = 0;
        size_t bytes = 0;
        work->wrong |= libdeflate_gzip_decompress_ex(work->libdeflate, work->blob.stored + at,
                                                     work->blob.stored_bytes - at, work->out,
                                                     work->blob.content_bytes, &used,
                                                     &bytes) != LIBDEFLATE_SUCCESS;
        made(work, work->out, bytes);
        at += used;
    }
}

static void run_zstd(void *cookie) {
    struct work *work = cookie;
    work->made = 0;
    ZSTD_DCtx_reset(work->zstd, ZSTD_reset_session_only);
    for (size_t at = 0; at < work->blob.stored_bytes && !work->wrong;) {
        ZSTD_inBuffer in = {work->blob.stored + at, piece(work, at), 0};
        ZSTD_outBuffer out;
        do {
            out = (ZSTD_outBuffer){work->out, work->chunk, 0};
            work->wrong |= ZSTD_isError(ZSTD_decompressStream(work->zstd, &out, &in)) != 0;
            made(work, work->out, out.pos);
        } while (!work->wrong && (in.pos < in.size || out.pos == out.size));
        at += in.size;
    }
}

/* ---- Layers ---- */

static uint8_t *layer;
static size_t layer_bytes;

static int add_file(const char *path, const struct stat *stat, int type, struct FTW *ftw) {
    (void)ftw;
    FILE *file = type == FTW_F && S_ISREG(stat->st_mode) ? fopen(path, "rb") : NULL;
    if (!file) {
        return 0;
    }
    size_t size = (size_t)stat->st_size;
    if (layer_bytes + 1024 + size > LAYER_BYTES) {
        size = LAYER_BYTES - layer_bytes - 1024;
    }
    uint8_t *header = layer + layer_bytes;
    snprintf((char *)header, 100, "%.99s", path);
    snprintf((char *)header + 100, 60, "0000644%c0000000%c0000000%c%011zo%c14000000000", 0, 0, 0,
             size, 0);
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): fields of a header */
    memcpy(header + 257, "ustar\00000root", 12);
    size_t got = fread(header + 512, 1, size, file);
    layer_bytes += 512 + (got + 511) / 512 * 512;
    fclose(file);
    return layer_bytes + 2048 > LAYER_BYTES;
}

/* One gzip member behind what is there. */
static void add_member(struct blob *blob, const uint8_t *content, size_t bytes, size_t room) {
    z_stream z = {0};
    union {
        const uint8_t *given;
        uint8_t *taken;
    } in = {.given = content};
    deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    z.next_in = in.taken;
    z.avail_in = (uInt)bytes;
    z.next_out = blob->stored + blob->stored_bytes;
    z.avail_out = (uInt)(room - blob->stored_bytes);
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) {
        exit(2);
    }
    blob->stored_bytes += z.total_out;
    deflateEnd(&z);
}

static struct blob gzip_layer(size_t members) {
    size_t room = LAYER_BYTES + ((size_t)MEMBERS << 9);
    struct blob blob = {must(malloc(room)), 0, layer, layer_bytes};
    if (members == 1) {
        add_member(&blob, layer, layer_bytes, room);
        return blob;
    }
    /* Sizes of files: most are small, some fill a chunk. */
    uint32_t random = 1;
    size_t at = 0;
    for (size_t i = 0; i < members; i++) {
        random = random * 1664525 + 1013904223;
        size_t bytes = (size_t)512 << (random >> 24) % 4;
        bytes = (random >> 16) % 64 ? bytes : MEMBER_BYTES_MOST;
        bytes = bytes < layer_bytes - at ? bytes : layer_bytes - at;
        add_member(&blob, layer + at, bytes, room);
        at += bytes;
    }
    blob.content_bytes = at;
    return blob;
}

static struct blob zstd_layer(void) {
    size_t room = ZSTD_compressBound(layer_bytes);
    struct blob blob = {must(malloc(room)), 0, layer, layer_bytes};
    ZSTD_CCtx *ctx = must(ZSTD_createCCtx());
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, 3);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
    blob.stored_bytes = ZSTD_compress2(ctx, blob.stored, room, layer, layer_bytes);
    ZSTD_freeCCtx(ctx);
    return blob;
}

static bool verify(void *cookie) {
    struct bench_case *c = cookie;
    bool right = true;
    for (size_t i = 0; i < c->contender_count; i++) {
        struct work *work = c->contenders[i].cookie;
        work->check = true;
        c->contenders[i].run(work);
        work->check = false;
        right &= !work->wrong && work->made == work->blob.content_bytes;
    }
    return right;
}

static void add(struct bench_case *c, const char *name, void (*run)(void *),
                const struct blob *blob, size_t chunk) {
    struct work *work = must(calloc(1, sizeof *work));
    work->blob = *blob;
    work->chunk = chunk;
    work->out = must(malloc(run == run_libdeflate ? blob->content_bytes : chunk));
    work->isal = must(calloc(1, sizeof *work->isal));
    work->libdeflate = must(libdeflate_alloc_decompressor());
    work->zstd = must(ZSTD_createDCtx());
    if (varve_decoder_open(&work->decoder, NULL) != VARVE_OK) {
        exit(2);
    }
    bench_add(c, name, run, work);
}

int main(int argc, char **argv) {
    static const size_t chunks[] = {256 << 10, 64 << 10};
    static struct bench_case cases[6];
    size_t count = 0;
    layer = must(calloc(1, LAYER_BYTES));
    nftw("/usr/lib/x86_64-linux-gnu", add_file, 16, FTW_PHYS);
    nftw("/usr/share", add_file, 16, FTW_PHYS);
    const struct {
        const char *name;
        struct blob blob;
    } blobs[] = {{"layer-gzip", gzip_layer(1)},
                 {"members-gzip", gzip_layer(MEMBERS)},
                 {"layer-zstd", zstd_layer()}};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 2; k++) {
            struct bench_case *c = &cases[count++];
            const struct blob *blob = &blobs[i].blob;
            snprintf(c->name, sizeof c->name, "%s/%zuKiB", blobs[i].name, chunks[k] >> 10);
            c->bytes = blob->content_bytes;
            c->verify = verify;
            c->cookie = c;
            add(c, "varve", run_varve, blob, chunks[k]);
            if (i < 2) {
                add(c, "igzip", run_igzip, blob, chunks[k]);
                add(c, "zlib", run_zlib, blob, chunks[k]);
                add(c, "libdeflate", run_libdeflate, blob, chunks[k]);
            } else {
                add(c, "zstd", run_zstd, blob, chunks[k]);
            }
        }
    }
    bench_library("isa-l", BENCH_TEXT(ISAL_MAJOR_VERSION) "." BENCH_TEXT(
                               ISAL_MINOR_VERSION) "." BENCH_TEXT(ISAL_PATCH_VERSION));
    bench_library("libdeflate", LIBDEFLATE_VERSION_STRING);
    bench_library("zlib", zlibVersion());
    bench_library("zstd", ZSTD_versionString());
    return bench_main(argc, argv, cases, count);
}
