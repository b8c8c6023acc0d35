#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A router that advertises itself on a link whose hosts have IPv6 alone: a prefix for their addresses, itself as
the way to everywhere, and, once told so, the prefix by which a NAT64 is reached (RFC 8781).

    advertise.py INTERFACE PREFIX

PREFIX is a /64. Each line of standard input is a prefix of 96 bits that is advertised from then on, or "-": none.
Ends with standard input. May touch: one socket.
"""

import ipaddress
import select
import socket
import struct
import sys

ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
SOLICITATION, ADVERTISEMENT = 133, 134
PAUSE = 1.0  # seconds between two advertisements
LIFETIME = 1800
ON_LINK, AUTONOMOUS = 0x80, 0x40


def advertisement(prefix, nat64):
    """The ICMPv6 message; the kernel sets its checksum."""
    head = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 64, 0, LIFETIME, 0, 0)
    words = (3, 4, 64, ON_LINK | AUTONOMOUS, 2 * LIFETIME, LIFETIME, 0)
    head += struct.pack("!BBBBIII", *words) + prefix.packed
    if nat64:
        # The lifetime counts in units of 8 seconds, and the three bits below it say "96 bits".
        head += struct.pack("!BBH", 38, 2, LIFETIME // 8 << 3) + nat64.packed[:12]
    return head


def main():
    """See above."""
    name, prefix = sys.argv[1], ipaddress.IPv6Address(sys.argv[2])
    nat64 = None
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as speaker:
        speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
        speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        index = socket.if_nametoindex(name)
        group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
        speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        while True:
            speaker.sendto(advertisement(prefix, nat64), (ALL_NODES, 0, 0, index))
            ready = select.select([speaker, sys.stdin], [], [], PAUSE)[0]
            if speaker in ready:
                speaker.recv(1500)
            if sys.stdin in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                nat64 = None if line.strip() == "-" else ipaddress.IPv6Address(line.strip())


if __name__ == "__main__":
    main()
