/* SPDX-License-Identifier: Apache-2.0 */
/* varve/decode.h - stored bytes of a blob to the bytes of its tar: gzip, zstd, or neither.
 *
 * One decoder per layer in flight. The caller pushes stored bytes as they come and owns both
 * buffers; what the blob is, is told by its first bytes, never by a label. varve_decode() advances
 * many layers by one step each: engines that decode several streams at once see them together.
 *
 * Formats: RFC 1952 (gzip: members one after the other), RFC 1951 (deflate), RFC 8878 (zstd: frames
 * and skippable frames). A decoder never allocates from a claimed size, and every loop is linear in
 * the bytes it is given and makes.
 */
#ifndef VARVE_DECODE_H
#define VARVE_DECODE_H

#include "varve/base.h"
#include "varve/budget.h"
#include "varve/cpu.h"
#include "varve/findings.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the blob is stored. */
enum varve_compression {
    VARVE_COMPRESSION_NONE, /* plain: the decoded bytes are the stored ones */
    VARVE_COMPRESSION_GZIP,
    VARVE_COMPRESSION_ZSTD,
    VARVE_COMPRESSION_BZIP2, /* known, not read */
    VARVE_COMPRESSION_XZ     /* known, not read */
};

/* "none", "gzip", "zstd", "bzip2", "xz". Static storage. */
VARVE_API const char *varve_compression_name(enum varve_compression compression);

/* Who decodes deflate. Framing and checks are the same, and so are results, but for one kind of bad
 * stream. */
enum varve_inflate_engine {
    VARVE_INFLATE_OWN,  /* varve's: several layers at once, where the CPU has AVX2 */
    VARVE_INFLATE_IGZIP /* libisal's: one layer after the other. It goes on at an incomplete code
                           that no symbol needs, where the other one and zlib see a fault. */
};

/* "varve", "igzip". Static storage. */
VARVE_API const char *varve_inflate_engine_name(enum varve_inflate_engine engine);

struct varve_decode_options {
    struct varve_budget *budget; /* what zstd windows beyond 8 MiB are taken from; NULL: windows
                                    up to 2^27, taken from nothing */
    uint64_t max_decoded_bytes;  /* decoded bytes beyond which a layer ends as limit; 0 = 2^40 */
    enum varve_tier tier;        /* of varve's inflate kernels; 0 = AUTO */
    enum varve_inflate_engine inflate_engine;
};

struct varve_decoder;

/* VARVE_OK, VARVE_UNSUPPORTED (tier), or VARVE_ERROR (no memory); *decoder = NULL unless OK.
 * `options` NULL: all defaults. */
VARVE_API enum varve_status varve_decoder_open(struct varve_decoder **decoder,
                                               const struct varve_decode_options *options);
VARVE_API void varve_decoder_close(struct varve_decoder *decoder);

/* Begins a new blob; keeps the memory. Findings go to `findings` (may be NULL), which must live
 * until the next reset or close. */
VARVE_API void varve_decoder_reset(struct varve_decoder *decoder, struct varve_findings *findings);

struct varve_toc;

/* Tells `toc` (varve/toc.h) where members begin, and what skippable frames hold, until the next
 * reset, which forgets it. Right after reset. NULL: nobody. */
VARVE_API void varve_decoder_watch(struct varve_decoder *decoder, struct varve_toc *toc);

enum varve_decode_state {
    VARVE_DECODE_INPUT,  /* all input was used, no output is pending: push more */
    VARVE_DECODE_OUTPUT, /* output was made and more may follow without more input: take it, call
                            again */
    VARVE_DECODE_WAIT,   /* a zstd window wants more of the memory budget than is free now, and
                            would fit alone: call again, with what was not used, when others have
                            given back; or give the layer up, varve_decoder_fault() says with what */
    VARVE_DECODE_END,    /* the stream is complete; every stored byte was seen and judged */
    VARVE_DECODE_FAULT   /* see varve_decoder_fault; nothing more comes, rest of the blob is the
                            caller's */
};

/* One layer's turn. In: where the unread stored bytes are (`in`, `in_bytes`), whether the blob ends
 * with them (`in_last`), where decoded bytes may go (`out`, `out_bytes` > 0). Out: `state`; how
 * much input was used; the decoded bytes, at most `out_bytes` of them, which `made` points to: they
 * lie in `out`; for plain blobs in `in` itself, all of it; or in a window of the decoder's own,
 * where they stay until its next turn, reset or close. No copy is made. In every state,
 * `made_bytes` may be > 0 and are valid: also at END, and at FAULT the bytes before the fault. */
struct varve_decode_turn {
    const uint8_t *in;
    size_t in_bytes;
    bool in_last;
    uint8_t *out;
    size_t out_bytes;

    enum varve_decode_state state;
    size_t used_bytes;
    const uint8_t *made;
    size_t made_bytes;
};

/* Advances `count` layers by one step each: decoders[i] with turns[i]. A layer's results depend on
 * its own bytes alone: not on its neighbours, nor on how the bytes are cut into turns. */
VARVE_API void varve_decode(struct varve_decoder *const *decoders, struct varve_decode_turn *turns,
                            size_t count);

/* After FAULT (or in WAIT): what and where. code = NULL before. Both offsets are known, but for
 * decode.limit, where only the decoded one is. */
VARVE_API struct varve_fault varve_decoder_fault(const struct varve_decoder *decoder);

/* The longest evidence for a guess, its NUL included. */
#define VARVE_ENCODER_EVIDENCE_BYTES 320

/* What is known of the blob; whole after END, as far as it goes before. */
struct varve_decode_info {
    enum varve_compression compression;
    uint64_t stored_bytes;    /* used; after FAULT the stored offset of the fault, where known */
    uint64_t decoded_bytes;   /* made */
    uint64_t member_count;    /* gzip members or zstd frames with content, empty ones included */
    uint64_t skippable_count; /* zstd skippable frames */
    uint64_t window_bytes;    /* largest zstd window declared, else 0 */
    uint64_t
        trailing_offset; /* stored offset of what follows the last member, or VARVE_NO_OFFSET */
    const char *encoder; /* a guess at the compressor, or "unknown"; static storage */
    const char *encoder_evidence; /* what it rests on; valid until reset */
};
VARVE_API struct varve_decode_info varve_decoder_info(const struct varve_decoder *decoder);

#ifdef __cplusplus
}
#endif
#endif
