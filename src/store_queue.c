/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_queue.c - results on their way from the scan's threads to the writer.
 *
 * A result is copied where it was made, so that the scan's thread goes on at once and the writer
 * never touches what is the scan's. Entries can be many: they are packed, one behind the other, and
 * what is on its way is bounded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

/* Of items on their way, beside VARVE_QUEUE_ITEMS. A layer of half a million entries takes some 60
 * MiB: beyond the bound one item still goes in alone. */
#define QUEUE_BYTES ((size_t)16 << 20)

void varve_queue_init(struct varve_queue *queue) {
    *queue = (struct varve_queue){0};
    queue->last = &queue->first;
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->filled, &clock);
    pthread_condattr_destroy(&clock);
    pthread_cond_init(&queue->drained, NULL);
}

void varve_queue_destroy(struct varve_queue *queue) {
    varve_items_free(queue->first);
    pthread_cond_destroy(&queue->drained);
    pthread_cond_destroy(&queue->filled);
    pthread_mutex_destroy(&queue->mutex);
}

void varve_queue_put(struct varve_queue *queue, struct varve_item *item) {
    pthread_mutex_lock(&queue->mutex);
    while (!queue->failed && (queue->count >= VARVE_QUEUE_ITEMS ||
                              (queue->bytes > 0 && queue->bytes + item->bytes > QUEUE_BYTES))) {
        pthread_cond_wait(&queue->drained, &queue->mutex);
    }
    bool wanted = !queue->failed;
    if (wanted) {
        item->next = NULL;
        *queue->last = item;
        queue->last = &item->next;
        queue->bytes += item->bytes;
        queue->count++;
        pthread_cond_signal(&queue->filled);
    }
    pthread_mutex_unlock(&queue->mutex);
    if (!wanted) {
        varve_item_free(item);
    }
}

struct varve_item *varve_queue_take(struct varve_queue *queue, bool *over,
                                    const struct timespec *deadline) {
    bool late = false;
    pthread_mutex_lock(&queue->mutex);
    while (!queue->first && !queue->closed && !late) {
        if (deadline) {
            late = pthread_cond_timedwait(&queue->filled, &queue->mutex, deadline) == ETIMEDOUT;
        } else {
            pthread_cond_wait(&queue->filled, &queue->mutex);
        }
    }
    struct varve_item *items = queue->first;
    *over = !items && queue->closed;
    queue->first = NULL;
    queue->last = &queue->first;
    queue->bytes = 0;
    queue->count = 0;
    pthread_cond_broadcast(&queue->drained);
    pthread_mutex_unlock(&queue->mutex);
    return items;
}

void varve_queue_close(struct varve_queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->mutex);
}

void varve_queue_fail(struct varve_queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    struct varve_item *items = queue->first;
    queue->first = NULL;
    queue->last = &queue->first;
    queue->bytes = 0;
    queue->count = 0;
    queue->failed = true;
    pthread_cond_broadcast(&queue->drained);
    pthread_mutex_unlock(&queue->mutex);
    varve_items_free(items);
}

/* --- entries, packed --- */

struct packed {
    uint64_t size, mode, path, link, uname, gname; /* the last four: bytes of text behind it */
    int64_t uid, gid, seconds;
    uint32_t nanoseconds;
    uint8_t typeflag;
    bool has_sha256;
    uint8_t sha256[VARVE_SHA256_BYTES];
};

struct packing {
    struct varve_item *item;
    size_t room;
    bool no_memory;
};

static uint8_t *put_text(uint8_t *at, struct varve_bytes text) {
    if (text.count) {
        memcpy(at, text.bytes, text.count);
    }
    return at + text.count;
}

static void pack_entry(void *cookie, const struct varve_ladder_entry *entry) {
    struct packing *packing = cookie;
    struct varve_item *item = packing->item;
    size_t wanted = item->entries_bytes + sizeof(struct packed) + entry->path.count +
                    entry->link.count + entry->uname.count + entry->gname.count;
    if (packing->no_memory) {
        return;
    }
    if (wanted > packing->room) {
        size_t room = 2 * packing->room > wanted ? 2 * packing->room : 2 * wanted + 4096;
        uint8_t *grown = realloc(item->entries, room);
        if (!grown) {
            packing->no_memory = true;
            return;
        }
        item->entries = grown;
        packing->room = room;
    }
    struct packed packed = {
        .size = entry->size,
        .mode = entry->mode,
        .path = entry->path.count,
        .link = entry->link.count,
        .uname = entry->uname.count,
        .gname = entry->gname.count,
        .uid = entry->uid,
        .gid = entry->gid,
        .seconds = entry->mtime.seconds,
        .nanoseconds = entry->mtime.nanoseconds,
        .typeflag = entry->typeflag,
        .has_sha256 = entry->has_sha256,
    };
    memcpy(packed.sha256, entry->sha256, sizeof packed.sha256);
    uint8_t *at = item->entries + item->entries_bytes;
    memcpy(at, &packed, sizeof packed);
    at = put_text(at + sizeof packed, entry->path);
    at = put_text(at, entry->link);
    at = put_text(at, entry->uname);
    put_text(at, entry->gname);
    item->entries_bytes = wanted;
    item->entry_count++;
}

bool varve_item_next_entry(const struct varve_item *item, size_t *at,
                           struct varve_ladder_entry *entry) {
    struct packed packed;
    if (*at >= item->entries_bytes) {
        return false;
    }
    memcpy(&packed, item->entries + *at, sizeof packed);
    const uint8_t *text = item->entries + *at + sizeof packed;
    *entry = (struct varve_ladder_entry){
        .path = {text, packed.path},
        .link = {text + packed.path, packed.link},
        .uname = {text + packed.path + packed.link, packed.uname},
        .gname = {text + packed.path + packed.link + packed.uname, packed.gname},
        .typeflag = packed.typeflag,
        .mode = packed.mode,
        .uid = packed.uid,
        .gid = packed.gid,
        .size = packed.size,
        .mtime = {packed.seconds, packed.nanoseconds, true},
        .has_sha256 = packed.has_sha256,
    };
    memcpy(entry->sha256, packed.sha256, sizeof packed.sha256);
    *at += sizeof packed + packed.path + packed.link + packed.uname + packed.gname;
    return true;
}

/* --- items --- */

void varve_item_free(struct varve_item *item) {
    if (!item) {
        return;
    }
    for (size_t i = 0; i < item->finding_count; i++) {
        free(item->findings[i].entry);
    }
    free(item->findings);
    free(item->entries);
    free(item->layers);
    free(item);
}

void varve_items_free(struct varve_item *items) {
    while (items) {
        struct varve_item *next = items->next;
        varve_item_free(items);
        items = next;
    }
}

/* What the claims of whoever refers to the blob have brought is no fact about its bytes. */
static bool is_of_content(int code) {
    return code >= 0 && code != VARVE_CODE_CLAIM_MEDIA_TYPE;
}

static bool copy_findings(struct varve_item *item, const struct varve_findings *findings) {
    size_t count = varve_findings_count(findings);
    item->findings = calloc(count + 1, sizeof *item->findings);
    for (size_t i = 0; i < count && item->findings; i++) {
        struct varve_finding finding = varve_findings_at(findings, i);
        int code = varve_store_code(finding.info->code);
        if (!is_of_content(code)) {
            continue;
        }
        struct varve_item_finding *copy = &item->findings[item->finding_count++];
        *copy = (struct varve_item_finding){code, finding.count, finding.offset, NULL,
                                            finding.entry_bytes};
        if (finding.entry) {
            copy->entry = malloc(finding.entry_bytes + 1);
            if (!copy->entry) {
                return false;
            }
            memcpy(copy->entry, finding.entry, finding.entry_bytes);
        }
        item->bytes += sizeof *copy + finding.entry_bytes;
    }
    return item->findings != NULL;
}

struct varve_item *varve_item_of_layer(const struct varve_layer *layer, size_t blob,
                                       const struct varve_job *job) {
    struct varve_item *item = calloc(1, sizeof *item);
    if (!item) {
        return NULL;
    }
    item->kind = VARVE_ITEM_LAYER;
    item->blob = blob;
    item->layer = *layer;
    item->layer.findings = NULL;
    item->bytes = sizeof *item;
    struct packing packing = {.item = item};
    bool good = layer->cached || copy_findings(item, layer->findings);
    if (good && job && !layer->cached && layer->complete && layer->has_entries) {
        packing.room = 4096;
        packing.no_memory = (item->entries = malloc(packing.room)) == NULL;
        varve_job_each_entry(job, pack_entry, &packing);
    }
    item->bytes += item->entries_bytes;
    if (!good || packing.no_memory) {
        varve_item_free(item);
        return NULL;
    }
    return item;
}

struct varve_item *varve_item_of_image(const struct varve_image *image, enum varve_status status,
                                       const struct varve_image_layer *layers) {
    struct varve_item *item = calloc(1, sizeof *item);
    size_t bytes = image->layer_count * sizeof *layers;
    if (!item || !(item->layers = malloc(bytes + 1))) {
        free(item);
        return NULL;
    }
    item->kind = VARVE_ITEM_IMAGE;
    item->image = *image;
    item->rungs = *image->rungs;
    item->image.rungs = NULL;
    item->status = status;
    if (bytes) {
        memcpy(item->layers, layers, bytes);
    }
    item->bytes = sizeof *item + bytes;
    return item;
}

struct varve_item *varve_item_of_gone(size_t blob) {
    struct varve_item *item = calloc(1, sizeof *item);
    if (item) {
        item->kind = VARVE_ITEM_GONE;
        item->blob = blob;
        item->bytes = sizeof *item;
    }
    return item;
}
