#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The programs are built so that a mistake in them is hard to abuse: position independent, all relocations read-only from the
# start (full RELRO), the stack not executable and guarded, the checked variants of libc functions.
#
# usage: check-hardening.sh PROGRAM…, or check-hardening.sh --self-test COMPILER (a program without all that must be noticed)
set -euo pipefail
export LC_ALL=C.UTF-8 PATH=/usr/bin:/bin:$PATH

complaints() {
        local program=$1 headers symbols

        headers=$(readelf --wide --file-header --program-headers --dynamic "$program")
        symbols=$(readelf --wide --dyn-syms "$program")
        grep -q 'Type:.*DYN' <<<"$headers" || echo "$program: not position independent"
        grep -q 'GNU_RELRO' <<<"$headers" || echo "$program: no RELRO"
        grep -qE 'BIND_NOW|FLAGS.*NOW' <<<"$headers" || echo "$program: binds lazily, so RELRO is not full"
        grep -qE 'GNU_STACK.* RW ' <<<"$headers" || echo "$program: the stack is executable"
        grep -q '__stack_chk_fail' <<<"$symbols" || echo "$program: no stack protector"
        grep -qE '__[a-z]+_chk(@|$| )' <<<"$(grep -v __stack_chk_fail <<<"$symbols")" || echo "$program: no FORTIFY"
}

if [[ ${1-} == --self-test ]]; then
        scratch=$(mktemp -d "${TMPDIR:-/tmp}/underpass-hardening-XXXXXX")
        trap 'rm -rf "$scratch"' EXIT
        echo 'int main(void) { return 0; }' >"$scratch/bare.c"
        "$2" -no-pie -fno-stack-protector -Wl,-z,norelro -Wl,-z,lazy -Wl,-z,execstack -o "$scratch/bare" "$scratch/bare.c" 2>/dev/null
        found=$(complaints "$scratch/bare" | wc -l)
        if ((found != 6)); then
                echo "only $found of 6 faults noticed"
                exit 1
        fi
        exit 0
fi

text=$(for program in "$@"; do complaints "$program"; done)
if [[ -n $text ]]; then
        echo "$text"
        exit 1
fi
