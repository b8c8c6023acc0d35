# SPDX-License-Identifier: GPL-2.0-or-later
"""Tunnel profiles in hosts by nmcli alone, and what NetworkManager shows of them. Calls nmcli and asks the
bus."""

import service
from host import wait_until
from lab import PORT

NM = "org.freedesktop.NetworkManager"
NM_PATH = "/org/freedesktop/NetworkManager"


def add_tunnel(host, name, data):
    """Adds a tunnel profile with this vpn.data."""
    words = ("type", "vpn", "con-name", name, "vpn-type", "underpass", "vpn.data", data)
    host.run("nmcli", "connection", "add", *words)


def add_tunnels(lab, *more, port=PORT):
    """A tunnel profile NAME-tunnel for each profile of the lab; more: pairs for those of the client."""
    for base in ("first", "second"):
        pairs = [f"link={base}", "tunnel=yes", f"remote-ports={port}", *more]
        add_tunnel(lab.client, f"{base}-tunnel", ", ".join(pairs))
    add_tunnel(lab.server, "server-tunnel", f"link=server, tunnel=yes, local-ports={port}")


def modify(host, profile, *words):
    """nmcli connection modify."""
    host.run("nmcli", "connection", "modify", profile, *words)


def active(host):
    """What is active: name of the profile -> (state, device)."""
    words = ("-t", "-f", "NAME,STATE,DEVICE", "connection", "show", "--active")
    rows = (line.split(":") for line in host.output("nmcli", *words).splitlines())
    return {name: (state, device) for name, state, device in rows}


def wait_shown(host, profile, device, seconds=10.0):
    """Waits until a tunnel profile is active on a device; None: until it is not active."""
    expected = device and ("activated", device)
    wait_until(lambda: active(host).get(profile) == expected, f"{profile} is active on {device}", seconds)


def banner(host, profile):
    """The banner of an active tunnel profile."""
    for line in host.output("nmcli", "connection", "show", profile).splitlines():
        if line.startswith("VPN.BANNER:"):
            return line.partition(":")[2].strip()
    return ""


def wait_banner(host, profile, *words, seconds=10.0):
    """Waits until the banner has all these words."""
    try:
        wait_until(lambda: all(word in banner(host, profile) for word in words), "banner", seconds)
    except TimeoutError:
        raise AssertionError(f"{host.name}: {words} not in the banner {banner(host, profile)!r}") from None


def manager_state(host):
    """What NetworkManager itself says of the whole host, and what an activation must not change: name servers
    and the primary connection, as text by topic."""
    names = service.busctl(
        host, "get-property", NM, f"{NM_PATH}/DnsManager", f"{NM}.DnsManager", "Configuration"
    )
    primary = service.busctl(host, "get-property", NM, NM_PATH, NM, "PrimaryConnection")["data"]
    return {"name servers": repr(names), "primary connection": primary}


def processes(host):
    """Processes of the VPN service."""
    return host.pids("underpass-vpn")


def bus_names(host):
    """Names of the VPN service on the bus."""
    names = service.busctl(host, "list")
    return sorted(row["name"] for row in names if row["name"].startswith(f"{NM}.underpass"))
