#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# No shell script of the project has a fault that shellcheck knows.
#
# usage: check-shell.sh ROOT
set -euo pipefail
cd "$1"

if ! command -v shellcheck >/dev/null; then
        echo "shellcheck is missing" >&2
        exit 77
fi

# All in a folder, but what is in builds.
find_scripts() {
        local file line

        scripts=()
        while IFS= read -r -d '' file; do
                line=
                IFS= read -r line <"$file" || true
                if [[ $line =~ ^'#!'.*sh$ ]]; then
                        scripts+=("$file")
                fi
        done < <(find "$1" -type d \( -name .git -o -exec test -e '{}/build.ninja' \; \) -prune -o -type f -print0)
}

# Proves that a script would be found wherever it is, and a fault in it noticed.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/underpass-shell-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/new/one" "$scratch/build"
touch "$scratch/build/build.ninja"
printf '#!/bin/sh\n' | tee "$scratch/new/one/script" >"$scratch/build/script"
find_scripts "$scratch"
if [[ ${scripts[*]} != "$scratch/new/one/script" ]]; then
        echo "finds ${scripts[*]-nothing} instead of new/one/script" >&2
        exit 1
fi
# shellcheck disable=SC2016
if printf '#!/bin/bash\ncd $1\n' | shellcheck - >/dev/null; then
        echo "shellcheck overlooks a plain fault" >&2
        exit 1
fi

find_scripts .
if ((${#scripts[@]} < 4)); then
        echo "found only ${#scripts[@]} scripts" >&2
        exit 1
fi
shellcheck -- "${scripts[@]}"
# Read by bash, never run, so they name no interpreter.
shellcheck --shell=bash -- data/*.bash-completion tests/lib/*.sh
