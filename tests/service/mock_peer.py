# SPDX-License-Identifier: GPL-2.0-or-later
"""What the stand-ins for NetworkManager and systemd-networkd have in common: a name on the private bus,
and answers that can be held back, replaced or spoilt. Lives in the process of the test."""

from gi.repository import Gio, GLib

BUS = "org.freedesktop.DBus"


class MockPeer:
    """A program that the service asks. Its calls are counted."""

    name = None  # on the bus

    def __init__(self, bus):
        self._bus = bus
        self._connection = None
        self.calls = []  # (method, what it was asked about)
        self.held = []  # answers that are not sent before release()
        self.hold = set()  # methods whose answers are held back
        self.mute = set()  # (method, what it is asked about): answers of these that are never sent
        self.spoilt = {}  # method: a variant to answer with, whatever it is, or the name of an error

    def _appear(self):
        """Takes the name. The objects must be registered on the connection before."""
        arguments = GLib.Variant("(su)", (self.name, 0))
        self._connection.call_sync(
            *(BUS, "/org/freedesktop/DBus", BUS, "RequestName", arguments, None), Gio.DBusCallFlags.NONE, -1
        )

    def stop(self):
        """Leaves the bus, without a word and without an answer to anybody."""
        self.held.clear()
        self._connection.close_sync()
        self._connection = None

    def flush(self):
        """Returns when the bus has all answers that were sent."""
        self._connection.flush_sync()

    def release(self):
        """Sends the answers that were held back."""
        held, self.held = self.held, []
        for answer in held:
            answer()

    def _subject(self, path, method, arguments):
        """What a call asks about."""
        raise NotImplementedError

    def _answer(self, method, subject):
        """A variant or the name of an error, as things are now."""
        raise NotImplementedError

    def _call(self, connection, _sender, path, _interface, method, parameters, invocation):
        if connection is not self._connection:
            return  # asked just before it went; what it knows now is another life's
        subject = self._subject(path, method, parameters.unpack())
        self.calls.append((method, subject))
        answer = self.spoilt[method] if method in self.spoilt else self._answer(method, subject)

        def send():
            if self._connection is None or self._connection.is_closed():
                return  # asked just before it went
            if isinstance(answer, str):
                invocation.return_dbus_error(answer, "the mock says no")
            else:
                reply = invocation.get_message().new_method_reply()
                reply.set_body(answer)
                self._connection.send_message(reply, Gio.DBusSendMessageFlags.NONE)

        if self.mute and (method, subject) in self.mute:  # a subject may be a dictionary elsewhere
            return
        if method in self.hold:
            self.held.append(send)
        else:
            send()
