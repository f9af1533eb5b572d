/* SPDX-License-Identifier: Apache-2.0 */
/* src/catalog.c - the tables behind varve/catalog.h. */
#include "catalog.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "codes.h"
#include "file.h"
#include "limits.h"
#include "name_map.h"
#include "pattern.h"
#include "spill.h"
#include "tar_split.h"
#include "varve/scan.h"

/* A thread that reads ahead has a folder open and a file in it. */
#define THREAD_DESCRIPTORS 3

struct extent {
    uint64_t offset, bytes;
};

/* An archive that is put together again: strings of the catalog, VARVE_NAME_NONE: it is not. */
struct replay {
    uint32_t split, folder;
};

struct source {
    char *name;
    char *prefix;
    char *pattern; /* NULL: an archive, or loose files */
    uint32_t root;
    int folder;       /* where all sha256 blobs lie, opened once; -1: paths count from the root */
    uint32_t operand; /* VARVE_NAME_NONE: loose files */
    uint32_t first_blob;
    bool has_stamp; /* of the archive: */
    uint64_t inode;
    int64_t mtime_ns;
    bool unread;                 /* an image's document */
    struct varve_name_map blobs; /* names; number + first_blob = the blob's number */
    struct extent *extents;      /* archives only: by number of the name */
    size_t extent_room;
    struct replay *replays; /* stores that unpack only: by number of the name */
    size_t replay_room;
};

/* Beside it: its name, and its places in the tables. */
struct blob {
    uint64_t size;
    uint64_t inode;
    int64_t mtime_ns;
    uint32_t device; /* number in `devices`; VARVE_NAME_NONE: the file is not known */
    uint32_t source;
    uint32_t first_claim; /* VARVE_NAME_NONE: none */
    uint32_t twin_of;
    uint32_t next_twin; /* VARVE_NAME_NONE: none */
    uint32_t last_twin; /* of the first of twins: the last one */
    uint16_t fault;     /* code + 1 of what opening it gives; 0: it can be tried */
    bool unreferenced;
};

struct claim {
    uint64_t size;
    uint32_t blob;
    uint32_t media_type;
    uint8_t diffid[VARVE_SHA256_BYTES];
    uint32_t has_diffid;
    uint32_t next; /* not part of what is compared */
};
#define CLAIM_KEY_BYTES offsetof(struct claim, next)

/* Open hashing of numbers: which blob is that file, which claim is that one. */
struct slots {
    uint32_t *slots; /* number + 1, 0 = free */
    uint8_t *tags;   /* of what is there: a byte of its hash */
    size_t count;
    size_t room; /* a power of two */
};

/* What is kept of a mirror may be more than should be in memory: what is beyond this lies in a
 * temporary file (spill.h). Some 70,000 layers and their images are less. */
#define MEMORY_BYTES ((size_t)16 << 20)

/* So many times something is added, or found to be there, before memory is looked at: each time
 * touches some pages anywhere. */
#define RELAX_EVERY 64u

struct varve_catalog {
    int *roots;
    size_t root_count, root_room;
    struct source *sources;
    size_t source_count, source_room;
    uint32_t operand; /* of sources begun from now on */
    dev_t *devices;
    size_t device_count, device_room;
    struct slots file_slots; /* blobs by device and inode, first twins that may have others */
    struct varve_spill *spill;
    struct varve_table blobs;
    size_t looked_at;   /* blobs before this one were looked at */
    size_t alone_count; /* of these, those that are in file_slots only if another source comes */
    size_t twin_count;  /* of blobs that are another's twin */
    unsigned threads;
    unsigned touched; /* since memory was looked at */
    struct varve_table claims;
    struct slots claim_slots;
    char *folder;    /* where temporary files go; NULL: varve's choice */
    uint64_t key[2]; /* of both tables' hashes */
    int64_t opened_ns;
    struct varve_table images;
    struct varve_catalog_error *errors;
    size_t error_count, error_room;
    bool lost_errors; /* some found no memory */
    bool unread;      /* some tell that something could not be read, or an image does */
    bool keeps_documents;
    bool checks_contents;
    _Atomic bool cancelled;
    uint32_t notes[VARVE_CODE_COUNT]; /* of the source begun last: error + 1 by code */
    struct varve_name_map strings;    /* media types, platforms, tags, digests of documents */
};

static struct blob *blob_at(const struct varve_catalog *catalog, size_t number) {
    return varve_table_at(&catalog->blobs, number);
}

/* For who asks of blobs in no order: see varve_spill_copy. */
static struct blob blob_of(const struct varve_catalog *catalog, size_t number) {
    struct blob blob;
    varve_table_get(&catalog->blobs, &blob, number);
    return blob;
}

static struct claim *claim_at(const struct varve_catalog *catalog, size_t number) {
    return varve_table_at(&catalog->claims, number);
}

static struct claim claim_of(const struct varve_catalog *catalog, size_t number) {
    struct claim claim;
    varve_table_get(&catalog->claims, &claim, number);
    return claim;
}

/* Room for one element more behind `count` of them. */
static bool reserve(void **array, size_t *room, size_t count, size_t element_bytes) {
    if (count < *room) {
        return true;
    }
    size_t wanted = *room ? 2 * *room : 16;
    void *grown = realloc(*array, wanted * element_bytes);
    if (!grown) {
        return false;
    }
    *array = grown;
    *room = wanted;
    return true;
}
#define RESERVE(array, room, count) reserve((void **)&(array), &(room), count, sizeof *(array))

/* Begins with an empty spill, whose files go to `folder`. */
static bool set_spill(struct varve_catalog *catalog, const char *folder) {
    struct varve_spill *spill = varve_spill_open(MEMORY_BYTES, folder);
    if (!spill) {
        return false;
    }
    varve_spill_close(catalog->spill);
    catalog->spill = catalog->strings.spill = spill;
    catalog->blobs = (struct varve_table){spill, sizeof(struct blob), 0, NULL, 0, 0};
    catalog->claims = (struct varve_table){spill, sizeof(struct claim), 0, NULL, 0, 0};
    catalog->images = (struct varve_table){spill, sizeof(struct varve_image), 0, NULL, 0, 0};
    return true;
}

bool varve_catalog_set_temporary(struct varve_catalog *catalog, const char *folder) {
    assert(!catalog->source_count && !catalog->folder);
    catalog->folder = strdup(folder);
    return catalog->folder && set_spill(catalog, catalog->folder);
}

const char *varve_catalog_temporary(const struct varve_catalog *catalog) {
    return catalog->folder;
}

uint64_t varve_catalog_spilled(const struct varve_catalog *catalog, int *error) {
    *error = varve_spill_error(catalog->spill);
    return varve_spill_file_bytes(catalog->spill);
}

void varve_catalog_relax(const struct varve_catalog *catalog) {
    varve_spill_relax(catalog->spill);
}

void varve_catalog_cancel(struct varve_catalog *catalog) {
    atomic_store(&catalog->cancelled, true);
}

bool varve_catalog_is_cancelled(const struct varve_catalog *catalog) {
    return atomic_load_explicit(&catalog->cancelled, memory_order_relaxed);
}

static void touch(struct varve_catalog *catalog) {
    if (++catalog->touched % RELAX_EVERY == 0) {
        varve_spill_relax(catalog->spill);
    }
}

enum varve_status varve_catalog_open(struct varve_catalog **catalog) {
    *catalog = calloc(1, sizeof **catalog);
    if (!*catalog) {
        return VARVE_ERROR;
    }
    if (!set_spill(*catalog, NULL)) {
        free(*catalog);
        *catalog = NULL;
        return VARVE_ERROR;
    }
    (*catalog)->operand = VARVE_NAME_NONE;
    (*catalog)->threads = varve_thread_default();
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    (*catalog)->opened_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (getrandom((*catalog)->key, sizeof(*catalog)->key, GRND_NONBLOCK) < 0) {
        (*catalog)->key[0] = (uint64_t)(uintptr_t)*catalog; /* early boot */
    }
    return VARVE_OK;
}

static void free_slots(struct slots *table) {
    free(table->slots);
    free(table->tags);
}

void varve_catalog_close(struct varve_catalog *catalog) {
    if (!catalog) {
        return;
    }
    for (size_t i = 0; i < catalog->root_count; i++) {
        close(catalog->roots[i]);
    }
    for (size_t i = 0; i < catalog->source_count; i++) {
        struct source *source = &catalog->sources[i];
        varve_name_map_free(&source->blobs);
        if (source->folder >= 0) {
            close(source->folder);
        }
        free(source->name);
        free(source->prefix);
        free(source->pattern);
        free(source->extents);
        free(source->replays);
    }
    for (size_t i = 0; i < catalog->error_count; i++) {
        free((char *)catalog->errors[i].name);
    }
    varve_name_map_free(&catalog->strings);
    free(catalog->roots);
    free(catalog->sources);
    free(catalog->devices);
    free_slots(&catalog->file_slots);
    free_slots(&catalog->claim_slots);
    varve_table_free(&catalog->blobs);
    varve_table_free(&catalog->claims);
    varve_table_free(&catalog->images);
    varve_spill_close(catalog->spill);
    free(catalog->errors);
    free(catalog->folder);
    free(catalog);
}

uint32_t varve_catalog_add_root(struct varve_catalog *catalog, int fd) {
    if (!RESERVE(catalog->roots, catalog->root_room, catalog->root_count)) {
        close(fd);
        return VARVE_NAME_NONE;
    }
    catalog->roots[catalog->root_count] = fd;
    return (uint32_t)catalog->root_count++;
}

bool varve_catalog_begin_operand(struct varve_catalog *catalog, const char *operand) {
    catalog->operand =
        operand ? varve_name_map_add(&catalog->strings, NULL, operand) : VARVE_NAME_NONE;
    return !operand || catalog->operand != VARVE_NAME_NONE;
}

static int64_t mtime_of(const struct stat *status) {
    return (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec;
}

/* Sources whose folder is kept open: a tree of layouts has thousands. */
#define OPEN_FOLDERS 8

/* The folder of a layout's blobs (image-spec image-layout.md): a small layer is opened from there
 * in three steps less, and looked at in as many. -1: there is none, or none is kept open. */
static int open_blobs(const struct varve_catalog *catalog, const struct source *source) {
    char path[VARVE_PATTERN_PATH_BYTES];
    struct varve_fault fault;
    if (!source->pattern || strcmp(source->pattern, "blobs/%a/%h") != 0 ||
        catalog->source_count >= OPEN_FOLDERS ||
        snprintf(path, sizeof path, "%sblobs/sha256", source->prefix) >= (int)sizeof path) {
        return -1;
    }
    return varve_directory_open(&fault, catalog->roots[source->root], path);
}

uint32_t varve_catalog_begin_source(struct varve_catalog *catalog, const char *name,
                                    const struct varve_location *location) {
    struct source source = {
        .name = strdup(name),
        .prefix = strdup(location->prefix),
        .pattern = location->pattern ? strdup(location->pattern) : NULL,
        .root = location->root,
        .folder = -1,
        .operand = location->root == VARVE_ROOT_NONE ? VARVE_NAME_NONE : catalog->operand,
        .first_blob = (uint32_t)catalog->blobs.count,
        .blobs.spill = catalog->spill,
    };
    if (!source.name || !source.prefix || (location->pattern && !source.pattern) ||
        !RESERVE(catalog->sources, catalog->source_room, catalog->source_count)) {
        free(source.name);
        free(source.prefix);
        free(source.pattern);
        return VARVE_NAME_NONE;
    }
    struct stat status;
    if (location->root != VARVE_ROOT_NONE && !location->pattern &&
        fstat(catalog->roots[location->root], &status) == 0) {
        source.has_stamp = true;
        source.inode = (uint64_t)status.st_ino;
        source.mtime_ns = mtime_of(&status);
    }
    source.folder = open_blobs(catalog, &source);
    memset(catalog->notes, 0, sizeof catalog->notes);
    catalog->sources[catalog->source_count] = source;
    return (uint32_t)catalog->source_count++;
}

static const struct source *source_of(const struct varve_catalog *catalog, size_t blob) {
    return &catalog->sources[catalog->source_count == 1 ? 0 : blob_of(catalog, blob).source];
}

static const char *name_of(const struct varve_catalog *catalog, size_t blob) {
    const struct source *source = source_of(catalog, blob);
    return source->blobs.names[blob - source->first_blob];
}

const char *varve_catalog_name(const struct varve_catalog *catalog,
                               char text[VARVE_DIGEST_TEXT_BYTES], size_t blob) {
    static const size_t counts[] = {7 + 64,
                                    7 + 128}; /* of digests; others lie in no order either */
    const char *name = name_of(catalog, blob);
    if (!varve_spill_is_in_file(catalog->spill, name)) {
        return name;
    }
    for (size_t i = 0; i < 2; i++) {
        if (varve_spill_is_in_file(catalog->spill, name + counts[i])) {
            varve_spill_copy(catalog->spill, text, name, counts[i] + 1);
            if (!text[counts[i]] && strlen(text) == counts[i]) {
                return text;
            }
        }
    }
    return name;
}

/* Where a blob lies beneath *root: a loose file by its name. NULL where its path is too long. */
static const char *path_of(const struct varve_catalog *catalog, int *root,
                           char text[VARVE_PATTERN_PATH_BYTES], const struct source *source,
                           const char *name) {
    if (source->root == VARVE_ROOT_NONE) {
        *root = AT_FDCWD;
        return name;
    }
    if (source->folder >= 0 && strncmp(name, "sha256:", 7) == 0) {
        *root = source->folder;
        return name + 7;
    }
    *root = catalog->roots[source->root];
    return varve_pattern_path(text, source->prefix, source->pattern, name) ? text : NULL;
}

/* The number of a device; VARVE_NAME_NONE where memory was refused. Machines have few. */
static uint32_t device_number(struct varve_catalog *catalog, dev_t device) {
    for (size_t i = catalog->device_count; i-- > 0;) {
        if (catalog->devices[i] == device) {
            return (uint32_t)i;
        }
    }
    if (!RESERVE(catalog->devices, catalog->device_room, catalog->device_count)) {
        return VARVE_NAME_NONE;
    }
    catalog->devices[catalog->device_count] = device;
    return (uint32_t)catalog->device_count++;
}

/* What tells the elements of one of the tables apart. */
struct slots_kind {
    uint64_t (*hash)(const struct varve_catalog *catalog, const void *element);
    bool (*equal)(const struct varve_catalog *catalog, uint32_t number, const void *element);
    const void *(*element)(const struct varve_catalog *catalog, uint32_t number);
};

/* The slot of what equals `element`, or the free one it would take. */
static size_t slot_of(const struct varve_catalog *catalog, const struct slots *table,
                      const struct slots_kind *kind, const void *element, uint64_t hash) {
    size_t mask = table->room - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        if (!table->slots[i] || (table->tags[i] == (uint8_t)(hash >> 56) &&
                                 kind->equal(catalog, table->slots[i] - 1, element))) {
            return i;
        }
    }
}

/* Room for one number more, with at most two thirds taken. */
static bool grow_slots(struct varve_catalog *catalog, struct slots *table,
                       const struct slots_kind *kind) {
    if (3 * (table->count + 1) <= 2 * table->room) {
        return true;
    }
    struct slots grown = {.count = table->count, .room = table->room ? 2 * table->room : 256};
    grown.slots = calloc(grown.room, sizeof *grown.slots);
    grown.tags = calloc(grown.room, sizeof *grown.tags);
    if (!grown.slots || !grown.tags) {
        free_slots(&grown);
        return false;
    }
    for (size_t i = 0; i < table->room; i++) {
        if (table->slots[i]) {
            uint64_t hash = kind->hash(catalog, kind->element(catalog, table->slots[i] - 1));
            size_t at = hash & (grown.room - 1);
            while (grown.slots[at]) {
                at = (at + 1) & (grown.room - 1);
            }
            grown.slots[at] = table->slots[i];
            grown.tags[at] = (uint8_t)(hash >> 56);
            touch(catalog);
        }
    }
    free_slots(table);
    *table = grown;
    return true;
}

/* The number + 1 of what equals `element`; `number` takes its place there where nothing does, and 0
 * is returned. Room was made. */
static uint32_t find_or_take(const struct varve_catalog *catalog, struct slots *table,
                             const struct slots_kind *kind, const void *element, uint32_t number) {
    uint64_t hash = kind->hash(catalog, element);
    size_t slot = slot_of(catalog, table, kind, element, hash);
    uint32_t found = table->slots[slot];
    if (!found) {
        table->slots[slot] = number + 1;
        table->tags[slot] = (uint8_t)(hash >> 56);
        table->count++;
    }
    return found;
}

static bool is_digest(const char *name) {
    struct varve_digest_name digest;
    return varve_digest_name_parse(&digest, name, strlen(name));
}

/* Whether the results of one file can stand under both names: what a digest as a name says is held
 * against the bytes, so that two different ones cannot. */
static bool names_agree(const struct varve_catalog *catalog, uint32_t a, uint32_t b) {
    const char *x = name_of(catalog, a);
    const char *y = name_of(catalog, b);
    return strcmp(x, y) == 0 || (!is_digest(x) && !is_digest(y));
}

static const void *file_element(const struct varve_catalog *catalog, uint32_t number) {
    return blob_at(catalog, number);
}

static uint64_t hash_file(const struct varve_catalog *catalog, const void *element) {
    const struct blob *blob = element;
    const uint64_t file[2] = {blob->inode, blob->device};
    return varve_siphash(catalog->key, file, sizeof file);
}

/* Whether a blob is the file of a first twin. */
static bool same_file(const struct varve_catalog *catalog, uint32_t number, const void *element) {
    const struct blob *blob = element;
    const struct blob *other = blob_at(catalog, number);
    return other->inode == blob->inode && other->device == blob->device &&
           names_agree(catalog, number, blob->last_twin);
}

static const struct slots_kind file_kind = {hash_file, same_file, file_element};

/* Whether opening a blob, which follows no link, gives the file that was seen. */
static bool opens_as_seen(const struct varve_catalog *catalog, uint32_t number) {
    const struct blob *blob = blob_at(catalog, number);
    const struct source *source = source_of(catalog, number);
    char text[VARVE_PATTERN_PATH_BYTES];
    struct varve_fault fault;
    struct stat status;
    int root = AT_FDCWD;
    const char *path = path_of(catalog, &root, text, source, name_of(catalog, number));
    int fd = path ? varve_file_open(&fault, NULL, root, path) : -1;
    if (fd < 0) {
        return false;
    }
    bool same = fstat(fd, &status) == 0 && status.st_ino == blob->inode &&
                status.st_dev == catalog->devices[blob->device];
    close(fd);
    return same;
}

/* Joins a blob just added to those that are the same file. */
static bool join_twins(struct varve_catalog *catalog, uint32_t number) {
    if (!grow_slots(catalog, &catalog->file_slots, &file_kind)) {
        return false;
    }
    struct blob *blob = blob_at(catalog, number);
    uint32_t found = find_or_take(catalog, &catalog->file_slots, &file_kind, blob, number);
    if (!found) {
        return true;
    }
    struct blob *first = blob_at(catalog, found - 1);
    if (opens_as_seen(catalog, found - 1) && opens_as_seen(catalog, number)) {
        blob->twin_of = found - 1;
        blob_at(catalog, first->last_twin)->next_twin = number;
        first->last_twin = number;
        catalog->twin_count++;
    }
    return true;
}

/* What looking at a blob's file tells: *device, whether it has a *single name, and what goes into
 * the blob. False: nothing. Writes to no blob but this one. */
static bool see(const struct varve_catalog *catalog, dev_t *device, bool *single, struct blob *blob,
                uint32_t number) {
    const struct source *source = source_of(catalog, number);
    char text[VARVE_PATTERN_PATH_BYTES];
    struct stat status;
    int root = AT_FDCWD;
    const char *path = path_of(catalog, &root, text, source, name_of(catalog, number));
    int flags = root == AT_FDCWD ? 0 : AT_SYMLINK_NOFOLLOW;
    if (!path || (root == AT_FDCWD && strcmp(path, "-") == 0) ||
        fstatat(root, path, &status, flags) != 0 || !S_ISREG(status.st_mode)) {
        return false;
    }
    blob->size = (uint64_t)status.st_size;
    blob->inode = (uint64_t)status.st_ino;
    blob->mtime_ns = mtime_of(&status);
    *device = status.st_dev;
    *single = status.st_nlink == 1;
    return true;
}

/* Whether there is a file to look at: a blob that is no part of another file, and can be opened. */
static bool is_file(const struct varve_catalog *catalog, uint32_t number) {
    const struct source *source = source_of(catalog, number);
    size_t place = number - source->first_blob;
    return !source->extents && !blob_at(catalog, number)->fault &&
           (place >= source->replay_room || source->replays[place].split == VARVE_NAME_NONE);
}

/* Whether there is one source only, and not of loose files: within it a file with a single name is
 * no other's twin. */
static bool is_lone(const struct varve_catalog *catalog) {
    return catalog->source_count == 1 && catalog->sources[0].root != VARVE_ROOT_NONE;
}

/* Puts the files of what was the only source where those of others are looked for. */
static bool join_alone(struct varve_catalog *catalog) {
    catalog->alone_count = 0;
    for (uint32_t i = 0; i < catalog->looked_at; i++) {
        const struct blob *blob = blob_at(catalog, i);
        if (blob->device != VARVE_NAME_NONE && blob->twin_of == i) {
            if (!grow_slots(catalog, &catalog->file_slots, &file_kind)) {
                return false;
            }
            find_or_take(catalog, &catalog->file_slots, &file_kind, blob, i);
        }
        touch(catalog);
    }
    return true;
}

/* Blobs are looked at by the slice: what is found out side by side is then joined in order. */
#define LOOK_COUNT 4096u

/* So few, as a list of loose files brings them one by one, are not worth a team, nor the question
 * how many threads it may have: that alone is a system call for each descriptor there is. */
#define LOOK_FEW 64u

/* What looking at a blob found. */
struct look {
    bool seen, single;
    dev_t device;
};

static void look_at(struct varve_catalog *catalog, struct look *look, uint32_t number) {
    look->seen = is_file(catalog, number) &&
                 see(catalog, &look->device, &look->single, blob_at(catalog, number), number);
}

static void look_at_slice(struct varve_catalog *catalog, struct look *found, uint32_t from,
                          int count) {
#pragma omp parallel for schedule(dynamic, 64) num_threads(varve_catalog_threads(catalog))
    for (int i = 0; i < count; i++) {
        look_at(catalog, &found[i], from + (uint32_t)i);
    }
}

/* Joins the next blob, which was looked at, to those before it. False: no memory. */
static bool take_look(struct varve_catalog *catalog, const struct look *look) {
    uint32_t number = (uint32_t)catalog->looked_at;
    if (look->seen) {
        struct blob *blob = blob_at(catalog, number);
        bool alone = look->single && is_lone(catalog);
        blob->device = device_number(catalog, look->device);
        if (blob->device == VARVE_NAME_NONE || (!alone && !join_twins(catalog, number))) {
            return false;
        }
        catalog->alone_count += alone;
    }
    catalog->looked_at++;
    return true;
}

static bool look_at_many(struct varve_catalog *catalog, size_t most) {
    struct look *found = calloc(most, sizeof *found);
    bool good = found != NULL;
    while (good && catalog->looked_at < catalog->blobs.count &&
           !varve_catalog_is_cancelled(catalog)) {
        size_t left = catalog->blobs.count - catalog->looked_at;
        size_t count = left < most ? left : most;
        look_at_slice(catalog, found, (uint32_t)catalog->looked_at, (int)count);
        for (size_t i = 0; good && i < count; i++) {
            good = take_look(catalog, &found[i]);
        }
        varve_spill_relax(catalog->spill);
    }
    free(found);
    return good;
}

bool varve_catalog_look(struct varve_catalog *catalog) {
    if (catalog->alone_count && !is_lone(catalog) && !join_alone(catalog)) {
        return false;
    }
    size_t count = catalog->blobs.count - catalog->looked_at;
    if (count > LOOK_FEW) {
        return look_at_many(catalog, count < LOOK_COUNT ? count : LOOK_COUNT);
    }
    bool good = true;
    while (good && count-- > 0 && !varve_catalog_is_cancelled(catalog)) {
        struct look look;
        look_at(catalog, &look, (uint32_t)catalog->looked_at);
        good = take_look(catalog, &look);
    }
    return good;
}

/* Keeps how a blob is put together; those before it may be of another kind. */
static bool keep_replay(struct varve_catalog *catalog, struct source *source, uint32_t place,
                        const struct varve_new_blob *new) {
    while (source->replay_room <= place) {
        size_t from = source->replay_room;
        if (!RESERVE(source->replays, source->replay_room, from)) {
            return false;
        }
        for (size_t i = from; i < source->replay_room; i++) {
            source->replays[i] = (struct replay){VARVE_NAME_NONE, VARVE_NAME_NONE};
        }
    }
    struct replay *replay = &source->replays[place];
    replay->split = varve_name_map_add(&catalog->strings, NULL, new->split);
    replay->folder = varve_name_map_add(&catalog->strings, NULL, new->folder);
    return replay->split != VARVE_NAME_NONE && replay->folder != VARVE_NAME_NONE;
}

uint32_t varve_catalog_add_blob(struct varve_catalog *catalog, const struct varve_new_blob *new) {
    assert(catalog->source_count > 0);
    uint32_t source_number = (uint32_t)catalog->source_count - 1;
    struct source *source = &catalog->sources[source_number];
    bool archive = source->root != VARVE_ROOT_NONE && !source->pattern;
    bool added = false;
    touch(catalog);
    if (varve_catalog_is_cancelled(catalog) || !varve_table_reserve(&catalog->blobs) ||
        (archive && !RESERVE(source->extents, source->extent_room, source->blobs.count))) {
        return VARVE_NAME_NONE;
    }
    uint32_t place = varve_name_map_add(&source->blobs, &added, new->name);
    if (place == VARVE_NAME_NONE) {
        return VARVE_NAME_NONE;
    }
    uint32_t number = source->first_blob + place;
    if (!added) {
        blob_at(catalog, number)->unreferenced &= new->unreferenced;
        return number;
    }
    struct blob *blob = varve_table_add(&catalog->blobs);
    *blob = (struct blob){
        .source = source_number,
        .first_claim = VARVE_NAME_NONE,
        .device = VARVE_NAME_NONE,
        .twin_of = number,
        .next_twin = VARVE_NAME_NONE,
        .last_twin = number,
        .size = (archive || new->split) && !new->unreadable ? new->bytes : 0,
        .fault = new->unreadable ? (uint16_t)(new->code + 1) : 0,
        .unreferenced = new->unreferenced,
    };
    if (archive) {
        source->extents[place] = (struct extent){new->offset, new->bytes};
    } else if (new->split) {
        return keep_replay(catalog, source, place, new) ? number : VARVE_NAME_NONE;
    }
    return number;
}

bool varve_catalog_has_blob(const struct varve_catalog *catalog, const char *name) {
    const struct source *source = &catalog->sources[catalog->source_count - 1];
    return varve_name_map_find(&source->blobs, name) != VARVE_NAME_NONE;
}

static const void *claim_element(const struct varve_catalog *catalog, uint32_t number) {
    return claim_at(catalog, number);
}

static uint64_t hash_claim(const struct varve_catalog *catalog, const void *element) {
    return varve_siphash(catalog->key, element, CLAIM_KEY_BYTES);
}

static bool same_claim(const struct varve_catalog *catalog, uint32_t number, const void *element) {
    return memcmp(claim_at(catalog, number), element, CLAIM_KEY_BYTES) == 0;
}

static const struct slots_kind claim_kind = {hash_claim, same_claim, claim_element};

/* Claims of a blob that are looked through. One that has more, which no honest mirror has, has all
 * of them in the table too. */
#define FEW_CLAIMS 8

static bool list_claim(struct varve_catalog *catalog, const struct claim *claim, uint32_t number) {
    if (!grow_slots(catalog, &catalog->claim_slots, &claim_kind)) {
        return false;
    }
    find_or_take(catalog, &catalog->claim_slots, &claim_kind, claim, number);
    return true;
}

/* The number of an equal claim, or VARVE_NAME_NONE; *many: it is to be put into the table. False:
 * no memory for the table; nothing is changed that matters then. */
static bool find_claim(struct varve_catalog *catalog, uint32_t *number, bool *many,
                       const struct claim *claim) {
    uint32_t first = blob_of(catalog, claim->blob).first_claim;
    uint32_t found = first;
    size_t count = 0;
    for (; found != VARVE_NAME_NONE && count < FEW_CLAIMS; count++) {
        struct claim other = claim_of(catalog, found);
        if (memcmp(&other, claim, CLAIM_KEY_BYTES) == 0) {
            *number = found;
            return true;
        }
        found = other.next;
    }
    *number = VARVE_NAME_NONE;
    *many = count == FEW_CLAIMS;
    if (!*many) {
        return true;
    }
    if (found == VARVE_NAME_NONE) {
        /* There are just so many: the first that will not be looked through any more. */
        for (found = first; found != VARVE_NAME_NONE; found = claim_of(catalog, found).next) {
            if (!list_claim(catalog, claim_at(catalog, found), found)) {
                return false;
            }
        }
        return true;
    }
    uint64_t hash = hash_claim(catalog, claim);
    size_t slot = slot_of(catalog, &catalog->claim_slots, &claim_kind, claim, hash);
    *number = catalog->claim_slots.slots[slot] - 1; /* 0 - 1: VARVE_NAME_NONE */
    return true;
}

uint32_t varve_catalog_add_claim(struct varve_catalog *catalog, uint32_t blob, uint64_t size,
                                 const char *media_type, const uint8_t *diffid) {
    struct claim claim;
    memset(&claim, 0, sizeof claim);
    claim.size = size;
    claim.blob = blob;
    claim.media_type =
        media_type ? varve_name_map_add(&catalog->strings, NULL, media_type) : VARVE_NAME_NONE;
    if (diffid) {
        claim.has_diffid = 1;
        memcpy(claim.diffid, diffid, sizeof claim.diffid);
    }
    touch(catalog);
    if (varve_catalog_is_cancelled(catalog) ||
        (media_type && claim.media_type == VARVE_NAME_NONE) ||
        !varve_table_reserve(&catalog->claims)) {
        return VARVE_NAME_NONE;
    }
    bool many = false;
    uint32_t known = VARVE_NAME_NONE;
    if (!find_claim(catalog, &known, &many, &claim)) {
        return VARVE_NAME_NONE;
    }
    if (known != VARVE_NAME_NONE) {
        return known;
    }
    if (many && !list_claim(catalog, &claim, (uint32_t)catalog->claims.count)) {
        return VARVE_NAME_NONE;
    }
    struct claim *kept = varve_table_add(&catalog->claims);
    struct blob *claimed = blob_at(catalog, blob);
    claim.next = claimed->first_claim;
    *kept = claim;
    claimed->first_claim = (uint32_t)catalog->claims.count - 1;
    return claimed->first_claim;
}

uint32_t *varve_catalog_new_claims(struct varve_catalog *catalog, size_t count) {
    return count < SIZE_MAX / sizeof(uint32_t) / 2
               ? varve_spill_allocate(catalog->spill, (count + 1) * sizeof(uint32_t))
               : NULL;
}

void varve_catalog_keep_documents(struct varve_catalog *catalog) {
    catalog->keeps_documents = true;
}

bool varve_catalog_keeps_documents(const struct varve_catalog *catalog) {
    return catalog->keeps_documents;
}

void varve_catalog_check_contents(struct varve_catalog *catalog) {
    catalog->checks_contents = true;
}

void varve_catalog_set_threads(struct varve_catalog *catalog, unsigned threads) {
    catalog->threads = threads ? threads : varve_thread_default();
}

unsigned varve_catalog_threads(const struct varve_catalog *catalog) {
    return varve_thread_team(catalog->threads, THREAD_DESCRIPTORS);
}

bool varve_catalog_keep_document(struct varve_catalog *catalog, struct varve_bytes *kept,
                                 const uint8_t *data, size_t bytes) {
    *kept = (struct varve_bytes){NULL, 0};
    if (!catalog->keeps_documents) {
        return true;
    }
    uint8_t *copy = varve_spill_allocate_bytes(catalog->spill, bytes);
    if (!copy) {
        return false;
    }
    memcpy(copy, data, bytes);
    *kept = (struct varve_bytes){copy, bytes};
    return true;
}

const struct varve_config_digests *
varve_catalog_keep_config(struct varve_catalog *catalog,
                          const struct varve_config_digests *config) {
    struct varve_config_digests *copy = varve_spill_allocate(catalog->spill, sizeof *copy);
    if (copy) {
        *copy = *config;
    }
    return copy;
}

/* The catalog's own copy of a string; NULL stays NULL. */
static bool keep(struct varve_catalog *catalog, const char **text) {
    if (!*text) {
        return true;
    }
    uint32_t number = varve_name_map_add(&catalog->strings, NULL, *text);
    *text = number == VARVE_NAME_NONE ? NULL : catalog->strings.names[number];
    return *text != NULL;
}

void varve_catalog_cut_ref(char shown[VARVE_REF_SHOWN_BYTES], const char *ref) {
    size_t count = strnlen(ref, VARVE_LIMIT_TAG_SHOWN_BYTES + 1);
    bool cut = count > VARVE_LIMIT_TAG_SHOWN_BYTES;
    if (cut) {
        count = VARVE_LIMIT_TAG_SHOWN_BYTES;
        while (count > VARVE_LIMIT_TAG_SHOWN_BYTES - 3 && (ref[count] & 0xc0) == 0x80) {
            count--;
        }
    }
    memcpy(shown, ref, count);
    strcpy(shown + count, cut ? "..." : "");
}

bool varve_catalog_add_image(struct varve_catalog *catalog, const struct varve_image *image) {
    struct varve_image copy = *image;
    char ref[VARVE_REF_SHOWN_BYTES];
    if (copy.ref) {
        varve_catalog_cut_ref(ref, copy.ref);
        copy.ref = ref;
    }
    copy.source = catalog->sources[catalog->source_count - 1].name;
    touch(catalog);
    if (varve_catalog_is_cancelled(catalog) || !keep(catalog, &copy.ref) ||
        !keep(catalog, &copy.digest) || !keep(catalog, &copy.platform) ||
        !keep(catalog, &copy.fault_digest)) {
        return false;
    }
    struct varve_image *kept = varve_table_add(&catalog->images);
    if (kept) {
        *kept = copy;
    }
    if (copy.fault.code && varve_file_is_unread(&copy.fault)) {
        catalog->unread = catalog->sources[catalog->source_count - 1].unread = true;
    }
    return kept != NULL;
}

bool varve_catalog_add_error(struct varve_catalog *catalog, const char *source, const char *detail,
                             struct varve_fault fault) {
    char *name = NULL;
    if (varve_catalog_is_cancelled(catalog)) {
        return true; /* what is missing is missing for that reason */
    }
    catalog->unread |= fault.status != VARVE_OK && varve_file_is_unread(&fault);
    if (!RESERVE(catalog->errors, catalog->error_room, catalog->error_count) ||
        asprintf(&name, "%s%s%s", source, detail ? " " : "", detail ? detail : "") < 0) {
        catalog->lost_errors = true;
        return false;
    }
    catalog->errors[catalog->error_count++] = (struct varve_catalog_error){name, fault, 1};
    return true;
}

bool varve_catalog_add_note(struct varve_catalog *catalog, const char *source, const char *detail,
                            enum varve_code code) {
    uint32_t *note = &catalog->notes[code];
    if (*note) {
        catalog->errors[*note - 1].count++;
        return true;
    }
    const struct varve_code_info *info = varve_code_at(code);
    struct varve_fault odd = {.code = info->code,
                              .message = info->text,
                              .status = VARVE_OK,
                              .offset_stored = VARVE_NO_OFFSET,
                              .offset_decoded = VARVE_NO_OFFSET};
    if (!varve_catalog_add_error(catalog, source, detail, odd)) {
        return false;
    }
    if (!varve_catalog_is_cancelled(catalog)) {
        *note = (uint32_t)catalog->error_count;
    }
    return true;
}

enum varve_status varve_catalog_add_file(struct varve_catalog *catalog, const char *path) {
    static const struct varve_location loose = {VARVE_ROOT_NONE, "", NULL};
    bool begun = catalog->source_count > 0 &&
                 catalog->sources[catalog->source_count - 1].root == VARVE_ROOT_NONE;
    if (!begun && varve_catalog_begin_source(catalog, "file", &loose) == VARVE_NAME_NONE) {
        return VARVE_ERROR;
    }
    uint32_t blob = varve_catalog_add_blob(catalog, &(struct varve_new_blob){.name = path});
    return blob == VARVE_NAME_NONE || !varve_catalog_look(catalog) ? VARVE_ERROR : VARVE_OK;
}

/* A second descriptor of the same open file: its users read at offsets of their own. */
static int duplicate(struct varve_fault *fault, int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        *fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
        fault->os_errno = errno;
    }
    return copy;
}

static int open_blob(const struct varve_catalog *catalog, struct varve_opened *opened,
                     struct varve_fault *fault, size_t number, const char *name) {
    const struct blob blob = blob_of(catalog, number);
    const struct source *source = &catalog->sources[blob.source];
    char text[VARVE_PATTERN_PATH_BYTES];
    int root = AT_FDCWD;
    opened->offset = 0;
    opened->bytes = UINT64_MAX;
    opened->has_seen = false;
    if (blob.fault) {
        *fault = varve_fault_of((enum varve_code)(blob.fault - 1), VARVE_NO_OFFSET);
        return -1;
    }
    if (source->extents) {
        const struct extent *extent = &source->extents[number - source->first_blob];
        opened->offset = extent->offset;
        opened->bytes = extent->bytes;
        return duplicate(fault, catalog->roots[source->root]);
    }
    size_t place = number - source->first_blob;
    if (place < source->replay_room && source->replays[place].split != VARVE_NAME_NONE) {
        const struct replay *replay = &source->replays[place];
        return varve_tar_split_open(
            fault, catalog->roots[source->root], catalog->strings.names[replay->split],
            catalog->strings.names[replay->folder], catalog->checks_contents);
    }
    if (source->root == VARVE_ROOT_NONE && strcmp(name, "-") == 0) {
        return duplicate(fault, STDIN_FILENO);
    }
    const char *path = path_of(catalog, &root, text, source, name);
    if (!path) {
        *fault = varve_fault_of(VARVE_CODE_IO_OPEN, VARVE_NO_OFFSET);
        fault->os_errno = ENAMETOOLONG;
        return -1;
    }
    opened->has_seen = true;
    return varve_file_open_seen(fault, &opened->seen, root, path);
}

bool varve_catalog_open_seen(const struct varve_catalog *catalog, struct varve_opened *opened,
                             struct varve_fault *fault, size_t blob, const char *name) {
    opened->fd = open_blob(catalog, opened, fault, blob, name);
    return opened->fd >= 0;
}

int varve_catalog_open_blob(const struct varve_catalog *catalog, uint64_t *offset, uint64_t *bytes,
                            struct varve_fault *fault, size_t blob) {
    struct varve_opened opened;
    varve_catalog_open_seen(catalog, &opened, fault, blob, name_of(catalog, blob));
    *offset = opened.offset;
    *bytes = opened.bytes;
    return opened.fd;
}

enum varve_status varve_catalog_check_files(const struct varve_catalog *catalog,
                                            struct varve_join_result *result, size_t number) {
    static const struct varve_join_options options = {.max_bytes = 0};
    const struct source *source = source_of(catalog, number);
    size_t place = number - source->first_blob;
    *result = (struct varve_join_result){.entry = NULL};
    if (place >= source->replay_room || source->replays[place].split == VARVE_NAME_NONE) {
        result->fault = varve_fault_of(VARVE_CODE_SOURCE_UNPACKED, VARVE_NO_OFFSET);
        return result->fault.status;
    }
    const struct replay *replay = &source->replays[place];
    int root = catalog->roots[source->root];
    int split = varve_file_open(&result->fault, NULL, root, catalog->strings.names[replay->split]);
    int folder = split < 0 ? -1
                           : varve_directory_open(&result->fault, root,
                                                  catalog->strings.names[replay->folder]);
    enum varve_status status =
        folder < 0 ? result->fault.status : varve_join(result, split, folder, &options, NULL, NULL);
    if (folder >= 0) {
        close(folder);
    }
    if (split >= 0) {
        close(split);
    }
    return status;
}

bool varve_catalog_stamp(const struct varve_catalog *catalog, struct varve_stamp *stamp,
                         size_t number) {
    const struct blob blob = blob_of(catalog, number);
    const struct source *source = &catalog->sources[blob.source];
    if (source->extents) {
        *stamp = (struct varve_stamp){blob.size, source->inode,
                                      source->extents[number - source->first_blob].offset,
                                      source->mtime_ns};
        return !blob.fault && source->has_stamp;
    }
    *stamp = (struct varve_stamp){blob.size, blob.inode, 0, blob.mtime_ns};
    return !blob.fault && blob.device != VARVE_NAME_NONE;
}

const char *varve_catalog_operand(const struct varve_catalog *catalog, size_t blob) {
    uint32_t operand = source_of(catalog, blob)->operand;
    return operand == VARVE_NAME_NONE ? NULL : catalog->strings.names[operand];
}

static size_t index_or_none(uint32_t number) {
    return number == VARVE_NAME_NONE ? SIZE_MAX : number;
}

size_t varve_catalog_source_count(const struct varve_catalog *catalog) {
    return catalog->source_count;
}

const char *varve_catalog_source_name(const struct varve_catalog *catalog, size_t source) {
    return catalog->sources[source].name;
}

size_t varve_catalog_source_of(const struct varve_catalog *catalog, size_t blob) {
    return blob_of(catalog, blob).source;
}

bool varve_catalog_replays(const struct varve_catalog *catalog) {
    bool any = false;
    for (size_t i = 0; i < catalog->source_count; i++) {
        any |= catalog->sources[i].replay_room > 0;
    }
    return any;
}

int64_t varve_catalog_opened_ns(const struct varve_catalog *catalog) {
    return catalog->opened_ns;
}

size_t varve_catalog_find_in(const struct varve_catalog *catalog, size_t number, const char *name) {
    const struct source *source = &catalog->sources[number];
    uint32_t place = varve_name_map_find(&source->blobs, name);
    return place == VARVE_NAME_NONE ? SIZE_MAX : source->first_blob + place;
}

size_t varve_catalog_find(const struct varve_catalog *catalog, const char *name_of_source,
                          const char *name) {
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < catalog->source_count && found == SIZE_MAX; i++) {
        if (strcmp(catalog->sources[i].name, name_of_source) == 0) {
            found = varve_catalog_find_in(catalog, i, name);
        }
    }
    return found;
}

size_t varve_catalog_blob_count(const struct varve_catalog *catalog) {
    return catalog->blobs.count;
}

struct varve_blob varve_catalog_blob(const struct varve_catalog *catalog, size_t blob) {
    assert(blob < catalog->blobs.count);
    const struct blob from = blob_of(catalog, blob);
    const struct source *source = &catalog->sources[from.source];
    return (struct varve_blob){.name = source->blobs.names[blob - source->first_blob],
                               .source = source->name,
                               .size = from.size,
                               .referenced = !from.unreferenced,
                               .twin_of = from.twin_of};
}

void varve_catalog_fetch(const struct varve_catalog *catalog, size_t blob) {
    __builtin_prefetch(blob_at(catalog, blob));
}

void varve_catalog_fetch_on(const struct varve_catalog *catalog, size_t number) {
    const struct blob *blob = blob_at(catalog, number);
    if (varve_spill_is_in_file(catalog->spill, blob)) {
        return; /* it would be touched */
    }
    const char *name = name_of(catalog, number);
    __builtin_prefetch(name);
    __builtin_prefetch(name + 64);
    if (blob->first_claim != VARVE_NAME_NONE) {
        __builtin_prefetch(claim_at(catalog, blob->first_claim));
    }
}

size_t varve_catalog_next_twin(const struct varve_catalog *catalog, size_t blob) {
    return catalog->twin_count ? index_or_none(blob_of(catalog, blob).next_twin) : SIZE_MAX;
}

size_t varve_catalog_claim_count(const struct varve_catalog *catalog) {
    return catalog->claims.count;
}

struct varve_claim varve_catalog_read_claim(const struct varve_catalog *catalog, size_t *next,
                                            size_t claim) {
    assert(claim < catalog->claims.count);
    const struct claim from = claim_of(catalog, claim);
    *next = index_or_none(from.next);
    struct varve_claim out = {.blob = from.blob,
                              .size = from.size,
                              .media_type = from.media_type == VARVE_NAME_NONE
                                                ? NULL
                                                : catalog->strings.names[from.media_type],
                              .has_diffid = from.has_diffid};
    memcpy(out.diffid, from.diffid, sizeof out.diffid);
    return out;
}

struct varve_claim varve_catalog_claim(const struct varve_catalog *catalog, size_t claim) {
    size_t next = 0;
    return varve_catalog_read_claim(catalog, &next, claim);
}

size_t varve_catalog_first_claim(const struct varve_catalog *catalog, size_t blob) {
    return catalog->claims.count ? index_or_none(blob_of(catalog, blob).first_claim) : SIZE_MAX;
}

size_t varve_catalog_next_claim(const struct varve_catalog *catalog, size_t claim) {
    return index_or_none(claim_of(catalog, claim).next);
}

size_t varve_catalog_image_count(const struct varve_catalog *catalog) {
    return catalog->images.count;
}

struct varve_image varve_catalog_image(const struct varve_catalog *catalog, size_t image) {
    assert(image < catalog->images.count);
    return *(const struct varve_image *)varve_table_at(&catalog->images, image);
}

bool varve_catalog_lost_errors(const struct varve_catalog *catalog) {
    return catalog->lost_errors;
}

bool varve_catalog_is_unread(const struct varve_catalog *catalog) {
    return catalog->lost_errors || catalog->unread;
}

bool varve_catalog_source_is_unread(const struct varve_catalog *catalog, size_t source) {
    return catalog->sources[source].unread;
}

size_t varve_catalog_error_count(const struct varve_catalog *catalog) {
    return catalog->error_count;
}

struct varve_catalog_error varve_catalog_error(const struct varve_catalog *catalog, size_t error) {
    assert(error < catalog->error_count);
    return catalog->errors[error];
}
