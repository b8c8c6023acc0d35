#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts nginx with a listening socket of MPTCP, which Debian's nginx cannot make by itself: it takes
over the sockets of a predecessor, which the environment names.

web.py PORT CONFIGURATION; runs in a host of the lab, may touch: /run/web of the host.
"""

import os
import socket
import sys

IPPROTO_MPTCP = 262


def main():
    """Becomes nginx."""
    port, configuration = int(sys.argv[1]), sys.argv[2]
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, IPPROTO_MPTCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(64)
    os.set_inheritable(listener.fileno(), True)
    os.makedirs("/run/web/temporary", exist_ok=True)
    environment = dict(os.environ, NGINX=f"{listener.fileno()};")
    os.execve("/usr/sbin/nginx", ["nginx", "-c", configuration, "-e", "/run/web/error.log"], environment)


if __name__ == "__main__":
    main()
