/* SPDX-License-Identifier: Apache-2.0 */
/* src/findings.c - the table of codes and the counters of one layer. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"

#define STORED true
#define DECODED false
static const struct varve_code_info code_table[VARVE_CODE_COUNT] = {
#define FINDING(id, code, where, text) {code, text, VARVE_OK, true, where},
#define CONTRADICTION(id, code, where, text) {code, text, VARVE_MISMATCH, true, where},
#define FAULT(id, code, status, where, text) {code, text, VARVE_##status, false, where},
#include "findings.def"
#undef FINDING
#undef CONTRADICTION
#undef FAULT
};
#undef STORED
#undef DECODED

size_t varve_code_count(void) {
    return VARVE_CODE_COUNT;
}

const struct varve_code_info *varve_code_at(size_t index) {
    assert(index < VARVE_CODE_COUNT);
    return &code_table[index];
}

struct varve_fault varve_fault_of(enum varve_code code, uint64_t offset) {
    const struct varve_code_info *info = &code_table[code];
    assert(!info->finding || info->status == VARVE_MISMATCH);
    return (struct varve_fault){
        .code = info->code,
        .message = info->text,
        .status = info->status,
        .offset_stored = info->stored ? offset : VARVE_NO_OFFSET,
        .offset_decoded = info->stored ? VARVE_NO_OFFSET : offset,
    };
}

struct counter {
    enum varve_code code;
    uint64_t count;
    uint64_t offset;
    char *entry;
    size_t entry_bytes;
};

/* Few codes are found in a layer, and many layers' findings wait at once: a list of those found,
 * and for each code its place in it. */
struct varve_findings {
    struct counter *counters; /* by code */
    size_t found, room;
    bool lost;                        /* memory was refused for one */
    uint16_t place[VARVE_CODE_COUNT]; /* + 1; 0 = not found */
};

enum varve_status varve_findings_open(struct varve_findings **findings) {
    *findings = calloc(1, sizeof **findings);
    return *findings ? VARVE_OK : VARVE_ERROR;
}

void varve_findings_reset(struct varve_findings *findings) {
    for (size_t i = 0; i < findings->found; i++) {
        findings->place[findings->counters[i].code] = 0;
        free(findings->counters[i].entry);
    }
    findings->found = 0;
    findings->lost = false;
}

void varve_findings_close(struct varve_findings *findings) {
    if (findings) {
        varve_findings_reset(findings);
        free(findings->counters);
        free(findings);
    }
}

/* A new counter for `code`, or NULL where memory was refused. Those behind it move up: they are
 * few, and each code does it once. */
static struct counter *new_counter(struct varve_findings *findings, enum varve_code code) {
    if (findings->found == findings->room) {
        size_t room = findings->room ? 2 * findings->room : 8;
        struct counter *counters = realloc(findings->counters, room * sizeof *counters);
        if (!counters) {
            return NULL;
        }
        findings->counters = counters;
        findings->room = room;
    }
    size_t at = findings->found++;
    for (; at > 0 && findings->counters[at - 1].code > code; at--) {
        findings->counters[at] = findings->counters[at - 1];
        findings->place[findings->counters[at].code] = (uint16_t)(at + 1);
    }
    findings->counters[at] = (struct counter){.code = code};
    findings->place[code] = (uint16_t)(at + 1);
    return &findings->counters[at];
}

void varve_findings_add(struct varve_findings *findings, enum varve_code code, uint64_t count,
                        uint64_t offset, const void *entry, size_t entry_bytes) {
    assert(code_table[code].finding);
    if (!findings || !count) {
        return;
    }
    if (findings->place[code]) {
        findings->counters[findings->place[code] - 1].count += count;
        return;
    }
    struct counter *counter = new_counter(findings, code);
    if (!counter) {
        findings->lost = true;
        return;
    }
    counter->count = count;
    counter->offset = offset;
    counter->entry = entry ? malloc(entry_bytes ? entry_bytes : 1) : NULL;
    findings->lost |= entry && !counter->entry;
    if (counter->entry) {
        memcpy(counter->entry, entry, entry_bytes);
        counter->entry_bytes = entry_bytes;
    }
}

void varve_findings_merge(struct varve_findings *findings, const struct varve_findings *more) {
    for (size_t i = 0; i < more->found; i++) {
        const struct counter *counter = &more->counters[i];
        varve_findings_add(findings, counter->code, counter->count, counter->offset, counter->entry,
                           counter->entry_bytes);
    }
    findings->lost |= more->lost;
}

void varve_findings_lose(struct varve_findings *findings) {
    if (findings) {
        findings->lost = true;
    }
}

bool varve_findings_lost(const struct varve_findings *findings) {
    return findings->lost;
}

bool varve_findings_contradict(const struct varve_findings *findings, struct varve_fault *fault) {
    for (size_t i = 0; i < findings->found; i++) {
        const struct counter *counter = &findings->counters[i];
        if (code_table[counter->code].status == VARVE_MISMATCH) {
            if (fault) {
                *fault = varve_fault_of(counter->code, counter->offset);
            }
            return true;
        }
    }
    return false;
}

size_t varve_findings_count(const struct varve_findings *findings) {
    return findings->found;
}

struct varve_finding varve_findings_at(const struct varve_findings *findings, size_t index) {
    assert(index < findings->found);
    const struct counter *counter = &findings->counters[index];
    return (struct varve_finding){&code_table[counter->code], counter->count, counter->offset,
                                  counter->entry, counter->entry_bytes};
}
