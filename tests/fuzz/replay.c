/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/replay.c - runs a fuzz target over every file of a folder, and over every beginning of
 * each that is shorter by a power of two. */
#include <dirent.h>
#include <string.h>

#include "fuzz.h"

static uint8_t *read_file(size_t *bytes, const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    MUST(file != NULL);
    MUST(fseek(file, 0, SEEK_END) == 0);
    long length = ftell(file);
    MUST(length >= 0);
    rewind(file);
    *bytes = (size_t)length;
    /* Of the exact size, so that a sanitizer sees the first byte read beyond it. */
    uint8_t *data = malloc(*bytes ? *bytes : 1);
    MUST(data && fread(data, 1, *bytes, file) == *bytes);
    fclose(file);
    return data;
}

static void run_cut(const uint8_t *data, size_t bytes) {
    uint8_t *copy = malloc(bytes ? bytes : 1);
    MUST(copy != NULL);
    memcpy(copy, data, bytes);
    LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
}

int main(int argc, char **argv) {
    MUST(argc == 2);
    DIR *folder = opendir(argv[1]);
    MUST(folder != NULL);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        size_t bytes = 0;
        uint8_t *data = read_file(&bytes, argv[1], entry->d_name);
        run_cut(data, bytes);
        for (size_t cut = 1; cut <= bytes; cut *= 2) {
            run_cut(data, bytes - cut);
        }
        free(data);
        count++;
    }
    closedir(folder);
    printf("%zu seeds\n", count);
    MUST(count > 0);
    return 0;
}
