# SPDX-License-Identifier: GPL-2.0-or-later
"""A profile that cannot be applied as a whole leaves host and connections as they were: the real programs, the kernel's own
MTU and endpoints, and a transfer that goes on meanwhile."""

import signal

import runner
import service
import state
import traffic
from host import wait_until

LIMIT = 8  # endpoints that the kernel takes
LINKS = ("c0", "c1")


def endpoints(host):
    """MPTCP endpoints of a host, a line each."""
    return host.output("ip", "mptcp", "endpoint").splitlines()


def fill(host):
    """Endpoints of others until the kernel takes no more."""
    for number in range(LIMIT - len(endpoints(host))):
        host.run("ip", "mptcp", "endpoint", "add", f"203.0.113.{number + 1}", "signal")


def active_client(lab):
    """Both uplinks with a tunnel, an MTU and endpoints of Underpass, and a connection with two subflows."""
    for profile in ("first", "second"):
        lab.client.run("nmcli", "connection", "modify", profile, "connection.mptcp-flags", "disabled")
    service.set_tunnels(lab, "mtu=1400", endpoints="Underpass")
    service.bring_up(lab)
    _, client = traffic.pair(lab)
    traffic.connect_both(lab, client, "a")
    return client


def helpers(host):
    """Names of the helper devices."""
    return {name for name in host.output("ls", "/sys/class/net").split() if name.startswith("underpass-")}


def pins(host, interface):
    """Pins of the programs of a link."""
    index = host.output("cat", f"/sys/class/net/{interface}/ifindex").strip()
    return host.output("find", state.PINS, "-mindepth", "2", "-name", f"{index}-*gress").split()


def wait_failed(host, stage="endpoint"):
    """Waits until neither link can be brought in line."""
    for interface in LINKS:
        service.wait_state(host, interface, "failed")
        wait_until(lambda name=interface: service.link(host, name)["LastStage"] == stage, f"{interface}: {stage}")


def lose_devices(lab, client):
    """Somebody removes the helper devices, one after the other: they come back, and both links use them."""
    there = helpers(lab.client)
    for device in sorted(there):
        lab.client.run("ip", "link", "delete", device, check=False)
        wait_until(lambda: helpers(lab.client) == there, f"{device} is back")
        for interface in LINKS:
            applied = dict(service.link(lab.client, interface)["Applied"])
            assert "segmentation-device" in applied, f"{interface} without {device}: {applied}"
        client.transfer("upload", "a", size=500_000)
    assert len(traffic.subflows(lab.client)) == 2, traffic.subflows(lab.client)


def lose_programs(lab):
    """Somebody takes the programs off, again and again; each time they come back with the next look."""
    for interface in 3 * LINKS:
        names = pins(lab.client, interface)
        assert len(names) == 2, names
        lab.client.run("rm", *names)
        lab.client.run("ip", "link", "set", interface, "alias", "seen")
        wait_until(lambda: pins(lab.client, interface) == names, f"{interface} has its programs again")
        lab.client.run("ip", "link", "set", interface, "alias", "")


def test_what_was_in_force_stays():
    """Settings, MTU and endpoints are to change, and there is no room for one more endpoint."""
    with runner.TestLab() as lab:
        client = active_client(lab)
        fill(lab.client)
        lab.client.run("nmcli", "connection", "modify", "second", "+ipv4.addresses", "192.0.2.77/24")
        lab.client.run("nmcli", "device", "reapply", "c1")
        service.wait_state(lab.client, "c1", "failed")
        before = state.host_state(lab.client)
        assert "1400" in str(service.link(lab.client, "c1")["Applied"])
        for pairs in (
            ("mtu=1300", "mptcp-endpoint=subflow,backup"),
            ("mtu=auto", "mptcp-endpoint=signal"),
            ("mtu=1300", "receive=tc", "mptcp-endpoint=subflow,fullmesh"),
        ):
            service.set_keys(lab.client, "second", *pairs, options=("--reapply",), check=False)
            found = service.link(lab.client, "c1")
            assert (found["State"], found["LastStage"]) == ("failed", "endpoint"), found
            assert "put back" not in found["LastError"], found["LastError"]
            state.assert_same(before, state.settled(lab.client, before), f"after {' '.join(pairs)}")
        client.transfer("upload", "a", size=2_000_000)
        assert len(traffic.subflows(lab.client)) == 2, traffic.subflows(lab.client)
        client.close("a")


def test_a_device_name_that_is_taken():
    """No helper device can be created, so nothing is attached and nothing is left."""
    with runner.TestLab() as lab:
        lab.client.run("ip", "link", "add", "underpass-tx", "type", "veth", "peer", "name", "other0")
        lab.client.up("first")
        lab.client.down("first")
        before = state.host_state(lab.client)
        service.set_keys(lab.client, "first", "tunnel=yes", "remote-ports=8443", "mtu=1400")
        lab.client.up("first")
        found = service.wait_state(lab.client, "c0", "failed")
        assert found["LastStage"] == "segmentation" and "underpass-tx" in found["LastError"], found
        assert not found["Programs"] and not found["Applied"], found
        lab.client.down("first")
        state.assert_same(before, state.settled(lab.client, before), "after a failed activation")


def test_what_is_lost_comes_back():
    """A link in "failed" goes on with the tunnel of before, so it needs helper devices and programs as any other: after
    a profile that has no room for its endpoints, taken over by another service, and after one that is wrong."""
    with runner.TestLab() as lab:
        client = active_client(lab)
        fill(lab.client)
        for profile, interface, address in (("first", "c0", "10.9.9.77/24"), ("second", "c1", "192.0.2.77/24")):
            lab.client.run("nmcli", "connection", "modify", profile, "+ipv4.addresses", address)
            lab.client.run("nmcli", "device", "reapply", interface)
        wait_failed(lab.client)
        service.kill(lab.client, signal.SIGTERM)
        service.manager_call(lab.client, "Reload")
        wait_failed(lab.client)
        lose_devices(lab, client)
        lose_programs(lab)
        client.transfer("upload", "a", size=500_000)
        wait_failed(lab.client)
        for profile in ("first", "second"):
            service.set_keys(lab.client, profile, "mtu=auto", "mss=1470", options=("--reapply",), check=False)
        wait_failed(lab.client, "profile")
        lose_devices(lab, client)
        lose_programs(lab)
        client.transfer("upload", "a", size=500_000)
        wait_failed(lab.client, "profile")
        client.close("a")
