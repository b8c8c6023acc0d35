#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends frames as they are.

    frames.py DEVICE

Each line of standard input is a frame in hexadecimal digits. May touch: nothing but what it sends.
"""

import socket
import sys

with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind((sys.argv[1], 0))
    for line in sys.stdin:
        out.send(bytes.fromhex(line))
