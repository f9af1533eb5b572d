/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/interrupt.h - the end of a command that writes files, when a signal asks for it: what was
 * begun is taken away first. */
#ifndef VARVE_CLI_INTERRUPT_H
#define VARVE_CLI_INTERRUPT_H

#include <stdbool.h>

/* From here on SIGINT, SIGTERM, SIGHUP and SIGPIPE are only kept in mind; a second one of the first
 * three ends the program at once. System calls that wait end with EINTR. SIGXFSZ is ignored: what
 * may not be that long cannot be written (EFBIG). A signal that is ignored already stays so: of
 * nohup(1), of a shell's background job. */
void interrupt_watch(void);

/* The signal that asked for an end, or 0; and whether there was one. Any thread. */
int interrupt_signal(void);
bool interrupted(void);

#endif
