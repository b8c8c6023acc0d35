# SPDX-License-Identifier: GPL-2.0-or-later
"""A tunnelled transfer over both uplinks that nothing may disturb. Asks the kernel and the service of the
hosts."""

import contextlib

import service
import traffic
from host import wait_until
from lab import address

RATE = 10_000_000


def tunnelled(lab, counter):
    """Segments by a counter: those of the client's uplinks together, and those of the server."""
    client = sum(service.counters(lab.client, uplink)[counter] for uplink in ("c0", "c1"))
    server = service.counters(lab.server, "s0")[counter]
    return (client, server) if counter == "sent" else (server, client)


@contextlib.contextmanager
def transfer_under_way(lab, rate=RATE):
    """A tunnelled upload over both uplinks around the block: it must go on all the time and end well, over the
    subflows with which it began and without losing a packet: what one side sent through the tunnel the other
    one received, to the last segment."""
    _, client = traffic.pair(lab)
    traffic.connect_both(lab, client, "a")
    opened = flows(lab)
    client.start("uploads", "a", rate=rate)
    goes_on(client)
    yield client
    goes_on(client)
    client.finish("a")
    assert client.wait("a")["equal"]
    wait_until(lambda: tunnelled(lab, "sent") == tunnelled(lab, "received"), "every segment sent arrives")
    counted = lab.counters()
    assert counted["tcp-mc0"] == counted["tcp-mc1"] == (0, 0), counted
    traffic.wait_subflows(lab.client, [address("c0"), address("c1")])
    assert flows(lab) == opened, f"{flows(lab)} flows were opened, {opened} would have done"


def flows(lab):
    """How many flows the client has opened so far."""
    return sum(service.counters(lab.client, uplink)["flows-opened"] for uplink in ("c0", "c1"))


def goes_on(client):
    """Waits until the transfer has moved on."""
    before = client.progress("a")
    assert before["running"], client.wait("a")
    wait_until(lambda: client.progress("a")["bytes"] > before["bytes"] + 200_000, "the transfer goes on")
