# SPDX-License-Identifier: GPL-2.0-or-later
"""From one release to another one with other layouts of the maps, up and down, between all pairs of versions
(versions.py): no packet is lost, and what one of them has changed, another one puts back."""

import functools
import itertools

import runner
import service
import state
import steady
import traffic
import versions
from host import wait_until
from lab import PORT, address

# Each comes once after each other one.
ROUND = ("older", "current", "newer", "older", "newer", "current", "older")
SYSCTLS = "/run/sctp-sysctls"
LINKS = {"client": ("c0", "c1"), "server": ("s0",)}
KEYS = ("mtu=1400", "sctp-udp-port=9899", "sctp-encap-port=9899")

build = functools.cache(versions.build)


def switch(host, version, attach_point):
    """The service of a host ends, and that of another version starts."""
    versions.use(host, build(version), f"--attach-point={attach_point}", f"--sctp-sysctls={SYSCTLS}")
    service.manager_call(host, "ListLinks")


def switch_active(host, version, attach_point):
    """The same while all links have tunnels, which stay."""
    switch(host, version, attach_point)
    for interface in LINKS[host.name]:
        service.wait_state(host, interface, service.ACTIVE)


def sysctls(host):
    """SCTP sysctls of the host, which are files, for not every kernel has SCTP."""
    return [host.path(f"{SYSCTLS}/{name}_port").read_text().split()[0] for name in ("udp", "encap")]


def set_up(lab, version, attach_point):
    """All links up without tunnels, which their profiles ask for from then on, and services of this version;
    the states of the hosts."""
    for host in (lab.client, lab.server):
        for name in ("udp", "encap"):
            host.write(f"{SYSCTLS}/{name}_port", "0\n")
        switch(host, version, attach_point)
    for profile in ("first", "second"):
        lab.client.run("nmcli", "connection", "modify", profile, "connection.mptcp-flags", "disabled")
    service.bring_up(lab)
    before = {host: state.host_state(host) for host in (lab.client, lab.server)}
    service.set_tunnels(lab, *KEYS, endpoints="Underpass")
    return before


def changed(host):
    """What a tunnel has changed on the host, without the programs, which are others after each switch."""
    found = state.tunnel_state(host)
    del found["programs on links"]
    found["queueing disciplines"] = host.output(*state.COMMANDS["queueing disciplines"])
    return found | {"sctp": " ".join(sysctls(host))}


def assert_put_back(host, before, what):
    """By "deactivate --all", and nothing is left over."""
    host.run("underpassctl", "deactivate", "--all")
    wait_until(lambda: sysctls(host) == ["0", "0"], f"{what}: the sysctls of SCTP are put back")
    state.assert_same(before, state.settled(host, before), what)


def lost(host):
    """How many packets: segments, and datagrams that no program took for a tunnelled one."""
    return traffic.lost_segments(host) + traffic.kernel_counters(host)["Udp.NoPorts"]


def dropped(host):
    """Packets that the programs have dropped since they were loaded, by link and reason."""
    return {
        (interface, name): count
        for interface in LINKS[host.name]
        for name, count in service.counters(host, interface).items()
        if name.startswith("drop-") and count > 0
    }


def assert_nothing_lost(before, what):
    """No host has lost more packets than before; what was sent again may not have been answered yet."""
    for host, then in before.items():
        try:
            wait_until(lambda host=host, then=then: lost(host) <= then, "nothing is lost", 2)
        except TimeoutError:
            raise AssertionError(f"{what}: {host.name} has lost {lost(host) - then} packets") from None
        assert not dropped(host), f"{what}: {host.name}: {dropped(host)}"


def stepped(attach_point):
    """Through all versions with a transfer under way, one host after the other."""
    with runner.TestLab() as lab:
        hosts = (lab.client, lab.server)
        before = set_up(lab, ROUND[0], attach_point)
        service.bring_up(lab)
        _, client = traffic.pair(lab)
        traffic.connect_both(lab, client, "a")
        made = {host: changed(host) for host in hosts}
        assert "mtu 1400" in made[lab.client]["links"] and "9899" in made[lab.client]["sctp"], made
        assert address("c1") in made[lab.client]["MPTCP endpoints"], made
        lost_before = {host: lost(host) for host in hosts}
        client.start("uploads", "a", rate=steady.RATE)
        for (old, new), host in itertools.product(itertools.pairwise(ROUND), hosts):
            steady.goes_on(client)
            switch_active(host, new, attach_point)
            steady.goes_on(client)
            assert_nothing_lost(lost_before, f"{host.name} from {old} to {new}")
        for host in hosts:
            state.assert_same(made[host], changed(host), f"{host.name} after all versions")
        client.finish("a")
        assert client.wait("a")["equal"]
        traffic.wait_subflows(lab.client, [address("c0"), address("c1")])
        counted = lab.counters()
        assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted
        client.close("a")
        for host in hosts:
            assert_put_back(host, before[host], f"{host.name} after all versions")


def test_tcx():
    """As pinned attachments."""
    stepped("tcx")


def test_clsact():
    """As filters, in a clsact qdisc that the first service has made."""
    stepped("clsact")


def told(host):
    """How often a service has said that it leaves something of a newer release."""
    log = (host.folder / "log" / "bus.log").read_text()
    return log.count("a newer release has changed more on 2 links")


def put_back(attach_point):
    """The first thing that a service of another version is told is to take everything off."""
    with runner.TestLab() as lab:
        host = lab.client
        before = set_up(lab, "current", attach_point)[host]
        for old, new in itertools.permutations(("older", "current", "newer"), 2):
            switch(host, old, attach_point)
            service.bring_up(lab)
            for interface in LINKS[host.name]:
                service.wait_state(host, interface, service.ACTIVE)
            switch(host, new, attach_point)
            assert_put_back(host, before, f"from {old} to {new}")
        assert told(host) == 2, f"{told(host)} times"


def test_put_back_tcx():
    """As pinned attachments."""
    put_back("tcx")


def test_put_back_clsact():
    """As filters."""
    put_back("clsact")


def spoil_records(host, interface):
    """Puts a map in the place of the records that no service has written, with an entry for this link."""
    folder = host.output("find", state.PINS, "-mindepth", "1", "-maxdepth", "1").strip()
    index = int(host.path(f"/sys/class/net/{interface}/ifindex").read_text())
    words = ("type", "hash", "key", "4", "value", "8", "entries", "1024", "name", "saved")
    host.run("bpftool", "map", "create", f"{folder}/spoilt", *words)
    key = ("key", *index.to_bytes(4, "little"))
    host.run("bpftool", "map", "update", "pinned", f"{folder}/spoilt", *key, "value", *bytes(8))
    host.run("mv", f"{folder}/spoilt", f"{folder}/saved")


def test_unreadable():
    """Records that cannot be read: programs and helper devices go, and the journal says so."""
    with runner.TestLab() as lab:
        host = lab.client
        host.up("first")
        before = state.host_state(host)
        service.set_keys(host, "first", "tunnel=yes", f"remote-ports={PORT}", options=["--reapply"])
        service.wait_state(host, "c0", service.ACTIVE)
        service.kill(host)
        spoil_records(host, "c0")
        host.set_user_data("first", tunnel="no")
        host.run("nmcli", "device", "reapply", "c0")
        service.wait_state(host, "c0", "off")
        state.assert_same(before, state.settled(host, before), host.name)
        assert "records cannot be read" in (host.folder / "log" / "bus.log").read_text()


def test_device_without_ethernet_header():
    """Its programs are loaded apart from the others. A new release replaces them, too, and takes away those that
    nobody needs any more."""
    with runner.TestLab() as lab:
        client = lab.client
        client.write("/etc/underpass/line.conf", "[Match]\nName=wwan*\n\n[X-Underpass]\nTunnel=yes\nRemotePorts=8443\n")
        switch(client, "current", "auto")
        service.set_tunnels(lab)
        service.bring_up(lab)
        client.run("ip", "tuntap", "add", "dev", "wwan7", "mode", "tun")
        client.run("ip", "link", "set", "wwan7", "up")
        service.wait_state(client, "wwan7", service.ACTIVE)
        current = state.pinned_programs(client)
        assert len(current) == 8, current
        switch(client, "newer", "auto")
        service.wait_state(client, "wwan7", service.ACTIVE)
        newer = state.pinned_programs(client)
        assert set(newer) == set(current) and not set(newer.values()) & set(current.values()), (current, newer)
        client.run("ip", "link", "delete", "wwan7")
        wait_until(lambda: "wwan7" not in client.output("underpassctl", "status"), "the link is gone")
        switch_active(client, "current", "auto")
        names = {name for name in current if not name.endswith("_raw")}
        wait_until(lambda: set(state.pinned_programs(client)) == names, f"{names} are pinned")
