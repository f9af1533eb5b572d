/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/toc.c - the JSON of a table of contents, and footers: what is accepted keeps the
 * promises of src/toc_internal.h, all memory goes back to the budget. */
#include <string.h>

#include "fuzz.h"
#include "toc_internal.h"

#define BUDGET_BYTES (32u << 20)

static void judge_entries(const struct varve_toc_table *table) {
    const struct varve_toc_entry *entries =
        (const struct varve_toc_entry *)(const void *)table->entries.data;
    MUST(table->entries.count == table->count * sizeof *entries);
    for (size_t i = 0; i < table->count; i++) {
        const struct varve_toc_entry *e = &entries[i];
        const uint8_t *name = table->names.data + e->name;
        MUST(e->name_bytes > 0 && e->name + e->name_bytes <= table->names.count);
        MUST(e->link + e->link_bytes <= table->names.count);
        MUST(name[0] != '/' && name[e->name_bytes - 1] != '/' && !e->met);
        if (i > 0) {
            const struct varve_toc_entry *before = e - 1;
            size_t n = before->name_bytes < e->name_bytes ? before->name_bytes : e->name_bytes;
            int order = memcmp(table->names.data + before->name, name, n);
            MUST(order < 0 || (order == 0 && before->name_bytes <= e->name_bytes));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct varve_budget *budget = NULL;
    struct varve_findings *findings = NULL;
    struct varve_toc *toc = NULL;
    MUST(varve_budget_open(&budget, BUDGET_BYTES) == VARVE_OK);
    MUST(varve_findings_open(&findings) == VARVE_OK);
    MUST(varve_toc_open(&toc, budget) == VARVE_OK);
    varve_toc_reset(toc, findings);
    enum varve_status status =
        varve_toc_table_read(toc, &toc->table, data, bytes, (uint64_t)1 << 20, findings);
    MUST(status == VARVE_OK || status == VARVE_MALFORMED || status == VARVE_UNSUPPORTED ||
         status == VARVE_LIMIT);
    if (status == VARVE_OK) {
        judge_entries(&toc->table);
        /* Whatever the table lists: an entry that it has is met once, one that it has not is told.
         */
        const uint8_t path[] = "usr/x";
        const struct varve_ladder_entry entry = {
            .path = {path, sizeof path - 1}, .typeflag = '0', .size = 5};
        varve_toc_check_entry(toc, &entry);
        varve_toc_check_entry(toc, &entry);
        varve_toc_end_check(toc);
    }
    struct varve_toc_footer footer;
    MUST(!varve_toc_read_extra(&footer, data, bytes) || footer.kind != VARVE_TOC_NONE);
    MUST(!varve_toc_read_chunked(&footer, data, bytes) || footer.kind == VARVE_TOC_ZSTD_CHUNKED);
    varve_toc_close(toc);
    MUST(varve_budget_taken(budget) == 0);
    varve_findings_close(findings);
    varve_budget_close(budget);
    return 0;
}
