#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The units: systemd understands every line of them, and their sandboxes are as tight as promised.
#
# usage: check-unit.sh UNIT PROBER-UNIT, or check-unit.sh --self-test UNIT (spoils the unit in several ways; each must be noticed)
set -euo pipefail
export LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin

exposure_max=15  # tenths
prober_exposure_max=16
scratch=$(mktemp -d "${TMPDIR:-/tmp}/underpass-unit-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

if ! command -v systemd-analyze >/dev/null; then
        echo "systemd-analyze is missing" >&2
        exit 77
fi

# Prints what is wrong with a unit file. The program need not be installed, so another one stands in for it.
complaints() {
        local unit=$scratch/underpass.service text

        sed 's,^ExecStart=/.*,ExecStart=/bin/true,' "$1" >"$unit"
        if ! text=$(systemd-analyze verify --man=no "$unit" 2>&1) || [[ -n $text ]]; then
                echo "verify: $text"
        fi
        if ! text=$(systemd-analyze security --offline=true --threshold="$exposure_max" --no-pager "$unit" 2>&1); then
                echo "security: ${text##*$'\n'}"
        fi

        # bpf is part of @privileged, so it has to be allowed after that was forbidden, or no program loads.
        if [[ $(grep '^SystemCallFilter=' "$1" | tail -n 1) != SystemCallFilter=bpf ]]; then
                echo "the last SystemCallFilter= does not allow bpf"
        fi
        # Both hide what the service reads: /proc/sys/net, and the links of the host.
        if grep -E '^(ProcSubset=pid|PrivateNetwork=(yes|true|1|on))' "$1"; then
                echo "hides what the service has to see"
        fi
        # With ProtectKernelTunables= all of /sys is read-only, bpffs included, but for folders inside that are named.
        if grep -q '^ProtectKernelTunables=yes' "$1" && ! grep -q '^ReadWritePaths=.*/sys/fs/bpf/underpass' "$1"; then
                echo "cannot pin anything"
        fi
        # Of these two, the exposure says nothing.
        grep -qE '^WatchdogSec=[1-9]' "$1" || echo "nobody notices when the service hangs"
        grep -qE '^MemoryMax=[1-9]' "$1" || echo "its memory has no bound"
}

# The prober reads what strangers answer: it has no capability, and no socket but ordinary ones.
complaints_about_prober() {
        local unit=$scratch/underpass-prober.service text

        sed 's,^ExecStart=/.*,ExecStart=/bin/true,' "$1" >"$unit"
        if ! text=$(systemd-analyze verify --man=no "$unit" 2>&1) || [[ -n $text ]]; then
                echo "verify: $text"
        fi
        if ! text=$(systemd-analyze security --offline=true --threshold="$prober_exposure_max" --no-pager "$unit" 2>&1); then
                echo "security: ${text##*$'\n'}"
        fi
        grep -qx 'CapabilityBoundingSet=' "$1" || echo "the prober has capabilities"
        grep -qx 'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6' "$1" || echo "the prober has other sockets"
}

self_test() {
        local edit failed=0

        while read -r edit; do
                sed -E "$edit" "$1" >"$scratch/spoiled"
                if cmp -s "$1" "$scratch/spoiled"; then
                        echo "this edit changes nothing: $edit"
                        failed=1
                elif [[ -z $(complaints "$scratch/spoiled") ]]; then
                        echo "not noticed: $edit"
                        failed=1
                fi
        done <<'EDITS'
s/^Restart=/Restrat=/
s/^Type=notify/Type=notifyy/
s/^SystemCallFilter=bpf$/SystemCallFilter=@system-service/
s/^CapabilityBoundingSet=.*/CapabilityBoundingSet=CAP_SYS_ADMIN CAP_NET_ADMIN CAP_BPF CAP_SYS_PTRACE CAP_SYS_MODULE/
s/^ProtectProc=.*/ProcSubset=pid/
s/^PrivateIPC=.*/PrivateNetwork=yes/
s/^ReadWritePaths=.*//
s/^WatchdogSec=.*//
s/^WatchdogSec=.*/WatchdogSec=0/
s/^MemoryMax=.*//
s/^MemoryMax=.*/MemoryMax=infinity/
s/^(Protect|Restrict|Private|SystemCall).*//
EDITS
        while read -r edit; do
                sed -E "$edit" "$2" >"$scratch/spoiled"
                if cmp -s "$2" "$scratch/spoiled" || [[ -z $(complaints_about_prober "$scratch/spoiled") ]]; then
                        echo "not noticed in the prober's: $edit"
                        failed=1
                fi
        done <<'EDITS'
s/^Type=dbus/Type=dbuss/
s/^CapabilityBoundingSet=$/CapabilityBoundingSet=CAP_NET_RAW/
s/^RestrictAddressFamilies=.*/&  AF_PACKET/
s/^(Protect|Private|SystemCall).*//
EDITS
        return "$failed"
}

if [[ $1 == --self-test ]]; then
        self_test "$2" "$3"
else
        found=$(complaints "$1"; complaints_about_prober "$2")
        if [[ -n $found ]]; then
                echo "$found"
                exit 1
        fi
fi
