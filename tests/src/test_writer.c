/* SPDX-License-Identifier: Apache-2.0 */
/* The guess at an archive's writer, asked of the writers that are installed: never a wrong name.
 * What is missing is skipped aloud. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "tar_reading.h"

static char folder[] = "/tmp/varve-writers-XXXXXX";

/* Long paths, a non-ASCII one, links: what makes writers show their marks. */
static const char make_tree[] =
    "mkdir -p tree/dir && cd tree && echo hello >dir/a && ln -s a dir/l && ln dir/a dir/h && "
    "long=longlonglonglonglonglong && mkdir -p $long/$long/$long/$long/$long && "
    "echo x >$long/$long/$long/$long/$long/file && touch non\303\244scii && cd .. && "
    /* and a plain one, which shows as little as can be */
    "mkdir -p plain/dir && for i in 1 2 3 4 5; do echo $i >plain/dir/$i; done && "
    "touch -d @1700000000 plain plain/dir plain/dir/*";

/* Run in the folder; writes "out.tar". */
static const struct {
    const char *program;
    const char *command;
    const char *expected;
} writers[] = {
    {"tar", "tar --format=v7 -cf out.tar plain", "gnu-tar"},
    {"tar", "tar --format=oldgnu -cf out.tar tree", "gnu-tar"},
    {"tar", "tar --format=gnu -cf out.tar tree", "gnu-tar"},
    {"tar", "tar --format=gnu -cf out.tar plain", "gnu-tar, python-tarfile, or bsdtar"},
    {"tar", "tar --format=ustar -cf out.tar tree", "gnu-tar"},
    {"tar", "tar --format=posix -cf out.tar tree", "gnu-tar"},
    {"tar", "tar --format=posix --pax-option=exthdr.name=%d/PaxHeaders.%p/%f -cf out.tar tree",
     "gnu-tar"},
    {"tar",
     "tar --format=ustar -cf a.tar plain && bsdtar --format=ustar -cf b.tar plain && "
     "tar --concatenate -f a.tar b.tar && mv a.tar out.tar",
     "unknown"},
    {"bsdtar", "bsdtar -cf out.tar tree", "bsdtar"},
    {"bsdtar", "bsdtar --format=ustar -cf out.tar tree", "bsdtar"},
    {"bsdtar", "bsdtar --format=pax -cf out.tar tree", "bsdtar"},
    {"bsdtar", "bsdtar --format=v7 -cf out.tar plain", "bsdtar"},
    {"bsdtar", "bsdtar --format=gnutar -cf out.tar tree", "bsdtar"},
    {"bsdtar", "bsdtar --format=gnutar -cf out.tar plain", "busybox, or bsdtar"},
    {"busybox", "busybox tar -cf out.tar tree", "busybox"},
    {"busybox", "busybox tar -cf out.tar plain", "busybox, or bsdtar"},
#define PYTHON(format, tree)                                                                       \
    "/usr/bin/python3 -c 'import tarfile; t = tarfile.open(\"out.tar\", \"w\", "                   \
    "format=tarfile." format "_FORMAT); t.add(\"" tree "\"); t.close()'"
    {"/usr/bin/python3", PYTHON("USTAR", "tree"), "python-tarfile"},
    {"/usr/bin/python3", PYTHON("GNU", "tree"), "python-tarfile"},
    {"/usr/bin/python3", PYTHON("GNU", "plain"), "gnu-tar, python-tarfile, or bsdtar"},
    {"/usr/bin/python3", PYTHON("PAX", "tree"), "python-tarfile"},
#define GO(format, tree)                                                                           \
    "GO111MODULE=off go run " VARVE_SOURCE_DIR "/tests/writers/write.go out.tar " format " " tree
    {"go", GO("default", "tree"), "go"},
    {"go", GO("default", "plain"), "go"},
    {"go", GO("gnu", "tree"), "go"},
    {"go", GO("gnu", "plain"), "go"},
    {"go", GO("pax", "tree"), "go"},
    {"go", GO("moby", "plain"), "go <1.9, or moby/containers-storage until 2022-23"},
#define NODE(options)                                                                              \
    "node -e 'require(process.argv[1]).c({file: \"out.tar\", sync: true" options                   \
    "}, [\"tree\"])' "                                                                             \
    "$(npm root -g)/npm/node_modules/tar"
    {"npm", NODE(""), "node-tar"},
    {"npm", NODE(", portable: true"), "node-tar"},
    {"npm", NODE(", noPax: true"), "node-tar"},
};

static bool runs(const char *command) {
    char text[4096];
    snprintf(text, sizeof text, "cd %s && { %s; } >/dev/null 2>&1", folder, command);
    return system(text) == 0;
}

static void writers_are_known_by_their_marks(void **state) {
    (void)state;
    struct varve_tar *tar;
    assert_int_equal(varve_tar_open(&tar, NULL), VARVE_OK);
    size_t asked = 0;
    bool wrong = false;
    for (size_t i = 0; i < sizeof writers / sizeof writers[0]; i++) {
        char present[256];
        snprintf(present, sizeof present, "command -v %s", writers[i].program);
        if (!runs(present)) {
            print_message("skipped: %s is not installed\n", writers[i].program);
            continue;
        }
        char path[256];
        snprintf(path, sizeof path, "%s/out.tar", folder);
        unlink(path);
        size_t bytes = 0;
        uint8_t *data = runs(writers[i].command) ? read_file(path, &bytes) : NULL;
        if (!data) {
            print_message("skipped: could not run %s\n", writers[i].command);
            continue;
        }
        struct reading reading = read_tar(tar, data, bytes, cut_none, NULL);
        if (reading.end != VARVE_TAR_END || strcmp(reading.writer, writers[i].expected)) {
            print_error("%s\n  %s, not %s\n%s", writers[i].command, reading.writer,
                        writers[i].expected, reading.log);
            wrong = true;
        }
        asked++;
        reading_free(&reading);
        free(data);
    }
    varve_tar_close(tar);
    print_message("%zu of %zu writers asked\n", asked, sizeof writers / sizeof writers[0]);
    assert_true(asked > 0);
    assert_false(wrong);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) && runs(make_tree) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char text[256];
    snprintf(text, sizeof text, "rm -r %s", folder);
    return system(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(writers_are_known_by_their_marks)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
