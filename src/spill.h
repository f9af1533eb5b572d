/* SPDX-License-Identifier: Apache-2.0 */
/* src/spill.h - memory for what grows with the mirror, most of which need not be resident.
 *
 * A spill gives out memory that never moves and is freed as a whole. The first `memory_bytes` of it
 * are ordinary memory; what comes after is mapped from a temporary file that has no name, and
 * varve_spill_relax, called now and then, hands its pages back: who touches them again has them
 * from the page cache, or from the disk. The file's blocks are allocated before they are used, so
 * that a full disk is met here and not by a signal; where there is no file to be had, or no room in
 * it, ordinary memory is given instead: nothing fails, but memory is no longer bounded.
 *
 * What is read here and there, in no order, is better copied than touched: a page that is missing
 * brings fifteen others.
 *
 * One thread at a time allocates; what was allocated may be used by any. */
#ifndef VARVE_SPILL_H
#define VARVE_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct varve_spill;

/* `folder`: where temporary files go; NULL: /var/tmp, else /tmp. It must live as long. NULL: no
 * memory. */
struct varve_spill *varve_spill_open(size_t memory_bytes, const char *folder);
void varve_spill_close(struct varve_spill *spill);

/* Aligned for everything but vectors. Zeroed. NULL: no memory. */
void *varve_spill_allocate(struct varve_spill *spill, size_t bytes);

/* The same for bytes: not aligned, not zeroed. */
void *varve_spill_allocate_bytes(struct varve_spill *spill, size_t bytes);

/* A copy of a text, with a NUL behind it. NULL: no memory. */
char *varve_spill_text(struct varve_spill *spill, const char *text, size_t count);

/* Copies what lies in the spill, without touching its pages where they are the file's: with a
 * system call then. */
void varve_spill_copy(const struct varve_spill *spill, void *copy, const void *from, size_t bytes);

/* Whether something lies in the file. */
bool varve_spill_is_in_file(const struct varve_spill *spill, const void *at);

/* Hands back what of the file is resident, where that is much. Costs a microsecond while it is not.
 * Any thread, while others use what was allocated. */
void varve_spill_relax(struct varve_spill *spill);

/* Bytes in the file; and errno of why no more of them are, or 0. */
uint64_t varve_spill_file_bytes(const struct varve_spill *spill);
int varve_spill_error(const struct varve_spill *spill);

/* An array in a spill that grows, and whose elements never move. All-zero but for `spill` and
 * `element_bytes` it is empty. */
struct varve_table {
    struct varve_spill *spill;
    size_t element_bytes;
    size_t count;
    uint8_t **pieces;
    size_t piece_count, piece_room;
};

/* A power of two: few enough for a catalog of one blob, enough for `pieces` to be short. */
#define VARVE_TABLE_PIECE 256u

/* Makes room for another element. False: no memory, nothing changed. */
bool varve_table_reserve(struct varve_table *table);

/* Another element, zeroed. NULL: no memory, nothing changed; not after reserve. */
void *varve_table_add(struct varve_table *table);

/* The elements are the spill's; this frees only the table's own list of them. */
void varve_table_free(struct varve_table *table);

static inline void *varve_table_at(const struct varve_table *table, size_t index) {
    return table->pieces[index / VARVE_TABLE_PIECE] +
           index % VARVE_TABLE_PIECE * table->element_bytes;
}

/* A copy of an element: varve_spill_copy. */
static inline void varve_table_get(const struct varve_table *table, void *element, size_t index) {
    varve_spill_copy(table->spill, element, varve_table_at(table, index), table->element_bytes);
}

#endif
