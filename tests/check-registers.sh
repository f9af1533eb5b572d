#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# No ymm, zmm or mask register outside the kernels named for them: SHA-NI code and dirty upper halves
# do not mix, and all else must run on any x86-64. Arguments: the library's object files.
command -v objdump > /dev/null || { echo "SKIPPED: no objdump here"; exit 77; }
case "$(uname -m)" in x86_64) ;; *) echo "SKIPPED: not x86-64"; exit 77 ;; esac

wide='%[yz]mm[0-9]|\{%k[0-7]\}|%k[0-7]'
status=0
seen=0
for object in "$@"; do
    found=$(objdump -d --no-show-raw-insn "$object" | grep -cE "$wide")
    case "$object" in
    */kernels/sha256_hybrid*)
        # Its SHA instructions run beside vectors that must leave registers 0-15 alone.
        low=$(objdump -d --no-show-raw-insn "$object" | grep -E '%[yz]mm([0-9]|1[0-5])([^0-9]|$)|%zmm')
        if [ "$found" -eq 0 ] || [ -n "$low" ]; then
            echo "$object: $found uses of wide registers, of them in 0-15: $low"
            status=1
        fi
        seen=$((seen + 1))
        ;;
    */kernels/*avx2* | */kernels/*avx512*)
        # A check that sees none where there must be some is blind.
        if [ "$found" -eq 0 ]; then
            echo "no wide register found in $object, which has them"
            status=1
        fi
        seen=$((seen + 1))
        ;;
    *)
        if [ "$found" -ne 0 ]; then
            echo "$found uses of wide registers in $object:"
            objdump -d --no-show-raw-insn "$object" | grep -E "$wide" | head -5
            status=1
        fi
        ;;
    esac
done
if [ "$seen" -eq 0 ]; then
    echo "none of $# objects is a vector kernel"
    status=1
fi
echo "$# objects looked at, $seen of them vector kernels"
exit $status
