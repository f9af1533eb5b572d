/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar.c - the tar parser's machine: from chunks to blocks, bodies, content and events. What a
 * block means is read in tar_header.c, tar_pax.c, tar_sparse.c and tar_path.c. */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tar_internal.h"

enum varve_status varve_tar_open(struct varve_tar **tar, const struct varve_tar_options *options) {
    *tar = NULL;
    enum varve_tier tier = options ? options->tier : VARVE_TIER_AUTO;
    if (!varve_tier_may_run(tier)) {
        return VARVE_UNSUPPORTED;
    }
    struct varve_budget *budget = options ? options->budget : NULL;
    if (!varve_budget_take(budget, sizeof **tar)) {
        return VARVE_ERROR;
    }
    *tar = calloc(1, sizeof **tar);
    if (!*tar) {
        varve_budget_give(budget, sizeof **tar);
        return VARVE_ERROR;
    }
    (*tar)->budget = budget;
    (*tar)->kernel = varve_header_row_of(tier);
    return VARVE_OK;
}

static void release(struct varve_tar *tar, void *items, size_t count, size_t item_bytes) {
    free(items);
    varve_budget_give(tar->budget, (uint64_t)count * item_bytes);
}

void varve_tar_close(struct varve_tar *tar) {
    if (!tar) {
        return;
    }
    struct buffer *buffers[] = {&tar->long_name, &tar->long_link, &tar->pax_body, &tar->global_body,
                                &tar->sparse_text};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        release(tar, buffers[i]->bytes, buffers[i]->capacity, 1);
    }
    release(tar, tar->scratch, tar->scratch_capacity, sizeof *tar->scratch);
    release(tar, tar->pairs, tar->pair_capacity, sizeof *tar->pairs);
    release(tar, tar->globals, tar->global_capacity, sizeof *tar->globals);
    release(tar, tar->segments, tar->segment_capacity, sizeof *tar->segments);
    varve_budget_give(tar->budget, sizeof *tar);
    free(tar);
}

/* Makes *tar as after open, but for its memory, budget and kernel. */
void varve_tar_reset(struct varve_tar *tar, struct varve_findings *findings) {
    const size_t begin = offsetof(struct varve_tar, findings);
    tar->long_name.count = tar->long_link.count = tar->pax_body.count = tar->global_body.count =
        tar->sparse_text.count = 0;
    memset((uint8_t *)tar + begin, 0, offsetof(struct varve_tar, block) - begin);
    tar->findings = findings;
}

void varve_tar_feed(struct varve_tar *tar, const void *data, size_t bytes, bool last) {
    assert(tar->in_bytes == 0 && !tar->last);
    assert(data || bytes == 0);
    tar->in = data;
    tar->in_bytes = bytes;
    tar->last = last;
}

struct varve_fault varve_tar_fault(const struct varve_tar *tar) {
    return tar->fault;
}

const struct varve_tar_traits *varve_tar_traits(const struct varve_tar *tar) {
    return &tar->traits;
}

/* True where another header has begun: one is pending, or the block being read is not NUL. */
uint64_t varve_tar_archive_end(const struct varve_tar *tar, bool *settled) {
    /* A global header belongs to nothing that follows: its padding and its event are behind it. */
    bool global =
        tar->extension_type == 'g' && (tar->state == STATE_SKIP || tar->state == STATE_GLOBAL);
    bool begun = (tar->extensions > 0 && !global) || tar->state == STATE_EXTENSION ||
                 tar->state == STATE_CONTINUED || tar->state == STATE_MAP;
    if (!begun && (tar->state == STATE_BLOCK || tar->state == STATE_SECOND) && tar->block_filled) {
        begun = tar->kernel->zeros(tar->block, tar->block_filled) < tar->block_filled;
    }
    *settled = begun;
    return tar->archive_end;
}

void varve_tar_note(struct varve_tar *tar, enum varve_code code, uint64_t offset) {
    for (size_t i = 0; i < tar->note_count; i++) {
        if (tar->notes[i].code == code) {
            tar->notes[i].count++;
            return;
        }
    }
    assert(tar->note_count < NOTES_MAX);
    tar->notes[tar->note_count++] = (struct note){code, 1, offset};
}

static void flush_notes(struct varve_tar *tar, struct varve_bytes path) {
    for (size_t i = 0; i < tar->note_count; i++) {
        varve_findings_add(tar->findings, tar->notes[i].code, tar->notes[i].count,
                           tar->notes[i].offset, path.bytes, path.count);
    }
    tar->note_count = 0;
}

/* Counts a finding of the stream, not of an entry. */
static void found(struct varve_tar *tar, enum varve_code code, uint64_t count, uint64_t offset) {
    varve_findings_add(tar->findings, code, count, offset, NULL, 0);
}

bool varve_tar_fail(struct varve_tar *tar, enum varve_code code, uint64_t offset) {
    flush_notes(tar, (struct varve_bytes){NULL, 0});
    tar->fault = varve_fault_of(code, offset);
    tar->state = STATE_FAULT;
    return false;
}

bool varve_tar_grow(struct varve_tar *tar, void **items, size_t *have, size_t capacity,
                    size_t item_bytes) {
    if (capacity <= *have) {
        return true;
    }
    size_t wanted = 2 * *have > capacity ? 2 * *have : capacity;
    size_t more = (wanted - *have) * item_bytes;
    if (!varve_budget_take(tar->budget, more)) {
        return varve_tar_fail(tar, VARVE_CODE_MEMORY_BUDGET, tar->offset);
    }
    void *grown = realloc(*items, wanted * item_bytes);
    if (!grown) {
        varve_budget_give(tar->budget, more);
        return varve_tar_fail(tar, VARVE_CODE_NO_MEMORY, tar->offset);
    }
    *items = grown;
    *have = wanted;
    return true;
}

bool varve_tar_append(struct varve_tar *tar, struct buffer *buffer, const void *bytes,
                      size_t count) {
    void *grown = buffer->bytes;
    size_t wanted = buffer->count + count;
    if (!varve_tar_grow(tar, &grown, &buffer->capacity, wanted < BLOCK ? BLOCK : wanted, 1)) {
        return false;
    }
    buffer->bytes = grown;
    memcpy(buffer->bytes + buffer->count, bytes, count);
    buffer->count = wanted;
    return true;
}

static void consume(struct varve_tar *tar, size_t bytes) {
    if (bytes == 0) {
        return; /* `in` may be NULL */
    }
    tar->in += bytes;
    tar->in_bytes -= bytes;
    tar->offset += bytes;
}

/* As much of the chunk as `wanted` bytes ask for. */
static size_t available(const struct varve_tar *tar, uint64_t wanted) {
    return wanted < tar->in_bytes ? (size_t)wanted : tar->in_bytes;
}

/* Each step below does one state's work and returns true to go on, false where the caller must be
 * given an event (tar->state says which) or more input is needed. */

/* Fills the block. False where the chunk ends before it does. */
static bool fill_block(struct varve_tar *tar) {
    if (tar->block_filled == 0) {
        tar->block_offset = tar->offset;
    }
    size_t bytes = available(tar, BLOCK - tar->block_filled);
    if (bytes) {
        memcpy(tar->block + tar->block_filled, tar->in, bytes);
    }
    tar->block_filled += bytes;
    consume(tar, bytes);
    if (tar->block_filled < BLOCK) {
        return false;
    }
    tar->block_filled = 0;
    return true;
}

static bool is_zero(const struct varve_header_numbers *numbers) {
    uint64_t any = 0;
    for (size_t i = 0; i < 8; i++) {
        any |= numbers->nonzero[i];
    }
    return any == 0;
}

static bool step_block(struct varve_tar *tar) {
    if (!fill_block(tar)) {
        return false;
    }
    tar->kernel->read(&tar->numbers, tar->block, 1);
    if (is_zero(&tar->numbers)) {
        if (tar->extensions) {
            return varve_tar_fail(tar, VARVE_CODE_TAR_DANGLING, tar->first_offset);
        }
        tar->state = STATE_SECOND;
        return true;
    }
    if (!varve_tar_checksum_holds(&tar->numbers)) {
        enum varve_code code = !tar->any_header         ? VARVE_CODE_TAR_NOT_TAR
                               : tar->after_unused_size ? VARVE_CODE_TAR_DATA_WHERE_NONE
                                                        : VARVE_CODE_TAR_CHECKSUM;
        return varve_tar_fail(tar, code, tar->block_offset);
    }
    return varve_tar_header(tar);
}

static bool step_second(struct varve_tar *tar) {
    if (!fill_block(tar)) {
        return false;
    }
    if (tar->kernel->zeros(tar->block, BLOCK) < BLOCK) {
        return varve_tar_fail(tar, VARVE_CODE_TAR_HIDDEN_MEMBERS, tar->block_offset);
    }
    tar->traits.eoa_blocks = 2;
    tar->zeros_begin = tar->offset;
    tar->state = STATE_ZEROS;
    return true;
}

static bool step_skip(struct varve_tar *tar) {
    size_t bytes = available(tar, tar->extension_padding);
    if (bytes && tar->reads_on) {
        tar->reads_on = false;
        if (tar->in[0]) {
            varve_tar_note(tar, VARVE_CODE_PARSER_DIFFERENTIAL, tar->offset);
        }
    }
    if (bytes && !tar->padding_noted) {
        size_t zeros = tar->kernel->zeros(tar->in, bytes);
        if (zeros < bytes) {
            varve_tar_note(tar, VARVE_CODE_PADDING_NONZERO, tar->offset + zeros);
            tar->padding_noted = true;
        }
    }
    tar->extension_padding -= bytes;
    consume(tar, bytes);
    if (tar->extension_padding) {
        return false;
    }
    tar->state = tar->extension_type == 'g' ? STATE_GLOBAL : STATE_BLOCK;
    return tar->state == STATE_BLOCK;
}

/* What becomes of a long name: its text up to a NUL. */
static void long_name_done(struct varve_tar *tar, const struct buffer *body,
                           struct varve_bytes *name) {
    size_t length = body->count;
    const uint8_t *nul = body->count ? memchr(body->bytes, 0, body->count) : NULL;
    if (nul) {
        length = (size_t)(nul - body->bytes);
    }
    tar->reads_on = !nul; /* GNU tar and Python go on to the first NUL */
    *name = (struct varve_bytes){body->bytes, length};
    if (length == 0) {
        varve_tar_note(tar, VARVE_CODE_GNU_LONG_EMPTY, tar->block_offset);
    } else if (length <= NAME_BYTES) {
        varve_tar_note(tar, VARVE_CODE_GNU_LONG_SHORT, tar->block_offset);
    }
    if (length && length + 1 != body->count) {
        varve_tar_note(tar, VARVE_CODE_GNU_LONG_NUL, tar->block_offset + BLOCK + length);
    }
}

static bool extension_done(struct varve_tar *tar) {
    uint64_t body_offset = tar->block_offset + BLOCK;
    tar->state = STATE_SKIP;
    tar->padding_noted = false;
    tar->reads_on = true; /* for records, in Python's versions since 2024 */
    switch (tar->extension_type) {
    case 'g':
        /* Now, for the padding may come with the next chunk. */
        tar->archive_end = tar->offset;
        return varve_tar_pax_global(tar, body_offset);
    case 'L':
        long_name_done(tar, &tar->long_name, &tar->gnu_path);
        return true;
    case 'K':
        long_name_done(tar, &tar->long_link, &tar->gnu_link);
        return true;
    default:
        return varve_tar_pax(tar, &tar->pax_body, body_offset);
    }
}

static bool step_extension(struct varve_tar *tar) {
    struct buffer *body = tar->extension_type == 'g'   ? &tar->global_body
                          : tar->extension_type == 'L' ? &tar->long_name
                          : tar->extension_type == 'K' ? &tar->long_link
                                                       : &tar->pax_body;
    size_t bytes = available(tar, tar->extension_left);
    /* One byte beyond the limit must really be there before the claim is believed. */
    if (bytes > VARVE_LIMIT_EXTENSION_BYTES - body->count) {
        bool gnu = tar->extension_type == 'L' || tar->extension_type == 'K';
        return varve_tar_fail(tar, gnu ? VARVE_CODE_GNU_LONG_LIMIT : VARVE_CODE_PAX_SIZE_LIMIT,
                              tar->block_offset);
    }
    if (bytes && !varve_tar_append(tar, body, tar->in, bytes)) {
        return false;
    }
    tar->extension_left -= bytes;
    consume(tar, bytes);
    return tar->extension_left == 0 && extension_done(tar);
}

static bool step_continued(struct varve_tar *tar) {
    if (!fill_block(tar)) {
        return false;
    }
    bool more;
    if (!varve_tar_sparse_block(tar, &more)) {
        return false;
    }
    if (more) {
        return true;
    }
    tar->entry.data_offset = tar->offset;
    return varve_tar_sparse_check(tar) && varve_tar_entry_ready(tar);
}

static bool step_map(struct varve_tar *tar) {
    if (!fill_block(tar)) {
        return false;
    }
    bool complete;
    if (!varve_tar_sparse_map(tar, &complete)) {
        return false;
    }
    if (!complete) {
        return true;
    }
    tar->entry.data_offset = tar->offset;
    return varve_tar_sparse_check(tar) && varve_tar_entry_ready(tar);
}

/* ENTRY was given: what follows belongs to its content. */
static void begin_content(struct varve_tar *tar) {
    tar->content_position = 0;
    tar->stored_left = tar->entry.stored_bytes;
    tar->segment_next = 0;
    tar->padding_left = (0 - tar->entry.stored_bytes) & (BLOCK - 1);
    tar->padding_noted = false;
    tar->state = STATE_CONTENT;
}

/* How much of the content lies before the next change between data and hole. */
static uint64_t run_bytes(struct varve_tar *tar, bool *hole) {
    const struct varve_tar_entry *entry = &tar->entry;
    *hole = false;
    if (!entry->sparse) {
        return tar->stored_left;
    }
    while (tar->segment_next < entry->segment_count) {
        const struct varve_tar_segment *segment = &entry->segments[tar->segment_next];
        if (tar->content_position < segment->offset) {
            *hole = true;
            return segment->offset - tar->content_position;
        }
        if (tar->content_position < segment->offset + segment->bytes) {
            return segment->offset + segment->bytes - tar->content_position;
        }
        tar->segment_next++;
    }
    *hole = true;
    return entry->size - tar->content_position;
}

static enum varve_tar_event next_content(struct varve_tar *tar) {
    bool hole;
    uint64_t run = run_bytes(tar, &hole);
    if (run == 0) {
        tar->state = STATE_PADDING;
        return VARVE_TAR_ENTRY_END;
    }
    if (hole) {
        tar->content_position += run;
        tar->item.hole_bytes = run;
        return VARVE_TAR_HOLE;
    }
    size_t bytes = available(tar, run);
    if (bytes == 0) {
        if (tar->last) {
            varve_tar_fail(tar, VARVE_CODE_TAR_TRUNCATED_DATA, tar->offset);
            return VARVE_TAR_FAULT;
        }
        return VARVE_TAR_INPUT;
    }
    tar->item.data = (struct varve_bytes){tar->in, bytes};
    tar->item.data_offset = tar->offset;
    tar->content_position += bytes;
    tar->stored_left -= bytes;
    consume(tar, bytes);
    return VARVE_TAR_DATA;
}

static bool step_padding(struct varve_tar *tar) {
    size_t bytes = available(tar, tar->padding_left);
    if (bytes && !tar->padding_noted) {
        size_t zeros = tar->kernel->zeros(tar->in, bytes);
        if (zeros < bytes) {
            varve_findings_add(tar->findings, VARVE_CODE_PADDING_NONZERO, 1, tar->offset + zeros,
                               tar->entry.path.bytes, tar->entry.path.count);
            tar->padding_noted = true;
        }
    }
    tar->padding_left -= bytes;
    consume(tar, bytes);
    if (tar->padding_left) {
        return false;
    }
    tar->state = STATE_BLOCK;
    return true;
}

static bool step_zeros(struct varve_tar *tar) {
    size_t zeros = tar->in_bytes ? tar->kernel->zeros(tar->in, tar->in_bytes) : 0;
    consume(tar, zeros);
    if (tar->in_bytes == 0) {
        return false;
    }
    if (tar->offset > tar->zeros_begin) {
        found(tar, VARVE_CODE_EOA_PADDING, tar->offset - tar->zeros_begin, tar->zeros_begin);
    }
    /* Is what follows a tar? Its first block, NULs before the first other byte included. */
    memset(tar->block, 0, BLOCK);
    tar->block_filled = (size_t)(tar->offset & (BLOCK - 1));
    tar->block_offset = tar->offset;
    tar->state = STATE_TRAILER;
    return true;
}

static enum varve_tar_event next_trailer(struct varve_tar *tar) {
    if (!tar->trailer_checked) {
        size_t bytes = available(tar, BLOCK - tar->block_filled);
        memcpy(tar->block + tar->block_filled, tar->in, bytes);
        tar->block_filled += bytes;
        if (tar->block_filled == BLOCK) {
            tar->trailer_checked = true;
            tar->block_filled = 0;
            tar->kernel->read(&tar->numbers, tar->block, 1);
            if (varve_tar_checksum_holds(&tar->numbers)) {
                found(tar, VARVE_CODE_EOA_TAR, 1, tar->block_offset & ~(uint64_t)(BLOCK - 1));
            }
        }
    }
    tar->item.data = (struct varve_bytes){tar->in, tar->in_bytes};
    tar->item.data_offset = tar->offset;
    consume(tar, tar->in_bytes);
    return VARVE_TAR_TRAILER;
}

/* The chunk is used up and was the last. */
static void finish(struct varve_tar *tar) {
    switch (tar->state) {
    case STATE_BLOCK:
    case STATE_SECOND:
        if (tar->block_filled) {
            varve_tar_fail(tar,
                           tar->any_header || tar->state == STATE_SECOND
                               ? VARVE_CODE_TAR_TRUNCATED_HEADER
                               : VARVE_CODE_TAR_NOT_TAR,
                           tar->block_offset);
            return;
        }
        if (tar->extensions) {
            varve_tar_fail(tar, VARVE_CODE_TAR_DANGLING, tar->first_offset);
            return;
        }
        if (tar->state == STATE_SECOND) {
            tar->traits.eoa_blocks = 1;
            found(tar, VARVE_CODE_EOA_SINGLE, 1, tar->block_offset);
        } else {
            found(tar, tar->offset ? VARVE_CODE_EOA_MISSING : VARVE_CODE_TAR_EMPTY, 1, tar->offset);
        }
        break;
    case STATE_EXTENSION:
    case STATE_SKIP:
        varve_tar_fail(tar, VARVE_CODE_TAR_TRUNCATED_EXTENSION, tar->offset);
        return;
    case STATE_CONTINUED:
        varve_tar_fail(tar, VARVE_CODE_TAR_TRUNCATED_HEADER, tar->block_offset);
        return;
    case STATE_MAP:
        varve_tar_fail(tar, VARVE_CODE_TAR_TRUNCATED_DATA, tar->offset);
        return;
    case STATE_PADDING:
        varve_findings_add(tar->findings, VARVE_CODE_PADDING_TRUNCATED, 1, tar->offset,
                           tar->entry.path.bytes, tar->entry.path.count);
        found(tar, VARVE_CODE_EOA_MISSING, 1, tar->offset);
        break;
    case STATE_ZEROS:
        if (tar->offset > tar->zeros_begin) {
            found(tar, VARVE_CODE_EOA_PADDING, tar->offset - tar->zeros_begin, tar->zeros_begin);
        }
        break;
    default: /* STATE_TRAILER: the others ask for no input */
        assert(tar->state == STATE_TRAILER);
        found(tar, VARVE_CODE_EOA_DATA, tar->offset - tar->block_offset, tar->block_offset);
        break;
    }
    if (tar->traits.entries == 0 && tar->offset > 0) {
        found(tar, VARVE_CODE_TAR_NO_ENTRIES, 1, 0);
    }
    if (tar->traits.eoa_blocks == 2) {
        tar->traits.eoa_padding = tar->offset - tar->zeros_begin;
    }
    tar->traits.total_bytes = tar->offset;
    tar->state = STATE_END;
}

static bool step(struct varve_tar *tar) {
    switch (tar->state) {
    case STATE_BLOCK:
        return step_block(tar);
    case STATE_SECOND:
        return step_second(tar);
    case STATE_EXTENSION:
        return step_extension(tar);
    case STATE_SKIP:
        return step_skip(tar);
    case STATE_CONTINUED:
        return step_continued(tar);
    case STATE_MAP:
        return step_map(tar);
    case STATE_PADDING:
        return step_padding(tar);
    case STATE_ZEROS:
        return step_zeros(tar);
    default:
        return false;
    }
}

static enum varve_tar_event next_global(struct varve_tar *tar) {
    tar->item.global = tar->globals;
    tar->item.global_count = tar->global_count;
    flush_notes(tar, (struct varve_bytes){NULL, 0});
    tar->extensions = 0;
    tar->state = STATE_BLOCK;
    return VARVE_TAR_GLOBAL;
}

static enum varve_tar_event next_entry(struct varve_tar *tar) {
    flush_notes(tar, tar->entry.path);
    tar->archive_end = tar->entry.data_offset + tar->entry.stored_bytes;
    begin_content(tar);
    return VARVE_TAR_ENTRY;
}

enum varve_tar_event varve_tar_next(struct varve_tar *tar, struct varve_tar_item *item) {
    enum varve_tar_event event = VARVE_TAR_INPUT;
    for (;;) {
        while (step(tar)) {
        }
        tar->item = (struct varve_tar_item){.entry = &tar->entry};
        if (tar->state == STATE_GLOBAL) {
            event = next_global(tar);
        } else if (tar->state == STATE_ENTRY) {
            event = next_entry(tar);
        } else if (tar->state == STATE_CONTENT) {
            event = next_content(tar);
        } else if (tar->state == STATE_TRAILER && tar->in_bytes) {
            event = next_trailer(tar);
        } else if (tar->state == STATE_END) {
            event = VARVE_TAR_END;
        } else if (tar->state == STATE_FAULT) {
            tar->in_bytes = 0;
            event = VARVE_TAR_FAULT;
        } else if (tar->last) {
            finish(tar);
            continue;
        }
        *item = tar->item;
        return event;
    }
}
