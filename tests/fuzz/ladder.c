/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/ladder.c - what the ladder promises of a tar and of the same tar changed: with zeros
 * behind it, all is the same from `archive` on; with its entries the other way round, all from
 * `order` on, unless one of the two says that order means something; compressed, all from `diffid`
 * on. And two layers that meet on a rung meet on all below.
 *
 * Checksums of blocks that bear a ustar magic are put right beforehand. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../deflate.h"
#include "fuzz.h"
#include "varve/job.h"

#define MOST_DECODED (1u << 20)
#define MOST_ENTRIES 256
#define ZEROS 3072

struct outcome {
    enum varve_status status;
    struct varve_rungs rungs;
    struct varve_facets facets;
    bool significant; /* finding order.significant */
    bool trailer;     /* finding eoa.data */
};

static struct outcome judge(const uint8_t *data, size_t bytes) {
    struct outcome outcome = {0};
    struct varve_sha256 *sha256 = NULL;
    struct varve_job *job = NULL;
    const struct varve_job_options options = {.deepest_rung = VARVE_RUNG_CONTENT,
                                              .max_decoded_bytes = MOST_DECODED};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes && lseek(fd, 0, SEEK_SET) == 0);
    MUST(varve_sha256_open(&sha256, NULL) == VARVE_OK);
    MUST(varve_job_open(&job, sha256, &options) == VARVE_OK);
    varve_job_begin(job, fd, 0, UINT64_MAX, "fuzz", "fuzz");
    while (!varve_job_done(job)) {
        varve_jobs_advance((struct varve_job *const[]){job}, 1);
    }
    const struct varve_layer *layer = varve_job_layer(job);
    outcome.status = layer->status;
    outcome.rungs = layer->rungs;
    outcome.facets = layer->facets;
    for (size_t i = 0; i < varve_findings_count(layer->findings); i++) {
        struct varve_finding finding = varve_findings_at(layer->findings, i);
        outcome.significant |= strcmp(finding.info->code, "order.significant") == 0;
        outcome.trailer |= strcmp(finding.info->code, "eoa.data") == 0;
    }
    varve_job_close(job);
    varve_sha256_close(sha256);
    close(fd);
    return outcome;
}

static bool same(const struct outcome *a, const struct outcome *b, int rung) {
    return memcmp(a->rungs.digest[rung], b->rungs.digest[rung], VARVE_SHA256_BYTES) == 0;
}

/* `b` is `a` changed, and must meet it from `rung` on. */
static void must_meet(const struct outcome *a, const struct outcome *b, int rung) {
    MUST(a->status == VARVE_OK && b->status == VARVE_OK);
    for (; rung < VARVE_RUNG_COUNT; rung++) {
        MUST((b->rungs.present >> rung & 1) == (a->rungs.present >> rung & 1));
        MUST(same(a, b, rung));
    }
}

static void must_be_a_ladder(const struct outcome *a, const struct outcome *b) {
    bool met = false;
    for (int rung = VARVE_RUNG_ARCHIVE; rung < VARVE_RUNG_COUNT; rung++) {
        if (a->rungs.present & b->rungs.present & 1u << rung) {
            MUST(!met || same(a, b, rung));
            met |= same(a, b, rung);
        }
    }
}

/* Where entries begin, and in [count] where the last one ends. 0: they cannot be moved about. */
static size_t find_entries(uint64_t *at, const uint8_t *data, size_t bytes) {
    struct varve_tar *tar = NULL;
    struct varve_tar_item item;
    enum varve_tar_event event;
    size_t count = 0;
    bool movable = true;
    bool settled = false;
    MUST(varve_tar_open(&tar, NULL) == VARVE_OK);
    varve_tar_reset(tar, NULL);
    varve_tar_feed(tar, data, bytes, true);
    while ((event = varve_tar_next(tar, &item)) != VARVE_TAR_END && event != VARVE_TAR_FAULT) {
        if (event == VARVE_TAR_ENTRY && count < MOST_ENTRIES) {
            at[count++] = item.entry->first_offset;
        } else if (event == VARVE_TAR_ENTRY || event == VARVE_TAR_GLOBAL) {
            movable = false;
        }
    }
    at[count] = (varve_tar_archive_end(tar, &settled) + 511) / 512 * 512;
    for (size_t i = 0; i <= count; i++) {
        movable &= at[i] % 512 == 0 && at[i] <= bytes;
    }
    movable &= event == VARVE_TAR_END && count > 1 && at[0] == 0;
    varve_tar_close(tar);
    return movable ? count : 0;
}

static void judge_gzip(const struct outcome *plain, const uint8_t *data, size_t bytes) {
    size_t room = compressBound((uLong)bytes) + 64;
    uint8_t *stored = malloc(room);
    MUST(stored != NULL);
    size_t made = test_deflate(stored, room, data, bytes, 1, Z_DEFAULT_STRATEGY, 31);
    struct outcome packed = judge(stored, made);
    must_meet(plain, &packed, VARVE_RUNG_DIFFID);
    MUST(memcmp(&plain->facets, &packed.facets, sizeof packed.facets) == 0);
    free(stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    uint64_t at[MOST_ENTRIES + 1];
    uint8_t *tar = calloc(1, bytes + ZEROS);
    uint8_t *turned = calloc(1, bytes + ZEROS);
    MUST(tar && turned);
    memcpy(tar, data, bytes);
    fuzz_mend_checksums(tar, bytes);
    struct outcome plain = judge(tar, bytes);
    if (plain.status == VARVE_OK && plain.rungs.present & 1u << VARVE_RUNG_ENCODING) {
        judge_gzip(&plain, tar, bytes);
    }
    size_t count = find_entries(at, tar, bytes);
    if (count && plain.status == VARVE_OK) {
        struct outcome longer = judge(tar, bytes + ZEROS);
        size_t end = 0;
        for (size_t i = count; i-- > 0;) {
            memcpy(turned + end, tar + at[i], (size_t)(at[i + 1] - at[i]));
            end += (size_t)(at[i + 1] - at[i]);
        }
        memcpy(turned + end, tar + end, bytes - end);
        struct outcome reversed = judge(turned, bytes);
        must_be_a_ladder(&plain, &longer);
        if (!plain.trailer) {
            must_meet(&plain, &longer, VARVE_RUNG_ARCHIVE);
        }
        must_be_a_ladder(&plain, &reversed);
        if (!plain.significant && !reversed.significant && reversed.status == VARVE_OK) {
            must_meet(&plain, &reversed, VARVE_RUNG_ORDER);
        }
    }
    free(tar);
    free(turned);
    return 0;
}
