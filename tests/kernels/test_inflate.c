/* SPDX-License-Identifier: Apache-2.0 */
/* Every inflate kernel against zlib, and for the place of faults against the portable reference:
 * real and random streams, every truncation and bit flip of small ones, chunks and rooms from one
 * byte on, lanes that come and go and change kernels between runs, forbidden pages around every
 * buffer. Deliberately wrong kernels must be rejected. VARVE_TEST_SEED=N repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "../deflate.h"
#include "inflate_run.h"
#include "inflate_text.h"

varve_inflate_run_fn varve_inflate_scalar;

enum { MADE_ROOM = 1 << 20, LANES = 9 };

static struct inflate_random dice;
static struct inflate_lane lanes[INFLATE_LANES_MOST];
static uint8_t judged[INFLATE_LANES_MOST][MADE_ROOM];
static uint32_t rows;

/* A stream, what zlib says of it, and where the reference sees the fault. */
struct subject {
    const uint8_t *data;
    size_t bytes;
    struct inflate_judgement judge;
    size_t fault_offset;
    size_t log_bytes;             /* in which blocks are counted: all of it, or some */
    struct varve_inflate_log log; /* of those, as the reference counts */
};

static const char *describe(struct subject *subject, uint8_t *made) {
    subject->judge = inflate_judge(subject->data, subject->bytes, made, MADE_ROOM);
    struct inflate_lane *lane = &lanes[INFLATE_LANES_MOST - 1];
    subject->log_bytes =
        inflate_random_below(&dice, 3) ? SIZE_MAX : inflate_random_below(&dice, subject->bytes + 9);
    inflate_lane_begin(lane, subject->data, subject->bytes, subject->log_bytes, false);
    const struct inflate_cut whole = {INFLATE_INPUT_MOST, INFLATE_ROOM_MOST, 0, false};
    const char *wrong = inflate_batch(&lane, 1, &whole, varve_inflate_scalar, &dice);
    subject->fault_offset = lane->fault_offset;
    subject->log = lane->log;
    return wrong ? wrong : inflate_differ(lane, &subject->judge, made, SIZE_MAX);
}

/* Runs them side by side. NULL, or what is wrong with which. */
static const char *check(struct subject *subjects, size_t count, const struct inflate_cut *cut,
                         varve_inflate_run_fn *run, size_t *which) {
    struct inflate_lane *batch[INFLATE_LANES_MOST] = {NULL};
    bool counting = inflate_random_below(&dice, 2);
    for (size_t i = 0; i < count; i++) {
        inflate_lane_begin(&lanes[i], subjects[i].data, subjects[i].bytes, subjects[i].log_bytes,
                           inflate_random_below(&dice, 2));
        batch[i] = &lanes[i];
        if (!counting || inflate_random_below(&dice, 4) == 0) {
            lanes[i].stream->log = NULL;
            lanes[i].log = subjects[i].log;
        }
    }
    *which = 0;
    const char *wrong = inflate_batch(batch, count, cut, run, &dice);
    for (size_t i = 0; i < count && !wrong; i++) {
        *which = i;
        wrong = inflate_differ(&lanes[i], &subjects[i].judge, judged[i], subjects[i].fault_offset);
        if (!wrong && lanes[i].stop != VARVE_INFLATE_STOP_OUTPUT &&
            inflate_logs_differ(&lanes[i].log, &subjects[i].log)) {
            wrong = "blocks counted";
        }
    }
    return wrong;
}

static const struct inflate_cut cuts[] = {
    {1, 1, 0, false},         {1, 1000, 0, true},     {7, 300, 0, false},
    {64, 64, 0, true},        {130, 20000, 0, false}, {1000, 5000, 0, true},
    {70000, 20000, 0, false}, {70000, 3, 0, false},   {300, 20000, 0, true},
};

/* All cuts and rows, and rows that change. */
static void must_hold(const char *what, size_t number, struct subject *subjects, size_t count,
                      bool quick) {
    for (size_t i = 0; i < count; i++) {
        const char *wrong = describe(&subjects[i], judged[i]);
        if (wrong) {
            fail_msg("%s %zu, stream %zu, reference: %s", what, number, i, wrong);
        }
    }
    for (size_t c = quick ? inflate_random_below(&dice, 3) : 0; c < sizeof cuts / sizeof cuts[0];
         c += quick ? 3 : 1) {
        for (size_t row = 0; row <= varve_inflate_row_count; row++) {
            bool changing = row == varve_inflate_row_count;
            if (!changing && !(rows & 1u << row)) {
                continue;
            }
            struct inflate_cut cut = cuts[c];
            cut.rows = rows;
            size_t which;
            const char *wrong =
                check(subjects, count, &cut, changing ? NULL : varve_inflate_rows[row].run, &which);
            if (wrong) {
                fail_msg("%s %zu, stream %zu of %zu, cut %zu, row %s: %s", what, number, which,
                         count, c, changing ? "changing" : varve_inflate_rows[row].name, wrong);
            }
        }
    }
}

/* ---- Contents ---- */

static void fill(uint8_t *to, size_t bytes, unsigned kind) {
    for (size_t i = 0; i < bytes; i++) {
        uint64_t r = inflate_random_next(&dice);
        switch (kind) {
        case 0: /* text */
            to[i] = (uint8_t) "etaoin shrdlu\n"[(r & 7) < 6 ? r >> 8 & 3 : (r >> 8) % 14];
            break;
        case 1: /* noise */
            to[i] = (uint8_t)r;
            break;
        case 2: /* runs, of which some repeat with short steps */
            to[i] = i > 9 && r % 50 ? to[i - 1 - (i >> 9) % 9] : (uint8_t)(r >> 8);
            break;
        case 3: /* far copies: exactly as far as a match reaches, and nearer */
            to[i] = i >= 32768 ? to[i - 32768 + (i >> 12) % 3] : (uint8_t)(r >> 8);
            break;
        default: /* records */
            to[i] = i > 99 && r % 7 ? to[i - 97] : (uint8_t)(r >> 8 & 0x1f);
            break;
        }
    }
}

static size_t deflate_raw(uint8_t *to, size_t room, const uint8_t *from, size_t bytes, int level,
                          int strategy) {
    return test_deflate(to, room, from, bytes, level, strategy, -15);
}

static void real_streams(void **state) {
    (void)state;
    static uint8_t content[120000];
    static uint8_t stored[LANES][130000];
    static const int strategies[] = {Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE,
                                     Z_FIXED};
    for (size_t round = 0; round < 6; round++) {
        struct subject subjects[LANES];
        size_t count = 1 + (round * 5 + 3) % LANES;
        for (size_t i = 0; i < count; i++) {
            size_t bytes = round == 5 ? sizeof content : inflate_random_below(&dice, 30000);
            fill(content, bytes, (unsigned)(i + round) % 5);
            int level = i == 3 ? 0 : 1 + (int)inflate_random_below(&dice, 9);
            subjects[i].data = stored[i];
            subjects[i].bytes = deflate_raw(stored[i], sizeof stored[i], content, bytes, level,
                                            strategies[(i + round) % 5]);
        }
        must_hold("real", round, subjects, count, round != 1);
    }
}

static void random_streams(void **state) {
    (void)state;
    static uint8_t stored[LANES][200000];
    size_t sound = 0, refused = 0;
    for (size_t round = 0; round < 120; round++) {
        struct subject subjects[LANES];
        size_t count = 1 + inflate_random_below(&dice, LANES);
        for (size_t i = 0; i < count; i++) {
            subjects[i].data = stored[i];
            subjects[i].bytes = inflate_random_stream(stored[i], sizeof stored[i], &dice);
        }
        must_hold("random", round, subjects, count, true);
        for (size_t i = 0; i < count; i++) {
            sound += subjects[i].judge.sound;
            refused += subjects[i].judge.refused;
        }
    }
    print_message("%zu random streams sound, %zu refused\n", sound, refused);
    assert_true(sound > 50 && refused > 5);
}

/* ---- Damage ---- */

enum { SMALL_KINDS = 5 };

static size_t small_stream(uint8_t *to, size_t room, size_t kind) {
    static uint8_t content[2000];
    fill(content, sizeof content, (unsigned)kind);
    switch (kind) {
    case 0:
        return deflate_raw(to, room, content, 900, 9, Z_DEFAULT_STRATEGY);
    case 1:
        return deflate_raw(to, room, content, 60, 6, Z_FIXED);
    case 2:
        return deflate_raw(to, room, content, 2000, 9, Z_RLE);
    case 3:
        return deflate_raw(to, room, content, 300, 0, Z_DEFAULT_STRATEGY);
    default:
        return inflate_random_stream(to, room < 900 ? room : 900, &dice);
    }
}

/* Nine truncations at once, then as many at a bit (the rest of its byte is noise), then as many
 * flips, each beside the others. */
static void damage(void **state) {
    (void)state;
    static uint8_t whole[200000];
    static uint8_t copies[LANES][200000];
    for (size_t kind = 0; kind < SMALL_KINDS; kind++) {
        size_t bytes = small_stream(whole, sizeof whole, kind);
        for (size_t at = 0; at <= bytes; at += LANES) {
            struct subject subjects[LANES];
            size_t count = 0;
            for (; count < LANES && at + count <= bytes; count++) {
                subjects[count] = (struct subject){.data = whole, .bytes = at + count};
            }
            must_hold("truncation", at, subjects, count, true);
        }
        for (size_t bit = 1; bit < 8 * bytes; bit += LANES) {
            struct subject subjects[LANES];
            size_t count = 0;
            for (; count < LANES && bit + count < 8 * bytes; count++) {
                size_t last = (bit + count) / 8;
                memcpy(copies[count], whole, bytes);
                copies[count][last] ^= (uint8_t)(inflate_random_next(&dice) << (bit + count) % 8);
                subjects[count] = (struct subject){.data = copies[count], .bytes = last + 1};
            }
            must_hold("truncation at a bit", bit, subjects, count, true);
        }
        for (size_t bit = 0; bit < 8 * bytes; bit += LANES) {
            struct subject subjects[LANES];
            size_t count = 0;
            for (; count < LANES && bit + count < 8 * bytes; count++) {
                memcpy(copies[count], whole, bytes);
                copies[count][(bit + count) / 8] ^= (uint8_t)(1u << (bit + count) % 8);
                subjects[count] = (struct subject){.data = copies[count], .bytes = bytes};
            }
            must_hold("flip", bit, subjects, count, true);
        }
        print_message("kind %zu: %zu truncations, %zu at bits, %zu flips\n", kind, bytes + 1,
                      8 * bytes - 1, 8 * bytes);
    }
}

/* ---- What must be refused, and what must not ---- */

/* A dynamic block with these lengths and nothing but `tail` behind. */
static size_t block_of(uint8_t *to, size_t room, const uint8_t *litlen, unsigned litlen_count,
                       const uint8_t *dist, unsigned dist_count, uint32_t tail,
                       unsigned tail_bits) {
    struct inflate_code codes[2];
    struct inflate_writer writer = {to, room, 0};
    memset(codes, 0, sizeof codes);
    memcpy(codes[0].lengths, litlen, litlen_count);
    memcpy(codes[1].lengths, dist, dist_count);
    codes[0].symbols = litlen_count;
    codes[1].symbols = dist_count;
    inflate_put(&writer, 1, 1);
    inflate_put(&writer, 2, 2);
    inflate_put_codes(&writer, &codes[0], &codes[1]);
    inflate_put(&writer, tail, tail_bits);
    return (writer.bits + 7) / 8;
}

/* `before` stored bytes, then matches of three as far away as there is. */
static size_t farthest(uint8_t *to, size_t room, size_t before) {
    struct inflate_writer writer = {to, room, 0};
    inflate_put(&writer, 0, 8);
    inflate_put(&writer, (uint32_t)(before | ~before << 16), 32);
    for (size_t i = 0; i < before; i++) {
        inflate_put(&writer, (uint32_t)(i * 7 + i / 251), 8);
    }
    inflate_put(&writer, 3, 3);
    for (size_t i = 0; i < 200; i++) {
        inflate_put(&writer, 0x40, 7);                /* 257 */
        inflate_put(&writer, 0x17 | 0x1fff << 5, 18); /* 29, and all extra bits */
    }
    inflate_put(&writer, 0, 7);
    return (writer.bits + 7) / 8;
}

static void special_streams(void **state) {
    (void)state;
    static uint8_t stored[40][1000];
    struct subject subjects[40];
    size_t n = 0;
    const struct {
        const char *bytes;
        size_t count;
    } raw[] = {
        {"", 0},                             /* nothing */
        {"\x03\x00", 2},                     /* empty fixed block */
        {"\x07\x00", 2},                     /* reserved type */
        {"\x01\x00\x00\xff\xff", 5},         /* empty stored block */
        {"\x01\x01\x00\xff\xff", 5},         /* its length does not fit */
        {"\x00\x00\x00\xff\xff\x03\x00", 7}, /* stored, then fixed */
        {"\x63\x18\x05\x00", 4},             /* cut in the second symbol */
        {"\x4b\x04\x02\x00", 4},
        {"\x4b\x04\x00\x00", 4},
        {"\x03\x02\x00", 3},
        {"\x1b\x18\x05", 3}, /* symbols 286 and 287 */
        {"\x1b\x1f\x05", 3},
        {"\xfd\xff\xff\xff", 4}, /* HLIT 287 and more */
        {"\x05\xe0\x81\x08\x00\x00\x00\x00\x20\x7f\xeb\x0b\x00\x00", 14},
        {"\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
         "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
         "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
         60},                    /* a code of code lengths that has no codes */
        {"\x04\x00\xfe\xff", 4}, /* one that is over-subscribed */
    };
    for (; n < sizeof raw / sizeof raw[0]; n++) {
        memcpy(stored[n], raw[n].bytes, raw[n].count);
        subjects[n] = (struct subject){.data = stored[n], .bytes = raw[n].count};
    }
    /* Code lengths: {symbol, length} pairs of literals and lengths, then of distances. */
    static const struct {
        uint16_t litlen[5][2];
        uint8_t dist[4][2];
        uint32_t tail;
    } sets[] = {
        {{{256, 1}}, {{0, 0}}, 0x0},                     /* only an end: a single code */
        {{{256, 1}}, {{0, 0}}, 0x1},                     /* its other half means nothing */
        {{{256, 2}}, {{0, 0}}, 0x0},                     /* incomplete */
        {{{65, 1}, {256, 1}}, {{0, 0}}, 0x2},            /* complete, no distances */
        {{{65, 1}, {256, 2}, {257, 2}}, {{0, 0}}, 0x6},  /* a match without distances */
        {{{65, 1}, {256, 2}, {257, 2}}, {{0, 1}}, 0x36}, /* one distance code of one bit */
        {{{65, 1}, {256, 2}, {257, 2}}, {{0, 1}}, 0x1e}, /* and its other half */
        {{{65, 1}, {256, 2}, {257, 2}}, {{0, 2}}, 0x36}, /* one of two bits: incomplete */
        {{{65, 1}, {256, 2}, {257, 2}}, {{0, 1}, {1, 1}}, 0x36},
        {{{65, 1}, {256, 2}, {257, 2}}, {{0, 1}, {29, 1}}, 0xfffffffe}, /* too far */
        {{{65, 1}, {256, 1}, {257, 1}}, {{0, 1}}, 0x2},                 /* over-subscribed */
        {{{65, 1}, {66, 2}, {257, 2}}, {{0, 1}}, 0x2},                  /* no end */
        {{{65, 1}, {256, 2}, {257, 2}}, {{0, 1}, {1, 1}, {2, 1}}, 0x36},
        {{{65, 1}, {256, 3}, {257, 3}}, {{0, 1}}, 0x36}, /* incomplete */
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++, n++) {
        uint8_t litlen[288] = {0}, dist[32] = {0};
        for (size_t k = 0; k < 5; k++) {
            litlen[sets[i].litlen[k][0]] |= (uint8_t)sets[i].litlen[k][1];
        }
        for (size_t k = 0; k < 4; k++) {
            dist[sets[i].dist[k][0]] |= sets[i].dist[k][1];
        }
        size_t bytes =
            block_of(stored[n], sizeof stored[n], litlen, 258, dist, 30, sets[i].tail, 32);
        subjects[n] = (struct subject){.data = stored[n], .bytes = bytes};
    }
    static uint8_t far[2][40000];
    for (size_t i = 0; i < 2; i++, n++) {
        size_t bytes = farthest(far[i], sizeof far[i], 32768 - i); /* one byte too few */
        subjects[n] = (struct subject){.data = far[i], .bytes = bytes};
    }
    size_t sound = 0, refused = 0;
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = n - i < LANES ? n - i : LANES;
        must_hold("special", i, subjects + i, count, false);
        for (size_t k = i; k < i + count; k++) {
            sound += subjects[k].judge.sound;
            refused += subjects[k].judge.refused;
        }
    }
    print_message("%zu special streams: %zu sound, %zu refused\n", n, sound, refused);
    assert_true(sound >= 8 && refused >= 15);
}

/* ---- Tables ---- */

/* No complete code needs more entries than there are, and each word finds its symbol. */
static void tables(void **state) {
    (void)state;
    static uint32_t table[VARVE_INFLATE_LITLEN_ENTRIES + 1];
    static struct inflate_code made;
    for (size_t round = 0; round < 3000; round++) {
        bool dist = round % 2;
        unsigned symbols = dist ? 32 : 288;
        unsigned root = dist ? DIST_ROOT : ROOT;
        size_t entries = dist ? VARVE_INFLATE_DIST_ENTRIES : VARVE_INFLATE_LITLEN_ENTRIES;
        unsigned count =
            round % 10 < 5 ? symbols : 2 + (unsigned)inflate_random_below(&dice, symbols - 1);
        inflate_random_code(&made, symbols, count, 0, inflate_random_below(&dice, 3) != 0, &dice);
        struct code code;
        assert_true(sort_code(&code, made.lengths, symbols));
        memset(table, 0xee, sizeof table);
        if (dist) {
            fill_table(table, root, &code, dist_entry, NULL);
        } else {
            uint16_t words[32];
            fill_table(table, root, &code, litlen_entry, words);
        }
        for (size_t i = entries; i < sizeof table / sizeof table[0]; i++) {
            assert_int_equal(table[i], 0xeeeeeeee);
        }
        for (unsigned i = 0; i < symbols; i++) {
            if (made.lengths[i]) {
                uint32_t want =
                    dist ? dist_entry(i, made.lengths[i]) : litlen_entry(i, made.lengths[i]);
                assert_int_equal(look_up(table, root, made.words[i]), want);
            }
        }
    }
}

/* ---- Wrong kernels ---- */

static void mutant_forgets_last(struct varve_inflate_stream *const *streams, size_t count) {
    varve_inflate_scalar(streams, count > 1 ? count - 1 : count);
    if (count > 1) {
        streams[count - 1]->stop = VARVE_INFLATE_STOP_END;
    }
}
static void mutant_swaps(struct varve_inflate_stream *const *streams, size_t count) {
    const uint8_t *out = count ? streams[0]->out : NULL;
    varve_inflate_scalar(streams, count);
    if (count > 1 && streams[0]->out > out && streams[1]->stop == VARVE_INFLATE_STOP_FAULT) {
        streams[0]->out[-1] ^= 1; /* a neighbour's fault shows */
    }
}
static void mutant_misplaces(struct varve_inflate_stream *const *streams, size_t count) {
    varve_inflate_scalar(streams, count);
    for (size_t i = 0; i < count; i++) {
        streams[i]->fault_back += streams[i]->fault_back > 1 ? (uint32_t)-1 : 1;
    }
}
static void mutant_short_sighted(struct varve_inflate_stream *const *streams, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (streams[i]->out - streams[i]->earliest > 32767) {
            streams[i]->earliest = streams[i]->out - 32767;
        }
    }
    varve_inflate_scalar(streams, count);
}
static void mutant_forgets_bits(struct varve_inflate_stream *const *streams, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (streams[i]->count > 14) {
            streams[i]->bits &= 0x3fff;
        }
    }
    varve_inflate_scalar(streams, count);
}
static void mutant_takes_all(struct varve_inflate_stream *const *streams, size_t count) {
    varve_inflate_scalar(streams, count);
    for (size_t i = 0; i < count; i++) {
        if (streams[i]->stop == VARVE_INFLATE_STOP_END) {
            streams[i]->in = streams[i]->in_end;
        }
    }
}
static void mutant_counts_on(struct varve_inflate_stream *const *streams, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (streams[i]->log) {
            streams[i]->log->in_left = SIZE_MAX;
        }
    }
    varve_inflate_scalar(streams, count);
}
static void mutant_miscounts(struct varve_inflate_stream *const *streams, size_t count) {
    varve_inflate_scalar(streams, count);
    if (count && streams[0]->log) {
        streams[0]->log->cut.short_matches++;
    }
}

static void wrong_kernels(void **state) {
    (void)state;
    static const struct {
        const char *name;
        varve_inflate_run_fn *run;
    } mutants[] = {
        {"forgets the last lane", mutant_forgets_last},
        {"shows a neighbour's fault", mutant_swaps},
        {"misplaces faults", mutant_misplaces},
        {"reaches 32767 back", mutant_short_sighted},
        {"forgets held bits", mutant_forgets_bits},
        {"takes what follows", mutant_takes_all},
        {"miscounts", mutant_miscounts},
        {"counts beyond its log", mutant_counts_on},
    };
    static uint8_t content[70000];
    static uint8_t stored[5][80000];
    struct subject subjects[5];
    fill(content, sizeof content, 3);
    for (size_t i = 0; i < 5; i++) {
        subjects[i].data = stored[i];
        subjects[i].bytes =
            deflate_raw(stored[i], sizeof stored[i] - 9, content, i ? 3000 : sizeof content, 9, 0);
    }
    subjects[1].bytes = 1000;
    stored[1][100] ^= 0x40; /* a fault, after some bytes */
    stored[1][101] ^= 0xff;
    subjects[2].bytes += 9; /* something follows */
    subjects[3].bytes = farthest(stored[3], sizeof stored[3], 32768);
    for (size_t i = 0; i < 5; i++) {
        do {
            assert_null(describe(&subjects[i], judged[i]));
        } while (i == 0 && subjects[i].log_bytes > subjects[i].bytes / 2); /* a log that ends */
    }
    assert_true(subjects[3].judge.sound);
    if (!subjects[1].judge.refused) { /* whatever these bytes are: this is none */
        memcpy(stored[1], "\x07", 1);
        assert_null(describe(&subjects[1], judged[1]));
    }
    assert_true(subjects[1].judge.refused);
    for (size_t m = 0; m < sizeof mutants / sizeof mutants[0]; m++) {
        bool rejected = false;
        for (size_t round = 0; round < 20 && !rejected; round++) {
            const struct inflate_cut cut = {round < 10 ? 40 : 70000, 9000, 0, round % 2};
            size_t which;
            rejected = check(subjects, 5, &cut, mutants[m].run, &which) != NULL;
        }
        if (!rejected) {
            fail_msg("nobody minds a kernel that %s", mutants[m].name);
        }
    }
}

static int open_lanes(void **state) {
    (void)state;
    const char *seed = getenv("VARVE_TEST_SEED");
    dice.state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    print_message("VARVE_TEST_SEED=%llu\n", (unsigned long long)dice.state);
    for (size_t i = 0; i < INFLATE_LANES_MOST; i++) {
        inflate_lane_open(&lanes[i], MADE_ROOM);
    }
    rows = inflate_rows_here();
    for (size_t i = 0; i < varve_inflate_row_count; i++) {
        if (!(rows & 1u << i)) {
            print_message("SKIPPED: %s: not on this CPU\n", varve_inflate_rows[i].name);
        }
    }
    return 0;
}

static int close_lanes(void **state) {
    (void)state;
    for (size_t i = 0; i < INFLATE_LANES_MOST; i++) {
        inflate_lane_close(&lanes[i]);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),       cmocka_unit_test(special_streams),
        cmocka_unit_test(real_streams), cmocka_unit_test(random_streams),
        cmocka_unit_test(damage),       cmocka_unit_test(wrong_kernels),
    };
    return cmocka_run_group_tests(tests, open_lanes, close_lanes);
}
