#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for the service: exports data/org.underpass1.xml with the links of a fixed small world.

Usage: mock_service.py XML LOG [LO [ONLY]]      with DBUS_SYSTEM_BUS_ADDRESS set; LOG gets one line a call. LO: a file
with properties of the loopback device, by name, as JSON; it is read at each call. Without it there is no such link.
ONLY: names of links, by commas; there are no others then.
A link called "vanish" makes the mock end without an answer, one called "broken" fails, and once it was to be
deactivated, DeactivateAll fails, too, until it was to be activated; "private" is root's, as probes are, and "asked"
wants a password that nobody is there to be asked for.
"""

import json
import os
import sys

from gi.repository import Gio, GLib

ROOT = "/org/underpass1"
MANAGER = "org.underpass1.Manager"
LINK = "org.underpass1.Link"
UUID = "11111111-2222-3333-4444-555555555555"
TUNNEL_UUID = "66666666-2222-3333-4444-555555555555"
OBJECT_MANAGER = """<node><interface name="org.freedesktop.DBus.ObjectManager">
<method name="GetManagedObjects"><arg type="a{oa{sa{sv}}}" direction="out"/></method></interface></node>"""

COUNTERS = [
    ("sent", "TCP segments that left as UDP."),
    ("received", "UDP datagrams that were turned back into TCP."),
    ("flows-opened", "SYNs of this host that left in the tunnel, retransmissions included."),
    ("flows-established", "Handshakes that were completed over UDP."),
    ("pass-port", "SYNs in UDP to a port outside local-ports that were left alone."),
    ("plain-on-demand", "Connections begun as plain TCP because MPTCP options have got through so far."),
    ("stripped", "Answers to plain SYNs that had lost the MPTCP option."),
]
FLOWS = [
    ("192.0.2.1", 40000, "198.51.100.7", 443, "tunnelled", True, 7, 1, 1, 123456, 850, 1522, 22, 2100000, 850),
    ("2001:db8::1", 40001, "2001:db8::7", 443, "half-open", True, 7, 1, 1, 500, 400, 1, 0, 0, 0),
    ("2001:db8::1", 40002, "2001:db8::7", 443, "half-open", True, 7, 3, 1, 9000, 40, 3, 0, 0, 0),
    ("2001:db8::1", 40003, "2001:db8::7", 443, "half-open", True, 7, 1, 1, 3000, 900, 1, 0, 0, 0),
    ("192.0.2.9", 443, "198.51.100.9", 50000, "tunnelled", False, 12, 0, 0, 7300000, 61000, 9, 2**40, 5, 2**50),
    ("192.0.2.9", 443, "198.51.100.9", 50001, "tunnelled", False, 99, 0, 0, 20000000, 1, 1, 1, 1, 1),
    ("192.0.2.3", 40002, "198.51.100.8", 443, "plain", True, 21, 1, 1, 90, 90, 1, 0, 0, 0),
]
FILES = [
    ("/etc/underpass/eth.conf", [], ["eth1"]),
    ("/etc/underpass/lone.conf", [], []),
    ("/etc/underpass/lte", ["/etc/underpass/lte is ignored: the mock says so."], []),
    ("/etc/underpass/typo.conf", ["/etc/underpass/typo.conf:2: bad.", "/etc/underpass/typo.conf:3: worse."], ["lte0", "wlan0"]),
]
MESSAGES = {"/etc/underpass/typo.conf:2: bad.": ("%s:%u: bad.", ["/etc/underpass/typo.conf", "2"])}
DESTINATIONS = [
    (22, "198.51.100.7", 443, "silent", 570),
    (22, "2001:db8::7", 8443, "stripped", 3480),
    (22, "198.51.100.8", 443, "silent", 119),
    (24, "198.51.100.7", 443, "moonstruck", 7),
    (25, "198.51.100.7", 443, "silent", 20),
    (25, "198.51.100.6", 443, "no-mptcp", 20),
    (25, "198.51.100.8", 443, "filtered", 20),
    (26, "198.51.100.7", 443, "filtered", 20),
    (26, "198.51.100.8", 443, "refused", 20),
    (26, "198.51.100.9", 443, "refused", 20),
    (98, "198.51.100.7", 443, "silent", 1),
]


def link(index, name, state, **changes):
    """Properties of a link by name, with their signatures."""
    properties = {
        "InterfaceIndex": ("u", index),
        "Name": ("s", name),
        "Type": ("s", "ether"),
        "State": ("s", state),
        "Reason": ("s", f"{name} is {state} in this test."),
        "Settings": (
            "a(ssss)",
            [
                ("tunnel", "no", "default", ""),
                ("remote-ports", "", "default", ""),
                ("local-ports", "", "default", ""),
            ],
        ),
        "Connection": ("(ss)", ("", "")),
        "TunnelProfile": ("(ss)", ("", "")),
        "ConnectionSettings": ("a(ss)", []),
        "Applied": ("a(ss)", []),
        "Programs": ("a(ss)", []),
        "LastError": ("s", ""),
        "LastStage": ("s", ""),
        "Warnings": ("as", []),
        "Counters": ("a{st}", {name: 0 for name, _ in COUNTERS}),
    }
    for key, value in changes.items():
        properties[key] = (properties[key][0], value)
    return properties


LINKS = {
    "/org/underpass1/link/_312": link(
        12,
        "eth1",
        "failed",
        LastStage="attach",
        LastError="The attach point is taken.",
        Settings=[
            ("tunnel", "yes", "file", "/etc/underpass/eth.conf:3"),
            ("remote-ports", "", "default", ""),
            ("local-ports", "443", "file", "/etc/underpass/eth.conf:4"),
        ],
    ),
    "/org/underpass1/link/_37": link(
        7,
        "lte0",
        "active",
        Type="wwan",
        Connection=("Ж本\x1b[31m", UUID),
        Settings=[
            ("tunnel", "yes", "NetworkManager", f"LTE ({UUID})"),
            ("remote-ports", "443,8000-8080", "NetworkManager", f"LTE ({UUID})"),
            ("local-ports", "", "default", ""),
        ],
        ConnectionSettings=[("connection.mptcp-flags", "disabled"), ("mtu", "1400")],
        Applied=[("attach-point", "tcx"), ("mtu", "1400")],
        Programs=[("tcx ingress", "underpass_in")],
        Warnings=["Port 443 is held by another UDP socket.\nSecond line."],
        Counters={
            "sent": 12034,
            "received": 2**53 + 1,
            "flows-opened": 3,
            "flows-established": 2,
            "pass-port": 0,
        },
    ),
    "/org/underpass1/link/_321": link(
        21,
        "plain0",
        "active",
        Settings=[("tunnel", "on-demand", "file", "/etc/underpass/plain.conf:3")],
        Counters={"plain-on-demand": 4, "bulk-probes": 3, "bulk-sent": 3, "bulk-given-up": 1},
    ),
    "/org/underpass1/link/_322": link(
        22,
        "blocked0",
        "active",
        Settings=[("tunnel", "yes", "file", "/etc/underpass/b.conf:3"), ("fallback", "yes", "default", "")],
        Counters={"flows-opened": 4, "flows-established": 1, "bulk-probes": 1, "bulk-sent": 71, "bulk-received": 8},
    ),
    "/org/underpass1/link/_324": link(
        24,
        "demand0",
        "active",
        Settings=[("tunnel", "on-demand", "file", "/etc/underpass/d.conf:3"), ("bulk", "no", "file", "/etc/underpass/d.conf:4")],
        Counters={"plain-on-demand": 4, "stripped": 1, "bulk-sent": 7, "bulk-received": 9},
    ),
    "/org/underpass1/link/_325": link(
        25,
        "filtered0",
        "active",
        TunnelProfile=("Filtered tunnel", TUNNEL_UUID),
        Applied=[("segmentation-device", "veth (underpass-tx)")],
        Counters={"bulk-probes": 2, "bulk-sent": 1},
    ),
    "/org/underpass1/link/_326": link(
        26,
        "refused0",
        "active",
        Settings=[
            ("tunnel", "yes", "networkd", "/etc/systemd/network/r.network.d/tunnel.conf:3"),
            ("bulk", "yes", "file", "/etc/underpass/r.conf:3"),
        ],
    ),
    "/org/underpass1/link/_327": link(27, "a$(b)'c“é", "failed", LastStage="mtu", LastError="It is odd."),
    "/org/underpass1/link/_35": link(5, "wlan0", "waiting"),
    "/org/underpass1/link/_32": link(2, "idle0", "off"),
    "/org/underpass1/link/_33": link(3, "idle1", "off", Connection=("Office", UUID)),
}

LOOPBACK = "/org/underpass1/link/_31"


def read_loopback(path):
    """The loopback device, as the file says."""
    with open(path, encoding="utf-8") as file:
        changes = json.load(file)
    for name, value in changes.items():
        if isinstance(value, list):
            rows = [tuple(row) if isinstance(row, list) else row for row in value]
            changes[name] = tuple(rows) if name == "Connection" else rows
    return link(1, "lo", **changes)


MANAGER_PROPERTIES = {
    "Version": ("s", "0.1.0"),
    "KernelVersion": ("s", "6.12.1"),
    "Features": ("a{sb}", {"tcx": True, "netkit": False}),
    "AttachPoint": ("s", "tcx"),
    "BpfError": ("s", ""),
    "SegmentationDevice": ("(ss)", ("bridge", "underpass-br")),
    "SegmentationDevicesSkipped": ("a(ss)", [("netkit", "the kernel has none"), ("vlan", "lte0 is odd")]),
    "Sources": ("a(sb)", [("file", True), ("NetworkManager", False)]),
    "Counters": ("a{st}", {"pass-port": 4}),
}


def values(properties, known):
    """Variants of the properties that the interface has; the signatures must be those of the XML."""
    found = {}
    for name, (signature, value) in properties.items():
        assert known[name] == signature, (name, signature, known[name])
        found[name] = GLib.Variant(signature, value)
    return found


class Mock:
    """The methods; those that the tests do not call are unknown."""

    def __init__(self, xml, log, loopback=None, only=None):
        self.log = log
        self.loopback = loopback
        self.loop = GLib.MainLoop()
        known = {path: row for path, row in LINKS.items() if not only or row["Name"][1] in only.split(",")}
        self.links = dict(known, **({LOOPBACK: read_loopback(loopback)} if loopback else {}))
        self.sent = -1000000
        self.stuck = False  # a tunnel could not be detached
        self.destinations = DESTINATIONS
        info = Gio.DBusNodeInfo.new_for_xml(xml)
        self.interfaces = {interface.name: interface for interface in info.interfaces}
        self.known = {
            name: {prop.name: prop.signature for prop in interface.properties}
            for name, interface in self.interfaces.items()
        }

    def path(self, name):
        """Object path of a link or None."""
        for path, properties in self.links.items():
            if properties["Name"][1] == name:
                return path
        return None

    def is_meant(self, row, interface, address, port):
        """Whether a destination is one of those that Forget names."""
        index = self.links[self.path(interface)]["InterfaceIndex"][1] if interface else row[0]
        return index == row[0] and address in ("", row[1]) and port in (0, row[2])

    def properties(self, path):
        """a{sv} of an object."""
        if path == ROOT:
            return values(MANAGER_PROPERTIES, self.known[MANAGER])
        if path == LOOPBACK:
            self.links[path] = read_loopback(self.loopback)
        return values(self.links[path], self.known[LINK])

    def reading(self, method, arguments):
        """Answer of a method that changes nothing, or None."""
        if method == "GetManagedObjects":
            objects = {path: {LINK: self.properties(path)} for path in self.links}
            return GLib.Variant("(a{oa{sa{sv}}})", (objects,))
        if method == "ListLinks":
            rows = [
                (link["InterfaceIndex"][1], link["Name"][1], link["State"][1], path)
                for path, link in self.links.items()
            ]
            return GLib.Variant("(a(usso))", (rows,))
        if method == "ListLiveFlows":
            # One flow a page; the first one sends 1 MB between two lists.
            cursor = int(arguments[0] or "0")
            self.sent += 0 if cursor else 1000000
            more = str(cursor + 1) if cursor + 1 < len(FLOWS) else ""
            rows = [(*row[:13], row[13] + (0 if cursor else self.sent), row[14]) for row in FLOWS[cursor : cursor + 1]]
            return GLib.Variant("(a(sqsqsbuuutttttt)s)", (rows, more))
        if method == "ListBusyFlows":
            # The first one has the most data on its way, as if it sent 2 MB/s and received 8 MB/s.
            rows = [(*row, 0 if number else 2000000, 0 if number else 8000000) for number, row in enumerate(FLOWS)]
            links = [(index, sum(row[6] == index for row in FLOWS), 0, 0) for index in sorted({row[6] for row in FLOWS})]
            return GLib.Variant("(a(sqsqsbuuutttttttt)a(uutt))", (rows[: arguments[0]], links))
        if method == "ListDestinations":
            return GLib.Variant("(a(usqsu))", (self.destinations,))
        if method == "ListFiles":
            return GLib.Variant("(a(sasas)a{s(sas)})", (FILES, MESSAGES))
        if method == "ListCounters":
            return GLib.Variant("(a(ss))", (COUNTERS,))
        return None

    def changing(self, method, arguments):
        """Answer of a method that changes links; a string is an error."""
        if method == "Subscribe":
            GLib.idle_add(self.tell_subflows)
            return GLib.Variant("()", ())
        if method == "Reload":
            return GLib.Variant("(a(sasas)a{s(sas)})", (FILES, MESSAGES))
        if method == "DeactivateAll":
            return "org.underpass1.Error.Failed" if self.stuck else GLib.Variant("(u)", (2,))
        if method == "Forget":
            interface, address, port = arguments
            if interface not in ("", "private", "vanish") and not self.path(interface):
                return "org.underpass1.Error.NoSuchLink"
            if interface == "private":
                return "org.freedesktop.DBus.Error.AccessDenied"
            found = [row for row in self.destinations if self.is_meant(row, interface, address, port)]
            self.destinations = [row for row in self.destinations if row not in found]
            return GLib.Variant("(u)", (len(found),))
        if arguments[0] == "private" or method == "Probe":
            return "org.freedesktop.DBus.Error.AccessDenied"
        if arguments[0] == "broken":
            if method in ("Activate", "Deactivate"):
                self.stuck = method == "Deactivate"
            return "org.underpass1.Error.Failed"
        path = self.path(arguments[0])
        if not path:
            return "org.underpass1.Error.NoSuchLink"
        if method in ("Activate", "Deactivate"):
            self.links[path]["State"] = ("s", "active" if method == "Activate" else "off")
        return GLib.Variant("()", ()) if method == "Deactivate" else GLib.Variant("(o)", (path,))

    def tell_subflows(self):
        """Two subflows of the first link and a number of others, as after Subscribe."""
        path = next(iter(self.links))
        addresses = ("192.0.2.10", 43210, "2001:db8::2", 443)
        for signal, arguments in (
            ("SubflowChanged", GLib.Variant("(ssqsqu)", ("established", *addresses, 0))),
            ("SubflowChanged", GLib.Variant("(ssqsqu)", ("closed", *addresses, 110))),
            ("SubflowsLeftOut", GLib.Variant("(u)", (7,))),
        ):
            self.bus.emit_signal(None, path, LINK, signal, arguments)

    def call(self, _connection, _sender, _path, _interface, method, parameters, invocation):
        """A method was called."""
        arguments = parameters.unpack()
        print(method, *arguments, file=self.log, flush=True)
        if "vanish" in arguments:
            self.loop.quit()
            return
        flags = invocation.get_message().get_flags()
        if "asked" in arguments and flags & Gio.DBusMessageFlags.ALLOW_INTERACTIVE_AUTHORIZATION:
            answer = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
        else:
            answer = self.reading(method, arguments) or self.changing(method, arguments)
        if isinstance(answer, str):
            invocation.return_dbus_error(answer, "the mock says no")
        else:
            invocation.return_value(answer)

    def get(self, _connection, _sender, path, _interface, name):
        """A property was asked for."""
        return self.properties(path).get(name)

    def run(self):
        """Serves until the bus goes away."""
        bus = self.bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
        bus.register_object(ROOT, self.interfaces[MANAGER], self.call, self.get, None)
        manager = Gio.DBusNodeInfo.new_for_xml(OBJECT_MANAGER).interfaces[0]
        bus.register_object(ROOT, manager, self.call, None, None)
        for path in self.links:
            bus.register_object(path, self.interfaces[LINK], self.call, self.get, None)
        Gio.bus_own_name_on_connection(bus, "org.underpass1", Gio.BusNameOwnerFlags.NONE, None, None)
        self.loop.run()


if __name__ == "__main__":
    assert os.environ.get("DBUS_SYSTEM_BUS_ADDRESS"), "never on the bus of the machine"
    with open(sys.argv[1], encoding="utf-8") as xml_file, open(
        sys.argv[2], "a", encoding="utf-8"
    ) as log_file:
        Mock(xml_file.read(), log_file, *sys.argv[3:5]).run()
