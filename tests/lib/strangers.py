#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of strangers to a UDP port of a host that may have a tunnel socket of the kernel, with something
inside that the host would take: as IP behind UDP (FOU), in all variants of GUE, and in odd shapes. As a program: what
would get it, with a line for each that came. May touch, as a program: its sockets.
"""

import ipaddress
import select
import socket
import struct

import craft
from lab import address

INSIDE = 9999  # the port inside
SENDER = {4: "198.51.100.7", 6: "2001:db8:77::7"}
IPIP, TCP, UDP, IPV6, GRE, NONE = 4, 6, 17, 41, 47, 59
DESTINATION_OPTIONS, FRAGMENT = 60, 44


def inner(family, link="s0"):
    """A datagram to the program inside, as IP."""
    return craft.datagram((SENDER[family], 1), (address(link, family), INSIDE), b"inside")


def bare(family, link="s0"):
    """The same without an IP header: what is resubmitted has the outer one. No checksum; IPv6 has none to take."""
    return inner(family, link)[40 if family == 6 else 20 :]


def outer(family, port, data, link="s0", sender=None):
    """UDP to the host that has this link, as if it came from this address and port."""
    return craft.datagram(sender or (SENDER[family], 5000), (address(link, family), port), data)


def packets(family, port, link="s0", sender=None):
    """IP of both versions behind UDP."""
    return [outer(family, port, inner(each, link), link, sender) for each in (family, 10 - family)]


def gue(family, port, link="s0", sender=None):
    """GUE of all versions: with all that the kernel unpacks, with options, and messages of its own."""
    own, other = (IPIP, IPV6) if family == 4 else (IPV6, IPIP)
    bodies = [(own, inner(family, link)), (UDP, bare(family, link)), (other, inner(10 - family, link))]
    bodies.append((TCP, craft.plain((SENDER[family], 1), (address(link, family), INSIDE), craft.SYN, 1)[-20:]))
    bodies += [(GRE, bytes(2) + struct.pack("!H", 0x0800) + inner(4, link)), (NONE, b""), (0, inner(family, link))]
    found = [struct.pack("!BBH", 0, protocol, 0) + body for protocol, body in bodies]
    # A private option: the checksum is elsewhere (remote checksum offload).
    option = struct.pack("!IHH", 0x80000000, 0, 6)
    found.append(struct.pack("!BBH", 2, UDP, 0x0001) + option + bare(family, link))
    found.append(struct.pack("!BBH", 0x20, 1, 0) + b"control")
    found += [bytes([version << 6]) + bytes([own, 0, 0]) + inner(family, link) for version in (1, 2, 3)]
    return [outer(family, port, each, link, sender) for each in found]


def odd(family, port, link="s0", sender=None):
    """The first packet in other shapes: short, without checksum, in fragments, behind extension headers."""
    whole = outer(family, port, inner(family, link), link, sender)
    found = [outer(family, port, data, link, sender) for data in (b"", b"\0", bytes(11))]
    if family == 4:
        head, body = whole[:20], whole[20:]
        found.append(head + body[:6] + bytes(2) + body[8:])
        options = bytes([0x47]) + head[1:2] + struct.pack("!H", len(whole) + 8) + head[4:10] + bytes(2)
        options += head[12:] + bytes([1] * 8)
        check = craft.inverted(craft.ones_complement(options))
        found.append(options[:10] + struct.pack("!H", check) + options[12:] + body)
        for offset in (0, 16):
            part = body[offset : offset + 16] if offset == 0 else body[offset:]
            piece = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), 77, offset // 8 | (0x2000 if not offset else 0), 60, UDP, 0)
            piece += head[12:]
            found.append(piece[:10] + struct.pack("!H", craft.inverted(craft.ones_complement(piece))) + piece[12:] + part)
        return found
    head, body = whole[:40], whole[40:]

    def behind(first, chain):
        return head[:4] + struct.pack("!HB", len(chain), first) + head[7:] + chain

    for count in (1, 4, 5, 8):
        chain = b"".join(
            bytes([DESTINATION_OPTIONS if i + 1 < count else UDP, 0, 1, 4, 0, 0, 0, 0]) for i in range(count)
        )
        found.append(behind(DESTINATION_OPTIONS, chain + body))
    for offset, part in ((0, body[:24]), (24, body[24:])):
        found.append(behind(FRAGMENT, struct.pack("!BBHI", UDP, 0, offset | (not offset), 78) + part))
    return found


def is_first(packet):
    """Whether a packet is no later fragment."""
    if packet[0] >> 4 == 4:
        return struct.unpack("!H", packet[6:8])[0] & 0x1FFF == 0
    return packet[6] != FRAGMENT or struct.unpack("!H", packet[42:44])[0] >> 3 == 0


def listen():
    """Says "ready", and then what came: UDP and connections to the port inside."""
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    for each in (udp, tcp):
        each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        each.bind(("::", INSIDE))
    tcp.listen()
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([udp, tcp], [], [])
        if udp in readable:
            data, sender = udp.recvfrom(2048)
            print(data, ipaddress.ip_address(sender[0]), flush=True)
        if tcp in readable:
            tcp.accept()[0].close()
            print("a connection: inside", flush=True)


if __name__ == "__main__":
    listen()
