/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/inflate.h - deflate (RFC 1951): several streams decoded side by side.
 *
 * A stream is one raw deflate stream. It takes its input in chunks and writes to a window in which
 * the 32 KiB before its output must stand. run() advances each stream of a batch until it stops;
 * what it does to one is a function of that stream's own bytes, never of its neighbours, of the
 * kernel, or of how the input is cut. A stream may change kernels between any two runs.
 *
 * Accepted and refused is exactly what zlib's inflate() accepts and refuses, and the bytes before a
 * fault are the same. A symbol is taken whole or not at all: a literal needs the bits of its code,
 * a match all of its bits.
 */
#ifndef VARVE_KERNELS_INFLATE_H
#define VARVE_KERNELS_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Index bits of the tables. Three literals or lengths and a distance take at most
 * 3 * 11 + 8 + 13 = 54 bits, which one load of 64 bits at any bit of a byte holds. */
#define VARVE_INFLATE_LITLEN_BITS 11
#define VARVE_INFLATE_DIST_BITS 8

/* Entries of a table with its subtables, for any complete code of 288 (32) symbols and 15 bits: the
 * most that a search over all such codes finds (zlib's examples/enough.c does it). */
#define VARVE_INFLATE_LITLEN_ENTRIES 2342
#define VARVE_INFLATE_DIST_ENTRIES 402

/* Bytes that a distance reaches back (RFC 1951, 3.2.5). */
#define VARVE_INFLATE_WINDOW_BYTES 32768

/* What a run may write at and behind `out_stop`: the loop looks only every 32 items whether a lane
 * is there, and an item makes up to 2 + 258 bytes and writes 32 further ones. */
#define VARVE_INFLATE_SLACK_BYTES (32 * 260 + 64)

/* What a block was made of. */
struct varve_inflate_block {
    uint8_t type; /* BTYPE: 0 stored, 1 fixed codes, 2 dynamic codes */
    bool final;
    uint32_t literals;
    uint32_t matches;       /* copies from before */
    uint32_t short_matches; /* of length 3 */
    uint64_t decoded_bytes;
};

/* The first blocks of a stream: what tells compressors apart, counted in passing. */
#define VARVE_INFLATE_LOG_BLOCKS 48
struct varve_inflate_log {
    size_t in_left; /* input that is still to be counted: symbols that end in it */
    struct varve_inflate_block each[VARVE_INFLATE_LOG_BLOCKS]; /* whole ones */
    size_t count;
    struct varve_inflate_block cut; /* the one under way, as far as it went; else zeros */
};

enum varve_inflate_stop {
    VARVE_INFLATE_STOP_INPUT,  /* in == in_end, and what is left of it is less than a symbol */
    VARVE_INFLATE_STOP_OUTPUT, /* out >= out_stop, or see run */
    VARVE_INFLATE_STOP_END,    /* the last block is over, `in` is behind its last byte */
    VARVE_INFLATE_STOP_FAULT   /* the offending byte lies `fault_back` bytes before `in` */
};

/* Where a fault is: an invalid code where that code begins; a distance too far at the last bit of
 * the match; in a block's header at the last bit read when it was seen. Set up with
 * varve_inflate_stream_begin(). */
struct varve_inflate_stream {
    /* The caller's, before each run. `in` moves on. The bytes of an earlier chunk are not looked at
     * again. */
    const uint8_t *in, *in_end;
    uint8_t *out;            /* moves on */
    uint8_t *out_stop;       /* room up to out_stop + SLACK */
    const uint8_t *earliest; /* what no match of this stream may reach beyond; the window moves,
                                and this with it, by the caller's hand */
    /* NULL, or where blocks are counted, at first `in_left` and zeros. The kernel makes it NULL
     * when the last block is over, `each` is full or the input that counts is used up; then the
     * counts are those of all bytes made so far, however they were cut. */
    struct varve_inflate_log *log;
    /* The kernel's answer. */
    enum varve_inflate_stop stop;
    uint32_t fault_back;

    /* Private. */
    uint32_t phase;
    bool final;             /* this block is the last */
    bool fixed;             /* the tables are those of fixed codes */
    bool special;           /* the next symbol is none for the loop */
    uint32_t count;         /* bits held */
    uint64_t bits;          /* those, lowest first; above them only what will come next */
    uint64_t pos;           /* in the loop: address of the next bit */
    const uint8_t *begin;   /* of this run's input */
    const uint8_t *in_all;  /* its end, where `in_end` is that of what is counted */
    const uint8_t *start;   /* of its output */
    const uint8_t *counted; /* output up to here is in the log's sizes */
    uint32_t left;          /* of a stored block */
    uint16_t litlen_count, dist_count, precode_count, have;
    uint8_t lengths[320];
    uint32_t precode[128];
    uint32_t litlen[VARVE_INFLATE_LITLEN_ENTRIES];
    uint32_t dist[VARVE_INFLATE_DIST_ENTRIES + 1];
};

/* A new stream. `in`, `out` and what goes with them stay as they are. */
static inline void varve_inflate_stream_begin(struct varve_inflate_stream *stream) {
    stream->phase = 0;
    stream->count = 0;
    stream->bits = 0;
    stream->fixed = false;
    stream->log = NULL;
}

/* Advances `count` (>= 0) streams, each until it stops. A kernel of several lanes also stops a
 * stream that has made 32 KiB or more (as OUTPUT, before `out_stop`) when no other is left to fill
 * the lanes with: in the next run it goes on beside others. Every stream that is not at its end
 * makes progress. */
typedef void varve_inflate_run_fn(struct varve_inflate_stream *const *streams, size_t count);

struct varve_inflate_row {
    const char *name;
    uint32_t needs; /* CPU bits */
    uint32_t lanes;
    varve_inflate_run_fn *run;
};
extern const struct varve_inflate_row varve_inflate_rows[];
extern const size_t varve_inflate_row_count;

#endif
