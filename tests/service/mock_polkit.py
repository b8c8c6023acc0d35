# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of polkit as the service talks to, on a private bus. Lives in the process of the test."""

from gi.repository import Gio, GLib

from mock_peer import MockPeer

NAME = "org.freedesktop.PolicyKit1"
PATH = "/org/freedesktop/PolicyKit1/Authority"
AUTHORITY = NAME + ".Authority"

# What an action is answered with: is_authorized, is_challenge.
ALLOWED, REFUSED, CHALLENGE = (True, False), (False, False), (False, True)

XML = f"""<node>
<interface name="{AUTHORITY}">
 <method name="CheckAuthorization">
  <arg type="(sa{{sv}})" direction="in"/><arg type="s" direction="in"/><arg type="a{{ss}}" direction="in"/>
  <arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="(bba{{ss}})" direction="out"/>
 </method>
 <method name="CancelCheckAuthorization"><arg type="s" direction="in"/></method>
</interface>
</node>"""


class MockPolkit(MockPeer):
    """polkitd. Its calls are (method, arguments)."""

    name = NAME

    def __init__(self, bus):
        super().__init__(bus)
        self.answers = {}  # action: ALLOWED, REFUSED or CHALLENGE; what is missing is refused

    def start(self):
        """Comes on the bus."""
        self._connection = self._bus.connect()
        interface = Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0]
        self._connection.register_object(PATH, interface, self._call, None, None)
        self._appear()

    def asked(self):
        """The questions so far: (subject, action, details, flags, cancellation)."""
        return [arguments for method, arguments in self.calls if method == "CheckAuthorization"]

    def taken_back(self):
        """The questions that were taken back so far, by their cancellation."""
        return [arguments[0] for method, arguments in self.calls if method == "CancelCheckAuthorization"]

    def _subject(self, path, method, arguments):
        return arguments

    def _answer(self, method, subject):
        if method == "CancelCheckAuthorization":
            return GLib.Variant("()", ())
        authorized, challenge = self.answers.get(subject[1], REFUSED)
        return GLib.Variant("((bba{ss}))", ((authorized, challenge, {"some.detail": "x"}),))
