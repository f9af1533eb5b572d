/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/interrupt.c - the end of a command that writes files, when a signal asks for it. */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

/* Every write to a pipe that nobody reads sends SIGPIPE once more, on the way out too. */
static void on_signal(int number) {
    if (caught && number != SIGPIPE) {
        _exit(128 + number);
    }
    if (!caught) {
        caught = number;
    }
}

/* Not restarted: a write that waits for somebody to read must end, or nothing would. */
static void watch(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    struct sigaction before;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        sigaction(number, &action, NULL);
    }
}

void interrupt_watch(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        watch(numbers[i], on_signal);
    }
    watch(SIGXFSZ, SIG_IGN);
}

int interrupt_signal(void) {
    return caught;
}

bool interrupted(void) {
    return caught != 0;
}
