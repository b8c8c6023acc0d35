#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in a guest: receive=socket, where the GRO of the driver merges bulk by UDP sockets of the kernel (FOU),
which this machine's own kernel may lack.

usage: inside_sockets.py STORY…        one after the other; says what it measures

May touch: the guest.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

# pylint: disable=wrong-import-position
import inside_mptcp
import path
import runner
import service
import strangers
import traffic
from host import wait_until
from lab import LINKS, PORT, address

SIZE = 2_000_000
LONG = 60.0  # a guest is slow
DATAGRAM = 1400  # bytes of data in it, at least
PROFILE = "/etc/underpass/sockets.conf"
PINS = "/sys/fs/bpf/underpass"
FOREIGN = 7777  # a tunnel socket of somebody else, guarded by nobody
SWITCH = "/sys/kernel/rcu_expedited"
EXPEDITED = f"{0x756E6470}\n"  # what the service writes there for a moment
MANY = [f"d{number}" for number in range(3)]  # links whose sockets the kernel does not tell at once, …
PORTS_MAX = 64  # … with so many ports each
INNER = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd09::1", "fd09::2")}


def say(text):
    """A line of progress."""
    print(text, flush=True)


def profile(host, *keys):
    """The file profile of a host, read at once; without keys: none any more."""
    names = "c0" if host.name == "client" else "s0"
    if keys:
        lines = ["[Match]", f"Name={names}", "[X-Underpass]", "Tunnel=yes", "MPTCPOnly=no", "Bulk=yes", *keys]
        host.write(PROFILE, "\n".join(lines) + "\n")
    else:
        host.path(PROFILE).unlink(missing_ok=True)
    service.manager_call(host, "Reload")


def sockets(host):
    """The tunnel sockets of a host as `ip fou show` has them: {(port, device, family)}."""
    found = set()
    for line in host.output("ip", "fou", "show").splitlines():
        words = line.split()
        device = words[words.index("dev") + 1] if "dev" in words else ""
        found.add((int(words[1]), device, 6 if "-6" in words else 4))
    return found


OURS = {(PORT, "s0", 4), (PORT, "s0", 6)}


def mode(host, interface="s0"):
    """The receive mode in use, and why."""
    return service.link(host, interface)["ReceiveMode"]


def start(lab):
    """Hosts without a profile. Their links cut what they send, and merge what they receive as drivers do."""
    for host in (lab.client, lab.server):
        inside_mptcp.limit(host)
        host.start_bus()
    for interface in LINKS:
        host = lab.server if interface == "s0" else lab.client
        inside_mptcp.set_up(host, interface, inside_mptcp.UPLINKS.get(interface, 100))
        host.run("ethtool", "-K", interface, "gro", "on")
    for peer, _ in LINKS.values():
        lab.middlebox.run("ethtool", "-K", peer, "tso", "off", "gso", "off")


def serve(lab, *keys):
    """Profiles of both hosts; the server has sockets."""
    profile(lab.client, f"RemotePorts={PORT}")
    profile(lab.server, f"LocalPorts={PORT}", "Receive=socket", *keys)
    service.wait_state(lab.client, "c0", service.ACTIVE, LONG)
    service.wait_state(lab.server, "s0", service.ACTIVE, LONG)


def received(host, family):
    """Packets of an IP version that a host has taken in so far, as the GRO pair and the stack got them: those that the
    driver has merged are one."""
    net = pathlib.Path(f"/proc/{host.init}/net")
    pair = 0
    for line in (net / "dev").read_text().splitlines():
        name, _, numbers = line.strip().partition(":")
        if name in ("underpass-rx", "underpass-tx"):
            pair += int(numbers.split()[9])  # sent
    if family == 4:
        return pair + traffic.kernel_counters(host)["Ip.InReceives"]
    counters = dict(line.split() for line in (net / "snmp6").read_text().splitlines())
    return pair + int(counters["Ip6InReceives"])


def upload(lab, family, peer=None, target=None):
    """Data to the server over a new connection; how many packets it came in there."""
    peer = peer or traffic.Peer(lab, lab.client)
    peer.connect("a", target or address("s0", family), protocol="tcp")
    peer.transfer("echo", "a", size=1000)
    before = received(lab.server, family)
    peer.transfer("upload", "a", size=SIZE)
    packets = received(lab.server, family) - before
    counted = service.counters(lab.server, "s0")
    peer.close("a")
    peer.stop()
    bad = {name: value for name, value in counted.items() if value and name.startswith("drop-")}
    assert not bad, bad
    assert counted["bulk-received"] > SIZE / 1500 / 2, counted
    return packets


def served(lab):
    """The driver merges what comes in the bulk form, before it gets to the programs."""
    traffic.Peer(lab, lab.server).listen(PORT, protocol="tcp")
    serve(lab)
    assert sockets(lab.server) == OURS, sockets(lab.server)
    assert mode(lab.server)[0] == "socket", mode(lab.server)
    say(lab.server.output("underpassctl", "explain", "s0"))
    for family in (4, 6):
        before = traffic.kernel_counters(lab.server)
        # How many the driver has at hand to be merged is up to the guest's only processor.
        packets = min(upload(lab, family) for _ in range(3))
        after = traffic.kernel_counters(lab.server)
        late = after["TcpExt.TCPOFOQueue"] - before["TcpExt.TCPOFOQueue"]
        say(f"IPv{family}: {SIZE} bytes in {packets} packets, {late} out of order")
        assert packets < SIZE / DATAGRAM / 4, packets
        profile(lab.server, f"LocalPorts={PORT}", "Receive=auto")
        assert sockets(lab.server) == set() and mode(lab.server)[0] == "auto"
        packets = upload(lab, family)
        say(f"IPv{family}, auto: {packets} packets")
        assert packets > SIZE / 1500 / 2, packets
        serve(lab)


def bind(host, port, device=None):
    """A program that has a UDP port, until its standard input is closed."""
    bound = f"u.setsockopt(s.SOL_SOCKET, s.SO_BINDTODEVICE, b'{device}');" if device else ""
    code = f"import socket as s; u = s.socket(2, 2); {bound} u.bind(('', {port})); print('ready', flush=True); input()"
    return host.spawn(
        ["/usr/bin/python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )


def taken(lab):
    """The port is taken by whoever comes first, and who comes second hears of it."""
    holder = bind(lab.server, PORT)
    assert holder.stdout.readline() == "ready\n"
    serve(lab)
    name, reason = mode(lab.server)
    say(reason)
    # Its service may not look into other processes.
    assert name == "auto" and f"a program of user 0 has UDP port {PORT}, " in reason, (name, reason)
    assert reason in service.link(lab.server, "s0")["Warnings"]
    assert sockets(lab.server) == set()
    holder.communicate("\n", timeout=LONG)
    service.manager_call(lab.server, "Reload")
    wait_until(lambda: sockets(lab.server) == OURS, "the sockets are there", LONG)
    assert mode(lab.server)[0] == "socket"
    assert service.link(lab.server, "s0")["Warnings"] == []
    late = bind(lab.server, PORT)
    assert late.stdout.readline() == "" and late.wait(LONG) != 0, "another program got the port"
    # On other links, and at other ports, everybody is free.
    for port, device in ((PORT, "lo"), (PORT + 1, None)):
        other = bind(lab.server, port, device)
        assert other.stdout.readline() == "ready\n", (port, device)
        other.communicate("\n", timeout=LONG)
    profile(lab.server, f"LocalPorts={PORT}-{PORT + 64}", "Receive=socket")
    assert mode(lab.server)[0] == "auto" and "at most 64" in mode(lab.server)[1], mode(lab.server)
    assert sockets(lab.server) == set()
    profile(lab.server, f"LocalPorts={PORT},{PORT + 2}", "Receive=socket")
    assert sockets(lab.server) == OURS | {(PORT + 2, "s0", 4), (PORT + 2, "s0", 6)}
    profile(lab.server, f"LocalPorts={PORT}", "Receive=socket", "Bulk=no")
    assert mode(lab.server)[0] == "auto" and "bulk=no" in mode(lab.server)[1], mode(lab.server)
    assert sockets(lab.server) == set()


def life(lab):
    """Sockets go with the tunnel, whatever becomes of the service; those of others stay."""
    open_tunnels(lab.server)
    lab.server.run(*f"ip fou add port {FOREIGN} ipproto 4 local 0.0.0.0 dev s0".split())
    foreign = {(FOREIGN, "s0", 4)}
    serve(lab)
    assert sockets(lab.server) == OURS | foreign
    service.kill(lab.server)
    assert sockets(lab.server) == OURS | foreign, "they went with the service"
    guarded(lab)
    assert service.link(lab.server, "s0")["State"] == service.ACTIVE  # the bus starts the next one
    wait_until(lambda: sockets(lab.server) == OURS | foreign, "they are there again", LONG)
    guarded(lab)
    lab.server.run("underpassctl", "deactivate", "s0")
    assert sockets(lab.server) == foreign
    lab.server.run("underpassctl", "activate", "s0")
    wait_until(lambda: sockets(lab.server) == OURS | foreign, "they are there again", LONG)
    # Killed, and the profile goes before the next one comes.
    service.kill(lab.server)
    profile(lab.server)
    wait_until(lambda: sockets(lab.server) == foreign, "nobody asks for them any more", LONG)
    serve(lab)
    service.kill(lab.server)
    lab.server.run("underpassctl", "deactivate", "--all")
    assert sockets(lab.server) == foreign
    wait_until(lambda: not lab.server.path(PINS).exists(), "the pins are gone", LONG)
    lab.server.run(*f"ip fou del port {FOREIGN} ipproto 4 local 0.0.0.0 dev s0".split())


def bound(host):
    """How many UDP sockets there are at the ports of `many`. `ip fou show` may not tell all."""
    lines = [
        line
        for name in ("udp", "udp6")
        for line in pathlib.Path(f"/proc/{host.init}/net/{name}").read_text().splitlines()[1:]
    ]
    ports = [int(line.split()[1].rpartition(":")[2], 16) for line in lines]
    return sum(PORT <= port < PORT + PORTS_MAX for port in ports)


def many(lab):
    """A start removes all that a service has left that was killed, and says when it has."""
    for name in MANY:
        lab.server.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
        for end in (name, f"{name}-peer"):
            lab.server.run("ip", "link", "set", end, "up")
    keys = ("Tunnel=yes", "MPTCPOnly=no", "Bulk=yes", f"LocalPorts={PORT}-{PORT + PORTS_MAX - 1}", "Receive=socket")
    lab.server.write(PROFILE, "\n".join(["[Match]", "Name=d?", "[X-Underpass]", *keys]) + "\n")
    service.manager_call(lab.server, "Reload")
    each = 2 * PORTS_MAX
    wait_until(lambda: bound(lab.server) == len(MANY) * each, f"{each} sockets for each of {MANY}", LONG)
    begin = time.monotonic()
    lab.server.run("underpassctl", "deactivate", MANY[0])
    say(f"{each} sockets of a link have gone after {time.monotonic() - begin:.2f} s")
    assert bound(lab.server) == (len(MANY) - 1) * each
    lab.server.run("underpassctl", "activate", MANY[0])
    wait_until(lambda: bound(lab.server) == len(MANY) * each, "they are there again", LONG)
    told, there = len(lab.server.output("ip", "fou", "show").splitlines()), bound(lab.server)
    service.kill(lab.server)
    profile(lab.server)  # the bus starts the next one
    wait_until(lambda: bound(lab.server) == 0, f"none is left of {there}, of which the kernel tells {told}", LONG)
    say(f"{there} sockets, of which the kernel told {told}, have gone")
    assert lab.server.path(SWITCH).read_text() == "0\n"


def hurried(lab):
    """Grace periods are expedited while sockets go. The switch is a file here, which no write shortens, so it tells what
    was there before."""
    file = "/run/rcu_expedited"
    lab.server.write(file, "0\n")
    lab.server.run("mount", "--bind", file, SWITCH)
    serve(lab)
    lab.server.path(file).write_text("0\n")
    profile(lab.server, f"LocalPorts={PORT}", "Receive=auto")
    assert sockets(lab.server) == set()
    found = lab.server.path(file).read_text()
    assert found == "0\n" + EXPEDITED[2:], found


def guarded(lab):
    """A stranger's packet gets nowhere, also while no service runs; one to a port without guard does."""
    before = tunnelled(lab.server)
    path.inject(lab, "s0", strangers.packets(4, PORT)[:1])
    time.sleep(0.2)
    assert tunnelled(lab.server) == before
    path.inject(lab, "s0", strangers.packets(4, FOREIGN)[:1])
    wait_until(lambda: tunnelled(lab.server) == before + 1, "what nobody guards is unpacked", LONG)


DEVICES = {"tunl0": "ipip", "sit0": "sit", "ip6tnl0": "ip6_tunnel"}


def tunnelled(host):
    """Packets that came out of tunnels."""
    return sum(int(host.output("cat", f"/sys/class/net/{name}/statistics/rx_packets")) for name in DEVICES)


def open_tunnels(host):
    """Everything that comes in a tunnel would be taken; the program that would get it."""
    for name in DEVICES:
        host.run("ip", "link", "set", name, "up")
    for name in ("all", "default", "tunl0", "c0" if host.name == "client" else "s0"):
        host.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
        host.sysctl(f"net.ipv4.conf.{name}.accept_local", 1)
    log = host.folder / "log" / "inner.log"
    with open(log, "wb") as output:
        host.spawn(["/usr/bin/python3", HERE.parent / "lib" / "strangers.py"], stdout=output)
    wait_until(lambda: b"ready" in log.read_bytes(), "the inner program listens", LONG)
    return log


def unpacked(lab):
    """Whoever is no flow of ours gets nothing unpacked, in whatever he wraps it."""
    log = open_tunnels(lab.server)
    serve(lab)
    # Such packets do get through where nobody guards the socket, so the test would see it.
    for words in (f"{FOREIGN} ipproto 4", f"{FOREIGN + 1} gue"):
        lab.server.run(*f"ip fou add port {words} local 0.0.0.0 dev s0".split())
    path.inject(lab, "s0", strangers.packets(4, FOREIGN)[:1])
    path.inject(lab, "s0", strangers.gue(4, FOREIGN + 1)[:2])
    wait_until(lambda: tunnelled(lab.server) >= 2, "tunnels work", LONG)
    wait_until(lambda: log.read_bytes().count(b"inside") >= 3, "the inner program hears it", LONG)
    before, heard = tunnelled(lab.server), log.read_bytes()
    dropped = service.counters(lab.server, "s0")["drop-stranger"]
    assert dropped == 0, dropped
    total = 0
    for family in (4, 6):
        packets = strangers.packets(family, PORT) + strangers.gue(family, PORT) + strangers.odd(family, PORT)
        path.inject(lab, "s0", packets)
        total += sum(strangers.is_first(packet) for packet in packets)
    wait_until(
        lambda: service.counters(lab.server, "s0")["drop-stranger"] >= total, f"{total} are dropped", LONG
    )
    counted = service.counters(lab.server, "s0")["drop-stranger"]
    say(f"{counted} of {total} packets of strangers dropped")
    assert counted == total, counted
    assert tunnelled(lab.server) == before and log.read_bytes() == heard, log.read_bytes()
    traffic.Peer(lab, lab.server).listen(PORT, protocol="tcp")
    peer = traffic.Peer(lab, lab.client)
    peer.connect("b", address("s0"), protocol="tcp")
    peer.transfer("upload", "b", size=SIZE)


def forwarded(lab):
    """A router with such sockets: what it forwards is cut, and leaves as TCP like any other."""
    inner = lab.add_host("inner")
    lab.cable(lab.server, "lan", inner, "up0", INNER)
    for family, (near, far) in INNER.items():
        inner.run("ip", f"-{family}", "route", "add", "default", "via", near)
        lab.middlebox.run("ip", f"-{family}", "route", "add", far, "via", address("s0", family))
    lab.server.sysctl("net.ipv4.ip_forward", 1)
    lab.server.sysctl("net.ipv6.conf.all.forwarding", 1)
    serve(lab)
    traffic.Peer(lab, inner).listen(PORT, protocol="tcp")
    for family, (_, far) in INNER.items():
        before = traffic.kernel_counters(inner)
        upload(lab, family, target=far)
        after = traffic.kernel_counters(inner)
        errors = {name: after[name] - before[name] for name in ("Tcp.InErrs", "TcpExt.TCPOFOQueue")}
        say(f"IPv{family}, forwarded: {errors}, cut {service.counters(lab.server, 's0')['cut']}")
        assert errors["Tcp.InErrs"] == 0, errors
        assert service.counters(lab.server, "s0")["cut"] > 0


def missing(lab):
    """A kernel without FOU: said, and the GRO pair merges."""
    traffic.Peer(lab, lab.server).listen(PORT, protocol="tcp")
    serve(lab)
    # Somebody is asked to load it first.
    wait_until(lambda: "this kernel has no FOU" in mode(lab.server)[1], "that is said", LONG)
    name, reason = mode(lab.server)
    say(reason)
    assert name == "auto", (name, reason)
    assert reason in lab.server.output("underpassctl", "explain", "s0").replace("\n  ", " ")
    upload(lab, 4)


def old(lab):
    """A kernel whose GRO finds no sockets that are bound to a link: said, no port is taken, and the GRO pair merges."""
    traffic.Peer(lab, lab.server).listen(PORT, protocol="tcp")
    serve(lab)
    name, reason = mode(lab.server)
    say(reason)
    assert name == "auto" and "kernel 6.6 does" in reason, (name, reason)
    assert sockets(lab.server) == set()
    upload(lab, 4)


def ask(lab, *keys):
    """Profiles of both hosts; downloads of the client get sockets."""
    profile(lab.server, f"LocalPorts={PORT}")
    profile(lab.client, f"RemotePorts={PORT}", "Receive=socket", *keys)
    service.wait_state(lab.server, "s0", service.ACTIVE, LONG)
    service.wait_state(lab.client, "c0", service.ACTIVE, LONG)


class Download:
    """A connection of the client that data comes by, over and over."""

    def __init__(self, lab, family, name="a"):
        self._lab, self._name = lab, name
        self.family = family
        self._target = address("s0", family)
        self._peer = lab.peers[-1]
        self.port = self._peer.connect(name, self._target, protocol="tcp")["port"]
        self._peer.transfer("echo", name, size=1000)

    def socket(self):
        """Its socket, as sockets() has it."""
        return (self.port, "c0", self.family)

    def fetch(self, size=SIZE):
        """So many bytes come; in how many packets."""
        before = received(self._lab.client, self.family)
        self._peer.transfer("download", self._name, size=size)
        return received(self._lab.client, self.family) - before

    def fetch_until_merged(self):
        """Data comes until there is a socket for it."""

        def merged():
            self.fetch(SIZE // 4)
            return self.socket() in sockets(self._lab.client)

        wait_until(merged, f"a socket at port {self.port}", LONG)

    def is_told(self):
        """Whether the service says that this one has a socket, which it gets here."""
        self.fetch_until_merged()
        return ["flow-sockets", "1"] in service.link(self._lab.client, "c0")["Applied"]

    def fetch_merged(self):
        """In how few packets data comes. A busy machine may have let the socket go; then there is another one soon."""
        self.fetch_until_merged()
        return min(self.fetch() for _ in range(3))

    def close(self):
        """Its end, and that of its socket."""
        self._peer.close(self._name)
        wait_until(lambda: self.socket() not in sockets(self._lab.client), "its socket has gone", LONG)


def start_downloads(lab):
    """The server, and the client that connects to it."""
    traffic.Peer(lab, lab.server).listen(PORT, protocol="tcp")
    traffic.Peer(lab, lab.client)


def good(lab):
    """Nothing was dropped on the client."""
    counted = service.counters(lab.client, "c0")
    bad = {name: value for name, value in counted.items() if value and name.startswith("drop-")}
    assert not bad, bad


def downloaded(lab):
    """A download gets a socket of its own while it runs, by which the driver merges it; also behind a NAT."""
    start_downloads(lab)
    ask(lab)
    assert mode(lab.client, "c0")[0] == "socket", mode(lab.client, "c0")
    assert sockets(lab.client) == set()
    for family, nat in ((4, False), (6, False), (4, True)):
        way = f"IPv{family}{', NAT' if nat else ''}"
        if nat:
            path.translate(lab, c0=(20000, 29999))
        # One that brings little gets none.
        little, much = Download(lab, family, "little"), Download(lab, family)
        little.fetch(20_000)
        wait_until(much.is_told, "one has a socket", LONG)
        before = traffic.kernel_counters(lab.client)["TcpExt.TCPOFOQueue"]
        packets = much.fetch_merged()
        assert little.socket() not in sockets(lab.client)
        late = traffic.kernel_counters(lab.client)["TcpExt.TCPOFOQueue"] - before
        say(f"{way}: {SIZE} bytes in {packets} packets, {late} out of order")
        assert packets < SIZE / DATAGRAM / 4, packets
        if family == 4 and not nat:
            say(lab.client.output("underpassctl", "explain", "c0"))
        good(lab)
        much.close()
        little.close()
        assert ["flow-sockets", "0"] in service.link(lab.client, "c0")["Applied"]
    profile(lab.client, f"RemotePorts={PORT}", "Receive=auto")
    without = Download(lab, 4)
    without.fetch()
    packets = without.fetch()
    say(f"auto: {packets} packets")
    assert packets > SIZE / 1500 / 2 and sockets(lab.client) == set(), packets


def shared(lab):
    """A port that another program has stays with it; one that a download's socket has is not to be had for all
    addresses meanwhile. Sockets go with the tunnel, the receive mode and the service."""
    open_tunnels(lab.client)
    start_downloads(lab)
    ask(lab)
    download = Download(lab, 4)
    holder = bind(lab.client, download.port)
    assert holder.stdout.readline() == "ready\n"
    for _ in range(3):
        download.fetch()
    assert sockets(lab.client) == set() and mode(lab.client, "c0")[0] == "socket"
    good(lab)
    holder.communicate("\n", timeout=LONG)
    packets = download.fetch_merged()  # the programs tell again
    say(f"{SIZE} bytes in {packets} packets")
    assert packets < SIZE / DATAGRAM / 4, packets
    late = bind(lab.client, download.port)
    assert late.stdout.readline() == "" and late.wait(LONG) != 0, "another program got the port"
    other = bind(lab.client, download.port, "lo")
    assert other.stdout.readline() == "ready\n"
    other.communicate("\n", timeout=LONG)
    profile(lab.client, f"RemotePorts={PORT}", "Receive=auto")
    wait_until(lambda: sockets(lab.client) == set(), "auto has none", LONG)
    ask(lab)
    download.fetch_until_merged()
    service.kill(lab.client)
    assert sockets(lab.client) == {download.socket()}, "it went with the service"
    before = tunnelled(lab.client)
    path.inject(lab, "c0", strangers.gue(4, download.port, "c0", (address("s0"), PORT)))
    time.sleep(0.2)
    assert tunnelled(lab.client) == before
    assert service.link(lab.client, "c0")["State"] == service.ACTIVE  # the bus starts the next one
    wait_until(lambda: sockets(lab.client) == set(), "what the last one left is gone", LONG)
    download.fetch_until_merged()
    lab.client.run("underpassctl", "deactivate", "c0")
    assert sockets(lab.client) == set()
    lab.client.run("underpassctl", "activate", "c0")
    download.fetch_until_merged()
    service.kill(lab.client, signal.SIGTERM)
    assert sockets(lab.client) == set(), "nobody would notice the end of its flow"


def spoofed(lab):
    """Whoever takes the part of the peer of a download's socket gets nothing unpacked, nor does anybody else."""
    log = open_tunnels(lab.client)
    start_downloads(lab)
    ask(lab)
    # Such packets do get through where nobody guards the socket, so the test would see it.
    lab.client.run(*f"ip fou add port {FOREIGN} ipproto 4 local 0.0.0.0 dev c0".split())
    path.inject(lab, "c0", strangers.packets(4, FOREIGN, "c0")[:1])
    wait_until(lambda: tunnelled(lab.client) >= 1, "tunnels work", LONG)
    wait_until(lambda: b"inside" in log.read_bytes(), "the inner program hears it", LONG)
    for family in (4, 6):
        download = Download(lab, family)
        download.fetch_until_merged()
        before, heard = tunnelled(lab.client), log.read_bytes()
        counted = service.counters(lab.client, "c0")
        for sender in ((address("s0", family), PORT), (address("s0", family), PORT + 1), None):
            ways = [make(family, download.port, "c0", sender) for make in (strangers.packets, strangers.gue, strangers.odd)]
            path.inject(lab, "c0", [packet for packets in ways for packet in packets])
        download.fetch()  # what came before has arrived
        after = service.counters(lab.client, "c0")
        changed = {name: value - counted[name] for name, value in after.items() if value != counted[name]}
        say(f"IPv{family}: {changed}")
        assert changed["drop-stranger"] > 0, changed
        assert download.socket() in sockets(lab.client)
        assert tunnelled(lab.client) == before and log.read_bytes() == heard, log.read_bytes()
        download.close()


STORIES = {
    story.__name__: story
    for story in (
        missing, old, served, taken, life, many, hurried, unpacked, forwarded, downloaded, shared, spoofed,
    )
}


def main():
    """Runs stories in the order in which they were asked for, each in a lab of its own. Only the first one may be
    without the module."""
    os.environ["UNDERPASS_STAGE"] = "/project/stage"
    for name in sys.argv[1:]:
        begin = time.monotonic()
        if name != "missing":
            subprocess.run(["modprobe", "-a", "fou", *DEVICES.values()], check=True)
        with runner.TestLab(manager=False) as lab:
            start(lab)
            STORIES[name](lab)
        say(f"{name}: as it should be, {time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    try:
        main()
    except Exception:
        print(*runner.Run.notes, sep="\n")
        raise
