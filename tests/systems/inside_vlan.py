#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in a guest: VLANs above a link that has a tunnel. Each of them is a network of its own, from the
client through the middlebox to the server: one with a tunnel of its own, one without, and one in another
(802.1Q in 802.1ad), with a tunnel. Tags are those of the device, and then bytes of the frame.

The last line, which begins with "found: ", tells in JSON what was found. May touch: the guest.
"""

import json
import os
import sys

import inside_mptcp

# pylint: disable=wrong-import-position
import craft
import path
import runner
import service
import traffic
from host import HERE, wait_until
from lab import LINKS, PORT, address

SIZE = 200_000
# Name behind that of the link -> (number of its networks, or none; what it is above; its protocol and number).
VLANS = {
    ".7": (7, "", "802.1Q", 7),
    ".8": (8, "", "802.1Q", 8),
    ".9": (None, "", "802.1ad", 9),
    ".9.10": (10, ".9", "802.1Q", 10),
}
TAG_FEATURES = ("txvlan", "rxvlan", "tx-vlan-stag-hw-insert", "rx-vlan-stag-hw-parse")
PLAIN = ".8"  # has no tunnel
TUNNELLED = ("", ".7", ".9.10")
FAMILIES = (4, 6)
LONG = 60.0  # seconds; a guest is slow


def vlan_address(number, far, side, family):
    """Address of one end of the network between the middlebox and a host; side: 1 for the client's."""
    network = 100 * side + number
    return f"10.77.{network}.{2 if far else 1}" if family == 4 else f"2001:db8:77:{network}::{2 if far else 1}"


def target(name, family):
    """Where the server is in a VLAN, or on its link."""
    number = VLANS[name][0] if name else None
    return vlan_address(number, True, 2, family) if name else address("s0", family)


def add_vlans(host, link, side, far):
    """The VLANs above one end of a link, with addresses."""
    lines = []
    for name, (number, lower, protocol, tag) in VLANS.items():
        kind = f"type vlan protocol {protocol} id {tag}"
        lines += [f"link add link {link}{lower} name {link}{name} {kind}", f"link set {link}{name} up"]
        if number:
            for family, more in ((4, "/24"), (6, "/64 nodad")):
                words = vlan_address(number, far, side, family) + more
                lines.append(f"address add {words} dev {link}{name}")
    host.run("ip", "-batch", "-", text="\n".join(lines) + "\n")


def dress(lab):
    """VLANs everywhere, and in each a route to the other host's network in the same VLAN."""
    for side, host, link in ((1, lab.client, "c0"), (2, lab.server, "s0")):
        add_vlans(lab.middlebox, LINKS[link][0], side, False)
        add_vlans(host, link, side, True)
        for name, (number, *_) in VLANS.items():
            for family in FAMILIES:
                if number:
                    there = vlan_address(number, True, 3 - side, family)
                    via = vlan_address(number, False, side, family)
                    host.run("ip", f"-{family}", "route", "add", there, "via", via, "dev", link + name)


def hardware_tags(lab, enabled):
    """Whether tags travel beside the frames, or in them."""
    word = "on" if enabled else "off"
    for host, links in ((lab.client, ("c0",)), (lab.server, ("s0",)), (lab.middlebox, ("mc0", "ms0"))):
        for link in links:
            features = [each for name in TAG_FEATURES for each in (name, word)]
            host.run("ethtool", "-K", link, *features)


def count_forms(lab):
    """From now on the middlebox counts the port's packets by VLAN of the client and form."""
    names = [f"by-{form}{name}".replace(".", "-") for name in ("", *VLANS) for form in ("tcp", "udp")]
    counters = [f"counter {name} {{ }}" for name in names]
    rules = [
        f'iifname "mc0{name}" {form} dport {PORT} counter name {("by-" + form + name).replace(".", "-")}'
        for name in ("", *VLANS)
        for form in ("tcp", "udp")
    ]
    head = "chain forward { type filter hook forward priority -20; policy accept;"
    lab.middlebox.set_nft_table("vlans", *counters, head, *rules, "}")


def forms(lab, name):
    """(packets of TCP, of UDP) that came by a VLAN of the client since count_forms()."""
    counted = lab.middlebox.nft_counters("vlans")
    return tuple(counted[("by-" + form + name).replace(".", "-")][0] for form in ("tcp", "udp"))


def known(lab):
    """Counters of all links that have a tunnel, but those that are 0, by the link's name. One question a host: each
    takes half a second in a guest."""
    found = {}
    for host in (lab.client, lab.server):
        for each in json.loads(host.output("underpassctl", "status", "--json"))["links"]:
            found[each["interface"]] = {name: value for name, value in each["counters"].items() if value}
    return {name: counters for name, counters in found.items() if name[2:] in TUNNELLED}


def one(lab, client, name):
    """Connections in one VLAN: only its own links have seen them, in the form that they have there."""
    before = known(lab)
    count_forms(lab)
    for family in FAMILIES:
        client.connect("a", target(name, family), protocol="tcp")
        client.transfer("upload", "a", size=SIZE)
        client.transfer("download", "a", size=SIZE)
        client.close("a")
    tcp, udp = forms(lab, name)
    plain, tunnelled = (udp, tcp) if name == PLAIN else (tcp, udp)
    assert plain == 0 and tunnelled > 20, f"{name or 'link'}: TCP {tcp}, UDP {udp}"
    for link, counters in known(lab).items():
        changed = counters != before[link]
        assert changed is (link[2:] == name), f"{name}, {link}: {before[link]} became {counters}"


def together(lab, client):
    """Connections on the link and in all VLANs at the same time."""
    names = ("", *(name for name, (number, *_) in VLANS.items() if number))
    count_forms(lab)
    for name in names:
        client.connect("x" + name, target(name, 4), protocol="tcp")
    for task in ("upload", "download"):
        for name in names:
            client.start(task, "x" + name, size=SIZE)
        for name in names:
            assert client.wait("x" + name)["equal"], name
    for name in names:
        client.close("x" + name)
        plain = forms(lab, name)[1 if name == PLAIN else 0]
        assert plain == 0, f"{name}: {forms(lab, name)}"


def tagged_syns(lab):
    """SYNs in UDP form in a VLAN without tunnel are nobody's business but that of UDP, and a VLAN inside of one
    that has a tunnel of its own is not that one. Nothing was dropped and nothing fell back anywhere so far."""
    accepted = {link: counters.get("flows-accepted") for link, counters in known(lab).items()}
    there = bytes.fromhex(path.hardware_address(lab.server, "s0").replace(":", ""))
    elsewhere = known(lab)["s0"].get("pass-port", 0)
    # The last one has no tag, and another port: when the link has seen it, it has had those before it.
    cases = ("81000008", "81000007" + "81000008", "88a80007", "88a80009", "88a80008", "")
    for number, tags in enumerate(cases):
        here, port = (address("c0"), 5000 + number), PORT if tags else PORT + 1
        syn = craft.wrapped(here, (address("s0"), port), craft.SYN, 1000, 0, craft.CAPABLE)
        frame = there + bytes(6) + bytes.fromhex(tags) + b"\x08\x00" + syn
        lab.middlebox.run("/usr/bin/python3", HERE / "frames.py", "ms0", text=frame.hex() + "\n")
    wait_until(lambda: known(lab)["s0"].get("pass-port", 0) == elsewhere + 1, "the last one is seen", LONG)
    counted = known(lab)
    for link, counters in counted.items():
        assert counters.get("flows-accepted") == accepted[link], f"{link}: {accepted} became {counters}"
        odd = [name for name in counters if name.startswith(("drop-", "fallback-"))]
        assert not odd, f"{link}: {counters}"


def story(lab):
    """All of it; what was seen."""
    client = traffic.pair(lab)[1]
    for enabled in (True, False):
        hardware_tags(lab, enabled)
        for name in ("", ".7", PLAIN, ".9.10"):
            one(lab, client, name)
        together(lab, client)
        tagged_syns(lab)
        inside_mptcp.say(f"tags {'beside' if enabled else 'in'} the frames: each VLAN its own form")


def ask_for_tunnels(lab):
    """Profiles for the links and the VLANs that have a tunnel."""
    for host, link, ports in (
        (lab.client, "c0", f"RemotePorts={PORT}"),
        (lab.server, "s0", f"LocalPorts={PORT}"),
    ):
        names = " ".join(link + name for name in TUNNELLED)
        host.write("/etc/underpass/lab.conf", inside_mptcp.PROFILE.format(names=names, ports=ports))
        service.manager_call(host, "Reload")
        for name in TUNNELLED:
            service.wait_state(host, link + name, service.ACTIVE, inside_mptcp.PATIENCE)


def main():
    """The whole story."""
    os.environ["UNDERPASS_STAGE"] = "/project/stage"
    with runner.TestLab(manager=False) as lab:
        inside_mptcp.start(lab)
        dress(lab)
        ask_for_tunnels(lab)
        story(lab)
        status = lab.client.output("underpassctl", "status", "--verbose").splitlines()
        for line in status:
            inside_mptcp.say(line)
        for host in (lab.client, lab.server):
            host.run("underpassctl", "deactivate", "--all")
            left = [name for name in os.listdir(host.path("/sys/class/net")) if name.startswith("underpass")]
            assert not left, f"{host.name}: {left} stayed"
    print(inside_mptcp.RESULT + json.dumps({"status": status[0]}), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception:
        print(*runner.Run.notes, sep="\n")
        sys.stdout.flush()
        raise
