/* SPDX-License-Identifier: Apache-2.0 */
/* src/pending.c - until the ladder lands: nothing opens, so only rungs 0 and 1 are
 * computed. */
#include "varve/ladder.h"
#include "varve/tar.h"
enum varve_status varve_ladder_open(struct varve_ladder **l, struct varve_sha256 *s,
                                    const struct varve_ladder_options *o) {
    (void)l;
    (void)s;
    (void)o;
    return VARVE_UNSUPPORTED;
}
void varve_ladder_close(struct varve_ladder *l) {
    (void)l;
}
void varve_ladder_reset(struct varve_ladder *l, struct varve_findings *f) {
    (void)l;
    (void)f;
}
enum varve_status varve_ladder_take(struct varve_ladder *l, enum varve_tar_event e,
                                    const struct varve_tar_item *i) {
    (void)l;
    (void)e;
    (void)i;
    return VARVE_ERROR;
}
struct varve_fault varve_ladder_fault(const struct varve_ladder *l) {
    (void)l;
    return (struct varve_fault){0};
}
enum varve_status varve_ladder_finish(struct varve_ladder *l, struct varve_rungs *r,
                                      struct varve_facets *f, struct varve_sha256_stream *a) {
    (void)l;
    (void)r;
    (void)f;
    (void)a;
    return VARVE_ERROR;
}
uint64_t varve_ladder_entry_count(const struct varve_ladder *l) {
    (void)l;
    return 0;
}
void varve_ladder_each(const struct varve_ladder *l,
                       void (*each)(void *, const struct varve_ladder_entry *), void *c) {
    (void)l;
    (void)each;
    (void)c;
}
