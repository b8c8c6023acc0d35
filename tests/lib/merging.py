# SPDX-License-Identifier: GPL-2.0-or-later
"""Links that merge datagrams before the programs see them, and what became of these. Sets offloads of links and
asks the service. May touch: offloads, and the process it started."""

import contextlib
import json
import subprocess

import runner
import service
import wire
from host import HERE
from lab import PORT, address

SIZE = 8_000_000
LAST = 1_000  # bytes that show that nothing stands
PATIENCE = 20  # seconds for a transfer
LARGEST = 65535  # bytes of a merged datagram
NONE = ("gro", "on", "rx-udp-gro-forwarding", "off", "rx-gro-list", "off")
FORWARDING = ("gro", "on", "rx-udp-gro-forwarding", "on", "rx-gro-list", "off")
LIST = ("gro", "on", "rx-udp-gro-forwarding", "off", "rx-gro-list", "on")  # they are chained, not copied into one
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")


def merge(lab, interface, features):
    """Sets these offloads of a link of client or server, which receives from the middlebox."""
    peer = {"c0": "mc0", "s0": "ms0"}[interface]
    lab.middlebox.run("ethtool", "-K", peer, "tso", "off")  # veth merges only what comes from an end without TSO
    (lab.client if interface == "c0" else lab.server).run("ethtool", "-K", interface, *features)


def cut(host, interface):
    """Merged datagrams that were cut again so far; nothing may have been dropped or left to others."""
    counted = service.counters(host, interface)
    odd = {name: value for name, value in counted.items() if value and name.startswith(("drop-", "pass-"))}
    assert not odd, f"{host.name}: {odd}"
    return counted["cut"]


def datagram_sizes(path):
    """Sizes of the IP packets in a capture that are UDP."""
    return [
        original - 14
        for frame, original in wire.read_pcap(path)
        if (frame[12:14], frame[23]) == (b"\x08\x00", wire.UDP)
        or (frame[12:14], frame[20]) == (b"\x86\xdd", wire.UDP)
    ]


def transfer(client, task, host, interface, target, family=4, protocol="mptcp", size=SIZE):
    """A connection to this address whose bulk arrives merged at this link of the host, and is carried all the
    same."""
    before, name = cut(host, interface), f"{task}-{family}"
    client.connect(name, target, protocol=protocol)
    client.transfer("echo", name, size=LAST)
    result = client.transfer(task, name, size=size, timeout=PATIENCE)
    client.transfer("echo", name, size=LAST)
    assert client.info(name)["fallback"] is (protocol == "tcp"), client.info(name)
    client.close(name)
    times = cut(host, interface) - before
    assert times * LARGEST > size / 2, f"{task}, IPv{family}: only {times} datagrams were merged"
    runner.note(
        f"{task}, IPv{family}: {times} merged ones cut, {size * 8 / result['seconds'] / 1e6:.0f} Mbit/s"
    )


@contextlib.contextmanager
def hearing(lab, *mode, who=NOBODY):
    """A UDP socket at the port of the server, of a user without any right; with "gro", one that has UDP_GRO. What
    it heard, once the block has ended."""
    command = [*who, "/usr/bin/python3", str(HERE / "udp_gro.py"), "hear", str(PORT), *mode]
    listener = lab.server.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    heard = {}
    try:
        assert listener.stdout.readline() == "ready\n"
        yield heard
    finally:
        listener.stdin.close()
        text = listener.stdout.read()
        listener.stdout.close()
        listener.wait(timeout=10)
    heard.update(json.loads(text))


def say(lab, family, size, bursts):
    """The client sends such datagrams in bursts to the port of the server; what it sent."""
    words = ("send", address("s0", family), PORT, size, bursts)
    return json.loads(lab.client.output("/usr/bin/python3", HERE / "udp_gro.py", *words))
