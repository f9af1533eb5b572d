/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/codecs.c - the compressors, and their tasks: compressing and decompressing, over
 * whole archives and over lanes apart. */
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#ifdef VARVE_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef VARVE_HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

#include "../compressor.h"
#include "bench.h"

/* ---- Those that varve writes with, too ---- */

static void *stream_open(const struct bench_codec *codec) {
    return compressor_open(codec->kind, codec->level, codec->far);
}

static size_t stream_compress(void *context, uint8_t *out, size_t room, const uint8_t *in,
                              size_t bytes) {
    struct compressor_turn turn = {in, bytes, out, room, .again = true};
    bool good = compressor_begin(context);
    size_t made = 0;
    while (good && turn.again) {
        good = compressor_turn(context, &turn, true) && turn.made_bytes + turn.used_bytes > 0;
        made += turn.made_bytes;
        turn.in += turn.used_bytes;
        turn.in_bytes -= turn.used_bytes;
        turn.out += turn.made_bytes;
        turn.out_bytes -= turn.made_bytes;
    }
    return good ? made : 0;
}

static void stream_close(void *context) {
    compressor_close(context);
}

static size_t igzip_decompress(uint8_t *out, size_t room, const uint8_t *in, size_t bytes) {
    struct inflate_state state;
    if (bytes > UINT32_MAX || room > UINT32_MAX) {
        return 0;
    }
    isal_inflate_init(&state);
    state.crc_flag = ISAL_GZIP;
    state.next_in = (uint8_t *)(uintptr_t)in;
    state.avail_in = (uint32_t)bytes;
    state.next_out = out;
    state.avail_out = (uint32_t)room;
    return isal_inflate(&state) == ISAL_DECOMP_OK && state.block_state == ISAL_BLOCK_FINISH
               ? state.total_out
               : 0;
}

static size_t zstd_decompress(uint8_t *out, size_t room, const uint8_t *in, size_t bytes) {
    size_t made = ZSTD_decompress(out, room, in, bytes);
    return ZSTD_isError(made) ? 0 : made;
}

#ifdef VARVE_HAVE_ZLIB
/* 15 bits of window, and 16 more for gzip's framing (zlib.h). */
static size_t zlib_decompress(uint8_t *out, size_t room, const uint8_t *in, size_t bytes) {
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)bytes};
    if (bytes > UINT32_MAX || room > UINT32_MAX || inflateInit2(&stream, 15 + 16) != Z_OK) {
        return 0;
    }
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    size_t made = inflate(&stream, Z_FINISH) == Z_STREAM_END ? stream.total_out : 0;
    inflateEnd(&stream);
    return made;
}
#endif

/* ---- libdeflate ---- */

#ifdef VARVE_HAVE_LIBDEFLATE
static void *deflate_open(const struct bench_codec *codec) {
    return libdeflate_alloc_compressor(codec->level);
}

static size_t deflate_compress(void *context, uint8_t *out, size_t room, const uint8_t *in,
                               size_t bytes) {
    return libdeflate_gzip_compress(context, in, bytes, out, room);
}

static void deflate_close(void *context) {
    libdeflate_free_compressor(context);
}

static size_t deflate_decompress(uint8_t *out, size_t room, const uint8_t *in, size_t bytes) {
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    size_t made = 0;
    if (!decompressor ||
        libdeflate_gzip_decompress(decompressor, in, bytes, out, room, &made) != 0) {
        made = 0;
    }
    libdeflate_free_decompressor(decompressor);
    return made;
}
#endif

/* ---- The table ---- */

#define STREAM(library, kind, level, far, nightly, decompress)                                     \
    { library, kind, level, far, nightly, stream_open, stream_compress, stream_close, decompress }
#define IGZIP(level, nightly)                                                                      \
    STREAM("igzip", COMPRESSOR_IGZIP, level, false, nightly, igzip_decompress)
#define ZLIB(level, nightly) STREAM("zlib", COMPRESSOR_ZLIB, level, false, nightly, zlib_decompress)
#define ZSTD(level, far, nightly)                                                                  \
    STREAM("zstd", COMPRESSOR_ZSTD, level, far, nightly, zstd_decompress)
#define LIBDEFLATE(level, nightly)                                                                 \
    {                                                                                              \
        "libdeflate", 0, level, false, nightly, deflate_open, deflate_compress, deflate_close,     \
            deflate_decompress                                                                     \
    }

static const struct bench_codec codecs[] = {
    IGZIP(0, false),        IGZIP(1, true),         IGZIP(2, false),        IGZIP(3, false),
#ifdef VARVE_HAVE_ZLIB
    ZLIB(1, false),         ZLIB(6, true),          ZLIB(9, false),
#endif
#ifdef VARVE_HAVE_LIBDEFLATE
    LIBDEFLATE(1, false),   LIBDEFLATE(6, false),   LIBDEFLATE(9, false),   LIBDEFLATE(12, true),
#endif
    ZSTD(-5, false, false), ZSTD(-1, false, false), ZSTD(1, false, false),  ZSTD(3, false, true),
    ZSTD(6, false, false),  ZSTD(9, false, false),  ZSTD(12, false, false), ZSTD(15, false, false),
    ZSTD(19, false, true),  ZSTD(19, true, false),
};

size_t bench_codec_count(void) {
    return sizeof codecs / sizeof *codecs;
}

const struct bench_codec *bench_codec_at(size_t index) {
    return &codecs[index];
}

/* A level as its program takes it: zstd --fast=5 is level -5 of the library. */
void bench_codec_name(char name[48], const struct bench_codec *codec) {
    if (codec->level < 0) {
        snprintf(name, 48, "%s --fast=%d", codec->library, -codec->level);
    } else {
        snprintf(name, 48, "%s -%d%s", codec->library, codec->level, codec->far ? " --long" : "");
    }
}

/* ---- Tasks ---- */

/* What compressing a form by a codec gave; compressing fills it, decompressing reads it. Both write
 * into the form's scratch memory, one task after the other. */
struct pressed {
    const struct bench_codec *codec;
    uint8_t **kept; /* by unit; verified once, by decompressing */
    size_t *kept_bytes;
    size_t *made_bytes; /* of the last run */
    unsigned users;     /* tasks */
};

static void free_pressed(struct pressed *pressed, size_t count) {
    for (size_t i = 0; pressed->kept && i < count; i++) {
        free(pressed->kept[i]);
    }
    free(pressed->kept);
    free(pressed->kept_bytes);
    free(pressed->made_bytes);
    free(pressed);
}

static void close_pressed(struct bench_task *task) {
    struct pressed *pressed = task->state;
    task->state = NULL;
    if (--pressed->users == 0) {
        free_pressed(pressed, task->over->count);
    }
}

static uint8_t *scratch_of(const struct bench_task *task, uint32_t unit) {
    return task->over->scratch + task->over->scratch_at[unit];
}

static bool run_compress(struct bench_task *task, const struct bench_share *share) {
    struct pressed *pressed = task->state;
    void *context = pressed->codec->open(pressed->codec);
    bool good = context != NULL;
    for (size_t i = 0; good && i < share->count && !bench_stopping(); i++) {
        uint32_t unit = share->units[i];
        const struct bench_unit *from = &task->over->units[unit];
        pressed->made_bytes[unit] = pressed->codec->compress(
            context, scratch_of(task, unit), bench_room(from->bytes), from->data, from->bytes);
        good = pressed->made_bytes[unit] > 0;
    }
    if (context) {
        pressed->codec->close(context);
    }
    return good;
}

/* The first time by decompressing; later the same bytes must come again. */
static bool verify_unit(struct bench_task *task, uint32_t unit) {
    struct pressed *pressed = task->state;
    const struct bench_unit *from = &task->over->units[unit];
    const uint8_t *made = scratch_of(task, unit);
    size_t bytes = pressed->made_bytes[unit];
    if (pressed->kept[unit]) {
        return bytes == pressed->kept_bytes[unit] && memcmp(made, pressed->kept[unit], bytes) == 0;
    }
    uint8_t *opened = malloc(from->bytes + 1);
    uint8_t *kept = malloc(bytes + 1);
    size_t count =
        opened && kept ? pressed->codec->decompress(opened, from->bytes + 1, made, bytes) : 0;
    bool good =
        opened && kept && count == from->bytes && memcmp(opened, from->data, from->bytes) == 0;
    free(opened);
    if (!good) {
        free(kept);
        task->fault = count == 0 ? BENCH_FAILED : BENCH_WRONG;
        return false;
    }
    memcpy(kept, made, bytes);
    pressed->kept[unit] = kept;
    pressed->kept_bytes[unit] = bytes;
    return true;
}

static void sum_stored(struct bench_task *task) {
    const struct pressed *pressed = task->state;
    task->stored = 0;
    for (uint32_t unit = 0; unit < task->over->count; unit++) {
        task->stored += pressed->kept_bytes[unit];
    }
}

static bool verify_compress(struct bench_task *task) {
    struct pressed *pressed = task->state;
    bool good = true;
    for (uint32_t unit = 0; unit < task->over->count; unit++) {
        good = good && verify_unit(task, unit);
        pressed->made_bytes[unit] = 0;
    }
    sum_stored(task);
    return good;
}

static bool run_decompress(struct bench_task *task, const struct bench_share *share) {
    struct pressed *pressed = task->state;
    bool good = true;
    for (size_t i = 0; good && i < share->count; i++) {
        uint32_t unit = share->units[i];
        size_t bytes = task->over->units[unit].bytes;
        good = pressed->kept[unit] != NULL;
        pressed->made_bytes[unit] =
            good ? pressed->codec->decompress(scratch_of(task, unit), bytes + 1,
                                              pressed->kept[unit], pressed->kept_bytes[unit])
                 : 0;
        good = good && (pressed->made_bytes[unit] > 0 || bytes == 0);
    }
    return good;
}

/* What was verified is overwritten, so that the next run has to write it again. */
static bool verify_decompress(struct bench_task *task) {
    struct pressed *pressed = task->state;
    bool good = true;
    for (uint32_t unit = 0; unit < task->over->count; unit++) {
        const struct bench_unit *from = &task->over->units[unit];
        good = good && pressed->made_bytes[unit] == from->bytes &&
               memcmp(scratch_of(task, unit), from->data, from->bytes) == 0;
        memset(scratch_of(task, unit), 0xa5, from->bytes);
    }
    sum_stored(task);
    return good;
}

static const struct bench_operations compress_operations = {run_compress, verify_compress,
                                                            close_pressed};
static const struct bench_operations decompress_operations = {run_decompress, verify_decompress,
                                                              close_pressed};

static struct pressed *open_pressed(const struct bench_codec *codec, size_t count) {
    struct pressed *pressed = calloc(1, sizeof *pressed);
    if (!pressed) {
        return NULL;
    }
    pressed->codec = codec;
    pressed->kept = calloc(count, sizeof *pressed->kept);
    pressed->kept_bytes = calloc(count, sizeof *pressed->kept_bytes);
    pressed->made_bytes = calloc(count, sizeof *pressed->made_bytes);
    return pressed;
}

static bool add_codec(struct bench *bench, const struct bench_codec *codec,
                      enum bench_form_kind form) {
    struct pressed *pressed = open_pressed(codec, bench->sample.forms[form].count);
    if (!pressed) {
        return false;
    }
    for (int down = 0; down < 2; down++) {
        struct bench_task *task = bench_add(bench, down ? "decompress" : "compress", form);
        if (!task) {
            if (!pressed->users) {
                free_pressed(pressed, 0);
            }
            return false;
        }
        bench_codec_name(task->variant, codec);
        task->operations = down ? &decompress_operations : &compress_operations;
        task->state = pressed;
        pressed->users++;
    }
    return pressed->kept && pressed->kept_bytes && pressed->made_bytes;
}

bool bench_add_compression(struct bench *bench) {
    bool good = true;
    for (int form = BENCH_ARCHIVES; form <= BENCH_LANES; form++) {
        for (size_t i = 0; good && i < bench_codec_count(); i++) {
            good = add_codec(bench, bench_codec_at(i), (enum bench_form_kind)form);
        }
    }
#ifdef VARVE_HAVE_ZLIB
    bench_note_version(bench, "zlib", zlibVersion());
#else
    bench_note_absent(bench, "zlib", "not built in");
#endif
#ifdef VARVE_HAVE_LIBDEFLATE
    bench_note_version(bench, "libdeflate", LIBDEFLATE_VERSION_STRING);
#else
    bench_note_absent(bench, "libdeflate", "not built in");
#endif
    return good;
}
