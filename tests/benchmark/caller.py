#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls the service and measures how long that takes: runs in a host of the rig, stays connected to its bus,
takes lines "METHOD [INTERFACE]" on standard input and answers each with the milliseconds from the call to
the answer. May touch: the bus of its host."""

import sys
import time

from gi.repository import Gio, GLib

NAME, ROOT, MANAGER = "org.underpass1", "/org/underpass1", "org.underpass1.Manager"


def main():
    """Serves until standard input ends."""
    bus = Gio.bus_get_sync(Gio.BusType.SYSTEM, None)
    print("ready", flush=True)
    for line in sys.stdin:
        method, *words = line.split()
        arguments = GLib.Variant("(s)", words) if words else None
        begin = time.monotonic()
        try:
            bus.call_sync(NAME, ROOT, MANAGER, method, arguments, None, Gio.DBusCallFlags.NONE, 20000, None)
        except GLib.Error as error:
            print(f"error: {error.message}", flush=True)
            continue
        print(f"{(time.monotonic() - begin) * 1000:.3f}", flush=True)


if __name__ == "__main__":
    main()
