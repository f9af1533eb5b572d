/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/options.c - the one table of options: getopt_long's input and every command's help. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* `row` names a row in a command's list; a letter that is also typed has `letter` set. */
static const struct option_row {
    char row;
    char letter; /* short option, or 0 */
    const char *name;
    const char *argument; /* NULL: takes none */
    const char *help;
} table[] = {
    {'j', 0, "json", NULL, "write NDJSON, one object a line"},
    {'w', 'o', "output", "FILE", "what is written; appears whole or not at all"},
    {'q', 0, "rung", "RUNG", "keep what the rung keeps: encoding (default), order, names, times"},
    {'z', 0, "compress", "HOW", "none (default), gzip[:0-9], igzip[:0-3] or zstd[:1-19]"},
    {'a', 0, "mtime", "SECONDS", "no time later than this (default: $SOURCE_DATE_EPOCH, if set)"},
    {'u', 0, "uid", "N", "owner of every entry"},
    {'y', 0, "gid", "N", "group of every entry"},
    {'c', 0, "csv", NULL, "write CSV"},
    {'s', 0, "sample", "SIZE", "decoded bytes of layers to measure on (default 16MiB)"},
    {'S', 0, "seed", "N", "which layers are drawn (default 0)"},
    {'n', 0, "rounds", "N", "rounds at most, up to 100 (default 7)"},
    {'o', 0, "only", "GROUP", "compression, hash or nightly"},
    {'O', 0, "compare", "FILE", "what changed since a run whose --json output FILE is"},
    {'P', 0, "plot", "FILE", "draw ratio against speed as SVG"},
    {'e', 0, "entries", NULL, "list every tar entry"},
    {'p', 0, "progress", "MODE", "auto, tty, plain (a line every 30 s), json or none; on stderr"},
    {'r', 0, "rungs", "RUNG", "how far down the ladder to go: blob, diffid, ... content (default)"},
    {'1', 0, "rung", "RUNG", "the rung that the exit code is about: blob (default), ... content"},
    {'2', 0, "limit", "N", "differences shown of each kind (20; with --json: all), or 'all'"},
    {'3', 0, "source", "SOURCE", "where digests given as LEFT or RIGHT are looked for"},
    {'4', 0, "platform", "OS/ARCH", "which of a tag's images to take"},
    {'5', 0, "color", "WHEN", "auto (a terminal, unless NO_COLOR is set), always or never"},
    {'t', 0, "threads", "N", "threads; default: CPU affinity or cgroup quota"},
    {'k', 0, "cpu", "TIER", "auto, scalar, shani, avx2, avx512; 'list' shows the kernels"},
    {'g', 0, "sha256-engine", "NAME", "varve (default) or isal-crypto, where built in"},
    {'i', 0, "inflate-engine", "NAME", "auto (default), igzip, or varve: several layers at once"},
    {'m', 0, "memory", "SIZE", "memory budget, such as 512MiB (default 1GiB)"},
    {'x', 0, "max-decoded", "SIZE",
     "decoded bytes beyond which a layer ends as limit (default 1TiB)"},
    {'0', 0, "files0-from", "FILE",
     "also the layer files that FILE (- is stdin) lists, parted by NULs"},
    {'D', 0, "db", "FILE", "the database"},
    {'W', 0, "rescan", NULL, "read everything, whatever the database knows"},
    {'Y', 0, "reverify-older-than", "AGE",
     "read again what was not read for so long: 12h, 30d, 8w; the oldest first"},
    {'d', 0, "max-duration", "TIME", "begin no more layers after so long: 30m, 2h"},
    {'L', 0, "read-limit", "RATE", "read no more than so many MB a second"},
    {'f', 0, "fail-on", "LIST", "mismatch,partial (default) or never: what gives exit codes 1, 3"},
    {'E', 0, "errors-to", "FILE", "write what fails to FILE too, as JSON lines"},
    {'M', 0, "prom", "FILE", "write figures for Prometheus to FILE"},
    {'R', 0, "rung", "RUNG", "of this rung alone"},
    {'l', 0, "limit", "N", "so many rows at most"},
    {'T', 0, "timings", NULL, "say on stderr where the CPU time went"},
    {'C', 0, "chunk", "SIZE", NULL}, /* for tests: bytes a step */
    {'V', 'V', "version", NULL, "print the version; with -v also libraries, CPU tier and engine"},
    {'v', 'v', "verbose", NULL, "say more"},
    {'h', 'h', "help", NULL, "print this help"},
};
#define ROW_COUNT (sizeof table / sizeof table[0])

static bool takes(const struct command *command, const struct option_row *row) {
    return strchr(command->options, row->row) != NULL;
}

void options_help(const struct command *command) {
    printf("Usage: varve%s%s [OPTION]...%s%s\n", command->name ? " " : "",
           command->name ? command->name : "", *command->operands ? " " : "", command->operands);
    if (command->summary) {
        printf("%s.\n", command->summary);
    }
    puts("\nOptions:");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &table[i];
        if (!takes(command, row) || !row->help) {
            continue;
        }
        char left[40];
        snprintf(left, sizeof left, "--%s%s%s", row->name, row->argument ? "=" : "",
                 row->argument ? row->argument : "");
        printf("  %c%c%c %-22s %s\n", row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
               row->letter ? ',' : ' ', left, row->help);
    }
}

/* "1048576", "512K", "512KiB", "1GiB", "2TB": powers of 1024 but for a trailing plain B, of 1000.
 */
static bool read_size(uint64_t *bytes, const char *text) {
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
static bool read_duration(uint64_t *seconds, const char *text) {
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
static bool read_rate(uint64_t *bytes, const char *text) {
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
static bool read_fail_on(unsigned *bits, const char *text) {
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

static bool read_progress(enum progress_mode *mode, const char *text) {
    static const char *const names[] = {"auto", "tty", "plain", "json", "none"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], text) == 0) {
            *mode = (enum progress_mode)i;
            return true;
        }
    }
    return false;
}

static bool read_engine(enum varve_sha256_engine *engine, const char *text) {
    static const enum varve_sha256_engine engines[] = {VARVE_SHA256_OWN, VARVE_SHA256_ISAL_CRYPTO};
    for (size_t i = 0; i < 2; i++) {
        if (strcmp(varve_sha256_engine_name(engines[i]), text) == 0) {
            *engine = engines[i];
            return true;
        }
    }
    return false;
}

static bool read_inflate_engine(enum varve_inflate_engine *engine, const char *text) {
    for (int i = VARVE_INFLATE_AUTO; i <= VARVE_INFLATE_OWN; i++) {
        if (strcmp(varve_inflate_engine_name((enum varve_inflate_engine)i), text) == 0) {
            *engine = (enum varve_inflate_engine)i;
            return true;
        }
    }
    return false;
}

static bool read_tier(struct settings *settings, const char *text) {
    if (strcmp(text, "list") == 0) {
        settings->list_cpu = true;
        return true;
    }
    return varve_tier_by_name(&settings->scan.tier, text);
}

static bool read_count(unsigned *count, const char *text) {
    uint64_t value = 0;
    if (!read_size(&value, text) || value > 4096) {
        return false;
    }
    *count = (unsigned)value;
    return true;
}

static bool read_number(uint64_t *number, const char *text) {
    char *end = NULL;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return end != text && !*end && *text != '-' && !errno;
}

static bool read_signed(int64_t *number, const char *text) {
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    *number = value;
    return end != text && !*end && !errno;
}

static bool read_group(const char **group, const char *text) {
    *group = text;
    return strcmp(text, "compression") == 0 || strcmp(text, "hash") == 0 ||
           strcmp(text, "nightly") == 0;
}

static bool read_color(enum color_mode *mode, const char *text) {
    static const char *const names[] = {"auto", "always", "never"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(names[i], text) == 0) {
            *mode = (enum color_mode)i;
            return true;
        }
    }
    return false;
}

static bool read_limit(uint64_t *limit, const char *text) {
    if (strcmp(text, "all") == 0) {
        *limit = UINT64_MAX;
        return true;
    }
    return read_size(limit, text);
}

static bool apply(struct settings *settings, char row, const char *argument) {
    uint64_t chunk = 0;
    switch (row) {
    case 'j':
        return settings->json = true;
    case 'w':
        settings->output = argument;
        return true;
    case 'q':
        return varve_rung_by_name(&settings->strength, argument);
    case 'z':
        return encoding_read(&settings->encoding, argument);
    case 'a':
        return settings->has_mtime = read_signed(&settings->mtime, argument);
    case 'u':
        return settings->has_uid = read_signed(&settings->uid, argument) && settings->uid >= 0;
    case 'y':
        return settings->has_gid = read_signed(&settings->gid, argument) && settings->gid >= 0;
    case 'c':
        return settings->csv = true;
    case 's':
        return read_size(&settings->bench_sample_bytes, argument);
    case 'S':
        return read_number(&settings->bench_seed, argument);
    case 'n':
        return read_count(&settings->bench_rounds, argument) && settings->bench_rounds <= 100;
    case 'o':
        return read_group(&settings->bench_only, argument);
    case 'O':
        settings->bench_compare = argument;
        return true;
    case 'P':
        settings->bench_plot = argument;
        return true;
    case 'e':
        return settings->entries = settings->scan.entries = true;
    case 'p':
        return read_progress(&settings->progress, argument);
    case 'r':
        return varve_rung_by_name(&settings->scan.deepest_rung, argument);
    case '1':
        return varve_rung_by_name(&settings->diff_rung, argument);
    case '2':
        return read_limit(&settings->diff_limit, argument);
    case '3':
        settings->diff_source = argument;
        return true;
    case '4':
        settings->diff_platform = argument;
        return true;
    case '5':
        return read_color(&settings->color, argument);
    case 't':
        return read_count(&settings->scan.threads, argument);
    case 'k':
        return read_tier(settings, argument);
    case 'g':
        return read_engine(&settings->scan.engine, argument);
    case 'i':
        return read_inflate_engine(&settings->scan.inflate_engine, argument);
    case 'm':
        return read_size(&settings->scan.memory_bytes, argument);
    case 'x':
        return read_size(&settings->scan.max_decoded_bytes, argument);
    case '0':
        settings->files_from = argument;
        return true;
    case 'C':
        if (!read_size(&chunk, argument)) {
            return false;
        }
        settings->scan.chunk_bytes = (size_t)chunk;
        return true;
    case 'D':
        settings->db = argument;
        return *argument != 0;
    case 'W':
        return settings->rescan = true;
    case 'Y':
        return read_duration(&settings->reverify_seconds, argument);
    case 'd':
        return read_duration(&settings->max_seconds, argument);
    case 'L':
        return read_rate(&settings->scan.read_bytes_per_second, argument);
    case 'f':
        return read_fail_on(&settings->fail_on, argument);
    case 'E':
        settings->errors_to = argument;
        return *argument != 0;
    case 'M':
        settings->prom = argument;
        return *argument != 0;
    case 'R':
        settings->rung = argument;
        return true;
    case 'l':
        return read_size(&settings->limit, argument);
    case 'V':
        return settings->version = true;
    case 'T':
        return settings->timings = true;
    case 'v':
        return settings->verbose = true;
    default:
        return settings->help = true;
    }
}

/* What getopt_long gives for a row's long name: beyond all letters. */
#define LONG_OPTION 256

/* The row that getopt_long found. NULL: none. */
static const struct option_row *row_of(const struct command *command, int found) {
    if (found >= LONG_OPTION) {
        return &table[found - LONG_OPTION];
    }
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (table[i].letter == found && takes(command, &table[i])) {
            return &table[i];
        }
    }
    return NULL;
}

int options_read(struct settings *settings, const struct command *command, int argc, char **argv) {
    struct option longs[ROW_COUNT + 1];
    char letters[3 * ROW_COUNT + 2] = "";
    size_t count = 0;
    *settings = (struct settings){.scan.deepest_rung = VARVE_RUNG_CONTENT,
                                  .strength = VARVE_RUNG_ENCODING,
                                  .fail_on = FAIL_ON_MISMATCH | FAIL_ON_PARTIAL};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &table[i];
        if (!takes(command, row)) {
            continue;
        }
        longs[count++] = (struct option){row->name, row->argument ? required_argument : no_argument,
                                         NULL, LONG_OPTION + (int)i};
        if (row->letter) {
            strncat(letters, &row->letter, 1);
            strcat(letters, row->argument ? ":" : "");
        }
    }
    longs[count] = (struct option){NULL, 0, NULL, 0};
    const char *name = command->name ? command->name : "";
    optind = 1;
    opterr = 0;
    for (int found; (found = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        const struct option_row *row = row_of(command, found);
        if (!row || !apply(settings, row->row, optarg)) {
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
