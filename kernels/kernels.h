/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/kernels.h - the registry: every variant of every kernel family, one row each, best first.
 *
 * A kernel is a leaf function: no policy, no allocation, no global state, built with flags of its
 * own (kernels/CMakeLists.txt). The selector, `varve --cpu=list`, tests and benches loop over these
 * tables. Adding a kernel: its file, its row in registry.c, its line in the CMake flag table.
 */
#ifndef VARVE_KERNELS_H
#define VARVE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "inflate.h"
#include "varve/cpu.h"
#include "varve/tar.h"

/* What a kernel needs of the CPU. A tier is a set of these (varve_cpu_bits_of). */
enum {
    VARVE_CPU_SHANI = 1u << 0,  /* SSSE3, SSE4.1, SHA */
    VARVE_CPU_AVX2 = 1u << 1,   /* AVX2, BMI1, BMI2, LZCNT, and ymm state enabled */
    VARVE_CPU_AVX512 = 1u << 2, /* AVX-512 F, BW, VL, DQ, VBMI, and zmm state enabled */
};

/* What this CPU and operating system offer, and what `tier` allows of it. */
uint32_t varve_cpu_bits(void);
uint32_t varve_cpu_bits_of(enum varve_tier tier);

/* Marks the upper halves of the vector registers clean: nothing that costs anything, and after it
 * legacy-encoded SHA instructions run at full speed whatever ran before (other libraries' assembly
 * leaves them dirty). Needs VARVE_CPU_AVX2. */
void varve_upper_halves_clean(void);

/* SHA-256 block compression (FIPS 180-4, 6.2.2), `lanes` streams side by side.
 *   state        [8][lanes], word-major (word w of lane l at state[w * lanes + l]), updated in
 *                place; aligned to 64 bytes, with one lane to 4
 *   blocks       one pointer per lane to `block_count` * 64 bytes, any alignment, none NULL (an
 *                idle lane points at another's data); no byte beyond them is touched
 *   block_count  >= 1
 * Vector kernels leave no dirty upper register halves behind. Which row pays for how many streams
 * differs between CPUs and is measured (src/sha256_cost.c). */
typedef void varve_sha256_compress_fn(uint32_t *state, const uint8_t *const *blocks,
                                      size_t block_count);

struct varve_sha256_row {
    const char *name;
    uint32_t needs; /* CPU bits */
    uint32_t lanes;
    varve_sha256_compress_fn *compress;
};
#define VARVE_SHA256_MAX_LANES 16
extern const struct varve_sha256_row varve_sha256_rows[];
extern const size_t varve_sha256_row_count;

/* Tar header blocks of 512 bytes (POSIX.1-2017 pax, "ustar Interchange Format"). */
enum varve_header_field {
    VARVE_HEADER_MODE,     /* 8 bytes at 100 */
    VARVE_HEADER_UID,      /* 8 at 108 */
    VARVE_HEADER_GID,      /* 8 at 116 */
    VARVE_HEADER_SIZE,     /* 12 at 124 */
    VARVE_HEADER_MTIME,    /* 12 at 136 */
    VARVE_HEADER_DEVMAJOR, /* 8 at 329 */
    VARVE_HEADER_DEVMINOR, /* 8 at 337 */
    VARVE_HEADER_CHECKSUM, /* 8 at 148 */
    VARVE_HEADER_FIELD_COUNT
};
enum { VARVE_HEADER_FIXED_BYTES = 64 };

/* All that one look at a block gives. A field whose style is BAD or blank has value 0. */
struct varve_header_numbers {
    int64_t value[VARVE_HEADER_FIELD_COUNT];
    uint64_t nonzero[8]; /* bit b of word w: byte 64 * w + b is not NUL */
    uint32_t sum;        /* of the bytes, the checksum field counted as eight spaces */
    int32_t signed_sum;  /* the same of bytes as signed numbers */
    uint8_t style[VARVE_HEADER_FIELD_COUNT]; /* enum varve_tar_style */
};

/* GNU's further fields, 12 bytes each: atime at 345, ctime at 357, offset at 369, realsize at 483.
 */
enum varve_header_gnu_field {
    VARVE_HEADER_ATIME,
    VARVE_HEADER_CTIME,
    VARVE_HEADER_OFFSET,
    VARVE_HEADER_REALSIZE,
    VARVE_HEADER_GNU_COUNT
};
struct varve_header_gnu_numbers {
    int64_t value[VARVE_HEADER_GNU_COUNT];
    uint8_t style[VARVE_HEADER_GNU_COUNT];
};

/* What the fixed part of a canonical record is made of (docs/ladder.md). mode, uid, gid and device
 * numbers lie within -2^62 .. 2^62 - 1; nothing else is asked of the values. */
struct varve_header_values {
    int64_t mode, uid, gid, size, mtime, devmajor, devminor;
    int64_t unused;
};

/* Reads `count` blocks that lie one behind the other, at any alignment. */
typedef void varve_header_read_fn(struct varve_header_numbers *numbers, const uint8_t *blocks,
                                  size_t count);
typedef void varve_header_read_gnu_fn(struct varve_header_gnu_numbers *numbers,
                                      const uint8_t *blocks, size_t count);

/* Writes `count` fixed parts of 64 bytes: mode[8] uid[8] gid[8] size[12] mtime[12] devmajor[8]
 * devminor[8]. Each is zero-padded octal digits and a NUL; a value that is negative or has too many
 * digits is big-endian two's complement over the whole field with the top bit set. */
typedef void varve_header_write_fn(uint8_t *records, const struct varve_header_values *values,
                                   size_t count);

/* How many of `bytes` are NUL before the first other one. */
typedef size_t varve_header_zeros_fn(const uint8_t *bytes, size_t count);

struct varve_header_row {
    const char *name;
    uint32_t needs; /* CPU bits */
    varve_header_read_fn *read;
    varve_header_read_gnu_fn *read_gnu;
    varve_header_write_fn *write;
    varve_header_zeros_fn *zeros;
};
extern const struct varve_header_row varve_header_rows[];
extern const size_t varve_header_row_count;

/* The best row that `tier` may use here. */
const struct varve_header_row *varve_header_row_of(enum varve_tier tier);

/* Deflate: kernels/inflate.h. */
const struct varve_inflate_row *varve_inflate_row_of(enum varve_tier tier);

#endif
