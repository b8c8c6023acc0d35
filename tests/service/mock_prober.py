# SPDX-License-Identifier: GPL-2.0-or-later
"""The prober as the service asks it, on a private bus; it sends no packet. Lives in the process of the test."""

from gi.repository import Gio, GLib

from mock_peer import MockPeer

NAME = "org.underpass1.Prober"
PATH = "/org/underpass1/Prober"
ANSWER = (
    [("tcp", "answered", 1500, "", 0), ("mptcp", "answered", 1600, "", 0), ("udp", "mptcp", 1700, "", 0)],
    {"mtu": 1500, "mtu-there": 1400, "mtu-lost": 1500, "mtu-back": 1400, "mss": 1448, "packets": 11, "speaks-underpass": 1},
)
SIGNATURE = "(a(ssusu)a{su})"

XML = f"""<node>
<interface name="{NAME}">
 <method name="Ask">
  <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="q" direction="in"/><arg type="b" direction="in"/>
  <arg type="a(ssusu)" direction="out"/><arg type="a{{su}}" direction="out"/>
 </method>
 <method name="Cancel"><arg type="s" direction="in"/></method>
</interface>
</node>"""


class MockProber(MockPeer):
    """underpass-prober. Its calls are ("Ask" or "Cancel", arguments)."""

    name = NAME

    def start(self):
        """Comes on the bus."""
        self._connection = self._bus.connect()
        interface = Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0]
        self._connection.register_object(PATH, interface, self._call, None, None)
        self._appear()

    def _subject(self, path, method, arguments):
        return arguments

    def _answer(self, method, subject):
        return GLib.Variant(SIGNATURE, ANSWER) if method == "Ask" else GLib.Variant("()", ())
