# SPDX-License-Identifier: GPL-2.0-or-later
"""What others have in the way of the packets of a tunnelled link and what has to work beside it: CLAT, which translates
them between IPv4 and IPv6, and shapers of what comes in."""

import subprocess

import path
import runner
import service
import state
import traffic
from host import HERE, wait_until
from lab import PLAIN_PORT, PORT, address

OWN4, OWN6 = "192.0.0.1", "2001:db8:77:1::c1a7"  # as in clat.bpf.c
SERVER6 = "64:ff9b::10.77.9.2"
ATTACHMENTS = ("/usr/bin/python3", HERE / "attachments.py")
PINS = "/sys/fs/bpf/clat"
SIZE = 4_000_000
RATE = "100mbit"
LEAST = 0.45  # seconds that 8 MB take at RATE, and a burst less
BEHIND = 65520  # priority of our filter behind those of others
MATCH_ALL = ("u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "ifb0")


def prepare_clat(lab):
    """Addresses and routes of a client whose IPv4 crosses an IPv6 network, and the CLAT programs, pinned."""
    client, objects = lab.client, lab.folder / "clat.o"
    # The headers of this machine's architecture are in a folder that clang does not look into for BPF.
    folder = subprocess.run(["gcc", "-print-multiarch"], check=True, capture_output=True, encoding="utf-8").stdout.strip()
    source = HERE / "clat.bpf.c"
    command = ["clang", "-O2", "-g", "-Wall", "-Werror", "-target", "bpf", f"-I/usr/include/{folder}"]
    subprocess.run([*command, "-c", str(source), "-o", str(objects)], check=True)
    client.write("/run/clat.o", objects.read_bytes())
    client.run("bpftool", "prog", "loadall", "/run/clat.o", PINS, "type", "classifier")
    client.run("ip", "-6", "address", "add", OWN6 + "/128", "dev", "c0", "nodad")
    client.run("ip", "address", "add", OWN4 + "/32", "dev", "c0")
    way = ("via", address("c0", 4, router=True), "dev", "c0", "src", OWN4, "mtu", "1472")
    client.run("ip", "route", "replace", address("s0") + "/32", *way)
    lab.server.run("ip", "-6", "address", "add", SERVER6 + "/128", "dev", "s0", "nodad")
    lab.middlebox.run("ip", "-6", "route", "replace", "64:ff9b::/96", "dev", "ms0")
    lab.middlebox.run("ip", "-6", "route", "replace", OWN6 + "/128", "dev", "mc0")


def clat_by_filters(host):
    """CLAT in a clsact qdisc, which translates in place."""
    host.run("tc", "qdisc", "add", "dev", "c0", "clsact", check=False)
    for way, name in (("ingress", "clat_in"), ("egress", "clat_out")):
        words = ("filter", "add", "dev", "c0", way, "pref", "50", "protocol", "all", "bpf", "da")
        host.run("tc", *words, "pinned", f"{PINS}/{name}")


def clat_by_tcx(host):
    """CLAT at the tail of tcx, where NetworkManager has it."""
    for way, name in (("ingress", "clat_in_again"), ("egress", "clat_out")):
        host.run(*ATTACHMENTS, "put", "c0", way, "last", f"{PINS}/{name}", f"{PINS}/{way}")


def filters_behind(host):
    """How often our filter is behind those of others."""
    return host.output("tc", "filter", "show", "dev", "c0", "ingress").count(f"pref {BEHIND} bpf chain 0 handle")


def transfer_by_clat(lab, client, port=PORT, protocol="mptcp"):
    """Data both ways by IPv4 of the client, which is IPv6 on the wire."""
    before = path.forwarded(lab, "tcp")
    seconds = client.connect("a", address("s0"), port=port, protocol=protocol, timeout=8)["seconds"]
    for task in ("upload", "download"):
        client.transfer(task, "a", size=SIZE)
    client.close("a")
    tcp = path.forwarded(lab, "tcp") - before
    runner.note(f"port {port}: connected in {seconds:.2f} s, {tcp} TCP packets on the way")
    return seconds, tcp


def set_up(lab, attach_point, *more):
    """The tunnel on the client's first uplink and on the server."""
    service.set_options(lab.client, f"--attach-point={attach_point}")
    service.set_tunnels(lab, *more)
    service.bring_up(lab, "first")
    service.wait_state(lab.client, "c0", service.ACTIVE)
    service.wait_state(lab.server, "s0", service.ACTIVE)


def clat_later(attach_point, attach_clat, behind):
    """CLAT comes while the tunnel is there; behind: whether it leaves translated datagrams to what is behind it."""
    with runner.TestLab() as lab:
        set_up(lab, attach_point, "fallback=no")
        prepare_clat(lab)
        attach_clat(lab.client)
        if behind:
            wait_until(lambda: filters_behind(lab.client) == 1, "our filter follows")
        before = state.tunnel_state(lab.client)
        server, client = traffic.pair(lab)
        server.listen(PLAIN_PORT)
        transfer_by_clat(lab, client, PLAIN_PORT)
        for _ in range(2):
            seconds, tcp = transfer_by_clat(lab, client)
            assert seconds < 1 and tcp == 0, f"{seconds} {tcp}"
        # IPv6 of its own is not disturbed, and neither is IPv4 without CLAT.
        client.connect("b", address("s0", 6))
        client.transfer("download", "b", size=SIZE)
        assert client.info("b")["fallback"] is False
        assert sum(size for name, (_, size) in lab.counters().items() if name.startswith("udp")) > 5 * SIZE
        state.assert_same(before, state.tunnel_state(lab.client), "after the transfers")
        if behind:
            foreign = lab.client.output("tc", "filter", "show", "dev", "c0", "ingress", "pref", "50")
            lab.client.run("underpassctl", "deactivate", "c0")
            assert filters_behind(lab.client) == 0
            assert lab.client.output("tc", "filter", "show", "dev", "c0", "ingress", "pref", "50") == foreign != ""
            lab.client.run("underpassctl", "activate", "c0")
            assert filters_behind(lab.client) == 1
            transfer_by_clat(lab, client, protocol="mptcp")
            lab.client.run("tc", "filter", "delete", "dev", "c0", "ingress", "pref", "50")
            wait_until(lambda: filters_behind(lab.client) == 0, "our filter goes when theirs has gone")


def test_clat_in_a_clsact_qdisc():
    """Filters behind tcx."""
    clat_later("tcx", clat_by_filters, True)


def test_clat_and_tunnel_in_a_clsact_qdisc():
    """As on kernels without tcx."""
    clat_later("clsact", clat_by_filters, True)


def test_clat_in_tcx():
    """As NetworkManager has it: what it has translated comes in a second time."""
    clat_later("tcx", clat_by_tcx, False)


def shape(host, qdisc):
    """What routers do at home: all that comes in goes through a shaper, and so does what goes out."""
    tbf = ("root", "tbf", "rate", RATE, "burst", "128k", "latency", "50ms")
    host.run("ip", "link", "add", "ifb0", "type", "ifb")
    host.run("ip", "link", "set", "ifb0", "up")
    host.run("tc", "qdisc", "add", "dev", "ifb0", *tbf)
    host.run("tc", "qdisc", "replace", "dev", "c0", *tbf)
    add_shaping_filter(host, qdisc)


def add_shaping_filter(host, qdisc):
    """The qdisc and the filter in it."""
    host.run("tc", "qdisc", "add", "dev", "c0", *(("handle", "ffff:", "ingress") if qdisc == "ingress" else ("clsact",)))
    parent = "ffff:" if qdisc == "ingress" else "ffff:fff2"
    host.run("tc", "filter", "add", "dev", "c0", "parent", parent, "protocol", "all", "prio", "10", *MATCH_ALL)


def assert_shaped(client, family):
    """Tunnelled transfers both ways, neither faster than the shaper."""
    client.connect("a", address("s0", family))
    client.transfer("echo", "a", size=1000)
    for task in ("upload", "download"):
        seconds = client.transfer(task, "a", size=8_000_000, timeout=20)["seconds"]
        runner.note(f"IPv{family}, {task}: {seconds:.2f} s")
        assert seconds > LEAST, f"{task}: {seconds} s"
    assert client.info("a")["fallback"] is False


def test_shaping_by_an_ingress_qdisc():
    """Beside tcx: the tunnel works, the shaper holds, and what was there stays when the tunnel goes."""
    with runner.TestLab() as lab:
        lab.client.run("ip", "link", "set", "c0", "up")
        shape(lab.client, "ingress")
        lab.client.up("first")
        before = state.host_state(lab.client)
        set_up(lab, "tcx")
        assert_shaped(traffic.pair(lab)[1], 4)
        lab.client.run("underpassctl", "deactivate", "--all")
        after = state.settled(lab.client, before)
        for each in (before, after):
            for topic in [topic for topic in each if topic.startswith("filters of")]:
                each[topic] = "\n".join(line for line in each[topic].splitlines() if "rule hit" not in line)
        state.assert_same(before, after, "deactivated")


def test_ingress_qdisc_without_tcx():
    """An ingress qdisc takes the place that filters at egress need. The error says what to do, connections are plain
    TCP meanwhile, and as soon as there is room, the tunnel comes up by itself."""
    with runner.TestLab() as lab:
        service.set_options(lab.client, "--attach-point=clsact")
        lab.client.run("ip", "link", "set", "c0", "up")
        shape(lab.client, "ingress")
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        found = service.wait_state(lab.client, "c0", "failed")
        assert found["LastStage"] == "attach" and 'use "clsact" instead of "ingress"' in found["LastError"], found
        _, client = traffic.pair(lab)
        client.connect("plain", protocol="tcp")
        client.transfer("download", "plain", size=SIZE)
        lab.client.run("tc", "qdisc", "delete", "dev", "c0", "ingress")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        lab.client.run("underpassctl", "deactivate", "c0")
        add_shaping_filter(lab.client, "clsact")
        lab.client.run("underpassctl", "activate", "c0")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        assert_shaped(client, 6)
