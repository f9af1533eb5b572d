/* SPDX-License-Identifier: Apache-2.0 */
/* src/scan.c - a team of threads over a catalog's blobs, and results in job order.
 *
 * Each thread keeps some jobs in flight and advances them together. A finished job's result is
 * reported at once when it is its turn, else it is parked in a window; where the window is full (or
 * the job's entries are wanted, which stay with the job) the job keeps its slot until its turn
 * comes. The job whose turn it is, is always in flight on some thread that advances it, so the team
 * cannot stand still.
 *
 * A thread that finds no more jobs takes over the reading and decoding of another thread's longest
 * one.
 *
 * A job that starves beside its neighbours waits until no job holds memory, then runs alone:
 * whether a layer ends as `limit` depends on the budget, not on what happened to run beside it. */
#include "varve/scan.h"

#include <assert.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "catalog.h"
#include "clock.h"
#include "codes.h"
#include "layer.h"
#include "outcomes.h"
#include "pipe.h"
#include "team.h"
#include "vanished.h"

/* Layers in flight per thread: sixteen lanes want twelve to sixteen streams of each kind (DESIGN).
 */
#define SLOTS 16
/* Layers that a thread advances in a round, at least, where it has so many: the inflate kernels
 * have four lanes, and six layers' streams and files fill most of SHA-256's. */
#define COMPANY 6
/* Descriptors that a layer has open: its file; where it is put together again, the two ends of the
 * way it comes, its tar-split data, the folder of its files and one of these. */
#define DESCRIPTORS 1
#define REPLAY_DESCRIPTORS 5
/* Results that may wait for their turn; some 700 bytes each, findings included. */
#define WINDOW 16384u
/* What is known of a blob is asked for so many layers before its turn: a round's. */
#define FETCH_AHEAD ((size_t)16)
#define DEFAULT_MEMORY_BYTES (UINT64_C(1) << 30)
#define PROGRESS_SECONDS 0.1
#define LONGEST_WAIT_SECONDS 0.1
/* Memory of a slot beside the budget: rooms, igzip's state or window, what parser and ladder keep.
 * Slots together take at most a quarter of the budget. */
#define SLOT_BYTES (UINT64_C(512) << 10)
/* zstd windows that the slots of a thread may hold together before no more layers are begun: with
 * one more that is begun just below it, and the slots themselves, a thread stays within 32 MiB.
 * Eight MiB are what common writers use and every reader must support (RFC 8878, 3.1.1.1.2); wider
 * ones are reserved from the budget. */
#define WINDOWS_BYTES (UINT64_C(16) << 20)
#define WINDOW_BYTES (UINT64_C(8) << 20)
/* A window holds no more than was decoded, which is seldom more than so many times what is stored.
 */
#define USUAL_RATIO 8
/* A layer is worth a second thread while so many stored bytes of it are unread. */
#define LENDABLE_BYTES (UINT64_C(1) << 20)

/* So many layers are taken between two looks at memory: each touches pages anywhere. */
#define RELAX_EVERY 32u

/* A result that waits for its turn. */
struct parked {
    struct varve_layer layer; /* its name is to be asked for again */
    struct varve_findings *findings;
};

struct varve_scan {
    const struct varve_catalog *catalog;
    struct varve_scan_options options;
    struct varve_budget *budget;
    uint32_t *order; /* blobs that are read, in job order: of twins the first */
    size_t count;
    size_t descriptors; /* that a layer in flight may have open */
    size_t slot_room;   /* layers that a thread may have in flight for them */
    struct varve_outcomes *outcomes;
    struct varve_vanished *vanished;
    _Atomic bool cancelled;
    _Atomic bool stopped; /* nothing more is begun */

    _Atomic uint64_t bytes_done;
    _Atomic size_t next;   /* place in `order` that is taken next; moved under the mutex */
    _Atomic unsigned idle; /* threads that wait for an intake to take over */

    pthread_mutex_t mutex;    /* guards all below and the report */
    pthread_cond_t changed;   /* an offer was made, or the team is done */
    size_t active;            /* jobs that may hold some of the budget */
    size_t starving;          /* jobs that wait to run alone */
    size_t least_starving;    /* the first place among them; SIZE_MAX: not known */
    size_t working;           /* threads that have jobs */
    struct varve_pipe *offer; /* an intake for an idle thread */
    struct parked **window;   /* by place % WINDOW */
    size_t turn;              /* place that is reported next */
    bool no_memory;           /* for the outcome of some layer */
    const struct varve_report *report;
    void *cookie;
    struct varve_scan_summary *summary;
    _Atomic uint64_t bytes_total; /* what is left to read, and was read */
    double progress_at;
    double read_again_at; /* for the read limit */
    uint64_t bytes_paid;  /* of bytes_done: those that were waited for */
};

/* What jobs are sorted by: of names no more than the first bytes that tell digests apart, as a
 * number that sorts as they do. Names themselves lie anywhere in memory, or not there. */
struct sort_key {
    uint64_t size;
    uint64_t head;
    uint32_t blob;
};

struct sorting {
    const struct varve_catalog *catalog;
    const uint64_t *turns; /* by blob; may be NULL */
    struct sort_key *keys;
};

static uint64_t head_of(const char *name) {
    static const char prefix[] = "sha256:";
    uint64_t head = 0;
    int order = strncmp(name, prefix, sizeof prefix - 1);
    if (order != 0) {
        return order < 0 ? 0 : UINT64_MAX;
    }
    name += sizeof prefix - 1;
    for (size_t i = 0; i < sizeof head; i++) {
        head = head << 8 | (uint8_t)*name;
        name += *name != 0;
    }
    return head;
}

/* As the turns are given, then largest first, ties by name, and the same name in two sources in the
 * catalog's order. */
static bool is_before(const struct sorting *sorting, const struct sort_key *x,
                      const struct sort_key *y) {
    const uint64_t *turns = sorting->turns;
    if (turns && turns[x->blob] != turns[y->blob]) {
        return turns[x->blob] < turns[y->blob];
    }
    if (x->size != y->size) {
        return x->size > y->size;
    }
    if (x->head != y->head) {
        return x->head < y->head;
    }
    char x_name[VARVE_DIGEST_TEXT_BYTES];
    char y_name[VARVE_DIGEST_TEXT_BYTES];
    int names = strcmp(varve_catalog_name(sorting->catalog, x_name, x->blob),
                       varve_catalog_name(sorting->catalog, y_name, y->blob));
    return names ? names < 0 : x->blob < y->blob;
}

/* Lets a key sink in a heap of `count` whose greatest is on top. */
static void sink(const struct sorting *sorting, size_t at, size_t count) {
    struct sort_key *keys = sorting->keys;
    struct sort_key key = keys[at];
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && is_before(sorting, &keys[child], &keys[child + 1]);
        if (!is_before(sorting, &key, &keys[child])) {
            break;
        }
        keys[at] = keys[child];
        at = child;
    }
    keys[at] = key;
}

/* A heap sort: qsort(3) would take as much memory again. */
static void sort_keys(const struct sorting *sorting, size_t count) {
    struct sort_key *keys = sorting->keys;
    for (size_t i = count / 2; i-- > 0;) {
        sink(sorting, i, count);
    }
    for (size_t left = count; left-- > 1;) {
        struct sort_key last = keys[left];
        keys[left] = keys[0];
        keys[0] = last;
        sink(sorting, 0, left);
    }
}

static bool sort_jobs(struct varve_scan *scan) {
    size_t blob_count = varve_catalog_blob_count(scan->catalog);
    struct sort_key *keys = calloc(blob_count + 1, sizeof *keys);
    if (!keys) {
        return false;
    }
    for (uint32_t i = 0; i < blob_count; i++) {
        struct varve_blob blob = varve_catalog_blob(scan->catalog, i);
        if (blob.twin_of == i) {
            keys[scan->count++] = (struct sort_key){blob.size, head_of(blob.name), i};
            scan->bytes_total += blob.size;
        }
        if (i % 256 == 0) {
            varve_catalog_relax(scan->catalog);
        }
    }
    sort_keys(&(struct sorting){scan->catalog, scan->options.turns, keys}, scan->count);
    for (size_t i = 0; i < scan->count; i++) {
        scan->order[i] = keys[i].blob;
    }
    free(keys);
    return true;
}

enum varve_status varve_scan_open(struct varve_scan **out, const struct varve_catalog *catalog,
                                  const struct varve_scan_options *options) {
    struct varve_sha256 *probe = NULL;
    struct varve_scan *scan = calloc(1, sizeof *scan);
    *out = NULL;
    if (!scan) {
        return VARVE_ERROR;
    }
    pthread_mutex_init(&scan->mutex, NULL);
    pthread_cond_init(&scan->changed, NULL);
    scan->catalog = catalog;
    scan->options =
        options ? *options : (struct varve_scan_options){.deepest_rung = VARVE_RUNG_CONTENT};
    if (!scan->options.threads) {
        scan->options.threads = varve_thread_default();
    }
    if (!scan->options.memory_bytes) {
        scan->options.memory_bytes = DEFAULT_MEMORY_BYTES;
    }
    struct varve_sha256_options sha256 = {.tier = scan->options.tier,
                                          .engine = scan->options.engine};
    enum varve_status status = varve_sha256_open(&probe, &sha256);
    varve_sha256_close(probe);
    if (status == VARVE_OK) {
        status = varve_budget_open(&scan->budget, scan->options.memory_bytes);
    }
    size_t blob_count = varve_catalog_blob_count(catalog);
    scan->descriptors = varve_catalog_replays(catalog) ? REPLAY_DESCRIPTORS : DESCRIPTORS;
    scan->outcomes = varve_outcomes_open(catalog, (size_t)scan->options.deepest_rung + 1);
    scan->order = calloc(blob_count + 1, sizeof *scan->order);
    scan->window = calloc(WINDOW, sizeof(struct parked *));
    scan->vanished = varve_vanished_open(catalog);
    if (status == VARVE_OK &&
        (!scan->vanished || !scan->order || !scan->window || !scan->outcomes || !sort_jobs(scan))) {
        status = VARVE_ERROR;
    }
    if (status != VARVE_OK) {
        varve_scan_close(scan);
        return status;
    }
    *out = scan;
    return VARVE_OK;
}

static void free_parked(struct parked *parked) {
    if (parked) {
        varve_findings_close(parked->findings);
        free(parked);
    }
}

void varve_scan_close(struct varve_scan *scan) {
    if (!scan) {
        return;
    }
    for (size_t i = 0; scan->window && i < WINDOW; i++) {
        free_parked(scan->window[i]);
    }
    varve_budget_close(scan->budget);
    varve_vanished_close(scan->vanished);
    pthread_cond_destroy(&scan->changed);
    pthread_mutex_destroy(&scan->mutex);
    varve_outcomes_close(scan->outcomes);
    free(scan->order);
    free(scan->window);
    free(scan);
}

void varve_scan_stop(struct varve_scan *scan) {
    atomic_store(&scan->stopped, true);
}

void varve_scan_cancel(struct varve_scan *scan) {
    atomic_store(&scan->cancelled, true);
}

/* One layer to the report and into the figures; under the lock. */
static void report_name(struct varve_scan *scan, const struct varve_layer *layer, size_t blob,
                        const struct varve_job *job) {
    struct varve_scan_summary *summary = scan->summary;
    const struct varve_checks *checks = &layer->checks;
    scan->no_memory |= !varve_outcomes_keep(scan->outcomes, layer, blob);
    if (layer->gone) {
        summary->gone++;
        if (scan->report->gone) {
            scan->report->gone(scan->cookie, blob);
        }
        return;
    }
    summary->cached += layer->cached;
    summary->layers[layer->status]++;
    summary->unreferenced += !varve_catalog_blob(scan->catalog, blob).referenced;
    summary->mismatches +=
        layer->status == VARVE_MISMATCH || checks->name == VARVE_CHECK_MISMATCH ||
        checks->size == VARVE_CHECK_MISMATCH || checks->diffid == VARVE_CHECK_MISMATCH;
    if (scan->report->layer) {
        scan->report->layer(scan->cookie, layer, blob, scan->options.entries ? job : NULL);
    }
}

/* A file that was read, under each of its names; its entries only under the first. */
static void report_layer(struct varve_scan *scan, const struct varve_layer *layer, uint32_t blob,
                         const struct varve_job *job) {
    struct varve_scan_summary *summary = scan->summary;
    summary->bytes_stored += layer->bytes_stored;
    summary->bytes_read += layer->cached ? 0 : layer->bytes_stored;
    if (layer->cached) {
        atomic_fetch_sub(&scan->bytes_total, varve_catalog_blob(scan->catalog, blob).size);
    }
    summary->bytes_decoded += layer->bytes_decoded;
    summary->entries += layer->entry_count;
    report_name(scan, layer, blob, job);
    size_t twin = varve_catalog_next_twin(scan->catalog, blob);
    for (; twin != SIZE_MAX; twin = varve_catalog_next_twin(scan->catalog, twin)) {
        char name[VARVE_DIGEST_TEXT_BYTES];
        struct varve_layer copy = *layer;
        copy.name = varve_catalog_name(scan->catalog, name, twin);
        copy.source = varve_catalog_blob(scan->catalog, twin).source;
        summary->twins++;
        report_name(scan, &copy, twin, NULL);
    }
}

static void report_parked(struct varve_scan *scan, size_t place) {
    struct parked **cell = &scan->window[place % WINDOW];
    char name[VARVE_DIGEST_TEXT_BYTES];
    (*cell)->layer.name = varve_catalog_name(scan->catalog, name, scan->order[place]);
    report_layer(scan, &(*cell)->layer, scan->order[place], NULL);
    free_parked(*cell);
    *cell = NULL;
}

/* Hands a finished job's result on. False: not yet, ask again. Without memory to park it, it waits
 * for its turn as if the window were full. */
static bool deliver(struct varve_scan *scan, struct varve_job *job, size_t place) {
    bool taken = true;
    pthread_mutex_lock(&scan->mutex);
    if (place == scan->turn) {
        report_layer(scan, varve_job_layer(job), scan->order[place], job);
        scan->turn++;
        while (scan->turn < scan->count && scan->window[scan->turn % WINDOW]) {
            report_parked(scan, scan->turn++);
        }
    } else if (place - scan->turn < WINDOW && !scan->options.entries) {
        struct parked *parked = calloc(1, sizeof *parked);
        taken = parked && varve_job_take_layer(job, &parked->layer, &parked->findings);
        if (taken) {
            scan->window[place % WINDOW] = parked;
        } else {
            free(parked);
        }
    } else {
        taken = false;
    }
    pthread_mutex_unlock(&scan->mutex);
    return taken;
}

static void show_progress(struct varve_scan *scan) {
    double t = varve_wall_seconds();
    pthread_mutex_lock(&scan->mutex);
    if (t >= scan->progress_at) {
        struct varve_progress progress = {atomic_load(&scan->bytes_done),
                                          atomic_load(&scan->bytes_total), scan->turn, scan->count};
        scan->progress_at = t + PROGRESS_SECONDS;
        scan->report->progress(scan->cookie, &progress);
    }
    pthread_mutex_unlock(&scan->mutex);
}

/* One thread's share. */
struct worker {
    struct varve_scan *scan;
    struct varve_sha256 *sha256;
    struct slot {
        struct varve_job *job;
        int fd;
        bool taken;
        bool active;   /* may hold some of the budget */
        bool starving; /* waits to run alone */
        bool checked;  /* done, and all claims were held against it */
        size_t place;
        uint64_t window_bytes; /* what its window will be, as far as can be told before a step */
        uint64_t counted_bytes;
        char name[VARVE_DIGEST_TEXT_BYTES];
    } slots[SLOTS];
    size_t slot_count;
    bool more; /* blobs that nobody took yet */
    struct varve_timings timings;
    double store_seconds, report_seconds;
};

/* Adds a worker's figures to the scan's. */
static void count_worker(const struct worker *worker) {
    struct varve_scan_summary *summary = worker->scan->summary;
    struct varve_sha256_use use;
    pthread_mutex_lock(&worker->scan->mutex);
    summary->timings.read += worker->timings.read;
    summary->timings.decode += worker->timings.decode;
    summary->timings.lanes += worker->timings.lanes;
    summary->timings.normalise += worker->timings.normalise;
    summary->hash_seconds += varve_sha256_seconds(worker->sha256);
    summary->store_seconds += worker->store_seconds;
    summary->report_seconds += worker->report_seconds;
    for (size_t i = 0; varve_sha256_use_at(worker->sha256, &use, i); i++) {
        assert(i < VARVE_SCAN_HASH_ROWS);
        struct varve_sha256_use *sum = &summary->hash_rows[i];
        sum->name = use.name;
        sum->blocks += use.blocks;
        sum->empty_lane_blocks += use.empty_lane_blocks;
        summary->hash_row_count = i + 1;
    }
    pthread_mutex_unlock(&worker->scan->mutex);
}

static void close_worker(struct worker *worker) {
    for (size_t i = 0; i < worker->slot_count; i++) {
        varve_job_close(worker->slots[i].job);
        if (worker->slots[i].taken && worker->slots[i].fd >= 0) {
            close(worker->slots[i].fd);
        }
    }
    varve_sha256_close(worker->sha256);
}

/* As many slots as there is memory and work for. False: none. */
static bool open_worker(struct worker *worker, struct varve_scan *scan) {
    const struct varve_scan_options *options = &scan->options;
    struct varve_sha256_options sha256 = {
        .tier = options->tier, .engine = options->engine, .timed = true};
    struct varve_job_options job = {.budget = scan->budget,
                                    .tier = options->tier,
                                    .deepest_rung = options->deepest_rung,
                                    .max_decoded_bytes = options->max_decoded_bytes,
                                    .chunk_bytes = options->chunk_bytes,
                                    .inflate_engine = options->inflate_engine,
                                    .timings = &worker->timings};
    size_t share = (scan->count + options->threads - 1) / options->threads;
    size_t room = (size_t)(options->memory_bytes / 4 / SLOT_BYTES / options->threads);
    size_t wanted = share < SLOTS ? share : SLOTS;
    wanted = room < wanted ? room : wanted;
    wanted = scan->slot_room < wanted ? scan->slot_room : wanted;
    *worker = (struct worker){.scan = scan, .more = true};
    if (varve_sha256_open(&worker->sha256, &sha256) != VARVE_OK) {
        return false;
    }
    do {
        struct slot *slot = &worker->slots[worker->slot_count];
        if (varve_job_open(&slot->job, worker->sha256, &job) != VARVE_OK) {
            break;
        }
        varve_job_heed(slot->job, &scan->cancelled);
        worker->slot_count++;
    } while (worker->slot_count < wanted);
    if (!worker->slot_count) {
        close_worker(worker);
        return false;
    }
    return true;
}

static void set_active(struct varve_scan *scan, struct slot *slot, bool active) {
    scan->active += (size_t)active - (size_t)slot->active;
    slot->active = active;
}

/* The next place that nobody took. While a job starves no other is begun. */
static bool take_place(struct worker *worker, struct slot *slot) {
    struct varve_scan *scan = worker->scan;
    pthread_mutex_lock(&scan->mutex);
    bool stopped = atomic_load_explicit(&scan->stopped, memory_order_relaxed);
    bool taken = scan->starving == 0 && scan->next < scan->count && !stopped;
    if (taken) {
        slot->place = scan->next++;
        set_active(scan, slot, true);
        if (slot->place % RELAX_EVERY == 0) {
            varve_catalog_relax(scan->catalog);
        }
        if (slot->place + 2 * FETCH_AHEAD < scan->count) {
            varve_catalog_fetch(scan->catalog, scan->order[slot->place + 2 * FETCH_AHEAD]);
            varve_catalog_fetch_on(scan->catalog, scan->order[slot->place + FETCH_AHEAD]);
        }
    }
    worker->more = scan->next < scan->count && !stopped;
    pthread_mutex_unlock(&scan->mutex);
    return taken;
}

/* What a slot's job holds goes back to the budget; only then may another run alone. */
static void release(struct varve_scan *scan, struct slot *slot) {
    varve_job_release(slot->job);
    pthread_mutex_lock(&scan->mutex);
    set_active(scan, slot, false);
    pthread_mutex_unlock(&scan->mutex);
}

/* A layer's result out of the store. False: it is to be read. */
static bool recall(struct worker *worker, struct slot *slot, const struct varve_blob *blob,
                   uint32_t number) {
    const struct varve_report *report = worker->scan->report;
    struct varve_layer known = {0};
    if (!report->recall) {
        return false;
    }
    double begun = varve_cpu_seconds();
    bool found =
        report->recall(worker->scan->cookie, &known, varve_job_findings(slot->job), number);
    worker->store_seconds += varve_cpu_seconds() - begun;
    if (found) {
        varve_job_recall(slot->job, &known, blob->name, blob->source);
    }
    return found;
}

/* Begins a blob's job; where its result is known, or it cannot be opened, it is done at once. */
static void begin_job(struct worker *worker, struct slot *slot, uint32_t number) {
    struct varve_scan *scan = worker->scan;
    struct varve_blob blob = varve_catalog_blob(scan->catalog, number);
    struct varve_fault fault;
    struct varve_opened opened;
    blob.name = varve_catalog_name(scan->catalog, slot->name, number);
    slot->window_bytes =
        blob.size < WINDOW_BYTES / USUAL_RATIO ? blob.size * USUAL_RATIO : WINDOW_BYTES;
    slot->fd = -1;
    if (recall(worker, slot, &blob, number)) {
        return;
    }
    if (varve_catalog_open_seen(scan->catalog, &opened, &fault, number, blob.name)) {
        slot->fd = opened.fd;
        varve_job_begin_seen(slot->job, slot->fd, opened.offset, opened.bytes,
                             opened.has_seen ? &opened.seen : NULL, blob.name, blob.source);
        return;
    }
    varve_job_refuse(slot->job, &fault, blob.name, blob.source);
    if (strcmp(fault.code, varve_code_at(VARVE_CODE_IO_MISSING)->code) == 0 &&
        varve_vanished_is_gone(scan->vanished, number)) {
        varve_job_vanish(slot->job);
    }
}

/* Takes the next blob into an empty slot. False: none is to be had now. */
static bool fill_slot(struct worker *worker, struct slot *slot) {
    if (!take_place(worker, slot)) {
        return false;
    }
    slot->taken = true;
    slot->starving = slot->checked = false;
    slot->counted_bytes = 0;
    begin_job(worker, slot, worker->scan->order[slot->place]);
    return true;
}

/* What a slot's decoder holds, or will soon. */
static uint64_t window_of(const struct slot *slot) {
    uint64_t held = varve_job_window_bytes(slot->job);
    uint64_t guess = slot->taken && varve_job_bytes(slot->job) == 0 ? slot->window_bytes : 0;
    held = held < WINDOW_BYTES ? held : WINDOW_BYTES;
    return held > guess ? held : guess;
}

/* Fills empty slots: most of them while many layers are left, one a round towards the end, so that
 * a few large layers are not all taken by the thread that came first; and no more than there is
 * room for their windows. Those that stay empty hold nothing of the budget. */
static void fill_slots(struct worker *worker) {
    struct varve_scan *scan = worker->scan;
    size_t left = scan->count - atomic_load_explicit(&scan->next, memory_order_relaxed);
    size_t most = left / (4 * (size_t)scan->options.threads) + 1;
    uint64_t windows = 0;
    size_t taken = 0;
    for (size_t i = 0; i < worker->slot_count; i++) {
        windows += window_of(&worker->slots[i]);
        taken += worker->slots[i].taken;
    }
    for (size_t i = 0; i < worker->slot_count; i++) {
        struct slot *slot = &worker->slots[i];
        if (slot->taken) {
            continue;
        }
        uint64_t others = windows - window_of(slot);
        bool room = others < WINDOWS_BYTES || taken == 0;
        if (room && worker->more && most > 0) {
            most -= fill_slot(worker, slot) ? 1 : most;
            taken += slot->taken;
        } else if (!room) {
            varve_job_trim(slot->job);
        }
        windows = others + window_of(slot);
        if (!slot->taken && slot->active) {
            release(scan, slot);
        }
    }
}

/* An unpacked layer that could not be put together again: what its files are like says why. */
static void explain(const struct varve_catalog *catalog, struct slot *slot, size_t number) {
    const struct varve_layer *layer = varve_job_layer(slot->job);
    if (layer->complete || layer->status != VARVE_ERROR ||
        strcmp(layer->fault.code, varve_code_at(VARVE_CODE_IO_READ)->code) != 0) {
        return;
    }
    struct varve_join_result result;
    enum varve_status status = varve_catalog_check_files(catalog, &result, number);
    if (status != VARVE_OK && status != VARVE_UNSUPPORTED) {
        varve_job_refuse(slot->job, &result.fault, layer->name, layer->source);
    }
    free(result.entry);
}

/* Holds all claims against a job that has just finished, under whatever name they were made, and
 * says that it is done. */
static void check_claims(struct worker *worker, struct slot *slot) {
    const struct varve_catalog *catalog = worker->scan->catalog;
    size_t blob = worker->scan->order[slot->place];
    explain(catalog, slot, blob);
    for (; blob != SIZE_MAX; blob = varve_catalog_next_twin(catalog, blob)) {
        size_t claim = varve_catalog_first_claim(catalog, blob);
        while (claim != SIZE_MAX) {
            struct varve_claim claimed = varve_catalog_read_claim(catalog, &claim, claim);
            varve_job_check(slot->job, claimed.size, claimed.media_type,
                            claimed.has_diffid ? claimed.diffid : NULL);
        }
    }
    slot->checked = true;
    const struct varve_layer *layer = varve_job_layer(slot->job);
    const struct varve_scan *scan = worker->scan;
    if (scan->report->done && !layer->gone) {
        double begun = varve_cpu_seconds();
        scan->report->done(scan->cookie, layer, scan->order[slot->place],
                           scan->options.entries ? slot->job : NULL);
        worker->store_seconds += varve_cpu_seconds() - begun;
    }
}

/* A starved job waits; when nobody holds memory any more the first of those that wait runs alone.
 * Each time one was let run the first among the others is found anew. */
static void tend_starving(struct worker *worker, struct slot *slot) {
    struct varve_scan *scan = worker->scan;
    pthread_mutex_lock(&scan->mutex);
    scan->starving += !slot->starving;
    slot->starving = true;
    set_active(scan, slot, false);
    if (slot->place < scan->least_starving) {
        scan->least_starving = slot->place;
    }
    bool go = scan->active == 0 && slot->place == scan->least_starving;
    if (go) {
        slot->starving = false;
        set_active(scan, slot, true);
        scan->starving--;
        scan->least_starving = SIZE_MAX;
    }
    pthread_mutex_unlock(&scan->mutex);
    if (go) {
        varve_job_restart_alone(slot->job);
    }
}

/* A finished job: its claims, its result. What it holds goes back when its slot is filled again, or
 * is not; at once where its turn has not come. Entries are held until then: where a job that comes
 * before it starves meanwhile, it starves too and is done again. */
static void tend_done(struct worker *worker, struct slot *slot) {
    struct varve_scan *scan = worker->scan;
    if (!slot->checked) {
        check_claims(worker, slot);
    }
    slot->taken = !deliver(scan, slot->job, slot->place);
    if (!slot->taken) {
        if (slot->fd >= 0) {
            close(slot->fd);
        }
    } else if (!scan->options.entries) {
        if (slot->active) {
            release(scan, slot);
        }
    } else {
        pthread_mutex_lock(&scan->mutex);
        bool in_the_way = scan->starving > 0 && slot->fd >= 0;
        pthread_mutex_unlock(&scan->mutex);
        if (in_the_way) {
            varve_job_starve(slot->job);
            slot->checked = false;
        }
    }
}

/* Offers the intake of the longest job to an idle thread. */
static void offer_intake(struct worker *worker) {
    struct varve_scan *scan = worker->scan;
    struct slot *longest = NULL;
    uint64_t most = LENDABLE_BYTES;
    for (size_t i = 0; i < worker->slot_count; i++) {
        struct slot *slot = &worker->slots[i];
        uint64_t left = slot->taken ? varve_job_bytes_left(slot->job) : 0;
        if (left >= most) {
            most = left;
            longest = slot;
        }
    }
    if (!longest) {
        return;
    }
    pthread_mutex_lock(&scan->mutex);
    if (scan->idle > 0 && !scan->offer) {
        scan->offer = varve_job_lend_intake(longest->job);
        scan->idle -= scan->offer != NULL;
        pthread_cond_broadcast(&scan->changed);
    }
    pthread_mutex_unlock(&scan->mutex);
}

/* Where the longest job would outlive all others and be left alone in kernels of many lanes, those
 * that have least left are put off: as many go on as keep it company to the end. Returns how many
 * of `running` that are, moved to its beginning. The longest is always among them, so that all come
 * to their ends. */
static size_t keep_company(const struct worker *worker, struct varve_job **running, size_t count) {
    const struct varve_scan *scan = worker->scan;
    uint64_t left[SLOTS];
    uint64_t here = 0, longest = 1;
    for (size_t i = 0; i < count; i++) {
        left[i] = varve_job_bytes_left(running[i]);
        here += left[i];
        longest = left[i] > longest ? left[i] : longest;
    }
    uint64_t done = atomic_load_explicit(&scan->bytes_done, memory_order_relaxed);
    uint64_t total = atomic_load_explicit(&scan->bytes_total, memory_order_relaxed);
    uint64_t share = total > done ? (total - done) / (uint64_t)scan->options.threads : 0;
    uint64_t wanted = (share > here ? share : here) / longest;
    size_t most = wanted > COMPANY ? (wanted < count ? (size_t)wanted : count) : COMPANY;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        size_t longer = 0;
        for (size_t k = 0; k < count; k++) {
            longer += left[k] > left[i] || (k < i && left[k] == left[i]);
        }
        /* What has nothing left to read, or does not know, costs little. */
        if (longer < most || left[i] == 0) {
            running[kept++] = running[i];
        }
    }
    return kept;
}

/* What is known of the blobs whose jobs are done is about to be read: asked for side by side. */
static void fetch_done(const struct worker *worker) {
    const struct varve_scan *scan = worker->scan;
    for (int step = 0; step < 2; step++) {
        for (size_t i = 0; i < worker->slot_count; i++) {
            const struct slot *slot = &worker->slots[i];
            if (slot->taken && varve_job_done(slot->job)) {
                size_t blob = scan->order[slot->place];
                step ? varve_catalog_fetch_on(scan->catalog, blob)
                     : varve_catalog_fetch(scan->catalog, blob);
            }
        }
    }
}

/* One round: fills slots, advances what runs, hands on what is done. False: nothing is left to do.
 */
static bool work_round(struct worker *worker) {
    struct varve_scan *scan = worker->scan;
    struct varve_job *running[SLOTS];
    size_t running_count = 0;
    size_t taken = 0;
    bool handed_on = false;
    double begun = varve_cpu_seconds();
    double stored = worker->store_seconds;
    fill_slots(worker);
    worker->timings.read += varve_cpu_seconds() - begun - (worker->store_seconds - stored);
    for (size_t i = 0; i < worker->slot_count; i++) {
        struct slot *slot = &worker->slots[i];
        if (slot->taken && varve_job_starved(slot->job)) {
            tend_starving(worker, slot);
        } else if (slot->taken && !varve_job_done(slot->job)) {
            running[running_count++] = slot->job;
        }
    }
    if (running_count > 0) {
        if (atomic_load_explicit(&scan->idle, memory_order_relaxed) > 0) {
            offer_intake(worker);
        }
        varve_jobs_advance(running, keep_company(worker, running, running_count));
    }
    begun = varve_cpu_seconds();
    stored = worker->store_seconds;
    fetch_done(worker);
    for (size_t i = 0; i < worker->slot_count; i++) {
        struct slot *slot = &worker->slots[i];
        if (!slot->taken) {
            continue;
        }
        uint64_t bytes = varve_job_bytes(slot->job);
        atomic_fetch_add(&scan->bytes_done, bytes - slot->counted_bytes);
        slot->counted_bytes = bytes;
        if (varve_job_done(slot->job)) {
            tend_done(worker, slot);
            handed_on |= !slot->taken;
        }
        taken += slot->taken;
    }
    worker->report_seconds += varve_cpu_seconds() - begun - (worker->store_seconds - stored);
    if (!running_count && !handed_on && (taken || worker->more)) {
        /* Everything here waits for a layer on another thread. */
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return worker->more || taken;
}

/* A thread without jobs: reads and decodes for others until all are done. */
static void lend_hand(struct varve_scan *scan) {
    pthread_mutex_lock(&scan->mutex);
    scan->idle++;
    while (scan->working > 0 || scan->offer) {
        struct varve_pipe *pipe = scan->offer;
        if (!pipe) {
            pthread_cond_wait(&scan->changed, &scan->mutex);
            continue;
        }
        scan->offer = NULL;
        pthread_mutex_unlock(&scan->mutex);
        varve_pipe_fill(pipe);
        pthread_mutex_lock(&scan->mutex);
        scan->idle++;
    }
    pthread_mutex_unlock(&scan->mutex);
}

/* What was read since somebody last asked, here or on other threads, takes the time that the limit
 * makes it take; time in which nothing was read is not saved up. */
static double read_again_at(struct varve_scan *scan) {
    double now = varve_wall_seconds();
    uint64_t bytes = atomic_load(&scan->bytes_done);
    pthread_mutex_lock(&scan->mutex);
    double at = scan->read_again_at > now ? scan->read_again_at : now;
    if (bytes > scan->bytes_paid) {
        at += (double)(bytes - scan->bytes_paid) / (double)scan->options.read_bytes_per_second;
        scan->bytes_paid = bytes;
    }
    scan->read_again_at = at;
    pthread_mutex_unlock(&scan->mutex);
    return at;
}

/* Waits, in touch with the world, until reading may go on. */
static void hold_back(struct varve_scan *scan) {
    double until = read_again_at(scan);
    double wait = 0;
    while ((wait = until - varve_wall_seconds()) > 0 && !atomic_load(&scan->cancelled)) {
        wait = wait < LONGEST_WAIT_SECONDS ? wait : LONGEST_WAIT_SECONDS;
        nanosleep(&(struct timespec){.tv_nsec = (long)(wait * 1e9)}, NULL);
        if (scan->report->progress) {
            show_progress(scan);
        }
    }
}

/* `working` was counted up for every thread before the team began. */
static void work(struct varve_scan *scan) {
    struct worker worker;
    bool opened = open_worker(&worker, scan);
    while (opened && !atomic_load_explicit(&scan->cancelled, memory_order_relaxed) &&
           work_round(&worker)) {
        if (scan->options.read_bytes_per_second) {
            hold_back(scan);
        }
        if (scan->report->progress) {
            show_progress(scan);
        }
    }
    pthread_mutex_lock(&scan->mutex);
    scan->working--;
    pthread_cond_broadcast(&scan->changed);
    pthread_mutex_unlock(&scan->mutex);
    if (opened) {
        /* A cancelled worker's pipes need their filling threads, which may be idle ones: they are
         * let go by close. */
        count_worker(&worker);
        close_worker(&worker);
    }
    lend_hand(scan);
}

/* After a cancelled run: what is done behind layers that are not. */
static void report_leftovers(struct varve_scan *scan) {
    for (size_t place = scan->turn; place < scan->count && place - scan->turn < WINDOW; place++) {
        if (scan->window[place % WINDOW]) {
            report_parked(scan, place);
        }
    }
}

/* As many threads, and layers in flight on each, as the process may have. */
static void size_run(struct varve_scan *scan) {
    size_t each = scan->descriptors;
    unsigned threads = varve_thread_team(scan->options.threads, (unsigned)each);
    scan->options.threads = threads;
    scan->slot_room = varve_free_descriptors(each * SLOTS * threads) / threads / each;
}

/* Into the summary: what lay in temporary files. */
static void count_spilled(const struct varve_scan *scan) {
    struct varve_scan_summary *summary = scan->summary;
    summary->temporary_bytes = varve_catalog_spilled(scan->catalog, &summary->temporary_error);
    int error = 0;
    summary->temporary_bytes += varve_outcomes_spilled(scan->outcomes, &error);
    summary->temporary_error = error ? error : summary->temporary_error;
}

enum varve_status varve_scan_run(struct varve_scan *scan, struct varve_scan_summary *summary,
                                 const struct varve_report *report, void *cookie) {
    double start = varve_wall_seconds();
    memset(summary, 0, sizeof *summary);
    scan->summary = summary;
    scan->report = report;
    scan->cookie = cookie;
    for (size_t i = 0; i < varve_catalog_error_count(scan->catalog); i++) {
        summary->errors += varve_catalog_error(scan->catalog, i).fault.status != VARVE_OK;
    }
    size_run(scan);
    summary->threads = scan->options.threads;

    scan->least_starving = SIZE_MAX;
#pragma omp parallel num_threads(scan->options.threads)
    {
#pragma omp single
        scan->working = (size_t)omp_get_num_threads();
        work(scan);
    }

    report_leftovers(scan);
    bool whole = scan->turn == scan->count;
    bool walked = !varve_catalog_is_cancelled(scan->catalog);
    summary->partial = atomic_load(&scan->stopped) && !whole;
    bool images =
        varve_outcomes_report(scan->outcomes, summary, report, cookie, &scan->cancelled, &whole) &&
        !scan->no_memory;
    summary->interrupted = !walked || (atomic_load(&scan->cancelled) && !whole);
    count_spilled(scan);
    summary->seconds = varve_wall_seconds() - start;
    summary->memory_peak_bytes = varve_budget_peak(scan->budget);
    return images && (whole || summary->interrupted || summary->partial) ? VARVE_OK : VARVE_ERROR;
}
