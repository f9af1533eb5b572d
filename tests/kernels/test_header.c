/* SPDX-License-Identifier: Apache-2.0 */
/* Every header kernel against the scalar one, and the scalar one against a second reading of the
 * rules: shaped and random blocks, every alignment, guard pages on both sides, poisoned outputs.
 * Deliberately wrong kernels must be rejected. VARVE_TEST_SEED=N repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels.h"

enum { BLOCK = 512, COUNT_MAX = 9, POISON = 0xa5 };

static uint64_t random_state;
static uint64_t random64(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static size_t below(size_t limit) {
    return (size_t)(random64() % limit);
}

/* Memory between two pages that must not be touched. */
struct guarded {
    uint8_t *map;
    size_t pages;
    uint8_t *bytes, *end;
};

static struct guarded guard(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct guarded g = {.pages = (bytes + page - 1) / page + 2};
    g.map = mmap(NULL, g.pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    mprotect(g.map, page, PROT_NONE);
    mprotect(g.map + (g.pages - 1) * page, page, PROT_NONE);
    g.bytes = g.map + page;
    g.end = g.map + (g.pages - 1) * page;
    return g;
}
static void unguard(struct guarded *g) {
    munmap(g->map, g->pages * (size_t)sysconf(_SC_PAGESIZE));
}

/* --- shaped blocks --- */

static const struct {
    uint16_t at;
    uint8_t bytes;
} all_fields[] = {{100, 8}, {108, 8}, {116, 8},  {124, 12}, {136, 12}, {148, 8},
                  {329, 8}, {337, 8}, {345, 12}, {357, 12}, {369, 12}, {483, 12}};

static void shape_field(uint8_t *field, size_t bytes) {
    static const char *const alphabets[] = {"01234567", "0", "7", "01234567 ", "0123456789", " "};
    size_t kind = below(14);
    size_t digits = kind == 0 ? bytes : kind == 1 ? below(bytes) : bytes - 1 - below(3);
    const char *alphabet = alphabets[below(kind > 10 ? 6 : 2)];
    memset(field, kind == 2 ? ' ' : 0, bytes);
    for (size_t i = 0; i < digits; i++) {
        field[i] = (uint8_t)alphabet[below(strlen(alphabet))];
    }
    if (kind == 3) { /* base-256 */
        for (size_t i = 0; i < bytes; i++) {
            field[i] = (uint8_t)(below(2) ? random64() : below(2) * 255);
        }
        field[0] |= 0x80;
    } else if (kind == 4) { /* any byte anywhere */
        field[below(bytes)] = (uint8_t)random64();
    } else if (kind == 5) { /* leading spaces or NULs */
        memset(field, below(3) ? ' ' : 0, below(bytes));
    } else if (kind == 6 && digits + 1 < bytes) { /* terminators in any order */
        field[digits] = ' ';
    } else if (kind == 7) {
        memset(field, 0, bytes);
    } else if (kind == 8 && digits + 1 < bytes) {
        field[bytes - 1] = ' ';
    } else if (kind == 9) { /* something behind the end */
        field[bytes - 1] = (uint8_t)('0' + below(10));
    }
}

static void put_checksum(uint8_t *block) {
    uint32_t sum = 8 * ' ';
    for (size_t i = 0; i < BLOCK; i++) {
        sum += i >= 148 && i < 156 ? 0 : block[i];
    }
    snprintf((char *)block + 148, 8, "%06o", sum & 0777777);
    block[155] = ' ';
}

static void shape_block(uint8_t *block) {
    size_t kind = below(8);
    memset(block, 0, BLOCK);
    if (kind == 0) {
        for (size_t i = 0; i < BLOCK; i++) {
            block[i] = (uint8_t)random64();
        }
    } else if (kind == 1) {
        if (below(2)) {
            block[below(BLOCK)] = (uint8_t)random64();
        }
        return;
    } else if (kind == 2) {
        memset(block, 0xff, BLOCK);
        return;
    } else {
        for (size_t i = 0; i < 1 + below(99); i++) {
            block[i] = (uint8_t)(kind == 3 ? random64() : 'a' + below(26));
        }
        memcpy(block + 257,
               "ustar\0"
               "00",
               8);
    }
    bool usual = kind > 5;
    for (size_t i = 0; i < sizeof all_fields / sizeof all_fields[0]; i++) {
        uint8_t *field = block + all_fields[i].at;
        if (!usual || below(16) == 0) {
            shape_field(field, all_fields[i].bytes);
        } else if (all_fields[i].at < 345 && (kind == 6 || all_fields[i].at < 329)) {
            for (size_t d = 0; d + 1 < all_fields[i].bytes; d++) {
                field[d] = (uint8_t)('0' + below(8));
            }
        }
    }
    if (below(4)) {
        put_checksum(block);
    }
}

static int64_t shape_value(bool eight_bytes) {
    int64_t value;
    switch (below(6)) {
    case 0:
        value = 0;
        break;
    case 1:
        value = (int64_t)random64();
        break;
    case 2: /* about the edges of 7 and 11 digits */
        value = ((int64_t)1 << (eight_bytes ? 21 : 33)) - 1 + (int64_t)below(3) - 1;
        break;
    case 3:
        value = -(int64_t)below(1000);
        break;
    default:
        value = (int64_t)(random64() >> (43 + below(21)));
        break;
    }
    int64_t edge = (int64_t)1 << 62;
    return eight_bytes && (value >= edge || value < -edge) ? value >> 2 : value;
}

static void shape_values(struct varve_header_values *v) {
    v->mode = below(3) ? (int64_t)below(4096) : shape_value(true);
    v->uid = below(3) ? (int64_t)below(70000) : shape_value(true);
    v->gid = below(3) ? (int64_t)below(70000) : shape_value(true);
    v->size = shape_value(false);
    v->mtime = below(2) ? 1700000000 : shape_value(false);
    v->devmajor = below(3) ? 0 : shape_value(true);
    v->devminor = below(3) ? 0 : shape_value(true);
    v->unused = (int64_t)random64();
}

/* --- the checks: false where a row and the reference differ --- */

static bool check_read(const struct varve_header_row *row, const struct varve_header_row *reference,
                       const uint8_t *blocks, size_t count, size_t alignment) {
    struct guarded in = guard(count * BLOCK + 64);
    struct guarded out = guard((count ? count : 1) * sizeof(struct varve_header_numbers));
    /* At the end of the page, and then at each alignment from its front. */
    uint8_t *at = alignment == 64 ? in.end - count * BLOCK : in.bytes + alignment;
    memcpy(at, blocks, count * BLOCK);
    struct varve_header_numbers *got =
        (struct varve_header_numbers *)(void *)out.end - (ptrdiff_t)count;
    struct varve_header_numbers expected[COUNT_MAX];
    memset(out.bytes, POISON, (size_t)(out.end - out.bytes));
    memset(expected, POISON, sizeof expected);
    reference->read(expected, blocks, count);
    row->read(got, at, count);
    bool same =
        memcmp(got, expected, count * sizeof *got) == 0 && memcmp(at, blocks, count * BLOCK) == 0;

    struct varve_header_gnu_numbers gnu[COUNT_MAX + 1], gnu_expected[COUNT_MAX + 1];
    memset(gnu, POISON, sizeof gnu);
    memset(gnu_expected, POISON, sizeof gnu_expected);
    reference->read_gnu(gnu_expected, blocks, count);
    row->read_gnu(gnu, at, count);
    same = same && memcmp(gnu, gnu_expected, sizeof gnu) == 0;
    unguard(&in);
    unguard(&out);
    return same;
}

static bool check_write(const struct varve_header_row *row,
                        const struct varve_header_row *reference,
                        const struct varve_header_values *values, size_t count, size_t alignment) {
    struct guarded out = guard(count * VARVE_HEADER_FIXED_BYTES + 64);
    uint8_t *at =
        alignment == 64 ? out.end - count * VARVE_HEADER_FIXED_BYTES : out.bytes + alignment;
    uint8_t expected[(COUNT_MAX + 1) * VARVE_HEADER_FIXED_BYTES];
    memset(out.bytes, POISON, (size_t)(out.end - out.bytes));
    memset(expected, POISON, sizeof expected);
    reference->write(expected, values, count);
    row->write(at, values, count);
    bool same = memcmp(at, expected, count * VARVE_HEADER_FIXED_BYTES) == 0;
    for (uint8_t *p = out.bytes; p < out.end; p++) {
        bool inside = p >= at && p < at + count * VARVE_HEADER_FIXED_BYTES;
        same = same && (inside || *p == POISON);
    }
    unguard(&out);
    return same;
}

static bool check_zeros(const struct varve_header_row *row, size_t count, size_t alignment) {
    struct guarded in = guard(count + 64);
    uint8_t *at = alignment == 64 ? in.end - count : in.bytes + alignment;
    memset(in.bytes, POISON, (size_t)(in.end - in.bytes));
    bool same = true;
    memset(at, 0, count);
    same = same && row->zeros(at, count) == count;
    for (size_t i = 0; i < count; i += 1 + below(7)) {
        at[i] = (uint8_t)(1 + below(255));
        same = same && row->zeros(at, count) == i;
        at[i] = 0;
    }
    unguard(&in);
    return same;
}

/* All of it for one row, `rounds` times. */
static bool check_row(const struct varve_header_row *row, const struct varve_header_row *reference,
                      int rounds) {
    static uint8_t blocks[COUNT_MAX * BLOCK];
    struct varve_header_values values[COUNT_MAX];
    bool same = true;
    for (int round = 0; round < rounds && same; round++) {
        size_t count = (size_t)round % (COUNT_MAX + 1);
        size_t alignment = (size_t)round % 65;
        for (size_t i = 0; i < count; i++) {
            shape_block(blocks + i * BLOCK);
            shape_values(&values[i]);
        }
        same = check_read(row, reference, blocks, count, alignment) &&
               check_write(row, reference, values, count, alignment) &&
               check_zeros(row, below(700), alignment);
    }
    return same;
}

static const struct varve_header_row *scalar_row(void) {
    return &varve_header_rows[varve_header_row_count - 1];
}

static void rows_agree_with_scalar(void **state) {
    (void)state;
    for (size_t i = 0; i < varve_header_row_count; i++) {
        const struct varve_header_row *row = &varve_header_rows[i];
        if ((varve_cpu_bits() & row->needs) != row->needs) {
            print_message("skipped: header/%s, which this CPU cannot run\n", row->name);
            continue;
        }
        if (!check_row(row, scalar_row(), 6500)) {
            fail_msg("header/%s differs", row->name);
        }
    }
}

/* --- the scalar kernel against the rules, written down another way --- */

/* A field by Go's rules: trim, cut at a NUL, octal. -1: no number. */
static int64_t read_again(const uint8_t *field, size_t bytes) {
    char text[16] = {0};
    size_t begin = 0, end = bytes;
    while (begin < end && (field[begin] == ' ' || field[begin] == 0)) {
        begin++;
    }
    while (end > begin && (field[end - 1] == ' ' || field[end - 1] == 0)) {
        end--;
    }
    memcpy(text, field + begin, end - begin);
    if (strspn(text, "01234567") != strlen(text)) {
        return -1;
    }
    return (int64_t)strtoull(*text ? text : "0", NULL, 8);
}

static void scalar_follows_the_rules(void **state) {
    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint8_t block[BLOCK];
        shape_block(block);
        struct varve_header_numbers numbers;
        varve_header_rows[varve_header_row_count - 1].read(&numbers, block, 1);
        uint32_t sum = 0;
        int32_t signed_sum = 0;
        for (size_t i = 0; i < BLOCK; i++) {
            uint8_t byte = i >= 148 && i < 156 ? ' ' : block[i];
            sum += byte;
            signed_sum += (int8_t)byte;
            assert_int_equal(numbers.nonzero[i / 64] >> (i % 64) & 1, block[i] != 0);
        }
        assert_int_equal(numbers.sum, sum);
        assert_int_equal(numbers.signed_sum, signed_sum);
        const uint8_t *field = block + 124;
        if (!(field[0] & 0x80)) {
            int64_t again = read_again(field, 12);
            uint8_t style = numbers.style[VARVE_HEADER_SIZE];
            assert_int_equal(style == VARVE_TAR_STYLE_BAD, again < 0);
            if (again >= 0) {
                assert_int_equal(numbers.value[VARVE_HEADER_SIZE], again);
            }
        }
    }
}

static void styles_are_told_apart(void **state) {
    (void)state;
    static const struct {
        const char field[13];
        uint8_t style;
        int64_t value;
    } cases[] = {
        {"00000000017\0", VARVE_TAR_STYLE_DIGITS_NUL, 017},
        {"00000000017 ", VARVE_TAR_STYLE_DIGITS_SPACE, 017},
        {"0000000017 \0", VARVE_TAR_STYLE_SPACE_NUL, 017},
        {"0000000017\0 ", VARVE_TAR_STYLE_NUL_SPACE, 017},
        {"777777777777", VARVE_TAR_STYLE_FULL, 0777777777777},
        {"         17 ", VARVE_TAR_STYLE_SPACE_PADDED, 017},
        {"17\0\0\0\0\0\0\0\0\0\0", VARVE_TAR_STYLE_SHORT, 017},
        {"0000000017\0\0", VARVE_TAR_STYLE_SHORT, 017},
        {"\0\0\0\0\0\0\0\0\0\0\0\0", VARVE_TAR_STYLE_NUL, 0},
        {"            ", VARVE_TAR_STYLE_SPACES, 0},
        {"6\0 000000000", VARVE_TAR_STYLE_ODD, 6},
        {"\0\0\0\0\0\0\0\0\0\0"
         "17",
         VARVE_TAR_STYLE_ODD, 017},
        {"12 345678901", VARVE_TAR_STYLE_BAD, 0},
        {"0000000000-6", VARVE_TAR_STYLE_BAD, 0},
        {"\x80\0\0\0\0\0\0\0\0\0\x01\x02", VARVE_TAR_STYLE_BASE256, 0x102},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", VARVE_TAR_STYLE_BASE256, -2},
        {"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", VARVE_TAR_STYLE_BASE256, INT64_MAX},
        {"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", VARVE_TAR_STYLE_BASE256, INT64_MIN},
        {"\x80\0\0\0\x80\0\0\0\0\0\0\0", VARVE_TAR_STYLE_BAD, 0},
        {"\x80\0\x01\0\0\0\0\0\0\0\0\0", VARVE_TAR_STYLE_BAD, 0},
        {"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", VARVE_TAR_STYLE_BAD, 0},
    };
    for (size_t r = 0; r < varve_header_row_count; r++) {
        const struct varve_header_row *row = &varve_header_rows[r];
        if ((varve_cpu_bits() & row->needs) != row->needs) {
            continue;
        }
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            uint8_t block[BLOCK] = {0};
            memcpy(block + 124, cases[i].field, 12);
            struct varve_header_numbers numbers;
            row->read(&numbers, block, 1);
            assert_int_equal(numbers.style[VARVE_HEADER_SIZE], cases[i].style);
            assert_int_equal(numbers.value[VARVE_HEADER_SIZE], cases[i].value);
        }
    }
}

/* What write makes, read must give back. */
static void written_fields_read_back(void **state) {
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct varve_header_values v;
        shape_values(&v);
        uint8_t record[VARVE_HEADER_FIXED_BYTES];
        uint8_t block[BLOCK] = {0};
        varve_header_rows[(size_t)round % varve_header_row_count].needs & ~varve_cpu_bits()
            ? scalar_row()->write(record, &v, 1)
            : varve_header_rows[(size_t)round % varve_header_row_count].write(record, &v, 1);
        memcpy(block + 100, record, 48);
        memcpy(block + 329, record + 48, 16);
        struct varve_header_numbers numbers;
        scalar_row()->read(&numbers, block, 1);
        const int64_t expected[7] = {v.mode, v.uid, v.gid, v.size, v.mtime, v.devmajor, v.devminor};
        for (int i = 0; i < 7; i++) {
            assert_int_equal(numbers.value[i], expected[i]);
            bool binary = numbers.style[i] == VARVE_TAR_STYLE_BASE256;
            bool fits = expected[i] >= 0 && expected[i] >> (i == 3 || i == 4 ? 33 : 21) == 0;
            assert_int_equal(binary, !fits);
            assert_true(binary || numbers.style[i] == VARVE_TAR_STYLE_DIGITS_NUL);
        }
    }
}

/* --- kernels with one mistake each --- */

static varve_header_read_fn *good_read;
static varve_header_read_gnu_fn *good_read_gnu;
static varve_header_write_fn *good_write;
static varve_header_zeros_fn *good_zeros;

static void last_block_ignored(struct varve_header_numbers *n, const uint8_t *b, size_t count) {
    good_read(n, b, count > 1 ? count - 1 : count);
}
static void two_fields_swapped(struct varve_header_numbers *n, const uint8_t *b, size_t count) {
    good_read(n, b, count);
    for (size_t i = 0; i < count; i++) {
        int64_t uid = n[i].value[VARVE_HEADER_UID];
        n[i].value[VARVE_HEADER_UID] = n[i].value[VARVE_HEADER_GID];
        n[i].value[VARVE_HEADER_GID] = uid;
    }
}
static void signs_forgotten(struct varve_header_numbers *n, const uint8_t *b, size_t count) {
    good_read(n, b, count);
    for (size_t i = 0; i < count; i++) {
        n[i].signed_sum = (int32_t)n[i].sum;
    }
}
static void checksum_bytes_counted(struct varve_header_numbers *n, const uint8_t *b, size_t count) {
    good_read(n, b, count);
    for (size_t i = 0; i < count; i++) {
        n[i].sum += b[i * BLOCK + 155] - ' ';
    }
}
static void last_byte_ignored(struct varve_header_numbers *n, const uint8_t *b, size_t count) {
    good_read(n, b, count);
    if (count) {
        n[0].nonzero[7] &= UINT64_MAX >> 1; /* the last byte's bit lost */
    }
}
static void last_gnu_field_stale(struct varve_header_gnu_numbers *n, const uint8_t *b,
                                 size_t count) {
    good_read_gnu(n, b, count);
    for (size_t i = 0; i < count; i++) {
        n[i].value[VARVE_HEADER_REALSIZE] = n[i].value[VARVE_HEADER_OFFSET];
    }
}
static void terminator_missing(uint8_t *r, const struct varve_header_values *v, size_t count) {
    good_write(r, v, count);
    for (size_t i = 0; i < count; i++) {
        r[i * VARVE_HEADER_FIXED_BYTES + 47] |= '0';
    }
}
static void last_byte_flipped(uint8_t *r, const struct varve_header_values *v, size_t count) {
    good_write(r, v, count);
    if (count) {
        r[count * VARVE_HEADER_FIXED_BYTES - 1] ^= 1;
    }
}
static void large_values_cut(uint8_t *r, const struct varve_header_values *v, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct varve_header_values cut = v[i];
        cut.size &= 077777777777;
        good_write(r + i * VARVE_HEADER_FIXED_BYTES, &cut, 1);
    }
}
static size_t zeros_in_words(const uint8_t *b, size_t count) {
    return good_zeros(b, count) & ~(size_t)7;
}

static void wrong_kernels_are_rejected(void **state) {
    (void)state;
    struct varve_header_row good = *scalar_row();
    good_read = good.read;
    good_read_gnu = good.read_gnu;
    good_write = good.write;
    good_zeros = good.zeros;
    assert_true(check_row(&good, scalar_row(), 650));
    varve_header_read_fn *reads[] = {last_block_ignored, two_fields_swapped, signs_forgotten,
                                     checksum_bytes_counted, last_byte_ignored};
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        struct varve_header_row wrong = good;
        wrong.read = reads[i];
        assert_false(check_row(&wrong, scalar_row(), 650));
    }
    varve_header_write_fn *writes[] = {terminator_missing, last_byte_flipped, large_values_cut};
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++) {
        struct varve_header_row wrong = good;
        wrong.write = writes[i];
        assert_false(check_row(&wrong, scalar_row(), 650));
    }
    struct varve_header_row wrong = good;
    wrong.read_gnu = last_gnu_field_stale;
    assert_false(check_row(&wrong, scalar_row(), 650));
    wrong = good;
    wrong.zeros = zeros_in_words;
    assert_false(check_row(&wrong, scalar_row(), 650));
}

int main(void) {
    const char *seed = getenv("VARVE_TEST_SEED");
    random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid() * 0x9e3779b97f4a7c15u | 1;
    print_message("VARVE_TEST_SEED=%llu\n", (unsigned long long)random_state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_agree_with_scalar),     cmocka_unit_test(scalar_follows_the_rules),
        cmocka_unit_test(styles_are_told_apart),      cmocka_unit_test(written_fields_read_back),
        cmocka_unit_test(wrong_kernels_are_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
