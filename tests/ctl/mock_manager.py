#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of NetworkManager as libnm needs to edit one profile, with the fault that the tests need: user.data is
lost.

Usage: mock_manager.py LOG [KEY=VALUE…] [vpn.KEY=VALUE…]      with DBUS_SYSTEM_BUS_ADDRESS set; LOG gets one line for
each Update2. An update that sets underpass.mss to 1111 fails. With vpn.KEY=VALUE there is a tunnel profile, too.
"""

import os
import sys

from gi.repository import Gio, GLib

NAME = "org.freedesktop.NetworkManager"
ROOT = "/org/freedesktop"
MANAGER_PATH = ROOT + "/NetworkManager"
SETTINGS_PATH = MANAGER_PATH + "/Settings"
PROFILE_PATH = SETTINGS_PATH + "/1"
TUNNEL_PATH = SETTINGS_PATH + "/2"

XML = f"""<node>
<interface name="org.freedesktop.DBus.ObjectManager">
 <method name="GetManagedObjects"><arg type="a{{oa{{sa{{sv}}}}}}" direction="out"/></method>
</interface>
<interface name="{NAME}">
 <property name="Devices" type="ao" access="read"/>
 <property name="AllDevices" type="ao" access="read"/>
 <property name="ActiveConnections" type="ao" access="read"/>
 <property name="Version" type="s" access="read"/>
 <property name="State" type="u" access="read"/>
 <method name="GetPermissions"><arg type="a{{ss}}" direction="out"/></method>
</interface>
<interface name="{NAME}.Settings">
 <property name="Connections" type="ao" access="read"/>
 <property name="CanModify" type="b" access="read"/>
 <method name="ListConnections"><arg type="ao" direction="out"/></method>
</interface>
<interface name="{NAME}.Settings.Connection">
 <property name="Unsaved" type="b" access="read"/>
 <property name="Flags" type="u" access="read"/>
 <property name="Filename" type="s" access="read"/>
 <method name="GetSettings"><arg type="a{{sa{{sv}}}}" direction="out"/></method>
 <method name="Update2">
  <arg type="a{{sa{{sv}}}}" direction="in"/>
  <arg type="u" direction="in"/>
  <arg type="a{{sv}}" direction="in"/>
  <arg type="a{{sv}}" direction="out"/>
 </method>
</interface>
</node>"""

PROPERTIES = {
    MANAGER_PATH: {
        NAME: {
            "Devices": GLib.Variant("ao", []),
            "AllDevices": GLib.Variant("ao", []),
            "ActiveConnections": GLib.Variant("ao", []),
            "Version": GLib.Variant("s", "1.42.4"),
            "State": GLib.Variant("u", 20),
        }
    },
    SETTINGS_PATH: {
        NAME
        + ".Settings": {
            "Connections": GLib.Variant("ao", [PROFILE_PATH]),
            "CanModify": GLib.Variant("b", True),
        }
    },
    PROFILE_PATH: {
        NAME
        + ".Settings.Connection": {
            "Unsaved": GLib.Variant("b", False),
            "Flags": GLib.Variant("u", 0),
            "Filename": GLib.Variant("s", "/run/netplan/lte.nmconnection"),
        }
    },
}
SETTINGS = {
    "connection": {
        "id": GLib.Variant("s", "LTE"),
        "type": GLib.Variant("s", "802-3-ethernet"),
        "uuid": GLib.Variant("s", "11111111-2222-3333-4444-555555555555"),
    },
    "802-3-ethernet": {},
}
TUNNEL = {
    "connection": {
        "id": GLib.Variant("s", "Filtered tunnel"),
        "type": GLib.Variant("s", "vpn"),
        "uuid": GLib.Variant("s", "66666666-2222-3333-4444-555555555555"),
    },
    "vpn": {"service-type": GLib.Variant("s", NAME + ".underpass")},
}


def main():
    """Serves until the bus goes away."""
    interfaces = {interface.name: interface for interface in Gio.DBusNodeInfo.new_for_xml(XML).interfaces}

    def answer(method, path, parameters):
        if method == "GetManagedObjects":
            return GLib.Variant("(a{oa{sa{sv}}})", (PROPERTIES,))
        if method == "GetPermissions":
            return GLib.Variant("(a{ss})", ({},))
        if method == "ListConnections":
            return GLib.Variant("(ao)", (PROPERTIES[SETTINGS_PATH][NAME + ".Settings"]["Connections"].unpack(),))
        if method == "GetSettings":
            return GLib.Variant("(a{sa{sv}})", (TUNNEL if path == TUNNEL_PATH else SETTINGS,))
        settings, flags, _ = parameters.unpack()
        data = settings["user"]["data"]
        print(f"{method} keys={len(data)} flags={flags}", file=log, flush=True)
        return None if data.get("underpass.mss") == "1111" else GLib.Variant("(a{sv})", ({},))

    def call(_connection, _sender, path, _interface, method, parameters, invocation):
        value = answer(method, path, parameters)
        if value is None:
            invocation.return_dbus_error(
                "org.freedesktop.NetworkManager.Settings.Failed", "the disk is full"
            )
        else:
            invocation.return_value(value)

    def get(_connection, _sender, path, interface, name):
        return PROPERTIES[path][interface][name]

    bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
    bus.register_object(ROOT, interfaces["org.freedesktop.DBus.ObjectManager"], call, None, None)
    for path, exported in PROPERTIES.items():
        for interface in exported:
            bus.register_object(path, interfaces[interface], call, get, None)
    Gio.bus_own_name_on_connection(
        bus, NAME, Gio.BusNameOwnerFlags.NONE, lambda *_: print("ready", flush=True), None
    )
    GLib.MainLoop().run()


if __name__ == "__main__":
    assert os.environ.get("DBUS_SYSTEM_BUS_ADDRESS"), "never on the bus of the machine"
    PAIRS = dict(pair.split("=", 1) for pair in sys.argv[2:])
    VPN = {key.removeprefix("vpn."): value for key, value in PAIRS.items() if key.startswith("vpn.")}
    USER = {key: value for key, value in PAIRS.items() if not key.startswith("vpn.")}
    if USER:
        SETTINGS["user"] = {"data": GLib.Variant("a{ss}", USER)}
    if VPN:
        TUNNEL["vpn"]["data"] = GLib.Variant("a{ss}", VPN)
        PROPERTIES[TUNNEL_PATH] = PROPERTIES[PROFILE_PATH]
        PROPERTIES[SETTINGS_PATH][NAME + ".Settings"]["Connections"] = GLib.Variant("ao", [PROFILE_PATH, TUNNEL_PATH])
    with open(sys.argv[1], "a", encoding="utf-8") as log:
        main()
