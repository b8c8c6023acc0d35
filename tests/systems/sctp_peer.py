#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An SCTP server and client of one association, with the sockets of the kernel.

usage: sctp_peer.py serve PORT                    echoes messages until it is ended
       sctp_peer.py ask ADDRESS PORT SECONDS      has messages echoed; prints in JSON what it knows of the
                                                  association; exit status 3 when none comes up in time

May touch: its sockets.
"""

import json
import socket
import struct
import sys
import threading

IPPROTO_SCTP = 132
SCTP_STATUS = 14
# struct sctp_status up to sstat_fragmentation_point; packed, as the kernel has it.
STATUS = struct.Struct("=iiIHHHHI")
STATUS_SIZE = 256
SIZES = (1, 100, 1400, 1452, 1460, 5000, 20000)
CHUNK = 1 << 16


def receive(connection, size):
    """Exactly size bytes: SCTP keeps messages apart, reads of a stream socket may still end in between."""
    data = b""
    while len(data) < size:
        block = connection.recv(min(CHUNK, size - len(data)))
        if not block:
            raise EOFError(f"association closed, {size - len(data)} bytes missing")
        data += block
    return data


def echo(connection):
    """Sends back what comes."""
    with connection:
        while block := connection.recv(CHUNK):
            connection.sendall(block)


def serve(port):
    """The server."""
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, IPPROTO_SCTP)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(8)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def fragmentation_point(connection):
    """Largest message that the kernel puts into one packet of this association."""
    return STATUS.unpack_from(connection.getsockopt(IPPROTO_SCTP, SCTP_STATUS, STATUS_SIZE))[-1]


def ask(address, port, seconds):
    """The client."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, IPPROTO_SCTP) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect((address, port))
        except OSError as error:
            print(error, file=sys.stderr)
            return 3
        connection.settimeout(60)
        for size in SIZES:
            data = bytes(number & 0xFF for number in range(size))
            connection.sendall(data)
            assert receive(connection, size) == data, f"{size} bytes came back as others"
        print(json.dumps({"fragmentation_point": fragmentation_point(connection), "bytes": sum(SIZES)}))
    return 0


def main():
    """Reads the command line."""
    verb, *rest = sys.argv[1:]
    if verb == "serve":
        serve(int(rest[0]))
    sys.exit(ask(rest[0], int(rest[1]), float(rest[2])))


if __name__ == "__main__":
    main()
