#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The SHA-256 tests on CPUs that this machine is not, by qemu's user mode: one without AVX, one with
# AVX2 and without SHA-NI, and the kernels on all that this qemu can do. Arguments: the programs of
# the kernels' test and of the scheduler's.
command -v qemu-x86_64 > /dev/null || { echo "SKIPPED: no qemu-x86_64 here"; exit 77; }

run() {
    echo "== $1: $2"
    VARVE_TEST_SHORT=1 qemu-x86_64 -cpu "$1" "$2" 2>&1 || status=1
}

status=0
run Nehalem "$1"
run Nehalem "$2"
run Haswell "$1"
run Haswell "$2"
run max "$1"
exit $status
