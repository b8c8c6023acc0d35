# SPDX-License-Identifier: GPL-2.0-or-later
"""The rig: a client, a router and a server for each configuration, all alive at the same time, so that
measurements of different configurations can take turns.

    inner ── lan  client  c0 ──────────────────── s0  server      path "direct"
                          c1 ── r1  router  r9 ── s1              path "routed"
                          c2 ── r2                                path "second"

Every frame on the wire is as large as the MTU allows and no larger: no device of the wire segments. (Those of
a rig whose links cut do: there super-packets cross the wire as one, like the path to a card that cuts them,
whose own work takes no CPU.) Each one
has "pfifo limit 1000" as its queue, and merging (GRO) is on where hosts receive. Congestion control is reno:
one that paces by timers measures timers. May touch: the hosts it made.
"""

import pathlib
import re
import subprocess

from host import Host

# Addresses that RFC 2544 sets aside for benchmarks. Device: (host, its peer, network, last byte).
WIRES = {
    "c0": ("client", "s0", 1, 2),
    "s0": ("server", "c0", 1, 3),
    "c1": ("client", "r1", 2, 2),
    "r1": ("router", "c1", 2, 1),
    "c2": ("client", "r2", 3, 2),
    "r2": ("router", "c2", 3, 1),
    "r9": ("router", "s1", 9, 1),
    "s1": ("server", "r9", 9, 2),
    "i0": ("inner", "lan", 4, 2),
    "lan": ("client", "i0", 4, 1),
}
PAIRS = (("c0", "s0"), ("c1", "r1"), ("c2", "r2"), ("s1", "r9"))
FRAME_MAX = 1514  # Ethernet header included
SEGMENTING = re.compile(r"^\s*(tx-[\w-]*segmentation|tx-gso-list): on", re.M)
TUNNEL_SEGMENTING = "tx-udp_tnl-segmentation"
RECEIVE_CPUS = "1"  # mask: what is received without NAPI must not overtake itself on another CPU


def address(device):
    """IPv4 address of a device of the wire."""
    _, _, network, last = WIRES[device]
    return f"198.18.{network}.{last}"


class RigError(RuntimeError):
    """The rig is not what the measurements take for granted."""


class Rig:
    """The hosts of one configuration. setup(rig) of the configuration does the rest; it may change targets:
    the address of the server by path."""

    def __init__(self, name, folder, stage=None, cuts=False):
        self.name = name
        self.cuts = cuts  # the links cut super-packets
        self.folder = pathlib.Path(folder)
        self.targets = {"direct": address("s0"), "routed": address("s1"), "second": address("s1")}
        self.hosts = {}
        self.notes = {}  # what the configuration found out about itself, for the report
        self._stages = {"client": stage, "server": stage}

    client = property(lambda self: self.hosts["client"])
    server = property(lambda self: self.hosts["server"])
    router = property(lambda self: self.hosts["router"])
    inner = property(lambda self: self.hosts["inner"])

    def start(self):
        """Makes the hosts and their wires."""
        self.folder.mkdir()
        for name in ("client", "router", "server"):
            self._add_host(name)
        for near, far in PAIRS:
            self._cable(near, far)
        self.router.sysctl("net.ipv4.ip_forward", 1)
        for number, device in ((100, "c1"), (200, "c2")):
            self._route(self.client, device, WIRES[device][1], number)
        self._route(self.server, "s1", "r9", 100)

    def start_inner(self):
        """Adds the host behind the client, which becomes its router."""
        if "inner" not in self.hosts:
            self._add_host("inner")
            self._cable("i0", "lan")
            self._route(self.inner, "i0", "lan", 100)
            self.client.sysctl("net.ipv4.ip_forward", 1)

    def stop(self):
        """Takes everything down; safe at any time."""
        for host in reversed(self.hosts.values()):
            host.stop()
        self.hosts = {}

    def _add_host(self, name):
        host = Host(name, self.folder / name, self._stages.get(name))
        self.hosts[name] = host
        host.start()
        # Where packets are steered is written below /sys.
        host.run("mount", "-o", "remount,rw", "/sys")
        # A tail loss probe is sent when an acknowledgement is late, which on a busy machine says nothing.
        host.sysctl("net.ipv4.tcp_early_retrans", 0)

    @staticmethod
    def _route(host, device, gateway, metric):
        words = ["default", "via", address(gateway), "dev", device, "metric", str(metric)]
        host.run("ip", "route", "add", *words)

    def check_frames(self, mean):
        """RigError when frames of this mean size, the largest of all wires, are none of this rig's."""
        if mean > FRAME_MAX and not self.cuts:
            raise RigError(f"{self.name}: frames of {mean} bytes crossed a wire")

    def _cable(self, near, far):
        """A veth pair; both ends as the wire has to be."""
        hosts = [self.hosts[WIRES[device][0]] for device in (near, far)]
        # "netns PID" means a process id as the caller sees it, so only the network namespace is entered.
        words = [
            "nsenter",
            "--target",
            str(hosts[0].init),
            "--net",
            "ip",
            "link",
            "add",
            near,
            "type",
            "veth",
        ]
        subprocess.run([*words, "peer", "name", far, "netns", str(hosts[1].init)], check=True)
        for host, device in zip(hosts, (near, far)):
            features = host.output("ethtool", "-k", device)
            segmenting = "" if self.cuts else " ".join(f"{name} off" for name in SEGMENTING.findall(features))
            merging = "off" if WIRES[device][0] == "router" else "on"
            host.run(
                "sh",
                "-ec",
                f"""
                ethtool -K {device} {segmenting} gro {merging}
                tc qdisc replace dev {device} root pfifo limit 1000
                ip address add {address(device)}/24 dev {device}
                ip link set {device} up
                """,
            )
            if WIRES[device][0] == "router":
                host.write(f"/sys/class/net/{device}/queues/rx-0/rps_cpus", RECEIVE_CPUS)
            left = SEGMENTING.findall(host.output("ethtool", "-k", device))
            if left and not self.cuts:
                raise RigError(f"{device}: segmentation offload cannot be switched off")
            if self.cuts and TUNNEL_SEGMENTING not in left:
                raise RigError(f"{device}: no {TUNNEL_SEGMENTING}")

    def wire_devices(self):
        """(host, device) of every end of a wire."""
        for device, (name, peer, _, _) in WIRES.items():
            if name in self.hosts and WIRES[peer][0] in self.hosts:
                yield self.hosts[name], device
