#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A UDP socket that may let the kernel merge what it receives (UDP_GRO), as HTTP/3 servers open it, and what
sends to it in bursts.

udp_gro.py hear PORT [gro] says "ready", and when standard input is closed, as JSON: how many datagrams of which
size came, the SHA-256 of all bytes, and how many messages held more than one datagram. udp_gro.py send ADDRESS
PORT SIZE BURSTS sends bursts of datagrams of SIZE bytes and one shorter, and says the same of what it sent. Runs
in a host of the lab; may touch: its socket.
"""

import collections
import contextlib
import hashlib
import json
import os
import select
import socket
import struct
import sys
import time

SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
SO_RCVBUFFORCE = 33
ROOM = 8_000_000  # so that a slow machine loses nothing
BURST = 20  # datagrams of full size
PAUSE = 0.005  # seconds between bursts, so that none is lost for want of room


class Tally:
    """What was sent or received."""

    def __init__(self):
        self._digest = hashlib.sha256()
        self._sizes = collections.Counter()
        self._merged = 0

    def add(self, data, size):
        """A message of datagrams of size bytes; the last one may be shorter."""
        self._digest.update(data)
        parts = [len(data[start : start + size]) for start in range(0, len(data), size)]
        self._sizes.update(parts)
        self._merged += len(parts) > 1

    def report(self):
        """As JSON, the sizes as text."""
        sizes = {str(size): count for size, count in sorted(self._sizes.items())}
        print(json.dumps({"sha256": self._digest.hexdigest(), "sizes": sizes, "merged": self._merged}))


def segment_size(ancillary, data):
    """Size of the datagrams that a message was merged from."""
    for level, kind, value in ancillary:
        if (level, kind) == (SOL_UDP, UDP_GRO):
            return struct.unpack_from("=i", value)[0]
    return max(len(data), 1)


def hear(port, merges):
    """Receives until the end of standard input, and what is there then."""
    tally = Tally()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(SOL_UDP, UDP_GRO, merges)
        with contextlib.suppress(PermissionError):
            listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        listener.bind(("::", port))
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            data, ancillary, _, _ = listener.recvmsg(1 << 16, 64)
            tally.add(data, segment_size(ancillary, data))
    tally.report()


def send(address, port, size, bursts):
    """Each burst is one message that the kernel cuts."""
    tally = Tally()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(SOL_UDP, UDP_SEGMENT, size)
        sender.connect((address, port))
        for _ in range(bursts):
            # As QUIC sends it: a short header, all else as it comes.
            data = b"".join(
                bytes([0x40 | os.urandom(1)[0] & 0x3F]) + os.urandom(size - 1) for _ in range(BURST)
            )
            data += data[: size // 2]
            sender.send(data)
            tally.add(data, size)
            time.sleep(PAUSE)
    tally.report()


def main():
    """See above."""
    if sys.argv[1] == "hear":
        hear(int(sys.argv[2]), "gro" in sys.argv[3:])
    else:
        send(sys.argv[2], *(int(word) for word in sys.argv[3:]))


if __name__ == "__main__":
    main()
