/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/bench/bench.h - `varve bench`: compression and hash variants on layers of the user's own.
 *
 * A sample of layers is held in memory, decoded and as stored. What is measured are tasks: one
 * variant (zstd -3, OpenSSL's SHA-512, ...) over one form of the sample (whole archives, lanes
 * apart, files). A task is run by one thread, and by all; its samples are interleaved with those of
 * all other tasks, and every result is verified. */
#ifndef VARVE_CLI_BENCH_H
#define VARVE_CLI_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../cli.h"
#include "../compressor.h"
#include "varve/sha256.h"

/* ---- The sample (sample.c) ---- */

struct bench_unit {
    const uint8_t *data;
    size_t bytes;
};

/* Which units one thread works on. */
struct bench_share {
    uint32_t *units;
    size_t count;
};

/* A form of the sample: units, all of them as one share, and shared out to all threads. */
struct bench_form {
    const char *name;
    struct bench_unit *units;
    size_t count;
    uint64_t bytes;
    struct bench_share whole;
    struct bench_share *shares; /* one a thread */
    uint8_t *scratch;           /* room for each unit's results, of bench_room() bytes */
    size_t *scratch_at;         /* where each unit's begins */
};

enum bench_form_kind {
    BENCH_ARCHIVES, /* decoded layers */
    BENCH_LANES,    /* two units a layer: all that is no file data; file data sorted by type */
    BENCH_FILES,    /* the files' contents, each by itself */
    BENCH_BLOBS,    /* layers as they are stored */
    BENCH_FORM_COUNT
};

struct bench_sample {
    struct bench_form forms[BENCH_FORM_COUNT];
    uint8_t (*diffids)[VARVE_SHA256_BYTES]; /* of BENCH_ARCHIVES */
    unsigned threads;
    size_t layer_count;         /* sampled */
    uint64_t source_layers;     /* distinct ones in the sources */
    uint64_t source_blob_bytes; /* of these, stored */
    uint64_t too_large;         /* passed over: larger than what was left of the sample */
    uint64_t unusable;          /* passed over: unreadable, damaged, or no tar */
    void *owned;                /* sample.c's */
};

/* Draws layers of the sources in an order that the seed decides, until the next hundred do not fit
 * into what is left of the bytes asked for. False, after a message: nothing could be sampled, or no
 * memory. */
bool bench_sample_open(struct bench_sample *sample, const struct settings *settings);
void bench_sample_close(struct bench_sample *sample);

/* ---- Tasks ---- */

struct bench_task;

struct bench_operations {
    /* Works on the units of one share; writes its results beneath `task->state`, at places of its
     * units' own, so that threads do not meet. False: it failed. */
    bool (*run)(struct bench_task *task, const struct bench_share *share);
    /* Whether the results of all units are right, and the same as ever; not timed. False, and sets
     * task->fault to BENCH_FAILED, where that could not be found out. */
    bool (*verify)(struct bench_task *task);
    void (*close)(struct bench_task *task);
};

/* By one thread: CPU seconds. By all: seconds on the wall. */
enum { BENCH_ONE, BENCH_ALL, BENCH_WIDTHS };
#define BENCH_MOST_ROUNDS 100

struct bench_task {
    const char *group;    /* "compress", "decompress", "hash", "nightly" */
    char variant[80];     /* "zlib -6" */
    const char *form;     /* name of the form */
    uint64_t bytes;       /* decoded bytes it gets through */
    uint64_t stored;      /* bytes it made or read compressed; 0: none */
    const char *evidence; /* more to say, or NULL; the state's */
    const struct bench_operations *operations;
    const struct bench_form *over;
    struct bench_sample *sample;
    void *state;
    double seconds[BENCH_WIDTHS][BENCH_MOST_ROUNDS];
    size_t rounds;
    double spent; /* seconds of all runs so far, warm-up included */
    enum bench_fault {
        BENCH_WELL,
        BENCH_FAILED, /* the last run could not do its work: an error of the library's, no memory */
        BENCH_WRONG   /* it did, and the answer was wrong */
    } fault;
};

struct bench_absent {
    const char *library;
    const char *reason;
};

struct bench {
    const struct settings *settings;
    struct bench_sample sample;
    struct bench_task *tasks;
    size_t task_count, task_room;
    struct bench_absent absent[16];
    size_t absent_count;
    struct bench_version { /* of libraries that are measured and not varve's own */
        const char *library;
        char version[24];
    } versions[8];
    size_t version_count;
    struct bench_machine {
        char cpu[128];
        char kernel[80];
        unsigned threads;
    } machine;
    /* Of the whole run: how much slower the slowest of some equal loops was than the quickest, the
     * share of CPU time that the hypervisor kept, and how many processors other programs kept busy.
     */
    double clock_spread, stolen, other_cpus;
    int stopped; /* by this signal; 0: not */
};

/* A new task at the end, everything but `operations` and `state` set; NULL: no memory. Pointers to
 * tasks do not outlive the next call. */
struct bench_task *bench_add(struct bench *bench, const char *group, enum bench_form_kind form);
void bench_note_absent(struct bench *bench, const char *library, const char *reason);

void bench_note_version(struct bench *bench, const char *library, const char *version);

/* Each adds its tasks. False: no memory, or a library gave a wrong answer. (codecs.c, hashes.c,
 * nightly.c) */
bool bench_add_compression(struct bench *bench);
bool bench_add_hashes(struct bench *bench);
bool bench_add_nightly(struct bench *bench);

/* Warms up, then measures all tasks in turns. False: some task has a fault. (measure.c) */
bool bench_measure(struct bench *bench);
/* Whether a signal asked for an end: a run that may take long gives up then. Any thread. */
bool bench_stopping(void);
void bench_machine_read(struct bench_machine *machine);

/* ---- Compression, for nightly.c too (codecs.c) ---- */

struct bench_codec {
    const char *library;
    enum compressor_kind kind; /* where `open` asks for it */
    int level;
    bool far; /* zstd --long */
    bool nightly;
    void *(*open)(const struct bench_codec *codec); /* NULL: no memory */
    /* Bytes made, 0: failed. */
    size_t (*compress)(void *context, uint8_t *out, size_t room, const uint8_t *in, size_t bytes);
    void (*close)(void *context);
    size_t (*decompress)(uint8_t *out, size_t room, const uint8_t *in, size_t bytes);
};
size_t bench_codec_count(void);
const struct bench_codec *bench_codec_at(size_t index);
void bench_codec_name(char name[48], const struct bench_codec *codec);

/* Enough for any codec's worst case, which is igzip -0: it codes literals by a fixed table of up to
 * 15 bits and never stores a block as it is; random bytes grow by a quarter. */
static inline size_t bench_room(size_t bytes) {
    return 2 * bytes + 4096;
}

/* ---- What comes of it (report.c, compare.c, plot.c) ---- */

struct bench_figure {
    double median, low, high; /* bytes a second: median and quartiles */
};
struct bench_figure bench_figure_of(const struct bench_task *task, int width);

/* Sorts, then the quantile (0..1) by linear interpolation. */
double bench_quantile(double *values, size_t count, double quantile);

void bench_report_text(const struct bench *bench);
void bench_report_json(const struct bench *bench, FILE *out);
void bench_report_csv(const struct bench *bench);
/* An earlier run's results, read before anything is measured; NULL, after a message: the file
 * cannot be read or holds none. */
struct bench_old *bench_old_open(const char *path);
void bench_old_close(struct bench_old *old); /* or NULL */
void bench_compare(const struct bench *bench, const struct bench_old *old);

bool bench_plot(const struct bench *bench, const char *path);

#endif
