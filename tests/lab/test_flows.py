# SPDX-License-Identifier: GPL-2.0-or-later
"""The list of connections holds what lives and nothing else, in the units of the counters."""

import json
import subprocess
import time

import path
import runner
import service
import traffic
from host import wait_until
from lab import PORT, address
from test_router import host_behind

SOON = 4.0  # the maps are read once a second, and a machine may be busy
SIZE = 3_000_000


def flows(host, *arguments):
    """Rows of `underpassctl flows`."""
    return json.loads(host.output("underpassctl", "--json", "flows", *arguments))["flows"]


def open_flows(host):
    """How many of them are tunnelled."""
    return sum(row["state"] == "tunnelled" for row in flows(host))


def wait_open(host, count, what):
    """Waits until so many are listed."""
    wait_until(lambda: open_flows(host) == count, f"{host.name}: {what}: {count} flows", SOON)


def test_closed_go():
    """What is closed is gone on both sides, whoever closes and however; the server listens for IPv6 and IPv4 by one
    socket, so its IPv4 connections are IPv4-mapped."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        _, client = traffic.pair(lab)
        for family in (4, 6):
            name = f"IPv{family}"
            traffic.connect_both(lab, client, name, family)
            for host in (lab.client, lab.server):
                wait_open(host, 2, f"{name} is open")
            client.close(name)
            begin = time.monotonic()
            for host in (lab.client, lab.server):
                wait_open(host, 0, f"{name} is closed")
            runner.note(f"{name}: gone {time.monotonic() - begin:.1f} s after it was closed")
        assert flows(lab.client) == [] == flows(lab.server)
        remembered = service.manager_call(lab.client, "ListFlows", "su", "", "0")
        assert "tunnelled" in str(remembered), "what comes late still finds its record"


def units(*keys):
    """Segments are those of the counters, and data is what was transferred. keys: of both ends."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab, *keys)
        service.set_keys(lab.server, "server", *keys)
        service.bring_up(lab, "first")
        _, client = traffic.pair(lab)
        client.connect("a")
        client.transfer("upload", "a", size=SIZE)
        client.transfer("download", "a", size=SIZE)

        def settled():
            counted, rows = service.counters(lab.client, "c0"), flows(lab.client)
            return len(rows) == 1 and (rows[0]["segments_sent"], rows[0]["segments_received"]) == (
                counted["sent"],
                counted["received"],
            )

        def agree():
            """Both know the same of the connection: what one has sent the other one has acknowledged."""
            (row,), (twin,) = flows(lab.client), flows(lab.server)
            return row["bytes_sent"] == twin["bytes_received"] and row["bytes_received"] == twin["bytes_sent"]

        wait_until(settled, "both counted the same", SOON)
        wait_until(agree, "both sides agree", SOON)
        (row,) = flows(lab.client)
        runner.note(f"{row['bytes_sent']} bytes in {row['segments_sent']} segments up, {row['bytes_received']} down")
        for name in ("bytes_sent", "bytes_received"):
            assert SIZE < row[name] < SIZE * 1.01 + 10_000, row
        assert row["bytes_sent"] / row["segments_sent"] < 1500, "super-packets count as their segments"


def test_units():
    """Of the classic form."""
    units("bulk=no")


def test_units_in_bulk():
    """Of the bulk form, whose segments are smaller."""
    units("bulk=yes")


def test_forwarded():
    """A router has no socket: it goes by FIN and RST."""
    with runner.TestLab() as lab, host_behind(lab) as inner:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        traffic.Peer(lab, lab.server).listen(PORT)
        peer = traffic.Peer(lab, inner)
        for family in (4, 6):
            for end in ("closed", "reset"):
                name = f"{end} {family}"
                peer.connect(name, address("s0", family))
                peer.transfer("upload", name, size=SIZE)
                wait_open(lab.client, 1, name)
                (row,) = flows(lab.client)
                assert SIZE < row["bytes_sent"] < SIZE * 1.01 + 10_000, row
                time.sleep(2.5)  # so long that one with a socket here would be asked for
                assert open_flows(lab.client) == 1, "it has no socket here, and still lives"
                if end == "closed":
                    peer.close(name)
                else:
                    inner.run("ss", "-K", "dport", "=", f":{PORT}")
                wait_open(lab.client, 0, name)


def test_socket_gone():
    """A connection whose end nobody hears of: the path is away, and the socket is ended meanwhile."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab, "first")
        server, client = traffic.pair(lab)
        client.connect("a")
        client.transfer("echo", "a", size=1000)
        wait_open(lab.server, 1, "open")
        path.rules(lab, "meta l4proto udp drop")
        lab.client.run("ss", "-K", "dport", "=", f":{PORT}")
        wait_open(lab.client, 0, "its socket is gone")
        assert open_flows(lab.server) == 1, "the server has not heard of it, and waits"
        server.stop()
        lab.server.run("ss", "-K", "sport", "=", f":{PORT}")
        wait_open(lab.server, 0, "its socket is gone")


def test_attempts():
    """Attempts to reach one destination are one row, which goes when they end."""
    with runner.TestLab() as lab:
        service.set_keys(lab.client, "first", f"remote-ports={PORT}", "tunnel=yes", "mptcp-only=no", "fallback=no")
        service.bring_up(lab, "first")
        service.wait_state(lab.client, "c0", service.ACTIVE)
        path.rules(lab, "meta l4proto udp drop")
        target = address("s0")
        code = (
            "import socket, sys\n"
            "tries = []\n"
            "for _ in range(5):\n"
            "    tries.append(socket.socket()); tries[-1].setblocking(False)\n"
            f"    tries[-1].connect_ex(('{target}', {PORT}))\n"
            "sys.stdin.read()\n"
        )
        program = lab.client.spawn(["/usr/bin/python3", "-c", code], stdin=subprocess.PIPE)
        with program:
            # The second SYN of each tells that it has a socket here.
            wait_until(lambda: [row["syns"] >= 10 for row in flows(lab.client)] == [True], "one row", 10)
            (row,) = flows(lab.client)
            runner.note(lab.client.output("underpassctl", "flows").splitlines()[1])
            assert row["attempts"] == 5 and row["state"] == "half-open", row
        wait_until(lambda: flows(lab.client) == [], "it has given up", SOON)
