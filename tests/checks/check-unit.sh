#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The units: systemd understands every line of them, their sandboxes are as tight as promised, and nothing at boot waits for itself.
#
# usage: check-unit.sh UNIT PROBER-UNIT WAIT-ONLINE-UNIT, or check-unit.sh --self-test and the same (spoils the units in several
# ways; each must be noticed)
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
        local unit=$scratch/underpass.service text folder folders

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
        # A test machine cannot show this: it cannot write to its /sys itself.
        read -ra folders < <(sed -n 's/^ReadWritePaths=//p' "$1" | tr '\n' ' ') || true
        for folder in "${folders[@]}"; do
                [[ $folder != ?(-)/sys* || $folder == -/sys/@(fs/bpf/underpass|kernel/rcu_expedited) ]] ||
                        echo "can write to $folder"
        done
        # Of these two, the exposure says nothing.
        grep -qE '^WatchdogSec=[1-9]' "$1" || echo "nobody notices when the service hangs"
        grep -qE '^MemoryMax=[1-9]' "$1" || echo "its memory has no bound"
        # What is mounted after the start of the service is not made read-only for it, so it must not see it.
        for folder in /tmp /var /srv /mnt /media; do
                grep -qE "^InaccessiblePaths=(.* )?-$folder( |\$)" "$1" || echo "can write to what is mounted at $folder later"
        done
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

# unit NAME LINE…: writes a unit for the host below.
unit() {
        local name=$1

        shift
        printf '[Unit]\nDescription=%s\n' "$name" >"$boot/$name"
        printf '%s\n' "$@" >>"$boot/$name"
        if [[ $name == *.service ]]; then
                printf '[Service]\nType=oneshot\nExecStart=/bin/true\n' >>"$boot/$name"
        fi
}

# A host with systemd-networkd whose /var comes over the network. What belongs to systemd has the dependencies it has there.
complaints_about_boot() {
        local boot=$scratch/boot text

        rm -rf "$boot"
        mkdir "$boot" "$boot"/{multi-user,network-online,remote-fs}.target.wants
        unit sysinit.target DefaultDependencies=no RequiresMountsFor=/var/log After=systemd-tmpfiles-setup.service
        unit systemd-tmpfiles-setup.service DefaultDependencies=no RequiresMountsFor=/var/tmp
        unit basic.target Requires=sysinit.target After=sysinit.target
        unit dbus.socket 'Before=sockets.target' '[Socket]' ListenStream=/run/dbus/system_bus_socket
        unit dbus.service Requires=dbus.socket
        unit multi-user.target Requires=basic.target Wants=remote-fs.target Wants=network-online.target After=basic.target
        unit remote-fs.target DefaultDependencies=no
        unit network-pre.target
        unit network.target After=network-pre.target
        unit network-online.target After=network.target
        unit systemd-networkd.service DefaultDependencies=no After=network-pre.target Before=network.target
        unit systemd-networkd-wait-online.service DefaultDependencies=no After=systemd-networkd.service \
                Before=network-online.target
        unit var.mount Before=remote-fs.target '[Mount]' What=192.0.2.1:/var Where=/var Type=nfs
        sed 's,^ExecStart=/.*,ExecStart=/bin/true,' "$1" >"$boot/underpass.service"
        cp "$2" "$boot/underpass-wait-online.service"
        ln -s ../{dbus,systemd-networkd,underpass}.service "$boot/multi-user.target.wants/"
        ln -s ../systemd-networkd-wait-online.service ../underpass-wait-online.service "$boot/network-online.target.wants/"
        ln -s ../var.mount "$boot/remote-fs.target.wants/"

        text=$(SYSTEMD_UNIT_PATH=$boot systemd-analyze verify --man=no multi-user.target 2>&1 || true)
        grep -E 'cycle|underpass' <<<"$text" || true
        text=$(systemd-analyze verify --man=no "$2" 2>&1) || true
        [[ -z $text ]] || echo "verify: $text"
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
s/^(ReadWritePaths=.*)rcu_expedited/\1/
s/^WatchdogSec=.*//
s/^WatchdogSec=.*/WatchdogSec=0/
s/^MemoryMax=.*//
s/^MemoryMax=.*/MemoryMax=infinity/
s/^(InaccessiblePaths=.*) -.srv/\1/
s/^InaccessiblePaths=.*/ReadOnlyPaths=-\/tmp -\/var -\/srv -\/mnt -\/media/
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
        if [[ -z $(complaints_about_boot <(sed 's/^InaccessiblePaths=.*/PrivateTmp=yes/' "$1") "$3") ]]; then
                echo "not noticed: the service waits for /var"
                failed=1
        fi
        while read -r edit; do
                sed -E "$edit" "$3" >"$scratch/underpass-wait-online.service"
                if cmp -s "$3" "$scratch/underpass-wait-online.service" ||
                        [[ -z $(complaints_about_boot "$1" "$scratch/underpass-wait-online.service") ]]; then
                        echo "not noticed in the waiting unit: $edit"
                        failed=1
                fi
        done <<'EDITS'
s/^Type=oneshot/Type=once/
s/^DefaultDependencies=no//
s/^After=underpass.service/& dbus.service/
s/^InaccessiblePaths=.*/PrivateTmp=yes/
EDITS
        return "$failed"
}

if [[ $1 == --self-test ]]; then
        self_test "$2" "$3" "$4"
else
        found=$(complaints "$1"; complaints_about_prober "$2"; complaints_about_boot "$1" "$3")
        if [[ -n $found ]]; then
                echo "$found"
                exit 1
        fi
fi
