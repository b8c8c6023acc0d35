# SPDX-License-Identifier: GPL-2.0-or-later
"""The service and its command inside hosts: profiles, states of links, the process. Asks over the bus and
/proc."""

import json
import os
import pathlib
import re
import signal
import subprocess

import runner
from host import children, running, wait_until
from lab import PORT

BUS_NAME = "org.underpass1"
MANAGER = "/org/underpass1"
ACTIVE = "active"


def busctl(host, *words, check=True):
    """Calls busctl; the parsed answer."""
    text = host.run("busctl", "--json=short", "--timeout=55", *words, check=check).stdout  # slow guests
    return json.loads(text) if text else None


def manager_call(host, method, *arguments):
    """Calls a method of the manager: manager_call(host, "Activate", "s", "c0")."""
    return busctl(host, "call", BUS_NAME, MANAGER, BUS_NAME + ".Manager", method, *arguments)


def link(host, interface):
    """All properties of a link, by name."""
    path = manager_call(host, "GetLink", "s", interface)["data"][0]
    answer = busctl(
        host, "call", BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll", "s", BUS_NAME + ".Link"
    )
    return {name: value["data"] for name, value in answer["data"][0].items()}


def wait_state(host, interface, expected, seconds=5.0):
    """Waits until a link is in a state; its properties."""
    last = {}

    def reached():
        last.clear()
        last.update(link(host, interface))
        return last["State"] == expected

    try:
        wait_until(reached, "state", seconds)
    except TimeoutError:
        raise AssertionError(
            f"{host.name}: {interface} is {last['State']!r} after {seconds:g} s, not {expected!r}: "
            f"{last['Reason']} {last['LastStage']} {last['LastError']}"
        ) from None
    return last


def need_kind(host, kind, interface):
    """Skips the test where the kernel has no such segmentation device, which the service has to say."""
    found = link(host, interface)
    if found["State"] == "failed":
        assert f"{kind}: the kernel has none" in found["LastError"], found["LastError"]
        raise runner.Skip(f"this kernel has no {kind}")


def set_keys(host, profile, *pairs, options=(), check=True):
    """underpassctl profile set."""
    return host.run("underpassctl", "profile", "set", *options, profile, *pairs, check=check)


def set_tunnels(lab, *more, endpoints="NetworkManager"):
    """Sets the tunnel in all three profiles; more: pairs for those of the client. endpoints: who registers
    the MPTCP endpoints of the client, "NetworkManager" or "Underpass"."""
    for profile in ("first", "second"):
        pairs = ["tunnel=yes", f"remote-ports={PORT}", *more]
        if endpoints == "Underpass":
            lab.client.run("nmcli", "connection", "modify", profile, "connection.mptcp-flags", "disabled")
            pairs.append("mptcp-endpoint=subflow")
        set_keys(lab.client, profile, *pairs)
    set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}")


def bring_up(lab, *profiles):
    """Brings up these profiles of the client (both unless told otherwise), and the server's. A link that is to have a
    tunnel has it then, or an error: on a slow machine the dispatcher script gives up before the service is there."""
    chosen = [(lab.server, "server"), *((lab.client, profile) for profile in profiles or ("first", "second"))]
    for host, profile in chosen:
        host.up(profile)
    for host, profile in chosen:
        text = host.path(f"/etc/NetworkManager/system-connections/{profile}.nmconnection").read_text()
        if re.search("(?m)^underpass.tunnel=(?!no$)", text):
            interface = re.search("(?m)^interface-name=(.*)", text)[1]
            wait_until(lambda name=interface, where=host: link(where, name)["State"] != "off", f"{profile} is seen")


def set_options(host, *options):
    """The options that the service gets when the bus starts it the next time."""
    path = "/usr/share/dbus-1/system-services/org.underpass1.service"
    lines = host.path(path).read_text().splitlines()
    lines = [" ".join([line.split()[0], *options]) if line.startswith("Exec=") else line for line in lines]
    host.write(path, "\n".join(lines) + "\n")
    bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
    busctl(host, "call", *bus, "ReloadConfig")


def set_environment(host, **variables):
    """The environment variables, and no options, that the service gets when the bus starts it the next
    time."""
    words = [f"{name}={value}" for name, value in variables.items()]
    path = "/usr/share/dbus-1/system-services/org.underpass1.service"
    text = host.path(path).read_text()
    daemon = next(word for word in text.replace("=", " ").split() if word.endswith("/underpassd"))
    lines = [
        " ".join(["Exec=/usr/bin/env", *words, daemon]) if line.startswith("Exec=") else line
        for line in text.splitlines()
    ]
    host.write(path, "\n".join(lines) + "\n")
    bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
    busctl(host, "call", *bus, "ReloadConfig")


def add_options(host, *options):
    """Options in addition to what set_environment() has set."""
    path = "/usr/share/dbus-1/system-services/org.underpass1.service"
    text = re.sub("(?m)^Exec=.*", lambda found: " ".join([found[0], *options]), host.path(path).read_text())
    host.write(path, text)
    bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
    busctl(host, "call", *bus, "ReloadConfig")


def manager_property(host, name):
    """One property of the manager."""
    return busctl(host, "get-property", BUS_NAME, MANAGER, BUS_NAME + ".Manager", name)["data"]


def pid(host):
    """Process id of the service, 0 when it does not run."""
    return (host.pids("underpassd") or [0])[0]


def owner(host):
    """The connection to the bus that has the name of the service; None when none has."""
    words = ["org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetNameOwner", "s", BUS_NAME]
    return busctl(host, "call", *words, check=False)


def kill(host, number=signal.SIGKILL):
    """Ends the service with a signal and waits until the bus, too, knows of its end: before, it would give the dead
    one the next call."""
    victim = pid(host)
    assert victim, f"{host.name}: the service does not run"
    before = owner(host)
    os.kill(victim, number)
    wait_until(lambda: not running(victim), f"{host.name}: the service ends")
    wait_until(lambda: not before or owner(host) != before, f"{host.name}: the bus knows of the service's end")


def resident_kilobytes(host):
    """Resident memory of the service."""
    for line in pathlib.Path(f"/proc/{pid(host)}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"{host.name}: the service does not run")


def descriptors(host):
    """How many files the service has open."""
    return len(os.listdir(f"/proc/{pid(host)}/fd"))


def counters(host, interface):
    """Counters of a link."""
    return link(host, interface)["Counters"]


class CallTimes:
    """Times of the method calls on the bus of a host, from call to reply as the bus saw them. A context
    manager."""

    def __init__(self, host, member):
        self.host = host
        self.member = member
        self._path = host.folder / "log" / "calls.log"
        self._process = None

    def __enter__(self):
        with open(self._path, "wb") as log:
            self._process = self.host.spawn(
                [
                    "dbus-monitor",
                    "--system",
                    "--profile",
                    f"type=method_call,member={self.member}",
                    "type=method_return",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        def listens():
            self.host.run("busctl", "list")  # gives the monitor something to hear
            return b"\nmr" in self._path.read_bytes()

        wait_until(listens, "dbus-monitor listens")
        return self

    def __exit__(self, *_):
        for child in children(self._process.pid):
            os.kill(child, signal.SIGTERM)
        self._process.wait(timeout=10)

    def times(self):
        """Milliseconds of each answered call."""
        calls, found = {}, []
        for line in self._path.read_text().splitlines():
            words = line.split()
            if words and words[0] == "mc" and words[-1] == self.member:
                calls[(words[3], words[2])] = float(words[1])  # (caller, serial)
            elif words and words[0] == "mr":
                begin = calls.pop((words[4], words[-1]), None)  # (destination, serial of the call)
                if begin is not None:
                    found.append((float(words[1]) - begin) * 1000)
        return found
