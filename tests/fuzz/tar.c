/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/tar.c - a stream through the tar parser, in one piece with the best kernels and cut
 * small with the scalar ones: the same events, the same data, the same findings, the same fault;
 * and what the header promises of every event.
 *
 * The first two input bytes say how it is cut. Where the first one is even, checksums of blocks
 * that bear a ustar magic are put right beforehand, so that changes reach what lies behind that
 * check. */
#include <string.h>

#include "fuzz.h"
#include "varve/tar.h"

struct outcome {
    uint64_t events; /* FNV-1a of all events but DATA and TRAILER */
    uint64_t data;   /* and of these two's bytes */
    uint64_t entry_count;
    enum varve_tar_event end;
    struct varve_fault fault;
    uint64_t archive_end;
    uint64_t findings;
};

static void mix(uint64_t *hash, const void *bytes, size_t count) {
    const uint8_t *p = bytes;
    for (size_t i = 0; i < count; i++) {
        *hash = (*hash ^ p[i]) * UINT64_C(0x100000001b3);
    }
}

static void mix_number(uint64_t *hash, uint64_t number) {
    mix(hash, &number, sizeof number);
}

static void mix_bytes(uint64_t *hash, struct varve_bytes bytes) {
    MUST(bytes.bytes || bytes.count == 0);
    mix_number(hash, bytes.count);
    mix(hash, bytes.bytes, bytes.count);
}

static void mix_pairs(uint64_t *hash, const struct varve_tar_pair *pairs, size_t count) {
    MUST(pairs || count == 0);
    mix_number(hash, count);
    for (size_t i = 0; i < count; i++) {
        mix_bytes(hash, pairs[i].key);
        mix_bytes(hash, pairs[i].value);
    }
}

static void mix_time(uint64_t *hash, struct varve_tar_time time) {
    MUST(time.nanoseconds < 1000000000);
    mix_number(hash, (uint64_t)time.seconds);
    mix_number(hash, time.nanoseconds);
    mix_number(hash, time.present);
}

static void mix_entry(uint64_t *hash, const struct varve_tar_entry *entry) {
    uint64_t segments_end = 0, stored = 0;
    mix_bytes(hash, entry->path);
    mix_bytes(hash, entry->link);
    mix_bytes(hash, entry->uname);
    mix_bytes(hash, entry->gname);
    const uint64_t numbers[] = {
        entry->typeflag,      entry->raw_typeflag,       entry->mode,
        (uint64_t)entry->uid, (uint64_t)entry->gid,      entry->size,
        entry->stored_bytes,  (uint64_t)entry->devmajor, (uint64_t)entry->devminor,
        entry->sparse,        entry->header_offset,      entry->first_offset,
        entry->data_offset};
    mix(hash, numbers, sizeof numbers);
    mix_time(hash, entry->mtime);
    mix_time(hash, entry->atime);
    mix_time(hash, entry->ctime);
    mix_time(hash, entry->creation);
    mix_pairs(hash, entry->xattrs, entry->xattr_count);
    mix_pairs(hash, entry->records, entry->record_count);
    MUST(entry->sparse || entry->size == entry->stored_bytes);
    MUST(entry->first_offset <= entry->header_offset);
    for (size_t i = 0; i < entry->segment_count; i++) {
        const struct varve_tar_segment *segment = &entry->segments[i];
        MUST(segment->offset >= segments_end && segment->bytes <= entry->size);
        segments_end = segment->offset + segment->bytes;
        stored += segment->bytes;
        mix_number(hash, segment->offset);
        mix_number(hash, segment->bytes);
    }
    MUST(!entry->sparse || (segments_end <= entry->size && stored == entry->stored_bytes));
}

static void mix_findings(uint64_t *hash, const struct varve_findings *findings) {
    for (size_t i = 0; i < varve_findings_count(findings); i++) {
        struct varve_finding finding = varve_findings_at(findings, i);
        mix(hash, finding.info->code, strlen(finding.info->code));
        mix_number(hash, finding.count);
        mix_number(hash, finding.offset);
        mix(hash, finding.entry, finding.entry ? finding.entry_bytes : 0);
    }
}

/* One event; what the entry that is open still has to give is counted down in *left. */
static void take(struct outcome *outcome, uint64_t *left, enum varve_tar_event event,
                 const struct varve_tar_item *item) {
    if (event != VARVE_TAR_DATA && event != VARVE_TAR_TRAILER) {
        mix_number(&outcome->events, event);
    }
    switch (event) {
    case VARVE_TAR_ENTRY:
        mix_entry(&outcome->events, item->entry);
        outcome->entry_count++;
        *left = item->entry->size;
        break;
    case VARVE_TAR_DATA:
        MUST(item->data.count > 0 && item->data.count <= *left);
        mix(&outcome->data, item->data.bytes, item->data.count);
        *left -= item->data.count;
        break;
    case VARVE_TAR_HOLE:
        MUST(item->hole_bytes > 0 && item->hole_bytes <= *left);
        mix_number(&outcome->events, item->hole_bytes);
        *left -= item->hole_bytes;
        break;
    case VARVE_TAR_ENTRY_END:
        MUST(*left == 0);
        break;
    case VARVE_TAR_GLOBAL:
        mix_pairs(&outcome->events, item->global, item->global_count);
        break;
    case VARVE_TAR_TRAILER:
        mix(&outcome->data, item->data.bytes, item->data.count);
        break;
    default:
        break;
    }
}

static struct outcome parse(const uint8_t *data, size_t bytes, size_t most, enum varve_tier tier) {
    struct outcome outcome = {.events = 1, .data = 1, .findings = 1};
    const struct varve_tar_options options = {.tier = tier};
    struct varve_findings *findings = NULL;
    struct varve_tar *tar = NULL;
    struct varve_tar_item item;
    enum varve_tar_event event = VARVE_TAR_INPUT;
    uint64_t left = 0;
    bool settled = false;
    MUST(varve_findings_open(&findings) == VARVE_OK);
    MUST(varve_tar_open(&tar, &options) == VARVE_OK);
    varve_tar_reset(tar, findings);
    for (size_t fed = 0; event == VARVE_TAR_INPUT;) {
        size_t chunk = bytes - fed < most ? bytes - fed : most;
        varve_tar_feed(tar, data + fed, chunk, fed + chunk == bytes);
        while ((event = varve_tar_next(tar, &item)) > VARVE_TAR_INPUT && event < VARVE_TAR_END) {
            take(&outcome, &left, event, &item);
        }
        MUST(event != VARVE_TAR_INPUT || fed + chunk < bytes);
        fed += chunk;
    }
    MUST(varve_tar_next(tar, &item) == event);
    outcome.end = event;
    if (event == VARVE_TAR_FAULT) {
        outcome.fault = varve_tar_fault(tar);
        MUST(outcome.fault.code && outcome.fault.status != VARVE_OK);
        MUST(outcome.fault.offset_decoded <= bytes);
    } else {
        MUST(left == 0);
        outcome.archive_end = varve_tar_archive_end(tar, &settled);
        MUST(outcome.archive_end <= bytes);
    }
    mix_findings(&outcome.findings, findings);
    varve_tar_close(tar);
    varve_findings_close(findings);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 2) {
        return 0;
    }
    size_t stream_bytes = bytes - 2;
    uint8_t *stream = malloc(stream_bytes ? stream_bytes : 1);
    MUST(stream != NULL);
    memcpy(stream, data + 2, stream_bytes);
    if (data[0] % 2 == 0) {
        fuzz_mend_checksums(stream, stream_bytes);
    }
    struct outcome whole = parse(stream, stream_bytes, SIZE_MAX, VARVE_TIER_AUTO);
    struct outcome cut =
        parse(stream, stream_bytes, 1u + data[0] / 2u * 8u + data[1] % 8u, VARVE_TIER_SCALAR);
    MUST(whole.end == cut.end && whole.entry_count == cut.entry_count);
    MUST(whole.events == cut.events && whole.data == cut.data);
    MUST(whole.findings == cut.findings && whole.archive_end == cut.archive_end);
    MUST(whole.fault.code == cut.fault.code);
    MUST(whole.fault.offset_decoded == cut.fault.offset_decoded);
    free(stream);
    return 0;
}
