/* SPDX-License-Identifier: Apache-2.0 */
/* src/folder.c - listing folders of a source. */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codes.h"
#include "file.h"
#include "spill.h"

/* A name and its first bytes as a number that sorts as they do: comparing a hundred thousand names
 * at random waits for memory. */
struct sorted {
    uint64_t head;
    char *name;
};

static uint64_t head_of(const char *name) {
    uint64_t head = 0;
    for (size_t i = 0; i < sizeof head; i++) {
        head = head << 8 | (uint8_t)*name;
        name += *name != 0;
    }
    return head;
}

static int compare(const void *a, const void *b) {
    const struct sorted *x = a;
    const struct sorted *y = b;
    return x->head != y->head ? (x->head < y->head ? -1 : 1) : strcmp(x->name, y->name);
}

static bool sort(struct varve_folder *folder) {
    struct sorted *sorted = calloc(folder->count + 1, sizeof *sorted);
    if (!sorted) {
        return false;
    }
    for (size_t i = 0; i < folder->count; i++) {
        sorted[i] = (struct sorted){head_of(folder->names[i]), folder->names[i]};
    }
    qsort(sorted, folder->count, sizeof *sorted, compare);
    for (size_t i = 0; i < folder->count; i++) {
        folder->names[i] = sorted[i].name;
    }
    free(sorted);
    return true;
}

static bool add(struct varve_folder *folder, size_t *room, const char *name) {
    if (!folder->text && !(folder->text = varve_spill_open(SIZE_MAX, NULL))) {
        return false;
    }
    if (folder->count == *room) {
        size_t wanted = *room ? 2 * *room : 64;
        char **names = realloc(folder->names, wanted * sizeof *names);
        if (!names) {
            return false;
        }
        folder->names = names;
        *room = wanted;
    }
    char *copy = varve_spill_text(folder->text, name, strlen(name));
    if (copy) {
        folder->names[folder->count++] = copy;
    }
    return copy != NULL;
}

static bool keep_all(void *cookie, const char *name) {
    (void)cookie;
    (void)name;
    return true;
}

bool varve_folder_read(struct varve_folder *folder, struct varve_fault *fault, int root,
                       const char *path) {
    return varve_folder_read_some(folder, fault, root, path, keep_all, NULL);
}

bool varve_folder_read_some(struct varve_folder *folder, struct varve_fault *fault, int root,
                            const char *path, bool (*keep)(void *cookie, const char *name),
                            void *cookie) {
    size_t room = 0;
    bool whole = true;
    *folder = (struct varve_folder){NULL, 0, NULL};
    int fd = varve_directory_open(fault, root, *path ? path : ".");
    if (fd < 0) {
        return false;
    }
    DIR *stream = fdopendir(fd);
    if (!stream) {
        close(fd);
        *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
        return false;
    }
    errno = 0;
    for (const struct dirent *entry; whole && (entry = readdir(stream));) {
        const char *name = entry->d_name;
        bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
        whole = dots || !keep(cookie, name) || add(folder, &room, name);
        errno = whole ? 0 : ENOMEM;
    }
    int error = errno;
    closedir(stream);
    if (!error && !sort(folder)) {
        error = ENOMEM;
    }
    if (error) {
        varve_folder_free(folder);
        *fault = varve_fault_of(error == ENOMEM ? VARVE_CODE_NO_MEMORY : VARVE_CODE_IO_READ,
                                VARVE_NO_OFFSET);
        fault->os_errno = error;
        return false;
    }
    return true;
}

void varve_folder_free(struct varve_folder *folder) {
    varve_spill_close(folder->text);
    free(folder->names);
    *folder = (struct varve_folder){NULL, 0, NULL};
}

bool varve_folder_holds(struct varve_fault *fault, int root, const char *path) {
    struct stat status;
    memset(fault, 0, sizeof *fault);
    if (fstatat(root, path, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        return true;
    }
    if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG && errno != ELOOP) {
        int error = errno;
        *fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
        fault->os_errno = error;
    }
    return false;
}

bool varve_folder_has(int root, const char *path) {
    struct varve_fault fault;
    return varve_folder_holds(&fault, root, path) || fault.code;
}
