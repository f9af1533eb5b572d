/* SPDX-License-Identifier: Apache-2.0 */
/* src/limits.h - every limit against hostile input, each with its reason. Behind a limit a layer is
 * VARVE_LIMIT: not judged, never silently cut. docs/limits.md tells users, and a test holds the two
 * against each other. */
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

/* Layers of an image that count as a document more: thousands of tags that all lead to one manifest
 * of thousands of layers would else multiply, too. Overlayfs takes 128 layers at most (docker), and
 * images have some ten. */
#define VARVE_LAYERS_A_STEP 16

/* A tag or reference, wherever it is told: one may lead to many thousands of images, and stands
 * beside each. Registries take 255 bytes of a name and 128 of a tag (distribution-spec, "Pulling
 * manifests"); index.json keeps all of it. */
#define VARVE_LIMIT_TAG_SHOWN_BYTES 1024

/* A line of tar-split: a header with its extensions in base64. The parser of archives takes no more
 * of those than this either (below). */
#define VARVE_LIMIT_TAR_SPLIT_LINE_BYTES (16u << 20)

/* Values of such a line, those within others too. It has seven at most; each costs up to 300 bytes
 * here, and a megabyte of "[{}," would be a quarter of a million. */
#define VARVE_LIMIT_TAR_SPLIT_VALUES 64

/* Names in the path of a file that split writes into a folder, its own counted. Linux would take
 * 2,047 (PATH_MAX), and each header of half a kilobyte could make as many folders; the deepest real
 * trees (npm's of old, Java's) have some fifty. */
#define VARVE_LIMIT_SPLIT_DEPTH 128

/* A store's own list of layers or images (containers-storage's layers.json, docker's
 * repositories.json): some 600 bytes an entry, so that this is a hundred thousand of them. */
#define VARVE_LIMIT_STORE_LIST_BYTES (64u << 20)

/* Entries of an archive that holds a store: each costs about 150 bytes here, and an image has some
 * hundred blobs at most; a whole mirror packed into one archive is still far below. */
#define VARVE_LIMIT_ARCHIVE_ENTRIES 4000000u

/* Links inside an archive that are followed to a layer: writers make one, Linux follows 40. */
#define VARVE_LIMIT_LINK_HOPS 40

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

/* --- tables of contents (eStargz, zstd:chunked) --- */

/* A table, as stored and as JSON. containers/storage reads no larger one; the largest public ones
 * have some ten megabytes. */
#define VARVE_LIMIT_TOC_BYTES ((uint64_t)150 << 20)

/* One entry of a table: a path, a link and extended attributes, each of which Linux limits to
 * 64 KiB or less. */
#define VARVE_LIMIT_TOC_ENTRY_BYTES ((size_t)1 << 20)

/* --- splitting tars --- */

/* Body of one pax, GNU long-name or Solaris header. Go's archive/tar reads as much; PATH_MAX is
 * 4 KiB and Linux keeps at most 64 KiB of extended attributes per inode, so that real ones are far
 * smaller. At most one of each kind (x, g, L, K) is held at a time. */
#define VARVE_LIMIT_EXTENSION_BYTES ((uint64_t)1 << 20)

/* Records of one pax header. 1 MiB of five-byte records would be 209,715 of them, each of which
 * costs 32 bytes here and some in the ladder; no writer makes a hundredth of this. */
#define VARVE_LIMIT_PAX_RECORDS 65536

/* Extension headers before one entry: beyond the first number a finding, beyond the second the
 * limit. A writer makes four (x, L, K and a redundant one); each costs the reader a header and
 * nothing else, for the last of a kind replaces the one before. */
#define VARVE_LIMIT_EXTENSIONS_NOTED 16
#define VARVE_LIMIT_EXTENSIONS 1024

/* A sparse map, as text (pax 1.0) or as continuation blocks (old GNU): about 43,000 runs. Go and
 * tar-split met unbounded maps in CVE-2025-58183. */
#define VARVE_LIMIT_SPARSE_MAP_BYTES ((uint64_t)1 << 20)

/* Stored bytes of one entry must be below this: rounding up to blocks and adding offsets can then
 * never overflow 64 bits. No file system holds such a file. */
#define VARVE_LIMIT_ENTRY_BYTES ((uint64_t)1 << 60)

/* Entries of one layer. The largest public layers have about a million. */
#define VARVE_LIMIT_ENTRIES 10000000

/* --- the ladder --- */

/* Holes of sparse files, hashed as zeros, of one layer in total (docs/ladder.md, section 8). A few
 * hundred stored bytes can claim 8 EiB; this many cost some ten seconds. Disk images in layers are
 * smaller. */
#define VARVE_LIMIT_HOLE_BYTES (UINT64_C(16) << 30)

#endif
