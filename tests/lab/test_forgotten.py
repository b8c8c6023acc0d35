# SPDX-License-Identifier: GPL-2.0-or-later
"""A peer that has forgotten a connection, as one does that was started anew without a word, or for which a NAT has
taken another port: the other side hears of it within seconds, as with plain TCP."""

import ipaddress
import struct
import time

import craft
import path
import runner
import service
import traffic
from lab import PLAIN_PORT, PORT, address
from test_router import host_behind
from wire import ones_complement

LIMIT = 5.0  # seconds until the client hears of it; TCP retransmits for 15 minutes otherwise
PATIENCE = 70
PINS = "/sys/fs/bpf/underpass"
ICMP = 1
FORGED = 100


def bring_up(lab):
    """The client's first uplink and the server, for TCP and MPTCP."""
    service.set_tunnels(lab, "mptcp-only=no")
    service.set_keys(lab.server, "server", "mptcp-only=no")
    service.bring_up(lab, "first")
    service.wait_state(lab.server, "s0", service.ACTIVE)


def reboot(lab, server, tunnel=True):
    """The server forgets connections and flows while it is cut off, as it would by a reboot. Afterwards it has its
    tunnel again, or not."""
    path.rules(lab, "drop")
    server.stop()
    lab.server.run("ss", "-K", f"( sport = :{PORT} or sport = :{PLAIN_PORT} )", check=False)
    lab.server.run("underpassctl", "deactivate", "--all")
    service.kill(lab.server)
    lab.server.run("rm", "-rf", PINS)
    if not tunnel:
        service.set_keys(lab.server, "server", "tunnel=no")
    lab.server.run("ip", "link", "set", "s0", "down")
    lab.server.up("server")
    if tunnel:
        service.wait_state(lab.server, "s0", service.ACTIVE)
    path.rules(lab)


def connect(peer, protocol="tcp", port=PORT, family=4):
    """A connection to the server over which data has passed."""
    peer.connect("a", address("s0", family), port=port, protocol=protocol)
    peer.transfer("echo", "a", size=1000)


def listen(lab, protocol="tcp", port=PORT):
    """A server that listens."""
    server = traffic.Peer(lab, lab.server)
    server.listen(port, protocol)
    return server


def expect_reset(peer, what):
    """The client sends, and hears that its connection is gone."""
    begin = time.monotonic()
    try:
        peer.transfer("upload", "a", size=1_000_000, timeout=PATIENCE)
        raise AssertionError(f"{what}: the transfer went through")
    except traffic.PeerError as error:
        seconds = time.monotonic() - begin
        assert "ConnectionReset" in str(error), f"{what}: {error} after {seconds:.1f} s"
    runner.note(f"{what}: reset after {seconds:.2f} s")
    assert seconds < LIMIT, seconds


def expect_end_of_subflow(lab, peer, what):
    """The same with MPTCP: its only subflow ends. The kernel waits net.mptcp.close_timeout (60 s) for another one."""
    peer.start("upload", "a", size=1_000_000)
    traffic.wait_subflows(lab.client, [], seconds=LIMIT)
    runner.note(f"{what}: the subflow is gone")


def rebooted(protocol, port=PORT, family=4):
    """The server is started anew and listens again."""
    with runner.TestLab() as lab:
        bring_up(lab)
        lab.strip_mptcp(protocol != "mptcp" or port == PORT)
        server = listen(lab, protocol, port)
        client = traffic.Peer(lab, lab.client)
        connect(client, protocol, port, family)
        reboot(lab, server)
        listen(lab, protocol, port)
        what = f"{protocol}, port {port}, IPv{family}"
        if protocol == "mptcp":
            expect_end_of_subflow(lab, client, what)
        else:
            expect_reset(client, what)
        counted = service.counters(lab.server, "s0")
        assert (counted["resets-sent"] > 0) is (port == PORT), counted
        client.connect("b", address("s0", family), port=port, protocol=protocol)
        client.transfer("upload", "b", size=100_000)
        assert path.forwarded(lab, "tcp") == 0 or port != PORT, lab.counters()


def test_plain():
    """Without tunnel, to compare with."""
    rebooted("tcp", PLAIN_PORT)


def test_tunnelled():
    """TCP in the tunnel."""
    rebooted("tcp")


def test_tunnelled_mptcp():
    """MPTCP in the tunnel."""
    rebooted("mptcp")


def test_tunnelled_ipv6():
    """The same over IPv6."""
    rebooted("tcp", family=6)


def refused(family):
    """Nothing listens any more and there is no tunnel: what refuses is the ICMP error of the server's kernel."""
    with runner.TestLab() as lab:
        bring_up(lab)
        server = listen(lab)
        client = traffic.Peer(lab, lab.client)
        connect(client, family=family)
        reboot(lab, server, tunnel=False)
        expect_reset(client, f"refused by ICMP, IPv{family}")
        assert service.counters(lab.client, "c0")["icmp-resets"] == 1


def test_refused():
    """IPv4."""
    refused(4)


def test_refused_ipv6():
    """IPv6."""
    refused(6)


def test_refused_for_a_host_behind():
    """The connection is that of a host behind the client, which knows nothing of the tunnel and is translated."""
    with runner.TestLab() as lab, host_behind(lab) as inner:
        bring_up(lab)
        server = listen(lab)
        peer = traffic.Peer(lab, inner)
        connect(peer)
        reboot(lab, server, tunnel=False)
        expect_reset(peer, "refused by ICMP, a host behind")
        assert service.counters(lab.client, "c0")["icmp-resets"] == 1


def test_restarted_for_a_host_behind():
    """The same, and the server answers with a reset in the tunnel."""
    with runner.TestLab() as lab, host_behind(lab) as inner:
        bring_up(lab)
        server = listen(lab)
        peer = traffic.Peer(lab, inner)
        connect(peer)
        reboot(lab, server)
        listen(lab)
        expect_reset(peer, "a host behind")
        assert service.counters(lab.server, "s0")["resets-sent"] > 0


def test_nat_takes_another_port():
    """A single connection whose NAT has forgotten it goes on with another port, of which the server knows nothing."""
    with runner.TestLab() as lab:
        bring_up(lab)
        path.translate(lab, c0=(20000, 29999))
        listen(lab)
        client = traffic.Peer(lab, lab.client)
        connect(client)
        path.translate(lab, c0=(30000, 39999))
        path.forget_translations(lab, "c0")
        expect_reset(client, "another port of the NAT")
        assert service.counters(lab.server, "s0")["resets-sent"] > 0


def refusal(quoted):
    """ICMP port unreachable of the server itself, about a packet that the client has sent; all of it is quoted."""
    body = struct.pack("!BBHI", 3, 3, 0, 0) + quoted
    check = struct.pack("!H", craft.inverted(ones_complement(body)))
    source, dest = (ipaddress.ip_address(address(interface)).packed for interface in ("s0", "c0"))
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, ICMP, 0) + source + dest
    head = head[:10] + struct.pack("!H", craft.inverted(ones_complement(head))) + head[12:]
    return head + body[:2] + check + body[4:]


def test_forged_refusals():
    """Who knows addresses and ports, but no number in flight, ends nothing, however long he refuses."""
    with runner.TestLab() as lab:
        bring_up(lab)
        listen(lab)
        client = traffic.Peer(lab, lab.client)
        port = client.connect("a", address("s0"), protocol="tcp")["port"]
        client.transfer("echo", "a", size=1000)
        ends = ((address("c0"), port), (address("s0"), PORT))
        guesses = [craft.wrapped(*ends, craft.ACK, guess << 24, guess) for guess in range(FORGED)]
        path.inject(lab, "c0", [refusal(guess) for guess in guesses], pause=2.0 / FORGED)
        counted = service.counters(lab.client, "c0")
        assert counted["drop-unproven"] >= FORGED - 1 and counted["icmp-resets"] == 0, counted
        client.transfer("upload", "a", size=1_000_000)
        runner.note(f"{FORGED} forged refusals in two seconds ended nothing")
