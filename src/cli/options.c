/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/options.c - the one table of options: getopt_long's input and every command's help. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How an option's argument is read into `field`, the part of the settings that the row names.
 * False: it is not what the option takes. */
typedef bool option_reader(void *field, const char *text);

static bool read_flag(void *field, const char *text) {
    (void)text;
    *(bool *)field = true;
    return true;
}

static bool read_text(void *field, const char *text) {
    *(const char **)field = text;
    return true;
}

static bool read_path(void *field, const char *text) {
    return read_text(field, text) && *text;
}

static bool read_rung(void *field, const char *text) {
    return varve_rung_by_name(field, text);
}

static bool read_encoding(void *field, const char *text) {
    return encoding_read(field, text);
}

/* "1048576", "512K", "512KiB", "1GiB", "2TB": powers of 1024 but for a trailing plain B, of 1000.
 */
static bool read_size(void *field, const char *text) {
    uint64_t *bytes = field;
    static const char units[] = "KMGTPE";
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *text == '-' || errno) {
        return false;
    }
    const char *unit = *end ? strchr(units, *end) : NULL;
    uint64_t scale = 1;
    if (unit) {
        uint64_t base = strcmp(end + 1, "B") == 0 ? 1000 : 1024;
        for (long i = 0; i <= unit - units; i++) {
            scale *= base;
        }
        end += strcmp(end + 1, "iB") == 0 ? 3 : base == 1000 ? 2 : 1;
    }
    if (*end || value == 0 || value > UINT64_MAX / scale) {
        return false;
    }
    *bytes = value * scale;
    return true;
}

/* "90" (seconds), "30m", "2h", "30d", "8w". */
static bool read_duration(void *field, const char *text) {
    uint64_t *seconds = field;
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}, {0, 1}};
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *text < '0' || *text > '9' || errno || value == 0 || value > 1u << 31) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (*end == units[i].unit && (!*end || !end[1])) {
            *seconds = value * units[i].seconds;
            return true;
        }
    }
    return false;
}

/* A number alone counts MB; with a B, bytes; else it is a size. */
static bool read_rate(void *field, const char *text) {
    uint64_t *bytes = field;
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool plain = !*end || strcmp(end, "B") == 0;
    if (end != text && plain && !errno && *text != '-' && value > 0 && value < 1u << 30) {
        *bytes = *end ? value : value * 1000000;
        return true;
    }
    return read_size(bytes, text);
}

/* "mismatch,partial", "never". */
static bool read_fail_on(void *field, const char *text) {
    unsigned *bits = field;
    static const char *const names[] = {"mismatch", "partial"};
    *bits = 0;
    if (strcmp(text, "never") == 0) {
        return true;
    }
    for (;; text++) {
        size_t count = strcspn(text, ",");
        unsigned found = 0;
        for (unsigned i = 0; i < 2; i++) {
            if (strlen(names[i]) == count && strncmp(names[i], text, count) == 0) {
                found = 1u << i;
            }
        }
        *bits |= found;
        text += count;
        if (!found || !*text) {
            return found != 0;
        }
    }
}

static bool read_progress(void *field, const char *text) {
    enum progress_mode *mode = field;
    static const char *const names[] = {"auto", "tty", "plain", "json", "none"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], text) == 0) {
            *mode = (enum progress_mode)i;
            return true;
        }
    }
    return false;
}

static bool read_engine(void *field, const char *text) {
    enum varve_sha256_engine *engine = field;
    static const enum varve_sha256_engine engines[] = {VARVE_SHA256_OWN, VARVE_SHA256_ISAL_CRYPTO};
    for (size_t i = 0; i < 2; i++) {
        if (strcmp(varve_sha256_engine_name(engines[i]), text) == 0) {
            *engine = engines[i];
            return true;
        }
    }
    return false;
}

static bool read_inflate_engine(void *field, const char *text) {
    enum varve_inflate_engine *engine = field;
    for (int i = VARVE_INFLATE_OWN; i <= VARVE_INFLATE_IGZIP; i++) {
        if (strcmp(varve_inflate_engine_name((enum varve_inflate_engine)i), text) == 0) {
            *engine = (enum varve_inflate_engine)i;
            return true;
        }
    }
    return false;
}

static bool read_tier(void *field, const char *text) {
    struct settings *settings = field;
    if (strcmp(text, "list") == 0) {
        settings->list_cpu = true;
        return true;
    }
    return varve_tier_by_name(&settings->scan.tier, text);
}

static bool read_count(void *field, const char *text) {
    unsigned *count = field;
    uint64_t value = 0;
    if (!read_size(&value, text) || value > 4096) {
        return false;
    }
    *count = (unsigned)value;
    return true;
}

static bool read_number(void *field, const char *text) {
    uint64_t *number = field;
    char *end = NULL;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return end != text && !*end && *text != '-' && !errno;
}

static bool read_signed(void *field, const char *text) {
    int64_t *number = field;
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    *number = value;
    return end != text && !*end && !errno;
}

static bool read_group(void *field, const char *text) {
    const char **group = field;
    *group = text;
    return strcmp(text, "compression") == 0 || strcmp(text, "hash") == 0 ||
           strcmp(text, "nightly") == 0;
}

static bool read_color(void *field, const char *text) {
    enum color_mode *mode = field;
    static const char *const names[] = {"auto", "always", "never"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(names[i], text) == 0) {
            *mode = (enum color_mode)i;
            return true;
        }
    }
    return false;
}

static bool read_limit(void *field, const char *text) {
    uint64_t *limit = field;
    if (strcmp(text, "all") == 0) {
        *limit = UINT64_MAX;
        return true;
    }
    return read_size(limit, text);
}

static bool read_rounds(void *field, const char *text) {
    return read_count(field, text) && *(unsigned *)field <= 100;
}

/* The rest set more than one field, and are given all settings. */
static bool read_entries(void *field, const char *text) {
    struct settings *settings = field;
    (void)text;
    return settings->entries = settings->scan.entries = true;
}

static bool read_chunk(void *field, const char *text) {
    struct settings *settings = field;
    uint64_t bytes = 0;
    bool good = read_size(&bytes, text);
    settings->scan.chunk_bytes = (size_t)bytes;
    return good;
}

static bool read_mtime(void *field, const char *text) {
    struct settings *settings = field;
    return settings->has_mtime = read_signed(&settings->mtime, text);
}

/* What a uid_t or gid_t holds, but for (uid_t)-1, which chown(2) keeps for "leave it". */
#define MOST_ID ((int64_t)UINT32_MAX - 1)

static bool read_id(int64_t *id, const char *text) {
    return read_signed(id, text) && *id >= 0 && *id <= MOST_ID;
}

static bool read_uid(void *field, const char *text) {
    struct settings *settings = field;
    return settings->has_uid = read_id(&settings->uid, text);
}

static bool read_gid(void *field, const char *text) {
    struct settings *settings = field;
    return settings->has_gid = read_id(&settings->gid, text);
}

#define FIELD(name) offsetof(struct settings, name)
#define ALL 0 /* of the settings */

static const struct option_row {
    char letter; /* short option, or 0 */
    const char *name;
    const char *argument; /* NULL: takes none */
    const char *help;     /* NULL: --help does not show it */
    option_reader *read;
    size_t field; /* of struct settings: what `read` is given */
} table[OPTION_COUNT] = {
    [OPT_JSON] = {0, "json", NULL, "write NDJSON, one object a line", read_flag, FIELD(json)},
    [OPT_OUTPUT] = {'o', "output", "FILE", "what is written; appears whole or not at all",
                    read_text, FIELD(output)},
    [OPT_FILES] = {0, "files", "DIR", "write the contents of files into DIR, which is new or empty",
                   read_path, FIELD(files)},
    [OPT_STRENGTH] = {0, "rung", "RUNG",
                      "keep what the rung keeps: encoding (default), order, names, times",
                      read_rung, FIELD(strength)},
    [OPT_COMPRESS] = {0, "compress", "HOW",
                      "none (default), gzip[:0-9], igzip[:0-3] or zstd[:1-19]", read_encoding,
                      FIELD(encoding)},
    [OPT_MTIME] = {0, "mtime", "SECONDS",
                   "no time later than this (default: $SOURCE_DATE_EPOCH, if set)", read_mtime,
                   ALL},
    [OPT_UID] = {0, "uid", "N", "owner of every entry", read_uid, ALL},
    [OPT_GID] = {0, "gid", "N", "group of every entry", read_gid, ALL},
    [OPT_CSV] = {0, "csv", NULL, "write CSV", read_flag, FIELD(csv)},
    [OPT_SAMPLE] = {0, "sample", "SIZE", "decoded bytes of layers to measure on (default 16MiB)",
                    read_size, FIELD(bench_sample_bytes)},
    [OPT_SEED] = {0, "seed", "N", "which layers are drawn (default 0)", read_number,
                  FIELD(bench_seed)},
    [OPT_ROUNDS] = {0, "rounds", "N", "rounds at most, up to 100 (default 7)", read_rounds,
                    FIELD(bench_rounds)},
    [OPT_ONLY] = {0, "only", "GROUP", "compression, hash or nightly", read_group,
                  FIELD(bench_only)},
    [OPT_COMPARE] = {0, "compare", "FILE", "what changed since a run whose --json output FILE is",
                     read_text, FIELD(bench_compare)},
    [OPT_PLOT] = {0, "plot", "FILE", "draw ratio against speed as SVG", read_text,
                  FIELD(bench_plot)},
    [OPT_ENTRIES] = {0, "entries", NULL, "list every tar entry", read_entries, ALL},
    [OPT_PROGRESS] = {0, "progress", "MODE",
                      "auto, tty, plain (a line every 30 s), json or none; on stderr",
                      read_progress, FIELD(progress)},
    [OPT_RUNGS] = {0, "rungs", "RUNG",
                   "how far down the ladder to go: blob, diffid, ... content (default)", read_rung,
                   FIELD(scan.deepest_rung)},
    [OPT_DIFF_RUNG] = {0, "rung", "RUNG",
                       "the rung that the exit code is about: blob (default), ... content",
                       read_rung, FIELD(diff_rung)},
    [OPT_DIFF_LIMIT] = {0, "limit", "N",
                        "differences shown of each kind (20; with --json: all), or 'all'",
                        read_limit, FIELD(diff_limit)},
    [OPT_SOURCE] = {0, "source", "SOURCE", "where digests given as LEFT or RIGHT are looked for",
                    read_text, FIELD(diff_source)},
    [OPT_PLATFORM] = {0, "platform", "OS/ARCH", "which of a tag's images to take", read_text,
                      FIELD(diff_platform)},
    [OPT_COLOR] = {0, "color", "WHEN", "auto (a terminal, unless NO_COLOR is set), always or never",
                   read_color, FIELD(color)},
    [OPT_THREADS] = {0, "threads", "N", "threads; default: CPU affinity or cgroup quota",
                     read_count, FIELD(scan.threads)},
    [OPT_CPU] = {0, "cpu", "TIER", "auto, scalar, shani, avx2, avx512; 'list' shows the kernels",
                 read_tier, ALL},
    [OPT_SHA256_ENGINE] = {0, "sha256-engine", "NAME",
                           "varve (default) or isal-crypto, where built in", read_engine,
                           FIELD(scan.engine)},
    [OPT_INFLATE_ENGINE] = {0, "inflate-engine", "NAME",
                            "varve (default): several layers at once; or igzip",
                            read_inflate_engine, FIELD(scan.inflate_engine)},
    [OPT_MEMORY] = {0, "memory", "SIZE",
                    "memory budget, such as 512MiB (default 1GiB; of diff 2GiB)", read_size,
                    FIELD(scan.memory_bytes)},
    [OPT_MAX_DECODED] = {0, "max-decoded", "SIZE",
                         "decoded bytes beyond which a layer ends as limit (default 1TiB)",
                         read_size, FIELD(scan.max_decoded_bytes)},
    [OPT_FILES0_FROM] = {0, "files0-from", "FILE",
                         "also the layer files that FILE (- is stdin) lists, parted by NULs",
                         read_text, FIELD(files_from)},
    [OPT_DB] = {0, "db", "FILE", "the database", read_path, FIELD(db)},
    [OPT_RESCAN] = {0, "rescan", NULL, "read everything, whatever the database knows", read_flag,
                    FIELD(rescan)},
    [OPT_REVERIFY] = {0, "reverify-older-than", "AGE",
                      "read again what was not read for so long: 12h, 30d, 8w; the oldest first",
                      read_duration, FIELD(reverify_seconds)},
    [OPT_MAX_DURATION] = {0, "max-duration", "TIME", "begin no more layers after so long: 30m, 2h",
                          read_duration, FIELD(max_seconds)},
    [OPT_READ_LIMIT] = {0, "read-limit", "RATE", "read no more than so many MB a second", read_rate,
                        FIELD(scan.read_bytes_per_second)},
    [OPT_FAIL_ON] = {0, "fail-on", "LIST",
                     "mismatch,partial (default) or never: what gives exit codes 1, 3",
                     read_fail_on, FIELD(fail_on)},
    [OPT_ERRORS_TO] = {0, "errors-to", "FILE", "write what fails to FILE too, as JSON lines",
                       read_path, FIELD(errors_to)},
    [OPT_PROM] = {0, "prom", "FILE", "write figures for Prometheus to FILE", read_path,
                  FIELD(prom)},
    [OPT_QUERY_RUNG] = {0, "rung", "RUNG", "of this rung alone", read_text, FIELD(rung)},
    [OPT_QUERY_LIMIT] = {0, "limit", "N", "so many rows at most", read_size, FIELD(limit)},
    [OPT_TIMINGS] = {0, "timings", NULL, "say on stderr where the CPU time went", read_flag,
                     FIELD(timings)},
    [OPT_CHUNK] = {0, "chunk", "SIZE", NULL, read_chunk, ALL}, /* for tests: bytes a step */
    [OPT_VERSION] = {'V', "version", NULL,
                     "print the version; with -v also libraries, CPU tier and engine", read_flag,
                     FIELD(version)},
    [OPT_VERBOSE] = {'v', "verbose", NULL, "say more", read_flag, FIELD(verbose)},
    [OPT_HELP] = {'h', "help", NULL, "print this help", read_flag, FIELD(help)},
};

static bool takes(const struct command *command, enum option_name option) {
    for (const enum option_name *taken = command->options; *taken != OPTION_COUNT; taken++) {
        if (*taken == option) {
            return true;
        }
    }
    return false;
}

void options_help(const struct command *command) {
    printf("Usage: varve%s%s [OPTION]...%s%s\n", command->name ? " " : "",
           command->name ? command->name : "", *command->operands ? " " : "", command->operands);
    if (command->summary) {
        printf("%s.\n", command->summary);
    }
    puts("\nOptions:");
    for (enum option_name i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &table[i];
        if (!takes(command, i) || !row->help) {
            continue;
        }
        char left[40];
        snprintf(left, sizeof left, "--%s%s%s", row->name, row->argument ? "=" : "",
                 row->argument ? row->argument : "");
        printf("  %c%c%c %-22s %s\n", row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
               row->letter ? ',' : ' ', left, row->help);
    }
}

/* What getopt_long gives for a row's long name: beyond all letters. */
#define LONG_OPTION 256

/* The row that getopt_long found. NULL: none. */
static const struct option_row *row_of(const struct command *command, int found) {
    if (found >= LONG_OPTION) {
        return &table[found - LONG_OPTION];
    }
    for (enum option_name i = 0; i < OPTION_COUNT; i++) {
        if (table[i].letter == found && takes(command, i)) {
            return &table[i];
        }
    }
    return NULL;
}

int options_read(struct settings *settings, const struct command *command, int argc, char **argv) {
    struct option longs[OPTION_COUNT + 1];
    char letters[2 * OPTION_COUNT + 1] = "";
    size_t count = 0;
    size_t letter_count = 0;
    *settings = (struct settings){.scan.deepest_rung = VARVE_RUNG_CONTENT,
                                  .strength = VARVE_RUNG_ENCODING,
                                  .fail_on = FAIL_ON_MISMATCH | FAIL_ON_PARTIAL};
    for (enum option_name i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &table[i];
        if (!takes(command, i)) {
            continue;
        }
        longs[count++] = (struct option){row->name, row->argument ? required_argument : no_argument,
                                         NULL, LONG_OPTION + (int)i};
        if (row->letter) {
            letters[letter_count++] = row->letter;
            if (row->argument) {
                letters[letter_count++] = ':';
            }
        }
    }
    longs[count] = (struct option){NULL, 0, NULL, 0};
    const char *name = command->name ? command->name : "";
    optind = 1;
    opterr = 0;
    for (int found; (found = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        const struct option_row *row = row_of(command, found);
        if (!row || !row->read((char *)settings + row->field, optarg)) {
            complain("bad option '%s'; try 'varve%s%s --help'", argv[optind - 1], *name ? " " : "",
                     name);
            return EXIT_FATAL;
        }
    }
    settings->operands = argv + optind;
    settings->operand_count = argc - optind;
    bool informs = settings->help || settings->version || settings->list_cpu;
    int wanted = settings->files_from ? 0 : command->min_operands;
    if (!informs &&
        (settings->operand_count < wanted || settings->operand_count > command->max_operands)) {
        complain("%s; try 'varve%s%s --help'",
                 settings->operand_count < wanted ? "an operand is missing" : "too many operands",
                 *name ? " " : "", name);
        return EXIT_FATAL;
    }
    return EXIT_WELL;
}
