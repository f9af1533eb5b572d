/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/main.c - the program's entry: finds the command and runs it. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "safe.h"

/* The options of a command. */
#define TAKES(...) ((const enum option_name[]){__VA_ARGS__, OPTION_COUNT})

static const struct command commands[] = {
    {"scan", "SOURCE...", "Digest and verify all layers of sources",
     TAKES(OPT_JSON, OPT_ENTRIES, OPT_PROGRESS, OPT_RUNGS, OPT_THREADS, OPT_CPU, OPT_SHA256_ENGINE,
           OPT_INFLATE_ENGINE, OPT_MEMORY, OPT_MAX_DECODED, OPT_FILES0_FROM, OPT_DB, OPT_RESCAN,
           OPT_REVERIFY, OPT_MAX_DURATION, OPT_READ_LIMIT, OPT_FAIL_ON, OPT_ERRORS_TO, OPT_PROM,
           OPT_TIMINGS, OPT_CHUNK, OPT_HELP),
     1, 1 << 30, run_scan},
    {"digest", "FILE...", "Print the rungs of loose layer files (- is standard input)",
     TAKES(OPT_JSON, OPT_ENTRIES, OPT_PROGRESS, OPT_RUNGS, OPT_THREADS, OPT_CPU, OPT_SHA256_ENGINE,
           OPT_INFLATE_ENGINE, OPT_MEMORY, OPT_MAX_DECODED, OPT_FILES0_FROM, OPT_TIMINGS, OPT_CHUNK,
           OPT_HELP),
     1, 1 << 30, run_digest},
    {"normalize", "LAYER|oci:DIR[:TAG]", "Write a layer, or all images of a layout, anew",
     TAKES(OPT_JSON, OPT_OUTPUT, OPT_STRENGTH, OPT_COMPRESS, OPT_MTIME, OPT_UID, OPT_GID,
           OPT_THREADS, OPT_MEMORY, OPT_MAX_DECODED, OPT_CPU, OPT_HELP),
     1, 1, run_normalize},
    {"split", "LAYER", "Part a layer into its files' contents and all the rest, as tar-split does",
     TAKES(OPT_JSON, OPT_OUTPUT, OPT_FILES, OPT_CPU, OPT_MAX_DECODED, OPT_HELP), 1, 1, run_split},
    {"join", "TAR-DATA DIR", "Put a layer together again from split's data and a folder of files",
     TAKES(OPT_JSON, OPT_OUTPUT, OPT_COMPRESS, OPT_CPU, OPT_MAX_DECODED, OPT_HELP), 2, 2, run_join},
    {"verify-store", "SOURCE...",
     "Put the layers of podman's and docker's stores together, and check",
     TAKES(OPT_JSON, OPT_PROGRESS, OPT_THREADS, OPT_CPU, OPT_SHA256_ENGINE, OPT_MEMORY,
           OPT_MAX_DECODED, OPT_MAX_DURATION, OPT_READ_LIMIT, OPT_FAIL_ON, OPT_ERRORS_TO, OPT_PROM,
           OPT_HELP),
     1, 1 << 30, run_verify_store},
    {"bench", "SOURCE...", "Measure compression and hash variants on a sample of the layers",
     TAKES(OPT_JSON, OPT_CSV, OPT_SAMPLE, OPT_SEED, OPT_ROUNDS, OPT_ONLY, OPT_COMPARE, OPT_PLOT,
           OPT_PROGRESS, OPT_THREADS, OPT_HELP),
     1, 1 << 30, run_bench},
    {"query", "[QUESTION]", "Ask a database; without a question, list them",
     TAKES(OPT_JSON, OPT_CSV, OPT_DB, OPT_QUERY_RUNG, OPT_QUERY_LIMIT, OPT_HELP), 0, 1, run_query},
    {"status", "", "Show the last scans of a database",
     TAKES(OPT_JSON, OPT_CSV, OPT_DB, OPT_QUERY_LIMIT, OPT_HELP), 0, 0, run_status},
    {"compare", "A B", "Compare two mirrors, each a source or a database",
     TAKES(OPT_JSON, OPT_PROGRESS, OPT_THREADS, OPT_CPU, OPT_SHA256_ENGINE, OPT_INFLATE_ENGINE,
           OPT_MEMORY, OPT_MAX_DECODED, OPT_VERBOSE, OPT_HELP),
     2, 2, run_compare},
    {"diff", "LEFT RIGHT", "Say why two layers or two images are not the same",
     TAKES(OPT_JSON, OPT_DIFF_RUNG, OPT_DIFF_LIMIT, OPT_SOURCE, OPT_PLATFORM, OPT_COLOR, OPT_CPU,
           OPT_SHA256_ENGINE, OPT_MEMORY, OPT_MAX_DECODED, OPT_CHUNK, OPT_HELP),
     2, 2, run_diff},
    {"findings", "", "List all codes of findings and faults", TAKES(OPT_JSON, OPT_HELP), 0, 0,
     run_findings},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

/* `varve` without a command. */
static const struct command program = {
    NULL, "COMMAND ...", NULL, TAKES(OPT_CPU, OPT_VERSION, OPT_VERBOSE, OPT_HELP), 0, 0, NULL};

/* systemd.exec(5): JOURNAL_STREAM holds device and inode of the stream that leads to the journal.
 */
bool stderr_is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    unsigned long long device = 0;
    unsigned long long inode = 0;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

/* sd-daemon(3) */
const char *log_prefix(int priority) {
    static char text[4] = "<0>";
    if (!stderr_is_journal()) {
        return "";
    }
    text[1] = (char)('0' + priority);
    return text;
}

void complain(const char *format, ...) {
    char room[1024]; /* enough for most, and where memory is short */
    char *whole = NULL;
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(room, sizeof room, format, arguments);
    va_end(arguments);
    if (bytes >= (int)sizeof room) {
        va_start(arguments, format);
        if (vasprintf(&whole, format, arguments) < 0) {
            whole = NULL;
        }
        va_end(arguments);
    }
    const char *text = whole ? whole : room;
    fprintf(stderr, "%svarve: ", log_prefix(LOG_PRIORITY_ERROR));
    safe_write(stderr, text, bytes < 0 ? 0 : strlen(text));
    fputc('\n', stderr);
    free(whole);
}

static void help(void) {
    puts("varve - says whether container-image layers are the same, and where not, why\n");
    options_help(&program);
    puts("\nCommands:");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        printf("  %-12s %s\n", commands[i].name, commands[i].summary);
    }
    puts("\n'varve COMMAND --help' tells more. Exit codes: 0 all well; 1 mismatch or malformed\n"
         "found; 2 usage or fatal; 3 something could not be judged; 10 database unusable; 11 "
         "locked;\n"
         "130, 143 interrupted.");
}

static int run_program(int argc, char **argv) {
    struct settings settings;
    int code = options_read(&settings, &program, argc, argv);
    if (code != EXIT_WELL) {
        return code;
    }
    if (settings.help) {
        help();
    } else if (settings.version) {
        return print_version(&settings);
    } else if (settings.list_cpu) {
        return list_kernels();
    } else {
        complain("no command given; try 'varve --help'");
        return EXIT_FATAL;
    }
    return EXIT_WELL;
}

static int dispatch(int argc, char **argv) {
    if (argc < 2 || argv[1][0] == '-') {
        return run_program(argc, argv);
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command *command = &commands[i];
        if (strcmp(argv[1], command->name) != 0) {
            continue;
        }
        struct settings settings;
        int code = options_read(&settings, command, argc - 1, argv + 1);
        if (code != EXIT_WELL) {
            return code;
        }
        if (settings.help) {
            options_help(command);
            return EXIT_WELL;
        }
        if (settings.list_cpu) {
            return list_kernels();
        }
        return command->run(&settings);
    }
    complain("no command '%s'; try 'varve --help'", argv[1]);
    return EXIT_FATAL;
}

/* Every layer in flight has a file open, and the soft limit is often what select(2) can take. */
static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool returned;

/* An OpenMP library that is refused a thread, in spite of varve_thread_team(), ends the program
 * with 1: that would be a verdict. */
static void on_exit_elsewhere(void) {
    if (!returned) {
        fflush(stdout);
        _exit(EXIT_FATAL);
    }
}

int main(int argc, char **argv) {
    atexit(on_exit_elsewhere);
    raise_file_limit();
    signal(SIGXFSZ, SIG_IGN); /* a file beyond ulimit -f is an error like any other: EFBIG */
    int code = dispatch(argc, argv);
    returned = true;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain("cannot write to standard output: %s", strerror(errno));
        return EXIT_FATAL;
    }
    return code;
}
