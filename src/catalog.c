/* SPDX-License-Identifier: Apache-2.0 */
/* src/catalog.c - the tables behind varve/catalog.h. */
#include "catalog.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "codes.h"
#include "file.h"
#include "name_map.h"
#include "pattern.h"
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
    uint32_t operand; /* VARVE_NAME_NONE: loose files */
    uint32_t first_blob;
    uint64_t inode; /* of the archive */
    int64_t mtime_ns;
    struct varve_name_map blobs; /* names; number + first_blob = the blob's number */
    struct extent *extents;      /* archives only: by number of the name */
    size_t extent_room;
    struct replay *replays; /* stores that unpack only: by number of the name */
    size_t replay_room;
};

/* Some 150 bytes each with its name and its places in the two tables. */
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
    size_t room;     /* a power of two */
};

struct varve_catalog {
    int *roots;
    size_t root_count, root_room;
    struct source *sources;
    size_t source_count, source_room;
    uint32_t operand; /* of sources begun from now on */
    dev_t *devices;
    size_t device_count, device_room;
    struct slots file_slots; /* blobs by device and inode, first twins only */
    struct blob *blobs;
    size_t blob_count, blob_room;
    size_t looked_at; /* blobs before this one were looked at */
    unsigned threads;
    struct claim *claims;
    size_t claim_count, claim_room;
    struct slots claim_slots;
    uint64_t key[2]; /* of both tables' hashes */
    int64_t opened_ns;
    struct varve_image *images;
    size_t image_count, image_room;
    struct varve_catalog_error *errors;
    size_t error_count, error_room;
    bool keeps_documents;
    bool checks_contents;
    void **kept; /* arrays of claims, digests of configs */
    size_t kept_count, kept_room;
    uint32_t notes[VARVE_CODE_COUNT]; /* of the source begun last: error + 1 by code */
    struct varve_name_map strings;    /* media types, platforms, tags, digests of documents */
};

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

enum varve_status varve_catalog_open(struct varve_catalog **catalog) {
    *catalog = calloc(1, sizeof **catalog);
    if (!*catalog) {
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
        free(source->name);
        free(source->prefix);
        free(source->pattern);
        free(source->extents);
        free(source->replays);
    }
    for (size_t i = 0; i < catalog->error_count; i++) {
        free((char *)catalog->errors[i].name);
    }
    for (size_t i = 0; i < catalog->kept_count; i++) {
        free(catalog->kept[i]);
    }
    varve_name_map_free(&catalog->strings);
    free(catalog->roots);
    free(catalog->sources);
    free(catalog->devices);
    free(catalog->file_slots.slots);
    free(catalog->blobs);
    free(catalog->claims);
    free(catalog->claim_slots.slots);
    free(catalog->images);
    free(catalog->errors);
    free(catalog->kept);
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

uint32_t varve_catalog_begin_source(struct varve_catalog *catalog, const char *name,
                                    const struct varve_location *location) {
    struct source source = {
        .name = strdup(name),
        .prefix = strdup(location->prefix),
        .pattern = location->pattern ? strdup(location->pattern) : NULL,
        .root = location->root,
        .operand = location->root == VARVE_ROOT_NONE ? VARVE_NAME_NONE : catalog->operand,
        .first_blob = (uint32_t)catalog->blob_count,
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
        source.inode = (uint64_t)status.st_ino;
        source.mtime_ns = mtime_of(&status);
    }
    memset(catalog->notes, 0, sizeof catalog->notes);
    catalog->sources[catalog->source_count] = source;
    return (uint32_t)catalog->source_count++;
}

static const struct source *source_of(const struct varve_catalog *catalog, size_t blob) {
    return &catalog->sources[catalog->blobs[blob].source];
}

static const char *name_of(const struct varve_catalog *catalog, size_t blob) {
    const struct source *source = source_of(catalog, blob);
    return source->blobs.names[blob - source->first_blob];
}

/* Where a blob lies beneath *root: a loose file by its name. NULL where its path is too long. */
static const char *path_of(const struct varve_catalog *catalog, int *root,
                           char text[VARVE_PATTERN_PATH_BYTES], const struct source *source,
                           const char *name) {
    if (source->root == VARVE_ROOT_NONE) {
        *root = AT_FDCWD;
        return name;
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

/* Room for one number more in a table that holds `count`. `slot` finds a number's place again. */
static bool grow_slots(struct varve_catalog *catalog, struct slots *table, size_t count,
                       uint32_t *(*slot)(const struct varve_catalog *, uint32_t number)) {
    if (2 * (count + 1) <= table->room) {
        return true;
    }
    struct slots old = *table;
    size_t room = old.room ? 2 * old.room : 256;
    uint32_t *slots = calloc(room, sizeof *slots);
    if (!slots) {
        return false;
    }
    *table = (struct slots){slots, room};
    for (size_t i = 0; i < old.room; i++) {
        if (old.slots[i]) {
            *slot(catalog, old.slots[i] - 1) = old.slots[i];
        }
    }
    free(old.slots);
    return true;
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

/* The place of a blob's file in the table: of its first twin, or the free one it would take. */
static uint32_t *file_slot(const struct varve_catalog *catalog, uint32_t number) {
    const struct blob *blob = &catalog->blobs[number];
    const uint64_t file[2] = {blob->inode, blob->device};
    size_t mask = catalog->file_slots.room - 1;
    for (size_t i = varve_siphash(catalog->key, file, sizeof file) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &catalog->file_slots.slots[i];
        const struct blob *other = *slot ? &catalog->blobs[*slot - 1] : NULL;
        if (!other || (other->inode == blob->inode && other->device == blob->device &&
                       names_agree(catalog, *slot - 1, number))) {
            return slot;
        }
    }
}

/* Whether opening a blob, which follows no link, gives the file that was seen. */
static bool opens_as_seen(const struct varve_catalog *catalog, uint32_t number) {
    const struct blob *blob = &catalog->blobs[number];
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
    if (!grow_slots(catalog, &catalog->file_slots, catalog->blob_count, file_slot)) {
        return false;
    }
    uint32_t *slot = file_slot(catalog, number);
    if (!*slot) {
        *slot = number + 1;
        return true;
    }
    struct blob *first = &catalog->blobs[*slot - 1];
    struct blob *blob = &catalog->blobs[number];
    if (opens_as_seen(catalog, *slot - 1) && opens_as_seen(catalog, number)) {
        blob->twin_of = *slot - 1;
        catalog->blobs[first->last_twin].next_twin = number;
        first->last_twin = number;
    }
    return true;
}

/* What looking at a blob's file tells: *device and what goes into the blob. False: nothing. Writes
 * to no blob but this one. */
static bool see(const struct varve_catalog *catalog, dev_t *device, struct blob *blob,
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
    return true;
}

/* Whether there is a file to look at: a blob that is no part of another file, and can be opened. */
static bool is_file(const struct varve_catalog *catalog, uint32_t number) {
    const struct source *source = source_of(catalog, number);
    size_t place = number - source->first_blob;
    return !source->extents && !catalog->blobs[number].fault &&
           (place >= source->replay_room || source->replays[place].split == VARVE_NAME_NONE);
}

/* Blobs are looked at by the slice: what is found out side by side is then joined in order. */
#define LOOK_COUNT 4096u

bool varve_catalog_look(struct varve_catalog *catalog) {
    struct {
        bool seen;
        dev_t device;
    } *found = NULL;
    size_t most = catalog->blob_count - catalog->looked_at;
    most = most < LOOK_COUNT ? most : LOOK_COUNT;
    found = calloc(most + 1, sizeof *found);
    while (found && catalog->looked_at < catalog->blob_count) {
        uint32_t from = (uint32_t)catalog->looked_at;
        size_t left = catalog->blob_count - from;
        int count = (int)(left < most ? left : most);
#pragma omp parallel for schedule(dynamic, 64)                                                     \
    num_threads(varve_catalog_threads(catalog)) if (count > 64)
        for (int i = 0; i < count; i++) {
            uint32_t number = from + (uint32_t)i;
            found[i].seen = is_file(catalog, number) &&
                            see(catalog, &found[i].device, &catalog->blobs[number], number);
        }
        for (int i = 0; i < count; i++) {
            struct blob *blob = &catalog->blobs[from + (uint32_t)i];
            if (found[i].seen) {
                blob->device = device_number(catalog, found[i].device);
                if (blob->device == VARVE_NAME_NONE || !join_twins(catalog, from + (uint32_t)i)) {
                    free(found);
                    return false;
                }
            }
            catalog->looked_at++;
        }
    }
    bool good = found != NULL;
    free(found);
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
    if (!RESERVE(catalog->blobs, catalog->blob_room, catalog->blob_count) ||
        (archive && !RESERVE(source->extents, source->extent_room, source->blobs.count))) {
        return VARVE_NAME_NONE;
    }
    uint32_t place = varve_name_map_add(&source->blobs, &added, new->name);
    if (place == VARVE_NAME_NONE) {
        return VARVE_NAME_NONE;
    }
    uint32_t number = source->first_blob + place;
    if (!added) {
        catalog->blobs[number].unreferenced &= new->unreferenced;
        return number;
    }
    catalog->blobs[catalog->blob_count++] = (struct blob){
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

static uint32_t *claim_slot_of(const struct varve_catalog *catalog, const struct claim *claim) {
    size_t mask = catalog->claim_slots.room - 1;
    uint64_t hash = varve_siphash(catalog->key, claim, CLAIM_KEY_BYTES);
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &catalog->claim_slots.slots[i];
        if (!*slot || memcmp(&catalog->claims[*slot - 1], claim, CLAIM_KEY_BYTES) == 0) {
            return slot;
        }
    }
}

static uint32_t *claim_slot(const struct varve_catalog *catalog, uint32_t number) {
    return claim_slot_of(catalog, &catalog->claims[number]);
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
    if ((media_type && claim.media_type == VARVE_NAME_NONE) ||
        !grow_slots(catalog, &catalog->claim_slots, catalog->claim_count, claim_slot) ||
        !RESERVE(catalog->claims, catalog->claim_room, catalog->claim_count)) {
        return VARVE_NAME_NONE;
    }
    uint32_t *slot = claim_slot_of(catalog, &claim);
    if (!*slot) {
        claim.next = catalog->blobs[blob].first_claim;
        catalog->blobs[blob].first_claim = (uint32_t)catalog->claim_count;
        catalog->claims[catalog->claim_count++] = claim;
        *slot = (uint32_t)catalog->claim_count;
    }
    return *slot - 1;
}

static bool keep_block(struct varve_catalog *catalog, void *block) {
    if (!RESERVE(catalog->kept, catalog->kept_room, catalog->kept_count)) {
        free(block);
        return false;
    }
    catalog->kept[catalog->kept_count++] = block;
    return true;
}

bool varve_catalog_keep_claims(struct varve_catalog *catalog, uint32_t *claims) {
    return keep_block(catalog, claims);
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
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy) {
        return false;
    }
    memcpy(copy, data, bytes);
    *kept = (struct varve_bytes){copy, bytes};
    return keep_block(catalog, copy);
}

bool varve_catalog_keep_config(struct varve_catalog *catalog, struct varve_config_digests *config) {
    return keep_block(catalog, config);
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

bool varve_catalog_add_image(struct varve_catalog *catalog, const struct varve_image *image) {
    struct varve_image copy = *image;
    copy.source = catalog->sources[catalog->source_count - 1].name;
    if (!RESERVE(catalog->images, catalog->image_room, catalog->image_count) ||
        !keep(catalog, &copy.ref) || !keep(catalog, &copy.digest) ||
        !keep(catalog, &copy.platform) || !keep(catalog, &copy.fault_digest)) {
        return false;
    }
    catalog->images[catalog->image_count++] = copy;
    return true;
}

bool varve_catalog_add_error(struct varve_catalog *catalog, const char *source, const char *detail,
                             struct varve_fault fault) {
    char *name = NULL;
    if (!RESERVE(catalog->errors, catalog->error_room, catalog->error_count) ||
        asprintf(&name, "%s%s%s", source, detail ? " " : "", detail ? detail : "") < 0) {
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
    *note = (uint32_t)catalog->error_count;
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
                     struct varve_fault *fault, size_t number) {
    const struct blob *blob = &catalog->blobs[number];
    const struct source *source = source_of(catalog, number);
    const char *name = name_of(catalog, number);
    char text[VARVE_PATTERN_PATH_BYTES];
    int root = AT_FDCWD;
    opened->offset = 0;
    opened->bytes = UINT64_MAX;
    opened->has_seen = false;
    if (blob->fault) {
        *fault = varve_fault_of((enum varve_code)(blob->fault - 1), VARVE_NO_OFFSET);
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
                             struct varve_fault *fault, size_t blob) {
    opened->fd = open_blob(catalog, opened, fault, blob);
    return opened->fd >= 0;
}

int varve_catalog_open_blob(const struct varve_catalog *catalog, uint64_t *offset, uint64_t *bytes,
                            struct varve_fault *fault, size_t blob) {
    struct varve_opened opened;
    varve_catalog_open_seen(catalog, &opened, fault, blob);
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
    const struct blob *blob = &catalog->blobs[number];
    const struct source *source = source_of(catalog, number);
    if (source->extents) {
        *stamp = (struct varve_stamp){blob->size, source->inode,
                                      source->extents[number - source->first_blob].offset,
                                      source->mtime_ns};
        return !blob->fault;
    }
    *stamp = (struct varve_stamp){blob->size, blob->inode, 0, blob->mtime_ns};
    return !blob->fault && blob->device != VARVE_NAME_NONE;
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
    return catalog->blobs[blob].source;
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
    return catalog->blob_count;
}

struct varve_blob varve_catalog_blob(const struct varve_catalog *catalog, size_t blob) {
    assert(blob < catalog->blob_count);
    const struct blob *from = &catalog->blobs[blob];
    return (struct varve_blob){.name = name_of(catalog, blob),
                               .source = source_of(catalog, blob)->name,
                               .size = from->size,
                               .referenced = !from->unreferenced,
                               .twin_of = from->twin_of};
}

void varve_catalog_fetch(const struct varve_catalog *catalog, size_t blob) {
    __builtin_prefetch(&catalog->blobs[blob]);
}

void varve_catalog_fetch_on(const struct varve_catalog *catalog, size_t number) {
    const struct blob *blob = &catalog->blobs[number];
    const char *name = name_of(catalog, number);
    __builtin_prefetch(name);
    __builtin_prefetch(name + 64);
    if (blob->first_claim != VARVE_NAME_NONE) {
        __builtin_prefetch(&catalog->claims[blob->first_claim]);
    }
}

size_t varve_catalog_next_twin(const struct varve_catalog *catalog, size_t blob) {
    return index_or_none(catalog->blobs[blob].next_twin);
}

size_t varve_catalog_claim_count(const struct varve_catalog *catalog) {
    return catalog->claim_count;
}

struct varve_claim varve_catalog_claim(const struct varve_catalog *catalog, size_t claim) {
    assert(claim < catalog->claim_count);
    const struct claim *from = &catalog->claims[claim];
    struct varve_claim out = {.blob = from->blob,
                              .size = from->size,
                              .media_type = from->media_type == VARVE_NAME_NONE
                                                ? NULL
                                                : catalog->strings.names[from->media_type],
                              .has_diffid = from->has_diffid};
    memcpy(out.diffid, from->diffid, sizeof out.diffid);
    return out;
}

size_t varve_catalog_first_claim(const struct varve_catalog *catalog, size_t blob) {
    return index_or_none(catalog->blobs[blob].first_claim);
}

size_t varve_catalog_next_claim(const struct varve_catalog *catalog, size_t claim) {
    return index_or_none(catalog->claims[claim].next);
}

size_t varve_catalog_image_count(const struct varve_catalog *catalog) {
    return catalog->image_count;
}

struct varve_image varve_catalog_image(const struct varve_catalog *catalog, size_t image) {
    assert(image < catalog->image_count);
    return catalog->images[image];
}

size_t varve_catalog_error_count(const struct varve_catalog *catalog) {
    return catalog->error_count;
}

struct varve_catalog_error varve_catalog_error(const struct varve_catalog *catalog, size_t error) {
    assert(error < catalog->error_count);
    return catalog->errors[error];
}
