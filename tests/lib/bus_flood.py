#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls a method of the service without end, as fast as the bus takes it: bus_flood.py CONNECTIONS [INTERFACE.]MEMBER [STRING…].
Without an interface it is one of the manager. Prints a line for each thousand answers with the names of the errors so far. Runs inside
a host; touches nothing but the bus."""

import collections
import sys

from gi.repository import Gio, GLib

OUTSTANDING = 100  # calls of a connection that are not answered; the bus allows 128
TIMEOUT_MS = 60_000


def main():
    """Opens the connections and serves them."""
    connections, method, *strings = sys.argv[1:]
    interface, _, member = method.rpartition(".")
    arguments = GLib.Variant(f"({'s' * len(strings)})", strings) if strings else None
    answers = collections.Counter()

    def send(connection):
        connection.call(
            *("org.underpass1", "/org/underpass1", interface or "org.underpass1.Manager", member, arguments, None),
            *(Gio.DBusCallFlags.NONE, TIMEOUT_MS, None, answered),
        )

    def answered(connection, result):
        try:
            connection.call_finish(result)
            answers["ok"] += 1
        except GLib.Error as error:
            answers[Gio.DBusError.get_remote_error(error) or error.message] += 1
        if answers.total() % 1000 == 0:
            print(dict(answers), flush=True)
        send(connection)

    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    address = Gio.dbus_address_get_for_bus_sync(Gio.BusType.SYSTEM, None)
    for _ in range(int(connections)):
        connection = Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
        for _ in range(OUTSTANDING):
            send(connection)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
