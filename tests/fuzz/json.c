/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/json.c - OCI documents: whatever is accepted keeps the promises of src/oci_json.h. */
#include <string.h>

#include "fuzz.h"
#include "oci_json.h"

static void judge_fault(const struct varve_fault *fault, size_t bytes) {
    MUST(fault->code && fault->message && fault->status != VARVE_OK);
    MUST(fault->offset_stored == VARVE_NO_OFFSET || fault->offset_stored <= bytes);
}

static void judge_descriptor(const struct varve_descriptor *descriptor) {
    if (descriptor->fault.code) {
        return;
    }
    MUST(descriptor->media_type && descriptor->size <= INT64_MAX);
    MUST(memchr(descriptor->platform, 0, sizeof descriptor->platform) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct varve_document document;
    struct varve_config config;
    struct varve_fault fault = {0};
    if (varve_document_parse(&document, &fault, data, bytes)) {
        if (document.kind == VARVE_DOCUMENT_MANIFEST) {
            judge_descriptor(&document.config);
        }
        for (size_t i = 0; i < document.child_count; i++) {
            judge_descriptor(&document.children[i]);
        }
        varve_document_free(&document);
    } else {
        judge_fault(&fault, bytes);
    }
    fault = (struct varve_fault){0};
    if (varve_config_parse(&config, &fault, data, bytes)) {
        MUST(config.diffids || config.diffid_count == 0);
        varve_config_free(&config);
    } else {
        judge_fault(&fault, bytes);
    }
    return 0;
}
