# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of links: no link gets that of another one that was detached while flows name it."""

import json
import struct

import runner
import service
import traffic
from host import wait_until
from lab import PORT, address
from state import PINS

SLOTS = 1024  # UNDERPASS_LINKS_MAX
STATE, SLOT = 52, 44  # where state and slot are in a flow: struct underpass_flow
SEEN = 8
REST = 2  # UNDERPASS_SLOT_RESTS
PROFILE = f"[Match]\nName={{}}\n[X-Underpass]\nTunnel=yes\nRemotePorts={PORT}\n"


class Maps:
    """The maps of a host, by bpftool."""

    def __init__(self, host):
        self.host = host
        self.folder = host.output("find", PINS, "-mindepth", "1", "-maxdepth", "1").split()[0]

    def dump(self, name):
        """(key, value) of each element, as bytes."""
        text = self.host.output("bpftool", "--json", "map", "dump", "pinned", f"{self.folder}/{name}")
        return [
            tuple(bytes(int(byte, 16) for byte in entry[part]) for part in ("key", "value"))
            for entry in json.loads(text)
        ]

    def update(self, name, entries):
        """Writes elements."""
        lines = []
        for entry in entries:
            key, value = (" ".join(f"{byte:#04x}" for byte in part) for part in entry)
            lines.append(f"map update pinned {self.folder}/{name} key {key} value {value}")
        self.host.write("/run/elements", "\n".join(lines) + "\n")
        self.host.run("bpftool", "batch", "file", "/run/elements")

    def links(self):
        """ifindex -> slot of the links that are attached."""
        found = (struct.unpack_from("=I", part) for entry in self.dump("links") for part in entry)
        words = [number for (number,) in found]
        return dict(zip(words[::2], words[1::2]))

    def flows(self):
        """How many flows name each slot."""
        named = {}
        for _, value in self.dump("flows"):
            (slot,) = struct.unpack_from("=I", value, SLOT)
            named[slot] = named.get(slot, 0) + 1
        return named


def ifindex(host, name):
    """Interface index of a link."""
    return int(host.output("cat", f"/sys/class/net/{name}/ifindex"))


def new_slot(maps, name):
    """Makes a link with a tunnel; its slot."""
    host = maps.host
    host.write(f"/etc/underpass/{name}.conf", PROFILE.format(name))
    host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"far-{name}")
    host.run("ip", "link", "set", name, "up")
    host.run("underpassctl", "reload")
    service.wait_state(host, name, service.ACTIVE)
    return maps.links()[ifindex(host, name)]


def entry(number, slot, seen=0):
    """A flow that names a slot."""
    key = struct.pack(">36sI", b"", number)[4:]
    value = bytearray(72)
    struct.pack_into("=Q", value, SEEN, seen)
    struct.pack_into("=I", value, SLOT, slot)
    value[STATE] = 2
    return key, value


def test_rest():
    """A link comes up after another has been detached whose flow still lives; then, once all numbers have been
    used, one whose flows are forgotten is taken, and at last the one that has been silent longest."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab, "mptcp-only=no")
        service.set_keys(lab.server, "server", "mptcp-only=no")
        service.bring_up(lab)
        _, client = traffic.pair(lab)
        client.connect("a", source=address("c1"), device="c1", protocol="tcp")
        client.transfer("echo", "a", size=1000)
        maps = Maps(lab.client)
        gone = maps.links()[ifindex(lab.client, "c1")]
        assert maps.flows() == {gone: 1}
        lab.client.run("underpassctl", "deactivate", "c1")
        first = new_slot(maps, "first0")
        assert first != gone

        # Every number has been used: the ones that no flow names wake up, in their order.
        links = set(maps.links().values())
        size = len(maps.dump("slots")[0][1])
        rests = struct.pack("=IIII", 0, 0, 0, REST).ljust(size, b"\0")
        rest = [slot for slot in range(1, SLOTS + 1) if slot not in links]
        maps.update("slots", [(struct.pack("=I", slot), rests) for slot in rest])
        second = new_slot(maps, "second0")
        assert second == min(slot for slot in rest if slot != gone), (second, gone)

        # Flows name all of them: those of the slot that has been silent longest are forgotten.
        links = set(maps.links().values())
        rest = [slot for slot in range(1, SLOTS + 1) if slot not in links]
        size = len(maps.dump("flows")[0][1])
        silent = rest[500]
        flows = []
        for number, slot in enumerate(2 * rest):
            key, value = entry(number, slot, 1 if slot == silent else 10**9)
            flows.append((key, value.ljust(size, b"\0")))
        maps.update("flows", flows)
        maps.update("slots", [(struct.pack("=I", slot), rests) for slot in rest])
        before = maps.flows()
        assert before[silent] == 2 and before[gone] == 3, before
        third = new_slot(maps, "third0")
        assert third == silent, (third, silent)
        wait_until(lambda: maps.flows() == {slot: count for slot, count in before.items() if slot != silent},
                   "only its flows are forgotten", 5)
