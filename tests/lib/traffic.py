# SPDX-License-Identifier: GPL-2.0-or-later
"""Traffic between the hosts of the lab, and what the kernels of the hosts tell of it.

Peer drives one peer.py inside a host. The rest asks ss and /proc of a host. May touch: the processes it
started.
"""

import contextlib
import json
import pathlib
import re
import subprocess

from host import wait_until
from lab import PORT, address, is_ipv6

# Counters of the kernel that tell why a transfer went wrong.
TELLING = re.compile(r"MPTcpExt|Tcp\.(Retrans|InCsum|EstabResets|OutRsts)|Udp6?\.|TcpExt\.\w*(Drop|Prune|Abort)")

MUCH = 1 << 16  # bytes: less is on its way before a subflow can be joined
PATIENCE = 2.0  # seconds, for subflows that may not be had


class PeerError(RuntimeError):
    """A command of a peer failed."""


class Peer:
    """peer.py in a host; ends with the lab."""

    def __init__(self, lab, host):
        self.host = host
        self._lab = lab
        log = open(host.folder / "log" / "peer.log", "ab")
        self._process = host.spawn(
            ["/usr/bin/python3", str(host.tools / "peer.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
        )
        log.close()
        lab.at_close(self.stop)
        self._answer()
        lab.peers.append(self)

    def stop(self):
        """Ends the process and with it all connections."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=10)

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"{self.host.name}: the peer ended, see peer.log")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.host.name}: {answer['error']}")
        return answer["result"]

    def call(self, do, **arguments):
        """Executes one command of peer.py."""
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def listen(self, port=PORT, protocol="mptcp"):
        """Serves on a port."""
        self.call("listen", port=port, protocol=protocol)

    def connect(self, name, target=None, port=PORT, **arguments):
        """Opens a connection, to the server unless told otherwise."""
        return self.call("connect", name=name, address=target or address("s0"), port=port, **arguments)

    def close(self, name):
        """Closes a connection."""
        self.call("close", name=name)

    def info(self, name):
        """State of a connection."""
        return self.call("info", name=name)

    def start(self, task, name, **arguments):
        """Begins "echo", "upload", "download" or, until finish(), "uploads" or "downloads" in the background; one that
        moves much data begins when the subflows are joined."""
        if "load" in task and arguments.get("size", MUCH) >= MUCH:
            self._wait_joined(name)
        self.call("start", task=task, name=name, **arguments)

    def _wait_joined(self, name):
        """Waits until a connection has a subflow from each endpoint of the host, or a while: some are not to be had.
        connect_both() tells why much data waits for that. Where the join and 1 MB raced, 6.18.44 gave the reader wrong
        bytes about once in 400 uploads, between hosts without any BPF program as in the tunnel."""
        info = self.info(name)
        if info["fallback"]:
            return
        expected = endpoints(self.host, info["family"])

        def joined():
            return expected <= set(subflows_of(self.host, info["token"]))

        # A single endpoint may be another address than the first subflow's: behind CLAT, for one.
        if expected <= {info["address"]} or joined():
            return
        # The first data, and its acknowledgment, make the kernel open them.
        self.call("start", task="echo", name=name, size=1000)
        self.call("wait", name=name)
        with contextlib.suppress(TimeoutError):
            wait_until(joined, "the subflows are joined", PATIENCE)

    def progress(self, name):
        """Bytes moved so far."""
        return self.call("progress", name=name)

    def finish(self, name):
        """Ends "uploads" or "downloads"; wait() for the result."""
        self.call("finish", name=name)

    def wait(self, name, timeout=120):
        """Waits for the transfer in the background; for uploads and downloads the checksums have to be equal."""
        result = self.call("wait", name=name, timeout=timeout)
        if not result.get("equal", True):
            raise AssertionError(f"the SHA-256 of both ends differ on {name}: {self._differing(result['doubts'])}")
        return result

    def _differing(self, doubts):
        """What can be found out about a transfer whose checksums differ: what both ends have counted, where it differs,
        and what the kernels have counted since they began."""
        told = [f"here: {doubts}"]
        for peer in self._lab.peers:
            with contextlib.suppress(PeerError, OSError, ValueError):  # it may have ended
                served = peer.call("served")
                told += [f"{peer.host.name}: {each}" for each in served if each.get("port") == doubts["port"]]
        for host in self._lab.hosts:
            counted = kernel_counters(host).items()
            told.append(f"{host.name}: {({name: value for name, value in counted if value and TELLING.match(name)})}")
            told.append(host.output("ss", "-HMtni", check=False))
        return "\n".join(told)

    def wait_moved(self, name, size, seconds=60.0):
        """Waits until the transfer in the background has moved so many bytes more; raises what ended it, if it has
        ended. Those that are still in the buffers of sockets count."""
        before = self.progress(name)["bytes"]

        def moved():
            now = self.progress(name)
            if not now["running"]:
                raise AssertionError(f"{name} has ended: {self.wait(name)}")
            return now["bytes"] >= before + size

        wait_until(moved, f"{name} moves {size} bytes", seconds)

    @contextlib.contextmanager
    def uploading(self, name, rate):
        """An upload that goes on as long as the block does, however long that is: it has begun when the block begins,
        goes on when that ends, and every byte of it arrives."""
        self.start("uploads", name, rate=rate)
        self.wait_moved(name, rate // 4)
        yield
        self.wait_moved(name, rate // 4)
        self.finish(name)
        assert self.wait(name)["equal"], name

    def transfer(self, task, name, timeout=120, **arguments):
        """Begins a transfer and waits for it."""
        self.start(task, name, **arguments)
        return self.wait(name, timeout)


def pair(lab, port=PORT):
    """A server that listens and a client."""
    server = Peer(lab, lab.server)
    server.listen(port)
    return server, Peer(lab, lab.client)


def connect_both(lab, client, name, family=4):
    """Opens an MPTCP connection from the client to the server that has a subflow over each uplink when
    this returns; what connect() returns. Only a few bytes have gone over it then, as much data must not race with
    the join of a subflow. A kernel (6.18 and others) that finds the receiver's socket in use puts the join off, and
    __mptcp_finish_join() then overwrites the data sequence number of a mapping that may be in force already. The
    kernel resets that subflow (MPTcpExtDSSNotMatching), or wrong bytes reach the reader. Plain MPTCP has the same
    fault."""
    opened = client.connect(name, address("s0", family))
    client.transfer("echo", name, size=1000)
    wait_subflows(lab.client, [address("c0", family), address("c1", family)])
    return opened


def established(host):
    """MPTCP subflows of a host that are fully established: (local address, the two ports, token of the connection)."""
    lines = host.output("ss", "-Htnio", "state", "established").splitlines()
    for head, detail in zip(lines[::2], lines[1::2]):
        local, remote = head.split()[2:4]
        found = re.search(r"tcp-ulp-mptcp flags:(\w*) token:\w+\(id:\w+\)/(\w+)\(", detail)
        if found and "e" in found[1]:
            bare = local.rpartition(":")[0].partition("%")[0].strip("[]").removeprefix("::ffff:")
            yield bare, (local.rpartition(":")[2], remote.rpartition(":")[2]), int(found[2], 16)


def subflows(host, port=PORT):
    """Established MPTCP subflows of a host to or from a port: their local addresses, sorted."""
    return sorted(local for local, ports, _ in established(host) if str(port) in ports)


def subflows_of(host, token):
    """Established subflows of one MPTCP connection: their local addresses, sorted."""
    return sorted(local for local, _, each in established(host) if each == token)


def endpoints(host, family):
    """Addresses of a family from which a host opens subflows."""
    listed = json.loads(host.output("ip", "-j", "mptcp", "endpoint", "show", check=False) or "[]")
    addresses = [each["address"] for each in listed if "subflow" in each.get("flags", each)]
    return {address for address in addresses if is_ipv6(address) == (family == 6)}


def wait_subflows(host, expected, port=PORT, seconds=3.0):
    """Waits until exactly these local addresses carry a subflow; an assertion tells what there was."""
    expected = sorted(expected)
    try:
        wait_until(lambda: subflows(host, port) == expected, "subflows", seconds)
    except TimeoutError:
        raise AssertionError(
            f"{host.name}: subflows after {seconds:g} s: {subflows(host, port)}, " f"expected {expected}"
        ) from None


def kernel_counters(host):
    """The kernel's own counters: {"Tcp.RetransSegs": 0, "MPTcpExt.Blackhole": 0, …}."""
    found = {}
    for file in ("snmp", "netstat"):
        lines = pathlib.Path(f"/proc/{host.init}/net/{file}").read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            kind, *names = names.split()
            for name, value in zip(names, values.split()[1:]):
                found[kind.replace(":", ".") + name] = int(value)
    return found


def retransmissions(host):
    """TCP segments that a host has sent again so far, all connections."""
    return kernel_counters(host)["Tcp.RetransSegs"]


def lost_segments(host):
    """How many of a host's segments got lost: those that were sent again, less those that had arrived after all (RFC
    2883). A busy machine is late so often that TCP sends segments again that are only waiting."""
    counted = kernel_counters(host)
    return counted["Tcp.RetransSegs"] - counted["TcpExt.TCPDSACKRecv"]
