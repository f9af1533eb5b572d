/* SPDX-License-Identifier: Apache-2.0 */
/* src/limits.h - every limit against hostile input, each with its reason. */
#ifndef VARVE_LIMITS_H
#define VARVE_LIMITS_H

/* --- decoding --- */

/* Decoded bytes of one layer, where the caller sets no other limit: 1 TiB. Far beyond any real
 * layer and still an end to a bomb, which costs time only. */
#define VARVE_LIMIT_DECODED_BYTES (UINT64_C(1) << 40)

/* Decoded bytes per stored byte beyond which a layer is noted (not refused): deflate reaches 1032,
 * zstd's RLE blocks 32768 and more, and layers of zeros are real. */
#define VARVE_RATIO_NOTABLE 1000

/* The zstd window that every reader accepts (RFC 8878 recommends 8 MiB at least; the zstd program
 * takes 2^27 unless told otherwise). Wider ones need a memory budget that has room for them. */
#define VARVE_LIMIT_WINDOW_BYTES (UINT64_C(1) << 27)

/* The widest window libzstd can decode at all on a 64-bit machine (ZSTD_WINDOWLOG_MAX). */
#define VARVE_WINDOW_LOG_MAX 31

#endif
