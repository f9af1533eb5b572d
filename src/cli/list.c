/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/list.c - what varve knows and runs on: codes, kernels, versions. */
#include <stdio.h>

#include "cli.h"
#include "json.h"
#include "varve/findings.h"

int run_findings(const struct settings *settings) {
    struct json json = {.out = stdout};
    for (size_t i = 0; i < varve_code_count(); i++) {
        const struct varve_code_info *info = varve_code_at(i);
        const char *status = varve_status_name(info->status);
        if (settings->json) {
            json_open(&json, NULL, '{');
            json_unsigned(&json, "v", 1);
            json_text(&json, "type", "code");
            json_text(&json, "code", info->code);
            json_text(&json, "kind", info->finding ? "finding" : "fault");
            json_text(&json, "status", status);
            json_text(&json, "offset", info->stored ? "stored" : "decoded");
            json_text(&json, "text", info->text);
            json_close(&json, '}');
            json_line_end(&json);
        } else {
            printf("%-24s %-11s %s\n", info->code,
                   info->finding && info->status == VARVE_OK ? "finding" : status, info->text);
        }
    }
    return EXIT_WELL;
}

int list_kernels(void) {
    printf("best tier here: %s\n", varve_tier_name(varve_tier_best()));
    for (size_t i = 0; i < varve_kernel_count(); i++) {
        struct varve_kernel_info info = varve_kernel_at(i);
        printf("%-8s %-14s %2u lanes  %s\n", info.family, info.name, info.lanes,
               info.may_run ? "runs here" : "not on this CPU");
    }
    return EXIT_WELL;
}

int print_version(const struct settings *settings) {
    printf("varve %s\n", varve_version());
    if (settings->verbose) {
        printf("ladder %u\n", varve_ladder_version());
        for (size_t i = 0; i < varve_library_count(); i++) {
            struct varve_library library = varve_library_at(i);
            printf("%s %s\n", library.name, library.version ? library.version : "unknown");
        }
        printf("cpu tier %s\n", varve_tier_name(varve_tier_best()));
        printf("sha256 engines %s%s\n", varve_sha256_engine_name(VARVE_SHA256_OWN),
               varve_sha256_engine_built(VARVE_SHA256_ISAL_CRYPTO) ? ", isal-crypto" : "");
    }
    return EXIT_WELL;
}
