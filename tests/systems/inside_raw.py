#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in a guest: tunnels of the kernel between client and server whose packets have no Ethernet header,
each with a tunnel of ours in it.

The last line, which begins with "found: ", tells in JSON what was found. May touch: the guest.
"""

import json
import os
import socket
import sys

import inside_mptcp

# pylint: disable=wrong-import-position
import runner
import service
import traffic
from host import wait_until
from lab import PORT, address

SIZE = 200_000
DEVICE = "up0"
KEY = 7
INSIDE = {4: "10.77.50.{}", 6: "2001:db8:77:50::{}"}
ENDS = ((0, "c0", "s0"), (1, "s0", "c0"))
# Kind of device -> (family of the packets outside, families of those inside, more words).
POINT_TO_POINT = {
    "vti": (4, (4, 6), ("key", KEY)),
    "vti6": (6, (4, 6), ("key", KEY)),
    "xfrm": (4, (4, 6), ("if_id", KEY)),
    "gre": (4, (4, 6), ()),
    "ip6gre": (6, (4, 6), ("key", KEY)),
    "ipip": (4, (4,), ()),
    "sit": (4, (6,), ()),
    "ip6tnl": (6, (4, 6), ("mode", "any")),
}
# Those of many ends: the packets begin with the header of the tunnel itself.
MANY_ENDS = {"gre": 4, "ip6gre": 6}
IPSEC = ("vti", "vti6", "xfrm")
# A tunnel to nobody: while it is active the programs stay loaded. Verifying them anew for each device would take most
# of the story's time.
COMPANION = "companion0"


def inside(side, family):
    """Address of one end in the tunnel; side: 0 for the client."""
    return INSIDE[family].format(side + 1)


def protection(near, far, mark):
    """What devices of IPsec need, as commands: associations and policies, without any secret."""
    lines = []
    for way, source, target in (("out", near, far), ("in", far, near)):
        ends = f"src {source} dst {target} proto esp"
        spi = 1000 + sum(source.encode()) * 7
        ciphers = "auth digest_null '' enc cipher_null ''"
        owner = f"if_id {KEY}" if mark == "if_id" else ""
        lines.append(f"xfrm state add {ends} spi {spi} mode tunnel flag af-unspec {ciphers} {owner}")
        for anything in ("0.0.0.0/0", "::/0"):
            whole = f"xfrm policy add src {anything} dst {anything} dir {way} {mark} {KEY}"
            lines.append(f"{whole} tmpl src {source} dst {target} proto esp mode tunnel")
    return lines


def batch(host, lines, force=False):
    """Commands of ip; force: the kernel may refuse some of them."""
    options = ("-force", "-batch", "-") if force else ("-batch", "-")
    host.run("ip", *options, text="".join(f"{line}\n" for line in lines), check=not force)


def add(lab, kind, family, words, remote=True):
    """The device on both ends, with addresses, up."""
    for (side, link, other), host in zip(ENDS, (lab.client, lab.server)):
        near, far = address(link, family), address(other, family)
        lines = protection(near, far, "if_id" if kind == "xfrm" else "mark") if kind in IPSEC else []
        ends = f"dev {link}" if kind == "xfrm" else f"local {near}" + (f" remote {far}" if remote else "")
        lines.append(f"link add {DEVICE} type {kind} {ends} {' '.join(str(word) for word in words)}")
        batch(host, [*lines, f"link set {DEVICE} up"])
        # Some carry one family only.
        own = ((4, "/24"), (6, "/64 nodad"))
        batch(host, [f"address add {inside(side, inner)}{more} dev {DEVICE}" for inner, more in own], force=True)
        if not remote:
            there = far if family == 4 else socket.inet_pton(socket.AF_INET6, far).hex(":")
            others = [inside(1 - side, inner) for inner, _ in own]
            batch(host, [f"neigh add {each} lladdr {there} dev {DEVICE}" for each in others])


def remove(lab):
    """The device goes, with what vti needed."""
    for host in (lab.client, lab.server):
        batch(host, [f"link delete {DEVICE}", "xfrm state flush", "xfrm policy flush"])


def keep_programs(lab):
    """A device of the kind of which others come and go."""
    for (_, link, _), host in zip(ENDS, (lab.client, lab.server)):
        ends = f"local {address(link)} remote {address(link, router=True)}"
        batch(host, [f"link add {COMPANION} type ipip {ends}", f"link set {COMPANION} up"])
        service.wait_state(host, COMPANION, service.ACTIVE, inside_mptcp.PATIENCE)


def ask_for_tunnels(lab):
    """Profiles for the device, whenever it comes, and for the one that stays."""
    for host, ports in ((lab.client, f"RemotePorts={PORT}"), (lab.server, f"LocalPorts={PORT}")):
        profile = inside_mptcp.PROFILE.format(names=f"{DEVICE} {COMPANION}", ports=ports)
        host.write("/etc/underpass/lab.conf", profile)
        service.manager_call(host, "Reload")


def transfer(client, family, protocol):
    """A connection through the device, data both ways."""
    client.connect("a", inside(1, family), protocol=protocol)
    for task in ("upload", "download"):
        client.transfer(task, "a", size=SIZE)
    client.close("a")


def tunnelled(lab, client, kind, families):
    """Connections through a device that has a tunnel."""
    for host in (lab.client, lab.server):
        service.wait_state(host, DEVICE, service.ACTIVE, inside_mptcp.PATIENCE)
    for family in families:
        for protocol in ("tcp", "mptcp"):
            before = service.counters(lab.client, DEVICE)
            transfer(client, family, protocol)
            after = service.counters(lab.client, DEVICE)
            grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
            odd = [name for name in grown if name.startswith(("drop-", "fallback-", "plain-"))]
            what = f"{kind}, IPv{family}, {protocol}: {grown}"
            assert not odd and grown["flows-established"] >= 1, what
            assert grown["sent"] * 1500 > SIZE and grown["received"] * 1500 > SIZE, what
    inside_mptcp.say(f"{kind}: {', '.join(f'IPv{family}' for family in families)} in UDP both ways")


def refused(lab, client, kind, families):
    """A device of many ends: the link says why it has no tunnel, and connections are plain, in those families in which
    the kernel carries any."""
    for host in (lab.client, lab.server):
        found = service.wait_state(host, DEVICE, "failed", inside_mptcp.PATIENCE)
        assert "GRE tunnel to many ends" in found["LastError"] and not found["Programs"], found
    for family in families:
        transfer(client, family, "tcp")
    inside_mptcp.say(f"{kind} without remote address: {found['LastError']}")


def programs_are(host, expected):
    """Waits until these programs are attached, "raw" or "ethernet"; "": none, and the link says why."""
    service.wait_state(host, DEVICE, service.ACTIVE if expected else "failed", inside_mptcp.PATIENCE)
    found = dict(service.link(host, DEVICE)["Programs"])
    kinds = {name.rpartition("_")[2] for name in found.values()}
    assert kinds == ({expected} if expected else set()), found


def bond(lab):
    """An empty bond is an Ethernet device; its first port makes it one of the port's type. The types that were seen."""
    host, seen = lab.client, []
    ends = ("local", address("c0"), "remote", address("s0"))
    for kind, words, expected in (("ipip", ends, "raw"), ("nlmon", (), ""), ("dummy", (), "ethernet")):
        host.run("ip", "link", "add", DEVICE, "type", "bond", "mode", "active-backup")
        host.run("ip", "link", "set", DEVICE, "up")
        programs_are(host, "ethernet")
        host.run("ip", "link", "set", DEVICE, "down")
        host.run("ip", "link", "add", "port0", "type", kind, *words)
        result = host.run("ip", "link", "set", "port0", "master", DEVICE, check=False)
        if result.returncode == 0:
            host.run("ip", "link", "set", DEVICE, "up")
            programs_are(host, expected)
            seen.append(kind)
        else:
            inside_mptcp.say(f"no bond of {kind} here: {result.stderr.strip()}")
        # One that is not Ethernet goes with its last port.
        host.run("ip", "link", "delete", "port0")
        host.run("ip", "link", "delete", DEVICE, check=False)
        wait_until(
            lambda: host.run("ip", "link", "show", DEVICE, check=False).returncode != 0, "the bond has gone"
        )
    inside_mptcp.say(f"an empty bond that got a port of type {', '.join(seen)}: the programs followed")
    return seen


def main():
    """The whole story."""
    os.environ["UNDERPASS_STAGE"] = "/project/stage"
    with runner.TestLab(manager=False) as lab:
        inside_mptcp.start(lab)
        ask_for_tunnels(lab)
        keep_programs(lab)
        client = traffic.pair(lab)[1]
        for kind, (family, families, words) in POINT_TO_POINT.items():
            add(lab, kind, family, words)
            tunnelled(lab, client, kind, families)
            remove(lab)
        for kind, family in MANY_ENDS.items():
            add(lab, kind, family, (), remote=False)
            refused(lab, client, kind, (4,) if kind == "gre" else ())
            remove(lab)
        ports = bond(lab)
    print(inside_mptcp.RESULT + json.dumps({"ports": ports}), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception:
        print(*runner.Run.notes, sep="\n")
        sys.stdout.flush()
        raise
