# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd-networkd in hosts of the lab, beside NetworkManager or in its place: the real one, its .network
files and drop-ins. May touch: files, daemons and mounts of the host."""

import contextlib
import json
import signal

import runner
import service
from host import CommandError, wait_until
from lab import PORT, address

FOLDER = "/etc/systemd/network"
PROGRAM = "/lib/systemd/systemd-networkd"
UPLINKS = ("c0", "c1")
METRICS = {"c0": 100, "c1": 200, "s0": 100}
# What a profile says: by interface, lines of [X-Underpass].
CLIENT = ("Tunnel=yes", f"RemotePorts={PORT}")
SERVER = ("Tunnel=yes", f"LocalPorts={PORT}")


def file_of(interface):
    """Path of the .network file of an interface."""
    return f"{FOLDER}/10-{interface}.network"


def section(lines):
    """Text of a section [X-Underpass]; "" without lines."""
    return "\n".join(["[X-Underpass]", *lines, ""]) if lines else ""


def network(interface, *lines, manage=True):
    """Text of a .network file for an interface of the lab, with these lines in [X-Underpass]. manage: False
    for one that tells networkd to leave the interface alone."""
    head = ["[Match]", f"Name={interface}", "[Network]", "LinkLocalAddressing=ipv6", "IPv6AcceptRA=no"]
    for family in (4, 6):
        length = 24 if family == 4 else 64
        head += ["[Address]", f"Address={address(interface, family)}/{length}"]
        head += ["[Route]", f"Gateway={address(interface, family, router=True)}"]
        head += [f"Metric={METRICS[interface]}"]
    if not manage:
        head += ["[Link]", "Unmanaged=yes"]
    return "\n".join(head + [section(lines)])


def write(host, interface, *lines, manage=True):
    """Writes the .network file of an interface; networkd is not told."""
    host.write(file_of(interface), network(interface, *lines, manage=manage))


def write_dropin(host, interface, *lines, name="underpass.conf", folder=FOLDER):
    """Writes a drop-in with these lines in [X-Underpass]; its path."""
    path = f"{folder}/10-{interface}.network.d/{name}"
    host.write(path, section(lines))
    return path


def prepare(host):
    """Makes the host's own folders."""
    if host.run("mountpoint", "-q", FOLDER, check=False).returncode != 0:
        host.run("mount", "-t", "tmpfs", "-o", "mode=755", "networkd", FOLDER)
    owner = ("-o", "systemd-network", "-g", "systemd-network")
    folders = [f"/run/systemd/netif{each}" for each in ("", "/links", "/leases", "/lldp")]
    host.run("install", "-d", *owner, *folders)
    host.run("mkdir", "-p", "/run/systemd/network")


def start(host):
    """Starts networkd and waits until it answers."""
    host.start_daemon("networkd", [PROGRAM])
    wait_until(
        lambda: host.run("networkctl", "list", "--no-pager", check=False).returncode == 0,
        f"{host.name}: networkd answers",
    )


def stop(host, number=signal.SIGTERM):
    """Ends networkd."""
    host.stop_daemon("networkd", number)


def reload(host):
    """networkctl reload."""
    host.run("networkctl", "reload")


def describe(host, interface):
    """What networkd says about a link, or {} while it knows nothing of it."""
    index = int(host.output("cat", f"/sys/class/net/{interface}/ifindex"))
    name, path = "org.freedesktop.network1", "/org/freedesktop/network1"
    try:
        answer = service.busctl(host, "call", name, path, name + ".Manager", "DescribeLink", "i", str(index))
    except CommandError:
        return {}
    return json.loads(answer["data"][0])


def wait_configured(host, interface):
    """Waits until networkd has done its work on a link."""
    wait_until(
        lambda: describe(host, interface).get("AdministrativeState") == "configured",
        f"{host.name}: {interface} is configured",
    )


def start_host(host, **profiles):
    """Starts bus and networkd on a host. profiles: by interface, lines of [X-Underpass]."""
    prepare(host)
    for interface, lines in profiles.items():
        write(host, interface, *lines)
    host.start_bus()
    start(host)
    for interface in profiles:
        wait_configured(host, interface)


def start_service(host, *active):
    """Starts the service as it is started at boot, and waits until these links have their tunnel."""
    service.manager_call(host, "ListLinks")
    for interface in active:
        service.wait_state(host, interface, service.ACTIVE)


def start_both(hosts, *more):
    """Client and server under networkd, with tunnels on all links; more: further lines for the client."""
    start_host(hosts.server, s0=SERVER)
    start_host(hosts.client, c0=(*CLIENT, *more), c1=(*CLIENT, *more))
    start_service(hosts.server, "s0")
    start_service(hosts.client, *UPLINKS)


@contextlib.contextmanager
def lab(*more):
    """A lab whose hosts run networkd, with tunnels on all links; more: further lines for the client."""
    with runner.TestLab(manager=False) as hosts:
        start_both(hosts, *more)
        yield hosts


def settings(host, interface):
    """Settings of a link: key -> (value, source, origin)."""
    return {key: tuple(rest) for key, *rest in service.link(host, interface)["Settings"]}
