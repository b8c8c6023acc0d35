# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets that nobody asked for, beside a live connection: floods of SYNs with made-up senders, blind RSTs
and SYNs, and SYNs in UDP form to whatever is not tunnelled."""

import ipaddress
import json
import random
import threading

import craft
import path
import runner
import service
import traffic
import wire
from host import wait_until
from lab import PLAIN_PORT, PORT, address
from state import PINS

FLOOD = 20_000
FLOOD_SECONDS = 10
BLIND = 3_000
RATE = 2_000_000  # bytes a second of the live connection
ATTACKER = {4: "198.18.0.66", 6: "2001:db8:66::66"}
CLIENT_SERVICE = 2222
ENDS = (("client", "c0"), ("server", "s0"))


class Background(threading.Thread):
    """Injects packets while the test goes on; join() raises what went wrong."""

    def __init__(self, *arguments):
        super().__init__(daemon=True)
        self._arguments = arguments
        self._error = None
        self.start()

    def run(self):
        try:
            path.inject(*self._arguments)
        except Exception as error:  # pylint: disable=broad-except  (raised again by join)
            self._error = error

    def join(self, timeout=None):
        super().join(timeout)
        if self._error:
            raise self._error


def live_connection(lab):
    """A connection over both uplinks that carries an upload: (server's peer, client's peer, first port)."""
    service.set_tunnels(lab)
    service.bring_up(lab)
    server, client = traffic.pair(lab)
    port = traffic.connect_both(lab, client, "live")["port"]
    return server, client, port


def begin_gently(client, name):
    """300 kB, but not at once: the kernel resets a subflow that joins while a long piece of data arrives."""
    client.transfer("echo", name, size=1000)
    client.transfer("upload", name, size=300_000, rate=1_000_000)


def still_alive(lab, client):
    """Asserts that the upload goes on to its end and that the connection is what it was."""
    client.wait_moved("live", 300_000)
    client.finish("live")
    assert client.wait("live")["equal"]
    traffic.wait_subflows(lab.client, [address("c0"), address("c1")])
    client.transfer("download", "live", size=1_000_000)
    assert not client.info("live")["fallback"]
    assert path.forwarded(lab, "tcp") == 0, lab.counters()


def test_flood_of_made_up_senders():
    """20 000 SYNs in UDP form, more than half-open flows are remembered: the live connection goes on, and
    new ones come up."""
    with runner.TestLab() as lab:
        _, client, _ = live_connection(lab)
        rolls = random.Random(1)
        first = int(ipaddress.ip_address("198.18.0.0"))
        senders = [
            (str(ipaddress.ip_address(first + rolls.randrange(1 << 17))), rolls.randrange(1024, 65536))
            for _ in range(FLOOD)
        ]
        packets = [
            craft.wrapped(
                sender, (address("s0"), PORT), craft.SYN, rolls.randrange(1 << 32), options=craft.CAPABLE
            )
            for sender in senders
        ]
        # Nobody answers the SYN-ACKs, not even by ICMP.
        lab.middlebox.run("ip", "route", "add", "blackhole", "198.18.0.0/15")
        before = service.counters(lab.server, "s0")
        client.start("uploads", "live", rate=RATE)
        flood = Background(lab, "s0", packets)
        wait_until(
            lambda: service.counters(lab.server, "s0")["flows-accepted"] > FLOOD // 10,
            "the flood arrives",
            30,
        )
        seconds = client.connect("meanwhile")["seconds"]
        begin_gently(client, "meanwhile")
        flood.join()
        wait_until(
            lambda: service.counters(lab.server, "s0")["flows-accepted"] - before["flows-accepted"]
            >= len(set(senders)),
            "all of the flood was seen",
            20,
        )
        after = service.counters(lab.server, "s0")
        later = client.connect("afterwards")["seconds"]
        begin_gently(client, "afterwards")
        assert not client.info("afterwards")["fallback"] and later < 1, later
        client.close("meanwhile")
        client.close("afterwards")
        still_alive(lab, client)
        gained = {name: after[name] - before[name] for name in ("flows-accepted", "flows-established")}
        assert gained["flows-established"] <= 2, gained
        runner.note(
            f"{gained['flows-accepted']} SYNs taken, {gained['flows-established']} handshakes completed; "
            f"connected meanwhile after {seconds * 1000:.0f} ms, afterwards {later * 1000:.0f} ms"
        )


def test_flood_beside_handshakes():
    """20 000 SYNs in UDP form a second, so the listener answers by cookies: one connection after the other comes up
    without losing a SYN, none falls back, none leaves the tunnel, and the live one goes on."""
    with runner.TestLab() as lab:
        _, client, _ = live_connection(lab)
        cookies = traffic.kernel_counters(lab.server)["TcpExt.SyncookiesRecv"]
        client.start("uploads", "live", rate=RATE // 4)
        flood = path.flood(lab, "s0", "udp", PORT, FLOOD, FLOOD_SECONDS)
        wait_until(lambda: service.counters(lab.server, "s0")["flows-accepted"] > FLOOD // 10, "the flood arrives", 30)
        client.start("connects", "many", address=address("s0"), port=PORT, pause=0.01)
        sent = int(flood.communicate()[0])
        client.finish("many")
        many = client.wait("many")
        seconds = sorted(many["seconds"])
        assert not many["errors"] and many["fallbacks"] == 0, many
        assert len(seconds) > 10 and seconds[-1] < 0.9, seconds[-10:]
        still_alive(lab, client)
        cookies = traffic.kernel_counters(lab.server)["TcpExt.SyncookiesRecv"] - cookies
        assert cookies >= len(seconds), (cookies, len(seconds))
        runner.note(
            f"{sent / FLOOD_SECONDS:.0f} SYNs a second; {len(seconds)} connections up after "
            f"{seconds[len(seconds) // 2] * 1000:.1f} ms (half of them), {seconds[-1] * 1000:.0f} ms (the last)"
        )


def push_out(host):
    """Forgets all half-open flows of a host, as a flood makes it forget them that lasts longer than a handshake."""
    folder = host.output("find", PINS, "-mindepth", "1", "-maxdepth", "1").split()[0]
    entries = json.loads(host.output("bpftool", "--json", "map", "dump", "pinned", f"{folder}/half_open"))
    assert entries, "there is no half-open flow"
    for entry in entries:
        host.run("bpftool", "map", "delete", "pinned", f"{folder}/half_open", "key", *entry["key"])


def test_handshakes_pushed_out():
    """ACKs that come when the half-open flow that they are for has been pushed out: of a handshake that the listener
    keeps, and of one that only its cookie knows."""
    bare_ack = f"udp dport {PORT} @th,72,8 & 0x12 == 0x10"
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        _, client = traffic.pair(lab)
        for number, (name, cookies) in enumerate((("kept", 0), ("cookie", 2)), 1):
            lab.server.sysctl("net.ipv4.tcp_syncookies", cookies)
            path.rules(lab, f"{bare_ack} drop")
            client.connect(name)
            client.start("echo", name, size=1000)
            push_out(lab.server)
            path.rules(lab)
            client.wait(name)
            client.transfer("download", name, size=100_000)
            counters = service.counters(lab.server, "s0")
            assert counters["relearnt"] == number and counters["flows-established"] == 1, counters
            assert counters["flows-accepted"] == number, counters


def blind(rolls, source, dest, flags):
    """BLIND segments with guessed sequence numbers, half of them in UDP form."""
    return [
        make(source, dest, flags, rolls.randrange(1 << 32), rolls.randrange(1 << 32))
        for make in (craft.plain, craft.wrapped)
        for _ in range(BLIND // 2)
    ]


def test_blind_segments():
    """3 000 RSTs and as many SYNs with the addresses and ports of the live connection, to either end."""
    with runner.TestLab() as lab:
        _, client, port = live_connection(lab)
        ends = {"c0": (address("c0"), port), "s0": (address("s0"), PORT)}
        client.start("uploads", "live", rate=RATE)
        before = {name: service.counters(getattr(lab, name), link) for name, link in ENDS}
        rolls = random.Random(2)
        for flags in (craft.RST, craft.RST | craft.ACK, craft.SYN):
            for target, other in (("s0", "c0"), ("c0", "s0")):
                path.inject(lab, target, blind(rolls, ends[other], ends[target], flags))
        still_alive(lab, client)
        for name, link in ENDS:
            after = service.counters(getattr(lab, name), link)
            gained = {
                key: after[key] - before[name][key] for key in after if after[key] != before[name][key]
            }
            assert not set(gained) & {"flows-accepted", "flows-established", "relearnt"}, gained
            assert gained["received"] >= 3 * BLIND // 2, gained
            runner.note(f"{name}: {gained}")


def captured(capture):
    """(protocol, payload of the IP packet) of each packet captured so far."""
    report = wire.Report()
    for number, (frame, _) in enumerate(wire.read_pcap(capture.path), 1):
        parts = wire.split_ip(number, frame[14:], report)
        if parts:
            yield parts[1], parts[3]


def syn_acks(capture):
    """SYN-ACKs of either form in a capture: (protocol, source port, destination port)."""
    found = []
    for protocol, payload in captured(capture):
        if protocol in (wire.TCP, wire.UDP) and len(payload) >= 20:
            flags = payload[13 if protocol == wire.TCP else 9]
            ports = [int.from_bytes(payload[at : at + 2], "big") for at in (0, 2)]
            if flags & (craft.SYN | craft.ACK | craft.RST) == craft.SYN | craft.ACK:
                found.append((protocol, *ports))
    return found


def answers(lab, peer, target, *packets):
    """SYN-ACKs that come back when the middlebox sends these packets: (protocol, source port, destination
    port) of each."""
    starts = [40 if packet[0] >> 4 == 6 else 20 for packet in packets]
    senders = {packet[start : start + 2] for start, packet in zip(starts, packets)}
    with wire.Capture(lab.middlebox, peer) as capture:
        path.inject(lab, target, packets)
        # What is sent later is answered later: when the echo is in the capture, the answers are too.
        lab.middlebox.run("ping", "-c", "1", "-W", "2", address(target))
        wait_until(lambda: (1, b"\0\0") in [(kind, data[:2]) for kind, data in captured(capture)], "echo")
    # SYN-ACKs to others are sent again and again.
    return [found for found in syn_acks(capture) if found[2].to_bytes(2, "big") in senders]


def test_wrapped_syn_reaches_nothing():
    """A SYN in UDP form to a port that is not tunnelled, or to any service of a client, also from the very
    port that the client tunnels to: no SYN-ACK comes back. One to the tunnelled port is answered in kind."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab, "mptcp-only=no")
        service.set_keys(lab.server, "server", "mptcp-only=no")
        service.bring_up(lab)
        server, client = traffic.pair(lab)
        server.listen(PLAIN_PORT)
        client.listen(CLIENT_SERVICE, "tcp")
        client.listen(PORT)
        for family in (4, 6):
            here, there = address("c0", family), address("s0", family)
            far = ATTACKER[family]
            open_port = answers(
                *(lab, "ms0", "s0"),
                craft.wrapped((far, 4000), (there, PORT), craft.SYN, 7, options=craft.CAPABLE),
                craft.wrapped((far, 4001), (there, PORT), craft.SYN, 7, options=craft.CAPABLE[:4]),
                craft.plain((far, 4002), (there, PORT), craft.SYN, 7, options=craft.CAPABLE),
                craft.plain((far, 4003), (there, PLAIN_PORT), craft.SYN, 7),
            )
            expected = {
                (wire.UDP, PORT, 4000),
                (wire.UDP, PORT, 4001),
                (wire.TCP, PORT, 4002),
                (wire.TCP, PLAIN_PORT, 4003),
            }
            assert set(open_port) == expected, open_port
            closed = answers(
                *(lab, "ms0", "s0"),
                *(
                    craft.wrapped((far, port), (there, PLAIN_PORT), craft.SYN, 7, options=craft.CAPABLE)
                    for port in (4004, PORT, PLAIN_PORT)
                ),
            )
            assert closed == [], closed
            at_client = answers(
                *(lab, "mc0", "c0"),
                *(
                    craft.wrapped((source, port), (here, target), craft.SYN, 7, options=craft.CAPABLE)
                    for source in (there, far)
                    for port in (PORT, 4005)
                    for target in (CLIENT_SERVICE, PORT)
                ),
            )
            assert at_client == [], at_client
        counted = [service.counters(getattr(lab, name), link) for name, link in ENDS]
        assert counted[0]["flows-accepted"] == 0 and counted[0]["pass-port"] == 16, counted[0]
        assert counted[1]["flows-accepted"] == 4 and counted[1]["pass-port"] == 6, counted[1]
        runner.note("no answer to 22 SYNs in UDP form; to the tunnelled port 4 answers in kind")
