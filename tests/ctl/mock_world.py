#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-ins for systemd and NetworkManager, as far as "underpassctl check" asks them.

Usage: mock_world.py STATE LOG  with DBUS_SYSTEM_BUS_ADDRESS set. LOG gets a line "METHOD PATH WORD…" for each call, and
for each property that is read. STATE is what systemd says of the unit file of the
service ("enabled" …), "missing" when there is none. NetworkManager manages the link "idle0", on which no connection
is active; the connection "Office" is for it and asks for a tunnel, "Hotel" has a tunnel profile, "Home" says
tunnel=no. "Ghost" is for a link that is not there, so is "wlan0", which is the name of another one, and two are called
"Twin". "Loop" is active on lo. The connection with the UUID that MIRROR says is one of a device that others have set up. Prints "ready".
"""

import os
import sys

from gi.repository import Gio, GLib

SYSTEMD = "org.freedesktop.systemd1"
NM = "org.freedesktop.NetworkManager"
PATH = "/org/freedesktop/NetworkManager"
OBJECTS = {
    "/org/freedesktop/systemd1": f"""<node><interface name="{SYSTEMD}.Manager">
 <method name="GetUnitFileState"><arg type="s" direction="in"/><arg type="s" direction="out"/></method>
</interface></node>""",
    PATH: f"""<node><interface name="{NM}">
 <method name="GetDeviceByIpIface"><arg type="s" direction="in"/><arg type="o" direction="out"/></method>
 <property name="ActiveConnections" type="ao" access="read"/></interface></node>""",
    f"{PATH}/ActiveConnection/A": f"""<node><interface name="{NM}.Connection.Active">
 <property name="Uuid" type="s" access="read"/><property name="Devices" type="ao" access="read"/></interface></node>""",
    f"{PATH}/Devices/4": f"""<node><interface name="{NM}.Device">
 <property name="Interface" type="s" access="read"/></interface></node>""",
    f"{PATH}/Settings": f"""<node><interface name="{NM}.Settings">
 <method name="ListConnections"><arg type="ao" direction="out"/></method>
 <method name="GetConnectionByUuid"><arg type="s" direction="in"/><arg type="o" direction="out"/></method>
</interface></node>""",
    f"{PATH}/Devices/3": f"""<node><interface name="{NM}.Device">
 <property name="Managed" type="b" access="read"/><property name="ActiveConnection" type="o" access="read"/>
 <property name="AvailableConnections" type="ao" access="read"/></interface></node>""",
    f"{PATH}/Settings/1": None,
    f"{PATH}/Settings/2": None,
    f"{PATH}/Settings/3": None,
    f"{PATH}/Settings/4": None,
    f"{PATH}/Settings/5": None,
    f"{PATH}/Settings/6": None,
    f"{PATH}/Settings/7": None,
    f"{PATH}/Settings/8": None,
    f"{PATH}/Settings/9": None,
    f"{PATH}/Settings/A": None,
}
CONNECTION = f"""<node><interface name="{NM}.Settings.Connection">
 <method name="GetSettings"><arg type="a{{sa{{sv}}}}" direction="out"/></method>
 <property name="Flags" type="u" access="read"/></interface></node>"""
PROFILES = [f"{PATH}/Settings/{number}" for number in "12346789A"]
MIRROR = "77777777-2222-3333-4444-555555555555"
NAMES = {"1": "Office", "2": "Home", "3": "Hotel", "4": "Hotel-tunnel", "6": "Ghost", "7": "Twin", "8": "Twin", "9": "wlan0", "A": "Loop"}
INTERFACES = {"6": "gone9", "9": "gone9", "A": ""}
DEVICE = {
    "Managed": GLib.Variant("b", True),
    "ActiveConnection": GLib.Variant("o", "/"),
    "AvailableConnections": GLib.Variant("ao", PROFILES[:3]),
    "ActiveConnections": GLib.Variant("ao", [f"{PATH}/ActiveConnection/A"]),
    "Uuid": GLib.Variant("s", "uuidA"),
    "Devices": GLib.Variant("ao", [f"{PATH}/Devices/4"]),
    "Interface": GLib.Variant("s", "lo"),
}


def settings(path):
    """Settings of a connection."""
    ours = path.endswith("1")
    connection = {"id": NAMES[path[-1]], "uuid": f"uuid{path[-1]}", "interface-name": INTERFACES.get(path[-1], "idle0")}
    if NAMES[path[-1]] == "Ghost":
        ours = True
    data = {"underpass.tunnel": "yes" if ours else "no", "other.key": "1"}
    if NAMES[path[-1]] == "Hotel-tunnel":
        connection["interface-name"] = ""
        vpn = {"link": "Hotel", "tunnel": "yes", "remote-ports": "443"}
        return {
            "connection": {key: GLib.Variant("s", value) for key, value in connection.items()},
            "vpn": {
                "service-type": GLib.Variant("s", f"{NM}.underpass"),
                "data": GLib.Variant("a{ss}", vpn),
            },
        }
    return {
        "connection": {key: GLib.Variant("s", value) for key, value in connection.items()},
        "user": {"data": GLib.Variant("a{ss}", data)},
    }


def flags(path):
    """NetworkManager has made them itself, but only the last one mirrors what was there."""
    return GLib.Variant("u", 0x0F if path.endswith("5") else 0x03)


def note(log, *words):
    """What was asked."""
    print(*words, file=log, flush=True)


def read(log, path, name):
    """The value of a property."""
    note(log, name, path)
    return flags(path) if name == "Flags" else DEVICE[name]


def answer(state, log, path, method, words, invocation):
    """Answers one call."""
    note(log, method, path, *words)
    if method == "GetUnitFileState":
        if state == "missing" or words[0] != "underpass.service":
            invocation.return_dbus_error("org.freedesktop.DBus.Error.FileNotFound", "no such file")
        else:
            invocation.return_value(GLib.Variant("(s)", (state,)))
    elif method == "GetDeviceByIpIface":
        if words[0] == "idle0":
            invocation.return_value(GLib.Variant("(o)", (f"{PATH}/Devices/3",)))
        else:
            invocation.return_dbus_error(f"{NM}.UnknownDevice", "no such device")
    elif method == "GetConnectionByUuid":
        number = 5 if words[0] == MIRROR else 1
        invocation.return_value(GLib.Variant("(o)", (f"{PATH}/Settings/{number}",)))
    elif method == "ListConnections":
        invocation.return_value(GLib.Variant("(ao)", (PROFILES,)))
    else:
        invocation.return_value(GLib.Variant("(a{sa{sv}})", (settings(path),)))


def main():
    """Serves until it is killed."""
    state = sys.argv[1]
    log = open(sys.argv[2], "a", encoding="utf-8")  # pylint: disable=consider-using-with
    bus = Gio.DBusConnection.new_for_address_sync(
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"],
        Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION,
        None,
        None,
    )
    for path, xml in OBJECTS.items():
        interface = Gio.DBusNodeInfo.new_for_xml(xml or CONNECTION).interfaces[0]
        bus.register_object(
            path,
            interface,
            lambda _bus, _sender, path, _interface, method, words, invocation: answer(
                state, log, path, method, words.unpack(), invocation
            ),
            lambda _bus, _sender, path, _interface, name: read(log, path, name),
            None,
        )
    for name in (SYSTEMD, NM):
        Gio.bus_own_name_on_connection(bus, name, Gio.BusNameOwnerFlags.NONE, None, None)
    bus.flush_sync()
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
