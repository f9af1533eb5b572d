/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/names.c - the names that a registry's tree, its link files and its documents are made
 * of. First as text: only digests of the one form pass, whatever is expanded from them stays
 * beneath its folder, cleaned paths are clean. Then as a tree: the input's lines are files
 * ("path=content") of a storage tree, which is read as a registry. */
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest_name.h"
#include "fuzz.h"
#include "path.h"
#include "pattern.h"
#include "varve/catalog.h"

#define FILES_MOST 24

static bool is_digest(const uint8_t *text, size_t bytes) {
    size_t digits = bytes == 71 && memcmp(text, "sha256:", 7) == 0    ? 64
                    : bytes == 135 && memcmp(text, "sha512:", 7) == 0 ? 128
                                                                      : 0;
    for (size_t i = 0; i < digits; i++) {
        uint8_t c = text[7 + i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return digits > 0;
}

static void judge_digest(const uint8_t *text, size_t bytes) {
    static const char *const patterns[] = {"blobs/%a/%h", "%2/%r", "blobs/%a/%2/%h/data"};
    struct varve_digest_name name;
    bool passed = varve_digest_name_parse(&name, (const char *)text, bytes);
    MUST(passed == is_digest(text, bytes));
    if (passed) {
        char again[VARVE_DIGEST_TEXT_BYTES];
        char path[VARVE_PATTERN_PATH_BYTES];
        varve_digest_name_text(again, &name);
        MUST(strlen(again) == bytes && memcmp(again, text, bytes) == 0);
        for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
            MUST(varve_pattern_path(path, "docker/", patterns[i], again));
            MUST(strncmp(path, "docker/", 7) == 0 && !strstr(path, "..") && !strstr(path, "//"));
        }
    }
}

static void judge_path(const uint8_t *bytes, size_t count) {
    uint8_t *clean = malloc(count + 1);
    uint8_t *again = malloc(count + 1);
    MUST(clean && again);
    struct varve_bytes path = {bytes, count};
    size_t n = varve_path_clean(clean, path);
    MUST(n <= count);
    struct varve_bytes cleaned = {clean, n};
    MUST(varve_path_clean(again, cleaned) == n && memcmp(again, clean, n) == 0);
    MUST(n == 0 || (clean[0] != '/' && clean[n - 1] != '/'));
    MUST(varve_path_compare(cleaned, cleaned) == 0 && !varve_path_is_beneath(cleaned, cleaned));
    for (size_t i = 1; i < n; i++) {
        struct varve_bytes front = {clean, i};
        if (clean[i] == '/') {
            MUST(varve_path_is_beneath(cleaned, front) && varve_path_compare(front, cleaned) < 0);
            MUST(varve_path_compare(cleaned, front) > 0);
        } else {
            MUST(!varve_path_is_beneath(cleaned, front) || clean[i - 1] == '/');
        }
    }
    if (varve_path_whiteout(cleaned) == VARVE_WHITEOUT_EXPLICIT) {
        MUST(varve_path_removed(again, cleaned) < n);
    }
    free(clean);
    free(again);
}

/* Makes the folders of a path and the file at its end, beneath `root`. Steps out of it are left
 * out. */
static void put_file(int root, uint8_t *path, size_t bytes, const uint8_t *content, size_t count) {
    int at = dup(root);
    uint8_t *end = path + bytes;
    while (at >= 0 && path < end) {
        uint8_t *slash = memchr(path, '/', (size_t)(end - path));
        uint8_t *stop = slash ? slash : end;
        char name[256];
        size_t n = (size_t)(stop - path) < 255 ? (size_t)(stop - path) : 255;
        memcpy(name, path, n);
        name[n] = 0;
        path = slash ? slash + 1 : end;
        if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            continue;
        }
        if (slash) {
            mkdirat(at, name, 0700);
            int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
            close(at);
            at = next;
        } else {
            int fd = openat(at, name, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
            if (fd >= 0) {
                MUST(write(fd, content, count) == (ssize_t)count);
                close(fd);
            }
        }
    }
    if (at >= 0) {
        close(at);
    }
}

static int drop(const char *path, const struct stat *stat, int type, struct FTW *ftw) {
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static void judge_catalog(const struct varve_catalog *catalog) {
    for (size_t i = 0; i < varve_catalog_blob_count(catalog); i++) {
        struct varve_blob blob = varve_catalog_blob(catalog, i);
        MUST(is_digest((const uint8_t *)blob.name, strlen(blob.name)));
        struct varve_fault fault = {0};
        uint64_t offset, bytes;
        int fd = varve_catalog_open_blob(catalog, &offset, &bytes, &fault, i);
        MUST((fd < 0) == (fault.code != NULL));
        if (fd >= 0) {
            close(fd);
        }
    }
    for (size_t i = 0; i < varve_catalog_image_count(catalog); i++) {
        struct varve_image image = varve_catalog_image(catalog, i);
        MUST(image.source && (image.fault.code || image.digest));
        for (size_t k = 0; k < image.layer_count; k++) {
            MUST(image.claims[k] < varve_catalog_claim_count(catalog));
        }
    }
    for (size_t i = 0; i < varve_catalog_error_count(catalog); i++) {
        struct varve_catalog_error error = varve_catalog_error(catalog, i);
        MUST(error.name && error.fault.code && error.count > 0);
    }
}

static void judge_tree(uint8_t *data, size_t bytes) {
    char folder[] = "/dev/shm/varve-fuzz-XXXXXX";
    char operand[sizeof folder + 16];
    struct varve_catalog *catalog = NULL;
    MUST(mkdtemp(folder) != NULL);
    int root = open(folder, O_RDONLY | O_DIRECTORY);
    MUST(root >= 0);
    MUST(mkdirat(root, "docker", 0700) == 0 && mkdirat(root, "docker/registry", 0700) == 0);
    MUST(mkdirat(root, "docker/registry/v2", 0700) == 0);
    int tree = openat(root, "docker/registry/v2", O_RDONLY | O_DIRECTORY);
    MUST(tree >= 0 && mkdirat(tree, "repositories", 0700) == 0 &&
         mkdirat(tree, "blobs", 0700) == 0);
    for (size_t files = 0; files < FILES_MOST && bytes; files++) {
        uint8_t *line_end = memchr(data, '\n', bytes);
        size_t line = line_end ? (size_t)(line_end - data) : bytes;
        uint8_t *equals = memchr(data, '=', line);
        size_t path = equals ? (size_t)(equals - data) : line;
        put_file(tree, data, path, equals ? equals + 1 : data, equals ? line - path - 1 : 0);
        data += line + (line_end != NULL);
        bytes -= line + (line_end != NULL);
    }
    MUST(varve_catalog_open(&catalog) == VARVE_OK);
    snprintf(operand, sizeof operand, "registry-fs:%s", folder);
    varve_catalog_add(catalog, operand);
    judge_catalog(catalog);
    varve_catalog_close(catalog);
    close(tree);
    close(root);
    MUST(nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    uint8_t *copy = malloc(bytes + 1);
    MUST(copy != NULL);
    if (bytes) {
        memcpy(copy, data, bytes);
    }
    for (size_t at = 0; at < bytes;) {
        const uint8_t *end = memchr(data + at, '\n', bytes - at);
        size_t n = end ? (size_t)(end - data) - at : bytes - at;
        judge_digest(data + at, n);
        judge_path(data + at, n < 4096 ? n : 4096);
        at += n + 1;
    }
    judge_tree(copy, bytes);
    free(copy);
    return 0;
}
