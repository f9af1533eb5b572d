/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/run.c - `varve scan` and `varve digest`: fill a catalog, scan it, report, find the exit
 * code. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define STDOUT_BYTES 65536

enum mode { MODE_SCAN, MODE_DIGEST, MODE_VERIFY_STORE };

static struct varve_scan *volatile running_scan;
static struct varve_catalog *volatile filling_catalog;
static volatile sig_atomic_t database_failed;
static volatile sig_atomic_t out_of_time;
static volatile sig_atomic_t caught;

/* The first signal ends the scan soon, the second one at once. */
static void on_signal(int number) {
    if (caught) {
        _exit(128 + number);
    }
    caught = number;
    if (filling_catalog) {
        varve_catalog_cancel(filling_catalog);
    }
    if (running_scan) {
        varve_scan_cancel(running_scan);
    }
}

static void on_alarm(int number) {
    (void)number;
    out_of_time = 1;
    if (running_scan) {
        varve_scan_stop(running_scan);
    }
}

/* What SIGUSR1 is answered before there is a scan to ask. */
static char listing_text[64];
static volatile sig_atomic_t listing;

static void on_question(int number) {
    int before = errno;
    (void)number;
    if (!listing) {
        progress_ask();
    } else if (write(STDERR_FILENO, listing_text, strlen(listing_text)) < 0) {
        /* Nobody to tell. */
    }
    errno = before;
}

static void begin_listing(const struct settings *settings) {
    bool json = settings->progress == PROGRESS_JSON;
    snprintf(listing_text, sizeof listing_text, "%s%s\n", json ? "" : log_prefix(LOG_PRIORITY_INFO),
             json ? "{\"v\":1,\"type\":\"progress\",\"state\":\"listing\"}"
                  : "varve: the sources are being listed");
    listing = 1;
}

/* Restarted: stdio would drop what it could not write for a signal's sake. */
static void watch(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

/* The store cannot go on: nor need the scan. */
static void on_database_failed(void *cookie) {
    (void)cookie;
    database_failed = 1;
    if (running_scan) {
        varve_scan_cancel(running_scan);
    }
}

/* 2, 10 and 11, which are found elsewhere, go before 130/143, before 1, before 3. */
static int exit_code_of(const struct settings *settings, const struct varve_catalog *catalog,
                        const struct varve_scan_summary *summary) {
    uint64_t counts[6] = {0};
    for (size_t i = 0; i < 6; i++) {
        counts[i] = summary->images[i] + summary->beside[i] + summary->layers[i];
    }
    for (size_t i = 0; i < varve_catalog_error_count(catalog); i++) {
        counts[varve_catalog_error(catalog, i).fault.status]++;
    }
    if (summary->interrupted) {
        return 128 + caught;
    }
    bool found = summary->mismatches || counts[VARVE_MISMATCH] || counts[VARVE_MALFORMED];
    bool unjudged =
        counts[VARVE_LIMIT] || counts[VARVE_UNSUPPORTED] || counts[VARVE_ERROR] || summary->partial;
    if (found && settings->fail_on & FAIL_ON_MISMATCH) {
        return EXIT_FOUND;
    }
    return unjudged && settings->fail_on & FAIL_ON_PARTIAL ? EXIT_UNJUDGED : EXIT_WELL;
}

const char *temporary_folder(void) {
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : NULL;
}

/* The journal gets a line of how it went: standard output may lead elsewhere. */
static void log_end(const struct varve_scan_summary *summary, int code) {
    uint64_t layers = 0;
    for (size_t i = 0; i < 6; i++) {
        layers += summary->layers[i];
    }
    if (stderr_is_journal()) {
        fprintf(stderr,
                "%svarve: scan %s: %" PRIu64 " layers, %" PRIu64 " not ok, %" PRIu64
                " known before, %.1f s, exit code %d\n",
                log_prefix(LOG_PRIORITY_NOTICE),
                summary->interrupted ? "interrupted"
                : summary->partial   ? "out of time"
                                     : "finished",
                layers, layers - summary->layers[VARVE_OK], summary->cached, summary->seconds,
                code);
    }
}

/* Opens the list of failures, and begins it with those of the sources. */
static FILE *open_errors(const char *path, const struct varve_catalog *catalog) {
    FILE *file = fopen(path, "we");
    for (size_t i = 0; file && i < varve_catalog_error_count(catalog); i++) {
        struct varve_catalog_error error = varve_catalog_error(catalog, i);
        if (error.fault.status != VARVE_OK) {
            json_error(file, &error);
        }
    }
    return file;
}

static bool close_errors(FILE *file, const char *path) {
    bool good = !ferror(file);
    good = fclose(file) == 0 && good;
    if (!good) {
        complain("cannot write to %s: %s", path, strerror(errno));
    }
    return good;
}

static int run_catalog(const struct settings *settings, const struct varve_catalog *catalog,
                       struct varve_store *store, enum mode mode) {
    struct reporter reporter = {.settings = settings,
                                .catalog = catalog,
                                .store = store,
                                .digest = mode == MODE_DIGEST,
                                .store_check = mode == MODE_VERIFY_STORE,
                                .out = settings->json ? &json_report : &text_report};
    struct varve_scan *scan = NULL;
    struct varve_scan_summary summary;
    struct varve_scan_options options = settings->scan;
    options.turns = store ? varve_store_turns(store) : NULL;
    if (settings->errors_to && !(reporter.errors = open_errors(settings->errors_to, catalog))) {
        complain("cannot write to %s: %s", settings->errors_to, strerror(errno));
        return EXIT_FATAL;
    }
    enum varve_status status = varve_scan_open(&scan, catalog, &options);
    if (status == VARVE_UNSUPPORTED) {
        complain("this CPU or build has not the tier or engine asked for; see 'varve --cpu=list'");
        return EXIT_FATAL;
    }
    if (status != VARVE_OK || (!settings->json && !text_begin(&reporter))) {
        complain("out of memory");
        varve_scan_close(scan);
        return EXIT_FATAL;
    }
    running_scan = scan;
    listing = 0;
    watch(SIGINT, on_signal);
    watch(SIGTERM, on_signal);
    if (database_failed || caught) {
        varve_scan_cancel(scan);
    }
    if (out_of_time) {
        varve_scan_stop(scan);
    }
    patient_output(&caught);
    if (settings->json) {
        /* Some lines a call, unless somebody is looking on. */
        if (!isatty(STDOUT_FILENO)) {
            static char buffer[STDOUT_BYTES]; /* glibc's own would have 4 KiB, whatever is asked */
            setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
        }
        json_begin(&reporter);
        fflush(stdout); /* who reads sees that it has begun */
    }
    progress_begin(settings->progress);
    status = varve_scan_run(scan, &summary, store ? &stored_report : &plain_report, &reporter);
    progress_end();
    running_scan = NULL;
    bool listed = !reporter.errors || close_errors(reporter.errors, settings->errors_to);
    int code = exit_code_of(settings, catalog, &summary);
    if (!listed) {
        code = EXIT_FATAL;
    }
    if (status != VARVE_OK) {
        complain("out of memory, or of threads: the scan is not complete");
        code = EXIT_FATAL;
    }
    if (store) {
        struct varve_store_fault fault;
        if (varve_store_finish(store, &fault, &summary, code) != VARVE_STORE_OK) {
            int worse = store_exit_code(&fault);
            code = code == EXIT_FATAL ? code : worse;
        }
    }
    if (settings->json) {
        json_end(&reporter, &summary, code);
    } else {
        text_end(&reporter, &summary);
    }
    if (summary.temporary_error) {
        complain("no room for temporary data in %s: %s; it was kept in memory instead",
                 temporary_folder() ? temporary_folder() : "/var/tmp or /tmp",
                 strerror(summary.temporary_error));
    }
    log_end(&summary, code);
    if (settings->prom && !write_prom(settings, &summary, code) && code != EXIT_FATAL) {
        code = EXIT_FATAL;
    }
    if (settings->timings) {
        print_timings(&summary);
    }
    varve_scan_close(scan);
    return code;
}

/* With a database, where one was asked for. */
static int scan_catalog(const struct settings *settings, const struct varve_catalog *catalog,
                        struct varve_store *store, enum mode mode) {
    struct varve_store_fault fault;
    struct varve_store_scan how = {
        .options = &settings->scan,
        .sources = (const char *const *)settings->operands,
        .source_count = (size_t)settings->operand_count,
        .rescan = settings->rescan,
    };
    if (settings->reverify_seconds) {
        how.reverify_before = (int64_t)time(NULL) - (int64_t)settings->reverify_seconds;
    }
    if (store && varve_store_begin(store, &fault, catalog, &how) != VARVE_STORE_OK) {
        return store_exit_code(&fault);
    }
    return run_catalog(settings, catalog, store, mode);
}

/* Adds the loose files of a list, parted by NULs. False, after a message: it could not be read. */
static bool add_files_from(struct varve_catalog *catalog, const char *list) {
    FILE *file = strcmp(list, "-") == 0 ? stdin : fopen(list, "re");
    char *name = NULL;
    size_t room = 0;
    bool good = file != NULL;
    while (good && getdelim(&name, &room, 0, file) > 0) {
        good = !*name || varve_catalog_add_file(catalog, name) == VARVE_OK;
    }
    good = good && feof(file) != 0; /* without memory, reading ends with neither (getdelim(3)) */
    if (!good) {
        complain("cannot read the list %s: %s", list, strerror(errno));
    }
    free(name);
    if (file && file != stdin) {
        fclose(file);
    }
    return good;
}

/* Counts layers of which nothing is known, for this machine failed. */
static void count_unread(void *cookie, const struct varve_layer *layer, size_t blob,
                         const struct varve_job *job) {
    static const char *const codes[] = {"io.open", "io.read", "io.changed", "memory.exhausted"};
    uint64_t *count = ((struct reporter *)cookie)->state;
    (void)blob;
    (void)job;
    for (size_t i = 0; layer->fault.code && i < sizeof codes / sizeof codes[0]; i++) {
        *count += strcmp(layer->fault.code, codes[i]) == 0;
    }
}

/* The scan of scan_into: all is ready, and nothing is reported. */
static int run_silently(const struct settings *settings, const struct varve_catalog *catalog,
                        struct varve_store *store, uint64_t *unread) {
    static const struct varve_report counting = {.layer = count_unread};
    struct reporter reporter = {.settings = settings,
                                .catalog = catalog,
                                .store = store,
                                .out = &counting,
                                .state = unread};
    struct varve_store_fault fault;
    struct varve_scan_summary summary;
    struct varve_scan *scan = NULL;
    int code = EXIT_FATAL;
    if (varve_scan_open(&scan, catalog, &settings->scan) != VARVE_OK) {
        complain("this CPU or build cannot do what was asked for, or there is no memory");
        return code;
    }
    running_scan = scan;
    watch(SIGINT, on_signal);
    watch(SIGTERM, on_signal);
    progress_begin(settings->progress);
    enum varve_status status = varve_scan_run(scan, &summary, &stored_report, &reporter);
    progress_end();
    running_scan = NULL;
    varve_scan_close(scan);
    if (varve_store_finish(store, &fault, &summary, EXIT_WELL) != VARVE_STORE_OK) {
        return store_exit_code(&fault);
    }
    if (status != VARVE_OK) {
        complain("out of memory, or of threads");
        return code;
    }
    return summary.interrupted ? 128 + caught : EXIT_WELL;
}

/* False: no memory. */
static bool open_catalog(struct varve_catalog **catalog, const struct settings *settings) {
    if (varve_catalog_open(catalog) != VARVE_OK) {
        return false;
    }
    varve_catalog_set_threads(*catalog, settings->scan.threads);
    return !temporary_folder() || varve_catalog_set_temporary(*catalog, temporary_folder());
}

bool tell_unread(const struct varve_catalog *catalog, const char *source) {
    size_t count = 0;
    for (size_t i = 0; i < varve_catalog_error_count(catalog); i++) {
        struct varve_catalog_error error = varve_catalog_error(catalog, i);
        if (error.fault.status == VARVE_ERROR) {
            complain("%s: %s", error.name, error.fault.message);
            count++;
        }
    }
    for (size_t i = 0; i < varve_catalog_image_count(catalog); i++) {
        const struct varve_image image = varve_catalog_image(catalog, i);
        count += image.fault.code && image.fault.status == VARVE_ERROR;
    }
    if (count) {
        complain("%s: not all of it could be read", source);
    }
    return count > 0;
}

int scan_into(const struct settings *settings, const char *source, const char *path, bool *unread) {
    struct varve_catalog *catalog = NULL;
    struct varve_store *store = NULL;
    const struct varve_store_options options = {.failed = on_database_failed};
    const struct varve_store_scan how = {
        .options = &settings->scan, .sources = &source, .source_count = 1};
    struct varve_store_fault fault = {0};
    int code = EXIT_FATAL;
    if (!open_catalog(&catalog, settings)) {
        complain("out of memory");
    } else if (varve_catalog_add(catalog, source) != VARVE_OK) {
        size_t count = varve_catalog_error_count(catalog);
        complain("%s: %s", source,
                 count ? varve_catalog_error(catalog, count - 1).fault.message : "unknown");
    } else if (varve_store_open(&store, &fault, path, &options) != VARVE_STORE_OK ||
               varve_store_begin(store, &fault, catalog, &how) != VARVE_STORE_OK) {
        code = store_exit_code(&fault);
    } else {
        uint64_t layers = 0;
        code = run_silently(settings, catalog, store, &layers);
        if (layers) {
            complain("%s: %" PRIu64 " layers could not be read", source, layers);
        }
        *unread |= tell_unread(catalog, source) || layers;
    }
    varve_store_close(store);
    varve_catalog_close(catalog);
    return code;
}

/* Whether all sources are stores that keep their layers unpacked; false after a message. */
static bool all_unpacked(const struct varve_catalog *catalog) {
    static const char *const kinds[] = {"containers-storage:", "docker:"};
    for (size_t i = 0; i < varve_catalog_blob_count(catalog); i++) {
        const char *source = varve_catalog_blob(catalog, i).source;
        if (strncmp(source, kinds[0], strlen(kinds[0])) != 0 &&
            strncmp(source, kinds[1], strlen(kinds[1])) != 0) {
            complain("%s: no store that keeps layers unpacked; 'varve scan' checks it", source);
            return false;
        }
    }
    return true;
}

/* What is wrong with a source stands in the catalog. False: there was no memory to say so. */
static bool add_operands(struct varve_catalog *catalog, const struct settings *settings,
                         bool digest) {
    bool good = true;
    struct sigaction before[2];
    sigaction(SIGINT, NULL, &before[0]);
    sigaction(SIGTERM, NULL, &before[1]);
    filling_catalog = catalog;
    watch(SIGINT, on_signal);
    watch(SIGTERM, on_signal);
    for (int i = 0; i < settings->operand_count && good && !caught; i++) {
        const char *operand = settings->operands[i];
        size_t errors = varve_catalog_error_count(catalog);
        good = digest ? varve_catalog_add_file(catalog, operand) == VARVE_OK
                      : varve_catalog_add(catalog, operand) == VARVE_OK ||
                            varve_catalog_error_count(catalog) > errors;
        good = good && !varve_catalog_lost_errors(catalog);
    }
    filling_catalog = NULL;
    if (!caught) {
        /* Who waits for a list of files, or opens a database, has done nothing yet. */
        sigaction(SIGINT, &before[0], NULL);
        sigaction(SIGTERM, &before[1], NULL);
    }
    return good || caught;
}

static int run(const struct settings *settings, enum mode mode) {
    struct varve_catalog *catalog = NULL;
    struct varve_store *store = NULL;
    const struct varve_store_options options = {.failed = on_database_failed};
    struct varve_store_fault fault;
    if ((settings->rescan || settings->reverify_seconds) && !settings->db) {
        complain("--rescan and --reverify-older-than are of a database: --db is missing");
        return EXIT_FATAL;
    }
    /* The time is counted from here: walking a registry takes some of it. */
    begin_listing(settings);
    watch(SIGALRM, on_alarm);
    watch(SIGUSR1, on_question);
    if (settings->max_seconds) {
        alarm(settings->max_seconds < UINT_MAX ? (unsigned)settings->max_seconds : UINT_MAX);
    }
    /* First of all: who cannot write down what he finds need not walk a whole registry. */
    if (settings->db &&
        varve_store_open(&store, &fault, settings->db, &options) != VARVE_STORE_OK) {
        return store_exit_code(&fault);
    }
    if (!open_catalog(&catalog, settings)) {
        complain("out of memory");
        varve_store_close(store);
        return EXIT_FATAL;
    }
    if (mode == MODE_VERIFY_STORE) {
        varve_catalog_check_contents(catalog);
    }
    int code = EXIT_FATAL;
    if (!add_operands(catalog, settings, mode == MODE_DIGEST)) {
        complain("out of memory");
    } else if ((caught || !settings->files_from || add_files_from(catalog, settings->files_from)) &&
               (mode != MODE_VERIFY_STORE || all_unpacked(catalog))) {
        code = scan_catalog(settings, catalog, store, mode);
    }
    varve_store_close(store);
    varve_catalog_close(catalog);
    return code;
}

int run_scan(const struct settings *settings) {
    return run(settings, MODE_SCAN);
}

int run_digest(const struct settings *settings) {
    return run(settings, MODE_DIGEST);
}

/* The archives' digests are all that is claimed of such layers. */
int run_verify_store(const struct settings *settings) {
    struct settings own = *settings;
    own.scan.deepest_rung = VARVE_RUNG_DIFFID;
    return run(&own, MODE_VERIFY_STORE);
}
