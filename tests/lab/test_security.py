# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody else says or sends is believed no more than plain TCP would believe it: each attack, made by
who could make it, beside what is meant honestly and still has to work."""

import ipaddress
import json
import socket
import struct
import subprocess

import craft
import path
import runner
import service
import state
import terse_router
import traffic
import wire
from host import HERE
from lab import LINKS, PORT, address
from peer import IPPROTO_MPTCP

FORGED_MTU = 600
FORGED = 50
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
STRANGER = "2001:db8:66::77"
POISON = """
import socket, sys
source, source_port, target, port, hops, protocol = sys.argv[1:]
IPV6_FREEBIND = 78
with socket.socket(socket.AF_INET6, socket.SOCK_STREAM, int(protocol)) as poison:
    poison.settimeout(2.5)
    poison.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    if int(hops):
        poison.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, int(hops))
    poison.bind((source, int(source_port)))
    try:
        poison.connect((target, int(port)))
    except OSError as error:
        print(error)
"""
ROUTER = bytes([198, 18, 0, 66])
ATTACHMENTS = ("/usr/bin/python3", HERE / "attachments.py")
FORGER = "/sys/fs/bpf/forger-"
SLOT = 1  # of the first link
SEGMENT_VLAN = 4094
UNSET = 0x756E6470  # what our notes have in place of a secret as long as nobody has set one
THIEF = """
import socket, sys
thief = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
thief.bind(("::", int(sys.argv[1])))
print("bound", flush=True)
print(len(thief.recv(65536)), flush=True)
"""
INJECT = """
import socket, sys
source, port, target, target_port = sys.argv[1:5]
with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as intruder:
    intruder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    intruder.bind((source, int(port)))
    for _ in range(3):
        intruder.sendto(bytes.fromhex(sys.argv[5]), (target, int(target_port)))
"""


def one_uplink(lab, *pairs, tunnel="yes"):
    """Brings up the client's first uplink and the server, tunnelled."""
    service.set_keys(lab.client, "first", f"tunnel={tunnel}", f"remote-ports={PORT}", *pairs)
    service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}")
    service.bring_up(lab, "first")
    service.wait_state(lab.server, "s0", service.ACTIVE)
    service.wait_state(lab.client, "c0", service.ACTIVE)


def counted(lab, name):
    """One counter of the client's first uplink."""
    return service.counters(lab.client, "c0")[name]


def test_forged_path_mtu():
    """Who knows addresses and ports makes errors that quote 8 bytes: too big, the path MTU is 600. A terse
    router says no more, but it says so while data is in flight (test_pmtu.py, short quotes)."""
    with runner.TestLab() as lab:
        one_uplink(lab)
        _, client = traffic.pair(lab)
        port = client.connect("idle")["port"]
        client.transfer("download", "idle", size=1_000_000)
        quoted = craft.datagram((address("c0"), port), (address("s0"), PORT), bytes(1400))
        path.inject(lab, "c0", [terse_router.error(quoted, FORGED_MTU, ROUTER)] * FORGED, pause=0.01)
        route = lab.client.output("ip", "route", "get", address("s0"))
        assert "mtu" not in route, route
        assert counted(lab, "icmp-converted") == 0
        assert counted(lab, "drop-unproven") == FORGED
        client.transfer("upload", "idle", size=1_000_000)
        runner.note(f"{FORGED} forged errors changed nothing")


def connect_as_nobody(lab, source, hops=0, protocol=socket.IPPROTO_TCP, source_port=0):
    """An unprivileged user of the client connects to the server from this address and port (0: any), with this hop
    limit (0: the usual one), and gives up after 2.5 s; what there is to say of it, "" for a success."""
    arguments = (source, source_port, address("s0", 6), PORT, hops, protocol)
    return lab.client.output(*NOBODY, "/usr/bin/python3", "-c", POISON, *arguments)


def silence_time_exceeded(lab):
    """The middlebox does not tell that a hop limit was too small."""
    lab.middlebox.set_nft_table(
        "silent",
        "chain out { type filter hook output priority 0;",
        "icmpv6 type time-exceeded drop",
        "}",
    )


def test_poisoned_destination():
    """Connections of an unprivileged user that fail by their own fault, be it a foreign address or a hop
    limit of 1, block no destination for others."""
    with runner.TestLab() as lab:
        one_uplink(lab, "fallback-after=1", "mptcp-only=no")
        _, client = traffic.pair(lab)
        own = address("c0", 6)
        silence_time_exceeded(lab)
        for source, hops in ((STRANGER, 64), (STRANGER, 64), (own, 1), (own, 1)):
            assert connect_as_nobody(lab, source, hops) == "timed out\n"
            assert counted(lab, "plain-blocked") == 0, service.counters(lab.client, "c0")
        assert counted(lab, "fallback-silence") == 4, service.counters(lab.client, "c0")
        client.connect("tunnelled", target=address("s0", 6))
        client.transfer("upload", "tunnelled", size=100_000)
        assert counted(lab, "flows-established") == 1
        runner.note("4 connections failed on purpose, and the next one is tunnelled")


def test_swallowed_on_purpose():
    """On demand: connections of an unprivileged user whose SYNs get no answer because of a foreign address do not send
    others into the tunnel."""
    with runner.TestLab() as lab:
        one_uplink(lab, "fallback-after=1", tunnel="on-demand")
        lab.strip_mptcp(False)
        _, client = traffic.pair(lab)
        for number in (1, 2, 3):
            assert connect_as_nobody(lab, STRANGER, protocol=IPPROTO_MPTCP) == "timed out\n"
            assert counted(lab, "flows-opened") == number, service.counters(lab.client, "c0")
        assert counted(lab, "stripped") == 0, service.counters(lab.client, "c0")
        client.connect("plain", target=address("s0", 6))
        client.transfer("upload", "plain", size=100_000)
        assert not client.info("plain")["fallback"]
        assert counted(lab, "flows-established") == 0 and counted(lab, "plain-on-demand") == 4
        runner.note("3 connections without answer on purpose, and the next one is plain MPTCP")


def test_swallowed_in_earnest():
    """Its honest twin: a middlebox drops SYNs with MPTCP options. Connections of an unprivileged user show it, which
    get there in the tunnel, and the next one of anybody is tunnelled at once."""
    with runner.TestLab() as lab:
        one_uplink(lab, "fallback-after=1", tunnel="on-demand")
        _, client = traffic.pair(lab)
        path.rules(lab, "tcp option mptcp exists drop")
        for number in (1, 2):
            assert connect_as_nobody(lab, address("c0", 6), protocol=IPPROTO_MPTCP) == ""
            assert counted(lab, "stripped") == counted(lab, "flows-established") == number
        seconds = client.connect("tunnelled", target=address("s0", 6))["seconds"]
        client.transfer("upload", "tunnelled", size=100_000)
        assert seconds < 0.5 and not client.info("tunnelled")["fallback"], seconds
        assert counted(lab, "stripped") == 2 and counted(lab, "flows-established") == 3


def forge(lab, host, interface, way, index=0, tag=0):
    """Has a program at this attach point of a link, before all others, write into every packet what our programs
    tell each other there; call what is returned to end it."""
    pin = f"{FORGER}{host.name}-{interface}-{lab.folder.name}"
    host.run(*ATTACHMENTS, "forge", interface, way, index, UNSET, tag, pin)
    return lambda: host.run("rm", "-f", pin)


def secret(host):
    """The number that makes notes of a host's programs its own."""
    folder = host.output("ls", state.PINS).split()[0]
    pinned = f"{state.PINS}/{folder}/underpass_segment"
    for number in json.loads(host.output("bpftool", "-j", "prog", "show", "pinned", pinned))["map_ids"]:
        if json.loads(host.output("bpftool", "-j", "map", "show", "id", number))["name"].endswith("rodata"):
            return json.loads(host.output("bpftool", "-j", "map", "dump", "id", number))[0]["value"]
    raise AssertionError("the programs have no secret")


def steal(lab, host, port):
    """An unprivileged user opens a UDP socket at this port; the process, which ends when it has got something."""
    thief = host.spawn([*NOBODY, "/usr/bin/python3", "-c", THIEF, str(port)], stdout=subprocess.PIPE)
    lab.at_close(thief.wait)
    lab.at_close(thief.kill)
    assert thief.stdout.readline() == b"bound\n"
    return thief


def test_notes_of_another_namespace():
    """Whoever is root of another network namespace writes into the packets that it sends here what our programs
    write into theirs, to be passed by. Data of a connection becomes TCP all the same, and none of it reaches a
    UDP socket."""
    with runner.TestLab() as lab:
        state.need_tcx(lab.client, "c0")
        one_uplink(lab)
        assert len({str(each) for each in (secret(lab.client), secret(lab.server), UNSET)}) == 3
        ends = [forge(lab, lab.middlebox, LINKS[each][0], "egress", index=SLOT) for each in ("c0", "s0")]
        _, client = traffic.pair(lab)
        thief = steal(lab, lab.server, PORT)
        for family in (4, 6):
            client.connect("idle", target=address("s0", family))
            client.transfer("upload", "idle", size=1_000_000)
            client.transfer("download", "idle", size=1_000_000)
            assert not client.info("idle")["fallback"]
            client.close("idle")
        assert path.forwarded(lab, "tcp") == 0, lab.counters()
        assert thief.poll() is None, "a UDP socket has got data of the connection"
        for end in ends:
            end()


def tagged(capture, payload):
    """Tags (VLAN ids, None for a frame without one) of the frames in a capture that end in these bytes."""
    frames = [frame for frame, _ in wire.read_pcap(capture.path) if frame.endswith(payload)]
    return [
        int.from_bytes(frame[14:16], "big") & 0xFFF if frame[12:14] == b"\x81\0" else None for frame in frames
    ]


def test_frames_of_other_vlans():
    """Frames of VLANs above a tunnelled link, which are other networks, look like packets of the tunnel: they are
    left alone both ways, also with the id of our own segmentation device, whatever somebody has written into
    them. Without tag they are not."""
    with runner.TestLab() as lab:
        state.need_tcx(lab.client, "c0")
        one_uplink(lab)
        here, there = address("c0"), address("s0")
        forged = ((7, 0), (SEGMENT_VLAN, 0), (SEGMENT_VLAN, SLOT), (0, 0))
        for number, (tag, index) in enumerate(forged):
            syn = craft.plain((here, 5000 + number), (there, PORT), craft.SYN, 1, options=craft.CAPABLE)
            end = forge(lab, lab.client, "c0", "egress", index, tag)
            mac = path.hardware_address(lab.middlebox, "mc0")
            with wire.Capture(lab.middlebox, "mc0") as capture:
                lab.client.run("/usr/bin/python3", HERE / "inject.py", "c0", mac, 0, text=syn.hex() + "\n")
            end()
            assert tagged(capture, syn) == ([tag] if tag else []), tagged(capture, syn)
        assert counted(lab, "flows-opened") == counted(lab, "sent") == 1, service.counters(lab.client, "c0")
        for number, (tag, index) in enumerate(forged):
            syn = craft.wrapped((here, 6000 + number), (there, PORT), craft.SYN, 1, options=craft.CAPABLE)
            end = forge(lab, lab.middlebox, "ms0", "egress", index, tag)
            path.inject(lab, "s0", [syn])
            end()
        taken = service.counters(lab.server, "s0")
        assert taken["flows-accepted"] == 2 and taken["received"] == 2, taken


def next_numbers(capture, source, dest):
    """Sequence number of the next byte from one (address, port) to another, and the acknowledgment beside it, by what
    is in the capture of UDP form."""
    numbers = []
    ports = struct.pack("!HH", source[1], dest[1])
    for frame, _ in wire.read_pcap(capture.path):
        packet = frame[14:]
        start = 40 if packet[0] >> 4 == 6 else 20
        pair = packet[8:40] if start == 40 else packet[12:20]
        addresses = ipaddress.ip_address(source[0]).packed + ipaddress.ip_address(dest[0]).packed
        if pair == addresses and packet[start : start + 4] == ports:
            length, _, offset, flags, _, sequence, acknowledgment = struct.unpack_from(
                "!HHBBHII", packet, start + 4
            )
            numbers.append(((sequence + length - (offset >> 4) * 4) % (1 << 32), acknowledgment))
    return numbers[-1]


def forged_reset(lab, client, source, dest):
    """What comes behind the UDP header of a segment that ends the connection, with the right numbers: the attacker is
    spared the guessing."""
    with wire.Capture(lab.middlebox, "mc0") as capture:
        client.transfer("echo", "a", size=1000)
    sequence, acknowledgment = next_numbers(capture, source, dest)
    return struct.pack("!BBHII", 5 << 4, craft.RST | craft.ACK, 64000, sequence, acknowledgment)


def inject_as_nobody(host, source, dest, data):
    """An unprivileged user of a host sends datagrams with addresses and ports of his choice."""
    words = (*source, *dest, data.hex())
    host.run(*NOBODY, "/usr/bin/python3", "-c", INJECT, *words)


def test_datagrams_into_a_connection():
    """An unprivileged user of either host sends UDP from address and port of somebody's tunnelled connection, a reset
    with the right numbers: nothing of it leaves, and the connection goes on."""
    with runner.TestLab() as lab:
        one_uplink(lab)
        _, client = traffic.pair(lab)
        for number, family in enumerate((4, 6), 1):
            port = client.connect("a", target=address("s0", family))["port"]
            here, there = (address("c0", family), port), (address("s0", family), PORT)
            for host, link, source, dest in ((lab.client, "c0", here, there), (lab.server, "s0", there, here)):
                reset = forged_reset(lab, client, source, dest)
                before = lab.counters()
                inject_as_nobody(host, source, dest, reset)
                assert lab.counters() == before, "a datagram has left"
                client.transfer("echo", "a", size=1000)
                assert service.counters(host, link)["drop-injected"] == 3 * number
            client.transfer("upload", "a", size=1_000_000)
            assert not client.info("a")["fallback"]
            client.close("a")


def test_datagrams_beside_a_connection():
    """Its honest twin: an HTTP/3 server of an unprivileged user at the port of the tunnel, its clients on the other
    host, and TCP in the tunnel meanwhile."""
    with runner.TestLab() as lab:
        one_uplink(lab)
        _, client = traffic.pair(lab)
        command = [*NOBODY, "/usr/bin/python3", str(HERE / "datagrams.py")]
        server = lab.server.spawn([*command, "serve", str(PORT)], stdout=subprocess.PIPE)
        lab.at_close(server.wait)
        lab.at_close(server.kill)
        assert server.stdout.readline() == b"ready\n"
        # The first bytes of QUIC: a long header, a short one that looks like a data offset of 5, 6 and 7.
        starts = (bytes([0xC0, 0, 0, 0, 1]), bytes([0x52]), bytes([0x65, craft.ACK]), bytes([0x7F, craft.SYN]))
        lines = "".join((start + bytes(1200 - len(start))).hex() + "\n" for start in starts * 25)
        for family in (4, 6):
            client.connect("a", target=address("s0", family))
            with client.uploading("a", 2_000_000):
                told = lab.client.output(*command, "ask", str(PORT), address("s0", family), text=lines)
            assert not client.info("a")["fallback"]
            client.close("a")
            runner.note(told.strip())
        for host, link in ((lab.client, "c0"), (lab.server, "s0")):
            assert service.counters(host, link)["drop-injected"] == 0
