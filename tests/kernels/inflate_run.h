/* SPDX-License-Identifier: Apache-2.0 */
/* tests/kernels/inflate_run.h - runs batches of deflate streams through the rows of the registry,
 * cut and mixed in any way, in memory that ends (or begins) at a page nobody may touch; what zlib
 * makes of the same bytes; and streams of random codes.
 */
#ifndef VARVE_TESTS_INFLATE_RUN_H
#define VARVE_TESTS_INFLATE_RUN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "kernels.h"

struct inflate_random {
    uint64_t state;
};

/* SplitMix64. */
static inline uint64_t inflate_random_next(struct inflate_random *random) {
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
static inline uint64_t inflate_random_below(struct inflate_random *random, uint64_t bound) {
    return inflate_random_next(random) % bound;
}

/* ---- Memory between two forbidden pages ---- */

struct guarded {
    uint8_t *begin;
    size_t bytes; /* whole pages */
};

static inline struct guarded guarded_of(size_t bytes) {
    const size_t page = 4096;
    size_t whole = (bytes + page - 1) / page * page;
    uint8_t *all = mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all + page, whole, PROT_READ | PROT_WRITE)) {
        abort();
    }
    return (struct guarded){all + page, whole};
}

/* ---- One stream of a batch ---- */

enum { INFLATE_ROOM_MOST = 20000, INFLATE_INPUT_MOST = 70000 };

struct inflate_lane {
    struct varve_inflate_stream *stream; /* in guarded memory of its own, at its end */
    struct guarded window, input;
    const uint8_t *data;
    size_t bytes, used;
    size_t given; /* of those, handed over to the kernel: in its chunk */
    uint8_t *made;
    size_t made_bytes, made_room;
    bool over;
    bool low; /* the window lies at the beginning of its memory */
    struct varve_inflate_log log;
    enum varve_inflate_stop stop; /* END, FAULT, or INPUT: truncated; OUTPUT: too much */
    size_t fault_offset;
};

static inline void inflate_lane_open(struct inflate_lane *lane, size_t made_room) {
    struct guarded memory = guarded_of(sizeof *lane->stream);
    *lane =
        (struct inflate_lane){.made = malloc(made_room ? made_room : 1), .made_room = made_room};
    size_t stream_bytes = (sizeof *lane->stream + 63) / 64 * 64;
    lane->stream =
        (struct varve_inflate_stream *)(void *)(memory.begin + memory.bytes - stream_bytes);
    lane->window =
        guarded_of(VARVE_INFLATE_WINDOW_BYTES + INFLATE_ROOM_MOST + VARVE_INFLATE_SLACK_BYTES);
    lane->input = guarded_of(INFLATE_INPUT_MOST);
    if (!lane->made) {
        abort();
    }
}

static inline void inflate_lane_close(struct inflate_lane *lane) {
    uint8_t *stream = (uint8_t *)lane->stream;
    munmap(stream - (uintptr_t)stream % 4096 - 4096,
           (sizeof *lane->stream + 4095) / 4096 * 4096 + 8192);
    munmap(lane->window.begin - 4096, lane->window.bytes + 8192);
    munmap(lane->input.begin - 4096, lane->input.bytes + 8192);
    free(lane->made);
}

/* `log_bytes`: of the stream, in which blocks are counted. */
static inline void inflate_lane_begin(struct inflate_lane *lane, const uint8_t *data, size_t bytes,
                                      size_t log_bytes, bool low) {
    struct varve_inflate_stream *stream = lane->stream;
    memset(stream, 0xa5, sizeof *stream); /* nothing of the last one helps */
    varve_inflate_stream_begin(stream);
    lane->log = (struct varve_inflate_log){.in_left = log_bytes};
    stream->log = &lane->log;
    lane->data = data;
    lane->bytes = bytes;
    lane->used = lane->given = lane->made_bytes = 0;
    lane->over = false;
    lane->low = low;
    stream->in = stream->in_end = lane->input.begin + lane->input.bytes;
}

/* Where the window lies for `history` bytes and `room` more: at one end of its memory. What it may
 * not rely on is poisoned. */
static inline void inflate_lane_place(struct inflate_lane *lane, size_t room) {
    struct varve_inflate_stream *stream = lane->stream;
    size_t history = lane->made_bytes < VARVE_INFLATE_WINDOW_BYTES ? lane->made_bytes
                                                                   : VARVE_INFLATE_WINDOW_BYTES;
    size_t all = history + room + VARVE_INFLATE_SLACK_BYTES;
    uint8_t *from = lane->window.begin + (lane->low ? 0 : lane->window.bytes - all);
    memcpy(from, lane->made + lane->made_bytes - history, history);
    memset(from + history, 0x5a, room < 700 ? room : 700);
    stream->earliest = from;
    stream->out = from + history;
    stream->out_stop = stream->out + room;
}

/* The next chunk, right before the forbidden page. */
static inline void inflate_lane_feed(struct inflate_lane *lane, size_t most) {
    struct varve_inflate_stream *stream = lane->stream;
    size_t n = lane->bytes - lane->used;
    n = n < most ? n : most;
    n = n < lane->input.bytes ? n : lane->input.bytes;
    uint8_t *to = lane->input.begin + lane->input.bytes - n;
    memcpy(to, lane->data + lane->used, n);
    stream->in = to;
    stream->in_end = to + n;
    lane->given = n;
}

/* Takes what a run made. NULL, or what is wrong. */
static inline const char *inflate_lane_take(struct inflate_lane *lane, const uint8_t *before,
                                            const uint8_t *in_before) {
    struct varve_inflate_stream *stream = lane->stream;
    size_t n = (size_t)(stream->out - before);
    if (stream->in < in_before || stream->in > stream->in_end || stream->out < before ||
        stream->out > stream->out_stop + VARVE_INFLATE_SLACK_BYTES) {
        return "a pointer beyond its margin";
    }
    lane->used += (size_t)(stream->in - in_before);
    lane->stop = stream->stop;
    bool ended = stream->stop == VARVE_INFLATE_STOP_END;
    bool faulty = stream->stop == VARVE_INFLATE_STOP_FAULT;
    if (lane->made_bytes + n > lane->made_room) {
        lane->over = true; /* a bomb: the caller's judge stops there, too */
        lane->stop = VARVE_INFLATE_STOP_OUTPUT;
        n = lane->made_room - lane->made_bytes;
    }
    memcpy(lane->made + lane->made_bytes, before, n);
    lane->made_bytes += n;
    if (ended || faulty) {
        lane->over = true;
        lane->fault_offset = faulty ? lane->used - stream->fault_back : SIZE_MAX;
        return faulty && stream->fault_back > lane->used ? "a fault before the stream" : NULL;
    }
    if (stream->stop == VARVE_INFLATE_STOP_INPUT) {
        if (stream->in != stream->in_end) {
            return "input left over";
        }
        lane->over |= lane->used == lane->bytes;
        return NULL;
    }
    if (!n && stream->in == in_before) {
        return "no progress";
    }
    return NULL;
}

/* ---- A batch ---- */

/* How it is cut. Chunks and rooms are random up to these; `rows`: bit per row that may run, changed
 * at every run; `mixed`: lanes come and go. */
struct inflate_cut {
    size_t chunk_most, room_most;
    uint32_t rows;
    bool mixed;
};

static inline uint32_t inflate_rows_here(void) {
    uint32_t rows = 0;
    for (size_t i = 0; i < varve_inflate_row_count; i++) {
        uint32_t needs = varve_inflate_rows[i].needs;
        rows |= (varve_cpu_bits() & needs) == needs ? 1u << i : 0;
    }
    return rows;
}

static inline varve_inflate_run_fn *inflate_pick(uint32_t rows, struct inflate_random *random) {
    for (;;) {
        size_t i = inflate_random_below(random, varve_inflate_row_count);
        if (rows & 1u << i) {
            return varve_inflate_rows[i].run;
        }
    }
}

enum { INFLATE_LANES_MOST = 16 };

/* Runs all lanes to their ends. `run` NULL: a row of cut->rows each time. NULL, or what is wrong.
 */
static inline const char *inflate_batch(struct inflate_lane *const *lanes, size_t count,
                                        const struct inflate_cut *cut, varve_inflate_run_fn *run,
                                        struct inflate_random *random) {
    for (;;) {
        struct varve_inflate_stream *streams[INFLATE_LANES_MOST];
        struct inflate_lane *whose[INFLATE_LANES_MOST];
        const uint8_t *out[INFLATE_LANES_MOST], *in[INFLATE_LANES_MOST];
        size_t n = 0;
        bool alive = false;
        for (size_t i = 0; i < count; i++) {
            struct inflate_lane *lane = lanes[i];
            alive |= !lane->over;
            if (lane->over || (cut->mixed && inflate_random_below(random, 4) == 0)) {
                continue;
            }
            size_t room = 1 + inflate_random_below(random, cut->room_most);
            inflate_lane_place(lane, room);
            inflate_lane_feed(lane, 1 + inflate_random_below(random, cut->chunk_most));
            whose[n] = lane;
            in[n] = lane->stream->in;
            out[n] = lane->stream->out;
            streams[n++] = lane->stream;
        }
        if (!alive) {
            return NULL;
        }
        (run ? run : inflate_pick(cut->rows, random))(streams, n);
        for (size_t i = 0; i < n; i++) {
            const char *wrong = inflate_lane_take(whose[i], out[i], in[i]);
            if (wrong) {
                return wrong;
            }
        }
    }
}

/* ---- zlib's judgement ---- */

struct inflate_judgement {
    bool sound, refused; /* neither: truncated, or more than `room` */
    bool full;
    size_t made_bytes, used;
    const char *message;
};

static inline struct inflate_judgement inflate_judge(const uint8_t *data, size_t bytes,
                                                     uint8_t *made, size_t room) {
    union {
        const uint8_t *given;
        uint8_t *taken;
    } in = {.given = data};
    static z_stream z;
    static bool open;
    if (!open ? inflateInit2(&z, -15) != Z_OK : inflateReset(&z) != Z_OK) {
        abort();
    }
    open = true;
    z.next_in = in.taken;
    z.avail_in = (uInt)bytes;
    z.next_out = made;
    z.avail_out = (uInt)room;
    z.msg = NULL;
    int result = inflate(&z, Z_SYNC_FLUSH);
    return (struct inflate_judgement){.sound = result == Z_STREAM_END,
                                      .refused = result == Z_DATA_ERROR,
                                      .full = z.avail_out == 0,
                                      .made_bytes = z.total_out,
                                      .used = z.total_in,
                                      .message = z.msg};
}

/* NULL where a lane that is over says what zlib says, else what differs. `offset`: where the fault
 * must be, or SIZE_MAX to leave that. */
static inline const char *inflate_differ(const struct inflate_lane *lane,
                                         const struct inflate_judgement *judge, const uint8_t *made,
                                         size_t offset) {
    if (judge->full || lane->stop == VARVE_INFLATE_STOP_OUTPUT) {
        size_t both = lane->made_bytes < judge->made_bytes ? lane->made_bytes : judge->made_bytes;
        return both && memcmp(lane->made, made, both) != 0 ? "beginning" : NULL;
    }
    if ((lane->stop == VARVE_INFLATE_STOP_END) != judge->sound) {
        return judge->sound ? "zlib accepts it" : "zlib does not accept it";
    }
    if ((lane->stop == VARVE_INFLATE_STOP_FAULT) != judge->refused) {
        return judge->refused ? "zlib refuses it" : "zlib does not refuse it";
    }
    if (lane->made_bytes != judge->made_bytes) {
        return "bytes made";
    }
    if (lane->made_bytes && memcmp(lane->made, made, lane->made_bytes) != 0) {
        return "content";
    }
    if (judge->sound && lane->used != judge->used) {
        return "end of the stream";
    }
    if (judge->refused && offset != SIZE_MAX && lane->fault_offset != offset) {
        return "place of the fault";
    }
    return NULL;
}

/* ---- What was counted ---- */

static inline bool inflate_blocks_differ(const struct varve_inflate_block *a,
                                         const struct varve_inflate_block *b) {
    return a->type != b->type || a->final != b->final || a->literals != b->literals ||
           a->matches != b->matches || a->short_matches != b->short_matches ||
           a->decoded_bytes != b->decoded_bytes;
}

static inline bool inflate_logs_differ(const struct varve_inflate_log *a,
                                       const struct varve_inflate_log *b) {
    bool differ = a->count != b->count || inflate_blocks_differ(&a->cut, &b->cut);
    for (size_t i = 0; i < a->count && !differ; i++) {
        differ = inflate_blocks_differ(&a->each[i], &b->each[i]);
    }
    return differ;
}

/* ---- Streams of random codes ---- */

struct inflate_writer {
    uint8_t *to;
    size_t room, bits;
};

static inline void inflate_put(struct inflate_writer *writer, uint32_t value, unsigned bits) {
    for (unsigned i = 0; i < bits && writer->bits / 8 < writer->room; i++, writer->bits++) {
        uint8_t *byte = &writer->to[writer->bits / 8];
        *byte = (uint8_t)((writer->bits % 8 ? *byte : 0) | (value >> i & 1) << writer->bits % 8);
    }
}

struct inflate_code {
    uint8_t lengths[288];
    uint16_t words[288]; /* bits reversed: as they are written */
    unsigned symbols;
    uint16_t used[288];
    unsigned used_count;
};

/* A random complete code of `count` of `symbols` symbols, `deep` for long ones; `must` is one. */
static inline void inflate_random_code(struct inflate_code *code, unsigned symbols, unsigned count,
                                       unsigned must, bool deep, struct inflate_random *random) {
    uint8_t depths[288] = {0};
    unsigned leaves = 1;
    while (leaves < count) {
        size_t i = deep && inflate_random_below(random, 8) ? leaves - 1
                                                           : inflate_random_below(random, leaves);
        if (depths[i] < 15) {
            depths[i]++;
            depths[leaves++] = depths[i];
        } else if (deep) {
            deep = inflate_random_below(random, 32) != 0;
        }
    }
    memset(code, 0, sizeof *code);
    code->symbols = symbols;
    for (unsigned i = 0; i < leaves; i++) {
        unsigned symbol = must;
        while (i ? code->lengths[symbol] != 0 : false) {
            symbol = (unsigned)inflate_random_below(random, symbols);
        }
        code->lengths[symbol] = depths[i] ? depths[i] : 1;
        code->used[code->used_count++] = (uint16_t)symbol;
    }
    unsigned next = 0;
    for (unsigned bits = 1; bits <= 15; bits++, next <<= 1) {
        for (unsigned i = 0; i < symbols; i++) {
            if (code->lengths[i] == bits) {
                unsigned word = next++;
                for (unsigned k = 0; k < bits; k++) {
                    code->words[i] = (uint16_t)(code->words[i] | (word >> k & 1) << (bits - 1 - k));
                }
            }
        }
    }
}

static inline void inflate_put_symbol(struct inflate_writer *writer,
                                      const struct inflate_code *code, unsigned symbol) {
    inflate_put(writer, code->words[symbol], code->lengths[symbol]);
}

static inline void inflate_put_codes(struct inflate_writer *writer,
                                     const struct inflate_code *litlen,
                                     const struct inflate_code *dist) {
    inflate_put(writer, litlen->symbols - 257, 5);
    inflate_put(writer, dist->symbols - 1, 5);
    inflate_put(writer, 15, 4);
    /* All of 0..15 have codes of four bits, 16 to 18 have none. */
    for (unsigned i = 0; i < 19; i++) {
        inflate_put(writer, i < 3 ? 0 : 4, 3);
    }
    const struct inflate_code *codes[] = {litlen, dist};
    for (unsigned c = 0; c < 2; c++) {
        for (unsigned i = 0; i < codes[c]->symbols; i++) {
            unsigned n = codes[c]->lengths[i];
            inflate_put(writer, (n & 1) << 3 | (n & 2) << 1 | (n & 4) >> 1 | n >> 3, 4);
        }
    }
}

/* A dynamic block of random codes and random symbols: mostly what such a block may hold, sometimes
 * a distance too far. Returns about how many bytes it makes. */
static inline size_t inflate_put_random_block(struct inflate_writer *writer, bool last, size_t made,
                                              struct inflate_random *random) {
    struct inflate_code litlen, dist;
    unsigned symbols = 257 + (unsigned)inflate_random_below(random, 30);
    unsigned dists = 1 + (unsigned)inflate_random_below(random, 30);
    bool deep = inflate_random_below(random, 2);
    inflate_random_code(&litlen, symbols,
                        2 + (unsigned)inflate_random_below(
                                random, inflate_random_below(random, 3) ? 40 : symbols - 1),
                        256, deep, random);
    inflate_random_code(&dist, dists, 1 + (unsigned)inflate_random_below(random, dists), 0,
                        inflate_random_below(random, 2), random);
    inflate_put(writer, last, 1);
    inflate_put(writer, 2, 2);
    inflate_put_codes(writer, &litlen, &dist);
    size_t items = inflate_random_below(random, 400);
    static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                             2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    for (size_t i = 0; i < items; i++) {
        unsigned symbol = litlen.used[inflate_random_below(random, litlen.used_count)];
        if (symbol == 256) {
            continue;
        }
        if (symbol < 256) {
            inflate_put_symbol(writer, &litlen, symbol);
            made++;
            continue;
        }
        unsigned away = dist.used[inflate_random_below(random, dist.used_count)];
        unsigned extra = away < 4 ? 0 : away / 2 - 1;
        size_t reach = away < 4 ? away + 1 : ((size_t)(2 + away % 2) << extra) + 1;
        if (reach > made && inflate_random_below(random, 50)) {
            continue;
        }
        inflate_put_symbol(writer, &litlen, symbol);
        inflate_put(writer, (uint32_t)inflate_random_next(random), length_extra[symbol - 257]);
        inflate_put_symbol(writer, &dist, away);
        size_t most = made > reach ? made - reach : 0;
        uint32_t more = (uint32_t)inflate_random_below(random, most + 1);
        inflate_put(writer, extra && more < 1u << extra ? more : 0, extra);
        made += 3;
    }
    inflate_put_symbol(writer, &litlen, 256);
    return made;
}

static inline size_t inflate_random_stream(uint8_t *to, size_t room,
                                           struct inflate_random *random) {
    struct inflate_writer writer = {to, room, 0};
    size_t made = 0;
    unsigned blocks = 1 + (unsigned)inflate_random_below(random, 4);
    for (unsigned i = 0; i < blocks; i++) {
        if (inflate_random_below(random, 6) == 0) {
            uint32_t n = (uint32_t)inflate_random_below(random, 300);
            inflate_put(&writer, i + 1 == blocks, 3);
            inflate_put(&writer, 0, (8 - writer.bits % 8) % 8);
            inflate_put(&writer, n | ~n << 16, 32);
            for (uint32_t k = 0; k < n; k++) {
                inflate_put(&writer, (uint32_t)inflate_random_next(random), 8);
            }
            made += n;
        } else {
            made = inflate_put_random_block(&writer, i + 1 == blocks, made, random);
        }
    }
    return (writer.bits + 7) / 8;
}

#endif
