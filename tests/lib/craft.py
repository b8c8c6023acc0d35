# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets made by hand: TCP segments as such and in their UDP form, with right checksums. Pure."""

import ipaddress
import struct

from wire import TCP, UDP, ones_complement

SYN, RST, ACK = 0x02, 0x04, 0x10

# What a SYN of MPTCP asks for: MSS 1460, MP_CAPABLE version 1 with HMAC-SHA256.
CAPABLE = bytes([2, 4, 5, 180, 30, 4, 1, 1])


def inverted(total):
    """Checksum for the header."""
    return 0xFFFF - total


def ip_packet(source, dest, protocol, body, checksum_offset):
    """An IP packet; the checksum in body, 0 so far, is filled in."""
    source, dest = ipaddress.ip_address(source), ipaddress.ip_address(dest)
    pseudo = source.packed + dest.packed + struct.pack("!HH", protocol, len(body))
    check = inverted(ones_complement(pseudo + body)) or 0xFFFF
    body = body[:checksum_offset] + struct.pack("!H", check) + body[checksum_offset + 2 :]
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, 60) + source.packed + dest.packed + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 60, protocol, 0)
    head += source.packed + dest.packed
    return head[:10] + struct.pack("!H", inverted(ones_complement(head))) + head[12:] + body


def plain(source, dest, flags, sequence, acknowledgment=0, options=b""):
    """A TCP segment without data; source and dest are (address, port)."""
    offset = (5 + len(options) // 4) << 4
    body = struct.pack(
        "!HHIIBBHHH", source[1], dest[1], sequence, acknowledgment, offset, flags, 64000, 0, 0
    )
    return ip_packet(source[0], dest[0], TCP, body + options, 16)


def wrapped(source, dest, flags, sequence, acknowledgment=0, options=b""):
    """The same in its UDP form."""
    offset, length = (5 + len(options) // 4) << 4, 20 + len(options)
    body = struct.pack(
        "!HHHHBBHII", source[1], dest[1], length, 0, offset, flags, 64000, sequence, acknowledgment
    )
    return ip_packet(source[0], dest[0], UDP, body + options, 6)


def datagram(source, dest, data):
    """A UDP datagram."""
    body = struct.pack("!HHHH", source[1], dest[1], 8 + len(data), 0) + data
    return ip_packet(source[0], dest[0], UDP, body, 6)
