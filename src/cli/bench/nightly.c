/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/nightly.c - end to end: what a scan of the whole ladder costs, if the sample were
 * stored in one way or another. The blobs are files in memory (memfd_create(2)), read like any
 * others. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

/* Jobs in flight, as a scan's threads have them. */
#define JOBS 16

struct nightly {
    const struct bench_codec *codec; /* NULL: as stored, or plain */
    int *files;                      /* by unit of BENCH_ARCHIVES, -1: none */
    size_t count;
    struct varve_rungs *rungs; /* of the last run */
    struct varve_rungs *due;
    bool known;
};

static void close_nightly(struct bench_task *task) {
    struct nightly *nightly = task->state;
    for (size_t i = 0; nightly->files && i < nightly->count; i++) {
        if (nightly->files[i] >= 0) {
            close(nightly->files[i]);
        }
    }
    free(nightly->files);
    free(nightly->rungs);
    free(nightly->due);
    free(nightly);
    task->state = NULL;
}

struct team {
    struct varve_sha256 *sha256;
    struct varve_job *jobs[JOBS];
    uint32_t unit[JOBS];
    size_t count;
};

static bool open_team(struct team *team, size_t wanted) {
    bool good = varve_sha256_open(&team->sha256, NULL) == VARVE_OK;
    while (good && team->count < JOBS && team->count < wanted) {
        good = varve_job_open(&team->jobs[team->count], team->sha256, NULL) == VARVE_OK;
        team->unit[team->count] = UINT32_MAX;
        team->count += good;
    }
    return good;
}

static void close_team(struct team *team) {
    for (size_t i = 0; i < team->count; i++) {
        varve_job_close(team->jobs[i]);
    }
    varve_sha256_close(team->sha256);
}

/* As a scan's thread does it: jobs advance together, an ended one makes room for the next layer. */
static bool run_nightly(struct bench_task *task, const struct bench_share *share) {
    struct nightly *nightly = task->state;
    struct team team = {0};
    size_t next = 0;
    size_t done = 0;
    bool good = open_team(&team, share->count);
    while (good && done < share->count) {
        for (size_t i = 0; good && i < team.count; i++) {
            if (!varve_job_done(team.jobs[i])) {
                continue;
            }
            if (team.unit[i] != UINT32_MAX) {
                nightly->rungs[team.unit[i]] = varve_job_layer(team.jobs[i])->rungs;
                good = good && varve_job_layer(team.jobs[i])->status != VARVE_ERROR;
                team.unit[i] = UINT32_MAX;
                done++;
            }
            if (next < share->count) {
                team.unit[i] = share->units[next++];
                varve_job_begin(team.jobs[i], nightly->files[team.unit[i]], 0, UINT64_MAX, "", "");
            }
        }
        if (good) {
            varve_jobs_advance(team.jobs, team.count);
        }
    }
    close_team(&team);
    return good;
}

/* The diffid is the archive's digest; all else is as on the first run. Rung blob, which depends on
 * the variant, too. */
static bool verify_nightly(struct bench_task *task) {
    struct nightly *nightly = task->state;
    const uint32_t all = (1u << VARVE_RUNG_COUNT) - 1;
    bool good = true;
    for (size_t i = 0; i < nightly->count; i++) {
        good = good && nightly->rungs[i].present == all &&
               memcmp(nightly->rungs[i].digest[VARVE_RUNG_DIFFID], task->sample->diffids[i],
                      VARVE_SHA256_BYTES) == 0 &&
               (!nightly->known ||
                memcmp(&nightly->rungs[i], &nightly->due[i], sizeof nightly->due[i]) == 0);
    }
    if (!nightly->known) {
        memcpy(nightly->due, nightly->rungs, nightly->count * sizeof *nightly->due);
        nightly->known = true;
    }
    memset(nightly->rungs, 0, nightly->count * sizeof *nightly->rungs);
    return good;
}

static const struct bench_operations nightly_operations = {run_nightly, verify_nightly,
                                                           close_nightly};

/* -1, after a message: no memory, or too many files are open. */
static int file_of(const uint8_t *data, size_t bytes) {
    int fd = memfd_create("varve-bench", MFD_CLOEXEC);
    size_t written = 0;
    if (fd < 0) {
        complain("cannot hold a layer as a file in memory: %s", strerror(errno));
    }
    while (fd >= 0 && written < bytes) {
        ssize_t put = write(fd, data + written, bytes - written);
        if (put <= 0) {
            complain("cannot hold a layer as a file in memory: %s", strerror(errno));
            close(fd);
            return -1;
        }
        written += (size_t)put;
    }
    if (fd >= 0) {
        lseek(fd, 0, SEEK_SET); /* a reader begins where the descriptor stands */
    }
    return fd;
}

/* The archive of one layer, stored in this way. */
static bool store_layer(struct bench_task *task, void *context, const struct bench_form *from,
                        size_t unit) {
    struct nightly *nightly = task->state;
    const struct bench_unit *layer = &from->units[unit];
    if (!context) {
        nightly->files[unit] = file_of(layer->data, layer->bytes);
        task->stored += layer->bytes;
        return nightly->files[unit] >= 0;
    }
    size_t room = bench_room(layer->bytes);
    uint8_t *made = malloc(room);
    size_t bytes =
        made ? nightly->codec->compress(context, made, room, layer->data, layer->bytes) : 0;
    if (bytes > 0) {
        nightly->files[unit] = file_of(made, bytes);
        task->stored += bytes;
    }
    free(made);
    return nightly->files[unit] >= 0;
}

static bool add_variant(struct bench *bench, const char *name, const struct bench_codec *codec,
                        enum bench_form_kind kind) {
    struct bench_task *task = bench_add(bench, "nightly", BENCH_ARCHIVES);
    struct nightly *nightly = task ? calloc(1, sizeof *nightly) : NULL;
    if (!nightly) {
        return false;
    }
    const struct bench_form *from = &bench->sample.forms[kind];
    task->form = "scan";
    task->operations = &nightly_operations;
    task->state = nightly;
    nightly->codec = codec;
    nightly->count = from->count;
    nightly->files = malloc((from->count + 1) * sizeof *nightly->files);
    nightly->rungs = calloc(from->count + 1, sizeof *nightly->rungs);
    nightly->due = calloc(from->count + 1, sizeof *nightly->due);
    bool good = nightly->files && nightly->rungs && nightly->due;
    for (size_t i = 0; nightly->files && i < from->count; i++) {
        nightly->files[i] = -1;
    }
    if (codec) {
        bench_codec_name(task->variant, codec);
    } else {
        snprintf(task->variant, sizeof task->variant, "%s", name);
    }
    void *context = good && codec ? codec->open(codec) : NULL;
    good = good && (context || !codec);
    for (size_t i = 0; good && i < from->count; i++) {
        good = store_layer(task, context, from, i);
    }
    if (context) {
        codec->close(context);
    }
    return good;
}

bool bench_add_nightly(struct bench *bench) {
    bool good = add_variant(bench, "as stored", NULL, BENCH_BLOBS) &&
                add_variant(bench, "not compressed", NULL, BENCH_ARCHIVES);
    for (size_t i = 0; good && i < bench_codec_count(); i++) {
        const struct bench_codec *codec = bench_codec_at(i);
        good = !codec->nightly || add_variant(bench, NULL, codec, BENCH_ARCHIVES);
    }
    return good;
}
