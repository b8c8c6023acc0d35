# SPDX-License-Identifier: GPL-2.0-or-later
"""A private message bus: a dbus-daemon of its own in a folder of the test, where everybody may do
everything unless the test has other rules. May touch: that folder and the daemon."""

import pathlib
import subprocess

from gi.repository import Gio

CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
 <listen>unix:path={folder}/bus</listen>
 <auth>EXTERNAL</auth>
 <servicedir>{folder}/services</servicedir>
{rules}
</busconfig>
"""

EVERYTHING = """ <policy context="default">
  <allow user="*"/>
  <allow send_destination="*" eavesdrop="true"/>
  <allow eavesdrop="true"/>
  <allow own="*"/>
 </policy>"""


class Bus:
    """A dbus-daemon at a fixed address, which can be stopped and started. rules: elements of its
    configuration."""

    def __init__(self, folder, rules=EVERYTHING):
        self.folder = pathlib.Path(folder)
        self.socket = self.folder / "bus"
        self.address = f"unix:path={self.socket}"
        self._daemon = None
        (self.folder / "services").mkdir()
        (self.folder / "bus.conf").write_text(CONFIGURATION.format(folder=self.folder, rules=rules))

    def add_service(self, name, *command):
        """The bus starts this command when somebody calls the name; the command finds the bus in its
        environment."""
        words = ["/usr/bin/env", f"DBUS_SYSTEM_BUS_ADDRESS={self.address}", *(str(word) for word in command)]
        (self.folder / "services" / f"{name}.service").write_text(
            f"[D-BUS Service]\nName={name}\nExec={' '.join(words)}\n"
        )

    def start(self):
        """Starts the daemon; it listens when this returns."""
        self._daemon = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self.folder}/bus.conf", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._daemon.stdout.readline(), "dbus-daemon does not start"

    def stop(self):
        """Ends the daemon, and with it every connection."""
        self._daemon.terminate()
        self._daemon.wait()
        self._daemon.stdout.close()
        self.socket.unlink(missing_ok=True)

    def connect(self):
        """A new connection."""
        connection = Gio.DBusConnection.new_for_address_sync(
            self.address,
            Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION,
            None,
            None,
        )
        connection.set_exit_on_close(False)
        return connection
