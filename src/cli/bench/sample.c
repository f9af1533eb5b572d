/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/sample.c - draws layers, decodes them, takes their lanes apart. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "varve/decode.h"
#include "varve/tar.h"

#define DEFAULT_SAMPLE_BYTES (UINT64_C(16) << 20)
#define STEP_BYTES (UINT64_C(256) << 10)
/* So many layers in a row that do not fit end the drawing: a registry holds a hundred thousand, and
 * each of them costs up to a sample's bytes of reading and decoding. */
#define MOST_IN_A_ROW 100

/* Bytes that grow. */
struct buffer {
    uint8_t *data;
    size_t bytes, room;
};

static bool append(struct buffer *buffer, const void *data, size_t bytes) {
    if (buffer->room - buffer->bytes < bytes) {
        size_t room = 2 * buffer->room > buffer->bytes + bytes ? 2 * buffer->room
                                                               : buffer->bytes + bytes + STEP_BYTES;
        uint8_t *grown = realloc(buffer->data, room);
        if (!grown) {
            return false;
        }
        buffer->data = grown;
        buffer->room = room;
    }
    if (bytes > 0) {
        memcpy(buffer->data + buffer->bytes, data, bytes);
    }
    buffer->bytes += bytes;
    return true;
}

/* Everything that is to be freed. */
struct owned {
    void **blocks;
    size_t count, room;
};

static bool own(struct bench_sample *sample, void *block) {
    struct owned *owned = sample->owned;
    if (owned->count == owned->room) {
        size_t room = owned->room ? 2 * owned->room : 64;
        void **grown = realloc(owned->blocks, room * sizeof *grown);
        if (!grown) {
            free(block);
            return false;
        }
        owned->blocks = grown;
        owned->room = room;
    }
    owned->blocks[owned->count++] = block;
    return true;
}

/* Room for one unit more; `units` grows by doubling at powers of two. */
static bool add_unit(struct bench_form *form, const uint8_t *data, size_t bytes) {
    if ((form->count & (form->count - 1)) == 0) {
        size_t room = form->count ? 2 * form->count : 1;
        struct bench_unit *grown = realloc(form->units, room * sizeof *grown);
        if (!grown) {
            return false;
        }
        form->units = grown;
    }
    form->units[form->count++] = (struct bench_unit){data, bytes};
    form->bytes += bytes;
    return true;
}

enum verdict { TAKEN, TOO_LARGE, UNUSABLE, NO_MEMORY };

/* The decoded bytes of a blob, up to `most` of them. */
static enum verdict decode(struct buffer *tar, struct varve_decoder *decoder,
                           const struct buffer *blob, uint64_t most) {
    uint8_t *room = malloc(STEP_BYTES);
    size_t used = 0;
    enum verdict verdict = room ? TAKEN : NO_MEMORY;
    varve_decoder_reset(decoder, NULL);
    for (bool more = verdict == TAKEN; more;) {
        struct varve_decode_turn turn = {.in = blob->data + used,
                                         .in_bytes = blob->bytes - used,
                                         .in_last = true,
                                         .out = room,
                                         .out_bytes = STEP_BYTES};
        varve_decode(&decoder, &turn, 1);
        used += turn.used_bytes;
        more = turn.state == VARVE_DECODE_INPUT || turn.state == VARVE_DECODE_OUTPUT;
        if (turn.made_bytes > most - tar->bytes) {
            verdict = TOO_LARGE;
            break;
        }
        if (!append(tar, turn.made, turn.made_bytes)) {
            verdict = NO_MEMORY;
            break;
        }
        if (!more && turn.state != VARVE_DECODE_END) {
            verdict = UNUSABLE;
        }
    }
    free(room);
    return verdict;
}

static enum verdict read_blob(struct buffer *blob, const struct varve_catalog *catalog,
                              size_t number, uint64_t most) {
    struct varve_fault fault;
    uint64_t offset = 0;
    uint64_t left = 0;
    int fd = varve_catalog_open_blob(catalog, &offset, &left, &fault, number);
    enum verdict verdict = fd < 0 ? UNUSABLE : TAKEN;
    while (verdict == TAKEN && left > 0) {
        uint8_t step[16384];
        size_t wanted = left < sizeof step ? (size_t)left : sizeof step;
        ssize_t got = pread(fd, step, wanted, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            verdict = got < 0 ? UNUSABLE : TAKEN;
            break;
        }
        offset += (uint64_t)got;
        left -= left == UINT64_MAX ? 0 : (uint64_t)got;
        if (!append(blob, step, (size_t)got)) {
            verdict = NO_MEMORY;
        } else if (blob->bytes > most) {
            verdict = TOO_LARGE;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return verdict;
}

/* ---- Lanes ---- */

/* What a file is, told by its first bytes: like goes beside like. */
enum kind { TEXT, SCRIPT, ELF, ARCHIVE, COMPRESSED, IMAGE, OTHER };

static enum kind kind_of(const uint8_t *p, size_t bytes) {
    static const struct {
        const char *magic;
        size_t bytes;
        enum kind kind;
    } table[] = {
        {"\177ELF", 4, ELF},
        {"#!", 2, SCRIPT},
        {"!<arch>", 7, ARCHIVE},
        {"\037\213", 2, COMPRESSED},
        {"\050\265\057\375", 4, COMPRESSED},
        {"BZh", 3, COMPRESSED},
        {"\3757zXZ", 5, COMPRESSED},
        {"PK\003\004", 4, COMPRESSED},
        {"\211PNG", 4, IMAGE},
        {"\377\330\377", 3, IMAGE},
        {"GIF8", 4, IMAGE},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (bytes >= table[i].bytes && memcmp(p, table[i].magic, table[i].bytes) == 0) {
            return table[i].kind;
        }
    }
    return memchr(p, 0, bytes < 512 ? bytes : 512) ? OTHER : TEXT;
}

/* A run of a file's bytes in the archive. */
struct span {
    const uint8_t *data;
    size_t bytes;
    enum kind kind;
    char suffix[8]; /* what follows the last dot of its name */
    uint32_t number;
};

static int compare_spans(const void *a, const void *b) {
    const struct span *x = a;
    const struct span *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    int suffix = memcmp(x->suffix, y->suffix, sizeof x->suffix);
    return suffix ? suffix : (x->number > y->number) - (x->number < y->number);
}

struct spans {
    struct span *at;
    size_t count, room;
};

static bool add_span(struct spans *spans, struct varve_bytes data, struct varve_bytes path,
                     bool goes_on) {
    struct span *last = spans->count ? &spans->at[spans->count - 1] : NULL;
    if (goes_on && last && last->data + last->bytes == data.bytes) {
        last->bytes += data.count;
        return true;
    }
    if (spans->count == spans->room) {
        size_t room = spans->room ? 2 * spans->room : 256;
        struct span *grown = realloc(spans->at, room * sizeof *grown);
        if (!grown) {
            return false;
        }
        spans->at = grown;
        spans->room = room;
    }
    struct span span = {data.bytes, data.count, kind_of(data.bytes, data.count), "",
                        (uint32_t)spans->count};
    const uint8_t *dot = path.count ? memrchr(path.bytes, '.', path.count) : NULL;
    size_t suffix = dot ? (size_t)(path.bytes + path.count - dot - 1) : 0;
    if (suffix > 0 && suffix <= sizeof span.suffix && !memchr(dot, '/', suffix + 1)) {
        memcpy(span.suffix, dot + 1, suffix);
    }
    spans->at[spans->count++] = span;
    return true;
}

/* Where the files' bytes lie in a tar. */
static enum verdict find_spans(struct spans *spans, struct varve_tar *parser,
                               const struct buffer *tar) {
    struct varve_tar_item item;
    struct varve_bytes path = {NULL, 0};
    bool goes_on = false;
    varve_tar_reset(parser, NULL);
    varve_tar_feed(parser, tar->data, tar->bytes, true);
    for (;;) {
        switch (varve_tar_next(parser, &item)) {
        case VARVE_TAR_ENTRY:
            path = item.entry->path;
            goes_on = false;
            break;
        case VARVE_TAR_DATA:
            if (item.data.count > 0 && !add_span(spans, item.data, path, goes_on)) {
                return NO_MEMORY;
            }
            goes_on = true;
            break;
        case VARVE_TAR_END:
            return TAKEN;
        case VARVE_TAR_FAULT:
            return UNUSABLE;
        default:
            break;
        }
    }
}

/* Header lane and sorted data lane, one behind the other in a block of their own. */
static bool add_lanes(struct bench_sample *sample, struct spans *spans, const struct buffer *tar) {
    struct bench_form *form = &sample->forms[BENCH_LANES];
    uint8_t *block = malloc(tar->bytes + 1);
    if (!block || !own(sample, block)) {
        return false;
    }
    uint8_t *to = block;
    const uint8_t *from = tar->data;
    for (size_t i = 0; i < spans->count; i++) {
        size_t before = (size_t)(spans->at[i].data - from);
        memcpy(to, from, before);
        to += before;
        from = spans->at[i].data + spans->at[i].bytes;
    }
    size_t rest = (size_t)(tar->data + tar->bytes - from);
    memcpy(to, from, rest);
    to += rest;
    size_t header_bytes = (size_t)(to - block);
    if (spans->count) {
        qsort(spans->at, spans->count, sizeof *spans->at, compare_spans);
    }
    for (size_t i = 0; i < spans->count; i++) {
        memcpy(to, spans->at[i].data, spans->at[i].bytes);
        to += spans->at[i].bytes;
    }
    return add_unit(form, block, header_bytes) &&
           (header_bytes == tar->bytes ||
            add_unit(form, block + header_bytes, tar->bytes - header_bytes));
}

/* ---- Layers ---- */

struct drawing {
    struct bench_sample *sample;
    struct varve_decoder *decoder;
    struct varve_tar *parser;
};

/* Takes what was read over into the sample. */
static bool keep_layer(struct drawing *drawing, struct buffer *blob, struct buffer *tar,
                       struct spans *spans) {
    struct bench_sample *sample = drawing->sample;
    uint8_t *blob_block = blob->data;
    uint8_t *tar_block = tar->data;
    blob->data = NULL;
    tar->data = NULL;
    bool both = own(sample, blob_block);
    both = own(sample, tar_block) && both;
    if (!both) {
        return false;
    }
    struct buffer kept = {tar_block, tar->bytes, tar->room};
    bool good = add_unit(&sample->forms[BENCH_BLOBS], blob_block, blob->bytes) &&
                add_unit(&sample->forms[BENCH_ARCHIVES], tar_block, tar->bytes);
    for (size_t i = 0; good && i < spans->count; i++) {
        good = add_unit(&sample->forms[BENCH_FILES], spans->at[i].data, spans->at[i].bytes);
    }
    sample->layer_count++;
    return good && add_lanes(sample, spans, &kept);
}

static enum verdict draw_layer(struct drawing *drawing, const struct varve_catalog *catalog,
                               size_t number, uint64_t most) {
    struct buffer blob = {NULL, 0, 0};
    struct buffer tar = {NULL, 0, 0};
    struct spans spans = {NULL, 0, 0};
    enum verdict verdict = read_blob(&blob, catalog, number, most);
    if (verdict == TAKEN) {
        verdict = decode(&tar, drawing->decoder, &blob, most);
    }
    if (verdict == TAKEN) {
        verdict = tar.bytes ? find_spans(&spans, drawing->parser, &tar) : UNUSABLE;
    }
    if (verdict == TAKEN && !keep_layer(drawing, &blob, &tar, &spans)) {
        verdict = NO_MEMORY;
    }
    free(blob.data);
    free(tar.data);
    free(spans.at);
    return verdict;
}

/* splitmix64, public domain by its author S. Vigna: small, and good enough to shuffle. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* The catalog's layers, of twins the first, shuffled. NULL: no memory. */
static uint32_t *shuffled(struct bench_sample *sample, const struct varve_catalog *catalog,
                          uint64_t seed) {
    size_t count = varve_catalog_blob_count(catalog);
    uint32_t *order = calloc(count + 1, sizeof *order);
    for (size_t i = 0; order && i < count; i++) {
        struct varve_blob blob = varve_catalog_blob(catalog, i);
        if (blob.twin_of == i) {
            order[sample->source_layers++] = (uint32_t)i;
            sample->source_blob_bytes += blob.size;
        }
    }
    for (size_t i = sample->source_layers; order && i > 1; i--) {
        size_t other = next_random(&seed) % i;
        uint32_t swapped = order[i - 1];
        order[i - 1] = order[other];
        order[other] = swapped;
    }
    return order;
}

/* False: no memory. */
static bool draw(struct drawing *drawing, const struct varve_catalog *catalog,
                 const struct settings *settings) {
    struct bench_sample *sample = drawing->sample;
    uint64_t left =
        settings->bench_sample_bytes ? settings->bench_sample_bytes : DEFAULT_SAMPLE_BYTES;
    uint32_t *order = shuffled(sample, catalog, settings->bench_seed);
    enum verdict verdict = order ? TAKEN : NO_MEMORY;
    unsigned in_a_row = 0;
    for (size_t i = 0;
         verdict != NO_MEMORY && i < sample->source_layers && left > 0 && in_a_row < MOST_IN_A_ROW;
         i++) {
        uint64_t before = sample->forms[BENCH_ARCHIVES].bytes;
        verdict = draw_layer(drawing, catalog, order[i], left);
        left -= sample->forms[BENCH_ARCHIVES].bytes - before;
        in_a_row = verdict == TOO_LARGE ? in_a_row + 1 : 0;
        sample->too_large += verdict == TOO_LARGE;
        sample->unusable += verdict == UNUSABLE;
    }
    free(order);
    return verdict != NO_MEMORY;
}

/* ---- Shares ---- */

static const struct bench_unit *sorted_units;

static int compare_units(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    size_t bytes_x = sorted_units[x].bytes;
    size_t bytes_y = sorted_units[y].bytes;
    return bytes_x != bytes_y ? (bytes_x > bytes_y ? -1 : 1) : (x > y) - (x < y);
}

/* The largest first, each to who has least; the shares' units lie behind one another. */
static bool share_out(struct bench_sample *sample, struct bench_form *form) {
    unsigned threads = sample->threads;
    uint32_t *whole = malloc((form->count + 1) * sizeof *whole);
    uint32_t *parts = malloc((form->count + 1) * threads * sizeof *parts);
    uint64_t *load = calloc(threads, sizeof *load);
    form->shares = calloc(threads, sizeof *form->shares);
    bool owned = own(sample, whole);
    owned &= own(sample, parts);
    owned &= own(sample, form->shares);
    if (!owned || !whole || !parts || !form->shares || !load) {
        free(load);
        return false;
    }
    for (uint32_t i = 0; i < form->count; i++) {
        whole[i] = i;
    }
    sorted_units = form->units;
    qsort(whole, form->count, sizeof *whole, compare_units);
    form->whole = (struct bench_share){whole, form->count};
    for (unsigned t = 0; t < threads; t++) {
        form->shares[t].units = parts + t * form->count;
    }
    for (size_t i = 0; i < form->count; i++) {
        unsigned least = 0;
        for (unsigned t = 1; t < threads; t++) {
            least = load[t] < load[least] ? t : least;
        }
        form->shares[least].units[form->shares[least].count++] = whole[i];
        load[least] += form->units[whole[i]].bytes;
    }
    free(load);
    return true;
}

/* Touched, so that no task pays for its pages. */
static bool make_scratch(struct bench_sample *sample, struct bench_form *form) {
    size_t bytes = 0;
    form->scratch_at = calloc(form->count + 1, sizeof *form->scratch_at);
    for (size_t i = 0; form->scratch_at && i < form->count; i++) {
        form->scratch_at[i] = bytes;
        bytes += bench_room(form->units[i].bytes);
    }
    form->scratch = malloc(bytes + 1);
    if (form->scratch) {
        memset(form->scratch, 0xa5, bytes);
    }
    bool owned = own(sample, form->scratch_at);
    owned &= own(sample, form->scratch);
    return owned && form->scratch && form->scratch_at;
}

static bool digest_archives(struct bench_sample *sample) {
    const struct bench_form *form = &sample->forms[BENCH_ARCHIVES];
    struct varve_sha256 *sha256 = NULL;
    sample->diffids = calloc(form->count + 1, sizeof *sample->diffids);
    bool good = sample->diffids && varve_sha256_open(&sha256, NULL) == VARVE_OK;
    for (size_t i = 0; good && i < form->count; i++) {
        varve_sha256_once(sha256, sample->diffids[i], form->units[i].data, form->units[i].bytes);
    }
    varve_sha256_close(sha256);
    return good;
}

static bool fill(struct bench_sample *sample, const struct varve_catalog *catalog,
                 const struct settings *settings) {
    struct drawing drawing = {.sample = sample};
    bool good = varve_decoder_open(&drawing.decoder, NULL) == VARVE_OK &&
                varve_tar_open(&drawing.parser, NULL) == VARVE_OK &&
                draw(&drawing, catalog, settings);
    varve_decoder_close(drawing.decoder);
    varve_tar_close(drawing.parser);
    for (size_t i = 0; good && i < BENCH_FORM_COUNT; i++) {
        good = share_out(sample, &sample->forms[i]);
    }
    return good && make_scratch(sample, &sample->forms[BENCH_ARCHIVES]) &&
           make_scratch(sample, &sample->forms[BENCH_LANES]) && digest_archives(sample);
}

bool bench_sample_open(struct bench_sample *sample, const struct settings *settings) {
    static const char *const names[BENCH_FORM_COUNT] = {"archives", "lanes", "files", "blobs"};
    struct varve_catalog *catalog = NULL;
    *sample = (struct bench_sample){.owned = calloc(1, sizeof(struct owned))};
    for (size_t i = 0; i < BENCH_FORM_COUNT; i++) {
        sample->forms[i].name = names[i];
    }
    bool good = sample->owned && varve_catalog_open(&catalog) == VARVE_OK;
    for (int i = 0; good && i < settings->operand_count; i++) {
        if (varve_catalog_add(catalog, settings->operands[i]) != VARVE_OK) {
            complain("%s cannot be read; 'varve scan' says why", settings->operands[i]);
        }
    }
    if (good) {
        tell_unread(catalog, settings->operands[0]);
    }
    unsigned wanted = settings->scan.threads;
    sample->threads = varve_thread_team(wanted ? wanted : varve_thread_default(), 0);
    good = good && fill(sample, catalog, settings);
    varve_catalog_close(catalog);
    if (!good) {
        complain("out of memory; a smaller --sample takes less");
    } else if (!sample->layer_count) {
        complain("nothing to measure: of %llu layers %llu were drawn that are larger than "
                 "--sample, and %llu that cannot be used",
                 (unsigned long long)sample->source_layers, (unsigned long long)sample->too_large,
                 (unsigned long long)sample->unusable);
        good = false;
    }
    if (!good) {
        bench_sample_close(sample);
    }
    return good;
}

void bench_sample_close(struct bench_sample *sample) {
    struct owned *owned = sample->owned;
    for (size_t i = 0; owned && i < owned->count; i++) {
        free(owned->blocks[i]);
    }
    for (size_t i = 0; i < BENCH_FORM_COUNT; i++) {
        free(sample->forms[i].units);
    }
    if (owned) {
        free(owned->blocks);
    }
    free(owned);
    free(sample->diffids);
    sample->owned = NULL;
}
