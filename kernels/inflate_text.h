/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/inflate_text.h - what all inflate kernels share: block headers, tables, and the careful
 * step of one symbol, which counts bits and stops anywhere. The loops only do what is frequent.
 *
 * Entries of the literal/length table, 32 bits:
 *   literal      bits of the code | value << 8 | 1 << 31
 *   match        0 | length << 16 | 1 << 22 for a length of 3 |
 *                (bits of the code and of its extra bits) << 24: the extra bits are part of the
 *                index; length <= COPY_BYTES
 *   long match   0 | bits of the code << 8 | extra bits << 12 | base << 15 | 63 << 24
 *   exception    63 | bits << 8 | kind << 12 | what << 16
 * and of the distance table:
 *   distance     (bits of the code and extra bits) | bits of the code << 8 | base << 16
 *   exception    as above
 * An exception shifts all bits out of a 64-bit word, and so does a long match where a match's bits
 * are taken: a loop sees it there.
 */
#ifndef VARVE_KERNELS_INFLATE_TEXT_H
#define VARVE_KERNELS_INFLATE_TEXT_H

#include <string.h>

#include "inflate.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bits are loaded eight bytes at a time, lowest first"
#endif

#define INLINE static inline __attribute__((always_inline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum { ROOT = VARVE_INFLATE_LITLEN_BITS, DIST_ROOT = VARVE_INFLATE_DIST_BITS };
#define ROOT_MASK ((1u << ROOT) - 1)
#define DIST_MASK ((1u << DIST_ROOT) - 1)

/* The longest match that the loops copy, in one piece; the first length with extra bits, and the
 * first of which all are longer. */
enum { COPY_BYTES = 32, LENGTHS_PLAIN = 265, LENGTHS_LONG = 273 };

/* What a lane whose item ends in a literal takes for a distance: no bits, no length. */
#define NULL_DIST VARVE_INFLATE_DIST_ENTRIES

enum phase { HEADER, STORED_LENGTH, STORED, COUNTS, PRECODE, LENGTHS, CODES, ENDED, BROKEN };

enum kind { KIND_SUBTABLE, KIND_END, KIND_INVALID };

#define LITERAL_FLAG 0x80000000u
#define SHORT_FLAG (1u << 22)
#define LONG_MATCH (63u << 24)
#define EXCEPTION(kind, bits, what)                                                                \
    (63u | (uint32_t)(bits) << 8 | (uint32_t)(kind) << 12 | (uint32_t)(what) << 16)
INLINE unsigned exception_bits(uint32_t entry) {
    return entry >> 8 & 15;
}
INLINE enum kind exception_kind(uint32_t entry) {
    return (enum kind)(entry >> 12 & 3);
}

INLINE uint64_t load64(const uint8_t *from) {
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

INLINE void copy32(uint8_t *to, const uint8_t *from) {
    typedef uint8_t piece __attribute__((vector_size(32), aligned(1), may_alias));
    *(piece *)to = *(const piece *)from;
}

/* ---- Tables ---- */

/* RFC 1951, 3.2.5: lengths 257..285 (their extra bits are `>> 12`, their least `& 0x1ff`) and
 * distances 0..29. */
static const uint16_t length_codes[29] = {
    0x0003, 0x0004, 0x0005, 0x0006, 0x0007, 0x0008, 0x0009, 0x000a, 0x100b, 0x100d,
    0x100f, 0x1011, 0x2013, 0x2017, 0x201b, 0x201f, 0x3023, 0x302b, 0x3033, 0x303b,
    0x4043, 0x4053, 0x4063, 0x4073, 0x5083, 0x50a3, 0x50c3, 0x50e3, 0x0102};
INLINE unsigned length_extra(unsigned symbol) {
    return length_codes[symbol - 257] >> 12;
}
INLINE unsigned length_base(unsigned symbol) {
    return length_codes[symbol - 257] & 0x1ff;
}
INLINE unsigned dist_extra(unsigned symbol) {
    return symbol < 4 ? 0 : symbol / 2 - 1;
}
INLINE unsigned dist_base(unsigned symbol) {
    return symbol < 4 ? symbol + 1 : ((2 + symbol % 2) << (symbol / 2 - 1)) + 1;
}

INLINE uint32_t match_entry(unsigned length, unsigned bits) {
    return (uint32_t)length << 16 | (length == 3 ? SHORT_FLAG : 0) | (uint32_t)bits << 24;
}

static inline uint32_t litlen_entry(unsigned symbol, unsigned bits) {
    if (symbol < 256) {
        return bits | symbol << 8 | LITERAL_FLAG;
    }
    if (symbol == 256 || symbol > 285) {
        return EXCEPTION(symbol == 256 ? KIND_END : KIND_INVALID, bits, 0);
    }
    unsigned extra = length_extra(symbol), base = length_base(symbol);
    return !extra && base <= COPY_BYTES ? match_entry(base, bits)
                                        : bits << 8 | extra << 12 | base << 15 | LONG_MATCH;
}

static inline uint32_t dist_entry(unsigned symbol, unsigned bits) {
    return symbol < 30 ? (bits + dist_extra(symbol)) | bits << 8 | dist_base(symbol) << 16
                       : EXCEPTION(KIND_INVALID, bits, 0);
}

/* The next code of the same length, bits reversed; `last` = (1 << bits) - 1, and code != last. */
INLINE uint32_t next_code(uint32_t code, uint32_t last) {
    uint32_t bit = 1u << (31 - __builtin_clz(code ^ last));
    return (code & (bit - 1)) | bit;
}

/* A canonical code: how many symbols of each length, and the symbols in order of their codes. */
struct code {
    uint16_t count[16];
    uint16_t sorted[320];
    unsigned longest;
};

/* False for a set that zlib refuses: over-subscribed, or incomplete and not a single code of one
 * bit. Both halves of the symbols are counted and sorted side by side, for neighbours have the same
 * length often and would wait for each other. */
static inline bool sort_code(struct code *code, const uint8_t *lengths, unsigned symbols) {
    uint16_t low[16] = {0}, high[16] = {0};
    const unsigned half = symbols / 2;
    for (unsigned i = 0; i < half; i++) {
        low[lengths[i]]++;
        high[lengths[half + i]]++;
    }
    if (symbols % 2) {
        high[lengths[symbols - 1]]++;
    }
    int left = 1;
    unsigned sum = 0;
    code->longest = 0;
    for (unsigned bits = 1; bits <= 16; bits++) {
        unsigned k = bits % 16; /* those without a code come last */
        unsigned count = (unsigned)low[k] + high[k];
        code->count[k] = (uint16_t)count;
        if (k) {
            left = 2 * left - (int)count;
            if (left < 0) {
                return false;
            }
            code->longest = count ? k : code->longest;
        }
        high[k] = (uint16_t)(sum + low[k]);
        low[k] = (uint16_t)sum;
        sum += count;
    }
    for (unsigned i = 0; i < half; i++) {
        code->sorted[low[lengths[i]]++] = (uint16_t)i;
        code->sorted[high[lengths[half + i]]++] = (uint16_t)(half + i);
    }
    if (symbols % 2) {
        code->sorted[high[lengths[symbols - 1]]] = (uint16_t)(symbols - 1);
    }
    return left == 0 || code->longest <= 1;
}

typedef uint32_t entry_fn(unsigned symbol, unsigned bits);

/* Codes longer than the root: tables behind the root's, each as wide as the longest code in it. */
INLINE void fill_subtables(uint32_t *table, unsigned root, const struct code *code,
                           const uint16_t *symbol, uint32_t word, unsigned bits, entry_fn *entry) {
    uint32_t end = 1u << root;
    uint32_t prefix = UINT32_MAX;
    uint32_t sub_bits = 0;
    unsigned left = code->count[bits];
    for (;;) {
        while (!left) {
            bits++;
            left = code->count[bits];
        }
        if ((word & ((1u << root) - 1)) != prefix) {
            prefix = word & ((1u << root) - 1);
            sub_bits = bits - root;
            for (uint32_t space = left; space < 1u << sub_bits;) {
                sub_bits++;
                space = 2 * space + code->count[root + sub_bits];
            }
            table[prefix] = EXCEPTION(KIND_SUBTABLE, sub_bits, end);
            end += 1u << sub_bits;
        }
        uint32_t *sub = table + (end - (1u << sub_bits));
        for (uint32_t i = word >> root; i < 1u << sub_bits; i += 1u << (bits - root)) {
            sub[i] = entry(*symbol, bits);
        }
        symbol++;
        left--;
        if (word == (1u << bits) - 1) {
            return;
        }
        word = next_code(word, (1u << bits) - 1);
    }
}

/* Puts the first `size` entries behind themselves, eight at a time: what goes beyond is put anew
 * when the table grows on, which it does to a multiple of eight. */
INLINE void double_table(uint32_t *table, uint32_t size) {
    for (uint32_t i = 0; i < size; i += 8) {
        copy32((uint8_t *)(table + size + i), (const uint8_t *)(table + i));
    }
}

/* The table of a sorted code. `words` (may be NULL) gets the code of each symbol from 257 on that
 * is no longer than the root. */
INLINE void fill_table(uint32_t *table, unsigned root, const struct code *code, entry_fn *entry,
                       uint16_t *words) {
    const uint16_t *symbol = code->sorted;
    if (code->longest <= 1 && code->count[1] < 2) {
        /* Nothing, or one code of one bit: what has no meaning is an invalid code of one bit. */
        table[0] = code->count[1] ? entry(*symbol, 1) : EXCEPTION(KIND_INVALID, 1, 0);
        table[1] = EXCEPTION(KIND_INVALID, 1, 0);
        for (uint32_t i = 2; i < 1u << root; i++) {
            table[i] = table[i % 2];
        }
        return;
    }
    uint32_t word = 0;
    for (unsigned bits = 1; bits <= root; bits++) {
        uint32_t size = 1u << bits;
        if (bits > 1) {
            double_table(table, size / 2);
        }
        for (unsigned n = code->count[bits]; n; n--, symbol++) {
            table[word] = entry(*symbol, bits);
            if (words && *symbol > 256) {
                words[*symbol - 257] = (uint16_t)word;
            }
            if (word == size - 1) {
                for (; bits < root; bits++, size *= 2) {
                    double_table(table, size);
                }
                return;
            }
            word = next_code(word, size - 1);
        }
    }
    unsigned bits = root + 1;
    while (!code->count[bits]) {
        bits++;
    }
    fill_subtables(table, root, code, symbol, word, bits, entry);
}

/* Matches whose extra bits fit into the index and that the loops can copy. */
static inline void fill_matches(uint32_t *table, const uint8_t *lengths, unsigned symbols,
                                const uint16_t *words) {
    for (unsigned symbol = LENGTHS_PLAIN; symbol < symbols && symbol < LENGTHS_LONG; symbol++) {
        unsigned bits = lengths[symbol];
        unsigned extra = length_extra(symbol);
        unsigned base = length_base(symbol);
        unsigned all = bits + extra;
        if (!bits || all > ROOT) {
            continue;
        }
        for (unsigned v = 0; v < 1u << extra && base + v <= COPY_BYTES; v++) {
            for (uint32_t i = words[symbol - 257] | v << bits; i <= ROOT_MASK; i += 1u << all) {
                table[i] = match_entry(base + v, all);
            }
        }
    }
}

static inline bool build_litlen(struct varve_inflate_stream *s) {
    struct code code;
    uint16_t words[32];
    if (!sort_code(&code, s->lengths, s->litlen_count)) {
        return false;
    }
    fill_table(s->litlen, ROOT, &code, litlen_entry, words);
    if (code.longest > 1) {
        fill_matches(s->litlen, s->lengths, s->litlen_count, words);
    }
    return true;
}

static inline bool build_dist(struct varve_inflate_stream *s) {
    struct code code;
    if (!sort_code(&code, s->lengths + s->litlen_count, s->dist_count)) {
        return false;
    }
    fill_table(s->dist, DIST_ROOT, &code, dist_entry, NULL);
    return true;
}

/* Entries of the code of code lengths:
 *   bits of the code | extra bits << 4 | (times - 1) << 8 | length << 16 | 255 << 24 to repeat the
 *   length before
 */
INLINE uint32_t precode_entry(unsigned symbol, unsigned bits) {
    static const uint32_t repeats[3] = {2 << 4 | 2 << 8 | 255u << 24, 3 << 4 | 2 << 8,
                                        7 << 4 | 10 << 8};
    return bits | (symbol < 16 ? symbol << 16 : repeats[symbol - 16]);
}

/* It must be complete, but may be empty: then zlib takes each bit for the length 0. */
static inline bool build_precode(struct varve_inflate_stream *s, const uint8_t lengths[19]) {
    struct code code;
    if (!sort_code(&code, lengths, 19) || (code.longest == 1 && code.count[1] == 1)) {
        return false;
    }
    const unsigned all = sizeof s->precode / sizeof s->precode[0];
    if (!code.longest) {
        for (unsigned i = 0; i < all; i++) {
            s->precode[i] = precode_entry(0, 1);
        }
        return true;
    }
    uint32_t word = 0;
    const uint16_t *symbol = code.sorted;
    for (unsigned bits = 1; bits <= code.longest; bits++) {
        for (unsigned n = code.count[bits]; n; n--, symbol++) {
            uint32_t entry = precode_entry(*symbol, bits);
            for (uint32_t i = word; i < all; i += 1u << bits) {
                s->precode[i] = entry;
            }
            if (word == (1u << bits) - 1) {
                return true;
            }
            word = next_code(word, (1u << bits) - 1);
        }
    }
    return true;
}

static inline void build_fixed(struct varve_inflate_stream *s) {
    if (s->fixed) {
        return;
    }
    memset(s->lengths, 8, 144);
    memset(s->lengths + 144, 9, 112);
    memset(s->lengths + 256, 7, 24);
    memset(s->lengths + 280, 8, 8);
    memset(s->lengths + 288, 5, 32);
    s->litlen_count = 288;
    s->dist_count = 32;
    build_litlen(s);
    build_dist(s);
    s->fixed = true;
}

/* ---- Bits ---- */

/* Takes in what there is, at least 56 bits where there are so many. */
INLINE void refill(struct varve_inflate_stream *s) {
    if (likely(s->in_end - s->in >= 8)) {
        s->bits |= load64(s->in) << s->count;
        s->in += (63 - s->count) >> 3;
        s->count |= 56;
        return;
    }
    while (s->count < 56 && s->in < s->in_end) {
        s->bits |= (uint64_t)*s->in++ << s->count;
        s->count += 8;
    }
}

INLINE void consume(struct varve_inflate_stream *s, unsigned bits) {
    s->bits >>= bits;
    s->count -= bits;
}

INLINE bool need(struct varve_inflate_stream *s, unsigned bits) {
    if (s->count < bits) {
        refill(s);
    }
    return s->count >= bits;
}

INLINE uint32_t low(uint64_t word, unsigned bits) {
    return (uint32_t)word & ((1u << bits) - 1);
}

/* Gives back the whole bytes that are held. They are of this run's input: when a stream stopped for
 * input, what it held was less than a symbol, so that whatever was consumed since took all of it.
 */
static inline void unread(struct varve_inflate_stream *s) {
    ptrdiff_t bytes = s->count / 8;
    bytes = bytes < s->in - s->begin ? bytes : s->in - s->begin;
    s->in -= bytes;
    s->count -= 8 * (uint32_t)bytes;
    s->bits &= (UINT64_C(1) << s->count) - 1;
}

/* ---- Steps ---- */

enum step { STEP_ON, STEP_INPUT, STEP_OUTPUT, STEP_END, STEP_FAULT };

/* A fault in the byte of the bit that lies `bits` (0: the last one consumed) ahead. */
static inline enum step fault_at(struct varve_inflate_stream *s, unsigned bits) {
    s->fault_back = (s->count - bits + 7) / 8;
    s->phase = BROKEN;
    return STEP_FAULT;
}
/* In the byte that holds the last bit consumed. */
static inline enum step fault_here(struct varve_inflate_stream *s) {
    s->fault_back = s->count / 8 + 1;
    s->phase = BROKEN;
    return STEP_FAULT;
}

/* Output since the last look belongs to the block under way. */
static inline void log_bytes(struct varve_inflate_stream *s) {
    if (s->log) {
        s->log->cut.decoded_bytes += (size_t)(s->out - s->counted);
    }
    s->counted = s->out;
}

/* No more is counted, whatever input there still is. */
static inline void log_over(struct varve_inflate_stream *s) {
    log_bytes(s);
    s->log = NULL;
    s->in_end = s->in_all;
}

INLINE void log_match(struct varve_inflate_stream *s, unsigned length) {
    if (s->log) {
        s->log->cut.matches++;
        s->log->cut.short_matches += length == 3;
    }
}

INLINE void log_literal(struct varve_inflate_stream *s) {
    if (s->log) {
        s->log->cut.literals++;
    }
}

static inline enum step header(struct varve_inflate_stream *s) {
    if (!need(s, 3)) {
        return STEP_INPUT;
    }
    unsigned type = low(s->bits, 3) >> 1;
    s->final = s->bits & 1;
    consume(s, 3);
    if (s->log) {
        s->log->cut.type = (uint8_t)type;
        s->log->cut.final = s->final;
    }
    switch (type) {
    case 0:
        consume(s, s->count % 8);
        s->phase = STORED_LENGTH;
        return STEP_ON;
    case 1:
        build_fixed(s);
        s->phase = CODES;
        return STEP_ON;
    case 2:
        s->phase = COUNTS;
        return STEP_ON;
    default:
        return fault_here(s);
    }
}

static inline enum step block_over(struct varve_inflate_stream *s) {
    log_bytes(s);
    struct varve_inflate_log *log = s->log;
    if (log) {
        log->each[log->count++] = log->cut;
        memset(&log->cut, 0, sizeof log->cut);
        s->log = s->final || log->count == VARVE_INFLATE_LOG_BLOCKS ? NULL : log;
    }
    s->phase = s->final ? ENDED : HEADER;
    return STEP_ON;
}

static inline enum step stored_length(struct varve_inflate_stream *s) {
    if (!need(s, 32)) {
        return STEP_INPUT;
    }
    uint32_t both = (uint32_t)s->bits;
    consume(s, 32);
    if ((both & 0xffff) != (~both >> 16)) {
        return fault_here(s);
    }
    s->left = both & 0xffff;
    s->phase = STORED;
    unread(s);
    return STEP_ON;
}

static inline enum step stored(struct varve_inflate_stream *s) {
    size_t n = (size_t)(s->in_end - s->in);
    size_t room = (size_t)(s->out_stop - s->out);
    n = n < s->left ? n : s->left;
    n = n < room ? n : room;
    memcpy(s->out, s->in, n);
    s->in += n;
    s->out += n;
    s->left -= (uint32_t)n;
    if (!s->left) {
        return block_over(s);
    }
    return s->in < s->in_end ? STEP_OUTPUT : STEP_INPUT;
}

static inline enum step counts(struct varve_inflate_stream *s) {
    if (!need(s, 14)) {
        return STEP_INPUT;
    }
    s->litlen_count = (uint16_t)(257 + low(s->bits, 5));
    s->dist_count = (uint16_t)(1 + low(s->bits >> 5, 5));
    s->precode_count = (uint16_t)(4 + low(s->bits >> 10, 4));
    consume(s, 14);
    if (s->litlen_count > 286 || s->dist_count > 30) {
        return fault_here(s);
    }
    s->have = 0;
    s->fixed = false;
    s->phase = PRECODE;
    return STEP_ON;
}

static inline enum step precode(struct varve_inflate_stream *s) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    for (; s->have < s->precode_count; s->have++) {
        if (!need(s, 3)) {
            return STEP_INPUT;
        }
        s->lengths[s->have] = (uint8_t)low(s->bits, 3);
        consume(s, 3);
    }
    uint8_t lengths[19] = {0};
    for (unsigned i = 0; i < s->have; i++) {
        lengths[order[i]] = s->lengths[i];
    }
    if (!build_precode(s, lengths)) {
        return fault_here(s);
    }
    s->have = 0;
    s->phase = LENGTHS;
    return STEP_ON;
}

static inline enum step lengths_over(struct varve_inflate_stream *s) {
    if (!s->lengths[256] || !build_litlen(s) || !build_dist(s)) {
        return fault_here(s);
    }
    s->phase = CODES;
    return STEP_ON;
}

/* Code lengths, run-length coded (RFC 1951, 3.2.7). What is decoded lies in a copy, so that the
 * bits may stay in registers, and is 0 where nothing was put yet: only other lengths need be, of
 * which no more than six come at once. */
static inline enum step lengths(struct varve_inflate_stream *s) {
    const unsigned all = s->litlen_count + s->dist_count;
    uint8_t made[sizeof s->lengths + 32] = {0};
    unsigned have = s->have;
    for (unsigned i = 0; i < have; i += 32) {
        copy32(made + i, s->lengths + i);
    }
    memset(made + have, 0, 32);
    uint64_t length = have ? made[have - 1] : 0;
    enum step why = STEP_ON;
    for (unsigned k = 0; have < all; k++) {
        if (k % 4 == 0) {
            refill(s); /* four take at most 56 bits */
        }
        uint32_t entry = s->precode[low(s->bits, 7)];
        unsigned bits = entry & 15, extra = entry >> 4 & 15;
        if (unlikely(bits + extra > s->count)) {
            why = STEP_INPUT;
            break;
        }
        unsigned n = 1 + (entry >> 8 & 15) + low(s->bits >> bits, extra);
        bool orphan = (entry >> 24) & (have == 0); /* repeats what is not there */
        consume(s, bits + extra);
        if (unlikely(orphan | (n > all - have))) {
            return fault_here(s);
        }
        length = (entry >> 16 & 15) | (length & entry >> 24);
        uint64_t six = length * UINT64_C(0x010101010101) & ((UINT64_C(1) << 8 * (n & 7)) - 1);
        memcpy(made + have, &six, sizeof six);
        have += n;
    }
    for (unsigned i = 0; i < sizeof s->lengths; i += 32) {
        copy32(s->lengths + i, made + i);
    }
    s->have = (uint16_t)have;
    return why == STEP_ON ? lengths_over(s) : why;
}

INLINE bool is_match(uint32_t entry) {
    return !(entry & 0xff);
}

/* The length that the entry of a match means, whose code begins in `word`. `bits` gets what is used
 * by that code and its extra bits. */
INLINE unsigned match_length(uint32_t entry, uint64_t word, unsigned *bits) {
    *bits = entry >> 24;
    if (likely(entry < LONG_MATCH)) {
        return entry >> 16 & 63;
    }
    unsigned code = entry >> 8 & 15;
    unsigned extra = entry >> 12 & 7;
    *bits = code + extra;
    return (entry >> 15 & 0x1ff) + low(word >> code, extra);
}

INLINE uint32_t look_up(const uint32_t *table, unsigned root, uint64_t word) {
    uint32_t entry = table[word & ((1u << root) - 1)];
    if ((entry & 0xff) == 63 && exception_kind(entry) == KIND_SUBTABLE) {
        entry = table[(entry >> 16) + low(word >> root, exception_bits(entry))];
    }
    return entry;
}

/* Any match; writes up to 31 bytes beyond it. */
INLINE void copy_any(uint8_t *to, size_t dist, unsigned length) {
    const uint8_t *from = to - dist;
    const uint8_t *end = to + length;
    if (dist >= 32) {
        do {
            copy32(to, from);
            to += 32;
            from += 32;
        } while (to < end);
    } else if (dist == 1) {
        memset(to, *from, length);
    } else {
        /* Eight bytes, of which as many stand as a step is wide; what repeats comes again. */
        size_t step = dist < 8 ? dist : 8;
        do {
            uint64_t word = load64(from);
            memcpy(to, &word, sizeof word);
            to += step;
            from += step;
        } while (to < end);
    }
}

/* A match of `length`, whose code and extra bits are the first `used` ones held. */
static inline enum step match(struct varve_inflate_stream *s, unsigned length, unsigned used) {
    if (used > s->count) {
        return STEP_INPUT;
    }
    uint64_t word = s->bits >> used;
    uint32_t entry = look_up(s->dist, DIST_ROOT, word);
    bool exception = (entry & 0xff) == 63;
    unsigned code = exception ? exception_bits(entry) : entry >> 8 & 15;
    if (used + code > s->count) {
        return STEP_INPUT;
    }
    if (exception) {
        return fault_at(s, used);
    }
    if (used + (entry & 0xff) > s->count) {
        return STEP_INPUT;
    }
    size_t dist = (entry >> 16) + (low(word, entry & 0xff) >> code);
    if (dist > (size_t)(s->out - s->earliest)) {
        return fault_at(s, used + (entry & 0xff) - 1);
    }
    copy_any(s->out, dist, length);
    s->out += length;
    log_match(s, length);
    consume(s, used + (entry & 0xff));
    return STEP_ON;
}

static inline enum step symbol(struct varve_inflate_stream *s) {
    if (s->count < 48) {
        refill(s);
    }
    uint32_t entry = look_up(s->litlen, ROOT, s->bits);
    unsigned bits = entry & 0xff;
    if (entry & LITERAL_FLAG) {
        if (bits > s->count) {
            return STEP_INPUT;
        }
        *s->out++ = (uint8_t)(entry >> 8);
        log_literal(s);
        consume(s, bits);
        return STEP_ON;
    }
    if (is_match(entry)) {
        unsigned length = match_length(entry, s->bits, &bits);
        return match(s, length, bits);
    }
    bits = exception_bits(entry);
    if (bits > s->count) {
        return STEP_INPUT;
    }
    if (exception_kind(entry) == KIND_END) {
        consume(s, bits);
        return block_over(s);
    }
    return fault_at(s, 0);
}

static inline enum step step_phase(struct varve_inflate_stream *s) {
    if (s->phase == BROKEN) {
        return STEP_FAULT;
    }
    if (s->phase == ENDED) {
        return STEP_END;
    }
    if (s->out >= s->out_stop) {
        return STEP_OUTPUT;
    }
    switch (s->phase) {
    case HEADER:
        return header(s);
    case STORED_LENGTH:
        return stored_length(s);
    case STORED:
        return stored(s);
    case COUNTS:
        return counts(s);
    case PRECODE:
        return precode(s);
    case LENGTHS:
        return lengths(s);
    default:
        return symbol(s);
    }
}

static inline enum step step(struct varve_inflate_stream *s) {
    enum step why = step_phase(s);
    if (why == STEP_INPUT && s->in_end != s->in_all) {
        log_over(s);
        why = STEP_ON;
    }
    return why;
}

/* Before a run. While there is a log, the input ends where the log does. */
static inline void enter(struct varve_inflate_stream *s) {
    s->begin = s->in;
    s->in_all = s->in_end;
    if (s->log && (size_t)(s->in_end - s->in) > s->log->in_left) {
        s->in_end = s->in + s->log->in_left;
    }
    s->start = s->counted = s->out;
    s->special = false;
    s->dist[NULL_DIST] = 0;
}

/* The stream stops: tells why. */
static inline void settle(struct varve_inflate_stream *s, enum step why) {
    static const enum varve_inflate_stop stops[] = {
        [STEP_INPUT] = VARVE_INFLATE_STOP_INPUT,
        [STEP_OUTPUT] = VARVE_INFLATE_STOP_OUTPUT,
        [STEP_END] = VARVE_INFLATE_STOP_END,
        [STEP_FAULT] = VARVE_INFLATE_STOP_FAULT,
    };
    s->stop = stops[why];
    s->in_end = s->in_all;
    log_bytes(s);
    if (why == STEP_END || why == STEP_OUTPUT) {
        unread(s);
    }
    if (why == STEP_END) {
        s->count = 0;
        s->bits = 0;
    }
    if (s->log) {
        s->log->in_left -= (size_t)(s->in - s->begin);
    }
}

#endif
