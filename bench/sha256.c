/* SPDX-License-Identifier: Apache-2.0 */
/* bench/sha256.c - SHA-256 of many messages: varve beside the others, by size and number of lanes.
 *
 *   SIZE/lanes:N   N messages of that size at a time, then a flush
 *   mix/lanes:N    file sizes of this system, N files at a time, from memory not in the caches
 *   round          what a thread of a scan gives in one round: pieces of sixteen layers' blob and
 *                  diffid streams and their file contents; the remark says how full the lanes were
 *
 * "sha-ni" is varve's own kernel hashing one message after the other, which no number of lanes may
 * be slower than.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPENSSL_SUPPRESS_DEPRECATED /* the old calls are its fastest */
#include <openssl/crypto.h>
#include <openssl/sha.h>

/* Their old names are each other's. */
#define NO_COMPAT_IMB_API_053
#define NO_COMPAT_ISAL_CRYPTO_API_2_24
#if defined(VARVE_HAVE_IPSEC_MB)
#include <intel-ipsec-mb.h>
#endif
#if defined(VARVE_HAVE_ISAL_CRYPTO)
#include <isa-l_crypto/isal_crypto_api.h>
#include <isa-l_crypto/sha256_mb.h>
#endif

#include "bench.h"
#include "kernels.h"
#include "varve/sha256.h"

#define MAX_LANES 2048
#define DIGEST VARVE_SHA256_BYTES

/* Every run gets through at least this much, so that reading the clock costs nothing. */
#define LEAST_BYTES ((size_t)512 << 10)

/* A piece of work: messages, and how many of them are given before a flush. */
struct work {
    size_t count, lanes, longest;
    const uint8_t **data;
    size_t *bytes;
    uint8_t (*expected)[DIGEST];
};

/* A contender's own things. */
struct entrant {
    const struct work *work;
    uint8_t (*digests)[DIGEST];
    struct varve_sha256 *ctx;
    struct varve_sha256_stream *streams;
    void *engine;
};

struct trial {
    struct work work;
    struct entrant entrants[BENCH_MAX_CONTENDERS];
    size_t entrant_count;
};

static void *must(void *memory) {
    if (!memory) {
        perror("bench");
        exit(2);
    }
    return memory;
}

static void keep(void *cookie, const uint8_t digest[DIGEST]) {
    memcpy(cookie, digest, DIGEST);
}

static void run_varve(void *cookie) {
    struct entrant *me = cookie;
    const struct work *work = me->work;
    for (size_t i = 0; i < work->count;) {
        for (size_t lane = 0; lane < work->lanes && i < work->count; lane++, i++) {
            varve_sha256_message(me->ctx, &me->streams[lane], work->data[i], work->bytes[i], keep,
                                 me->digests[i]);
        }
        varve_sha256_flush(me->ctx);
    }
}

static void run_one_by_one(void *cookie) {
    struct entrant *me = cookie;
    for (size_t i = 0; i < me->work->count; i++) {
        varve_sha256_once(me->ctx, me->digests[i], me->work->data[i], me->work->bytes[i]);
    }
}

static void run_openssl(void *cookie) {
    struct entrant *me = cookie;
    for (size_t i = 0; i < me->work->count; i++) {
        SHA256_CTX ctx;
        SHA256_Init(&ctx);
        SHA256_Update(&ctx, me->work->data[i], me->work->bytes[i]);
        SHA256_Final(me->digests[i], &ctx);
    }
}

#if defined(VARVE_HAVE_IPSEC_MB)
static void run_ipsec(void *cookie) {
    struct entrant *me = cookie;
    const struct work *work = me->work;
    IMB_MGR *manager = me->engine;
    for (size_t i = 0; i < work->count;) {
        for (size_t lane = 0; lane < work->lanes && i < work->count; lane++, i++) {
            IMB_JOB *job = IMB_GET_NEXT_JOB(manager);
            *job = (IMB_JOB){.src = work->data[i],
                             .msg_len_to_hash_in_bytes = work->bytes[i],
                             .auth_tag_output = me->digests[i],
                             .auth_tag_output_len_in_bytes = DIGEST,
                             .hash_alg = IMB_AUTH_SHA_256,
                             .cipher_mode = IMB_CIPHER_NULL,
                             .cipher_direction = IMB_DIR_ENCRYPT,
                             .chain_order = IMB_ORDER_HASH_CIPHER};
            IMB_SUBMIT_JOB_NOCHECK(manager);
        }
        while (IMB_FLUSH_JOB(manager)) {
        }
    }
}
#endif

#if defined(VARVE_HAVE_ISAL_CRYPTO)
struct isal {
    ISAL_SHA256_HASH_CTX_MGR manager;
    ISAL_SHA256_HASH_CTX slots[MAX_LANES];
};

static void isal_done(const ISAL_SHA256_HASH_CTX *slot) {
    uint8_t *digest = slot->user_data;
    for (int w = 0; w < 8; w++) {
        uint32_t word = __builtin_bswap32(slot->job.result_digest[w]);
        memcpy(digest + 4 * w, &word, 4);
    }
}

static void run_isal(void *cookie) {
    struct entrant *me = cookie;
    const struct work *work = me->work;
    struct isal *isal = me->engine;
    ISAL_SHA256_HASH_CTX *back = NULL;
    for (size_t i = 0; i < work->count;) {
        for (size_t lane = 0; lane < work->lanes && i < work->count; lane++, i++) {
            ISAL_SHA256_HASH_CTX *slot = &isal->slots[lane];
            isal_hash_ctx_init(slot);
            slot->user_data = me->digests[i];
            isal_sha256_ctx_mgr_submit(&isal->manager, slot, &back, work->data[i],
                                       (uint32_t)work->bytes[i], ISAL_HASH_ENTIRE);
            if (back) {
                isal_done(back);
            }
        }
        while (isal_sha256_ctx_mgr_flush(&isal->manager, &back) == 0 && back) {
            isal_done(back);
        }
    }
    varve_upper_halves_clean(); /* it leaves them dirty, and who comes next would pay for that */
}
#endif

/* ---- Setting up ---- */

static struct varve_sha256 *open_ctx(enum varve_sha256_engine engine) {
    struct varve_sha256 *ctx = NULL;
    struct varve_sha256_options options = {.engine = engine};
    return varve_sha256_open(&ctx, &options) == VARVE_OK ? ctx : must(NULL);
}

static void enter(struct bench_case *c, const char *name, void (*run)(void *), void *engine) {
    struct trial *trial = c->cookie;
    struct entrant *entrant = &trial->entrants[trial->entrant_count++];
    entrant->work = &trial->work;
    entrant->digests = must(calloc(trial->work.count, DIGEST));
    entrant->ctx = open_ctx(VARVE_SHA256_OWN);
    entrant->streams = must(calloc(trial->work.lanes, sizeof *entrant->streams));
    entrant->engine = engine;
    bench_add(c, name, run, entrant);
}

static bool verify(void *cookie) {
    struct trial *trial = cookie;
    bool right = true;
    for (size_t i = 0; i < trial->entrant_count; i++) {
        right &= memcmp(trial->entrants[i].digests, trial->work.expected,
                        trial->work.count * DIGEST) == 0;
    }
    return right;
}

/* How full the lanes of the vector kernels were. */
static void occupancy(void *cookie, char *to, size_t bytes) {
    struct trial *trial = cookie;
    struct varve_sha256_use use;
    uint64_t blocks = 0, slots = 0;
    for (size_t i = 0; varve_sha256_use_at(trial->entrants[0].ctx, &use, i); i++) {
        blocks += use.blocks;
        slots += use.blocks + use.empty_lane_blocks;
    }
    size_t used =
        (size_t)snprintf(to, bytes, "%5.1f %% full", 100.0 * (double)blocks / (double)slots);
    for (size_t i = 0; varve_sha256_use_at(trial->entrants[0].ctx, &use, i) && used < bytes; i++) {
        if (use.blocks > 0) {
            used += (size_t)snprintf(to + used, bytes - used, ", %s %.1f %%", use.name,
                                     100.0 * (double)use.blocks / (double)blocks);
        }
    }
}

static void finish_case(struct bench_case *c) {
    struct trial *trial = c->cookie;
    struct work *work = &trial->work;
    work->expected = must(calloc(work->count, DIGEST));
    for (size_t i = 0; i < work->count; i++) {
        SHA256(work->data[i], work->bytes[i], work->expected[i]);
        c->bytes += work->bytes[i];
        work->longest = work->bytes[i] > work->longest ? work->bytes[i] : work->longest;
    }
    c->verify = verify;
    c->remark = occupancy;
    enter(c, "varve", run_varve, NULL);
    enter(c, "sha-ni", run_one_by_one, NULL);
    enter(c, "openssl", run_openssl, NULL);
#if defined(VARVE_HAVE_ISAL_CRYPTO)
    struct isal *isal = must(aligned_alloc(64, (sizeof *isal + 63) / 64 * 64));
    isal_sha256_ctx_mgr_init(&isal->manager);
    enter(c, "isa-l_crypto", run_isal, isal);
#endif
#if defined(VARVE_HAVE_IPSEC_MB)
    static IMB_MGR *manager;
    if (!manager) {
        manager = must(alloc_mb_mgr(0));
        init_mb_mgr_auto(manager, NULL);
    }
    /* Its lengths are 16 bits of bytes. */
    if (work->longest <= 64 << 10) {
        enter(c, "ipsec-mb", run_ipsec, manager);
    }
#endif
}

static struct work *begin_case(struct bench_case *c, size_t count, size_t lanes) {
    struct trial *trial = must(calloc(1, sizeof *trial));
    c->cookie = trial;
    trial->work.count = count;
    trial->work.lanes = lanes;
    trial->work.data = must(calloc(count, sizeof *trial->work.data));
    trial->work.bytes = must(calloc(count, sizeof *trial->work.bytes));
    return &trial->work;
}

/* Messages of one size: `lanes` of them, again and again. */
static void add_size(struct bench_case *c, const char *name, size_t size, size_t lanes,
                     const uint8_t *arena) {
    snprintf(c->name, sizeof c->name, "%s/lanes:%zu", name, lanes);
    size_t rounds = (LEAST_BYTES + size * lanes - 1) / (size * lanes);
    struct work *work = begin_case(c, rounds * lanes, lanes);
    for (size_t i = 0; i < work->count; i++) {
        work->data[i] = arena + i % lanes * (size + 1); /* of every alignment */
        work->bytes[i] = size;
    }
    finish_case(c);
}

/* ---- File sizes ---- */

static struct { size_t *bytes, count, room; } files;

static int note_file(const char *path, const struct stat *status, int type, struct FTW *at) {
    (void)path;
    (void)at;
    if (type == FTW_F && status->st_size > 0 && S_ISREG(status->st_mode)) {
        if (files.count == files.room) {
            files.room = files.room ? 2 * files.room : 4096;
            files.bytes = must(realloc(files.bytes, files.room * sizeof *files.bytes));
        }
        files.bytes[files.count++] = (size_t)status->st_size;
    }
    return 0;
}

static int by_size(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random64(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

#define MIX_FILES 2048
#define MIX_LONGEST ((size_t)1 << 20)

/* Sizes at random from the sorted list. A file beyond MIX_LONGEST counts as that: few whole ones of
 * hundreds of megabytes among 2048 would leave nothing beside them, and a scan sees them in pieces.
 */
static void add_mix(struct bench_case *c, size_t lanes, const uint8_t *arena, size_t arena_bytes) {
    snprintf(c->name, sizeof c->name, "mix/lanes:%zu", lanes);
    struct work *work = begin_case(c, MIX_FILES, lanes);
    random_state = 0x9e3779b97f4a7c15;
    for (size_t i = 0, at = 0; i < MIX_FILES; i++) {
        size_t bytes = files.bytes[random64() % files.count];
        bytes = bytes < MIX_LONGEST ? bytes : MIX_LONGEST;
        if (bytes > arena_bytes - at) {
            at = 0;
        }
        work->data[i] = arena + at;
        work->bytes[i] = bytes;
        at += bytes;
    }
    finish_case(c);
}

/* ---- A round of a scan ---- */

enum {
    LAYERS = 16,
    FORKS = 2 * LAYERS,
    BLOB_PIECE = 20 << 10,
    CHUNK = 64 << 10,
    ROUND_MESSAGES = 2048
};

struct round {
    const uint8_t *arena;
    struct varve_sha256_stream blob[LAYERS], diffid[LAYERS], contents[ROUND_MESSAGES];
    struct {
        const uint8_t *data;
        size_t bytes;
    } messages[ROUND_MESSAGES];
    size_t first_message[LAYERS + 1];
};

/* Contents of the chunk of layer l: files until it is full; a long one is a piece of a stream,
 * which costs the same as a message. */
static void plan_round(struct round *round) {
    size_t count = 0;
    for (size_t l = 0; l < LAYERS; l++) {
        round->first_message[l] = count;
        const uint8_t *chunk = round->arena + l * (BLOB_PIECE + CHUNK) + BLOB_PIECE;
        for (size_t at = 0; at < CHUNK && count < ROUND_MESSAGES;) {
            size_t bytes = files.bytes[random64() % files.count];
            bytes = bytes < CHUNK - at ? bytes : CHUNK - at;
            round->messages[count].data = chunk + at;
            round->messages[count++].bytes = bytes;
            at += (bytes + 512 + 511) / 512 * 512; /* its header and padding */
        }
    }
    round->first_message[LAYERS] = count;
}

/* The digests of a round: contents, then every stream so far. */
static void run_round(void *cookie) {
    struct entrant *me = cookie;
    struct round *round = me->engine;
    struct varve_sha256_stream forks[FORKS];
    for (size_t l = 0; l < LAYERS; l++) {
        const uint8_t *data = round->arena + l * (BLOB_PIECE + CHUNK);
        varve_sha256_init(&round->blob[l]);
        varve_sha256_init(&round->diffid[l]);
        varve_sha256_update(me->ctx, &round->blob[l], data, BLOB_PIECE);
        varve_sha256_update(me->ctx, &round->diffid[l], data + BLOB_PIECE, CHUNK);
        for (size_t i = round->first_message[l]; i < round->first_message[l + 1]; i++) {
            varve_sha256_message(me->ctx, &round->contents[i], round->messages[i].data,
                                 round->messages[i].bytes, keep, me->digests[i + FORKS]);
        }
    }
    varve_sha256_flush(me->ctx);
    for (size_t l = 0; l < LAYERS; l++) {
        varve_sha256_fork(me->ctx, &forks[2 * l], &round->blob[l]);
        varve_sha256_fork(me->ctx, &forks[2 * l + 1], &round->diffid[l]);
        varve_sha256_final(me->ctx, &forks[2 * l], keep, me->digests[2 * l]);
        varve_sha256_final(me->ctx, &forks[2 * l + 1], keep, me->digests[2 * l + 1]);
    }
    varve_sha256_flush(me->ctx);
}

static void add_round(struct bench_case *c, const uint8_t *arena) {
    snprintf(c->name, sizeof c->name, "round");
    struct round *round = must(calloc(1, sizeof *round));
    round->arena = arena;
    random_state = 0x9e3779b97f4a7c15;
    plan_round(round);
    size_t count = round->first_message[LAYERS];
    struct work *work = begin_case(c, count + 2 * (size_t)LAYERS, 1);
    for (size_t i = 0; i < work->count; i++) {
        size_t l = i / 2;
        if (i >= FORKS) {
            work->data[i] = round->messages[i - FORKS].data;
            work->bytes[i] = round->messages[i - FORKS].bytes;
        } else {
            work->data[i] = arena + l * (BLOB_PIECE + CHUNK) + (i % 2 ? BLOB_PIECE : 0);
            work->bytes[i] = i % 2 ? CHUNK : BLOB_PIECE;
        }
    }
    work->expected = must(calloc(work->count, DIGEST));
    for (size_t i = 0; i < work->count; i++) {
        SHA256(work->data[i], work->bytes[i], work->expected[i]);
        c->bytes += work->bytes[i];
    }
    c->verify = verify;
    c->remark = occupancy;
    enter(c, "varve", run_round, round);
    enter(c, "sha-ni", run_one_by_one, NULL);
    enter(c, "openssl", run_openssl, NULL);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        size_t bytes;
    } sizes[] = {
        {"64B", 64}, {"512B", 512}, {"4KiB", 4 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}};
    static const size_t lanes[] = {1, 2, 4, 8, 16, 64};
    enum { SIZES = 5, LANES = 6, CASES = SIZES * LANES + 4 };
    static struct bench_case cases[CASES];
    const size_t arena_bytes = (size_t)160 << 20;
    uint8_t *arena = must(malloc(arena_bytes));
    for (size_t i = 0; i < arena_bytes; i += 8) {
        uint64_t word = random64();
        memcpy(arena + i, &word, 8);
    }
    nftw("/usr/share", note_file, 32, FTW_PHYS);
    nftw("/usr/lib", note_file, 32, FTW_PHYS);
    qsort(files.bytes, files.count, sizeof *files.bytes, by_size);
    size_t count = 0;
    for (size_t s = 0; s < SIZES; s++) {
        for (size_t l = 0; l < LANES; l++) {
            add_size(&cases[count++], sizes[s].name, sizes[s].bytes, lanes[l], arena);
        }
    }
    if (files.count > 0) {
        add_mix(&cases[count++], 16, arena, arena_bytes);
        add_mix(&cases[count++], 64, arena, arena_bytes);
        add_mix(&cases[count++], MIX_FILES, arena, arena_bytes);
        add_round(&cases[count++], arena);
    }
    bench_library("openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
#if defined(VARVE_HAVE_ISAL_CRYPTO)
    bench_library("isa-l_crypto",
                  BENCH_TEXT(ISAL_CRYPTO_MAJOR_VERSION) "." BENCH_TEXT(
                      ISAL_CRYPTO_MINOR_VERSION) "." BENCH_TEXT(ISAL_CRYPTO_PATCH_VERSION));
#endif
#if defined(VARVE_HAVE_IPSEC_MB)
    bench_library("ipsec-mb", imb_get_version_str());
#endif
    return bench_main(argc, argv, cases, count);
}
