# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of systemd-networkd as the service talks to, on a private bus: links, their .network files, their
states, and the faults that the tests need. Lives in the process of the test."""

import json

from gi.repository import Gio, GLib

from mock_peer import MockPeer

NAME = "org.freedesktop.network1"
PATH = "/org/freedesktop/network1"
MANAGER = NAME + ".Manager"
LINK = NAME + ".Link"

XML = f"""<node>
<interface name="{MANAGER}">
 <method name="DescribeLink"><arg type="i" direction="in"/><arg type="s" direction="out"/></method>
</interface>
</node>"""


class MockNetworkd(MockPeer):
    """networkd."""

    name = NAME

    def __init__(self, bus):
        super().__init__(bus)
        self.links = {}  # ifindex: what DescribeLink says beyond the number, a dictionary
        self._info = Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0]

    def start(self):
        """Comes on the bus."""
        self._connection = self._bus.connect()
        self._connection.register_object(PATH, self._info, self._call, None, None)
        self._appear()

    def manage(self, ifindex, file, state="configured", dropins=()):
        """The link has this .network file from now on; nobody is told."""
        self.links[ifindex] = {
            "AdministrativeState": state,
            "OperationalState": "routable",
            "NetworkFile": str(file),
            "NetworkFileDropins": [str(dropin) for dropin in dropins],
        }

    def release_link(self, ifindex, state="unmanaged"):
        """The link has no file from now on; nobody is told."""
        self.links[ifindex] = {"AdministrativeState": state, "OperationalState": "carrier"}

    def prepare(self, ifindex):
        """Makes the answer about a link now, for all that ask: a busy machine may need longer for a large one than the service
        waits."""
        self.spoilt["DescribeLink"] = self._answer("DescribeLink", ifindex)

    def signal(self, ifindex, prop="AdministrativeState", path=None):
        """PropertiesChanged of a link."""
        number = "".join(
            f"_{ord(each):02x}" if place == 0 else each for place, each in enumerate(str(ifindex))
        )
        value = self.links.get(ifindex, {}).get(prop, "routable")
        arguments = GLib.Variant("(sa{sv}as)", (LINK, {prop: GLib.Variant("s", value)}, []))
        self._connection.emit_signal(
            None,
            path or f"{PATH}/link/{number}",
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            arguments,
        )

    def _subject(self, path, method, arguments):
        return arguments[0]

    def _answer(self, method, subject):
        if subject not in self.links:
            return "org.freedesktop.DBus.Error.InvalidArgs"  # "Link 7 not known"
        return GLib.Variant("(s)", (json.dumps({"Index": subject, "Name": "x", **self.links[subject]}),))
