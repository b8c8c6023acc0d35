#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A server for measurements: takes everything that comes ("sink"), takes nothing ("idle"), closes after a few bytes
("close"), or answers HTTP with zeros without an end ("web").

rate_server.py PORT KIND; runs in a host of the lab, may touch: nothing else.
"""

import contextlib
import socket
import sys
import threading
import time

IPPROTO_MPTCP = 262
PIECE = bytes(65536)


def serve(kind, connection):
    """One connection, until it ends."""
    with contextlib.suppress(OSError), connection:
        if kind == "idle":
            time.sleep(3600)
        data = connection.recv(65536)
        if kind == "close":
            return
        if kind == "web":
            if data.startswith(b"GET /large "):
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    connection.sendall(PIECE)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        while connection.recv(1 << 20):
            pass


def main():
    """Listens with MPTCP at all addresses."""
    port, kind = int(sys.argv[1]), sys.argv[2]
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, IPPROTO_MPTCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(64)
    while True:
        threading.Thread(target=serve, args=(kind, listener.accept()[0]), daemon=True).start()


if __name__ == "__main__":
    main()
