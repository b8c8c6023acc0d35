# SPDX-License-Identifier: GPL-2.0-or-later
"""Interoperability with multipath-tcp/tcp-in-udp, which has the same wire format: its programs on one host
of the lab, Underpass on the other one, in both roles.

Its object is built from its own sources, outside of this project, and named by $UNDERPASS_REFERENCE
("tests/run --reference FILE" sets that); without it these tests are skipped. It rewrites whatever TCP and
UDP it sees, one segment at a time and with the checksum done, so its host sends without segmentation offload
and lets the firewall complete the checksums.

Each role is played with every value of the key bulk. Underpass offers the bulk form by a reserved bit next to the
data offset, which the reference hands to TCP as it is; nothing else may differ, and no bulk is sent to it.
"""

import collections
import contextlib
import hashlib
import os
import pathlib
import re
import struct

import runner
import service
import traffic
import wire
from host import wait_until
from lab import PORT, address

SIZE = 20_000_000
UPLINKS = ("c0", "c1")
PEERS = ("mc0", "mc1", "ms0")
OBJECT = "/run/reference.o"  # where the hosts see the object
BULK = ("no", "yes", "auto")
OFFER = 0x08  # of the reserved bits: the sender takes the bulk form
BEHIND = "behind"  # gets a copy of what the reference hands to TCP
# What the kernel counts when a connection goes wrong, or TCP and MPTCP do not like what they get.
WRONG = re.compile(r"Tcp\.InErrs|Tcp\.InCsumErrors|TcpExt\.TCPAbort\w+|MPTcpExt\.\w*(Fallback|Err|Reset|Rst|NotMatching)\w*")
ZERO = re.compile(r"packet \d+: UDP checksum is zero")


def reference_object():
    """The object's bytes; skips the test when there is none."""
    path = os.environ.get("UNDERPASS_REFERENCE")
    if not path:
        raise runner.Skip("no object of tcp-in-udp: name one with --reference FILE or UNDERPASS_REFERENCE")
    return pathlib.Path(path).read_bytes()


def start_reference(host, program, *interfaces, sections=("tc", "tc")):
    """Puts the reference's programs on these interfaces, as its README says, but for all ports: the actions
    that it uses to choose are not in every kernel. sections: of those for ingress and egress."""
    host.write(OBJECT, program)
    for command in ("iptables", "ip6tables"):
        host.run(
            *(command, "-t", "mangle", "-A", "POSTROUTING", "-p", "tcp", "-j", "CHECKSUM", "--checksum-fill")
        )
    for interface in interfaces:
        host.run("ip", "link", "set", "dev", interface, "gso_max_segs", "1")
        host.run("tc", "qdisc", "add", "dev", interface, "clsact")
        for way, section in zip(("ingress", "egress"), sections):
            host.run(
                *("tc", "filter", "add", "dev", interface, way, "protocol", "all"),
                *("bpf", "da", "object-file", OBJECT, "section", section),
            )


@contextlib.contextmanager
def behind(host, *interfaces):
    """Captures what the reference hands to the host's stack from these interfaces; an empty Tally, which is
    complete when the block has ended."""
    tally = Tally()
    host.run("ip", "link", "add", BEHIND, "type", "ifb")
    host.run("ip", "link", "set", BEHIND, "up")
    rules = [
        f"chain {each} {{ type filter hook ingress device {each} priority 0; tcp sport {PORT} dup to {BEHIND}; "
        f"tcp dport {PORT} dup to {BEHIND}; }}"
        for each in interfaces
    ]
    host.run("nft", "-f", "-", text="\n".join(["table netdev behind {", *rules, "}"]) + "\n")
    with wire.Capture(host, BEHIND) as capture:
        yield tally
    host.run("nft", "delete", "table", "netdev", "behind")
    host.run("ip", "link", "delete", BEHIND)
    assert capture.dropped() == 0, f"{host.name}: the capture missed {capture.dropped()} packets"
    for number, (frame, original) in enumerate(wire.read_pcap(capture.path), 1):
        tally.add(number, frame, original)
    assert not tally.report.faults, f"{host.name}: {tally.report.faults[:10]}"


class Tally:
    """What TCP behind the reference gets."""

    def __init__(self):
        self.report = wire.Report()
        self.reserved = collections.Counter()  # reserved bits of segments that are no SYN
        self.reserved_of_syns = collections.Counter()

    def add(self, number, frame, original):
        """One captured frame. All have the checksum that they came with: nothing completes it on the way."""
        if struct.unpack_from("!H", frame, 12)[0] == wire.LOCAL_EXPERIMENT:
            return
        assert len(frame) == original, f"packet {number}: {len(frame)} of {original} bytes were captured"
        packet = frame[14:]
        if packet[0] >> 4 == 4:
            packet = packet[: struct.unpack_from("!H", packet, 2)[0]]
        parts = wire.split_ip(number, packet, self.report)
        if parts is None:
            return
        _, protocol, pseudo, segment = parts
        if protocol != wire.TCP:  # the stack's own on the device of the copies
            return
        if wire.ones_complement(pseudo + struct.pack("!HH", wire.TCP, len(segment)) + segment) != 0xFFFF:
            self.report.fault(number, "the TCP checksum is wrong")
        if segment[13] & wire.TCP_FLAG_URG or segment[18:20] != bytes(2):
            self.report.fault(number, "URG is set, or there is an urgent pointer")
        of = self.reserved_of_syns if segment[13] & wire.TCP_FLAG_SYN else self.reserved
        of[segment[12] & 15] += 1


def assert_wire_right(peer, capture, family):
    """Asserts that the wire was right, and that nothing was in the bulk form; the report, and how many datagrams
    had no checksum. The reference knows no 0xffff for a checksum that comes out as 0, which means "none" in UDP:
    one packet in 65536, sent again by TCP."""
    report = capture.report(PORT)
    zero = [fault for fault in report.faults if ZERO.fullmatch(fault)]
    report.faults = [fault for fault in report.faults if fault not in zero]
    assert capture.dropped() == 0, f"{peer}: the capture missed {capture.dropped()} packets"
    report.assert_tunnelled(peer)
    assert report.bulk == 0, f"{peer}: {report}"
    assert len(zero) * 4096 <= report.udp, f"{peer}: {len(zero)} of {report.udp} datagrams without checksum"
    assert report.families <= {family}, f"{peer}: {report}"
    return report, len(zero)


def transfer_file(lab, client, protocol, family):
    """A file from the server to the client and noise the other way; every packet on the wire is judged. How many
    datagrams without checksum each peer's link had."""
    mptcp = protocol == "mptcp"
    original, copy = lab.folder / "original.bin", lab.folder / "copy.bin"
    original.write_bytes(os.urandom(SIZE))
    captures = {peer: wire.Capture(lab.middlebox, peer) for peer in PEERS}
    with captures["mc0"], captures["mc1"], captures["ms0"]:
        client.connect("a", address("s0", family), protocol=protocol)
        # One segment: data of many that races with the join of a subflow makes kernels reset that one (they
        # count MPTcpExtDSSNotMatching), also without any tunnel.
        client.transfer("echo", "a", size=1000)
        assert client.info("a")["fallback"] is not mptcp, f"{protocol}: {client.info('a')}"
        if mptcp:
            traffic.wait_subflows(lab.client, [address(uplink, family) for uplink in UPLINKS])
        down = client.transfer("download", "a", file=str(original), target=str(copy))
        up = client.transfer("upload", "a", size=SIZE)
        assert client.info("a")["fallback"] is not mptcp, f"{protocol}: {client.info('a')}"
        if mptcp:
            traffic.wait_subflows(lab.client, [address(uplink, family) for uplink in UPLINKS])
        client.close("a")
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (original, copy)]
    assert sums[0] == sums[1], f"the file differs: {sums}"
    reports = {peer: assert_wire_right(peer, capture, family) for peer, capture in captures.items()}
    assert reports["ms0"][0].udp * 1460 > 2 * SIZE, f"{reports['ms0'][0]}"
    assert reports["mc0"][0].syn >= 2 and (reports["mc1"][0].syn >= 2) is mptcp, f"{reports}"
    runner.note(
        f"{protocol}, IPv{family}: SHA-256 {sums[0][:16]}… on both sides; "
        f"{SIZE * 8 / down['seconds'] / 1e6:.0f} Mbit/s down, {SIZE * 8 / up['seconds'] / 1e6:.0f} up; "
        "datagrams "
        + ", ".join(
            f"{peer} {report.udp}" + (f" ({zero} without checksum)" if zero else "")
            for peer, (report, zero) in reports.items()
        )
    )
    return {peer: zero for peer, (_, zero) in reports.items()}


def tunnelled_only(host, interface, count, zero):
    """Asserts that Underpass counted the flows as its own and met nothing that it had to leave alone or
    drop, but for datagrams without checksum, and neither sent nor probed the bulk form."""
    counted = service.counters(host, interface)
    assert counted["flows-established"] >= count, f"{interface}: {counted}"
    odd = {name: value for name, value in counted.items() if value and name.startswith(("pass", "drop", "bulk"))}
    dropped = odd.pop("drop-malformed", 0) + odd.pop("pass-zero-checksum", 0)
    assert not odd and dropped == zero, f"{interface}: {odd}, {dropped} malformed, {zero} without checksum"


def set_bulk(host, profile, interface, value):
    """Sets the key bulk of an active link."""
    service.set_keys(host, profile, f"bulk={value}", options=("--reapply",))
    wait_until(
        lambda: ["bulk", value] in [each[:2] for each in service.link(host, interface)["Settings"]],
        f"bulk={value} on {interface}",
    )
    service.wait_state(host, interface, service.ACTIVE)


def transfer_with_bits(lab, client, protocol, underpass, reference):
    """Transfers with each value of bulk. underpass: (host, {interface: its profile}), reference: (host, its
    interfaces). How many datagrams without checksum each peer's link had."""
    host, links = underpass
    zero, fast = collections.Counter(), {}
    for value in BULK:
        for interface, profile in links.items():
            set_bulk(host, profile, interface, value)
        for family in (4, 6):
            before = traffic.kernel_counters(reference[0])
            with behind(reference[0], *reference[1]) as tally:
                zero.update(transfer_file(lab, client, protocol, family))
            expect_bits(tally, value)
            now = traffic.kernel_counters(reference[0])
            counted = collections.Counter({name: now[name] - before.get(name, 0) for name in now})
            wrong = {name: count for name, count in counted.items() if count and WRONG.fullmatch(name)}
            assert not wrong, f"bulk={value}, IPv{family}: {wrong}"
            fast[value, family] = fast_path(f"{protocol}, IPv{family}, bulk={value}", tally, counted)
    # Header prediction leaves reserved bits out (TCP_HP_BITS), or hardly any segment would take the fast path: how many
    # do varies with what gets lost. MPTCP's options take all of them off it anyway.
    for (value, family), share in fast.items():
        assert protocol == "mptcp" or share > 0.1 * fast["no", family] > 0, f"bulk={value}, IPv{family}: {fast}"
    return zero


def expect_bits(tally, value):
    """SYNs have no reserved bit. All else has the one that offers the bulk form, and never the one that says that
    some has arrived."""
    segments = tally.reserved.total()
    assert segments * 1460 > SIZE and tally.reserved_of_syns.total() > 0, f"{tally.reserved}"
    assert set(tally.reserved_of_syns) == {0}, f"bulk={value}: {tally.reserved_of_syns}"
    assert set(tally.reserved) == {0 if value == "no" else OFFER}, f"bulk={value}: {tally.reserved}"


def fast_path(what, tally, counted):
    """The share of segments that took the fast path of TCP at the reference's side."""
    hits = counted["TcpExt.TCPHPHits"], counted["TcpExt.TCPHPAcks"]
    segments = tally.reserved.total()
    bits = ", ".join(f"{bits:#04x}: {count}" for bits, count in sorted(tally.reserved.items()))
    runner.note(
        f"{what}: behind the reference {segments} segments with reserved bits {{{bits}}}; fast path: {hits[0]} with "
        f"data, {hits[1]} acknowledgments ({sum(hits) / segments:.2f})"
    )
    return sum(hits) / segments


def reference_client(protocol):
    """The client runs the reference, the server Underpass."""
    program = reference_object()
    with runner.TestLab() as lab:
        lab.server.up("server")
        keys = ("tunnel=yes", f"local-ports={PORT}", "mptcp-only=no")
        service.set_keys(lab.server, "server", *keys, options=("--reapply",))
        service.wait_state(lab.server, "s0", service.ACTIVE)
        for profile in ("first", "second"):
            lab.client.up(profile)
        start_reference(lab.client, program, *UPLINKS)
        _, client = traffic.pair(lab)
        underpass = lab.server, {"s0": "server"}
        zero = transfer_with_bits(lab, client, protocol, underpass, (lab.client, UPLINKS))
        tunnelled_only(lab.server, "s0", (4 if protocol == "mptcp" else 2) * len(BULK), zero["ms0"])


def reference_server(protocol):
    """The server runs the reference, the client Underpass."""
    program = reference_object()
    with runner.TestLab() as lab:
        lab.server.up("server")
        start_reference(lab.server, program, "s0")
        for profile in ("first", "second"):
            service.set_keys(lab.client, profile, "tunnel=yes", f"remote-ports={PORT}", "mptcp-only=no")
            lab.client.up(profile)
        for uplink in UPLINKS:
            service.wait_state(lab.client, uplink, service.ACTIVE)
        _, client = traffic.pair(lab)
        underpass = lab.client, {"c0": "first", "c1": "second"}
        zero = transfer_with_bits(lab, client, protocol, underpass, (lab.server, ("s0",)))
        for uplink in UPLINKS if protocol == "mptcp" else UPLINKS[:1]:
            tunnelled_only(lab.client, uplink, 2 * len(BULK), zero["m" + uplink])


def test_reference_client_mptcp():
    """Client: reference; server: Underpass; MPTCP over both uplinks."""
    reference_client("mptcp")


def test_reference_client_tcp():
    """Client: reference; server: Underpass; plain TCP."""
    reference_client("tcp")


def test_reference_server_mptcp():
    """Client: Underpass; server: reference; MPTCP over both uplinks."""
    reference_server("mptcp")


def test_reference_server_tcp():
    """Client: Underpass; server: reference; plain TCP."""
    reference_server("tcp")
