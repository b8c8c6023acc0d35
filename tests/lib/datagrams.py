#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A UDP service that sends every datagram back, and its client, which fails when one does not come back.

datagrams.py serve PORT, or datagrams.py ask PORT ADDRESS with datagrams in hexadecimal on standard input,
one per line. Runs in a host of the lab; may touch: its sockets.
"""

import socket
import sys

PATIENCE = 5  # seconds


def serve(port):
    """Answers until it is killed."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", port))
        print("ready", flush=True)
        while True:
            data, sender = listener.recvfrom(65536)
            listener.sendto(data, sender)


def ask(port, address):
    """One datagram after the other, so that none can be lost for want of room."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    count = size = 0
    with socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.settimeout(PATIENCE)
        asker.connect((address, port))
        for line in sys.stdin:
            data = bytes.fromhex(line)
            asker.send(data)
            if asker.recv(65536) != data:
                sys.exit(f"datagram {count} came back changed: {line}")
            count, size = count + 1, size + len(data)
    print(f"{count} datagrams of {size} bytes to {address} came back")


def main():
    """See above."""
    port = int(sys.argv[2])
    try:
        if sys.argv[1] == "serve":
            serve(port)
        ask(port, sys.argv[3])
    except TimeoutError:
        sys.exit("a datagram did not come back")


if __name__ == "__main__":
    main()
