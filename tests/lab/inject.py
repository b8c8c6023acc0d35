#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends the IP packets that standard input names, one in hexadecimal a line, as they are.

inject.py INTERFACE MAC PAUSE; runs in a host of the lab; may touch: one packet socket.
"""

import socket
import sys
import time

ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD


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
            kind = ETH_P_IP if packet[0] >> 4 == 4 else ETH_P_IPV6
            sender.sendto(packet, (interface, kind, 0, 0, hardware_address))
            if pause:
                time.sleep(pause)


if __name__ == "__main__":
    main()
