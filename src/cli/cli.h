/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/cli.h - what the parts of the program share. */
#ifndef VARVE_CLI_H
#define VARVE_CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "encode.h"
#include "varve/scan.h"
#include "varve/store.h"

/* Exit codes, as the manual says. */
enum {
    EXIT_WELL = 0,
    EXIT_FOUND = 1,     /* a mismatch, or malformed */
    EXIT_FATAL = 2,     /* usage, or the program itself could not go on */
    EXIT_UNJUDGED = 3,  /* limit, unsupported, error */
    EXIT_DATABASE = 10, /* the database cannot be used */
    EXIT_LOCKED = 11,   /* somebody else writes to it */
};

enum progress_mode { PROGRESS_AUTO, PROGRESS_TTY, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };

/* What gives an exit code of its own. */
enum { FAIL_ON_MISMATCH = 1, FAIL_ON_PARTIAL = 2 };

enum color_mode { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* What the options say; all commands share one struct. */
struct settings {
    bool help, json, entries, list_cpu;
    bool version;
    bool timings;
    bool verbose;
    enum progress_mode progress;
    struct varve_scan_options scan;
    const char *db; /* the database; NULL: none */
    bool rescan;
    uint64_t reverify_seconds; /* 0: never */
    uint64_t max_seconds;      /* 0: no limit */
    unsigned fail_on;          /* bits of FAIL_ON_* */
    const char *errors_to;     /* NULL: nowhere */
    const char *prom;          /* NULL: nowhere */
    enum varve_rung diff_rung; /* of a comparison: the one asked for */
    uint64_t diff_limit;     /* differences of a kind that are shown; 0: the command's own number */
    const char *diff_source; /* where digests given alone are looked for */
    const char *diff_platform; /* which image, of many under one tag */
    enum color_mode color;
    bool csv;
    const char *rung;       /* of a question */
    uint64_t limit;         /* rows of an answer; 0: all */
    const char *files_from; /* list of loose files, NUL-separated; "-": standard input */
    uint64_t bench_sample_bytes, bench_seed; /* 0: the default */
    unsigned bench_rounds;                   /* 0: the default */
    const char *bench_only;                  /* a group of tasks, or NULL: all */
    const char *bench_compare, *bench_plot;  /* files, or NULL */
    const char *output;                      /* what is written, or NULL */
    const char *files;                       /* a folder, or NULL */
    enum varve_rung strength;                /* --rung */
    struct encoding encoding;                /* --compress */
    bool has_mtime, has_uid, has_gid;
    int64_t mtime, uid, gid;
    char *const *operands;
    int operand_count;
};

int run_scan(const struct settings *settings);
int run_verify_store(const struct settings *settings);
int run_digest(const struct settings *settings);
int run_compare(const struct settings *settings);
int run_query(const struct settings *settings);
int run_status(const struct settings *settings);
int run_diff(const struct settings *settings);
int run_findings(const struct settings *settings);
int run_normalize(const struct settings *settings);
int run_split(const struct settings *settings);
int run_join(const struct settings *settings);
int run_bench(const struct settings *settings);
int list_kernels(void);
int print_version(const struct settings *settings);

/* A report: where a scan's results go. `begin` and `end` frame it. */
struct reporter {
    const struct settings *settings;
    const struct varve_catalog *catalog;
    struct varve_store *store; /* NULL: none */
    bool digest;               /* `varve digest`: show every layer */
    bool store_check;          /* `varve verify-store`: one line a layer, and files at fault */
    FILE *errors;              /* where failures go once more; NULL: nowhere */
    const struct varve_report *out;
    void *state; /* of `out` */
};

/* Whether a layer is one of those that are told of as failures. */
bool has_failed(const struct varve_layer *layer);

/* The report that a scan gets: hands everything on to `out`, and to the store. Its cookie is a
 * struct reporter. */
extern const struct varve_report stored_report;
extern const struct varve_report plain_report; /* without a store */

/* The entries of a layer just reported, whether it was read or recalled. */
void report_entries(const struct reporter *reporter, const struct varve_layer *layer, size_t blob,
                    const struct varve_job *job,
                    void (*each)(void *cookie, const struct varve_ladder_entry *entry),
                    void *cookie);

extern const struct varve_report json_report;
void json_layer(FILE *out, const struct reporter *reporter, const struct varve_layer *layer,
                size_t blob);
void json_image(FILE *out, const struct reporter *reporter, const struct varve_image *image,
                enum varve_status status, const struct varve_image_layer *layers);
void json_error(FILE *out, const struct varve_catalog_error *error);
void json_begin(struct reporter *reporter);
void json_end(struct reporter *reporter, const struct varve_scan_summary *summary, int exit_code);

extern const struct varve_report text_report;
bool text_begin(struct reporter *reporter);
void text_end(struct reporter *reporter, const struct varve_scan_summary *summary);

/* Progress on stderr. */
void progress_begin(enum progress_mode mode);
void progress_show(const struct varve_progress *progress);
void progress_end(void);
void progress_ask(void); /* a line is wanted now; from a signal handler */

/* Figures of a scan as Prometheus reads them from the file settings->prom, which is replaced at
 * once. False, after a message: it could not be written. */
bool write_prom(const struct settings *settings, const struct varve_scan_summary *summary,
                int exit_code);

/* Where the CPU time of a scan went: its stations in the order of the data, idle last. */
struct station {
    const char *name;
    double seconds;
};
#define STATION_COUNT 8
void list_stations(struct station stations[STATION_COUNT],
                   const struct varve_scan_summary *summary);

/* --timings, on stderr. */
void print_timings(const struct varve_scan_summary *summary);

/* From now on standard output, where it is a pipe or a socket, is written to in pieces that do not
 * block for good: where nobody reads for half a second after *caught is set, what is written is
 * thrown away, after a message, and writing succeeds. */
void patient_output(const volatile sig_atomic_t *caught);

/* Where temporary files go: TMPDIR; NULL: the library's choice. */
const char *temporary_folder(void);

/* Says on stderr what of a catalog's sources, called `source`, could not be read; true where
 * something could not. Layers tell of themselves: by their status. */
bool tell_unread(const struct varve_catalog *catalog, const char *source);

/* Scans a source into a new database, reporting nothing. EXIT_WELL whatever was found, or after a
 * message why it could not be done; *unread where not all of it could be read, after a message too.
 */
int scan_into(const struct settings *settings, const char *source, const char *path, bool *unread);

/* Opens the file that a command reads; "-" is standard input. Never blocks on what is no file. Less
 * than 0: it cannot be read, as was complained. */
int open_input(const char *path);

/* The same for a layer, which may also be given as blob:FILE. Other sources are none, as is said.
 */
int open_layer(const char *operand);

/* Lets go of what one of the two opened, if it did; standard input stays open. */
void close_input(int fd);

/* The kind of source that an operand begins with ("oci-archive" of "oci-archive:x"), or NULL. */
const char *source_kind_of(const char *operand);

/* Says what is wrong with a database; the exit code for it. */
int store_exit_code(const struct varve_store_fault *fault);

/* stderr: "varve: ...", with the priority that the journal reads where stderr leads there. Messages
 * are of one line, and name what strangers named: they are written as safe.h says. */
enum { LOG_PRIORITY_ERROR = 3, LOG_PRIORITY_NOTICE = 5, LOG_PRIORITY_INFO = 6 };
bool stderr_is_journal(void);
const char *log_prefix(int priority); /* "<3>" or "" */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
