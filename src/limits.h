/* SPDX-License-Identifier: Apache-2.0 */
/* src/limits.h - every limit against hostile input, each with its reason. docs/limits.md tells
 * users. */
#ifndef VARVE_LIMITS_H
#define VARVE_LIMITS_H

/* An OCI document (index, manifest, config). Registries refuse larger ones: distribution and
 * containers/image stop at 4 MiB, so what is larger was never pushed through one. */
#define VARVE_LIMIT_DOCUMENT_BYTES (4u << 20)

/* Documents met while walking a source, each counted once per tag that leads to it: a few thousand
 * tags that all lead to the same large index would else multiply. */
#define VARVE_LIMIT_SOURCE_STEPS 4000000u

#endif
