# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of systemd-networkd as the service talks to, on a private bus: links, their .network files, their
states, and the faults that the tests need. Lives in the process of the test."""

import json

from gi.repository import Gio, GLib

NAME = "org.freedesktop.network1"
PATH = "/org/freedesktop/network1"
MANAGER = NAME + ".Manager"
LINK = NAME + ".Link"

XML = f"""<node>
<interface name="{MANAGER}">
 <method name="DescribeLink"><arg type="i" direction="in"/><arg type="s" direction="out"/></method>
</interface>
</node>"""


class MockNetworkd:
    """networkd. Its calls are counted; answers can be held back, replaced or spoilt."""

    def __init__(self, bus):
        self._bus = bus
        self._connection = None
        self.links = {}  # ifindex: what DescribeLink says beyond the number, a dictionary
        self.calls = []  # numbers of links that were asked about
        self.held = []  # answers that are not sent before release()
        self.hold = False
        self.spoilt = None  # a variant to answer with, whatever it is, or the name of an error
        self._info = Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0]

    def start(self):
        """Comes on the bus."""
        self._connection = self._bus.connect()
        self._connection.register_object(PATH, self._info, self._call, None, None)
        self._connection.call_sync(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "RequestName",
            GLib.Variant("(su)", (NAME, 0)),
            None,
            Gio.DBusCallFlags.NONE,
            -1,
        )

    def stop(self):
        """Leaves the bus, without a word and without an answer to anybody."""
        self.held.clear()
        self._connection.close_sync()
        self._connection = None

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

    def release(self):
        """Sends the answers that were held back."""
        held, self.held = self.held, []
        for answer in held:
            answer()

    def _call(self, _connection, _sender, _path, _interface, _method, parameters, invocation):
        ifindex = parameters.unpack()[0]
        self.calls.append(ifindex)
        answer = self._answer(ifindex)

        def send():
            if self._connection is None or self._connection.is_closed():
                return  # asked just before it went
            if isinstance(answer, str):
                invocation.return_dbus_error(answer, "the mock says no")
            else:
                reply = invocation.get_message().new_method_reply()
                reply.set_body(answer)
                self._connection.send_message(reply, Gio.DBusSendMessageFlags.NONE)

        if self.hold:
            self.held.append(send)
        else:
            send()

    def _answer(self, ifindex):
        """A variant or the name of an error, as things are now."""
        if self.spoilt is not None:
            return self.spoilt
        if ifindex not in self.links:
            return "org.freedesktop.DBus.Error.InvalidArgs"  # "Link 7 not known"
        return GLib.Variant("(s)", (json.dumps({"Index": ifindex, "Name": "x", **self.links[ifindex]}),))
