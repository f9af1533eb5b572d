/* SPDX-License-Identifier: Apache-2.0 */
/* src/path.h - paths as the ladder sees them (docs/ladder.md, C4, S1 and S6). Pure functions; a
 * path is bytes, never text. All but varve_path_clean want cleaned paths. */
#ifndef VARVE_PATH_H
#define VARVE_PATH_H

#include "varve/tar.h"

/* Writes the cleaned path to `to` (room for path.count bytes; may be path.bytes) and returns its
 * length: components joined by single slashes, without empty ones and ".". */
size_t varve_path_clean(uint8_t *to, struct varve_bytes path);

/* < 0, 0, > 0: component by component, which is bytewise with '/' before every other byte. */
int varve_path_compare(struct varve_bytes a, struct varve_bytes b);

/* True where `above` is a proper ancestor of `path`; the empty path is one of every other. */
bool varve_path_is_beneath(struct varve_bytes path, struct varve_bytes above);

enum varve_whiteout {
    VARVE_WHITEOUT_NONE,
    VARVE_WHITEOUT_EXPLICIT, /* removes the path that varve_path_removed gives */
    VARVE_WHITEOUT_OPAQUE,
    VARVE_WHITEOUT_AUFS,   /* a file of AUFS's own */
    VARVE_WHITEOUT_INVALID /* ".wh.", ".wh.." or ".wh..." */
};
enum varve_whiteout varve_path_whiteout(struct varve_bytes path);

/* Writes the path that an explicit whiteout removes to `to` (room for path.count bytes); returns
 * its length. */
size_t varve_path_removed(uint8_t *to, struct varve_bytes path);

/* Whether a path, or another text of a header, is UTF-8 as RFC 3629 has it: no overlong forms, no
 * surrogates, nothing above U+10FFFF. */
bool varve_path_is_utf8(struct varve_bytes text);

#endif
