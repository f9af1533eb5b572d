/* SPDX-License-Identifier: Apache-2.0 */
/* src/limits.h - every limit against hostile input, each with its reason. docs/limits.md tells
 * users. */
#ifndef VARVE_LIMITS_H
#define VARVE_LIMITS_H

#include <stdint.h>

/* --- sources and documents --- */

/* An OCI document (index, manifest, config). Registries refuse larger ones: distribution and
 * containers/image stop at 4 MiB, so what is larger was never pushed through one. */
#define VARVE_LIMIT_DOCUMENT_BYTES (4u << 20)

/* Documents met while walking a source, each counted once per tag that leads to it: a few thousand
 * tags that all lead to the same large index would else multiply. */
#define VARVE_LIMIT_SOURCE_STEPS 4000000u

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
