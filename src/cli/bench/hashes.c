/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/hashes.c - digests: varve's SHA-256 by tier and by streams at once, and others,
 * over whole archives as streams and over the files' contents. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#ifdef VARVE_HAVE_XXHASH
#include <xxhash.h>
#endif
#ifdef VARVE_HAVE_BLAKE3
#include <blake3.h>
#endif

#include "bench.h"

#define MOST_DIGEST_BYTES 64

/* A hash that takes one message after the other. */
struct hash {
    const char *library, *name;
    size_t digest_bytes;
    const char *abc; /* digest of "abc" in hex, as its standard says; checked before measuring */
    void *(*open)(const struct hash *hash); /* NULL: not in this library */
    bool (*digest)(void *context, uint8_t *digest, const void *data, size_t bytes);
    void (*close)(void *context);
};

/* ---- OpenSSL ---- */

struct evp {
    EVP_MD_CTX *context;
    EVP_MD *md;
};

static void evp_close(void *context) {
    struct evp *evp = context;
    EVP_MD_CTX_free(evp->context);
    EVP_MD_free(evp->md);
    free(evp);
}

static void *evp_open(const struct hash *hash) {
    struct evp *evp = calloc(1, sizeof *evp);
    if (!evp) {
        return NULL;
    }
    evp->md = EVP_MD_fetch(NULL, hash->name, NULL);
    evp->context = EVP_MD_CTX_new();
    if (!evp->md || !evp->context) {
        evp_close(evp);
        return NULL;
    }
    return evp;
}

static bool evp_digest(void *context, uint8_t *digest, const void *data, size_t bytes) {
    struct evp *evp = context;
    return EVP_DigestInit_ex(evp->context, evp->md, NULL) == 1 &&
           EVP_DigestUpdate(evp->context, data, bytes) == 1 &&
           EVP_DigestFinal_ex(evp->context, digest, NULL) == 1;
}

/* ---- xxHash and BLAKE3 ---- */

#if defined(VARVE_HAVE_XXHASH) || defined(VARVE_HAVE_BLAKE3)
/* They need no context: any address will do. */
static void *stateless_open(const struct hash *hash) {
    (void)hash;
    static char nothing;
    return &nothing;
}

static void stateless_close(void *context) {
    (void)context;
}
#endif

#ifdef VARVE_HAVE_XXHASH
static bool xxh3_digest(void *context, uint8_t *digest, const void *data, size_t bytes) {
    XXH128_canonical_t canonical;
    (void)context;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, bytes));
    memcpy(digest, canonical.digest, sizeof canonical.digest);
    return true;
}
#endif

#ifdef VARVE_HAVE_BLAKE3
static bool blake3_digest(void *context, uint8_t *digest, const void *data, size_t bytes) {
    blake3_hasher hasher;
    (void)context;
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, data, bytes);
    blake3_hasher_finalize(&hasher, digest, BLAKE3_OUT_LEN);
    return true;
}
#endif

/* Digests of "abc": FIPS 180-4 and FIPS 202 examples, RFC 7693 (appendix A); BLAKE3's and XXH3's by
 * their own programs. */
static const struct hash hashes[] = {
    {"OpenSSL", "SHA2-256", 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
     evp_open, evp_digest, evp_close},
    {"OpenSSL", "SHA2-512", 64,
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
     evp_open, evp_digest, evp_close},
    {"OpenSSL", "SHA2-512/256", 32,
     "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23", evp_open, evp_digest,
     evp_close},
    {"OpenSSL", "SHA3-256", 32, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
     evp_open, evp_digest, evp_close},
    {"OpenSSL", "BLAKE2B-512", 64,
     "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
     "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
     evp_open, evp_digest, evp_close},
#ifdef VARVE_HAVE_BLAKE3
    {"libblake3", "BLAKE3", 32, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
     stateless_open, blake3_digest, stateless_close},
#endif
#ifdef VARVE_HAVE_XXHASH
    {"xxHash", "XXH3-128 (no digest)", 16, "06b05ab6733a618578af5f94892f3950", stateless_open,
     xxh3_digest, stateless_close},
#endif
};

/* ---- Tasks ---- */

struct digests {
    const struct hash *hash; /* NULL: varve's */
    struct varve_sha256_options options;
    size_t digest_bytes;
    uint8_t *made, *due; /* by unit */
    bool known;          /* `due` holds what has to come */
    char evidence[160];
};

static void close_digests(struct bench_task *task) {
    struct digests *digests = task->state;
    free(digests->made);
    free(digests->due);
    free(digests);
    task->state = NULL;
}

static bool run_hash(struct bench_task *task, const struct bench_share *share) {
    struct digests *digests = task->state;
    const struct hash *hash = digests->hash;
    void *context = hash->open(hash);
    bool good = context != NULL;
    for (size_t i = 0; good && i < share->count; i++) {
        uint32_t unit = share->units[i];
        good = hash->digest(context, digests->made + unit * hash->digest_bytes,
                            task->over->units[unit].data, task->over->units[unit].bytes);
    }
    if (context) {
        hash->close(context);
    }
    return good;
}

static void keep_digest(void *cookie, const uint8_t digest[VARVE_SHA256_BYTES]) {
    memcpy(cookie, digest, VARVE_SHA256_BYTES);
}

/* Which kernel rows did it, for one thread that did all. */
static void note_rows(struct digests *digests, const struct varve_sha256 *sha256) {
    struct varve_sha256_use use;
    uint64_t blocks = 0;
    size_t used = 0;
    for (size_t i = 0; varve_sha256_use_at(sha256, &use, i); i++) {
        blocks += use.blocks;
    }
    digests->evidence[0] = 0;
    for (size_t i = 0; blocks > 0 && varve_sha256_use_at(sha256, &use, i); i++) {
        double part = 100.0 * (double)use.blocks / (double)blocks;
        if (part >= 0.5 && used < sizeof digests->evidence) {
            used += (size_t)snprintf(digests->evidence + used, sizeof digests->evidence - used,
                                     "%s%s %.0f%%", used ? ", " : "", use.name, part);
        }
    }
}

static bool run_varve(struct bench_task *task, const struct bench_share *share) {
    struct digests *digests = task->state;
    struct varve_sha256 *sha256 = NULL;
    struct varve_sha256_stream *streams = calloc(share->count + 1, sizeof *streams);
    bool good = streams && varve_sha256_open(&sha256, &digests->options) == VARVE_OK;
    for (size_t i = 0; good && i < share->count; i++) {
        uint32_t unit = share->units[i];
        const struct bench_unit *from = &task->over->units[unit];
        varve_sha256_message(sha256, &streams[i], from->data, from->bytes, keep_digest,
                             digests->made + (size_t)unit * VARVE_SHA256_BYTES);
    }
    if (good) {
        varve_sha256_flush(sha256);
        if (share == &task->over->whole) {
            note_rows(digests, sha256);
        }
    }
    varve_sha256_close(sha256);
    free(streams);
    return good;
}

/* SHA-256 against OpenSSL's; any other hash, whose example was checked, against its own first run.
 */
static bool verify_digests(struct bench_task *task) {
    struct digests *digests = task->state;
    size_t bytes = task->over->count * digests->digest_bytes;
    if (!digests->known && !digests->hash) {
        struct evp *evp = evp_open(&hashes[0]);
        bool good = evp != NULL;
        for (size_t i = 0; good && i < task->over->count; i++) {
            good = evp_digest(evp, digests->due + i * VARVE_SHA256_BYTES, task->over->units[i].data,
                              task->over->units[i].bytes);
        }
        if (evp) {
            evp_close(evp);
        }
        digests->known = good;
        task->fault = good ? BENCH_WELL : BENCH_FAILED;
    } else if (!digests->known) {
        memcpy(digests->due, digests->made, bytes);
        digests->known = true;
    }
    bool right = digests->known && memcmp(digests->made, digests->due, bytes) == 0;
    memset(digests->made, 0, bytes);
    return right;
}

static const struct bench_operations hash_operations = {run_hash, verify_digests, close_digests};
static const struct bench_operations varve_operations = {run_varve, verify_digests, close_digests};

static struct digests *add_task(struct bench *bench, enum bench_form_kind form,
                                size_t digest_bytes) {
    struct bench_task *task = bench_add(bench, "hash", form);
    struct digests *digests = task ? calloc(1, sizeof *digests) : NULL;
    if (!digests) {
        return NULL;
    }
    task->state = digests;
    task->operations = &varve_operations;
    task->evidence = digests->evidence;
    digests->digest_bytes = digest_bytes;
    digests->made = calloc(task->over->count + 1, digest_bytes);
    digests->due = calloc(task->over->count + 1, digest_bytes);
    return digests->made && digests->due ? digests : NULL;
}

static bool add_varve(struct bench *bench, enum bench_form_kind form, const char *kernel,
                      enum varve_sha256_engine engine) {
    struct digests *digests = add_task(bench, form, VARVE_SHA256_BYTES);
    struct bench_task *task = &bench->tasks[bench->task_count - 1];
    if (!digests) {
        return false;
    }
    digests->options = (struct varve_sha256_options){.kernel = kernel, .engine = engine};
    snprintf(task->variant, sizeof task->variant, "%s SHA-256 %s", varve_sha256_engine_name(engine),
             kernel ? kernel : "auto");
    return true;
}

/* What varve chooses by itself, then each kernel row that this CPU can run. */
static bool add_kernels(struct bench *bench, enum bench_form_kind form) {
    bool good = add_varve(bench, form, NULL, VARVE_SHA256_OWN);
    for (size_t i = 0; good && i < varve_kernel_count(); i++) {
        struct varve_kernel_info row = varve_kernel_at(i);
        if (strcmp(row.family, "sha256") == 0 && row.may_run) {
            good = add_varve(bench, form, row.name, VARVE_SHA256_OWN);
        }
    }
    if (good && varve_sha256_engine_built(VARVE_SHA256_ISAL_CRYPTO)) {
        good = add_varve(bench, form, NULL, VARVE_SHA256_ISAL_CRYPTO);
    }
    return good;
}

/* Whether it is there, and gives the standard's example. *failed: it gives nothing. */
static bool right_example(bool *there, bool *failed, const struct hash *hash) {
    uint8_t digest[MOST_DIGEST_BYTES] = {0};
    char text[2 * MOST_DIGEST_BYTES + 1] = "";
    void *context = hash->open(hash);
    *there = context != NULL;
    *failed = false;
    if (!context) {
        return true;
    }
    *failed = !hash->digest(context, digest, "abc", 3);
    hash->close(context);
    for (size_t i = 0; i < hash->digest_bytes; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    return strcmp(text, hash->abc) == 0;
}

static bool add_others(struct bench *bench, enum bench_form_kind form) {
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        const struct hash *hash = &hashes[i];
        bool there = false;
        bool failed = false;
        if (!right_example(&there, &failed, hash)) {
            complain(failed ? "%s gives no %s" : "%s gives a wrong %s", hash->library, hash->name);
            return false;
        }
        if (!there) {
            if (form == BENCH_ARCHIVES) {
                bench_note_absent(bench, hash->name,
                                  "OpenSSL here has it not, or there was no memory for it");
            }
            continue;
        }
        struct digests *digests = add_task(bench, form, hash->digest_bytes);
        if (!digests) {
            return false;
        }
        struct bench_task *task = &bench->tasks[bench->task_count - 1];
        digests->hash = hash;
        task->operations = &hash_operations;
        task->evidence = NULL;
        snprintf(task->variant, sizeof task->variant, "%s %s", hash->library, hash->name);
    }
    return true;
}

bool bench_add_hashes(struct bench *bench) {
    bool good = add_kernels(bench, BENCH_ARCHIVES) && add_others(bench, BENCH_ARCHIVES) &&
                add_kernels(bench, BENCH_FILES) && add_others(bench, BENCH_FILES);
    for (size_t i = 0; i < varve_kernel_count(); i++) {
        struct varve_kernel_info row = varve_kernel_at(i);
        if (strcmp(row.family, "sha256") == 0 && !row.may_run) {
            bench_note_absent(bench, row.name, "not on this CPU");
        }
    }
    if (!varve_sha256_engine_built(VARVE_SHA256_ISAL_CRYPTO)) {
        bench_note_absent(bench, "isa-l_crypto", "not built in");
    }
#ifdef VARVE_HAVE_BLAKE3
    bench_note_version(bench, "libblake3", blake3_version());
#else
    bench_note_absent(bench, "libblake3", "not built in");
#endif
#ifdef VARVE_HAVE_XXHASH
    char version[24];
    unsigned number = XXH_versionNumber(); /* 802: 0.8.2 */
    snprintf(version, sizeof version, "%u.%u.%u", number / 10000, number / 100 % 100, number % 100);
    bench_note_version(bench, "xxHash", version);
#else
    bench_note_absent(bench, "xxHash", "not built in");
#endif
    return good;
}
