# SPDX-License-Identifier: GPL-2.0-or-later
"""After "nmcli connection down" or "underpassctl deactivate" the host is as it was before, byte for byte."""

import runner
import service
import state
import traffic
from lab import address


def cycle(lab, *profiles):
    """Brings profiles of the client up and down once, so that what NetworkManager itself leaves is in the
    picture."""
    for profile in profiles:
        lab.client.up(profile)
    for profile in profiles:
        lab.client.down(profile)


def restored(*pairs, endpoints="NetworkManager"):
    """Down restores, after traffic, for both uplinks and the server."""
    with runner.TestLab() as lab:
        if endpoints == "Underpass":
            for profile in ("first", "second"):
                lab.client.run(
                    "nmcli", "connection", "modify", profile, "connection.mptcp-flags", "disabled"
                )
        cycle(lab, "first", "second")
        lab.server.up("server")
        lab.server.down("server")
        before = {host.name: state.host_state(host) for host in (lab.client, lab.server)}
        service.set_tunnels(lab, *pairs, endpoints=endpoints)
        service.bring_up(lab)
        for interface in ("c0", "c1"):
            service.wait_state(lab.client, interface, service.ACTIVE)
        _, client = traffic.pair(lab)
        traffic.connect_both(lab, client, "a")
        client.transfer("upload", "a", size=1_000_000)
        client.close("a")
        assert state.difference(
            before["client"], state.host_state(lab.client)
        ), "the tunnel left no trace at all"
        for profile in ("first", "second"):
            lab.client.down(profile)
        lab.server.down("server")
        for host in (lab.client, lab.server):
            then = before[host.name]
            state.assert_same(then, state.settled(host, then), f"{host.name} after down")


def test_down_restores():
    """Endpoints by NetworkManager."""
    restored()


def test_down_restores_own_endpoints():
    """Endpoints by Underpass: they go, too."""
    restored(endpoints="Underpass")


def test_down_restores_mtu():
    """The profile lowers the MTU; afterwards it is the old one."""
    restored("mtu=1400")


def test_deactivate_restores_the_running_link():
    """With the connection up, deactivating gives the state of a connection without the tunnel; so does
    --all."""
    with runner.TestLab() as lab:
        cycle(lab, "first")
        lab.client.up("first")
        before = state.host_state(lab.client)
        service.set_keys(
            lab.client, "first", "tunnel=yes", "remote-ports=8443", "mtu=1400", options=("--reapply",)
        )
        for words in (("deactivate", "c0"), ("deactivate", "--all")):
            service.wait_state(lab.client, "c0", service.ACTIVE)
            assert "mtu 1400" in lab.client.output("ip", "link", "show", "c0")
            lab.client.run("underpassctl", *words)
            service.wait_state(lab.client, "c0", "off")
            state.assert_same(before, state.settled(lab.client, before), " ".join(words))
            lab.client.run("underpassctl", "activate", "c0")


def test_second_activation_changes_nothing():
    """Activating an active link is a no-op: same programs, same segmentation device, same endpoints."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        service.wait_state(lab.client, "c0", service.ACTIVE)
        before = state.host_state(lab.client)
        for _ in range(3):
            lab.client.run("underpassctl", "activate", "c0")
            lab.client.run("underpassctl", "reload")
        state.assert_same(before, state.host_state(lab.client), "activated again")


def test_reapply_switches_the_tunnel():
    """profile set --reapply takes effect on the active link; unset takes it away again."""
    with runner.TestLab() as lab:
        service.set_keys(lab.server, "server", "tunnel=yes", "local-ports=8443")
        lab.server.up("server")
        lab.client.up("first")
        _, client = traffic.pair(lab)
        service.set_keys(lab.client, "first", "tunnel=yes", "remote-ports=8443", options=("--reapply",))
        service.wait_state(lab.client, "c0", service.ACTIVE)
        client.connect("a", address("s0"))
        client.transfer("echo", "a", size=1000)
        assert not client.info("a")["fallback"]
        lab.client.run("underpassctl", "profile", "unset", "--reapply", "first", "tunnel", "remote-ports")
        service.wait_state(lab.client, "c0", "off")
        client.connect("b", address("s0"))
        client.transfer("echo", "b", size=1000)
        assert client.info("b")["fallback"]
