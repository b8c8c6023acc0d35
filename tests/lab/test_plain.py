# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections that are not tunnelled do not notice the tunnel: neither when it comes and goes, nor beside
it."""

import os

import runner
import service
import traffic
from host import wait_until
from lab import PLAIN_PORT, PORT, address

RATE = 20_000_000  # bytes a second: far below what the machine can do, so that nothing is lost by overload
SIZE = 40_000_000
SWITCHES = 6


def lost(lab):
    """Segments of both hosts that got lost so far."""
    return traffic.lost_segments(lab.client) + traffic.lost_segments(lab.server)


def bulk(lab, client, name, port, between):
    """A rated plain upload with something going on meanwhile; the segments that got lost."""
    client.connect(name, port=port, protocol="tcp")
    before = lost(lab)
    with client.uploading(name, RATE):
        between()
    client.close(name)
    return lost(lab) - before


def test_attach_and_detach_under_a_plain_transfer():
    """Not one segment lost more than without, for a connection to the tunnelled port itself and to another
    one."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab, "mptcp-only=no")
        service.bring_up(lab)
        server, client = traffic.pair(lab)
        server.listen(PLAIN_PORT)
        # The connections begin while there is no tunnel, so they are plain for life.
        service.manager_call(lab.client, "Deactivate", "s", "c0")
        # A tail loss probe is sent when an acknowledgement is a few milliseconds late, which on a busy machine
        # says nothing about loss.
        for host in (lab.client, lab.server):
            host.sysctl("net.ipv4.tcp_early_retrans", 0)

        def switch():
            for _ in range(SWITCHES):
                service.manager_call(lab.client, "Activate", "s", "c0")
                service.wait_state(lab.client, "c0", service.ACTIVE)
                service.manager_call(lab.client, "Deactivate", "s", "c0")
                service.wait_state(lab.client, "c0", "off")

        for port in (PORT, PLAIN_PORT):
            name = f"without {port}"
            without = bulk(lab, client, name, port, lambda name=name: client.wait_moved(name, SIZE))
            with_tunnel = bulk(lab, client, f"with {port}", port, switch)
            runner.note(f"port {port}: {without} segments lost; {with_tunnel} with the tunnel on and off")
            assert with_tunnel <= without, f"port {port}: {with_tunnel} segments lost, without the tunnel {without}"


def test_tunnelled_connection_survives_detach_elsewhere():
    """A tunnel that goes takes only its own subflow; the connection goes on over the other uplink."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        _, client = traffic.pair(lab)
        traffic.connect_both(lab, client, "a")
        client.start("upload", "a", size=SIZE // 2, rate=RATE)
        wait_until(lambda: client.progress("a")["bytes"] > 1_000_000, "the transfer is under way")
        lab.client.down("second")
        assert client.wait("a")["equal"]
        traffic.wait_subflows(lab.client, [address("c0")])


def test_server_answers_plain_and_tunnelled_clients_on_one_port():
    """The server's tunnel is up; a client without one gets plain TCP, one with it the tunnel, at the same
    time."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab, "first", "second")
        service.manager_call(lab.client, "Deactivate", "s", "c1")
        _, client = traffic.pair(lab)
        client.connect("tunnelled", source=address("c0"))
        client.connect("plain", protocol="tcp", source=address("c0"))
        client.connect("stripped", source=address("c1"))
        for name in ("tunnelled", "plain", "stripped"):
            client.start("upload", name, size=3_000_000)
        assert all(client.wait(name)["equal"] for name in ("tunnelled", "plain", "stripped"))
        assert [client.info(name)["fallback"] for name in ("tunnelled", "plain", "stripped")] == [
            False,
            True,
            True,
        ]
        counted = lab.counters()
        assert counted["udp-mc0"][1] > 3_000_000 and counted["tcp-mc0"][1] > 3_000_000, counted


def test_udp_of_others_on_the_same_port():
    """A UDP service on the tunnelled port gets its datagrams as they were sent."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab)
        program = (
            "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.bind(('', 8443)); print('bound', flush=True)\n"
            "while True: data, peer = s.recvfrom(65536); s.sendto(data, peer)"
        )
        echo = lab.server.spawn(["/usr/bin/python3", "-c", program], stdout=-1)
        lab.at_close(echo.stdout.close)
        assert echo.stdout.readline() == b"bound\n"
        ask = (
            "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)\n"
            f"s.connect(('{address('s0')}', {PORT}))\n"
            "for line in sys.stdin:\n"
            "    data = bytes.fromhex(line); s.send(data); assert s.recv(65536) == data, line"
        )
        texts = [os.urandom(size) for size in (1, 11, 12, 13, 40, 500, 1400)]
        texts.append(bytes([0xC0, 0, 0, 0, 1]) + os.urandom(1195))  # shaped like the first packet of QUIC
        texts.append(bytes([0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]) + os.urandom(12))  # and of STUN
        lab.client.run("/usr/bin/python3", "-c", ask, text="".join(text.hex() + "\n" for text in texts))
