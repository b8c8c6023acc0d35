#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A router with a narrow link that quotes as little as RFC 792 allows: it answers each IPv4 packet larger
than MTU with "fragmentation needed" and the first 8 bytes behind its IP header. Dropping them is left to the
firewall.

terse_router.py MTU INTERFACE…; runs in a host of the lab until standard input is closed; may touch: packet
sockets.
"""

import selectors
import socket
import struct
import sys

from craft import inverted
from wire import ones_complement

ETH_P_IP = 0x0800
QUOTE = 20 + 8


def error(packet, mtu, router):
    """The ICMP error about a packet."""
    body = struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + packet[:QUOTE]
    body = body[:2] + struct.pack("!H", inverted(ones_complement(body))) + body[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, 1, 0) + router + packet[12:16]
    return head[:10] + struct.pack("!H", inverted(ones_complement(head))) + head[12:] + body


def main():
    """Answers until standard input is closed."""
    mtu, selector = int(sys.argv[1]), selectors.DefaultSelector()
    for interface in sys.argv[2:]:
        listener = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        listener.bind((interface, ETH_P_IP))
        selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                return
            packet, sender = key.fileobj.recvfrom(65536)
            if sender[2] == socket.PACKET_HOST and len(packet) > mtu and packet[0] == 0x45:
                answer = error(packet, mtu, packet[12:15] + b"\x01")
                key.fileobj.sendto(answer, (sender[0], ETH_P_IP, 0, 0, sender[4]))


if __name__ == "__main__":
    main()
