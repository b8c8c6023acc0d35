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

scripts=()
while IFS= read -r -d '' file; do
        IFS= read -r line <"$file" || true
        if [[ $line =~ ^'#!'.*sh$ ]]; then
                scripts+=("$file")
        fi
done < <(find .ci data dispatcher tests -type f -print0 2>/dev/null)
if ((${#scripts[@]} < 4)); then
        echo "found only ${#scripts[@]} scripts" >&2
        exit 1
fi

# Proves that a fault would be noticed.
# shellcheck disable=SC2016
if printf '#!/bin/bash\ncd $1\n' | shellcheck - >/dev/null; then
        echo "shellcheck overlooks a plain fault" >&2
        exit 1
fi

shellcheck -- "${scripts[@]}"
# Read by bash, never run, so they name no interpreter.
shellcheck --shell=bash -- data/*.bash-completion tests/lib/*.sh
