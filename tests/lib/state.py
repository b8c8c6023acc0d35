# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of a host's network as text, so that "as before" can be shown by a diff. Reads only."""

import difflib
import json
import re
import time

import runner
from host import wait_until

PINS = "/sys/fs/bpf/underpass"

# What is true of a host at one moment, and the command that tells it. No statistics: they change by
# themselves.
COMMANDS = {
    "links": ["ip", "-details", "link"],
    "addresses": ["ip", "address"],
    "routes": ["ip", "route", "show", "table", "all"],
    "routes of IPv6": ["ip", "-6", "route", "show", "table", "all"],
    "rules": ["ip", "rule"],
    "queueing disciplines": ["tc", "qdisc", "show"],
    "programs on links": ["bpftool", "net"],
    "MPTCP endpoints": ["ip", "mptcp", "endpoint"],
    "MPTCP limits": ["ip", "mptcp", "limits"],
    "pins": ["find", "/sys/fs/bpf"],
    "interfaces": ["ls", "/sys/class/net"],
    "firewall": ["nft", "list", "ruleset"],
    "sysctls": ["sysctl", "--all", "--pattern", r"^net\.(core|ipv4|ipv6|mptcp)\."],
}

# Normalisation: what differs although nothing changed.
NOISE = [
    (re.compile(r"\b(expires|valid_lft|preferred_lft) \d+sec"), r"\1 N"),
    (re.compile(r"\bid \d+ "), "id N "),  # MPTCP endpoints get a new number each time
    (re.compile(r"\b(\w+_timer|fdb_n_learned) +[0-9.]+"), r"\1 N"),  # of bridges
]


def query_programs(host, *interfaces):
    """Numbers and names of the programs on the tcx attach points, as JSON."""
    return host.output("/usr/bin/python3", host.tools / "attachments.py", "query", *interfaces)


def programs(host, *interfaces):
    """Names of the programs on the tcx attach points by interface and direction, in their order; {} on kernels
    without tcx."""
    found = json.loads(query_programs(host, *interfaces)) or {}
    return {
        interface: {way: [name for _, name in entries] for way, entries in points.items()}
        for interface, points in found.items()
    }


def need_tcx(host, interface):
    """Skips the test on a kernel without tcx; the interface has programs."""
    if not programs(host, interface):
        raise runner.Skip("this kernel has no tcx")


# The kernel gives a bridge its carrier a moment after its ports have theirs.
UNSETTLED = re.compile(r"\bunderpass-\S+: <[^>]*NO-CARRIER")


def is_at_rest(host):
    """Whether the helper devices have their carrier."""
    return not UNSETTLED.search(host.output(*COMMANDS["links"]))


def tunnel_state(host):
    """What a tunnel is made of in the kernel, by topic, as soon as its helper devices have come to rest."""
    wait_until(lambda: is_at_rest(host), f"{host.name}: the helper devices have their carrier")
    topics = ("links", "programs on links", "pins", "MPTCP endpoints")
    return normalised({topic: host.run(*COMMANDS[topic]).stdout for topic in topics})


def host_state(host):
    """The state by topic. Helper devices are given some time to come to rest; those that are half made never do."""
    state, end = {}, time.monotonic() + 3
    while not is_at_rest(host) and time.monotonic() < end:
        time.sleep(0.05)
    for topic, command in COMMANDS.items():
        # sysctl cannot read some files even as root and says so with its exit status.
        state[topic] = host.run(*command, check=topic != "sysctls").stdout
    interfaces = state["interfaces"].split()
    state["programs on attach points"] = query_programs(host, *interfaces).replace("}, ", "},\n")
    for interface in interfaces:
        for parent in ("ingress", "egress", "root"):
            text = host.run("tc", "filter", "show", "dev", interface, parent, check=False).stdout
            state[f"filters of {interface} {parent}"] = text
        state[f"offloads of {interface}"] = host.run("ethtool", "-k", interface, check=False).stdout
    return normalised(state)


def normalised(state):
    """The same state without what differs although nothing changed."""
    for topic, text in state.items():
        for pattern, replacement in NOISE:
            text = pattern.sub(replacement, text)
        lines = [line.rstrip() for line in text.splitlines()]
        state[topic] = "\n".join(sorted(lines) if topic in ("MPTCP endpoints", "pins", "sysctls") else lines)
    return state


def difference(before, after):
    """Unified diff of two states; "" when they are equal."""
    lines = []
    for topic in sorted(set(before) | set(after)):
        lines += difflib.unified_diff(
            before.get(topic, "").splitlines(),
            after.get(topic, "").splitlines(),
            f"{topic}, before",
            f"{topic}, after",
            lineterm="",
            n=1,
        )
    return "\n".join(lines)


def assert_same(before, after, what):
    """AssertionError with the diff unless both states are equal."""
    text = difference(before, after)
    assert not text, f"{what}: the state of the host differs\n{text}"


def settled(host, expected, look=host_state, seconds=10):
    """The state of a host by look(host), given it some time to become the expected one: signals may reach the
    service after nmcli has ended, helper devices go after the last link, and the kernel takes programs off a moment
    after their pins."""
    end = time.monotonic() + seconds
    while difference(expected, found := look(host)) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def assert_becomes(expected, host, what, look=host_state):
    """AssertionError with the difference unless the state of a host becomes the expected one."""
    assert_same(expected, settled(host, expected, look), what)


def _listed(host, kind):
    """All maps, programs or links of the machine. What vanishes while they are listed fails the command, not
    the list."""
    text = host.run("bpftool", "--json", kind, "show", check=False).stdout
    found = json.loads(text)
    return found if isinstance(found, list) else []


def _map_belongs(host, number, cookie):
    """Whether a map "loader" has this namespace in it."""
    text = host.run("bpftool", "--json", "map", "dump", "id", number, check=False).stdout
    entries = json.loads(text) if text else []
    if not isinstance(entries, list):  # the map is gone
        return False
    return any(entry["formatted"]["value"]["namespace_cookie"] == cookie for entry in entries)


def bpf_objects(host, cookie):
    """(maps, programs, links) in the kernel that belong to this host's service, pinned or not. The lists are
    those of the machine; a map "loader" tells whose it is, programs tell which maps belong together."""
    loaders = (entry["id"] for entry in _listed(host, "map") if entry.get("name") == "loader")
    maps, known = {number for number in loaders if _map_belongs(host, number, cookie)}, set()
    users = {entry["id"]: set(entry.get("map_ids", [])) for entry in _listed(host, "prog")}
    while maps != known:
        known = maps
        maps = maps.union(*(used for used in users.values() if used & maps))
    programs = {number for number, used in users.items() if used & maps}
    links = {entry["id"] for entry in _listed(host, "link") if entry.get("prog_id") in programs}
    return len(maps), len(programs), len(links)


def pins(host):
    """What is pinned, without the folder's name."""
    found = host.run("find", PINS, "-mindepth", "2", "-printf", r"%f\n", check=False).stdout
    return sorted(found.split())


def pinned_programs(host):
    """The programs that are pinned: name → id."""
    found = {}
    for path in host.output("find", PINS, "-mindepth", "2", "-name", "underpass_*").split():
        entry = json.loads(host.output("bpftool", "--json", "prog", "show", "pinned", path))
        found[path.rpartition("/")[2]] = entry["id"]
    return found
