# SPDX-License-Identifier: GPL-2.0-or-later
"""One port of the server serves plain TCP, plain and tunnelled MPTCP, and UDP of all kinds at the same time:
nginx and a UDP service beside it. nginx runs privately in the server, with a configuration of its own."""

import hashlib
import os
import struct

import path
import runner
import service
import traffic
from host import HERE, wait_until
from lab import PORT, address

DATAGRAMS = 3000
PAGE = 3_000_000
ROUNDS = 4
CONFIGURATION = f"""
daemon off;
user root;
worker_processes 1;
pid /run/web/nginx.pid;
error_log /run/web/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path /run/web/temporary;
    proxy_temp_path /run/web/temporary;
    fastcgi_temp_path /run/web/temporary;
    uwsgi_temp_path /run/web/temporary;
    scgi_temp_path /run/web/temporary;
    server {{
        listen [::]:{PORT} ipv6only=off;
        root /run/web/root;
    }}
}}
"""


def start_web(lab, content):
    """nginx in the server, on a listening socket of MPTCP, which takes plain TCP too."""
    lab.server.write("/run/web/nginx.conf", CONFIGURATION)
    lab.server.write("/run/web/root/page", content)
    lab.server.start_daemon(
        "nginx", ["/usr/bin/python3", str(HERE / "web.py"), str(PORT), "/run/web/nginx.conf"]
    )
    wait_until(
        lambda: lab.server.run("ss", "-HtlnO", "sport", "=", f":{PORT}").stdout, "nginx listens on the port"
    )


def start_echo(lab):
    """A UDP service on the same port."""
    echo = lab.server.spawn(["/usr/bin/python3", str(HERE / "datagrams.py"), "serve", str(PORT)], stdout=-1)
    lab.at_close(echo.stdout.close)
    assert echo.stdout.readline() == b"ready\n"


def ask_echo(lab, family, texts):
    """Sends these datagrams from the client, one after the other; the process, which checks the
    answers by itself."""
    file = lab.folder / f"datagrams-{family}"
    file.write_text("".join(text.hex() + "\n" for text in texts))
    command = ["/usr/bin/python3", str(HERE / "datagrams.py"), "ask", str(PORT), address("s0", family)]
    with open(file, "rb") as lines:
        return lab.client.spawn(command, stdin=lines, stdout=-1, stderr=-1, encoding="utf-8")


def random_kind(number):
    """A datagram as QUIC, STUN, DNS, WireGuard or anything else would send it."""
    kind = number % 8
    if kind == 0:  # QUIC, first packet of a connection: long header, version 1, 8 byte connection IDs
        return b"\xc3\0\0\0\1\x08" + os.urandom(8) + b"\x08" + os.urandom(8) + os.urandom(1177)
    if kind in (1, 2):  # QUIC, short header: fixed bit set, all else as it comes
        return bytes([0x40 | os.urandom(1)[0] & 0x3F]) + os.urandom(30 + number % 1200)
    if kind == 3:  # STUN binding request
        return struct.pack("!HHI", 1, 0, 0x2112A442) + os.urandom(12)
    if kind == 4:  # DNS query for example.com
        return os.urandom(2) + b"\1\0\0\1" + bytes(6) + b"\7example\3com\0\0\1\0\1"
    if kind == 5:  # WireGuard: handshake initiation, response, cookie, data
        which = number // 8 % 4
        return bytes([which + 1, 0, 0, 0]) + os.urandom((144, 88, 60, 16 + number % 1300)[which])
    if kind == 6:  # every first byte, random else: also what looks like a data offset
        return bytes([number // 8 % 256]) + os.urandom(number % 100 + 1)
    return os.urandom(number % 40 + 1)


def lookalikes():
    """DNS queries whose number has the bits of a SYN's data offset and flags. Behind it come, just as in a
    first SYN, a window and a sequence number, and zeros where the acknowledgment number is."""
    names = (b"\7example\3com\0", b"\1a\2io\0", b"\2de\0", b"\0")
    for offset in range(5, 16):
        for low, flags in ((0, 0x02), (0, 0xC2), (1, 0xC2)):
            for name in names:
                head = bytes([offset << 4 | low, flags]) + b"\1\0\0\1" + bytes(6)
                yield head + name + b"\0\1\0\1"
                # With EDNS (RFC 6891), as all resolvers ask.
                yield head[:11] + b"\1" + name + b"\0\1\0\1" + b"\0\0\x29\4\xd0" + bytes(6)


def test_queries_that_look_like_a_syn():
    """One of 4000 DNS queries does. At a port that takes plain TCP in the tunnel, none of them is mistaken
    for one."""
    with runner.TestLab() as lab:
        service.set_keys(lab.server, "server", "tunnel=yes", f"local-ports={PORT}", "mptcp-only=no")
        lab.server.up("server")
        lab.client.up("first")
        service.wait_state(lab.server, "s0", service.ACTIVE)
        traffic.Peer(lab, lab.server).listen(PORT)
        start_echo(lab)
        for family in (4, 6):
            asker = ask_echo(lab, family, list(lookalikes()))
            output, errors = asker.communicate(timeout=60)
            assert asker.returncode == 0, errors
            runner.note(output.strip())
        counted = service.counters(lab.server, "s0")
        assert counted["flows-accepted"] == counted["received"] == 0, counted


def test_everything_on_one_port():
    """MPTCP in the tunnel over IPv4 and IPv6, plain MPTCP and plain TCP get pages of nginx, while
    thousands of other datagrams come back as they were sent."""
    with runner.TestLab() as lab:
        service.set_tunnels(lab)
        service.bring_up(lab, "first", "second")
        # The second uplink has no tunnel, so it is the plain client.
        service.manager_call(lab.client, "Deactivate", "s", "c1")
        content = os.urandom(PAGE)
        digest = hashlib.sha256(content).hexdigest()
        start_web(lab, content)
        start_echo(lab)
        lab.client.run("ip", "mptcp", "endpoint", "flush")
        client = traffic.Peer(lab, lab.client)
        askers = [
            ask_echo(lab, family, [random_kind(number) for number in range(DATAGRAMS)]) for family in (4, 6)
        ]
        kinds = {
            "tunnelled": {"device": "c0"},
            "tunnelled IPv6": {"device": "c0", "target": address("s0", 6)},
            "plain MPTCP": {"device": "c1"},
            "plain TCP": {"device": "c0", "protocol": "tcp"},
        }
        for number in range(ROUNDS):
            names = {f"{kind} {number}": arguments for kind, arguments in kinds.items()}
            for name, arguments in names.items():
                client.connect(name, **arguments)
                client.start("fetch", name, path="/page")
            for name in names:
                result = client.wait(name)
                assert result == {"status": 200, "sha256": digest, "bytes": PAGE}, f"{name}: {result}"
                # The middlebox strips: only what is tunnelled has kept MPTCP.
                assert client.info(name)["fallback"] is not name.startswith("tunnelled"), name
                client.close(name)
        for asker in askers:
            output, errors = asker.communicate(timeout=60)
            assert asker.returncode == 0, errors
            runner.note(f"{output.strip()}")
        counted = service.counters(lab.server, "s0")
        runner.note(
            f"{ROUNDS} pages of {PAGE // 1_000_000} MB by each of {', '.join(kinds)}: "
            f"{counted['received']} datagrams were turned into TCP; the middlebox saw "
            f"{path.forwarded(lab, 'udp')}, and {path.forwarded(lab, 'tcp')} TCP packets"
        )
        assert counted["flows-accepted"] == counted["flows-established"] == 2 * ROUNDS, counted
        assert not any(value for name, value in counted.items() if name.startswith("drop")), counted
