# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole systems of three Debian releases, NetworkManager against networkd and the reverse: link up, and a
tunnelled subflow is there within three seconds, ten times of ten, first thing after boot, after a reboot of
each."""

import time

import runner
import systems
import traffic
from host import wait_until
from lab import PORT, address

TIMES = 10
RESULT = "/run/first.json"
FIRST = f"""[Unit]
Wants=network-online.target
After=network-online.target
[Service]
ExecStart=/usr/bin/python3 /opt/tests/systems/first.py {RESULT} %s
[Install]
WantedBy=multi-user.target
"""


def reboot(lab, machine, words):
    """Reboots a machine that runs first.py with these words as soon as systemd finds its network online. Returns
    when that is ready; the time when it was started."""
    machine.write("/etc/systemd/system/first.service", FIRST % words)
    machine.run("systemctl", "enable", "first.service")
    lab.reboot(machine)

    def started():
        return machine.unit("first.service", "ExecMainStartTimestampMonotonic")[
            "ExecMainStartTimestampMonotonic"
        ]

    begin = float(wait_until(lambda: int(started() or 0), f"{machine.name} is online", 60)) / 1e6
    wait_until(machine.path(RESULT).exists, f"{machine.name}: the first program is ready", 20)
    return begin


def reboot_client(lab):
    """The client boots, and a program that is started as soon as the network is online gets a tunnelled
    connection; seconds from its start to the last subflow."""
    begin = reboot(lab, lab.client, f"connect {address('s0')} {PORT}")
    traffic.wait_subflows(lab.client, [address("c0"), address("c1")], seconds=systems.WITHIN)
    seconds = time.monotonic() - begin
    systems.assert_tunnelled(lab, "c0", "c1")
    assert seconds < systems.WITHIN, seconds
    return seconds


def reboot_server(lab, client):
    """The server boots, and as soon as its network is online it answers through the tunnel; seconds from then
    to the last subflow."""
    begin = reboot(lab, lab.server, f"serve {PORT}")
    seconds = systems.tunnelled(lab, client, "after the boot of the server")
    return max(seconds, time.monotonic() - begin)


def links_up(lab, client):
    """The second uplink goes down and up, again and again, under a connection; the slowest time from "up" to
    the tunnelled subflow."""
    slowest = 0.0
    for _ in range(TIMES):
        lab.down(lab.client, "c1")
        wait_until(lambda: address("c1") not in traffic.subflows(lab.client), "c1 has no subflow any more")
        systems.count_plain(lab)
        begin = time.monotonic()
        lab.up(lab.client, "c1")
        traffic.wait_subflows(lab.client, [address("c0"), address("c1")], seconds=systems.WITHIN)
        slowest = max(slowest, time.monotonic() - begin)
        client.transfer("echo", "steady", size=10_000)
        systems.assert_tunnelled(lab, "c1")
    return slowest


def pair(release, client_manager, server_manager):
    """All of it for one release and one pair of network managers."""
    with systems.Systems(release, client_manager, server_manager) as lab:
        server, client = traffic.pair(lab)
        systems.tunnelled(lab, client, "steady")
        slowest = links_up(lab, client)
        runner.note(f"link up: {TIMES} of {TIMES} tunnelled, the slowest after {slowest:.2f} s")

        client.stop()
        seconds = reboot_client(lab)
        runner.note(f"client booted: the first program is tunnelled over both uplinks after {seconds:.2f} s")
        lab.client.run("systemctl", "stop", "first.service")
        client = traffic.Peer(lab, lab.client)
        server.stop()
        seconds = reboot_server(lab, client)
        runner.note(f"server booted: a client is tunnelled over both uplinks after {seconds:.2f} s")
        client.transfer("upload", "after the boot of the server", size=5_000_000)
        for machine in (lab.client, lab.server):
            machine.wait_running()


def make_tests():
    """One test for each release and each pair of managers."""
    for release in systems.RELEASES:
        for managers in (("NetworkManager", "networkd"), ("networkd", "NetworkManager")):

            def test(release=release, managers=managers):
                pair(release, *managers)

            name = f"test_{release}_{managers[0]}_to_{managers[1]}".lower()
            globals()[name] = test


make_tests()
