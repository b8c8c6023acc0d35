#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A line between two hosts without link layer header, as wwan and ppp devices have: a tun device in each,
and this program carries packets between them and keeps a copy of each in a pcap file.

    wirepair.py PID DEVICE PID DEVICE PCAP LARGEST [merge] [TYPE]

PID is a process of the host. Packets of more than LARGEST bytes vanish. With merge the devices receive as network
cards do, so that what arrives within a moment can be merged. TYPE is the number ARPHRD_* that both have. Says "ready"
when both devices are there; they go when standard input is closed. May touch: the two devices, and PCAP.
"""

import ctypes
import fcntl
import os
import select
import struct
import sys
import threading
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF, TUNSETLINK = 0x400454CA, 0x400454CD
IFF_TUN, IFF_NAPI, IFF_NO_PI = 0x0001, 0x0010, 0x1000
LINKTYPE_RAW = 101


class Pcap:
    """A file with the packets, in the order in which they were taken from the devices."""

    def __init__(self, path):
        self._lock = threading.Lock()
        self._file = open(path, "wb")
        self._file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, LINKTYPE_RAW))

    def add(self, packet):
        """Adds a packet."""
        seconds, rest = divmod(time.time_ns(), 10**9)
        with self._lock:
            self._file.write(struct.pack("=IIII", seconds, rest // 1000, len(packet), len(packet)) + packet)

    def close(self):
        """Ends the file."""
        with self._lock:
            self._file.close()


def open_device(pid, name, flags):
    """Makes a tun device in the network namespace of a process; its descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{pid}/ns/net", "rb") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET) < 0:
            raise OSError(ctypes.get_errno(), f"setns to process {pid}")
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TUN | IFF_NO_PI | flags))
    return fd


def carry(source, target, stop, pcap, largest):
    """Carries packets one way until the end of stop."""
    while stop not in select.select([source, stop], [], [])[0]:
        packet = os.read(source, 1 << 17)
        if len(packet) > largest:
            continue
        pcap.add(packet)
        try:
            os.write(target, packet)
        except OSError:
            pass  # the device is down: lost, as on any line


def main():
    """See above."""
    first, second, path, largest = sys.argv[1:3], sys.argv[3:5], sys.argv[5], int(sys.argv[6])
    pcap = Pcap(path)
    flags = IFF_NAPI if "merge" in sys.argv[7:] else 0
    ends = open_device(*first, flags), open_device(*second, flags)
    for kind in filter(str.isdigit, sys.argv[7:]):
        for end in ends:
            fcntl.ioctl(end, TUNSETLINK, int(kind))
    threads = [
        threading.Thread(target=carry, args=(*pair, sys.stdin.fileno(), pcap, largest))
        for pair in (ends, tuple(reversed(ends)))
    ]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()
    pcap.close()


if __name__ == "__main__":
    main()
