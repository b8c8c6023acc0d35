# SPDX-License-Identifier: GPL-2.0-or-later
"""Every kind of segmentation device that the kernel has, and every way to receive: whole transfers, nothing but
datagrams on the wire, no packet dropped, changed under a running transfer, and nothing left behind."""

import json
import signal

import runner
import service
import state
import traffic
import wire
from host import HERE, wait_until
from lab import PORT, address

ATTACHMENTS = ("/usr/bin/python3", HERE / "attachments.py")
PIN = "/sys/fs/bpf/foreign"
XDP_PASS = 2
SIZE = 4_000_000
RATE = 1_000_000_000  # bytes a second, more than the lab can move: both directions are busy
PIECE = 1_000_000  # bytes that show that a transfer goes on
CLIENT_LINKS = ("c0", "c1")
# Devices that exist with a kind of segmentation device, besides the GRO pair.
DEVICES = {
    "netkit": {"underpass-nk", "underpass-np"},
    "vlan": None,  # one a link, with its number
    "bridge": {"underpass-br"},
    "veth": set(),
}
PAIR = {"underpass-tx", "underpass-rx"}


def use_kind(kind, *hosts):
    """Which segmentation device the services use from their next start on; those that run are ended."""
    for host in hosts:
        service.set_environment(host, UNDERPASS_SEGMENTATION=kind)
        if service.pid(host):
            service.kill(host, signal.SIGTERM)


def helpers(host):
    """Names of the helper devices."""
    return {name for name in host.output("ls", "/sys/class/net").split() if name.startswith("underpass-")}


def expected_helpers(host, kind, links):
    """Those that there should be."""
    if kind != "vlan":
        return PAIR | DEVICES[kind]
    index = {link["ifname"]: link["ifindex"] for link in json.loads(host.output("ip", "-json", "link"))}
    return PAIR | {f"underpass-v{index[link]}" for link in links}


def assert_kind(host, kind, links):
    """The segmentation device is of this kind wherever it is told, its devices exist and no others."""
    assert service.manager_property(host, "SegmentationDevice")[0] == kind
    for link in links:
        applied = dict(service.link(host, link)["Applied"])
        assert applied["segmentation-device"].split()[0] == kind, f"{link}: {applied}"
    assert helpers(host) == expected_helpers(host, kind, links), f"{helpers(host)}"


def set_up_tunnels(lab, kind=None, keys=()):
    """Gives all links of both hosts their tunnel; the client's peer program. kind: of the segmentation
    device."""
    if kind:
        use_kind(kind, lab.client, lab.server)
    service.set_tunnels(lab, *keys)
    if keys:
        service.set_keys(lab.server, "server", *keys)
    service.bring_up(lab)
    if kind:
        service.need_kind(lab.client, kind, "c0")
    for link in CLIENT_LINKS:
        service.wait_state(lab.client, link, service.ACTIVE)
    service.wait_state(lab.server, "s0", service.ACTIVE)
    return traffic.pair(lab)[1]


def dropped_packets(lab):
    """Packets of tunnelled flows that were dropped, by host and counter, without those that are 0."""
    found = {}
    for host, links in ((lab.client, CLIENT_LINKS), (lab.server, ("s0",))):
        for link in links:
            for name, value in service.counters(host, link).items():
                if name.startswith("drop-") and name != "drop-icmp" and value:
                    found[f"{host.name} {link} {name}"] = value
        for device in helpers(host):
            for name in ("rx_dropped", "tx_dropped", "rx_errors", "tx_errors"):
                value = int(host.output("cat", f"/sys/class/net/{device}/statistics/{name}"))
                if value:
                    found[f"{host.name} {device} {name}"] = value
    return found


def transfers(lab, client, family, name):
    """MPTCP over both uplinks, data both ways."""
    traffic.connect_both(lab, client, name, family)
    client.transfer("upload", name, size=SIZE)
    client.transfer("download", name, size=SIZE)
    assert client.info(name)["fallback"] is False
    client.close(name)


def assert_only_datagrams(lab, client):
    """Transfers with both families; every packet on all links of the middlebox must be a right datagram."""
    peers = ("mc0", "mc1", "ms0")
    for family in (4, 6):
        captures = [wire.Capture(lab.middlebox, peer) for peer in peers]
        with captures[0], captures[1], captures[2]:
            transfers(lab, client, family, f"family-{family}")
        for each in captures:
            report = each.assert_tunnelled(PORT, family)
            assert report.udp > 100, f"{each.interface}: {report}"


def take_down(lab):
    """All connections down, until nothing is attached any more."""
    lab.server.down("server")
    lab.client.down("first")
    lab.client.down("second")
    for host in (lab.client, lab.server):
        wait_until(lambda host=host: not helpers(host), f"{host.name}: the helper devices are gone")


def kind_works(kind):
    """One kind of segmentation device on both hosts, from activation to the last trace of it; all has the classic form,
    which passes it."""
    with runner.TestLab() as lab:
        before = state.host_state(lab.client)
        client = set_up_tunnels(lab, kind, ("bulk=no",))
        assert_kind(lab.client, kind, CLIENT_LINKS)
        assert_kind(lab.server, kind, ("s0",))
        assert_only_datagrams(lab, client)
        assert not dropped_packets(lab), f"{dropped_packets(lab)}"
        take_down(lab)
        state.assert_same(before, state.settled(lab.client, before), "down")


def test_netkit():
    """A netkit pair."""
    kind_works("netkit")


def test_vlan():
    """An 8021q device on each link."""
    kind_works("vlan")


def test_bridge():
    """A bridge with the GRO pair as its port."""
    kind_works("bridge")


def test_veth():
    """The pair alone."""
    kind_works("veth")


def test_best_kind_is_chosen():
    """Without a wish it is the first that the kernel has, and what was passed over is told with the
    reason."""
    with runner.TestLab() as lab:
        client = set_up_tunnels(lab)
        kinds = list(DEVICES)
        kind, name = service.manager_property(lab.client, "SegmentationDevice")
        refused = dict(service.manager_property(lab.client, "SegmentationDevicesSkipped"))
        assert list(refused) == kinds[: kinds.index(kind)], f"{kind}: {refused}"
        assert all(refused.values()), refused
        assert kind != "veth", refused
        text = lab.client.output("underpassctl", "status", "--verbose").splitlines()
        assert f"segmentation device {kind} ({name})" in text[0], text
        for other, reason in refused.items():
            assert f"{other}: {reason}" in text[1], text
        runner.note(f"{kind}, refused: {refused}")
        transfers(lab, client, 4, "a")


def test_wrong_kind_is_refused():
    """A word that is no kind ends the service at once, and is named."""
    with runner.TestLab() as lab:
        result = lab.client.run("env", "UNDERPASS_SEGMENTATION=tap", "/usr/libexec/underpassd", check=False)
        assert result.returncode == 2 and '"tap"' in result.stderr, result


def possible_kinds(lab):
    """The kinds that this kernel has."""
    refused = dict(service.manager_property(lab.client, "SegmentationDevicesSkipped"))
    return [kind for kind in DEVICES if kind not in refused]


def restart(lab, host, kind, links):
    """A new service with another kind takes the tunnels over."""
    use_kind(kind, host)
    service.manager_call(host, "Reload")
    wait_until(lambda: service.manager_property(host, "SegmentationDevice")[0] == kind, f"{host.name} uses {kind}", 20)
    for link in links:
        service.wait_state(host, link, service.ACTIVE)
    assert_kind(host, kind, links)


def walk(kinds):
    """An order in which each kind follows each other one; the first is the one in use."""
    order = kinds[:1]
    for first in kinds:
        for second in kinds:
            if first != second:
                order += [kind for kind in (first, second) if kind != order[-1]]
    return order[1:]


def test_kind_changes_under_a_transfer():
    """From each kind to each other one on the sending host, while both directions are busy: the data arrive
    whole, all of it as datagrams, nothing is dropped at a segmentation device."""
    with runner.TestLab() as lab:
        client = set_up_tunnels(lab)
        kinds = possible_kinds(lab)
        before = lab.counters()
        for name in ("up", "down"):
            client.connect(name)
            client.transfer("echo", name, size=10_000)
        traffic.wait_subflows(lab.client, 2 * [address("c0"), address("c1")])
        order = walk(kinds)
        for name in ("up", "down"):
            client.start(f"{name}loads", name, rate=RATE)
        for kind in order:
            restart(lab, lab.client, kind, CLIENT_LINKS)
            for name in ("up", "down"):
                client.wait_moved(name, PIECE)
        for name in ("up", "down"):
            client.finish(name)
            assert client.wait(name)["equal"], name
            assert client.info(name)["fallback"] is False
        after = lab.counters()
        for peer in ("tcp-mc0", "tcp-mc1"):
            assert after[peer] == before[peer] == (0, 0), f"{after}"
        found = {name: value for name, value in dropped_packets(lab).items() if "drop-" in name}
        assert not found, f"{found}"
        runner.note(f"{order}")


def receive_mode(host, link):
    """How a link receives."""
    return service.link(host, link)["ReceiveMode"][0]


def merged(host):
    """Packets that have left the GRO pair."""
    return int(host.output("cat", "/sys/class/net/underpass-tx/statistics/rx_packets"))


def has_native_xdp(host, link):
    """Whether a program sits in the driver."""
    words = host.output("ip", "link", "show", link).split()
    return "xdp" in words or "xdp/id" in " ".join(words)


def receive_mode_works(value, merges):
    """One way to receive the classic form on both hosts, from activation to the last trace of it."""
    with runner.TestLab() as lab:
        before = state.host_state(lab.client)
        client = set_up_tunnels(lab, keys=(f"receive={value}", "bulk=no"))
        for host, links in ((lab.client, CLIENT_LINKS), (lab.server, ("s0",))):
            for link in links:
                found = service.link(host, link)
                assert found["ReceiveMode"][0] == value and found["Warnings"] == [], f"{found}"
                assert has_native_xdp(host, link) == (value == "xdp"), link
        counted = [merged(host) for host in (lab.client, lab.server)]
        assert_only_datagrams(lab, client)
        found = [merged(host) - then for host, then in zip((lab.client, lab.server), counted)]
        assert all(number > 0 for number in found) if merges else found == [0, 0], f"{found}"
        assert not dropped_packets(lab), f"{dropped_packets(lab)}"
        take_down(lab)
        state.assert_same(before, state.settled(lab.client, before), "down")


def test_receive_auto():
    """Bulk goes through the GRO pair."""
    receive_mode_works("auto", True)


def test_receive_tc():
    """Nothing goes through the GRO pair."""
    receive_mode_works("tc", False)


def test_receive_gro():
    """Everything goes through the GRO pair."""
    receive_mode_works("gro", True)


def test_receive_xdp():
    """In the driver; nothing goes through the GRO pair."""
    receive_mode_works("xdp", False)


def receive_mode_changes(protocol, values):
    """The key is changed on active links of both hosts, again and again: the data arrive whole."""
    with runner.TestLab() as lab:
        client = set_up_tunnels(lab, keys=("mptcp-only=no",))
        client.connect("a", protocol=protocol)
        client.transfer("echo", "a", size=10_000)
        if protocol == "mptcp":
            traffic.wait_subflows(lab.client, [address("c0"), address("c1")])
        client.start("downloads", "a", rate=RATE)
        for value in values:
            for host, profile, link in ((lab.client, "first", "c0"), (lab.server, "server", "s0")):
                service.set_keys(host, profile, f"receive={value}", options=("--reapply",))
                wait_until(lambda: receive_mode(host, link) == value, f"{link} receives by {value}")
                assert has_native_xdp(host, link) == (value == "xdp"), f"{link} {value}"
            client.wait_moved("a", PIECE)
        client.finish("a")
        assert client.wait("a")["equal"]
        if protocol == "mptcp":
            assert client.info("a")["fallback"] is False
        found = {name: value for name, value in dropped_packets(lab).items() if "drop-" in name}
        assert not found, f"{found}"


def test_receive_changes_under_tcp():
    """All four ways."""
    receive_mode_changes("tcp", ("tc", "gro", "xdp", "auto", "xdp", "tc", "auto"))


def test_receive_changes_under_mptcp():
    """The ways that do not touch the driver: when XDP on veth began under a transfer, MPTCP of kernel 6.18 was
    seen to stall now and then, its receive memory full behind a hole."""
    receive_mode_changes("mptcp", ("tc", "gro", "auto", "tc", "auto", "gro", "auto"))


def test_foreign_xdp_stays():
    """A program of somebody else is not replaced: the link receives as with auto and says why; when it has
    gone, the next look at the link brings XDP."""
    with runner.TestLab() as lab:
        lab.client.up("first")
        lab.client.run(*ATTACHMENTS, "attach", "c0", "xdp", "first", str(XDP_PASS), PIN)
        client = set_up_tunnels(lab, keys=("receive=xdp",))
        found = service.link(lab.client, "c0")
        assert found["State"] == service.ACTIVE and found["ReceiveMode"][0] == "auto", f"{found}"
        assert any("another XDP program" in warning for warning in found["Warnings"]), found["Warnings"]
        assert "another XDP program" in lab.client.output("underpassctl", "explain", "c0")
        assert receive_mode(lab.client, "c1") == "xdp"
        transfers(lab, client, 4, "a")
        assert int(lab.client.output(*ATTACHMENTS, "count", PIN)) > 100
        assert "xdpgeneric" in lab.client.output("ip", "link", "show", "c0")
        lab.client.run("rm", PIN, PIN + "-packets")
        wait_until(
            lambda: "xdpgeneric" not in lab.client.output("ip", "link", "show", "c0"), "the program is gone"
        )
        lab.client.run("underpassctl", "reload")
        found = service.link(lab.client, "c0")
        assert found["ReceiveMode"][0] == "xdp" and found["Warnings"] == [], f"{found}"
        transfers(lab, client, 4, "b")


def test_lost_devices_come_back():
    """Somebody removes a helper device: the tunnel is whole again after a moment."""
    with runner.TestLab() as lab:
        client = set_up_tunnels(lab)
        kind = service.manager_property(lab.client, "SegmentationDevice")[0]
        for device in sorted(helpers(lab.client)):
            # One may have gone with the other; all are there again when the service has noticed.
            lab.client.run("ip", "link", "delete", device, check=False)
            expected = expected_helpers(lab.client, kind, CLIENT_LINKS)
            wait_until(lambda: helpers(lab.client) == expected, f"{device} is back")
            lab.client.run("underpassctl", "reload")
            transfers(lab, client, 4, device)
