# SPDX-License-Identifier: GPL-2.0-or-later
"""The judge of captures (wire.py) accepts right packets and finds every fault it promises to find."""

import struct

import wire

PORT = 8443


def datagram(pseudo, options=b"", payload=b"data", flags=0x10):
    """A tunnelled datagram with a right checksum."""
    data_offset = 5 + len(options) // 4
    length = 20 + len(options) + len(payload)
    body = struct.pack("!BBHII", data_offset << 4, flags, 1000, 1, 2) + options + payload
    head = struct.pack("!HHHH", 40000, PORT, length, 0)
    total = wire.ones_complement(pseudo + struct.pack("!HH", wire.UDP, length) + head + body)
    return head[:6] + struct.pack("!H", 0xFFFF - total or 0xFFFF) + body


def frame(family, protocol=wire.UDP, **arguments):
    """An Ethernet frame with a tunnelled datagram."""
    if family == 4:
        pseudo = bytes([10, 77, 0, 2, 10, 77, 9, 2])
        body = datagram(pseudo, **arguments)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0x4000, 64, protocol, 0) + pseudo
        checksum = 0xFFFF - wire.ones_complement(head)
        return bytes(12) + b"\x08\x00" + head[:10] + struct.pack("!H", checksum) + head[12:] + body
    pseudo = b"\x20\x01\x0d\xb8" + bytes(11) + b"\1" + b"\x20\x01\x0d\xb8" + bytes(11) + b"\2"
    body = datagram(pseudo, **arguments)
    return bytes(12) + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + pseudo + body


def judge(*frames):
    """Report on frames that were captured completely."""
    return wire.judge([(each, len(each)) for each in frames], PORT)


def patch(data, offset, value):
    """data with one byte replaced by another value than it has."""
    changed = value if data[offset] != value else value ^ 1
    return data[:offset] + bytes([changed]) + data[offset + 1 :]


def test_right_packets():
    """Right packets of both families, odd lengths, frames padded to 60 bytes."""
    good = [
        frame(4),
        frame(6),
        frame(4, payload=b""),
        frame(6, payload=b"odd"),
        frame(4, payload=b"") + bytes(6),
    ]
    report = judge(*good)
    assert report.faults == [], report.faults
    assert (report.packets, report.udp, report.tcp, report.families) == (5, 5, 0, {4, 6}), report


def test_syn_and_options():
    """SYNs are counted, those with an MPTCP option apart."""
    capable = bytes([2, 4, 5, 180, 30, 4, 0, 1])
    report = judge(
        frame(4, flags=2, options=capable), frame(6, flags=2, options=bytes([1, 1, 1, 1])), frame(4)
    )
    assert (report.syn, report.mptcp_syn, report.faults) == (2, 1, []), report


def test_plain_tcp_is_seen():
    """A TCP packet of the port is counted as such, one of another port is not."""
    report = judge(frame(4, protocol=wire.TCP), frame(6, protocol=wire.TCP))
    assert (report.tcp, report.udp) == (2, 0), report
    assert wire.judge([(frame(4, protocol=wire.TCP), len(frame(4)))], 9).tcp == 0


def test_every_fault_is_found():
    """Each damaged packet gives exactly the fault that was made."""
    v4, v6 = frame(4), frame(6)
    # 14: Ethernet; 34 or 54: start of the UDP header; +8: data offset, +9: flags.
    cases = {
        "UDP checksum 0x": [patch(v4, 55, 0), patch(v6, 77, 0), patch(v4, 42, 0x60), patch(v6, 40, 9)],
        "UDP checksum is zero": [v4[:40] + b"\0\0" + v4[42:], v6[:60] + b"\0\0" + v6[62:]],
        "UDP length": [patch(v4, 39, 9), patch(v6, 59, 9)],
        "IPv4 header checksum": [patch(v4, 22, 3)],
        "IPv4 length": [v4[:-1]],
        "IPv6 payload length": [v6[:-1], v6 + b"\0"],
        "is a fragment": [frame_with_fragment()],
        "data offset": [datagram_frame(4, 8, 0x40), datagram_frame(6, 8, 0xF0)],
        "URG is set": [datagram_frame(4, 9, 0x30), datagram_frame(6, 9, 0x30)],
    }
    for text, frames in cases.items():
        for damaged in frames:
            faults = judge(damaged).faults
            assert any(text in fault for fault in faults), f"{text}: {faults}"
    cut = wire.judge([(v4[:50], len(v4))], PORT)
    assert "captured" in cut.faults[0], cut


def datagram_frame(family, offset, value):
    """A frame whose datagram has one other byte, checksum put right again."""
    start = 34 if family == 4 else 54
    data = frame(family)
    pseudo = data[26:34] if family == 4 else data[22:54]
    body = patch(data[start:], offset, value)
    body = body[:6] + b"\0\0" + body[8:]
    total = wire.ones_complement(pseudo + struct.pack("!HH", wire.UDP, len(body)) + body)
    return data[:start] + body[:6] + struct.pack("!H", 0xFFFF - total or 0xFFFF) + body[8:]


def frame_with_fragment():
    """An IPv4 frame with More Fragments set and a right header checksum."""
    data = frame(4)
    head = data[14:20] + b"\x20\0" + data[22:24] + b"\0\0" + data[26:34]
    checksum = 0xFFFF - wire.ones_complement(head)
    return data[:14] + head[:10] + struct.pack("!H", checksum) + head[12:] + data[34:]
