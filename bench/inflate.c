/* SPDX-License-Identifier: Apache-2.0 */
/* bench/inflate.c - gzip layers decoded with CRC-32, so many of them alive at once.
 *
 *   varve_bench_inflate [--layers=FOLDER | --shape=NAME] [OPTION]...
 *
 * FOLDER is an OCI image layout of gzip layers (corpora/packages.py makes it: one layer per
 * installed Debian package, gzip -6); without it, layers of this system's libraries are made here,
 * of the shape NAME if one is given: see `shapes`.
 * Case alive-N deals the layers to N places, longest first, so that N layers are alive nearly all
 * the time.
 *
 * "varve" is varve_decode() with everything that a scan does to a gzip layer: framing, checks, 64
 * KiB of input and up to 128 KiB of output a turn; "varve/igzip" the same with igzip as the engine;
 * "igzip" a bare loop in the same pieces, one layer after the other, CRC-32 and length checked by
 * the library; "libdeflate" gets every layer whole in memory and one large buffer for it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l.h>
#include <libdeflate.h>
#include <zlib.h>

#include "bench.h"
#include "bytes16.h"
#include "kernels.h"
#include "varve/decode.h"

enum { IN_BYTES = 64 << 10, OUT_BYTES = 128 << 10, ALIVE_MOST = 16, LAYERS_MOST = 4096 };

/* Larger layers are left out, so that sixteen places can be filled evenly. */
#define LAYER_BYTES_MOST ((size_t)16 << 20)
#define CORPUS_BYTES_MOST ((size_t)384 << 20)

static struct layer {
    const uint8_t *stored;
    size_t stored_bytes;
    uint32_t crc, bytes;
} layers[LAYERS_MOST];
static size_t layer_count;
static uint64_t corpus_bytes;

/* A bare stream and its window. */
struct lane {
    struct varve_inflate_stream stream;
    uint8_t window[VARVE_INFLATE_WINDOW_BYTES + OUT_BYTES + VARVE_INFLATE_SLACK_BYTES];
};

struct place {
    struct varve_decoder *decoder;
    struct lane *lane;
    size_t list[LAYERS_MOST];
    size_t count, next;
    uint64_t bytes; /* of the list */
    const struct layer *layer;
    size_t used;
    uint32_t crc; /* of what was made, where that is checked */
    uint64_t made;
};

struct work {
    size_t alive;
    struct place *places;
    struct inflate_state *isal;
    struct libdeflate_decompressor *libdeflate;
    uint8_t *out;
    bool check; /* also compare CRC-32 by zlib, once per case */
    bool wrong;
    uint64_t made;
};

static void *must(void *memory) {
    if (!memory) {
        perror("bench");
        exit(2);
    }
    return memory;
}

static void check(struct work *work, const struct layer *layer, uint32_t crc, uint64_t made) {
    work->made += made;
    work->wrong |= made != layer->bytes || (work->check && crc != layer->crc);
}

static bool begin_next(struct place *place) {
    if (place->next == place->count) {
        return false;
    }
    place->layer = &layers[place->list[place->next++]];
    place->used = 0;
    place->made = 0;
    place->crc = 0;
    varve_decoder_reset(place->decoder, NULL);
    return true;
}

static void take(struct work *work, struct place *place, const struct varve_decode_turn *turn,
                 uint8_t *alive) {
    place->used += turn->used_bytes;
    place->made += turn->made_bytes;
    if (work->check) {
        place->crc = (uint32_t)crc32(place->crc, turn->made, (uInt)turn->made_bytes);
    }
    if (turn->state == VARVE_DECODE_END) {
        check(work, place->layer, place->crc, place->made);
        *alive = begin_next(place);
    } else if (turn->state == VARVE_DECODE_FAULT) {
        work->wrong = true;
        *alive = begin_next(place);
    }
}

static void run_varve(void *cookie) {
    struct work *work = cookie;
    uint8_t alive[ALIVE_MOST];
    work->made = 0;
    for (size_t i = 0; i < work->alive; i++) {
        work->places[i].next = 0;
        alive[i] = begin_next(&work->places[i]);
    }
    for (;;) {
        struct varve_decoder *decoders[ALIVE_MOST];
        struct varve_decode_turn turns[ALIVE_MOST];
        size_t whose[ALIVE_MOST];
        size_t n = 0;
        for (size_t i = 0; i < work->alive; i++) {
            struct place *place = &work->places[i];
            if (!alive[i]) {
                continue;
            }
            size_t left = place->layer->stored_bytes - place->used;
            size_t in_bytes = left < IN_BYTES ? left : IN_BYTES;
            decoders[n] = place->decoder;
            turns[n] = (struct varve_decode_turn){.in = place->layer->stored + place->used,
                                                  .in_bytes = in_bytes,
                                                  .in_last = in_bytes == left,
                                                  .out = work->out + i * OUT_BYTES,
                                                  .out_bytes = OUT_BYTES};
            whose[n++] = i;
        }
        if (!n) {
            return;
        }
        varve_decode(decoders, turns, n);
        for (size_t i = 0; i < n; i++) {
            take(work, &work->places[whose[i]], &turns[i], &alive[whose[i]]);
        }
    }
}

/* The headers of the corpus are the bare ten bytes, and the trailers eight. */
enum { HEADER_BYTES = 10, TRAILER_BYTES = 8 };

static bool begin_lane(struct place *place) {
    struct varve_inflate_stream *stream = &place->lane->stream;
    if (!begin_next(place)) {
        return false;
    }
    varve_inflate_stream_begin(stream);
    stream->in = stream->in_end = place->layer->stored + HEADER_BYTES;
    stream->out = place->lane->window + VARVE_INFLATE_WINDOW_BYTES;
    stream->earliest = stream->out;
    return true;
}

/* The window slides, and there is input again. */
static void prepare_lane(struct place *place) {
    struct varve_inflate_stream *stream = &place->lane->stream;
    const uint8_t *end = place->layer->stored + place->layer->stored_bytes - TRAILER_BYTES;
    uint8_t *begin = place->lane->window + VARVE_INFLATE_WINDOW_BYTES;
    size_t history =
        place->made < VARVE_INFLATE_WINDOW_BYTES ? place->made : VARVE_INFLATE_WINDOW_BYTES;
    bytes16_move_down(begin - history, stream->out - history, history);
    stream->earliest = begin - history;
    stream->out = begin;
    stream->out_stop = begin + OUT_BYTES;
    if (stream->in == stream->in_end) {
        stream->in_end += end - stream->in < IN_BYTES ? end - stream->in : IN_BYTES;
    }
}

static void take_lane(struct work *work, struct place *place, uint8_t *alive) {
    const struct varve_inflate_stream *stream = &place->lane->stream;
    uint8_t *begin = place->lane->window + VARVE_INFLATE_WINDOW_BYTES;
    uint64_t n = (uint64_t)(stream->out - begin);
    place->crc = crc32_gzip_refl(place->crc, begin, n);
    place->made += n;
    if (stream->stop == VARVE_INFLATE_STOP_END) {
        work->wrong |= place->crc != place->layer->crc;
        check(work, place->layer, place->crc, place->made);
        *alive = begin_lane(place);
    } else if (stream->stop == VARVE_INFLATE_STOP_FAULT) {
        work->wrong = true;
        *alive = begin_lane(place);
    }
}

static void run_lanes(void *cookie) {
    struct work *work = cookie;
    const struct varve_inflate_row *row = varve_inflate_row_of(VARVE_TIER_AUTO);
    uint8_t alive[ALIVE_MOST];
    work->made = 0;
    for (size_t i = 0; i < work->alive; i++) {
        work->places[i].next = 0;
        alive[i] = begin_lane(&work->places[i]);
    }
    for (;;) {
        struct varve_inflate_stream *streams[ALIVE_MOST];
        size_t whose[ALIVE_MOST];
        size_t n = 0;
        for (size_t i = 0; i < work->alive; i++) {
            if (alive[i]) {
                prepare_lane(&work->places[i]);
                whose[n] = i;
                streams[n++] = &work->places[i].lane->stream;
            }
        }
        if (!n) {
            return;
        }
        row->run(streams, n);
        for (size_t i = 0; i < n; i++) {
            take_lane(work, &work->places[whose[i]], &alive[whose[i]]);
        }
    }
}

static void igzip_layer(struct work *work, const struct layer *layer) {
    struct inflate_state *state = work->isal;
    size_t at = 0;
    uint32_t crc = 0;
    uint64_t made = 0;
    isal_inflate_init(state);
    state->crc_flag = ISAL_GZIP;
    while (state->block_state != ISAL_BLOCK_FINISH && !work->wrong) {
        if (!state->avail_in) {
            size_t left = layer->stored_bytes - at;
            union {
                const uint8_t *given;
                uint8_t *taken;
            } in = {.given = layer->stored + at};
            state->avail_in = (uint32_t)(left < IN_BYTES ? left : IN_BYTES);
            state->next_in = in.taken;
            at += state->avail_in;
        }
        state->next_out = work->out;
        state->avail_out = OUT_BYTES;
        work->wrong |= isal_inflate(state) != ISAL_DECOMP_OK;
        size_t n = OUT_BYTES - state->avail_out;
        if (work->check) {
            crc = (uint32_t)crc32(crc, work->out, (uInt)n);
        }
        made += n;
    }
    check(work, layer, crc, made);
}

static void run_igzip(void *cookie) {
    struct work *work = cookie;
    work->made = 0;
    for (size_t i = 0; i < layer_count; i++) {
        igzip_layer(work, &layers[i]);
    }
}

static void run_libdeflate(void *cookie) {
    struct work *work = cookie;
    work->made = 0;
    for (size_t i = 0; i < layer_count; i++) {
        size_t made = 0;
        work->wrong |=
            libdeflate_gzip_decompress(work->libdeflate, layers[i].stored, layers[i].stored_bytes,
                                       work->out, LAYER_BYTES_MOST, &made) != LIBDEFLATE_SUCCESS;
        check(work, &layers[i],
              work->check ? (uint32_t)crc32(0, work->out, (uInt)made) : layers[i].crc, made);
    }
}

static bool verify(void *cookie) {
    struct bench_case *c = cookie;
    bool right = true;
    for (size_t i = 0; i < c->contender_count; i++) {
        struct work *work = c->contenders[i].cookie;
        work->check = true;
        c->contenders[i].run(work);
        work->check = false;
        right &= !work->wrong && work->made == corpus_bytes;
    }
    return right;
}

/* ---- Layers ---- */

static uint32_t le32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static void add_layer(uint8_t *stored, size_t bytes) {
    struct layer layer = {stored, bytes, 0, 0};
    if (bytes > 18 && stored[0] == 0x1f && stored[1] == 0x8b && !stored[3] &&
        layer_count < LAYERS_MOST) {
        layer.crc = le32(stored + bytes - 8);
        layer.bytes = le32(stored + bytes - 4);
    }
    if (!layer.bytes || layer.bytes > LAYER_BYTES_MOST ||
        corpus_bytes + layer.bytes > CORPUS_BYTES_MOST) {
        free(stored);
        return;
    }
    corpus_bytes += layer.bytes;
    layers[layer_count++] = layer;
}

static void load_file(const char *folder, const char *name) {
    char path[4096 + 300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        perror(path);
        exit(2);
    }
    size_t bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *stored = must(malloc(bytes ? bytes : 1));
    if (fread(stored, 1, bytes, file) != bytes) {
        perror(path);
        exit(2);
    }
    fclose(file);
    add_layer(stored, bytes);
}

/* All blobs of an OCI layout that are gzip, in the order of their names. */
static void load_layout(const char *layout) {
    char folder[4096];
    struct dirent **entries;
    snprintf(folder, sizeof folder, "%s/blobs/sha256", layout);
    int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0) {
        perror(folder);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            load_file(folder, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
}

/* Layers made here: so many, of so many bytes of this system's libraries or of zeros, and by which
 * of zlib's strategies. */
static const struct shape {
    const char *name;
    size_t layers, bytes;
    int level, strategy;
    bool zeros;
} shapes[] = {
    {"libraries", 24, 256 << 10, 6, Z_DEFAULT_STRATEGY, false},
    {"1k", 2048, 1 << 10, 6, Z_DEFAULT_STRATEGY, false},
    {"10k", 1024, 10 << 10, 6, Z_DEFAULT_STRATEGY, false},
    {"100k", 128, 100 << 10, 6, Z_DEFAULT_STRATEGY, false},
    {"stored", 48, 256 << 10, 0, Z_DEFAULT_STRATEGY, false},
    {"literals", 48, 256 << 10, 6, Z_HUFFMAN_ONLY, false},
    {"runs", 48, 256 << 10, 6, Z_RLE, false},
    {"fixed", 48, 256 << 10, 6, Z_FIXED, false},
    {"zeros", 48, 1 << 20, 6, Z_DEFAULT_STRATEGY, true},
};

static void make_layer(const struct shape *shape, uint8_t *content) {
    z_stream z = {.next_in = content, .avail_in = (uInt)shape->bytes};
    size_t room = deflateBound(NULL, shape->bytes) + 32;
    uint8_t *stored = must(malloc(room));
    z.next_out = stored;
    z.avail_out = (uInt)room;
    if (deflateInit2(&z, shape->level, Z_DEFLATED, 31, 8, shape->strategy) != Z_OK ||
        deflate(&z, Z_FINISH) != Z_STREAM_END) {
        exit(2);
    }
    deflateEnd(&z);
    add_layer(stored, z.total_out);
}

static void make_layers(const char *name) {
    static const char folder[] = "/usr/lib/x86_64-linux-gnu";
    static uint8_t content[1 << 20];
    const struct shape *shape = shapes;
    while (strcmp(shape->name, name) != 0) {
        if (++shape == shapes + sizeof shapes / sizeof shapes[0]) {
            fprintf(stderr, "bench: no shape '%s'\n", name);
            exit(2);
        }
    }
    struct dirent **entries;
    int count = shape->zeros ? 0 : scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[4096 + 300];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        FILE *file = layer_count < shape->layers ? fopen(path, "rb") : NULL;
        while (file && layer_count < shape->layers &&
               fread(content, 1, shape->bytes, file) == shape->bytes) {
            make_layer(shape, content);
            if (shape == shapes) {
                break; /* one of each */
            }
        }
        if (file) {
            fclose(file);
        }
        free(entries[i]);
    }
    if (shape->zeros) {
        for (size_t i = 0; i < shape->layers; i++) {
            make_layer(shape, content);
        }
    } else if (count >= 0) {
        free(entries);
    }
}

static int longer_first(const void *a, const void *b) {
    uint32_t x = ((const struct layer *)a)->bytes;
    uint32_t y = ((const struct layer *)b)->bytes;
    return (x < y) - (x > y);
}

/* Every layer to the place that has the least so far. */
static void deal(struct work *work) {
    for (size_t i = 0; i < layer_count; i++) {
        struct place *least = &work->places[0];
        for (size_t k = 1; k < work->alive; k++) {
            least = work->places[k].bytes < least->bytes ? &work->places[k] : least;
        }
        least->list[least->count++] = i;
        least->bytes += layers[i].bytes;
    }
}

static struct work *work_of(size_t alive, enum varve_inflate_engine engine) {
    const struct varve_decode_options options = {.inflate_engine = engine};
    struct work *work = must(calloc(1, sizeof *work));
    work->alive = alive;
    work->places = must(calloc(alive, sizeof *work->places));
    work->isal = must(calloc(1, sizeof *work->isal));
    work->libdeflate = must(libdeflate_alloc_decompressor());
    work->out = must(calloc(1, LAYER_BYTES_MOST));
    for (size_t i = 0; i < alive; i++) {
        if (varve_decoder_open(&work->places[i].decoder, &options) != VARVE_OK) {
            exit(2);
        }
        work->places[i].lane = must(calloc(1, sizeof *work->places[i].lane));
    }
    deal(work);
    return work;
}

int main(int argc, char **argv) {
    static const size_t alive[] = {1, 2, 3, 4, 8, 16};
    static struct bench_case cases[sizeof alive / sizeof alive[0]];
    static const char from[] = "--layers=", of[] = "--shape=";
    bool load = argc > 1 && strncmp(argv[1], from, sizeof from - 1) == 0;
    bool shaped = argc > 1 && strncmp(argv[1], of, sizeof of - 1) == 0;
    if (load) {
        load_layout(argv[1] + sizeof from - 1);
    } else {
        make_layers(shaped ? argv[1] + sizeof of - 1 : shapes[0].name);
    }
    if (load || shaped) {
        argv[1] = argv[0];
        argc--;
        argv++;
    }
    qsort(layers, layer_count, sizeof layers[0], longer_first);
    fprintf(stderr, "%zu layers, %.1f MB decoded\n", layer_count, (double)corpus_bytes / 1e6);
    for (size_t i = 0; i < sizeof alive / sizeof alive[0]; i++) {
        struct bench_case *c = &cases[i];
        snprintf(c->name, sizeof c->name, "alive-%zu", alive[i]);
        c->bytes = corpus_bytes;
        c->verify = verify;
        c->cookie = c;
        bench_add(c, "lanes", run_lanes, work_of(alive[i], VARVE_INFLATE_OWN));
        bench_add(c, "varve", run_varve, work_of(alive[i], VARVE_INFLATE_OWN));
        bench_add(c, "varve/igzip", run_varve, work_of(alive[i], VARVE_INFLATE_IGZIP));
        bench_add(c, "igzip", run_igzip, work_of(1, VARVE_INFLATE_IGZIP));
        bench_add(c, "libdeflate", run_libdeflate, work_of(1, VARVE_INFLATE_IGZIP));
    }
    bench_library("isa-l", BENCH_TEXT(ISAL_MAJOR_VERSION) "." BENCH_TEXT(
                               ISAL_MINOR_VERSION) "." BENCH_TEXT(ISAL_PATCH_VERSION));
    bench_library("libdeflate", LIBDEFLATE_VERSION_STRING);
    return bench_main(argc, argv, cases, sizeof alive / sizeof alive[0]);
}
