#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in a machine, started by its systemd as soon as the network is online, and tells by the file RESULT
that it is ready. May touch: that file and its sockets.

usage: first.py RESULT connect ADDRESS PORT   opens an MPTCP connection, has a few bytes echoed, keeps it
       first.py RESULT serve PORT             serves like peer.py of the lab
"""

import pathlib
import signal
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from peer import IPPROTO_MPTCP, Peer  # noqa: E402

SIZE = 10_000


def connect(address, port):
    """Opens the connection and uses it once."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    connection.settimeout(20)
    connection.connect((address, int(port)))
    connection.sendall(f"ECHO {SIZE}\n".encode() + b"e" * SIZE)
    received = 0
    while received < SIZE:
        data = connection.recv(SIZE)
        if not data:
            raise EOFError(f"connection closed, {SIZE - received} bytes missing")
        received += len(data)
    return connection


def main():
    """The whole life of the program."""
    result, verb, *rest = sys.argv[1:]
    kept = connect(*rest) if verb == "connect" else Peer().listen(int(rest[0]))
    pathlib.Path(result).write_text(f"{verb} {kept}\n")
    signal.pause()


if __name__ == "__main__":
    main()
