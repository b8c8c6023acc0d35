#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets a link have super-packets of more than 64 KiB, both to send and to merge (BIG TCP): iproute2 of Debian
12 knows only the half of it.

    big_tcp.py INTERFACE BYTES

May touch: the interface. Fails with status 2 where the kernel refuses.
"""

import socket
import struct
import sys

NETLINK_ROUTE, RTM_NEWLINK, NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR = 0, 16, 1, 4, 2
# linux/if_link.h; those of IPv4 since Linux 6.3
IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE = 41, 58, 63, 64


def main():
    """See above."""
    index, size = socket.if_nametoindex(sys.argv[1]), int(sys.argv[2])
    kinds = (IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE)
    body = struct.pack("=BxHiII", 0, 0, index, 0, 0)
    body += b"".join(struct.pack("=HHI", 8, kind, size) for kind in kinds)
    header = struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as netlink:
        netlink.send(header + body)
        kind, error = struct.unpack_from("=H10xi", netlink.recv(4096), 4)
    if kind != NLMSG_ERROR or error:
        sys.exit(2)


if __name__ == "__main__":
    main()
