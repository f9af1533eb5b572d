/* SPDX-License-Identifier: Apache-2.0 */
/* What varve compresses comes out again by zlib and libzstd, in whatever pieces it goes in and out,
 * and is the same bytes wherever the compressor lies in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "compressor.h"

#define MOST_BYTES ((size_t)300000)
#define ROOM_BYTES (2 * MOST_BYTES + 4096)

static const struct {
    enum compressor_kind kind;
    int level;
} each[] = {{COMPRESSOR_IGZIP, 0}, {COMPRESSOR_IGZIP, 1}, {COMPRESSOR_IGZIP, 2},
            {COMPRESSOR_IGZIP, 3}, {COMPRESSOR_ZLIB, 0},  {COMPRESSOR_ZLIB, 6},
            {COMPRESSOR_ZSTD, -5}, {COMPRESSOR_ZSTD, 3}};
#define EACH (sizeof each / sizeof *each)

static uint8_t input[MOST_BYTES], output[ROOM_BYTES], opened[MOST_BYTES + 1];

/* The bytes made; 0: the library failed, or went on for ever. */
static size_t compress_in_pieces(struct compressor *compressor, size_t bytes, size_t piece,
                                 size_t room) {
    size_t made = 0;
    size_t at = 0;
    size_t idle = 0;
    bool last = false;
    while (!last) {
        size_t count = bytes - at < piece ? bytes - at : piece;
        struct compressor_turn turn = {input + at, count, .again = true};
        last = at + count == bytes;
        while (turn.again) {
            turn.out = output + made;
            turn.out_bytes = ROOM_BYTES - made < room ? ROOM_BYTES - made : room;
            bool good = compressor_turn(compressor, &turn, last);
            idle = turn.used_bytes + turn.made_bytes > 0 ? 0 : idle + 1;
            if (!good || idle > 2 || turn.used_bytes > turn.in_bytes ||
                turn.made_bytes > turn.out_bytes) {
                return 0;
            }
            made += turn.made_bytes;
            turn.in += turn.used_bytes;
            turn.in_bytes -= turn.used_bytes;
        }
        assert_int_equal(turn.in_bytes, 0);
        at += count;
    }
    return made;
}

/* One gzip member and nothing behind it. */
static size_t open_gzip(size_t bytes) {
    z_stream stream = {.next_in = output, .avail_in = (uInt)bytes};
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_out = opened;
    stream.avail_out = sizeof opened;
    int state = inflate(&stream, Z_FINISH);
    size_t made = state == Z_STREAM_END && stream.avail_in == 0 ? stream.total_out : SIZE_MAX;
    inflateEnd(&stream);
    return made;
}

static void fill_zeros(void) {
    memset(input, 0, sizeof input);
}

static void fill_noise(void) {
    uint32_t random = 7;
    for (size_t i = 0; i < sizeof input; i++) {
        random = random * 1664525 + 1013904223;
        input[i] = (uint8_t)(random >> 24);
    }
}

/* Words that come again near and far. */
static void fill_text(void) {
    uint32_t random = 3;
    for (size_t i = 0; i < sizeof input; i += 8) {
        random = random * 1664525 + 1013904223;
        char word[9];
        snprintf(word, sizeof word, "%07x ", random >> (random >> 31 ? 24 : 16));
        memcpy(input + i, word, sizeof input - i < 8 ? sizeof input - i : 8);
    }
}

static void what_goes_in_comes_out(void **state) {
    static void (*const fills[])(void) = {fill_zeros, fill_noise, fill_text};
    static const size_t sizes[] = {0,     1,     2,     3,     4,     5,     8,      15,
                                   16,    17,    258,   259,   511,   4096,  32767,  32768,
                                   32769, 65535, 65536, 65537, 65552, 98304, 131073, 300000};
    static const struct {
        size_t piece, room, most;
    } ways[] = {{SIZE_MAX, SIZE_MAX, SIZE_MAX},
                {131072, 131072, SIZE_MAX},
                {1000, 333, SIZE_MAX},
                {1, 128, 5000},
                {4096, 1, 5000}};
    (void)state;
    for (size_t i = 0; i < EACH; i++) {
        struct compressor *compressor = compressor_open(each[i].kind, each[i].level, false);
        if (!compressor && !compressor_built(each[i].kind)) {
            print_message("skipped: not built in: %d\n", (int)each[i].kind);
            continue;
        }
        assert_non_null(compressor);
        for (size_t fill = 0; fill < sizeof fills / sizeof *fills; fill++) {
            fills[fill]();
            for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
                for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
                    if (sizes[k] > ways[way].most) {
                        continue;
                    }
                    assert_true(compressor_begin(compressor));
                    size_t made =
                        compress_in_pieces(compressor, sizes[k], ways[way].piece, ways[way].room);
                    memset(opened, 0xa5, sizeof opened);
                    size_t count = each[i].kind == COMPRESSOR_ZSTD
                                       ? ZSTD_decompress(opened, sizeof opened, output, made)
                                       : open_gzip(made);
                    if (made == 0 || count != sizes[k] || memcmp(opened, input, count) != 0) {
                        fail_msg("compressor %zu, fill %zu, %zu bytes, way %zu: made %zu, opened "
                                 "%zu",
                                 i, fill, sizes[k], way, made, count);
                    }
                }
            }
        }
        compressor_close(compressor);
    }
}

/* igzip by itself takes the address of its stream for a position of the input: of a few bytes,
 * which have few slots in its table, each address in some thirty gave others. */
static void same_bytes_wherever_it_lies(void **state) {
    enum { ADDRESSES = 1000 };
    static struct compressor *all[ADDRESSES]; /* all alive, so that no two lie in one place */
    static uint8_t first[ROOM_BYTES];
    static const char text[] = "abcdefgh#abcdefgh#cdefgh#bcdefgh";
    (void)state;
    memcpy(input, text, sizeof text);
    for (size_t i = 0; i < EACH; i++) {
        size_t count = each[i].kind == COMPRESSOR_IGZIP ? ADDRESSES : 30;
        size_t first_bytes = 0;
        for (size_t k = 0; k < count && compressor_built(each[i].kind); k++) {
            all[k] = compressor_open(each[i].kind, each[i].level, false);
            assert_non_null(all[k]);
            size_t made = compress_in_pieces(all[k], sizeof text, SIZE_MAX, SIZE_MAX);
            assert_true(made > 0);
            if (k == 0) {
                memcpy(first, output, made);
                first_bytes = made;
            }
            assert_int_equal(made, first_bytes);
            assert_memory_equal(output, first, made);
        }
        for (size_t k = 0; k < ADDRESSES; k++) {
            compressor_close(all[k]);
            all[k] = NULL;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(same_bytes_wherever_it_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
