#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# All programs and libraries that are installed are built so that a mistake in them is hard to abuse: position independent, all
# relocations read-only from the start (full RELRO), the stack not executable and guarded, the checked variants of libc functions.
#
# usage: check-hardening.sh [BUILD], or check-hardening.sh --self-test COMPILER (what lacks all that must be noticed)
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

# What a build installs that a processor runs.
installed() {
        /usr/bin/python3 -c '
import json, sys
for target in json.load(open(sys.argv[1] + "/meson-info/intro-targets.json")):
    if target["installed"] and target["type"] in ("executable", "shared library", "shared module"):
        print(*target["filename"], sep="\n")
' "$1"
}

check() {
        local program programs

        programs=$(installed "$1")
        if [[ -z $programs ]]; then
                echo "$1 installs nothing"
                return
        fi
        while read -r program; do
                complaints "$program"
        done <<<"$programs"
}

# A build with a program and a library that lack everything, and with a program that is not installed.
self_test() {
        local found installed name scratch=$2 target targets=() type

        echo 'int main(void) { return 0; }' >"$scratch/bare.c"
        "$1" -no-pie -fno-stack-protector -Wl,-z,norelro -Wl,-z,lazy -Wl,-z,execstack -o "$scratch/bare" "$scratch/bare.c" 2>/dev/null
        "$1" -shared -fPIC -fno-stack-protector -Wl,-z,norelro -Wl,-z,lazy -Wl,-z,execstack -o "$scratch/bare.so" "$scratch/bare.c" \
                2>/dev/null
        for target in true,executable,bare "true,shared module,bare.so" false,executable,bare; do
                IFS=, read -r installed type name <<<"$target"
                targets+=("{\"installed\": $installed, \"type\": \"$type\", \"filename\": [\"$scratch/$name\"]}")
        done
        mkdir "$scratch/meson-info"
        (IFS=, && echo "[${targets[*]}]") >"$scratch/meson-info/intro-targets.json"
        found=$(check "$scratch" | wc -l)
        if ((found != 6 + 5)); then
                echo "only $found of 11 faults noticed"
                return 1
        fi
}

if (($# == 0)); then
        echo "this build has sanitizers, or no optimizer" >&2
        exit 77
elif [[ $1 == --self-test ]]; then
        scratch=$(mktemp -d "${TMPDIR:-/tmp}/underpass-hardening-XXXXXX")
        trap 'rm -rf "$scratch"' EXIT
        self_test "$2" "$scratch"
        exit
fi

text=$(check "$1")
if [[ -n $text ]]; then
        echo "$text"
        exit 1
fi
