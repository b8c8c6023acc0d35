# SPDX-License-Identifier: GPL-2.0-or-later
"""Super-packets of more than 64 KiB (BIG TCP), whose IP header cannot say how long they are."""

import path
import runner
import service
import traffic
from host import HERE
from lab import LINKS, address

BIG = 192 * 1024
SIZE = 30_000_000
COUNTER = (
    "table netdev big {{ chain out {{ type filter hook egress device {0} priority 0;"
    " meta length > 65600 counter name big\n}}\n counter big {{ }}\n}}\n"
)


def make_big(lab):
    """Both ends of all cables may have super-packets of BIG bytes. Those that leave are counted."""
    for interface, (peer, _) in LINKS.items():
        host = lab.client if interface.startswith("c") else lab.server
        for where, name in ((host, interface), (lab.middlebox, peer)):
            where.run("/usr/bin/python3", HERE / "big_tcp.py", name, BIG)
        host.run("nft", "-f", "-", text=COUNTER.format(interface) if interface != "c1" else "")


def seen(host):
    """Super-packets of more than 64 KiB that were about to leave."""
    text = host.output("nft", "list", "counter", "netdev", "big", "big")
    return int(text.split("packets ")[1].split()[0])


def test_both_ways():
    """Sent and received, IPv4 and IPv6. MPTCP describes at most 64 KiB at once, so this is TCP."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab, "mptcp-only=no")
        service.set_keys(lab.server, "server", "mptcp-only=no")
        service.bring_up(lab, "first")
        make_big(lab)
        _, client = traffic.pair(lab)
        for family in (4, 6):
            before = seen(lab.client), seen(lab.server)
            client.connect(f"big {family}", address("s0", family), protocol="tcp")
            for task in ("upload", "download"):
                client.transfer(task, f"big {family}", size=SIZE)
            counts = [now - then for now, then in zip((seen(lab.client), seen(lab.server)), before)]
            runner.note(f"IPv{family}: {counts[0]} packets of more than 64 KiB up, {counts[1]} down")
            assert min(counts) > 0, "there were none, so nothing was shown"
            client.close(f"big {family}")
        for host, interface in ((lab.client, "c0"), (lab.server, "s0")):
            odd = {name: count for name, count in service.counters(host, interface).items() if count}
            assert not [name for name in odd if name.startswith(("drop", "pass"))], odd
        assert path.forwarded(lab, "tcp") == 0, lab.counters()
