# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole system whose links have two managers, and links that come, go, change names, numbers and network
namespaces, or lose their carrier for a while."""

import time

import runner
import service
import systems
import traffic
from host import wait_until
from lab import LINKS, PORT, address

SLEEP = 8  # seconds without carrier: longer than NetworkManager waits for it to come back
PINS = "/sys/fs/bpf/underpass"
NUMBER = 4242  # of a link
PROFILE = "[Match]\nName=%s\n[X-Underpass]\nTunnel=yes\nRemotePorts=%d\n"


def sources(machine, interface):
    """Who asks for the tunnel of a link: "NetworkManager", "networkd", "file" or "default"."""
    settings = service.link(machine, interface)["Settings"]
    return next(source for key, _, source, _ in settings if key == "tunnel")


def pinned(machine, number=NUMBER):
    """Whether something is pinned for a link of this number."""
    return any(machine.path(PINS).glob(f"*/{number}-*"))


def known(machine, interface):
    """Whether the service knows a link."""
    links = service.manager_call(machine, "ListLinks")["data"][0]
    return interface in [name for _, name, _, _ in links]


def hand_over(lab, client):
    """The first uplink goes from networkd to NetworkManager, and back."""
    machine = lab.client
    assert (sources(machine, "c0"), sources(machine, "c1")) == ("networkd", "NetworkManager")
    file = machine.path("/etc/systemd/network/20-c0.network")
    text = file.read_text()
    file.unlink()
    machine.run("networkctl", "reload")
    machine.run("nmcli", "device", "set", "c0", "managed", "yes")
    machine.add_profile("first", "c0", **lab.profile_properties("c0", 100))
    service.set_keys(machine, "first", "tunnel=yes", f"remote-ports={PORT}")
    machine.up("first")
    wait_until(lambda: sources(machine, "c0") == "NetworkManager", "c0 is NetworkManager's")
    service.wait_state(machine, "c0", service.ACTIVE)
    systems.tunnelled(lab, client, "handed over")
    client.close("handed over")
    machine.down("first")
    machine.run("nmcli", "device", "set", "c0", "managed", "no")
    file.write_text(text)
    machine.run("networkctl", "reload")
    machine.run("networkctl", "reconfigure", "c0")
    wait_until(lambda: sources(machine, "c0") == "networkd", "c0 is networkd's again")
    service.wait_state(machine, "c0", service.ACTIVE)
    systems.tunnelled(lab, client, "handed back")
    client.close("handed back")


def lose_carrier(lab, client):
    """The host sleeps: both uplinks lose their carrier, and have it again; seconds from then to a tunnelled
    connection."""
    peers = [LINKS[uplink][0] for uplink in ("c0", "c1")]
    for peer in peers:
        lab.middlebox.run("ip", "link", "set", peer, "down")
    wait_until(
        lambda: service.link(lab.client, "c1")["State"] == "off", "NetworkManager gives c1 up", 2 * SLEEP
    )
    for peer in peers:
        lab.middlebox.run("ip", "link", "set", peer, "up")
    begin = time.monotonic()
    for uplink in ("c0", "c1"):
        service.wait_state(lab.client, uplink, service.ACTIVE)
        wait_until(
            lambda name=uplink: address(name, router=True)
            in lab.client.output("ip", "route", "show", "dev", name),
            f"{uplink} has its route",
        )
    systems.tunnelled(lab, client, "awake")
    client.close("awake")
    return time.monotonic() - begin


def test_trixie_two_managers():
    """networkd has one uplink and NetworkManager the other; then NetworkManager has both; then the host sleeps."""
    with systems.Systems("trixie", ("networkd", "NetworkManager")) as lab:
        _, client = traffic.pair(lab)
        for machine in (lab.client, lab.server):
            for interface in lab.interfaces(machine):
                service.wait_state(machine, interface, service.ACTIVE)
        systems.tunnelled(lab, client, "each its own")
        client.close("each its own")
        hand_over(lab, client)
        seconds = lose_carrier(lab, client)
        runner.note(f"carrier back: tunnelled over both uplinks after {seconds:.2f} s")


def plug(machine, name, peer="away0"):
    """A link appears, with NUMBER."""
    machine.run("ip", "link", "add", "name", name, "index", NUMBER, "type", "veth", "peer", "name", peer)


def hot_plug(machine):
    """A link with a profile comes and goes, and another one without a profile gets its number."""
    begin = time.monotonic()
    plug(machine, "plug0")
    service.wait_state(machine, "plug0", service.ACTIVE)
    runner.note(f"hot-plug: tunnel after {time.monotonic() - begin:.2f} s")
    assert pinned(machine)
    machine.run("ip", "link", "delete", "plug0")
    wait_until(lambda: not pinned(machine) and not known(machine, "plug0"), "plug0 is forgotten")
    plug(machine, "other0")
    wait_until(lambda: known(machine, "other0"), "other0 is seen")
    machine.run("underpassctl", "reload")
    assert service.link(machine, "other0")["State"] == "off" and not pinned(machine)


def rename(machine):
    """The link gets a name that has a profile, and loses it again."""
    machine.run("ip", "link", "set", "other0", "name", "plug0")
    service.wait_state(machine, "plug0", service.ACTIVE)
    assert pinned(machine)
    machine.run("ip", "link", "set", "plug0", "name", "other0")
    service.wait_state(machine, "other0", "off")
    assert not pinned(machine)
    machine.run("ip", "link", "set", "other0", "name", "plug0")
    service.wait_state(machine, "plug0", service.ACTIVE)


def move(machine):
    """The link goes to another network namespace and comes back."""
    machine.run("ip", "netns", "add", "away")
    machine.run("ip", "link", "set", "plug0", "netns", "away")
    wait_until(lambda: not known(machine, "plug0") and not pinned(machine), "plug0 is forgotten")
    attached = machine.run("ip", "netns", "exec", "away", "bpftool", "net", "show", "dev", "plug0").stdout
    assert "underpass" not in attached, attached
    machine.run("ip", "netns", "exec", "away", "ip", "link", "set", "plug0", "netns", "1")
    service.wait_state(machine, "plug0", service.ACTIVE)
    machine.run("ip", "netns", "delete", "away")


def test_trixie_links_change():
    """Hot-plug and hot-unplug, a number that is used again, a rename, and a move to another namespace."""
    with systems.Machines("trixie") as lab:
        machine = lab.machine("client", ("networkd",))
        machine.write("/etc/underpass/plug.conf", PROFILE % ("plug*", PORT))
        machine.boot()
        machine.wait_running()
        hot_plug(machine)
        rename(machine)
        move(machine)
        machine.run("ip", "link", "delete", "plug0")
        wait_until(lambda: not pinned(machine), "nothing is pinned")
        wait_until(lambda: "underpass-" not in machine.output("ip", "link"), "the helper devices go")
