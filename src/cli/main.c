/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/main.c - the program's entry: finds the command and runs it. */
#include <stdio.h>

#include "varve/base.h"

int main(void) {
    printf("varve %s\n", varve_version());
    return 0;
}
