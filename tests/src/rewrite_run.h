/* SPDX-License-Identifier: Apache-2.0 */
/* tests/src/rewrite_run.h - small layouts out of texts, and what writes them anew.
 *
 * A layout is given as its blobs, the last of which is index.json. "@B" in one stands for the
 * digest of the second, where it comes before, "#B" for its size.
 *
 * Layers are "normalised" by a function of their bytes that changes nothing the second time: 'n' is
 * put before those that do not begin with it. */
#ifndef VARVE_REWRITE_RUN_H
#define VARVE_REWRITE_RUN_H

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fuzz/fuzz.h"
#include "varve/rewrite.h"

enum { MOST_BLOBS = 26, MOST_BYTES = 1 << 20, MOST_FILES = 4096 };

struct bytes {
    uint8_t *at;
    size_t count, room;
};

/* ---- A folder ---- */

/* A layout on disk, and which files are in it. */
struct layout {
    char path[64];
    int folder;
    char *files[MOST_FILES];
    size_t count;
};

static void make_layout(struct layout *layout) {
    /* In memory, where there is such a folder. */
    strcpy(layout->path, "/dev/shm/varve-XXXXXX");
    if (!mkdtemp(layout->path)) {
        strcpy(layout->path, "/tmp/varve-XXXXXX");
        MUST(mkdtemp(layout->path) != NULL);
    }
    layout->folder = open(layout->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    MUST(layout->folder >= 0 && mkdirat(layout->folder, "blobs", 0700) == 0);
    MUST(mkdirat(layout->folder, "blobs/sha256", 0700) == 0);
    layout->count = 0;
}

static void put_file(struct layout *layout, const char *path, const void *data, size_t bytes) {
    int fd = openat(layout->folder, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        MUST(errno == EEXIST);
        return;
    }
    MUST(bytes == 0 || write(fd, data, bytes) == (ssize_t)bytes);
    close(fd);
    MUST(layout->count < MOST_FILES);
    layout->files[layout->count++] = strdup(path);
}

static void remove_layout(struct layout *layout) {
    for (size_t i = 0; i < layout->count; i++) {
        unlinkat(layout->folder, layout->files[i], 0);
        free(layout->files[i]);
    }
    unlinkat(layout->folder, "blobs/sha256", AT_REMOVEDIR);
    unlinkat(layout->folder, "blobs/sha512", AT_REMOVEDIR);
    unlinkat(layout->folder, "blobs", AT_REMOVEDIR);
    close(layout->folder);
    MUST(rmdir(layout->path) == 0);
}

/* The whole of a file, the caller's to free; at = NULL: it is not there. */
static struct bytes read_file(int folder, const char *path) {
    struct bytes whole = {NULL, 0, 0};
    struct stat status;
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return whole;
    }
    MUST(fstat(fd, &status) == 0);
    whole.count = (size_t)status.st_size;
    whole.at = malloc(whole.count + 1);
    MUST(whole.at && read(fd, whole.at, whole.count) == (ssize_t)whole.count);
    close(fd);
    return whole;
}

static void name_of(char text[72], const void *data, size_t bytes) {
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(data, bytes, digest);
    strcpy(text, "sha256:");
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        sprintf(text + 7 + 2 * i, "%02x", digest[i]);
    }
}

/* ---- Input ---- */

struct input {
    struct bytes blobs[MOST_BLOBS];
    char names[MOST_BLOBS][72];
    size_t count;
};

static void append(struct bytes *to, const void *data, size_t bytes) {
    if (to->count + bytes >= to->room) {
        to->room = 2 * (to->count + bytes) + 64;
        to->at = realloc(to->at, to->room);
        MUST(to->at != NULL);
    }
    if (bytes) {
        memcpy(to->at + to->count, data, bytes);
    }
    to->count += bytes;
}

/* The next blob, up to its end or a byte 0xff, what stands for others filled in. Returns how many
 * bytes it took. */
static size_t read_blob(struct input *input, const uint8_t *data, size_t bytes) {
    struct bytes *to = &input->blobs[input->count];
    size_t i = 0;
    *to = (struct bytes){NULL, 0, 0};
    append(to, "", 0);
    while (i < bytes && data[i] != 0xff && to->count < MOST_BYTES) {
        size_t which = i + 1 < bytes ? (size_t)(data[i + 1] - 'A') : MOST_BLOBS;
        if ((data[i] == '@' || data[i] == '#') && which < input->count) {
            char text[72];
            sprintf(text, "%zu", input->blobs[which].count);
            const char *put = data[i] == '@' ? input->names[which] : text;
            append(to, put, strlen(put));
            i += 2;
        } else {
            append(to, data + i++, 1);
        }
    }
    name_of(input->names[input->count], to->at, to->count);
    input->count++;
    return i + (i < bytes);
}

static void write_input(struct layout *layout, const struct input *input) {
    static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    char path[96];
    put_file(layout, "oci-layout", version, sizeof version - 1);
    for (size_t i = 0; i + 1 < input->count; i++) {
        snprintf(path, sizeof path, "blobs/sha256/%s", input->names[i] + 7);
        put_file(layout, path, input->blobs[i].at, input->blobs[i].count);
    }
    const struct bytes *last = &input->blobs[input->count - 1];
    put_file(layout, "index.json", last->at, last->count);
}

/* ---- Writing anew ---- */

static bool put(void *cookie, const char *path, const void *data, size_t bytes) {
    struct layout *layout = cookie;
    char name[72];
    if (strncmp(path, "blobs/", 6) == 0) {
        name_of(name, data, bytes);
        MUST(strncmp(path, "blobs/sha256/", 13) != 0 || strcmp(path + 13, name + 7) == 0);
        MUST(strncmp(path, "blobs/sha256/", 13) == 0 || strncmp(path, "blobs/sha512/", 13) == 0);
    } else {
        MUST(strcmp(path, "index.json") == 0 || strcmp(path, "oci-layout") == 0);
    }
    put_file(layout, path, data, bytes);
    return true;
}

static bool gather(void *cookie, const void *data, size_t bytes) {
    append(cookie, data, bytes);
    return true;
}

static void normalise(struct bytes *tar) {
    if (tar->count == 0 || tar->at[0] != 'n') {
        append(tar, "n", 1);
        memmove(tar->at + 1, tar->at, tar->count - 1);
        tar->at[0] = 'n';
    }
}

static void put_blob(struct layout *out, const struct bytes *blob) {
    char name[72];
    char path[96];
    name_of(name, blob->at, blob->count);
    snprintf(path, sizeof path, "blobs/sha256/%s", name + 7);
    put_file(out, path, blob->at, blob->count);
}

static bool do_layer(struct varve_rewrite *rewrite, struct layout *out, size_t number) {
    struct varve_fault fault;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    struct bytes blob = {NULL, 0, 0};
    struct varve_normalized tar = {.entry_count = 0};
    struct varve_rewrite_layer layer = {.tar = &tar};
    int fd = varve_rewrite_open_blob(rewrite, &offset, &bytes, &fault, number);
    if (fd < 0) {
        MUST(fault.code && fault.status != VARVE_OK);
        return false;
    }
    uint8_t room[4096];
    ssize_t got = 0;
    while ((got = read(fd, room, sizeof room)) > 0) {
        append(&blob, room, (size_t)got);
    }
    close(fd);
    append(&blob, "", 0);
    SHA256(blob.at, blob.count, tar.blob);
    memcpy(tar.diffid, tar.blob, sizeof tar.diffid);
    tar.stored_bytes = tar.decoded_bytes = blob.count;
    normalise(&blob);
    SHA256(blob.at, blob.count, tar.tar_digest);
    memcpy(layer.digest, tar.tar_digest, sizeof layer.digest);
    tar.tar_bytes = layer.bytes = blob.count;
    enum varve_status status = varve_rewrite_set_layer(rewrite, &fault, number, &layer);
    MUST((status == VARVE_OK) == (fault.code == NULL));
    put_blob(out, &blob);
    free(blob.at);
    return status == VARVE_OK;
}

static bool do_copied(struct varve_rewrite *rewrite, struct layout *out, size_t number) {
    struct varve_fault fault;
    struct bytes blob = {NULL, 0, 0};
    enum varve_status status = varve_rewrite_copy(rewrite, &fault, number, gather, &blob);
    MUST((status == VARVE_OK) == (fault.code == NULL));
    if (status == VARVE_OK) {
        append(&blob, "", 0);
        put_blob(out, &blob);
    }
    free(blob.at);
    return status == VARVE_OK;
}

static void free_input(struct input *input) {
    for (size_t i = 0; i < input->count; i++) {
        free(input->blobs[i].at);
    }
    input->count = 0;
}

/* Every blob of a layout. False: one that is not what it is called. */
static bool do_blobs(struct varve_rewrite *rewrite, struct layout *out) {
    bool good = true;
    for (size_t i = 0; good && i < varve_rewrite_blob_count(rewrite); i++) {
        struct varve_rewrite_blob blob = varve_rewrite_blob(rewrite, i);
        MUST(blob.layer || blob.copied);
        good = (!blob.layer || do_layer(rewrite, out, i)) &&
               (!blob.copied || do_copied(rewrite, out, i));
    }
    return good;
}

#endif
