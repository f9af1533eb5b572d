/* SPDX-License-Identifier: Apache-2.0 */
/* bench/headers.c - tar headers: the kernels beside each other, and the whole parser beside other
 * readers of the same archive. A repetition gets through HEADERS headers.
 *
 *   read/STYLE    checksums, numbers and their styles of a batch; STYLE is how numbers are written
 *   write         the fixed parts of canonical records
 *   list/STYLE    every entry of an archive of empty files, with all that its header says; varve
 * with findings counted. Python's tarfile and Go's archive/tar run beside it and time themselves:
 * the remark is their nanoseconds per header, where they are installed.
 *
 * Gigabytes per second times two are headers per nanosecond over 256.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(VARVE_HAVE_LIBARCHIVE)
#include <archive.h>
#include <archive_entry.h>
#endif

#include "bench.h"
#include "kernels.h"
#include "varve/findings.h"
#include "varve/tar.h"

enum { HEADERS = 20000, BLOCK = 512 };

/* An archive in one way of writing. */
struct archive_bytes {
    const char *style;
    uint8_t *bytes;
    size_t count;
    char path[64]; /* the same in a file, for other programs */
};

static void *must(void *memory) {
    if (!memory) {
        perror("bench");
        exit(2);
    }
    return memory;
}

/* Numbers as GNU tar and Go write them, or as bsdtar does. */
static void put_header(uint8_t *block, unsigned i, bool bsd) {
    char *text = (char *)block;
    snprintf(text, 100, "usr/share/doc/package-%u/examples/file-%u.conf", i % 977, i);
    snprintf(text + 100, 25, bsd ? "%06o %c%06o %c%06o " : "%07o%c%07o%c%07o", 0644, 0, i % 1000, 0,
             i % 100);
    snprintf(text + 124, 25, bsd ? "%011o %011o " : "%011o%c%011o", 0, bsd ? 1700000000 + i : 0,
             1700000000 + i);
    block[156] = '0';
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): fields of a header */
    memcpy(block + 257,
           "ustar\0"
           "00root",
           12);
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): fields of a header */
    memcpy(block + 297, "root", 4);
    memcpy(block + 329,
           bsd ? "000000 \0"
                 "000000 "
               : "0000000\0"
                 "0000000",
           16);
    unsigned sum = 8 * ' ';
    for (size_t at = 0; at < BLOCK; at++) {
        sum += at >= 148 && at < 156 ? 0 : block[at];
    }
    snprintf(text + 148, 8, "%06o", sum);
    block[155] = ' ';
}

static struct archive_bytes *make_archive(const char *style) {
    struct archive_bytes *a = must(calloc(1, sizeof *a));
    a->style = style;
    a->count = (size_t)BLOCK * (HEADERS + 2);
    a->bytes = must(calloc(1, a->count));
    for (unsigned i = 0; i < HEADERS; i++) {
        put_header(a->bytes + (size_t)BLOCK * i, i, strcmp(style, "bsdtar") == 0);
    }
    strcpy(a->path, "/tmp/varve-bench-XXXXXX");
    int fd = mkstemp(a->path);
    if (fd < 0 || write(fd, a->bytes, a->count) != (ssize_t)a->count) {
        perror(a->path);
        exit(2);
    }
    close(fd);
    return a;
}

/* --- kernels --- */

struct kernel_run {
    const struct varve_header_row *row;
    const struct archive_bytes *archive;
    struct varve_header_numbers *numbers;
    struct varve_header_values *values;
    uint8_t *records;
};

static struct kernel_run runs[2][BENCH_MAX_CONTENDERS]; /* by archive */
static size_t run_count[2];

static void run_read(void *cookie) {
    struct kernel_run *run = cookie;
    run->row->read(run->numbers, run->archive->bytes, HEADERS);
}

static void run_write(void *cookie) {
    struct kernel_run *run = cookie;
    run->row->write(run->records, run->values, HEADERS);
}

static void add_kernels(struct bench_case *read, struct bench_case *write,
                        const struct archive_bytes *archive, size_t which) {
    for (size_t i = 0; i < varve_header_row_count; i++) {
        const struct varve_header_row *row = &varve_header_rows[i];
        if ((varve_cpu_bits() & row->needs) != row->needs) {
            continue;
        }
        struct kernel_run *run = &runs[which][run_count[which]++];
        run->row = row;
        run->archive = archive;
        run->numbers = must(calloc(HEADERS, sizeof *run->numbers));
        run->values = must(calloc(HEADERS, sizeof *run->values));
        run->records = must(calloc(HEADERS, VARVE_HEADER_FIXED_BYTES));
        for (unsigned h = 0; h < HEADERS; h++) {
            run->values[h] = (struct varve_header_values){
                .mode = 0644, .uid = h % 1000, .gid = h % 100, .mtime = 1700000000 + h};
        }
        bench_add(read, row->name, run_read, run);
        if (write) {
            bench_add(write, row->name, run_write, run);
        }
    }
}

static bool verify_read(void *cookie) {
    size_t which = cookie == &runs[1];
    bool right = true;
    for (size_t i = 0; i < run_count[which]; i++) {
        for (unsigned h = 0; h < HEADERS; h++) {
            const struct varve_header_numbers *n = &runs[which][i].numbers[h];
            right &= n->value[VARVE_HEADER_CHECKSUM] == n->sum &&
                     n->value[VARVE_HEADER_MTIME] == 1700000000 + h;
        }
    }
    return right;
}

static bool verify_write(void *cookie) {
    (void)cookie;
    bool right = true;
    for (size_t i = 0; i < run_count[0]; i++) {
        for (size_t h = 0; h < HEADERS; h++) {
            right &= memcmp(runs[0][i].records + h * VARVE_HEADER_FIXED_BYTES,
                            runs[0][i].archive->bytes + h * BLOCK + 100, 48) == 0;
        }
    }
    return right;
}

/* --- readers --- */

struct reader {
    const struct archive_bytes *archive;
    struct varve_tar *tar;
    struct varve_findings *findings;
    uint64_t entries, mtimes;
};

struct list_trial {
    const struct archive_bytes *archive;
    struct reader readers[BENCH_MAX_CONTENDERS];
    size_t count;
};

static void run_varve(void *cookie) {
    struct reader *me = cookie;
    struct varve_tar_item item;
    enum varve_tar_event event;
    me->entries = me->mtimes = 0;
    varve_findings_reset(me->findings);
    varve_tar_reset(me->tar, me->findings);
    varve_tar_feed(me->tar, me->archive->bytes, me->archive->count, true);
    while ((event = varve_tar_next(me->tar, &item)) < VARVE_TAR_END) {
        if (event == VARVE_TAR_ENTRY) {
            me->entries++;
            me->mtimes += (uint64_t)item.entry->mtime.seconds;
        }
    }
}

#if defined(VARVE_HAVE_LIBARCHIVE)
static void run_libarchive(void *cookie) {
    struct reader *me = cookie;
    struct archive *archive = must(archive_read_new());
    struct archive_entry *entry;
    me->entries = me->mtimes = 0;
    archive_read_support_format_tar(archive);
    archive_read_open_memory(archive, me->archive->bytes, me->archive->count);
    while (archive_read_next_header(archive, &entry) == ARCHIVE_OK) {
        me->entries++;
        me->mtimes += (uint64_t)archive_entry_mtime(entry);
    }
    archive_read_free(archive);
}
#endif

static void add_reader(struct bench_case *c, const char *name, void (*run)(void *),
                       enum varve_tier tier) {
    struct list_trial *trial = c->cookie;
    struct reader *reader = &trial->readers[trial->count++];
    struct varve_tar_options options = {NULL, tier};
    reader->archive = trial->archive;
    if (varve_findings_open(&reader->findings) != VARVE_OK ||
        varve_tar_open(&reader->tar, &options) != VARVE_OK) {
        must(NULL);
    }
    bench_add(c, name, run, reader);
}

static bool verify_list(void *cookie) {
    struct list_trial *trial = cookie;
    uint64_t mtimes = UINT64_C(1700000000) * HEADERS + (uint64_t)HEADERS * (HEADERS - 1) / 2;
    bool right = true;
    for (size_t i = 0; i < trial->count; i++) {
        right &= trial->readers[i].entries == HEADERS && trial->readers[i].mtimes == mtimes;
    }
    return right;
}

/* Asks a program for its nanoseconds per header; it prints one number. */
static size_t ask(char *to, size_t bytes, const char *name, const char *command, const char *path) {
    char line[512];
    char answer[64] = "";
    snprintf(line, sizeof line, "%s %s 2>/dev/null", command, path);
    FILE *pipe = popen(line, "r"); /* NOLINT(cert-env33-c): the command is this file's own */
    if (!pipe) {
        return 0;
    }
    if (!fgets(answer, sizeof answer, pipe)) {
        answer[0] = 0;
    }
    pclose(pipe);
    answer[strcspn(answer, "\n")] = 0;
    int length = snprintf(to, bytes, "%s %s ns/header  ", name, *answer ? answer : "(not there)");
    return length < 0 ? 0 : (size_t)length < bytes ? (size_t)length : bytes;
}

static void other_languages(void *cookie, char *to, size_t bytes) {
    struct list_trial *trial = cookie;
    size_t used = ask(to, bytes, "python", "/usr/bin/python3 " VARVE_SOURCE_DIR "/bench/headers.py",
                      trial->archive->path);
    ask(to + used, bytes - used, "go",
        "GO111MODULE=off go run " VARVE_SOURCE_DIR "/bench/headers.go", trial->archive->path);
}

static void add_list(struct bench_case *c, const struct archive_bytes *archive) {
    struct list_trial *trial = must(calloc(1, sizeof *trial));
    trial->archive = archive;
    *c = (struct bench_case){
        .bytes = archive->count, .verify = verify_list, .remark = other_languages, .cookie = trial};
    snprintf(c->name, sizeof c->name, "list/%s", archive->style);
    add_reader(c, "varve", run_varve, VARVE_TIER_AUTO);
#if defined(VARVE_HAVE_LIBARCHIVE)
    add_reader(c, "libarchive", run_libarchive, VARVE_TIER_SCALAR);
#endif
    add_reader(c, "scalar", run_varve, VARVE_TIER_SCALAR);
}

int main(int argc, char **argv) {
    static const char *const styles[2] = {"gnu", "bsdtar"};
    struct bench_case cases[5] = {0};
    struct archive_bytes *archives[2];
    for (size_t i = 0; i < 2; i++) {
        archives[i] = make_archive(styles[i]);
        struct bench_case *read = &cases[i];
        read->bytes = (uint64_t)BLOCK * HEADERS;
        read->verify = verify_read;
        read->cookie = &runs[i];
        snprintf(read->name, sizeof read->name, "read/%s", styles[i]);
        add_kernels(read, i == 0 ? &cases[2] : NULL, archives[i], i);
        add_list(&cases[3 + i], archives[i]);
    }
    cases[2].bytes = (uint64_t)VARVE_HEADER_FIXED_BYTES * HEADERS;
    cases[2].verify = verify_write;
    strcpy(cases[2].name, "write");
#if defined(VARVE_HAVE_LIBARCHIVE)
    bench_library("libarchive", archive_version_string());
#endif
    int code = bench_main(argc, argv, cases, 5);
    for (size_t i = 0; i < 2; i++) {
        unlink(archives[i]->path);
    }
    return code;
}
