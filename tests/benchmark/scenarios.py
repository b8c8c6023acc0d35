# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenarios: what is measured, in which unit, and for which configurations. Those that need more than a
transfer in the rig of a configuration are in scenarios_more.py.

A scenario makes its subjects, which take turns: most often one for each configuration.
"""

import json
import threading
import time

import sample
from lab import PLAIN_PORT
from rig import FRAME_MAX
from subject import Scenario, Subject

# CPU of the client, CPU of the server. The router works on CPU 0. So should who sends: a sender with a CPU of
# its own is faster than the router and fills its backlog until it overflows, with a tunnel and without.
ONE_CPU, TWO_CPUS, SERVER_FIRST = (0, 0), (0, 1), (1, 0)
SUPER_MIN = 16 * FRAME_MAX  # bytes in a frame, on average; a super-packet has at most 64 KiB
ONE_BY_ONE = ("one-by-one", "reference")  # configurations whose programs take one packet at a time
SHAPED = "tbf rate 200mbit burst 64kb limit 10mb"


# Which configurations take part


def everybody(config):
    """Each configuration, all modes of Underpass included, where the kernel cuts super-packets."""
    return not config.cuts and not config.chooses


def main_ones(config):
    """Each of those, Underpass in the modes that it chooses."""
    return everybody(config) and not config.mode


def only(*names):
    """These configurations."""
    return lambda config: config.name in names


def by_rig(select, measure, prepare=None, finish=None):
    """subjects() of a scenario: measure(rig, seconds) in the rig of each selected configuration."""

    def subjects(bench):
        found = []
        for config, rig in bench.rigs():
            if not select(config):
                continue
            subject = Subject(
                config.name,
                config.title,
                lambda seconds, rig=rig: measure(rig, seconds),
                rig=rig,
                mode=config.mode,
            )
            if prepare:
                subject.prepare = lambda rig=rig: prepare(rig)
            if finish:
                subject.finish = lambda rig=rig: finish(rig)
            found.append(subject)
        return found

    return subjects


def throughput(task, path, **more):
    """measure() that moves data; the value is in Gbit/s."""

    def measure(rig, seconds):
        result = sample.transfer(rig, task, path, seconds, **more)
        return {**result, "value": result["gbit_s"]}

    return measure


def by_super_packets(rig, seconds):
    """Data that crosses the wire in super-packets, which a card would cut."""
    result = throughput("up", "direct", cpus=ONE_CPU)(rig, seconds)
    if result["frame_max"] < SUPER_MIN:
        raise sample.MeasureError(f"{result['frame_max']} bytes in a frame: something has cut super-packets")
    return result


def round_trip(rig, seconds):
    """Median time of one byte there and one back, on one CPU."""
    result = sample.transfer(rig, "echo", "direct", seconds, cpus=ONE_CPU)
    return {**result, "value": result["p50_us"]}


def small_packets(rig, seconds):
    """As many single bytes there and back as 32 connections can do."""
    result = sample.transfer(rig, "echo", "direct", seconds, cpus=TWO_CPUS, connections=32)
    return {**result, "value": result["transactions_s"] / 1e3}


# A router in front of another host


def prepare_forward(rig):
    """The client becomes the router of an inner host, with masquerading."""
    rig.start_inner()
    rule = "type nat hook postrouting priority 100; oifname != lan masquerade"
    rig.client.run("nft", "-f", "-", text=f"table ip router {{ chain out {{ {rule}\n }}\n}}\n")
    if rig.name in ONE_BY_ONE:
        # Their programs cannot take what has been merged.
        rig.client.run("ethtool", "-K", "lan", "gro", "off")


def finish_forward(rig):
    """No connection tracking in what follows."""
    rig.client.run("nft", "delete", "table", "ip", "router")


# A shaped link


class QueueWatch:
    """Looks at the queue of a device while something is sent. stop() returns the median of its length in
    bytes, in the second half of the time."""

    def __init__(self, host, device):
        self._command = ["tc", "-s", "-j", "qdisc", "show", "dev", device]
        self._host = host
        self._stop = threading.Event()
        self._lengths = []
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        while not self._stop.is_set():
            queues = json.loads(self._host.output(*self._command))
            self._lengths.append(next(queue["backlog"] for queue in queues if queue.get("root")))
            time.sleep(0.02)

    def start(self):
        """From now on."""
        self._thread.start()

    def stop(self):
        """Until now."""
        self._stop.set()
        self._thread.join()
        half = sorted(self._lengths[len(self._lengths) // 2 :])
        return half[len(half) // 2] if half else 0


def shape(rig, devices=("c1",), how=SHAPED):
    """Shapes devices of the client."""
    for device in devices:
        rig.client.run("tc", "qdisc", "replace", "dev", device, "root", *how.split())


def unshape(rig, devices=("c1",)):
    """The usual queue."""
    for device in devices:
        rig.client.run("tc", "qdisc", "replace", "dev", device, "root", "pfifo", "limit", "1000")


def standing_queue(rig, seconds):
    """Bytes that wait in front of a shaped device while one connection sends."""
    watch = QueueWatch(rig.client, "c1")
    result = sample.transfer(rig, "up", "routed", seconds, cpus=TWO_CPUS, beside=watch)
    return {**result, "value": result["beside"] / 1e3}


# Two shaped links


TWO_LINKS = "tbf rate 100mbit burst 32kb limit 250kb"


def two_links(rig, seconds):
    """MPTCP over two shaped links, as part of what plain TCP gets over each of them."""
    options = {"cpus": TWO_CPUS, "port": PLAIN_PORT}
    alone = [
        sample.transfer(rig, "up", "second", seconds / 4, interface=device, **options)["gbit_s"]
        for device in ("c1", "c2")
    ]
    result = sample.transfer(rig, "up", "routed", seconds / 2, cpus=TWO_CPUS, mptcp=True)
    if result["subflows"] < 2:
        raise sample.MeasureError(f"MPTCP used {result['subflows'] or 'no'} subflow")
    return {**result, "alone": alone, "value": result["gbit_s"] / sum(alone)}


def both_shaped(function):
    """prepare() and finish() for two shaped links."""
    if function is shape:
        return lambda rig: shape(rig, ("c1", "c2"), TWO_LINKS)
    return lambda rig: unshape(rig, ("c1", "c2"))


RATE = "Gbit/s"
ALL = [
    Scenario(
        "direct",
        "One stream, same cable, everything on one CPU",
        RATE,
        True,
        by_rig(everybody, throughput("up", "direct", cpus=ONE_CPU)),
    ),
    Scenario(
        "direct-2cpu",
        "One stream, same cable, two CPUs",
        RATE,
        True,
        by_rig(main_ones, throughput("up", "direct", cpus=TWO_CPUS)),
        quick=False,
        cpus=2,
    ),
    Scenario(
        "link-cuts",
        "One stream, same cable, super-packets that the link cuts, everything on one CPU",
        RATE,
        True,
        by_rig(lambda config: config.cuts, by_super_packets),
    ),
    Scenario(
        "router",
        "One stream, router, everything on one CPU",
        RATE,
        True,
        by_rig(everybody, throughput("up", "routed", cpus=ONE_CPU)),
    ),
    Scenario(
        "router-2cpu",
        "One stream, router, two CPUs",
        RATE,
        True,
        by_rig(everybody, throughput("up", "routed", cpus=TWO_CPUS)),
        cpus=2,
    ),
    Scenario(
        "download",
        "One stream from the server, router, two CPUs",
        RATE,
        True,
        by_rig(main_ones, throughput("down", "routed", cpus=SERVER_FIRST)),
        quick=False,
        cpus=2,
    ),
    Scenario(
        "direct-down",
        "One stream from the server, same cable, everything on one CPU",
        RATE,
        True,
        by_rig(
            only("plain-sum", "vxlan", "underpass", "underpass-bulk", "underpass-bulk-socket"),
            throughput("down", "direct", cpus=ONE_CPU),
        ),
        quick=False,
    ),
    Scenario(
        "both-ways",
        "One connection that sends both ways, router, one CPU; sum",
        RATE,
        True,
        by_rig(main_ones, throughput("both", "routed", cpus=ONE_CPU)),
        quick=False,
    ),
    Scenario(
        "streams-8",
        "8 streams, router, two CPUs; sum",
        RATE,
        True,
        by_rig(main_ones, throughput("up", "routed", cpus=TWO_CPUS, connections=8)),
        quick=False,
        cpus=2,
    ),
    Scenario(
        "streams-64",
        "64 streams, router, two CPUs; sum",
        RATE,
        True,
        by_rig(everybody, throughput("up", "routed", cpus=TWO_CPUS, connections=64)),
        cpus=2,
    ),
    Scenario(
        "bbr",
        "One stream with BBR, router, everything on one CPU",
        RATE,
        True,
        by_rig(everybody, throughput("up", "routed", cpus=ONE_CPU, congestion="bbr")),
    ),
    Scenario(
        "latency",
        "One byte there and back, same cable, one CPU; median",
        "µs",
        False,
        by_rig(everybody, round_trip),
    ),
    Scenario(
        "packets",
        "Bytes there and back, 32 connections, same cable, two CPUs",
        "1000/s",
        True,
        by_rig(main_ones, small_packets),
        quick=False,
        cpus=2,
    ),
    Scenario(
        "forward-up",
        "From behind a router with the tunnel on its WAN side, one CPU",
        RATE,
        True,
        by_rig(
            everybody,
            throughput("up", "direct", cpus=ONE_CPU, source="inner"),
            prepare_forward,
            finish_forward,
        ),
    ),
    Scenario(
        "forward-down",
        "To behind a router with the tunnel on its WAN side, one CPU",
        RATE,
        True,
        by_rig(
            everybody,
            throughput("down", "direct", cpus=ONE_CPU, source="inner"),
            prepare_forward,
            finish_forward,
        ),
    ),
    Scenario(
        "untunnelled",
        "One stream that is not tunnelled, same cable, one CPU",
        RATE,
        True,
        by_rig(
            lambda config: config.ours and everybody(config) or config.name in ("plain", "xdp"),
            throughput("up", "direct", cpus=ONE_CPU, port=PLAIN_PORT),
        ),
    ),
    Scenario(
        "queue",
        "Queue in front of a link shaped to 200 Mbit/s, one stream",
        "kB",
        False,
        by_rig(only("plain", "vxlan", "reference", "underpass", "underpass-auto"), standing_queue, shape, unshape),
        length=2.5,
    ),
    Scenario(
        "mptcp",
        "MPTCP over two links shaped to 100 Mbit/s each",
        "of the sum",
        True,
        by_rig(
            only("plain", "reference", "underpass", "underpass-auto"),
            two_links,
            both_shaped(shape),
            both_shaped(unshape),
        ),
        length=8.0,
    ),
]
