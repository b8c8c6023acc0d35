# SPDX-License-Identifier: GPL-2.0-or-later
"""nmcli is enough, on whole systems of three Debian releases: four commands set a tunnel up and show it, on both uplinks
and, by the same commands, on the server."""

import os
import shlex

import nmcli
import service
import state
import systems
import traffic
from host import wait_until
from lab import PORT

ADD = "nmcli connection add type vpn con-name {0}-tunnel vpn-type underpass vpn.data".split()


def commands(base, data):
    """The four commands for the profile of a link."""
    return [
        [*(word.format(base) for word in ADD), f"link={base}, {data}"],
        ["nmcli", "connection", "modify", f"{base}-tunnel", "+vpn.data", "mss=1300"],
        ["nmcli", "connection", "up", base],
        ["nmcli", "connection", "show", f"{base}-tunnel"],
    ]


def run_four(machine, base, device, data):
    """Runs the four commands, the last one as soon as the tunnel is shown; what a person has seen."""
    seen = []
    for number, command in enumerate(commands(base, data)):
        if number == 3:
            nmcli.wait_shown(machine, f"{base}-tunnel", device)
            nmcli.wait_banner(machine, f"{base}-tunnel", "tunnel active")
        output = machine.output(*command)
        if number == 3:
            interesting = ("vpn.", "GENERAL.STATE", "GENERAL.DEVICES", "VPN.")
            output = "".join(line for line in output.splitlines(True) if line.startswith(interesting))
        seen.append(f"# {shlex.join(command)}\n{output}")
    return "".join(seen)


def record(release, text):
    """Keeps what was seen where $UNDERPASS_NMCLI_OUTPUTS says."""
    path = os.environ.get("UNDERPASS_NMCLI_OUTPUTS")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"=== {release}\n{text}\n")


def word_of_manager(machine):
    """What an activation must not change."""
    whole = state.host_state(machine)
    topics = ("addresses", "routes", "routes of IPv6", "rules")
    return {**{topic: whole[topic] for topic in topics}, **nmcli.manager_state(machine)}


def assert_journal_names(machine, base, device):
    """What the journal says of the tunnel of a link is found by the fields that NetworkManager's own lines have."""
    uuid = machine.output("nmcli", "-g", "connection.uuid", "connection", "show", base).strip()
    fields = (f"NM_DEVICE={device}", f"NM_CONNECTION={uuid}", "_SYSTEMD_UNIT=underpass.service")
    lines = machine.journal("--output=cat", *fields)
    assert f"{device}: Now active" in lines, f"{fields}: {lines}"


def four_commands(release):
    """The four commands for each link; then the tunnel profile goes down and up, and the machine is rebooted."""
    with systems.Systems(release, server="NetworkManager", tunnel=False) as lab:
        machine = lab.client
        seen = machine.output("nmcli", "--version")
        run_four(lab.server, "server", "s0", f"tunnel=yes, local-ports={PORT}")
        for base, device in (("first", "c0"), ("second", "c1")):
            data = f"tunnel=yes, remote-ports={PORT}, mptcp-endpoint=subflow"
            seen += run_four(machine, base, device, data)
        seen += "# nmcli connection\n" + machine.output("nmcli", "connection")
        record(release, seen)
        for device in ("c0", "c1"):
            found = service.link(machine, device)
            assert found["State"] == service.ACTIVE and found["Warnings"] == [], found
        for base, device in (("first", "c0"), ("second", "c1")):
            assert_journal_names(machine, base, device)
        _, client = traffic.pair(lab)
        systems.tunnelled(lab, client, "four commands")
        client.stop()
        shown = word_of_manager(machine)
        machine.run("nmcli", "connection", "modify", "first-tunnel", "connection.autoconnect", "no")
        machine.down("first-tunnel")
        service.wait_state(machine, "c0", "off")
        machine.run("underpassctl", "activate", "c0")
        service.wait_state(machine, "c0", service.ACTIVE)
        hidden = word_of_manager(machine)
        state.assert_same(hidden, shown, "the tunnel profile was shown as active")
        machine.run("nmcli", "connection", "modify", "first-tunnel", "connection.autoconnect", "yes")
        reboot(lab)


def reboot(lab):
    """The client boots, and everything is as before."""
    lab.reboot(lab.client)
    lab.client.wait_running()
    for base, device in (("first", "c0"), ("second", "c1")):
        service.wait_state(lab.client, device, service.ACTIVE, seconds=20)
        nmcli.wait_shown(lab.client, f"{base}-tunnel", device, seconds=20)
    client = traffic.Peer(lab, lab.client)
    systems.tunnelled(lab, client, "after the boot")
    client.close("after the boot")
    wait_until(lambda: len(nmcli.processes(lab.client)) == 2, "one process for each tunnel profile")


def test_bookworm():
    """NetworkManager 1.42."""
    four_commands("bookworm")


def test_trixie():
    """NetworkManager 1.52."""
    four_commands("trixie")


def test_sid():
    """The newest NetworkManager."""
    four_commands("sid")
