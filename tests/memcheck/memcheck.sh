#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# memcheck.sh [PROGRAM ARGUMENT...] - runs it under valgrind, which sees reads of what was never
# written and memory that nobody gives back; either is exit code 99. In place of varve, for tests of
# the program: the one that VARVE_PROGRAM names gets the arguments.
exec valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite ${VARVE_PROGRAM:+"$VARVE_PROGRAM"} "$@"
