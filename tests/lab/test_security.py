# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody else says or sends is believed no more than plain TCP would believe it: each attack, made by
who could make it, beside what is meant honestly and still has to work."""

import craft
import path
import runner
import service
import terse_router
import traffic
from lab import PORT, address

FORGED_MTU = 600
FORGED = 50
ROUTER = bytes([198, 18, 0, 66])


def one_uplink(lab, *pairs):
    """Brings up the client's first uplink and the server, tunnelled."""
    service.set_keys(lab.client, "first", "tunnel=yes", f"remote-ports={PORT}", *pairs)
    service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}")
    service.bring_up(lab, "first")
    service.wait_state(lab.server, "s0", service.ACTIVE)
    service.wait_state(lab.client, "c0", service.ACTIVE)


def counted(lab, name):
    """One counter of the client's first uplink."""
    return service.counters(lab.client, "c0")[name]


def test_forged_path_mtu():
    """Who knows addresses and ports makes errors that quote 8 bytes: too big, the path MTU is 600. A terse
    router says no more, but it says so while data is in flight (test_pmtu.py, short quotes)."""
    with runner.TestLab() as lab:
        one_uplink(lab)
        _, client = traffic.pair(lab)
        port = client.connect("idle")["port"]
        client.transfer("download", "idle", size=1_000_000)
        quoted = craft.datagram((address("c0"), port), (address("s0"), PORT), bytes(1400))
        path.inject(lab, "c0", [terse_router.error(quoted, FORGED_MTU, ROUTER)] * FORGED, pause=0.01)
        route = lab.client.output("ip", "route", "get", address("s0"))
        assert "mtu" not in route, route
        assert counted(lab, "icmp-converted") == 0
        assert counted(lab, "drop-unproven") == FORGED
        client.transfer("upload", "idle", size=1_000_000)
        runner.note(f"{FORGED} forged errors changed nothing")
