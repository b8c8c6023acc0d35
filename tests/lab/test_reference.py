# SPDX-License-Identifier: GPL-2.0-or-later
"""Interoperability with multipath-tcp/tcp-in-udp, which has the same wire format: its programs on one host
of the lab, Underpass on the other one, in both roles.

Its object is built from its own sources, outside of this project, and named by $UNDERPASS_REFERENCE
("tests/run --reference FILE" sets that); without it these tests are skipped. It rewrites whatever TCP and
UDP it sees, one segment at a time and with the checksum done, so its host sends without segmentation offload
and lets the firewall complete the checksums.
"""

import hashlib
import os
import pathlib
import re

import runner
import service
import traffic
import wire
from lab import PORT, address

SIZE = 20_000_000
UPLINKS = ("c0", "c1")
PEERS = ("mc0", "mc1", "ms0")
OBJECT = "/run/reference.o"  # where the hosts see the object
ZERO = re.compile(r"packet \d+: UDP checksum is zero")


def reference_object():
    """The object's bytes; skips the test when there is none."""
    path = os.environ.get("UNDERPASS_REFERENCE")
    if not path:
        raise runner.Skip("no object of tcp-in-udp: name one with --reference FILE or UNDERPASS_REFERENCE")
    return pathlib.Path(path).read_bytes()


def start_reference(host, program, *interfaces):
    """Puts the reference's programs on these interfaces, as its README says, but for all ports: the actions
    that it uses to choose are not in every kernel."""
    host.write(OBJECT, program)
    for command in ("iptables", "ip6tables"):
        host.run(
            *(command, "-t", "mangle", "-A", "POSTROUTING", "-p", "tcp", "-j", "CHECKSUM", "--checksum-fill")
        )
    for interface in interfaces:
        host.run("ip", "link", "set", "dev", interface, "gso_max_segs", "1")
        host.run("tc", "qdisc", "add", "dev", interface, "clsact")
        for way in ("ingress", "egress"):
            host.run(
                *("tc", "filter", "add", "dev", interface, way, "protocol", "all"),
                *("bpf", "da", "object-file", OBJECT, "section", "tc"),
            )


def assert_wire_right(peer, capture, family):
    """Asserts that the wire was right; the report, and how many datagrams had no checksum. The reference
    knows no 0xffff for a checksum that comes out as 0, which means "none" in UDP: one packet in 65536,
    sent again by TCP."""
    report = capture.report(PORT)
    zero = [fault for fault in report.faults if ZERO.fullmatch(fault)]
    report.faults = [fault for fault in report.faults if fault not in zero]
    assert capture.dropped() == 0, f"{peer}: the capture missed {capture.dropped()} packets"
    report.assert_tunnelled(peer)
    assert len(zero) * 4096 <= report.udp, f"{peer}: {len(zero)} of {report.udp} datagrams without checksum"
    assert report.families <= {family}, f"{peer}: {report}"
    return report, len(zero)


def transfer_file(lab, client, protocol, family):
    """A file from the server to the client and noise the other way; every packet on the wire is judged."""
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


def tunnelled_only(host, interface, count):
    """Asserts that Underpass counted the flows as its own and met nothing that it had to leave alone or
    drop."""
    counted = service.counters(host, interface)
    assert counted["flows-established"] >= count, f"{interface}: {counted}"
    odd = {name: value for name, value in counted.items() if value and name.startswith(("pass", "drop"))}
    odd.pop("pass-zero-checksum", None)
    assert not odd, f"{interface}: {odd}"


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
        for family in (4, 6):
            transfer_file(lab, client, protocol, family)
        tunnelled_only(lab.server, "s0", 4 if protocol == "mptcp" else 2)


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
        for family in (4, 6):
            transfer_file(lab, client, protocol, family)
        for uplink in UPLINKS if protocol == "mptcp" else UPLINKS[:1]:
            tunnelled_only(lab.client, uplink, 2)


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
