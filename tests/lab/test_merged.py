# SPDX-License-Identifier: GPL-2.0-or-later
"""Datagrams that the stack merges before the programs see them: because a switch of the receiving link says so,
which mesh VPNs tell their users to set, or for a UDP socket with UDP_GRO at the port, as HTTP/3 servers open it.
They are cut again and carried; the UDP of others stays as it is. On links without Ethernet header: test_rawip.py;
on a router: test_router.py."""

import craft
import merging
import path
import runner
import service
import traffic
import wire
from host import wait_until
from lab import PORT, address

QUIC_SIZE, QUIC_BURSTS = 1200, 60
MALFORMED = 50


def tunnelled(lab, *server_keys, kind=None):
    """The client's first uplink and the server, tunnelled; a client, and a server that listens. kind: of the
    server's segmentation device."""
    service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}", "mptcp-only=no")
    keys = ("tunnel=yes", f"local-ports={PORT}", "mptcp-only=no", *server_keys)
    service.set_keys(lab.server, "server", *keys)
    service.bring_up(lab, "first")
    if kind:
        service.need_kind(lab.server, kind, "s0")
    service.wait_state(lab.client, "c0", service.ACTIVE)
    service.wait_state(lab.server, "s0", service.ACTIVE)
    return traffic.pair(lab)[1]


def carried(lab, client, task, families=(4, 6), protocol="mptcp"):
    """Bulk that arrives merged at server (upload) or client (download)."""
    host, interface = (lab.server, "s0") if task == "upload" else (lab.client, "c0")
    for family in families:
        with wire.Capture(host, interface) as capture:
            merging.transfer(client, task, host, interface, address("s0", family), family, protocol)
        sizes = merging.datagram_sizes(capture.path)
        assert max(sizes) > 3000, f"the largest of {len(sizes)} datagrams has {max(sizes)} bytes"


def one_way(features, task):
    """Transfers whose datagrams the receiving link merges."""
    with runner.TestLab() as lab:
        client = tunnelled(lab)
        merging.merge(lab, "s0" if task == "upload" else "c0", features)
        carried(lab, client, task)
        carried(lab, client, task, (4,), "tcp")


def test_forwarding_at_server():
    """rx-udp-gro-forwarding."""
    one_way(merging.FORWARDING, "upload")


def test_list_at_server():
    """rx-gro-list."""
    one_way(merging.LIST, "upload")


def test_forwarding_at_client():
    """rx-udp-gro-forwarding."""
    one_way(merging.FORWARDING, "download")


def test_list_at_client():
    """rx-gro-list."""
    one_way(merging.LIST, "download")


def receive_by(lab, mode):
    """The server receives in this way from now on. NetworkManager tells the service a moment later."""
    service.set_keys(lab.server, "server", f"receive={mode}", options=("--reapply",))
    wait_until(lambda: service.link(lab.server, "s0")["ReceiveMode"][0] == mode, f"it receives by {mode}")


def test_receive_modes():
    """However the link receives: each datagram by itself, all of them merged again, or in the driver, which
    sees them before they are merged."""
    with runner.TestLab() as lab:
        client = tunnelled(lab, "receive=tc")
        merging.merge(lab, "s0", merging.FORWARDING)
        receive_by(lab, "tc")
        carried(lab, client, "upload", (4,))
        receive_by(lab, "gro")
        carried(lab, client, "upload", (6,))
        receive_by(lab, "xdp")
        client.connect("early")
        client.transfer("upload", "early", size=merging.SIZE, timeout=merging.PATIENCE)


def kind_works(kind):
    """A segmentation device of this kind cuts."""
    with runner.TestLab() as lab:
        service.set_environment(lab.server, UNDERPASS_SEGMENTATION=kind)
        client = tunnelled(lab, kind=kind)
        assert service.manager_property(lab.server, "SegmentationDevice")[0] == kind
        for features in (merging.FORWARDING, merging.LIST):
            merging.merge(lab, "s0", features)
            carried(lab, client, "upload")


def test_kinds_of_devices():
    """Every kind that this kernel has."""
    for kind in ("netkit", "vlan", "bridge", "veth"):
        try:
            kind_works(kind)
        except runner.Skip as reason:
            runner.note(str(reason))


def test_socket_of_another_user():
    """A user without any right binds the port with UDP_GRO: not a byte of somebody's connection gets to that
    socket, be it merged or malformed, and the transfer does not stand."""
    with runner.TestLab() as lab:
        client = tunnelled(lab)
        merging.merge(lab, "s0", merging.NONE)
        with merging.hearing(lab, "gro") as heard:
            carried(lab, client, "upload")
            port = client.connect("open")["port"]
            client.transfer("echo", "open", size=merging.LAST)
            wrong = craft.datagram((address("c0"), port), (address("s0"), PORT), b"\x50\x30" + bytes(110))
            path.inject(lab, "s0", [wrong] * MALFORMED, pause=0.001)
            client.transfer("upload", "open", size=merging.LAST)
        assert heard["sizes"] == {}, heard
        assert service.counters(lab.server, "s0")["drop-malformed"] == MALFORMED


def beside(mode, features):
    """Datagrams as QUIC sends them, in bursts, beside an upload in the tunnel: they arrive as they were sent, in
    their sizes."""
    with runner.TestLab() as lab:
        client = tunnelled(lab)
        merging.merge(lab, "s0", features)
        lab.client.run("ethtool", "-K", "c0", "tx-udp-segmentation", "off")
        for family in (4, 6):
            with merging.hearing(lab, *mode, who=()) as heard, wire.Capture(lab.server, "s0") as capture:
                client.connect("a", address("s0", family))
                client.start("uploads", "a", rate=4_000_000)
                said = merging.say(lab, family, QUIC_SIZE, QUIC_BURSTS)
                client.finish("a")
                assert client.wait("a")["equal"]
                client.close("a")
            assert (heard["sizes"], heard["sha256"]) == (said["sizes"], said["sha256"]), f"{said} {heard}"
            assert max(merging.datagram_sizes(capture.path)) > 3000
            assert (heard["merged"] > 0) is ("gro" in mode), heard
            runner.note(f"IPv{family}: {heard['sizes']}, {heard['merged']} messages of several")
        assert merging.cut(lab.server, "s0") > 0


def test_http3_beside():
    """An HTTP/3 server with UDP_GRO at the port."""
    beside(("gro",), merging.NONE)


def test_others_beside_forwarding():
    """A UDP socket without UDP_GRO, and all UDP of the host arrives merged."""
    beside((), merging.FORWARDING)


def test_others_beside_list():
    """The same with lists."""
    beside((), merging.LIST)
