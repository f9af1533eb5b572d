/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/job.c - a blob's whole way through the pipeline, in large steps on the best kernels
 * and in small ones on the scalar ones: the same verdict. The first input byte says how small;
 * plain tars have their checksums put right where it is even.
 *
 * Where a fault of the decoder lies is not compared: how far ahead igzip reads before it meets one
 * depends on how much it was given. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "varve/job.h"

#define MOST_DECODED (1u << 20)
#define BUDGET_BYTES (48u << 20)

struct outcome {
    struct varve_layer layer;
    uint64_t findings;
    uint64_t entries;
};

static void mix(uint64_t *hash, const void *bytes, size_t count) {
    const uint8_t *p = bytes;
    for (size_t i = 0; i < count; i++) {
        *hash = (*hash ^ p[i]) * UINT64_C(0x100000001b3);
    }
}

static void mix_entry(void *cookie, const struct varve_ladder_entry *entry) {
    uint64_t *hash = cookie;
    mix(hash, entry->path.bytes, entry->path.count);
    mix(hash, entry->link.bytes, entry->link.count);
    mix(hash, &entry->size, sizeof entry->size);
    mix(hash, entry->sha256, sizeof entry->sha256);
}

static void mix_findings(uint64_t *hash, const struct varve_findings *findings) {
    for (size_t i = 0; i < varve_findings_count(findings); i++) {
        struct varve_finding finding = varve_findings_at(findings, i);
        mix(hash, finding.info->code, strlen(finding.info->code));
        mix(hash, &finding.count, sizeof finding.count);
        mix(hash, &finding.offset, sizeof finding.offset);
    }
}

static struct outcome judge(int fd, enum varve_tier tier, size_t chunk_bytes) {
    struct outcome outcome = {.findings = 1, .entries = 1};
    struct varve_budget *budget = NULL;
    struct varve_sha256 *sha256 = NULL;
    struct varve_job *job = NULL;
    MUST(varve_budget_open(&budget, BUDGET_BYTES) == VARVE_OK);
    const struct varve_sha256_options sha256_options = {.tier = tier};
    const struct varve_job_options options = {.budget = budget,
                                              .tier = tier,
                                              .deepest_rung = VARVE_RUNG_CONTENT,
                                              .max_decoded_bytes = MOST_DECODED,
                                              .chunk_bytes = chunk_bytes};
    MUST(varve_sha256_open(&sha256, &sha256_options) == VARVE_OK);
    MUST(varve_job_open(&job, sha256, &options) == VARVE_OK);
    MUST(lseek(fd, 0, SEEK_SET) == 0);
    varve_job_begin(job, fd, 0, UINT64_MAX, "fuzz", "fuzz");
    while (!varve_job_done(job)) {
        varve_jobs_advance((struct varve_job *const[]){job}, 1);
    }
    outcome.layer = *varve_job_layer(job);
    mix_findings(&outcome.findings, outcome.layer.findings);
    varve_job_each_entry(job, mix_entry, &outcome.entries);
    varve_job_close(job);
    varve_sha256_close(sha256);
    MUST(varve_budget_taken(budget) == 0);
    varve_budget_close(budget);
    return outcome;
}

static void judge_layer(const struct varve_layer *layer, size_t bytes) {
    MUST(layer->complete && layer->bytes_stored == bytes);
    MUST(layer->rungs.present & 1u << VARVE_RUNG_BLOB);
    MUST((layer->status == VARVE_OK) == (layer->fault.code == NULL));
    /* A rung that is there stands on those before it. */
    uint32_t upper = layer->rungs.present & ~(1u << VARVE_RUNG_BLOB);
    MUST(!upper || upper & 1u << VARVE_RUNG_DIFFID);
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        static const uint8_t zeros[VARVE_SHA256_BYTES];
        bool present = layer->rungs.present & 1u << i;
        MUST(present == (memcmp(layer->rungs.digest[i], zeros, sizeof zeros) != 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 1) {
        return 0;
    }
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0);
    MUST(write(fd, data + 1, bytes - 1) == (ssize_t)(bytes - 1));
    struct outcome large = judge(fd, VARVE_TIER_AUTO, 0);
    struct outcome small = judge(fd, VARVE_TIER_SCALAR, 1u + data[0] * 7u);
    judge_layer(&large.layer, bytes - 1);
    judge_layer(&small.layer, bytes - 1);
    MUST(large.layer.status == small.layer.status && large.layer.format == small.layer.format);
    MUST(large.layer.fault.code == small.layer.fault.code);
    MUST(large.layer.rungs.present == small.layer.rungs.present);
    MUST(memcmp(&large.layer.rungs, &small.layer.rungs, sizeof large.layer.rungs) == 0);
    MUST(memcmp(&large.layer.facets, &small.layer.facets, sizeof large.layer.facets) == 0);
    if (large.layer.status == VARVE_OK) {
        MUST(large.findings == small.findings && large.entries == small.entries);
        MUST(large.layer.bytes_decoded == small.layer.bytes_decoded);
    }
    close(fd);
    return 0;
}
