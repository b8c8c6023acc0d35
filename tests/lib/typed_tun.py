#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A tun device whose type changes, as that of a modem does when it is switched to raw IP.

    typed_tun.py DEVICE

Says "ready" when the device is there, and "done" after each line of standard input, a number ARPHRD_* that the
device, which has to be down, has then got. It goes when standard input is closed. May touch: the device.
"""

import fcntl
import os
import struct
import sys

TUNSETIFF, TUNSETLINK = 0x400454CA, 0x400454CD
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


def main():
    """See above."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH14x", sys.argv[1].encode(), IFF_TUN | IFF_NO_PI))
    print("ready", flush=True)
    for line in sys.stdin:
        fcntl.ioctl(fd, TUNSETLINK, int(line))
        print("done", flush=True)


if __name__ == "__main__":
    main()
