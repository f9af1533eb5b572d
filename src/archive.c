/* SPDX-License-Identifier: Apache-2.0 */
/* src/archive.c - where in an archive each file lies. */
#include "archive.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codes.h"
#include "digest_name.h"
#include "file.h"
#include "limits.h"
#include "name_map.h"
#include "pattern.h"
#include "varve/tar.h"

#define CHUNK_BYTES 16384u
#define CLEAN_ROOM 3 /* a slash between two paths, one too many, the NUL */
#define HOLE_BYTES (256u << 10)
#define HEX_DIGITS "0123456789abcdef"

struct file {
    uint64_t offset;
    uint64_t bytes;
    char *link; /* clean target of a link; NULL: a file */
    bool regular;
};

struct varve_archive {
    struct varve_name_map paths;
    struct file *files; /* by number of the path */
    size_t file_count, room;
};

void varve_archive_close(struct varve_archive *archive) {
    if (!archive) {
        return;
    }
    for (size_t i = 0; i < archive->file_count; i++) {
        free(archive->files[i].link);
    }
    free(archive->files);
    varve_name_map_free(&archive->paths);
    free(archive);
}

/* Puts `tail` behind the folder `head` (both any bytes), cleaned: without empty and "."
 * components; ".." takes one away. `out` has room for both and CLEAN_ROOM. False where it leads
 * outside or holds a NUL. */
static bool clean_into(char *out, const char *head, size_t head_bytes, const uint8_t *tail,
                       size_t tail_bytes) {
    size_t at = 0;
    for (size_t part = 0; part < 2; part++) {
        const char *p = part ? (const char *)tail : head;
        const char *end = p + (part ? tail_bytes : head_bytes);
        while (p < end) {
            const char *slash = memchr(p, '/', (size_t)(end - p));
            const char *stop = slash ? slash : end;
            size_t count = (size_t)(stop - p);
            bool up = count == 2 && memcmp(p, "..", 2) == 0;
            if ((up && at == 0) || memchr(p, 0, count)) {
                return false;
            }
            if (up) {
                while (at > 0 && out[--at] != '/') {
                }
            } else if (count > 0 && !(count == 1 && *p == '.')) {
                if (at > 0) {
                    out[at++] = '/';
                }
                memcpy(out + at, p, count);
                at += count;
            }
            p = slash ? slash + 1 : end;
        }
    }
    out[at] = 0;
    return true;
}

/* The same in memory of its own. NULL where it leads outside, with errno 0, or for want of memory.
 */
static char *clean_path(const char *head, size_t head_bytes, const uint8_t *tail,
                        size_t tail_bytes) {
    char *out = malloc(head_bytes + tail_bytes + CLEAN_ROOM);
    if (!out) {
        errno = ENOMEM;
        return NULL;
    }
    if (!clean_into(out, head, head_bytes, tail, tail_bytes)) {
        free(out);
        errno = 0;
        return NULL;
    }
    return out;
}

/* What a link entry leads to: hard links count from the top, symbolic ones from their folder. */
static char *clean_target(const char *path, const struct varve_tar_entry *entry) {
    const char *slash = strrchr(path, '/');
    bool relative = entry->typeflag == '2' && entry->link.count > 0 && entry->link.bytes[0] != '/';
    return clean_path(path, relative && slash ? (size_t)(slash - path) : 0, entry->link.bytes,
                      entry->link.count);
}

/* Takes an entry into the index. False: no memory, or more entries than are allowed (*limit). */
static bool take_entry(struct varve_archive *archive, const char **repeats, bool *limit,
                       const struct varve_tar_entry *entry) {
    bool added = false;
    char *path = clean_path("", 0, entry->path.bytes, entry->path.count);
    if (!path) {
        return errno == 0;
    }
    uint32_t number = varve_name_map_add(&archive->paths, &added, path);
    free(path);
    if (number == VARVE_NAME_NONE) {
        return false;
    }
    if (added && number >= archive->room) {
        size_t room = archive->room ? 2 * archive->room : 64;
        struct file *files = realloc(archive->files, room * sizeof *files);
        if (!files) {
            return false;
        }
        archive->files = files;
        archive->room = room;
    }
    struct file *file = &archive->files[number];
    if (added) {
        *file = (struct file){.link = NULL};
        archive->file_count++;
    } else if (repeats && !*repeats && entry->typeflag != '5') {
        *repeats = archive->paths.names[number];
    }
    free(file->link);
    *file = (struct file){.offset = entry->data_offset,
                          .bytes = entry->stored_bytes,
                          .regular = entry->typeflag == '0' && !entry->sparse};
    if (entry->typeflag == '1' || entry->typeflag == '2') {
        file->link = clean_target(archive->paths.names[number], entry);
        if (!file->link && errno) {
            return false;
        }
    }
    *limit = archive->paths.count > VARVE_LIMIT_ARCHIVE_ENTRIES;
    return !*limit;
}

/* The archive as the parser is fed with it. */
struct feeder {
    struct varve_tar *tar;
    int fd;
    uint64_t size;
    uint64_t at;       /* fed so far */
    uint64_t data_end; /* of the entry read last */
    uint8_t *chunk;
    uint8_t *hole; /* zeros, in place of data that nobody looks at */
};

/* False: the file could not be read. */
static bool feed(struct feeder *feeder) {
    uint64_t left = feeder->size - feeder->at;
    const uint8_t *data = feeder->hole;
    size_t bytes = 0;
    if (feeder->at < feeder->data_end) {
        uint64_t gap = feeder->data_end - feeder->at;
        gap = gap < left ? gap : left;
        bytes = gap < HOLE_BYTES ? (size_t)gap : HOLE_BYTES;
    } else {
        bytes = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        if (varve_file_fill(feeder->fd, true, feeder->chunk, bytes, feeder->at) != (int64_t)bytes) {
            return false;
        }
        data = feeder->chunk;
    }
    feeder->at += bytes;
    varve_tar_feed(feeder->tar, data, bytes, feeder->at == feeder->size);
    return true;
}

static bool is_compressed(const struct feeder *feeder) {
    static const struct {
        const char *bytes;
        size_t count;
    } magics[] = {{"\x1f\x8b", 2},
                  {"\x28\xb5\x2f\xfd", 4},
                  {"BZh", 3},
                  {"\xfd"
                   "7zXZ",
                   5}};
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        if (feeder->size > magics[i].count &&
            memcmp(feeder->chunk, magics[i].bytes, magics[i].count) == 0) {
            return true;
        }
    }
    return false;
}

/* Reads all headers. What stops it is in *fault; a code of NULL: nothing did. */
static void read_headers(struct varve_archive *archive, struct varve_fault *fault,
                         const char **repeats, struct feeder *feeder) {
    struct varve_tar_item item;
    bool limit = false;
    for (;;) {
        switch (varve_tar_next(feeder->tar, &item)) {
        case VARVE_TAR_INPUT:
            if (!feed(feeder)) {
                *fault = varve_fault_of(VARVE_CODE_IO_READ, feeder->at);
                fault->os_errno = errno;
                return;
            }
            break;
        case VARVE_TAR_ENTRY:
            feeder->data_end = item.entry->data_offset + item.entry->stored_bytes;
            if (feeder->data_end > feeder->size) {
                break; /* cut off: not there, and the parser will say so */
            }
            if (!take_entry(archive, repeats, &limit, item.entry)) {
                *fault = varve_fault_of(limit ? VARVE_CODE_ARCHIVE_ENTRIES : VARVE_CODE_NO_MEMORY,
                                        VARVE_NO_OFFSET);
                return;
            }
            break;
        case VARVE_TAR_END:
            return;
        case VARVE_TAR_FAULT:
            *fault = varve_tar_fault(feeder->tar);
            /* An archive's own bytes are stored bytes here. */
            fault->offset_stored = fault->offset_decoded;
            fault->offset_decoded = VARVE_NO_OFFSET;
            if (archive->paths.count == 0 && is_compressed(feeder)) {
                *fault = varve_fault_of(VARVE_CODE_ARCHIVE_COMPRESSED, 0);
            }
            return;
        default:
            break;
        }
    }
}

enum varve_status varve_archive_open(struct varve_archive **out, struct varve_fault *fault,
                                     const char **repeats, int fd) {
    struct stat status;
    struct feeder feeder = {.fd = fd};
    struct varve_archive *archive = calloc(1, sizeof *archive);
    *out = NULL;
    memset(fault, 0, sizeof *fault);
    if (repeats) {
        *repeats = NULL;
    }
    feeder.chunk = malloc(CHUNK_BYTES);
    feeder.hole = calloc(1, HOLE_BYTES);
    if (!archive || !feeder.chunk || !feeder.hole ||
        varve_tar_open(&feeder.tar, &(struct varve_tar_options){0}) != VARVE_OK) {
        *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
    } else if (fstat(fd, &status) != 0) {
        *fault = varve_fault_of(VARVE_CODE_IO_READ, VARVE_NO_OFFSET);
        fault->os_errno = errno;
    } else {
        feeder.size = (uint64_t)status.st_size;
        varve_tar_reset(feeder.tar, NULL);
        read_headers(archive, fault, repeats, &feeder);
    }
    varve_tar_close(feeder.tar);
    free(feeder.chunk);
    free(feeder.hole);
    bool usable =
        archive && (!fault->code || (fault->status != VARVE_ERROR && archive->paths.count > 0));
    if (!usable) {
        varve_archive_close(archive);
        return fault->status;
    }
    *out = archive;
    return fault->code ? fault->status : VARVE_OK;
}

static bool find_clean(const struct varve_archive *archive, struct varve_archive_file *file,
                       const char *clean) {
    uint32_t number = varve_name_map_find(&archive->paths, clean);
    for (int hops = 0; number != VARVE_NAME_NONE && hops <= VARVE_LIMIT_LINK_HOPS; hops++) {
        assert(archive->files != NULL); /* there is one for each path */
        const struct file *found = &archive->files[number];
        if (!found->link) {
            *file = (struct varve_archive_file){archive->paths.names[number], found->offset,
                                                found->bytes};
            return found->regular;
        }
        number = varve_name_map_find(&archive->paths, found->link);
    }
    return false;
}

bool varve_archive_find(const struct varve_archive *archive, struct varve_archive_file *file,
                        bool *no_memory, const char *path) {
    char room[VARVE_PATTERN_PATH_BYTES + CLEAN_ROOM];
    size_t bytes = strlen(path);
    char *clean = bytes < VARVE_PATTERN_PATH_BYTES ? room : malloc(bytes + CLEAN_ROOM);
    *no_memory |= !clean;
    bool found = clean && clean_into(clean, "", 0, (const uint8_t *)path, bytes) &&
                 find_clean(archive, file, clean);
    if (clean != room) {
        free(clean);
    }
    return found;
}

size_t varve_archive_count(const struct varve_archive *archive) {
    return archive->paths.count;
}

const char *varve_archive_path(const struct varve_archive *archive, size_t index) {
    return archive->paths.names[index];
}

/* Whether a path begins as those of image archives do: with a file of a layout or of docker's, or
 * with a digest. */
static bool is_likely(const char *path) {
    static const char *const beginnings[] = {"blobs",         "index.json",   "oci-layout",
                                             "manifest.json", "repositories", "version"};
    size_t count = strcspn(path, "/");
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++) {
        if (strlen(beginnings[i]) == count && memcmp(path, beginnings[i], count) == 0) {
            return true;
        }
    }
    return strspn(path, HEX_DIGITS) == 64;
}

/* The first path beside the folder itself, cleaned, of what a parser was fed; NULL: there is none,
 * or there is no memory for it (*fault). */
static char *first_path(struct varve_fault *fault, struct varve_tar *tar) {
    struct varve_tar_item item;
    for (;;) {
        switch (varve_tar_next(tar, &item)) {
        case VARVE_TAR_ENTRY: {
            char *path = clean_path("", 0, item.entry->path.bytes, item.entry->path.count);
            if (!path && errno) {
                *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
            }
            if (!path || *path) {
                return path;
            }
            free(path);
            break;
        }
        case VARVE_TAR_FAULT:
            if (varve_tar_fault(tar).status == VARVE_ERROR) {
                *fault = varve_tar_fault(tar);
            }
            return NULL;
        case VARVE_TAR_INPUT:
        case VARVE_TAR_END:
            return NULL;
        default:
            break;
        }
    }
}

/* Whether a regular file may be an image archive, by its first path: archives of other things, some
 * of them huge, need not be read for it. */
static bool looks_likely(struct varve_fault *fault, int fd) {
    struct varve_tar *tar = NULL;
    uint8_t *chunk = malloc(CHUNK_BYTES);
    char *path = NULL;
    int64_t bytes = 0;
    if (!chunk || varve_tar_open(&tar, &(struct varve_tar_options){0}) != VARVE_OK) {
        *fault = varve_fault_of(VARVE_CODE_NO_MEMORY, VARVE_NO_OFFSET);
    } else if ((bytes = varve_file_fill(fd, true, chunk, CHUNK_BYTES, 0)) < 0) {
        *fault = varve_fault_of(VARVE_CODE_IO_READ, 0);
        fault->os_errno = errno;
    } else {
        varve_tar_reset(tar, NULL);
        varve_tar_feed(tar, chunk, (size_t)bytes, false);
        path = first_path(fault, tar);
    }
    bool likely = path && is_likely(path);
    free(path);
    free(chunk);
    varve_tar_close(tar);
    return likely;
}

bool varve_archive_has(struct varve_fault *fault, int fd, const char *const *names, size_t count) {
    struct varve_archive *archive = NULL;
    struct varve_archive_file file;
    memset(fault, 0, sizeof *fault);
    if (!looks_likely(fault, fd)) {
        return false;
    }
    varve_archive_open(&archive, fault, NULL, fd);
    bool found = archive != NULL;
    for (size_t i = 0; i < count && found; i++) {
        found = find_clean(archive, &file, names[i]);
    }
    varve_archive_close(archive);
    if (fault->status != VARVE_ERROR) {
        fault->code = NULL; /* whoever reads it will see what is amiss */
    }
    return found;
}
