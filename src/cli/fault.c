/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/fault.c - what commands that write files say of a fault, and how they end with it. */
#include "fault.h"

#include <inttypes.h>
#include <string.h>

#include "interrupt.h"

void fault_say(const char *name, const struct varve_fault *fault, const char *entry) {
    char place[96] = "";
    if (fault->offset_decoded != VARVE_NO_OFFSET) {
        snprintf(place, sizeof place, ", at decoded byte %" PRIu64, fault->offset_decoded);
    } else if (fault->offset_stored != VARVE_NO_OFFSET) {
        snprintf(place, sizeof place, ", at stored byte %" PRIu64, fault->offset_stored);
    }
    complain("%s: %s: %s%s%s%s%s%s", name, fault->code, fault->message, entry ? ": " : "",
             entry ? entry : "", fault->os_errno ? ": " : "",
             fault->os_errno ? strerror(fault->os_errno) : "", place);
}

int fault_exit(const struct varve_fault *fault, enum varve_status status) {
    static const char *const ours[] = {"io.write", "memory.exhausted"};
    if (status == VARVE_OK) {
        return EXIT_WELL;
    }
    if (interrupted()) {
        return 128 + interrupt_signal();
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (fault->code && strcmp(fault->code, ours[i]) == 0) {
            return EXIT_FATAL;
        }
    }
    return status == VARVE_MALFORMED || status == VARVE_MISMATCH ? EXIT_FOUND : EXIT_UNJUDGED;
}
