/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/options.h - the program's options and the commands that take them.
 *
 * To add an option: a name here, a row in the table of options.c (argument, help, how it is read
 * and where it is put), and the name in the list of each command that takes it, in main.c. */
#ifndef VARVE_CLI_OPTIONS_H
#define VARVE_CLI_OPTIONS_H

#include "cli.h"

/* In the order that --help shows them in. Where one spelling means different things to different
 * commands, each meaning is an option of its own. */
enum option_name {
    OPT_JSON,
    OPT_OUTPUT,
    OPT_FILES,
    OPT_STRENGTH, /* --rung of normalize */
    OPT_COMPRESS,
    OPT_MTIME,
    OPT_UID,
    OPT_GID,
    OPT_CSV,
    OPT_SAMPLE,
    OPT_SEED,
    OPT_ROUNDS,
    OPT_ONLY,
    OPT_COMPARE,
    OPT_PLOT,
    OPT_ENTRIES,
    OPT_PROGRESS,
    OPT_RUNGS,
    OPT_DIFF_RUNG,  /* --rung of diff */
    OPT_DIFF_LIMIT, /* --limit of diff */
    OPT_SOURCE,
    OPT_PLATFORM,
    OPT_COLOR,
    OPT_THREADS,
    OPT_CPU,
    OPT_SHA256_ENGINE,
    OPT_INFLATE_ENGINE,
    OPT_MEMORY,
    OPT_MAX_DECODED,
    OPT_FILES0_FROM,
    OPT_DB,
    OPT_RESCAN,
    OPT_REVERIFY,
    OPT_MAX_DURATION,
    OPT_READ_LIMIT,
    OPT_FAIL_ON,
    OPT_ERRORS_TO,
    OPT_PROM,
    OPT_QUERY_RUNG,  /* --rung of a question */
    OPT_QUERY_LIMIT, /* --limit of a question */
    OPT_TIMINGS,
    OPT_CHUNK,
    OPT_VERSION,
    OPT_VERBOSE,
    OPT_HELP,
    OPTION_COUNT
};

struct command {
    const char *name;
    const char *operands; /* for the usage line */
    const char *summary;
    const enum option_name *options; /* that it takes, up to OPTION_COUNT */
    int min_operands, max_operands;
    int (*run)(const struct settings *settings);
};

/* Reads argv[1...] by the option table. EXIT_WELL, or EXIT_FATAL after a message on stderr. */
int options_read(struct settings *settings, const struct command *command, int argc, char **argv);

/* Help for one command, made of the same table. */
void options_help(const struct command *command);

#endif
