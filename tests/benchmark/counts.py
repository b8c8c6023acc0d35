# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel counts: CPU time of the machine, and by rig retransmissions, reordering, drops and the
size of frames. Reads only."""

import functools
import json
import os
import pathlib
import time

TICK = os.sysconf("SC_CLK_TCK")
FRAMES_MIN = 100  # fewer say nothing about their mean size

# Counters of TCP that tell of loss or reordering; name in the result: (file, protocol, counters).
TCP_COUNTERS = {
    "retransmits": ("snmp", "Tcp", ("RetransSegs",)),
    "timeouts": ("netstat", "TcpExt", ("TCPTimeouts",)),
    "out_of_order": ("netstat", "TcpExt", ("TCPOFOQueue",)),
    "reordering": ("netstat", "TcpExt", ("TCPSACKReorder", "TCPTSReorder")),
    "checksum_errors": ("snmp", "Tcp", ("InCsumErrors",)),
}


def idle_seconds():
    """Seconds that all CPUs have been idle, and how many there are. The kernel tells ticks."""
    lines = pathlib.Path("/proc/stat").read_text().splitlines()
    idle = [line.split()[4:6] for line in lines if line.startswith("cpu") and line[3].isdigit()]
    return sum(int(word) for words in idle for word in words) / TICK, len(idle)


@functools.lru_cache(maxsize=None)
def softirq_threads():
    """Process ids of ksoftirqd."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_bytes().startswith(b"ksoftirqd/"):
                (entry / "schedstat").read_text()  # not every kernel has it
                found.append(int(entry.name))
        except OSError:
            continue
    return found


class Machine:
    """CPU time of the whole machine since the last begin()."""

    def __init__(self):
        self._threads = softirq_threads()
        self._before = None

    def _read(self):
        softirq = 0.0
        for pid in self._threads:
            softirq += int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        return time.monotonic(), softirq, *idle_seconds()

    def begin(self):
        """From here on."""
        self._before = self._read()

    def end(self, own):
        """(CPU seconds of the traffic, CPUs used by others meanwhile). own: CPU seconds of the processes of
        the traffic. What softirqs did in other processes, or on an idle CPU, cannot be told from those."""
        before, after = self._before, self._read()
        wall, softirq, idle = (now - then for now, then in zip(after[:3], before[:3]))
        cpu = own + softirq
        return cpu, max(0.0, wall * after[3] - idle - cpu) / wall


def softnet_drops():
    """Packets dropped because the backlog of a CPU was full, all network namespaces."""
    lines = pathlib.Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


def proc_net(host, name):
    """A file of /proc/net as a host sees it."""
    return pathlib.Path(f"/proc/{host.init}/net/{name}").read_text()


def tcp_counts(hosts):
    """TCP_COUNTERS, sums over the hosts."""
    totals = dict.fromkeys(TCP_COUNTERS, 0)
    for host in hosts:
        tables = {}
        for file in ("snmp", "netstat"):
            lines = proc_net(host, file).splitlines()
            for names, values in zip(lines[::2], lines[1::2]):
                protocol, _, rest = names.partition(":")
                numbers = values.partition(":")[2].split()
                tables[protocol] = dict(zip(rest.split(), map(int, numbers)))
        for name, (_, protocol, counters) in TCP_COUNTERS.items():
            totals[name] += sum(tables[protocol].get(counter, 0) for counter in counters)
    return totals


def device_counts(hosts):
    """By (host, device): (packets sent, bytes sent, packets dropped on sending). A veth device counts there
    also what the other end could not take."""
    found = {}
    for host in hosts:
        for line in proc_net(host, "dev").splitlines()[2:]:
            name, _, rest = line.partition(":")
            words = [int(word) for word in rest.split()]
            found[host.name, name.strip()] = (words[9], words[8], words[11])
    return found


def queue_drops(hosts):
    """Packets that queues have dropped, sum over the hosts."""
    return sum(
        queue.get("drops", 0)
        for host in hosts
        for queue in json.loads(host.output("tc", "-s", "-j", "qdisc", "show") or "[]")
    )


class Traffic:
    """What a rig counts between two moments."""

    def __init__(self, rig):
        self._hosts = list(rig.hosts.values())
        self._wires = [(host.name, device) for host, device in rig.wire_devices()]
        self._before = self._read()

    def _read(self):
        return (
            tcp_counts(self._hosts),
            device_counts(self._hosts),
            queue_drops(self._hosts),
            softnet_drops(),
        )

    def end(self):
        """Counts since the beginning: those of TCP, drops by place, "frame_max": the largest mean size of
        the frames of a wire, in bytes."""
        before, after = self._before, self._read()
        counts = {name: after[0][name] - before[0][name] for name in after[0]}
        devices = {
            key: tuple(now - then for now, then in zip(values, before[1].get(key, (0, 0, 0))))
            for key, values in after[1].items()
        }
        # A full backlog is counted by the device, too, if it is a veth device.
        counts["drops_device"] = sum(max(0, values[2]) for values in devices.values())
        counts["drops_queue"] = max(0, after[2] - before[2])
        counts["drops_backlog"] = after[3] - before[3]
        counts["drops"] = counts["drops_queue"] + max(counts["drops_device"], counts["drops_backlog"])
        sizes = [devices[key][1] / devices[key][0] for key in self._wires if devices[key][0] > FRAMES_MIN]
        counts["frame_max"] = round(max(sizes, default=0), 1)
        return counts
