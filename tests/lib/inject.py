#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends the packets that standard input names, one in hexadecimal a line, as they are: IPv4 and IPv6 by their
first four bits, all others with an EtherType that no protocol has.

inject.py INTERFACE MAC PAUSE; runs in a host of the lab; may touch: one packet socket.
"""

import socket
import sys
import time

KINDS = {4: 0x0800, 6: 0x86DD}
LOCAL_EXPERIMENT = 0x88B5  # IEEE 802


def main():
    """Reads everything first, so that the packets follow each other closely."""
    interface, hardware_address, pause = (
        sys.argv[1],
        bytes.fromhex(sys.argv[2].replace(":", "")),
        float(sys.argv[3]),
    )
    packets = [bytes.fromhex(line) for line in sys.stdin]
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            kind = KINDS.get(packet[0] >> 4, LOCAL_EXPERIMENT)
            sender.sendto(packet, (interface, kind, 0, 0, hardware_address))
            if pause:
                time.sleep(pause)


if __name__ == "__main__":
    main()
