#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in the middlebox: a TUN device that gives each packet back after a while, for kernels without netem.

Usage: delay.py INTERFACE     until its standard input ends; prints "ready" once the device is there. Each line of the input is
the delay from then on, in milliseconds.
"""

import collections
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


def main(interface):
    """Forwards until somebody ends it."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH14x", interface.encode(), IFF_TUN | IFF_NO_PI))
    print("ready", flush=True)
    delay = 0.0
    waiting = collections.deque()  # (when it is due, packet)
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable = select.select([tun, sys.stdin], [], [], pause)[0]
        if sys.stdin in readable:
            line = sys.stdin.readline()
            if not line:
                return
            delay = float(line) / 1000
        if tun in readable:
            waiting.append((time.monotonic() + delay, os.read(tun, 65536)))
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(tun, waiting.popleft()[1])


if __name__ == "__main__":
    main(sys.argv[1])
