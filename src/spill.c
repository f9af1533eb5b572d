/* SPDX-License-Identifier: Apache-2.0 */
/* src/spill.c - memory for what grows with the mirror. */
#include "spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Ordinary memory comes in regions that grow from the first size to the second: a catalog of one
 * blob takes little. What is not touched of a large one is not resident. */
#define FIRST_BYTES ((size_t)16 << 10)
#define REGION_BYTES ((size_t)4 << 20)

/* A region of the file: a stretch of addresses, whose blocks are allocated step by step. */
#define FILE_REGION_BYTES ((size_t)64 << 20)
#define FILE_STEP_BYTES ((size_t)1 << 20)

/* Resident pages of files, beyond those that there were before, that are put up with. A page that
 * is read brings those around it (16 as a rule), so that random reads fill this in 128 faults. */
#define RESIDENT_BYTES ((uint64_t)8 << 20)

#define ALIGNMENT 16u

struct region {
    uint8_t *base;
    size_t used, usable; /* of a file's region: what has blocks */
    bool mapped;         /* of the file */
    uint64_t offset;     /* there */
};

struct varve_spill {
    size_t memory_bytes; /* of ordinary memory that may still be taken */
    size_t next_bytes;   /* of the next region of it */
    const char *folder;
    struct region *regions; /* the last one is allocated from */
    size_t region_count, region_room;
    int fd; /* of the file; -1: none yet */
    uint64_t file_bytes;
    int error; /* errno of why the file is used no more; 0 */
    int statm; /* /proc/self/statm, or -1 */
    uint64_t resident_before;
};

struct varve_spill *varve_spill_open(size_t memory_bytes, const char *folder) {
    struct varve_spill *spill = calloc(1, sizeof *spill);
    if (spill) {
        spill->memory_bytes = memory_bytes;
        spill->next_bytes = FIRST_BYTES;
        spill->folder = folder;
        spill->fd = spill->statm = -1;
    }
    return spill;
}

void varve_spill_close(struct varve_spill *spill) {
    if (!spill) {
        return;
    }
    for (size_t i = 0; i < spill->region_count; i++) {
        if (spill->regions[i].mapped) {
            munmap(spill->regions[i].base, FILE_REGION_BYTES);
        } else {
            free(spill->regions[i].base);
        }
    }
    if (spill->fd >= 0) {
        close(spill->fd);
    }
    if (spill->statm >= 0) {
        close(spill->statm);
    }
    free(spill->regions);
    free(spill);
}

/* A file that goes with its descriptor. -1 with errno. */
static int open_nameless(const char *folder) {
    static const char name[] = "/varve-XXXXXX";
    int fd = open(folder, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) {
        return fd;
    }
    char *path = malloc(strlen(folder) + sizeof name);
    if (!path) {
        return -1;
    }
    strcpy(stpcpy(path, folder), name);
    fd = mkostemp(path, O_CLOEXEC);
    int error = errno;
    if (fd >= 0) {
        unlink(path);
    }
    free(path);
    errno = error;
    return fd;
}

static bool open_file(struct varve_spill *spill) {
    if (spill->folder) {
        spill->fd = open_nameless(spill->folder);
    } else if ((spill->fd = open_nameless("/var/tmp")) < 0) {
        spill->fd = open_nameless("/tmp");
    }
    spill->error = spill->fd < 0 ? errno : 0;
    return spill->fd >= 0;
}

/* Blocks for the next bytes of the file; 0 or an error number. A file that may not grow so far
 * would be answered with a signal (setrlimit(2), RLIMIT_FSIZE). */
static int allocate_blocks(const struct varve_spill *spill, uint64_t bytes) {
    struct rlimit limit;
    uint64_t end = spill->file_bytes + bytes;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        end > limit.rlim_cur) {
        return EFBIG;
    }
    return posix_fallocate(spill->fd, (off_t)spill->file_bytes, (off_t)bytes);
}

/* No more goes to the file; what is there stays. */
static bool give_up_file(struct varve_spill *spill, int error) {
    spill->error = error;
    return false;
}

/* Pages of files that are resident; 0 where that cannot be told. */
static uint64_t resident_bytes(const struct varve_spill *spill) {
    char text[128];
    unsigned long pages = 0;
    ssize_t n = spill->statm < 0 ? -1 : pread(spill->statm, text, sizeof text - 1, 0);
    if (n > 0) {
        text[n] = 0;
        char *at = text;
        for (int field = 0; field < 3; field++) { /* proc(5): size, resident, shared */
            pages = strtoul(at, &at, 10);
        }
    }
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct region *add_region(struct varve_spill *spill, uint8_t *base, size_t usable,
                                 bool mapped) {
    spill->regions[spill->region_count] =
        (struct region){base, 0, usable, mapped, mapped ? spill->file_bytes : 0};
    return &spill->regions[spill->region_count++];
}

static bool reserve_region(struct varve_spill *spill) {
    if (spill->region_count < spill->region_room) {
        return true;
    }
    size_t room = spill->region_room ? 2 * spill->region_room : 8;
    struct region *regions = realloc(spill->regions, room * sizeof *regions);
    if (!regions) {
        return false;
    }
    spill->regions = regions;
    spill->region_room = room;
    return true;
}

/* A new region of the file. NULL: ordinary memory must do. */
static struct region *map_region(struct varve_spill *spill, size_t bytes) {
    size_t usable = (bytes + FILE_STEP_BYTES - 1) / FILE_STEP_BYTES * FILE_STEP_BYTES;
    if (spill->error || bytes > FILE_REGION_BYTES || (spill->fd < 0 && !open_file(spill))) {
        return NULL;
    }
    int error = allocate_blocks(spill, usable);
    if (error) {
        give_up_file(spill, error);
        return NULL;
    }
    void *base = mmap(NULL, FILE_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, spill->fd,
                      (off_t)spill->file_bytes);
    if (base == MAP_FAILED) {
        give_up_file(spill, errno);
        return NULL;
    }
    if (!spill->file_bytes) {
        spill->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        spill->resident_before = resident_bytes(spill);
    }
    struct region *region = add_region(spill, base, usable, true);
    spill->file_bytes += usable;
    return region;
}

/* Gives more of a file's region blocks. False: it is full, or the disk is. */
static bool grow_region(struct varve_spill *spill, struct region *region, size_t bytes) {
    size_t wanted = region->used + bytes - region->usable;
    wanted = (wanted + FILE_STEP_BYTES - 1) / FILE_STEP_BYTES * FILE_STEP_BYTES;
    if (!region->mapped || spill->error || region->usable + wanted > FILE_REGION_BYTES) {
        return false;
    }
    int error = allocate_blocks(spill, wanted);
    if (error) {
        return give_up_file(spill, error);
    }
    spill->file_bytes += wanted;
    region->usable += wanted;
    return true;
}

static struct region *take_memory(struct varve_spill *spill, size_t bytes) {
    size_t size = bytes > spill->next_bytes ? bytes : spill->next_bytes;
    uint8_t *base = malloc(size);
    if (!base) {
        return NULL;
    }
    spill->next_bytes = 2 * size < REGION_BYTES ? 2 * size : REGION_BYTES;
    spill->memory_bytes -= size < spill->memory_bytes ? size : spill->memory_bytes;
    return add_region(spill, base, size, false);
}

/* A region with room for so many bytes. */
static struct region *region_for(struct varve_spill *spill, size_t bytes) {
    struct region *last = spill->region_count ? &spill->regions[spill->region_count - 1] : NULL;
    if (last && (bytes <= last->usable - last->used || grow_region(spill, last, bytes))) {
        return last;
    }
    if (!reserve_region(spill)) {
        return NULL;
    }
    struct region *region = spill->memory_bytes ? NULL : map_region(spill, bytes);
    return region ? region : take_memory(spill, bytes);
}

static void *allocate(struct varve_spill *spill, size_t bytes, size_t alignment) {
    struct region *region = region_for(spill, bytes + alignment);
    if (!region) {
        return NULL;
    }
    region->used = (region->used + alignment - 1) / alignment * alignment;
    uint8_t *at = region->base + region->used;
    region->used += bytes;
    return at;
}

void *varve_spill_allocate(struct varve_spill *spill, size_t bytes) {
    void *at = bytes < SIZE_MAX / 2 ? allocate(spill, bytes, ALIGNMENT) : NULL;
    if (at) {
        memset(at, 0, bytes);
    }
    return at;
}

void *varve_spill_allocate_bytes(struct varve_spill *spill, size_t bytes) {
    return bytes < SIZE_MAX / 2 ? allocate(spill, bytes, 1) : NULL;
}

char *varve_spill_text(struct varve_spill *spill, const char *text, size_t count) {
    char *copy = varve_spill_allocate_bytes(spill, count + 1);
    if (copy) {
        memcpy(copy, text, count);
        copy[count] = 0;
    }
    return copy;
}

/* The file's region that something lies in; NULL: in memory. There are few. */
static const struct region *region_of(const struct varve_spill *spill, const void *at) {
    if (!spill->file_bytes) {
        return NULL;
    }
    for (size_t i = spill->region_count; i-- > 0;) {
        const struct region *region = &spill->regions[i];
        uintptr_t offset = (uintptr_t)at - (uintptr_t)region->base;
        if (offset < region->usable) {
            return region->mapped ? region : NULL;
        }
    }
    return NULL;
}

bool varve_spill_is_in_file(const struct varve_spill *spill, const void *at) {
    return region_of(spill, at) != NULL;
}

void varve_spill_copy(const struct varve_spill *spill, void *copy, const void *from, size_t bytes) {
    const struct region *region = region_of(spill, from);
    if (region) {
        uint64_t offset = region->offset + (uint64_t)((const uint8_t *)from - region->base);
        if (pread(spill->fd, copy, bytes, (off_t)offset) == (ssize_t)bytes) {
            return;
        }
    }
    memcpy(copy, from, bytes);
}

void varve_spill_relax(struct varve_spill *spill) {
    if (!spill->file_bytes) {
        return;
    }
    uint64_t resident = resident_bytes(spill);
    if (resident && resident < spill->resident_before + RESIDENT_BYTES) {
        return;
    }
    for (size_t i = 0; i < spill->region_count; i++) {
        if (spill->regions[i].mapped) {
            /* A shared mapping's pages stay what they are (madvise(2)). */
            madvise(spill->regions[i].base, FILE_REGION_BYTES, MADV_DONTNEED);
        }
    }
}

uint64_t varve_spill_file_bytes(const struct varve_spill *spill) {
    return spill->file_bytes;
}

int varve_spill_error(const struct varve_spill *spill) {
    return spill->error;
}

bool varve_table_reserve(struct varve_table *table) {
    if (table->count < table->piece_count * VARVE_TABLE_PIECE) {
        return true;
    }
    if (table->piece_count == table->piece_room) {
        size_t room = table->piece_room ? 2 * table->piece_room : 8;
        uint8_t **pieces = realloc(table->pieces, room * sizeof *pieces);
        if (!pieces) {
            return false;
        }
        table->pieces = pieces;
        table->piece_room = room;
    }
    uint8_t *piece = varve_spill_allocate(table->spill, VARVE_TABLE_PIECE * table->element_bytes);
    if (piece) {
        table->pieces[table->piece_count++] = piece;
    }
    return piece != NULL;
}

void *varve_table_add(struct varve_table *table) {
    return varve_table_reserve(table) ? varve_table_at(table, table->count++) : NULL;
}

void varve_table_free(struct varve_table *table) {
    free(table->pieces);
    table->pieces = NULL;
    table->count = table->piece_count = table->piece_room = 0;
}
