# SPDX-License-Identifier: GPL-2.0-or-later
"""The configurations that are compared: what each one does to the hosts of its rig. A configuration that
this machine or this build does not have says so by NotOffered. May touch: the hosts of the rig it is given.
"""

import dataclasses
import functools
import json
import pathlib
import shutil
import subprocess

import sample
import service
from host import CommandError
from lab import PORT
from rig import RECEIVE_CPUS, WIRES, RigError

PAIR = "ip link add probe0 type veth peer name probe1"
# Kinds of the segmentation device, and what makes such a device.
SEGMENT_PROBES = {
    "netkit": "ip link add probe0 type netkit",
    "vlan": f"{PAIR} && ip link add link probe0 name probe2 type vlan id 2",
    "bridge": "ip link add probe0 type bridge",
    "veth": PAIR,
}
RECEIVE = ("tc", "gro", "xdp")
BULK_RECEIVE = (*RECEIVE, "socket")
ENDS = ("c0", "c1", "c2", "s0", "s1")  # devices of the client and the server on the wire
ROOT = pathlib.Path(__file__).resolve().parents[2]
ONE_BY_ONE_OBJECT = "/run/one-by-one.o"
VXLAN_PORT, FOU_PORT, WIREGUARD_PORT = 4789, 5555, 51820
PROOF_PACKETS = 20


class NotOffered(Exception):
    """This configuration is not available here; the text says why."""


@dataclasses.dataclass(frozen=True)
class Config:
    """name: in tables, options and JSON. setup: changes the rig."""

    name: str
    title: str
    setup: object
    mode: bool = False  # one of Underpass's modes, not what users get by default
    chooses: bool = False  # takes one form or the other by the rate: of interest where that is slow
    cuts: bool = False  # the link cuts super-packets, as cards do that segment tunnels; not the kernel
    udp: bool = False  # nothing but UDP is on the wire
    offered: object = None  # offered(stage) raises NotOffered before anything is made

    @property
    def ours(self):
        """Whether this is Underpass."""
        return self.name.startswith("underpass")


def host_of(rig, device):
    """The host that has a device."""
    return rig.hosts[WIRES[device][0]]


# Without any tunnel


def setup_plain(rig):
    """TCP as it is: the stack hands down super-packets, the kernel cuts them in front of the wire; checksums
    are left to the hardware, which here means that nobody sums."""
    for host in (rig.client, rig.server):
        host.run("ip", "mptcp", "limits", "set", "subflows", "4", "add_addr_accepted", "4")
    add_endpoint(rig)


def add_endpoint(rig):
    """The MPTCP endpoint of the second link, which the service of Underpass adds by itself."""
    rig.client.run("ip", "mptcp", "endpoint", "add", "198.18.3.2", "dev", "c2", "subflow")


def setup_plain_sum(rig):
    """The same, with checksums in software on both ends: the least that any tunnel over UDP can cost."""
    setup_plain(rig)
    for device in ENDS:
        host_of(rig, device).run("ethtool", "-K", device, "rx", "off", "tx", "off")
        features = host_of(rig, device).output("ethtool", "-k", device)
        if "generic-segmentation-offload: off" in features:
            raise NotOffered("without hardware checksums this kernel does no segmentation offload")


def setup_plain_nogso(rig):
    """The same, one packet at a time through the whole stack."""
    setup_plain(rig)
    for device in ENDS:
        host_of(rig, device).run("ip", "link", "set", "dev", device, "gso_max_segs", "1")


def setup_xdp(rig):
    """An XDP program that does nothing on both ends: what the mere presence of one costs in this rig."""
    setup_plain(rig)
    for host in (rig.client, rig.server):
        devices = [device for device in ENDS if host_of(rig, device) is host]
        try:
            host.run(sample.HELPER, "xdp-pass", *devices)
        except CommandError as error:
            raise NotOffered(f"no native XDP: {error.output.strip()}") from None


# Other tunnels


def overlay(rig, prefix, number, make):
    """A tunnel for each path between client and server; make(…) makes one end."""
    for path, ends in (("direct", ("c0", "s0")), ("routed", ("c1", "s1"))):
        network = number + (path == "routed")
        for here, there in (ends, ends[::-1]):
            host, name = host_of(rig, here), f"{prefix}{network}"
            local, remote = (address_of(device) for device in (here, there))
            make(host, name, local, remote, there.startswith("c"))
            last = 2 if here.startswith("c") else 3
            host.run("ip", "address", "add", f"198.18.{network}.{last}/24", "dev", name)
            host.run("ip", "link", "set", name, "up")
        rig.targets[path] = f"198.18.{network}.3"


def address_of(device):
    """IPv4 address of a device of the wire."""
    return f"198.18.{WIRES[device][2]}.{WIRES[device][3]}"


def kind_exists(host, kind, *words):
    """NotOffered unless the kernel can make such a device."""
    result = host.run("ip", "link", "add", "probe0", "type", kind, *words, check=False)
    if result.returncode != 0:
        raise NotOffered(f"not on this machine: {result.stderr.strip() or kind}")
    host.run("ip", "link", "del", "probe0")


def setup_vxlan(rig):
    """The kernel's VXLAN, with its checksum."""
    kind_exists(rig.client, "vxlan", "id", "1", "dstport", str(VXLAN_PORT))

    def make(host, name, local, remote, _):
        words = ["id", name[-2:], "local", local, "remote", remote, "dstport", VXLAN_PORT, "udpcsum"]
        host.run("ip", "link", "add", name, "type", "vxlan", *words)

    overlay(rig, "vx", 20, make)


def setup_fou(rig):
    """IP in UDP (foo over UDP), with its checksum."""
    kind_exists(rig.client, "ipip", "local", "198.18.1.2", "remote", "198.18.1.3")
    load_fou()
    for host in (rig.client, rig.server):
        result = host.run("ip", "fou", "add", "port", FOU_PORT, "ipproto", "4", check=False)
        if result.returncode != 0:
            raise NotOffered(f"not on this machine: fou: {result.stderr.strip()}")

    def make(host, name, local, remote, _):
        words = ["encap", "fou", "encap-sport", "auto", "encap-dport", FOU_PORT, "encap-csum"]
        host.run("ip", "link", "add", name, "type", "ipip", "local", local, "remote", remote, *words)
        host.run("ip", "link", "set", name, "mtu", "1472")

    overlay(rig, "fou", 30, make)


def load_fou():
    """Asks for the module of IP in UDP where there is one: nothing else loads it in a host without systemd."""
    subprocess.run(["modprobe", "-q", "fou"], stdin=subprocess.DEVNULL, check=False)


def setup_wireguard(rig):
    """WireGuard, which also encrypts."""
    kind_exists(rig.client, "wireguard")
    if not shutil.which("wg", path="/usr/sbin:/usr/bin:/sbin:/bin"):
        raise NotOffered("the command wg is missing (package wireguard-tools)")
    keys = {}
    for name in ("client", "server"):
        private = rig.client.output("wg", "genkey").strip()
        keys[name] = (private, rig.client.output("wg", "pubkey", text=private).strip())

    def make(host, name, local, remote, far_is_client):
        near, far = ("server", "client") if far_is_client else ("client", "server")
        port = WIREGUARD_PORT + int(name[-2:])
        host.write("/run/private-key", keys[near][0], mode=0o600)
        host.run("ip", "link", "add", name, "type", "wireguard")
        words = ["peer", keys[far][1], "allowed-ips", "0.0.0.0/0", "endpoint", f"{remote}:{port}"]
        host.run("wg", "set", name, "listen-port", port, "private-key", "/run/private-key", *words)

    overlay(rig, "wg", 40, make)


def setup_one_by_one(rig, path, sections):
    """Programs that convert each packet by itself, set up as tcp-in-udp's README says, for all ports: one
    segment at a time, checksums by the firewall, or by an action where the kernel has that one and the
    program is made for it. sections: of the programs for egress and ingress."""
    add_endpoint(rig)
    program = pathlib.Path(path).read_bytes()
    egress, ingress = sections
    action = egress == ingress and has_action(rig.client)
    for host in (rig.client, rig.server):
        host.write(ONE_BY_ONE_OBJECT, program)
        if not action:
            rule = ("-p", "tcp", "-j", "CHECKSUM", "--checksum-fill")
            host.run("iptables", "-t", "mangle", "-A", "POSTROUTING", *rule)
    for device in ENDS:
        host = host_of(rig, device)
        host.run("ip", "link", "set", "dev", device, "gso_max_segs", "1")
        host.run("ethtool", "-K", device, *"gro off lro off gso off tso off sg off".split())
        # Without merging a veth device delivers by the CPU that sends, so packets could overtake each other.
        host.write(f"/sys/class/net/{device}/queues/rx-0/rps_cpus", RECEIVE_CPUS)
        host.run("tc", "qdisc", "add", "dev", device, "clsact")
        for direction, section in (("egress", egress), ("ingress", ingress)):
            words = ["object-file", ONE_BY_ONE_OBJECT, "section", section]
            words = [*words, "action", "csum", "udp"] if action and direction == "egress" else ["da", *words]
            host.run("tc", "filter", "add", "dev", device, direction, "protocol", "all", "bpf", *words)


def has_action(host):
    """Whether the kernel has the action that completes checksums behind a filter."""
    words = "tc actions add action csum udp index 1".split()
    return host.run(*words, check=False).returncode == 0


def setup_rival(rig):
    """The way everybody else goes (rival.bpf.c)."""
    setup_one_by_one(rig, sample.RIVAL, ("egress", "ingress"))


def prove_udp(rig):
    """Proves that what is going to be measured is a tunnel: a short transfer, of which the router sees
    nothing but UDP."""
    rules = "".join(f"ip protocol {name} counter name seen-{name}\n" for name in ("tcp", "udp"))
    hook = "type filter hook forward priority 0;"
    counters = "counter seen-tcp { }\ncounter seen-udp { }\n"
    text = f"table ip proof {{\n{counters}chain forward {{\n{hook}\n{rules}}}\n}}\n"
    rig.router.run("nft", "-f", "-", text=text)
    sample.transfer(rig, "up", "routed", 0.01)
    answer = json.loads(rig.router.output("nft", "-j", "list", "counters", "table", "ip", "proof"))
    rig.router.run("nft", "delete", "table", "ip", "proof")
    counted = {
        entry["counter"]["name"]: entry["counter"]["packets"]
        for entry in answer["nftables"]
        if "counter" in entry
    }
    if counted["seen-tcp"] or counted["seen-udp"] < PROOF_PACKETS:
        raise RigError(f"{rig.name}: no tunnel; the router saw {counted}")


# Underpass


def write_profiles(rig, lines=(), environment=()):
    """File profiles for all links of client and server. environment: words NAME=VALUE that the service is
    started with."""
    more = "".join(line + "\n" for line in lines)
    common = f"Tunnel=yes\nMPTCPOnly=no\n{more}"
    section = "[Match]\nName={}\n\n[X-Underpass]\n" + common
    ports = f"RemotePorts={PORT}\n"
    rig.client.write("/etc/underpass/first.conf", section.format("c0 c1") + ports)
    rig.client.write("/etc/underpass/second.conf", section.format("c2") + ports + "MPTCPEndpoint=subflow\n")
    rig.server.write("/etc/underpass/server.conf", section.format("s0 s1") + f"LocalPorts={PORT}\n")
    path = "/usr/share/dbus-1/system-services/org.underpass1.service"
    for host in (rig.client, rig.server):
        lines = host.path(path).read_text().splitlines()
        command = next(line.partition("=")[2] for line in lines if line.startswith("Exec="))
        words = " ".join(["/usr/bin/env", *environment, command])
        host.write(path, "".join(f"Exec={words}\n" if "Exec=" in line else line + "\n" for line in lines))


def known_keys(stage):
    """What `underpassctl keys` prints."""
    return subprocess.run(
        [pathlib.Path(stage) / "usr/bin/underpassctl", "keys"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout


def mode_offered(stage, kind, receive):
    """NotOffered for a mode that the build or the kernel does not know, before hosts are made for it."""
    if "receive" not in known_keys(stage):
        raise NotOffered("this build has no key receive")
    command = ["unshare", "--net", "sh", "-c", SEGMENT_PROBES[kind]]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if result.returncode != 0:
        raise NotOffered(f"this kernel has no {kind}: {result.stderr.decode().strip()}")


def bulk_offered(stage, receive=None):
    """NotOffered for a build that does not know the bulk form, or not this way to receive it."""
    keys = known_keys(stage)
    if "underpass.bulk " not in keys:
        raise NotOffered("this build has no key bulk")
    if receive == "socket":
        if "or socket." not in keys:
            raise NotOffered("this build has no receive=socket")
        load_fou()


def setup_underpass(rig, kind=None, receive=None, bulk="no"):
    """The service as users run it: a bus, file profiles, and the bus starts it. bulk: None leaves the key out; "no" is the
    classic form, also of a build that knows no other."""
    known = bulk != "no" or "underpass.bulk " in rig.client.output("underpassctl", "keys")
    lines = [f"Bulk={bulk}"] if bulk and known else []
    lines += [f"Receive={receive}"] if receive else []
    environment = [f"UNDERPASS_SEGMENTATION={kind}"] if kind else []
    write_profiles(rig, lines, environment)
    for host in (rig.client, rig.server):
        host.start_bus()
        host.run("underpassctl", "reload")
    for device in ENDS:
        host = host_of(rig, device)
        found = service.link(host, device)
        if found["State"] != service.ACTIVE:
            text = f"{found['State']}: {found['Reason']} {found['LastError']}"
            if kind or receive:
                raise NotOffered(f"{device}: {text.strip()}")
            raise RuntimeError(f"{rig.name}: {device} is {text}")
        # Builds that know only one way to receive have no such property.
        way, reason = found.get("ReceiveMode", ("", ""))
        if receive and way != receive:
            raise NotOffered(f"the service receives by {way}: {reason}")
        rig.notes["receive"] = way or "tc"
    rig.notes["segmentation_device"] = segment_kind(rig.client)
    if kind and rig.notes["segmentation_device"] != kind:
        raise NotOffered(f"the service took {rig.notes['segmentation_device']} instead")


def segment_kind(host):
    """Kind of the segmentation device that the service has chosen."""
    words = ["get-property", service.BUS_NAME, service.MANAGER, service.BUS_NAME + ".Manager", "SegmentationDevice"]
    return service.busctl(host, *words)["data"][0]


def drops(rig):
    """What Underpass itself has dropped so far, by reason, all links of client and server."""
    found = {}
    for device in ENDS:
        for name, value in service.counters(host_of(rig, device), device).items():
            if name.startswith("drop") and value:
                found[name] = found.get(name, 0) + value
    return found


def all_configs(reference=None):
    """Every configuration, in the order in which they take turns."""
    found = [
        Config("plain", "plain TCP", setup_plain),
        Config("plain-sum", "plain TCP, software checksums", setup_plain_sum),
        Config("plain-nogso", "plain TCP, GSO off", setup_plain_nogso),
        Config("xdp", "plain TCP, empty XDP program", setup_xdp),
        Config("vxlan", "VXLAN", setup_vxlan, udp=True),
        Config("fou", "IP in UDP (FOU)", setup_fou, udp=True),
        Config("wireguard", "WireGuard", setup_wireguard, udp=True),
        Config("one-by-one", "TCP in UDP, packet by packet", setup_rival, udp=True),
    ]
    if reference:
        title = "tcp-in-udp, the reference"
        setup = functools.partial(setup_one_by_one, path=reference, sections=("tc", "tc"))
        found.append(Config("reference", title, setup, udp=True))
    found.append(Config("underpass", "Underpass, classic form", setup_underpass, udp=True))
    auto = functools.partial(setup_underpass, bulk=None)
    found.append(Config("underpass-auto", "Underpass, bulk=auto", auto, chooses=True, udp=True, offered=bulk_offered))
    bulk = functools.partial(setup_underpass, bulk="yes")
    found.append(Config("underpass-bulk", "Underpass, bulk form", bulk, udp=True, offered=bulk_offered))
    for name, title, setup, more in (
        ("plain-cut", "plain TCP, link cuts", setup_plain, {}),
        ("vxlan-cut", "VXLAN, link cuts", setup_vxlan, {"udp": True}),
        ("underpass-bulk-cut", "bulk form, link cuts", bulk, {"udp": True, "offered": bulk_offered}),
    ):
        found.append(Config(name, title, setup, cuts=True, **more))
    for receive in BULK_RECEIVE:
        setup = functools.partial(setup_underpass, receive=receive, bulk="yes")
        offered = functools.partial(bulk_offered, receive=receive)
        name, title = f"underpass-bulk-{receive}", f"Underpass, bulk form: {receive}"
        found.append(Config(name, title, setup, mode=True, udp=True, offered=offered))
    for kind in SEGMENT_PROBES:
        for receive in RECEIVE:
            setup = functools.partial(setup_underpass, kind=kind, receive=receive)
            title = f"Underpass: {kind} device, {receive}"
            offered = functools.partial(mode_offered, kind=kind, receive=receive)
            name = f"underpass-{kind}-{receive}"
            found.append(Config(name, title, setup, mode=True, udp=True, offered=offered))
    return found
