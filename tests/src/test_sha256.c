/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 streams and their scheduler, in every tier and engine: known answers, every short length,
 * lengths around 2^29 bytes, forks, and random interleavings of all calls. libcrypto is the judge.
 * VARVE_TEST_SEED=N repeats a run; VARVE_TEST_LONG=1 adds lengths around 2^32,
 * VARVE_TEST_SHORT=1 leaves out what takes long in an emulator.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#define OPENSSL_SUPPRESS_DEPRECATED /* its contexts can be copied, as ours can be forked */
#include <openssl/sha.h>

#include "sha256_internal.h"

enum { DIGEST = VARVE_SHA256_BYTES };

/* ---- Every tier, row and engine in turn ---- */

typedef void body_fn(struct varve_sha256 *ctx);

/* A row that does not pay on this CPU would be in no tier's choice: here each is the only one that
 * does, for any number of streams but one. */
static void in_every_row(body_fn *body) {
    for (size_t i = 0; i < varve_sha256_row_count; i++) {
        const struct varve_sha256_row *row = &varve_sha256_rows[i];
        struct varve_sha256_options options = {.kernel = row->name};
        struct varve_sha256 *ctx = NULL;
        if (row->needs & ~varve_cpu_bits()) {
            print_message("SKIPPED: this CPU cannot run %s\n", row->name);
            assert_int_equal(varve_sha256_open(&ctx, &options), VARVE_UNSUPPORTED);
            continue;
        }
        assert_int_equal(varve_sha256_open(&ctx, &options), VARVE_OK);
        for (size_t alive = 2; alive <= VARVE_SHA256_MAX_LANES; alive++) {
            assert_ptr_equal(ctx->choice[alive], row);
        }
        assert_int_equal(ctx->choice[1]->lanes, 1);
        body(ctx);
        varve_sha256_close(ctx);
    }
}

static void in_every_tier(body_fn *body) {
    for (int tier = VARVE_TIER_SCALAR; tier < VARVE_TIER_COUNT; tier++) {
        struct varve_sha256_options options = {.tier = (enum varve_tier)tier};
        struct varve_sha256 *ctx = NULL;
        enum varve_status status = varve_sha256_open(&ctx, &options);
        if (!varve_tier_may_run(options.tier)) {
            print_message("SKIPPED: this CPU has no %s\n", varve_tier_name(options.tier));
            assert_int_equal(status, VARVE_UNSUPPORTED);
            assert_null(ctx);
            continue;
        }
        assert_int_equal(status, VARVE_OK);
        body(ctx);
        varve_sha256_close(ctx);
    }
    in_every_row(body);
    struct varve_sha256_options options = {.engine = VARVE_SHA256_ISAL_CRYPTO};
    struct varve_sha256 *ctx = NULL;
    enum varve_status status = varve_sha256_open(&ctx, &options);
    if (!varve_sha256_engine_built(VARVE_SHA256_ISAL_CRYPTO)) {
        print_message("SKIPPED: isa-l_crypto is not built in\n");
        assert_int_equal(status, VARVE_UNSUPPORTED);
        return;
    }
    assert_int_equal(status, VARVE_OK);
    body(ctx);
    varve_sha256_close(ctx);
}

static uint64_t random_state;

static uint64_t random64(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* A prime period betrays blocks taken twice or from the wrong place. */
static void fill(uint8_t *to, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(i % 251);
    }
}

static void keep(void *cookie, const uint8_t digest[DIGEST]) {
    memcpy(cookie, digest, DIGEST);
}

static void assert_hex(const uint8_t digest[DIGEST], const char *hex) {
    for (size_t i = 0; i < DIGEST; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        assert_int_equal(digest[i], strtoul(pair, NULL, 16));
    }
}

/* ---- Known answers ---- */

static const struct {
    const char *text;
    size_t bytes;
    const char *hex;
} known[] = {
    /* NIST, examples to FIPS 180-4: one block, two blocks, and the long two blocks of SHA-512. */
    {"abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
     "lmnopqrsmnopqrstnopqrstu",
     112, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

static void check_known_answers(struct varve_sha256 *ctx) {
    enum { COUNT = sizeof known / sizeof known[0] };
    struct varve_sha256_stream streams[COUNT + 1];
    uint8_t digests[COUNT + 1][DIGEST];
    static uint8_t million[1000000];
    memset(million, 'a', sizeof million);
    for (size_t i = 0; i < COUNT; i++) {
        varve_sha256_message(ctx, &streams[i], known[i].text, known[i].bytes, keep, digests[i]);
    }
    varve_sha256_message(ctx, &streams[COUNT], million, sizeof million, keep, digests[COUNT]);
    varve_sha256_flush(ctx);
    for (size_t i = 0; i < COUNT; i++) {
        assert_hex(digests[i], known[i].hex);
        varve_sha256_once(ctx, digests[i], known[i].text, known[i].bytes);
        assert_hex(digests[i], known[i].hex);
    }
    assert_hex(digests[COUNT], "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void known_answers(void **state) {
    (void)state;
    in_every_tier(check_known_answers);
}

static const struct {
    const char *message, *digest;
} validation[] = {
#include "sha256_cavp.inc"
};

static uint8_t hex_byte(const char *pair) {
    const char text[3] = {pair[0], pair[1], 0};
    return (uint8_t)strtoul(text, NULL, 16);
}

/* Each as a message among the others, and as a stream in two pieces. */
static void check_validation_vectors(struct varve_sha256 *ctx) {
    enum { COUNT = sizeof validation / sizeof validation[0], LONGEST = 6400 };
    static uint8_t messages[COUNT][LONGEST], digests[2][COUNT][DIGEST];
    static struct varve_sha256_stream streams[2][COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        size_t bytes = strlen(validation[i].message) / 2;
        assert_true(bytes <= LONGEST);
        for (size_t b = 0; b < bytes; b++) {
            messages[i][b] = hex_byte(validation[i].message + 2 * b);
        }
        varve_sha256_message(ctx, &streams[0][i], messages[i], bytes, keep, digests[0][i]);
        varve_sha256_init(&streams[1][i]);
        varve_sha256_update(ctx, &streams[1][i], messages[i], bytes / 3);
        varve_sha256_update(ctx, &streams[1][i], messages[i] + bytes / 3, bytes - bytes / 3);
        varve_sha256_final(ctx, &streams[1][i], keep, digests[1][i]);
    }
    varve_sha256_flush(ctx);
    for (size_t i = 0; i < COUNT; i++) {
        assert_hex(digests[0][i], validation[i].digest);
        assert_hex(digests[1][i], validation[i].digest);
    }
}

static void validation_vectors(void **state) {
    (void)state;
    assert_int_equal(sizeof validation / sizeof validation[0], 65 + 13);
    in_every_tier(check_validation_vectors);
}

/* CAVP, SHA256Monte: a hundred times a thousand digests, each of the three before it; in sixteen
 * chains side by side. */
static void check_monte_carlo(struct varve_sha256 *ctx) {
    enum { CHAINS = 16 };
    static const uint8_t seed[DIGEST] = {0x6d, 0x1e, 0x72, 0xad, 0x03, 0xdd, 0xeb, 0x5d,
                                         0xe8, 0x91, 0xe5, 0x72, 0xe2, 0x39, 0x6f, 0x8d,
                                         0xa0, 0x15, 0xd8, 0x99, 0xef, 0x0e, 0x79, 0x50,
                                         0x31, 0x52, 0xd6, 0x01, 0x0a, 0x3f, 0xe6, 0x91};
    static const struct {
        int round;
        const char *hex;
    } told[] = {
        {0, "e93c330ae5447738c8aa85d71a6c80f2a58381d05872d26bdd39f1fcd4f2b788"},
        {1, "2e78f8c8772ea7c9331d41ed3f9cdf27d8f514a99342ee766ee3b8b0d0b121c0"},
        {99, "6a912ba4188391a78e6f13d88ed2d14e13afce9db6f7dcbf4a48c24f3db02778"},
    };
    static uint8_t messages[CHAINS][3 * DIGEST], digests[CHAINS][DIGEST];
    struct varve_sha256_stream streams[CHAINS];
    size_t next = 0;
    int rounds = getenv("VARVE_TEST_SHORT") ? 2 : 100;
    for (int c = 0; c < CHAINS; c++) {
        memcpy(digests[c], seed, DIGEST);
    }
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < 1000; i++) {
            for (int c = 0; c < CHAINS; c++) {
                if (i == 0) {
                    memcpy(messages[c], digests[c], DIGEST);
                    memcpy(messages[c] + DIGEST, digests[c], DIGEST);
                } else {
                    memmove(messages[c], messages[c] + DIGEST, 2 * (size_t)DIGEST);
                }
                memcpy(messages[c] + 2 * DIGEST, digests[c], DIGEST);
                varve_sha256_message(ctx, &streams[c], messages[c], 3 * DIGEST, keep, digests[c]);
            }
            varve_sha256_flush(ctx);
        }
        for (int c = 0; c < CHAINS && next < 3 && round == told[next].round; c++) {
            assert_hex(digests[c], told[next].hex);
        }
        next += next < 3 && round == told[next].round;
    }
    assert_int_equal(next, rounds == 2 ? 2 : 3);
}

static void monte_carlo(void **state) {
    (void)state;
    in_every_tier(check_monte_carlo);
}

/* ---- Lengths ---- */

static void check_every_length(struct varve_sha256 *ctx) {
    enum { COUNT = 4201 };
    static uint8_t data[COUNT], digests[COUNT][DIGEST], expected[COUNT][DIGEST];
    static struct varve_sha256_stream streams[COUNT];
    if (data[1] == 0) {
        fill(data, sizeof data);
        for (size_t n = 0; n < COUNT; n++) {
            SHA256(data, n, expected[n]);
        }
    }
    memset(digests, 0, sizeof digests);
    for (size_t n = 0; n < COUNT; n++) {
        varve_sha256_message(ctx, &streams[n], data, n, keep, digests[n]);
    }
    varve_sha256_flush(ctx);
    for (size_t n = 0; n < COUNT; n++) {
        assert_memory_equal(digests[n], expected[n], DIGEST);
        assert_false(varve_sha256_busy(&streams[n]));
    }
    memset(digests, 0, sizeof digests);
    for (size_t n = 0; n < COUNT; n++) {
        varve_sha256_once(ctx, digests[n], data, n);
    }
    assert_memory_equal(digests, expected, sizeof digests);
}

static void every_length(void **state) {
    (void)state;
    in_every_tier(check_every_length);
}

/* `bytes` of address space that show one mebibyte of memory again and again. */
static uint8_t *mirrors(size_t bytes) {
    const size_t unit = (size_t)1 << 20;
    int fd = memfd_create("varve", 0);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)unit) == 0);
    uint8_t *base =
        mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(base != MAP_FAILED);
    for (size_t at = 0; at < bytes; at += unit) {
        assert_true(mmap(base + at, unit, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
                    base + at);
    }
    close(fd);
    fill(base, unit);
    return base;
}

/* Messages of `around` - 65 .. + 65 bytes, all in one flush. */
static void check_lengths_around(struct varve_sha256 *ctx, uint64_t around, size_t count) {
    static const int deltas[] = {0, -1, 1, -8, -9, 65, -65};
    struct varve_sha256_stream streams[7];
    uint8_t digests[7][DIGEST], expected[DIGEST];
    uint8_t *data = mirrors((size_t)around + ((size_t)1 << 20));
    for (size_t i = 0; i < count; i++) {
        size_t bytes = (size_t)((int64_t)around + deltas[i]);
        varve_sha256_message(ctx, &streams[i], data, bytes, keep, digests[i]);
    }
    varve_sha256_flush(ctx);
    /* The judge reads what they have in common once. */
    size_t common = (size_t)around - 65;
    SHA256_CTX prefix;
    SHA256_Init(&prefix);
    SHA256_Update(&prefix, data, common);
    for (size_t i = 0; i < count; i++) {
        SHA256_CTX judge = prefix;
        SHA256_Update(&judge, data + common, (size_t)(65 + deltas[i]));
        SHA256_Final(expected, &judge);
        assert_memory_equal(digests[i], expected, DIGEST);
    }
    munmap(data, (size_t)around + ((size_t)1 << 20));
}

/* 2^29 bytes: the bit count leaves 32 bits. */
static void lengths_around_2_29(void **state) {
    (void)state;
    if (getenv("VARVE_TEST_SHORT")) {
        print_message("SKIPPED: VARVE_TEST_SHORT is set\n");
        skip();
    }
    struct varve_sha256 *ctx = NULL;
    assert_int_equal(varve_sha256_open(&ctx, NULL), VARVE_OK);
    check_lengths_around(ctx, UINT64_C(1) << 29, 3);
    varve_sha256_close(ctx);
}

static void check_lengths_around_2_29(struct varve_sha256 *ctx) {
    check_lengths_around(ctx, UINT64_C(1) << 29, 7);
}

/* 2^32 bytes: the byte count does; seven lanes; runs of a gibibyte go on. 2^29 in every row. */
static void lengths_around_2_32(void **state) {
    (void)state;
    if (!getenv("VARVE_TEST_LONG")) {
        print_message("SKIPPED: VARVE_TEST_LONG is not set\n");
        skip();
    }
    struct varve_sha256 *ctx = NULL;
    in_every_tier(check_lengths_around_2_29);
    assert_int_equal(varve_sha256_open(&ctx, NULL), VARVE_OK);
    check_lengths_around(ctx, UINT64_C(1) << 32, 7);
    check_lengths_around(ctx, UINT64_C(5) << 30, 1);
    varve_sha256_close(ctx);
}

/* ---- Streams ---- */

static void check_pieces_and_forks(struct varve_sha256 *ctx) {
    static uint8_t data[700];
    fill(data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        uint8_t whole[DIGEST], prefix[DIGEST], expected[DIGEST];
        struct varve_sha256_stream stream, forked;
        varve_sha256_init(&stream);
        varve_sha256_update(ctx, &stream, data, cut / 2);
        varve_sha256_update(ctx, &stream, data + cut / 2, cut - cut / 2);
        varve_sha256_fork(ctx, &forked, &stream);
        varve_sha256_update(ctx, &stream, data + cut, sizeof data - cut);
        varve_sha256_final(ctx, &stream, keep, whole);
        varve_sha256_final(ctx, &forked, keep, prefix);
        varve_sha256_flush(ctx);
        SHA256(data, cut, expected);
        assert_memory_equal(prefix, expected, DIGEST);
        SHA256(data, sizeof data, expected);
        assert_memory_equal(whole, expected, DIGEST);
    }
}

static void pieces_and_forks(void **state) {
    (void)state;
    in_every_tier(check_pieces_and_forks);
}

/* done() starts the same stream again, a hundred times, and others beside it. */
struct again {
    struct varve_sha256 *ctx;
    struct varve_sha256_stream stream;
    uint8_t digest[DIGEST];
    int left;
};

static void start_again(void *cookie, const uint8_t digest[DIGEST]) {
    struct again *again = cookie;
    memcpy(again->digest, digest, DIGEST);
    if (again->left-- > 0) {
        varve_sha256_message(again->ctx, &again->stream, again->digest, DIGEST, start_again, again);
    }
}

static void check_done_starts_more(struct varve_sha256 *ctx) {
    enum { CHAINS = 37, LINKS = 100 };
    static struct again chains[CHAINS];
    uint8_t expected[DIGEST];
    for (int c = 0; c < CHAINS; c++) {
        chains[c].ctx = ctx;
        chains[c].left = LINKS;
        varve_sha256_message(ctx, &chains[c].stream, "", 0, start_again, &chains[c]);
    }
    varve_sha256_flush(ctx);
    SHA256((const uint8_t *)"", 0, expected);
    for (int i = 0; i < LINKS; i++) {
        SHA256(expected, DIGEST, expected);
    }
    for (int c = 0; c < CHAINS; c++) {
        assert_int_equal(chains[c].left, -1);
        assert_memory_equal(chains[c].digest, expected, DIGEST);
    }
}

static void done_starts_more(void **state) {
    (void)state;
    in_every_tier(check_done_starts_more);
}

/* ---- Random interleavings ---- */

enum { STREAMS = 80, ARENA = 1 << 20 };

/* A stream beside what the judge thinks of it. */
struct watched {
    struct varve_sha256_stream stream;
    SHA256_CTX judge;
    enum { IDLE, OPEN, FINAL } at;
    bool told, wrong;
    uint8_t expected[DIGEST];
};

static uint8_t *arena;

static void compare(void *cookie, const uint8_t digest[DIGEST]) {
    struct watched *watched = cookie;
    watched->wrong = watched->told || memcmp(digest, watched->expected, DIGEST) != 0;
    watched->told = true;
}

/* Sizes of every magnitude: nothing, within a block, whole blocks, up to 64 KiB. */
static const uint8_t *random_piece(size_t *bytes) {
    size_t most = (size_t)1 << random64() % 17;
    *bytes = random64() % 4 == 0 ? most & ~(size_t)63 : random64() % (most + 1);
    return arena + random64() % (ARENA - *bytes);
}

static void end_judge(struct watched *watched) {
    SHA256_Final(watched->expected, &watched->judge);
    watched->at = FINAL;
    watched->told = false;
}

static void step_idle(struct varve_sha256 *ctx, struct watched *watched) {
    size_t bytes = 0;
    const uint8_t *data = random_piece(&bytes);
    SHA256_Init(&watched->judge);
    if (random64() % 2) {
        varve_sha256_init(&watched->stream);
        watched->at = OPEN;
    } else {
        SHA256_Update(&watched->judge, data, bytes);
        end_judge(watched);
        varve_sha256_message(ctx, &watched->stream, data, bytes, compare, watched);
    }
}

static void step_open(struct varve_sha256 *ctx, struct watched *watched, struct watched *other) {
    size_t bytes = 0;
    const uint8_t *data = random_piece(&bytes);
    switch (random64() % 8) {
    case 0:
        end_judge(watched);
        varve_sha256_final(ctx, &watched->stream, compare, watched);
        break;
    case 1:
        if (other->at == IDLE) {
            other->judge = watched->judge;
            other->at = OPEN;
            varve_sha256_fork(ctx, &other->stream, &watched->stream);
        }
        break;
    case 2:
        varve_sha256_settle(ctx, &watched->stream);
        assert_false(varve_sha256_busy(&watched->stream));
        break;
    default:
        SHA256_Update(&watched->judge, data, bytes);
        varve_sha256_update(ctx, &watched->stream, data, bytes);
    }
}

static void reap(struct watched *watched) {
    assert_false(watched->wrong);
    if (watched->at == FINAL && watched->told) {
        assert_false(varve_sha256_busy(&watched->stream));
        watched->at = IDLE;
    }
}

static void check_interleavings(struct varve_sha256 *ctx) {
    static struct watched all[STREAMS];
    memset(all, 0, sizeof all);
    for (int i = 0; i < 6000; i++) {
        /* Few streams at times, many at others. */
        size_t alive = i / 500 % 2 ? 1 + random64() % 6 : STREAMS;
        struct watched *watched = &all[random64() % alive];
        reap(watched);
        if (watched->at == IDLE) {
            step_idle(ctx, watched);
        } else if (watched->at == OPEN) {
            struct watched *other = &all[random64() % STREAMS];
            reap(other);
            step_open(ctx, watched, other);
        } else if (random64() % 4 == 0) {
            varve_sha256_settle(ctx, &watched->stream);
            assert_true(watched->told);
        }
        if (random64() % 64 == 0) {
            varve_sha256_flush(ctx);
            for (size_t s = 0; s < STREAMS; s++) {
                assert_false(varve_sha256_busy(&all[s].stream) && all[s].at != IDLE);
                assert_true(all[s].at != FINAL || all[s].told);
            }
        }
    }
    varve_sha256_flush(ctx);
    for (size_t s = 0; s < STREAMS; s++) {
        reap(&all[s]);
        if (all[s].at == OPEN) {
            end_judge(&all[s]);
            varve_sha256_final(ctx, &all[s].stream, compare, &all[s]);
        }
    }
    varve_sha256_flush(ctx);
    for (size_t s = 0; s < STREAMS; s++) {
        reap(&all[s]);
        assert_int_equal(all[s].at, IDLE);
    }
}

static void random_interleavings(void **state) {
    (void)state;
    in_every_tier(check_interleavings);
}

/* ---- The scheduler ---- */

/* Every number of equal streams alive: right answers, all blocks counted once, and where lanes ran
 * empty it was for want of streams. */
static void check_every_number_alive(struct varve_sha256 *ctx) {
    enum { MOST = 40, BYTES = 200 * 64 };
    static struct varve_sha256_stream streams[MOST];
    static uint8_t digests[MOST][DIGEST];
    uint64_t before = 0;
    uint8_t expected[DIGEST];
    SHA256(arena, BYTES, expected);
    for (size_t alive = 1; alive <= MOST; alive++) {
        memset(digests, 0, sizeof digests);
        for (size_t i = 0; i < alive; i++) {
            varve_sha256_message(ctx, &streams[i], arena, BYTES, keep, digests[i]);
        }
        varve_sha256_flush(ctx);
        uint64_t blocks = 0;
        struct varve_sha256_use use;
        for (size_t i = 0; varve_sha256_use_at(ctx, &use, i); i++) {
            blocks += use.blocks;
            assert_non_null(use.name);
        }
        for (size_t i = 0; i < alive; i++) {
            assert_memory_equal(digests[i], expected, DIGEST);
        }
        /* The other engine does not count. */
        assert_true(blocks == 0 || blocks - before == alive * (BYTES / 64 + 1));
        before = blocks;
    }
}

static void every_number_alive(void **state) {
    (void)state;
    in_every_tier(check_every_number_alive);
}

/* What a block of all lanes costs, in picoseconds: measured on Sapphire Rapids (Golden Cove cores)
 * and on an EPYC of the fourth generation (Zen 4); on the former nobody ran the hybrid yet. */
static const struct {
    const char *name;
    uint32_t golden_cove, zen4;
} told[] = {
    {"hybrid_x16", 330000, 256000}, {"avx512_x16", 300000, 290000}, {"avx512_x8", 203000, 167000},
    {"avx2_x8", 397000, 281000},    {"shani_x2", 71700, 38400},     {"shani_x1", 43700, 35000},
    {"scalar", 227000, 164000},
};

static struct varve_sha256_costs costs_of(bool zen4) {
    struct varve_sha256_costs costs = {0};
    for (size_t i = 0; i < varve_sha256_row_count; i++) {
        for (size_t t = 0; t < sizeof told / sizeof told[0]; t++) {
            if (strcmp(told[t].name, varve_sha256_rows[i].name) == 0) {
                costs.block[i] = zen4 ? told[t].zen4 : told[t].golden_cove;
            }
        }
        assert_true(costs.block[i] > 0);
    }
    return costs;
}

static uint32_t cost_of(const struct varve_sha256_row *row,
                        const struct varve_sha256_costs *costs) {
    return costs->block[row - varve_sha256_rows];
}

/* No allowed row gets `alive` streams on faster than the chosen one, but for what measurements err.
 */
static void check_choices(uint32_t bits, const struct varve_sha256_costs *costs) {
    static struct varve_sha256 ctx;
    varve_sha256_lanes_open(&ctx, bits, costs);
    for (uint32_t alive = 1; alive <= VARVE_SHA256_MAX_LANES; alive++) {
        const struct varve_sha256_row *chosen = ctx.choice[alive];
        assert_int_equal(chosen->needs & ~bits, 0);
        assert_true(alive > 1 || chosen->lanes == 1);
        double speed = alive < chosen->lanes ? alive : chosen->lanes;
        speed /= cost_of(chosen, costs);
        for (size_t i = 0; i < varve_sha256_row_count; i++) {
            const struct varve_sha256_row *row = &varve_sha256_rows[i];
            double other = alive < row->lanes ? alive : row->lanes;
            if ((row->needs & ~bits) == 0 && (alive > 1 || row->lanes == 1)) {
                assert_true(speed * 1.05 >= other / cost_of(row, costs));
                /* One after the other is never better. */
                assert_true(row->lanes > 1 || speed >= other / cost_of(row, costs));
            }
        }
    }
    assert_int_equal(ctx.full, ctx.choice[VARVE_SHA256_MAX_LANES]->lanes);
}

static void the_choice_is_the_fastest(void **state) {
    (void)state;
    static const uint32_t bits[] = {
        0,
        VARVE_CPU_SHANI,
        VARVE_CPU_AVX2,
        VARVE_CPU_SHANI | VARVE_CPU_AVX2,
        VARVE_CPU_AVX2 | VARVE_CPU_AVX512,
        VARVE_CPU_SHANI | VARVE_CPU_AVX2 | VARVE_CPU_AVX512,
    };
    for (size_t b = 0; b < sizeof bits / sizeof bits[0]; b++) {
        struct varve_sha256_costs costs = costs_of(false);
        check_choices(bits[b], &costs);
        costs = costs_of(true);
        check_choices(bits[b], &costs);
        for (int i = 0; i < 500; i++) {
            for (size_t r = 0; r < varve_sha256_row_count; r++) {
                costs.block[r] = 1 + (uint32_t)(random64() % 1000000);
            }
            check_choices(bits[b], &costs);
        }
    }
}

/* What was measured here: something for each row that this CPU can run, nothing for others, and
 * whoever asks again gets the same. */
static void costs_are_measured(void **state) {
    (void)state;
    const struct varve_sha256_costs *costs = varve_sha256_costs();
    for (size_t i = 0; i < varve_sha256_row_count; i++) {
        bool may_run = (varve_sha256_rows[i].needs & ~varve_cpu_bits()) == 0;
        assert_int_equal(costs->block[i] > 0, may_run);
        print_message("%s: %u ps a block of %u lanes\n", varve_sha256_rows[i].name, costs->block[i],
                      varve_sha256_rows[i].lanes);
    }
    assert_ptr_equal(varve_sha256_costs(), costs);
}

/* Of `streams` messages of `bytes`, the first of `longer`, the part of all blocks that the named
 * row compressed. */
static double part_of(const char *row, size_t streams, size_t bytes, size_t longer, bool zen4) {
    static struct varve_sha256_stream stream[64];
    static uint8_t digest[64][DIGEST];
    struct varve_sha256 *ctx = NULL;
    struct varve_sha256_use use;
    double all = 0, its = 0;
    assert_int_equal(varve_sha256_open(&ctx, NULL), VARVE_OK);
    struct varve_sha256_costs costs = costs_of(zen4);
    varve_sha256_lanes_open(ctx, varve_cpu_bits(), &costs);
    for (size_t i = 0; i < streams; i++) {
        varve_sha256_message(ctx, &stream[i], arena, i == 0 ? longer : bytes, keep, digest[i]);
    }
    varve_sha256_flush(ctx);
    for (size_t i = 0; varve_sha256_use_at(ctx, &use, i); i++) {
        all += (double)use.blocks;
        its += strcmp(use.name, row) == 0 ? (double)use.blocks : 0;
    }
    varve_sha256_close(ctx);
    return its / all;
}

/* The row follows the number of streams alive, and one long message does not hold the wide ones. */
static void the_row_follows_the_streams(void **state) {
    (void)state;
    if (varve_tier_best() != VARVE_TIER_AVX512 || !(varve_cpu_bits() & VARVE_CPU_SHANI)) {
        print_message("SKIPPED: the policy of AVX-512 needs a CPU that has it, and SHA-NI\n");
        skip();
    }
    assert_true(part_of("shani_x1", 1, 65536, 65536, false) > 0.99);
    assert_true(part_of("shani_x2", 2, 65536, 65536, false) > 0.99);
    assert_true(part_of("avx512_x8", 8, 65536, 65536, false) > 0.99);
    assert_true(part_of("avx512_x8", 9, 65536, 65536, false) > 0.9);
    assert_true(part_of("avx512_x16", 16, 65536, 65536, false) > 0.99);
    assert_true(part_of("avx512_x16", 64, 65536, 65536, false) > 0.99);
    assert_true(part_of("shani_x1", 1, 65536, 65536, true) > 0.99);
    assert_true(part_of("shani_x2", 2, 65536, 65536, true) > 0.99);
    assert_true(part_of("shani_x2", 8, 65536, 65536, true) > 0.98);
    assert_true(part_of("hybrid_x16", 16, 65536, 65536, true) > 0.99);
    assert_true(part_of("hybrid_x16", 64, 65536, 65536, true) > 0.99);
    /* 16 * 1 KiB beside 1 MiB: nearly all of it must run alone. */
    assert_true(part_of("shani_x1", 17, 1024, ARENA, false) > 0.95);
    assert_true(part_of("shani_x1", 17, 1024, ARENA, true) > 0.95);
}

static void options_are_checked(void **state) {
    (void)state;
    struct varve_sha256 *low = NULL, *high = NULL;
    uint8_t a[DIGEST], b[DIGEST];
    assert_int_equal(
        varve_sha256_open(&low, &(struct varve_sha256_options){.tier = VARVE_TIER_SCALAR}),
        VARVE_OK);
    assert_int_equal(
        varve_sha256_open(&high, &(struct varve_sha256_options){.kernel = "no such kernel"}),
        VARVE_UNSUPPORTED);
    assert_int_equal(varve_sha256_open(&high, &(struct varve_sha256_options){VARVE_TIER_SCALAR,
                                                                             .kernel = "shani_x1"}),
                     VARVE_UNSUPPORTED);
    assert_null(high);
    assert_int_equal(varve_sha256_open(&high, NULL), VARVE_OK);
    varve_sha256_once(low, a, "two contexts", 12);
    varve_sha256_once(high, b, "two contexts", 12);
    assert_memory_equal(a, b, DIGEST);
    assert_string_equal(varve_sha256_engine_name(VARVE_SHA256_OWN), "varve");
    assert_string_equal(varve_sha256_engine_name(VARVE_SHA256_ISAL_CRYPTO), "isal-crypto");
    assert_true(varve_sha256_engine_built(VARVE_SHA256_OWN));
    varve_sha256_close(low);
    varve_sha256_close(high);
    varve_sha256_close(NULL);
}

static int set_up(void **state) {
    (void)state;
    const char *given = getenv("VARVE_TEST_SEED");
    random_state = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 1 | 1;
    print_message("VARVE_TEST_SEED=%llu\n", (unsigned long long)random_state);
    arena = malloc(ARENA);
    if (arena) {
        fill(arena, ARENA);
    }
    return arena ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    free(arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(validation_vectors),
        cmocka_unit_test(monte_carlo),
        cmocka_unit_test(every_length),
        cmocka_unit_test(lengths_around_2_29),
        cmocka_unit_test(lengths_around_2_32),
        cmocka_unit_test(pieces_and_forks),
        cmocka_unit_test(done_starts_more),
        cmocka_unit_test(random_interleavings),
        cmocka_unit_test(every_number_alive),
        cmocka_unit_test(costs_are_measured),
        cmocka_unit_test(the_choice_is_the_fastest),
        cmocka_unit_test(the_row_follows_the_streams),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
