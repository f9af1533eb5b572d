/* SPDX-License-Identifier: Apache-2.0 */
/* varve/base.h - what every part of the library shares: statuses, faults, limits of meaning.
 *
 * THE ARGUMENT-ORDER LAW, obeyed by every function of every header:
 *     object, outputs, inputs (each length right after its array), callback, then its cookie.
 * Lengths are size_t where they count bytes in memory and uint64_t where they count bytes of a
 * stream or file; names carry the unit (`_bytes`, `_count`, `_offset`).
 *
 * Functions named *_open allocate and return a status; every *_open has a *_close that accepts
 * NULL. A bug in the caller (NULL where none is allowed, a busy stream reused) is an assertion; a
 * bad layer is a status. The library prints nothing, never exits, reads no environment variable and
 * installs no signal handler.
 *
 * Threads: an object may be used by one thread at a time unless its header says otherwise; two
 * objects never share mutable state (the budget of varve/budget.h excepted, which is made for it).
 */
#ifndef VARVE_BASE_H
#define VARVE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && !defined(VARVE_STATIC)
#define VARVE_API __attribute__((visibility("default")))
#else
#define VARVE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What became of a layer, an image, or of a call that can fail. The order is not a severity. */
enum varve_status {
    VARVE_OK,          /* judged, nothing wrong (findings may stand beside it) */
    VARVE_MISMATCH,    /* judged: what was claimed (digest, size, diffID, TOC ...) is not so */
    VARVE_MALFORMED,   /* judged: the bytes break their format's rules */
    VARVE_LIMIT,       /* not judged: a limit against hostile input, or the memory budget */
    VARVE_UNSUPPORTED, /* not judged: a format or feature varve knows but does not read */
    VARVE_ERROR        /* not judged: could not be read (errno), or out of memory */
};

/* "ok", "mismatch", ... as in the output contract. Static storage. */
VARVE_API const char *varve_status_name(enum varve_status status);

/* An offset that is not known or has no meaning. */
#define VARVE_NO_OFFSET UINT64_MAX

/* One fault: why a status is not VARVE_OK. `code` is NULL when there is none, else one of the codes
 * of src/findings.def (dotted, stable); `message` is constant text. Both have static storage. */
struct varve_fault {
    const char *code;
    const char *message;
    enum varve_status status;
    int os_errno;            /* errno behind a VARVE_ERROR, else 0 */
    uint64_t offset_stored;  /* byte of the stored blob, or VARVE_NO_OFFSET */
    uint64_t offset_decoded; /* byte of the decoded stream, or VARVE_NO_OFFSET */
};

/* The program's and library's version, "0.1.0". Static storage. */
VARVE_API const char *varve_version(void);

/* The version of the ladder (docs/ladder.md) that this library computes: 1. */
VARVE_API unsigned varve_ladder_version(void);

/* A library that varve stands on, as found at run time. Verdicts can depend on these. */
struct varve_library {
    const char *name;    /* "isal", "zstd", "jansson", "openssl", ... */
    const char *version; /* NULL where the library does not tell */
};

/* How many libraries, and the one at `index` (< count). Static storage. */
VARVE_API size_t varve_library_count(void);
VARVE_API struct varve_library varve_library_at(size_t index);

#ifdef __cplusplus
}
#endif
#endif
