/* SPDX-License-Identifier: Apache-2.0 */
/* src/diff_stream.c - what differs around the entries: findings, global headers, padding, the end
 * of the archive, compression. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "diff_internal.h"
#include "file.h"

bool varve_diff_rung_equals(const struct varve_diff *diff, enum varve_rung rung) {
    return diff->verdict.meet <= rung;
}

/* The difference whose fields are made; where memory ran out for one, that is said in the end. */
static void tell(const struct varve_diff *diff, enum varve_diff_kind kind, enum varve_rung rung,
                 diff_each_fn *each, void *cookie) {
    struct varve_difference difference = {
        .kind = kind, .rung = rung, .fields = diff->fields, .field_count = diff->field_count};
    if (diff->field_count && !diff->fields_lost) {
        each(cookie, &difference);
    }
}

/* Whether a station went as far as the bytes do: to their end, or to where they are bad. */
static bool went_through(struct varve_fault fault) {
    return !fault.code || fault.status == VARVE_MALFORMED || fault.status == VARVE_MISMATCH;
}

/* Findings of a side of which all was looked at; of half a layer they would be too few. */
static const struct varve_findings *findings_of(const struct varve_diff *diff, unsigned number) {
    const struct diff_side *side = &diff->sides[number];
    const struct varve_layer *layer = varve_job_layer(side->job);
    bool all = layer->complete && went_through(varve_decoder_fault(varve_job_decoder(side->job))) &&
               went_through(varve_tar_fault(varve_job_tar(side->job))) &&
               went_through(varve_ladder_fault(side->ladder));
    return all ? layer->findings : NULL;
}

void varve_diff_each_finding(struct varve_diff *diff, diff_each_fn *each, void *cookie) {
    const struct varve_findings *sides[2] = {findings_of(diff, 0), findings_of(diff, 1)};
    size_t counts[2], at[2] = {0, 0};
    if (!sides[0] || !sides[1]) {
        return;
    }
    counts[0] = varve_findings_count(sides[0]);
    counts[1] = varve_findings_count(sides[1]);
    /* Both in the order of the table of codes. */
    while (at[0] < counts[0] || at[1] < counts[1]) {
        struct varve_finding found[2] = {{.info = NULL}, {.info = NULL}};
        const struct varve_code_info *info = NULL;
        for (unsigned i = 0; i < 2; i++) {
            if (at[i] < counts[i]) {
                found[i] = varve_findings_at(sides[i], at[i]);
                info = !info || found[i].info < info ? found[i].info : info;
            }
        }
        /* That order means something on one side can be all that makes an order differ. */
        bool order = info == varve_code_at(VARVE_CODE_ORDER_SIGNIFICANT) &&
                     diff->verdict.entries_compared && diff->verdict.facets_moved;
        struct varve_difference difference = {.kind = VARVE_DIFF_FINDING,
                                              .rung = order ? varve_diff_order_depth(diff)
                                                            : VARVE_RUNG_COUNT,
                                              .facets = order ? diff->verdict.facets_moved : 0,
                                              .finding = info};
        for (unsigned i = 0; i < 2; i++) {
            if (found[i].info == info) {
                difference.count[i] = found[i].count;
                at[i]++;
            }
        }
        if (difference.count[0] != difference.count[1]) {
            each(cookie, &difference);
        }
    }
}

/* The pairs of a global record, as a list of a record; nothing where it has none. */
static struct varve_bytes global_pairs(const struct diff_side *side,
                                       const struct diff_global *global) {
    if (!global || global->record == SIZE_MAX) {
        return (struct varve_bytes){NULL, 0};
    }
    const struct global_record *record = &side->ladder->globals[global->record];
    return (struct varve_bytes){record->bytes + 8, record->count - 8};
}

/* Where header blocks were not kept: what the ladder has of global headers, by their turn. */
static void each_global_record(struct varve_diff *diff, diff_each_fn *each, void *cookie) {
    const struct varve_ladder *ladders[2] = {diff->sides[0].ladder, diff->sides[1].ladder};
    for (size_t i = 0; i < ladders[0]->global_count || i < ladders[1]->global_count; i++) {
        struct varve_bytes pairs[2];
        for (unsigned s = 0; s < 2; s++) {
            const struct diff_global global = {.record =
                                                   i < ladders[s]->global_count ? i : SIZE_MAX};
            pairs[s] = global_pairs(&diff->sides[s], &global);
        }
        varve_diff_begin_fields(diff);
        varve_diff_pairs(diff, "record", pairs[0], pairs[1], true);
        tell(diff, VARVE_DIFF_GLOBAL, VARVE_RUNG_TIMES, each, cookie);
    }
}

void varve_diff_each_global(struct varve_diff *diff, diff_each_fn *each, void *cookie) {
    const struct diff_side *sides = diff->sides;
    if (!sides[0].entries_known || !sides[1].entries_known) {
        return;
    }
    if (!diff->verdict.headers_compared) {
        each_global_record(diff, each, cookie);
        return;
    }
    for (size_t i = 0; i < sides[0].global_count || i < sides[1].global_count; i++) {
        const struct diff_global *globals[2];
        struct varve_bytes pairs[2];
        for (unsigned s = 0; s < 2; s++) {
            globals[s] = i < sides[s].global_count ? &sides[s].globals[i] : NULL;
            pairs[s] = global_pairs(&sides[s], globals[s]);
        }
        varve_diff_begin_fields(diff);
        enum varve_rung rung = VARVE_RUNG_ARCHIVE;
        if (varve_diff_pairs(diff, "record", pairs[0], pairs[1], true)) {
            rung = VARVE_RUNG_TIMES;
        } else if (globals[0] && globals[1]) {
            if (globals[0]->before != globals[1]->before) {
                rung = pairs[0].count || pairs[1].count ? VARVE_RUNG_ENCODING : VARVE_RUNG_ARCHIVE;
                varve_diff_number(diff, "entries before it", globals[0]->before,
                                  globals[1]->before);
            }
            varve_diff_headers(diff, &globals[0]->raw, &globals[1]->raw, 0);
        } else {
            unsigned side = globals[0] ? 0 : 1;
            struct varve_diff_field *field = varve_diff_add_field(diff, "global", "present");
            varve_diff_set(field, side, diff_of("a global header"));
            if (field && globals[side]) {
                field->offset[side] = globals[side]->raw.offset;
            }
        }
        tell(diff, VARVE_DIFF_GLOBAL, rung, each, cookie);
    }
}

/* The odd padding of an entry, from *at on, which moves; NULL: it has none. */
static const struct diff_padding *padding_of(const struct diff_side *side, uint32_t entry) {
    size_t low = 0, high = side->padding_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (side->paddings[middle].entry < entry) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < side->padding_count && side->paddings[low].entry == entry;
    return found ? &side->paddings[low] : NULL;
}

/* Where an entry is the last and nothing but the end follows, its padding is the end's matter. */
static enum varve_rung padding_rung(const struct diff_side *side, uint32_t entry) {
    const struct diff_global *last =
        side->global_count ? &side->globals[side->global_count - 1] : NULL;
    bool behind = last && last->before > entry;
    return entry + 1 == side->count && !behind ? VARVE_RUNG_DIFFID : VARVE_RUNG_ARCHIVE;
}

static void tell_padding(struct varve_diff *diff, const struct diff_padding *left,
                         const struct diff_padding *right, diff_each_fn *each, void *cookie) {
    const struct diff_padding *sides[2] = {left, right};
    struct varve_difference difference = {
        .kind = VARVE_DIFF_PADDING,
        .rung = left ? padding_rung(&diff->sides[0], left->entry)
                     : padding_rung(&diff->sides[1], right->entry),
    };
    varve_diff_begin_fields(diff);
    struct varve_diff_field *field = varve_diff_add_field(diff, NULL, "padding");
    for (unsigned i = 0; i < 2; i++) {
        if (sides[i] && field) {
            size_t zeros = 0;
            while (zeros < sides[i]->count && sides[i]->bytes[zeros] == 0) {
                zeros++;
            }
            field->offset[i] = sides[i]->offset + zeros;
            varve_diff_set(field, i, (struct varve_bytes){sides[i]->bytes, sides[i]->count});
        }
        if (sides[i] && sides[i]->entry < diff->sides[i].count) {
            varve_diff_fill_entry(diff, &diff->entries[i], i, sides[i]->entry);
            difference.entry[i] = &diff->entries[i];
        }
    }
    difference.fields = diff->fields;
    difference.field_count = diff->field_count;
    if (!diff->fields_lost) {
        each(cookie, &difference);
    }
}

void varve_diff_each_padding(struct varve_diff *diff, diff_each_fn *each, void *cookie) {
    const struct diff_side *left = &diff->sides[0];
    const struct diff_side *right = &diff->sides[1];
    if (!left->entries_known || !right->entries_known || !diff->verdict.headers_compared) {
        return;
    }
    /* Those of the left side with their partners', then those that the right side alone has. */
    for (size_t i = 0; i < left->padding_count; i++) {
        const struct diff_padding *mine = &left->paddings[i];
        uint32_t partner = mine->entry < left->count ? left->partner[mine->entry] : LADDER_NONE;
        const struct diff_padding *other =
            partner == LADDER_NONE ? NULL : padding_of(right, partner);
        if (other && mine->count == other->count &&
            memcmp(mine->bytes, other->bytes, mine->count) == 0) {
            continue;
        }
        tell_padding(diff, mine, other, each, cookie);
    }
    for (size_t i = 0; i < right->padding_count; i++) {
        const struct diff_padding *mine = &right->paddings[i];
        uint32_t partner = mine->entry < right->count ? right->partner[mine->entry] : LADDER_NONE;
        if (partner == LADDER_NONE || !padding_of(left, partner)) {
            tell_padding(diff, NULL, mine, each, cookie);
        }
    }
}

void varve_diff_trailer(struct varve_diff *diff, diff_each_fn *each, void *cookie) {
    const struct varve_ladder *ladders[2] = {diff->sides[0].ladder, diff->sides[1].ladder};
    const struct diff_side *sides = diff->sides;
    if (!sides[0].whole || !sides[1].whole || (!ladders[0]->trailer && !ladders[1]->trailer) ||
        (ladders[0]->trailer && ladders[1]->trailer &&
         memcmp(ladders[0]->trailer_record, ladders[1]->trailer_record,
                VARVE_TRAILER_RECORD_BYTES) == 0)) {
        return;
    }
    varve_diff_begin_fields(diff);
    struct varve_diff_field *field = varve_diff_add_field(diff, NULL, "trailer");
    for (unsigned i = 0; i < 2; i++) {
        if (ladders[i]->trailer && field) {
            static const char digits[] = "0123456789abcdef";
            char hex[2 * VARVE_SHA256_BYTES + 1] = "";
            for (size_t k = 0; k < VARVE_SHA256_BYTES; k++) {
                hex[2 * k] = digits[ladders[i]->trailer_digest[k] >> 4];
                hex[2 * k + 1] = digits[ladders[i]->trailer_digest[k] & 15];
            }
            field->offset[i] = sides[i].trailer_offset;
            varve_diff_set(field, i,
                           varve_diff_text(diff, "%" PRIu64 " bytes, sha256 %s",
                                           ladders[i]->trailer_bytes, hex));
        }
    }
    tell(diff, VARVE_DIFF_TRAILER, VARVE_RUNG_TIMES, each, cookie);
}

/* Bytes behind the last content byte, the trailer left out. */
static uint64_t bytes_behind(const struct diff_side *side) {
    bool settled = false;
    uint64_t end = varve_tar_archive_end(varve_job_tar(side->job), &settled);
    uint64_t all = varve_job_layer(side->job)->bytes_decoded;
    return all > end + side->trailer_bytes ? all - end - side->trailer_bytes : 0;
}

void varve_diff_end(struct varve_diff *diff, diff_each_fn *each, void *cookie) {
    const struct diff_side *sides = diff->sides;
    uint64_t blocks[2], padding[2], behind[2];
    if (!sides[0].whole || !sides[1].whole || varve_diff_rung_equals(diff, VARVE_RUNG_DIFFID)) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct varve_tar_traits *traits = varve_tar_traits(varve_job_tar(sides[i].job));
        blocks[i] = traits->eoa_blocks;
        padding[i] = traits->eoa_padding - sides[i].trailer_bytes;
        behind[i] = bytes_behind(&sides[i]);
    }
    varve_diff_begin_fields(diff);
    varve_diff_number(diff, "end-of-archive blocks", blocks[0], blocks[1]);
    varve_diff_number(diff, "NUL bytes behind them", padding[0], padding[1]);
    if (!diff->field_count && varve_diff_rung_equals(diff, VARVE_RUNG_ARCHIVE)) {
        varve_diff_number(diff, "bytes behind the last content", behind[0], behind[1]);
    }
    tell(diff, VARVE_DIFF_END, VARVE_RUNG_DIFFID, each, cookie);
}

/* --- compression --- */

enum { FTEXT = 1, FHCRC = 2, FEXTRA = 4, FNAME = 8, FCOMMENT = 16 };

/* A gzip member's header (RFC 1952), as far as the blob's first bytes hold it. */
struct gzip_head {
    bool known;
    uint8_t flags, xfl, os;
    uint32_t mtime;
    struct varve_bytes extra, name, comment;
    uint64_t extra_at, name_at, comment_at;
};

/* Text up to a NUL at *at, or what there is of it. */
static struct varve_bytes head_text(const struct diff_side *side, size_t *at) {
    const uint8_t *begin = side->head + *at;
    size_t left = side->head_bytes - *at;
    const uint8_t *nul = left ? memchr(begin, 0, left) : NULL;
    size_t count = nul ? (size_t)(nul - begin) : left;
    *at += nul ? count + 1 : count;
    return (struct varve_bytes){begin, count};
}

static struct gzip_head read_gzip(const struct diff_side *side) {
    struct gzip_head head = {.known = false};
    const uint8_t *bytes = side->head;
    size_t at = 10;
    if (side->head_bytes < at) {
        return head;
    }
    head.known = true;
    head.flags = bytes[3];
    head.mtime = varve_load_u32(bytes + 4);
    head.xfl = bytes[8];
    head.os = bytes[9];
    if (head.flags & FEXTRA && side->head_bytes - at >= 2) {
        size_t count = bytes[at] | (size_t)bytes[at + 1] << 8;
        size_t left = side->head_bytes - at - 2;
        head.extra_at = at + 2;
        head.extra = (struct varve_bytes){bytes + at + 2, count < left ? count : left};
        at += 2 + head.extra.count;
    }
    if (head.flags & FNAME) {
        head.name_at = at;
        head.name = head_text(side, &at);
    }
    if (head.flags & FCOMMENT) {
        head.comment_at = at;
        head.comment = head_text(side, &at);
    }
    return head;
}

static void put_header_number(struct varve_diff *diff, const char *name, uint64_t left,
                              uint64_t right, uint64_t offset) {
    size_t before = diff->field_count;
    varve_diff_number(diff, name, left, right);
    if (diff->field_count > before) {
        struct varve_diff_field *field = &diff->fields[before];
        field->offset[0] = field->offset[1] = offset;
    }
}

static void put_header_text(struct varve_diff *diff, const char *name, const bool has[2],
                            const struct varve_bytes values[2], const uint64_t offsets[2]) {
    if (has[0] == has[1] && diff_same(values[0], values[1])) {
        return;
    }
    struct varve_diff_field *field = varve_diff_add_field(diff, NULL, name);
    for (unsigned i = 0; i < 2; i++) {
        if (has[i] && field) {
            varve_diff_set(field, i, values[i]);
            field->offset[i] = offsets[i];
        }
    }
}

static void compare_gzip(struct varve_diff *diff) {
    struct gzip_head a = read_gzip(&diff->sides[0]);
    struct gzip_head b = read_gzip(&diff->sides[1]);
    if (!a.known || !b.known) {
        return;
    }
    put_header_number(diff, "gzip FLG", a.flags, b.flags, 3);
    put_header_number(diff, "gzip MTIME", a.mtime, b.mtime, 4);
    put_header_number(diff, "gzip XFL", a.xfl, b.xfl, 8);
    put_header_number(diff, "gzip OS", a.os, b.os, 9);
    const struct {
        const char *name;
        uint8_t flag;
        struct varve_bytes values[2];
        uint64_t offsets[2];
    } texts[] = {
        {"gzip FEXTRA", FEXTRA, {a.extra, b.extra}, {a.extra_at, b.extra_at}},
        {"gzip FNAME", FNAME, {a.name, b.name}, {a.name_at, b.name_at}},
        {"gzip FCOMMENT", FCOMMENT, {a.comment, b.comment}, {a.comment_at, b.comment_at}},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const bool has[2] = {a.flags & texts[i].flag, b.flags & texts[i].flag};
        put_header_text(diff, texts[i].name, has, texts[i].values, texts[i].offsets);
    }
}

/* A zstd frame's header (RFC 8878, 3.1.1.1) at the blob's beginning, or behind skippable frames. */
struct zstd_head {
    bool known;
    uint64_t at;
    bool single, sized, checksum;
    uint64_t window, content;
};

static uint64_t little_endian(const uint8_t *bytes, size_t count) {
    uint64_t value = 0;
    for (size_t i = count; i-- > 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static struct zstd_head read_zstd(const struct diff_side *side) {
    static const uint8_t id_sizes[] = {0, 1, 2, 4};
    static const uint8_t content_sizes[] = {0, 2, 4, 8};
    struct zstd_head head = {.known = false};
    size_t at = 0;
    while (side->head_bytes - at >= 8 && (side->head[at] & 0xf0) == 0x50 &&
           side->head[at + 1] == 0x2a) {
        uint64_t skip = 8 + little_endian(side->head + at + 4, 4);
        if (skip > side->head_bytes - at) {
            return head;
        }
        at += (size_t)skip;
    }
    if (side->head_bytes - at < 18) {
        return head;
    }
    const uint8_t *field = side->head + at + 4;
    uint8_t descriptor = *field++;
    head = (struct zstd_head){.known = true,
                              .at = at,
                              .single = descriptor & 0x20,
                              .sized = descriptor & 0x20 || descriptor >> 6,
                              .checksum = descriptor & 4};
    if (!head.single) {
        uint64_t base = UINT64_C(1024) << (*field >> 3);
        head.window = base + base / 8 * (*field++ & 7);
    }
    field += id_sizes[descriptor & 3];
    size_t bytes = content_sizes[descriptor >> 6];
    bytes = head.single && !bytes ? 1 : bytes;
    head.content = little_endian(field, bytes) + (bytes == 2 ? 256 : 0);
    if (head.single) {
        head.window = head.content;
    }
    return head;
}

static void put_flag(struct varve_diff *diff, const char *name, bool left, bool right) {
    if (left != right) {
        struct varve_diff_field *field = varve_diff_add_field(diff, NULL, name);
        varve_diff_set(field, 0, diff_of(left ? "yes" : "no"));
        varve_diff_set(field, 1, diff_of(right ? "yes" : "no"));
    }
}

static void compare_zstd(struct varve_diff *diff) {
    struct zstd_head a = read_zstd(&diff->sides[0]);
    struct zstd_head b = read_zstd(&diff->sides[1]);
    if (!a.known || !b.known) {
        return;
    }
    put_flag(diff, "zstd single segment", a.single, b.single);
    put_flag(diff, "zstd content checksum", a.checksum, b.checksum);
    put_flag(diff, "zstd content size given", a.sized, b.sized);
    if (a.sized && b.sized) {
        varve_diff_number(diff, "zstd content size", a.content, b.content);
    }
    varve_diff_number(diff, "zstd window", a.window, b.window);
}

/* The first stored byte that differs, of blobs that hold the same; both can be read again. */
static void compare_bytes(struct varve_diff *diff) {
    enum { PIECE = 16384 };
    const struct diff_side *sides = diff->sides;
    uint8_t room[2 * PIECE];
    uint64_t at = 0;
    while (sides[0].seekable && sides[1].seekable) {
        int64_t got[2];
        for (unsigned i = 0; i < 2; i++) {
            uint64_t left = sides[i].given.bytes - at;
            size_t want = left < PIECE ? (size_t)left : (size_t)PIECE;
            got[i] = varve_file_fill(sides[i].given.fd, true, room + (size_t)i * PIECE, want,
                                     sides[i].given.offset + at);
        }
        int64_t both = got[0] < got[1] ? got[0] : got[1];
        if (both < 0) {
            struct varve_diff_field *field = varve_diff_add_field(diff, NULL, "first stored byte");
            varve_diff_set(field, 0, diff_of("could not be read"));
            varve_diff_set(field, 1, diff_of("could not be read"));
            break;
        }
        size_t same = 0;
        while (same < (size_t)both && room[same] == room[PIECE + same]) {
            same++;
        }
        if (same < (size_t)both || got[0] != got[1] || both == 0) {
            struct varve_diff_field *field = varve_diff_add_field(diff, NULL, "first stored byte");
            for (unsigned i = 0; i < 2; i++) {
                if (field && same < (size_t)got[i]) {
                    varve_diff_set(field, i,
                                   varve_diff_text(diff, "0x%02x", room[(size_t)i * PIECE + same]));
                    field->offset[i] = at + same;
                }
            }
            break;
        }
        at += (uint64_t)both;
    }
}

static void put_texts(struct varve_diff *diff, const char *name, const char *left,
                      const char *right) {
    if (left && right && strcmp(left, right) != 0) {
        struct varve_diff_field *field = varve_diff_add_field(diff, NULL, name);
        varve_diff_set(field, 0, diff_of(left));
        varve_diff_set(field, 1, diff_of(right));
    }
}

void varve_diff_compression(struct varve_diff *diff, diff_each_fn *each, void *cookie) {
    const struct varve_layer *layers[2] = {varve_job_layer(diff->sides[0].job),
                                           varve_job_layer(diff->sides[1].job)};
    if (!layers[0]->complete || !layers[1]->complete ||
        varve_diff_rung_equals(diff, VARVE_RUNG_BLOB)) {
        return;
    }
    struct varve_decode_info a = varve_decoder_info(varve_job_decoder(diff->sides[0].job));
    struct varve_decode_info b = varve_decoder_info(varve_job_decoder(diff->sides[1].job));
    varve_diff_begin_fields(diff);
    put_texts(diff, "compression", varve_compression_name(a.compression),
              varve_compression_name(b.compression));
    bool counted = went_through(varve_decoder_fault(varve_job_decoder(diff->sides[0].job))) &&
                   went_through(varve_decoder_fault(varve_job_decoder(diff->sides[1].job)));
    if (a.compression == b.compression && a.compression == VARVE_COMPRESSION_GZIP) {
        if (counted) {
            varve_diff_number(diff, "gzip members", a.member_count, b.member_count);
        }
        compare_gzip(diff);
    } else if (a.compression == b.compression && a.compression == VARVE_COMPRESSION_ZSTD) {
        if (counted) {
            varve_diff_number(diff, "zstd frames", a.member_count, b.member_count);
            varve_diff_number(diff, "zstd skippable frames", a.skippable_count, b.skippable_count);
        }
        compare_zstd(diff);
    }
    if (a.compression != VARVE_COMPRESSION_NONE && b.compression != VARVE_COMPRESSION_NONE) {
        put_texts(diff, "encoder", a.encoder, b.encoder);
        put_texts(diff, "evidence", a.encoder_evidence, b.encoder_evidence);
    }
    if (varve_diff_rung_equals(diff, VARVE_RUNG_DIFFID)) {
        varve_diff_number(diff, "stored size", layers[0]->bytes_stored, layers[1]->bytes_stored);
        compare_bytes(diff);
        if (!diff->field_count) {
            struct varve_diff_field *field = varve_diff_add_field(diff, NULL, "stored bytes");
            varve_diff_set(field, 0, diff_of("differ"));
            varve_diff_set(field, 1, diff_of("differ"));
        }
    }
    tell(diff, VARVE_DIFF_COMPRESSION, VARVE_RUNG_BLOB, each, cookie);
}
