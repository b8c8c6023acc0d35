#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in a guest: SCTP between two hosts of the lab, whose services set its ports as file profiles say,
through a middlebox that drops plain SCTP or lets it pass.

usage: inside_sctp.py STORY…        one after the other; says what it measures

May touch: the guest.
"""

import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

# pylint: disable=wrong-import-position
import inside_mptcp
import runner
import service
from host import running, wait_until
from lab import LINKS, address

UDP_PORT = 9899
SERVER_PORTS = itertools.count(7001)
SHORT = 4  # seconds in which no association comes up where it cannot
LONG = 30
UDP_HEADER = 8
LISTEN, BOTH = "SCTPUDPPort=9899", "SCTPUDPPort=9899\nSCTPEncapPort=9899"
BEFORE = {"client": (0, 7000), "server": (0, 0)}
SCTP_PROFILE = "/etc/underpass/sctp.conf"
PINS = "/sys/fs/bpf/underpass"


def say(text):
    """A line of progress."""
    print(text, flush=True)


def ports(host):
    """net.sctp.udp_port and net.sctp.encap_port."""
    return tuple(int(host.sysctl(f"net.sctp.{name}_port")) for name in ("udp", "encap"))


def wait_ports(host, *expected):
    """Waits until both have these values."""
    wait_until(lambda: ports(host) == expected, f"{host.name}: {expected}, not {ports(host)}", LONG)


def middlebox(lab, drop):
    """What the middlebox does with plain SCTP; its counters begin at 0."""
    counters = [f"counter {name} {{ }}" for name in ("plain", "over-udp", "fragments")]
    rules = [
        f"udp dport {UDP_PORT} counter name over-udp",
        "ip frag-off & 0x3fff != 0 counter name fragments",
        f"meta l4proto sctp counter name plain {'drop' if drop else ''}",
    ]
    head = "chain forward { type filter hook forward priority -20;"
    lab.middlebox.set_nft_table("encapsulation", *counters, head, *rules, "}")


def counted(lab):
    """Packets that the middlebox has seen: (plain, over UDP, fragments)."""
    found = lab.middlebox.nft_counters("encapsulation")
    return tuple(found[name][0] for name in ("plain", "over-udp", "fragments"))


def profile(host, text, names="*"):
    """The file profile of a host, read at once; None: none any more."""
    if text is None:
        host.path(SCTP_PROFILE).unlink()
    else:
        host.write(SCTP_PROFILE, f"[Match]\nName={names}\n\n[X-Underpass]\n{text}\n")
    service.manager_call(host, "Reload")


def start_server(lab, host):
    """A new SCTP server; its port. Sockets keep the ports for UDP that they were opened with."""
    port = next(SERVER_PORTS)
    process = host.spawn(
        ["/usr/bin/python3", str(HERE / "sctp_peer.py"), "serve", str(port)],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    lab.at_close(process.stdout.close)
    assert process.stdout.readline() == "ready\n", f"{host.name}: no SCTP server"
    return port


def ask(lab, port, family=4, seconds=LONG):
    """Has messages echoed over a new association; what the client tells, or None where none comes up."""
    result = lab.client.run(
        *("/usr/bin/python3", HERE / "sctp_peer.py", "ask", address("s0", family), port, seconds),
        check=False,
        timeout=120,
    )
    if result.returncode == 3:
        return None
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def start(lab):
    """Hosts without a profile whose sysctls have values of their own."""
    for host in (lab.client, lab.server):
        host.start_bus()
        for name, value in zip(("udp", "encap"), BEFORE[host.name]):
            host.sysctl(f"net.sctp.{name}_port", value)
    for interface in LINKS:
        host = lab.server if interface == "s0" else lab.client
        inside_mptcp.set_up(host, interface, inside_mptcp.UPLINKS.get(interface, 100))


def assert_as_before(host):
    """Nothing of Underpass is left, and the sysctls are what they were."""
    wait_ports(host, *BEFORE[host.name])
    wait_until(lambda: not host.path(PINS).exists(), f"{host.name}: {PINS} is gone", LONG)


def dropped(lab):
    """Where plain SCTP is dropped, an association comes up over UDP, with packets that fit."""
    port = start_server(lab, lab.server)
    middlebox(lab, drop=False)
    plain = {family: ask(lab, port, family)["fragmentation_point"] for family in (4, 6)}
    assert counted(lab)[1] == 0
    middlebox(lab, drop=True)
    assert ask(lab, port, seconds=SHORT) is None, "plain SCTP gets through"
    profile(lab.server, LISTEN)
    profile(lab.client, BOTH)
    assert (ports(lab.server), ports(lab.client)) == ((UDP_PORT, 0), (UDP_PORT, UDP_PORT))
    port = start_server(lab, lab.server)
    for family in (4, 6):
        middlebox(lab, drop=True)
        found = ask(lab, port, family)
        assert found, f"IPv{family}: no association over UDP"
        seen = counted(lab)
        say(f"IPv{family}: {found}, plain {plain[family]}; plain, UDP, fragments: {seen}")
        assert seen[0] == 0 and seen[1] > 0 and seen[2] == 0, seen
        assert plain[family] - found["fragmentation_point"] == UDP_HEADER
    lksctp(lab)
    explained = lab.client.output("underpassctl", "explain", "c0")
    for line in explained.splitlines():
        if "sctp" in line:
            say(line)
    assert f"net.sctp.udp_port             {UDP_PORT}" in explained, explained
    for host in (lab.client, lab.server):
        host.run("underpassctl", "deactivate", "--all")
        assert ports(host) == BEFORE[host.name], f"{host.name}: {ports(host)}"
        assert not host.path(PINS).exists()
    assert ask(lab, port, seconds=SHORT) is None


def lksctp(lab):
    """The same with the programs of lksctp-tools."""
    log = lab.server.folder / "log" / "sctp_test.log"
    with open(log, "wb") as output:
        server = lab.server.spawn(
            ["stdbuf", "-oL", "sctp_test", "-H", address("s0"), "-P", "7200", "-l"],
            stdout=output,
            stderr=output,
        )
    wait_until(lambda: b"listen(" in log.read_bytes(), "sctp_test listens", LONG)
    lab.client.run(
        *("sctp_test", "-H", address("c0"), "-P", "7201", "-h", address("s0"), "-p", "7200"),
        *("-s", "-x", "1", "-c", "1"),
    )
    wait_until(lambda: b"SHUTDOWN_COMPLETE" in log.read_bytes(), "sctp_test has heard everything", LONG)
    assert b"COMMUNICATION_UP" in log.read_bytes()
    assert server.poll() is None and running(server.pid)


def one_side(lab):
    """One peer encapsulates and the other does not: the answer follows the form of the question."""
    profile(lab.server, LISTEN)
    listening = start_server(lab, lab.server)
    profile(lab.server, BOTH)
    both = start_server(lab, lab.server)
    # The server only listens, the client encapsulates.
    profile(lab.client, BOTH)
    middlebox(lab, drop=False)
    assert ask(lab, listening)
    seen = counted(lab)
    say(f"over UDP to a server that only listens: {seen}")
    assert seen[0] == 0 and seen[1] > 0, seen
    # The client knows nothing of UDP, the server would encapsulate.
    lab.client.run("underpassctl", "deactivate", "--all")
    assert ports(lab.client) == BEFORE["client"]
    for port in (listening, both):
        middlebox(lab, drop=False)
        assert ask(lab, port)
        seen = counted(lab)
        say(f"plain to a server on port {port}: {seen}")
        assert seen[0] > 0 and seen[1] == 0, seen


def crash(lab):
    """A service that is killed leaves the ports, and the next one knows what was there before."""
    host = lab.client
    profile(host, BOTH)
    assert ports(host) == (UDP_PORT, UDP_PORT)
    service.kill(host)
    assert ports(host) == (UDP_PORT, UDP_PORT)
    assert service.link(host, "c0")["SCTPUDPPort"] == UDP_PORT  # the bus starts the next one
    assert ports(host) == (UDP_PORT, UDP_PORT)
    for interface in ("c0", "c1"):
        assert ports(host) == (UDP_PORT, UDP_PORT)
        host.run("ip", "link", "set", interface, "down")
    wait_ports(host, *BEFORE["client"])
    for interface in ("c0", "c1"):
        host.run("ip", "link", "set", interface, "up")
    wait_ports(host, UDP_PORT, UDP_PORT)
    # Killed, and the profile goes before the next one comes.
    service.kill(host)
    host.path(SCTP_PROFILE).unlink()
    service.manager_call(host, "Reload")
    assert_as_before(host)


def taken(lab):
    """Another program has the UDP port: said by name, and the tunnel for TCP is there all the same."""
    host = lab.server
    holder = host.spawn(
        [
            "/usr/bin/python3",
            "-c",
            f"import socket as s; u = s.socket(2, 2); u.bind(('', {UDP_PORT})); input()",
        ],
        stdin=subprocess.PIPE,
    )
    wait_until(lambda: str(UDP_PORT) in host.output("ss", "-Hlun"), "the port is taken", LONG)
    profile(host, f"Tunnel=yes\nLocalPorts=8443\n{LISTEN}", "s0")
    found = service.wait_state(host, "s0", service.ACTIVE, LONG)
    assert any("another program holds this UDP port" in each for each in found["Warnings"]), found[
        "Warnings"
    ]
    assert ports(host) == BEFORE["server"]
    holder.communicate(b"\n", timeout=LONG)
    service.manager_call(host, "Reload")
    assert ports(host) == (UDP_PORT, 0)
    assert service.link(host, "s0")["Warnings"] == []
    profile(host, None)
    assert_as_before(host)


STORIES = {story.__name__: story for story in (dropped, one_side, crash, taken)}


def tidy(lab):
    """The hosts as they were before a story: without profile, and with a service that has not been told
    anything yet."""
    for host in (lab.client, lab.server):
        host.path(SCTP_PROFILE).unlink(missing_ok=True)
        service.manager_call(host, "Reload")
        assert_as_before(host)
        service.kill(host, signal.SIGTERM)


def main():
    """Runs stories in the order in which they were asked for."""
    os.environ["UNDERPASS_STAGE"] = "/project/stage"
    subprocess.run(["modprobe", "sctp"], check=True)
    with runner.TestLab(manager=False) as lab:
        start(lab)
        for name in sys.argv[1:]:
            begin = time.monotonic()
            STORIES[name](lab)
            tidy(lab)
            say(f"{name}: as it should be, {time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    try:
        main()
    except Exception:
        print(*runner.Run.notes, sep="\n")
        raise
