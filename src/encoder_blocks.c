/* SPDX-License-Identifier: Apache-2.0 */
/* src/encoder_blocks.c - counts the symbols of the first blocks of a deflate stream. */
#include "encoder_blocks.h"

#include <string.h>

#define CODE_BITS_MAX 15u
#define LITERALS 288u /* literals, end of block, lengths; two of them mean nothing */
#define DISTANCES 32u
#define END_OF_BLOCK 256u

/* Codes up to this long are found by one look at a table, longer ones bit by bit: they are rare. */
#define LOOK_BITS 10u

struct bits {
    const uint8_t *at;
    const uint8_t *end;
    uint64_t value;
    unsigned count;
    unsigned beyond; /* bits of zeros that were put behind the end */
};

/* A canonical Huffman code. */
struct code {
    uint16_t look[1u << LOOK_BITS]; /* symbol * 16 + length, 0: a longer code, or none */
    uint16_t count[CODE_BITS_MAX + 1];
    uint16_t symbols[LITERALS]; /* in order of their codes */
};

struct codes {
    struct code literals;
    struct code distances;
};

/* At least 56 bits. Above those that count there may be more of what comes next. */
static inline __attribute__((always_inline)) void refill(struct bits *bits) {
    if (bits->end - bits->at >= 8) {
        uint64_t word;
        memcpy(&word, bits->at, sizeof word); /* little-endian, as all of varve is */
        bits->value |= word << bits->count;
        bits->at += (63 - bits->count) >> 3;
        bits->count |= 56;
        return;
    }
    while (bits->count < 56) {
        if (bits->at < bits->end) {
            bits->value |= (uint64_t)*bits->at++ << bits->count;
        } else {
            bits->beyond += 8;
        }
        bits->count += 8;
    }
}

/* True where bits were taken that are not there. */
static inline bool overrun(const struct bits *bits) {
    return bits->beyond > bits->count;
}

/* At most 16 bits, of those that the last refill brought. */
static inline unsigned take(struct bits *bits, unsigned count) {
    unsigned value = (unsigned)(bits->value & ((UINT64_C(1) << count) - 1));
    bits->value >>= count;
    bits->count -= count;
    return value;
}

static void build(struct code *code, const uint8_t *lengths, unsigned symbol_count) {
    uint16_t first[CODE_BITS_MAX + 2] = {0}; /* where a length's symbols begin */
    uint16_t next[CODE_BITS_MAX + 2] = {0};  /* its next code */
    memset(code->look, 0, sizeof code->look);
    memset(code->count, 0, sizeof code->count);
    for (unsigned i = 0; i < symbol_count; i++) {
        code->count[lengths[i]]++;
    }
    code->count[0] = 0;
    for (unsigned n = 1; n <= CODE_BITS_MAX; n++) {
        first[n + 1] = (uint16_t)(first[n] + code->count[n]);
        next[n + 1] = (uint16_t)((next[n] + code->count[n]) << 1);
    }
    for (unsigned i = 0; i < symbol_count; i++) {
        unsigned n = lengths[i];
        if (!n) {
            continue;
        }
        code->symbols[first[n]++] = (uint16_t)i;
        unsigned straight = next[n]++;
        unsigned turned = 0; /* codes lie in the stream with their highest bit first */
        for (unsigned k = 0; k < n; k++, straight >>= 1) {
            turned = turned << 1 | (straight & 1);
        }
        for (; n <= LOOK_BITS && turned < 1u << LOOK_BITS; turned += 1u << n) {
            code->look[turned] = (uint16_t)(i << 4 | n);
        }
    }
}

/* The next symbol, or UINT16_MAX where the bits mean none. */
static inline __attribute__((always_inline)) unsigned symbol(struct bits *bits,
                                                             const struct code *code) {
    unsigned found = code->look[bits->value & ((1u << LOOK_BITS) - 1)];
    if (found) {
        take(bits, found & 15);
        return found >> 4;
    }
    int value = 0, first = 0, index = 0;
    for (unsigned n = 1; n <= CODE_BITS_MAX; n++) {
        int count = code->count[n];
        value |= (int)take(bits, 1);
        if (value - count < first) {
            return code->symbols[index + (value - first)];
        }
        index += count;
        first = (first + count) << 1;
        value <<= 1;
    }
    return UINT16_MAX;
}

/* The codes of a block of type 1: RFC 1951, 3.2.6. */
static void fixed_codes(struct codes *codes) {
    uint8_t lengths[LITERALS];
    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    build(&codes->literals, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    build(&codes->distances, lengths, DISTANCES);
}

/* The codes of a block of type 2: RFC 1951, 3.2.7. False where there are none. */
static bool dynamic_codes(struct codes *codes, struct bits *bits) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[LITERALS + DISTANCES] = {0};
    refill(bits);
    unsigned literal_count = take(bits, 5) + 257;
    unsigned distance_count = take(bits, 5) + 1;
    unsigned length_count = take(bits, 4) + 4;
    for (unsigned i = 0; i < length_count; i++) {
        refill(bits);
        lengths[order[i]] = (uint8_t)take(bits, 3);
    }
    build(&codes->literals, lengths, sizeof order);
    memset(lengths, 0, sizeof order);
    for (unsigned i = 0; i < literal_count + distance_count;) {
        refill(bits);
        unsigned length = symbol(bits, &codes->literals);
        unsigned times = 1;
        uint8_t repeated = (uint8_t)length;
        if (length > 18 || (length == 16 && i == 0)) {
            return false;
        }
        if (length > 15) {
            static const struct { uint8_t least, bits; } runs[] = {{3, 2}, {3, 3}, {11, 7}};
            times = runs[length - 16].least + take(bits, runs[length - 16].bits);
            repeated = length == 16 ? lengths[i - 1] : 0;
        }
        if (times > literal_count + distance_count - i) {
            return false;
        }
        memset(lengths + i, repeated, times);
        i += times;
    }
    build(&codes->literals, lengths, literal_count);
    build(&codes->distances, lengths + literal_count, distance_count);
    return true;
}

/* Counts symbols up to the end of the block. False where the bytes end before, or make no sense. */
static inline __attribute__((always_inline)) bool
count_symbols_of(struct varve_inflate_block *block, struct bits *bits, const struct codes *codes) {
    static const uint16_t bases[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                       15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                       67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t extras[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                       2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    for (;;) {
        refill(bits);
        /* Two literals of fifteen bits leave what one of a table needs. */
        unsigned found = symbol(bits, &codes->literals);
        for (unsigned n = 0; found < END_OF_BLOCK && n < 2 && !overrun(bits); n++) {
            block->literals++;
            block->decoded_bytes++;
            found = symbol(bits, &codes->literals);
        }
        if (overrun(bits)) {
            return false;
        }
        if (found < END_OF_BLOCK) {
            block->literals++;
            block->decoded_bytes++;
            continue;
        }
        refill(bits);
        if (found == END_OF_BLOCK) {
            return true;
        }
        found -= END_OF_BLOCK + 1;
        if (found >= sizeof extras) {
            return false;
        }
        unsigned length = bases[found] + take(bits, extras[found]);
        unsigned distance = symbol(bits, &codes->distances);
        if (distance > 29) {
            return false;
        }
        take(bits, distance < 4 ? 0 : distance / 2 - 1);
        if (overrun(bits)) {
            return false;
        }
        block->matches++;
        block->short_matches += length == 3;
        block->decoded_bytes += length;
    }
}

/* The same on copies that nothing else points to: they can stay in registers. */
static bool count_symbols(struct varve_inflate_block *block, struct bits *bits,
                          const struct codes *codes) {
    struct varve_inflate_block counted = *block;
    struct bits left = *bits;
    bool whole = count_symbols_of(&counted, &left, codes);
    *block = counted;
    *bits = left;
    return whole;
}

/* A block of type 0. */
static bool skip_stored(struct varve_inflate_block *block, struct bits *bits) {
    refill(bits);
    take(bits, bits->count % 8);
    refill(bits);
    unsigned length = take(bits, 16);
    unsigned check = take(bits, 16);
    if (overrun(bits) || (length ^ check) != 0xffff) {
        return false;
    }
    /* Whole bytes that were read ahead are given back. */
    bits->at -= (bits->count - bits->beyond) / 8;
    bits->value = bits->count = bits->beyond = 0;
    size_t there = (size_t)(bits->end - bits->at);
    block->decoded_bytes = there < length ? there : length;
    bits->at += block->decoded_bytes;
    return there >= length;
}

void varve_encoder_blocks_read(struct varve_inflate_log *log, const uint8_t *data, size_t count) {
    struct bits bits = {.at = data, .end = data + count};
    struct codes codes;
    memset(log, 0, sizeof *log);
    while (log->count < VARVE_INFLATE_LOG_BLOCKS) {
        struct varve_inflate_block *block = &log->cut;
        refill(&bits);
        block->final = take(&bits, 1);
        block->type = (uint8_t)take(&bits, 2);
        bool whole = false;
        if (block->type == 0) {
            whole = skip_stored(block, &bits);
        } else if (block->type == 1) {
            fixed_codes(&codes);
            whole = count_symbols(block, &bits, &codes);
        } else {
            whole = block->type == 2 && dynamic_codes(&codes, &bits) &&
                    count_symbols(block, &bits, &codes);
        }
        if (!whole) {
            return;
        }
        log->each[log->count++] = *block;
        memset(block, 0, sizeof *block);
        if (log->each[log->count - 1].final) {
            return;
        }
    }
}
