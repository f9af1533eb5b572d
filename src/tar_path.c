/* SPDX-License-Identifier: Apache-2.0 */
/* src/tar_path.c - findings about how paths and link targets are written. Nothing is changed. */
#include "bytes16.h"
#include "path.h"
#include "tar_internal.h"

/* What a path has. */
enum {
    HAS_CONTROL = 1,
    HAS_BACKSLASH = 2,
    HAS_HIGH = 4,
    HAS_DOT = 8,
    HAS_DOTDOT = 16,
    HAS_DOUBLE_SLASH = 32
};

static unsigned component(size_t length, unsigned dots) {
    return length == 1 && dots == 1 ? HAS_DOT : length == 2 && dots == 2 ? HAS_DOTDOT : 0;
}

/* Component by component: only for paths where a dot or slash begins one. */
static unsigned look_at_components(struct varve_bytes path) {
    unsigned has = 0;
    size_t begin = 0; /* of the component */
    unsigned dots = 0;
    for (size_t i = 0; i < path.count; i++) {
        if (path.bytes[i] == '/') {
            has |= component(i - begin, dots);
            has |= i && i == begin ? HAS_DOUBLE_SLASH : 0;
            begin = i + 1;
            dots = 0;
        } else {
            dots += path.bytes[i] == '.';
        }
    }
    return has | component(path.count - begin, dots);
}

/* What a byte is, of a path too short for vectors and of the first one of every path. */
static unsigned look_at_byte(uint8_t byte) {
    return (byte < ' ' || byte == 0x7f ? HAS_CONTROL : 0u) | (byte == '\\' ? HAS_BACKSLASH : 0u) |
           (byte >= 0x80 ? HAS_HIGH : 0u);
}

struct gathered {
    bytes16 control, backslash, all, begins;
};

static inline void gather(struct gathered *g, const uint8_t *at) {
    bytes16 here = bytes16_load(at);
    g->control |= (bytes16)((here < ' ') | (here == 0x7f));
    g->backslash |= (bytes16)(here == '\\');
    g->all |= here;
    g->begins |= bytes16_component_begins(at);
}

static unsigned look_at(struct varve_bytes path) {
    const uint8_t *p = path.bytes;
    if (path.count == 0) {
        return 0;
    }
    unsigned has = look_at_byte(p[0]);
    if (path.count <= BYTES16) {
        for (size_t i = 1; i < path.count; i++) {
            has |= look_at_byte(p[i]);
        }
        return has | look_at_components(path);
    }
    /* Sixteen bytes at a time; the last overlap those before them. */
    struct gathered g = {0};
    size_t last = path.count - BYTES16;
    for (size_t at = 1; at < last; at += BYTES16) {
        gather(&g, p + at);
    }
    gather(&g, p + last);
    const bytes16 high = (bytes16){0} + 0x80;
    has |= (bytes16_any(g.control) ? HAS_CONTROL : 0u) |
           (bytes16_any(g.backslash) ? HAS_BACKSLASH : 0u) |
           (bytes16_any(g.all & high) ? HAS_HIGH : 0u);
    return bytes16_any(g.begins) || p[0] == '.' ? has | look_at_components(path) : has;
}

static void note_if(struct varve_tar *tar, bool condition, enum varve_code code, uint64_t offset) {
    if (condition) {
        varve_tar_note(tar, code, offset);
    }
}

static void check_path(struct varve_tar *tar) {
    const struct varve_tar_entry *entry = &tar->entry;
    struct varve_bytes path = entry->path;
    uint64_t at = tar->entry.header_offset + AT_NAME;
    unsigned has = look_at(path);
    bool slash = path.count && path.bytes[path.count - 1] == '/';
    bool directory = entry->typeflag == '5' || entry->typeflag == 'D';

    note_if(tar, has & HAS_DOT, VARVE_CODE_PATH_DOT, at);
    note_if(tar, path.count && path.bytes[0] == '/', VARVE_CODE_PATH_ABSOLUTE, at);
    note_if(tar, has & HAS_DOUBLE_SLASH, VARVE_CODE_PATH_DOUBLE_SLASH, at);
    note_if(tar, directory && !slash, VARVE_CODE_PATH_DIRECTORY_BARE, at);
    note_if(tar, has & HAS_DOTDOT, VARVE_CODE_PATH_DOTDOT, at);
    note_if(tar, path.count == 0, VARVE_CODE_PATH_EMPTY, at);
    note_if(tar, has & HAS_CONTROL, VARVE_CODE_PATH_CONTROL, at);
    note_if(tar, has & HAS_BACKSLASH, VARVE_CODE_PATH_BACKSLASH, at);
    note_if(tar, has & HAS_HIGH && !varve_path_is_utf8(path), VARVE_CODE_PATH_NON_UTF8, at);
    if (slash && !directory) {
        varve_tar_note(tar, VARVE_CODE_PATH_FILE_SLASH, at);
        note_if(tar, entry->typeflag == '0', VARVE_CODE_PARSER_DIFFERENTIAL, at);
    }
    tar->traits.directory += directory;
    tar->traits.directory_slash += directory && slash;
    tar->traits.entry_dot += path.count > 1 && path.bytes[0] == '.' && path.bytes[1] == '/';
}

static void check_link(struct varve_tar *tar) {
    const struct varve_tar_entry *entry = &tar->entry;
    struct varve_bytes link = entry->link;
    uint64_t at = entry->header_offset + AT_LINK;
    if (entry->typeflag != '1' && entry->typeflag != '2') {
        note_if(tar, link.count, VARVE_CODE_LINK_UNUSED, at);
        return;
    }
    note_if(tar, link.count == 0, VARVE_CODE_LINK_EMPTY, at);
    unsigned has = look_at(link);
    note_if(tar, has & HAS_HIGH && !varve_path_is_utf8(link), VARVE_CODE_PATH_NON_UTF8, at);
    if (entry->typeflag == '1') {
        note_if(tar, has & HAS_DOT, VARVE_CODE_LINK_DOT, at);
        note_if(tar, link.count && link.bytes[0] == '/', VARVE_CODE_LINK_ABSOLUTE, at);
        note_if(tar, has & HAS_DOUBLE_SLASH, VARVE_CODE_LINK_DOUBLE_SLASH, at);
        note_if(tar, has & HAS_DOTDOT, VARVE_CODE_LINK_DOTDOT, at);
    }
}

void varve_tar_check_names(struct varve_tar *tar) {
    check_path(tar);
    check_link(tar);
}
