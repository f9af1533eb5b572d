/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/diff_text.c - two layers' differences for people: the verdict (diff_verdict.c), then why.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "diff.h"
#include "safe.h"

/* --- words on a terminal --- */

void diff_paint(const struct diff_view *view, int color) {
    static const char *const codes[] = {"\033[0m", "\033[1m", "\033[31m", "\033[32m", "\033[33m"};
    if (view->color) {
        fputs(codes[color], stdout);
    }
}

/* Bytes of strangers on a line: what safe.h escapes is, and what stands for itself only here; what
 * is long is cut. */
enum { VALUE_SHOWN = 96 };

void diff_put_bytes(const void *from, size_t count) {
    const uint8_t *bytes = from;
    size_t shown = count <= VALUE_SHOWN + 16 ? count : VALUE_SHOWN;
    for (size_t i = 0; i < shown;) {
        size_t run = 0;
        while (i + run < shown && bytes[i + run] == 0) {
            run++;
        }
        if (run > 2) {
            printf("\\0*%zu", run);
            i += run;
            continue;
        }
        uint8_t byte = bytes[i];
        size_t length = safe_length(bytes + i, count - i);
        bool edge = byte == ' ' && (i == 0 || i + 1 == count);
        if (byte == 0) {
            fputs("\\0", stdout);
        } else if (edge || byte == '\\' || !length) {
            printf("\\x%02x", byte);
        } else {
            fwrite(bytes + i, 1, length, stdout);
        }
        i += length ? length : 1;
    }
    if (shown < count) {
        printf("... (%zu bytes)", count);
    }
}

static bool is_text(struct varve_bytes value) {
    for (size_t i = 0; i < value.count; i++) {
        if (value.bytes[i] < 0x20 || value.bytes[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is(struct varve_bytes text, const char *word) {
    return text.count == strlen(word) && memcmp(text.bytes, word, text.count) == 0;
}

/* A value by its meaning: capabilities by name, other binary ones in hex. */
static void put_meaning(const struct varve_diff_field *field, unsigned side) {
    struct varve_bytes value = field->value[side];
    char text[1024];
    if (is(field->key, "security.capability") &&
        capability_text(text, sizeof text, value.bytes, value.count)) {
        fputs(text, stdout);
    } else if (is_text(value) || field->offset[side] != VARVE_NO_OFFSET) {
        diff_put_bytes(value.bytes, value.count);
    } else {
        size_t shown = value.count < 32 ? value.count : 32;
        fputs("0x", stdout);
        for (size_t i = 0; i < shown; i++) {
            printf("%02x", value.bytes[i]);
        }
        if (shown < value.count) {
            printf("... (%zu bytes)", value.count);
        }
    }
}

/* How many NULs and spaces both end with. */
static size_t common_end(struct varve_bytes a, struct varve_bytes b) {
    size_t n = 0;
    while (n < a.count && n < b.count && a.bytes[a.count - 1 - n] == b.bytes[b.count - 1 - n] &&
           (a.bytes[a.count - 1 - n] == 0 || a.bytes[a.count - 1 - n] == ' ')) {
        n++;
    }
    return n;
}

static void put_values(const struct varve_diff_field *field) {
    struct varve_diff_field shown = *field;
    /* What ends both says nothing of the difference. */
    if (field->part && field->has[0] && field->has[1]) {
        size_t common = common_end(shown.value[0], shown.value[1]);
        shown.value[0].count -= common;
        shown.value[1].count -= common;
    }
    for (unsigned i = 0; i < 2; i++) {
        fputs(i ? " / " : "", stdout);
        if (!shown.has[i]) {
            fputs("(none)", stdout);
        } else if (shown.value[i].count == 0) {
            fputs(field->part ? "\\0" : "(empty)", stdout);
        } else {
            put_meaning(&shown, i);
        }
    }
}

/* Offsets as cmp counts them: from 1. */
static void put_offsets(const struct varve_diff_field *field) {
    const uint64_t *offset = field->offset;
    if (offset[0] == VARVE_NO_OFFSET && offset[1] == VARVE_NO_OFFSET) {
        return;
    }
    fputs("offset ", stdout);
    if (offset[0] != VARVE_NO_OFFSET) {
        printf("%" PRIu64, offset[0] + 1);
    }
    if (offset[0] != offset[1]) {
        fputs(offset[0] == VARVE_NO_OFFSET ? "- / " : " / ", stdout);
        if (offset[1] == VARVE_NO_OFFSET) {
            putchar('-');
        } else {
            printf("%" PRIu64, offset[1] + 1);
        }
    }
    fputs(", ", stdout);
}

static void put_field(const struct diff_view *view, const struct varve_diff_field *field) {
    printf("%s      ", view->indent);
    put_offsets(field);
    if (field->part && strcmp(field->part, "header") != 0 &&
        strcmp(field->part, "pax record") != 0) {
        printf("%s ", field->part);
    }
    if (field->part && strcmp(field->part, "pax record") == 0) {
        fputs("pax record", stdout);
    } else if (field->part && strcmp(field->name, "present") == 0) {
        fputs(strcmp(field->part, "sparse map") == 0 ? "" : "header", stdout);
    } else {
        fputs(field->name, stdout);
    }
    if (field->key.count) {
        putchar(' ');
        diff_put_bytes(field->key.bytes, field->key.count);
    }
    fputs(": ", stdout);
    put_values(field);
    putchar('\n');
}

/* --- sections --- */

static const struct {
    const char *title;
    char mark;
    int color;
} sections[VARVE_DIFF_KIND_COUNT] = {
    [VARVE_DIFF_SECURITY] = {"setuid, setgid or sticky bits, or capabilities", '!', RED},
    [VARVE_DIFF_FINDING] = {"findings", ' ', PLAIN},
    [VARVE_DIFF_REMOVED] = {"entries on the left alone", '-', RED},
    [VARVE_DIFF_ADDED] = {"entries on the right alone", '+', GREEN},
    [VARVE_DIFF_CHANGED] = {"entries changed", '~', YELLOW},
    [VARVE_DIFF_LINK] = {"hard links given otherwise", '&', YELLOW},
    [VARVE_DIFF_MOVED] = {"entries moved", '>', YELLOW},
    [VARVE_DIFF_GLOBAL] = {"global headers", ' ', PLAIN},
    [VARVE_DIFF_HEADER] = {"headers written otherwise", '=', PLAIN},
    [VARVE_DIFF_PADDING] = {"padding that is not NULs", ' ', PLAIN},
    [VARVE_DIFF_TRAILER] = {"behind the end of the archive", ' ', PLAIN},
    [VARVE_DIFF_END] = {"end of archive", ' ', PLAIN},
    [VARVE_DIFF_COMPRESSION] = {"compression", ' ', PLAIN},
};

/* Fields of one kind by name and how often each differs. */
enum { NAMES_COUNTED = 64 };
struct tally {
    uint64_t all;
    uint64_t deepest[VARVE_RUNG_COUNT + 1];
    const char *names[NAMES_COUNTED];
    const char *parts[NAMES_COUNTED];
    uint64_t counts[NAMES_COUNTED];
    size_t name_count;
};

static void count_field(struct tally *tally, const struct varve_diff_field *field) {
    for (size_t i = 0; i < tally->name_count; i++) {
        if (strcmp(tally->names[i], field->name) == 0 && tally->parts[i] == field->part) {
            tally->counts[i]++;
            return;
        }
    }
    if (tally->name_count < NAMES_COUNTED) {
        tally->names[tally->name_count] = field->name;
        tally->parts[tally->name_count] = field->part;
        tally->counts[tally->name_count++] = 1;
    }
}

static void count(void *cookie, const struct varve_difference *difference) {
    struct tally *tally = cookie;
    tally->all++;
    for (size_t i = 0; i < difference->field_count; i++) {
        count_field(tally, &difference->fields[i]);
    }
}

static void put_entry_words(const struct varve_diff_entry *entry) {
    static const struct {
        unsigned mark;
        const char *word;
    } words[] = {{VARVE_DIFF_WHITEOUT, "whiteout"},
                 {VARVE_DIFF_OPAQUE, "opaque whiteout"},
                 {VARVE_DIFF_TOC, "added by eStargz"},
                 {VARVE_DIFF_DUPLICATE, "path given more than once"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (entry->marks & words[i].mark) {
            printf(" [%s]", words[i].word);
        }
    }
}

static const char *type_name(uint8_t typeflag) {
    static const char *const names[] = {
        "file",         "hard link", "symbolic link", "character device",
        "block device", "directory", "fifo"};
    return typeflag >= '0' && typeflag <= '6' ? names[typeflag - '0'] : "GNU entry";
}

static void put_path(struct varve_bytes path) {
    if (path.count) {
        diff_put_bytes(path.bytes, path.count);
    } else {
        fputs("./", stdout);
    }
}

/* What a name of a hard link group is on one side. */
static void put_link(const struct varve_diff_entry *entry) {
    if (entry->marks & VARVE_DIFF_HARDLINK) {
        fputs("hard link to ", stdout);
        put_path(entry->link);
    } else {
        fputs("the file", stdout);
    }
}

static void put_entry_line(const struct diff_view *view,
                           const struct varve_difference *difference) {
    const struct varve_diff_entry *left = difference->entry[0];
    const struct varve_diff_entry *entry = left ? left : difference->entry[1];
    printf("%s  ", view->indent);
    diff_paint(view, sections[difference->kind].color);
    printf("%c ", sections[difference->kind].mark);
    put_path(entry->path);
    diff_paint(view, PLAIN);
    if (difference->kind == VARVE_DIFF_REMOVED || difference->kind == VARVE_DIFF_ADDED) {
        printf("  %s", type_name(entry->typeflag));
        if (entry->link.count) {
            fputs(" to ", stdout);
            put_path(entry->link);
        } else if (entry->typeflag == '0') {
            printf(", %" PRIu64 " bytes", entry->size);
        }
    } else if (difference->kind == VARVE_DIFF_MOVED) {
        /* Both sides have it. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        printf("  entry %" PRIu64 " / %" PRIu64, left->number + 1,
               difference->entry[1]->number + 1);
    } else if (difference->kind == VARVE_DIFF_LINK) {
        assert(left && difference->entry[1]); /* a path that is on both sides */
        fputs("  ", stdout);
        put_link(left);
        fputs(" / ", stdout);
        put_link(difference->entry[1]);
    } else if (difference->kind == VARVE_DIFF_SECURITY && !difference->entry[1]) {
        fputs("  on the left alone", stdout);
    } else if (difference->kind == VARVE_DIFF_SECURITY && !left) {
        fputs("  on the right alone", stdout);
    }
    put_entry_words(entry);
    if (difference->file[0]) {
        fputs("  hard link to ", stdout);
        put_path(difference->file[0]->path);
        fputs(", which changed", stdout);
    }
    putchar('\n');
}

static void put_finding(const struct diff_view *view, const struct varve_difference *difference) {
    printf("%s    %s: %" PRIu64 " / %" PRIu64 "  (%s)\n", view->indent, difference->finding->code,
           difference->count[0], difference->count[1], difference->finding->text);
}

struct shower {
    const struct diff_view *view;
    uint64_t shown;
};

static void show(void *cookie, const struct varve_difference *difference) {
    struct shower *shower = cookie;
    const struct diff_view *view = shower->view;
    if (shower->shown == view->limit) {
        return;
    }
    shower->shown++;
    if (difference->kind == VARVE_DIFF_FINDING) {
        put_finding(view, difference);
        return;
    }
    if (difference->entry[0] || difference->entry[1]) {
        put_entry_line(view, difference);
    }
    if (difference->kind == VARVE_DIFF_LINK) {
        return; /* the line says it; that the fields of one are its file's follows */
    }
    for (size_t i = 0; i < difference->field_count; i++) {
        if (i == view->field_limit) {
            printf("%s      and %zu more\n", view->indent, difference->field_count - i);
            break;
        }
        put_field(view, &difference->fields[i]);
    }
}

/* "entries changed: 3 (mtime 3, mode 1)" */
static void put_title(const struct diff_view *view, enum varve_diff_kind kind,
                      const struct tally *tally) {
    bool fields = kind == VARVE_DIFF_CHANGED || kind == VARVE_DIFF_HEADER;
    printf("\n%s", view->indent);
    diff_paint(view, BOLD);
    fputs(sections[kind].title, stdout);
    diff_paint(view, PLAIN);
    if (kind <= VARVE_DIFF_PADDING) {
        printf(": %" PRIu64, tally->all);
    }
    for (size_t i = 0; fields && i < tally->name_count; i++) {
        const char *part = tally->parts[i];
        bool plain = !part || strcmp(part, "header") == 0 || strcmp(part, "pax record") == 0;
        printf("%s%s%s%s %" PRIu64, i ? ", " : " (", plain ? "" : part, plain ? "" : " ",
               part && strcmp(part, "pax record") == 0 ? part : tally->names[i], tally->counts[i]);
    }
    fputs(fields && tally->name_count ? ")\n" : "\n", stdout);
}

bool diff_show_kind_text(struct diff_view *view, enum varve_diff_kind kind) {
    struct tally tally = {.all = 0};
    struct shower shower = {view, 0};
    uint32_t kinds = 1u << kind;
    bool good = varve_diff_each(view->diff, kinds, count, &tally) == VARVE_OK;
    if (!tally.all) {
        return good;
    }
    put_title(view, kind, &tally);
    good &= varve_diff_each(view->diff, kinds, show, &shower) == VARVE_OK;
    if (tally.all > shower.shown) {
        printf("%s    and %" PRIu64 " more\n", view->indent, tally.all - shower.shown);
    }
    return good;
}

static void put_side(const struct diff_view *view, unsigned side) {
    const struct varve_layer *layer = varve_diff_layer(view->diff, side);
    printf("%s%s ", view->indent, side ? "right" : "left ");
    diff_put_bytes(layer->name, strlen(layer->name));
    printf(": %s", varve_status_name(layer->status));
    if (layer->has_format) {
        printf(", %s", varve_format_name(layer->format));
    }
    if (layer->complete) {
        printf(", %" PRIu64 " bytes", layer->bytes_stored);
    }
    if (layer->has_entries) {
        printf(", %" PRIu64 " entries", layer->entry_count);
    }
    if (layer->toc) {
        printf(", %s", layer->toc);
    }
    if (layer->writer && strcmp(layer->writer, "unknown") != 0) {
        printf(", written by %s", layer->writer);
    }
    if (layer->encoder && strcmp(layer->encoder, "unknown") != 0) {
        printf(", compressed by %s", layer->encoder);
    }
    putchar('\n');
    if (layer->status != VARVE_OK) {
        printf("%s      %s: %s\n", view->indent, layer->fault.code, layer->fault.message);
    }
}

static void put_rungs(const struct diff_view *view) {
    const struct varve_diff_verdict verdict = varve_diff_verdict(view->diff);
    const struct varve_rungs *left = &varve_diff_layer(view->diff, 0)->rungs;
    const struct varve_rungs *right = &varve_diff_layer(view->diff, 1)->rungs;
    printf("%srungs", view->indent);
    for (int i = 0; i < VARVE_RUNG_COUNT; i++) {
        enum varve_diff_relation relation = varve_diff_relation(left, right, (enum varve_rung)i);
        printf("%s%s %s", i ? ", " : " ", varve_rung_name((enum varve_rung)i),
               diff_relation_word(relation));
    }
    putchar('\n');
    if (verdict.facets_unequal != verdict.facets_changed) {
        char text[VERDICT_BYTES] = "";
        diff_add_facets(text, verdict.facets_unequal);
        printf("%sfacets unequal: %s\n", view->indent, text);
    }
    if (!verdict.entries_compared && verdict.meet != VARVE_RUNG_BLOB) {
        printf("%sentries were not compared: those of one side are not known\n", view->indent);
    } else if (!verdict.headers_compared) {
        printf("%sheaders were not compared: the memory budget has no room for them\n",
               view->indent);
    }
}

bool diff_show_text(struct diff_view *view) {
    char text[VERDICT_BYTES];
    const struct varve_diff_verdict verdict = varve_diff_verdict(view->diff);
    bool good = true;
    diff_verdict_text(text, &verdict);
    fputs(view->indent, stdout);
    diff_paint(view, verdict.security_count ? RED : BOLD);
    fputs(text, stdout);
    diff_paint(view, PLAIN);
    putchar('\n');
    put_side(view, 0);
    put_side(view, 1);
    put_rungs(view);
    for (int kind = 0; kind < VARVE_DIFF_KIND_COUNT; kind++) {
        good &= diff_show_kind_text(view, (enum varve_diff_kind)kind);
    }
    return good;
}
