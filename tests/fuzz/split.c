/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/split.c - tar-split data, and layers parted into such.
 *
 * As tar data: any bytes end in a status with a code, and nothing is taken from outside the folder,
 * which holds one file. As a layer: whatever decodes is parted, and the lines give it back. The
 * first byte says whether contents are taken or left among the lines, and whether checksums of
 * blocks that bear a ustar magic are put right beforehand. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "varve/split.h"

enum { MOST_BYTES = 4 << 20 };

/* Bytes that were given, held in order. */
struct gathered {
    uint8_t *bytes;
    size_t count, room;
};

static void gather(struct gathered *to, const void *data, size_t bytes) {
    if (to->count + bytes > to->room) {
        to->room = 2 * (to->count + bytes);
        to->bytes = realloc(to->bytes, to->room);
        MUST(to->bytes != NULL);
    }
    memcpy(to->bytes + to->count, data, bytes);
    to->count += bytes;
}

struct parted {
    struct gathered lines, contents;
    uint64_t files;
    bool taken, open;
};

static bool take_header(void *cookie, const void *data, size_t bytes) {
    struct parted *parted = cookie;
    gather(&parted->lines, data, bytes);
    return true;
}

static enum varve_split_answer take_file(void *cookie, const char *path, uint64_t size_bytes) {
    struct parted *parted = cookie;
    MUST(size_bytes > 0 && !parted->open);
    MUST(*path && *path != '/' && strlen(path) < 4096 && path[strlen(path) - 1] != '/');
    MUST(!strstr(path, "//") && strncmp(path, "../", 3) != 0 && !strstr(path, "/../"));
    parted->open = parted->taken;
    return parted->taken ? VARVE_SPLIT_TAKEN : VARVE_SPLIT_LEFT;
}

static bool take_content(void *cookie, const void *data, size_t bytes) {
    struct parted *parted = cookie;
    MUST(parted->open);
    gather(&parted->contents, data, bytes);
    return true;
}

static bool end_file(void *cookie) {
    struct parted *parted = cookie;
    MUST(parted->open);
    parted->open = false;
    parted->files++;
    return true;
}

static bool take_archive(void *cookie, const void *data, size_t bytes) {
    gather(cookie, data, bytes);
    return true;
}

static int memory_file(const void *data, size_t bytes) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0 && (bytes == 0 || write(fd, data, bytes) == (ssize_t)bytes));
    MUST(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static char folder_path[] = "/tmp/varve-fuzz-XXXXXX";
static int folder = -1;

static void take_away(void) {
    unlinkat(folder, "f", 0);
    rmdir(folder_path);
}

/* A folder with one file "f" of ten bytes, made once. */
static int the_folder(void) {
    if (folder < 0) {
        MUST(mkdtemp(folder_path) != NULL);
        folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int fd = openat(folder, "f", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        MUST(fd >= 0 && write(fd, "0123456789", 10) == 10 && close(fd) == 0);
        MUST(atexit(take_away) == 0);
    }
    return folder;
}

static void judge_fault(const struct varve_fault *fault, enum varve_status status) {
    MUST((status == VARVE_OK) == (fault->code == NULL));
    MUST(status == VARVE_OK || (fault->status == status && fault->message));
}

static void as_tar_data(const uint8_t *data, size_t bytes, bool writes) {
    const struct varve_join_options options = {.max_bytes = MOST_BYTES};
    struct gathered archive = {NULL, 0, 0};
    struct varve_join_result result;
    int fd = memory_file(data, bytes);
    enum varve_status status =
        varve_join(&result, fd, the_folder(), &options, writes ? take_archive : NULL, &archive);
    judge_fault(&result.fault, status);
    MUST(result.file_bytes == 10 * result.file_count);
    MUST(!result.entry || status != VARVE_OK);
    MUST((status == VARVE_MISMATCH) <= (result.bad_count > 0));
    MUST(!writes || status != VARVE_OK || archive.count == result.bytes);
    free(result.entry);
    free(archive.bytes);
    close(fd);
}

static void as_layer(const uint8_t *data, size_t bytes, bool taken) {
    const struct varve_split_options options = {.max_decoded_bytes = MOST_BYTES};
    const struct varve_join_options joining = {.max_bytes = 0};
    static const struct varve_split_lanes lanes = {take_header, take_file, take_content, end_file};
    struct parted parted = {.taken = taken};
    struct varve_split_result result;
    struct varve_join_result joined;
    struct gathered archive = {NULL, 0, 0};
    int fd = memory_file(data, bytes);
    enum varve_status status = varve_split(&result, fd, 0, UINT64_MAX, &options, &lanes, &parted);
    close(fd);
    judge_fault(&result.fault, status);
    MUST(result.complete || status != VARVE_OK);
    MUST(!result.complete || (!parted.open && parted.files == result.file_count));
    MUST(!result.complete || parted.contents.count == result.file_bytes);
    if (result.complete) {
        fd = memory_file(parted.lines.bytes, parted.lines.count);
        status =
            varve_join(&joined, fd, the_folder(), &joining, taken ? NULL : take_archive, &archive);
        close(fd);
        /* Contents that were taken are not in the folder, unless by chance. */
        MUST(taken ? status == VARVE_OK || status == VARVE_MISMATCH : status == VARVE_OK);
        MUST(status != VARVE_OK || joined.bytes == result.decoded_bytes);
        MUST(taken || archive.count == result.decoded_bytes);
        free(joined.entry);
    }
    free(parted.lines.bytes);
    free(parted.contents.bytes);
    free(archive.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes == 0) {
        return 0;
    }
    as_tar_data(data + 1, bytes - 1, data[0] & 1);
    uint8_t *layer = malloc(bytes);
    MUST(layer != NULL);
    memcpy(layer, data + 1, bytes - 1);
    if (data[0] & 4) {
        fuzz_mend_checksums(layer, bytes - 1);
    }
    as_layer(layer, bytes - 1, data[0] & 2);
    free(layer);
    return 0;
}
